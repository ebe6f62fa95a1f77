"""Permits that follow the limits, a few at a time."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.core.permits import SLICE, SPACING_S
from ocpphub.errors import LocalError
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
    assert world.install(0, 1, "TxDefaultProfile") == "Accepted"
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


def permits(world: World) -> list[tuple[bool, float]]:
    return [(state["permit"]["energize"], state["permit"]["limit_a"]) for state in world.core.connector_states()]


def confirming(world: World, seconds: float = 1.0) -> World:
    """Let time pass; every controller confirms what it was told."""
    for _ in range(4):
        world.advance(seconds / 4)
        for state in world.core.connector_states():
            world.report(state["connector_id"], permit_seq=state["permit"]["seq"])
    return world.advance(0.1)


def test_maximum_of_the_charge_point_is_shared_by_its_permits() -> None:
    """decisions.md 5: connector 0's limit is one more feeder; the composites show the whole of it all the same."""
    world = charging(3)
    assert (
        world.install(0, 1, "ChargePointMaxProfile", chargingSchedulePeriod=builders.periods((0, 24.0))) == "Accepted"
    )
    confirming(world)
    assert permits(world) == [(True, 8.0)] * 3
    assert world.core.schedules.limit(1, world.now).limit_a == 24.0
    told = b"".join(world.core.allocation([1, 2, 3]))
    found = orjson.loads(told)
    assert (found["limit_a"], found["claimed_a"], found["shortfall"]) == (24.0, 24.0, False)
    assert {each["reason"] for each in found["connectors"].values()} == {"shared"}
    assert found["connectors"]["2"]["composite_a"] == 24.0
    world.ask("ClearChargingProfile", {})
    confirming(world)
    assert permits(world) == [(True, 32.0)] * 3


def test_decrease_that_is_known_comes_before_its_boundary() -> None:
    """decisions.md 5: lead_s early, of the connector and of the charge point; an increase comes at the boundary."""
    world = charging(2)
    world.install(1, 1, "TxProfile", chargingSchedulePeriod=builders.periods((0, 32.0), (60, 10.0), (120, 20.0)))
    world.advance(48)
    assert permits(world)[0] == (True, 32.0)
    world.advance(2)
    assert permits(world)[0] == (True, 10.0)
    world.advance(68)
    assert permits(world)[0] == (True, 10.0)
    world.advance(2)
    assert permits(world)[0] == (True, 20.0)


def test_vehicle_that_takes_less_leaves_the_rest_to_the_others() -> None:
    """rpc.md max_current_a: amperes per phase that the vehicle and its cable take."""
    world = charging(2)
    world.install(0, 1, "ChargePointMaxProfile", chargingSchedulePeriod=builders.periods((0, 40.0)))
    confirming(world)
    assert permits(world) == [(True, 20.0)] * 2
    world.report(1, max_current_a=10.05)
    confirming(world)
    assert permits(world) == [(True, 10.0), (True, 30.0)]


def test_only_few_can_charge_and_they_take_turns() -> None:
    """decisions.md 5: a share is 0 or the minimum; who waits is SuspendedEVSE until its turn."""
    world = charging(3)
    world.install(0, 1, "ChargePointMaxProfile", chargingSchedulePeriod=builders.periods((0, 13.0)))
    confirming(world)
    assert permits(world) == [(True, 6.5), (True, 6.5), (True, 0.0)]
    assert world.core.connector_state(3)["status"] == "SuspendedEVSE"
    confirming(world, 900.0)
    assert permits(world)[2] == (True, 6.5)
    assert [amperes for _, amperes in permits(world)].count(0.0) == 1


