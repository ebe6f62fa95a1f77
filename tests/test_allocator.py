"""The allocation of a running hub: permits of all charge points follow one another, in slices, at their deadlines."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from ocpphub.allocator import Allocator
from ocpphub.api import ChargePoint
from ocpphub.clients import new_controller
from ocpphub.config import Feeder
from ocpphub.core.allocation import Allocation
from ocpphub.core.cap import Amount, External
from ocpphub.core.instant import Instant
from ocpphub.core.member import Granted, Wish
from ocpphub.driver import Driver
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import HubBench, hub_settings, turns
from tests.virtual_loop import VirtualLoop

CONTROLLER = new_controller(1_000, is_operator=True)
FREE = 300


def feeder(amperes: float, **members: int) -> Feeder:
    return Feeder(
        "main", amperes, None, None, tuple((name, tuple(range(1, count + 1))) for name, count in members.items())
    )


def bench_of(amperes: float, **members: int) -> HubBench:
    """A hub of these charge points, all behind one feeder; a vehicle charges as soon as it is plugged in."""
    points = [
        builders.settings(
            identity=name,
            connectors=count,
            connector_overrides=(builders.override(range(1, count + 1), free_vend_id_tag="FREE"),),
        )
        for name, count in members.items()
    ]
    settings = hub_settings(*points)
    hub = replace(settings.hub, charge_before_accepted="always")
    return HubBench(replace(settings, hub=hub, feeders=(feeder(amperes, **members),)), Csms(), None)


def run(point: ChargePoint, name: str, *arguments: Any) -> None:
    point.command(name, arguments, lambda result, error: None)


def plug(point: ChargePoint, count: int) -> None:
    run(point, "attach", CONTROLLER, list(range(1, count + 1)), True)
    for connector_id in range(1, count + 1):
        levels = dict.fromkeys(("plugged", "ev_ready", "evse_ready"), True)
        run(point, "report", CONTROLLER, {"connector_id": connector_id, "energy_wh": 0, **levels})


def permits(point: ChargePoint) -> list[float]:
    return [state["permit"]["limit_a"] for state in point.core.connector_states()]


def confirm(point: ChargePoint) -> None:
    for state in point.core.connector_states():
        report = {"connector_id": state["connector_id"], "permit_seq": state["permit"]["seq"]}
        run(point, "report", CONTROLLER, report)


async def until(done: Any, *points: ChargePoint) -> None:
    """Let the loop run, and controllers confirm, until it is so."""
    async with asyncio.timeout(5):
        while not done():
            for point in points:
                confirm(point)
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_permits_of_one_charge_point_make_room_for_those_of_another() -> None:
    """decisions.md 5: one instance per process over all charge points, each the only one that tells its connectors."""
    bench = bench_of(40.0, A=1, B=1)
    async with bench.hub:
        one, other = bench.hub.charge_points.values()
        plug(one, 1)
        await turns()
        assert permits(one) == [32.0]
        told: list[float] = []
        one.publications.listen("connector.permit", lambda event: told.append(event.parsed()["permit"]["limit_a"]))
        plug(other, 1)
        await until(lambda: (permits(one), permits(other)) == ([20.0], [20.0]), one, other)
        assert told == [20.0]
        run(other, "stop_transaction", CONTROLLER, 1, None, None)
        await until(lambda: permits(one) == [32.0], one, other)


@pytest.mark.asyncio
async def test_thousands_of_permits_are_told_in_slices() -> None:
    """performance.md P3: no turn of the loop tells more than a few hundred."""
    bench = bench_of(100_000.0, A=2 * FREE, B=FREE)
    async with bench.hub:
        one, other = bench.hub.charge_points.values()
        plug(one, 2 * FREE)
        plug(other, FREE)
        await until(lambda: permits(one) == [32.0] * 2 * FREE and permits(other) == [32.0] * FREE, one, other)
        run(other, "set_limit", 9.0 * 3 * FREE, None, "main", 60)
        seen = []
        async with asyncio.timeout(5):
            while permits(one).count(9.0) < 2 * FREE:
                seen.append(permits(one).count(9.0))
                await asyncio.sleep(0)
        assert max(after - before for before, after in zip(seen, [*seen[1:], 2 * FREE], strict=True)) <= 250


@pytest.mark.asyncio
async def test_hub_that_stops_leaves_no_timer_behind() -> None:
    """A hub may start again; nothing of the last run goes on."""
    bench = bench_of(40.0, A=2, B=1)
    async with bench.hub:
        plug(next(iter(bench.hub.charge_points.values())), 2)
        await turns()
    async with bench.hub:
        one = next(iter(bench.hub.charge_points.values()))
        await turns()
        assert permits(one) == [0.0, 0.0]


class TellingDouble:
    """A driver whose cores take every permit at once."""

    def __init__(self, allocation: Allocation) -> None:
        self.allocation = allocation
        self.permits: dict[int, Granted] = {}

    def tell_permits(self, identity: str) -> bool:
        self.permits.update(self.allocation.take(identity, 100))
        return True


def test_shortfall_of_a_limit_is_counted_in_seconds_until_the_decrease_is_confirmed() -> None:
    """decisions.md 5: for how long more may be drawn than a limit allows, running or over, each limit by itself."""
    loop = VirtualLoop()
    allocation = Allocation([builders.settings(identity="A", connectors=1)], [feeder(40.0, A=1)])
    allocation.begin("A", 0, lambda connector_id: None, (), loop.now_s)
    driver = TellingDouble(allocation)
    allocator = Allocator(
        allocation, cast(Driver, driver), lambda: Instant(loop.now_s, 0), cast(asyncio.AbstractEventLoop, loop)
    )
    main = allocation.feeder("main")
    assert main is not None

    def shortfalls() -> tuple[float, float]:
        return round(allocator.shortfall_s(main), 6), allocator.shortfall_s(allocation.station("A"))

    def follow() -> None:
        allocator.follow()
        while loop.soon:
            loop.turn()

    allocation.want(0, Wish(320, 22_080.0, 3, True), loop.now_s)
    follow()
    loop.pass_time(10.0)
    assert shortfalls() == (0.0, 0.0)
    allocation.set_external(main, External(Amount(10_000), 0), loop.now_s)
    follow()
    loop.pass_time(1.0)
    assert shortfalls() == (1.0, 0.0)
    loop.turn()
    loop.pass_time(1.5)
    allocation.confirm(0, driver.permits[1].seq, loop.now_s)
    follow()
    assert driver.permits[1].limit_a == 10.0
    assert shortfalls() == (2.5, 0.0)
    loop.pass_time(60.0)
    assert shortfalls() == (2.5, 0.0)
    allocation.set_external(main, External(Amount(9_000), 0), loop.now_s)
    follow()
    loop.pass_time(0.5)
    assert shortfalls() == (3.0, 0.0)
