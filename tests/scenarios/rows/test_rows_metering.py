"""Chapter 9: samples, contexts, units, phases, and the guard of the register (reliability.md 4.6)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import EPOCH_MS, override, settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, controller, ready

ENERGY = "Energy.Active.Import.Register"
REJECTED = {"status": "Rejected"}


def measured(measurand: str, value: Any, **members: Any) -> dict[str, Any]:
    """One measurement of a report."""
    return {"measurand": measurand, "value": value, **members}


def values(hub: Hub, connector_id: int = 1) -> list[dict[str, Any]]:
    """Every MeterValue of a connector in MeterValues.req, in order."""
    sent = [each for each in hub.sent("MeterValues") if each["connectorId"] == connector_id]
    return [value for message in sent for value in message["meterValue"]]


def sampled(hub: Hub, connector_id: int = 1) -> list[dict[str, Any]]:
    """Every SampledValue of a connector, in order."""
    return [each for value in values(hub, connector_id) for each in value["sampledValue"]]


def items(hub: Hub, connector_id: int = 1) -> list[tuple[str, str | None]]:
    """Measurand and phase of every SampledValue."""
    return [(each.get("measurand", ENERGY), each.get("phase")) for each in sampled(hub, connector_id)]


def sampling(interval_s: int = 10, data: str = ENERGY, connectors: int = 1, **keys: Any) -> Hub:
    """A hub that samples."""
    return (
        ready(connectors).configure(MeterValueSampleInterval=interval_s, MeterValuesSampledData=data, **keys).forget()
    )


def run(hub: Hub, seconds: int, step_wh: int = 3, connector_id: int = 1) -> int:
    """A vehicle charges, its controller reports every second; the last register."""
    register = int(hub.state(connector_id)["transaction"]["meter_start_wh"])
    for _ in range(seconds):
        hub.advance(1)
        register += step_wh
        hub.tell(connector_id, energy_wh=register)
    return register


# when


@pytest.mark.parametrize("interval_s", [1, 5, 60])
def test_sample_is_taken_every_interval_from_the_start(interval_s: int) -> None:
    """CORE-MV-01."""
    hub = sampling(interval_s)
    hub.advance(3.7)
    hub.session()
    begin_ms = hub.at()
    run(hub, 3 * interval_s)
    stamps = [value["timestamp"] for value in values(hub)]
    assert stamps == [utc_text(begin_ms + k * interval_s * 1_000) for k in (1, 2, 3)]


def test_interval_of_zero_samples_nothing() -> None:
    """CORE-MV-02."""
    hub = sampling(0).session()
    run(hub, 60)
    assert hub.sent("MeterValues") == []


def test_nothing_is_sampled_outside_a_transaction() -> None:
    """CORE-MV-01: plugged, and after the stop."""
    hub = sampling(5)
    hub.plug()
    hub.advance(30)
    hub.swipe()
    hub.stop_here()
    hub.advance(30)
    assert hub.sent("MeterValues") == []


def test_controller_that_is_silent_does_not_stop_the_samples() -> None:
    """CORE-MV-01: the levels hold until they are reported otherwise."""
    hub = sampling(10).session().advance(65)
    found = values(hub)
    assert len(found) == 6
    assert {value["sampledValue"][0]["value"] for value in found} == {"1000"}
    stamps = [value["timestamp"] for value in found]
    assert stamps == sorted(set(stamps))


def test_aligned_values_come_at_evenly_spaced_times_of_the_day() -> None:
    """CORE-MV-03, CORE-MV-04, AMB-09, AMB-10: with or without a transaction, for every connector."""
    hub = ready(2).configure(ClockAlignedDataInterval=900, MeterValueSampleInterval=0).forget()
    hub.session(1).advance(2_000)
    for connector_id in (1, 2):
        found = values(hub, connector_id)
        stamps = [value["timestamp"][11:16] for value in found]
        assert stamps == ["08:30", "08:45"]
        assert all(value["timestamp"][17:19] == "00" for value in found)
        assert {each["context"] for each in sampled(hub, connector_id)} == {"Sample.Clock"}
    messages = hub.sent("MeterValues")
    assert {each.get("transactionId") for each in messages if each["connectorId"] == 1} == {101}
    assert all("transactionId" not in each for each in messages if each["connectorId"] == 2)


def test_aligned_interval_of_zero_is_off() -> None:
    """CORE-MV-03."""
    hub = ready(1).configure(ClockAlignedDataInterval=0).forget().advance(7_200)
    assert hub.sent("MeterValues") == []


def test_aligned_values_of_the_main_meter_are_connector_zero() -> None:
    """CORE-MV-03, CORE-MV-09, CORE-MV-08: without transactionId."""
    hub = ready(1).configure(ClockAlignedDataInterval=60, MeterValueSampleInterval=0).forget()
    hub.join(0)
    hub.tell(0, energy_wh=77_000)
    hub.session().advance(65)
    (message,) = [each for each in hub.sent("MeterValues") if each["connectorId"] == 0]
    assert "transactionId" not in message
    assert message["meterValue"][0]["sampledValue"][0]["value"] == "77000"


def test_without_a_main_meter_connector_zero_says_nothing() -> None:
    """CORE-MV-03."""
    hub = ready(1).configure(ClockAlignedDataInterval=60).forget().advance(130)
    assert {each["connectorId"] for each in hub.sent("MeterValues")} == {1}


# what


def test_configured_measurands_are_sent_and_no_others() -> None:
    """CORE-MV-04: list, context and count."""
    hub = sampling(10, "Voltage,SoC")
    hub.session(measurements=[measured("Voltage", 231.5), measured("SoC", 40), measured("Current.Import", 16)])
    hub.advance(16)
    assert sorted(items(hub)) == [("SoC", None), ("Voltage", None)]
    assert {each.get("context", "Sample.Periodic") for each in sampled(hub)} == {"Sample.Periodic"}


@pytest.mark.parametrize("key", ["MeterValuesSampledData", "MeterValuesAlignedData", "StopTxnSampledData"])
@pytest.mark.parametrize(
    "text",
    ["Voltage,Nonsense", "Energy.Active.Import.Interval", "Voltage.L9", "Voltage,Voltage", "voltage", "Voltage,,SoC"],
)
def test_list_with_an_unsupported_measurand_is_refused_whole(key: str, text: str) -> None:
    """CORE-MV-05, CORE-MV-06, CORE-MV-19: nothing is changed, not even in part."""
    hub = ready(1)
    before = hub.core.get_configuration_key([key])
    assert hub.asks_for("ChangeConfiguration", key=key, value=text) == REJECTED
    assert hub.core.get_configuration_key([key]) == before


def test_measurand_of_a_phase_is_sent_for_that_phase_only() -> None:
    """CORE-MV-06."""
    hub = sampling(10, "Voltage.L1")
    hub.session(measurements=[measured("Voltage", 230 + each, phase=f"L{each}") for each in (1, 2, 3)])
    hub.advance(16)
    assert items(hub) == [("Voltage", "L1")]
    assert sampled(hub)[0]["value"] == "231"


def test_all_phases_and_locations_of_a_measurand_are_sent() -> None:
    """CORE-MV-07, CORE-MV-18: as the controller names them."""
    hub = sampling(10, "Current.Import,Temperature")
    currents = [measured("Current.Import", 15 + each, phase=f"L{each}") for each in (1, 2, 3)]
    heats = [measured("Temperature", 30, location="Cable"), measured("Temperature", 25, location="Body")]
    hub.session(measurements=[*currents, *heats])
    hub.advance(16)
    found = sampled(hub)
    assert [(each["phase"], each["value"]) for each in found if each["measurand"] == "Current.Import"] == [
        ("L1", "16"),
        ("L2", "17"),
        ("L3", "18"),
    ]
    assert sorted(each["location"] for each in found if each["measurand"] == "Temperature") == ["Body", "Cable"]


def test_value_that_nobody_reported_is_left_out() -> None:
    """CORE-MV-07: and a sample without any value is not made."""
    hub = sampling(10, "SoC").session()
    run(hub, 30)
    assert hub.sent("MeterValues") == []


def test_sample_belongs_to_the_transaction_of_its_time() -> None:
    """CORE-MV-08: one message never mixes transactions, not even where both wait."""
    hub = sampling(10, AllowOfflineTxForUnknownId=True).offline()
    hub.session(1, "ONE")
    register = run(hub, 25)
    hub.stop_here()
    hub.unplug()
    hub.session(1, "TWO")
    run(hub, 25)
    hub.online()
    messages = hub.sent("MeterValues")
    assert [each["transactionId"] for each in messages] == [101, 102]
    first, second = ([int(value["sampledValue"][0]["value"]) for value in each["meterValue"]] for each in messages)
    assert max(first) <= register <= min(second)


def test_omitted_members_mean_what_the_standard_says() -> None:
    """CORE-MV-10, CORE-MV-15: measurand, context, location, format, unit; what is sent says the same."""
    hub = sampling(10).session()
    run(hub, 10)
    (only,) = sampled(hub)
    assert only["value"] == "1030"
    defaults = {
        "measurand": ENERGY,
        "context": "Sample.Periodic",
        "location": "Outlet",
        "format": "Raw",
        "unit": "Wh",
    }
    assert {name: only.get(name, default) for name, default in defaults.items()} == defaults
    assert "phase" not in only


UNITS = {
    "Frequency": None,
    "SoC": "Percent",
    "RPM": None,
    "Power.Factor": None,
    "Voltage": "V",
    "Current.Import": "A",
    "Power.Active.Import": "W",
    "Power.Offered": "W",
    "Temperature": "Celsius",
    "Energy.Reactive.Import.Register": "varh",
}


@pytest.mark.parametrize(("measurand", "unit"), list(UNITS.items()))
def test_unit_is_the_measurands_own(measurand: str, unit: str | None) -> None:
    """CORE-MV-11, CORE-RPC-19: an omitted unit would mean Wh."""
    hub = sampling(10, measurand).session(measurements=[measured(measurand, 50)])
    hub.advance(16)
    (only,) = sampled(hub)
    assert only.get("unit") == unit


@pytest.mark.parametrize(
    ("measurand", "unit"),
    [("Frequency", "Hertz"), ("Frequency", "V"), ("SoC", "Wh"), ("Temperature", "Celcius"), ("RPM", "W")],
)
def test_unit_that_the_measurand_does_not_have_is_refused(measurand: str, unit: str) -> None:
    """CORE-MV-11: naming the unit."""
    hub = ready(1)
    with pytest.raises(LocalError) as caught:
        hub.tell(measurements=[measured("Voltage", 230), measured(measurand, 50, unit=unit)])
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/measurements/1/unit")


def test_other_unit_of_a_measurand_is_passed_on() -> None:
    """CORE-MV-11."""
    hub = sampling(10, "Power.Active.Import,Temperature").session(
        measurements=[measured("Power.Active.Import", 11, unit="kW"), measured("Temperature", 300, unit="K")]
    )
    hub.advance(16)
    assert [(each["unit"], each["value"]) for each in sampled(hub)] == [("kW", "11"), ("K", "300")]


def test_registers_are_raw_and_rise() -> None:
    """CORE-MV-12, CORE-MV-13: never rebased to 0; all of a transaction between its start and its stop."""
    hub = sampling(10)
    hub.advance(60)
    hub.tell(energy_wh=1_111)
    hub.session()
    last = run(hub, 45)
    hub.stop_here()
    registers = [int(each["value"]) for each in sampled(hub)]
    assert hub.only("StartTransaction")["meterStart"] == 1_111
    assert registers == sorted(registers)
    assert min(registers) >= 1_111
    assert hub.only("StopTransaction")["meterStop"] == last >= max(registers)


def test_first_sample_of_a_vehicle_that_draws_nothing_is_meter_start() -> None:
    """CORE-MV-13."""
    hub = sampling(10).session().advance(16)
    assert sampled(hub)[0]["value"] == str(hub.only("StartTransaction")["meterStart"])


def test_readings_of_different_times_never_share_a_meter_value() -> None:
    """CORE-MV-14: each MeterValue has the time of its readings."""
    hub = sampling(10, "Voltage,SoC").session(measurements=[measured("Voltage", 230), measured("SoC", 40)])
    hub.advance(10.5)
    hub.tell(measurements=[measured("SoC", 41)])
    hub.advance(6)
    groups = [{each["measurand"]: each["value"] for each in value["sampledValue"]} for value in values(hub)]
    assert {"SoC": "41"} in groups
    assert {"Voltage": "230"} in groups
    assert len({value["timestamp"] for value in values(hub)}) == len(groups) == 2


@pytest.mark.parametrize(
    ("value", "text"), [(230, "230"), (230.5, "230.5"), ("230.50", "230.50"), (-3.25, "-3.25"), (0.1, "0.1")]
)
def test_value_is_decimal_text(value: Any, text: str) -> None:
    """CORE-MV-15."""
    hub = sampling(10, "Voltage").session(measurements=[measured("Voltage", value)])
    hub.advance(16)
    assert [each["value"] for each in sampled(hub)] == [text]


@pytest.mark.parametrize("value", ["1e5", "NaN", "", "12,5", None, True, [], "inf", float("inf"), float("nan")])
def test_value_that_is_no_number_is_refused(value: Any) -> None:
    """CORE-MV-15: naming it; nothing of the report is taken."""
    hub = ready(1).session().forget()
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.tell(ev_ready=False, energy_wh=1_010, measurements=[measured("Voltage", value)])
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/measurements/0/value")
    assert hub.state() == before
    assert hub.calls == []


def test_signed_data_is_passed_on_as_text() -> None:
    """CORE-MV-10."""
    signed = [measured(ENERGY, "DEADBEEF", format="SignedData", context="Other")]
    hub = sampling(10).session(measurements=signed)
    hub.advance(16)
    assert ("SignedData", "DEADBEEF") in [(each.get("format"), each["value"]) for each in sampled(hub)]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("measurand", "Nonsense"),
        ("measurand", "Energy.Active.Import.Interval"),
        ("phase", "L4"),
        ("location", "Moon"),
        ("context", "Never"),
        ("format", "Cooked"),
        ("unit", "horse"),
    ],
)
def test_unknown_member_of_a_measurement_is_refused(member: str, value: str) -> None:
    """CORE-MV-10, CORE-MV-19: with what is allowed."""
    hub = ready(1)
    with pytest.raises(LocalError) as caught:
        hub.tell(measurements=[{**measured("Voltage", 230), member: value}])
    assert (caught.value.code, caught.value.path) == ("invalid_params", f"/params/measurements/0/{member}")
    assert caught.value.hint
    with pytest.raises(LocalError):
        hub.tell(measurements=[{**measured("Voltage", 230), "colour": "red"}])


def test_stop_transaction_without_configured_values_has_none() -> None:
    """CORE-MV-16: the field is absent."""
    hub = sampling(10, StopTxnSampledData="", StopTxnAlignedData="").session()
    run(hub, 20)
    hub.stop_here()
    assert "transactionData" not in hub.only("StopTransaction")


@pytest.mark.parametrize("in_transaction", [True, False])
def test_trigger_sends_the_newest_values(in_transaction: bool) -> None:
    """CORE-MV-17, CORE-TM-08: of all configured measurands, context Trigger."""
    hub = sampling(0, f"{ENERGY},SoC")
    if in_transaction:
        hub.session()
    hub.advance(60)
    hub.tell(energy_wh=1_050, measurements=[measured("SoC", 55)])
    hub.forget()
    assert hub.asks_for("TriggerMessage", requestedMessage="MeterValues", connectorId=1) == ACCEPTED
    message = hub.only("MeterValues")
    assert message.get("transactionId") == (101 if in_transaction else None)
    assert {(each.get("measurand", ENERGY), each["value"]) for each in sampled(hub)} == {
        (ENERGY, "1050"),
        ("SoC", "55"),
    }
    assert {each["context"] for each in sampled(hub)} == {"Trigger"}


def test_triggered_values_are_not_queued() -> None:
    """CORE-MV-21: they are no transaction-related message, and overtake those."""
    hub = sampling(10, TransactionMessageAttempts=2, TransactionMessageRetryInterval=600)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session()
    run(hub, 30)
    assert hub.sent("MeterValues") == []
    hub.asks_for("TriggerMessage", requestedMessage="MeterValues", connectorId=1)
    assert [each["context"] for each in sampled(hub)] == ["Trigger"]


def test_samples_taken_offline_are_delivered() -> None:
    """CORE-MV-21."""
    hub = sampling(10).session().forget().offline()
    run(hub, 60)
    hub.online()
    assert len(values(hub)) == 6
    assert [value["timestamp"] for value in values(hub)] == sorted(value["timestamp"] for value in values(hub))


def test_contexts_of_a_transaction() -> None:
    """CORE-MV-20: Begin at the start, End at the stop."""
    hub = sampling(10, StopTxnSampledData=ENERGY).session()
    last = run(hub, 15)
    hub.stop_here()
    data = hub.only("StopTransaction")["transactionData"]
    flat = [(each.get("context", "Sample.Periodic"), each["value"]) for value in data for each in value["sampledValue"]]
    assert flat == [("Transaction.Begin", "1000"), ("Sample.Periodic", "1030"), ("Transaction.End", str(last))]
    assert data[0]["timestamp"] == hub.only("StartTransaction")["timestamp"]
    assert data[-1]["timestamp"] == hub.only("StopTransaction")["timestamp"]


def test_change_of_the_interval_acts_in_a_running_transaction() -> None:
    """CORE-CC-01, CORE-MV-01."""
    hub = sampling(300).session()
    hub.configure(MeterValueSampleInterval=5)
    run(hub, 21)
    assert 3 <= len(values(hub)) <= 5


def test_change_of_the_measurands_acts_in_a_running_transaction() -> None:
    """CORE-CC-01, CORE-MV-04."""
    hub = sampling(10).session(measurements=[measured("SoC", 40)])
    hub.configure(MeterValuesSampledData="SoC")
    run(hub, 11)
    assert items(hub) == [("SoC", None)]


# the guard of the register


@pytest.mark.parametrize("energy_wh", [-1, 2**31, 999, 0, 5_000_000, 1.5, "1000", True, None])
def test_impossible_register_is_refused(energy_wh: Any) -> None:
    """CORE-MV-12, AMB-19: the error names field and bounds; nothing of the report is taken, the session goes on."""
    hub = ready(2).session().forget()
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.tell(energy_wh=energy_wh, ev_ready=False)
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/energy_wh")
    assert caught.value.hint
    assert hub.state() == before
    assert hub.calls == []
    hub.advance(10)
    hub.tell(energy_wh=1_030)
    hub.stop_here()
    assert hub.only("StopTransaction")["meterStop"] == 1_030


def test_register_may_rise_as_fast_as_the_hardware_allows() -> None:
    """CORE-MV-12: 22,080 W for a minute are 368 Wh, times 1.2 and 100 Wh more."""
    for rise, is_legal in ((368, True), (541, True), (545, False)):
        hub = ready(1).session().advance(60)
        if is_legal:
            hub.tell(energy_wh=1_000 + rise)
            continue
        with pytest.raises(LocalError) as caught:
            hub.tell(energy_wh=1_000 + rise)
        assert "1000 to 1541" in caught.value.hint


def test_refused_registers_that_agree_are_another_meter() -> None:
    """AMB-18, CORE-TX-12: three over a minute; the session ends at the last good register, Other, nothing restarts."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_300)
    hub.forget()
    for register in (50, 60, 70, 80, 90):
        with suppress(LocalError):
            hub.tell(energy_wh=register)
        if hub.sent("StopTransaction"):
            break
        hub.advance(25)
    stop = hub.only("StopTransaction")
    assert (stop["meterStop"], stop["reason"]) == (1_300, "Other")
    assert hub.sent("StartTransaction") == []
    assert hub.published("security_event") != []
    hub.unplug()
    hub.advance(5)
    hub.session()
    assert hub.only("StartTransaction")["meterStart"] < 1_000


