"""P5: the store and the start of the process, with the assertion that comes before the clock.

Owns the commits of a busy hub, the bytes that queued samples take on disk, and the daemon's start on a full store. The
disk is as slow as the goal says it is: each commit sleeps in the writer thread (hub_process.SlowStore). Must never
count what was not acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benches import footprint, hub_process, stations, traffic_goals
from benches.csms import BenchCsms
from benches.goals import Measured
from benches.hub_process import HubProcess
from benches.lines import Clients, line
from benches.worker import MIB, ROOT, process_cpu_s, resident_of
from ocpphub import daemon
from ocpphub.clients import new_controller
from ocpphub.store import Write
from ocpphub.store.directory import FILE_NAME

NOWHERE = "ws://127.0.0.1:1/ocpp"
"""A port where nobody listens."""
CONNECTORS = 1_000
"""Of the hub whose reports are written."""
REPORTS_PER_S = 10_000
GRAIN_WH = 100
"""A report whose register has risen by so much writes a checkpoint; more is refused at once (reliability.md 4.6)."""
FSYNC_S = 0.004
SLOW_FSYNC_S = 0.02


@dataclass(frozen=True, slots=True)
class Extent:
    """Seconds of each rate, commits of 100 rows, queued samples on disk; connectors and messages at the start."""

    seconds: float
    commits: int
    samples: int
    connectors: int
    messages: int


WHOLE = Extent(5.0, 100, 20_000, 10_000, 100_000)
QUICK = Extent(1.0, 20, 2_000, 1_000, 3_000)


def run(rounds: int, extent: Extent = WHOLE) -> Measured:
    """Measure every part of P5. Each runs in this process, which is the hub then; the start is that of the daemon.

    ``rounds`` is not looked at: a second of ten thousand reports is many rounds.
    """
    results = Measured()
    interval_s = sys.getswitchinterval()
    with tempfile.TemporaryDirectory() as name:
        try:
            sys.setswitchinterval(daemon.SWITCH_INTERVAL_S)
            results.other |= uvloop.run(_rates(Path(name), extent))
            results.other |= uvloop.run(_bytes(Path(name) / "bytes", extent))
        finally:
            sys.setswitchinterval(interval_s)
        results.other |= uvloop.run(_start(Path(name) / "start", extent))
    results.goals = traffic_goals.durability_goals(results.other)
    return results


class _Reporter:
    """A controller in this process that reports registers, each of which is written."""

    def __init__(self, hub: HubProcess) -> None:
        (self._point,) = hub.points
        self._controller = new_controller(0, is_operator=True)
        self._wh = 0
        self._connector_id = 0
        self.asked = self.answered = 0
        self.on_answer: Callable[[], None] = lambda: None

    async def attach(self) -> None:
        """Every connector is driven from here; nobody is plugged in."""
        ids = range(1, self._point.connector_count + 1)
        self._point.command("attach", (self._controller, list(ids), True), self._replied)
        for connector_id in ids:
            levels = {"plugged": False, "ev_ready": False, "evse_ready": True}
            params = {"connector_id": connector_id, **levels, "energy_wh": 0}
            self._point.command("report", (self._controller, params), self._replied)

    def report(self) -> None:
        """One report of the next connector."""
        self._connector_id = self._connector_id % self._point.connector_count + 1
        if self._connector_id == 1:
            self._wh += GRAIN_WH
        self.asked += 1
        params = {"connector_id": self._connector_id, "energy_wh": self._wh}
        answer = self._point.command("report", (self._controller, params), self._replied)
        assert answer is None, "this report was not written"

    def _replied(self, result: Any, error: Exception | None) -> None:
        assert error is None, error
        self.answered += 1
        self.on_answer()


async def _rates(directory: Path, extent: Extent) -> dict[str, float]:
    """A lone event, a loop that has no rest, commits beside it, and as many events as will go."""
    path = hub_process.configure(directory / "rates", NOWHERE, connectors=CONNECTORS)
    hub = HubProcess(path, "sqlite", FSYNC_S)
    store = hub.store
    assert isinstance(store, hub_process.SlowStore)
    await hub.start()
    reporter = _Reporter(hub)
    await reporter.attach()
    await hub.drained()
    reporter.answered = 0
    found: dict[str, float] = {}
    try:
        before = store.commits
        reporter.report()
        await hub.drained()
        await asyncio.sleep(10 * FSYNC_S)
        found["lone_commits"] = store.commits - before
        found |= await _saturated(hub, store, reporter, extent)
        found |= await _beside(store, extent)
        for name, fsync_s in (("4ms", FSYNC_S), ("20ms", SLOW_FSYNC_S)):
            store.fsync_s = fsync_s
            found[f"events_{name}"] = await _acknowledged(reporter, extent.seconds)
            await hub.drained()
    finally:
        await hub.stop()
    return found


async def _saturated(
    hub: HubProcess, store: hub_process.SlowStore, reporter: _Reporter, extent: Extent
) -> dict[str, float]:
    """10,000 reports a second, evenly, on a loop that never sleeps: every turn begins the next one."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    begun, commits, asked = time.monotonic(), store.commits, reporter.asked

    def turn() -> None:
        past_s = time.monotonic() - begun
        if past_s >= extent.seconds:
            ended.set_result(None)
            return
        due = min(int(past_s * REPORTS_PER_S) - (reporter.asked - asked), 100)
        for _ in range(due):
            reporter.report()
        loop.call_soon(turn)

    turn()
    await ended
    taken = time.monotonic() - begun
    await hub.drained()
    reports = reporter.asked - asked
    return {"fsyncs_per_report": (store.commits - commits) / reports, "reports_per_s": reports / taken}


