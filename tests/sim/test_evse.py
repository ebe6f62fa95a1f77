"""A simulated connector: levels, register, permits, errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.sim.evse import Evse, Wiring
from ocpphub.sim.vehicle import MODELS, Model, Vehicle

SALOON = MODELS[2]


def state(seq: int = 1, limit_a: float = 32.0, *, energize: bool = True) -> dict[str, Any]:
    permit = {"seq": seq, "energize": energize, "limit_a": limit_a, "limit_w": 1e6, "phases": 3}
    return {"connector_id": 1, "status": "Charging", "permit": permit, "transaction": None}


def charging(wiring: Wiring | None = None, **changes: Any) -> Evse:
    """A connector with a vehicle that charges, at second 10."""
    evse = Evse(1, wiring, **changes)
    evse.pass_time(0)
    evse.plug(Vehicle(SALOON, 0.3))
    evse.take(state())
    evse.pass_time(10)
    return evse


def test_evse_without_a_vehicle_reports_that() -> None:
    """The first report after an attach has all levels."""
    assert Evse(1, register_wh=7).levels() == {
        "connector_id": 1,
        "plugged": False,
        "ev_ready": False,
        "evse_ready": True,
        "energy_wh": 7,
        "errors": [],
    }
    assert Evse(1).measurements() == []


def test_evse_obeys_the_permit_and_says_which_one() -> None:
    """``permit_seq`` is the permit that is applied."""
    evse = charging()
    assert evse.power_w == 11_000
    evse.take(state(2, 10.0))
    evse.pass_time(15)
    assert evse.power_w == 6_900
    assert evse.levels()["permit_seq"] == 2
    evse.take(state(3, energize=False))
    assert evse.power_w == 0


def test_evse_confirms_a_lower_permit_when_the_vehicle_has_come_down_to_it() -> None:
    """decisions.md 5: what is confirmed is not drawn any more, so that others may be given it."""
    evse = charging()
    assert evse.levels()["permit_seq"] == 1
    evse.take(state(2, 10.0))
    assert evse.levels()["permit_seq"] == 1
    evse.pass_time(11)
    assert (evse.power_w > 6_900, evse.levels()["permit_seq"]) == (True, 1)
    evse.take(state(3, 9.0))
    evse.pass_time(15)
    assert (evse.power_w, evse.levels()["permit_seq"]) == (6_210, 3)
    evse.take(state(4, 16.0))
    assert evse.levels()["permit_seq"] == 4


def test_evse_confirms_nothing_after_an_attach_before_it_is_applied() -> None:
    """The hub may count permits anew: a number of before means nothing to it."""
    evse = charging()
    evse.take(state(1, 6.0), is_new=True)
    assert "permit_seq" not in evse.levels()
    evse.pass_time(20)
    assert evse.levels()["permit_seq"] == 1
    evse.lose_the_hub()
    assert "permit_seq" not in evse.levels()


def test_evse_current_is_that_of_the_phases_that_carry_it() -> None:
    """A permit for fewer phases takes all of the current onto them."""
    evse = charging()
    assert evse.current_a == pytest.approx(11_000 / 690)
    one = state(2, 16.0)
    one["permit"]["phases"] = 1
    evse.take(one)
    evse.pass_time(20)
    assert (evse.power_w, evse.current_a) == (3_680, 16.0)
    assert [row["phase"] for row in evse.measurements() if row["measurand"] == "Current.Import"] == ["L1"]
    assert Evse(1).current_a == 0


def test_evse_keeps_to_the_newest_permit() -> None:
    """An answer that was overtaken changes nothing; after an attach the hub may count anew."""
    evse = charging()
    evse.take(state(5, 10.0))
    evse.take(state(4, 32.0))
    evse.pass_time(20)
    assert (evse.power_w, evse.levels()["permit_seq"]) == (6_900, 5)
    evse.take(state(1, 16.0), is_new=True)
    assert evse.levels()["permit_seq"] == 1


def test_evse_without_a_hub_falls_back_until_it_is_found() -> None:
    """decisions.md 5: a lease that has run out leaves the fallback current."""
    evse = charging(Wiring(fallback_current_a=6.0))
    evse.lose_the_hub()
    evse.pass_time(15)
    assert evse.power_w == 6 * 230 * 3
    evse.find_the_hub()
    evse.pass_time(20)
    assert evse.power_w == 11_000
    none = charging()
    none.lose_the_hub()
    assert none.power_w == 0


def test_evse_plugs_are_told_apart() -> None:
    """Another vehicle is another ``plug_id``, in another run of the simulator too."""
    evse = charging()
    first = evse.levels()["plug_id"]
    assert evse.levels()["plug_id"] == first
    evse.unplug()
    assert "plug_id" not in evse.levels()
    evse.plug(Vehicle(SALOON, 0.3))
    assert len({first, evse.levels()["plug_id"], charging().levels()["plug_id"]}) == 3


def test_evse_fault_ends_the_power_and_a_warning_does_not() -> None:
    """CORE-STAT-07: only an inoperative error."""
    evse = charging()
    evse.fault("OtherError", inoperative=False, info="door open")
    assert (evse.power_w, evse.levels()["evse_ready"]) == (11_000, True)
    evse.fault("GroundFailure")
    assert (evse.power_w, evse.levels()["evse_ready"]) == (0, False)
    assert evse.levels()["errors"] == [
        {"error_code": "OtherError", "inoperative": False, "info": "door open"},
        {"error_code": "GroundFailure", "inoperative": True},
    ]
    evse.repair()
    evse.pass_time(20)
    assert (evse.power_w, evse.levels()["errors"]) == (11_000, [])


@given(st.lists(st.tuples(st.sampled_from(MODELS), st.floats(0.0, 3_600.0)), max_size=8), st.integers(0, 10**6))
def test_evse_register_never_falls_and_holds_every_vehicle(visits: list[tuple[Model, float]], start_wh: int) -> None:
    """E1: whole watt-hours, whoever comes and goes."""
    evse = Evse(1, register_wh=start_wh)
    now_s, total_wh, shown_wh = 0.0, 0.0, start_wh
    for model, stays_s in visits:
        vehicle = Vehicle(model, 0.1)
        evse.pass_time(now_s)
        evse.plug(vehicle)
        evse.take(state())
        now_s += stays_s
        evse.pass_time(now_s)
        assert evse.register_wh >= shown_wh
        shown_wh = evse.register_wh
        assert evse.unplug() is vehicle
        assert evse.register_wh == shown_wh
        total_wh += vehicle.energy_wh
    assert evse.register_wh == pytest.approx(start_wh + total_wh, abs=1)


def test_evse_measures_on_the_phases_that_carry_current() -> None:
    """Power, current and voltage per phase, and the state of charge; on DC no phases."""
    values = {(row["measurand"], row.get("phase")): row["value"] for row in charging().measurements()}
    assert values[("Power.Active.Import", None)] == 11_000
    assert values[("Current.Import", "L3")] == pytest.approx(15.94)
    assert values[("Voltage", "L1-N")] == 230
    assert 30 <= values[("SoC", None)] < 31
    dc = Evse(1)
    dc.plug(Vehicle(Model("bus", 300, 150_000, is_dc=True), 0.5))
    assert {row["measurand"] for row in dc.measurements()} == {"Power.Active.Import", "SoC"}


def test_evse_takes_one_vehicle_at_a_time() -> None:
    """What cannot be is named."""
    evse = charging()
    with pytest.raises(ValueError, match="taken"):
        evse.plug(Vehicle(SALOON, 0.5))
    evse.unplug()
    with pytest.raises(ValueError, match="nothing is plugged in"):
        evse.unplug()


def test_evse_register_can_be_set_while_a_vehicle_charges() -> None:
    """A new run takes up where the hub's knowledge ends."""
    evse = charging()
    evse.set_register(50_000)
    assert evse.register_wh == 50_000
    evse.pass_time(20)
    assert evse.register_wh > 50_000
