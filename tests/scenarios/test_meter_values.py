"""Meter values from a controller's report to the frames of a CSMS, on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.boot import parse_utc_ms, utc_text
from ocpphub.errors import LocalError
from tests.builders import CONTROLLER, EPOCH_MS, Csms, World, settings
from tests.builders import hub as hub_settings

REGISTER = "Energy.Active.Import.Register"
PHASES = [{"measurand": "Voltage", "value": 229 + i, "phase": f"L{i}"} for i in (1, 2, 3)]


def hub(connectors: int = 3, **keys: Any) -> World:
    """A booted hub at 00:16:40 of its own time, second 1,000."""
    texts = {name: str(value) for name, value in keys.items()}
    world = World(settings(connectors=connectors, configuration=texts)).boot()
    return world.attach(*range(1, connectors + 1))


def meter_values(world: World) -> list[tuple[int, int | None, float, str, dict[str, str]]]:
    """Connector, transaction, time in seconds of the world, context, values by measurand and phase."""
    found = []
    for payload in world.sent("MeterValues"):
        for value in payload["meterValue"]:
            at_ms = parse_utc_ms(value["timestamp"])
            assert at_ms is not None
            rows = value["sampledValue"]
            assert all(type(row["value"]) is str for row in rows)
            (context,) = {row["context"] for row in rows}
            values = {".".join(filter(None, (row["measurand"], row.get("phase")))): row["value"] for row in rows}
            at_s = (at_ms - EPOCH_MS) / 1000
            found.append((payload["connectorId"], payload.get("transactionId"), at_s, context, values))
    return found


def test_transaction_is_sampled_every_interval_with_what_is_configured() -> None:
    """CORE-MV-01, CORE-MV-04, CORE-MV-06, CORE-MV-08, CORE-MV-12, CORE-MV-13, CORE-MV-15, CORE-TX-03."""
    world = hub(MeterValueSampleInterval=60, MeterValuesSampledData=f"{REGISTER},Voltage.L2")
    world.charge(1, energy_wh=5_000, measurements=PHASES)
    start_s = world.time_s
    for step in range(1, 7):
        world.advance(30).report(1, energy_wh=5_000 + 50 * step, measurements=PHASES)
    world.report(1, plugged=False, ev_ready=False, evse_ready=False)
    world.advance(120)
    (start,), (stop,) = world.sent("StartTransaction"), world.sent("StopTransaction")
    assert (start["meterStart"], stop["meterStop"]) == (5_000, 5_300)
    assert meter_values(world) == [
        (1, 1, start_s + 60 * k, "Sample.Periodic", {REGISTER: str(5_000 + 100 * k), "Voltage.L2": "231"})
        for k in (1, 2, 3)
    ]


def test_clock_aligned_values_come_with_and_without_a_transaction() -> None:
    """CORE-MV-03, CORE-MV-09, AMB-09, AMB-10, AMB-11: at the quarter of an hour, on time although it is sent later."""
    world = hub(ClockAlignedDataInterval=900, MeterValueSampleInterval=0)
    world.attach(0).command("report", CONTROLLER, {"connector_id": 0, "energy_wh": 77})
    world.charge(2, energy_wh=10)
    world.report(1, plugged=False, ev_ready=False, evse_ready=False, energy_wh=3)
    world.disconnect().advance(900).connect().advance(10)
    assert meter_values(world) == [
        (connector_id, transaction_id, 1_800.0, "Sample.Clock", {REGISTER: value})
        for connector_id, transaction_id, value in ((0, None, "77"), (1, None, "3"), (2, 1, "10"))
    ]


def test_samples_of_an_outage_arrive_afterwards_in_order_with_their_own_times() -> None:
    """CORE-MV-21, CORE-TXQ-02, CORE-TXQ-07, CORE-TXQ-12: start, samples, stop, composed when their turn comes."""
    world = hub(MeterValueSampleInterval=60)
    world.charge(1, energy_wh=100)
    start_s = world.time_s
    world.disconnect()
    for step in range(1, 6):
        world.advance(60).report(1, energy_wh=100 + step)
    world.forget().connect().advance(1)
    assert [at_s - start_s for _, _, at_s, _, _ in meter_values(world)] == [60, 120, 180, 240, 300]
    assert len(world.sent("MeterValues")) == 1


def test_transaction_data_holds_begin_end_and_what_is_between() -> None:
    """CORE-TX-18, CORE-MV-20; absent while both keys are empty (CORE-MV-16)."""
    world = hub(MeterValueSampleInterval=60, StopTxnSampledData=REGISTER)
    world.charge(1, energy_wh=100)
    world.advance(60).report(1, energy_wh=150)
    world.advance(10).report(1, plugged=False, ev_ready=False, evse_ready=False, energy_wh=160)
    (stop,) = world.sent("StopTransaction")
    rows = [value["sampledValue"][0] for value in stop["transactionData"]]
    assert [(row["context"], row["value"]) for row in rows] == [
        ("Transaction.Begin", "100"),
        ("Sample.Periodic", "150"),
        ("Transaction.End", "160"),
    ]


def test_keys_that_are_emptied_during_a_transaction_leave_no_transaction_data() -> None:
    """CORE-MV-02, CORE-MV-16: changed by the CSMS, effective at once."""
    world = hub(MeterValueSampleInterval=60)
    world.charge(1, energy_wh=100)
    assert world.ask("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "0"})["status"] == "Accepted"
    world.advance(600).report(1, plugged=False, ev_ready=False, evse_ready=False, energy_wh=160)
    (stop,) = world.sent("StopTransaction")
    assert "transactionData" not in stop
    assert world.sent("MeterValues") == []


@pytest.mark.parametrize("value", [f"{REGISTER},Voltage.L9", f"{REGISTER},Energy.Active.Import.Interval", "Wind"])
def test_list_with_an_unsupported_measurand_is_rejected_whole(value: str) -> None:
    """CORE-MV-05, CORE-MV-06, CORE-MV-19."""
    world = hub(MeterValuesSampledData="SoC")
    answer = world.ask("ChangeConfiguration", {"key": "MeterValuesSampledData", "value": value})
    assert answer["status"] == "Rejected"
    (key,) = world.ask("GetConfiguration", {"key": ["MeterValuesSampledData"]})["configurationKey"]
    assert key["value"] == "SoC"


def test_trigger_sends_the_newest_values_after_its_answer() -> None:
    """CORE-MV-17, CORE-TM-01, CORE-TM-05, CORE-TM-06, CORE-TM-07, CORE-TM-08."""
    world = hub(MeterValueSampleInterval=0, MeterValuesSampledData=f"{REGISTER},Voltage")
    world.charge(1, energy_wh=100, measurements=PHASES)
    world.advance(5).report(1, energy_wh=110, measurements=PHASES[:1])
    world.forget()
    world.ask("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
    world.advance(1)
    told = {name: value for _, _, _, _, values in meter_values(world) for name, value in values.items()}
    assert told == {REGISTER: "110", "Voltage.L1": "230", "Voltage.L2": "231", "Voltage.L3": "232"}
    assert {(each[1], each[3]) for each in meter_values(world)} == {(1, "Trigger")}
    world.report(2, plugged=False, ev_ready=False, evse_ready=False, energy_wh=7)
    world.forget()
    assert world.ask("TriggerMessage", {"requestedMessage": "MeterValues"})["status"] == "Accepted"
    world.advance(1)
    assert [payload["connectorId"] for payload in world.sent("MeterValues")] == [1, 2]
    for connector_id in (3, 4):
        status = world.ask("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": connector_id})["status"]
        assert status == "Rejected"


def test_refused_register_leaves_the_transaction_as_it_is_until_three_agree() -> None:
    """CORE-MV-12: a new epoch ends the transaction at the last good register; nothing is subtracted across it."""
    world = hub(MeterValueSampleInterval=0)
    world.charge(1, energy_wh=50_000)
    world.advance(60).report(1, energy_wh=50_200)
    for _ in range(2):
        with pytest.raises(LocalError) as error:
            world.advance(31).report(1, energy_wh=7)
        assert error.value.path == "/params/energy_wh"
        assert error.value.hint.startswith("50200 to ")
    assert world.sent("StopTransaction") == []
    world.advance(31).report(1, energy_wh=7)
    world.advance(1)
    (stop,) = world.sent("StopTransaction")
    assert (stop["meterStop"], stop["reason"]) == (50_200, "Other")


def test_crash_in_a_transaction_loses_no_sample_and_no_due_time() -> None:
    """CORE-MV-01, CORE-MV-21, CORE-TXQ-10, AMB-18: the controller comes back and the transaction goes on."""
    world = hub(MeterValueSampleInterval=60)
    world.charge(1, energy_wh=100)
    start_s = world.time_s
    world.disconnect().advance(60).report(1, energy_wh=150)
    world.advance(30)
    again = world.crash()
    again.boot().attach(1, 2, 3)
    again.report(1, plugged=True, ev_ready=True, evse_ready=True, energy_wh=190)
    again.advance(30).report(1, energy_wh=200)
    again.advance(5)
    told = meter_values(again)
    assert [(at_s - start_s, tx, values[REGISTER]) for _, tx, at_s, _, values in told] == [
        (60, 1, "150"),
        (120, 1, "200"),
    ]


def test_times_before_the_clock_is_known_are_corrected_once() -> None:
    """CORE-MV-21: samples of a hub that woke up in the past have the true time when they are sent."""
    csms = Csms(offset_ms=86_400_000)
    keys = {"MeterValueSampleInterval": "60", "AllowOfflineTxForUnknownId": "true"}
    world = World(settings(configuration=keys), csms=csms, hub=hub_settings(charge_before_accepted="always"))
    world.start().attach(1)
    world.charge(1, energy_wh=100)
    world.advance(60).report(1, energy_wh=150)
    world.connect().advance(5)
    (sample,) = meter_values(world)
    assert sample[2] == pytest.approx(86_400 + 1_060, abs=1)


@pytest.mark.parametrize("has_timestamp", [True, False])
@pytest.mark.parametrize("whose", ["the CSMS's", "the machine's"])
def test_clock_that_goes_back_makes_no_report_late(whose: str, has_timestamp: bool) -> None:
    """CORE-MV-01, CORE-TX-14: registers and levels are taken, sampled and told as before."""
    world = hub(MeterValueSampleInterval=60)
    world.charge(1, energy_wh=100)
    step_ms = -3_600_000
    if whose == "the CSMS's":
        world.csms.offset_ms = step_ms
    else:
        world.wall_jump_ms = step_ms
    world.ask("TriggerMessage", {"requestedMessage": "Heartbeat"})
    world.advance(1)
    for wait_s, energy_wh, plugged in ((59, 150, True), (60, 200, True), (1, 210, False)):
        world.advance(wait_s)
        text = utc_text(world.core.clock.utc_ms(world.now) - 20)
        told: dict[str, Any] = {"timestamp": text} if has_timestamp else {}
        world.report(1, energy_wh=energy_wh, plugged=plugged, **told)
    assert [values[REGISTER] for *_, values in meter_values(world)] == ["150", "200"]
    (start,), (stop,) = world.sent("StartTransaction"), world.sent("StopTransaction")
    assert stop["meterStop"] == 210
    assert stop["timestamp"] > start["timestamp"]
