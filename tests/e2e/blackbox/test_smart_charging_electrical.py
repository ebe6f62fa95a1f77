"""Amperes and watts: conversion, phases, rounding, and the limits of connectors and station, as one sees them."""

from __future__ import annotations

import pytest

from .charging import Station, flat, limit_of_all, profile, station
from .conftest import Rig

# 1 is as the table says; 2: one phase, 16 A; 3: 22 kW at 230.94 V; 4: 10 A by default; 5: two phases; 6: one of 110 V
OVERRIDES = """
[[charge_point.connector]]
ids = 2
phases = 1
connector_max_a = 16

[[charge_point.connector]]
ids = [3]
nominal_voltage_v = 230.94
connector_max_w = 22000

[[charge_point.connector]]
ids = "4"
connector_default_a = 10

[[charge_point.connector]]
ids = 5
phases = 2

[[charge_point.connector]]
ids = 6
phases = 1
nominal_voltage_v = 110
connector_max_a = 12.5
"""


STATION = {"connectors": 6, "security": OVERRIDES}


def test_connectors_have_limits_of_their_own(hub: Station) -> None:
    """SCA-15, SCA-16, SCA-17, CORE-SC-42: hardware, configured default, wired phases; in both units."""
    # 22000 W / (3 x 230.94 V) = 31.754... A
    assert [hub.periods(n) for n in range(1, 7)] == [
        flat(32.0),
        flat(16.0, phases=1),
        flat(31.7),
        flat(10.0),
        flat(32.0, phases=2),
        flat(12.5, phases=1),
    ]
    assert [hub.periods(n, unit="W") for n in range(1, 7)] == [
        flat(22080.0),
        flat(3680.0, phases=1),
        flat(22000.0),
        flat(6900.0),
        flat(14720.0, phases=2),
        flat(1375.0, phases=1),
    ]


def test_connector_0_adds_what_was_not_rounded(hub: Station) -> None:
    """SCA-19, SCA-21, SCA-22: the sum in the unit of the query, rounded once; the highest number of phases."""
    # 32 + 16 + 31.7542... + 10 + 32 + 12.5
    assert hub.periods(0) == flat(134.2)
    assert hub.periods(0, unit="W") == flat(22080.0 + 3680 + 22000 + 6900 + 14720 + 1375)


def test_connector_0_may_be_more_than_the_published_ones_add_up_to(rig: Rig) -> None:
    """SCA-22: three of 1.4492... A are 4.3 A, not three times 1.4."""
    hub = station(rig, connectors=3)
    hub.put(0, profile(1, (0, 1000), unit="W"))
    assert [hub.periods(n) for n in range(4)] == [flat(4.3), flat(1.4), flat(1.4), flat(1.4)]
    assert hub.periods(0, unit="W") == flat(3000.0)


def test_general_default_means_amperes_per_phase_of_each(hub: Station) -> None:
    """CORE-SC-02, CORE-SC-27, CORE-SC-28: 6 A everywhere, in watts by voltage and phases of the connector."""
    hub.put(0, profile(1, (0, 6)))
    phases = (3, 1, 3, 3, 2, 1)
    assert [hub.periods(n) for n in range(1, 7)] == [flat(6.0, phases=p) for p in phases]
    # 6 A x 3 x 230.94 V = 4156.92 W
    assert [hub.periods(n, unit="W")[0][1] for n in range(1, 7)] == [4140.0, 1380.0, 4156.9, 4140.0, 2760.0, 660.0]
    assert hub.periods(0) == flat(36.0)
    assert hub.periods(0, unit="W") == flat(17236.9)


@pytest.mark.parametrize(
    ("connector_id", "watts", "amperes"),
    [
        (1, 11040, 16.0),
        (1, 11039.9, 15.9),
        (1, 11040.1, 16.0),
        (1, 4761, 6.9),
        (1, 1000, 1.4),
        (1, 68.9, 0.0),
        (1, 69, 0.1),
        (1, 0, 0.0),
        (2, 3680, 16.0),
        (2, 1863, 8.1),
        (2, 1862.9, 8.0),
        (3, 11085.1, 15.9),
        (3, 11085.2, 16.0),
        (5, 3680, 8.0),
        (6, 1100, 10.0),
        (6, 1099.9, 9.9),
    ],
)
def test_watts_become_amperes_rounded_down(hub: Station, connector_id: int, watts: float, amperes: float) -> None:
    """CORE-SC-27, SCA-18, SCA-22: I = P / (V x phases), exact, down to a tenth; the watts stay as they are."""
    phases = {1: 3, 2: 1, 3: 3, 5: 2, 6: 1}[connector_id]
    hub.put(connector_id, profile(1, (0, watts), unit="W"))
    assert hub.periods(connector_id, unit="A") == flat(amperes, phases=phases)
    assert hub.periods(connector_id, unit="W") == flat(watts, phases=phases)


