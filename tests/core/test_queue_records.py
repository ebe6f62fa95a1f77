"""Rows of samples: which message they belong to, and the bound of transactionData."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.core import queue_samples
from ocpphub.core.effects import Discard, Send, Store
from ocpphub.core.queue_records import MAX_INDEX
from ocpphub.core.readings import Descriptor
from ocpphub.core.transaction import Transaction
from tests.queue_world import Accepting, QueueWorld

MAX = "StopTransactionMaxMeterValues"


def transaction_data(world: QueueWorld) -> list[tuple[str, str]]:
    """Context and value of each MeterValue of the last StopTransaction."""
    payload = world.sent("StopTransaction")[-1]
    sampled = [meter_value["sampledValue"][0] for meter_value in payload.get("transactionData", [])]
    return [(each["context"], each["value"]) for each in sampled]


def session_of(world: QueueWorld, samples: int) -> Transaction:
    """A transaction with samples for transactionData, Begin and End among them, one a second."""
    tx = world.start()
    world.stop_sample(tx, "0", "Transaction.Begin")
    for value in range(1, samples + 1):
        world.advance(1).stop_sample(tx, str(value))
    world.advance(1).stop_sample(tx, "999", "Transaction.End").stop(tx)
    return tx


def test_records_without_samples_make_no_transaction_data() -> None:
    """CORE-TX-18, CORE-MV-16."""
    world = QueueWorld().connect()
    world.stop(world.start())
    assert "transactionData" not in world.sent("StopTransaction")[0]


def test_records_make_transaction_data_in_order() -> None:
    """CORE-TX-18, CORE-MV-20: each MeterValue with its context."""
    world = QueueWorld().connect()
    session_of(world, 2)
    assert transaction_data(world) == [
        ("Transaction.Begin", "0"), ("Sample.Periodic", "1"), ("Sample.Periodic", "2"), ("Transaction.End", "999"),
    ]  # fmt: skip


@pytest.mark.parametrize(("limit", "samples"), [(2, 0), (2, 9), (3, 1), (10, 50), (250, 2_000)])
def test_records_thin_transaction_data_to_its_key(limit: int, samples: int) -> None:
    """CORE-TX-19: Begin and End stay, and what is left covers the whole time."""
    world = QueueWorld(keys={MAX: str(limit)}).connect()
    session_of(world, samples)
    data = transaction_data(world)
    assert (data[0][0], data[-1][0]) == ("Transaction.Begin", "Transaction.End")
    assert len(data) <= limit
    kept = [int(value) for _, value in data[1:-1]]
    assert len(kept) >= min(samples, (limit - 2) // 2)
    assert kept == sorted(kept)
    if limit >= 10:
        assert max(b - a for a, b in zip([0, *kept], [*kept, samples], strict=True)) <= samples // 2
    assert world.table("stop_sample") == {}


def test_records_hold_begin_and_end_even_above_the_key() -> None:
    """CORE-TX-19: never those, however many there are."""
    world = QueueWorld(keys={MAX: "2"}).connect()
    tx = world.start()
    for context in ("Transaction.Begin", "Transaction.Begin", "Sample.Clock", "Transaction.End", "Transaction.End"):
        world.stop_sample(tx, "1", context)
    world.stop(tx)
    assert [context for context, _ in transaction_data(world)] == ["Transaction.Begin"] * 2 + ["Transaction.End"] * 2


def test_records_keep_stop_transaction_below_64_kib() -> None:
    """J-327, N27: whatever the key allows."""
    world = QueueWorld(keys={MAX: "100000"})
    session_of(world, 3_000)
    world.effects.clear()
    world.connect()
    frames = [effect.frame for effect in world.effects if isinstance(effect, Send)]
    assert 30_000 < len(frames[-1]) <= 64 * 1024
    assert transaction_data(world)[0][0] == "Transaction.Begin"


def test_records_thinned_before_a_crash_are_thinned_after_it() -> None:
    """CORE-TXQ-10: what StopTransaction holds is what is in the store."""
    world = QueueWorld(keys={MAX: "10"})
    session_of(world, 50)
    again = world.crash(keys={MAX: "250"}).connect()
    world.connect()
    assert transaction_data(again) == transaction_data(world)


def test_records_of_a_crash_compose_the_same_messages() -> None:
    """CORE-TXQ-12: which samples share a message is in their keys."""
    world = QueueWorld()
    tx = world.start()
    for value in range(400):
        world.advance(1).sample(tx, str(value)).sample(None, str(value))
    again = world.crash(script=Accepting()).connect()
    world.connect()
    assert again.sent("MeterValues") == world.sent("MeterValues")
    assert len(world.sent("MeterValues")) > 2


def test_records_thinned_leave_the_others_at_their_keys() -> None:
    """CORE-TXQ-11: a gap in the indexes is restored as a gap."""
    world = QueueWorld(max_bytes=1_500)
    for value in range(100):
        world.advance(1).sample(None, str(value))
    again = world.crash().connect()
    world.connect()
    assert again.values() == world.values()
    assert again.table("sample") == {}


@pytest.mark.parametrize(
    "key", ["", "x", "1-2-3", "1-1-0-x", f"000000000001-1-0-{MAX_INDEX + 1}", "-1-1-0-0", "1-1-77-0"]
)
def test_records_with_a_damaged_key_are_left_aside(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """A key far away must not fill the memory either."""
    world = QueueWorld().sample(None, "1")
    rows = {**world.rows, ("sample", key): next(iter(world.table("sample").values()))}
    again = QueueWorld(rows, boot_id="bb").connect()
    assert again.values() == ["1"]
    assert "damaged rows of sample" in caplog.text


def test_records_name_only_layouts_that_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts are given up while samples of others wait, in the line and in transactionData."""
    monkeypatch.setattr(queue_samples, "MAX_LAYOUTS", 4)
    world = QueueWorld()
    tx = world.start()
    world.stop_sample(tx, "7", "Transaction.Begin")
    layouts = [(Descriptor("Voltage", None, location, "V", "Raw"),) for location in ("EV", "Body", "Cable", "Inlet")]
    for turn in range(4):
        for layout in layouts:
            world.sample(None, str(turn), layout=layout)
        if turn % 2:
            world.connect().disconnect()
    again = world.stop(tx).crash().connect()
    assert transaction_data(again) == [("Transaction.Begin", "7")]


def test_records_ask_for_one_row_for_each_sample() -> None:
    """A sample that joins a message writes itself and nothing else."""
    world = QueueWorld().sample(None, "1")
    world.effects.clear()
    world.advance(1).sample(None, "2")
    (effect,) = world.effects
    assert isinstance(effect, Store)
    assert (effect.table, effect.key) == ("sample", "000000000001-1-0-0001")
    assert orjson.loads(effect.value) == [1, world.utc_ms, 0, 1, "2"]


def test_records_count_their_bytes() -> None:
    """J-351: all that is added is taken away again."""
    world = QueueWorld(is_trusted=False, keys={MAX: "3"})
    tx = world.start()
    for value in range(10):
        world.stop_sample(tx, "1").sample(tx, str(value))
    world.queue.shift_untrusted(1)
    world.settle()
    stored: dict[str, Any] = {**world.table("sample"), **world.table("stop_sample")}
    assert world.queue._records.bytes == sum(map(len, stored.values())) > 0
    assert world.crash().queue._records.bytes == world.queue._records.bytes
    world.stop(tx).connect()
    assert world.queue.state()[1] == 0
    assert [effect.key for effect in world.effects if isinstance(effect, Discard)]
