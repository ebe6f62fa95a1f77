"""Ten thousand random or mutated frames from the CSMS: the daemon answers good ones in time, and does not grow."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.bad_frames import ROWS, bytes_of
from tests.e2e.daemon_process import DaemonProcess

pytestmark = pytest.mark.alone

FRAMES, EVERY, WARM = 10_000, 500, 2_000
ANSWER_S = 0.05
GROWTH_KIB = 2048
CONFIRMATIONS: dict[str, dict[str, Any]] = {"BootNotification": {"status": "Accepted", "interval": 300}}
# A new key and a Reset would end the connection, which is another test's business; so would text that is not UTF-8.
SEEDS = [
    frame
    for frame in (bytes_of(row) for row in ROWS if row["expect"] != "close")
    if len(frame) < 2_000 and b"AuthorizationKey" not in frame and b'"Reset"' not in frame
]


class Csms:
    """Accepts the charge point, sends hostile frames and good ones, and remembers the answers to the good ones."""

    def __init__(self) -> None:
        self.connection: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()
        self.answers: dict[str, asyncio.Future[list[Any]]] = {}
        self.connections = 0

    async def serve(self, websocket: ServerConnection) -> None:
        self.connections += 1
        async for text in websocket:
            frame = orjson.loads(text)
            if frame[0] == 2:
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                times = {"currentTime": now} if frame[2] in ("BootNotification", "Heartbeat") else {}
                answer = [3, frame[1], CONFIRMATIONS.get(frame[2], {}) | times]
                await websocket.send(orjson.dumps(answer).decode())
                if frame[2] == "BootNotification" and not self.connection.done():
                    self.connection.set_result(websocket)
            elif frame[1] in self.answers:
                self.answers.pop(frame[1]).set_result(frame)

    async def best(self, unique_id: str) -> float:
        """The best of three good CALLs: a busy machine can delay one, a daemon that blocks delays all."""
        return min([await self.good(f"{unique_id}-{attempt}") for attempt in range(3)])

    async def good(self, unique_id: str) -> float:
        """Send a good CALL; seconds until its good answer."""
        websocket = await self.connection
        self.answers[unique_id] = answered = asyncio.get_running_loop().create_future()
        started_s = time.perf_counter()
        call = [2, unique_id, "GetConfiguration", {"key": ["NumberOfConnectors"]}]
        await websocket.send(orjson.dumps(call).decode())
        frame = await asyncio.wait_for(answered, 20)
        assert frame[2]["configurationKey"][0]["value"] == "10", frame
        return time.perf_counter() - started_s


def mutated(dice: random.Random) -> str | bytes:
    """A random message, or a row of the corpus with some bytes changed; valid UTF-8 where it goes as text."""
    frame = bytearray(dice.choice(SEEDS))
    if dice.random() < 0.1:
        frame = bytearray(dice.randbytes(dice.randrange(1, 300)))
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(frame) + 1)
        frame[at : at + dice.randrange(3)] = dice.choice([b'"', b"[", b"}", b",", b"\\", b"0", b"null", b"\xff", b""])
    return bytes(frame) if dice.random() < 0.1 else frame.decode("utf-8", "replace")


async def storm(csms: Csms, daemon: DaemonProcess) -> None:
    """Hostile frames with good ones before, between and after."""
    dice = random.Random(20261121)  # noqa: S311  # not for secrets
    websocket = await csms.connection
    late = [await csms.best("before")]
    warm_kib = 0
    for sent in range(EVERY, FRAMES + 1, EVERY):
        for _ in range(EVERY):
            await websocket.send(mutated(dice))
        await csms.good(f"all-read-{sent}")
        late.append(await csms.best(f"good-{sent}"))
        if sent == WARM:
            warm_kib = daemon.rss_kib()
    assert max(late) <= ANSWER_S, late
    assert daemon.rss_kib() - warm_kib <= GROWTH_KIB
    assert csms.connections == 1


@pytest.mark.asyncio
@pytest.mark.timeout(60)
async def test_daemon_under_ten_thousand_hostile_frames_answers_in_time_and_does_not_grow(tmp_path: Path) -> None:
    """J-278 T22 T24"""
    csms = Csms()
    async with serve(csms.serve, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        daemon = await asyncio.to_thread(DaemonProcess, tmp_path, csms_url=f"ws://127.0.0.1:{port}/ocpp")
        try:
            await storm(csms, daemon)
        finally:
            code = await asyncio.to_thread(daemon.stop)
    assert code == 0
    assert "Traceback" not in daemon.log.read_text()
