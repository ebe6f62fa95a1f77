"""Where Prometheus asks: an answer per connection, bounded in size, time and number; the address is ours or refused."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ocpphub import daemon, metrics_server
from ocpphub.config import MetricsSettings
from ocpphub.errors import LocalError
from ocpphub.metrics import Metrics
from ocpphub.metrics_server import MAX_CONNECTIONS, MAX_REQUEST_BYTES, MAX_SCRAPES, MetricsServer, make_metrics_server
from tests import builders
from tests.hub_doubles import hub_settings, running_hub

ANY_PORT = "127.0.0.1:0"
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class MetricsDouble:
    """Numbers without a hub: ``text``, when ``ready`` is set."""

    def __init__(self) -> None:
        self.text = b"ocpphub_x 1.0\n"
        self.refused = 0
        self.started = False
        self.ready = asyncio.Event()
        self.ready.set()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started = True

    def close(self) -> None:
        self.started = False

    async def scrape(self) -> bytes:
        await self.ready.wait()
        return self.text


@asynccontextmanager
async def serving(listen: str = ANY_PORT) -> AsyncIterator[tuple[MetricsServer, MetricsDouble]]:
    numbers = MetricsDouble()
    server = MetricsServer(listen, cast(Metrics, numbers))
    server.claim()
    await server.start()
    try:
        yield server, numbers
    finally:
        await server.stop()


async def connect(server: MetricsServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = server.address
    if "/" in address:
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def ask(server: MetricsServer, request: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of the answer, which ends with the connection."""
    reader, writer = await connect(server)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status.removeprefix("HTTP/1.1 "), dict(line.split(": ", 1) for line in lines), body


@pytest.mark.asyncio
async def test_metrics_server_answers_get_and_closes() -> None:
    """One answer per connection, with its type and its length."""
    async with serving() as (server, numbers):
        status, headers, body = await ask(server, GET)
        assert (status, body) == ("200 OK", numbers.text)
        assert headers == {
            "Content-Type": "text/plain; version=0.0.4; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        assert numbers.started
    assert not numbers.started


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.0", "200 OK"),
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"GET /metrics/ HTTP/1.1", "404 Not Found"),
        (b"POST /secret HTTP/1.1", "404 Not Found"),
        (b"POST /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"HEAD /metrics HTTP/1.1", "405 Method Not Allowed"),
        (b"GET /metrics", "400 Bad Request"),
        (b"\xff\x00 nonsense", "400 Bad Request"),
        (b"", "400 Bad Request"),
    ],
)
async def test_metrics_server_refuses_everything_else(request_line: bytes, status: str) -> None:
    """Only GET, only there."""
    async with serving() as (server, _):
        found, headers, _ = await ask(server, request_line + b"\r\n\r\n")
    assert found == status
    assert (headers.get("Allow") == "GET") is status.startswith("405")


@pytest.mark.asyncio
async def test_metrics_server_takes_no_large_request() -> None:
    """Bounded: 8 KiB."""
    async with serving() as (server, _):
        fitting = GET[:-2] + b"X: " + b"x" * (MAX_REQUEST_BYTES - 100) + b"\r\n\r\n"
        assert (await ask(server, fitting))[0] == "200 OK"
        reader, writer = await connect(server)
        writer.write(GET[:-2] + b"X: " + b"x" * MAX_REQUEST_BYTES)
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        writer.close()


