"""Longer ways through a session: free vending, refusals and restarts, hubs that change, several controllers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import charging_profile, override, periods, settings
from tests.builders import hub as hub_settings
from tests.scenarios.rows.hub import Hub, Operator, controller, ready, take
from tests.scenarios.rows.test_rows_authorization import entry, send_list
from tests.scenarios.rows.test_rows_status import FATAL, cancel, inoperative, operative, reserve
from tests.scenarios.rows.test_rows_transactions import is_running, restarted

BLOCKED = {"status": "Blocked"}


def free_vend(**arguments: Any) -> Hub:
    """A hub of one connector that needs no authorization."""
    point = settings(connectors=1, connector_overrides=(override([1], free_vend_id_tag="FREE"),))
    return ready(point=point, **arguments)


# free vending


def test_free_vend_tag_that_the_csms_refuses_is_not_tried_again_and_again() -> None:
    """CORE-TX-05: once for each use."""
    hub = free_vend(operator=Operator(starts={"FREE": BLOCKED}))
    hub.plug()
    hub.advance(3_600)
    assert len(hub.sent("StartTransaction")) == len(hub.sent("StopTransaction")) == 1
    assert not hub.state()["permit"]["energize"]


@pytest.mark.parametrize("cause", ["controller", "remote"])
def test_free_vend_transaction_that_was_stopped_does_not_start_again_by_itself(cause: str) -> None:
    """CORE-TX-14, A3: the next use starts the next one."""
    hub = free_vend()
    hub.plug()
    if cause == "controller":
        hub.stop_here()
    else:
        hub.asks_for("RemoteStopTransaction", transactionId=101)
    hub.advance(3_600)
    hub.plug(ev_ready=False)
    hub.plug(ev_ready=True)
    assert len(hub.sent("StartTransaction")) == 1
    hub.unplug()
    hub.plug()
    assert len(hub.sent("StartTransaction")) == 2


def test_free_vend_charges_offline() -> None:
    """CORE-TXQ-02: nobody needs to be asked."""
    hub = free_vend().offline()
    hub.plug()
    hub.advance(60)
    hub.unplug()
    hub.online()
    assert len(hub.sent("StartTransaction")) == len(hub.sent("StopTransaction")) == 1


def test_free_vend_waits_for_acceptance_and_for_the_disk() -> None:
    """CORE-BOOT-12, CORE-TXQ-11: a vehicle that is plugged meanwhile starts as soon as it may."""
    point = settings(connectors=1, connector_overrides=(override([1], free_vend_id_tag="FREE"),))
    hub = Hub(point, hub=hub_settings(charge_before_accepted="never")).start()
    take(hub, [1], plugged=True, ev_ready=True)
    assert not is_running(hub)
    hub.online()
    assert len(hub.sent("StartTransaction")) == 1
    hub.unplug()
    hub.core.store_full(hub.now)
    hub.settle()
    hub.plug()
    assert not is_running(hub)
    hub.core.store_ok(hub.now)
    hub.settle().advance(1)
    assert len(hub.sent("StartTransaction")) == 2


def test_free_vend_fault_holds_the_start_back() -> None:
    """CORE-STAT-16."""
    hub = free_vend()
    hub.tell(errors=[FATAL])
    hub.plug()
    assert hub.sent("StartTransaction") == []
    hub.tell(errors=[])
    assert len(hub.sent("StartTransaction")) == 1
    assert hub.wire()[-1] == "Charging"


def test_free_vend_respects_inoperative() -> None:
    """CORE-CA-03: no transaction on an unavailable connector."""
    hub = free_vend()
    inoperative(hub)
    hub.plug()
    hub.advance(60)
    assert hub.sent("StartTransaction") == []
    operative(hub)
    assert len(hub.sent("StartTransaction")) == 1


# refusals


@pytest.mark.parametrize("max_wh", [0, 500])
def test_refusal_is_remembered_over_a_restart(max_wh: int) -> None:
    """CORE-TX-07, CORE-TX-08, AMB-18: no energy beyond what was left, though the session is resumed."""
    hub = ready(1, operator=Operator(starts={"TAG": BLOCKED}))
    hub.configure(StopTransactionOnInvalidId=False, MaxEnergyOnInvalidId=max_wh)
    hub.plug()
    hub.swipe()
    assert hub.state()["permit"]["energize"] == (max_wh > 0)
    again = restarted(hub)
    again.join(1)
    again.plug(evse_ready=True, energy_wh=1_000)
    assert again.state()["permit"]["energize"] == (max_wh > 0)
    again.advance(60)
    again.tell(energy_wh=1_300)
    assert again.state()["permit"]["energize"] == (max_wh > 0)
    again.advance(60)
    again.tell(energy_wh=1_550)
    assert not again.state()["permit"]["energize"]
    assert again.wire()[-1] == "SuspendedEVSE"


def test_refusal_that_arrives_before_the_controller_is_back_stops_once() -> None:
    """CORE-TX-05, AMB-18: the time limit of the resume does not stop it again."""
    hub = ready(1)
    hub.operator.silent.add("StartTransaction")
    hub.session()
    hub.operator.silent.clear()
    hub.operator.starts["TAG"] = BLOCKED
    again = restarted(hub).advance(300)
    assert [each["reason"] for each in again.sent("StopTransaction")] == ["DeAuthorized"]
    assert again.state()["transaction"] is None


def test_tag_ends_a_refused_session_that_goes_on() -> None:
    """CORE-AUTH-05, CORE-TX-07."""
    hub = ready(1, operator=Operator(starts={"TAG": BLOCKED})).configure(StopTransactionOnInvalidId=False)
    hub.plug()
    hub.swipe()
    hub.swipe()
    assert hub.only("StopTransaction")["reason"] == "Local"


@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction"])
def test_later_verdicts_against_the_list_are_told_too(action: str) -> None:
    """CORE-AUTH-20: Start- and StopTransaction.conf."""
    hub = ready(1).configure(LocalPreAuthorize=True, StopTransactionOnInvalidId=False)
    send_list(hub, entry("TAG"))
    more = {"transactionId": 5} if action == "StartTransaction" else {}
    hub.operator.scripts[action] = lambda payload: {**more, "idTagInfo": BLOCKED}
    hub.session()
    hub.stop_here(id_tag="TAG")
    codes = [(each["connectorId"], each["errorCode"]) for each in hub.sent("StatusNotification")]
    assert (0, "LocalListConflict") in codes


# the vehicle's side


def test_transaction_that_outlives_the_unplug_is_ended_by_its_tag() -> None:
    """CORE-TX-15, CORE-TX-13: the cable was locked until then."""
    hub = ready(1).configure(StopTransactionOnEVSideDisconnect=False).session().forget()
    hub.unplug()
    hub.advance(600)
    assert is_running(hub)
    hub.swipe()
    assert hub.only("StopTransaction")["reason"] == "Local"
    assert hub.unlocks() == 1
    assert hub.state()["status"] == "Available"


def test_other_vehicle_after_an_unplug_that_did_not_end_it() -> None:
    """CORE-TX-15 lets energy resume on a replug, decisions.md 4 ends it at another plug_id: one of both, never half."""
    hub = ready(1).configure(StopTransactionOnEVSideDisconnect=False).session(plug_id=1)
    hub.unplug()
    hub.plug(plug_id=2)
    assert is_running(hub) == (hub.sent("StopTransaction") == [])
    assert is_running(hub) == hub.state()["permit"]["energize"]


def test_times_are_those_of_the_controllers_report() -> None:
    """CORE-TX-10, CORE-TX-01: the event time, where the controller gives one."""
    hub = ready(1).advance(60)
    hub.swipe()
    hub.plug(timestamp=utc_text(hub.at(-2)))
    start = hub.only("StartTransaction")["timestamp"]
    assert start in (utc_text(hub.at(-2)), utc_text(hub.at()))
    hub.advance(60)
    hub.unplug(timestamp=utc_text(hub.at(-3)))
    assert hub.only("StopTransaction")["timestamp"] == utc_text(hub.at(-3))


def test_times_of_a_session_never_go_back() -> None:
    """CORE-TXQ-01: a stop that is said to be before the last sample is told at that sample's time at the earliest."""
    hub = ready(1).configure(MeterValueSampleInterval=10).session().advance(10)
    hub.tell(energy_wh=1_030)
    hub.advance(2)
    with suppress(LocalError):
        hub.unplug(timestamp=utc_text(hub.at(-5)))
    if is_running(hub):
        hub.stop_here()
    stamps = [hub.only("StartTransaction")["timestamp"]]
    stamps += [value["timestamp"] for each in hub.sent("MeterValues") for value in each["meterValue"]]
    stamps.append(hub.only("StopTransaction")["timestamp"])
    assert stamps == sorted(stamps)


