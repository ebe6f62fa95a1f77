"""When schedules are published, and what of them: ``charging_schedules`` and ``connector.schedule``."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.core.charging_schedules import SETTLE_S, SLICE, second_text
from ocpphub.core.effects import Publish
from tests.builders import Csms, World, charging_profile, electrical, hub, override, periods, settings


def schedules(world: World) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(world.core.charging_schedules(world.now))
    return result


def limits(**changes: Any) -> dict[str, float]:
    unit = changes.pop("schedule_unit", None)
    world = World(settings(**changes), hub=hub(schedule_unit=unit))
    return {key: row["chargingSchedulePeriod"][0]["limit"] for key, row in schedules(world).items()}


def quiet(connectors: int = 3, **changes: Any) -> World:
    """A booted world long after its last publication, which publishes by itself only on change."""
    world = World(settings(connectors=connectors), hub=hub(**{"publish_interval_s": 0.0} | changes)).boot()
    return world.advance(100).forget()


def watched(connectors: int = 3, **changes: Any) -> World:
    world = quiet(connectors, **changes)
    world.core.watch_schedules(True, world.now)
    return world.settle()


def times(world: World, topic: str = "charging_schedules") -> int:
    return len(world.published(topic))


# the value


def test_schedules_hold_one_schedule_per_connector_and_for_zero() -> None:
    """CORE-GEN-04, CORE-SC-39: the shape of the published interface, in the CSMS's time."""
    world = World(csms=Csms(offset_ms=3_600_000)).boot()
    rows = schedules(world)
    assert list(rows) == ["0", "1", "2", "3"]
    assert rows["2"] == {
        "chargingRateUnit": "A",
        "duration": 600,
        "startSchedule": "2027-01-15T09:16:40Z",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0, "numberPhases": 3}],
    }


def test_schedules_of_some_connectors_are_those_of_all() -> None:
    """CORE-SC-39: a controller of few connectors costs few schedules."""
    world = World(hub=hub(schedule_unit="W")).boot()
    world.install(2, chargingSchedulePeriod=periods((0, 10), (60, 20)))
    everything = schedules(world)
    some = orjson.loads(world.core.schedules.publication.texts([0, 2], world.now))
    assert some == {key: everything[key] for key in ("0", "2")}
    assert world.core.schedules.publication.texts([], world.now) == b"{}"


def test_schedules_of_connector_zero_are_the_bounded_sum() -> None:
    """CORE-GEN-04, SCA-19: sum of unrounded limits, then the station's own."""
    assert limits()["0"] == 96.0
    assert limits(electrical=electrical(station_max_a=63.5))["0"] == 63.5
    assert limits(electrical=electrical(station_max_w=11_040.0))["0"] == 16.0


def test_schedules_are_rounded_down_once() -> None:
    """CORE-GEN-04, SCA-22: 10,000 W at 3 x 230 V are 14.49 A each and 43.47 A together."""
    found = limits(electrical=electrical(connector_max_a=None, connector_max_w=10_000.0))
    assert found == {"0": 43.4, "1": 14.4, "2": 14.4, "3": 14.4}


def test_schedules_in_watts_follow_voltage_and_phases() -> None:
    """CORE-GEN-04, CORE-SC-27."""
    found = limits(schedule_unit="W", electrical=electrical(connector_max_a=16.0))
    assert found == {"0": 33_120.0, "1": 11_040.0, "2": 11_040.0, "3": 11_040.0}


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({"electrical": electrical(current="dc", connector_max_a=None, connector_max_w=150_000.0)}, "W"),
        ({"configuration": {"ChargingScheduleAllowedChargingRateUnit": "Power,Current"}}, "W"),
        ({"configuration": {"ChargingScheduleAllowedChargingRateUnit": "Current"}}, "A"),
    ],
)
def test_schedules_are_in_the_first_allowed_unit(changes: dict[str, Any], unit: str) -> None:
    """SCA-23, SCA-38: on a DC hub that is W."""
    assert {row["chargingRateUnit"] for row in schedules(World(settings(**changes))).values()} == {unit}


