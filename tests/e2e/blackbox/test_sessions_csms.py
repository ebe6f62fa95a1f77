"""What the CSMS asks for in and around a session: remote start and stop, unlock, reservations, lists, availability."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .charging import now
from .conftest import wait_for
from .sessions import Json, Site, site_of

CONFIGURATION = """
MeterValueSampleInterval = 0
ConnectionTimeOut = 60
MeterValuesSampledData = "Energy.Active.Import.Register"
"""
FAR_AHEAD = "2090-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with site_of(60, configuration=CONFIGURATION) as site:
        yield site


def remote(site: Site, n: int, id_tag: str = "REMOTE", **more: Any) -> str:
    answer = site.link.result("RemoteStartTransaction", {"connectorId": n, "idTag": id_tag} | more)
    assert set(answer) == {"status"}
    return str(answer["status"])


def tx_profile(limit: float, **more: Any) -> Json:
    return {
        "chargingProfileId": 9,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
        },
    } | more


def test_remote_start_with_a_profile_is_seen_in_schedule_and_permit(site: Site) -> None:
    """CORE-RS-01, CORE-RS-03, CORE-RS-07, CORE-RS-09, CORE-SC-34: no Authorize."""
    driver, n = site.fresh()
    driver.plug(n)
    assert remote(site, n, "PROFILED", chargingProfile=tx_profile(7.5)) == "Accepted"
    site.running(driver, n)
    assert site.books.of("Authorize", idTag="PROFILED") == []
    answer = site.link.result("GetCompositeSchedule", {"connectorId": n, "duration": 60, "chargingRateUnit": "A"})
    assert answer["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 7.5
    permit = wait_for(lambda: driver.state(n)["permit"] if driver.state(n)["permit"]["limit_a"] == 7.5 else None, "7.5")
    assert permit["energize"] is True
    driver.call("connector.stop_transaction", connector_id=n)
    after = site.link.result("GetCompositeSchedule", {"connectorId": n, "duration": 60, "chargingRateUnit": "A"})
    assert after["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 32.0
    assert driver.call("schedule.profiles", connector_id=n) == []


@pytest.mark.parametrize(
    "bad", [{"chargingProfilePurpose": "TxDefaultProfile"}, {"transactionId": 5}, {"stackLevel": 99}], ids=str
)
def test_remote_start_with_a_bad_profile_is_rejected(site: Site, bad: Json) -> None:
    """CORE-RS-11: nothing starts, nothing is installed."""
    driver, n = site.fresh()
    driver.plug(n)
    before = driver.state(n)
    assert remote(site, n, chargingProfile=tx_profile(7.5, **bad)) == "Rejected"
    assert driver.state(n) == before
    assert driver.call("schedule.profiles", connector_id=n) == []


def test_remote_start_before_the_vehicle_waits_for_it(site: Site) -> None:
    """CORE-RS-08, CORE-RS-13: Preparing; a second one is rejected; the plug starts."""
    driver, n = site.fresh()
    assert remote(site, n, "WAITS") == "Accepted"
    site.books.wait("StatusNotification", connectorId=n, status="Preparing")
    assert remote(site, n, "OTHER") == "Rejected"
    driver.plug(n)
    assert site.books.wait("StartTransaction", connectorId=n)["idTag"] == "WAITS"


def test_remote_start_times_out_without_a_vehicle(site: Site) -> None:
    """CORE-RS-08, CORE-TX-21: Available after ConnectionTimeOut, and a later plug starts nothing."""
    driver, n = site.fresh()
    assert site.link.change("ConnectionTimeOut", "1") == "Accepted"
    try:
        assert remote(site, n, "NEVER") == "Accepted"
        site.books.wait("StatusNotification", 2, connectorId=n, status="Available")
    finally:
        assert site.link.change("ConnectionTimeOut", "60") == "Accepted"
    assert driver.plug(n)["transaction"] is None
    assert site.books.of("StartTransaction", connectorId=n) == []


@pytest.mark.parametrize("verdict", ["Accepted", "Invalid"])
def test_remote_start_is_authorized_when_the_key_says_so(site: Site, verdict: str) -> None:
    """CORE-RS-01, CORE-RS-02: Accepted first, then Authorize; a transaction only if that is accepted."""
    driver, n = site.fresh()
    driver.plug(n)
    tag = f"ASKED-{verdict}"
    site.books.tags[tag] = {"status": verdict}
    assert site.link.change("AuthorizeRemoteTxRequests", "true") == "Accepted"
    try:
        assert remote(site, n, tag) == "Accepted"
        site.books.wait("Authorize", idTag=tag)
    finally:
        assert site.link.change("AuthorizeRemoteTxRequests", "false") == "Accepted"
    if verdict == "Accepted":
        site.books.wait("StartTransaction", idTag=tag)
    else:
        assert driver.call("data_transfer", vendor_id="V")["status"] == "Accepted"
        assert driver.state(n)["transaction"] is None
        assert site.books.of("StartTransaction", idTag=tag) == []


def test_remote_start_where_it_cannot_be_is_rejected(site: Site) -> None:
    """CORE-RS-04, CORE-RS-06, AMB-12: unknown, 0, Unavailable, Faulted, in a transaction, Finishing, reserved."""
    driver, n, _ = site.charging()
    assert remote(site, n) == "Rejected"
    driver.call("connector.stop_transaction", connector_id=n)
    assert driver.state(n)["status"] == "Finishing"
    assert remote(site, n) == "Rejected"
    faulty, f = site.fresh()
    faulty.report(f, errors=[{"error_code": "InternalError", "inoperative": True}])
    assert remote(site, f) == "Rejected"
    _, u = site.fresh()
    assert site.link.result("ChangeAvailability", {"connectorId": u, "type": "Inoperative"}) == {"status": "Accepted"}
    assert remote(site, u) == "Rejected"
    assert remote(site, 61) == "Rejected"
    assert remote(site, 0) == "Rejected"


def test_remote_stop_answers_first_and_stops_then(site: Site) -> None:
    """CORE-RSP-01, CORE-RSP-02, section 10 (answer first): Remote, no idTag, unlock asked; unknown ids Rejected."""
    driver, n, transaction_id = site.charging()
    assert site.link.result("RemoteStopTransaction", {"transactionId": transaction_id + 500}) == {"status": "Rejected"}
    assert driver.state(n)["transaction"] is not None
    site.link.result("RemoteStopTransaction", {"transactionId": transaction_id})
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert stop["reason"] == "Remote"
    assert "idTag" not in stop
    frames = [f for f in site.link.received() if f[0] == 3 or f[2] == "StopTransaction"]
    assert frames[-1][0] == 2, "the answer left before"
    assert driver.request("connector.unlock")["params"]["connector_id"] == n
    assert site.link.result("RemoteStopTransaction", {"transactionId": transaction_id}) == {"status": "Rejected"}


@pytest.mark.parametrize("status", ["Unlocked", "UnlockFailed", "NotSupported"])
def test_unlock_stops_first_and_answers_what_the_controller_says(site: Site, status: str) -> None:
    """CORE-UL-01, CORE-UL-03: StopTransaction(UnlockCommand), then the command, then the answer."""
    driver, n, transaction_id = site.charging()
    message_id = site.link.post("UnlockConnector", {"connectorId": n})
    request = driver.request("connector.unlock")
    assert request["params"] == {"connector_id": n}
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert stop["reason"] == "UnlockCommand"
    assert site.link.answer_to(message_id) is None
    driver.reply(request, {"status": status})
    answer = wait_for(lambda: site.link.answer_to(message_id), "UnlockConnector.conf")
    assert answer[2] == {"status": status}


@pytest.mark.parametrize("answer", ['{"status": "Perhaps"}', "null", "[]", '"x"'])
def test_controller_answers_an_unlock_with_nonsense(site: Site, answer: str) -> None:
    """rpc.md: a failure of the client is the failure answer of the standard; its connection lives."""
    driver, n = site.fresh()
    message_id = site.link.post("UnlockConnector", {"connectorId": n})
    request = driver.request("connector.unlock")
    driver.raw(f'{{"jsonrpc":"2.0","id":"{request["id"]}","result":{answer}}}\n'.encode())
    result = wait_for(lambda: site.link.answer_to(message_id), "UnlockConnector.conf")
    assert result[2] == {"status": "UnlockFailed"}
    assert driver.state(n)["attached"] is True


@pytest.mark.parametrize("how", ["error", "gone", "nobody"])
def test_unlock_without_an_answer_has_failed(site: Site, how: str) -> None:
    """rpc.md: no client, a lost connection, an error: the failure answer of the standard, at once."""
    driver, n = site.fresh()
    if how == "nobody":
        driver.call("controller.detach")
    begin = time.monotonic()
    message_id = site.link.post("UnlockConnector", {"connectorId": n})
    if how != "nobody":
        request = driver.request("connector.unlock")
        if how == "gone":
            driver.close()
        else:
            error = '{"code": -32000, "message": "jammed"}'
            driver.raw(f'{{"jsonrpc":"2.0","id":"{request["id"]}","error":{error}}}\n'.encode())
    answer = wait_for(lambda: site.link.answer_to(message_id), "UnlockConnector.conf")
    assert answer[2] == {"status": "UnlockFailed"}
    assert time.monotonic() - begin < 5


def test_unlock_of_an_unknown_connector_is_not_supported(site: Site) -> None:
    """CORE-UL-02: 0 and N + 1."""
    for n in (0, 61):
        assert site.link.result("UnlockConnector", {"connectorId": n}) == {"status": "NotSupported"}


def test_answer_that_nobody_asked_for_harms_nobody(site: Site) -> None:
    """rpc.md: ids of the gateway are its own; a made-up answer is ignored."""
    driver, n = site.fresh()
    driver.raw(b'{"jsonrpc":"2.0","id":"s:99999","result":{"status":"Unlocked"}}\n')
    assert driver.state(n)["attached"] is True


def reserve(site: Site, reservation_id: int, n: int, id_tag: str = "GUEST", **more: Any) -> str:
    payload = {"reservationId": reservation_id, "connectorId": n, "idTag": id_tag, "expiryDate": FAR_AHEAD} | more
    return str(site.link.result("ReserveNow", payload)["status"])


def test_reservation_is_kept_for_its_tag_and_used(site: Site) -> None:
    """CORE-RV-02, CORE-RV-06, CORE-RV-12, CORE-TX-02: Reserved, others refused, reservationId in StartTransaction."""
    driver, n = site.fresh()
    assert reserve(site, 0, n) == "Accepted"
    site.books.wait("StatusNotification", connectorId=n, status="Reserved")
    state = driver.state(n)
    assert state["status"] == "Reserved"
    assert (state["reservation"]["reservation_id"], state["reservation"]["id_tag"]) == (0, "GUEST")
    rows = driver.call("reservation.list")
    row = next(r for r in rows if r["reservation_id"] == 0)
    assert row["connector_id"] == n
    assert set(row) >= {"reservation_id", "id_tag", "expiry_date", "connector_id"}
    assert driver.call("connector.authorize", id_tag="INTRUDER", connector_id=n)["status"] != "Accepted"
    assert reserve(site, 50, n) == "Occupied"
    assert driver.call("connector.authorize", id_tag="guest", connector_id=n)["status"] == "Accepted"
    driver.plug(n)
    start = site.books.wait("StartTransaction", connectorId=n)
    assert start["reservationId"] == 0
    site.running(driver, n)
    assert driver.state(n)["reservation"] is None
    assert site.link.result("CancelReservation", {"reservationId": 0}) == {"status": "Rejected"}
    assert driver.call("reservation.list") == []


def test_reservation_opens_for_the_group(site: Site) -> None:
    """CORE-RV-07, CORE-RV-12: the parent of the tag is asked for."""
    driver, n = site.fresh()
    site.books.tags["KIN"] = {"status": "Accepted", "parentIdTag": "CLAN"}
    assert reserve(site, 51, n, parentIdTag="CLAN") == "Accepted"
    assert driver.call("connector.authorize", id_tag="KIN", connector_id=n)["status"] == "Accepted"
    driver.plug(n)
    assert site.books.wait("StartTransaction", connectorId=n)["reservationId"] == 51


def test_reservation_is_cancelled_once(site: Site) -> None:
    """CORE-RV-13: Accepted and Available, answer first; then Rejected."""
    driver, n = site.fresh()
    assert reserve(site, 52, n) == "Accepted"
    assert site.link.result("CancelReservation", {"reservationId": 52}) == {"status": "Accepted"}
    site.books.wait("StatusNotification", 2, connectorId=n, status="Available")
    assert driver.state(n)["reservation"] is None
    assert site.link.result("CancelReservation", {"reservationId": 52}) == {"status": "Rejected"}


def test_reservation_ends_at_its_expiry(site: Site) -> None:
    """CORE-RV-10, RV-11."""
    driver, n = site.fresh()
    assert reserve(site, 53, n, expiryDate=now(2)) == "Accepted"
    site.books.wait("StatusNotification", connectorId=n, status="Reserved")
    site.books.wait("StatusNotification", 2, connectorId=n, status="Available", timeout=5)
    assert (driver.state(n)["status"], driver.state(n)["reservation"]) == ("Available", None)


def test_reservation_moves_with_its_id(site: Site) -> None:
    """CORE-RV-01: the same id replaces; the first connector is free again."""
    first, a = site.fresh()
    second, b = site.fresh()
    assert reserve(site, 54, a) == "Accepted"
    assert reserve(site, 54, b) == "Accepted"
    assert (first.state(a)["status"], second.state(b)["status"]) == ("Available", "Reserved")
    assert site.link.result("CancelReservation", {"reservationId": 54}) == {"status": "Accepted"}


def test_reservation_is_refused_with_the_reason(site: Site) -> None:
    """CORE-RV-03, CORE-RV-04, CORE-RV-05: Occupied, Faulted, Unavailable, Rejected."""
    plugged, p = site.fresh()
    plugged.plug(p)
    assert reserve(site, 60, p) == "Occupied"
    faulty, f = site.fresh()
    faulty.report(f, errors=[{"error_code": "InternalError", "inoperative": True}])
    assert reserve(site, 60, f) == "Faulted"
    _, u = site.fresh()
    site.link.result("ChangeAvailability", {"connectorId": u, "type": "Inoperative"})
    assert reserve(site, 60, u) == "Unavailable"
    assert reserve(site, 60, 61) == "Rejected"
    free, n = site.fresh()
    assert reserve(site, 60, n, expiryDate="2021-01-01T00:00:00Z") == "Rejected"
    assert free.state(n)["status"] == "Available"


def test_local_list_follows_its_versions(site: Site) -> None:
    """CORE-LL-01, CORE-LL-03, CORE-LL-05, CORE-LL-06, CORE-LL-07, CORE-LL-08, CORE-LL-12."""

    def send(version: int, kind: str, entries: list[Json] | None) -> str:
        payload: Json = {"listVersion": version, "updateType": kind}
        if entries is not None:
            payload["localAuthorizationList"] = entries
        return str(site.link.result("SendLocalList", payload)["status"])

    def version() -> int:
        answer = site.link.result("GetLocalListVersion")
        assert set(answer) == {"listVersion"}
        return int(answer["listVersion"])

    ok = {"status": "Accepted"}
    assert version() == 0
    assert send(5, "Full", [{"idTag": "LL-1", "idTagInfo": ok}]) == "Accepted"
    assert version() == 5
    refused: list[tuple[int, str, list[Json] | None, str]] = [
        (5, "Differential", [{"idTag": "LL-2", "idTagInfo": ok}], "VersionMismatch"),
        (4, "Differential", [], "VersionMismatch"),
        (0, "Full", [{"idTag": "LL-2", "idTagInfo": ok}], "Failed"),
        (-1, "Full", [{"idTag": "LL-2", "idTagInfo": ok}], "Failed"),
        (6, "Full", [{"idTag": "LL-2"}], "Failed"),
        (6, "Full", [{"idTag": "AB", "idTagInfo": ok}, {"idTag": "ab", "idTagInfo": ok}], "Failed"),
    ]
    for number, kind, entries, expected in refused:
        assert send(number, kind, entries) == expected, (number, kind, entries)
        assert version() == 5
    assert send(6, "Differential", None) == "Accepted"
    assert version() == 6
    assert send(7, "Full", []) == "Accepted"
    assert version() == 0


def test_listed_tag_needs_no_question_and_a_contradiction_is_told(site: Site) -> None:
    """CORE-AUTH-03, CORE-AUTH-20: LocalPreAuthorize; the conf against the list is LocalListConflict on 0."""
    entries = [{"idTag": "LISTED", "idTagInfo": {"status": "Accepted"}}]
    update = {"listVersion": 20, "localAuthorizationList": entries, "updateType": "Full"}
    assert site.link.result("SendLocalList", update) == {"status": "Accepted"}
    assert site.link.change("LocalPreAuthorize", "true") == "Accepted"
    driver, n = site.fresh()
    driver.plug(n)
    try:
        refused = {"transactionId": 888, "idTagInfo": {"status": "Blocked"}}
        with site.books.scripted("StartTransaction", refused):
            assert driver.call("connector.authorize", id_tag="LISTED", connector_id=n)["status"] == "Accepted"
            site.books.wait("StopTransaction", transactionId=888)
    finally:
        site.link.change("LocalPreAuthorize", "false")
    assert site.books.of("Authorize", idTag="LISTED") == []
    told = site.books.wait("StatusNotification", errorCode="LocalListConflict")
    assert told["connectorId"] == 0
    assert told["status"] == "Available"


def test_cache_is_emptied(site: Site) -> None:
    """CORE-AUTH-22: a cached tag is asked for again."""
    driver, n = site.fresh()
    assert site.link.change("LocalPreAuthorize", "true") == "Accepted"
    try:
        driver.plug(n)
        for asked, clear in ((1, False), (1, True), (2, False)):
            assert driver.call("connector.authorize", id_tag="CACHED", connector_id=n)["status"] == "Accepted"
            driver.call("connector.stop_transaction", connector_id=n)
            assert len(site.books.of("Authorize", idTag="CACHED")) == asked
            if clear:
                # The answer to a StopTransaction tells of the tag as well: behind it nothing fills the cache again.
                wait_for(lambda: driver.call("charge_point.get")["queue"]["messages"] == 0, "everything delivered")
                assert site.link.result("ClearCache") == {"status": "Accepted"}
    finally:
        site.link.change("LocalPreAuthorize", "false")


def test_availability_waits_for_the_session_and_can_be_taken_back(site: Site) -> None:
    """CORE-CA-02, CORE-CA-03, CORE-CA-08, CORE-CA-09: Scheduled in a session and in Preparing; Operative cancels it."""

    def change(n: int, kind: str) -> str:
        return str(site.link.result("ChangeAvailability", {"connectorId": n, "type": kind})["status"])

    driver, n, _ = site.charging()
    assert change(n, "Inoperative") == "Scheduled"
    assert change(n, "Operative") == "Accepted"
    assert change(n, "Inoperative") == "Scheduled"
    driver.call("connector.stop_transaction", connector_id=n)
    wait_for(lambda: site.books.statuses(n)[-1] == "Unavailable", "after the session")
    assert driver.fails("connector.authorize", {"id_tag": "X", "connector_id": n}).code == -32007
    waiting, m = site.fresh()
    waiting.plug(m)
    assert change(m, "Inoperative") == "Scheduled"
    waiting.idle(m)
    wait_for(lambda: site.books.statuses(m)[-2:] == ["Available", "Unavailable"], "B1, A8")
    waiting.plug(m)
    assert change(m, "Operative") == "Accepted"
    wait_for(lambda: site.books.statuses(m)[-1] == "Preparing", "H2")


@pytest.mark.parametrize("connector_id", [0, None, "one"])
def test_status_is_told_on_demand_after_the_answer(site: Site, connector_id: int | str | None) -> None:
    """CORE-TM-01, CORE-TM-05, CORE-TM-06: the answer, then StatusNotification of one connector, of 0, or of 0 to N."""
    _driver, n = site.fresh()
    request: Json = {"requestedMessage": "StatusNotification"}
    wanted = list(range(61))
    if connector_id is not None:
        wanted = [n if connector_id == "one" else 0]
        request["connectorId"] = wanted[0]
    begin = len(site.link.received())
    assert site.link.result("TriggerMessage", request) == {"status": "Accepted"}

    def told() -> bool:
        frames = site.link.received()[begin:]
        ids = [f[3]["connectorId"] for f in frames if f[0] == 2 and f[2] == "StatusNotification"]
        return len(ids) >= len(wanted) and sorted(set(ids)) == wanted

    wait_for(told, "the notifications")
    assert site.link.received()[begin][0] == 3, "the answer first"


def test_trigger_of_an_unknown_connector_is_rejected(site: Site) -> None:
    """CORE-TM-02, CORE-TM-07, TM-12."""
    for message in ("StatusNotification", "MeterValues"):
        request = {"requestedMessage": message, "connectorId": 61}
        assert site.link.result("TriggerMessage", request) == {"status": "Rejected"}
    assert site.link.result("TriggerMessage", {"requestedMessage": "Nonsense"}) == {"status": "NotImplemented"}
