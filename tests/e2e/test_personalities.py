"""A day of fifty connectors, in seconds, at a CSMS of each character: one record of each session in the end (F23).

The five days are played side by side, each at a hub of its own; people and vehicles are those of ``ocpphub simulate``.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from ocpphub.sim.csms import Csms
from ocpphub.sim.personalities import Deduplicates, DropsAnswers, Personality, RefusesTags, Slow
from ocpphub.sim.simulate import Diary, Plan, Simulation
from tests.torture.evening import out_of_order
from tests.torture.hub_process import HubProcess, Site
from tests.torture.kill import listed

pytestmark = pytest.mark.timeout(180)
CONNECTORS: Final = 50
DAY_S: Final = 8.0
SPEED: Final = 86_400 / DAY_S
SEED: Final = 3
SHARE: Final = 0.05
"""Of the answers that are lost: each costs MessageTimeout, a second here."""
EDGES: Final = frozenset({"StartTransaction", "StopTransaction"})
DRAIN_S: Final = 60.0
CHARACTERS: Final[dict[str, Callable[[], Personality]]] = {
    "accept_all": Personality,
    "slow": lambda: Slow(SEED, least_s=0.002, most_s=0.02),
    "drops_answers": lambda: DropsAnswers(SEED, share=SHARE, actions=EDGES),
    "refuses_tags": lambda: RefusesTags(SEED, at_start_only=True),
    "deduplicates": lambda: Deduplicates(SEED, share=SHARE, actions=EDGES),
}


@dataclass(slots=True)
class Day:
    """What a day came to: the exit code and counts of the simulation, the sessions of the hub, and the CSMS."""

    csms: Csms
    code: int = -1
    summary: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    queue: dict[str, Any] = field(default_factory=dict)
    unanswered: int = 0
    """StartTransactions whose answer the hub has not seen in time: lost on purpose, or late on a busy machine."""
    log: str = ""


async def play(directory: Path, personality: Personality) -> Day:
    """One day."""
    async with Csms(personality=personality) as csms:
        day = Day(csms)
        configuration = {
            "MessageTimeout": 1,
            "TransactionMessageAttempts": 10,
            "TransactionMessageRetryInterval": 0,
            "MeterValueSampleInterval": 1,
            "StopTxnSampledData": "Energy.Active.Import.Register",
        }
        site = Site(csms.url, CONNECTORS, hub={"publish_interval_s": 0}, configuration=configuration)
        async with HubProcess(directory, site) as hub:
            status = await hub.until(lambda status: status["registration"] == "Accepted", 20)
            assert status["registration"] == "Accepted", hub.log_tail()
            plan = Plan(hub.socket, range(1, CONNECTORS + 1), 5, SEED, duration_s=DAY_S, speed=SPEED, scenario="day")
            stream = io.StringIO()
            day.code = await Simulation(plan, Diary(stream, as_json=True)).run()
            events = map(orjson.loads, stream.getvalue().splitlines())
            day.summary = next(event for event in events if event["event"] == "summary")
            day.queue = (await hub.until(lambda status: status["queue"]["messages"] == 0, DRAIN_S))["queue"]
            day.records = await listed(hub)
            assert await hub.stop() == 0
            day.log = hub.log_tail()
            day.unanswered = hub.log.read_text().count("StartTransaction was not answered within MessageTimeout")
    return day


async def play_all(directory: Path) -> dict[str, Day]:
    """All five, at once."""
    places = {name: directory / name for name in CHARACTERS}
    for place in places.values():
        place.mkdir()
    days = await asyncio.gather(*(play(places[name], make()) for name, make in CHARACTERS.items()))
    return dict(zip(CHARACTERS, days, strict=True))


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Day]:
    return asyncio.run(play_all(tmp_path_factory.mktemp("days")))


@pytest.mark.parametrize("name", CHARACTERS)
def test_day_ends_with_one_record_of_each_session(days: dict[str, Day], name: str) -> None:
    """F23, D3, E3, CORE-TXQ-03: the CSMS has what the hub lists, and at most one copy for each answer that was lost."""
    day = days[name]
    lost_answers = 0 if name == "deduplicates" else day.unanswered
    assert day.unanswered >= day.csms.lost_answers["StartTransaction"]
    problems = day.csms.ledger.compare(day.records, lost_answers=lost_answers)
    problems += [f"orphan: {orphan}" for orphan in day.csms.ledger.orphans]
    problems += [f"not delivered: {record}" for record in day.records if not record["delivered"]]
    problems += out_of_order(day.csms)
    print(f"{name}: {len(day.records)} sessions, {day.csms.lost_answers}, {day.summary}")
    assert problems == [], day.log
    assert (day.queue["messages"], day.queue["aside"]) == (0, 0)
    assert day.summary["problems"] == []
    assert day.code == 0


@pytest.mark.parametrize("name", CHARACTERS)
def test_day_was_worth_something(days: dict[str, Day], name: str) -> None:
    """Sessions at most connectors, and each character did what it is known for."""
    day = days[name]
    assert len({record["connector_id"] for record in day.records}) >= CONNECTORS // 2
    assert len(day.records) >= CONNECTORS
    verdicts = {
        record["session_id"]: day.csms.personality.verdict("StartTransaction", record["id_tag"])
        for record in day.records
    }
    ended = {record["session_id"] for record in day.records if record["reason"] == "DeAuthorized"}
    # On a busy machine the verdict comes when a session of a fifth of a second is over: then nothing is left to end.
    assert ended <= {session for session, verdict in verdicts.items() if verdict != "Accepted"}
    assert (set(verdicts.values()) == {"Accepted"}) is (name != "refuses_tags")
    if isinstance(day.csms.personality, DropsAnswers):
        assert day.csms.lost_answers["StartTransaction"] > 0
        assert bool(day.csms.ledger.copies()) is (name == "drops_answers")
        repeated = max(record.starts for record in day.csms.ledger.records)
        assert (repeated > 1) is (name == "deduplicates")
