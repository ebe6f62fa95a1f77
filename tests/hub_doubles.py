"""A whole hub without disk and network: scripted links, a store in memory, clients on transports in memory."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import orjson

from ocpphub.api import Hub
from ocpphub.config import (
    ChargePointSettings,
    DiagnosticsSettings,
    FirmwareSettings,
    MetricsSettings,
    Role,
    RpcSettings,
    Settings,
)
from ocpphub.driver import Driver
from ocpphub.rpc.connection import Connection
from ocpphub.rpc.server import Server
from ocpphub.store.memory import MemoryStore
from tests import builders
from tests.builders import Csms, SentCall

OPERATOR_UID = 0
OTHER_UID = 4242


class ScriptedLink:
    """A link whose CSMS answers at once; ``is_up`` False keeps it from ever connecting."""

    def __init__(self, settings: ChargePointSettings, driver: Driver, csms: Csms | None = None) -> None:
        self.identity = settings.identity
        self.driver = driver
        self.csms = csms
        self.sent: list[list[Any]] = []
        self.closed = False
        self.orders: list[str] = []

    def connect(self, headers: dict[str, str]) -> None:
        self.orders.append("connect")
        if self.csms is not None:
            asyncio.get_running_loop().call_soon(self.driver.connected, self.identity)

    def disconnect(self, code: int, reason: str, stay_closed: bool) -> None:
        self.orders.append("disconnect")
        if self.csms is not None:
            asyncio.get_running_loop().call_soon(self.driver.disconnected, self.identity)

    def send(self, frame: bytes) -> None:
        message = orjson.loads(frame)
        self.sent.append(message)
        if self.csms is not None and message[0] == 2:
            call = SentCall(0.0, message[1], message[2], message[3])
            reaction = self.csms.reaction(call, 1_800_000_000_000)
            if reaction is not None:
                self.receive(reaction)

    def receive(self, message: Any) -> None:
        """A message of the CSMS arrives in the next loop turn."""
        asyncio.get_running_loop().call_soon(self.driver.receive, self.identity, orjson.dumps(message), False)

    def set_ping_interval(self, interval_s: int) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...

    async def wait_closed(self) -> None:
        self.closed = True


def rpc_settings(roles: Sequence[Role] = (), **changes: int) -> RpcSettings:
    """The limits of rpc.md."""
    limits = {
        "max_line_bytes": 2**20,
        "max_connections": 16_384,
        "max_output_bytes": 8 * 2**20,
        "max_in_flight": 256,
    } | changes
    return RpcSettings(roles=tuple(roles), **limits)


def hub_settings(
    *points: ChargePointSettings, rpc: RpcSettings | None = None, directory: Path = Path("/nowhere")
) -> Settings:
    """A hub of these charge points, or of one with three connectors."""
    return Settings(
        hub=builders.hub(socket=directory / "hub.sock", state_directory=directory / "state"),
        rpc=rpc or rpc_settings(),
        charge_points=points or (builders.settings(),),
        feeders=(),
        metrics=MetricsSettings(None),
        firmware=FirmwareSettings(None, False, False),
        diagnostics=DiagnosticsSettings(None, 2**26),
        source=directory / "hub.toml",
    )


class HubBench:
    """A running hub with its doubles."""

    def __init__(self, settings: Settings, csms: Csms | None, store: MemoryStore | None) -> None:
        self.links: dict[str, ScriptedLink] = {}
        self.fatal: list[BaseException] = []
        self.store = store or MemoryStore()

        def link(point: ChargePointSettings, driver: Driver) -> ScriptedLink:
            self.links[point.identity] = ScriptedLink(point, driver, csms)
            return self.links[point.identity]

        self.hub = Hub(settings, store=self.store, link=link, on_fatal=self.fatal.append)

    @property
    def point(self) -> Any:
        """The first charge point."""
        return next(iter(self.hub.charge_points.values()))

    def publish(self, topic: str, value: Any, connector_id: int | None = None, identity: str = "CP1") -> None:
        """As if the core had published it."""
        self.hub.charge_points[identity].publications.publish(topic, orjson.dumps(value), connector_id)


@asynccontextmanager
async def running_hub(
    *points: ChargePointSettings,
    rpc: RpcSettings | None = None,
    csms: Csms | None = None,
    store: MemoryStore | None = None,
) -> AsyncIterator[HubBench]:
    """A started hub; with a ``csms`` it has booted when this returns."""
    bench = HubBench(hub_settings(*points, rpc=rpc), csms, store)
    async with bench.hub:
        await turns()
        yield bench


async def turns(count: int = 20) -> None:
    """Let the loop turn: everything that needs no time has happened then."""
    for _ in range(count):
        await asyncio.sleep(0)


class PeerSocketDouble:
    """What the kernel says about the peer."""

    def __init__(self, uid: int, gids: Sequence[int], pid: int) -> None:
        self.uid, self.gids, self.pid = uid, gids, pid
        self.groups_fail = False

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        if buflen == 12:
            return struct.pack("3i", self.pid, self.uid, self.gids[0])
        if self.groups_fail:
            raise OSError(34, "Numerical result out of range")
        return struct.pack(f"{len(self.gids)}I", *self.gids)


class ClientDouble:
    """A client of the server on a transport in memory; it reads everything unless ``stop_reading``."""

    def __init__(self, server: Server, *, uid: int = OPERATOR_UID, gids: Sequence[int] = (0,), pid: int = 77) -> None:
        self.writes: list[bytes] = []
        self.peer = PeerSocketDouble(uid, gids, pid)
        self.closed = self.aborted = self.reading_paused = self._stopped = False
        self._held = 0
        self.connection = Connection(server, asyncio.get_running_loop())
        self.connection.connection_made(cast(asyncio.Transport, self))

    # the transport

    def get_extra_info(self, name: str) -> Any:
        return self.peer

    def set_write_buffer_limits(self, high: int) -> None:
        self._high = high

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self._stopped:
            self._held += len(data)
            if self._held > self._high:
                self.connection.pause_writing()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    # the client

    def stop_reading(self) -> None:
        """From now on what is written stays in the transport."""
        self._stopped = True

    def read_on(self) -> None:
        """Read everything and go on reading."""
        self._stopped, self._held = False, 0
        self.connection.resume_writing()

    def send(self, *values: Any) -> None:
        """Send values as JSON lines, in one piece; bytes go as they are."""
        lines = [value if isinstance(value, bytes) else orjson.dumps(value) + b"\n" for value in values]
        self.connection.data_received(b"".join(lines))

    def call(self, method: str, number: int | str = 1, **params: Any) -> None:
        """Send one request."""
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def received(self) -> list[Any]:
        """Everything written so far, parsed; the next call begins behind it."""
        lines = b"".join(self.writes).splitlines()
        self.writes.clear()
        return [orjson.loads(line) for line in lines]

    def answer(self) -> Any:
        """The one message received since."""
        (message,) = self.received()
        return message

    def result(self, method: str, **params: Any) -> Any:
        """Call a method that answers at once, and give its result."""
        self.call(method, **params)
        return self.answer()["result"]

    def error(self, method: str, **params: Any) -> Any:
        """Call a method that is refused at once, and give the error."""
        self.call(method, **params)
        return self.answer()["error"]


def serve(bench: HubBench, **changes: Any) -> Server:
    """A server over the hub, not listening anywhere."""
    rpc = changes.pop("rpc", bench.hub.settings.rpc)
    points = changes.pop("points", bench.hub.charge_points)
    ready: Callable[[], bool] = changes.pop("is_ready", lambda: True)
    return Server(Path("/nowhere/hub.sock"), points, rpc, version="0", is_ready=ready)
