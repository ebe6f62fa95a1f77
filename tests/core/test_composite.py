"""Long composite schedules in slices, and how slices become one schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from ocpphub._native import Profiles
from ocpphub.core.composite import DAY_S, RESTARTS, TURN_S, Joined, composite
from tests.builders import charging_profile, periods

START_S = 1_800_000_000


def engine(connectors: int = 3) -> Profiles:
    row = (230_000, 3, 32_000, None, None)
    return Profiles(
        [row] * connectors, (230_000, None, None), max_stack_level=10, max_periods=100, max_installed=100, units="AW"
    )


def install(profiles: Profiles, connector_id: int, **members: Any) -> None:
    profile = orjson.dumps(charging_profile(connector_id + 1, **members))
    assert not isinstance(profiles.install(connector_id, profile, START_S), str)


def steps(
    profiles: Profiles,
    connector_id: int,
    duration_s: int,
    connectors: int = 10_000,
    version: Callable[[], int] = lambda: 0,
) -> list[bytes]:
    """Everything that is yielded, as if the hub had this many connectors."""
    return list(composite(profiles, version, connector_id, connectors, START_S, duration_s, "A"))


def daily(hours: int = 1) -> dict[str, Any]:
    limits = [(hour * 3600, 6.0 + hour % 5) for hour in range(0, 24, hours)]
    return {
        "chargingProfileKind": "Recurring",
        "recurrencyKind": "Daily",
        "startSchedule": "2027-01-01T05:00:07Z",
        "chargingSchedulePeriod": periods(*limits),
    }


@pytest.mark.parametrize("connector_id", [0, 1])
def test_window_within_the_limit_is_computed_at_once(connector_id: int) -> None:
    """CORE-SC-39: the usual case."""
    profiles = engine()
    duration_s = TURN_S // 10_000
    assert steps(profiles, connector_id, duration_s) == [profiles.composite(connector_id, START_S, duration_s, "A")]


def test_window_of_one_connector_is_computed_at_once_up_to_a_year() -> None:
    """SCA-35: its cost does not grow with the hub."""
    assert len(steps(engine(), 1, 31_536_000, connectors=100_000)) == 1


@pytest.mark.parametrize("connectors", [2_001, 10_000, 100_000])
def test_window_in_slices_is_the_schedule_of_the_whole_window(connectors: int) -> None:
    """SCA-36: nothing is lost where two slices meet, whether a limit changes there or goes on."""
    profiles = engine()
    install(profiles, 1, **daily())
    install(profiles, 2, **daily(hours=8))
    install(
        profiles, 3, chargingProfileKind="Relative", duration=90_000, chargingSchedulePeriod=periods((0, 6), (7, 9))
    )
    *waits, text = steps(profiles, 0, 2 * DAY_S + 11, connectors)
    assert text == profiles.composite(0, START_S, 2 * DAY_S + 11, "A")
    assert set(waits) == {b""}
    assert len(waits) >= 3


def test_window_in_slices_counts_relative_profiles_from_its_start() -> None:
    """SCA-11: an idle connector's Relative profile begins with the query, not with each slice."""
    profiles = engine()
    install(profiles, 1, chargingSchedulePeriod=periods((0, 10), (100_000, 20)))
    text = steps(profiles, 0, 3 * DAY_S)[-1]
    starts = [period["startPeriod"] for period in orjson.loads(text)["chargingSchedulePeriod"]]
    assert starts == [0, 100_000]


def test_window_whose_profiles_change_meanwhile_is_begun_again() -> None:
    """CORE-SC-38: what is answered is one state of the profiles."""
    profiles = engine()
    changed = iter([0, 0, 1])
    current = 0

    def version() -> int:
        nonlocal current
        current = next(changed, current)
        if current and len(profiles) == 0:
            install(profiles, 0, chargingSchedulePeriod=periods((0, 6)))
        return current

    text = steps(profiles, 0, DAY_S, version=version)[-1]
    assert [period["limit"] for period in orjson.loads(text)["chargingSchedulePeriod"]] == [18.0]


def test_window_whose_profiles_never_rest_is_finished_all_the_same() -> None:
    """J-278: an answer leaves, whatever happens meanwhile."""
    versions = iter(range(10**6))
    *waits, text = steps(engine(), 0, DAY_S, version=lambda: next(versions))
    assert orjson.loads(text)["duration"] == DAY_S
    per_run = -(-DAY_S // (TURN_S // 10_000))
    assert len(waits) == per_run
    assert next(versions) == 2 * RESTARTS + per_run + 1


def test_joined_schedules_merge_equal_neighbours_and_keep_every_digit() -> None:
    """SCA-22: limits are texts here; 15.1 step 6."""

    def schedule(*limits: str) -> bytes:
        rows = [f'{{"startPeriod":{at},"limit":{limit},"numberPhases":3}}' for at, limit in enumerate(limits)]
        return f'{{"chargingRateUnit":"W","duration":9,"chargingSchedulePeriod":[{",".join(rows)}]}}'.encode()

    joined = Joined()
    for offset_s, limits in enumerate(
        (["1.0", "12345678901234567.8"], ["12345678901234567.8"], ["12345678901234567.9"])
    ):
        joined.add(schedule(*limits), offset_s * 10)
    assert joined.text("W", 30) == (
        b'{"chargingRateUnit":"W","duration":30,"chargingSchedulePeriod":[{"startPeriod":0,"limit":1.0,"numberPhases":3},'
        b'{"startPeriod":1,"limit":12345678901234567.8,"numberPhases":3},'
        b'{"startPeriod":20,"limit":12345678901234567.9,"numberPhases":3}]}'
    )
