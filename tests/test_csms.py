"""The supervisor of a link, with scripted attempts in place of sockets: who reconnects, when, and who hears of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocpphub.config import Security
from ocpphub.connection import Connection
from ocpphub.core.credentials import Access
from ocpphub.csms import CsmsLink
from ocpphub.endpoint import BackOff, Failure
from ocpphub.errors import LocalError
from ocpphub.log import mask
from tests import builders

pytestmark = pytest.mark.asyncio

KEY_HEX = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"


class StubConnection:
    """An open connection until someone ends it; the socket of a ``deaf`` peer stays until ``drop``."""

    def __init__(self, log: list[object], *, deaf: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.log = log
        self.why = ""
        self.deliver: Callable[[bytes, bool], None] | None = None
        self.ended = self.loop.create_future()
        self.deaf = deaf
        self.dropped = asyncio.Event()
        self.transport = SimpleNamespace(abort=self.dropped.set)
        self.send_deadline_s = self.pong_timeout_s = 0.0
        self.root: str | None = None

    def push(self, frame: bytes) -> None:
        self.log.append(frame)

    def shut(self, code: int, reason: str) -> None:
        self.log.append(("shut", code, reason))
        self.end()

    def hold(self, held: bool) -> None:
        self.log.append(("hold", held))

    def set_ping_interval(self, interval_s: float) -> None:
        self.log.append(("ping", interval_s))

    def end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if not self.deaf:
            self.dropped.set()

    async def wait_closed(self) -> None:
        await self.dropped.wait()
        self.log.append("closed")


class StubBackOff(BackOff):
    """Waits an hour, unless the test wants none; keeps what it was told."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(lambda: 0.0)
        self.wait_s = wait_s
        self.told: list[object] = []

    def next_s(self, retry_after_s: float | None = None) -> float:
        self.told.append(("next", retry_after_s))
        return self.wait_s

    def closed(self, uptime_s: float, *, accepted: bool) -> None:
        super().closed(uptime_s, accepted=accepted)
        self.told.append(("closed", accepted))


class ScriptedLink(CsmsLink):
    """A link whose attempts come out of a script: an exception, a connection, or a wait that only cancelling ends."""

    def __init__(self, log: list[object], **kwargs: Any) -> None:
        self.log = log
        self.script: deque[object] = deque()
        self.exhausted = asyncio.Event()
        changes = {"csms_url": "ws://127.0.0.1/ocpp"} | kwargs.pop("settings", {})
        receiver = SimpleNamespace(
            connected=lambda identity, root: log.append("connected"),
            disconnected=lambda identity: log.append("disconnected"),
            receive=lambda identity, frame, binary: log.append((identity, frame, binary)),
            access=lambda identity: Access(1, "ws://127.0.0.1/ocpp", bytes.fromhex(KEY_HEX)),
        )
        super().__init__(builders.settings(**changes), receiver, **kwargs)

    async def _open(self) -> Connection:
        self.log.append("attempt")
        step = self.script.popleft() if self.script else None
        if not self.script:
            self.exhausted.set()
        if isinstance(step, Exception):
            raise step
        if step is None:
            await asyncio.get_running_loop().create_future()
        return cast(Connection, step)


