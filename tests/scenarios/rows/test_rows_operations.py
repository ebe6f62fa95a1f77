"""Chapter 10 (availability, remote start and stop, reset, unlock) and the commands stop and restart."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Disconnect
from ocpphub.errors import LocalError
from tests.builders import SMART_CHARGING_OFF, charging_profile, custom_key, settings
from tests.scenarios.rows.hub import ACCEPTED, SILENT, Hub, Operator, controller, loaded, ready, take
from tests.scenarios.rows.test_rows_status import cancel, fault, in_state, inoperative, operative, reserve

REJECTED = {"status": "Rejected"}
SCHEDULED = "Scheduled"


# ChangeAvailability


@pytest.mark.parametrize("connector_id", [0, 1])
def test_availability_that_is_already_so_is_accepted(connector_id: int) -> None:
    """CORE-CA-01: and nothing is told twice."""
    hub = ready(2)
    assert operative(hub, connector_id) == "Accepted"
    assert hub.sent("StatusNotification") == []
    inoperative(hub, connector_id)
    hub.forget()
    assert inoperative(hub, connector_id) == "Accepted"
    assert hub.sent("StatusNotification") == []


@pytest.mark.parametrize("state", ["Charging", "SuspendedEV", "SuspendedEVSE"])
def test_availability_waits_for_the_transaction(state: str) -> None:
    """CORE-CA-02: C8, D8, E8, or F8."""
    hub = in_state(state)
    assert inoperative(hub) == SCHEDULED
    hub.advance(600)
    assert hub.wire() == []
    hub.stop_here()
    hub.unplug()
    assert hub.wire()[-1] == "Unavailable"
    assert hub.state()["availability"] == "Inoperative"
    hub.plug()
    with suppress(LocalError):
        hub.swipe()
    assert hub.sent("StartTransaction") == []


def test_availability_is_answered_first() -> None:
    """CORE-CA-03."""
    hub = ready(2)
    inoperative(hub)
    assert hub.trace == ["answer", "StatusNotification"]
    hub.forget()
    operative(hub)
    assert hub.trace == ["answer", "StatusNotification"]
    assert hub.wire() == ["Available"]


def test_availability_of_the_station_is_that_of_all_connectors() -> None:
    """CORE-CA-04, AMB-14: idle ones and connector 0 change at once, the running one later."""
    hub = ready(3).session(2).forget()
    assert inoperative(hub, 0) == SCHEDULED
    assert [hub.wire(each) for each in range(4)] == [["Unavailable"], ["Unavailable"], [], ["Unavailable"]]
    hub.stop_here(2)
    hub.unplug(2)
    assert hub.wire(2)[-1] == "Unavailable"
    hub.forget()
    assert operative(hub, 0) == "Accepted"
    assert [hub.wire(each) for each in range(4)] == [["Available"]] * 4


def test_availability_of_an_idle_station_is_accepted() -> None:
    """CORE-CA-04."""
    hub = ready(2)
    assert inoperative(hub, 0) == "Accepted"
    assert [hub.wire(each) for each in range(3)] == [["Unavailable"]] * 3


def test_scheduled_availability_survives_the_process() -> None:
    """CORE-CA-05."""
    hub = ready(1).session()
    assert inoperative(hub) == SCHEDULED
    again = hub.crash().boot()
    again.join(1)
    again.plug(evse_ready=True, energy_wh=1_000)
    again.stop_here()
    again.unplug()
    assert again.wire()[-1] == "Unavailable"


@pytest.mark.parametrize("connector_id", [4, 2**31 - 1])
def test_availability_of_an_unknown_connector_is_rejected(connector_id: int) -> None:
    """CORE-CA-06."""
    assert inoperative(ready(3), connector_id) == "Rejected"


def test_connector_made_operative_shows_what_is_there() -> None:
    """CORE-CA-07: H2, not always Available."""
    hub = ready(2)
    inoperative(hub)
    hub.plug()
    assert operative(hub) == "Accepted"
    assert hub.wire() == ["Unavailable", "Preparing"]


def test_operative_cancels_what_was_scheduled() -> None:
    """CORE-CA-08: and the other way round."""
    hub = ready(1).session().forget()
    assert inoperative(hub) == SCHEDULED
    assert operative(hub) == "Accepted"
    hub.stop_here()
    hub.unplug()
    assert "Unavailable" not in hub.wire()
    hub.session()
    assert inoperative(hub) == SCHEDULED
    hub.stop_here()
    hub.unplug()
    assert hub.wire()[-1] == "Unavailable"


@pytest.mark.parametrize("way", ["unplug", "transaction"])
def test_inoperative_while_preparing_waits(way: str) -> None:
    """CORE-CA-09: there is no B8."""
    hub = in_state("Preparing")
    assert inoperative(hub) == SCHEDULED
    assert hub.wire() == []
    if way == "transaction":
        hub.swipe()
        hub.stop_here()
    hub.unplug()
    assert hub.wire()[-1] == "Unavailable"
    if way == "unplug":
        assert hub.wire() == ["Available", "Unavailable"]


def test_unavailable_connector_loses_its_reservation() -> None:
    """CORE-CA-10, AMB-13: G8 at once; the id can be used again."""
    hub = in_state("Reserved")
    assert inoperative(hub) == "Accepted"
    assert hub.wire() == ["Unavailable"]
    assert hub.core.reservations() == []
    assert cancel(hub) == "Rejected"
    operative(hub)
    assert reserve(hub, reservation_id=2) == "Accepted"


def test_operative_connector_of_an_inoperative_station_stays_unavailable() -> None:
    """CORE-CA-11."""
    hub = ready(2)
    inoperative(hub, 1)
    inoperative(hub, 0)
    hub.forget()
    assert operative(hub, 1) == "Accepted"
    assert hub.wire(1) == []
    operative(hub, 0)
    assert hub.wire(1) == ["Available"]


def test_operator_command_does_the_same_as_the_csms() -> None:
    """CORE-CA-03: connector.set_availability."""
    hub = ready(2).session(2).forget()
    assert hub.call("set_availability", 1, False) == "Accepted"
    assert hub.call("set_availability", 2, False) == SCHEDULED
    assert hub.wire(1) == ["Unavailable"]
    again = hub.crash().boot()
    take(again, [1])
    assert again.wire(1)[-1] == "Unavailable"


# RemoteStartTransaction


def remote_start(hub: Hub, connector_id: int | None = 1, tag: str = "TAG", **more: Any) -> str:
    """The CSMS starts; the status that it gets."""
    target = {} if connector_id is None else {"connectorId": connector_id}
    return str(hub.asks_for("RemoteStartTransaction", idTag=tag, **target, **more)["status"])


def test_remote_start_is_answered_before_the_authorization() -> None:
    """CORE-RS-01, CORE-RS-02."""
    hub = in_state("Preparing").configure(AuthorizeRemoteTxRequests=True).forget()
    assert remote_start(hub) == "Accepted"
    assert hub.trace[:3] == ["answer", "Authorize", "StartTransaction"]


def test_remote_start_of_a_refused_tag_starts_nothing() -> None:
    """CORE-RS-02: Accepted was no promise."""
    hub = in_state("Preparing", operator=Operator(tags={"TAG": {"status": "Invalid"}}))
    hub.configure(AuthorizeRemoteTxRequests=True).forget()
    assert remote_start(hub) == "Accepted"
    assert len(hub.sent("Authorize")) == 1
    assert hub.sent("StartTransaction") == []


def test_remote_start_like_a_swipe_uses_list_and_cache() -> None:
    """CORE-RS-02, CORE-AUTH-03."""
    hub = in_state("Preparing").configure(AuthorizeRemoteTxRequests=True, LocalPreAuthorize=True)
    entry = {"idTag": "TAG", "idTagInfo": ACCEPTED}
    hub.asks_for("SendLocalList", listVersion=1, localAuthorizationList=[entry], updateType="Full")
    remote_start(hub)
    assert hub.sent("Authorize") == []
    assert len(hub.sent("StartTransaction")) == 1


def test_remote_start_without_authorization_asks_nobody() -> None:
    """CORE-RS-03, CORE-RS-07: the verdict is in StartTransaction.conf."""
    hub = in_state("Preparing", operator=Operator(tags={"R-1": {"status": "Invalid"}}))
    hub.configure(AuthorizeRemoteTxRequests=False).forget()
    assert remote_start(hub, tag="R-1") == "Accepted"
    assert hub.sent("Authorize") == []
    assert hub.only("StartTransaction")["idTag"] == "R-1"
    assert hub.only("StopTransaction")["reason"] == "DeAuthorized"


def test_remote_start_on_connector_zero_is_rejected() -> None:
    """CORE-RS-04."""
    hub = in_state("Preparing")
    assert remote_start(hub, 0) == "Rejected"
    assert hub.sent("StartTransaction") == []


def test_remote_start_without_connector_chooses_the_plugged_one() -> None:
    """CORE-RS-05."""
    hub = ready(3)
    hub.plug(2)
    assert remote_start(hub, None) == "Accepted"
    assert hub.only("StartTransaction")["connectorId"] == 2


def test_remote_start_without_connector_prefers_the_reserved_one_to_a_free_one() -> None:
    """CORE-RS-05."""
    hub = ready(3)
    reserve(hub, 3, "TAG")
    assert remote_start(hub, None) == "Accepted"
    hub.plug(3)
    assert hub.only("StartTransaction")["connectorId"] == 3
    assert hub.only("StartTransaction")["reservationId"] == 1


def test_remote_start_without_connector_takes_the_lowest_free_one() -> None:
    """CORE-RS-05."""
    hub = ready(3).session(1, "OTHER").forget()
    assert remote_start(hub, None) == "Accepted"
    assert hub.wire(2) == ["Preparing"]
    hub.plug(2)
    assert hub.only("StartTransaction")["connectorId"] == 2


def test_remote_start_without_connector_may_choose_among_two_plugged_ones() -> None:
    """CORE-RS-05."""
    hub = ready(3)
    hub.plug(2)
    hub.plug(3)
    assert remote_start(hub, None) == "Accepted"
    assert hub.only("StartTransaction")["connectorId"] in (2, 3)


def test_remote_start_without_connector_where_none_is_free_is_rejected() -> None:
    """CORE-RS-05."""
    hub = ready(2).session(1, "ONE").session(2, "TWO")
    assert remote_start(hub, None) == "Rejected"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("Available", "Accepted"),
        ("Preparing", "Accepted"),
        ("Charging", "Rejected"),
        ("SuspendedEV", "Rejected"),
        ("SuspendedEVSE", "Rejected"),
        ("Finishing", "Rejected"),
        ("Reserved", "Rejected"),
        ("Unavailable", "Rejected"),
        ("Faulted", "Rejected"),
    ],
)
def test_remote_start_depends_on_the_state(state: str, status: str) -> None:
    """CORE-RS-06, AMB-12."""
    hub = in_state(state)
    assert remote_start(hub, tag="NEW") == status
    hub.advance(1)
    assert len(hub.sent("StartTransaction")) == (state == "Preparing")


@pytest.mark.parametrize("connector_id", [3, 2**31 - 1])
def test_remote_start_on_an_unknown_connector_is_rejected(connector_id: int) -> None:
    """CORE-RS-06."""
    assert remote_start(ready(2), connector_id) == "Rejected"


def test_remote_start_after_a_replug_is_accepted() -> None:
    """AMB-12: the controller reports another plug."""
    hub = ready(1).session(plug_id=1)
    hub.stop_here()
    hub.plug(plug_id=2)
    assert remote_start(hub) == "Accepted"
    assert len(hub.sent("StartTransaction")) == 2


def test_remote_start_without_a_vehicle_times_out() -> None:
    """CORE-RS-08."""
    hub = ready(1).configure(ConnectionTimeOut=30).forget()
    assert remote_start(hub) == "Accepted"
    hub.advance(29)
    assert hub.wire() == ["Preparing"]
    hub.advance(2)
    assert hub.wire() == ["Preparing", "Available"]
    hub.plug()
    assert hub.sent("StartTransaction") == []


def limit_now(hub: Hub, connector_id: int = 1) -> float:
    """The first limit of the composite schedule."""
    answer = hub.asks_for("GetCompositeSchedule", connectorId=connector_id, duration=60, chargingRateUnit="A")
    return float(answer["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"])


def test_remote_start_brings_its_profile() -> None:
    """CORE-RS-09: used for this transaction, gone with it."""
    hub = ready(1)
    profile = charging_profile(7, "TxProfile")
    assert remote_start(hub, chargingProfile=profile) == "Accepted"
    assert limit_now(hub) == 32.0
    hub.plug()
    assert limit_now(hub) == 16.0
    assert hub.state()["permit"]["limit_a"] == 16.0
    hub.stop_here()
    assert limit_now(hub) == 32.0
    assert hub.asks_for("ClearChargingProfile", id=7) == {"status": "Unknown"}


def test_profile_of_a_start_that_never_happened_is_gone() -> None:
    """CORE-RS-09, CORE-RS-08: trap 23."""
    hub = ready(1).configure(ConnectionTimeOut=30)
    remote_start(hub, chargingProfile=charging_profile(7, "TxProfile"))
    hub.advance(31)
    hub.session()
    assert limit_now(hub) == 32.0
    assert hub.asks_for("ClearChargingProfile", id=7) == {"status": "Unknown"}


def test_remote_start_without_smart_charging_ignores_the_profile() -> None:
    """CORE-RS-10."""
    hub = ready(point=settings(connectors=1, configuration=SMART_CHARGING_OFF))
    hub.plug()
    assert remote_start(hub, chargingProfile=charging_profile(7, "TxProfile")) == "Accepted"
    assert len(hub.sent("StartTransaction")) == 1


@pytest.mark.parametrize(
    "profile",
    [
        charging_profile(7, "TxDefaultProfile"),
        charging_profile(7, "ChargePointMaxProfile"),
        charging_profile(7, "TxProfile", transactionId=5),
        charging_profile(7, "TxProfile", stackLevel=99),
    ],
    ids=["default", "maximum", "transaction", "level"],
)
def test_remote_start_with_a_wrong_profile_is_rejected(profile: dict[str, Any]) -> None:
    """CORE-RS-11: nothing starts, nothing is installed."""
    hub = in_state("Preparing")
    assert remote_start(hub, chargingProfile=profile) == "Rejected"
    assert hub.sent("StartTransaction") == []
    assert hub.asks_for("ClearChargingProfile", id=7) == {"status": "Unknown"}


def test_remote_start_uses_a_reservation() -> None:
    """CORE-RS-12, CORE-TX-02."""
    hub = in_state("Reserved")
    assert remote_start(hub, tag="res") == "Accepted"
    assert hub.wire() == ["Preparing"]
    hub.plug()
    assert hub.only("StartTransaction")["reservationId"] == 1


def test_second_remote_start_is_rejected() -> None:
    """CORE-RS-13."""
    hub = ready(1)
    assert remote_start(hub) == "Accepted"
    assert remote_start(hub, tag="OTHER") == "Rejected"
    hub.plug()
    assert hub.only("StartTransaction")["idTag"] == "TAG"


@pytest.mark.parametrize("action", ["RemoteStartTransaction", "RemoteStopTransaction"])
def test_remote_commands_while_pending_are_rejected(action: str) -> None:
    """CORE-BOOT-10."""
    hub = Hub(operator=Operator(registration="Pending", interval_s=1_000)).boot()
    take(hub, [1])
    hub.plug()
    payload: dict[str, Any] = {"idTag": "T", "connectorId": 1} if "Start" in action else {"transactionId": 1}
    assert hub.asks_for(action, **payload) == REJECTED
    assert hub.state()["transaction"] is None


# RemoteStopTransaction


def test_remote_stop_ends_the_transaction_and_unlocks() -> None:
    """CORE-RSP-01."""
    hub = ready(1).session().forget()
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == ACCEPTED
    assert hub.trace.index("answer") < hub.trace.index("StopTransaction")
    assert hub.only("StopTransaction")["reason"] == "Remote"
    assert hub.unlocks() == 1
    assert not hub.state()["permit"]["energize"]


@pytest.mark.parametrize("transaction_id", [102, 0, -5])
def test_remote_stop_of_an_unknown_transaction_is_rejected(transaction_id: int) -> None:
    """CORE-RSP-02: also once it is over."""
    hub = ready(1).session()
    assert hub.asks_for("RemoteStopTransaction", transactionId=transaction_id) == REJECTED
    assert hub.state()["transaction"] is not None
    hub.stop_here()
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == REJECTED


def test_remote_stop_of_minus_one_is_rejected() -> None:
    """CORE-RSP-03: a transaction without an id runs."""
    hub = ready(1).configure(TransactionMessageAttempts=1, MessageTimeout=5)
    hub.operator.silent.add("StartTransaction")
    hub.session().advance(10)
    assert hub.asks_for("RemoteStopTransaction", transactionId=-1) == REJECTED
    assert hub.state()["transaction"] is not None


def test_remote_stop_without_a_controller_is_still_accepted() -> None:
    """CORE-RSP-04: one StopTransaction(Remote), now or when energy ends."""
    hub = ready(1).session().forget().lose()
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == ACCEPTED
    hub.advance(100)
    hub.join(1)
    hub.unplug(evse_ready=True, energy_wh=1_000)
    hub.advance(10)
    assert hub.only("StopTransaction")["reason"] == "Remote"


# Reset


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_reset_ends_every_transaction_then_begins_anew(kind: str) -> None:
    """CORE-RES-01, CORE-RES-02, CORE-RES-03, CORE-RES-04: one StopTransaction each, with the time of the stop."""
    hub = ready(3).session(1, "ONE").session(2, "TWO").forget()
    assert hub.asks_for("Reset", type=kind) == ACCEPTED
    hub.advance(120)
    stops = hub.sent("StopTransaction")
    assert sorted(each["transactionId"] for each in stops) == [101, 102]
    assert {each["reason"] for each in stops} == {f"{kind}Reset"}
    assert hub.trace[0] == "answer"
    assert hub.recreations == 1
    assert hub.actions.count("BootNotification") == 1
    assert [hub.state(each)["transaction"] for each in (1, 2)] == [None, None]


def test_reset_waits_for_no_confirmation_for_ever() -> None:
    """CORE-RES-07, CORE-RES-02: withheld, the stop stays queued and comes after Boot, once more and the same."""
    hub = ready(1).session().forget()
    hub.operator.silent.add("StopTransaction")
    hub.asks_for("Reset", type="Soft")
    for _ in range(100):
        if hub.recreations:
            break
        hub.advance(5)
    assert hub.recreations == 1
    hub.operator.silent.clear()
    hub.advance(600)
    after_boot = hub.calls[hub.actions.index("BootNotification") :]
    (stop,) = [call.payload for call in after_boot if call.action == "StopTransaction"][-1:]
    assert all(each == stop for each in hub.sent("StopTransaction"))


def test_hard_reset_tells_the_stop_once_and_with_its_time() -> None:
    """CORE-RES-04: trap 29."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_200)
    at_ms = hub.at()
    hub.forget().asks_for("Reset", type="Hard")
    hub.advance(300)
    stop = hub.only("StopTransaction")
    assert (stop["reason"], stop["meterStop"], stop["timestamp"]) == ("HardReset", 1_200, utc_text(at_ms))


