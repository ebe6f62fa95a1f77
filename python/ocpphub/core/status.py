"""Status conditions, the table of their transitions, and the StatusNotifications that tell them (OCPP 1.6 section 4.9).

Owns the allowed edges, the way between two states that have none, and the queue of waiting notifications. Must never
decide in which state a connector is: that is ``connector.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ocpphub.core.instant import Instant
from ocpphub.core.messages import StatusNotificationRequest
from ocpphub.core.outbox import Gate, Outcome, OwnCall
from ocpphub.core.vocabulary import ChargePointErrorCode, ChargePointStatus

_S = ChargePointStatus
TRANSITIONS: Final[Mapping[ChargePointStatus, frozenset[ChargePointStatus]]] = {
    _S.AVAILABLE: frozenset(_S) - {_S.AVAILABLE, _S.FINISHING},
    _S.PREPARING: frozenset(_S) - {_S.PREPARING, _S.RESERVED, _S.UNAVAILABLE},
    _S.CHARGING: frozenset(_S) - {_S.CHARGING, _S.PREPARING, _S.RESERVED},
    _S.SUSPENDED_EV: frozenset(_S) - {_S.SUSPENDED_EV, _S.PREPARING, _S.RESERVED},
    _S.SUSPENDED_EVSE: frozenset(_S) - {_S.SUSPENDED_EVSE, _S.PREPARING, _S.RESERVED},
    _S.FINISHING: frozenset((_S.AVAILABLE, _S.PREPARING, _S.UNAVAILABLE, _S.FAULTED)),
    _S.RESERVED: frozenset((_S.AVAILABLE, _S.PREPARING, _S.UNAVAILABLE, _S.FAULTED)),
    _S.UNAVAILABLE: frozenset(_S) - {_S.UNAVAILABLE, _S.FINISHING, _S.RESERVED},
    _S.FAULTED: frozenset(_S) - {_S.FAULTED},
}
"""The edges that may appear on the wire for connectors above 0 (OCPP 1.6 section 4.9, B6 from errata 3.20)."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a StatusNotification says about a connector, and since when (corrected milliseconds)."""

    status: ChargePointStatus
    error_code: ChargePointErrorCode
    since_utc_ms: int
    info: str = ""
    vendor_id: str = ""
    vendor_error_code: str = ""

    def says_the_same_as(self, other: Condition) -> bool:
        """Whether both differ in nothing but their time."""
        return self.status is other.status and self.has_the_error_of(other)

    def has_the_error_of(self, other: Condition) -> bool:
        """Whether both tell the same error with the same texts."""
        return (self.error_code, self.info, self.vendor_id, self.vendor_error_code) == (
            other.error_code,
            other.info,
            other.vendor_id,
            other.vendor_error_code,
        )


_CHARGING: Final = frozenset((_S.CHARGING, _S.SUSPENDED_EV, _S.SUSPENDED_EVSE))


def way(before: ChargePointStatus, after: ChargePointStatus) -> tuple[ChargePointStatus, ...]:
    """The states from ``before`` (left out) to ``after`` (the last one) along allowed edges, one in between at most."""
    if before is after or after in TRANSITIONS[before]:
        return (after,)
    # A transaction begins in Preparing (F2, G2); every other missing edge leads through Available (B1, C1, F1 ...).
    between = _S.PREPARING if after in _CHARGING or after is _S.FINISHING else _S.AVAILABLE
    return between, after


@dataclass(slots=True)
class Notification:
    """One waiting StatusNotification; ``is_void`` ones are skipped when their turn comes."""

    connector_id: int
    condition: Condition
    is_void: bool = False


def _joins(connector_id: int, before: Condition | None, after: Condition) -> bool:
    # CORE-STAT-02: what is left on the wire keeps to the table, so a needed state in between is kept.
    if connector_id == 0 or before is None or before.status is after.status:
        return True
    return after.status in TRANSITIONS[before.status]


_VOID_KEPT: Final = 64
STATUS_EVERY: Final = 8
"""While transaction messages wait, one CALL in so many is a StatusNotification (CORE-TXQ-04)."""


