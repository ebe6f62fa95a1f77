"""The vehicle of the simulated hub: its curve, its obedience to permits, its energy as the integral of its power."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.sim.vehicle import MODELS, RAMP_S, TAPER_FROM, Model, Vehicle, permitted_w

SALOON = MODELS[2]
OPEN = {"energize": True, "limit_a": None, "limit_w": None, "phases": 3}

models = st.sampled_from(MODELS)
charges = st.floats(0.0, 0.99)
limits_w = st.one_of(st.just(0.0), st.floats(100.0, 30_000.0))


def follow(vehicle: Vehicle, limit_w: float, duration_s: float, step_s: float = 0.02) -> float:
    """Let time pass in small steps; the integral of the power in Wh by the trapezoid rule."""
    vehicle.allow(limit_w)
    total = 0.0
    for _ in range(round(duration_s / step_s)):
        before_w = vehicle.power_w
        vehicle.step(step_s)
        total += (before_w + vehicle.power_w) / 2 * step_s / 3600
    return total


@given(models, charges, st.lists(st.tuples(limits_w, st.floats(0.1, 8.0)), min_size=1, max_size=6))
def test_vehicle_draws_nothing_above_a_permit_that_is_five_seconds_old(
    model: Model, charge: float, permits: list[tuple[float, float]]
) -> None:
    """However fast permits change, five seconds after them nothing is above the highest that was in force since."""
    vehicle = Vehicle(model, charge)
    now_s, history = 0.0, []
    for limit_w, stays_s in permits:
        vehicle.allow(limit_w)
        end_s = now_s + stays_s
        history.append((end_s, limit_w))
        while now_s < end_s:
            vehicle.step(0.1)
            now_s += 0.1
            in_force = [limit for until_s, limit in history if until_s > now_s - 5.0]
            if now_s > 5.0:
                assert vehicle.power_w <= max(in_force) + 1e-6


@given(models, charges, st.lists(st.tuples(limits_w, st.floats(1.0, 20.0)), min_size=1, max_size=5))
def test_vehicle_energy_is_the_integral_of_its_power_within_one_percent(
    model: Model, charge: float, permits: list[tuple[float, float]]
) -> None:
    """Fine steps, summed up, are what the register says, whatever the permits do."""
    vehicle = Vehicle(model, charge, time_lapse=60.0)
    integral_wh = sum(follow(vehicle, limit_w, stays_s) for limit_w, stays_s in permits)
    assert vehicle.energy_wh == pytest.approx(integral_wh, rel=0.01, abs=0.05)


@given(models, charges, st.floats(0.5, 12.0), st.integers(1, 9))
def test_vehicle_long_step_is_the_sum_of_short_ones(model: Model, charge: float, hours: float, parts: int) -> None:
    """How often it is asked makes no difference to the energy."""
    long, short = Vehicle(model, charge), Vehicle(model, charge)
    for vehicle in (long, short):
        vehicle.allow(0.7 * model.max_w)
    long.step(hours * 3600)
    for _ in range(parts):
        short.step(hours * 3600 / parts)
    assert long.energy_wh == pytest.approx(short.energy_wh, rel=1e-3, abs=0.5)


@given(models, charges, st.lists(st.tuples(limits_w, st.floats(0.0, 30_000.0)), max_size=20))
def test_vehicle_energy_never_falls_and_never_exceeds_the_battery(
    model: Model, charge: float, permits: list[tuple[float, float]]
) -> None:
    """A register made of it is monotone, and the state of charge stays a share."""
    vehicle = Vehicle(model, charge)
    for limit_w, stays_s in permits:
        before_wh = vehicle.energy_wh
        vehicle.allow(limit_w)
        drawn_wh = vehicle.step(stays_s)
        assert drawn_wh == vehicle.energy_wh - before_wh >= 0
        assert charge <= vehicle.state_of_charge + 1e-12 <= 1 + 1e-9
        assert 0 <= vehicle.power_w <= model.max_w


@given(st.floats(0.0, TAPER_FROM - 0.01), models)
def test_vehicle_takes_full_power_below_80_percent(charge: float, model: Model) -> None:
    """Constant power up to 80 % state of charge."""
    vehicle = Vehicle(model, charge)
    vehicle.allow(model.max_w)
    vehicle.step(RAMP_S)
    assert vehicle.power_w == pytest.approx(model.max_w)


@given(st.floats(TAPER_FROM, 0.99), models)
def test_vehicle_power_is_linear_in_its_charge_above_80_percent(charge: float, model: Model) -> None:
    """From all of it at 80 % to nothing at 100 %."""
    vehicle = Vehicle(model, charge)
    vehicle.allow(model.max_w)
    vehicle.step(RAMP_S)
    assert vehicle.power_w == pytest.approx(model.max_w * (1 - vehicle.state_of_charge) / (1 - TAPER_FROM))


def test_vehicle_ends_full_and_asks_for_nothing_more() -> None:
    """A night at the connector fills it, and then it is not ready."""
    vehicle = Vehicle(SALOON, 0.2)
    vehicle.allow(11_000)
    vehicle.step(24 * 3600)
    assert vehicle.is_full
    assert not vehicle.is_ready
    assert vehicle.power_w == 0
    assert vehicle.energy_wh == pytest.approx(0.798 * 77_000, rel=1e-3)
    assert vehicle.step(3600) == 0


def test_vehicle_open_contactor_ends_the_power_at_once() -> None:
    """``energize`` false is 0 W, without a ramp."""
    vehicle = Vehicle(SALOON, 0.2)
    vehicle.allow(11_000)
    vehicle.step(60)
    vehicle.allow(permitted_w({**OPEN, "energize": False}, SALOON))
    assert vehicle.power_w == 0
    assert vehicle.step(60) == 0


def test_vehicle_that_pauses_draws_nothing_and_goes_on_later() -> None:
    """A pause of the EV is no end."""
    vehicle = Vehicle(SALOON, 0.2)
    vehicle.allow(11_000)
    vehicle.step(60)
    vehicle.is_paused = True
    assert (vehicle.power_w, vehicle.step(60), vehicle.is_ready) == (0, 0, False)
    vehicle.is_paused = False
    assert vehicle.step(60) > 0


def test_vehicle_whose_permit_was_lowered_in_a_pause_does_not_come_back_above_it() -> None:
    """Who draws nothing has confirmed the lower permit long before."""
    vehicle = Vehicle(SALOON, 0.3)
    vehicle.allow(11_000)
    vehicle.step(10)
    vehicle.is_paused = True
    vehicle.allow(6_900)
    vehicle.step(1)
    vehicle.is_paused = False
    assert vehicle.power_w == 6_900


def test_vehicle_in_time_lapse_is_full_sooner_at_the_same_power() -> None:
    """Sixty times faster: a sixtieth of the energy."""
    slow, fast = Vehicle(SALOON, 0.2), Vehicle(SALOON, 0.2, time_lapse=60)
    for vehicle in (slow, fast):
        vehicle.allow(11_000)
        vehicle.step(RAMP_S)
    assert fast.power_w == slow.power_w
    fast.step(1800)
    assert fast.is_full
    assert fast.energy_wh == pytest.approx(0.798 * 77_000 / 60, rel=1e-3)


@pytest.mark.parametrize(
    ("permit", "watts"),
    [
        (OPEN, 11_000),
        ({**OPEN, "limit_a": 10}, 6_900),
        ({**OPEN, "limit_a": 10, "phases": 1}, 2_300),
        ({**OPEN, "limit_a": 10, "limit_w": 5_000}, 5_000),
        ({**OPEN, "limit_a": 0}, 0),
        ({**OPEN, "energize": False}, 0),
        ({}, 0),
    ],
)
def test_permitted_w_is_the_least_of_all_limits(permit: dict[str, object], watts: float) -> None:
    """Amperes count per phase; the vehicle's own power bounds too; without ``energize`` there is none."""
    assert permitted_w(permit, SALOON) == watts


def test_permitted_w_on_dc_is_the_limit_in_watts() -> None:
    """``limit_a`` is the current at the grid's side there."""
    model = Model("bus", 300, 150_000, is_dc=True)
    assert permitted_w({**OPEN, "limit_a": 10, "limit_w": 50_000}, model) == 50_000


@pytest.mark.parametrize(("charge", "lapse"), [(-0.1, 1), (1.1, 1), (0.5, 0)])
def test_vehicle_refuses_a_battery_that_cannot_be(charge: float, lapse: float) -> None:
    """Bad numbers are named at once."""
    with pytest.raises(ValueError, match="state_of_charge"):
        Vehicle(SALOON, charge, time_lapse=lapse)