def test_reset_keeps_what_is_persistent() -> None:
    """CORE-RES-05: availability, configuration, reservations, profiles, local list."""
    hub = ready(3).configure(ConnectionTimeOut=33)
    inoperative(hub, 1)
    reserve(hub, 2)
    hub.install(3, 5)
    entry = {"idTag": "TAG", "idTagInfo": ACCEPTED}
    hub.asks_for("SendLocalList", listVersion=4, localAuthorizationList=[entry], updateType="Full")
    hub.forget().asks_for("Reset", type="Soft")
    hub.advance(60)
    assert hub.wire(1)[-1] == "Unavailable"
    take(hub, (1, 2, 3))
    assert hub.wire(2)[-1] == "Reserved"
    assert limit_now(hub, 3) == 16.0
    assert hub.asks_for("GetLocalListVersion") == {"listVersion": 4}
    (key,) = hub.core.get_configuration_key(["ConnectionTimeOut"])["configuration_keys"]
    assert key["value"] == "33"


def test_reset_that_controllers_refuse_is_retried_then_told() -> None:
    """CORE-RES-06: ResetRetries, then ResetFailure."""
    hub = ready(1).configure(ResetRetries=2).forget()
    hub.local["charge_point.reset"] = {"accepted": False}
    assert hub.asks_for("Reset", type="Soft") == ACCEPTED
    hub.advance(3_600)
    asked = [ask for ask in hub.asks if ask.method == "charge_point.reset"]
    assert len(asked) == 3
    assert "ResetFailure" in [each["errorCode"] for each in hub.sent("StatusNotification")]
    assert hub.recreations == 0


