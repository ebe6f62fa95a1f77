"""The corpus of bad frames through a real WebSocket, the real link, driver and core.

A double stands in for the feature handlers and answers the status of the row. Rows that need a registration state or
that close the link have a connection of their own, all others share one; every connection ends with a good exchange.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ocpphub import _native
from ocpphub.core.boot import utc_text
from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.effects import Publish
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outcome, OwnCall
from ocpphub.csms import CsmsLink
from ocpphub.driver import Driver
from ocpphub.endpoint import BackOff
from ocpphub.store.memory import MemoryStore
from ocpphub.work import Workshop
from tests.bad_frames import ROWS, bytes_of, double, slow
from tests.builders import link, settings

pytestmark = pytest.mark.timeout(60)
SHARED = [row for row in ROWS if "state" not in row and row["expect"] != "close"]
ALONE = [row for row in ROWS if "state" in row or row["expect"] == "close"]


def clock() -> Instant:
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


class Stub:
    """The CSMS's side: answers own CALLs of the charge point, and hands everything else to the test."""

    def __init__(self) -> None:
        self.registrations = ["Accepted"]
        """Answers to the next BootNotifications; the last one stays."""
        self.boot_answered = asyncio.Event()
        self.boot_answered.set()
        self.withheld: set[str] = set()
        self.calls: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.replies: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.closed_with: asyncio.Queue[int] = asyncio.Queue()
        self.probes = 0

    async def serve(self, websocket: ServerConnection) -> None:
        self.connections.put_nowait(websocket)
        try:
            async for text in websocket:
                frame = orjson.loads(text)
                if frame[0] == 2:
                    await self.answer(websocket, frame)
                else:
                    self.replies.put_nowait(frame)
        except ConnectionClosed:
            pass
        self.closed_with.put_nowait(websocket.close_code or 0)

    async def answer(self, websocket: ServerConnection, frame: list[Any]) -> None:
        action = frame[2]
        if action in self.withheld:
            self.calls.put_nowait(frame)
            return
        now = utc_text(clock().utc_ms)
        payload: dict[str, Any] = {"currentTime": now} if action == "Heartbeat" else {}
        if action == "BootNotification":
            await self.boot_answered.wait()
            status = self.registrations.pop(0) if len(self.registrations) > 1 else self.registrations[0]
            payload = {"status": status, "currentTime": now, "interval": 1}
        await websocket.send(orjson.dumps([3, frame[1], payload]).decode())

    async def probe(self, websocket: ServerConnection) -> list[list[Any]]:
        """A good exchange; what was answered before it."""
        self.probes += 1
        unique_id = f"probe-{self.probes}"
        await websocket.send(orjson.dumps([2, unique_id, "GetConfiguration", {"key": ["NumberOfConnectors"]}]).decode())
        before = []
        while (reply := await self.replies.get())[1] != unique_id:
            before.append(reply)
        assert reply[2]["configurationKey"][0]["value"] == "3"
        return before


class Bench:
    """A core behind driver and link, connected to the stub."""

    def __init__(self, stub: Stub, port: int) -> None:
        point = settings(csms_url=f"ws://127.0.0.1:{port}/ocpp", link=link(ping_interval_s=0))
        self.stub = stub
        self.core = ChargePoint(point, (), clock(), boot_id="00000000000000aa", handlers=double({}))
        self.registrations: asyncio.Queue[str] = asyncio.Queue()
        self.plain = dict(self.core._inbound._handlers)
        self.driver = Driver(
            MemoryStore(),
            clock,
            on_publish=self.published,
            on_ask=lambda identity, ask, answer: None,
            outside=Workshop({}),
            on_recreate=lambda identity: None,
            on_fatal=lambda error: None,
            loop=asyncio.get_running_loop(),
        )
        back_off = BackOff(lambda: 0.0, minimum_s=0.01, range_s=0.0, maximum_s=0.02)
        self.link = CsmsLink(point, self.driver, back_off=back_off)
        self.driver.add(self.core, self.link)
        self.driver.start()

    def apply(self, mutate: Callable[[ChargePoint, Instant], None]) -> None:
        self.driver.apply("CP1", mutate)

    def use(self, row: dict[str, Any]) -> None:
        """Let the double answer what this row expects."""
        handlers = {**self.plain, **double(row)}
        if row.get("fixture") == "SmartCharging profile off":
            del handlers["SetChargingProfile"]
        if row["name"].startswith("id-duplicate"):
            handlers["UnlockConnector"] = slow
        self.core._inbound._handlers = handlers

    def published(self, identity: str, effect: Publish) -> None:
        if effect.topic == "charge_point.status":
            self.registrations.put_nowait(orjson.loads(effect.value)["registration"])

    async def registered(self, status: str) -> None:
        """Wait until the CSMS has answered so."""
        while await self.registrations.get() != status:
            pass