@pytest.mark.asyncio
async def test_metrics_server_cuts_who_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that never ends, and an answer that nobody reads."""
    monkeypatch.setattr(metrics_server, "DEADLINE_S", 0.1)
    async with serving() as (server, numbers):
        numbers.text = b"x" * 50_000_000
        asking, reading = await connect(server), await connect(server)
        asking[1].write(GET[:20])
        reading[1].write(GET)
        async with asyncio.timeout(5):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asking[0].readexactly(1)
            await asyncio.gather(*server._tasks, return_exceptions=True)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reading[0].readexactly(len(numbers.text))
        asking[1].close()
        reading[1].close()


@pytest.mark.asyncio
async def test_metrics_server_survives_who_leaves_before_asking() -> None:
    """A port scan leaves nothing behind."""
    async with serving() as (server, _):
        _, writer = await connect(server)
        writer.write(GET[:10])
        writer.close()
        await writer.wait_closed()
        assert (await ask(server, GET))[0] == "200 OK"
        async with asyncio.timeout(5):
            await asyncio.gather(*server._tasks, return_exceptions=True)


@pytest.mark.asyncio
async def test_metrics_server_turns_away_too_many_scrapes_at_once() -> None:
    """A limit of its own, which is counted; who was there is answered."""
    async with serving() as (server, numbers):
        numbers.ready.clear()
        waiting = [asyncio.create_task(ask(server, GET)) for _ in range(MAX_SCRAPES)]
        async with asyncio.timeout(5):
            while server._scrapes < MAX_SCRAPES:  # noqa: ASYNC110  # the kernel decides when
                await asyncio.sleep(0)
        status, headers, _ = await ask(server, GET)
        assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
        assert numbers.refused == 1
        numbers.ready.set()
        assert {answer[0] for answer in await asyncio.gather(*waiting)} == {"200 OK"}


@pytest.mark.asyncio
async def test_metrics_server_closes_too_many_connections() -> None:
    """Descriptors are kept for links and clients (T09)."""
    async with serving() as (server, numbers):
        held = [await connect(server) for _ in range(MAX_CONNECTIONS)]
        async with asyncio.timeout(5):
            while len(server._tasks) < MAX_CONNECTIONS:  # noqa: ASYNC110  # the kernel decides when
                await asyncio.sleep(0)
            reader, writer = await connect(server)
            assert await reader.read() == b""
        assert numbers.refused == 1
        for _, each in (*held, (reader, writer)):
            each.close()


@pytest.mark.asyncio
async def test_metrics_server_that_stops_cuts_who_is_being_answered() -> None:
    """SIGTERM waits for no scrape."""
    async with serving() as (server, numbers):
        numbers.ready.clear()
        asking = asyncio.create_task(ask(server, GET))
        async with asyncio.timeout(5):
            while not server._tasks:  # noqa: ASYNC110  # the kernel decides when
                await asyncio.sleep(0)
        await server.stop()
        assert await asking == ("", {}, b"")


@pytest.mark.asyncio
async def test_metrics_server_listens_on_a_unix_socket_and_removes_it(tmp_path: Path) -> None:
    """Mode and name are right before anybody can connect, as of the hub's own socket."""
    path = tmp_path / "metrics.sock"
    async with serving(str(path)) as (server, _):
        assert path.stat().st_mode & 0o777 == 0o660
        assert (await ask(server, GET))[0] == "200 OK"
    assert not path.exists()


@pytest.mark.asyncio
async def test_metrics_server_listens_on_ipv6() -> None:
    """A host in brackets."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    async with serving("[::1]:0") as (server, _):
        assert server.address.startswith("[::1]:")
        assert (await ask(server, GET))[0] == "200 OK"


@pytest.mark.asyncio
async def test_metrics_server_whose_address_is_taken_names_the_setting(tmp_path: Path) -> None:
    """F48: the message says which key to change."""
    (tmp_path / "file").write_text("in the way")
    async with serving() as (server, _):
        for listen in (server.address, "host.invalid:1", str(tmp_path / "file"), str(tmp_path / "no" / "socket")):
            with pytest.raises(LocalError) as caught:
                MetricsServer(listen, cast(Metrics, MetricsDouble())).claim()
            assert caught.value.path == "metrics.listen"
            assert listen in caught.value.message
            assert caught.value.hint
        assert (await ask(server, GET))[0] == "200 OK"


@pytest.mark.asyncio
async def test_metrics_are_off_by_default_and_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing extra is named, and the hub goes on without."""
    async with running_hub() as bench:
        assert make_metrics_server(None, bench.hub, []) is None
        assert caplog.records == []
        assert make_metrics_server(ANY_PORT, bench.hub, []) is not None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert make_metrics_server(ANY_PORT, bench.hub, []) is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ocpphub[metrics]" in record.getMessage()


@pytest.mark.asyncio
async def test_daemon_serves_metrics_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: settings, hub, sockets, a scrape; nothing is left behind."""
    path = tmp_path / "metrics.sock"
    point = builders.settings(csms_url="ws://127.0.0.1:1/ocpp")
    settings = replace(hub_settings(point, directory=tmp_path), metrics=MetricsSettings(str(path)))
    monkeypatch.setattr(daemon, "_freeze", lambda loop, handles: None)
    running = asyncio.create_task(daemon.run(settings))
    made = MetricsServer(str(path), cast(Metrics, MetricsDouble()))
    answer: Any = None
    async with asyncio.timeout(10):
        while answer is None:
            try:
                answer = await ask(made, GET)
            except OSError:
                await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5) == 0
    assert answer[0] == "200 OK"
    assert b'ocpphub_link_up{charge_point="CP1"} 0.0\n' in answer[2]
    assert b"ocpphub_commit_seconds_count " in answer[2]
    assert not path.exists()


@pytest.mark.asyncio
async def test_daemon_whose_metrics_address_is_taken_touches_nothing(tmp_path: Path) -> None:
    """T02 F48: refused as any other fault of the configuration, before the store is opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = replace(hub_settings(directory=tmp_path), metrics=MetricsSettings(listen))
        with pytest.raises(LocalError, match=r"metrics\.listen"):
            await daemon.run(settings)
    assert not settings.hub.state_directory.exists()
    assert not settings.hub.socket.exists()
