"""Permits and the limits that they carry."""

from __future__ import annotations

from ocpphub.core.permit import Limit, Permit, limit_of
from tests import builders
from tests.builders import World

AT_S = builders.EPOCH_MS // 1000


def test_permit_counts_its_changes_only() -> None:
    """decisions.md 5: a permit is a level with a sequence number."""
    permit = Permit()
    limit = Limit(16.0, 11_040.0, 3, 60)
    assert permit.change(limit)
    assert not permit.change(limit._replace(lasts_s=5))
    assert permit.change(limit._replace(limit_a=8.0))
    assert permit.change(None)
    assert not permit.change(None)
    assert permit.json() == {"seq": 3, "energize": False, "limit_a": 0.0, "limit_w": 0.0, "phases": 3}


def test_permit_of_zero_allows_no_energy() -> None:
    """CORE-STAT-04: a limit of 0 A suspends the EVSE's side."""
    permit = Permit()
    permit.change(Limit(0.0, 0.0, 3, 60))
    assert permit.energize
    assert not permit.allows_energy


def test_limit_is_the_composite_in_both_units_until_it_changes() -> None:
    """CORE-SC-39, SCA-18: 16 A for a minute, then 10 A."""
    world = World().boot()
    schedule = builders.periods((0, 16.0), (60, 10.0))
    assert (
        world.install(
            2, 1, chargingProfileKind="Absolute", startSchedule="2027-01-15T08:00:00Z", chargingSchedulePeriod=schedule
        )
        == "Accepted"
    )
    profiles = world.core.schedules._profiles
    assert limit_of(profiles, 2, AT_S + 20) == Limit(16.0, 11_040.0, 3, 40)
    assert limit_of(profiles, 2, AT_S + 60) == Limit(10.0, 6_900.0, 3, 3_600)
