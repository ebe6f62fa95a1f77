"""What the benches of composite schedules measure against: copies that stay as they are, and peers that do the work.

Owns the proof that the plain sweep and the limit program answer as the engine does, and the arithmetic of the goal
lines, so that neither a lax peer nor a wrong bound can make a goal look met.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest

from benches import limit, quick, schedule_goals, stations, stopwatch, sweep
from benches.goals import Goal

BENCHES = Path(limit.__file__).parent
COPIES = {
    "limit.rs": "b866b09a765699c0bdd670333a04699143460658b37f287bf4079fef2292c136",
    "workload.py": "453a1fcaef164646b5ce6cf561f8812a4e53fa1f071577513cf61470ccb56672",
}
WINDOWS = list(stations.WINDOWS.values())


@pytest.mark.parametrize("name", COPIES)
def test_copy_of_a_shared_bench_is_unchanged(name: str) -> None:
    """The yardstick is the one that the goals were found with."""
    assert hashlib.sha256((BENCHES / name).read_bytes()).hexdigest() == COPIES[name]


@pytest.mark.parametrize("duration_s", WINDOWS)
@pytest.mark.parametrize(("variant", "connectors"), [("std", 1), ("std", 40), ("heavy", 1), ("heavy", 6)])
def test_plain_sweep_of_a_workload_says_what_the_engine_says(
    tmp_path: Path, variant: str, connectors: int, duration_s: int
) -> None:
    """CORE-SC-11, CORE-SC-39: the sweep that the engine is judged against does the whole job."""
    station = stations.load(tmp_path, variant, connectors)
    plain = sweep.PlainStation(stations.workload(variant, connectors))
    ours = orjson.loads(station.profiles.composite_all(station.now_s, duration_s, "A"))
    theirs = plain.composites(station.now_s, duration_s)
    assert len(theirs) == connectors + 1
    for connector_id, segments in enumerate(theirs):
        expected = [(start, tenths / 10) for start, tenths in segments]
        assert stations.periods(ours[str(connector_id)]) == expected


@pytest.mark.parametrize("years", [0, 20])
@pytest.mark.parametrize("variant", ["std", "heavy"])
def test_limit_program_of_a_workload_says_what_the_engine_says(tmp_path: Path, variant: str, years: int) -> None:
    """CORE-SC-11, CORE-SC-39: whatever the age of the schedules."""
    station = stations.load(tmp_path, variant, 6, years=years)
    for duration_s in WINDOWS:
        stations.check(station, duration_s)


def test_limit_program_lap_is_a_time_per_operation(tmp_path: Path) -> None:
    """Rounds come one by one, each when it is asked for."""
    station = stations.load(tmp_path, "std", 1)
    with limit.Limit(station.path, 600, "all_full") as program:
        assert [lap > 0 for lap in (program.lap(), program.lap())] == [True, True]


def test_check_of_a_station_with_another_profile_fails(tmp_path: Path) -> None:
    """A bench whose answer is wrong is not timed."""
    station = stations.load(tmp_path, "std", 3, keep_payloads=True)
    connector, payload = station.default_profiles()[1]
    profile = orjson.loads(payload)
    for period in profile["chargingSchedule"]["chargingSchedulePeriod"]:
        period["limit"] = 5.0
    station.profiles.install(connector, orjson.dumps(profile), station.now_s)
    with pytest.raises(AssertionError, match=f"connector [0{connector}] of"):
        stations.check(station, 600)


def test_goal_of_all_connectors_at_twice_the_limit_is_met_and_no_more() -> None:
    """The worst size decides; through the limit's published figure the share of libocpp's time follows."""
    sizes = ("10", "128", "1,000", "10,000", "10,000 after the burst")
    names = [f"std {size}, {window}" for size in sizes for window in stations.WINDOWS]
    names += [f"heavy 1,000, {window}" for window in stations.WINDOWS]
    every = {name: {"compute": 2_000.0, "limit all_full": 1_000.0} for name in names}
    goals = {goal.key: goal for goal in schedule_goals.every_goals(every)}
    assert all(goal.met for goal in goals.values())
    assert goals["schedules_libocpp_600_s"].figure == pytest.approx(2 * 276 / 197_600)
    every["std 128, 7 days"]["compute"] = 2_001.0
    goals = {goal.key: goal for goal in schedule_goals.every_goals(every)}
    assert [key for key, goal in goals.items() if not goal.met] == ["schedules_std"]


@pytest.mark.parametrize(
    ("figures", "growth"),
    [([90.0, 30.0, 20.0], 1.0), ([20.0, 30.0, 24.0], 1.5), ([40.0, 20.0, 30.0], 1.5), ([1.0, 10.0, 100.0], 100.0)],
)
def test_growth_of_figures_is_the_most_that_one_exceeds_any_before_it(figures: list[float], growth: float) -> None:
    """Fixed costs that many share are no growth, and a dip in the middle hides none."""
    assert schedule_goals.growing(figures) == growth


@pytest.mark.parametrize(("steady", "limit"), [(True, 1.25), (False, 2.5)])
def test_gate_of_a_goal_follows_the_committed_figure_only_where_it_is_steady(steady: bool, limit: float) -> None:
    """A figure that swings with the neighbours is held to its goal alone."""
    goal = Goal("key", "", 1.0, 2.0, steady=steady)
    assert quick.limit(goal, {"key": 1.0}) == limit
    assert quick.limit(goal, {}) == 2.5


def test_stopwatch_peer_beside_has_a_lap_in_every_round() -> None:
    """Peers in other processes take turns with us and pay for no call of ours."""
    laps = iter([9.0, 5.0, 4.0])
    figures = stopwatch.measure({}, 3, beside={"peer": lambda: next(laps)})
    assert figures["peer"].ns == 5.0
    assert next(laps, None) is None
