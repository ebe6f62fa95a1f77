"""What the hub's traffic is compared with, each in a process of its own: bare servers, bare connections, ``ocpp``, and
the way of a report from the socket to the CSMS written by hand.

Owns how these peers are used: always in the fastest way their documentation knows, on uvloop. Must never do more than
its name says: no validation beyond what msgspec's types give, no store. ``python -m benches.peers_process`` and then
commands.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import msgspec
import orjson
import uvloop
from ocpp.v16 import ChargePoint as OcppChargePoint
from ocpp.v16 import call
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benches.worker import resident_of, serve
from ocpphub.config import ChargePointSettings
from ocpphub.core.credentials import Access
from ocpphub.csms import CsmsLink

OCPP = [Subprotocol("ocpp1.6")]


class Echo(asyncio.Protocol):
    """The same bytes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Trivial(asyncio.Protocol):
    """JSON lines, a table of methods, a handler that has its result already, one write per batch (orjson)."""

    def __init__(self, methods: Mapping[str, Callable[[Any], Any]]) -> None:
        self._methods = methods
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        answers = []
        for line in lines:
            request = orjson.loads(line)
            result = self._methods[request["method"]](request["params"])
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": result}
            answers.append(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
        self.transport.write(b"".join(answers))


class Measurement(msgspec.Struct, gc=False):
    """One of a report."""

    measurand: str
    value: float | str
    phase: str | None = None
    unit: str | None = None


class Report(msgspec.Struct, gc=False):
    """The parameters of ``connector.report``."""

    connector_id: int
    energy_wh: int
    measurements: list[Measurement] = []


class Request(msgspec.Struct, gc=False):
    """A line."""

    method: str
    params: Report
    id: int
    jsonrpc: str = "2.0"


class SampledValue(msgspec.Struct, gc=False, omit_defaults=True):
    """As on the wire."""

    value: str
    context: str
    measurand: str
    phase: str | None = None
    unit: str | None = None


class MeterValue(msgspec.Struct, gc=False, rename="camel"):
    """As on the wire."""

    timestamp: str
    sampled_value: list[SampledValue]


class MeterValues(msgspec.Struct, gc=False, rename="camel"):
    """As on the wire."""

    connector_id: int
    meter_value: list[MeterValue]
    transaction_id: int


class ResultArray(msgspec.Struct, array_like=True, tag=3, gc=False):
    """A CALLRESULT; that of MeterValues says nothing."""

    unique_id: str
    payload: dict[str, Any]


_READ = msgspec.json.Decoder(Request)
_CONFIRMED = msgspec.json.Decoder(ResultArray)
_ENCODE = msgspec.json.Encoder().encode
_UNITS = {"Power.Active.Import": "W", "Current.Import": "A", "Voltage": "V", "Temperature": "Celsius", "SoC": "Percent"}


class ByHand(asyncio.Protocol):
    """A controller's socket and its charge point's WebSocket, as one writes it in an afternoon.

    The state that it answers is a ready dict; a report becomes a MeterValues at once.
    """

    def __init__(self, websocket: ClientConnection, state: dict[str, Any]) -> None:
        self._websocket, self._state = websocket, state
        self._held = b""
        self._number = 0
        self._pending: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._receiver = asyncio.get_running_loop().create_task(self._receive())

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.cancel()

    def data_received(self, data: bytes) -> None:
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        for line in lines:
            request = _READ.decode(line)
            frame = self._frame(request.params)
            sending = asyncio.get_running_loop().create_task(self._websocket.send(frame, text=True))
            self._tasks.add(sending)
            sending.add_done_callback(self._tasks.discard)
            self.transport.write(_ENCODE({"jsonrpc": "2.0", "id": request.id, "result": self._state}) + b"\n")

    def _frame(self, report: Report) -> bytes:
        self._number += 1
        unique_id = f"hand-{self._number}"
        self._pending[unique_id] = self._number
        context = "Sample.Periodic"
        values = [SampledValue(str(report.energy_wh), context, "Energy.Active.Import.Register", None, "Wh")]
        values += [
            SampledValue(str(item.value), context, item.measurand, item.phase, _UNITS[item.measurand])
            for item in report.measurements
        ]
        payload = MeterValues(report.connector_id, [MeterValue(_now(), values)], 1)
        return _ENCODE([2, unique_id, "MeterValues", payload])

    async def _receive(self) -> None:
        async for message in self._websocket:
            self._pending.pop(_CONFIRMED.decode(message).unique_id)


def _now() -> str:
    whole, millis = divmod(time.time_ns() // 1_000_000, 1_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{millis:03d}Z"


class Quiet:
    """A link's receiver that wants nothing but to reach ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connected(self, identity: str, root: str | None) -> None: ...
    def disconnected(self, identity: str) -> None: ...
    def receive(self, identity: str, frame: bytes, binary: bool) -> None: ...
    def access(self, identity: str) -> Access:
        return Access(0, self.url)


class Peers:
    """The commands of this worker."""

    def __init__(self) -> None:
        self._kept: list[Any] = []
        self._charge_points: list[OcppChargePoint] = []

    async def listen(self, path: str, kind: str, results: dict[str, Any]) -> None:
        """A bare ``echo``, or a ``trivial`` server whose methods have these results."""
        methods = {name: _ready(result) for name, result in results.items()}
        factory = Echo if kind == "echo" else (lambda: Trivial(methods))
        self._kept.append(await asyncio.get_running_loop().create_unix_server(factory, path))

    async def by_hand(self, path: str, url: str, identities: int, state: dict[str, Any]) -> None:
        """A Unix socket per identity, ``path`` and its number, each with a WebSocket to the CSMS."""
        loop = asyncio.get_running_loop()
        for number in range(identities):
            websocket = await _open(f"{url}/CP{number}")
            self._kept.append(await loop.create_unix_server(partial(ByHand, websocket, state), f"{path}{number}"))

    async def hold(self, url: str, number: int) -> float:
        """So many bare connections that do nothing; bytes of memory for each."""

        async def open_bare(index: int) -> ClientConnection:
            return await _open(f"{url}/{index}")

        return await self._growth(number, open_bare)

    async def hold_links(self, settings: list[str], number: int) -> float:
        """The same with our links, on settings of ``config``: path of the file; bytes of memory for each."""
        from ocpphub import config

        charge_points = config.load(settings[0], os.environ).charge_points
        assert len(charge_points) >= number
        receiver = Quiet(charge_points[0].csms_url)

        async def open_link(index: int) -> CsmsLink:
            return await _linked(charge_points[index], receiver)

        return await self._growth(number, open_link)

    async def _growth(self, number: int, open_one: Callable[[int], Awaitable[Any]]) -> float:
        self._kept += [await open_one(index) for index in range(20)]
        gc.collect()
        before = resident_of(os.getpid())
        self._kept += [await open_one(index) for index in range(20, number)]
        gc.collect()
        return (resident_of(os.getpid()) - before) / (number - 20)

    async def echoes(self, url: str, connections: int, number: int, size: int) -> float:
        """Round trips of bare ``websockets``: CPU seconds of one."""
        opened = [await _open(f"{url}/{index}") for index in range(connections)]
        message = "x" * size

        async def go(websocket: ClientConnection) -> None:
            for _ in range(number):
                await websocket.send(message)
                await websocket.recv()

        begun = time.process_time()
        await asyncio.gather(*(go(websocket) for websocket in opened))
        taken = time.process_time() - begun
        for websocket in opened:
            await websocket.close()
        return taken / number / connections

    async def pace(self, url: str, number: int) -> float:
        """Wall seconds of a bare round trip, one after the other on one connection."""
        websocket = await _open(f"{url}/pace")
        begun = time.monotonic()
        for _ in range(number):
            await websocket.send("x")
            await websocket.recv()
        taken = time.monotonic() - begun
        await websocket.close()
        return taken / number

    async def ocpp_connect(self, url: str, identities: int) -> None:
        """Charge points of the package ``ocpp``."""
        for number in range(identities):
            charge_point = OcppChargePoint(f"OCPP{number}", await _open(f"{url}/OCPP{number}"))
            self._kept.append(asyncio.get_running_loop().create_task(charge_point.start()))
            self._charge_points.append(charge_point)

    async def ocpp_calls(self, action: str, payload: dict[str, Any], number: int) -> float:
        """So many calls of each of them, one after the other; CPU seconds of one."""
        make: Callable[..., Any] = getattr(call, action)

        async def go(charge_point: OcppChargePoint) -> None:
            for _ in range(number):
                assert await charge_point.call(make(**payload), suppress=False) is not None

        begun = time.process_time()
        await asyncio.gather(*(go(charge_point) for charge_point in self._charge_points))
        return (time.process_time() - begun) / number / len(self._charge_points)


def _ready(result: Any) -> Callable[[Any], Any]:
    return lambda params: result


async def _open(url: str) -> ClientConnection:
    return await connect(url, subprotocols=OCPP, compression=None, ping_interval=None, max_size=2**20)


async def _linked(settings: ChargePointSettings, receiver: Quiet) -> CsmsLink:
    link = CsmsLink(settings, receiver)
    link.connect({})
    while link._connection is None:  # noqa: ASYNC110  # a bench has no event for it
        await asyncio.sleep(0.001)
    return link


async def main() -> None:
    """Serve commands until the bench is done."""
    peers = Peers()
    names = ("listen", "by_hand", "hold", "hold_links", "echoes", "pace", "ocpp_connect", "ocpp_calls")
    await serve({name: getattr(peers, name) for name in names})
    os._exit(0)  # sockets, servers and tasks end with the process


if __name__ == "__main__":
    uvloop.run(main())
