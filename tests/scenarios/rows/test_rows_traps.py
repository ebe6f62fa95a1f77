"""Chapter 19: what most implementations get wrong, one test or more for each trap that concerns sessions.

The numbers are those of the chapter. Traps 14 to 22 are about charging profiles and have their own tests; where they
come in with RemoteStartTransaction they are here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from tests.builders import charging_profile, settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, Operator, ready, take
from tests.scenarios.rows.test_rows_authorization import entry, send_list
from tests.scenarios.rows.test_rows_status import fault, inoperative, reserve


@pytest.mark.parametrize("registration", ["Pending", "Rejected"])
def test_trap_1_nothing_is_sent_before_acceptance(registration: str) -> None:
    """CORE-BOOT-02, CORE-BOOT-07, CORE-BOOT-08: a session runs, a queue waits, and only Boot is sent."""
    first = ready(1).configure(AllowOfflineTxForUnknownId=True).offline()
    first.session().advance(10)
    hub = first.crash(operator=Operator(registration=registration, interval_s=600)).boot()
    take(hub, [1], plugged=True, ev_ready=True)
    hub.advance(100)
    hub.stop_here()
    assert set(hub.actions) == {"BootNotification"}
    answer = hub.answer_to(hub.receive_call("GetConfiguration"))
    assert (answer is None) == (registration == "Rejected")
    hub.operator.registration = "Accepted"
    hub.advance(700)
    assert [each["transactionId"] for each in hub.sent("StopTransaction")] == [101]


def test_trap_2_status_of_all_after_acceptance_and_no_boot_on_reconnect() -> None:
    """CORE-BOOT-11, CORE-RPC-15."""
    hub = Hub(settings(connectors=4)).boot()
    assert len(hub.sent("StatusNotification")) == 5
    hub.forget().offline().online()
    assert hub.sent("BootNotification") == []


def test_trap_3_offline_time_is_no_attempt_and_waits_grow_linearly() -> None:
    """CORE-TXQ-05, CORE-TXQ-06, AMB-02, AMB-03."""
    hub = ready(1).configure(TransactionMessageAttempts=5, TransactionMessageRetryInterval=10)
    hub.configure(AllowOfflineTxForUnknownId=True).offline()
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session().advance(100_000).online().advance(1_000)
    sent = [call for call in hub.calls if call.action == "StartTransaction"]
    assert [round(after.at_s - before.at_s) for before, after in pairwise(sent)] == [10, 20, 30, 40]
    assert len({call.unique_id for call in sent}) == 5


def test_trap_4_connectors_share_one_queue() -> None:
    """CORE-TXQ-03."""
    hub = ready(2).configure(TransactionMessageRetryInterval=30)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session(1, "ONE")
    hub.operator.errors.clear()
    hub.plug(2)
    hub.swipe("TWO", 2)
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["ONE"]
    hub.advance(31)
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["ONE", "ONE", "TWO"]


def test_trap_5_no_number_is_invented_for_a_transaction_without_an_id() -> None:
    """CORE-TX-09, CORE-TX-04: followers wait; -1 only when the start is given up; 0 is an id."""
    hub = ready(1, operator=Operator(transaction_ids=[0])).configure(
        TransactionMessageAttempts=2, TransactionMessageRetryInterval=10, MeterValueSampleInterval=5
    )
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session().advance(9)
    hub.stop_here()
    assert hub.sent("MeterValues") == hub.sent("StopTransaction") == []
    hub.advance(2)
    assert hub.only("StopTransaction")["transactionId"] == -1
    hub.operator.errors.clear()
    hub.unplug()
    hub.session()
    hub.stop_here()
    assert hub.sent("StopTransaction")[-1]["transactionId"] == 0


@pytest.mark.parametrize("stops", [True, False])
def test_trap_6_a_start_refused_online_is_obeyed(stops: bool) -> None:
    """CORE-TX-05, CORE-TX-07."""
    hub = ready(1, operator=Operator(starts={"TAG": {"status": "Invalid"}}))
    hub.configure(StopTransactionOnInvalidId=stops).forget()
    hub.plug()
    hub.swipe()
    assert [each["reason"] for each in hub.sent("StopTransaction")] == (["DeAuthorized"] if stops else [])
    assert hub.wire()[-1] == ("Finishing" if stops else "SuspendedEVSE")


def test_trap_7_listed_tags_stay_out_of_the_cache_and_conflicts_are_told() -> None:
    """CORE-AUTH-09, CORE-AUTH-20."""
    hub = ready(2, operator=Operator(starts={"TAG": {"status": "Blocked"}})).configure(LocalPreAuthorize=True)
    send_list(hub, entry("TAG"))
    hub.plug()
    hub.swipe()
    codes = [(each["connectorId"], each["errorCode"]) for each in hub.sent("StatusNotification")]
    assert (0, "LocalListConflict") in codes
    hub.configure(AllowOfflineTxForUnknownId=True)
    send_list(hub, {"idTag": "TAG"}, version=2, full=False)
    hub.offline().session(2)


def test_trap_9_unavailable_survives_and_operative_shows_the_vehicle() -> None:
    """CORE-STAT-05, CORE-CA-07, CORE-CA-09."""
    hub = ready(1)
    hub.plug()
    assert inoperative(hub) == "Scheduled"
    hub.unplug()
    assert hub.wire() == ["Preparing", "Available", "Unavailable"]
    again = hub.crash().boot()
    take(again, [1], plugged=True, ev_ready=True)
    assert again.wire()[-1] == "Unavailable"
    again.asks_for("ChangeAvailability", connectorId=1, type="Operative")
    assert again.wire()[-1] == "Preparing"


def test_trap_10_connector_zero_is_never_in_use() -> None:
    """CORE-STAT-13: the bench checks every notification; here all connectors are busy, reserved or faulted."""
    hub = ready(3).session(1)
    reserve(hub, 2)
    fault(hub)
    hub.asks_for("TriggerMessage", requestedMessage="StatusNotification")
    assert {each["status"] for each in hub.sent("StatusNotification") if each["connectorId"] == 0} == {"Available"}


def test_trap_11_list_with_one_bad_measurand_changes_nothing() -> None:
    """CORE-MV-05."""
    hub = ready(1).configure(MeterValuesSampledData="SoC")
    answer = hub.asks_for("ChangeConfiguration", key="MeterValuesSampledData", value="Voltage,SoC,Foo")
    assert answer == {"status": "Rejected"}
    (key,) = hub.asks_for("GetConfiguration", key=["MeterValuesSampledData"])["configurationKey"]
    assert key["value"] == "SoC"


def test_trap_12_units_are_named_where_wh_would_be_read() -> None:
    """CORE-MV-11: in transactionData too, which an old schema checks by itself."""
    data = "Voltage,Frequency,Temperature"
    hub = ready(1).configure(StopTxnSampledData=data, MeterValuesSampledData=data, MeterValueSampleInterval=10)
    readings = [{"measurand": name, "value": 50} for name in data.split(",")]
    hub.session(measurements=readings).advance(16)
    hub.stop_here()
    messages = [each["meterValue"] for each in hub.sent("MeterValues")] + [
        hub.only("StopTransaction")["transactionData"]
    ]
    found = {
        (each["measurand"], each.get("unit")) for message in messages for value in message
        for each in value["sampledValue"]
    }  # fmt: skip
    assert found == {("Voltage", "V"), ("Frequency", None), ("Temperature", "Celsius")}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"connectorId": 1}, "OccurenceConstraintViolation"),
        ({"idTag": 5}, "TypeConstraintViolation"),
        ({"idTag": "x" * 21}, "TypeConstraintViolation"),
        (
            {"idTag": "T", "chargingProfile": {**charging_profile(1, "TxProfile"), "chargingProfileKind": "Foo"}},
            "PropertyConstraintViolation",
        ),
        (
            {"idTag": "T", "chargingProfile": charging_profile(1, "TxProfile", chargingSchedulePeriod=[])},
            "OccurenceConstraintViolation",
        ),
    ],
)
def test_trap_13_and_15_wrong_remote_starts_get_the_right_code(payload: dict[str, Any], code: str) -> None:
    """CORE-RPC-09, CORE-SC-33: with the standard's spelling; nothing starts."""
    hub = ready(1)
    hub.plug()
    answer = hub.answer_to(hub.receive_call("RemoteStartTransaction", **payload))
    assert answer is not None
    assert (answer[0], answer[2]) == (4, code)
    assert hub.sent("StartTransaction") == []