# profiles of a transaction


def test_remote_start_profile_is_replaced_by_a_later_one_of_its_level() -> None:
    """CORE-SC-17, CORE-SC-18: another level stacks."""
    hub = ready(1)
    hub.plug()
    profile = charging_profile(1, "TxProfile", stackLevel=1, chargingSchedulePeriod=periods((0, 10.0)))
    hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1, chargingProfile=profile)
    assert hub.state()["permit"]["limit_a"] == 10.0
    same = {"transactionId": 101, "stackLevel": 1, "chargingSchedulePeriod": periods((0, 12.0))}
    assert hub.install(1, 2, "TxProfile", **same) == "Accepted"
    hub.advance(1)
    assert hub.state()["permit"]["limit_a"] == 12.0
    assert hub.asks_for("ClearChargingProfile", id=1) == {"status": "Unknown"}
    above = {"transactionId": 101, "stackLevel": 2, "chargingSchedulePeriod": periods((0, 20.0))}
    assert hub.install(1, 3, "TxProfile", **above) == "Accepted"
    hub.advance(1)
    assert hub.state()["permit"]["limit_a"] == 20.0


def test_remote_start_profile_survives_the_process_with_its_transaction() -> None:
    """CORE-SC-16, CORE-RS-09, AMB-18."""
    hub = ready(1)
    hub.plug()
    hub.asks_for("RemoteStartTransaction", idTag="T", connectorId=1, chargingProfile=charging_profile(1, "TxProfile"))
    again = restarted(hub)
    again.join(1)
    again.plug(evse_ready=True, energy_wh=1_000)
    again.advance(1)
    assert again.state()["permit"]["limit_a"] == 16.0


