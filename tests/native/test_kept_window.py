"""The window that ``ocpphub._native.Profiles`` keeps: whatever changes inside it, it answers like a new engine.

Owns the cases that tell a patched window from a computed one, and rows and instants that only look alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from ocpphub._native import Installed, Profiles
from tests.native.test_profiles import MAX, NOW_S, TX, engine, profile

DAY_S = 86_400
LENGTHS_S = (600, DAY_S, DAY_S + 1, 2 * DAY_S, 7 * DAY_S)
Step = Callable[[Profiles], object]


def put(profiles: Profiles, connector_id: int, description: Any) -> Installed:
    """Install a profile that must be accepted."""
    installed = profiles.install(connector_id, json.dumps(description).encode(), NOW_S)
    assert not isinstance(installed, str), installed
    return installed


def stepped(charging_profile_id: int, *limits: float, **members: Any) -> Any:
    """A profile whose limit changes every minute."""
    periods = [{"startPeriod": 60 * i, "limit": limit} for i, limit in enumerate(limits)]
    return profile(charging_profile_id, **members, schedule_chargingSchedulePeriod=periods)


STEPS: tuple[Step, ...] = (
    lambda it: put(it, 1, stepped(1, 10, 12, 8)),
    lambda it: it.transaction_started(1, NOW_S - 100, 7),
    lambda it: put(it, 2, stepped(2, 20, 6, chargingProfileKind="Absolute", stackLevel=1)),
    lambda it: put(it, 1, profile(3, TX, 9, transactionId=7, schedule_duration=130)),
    lambda it: put(it, 1, stepped(1, 11, 13)),
    lambda it: put(it, 3, profile(5, limit=4_600, schedule_chargingRateUnit="W")),
    lambda it: it.transaction_stopped(1),
    lambda it: put(it, 0, profile(6, MAX, 30, schedule_startSchedule="2024-01-01T00:00:00Z")),
    lambda it: it.clear(1),
    lambda it: put(it, 0, stepped(7, 16, 7)),
    lambda it: it.clear(connector_id=2),
    lambda it: it.clear(),
)


@pytest.mark.parametrize("duration_s", LENGTHS_S)
@pytest.mark.parametrize("unit", ["A", "W"])
def test_kept_window_after_each_change_is_that_of_a_new_engine(duration_s: int, unit: str) -> None:
    """CORE-SC-45: profiles set and cleared, transactions started and stopped."""
    kept = engine(3)
    kept.composite_all(NOW_S, duration_s, unit)
    for count in range(1, len(STEPS) + 1):
        STEPS[count - 1](kept)
        fresh = engine(3)
        for step in STEPS[:count]:
            step(fresh)
        for connector_id in (0, 1, 2, 3):
            assert kept.composite(connector_id, NOW_S, duration_s, unit) == fresh.composite(
                connector_id, NOW_S, duration_s, unit
            ), (count, connector_id)
        assert kept.composite_all(NOW_S, duration_s, unit) == fresh.composite_all(NOW_S, duration_s, unit), count


def test_kept_window_after_very_many_changes_is_that_of_a_new_engine() -> None:
    """CORE-SC-45: more changes than connectors, some of them of phases, all within one window."""
    dice, kept, last = Random(3), engine(40), dict[int, Any]()  # noqa: S311  # not for secrets
    kept.compute(NOW_S, 600, "A")
    for number in range(1_000):
        connector_id = dice.randrange(1, 41)
        limits = [dice.randrange(6, 32) for _ in range(4)]
        last[connector_id] = stepped(connector_id, *limits)
        for period in last[connector_id]["chargingSchedule"]["chargingSchedulePeriod"]:
            period["numberPhases"] = dice.choice([1, 3])
        put(kept, connector_id, last[connector_id])
        if number % 50 == 0:
            fresh = engine(40)
            for owner, description in last.items():
                put(fresh, owner, description)
            assert kept.composite(0, NOW_S, 600, "A") == fresh.composite(0, NOW_S, 600, "A"), number
    assert kept.composite_all(NOW_S, 600, "A") == fresh_of(last).composite_all(NOW_S, 600, "A")


def fresh_of(last: dict[int, Any]) -> Profiles:
    """A new engine with these profiles."""
    fresh = engine(40)
    for owner, description in last.items():
        put(fresh, owner, description)
    return fresh


def test_window_longer_than_a_week_leaves_nothing_of_itself_behind() -> None:
    """SCA-36: its last part is a window of its own afterwards."""
    profiles, fresh = engine(2), engine(2)
    for it in (profiles, fresh):
        start = {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily"}
        put(it, 0, stepped(1, 16, 10, 7, **start, schedule_startSchedule="2024-01-01T00:00:00Z"))
    profiles.composite(0, NOW_S, 8 * DAY_S, "A")
    week_s = 7 * DAY_S
    last = (0, NOW_S + week_s, DAY_S, "A", NOW_S)
    assert profiles.composite(*last) == fresh.composite(*last)


def test_own_default_that_is_over_before_it_is_valid_hides_until_then() -> None:
    """SCA-03, 0008 item 2: over is over, whether it ever acted or not; the explanation has the same edge."""
    profiles = engine(1)
    put(profiles, 0, profile(1, limit=16))
    own = profile(2, limit=8, chargingProfileKind="Absolute", validFrom="2024-01-01T00:05:00Z",
                  schedule_startSchedule="2024-01-01T00:00:00Z", schedule_duration=100)  # fmt: skip
    put(profiles, 1, own)
    periods = json.loads(profiles.composite(1, NOW_S, 600, "A"))["chargingSchedulePeriod"]
    assert [(period["startPeriod"], period["limit"]) for period in periods] == [(0, 32.0), (100, 16.0)]
    stretches = json.loads(profiles.explain(1, NOW_S, 600, "A"))
    assert [(stretch["start"], stretch["limit"]) for stretch in stretches][:2] == [
        ("2024-01-01T00:00:00Z", 32.0), ("2024-01-01T00:01:40Z", 16.0)]  # fmt: skip
    assert {stretch["limit"] for stretch in stretches[1:]} == {16.0}


def test_changes_of_a_general_relative_default_float_but_for_a_transaction() -> None:
    """CORE-SC-45, 0008 item 12: who charges counts from the start of the transaction, and hears of each boundary."""
    profiles = engine(2)
    put(profiles, 0, stepped(1, *range(30, 10, -1)))
    profiles.transaction_started(2, NOW_S)
    profiles.forget_changes()
    profiles.changes(NOW_S, 600, "A", 10)
    told = [connector_id for connector_id, _ in profiles.changes(NOW_S + 60, 600, "A", 10)]
    assert 1 not in told
    assert 2 in told


def test_rows_of_one_purpose_and_level_leave_one_profile() -> None:
    """SCA-05: a store that was tampered with must not give two."""
    profiles, other = engine(1), engine(1)
    rows = [put(profiles, 1, profile(1)).row, put(profiles, 1, profile(2, limit=8)).row]
    assert other.restore(rows) == []
    assert len(other) == 1
    assert [row["charging_profile_id"] for row in json.loads(other.installed())] == [2]


def test_listing_is_in_the_order_of_ids() -> None:
    """CORE-SC-09."""
    profiles = engine(2)
    for charging_profile_id, connector_id, level in ((5, 1, 0), (-3, 2, 1), (9, 1, 4), (0, 2, 0)):
        put(profiles, connector_id, profile(charging_profile_id, stackLevel=level))
    assert [row["charging_profile_id"] for row in json.loads(profiles.installed())] == [-3, 0, 5, 9]


def test_instants_before_1970_are_floored_too() -> None:
    """SCA-06."""
    profiles = engine(1)
    put(profiles, 1, profile(1, validFrom="1969-12-31T23:59:58.500Z"))
    assert json.loads(profiles.installed())[0]["valid_from"] == "1969-12-31T23:59:58Z"


@pytest.mark.parametrize("tail", [" x", "{}", ",", "\0"])
def test_text_behind_a_profile_is_refused(tail: str) -> None:
    """J-254: one JSON text."""
    with pytest.raises(ValueError, match="ChargingProfile"):
        engine().install(1, (json.dumps(profile(1)) + tail).encode(), NOW_S)


def test_transaction_of_the_whole_charge_point_there_is_none() -> None:
    """CORE-SC-04."""
    with pytest.raises(ValueError, match="connector_id"):
        engine().transaction_started(0, NOW_S)


def test_explanation_names_no_station_that_has_no_limit() -> None:
    """SCA-16: only what is configured can lose."""
    (stretch,) = json.loads(engine().explain(1, NOW_S, 60, "A"))
    assert (stretch["winner"], stretch["losers"]) == ({"kind": "hardware"}, [])
    limited = Profiles([(230_000, 3, 32_000, None, None)], (230_000, 63_000, None), max_stack_level=1, max_periods=1,
                       max_installed=1, units="A")  # fmt: skip
    (stretch,) = json.loads(limited.explain(1, NOW_S, 60, "A"))
    assert stretch["losers"] == [{"source": {"kind": "station"}, "why": "not_the_minimum"}]


def test_station_whose_sums_would_leave_64_bits_is_refused_however_it_is_made_up() -> None:
    """SCA-22: one of each voltage is exact, thousands of each are not."""
    voltages = [(millivolts, 3, 32_000, None, None) for millivolts in (230_000, 230_940, 277_000, 480_000)]
    allowed: dict[str, Any] = {"max_stack_level": 1, "max_periods": 1, "max_installed": 1, "units": "A"}
    assert len(Profiles(voltages, (230_000, None, None), **allowed)) == 0
    with pytest.raises(ValueError, match="nominal_voltage_v"):
        Profiles(voltages * 2_500, (230_000, None, None), **allowed)
