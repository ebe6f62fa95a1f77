"""The state of a whole charge point as others see it: ``charge_point.get`` and the topic ``charge_point.status``.

Owns what belongs to that state, and when a change of it is published: at most once per input, only when the text is
another, and for a queue that merely fills and empties at most once in :data:`QUEUE_INTERVAL_S`. Must never change
anything it tells of.

Implements: design rpc.md ``charge_point.get`` and ``charge_point.status``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from orjson import dumps

from ocpphub.core.boot import Boot, utc_text
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Effect, Publish
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import DurableQueue
from ocpphub.core.security_profile import url_for
from ocpphub.core.timers import Timers

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings
    from ocpphub.core.delivery import TransactionQueue
    from ocpphub.core.trust import Trust

TIMER: Final = "state"
QUEUE_INTERVAL_S: Final = 1.0
"""How long a change of the queue alone may wait: a busy queue must not publish with every message."""
_USERINFO: Final = re.compile(r"//[^/@]*@")


class ChargePointState:
    """What the parts of a charge point add up to, and what was last published of it."""

    __slots__ = (
        *(
            "_boot",
            "_certificates",
            "_configuration",
            "_durable",
            "_emit",
            "_mark",
            "_queue_changes",
            "_settings",
            "_text",
            "_timers",
        ),
        *("_transactions", "_trust", "is_connected", "is_full", "is_stopped"),
    )

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        boot: Boot,
        configuration: Configuration,
        durable: DurableQueue,
        transactions: TransactionQueue,
        trust: Trust,
    ) -> None:
        self.is_connected = False
        """Whether the WebSocket is open with the agreed subprotocol."""
        self.is_stopped = False
        """Whether OCPP is stopped (decisions.md 6)."""
        self.is_full = False
        """Whether the disk is nearly full: no transaction may start (reliability.md 4.3)."""
        self._settings, self._emit, self._timers = settings, emit, timers
        self._boot, self._configuration, self._durable = boot, configuration, durable
        self._transactions, self._trust, self._certificates = transactions, trust, trust.certificates
        self._mark: tuple[object, ...] | None = None
        self._queue_changes = 0
        self._text = b""

    def value(self) -> dict[str, Any]:
        """The result of ``charge_point.get`` (rpc.md)."""
        registration, profile = self._boot.registration, self._trust.credentials.profile
        return {
            "identity": self._settings.identity,
            "registration": "none" if registration is None else str(registration),
            "is_connected": self.is_connected,
            "stopped": self.is_stopped,
            "connectors": self._settings.connectors,
            "url": _USERINFO.sub("//", url_for(self._settings.csms_url, profile)),
            "queue": self._queue(),
            "clock_offset_s": self._boot.clock.offset_ms / 1000,
            "security_profile": profile,
            "certificates": self._trust.described(),
            "monitored_keys": self._configuration.monitored_keys,
        }

    def _queue(self) -> dict[str, Any]:
        """Both durable queues as one: what the CSMS has not confirmed yet."""
        state = self._durable.state()
        messages, size, oldest_ms, aside = self._transactions.state()
        oldest = [text for text in (state["oldest"], None if oldest_ms is None else utc_text(oldest_ms)) if text]
        return {
            "messages": state["messages"] + messages,
            "bytes": state["bytes"] + size,
            "oldest": min(oldest, default=None),
            "aside": state["aside"] + aside,
        }

    def settle(self, now: Instant) -> None:
        """An input ends. Effects: ``Publish`` of a changed state; a change of the queue may wait for the timer."""
        # Every frame comes by here: the text is only made when something in this tuple is another.
        mark = (
            self.is_connected,
            self.is_stopped,
            self._boot.registration,
            self._boot.clock.offset_ms,
            len(self._configuration.monitors),
            self._certificates.revision,
        )
        if mark != self._mark:
            self._mark = mark
            self._publish()
        elif (
            self._durable.changes + self._transactions.changes != self._queue_changes
            and self._timers.deadline(TIMER) is None
        ):
            self._timers.set(TIMER, now.monotonic_s + QUEUE_INTERVAL_S)

    def handle_timer(self) -> None:
        """The queue has waited long enough: the end of this input publishes."""
        self._mark = None

    @property
    def _changes(self) -> int:
        return self._durable.changes + self._transactions.changes

    def _publish(self) -> None:
        self._timers.cancel(TIMER)
        self._queue_changes = self._changes
        text = dumps(self.value())
        if text != self._text:
            self._text = text
            self._emit(Publish("charge_point.status", text))
