"""Connectors: their levels, the status that follows from them, availability (OCPP 1.6 sections 4.9 and 5.2).

Owns one row per connector, 0 included, and what the wire and local readers are told of it. Must never create a task or
a timer per connector: thousands of them are rows (architecture.md), and timers run only where a state has to last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from orjson import dumps

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Discard, Effect, Publish, Store
from ocpphub.core.instant import Instant
from ocpphub.core.member import Wish
from ocpphub.core.permit import Limit, Permit
from ocpphub.core.report import Fault
from ocpphub.core.rows import Rows
from ocpphub.core.status import Condition, StatusQueue, way
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import AvailabilityStatus, AvailabilityType, ChargePointErrorCode, ChargePointStatus
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.core.reservation import Reservations
    from ocpphub.core.transaction import Transaction

TABLE: Final = "availability"
TIMER: Final = "status"
_SCHEDULED: Final = b'"scheduled"'
_INOPERATIVE: Final = b"false"
EV_SIDE: Final = "EV side disconnected"
"""Text of the notification after an unplug at the vehicle (OCPP 1.6 section 4.9, CORE-TX-17)."""
CONTROLLER_LOST: Final = Fault(str(ChargePointErrorCode.OTHER_ERROR), "controller lost")
_SEQ: Final = 4
"""Where the number of the permit stands in the mark of a connector state."""
_S = ChargePointStatus
_NO_ERROR: Final = Fault(str(ChargePointErrorCode.NO_ERROR))
_TELLS_EV_ERROR: Final = frozenset((_S.PREPARING, _S.SUSPENDED_EV, _S.SUSPENDED_EVSE, _S.FINISHING))


@dataclass(frozen=True, slots=True)
class Grant:
    """An authorisation that waits for its vehicle: whose, and what comes with it."""

    id_tag: str
    parent_id_tag: str | None = None
    profile: bytes | None = None
    """ChargingProfile of a RemoteStartTransaction, installed when the transaction starts."""
    is_remote: bool = False


@dataclass(slots=True)
class Connector:
    """One connector: the levels of its controller, and what it is used for. Changed by ``sessions.py`` alone."""

    connector_id: int
    plugged: bool = False
    plug_id: int | str | None = None
    ev_ready: bool = False
    evse_ready: bool = False
    permit_seq: int | None = None
    max_current_a: float | None = None
    errors: tuple[Fault, ...] = ()
    stamp_ms: int | None = None
    """The latest ``timestamp`` that its controller has given, as it was given."""
    has_controller: bool = False
    has_reported: bool = False
    """Whether its controller has reported since it attached."""
    is_attended: bool = False
    """Whether it has a controller, or lost it less than ``unattended_grace_s`` ago (decisions.md 4)."""
    is_lost: bool = False
    """Whether a transaction runs on although the controller has been gone for longer than that."""
    grant: Grant | None = None
    is_authorising: bool = False
    """Whether an answer about an id tag is awaited for it."""
    is_over: bool = False
    """Whether the use has ended, or was never authorised in time, while the cable is still plugged: Finishing."""
    locked_tag: str | None = None
    """Whose tag unlocks the cable after a stop for DeAuthorized (errata 3.17)."""
    locked_group: str | None = None
    transaction: Transaction | None = None
    is_resuming: bool = False
    """Whether its transaction is of before this start of the process and no report has confirmed it."""
    is_refused: bool = False
    """Whether the CSMS refused the running transaction, which gets no energy any more (errata 3.17)."""
    energy_limit_wh: int | None = None
    """Register at which a refused transaction's energy ends (MaxEnergyOnInvalidId)."""
    permit: Permit = field(default_factory=Permit)
    limit: Limit | None = None
    """What its own composite schedule allows, while it may have energy."""
    wish: Wish | None = None
    """What the allocation was asked for, ``None`` for no energy."""
    phases: int = 0
    """On how many phases its transaction charges, 0 before its first limit is known (CORE-SC-44)."""
    state: dict[str, Any] = field(default_factory=dict)
    """The connector state as it was last told (rpc.md), and what it was made of."""
    mark: tuple[object, ...] = ()
    announced: tuple[object, ...] = ()
    """What the last event on ``connector.status`` was made of."""
    is_metered: bool = False
    """Whether a register has come since its transaction began."""
    started_s: float = 0.0
    """When that was, monotonic; of a transaction of an earlier process 0."""
    last_stop_ms: int = 0
    """When its last transaction of this process ended."""

    @property
    def plugged_or_resuming(self) -> bool:
        """Whether a vehicle is there, or was when an earlier process ended."""
        return self.plugged or self.is_resuming


