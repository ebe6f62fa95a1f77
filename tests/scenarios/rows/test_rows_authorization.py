"""Chapter 5: who may charge, seen from the controllers and from the CSMS; and every branch of connector.authorize."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import override, settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, Operator, controller, ready, take

BLOCKED = {"status": "Blocked"}
INVALID = {"status": "Invalid"}


def entry(id_tag: str, status: str = "Accepted", **info: Any) -> dict[str, Any]:
    """One AuthorizationData of a local list."""
    return {"idTag": id_tag, "idTagInfo": {"status": status, **info}}


def send_list(hub: Hub, *entries: dict[str, Any], version: int = 1, full: bool = True) -> str:
    """The CSMS sends a local list; the status that it gets."""
    kind = "Full" if full else "Differential"
    status: str = hub.asks_for(
        "SendLocalList", listVersion=version, localAuthorizationList=list(entries), updateType=kind
    )["status"]
    return status


def learn(hub: Hub, id_tag: str, **info: Any) -> None:
    """The CSMS gives a verdict on a tag, online, on a connector without a vehicle; then the use is over."""
    hub.operator.tags[id_tag] = {"status": "Accepted", **info}
    hub.swipe(id_tag, 3)
    hub.advance(61)
    assert hub.state(3)["status"] == "Available"
    hub.operator.tags.pop(id_tag)
    hub.forget()


def starts(hub: Hub, id_tag: str = "TAG", connector_id: int = 1) -> bool:
    """Whether a tag starts a transaction on a plugged connector; the answer of the command agrees."""
    hub.plug(connector_id)
    result = hub.swipe(id_tag, connector_id)
    is_running = hub.state(connector_id)["transaction"] is not None
    assert (result["status"] == "Accepted") == is_running
    return is_running


# the rows


def test_plug_alone_gives_no_energy() -> None:
    """CORE-AUTH-01, CORE-AUTH-07: and nobody is asked about a tag that nobody presented."""
    hub = ready()
    state = hub.plug()
    hub.advance(30)
    assert state["transaction"] is None
    assert not state["permit"]["energize"]
    assert hub.sent("Authorize") == []
    assert hub.sent("StartTransaction") == []


def test_unknown_tag_online_is_asked_for() -> None:
    """CORE-AUTH-02."""
    hub = ready()
    assert starts(hub)
    assert hub.actions.index("Authorize") < hub.actions.index("StartTransaction")
    assert hub.only("Authorize") == {"idTag": "TAG"}


def test_tag_that_the_csms_refuses_does_not_charge() -> None:
    """CORE-AUTH-02: the verdict is told, the connector waits on."""
    hub = ready(operator=Operator(tags={"TAG": INVALID}))
    hub.plug()
    assert hub.swipe()["status"] == "Invalid"
    assert hub.sent("StartTransaction") == []
    assert not hub.state()["permit"]["energize"]
    assert hub.state()["status"] == "Preparing"


def test_local_pre_authorize_asks_nobody() -> None:
    """CORE-AUTH-03."""
    hub = ready().configure(LocalPreAuthorize=True)
    send_list(hub, entry("TAG"))
    assert starts(hub)
    assert hub.sent("Authorize") == []


def test_without_local_pre_authorize_the_answer_is_awaited() -> None:
    """CORE-AUTH-04."""
    hub = ready().configure(LocalPreAuthorize=False)
    send_list(hub, entry("TAG"))
    hub.operator.silent.add("Authorize")
    hub.plug()
    request = hub.present()
    hub.advance(20)
    assert not hub.is_answered(request)
    assert hub.sent("StartTransaction") == []
    assert hub.state()["transaction"] is None


def test_starting_tag_stops_without_being_asked_for() -> None:
    """CORE-AUTH-05."""
    hub = ready().session().forget()
    assert hub.swipe()["status"] == "Accepted"
    assert hub.sent("Authorize") == []
    assert hub.only("StopTransaction")["reason"] == "Local"


@pytest.mark.parametrize(
    ("mine", "other", "stops"),
    [
        ({"parentIdTag": "G"}, {"parentIdTag": "G"}, True),
        ({"parentIdTag": "G"}, {"parentIdTag": "g"}, True),
        ({"parentIdTag": "G"}, {"parentIdTag": "H"}, False),
        ({"parentIdTag": "G"}, {}, False),
        ({}, {"parentIdTag": "G"}, False),
        ({}, {}, False),
        ({"parentIdTag": "G"}, {"parentIdTag": "G", "status": "Blocked"}, False),
    ],
)
def test_other_tag_stops_only_within_the_group(mine: dict[str, str], other: dict[str, str], stops: bool) -> None:
    """CORE-AUTH-06, CORE-GEN-08: same parent and Accepted."""
    hub = ready(operator=Operator(tags={"A": {**ACCEPTED, **mine}, "B": {**ACCEPTED, **other}}))
    hub.session(1, "A").forget()
    hub.swipe("B")
    assert hub.sent("Authorize") == [{"idTag": "B"}]
    assert (len(hub.sent("StopTransaction")) == 1) == stops
    assert (hub.state()["transaction"] is None) == stops
    if stops:
        assert hub.only("StopTransaction")["idTag"] == "B"


def test_tag_that_is_called_like_a_group_is_no_member() -> None:
    """CORE-GEN-09, CORE-AUTH-06: a presented tag is never compared with a parentIdTag."""
    hub = ready(operator=Operator(tags={"A": {**ACCEPTED, "parentIdTag": "G1"}}))
    hub.session(1, "A").forget()
    hub.swipe("G1")
    assert hub.sent("StopTransaction") == []


def test_group_known_from_the_list_stops_without_asking() -> None:
    """CORE-AUTH-06: or local data."""
    hub = ready().configure(LocalPreAuthorize=True)
    send_list(hub, entry("A", parentIdTag="G"), entry("B", parentIdTag="G"))
    hub.session(1, "A").forget()
    hub.swipe("B")
    assert hub.sent("Authorize") == []
    assert hub.only("StopTransaction")["idTag"] == "B"


def test_nobody_is_asked_about_tags_without_a_swipe() -> None:
    """CORE-AUTH-07: a day of sessions that are stopped by other means."""
    hub = ready().configure(AuthorizeRemoteTxRequests=False)
    hub.plug()
    hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1)
    hub.advance(30)
    hub.stop_here()
    hub.unplug()
    assert hub.sent("Authorize") == []


@pytest.mark.parametrize("action", ["Authorize", "StartTransaction", "StopTransaction"])
@pytest.mark.parametrize("status", ["Accepted", "Blocked"])
def test_every_id_tag_info_updates_the_cache(action: str, status: str) -> None:
    """CORE-AUTH-08, CORE-TX-20: seen by what happens offline afterwards."""
    hub = ready().configure(StopTransactionOnInvalidId=False)
    opposite = BLOCKED if status == "Accepted" else ACCEPTED
    if action == "Authorize":
        learn(hub, "TAG", status=status)
    elif action == "StartTransaction":
        hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1)
        hub.operator.starts["TAG"] = {"status": status}
        hub.plug()
        hub.stop_here()
        hub.unplug()
    else:
        hub.operator.starts["TAG"] = dict(opposite)
        hub.operator.scripts["StopTransaction"] = lambda payload: {"idTagInfo": {"status": status}}
        hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1)
        hub.plug()
        hub.stop_here(id_tag="TAG")
        hub.unplug()
    hub.configure(AllowOfflineTxForUnknownId=False).offline()
    assert starts(hub, "TAG", 2) == (status == "Accepted")


@pytest.mark.parametrize("source", ["Authorize", "StartTransaction"])
def test_tag_of_the_list_never_enters_the_cache(source: str) -> None:
    """CORE-AUTH-09: taken from the list again, it is unknown offline."""
    hub = ready()
    send_list(hub, entry("TAG"))
    if source == "Authorize":
        hub.swipe("TAG", 3)
        hub.advance(61)
    else:
        hub.session().stop_here()
        hub.unplug()
    send_list(hub, {"idTag": "TAG"}, version=2, full=False)
    hub.offline()
    assert not starts(hub, "TAG", 2)


def test_list_beats_cache() -> None:
    """CORE-AUTH-10."""
    hub = ready()
    learn(hub, "TAG")
    send_list(hub, entry("TAG", "Blocked"))
    hub.configure(AllowOfflineTxForUnknownId=True).offline()
    assert not starts(hub)


def test_bad_tag_is_remembered_as_bad() -> None:
    """CORE-AUTH-11."""
    hub = ready()
    learn(hub, "TAG", status="Blocked")
    hub.configure(AllowOfflineTxForUnknownId=True, LocalAuthorizeOffline=True).offline()
    assert not starts(hub)
    assert starts(hub, "OTHER", 2)


@pytest.mark.parametrize("where", ["list", "cache"])
def test_tag_expires_by_time(where: str) -> None:
    """CORE-AUTH-12, CORE-AUTH-18, CORE-LL-16: valid a second before, refused a second after, also as unknown."""
    for wait_s, expected in ((58, True), (62, False)):
        hub = ready()
        if where == "list":
            send_list(hub, entry("TAG", expiryDate=utc_text(hub.at(121))))
            hub.advance(61)
        else:
            learn(hub, "TAG", expiryDate=utc_text(hub.at(121)))
        hub.configure(AllowOfflineTxForUnknownId=True).offline().advance(wait_s)
        assert starts(hub) == expected


def test_full_cache_forgets_invalid_tags_first_then_the_oldest() -> None:
    """CORE-AUTH-13: the capacity is found by filling; the tag that was refused goes before any valid one."""
    hub = ready(1).configure(ConnectionTimeOut=1, LocalPreAuthorize=True)
    hub.operator.tags["BAD"] = BLOCKED
    hub.swipe("BAD")
    capacity = 10_000
    for number in range(capacity):
        hub.swipe(f"T{number}")
        hub.advance(1)
        hub.forget()
    hub.swipe("T0")
    assert hub.sent("Authorize") == [], "every valid tag is still known"
    hub.advance(1)
    hub.swipe(f"T{capacity}")
    hub.advance(1)
    hub.forget().swipe("T1")
    assert hub.sent("Authorize") == []
    hub.advance(1)
    hub.swipe("T0")
    assert hub.sent("Authorize") == [{"idTag": "T0"}], "the oldest was forgotten"
    hub.advance(1)
    hub.configure(AllowOfflineTxForUnknownId=True).offline()
    assert starts(hub, "BAD"), "the refused tag was forgotten before, and is unknown now"


def test_cache_survives_the_process() -> None:
    """CORE-AUTH-14."""
    hub = ready()
    learn(hub, "TAG")
    hub.advance(120)
    again = take(hub.crash().start(), (1, 2))
    assert starts(again)


def test_cached_as_bad_is_asked_again_online() -> None:
    """CORE-AUTH-15: even with LocalPreAuthorize."""
    hub = ready().configure(LocalPreAuthorize=True)
    learn(hub, "TAG", status="Blocked")
    assert starts(hub)
    assert len(hub.sent("Authorize")) == 1


@pytest.mark.parametrize("is_on", [True, False])
def test_local_authorize_offline_decides_whether_known_tags_charge_offline(is_on: bool) -> None:
    """CORE-AUTH-16, AMB-08: a known tag is refused when it is off, even where unknown ones may."""
    hub = ready().configure(LocalAuthorizeOffline=is_on, AllowOfflineTxForUnknownId=True)
    send_list(hub, entry("LISTED"))
    learn(hub, "CACHED")
    hub.offline()
    assert starts(hub, "LISTED", 1) == is_on
    assert starts(hub, "CACHED", 2) == is_on


@pytest.mark.parametrize("status", ["Blocked", "Expired", "Invalid", "ConcurrentTx"])
def test_listed_tag_that_is_not_accepted_is_refused_offline(status: str) -> None:
    """CORE-AUTH-17, AMB-07."""
    hub = ready().configure(AllowOfflineTxForUnknownId=True, LocalAuthorizeOffline=True)
    send_list(hub, entry("TAG", status))
    hub.offline()
    assert not starts(hub)


@pytest.mark.parametrize("is_on", [True, False])
def test_unknown_tag_offline_charges_iff_allowed(is_on: bool) -> None:
    """CORE-AUTH-19."""
    hub = ready().configure(AllowOfflineTxForUnknownId=is_on).offline()
    assert starts(hub) == is_on


def conflicts(hub: Hub) -> list[dict[str, Any]]:
    """The StatusNotifications that tell of a LocalListConflict."""
    return [each for each in hub.sent("StatusNotification") if each["errorCode"] == "LocalListConflict"]


def test_verdict_against_the_list_is_told() -> None:
    """CORE-AUTH-20: in StartTransaction.conf, and in Authorize.conf for a tag that the list refuses."""
    hub = ready().configure(LocalPreAuthorize=True)
    send_list(hub, entry("GOOD"), entry("BAD", "Blocked"))
    hub.operator.starts["GOOD"] = BLOCKED
    hub.plug()
    hub.swipe("GOOD")
    assert [each["connectorId"] for each in conflicts(hub)] == [0]
    hub.forget()
    assert starts(hub, "BAD", 2)
    # Authorize.conf and StartTransaction.conf contradict; whether each is told is left open.
    assert {each["connectorId"] for each in conflicts(hub)} == {0}


def test_verdict_that_agrees_with_the_list_is_no_conflict() -> None:
    """CORE-AUTH-20."""
    hub = ready()
    send_list(hub, entry("GOOD"), entry("BAD", "Blocked"))
    hub.operator.tags["BAD"] = BLOCKED
    assert starts(hub, "GOOD")
    assert not starts(hub, "BAD", 2)
    assert not starts(hub, "NOT-LISTED", 3) or conflicts(hub) == []
    assert conflicts(hub) == []


def test_concurrent_tx_is_a_refusal_like_any_other() -> None:
    """CORE-AUTH-21: of the first transmission."""
    hub = ready(operator=Operator(starts={"TAG": {"status": "ConcurrentTx"}}))
    hub.plug()
    hub.swipe()
    assert hub.only("StopTransaction")["reason"] == "DeAuthorized"


def test_concurrent_tx_after_a_lost_answer_is_our_own() -> None:
    """CORE-AUTH-21: charging goes on."""
    hub = ready()
    hub.operator.silent.add("StartTransaction")
    hub.plug()
    hub.swipe()
    assert len(hub.sent("StartTransaction")) == 1
    hub.offline()
    hub.operator.silent.clear()
    hub.operator.starts["TAG"] = {"status": "ConcurrentTx"}
    hub.online().advance(60)
    assert len(hub.sent("StartTransaction")) == 2
    assert hub.sent("StopTransaction") == []
    assert hub.state()["permit"]["energize"]
    assert hub.state()["transaction"]["transaction_id"] == 101


def test_same_tag_may_start_on_two_connectors() -> None:
    """CORE-AUTH-21: only the CSMS decides."""
    hub = ready().session(1).session(2)
    assert [each["connectorId"] for each in hub.sent("StartTransaction")] == [1, 2]


def test_clear_cache_forgets_every_tag() -> None:
    """CORE-AUTH-22."""
    hub = ready()
    learn(hub, "TAG")
    assert hub.asks_for("ClearCache") == ACCEPTED
    again = take(hub.crash().start(), (1, 2))
    assert not starts(again), "not after a restart either"
    hub.offline()
    assert not starts(hub)


def test_clear_cache_without_a_cache_is_rejected() -> None:
    """CORE-AUTH-23."""
    hub = ready().configure(AuthorizationCacheEnabled=False)
    assert hub.asks_for("ClearCache") == {"status": "Rejected"}


def test_cache_that_is_off_is_not_used() -> None:
    """CORE-AUTH-23, CORE-GEN-10."""
    hub = ready()
    learn(hub, "TAG")
    hub.configure(AuthorizationCacheEnabled=False).offline()
    assert not starts(hub)


# the decision table


class Case(NamedTuple):
    """One line of the decision table, with both answers of the CSMS where it is asked."""

    listed: str | None
    cached: str | None
    keys: str
    action: str


OK, BAD = "Accepted", "Blocked"
ONLINE = [
    Case(OK, None, "LocalPreAuthorize", "authorize"),
    Case(OK, None, "", "ask"),
    Case(BAD, None, "LocalPreAuthorize", "ask"),
    Case(BAD, None, "", "ask"),
    Case(None, OK, "LocalPreAuthorize", "authorize"),
    Case(None, OK, "", "ask"),
    Case(None, BAD, "LocalPreAuthorize", "ask"),
    Case(None, BAD, "", "ask"),
    Case(None, None, "LocalPreAuthorize", "ask"),
    Case(None, None, "", "ask"),
]
OFFLINE = [
    Case(OK, None, "LocalAuthorizeOffline", "authorize"),
    Case(OK, None, "LocalAuthorizeOffline AllowOfflineTxForUnknownId", "authorize"),
    Case(BAD, None, "LocalAuthorizeOffline", "refuse"),
    Case(BAD, None, "LocalAuthorizeOffline AllowOfflineTxForUnknownId", "refuse"),
    Case(BAD, None, "AllowOfflineTxForUnknownId", "refuse"),
    Case(None, OK, "LocalAuthorizeOffline", "authorize"),
    Case(None, BAD, "LocalAuthorizeOffline", "refuse"),
    Case(None, BAD, "LocalAuthorizeOffline AllowOfflineTxForUnknownId", "refuse"),
    Case(None, BAD, "AllowOfflineTxForUnknownId", "refuse"),
    Case(OK, None, "", "refuse"),
    Case(OK, None, "AllowOfflineTxForUnknownId", "refuse"),
    Case(None, OK, "", "refuse"),
    Case(None, OK, "AllowOfflineTxForUnknownId", "refuse"),
    Case(None, None, "LocalAuthorizeOffline", "refuse"),
    Case(None, None, "", "refuse"),
    Case(None, None, "AllowOfflineTxForUnknownId", "authorize"),
    Case(None, None, "LocalAuthorizeOffline AllowOfflineTxForUnknownId", "authorize"),
]


def prepared(case: Case) -> Hub:
    """A hub with the list, the cache and the keys of a line."""
    hub = ready()
    if case.cached is not None:
        learn(hub, "TAG", status=case.cached)
    if case.listed is not None:
        assert send_list(hub, entry("TAG", case.listed)) == "Accepted"
    names = ("LocalPreAuthorize", "LocalAuthorizeOffline", "AllowOfflineTxForUnknownId")
    hub.configure(**{name: name in case.keys.split() for name in names})
    return hub.forget()


def ids(cases: Iterable[Case]) -> list[str]:
    """Names for the lines of the table."""
    return [f"L={case.listed}-C={case.cached}-{case.keys or 'none'}-{case.action}" for case in cases]


@pytest.mark.parametrize("verdict", [OK, "Invalid"])
@pytest.mark.parametrize("case", ONLINE, ids=ids(ONLINE))
def test_decision_online(case: Case, verdict: str) -> None:
    """CORE-AUTH-02, CORE-AUTH-03, CORE-AUTH-04, CORE-AUTH-15, CORE-AUTH-20: the online lines of the table."""
    hub = prepared(case)
    hub.operator.tags["TAG"] = {"status": verdict}
    hub.operator.starts["TAG"] = dict(ACCEPTED)
    is_charging = starts(hub)
    assert len(hub.sent("Authorize")) == (case.action == "ask")
    assert is_charging == (case.action == "authorize" or verdict == OK)
    contradicts = case.action == "ask" and case.listed is not None and case.listed != verdict
    if case.listed == BAD and verdict == "Invalid":
        contradicts = False  # both refuse
    assert bool(conflicts(hub)) == contradicts


@pytest.mark.parametrize("case", OFFLINE, ids=ids(OFFLINE))
def test_decision_offline(case: Case) -> None:
    """CORE-AUTH-16, CORE-AUTH-17, CORE-AUTH-19, AMB-08: the offline lines of the table."""
    hub = prepared(case).offline()
    assert starts(hub) == (case.action == "authorize")
    assert hub.sent("Authorize") == []


@pytest.mark.parametrize("failure", ["timeout", "CALLERROR", "lost link"])
@pytest.mark.parametrize("case", OFFLINE, ids=ids(OFFLINE))
def test_decision_without_an_answer_is_the_one_offline(case: Case, failure: str) -> None:
    """AMB-21, CORE-AUTH-16: Authorize times out, gets a CALLERROR, or the link is lost under it."""
    hub = prepared(case)
    if failure == "CALLERROR":
        hub.operator.errors["Authorize"] = "InternalError"
    else:
        hub.operator.silent.add("Authorize")
    hub.plug()
    request = hub.present()
    if failure == "lost link":
        hub.offline()
    else:
        hub.advance(31)
    assert len(hub.sent("Authorize")) == 1
    assert (hub.result(request)["status"] == "Accepted") == (case.action == "authorize")
    assert (hub.state()["transaction"] is not None) == (case.action == "authorize")


# id tags as texts


@pytest.mark.parametrize("id_tag", ["a-B.c_*:;!", "1", "x" * 20])
def test_id_tag_may_be_any_text(id_tag: str) -> None:
    """CORE-GEN-07."""
    hub = ready()
    assert starts(hub, id_tag)
    assert hub.only("StartTransaction")["idTag"] == id_tag


@pytest.mark.parametrize("id_tag", ["", "x" * 21])
def test_id_tag_of_a_wrong_length_is_an_error_that_names_it(id_tag: str) -> None:
    """CORE-GEN-07: nothing is asked, nothing changes."""
    hub = ready()
    hub.plug()
    before = hub.forget().state()
    with pytest.raises(LocalError) as caught:
        hub.swipe(id_tag)
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/id_tag")
    assert caught.value.hint
    assert hub.state() == before
    assert hub.calls == []


def test_id_tags_compare_without_case() -> None:
    """CORE-GEN-08: listed, cached, and as the tag that ends its transaction."""
    hub = ready().configure(LocalPreAuthorize=True)
    send_list(hub, entry("ABC"))
    assert starts(hub, "abc")
    assert hub.sent("Authorize") == []
    hub.forget().swipe("aBc")
    assert len(hub.sent("StopTransaction")) == 1
    learn(hub, "xyz")
    assert starts(hub, "XYZ", 2)
    assert hub.sent("Authorize") == []


# connector.authorize without a connector (rpc.md)


def test_tag_without_connector_ends_the_transaction_that_it_started() -> None:
    """CORE-AUTH-05: the one running with this tag comes first."""
    hub = ready().session(2)
    hub.plug(1)
    hub.forget()
    assert hub.swipe("TAG", None) == {"status": "Accepted", "connector_id": 2}
    assert hub.only("StopTransaction")["transactionId"] == 101
    assert hub.sent("StartTransaction") == []
    assert hub.sent("Authorize") == []


def test_tag_without_connector_ends_the_transaction_of_its_group() -> None:
    """CORE-AUTH-06."""
    group = {**ACCEPTED, "parentIdTag": "G"}
    hub = ready(operator=Operator(tags={"A": group, "B": group})).session(3, "A")
    result = hub.forget().swipe("B", None)
    assert (result["status"], result["connector_id"]) == ("Accepted", 3)
    assert hub.only("StopTransaction")["idTag"] == "B"


def test_tag_without_connector_starts_on_the_only_one_plugged() -> None:
    """CORE-AUTH-02: the others run, or are free."""
    hub = ready().session(1, "OTHER")
    hub.plug(3)
    result = hub.forget().swipe("TAG", None)
    assert (result["status"], result["connector_id"]) == ("Accepted", 3)
    assert hub.only("StartTransaction")["connectorId"] == 3


def test_tag_without_connector_waits_for_the_next_one_plugged() -> None:
    """CORE-TX-21: within ConnectionTimeOut."""
    hub = ready()
    request = hub.present("TAG", None)
    assert hub.is_answered(request)
    assert hub.result(request)["status"] == "Accepted"
    hub.advance(59)
    hub.plug(2)
    assert hub.only("StartTransaction")["connectorId"] == 2
    hub.plug(1)
    assert len(hub.sent("StartTransaction")) == 1, "it serves one vehicle"


def test_tag_without_connector_waits_no_longer_than_connection_time_out() -> None:
    """CORE-TX-21."""
    hub = ready()
    hub.present("TAG", None)
    hub.advance(61)
    hub.plug(2)
    assert hub.sent("StartTransaction") == []
    assert hub.state(2)["status"] == "Preparing"


def test_tag_without_connector_among_several_plugged_ones_is_an_error_that_lists_them() -> None:
    """CORE-AUTH-01: nothing starts."""
    hub = ready()
    hub.plug(1)
    hub.plug(3)
    hub.forget()
    with pytest.raises(LocalError) as caught:
        hub.swipe("TAG", None)
    assert caught.value.code == "invalid_state"
    assert caught.value.data["connectors"] == [1, 3]
    assert hub.sent("StartTransaction") == []


def test_tag_without_connector_looks_among_the_callers_own() -> None:
    """CORE-AUTH-01: another controller's connector is not touched."""
    hub = ready(4)
    other = controller(2, 2000)
    hub.call("detach", controller(), [4])
    hub.join(4, who=other)
    hub.tell(4, who=other, plugged=True, ev_ready=True, evse_ready=True, energy_wh=1_000)
    hub.plug(1)
    result = hub.swipe("TAG", None)
    assert (result["status"], result["connector_id"]) == ("Accepted", 1)
    assert hub.state(4)["transaction"] is None


