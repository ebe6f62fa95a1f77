"""What ``Profiles.explain`` says: the source of each limit, and why every other source is not the one.

Owns the closed list of reasons (rpc.md, schedule.explain) case by case, and that explanations agree with the composite
schedule for random histories.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocpphub._native import Profiles
from tests.native.test_profiles import DEFAULT, MAX, NOW_S, STATION, TX, engine, install, profile
from tests.oracle import schedule_cases
from tests.oracle.reference_schedule import Profile, Station, convert, utc_s
from tests.oracle.schedule_runner import Native, read

Json = dict[str, Any]

REASONS = {
    "lower_stack_level",
    "gap",
    "not_valid_yet",
    "expired",
    "hidden_by_own_default",
    "overruled_by_tx_profile",
    "not_the_minimum",
}


def explained(profiles: Profiles, connector_id: int = 1, duration_s: int = 60) -> list[Json]:
    """The explanation of a window that begins now, in A."""
    rows: list[Json] = json.loads(profiles.explain(connector_id, NOW_S, duration_s, "A"))
    return rows


def reason(row: Json, **source: Any) -> str:
    """Why the one source that has these members did not decide."""
    found = [loser["why"] for loser in row["losers"] if source.items() <= loser["source"].items()]
    assert len(found) == 1, row
    return str(found[0])


def test_explain_one_profile_wins_and_the_hardware_is_not_the_minimum() -> None:
    """CORE-SC-42, SCA-16: who decides is named with all that finds it again."""
    profiles = engine()
    install(profiles, 1, profile(7, limit=10, stackLevel=2))
    (row,) = explained(profiles)
    assert (row["start"], row["end"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z")
    assert (row["limit"], row["unit"], row["phases"]) == (10, "A", 3)
    assert row["winner"] == {
        "kind": "profile",
        "charging_profile_id": 7,
        "purpose": DEFAULT,
        "stack_level": 2,
        "connector_id": 1,
    }
    assert reason(row, kind="hardware") == "not_the_minimum"


def test_explain_hardware_wins_over_a_higher_profile() -> None:
    """SCA-16: 40 A of profile on 32 A of hardware."""
    profiles = engine()
    install(profiles, 0, profile(7, limit=40))
    (row,) = explained(profiles)
    assert (row["limit"], row["winner"]["kind"]) == (32, "hardware")
    assert reason(row, charging_profile_id=7) == "not_the_minimum"


def test_explain_station_and_default_are_sources() -> None:
    """SCA-15, SCA-16: the configured default without a profile, the station where it is lower."""
    allowed: Json = {"max_stack_level": 1, "max_periods": 1, "max_installed": 1, "units": "A"}
    by_default = Profiles([(230_000, 3, 32_000, None, 6_000)], STATION, **allowed)
    (row,) = explained(by_default)
    assert (row["limit"], row["winner"]["kind"]) == (6, "default")
    by_station = Profiles([(230_000, 3, 32_000, None, None)], (230_000, 5_000, None), **allowed)
    (row,) = explained(by_station)
    assert (row["limit"], row["winner"]["kind"]) == (5, "station")


def test_explain_each_profile_that_loses_has_its_reason() -> None:
    """CORE-SC-05, CORE-SC-08, SCA-01, SCA-03: one reason for each, of the closed list."""
    profiles = engine()
    profiles.transaction_started(1, NOW_S - 10)
    install(profiles, 1, profile(1, TX, 20, stackLevel=2))
    install(profiles, 1, profile(2, TX, 18, stackLevel=1))
    install(profiles, 1, profile(3, TX, 17, stackLevel=3, schedule_duration=5))
    install(profiles, 1, profile(4, TX, 17, stackLevel=4, validFrom="2024-01-01T01:00:00Z"))
    install(profiles, 1, profile(5, TX, 17, stackLevel=5, validTo="2024-01-01T00:00:00Z"), NOW_S - 100)
    install(profiles, 1, profile(6, DEFAULT, 5, stackLevel=9))
    install(profiles, 0, profile(7, DEFAULT, 5, stackLevel=9))
    install(profiles, 0, profile(8, MAX, 30))
    (row,) = explained(profiles)
    assert (row["limit"], row["winner"]["charging_profile_id"]) == (20, 1)
    reasons = {number: reason(row, charging_profile_id=number) for number in range(2, 9)}
    assert reasons[2] == "lower_stack_level"
    assert reasons[3] in ("gap", "expired")  # over for this transaction, not for ever
    assert reasons[4] == "not_valid_yet"
    assert reasons[5] == "expired"
    assert reasons[6] == "overruled_by_tx_profile"
    assert reasons[7] in ("hidden_by_own_default", "overruled_by_tx_profile")
    assert reasons[8] == "not_the_minimum"


def test_explain_a_general_default_is_hidden_by_the_own_one_of_its_level() -> None:
    """CORE-SC-03, SCA-03: also where the own one is in a gap, and then the lower level decides."""
    profiles = engine()
    gap: Json = {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily", "schedule_duration": 30}
    install(profiles, 1, profile(1, limit=8, stackLevel=1, schedule_startSchedule="2024-01-01T00:00:00Z", **gap))
    install(profiles, 0, profile(2, limit=9, stackLevel=1))
    install(profiles, 0, profile(3, limit=10))
    first, second = explained(profiles)
    assert (first["winner"]["charging_profile_id"], second["winner"]["charging_profile_id"]) == (1, 3)
    assert second["start"] == first["end"] == "2024-01-01T00:00:30Z"
    assert reason(first, charging_profile_id=2) == "hidden_by_own_default"
    assert reason(first, charging_profile_id=3) == "lower_stack_level"
    assert reason(second, charging_profile_id=1) == "gap"
    assert reason(second, charging_profile_id=2) == "hidden_by_own_default"


@pytest.mark.timeout(120)
def test_explain_random_histories_agrees_with_the_composite_schedule() -> None:
    """CORE-SC-08, CORE-SC-39: periods cover the window, limits are those answered, each profile is named once."""
    for number in range(0, schedule_cases.CASES, 20):
        case = schedule_cases.numbered(number)
        native, reference = Native(case["station"]), Station.of(case["station"])
        for step in case["steps"]:
            arguments = {name: value for name, value in step.items() if name != "do"}
            if step["do"] != "query":
                getattr(native, step["do"])(**arguments)
                getattr(reference, step["do"])(**arguments)
        for one in range(len(reference.connectors) + 1):
            check(native, reference, one, case["steps"][-1]["start_s"])


def check(native: Native, reference: Station, connector_id: int, start_s: int) -> None:
    """One explanation of five minutes in W against the composite schedule."""
    rows = read(native.profiles.explain(connector_id, start_s, 300, "W"))
    edges = [(utc_s(row["start"]) - start_s, utc_s(row["end"]) - start_s) for row in rows]
    assert [edge[0] for edge in edges] == [0, *(edge[1] for edge in edges[:-1])]
    assert edges[-1][1] == 300
    told: list[tuple[int, int, int]] = []
    for (begin, _), row in zip(edges, rows, strict=True):
        if not told or told[-1][1:] != says(row):
            told.append((begin, *says(row)))
    assert told == native.composite(connector_id, start_s, 300, "W")
    if connector_id:
        involved = sorted(p.id for p in reference.profiles if p.connector_id in (0, connector_id))
        for row in rows:
            sources = [row["winner"], *(loser["source"] for loser in row["losers"])]
            named = [source["charging_profile_id"] for source in sources if source["kind"] == "profile"]
            assert sorted(named) == involved
            check_reasons(row, reference, connector_id, start_s)


def check_reasons(row: Json, reference: Station, connector_id: int, query_s: int) -> None:
    """The winner is a source of the limit, and each reason is true at the row's first second."""
    t = utc_s(row["start"])
    part = reference.transaction_part(connector_id, t, query_s)
    ceiling = reference.leading([p for p in reference.profiles if p.purpose == MAX], t, query_s)
    by_id = {profile.id: profile for profile in reference.profiles}
    if row["winner"]["kind"] == "profile":
        winner = by_id[row["winner"]["charging_profile_id"]]
        leading = next(period for period in (part, ceiling) if period in winner.periods)
        assert leading is not None
        exact = convert(leading.bound, "W", reference.connectors[connector_id - 1].voltage_v, row["phases"])
        assert exact * 10 // 1 == says(row)[0]
    for loser in row["losers"]:
        assert loser["why"] in REASONS
        if loser["source"]["kind"] == "profile":
            profile = by_id[loser["source"]["charging_profile_id"]]
            assert loser["why"] in true_of(profile, reference, connector_id, t, query_s), (row, loser)


