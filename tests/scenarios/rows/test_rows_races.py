"""What happens when two things happen at once: the rows of chapters 5, 6, 10 and 13 in each other's way."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from ocpphub.errors import LocalError
from tests.builders import charging_profile
from tests.scenarios.rows.hub import ACCEPTED, SILENT, Hub, Operator, controller, ready, take
from tests.scenarios.rows.test_rows_status import FATAL, inoperative, reserve


def waiting(connectors: int = 2, **operator: Any) -> tuple[Hub, int]:
    """A plugged connector 1 whose tag the CSMS has been asked about, and the command that waits for it."""
    hub = ready(connectors, operator=Operator(**operator))
    hub.plug()
    hub.operator.latency_s = 2.0
    request = hub.begin("authorize", controller(), "TAG", 1)
    assert not hub.is_answered(request)
    assert len(hub.sent("Authorize")) == 1
    return hub, request


def test_unplug_while_the_csms_thinks_starts_nothing() -> None:
    """CORE-TX-01, CORE-AUTH-01: energy needs a vehicle; the tag is answered."""
    hub, request = waiting()
    hub.unplug()
    hub.advance(10)
    assert hub.is_answered(request)
    assert hub.sent("StartTransaction") == []
    assert hub.state()["transaction"] is None
    hub.advance(61)
    assert hub.state()["status"] == "Available"


def test_second_swipe_while_the_csms_thinks_starts_one_transaction() -> None:
    """CORE-AUTH-02, CORE-TX-01."""
    hub, first = waiting()
    second = hub.present("TAG", 1)
    hub.advance(20)
    assert hub.is_answered(first)
    assert hub.is_answered(second)
    starts = hub.sent("StartTransaction")
    stops = hub.sent("StopTransaction")
    assert len(starts) == 1
    assert (hub.state()["transaction"] is None) == (len(stops) == 1)


def test_other_tag_while_the_csms_thinks_does_not_mix_them_up() -> None:
    """CORE-AUTH-02, CORE-AUTH-06: one of the two starts, under its own name."""
    hub, first = waiting(tags={"BAD": {"status": "Invalid"}})
    second = hub.present("BAD", 1)
    hub.advance(20)
    assert hub.result(first)["status"] == "Accepted"
    assert hub.result(second)["status"] != "Accepted"
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["TAG"]


def test_refused_tag_first_does_not_spoil_the_good_one_after_it() -> None:
    """CORE-AUTH-02."""
    hub = ready(1, operator=Operator(tags={"BAD": {"status": "Blocked"}}))
    hub.plug()
    hub.operator.latency_s = 2.0
    bad = hub.present("BAD", 1)
    good = hub.present("GOOD", 1)
    hub.advance(20)
    assert hub.result(bad)["status"] == "Blocked"
    assert hub.result(good)["status"] == "Accepted"
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["GOOD"]


def test_fault_while_the_csms_thinks_starts_nothing_until_it_is_gone() -> None:
    """CORE-STAT-16, CORE-AUTH-01: no transaction begins on a faulted connector."""
    hub, request = waiting()
    hub.tell(errors=[FATAL])
    hub.advance(10)
    assert hub.is_answered(request)
    assert hub.sent("StartTransaction") == []
    hub.tell(errors=[])
    hub.advance(10)
    assert len(hub.sent("StartTransaction")) <= 1
    if not hub.sent("StartTransaction"):
        assert not hub.state()["permit"]["energize"]


def test_reservation_while_the_csms_thinks_is_occupied() -> None:
    """CORE-RV-03: Preparing."""
    hub, _ = waiting()
    assert reserve(hub, 1) == "Occupied"
    hub.advance(10)
    assert len(hub.sent("StartTransaction")) == 1


def test_inoperative_while_the_csms_thinks_is_scheduled() -> None:
    """CORE-CA-09: executed after the transaction."""
    hub, _ = waiting()
    assert inoperative(hub, 1) == "Scheduled"
    hub.advance(10)
    assert len(hub.sent("StartTransaction")) == 1
    hub.stop_here()
    hub.unplug()
    hub.advance(10)
    assert hub.wire()[-1] == "Unavailable"


def test_controller_that_goes_while_the_csms_thinks_loses_nothing_else() -> None:
    """CORE-AUTH-01: the answer has nobody to go to; the hub goes on."""
    hub, _ = waiting()
    hub.lose()
    hub.advance(200)
    take(hub, (1, 2), plugged=True, ev_ready=True)
    hub.advance(5)
    if hub.state()["transaction"] is None:
        hub.present("TAG", 1)
        hub.advance(5)
    assert len(hub.sent("StartTransaction")) == 1


def test_stop_command_while_the_csms_thinks_answers_the_tag() -> None:
    """CORE-TX-12: the one who waits is told, and nothing starts."""
    hub, request = waiting()
    hub.begin("stop")
    hub.advance(10)
    assert hub.is_answered(request)
    assert hub.state()["transaction"] is None
    hub.call("restart")
    hub.operator.latency_s = 0.0
    hub.online()
    assert hub.sent("StartTransaction") == []


def test_reset_while_the_csms_thinks_starts_nothing() -> None:
    """CORE-RES-02."""
    hub, _ = waiting()
    hub.asks_for("Reset", type="Soft")
    hub.advance(120)
    assert hub.recreations == 1
    assert hub.sent("StartTransaction") == []


def test_authorize_timeout_with_another_connector_waiting_serves_both() -> None:
    """CORE-RPC-05, AMB-21: one CALL at a time; each is decided in its turn."""
    hub = ready(2).configure(MessageTimeout=10, AllowOfflineTxForUnknownId=True)
    hub.operator.silent.add("Authorize")
    hub.plug(1)
    hub.plug(2)
    requests = [hub.present("ONE", 1), hub.present("TWO", 2)]
    hub.advance(30)
    assert [hub.result(each)["status"] for each in requests] == ["Accepted", "Accepted"]
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["ONE", "TWO"]


def test_same_tag_on_two_connectors_while_the_csms_thinks() -> None:
    """CORE-AUTH-21: both start."""
    hub, _ = waiting()
    hub.plug(2)
    hub.present("TAG", 2)
    hub.advance(20)
    assert sorted(each["connectorId"] for each in hub.sent("StartTransaction")) == [1, 2]


# a transaction whose start has not been answered


def unanswered(**operator: Any) -> Hub:
    """A transaction on connector 1 whose StartTransaction is under way."""
    hub = ready(2, operator=Operator(**operator)).configure(LocalPreAuthorize=True)
    hub.asks_for(
        "SendLocalList",
        listVersion=1,
        localAuthorizationList=[{"idTag": "TAG", "idTagInfo": ACCEPTED}],
        updateType="Full",
    )
    hub.plug(plug_id=1)
    hub.operator.latency_s = 5.0
    hub.present()
    assert len(hub.sent("StartTransaction")) == 1
    assert hub.state()["transaction"]["transaction_id"] is None
    return hub


@pytest.mark.parametrize("status", ["Accepted", "Blocked"])
@pytest.mark.parametrize("cause", ["stop", "unplug", "another plug", "swipe"])
def test_end_before_the_answer_is_the_only_end(cause: str, status: str) -> None:
    """CORE-TX-05, CORE-TXQ-07: with the id of the answer, one StopTransaction, whatever the verdict."""
    hub = unanswered(starts={"TAG": {"status": status}})
    hub.advance(1)
    if cause == "stop":
        hub.stop_here()
    elif cause == "unplug":
        hub.unplug()
    elif cause == "another plug":
        hub.plug(plug_id=77)
    else:
        hub.swipe()
    assert hub.sent("StopTransaction") == []
    hub.advance(60)
    stop = hub.only("StopTransaction")
    assert stop["transactionId"] == 101
    assert stop["reason"] == ("EVDisconnected" if "plug" in cause else "Local")
    assert len(hub.sent("StartTransaction")) == 1


def test_refusal_of_a_session_that_is_over_does_not_touch_the_next_one() -> None:
    """CORE-TX-05: the verdict belongs to its own transaction."""
    hub = unanswered(starts={"TAG": {"status": "Blocked"}, "OTHER": ACCEPTED})
    hub.stop_here()
    hub.unplug()
    hub.plug()
    hub.asks_for("RemoteStartTransaction", idTag="OTHER", connectorId=1)
    hub.advance(60)
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["TAG", "OTHER"]
    assert hub.state()["transaction"]["id_tag"] == "OTHER"
    assert hub.state()["permit"]["energize"]
    assert [each["transactionId"] for each in hub.sent("StopTransaction")] == [101]


def test_remote_stop_before_the_answer_does_not_know_the_transaction() -> None:
    """CORE-RSP-02, CORE-RSP-03: it has no id yet."""
    hub = unanswered()
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == {"status": "Rejected"}
    hub.advance(10)
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == ACCEPTED


def test_remote_stop_twice_stops_once() -> None:
    """CORE-RSP-01, CORE-RSP-02."""
    hub = ready(1).session()
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == ACCEPTED
    assert hub.asks_for("RemoteStopTransaction", transactionId=101) == {"status": "Rejected"}
    assert len(hub.sent("StopTransaction")) == 1


def test_crash_before_the_answer_keeps_one_transaction() -> None:
    """CORE-TXQ-10, AMB-18: sent again the same, and resumed."""
    hub = unanswered()
    first = hub.only("StartTransaction")
    hub.operator.latency_s = 0.0
    again = hub.crash().boot()
    take(again, [1], plugged=True, ev_ready=True)
    assert again.only("StartTransaction") == first
    assert again.state()["transaction"]["transaction_id"] is not None
    again.advance(200)
    assert again.sent("StopTransaction") == []


def test_start_answered_with_nonsense_is_an_attempt() -> None:
    """CORE-TXQ-05, J-276: a confirmation without its members counts as a failure to process."""
    hub = ready(1).configure(TransactionMessageAttempts=3, TransactionMessageRetryInterval=10)
    answers: list[Any] = [{"transactionId": "x"}, {}, {"transactionId": 9, "idTagInfo": ACCEPTED}]
    hub.operator.scripts["StartTransaction"] = lambda payload: answers.pop(0)
    hub.session()
    hub.advance(60)
    assert len(hub.sent("StartTransaction")) == 3
    assert hub.state()["transaction"]["transaction_id"] == 9


def test_one_id_given_to_two_transactions_harms_neither() -> None:
    """CORE-TX-04, F22: repeats are legal; each ends with its own stop."""
    hub = ready(2, operator=Operator(transaction_ids=[7, 7]))
    hub.session(1, "ONE").session(2, "TWO").advance(60)
    hub.tell(1, energy_wh=1_100)
    hub.tell(2, energy_wh=1_200)
    hub.stop_here(1)
    assert hub.state(2)["transaction"] is not None
    hub.stop_here(2)
    assert [(each["transactionId"], each["meterStop"]) for each in hub.sent("StopTransaction")] == [
        (7, 1_100),
        (7, 1_200),
    ]


# remote start in the way


def test_swipe_of_another_tag_during_a_remote_start_starts_once() -> None:
    """CORE-RS-13: the connector has an authorisation already; who starts is one of the two."""
    hub = ready(1)
    hub.asks_for("RemoteStartTransaction", idTag="REMOTE", connectorId=1)
    with suppress(LocalError):
        hub.swipe("LOCAL")
    hub.plug()
    assert len(hub.sent("StartTransaction")) == 1
    assert hub.only("StartTransaction")["idTag"] in ("REMOTE", "LOCAL")


def test_swipe_of_the_same_tag_during_a_remote_start_ends_the_use_or_keeps_it() -> None:
    """B1 names a second swipe; either way no second transaction (CORE-RS-13)."""
    hub = ready(1)
    hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1)
    with suppress(LocalError):
        hub.swipe("TAG")
    hub.plug()
    assert len(hub.sent("StartTransaction")) <= 1


def test_remote_start_after_one_that_timed_out_is_accepted() -> None:
    """CORE-RS-13, CORE-RS-08."""
    hub = ready(1).configure(ConnectionTimeOut=10)
    for _ in range(2):
        assert hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=1) == ACCEPTED
        hub.advance(11)
    assert hub.wire() == ["Preparing", "Available"] * 2


def test_remote_start_with_a_profile_replaces_nothing_when_it_is_rejected() -> None:
    """CORE-RS-11, CORE-RS-13."""
    hub = ready(1)
    first = charging_profile(1, "TxProfile", chargingSchedulePeriod=[{"startPeriod": 0, "limit": 10.0}])
    second = charging_profile(1, "TxProfile", chargingSchedulePeriod=[{"startPeriod": 0, "limit": 20.0}])
    hub.asks_for("RemoteStartTransaction", idTag="A", connectorId=1, chargingProfile=first)
    hub.asks_for("RemoteStartTransaction", idTag="B", connectorId=1, chargingProfile=second)
    hub.plug()
    assert hub.only("StartTransaction")["idTag"] == "A"
    assert hub.state()["permit"]["limit_a"] == 10.0


# ends that meet


def test_unlock_whose_controller_is_silent_has_ended_the_transaction_anyway() -> None:
    """CORE-UL-03, CORE-UL-05."""
    hub = ready(1).session()
    hub.local["connector.unlock"] = SILENT
    unique_id = hub.receive_call("UnlockConnector", connectorId=1)
    hub.advance(11)
    assert hub.confirmation(unique_id) == {"status": "UnlockFailed"}
    assert hub.only("StopTransaction")["reason"] == "UnlockCommand"


def test_two_unlocks_are_answered_each() -> None:
    """CORE-UL-01."""
    hub = ready(1)
    hub.local["connector.unlock"] = SILENT
    ids = [hub.receive_call("UnlockConnector", connectorId=1) for _ in range(2)]
    hub.advance(30)
    assert [hub.confirmation(each) for each in ids] == [{"status": "UnlockFailed"}] * 2


def test_controller_lost_while_it_unlocks_is_a_failure() -> None:
    """CORE-UL-05: whatever comes of the question, the CSMS is answered once."""
    hub = ready(1)
    hub.local["connector.unlock"] = SILENT
    unique_id = hub.receive_call("UnlockConnector", connectorId=1)
    hub.lose()
    hub.advance(20)
    assert hub.confirmation(unique_id) == {"status": "UnlockFailed"}
    assert len([answer for answer in hub.answers if answer[1] == unique_id]) == 1


def test_second_reset_during_a_reset_does_no_harm() -> None:
    """CORE-RES-01: one reset, one stop."""
    hub = ready(1).session()
    hub.operator.latency_s = 1.0
    hub.asks_for("Reset", type="Soft")
    unique_id = hub.receive_call("Reset", type="Hard")
    hub.advance(200)
    assert hub.answer_to(unique_id) is not None
    assert hub.recreations == 1
    assert len(hub.sent("StopTransaction")) == 1


def test_stop_command_during_a_reset_stops() -> None:
    """CORE-TX-12, CORE-RES-02: the operator wins; nothing is sent afterwards, and restart begins again."""
    hub = ready(1).session()
    hub.operator.silent.add("StopTransaction")
    hub.asks_for("Reset", type="Soft")
    with suppress(KeyError):
        hub.call("stop")
    hub.advance(300)
    assert hub.core.state(hub.now)["stopped"]
    hub.forget().advance(300)
    assert hub.calls == []
    hub.operator.silent.clear()
    assert hub.call("restart") is True
    hub.online()
    assert hub.actions[0] == "BootNotification"
    assert len(hub.sent("StopTransaction")) == 1


def test_restart_at_once_after_stop_loses_no_stop_transaction() -> None:
    """CORE-TXQ-10: decisions.md 6."""
    hub = ready(1).session().forget()
    hub.operator.silent.add("StopTransaction")
    stop = hub.begin("stop")
    hub.advance(1)
    restart = hub.begin("restart")
    hub.advance(10)
    assert hub.result(stop) is True
    assert hub.result(restart) is True
    hub.operator.silent.clear()
    if not hub.core.is_connected:
        hub.online()
    hub.advance(200)
    stops = hub.sent("StopTransaction")
    assert stops
    assert stops == [stops[0]] * len(stops)
    assert hub.core.outbox(5) == []


def test_fault_and_unplug_in_one_report_end_the_transaction() -> None:
    """CORE-STAT-16, CORE-TX-14."""
    hub = ready(1).session()
    hub.unplug(errors=[FATAL])
    assert hub.only("StopTransaction")["reason"] == "EVDisconnected"
    assert hub.wire()[-1] == "Faulted"
    hub.tell(errors=[])
    assert hub.wire()[-1] == "Available"


def test_plug_and_stop_button_in_quick_succession() -> None:
    """CORE-TX-13: a stop, the unplug, and the next vehicle within a second: two sessions, no more."""
    hub = ready(1, operator=Operator(latency_s=3.0)).advance(30)
    for number in range(2):
        hub.plug(plug_id=number)
        hub.present(f"T{number}")
        hub.advance(10)
        hub.stop_here()
        hub.unplug()
        hub.advance(0.2)
    hub.advance(60)
    assert [each["idTag"] for each in hub.sent("StartTransaction")] == ["T0", "T1"]
    assert [each["transactionId"] for each in hub.sent("StopTransaction")] == [101, 102]


def test_energy_limit_of_a_refused_tag_ends_with_the_session() -> None:
    """CORE-TX-08: the next vehicle is not bound by it."""
    hub = ready(1, operator=Operator(starts={"BAD": {"status": "Blocked"}}))
    hub.configure(StopTransactionOnInvalidId=False, MaxEnergyOnInvalidId=100)
    hub.session(1, "BAD").advance(60)
    hub.tell(energy_wh=1_150)
    assert not hub.state()["permit"]["energize"]
    hub.stop_here()
    hub.unplug()
    hub.session(1, "GOOD").advance(120)
    hub.tell(energy_wh=1_700)
    assert hub.state()["permit"]["energize"]


def test_profile_of_a_transaction_does_not_outlive_the_process_and_it() -> None:
    """CORE-SC-06, AMB-18: a resumed transaction keeps its profile, the next one does not."""
    hub = ready(1).session()
    assert hub.install(1, 4, "TxProfile", transactionId=101) == "Accepted"
    again = hub.crash().boot()
    take(again, [1], plugged=True, ev_ready=True)
    again.advance(2)
    assert again.state()["permit"]["limit_a"] == 16.0
    again.stop_here()
    again.unplug()
    again.session()
    assert again.state()["permit"]["limit_a"] == 32.0