def test_reset_asks_each_connection_once() -> None:
    """CORE-RES-07: with the connectors that it has."""
    hub = ready(3)
    second = controller(2)
    hub.call("detach", controller(), [3])
    hub.join(3, who=second)
    hub.forget().asks_for("Reset", type="Hard")
    hub.advance(60)
    asked = {ask.controller: ask.params for ask in hub.asks if ask.method == "charge_point.reset"}
    assert asked == {1: {"type": "Hard", "connectors": [1, 2]}, 2: {"type": "Hard", "connectors": [3]}}


def test_reset_without_controllers_happens() -> None:
    """CORE-RES-01."""
    hub = Hub().boot().forget()
    assert hub.asks_for("Reset", type="Soft") == ACCEPTED
    hub.advance(120)
    assert hub.recreations == 1


def test_controllers_attach_again_after_a_reset() -> None:
    """CORE-RES-07: the new core knows none."""
    hub = ready(1)
    hub.asks_for("Reset", type="Soft")
    hub.advance(60)
    with pytest.raises(LocalError) as caught:
        hub.tell(plugged=True)
    assert caught.value.code == "not_attached"
    take(hub, [1])
    hub.session()


def test_nothing_starts_while_a_reset_is_under_way() -> None:
    """CORE-RES-02."""
    hub = ready(2).session(1).forget()
    hub.operator.silent.add("StopTransaction")
    hub.asks_for("Reset", type="Soft")
    hub.plug(2)
    with suppress(LocalError):
        hub.swipe("OTHER", 2)
    assert hub.sent("StartTransaction") == []


