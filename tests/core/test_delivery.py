"""Transaction messages: order, retry, poison, restart, archive."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import orjson
import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Discard, Send, Store
from ocpphub.core.instant import Instant
from ocpphub.core.transaction import Transaction
from tests.queue_world import CUT, VOLTAGES, Accepting, Frame, QueueWorld, Script

STANDARD = ["StartTransaction", "MeterValues", "StopTransaction"]


def only(action: str, reaction: Any) -> Script:
    """A CSMS that takes everything but one kind of message."""
    accept = Accepting()
    return lambda frame: reaction if frame.action == action else accept(frame)


def session(world: QueueWorld, connector_id: int = 1) -> Transaction:
    """A whole session with one sample."""
    tx = world.start(connector_id)
    world.sample(tx, "1500").stop(tx)
    return tx


def archived(world: QueueWorld) -> list[dict[str, Any]]:
    return [orjson.loads(value) for _, value in sorted(world.table("session").items())]


# what is sent


def test_delivery_start_tells_connector_tag_meter_and_time() -> None:
    """CORE-TX-01, CORE-TX-02: reservationId only when a reservation was used."""
    world = QueueWorld().connect()
    world.start(2, "CARD", 77)
    world.start(3, "CARD", 78, reservation_id=5)
    time = utc_text(world.utc_ms)
    assert world.sent("StartTransaction") == [
        {"connectorId": 2, "idTag": "CARD", "meterStart": 77, "timestamp": time},
        {"connectorId": 3, "idTag": "CARD", "meterStart": 78, "timestamp": time, "reservationId": 5},
    ]


@pytest.mark.parametrize("transaction_id", [0, -5, 2**31 - 1])
def test_delivery_every_later_message_carries_the_given_id(transaction_id: int) -> None:
    """CORE-TX-03, CORE-TX-04, N18: ids are opaque."""
    world = QueueWorld(script=Accepting(transaction_id)).connect()
    session(world)
    assert [payload["transactionId"] for payload in world.sent("MeterValues") + world.sent("StopTransaction")] == [
        transaction_id,
        transaction_id,
    ]


def test_delivery_stop_tells_register_time_reason_and_tag_if_known() -> None:
    """CORE-TX-10, CORE-TX-11, CORE-TX-12: the reason is told even when it is Local."""
    world = QueueWorld().connect()
    first, second = world.start(1), world.start(2)
    world.advance(10).stop(first, 1_234, "Local", id_tag="TAG").stop(second, 5_678, "HardReset")
    time = utc_text(world.utc_ms)
    assert world.sent("StopTransaction") == [
        {"transactionId": 101, "meterStop": 1_234, "timestamp": time, "reason": "Local", "idTag": "TAG"},
        {"transactionId": 102, "meterStop": 5_678, "timestamp": time, "reason": "HardReset"},
    ]


def test_delivery_stops_a_transaction_once() -> None:
    """N14: a second stop changes nothing."""
    world = QueueWorld()
    tx = world.start()
    world.stop(tx, 5).stop(tx, 9).connect()
    assert [payload["meterStop"] for payload in world.sent("StopTransaction")] == [5]


def test_delivery_sample_outside_a_transaction_carries_no_transaction_id() -> None:
    """CORE-MV-08: and samples of different transactions never share a message."""
    world = QueueWorld()
    first, second = world.start(), world.start()
    world.sample(None, "1").sample(first, "2").sample(second, "3").sample(None, "4").connect()
    assert [(p.get("transactionId"), len(p["meterValue"])) for p in world.sent("MeterValues")] == [
        (None, 2),
        (101, 1),
        (102, 1),
    ]


def test_delivery_meter_value_has_all_values_of_its_moment() -> None:
    """CORE-MV-14, CORE-MV-15: one MeterValue, one timestamp."""
    world = QueueWorld().connect()
    world.sample(None, "230.1", "230.2", "229.9", layout=VOLTAGES, context="Sample.Clock")
    (payload,) = world.sent("MeterValues")
    (meter_value,) = payload["meterValue"]
    assert meter_value["timestamp"] == utc_text(world.utc_ms)
    assert [(v["value"], v["phase"], v["unit"], v["context"]) for v in meter_value["sampledValue"]] == [
        ("230.1", "L1", "V", "Sample.Clock"),
        ("230.2", "L2", "V", "Sample.Clock"),
        ("229.9", "L3", "V", "Sample.Clock"),
    ]


# order


def test_delivery_offline_session_arrives_in_order() -> None:
    """CORE-TXQ-01, CORE-TXQ-02, CORE-TXQ-07, J-343: the ids are right although nothing was known when it was made."""
    world = QueueWorld()
    tx = session(world)
    assert world.frames == []
    world.connect()
    assert world.actions == STANDARD
    assert world.sent("StopTransaction")[0]["transactionId"] == 101
    assert world.stopped == [(tx, None)]


def test_delivery_new_message_waits_behind_the_backlog_of_another_connector() -> None:
    """CORE-TXQ-03, CORE-MV-21."""
    world = QueueWorld()
    first = world.start(1)
    world.sample(first, "1").stop(first)
    world.start(2)
    world.connect()
    assert [(f.action, f.payload.get("connectorId")) for f in world.frames] == [
        ("StartTransaction", 1),
        ("MeterValues", 1),
        ("StopTransaction", None),
        ("StartTransaction", 2),
    ]


def test_delivery_next_call_leaves_before_the_discard_of_the_one_before() -> None:
    """The drain does not wait for the disk: a Discard follows the next Send (decisions.md 6)."""
    world = QueueWorld()
    for value in range(3):
        world.sample(None, str(value), connector_id=value + 1)
    world.effects.clear()
    world.connect()
    kinds = [type(effect).__name__ for effect in world.effects]
    assert kinds == ["Send", "Send", "Discard", "Send", "Discard", "Discard"]


def test_delivery_next_call_waits_for_the_commit_of_a_start_answer() -> None:
    """CORE-TX-03: its id is durable before anybody is told it (reliability.md 4.3.3)."""
    world = QueueWorld()
    tx = world.start()
    world.sample(tx, "1")
    world.effects.clear()
    world.connect()
    order = [(type(e).__name__, e.table if isinstance(e, Store | Discard) else "") for e in world.effects]
    assert order[:3] == [("Send", ""), ("Store", "transaction"), ("Send", "")]


def test_delivery_what_an_answer_leads_to_is_in_its_commit() -> None:
    """A stop that the answer causes is emitted before the next CALL."""
    world = QueueWorld()
    tx = world.start()

    def note(tx: Transaction, info: dict[str, Any], was_unanswered: bool, now: Instant) -> None:
        tx.notes["seen"] = True
        world.queue.update(tx)

    world.queue.on_answered = note
    world.effects.clear()
    world.connect()
    stores = [effect for effect in world.effects if isinstance(effect, Store)]
    assert b'"seen":true' in stores[-1].value
    assert not isinstance(world.effects[-1], Send)
    assert world.crash().running[0].notes == {"seen": True} == tx.notes


# batches


def test_delivery_backlog_of_samples_leaves_in_few_messages() -> None:
    """CORE-TXQ-12: a hundred samples, one message."""
    world = QueueWorld()
    tx = world.start()
    for value in range(100):
        world.advance(60).sample(tx, str(value))
    world.connect()
    assert world.actions == ["StartTransaction", "MeterValues"]
    assert world.values() == [str(value) for value in range(100)]


def test_delivery_message_stays_within_64_kib() -> None:
    """CORE-TXQ-12, J-327."""
    world = QueueWorld()
    for value in range(600):
        world.advance(1).sample(None, *[str(value)] * 3, layout=VOLTAGES)
    world.effects.clear()
    world.connect()
    sizes = [len(effect.frame) for effect in world.effects if isinstance(effect, Send)]
    assert len(sizes) > 2
    assert all(40_000 < size <= 64 * 1024 for size in sizes[:-1])
    assert world.values() == [str(value) for value in range(600) for _ in range(3)]


def test_delivery_sample_after_the_first_transmission_goes_into_another_message() -> None:
    """CORE-TXQ-12: a retry sends the same samples."""
    world = QueueWorld(script=lambda frame: None).connect()
    world.sample(None, "1").sample(None, "2").advance(30)
    world.script = Accepting()
    world.advance(100)
    assert [len(payload["meterValue"]) for payload in world.sent("MeterValues")] == [1, 1, 1]
    assert world.values() == ["1", "1", "2"]


def test_delivery_batch_of_an_earlier_process_takes_no_more_samples() -> None:
    """CORE-TXQ-12: it may have been sent, and then its bytes are fixed."""
    world = QueueWorld().sample(None, "1").crash().sample(None, "2").connect()
    assert [len(payload["meterValue"]) for payload in world.sent("MeterValues")] == [1, 1]


def test_delivery_batch_stands_where_its_first_sample_stands() -> None:
    """CORE-MV-21: also when later samples join it."""
    world = QueueWorld()
    world.sample(None, "1", connector_id=1).sample(None, "2", connector_id=2).sample(
        None, "3", connector_id=1
    ).connect()
    assert world.values() == ["1", "3", "2"]


# failure


def test_delivery_error_is_retried_with_growing_waits_and_then_given_up() -> None:
    """CORE-TXQ-05, AMB-03, J-345: transmissions after 20 s and 40 s, each with an id of its own, then the next."""
    world = QueueWorld(script=only("StopTransaction", "InternalError")).connect()
    tx = session(world)
    world.start(2)
    world.advance(200)
    times = [frame.at_s for frame in world.frames if frame.action == "StopTransaction"]
    assert [b - a for a, b in pairwise(times)] == [20.0, 40.0]
    assert len({frame.unique_id for frame in world.frames}) == len(world.frames)
    assert world.actions[-1] == "StartTransaction", "the head holds up the others (AMB-04)"
    assert world.stopped == [(tx, None)]
    assert [(row["delivered"], row["undelivered"]) for row in archived(world)] == [
        (False, "StopTransaction: InternalError")
    ]


@pytest.mark.parametrize("code", ["NotImplemented", "NotSupported"])
def test_delivery_unknown_action_is_an_attempt_like_any_error(code: str) -> None:
    """CORE-TXQ-05."""
    world = QueueWorld(script=only("MeterValues", code), keys={"TransactionMessageAttempts": "2"}).connect()
    world.sample(None, "1").advance(100)
    assert len(world.sent("MeterValues")) == 2
    assert world.queue.lost.dropped == 1
    assert world.table("sample") == {}


def test_delivery_timeout_on_a_live_link_is_an_attempt() -> None:
    """AMB-01, J-346: MessageTimeout and then the wait."""
    world = QueueWorld(script=lambda frame: None).connect()
    world.sample(None, "1").advance(400)
    assert [frame.at_s - 1_000 for frame in world.frames] == [0.0, 50.0, 120.0]


def test_delivery_lost_link_is_no_attempt() -> None:
    """CORE-TXQ-06: sent at once on the next link, as often as it takes below the poison rule."""
    world = QueueWorld(script=lambda frame: None, keys={"TransactionMessageAttempts": "1"})
    world.start()
    for _ in range(4):
        world.connect().disconnect()
    world.script = Accepting()
    world.connect()
    assert len(world.sent("StartTransaction")) == 5
    assert world.discarded == []


def test_delivery_retry_sends_the_same_bytes() -> None:
    """CORE-TXQ-05, N17: over retries, lost links and restarts."""
    world = QueueWorld(script=only("StopTransaction", None)).connect()
    tx = world.start(1, "TAG", 5)
    world.stop_sample(tx, "5", "Transaction.Begin").advance(5).stop_sample(tx, "9", "Transaction.End").stop(tx, 9)
    world.advance(60).disconnect().advance(100).connect()
    again = world.crash().connect()
    sent = [orjson.dumps(payload) for payload in world.sent("StopTransaction") + again.sent("StopTransaction")]
    assert len(sent) >= 4
    assert len(set(sent)) == 1


def test_delivery_attempts_survive_a_restart() -> None:
    """CORE-TXQ-05, CORE-TXQ-10."""
    world = QueueWorld(script=only("StartTransaction", "GenericError")).connect()
    world.start()
    world.advance(20)
    again = world.crash().connect().advance(100)
    assert len(world.frames) + len(again.frames) == 3
    assert [tx.is_discarded for tx in again.discarded] == [True]


def test_delivery_discarded_start_leaves_minus_one() -> None:
    """CORE-TX-09, CORE-TXQ-08, J-347: and the record says that it was not delivered."""
    world = QueueWorld(script=only("StartTransaction", "InternalError")).connect()
    tx = session(world)
    world.advance(100)
    assert [payload["transactionId"] for payload in world.sent("MeterValues") + world.sent("StopTransaction")] == [
        -1,
        -1,
    ]
    assert world.discarded == [tx]
    assert [(row["transaction_id"], row["delivered"], row["undelivered"]) for row in archived(world)] == [
        (None, False, "StartTransaction: InternalError")
    ]


@pytest.mark.parametrize(
    "conf", [{}, {"transactionId": "seven", "idTagInfo": {"status": "Accepted"}}, {"transactionId": 7}]
)
def test_delivery_unusable_confirmation_is_a_failure(conf: dict[str, Any]) -> None:
    """CORE-TXQ-05, F22."""
    world = QueueWorld(script=only("StartTransaction", conf)).connect()
    world.start()
    world.advance(100)
    assert len(world.sent("StartTransaction")) == 3
    assert world.answered == []
    assert len(world.discarded) == 1


def test_delivery_id_wider_than_the_standard_has_it_is_echoed() -> None:
    """CORE-TX-04, F22: some CSMSs give epoch milliseconds; they know them again."""
    conf = {"transactionId": 1_714_564_800_123, "idTagInfo": {"status": "Accepted"}}
    world = QueueWorld(script=only("StartTransaction", conf)).connect()
    session(world)
    world.advance(100)
    assert [payload["transactionId"] for payload in world.sent("StopTransaction")] == [1_714_564_800_123]


# possibly sent before


def test_delivery_first_transmission_is_known_as_such() -> None:
    """CORE-AUTH-21: ConcurrentTx is a refusal then; a CALLERROR was an answer."""
    world = QueueWorld(script=only("StartTransaction", "InternalError")).connect()
    world.start()
    world.script = Accepting()
    world.advance(20)
    assert [flag for _, _, flag in world.answered] == [False]


@pytest.mark.parametrize("loss", ["timeout", "link"])
def test_delivery_unanswered_transmission_is_remembered(loss: str) -> None:
    """CORE-AUTH-21: ConcurrentTx may mean ours."""
    world = QueueWorld(script=lambda frame: None).connect()
    world.start()
    if loss == "timeout":
        world.advance(30)
    world.disconnect()
    world.script = Accepting()
    world.connect().advance(20)
    assert [flag for _, _, flag in world.answered] == [True]


def test_delivery_first_two_entries_after_a_restart_count_as_possibly_sent() -> None:
    """CORE-AUTH-21, decisions.md 6: no flag is written before a Send."""
    world = QueueWorld()
    for connector_id in (1, 2, 3):
        world.start(connector_id)
    again = world.crash().connect()
    assert [flag for _, _, flag in again.answered] == [True, True, False]


# poison


def cutting(is_poison: Any) -> Script:
    """A CSMS that closes the link at some messages."""
    accept = Accepting()
    return lambda frame: CUT if is_poison(frame) else accept(frame)


def reconnect(world: QueueWorld, times: int) -> None:
    for _ in range(times):
        world.connect()
    world.connect()


def test_delivery_poison_stop_loses_its_transaction_data_first() -> None:
    """CORE-TXQ-14: reduced after five links, and delivered so; a restart does not bring the data back."""
    world = QueueWorld(script=cutting(lambda frame: "transactionData" in frame.payload))
    tx = world.start()
    world.stop_sample(tx, "1", "Transaction.Begin").stop(tx)
    reconnect(world, 5)
    assert ["transactionData" in payload for payload in world.sent("StopTransaction")] == [True] * 5 + [False]
    assert world.table("stop_sample") == {}
    assert archived(world)[0]["delivered"] is True


def test_delivery_poison_stop_goes_aside_and_the_others_are_delivered() -> None:
    """CORE-TXQ-14: on the sixth connection; shown, and retried after a day."""
    world = QueueWorld(script=cutting(lambda f: f.action == "StopTransaction" and f.payload["transactionId"] == 101))
    first, second = session(world, 1), session(world, 2)
    reconnect(world, 5)
    assert world.stopped == [(second, None)]
    assert world.queue.state()[0] == world.queue.state()[3] == 1
    assert [(row["state"], row["session_id"]) for row in world.queue.outbox_rows(9)] == [("aside", first.session_id)]
    world.script = Accepting()
    world.advance(86_399)
    assert len(world.stopped) == 1
    world.advance(1)
    assert world.stopped[1:] == [(first, None)]
    assert world.queue.state() == (0, 0, None, 0)


def test_delivery_poison_start_keeps_its_own_followers_behind_it() -> None:
    """CORE-TXQ-14, CORE-TXQ-07: nothing of its transaction goes before it is answered."""
    world = QueueWorld(script=cutting(lambda f: f.action == "StartTransaction" and f.payload["connectorId"] == 1))
    poison = world.start(1)
    session(world, 2)
    world.sample(poison, "1")
    reconnect(world, 5)
    world.stop(poison)
    assert world.actions[5:] == STANDARD
    assert world.queue.state()[0] == 3
    world.script = Accepting(500)
    assert world.queue.retry(f"tx-{poison.session_id}")
    world.settle()
    assert world.actions[8:] == STANDARD
    assert world.sent("StopTransaction")[-1]["transactionId"] == 500
    assert world.answered[-1][2] is True, "it was sent before and never answered"


def test_delivery_start_that_went_aside_counts_as_possibly_sent_after_a_restart() -> None:
    """CORE-AUTH-21: however many are before it."""
    world = QueueWorld(script=cutting(lambda frame: frame.action == "StartTransaction"))
    for connector_id in (1, 2, 3):
        world.start(connector_id)
    reconnect(world, 14)
    assert world.queue.state()[3] == 3
    again = world.crash(script=Accepting()).connect()
    assert [flag for _, _, flag in again.answered] == [True, True, True]


def test_delivery_entry_that_came_back_from_aside_costs_one_link() -> None:
    """CORE-TXQ-14: a daily retry must not hold up a working queue five times."""
    world = QueueWorld(script=cutting(lambda frame: frame.action == "StartTransaction"))
    world.start()
    reconnect(world, 4)
    world.advance(86_400)
    assert not world.is_connected
    world.connect()
    assert len(world.frames) == 6
    assert world.queue.state()[3] == 1


def test_delivery_poison_meter_values_are_split_and_then_dropped() -> None:
    """CORE-TXQ-14: the half that does no harm is delivered."""

    def is_poison(frame: Frame) -> bool:
        return any(each["sampledValue"][0]["value"] == "3" for each in frame.payload.get("meterValue", []))

    world = QueueWorld(script=cutting(is_poison))
    for value in range(4):
        world.advance(1).sample(None, str(value))
    world.start(2)
    reconnect(world, 10)
    assert [[v["sampledValue"][0]["value"] for v in p["meterValue"]] for p in world.sent("MeterValues")] == (
        [["0", "1", "2", "3"]] * 5 + [["0", "1"]] + [["2", "3"]] * 5
    )
    assert world.queue.lost.dropped == 2
    assert world.actions[-1] == "StartTransaction"
    assert world.table("sample") == {}


def test_delivery_retry_of_what_does_not_wait_is_refused() -> None:
    """An unknown id, one that is in turn, one of another queue."""
    world = QueueWorld()
    tx = world.start()
    assert [world.queue.retry(id) for id in (f"tx-{tx.session_id}", "tx-99", "000000000001", "tx-", "tx--1")] == [
        False
    ] * 5


def test_delivery_retry_ends_the_wait_of_the_head() -> None:
    """``outbox.retry``."""
    world = QueueWorld(script=lambda frame: "InternalError").connect()
    tx = world.start()
    assert [row["state"] for row in world.queue.outbox_rows(1)] == ["retry"]
    assert world.queue.retry(f"tx-{tx.session_id}")
    world.settle()
    assert len(world.frames) == 2


# restart


def test_delivery_crash_between_event_and_delivery_loses_nothing() -> None:
    """CORE-TXQ-09, CORE-TXQ-10, J-348."""
    world = QueueWorld()
    session(world)
    running = world.start(2, "OTHER", 7, plug_id="plug-1", parent_id_tag="GROUP", reservation_id=3)
    running.notes["energy"] = 5
    world.queue.update(running)
    again = world.settle().crash()
    assert [(tx.session_id, tx.plug_id, tx.parent_id_tag, tx.notes) for tx in again.running] == [
        (running.session_id, "plug-1", "GROUP", {"energy": 5})
    ]
    again.connect()
    assert again.actions == [*STANDARD, "StartTransaction"]
    assert again.sent("StartTransaction")[1]["reservationId"] == 3


def test_delivery_nothing_leaves_before_its_row_is_durable() -> None:
    """CORE-TXQ-10: output commit holds for what the queue emits."""
    world = QueueWorld(is_instant=False).connect()
    world.start()
    assert world.frames == []
    world.commit()
    assert world.actions == ["StartTransaction"]


def test_delivery_session_ids_are_never_used_twice() -> None:
    """A crash at any moment, delivered or not."""
    seen: list[int] = []
    world = QueueWorld().connect()
    for _ in range(5):
        tx = session(world)
        seen.append(tx.session_id)
        world = world.crash().connect()
    assert len(set(seen)) == 5
    assert seen == sorted(seen)


def test_delivery_ended_and_delivered_session_leaves_only_its_archive_row() -> None:
    """The record for ``transaction.list`` and the export."""
    world = QueueWorld().connect()
    tx = world.start(1, "TAG", 1_000)
    world.stop_sample(tx, "1000", "Transaction.Begin").sample(tx, "1500").advance(60).stop(tx, 2_000, "Remote")
    assert [name for name in ("transaction", "sample", "stop_sample") if world.table(name)] == []
    assert archived(world) == [
        {
            "session_id": tx.session_id, "connector_id": 1, "transaction_id": 101, "id_tag": "TAG",
            "start": utc_text(tx.start_ms), "meter_start_wh": 1_000, "stop": utc_text(world.utc_ms),
            "meter_stop_wh": 2_000, "reason": "Remote", "delivered": True,
        }
    ]  # fmt: skip
    assert list(world.table("session")) == [f"{tx.session_id:012d}"]
    assert world.queue.live() == []


@pytest.mark.parametrize("table", ["transaction", "sample", "stop_sample", "layout", "counter"])
@pytest.mark.parametrize("damage", [b"", b"{", b"null", b"[1]", b'{"connector_id":"x"}', b"[9,9,9,9,9]"])
def test_delivery_damaged_row_costs_no_more_than_itself(
    table: str, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A charge point starts whatever is in its rows, and says what it left aside."""
    world = QueueWorld()
    broken, sound = world.start(1), world.start(2)
    for tx in (broken, sound):
        world.stop_sample(tx, "1", "Transaction.Begin").sample(tx, "2", "3", "4", layout=VOLTAGES).stop(tx)
    rows = dict(world.rows)
    key = min(key for name, key in rows if name == table)
    rows[table, key] = damage
    again = QueueWorld(rows, boot_id="bb").connect()
    assert re.search(rf"damaged rows? of {table}", caplog.text)
    assert {payload["connectorId"] for payload in again.sent("StartTransaction")} >= {2}
    assert len(again.sent("StopTransaction")) >= 1
    assert again.start(3).session_id > max(broken.session_id, sound.session_id)


