"""One outage, many sessions: what happened without the CSMS arrives in order when it is back.

The outage is lived once for the module; each test looks at one side of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Link, wait_for
from .sessions import Json, Site, moment, site_of

CONFIGURATION = """
MeterValueSampleInterval = 1
TransactionMessageRetryInterval = 1
AllowOfflineTxForUnknownId = true
LocalPreAuthorize = true
"""
LIST = [
    {"idTag": "LISTED", "idTagInfo": {"status": "Accepted", "parentIdTag": "CLUB"}},
    {"idTag": "BARRED", "idTagInfo": {"status": "Blocked"}},
    {"idTag": "PASSED", "idTagInfo": {"status": "Accepted", "expiryDate": "2021-01-01T00:00:00Z"}},
]


@dataclasses.dataclass
class Outage:
    """What was seen while the CSMS was away, and the link after it."""

    site: Site
    verdicts: dict[str, str]
    outbox: list[Json]
    undelivered: list[Json]
    charge_point: Json
    transfer: Json
    states: dict[int, Json]
    seen_before: int
    link: Link
    running: int


@pytest.fixture(scope="module")
def outage() -> Iterator[Outage]:
    with site_of(9, configuration=CONFIGURATION) as site:
        yield live_through(site)


def live_through(site: Site) -> Outage:
    books, verdicts = site.books, {}
    driver = site.driver(*range(1, 10))
    for n in range(1, 10):
        driver.idle(n)
    update = {"listVersion": 1, "localAuthorizationList": LIST, "updateType": "Full"}
    assert site.link.result("SendLocalList", update) == {"status": "Accepted"}

    def swipe(n: int, id_tag: str) -> str:
        return str(driver.call("connector.authorize", id_tag=id_tag, connector_id=n)["status"])

    books.tags["KNOWN-BAD"] = {"status": "Invalid"}
    assert swipe(9, "KNOWN-BAD") == "Invalid"
    driver.plug(1)
    swipe(1, "ONLINE")
    running = site.running(driver, 1)
    driver.report(1, energy_wh=1010)
    wait_for(lambda: site.books.of("MeterValues", connectorId=1), "a sample online")
    site.csms.script["StartTransaction"] = None  # the answer is lost with the link
    driver.plug(3)
    swipe(3, "UNANSWERED")
    site.link.wait_call("StartTransaction", 2)
    with site.offline():
        site.csms.script["StartTransaction"] = books.keep(
            lambda _l, _i, _a, payload: {"transactionId": next(books.ids), "idTagInfo": books.verdict(payload)}
        )
        seen = len(books.calls)
        driver.plug(2)
        for id_tag in ("BARRED", "PASSED", "KNOWN-BAD", "LISTED"):
            verdicts[id_tag] = swipe(2, id_tag)
        driver.plug(4)
        verdicts["STRANGER"] = swipe(4, "STRANGER")
        wait_for(lambda: sampled(driver, 2, 1001), "two samples without the link", 5)
        driver.call("connector.stop_transaction", connector_id=2, id_tag="LISTED")
        driver.call("connector.authorize", id_tag="ONLINE", connector_id=1)
        driver.report(3, energy_wh=1005, plugged=False, ev_ready=False)
        driver.idle(2, 1040)
        driver.plug(5)
        transfer = driver.call("data_transfer", vendor_id="V")
        driver.call("security_event", type="Door", info="open")
        outbox = driver.call("outbox.list", limit=100)
        undelivered = driver.call("transaction.list", undelivered=True)["transactions"]
        charge_point = driver.call("charge_point.get")
        states = {n: driver.state(n) for n in range(1, 10)}
    link = site.back(1)
    books.wait("StopTransaction", 3, timeout=20)
    wait_for(lambda: books.statuses(5)[-1] == "Preparing", "the status of connector 5")
    wait_for(lambda: driver.call("outbox.list", limit=10) == [], "all delivered")
    return Outage(site, verdicts, outbox, undelivered, charge_point, transfer, states, seen, link, running)


def sampled(driver: Any, n: int, energy_wh: int) -> bool:
    """Report a moving register until two samples of the session wait."""
    driver.report(n, energy_wh=min(energy_wh, 1040))
    waiting = [row for row in driver.call("outbox.list", limit=100) if row["action"] == "MeterValues"]
    driver.report(4, energy_wh=1002)
    return any(row["connector_id"] == n for row in waiting)


def answers_on(link: Link) -> list[list[Any]]:
    """What the CSMS answered on a link."""
    frames = [json.loads(text) for way, text in list(link.frames) if way == "<"]
    return [frame for frame in frames if frame[0] == 3]


def after(outage: Outage, action: str) -> list[Json]:
    return [frame[3] for frame in outage.link.calls(action)]


def test_reconnect_is_no_boot(outage: Outage) -> None:
    """CORE-RPC-15, AMB-27: no BootNotification, and a status only where it changed."""
    assert outage.link.calls("BootNotification") == []
    told = {payload["connectorId"] for payload in after(outage, "StatusNotification")}
    assert told - {2} == {1, 3, 4, 5}, "connector 2 is again what the CSMS was told last; both ways are right"


def test_tags_are_decided_without_the_csms(outage: Outage) -> None:
    """CORE-AUTH-11, CORE-AUTH-16, CORE-AUTH-17, CORE-AUTH-18, CORE-AUTH-19."""
    verdicts = dict(outage.verdicts)
    assert verdicts.pop("LISTED") == verdicts.pop("STRANGER") == "Accepted"
    assert verdicts.pop("BARRED") == "Blocked"
    assert verdicts.pop("PASSED") == "Expired"
    assert verdicts.pop("KNOWN-BAD") == "Invalid"


def test_sessions_without_the_csms_look_like_others_to_the_controller(outage: Outage) -> None:
    """CORE-TXQ-02, rpc.md connector state: transaction_id is null until it is known; energy flows."""
    state = outage.states[4]
    assert (state["status"], state["transaction"]["transaction_id"]) == ("Charging", None)
    assert state["permit"]["energize"] is True
    assert outage.states[1]["transaction"] is None


def test_outbox_is_listed_in_the_order_of_delivery(outage: Outage) -> None:
    """rpc.md outbox.list; CORE-TXQ-01: times do not go back, the oldest first."""
    transactions = [row for row in outage.outbox if row["action"] != "SecurityEventNotification"]
    assert [row["action"] for row in transactions if row["action"] != "MeterValues"] == [
        "StartTransaction",
        "StartTransaction",
        "StartTransaction",
        "StopTransaction",
        "StopTransaction",
        "StopTransaction",
    ]
    times = [moment(row["at"]) for row in transactions]
    assert times == sorted(times)
    assert outage.charge_point["queue"]["messages"] >= len(transactions)
    assert moment(outage.charge_point["queue"]["oldest"]) == times[0]


def test_size_of_the_queue_is_told(outage: Outage) -> None:
    """rpc.md charge_point.get: `queue` has messages and bytes; what waits has a size."""
    assert outage.charge_point["queue"]["bytes"] > 0


def test_undelivered_sessions_are_listed(outage: Outage) -> None:
    """rpc.md transaction.list undelivered."""
    assert {row["connector_id"] for row in outage.undelivered} == {1, 2, 3, 4}
    assert all(row["delivered"] is False for row in outage.undelivered)


def test_everything_arrives_in_the_order_it_happened(outage: Outage) -> None:
    """CORE-TXQ-01, CORE-TXQ-03, CORE-TXQ-07: one queue of all connectors; Start before its samples before its Stop."""
    calls = [
        (frame[2], frame[3])
        for frame in outage.link.calls()
        if frame[2] in {"StartTransaction", "StopTransaction", "MeterValues"}
    ]
    starts = [payload["idTag"] for action, payload in calls if action == "StartTransaction"]
    assert starts == ["UNANSWERED", "LISTED", "STRANGER"]
    stops = [payload for action, payload in calls if action == "StopTransaction"]
    assert [stop["reason"] for stop in stops[:3]] == ["Local", "Local", "EVDisconnected"]
    assert [stop.get("idTag") for stop in stops[:3]] == ["LISTED", "ONLINE", None]
    times = [moment(payload["timestamp"]) for action, payload in calls if action != "MeterValues"]
    assert times == sorted(times)


def test_each_session_uses_the_id_of_its_own_answer(outage: Outage) -> None:
    """CORE-TX-03, CORE-TXQ-07, D4, D5: followers wait for the answer and carry its id."""
    ids: dict[str, int] = {}
    given = {frame[1]: frame[2] for frame in answers_on(outage.link)}
    for frame in outage.link.calls("StartTransaction"):
        ids[frame[3]["idTag"]] = given[frame[1]]["transactionId"]
    stops = {stop["transactionId"]: stop for stop in after(outage, "StopTransaction")}
    assert stops[outage.running]["idTag"] == "ONLINE"
    assert stops[ids["LISTED"]]["idTag"] == "LISTED"
    assert stops[ids["UNANSWERED"]]["reason"] == "EVDisconnected"
    for values in after(outage, "MeterValues"):
        expected = {1: outage.running, 2: ids["LISTED"], 3: ids["UNANSWERED"], 4: ids["STRANGER"]}
        assert values["transactionId"] == expected[values["connectorId"]]


def test_start_whose_answer_was_lost_is_sent_with_the_same_bytes(outage: Outage) -> None:
    """CORE-TXQ-05, AMB-02, D3: another message id, the same payload."""
    lost = outage.site.csms.links[0].calls("StartTransaction")[-1]
    again = outage.link.calls("StartTransaction")[0]
    assert again[1] != lost[1]
    assert again[3] == lost[3]


def test_samples_of_the_outage_arrive_with_their_own_times(outage: Outage) -> None:
    """CORE-TXQ-12, CORE-MV-14, CORE-MV-21: rows of one session, not after its stop."""
    values = [v for v in after(outage, "MeterValues") if v["connectorId"] == 2]
    assert values, "samples of the session that ran without the link"
    times = [moment(item["timestamp"]) for message in values for item in message["meterValue"]]
    assert times == sorted(set(times))
    stop = next(s for s in after(outage, "StopTransaction") if s.get("idTag") == "LISTED")
    start = next(s for s in after(outage, "StartTransaction") if s["idTag"] == "LISTED")
    assert moment(start["timestamp"]) <= times[0] <= times[-1] <= moment(stop["timestamp"])


def test_what_is_no_transaction_message_is_refused_or_kept(outage: Outage) -> None:
    """rpc.md data_transfer: Offline; decisions.md 6: a security event is delivered after the reconnect."""
    assert outage.transfer == {"status": "Offline"}
    events = after(outage, "SecurityEventNotification")
    assert [(e["type"], e["techInfo"]) for e in events if e["type"] == "Door"] == [("Door", "open")]


def test_current_status_follows_and_history_does_not(outage: Outage) -> None:
    """CORE-STAT-09, CORE-STAT-10, AMB-26: the last status is the present one, with the time of the change."""
    for n in range(1, 6):
        last = outage.site.books.of("StatusNotification", connectorId=n)[-1]
        assert last["status"] == outage.states[n]["status"]
    two = [p["status"] for p in after(outage, "StatusNotification") if p["connectorId"] == 2]
    assert two in ([], ["Available"], ["Preparing", "Available"]), two
