"""A whole hub in a process of its own: real cores, driver, links and socket, as the daemon puts them together.

Owns the hub that the benches of P3, P4 and P5 ask, its clock and what stands for its disk. Must never change what is
measured: product code only, but for a clock that may be put forward and a store that may be in memory or slower than it
is. ``python -m benches.hub_process CONFIGURATION STORE FSYNC_S`` with ``memory`` or ``sqlite``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from benches.worker import resident_of, serve
from ocpphub import config, daemon
from ocpphub.api import ChargePoint, Hub
from ocpphub.clients import new_controller
from ocpphub.config import ChargePointSettings
from ocpphub.core.charge_point import ChargePoint as Core
from ocpphub.core.instant import Instant
from ocpphub.csms import CsmsLink
from ocpphub.driver import Driver, Link
from ocpphub.metrics import Metrics
from ocpphub.store import Store, Write
from ocpphub.store.memory import MemoryStore
from ocpphub.store.sqlite import SqliteStore

MEASURANDS = "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,Temperature,SoC"
"""Ten samples, as current and voltage are reported of each phase."""
_CONFIGURATION = """
[hub]
socket = "{socket}"
state_directory = "{state}"
charge_before_accepted = "always"
publish_interval_s = 0
log_level = "error"
"""
_CHARGE_POINT = """
[[charge_point]]
identity = "{identity}"
csms_url = "{url}"
connectors = {connectors}
vendor = "Bench"
model = "Bench"
[charge_point.electrical]
connector_max_a = 500
[charge_point.configuration]
MeterValueSampleInterval = "{interval_s}"
MeterValuesSampledData = "{measurands}"
ClockAlignedDataInterval = "0"
MessageTimeout = "1000000"
[charge_point.link]
ping_interval_s = {ping_s}
[[charge_point.connector]]
ids = "1-{connectors}"
free_vend_id_tag = "BENCH"
"""


def configure(
    directory: Path,
    url: str,
    identities: int = 1,
    connectors: int = 1,
    interval_s: int = 3_600,
    ping_s: int = 0,
) -> Path:
    """A ``hub.toml`` below ``directory`` for CP0, CP1 ...; every vehicle starts a transaction when it is plugged in."""
    directory.mkdir(parents=True, exist_ok=True)
    text = _CONFIGURATION.format(socket=directory / "hub.sock", state=directory / "state")
    for number in range(identities):
        text += _CHARGE_POINT.format(
            identity=f"CP{number}",
            url=url,
            connectors=connectors,
            interval_s=interval_s,
            measurands=MEASURANDS,
            ping_s=ping_s,
        )
    path = directory / "hub.toml"
    path.write_text(text)
    return path


class Clock:
    """The machine's clocks, ``ahead_s`` later."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> Instant:
        return Instant(time.monotonic() + self.ahead_s, time.time_ns() // 1_000_000 + int(self.ahead_s * 1000))


class SlowStore(SqliteStore):
    """SQLite whose every commit takes ``fsync_s`` longer, in the writer thread and without the GIL; counts them."""

    def __init__(self, directory: Path, fsync_s: float) -> None:
        self.fsync_s = fsync_s
        self.commits = self.rows = 0
        super().__init__(directory)

    def commit(self, batch: Sequence[Write], done: Callable[[BaseException | None], None]) -> None:
        """As the store does."""
        self.rows += len(batch)
        super().commit(batch, done)

    def _commit(
        self, connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], None]
    ) -> BaseException | None:
        result = super()._commit(connection, change)
        self.commits += 1
        if self.fsync_s:
            time.sleep(self.fsync_s)
        return result


def open_store(kind: str, directory: Path, fsync_s: float) -> Store:
    """``memory``, which forgets how it came about, or ``sqlite``."""
    if kind == "sqlite":
        return SlowStore(directory, fsync_s)
    store = MemoryStore()
    store.commits = deque(maxlen=0)  # type: ignore[assignment]  # it keeps every batch for tests
    return store


