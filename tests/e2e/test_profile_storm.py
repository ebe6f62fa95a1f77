"""A profile for each of ten thousand connectors, twice: schedules follow, others are served, nothing grows."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.e2e.daemon_process import DaemonProcess

pytestmark = pytest.mark.alone

CONNECTORS, WARM = 10_000, 2_000
IN_FLIGHT = 32
"""More than a CSMS may have: the hub must queue them and answer each in its turn."""
CURRENT_S = 1.0
P99_S = 0.1
GROWTH_KIB = 5 * 1024
PUBLISH_S = 0.2
"""The hub's least time between two publications: the storm is about what comes on top of it."""


class Csms:
    """Accepts everything and sends profiles."""

    def __init__(self) -> None:
        self.connection: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
        self.answered: dict[str, asyncio.Future[Any]] = {}

    async def serve(self, websocket: ServerConnection) -> None:
        async for text in websocket:
            frame = orjson.loads(text)
            if frame[0] == 2:
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                is_boot = frame[2] == "BootNotification"
                answer = {"status": "Accepted", "interval": 300, "currentTime": now} if is_boot else {}
                await websocket.send(orjson.dumps([3, frame[1], answer]).decode())
                if is_boot and not self.connection.done():
                    self.connection.set_result(websocket)
            else:
                self.answered.pop(frame[1]).set_result(frame[2])

    async def profile(self, connector_id: int, storm: int) -> None:
        """Install the profile of a connector in this storm."""
        unique_id = f"{storm}-{connector_id}"
        self.answered[unique_id] = answer = asyncio.get_running_loop().create_future()
        periods = [{"startPeriod": 900 * i, "limit": limit_a(connector_id, storm, i)} for i in range(24)]
        profile = {
            "chargingProfileId": connector_id,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Recurring",
            "recurrencyKind": "Daily",
            "chargingSchedule": {
                "startSchedule": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime()),
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [*periods, {"startPeriod": 21_600, "limit": limit_a(connector_id, storm, 0)}],
            },
        }
        payload = {"connectorId": connector_id, "csChargingProfiles": profile}
        websocket = await self.connection
        await websocket.send(orjson.dumps([2, unique_id, "SetChargingProfile", payload]).decode())
        assert await asyncio.wait_for(answer, 30) == {"status": "Accepted"}


def limit_a(connector_id: int, storm: int, period: int) -> float:
    """Another one in each storm, the same all day but for tenths."""
    return 6 + storm * 8 + connector_id % 5 + period % 2 / 10


async def events(daemon: DaemonProcess) -> AsyncIterator[tuple[float, Any]]:
    """When each publication of ``charging_schedules`` came, and its value."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket), limit=2**24)
    request = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["charging_schedules"]}}
    writer.write(orjson.dumps(request) + b"\n")
    await reader.readline()
    try:
        while line := await reader.readline():
            came_s = time.perf_counter()
            value = await asyncio.to_thread(orjson.loads, line)
            yield came_s, value["params"]["value"]
    finally:
        writer.close()


async def others(daemon: DaemonProcess, seconds: list[float]) -> None:
    """Another client's calls, one after the other."""
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    request = {"jsonrpc": "2.0", "id": 1, "method": "get_configuration_key", "params": {"keys": ["HeartbeatInterval"]}}
    try:
        while True:
            started_s = time.perf_counter()
            writer.write(orjson.dumps(request) + b"\n")
            await reader.readline()
            seconds.append(time.perf_counter() - started_s)
            await asyncio.sleep(0.002)
    finally:
        writer.close()


async def send_all(csms: Csms, storm: int, connectors: range) -> None:
    """A profile for each of these connectors, some in flight at once."""
    left = iter(connectors)

    async def sender() -> None:
        for connector_id in left:
            await csms.profile(connector_id, storm)

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))


def is_current(value: Any, storm: int) -> bool:
    """Whether every connector has its limit of this storm."""
    periods = (value[str(i)]["chargingSchedulePeriod"] for i in range(1, CONNECTORS + 1))
    return all(int(row[0]["limit"]) == int(limit_a(i, storm, 0)) for i, row in enumerate(periods, 1))


async def until_current(daemon: DaemonProcess, storm: int) -> float:
    """When the first publication came that shows the whole storm."""
    async for came_s, value in events(daemon):
        if await asyncio.to_thread(is_current, value, storm):
            return came_s
    raise AssertionError("the daemon closed the socket")


async def play(csms: Csms, daemon: DaemonProcess) -> None:
    await asyncio.wait_for(csms.connection, 20)
    seconds: list[float] = []
    client = asyncio.create_task(others(daemon, seconds))
    watch = asyncio.create_task(until_current(daemon, storm=1))
    await send_all(csms, 1, range(1, CONNECTORS + 1))
    ended_s = time.perf_counter()
    late_s = await asyncio.wait_for(watch, 20) - ended_s
    # At a constant number of profiles: each of these takes the place of another.
    await send_all(csms, 2, range(1, WARM + 1))
    warm_kib = daemon.rss_kib()
    await send_all(csms, 2, range(WARM + 1, CONNECTORS + 1))
    grown_kib = daemon.rss_kib() - warm_kib
    client.cancel()
    p99_s = statistics.quantiles(seconds, n=100)[98]
    print(f"current {late_s:.3f} s after the storm, other calls p99 {p99_s * 1000:.1f} ms, grown by {grown_kib} KiB")
    assert late_s <= CURRENT_S + PUBLISH_S, late_s
    assert p99_s <= P99_S, p99_s
    assert grown_kib <= GROWTH_KIB, grown_kib


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_daemon_under_a_storm_of_ten_thousand_profiles_stays_current_and_does_not_grow(tmp_path: Path) -> None:
    """CORE-SC-45, CORE-SC-09"""
    csms = Csms()
    more = f"publish_min_interval_s = {PUBLISH_S}"
    async with serve(csms.serve, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as server:
        port = next(iter(server.sockets))
        url = f"ws://127.0.0.1:{port.getsockname()[1]}/ocpp"
        daemon = await asyncio.to_thread(DaemonProcess, tmp_path, more, url, CONNECTORS)
        try:
            await play(csms, daemon)
        finally:
            code = await asyncio.to_thread(daemon.stop)
    assert code == 0
