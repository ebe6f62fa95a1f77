"""The variable ``charging_schedules`` from the configured limits."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.builders import Csms, World, electrical, hub, override, settings


def schedules(world: World) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(world.core.charging_schedules(world.now))
    return result


def limits(**changes: Any) -> dict[str, float]:
    unit = changes.pop("schedule_unit", None)
    world = World(settings(**changes), hub=hub(schedule_unit=unit))
    return {key: row["chargingSchedulePeriod"][0]["limit"] for key, row in schedules(world).items()}


def test_schedules_hold_one_schedule_per_connector_and_for_zero() -> None:
    """CORE-GEN-04: the shape of the published interface."""
    world = World(csms=Csms(offset_ms=3_600_000)).boot()
    rows = schedules(world)
    assert list(rows) == ["0", "1", "2", "3"]
    assert rows["2"] == {
        "chargingRateUnit": "A",
        "duration": 600,
        "startSchedule": "2027-01-15T09:16:40Z",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0, "numberPhases": 3}],
    }


def test_schedules_of_connector_zero_are_the_bounded_sum() -> None:
    """CORE-GEN-04: sum of unrounded limits, then the station's own."""
    assert limits()["0"] == 96.0
    assert limits(electrical=electrical(station_max_a=63.5))["0"] == 63.5
    assert limits(electrical=electrical(station_max_w=11_040.0))["0"] == 16.0


def test_schedules_are_rounded_down_once() -> None:
    """CORE-GEN-04: 10,000 W at 3 x 230 V are 14.49 A each and 43.47 A together."""
    found = limits(electrical=electrical(connector_max_a=None, connector_max_w=10_000.0))
    assert found == {"0": 43.4, "1": 14.4, "2": 14.4, "3": 14.4}


def test_schedules_in_watts_follow_voltage_and_phases() -> None:
    """CORE-GEN-04."""
    found = limits(schedule_unit="W", electrical=electrical(connector_max_a=16.0))
    assert found == {"0": 33_120.0, "1": 11_040.0, "2": 11_040.0, "3": 11_040.0}


def test_schedules_of_a_dc_hub_are_in_watts() -> None:
    """CORE-GEN-04: the first allowed unit."""
    world = World(settings(electrical=electrical(current="dc", connector_max_a=None, connector_max_w=150_000.0)))
    assert {row["chargingRateUnit"] for row in schedules(world).values()} == {"W"}


def test_schedules_follow_the_overrides_of_a_connector() -> None:
    """CORE-GEN-04."""
    overrides = (override([2], connector_max_a=10.0, phases=1), override([3], connector_max_w=6_900.0))
    rows = schedules(World(settings(connector_overrides=overrides)))
    periods = {key: row["chargingSchedulePeriod"][0] for key, row in rows.items()}
    assert periods["2"] == {"startPeriod": 0, "limit": 10.0, "numberPhases": 1}
    assert periods["3"]["limit"] == 10.0
    assert periods["0"]["limit"] == 52.0


def test_schedules_are_published_at_start_and_on_the_interval() -> None:
    """CORE-GEN-04: rpc.md, every publish_interval_s, connected or not."""
    world = World(hub=hub(publish_interval_s=20.0, publish_duration_s=900)).start()
    assert [row["0"]["duration"] for row in world.published("charging_schedules")] == [900]
    world.forget().advance(60)
    starts = [row["0"]["startSchedule"][-3:-1] for row in world.published("charging_schedules")]
    assert starts == ["00", "20", "40"]


@pytest.mark.parametrize("interval_s", [0.0])
def test_schedules_without_interval_are_published_once(interval_s: float) -> None:
    """CORE-GEN-04: 0 means only on change."""
    world = World(hub=hub(publish_interval_s=interval_s)).start().forget().advance(1_000)
    assert world.published("charging_schedules") == []
