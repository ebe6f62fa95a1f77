"""Statuses of a request under way that the CSMS has to hear: each once, in order, whatever happens to link and process.

Owns the queue of such statuses of one request and when one of them is given up. Must never store by itself: the row of
the request holds its statuses too, so that both change in one commit, and its owner writes it.

Implements: security white paper L01.FR.01, L01.FR.10, N01.FR.07; CORE-UF-09; OCPP 1.6 sections 3.7.1 and 5.17;
reliability.md 4.2.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ocpphub.core.configuration import Configuration
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import POISON_LINK_LOSSES, UNKNOWN_TO_CSMS, Gate, Outcome, OwnCall, PromptQueue
from ocpphub.core.timers import Timers

log = logging.getLogger("ocpphub.core")

TIMER: Final = "notice"
MAX_WAITING: Final = 100
"""Statuses that may wait; beyond it the oldest, of the earliest request, is given up."""


@dataclass(slots=True)
class Notice:
    """One status on its way."""

    action: str
    payload: dict[str, Any]
    attempts: int = 0
    link_losses: int = 0
    is_void: bool = False
    """Whether nobody wants it repeated any more."""


class Notices:
    """The statuses of one kind of request, a :class:`~ocpphub.core.outbox.Source`."""

    def __init__(self, name: str, timers: Timers, prompt: PromptQueue, configuration: Configuration) -> None:
        """``name`` is that of its timer and unique per charge point."""
        self.name = name
        self._timers, self._prompt, self._configuration = timers, prompt, configuration
        self.waiting: deque[Notice] = deque()
        self._in_flight: Notice | None = None
        self._is_triggered = False
        self.save: Callable[[], None] = lambda: None
        """Stores the row of the request as it is now."""
        self.on_told: Callable[[Instant], None] = lambda now: None
        """Called when one has reached the CSMS, or was given up."""

    def restore(self, stored: Iterable[Any]) -> None:
        """Take up what an earlier process had not told."""
        for each in stored:
            if isinstance(each, dict) and isinstance(each.get("payload"), dict) and isinstance(each.get("action"), str):
                self.waiting.append(Notice(each["action"], each["payload"]))

    def json(self) -> list[dict[str, Any]]:
        """What is not told for certain, for the row."""
        flying = self._in_flight
        found = [flying] if flying is not None and not flying.is_void else []
        return [{"action": each.action, "payload": each.payload} for each in (*found, *self.waiting)]

    def put(self, action: str, payload: dict[str, Any]) -> None:
        """Tell a status; the caller stores the row in the same input."""
        self.waiting.append(Notice(action, payload))
        while len(self.waiting) > MAX_WAITING:
            self._give_up(self.waiting.popleft())

    def withdraw(self, request_id: int) -> None:
        """The request was cancelled: its statuses stay silent (N01.FR.11). The caller stores the row."""
        kept = [each for each in self.waiting if each.payload.get("requestId") != request_id]
        self.waiting.clear()
        self.waiting.extend(kept)
        if self._in_flight is not None and self._in_flight.payload.get("requestId") == request_id:
            self._in_flight.is_void = True

    def trigger(self, action: str, payload: dict[str, Any]) -> None:
        """A trigger message asked for the status, in Pending too; one that waits anyway counts (section 5.17)."""
        if any(each.action == action for each in self.waiting):
            self._is_triggered = True
            self._timers.cancel((TIMER, self.name))
        else:
            self._prompt.put(OwnCall(action, payload, lambda outcome, now: None), triggered=True)

    @property
    def is_empty(self) -> bool:
        """Whether everything has been told."""
        return not self.waiting and self._in_flight is None

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest status, unless it waits to be repeated."""
        if not self.waiting or not (gate == "open" or (gate == "triggered" and self._is_triggered)):
            return None
        if self._timers.deadline((TIMER, self.name)) is not None:
            return None
        self._in_flight = notice = self.waiting.popleft()
        return OwnCall(notice.action, notice.payload, partial(self._done, notice))

    def _done(self, notice: Notice, outcome: Outcome, now: Instant) -> None:
        self._in_flight = None
        if self._is_to_be_repeated(notice, outcome, now):
            self.waiting.appendleft(notice)
            return
        if not self.waiting:
            self._is_triggered = False
        self.save()  # before the next one leaves: none comes again behind a later one
        self.on_told(now)

    def _is_to_be_repeated(self, notice: Notice, outcome: Outcome, now: Instant) -> bool:
        if outcome.kind == "ok" or notice.is_void:
            return False
        if outcome.kind == "link_lost":
            notice.link_losses += 1
            if notice.link_losses < POISON_LINK_LOSSES:
                return True
        elif outcome.code not in UNKNOWN_TO_CSMS:
            notice.attempts += 1
            if notice.attempts < self._configuration.integer("TransactionMessageAttempts"):
                wait_s = self._configuration.integer("TransactionMessageRetryInterval") * notice.attempts
                self._timers.set((TIMER, self.name), now.monotonic_s + wait_s)
                return True
        self._give_up(notice)
        return False

    def _give_up(self, notice: Notice) -> None:
        log.warning("%s %s is given up", notice.action, notice.payload.get("status"))