async def _beside(store: hub_process.SlowStore, extent: Extent) -> dict[str, float]:
    """Commits of 100 rows beside a loop that has no rest; seconds beyond the fsync, which is measured alone first."""
    loop = asyncio.get_running_loop()
    rows = [Write("bench", "meter", str(number), b'{"wh":1,"at":1,"offset":0}') for number in range(100)]

    async def commit() -> float:
        synced: asyncio.Future[BaseException | None] = loop.create_future()
        begun = time.monotonic()
        store.commit(rows, synced.set_result)
        assert await synced is None
        return time.monotonic() - begun

    is_busy = True

    def spin() -> None:
        for _ in range(200):
            pass
        if is_busy:
            loop.call_soon(spin)

    calm = [await commit() for _ in range(extent.commits)]
    spin()
    busy = [await commit() for _ in range(extent.commits)]
    is_busy = False
    busy.sort()
    return {
        "commit_s": statistics.median(busy) - store.fsync_s,
        "commit_p99_s": busy[int(0.99 * (len(busy) - 1))] - store.fsync_s,
        "commit_calm_s": statistics.median(calm) - store.fsync_s,
    }


async def _acknowledged(reporter: _Reporter, seconds: float) -> float:
    """Events that are written and answered, a second, with as many under way as there are connectors."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    begun, answered = time.monotonic(), reporter.answered

    def go_on() -> None:
        if time.monotonic() - begun < seconds:
            reporter.report()
        elif reporter.answered == reporter.asked and not ended.done():
            ended.set_result(None)

    reporter.on_answer = go_on
    for _ in range(CONNECTORS):
        reporter.report()
    await ended
    reporter.on_answer = lambda: None
    return (reporter.answered - answered) / (time.monotonic() - begun)


async def _bytes(directory: Path, extent: Extent) -> dict[str, float]:
    """What a queued sample of ten values takes in the database, against the frame that it would be."""
    async with BenchCsms() as csms:
        path = hub_process.configure(directory, csms.url, connectors=100)
        hub = HubProcess(path, "sqlite", 0.0)
        await hub.start()
        await hub.accepted()
        await csms.quiet()
        controller = new_controller(0, is_operator=True)
        (point,) = hub.points
        await hub.call(point, "attach", controller, list(range(1, 101)), True)
        database = path.parent / "state"

        async def report_all(wh: int, *, plugged: bool | None = None) -> None:
            for connector_id in range(1, 101):
                params = hub_process.report(connector_id, wh, plugged=plugged, is_sampled=plugged is None)
                await hub.call(point, "report", controller, params)

        await report_all(1_000, plugged=True)
        await hub.accepted()
        await report_all(1_001)
        await csms.quiet()
        frame = csms.sizes["MeterValues"]
        assert len(csms.payloads["MeterValues"]["meterValue"][0]["sampledValue"]) == 10
        csms.is_silent = True
        await report_all(1_002)
        await hub.drained()
        before, waiting = _used(database), await hub.waiting()
        samples = 0
        while samples < extent.samples:
            await report_all(1_003 + samples // 100)
            samples += 100
        await hub.drained()
        used = _used(database) - before
        assert await hub.waiting() >= waiting
        csms.speak()
        await hub.stop()
    return {"sample_bytes": used / samples, "frame_bytes": frame}


def _used(directory: Path) -> int:
    """Bytes of the pages that are in use, those in the log counted as they will be."""
    connection = sqlite3.connect(directory / FILE_NAME)
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    connection.close()
    return int((pages - free) * size)


async def _start(directory: Path, extent: Extent) -> dict[str, float]:
    """The daemon on a store with ``std`` profiles, without and with messages that wait: first answer and memory."""
    found: dict[str, float] = {}
    for name, messages in (("empty", 0), ("full", extent.messages)):
        path = hub_process.configure(directory / name, NOWHERE, connectors=extent.connectors)
        found[f"start_{name}_messages"] = await _fill(path, extent.connectors, messages)
        found |= {f"start_{name}_{key}": figure for key, figure in _boot(path).items()}
    return found


async def _fill(path: Path, connectors: int, messages: int) -> float:
    """A store as an outage leaves it: ``std`` profiles, and sessions that nobody has heard of; how many messages."""
    with tempfile.TemporaryDirectory() as workload:
        rows = stations.load(Path(workload), "std", connectors).rows
    await footprint.fill(path.parent / "state", rows, "CP0")
    hub = HubProcess(path, "sqlite", 0.0)
    await hub.start()
    controller = new_controller(0, is_operator=True)
    (point,) = hub.points
    await hub.call(point, "attach", controller, list(range(1, connectors + 1)), True)
    wh, waiting = 1_000, await hub.waiting()
    while waiting < messages:
        for plugged in (True, None, False):
            wh += 1
            for begin in range(1, connectors + 1, 500):
                reports = [
                    hub_process.report(each, wh, plugged=plugged, is_sampled=plugged is None)
                    for each in range(begin, min(begin + 500, connectors + 1))
                ]
                answer = await hub.call(point, "report_many", controller, {"reports": reports}, _everyone)
                assert answer["errors"] == [], answer["errors"][0]
        waiting = await hub.waiting()
    await hub.stop()
    return waiting


def _everyone(connector_id: int) -> bool:
    return True


def _boot(path: Path) -> dict[str, float]:
    """Start the daemon; wall and CPU seconds until the first answer, resident bytes a moment later."""
    address = path.parent / "hub.sock"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'python'}"}
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "ocpphub", "run", "-c", str(path)], env=environment)
    try:
        while True:
            assert process.poll() is None, "the daemon has ended"
            try:
                clients = Clients([address])
            except OSError:
                time.sleep(0.002)
                continue
            with clients:
                try:
                    clients.call(0, line("rpc.ping"))
                except (OSError, AssertionError):
                    continue
                answered_s, cpu_s = time.monotonic() - begun, process_cpu_s(process.pid)
                break
        time.sleep(1.0)
        resident = resident_of(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    return {"s": answered_s, "cpu_s": cpu_s, "mib": resident / MIB}
