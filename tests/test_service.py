"""service.py: what is said to a service manager, and what is taken from it. The manager is a datagram socket here."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ocpphub import service
from ocpphub.errors import LocalError
from ocpphub.service import ServiceManager, Watchdog, inherited_sockets
from tests.virtual_loop import VirtualLoop

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "packaging" / "ocpphub.service"


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Every datagram since the last call."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


def of(manager: Manager, **environ: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": manager.socket.getsockname(), **environ})


# sd_notify


def test_manager_is_told_of_start_reload_and_end(manager: Manager) -> None:
    told = of(manager)
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

    told.ready("up with 2 charge points")
    told.reloading()
    told.ready("reloaded\nREADY=0")
    told.stopping()

    ready, reloading, again, stopping = manager.heard()
    assert ready == "READY=1\nSTATUS=up with 2 charge points"
    first, _, usec = reloading.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before_us <= int(usec) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert again == "READY=1\nSTATUS=reloaded READY=0", "a status is one line, whatever is in it"
    assert stopping == "STOPPING=1\nSTATUS=stopping"


def test_manager_with_an_abstract_address_is_told_too() -> None:
    name = f"ocpphub-test-{os.getpid()}"
    other = Manager(f"\0{name}")

    ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).status("well")

    assert other.heard() == ["STATUS=well"]
    other.socket.close()


def test_without_a_manager_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).ready("up")

    assert caplog.records == []


def test_manager_that_is_gone_is_a_warning(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    told = of(manager)
    Path(manager.socket.getsockname()).unlink()

    told.ready("up")

    assert "was not told READY=1" in caplog.text


def test_environment_is_taken_so_that_no_child_believes_it_meant_for_it() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    environ |= {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}

    ServiceManager(environ)
    inherited_sockets(environ)

    assert environ == {"PATH": "/bin"}


# The watchdog


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("60000000", "", 60.0),
        ("60000000", str(os.getpid()), 60.0),
        ("60000000", "1", None),
        ("0", "", None),
        ("", "", None),
        ("soon", "", None),
    ],
    ids=["any process", "this process", "another process", "zero", "empty", "no number"],
)
def test_watchdog_is_wanted_by_its_interval_and_of_this_process_only(usec: str, pid: str, expected: float) -> None:
    assert ServiceManager({"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}).watchdog_s == expected


def test_watchdog_is_fed_at_half_of_its_interval_while_all_is_well(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """N21"""
    loop = VirtualLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: cast(asyncio.AbstractEventLoop, loop))
    complaints: list[str | None] = [None]
    watchdog = Watchdog(of(manager, WATCHDOG_USEC="60000000"), lambda: complaints[-1])

    watchdog.start()
    assert manager.heard() == ["WATCHDOG=1"]
    loop.pass_time(29)
    assert manager.heard() == []
    loop.pass_time(1)
    assert manager.heard() == ["WATCHDOG=1"]

    complaints.append("a commit has been under way for 31 s")
    for _ in range(3):
        loop.pass_time(30)
    assert manager.heard() == ["STATUS=not well: a commit has been under way for 31 s"], "and is not fed"
    assert caplog.text.count("is not fed: a commit") == 1

    complaints.append(None)
    loop.pass_time(30)
    assert manager.heard() == ["WATCHDOG=1", "STATUS=up again"]

    watchdog.stop()
    loop.pass_time(120)
    assert manager.heard() == []


def test_watchdog_that_nobody_wants_is_not_fed(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    Watchdog(of(manager), lambda: None).start()

    assert manager.heard() == []


# Sockets made for us


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two free descriptors in a row, far above those that anybody else opens; closed where the test did not."""
    first = 900
    monkeypatch.setattr(service, "FIRST_DESCRIPTOR", first)
    yield [first, first + 1]
    for each in (first, first + 1):
        try:
            os.close(each)
        except OSError:
            continue


def environ(count: int = 1, **changes: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "hub.socket:own"} | changes


def handed_over(made: socket.socket, descriptor: int) -> None:
    with made:
        os.dup2(made.fileno(), descriptor)


def unix(path: Path | str, kind: socket.SocketKind = socket.SOCK_STREAM, *, listens: bool = True) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(str(path))
    if listens:
        made.listen()
    return made


