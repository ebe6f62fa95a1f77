"""Delivery over whole lives of the transaction queue: random outages, answers, crashes that lose unsynced writes.

Judges transcripts only: what was durable or told when, and the frames. Holds D1 to D5 and L1 of reliability.md 4.5.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocpphub.core.transaction import Transaction
from tests.queue_world import CUT, Accepting, Frame, QueueWorld

ATTEMPTS = 3
INPUTS = (
    *("start", "start", "sample", "sample", "sample", "stop", "connect", "connect", "disconnect", "commit", "commit"),
    *("wait", "wait", "crash", "shift"),
)


@dataclass(slots=True)
class Ledger:
    """What the checker knows: the sessions by their unique tag, and every frame of all processes."""

    frames: list[Frame] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    """Tag -> transactionId that was told in an answer that arrived."""
    told: dict[str, set[int]] = field(default_factory=dict)
    """Tag -> every transactionId that the CSMS ever gave, arrived or not."""
    acknowledged: set[str] = field(default_factory=set)
    """Tags of starts, values of samples, ``stop <tag>``: what was durable at some moment."""
    stopped: set[str] = field(default_factory=set)
    discarded: set[str] = field(default_factory=set)


class Life:
    """One hub with three connectors, one session on each at a time, over several processes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # a seeded life
        self.ledger = Ledger()
        self.lost_answer: dict[str, bool] = {}
        self.went_aside = False
        self.csms = Accepting()
        self.kindness = 0.6
        self.pending: set[str] = set()
        self.count = 0
        self.world = self._adopt(QueueWorld(script=self.react, is_instant=False))

    def _adopt(self, world: QueueWorld) -> QueueWorld:
        self.world = world
        self.running: dict[int, Transaction] = {tx.connector_id: tx for tx in world.running}
        ledger = self.ledger
        world.queue.on_answered = self._answered
        world.queue.on_discarded = lambda tx, now: ledger.discarded.add(tx.id_tag)
        return world

    def _answered(self, tx: Transaction, info: dict[str, Any], was_unanswered: bool, now: object) -> None:
        assert tx.transaction_id is not None
        self.ledger.ids[tx.id_tag] = tx.transaction_id
        sent = [frame for frame in self.ledger.frames if frame.payload.get("idTag") == tx.id_tag]
        starts = [frame for frame in sent if frame.action == "StartTransaction"]
        unanswered = len(starts) > 1 and self.lost_answer.get(tx.id_tag, False)
        assert was_unanswered or not unanswered, "an earlier transmission went unanswered and nobody knows"

    def react(self, frame: Frame) -> Any:
        """The CSMS: answers, refuses, keeps silent, or closes the link, whether it took the message or not."""
        self.ledger.frames.append(frame)
        dice = self.random.random()
        reaction: Any
        if dice < self.kindness:
            reaction = self.csms(frame)
        elif dice < self.kindness + (1 - self.kindness) / 3:
            reaction = "InternalError"
        else:
            reaction = self.random.choice([None, CUT])
        if frame.action == "StartTransaction":
            tag = frame.payload["idTag"]
            if reaction is None or reaction is CUT:
                self.lost_answer[tag] = True
            elif isinstance(reaction, dict):
                self.ledger.told.setdefault(tag, set()).add(reaction["transactionId"])
        return reaction

    # inputs

    def step(self, name: str) -> None:
        """One input."""
        world, connector_id = self.world, self.random.randint(1, 3)
        tx = self.running.get(connector_id)
        self.count += 1
        self.went_aside = self.went_aside or self.world.queue.state()[3] > 0
        if name == "start" and tx is None:
            tag = f"T{self.count}"
            self.running[connector_id] = world.start(connector_id, tag, self.count)
            self.pending.add(tag)
        elif name == "sample":
            world.sample(tx, f"{self.count}", connector_id=connector_id)
            self.pending.add(f"{self.count}")
        elif name == "stop" and tx is not None:
            del self.running[connector_id]
            world.stop(tx, self.count)
            self.pending.add(f"stop {tx.id_tag}")
        elif name == "connect" and not world.is_connected:
            world.connect()
        elif name == "disconnect":
            world.disconnect()
        elif name == "commit":
            self._commit()
        elif name == "wait":
            for _ in range(self.random.choice([1, 5, 14])):  # the disk is never slower than MessageTimeout
                self._commit()
                world.advance(5)
        elif name == "shift":
            world.queue.shift_untrusted(self.random.choice([0, 3_600_000]))
            world.settle()
        elif name == "crash":
            self.pending.clear()
            self._adopt(world.crash(script=self.react))

    def _commit(self) -> None:
        self.ledger.acknowledged |= self.pending
        self.ledger.stopped |= {item.removeprefix("stop ") for item in self.pending if item.startswith("stop ")}
        self.pending.clear()
        self.world.commit()

    def end(self) -> None:
        """L1: the CSMS is kind at last, and everything comes to an end."""
        self.kindness = 1.0
        for _ in range(3_000):
            self._commit()
            if not self.world.is_connected:
                self.world.connect()
            if self.world.queue.state()[0] == 0:
                break
            self.world.advance(30)
        assert self.world.queue.state()[0] == 0, "the queue does not empty"
        self._commit()


