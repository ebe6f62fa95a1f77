"""Who drives which connector: attach, takeover, lost connections, ranges, leases, subscriptions, reports of many."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Rig, wait_for
from .sessions import RUNNING, Driver, Json, Site, connector_state, moment, of_form, open_site, site_of


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(40, hub="unattended_grace_s = 1") as site:
        site.driver(next(site.next_connector))  # its second lease is waited for at the end
        yield site


def test_connector_that_nobody_attached_is_unavailable_but_operative(site: Site) -> None:
    """decisions.md 4, CORE-STAT-06: Unavailable on the wire; the state says operative and not attached."""
    n = next(site.next_connector)
    state = connector_state(site.hub.call("connector.get", connector_id=n))
    assert (state["status"], state["attached"]) == ("Unavailable", False)
    assert state["availability"].lower() == "operative"
    assert state["transaction"] is state["reservation"] is None
    driver = site.driver()
    assert driver.attach(n)[0]["attached"] is True
    assert driver.idle(n)["status"] == "Available"
    site.books.wait("StatusNotification", connectorId=n, status="Available")


@pytest.mark.parametrize("form", ["id", "list", "text"])
def test_connectors_are_named_by_id_list_or_text(site: Site, form: str) -> None:
    """rpc.md controller.attach, detach: `connectors` is an id, a list or a range text."""
    a, b = next(site.next_connector), next(site.next_connector)
    named: Any = {"id": a, "list": [b, a], "text": f"{a}-{b}"}[form]
    wanted = [a] if form == "id" else [a, b]
    driver = site.driver()
    answer = driver.call("controller.attach", connectors=named)
    assert sorted(connector_state(state)["connector_id"] for state in answer["connectors"]) == wanted
    assert [s["connector_id"] for s in driver.call("connector.list", connectors=named)] == wanted
    assert driver.call("controller.detach", connectors=named) is None
    assert driver.state(a)["attached"] is False


def test_detach_without_connectors_lets_go_of_all(site: Site) -> None:
    """rpc.md controller.detach; -32011 afterwards."""
    driver, n = site.fresh()
    assert driver.call("controller.detach") is None
    error = driver.fails("connector.report", {"connector_id": n})
    assert (error.code, error.data["code"]) == (-32011, "not_attached")
    assert set(error.data) >= {"code", "path", "hint"}


def test_second_controller_is_refused_until_it_takes_over(site: Site) -> None:
    """rpc.md controller.attach: one controller per connector; takeover by the same principal."""
    first, n = site.fresh()
    second = site.driver()
    error = second.fails("controller.attach", {"connectors": n})
    assert error.code == -32007
    assert first.report(n)["attached"] is True
    assert second.fails("connector.report", {"connector_id": n}).code == -32011
    assert second.attach(n, takeover=True)[0]["connector_id"] == n
    assert first.fails("connector.report", {"connector_id": n}).code == -32011
    error = second.fails("connector.report", {"connector_id": n, "energy_wh": 1000})
    assert error.code == -32602, "the first report of an attachment is a full one"
    assert second.idle(n)["attached"] is True


def test_refused_attach_takes_none_of_its_connectors(site: Site) -> None:
    """Reliability 4.1: an answer that is an error has no effect."""
    _first, taken = site.fresh()
    free = next(site.next_connector)
    second = site.driver()
    assert second.fails("controller.attach", {"connectors": [free, taken]}).code == -32007
    assert second.state(free)["attached"] is False
    assert second.fails("controller.attach", {"connectors": [free, 41]}).code == -32002
    assert second.state(free)["attached"] is False


def test_takeover_leaves_the_session_running(site: Site) -> None:
    """decisions.md 4: a controller that reports again is in step; the transaction goes on."""
    _first, n, transaction_id = site.charging(plug_id=7)
    second = site.driver()
    assert second.attach(n, takeover=True)[0]["transaction"]["transaction_id"] == transaction_id
    state = second.plug(n, 1010, plug_id=7)
    assert state["transaction"]["transaction_id"] == transaction_id
    assert (state["status"], state["permit"]["energize"]) == ("Charging", True)
    assert site.books.of("StopTransaction", transactionId=transaction_id) == []


@pytest.mark.parametrize("field", ["plugged", "ev_ready", "evse_ready"])
def test_first_report_is_full_or_refused(site: Site, field: str) -> None:
    """decisions.md 4: the first report after an attach carries the levels; the error names the one that lacks."""
    driver = site.driver(n := next(site.next_connector))
    levels = {"connector_id": n, "plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 1}
    del levels[field]
    before = driver.state(n)
    error = driver.fails("connector.report", levels)
    assert error.code == -32602
    assert field in f"{error.data}"
    assert driver.state(n) == before


def test_lost_controller_of_an_idle_connector_makes_it_unavailable(site: Site) -> None:
    """decisions.md 4: after unattended_grace_s; attached again it is Available at once."""
    driver, n = site.fresh()
    driver.close()
    wait_for(lambda: site.books.statuses(n)[-1] == "Unavailable", "unattended")
    assert site.hub.call("connector.get", connector_id=n)["attached"] is False
    again = site.driver(n)
    assert again.idle(n)["status"] == "Available"
    wait_for(lambda: site.books.statuses(n)[-1] == "Available", "attended")


def test_lost_controller_of_a_session_is_a_warning_and_the_session_goes_on(site: Site) -> None:
    """decisions.md 4: OtherError with info `controller lost`; the next controller finds the transaction."""
    driver, n, transaction_id = site.charging(plug_id="x")
    driver.close()
    told = site.books.wait("StatusNotification", connectorId=n, errorCode="OtherError")
    assert told["info"] == "controller lost"
    assert told["status"] not in {"Faulted", "Unavailable"}
    again = site.driver()
    assert again.attach(n)[0]["transaction"]["transaction_id"] == transaction_id
    state = again.plug(n, 1020, plug_id="x")
    assert (state["error_code"], state["transaction"]["transaction_id"]) == ("NoError", transaction_id)
    wait_for(lambda: site.books.of("StatusNotification", connectorId=n)[-1]["errorCode"] == "NoError", "warning gone")


def test_lease_comes_with_the_attach(site: Site) -> None:
    """rpc.md `lease {valid_for_s: 30}`: a notification to each attached connection, and to no other."""
    stranger = site.driver()
    driver = site.driver(next(site.next_connector))
    assert driver.lease() == {"valid_for_s": 30}
    stranger.call("rpc.ping")
    assert stranger.leases == []


def test_subscriber_sees_a_session_from_start_to_end(site: Site) -> None:
    """rpc.md topics connector.status, connector.permit, transaction: whole states, in the order of the events."""
    driver, n = site.fresh()
    watcher = site.driver()
    topics = ["connector.status", "connector.permit", "transaction"]
    answer = watcher.call("subscribe", topics=topics, connectors=n)
    assert set(answer) >= {"subscription", "stream", "seq", "snapshot"}
    driver.plug(n, 1010)
    driver.call("connector.authorize", id_tag="WATCHED", connector_id=n)
    started = watcher.event("transaction", event="started")
    assert set(started) == {"subscription", "stream", "seq", "charge_point", "topic", "timestamp", "value"}
    assert started["subscription"] == answer["subscription"]
    members = {"event": str, "connector_id": int, **RUNNING, "delivered": bool}
    ending = {"stop": str, "meter_stop_wh": int, "reason": str}
    of_form(started["value"], members, ending)
    assert (started["value"]["meter_start_wh"], started["value"]["delivered"]) == (1010, False)
    updated = watcher.event("transaction", event="updated")["value"]
    assert updated["transaction_id"] == site.running(driver, n)
    driver.call("connector.stop_transaction", connector_id=n)
    ended = watcher.event("transaction", event="ended")["value"]
    of_form(ended, members | ending)
    assert (ended["reason"], ended["meter_stop_wh"]) == ("Local", 1010)
    assert moment(ended["stop"]) >= moment(ended["start"])
    site.books.wait("StopTransaction", transactionId=updated["transaction_id"])
    watcher.call("rpc.ping")
    for event in watcher.events:
        if event["topic"] in {"connector.status", "connector.permit"}:
            assert connector_state(event["value"])["connector_id"] == n
    statuses = [e["value"]["status"] for e in watcher.events if e["topic"] == "connector.status"]
    ordered = [s for i, s in enumerate(statuses) if not i or s != statuses[i - 1]]
    assert ordered == ["Preparing", "Charging", "Finishing"]
    permits = [e["value"]["permit"] for e in watcher.events if e["topic"] == "connector.permit"]
    assert permits[0]["energize"] is True
    assert permits[-1]["energize"] is False
    assert [p["seq"] for p in permits] == sorted(p["seq"] for p in permits)
    sequence = [e["seq"] for e in watcher.events]
    assert sequence == sorted(sequence)


def test_permit_changes_with_a_profile_and_the_controller_is_told(site: Site) -> None:
    """decisions.md 5: until permits are shared they carry the connector's own composite; seq grows with each."""
    driver, n, transaction_id = site.charging()
    driver.call("subscribe", topics=["connector.permit"], connectors=n, snapshot=False)
    before = driver.state(n)["permit"]
    charging_profile = {
        "chargingProfileId": 4000 + n,
        "transactionId": transaction_id,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.1, "numberPhases": 3}],
        },
    }
    request = {"connectorId": n, "csChargingProfiles": charging_profile}
    assert site.link.result("SetChargingProfile", request) == {"status": "Accepted"}
    event = driver.event("connector.permit")["value"]["permit"]
    assert (event["limit_a"], event["phases"], event["energize"]) == (8.1, 3, True)
    assert event["seq"] > before["seq"]
    assert driver.report(n, permit_seq=event["seq"])["permit"] == event
    assert driver.fails("connector.report", {"connector_id": n, "permit_seq": event["seq"] + 1}).code == -32602