def test_reset_is_a_security_event() -> None:
    """CORE-RES-08."""
    hub = ready(1).forget()
    hub.asks_for("Reset", type="Soft")
    hub.advance(60)
    kinds = [each["type"] for each in hub.sent("SecurityEventNotification")]
    assert "ResetOrReboot" in kinds or "StartupOfTheDevice" in kinds


# UnlockConnector


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("UnlockConnector", {}),
        ("ChangeAvailability", {"type": "Inoperative"}),
        ("RemoteStartTransaction", {"idTag": "TAG"}),
        ("TriggerMessage", {"requestedMessage": "StatusNotification"}),
    ],
)
def test_negative_connector_is_a_property_error(action: str, payload: dict[str, Any]) -> None:
    """J-256, CORE-CA-06: chapter 10 would answer Rejected or NotSupported; the frame is refused before, as built."""
    hub = ready(2)
    unique_id = hub.receive_call(action, connectorId=-1, **payload)
    answer = hub.answer_to(unique_id)
    assert answer is not None
    assert answer[2] in ("PropertyConstraintViolation", REJECTED, {"status": "NotSupported"})
    assert hub.calls == []


@pytest.mark.parametrize("status", ["Unlocked", "UnlockFailed", "NotSupported"])
def test_unlock_answers_what_the_controller_says(status: str) -> None:
    """CORE-UL-01, CORE-UL-02, CORE-UL-04: a fixed cable has no lock."""
    hub = ready(1)
    hub.local["connector.unlock"] = {"status": status}
    assert hub.asks_for("UnlockConnector", connectorId=1) == {"status": status}
    assert hub.unlocks() == 1