# reservations over everything


def test_reservation_survives_stop_and_restart_and_ends_in_time() -> None:
    """CORE-RV-14, CORE-RV-11: also when it expires while stopped."""
    hub = ready(2)
    reserve(hub, 1, hours=1)
    reserve(hub, 2, "SOON", 2, hours=0.01)
    hub.call("stop")
    hub.advance(120)
    hub.forget().call("restart")
    hub.online()
    assert hub.wire(1) == ["Reserved"]
    assert hub.wire(2) == ["Available"]
    assert cancel(hub, 2) == "Rejected"


def test_reserved_connector_is_held_while_a_vehicle_stands_there() -> None:
    """CORE-RV-06: a stranger plugs in; neither a tag without connector nor a remote start may use it."""
    hub = ready(2)
    reserve(hub, 1)
    hub.plug(1)
    with suppress(LocalError):
        hub.swipe("STRANGER", None)
    assert hub.asks_for("RemoteStartTransaction", idTag="STRANGER", connectorId=1) == {"status": "Rejected"}
    assert hub.sent("StartTransaction") == []


def test_expiry_under_a_waiting_vehicle_opens_the_connector() -> None:
    """CORE-RV-11: over legal states, and any tag may start then."""
    hub = ready(1)
    reserve(hub, 1, hours=0.01)
    hub.plug()
    hub.advance(40)
    hub.unplug()
    hub.session(1, "ANY")


# hubs and controllers that change


def test_session_of_a_connector_that_is_no_longer_there_ends() -> None:
    """CORE-TX-12, AMB-18: a hub that was made smaller."""
    hub = ready(2).session(2)
    again = hub.crash(point=settings(connectors=1)).boot().advance(300)
    assert [each["transactionId"] for each in again.sent("StopTransaction")] == [101]