def run(seed: int, names: list[str]) -> Life:
    """A life of these inputs."""
    life = Life(seed)
    for name in names:
        life.step(name)
    life.end()
    return life


def starts(life: Life) -> dict[str, list[Frame]]:
    """Transmissions of StartTransaction by tag."""
    found: dict[str, list[Frame]] = {}
    for frame in life.ledger.frames:
        if frame.action == "StartTransaction":
            found.setdefault(frame.payload["idTag"], []).append(frame)
    return found


def values(frame: Frame) -> list[str]:
    """The values of a MeterValues."""
    return [each["sampledValue"][0]["value"] for each in frame.payload.get("meterValue", [])]


def check(life: Life) -> None:
    """D1 to D5."""
    frames, ledger = life.ledger.frames, life.ledger
    seen = {value for frame in frames for value in values(frame)}
    by_tag = starts(life)
    stops = [frame for frame in frames if frame.action == "StopTransaction"]
    meters = {frame.payload["meterStop"] for frame in stops}
    for item in ledger.acknowledged:
        if item.startswith("stop "):
            continue
        assert item in seen or item in by_tag, f"D1: {item} was durable and never sent"
    ids = [frame.unique_id for frame in frames]
    assert len(ids) == len(set(ids)), "a message id was used twice"
    for tag, sent in by_tag.items():
        assert len({orjson.dumps(frame.payload) for frame in sent}) == 1, f"D3: {tag} has two Start payloads"
    for meter in meters:
        payloads = {orjson.dumps(f.payload) for f in stops if f.payload["meterStop"] == meter}
        assert len({orjson.dumps({**orjson.loads(p), "transactionId": 0}) for p in payloads}) == 1, "D3: two Stops"
    rows = {row["meter_stop_wh"]: row for row in map(orjson.loads, life.world.table("session").values())}
    assert {row["id_tag"] for row in rows.values()} >= ledger.stopped, "D1: an ended session has no record"
    for frame in stops:
        row = rows[frame.payload["meterStop"]]
        given = row["transaction_id"]
        assert frame.payload["transactionId"] == (-1 if given is None else given), "D5"
        assert given is not None or row["undelivered"].startswith("StartTransaction"), "D5: -1 without a reason"
        assert given is None or given in ledger.told[row["id_tag"]], "D5: an id that nobody gave"
        first = next(i for i, f in enumerate(frames) if f.payload.get("idTag") == row["id_tag"])
        assert first < frames.index(frame), "D4"
    if not life.went_aside:
        check_order(life)


def check_order(life: Life) -> None:
    """D2: order of first deliveries. Numbers grow with the inputs; a batch stands where its first sample stands."""
    firsts: list[int] = []
    seen: set[str] = set()
    for frame in life.ledger.frames:
        if frame.action == "MeterValues":
            key, place = f"v{values(frame)[0]}", int(values(frame)[0])
        elif frame.action == "StartTransaction":
            key, place = f"s{frame.payload['meterStart']}", frame.payload["meterStart"]
        else:
            key, place = f"e{frame.payload['meterStop']}", frame.payload["meterStop"]
        if key not in seen:
            seen.add(key)
            firsts.append(place)
    assert firsts == sorted(firsts), "D2"


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(st.sampled_from(INPUTS), min_size=20, max_size=120))
def test_delivery_holds_over_random_lives(seed: int, names: list[str]) -> None:
    """CORE-TXQ-01, CORE-TXQ-07, CORE-TXQ-09, CORE-TXQ-10, N12 to N17: D1 to D5 and L1."""
    check(run(seed, names))


@pytest.mark.parametrize("seed", range(60))
def test_delivery_holds_over_long_lives(seed: int) -> None:
    """CORE-TXQ-02, CORE-TXQ-06, CORE-TXQ-08: 600 inputs each."""
    chance = random.Random(seed)  # noqa: S311  # a seeded life
    check(run(seed, [chance.choice(INPUTS) for _ in range(600)]))
