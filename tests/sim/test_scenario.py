"""Scenarios of the simulated hub: repeatable, possible, and of the kind that was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.sim.scenario import KINDS, Scenario, draw

kinds = st.sampled_from(sorted(KINDS))
DAY_S = 86_400.0


def by_connector(scenario: Scenario, connector_id: int) -> list[tuple[float, float]]:
    return [(visit.arrives_s, visit.leaves_s) for visit in scenario.visits if visit.connector_id == connector_id]


@given(kinds, st.integers(0, 2**32), st.integers(1, 6))
def test_draw_same_seed_gives_the_same_scenario_byte_for_byte(kind: str, seed: int, connectors: int) -> None:
    """Nothing but the arguments goes into it."""
    texts = {draw(kind, seed, range(1, connectors + 1), DAY_S).to_json() for _ in range(2)}
    assert len(texts) == 1
    assert json.loads(texts.pop())["seed"] == seed


def test_draw_gives_the_same_bytes_in_another_process() -> None:
    """Neither the hash seed of the process nor the order of its imports matters."""
    program = "from ocpphub.sim.scenario import draw; print(draw('day', 7, range(1, 5), 86400).to_json())"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert texts == {draw("day", 7, range(1, 5), DAY_S).to_json() + "\n"}


def test_draw_other_seeds_give_other_scenarios() -> None:
    """A hundred seeds, a hundred days."""
    assert len({draw("day", seed, range(1, 4), DAY_S).to_json() for seed in range(100)}) == 100


@given(kinds, st.integers(0, 2**32))
def test_draw_visits_of_a_connector_do_not_overlap(kind: str, seed: int) -> None:
    """A connector is free before the next one comes, and everything of a visit lies within it."""
    scenario = draw(kind, seed, range(1, 5), DAY_S)
    for connector_id in range(1, 5):
        assert all(before[1] < after[0] for before, after in pairwise(by_connector(scenario, connector_id)))
    for visit in scenario.visits:
        assert 0 <= visit.arrives_s < DAY_S
        assert visit.arrives_s + visit.between_s < visit.leaves_s
        assert all(visit.arrives_s < trouble.at_s < visit.leaves_s for trouble in visit.interruptions)
        assert 0 < len(visit.id_tag) <= 20
    assert [visit.arrives_s for visit in scenario.visits] == sorted(visit.arrives_s for visit in scenario.visits)


def test_draw_one_connector_more_leaves_the_others_as_they_were() -> None:
    """Each connector has its own source of chance; the people are counted by hand here."""
    few, many = (draw("steady", 3, range(1, size), DAY_S, tags=10) for size in (4, 9))
    assert few.visits == tuple(visit for visit in many.visits if visit.connector_id < 4)


def test_draw_day_has_its_peaks_in_the_morning_and_in_the_evening() -> None:
    """It begins at six: the evening is fuller than the morning, the morning than the night."""
    visits = draw("day", 1, range(1, 201), DAY_S).visits

    def between(first_hour: int, last_hour: int) -> int:
        return sum(first_hour <= 6 + visit.arrives_s / 3600 < last_hour for visit in visits)

    assert between(16, 20) > between(7, 11) > 2 * between(24, 28)


def test_draw_rush_comes_at_once() -> None:
    """Nearly everybody in the first twentieth."""
    visits = draw("rush", 1, range(1, 101), DAY_S).visits
    assert sum(visit.arrives_s < DAY_S / 20 for visit in visits) > len(visits) / 2


def test_draw_trouble_is_full_of_it() -> None:
    """Pauses, faults and pulled cables in great number."""
    visits = draw("trouble", 1, range(1, 51), DAY_S).visits
    kinds_seen = [trouble.kind for visit in visits for trouble in visit.interruptions]
    assert kinds_seen.count("pause") > 0.4 * len(visits)
    assert kinds_seen.count("fault") > 0.25 * len(visits)
    assert sum(visit.end == "unplug" for visit in visits) > 0.3 * len(visits)


def test_draw_refuses_an_unknown_kind() -> None:
    """There are four."""
    with pytest.raises(KeyError):
        draw("carnival", 1, range(1, 2), 60)