def test_sockets_of_the_manager_are_found_by_their_paths(tmp_path: Path, descriptors: list[int]) -> None:
    for name, descriptor in zip("ab", descriptors, strict=True):
        handed_over(unix(tmp_path / name), descriptor)

    found = inherited_sockets(environ(2))

    assert {path.name: made.fileno() for path, made in found.items()} == dict(zip("ab", descriptors, strict=True))
    assert [made.get_inheritable() for made in found.values()] == [False, False]
    for made in found.values():
        made.close()


def test_sockets_of_another_process_are_left_alone(tmp_path: Path, descriptors: list[int]) -> None:
    handed_over(unix(tmp_path / "a"), descriptors[0])

    assert inherited_sockets(environ(LISTEN_PID="1")) == {}
    assert inherited_sockets({}) == {}
    assert os.fstat(descriptors[0])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tcp", "no Unix socket"),
        ("datagram", "no stream socket"),
        ("connected", "not listening"),
        ("abstract", "a socket without a path"),
        ("file", "no socket"),
        ("nothing", "no socket"),
    ],
)
def test_socket_of_a_wrong_kind_is_refused_with_its_name(
    tmp_path: Path, descriptors: list[int], kind: str, said: str
) -> None:
    handed_over(unix(tmp_path / "sound"), descriptors[0])
    if kind == "tcp":
        handed_over(socket.create_server(("127.0.0.1", 0)), descriptors[1])
    elif kind == "datagram":
        handed_over(unix(tmp_path / "a", socket.SOCK_DGRAM, listens=False), descriptors[1])
    elif kind == "connected":
        handed_over(unix(tmp_path / "a", listens=False), descriptors[1])
    elif kind == "abstract":
        handed_over(unix(f"\0ocpphub-test-{os.getpid()}"), descriptors[1])
    elif kind == "file":
        file = os.open(os.devnull, os.O_RDONLY)
        os.dup2(file, descriptors[1])
        os.close(file)

    with pytest.raises(LocalError, match=rf"descriptor {descriptors[1]} \(own\) of the service manager is {said}"):
        inherited_sockets(environ(2))

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])


def test_number_of_sockets_that_is_none_is_refused() -> None:
    with pytest.raises(LocalError, match="LISTEN_FDS is 'two'"):
        inherited_sockets(environ(LISTEN_FDS="two"))


# packaging/


def test_unit_leaves_an_attacker_little(tmp_path: Path) -> None:
    """`systemd-analyze security` says at most 1.5 of 10; the file is for any systemd, so its own words count."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=15", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    """No key is misspelt; the program itself need not be installed here."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here")
    for name in ("ocpphub.service", "ocpphub.socket"):
        text = (UNIT.parent / name).read_text().replace("/usr/bin/ocpphub", "/bin/true")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.returncode == 0


def test_user_and_directories_are_made_as_the_units_want_them(tmp_path: Path) -> None:
    """The socket's directory is there before ocpphub runs, and hub.toml is for root and the group only."""
    tools = [shutil.which("systemd-sysusers"), shutil.which("systemd-tmpfiles")]
    if None in tools or os.geteuid() != 0:
        pytest.skip("needs systemd-sysusers, systemd-tmpfiles and root")
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    for tool, options, name in zip(tools, ([], ["--create"]), ("sysusers", "tmpfiles"), strict=True):
        command = [str(tool), f"--root={tmp_path}", *options, str(UNIT.with_suffix(f".{name}"))]
        subprocess.run(command, capture_output=True, check=True)

    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("ocpphub:"))
    uid, gid = map(int, user.split(":")[2:4])
    states = [(tmp_path / name).stat() for name in ("run/ocpphub", "etc/ocpphub")]
    assert [(state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) for state in states] == [
        (uid, gid, 0o750),
        (0, gid, 0o750),
    ]


def test_units_and_configuration_agree() -> None:
    """The paths that systemd makes are those that ocpphub takes by default."""
    from ocpphub.config_table import TABLES

    defaults = {key.name: key.default for key in TABLES["hub"]}
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")
    listening = (UNIT.parent / "ocpphub.socket").read_text()

    assert f"ListenStream={defaults['socket']}\n" in listening
    assert defaults["socket"] == f"/run/{unit['RuntimeDirectory']}/ocpphub.sock"
    assert defaults["state_directory"] == f"/var/lib/{unit['StateDirectory']}"
    assert unit["Type"] == "notify"
    assert unit["RestartPreventExitStatus"] == "78"
    assert float(unit["WatchdogSec"]) > 2 * 20, "a starved process may turn its loop 20 s late (F37)"
    assert int(unit["LimitNOFILE"]) >= 16_384 + 512 + 1000
