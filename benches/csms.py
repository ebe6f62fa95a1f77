"""The other side of the link in the benches: it answers at once or after a delay, and counts.

Owns what a CSMS says to each action, and the plain echo that bare connections are measured with. It runs in the process
of the bench, whose CPU time nobody judges. Must never be slower than the one it is asked by: no schema, no library of
OCPP. Source: OCPP 1.6 chapter 6, OCPP-J 1.6 section 4.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.typing import Subprotocol

HEARTBEAT_S = 86_400
"""Interval that the CSMS asks for; a charge point that counts Heartbeats runs ahead by so much for each."""
ECHOED = "e" * 140
"""Data of a DataTransfer's answer, so that it is about as long as the frame of the echo."""


class BenchCsms:
    """A WebSocket server on a free port of loopback. ``told`` hears identity and action of each CALL it answered."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.actions: Counter[str] = Counter()
        self.payloads: dict[str, Any] = {}
        """The last payload of each action."""
        self.sizes: dict[str, int] = {}
        """Bytes of the last frame of each action."""
        self.told: Callable[[str, str], None] | None = None
        self.is_silent = False
        """Whether CALLs wait for :meth:`speak`."""
        self._held: list[tuple[ServerConnection, str, list[Any], int]] = []
        self.lost = 0
        """Connections that have ended."""
        self._beats: Counter[str] = Counter()
        self._transactions = 0
        self._server: Server | None = None
        self.port = 0

    async def __aenter__(self) -> BenchCsms:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("ocpp1.6")],
            compression=None,
            ping_interval=None,
            max_size=2**21,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where charge points connect; below ``/echo`` every message comes back as it is."""
        return f"ws://127.0.0.1:{self.port}/ocpp"

    @property
    def echo_url(self) -> str:
        """Where messages come back."""
        return f"ws://127.0.0.1:{self.port}/echo"

    @property
    def calls(self) -> int:
        """CALLs so far."""
        return self.actions.total()

    def speak(self) -> None:
        """Answer what waits, and all that follows."""
        self.is_silent = False
        held, self._held = self._held, []
        for call in held:
            self._answer(*call)

    async def quiet(self, for_s: float = 0.2) -> None:
        """Wait until nobody has called for so long."""
        before = -1
        while before != self.calls:
            before = self.calls
            await asyncio.sleep(for_s)

    async def _serve(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        path = websocket.request.path
        loop = asyncio.get_running_loop()
        if path.startswith("/echo"):
            async for message in websocket:
                if self.delay_s:
                    loop.call_later(self.delay_s, _push, websocket, _bytes(message))
                else:
                    _push(websocket, _bytes(message))
            return
        identity = path.rpartition("/")[2]
        try:
            async for message in websocket:
                frame = orjson.loads(message)
                if frame[0] != 2:
                    continue
                if self.is_silent:
                    self._held.append((websocket, identity, frame, len(message)))
                elif self.delay_s:
                    loop.call_later(self.delay_s, self._answer, websocket, identity, frame, len(message))
                else:
                    self._answer(websocket, identity, frame, len(message))
        except ConnectionClosed:
            pass
        finally:
            self.lost += 1

    def _answer(self, websocket: ServerConnection, identity: str, frame: list[Any], size: int) -> None:
        _, unique_id, action, payload = frame
        self.actions[action] += 1
        self.payloads[action], self.sizes[action] = payload, size
        _push(websocket, orjson.dumps([3, unique_id, self._confirmation(identity, action)]))
        if self.told is not None:
            self.told(identity, action)

    def _confirmation(self, identity: str, action: str) -> dict[str, Any]:
        if action == "BootNotification":
            return {"status": "Accepted", "interval": HEARTBEAT_S, "currentTime": _now()}
        if action == "Heartbeat":
            self._beats[identity] += 1
            return {"currentTime": _now(self._beats[identity] * HEARTBEAT_S)}
        if action == "StartTransaction":
            self._transactions += 1
            return {"transactionId": self._transactions, "idTagInfo": {"status": "Accepted"}}
        if action == "Authorize":
            return {"idTagInfo": {"status": "Invalid"}}  # so that nothing follows from it
        if action == "DataTransfer":
            return {"status": "Accepted", "data": ECHOED}
        return {}


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def _now(ahead_s: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _push(websocket: ServerConnection, text: bytes) -> None:
    """Send without a task; a connection that has gone misses it."""
    if websocket.protocol.state is not State.OPEN:
        return
    websocket.protocol.send_text(text)
    websocket.send_data()
