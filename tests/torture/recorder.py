"""A CSMS that writes down every byte of every CALL, and answers: the witness of the torture.

Owns the transcript. Must never fail with what a hub sends: whatever it is, it is written down, and the checker judges.
Each StartTransaction gets an id of its own, also one that is the same as another: nothing is de-duplicated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

BILLING = frozenset(("StartTransaction", "MeterValues", "StopTransaction"))


@dataclass(slots=True)
class Sent:
    """One CALL of the hub: the connection it came on, its text as it came, and when (monotonic).

    ``given`` is the transactionId of the answer to a StartTransaction; ``answered_s`` is ``None`` until it was sent.
    """

    connection: int
    unique_id: str
    action: str
    text: bytes
    at_s: float
    given: int | None = None
    answered_s: float | None = None

    @property
    def payload(self) -> dict[str, Any]:
        """What it says."""
        payload: dict[str, Any] = orjson.loads(self.text)[3]
        return payload

    @property
    def bytes_of_payload(self) -> bytes:
        """The payload as it was sent, without message id and action."""
        start = self.text.index(b"{")
        return self.text[start:-1]


@dataclass(slots=True)
class Transcript:
    """Everything that a CSMS heard, in order, over all connections; ``overlaps`` are CALLs sent while one waited."""

    calls: list[Sent] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    def of(self, *actions: str) -> Iterator[Sent]:
        """The CALLs of these actions."""
        return (call for call in self.calls if call.action in actions)


class Recorder:
    """The server. A share of the answers comes a few milliseconds late, so that kills hit messages in flight.

    With a share of ``faults`` it breaks the connection instead of an answer, though it has taken the message, and with
    the same share it refuses a transaction-related message with a CALLERROR.
    """

    def __init__(self, seed: int, *, late_share: float = 0.2, late_s: float = 0.02, faults: float = 0.0) -> None:
        self.transcript = Transcript()
        self._random = Random(seed)  # noqa: S311  # repeatable on purpose
        self._late_share, self._late_s, self._faults = late_share, late_s, faults
        self._server: Server | None = None
        self._connections = self._next_id = 0

    @property
    def url(self) -> str:
        """The endpoint to configure."""
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ocpp"

    async def __aenter__(self) -> Recorder:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None, ping_interval=None
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, websocket: ServerConnection) -> None:
        self._connections += 1
        number = self._connections
        waiting: set[str] = set()
        late: set[asyncio.Task[None]] = set()
        try:
            async for data in websocket:
                call = self._record(number, data.encode() if isinstance(data, str) else data)
                if call is None:
                    continue
                if waiting:
                    self.transcript.overlaps.append(f"{call.action} was sent while {sorted(waiting)} waited")
                waiting.add(call.unique_id)
                if self._random.random() < self._late_share:
                    task = asyncio.create_task(self._answer(websocket, call, waiting, self._random.random()))
                    late.add(task)
                    task.add_done_callback(late.discard)
                else:
                    await self._answer(websocket, call, waiting, 0.0)
        except ConnectionClosed:
            pass
        await asyncio.gather(*late, return_exceptions=True)

    async def _answer(self, websocket: ServerConnection, call: Sent, waiting: set[str], share: float) -> None:
        if share:
            await asyncio.sleep(share * self._late_s)
        waiting.discard(call.unique_id)
        frame = self._frame(call)
        if self._random.random() < self._faults:
            websocket.transport.abort()
            return
        await websocket.send(frame)
        call.answered_s = time.monotonic()

    def _record(self, connection: int, text: bytes) -> Sent | None:
        try:
            kind, unique_id, action, _ = orjson.loads(text)
        except ValueError:
            kind = None
        if kind != 2:
            self.transcript.strange.append(text.decode(errors="replace"))
            return None
        call = Sent(connection, unique_id, action, text, time.monotonic())
        self.transcript.calls.append(call)
        return call

    def _frame(self, call: Sent) -> str:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        payload: dict[str, Any] = {}
        if call.action == "BootNotification":
            payload = {"status": "Accepted", "interval": 300, "currentTime": now}
        elif call.action == "Heartbeat":
            payload = {"currentTime": now}
        elif call.action == "Authorize":
            payload = {"idTagInfo": {"status": "Accepted"}}
        elif call.action in BILLING and self._random.random() < self._faults:
            return orjson.dumps([4, call.unique_id, "InternalError", "", {}]).decode()
        elif call.action == "StartTransaction":
            self._next_id += 1
            call.given = self._next_id
            payload = {"transactionId": call.given, "idTagInfo": {"status": "Accepted"}}
        return orjson.dumps([3, call.unique_id, payload]).decode()