def test_delivery_half_a_stop_in_a_row_is_damage(caplog: pytest.LogCaptureFixture) -> None:
    """A row whose stop has no place in the queue would never be sent."""
    world = QueueWorld()
    tx = world.start()
    row = orjson.loads(world.rows["transaction", tx.key]) | {"stop": [1, 2, "Local", None, True]}
    again = QueueWorld({("transaction", tx.key): orjson.dumps(row)}, boot_id="bb")
    assert again.running == []
    assert "damaged row of transaction" in caplog.text


# the bound


def test_delivery_full_queue_thins_ended_sessions_before_running_ones() -> None:
    """CORE-TXQ-11, J-351: oldest first, never a Start or Stop."""
    world = QueueWorld(max_bytes=3_000)
    ended, running = world.start(1), world.start(2)
    for value in range(60):
        world.advance(1).sample(ended, str(value))
    world.stop(ended)
    for value in range(60):
        world.advance(1).sample(running, str(100 + value))
    thinned = world.queue.lost.thinned
    assert thinned > 0
    world.connect()
    by_connector = {p["connectorId"]: len(p["meterValue"]) for p in world.sent("MeterValues")}
    assert by_connector[2] == 60
    assert by_connector[1] == 60 - thinned
    assert world.actions.count("StartTransaction") == 2
    assert len(world.sent("StopTransaction")) == 1