class Tap:
    """The driver as a link sees it; ``received`` is told of each frame after the core has had it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.received: Callable[[str], None] | None = None
        self.connected, self.disconnected = driver.connected, driver.disconnected
        self.access = driver.access

    def receive(self, identity: str, frame: bytes, binary: bool) -> None:
        """A message of the CSMS."""
        self._driver.receive(identity, frame, binary)
        if self.received is not None:
            self.received(identity)


class Turns:
    """The longest turn of the loop while it is watched, in CPU time, from a callback that never lets it wait."""

    def __init__(self) -> None:
        self._is_watching = False
        self._begun_s = self.longest_s = 0.0

    async def begin(self) -> None:
        """Watch from now on."""
        self._is_watching, self.longest_s, self._begun_s = True, 0.0, time.thread_time()
        asyncio.get_running_loop().call_soon(self._turn)

    async def end(self) -> float:
        """Watch no more; seconds of the longest turn."""
        self._is_watching = False
        return self.longest_s

    def _turn(self) -> None:
        now_s = time.thread_time()
        self.longest_s, self._begun_s = max(self.longest_s, now_s - self._begun_s), now_s
        if self._is_watching:
            asyncio.get_running_loop().call_soon(self._turn)


async def collect() -> float:
    """CPU seconds of a full collection."""
    begun = time.thread_time()
    gc.collect()
    return time.thread_time() - begun


class HubProcess:
    """The hub and the commands of its worker. Every command returns JSON."""

    def __init__(self, path: Path, store: str, fsync_s: float) -> None:
        logging.getLogger("ocpphub").setLevel(logging.ERROR)  # as the configuration says
        self.settings = config.load(path, os.environ)
        self.clock = Clock()
        self.store = open_store(store, self.settings.hub.state_directory, fsync_s)
        self.taps: list[Tap] = []
        self._controller = new_controller(0, is_operator=True)
        self._registers: dict[str, int] = {}
        self.driver: Driver | None = None
        self.hub = Hub(self.settings, store=self.store, link=self._link, clock=self.clock)
        self.servers = daemon.make_servers(self.hub)
        self._metrics: Metrics | None = None
        self.points: list[ChargePoint] = list(self.hub.charge_points.values())

    def _link(self, settings: ChargePointSettings, driver: Driver) -> Link:
        self.driver = driver
        self.taps.append(Tap(driver))
        return CsmsLink(settings, self.taps[-1])

    async def start(self) -> float:
        """Take up the store and serve; resident bytes."""
        daemon.prepare_process(self.settings)
        for server in self.servers:
            server.claim()
        await self.hub.start()
        for server in self.servers:
            await server.start()
        gc.collect()
        gc.freeze()
        return float(resident_of(os.getpid()))

    async def stop(self) -> None:
        """End in the order of the daemon."""
        for server in self.servers:
            await server.stop()
        await self.hub.stop()

    async def accepted(self) -> int:
        """Wait until every charge point may send and has delivered what was queued; how many there are."""
        for point in self.points:
            while not _is_calm(point.core):  # noqa: ASYNC110  # a bench has no event for it
                await asyncio.sleep(0.01)
        return len(self.points)

    async def waiting(self) -> int:
        """Messages that wait for the CSMS."""
        return sum(point.core.state(self.clock())["queue"]["messages"] for point in self.points)

    async def commits(self) -> list[int]:
        """Commits and rows so far."""
        return [self.store.commits, self.store.rows] if isinstance(self.store, SlowStore) else [0, 0]

    async def drained(self) -> None:
        """Wait until everything is durable."""
        assert self.driver is not None
        await self.driver.drained()

    async def scrape(self) -> float:
        """CPU seconds of one scrape of the metrics."""
        if self._metrics is None:
            self._metrics = Metrics(self.hub, self.servers)
        begun = time.thread_time()
        text = await self._metrics.scrape()
        taken = time.thread_time() - begun
        assert text.count(b"ocpphub_connectors{") > 0
        return taken

    # whole round trips inside this process

    async def transfers(self, number: int) -> float:
        """So many DataTransfer calls of each charge point, one after the other; CPU seconds of one."""
        arguments = ("ocpphub.bench", "round trip", "d" * 100)

        def ask(point: ChargePoint, done: Callable[[], None]) -> None:
            def reply(result: Any, error: Exception | None) -> None:
                assert error is None, error
                assert result["status"] == "Accepted", result
                done()

            point.command("data_transfer", arguments, reply)

        return await self._each(number, ask)

    async def plug_in(self) -> None:
        """A controller in this process drives connector 1 of each charge point, where a transaction begins."""
        for point in self.points:
            await self.call(point, "attach", self._controller, [1], True)
            await self.call(point, "report", self._controller, report(1, 1_000, plugged=True, is_sampled=False))
            self._registers[point.identity] = 1_000

    async def reports(self, number: int) -> float:
        """So many reports of ten samples of each charge point, each confirmed as MeterValues; CPU seconds of one.

        After :meth:`plug_in`, when the CSMS has confirmed everything else.
        """
        registers = self._registers

        def ask(point: ChargePoint, done: Callable[[], None]) -> None:
            wh = registers[point.identity] = registers[point.identity] + 1
            point.command("report", (self._controller, report(1, wh)), _ignore)

        return await self._each(number, ask, by_frames=True)

    async def heartbeats(self, number: int, interval_s: float) -> float:
        """So many Heartbeats of each charge point; the clock jumps by the interval before each. CPU seconds of one."""
        assert self.driver is not None
        driver = self.driver
        begun = time.process_time()
        for _ in range(number):
            self.clock.ahead_s += interval_s
            await self._each(1, partial(_due, driver), by_frames=True)
        return (time.process_time() - begun) / number / len(self.points)

    async def call(self, point: ChargePoint, name: str, *arguments: Any) -> Any:
        """A command and its answer."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def reply(result: Any, error: Exception | None) -> None:
            assert error is None, error
            answered.set_result(result)

        result = point.command(name, arguments, reply)
        return await answered if result is None else result

    async def _each(
        self, number: int, ask: Callable[[ChargePoint, Callable[[], None]], None], *, by_frames: bool = False
    ) -> float:
        """Let every charge point go round ``number`` times, each at its own pace; CPU seconds of one round.

        A round ends when ``ask`` says so, or with the next frame of the CSMS.
        """
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = dict.fromkeys(self.hub.charge_points, number)
        running = len(left)

        def done(identity: str) -> None:
            nonlocal running
            left[identity] -= 1
            assert left[identity] >= 0, "a frame that nobody asked for"
            if left[identity]:
                again(identity)
            else:
                running -= 1
                if not running:
                    ended.set_result(None)

        again: Callable[[str], None] = lambda identity: ask(points[identity], partial(done, identity))  # noqa: E731
        points = self.hub.charge_points
        if by_frames:
            for tap in self.taps:
                tap.received = done
        begun = time.process_time()
        for identity in left:
            again(identity)
        await ended
        taken = time.process_time() - begun
        for tap in self.taps:
            tap.received = None
        return taken / number / len(left)


