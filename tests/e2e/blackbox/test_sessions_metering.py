"""Meter values on the wire: what is sampled when, in which words, and what a meter may not say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import iso, wait_for
from .sessions import Driver, Json, Site, moment, site_of

CONFIGURATION = '''
MeterValueSampleInterval = 0
MeterValuesSampledData = """Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage.L1,SoC,Frequency,\
Temperature"""
MeterValuesAlignedData = "Energy.Active.Import.Register,Power.Active.Import"
'''
MEASUREMENTS = [
    {"measurand": "Power.Active.Import", "value": 7200, "unit": "W"},
    {"measurand": "Current.Import", "value": 10.5, "unit": "A", "phase": "L1"},
    {"measurand": "Current.Import", "value": "10.25", "unit": "A", "phase": "L2"},
    {"measurand": "Voltage", "value": 231.5, "unit": "V", "phase": "L1-N"},
    {"measurand": "SoC", "value": 55, "location": "EV"},
    {"measurand": "Frequency", "value": 49.98},
    {"measurand": "Temperature", "value": 31, "unit": "Celsius", "location": "Body"},
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(20, configuration=CONFIGURATION) as site:
        yield site


@pytest.fixture
def sampling(site: Site) -> Iterator[Site]:
    """The site with a sample each second for this test."""
    assert site.link.change("MeterValueSampleInterval", "1") == "Accepted"
    yield site
    assert site.link.change("MeterValueSampleInterval", "0") == "Accepted"


def of_context(site: Site, n: int, context: str) -> list[tuple[Json, Json]]:
    """(message, MeterValue) of a connector whose values all have this context."""
    found = []
    for message in site.books.of("MeterValues", connectorId=n):
        for value in message["meterValue"]:
            if all(s.get("context", "Sample.Periodic") == context for s in value["sampledValue"]):
                found.append((message, value))
    return found


def test_trigger_sends_the_newest_values_in_the_words_of_the_standard(site: Site) -> None:
    """CORE-TM-01, CORE-TM-08, CORE-MV-07, CORE-MV-10, CORE-MV-11, CORE-MV-15, CORE-MV-17, CORE-RPC-19."""
    driver, n, transaction_id = site.charging()
    driver.report(n, energy_wh=1020, measurements=MEASUREMENTS)
    answer = site.link.result("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": n})
    assert answer == {"status": "Accepted"}
    message = site.books.wait("MeterValues", connectorId=n)
    assert message["transactionId"] == transaction_id
    assert len(message["meterValue"]) == 1
    values = message["meterValue"][0]["sampledValue"]
    assert {value["context"] for value in values} == {"Trigger"}

    def one(measurand: str, **members: str) -> Json:
        found: list[Json] = [
            value
            for value in values
            if value.get("measurand", "Energy.Active.Import.Register") == measurand and members.items() <= value.items()
        ]
        assert len(found) == 1, (measurand, members, values)
        return found[0]

    register = one("Energy.Active.Import.Register")
    assert (register["value"], register.get("unit", "Wh"), "phase" in register) == ("1020", "Wh", False)
    assert one("Power.Active.Import")["unit"] == "W"
    assert one("Current.Import", phase="L1")["value"] == "10.5"
    assert one("Current.Import", phase="L2")["value"] == "10.25"
    assert one("SoC")["unit"] == "Percent"
    assert one("SoC")["location"] == "EV"
    assert "unit" not in one("Frequency")
    assert (one("Temperature")["unit"], one("Temperature")["location"]) == ("Celsius", "Body")


def test_trigger_without_connector_is_about_all_with_a_meter(site: Site) -> None:
    """CORE-TM-05: connectors whose meter is known; without a transaction there is no transactionId."""
    driver, n = site.fresh()
    before = len(site.books.of("MeterValues", connectorId=n))
    assert site.link.result("TriggerMessage", {"requestedMessage": "MeterValues"}) == {"status": "Accepted"}
    message = site.books.wait("MeterValues", before + 1, connectorId=n)
    assert "transactionId" not in message
    assert driver.state(n)["transaction"] is None


def test_samples_come_at_the_interval_with_the_values_of_their_time(sampling: Site) -> None:
    """CORE-MV-01, CORE-MV-04, CORE-MV-08, CORE-MV-12, CORE-MV-13, CORE-MV-14: raw registers."""
    site = sampling
    driver, n, transaction_id = site.charging(energy_wh=1000)
    begin, register = time.monotonic(), 1000
    while time.monotonic() - begin < 3.3:
        register += 1
        driver.report(n, energy_wh=register)
        time.sleep(0.05)
    driver.call("connector.stop_transaction", connector_id=n)
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    samples = of_context(site, n, "Sample.Periodic")
    assert len(samples) in {2, 3, 4}
    assert {message["transactionId"] for message, _ in samples} == {transaction_id}
    start = site.books.wait("StartTransaction", connectorId=n)
    times = [(moment(v["timestamp"]) - moment(start["timestamp"])).total_seconds() for _, v in samples]
    for index, offset in enumerate(times, 1):
        assert abs(offset - index) < 0.3, times
    registers = [int(v["sampledValue"][0]["value"]) for _, v in samples]
    assert registers == sorted(registers)
    assert start["meterStart"] <= registers[0] <= registers[-1] <= stop["meterStop"] == register
    assert len(set(registers)) > 1


def test_clock_aligned_values_stand_on_the_grid(site: Site) -> None:
    """CORE-MV-03, CORE-MV-04, AMB-09, AMB-10: with and without transaction, at the aligned second itself."""
    driver, n, transaction_id = site.charging()
    idle, m = site.fresh()
    driver.report(n, measurements=MEASUREMENTS)
    assert site.link.change("ClockAlignedDataInterval", "2") == "Accepted"
    try:
        wait_for(lambda: of_context(site, n, "Sample.Clock") and of_context(site, m, "Sample.Clock"), "aligned", 5)
    finally:
        assert site.link.change("ClockAlignedDataInterval", "0") == "Accepted"
    message, value = of_context(site, n, "Sample.Clock")[0]
    assert message["transactionId"] == transaction_id
    assert moment(value["timestamp"]).timestamp() % 2 == 0
    assert {s.get("measurand") for s in value["sampledValue"]} == {
        "Energy.Active.Import.Register",
        "Power.Active.Import",
    }
    message, value = of_context(site, m, "Sample.Clock")[0]
    assert "transactionId" not in message
    assert idle.state(m)["transaction"] is None


def test_stop_carries_transaction_data_as_configured(sampling: Site) -> None:
    """CORE-TX-18, CORE-MV-16, CORE-MV-20: Begin and End of each measurand; absent when both keys are empty."""
    site = sampling
    assert site.link.change("StopTxnSampledData", "Energy.Active.Import.Register") == "Accepted"
    try:
        driver, n, transaction_id = site.charging(energy_wh=1000)
        driver.report(n, energy_wh=1010)
        wait_for(lambda: of_context(site, n, "Sample.Periodic"), "a sample")
        driver.report(n, energy_wh=1030)
        driver.call("connector.stop_transaction", connector_id=n)
        stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    finally:
        assert site.link.change("StopTxnSampledData", "") == "Accepted"
    contexts = [s["context"] for value in stop["transactionData"] for s in value["sampledValue"]]
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")
    assert contexts.count("Transaction.Begin") == contexts.count("Transaction.End") == 1
    values = [int(s["value"]) for value in stop["transactionData"] for s in value["sampledValue"]]
    assert (values[0], values[-1]) == (1000, 1030)
    other, m, second = site.charging()
    other.call("connector.stop_transaction", connector_id=m)
    assert "transactionData" not in site.books.wait("StopTransaction", transactionId=second)


def test_main_meter_is_connector_zero(site: Site) -> None:
    """CORE-MV-07, CORE-MV-09, CORE-TM-06: a client without a range attaches 0; its values have no transactionId."""
    driver = site.driver()
    driver.call("controller.attach", connectors=0)
    driver.call("connector.report", connector_id=0, energy_wh=123_456)
    request = {"requestedMessage": "MeterValues", "connectorId": 0}
    assert site.link.result("TriggerMessage", request) == {"status": "Accepted"}
    message = site.books.wait("MeterValues", connectorId=0)
    assert "transactionId" not in message
    registers = [s["value"] for v in message["meterValue"] for s in v["sampledValue"] if s["value"] == "123456"]
    assert registers


@pytest.mark.parametrize("energy_wh", [-1, 0, 999, 1_000_000, 2**31, 2**62])
def test_impossible_register_is_refused_with_its_bounds_and_the_session_goes_on(site: Site, energy_wh: int) -> None:
    """E5, issue "Bad input gets": the error names field and bounds; state, queue and session are as before."""
    driver, n, transaction_id = site.charging(energy_wh=1000)
    before, calls = driver.state(n), driver.call("outbox.list", limit=10)
    error = driver.fails("connector.report", {"connector_id": n, "energy_wh": energy_wh, "ev_ready": False})
    assert (error.code, error.data["code"], error.data["path"]) == (-32602, "invalid_params", "/params/energy_wh")
    assert any(digit.isdigit() for digit in error.data["hint"])
    assert driver.state(n) == before
    assert driver.call("outbox.list", limit=10) == calls
    driver.report(n, energy_wh=1010)
    driver.call("connector.stop_transaction", connector_id=n)
    assert site.books.wait("StopTransaction", transactionId=transaction_id)["meterStop"] == 1010


def test_no_energy_is_billed_twice(site: Site) -> None:
    """CORE-MV-12, E2, E3: the end of one session is the start of the next, idle energy is nobody's."""
    driver, n, first = site.charging(energy_wh=1000, plug_id=1)
    driver.report(n, energy_wh=1030)
    driver.call("connector.stop_transaction", connector_id=n)
    driver.idle(n, 1032)
    driver.plug(n, 1033, plug_id=2)
    driver.call("connector.authorize", id_tag="NEXT", connector_id=n)
    second = site.books.wait("StartTransaction", idTag="NEXT")
    stop = site.books.wait("StopTransaction", transactionId=first)
    assert (stop["meterStop"], second["meterStart"]) == (1030, 1033)


