"""ExtendedTriggerMessage: the CSMS wants a message now (security white paper 5.5 and 6.14).

Owns which message each value stands for. Must never send one: the parts do, behind the answer. What TriggerMessage
knows too is judged by the same rules.

Implements: S-171, S-172, S-251 to S-254.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from ocpphub import _native
from ocpphub.core.inbound import Answer
from ocpphub.core.instant import Instant
from ocpphub.core.messages import ExtendedTriggerMessageRequest
from ocpphub.core.vocabulary import MessageTriggerEnumType, TriggerMessageStatusEnumType

Trigger = Callable[[Instant], bool]
"""Lets a message follow the answer; whether it will."""
_PLAIN: Final = frozenset(
    (
        MessageTriggerEnumType.BOOT_NOTIFICATION,
        MessageTriggerEnumType.HEARTBEAT,
        MessageTriggerEnumType.METER_VALUES,
        MessageTriggerEnumType.STATUS_NOTIFICATION,
    )
)


class ExtendedTrigger:
    """The handler of the action; ``plain`` is that of TriggerMessage."""

    def __init__(self, plain: Callable[[_native.Call, Instant], Answer]) -> None:
        self._plain = plain
        self.sign: Trigger | None = None
        """SignCertificate; ``None`` without X.509."""
        self.trigger_log_status: Trigger | None = None
        """LogStatusNotification; ``None`` while there is no such part."""
        self.trigger_firmware_status: Trigger | None = None
        """SignedFirmwareStatusNotification; ``None`` while there is no such part."""

    def handle(self, call: _native.Call, now: Instant) -> Answer:
        """Accepted when the message follows, Rejected when it does not, NotImplemented for all others (S-252)."""
        wanted = cast("ExtendedTriggerMessageRequest", call.payload())["requestedMessage"]
        if wanted in _PLAIN:
            return self._plain(call, now)
        trigger = {
            MessageTriggerEnumType.SIGN_CHARGE_POINT_CERTIFICATE: self.sign,
            MessageTriggerEnumType.LOG_STATUS_NOTIFICATION: self.trigger_log_status,
            MessageTriggerEnumType.FIRMWARE_STATUS_NOTIFICATION: self.trigger_firmware_status,
        }.get(cast("MessageTriggerEnumType", wanted))
        if trigger is None:
            return Answer({"status": TriggerMessageStatusEnumType.NOT_IMPLEMENTED})
        # What is told waits in a queue of its own, and so leaves behind the answer.
        will_follow = trigger(now)
        status = TriggerMessageStatusEnumType
        return Answer({"status": status.ACCEPTED if will_follow else status.REJECTED})