@pytest.mark.parametrize("connector_id", [0, 4])
def test_unlock_of_an_unknown_connector_is_not_supported(connector_id: int) -> None:
    """CORE-UL-02: trap 25."""
    hub = ready(3)
    assert hub.asks_for("UnlockConnector", connectorId=connector_id) == {"status": "NotSupported"}
    assert hub.asks == []


def test_unlock_ends_the_transaction_first() -> None:
    """CORE-UL-03: stopped, unlocked, answered; trap 24."""
    hub = ready(1).session().forget()
    assert hub.asks_for("UnlockConnector", connectorId=1) == {"status": "Unlocked"}
    assert hub.only("StopTransaction")["reason"] == "UnlockCommand"
    assert hub.trace.index("StopTransaction") < hub.trace.index("answer")
    assert hub.trace.index("connector.unlock") < hub.trace.index("answer")
    assert hub.unlocks() == 1


@pytest.mark.parametrize("trouble", ["silent", "nobody", "nonsense", "lost"])
def test_unlock_that_nobody_confirms_has_failed(trouble: str) -> None:
    """CORE-UL-05, AMB-23."""
    hub = ready(1)
    hub.local["connector.unlock"] = SILENT if trouble == "silent" else {"status": "Perhaps"}
    if trouble == "nobody":
        hub.lose()
    if trouble == "lost":
        hub.alive.clear()
    unique_id = hub.receive_call("UnlockConnector", connectorId=1)
    hub.advance(11)
    assert hub.confirmation(unique_id) == {"status": "UnlockFailed"}