def report(
    connector_id: int, energy_wh: int, *, plugged: bool | None = None, is_sampled: bool = True
) -> dict[str, Any]:
    """A report of the ten samples as it comes over the socket; the register is the tenth.

    ``is_sampled``: an interruption begins or ends with every other register, which is sampled at once (CORE-MV-20);
    so no bench has to wait for a due time, nor to make its clock run.
    """
    levels = {} if plugged is None else {"plugged": plugged, "ev_ready": plugged, "evse_ready": plugged}
    # A digit of each value follows the register, so that no two reports are the same.
    tail = energy_wh % 10
    values = [
        *(("Power.Active.Import", None, 11_040.5 + tail), ("Temperature", None, 41.5 + tail), ("SoC", None, 50 + tail)),
        *(("Current.Import", f"L{phase}", 15.25 + tail) for phase in (1, 2, 3)),
        *(("Voltage", f"L{phase}-N", 229.75 + tail) for phase in (1, 2, 3)),
    ]
    measurements = [
        {"measurand": name, "value": value} | ({} if phase is None else {"phase": phase})
        for name, phase, value in values
    ]
    if is_sampled:
        measurements[0]["context"] = "Interruption.Begin" if energy_wh % 2 else "Interruption.End"
    return {"connector_id": connector_id, **levels, "energy_wh": energy_wh, "measurements": measurements}


def _is_calm(core: Core) -> bool:
    state = core.state(Instant(time.monotonic(), 0))
    return state["registration"] == "Accepted" and not state["queue"]["messages"]


def _due(driver: Driver, point: ChargePoint, done: Callable[[], None]) -> None:
    driver.apply(point.identity, lambda core, now: core.handle_timer(now))


def _ignore(result: Any, error: Exception | None) -> None:
    """The answer of a report follows its commit; what is waited for is the confirmation of the CSMS."""
    assert error is None, error


async def main(path: str, store: str, fsync_s: str) -> None:
    """Serve commands until the bench is done."""
    process = HubProcess(Path(path), store, float(fsync_s))
    names = (
        "scrape",
        "heartbeats",
        "start",
        "accepted",
        "waiting",
        "commits",
        "drained",
        "transfers",
        "plug_in",
        "reports",
    )
    turns = Turns()
    commands = {name: getattr(process, name) for name in names}
    await serve(commands | {"watch_turns": turns.begin, "longest_turn": turns.end, "collect": collect})
    await process.stop()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
