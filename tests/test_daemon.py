"""daemon.py: start, signals, exit codes, the order of the end. The process is this one, or a child where it must be."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocpphub import daemon, wiring
from ocpphub.api import Hub
from ocpphub.config import Settings
from ocpphub.errors import LocalError, UnavailableError
from ocpphub.rpc.client import AsyncClient
from ocpphub.store.memory import MemoryStore
from tests import builders
from tests.hub_doubles import hub_settings

CHILD = """
import ctypes, faulthandler, json, resource, sys
from pathlib import Path
from ocpphub import daemon
from tests.hub_doubles import hub_settings, rpc_settings
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
daemon.prepare_process(hub_settings(rpc=rpc_settings(max_connections=300)))
print(json.dumps({
    "switch": sys.getswitchinterval(),
    "says where it hung": faulthandler.is_enabled(),
    "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
}))
"""
UNCAUGHT = """
import threading
from ocpphub import daemon, log
from tests.hub_doubles import hub_settings
log.setup("info", "json")
daemon.prepare_process(hub_settings())
def fail():
    raise ValueError('{"idTag":"SECRET"}')
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    point = builders.settings(csms_url="ws://127.0.0.1:1/ocpp")
    return hub_settings(point, directory=tmp_path)


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    """The daemon freezes what lives; this process goes on after it."""
    yield
    gc.unfreeze()


async def until_served(path: Path) -> AsyncClient:
    client = AsyncClient(path)
    async with asyncio.timeout(10):
        while True:
            try:
                await client.connect()
            except UnavailableError:
                await asyncio.sleep(0)
            else:
                return client


async def until_unsynced(store: MemoryStore) -> None:
    while not store.unsynced:  # noqa: ASYNC110  # the double has no event to wait for
        await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_daemon_serves_until_a_signal_then_ends_with_zero(settings: Settings, number: int) -> None:
    """F47"""
    running = asyncio.create_task(daemon.run(settings))
    client = await until_served(settings.hub.socket)
    assert (await client.call("server.info"))["charge_points"] == ["CP1"]

    os.kill(os.getpid(), number)

    assert await asyncio.wait_for(running, 5) == 0
    assert not settings.hub.socket.exists()
    await client.close()


@pytest.mark.asyncio
async def test_daemon_after_a_signal_finds_its_state_again(settings: Settings) -> None:
    """F47"""
    for expected in ([], ["HeartbeatInterval"]):
        running = asyncio.create_task(daemon.run(settings))
        client = await until_served(settings.hub.socket)
        assert (await client.call("charge_point.get"))["monitored_keys"] == expected
        await client.call("monitor_configuration_keys", keys=["HeartbeatInterval"])
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(running, 5) == 0
        await client.close()