@pytest.mark.parametrize(
    ("connector_id", "amperes", "watts"),
    [(1, 16, 11040.0), (1, 8.1, 5589.0), (2, 8.1, 1863.0), (3, 16, 11085.1), (3, 0.1, 69.2), (5, 0.3, 138.0)],
)
def test_amperes_become_watts_rounded_down(hub: Station, connector_id: int, amperes: float, watts: float) -> None:
    """CORE-SC-27, SCA-18, SCA-22, X-33: P = I x V x phases; 230.94 V are taken as they are."""
    hub.put(connector_id, profile(1, (0, amperes)))
    assert hub.periods(connector_id, unit="W")[0][1] == watts
    assert hub.periods(connector_id, unit="A")[0][1] == amperes


@pytest.mark.parametrize(
    ("asked", "phases"), [(None, (3, 1, 2)), (3, (3, 1, 2)), (2, (2, 1, 2)), (1, (1, 1, 1))], ids=str
)
def test_phases_are_the_fewest_of_profile_and_wires(
    hub: Station, asked: int | None, phases: tuple[int, int, int]
) -> None:
    """CORE-SC-28, SCA-17: amperes are never recalculated, watts follow the phases that are left."""
    hub.put(0, profile(1, (0, 10, asked) if asked else (0, 10)))
    for connector_id, expected in zip((1, 2, 5), phases, strict=True):
        assert hub.periods(connector_id) == flat(10.0, phases=expected)
        assert hub.periods(connector_id, unit="W") == flat(2300.0 * expected, phases=expected)


@pytest.mark.parametrize(("phases", "amperes"), [(1, 20.0), (2, 10.0), (3, 6.6)])
def test_watts_of_a_profile_are_spread_over_its_phases(hub: Station, phases: int, amperes: float) -> None:
    """CORE-SC-27, SCA-18: 4600 W."""
    hub.put(1, profile(1, (0, 4600, phases), unit="W"))
    assert hub.periods(1) == flat(amperes, phases=phases)
    assert hub.periods(1, unit="W") == flat(4600.0, phases=phases)


def test_limit_of_all_on_one_phase_decides_the_phases_of_each(hub: Station) -> None:
    """SCA-17: the fewest phases of every applicable source, whichever is the least in the end."""
    hub.put(1, profile(1, (0, 10, 3)))
    hub.put(0, limit_of_all(2, (0, 100, 1)))
    assert hub.periods(1) == flat(10.0, phases=1)
    assert hub.periods(1, unit="W") == flat(2300.0, phases=1)


def test_sources_of_both_units_are_compared_in_one(hub: Station) -> None:
    """SCA-18, SCA-20: 10 A and 6210 W are 9 A; the watts are the least in both units."""
    hub.put(1, profile(1, (0, 10)))
    hub.put(0, limit_of_all(2, (0, 6210), unit="W"))
    assert hub.periods(1) == flat(9.0)
    assert hub.periods(1, unit="W") == flat(6210.0)
    hub.put(0, limit_of_all(2, (0, 6970), unit="W"))
    assert hub.periods(1) == flat(10.0)
    assert hub.periods(1, unit="W") == flat(6900.0)


