"""Permits and the limits that they carry."""

from __future__ import annotations

from ocpphub.core.cap import UNLIMITED, Amount
from ocpphub.core.member import Granted
from ocpphub.core.permit import Limit, Permit, ceiling_of, limit_of
from tests import builders
from tests.builders import World

AT_S = builders.EPOCH_MS // 1000


def test_permit_is_told_as_it_was_granted() -> None:
    """decisions.md 5: a permit is a level with a sequence number."""
    permit = Permit()
    permit.take(Granted(3, True, 16.0, 11_040.0, 3))
    assert permit.json() == {"seq": 3, "energize": True, "limit_a": 16.0, "limit_w": 11_040.0, "phases": 3}


def test_permit_of_zero_allows_no_energy() -> None:
    """CORE-STAT-04: a limit of 0 A suspends the EVSE's side."""
    permit = Permit()
    permit.take(Granted(1, True, 0.0, 0.0, 3))
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
    assert limit_of(profiles, 2, AT_S + 20) == Limit(16.0, 11_040.0, 3, 30)
    assert limit_of(profiles, 2, AT_S + 50) == Limit(10.0, 6_900.0, 3, 10)
    assert limit_of(profiles, 2, AT_S + 60) == Limit(10.0, 6_900.0, 3, 3_600)


def test_ceiling_is_the_maximum_of_the_charge_point() -> None:
    """decisions.md 5: ChargePointMaxProfile, a lower one of the next 10 s already now."""
    world = World().boot()
    profiles = world.core.schedules._profiles
    assert ceiling_of(profiles, AT_S) == (UNLIMITED, 3_600)
    schedule = builders.periods((0, 40.0), (60, 25.5), (90, 63.0))
    start = "2027-01-15T08:00:00Z"
    world.install(0, 1, "ChargePointMaxProfile", startSchedule=start, chargingSchedulePeriod=schedule)
    assert ceiling_of(profiles, AT_S + 20) == (Amount(40_000, None), 30)
    assert ceiling_of(profiles, AT_S + 55) == (Amount(25_500, None), 5)
    assert ceiling_of(profiles, AT_S + 85) == (Amount(25_500, None), 5)
    assert ceiling_of(profiles, AT_S + 90)[0] == Amount(63_000, None)
