"""A hub of two charge points that share a feeder: a real process, real sockets, vehicles that draw what they may."""

from __future__ import annotations

import asyncio

import pytest
from ocpp.v16 import call
from ocpp.v16.datatypes import ChargingProfile, ChargingSchedule, ChargingSchedulePeriod
from ocpp.v16.enums import ChargingProfileKindType, ChargingProfilePurposeType, ChargingRateUnitType

from ocpphub.rpc.client import AsyncClient
from tests.e2e.feeder import CONNECTORS, EAST, FEEDER, WEST, Sample, Site, Spot, judge, running_site, spots

LEASE_S = 30.0
MINIMUM_A = 6.0
FALLBACK_A = 6.0
TURN_S = 10
EARLY_S = 0.5
"""What a busy machine may do to the times that are compared."""
ALL = [*spots("west"), *spots("east-1"), *spots("east-2")]


def station_limit(limit_a: float) -> ChargingProfile:
    """A ChargePointMaxProfile."""
    periods = [ChargingSchedulePeriod(0, limit_a)]
    return ChargingProfile(
        1,
        0,
        ChargingProfilePurposeType.charge_point_max_profile,
        ChargingProfileKindType.absolute,
        ChargingSchedule(ChargingRateUnitType.amps, periods, start_schedule="2020-01-01T00:00:00Z"),
    )


def is_used(sample: Sample, **claims_a: float) -> bool:
    """Whether claims, and what is drawn, are just this."""
    levels = [(sample.levels[name], claim_a) for name, claim_a in claims_a.items()]
    return all(abs(level.claimed_a - claim_a) < 0.05 and level.drawn_a > 0.98 * claim_a for level, claim_a in levels)


async def csms_lowers(site: Site, limit_a: float) -> None:
    """ChargePointMaxProfile of the first charge point."""
    site.step(f"the CSMS limits {WEST} to {limit_a:g} A")
    site.falls_now(WEST)
    answer = await site.csms.call(WEST, call.SetChargingProfile(0, station_limit(limit_a)))
    assert answer.status == "Accepted"


async def energy_manager_lowers(site: Site, limit_a: float) -> None:
    """A client of its own names the feeder."""
    site.step(f"an energy manager limits {FEEDER} to {limit_a:g} A")
    site.falls_now(FEEDER)
    async with AsyncClient(site.client.path) as manager:
        limit = {"feeder": FEEDER, "limit_a": limit_a, "valid_for_s": 600}
        assert await manager.call("station.set_limit", charge_point=EAST, **limit) is None


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_claims_and_draw_stay_within_limits_that_fall_and_a_killed_controller_counts() -> None:
    """decisions.md 5, allocation; CORE-SC-01: 100 vehicles behind one feeder, each limit lowered by who may."""
    async with running_site(1_600.0, fallback_a=FALLBACK_A) as site:
        await site.plug_all()
        await site.until(lambda sample: is_used(sample, **{FEEDER: 1_600.0, WEST: 800.0, EAST: 800.0}), 15)
        await csms_lowers(site, 500.0)
        await site.until(lambda sample: is_used(sample, **{FEEDER: 1_600.0, WEST: 500.0, EAST: 1_100.0}), 12)
        await energy_manager_lowers(site, 900.0)
        before = await site.until(lambda sample: is_used(sample, **{FEEDER: 900.0, WEST: 450.0, EAST: 450.0}), 12)
        site.step("the controller of 25 connectors is killed")
        killed_s = site.now_s
        await site.stations["east-2"].die()
        await asyncio.sleep(LEASE_S - 1)
        # 25 at their fallback leave 750 A; no vehicle of WEST may have more than its 500 A allow.
        after = await site.until(lambda sample: is_used(sample, **{FEEDER: 900.0, WEST: 500.0, EAST: 400.0}), 12)
        site.step("it comes back")
        await site.stations["east-2"].start()
        await site.until(lambda sample: is_used(sample, **{FEEDER: 900.0, WEST: 450.0, EAST: 450.0}), 12)
    judge(site)
    dead = spots("east-2")
    waiting = site.since(killed_s + 0.5, killed_s + LEASE_S - 0.5)
    assert len(waiting) > LEASE_S
    for sample in waiting:
        assert {sample.connectors[spot]["claim_a"] for spot in dead} == {9.0}, sample.line()
        assert {sample.connectors[spot]["reason"] for spot in dead} == {"unattended"}
        assert sample.levels[FEEDER].claimed_a == pytest.approx(before.levels[FEEDER].claimed_a)
    assert {after.connectors[spot]["claim_a"] for spot in dead} == {FALLBACK_A}
    assert {round(after.drawn_a[spot], 3) for spot in dead} == {FALLBACK_A}
    assert {after.connectors[spot]["permit"]["limit_a"] for spot in ALL if spot not in dead} == {10.0}
    assert all(station.problems == [] for station in site.stations.values())


@pytest.mark.asyncio
@pytest.mark.timeout(90)
async def test_vehicles_take_turns_where_half_of_the_minimums_fit() -> None:
    """decisions.md 5, allocation: over one rotation every connector charges, and none is switched within its turn."""
    minimums_a = MINIMUM_A * len(ALL)
    async with running_site(minimums_a, turn_s=TURN_S) as site:
        await site.plug_all()
        await site.until(lambda sample: is_used(sample, **{FEEDER: minimums_a}), 8)
        await energy_manager_lowers(site, minimums_a / 2)
        full = await site.until(lambda sample: is_used(sample, **{FEEDER: minimums_a / 2}), 8)
        begun_wh = {spot: site.evse(spot).register_wh for spot in ALL}

        def has_charged(spot: Spot) -> bool:
            return site.evse(spot).register_wh > begun_wh[spot]

        await site.until(lambda sample: all(map(has_charged, ALL)), TURN_S + 8)
        after = await site.until(lambda sample: is_used(sample, **{FEEDER: minimums_a / 2}), 8)
    judge(site)
    assert len(waiting(full)) == CONNECTORS
    assert waiting(after) == set(ALL) - waiting(full)
    for spot in ALL:
        keeps_its_turns(site, spot)
    for sample in site.samples:
        shares_a = {row["permit"]["limit_a"] for row in sample.connectors.values()}
        assert all(share_a == 0 or share_a >= MINIMUM_A for share_a in shares_a), sample.line()
    assert all(station.problems == [] for station in site.stations.values())


def keeps_its_turns(site: Site, spot: Spot) -> None:
    """Who has a share has it for a whole turn, unless a limit falls."""
    (fell_s,) = site.falls[FEEDER]
    on_s: float | None = None
    for sample in site.samples:
        if sample.connectors[spot]["permit"]["limit_a"] > 0:
            on_s = sample.at_s if on_s is None else on_s
        elif on_s is not None:
            is_due = sample.at_s - on_s > TURN_S - EARLY_S
            assert is_due or 0 <= sample.at_s - fell_s < EARLY_S, f"{spot} is switched in its turn: {sample.line()}"
            on_s = None


def waiting(sample: Sample) -> set[Spot]:
    """The connectors that have to wait for their turn."""
    return {spot for spot, row in sample.connectors.items() if row["reason"] == "waiting"}
