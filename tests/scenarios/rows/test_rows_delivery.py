"""Chapter 7 and decisions.md 6: transaction-related messages are delivered in order, once decided, whatever happens."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest

from ocpphub.core.delivery import TransactionQueue
from ocpphub.errors import LocalError
from tests.builders import SentCall, settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, Operator, ready, take

TRANSACTION_RELATED = ("StartTransaction", "MeterValues", "StopTransaction")
ENERGY = "Energy.Active.Import.Register"


def related(hub: Hub) -> list[SentCall]:
    """The transaction-related CALLs, in order."""
    return [call for call in hub.calls if call.action in TRANSACTION_RELATED]


def moment(call: SentCall) -> str:
    """When what a CALL tells began: its time stamp, or that of its first sample."""
    return str(call.payload.get("timestamp") or call.payload["meterValue"][0]["timestamp"])


def offline_hub(connectors: int = 3, **keys: Any) -> Hub:
    """A hub without its link, where unknown tags may charge."""
    hub = ready(connectors).configure(AllowOfflineTxForUnknownId=True, MeterValueSampleInterval=60, **keys)
    return hub.forget().offline()


def a_session(hub: Hub, connector_id: int = 1, samples: int = 3, tag: str = "TAG") -> None:
    """A whole session with this many samples."""
    register = 1_000 if not hub.rows.get(("meter", str(connector_id))) else None
    hub.session(connector_id, tag)
    begin = int(hub.state(connector_id)["transaction"]["meter_start_wh"])
    assert register is None or begin >= register
    for step in range(1, samples + 1):
        hub.advance(60)
        hub.tell(connector_id, energy_wh=begin + 100 * step)
    hub.advance(5)
    hub.stop_here(connector_id)
    hub.unplug(connector_id)


def test_offline_session_arrives_whole_and_in_order() -> None:
    """CORE-TXQ-01, CORE-TXQ-02, CORE-TXQ-07, CORE-MV-21: with the id that the CSMS gives now."""
    hub = offline_hub()
    a_session(hub)
    assert related(hub) == []
    hub.advance(3_600).online()
    calls = related(hub)
    assert [call.action for call in calls] == ["StartTransaction", "MeterValues", "StopTransaction"]
    assert sorted(map(moment, calls)) == [moment(call) for call in calls]
    assert [call.payload.get("transactionId") for call in calls] == [None, 101, 101]
    assert len(calls[1].payload["meterValue"]) == 3


def test_one_queue_serves_all_connectors() -> None:
    """CORE-TXQ-03: connector 2's Start waits behind connector 1's backlog."""
    hub = offline_hub()
    a_session(hub, 1)
    hub.operator.latency_s = 1.0
    hub.online()
    hub.advance(1.5)
    hub.plug(2)
    hub.present("SECOND", 2)
    hub.advance(20)
    calls = related(hub)
    assert [(call.action, call.payload.get("connectorId")) for call in calls] == [
        ("StartTransaction", 1),
        ("MeterValues", 1),
        ("StopTransaction", None),
        ("StartTransaction", 2),
    ]


def test_failing_entry_holds_up_the_others() -> None:
    """CORE-TXQ-03, AMB-04: one queue, literally."""
    hub = ready().configure(TransactionMessageAttempts=3, TransactionMessageRetryInterval=10)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session(1, "ONE")
    hub.session(2, "TWO")
    hub.advance(29)
    assert {call.payload["idTag"] for call in related(hub)} == {"ONE"}
    hub.advance(2)
    assert [call.payload["idTag"] for call in related(hub)][:4] == ["ONE", "ONE", "ONE", "TWO"]


def test_authorize_overtakes_a_backlog() -> None:
    """CORE-TXQ-04, CORE-BOOT-14: it is the next CALL, however long the queue is."""
    hub = offline_hub()
    for number in range(20):
        a_session(hub, 1, 0, f"T{number}")
    hub.operator.latency_s = 1.0
    hub.connect().advance(3.5)
    backlog = len(related(hub))
    assert backlog < 20
    hub.plug(2)
    request = hub.present("NOW", 2)
    hub.advance(2.5)
    assert hub.result(request)["status"] == "Accepted"
    authorize = next(call for call in hub.calls if call.action == "Authorize")
    assert len([call for call in related(hub) if call.at_s < authorize.at_s]) <= backlog + 1


@pytest.mark.parametrize("failure", ["CALLERROR", "timeout"])
@pytest.mark.parametrize("action", ["StartTransaction", "StopTransaction", "MeterValues"])
def test_failed_message_is_repeated_with_growing_waits_then_discarded(failure: str, action: str) -> None:
    """CORE-TXQ-05, CORE-RPC-14, AMB-01, AMB-02, AMB-03: same payload, fresh ids, interval x transmissions so far."""
    hub = ready().configure(
        TransactionMessageAttempts=3,
        TransactionMessageRetryInterval=60,
        MessageTimeout=7,
        MeterValueSampleInterval=60 if action == "MeterValues" else 0,
    )
    if failure == "CALLERROR":
        hub.operator.errors[action] = "GenericError"
    else:
        hub.operator.silent.add(action)
    hub.session()
    hub.advance(60)
    hub.tell(energy_wh=1_100)
    if action == "MeterValues":
        hub.configure(MeterValueSampleInterval=0)
    hub.stop_here()
    hub.advance(1_000)
    sent = [call for call in hub.calls if call.action == action]
    spent_s = 7 if failure == "timeout" else 0
    waits = [later.at_s - earlier.at_s for earlier, later in itertools.pairwise(sent)]
    assert waits == [60 + spent_s, 120 + spent_s]
    assert len({call.unique_id for call in sent}) == 3
    assert [call.payload for call in sent] == [sent[0].payload] * 3
    if action != "StopTransaction":
        stop = hub.only("StopTransaction")
        assert stop["transactionId"] == (-1 if action == "StartTransaction" else 101)
    assert hub.core.outbox(10) == []


def test_not_implemented_by_the_csms_counts_like_any_call_error() -> None:
    """CORE-TXQ-05."""
    hub = ready().configure(TransactionMessageAttempts=2, TransactionMessageRetryInterval=1)
    hub.operator.errors["StopTransaction"] = "NotImplemented"
    hub.session()
    hub.stop_here()
    hub.advance(60)
    assert len(hub.sent("StopTransaction")) == 2


def test_retry_that_is_answered_goes_on_as_if_nothing_was() -> None:
    """CORE-TXQ-05, CORE-TX-03."""
    hub = ready().configure(TransactionMessageRetryInterval=10)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session()
    hub.operator.errors.clear()
    hub.advance(11)
    assert len(hub.sent("StartTransaction")) == 2
    assert hub.state()["transaction"]["transaction_id"] == 101
    hub.stop_here()
    assert hub.only("StopTransaction")["transactionId"] == 101


def test_late_answer_to_an_earlier_transmission_does_no_harm() -> None:
    """AMB-02, J-237: one row would take it, the other drops it; either way the session has one id to the end."""
    hub = ready().configure(MessageTimeout=5, TransactionMessageRetryInterval=60)
    hub.operator.silent.add("StartTransaction")
    hub.session()
    hub.advance(6)
    first = next(call for call in hub.calls if call.action == "StartTransaction")
    hub.receive([3, first.unique_id, {"idTagInfo": ACCEPTED, "transactionId": 77}])
    hub.operator.silent.clear()
    hub.advance(100)
    transaction_id = hub.state()["transaction"]["transaction_id"]
    starts = hub.sent("StartTransaction")
    assert (transaction_id, len(starts)) in ((77, 1), (101, 2))
    assert starts == [starts[0]] * len(starts)
    hub.stop_here()
    assert hub.only("StopTransaction")["transactionId"] == transaction_id


def test_being_offline_is_no_failure() -> None:
    """CORE-TXQ-06: two hours, nothing is lost."""
    hub = offline_hub(TransactionMessageAttempts=1)
    a_session(hub)
    hub.advance(7_200).online()
    assert [call.action for call in related(hub)] == ["StartTransaction", "MeterValues", "StopTransaction"]


def test_lost_link_consumes_no_attempt() -> None:
    """CORE-TXQ-06, AMB-01: it is sent again after reconnect, the same."""
    hub = ready().configure(TransactionMessageAttempts=1)
    hub.operator.silent.add("StartTransaction")
    hub.session()
    for _ in range(3):
        hub.advance(5)
        hub.offline().online()
    hub.operator.silent.clear()
    hub.offline().online()
    starts = hub.sent("StartTransaction")
    assert len(starts) == 5
    assert starts == [starts[0]] * 5
    assert hub.state()["transaction"]["transaction_id"] == 101


def test_stop_that_nobody_confirmed_is_kept_over_a_reset() -> None:
    """CORE-TXQ-09, CORE-RES-02: and sent again after Boot is accepted."""
    hub = ready().session().forget()
    hub.operator.silent.add("StopTransaction")
    hub.asks_for("Reset", type="Soft")
    hub.advance(1_000)
    hub.operator.silent.clear()
    hub.offline().online().advance(1_000)
    assert hub.recreations == 1
    stops = hub.sent("StopTransaction")
    assert len(stops) >= 2
    assert stops == [stops[0]] * len(stops)
    after_boot = hub.actions[hub.actions.index("BootNotification") :]
    assert "StopTransaction" in after_boot


def test_what_a_controller_was_told_survives_the_process() -> None:
    """CORE-TXQ-10: kill -9 between the event and its delivery."""
    hub = offline_hub()
    a_session(hub)
    again = hub.crash().boot()
    calls = related(again)
    assert [call.action for call in calls] == ["StartTransaction", "MeterValues", "StopTransaction"]
    assert calls[0].payload["meterStart"] == 1_000
    assert calls[2].payload["meterStop"] == 1_300
    assert len(calls[1].payload["meterValue"]) == 3


@pytest.mark.parametrize("unanswered", TRANSACTION_RELATED)
def test_unanswered_message_is_repeated_with_the_same_content_after_a_crash(unanswered: str) -> None:
    """CORE-TXQ-10: frozen by its first transmission, samples included."""
    hub = offline_hub()
    a_session(hub)
    hub.operator.silent.add(unanswered)
    hub.online()
    first = hub.only(unanswered)
    hub.operator.silent.clear()
    again = hub.crash().boot()
    assert again.sent(unanswered)[0] == first
    assert [call.action for call in related(again)] == list(
        TRANSACTION_RELATED[TRANSACTION_RELATED.index(unanswered) :]
    )


def test_delivered_session_leaves_nothing_behind() -> None:
    """CORE-TXQ-10: a restart after the delivery sends nothing again."""
    hub = ready().configure(MeterValueSampleInterval=60)
    a_session(hub)
    assert hub.core.outbox(10) == []
    assert hub.core.state(hub.now)["queue"] == {"messages": 0, "bytes": 0, "oldest": None, "aside": 0}
    again = hub.crash().boot()
    assert related(again) == []
    assert again.core.live_transactions() == []


def test_session_numbers_are_never_used_twice() -> None:
    """CORE-TXQ-10: over restarts too."""
    hub = ready(1)
    seen = []
    for round_ in range(3):
        for _ in range(2):
            hub.session()
            seen.append(hub.state()["transaction"]["session_id"])
            hub.stop_here()
            hub.unplug()
        hub = take(hub.crash(boot_id=f"{round_ + 7:016x}").boot(), [1])
    assert len(set(seen)) == len(seen) == 6


def test_backlog_of_samples_leaves_in_few_messages() -> None:
    """CORE-TXQ-12: composed from all that wait, of one connector and transaction, up to 64 KiB."""
    hub = offline_hub(2)
    hub.session(1, "ONE")
    hub.session(2, "TWO")
    for step in range(1, 101):
        hub.advance(60)
        for connector_id in (1, 2):
            hub.tell(connector_id, energy_wh=1_000 + 10 * step)
    hub.online()
    messages = hub.sent("MeterValues")
    assert len(messages) <= 6
    for connector_id, transaction_id in ((1, 101), (2, 102)):
        mine = [each for each in messages if each["connectorId"] == connector_id]
        assert {each["transactionId"] for each in mine} == {transaction_id}
        stamps = [value["timestamp"] for each in mine for value in each["meterValue"]]
        assert len(stamps) == 100
        assert stamps == sorted(set(stamps))


def test_message_of_samples_stays_below_64_kib() -> None:
    """CORE-TXQ-12, J-327."""
    import orjson

    hub = offline_hub(1)
    measurands = "Energy.Active.Import.Register,Current.Import,Voltage,Power.Active.Import,SoC,Temperature"
    hub.online()
    hub.configure(MeterValuesSampledData=measurands)
    hub.offline().session()
    readings = [
        {"measurand": name, "value": 16.5, "phase": phase}
        for name in ("Current.Import", "Voltage", "Power.Active.Import")
        for phase in ("L1", "L2", "L3")
    ]
    for step in range(1, 151):
        hub.advance(60)
        hub.tell(energy_wh=1_000 + step, measurements=readings)
    hub.online()
    sent = hub.sent("MeterValues")
    assert sum(len(each["meterValue"]) for each in sent) == 150
    assert max(len(orjson.dumps(each)) for each in sent) <= 65_536
    assert len(sent) < 15


# what the CSMS cannot take (poison)


def poison(hub: Hub, action: str, *, rounds: int) -> None:
    """The CSMS closes the socket whenever it gets this message."""
    hub.operator.silent.add(action)
    for _ in range(rounds):
        hub.connect()
        hub.advance(1)
        hub.offline()
        hub.advance(1)


def test_poisonous_stop_loses_its_data_first() -> None:
    """CORE-TXQ-14: five losses running, then without transactionData."""
    hub = offline_hub(2)
    hub.online().configure(StopTxnSampledData=ENERGY).offline()
    a_session(hub)
    poison(hub, "StopTransaction", rounds=5)
    stops = hub.sent("StopTransaction")
    assert len(stops) == 5
    assert all("transactionData" in each for each in stops)
    hub.operator.silent.clear()
    hub.online()
    last = hub.sent("StopTransaction")[-1]
    assert "transactionData" not in last
    assert {**last, "transactionData": 0} == {**stops[0], "transactionData": 0}


def test_poisonous_stop_goes_aside_and_the_others_are_delivered() -> None:
    """CORE-TXQ-14: never dropped; shown, and repeated on command."""
    hub = offline_hub(2)
    a_session(hub, 1, 0, "ONE")
    a_session(hub, 2, 0, "TWO")
    stops: dict[int, int] = {}

    def kill_first(payload: dict[str, Any]) -> dict[str, Any] | None:
        stops[payload["transactionId"]] = stops.get(payload["transactionId"], 0) + 1
        return None if payload["transactionId"] == 101 else {}

    hub.operator.scripts["StopTransaction"] = kill_first
    for _ in range(12):
        hub.connect()
        hub.advance(1)
        if 102 in stops:
            break
        hub.offline()
        hub.advance(1)
    assert 102 in stops, "the other session is delivered"
    assert stops[101] <= 10
    assert hub.core.state(hub.now)["queue"]["aside"] == 1
    (entry,) = hub.core.outbox(10)
    hub.operator.scripts.clear()
    hub.forget().call("outbox_retry", entry["id"])
    hub.advance(1)
    assert hub.only("StopTransaction")["transactionId"] == 101
    assert hub.core.state(hub.now)["queue"]["aside"] == 0
    assert hub.core.outbox(10) == []


def test_entry_that_went_aside_is_tried_again_after_a_day() -> None:
    """CORE-TXQ-14."""
    hub = offline_hub(1)
    a_session(hub, 1, 0)
    poison(hub, "StopTransaction", rounds=10)
    assert hub.core.state(hub.now)["queue"]["aside"] == 1
    hub.operator.silent.clear()
    hub.online().forget().advance(86_400 + 60)
    assert hub.only("StopTransaction")["transactionId"] == 101
    assert hub.core.state(hub.now)["queue"]["aside"] == 0


def test_entry_that_went_aside_survives_the_process() -> None:
    """CORE-TXQ-14: Start and Stop are never dropped."""
    hub = offline_hub(1)
    a_session(hub, 1, 0)
    poison(hub, "StopTransaction", rounds=10)
    hub.operator.silent.clear()
    again = hub.crash().boot().advance(2 * 86_400)
    assert again.only("StopTransaction")["transactionId"] == 101


def test_poisonous_samples_are_split_then_dropped() -> None:
    """CORE-TXQ-14: what can be delivered of them is; the stop comes afterwards."""
    hub = offline_hub(1)
    a_session(hub, 1, 4)
    delivered: list[str] = []

    def kill_one(payload: dict[str, Any]) -> dict[str, Any] | None:
        values = [each["sampledValue"][0]["value"] for each in payload["meterValue"]]
        if "1200" in values:
            return None
        delivered.extend(values)
        return {}

    hub.operator.scripts["MeterValues"] = kill_one
    for _ in range(60):
        hub.connect()
        hub.advance(1)
        if hub.sent("StopTransaction"):
            break
        hub.offline()
        hub.advance(1)
    assert len(hub.sent("StopTransaction")) == 1
    assert "1200" not in delivered
    assert delivered, "the others of the message are delivered"


def test_fewer_losses_than_five_reduce_nothing() -> None:
    """CORE-TXQ-14: and an answer to anything behind it begins the count anew."""
    hub = offline_hub(1)
    hub.online().configure(StopTxnSampledData=ENERGY).offline()
    a_session(hub)
    poison(hub, "StopTransaction", rounds=4)
    hub.operator.silent.clear()
    hub.online()
    assert all("transactionData" in each for each in hub.sent("StopTransaction"))
    assert len(hub.sent("StopTransaction")) == 5


# what can be seen from inside


def test_outbox_lists_what_waits_in_its_order() -> None:
    """CORE-TXQ-01: outbox.list and charge_point.get."""
    hub = offline_hub()
    a_session(hub, 1, 2)
    queue = hub.core.state(hub.now)["queue"]
    listed = hub.core.outbox(100)
    assert queue["messages"] == len(listed) == 3
    assert queue["bytes"] > 0
    assert queue["oldest"] is not None
    assert len(hub.core.outbox(1)) == 1
    assert hub.core.outbox(1) == listed[:1]


def test_retry_of_what_is_not_there_is_an_error() -> None:
    """CORE-TXQ-14: outbox.retry."""
    hub = ready()
    with pytest.raises(LocalError) as caught:
        hub.call("outbox_retry", "no-such-entry")
    assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/id")


def test_transaction_topic_tells_start_update_and_end() -> None:
    """CORE-TX-03: rpc.md, topic transaction."""
    hub = ready().session().advance(30)
    hub.tell(energy_wh=1_100)
    hub.stop_here()
    events = hub.published("transaction")
    assert [each["event"] for each in events][:2] == ["started", "updated"]
    assert events[0]["transaction_id"] is None
    assert events[1]["transaction_id"] == 101
    ended = next(each for each in events if each["event"] == "ended")
    assert (ended["meter_start_wh"], ended["meter_stop_wh"], ended["reason"]) == (1_000, 1_100, "Local")
    assert events[-1]["delivered"] is True
    assert {each["session_id"] for each in events} == {events[0]["session_id"]}


def test_registration_comes_before_the_queue() -> None:
    """CORE-BOOT-02, CORE-TXQ-01: a full queue waits for Accepted."""
    hub = offline_hub(1)
    a_session(hub)
    again = hub.crash(operator=Operator(registration="Pending", interval_s=1_000))
    again.boot().advance(60)
    assert related(again) == []
    again.operator.registration = "Accepted"
    again.advance(1_000)
    assert [call.action for call in related(again)] == list(TRANSACTION_RELATED)


def test_transaction_messages_are_sent_by_the_time_of_their_events() -> None:
    """CORE-TXQ-01, CORE-TXQ-03: of three connectors that charge at the same time."""
    hub = Hub(settings(connectors=3), operator=Operator(latency_s=0.4)).boot().advance(60)
    take(hub, (1, 2, 3))
    hub.advance(20)
    hub.configure(MeterValueSampleInterval=10, LocalPreAuthorize=True)
    for second in range(120):
        connector_id = second // 7 % 3 + 1
        if second % 7 == 0 and hub.state(connector_id)["transaction"] is None:
            hub.plug(connector_id)
            hub.present("TAG", connector_id)
        elif second % 7 == 0:
            hub.stop_here(connector_id)
            hub.unplug(connector_id)
        hub.advance(1)
        for each in (1, 2, 3):
            hub.tell(each, energy_wh=1_000 + second)
    firsts: dict[str, SentCall] = {}
    for call in related(hub):
        firsts.setdefault(f"{call.action}{call.payload}", call)
    stamps = [moment(call) for call in firsts.values()]
    assert len(stamps) > 6
    assert stamps == sorted(stamps)


def test_nothing_starts_while_the_disk_is_full_and_what_runs_is_recorded() -> None:
    """CORE-TXQ-11: store_full and store_ok of reliability.md 4.3."""
    hub = ready(2).session(1)
    hub.core.store_full(hub.now)
    hub.settle()
    hub.plug(2)
    with pytest.raises(LocalError) as caught:
        hub.swipe("TWO", 2)
    assert caught.value.code in ("invalid_state", "busy")
    hub.asks_for("RemoteStartTransaction", idTag="TWO", connectorId=2)
    assert hub.state(2)["transaction"] is None
    hub.advance(30)
    hub.tell(1, energy_wh=1_100)
    hub.stop_here(1)
    assert hub.only("StopTransaction")["meterStop"] == 1_100
    hub.core.store_ok(hub.now)
    hub.settle()
    hub.swipe("TWO", 2)
    assert hub.state(2)["transaction"] is not None


def bounds_of(queue: type[TransactionQueue]) -> dict[str, Any]:
    """The defaults of the queue's bounds."""
    bounds: dict[str, Any] | None = queue.__init__.__kwdefaults__
    assert bounds is not None
    return bounds