def test_connector_0_adds_amperes_of_connectors_with_different_phases(rig: Rig) -> None:
    """SCA-20, SCA-21: 10 A on three phases and 2300 W on one are 20 A, as if on the same phase."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10)))
    hub.put(2, profile(2, (0, 2300, 1), unit="W"))
    assert hub.periods(0) == flat(20.0)
    assert hub.periods(0, unit="W") == flat(9200.0)
    hub.put(1, profile(1, (0, 10, 1)))
    assert hub.periods(0) == flat(20.0, phases=1)
    assert hub.periods(0, unit="W") == flat(4600.0, phases=1)


@pytest.mark.parametrize(
    ("limit", "amperes", "watts"),
    [
        ("station_max_a = 50", (50.0, 32.0), (34500.0, 22080.0)),
        ("station_max_a = 20.5", (20.5, 20.5), (14145.0, 14145.0)),
        ("station_max_w = 34500", (50.0, 32.0), (34500.0, 22080.0)),
        ("station_max_w = 13800", (20.0, 20.0), (13800.0, 13800.0)),
        ("station_max_a = 50\nstation_max_w = 13800", (20.0, 20.0), (13800.0, 13800.0)),
        ("station_max_a = 20.5\nstation_max_w = 34500", (20.5, 20.5), (14145.0, 14145.0)),
    ],
)
def test_station_limit_bounds_connector_0_and_each(
    rig: Rig, limit: str, amperes: tuple[float, float], watts: tuple[float, float]
) -> None:
    """SCA-16, SCA-19, CORE-SC-39: the least of all; a ChargePointMaxProfile below it decides."""
    hub = station(rig, electrical=limit)
    assert (hub.periods(0), hub.periods(1)) == (flat(amperes[0]), flat(amperes[1]))
    assert (hub.periods(0, unit="W"), hub.periods(1, unit="W")) == (flat(watts[0]), flat(watts[1]))
    hub.put(0, limit_of_all(1, (0, 12)))
    assert (hub.periods(0), hub.periods(1)) == (flat(12.0), flat(12.0))
    hub.put(0, limit_of_all(1, (0, 1000)))
    assert (hub.periods(0), hub.periods(1)) == (flat(amperes[0]), flat(amperes[1]))


def test_configured_default_holds_only_where_no_profile_has_a_period(rig: Rig) -> None:
    """SCA-15: also in the gap of a profile; a profile may be above it; a default above the hardware shows that."""
    hub = station(rig, electrical="connector_default_a = 10")
    assert (hub.periods(1), hub.periods(0)) == (flat(10.0), flat(20.0))
    hub.put(1, profile(1, (0, 20), kind="Relative", duration=60))
    assert hub.periods(1) == [(0, 20.0, 3), (60, 10.0, 3)]
    assert hub.periods(0) == [(0, 30.0, 3), (60, 20.0, 3)]
    hub.put(0, limit_of_all(2, (0, 8)))
    assert (hub.periods(1), hub.periods(0)) == (flat(8.0), flat(8.0))
    other = station(rig, electrical="connector_default_a = 0")
    assert (other.periods(1), other.periods(0)) == (flat(0.0), flat(0.0))


def test_direct_current_hub_speaks_watts_only(rig: Rig) -> None:
    """SCA-38, CORE-SC-34: ChargingScheduleAllowedChargingRateUnit is Power; A is refused, W is the default."""
    hub = station(rig, electrical='current = "dc"', maximum="connector_max_w = 150000")
    assert hub.link.value("ChargingScheduleAllowedChargingRateUnit")["value"] == "Power"
    assert hub.composite(1)["chargingSchedule"]["chargingRateUnit"] == "W"
    assert [hub.periods(n)[0][1] for n in (0, 1)] == [300_000.0, 150_000.0]
    assert hub.set(1, profile(1)) == "Rejected"
    request = {"connectorId": 1, "duration": 60, "chargingRateUnit": "A"}
    assert hub.result("GetCompositeSchedule", request) == {"status": "Rejected"}
    hub.put(1, profile(1, (0, 50_000.5), unit="W"))
    hub.put(0, limit_of_all(2, (0, 180_000), unit="W"))
    assert [hub.periods(n)[0][1] for n in (0, 1, 2)] == [180_000.0, 50_000.5, 150_000.0]
    published = hub.rpc.call("get_variable", name="charging_schedules")["value"]
    assert {s["chargingRateUnit"] for s in published.values()} == {"W"}


def test_direct_current_connector_of_an_alternating_hub_counts_on_the_grid_side(rig: Rig) -> None:
    """SCA-38: A is W / (nominal AC voltage x phases), never amperes of the vehicle; 50 kW are 72.4 A."""
    direct = '[[charge_point.connector]]\nids = 2\ncurrent = "dc"\nconnector_max_w = 50000'
    hub = station(rig, security=direct)
    assert (hub.periods(2), hub.periods(2, unit="W")) == (flat(72.4), flat(50_000.0))
    assert (hub.periods(0), hub.periods(0, unit="W")) == (flat(104.4), flat(72_080.0))
