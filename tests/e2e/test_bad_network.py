"""Links that break and CSMS that misbehave in the middle of sessions: a real process, a real network between them.

One hub has a charge point for each fault, each of them with a CSMS and a network of its own.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pytest

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.ledger import Record
from ocpphub.sim.network import Network
from ocpphub.sim.personalities import CALL_ERROR, CUT, CUT_AFTER, LOST, TWICE, WRONG_ID, Treatment
from ocpphub.sim.station import Station

KEYS: Final = {
    "MessageTimeout": 2,
    "TransactionMessageAttempts": 10,
    "TransactionMessageRetryInterval": 1,
    "MeterValueSampleInterval": 1,
}
CHARGE_POINT: Final = """
[[charge_point]]
identity = "{identity}"
csms_url = "{url}"
connectors = 2
vendor = "V"
model = "M"
[charge_point.electrical]
connector_max_a = 32
[charge_point.configuration]
{keys}
[charge_point.link]
ping_interval_s = 1
pong_timeout_s = 1
connect_timeout_s = 5
send_deadline_s = 2
"""
FAULT_S: Final = 3.0
STEP_S: Final = 30.0
DRAIN_S: Final = 60.0


class Scene(NamedTuple):
    """Both ends and what is between."""

    identity: str
    csms: Csms
    network: Network
    station: Station
    client: AsyncClient


async def cut(scene: Scene) -> None:
    scene.network.cut()


async def half_open(scene: Scene) -> None:
    scene.network.half_open()


async def stops_reading(scene: Scene) -> None:
    scene.network.stop_reading("to_csms")


async def stops_answering(scene: Scene) -> None:
    scene.network.stop_reading("to_hub")


async def slow_and_sliced(scene: Scene) -> None:
    scene.network.delay_s, scene.network.slice_bytes = 0.05, 5


async def refused(scene: Scene) -> None:
    scene.network.refuses = True
    scene.network.cut()


def csms_that(
    treatment: Treatment, action: str | None = None, times: int = 1_000
) -> Callable[[Scene], Awaitable[None]]:
    async def disturb(scene: Scene) -> None:
        scene.csms.disturb(treatment, action, times=times)

    return disturb


FAULTS: Final[dict[str, Callable[[Scene], Awaitable[None]]]] = {
    "cut": cut,
    "half-open": half_open,
    "stops reading": stops_reading,
    "stops answering": stops_answering,
    "slow and sliced": slow_and_sliced,
    "refused": refused,
    "late": csms_that(Treatment(delay_s=1.0)),
    "later than MessageTimeout": csms_that(Treatment(delay_s=2.5), "StopTransaction", 1),
    "twice": csms_that(TWICE),
    "wrong id": csms_that(WRONG_ID, "StopTransaction", 1),
    "lost": csms_that(LOST, "StartTransaction", 1),
    "CALLERROR to everything": csms_that(CALL_ERROR),
    "cut on StopTransaction": csms_that(CUT, "StopTransaction", 1),
    "cut after StartTransaction": csms_that(CUT_AFTER, "StartTransaction", 1),
}
MAY_LOSE_AN_ANSWER: Final = ("half-open", "stops answering")
"""Faults in which the CSMS hears a StartTransaction whose answer does not arrive in time."""


async def charge(scene: Scene, connector_id: int) -> None:
    await scene.station.plug(connector_id)
    assert await scene.station.tag(connector_id, "TAG1") == "Accepted"
    assert await scene.station.until(connector_id, lambda evse: evse.power_w > 1_000)


@asynccontextmanager
async def hub_of(links: dict[str, Network]) -> AsyncIterator[HubProcess]:
    """A hub with a charge point at the end of each network."""
    keys = "\n".join(f"{name} = {value}" for name, value in KEYS.items())
    texts = [CHARGE_POINT.format(identity=name, url=network.url, keys=keys) for name, network in links.items()]
    hub = HubProcess("ws://127.0.0.1:1", identity="UNUSED", toml="".join(texts))
    try:
        await asyncio.to_thread(hub.start)
        yield hub
    finally:
        await asyncio.to_thread(hub.remove)


async def suffer(identity: str, csms: Csms, network: Network, hub: HubProcess) -> list[str]:
    """A session into a fault, another one within it; what is wrong when all is over."""
    station = Station(hub.socket, "1-2", charge_point=identity, report_s=0.2)
    async with AsyncClient(hub.socket) as client:
        await client.call("rpc.use", charge_point=identity)
        scene = Scene(identity, csms, network, station, client)
        await until(scene, lambda status: status["registration"] == "Accepted")
        async with station:
            await play(scene, FAULTS[identity])
            return await judge(scene)


async def play(scene: Scene, fault: Callable[[Scene], Awaitable[None]]) -> None:
    csms, station = scene.csms, scene.station
    await charge(scene, 1)
    assert await csms.wait_until(lambda: any(record.meter_values for record in csms.ledger.records), STEP_S)
    await fault(scene)
    await station.tag(1, "TAG1")
    await charge(scene, 2)
    await asyncio.sleep(FAULT_S)
    await station.press_stop(2)
    await asyncio.gather(station.unplug(1), station.unplug(2))
    scene.network.heal()
    csms.calm()
    await until(scene, lambda status: status["is_connected"] and status["queue"]["messages"] == 0)


async def until(scene: Scene, condition: Callable[[dict[str, Any]], bool]) -> None:
    """Wait for a charge point; its back-off may have grown to 20 s in a fault."""
    async with asyncio.timeout(DRAIN_S):
        while True:
            if condition(await scene.client.call("charge_point.get")):
                return
            await asyncio.sleep(0.1)


async def judge(scene: Scene) -> list[str]:
    transactions = (await scene.client.call("transaction.list", limit=10))["transactions"]
    lost = scene.csms.lost_answers["StartTransaction"] + (scene.identity in MAY_LOSE_AN_ANSWER)
    problems = scene.csms.ledger.compare(transactions, lost_answers=lost)
    if len(transactions) != 2:
        problems.append(f"{len(transactions)} sessions")
    if scene.csms.ledger.orphans:
        problems.append(f"orphans: {scene.csms.ledger.orphans}")
    for record in scene.csms.ledger.records:
        problems += disorder(record)
    return problems


def disorder(record: Record) -> list[str]:
    """What is wrong with the order of a record's samples: a sample may come again, but none before an older one."""
    moments = [value["timestamp"] for value in record.meter_values]
    whole = [record.start, *moments, *(stop["timestamp"] for stop in record.stops)]
    return [f"{later} came after {earlier}" for earlier, later in pairwise(whole) if later < earlier]


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_hub_delivers_everything_in_order_through_every_fault() -> None:
    """F13, F14, F22, F23, CORE-RPC-13, CORE-RPC-15: two records, each with its stop, whatever happened between."""
    async with AsyncExitStack() as stack:
        csms = {name: await stack.enter_async_context(Csms()) for name in FAULTS}
        links = {name: await stack.enter_async_context(Network.towards(csms[name].url)) for name in FAULTS}
        hub = await stack.enter_async_context(hub_of(links))
        lives = (suffer(name, csms[name], links[name], hub) for name in FAULTS)
        results: list[Any] = await asyncio.gather(*lives, return_exceptions=True)
    wrong = {name: _words(result) for name, result in zip(FAULTS, results, strict=True) if result != []}
    assert wrong == {}


def _words(result: Any) -> str:
    if isinstance(result, BaseException):
        return "".join(traceback.format_exception(result)[-2:])
    return str(result)
