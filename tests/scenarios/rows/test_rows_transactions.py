"""Chapter 6 and decisions.md 4 and 6: how transactions begin, go on and end, seen from controllers and CSMS."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import EPOCH_MS, settings
from tests.builders import hub as hub_settings
from tests.scenarios.rows.hub import ACCEPTED, IDLE, Hub, Operator, controller, ready, take

GROUP = {**ACCEPTED, "parentIdTag": "G"}


def is_running(hub: Hub, connector_id: int = 1) -> bool:
    """Whether a transaction runs on a connector."""
    return hub.state(connector_id)["transaction"] is not None


# messages


def test_start_transaction_carries_connector_tag_register_and_time() -> None:
    """CORE-TX-01: the register and the time of the start, not of the sending."""
    hub = ready()
    hub.advance(60)
    hub.tell(2, energy_wh=1_234)
    hub.advance(5)
    at_ms = hub.at()
    hub.plug(2)
    hub.swipe("TAG", 2)
    assert hub.only("StartTransaction") == {
        "connectorId": 2,
        "idTag": "TAG",
        "meterStart": 1_234,
        "timestamp": utc_text(at_ms),
    }


def test_start_transaction_of_an_offline_session_keeps_its_time() -> None:
    """CORE-TX-01, CORE-TXQ-02."""
    hub = ready().configure(AllowOfflineTxForUnknownId=True).offline()
    at_ms = hub.at()
    hub.session().advance(1_000).online()
    assert hub.only("StartTransaction")["timestamp"] == utc_text(at_ms)


def test_transaction_id_of_the_csms_is_used_afterwards() -> None:
    """CORE-TX-03."""
    hub = ready(operator=Operator(transaction_ids=[4711])).configure(MeterValueSampleInterval=10)
    hub.session().advance(10)
    hub.tell(energy_wh=1_020)
    hub.advance(11)
    hub.stop_here()
    assert {each["transactionId"] for each in hub.sent("MeterValues")} == {4711}
    assert hub.only("StopTransaction")["transactionId"] == 4711
    assert is_running(hub) is False


@pytest.mark.parametrize("transaction_id", [0, -5, -1, 2_147_483_647])
def test_odd_transaction_ids_are_ordinary(transaction_id: int) -> None:
    """CORE-TX-04: -1 as an id that the CSMS gave out cannot be stopped remotely (CORE-RSP-03)."""
    hub = ready(operator=Operator(transaction_ids=[transaction_id])).session()
    if transaction_id != -1:
        assert hub.asks_for("RemoteStopTransaction", transactionId=transaction_id) == ACCEPTED
    else:
        hub.stop_here()
    assert hub.only("StopTransaction")["transactionId"] == transaction_id


@pytest.mark.parametrize("status", ["Invalid", "Blocked", "Expired", "ConcurrentTx"])
@pytest.mark.parametrize("is_online", [True, False])
def test_refused_start_ends_the_transaction(status: str, is_online: bool) -> None:
    """CORE-TX-05: online and after offline, reason DeAuthorized."""
    hub = ready(operator=Operator(starts={"TAG": {"status": status}}))
    hub.configure(StopTransactionOnInvalidId=True, AllowOfflineTxForUnknownId=True)
    if not is_online:
        hub.offline().session()
        assert is_running(hub)
        hub.online()
    else:
        hub.plug()
        hub.swipe()
    stop = hub.only("StopTransaction")
    assert (stop["reason"], stop["transactionId"]) == ("DeAuthorized", 101)
    assert not is_running(hub)
    assert not hub.state()["permit"]["energize"]
    assert hub.wire()[-1] == "Finishing"


def test_cable_of_a_refused_start_stays_locked_until_its_group_comes() -> None:
    """CORE-TX-06: another tag does not release it; the same one, and one with the same parent, do."""
    for release, is_free in (("TAG", True), ("MEMBER", True), ("OTHER", False)):
        tags = {"TAG": GROUP, "MEMBER": GROUP}
        hub = ready(operator=Operator(tags=tags, starts={"TAG": {**GROUP, "status": "Blocked"}}))
        hub.plug()
        hub.swipe()
        assert len(hub.sent("StopTransaction")) == 1
        assert hub.unlocks() == 0, "still locked"
        hub.operator.tags["OTHER"] = {"status": "Invalid"}
        hub.swipe(release)
        assert (hub.unlocks() > 0) == is_free, release


def test_refused_start_that_may_go_on_only_stops_the_energy() -> None:
    """CORE-TX-07: SuspendedEVSE (C5), the transaction goes on."""
    hub = ready(operator=Operator(starts={"TAG": {"status": "Blocked"}})).configure(StopTransactionOnInvalidId=False)
    hub.plug()
    hub.swipe()
    assert hub.wire()[-1] == "SuspendedEVSE"
    assert hub.sent("StopTransaction") == []
    assert is_running(hub)
    assert not hub.state()["permit"]["energize"]
    hub.stop_here()
    assert hub.only("StopTransaction")["transactionId"] == 101


@pytest.mark.parametrize("is_offline", [True, False])
def test_refused_start_may_still_draw_a_little(is_offline: bool) -> None:
    """CORE-TX-08: MaxEnergyOnInvalidId, counted from the refusal; the text also allows from the start."""
    hub = ready(operator=Operator(starts={"TAG": {"status": "Blocked"}}))
    hub.configure(StopTransactionOnInvalidId=False, MaxEnergyOnInvalidId=200, AllowOfflineTxForUnknownId=True)
    if is_offline:
        hub.offline()
    hub.plug()
    hub.swipe()
    if is_offline:
        hub.online()
    assert hub.state()["permit"]["energize"]
    hub.advance(30)
    hub.tell(energy_wh=1_150)
    assert hub.state()["permit"]["energize"]
    assert hub.wire()[-1] == "Charging"
    hub.advance(30)
    hub.tell(energy_wh=1_201)
    assert not hub.state()["permit"]["energize"]
    assert hub.wire()[-1] == "SuspendedEVSE"
    assert hub.sent("StopTransaction") == []


def test_session_whose_start_was_given_up_goes_by_minus_one() -> None:
    """CORE-TX-09, CORE-TXQ-08."""
    hub = ready().configure(
        TransactionMessageAttempts=2, TransactionMessageRetryInterval=5, MessageTimeout=5, MeterValueSampleInterval=60
    )
    hub.operator.silent.add("StartTransaction")
    hub.session().advance(61)
    hub.tell(energy_wh=1_100)
    hub.advance(1)
    assert len(hub.sent("StartTransaction")) == 2
    assert is_running(hub), "the vehicle keeps charging"
    hub.stop_here()
    assert {each["transactionId"] for each in hub.sent("MeterValues")} == {-1}
    assert hub.only("StopTransaction")["transactionId"] == -1


def test_stop_transaction_carries_register_time_and_reason() -> None:
    """CORE-TX-10, CORE-TX-12: the reason is always sent, Local too."""
    hub = ready().session().advance(60)
    hub.tell(energy_wh=1_333)
    at_ms = hub.at()
    hub.stop_here()
    assert hub.only("StopTransaction") == {
        "transactionId": 101,
        "meterStop": 1_333,
        "timestamp": utc_text(at_ms),
        "reason": "Local",
    }


def test_stop_transaction_names_the_tag_that_was_presented() -> None:
    """CORE-TX-11: also as a parameter of connector.stop_transaction."""
    hub = ready().session(1).session(2)
    hub.swipe("TAG", 1)
    hub.stop_here(2, id_tag="TAG")
    assert [each.get("idTag") for each in hub.sent("StopTransaction")] == ["TAG", "TAG"]


@pytest.mark.parametrize("cause", ["remote", "reset", "unplug"])
def test_stop_transaction_without_a_presented_tag_names_none(cause: str) -> None:
    """CORE-TX-11, AMB-20."""
    hub = ready().session()
    STOPS[cause](hub)
    assert "idTag" not in hub.only("StopTransaction")


def _fault(hub: Hub) -> None:
    hub.tell(errors=[{"error_code": "GroundFailure", "inoperative": True}])


STOPS: dict[str, Callable[[Hub], Any]] = {
    "same tag": lambda hub: hub.swipe(),
    "member of the group": lambda hub: hub.swipe("MEMBER"),
    "stop button": lambda hub: hub.stop_here(),
    "remote": lambda hub: hub.asks_for("RemoteStopTransaction", transactionId=101),
    "reset": lambda hub: hub.asks_for("Reset", type="Soft"),
    "hard reset": lambda hub: hub.asks_for("Reset", type="Hard"),
    "unlock": lambda hub: hub.receive_call("UnlockConnector", connectorId=1),
    "unplug": lambda hub: hub.unplug(),
    "emergency button": lambda hub: hub.stop_here(reason="EmergencyStop"),
    "reboot": lambda hub: hub.stop_here(reason="Reboot"),
    "power loss": lambda hub: hub.stop_here(reason="PowerLoss"),
    "other": lambda hub: hub.stop_here(reason="Other"),
    "stop command": lambda hub: hub.call("stop"),
}
REASONS = {
    "same tag": "Local",
    "member of the group": "Local",
    "stop button": "Local",
    "remote": "Remote",
    "reset": "SoftReset",
    "hard reset": "HardReset",
    "unlock": "UnlockCommand",
    "unplug": "EVDisconnected",
    "emergency button": "EmergencyStop",
    "reboot": "Reboot",
    "power loss": "PowerLoss",
    "other": "Other",
    "stop command": "Other",
}


@pytest.mark.parametrize("cause", list(REASONS))
def test_reason_tells_why_the_transaction_ended(cause: str) -> None:
    """CORE-TX-12: the table of reasons; one StopTransaction each."""
    hub = ready(operator=Operator(tags={"TAG": GROUP, "MEMBER": GROUP})).session()
    STOPS[cause](hub)
    hub.advance(10)
    assert hub.only("StopTransaction")["reason"] == REASONS[cause]


@pytest.mark.parametrize("reason", ["Nonsense", "local", ""])
def test_reason_that_does_not_exist_is_an_error_that_lists_the_others(reason: str) -> None:
    """CORE-TX-12: the session goes on."""
    hub = ready().session().forget()
    with pytest.raises(LocalError) as caught:
        hub.stop_here(reason=reason)
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/reason")
    assert "EmergencyStop" in caught.value.hint
    assert is_running(hub)
    assert hub.calls == []


def test_stop_without_a_transaction_is_an_error() -> None:
    """CORE-TX-10: nothing is sent."""
    hub = ready()
    with pytest.raises(LocalError) as caught:
        hub.stop_here()
    assert caught.value.code == "invalid_state"
    assert hub.calls == []


@pytest.mark.parametrize("cause", ["same tag", "stop button", "remote"])
def test_normal_stop_unlocks_the_cable(cause: str) -> None:
    """CORE-TX-13."""
    hub = ready().session()
    assert hub.unlocks() == 0
    STOPS[cause](hub)
    assert hub.unlocks() == 1


# disconnects on the vehicle's side


def test_unplug_stops_the_transaction() -> None:
    """CORE-TX-14: no energy until a new one."""
    hub = ready().configure(StopTransactionOnEVSideDisconnect=True).session().advance(30)
    hub.tell(energy_wh=1_150)
    hub.unplug()
    stop = hub.only("StopTransaction")
    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", 1_150)
    hub.plug()
    assert not hub.state()["permit"]["energize"]
    assert len(hub.sent("StartTransaction")) == 1


def test_unplug_may_leave_the_transaction_running() -> None:
    """CORE-TX-15, CORE-TX-17: SuspendedEV with its info; the cable stays locked, energy resumes on replug."""
    hub = ready().configure(StopTransactionOnEVSideDisconnect=False, UnlockConnectorOnEVSideDisconnect=True)
    hub.session().forget()
    hub.unplug()
    assert hub.sent("StopTransaction") == []
    notice = hub.notices()[-1]
    assert (notice["status"], notice["errorCode"]) == ("SuspendedEV", "NoError")
    assert notice["info"] == "EV side disconnected"
    assert hub.unlocks() == 0
    hub.plug()
    assert hub.wire()[-1] == "Charging"
    assert hub.state()["permit"]["energize"]
    assert hub.state()["transaction"]["transaction_id"] == 101


def test_unplug_that_stops_shows_finishing_with_its_info() -> None:
    """CORE-TX-17."""
    hub = ready().configure(StopTransactionOnEVSideDisconnect=True).session().forget()
    hub.unplug()
    notice = hub.notices()[0]
    assert (notice["status"], notice["errorCode"]) == ("Finishing", "NoError")
    assert notice["info"] == "EV side disconnected"


@pytest.mark.parametrize("unlocks", [True, False])
def test_unplug_unlocks_iff_configured(unlocks: bool) -> None:
    """CORE-TX-16: else the cable is released by the tag that started, or one of its group."""
    hub = ready().configure(StopTransactionOnEVSideDisconnect=True, UnlockConnectorOnEVSideDisconnect=unlocks)
    hub.session()
    hub.unplug()
    assert (hub.unlocks() > 0) == unlocks
    if not unlocks:
        hub.swipe("TAG")
        assert hub.unlocks() == 1


# transactionData


def test_transaction_data_is_absent_unless_configured() -> None:
    """CORE-TX-18, CORE-MV-16."""
    hub = ready().configure(StopTxnSampledData="", StopTxnAlignedData="", MeterValueSampleInterval=10)
    hub.session().advance(60)
    hub.stop_here()
    assert "transactionData" not in hub.only("StopTransaction")


def contexts(stop: dict[str, Any]) -> list[str]:
    """The context of each MeterValue of transactionData, in order."""
    return [each["sampledValue"][0].get("context", "Sample.Periodic") for each in stop["transactionData"]]


def test_transaction_data_begins_and_ends_with_the_transaction() -> None:
    """CORE-TX-18, CORE-MV-20: of each configured measurand."""
    hub = ready().configure(
        StopTxnSampledData="Energy.Active.Import.Register,SoC", MeterValueSampleInterval=10, StopTxnAlignedData=""
    )
    hub.session(measurements=[{"measurand": "SoC", "value": 20}])
    for step in range(1, 4):
        hub.advance(10)
        hub.tell(energy_wh=1_000 + 20 * step, measurements=[{"measurand": "SoC", "value": 20 + step}])
    hub.advance(5)
    hub.tell(energy_wh=1_070, measurements=[{"measurand": "SoC", "value": 24}])
    hub.stop_here()
    stop = hub.only("StopTransaction")
    found = contexts(stop)
    assert found[0] == "Transaction.Begin"
    assert found[-1] == "Transaction.End"
    assert set(found[1:-1]) == {"Sample.Periodic"}
    assert len(found) == 5
    values = {
        context: {each.get("measurand", "Energy.Active.Import.Register"): each["value"] for each in sample}
        for context, sample in zip(found, (each["sampledValue"] for each in stop["transactionData"]), strict=True)
    }
    assert values["Transaction.Begin"] == {"Energy.Active.Import.Register": "1000", "SoC": "20"}
    assert values["Transaction.End"] == {"Energy.Active.Import.Register": "1070", "SoC": "24"}


def test_transaction_data_of_aligned_values_begins_and_ends_with_the_transaction() -> None:
    """CORE-TX-18."""
    hub = ready().configure(StopTxnAlignedData="Energy.Active.Import.Register", ClockAlignedDataInterval=60)
    hub.session().advance(130)
    hub.tell(energy_wh=1_100)
    hub.stop_here()
    found = contexts(hub.only("StopTransaction"))
    assert (found[0], found[-1]) == ("Transaction.Begin", "Transaction.End")
    assert found[1:-1] == ["Sample.Clock"] * 2


def test_transaction_data_of_a_long_session_is_thinned_evenly() -> None:
    """CORE-TX-19: never begin or end, neither head nor tail is cut."""
    hub = ready().configure(StopTxnSampledData="Energy.Active.Import.Register", MeterValueSampleInterval=10)
    limit = int(
        dict(hub.core.get_configuration_key(["StopTransactionMaxMeterValues"])["configuration_keys"][0])["value"]
    )
    hub.session()
    for step in range(1, 3 * limit):
        hub.advance(10)
        hub.tell(energy_wh=1_000 + 20 * step)
    hub.stop_here()
    data = hub.only("StopTransaction")["transactionData"]
    assert limit // 3 <= len(data) <= limit
    found = contexts(hub.only("StopTransaction"))
    assert (found[0], found[-1]) == ("Transaction.Begin", "Transaction.End")
    registers = [int(each["sampledValue"][0]["value"]) for each in data]
    gaps = [after - before for before, after in pairwise(registers)]
    assert max(gaps[:-1]) <= 20 * 3 * 4, "no long stretch is missing"


# the time limit of a use


def test_tag_without_a_vehicle_times_out() -> None:
    """CORE-TX-21: back to Available (B1), and a vehicle that comes later needs a tag."""
    hub = ready().configure(ConnectionTimeOut=30)
    hub.swipe()
    assert hub.wire() == ["Preparing"]
    hub.advance(29)
    assert hub.wire() == ["Preparing"]
    hub.advance(2)
    assert hub.wire() == ["Preparing", "Available"]
    hub.plug()
    assert hub.sent("StartTransaction") == []


def test_tag_before_the_vehicle_starts_in_time() -> None:
    """CORE-TX-21: the other order."""
    hub = ready().configure(ConnectionTimeOut=30)
    hub.swipe()
    hub.advance(29)
    hub.plug()
    assert hub.only("StartTransaction")["idTag"] == "TAG"
    hub.advance(60)
    assert is_running(hub)


def test_vehicle_without_a_tag_times_out_into_finishing() -> None:
    """CORE-TX-21: B6, E3.20."""
    hub = ready().configure(ConnectionTimeOut=30)
    hub.plug()
    hub.advance(31)
    assert hub.wire() == ["Preparing", "Finishing"]
    assert hub.sent("StartTransaction") == []
    hub.unplug()
    assert hub.wire()[-1] == "Available"


def test_vehicle_that_timed_out_may_still_present_a_tag() -> None:
    """AMB-12, CORE-TX-21: a swipe in Finishing goes over Preparing (F2)."""
    hub = ready().configure(ConnectionTimeOut=30)
    hub.plug()
    hub.advance(31)
    hub.swipe()
    assert hub.wire() == ["Preparing", "Finishing", "Preparing", "Charging"]
    assert len(hub.sent("StartTransaction")) == 1


def test_connection_time_out_of_zero_waits_for_ever() -> None:
    """CORE-TX-21."""
    hub = ready().configure(ConnectionTimeOut=0)
    hub.plug()
    hub.advance(86_400)
    assert hub.wire() == ["Preparing"]


# two vehicles one after the other


def test_next_transaction_begins_where_the_last_ended() -> None:
    """CORE-MV-12, CORE-MV-13, AMB-19: the raw register, no watt-hour twice."""
    hub = ready().session().advance(60)
    hub.tell(energy_wh=1_250)
    hub.stop_here()
    hub.unplug()
    hub.advance(60)
    hub.session()
    assert [each["meterStart"] for each in hub.sent("StartTransaction")] == [1_000, 1_250]
    assert hub.only("StopTransaction")["meterStop"] == 1_250


def test_swipe_in_finishing_starts_a_new_transaction() -> None:
    """AMB-12: F2, then B3."""
    hub = ready().session()
    hub.stop_here()
    hub.forget().swipe("OTHER")
    assert hub.wire() == ["Preparing", "Charging"]
    assert hub.only("StartTransaction")["idTag"] == "OTHER"


# reports: levels, plug ids, first and late ones (decisions.md 4)


def test_another_plug_id_is_another_vehicle() -> None:
    """CORE-TX-14: the old transaction ends at the last register before, a new use begins."""
    hub = ready().session(plug_id=7).advance(60)
    hub.tell(energy_wh=1_200)
    hub.forget().advance(1)
    hub.plug(plug_id=8, energy_wh=1_204)
    stop = hub.only("StopTransaction")
    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", 1_200)
    assert hub.wire()[-1] == "Preparing"
    assert not is_running(hub)
    hub.swipe("OTHER")
    assert hub.only("StartTransaction")["meterStart"] == 1_204


@pytest.mark.parametrize("plug_id", [7, "one", 0, -3])
def test_same_plug_id_changes_nothing(plug_id: int | str) -> None:
    """CORE-TX-14: a repeated report."""
    hub = ready().session(plug_id=plug_id).forget()
    hub.plug(plug_id=plug_id)
    assert is_running(hub)
    assert hub.calls == []


def test_another_plug_id_before_a_tag_is_a_new_use() -> None:
    """CORE-TX-21: the time limit of the use begins again."""
    hub = ready().configure(ConnectionTimeOut=30)
    hub.plug(plug_id=1)
    hub.advance(20)
    hub.plug(plug_id=2)
    hub.advance(20)
    assert hub.state()["status"] == "Preparing"
    hub.advance(11)
    assert hub.state()["status"] == "Finishing"


def test_another_plug_id_after_the_stop_is_a_new_use() -> None:
    """AMB-12: F2."""
    hub = ready().session(plug_id=1)
    hub.stop_here()
    hub.plug(plug_id=2)
    assert hub.wire()[-1] == "Preparing", "whether Available is seen in between is left open"
    assert not is_running(hub)


def test_another_plug_id_after_an_attach_is_another_vehicle() -> None:
    """CORE-TX-14: the controller was away while the cable was out."""
    hub = ready().session(plug_id=1).lose()
    hub.advance(10)
    hub.join(1)
    hub.plug(evse_ready=True, plug_id=2, energy_wh=1_010)
    assert hub.only("StopTransaction")["reason"] == "EVDisconnected"
    assert hub.only("StopTransaction")["meterStop"] == 1_000


def test_repeated_report_changes_nothing() -> None:
    """CORE-STAT-01: controllers report levels, not edges."""
    hub = ready().session().forget()
    for _ in range(5):
        hub.plug(evse_ready=True, energy_wh=1_000)
    assert hub.calls == []
    assert is_running(hub)


@pytest.mark.parametrize("missing", ["plugged", "ev_ready", "evse_ready"])
def test_first_report_must_be_full(missing: str) -> None:
    """CORE-GEN-03: the error names what is missing, and nothing changes."""
    hub = Hub().boot()
    hub.join(1)
    before = hub.forget().state()
    levels: dict[str, Any] = {name: value for name, value in {**IDLE, "energy_wh": 5}.items() if name != missing}
    with pytest.raises(LocalError) as caught:
        hub.tell(**levels)
    assert caught.value.code == "invalid_params"
    assert missing in caught.value.path + caught.value.hint + caught.value.message
    assert hub.state() == before
    assert hub.calls == []


def test_first_report_after_another_attach_must_be_full_again() -> None:
    """CORE-GEN-03: absent fields mean "as in my last report of this attachment"."""
    hub = ready().lose()
    hub.join(1)
    with pytest.raises(LocalError):
        hub.tell(plugged=True)
    hub.tell(plugged=False, ev_ready=False, evse_ready=True)
    hub.tell(plugged=True)
    assert hub.state()["plugged"]


def test_late_report_changes_no_level() -> None:
    """CORE-STAT-11: an older timestamp than the last."""
    hub = ready()
    hub.plug(timestamp=utc_text(hub.at()))
    hub.forget()
    hub.unplug(timestamp=utc_text(hub.at(-5)))
    assert hub.state()["plugged"]
    assert hub.calls == []


def test_late_report_does_not_stop_a_transaction() -> None:
    """CORE-TX-14."""
    hub = ready()
    hub.plug(timestamp=utc_text(hub.at()))
    hub.swipe()
    hub.advance(10)
    hub.tell(energy_wh=1_020, timestamp=utc_text(hub.at()))
    hub.unplug(timestamp=utc_text(hub.at(-5)))
    assert is_running(hub)
    assert hub.sent("StopTransaction") == []


# controllers that go away and come back (decisions.md 4)


def test_connector_that_nobody_attached_is_unavailable_on_the_wire() -> None:
    """CORE-STAT-06: operative inside."""
    hub = Hub().boot()
    assert [hub.wire(each)[-1] for each in (1, 2, 3)] == ["Unavailable"] * 3
    assert hub.wire(0)[-1] == "Available"
    assert hub.state()["availability"] == "Operative"
    take(hub, [1])
    assert hub.wire(1)[-1] == "Available"
    assert hub.wire(2)[-1] == "Unavailable"


def test_idle_connector_without_controller_becomes_unavailable_after_a_grace() -> None:
    """CORE-STAT-06: unattended_grace_s."""
    hub = ready(1).lose()
    hub.advance(59)
    assert hub.wire() == []
    hub.advance(2)
    assert hub.wire() == ["Unavailable"]
    take(hub, [1])
    assert hub.wire() == ["Unavailable", "Available"]


def test_controller_that_comes_back_in_time_is_not_noticed() -> None:
    """CORE-STAT-06."""
    hub = ready(1).lose().advance(50)
    take(hub, [1]).advance(60)
    assert hub.wire() == []


def test_transaction_without_controller_goes_on_with_a_warning() -> None:
    """CORE-STAT-07: OtherError, info "controller lost", the state as it was."""
    hub = ready(1).session().forget().lose().advance(120)
    notice = hub.notices()[-1]
    assert (notice["status"], notice["errorCode"], notice["info"]) == ("Charging", "OtherError", "controller lost")
    assert is_running(hub)
    hub.join(1)
    hub.plug(evse_ready=True, energy_wh=1_100)
    assert hub.notices()[-1]["errorCode"] == "NoError"
    assert hub.sent("StopTransaction") == []


def test_transaction_whose_controller_never_comes_back_ends() -> None:
    """CORE-TX-12: after unattended_close_s, at the last register, Other."""
    hub = ready(1, hub=hub_settings(unattended_close_s=3_600.0)).session().advance(60)
    hub.tell(energy_wh=1_300)
    hub.lose().advance(3_590)
    assert is_running(hub)
    hub.advance(20)
    stop = hub.only("StopTransaction")
    assert (stop["reason"], stop["meterStop"]) == ("Other", 1_300)
    assert not is_running(hub)


def test_detached_transaction_goes_on_like_a_lost_one() -> None:
    """CORE-TX-12: detach is no end."""
    hub = ready(1).session()
    hub.call("detach", controller(), None)
    hub.advance(120)
    assert is_running(hub)
    assert hub.sent("StopTransaction") == []


def test_controller_that_attaches_again_with_the_cable_pulled_ends_the_transaction() -> None:
    """CORE-TX-14: a controller that restarts reports again and is in step."""
    hub = ready(1).session().advance(30)
    hub.tell(energy_wh=1_100)
    hub.lose().advance(10)
    hub.join(1)
    hub.unplug(evse_ready=True, energy_wh=1_120)
    assert hub.only("StopTransaction")["reason"] == "EVDisconnected"


def restarted(hub: Hub, pause_s: float = 10.0) -> Hub:
    """The process dies, and starts again after a pause."""
    hub.time_s += pause_s
    return hub.crash().boot()


def test_transaction_is_resumed_after_a_restart_of_the_process() -> None:
    """AMB-18: its controller comes within resume_wait_s."""
    hub = ready(1).session().advance(60)
    hub.tell(energy_wh=1_200)
    again = restarted(hub).advance(100)
    assert again.sent("StopTransaction") == []
    again.join(1)
    again.plug(evse_ready=True, energy_wh=1_300)
    again.advance(60)
    assert is_running(again)
    assert again.state()["transaction"]["transaction_id"] == 101
    assert again.state()["permit"]["energize"]
    again.stop_here()
    stop = again.only("StopTransaction")
    assert (stop["transactionId"], stop["meterStop"], stop["reason"]) == (101, 1_300, "Local")
    assert again.sent("StartTransaction") == []


def test_transaction_whose_controller_does_not_come_after_a_restart_ends_with_power_loss() -> None:
    """AMB-18, CORE-TX-12: the last known register, and its time."""
    hub = ready(1).session().advance(70)
    hub.tell(energy_wh=1_250)
    at_ms = hub.at()
    hub.advance(5)
    again = restarted(hub, 600).advance(119)
    assert again.sent("StopTransaction") == []
    again.advance(2)
    stop = again.only("StopTransaction")
    assert (stop["reason"], stop["meterStop"], stop["transactionId"]) == ("PowerLoss", 1_250, 101)
    assert stop["timestamp"] == utc_text(at_ms)


def test_power_loss_is_told_once_however_often_the_process_restarts() -> None:
    """AMB-18, CORE-TXQ-10."""
    hub = ready(1).session().advance(70)
    second = restarted(hub).advance(130)
    third = restarted(second).advance(130)
    assert [len(each.sent("StopTransaction")) for each in (hub, second, third)] == [0, 1, 0]


def test_register_that_jumps_over_a_restart_is_another_meter() -> None:
    """AMB-18: the session ends at the last good register; no energy of the jump is billed."""
    hub = ready(1).session().advance(70)
    hub.tell(energy_wh=1_250)
    again = restarted(hub)
    again.join(1)
    for step in range(4):
        with suppress(LocalError):
            again.plug(evse_ready=True, energy_wh=5_000_000 + step)
        again.advance(31)
    again.advance(60)
    stop = again.only("StopTransaction")
    assert stop["meterStop"] == 1_250


# times before the clock is known; charging before acceptance


def test_transaction_before_the_clock_is_known_gets_its_true_time() -> None:
    """CORE-BOOT-12: rewritten once, before the first transmission."""
    point = settings(connectors=1, configuration={"AllowOfflineTxForUnknownId": "true"})
    hub = Hub(point, hub=hub_settings(charge_before_accepted="always"))
    hub.wall_jump_ms = -EPOCH_MS
    take(hub.start(), [1])
    at_ms = hub.at()
    hub.session().advance(100)
    hub.tell(energy_wh=1_200)
    stopped_ms = hub.at()
    hub.stop_here()
    hub.advance(50).online()
    assert hub.only("StartTransaction")["timestamp"] == utc_text(at_ms)
    assert hub.only("StopTransaction")["timestamp"] == utc_text(stopped_ms)


def test_transaction_before_the_clock_is_known_gets_its_true_time_after_a_restart_too() -> None:
    """CORE-BOOT-12, CORE-TXQ-10: no time before 2020 is ever sent."""
    point = settings(connectors=1, configuration={"AllowOfflineTxForUnknownId": "true"})
    hub = Hub(point, hub=hub_settings(charge_before_accepted="always"))
    hub.wall_jump_ms = -EPOCH_MS
    take(hub.start(), [1])
    hub.session().advance(100)
    again = hub.crash()
    again.wall_jump_ms = -EPOCH_MS
    again.boot().advance(130)
    stamps = [again.only("StartTransaction")["timestamp"], again.only("StopTransaction")["timestamp"]]
    assert stamps == sorted(stamps)
    assert min(stamps) > "2020"


@pytest.mark.parametrize(
    ("rule", "was_accepted", "starts"),
    [
        ("never", True, False),
        ("never", False, False),
        ("if_accepted_once", True, True),
        ("if_accepted_once", False, False),
        ("always", True, True),
        ("always", False, True),
    ],
)
def test_charging_before_acceptance_follows_the_rule(rule: str, was_accepted: bool, starts: bool) -> None:
    """CORE-BOOT-12."""
    point = settings(connectors=1, configuration={"AllowOfflineTxForUnknownId": "true"})
    rules = hub_settings(charge_before_accepted=rule)
    hub = Hub(point, hub=rules)
    if was_accepted:
        hub = hub.boot().crash()
    take(hub.start(), [1])
    hub.plug()
    if not starts:
        with pytest.raises(LocalError) as caught:
            hub.swipe()
        assert caught.value.code == "invalid_state"
        assert not is_running(hub)
        return
    assert hub.swipe()["status"] == "Accepted"
    assert is_running(hub)
    hub.online()
    assert hub.only("StartTransaction")["idTag"] == "TAG"


# deadlines that must not outlive what they were for


def test_replug_begins_the_time_limit_anew() -> None:
    """CORE-TX-21: from the begin of Preparing."""
    hub = ready(1).configure(ConnectionTimeOut=60)
    hub.plug()
    hub.advance(50)
    hub.unplug()
    hub.advance(5)
    hub.plug()
    hub.advance(58)
    assert hub.wire() == ["Preparing", "Available", "Preparing"]
    hub.advance(3)
    assert hub.wire()[-1] == "Finishing"


def test_second_swipe_before_the_vehicle_ends_the_use() -> None:
    """CORE-TX-21: B1; the tag that comes after it has its whole time."""
    hub = ready(1).configure(ConnectionTimeOut=60)
    hub.swipe()
    hub.advance(50)
    hub.swipe()
    assert hub.wire() == ["Preparing", "Available"]
    hub.advance(5)
    hub.swipe()
    hub.advance(50)
    assert hub.state()["status"] == "Preparing"
    hub.plug()
    assert len(hub.sent("StartTransaction")) == 1
    hub.advance(120)
    assert is_running(hub)


def test_controller_that_came_back_is_not_unattended_later() -> None:
    """CORE-TX-12: neither the grace nor unattended_close_s goes on running."""
    hub = ready(1, hub=hub_settings(unattended_close_s=600.0)).session().forget().lose().advance(30)
    hub.join(1)
    hub.plug(evse_ready=True, energy_wh=1_050)
    hub.advance(1_200)
    assert is_running(hub)
    assert hub.sent("StopTransaction") == []
    assert hub.state()["error_code"] == "NoError"


@pytest.mark.parametrize("ev_ready", [True, False])
@pytest.mark.parametrize("evse_ready", [True, False])
def test_transaction_is_resumed_whatever_the_levels_are(ev_ready: bool, evse_ready: bool) -> None:
    """AMB-18: the cable is in; nothing else is asked."""
    hub = ready(1).session().advance(10)
    again = restarted(hub)
    again.join(1)
    again.tell(plugged=True, ev_ready=ev_ready, evse_ready=evse_ready, energy_wh=1_000)
    again.advance(200)
    assert is_running(again)
    assert again.sent("StopTransaction") == []
    expected = "SuspendedEVSE" if not evse_ready else "Charging" if ev_ready else "SuspendedEV"
    assert again.state()["status"] == again.wire()[-1] == expected
    assert again.state()["permit"]["energize"]


def test_transaction_that_waits_to_be_resumed_gives_no_energy() -> None:
    """AMB-18: nobody is there to take the permit."""
    hub = ready(1).session()
    again = restarted(hub).advance(30)
    assert not again.state()["permit"]["energize"]
    assert again.state()["transaction"] is not None


@pytest.mark.parametrize("cause", ["remote", "reset"])
def test_transaction_that_waits_to_be_resumed_can_be_stopped(cause: str) -> None:
    """AMB-18, CORE-RSP-01, CORE-RES-02: once, and for that reason."""
    hub = ready(1).session()
    again = restarted(hub)
    STOPS[cause](again)
    again.advance(300)
    assert again.only("StopTransaction")["reason"] == REASONS[cause]


def test_attach_alone_makes_a_connector_available() -> None:
    """CORE-STAT-06: its levels follow with the first report."""
    hub = Hub().boot().forget()
    hub.join(1)
    assert hub.wire(1) == ["Available"]


def test_late_report_is_checked_like_any_other() -> None:
    """CORE-STAT-15: a wrong field is refused though no level would change."""
    hub = ready(1)
    hub.plug(timestamp=utc_text(hub.at()))
    with pytest.raises(LocalError) as caught:
        hub.tell(timestamp=utc_text(hub.at(-5)), measurements=[{"measurand": "Foo", "value": 1}])
    assert caught.value.path == "/params/measurements/0/measurand"


# permits


def test_permit_follows_the_composite_schedule() -> None:
    """CORE-SC-45: within a second of a change; a decrease 10 s before its boundary (decisions.md 5)."""
    hub = ready(1).session()
    first = hub.state()["permit"]["seq"]
    steps = [{"startPeriod": 0, "limit": 16.0}, {"startPeriod": 60, "limit": 10.0}]
    assert hub.install(1, 3, "TxProfile", chargingSchedulePeriod=steps) == "Accepted"
    hub.advance(1)
    assert hub.state()["permit"]["limit_a"] == 16.0
    hub.advance(48)
    assert hub.state()["permit"]["limit_a"] == 16.0
    hub.advance(2)
    assert hub.state()["permit"]["limit_a"] == 10.0
    assert hub.state()["permit"]["seq"] == first + 2
    hub.stop_here()
    permit = hub.state()["permit"]
    assert (permit["energize"], permit["limit_a"], permit["limit_w"]) == (False, 0.0, 0.0)


def test_idle_connector_has_no_permit_to_charge() -> None:
    """CORE-AUTH-01: not free, not plugged, not authorised, not after the stop."""
    hub = ready(1)
    seen = [hub.state()["permit"]["energize"]]
    hub.plug()
    seen.append(hub.state()["permit"]["energize"])
    hub.swipe()
    running = hub.state()["permit"]["energize"]
    hub.stop_here()
    seen.append(hub.state()["permit"]["energize"])
    assert (seen, running) == ([False, False, False], True)


@pytest.mark.parametrize("id_tag", ["", "x" * 21])
def test_stop_with_a_tag_of_a_wrong_length_is_an_error_that_names_it(id_tag: str) -> None:
    """CORE-TX-11, CORE-GEN-07: the session goes on."""
    hub = ready().session().forget()
    with pytest.raises(LocalError) as caught:
        hub.stop_here(id_tag=id_tag)
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/id_tag")
    assert is_running(hub)
    assert hub.calls == []