def test_refused_registers_that_disagree_change_nothing() -> None:
    """CORE-MV-12: the session goes on with the last good register."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_300)
    for register in (50, 900_000, 20, 700_000, 10, 800_000):
        with pytest.raises(LocalError):
            hub.tell(energy_wh=register)
        hub.advance(25)
    assert hub.state()["transaction"] is not None
    hub.tell(energy_wh=1_400)
    hub.stop_here()
    assert hub.only("StopTransaction")["meterStop"] == 1_400


def test_two_refused_registers_are_not_enough() -> None:
    """CORE-MV-12: nor three within a minute."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_300)
    for register in (50, 51, 52):
        with pytest.raises(LocalError):
            hub.tell(energy_wh=register)
        hub.advance(10)
    assert hub.state()["transaction"] is not None


def test_energy_between_sessions_belongs_to_nobody() -> None:
    """CORE-MV-12: meterStart is the register at the start, not the last meterStop."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_300)
    hub.stop_here()
    hub.unplug()
    hub.advance(600)
    hub.tell(energy_wh=1_350)
    hub.session()
    assert hub.sent("StartTransaction")[-1]["meterStart"] == 1_350


def test_register_survives_the_process() -> None:
    """AMB-18: at most 100 Wh or 60 s behind; a lower one is refused after the restart."""
    hub = ready(1).session().advance(120)
    hub.tell(energy_wh=1_600)
    again = hub.crash().boot()
    again.join(1)
    with pytest.raises(LocalError) as caught:
        again.plug(evse_ready=True, energy_wh=1_400)
    assert caught.value.path == "/params/energy_wh"


def test_rollover_of_a_known_meter_is_no_drop() -> None:
    """CORE-MV-12: meter_modulus_wh."""
    point = settings(connectors=1, connector_overrides=(override([1], meter_modulus_wh=1_000_000),))
    hub = Hub(point).boot()
    hub.join(1)
    hub.tell(plugged=False, ev_ready=False, evse_ready=True, energy_wh=999_900)
    hub.session().advance(60)
    hub.tell(energy_wh=50)
    hub.stop_here()
    start, stop = hub.only("StartTransaction")["meterStart"], hub.only("StopTransaction")["meterStop"]
    assert stop - start == 150


# many connectors in one report


def test_report_many_refuses_a_bad_row_only() -> None:
    """CORE-MV-12: connector.report_many with columns."""
    hub = ready(3).forget()
    hub.advance(10)
    columns = ["connector_id", "plugged", "ev_ready", "energy_wh", "Voltage.L1"]
    rows = [[1, True, True, 1_010, 230], [2, True, True, -5, 231], [3, None, None, 1_020, None]]
    result = hub.call("report_many", controller(), {"columns": columns, "rows": rows}, lambda each: True)
    assert [error["index"] for error in result["errors"]] == [1]
    assert result["errors"][0]["error"]["data"]["path"] == "/params/rows/1/energy_wh"
    assert [state["connector_id"] for state in result["changed"]] == [1]
    assert [hub.state(each)["plugged"] for each in (1, 2, 3)] == [True, False, False]


def test_report_many_refuses_what_the_client_may_not_name() -> None:
    """T40: as if it did not exist."""
    hub = ready(2)
    reports = [{"connector_id": 1, "plugged": True}, {"connector_id": 2, "plugged": True}, {"connector_id": 9}]
    result = hub.call("report_many", controller(), {"reports": reports}, lambda each: each == 1)
    assert [error["index"] for error in result["errors"]] == [1, 2]
    codes = {error["error"]["code"] for error in result["errors"]}
    assert codes == {-32002}
    assert not hub.state(2)["plugged"]


def test_columns_and_objects_say_the_same() -> None:
    """CORE-MV-04, CORE-MV-06: Measurand.Phase in its default unit."""
    shown = []
    for params in (
        {"columns": ["connector_id", "Voltage.L2", "Frequency"], "rows": [[1, 229.5, 50]]},
        {
            "reports": [
                {
                    "connector_id": 1,
                    "measurements": [measured("Voltage", 229.5, phase="L2", unit="V"), measured("Frequency", 50)],
                }
            ]
        },
    ):
        hub = sampling(10, "Voltage,Frequency").session()
        hub.advance(1)
        assert hub.call("report_many", controller(), params, lambda each: True)["errors"] == []
        hub.advance(16)
        shown.append(values(hub))
    assert shown[0] == shown[1]
    assert len(shown[0]) == 1


# bad reports


@pytest.mark.parametrize(
    ("levels", "path"),
    [
        ({"plugged": 1}, "/params/plugged"),
        ({"ev_ready": "yes"}, "/params/ev_ready"),
        ({"plug_id": ""}, "/params/plug_id"),
        ({"plug_id": 1.5}, "/params/plug_id"),
        ({"permit_seq": -1}, "/params/permit_seq"),
        ({"max_current_a": -1}, "/params/max_current_a"),
        ({"measurements": {}}, "/params/measurements"),
        ({"errors": {}}, "/params/errors"),
        ({"timestamp": "yesterday"}, "/params/timestamp"),
        ({"timestamp": 5}, "/params/timestamp"),
        ({"pluged": True}, "/params/pluged"),
    ],
)
def test_report_with_a_wrong_field_names_it_and_changes_nothing(levels: dict[str, Any], path: str) -> None:
    """CORE-STAT-15: a wrong report never stops a running session."""
    hub = ready(1).session().forget()
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.tell(**{"ev_ready": False, **levels})
    assert (caught.value.code, caught.value.path) == ("invalid_params", path)
    assert caught.value.hint
    assert hub.state() == before
    assert hub.calls == []


@pytest.mark.parametrize("offset_s", [3_600, 86_400 * 365])
def test_time_stamp_in_the_future_is_refused(offset_s: int) -> None:
    """CORE-STAT-14: else every report after it would be late."""
    hub = ready(1).session().forget()
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.tell(ev_ready=False, timestamp=utc_text(hub.at(offset_s)))
    assert caught.value.path == "/params/timestamp"
    assert hub.state() == before
    hub.tell(ev_ready=False)
    assert hub.state()["status"] == "SuspendedEV"


def test_report_of_somebody_elses_connector_is_refused() -> None:
    """T40, CORE-GEN-03: not attached, foreign, and unknown."""
    hub = ready(2)
    other = controller(2, 2000)
    with pytest.raises(LocalError) as caught:
        hub.tell(1, who=other, plugged=True)
    assert caught.value.code == "not_attached"
    with pytest.raises(LocalError) as caught:
        hub.join(1, who=other)
    assert caught.value.code == "invalid_state"
    with pytest.raises(LocalError) as caught:
        hub.join(1, who=other, takeover=True)
    assert caught.value.code == "forbidden"
    with pytest.raises(LocalError) as caught:
        hub.tell(3, plugged=True)
    assert caught.value.code == "unknown_connector"
    assert not hub.state(1)["plugged"]


def test_takeover_by_the_same_user_moves_the_connector() -> None:
    """T40: rpc.md controller.attach."""
    hub = ready(1).session().forget()
    second = controller(2)
    hub.join(1, who=second, takeover=True)
    hub.tell(1, who=second, plugged=True, ev_ready=True, evse_ready=True, energy_wh=1_000)
    assert hub.state()["transaction"] is not None
    with pytest.raises(LocalError) as caught:
        hub.tell(1, ev_ready=False)
    assert caught.value.code == "not_attached"
    assert hub.sent("StopTransaction") == []


def test_aligned_values_of_an_outage_are_merged_and_delivered() -> None:
    """AMB-11, CORE-MV-21: without a transaction too; several share a message."""
    hub = ready(1).configure(ClockAlignedDataInterval=60).forget().offline().advance(20 * 60)
    hub.online()
    found = values(hub)
    assert len(found) == 20
    assert len(hub.sent("MeterValues")) <= 2
    stamps = [value["timestamp"] for value in found]
    assert stamps == sorted(set(stamps))


def test_register_that_contradicts_the_last_one_after_an_attach_bills_nothing() -> None:
    """CORE-MV-12, decisions.md 4: no plug_id. It counts as a new plug-in, or the guard refuses it; both texts exist."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_300)
    hub.lose().advance(5)
    hub.join(1)
    with suppress(LocalError):
        hub.plug(evse_ready=True, energy_wh=200)
    hub.advance(5)
    if not hub.sent("StopTransaction"):
        hub.plug(evse_ready=True, energy_wh=1_320)
        hub.stop_here()
    assert hub.only("StopTransaction")["meterStop"] in (1_300, 1_320)