def test_late_report_changes_no_level(site: Site) -> None:
    """decisions.md 4: an older `timestamp` than the last changes no level."""
    driver, n, transaction_id = site.charging()
    driver.report(n, timestamp=iso(-5), energy_wh=1010)
    state = driver.report(n, timestamp=iso(-20), plugged=False, ev_ready=False)
    assert state["transaction"]["transaction_id"] == transaction_id
    assert state["status"] == "Charging"
    assert driver.report(n, timestamp=iso(-1), ev_ready=False)["status"] == "SuspendedEV"


@pytest.mark.parametrize("key", ["MeterValuesSampledData", "MeterValuesAlignedData", "StopTxnSampledData"])
def test_unknown_measurand_is_rejected_whole(site: Site, key: str) -> None:
    """CORE-MV-05, CORE-MV-06: the list stays as it was."""
    before = site.link.value(key)
    for value in ("Energy.Active.Import.Register,Nope", "Voltage.L9", "SoC,SoC"):
        assert site.link.change(key, value) == "Rejected"
    assert site.link.value(key) == before


def test_interval_changes_while_a_session_runs(site: Site) -> None:
    """CORE-CC-01, CORE-MV-02: 0 means none; a change counts at once."""
    driver, n, _ = site.charging()
    reporting(driver, n, 1.2)
    assert of_context(site, n, "Sample.Periodic") == []
    assert site.link.change("MeterValueSampleInterval", "1") == "Accepted"
    try:
        wait_for(lambda: reporting(driver, n, 0.05) or of_context(site, n, "Sample.Periodic"), "a sample", 5)
    finally:
        assert site.link.change("MeterValueSampleInterval", "0") == "Accepted"
    count = len(of_context(site, n, "Sample.Periodic"))
    reporting(driver, n, 1.3)
    assert len(of_context(site, n, "Sample.Periodic")) <= count + 1, "one may have been on its way"


def reporting(driver: Driver, n: int, seconds: float) -> Any:
    """The controller reports the same for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        driver.report(n, energy_wh=1010)
        time.sleep(0.05)
