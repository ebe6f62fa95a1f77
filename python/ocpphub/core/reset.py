"""Reset: transactions end, controllers are asked, and this charge point begins anew (OCPP 1.6 section 5.14).

Owns the steps from the answer to ``Recreate`` and how often a refused reset is tried again. Must never lose what it
could not deliver: that waits in the store and is sent after the next boot (CORE-TXQ-09).

Implements: CORE-RES rows; decisions.md 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ocpphub import _native
from ocpphub.core.charging import Charging
from ocpphub.core.configuration import Configuration
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.effects import Effect, Recreate
from ocpphub.core.inbound import Answer
from ocpphub.core.instant import Instant
from ocpphub.core.messages import ResetRequest
from ocpphub.core.security import SecurityEvents
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import Reason, ResetStatus, ResetType

TIMER: Final = "reset"
DELIVERY_S: Final = 60.0
"""The default of ``hub.reset_wait_s``."""
METHOD: Final = "charge_point.reset"

AskConnection = Callable[[Controller, str, dict[str, Any], Callable[[Any, Exception | None, Instant], None]], None]


@dataclass(slots=True)
class Reset:
    """A reset of one charge point: none, waiting for deliveries, or waiting for controllers."""

    emit: Callable[[Effect], None]
    timers: Timers
    configuration: Configuration
    charging: Charging
    controllers: Controllers
    security: SecurityEvents
    ask: AskConnection
    wait_s: float
    """How long a soft reset waits for the answers to StopTransaction (``hub.reset_wait_s``, CORE-RES-07)."""
    on_failure: Callable[[Instant], None]
    """The controllers have refused for good: StatusNotification ResetFailure (CORE-RES-06)."""
    is_forbidden: Callable[[], bool] = lambda: False
    """Whether a program is installing firmware, which a reset would cut off."""
    kind: str | None = None
    """The ResetType under way."""
    is_leaving: bool = False
    """Whether this core is done: what is not sent yet waits for its successor."""
    _is_forced: bool = False
    _attempts: int = 0
    _open: dict[int, bool | None] = field(default_factory=dict)
    _is_asking: bool = False

    def handle(self, call: _native.Call, now: Instant) -> Answer:
        """Accepted, unless one is under way or a program installs firmware; the rest follows the answer.

        CORE-RES-01, CORE-RES-02.
        """
        if self.kind is not None or self.is_forbidden():
            return Answer({"status": ResetStatus.REJECTED})
        request = cast("ResetRequest", call.payload())
        return Answer({"status": ResetStatus.ACCEPTED}, lambda at: self._begin(request["type"], at))

    def reboot(self, now: Instant) -> None:
        """New firmware has to be booted: controllers are told as before any reset, and cannot refuse (S-240)."""
        self._is_forced = True
        if self.kind is None:
            self._begin(ResetType.SOFT, now)

    def _begin(self, kind: str, now: Instant) -> None:
        self.kind, self._attempts, self._is_asking = kind, 0, False
        is_soft = kind == ResetType.SOFT
        self.charging.stop_all(Reason.SOFT_RESET if is_soft else Reason.HARD_RESET, now)
        self.timers.set(TIMER, now.monotonic_s + (self.wait_s if is_soft else 0.0))

    def delivered(self, now: Instant) -> None:
        """Nothing is left to be sent: a soft reset need not wait any longer."""
        if self.kind is not None and not self._is_asking:
            self._ask_all(now)

    def handle_timer(self, now: Instant) -> None:
        """The wait for deliveries is over."""
        if self.kind is not None and not self._is_asking:
            self._ask_all(now)

    def _ask_all(self, now: Instant) -> None:
        self.timers.cancel(TIMER)
        self._is_asking = True
        self._attempts += 1
        attached = self.controllers.all()
        self._open = {controller.number: None for controller in attached}
        for controller, connectors in attached.items():
            params = {"type": self.kind, "connectors": connectors}
            self.ask(controller, METHOD, params, self._listener(controller.number))
        self._judge(now)

    def _listener(self, number: int) -> Callable[[Any, Exception | None, Instant], None]:
        def answered(result: Any, error: Exception | None, now: Instant) -> None:
            self._open[number] = isinstance(result, dict) and result.get("accepted") is True
            self._judge(now)

        return answered

    def _judge(self, now: Instant) -> None:
        if self.kind is None or None in self._open.values():
            return
        if self._is_forced or all(self._open.values()):
            self.is_leaving = True
            self.security.internal("ResetOrReboot", self.kind, now)
            self.emit(Recreate())
        elif self._attempts <= self.configuration.integer("ResetRetries"):
            self._ask_all(now)
        else:
            self.kind = None
            self.on_failure(now)