def test_interval_longer_than_the_session_samples_nothing() -> None:
    """CORE-MV-01: counted from the start, anew for each transaction."""
    hub = sampling(60).session()
    run(hub, 59)
    hub.stop_here()
    hub.unplug()
    hub.session()
    run(hub, 59)
    hub.stop_here()
    assert hub.sent("MeterValues") == []


def test_samples_of_two_connectors_do_not_share_a_message() -> None:
    """CORE-MV-08."""
    hub = sampling(10, connectors=2).session(1, "ONE").session(2, "TWO")
    hub.offline()
    for _ in range(30):
        hub.advance(1)
    hub.online().advance(10)
    pairs = {(each["connectorId"], each["transactionId"]) for each in hub.sent("MeterValues")}
    assert pairs == {(1, 101), (2, 102)}


# registers that come in other ways


def test_register_as_a_measurement_counts_like_energy_wh() -> None:
    """CORE-MV-10, AMB-19: in its unit; where both are there they are one value of one MeterValue."""
    hub = sampling(10).advance(60)
    hub.tell(1, measurements=[measured(ENERGY, 1.02, unit="kWh")])
    hub.session().advance(12)
    hub.tell(energy_wh=1_040, measurements=[measured(ENERGY, 1_040)])
    assert hub.only("StartTransaction")["meterStart"] == 1_020
    assert len(values(hub)) == len(sampled(hub)) == 1