def test_many_reports_as_objects_refuse_the_bad_rows_only(site: Site) -> None:
    """rpc.md connector.report_many: `changed` are states, `errors` have index and error."""
    driver = site.driver()
    a, b, c = (next(site.next_connector) for _ in range(3))
    driver.attach(a, b)
    levels = {"plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 10}
    reports = [
        {"connector_id": a, **levels},
        {"connector_id": c, **levels},
        {"connector_id": b, **levels, "energy_wh": -1},
        {"connector_id": 41, **levels},
        {"connector_id": b, **levels},
        {"connector_id": b, "surprise": 1},
    ]
    answer = driver.call("connector.report_many", reports=reports)
    assert set(answer) == {"changed", "errors"}
    assert {connector_state(s)["connector_id"]: s["status"] for s in answer["changed"]} == {
        a: "Preparing",
        b: "Preparing",
    }
    assert [(e["index"], e["error"]["code"]) for e in answer["errors"]] == [
        (1, -32011),
        (2, -32602),
        (3, -32002),
        (5, -32602),
    ]
    for item in answer["errors"]:
        assert set(item) == {"index", "error"}
        assert set(item["error"]) >= {"code", "message", "data"}
        assert set(item["error"]["data"]) >= {"code", "path", "hint"}
        assert item["error"]["data"]["path"].startswith(f"/params/reports/{item['index']}"), item
    assert driver.call("connector.report_many", reports=reports[:1]) == {"changed": [], "errors": []}


def test_many_reports_in_columns_carry_measurements(site: Site) -> None:
    """rpc.md connector.report_many: columns and rows; null = not reported; measurands in their default unit."""
    driver = site.driver()
    a, b = next(site.next_connector), next(site.next_connector)
    driver.attach(a, b)
    columns = ["connector_id", "plugged", "ev_ready", "evse_ready", "energy_wh", "Power.Active.Import", "Voltage.L1"]
    rows = [[a, True, True, True, 10, 7200, 231.5], [b, False, False, True, None, None, None], [a, True, True]]
    answer = driver.call("connector.report_many", columns=columns, rows=rows)
    assert sorted(s["connector_id"] for s in answer["changed"]) in ([a], [a, b])
    assert [(e["index"], e["error"]["code"]) for e in answer["errors"]] == [(2, -32602)]
    assert (driver.state(a)["status"], driver.state(b)["status"]) == ("Preparing", "Available")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"reports": {}},
        {"reports": [], "rows": [], "columns": []},
        {"columns": ["connector_id"]},
        {"rows": [[1]]},
        {"columns": ["connector_id", "Nope"], "rows": [[1, 2]]},
        {"columns": ["plugged"], "rows": [[True]]},
        {"columns": ["connector_id", "connector_id"], "rows": [[1, 1]]},
        {"columns": "connector_id", "rows": [[1]]},
        {"columns": ["connector_id"], "rows": [[1]] * 1001},
        {"reports": [{"connector_id": 1}] * 1001},
        {"reports": [], "extra": 1},
    ],
    ids=lambda p: str(p)[:60],
)
def test_report_of_many_in_a_wrong_shape_is_refused_whole(site: Site, params: Json) -> None:
    """rpc.md: the parameters of report_many, 1,000 rows at most."""
    driver = site.driver()
    assert driver.fails("connector.report_many", params).code in {-32602, -32010}


