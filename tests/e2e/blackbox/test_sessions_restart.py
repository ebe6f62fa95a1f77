"""Ends and beginnings of the process, of the link and of OCPP: what of a session is there afterwards."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .conftest import Link, Rig, iso, point
from .sessions import FAST, Books, Driver, Json, Site, moment, open_site


def test_process_is_terminated_and_the_session_goes_on(rig: Rig) -> None:
    """decisions.md 6 (SIGTERM ends no transaction), CORE-BOOT-11, AMB-18: same id, no stop, meter bridged."""
    site = open_site(rig, 2)
    driver, n, transaction_id = site.charging("STAYS", plug_id=5)
    driver.report(n, energy_wh=1030)
    link = site.new_process(connectors=2)
    assert site.books.of("StopTransaction") == []
    driver = site.driver()
    state = driver.attach(n)[0]
    assert state["transaction"]["transaction_id"] == transaction_id
    assert state["permit"]["energize"] is False, "until the controller has confirmed"
    state = driver.plug(n, 1040, plug_id=5)
    assert (state["status"], state["permit"]["energize"]) == ("Charging", True)
    driver.call("connector.stop_transaction", connector_id=n)
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert (stop["meterStop"], stop["reason"]) == (1040, "Local")
    assert link.calls("StartTransaction") == []
    site.check()


@pytest.mark.parametrize("how", ["gone", "unplugged", "another vehicle"])
def test_process_is_killed_and_the_vehicle_is_not_there_any_more(rig: Rig, how: str) -> None:
    """AMB-18, L2, E1: PowerLoss after resume_wait_s, EVDisconnected if the controller says so; once, and billed."""
    site = open_site(rig, 1, hub="resume_wait_s = 2")
    driver, n, transaction_id = site.charging("GOES", plug_id="a")
    driver.report(n, energy_wh=1040)
    site.new_process(kill=True, connectors=1)
    if how != "gone":
        driver = site.driver(n)
        if how == "unplugged":
            driver.idle(n, 1045)
        else:
            driver.plug(n, 1045, plug_id="b")
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert stop["reason"] == ("PowerLoss" if how == "gone" else "EVDisconnected")
    assert 1000 <= stop["meterStop"] <= 1045
    assert moment(stop["timestamp"]).timestamp() <= time.time() + 1
    assert len(site.books.of("StopTransaction")) == 1
    site.check()


def test_process_is_killed_before_the_start_was_answered(rig: Rig) -> None:
    """CORE-TXQ-10, D3, D5: the same StartTransaction goes out again; the session has the id of its answer."""
    site = open_site(rig, 1)
    driver, n = site.fresh()
    driver.plug(n, plug_id=1)
    with site.books.scripted("StartTransaction", None):
        driver.call("connector.authorize", id_tag="AGAIN", connector_id=n)
        first = site.books.wait("StartTransaction", idTag="AGAIN")
        session_id = driver.state(n)["transaction"]["session_id"]
        site.hub.kill()
    site.hub.start()
    again = site.books.wait("StartTransaction", 2, idTag="AGAIN")
    assert again == first
    driver = site.driver(n)
    driver.plug(n, plug_id=1)
    assert isinstance(site.running(driver, n), int)
    assert driver.state(n)["transaction"]["session_id"] == session_id
    assert len(site.books.of("StartTransaction")) == 2


def test_what_the_csms_has_set_up_is_there_after_a_kill(rig: Rig) -> None:
    """CORE-LL-14, CORE-RV-14, CORE-CA-05, CORE-AUTH-14, D8: list, reservation, availability and cache are kept."""
    site = open_site(rig, 3, configuration=FAST["configuration"] + "\nLocalPreAuthorize = true")
    driver = site.driver(1, 2, 3)
    for n in (1, 2, 3):
        driver.idle(n)
    entries = [{"idTag": "LISTED", "idTagInfo": {"status": "Accepted"}}]
    update = {"listVersion": 7, "localAuthorizationList": entries, "updateType": "Full"}
    assert site.link.result("SendLocalList", update) == {"status": "Accepted"}
    reserve = {"connectorId": 2, "expiryDate": "2090-01-01T00:00:00Z", "idTag": "GUEST", "reservationId": -3}
    assert site.link.result("ReserveNow", reserve) == {"status": "Accepted"}
    assert site.link.result("ChangeAvailability", {"connectorId": 3, "type": "Inoperative"}) == {"status": "Accepted"}
    driver.plug(1, plug_id=1)
    driver.call("connector.authorize", id_tag="CACHED", connector_id=1)
    site.running(driver, 1)
    listed = driver.call("reservation.list")
    link = site.new_process(kill=True, connectors=3)
    assert link.result("GetLocalListVersion") == {"listVersion": 7}
    driver = site.driver(1, 2, 3)
    assert driver.call("reservation.list") == listed
    assert driver.state(2)["reservation"] == {
        "reservation_id": -3,
        "id_tag": "GUEST",
        "expiry_date": listed[0]["expiry_date"],
    }
    driver.plug(1, plug_id=1)
    assert driver.idle(2)["status"] == "Reserved"
    assert driver.idle(3)["status"] == "Unavailable"
    asked = len(site.books.of("Authorize"))
    driver.call("connector.stop_transaction", connector_id=1)
    driver.idle(1)
    driver.plug(1, plug_id=2)
    for id_tag in ("LISTED", "CACHED"):
        assert driver.call("connector.authorize", id_tag=id_tag, connector_id=1)["status"] == "Accepted"
        driver.call("connector.stop_transaction", connector_id=1)
    assert len(site.books.of("Authorize")) == asked
    assert link.result("CancelReservation", {"reservationId": -3}) == {"status": "Accepted"}
    site.check()


def test_operator_stops_with_sessions_and_restarts(rig: Rig) -> None:
    """decisions.md 6 `stop`: Stops with Other are sent, 1000, true; nothing while stopped; a new use afterwards."""
    site = open_site(rig, 2)
    driver, n, transaction_id = site.charging("ENDED", plug_id=1)
    link = site.link
    assert driver.call("stop") is True
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert (stop["reason"], stop["meterStop"]) == ("Other", 1000)
    assert link.closed.wait(5)
    assert link.close_code == 1000
    state = driver.state(n)
    assert (state["transaction"], state["permit"]["energize"]) == (None, False)
    assert driver.call("stop") is False
    for method, params in {
        "connector.authorize": {"id_tag": "X", "connector_id": n},
        "data_transfer": {"vendor_id": "V"},
        "security_event": {"type": "T", "info": "I"},
    }.items():
        error = driver.fails(method, params)
        assert error.code == -32007, method
        assert "stopped" in f"{error.error}", method
    assert driver.report(n, energy_wh=1010, plugged=True)["transaction"] is None
    assert driver.call("charge_point.get")["stopped"] is True
    calls = len(site.books.calls)
    assert site.hub.stop() == 0
    site.hub.start()
    assert site.hub.call("charge_point.get")["stopped"] is True, "survives a restart of the process"
    driver = site.driver(n)
    driver.plug(n, 1020, plug_id=1)
    assert len(site.csms.links) == 1
    assert len(site.books.calls) == calls, "no OCPP message while stopped"
    assert driver.call("restart") is True
    again = site.csms.link(1)
    again.wait_call("BootNotification")
    assert driver.call("restart") is False
    site.books.wait("StatusNotification", 2, connectorId=n, status="Preparing")
    assert driver.state(n)["transaction"] is None, "a new use begins; nothing starts by itself"
    driver.call("connector.authorize", id_tag="ENDED", connector_id=n)
    site.running(driver, n)
    assert site.books.of("StartTransaction")[-1]["meterStart"] == 1020
    site.check()


def test_stop_that_cannot_deliver_sends_the_rest_after_restart(rig: Rig) -> None:
    """decisions.md 6: what can be delivered within 5 s is; the rest is sent after `restart`."""
    site = open_site(rig, 2, configuration=FAST["configuration"] + "\nMessageTimeout = 30")
    driver, n, transaction_id = site.charging()
    with site.books.scripted("StopTransaction", None):
        begin = time.monotonic()
        assert driver.call("stop") is True
        assert 4 < time.monotonic() - begin < 7
    assert driver.call("restart") is True
    site.books.wait("StopTransaction", 2, transactionId=transaction_id)
    first, second = site.books.of("StopTransaction", transactionId=transaction_id)
    assert first == second
    assert driver.state(n)["transaction"] is None


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_reset_of_one_charge_point_leaves_the_other_alone(rig: Rig, kind: str) -> None:
    """CORE-RES-01, CORE-RES-02, CORE-RES-03, CORE-RES-04, CORE-RES-05, CORE-RES-07, decisions.md 6."""
    csms = rig.csms()
    books = Books(csms)
    one, two = (point(name, url=csms.url, connectors=2, **FAST) for name in ("ONE", "TWO"))
    hub = rig.hub(one, two).start()
    link, other = csms.booted(0, "ONE"), csms.booted(0, "TWO")
    site = Site(rig, csms, books, hub)
    driver, neighbour = site.driver(), site.driver()
    driver.call("rpc.use", charge_point="ONE")
    neighbour.call("rpc.use", charge_point="TWO")
    ids = []
    for who in (driver, neighbour):
        who.attach(1, 2)
        who.plug(1, plug_id=1)
        who.idle(2)
        who.call("connector.authorize", id_tag="BOTH", connector_id=1)
        ids.append(site.running(who, 1))
    assert link.result("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}) == {"status": "Accepted"}
    assert link.result("Reset", {"type": kind}) == {"status": "Accepted"}
    request = driver.request("charge_point.reset")
    assert set(request) == {"jsonrpc", "id", "method", "params"}
    assert set(request["params"]) - {"charge_point"} == {"type", "connectors"}
    assert (request["params"]["type"], sorted(request["params"]["connectors"])) == (kind, [1, 2])
    assert request["params"]["charge_point"] == "ONE"
    driver.reply(request, {"accepted": True})
    reborn = csms.link(1, "ONE")
    reborn.wait_call("StatusNotification", 3)
    stop = books.wait("StopTransaction", transactionId=ids[0])
    assert stop["reason"] == f"{kind}Reset"
    assert "idTag" not in stop
    sent = [f[3] for f in link.received() + reborn.received() if f[0] == 2 and f[2] == "StopTransaction"]
    # A hard reset waits for no answer: what was sent just before it is sent again, as it was.
    assert sent == [sent[0]] * (1 if kind == "Soft" else len(sent))
    if kind == "Soft":
        assert "StopTransaction" in [f[2] for f in link.calls()], "before the reset"
    told = {f[3]["connectorId"]: f[3]["status"] for f in reborn.calls("StatusNotification")}
    assert told[2] == "Unavailable"
    assert driver.fails("connector.report", {"connector_id": 1, "charge_point": "ONE"}).code == -32011
    driver.attach(1, 2)
    assert driver.plug(1, plug_id=1)["transaction"] is None
    assert len([item for item in csms.links if item.identity == "TWO"]) == 1
    assert not other.closed.is_set()
    assert neighbour.report(1, energy_wh=1010)["transaction"]["transaction_id"] == ids[1]
    assert neighbour.quiet("charge_point.reset")
    site.check()


def test_reset_that_the_controller_refuses_does_not_happen(rig: Rig) -> None:
    """CORE-RES-06: repeated ResetRetries times, then ResetFailure; the link stays."""
    site = open_site(rig, 1, configuration=FAST["configuration"] + "\nResetRetries = 1")
    driver, _n = site.fresh()
    assert site.link.result("Reset", {"type": "Soft"}) == {"status": "Accepted"}
    for _ in range(2):
        driver.reply(driver.request("charge_point.reset", timeout=25), {"accepted": False})
    told = site.books.wait("StatusNotification", errorCode="ResetFailure")
    assert told["connectorId"] == 0
    assert len(site.csms.links) == 1
    assert not site.link.closed.is_set()


def test_unanswered_stop_at_a_reset_is_delivered_afterwards(rig: Rig) -> None:
    """CORE-TXQ-09, CORE-RES-04: Hard does not wait; the StopTransaction appears after the boot, once answered once."""
    site = open_site(rig, 1, configuration=FAST["configuration"] + "\nMessageTimeout = 30")
    driver, _n, transaction_id = site.charging()

    def silent_once(link: Link, *_: Any) -> Json | None:
        return None if link is site.csms.links[0] else {}

    with site.books.scripted("StopTransaction", silent_once):
        site.link.result("Reset", {"type": "Hard"})
        driver.reply(driver.request("charge_point.reset"), {"accepted": True})
        reborn = site.csms.link(1)
        reborn.wait_call("StopTransaction")
    order = [f[2] for f in reborn.calls()]
    assert order.index("BootNotification") < order.index("StopTransaction")
    stops = site.books.of("StopTransaction", transactionId=transaction_id)
    assert all(stop == stops[0] for stop in stops)
    assert stops[0]["reason"] == "HardReset"


def test_charge_point_with_a_range_keeps_its_sessions_apart_from_the_other(rig: Rig) -> None:
    """rpc.md `charge_point`: states, lists and transactions are of the charge point that is named."""
    csms = rig.csms()
    books = Books(csms)
    hub = rig.hub(*(point(name, url=csms.url, connectors=1, **FAST) for name in ("ONE", "TWO"))).start()
    for name in ("ONE", "TWO"):
        csms.booted(0, name, connectors=1)
    site = Site(rig, csms, books, hub)
    driver = site.driver()
    assert driver.fails("controller.attach", {"connectors": 1}).code in {-32602, -32003}
    driver.call("controller.attach", connectors=1, charge_point="TWO")
    driver.plug(1)
    driver.call("connector.authorize", id_tag="T", connector_id=1)
    site.running(driver, 1)
    assert driver.call("transaction.list", charge_point="ONE")["transactions"] == []
    assert len(driver.call("transaction.list", charge_point="TWO")["transactions"]) == 1
    assert driver.call("connector.get", connector_id=1, charge_point="ONE")["transaction"] is None
    assert driver.fails("transaction.list", {"charge_point": "THREE"}).code == -32003


def test_hub_without_csms_serves_a_session_and_tells_it_later(rig: Rig) -> None:
    """decisions.md 4 `charge_before_accepted`: always; Boot first, then the session that ran before it."""
    csms = rig.csms()
    books = Books(csms)
    csms.script["BootNotification"] = None
    configuration = FAST["configuration"] + "\nAllowOfflineTxForUnknownId = true\nMessageTimeout = 1"
    text = point(url=csms.url, connectors=1, configuration=configuration)
    hub = rig.hub(text, hub='charge_before_accepted = "always"').start()
    site = Site(rig, csms, books, hub)
    driver: Driver = site.driver(1)
    driver.plug(1)
    assert driver.call("connector.authorize", id_tag="EARLY", connector_id=1)["status"] == "Accepted"
    assert driver.state(1)["permit"]["energize"] is True
    assert books.calls == []
    call = csms.link().wait_call("BootNotification")[-1]
    csms.link().send([3, call[1], {"status": "Accepted", "currentTime": iso(), "interval": 86400}])
    start = books.wait("StartTransaction", timeout=20)
    assert start["idTag"] == "EARLY"
    assert isinstance(site.running(driver, 1), int)


@pytest.mark.parametrize("setting", ["never", "if_accepted_once"])
def test_hub_that_was_never_accepted_serves_nobody(rig: Rig, setting: str) -> None:
    """decisions.md 4, CORE-BOOT-12: no session before the first acceptance, and the controller is told."""
    csms = rig.csms()
    csms.script["BootNotification"] = None
    configuration = FAST["configuration"] + "\nAllowOfflineTxForUnknownId = true"
    text = point(url=csms.url, connectors=1, configuration=configuration)
    hub = rig.hub(text, hub=f'charge_before_accepted = "{setting}"').start()
    site = Site(rig, csms, Books(csms), hub)
    driver = site.driver(1)
    driver.plug(1)
    answer = driver.ask({"jsonrpc": "2.0", "id": "a", "method": "connector.authorize", "params": {"id_tag": "EARLY"}})
    assert answer.get("error", {}).get("code") == -32007 or answer["result"]["status"] != "Accepted"
    state = driver.state(1)
    assert (state["transaction"], state["permit"]["energize"]) == (None, False)