def test_unlock_that_waits_holds_up_no_other_call() -> None:
    """CORE-UL-05, CORE-RPC-06: and is answered in its own time."""
    hub = ready(1)
    hub.local["connector.unlock"] = SILENT
    unique_id = hub.receive_call("UnlockConnector", connectorId=1)
    assert hub.answer_to(unique_id) is None
    hub.plug()
    assert hub.wire() == ["Preparing"]
    hub.advance(11)
    assert hub.confirmation(unique_id) == {"status": "UnlockFailed"}


def test_lock_failure_that_the_controller_reports_is_told() -> None:
    """CORE-UL-05."""
    hub = ready(1)
    hub.tell(errors=[{"error_code": "ConnectorLockFailure"}])
    assert hub.notices()[-1]["errorCode"] == "ConnectorLockFailure"


# stop and restart (decisions.md 6)


def test_stop_ends_every_transaction() -> None:
    """CORE-TX-12: reason Other, energize false, delivered, the link closed with 1000, then true."""
    hub = ready(3).session(1, "ONE").session(3, "TWO").advance(30).forget()
    assert hub.call("stop") is True
    stops = hub.sent("StopTransaction")
    assert sorted(each["transactionId"] for each in stops) == [101, 102]
    assert {each["reason"] for each in stops} == {"Other"}
    assert not any(hub.state(each)["permit"]["energize"] for each in (1, 2, 3))
    assert [each for each in hub.links() if isinstance(each, Disconnect)] == [Disconnect(1000, "stopped", True)]
    assert hub.core.state(hub.now)["stopped"]


def test_stop_delivers_for_five_seconds_and_the_rest_after_restart() -> None:
    """CORE-TXQ-02, CORE-TXQ-10: also over a restart of the process."""
    hub = ready(1).session().forget()
    hub.operator.silent.add("StopTransaction")
    request = hub.begin("stop")
    hub.advance(4.9)
    assert not hub.is_answered(request)
    hub.advance(0.2)
    assert hub.result(request) is True
    hub.operator.silent.clear()
    again = hub.crash()
    again.start()
    again.forget().advance(1_000)
    assert again.calls == []
    assert again.call("restart") is True
    again.online()
    assert again.actions[0] == "BootNotification"
    assert again.only("StopTransaction") == hub.only("StopTransaction")