def test_client_with_a_range_sees_foreign_connectors_as_unknown(rig: Rig) -> None:
    """rpc.md: for a client with a connector range, a foreign and an unknown connector are both -32002."""
    site = open_site(rig, 4, rpc=f'[[rpc.role]]\nrole = "controller"\nuid = {os.getuid()}\nconnectors = "2-3"')
    driver = site.driver()
    assert [s["connector_id"] for s in driver.call("connector.list")] == [2, 3]
    errors = []
    for n in (1, 9):
        calls: dict[str, Json] = {
            "controller.attach": {"connectors": n},
            "connector.report": {"connector_id": n, "plugged": True},
            "connector.get": {"connector_id": n},
            "connector.list": {"connectors": n},
            "connector.authorize": {"id_tag": "A", "connector_id": n},
            "connector.stop_transaction": {"connector_id": n},
        }
        failed = {method: driver.fails(method, params) for method, params in calls.items()}
        assert {method: error.code for method, error in failed.items()} == dict.fromkeys(calls, -32002)
        errors.append({method: (e.error["message"].replace(str(n), "N"), e.data) for method, e in failed.items()})
    assert errors[0] == errors[1], "nothing tells the one from the other"
    many = driver.call("connector.report_many", reports=[{"connector_id": 1}, {"connector_id": 9}])
    assert [item["error"]["code"] for item in many["errors"]] == [-32002, -32002]
    assert driver.fails("connector.set_availability", {"connector_id": 2, "available": False}).code == -32004
    driver.attach(2)
    assert driver.idle(2)["status"] == "Available"
    driver.call("subscribe", topics=["connector.status"])
    assert all(int(n) in (2, 3) for e in driver.events for n in [e["value"]["connector_id"]])