def test_refused_tag_without_connector_says_so() -> None:
    """CORE-AUTH-02."""
    hub = ready(operator=Operator(tags={"TAG": INVALID}))
    hub.plug(2)
    assert hub.swipe("TAG", None)["status"] == "Invalid"
    assert hub.sent("StartTransaction") == []


def test_verdict_carries_parent_and_expiry() -> None:
    """CORE-AUTH-02: rpc.md, result of connector.authorize."""
    expiry = "2030-01-01T00:00:00.000Z"
    hub = ready(operator=Operator(tags={"TAG": {**ACCEPTED, "parentIdTag": "G", "expiryDate": expiry}}))
    hub.plug()
    result = hub.swipe()
    assert result["parent_id_tag"] == "G"
    assert result["expiry_date"].startswith("2030-01-01T00:00:00")


@pytest.mark.parametrize(
    ("who", "connector_id", "code"),
    [
        (controller(9), 1, "not_attached"),
        (controller(), 0, "unknown_connector"),
        (controller(), 4, "unknown_connector"),
    ],
)
def test_tag_for_a_connector_that_is_not_the_callers_is_refused(who: Any, connector_id: int, code: str) -> None:
    """CORE-GEN-03, T40: nobody is asked."""
    hub = ready()
    with pytest.raises(LocalError) as caught:
        hub.swipe("TAG", connector_id, who=who)
    assert caught.value.code == code
    assert hub.calls == []


