"""A disk that fails or is full under a real hub: what was acknowledged stays, and nothing is acknowledged in vain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.csms import Csms
from tests.torture.checker import Checker
from tests.torture.controllers import Controllers
from tests.torture.evening import FREE_VEND, Evening, judged
from tests.torture.hub_process import HubProcess, Site
from tests.torture.kill import CONNECTORS, Outcome, accept, finish, site_of
from tests.torture.points import can_trace
from tests.torture.recorder import Recorder

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio]
STORE_FAILED: Final = 75
DISK: Final = "24m"
NORMAL_S: Final = 5.0
"""F10: from room to normal."""

needs_strace = pytest.mark.skipif(
    (reason := can_trace()) is not None, reason=f"strace fault injection of the disk: {reason}"
)


def fault(hub: HubProcess, call: str, error: str, when: str) -> tuple[str, ...]:
    """The command that lets a system call on the store's log fail."""
    at = ("-P", str(hub.state / "hub.db-wal"), "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}")
    return ("strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", *at)


@needs_strace
@pytest.mark.parametrize("when", ["60", "100+"], ids=["once", "for_good"])
async def test_failed_sync_ends_the_hub_and_nothing_is_acknowledged_after_it(tmp_path: Path, when: str) -> None:
    """F09, D1, D6: exit code 75; what was acknowledged before is there after the next start."""
    outcome = Outcome(1)
    async with Recorder(1) as recorder:
        hub = HubProcess(tmp_path, site_of(recorder.url))
        controllers = Controllers(hub.socket, CONNECTORS, 1)
        await accept(hub)
        assert await hub.stop() == 0
        await hub.start(fault(hub, "fdatasync", "EIO", when))
        await asyncio.wait_for(controllers.live(), 60)
        assert await hub.ended(10) == STORE_FAILED, hub.log_tail()
        events = controllers.ledger.events
        await hub.start()
        await finish(hub, controllers, outcome)
        assert events > 0
        checker = Checker(controllers.ledger, recorder.transcript, outcome.records)
        assert [*outcome.problems, *checker.problems()] == []


@needs_strace
async def test_write_without_room_is_made_again_out_of_the_reserve(tmp_path: Path) -> None:
    """F10, ENOSPC at one write: the reserve is given up, the commit is made, and the hub goes on."""
    outcome = Outcome(2)
    async with Recorder(2) as recorder:
        hub = HubProcess(tmp_path, site_of(recorder.url))
        controllers = Controllers(hub.socket, CONNECTORS, 2)
        await accept(hub)
        assert await hub.stop() == 0
        await hub.start(fault(hub, "pwrite64", "ENOSPC", "300"))
        living = asyncio.create_task(controllers.live())
        deadline_s = time.monotonic() + 20
        while "is given up" not in hub.log.read_text():
            assert time.monotonic() < deadline_s
            assert hub.is_running
            await asyncio.sleep(0.1)
        events = controllers.ledger.events
        await asyncio.wait({living}, timeout=1.0)
        assert controllers.ledger.events > events
        await hub.kill()
        await living
        await hub.start()
        await finish(hub, controllers, outcome)
        checker = Checker(controllers.ledger, recorder.transcript, outcome.records)
        assert [*outcome.problems, *checker.problems()] == []


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of :data:`DISK` at ``place``; skips where nobody may mount."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave so many bytes free."""
    found = os.statvfs(disk)
    with (disk / "other").open("ab") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, file.tell() + max(0, found.f_bavail * found.f_frsize - left))


async def starts(driven: Evening, connector_id: int, within_s: float) -> bool:
    """Whether a vehicle that comes, again and again, is given a transaction within this time."""
    deadline_s = time.monotonic() + within_s
    while True:
        if await driven.try_to_plug(connector_id):
            return True
        await driven.unplug(connector_id)
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(0.2)


async def test_full_disk_refuses_new_sessions_and_finishes_the_running_ones(tmp_path: Path) -> None:
    """F10: running sessions end and are recorded, new ones are refused; with room again all is as before in 5 s."""
    with small_disk(tmp_path / "state") as disk:
        async with Csms() as csms:
            configuration = {"MeterValueSampleInterval": 1, "MessageTimeout": 5}
            site = Site(csms.url, 4, configuration=configuration, more=FREE_VEND.format(connectors=4))
            async with HubProcess(tmp_path, site) as hub, Evening(hub) as driven:
                await driven.plug(1, 2)
                fill(disk, 1_000_000)
                await asyncio.sleep(3)  # the disk is looked at every two seconds
                assert not await driven.try_to_plug(3)
                await driven.unplug(3)
                fill(disk, 0)
                for _ in range(10):
                    await driven.charge(1, 2)
                    await asyncio.sleep(0.25)
                await driven.unplug(1)
                (disk / "other").unlink()
                assert await starts(driven, 4, NORMAL_S)
                await driven.unplug(2, 4)
                await driven.delivered()
                assert await judged(csms, hub) == []
                assert len(csms.ledger.records) == 3
                async with AsyncClient(hub.socket) as client:
                    assert (await client.call("server.info"))["ready"]
                assert await hub.stop() == 0
