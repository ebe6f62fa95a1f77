"""Meter values: when a sample is taken, of what, and with which context (OCPP 1.6 section 3.16).

Owns the due times of sampled and clock-aligned values and the readings they are taken from. Must never send or keep a
sample: rows go to the queue, which composes messages. No connector has a task: one timer for each running transaction,
one for all clock-aligned values, whose work goes over the loop in slices while their time stays the aligned instant.

Due times of sampled values are monotonic; clock-aligned ones follow the corrected UTC. Timers are ``("meter", part)``.

Implements: CORE-MV-01 to CORE-MV-09, CORE-MV-13, CORE-MV-14, CORE-MV-16, CORE-MV-17, CORE-MV-20, CORE-TX-18, AMB-09,
AMB-10, AMB-11, errata 3.14 to 3.16.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Effect
from ocpphub.core.instant import Instant
from ocpphub.core.meter import Meters
from ocpphub.core.readings import Reading, meter_value, parse_readings
from ocpphub.core.sampling import Group, Levels, at_once, items_of
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Transaction
from ocpphub.core.triggered import TriggeredMeterValues
from ocpphub.core.vocabulary import ReadingContext

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings
    from ocpphub.core.delivery import TransactionQueue

SAMPLED: Final = "MeterValuesSampledData"
ALIGNED: Final = "MeterValuesAlignedData"
STOP_SAMPLED: Final = "StopTxnSampledData"
STOP_ALIGNED: Final = "StopTxnAlignedData"
INTERVAL_KEYS: Final = ("MeterValueSampleInterval", "ClockAlignedDataInterval")
"""Keys after whose change :meth:`Metering.restart_schedule` is due; the others are read when a sample is taken."""
ALIGNED_SLICE: Final = 500
"""Connectors whose clock-aligned values are taken in one turn of the loop."""
PATIENCE_S: Final = 10.0
"""How long a due sample waits for a report, unless half the interval is less."""
REARM_S: Final = 3_600.0
"""Farther ahead nothing is armed by UTC: the clocks of a machine run apart."""
_DAY_MS: Final = 86_400_000
_INTERRUPTIONS: Final = frozenset((ReadingContext.INTERRUPTION_BEGIN.value, ReadingContext.INTERRUPTION_END.value))


@dataclass(slots=True)
class _Session:
    """A running transaction's sampling: the time base, how many due times have passed, what was told last.

    ``due_s`` is the next due time; ``interruption`` the last context of that kind, ``is_new`` while it is not sampled.
    """

    transaction: Transaction
    base_s: float
    sampled_ms: int
    passed: int = 0
    due_s: float = inf
    interruption: str = ""
    is_new: bool = False


class Metering:
    """Sampling of the connectors 0 to N of one charge point; 0 is the main meter (CORE-MV-09)."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
        configuration: Configuration,
        queue: TransactionQueue,
        meters: Meters,
    ) -> None:
        self._timers, self._clock, self._configuration = timers, clock, configuration
        self._queue, self._meters = queue, meters
        self._levels: list[Levels | None] = [None] * (settings.connectors + 1)
        self._wanted_s = [inf] * (settings.connectors + 1)
        """From when on a report of a connector is looked at; kept apart because every report asks."""
        self._sessions: dict[int, _Session] = {}
        self._interval_s = 0
        self._offset_ms: int | None = None
        self._base_ms = 0
        self._aligned_ms: int | None = None
        """The next aligned instant, or the present one while connectors wait for it."""
        self._told_ms: int | None = None
        self._waiting: dict[int, None] = {}
        self.urgent = TriggeredMeterValues(self._triggered_payload)
        """Triggered values of single connectors: a source before the transaction queue."""
        self.patient = TriggeredMeterValues(self._triggered_payload)
        """Triggered values of all connectors: the last source, so that thousands of them hold up nothing."""

    # reports

    def parse(self, measurements: object, path: str) -> tuple[Reading, ...]:
        """The readings of a report. Raises :class:`LocalError` naming the place below ``path`` and what is allowed."""
        return parse_readings(measurements, path)

    def take(self, connector_id: int, readings: tuple[Reading, ...], energy_wh: int | None, at_ms: int) -> None:
        """These are the connector's latest values; ``energy_wh`` has passed :meth:`Meters.accept`.

        Effects: ``Store`` of a clock-aligned sample that was due before.
        """
        if connector_id in self._waiting:
            self._take_aligned(connector_id)
        levels = self._levels[connector_id]
        if levels is None:
            levels = self._levels[connector_id] = Levels()
        if energy_wh is not None:
            # The guard's, because it unwraps a rollover.
            levels.register_wh, levels.register_ms = self._meters.register(connector_id), at_ms
        if readings:
            levels.take(readings, at_ms)
            session = self._sessions.get(connector_id)
            if session is not None:
                self._note_interruption(connector_id, session, readings)

    def _note_interruption(self, connector_id: int, session: _Session, readings: tuple[Reading, ...]) -> None:
        """An interruption that begins or ends is sampled with the report that says so, once (CORE-MV-20)."""
        for reading in readings:
            if reading[2] is not None and reading.context in _INTERRUPTIONS:
                if session.interruption != reading.context:
                    session.interruption, session.is_new = str(reading.context), True
                    self._wanted_s[connector_id] = -inf
                return

    def reported(self, connector_id: int, tx: Transaction | None, now: Instant) -> None:
        """A report was taken. Effects: ``Store`` of the samples that are due, with its readings and its time."""
        if tx is not None and now.monotonic_s >= self._wanted_s[connector_id]:
            session = self._sessions[connector_id]
            if session.is_new:
                session.is_new = False
                self._wanted_s[connector_id] = session.due_s
                self._sample(session, session.interruption, self._clock.utc_ms(now), now)
            self._sample_if_due(session, now)

    def forget(self, connector_id: int) -> None:
        """Nobody reports this connector any more: its readings are no longer current.

        The register of a running transaction stays: it is the last that is known for certain.
        """
        levels = self._levels[connector_id]
        if levels is not None:
            levels.clear()
            if connector_id not in self._sessions:
                self._levels[connector_id] = None

    # transactions

    def started(self, tx: Transaction, now: Instant) -> None:
        """A transaction began. Effects: ``Store`` of its first values for StopTransaction, and of a checkpoint."""
        self._follow(tx, now)
        self._meters.checkpoint(tx.connector_id)
        context = ReadingContext.TRANSACTION_BEGIN.value
        self._mark_for_stop(tx, tx.start_ms, context, tx.meter_start_wh, trusted=tx.trusted)

    def resumed(self, tx: Transaction, now: Instant) -> None:
        """A transaction of an earlier process goes on: its due times are the old ones. Effects: none."""
        if tx.connector_id not in self._sessions:
            self._follow(tx, now)

    def _follow(self, tx: Transaction, now: Instant) -> None:
        if tx.connector_id in self._waiting:
            self._take_aligned(tx.connector_id)
        age_s = max(self._clock.utc_ms(now) - tx.start_ms, 0) / 1000
        session = _Session(tx, now.monotonic_s - age_s, tx.start_ms)
        self._sessions[tx.connector_id] = session
        self._schedule(session, now)

    def stopped(self, tx: Transaction, at_ms: int, now: Instant, meter_wh: int | None = None) -> None:
        """A transaction ends at ``at_ms`` with the register ``meter_wh``, the latest one when it is not given.

        To be called before the queue hears of the stop, and before the readings of whatever comes after are taken.
        Effects: ``Store`` of the last values for StopTransaction, and of a checkpoint.
        """
        connector_id = tx.connector_id
        if connector_id in self._waiting:
            self._take_aligned(connector_id)
        levels = self._levels[connector_id]
        if meter_wh is None:
            meter_wh = levels.register_wh if levels is not None else None
        if meter_wh is None:
            meter_wh = self._meters.register(connector_id)
        context = ReadingContext.TRANSACTION_END.value
        self._mark_for_stop(tx, at_ms, context, meter_wh, trusted=self._clock.is_trusted)
        self._meters.checkpoint(connector_id)
        self._sessions.pop(connector_id, None)
        self._wanted_s[connector_id] = inf
        self._timers.cancel(("meter", connector_id))

    def _mark_for_stop(self, tx: Transaction, at_ms: int, context: str, meter_wh: int | None, *, trusted: bool) -> None:
        """CORE-TX-18: each measurand of either key at the begin and at the end, as it stood then."""
        items = items_of(self._text(STOP_SAMPLED), self._text(STOP_ALIGNED))
        if not items:
            return
        if self._meters.register(tx.connector_id) is None:  # there is no meter
            meter_wh = None
        chosen = (self._levels[tx.connector_id] or Levels()).choose(items, meter_wh)
        if chosen:
            group = at_once(chosen, at_ms)
            self._queue.stop_sample(tx, group.layout, group.at_ms, context, group.values, trusted=trusted)

    # sampled values

    def _schedule(self, session: _Session, now: Instant) -> None:
        """Arm the next due time after now; those that were missed are not made up (CORE-MV-01, CORE-MV-02)."""
        connector_id = session.transaction.connector_id
        if self._interval_s <= 0:
            session.due_s = self._wanted_s[connector_id] = inf
            self._timers.cancel(("meter", connector_id))
            return
        # Counted too, because a due time that was computed may lie a rounding error before itself.
        session.passed = max(session.passed, int((now.monotonic_s - session.base_s) / self._interval_s))
        session.due_s = self._wanted_s[connector_id] = session.base_s + (session.passed + 1) * self._interval_s
        self._timers.set(("meter", connector_id), session.due_s + min(self._interval_s / 2, PATIENCE_S))

    def _sample_if_due(self, session: _Session, now: Instant) -> None:
        late_s = now.monotonic_s - session.due_s
        if late_s < 0:
            return
        due_ms = self._clock.utc_ms(now) - round(late_s * 1000)
        self._sample(session, ReadingContext.SAMPLE_PERIODIC.value, due_ms, now)
        session.passed += 1
        self._schedule(session, now)

    def _sample(self, session: _Session, context: str, due_ms: int, now: Instant) -> None:
        """What is new has its own time; what was told before is stamped ``due_ms``, or 1 ms after the last if the clock
        went back behind it (reliability.md 4.7).

        So the times of a transaction's samples never decrease, however they were called for.
        """
        tx = session.transaction
        if tx.connector_id in self._waiting:
            self._take_aligned(tx.connector_id)
        if due_ms < session.sampled_ms:
            due_ms = session.sampled_ms + 1
        if self._clock.is_trusted and tx.last_ms is not None and due_ms <= tx.last_ms:
            due_ms = tx.last_ms + 1  # a clock that went back must not make two samples the same
        levels = self._levels[tx.connector_id] or Levels()
        groups = [(group, False) for group in self._groups(levels, SAMPLED, session, due_ms) if self._interval_s > 0]
        if for_stop := self._groups(levels, STOP_SAMPLED, session, due_ms):
            groups += [(group, True) for group in for_stop]
            groups.sort(key=_time_of)  # the records of a transaction are in the order of their times
        trusted = self._clock.is_trusted
        for (at_ms, layout, values), is_for_stop in groups:
            if is_for_stop:
                self._queue.stop_sample(tx, layout, at_ms, context, values, trusted=trusted)
            else:
                self._queue.sample(tx.connector_id, tx, layout, at_ms, context, values, trusted=trusted)
        session.sampled_ms = max(self._clock.utc_ms(now), session.sampled_ms, *(each[0].at_ms for each in groups))
        if groups:  # a session that ends with the power must not end below what was told of it (reliability.md E1)
            self._meters.checkpoint(tx.connector_id)

    def _groups(self, levels: Levels, key: str, session: _Session, due_ms: int) -> list[Group]:
        text = self._text(key)
        return levels.groups(text, session.sampled_ms, due_ms) if text else []

    # clock-aligned values

    def restart_schedule(self, now: Instant) -> None:
        """The process starts, one of :data:`INTERVAL_KEYS` changed, or the clock was set. Effects: none."""
        if self._offset_ms != self._clock.offset_ms:
            # Against the monotonic clock: a correction may undo what somebody did to the machine's clock before.
            base_ms = self._clock.utc_ms(now) - round(now.monotonic_s * 1000)
            if self._offset_ms is not None:
                self._shift(base_ms - self._base_ms)
            self._offset_ms, self._base_ms = self._clock.offset_ms, base_ms
        interval_s = self._configuration.integer("MeterValueSampleInterval")
        if interval_s != self._interval_s:
            self._interval_s = interval_s
            for session in self._sessions.values():
                session.passed = 0
                self._schedule(session, now)
        if not self._waiting:
            self._arm_aligned(now)

    def _shift(self, by_ms: int) -> None:
        """What was read on the old time was read at the same moment on the new one."""
        self._meters.clock_stepped(by_ms)
        for levels in self._levels:
            if levels is not None:
                levels.shift(by_ms)
        for session in self._sessions.values():
            session.sampled_ms += by_ms

    def _arm_aligned(self, now: Instant) -> None:
        """The next instant of UTC midnight + k x ClockAlignedDataInterval (AMB-09)."""
        interval_ms = self._configuration.integer("ClockAlignedDataInterval") * 1000
        if interval_ms <= 0:
            self._aligned_ms = None
            self._timers.cancel(("meter", "aligned"))
            return
        utc_ms = self._clock.utc_ms(now)
        at_ms = _aligned_after(utc_ms, interval_ms)
        self._aligned_ms = at_ms
        self._timers.set(("meter", "aligned"), now.monotonic_s + min((at_ms - utc_ms) / 1000, REARM_S))

    def _handle_aligned(self, now: Instant) -> None:
        at_ms = self._aligned_ms
        if at_ms is None:
            return
        if not self._waiting:
            utc_ms = self._clock.utc_ms(now)
            if utc_ms < at_ms or at_ms == self._told_ms:
                # Too early; or reports have taken what this slice was for; or the clock went back over the instant.
                self._arm_aligned(now)
                return
            interval_ms = self._configuration.integer("ClockAlignedDataInterval") * 1000
            if utc_ms - at_ms >= interval_ms > 0:  # the process slept over some: what was missed is not made up
                self._aligned_ms = at_ms = _aligned_before(utc_ms, interval_ms)
            self._told_ms = at_ms
            told = (each for each in range(len(self._levels) - 1, -1, -1) if self._levels[each] is not None)
            self._waiting = dict.fromkeys(told)
        for _ in range(min(ALIGNED_SLICE, len(self._waiting))):
            self._take_aligned(self._waiting.popitem()[0])
        if self._waiting:
            self._timers.set(("meter", "aligned"), now.monotonic_s)
        else:
            self._arm_aligned(now)

    def _take_aligned(self, connector_id: int) -> None:
        """The values as they stood at the instant, which is their time whenever the work is done (AMB-10)."""
        self._waiting.pop(connector_id, None)
        levels, at_ms = self._levels[connector_id], self._told_ms
        if levels is None or at_ms is None:
            return
        session = self._sessions.get(connector_id)
        tx = None if session is None else session.transaction
        context, trusted = ReadingContext.SAMPLE_CLOCK.value, self._clock.is_trusted
        if chosen := levels.choose(items_of(self._text(ALIGNED))):
            group = at_once(chosen, at_ms)
            self._queue.sample(connector_id, tx, group.layout, at_ms, context, group.values, trusted=trusted)
        if tx is not None:
            self._meters.checkpoint(connector_id)
        if tx is not None and (chosen := levels.choose(items_of(self._text(STOP_ALIGNED)))):
            group = at_once(chosen, at_ms)
            self._queue.stop_sample(tx, group.layout, at_ms, context, group.values, trusted=trusted)
        if session is not None:
            session.sampled_ms = max(at_ms, session.sampled_ms)

    # timers

    def handle_timer(self, part: Hashable, now: Instant) -> None:
        """A timer ``("meter", part)`` has come. Effects: ``Store`` of what is due and nobody reported in time."""
        if part == "aligned":
            self._handle_aligned(now)
        elif isinstance(part, int) and (session := self._sessions.get(part)) is not None:
            self._sample_if_due(session, now)

    # TriggerMessage

    def trigger(self, connector_id: int | None, now: Instant) -> bool:
        """TriggerMessage(MeterValues) for one connector or all; whether there is anything to tell.

        To be sent by :attr:`urgent` and :attr:`patient`, after the answer that leaves in this input. Effects: none.
        """
        if connector_id is not None:
            if self._triggered(connector_id):
                self.urgent.put((connector_id,))
                return True
            return False
        told = [each for each in range(len(self._levels) - 1, -1, -1) if self._levels[each] is not None]
        self.patient.put(told)
        return any(self._triggered(each) for each in told)

    def halt(self) -> None:
        """OCPP is stopped: what was due at the last aligned instant and is not taken yet will not be."""
        self._waiting.clear()

    def link_lost(self) -> None:
        """Nobody waits for what was triggered any more."""
        self.urgent.clear()
        self.patient.clear()

    def _triggered(self, connector_id: int) -> list[Group]:
        levels = self._levels[connector_id]
        return [] if levels is None else levels.groups(self._text(SAMPLED), 0, 0)

    def _triggered_payload(self, connector_id: int) -> dict[str, Any] | None:
        """MeterValues.req with the newest values, each with the time it was read (CORE-MV-17, CORE-TM-08)."""
        groups = self._triggered(connector_id)
        if not groups:
            return None
        context = ReadingContext.TRIGGER.value
        values = [meter_value(group.layout, group.at_ms, context, group.values) for group in groups]
        payload: dict[str, Any] = {"connectorId": connector_id, "meterValue": values}
        session = self._sessions.get(connector_id)
        if session is not None and session.transaction.is_answered:
            payload["transactionId"] = session.transaction.wire_id
        return payload

    def _text(self, key: str) -> str:
        return self._configuration.text(key) or ""


def _time_of(sample: tuple[Group, bool]) -> int:
    return sample[0].at_ms


def _aligned_before(utc_ms: int, interval_ms: int) -> int:
    """The last aligned instant that is not after ``utc_ms``."""
    return utc_ms - utc_ms % _DAY_MS % interval_ms


def _aligned_after(utc_ms: int, interval_ms: int) -> int:
    """The first aligned instant after ``utc_ms``; each day begins with one, whatever the interval."""
    midnight_ms = utc_ms - utc_ms % _DAY_MS + _DAY_MS
    return min(_aligned_before(utc_ms, interval_ms) + interval_ms, midnight_ms)