def test_schedules_follow_the_overrides_of_a_connector() -> None:
    """CORE-GEN-04, SCA-17."""
    overrides = (override([2], connector_max_a=10.0, phases=1), override([3], connector_max_w=6_900.0))
    rows = schedules(World(settings(connector_overrides=overrides)))
    found = {key: row["chargingSchedulePeriod"][0] for key, row in rows.items()}
    assert found["2"] == {"startPeriod": 0, "limit": 10.0, "numberPhases": 1}
    assert found["3"]["limit"] == 10.0
    assert found["0"]["limit"] == 52.0


@pytest.mark.parametrize(
    ("second", "text"),
    [(0, "1970-01-01T00:00:00Z"), (-62_135_596_800, "0001-01-01T00:00:00Z"), (253_402_300_799, "9999-12-31T23:59:59Z")],
)
def test_second_is_written_without_decimals(second: int, text: str) -> None:
    """CORE-GEN-06."""
    assert second_text(second) == text


# when


def test_schedules_are_published_at_start_and_on_the_interval() -> None:
    """CORE-GEN-04: rpc.md, every publish_interval_s, connected or not."""
    world = World(hub=hub(publish_interval_s=20.0, publish_duration_s=900)).start()
    assert [row["0"]["duration"] for row in world.published("charging_schedules")] == [900]
    world.forget().advance(60)
    starts = [row["0"]["startSchedule"][-3:-1] for row in world.published("charging_schedules")]
    assert starts == ["00", "20", "40"]


def test_schedules_without_interval_are_published_once() -> None:
    """CORE-GEN-04: 0 means only on change."""
    world = World(hub=hub(publish_interval_s=0.0)).start().forget().advance(1_000)
    assert world.published("charging_schedules") == []


def test_schedules_follow_a_change_as_soon_as_it_has_settled() -> None:
    """CORE-SC-45."""
    world = quiet()
    world.install(0)
    assert times(world) == 0
    world.advance(SETTLE_S)
    (value,) = world.published("charging_schedules")
    assert value["1"]["chargingSchedulePeriod"][0]["limit"] == 16.0
    assert times(world.advance(100)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.ask("ClearChargingProfile"),
        lambda world: world.core.schedules.transaction_started(1, 1_800_000_000, None, world.now),
        lambda world: world.core.schedules.transaction_stopped(1, world.now),
    ],
)
def test_schedules_follow_every_kind_of_change(change: Any) -> None:
    """CORE-SC-45, CORE-SC-15: cleared, transaction started, stopped; purge and clock have tests of their own."""
    world = quiet()
    world.install(0)
    world.advance(100).forget()
    change(world)
    world.advance(SETTLE_S)
    assert times(world) == 1


def test_schedules_after_a_burst_are_published_once() -> None:
    """CORE-SC-45: five thousand profiles at one moment."""
    world = quiet(connectors=5_000)
    for connector_id in range(1, 5_001):
        world.install(connector_id, connector_id)
    world.advance(10)
    (value,) = world.published("charging_schedules")
    assert {row["chargingSchedulePeriod"][0]["limit"] for key, row in value.items() if key != "0"} == {16.0}


def test_schedules_during_a_long_storm_are_published_once_per_interval() -> None:
    """CORE-SC-45: never more often than publish_min_interval_s, never later than that after the first change."""
    world = quiet(publish_min_interval_s=2.0)
    began_s = world.time_s
    for number in range(100):
        world.install(1, number, stackLevel=number % 10)
        world.advance(0.1 if number % 2 else 0.02)
    at = [effect for effect in world.effects if isinstance(effect, Publish) and effect.topic == "charging_schedules"]
    assert world.time_s - began_s == pytest.approx(6.0)
    assert len(at) == 3


def test_schedules_that_change_right_after_a_publication_wait_their_time() -> None:
    """CORE-SC-45: rpc.md, at most once per publish_min_interval_s."""
    world = quiet()
    world.install(1)
    world.advance(SETTLE_S)
    world.install(2)
    assert times(world.advance(0.9)) == 1
    assert times(world.advance(0.1)) == 2


def test_schedules_without_a_least_interval_follow_every_change_at_once() -> None:
    """CORE-SC-45: publish_min_interval_s = 0."""
    world = quiet(publish_min_interval_s=0.0)
    for connector_id in (1, 2):
        world.install(connector_id, connector_id)
        world.advance(0)
    assert times(world) == 2


def test_schedules_that_changed_shortly_before_the_interval_are_published_with_it() -> None:
    """CORE-SC-45: one publication for both reasons."""
    world = World(hub=hub()).boot().advance(29.97).forget()
    world.install(1)
    world.advance(1)
    assert times(world) == 1
    assert times(world.advance(29.5)) == 2