def test_full_queue_gives_up_samples_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """CORE-TXQ-11, AMB-11: samples of ended sessions first; every Start and Stop arrives."""
    monkeypatch.setitem(bounds_of(TransactionQueue), "max_bytes", 4_000)
    hub = offline_hub(1)
    for number in range(6):
        a_session(hub, 1, 30, f"T{number}")
        hub.advance(60)
    hub.session(1, "LAST")
    hub.online()
    starts, stops = hub.sent("StartTransaction"), hub.sent("StopTransaction")
    assert [each["idTag"] for each in starts] == [*(f"T{number}" for number in range(6)), "LAST"]
    assert len(stops) == 6
    samples = sum(len(each["meterValue"]) for each in hub.sent("MeterValues"))
    assert samples < 6 * 30, "some were given up"


def poisonous_start() -> tuple[Hub, list[str]]:
    """Two sessions wait; the CSMS closes the socket at the StartTransaction of ONE, until TWO's stop is delivered."""
    hub = offline_hub(2)
    a_session(hub, 1, 2, "ONE")
    a_session(hub, 2, 0, "TWO")
    seen: list[str] = []

    def start(payload: dict[str, Any]) -> dict[str, Any] | None:
        seen.append(payload["idTag"])
        return None if payload["idTag"] == "ONE" else {"idTagInfo": ACCEPTED, "transactionId": 222}

    hub.operator.scripts["StartTransaction"] = start
    for _ in range(15):
        hub.connect()
        hub.advance(1)
        if hub.sent("StopTransaction"):
            break
        hub.offline()
        hub.advance(1)
    return hub, seen