@contextlib.asynccontextmanager
async def bench() -> AsyncIterator[tuple[Bench, Stub]]:
    stub = Stub()
    async with serve(stub.serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"], max_size=None) as server:  # type: ignore[list-item]
        made = Bench(stub, next(iter(server.sockets)).getsockname()[1])
        try:
            yield made, stub
        finally:
            made.link.disconnect(1001, "", True)
            await made.link.wait_closed()
            await made.driver.drained()
            made.driver.close()


async def send(websocket: ServerConnection, row: dict[str, Any], data: bytes) -> None:
    binary = row.get("opcode") == "binary"
    await websocket.send(data, text=not binary)


def check(row: dict[str, Any], replies: list[list[Any]]) -> None:
    allowed = {row["expect"], *(alt.split(":Failed")[0] for alt in row.get("alt", ()))}
    if not replies:
        assert "ignore" in allowed or "pending" in row, row["name"]
        return
    assert len(replies) == 1, row["name"]
    reply = replies[0]
    assert ("accept" if reply[0] == 3 else f"callerror:{reply[2]}") in allowed, row["name"]
    assert reply[1] == row["reply_id"], row["name"]
    if reply[0] == 3 and "status" in row:
        assert reply[2]["status"] == row["status"], row["name"]


async def pending_call(made: Bench, stub: Stub, row: dict[str, Any]) -> tuple[str, list[str]]:
    """An own CALL of the row's action is outstanding: its id, and where its outcome will show."""
    action, ended = row["pending"]["action"], list[str]()
    stub.withheld = {action}
    fields = _native.actions()[action]["request"]
    payload = {item["name"]: sample(item) for item in fields if item["required"]}

    def note(outcome: Outcome, now: Instant) -> None:
        ended.append(outcome.kind)

    def call(core: ChargePoint, now: Instant) -> None:
        core._parts.prompt.put(OwnCall(action, payload, note))
        core.handle_timer(now)

    made.apply(call)
    return (await stub.calls.get())[1], ended


def sample(item: dict[str, Any]) -> Any:
    if item["kind"] == "choice":
        return _native.enums()[item["enumeration"]][0]
    return {"integer": 1, "timestamp": "2027-01-01T00:00:00Z"}.get(item["kind"], "x")


def unlocked(core: ChargePoint, now: Instant) -> None:
    """The handler of the CALL that runs answers it."""
    call = core._inbound._running
    assert call is not None
    core.answer(call, {"status": "Unlocked"}, now)


async def play(made: Bench, stub: Stub, websocket: ServerConnection, row: dict[str, Any]) -> None:
    """One row on the shared connection."""
    made.use(row)
    data, unique_id, ended = bytes_of(row), "", list[str]()
    if "pending" in row:
        unique_id, ended = await pending_call(made, stub, row)
        data = data.replace(b'"p1"', f'"{unique_id}"'.encode())
    if row["name"].startswith("id-duplicate"):
        await websocket.send('[2,"dup-1","UnlockConnector",{"connectorId":1}]')
    await send(websocket, row, data)
    if row["name"] == "id-duplicate-in-progress-other":
        check(row, [await stub.replies.get()])
    if row["name"].startswith("id-duplicate"):
        # Only once both frames are in: a ping behind them has been answered.
        await (await websocket.ping())
        made.apply(unlocked)
        assert (await stub.replies.get())[:2] == [3, "dup-1"]
    replies = await stub.probe(websocket)
    if not row["name"].startswith("id-duplicate"):
        check(row, replies)
    if "pending" in row:
        assert ended == {"ok": ["ok"], "failed": ["error"], "unchanged": []}[row["pending_outcome"]], row["name"]
        stub.withheld = set()
        if not ended:
            await websocket.send(orjson.dumps([4, unique_id, "GenericError", "", {}]).decode())
            await stub.probe(websocket)


def test_replay_of_the_corpus_on_one_connection_answers_every_row_and_stays_up() -> None:
    """J-278, J-262, J-271, J-272, J-274, J-276, J-328, D-28, T24: a good exchange after each."""

    async def scenario() -> None:
        async with bench() as (made, stub):
            websocket = await stub.connections.get()
            await made.registered("Accepted")
            for row in SHARED:
                async with asyncio.timeout(10):
                    await play(made, stub, websocket, row)
            assert stub.connections.empty()

    asyncio.run(scenario())


@pytest.mark.parametrize("row", [row for row in ALONE if row["expect"] == "close"], ids=lambda row: row["name"])
def test_replay_of_a_closing_row_closes_and_the_next_connection_works(row: dict[str, Any]) -> None:
    """J-325, D-28."""

    async def scenario() -> None:
        async with bench() as (made, stub), asyncio.timeout(10):
            websocket = await stub.connections.get()
            await made.registered("Accepted")
            await send(websocket, row, bytes_of(row))
            assert await stub.closed_with.get() == row["close_code"]
            assert await stub.probe(await stub.connections.get()) == []

    asyncio.run(scenario())


@pytest.mark.parametrize("row", [row for row in ALONE if "state" in row], ids=lambda row: row["name"])
def test_replay_of_a_row_before_acceptance_is_treated_by_its_state(row: dict[str, Any]) -> None:
    """J-362, J-363, J-365, CORE-BOOT-07, CORE-BOOT-09, D-23: then the CSMS accepts and a good exchange follows."""

    async def scenario() -> None:
        async with bench() as (made, stub), asyncio.timeout(20):
            first = {"rejected": "Rejected", "pending": "Pending"}.get(row["state"])
            if first is None:
                stub.boot_answered.clear()
            else:
                stub.registrations = [first, "Accepted"]
            websocket = await stub.connections.get()
            await made.registered(first or "none")
            await send(websocket, row, bytes_of(row))
            replies = [await stub.replies.get()] if row["expect"] == "accept" else []
            await (await websocket.ping())
            check(row, replies)
            stub.boot_answered.set()
            await made.registered("Accepted")
            assert await stub.probe(websocket) == []

    asyncio.run(scenario())
