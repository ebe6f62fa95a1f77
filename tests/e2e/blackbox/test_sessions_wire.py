"""One session after the other, message by message: members, values, order, and what the controller is told."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .conftest import wait_for
from .sessions import Site, connector_state, moment, one_call_at_a_time, site_of


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(40) as site:
        yield site
        one_call_at_a_time(site.link)


def all_told(site: Site, n: int, statuses: list[str]) -> None:
    """These came, after what was told at the start; a change that waits behind another may be left out."""
    wait_for(lambda: site.books.statuses(n)[-len(statuses) :] == statuses, f"{statuses} of {n}")


def test_vehicle_charges_from_plug_to_unplug_and_every_message_is_right(site: Site) -> None:
    """CORE-TX-01, CORE-TX-03, CORE-TX-10, CORE-TX-11, CORE-TX-12, CORE-STAT-01, CORE-STAT-14, CORE-AUTH-02."""
    driver, n = site.fresh(5000)
    assert driver.plug(n, 5000)["status"] == "Preparing"
    all_told(site, n, ["Available", "Preparing"])
    answer = driver.call("connector.authorize", id_tag="WIRE-1", connector_id=n)
    assert answer == {"status": "Accepted", "connector_id": n}
    start = site.books.wait("StartTransaction", connectorId=n)
    assert set(start) == {"connectorId", "idTag", "meterStart", "timestamp"}
    assert (start["idTag"], start["meterStart"]) == ("WIRE-1", 5000)
    assert abs(moment(start["timestamp"]).timestamp() - time.time()) < 5
    transaction_id = site.running(driver, n)
    state = driver.report(n, energy_wh=5040)
    assert (state["status"], state["permit"]["energize"]) == ("Charging", True)
    assert state["transaction"] == {
        "session_id": state["transaction"]["session_id"],
        "transaction_id": transaction_id,
        "id_tag": "WIRE-1",
        "start": state["transaction"]["start"],
        "meter_start_wh": 5000,
    }
    assert moment(state["transaction"]["start"]) == moment(start["timestamp"])
    told = ["Available", "Preparing", "Charging"]
    all_told(site, n, told)
    for levels, status in (
        ({"ev_ready": False}, "SuspendedEV"),
        ({"evse_ready": False}, "SuspendedEVSE"),
        ({"ev_ready": True, "evse_ready": True}, "Charging"),
    ):
        assert driver.report(n, **levels)["status"] == status
        told.append(status)
        all_told(site, n, told)
    assert driver.report(n, energy_wh=5080)["transaction"]["transaction_id"] == transaction_id
    stopped = connector_state(driver.call("connector.stop_transaction", connector_id=n, id_tag="WIRE-1"))
    assert stopped["transaction"] is None
    assert stopped["permit"]["energize"] is False
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert set(stop) == {"idTag", "meterStop", "timestamp", "transactionId", "reason"}
    assert (stop["idTag"], stop["meterStop"], stop["reason"]) == ("WIRE-1", 5080, "Local")
    assert moment(stop["timestamp"]) >= moment(start["timestamp"])
    assert stopped["status"] == "Finishing"
    all_told(site, n, [*told, "Finishing"])
    assert driver.idle(n, 5080)["status"] == "Available"
    all_told(site, n, [*told, "Finishing", "Available"])
    actions = [a for a, p in site.books.calls if p.get("idTag") == "WIRE-1" or p.get("transactionId") == transaction_id]
    assert actions == ["Authorize", "StartTransaction", "StopTransaction"]


def test_tag_is_shown_before_the_vehicle_comes(site: Site) -> None:
    """CORE-TX-21, CORE-STAT-02: authorisation first, plug later: one use, one transaction."""
    driver, n = site.fresh()
    assert driver.call("connector.authorize", id_tag="FIRST", connector_id=n)["status"] == "Accepted"
    assert driver.state(n)["status"] == "Preparing"
    assert site.books.of("StartTransaction", connectorId=n) == []
    driver.plug(n, 1070)
    assert site.books.wait("StartTransaction", connectorId=n)["meterStart"] == 1070


def test_plug_alone_starts_nothing_and_gives_no_energy(site: Site) -> None:
    """CORE-AUTH-01."""
    driver, n = site.fresh()
    state = driver.plug(n)
    assert state["permit"]["energize"] is False
    assert state["transaction"] is None
    assert state["permit"]["limit_a"] in (0, 0.0, None)


@pytest.mark.parametrize("status", ["Invalid", "Blocked", "Expired"])
def test_refused_tag_is_told_with_its_status_and_starts_nothing(site: Site, status: str) -> None:
    """CORE-AUTH-02, rpc.md connector.authorize: the status is a result, never an error."""
    driver, n = site.fresh()
    site.books.tags[f"NO-{status}"] = {"status": status}
    driver.plug(n)
    answer = driver.call("connector.authorize", id_tag=f"NO-{status}", connector_id=n)
    assert answer["status"] == status
    assert set(answer) <= {"status", "connector_id", "parent_id_tag", "expiry_date"}
    assert driver.state(n)["transaction"] is None
    assert driver.state(n)["status"] == "Preparing"


def test_verdict_names_parent_and_expiry_to_the_controller(site: Site) -> None:
    """rpc.md connector.authorize: parent_id_tag and expiry_date are handed on."""
    driver, n = site.fresh()
    site.books.tags["CHILD"] = {"status": "Accepted", "parentIdTag": "FAMILY", "expiryDate": "2090-01-01T00:00:00Z"}
    answer = driver.call("connector.authorize", id_tag="CHILD", connector_id=n)
    assert set(answer) == {"status", "connector_id", "parent_id_tag", "expiry_date"}
    assert answer["parent_id_tag"] == "FAMILY"
    assert moment(answer["expiry_date"]) == moment("2090-01-01T00:00:00Z")


def test_same_tag_ends_the_session_without_asking(site: Site) -> None:
    """CORE-AUTH-05: no Authorize for the tag that started; reason Local."""
    driver, n, transaction_id = site.charging("SAME")
    asked = len(site.books.of("Authorize", idTag="SAME"))
    assert driver.call("connector.authorize", id_tag="same", connector_id=n)["status"] == "Accepted"
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert stop["reason"] == "Local"
    assert stop["idTag"].upper() == "SAME"
    assert len(site.books.of("Authorize", idTag="SAME")) == asked
    assert site.books.of("Authorize", idTag="same") == []


@pytest.mark.parametrize(("parent", "ends"), [("P-1", True), ("P-2", False), (None, False)])
def test_other_tag_ends_the_session_only_of_its_group(site: Site, parent: str | None, ends: bool) -> None:
    """CORE-AUTH-06: asked for; stops only with an equal parent."""
    mine, other = f"A-{parent}", f"B-{parent}"
    site.books.tags[mine] = {"status": "Accepted", "parentIdTag": "P-1"}
    site.books.tags[other] = {"status": "Accepted"} | ({"parentIdTag": parent} if parent else {})
    driver, n, transaction_id = site.charging(mine)
    answer = driver.call("connector.authorize", id_tag=other, connector_id=n)
    assert len(site.books.of("Authorize", idTag=other)) == 1
    assert (answer["status"] == "Accepted") is ends
    if ends:
        assert site.books.wait("StopTransaction", transactionId=transaction_id)["idTag"] == other
    else:
        assert driver.state(n)["transaction"]["transaction_id"] == transaction_id


def test_unplugging_ends_the_session_with_the_last_register(site: Site) -> None:
    """CORE-TX-14, CORE-TX-16, CORE-TX-17: EVDisconnected, the info of the standard, an unlock for the cable."""
    driver, n, transaction_id = site.charging(energy_wh=100)
    state = driver.report(n, plugged=False, ev_ready=False, energy_wh=160)
    assert state["transaction"] is None
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", 160)
    assert "idTag" not in stop
    told = site.books.wait("StatusNotification", connectorId=n, info="EV side disconnected")
    assert (told["status"], told["errorCode"]) == ("Finishing", "NoError")
    assert driver.request("connector.unlock")["params"]["connector_id"] == n
    site.books.wait("StatusNotification", 2, connectorId=n, status="Available")


def test_another_plug_id_is_another_use(site: Site) -> None:
    """decisions.md 4: the old transaction ends with EVDisconnected at the register before; a new use begins."""
    driver, n, transaction_id = site.charging(energy_wh=100, plug_id="a")
    driver.report(n, energy_wh=150)
    assert driver.report(n, plug_id="a", energy_wh=151)["transaction"]["transaction_id"] == transaction_id
    state = driver.report(n, plug_id="b", energy_wh=155)
    assert state["transaction"] is None
    assert state["status"] == "Preparing"
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", 151)


def test_repeated_and_empty_reports_change_nothing(site: Site) -> None:
    """decisions.md 4: levels, not edges."""
    driver, n, transaction_id = site.charging()
    levels = {"plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 1000}
    before = driver.report(n, **levels)
    site.books.wait("StatusNotification", connectorId=n, status="Charging")
    calls = len(site.books.calls)
    assert all(driver.report(n, **levels) == before for _ in range(5))
    assert driver.report(n) == before == driver.state(n)
    assert driver.call("data_transfer", vendor_id="V")["status"] == "Accepted"
    assert [action for action, _ in site.books.calls[calls:]] == ["DataTransfer"]
    assert before["transaction"]["transaction_id"] == transaction_id


@pytest.mark.parametrize("reason", ["EmergencyStop", "Local", "Other", "PowerLoss", "Reboot"])
def test_controller_stops_with_a_reason(site: Site, reason: str) -> None:
    """CORE-TX-12: the reason that the controller gives is the one on the wire."""
    driver, n, transaction_id = site.charging()
    driver.call("connector.stop_transaction", connector_id=n, reason=reason)
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert stop["reason"] == reason
    assert "idTag" not in stop


def test_stop_without_transaction_is_an_invalid_state(site: Site) -> None:
    """rpc.md error codes: -32007 with structured data."""
    driver, n = site.fresh()
    error = driver.fails("connector.stop_transaction", {"connector_id": n})
    assert (error.code, error.data["code"]) == (-32007, "invalid_state")


@pytest.mark.parametrize("given", [0, -5, -1, 2**31 - 1])
def test_any_transaction_id_of_the_csms_is_ordinary(site: Site, given: int) -> None:
    """CORE-TX-04, CORE-RSP-01: 0 and negative ids are used as given, and RemoteStop knows them."""
    with site.books.scripted("StartTransaction", {"transactionId": given, "idTagInfo": {"status": "Accepted"}}):
        driver, n, transaction_id = site.charging()
    assert transaction_id == given
    assert site.link.result("RemoteStopTransaction", {"transactionId": given}) == {"status": "Accepted"}
    stop = site.books.wait("StopTransaction", transactionId=given)
    assert stop["reason"] == "Remote"
    assert "idTag" not in stop
    assert driver.state(n)["transaction"] is None


def test_start_that_the_csms_refuses_stops_deauthorized(site: Site) -> None:
    """CORE-TX-05, CORE-TX-06: no energy within 1 s; the cable stays locked until its tag comes."""
    driver, n = site.fresh()
    driver.call("subscribe", topics=["connector.permit"], connectors=n, snapshot=False)
    driver.plug(n)
    refused = {"transactionId": 77, "idTagInfo": {"status": "Blocked"}}
    with site.books.scripted("StartTransaction", refused):
        driver.call("connector.authorize", id_tag="LATE-NO", connector_id=n)
        stop = site.books.wait("StopTransaction", transactionId=77)
    assert stop["reason"] == "DeAuthorized"
    assert driver.state(n)["permit"]["energize"] is False
    assert driver.quiet("connector.unlock")
    driver.call("connector.authorize", id_tag="LATE-NO", connector_id=n)
    assert driver.request("connector.unlock")["params"]["connector_id"] == n


def test_fault_is_told_whole_and_goes_away(site: Site) -> None:
    """CORE-STAT-07, CORE-STAT-16, CORE-STAT-17: a warning keeps the status, a fatal error is Faulted, then back."""
    driver, n, transaction_id = site.charging()
    warned = driver.report(n, errors=[{"error_code": "WeakSignal", "info": "bars: 1", "vendor_id": "acme"}])
    assert (warned["status"], warned["error_code"]) == ("Charging", "WeakSignal")
    told = site.books.wait("StatusNotification", connectorId=n, errorCode="WeakSignal")
    assert (told["info"], told["vendorId"], told["status"]) == ("bars: 1", "acme", "Charging")
    assert "vendorErrorCode" not in told
    fatal = {"error_code": "GroundFailure", "vendor_error_code": "E42", "inoperative": True}
    faulted = driver.report(n, errors=[{"error_code": "WeakSignal"}, fatal])
    assert (faulted["status"], faulted["error_code"], faulted["permit"]["energize"]) == (
        "Faulted",
        "GroundFailure",
        False,
    )
    told = site.books.wait("StatusNotification", connectorId=n, status="Faulted")
    assert (told["errorCode"], told["vendorErrorCode"]) == ("GroundFailure", "E42")
    healed = driver.report(n, errors=[])
    assert (healed["status"], healed["error_code"]) == ("Charging", "NoError")
    assert healed["transaction"]["transaction_id"] == transaction_id
    wait_for(lambda: site.books.statuses(n)[-1] == "Charging", "back to Charging")


def test_lone_authorize_finds_the_only_vehicle(site: Site) -> None:
    """rpc.md connector.authorize: among the caller's, the one running with this tag, else the only one plugged."""
    driver = site.driver()
    a, b, c = (next(site.next_connector) for _ in range(3))
    driver.attach(a, b, c)
    driver.idle(a)
    driver.plug(b)
    driver.idle(c)
    answer = driver.call("connector.authorize", id_tag="LONE")
    assert answer == {"status": "Accepted", "connector_id": b}
    transaction_id = site.running(driver, b)
    driver.plug(a)
    driver.plug(c)
    error = driver.fails("connector.authorize", {"id_tag": "OTHER"})
    assert error.code == -32007
    assert sorted(error.data["connectors"]) == [a, c]
    assert driver.call("connector.authorize", id_tag="LONE") == {"status": "Accepted", "connector_id": b}
    assert site.books.wait("StopTransaction", transactionId=transaction_id)["reason"] == "Local"
