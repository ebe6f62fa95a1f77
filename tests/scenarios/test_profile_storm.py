"""A charging profile for each of ten thousand connectors, on virtual time: answered, stored, published in time."""

from __future__ import annotations

import orjson
import pytest

from ocpphub.core.effects import Send, Store
from tests.builders import Csms, World, hub, periods, settings

N = 10_000
STEP_S = 0.000_25
"""4,000 profiles a second: the storm lasts two and a half seconds."""


@pytest.fixture(scope="module")
def storm() -> World:
    """A hub after the storm; somebody listens to the schedules of single connectors."""
    world = World(settings(connectors=N), csms=Csms(silent={"StatusNotification"}), hub=hub()).boot()
    world.core.watch_schedules(True, world.now)
    world.settle().advance(5).forget()
    for connector_id in range(1, N + 1):
        world.install(connector_id, connector_id, chargingSchedulePeriod=periods((0, 6 + connector_id % 20)))
        world.advance(STEP_S)
    return world.advance(1.0)


def test_storm_is_answered_one_by_one_after_its_rows(storm: World) -> None:
    """CORE-SC-16, CORE-RPC-06, D6: every row is in the outputs before its answer."""
    assert [answer[2] for answer in storm.answers] == [{"status": "Accepted"}] * N
    kinds = [type(effect) for effect in storm.effects if isinstance(effect, Store | Send)]
    assert kinds == [Store, Send] * N
    assert {key for table, key in storm.rows if table == "charging_profile"} == {str(i) for i in range(1, N + 1)}


def test_storm_is_published_at_most_once_a_second_and_completely_within_one(storm: World) -> None:
    """CORE-SC-45: schedules are current within 1 s of the last profile, without a publication for each."""
    values = storm.published("charging_schedules")
    assert len(values) == 3
    limits = {int(key): row["chargingSchedulePeriod"][0]["limit"] for key, row in values[-1].items()}
    assert {limits[i] for i in range(1, N + 1)} == {6.0 + rest for rest in range(20)}
    assert limits[0] == sum(6 + i % 20 for i in range(1, N + 1))


def test_storm_reaches_the_listeners_of_single_connectors_once_each(storm: World) -> None:
    """CORE-SC-45: once for every connector that changed."""
    told = [value["connector_id"] for value in storm.published("connector.schedule")]
    assert set(told) == set(range(N + 1))
    assert len([connector_id for connector_id in told if connector_id]) == N


def test_storm_is_there_after_a_crash(storm: World) -> None:
    """CORE-SC-16, D10: the same schedules from the rows alone, and the same again."""
    again = storm.crash(hub=hub()).start()
    assert len(again.core.schedules) == N
    assert again.published("charging_schedules")[0] == orjson.loads(storm.core.charging_schedules(storm.now))


def test_storm_of_the_same_profiles_replaces_and_keeps_their_number(storm: World) -> None:
    """CORE-SC-09, SCA-28: at the limit of installed profiles too."""
    point = settings(connectors=N, configuration={"MaxChargingProfilesInstalled": str(N)})
    world = storm.crash(point=point).start().connect().advance(0)
    for connector_id in range(1, N + 1, 100):
        assert world.install(connector_id, connector_id, chargingSchedulePeriod=periods((0, 31))) == "Accepted"
    assert world.install(1, N + 1, stackLevel=5) == "Rejected"
    assert len(world.core.schedules) == N
    world.advance(2)
    value = world.published("charging_schedules")[-1]
    assert value["101"]["chargingSchedulePeriod"][0]["limit"] == 31.0


def test_storm_ends_with_one_message_that_clears_all(storm: World) -> None:
    """CORE-SC-35: every row goes before the answer."""
    world = storm.crash().start().connect().advance(0)
    assert world.ask("ClearChargingProfile") == {"status": "Accepted"}
    assert not [key for table, key in world.rows if table == "charging_profile"]
    assert len(world.core.schedules) == 0
