"""Things that happen at the same time: late answers, and rarer ways to begin and end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Rig, wait_for
from .sessions import FAST, Driver, Json, Site, connector_state, open_site, site_of


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(60, configuration=FAST["configuration"] + "\nConnectionTimeOut = 60") as site:
        yield site


def withheld(site: Site, action: str) -> Any:
    """The CSMS keeps its answers to this action to itself."""
    return site.books.scripted(action, None)


def waiting(site: Site, action: str, **members: Any) -> list[Any]:
    """The CALL that is not answered yet."""
    site.books.wait(action, **members)
    return next(f for f in reversed(site.link.calls(action)) if members.items() <= f[3].items())


def answer(site: Site, call: list[Any], payload: Json) -> None:
    site.link.send([3, call[1], payload])


ACCEPTED: Json = {"idTagInfo": {"status": "Accepted"}}


def test_vehicle_leaves_while_the_tag_is_asked_for(site: Site) -> None:
    """CORE-TX-21, CORE-AUTH-01: the late yes starts nothing while nobody is there."""
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "Authorize"):
        request = driver.post("connector.authorize", {"id_tag": "GONE", "connector_id": n})
        call = waiting(site, "Authorize", idTag="GONE")
        driver.post("connector.report", {"connector_id": n, "plugged": False, "ev_ready": False})
        answer(site, call, ACCEPTED)
        assert driver.take(request)["status"] == "Accepted"
    assert driver.state(n)["transaction"] is None
    assert site.books.of("StartTransaction", connectorId=n) == []


def test_controller_is_lost_while_its_tag_is_asked_for(site: Site) -> None:
    """decisions.md 4: the late answer harms nobody; the next controller finds a connector in order."""
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "Authorize"):
        driver.post("connector.authorize", {"id_tag": "LOST", "connector_id": n})
        call = waiting(site, "Authorize", idTag="LOST")
        driver.close()
        answer(site, call, ACCEPTED)
        wait_for(lambda: not site.hub.call("connector.get", connector_id=n)["attached"], "detached")
    again = site.driver(n)
    state = again.idle(n)
    assert state["status"] in {"Available", "Preparing"}
    assert state["transaction"] is None


def test_two_tags_at_once_start_one_transaction(site: Site) -> None:
    """CORE-TX-01: whoever is first; both requests are answered."""
    driver, n = site.fresh()
    driver.plug(n)
    posted = [driver.post("connector.authorize", {"id_tag": tag, "connector_id": n}) for tag in ("ONE", "TWO")]
    answers: list[Any] = []
    for request_id in posted:
        driver.take_any(request_id, answers)
    site.running(driver, n)
    assert len(site.books.of("StartTransaction", connectorId=n)) == 1


def test_session_ends_before_its_start_is_answered(site: Site) -> None:
    """CORE-TXQ-07, D4: Stop waits for the id of its Start; the controller is not kept waiting."""
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "StartTransaction"):
        driver.call("connector.authorize", id_tag="SHORT", connector_id=n)
        call = waiting(site, "StartTransaction", connectorId=n)
        driver.call("connector.stop_transaction", connector_id=n, id_tag="SHORT")
        assert driver.state(n)["transaction"] is None
        request = driver.post("connector.authorize", {"id_tag": "NEXT", "connector_id": n})
        answer(site, call, {"transactionId": 90_001, **ACCEPTED})
        assert driver.take(request)["status"] == "Accepted"
        stop = site.books.wait("StopTransaction", transactionId=90_001)
        assert stop["idTag"] == "SHORT"
        call = waiting(site, "StartTransaction", idTag="NEXT")
        answer(site, call, {"transactionId": 90_002, **ACCEPTED})
        assert site.running(driver, n) == 90_002
    order = [a for a, p in site.books.calls if p.get("connectorId") == n or p.get("transactionId") == 90_001]
    assert [a for a in order if a.endswith("Transaction")] == [
        "StartTransaction",
        "StopTransaction",
        "StartTransaction",
    ]


def test_refused_start_of_a_session_that_is_over_changes_nothing_more(site: Site) -> None:
    """CORE-TX-05: only a transaction that still runs is stopped for it."""
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "StartTransaction"):
        driver.call("connector.authorize", id_tag="OVER", connector_id=n)
        call = waiting(site, "StartTransaction", connectorId=n)
        driver.call("connector.stop_transaction", connector_id=n, reason="EmergencyStop")
        answer(site, call, {"transactionId": 90_003, "idTagInfo": {"status": "Invalid"}})
        stop = site.books.wait("StopTransaction", transactionId=90_003)
    assert stop["reason"] == "EmergencyStop"
    driver.call("rpc.ping")
    assert len(site.books.of("StopTransaction", transactionId=90_003)) == 1


@pytest.mark.parametrize(
    "payload",
    [{}, {"transactionId": 5}, ACCEPTED, {"transactionId": 5.5, **ACCEPTED}, {"transactionId": 5, "idTagInfo": {}}],
    ids=json.dumps,
)
def test_unusable_answer_to_a_start_is_a_failure_and_repeated(site: Site, payload: Json) -> None:
    """CORE-TXQ-05, F22: no id is guessed; the same StartTransaction again, and then its id."""
    driver, n = site.fresh()
    driver.plug(n)
    answers = iter([payload, {"transactionId": 91_000 + n, **ACCEPTED}])
    with site.books.scripted("StartTransaction", lambda *_: next(answers)):
        driver.call("connector.authorize", id_tag="UNUSABLE", connector_id=n)
        assert site.running(driver, n) == 91_000 + n
    first, second = site.books.of("StartTransaction", connectorId=n)
    assert first == second


def test_stop_command_while_a_tag_is_asked_for_answers_both(rig: Rig) -> None:
    """decisions.md 6: every request is answered; nothing starts when the charge point has stopped."""
    site = open_site(rig, 1)
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "Authorize"):
        request = driver.post("connector.authorize", {"id_tag": "CUT", "connector_id": n})
        waiting(site, "Authorize", idTag="CUT")
        with site.hub.rpc() as operator:
            assert operator.call("stop") is True
        answers: list[Any] = []
        driver.take_any(request, answers)
    assert "error" in answers[0] or answers[0]["result"]["status"] != "Accepted"
    assert driver.state(n)["transaction"] is None
    assert site.books.of("StartTransaction") == []


def test_link_is_cut_while_a_tag_is_asked_for(rig: Rig) -> None:
    """CORE-AUTH-19, decision table: a lost link is decided as offline, at once."""
    site = open_site(rig, 1, configuration=FAST["configuration"] + "\nAllowOfflineTxForUnknownId = true")
    driver, n = site.fresh()
    driver.plug(n)
    with withheld(site, "Authorize"):
        request = driver.post("connector.authorize", {"id_tag": "CUT", "connector_id": n})
        waiting(site, "Authorize", idTag="CUT")
        site.cut()
        assert driver.take(request)["status"] == "Accepted"
    assert driver.state(n)["transaction"]["id_tag"] == "CUT"


@pytest.mark.parametrize("way", ["batch", "lines"])
def test_requests_in_one_go_take_effect_in_their_order(site: Site, way: str) -> None:
    """rpc.md: calls of one connection on one connector take effect in the order sent, those that wait too."""
    n = next(site.next_connector)
    driver = site.driver()
    plugged = {"connector_id": n, "plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 1}
    steps: list[tuple[str, Json]] = [
        ("controller.attach", {"connectors": n}),
        ("connector.report", plugged),
        ("connector.authorize", {"id_tag": f"ORDER-{way}", "connector_id": n}),
        ("connector.stop_transaction", {"connector_id": n}),
    ]
    batch = [
        {"jsonrpc": "2.0", "id": i, "method": method, "params": params} for i, (method, params) in enumerate(steps)
    ]
    if way == "batch":
        answers = {item["id"]: item for item in driver.ask(batch)}
    else:
        driver.raw(b"".join(json.dumps(item).encode() + b"\n" for item in batch))
        answers = {item["id"]: item for item in (driver.message() for _ in steps)}
    assert answers[2]["result"]["status"] == "Accepted"
    assert "result" in answers[3], answers[3]
    assert connector_state(answers[3]["result"])["transaction"] is None
    assert site.books.wait("StartTransaction", connectorId=n)["idTag"] == f"ORDER-{way}"
    assert driver.state(n)["transaction"] is None


def test_report_without_an_id_counts_and_is_not_answered(site: Site) -> None:
    """rpc.md: a notification is executed, never answered."""
    driver, n = site.fresh()
    params = {"connector_id": n, "plugged": True, "ev_ready": True}
    driver.raw(json.dumps({"jsonrpc": "2.0", "method": "connector.report", "params": params}).encode() + b"\n")
    assert driver.state(n)["status"] == "Preparing"
    assert driver.answers == []


def test_client_half_closes_after_its_report_and_gets_the_answer(site: Site) -> None:
    """rpc.md: a client that half-closes still gets its answers, those that wait for a commit too."""
    n = next(site.next_connector)
    driver = Driver(site.hub.socket)
    driver.attach(n)
    driver.plug(n)
    request = driver.post("connector.authorize", {"id_tag": "HALF", "connector_id": n})
    driver.socket.shutdown(socket.SHUT_WR)
    assert driver.take(request)["status"] == "Accepted"
    driver.close()
    site.books.wait("StartTransaction", connectorId=n)


def test_attach_again_by_the_same_connection_is_no_new_attachment_error(site: Site) -> None:
    """rpc.md controller.attach: what is mine already is given again."""
    driver, n, transaction_id = site.charging()
    assert driver.attach(n)[0]["transaction"]["transaction_id"] == transaction_id
    assert driver.plug(n, 1001)["transaction"]["transaction_id"] == transaction_id


def test_remote_start_chooses_a_connector(rig: Rig) -> None:
    """CORE-RS-05: plugged and Preparing, else reserved for this tag, else the lowest Available; none is Rejected."""
    site = open_site(rig, 3)
    driver = site.driver(1, 2, 3)
    driver.idle(1)
    driver.idle(2)
    driver.plug(3)
    reservation = {"reservationId": 1, "connectorId": 2, "idTag": "MINE", "expiryDate": "2090-01-01T00:00:00Z"}
    assert site.link.result("ReserveNow", reservation) == {"status": "Accepted"}
    for n, expected in ((3, "Accepted"), (2, "Accepted"), (1, "Accepted"), (None, "Rejected")):
        assert site.link.result("RemoteStartTransaction", {"idTag": "MINE"}) == {"status": expected}
        if n is not None:
            driver.plug(n)
            start = site.books.wait("StartTransaction", connectorId=n)
            assert start.get("reservationId") == (1 if n == 2 else None)
            site.running(driver, n)
    site.check()


def test_reservation_of_the_station_keeps_one_connector_free(rig: Rig) -> None:
    """CORE-RV-08, CORE-RV-17: no connector is Reserved; the last free one is for the tag."""
    site = open_site(rig, 2)
    driver = site.driver(1, 2)
    driver.idle(1)
    driver.idle(2)
    reservation = {"reservationId": 1, "connectorId": 0, "idTag": "VIP", "expiryDate": "2090-01-01T00:00:00Z"}
    assert site.link.result("ReserveNow", reservation) == {"status": "Accepted"}
    assert [driver.state(n)["status"] for n in (1, 2)] == ["Available", "Available"]
    assert driver.call("reservation.list")[0]["connector_id"] == 0
    driver.plug(1)
    assert driver.call("connector.authorize", id_tag="ANY", connector_id=1)["status"] == "Accepted"
    driver.plug(2)
    taken: list[Any] = []
    driver.take_any(driver.post("connector.authorize", {"id_tag": "ANY2", "connector_id": 2}), taken)
    assert "error" in taken[0] or taken[0]["result"]["status"] != "Accepted"
    assert driver.call("connector.authorize", id_tag="VIP", connector_id=2)["status"] == "Accepted"
    assert site.books.wait("StartTransaction", connectorId=2)["reservationId"] == 1
    site.check()


def test_station_becomes_unavailable_around_a_session(rig: Rig) -> None:
    """CORE-CA-04, CORE-CA-11, AMB-14, CORE-STAT-13: Scheduled; 0 and the idle ones now, the busy one afterwards."""
    site = open_site(rig, 2)
    driver, n, _ = site.charging()
    other = site.driver(2)
    other.idle(2)

    def change(connector_id: int, kind: str) -> str:
        return str(site.link.result("ChangeAvailability", {"connectorId": connector_id, "type": kind})["status"])

    assert change(0, "Inoperative") == "Scheduled"
    wait_for(lambda: site.books.statuses(2)[-1] == "Unavailable", "idle connector")
    wait_for(lambda: site.books.statuses(0)[-1] == "Unavailable", "connector 0")
    assert driver.state(n)["status"] == "Charging"
    driver.call("connector.stop_transaction", connector_id=n)
    wait_for(lambda: site.books.statuses(n)[-1] == "Unavailable", "busy connector")
    assert change(2, "Operative") == "Accepted"
    assert other.state(2)["status"] == "Unavailable"
    assert change(0, "Operative") == "Accepted"
    wait_for(lambda: site.books.statuses(2)[-1] == "Available", "all operative")
    assert set(site.books.statuses(0)) <= {"Available", "Unavailable"}
    site.check()


def test_free_vend_connector_starts_with_the_plug(rig: Rig) -> None:
    """surface.md `free_vend_id_tag`, CORE-STAT-02 (A3): the configured tag, no Authorize, no swipe."""
    free = '[[charge_point.connector]]\nids = "1"\nfree_vend_id_tag = "FREE"\n'
    site = open_site(rig, 2, security="\n" + free)
    driver = site.driver(1)
    driver.idle(1)
    driver.plug(1)
    start = site.books.wait("StartTransaction", connectorId=1)
    assert start["idTag"] == "FREE"
    transaction_id = site.running(driver, 1)
    driver.idle(1, 1001)
    assert site.books.wait("StopTransaction", transactionId=transaction_id)["reason"] == "EVDisconnected"
    assert site.books.of("Authorize") == []
    site.check()


def test_session_survives_the_unplug_at_the_vehicle_when_configured(rig: Rig) -> None:
    """CORE-TX-15, CORE-TX-17: SuspendedEV with the info of the standard; energy may resume; no unlock."""
    site = open_site(rig, 1, configuration=FAST["configuration"] + "\nStopTransactionOnEVSideDisconnect = false")
    driver, n, transaction_id = site.charging()
    state = driver.report(n, plugged=False, ev_ready=False)
    assert (state["status"], state["transaction"]["transaction_id"]) == ("SuspendedEV", transaction_id)
    told = site.books.wait("StatusNotification", connectorId=n, status="SuspendedEV")
    assert (told["errorCode"], told["info"]) == ("NoError", "EV side disconnected")
    assert driver.quiet("connector.unlock")
    assert driver.plug(n, 1002)["status"] == "Charging"
    assert site.books.of("StopTransaction") == []
    site.check()


def test_refused_start_only_ends_the_energy_when_configured(rig: Rig) -> None:
    """CORE-TX-07, S4: StopTransactionOnInvalidId = false: SuspendedEVSE, no energy, the transaction goes on."""
    site = open_site(rig, 1, configuration=FAST["configuration"] + "\nStopTransactionOnInvalidId = false")
    driver, n = site.fresh()
    driver.plug(n)
    with site.books.scripted("StartTransaction", {"transactionId": 5, "idTagInfo": {"status": "Invalid"}}):
        driver.call("connector.authorize", id_tag="BAD", connector_id=n)
        site.books.wait("StatusNotification", connectorId=n, status="SuspendedEVSE")
    state = driver.state(n)
    assert (state["permit"]["energize"], state["transaction"]["transaction_id"]) == (False, 5)
    assert site.books.of("StopTransaction") == []
    driver.call("connector.stop_transaction", connector_id=n)
    assert site.books.wait("StopTransaction", transactionId=5)["reason"] == "Local"
    site.check()


def test_errors_of_the_station_are_told_for_connector_zero(rig: Rig) -> None:
    """CORE-STAT-13, CORE-STAT-07: Faulted, then a warning, then nothing; connector 1 is not touched."""
    site = open_site(rig, 1)
    driver, n = site.fresh()
    station = site.driver()
    station.call("controller.attach", connectors=0)
    fatal = {"error_code": "InternalError", "info": "door", "inoperative": True}
    station.call("connector.report", connector_id=0, errors=[fatal])
    told = site.books.wait("StatusNotification", connectorId=0, status="Faulted")
    assert (told["errorCode"], told["info"]) == ("InternalError", "door")
    station.call("connector.report", connector_id=0, errors=[{"error_code": "HighTemperature"}])
    told = site.books.wait("StatusNotification", connectorId=0, errorCode="HighTemperature")
    assert told["status"] == "Available"
    station.call("connector.report", connector_id=0, errors=[])
    wait_for(lambda: site.books.of("StatusNotification", connectorId=0)[-1]["errorCode"] == "NoError", "healed")
    assert driver.state(n)["error_code"] == "NoError"
    site.check()


def test_late_subscriber_gets_the_session_that_runs(site: Site) -> None:
    """rpc.md: the snapshot is atomic with `seq`; `since` resumes without a gap."""
    driver, n = site.fresh()
    early = site.driver()
    early.call("subscribe", topics=["transaction"], connectors=n)
    driver.plug(n)
    driver.call("connector.authorize", id_tag="SNAP", connector_id=n)
    transaction_id = early.event("transaction", event="updated")["value"]["transaction_id"]
    watcher = site.driver()
    first = watcher.call("subscribe", topics=["connector.status", "transaction"], connectors=n)
    text = json.dumps(first["snapshot"]["connector.status"])
    assert f'"transaction_id": {transaction_id}' in text
    watcher.call("unsubscribe", subscription=first["subscription"])
    driver.call("connector.stop_transaction", connector_id=n)
    site.books.wait("StopTransaction", transactionId=transaction_id)
    since = {"stream": first["stream"], "seq": first["seq"]}
    again = watcher.call("subscribe", topics=["transaction"], connectors=n, since=since)
    assert not again.get("gap")
    assert watcher.event("transaction", event="ended")["value"]["transaction_id"] == transaction_id