def test_attach_of_several_is_all_or_nothing() -> None:
    """T40: one of them is another's."""
    hub = ready(3)
    other = controller(2, 2000)
    hub.call("detach", controller(), [2])
    hub.join(2, who=other)
    hub.call("detach", controller(), [1])
    with pytest.raises(LocalError):
        hub.join(1, 2)
    assert hub.state(1)["attached"] is False
    with pytest.raises(LocalError):
        hub.tell(1, plugged=False, ev_ready=False, evse_ready=True)


def test_operator_may_take_over_from_anybody() -> None:
    """T40."""
    hub = ready(1)
    operator = controller(9, 0, is_operator=True)
    hub.join(1, who=operator, takeover=True)
    hub.tell(1, who=operator, plugged=False, ev_ready=False, evse_ready=True)
    with pytest.raises(LocalError):
        hub.tell(1, plugged=True)


def test_detach_of_what_is_not_attached_is_an_error() -> None:
    """T40."""
    hub = ready(2)
    with pytest.raises(LocalError) as caught:
        hub.call("detach", controller(2), [1])
    assert caught.value.code == "not_attached"
    assert hub.state(1)["attached"]


def test_loss_of_one_controller_touches_its_connectors_only() -> None:
    """CORE-STAT-06."""
    hub = ready(3)
    hub.call("detach", controller(), [3])
    take_3 = controller(2)
    hub.join(3, who=take_3)
    hub.tell(3, who=take_3, plugged=False, ev_ready=False, evse_ready=True)
    hub.forget().lose(2).advance(61)
    assert [hub.wire(each) for each in (1, 2, 3)] == [[], [], ["Unavailable"]]


def test_whole_day_of_one_connector_is_told_in_order() -> None:
    """CORE-TX-01, CORE-TX-10, CORE-MV-12, CORE-STAT-01: twenty vehicles, one record each, no watt-hour twice."""
    hub = ready(1).configure(MeterValueSampleInterval=60, AllowOfflineTxForUnknownId=True)
    register = 1_000
    for number in range(20):
        if number % 5 == 3:
            hub.offline()
        hub.session(1, f"T{number}")
        for _ in range(5):
            hub.advance(60)
            register += 200
            hub.tell(energy_wh=register)
        hub.swipe(f"T{number}")
        hub.unplug()
        hub.advance(300)
        if not hub.core.is_connected:
            hub.online()
    starts, stops = hub.sent("StartTransaction"), hub.sent("StopTransaction")
    assert [each["idTag"] for each in starts] == [f"T{number}" for number in range(20)]
    assert [each["transactionId"] for each in stops] == list(range(101, 121))
    assert [each["meterStop"] - begin["meterStart"] for begin, each in zip(starts, stops, strict=True)] == [1_000] * 20
    assert [each["meterStart"] for each in starts[1:]] == [each["meterStop"] for each in stops[:-1]]
    assert hub.core.outbox(5) == []


@pytest.mark.parametrize("offset_s", [-30 * 86_400, -20 * 365 * 86_400, 600])
def test_time_stamp_that_cannot_be_is_refused(offset_s: int) -> None:
    """CORE-STAT-14, CORE-TX-10: far in the past or the future; naming the field and what is allowed."""
    hub = ready(1)
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.plug(timestamp=utc_text(hub.at(offset_s)))
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/timestamp")
    assert " to " in caught.value.hint
    assert hub.state() == before


def test_session_does_not_begin_before_the_last_one_ended() -> None:
    """CORE-TXQ-01: whatever time the controller gives to the plug."""
    hub = ready(1).session().advance(60)
    hub.stop_here()
    hub.unplug()
    hub.advance(5)
    hub.plug(timestamp=utc_text(hub.at(-1)))
    hub.swipe()
    assert hub.sent("StartTransaction")[1]["timestamp"] >= hub.only("StopTransaction")["timestamp"]


# while stopped