def test_delivery_full_queue_thins_running_sessions_when_nothing_else_is_left() -> None:
    """CORE-TXQ-11: every second sample, so that the whole time stays covered."""
    world = QueueWorld(max_bytes=2_000)
    tx = world.start()
    for value in range(200):
        world.advance(1).sample(tx, str(value))
    assert sum(map(len, world.table("sample").values())) <= 2_000
    world.connect()
    kept = [int(value) for value in world.values()]
    assert kept[0] == 0
    assert kept[-1] == 199
    assert len(kept) + world.queue.lost.thinned == 200


def test_delivery_queue_full_of_starts_and_stops_is_full() -> None:
    """CORE-TXQ-11: then new sessions are refused, and samples are given up."""
    world = QueueWorld(max_messages=4)
    for connector_id in (1, 2):
        world.stop(world.start(connector_id))
    was_full = world.queue.is_full
    world.sample(None, "1")
    assert world.table("sample") == {}
    assert world.queue.lost.thinned == 1
    world.connect()
    assert (was_full, world.queue.is_full) == (True, False)
    assert world.actions == ["StartTransaction", "StopTransaction"] * 2


def test_delivery_thinning_never_touches_what_may_have_been_sent() -> None:
    """CORE-TXQ-11, CORE-TXQ-12: the payload is fixed by the first transmission."""
    world = QueueWorld(script=lambda frame: None, max_bytes=500).connect()
    world.sample(None, "1").sample(None, "2")
    world.disconnect()
    for value in range(100):
        world.sample(None, "9", connector_id=1 + value % 2)
    world.script = Accepting()
    world.connect()
    assert [p["meterValue"][0]["sampledValue"][0]["value"] for p in world.sent("MeterValues")][:2] == ["1", "1"]