def test_nothing_is_made_while_stopped() -> None:
    """CORE-TXQ-02, CORE-STAT-01: reports keep levels and registers in memory, and nothing is stored or sent."""
    hub = ready(2).configure(ClockAlignedDataInterval=60)
    hub.call("stop")
    rows = dict(hub.rows)
    hub.forget()
    for step in range(1, 20):
        hub.advance(60)
        hub.plug(1, energy_wh=1_000 + 50 * step)
        hub.unplug(1)
    assert hub.calls == []
    changed = {name for name in {*rows, *loaded(hub.rows)} if rows.get(name) != hub.rows.get(name)}
    assert not {table for table, _ in changed} & {"outbox", "transaction", "sample", "stop_sample"}
    hub.plug(1, energy_wh=1_951)
    hub.call("restart")
    hub.online()
    assert hub.wire(1)[-1] == "Preparing"
    hub.swipe()
    assert hub.only("StartTransaction")["meterStart"] == 1_951


@pytest.mark.parametrize(
    "command",
    [
        lambda hub: hub.swipe(),
        lambda hub: hub.call("data_transfer", "vendor", None, None),
        lambda hub: hub.call("security_event", "TamperDetectionActivated", None),
    ],
    ids=["authorize", "data_transfer", "security_event"],
)
def test_commands_that_would_send_are_refused_while_stopped(command: Callable[[Hub], Any]) -> None:
    """CORE-TX-12: -32007."""
    hub = ready(1)
    hub.call("stop")
    with pytest.raises(LocalError) as caught:
        command(hub)
    assert caught.value.code == "invalid_state"
    assert "stopped" in str(caught.value)


def test_configuration_works_while_stopped() -> None:
    """CORE-CC-01."""
    hub = ready(point=settings(connectors=1, custom_keys=(custom_key("Colour", "red"),)))
    hub.call("stop")
    assert hub.call("set_custom_configuration_key", "Colour", "blue") == "Accepted"
    hub.begin("monitor_configuration_keys", ["CpoName"])
    assert hub.core.get_configuration_key(["Colour"])["configuration_keys"][0]["value"] == "blue"


def test_stop_when_stopped_and_restart_when_running_answer_false() -> None:
    """CORE-TX-12."""
    hub = ready(1)
    assert hub.call("restart") is False
    assert hub.call("stop") is True
    assert hub.call("stop") is False
    assert hub.call("restart") is True
    assert hub.call("restart") is False


def test_restart_begins_with_boot_and_tells_every_status() -> None:
    """CORE-BOOT-01, CORE-BOOT-11: a plugged connector begins a new use."""
    hub = ready(2).session(1)
    hub.call("stop")
    hub.forget().call("restart")
    hub.online()
    assert hub.actions[0] == "BootNotification"
    assert hub.wire(1) == ["Preparing"]
    assert hub.wire(2) == ["Available"]
    assert hub.state(1)["transaction"] is None
    hub.swipe("NEW", 1)
    assert hub.only("StartTransaction")["idTag"] == "NEW"


def test_stopped_state_survives_the_process() -> None:
    """CORE-TXQ-10."""
    hub = ready(1)
    hub.call("stop")
    again = hub.crash().start()
    assert again.links() == []
    assert again.core.state(again.now)["stopped"]
    assert again.call("restart") is True


def test_faulted_connector_stops_nothing_by_itself() -> None:
    """CORE-TX-12: a fault may pass."""
    hub = ready(2).session()
    fault(hub)
    hub.advance(60)
    assert hub.sent("StopTransaction") == []


# connectors that nobody drives


def test_connector_that_nobody_drives_is_not_offered() -> None:
    """CORE-RS-06, CORE-RV-04, CORE-UL-05: Unavailable on the wire, operative inside."""
    hub = Hub().boot().forget()
    assert remote_start(hub, 1) == "Rejected"
    assert remote_start(hub, None) == "Rejected"
    assert reserve(hub, 1) == "Unavailable"
    assert hub.asks_for("UnlockConnector", connectorId=1) == {"status": "UnlockFailed"}
    assert operative(hub, 1) == "Accepted"
    assert hub.sent("StatusNotification") == []


def test_inoperative_connector_stays_so_when_its_controller_comes() -> None:
    """CORE-STAT-05, CORE-STAT-06."""
    hub = Hub().boot()
    inoperative(hub, 1)
    take(hub, [1])
    assert hub.state()["status"] == "Unavailable"
    assert operative(hub, 1) == "Accepted"
    assert hub.wire(1)[-1] == "Available"


def test_remote_start_may_choose_no_connector_that_is_inoperative_or_faulted() -> None:
    """CORE-RS-05."""
    hub = ready(3)
    inoperative(hub, 1)
    fault_on(hub, 2)
    assert remote_start(hub, None) == "Accepted"
    assert hub.wire(3) == ["Preparing"]
    assert remote_start(hub, None, "OTHER") == "Rejected"


