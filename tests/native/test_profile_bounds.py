"""What keeps ``ocpphub._native.Profiles`` from holding up everybody else: bounded publications and explanations.

Owns the cases in which a legal profile makes an answer very long. Must never measure time.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocpphub._native import Profiles
from tests.native.test_profiles import DEFAULT, MAX, NOW_S, engine, profile

CONNECTORS = 10_000


def often(charging_profile_id: int, purpose: str = DEFAULT, count: int = 100, step_s: int = 6) -> bytes:
    """A profile whose limit changes every few seconds."""
    periods = [{"startPeriod": step_s * i, "limit": 6 + i % 2} for i in range(count)]
    start = {"schedule_startSchedule": "2024-01-01T00:00:00Z", "chargingProfileKind": "Absolute"}
    return json.dumps(profile(charging_profile_id, purpose, **start, schedule_chargingSchedulePeriod=periods)).encode()


@pytest.fixture(scope="module")
def restless() -> Profiles:
    """Ten thousand connectors whose limits change every six seconds for ten minutes."""
    profiles = engine(CONNECTORS)
    assert not isinstance(profiles.install(0, often(1), NOW_S), str)
    return profiles


def test_publication_of_too_many_periods_is_shorter_and_says_so(restless: Profiles) -> None:
    """CORE-SC-45, T20: a million periods at once would hold the loop."""
    value = json.loads(restless.composite_all(NOW_S, 600, "A"))
    (duration_s,) = {schedule["duration"] for schedule in value.values()}
    assert duration_s == restless.fitted_s
    assert 60 <= duration_s < 600
    assert sum(len(schedule["chargingSchedulePeriod"]) for schedule in value.values()) <= 400_000
    for connector_id in (0, 1, CONNECTORS):
        alone = json.loads(restless.composite(connector_id, NOW_S, duration_s, "A"))
        assert value[str(connector_id)]["chargingSchedulePeriod"] == alone["chargingSchedulePeriod"]


def test_publication_after_too_many_periods_is_whole_again(restless: Profiles) -> None:
    """CORE-SC-45: at once, not by and by."""
    restless.composite_all(NOW_S, 600, "A")
    json.loads(restless.composite_all(NOW_S + 3_600, 600, "A"))
    assert restless.fitted_s == 600


def test_changes_of_too_many_periods_are_shorter_and_come_to_an_end(restless: Profiles) -> None:
    """CORE-SC-45: in slices of the same window."""
    restless.forget_changes()
    restless.changes(NOW_S - 3_600, 600, "A", 10)
    told: list[int] = []
    while some := restless.changes(NOW_S, 600, "A", 3_000):
        told += [connector_id for connector_id, _ in some]
        duration_s = json.loads(some[0][1])["duration"]
        assert duration_s == restless.fitted_s
        assert duration_s < 600
    assert told == list(range(CONNECTORS + 1))


def test_explanation_that_nobody_could_read_is_refused() -> None:
    """SCA-01: an hour of it is explained, a week is not."""
    profiles = engine(1, max_periods=1_000)
    for level in range(10):
        text = json.loads(often(level, MAX, 1_000, 1 + level))
        text["stackLevel"] = level
        text |= {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"}
        assert not isinstance(profiles.install(0, json.dumps(text).encode(), NOW_S), str)
    assert json.loads(profiles.explain(1, NOW_S, 60, "A"))
    for connector_id in (0, 1):
        with pytest.raises(ValueError, match="duration_s"):
            profiles.explain(connector_id, NOW_S, 604_800, "A")


def winners(profiles: Profiles, connector_id: int) -> list[Any]:
    return [stretch["winner"]["kind"] for stretch in json.loads(profiles.explain(connector_id, NOW_S, 60, "A"))]


def test_explanation_of_connector_0_compares_before_it_rounds() -> None:
    """SCA-22: limits that differ by less than 0.1 have a least one all the same."""
    allowed: dict[str, Any] = {"max_stack_level": 10, "max_periods": 100, "max_installed": 100, "units": "AW"}
    sum_is_less = Profiles([(230_000, 3, 40_040, None, None)], (230_000, 40_050, None), **allowed)
    assert winners(sum_is_less, 0) == ["connectors"]
    station_is_less = Profiles([(230_000, 3, 63_000, None, None)], (230_000, 40_040, None), **allowed)
    least = profile(1, MAX, 27_650, schedule_chargingRateUnit="W", schedule_startSchedule="2024-01-01T00:00:00Z")
    assert not isinstance(station_is_less.install(0, json.dumps(least).encode(), NOW_S), str)
    assert winners(station_is_less, 0) == winners(station_is_less, 1) == ["station"]


def test_changes_of_connector_0_float_with_its_connectors() -> None:
    """CORE-SC-45, 0008 item 12: a schedule that counts from the query says nothing new as time passes."""
    profiles = engine()
    relative = profile(1, schedule_chargingSchedulePeriod=[{"startPeriod": 60 * i, "limit": 16 - i} for i in range(2)])
    assert not isinstance(profiles.install(1, json.dumps(relative).encode(), NOW_S), str)
    profiles.forget_changes()
    profiles.changes(NOW_S, 600, "A", 10)
    assert [profiles.changes(NOW_S + 30 * i, 600, "A", 10) for i in range(1, 5)] == [[]] * 4


def test_listing_of_instants_before_the_year_1_names_the_first_one() -> None:
    """SCA-07: an offset can lead out of the calendar."""
    profiles = engine()
    early = profile(1, validFrom="0000-01-01T00:00:00+23:59")
    assert not isinstance(profiles.install(1, json.dumps(early).encode(), NOW_S), str)
    assert json.loads(profiles.installed())[0]["valid_from"] == "0001-01-01T00:00:00Z"