def test_poisonous_start_goes_aside_and_its_followers_wait_for_it() -> None:
    """CORE-TXQ-14, CORE-TXQ-07: later sessions are delivered; nothing of its own overtakes it."""
    hub, seen = poisonous_start()
    assert [each["transactionId"] for each in hub.sent("StopTransaction")] == [222]
    assert seen.count("ONE") <= 10
    assert hub.sent("MeterValues") == []
    assert hub.core.state(hub.now)["queue"]["aside"] >= 1
    hub.operator.scripts.clear()
    hub.forget()
    for entry in hub.core.outbox(10):
        with contextlib.suppress(LocalError):
            hub.call("outbox_retry", entry["id"])
    hub.advance(5)
    calls = related(hub)
    assert [call.action for call in calls] == list(TRANSACTION_RELATED)
    assert {call.payload.get("transactionId", 101) for call in calls} == {101}
    assert hub.core.outbox(10) == []


def test_poisonous_start_survives_the_process_and_keeps_its_content() -> None:
    """CORE-TXQ-14, CORE-AUTH-21: ConcurrentTx after its earlier transmissions means our own."""
    hub, _ = poisonous_start()
    first = next(each for each in hub.sent("StartTransaction") if each["idTag"] == "ONE")
    hub.operator.scripts.clear()
    hub.operator.starts["ONE"] = {"status": "ConcurrentTx"}
    again = hub.crash().boot().advance(2 * 86_400)
    assert again.sent("StartTransaction") == [first]
    assert again.only("StopTransaction")["transactionId"] == 101
    assert again.core.outbox(10) == []


def test_attempts_are_counted_over_a_restart() -> None:
    """CORE-TXQ-05, CORE-TXQ-10: three transmissions in all, not three for each process."""
    hub = ready().configure(TransactionMessageAttempts=3, TransactionMessageRetryInterval=10)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session().advance(11)
    hub.stop_here()
    again = hub.crash().boot().advance(600)
    assert len(hub.sent("StartTransaction")) == 2
    assert len(again.sent("StartTransaction")) == 1
    assert again.only("StopTransaction")["transactionId"] == -1