@pytest.mark.asyncio
async def test_daemon_loads_x509_beside_the_loop_some_time_after_its_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-175: the first certificate of a CSMS finds it there."""
    assert daemon.LOAD_S >= 10
    monkeypatch.setattr(daemon, "LOAD_S", 0)
    monkeypatch.delitem(sys.modules, "ocpphub.certificates", raising=False)
    loaded: asyncio.Future[tuple[str, threading.Thread]] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def load(name: str) -> None:
        loop.call_soon_threadsafe(loaded.set_result, (name, threading.current_thread()))

    monkeypatch.setattr(wiring, "import_module", load)
    running = asyncio.create_task(daemon.run(settings))
    name, thread = await asyncio.wait_for(loaded, 10)
    assert name == "ocpphub.certificates"
    assert thread is not threading.main_thread()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0


@pytest.mark.asyncio
async def test_daemon_whose_commit_fails_ends_with_75(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """F09"""
    store = MemoryStore()
    monkeypatch.setattr(wiring, "open_store", lambda settings: store)
    settings.hub.state_directory.mkdir(mode=0o700)
    running = asyncio.create_task(daemon.run(settings))
    client = await until_served(settings.hub.socket)
    store.auto_sync = False
    event = asyncio.create_task(client.call("security_event", type="t", info="i"))
    await asyncio.wait_for(until_unsynced(store), 5)

    store.fail(OSError("I/O error"))

    assert await asyncio.wait_for(running, 5) == 75
    with pytest.raises(UnavailableError):
        await event
    await client.close()


@pytest.mark.asyncio
async def test_daemon_whose_socket_path_is_taken_touches_nothing_else(settings: Settings) -> None:
    """T02 F48"""
    settings.hub.socket.write_text("in the way")

    with pytest.raises(LocalError, match="no socket"):
        await daemon.run(settings)

    assert not settings.hub.state_directory.exists()


@pytest.mark.asyncio
async def test_second_daemon_on_a_store_is_refused_and_the_first_goes_on(settings: Settings, tmp_path: Path) -> None:
    """F48 N31"""
    running = asyncio.create_task(daemon.run(settings))
    client = await until_served(settings.hub.socket)
    other = replace(settings, hub=replace(settings.hub, socket=tmp_path / "other.sock"))

    with pytest.raises(LocalError):
        await daemon.run(other)

    assert not other.hub.socket.exists()
    assert await client.call("rpc.ping") == "pong"
    await client.close()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.asyncio
async def test_daemon_gives_a_charge_point_its_own_socket(tmp_path: Path) -> None:
    points = [
        builders.settings(identity=name, csms_url="ws://127.0.0.1:1/ocpp", socket=own)
        for name, own in (("CP1", None), ("CP2", tmp_path / "cp2.sock"))
    ]
    running = asyncio.create_task(daemon.run(hub_settings(*points, directory=tmp_path)))
    whole, own = await until_served(tmp_path / "hub.sock"), await until_served(tmp_path / "cp2.sock")

    assert (await whole.call("server.info"))["charge_points"] == ["CP1", "CP2"]
    assert (await own.call("charge_point.get"))["identity"] == "CP2"

    for client in (whole, own):
        await client.close()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0


@pytest.mark.parametrize(("error", "code"), [(LocalError("invalid_state"), 78), (UnavailableError("internal"), 75)])
def test_daemon_that_cannot_start_names_whose_fault_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    async def refused(settings: Settings) -> int:
        raise error

    monkeypatch.setattr(daemon, "run", refused)
    monkeypatch.setattr(daemon, "prepare_process", lambda settings: None)

    assert daemon.main(settings) == code


def test_process_is_prepared_for_keys_and_many_clients() -> None:
    """T09"""
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'python'}"}
    child = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, check=True, env=environment, timeout=30)

    prepared = json.loads(child.stdout)
    limits = {"switch": pytest.approx(0.0005), "core": [0, 0], "files": 300 + 1 + 512}
    assert prepared == {**limits, "says where it hung": True, "dumpable": 0}


def test_socket_of_the_service_manager_that_nothing_names_is_refused(settings: Settings, tmp_path: Path) -> None:
    """T38: one that nobody would serve must not look as if somebody did."""
    made = {path: socket.socket(socket.AF_UNIX) for path in (tmp_path / "hub.sock", tmp_path / "other.sock")}

    with pytest.raises(LocalError, match=r"made .*/other\.sock, which is not configured"):
        daemon.make_servers(Hub(settings, store=MemoryStore()), made)

    for each in made.values():
        each.close()


def test_error_that_nobody_caught_is_a_masked_record(tmp_path: Path) -> None:
    """T30: in a thread, and where it ends the process."""
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'python'}"}
    child = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], capture_output=True, check=False, env=environment, timeout=30
    )

    thread, end = (json.loads(line) for line in child.stderr.splitlines())
    assert (thread["message"], end["message"]) == ("a thread ended", "ending: nobody caught this")
    for record in (thread, end):
        assert record["level"] == "critical"
        assert '"idTag":"#' in record["exception"]
    assert child.returncode == 1


@pytest.mark.asyncio
async def test_socket_of_the_service_manager_serves_the_charge_point_that_names_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through another spelling of its path as well; it stays when the daemon ends."""
    (tmp_path / "link").symlink_to(tmp_path)
    point = builders.settings(csms_url="ws://127.0.0.1:1/ocpp", socket=tmp_path / "link" / "own.sock")
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / "own.sock"))
    made.listen()
    inode = (tmp_path / "own.sock").stat().st_ino
    monkeypatch.setattr(daemon, "inherited_sockets", lambda environ: {tmp_path / "own.sock": made})
    running = asyncio.create_task(daemon.run(hub_settings(point, directory=tmp_path)))

    for name in ("hub.sock", "own.sock"):
        client = await until_served(tmp_path / name)
        assert (await client.call("charge_point.get"))["identity"] == "CP1"
        await client.close()

    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0
    assert (tmp_path / "own.sock").stat().st_ino == inode
    assert not (tmp_path / "hub.sock").exists()
    assert not (tmp_path / "own.sock.lock").exists()


@pytest.mark.parametrize("is_installed", [True, False])
def test_daemon_names_the_missing_extra_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_installed: bool
) -> None:
    """S-191: certificates are not supported without it."""
    if not is_installed:
        monkeypatch.delitem(sys.modules, "ocpphub.certificates", raising=False)
        monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setattr(daemon, "run", lambda settings: _done())
    monkeypatch.setattr(daemon, "prepare_process", lambda settings: None)

    assert daemon.main(settings) == 0

    warnings = [record.getMessage() for record in caplog.records if "extra security" in record.getMessage()]
    assert len(warnings) == (0 if is_installed else 1)
    assert (wiring.make_x509() is not None) is is_installed


async def _done() -> int:
    return 0
