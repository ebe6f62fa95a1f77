"""Permits that follow the limits, a few at a time."""

from __future__ import annotations

from ocpphub.core.charging import SLICE, SPACING_S
from tests import builders
from tests.builders import World


def charging(connectors: int) -> World:
    world = World(builders.settings(connectors=connectors)).boot().attach()
    for connector_id in range(1, connectors + 1):
        world.charge(connector_id, f"TAG{connector_id}")
    return world.advance(1).forget()


def limits(world: World) -> list[float]:
    return [state["permit"]["limit_a"] for state in world.core.connector_states()]


def test_permits_of_a_whole_hub_follow_in_slices_within_a_second() -> None:
    """CORE-SC-02, S2: no turn of the loop has more than a few hundred of them."""
    world = charging(2 * SLICE + 1)
    assert world.install(0, 1, "ChargePointMaxProfile") == "Accepted"
    turns = []
    while (due_s := world.core.next_deadline()) is not None and due_s <= world.time_s + 0.5:
        before = limits(world).count(16.0)
        world.time_s = max(due_s, world.time_s)
        world.core.handle_timer(world.now)
        world.settle()
        turns.append(limits(world).count(16.0) - before)
    assert sum(turns) == 2 * SLICE + 1
    assert max(turns) <= SLICE


def test_permit_of_one_connector_leaves_the_others_alone() -> None:
    """CORE-SC-06: a profile of a connector is read for that connector."""
    world = charging(3)
    world.install(2, 1)
    world.advance(1)
    assert limits(world) == [32.0, 16.0, 32.0]
    assert [state["connector_id"] for state in world.published("connector.permit")] == [2]


def test_permits_of_a_storm_are_read_once_in_a_while() -> None:
    """T20: changes that come faster than limits are read are read together."""
    world = charging(1)
    for limit in range(6, 30):
        world.install(1, 1, chargingSchedulePeriod=builders.periods((0, float(limit))))
    world.advance(SPACING_S)
    assert limits(world) == [29.0]
    assert len(world.published("connector.permit")) <= 2