async def settle() -> None:
    """Let every task run until all of them wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def played(link: ScriptedLink) -> None:
    """Let the link play its script to the end."""
    await asyncio.wait_for(link.exhausted.wait(), 1)
    await settle()


async def end(link: CsmsLink) -> None:
    link.disconnect(1001, "", True)
    await link.wait_closed()


async def test_link_tells_of_its_connection_and_passes_frames_both_ways() -> None:
    log: list[object] = []
    link = ScriptedLink(log)
    connection = StubConnection(log)
    link.script.append(connection)
    link.connect({})
    await settle()
    assert connection.deliver is not None
    connection.deliver(b"in", True)
    link.send(b"out")
    assert log == ["attempt", ("ping", 30), "connected", ("hold", False), ("CP1", b"in", True), b"out"]
    await end(link)
    assert log[6:] == [("shut", 1001, ""), "disconnected", "closed"]


async def test_link_takes_its_deadlines_from_the_settings() -> None:
    link = ScriptedLink([])
    connection = StubConnection([])
    link.script.append(connection)
    link.connect({})
    await settle()
    expected = builders.settings().link
    assert (connection.send_deadline_s, connection.pong_timeout_s) == (
        expected.send_deadline_s,
        expected.pong_timeout_s,
    )
    await end(link)


async def test_link_tries_again_for_ever_whatever_fails(caplog: pytest.LogCaptureFixture) -> None:
    """J-126, J-127, X-21, L3: even a bug of ours does not end reconnecting."""
    log: list[object] = []
    failures: list[Failure] = []
    link = ScriptedLink(log, back_off=StubBackOff(0.0), on_failure=failures.append)
    link.script += [OSError("x"), TimeoutError(), ValueError("a bug"), OSError("x"), StubConnection(log)]
    link.connect({})
    await played(link)
    assert log.count("attempt") == 5
    assert [failure.cause for failure in failures] == ["network", "timeout", "unexpected", "network"]
    assert "a bug" in caplog.text
    await end(link)


async def test_link_reconnects_after_a_connection_ended() -> None:
    """X-21, X-03: disconnected is told before the next attempt."""
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(0.0))
    first = StubConnection(log)
    link.script += [first, StubConnection(log)]
    link.connect({})
    await settle()
    first.end()
    await played(link)
    assert [one for one in log if isinstance(one, str)] == [
        "attempt",
        "connected",
        "disconnected",
        "closed",
        "attempt",
        "connected",
    ]
    await end(link)


async def test_link_to_a_deaf_peer_is_down_at_once_and_dials_when_the_socket_is_gone() -> None:
    """J-303, X-03, X-21, X-23: the core hears of the end before the transport is dropped, the next dial comes after."""
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(0.0))
    first = StubConnection(log, deaf=True)
    link.script += [first, StubConnection(log)]
    link.connect({})
    await settle()
    first.end()
    await settle()
    link.send(b"lost")
    link.set_ping_interval(9)
    link.disconnect(1000, "", False)
    assert log == ["attempt", ("ping", 30), "connected", ("hold", False), "disconnected"]
    first.dropped.set()
    await played(link)
    assert [one for one in log[5:] if isinstance(one, str)] == ["closed", "attempt", "connected"]
    await end(link)


@pytest.mark.parametrize("again", [False, True], ids=["and stays closed", "and is started again"])
async def test_link_stopped_while_a_deaf_peer_lets_go_ends_the_socket_first(again: bool) -> None:
    """X-03, X-21: `stop` and `restart` in the time between the end and the drop."""
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(3600.0))
    first = StubConnection(log, deaf=True)
    link.script += [first, StubConnection(log)]
    link.connect({})
    await settle()
    first.end()
    await settle()
    link.disconnect(1000, "", True)
    if again:
        link.connect({})
    await settle()
    assert "closed" not in log
    assert log.count("attempt") == 1
    first.dropped.set()
    await settle()
    assert log.count("attempt") == 1 + again
    assert log.count("connected") == 1 + again
    await end(link)


async def test_link_restarted_and_stopped_again_while_it_dials_stays_closed() -> None:
    """X-21: one loop reconnects, and the last word counts."""
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(3600.0))
    link.script += [StubConnection(log)]
    link.connect({})
    await settle()
    link.disconnect(1000, "", True)
    link.connect({})
    await settle()
    assert log.count("attempt") == 2
    link.disconnect(1000, "", True)
    async with asyncio.timeout(1):
        await link.wait_closed()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_link_asks_the_back_off_once_per_cycle_and_tells_it_how_it_went() -> None:
    """J-341, J-342."""
    back_off = StubBackOff(3600.0)
    link = ScriptedLink([], back_off=back_off)
    connection = StubConnection([])
    link.script.append(connection)
    link.connect({})
    await settle()
    link.stable()
    connection.end()
    await settle()
    assert back_off.told == [("closed", True), ("next", None)]
    await end(link)


async def test_link_warns_of_an_identity_in_use_twice(caplog: pytest.LogCaptureFixture) -> None:
    """N01."""
    link = ScriptedLink([], back_off=StubBackOff(0.0))
    connections = [StubConnection([]) for _ in range(4)]
    for connection in connections:
        connection.end()
    link.script += connections
    link.connect({})
    await played(link)
    assert caplog.text.count("in use twice") == 1
    await end(link)


async def test_link_told_to_connect_while_it_waits_tries_at_once() -> None:
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(3600.0))
    link.script.append(OSError("x"))
    link.connect({})
    await settle()
    link.connect({"X-Fresh": "1"})
    await settle()
    assert log == ["attempt", "attempt"]
    await end(link)


async def test_link_disconnected_for_a_reconnect_waits_and_connects_again() -> None:
    log: list[object] = []
    back_off = StubBackOff(3600.0)
    link = ScriptedLink(log, back_off=back_off)
    link.script.append(StubConnection(log))
    link.connect({})
    await settle()
    link.disconnect(1000, "new key", False)
    await settle()
    assert ("shut", 1000, "new key") in log
    assert back_off.told == [("closed", False), ("next", None)]
    await end(link)


@pytest.mark.parametrize("step", [None, OSError("x")], ids=["while it dials", "while it waits"])
async def test_link_told_to_stay_closed_ends_at_once(step: Exception | None) -> None:
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(3600.0))
    link.script.append(step)
    link.connect({})
    await settle()
    link.disconnect(1000, "", True)
    async with asyncio.timeout(1):
        await link.wait_closed()
    assert log == ["attempt"]


async def test_link_restarted_waits_for_its_old_socket_and_not_for_the_back_off() -> None:
    """X-03, decisions 6 (`restart`)."""
    log: list[object] = []
    link = ScriptedLink(log, back_off=StubBackOff(3600.0))
    link.script += [StubConnection(log), StubConnection(log)]
    link.connect({})
    await settle()
    link.disconnect(1000, "", True)
    link.connect({})
    await settle()
    assert [one for one in log if isinstance(one, str)] == [
        "attempt",
        "connected",
        "disconnected",
        "closed",
        "attempt",
        "connected",
    ]
    await end(link)


async def test_link_restarted_while_it_dialled_dials_anew() -> None:
    log: list[object] = []
    link = ScriptedLink(log)
    link.script += [None, StubConnection(log)]
    link.connect({})
    await settle()
    link.disconnect(1000, "", True)
    link.connect({})
    await settle()
    assert log[:2] == ["attempt", "attempt"]
    assert "connected" in log
    await end(link)


async def test_link_without_a_connection_drops_frames_and_remembers_switches() -> None:
    """J-305: the interval holds for later connections too."""
    log: list[object] = []
    link = ScriptedLink(log)
    link.send(b"lost")
    link.set_ping_interval(7)
    link.pause()
    link.script.append(StubConnection(log))
    link.connect({})
    await settle()
    assert log == ["attempt", ("ping", 7), "connected", ("hold", True)]
    link.resume()
    link.set_ping_interval(0)
    assert log[4:] == [("hold", False), ("ping", 0)]
    await end(link)


async def test_link_never_started_is_closed_at_once() -> None:
    await end(ScriptedLink([]))


def security(profile: int) -> Security:
    return Security(profile, None, None, None, None, False)


async def test_link_keeps_key_and_query_out_of_log_and_objects(caplog: pytest.LogCaptureFixture) -> None:
    """J-149, S-157, T30."""
    caplog.set_level(logging.DEBUG)
    settings = {"csms_url": "ws://127.0.0.1/ocpp?token=canary", "security": security(1)}
    link = ScriptedLink([], settings=settings, back_off=StubBackOff(3600.0))
    header = link._credentials(bytes.fromhex(KEY_HEX))["Authorization"]
    link.script.append(OSError("x"))
    link.connect({})
    await settle()
    await end(link)
    assert "ws://127.0.0.1/ocpp/CP1" in caplog.text
    for secret in ("canary", KEY_HEX.lower(), header.removeprefix("Basic ")):
        assert secret not in caplog.text
        assert secret not in repr(link)
    assert mask(f"{KEY_HEX.lower()} and {header}").count("***") == 2


@pytest.mark.parametrize(
    ("csms_url", "profile", "warned"),
    [
        ("ws://csms.example", 0, True),
        ("ws://csms.example", 1, True),
        ("ws://127.0.0.1", 0, False),
        ("ws://localhost", 1, False),
    ],
)
async def test_link_open_to_impostors_is_warned_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, csms_url: str, profile: int, warned: bool
) -> None:
    """N01, S-106: by the profile that is in force, whatever the settings say."""
    failures: asyncio.Queue[Failure] = asyncio.Queue()

    async def refused(host: str, port: int) -> socket.socket:
        raise ConnectionRefusedError

    monkeypatch.setattr("ocpphub.csms._dial", refused)
    receiver = cast(Any, SimpleNamespace(access=lambda identity: Access(profile, csms_url)))
    settings = builders.settings(csms_url="ws://csms.example", security=security(0))
    link = CsmsLink(settings, receiver, back_off=StubBackOff(0.0), on_failure=failures.put_nowait)
    link.connect({})
    for _ in range(3):
        assert (await asyncio.wait_for(failures.get(), 1)).cause == "network"
    await end(link)
    assert caplog.text.count("security profile") == warned


@pytest.mark.parametrize(
    "settings",
    [
        {"csms_url": "ws://h/ocpp#f"},
        {"identity": "a:b", "security": security(1)},
        {"csms_url": "wss://h", "security": Security(2, None, Path("/nowhere/ca.pem"), None, None, False)},
    ],
)
async def test_link_that_could_never_connect_is_refused(settings: dict[str, Any]) -> None:
    """J-106, J-145."""
    with pytest.raises(LocalError):
        ScriptedLink([], settings=settings)