def test_free_vend_connector_charges_without_a_tag() -> None:
    """CORE-AUTH-07: the configured tag is used, and nobody is asked before."""
    point = settings(connectors=2, connector_overrides=(override([2], free_vend_id_tag="FREE"),))
    hub = ready(point=point)
    hub.plug(1)
    hub.plug(2)
    assert hub.only("StartTransaction")["connectorId"] == 2
    assert hub.only("StartTransaction")["idTag"] == "FREE"
    assert hub.state(2)["status"] == "Charging"
    assert hub.state(1)["status"] == "Preparing"


def test_free_vend_connector_stops_when_unplugged_and_starts_again() -> None:
    """CORE-TX-14."""
    point = settings(connectors=1, connector_overrides=(override([1], free_vend_id_tag="FREE"),))
    hub = ready(point=point)
    hub.plug()
    hub.unplug()
    assert hub.only("StopTransaction")["reason"] == "EVDisconnected"
    hub.plug()
    assert len(hub.sent("StartTransaction")) == 2


def test_refused_member_of_the_group_ends_nothing_without_connector() -> None:
    """CORE-AUTH-06: the same parent, but Blocked."""
    group = {**ACCEPTED, "parentIdTag": "G"}
    hub = ready(operator=Operator(tags={"A": group, "B": {**group, "status": "Blocked"}})).session(3, "A")
    assert hub.swipe("B", None)["status"] == "Blocked"
    assert hub.sent("StopTransaction") == []


def test_stranger_without_connector_ends_nothing_where_all_are_busy() -> None:
    """CORE-AUTH-06: and the answer says that it may not."""
    hub = ready(2).session(1, "A").session(2, "B").forget()
    with suppress(LocalError):
        hub.swipe("C", None)
    assert hub.sent("StopTransaction") == []
    assert hub.sent("StartTransaction") == []