def test_schedules_move_when_the_clock_steps() -> None:
    """CORE-SC-45, CORE-SC-23: reliability 4.7, absolute schedules are judged anew."""
    world = World(csms=Csms(interval_s=60), hub=hub(publish_interval_s=0.0)).boot().advance(10).forget()
    world.csms.offset_ms = 7_200_000
    world.advance(60)
    (value,) = world.published("charging_schedules")
    assert value["0"]["startSchedule"].startswith("2027-01-15T10:17")


# the topic of single connectors


def test_schedule_of_a_connector_is_published_only_while_somebody_listens() -> None:
    """rpc.md ``connector.schedule``: CORE-SC-45."""
    world = quiet()
    world.install(2)
    world.advance(1)
    assert times(world, "connector.schedule") == 0
    world.core.watch_schedules(True, world.now)
    world.settle()
    assert times(world, "connector.schedule") == 0
    world.install(1, 9)
    world.advance(1)
    values = world.published("connector.schedule")
    assert [value["connector_id"] for value in values] == [0, 1]
    assert values[1]["schedule"] == world.published("charging_schedules")[-1]["1"]
    world.core.watch_schedules(False, world.now)
    world.install(3, 10)
    world.forget().advance(1)
    world.core.watch_schedules(True, world.now)
    world.settle().advance(1)
    assert times(world, "connector.schedule") == 0


def test_schedule_of_a_connector_names_it_to_those_who_filter() -> None:
    """rpc.md ``connector.schedule``: T41."""
    world = watched()
    world.install(3)
    world.advance(1)
    found = [effect for effect in world.effects if isinstance(effect, Publish) and effect.topic == "connector.schedule"]
    assert [effect.connector_id for effect in found] == [0, 3]


def test_schedule_that_only_passes_a_boundary_is_not_published_again() -> None:
    """CORE-SC-45: design 0008 item 12."""
    world = watched(publish_interval_s=30.0)
    world.install(1, startSchedule="2027-01-15T08:00:00Z", chargingProfileKind="Absolute",
                  chargingSchedulePeriod=periods((0, 10), (1_200, 20), (3_000, 6)))  # fmt: skip
    world.advance(1).forget()
    world.advance(300)
    assert times(world) == 10
    assert times(world, "connector.schedule") == 0
    world.advance(1_500)
    assert {value["connector_id"] for value in world.published("connector.schedule")} == {0, 1}


def test_schedules_of_thousands_leave_in_slices() -> None:
    """CORE-SC-45: no turn of the loop publishes more than a slice, and all arrive."""
    world = watched(connectors=1_000)
    world.install(0)
    world.advance(SETTLE_S - 1e-6)
    sizes: list[int] = []
    while times(world, "connector.schedule") < 1_001:
        before = times(world, "connector.schedule")
        world.core.handle_timer(deadline(world))
        world.settle()
        sizes.append(times(world, "connector.schedule") - before)
    assert sizes == [SLICE] * 5 + [1]
    assert {value["connector_id"] for value in world.published("connector.schedule")} == set(range(1_001))
    assert times(world) == 1


def deadline(world: World) -> Any:
    """The moment of the next timer, which is the present one from then on."""
    due_s = world.core.next_deadline()
    assert due_s is not None
    world.time_s = max(world.time_s, due_s)
    return world.now


def test_schedules_of_thousands_that_nobody_wants_any_more_stop() -> None:
    """CORE-SC-45, rpc.md ``connector.schedule``: the rest of the slices is dropped with the last listener."""
    world = watched(connectors=1_000)
    world.install(0)
    world.advance(SETTLE_S - 1e-6)
    world.core.handle_timer(deadline(world))
    world.settle()
    world.core.watch_schedules(False, world.now)
    world.advance(10)
    assert times(world, "connector.schedule") == SLICE


def test_schedule_of_a_profile_that_is_set_again_is_no_news() -> None:
    """CORE-SC-09: design 0008 item 12."""
    world = watched()
    profile = charging_profile(5, chargingSchedulePeriod=periods((0, 9)))
    world.ask("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    world.advance(10).forget()
    world.ask("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    world.advance(10)
    assert times(world) == 1
    assert times(world, "connector.schedule") == 0