def test_local_commands_that_send_nothing_work_while_stopped() -> None:
    """CORE-CA-05, CORE-STAT-05: availability lasts; a bad report is refused as ever; nothing is sent."""
    hub = ready(2).session()
    hub.call("stop")
    hub.forget()
    assert hub.call("set_availability", 2, False) == "Accepted"
    with pytest.raises(LocalError) as caught:
        hub.stop_here()
    assert caught.value.code == "invalid_state"
    with pytest.raises(LocalError) as caught:
        hub.tell(energy_wh=5)
    assert caught.value.path == "/params/energy_wh"
    hub.advance(400).lose().advance(100)
    assert hub.trace == []
    hub.join(1, 2)
    hub.plug(1, evse_ready=True)
    hub.call("restart")
    hub.online()
    assert (hub.wire(1), hub.wire(2)) == (["Preparing"], ["Unavailable"])


def test_use_of_a_plugged_connector_begins_with_the_restart() -> None:
    """CORE-TX-21: its time limit too."""
    hub = ready(1).session()
    hub.call("stop")
    hub.advance(500)
    hub.forget().call("restart")
    hub.online().advance(58)
    assert hub.wire() == ["Preparing"]
    hub.advance(3)
    assert hub.wire() == ["Preparing", "Finishing"]


def test_stop_ends_a_session_that_waits_to_be_resumed() -> None:
    """CORE-TX-12, AMB-18: reason Other."""
    hub = ready(1).session()
    again = restarted(hub)
    assert again.call("stop") is True
    assert again.only("StopTransaction")["reason"] == "Other"


def test_stop_without_a_link_is_answered_at_once() -> None:
    """CORE-TXQ-02: what it ended is sent after restart."""
    hub = ready(1).session().offline()
    assert hub.call("stop") is True
    hub.advance(600)
    hub.call("restart")
    hub.online()
    assert hub.only("StopTransaction")["reason"] == "Other"


# what controllers see


def test_connector_state_has_the_members_of_the_contract() -> None:
    """CORE-GEN-03: rpc.md, connector state; JSON-ready."""
    hub = ready(1)
    reserve(hub, 1, "RES", 5)
    assert hub.state()["reservation"] == {
        "reservation_id": 5,
        "id_tag": "RES",
        "expiry_date": utc_text(hub.at(3_600)),
    }
    hub.plug()
    hub.swipe("RES")
    state = orjson.loads(orjson.dumps(hub.state()))
    assert state == {
        "connector_id": 1,
        "status": "Charging",
        "error_code": "NoError",
        "availability": "Operative",
        "attached": True,
        "plugged": True,
        "permit": {"seq": 1, "energize": True, "limit_a": 32.0, "limit_w": 22_080.0, "phases": 3},
        "transaction": {
            "session_id": 1,
            "transaction_id": 101,
            "id_tag": "RES",
            "start": utc_text(hub.at()),
            "meter_start_wh": 1_000,
        },
        "reservation": None,
    }


def test_every_change_of_status_and_permit_is_published() -> None:
    """CORE-STAT-01, CORE-SC-45: topics connector.status and connector.permit carry the whole state."""
    hub = ready(1).session()
    hub.tell(ev_ready=False)
    hub.stop_here()
    statuses = [each["status"] for each in hub.published("connector.status")]
    changes = [status for index, status in enumerate(statuses) if index == 0 or statuses[index - 1] != status]
    assert changes == ["Preparing", "Charging", "SuspendedEV", "Finishing"]
    permits = [each["permit"]["energize"] for each in hub.published("connector.permit")]
    assert permits == [True, False]
    seqs = [each["permit"]["seq"] for each in hub.published("connector.permit")]
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("seq", [5, 2**40])
def test_permit_that_was_never_given_is_refused(seq: int) -> None:
    """CORE-STAT-15: permit_seq says which permit was applied; the present one and older ones pass."""
    hub = ready(1).session()
    with pytest.raises(LocalError) as caught:
        hub.tell(permit_seq=seq)
    assert caught.value.path == "/params/permit_seq"
    hub.tell(permit_seq=hub.state()["permit"]["seq"])
    hub.tell(permit_seq=0)


def test_attach_to_what_does_not_exist_is_an_error() -> None:
    """CORE-GEN-03: nothing is attached."""
    hub = Hub(settings(connectors=2)).boot()
    with pytest.raises(LocalError) as caught:
        hub.join(1, 3)
    assert caught.value.code == "unknown_connector"
    assert hub.state(1)["attached"] is False