def fault_on(hub: Hub, connector_id: int) -> None:
    """A fault that prevents charging, on one connector."""
    hub.tell(connector_id, errors=[{"error_code": "GroundFailure", "inoperative": True}])


KEYS = {
    "AllowOfflineTxForUnknownId": ("false", False),
    "AuthorizationCacheEnabled": ("true", False),
    "AuthorizeRemoteTxRequests": ("false", False),
    "ClockAlignedDataInterval": ("0", False),
    "ConnectionTimeOut": ("60", False),
    "LocalAuthorizeOffline": ("true", False),
    "LocalPreAuthorize": ("false", False),
    "MessageTimeout": ("30", False),
    "MeterValuesAlignedData": ("Energy.Active.Import.Register", False),
    "MeterValuesSampledData": ("Energy.Active.Import.Register", False),
    "MeterValueSampleInterval": ("300", False),
    "MinimumStatusDuration": ("0", False),
    "NumberOfConnectors": ("1", True),
    "ResetRetries": ("1", False),
    "StopTransactionOnEVSideDisconnect": ("true", None),
    "StopTransactionOnInvalidId": ("true", False),
    "StopTxnAlignedData": ("", False),
    "StopTxnSampledData": ("", False),
    "TransactionMessageAttempts": ("3", False),
    "TransactionMessageRetryInterval": ("20", False),
    "UnlockConnectorOnEVSideDisconnect": ("true", False),
    "LocalAuthListEnabled": ("true", False),
    "LocalAuthListMaxLength": ("100000", True),
    "ReserveConnectorZeroSupported": ("true", True),
}
"""Chapter 16: the keys of sessions, their defaults, and whether they are read-only (``None``: either)."""


@pytest.mark.parametrize("name", list(KEYS))
def test_key_of_sessions_is_there_with_its_default(name: str) -> None:
    """CORE-GC-01, CORE-CC-05, CORE-GEN-10."""
    hub = ready(1)
    value, is_read_only = KEYS[name]
    (key,) = hub.asks_for("GetConfiguration", key=[name])["configurationKey"]
    assert key.get("value", "") == value
    assert is_read_only in (None, key["readonly"])
    if key["readonly"]:
        assert hub.asks_for("ChangeConfiguration", key=name, value=value) == REJECTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TransactionMessageAttempts", "0"),
        ("ConnectionTimeOut", "-1"),
        ("MeterValueSampleInterval", "1.5"),
        ("ClockAlignedDataInterval", "86401"),
        ("LocalPreAuthorize", "yes"),
        ("StopTransactionOnInvalidId", ""),
        ("MaxEnergyOnInvalidId", "-5"),
        ("MinimumStatusDuration", "-1"),
        ("MessageTimeout", "0"),
    ],
)
def test_key_of_sessions_refuses_what_is_out_of_range(name: str, value: str) -> None:
    """CORE-CC-04: the old value is kept."""
    hub = ready(1)
    before = hub.core.get_configuration_key([name])
    assert hub.asks_for("ChangeConfiguration", key=name, value=value) == REJECTED
    assert hub.core.get_configuration_key([name]) == before


def test_vehicle_that_waited_at_an_unavailable_connector_is_there_when_it_is_operative() -> None:
    """CORE-CA-07, CORE-TX-21: ConnectionTimeOut runs from the begin of Preparing, which Unavailable is not."""
    hub = ready(1).configure(ConnectionTimeOut=30)
    inoperative(hub)
    hub.plug()
    hub.advance(100)
    operative(hub)
    assert hub.wire() == ["Unavailable", "Preparing"]
    hub.advance(29)
    assert hub.state()["status"] == "Preparing"
    hub.advance(2)
    assert hub.state()["status"] == "Finishing"


# DataTransfer


def test_data_of_an_unknown_vendor_is_told_so() -> None:
    """CORE-DT-01: without data."""
    hub = ready(1)
    assert hub.asks_for("DataTransfer", vendorId="com.nobody", data="x") == {"status": "UnknownVendorId"}


def test_data_transfer_overtakes_the_queue_and_returns_the_answer() -> None:
    """CORE-DT-04, CORE-TXQ-04."""
    hub = ready(1).configure(TransactionMessageRetryInterval=600)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.operator.scripts["DataTransfer"] = lambda payload: {"status": "Accepted", "data": "pong"}
    hub.session()
    assert hub.call("data_transfer", "com.us", "ping", "1") == {"status": "Accepted", "data": "pong"}
    assert hub.only("DataTransfer") == {"vendorId": "com.us", "messageId": "ping", "data": "1"}
