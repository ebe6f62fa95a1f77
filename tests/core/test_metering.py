"""When samples are taken and of what, on virtual time: sampled, clock-aligned, begin and end, triggered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from ocpphub.config import ChargePointSettings
from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Effect
from ocpphub.core.instant import Instant
from ocpphub.core.meter import Meters
from ocpphub.core.metering import ALIGNED_SLICE, INTERVAL_KEYS, Metering
from ocpphub.core.readings import Descriptor
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Transaction
from ocpphub.errors import LocalError
from ocpphub.store import Row
from tests.builders import EPOCH_MS, settings

REGISTER = "Energy.Active.Import.Register"
VOLTAGE = {"measurand": "Voltage", "value": 230}
SOC = {"measurand": "SoC", "value": 50}


@dataclass(frozen=True)
class Sample:
    """One row that the queue was given; times in seconds of the bench."""

    at_s: float
    context: str
    values: dict[str, str]
    connector_id: int
    session_id: int | None
    trusted: bool


@dataclass
class Recorder:
    """Stands for the transaction queue: rows of MeterValues.req, and rows of transactionData."""

    samples: list[Sample] = field(default_factory=list)
    stop_samples: list[Sample] = field(default_factory=list)
    order: list[Sample] = field(default_factory=list)

    def sample(self, connector_id: int, tx: Transaction | None, layout: tuple[Descriptor, ...], at_ms: int,
               context: str, values: Sequence[str], *, trusted: bool) -> None:  # fmt: skip
        self.samples.append(self._told(layout, at_ms, context, values, connector_id, tx, trusted))

    def stop_sample(self, tx: Transaction, layout: tuple[Descriptor, ...], at_ms: int,
                    context: str, values: Sequence[str], *, trusted: bool) -> None:  # fmt: skip
        self.stop_samples.append(self._told(layout, at_ms, context, values, tx.connector_id, tx, trusted))

    def _told(self, layout: tuple[Descriptor, ...], at_ms: int, context: str, values: Sequence[str],
              connector_id: int, tx: Transaction | None, trusted: bool) -> Sample:  # fmt: skip
        assert values, "a sample without a value"
        names = [f"{what.measurand}.{what.phase}" if what.phase else what.measurand for what in layout]
        told = dict(zip(names, values, strict=True))
        session_id = None if tx is None else tx.session_id
        sample = Sample((at_ms - EPOCH_MS) / 1000, str(context), told, connector_id, session_id, trusted)
        self.order.append(sample)
        return sample


@dataclass
class Bench:
    """Metering on virtual time: second 0 is 08:00:00 UTC, and the monotonic clock shows the same."""

    keys: dict[str, str] = field(default_factory=dict)
    connectors: int = 3
    rows: dict[str, bytes] = field(default_factory=dict)
    time_s: float = 0.0
    wall_ms: int = 0

    def __post_init__(self) -> None:
        self.point: ChargePointSettings = settings(connectors=self.connectors, configuration=self.keys)
        self.effects: list[Effect] = []
        self.queue, self.timers, self.clock = Recorder(), Timers(), Clock()
        self.clock.is_trusted = True
        self.configuration = Configuration(self.point, self.effects.append)
        self.meters = Meters(self.point, self.effects.append, self.clock)
        self.meters.restore(Rows([Row("CP1", "meter", key, value) for key, value in self.rows.items()], "CP1"))
        parts = (self.timers, self.clock, self.configuration, cast("Any", self.queue), self.meters)
        self.metering = Metering(self.point, self.effects.append, *parts)
        self.transactions: dict[int, Transaction] = {}
        self.session_id = 0
        self.turns = 0
        self.metering.restart_schedule(self.now)

    @property
    def now(self) -> Instant:
        return Instant(self.time_s, EPOCH_MS + self.wall_ms + round(self.time_s * 1000))

    def to(self, time_s: float) -> Bench:
        """Let time pass; timers come when they are due."""
        while (at := self.timers.next()) is not None and at <= time_s:
            self.time_s = max(self.time_s, at)
            for name in self.timers.expired(self.time_s):
                assert isinstance(name, tuple)
                assert name[0] == "meter"
                self.turns += 1
                self.metering.handle_timer(name[1], self.now)
        self.time_s = time_s
        return self

    def report(self, energy_wh: int | None = None, *measurements: dict[str, Any], connector_id: int = 1,
               ago_s: float = 0.0) -> Bench:  # fmt: skip
        """A report of the connector arrives now; it was made ``ago_s`` before."""
        at_ms = self.clock.utc_ms(self.now) - round(ago_s * 1000)
        readings = self.metering.parse(list(measurements), "/params/measurements")
        if energy_wh is not None:
            self.meters.accept(connector_id, energy_wh, at_ms, self.now)
        self.metering.take(connector_id, readings, energy_wh, at_ms)
        self.metering.reported(connector_id, self.transactions.get(connector_id), self.now)
        return self

    def start(self, connector_id: int = 1, ago_s: float = 0.0) -> Transaction:
        self.session_id += 1
        start_ms = self.clock.utc_ms(self.now) - round(ago_s * 1000)
        meter_wh = self.meters.register(connector_id) or 0
        tx = Transaction(self.session_id, connector_id, "TAG", start_ms, meter_wh, self.clock.is_trusted)
        self.transactions[connector_id] = tx
        self.metering.started(tx, self.now)
        return tx

    def stop(self, connector_id: int = 1, meter_wh: int | None = None) -> None:
        tx = self.transactions.pop(connector_id)
        self.metering.stopped(tx, self.clock.utc_ms(self.now), self.now, meter_wh)

    def set(self, key: str, value: str) -> None:
        """ChangeConfiguration, and what the charge point does after it."""
        _, changed = self.configuration.change(key, value, self.now)
        if changed in INTERVAL_KEYS:
            self.metering.restart_schedule(self.now)

    def told(self) -> list[tuple[float, dict[str, str]]]:
        return [(sample.at_s, sample.values) for sample in self.queue.samples]

    def triggered(self) -> list[dict[str, Any]]:
        """The payloads that both sources send, the urgent ones first."""
        found = []
        for source in (self.metering.urgent, self.metering.patient):
            while (call := source.next_call("open", self.now)) is not None:
                found.append(dict(call.payload))
        return found


def sampled(interval_s: int = 60, **keys: str) -> Bench:
    return Bench({"MeterValueSampleInterval": str(interval_s), **keys})


# sampled values


def test_report_at_or_after_the_due_time_gives_the_sample() -> None:
    """CORE-MV-01, CORE-MV-13: its readings and its time, counted from the start; the first is the register."""
    bench = sampled().report(100)
    bench.start()
    for time_s, energy_wh in ((59.9, 110), (60.0, 120), (61, 121), (119, 180), (123.5, 190), (180, 200)):
        bench.to(time_s).report(energy_wh)
    assert bench.told() == [(60.0, {REGISTER: "120"}), (123.5, {REGISTER: "190"}), (180.0, {REGISTER: "200"})]
    assert {(each.context, each.session_id) for each in bench.queue.samples} == {("Sample.Periodic", 1)}


@pytest.mark.parametrize(("interval_s", "patience_s"), [(60, 10.0), (5, 2.5)])
def test_due_sample_without_a_report_is_taken_from_the_present_levels(interval_s: int, patience_s: float) -> None:
    """CORE-MV-01: after half the interval or ten seconds, stamped with the due time."""
    bench = sampled(interval_s).report(100)
    bench.start()
    assert bench.to(interval_s + patience_s - 0.1).told() == []
    assert bench.to(interval_s + patience_s).told() == [(interval_s, {REGISTER: "100"})]
    assert bench.to(interval_s * 2 + patience_s).told()[1:] == [(interval_s * 2, {REGISTER: "100"})]


def test_interval_0_gives_no_sampled_values() -> None:
    """CORE-MV-02."""
    bench = sampled(0).report(100)
    bench.start()
    bench.to(30).report(101).to(60).report(102).to(3_600).report(103)
    assert bench.told() == []
    assert bench.timers.next() is None


def test_never_more_than_one_sample_for_a_due_time_and_none_made_up() -> None:
    """CORE-MV-01: a process that slept over four due times takes one sample, and the next at its time."""
    bench = sampled().report(100)
    bench.start()
    bench.time_s = 290.0
    bench.report(150).report(151)
    assert bench.told() == [(290.0, {REGISTER: "150"})]
    bench.to(300).report(152)
    assert bench.told()[1:] == [(300.0, {REGISTER: "152"})]


def test_readings_of_different_times_never_share_a_meter_value() -> None:
    """CORE-MV-14: each group has its own time; a level that was told before holds until the due time."""
    bench = sampled(MeterValuesSampledData=f"{REGISTER},Voltage,SoC").report(100, VOLTAGE, SOC)
    bench.start()
    bench.to(60).report(110)
    bench.to(100).report(None, SOC)
    bench.to(121).report(130).to(181).report(140)
    assert bench.told() == [
        (60.0, {REGISTER: "110", "Voltage": "230", "SoC": "50"}),
        (100.0, {"SoC": "50"}),
        (120.0, {"Voltage": "230"}),
        (121.0, {REGISTER: "130"}),
        (180.0, {"Voltage": "230", "SoC": "50"}),
        (181.0, {REGISTER: "140"}),
    ]


def test_sample_tells_exactly_what_is_configured_and_reported() -> None:
    """CORE-MV-04, CORE-MV-06, CORE-MV-07: in the order of the key; changed keys count from the next sample on."""
    phases = [{**VOLTAGE, "phase": f"L{i}", "value": 230 + i} for i in (1, 2, 3)]
    bench = sampled(MeterValuesSampledData="SoC,Voltage.L2").report(100, SOC, *phases)
    bench.start()
    bench.to(60).report(110)
    bench.set("MeterValuesSampledData", "Voltage,Power.Factor")
    bench.to(120).report(120)
    assert [list(values) for _, values in bench.told()] == [
        ["SoC", "Voltage.L2"],
        ["Voltage.L1", "Voltage.L2", "Voltage.L3"],
    ]


@pytest.mark.parametrize("items", ["", "Power.Factor"])
def test_sample_without_any_value_is_not_made(items: str) -> None:
    """CORE-MV-04: nothing configured, or nothing of it reported."""
    bench = sampled(MeterValuesSampledData=items).report(100, VOLTAGE)
    bench.start()
    assert bench.to(60).report(110).to(600).told() == []


def test_samples_of_a_report_that_was_made_before_have_its_time() -> None:
    """CORE-MV-14."""
    bench = sampled().report(100)
    bench.start()
    assert bench.to(62).report(110, ago_s=1.5).told() == [(60.5, {REGISTER: "110"})]


def test_changed_interval_counts_from_the_start_of_the_transaction() -> None:
    """CORE-MV-01: an unchanged one disturbs nothing."""
    bench = sampled().report(100)
    bench.start()
    bench.to(65)
    bench.metering.restart_schedule(bench.now)
    bench.report(110)
    bench.set("MeterValueSampleInterval", "25")
    bench.to(74).report(111).to(75).report(112)
    bench.set("MeterValueSampleInterval", "0")
    bench.to(300).report(113)
    assert [at_s for at_s, _ in bench.told()] == [65.0, 75.0]


def test_longer_interval_is_no_later_than_its_own_due_time() -> None:
    """CORE-MV-01: what the shorter one had counted is forgotten."""
    bench = sampled(10).report(100)
    bench.start()
    bench.to(66)
    bench.queue.samples.clear()
    bench.set("MeterValueSampleInterval", "100")
    assert [at_s for at_s, _ in bench.to(211).told()] == [100.0, 200.0]


@pytest.mark.parametrize(("start_s", "interval_s"), [(5.7, 3), (1000.1, 60), (1000.1, 300)])
def test_start_that_binary_fractions_cannot_tell_gives_one_sample_a_due_time(start_s: float, interval_s: int) -> None:
    """CORE-MV-01."""
    bench = sampled(interval_s).to(start_s).report(100)
    bench.start()
    base_s = bench.time_s
    for k in range(1, 4):
        bench.to(base_s + k * interval_s).report(100 + k).report(100 + k)
    assert len(bench.told()) == 3


def test_transaction_that_started_before_it_was_told_is_sampled_from_its_start() -> None:
    """CORE-MV-01."""
    bench = sampled().to(30).report(100)
    bench.start(ago_s=20)
    assert bench.to(70).report(101).told() == [(70.0, {REGISTER: "101"})]


def test_resumed_transaction_keeps_its_due_times() -> None:
    """CORE-MV-01, AMB-18: a restart takes no Transaction.Begin and makes nothing up."""
    bench = sampled(StopTxnSampledData=REGISTER)
    bench.to(150).report(100)
    tx = Transaction(7, 1, "TAG", EPOCH_MS, 50, True)
    bench.transactions[1] = tx
    for _ in range(2):
        bench.metering.resumed(tx, bench.now)
    assert bench.told() == []
    assert bench.to(180).report(120).told() == [(180.0, {REGISTER: "120"})]
    assert [each.context for each in bench.queue.stop_samples] == ["Sample.Periodic"]


def test_transaction_that_is_resumed_again_goes_on_as_it_was() -> None:
    """CORE-MV-14: what was told before is not told as new."""
    bench = sampled(MeterValuesSampledData="Voltage")
    tx = bench.transactions[1] = Transaction(7, 1, "TAG", EPOCH_MS, 50, True)
    bench.metering.resumed(tx, bench.now)
    bench.to(50).report(None, VOLTAGE).to(60).report(1)
    bench.metering.resumed(tx, bench.now)
    assert [at_s for at_s, _ in bench.to(130).told()] == [50.0, 120.0]


def test_sample_belongs_to_the_transaction_that_runs_when_it_is_taken() -> None:
    """CORE-MV-08: at a boundary of two."""
    bench = sampled().report(100)
    bench.start()
    bench.to(60).report(110)
    bench.stop()
    bench.to(90).report(115)
    bench.start()
    bench.to(120).report(120).to(150).report(130)
    assert [(each.at_s, each.session_id) for each in bench.queue.samples] == [(60.0, 1), (150.0, 2)]


def test_ended_transaction_leaves_no_timer() -> None:
    """CORE-MV-01."""
    bench = sampled().report(100)
    bench.start()
    bench.stop()
    assert bench.timers.next() is None
    bench.to(60).report(110)
    assert bench.told() == []


def test_samples_say_whether_the_time_was_known() -> None:
    """CORE-MV-21: the queue corrects those that were taken before."""
    bench = sampled().report(100)
    bench.clock.is_trusted = False
    bench.start()
    bench.to(60).report(110)
    bench.clock.is_trusted = True
    bench.to(120).report(120)
    assert [each.trusted for each in bench.queue.samples] == [False, True]


def test_clock_that_is_set_moves_no_due_time_and_what_was_read_before() -> None:
    """CORE-MV-14: the level that held is stamped with the due time on the new clock."""
    bench = sampled(MeterValuesSampledData=f"{REGISTER},Voltage").report(100, VOLTAGE)
    bench.start()
    bench.to(60).report(110)
    bench.clock.offset_ms = 3_600_000
    bench.metering.restart_schedule(bench.now)
    assert bench.meters.register_ms(1) == EPOCH_MS + 3_660_000
    bench.to(121).report(120)
    assert bench.told()[1:] == [(3_720.0, {"Voltage": "230"}), (3_721.0, {REGISTER: "120"})]
    assert bench.meters.register_ms(1) == EPOCH_MS + 3_721_000


def test_jump_of_the_machines_clock_moves_nothing() -> None:
    """CORE-MV-14: what was read before the jump keeps its time."""
    bench = sampled(MeterValuesSampledData="Voltage")
    bench.start()
    bench.to(10).report(None, VOLTAGE)
    bench.wall_ms -= 3_600_000
    bench.to(20)
    bench.metering.restart_schedule(bench.now)
    assert bench.to(70).told() == [(10.0, {"Voltage": "230"})]


# interruptions


def test_interruption_is_sampled_with_the_report_that_tells_it_once() -> None:
    """CORE-MV-20."""
    bench = sampled(StopTxnSampledData=REGISTER).report(100)
    bench.start()
    begin, end = ({**VOLTAGE, "context": f"Interruption.{when}"} for when in ("Begin", "End"))
    bench.to(10).report(101, begin).to(11).report(102, begin).to(20).report(103, end).to(30).report(104)
    assert [(each.at_s, each.context, each.values) for each in bench.queue.samples] == [
        (10.0, "Interruption.Begin", {REGISTER: "101"}),
        (20.0, "Interruption.End", {REGISTER: "103"}),
    ]
    assert [each.context for each in bench.queue.stop_samples[1:]] == ["Interruption.Begin", "Interruption.End"]
    bench.to(60).report(110).to(61).report(111)
    assert [each.context for each in bench.queue.samples[2:]] == ["Sample.Periodic"]


def test_interruption_without_sampled_values_is_only_in_the_transaction_data() -> None:
    """CORE-MV-02, CORE-MV-20: and outside a transaction it is nothing."""
    bench = sampled(0, StopTxnSampledData=REGISTER)
    begin = {**VOLTAGE, "context": "Interruption.Begin"}
    bench.report(100, begin)
    bench.start()
    bench.to(10).report(101, begin).to(20).report(102)
    assert bench.told() == []
    assert [each.context for each in bench.queue.stop_samples] == ["Transaction.Begin", "Interruption.Begin"]


# transactionData


def test_transaction_data_begins_and_ends_with_each_measurand_of_both_keys() -> None:
    """CORE-TX-18, CORE-MV-20: with the intermediate values of each key between."""
    bench = Bench({"MeterValueSampleInterval": "60", "ClockAlignedDataInterval": "90",
                   "StopTxnSampledData": f"{REGISTER},SoC", "StopTxnAlignedData": "Voltage"})  # fmt: skip
    bench.to(10).report(100, VOLTAGE, SOC)
    bench.start()
    bench.to(70).report(110, SOC).to(95)
    bench.to(100).report(120, SOC)
    bench.stop(meter_wh=121)
    assert [(each.at_s, each.context, each.values) for each in bench.queue.stop_samples] == [
        (10.0, "Transaction.Begin", {REGISTER: "100", "SoC": "50", "Voltage": "230"}),
        (70.0, "Sample.Periodic", {REGISTER: "110", "SoC": "50"}),
        (90.0, "Sample.Clock", {"Voltage": "230"}),
        (100.0, "Transaction.End", {REGISTER: "121", "SoC": "50", "Voltage": "230"}),
    ]


def test_transaction_data_is_absent_when_both_keys_are_empty() -> None:
    """CORE-MV-16."""
    bench = Bench({"MeterValueSampleInterval": "60", "ClockAlignedDataInterval": "60"}).report(100, VOLTAGE)
    bench.start()
    bench.to(60).report(110).to(130)
    bench.stop()
    assert bench.queue.stop_samples == []
    assert bench.queue.samples != []


def test_end_without_any_report_since_the_restart_has_the_checkpoint() -> None:
    """CORE-TX-18: power loss; a charge point without a meter tells no register at all."""
    bench = Bench({"StopTxnSampledData": REGISTER}, rows={"1": b'{"wh":500,"at":1,"offset":0}'})
    for connector_id in (1, 2):
        tx = Transaction(connector_id, connector_id, "TAG", EPOCH_MS, 50, True)
        bench.metering.stopped(tx, EPOCH_MS + 5_000, bench.now, meter_wh=None if connector_id == 1 else 0)
    assert [each.values for each in bench.queue.stop_samples] == [{REGISTER: "500"}]


def test_end_has_the_last_register_before_what_the_meter_says_next() -> None:
    """CORE-MV-12: no value of the next epoch, nor of the next vehicle, in this transaction."""
    bench = Bench({"StopTxnSampledData": REGISTER}).report(50_000)
    bench.start()
    for time_s in (30, 60):
        bench.to(time_s)
        with pytest.raises(LocalError):
            bench.report(10)
    bench.to(90)
    assert bench.meters.accept(1, 11, bench.now.utc_ms, bench.now) == "new_epoch"
    bench.stop()
    assert bench.queue.stop_samples[-1].values == {REGISTER: "50000"}


def test_registers_are_checkpointed_when_a_transaction_starts_and_ends() -> None:
    """CORE-TXQ-10."""
    bench = sampled().report(100).report(110)
    bench.effects.clear()
    bench.start()
    assert len(bench.effects) == 1
    bench.report(120)
    bench.stop()
    assert len(bench.effects) == 2
    bench.start()
    assert len(bench.effects) == 2


# clock-aligned values


def test_aligned_values_are_taken_at_the_clock_for_every_connector_with_readings() -> None:
    """CORE-MV-03, CORE-MV-04, CORE-MV-08, AMB-10: with or without a transaction, the main meter without one."""
    bench = Bench({"ClockAlignedDataInterval": "900", "MeterValueSampleInterval": "0"})
    bench.to(100).report(5, connector_id=0).report(100, VOLTAGE).report(200, connector_id=2)
    bench.start(2)
    bench.to(1_801)
    told = [(each.at_s, each.connector_id, each.session_id, each.context) for each in bench.queue.samples]
    assert told == [
        (at_s, connector_id, session_id, "Sample.Clock")
        for at_s in (900.0, 1_800.0)
        for connector_id, session_id in ((0, None), (1, None), (2, 1))
    ]
    assert bench.queue.samples[1].values == {REGISTER: "100"}


def test_aligned_interval_begins_anew_at_midnight() -> None:
    """CORE-MV-03, AMB-09: UTC midnight, also for an interval that does not divide a day."""
    bench = Bench({"ClockAlignedDataInterval": "25000"}).report(100)
    bench.to(24 * 3_600)
    midnight_s = 16 * 3_600
    expected = [each - 8 * 3_600 for each in (50_000, 75_000)] + [midnight_s, midnight_s + 25_000]
    assert [at_s for at_s, _ in bench.told()] == expected


def test_aligned_interval_is_followed_when_it_changes() -> None:
    """CORE-MV-03: 0 is off."""
    bench = Bench({"ClockAlignedDataInterval": "900"}).report(100)
    bench.to(901)
    bench.set("ClockAlignedDataInterval", "600")
    bench.to(1_201)
    bench.set("ClockAlignedDataInterval", "0")
    bench.to(9_000)
    assert [at_s for at_s, _ in bench.told()] == [900.0, 1_200.0]
    assert bench.timers.next() is None


def test_aligned_values_follow_the_clock_of_the_csms() -> None:
    """AMB-09: also when it was set, and no instant is told twice when it goes back a little."""
    bench = Bench({"ClockAlignedDataInterval": "900"}).report(100)
    bench.to(850)
    bench.clock.offset_ms = 100_000
    bench.metering.restart_schedule(bench.now)
    bench.to(1_700.5)
    bench.clock.offset_ms = 99_000
    bench.metering.restart_schedule(bench.now)
    bench.to(2_601)
    assert [at_s for at_s, _ in bench.told()] == [1_800.0, 2_700.0]


def test_aligned_values_come_in_time_when_the_wall_clock_runs_slow() -> None:
    """AMB-09: timer and instant are of one clock."""
    bench = Bench({"ClockAlignedDataInterval": "3600"}).report(100)
    bench.wall_ms = -1_500
    assert bench.to(3_599).told() == []
    assert bench.to(3_600).told() == [(3_600.0, {REGISTER: "100"})]


def test_missed_aligned_instants_are_not_made_up() -> None:
    """CORE-MV-03: a process that slept tells the last of them."""
    bench = Bench({"ClockAlignedDataInterval": "60"}).report(100)
    bench.time_s = 200.0
    bench.to(250)
    assert [at_s for at_s, _ in bench.told()] == [180.0, 240.0]


def test_work_of_aligned_values_is_spread_and_their_time_stays() -> None:
    """CORE-MV-03: a report or a start between tells what stood at the instant."""
    connectors = ALIGNED_SLICE + 2
    bench = Bench({"ClockAlignedDataInterval": "60", "MeterValueSampleInterval": "0"}, connectors)
    for connector_id in range(1, connectors + 1):
        bench.report(100, connector_id=connector_id)
    bench.time_s = 60.0
    assert bench.timers.expired(60.0) == [("meter", "aligned")]
    bench.metering.handle_timer("aligned", bench.now)
    assert len(bench.queue.samples) == ALIGNED_SLICE
    bench.time_s = 60.2
    bench.report(150, connector_id=connectors)
    bench.start(connectors - 1)
    bench.to(61)
    assert len(bench.queue.samples) == connectors
    assert {each.connector_id for each in bench.queue.samples} == set(range(1, connectors + 1))
    assert {(each.at_s, each.values[REGISTER], each.session_id) for each in bench.queue.samples} == {
        (60.0, "100", None)
    }
    assert bench.to(121).queue.samples[-1].values == {REGISTER: "150"}


def test_stop_during_the_work_of_aligned_values_keeps_the_transaction_they_belong_to() -> None:
    """CORE-MV-08."""
    connectors = ALIGNED_SLICE + 1
    bench = Bench({"ClockAlignedDataInterval": "60"}, connectors)
    for connector_id in range(1, connectors + 1):
        bench.report(100, connector_id=connector_id)
    bench.start(connectors)
    bench.time_s = 60.0
    bench.timers.expired(60.0)
    bench.metering.handle_timer("aligned", bench.now)
    bench.stop(connectors)
    assert [(each.connector_id, each.session_id) for each in bench.queue.samples[-1:]] == [(connectors, 1)]
    bench.to(61)
    assert len(bench.queue.samples) == connectors


def test_schedule_that_restarts_during_the_work_of_aligned_values_does_not_put_it_off() -> None:
    """CORE-MV-03: nor does a sample that is due on the way disturb the order of times."""
    connectors = ALIGNED_SLICE + 2
    bench = Bench({"ClockAlignedDataInterval": "60", "MeterValueSampleInterval": "45"}, connectors)
    for connector_id in range(1, connectors + 1):
        bench.report(100, connector_id=connector_id)
    bench.to(5)
    bench.start(connectors)
    bench.time_s = 60.0
    assert ("meter", "aligned") in bench.timers.expired(60.0)
    bench.metering.handle_timer("aligned", bench.now)
    bench.time_s = 60.1
    bench.metering.restart_schedule(bench.now)
    bench.metering.handle_timer(connectors, bench.now)
    assert [(each.at_s, each.context) for each in bench.queue.samples[-2:]] == [
        (60.0, "Sample.Clock"),
        (60.001, "Sample.Periodic"),
    ]
    bench.to(60.2)
    assert len(bench.queue.samples) == connectors + 1


# controllers


def test_readings_of_a_controller_that_left_are_forgotten_but_the_register_of_a_transaction() -> None:
    """CORE-MV-14: a voltage that nobody reads any more is not told; the last certain register is."""
    keys = f"{REGISTER},Voltage"
    bench = Bench({"ClockAlignedDataInterval": "60", "MeterValueSampleInterval": "0", "MeterValuesAlignedData": keys})
    bench.report(100, VOLTAGE).report(100, VOLTAGE, connector_id=2)
    bench.start()
    for connector_id in (1, 2, 3):
        bench.metering.forget(connector_id)
    assert bench.to(61).told() == [(60.0, {REGISTER: "100"})]
    assert bench.queue.samples[0].connector_id == 1


# TriggerMessage


def test_trigger_tells_the_newest_values_of_the_sampled_measurands() -> None:
    """CORE-MV-17, CORE-TM-08, CORE-MV-21: each with its own time, and no row is made."""
    bench = sampled(MeterValuesSampledData=f"{REGISTER},Voltage").report(100, VOLTAGE, SOC)
    bench.to(5).report(105)
    assert bench.metering.trigger(1, bench.now)
    bench.to(6).report(106)
    value = {"context": "Trigger", "measurand": REGISTER, "unit": "Wh"}
    assert bench.triggered() == [
        {
            "connectorId": 1,
            "meterValue": [
                {"timestamp": "2027-01-15T08:00:00.000Z",
                 "sampledValue": [{"context": "Trigger", "measurand": "Voltage", "unit": "V", "value": "230"}]},
                {"timestamp": "2027-01-15T08:00:06.000Z", "sampledValue": [{**value, "value": "106"}]},
            ],
        }
    ]  # fmt: skip
    assert bench.queue.order == []


@pytest.mark.parametrize(
    ("transaction_id", "is_discarded", "told"), [(None, False, None), (0, False, 0), (-7, False, -7), (None, True, -1)]
)
def test_trigger_names_the_transaction_when_its_id_is_known(
    transaction_id: int | None, is_discarded: bool, told: int | None
) -> None:
    """CORE-MV-17, CORE-TX-03."""
    bench = sampled().report(100)
    tx = bench.start()
    tx.transaction_id, tx.is_discarded = transaction_id, is_discarded
    bench.metering.trigger(1, bench.now)
    assert bench.triggered()[0].get("transactionId") == told


def test_trigger_without_a_connector_asks_all_with_a_meter_and_holds_up_nothing() -> None:
    """CORE-TM-05, CORE-TM-06: connector 0 too; single connectors go first."""
    bench = Bench().report(1, connector_id=0).report(None, VOLTAGE).report(3, connector_id=3)
    assert bench.metering.trigger(None, bench.now)
    assert len(bench.metering.urgent) == 0
    assert bench.metering.trigger(3, bench.now)
    assert [payload["connectorId"] for payload in bench.triggered()] == [3, 0, 3]


def test_trigger_with_nothing_to_tell_is_refused() -> None:
    """CORE-TM-02: Accepted means that it will be sent."""
    bench = Bench().report(None, VOLTAGE)
    assert not bench.metering.trigger(1, bench.now)
    assert not bench.metering.trigger(2, bench.now)
    assert not bench.metering.trigger(None, bench.now)
    assert bench.triggered() == []


def test_lost_link_ends_what_was_triggered() -> None:
    """CORE-TM-08: nothing is replayed."""
    bench = Bench().report(100)
    bench.metering.trigger(1, bench.now)
    bench.metering.trigger(None, bench.now)
    bench.metering.link_lost()
    assert bench.triggered() == []


# scale and properties


def test_ten_thousand_transactions_have_a_timer_each_and_cost_no_more_together() -> None:
    """CORE-MV-01, CORE-MV-03: one timer a transaction and one for the clock; work grows with the samples alone."""
    connectors = 10_000
    bench = Bench({"MeterValueSampleInterval": "60", "ClockAlignedDataInterval": "3600"}, connectors)
    for connector_id in range(1, connectors + 1):
        bench.time_s = connector_id / 1_000
        bench.report(100, connector_id=connector_id)
        bench.start(connector_id)
    assert len(bench.timers._deadlines) == connectors + 1
    bench.to(200)
    assert len(bench.queue.samples) == 3 * connectors
    assert bench.turns == 3 * connectors
    assert len(bench.timers._deadlines) == connectors + 1
    bench.turns = 0
    bench.queue.samples.clear()
    bench.time_s = 3_600.0
    bench.to(3_600.0)
    aligned = [each for each in bench.queue.samples if each.context == "Sample.Clock"]
    assert len(aligned) == connectors
    assert {each.at_s for each in aligned} == {3_600.0}


REPORTS = st.lists(st.tuples(st.sampled_from([0.1, 1.0, 7.0, 25.0, 59.9, 130.0]), st.integers(0, 90)), max_size=12)


@given(REPORTS, st.sampled_from([5, 30, 60]), st.sampled_from([0, 60, 100]))
@given_settings(max_examples=80, deadline=None)
def test_samples_of_a_session_are_in_order_and_within_its_registers(
    reports: list[tuple[float, int]], interval_s: int, aligned_s: int
) -> None:
    """CORE-MV-12, CORE-MV-01, CORE-TX-18: reliability.md E1; one sample for each due time whose patience is over, and
    never two; begin and end are there.
    """
    keys = {"MeterValueSampleInterval": str(interval_s), "ClockAlignedDataInterval": str(aligned_s),
            "MeterValuesSampledData": f"{REGISTER},Voltage", "StopTxnSampledData": f"Voltage,{REGISTER}"}  # fmt: skip
    bench = Bench(keys).report(1_000, VOLTAGE)
    start_s = 0.0
    tx = bench.start()
    told = 1_000
    for wait_s, rise in reports:
        bench.to(bench.time_s + wait_s)
        if rise % 3 == 0:
            bench.report(None, VOLTAGE)
        else:
            told += rise
            bench.report(told)
    bench.stop(meter_wh=told)
    registers = [int(each.values[REGISTER]) for each in bench.queue.order if REGISTER in each.values]
    assert registers == sorted(registers)
    assert registers[0] == tx.meter_start_wh
    assert registers[-1] == told
    times = [each.at_s for each in bench.queue.order]
    assert times == sorted(times)
    periodic = [each for each in bench.queue.samples if each.context == "Sample.Periodic" and REGISTER in each.values]
    lived_s, patience_s = bench.time_s - start_s, min(interval_s / 2, 10)
    assert int((lived_s - patience_s) / interval_s - 1e-9) <= len(periodic) <= int(lived_s / interval_s + 1e-9)