def true_of(profile: Profile, reference: Station, connector_id: int, t: int, query_s: int) -> set[str]:
    """Every reason that can be given why a profile does not decide at ``t``."""
    running = reference.transactions.get(connector_id)
    zero_s = query_s if running is None else running.start_s
    same = [p for p in reference.profiles if p.purpose == profile.purpose and p.connector_id in (0, connector_id)]
    levels = [p.stack_level for p in same if p.period_at(t, zero_s) and not is_hidden(p, same, t)]
    of_transaction = [p for p in reference.profiles if (p.purpose, p.connector_id) == (TX, connector_id)]
    overruled = running is not None and reference.leading(of_transaction, t, zero_s) is not None
    has_period = profile.period_at(t, zero_s) is not None
    not_yet = profile.valid_from_s is not None and t < profile.valid_from_s
    truth = {
        "lower_stack_level": any(level > profile.stack_level for level in levels),
        "gap": not (has_period or not_yet or (profile.valid_to_s is not None and t >= profile.valid_to_s)),
        "not_valid_yet": not_yet,
        "expired": profile.is_over(t),
        "hidden_by_own_default": is_hidden(profile, same, t),
        "overruled_by_tx_profile": profile.purpose == DEFAULT and overruled,
        "not_the_minimum": has_period and profile.stack_level == max(levels, default=None),
    }
    return {why for why, holds in truth.items() if holds}


def is_hidden(profile: Profile, defaults: list[Profile], t: int) -> bool:
    """Whether an own default of its level hides it (SCA-03)."""
    return (profile.purpose, profile.connector_id) == (DEFAULT, 0) and any(
        own.connector_id and own.stack_level == profile.stack_level and not own.is_over(t) for own in defaults
    )


def says(row: Json) -> tuple[int, int]:
    """Limit in tenths and phases."""
    return int(row["limit"] * 10), row["phases"]