class Connectors:
    """Connectors 0 to N. 0 is the charge point itself (OCPP 1.6 section 3.8)."""

    def __init__(
        self,
        connectors: int,
        emit: Callable[[Effect], None],
        timers: Timers,
        queue: StatusQueue,
        now_ms: Callable[[Instant], int],
        *,
        may_replace: Callable[[], bool],
        min_duration_s: Callable[[], int],
    ) -> None:
        self._emit, self._timers, self._queue, self._now_ms = emit, timers, queue, now_ms
        self._may_replace, self._min_duration_s = may_replace, min_duration_s
        self.count = connectors
        self.reservations: Reservations
        self._inoperative: set[int] = set()
        self._scheduled: set[int] = set()
        self._rows = [Connector(connector_id) for connector_id in range(connectors + 1)]
        self._rows[0].is_attended = True
        self._present: list[Condition] = []
        """What each connector is now."""
        self._told: list[Condition] = []
        """What the queue was last given of each; behind ``_present`` for states that are too short so far."""
        self._before_fault: dict[int, ChargePointStatus] = {}
        self.on_free: Callable[[Connector, Instant], None] = self.update
        """Lets the use of a connector follow when a reservation of it has come or gone."""
        self.is_held = False
        """While firmware is installed, or waits for the last transactions, nothing begins (CORE-UF-06, S-238)."""
        self.is_quiet = False
        """While stopped nothing is told to the CSMS (decisions.md 6)."""

    def restore(self, rows: Rows, since_utc_ms: int) -> None:
        """Take up what ChangeAvailability left (OCPP 1.6 section 5.2: it persists) and derive every status."""
        for key, value in rows.of(TABLE).items():
            if key.isdecimal() and int(key) <= self.count:
                (self._scheduled if value == _SCHEDULED else self._inoperative).add(int(key))
        unknown = Condition(_S.UNAVAILABLE, ChargePointErrorCode.NO_ERROR, since_utc_ms)
        self._present = [unknown] * (self.count + 1)
        self._present = [self._derived(row, since_utc_ms) for row in self._rows]
        self._told = self._present.copy()

    def shift_untrusted(self, by_ms: int) -> None:
        """The clock became known: times from before are corrected once (reliability.md 4.7)."""
        if by_ms:
            self._present = [replace(old, since_utc_ms=old.since_utc_ms + by_ms) for old in self._present]
            self._told = [replace(old, since_utc_ms=old.since_utc_ms + by_ms) for old in self._told]

    # rows

    def row(self, connector_id: int) -> Connector:
        """The row of an existing connector. Raises :class:`LocalError` ``unknown_connector``."""
        self.check(connector_id)
        return self._rows[connector_id]

    def any_row(self, connector_id: int) -> Connector:
        """The row of connector 0 to N, which exists."""
        return self._rows[connector_id]

    def __iter__(self) -> Iterator[Connector]:
        """The rows of connectors 1 to N."""
        return iter(self._rows[1:])

    def check(self, connector_id: int) -> None:
        """Raise :class:`LocalError` unless the connector exists (0 does not count as one)."""
        if not 1 <= connector_id <= self.count:
            raise LocalError("unknown_connector", path="/params/connector_id", hint=f"1 to {self.count}")

    def has(self, connector_id: int) -> bool:
        """Whether 0 or a connector has this number."""
        return 0 <= connector_id <= self.count

    # status

    def condition(self, connector_id: int) -> Condition:
        """What the next StatusNotification of this connector would say."""
        return self._present[connector_id]

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of connectors 0 to N."""
        return self._present

    def status(self, connector_id: int) -> ChargePointStatus:
        """The present status of connector 0 to N."""
        return self._present[connector_id].status

    def is_operative(self, connector_id: int) -> bool:
        """Whether ChangeAvailability, and an update of firmware, let the connector be used."""
        if connector_id in self._inoperative:
            return False
        if self.is_held and connector_id and self._rows[connector_id].transaction is None:
            return False
        return 0 not in self._inoperative or connector_id in self._scheduled

    def is_faulted(self, connector_id: int) -> bool:
        """Whether an active error keeps the connector, or the whole charge point, from charging."""
        return any(fault.inoperative for fault in (*self._rows[connector_id].errors, *self._rows[0].errors))

    def _use(self, row: Connector) -> ChargePointStatus:
        """The status that follows from the levels alone, faults left out."""
        if row.transaction is not None:
            if not row.plugged and row.has_reported:
                return _S.SUSPENDED_EV  # CORE-TX-15: the transaction goes on without its vehicle
            if not (row.evse_ready and row.permit.allows_energy):  # CORE-STAT-04: the EVSE's side comes first
                return _S.SUSPENDED_EVSE
            return _S.CHARGING if row.ev_ready else _S.SUSPENDED_EV
        if not (row.is_attended and self.is_operative(row.connector_id)):
            return _S.UNAVAILABLE
        if row.plugged and row.is_over and row.grant is None:
            return _S.FINISHING
        if row.plugged or row.grant is not None:
            return _S.PREPARING
        if row.connector_id and self.reservations.of(row.connector_id) is not None:
            return _S.RESERVED
        return _S.AVAILABLE

    def _derived(self, row: Connector, since_ms: int) -> Condition:
        status = self._use(row)
        fatal = [fault for fault in row.errors if fault.inoperative]
        errors = (CONTROLLER_LOST,) if row.is_lost else row.errors
        if fatal and (row.is_attended or row.transaction is not None):
            status = _S.FAULTED
        fault = (fatal or errors or (_NO_ERROR,))[-1]
        if fault.error_code == ChargePointErrorCode.EV_COMMUNICATION_ERROR and status not in _TELLS_EV_ERROR:
            # CORE-STAT-08: it may be told with four states only; a running transaction is suspended first.
            if status is _S.CHARGING:
                status = _S.SUSPENDED_EVSE
            elif status is _S.FAULTED:
                fault = fault._replace(error_code=str(ChargePointErrorCode.OTHER_ERROR), info=fault.error_code)
            else:
                fault = _NO_ERROR
        info = fault.info
        if status is _S.SUSPENDED_EV and not row.plugged and not info:
            info = EV_SIDE
        code = ChargePointErrorCode(fault.error_code)
        return Condition(status, code, since_ms, info, fault.vendor_id, fault.vendor_error_code)

    def update(self, row: Connector, now: Instant, at_ms: int | None = None) -> None:
        """Let the status follow the levels, since ``at_ms``. Effects: ``Publish``; the queue has what is to be told."""
        connector_id = row.connector_id
        before = self._present[connector_id]
        condition = self._derived(row, self._now_ms(now) if at_ms is None else at_ms)
        if condition.says_the_same_as(before):
            self.announce(row)
            return
        if condition.status is _S.FAULTED and before.status is not _S.FAULTED:
            self._before_fault[connector_id] = before.status
        self._present[connector_id] = condition
        self._tell_after_a_while(connector_id, condition, now)
        self.announce(row)

    def announce(self, row: Connector) -> None:
        """Effects: ``Publish`` on ``connector.status`` if anything but the permit is not as it was last published."""
        if not row.connector_id:
            return
        state = self.state(row.connector_id)
        mark = row.mark[:_SEQ] + row.mark[_SEQ + 1 :]
        if mark != row.announced:
            row.announced = mark
            self._emit(Publish("connector.status", dumps(state), row.connector_id))

    def pass_through(self, row: Connector, status: ChargePointStatus, info: str, now: Instant) -> None:
        """Tell a state that the connector goes through at once, with an ``info`` of its own."""
        condition = Condition(status, ChargePointErrorCode.NO_ERROR, self._now_ms(now), info)
        if self._present[row.connector_id].status is not _S.FAULTED and not self._min_duration_s():
            self._tell(row.connector_id, condition)

    def _tell_after_a_while(self, connector_id: int, condition: Condition, now: Instant) -> None:
        wait_s = self._min_duration_s()
        told = self._told[connector_id]
        name = (TIMER, connector_id)
        urgent = _S.FAULTED in (condition.status, told.status) or not condition.has_the_error_of(told)  # AMB-15
        if not wait_s or urgent or not connector_id:
            self._timers.cancel(name)
            self._tell(connector_id, condition)
        elif condition.says_the_same_as(told):
            self._timers.cancel(name)  # CORE-STAT-03: back before anybody had to know
        else:
            self._timers.set(name, now.monotonic_s + wait_s)

    def tell_now(self, connector_id: int) -> None:
        """Tell a state that has not lasted long enough yet: the CSMS has asked for it."""
        if self._timers.deadline((TIMER, connector_id)) is not None:
            self._timers.cancel((TIMER, connector_id))
            self._tell(connector_id, self._present[connector_id])

    def handle_timer(self, connector_id: int) -> None:
        """A state has lasted for MinimumStatusDuration."""
        self._tell(connector_id, self._present[connector_id])

    def _tell(self, connector_id: int, condition: Condition) -> None:
        before = self._told[connector_id]
        if condition.says_the_same_as(before):
            return
        self._told[connector_id] = condition
        if self.is_quiet:
            return
        start, steps = before.status, []
        if connector_id and start is _S.FAULTED and condition.status is not _S.FAULTED:
            # CORE-STAT-16: first back to the state before the fault, from there to where the world is now.
            start = self._before_fault.pop(connector_id, condition.status)
            steps.append(start)
        if connector_id and start is not condition.status:
            steps += way(start, condition.status)
        for status in steps[:-1]:
            between = Condition(status, ChargePointErrorCode.NO_ERROR, condition.since_utc_ms)
            self._queue.add(connector_id, between, may_replace=self._may_replace())
        self._queue.add(connector_id, condition, may_replace=self._may_replace())

    def tell_once(self, code: ChargePointErrorCode, now: Instant) -> None:
        """Tell of something that happened to the charge point and is no lasting state (connector 0)."""
        if not self.is_quiet:
            condition = Condition(self._present[0].status, code, self._now_ms(now))
            self._queue.add(0, condition, may_replace=False)

    def reserved_changed(self, connector_id: int, now: Instant) -> None:
        """A reservation came or went; one of connector 0 shows nowhere (CORE-RV-08)."""
        if connector_id:
            self.on_free(self._rows[connector_id], now)

    def tell_all(self) -> None:
        """Errata 3.22: after BootNotification Accepted every connector tells its status."""
        for connector_id, condition in enumerate(self._present):
            self._timers.cancel((TIMER, connector_id))
            self._told[connector_id] = condition
        self._queue.tell_all(self._present)

    # availability

    def change_availability(self, connector_id: int, wanted: str) -> AvailabilityStatus:
        """ChangeAvailability: decide and persist; :meth:`apply_availability` follows the answer.

        Effects: ``Store`` or ``Discard`` for each connector whose availability changes.
        """
        if not self.has(connector_id):
            return AvailabilityStatus.REJECTED
        if wanted == AvailabilityType.OPERATIVE:
            # OCPP 1.6 section 5.2: connector 0 stands for the charge point and all its connectors.
            known = self._inoperative | self._scheduled
            for changed in sorted(known) if connector_id == 0 else [connector_id]:
                if changed in known:
                    self._inoperative.discard(changed)
                    self._scheduled.discard(changed)
                    self._emit(Discard(TABLE, str(changed)))
            return AvailabilityStatus.ACCEPTED
        if connector_id == 0:
            # CORE-CA-04: what is idle and the charge point itself at once, the others when their use ends.
            busy = [row.connector_id for row in self if self._is_busy(row)]
            for busy_id in busy:
                self._schedule(busy_id)
            self._make_inoperative(0)
            return AvailabilityStatus.SCHEDULED if busy else AvailabilityStatus.ACCEPTED
        if connector_id in self._inoperative:
            return AvailabilityStatus.ACCEPTED
        if self._is_busy(self._rows[connector_id]):
            self._schedule(connector_id)
            return AvailabilityStatus.SCHEDULED
        self._make_inoperative(connector_id)
        return AvailabilityStatus.ACCEPTED

    def _is_busy(self, row: Connector) -> bool:
        # CORE-CA-09: Preparing has no edge to Unavailable; Finishing has one (F8).
        return row.transaction is not None or row.grant is not None or (row.plugged and not row.is_over)

    def _make_inoperative(self, connector_id: int) -> None:
        if connector_id not in self._inoperative:
            self._inoperative.add(connector_id)
            self._emit(Store(TABLE, str(connector_id), _INOPERATIVE))
        self._scheduled.discard(connector_id)

    def _schedule(self, connector_id: int) -> None:
        if connector_id not in self._scheduled and connector_id not in self._inoperative:
            self._scheduled.add(connector_id)
            self._emit(Store(TABLE, str(connector_id), _SCHEDULED))

    def run_schedule(self, row: Connector) -> None:
        """The use of a connector may have ended: a scheduled Inoperative takes effect. Effects: ``Store``."""
        if self._scheduled and row.connector_id in self._scheduled and not self._is_busy(row):
            self._make_inoperative(row.connector_id)

    # readers

    def state(self, connector_id: int) -> dict[str, Any]:
        """The connector state of rpc.md, JSON-ready. Raises :class:`LocalError` for an unknown connector.

        The very same object as long as nothing in it changes: it must not be written to.
        """
        self.check(connector_id)
        row, condition = self._rows[connector_id], self._present[connector_id]
        transaction, reservation = row.transaction, self.reservations.of(connector_id)
        operative = self.is_operative(connector_id)
        mark = (
            *(condition, operative, row.has_controller, row.plugged, row.permit.seq, reservation, transaction),
            None if transaction is None else (transaction.transaction_id, transaction.start_ms),
        )
        if mark != row.mark:
            row.mark = mark
            row.state = {
                "connector_id": connector_id,
                "status": condition.status,
                "error_code": condition.error_code,
                "availability": AvailabilityType.OPERATIVE if operative else AvailabilityType.INOPERATIVE,
                "attached": row.has_controller,
                "plugged": row.plugged,
                "permit": row.permit.json(),
                "transaction": None if transaction is None else _transaction_json(transaction),
                "reservation": None if reservation is None else reservation.json(),
            }
        return row.state


def _transaction_json(transaction: Transaction) -> dict[str, Any]:
    return {
        "session_id": transaction.session_id,
        "transaction_id": transaction.transaction_id,
        "id_tag": transaction.id_tag,
        "start": utc_text(transaction.start_ms),
        "meter_start_wh": transaction.meter_start_wh,
    }