def test_connector_without_a_meter_charges_from_zero_to_zero() -> None:
    """CORE-TX-01, CORE-TX-10: both members are required."""
    hub = Hub().boot()
    hub.join(1)
    hub.tell(plugged=False, ev_ready=False, evse_ready=True)
    hub.session().advance(60)
    hub.stop_here()
    assert hub.only("StartTransaction")["meterStart"] == 0
    assert hub.only("StopTransaction")["meterStop"] == 0


def test_register_that_appears_within_a_transaction_bills_nothing_from_before() -> None:
    """CORE-MV-12: meterStart was 0 for want of a register; the rise to the first one is no energy of this session."""
    hub = Hub().boot()
    hub.join(1)
    hub.tell(plugged=False, ev_ready=False, evse_ready=True)
    hub.session().advance(60)
    with suppress(LocalError):
        hub.tell(energy_wh=5_000_000)
    if hub.state()["transaction"] is not None:
        hub.stop_here()
    most_wh = 22_080 * 60 / 3_600 * 1.2 + 100
    assert hub.only("StopTransaction")["meterStop"] - hub.only("StartTransaction")["meterStart"] <= most_wh


def test_samples_and_transaction_data_go_on_over_a_restart() -> None:
    """AMB-18, CORE-MV-01, CORE-TX-18: in the same rhythm, nothing twice, Begin from before the restart."""
    hub = sampling(10, StopTxnSampledData=ENERGY).session()
    register = run(hub, 25)
    hub.time_s += 3
    again = hub.crash().boot()
    again.join(1)
    again.plug(evse_ready=True, energy_wh=register)
    for step in range(20):
        again.advance(1)
        again.tell(energy_wh=register + 3 * step)
    again.stop_here()
    begin_ms = EPOCH_MS + 1_000_000
    stamps = [value["timestamp"] for each in (hub, again) for value in values(each)]
    assert stamps == [utc_text(begin_ms + k * 10_000) for k in (1, 2, 3, 4)]
    assert {each["transactionId"] for each in again.sent("MeterValues")} == {101}
    data = again.only("StopTransaction")["transactionData"]
    assert [value["timestamp"] for value in data[:-1]] == [utc_text(begin_ms), *stamps]
    found = [each.get("context", "Sample.Periodic") for value in data for each in value["sampledValue"]]
    assert found == ["Transaction.Begin", *["Sample.Periodic"] * 4, "Transaction.End"]