def test_trap_14_limit_of_8_1_is_legal_in_a_remote_start() -> None:
    """CORE-SC-29."""
    hub = ready(1)
    hub.plug()
    profile = charging_profile(3, "TxProfile", chargingSchedulePeriod=[{"startPeriod": 0, "limit": 8.1}])
    assert hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1, chargingProfile=profile) == ACCEPTED
    assert hub.state()["permit"]["limit_a"] == 8.1


def test_trap_23_profile_of_a_refused_remote_start_is_not_kept() -> None:
    """CORE-RS-02, CORE-RS-09."""
    hub = ready(1, operator=Operator(tags={"BAD": {"status": "Invalid"}})).configure(AuthorizeRemoteTxRequests=True)
    hub.plug()
    profile = charging_profile(3, "TxProfile")
    hub.asks_for("RemoteStartTransaction", idTag="BAD", connectorId=1, chargingProfile=profile)
    assert hub.sent("StartTransaction") == []
    hub.swipe("GOOD")
    assert hub.state()["permit"]["limit_a"] == 32.0


@pytest.mark.parametrize(
    ("action", "payload", "follower"),
    [
        ("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}, "StatusNotification"),
        ("Reset", {"type": "Soft"}, "StopTransaction"),
        ("TriggerMessage", {"requestedMessage": "StatusNotification"}, "StatusNotification"),
        ("RemoteStopTransaction", {"transactionId": 101}, "StopTransaction"),
    ],
)
def test_trap_24_followers_come_after_the_answer(action: str, payload: dict[str, Any], follower: str) -> None:
    """CORE-CA-03, CORE-RES-02, CORE-TM-01, CORE-RSP-01."""
    hub = ready(2).session().forget()
    hub.asks_for(action, **payload)
    assert hub.trace[0] == "answer"
    assert follower in hub.trace


def test_trap_26_list_and_version_change_together_or_not_at_all() -> None:
    """CORE-LL-10, CORE-LL-14: all writes of the update are in the one commit before its answer."""
    hub = ready(1)
    send_list(hub, *[entry(f"A{number}") for number in range(300)], version=1)
    before = dict(hub.rows)
    hub.forget()
    send_list(hub, *[entry(f"B{number}") for number in range(300)], version=2, full=False)
    names = [type(effect).__name__ for effect in hub.effects]
    writes = [index for index, name in enumerate(names) if name in ("Store", "Discard")]
    assert max(writes) < names.index("Send"), "the answer is behind every write of it"
    assert before != hub.rows


def test_trap_27_second_reservation_for_the_same_tag_is_occupied() -> None:
    """CORE-RV-03."""
    hub = ready(2)
    assert reserve(hub, 1, "RES", 1) == "Accepted"
    assert reserve(hub, 1, "RES", 2) == "Occupied"


def test_trap_29_stop_of_a_hard_reset_has_the_time_of_the_stop() -> None:
    """CORE-RES-04: offline, so that it can only be sent after the reset."""
    hub = ready(1).session()
    hub.operator.silent.add("StopTransaction")
    before = hub.now.utc_ms
    hub.asks_for("Reset", type="Hard")
    hub.offline().advance(400)
    hub.operator.silent.clear()
    if not hub.core.is_connected:
        hub.online()
    hub.advance(300)
    assert hub.recreations == 1
    stops = hub.sent("StopTransaction")
    assert stops
    assert stops == [stops[0]] * len(stops), "repeated for want of an answer, never another one"
    assert (stops[0]["timestamp"], stops[0]["reason"]) == (utc_text(before), "HardReset")
    assert hub.core.outbox(5) == []


def test_trap_30_authorize_is_not_behind_the_status_of_thousands() -> None:
    """CORE-BOOT-14, CORE-TXQ-04: at 50 ms a message, N + 1 of them are under way."""
    hub = Hub(settings(connectors=1_000), operator=Operator(latency_s=0.05)).start()
    hub.connect()
    take(hub, [7])
    hub.advance(0.5)
    hub.plug(7)
    asked_s = hub.time_s
    request = hub.present("TAG", 7)
    hub.advance(0.25)
    assert hub.result(request)["status"] == "Accepted"
    hub.advance(0.2)
    assert len(hub.sent("StartTransaction")) == 1
    assert hub.time_s - asked_s < 0.5
    hub.advance(60)
    assert {each["connectorId"] for each in hub.sent("StatusNotification")} == set(range(1_001))


def test_trap_30_reset_of_hundreds_of_sessions_stops_each_once() -> None:
    """CORE-RES-02, CORE-TXQ-09."""
    count = 300
    hub = ready(count).configure(LocalPreAuthorize=True)
    hub.operator.latency_s = 0.02
    for connector_id in range(1, count + 1):
        hub.plug(connector_id)
        hub.asks_for("RemoteStartTransaction", idTag=f"T{connector_id}", connectorId=connector_id)
    hub.advance(30)
    assert len(hub.sent("StartTransaction")) == count
    hub.asks_for("Reset", type="Soft")
    hub.advance(200)
    assert hub.recreations == 1
    stops = [each["transactionId"] for each in hub.sent("StopTransaction")]
    assert len(stops) == len(set(stops)) == count