def test_energy_manager_caps_at_once_and_for_a_time() -> None:
    """rpc.md station.set_limit: expires to the configured limit, survives a restart, shows in explain as external."""
    world = charging(2)
    world.command("set_limit", 20, None, None, 600)
    world.advance(0.2)
    assert permits(world) == [(True, 10.0)] * 2
    (first, *_) = orjson.loads(b"".join(world.core.explain(0, 1_200, "A", None, world.now)))
    assert (first["winner"], first["limit"]) == ({"kind": "external"}, 20.0)
    assert orjson.loads(b"".join(world.core.explain(0, 1_200, "A", None, world.now)))[-1]["winner"] != {
        "kind": "external"
    }
    confirming(world)
    again = world.crash().boot()
    assert orjson.loads(b"".join(again.core.allocation([1, 2])))["limit_a"] == 20.0
    again.advance(700)
    assert orjson.loads(b"".join(again.core.allocation([1, 2])))["limit_a"] is None
    assert not [key for key in again.rows if key[0] == "external_limit"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((None, None, None, 60), "/params/limit_a"),
        ((1, 1, None, 60), "/params/limit_a"),
        ((-1, None, None, 60), "/params/limit_a"),
        ((True, None, None, 60), "/params/limit_a"),
        ((float("nan"), None, None, 60), "/params/limit_a"),
        ((1.0001, None, None, 60), "/params/limit_a"),
        ((None, 1e12, None, 60), "/params/limit_w"),
        ((None, "5", None, 60), "/params/limit_w"),
        ((5, None, "nowhere", 60), "/params/feeder"),
        ((5, None, 7, 60), "/params/feeder"),
        ((5, None, None, 0), "/params/valid_for_s"),
        ((5, None, None, True), "/params/valid_for_s"),
        ((5, None, None, 10**9), "/params/valid_for_s"),
    ],
)
def test_absurd_limit_changes_nothing(arguments: tuple[Any, ...], path: str) -> None:
    """Issue 5: an error that names the field and what is allowed."""
    world = charging(1)
    with pytest.raises(LocalError) as caught:
        world.command("set_limit", *arguments)
    assert caught.value.path == path
    assert caught.value.hint
    assert limits(world) == [32.0]
    assert not [key for key in world.rows if key[0] == "external_limit"]


def test_controller_that_does_not_confirm_gets_no_lease_any_more() -> None:
    """decisions.md 5: it counts until its lease ends, so the lease has to end."""
    world = charging(2)
    for connector_id in (1, 2):
        world.report(connector_id, permit_seq=world.core.connector_state(connector_id)["permit"]["seq"])
    assert world.core.attached_controllers() == {builders.CONTROLLER.number}
    world.command("set_limit", 20, None, None, 600)
    world.advance(6)
    assert permits(world) == [(False, 0.0)] * 2
    assert world.core.attached_controllers() == set()
    confirming(world, 2.0)
    assert world.core.attached_controllers() == {builders.CONTROLLER.number}
    assert permits(world) == [(True, 10.0)] * 2


def phases(world: World) -> list[tuple[int, float, float]]:
    permits = [state["permit"] for state in world.core.connector_states()]
    return [(permit["phases"], permit["limit_a"], permit["limit_w"]) for permit in permits]


def on_phases(world: World, count: int, limit_a: float = 32.0) -> World:
    """A profile on so many phases from now on."""
    period = {"startPeriod": 0, "limit": limit_a, "numberPhases": count}
    assert world.install(1, 1, chargingSchedulePeriod=[period]) == "Accepted"
    return confirming(world)


def test_running_transaction_keeps_its_phases() -> None:
    """CORE-SC-44: no change of phases within a transaction; no watt more than the schedule has, and no ampere."""
    world = charging(1)
    assert phases(world) == [(3, 32.0, 22_080.0)]
    on_phases(world, 1)
    assert phases(world) == [(3, 10.6, 7_314.0)]  # 7,360 W on three phases
    on_phases(world, 1, 16.0)
    assert phases(world) == [(3, 0.0, 0.0)]  # 5.3 A are below the minimum
    on_phases(world, 3, 20.0)
    assert phases(world) == [(3, 20.0, 13_800.0)]


def test_transaction_that_began_on_one_phase_stays_on_it_and_over_a_restart() -> None:
    """CORE-SC-44: more phases are not taken either, and the next transaction has what its schedule says."""
    world = World(builders.settings(connectors=1)).boot().attach()
    on_phases(world, 1, 16.0)
    world.charge(1, "TAG1")
    assert phases(world) == [(1, 16.0, 3_680.0)]
    on_phases(world, 3)
    assert phases(world) == [(1, 32.0, 7_360.0)]
    again = world.crash().boot().attach()
    again.report(1, plugged=True, energy_wh=1_000)
    assert phases(confirming(again)) == [(1, 32.0, 7_360.0)]
    again.report(1, plugged=False)
    again.advance(1)
    again.charge(1, "TAG2")
    assert phases(confirming(again)) == [(3, 32.0, 22_080.0)]


def test_hardware_that_can_switch_follows_the_schedule() -> None:
    """CORE-SC-44: ConnectorSwitch3to1PhaseSupported."""
    settings = builders.settings(connectors=1, configuration={"ConnectorSwitch3to1PhaseSupported": "true"})
    world = World(settings).boot().attach()
    world.charge(1, "TAG1")
    on_phases(world, 1)
    assert phases(world) == [(1, 32.0, 7_360.0)]