class StatusTurns:
    """The queue of notifications as a source before the transaction messages, which lets through a few."""

    def __init__(self, queue: StatusQueue, sent: Callable[[], int]) -> None:
        self._queue, self._sent = queue, sent
        self._last = 0
        self.waiting = queue.waiting
        queue.on_first = self._begin

    def _begin(self) -> None:
        self._last = self._sent()

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest notification when :data:`STATUS_EVERY` CALLs have left since one waits, or since the last here."""
        if self._sent() - self._last < STATUS_EVERY:
            return None
        self._last = self._sent()
        return self._queue.next_call(gate, now)


class StatusQueue:
    """Waiting StatusNotifications in the order of their events, replaced as decisions.md 6 allows."""

    def __init__(self, connectors: int, stamp: Callable[[int], str], now_ms: Callable[[Instant], int]) -> None:
        self._stamp, self._now_ms = stamp, now_ms
        self._order: deque[Notification] = deque()
        self._purge_at = _VOID_KEPT
        self._triggered: deque[Notification] = deque()
        self.waiting: dict[int, list[Notification]] = {}
        """By connector, none without any: see :class:`~ocpphub.core.outbox.Source`."""
        self.on_first: Callable[[], None] = lambda: None
        """Called when one waits and none did."""
        self._last_sent: list[Condition | None] = [None] * (connectors + 1)

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self.waiting.values())

    def add(self, connector_id: int, condition: Condition, *, may_replace: bool) -> None:
        """Queue a change. ``may_replace`` is true while offline or not accepted; else one waiting is kept first."""
        waiting = self._of(connector_id)
        while waiting and (may_replace or len(waiting) > 1):
            before = waiting[-2].condition if len(waiting) > 1 else self._last_sent[connector_id]
            if not _joins(connector_id, before, condition):
                break
            waiting.pop().is_void = True
            if before is not None and before.says_the_same_as(
                condition
            ):  # back where the CSMS believes us to be: nothing is left to tell
                self._forget_if_empty(connector_id)
                return
        notification = Notification(connector_id, condition)
        waiting.append(notification)
        self._order.append(notification)
        if len(self._order) > self._purge_at:  # days without a link must not fill the memory
            self._order = deque(each for each in self._order if not each.is_void)
            self._purge_at = 2 * len(self._order) + _VOID_KEPT

    def tell_all(self, conditions: list[Condition]) -> None:
        """Let every connector be told (errata 3.22: after BootNotification Accepted).

        What waits since an earlier boot stays, for the edges; it ends in the present condition anyway.
        """
        for connector_id, condition in enumerate(conditions):
            waiting = self.waiting.get(connector_id)
            if waiting and self._last_sent[connector_id] is not None:
                continue
            for notification in waiting or ():
                notification.is_void = True
            self.waiting.pop(connector_id, None)
            self.add(connector_id, condition, may_replace=False)

    def trigger(self, connector_id: int, condition: Condition, *, is_pending: bool) -> None:
        """TriggerMessage: the present condition; one that waits anyway counts (OCPP 1.6 section 5.17)."""
        waiting = self.waiting.get(connector_id)
        if waiting and not is_pending:
            return
        for notification in waiting or ():
            notification.is_void = True
        notification = Notification(connector_id, condition)
        self._of(connector_id)[:] = [notification]
        self._triggered.append(notification)

    def clear(self) -> None:
        """Forget everything that waits and what the CSMS was told: the next boot begins anew."""
        self._order.clear()
        self._triggered.clear()
        self.waiting.clear()
        self._last_sent = [None] * len(self._last_sent)

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest notification; while Pending only triggered ones."""
        if gate == "closed":
            return None
        notification = self._pop(self._triggered)
        if notification is None and gate == "open":
            notification = self._pop(self._order)
        if notification is None:
            return None
        connector_id, condition = notification.connector_id, notification.condition
        previous, self._last_sent[connector_id] = self._last_sent[connector_id], condition
        payload: StatusNotificationRequest = {
            "connectorId": connector_id,
            "errorCode": condition.error_code,
            "status": condition.status,
            # CORE-STAT-14, AMB-26: when it happened; the CSMS's clock decides, so never later than now.
            "timestamp": self._stamp(min(condition.since_utc_ms, self._now_ms(now))),
        }
        if condition.info:
            payload["info"] = condition.info
        if condition.vendor_id:
            payload["vendorId"] = condition.vendor_id
        if condition.vendor_error_code:
            payload["vendorErrorCode"] = condition.vendor_error_code
        return OwnCall("StatusNotification", payload, lambda outcome, at: self._done(notification, previous, outcome))

    def _pop(self, queue: deque[Notification]) -> Notification | None:
        while queue:
            notification = queue.popleft()
            if not notification.is_void:
                self.waiting[notification.connector_id].remove(notification)
                self._forget_if_empty(notification.connector_id)
                return notification
        return None

    def _done(self, notification: Notification, previous: Condition | None, outcome: Outcome) -> None:
        if outcome.kind != "link_lost":
            return  # AMB-21: an error or a timeout is not repeated, the next change supersedes it
        connector_id = notification.connector_id
        self._last_sent[connector_id] = previous
        waiting = self._of(connector_id)
        waiting.insert(0, notification)
        self._order.appendleft(notification)

    def _of(self, connector_id: int) -> list[Notification]:
        """Those of a connector, to which one is added."""
        if not self.waiting:
            self.on_first()
        return self.waiting.setdefault(connector_id, [])

    def _forget_if_empty(self, connector_id: int) -> None:
        if not self.waiting.get(connector_id):
            self.waiting.pop(connector_id, None)
