"""Connector status and availability, and the StatusNotifications that tell them (OCPP 1.6 sections 4.9 and 5.2).

Owns one row per connector, 0 included, the table of allowed transitions, and the queue of waiting notifications.
Must never create a task or a timer per connector: thousands of them are rows (architecture.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orjson import dumps

from ocpphub.core.effects import Discard, Effect, Publish, Store
from ocpphub.core.instant import Instant
from ocpphub.core.messages import StatusNotificationRequest
from ocpphub.core.outbox import Gate, Outcome, OwnCall
from ocpphub.core.rows import Rows
from ocpphub.core.vocabulary import AvailabilityStatus, AvailabilityType, ChargePointErrorCode, ChargePointStatus
from ocpphub.errors import LocalError

TABLE: Final = "availability"

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

    def says_the_same_as(self, other: Condition) -> bool:
        """Whether both differ in nothing but their time."""
        return self.status is other.status and self.error_code is other.error_code


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


class StatusQueue:
    """Waiting StatusNotifications in the order of their events, replaced as decisions.md 6 allows."""

    def __init__(self, connectors: int, stamp: Callable[[int], str], now_ms: Callable[[Instant], int]) -> None:
        self._stamp, self._now_ms = stamp, now_ms
        self._order: deque[Notification] = deque()
        self._triggered: deque[Notification] = deque()
        self._waiting: dict[int, list[Notification]] = {}
        self._last_sent: list[Condition | None] = [None] * (connectors + 1)

    def __len__(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())

    def add(self, connector_id: int, condition: Condition, *, may_replace: bool) -> None:
        """Queue a change. ``may_replace`` is true while offline or not accepted; else one waiting is kept first."""
        waiting = self._waiting.setdefault(connector_id, [])
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

    def tell_all(self, conditions: list[Condition]) -> None:
        """Let every connector be told (errata 3.22: after BootNotification Accepted).

        What waits since an earlier boot stays, for the edges; it ends in the present condition anyway.
        """
        for connector_id, condition in enumerate(conditions):
            waiting = self._waiting.get(connector_id)
            if waiting and self._last_sent[connector_id] is not None:
                continue
            for notification in waiting or ():
                notification.is_void = True
            self._waiting[connector_id] = []
            self.add(connector_id, condition, may_replace=False)

    def trigger(self, connector_id: int, condition: Condition, *, is_pending: bool) -> None:
        """TriggerMessage: the present condition; one that waits anyway counts (OCPP 1.6 section 5.17)."""
        waiting = self._waiting.get(connector_id)
        if waiting and not is_pending:
            return
        for notification in waiting or ():
            notification.is_void = True
        notification = Notification(connector_id, condition)
        self._waiting[connector_id] = [notification]
        self._triggered.append(notification)

    def clear(self) -> None:
        """Forget everything that waits and what the CSMS was told: the next boot begins anew."""
        self._order.clear()
        self._triggered.clear()
        self._waiting.clear()
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
        return OwnCall("StatusNotification", payload, lambda outcome, at: self._done(notification, previous, outcome))

    def _pop(self, queue: deque[Notification]) -> Notification | None:
        while queue:
            notification = queue.popleft()
            if not notification.is_void:
                self._waiting[notification.connector_id].remove(notification)
                self._forget_if_empty(notification.connector_id)
                return notification
        return None

    def _done(self, notification: Notification, previous: Condition | None, outcome: Outcome) -> None:
        if outcome.kind != "link_lost":
            return  # AMB-21: an error or a timeout is not repeated, the next change supersedes it
        connector_id = notification.connector_id
        self._last_sent[connector_id] = previous
        waiting = self._waiting.setdefault(connector_id, [])
        waiting.insert(0, notification)
        self._order.appendleft(notification)

    def _forget_if_empty(self, connector_id: int) -> None:
        if not self._waiting.get(connector_id):
            self._waiting.pop(connector_id, None)


class ConnectorTable:
    """Status and availability of connectors 0 to N. 0 is the charge point itself (OCPP 1.6 section 3.8)."""

    def __init__(
        self, connectors: int, emit: Callable[[Effect], None], queue: StatusQueue, now_ms: Callable[[Instant], int]
    ) -> None:
        self._emit, self._queue, self._now_ms = emit, queue, now_ms
        self.count = connectors
        self._inoperative: set[int] = set()
        self._attached: set[int] = set()
        self._conditions: list[Condition] = []

    def restore(self, rows: Rows, since_utc_ms: int) -> None:
        """Take up what ChangeAvailability left (OCPP 1.6 section 5.2: it persists) and derive every status."""
        self._inoperative = {int(key) for key in rows.of(TABLE) if int(key) <= self.count}
        self._conditions = [
            Condition(self._derived(connector_id), ChargePointErrorCode.NO_ERROR, since_utc_ms)
            for connector_id in range(self.count + 1)
        ]

    def shift_untrusted(self, by_ms: int) -> None:
        """The clock became known: times from before are corrected once (reliability.md 4.7)."""
        if by_ms:
            self._conditions = [replace(old, since_utc_ms=old.since_utc_ms + by_ms) for old in self._conditions]

    def _derived(self, connector_id: int) -> ChargePointStatus:
        """Unavailable without a controller (decisions.md 4) or while it or the whole charge point is inoperative."""
        operative = connector_id not in self._inoperative and 0 not in self._inoperative
        attended = connector_id == 0 or connector_id in self._attached
        return ChargePointStatus.AVAILABLE if operative and attended else ChargePointStatus.UNAVAILABLE

    def check(self, connector_id: int) -> None:
        """Raise :class:`LocalError` unless the connector exists (0 does not count as one)."""
        if not 1 <= connector_id <= self.count:
            raise LocalError("unknown_connector", path="/params/connector_id", hint=f"1 to {self.count}")

    def has(self, connector_id: int) -> bool:
        """Whether 0 or a connector has this number."""
        return 0 <= connector_id <= self.count

    def condition(self, connector_id: int) -> Condition:
        """What the next StatusNotification of this connector would say."""
        return self._conditions[connector_id]

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of connectors 0 to N."""
        return self._conditions

    def attend(self, connector_id: int, attended: bool, now: Instant, *, may_replace: bool) -> None:
        """A controller took or left the connector (decisions.md 4). Effects: ``Publish`` when the status changes."""
        if attended:
            self._attached.add(connector_id)
        else:
            self._attached.discard(connector_id)
        self._update(connector_id, now, may_replace=may_replace)

    def report(
        self,
        connector_id: int,
        status: ChargePointStatus,
        error_code: ChargePointErrorCode,
        now: Instant,
        *,
        may_replace: bool,
    ) -> None:
        """A connector is in another condition now. Effects: ``Publish``; the notification waits in the queue."""
        old = self._conditions[connector_id]
        if (old.status, old.error_code) == (status, error_code):
            return
        condition = Condition(status, error_code, self._now_ms(now))
        self._conditions[connector_id] = condition
        self._queue.add(connector_id, condition, may_replace=may_replace)
        if connector_id:
            self._emit(Publish("connector.status", dumps(self.state(connector_id)), connector_id))

    def _update(self, connector_id: int, now: Instant, *, may_replace: bool) -> None:
        self.report(
            connector_id, self._derived(connector_id), ChargePointErrorCode.NO_ERROR, now, may_replace=may_replace
        )

    def change_availability(self, connector_id: int, wanted: str) -> AvailabilityStatus:
        """ChangeAvailability: decide and persist; :meth:`apply_availability` follows the answer.

        Effects: ``Store`` or ``Discard`` for each connector whose availability changes.
        """
        if not self.has(connector_id):
            return AvailabilityStatus.REJECTED
        if wanted == AvailabilityType.INOPERATIVE:
            if connector_id not in self._inoperative:
                self._inoperative.add(connector_id)
                self._emit(Store(TABLE, str(connector_id), b"false"))
            return AvailabilityStatus.ACCEPTED
        # OCPP 1.6 section 5.2: connector 0 stands for the charge point and all its connectors.
        for changed in sorted(self._inoperative) if connector_id == 0 else [connector_id]:
            if changed in self._inoperative:
                self._inoperative.discard(changed)
                self._emit(Discard(TABLE, str(changed)))
        return AvailabilityStatus.ACCEPTED

    def apply_availability(self, connector_id: int, now: Instant, *, may_replace: bool) -> None:
        """Let the status follow the availability, of all connectors for 0."""
        for changed in range(self.count + 1) if connector_id == 0 else (connector_id,):
            self._update(changed, now, may_replace=may_replace)

    def state(self, connector_id: int) -> dict[str, Any]:
        """The connector state of rpc.md, JSON-ready. Raises :class:`LocalError` for an unknown connector."""
        self.check(connector_id)
        condition = self._conditions[connector_id]
        operative = connector_id not in self._inoperative and 0 not in self._inoperative
        return {
            "connector_id": connector_id,
            "status": str(condition.status),
            "error_code": str(condition.error_code),
            "availability": str(AvailabilityType.OPERATIVE if operative else AvailabilityType.INOPERATIVE),
            "attached": connector_id in self._attached,
            "plugged": False,
            "permit": {"seq": 0, "energize": False, "limit_a": 0.0, "limit_w": 0.0, "phases": 0},
            "transaction": None,
            "reservation": None,
        }