def test_controllers_are_asked_within_ten_seconds() -> None:
    """AMB-23, CORE-UL-05."""
    hub = ready(1)
    hub.receive_call("UnlockConnector", connectorId=1)
    (ask,) = hub.asks
    assert (ask.method, ask.params, ask.controller, ask.timeout_s) == ("connector.unlock", {"connector_id": 1}, 1, 10.0)


# what changed while the process was away


@pytest.mark.parametrize(("plug_id", "goes_on"), [(7, True), (8, False), ("7", False), (None, True)])
def test_plug_id_is_remembered_over_a_restart(plug_id: int | str | None, goes_on: bool) -> None:
    """AMB-18, CORE-TX-14: another vehicle ends the old session at its last register; none given is the same."""
    hub = ready(1).session(plug_id=7).advance(70)
    hub.tell(energy_wh=1_200)
    again = restarted(hub)
    again.join(1)
    more: dict[str, Any] = {} if plug_id is None else {"plug_id": plug_id}
    again.plug(evse_ready=True, energy_wh=1_210, **more)
    assert is_running(again) == goes_on
    if not goes_on:
        stop = again.only("StopTransaction")
        assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", 1_200)
        again.swipe("NEXT")
        assert again.only("StartTransaction")["meterStart"] == 1_210


def test_cable_that_was_pulled_meanwhile_ends_the_session() -> None:
    """AMB-18, CORE-TX-14: with the register that the controller reads now, if it is within the guard."""
    hub = ready(1).session().advance(70)
    hub.tell(energy_wh=1_200)
    again = restarted(hub)
    again.join(1)
    again.unplug(evse_ready=True, energy_wh=1_210)
    stop = again.only("StopTransaction")
    assert stop["reason"] == "EVDisconnected"
    assert 1_200 <= stop["meterStop"] <= 1_210
    assert again.state()["status"] == "Available"


def test_connector_that_waits_for_its_controller_takes_no_other_use() -> None:
    """CORE-RS-06, CORE-RV-03, AMB-18."""
    hub = ready(1).session()
    again = restarted(hub)
    request: dict[str, Any] = {"idTag": "OTHER", "connectorId": 1}
    assert again.asks_for("RemoteStartTransaction", **request) == {"status": "Rejected"}
    assert reserve(again, 1) != "Accepted"
    assert inoperative(again, 1) == "Scheduled"
    again.advance(130)
    assert again.wire()[-1] == "Unavailable"


def test_each_restart_waits_anew_and_nothing_is_lost_on_the_way() -> None:
    """AMB-18: three restarts within the wait, then the controller comes."""
    hub = ready(1).session().advance(70)
    hub.tell(energy_wh=1_200)
    for _ in range(3):
        hub = restarted(hub, 5.0).advance(60)
    hub.join(1)
    hub.plug(evse_ready=True, energy_wh=1_250)
    hub.advance(200)
    assert is_running(hub)
    hub.stop_here()
    assert hub.only("StopTransaction")["meterStop"] == 1_250


def test_offline_session_over_several_restarts_is_one_session() -> None:
    """CORE-TXQ-10, CORE-TXQ-07: started, resumed and stopped without a link; delivered by the last process."""
    hub = ready(1).configure(AllowOfflineTxForUnknownId=True, MeterValueSampleInterval=60).offline()
    hub.session().advance(61)
    hub.tell(energy_wh=1_100)
    for register in (1_200, 1_300):
        hub.time_s += 5
        hub = hub.crash().start()
        hub.join(1)
        hub.plug(evse_ready=True, energy_wh=register)
        hub.advance(61)
        hub.tell(energy_wh=register + 50)
    hub.stop_here()
    hub.online()
    actions = [action for action in hub.actions if action in ("StartTransaction", "MeterValues", "StopTransaction")]
    assert actions[0] == "StartTransaction"
    assert actions[-1] == "StopTransaction"
    assert hub.only("StartTransaction")["meterStart"] == 1_000
    assert hub.only("StopTransaction")["meterStop"] == 1_350
    assert {each["transactionId"] for each in hub.sent("MeterValues")} == {101}