# reads


def test_delivery_state_tells_messages_bytes_and_the_oldest() -> None:
    """J-351: for ``charge_point.get``."""
    world = QueueWorld()
    assert world.queue.state() == (0, 0, None, 0)
    begin_ms = world.utc_ms
    tx = world.start()
    world.advance(5).sample(tx, "1")
    size = sum(len(value) for table in ("sample", "transaction") for value in world.table(table).values())
    assert world.queue.state() == (2, size, begin_ms, 0)
    world.connect()
    assert world.queue.state() == (0, 0, None, 0)


def test_delivery_outbox_rows_tell_what_waits() -> None:
    """``outbox.list``: the one in flight first, at most as many as asked for."""
    world = QueueWorld(script=lambda frame: None)
    tx = world.start(2)
    world.sample(tx, "1").sample(tx, "2").sample(None, "3", connector_id=3).stop(tx).connect()
    time, session_id = utc_text(world.utc_ms), tx.session_id
    common = {"at": time, "attempts": 0}
    assert world.queue.outbox_rows(4) == [
        {"id": "tx-1", "action": "StartTransaction", "connector_id": 2, "session_id": session_id, "state": "in_flight",
         **common},
        {"id": "tx-2", "action": "MeterValues", "connector_id": 2, "session_id": session_id, "samples": 2,
         "state": "waiting", **common},
        {"id": "tx-3", "action": "MeterValues", "connector_id": 3, "samples": 1, "state": "waiting", **common},
        {"id": "tx-4", "action": "StopTransaction", "connector_id": 2, "session_id": session_id, "state": "waiting",
         **common},
    ]  # fmt: skip
    assert len(world.queue.outbox_rows(2)) == 2


def test_delivery_stored_sample_is_a_fifth_of_its_frame() -> None:
    """A queued MeterValues of ten values takes little of the disk (performance.md P5)."""
    world = QueueWorld()
    layout = VOLTAGES * 3 + VOLTAGES[:1]
    world.sample(None, *["230.1"] * 10, layout=layout)
    (key,) = world.table("sample")
    stored = len(key) + len(world.table("sample")[key])
    world.effects.clear()
    world.connect()
    (frame,) = [effect.frame for effect in world.effects if isinstance(effect, Send)]
    assert stored <= 0.2 * len(frame)
