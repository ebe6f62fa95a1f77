"""A whole run of the simulator against a hub that only looks like one: lines, summary, exit codes."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocpphub.errors import UnavailableError
from ocpphub.sim import simulate
from ocpphub.sim.scenario import draw
from ocpphub.sim.simulate import Diary, Plan, Simulation
from tests.sim.fake_hub import FakeHub

PLAN = Plan(Path("s"), range(1, 5), controllers=2, seed=3, duration_s=1.0, speed=10_000, scenario="trouble")


async def played(hub: FakeHub, plan: Plan = PLAN, *, as_json: bool = True) -> tuple[int, list[str], Simulation]:
    """A run: its exit code and what it printed."""
    stream = io.StringIO()
    simulation = Simulation(replace(plan, socket=hub.path), Diary(stream, as_json=as_json))
    code = await simulation.run()
    return code, stream.getvalue().splitlines(), simulation


def events(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


@pytest.mark.asyncio
async def test_simulate_plays_the_scenario_and_clears_the_connectors(tmp_path: Path) -> None:
    """Everybody who is plugged is unplugged, every session that starts stops, and the summary counts them."""
    async with FakeHub(tmp_path / "s") as hub:
        code, lines, simulation = await played(hub)
        rows = events(lines)
        counts = Counter(row["event"] for row in rows)
        assert code == 0
        assert len(simulation.stations) == 2
        assert counts["plug"] == counts["unplug"] > 2
        assert counts["start"] == counts["stop"] > 2
        assert rows[-1]["event"] == "summary"
        assert {name: rows[-1][name] for name in ("plug", "start", "stop", "queue")} == {
            "plug": counts["plug"],
            "start": counts["start"],
            "stop": counts["stop"],
            "queue": 3,
        }
        assert not any(state["plugged"] for state in hub.states.values())
        assert hub.attached == set()


@pytest.mark.asyncio
async def test_simulate_does_what_was_drawn(tmp_path: Path) -> None:
    """Tags and connectors in the order of the scenario, for each connector."""
    async with FakeHub(tmp_path / "s") as hub:
        _, lines, _ = await played(hub)
    drawn = draw("trouble", 3, range(1, 5), 10_000.0)
    for connector_id in range(1, 5):
        tags = [row["id_tag"] for row in events(lines) if row["event"] == "tag" and row["connector_id"] == connector_id]
        first_of_each = list(dict.fromkeys(tags))
        wanted = list(dict.fromkeys(visit.id_tag for visit in drawn.visits if visit.connector_id == connector_id))
        assert first_of_each == wanted[: len(first_of_each)]
        assert first_of_each


@pytest.mark.asyncio
async def test_simulate_prints_for_people_too(tmp_path: Path) -> None:
    """A line per event, energy and queue at the end."""
    async with FakeHub(tmp_path / "s") as hub:
        code, lines, _ = await played(hub, as_json=False)
    assert code == 0
    assert any("connector 1     plug      vehicle " in line for line in lines)
    assert lines[-2].startswith("plug ")
    assert lines[-1].endswith("kWh charged; messages waiting for the CSMS: 3")


@pytest.mark.asyncio
async def test_simulate_refused_people_leave(tmp_path: Path) -> None:
    """A tag that is refused starts nothing, and is no error."""
    async with FakeHub(tmp_path / "s") as hub:
        hub.refused_tags = {visit.id_tag for visit in draw("trouble", 3, range(1, 5), 10_000.0).visits}
        code, lines, _ = await played(hub)
    summary = events(lines)[-1]
    assert (code, summary["start"]) == (0, 0)
    assert summary["refused"] == summary["tag"] > 0


@pytest.mark.asyncio
async def test_simulate_whose_hub_answers_with_errors_ends_with_1(tmp_path: Path) -> None:
    """The errors are listed."""
    async with FakeHub(tmp_path / "s") as hub:
        hub.is_broken = True
        code, lines, _ = await played(hub)
        assert code == 1
        assert set(events(lines)[-1]["problems"]) == {"no such tag at /params/id_tag"}
        _, lines, _ = await played(hub, as_json=False)
        assert lines[-1].startswith("problem (")


@pytest.mark.asyncio
async def test_simulate_whose_hub_goes_away_for_good_ends_with_69(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People find it out of order meanwhile."""
    monkeypatch.setattr(simulate, "SETTLE_S", 0.2)
    async with FakeHub(tmp_path / "s") as hub:
        run = asyncio.create_task(played(hub))
        await asyncio.sleep(0.3)
    code, lines, _ = await run
    assert code == 69
    assert events(lines)[-1]["queue"] is None
    assert any(row["event"] == "unanswered" for row in events(lines))


@pytest.mark.asyncio
async def test_simulate_can_be_stopped_before_its_time(tmp_path: Path) -> None:
    """As Ctrl-C does it: the connectors are cleared all the same."""
    async with FakeHub(tmp_path / "s") as hub:
        simulation = Simulation(
            replace(PLAN, socket=hub.path, duration_s=600.0, speed=200.0), Diary(io.StringIO(), as_json=True)
        )
        asyncio.get_running_loop().call_later(0.3, simulation.stop)
        async with asyncio.timeout(10):
            assert await simulation.run() == 0
        assert not any(state["plugged"] for state in hub.states.values())


@pytest.mark.asyncio
async def test_simulate_without_a_hub_raises(tmp_path: Path) -> None:
    """Nothing is printed."""
    stream = io.StringIO()
    with pytest.raises(UnavailableError):
        await Simulation(replace(PLAN, socket=tmp_path / "nobody"), Diary(stream, as_json=True)).run()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("connectors", "controllers", "sizes"), [(range(1, 11), 3, [4, 3, 3]), ([1, 5], 9, [1, 1]), (range(1, 2), 1, [1])]
)
def test_simulate_shares_connectors_among_controllers(
    connectors: range | list[int], controllers: int, sizes: list[int]
) -> None:
    """Neighbours together, none left out, no controller without."""
    simulation = Simulation(
        replace(PLAN, connectors=connectors, controllers=controllers), Diary(io.StringIO(), as_json=True)
    )
    assert [len(part) for _, part in simulation.stations] == sizes
    assert [each for _, part in simulation.stations for each in part] == list(connectors)