@pytest.mark.parametrize("role", ["monitor", "energy"])
def test_role_that_only_looks_may_not_drive(rig: Rig, role: str) -> None:
    """rpc.md Access: -32004 for every method of controllers; reads work."""
    site = open_site(rig, 2, rpc=f'[[rpc.role]]\nrole = "{role}"\nuid = {os.getuid()}')
    driver = site.driver()
    calls: dict[str, Json] = {
        "controller.attach": {"connectors": 1},
        "controller.detach": {},
        "connector.report": {"connector_id": 1, "plugged": True},
        "connector.report_many": {"reports": []},
        "connector.authorize": {"id_tag": "A"},
        "connector.stop_transaction": {"connector_id": 1},
        "connector.set_availability": {"connector_id": 1, "available": False},
        "outbox.retry": {"id": 1},
    }
    assert {method: driver.fails(method, params).code for method, params in calls.items()} == dict.fromkeys(
        calls, -32004
    )
    assert len(driver.call("connector.list")) == 2
    assert "transactions" in driver.call("transaction.list") or driver.call("transaction.list") == []
    driver.call("reservation.list")


def test_two_controllers_at_once_do_not_disturb_each_other(site: Site) -> None:
    """T40, T41: answers of one connection are its own; sessions run side by side."""
    pairs = [site.charging(f"PAR-{index}") for index in range(3)]
    drivers: list[Driver] = [pair[0] for pair in pairs]
    posted = [
        (driver, driver.post("connector.report", {"connector_id": n, "energy_wh": 1001 + step}))
        for step in range(20)
        for driver, n, _ in pairs
    ]
    for driver, request_id in posted:
        connector_state(driver.take(request_id))
    for driver, n, transaction_id in pairs:
        assert driver.state(n)["transaction"]["transaction_id"] == transaction_id
        assert all(other.fails("connector.report", {"connector_id": n}).code == -32011 for other in drivers
                   if other is not driver)  # fmt: skip


def test_operator_sets_availability(site: Site) -> None:
    """rpc.md connector.set_availability: Accepted, Scheduled while charging, as ChangeAvailability."""
    driver, n = site.fresh()
    assert driver.call("connector.set_availability", connector_id=n, available=False) == "Accepted"
    assert driver.state(n)["status"] == "Unavailable"
    assert driver.call("connector.set_availability", connector_id=n, available=True) == "Accepted"
    assert driver.state(n)["status"] == "Available"
    other, m, _ = site.charging()
    assert other.call("connector.set_availability", connector_id=m, available=False) == "Scheduled"
    other.call("connector.stop_transaction", connector_id=m)
    wait_for(lambda: site.books.statuses(m)[-1] == "Unavailable", "scheduled change")


def test_lease_comes_again_after_ten_seconds(site: Site) -> None:
    """rpc.md: every 10 s to each attached connection."""
    driver = site.drivers[0]
    assert driver.lease() == {"valid_for_s": 30}
    assert driver.lease(timeout=12) == {"valid_for_s": 30}
    driver.call("rpc.ping")
    assert driver.leases == []
