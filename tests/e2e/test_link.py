"""The link on real sockets: handshake, refusals, limits, deadlines and TLS, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from dataclasses import replace as changed
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ocpphub import connection as connection_module
from ocpphub.config import LinkSettings, Security
from ocpphub.core.credentials import Access
from ocpphub.csms import MAX_MESSAGE_BYTES, CsmsLink
from ocpphub.endpoint import BackOff, Failure
from tests import builders

pytestmark = pytest.mark.timeout(20)
KEY_HEX = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"
Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda body: runner.run(_limited(body))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stubs that never answer a close frame are given milliseconds."""
    monkeypatch.setattr(connection_module, "CLOSE_S", 0.05)


async def _limited(body: Awaitable[Any]) -> Any:
    async with asyncio.timeout(5):
        return await body


class Events:
    """Receives for the link; the test waits for what it wants to see."""

    def __init__(self, profile: int, url: str) -> None:
        self.profile, self.url = profile, url
        self.queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.failures: list[Failure] = []
        self.keys_asked = 0

    def connected(self, identity: str, root: str | None) -> None:
        self.queue.put_nowait(("connected", None))

    def disconnected(self, identity: str) -> None:
        self.queue.put_nowait(("disconnected", None))

    def receive(self, identity: str, frame: bytes, binary: bool) -> None:
        self.queue.put_nowait(("frame", (frame, binary)))

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.queue.put_nowait(("failed", failure.cause))

    def access(self, identity: str) -> Access:
        self.keys_asked += 1
        key = bytes.fromhex(KEY_HEX)[: 21 - self.keys_asked] if self.profile in (1, 2) else None
        return Access(self.profile, self.url, key)

    async def next(self) -> tuple[str, Any]:
        return await self.queue.get()


LINK = LinkSettings(
    ping_interval_s=0,
    pong_timeout_s=0.1,
    connect_timeout_s=2.0,
    send_deadline_s=0.3,
    strict=False,
    boot_on_reconnect=False,
)


@contextlib.asynccontextmanager
async def linked(
    port: int,
    *,
    scheme: str = "ws",
    host: str = "127.0.0.1",
    link: LinkSettings = LINK,
    ping_s: float = 0,
    **changes: Any,
) -> AsyncIterator[tuple[CsmsLink, Events]]:
    """A link that has been told to connect, with waits of milliseconds between attempts."""
    settings = builders.settings(csms_url=f"{scheme}://{host}:{port}/ocpp", link=link, **changes)
    events = Events(settings.security.profile, settings.csms_url)
    back_off = BackOff(lambda: 0.0, minimum_s=0.01, range_s=0.0, maximum_s=0.02)
    made = CsmsLink(settings, events, back_off=back_off, on_failure=events.failed)
    made.set_ping_interval(ping_s)
    made.connect({})
    try:
        yield made, events
    finally:
        made.disconnect(1001, "", True)
        await made.wait_closed()


@contextlib.asynccontextmanager
async def csms(handler: Callable[[ServerConnection], Awaitable[None]], **options: Any) -> AsyncIterator[int]:
    """A real WebSocket server; gives its port."""
    options = {
        "subprotocols": ["ocpp1.6"],
        "compression": "deflate",
        "ping_interval": None,
        "close_timeout": 0.1,
    } | options
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


RawHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[None]],
) -> AsyncIterator[int]:
    """A TCP server that hands the request head to ``handler`` and ends all connections at its own end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await handler(reader, writer, head)
        except asyncio.CancelledError:
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def accept(head: str, *lines: str) -> bytes:
    """The answer 101 to a request, with further header lines."""
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()  # noqa: S324  # RFC 6455
    fixed = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    named = [*fixed, f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}", *lines]
    return ("\r\n".join(named) + "\r\n\r\n").encode()


OCPP = "Sec-WebSocket-Protocol: ocpp1.6"


async def echo(websocket: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in websocket:
            await websocket.send(message)


async def idle(websocket: ServerConnection) -> None:
    await websocket.wait_closed()


async def forever(*_: object) -> None:
    await asyncio.get_running_loop().create_future()


def test_link_asks_for_ocpp_in_the_form_of_the_standard(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """J-101, J-102, J-121, J-122, J-130, J-141, J-142, J-147, J-322, X-01, X-02, X-03."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    heads: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        heads.append(head)
        writer.write(accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with (
            raw(handler) as port,
            linked(port, identity="AL 1000", security=Security(1, None, None, None, None, False)) as (link, events),
        ):
            assert await events.next() == ("connected", None)
            assert link._connection is not None
            assert link._connection.request is None  # J-149: the header does not stay in memory
            lines = dict(line.split(": ", 1) for line in heads[0].strip().split("\r\n")[1:])
            assert heads[0].startswith("GET /ocpp/AL%201000 HTTP/1.1\r\n")
            assert lines.pop("Sec-WebSocket-Key")
            assert lines == {
                "Host": f"127.0.0.1:{port}",
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Protocol": "ocpp1.6",
                "Authorization": "Basic " + base64.b64encode(b"AL 1000:" + bytes.fromhex(KEY_HEX)).decode(),
                "User-Agent": "ocpphub",
            }

    run(body())


@pytest.mark.parametrize("profile", [0, 1])
def test_link_shows_the_key_of_the_moment_and_only_where_the_profile_has_one(run: Run, profile: int) -> None:
    """J-148, S-154, D-16: a key that the CSMS changed is used by the next attempt."""
    shown: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        named = [line.removeprefix("Authorization: Basic ") for line in head.split("\r\n") if "Authorization" in line]
        shown.extend(base64.b64decode(value) for value in named)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    async def body() -> None:
        async with (
            raw(handler) as port,
            linked(port, security=Security(profile, None, None, None, None, False)) as (_, events),
        ):
            assert [await events.next() for _ in range(2)] == [("failed", "unauthorized")] * 2

    run(body())
    key = bytes.fromhex(KEY_HEX)
    assert shown[:2] == ([b"CP1:" + key, b"CP1:" + key[:19]] if profile == 1 else [])


@pytest.mark.parametrize("line", ["X-None: 1", "Sec-WebSocket-Protocol: OCPP1.6", "Sec-WebSocket-Protocol: ocpp1.5"])
def test_link_without_the_agreed_subprotocol_closes_and_tries_again(run: Run, line: str) -> None:
    """J-123, J-124, J-125, D-13."""
    attempts: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        attempts.append(head)
        writer.write(accept(head, line) if len(attempts) < 3 else accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (_, events):
            seen = [await events.next() for _ in range(3)]
            assert seen == [("failed", "subprotocol"), ("failed", "subprotocol"), ("connected", None)]

    run(body())


def test_link_refused_with_404_tries_until_it_is_let_in(run: Run) -> None:
    """J-126, J-128."""
    attempts: list[str] = []

    def refuse(websocket: ServerConnection, request: Request) -> Response | None:
        attempts.append(request.path)
        return websocket.respond(HTTPStatus.NOT_FOUND, "who?") if len(attempts) <= 5 else None

    async def body() -> None:
        async with csms(idle, process_request=refuse) as port, linked(port) as (_, events):
            seen = [await events.next() for _ in range(6)]
            assert seen == [("failed", "status")] * 5 + [("connected", None)]

    run(body())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 No\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 504 No\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01garbage",
        b"HTTP/1.1 101 OK\r\n" + b"X: y\r\n" * 200_000,
        b"HTTP/1.1 101 OK\r\nX: " + b"y" * 1_000_000,
        b"",
    ],
    ids=lambda answer: answer[:24].decode("latin-1"),
)
def test_link_outlives_every_answer_to_its_request(run: Run, answer: bytes) -> None:
    """J-127, T17."""
    attempts: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        attempts.append(head)
        if len(attempts) > 1:
            writer.write(accept(head, OCPP))
            await forever()
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (_, events):
            (name, cause), after = await events.next(), await events.next()
            assert name == "failed"
            assert cause != "unexpected"
            assert after == ("connected", None)

    run(body())


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_link_follows_no_redirect(run: Run, code: int) -> None:
    """J-129, T16, D-13."""
    paths: list[str] = []
    elsewhere: list[str] = []

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        elsewhere.append(head)

    async def body() -> None:
        async with raw(trap) as trap_port:

            async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
                paths.append(head.split(" ")[1])
                to = f"ws://127.0.0.1:{trap_port}/x" if len(paths) == 1 else "/elsewhere"
                writer.write(f"HTTP/1.1 {code} Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                await reader.read()

            async with raw(handler) as port, linked(port) as (_, events):
                assert [await events.next() for _ in range(3)] == [("failed", "redirect")] * 3

    run(body())
    assert set(paths) == {"/ocpp/CP1"}
    assert elsewhere == []


def test_link_to_nobody_is_a_failure_of_the_network_or_of_the_name(run: Run) -> None:
    """J-127, T27."""

    async def body() -> None:
        async with linked(1) as (_, events):
            assert await events.next() == ("failed", "network")
        async with linked(1, host="no-such-host.invalid") as (_, events):
            assert await events.next() == ("failed", "name_resolution")

    run(body())


def test_link_to_a_silent_server_gives_up_in_time(run: Run) -> None:
    """T17."""

    async def body() -> None:
        async with raw(forever) as port, linked(port, link=changed(LINK, connect_timeout_s=0.1)) as (_, events):
            assert await events.next() == ("failed", "timeout")

    run(body())


def test_link_hands_over_binary_messages_and_bad_utf8_and_closes_with_1007_when_told(run: Run) -> None:
    """J-325, J-328."""
    codes: list[int | None] = []

    async def handler(websocket: ServerConnection) -> None:
        await websocket.send(b"[binary]")
        await websocket.send(b"\xff\xfe", text=True)
        await websocket.wait_closed()
        codes.append(websocket.close_code)

    async def body() -> None:
        async with csms(handler) as port, linked(port) as (link, events):
            assert [await events.next() for _ in range(3)] == [
                ("connected", None),
                ("frame", (b"[binary]", True)),
                ("frame", (b"\xff\xfe", False)),
            ]
            link.disconnect(1007, "not UTF-8", False)
            assert await events.next() == ("disconnected", None)
            assert await events.next() == ("connected", None)

    run(body())
    assert codes[0] == 1007


@pytest.mark.parametrize(("size", "taken"), [(MAX_MESSAGE_BYTES, True), (MAX_MESSAGE_BYTES + 1, False)])
def test_link_takes_a_message_of_one_mebibyte_and_no_more(run: Run, size: int, taken: bool) -> None:
    """J-326, T19, X-25, D-24."""
    codes: list[int | None] = []

    async def handler(websocket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await websocket.send("x" * size)
        await websocket.wait_closed()
        codes.append(websocket.close_code)

    async def body() -> None:
        async with csms(handler) as port, linked(port) as (_, events):
            await events.next()
            if taken:
                assert await events.next() == ("frame", (b"x" * size, False))
            else:
                assert await events.next() == ("disconnected", None)

    run(body())
    if not taken:
        assert codes == [1009]


def test_link_reads_a_message_in_fragments_of_one_byte(run: Run) -> None:
    """J-324, X-26."""
    message = b'[2,"1","SetChargingProfile",{}]'

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        frames = [accept(head, OCPP)]
        for at, byte in enumerate(message):
            first = (0x01 if at == 0 else 0x00) | (0x80 if at == len(message) - 1 else 0)
            frames += [bytes([first, 1, byte]), b"\x89\x00"]
        writer.write(b"".join(frames))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (_, events):
            assert [await events.next() for _ in range(2)] == [("connected", None), ("frame", (message, False))]

    run(body())


@pytest.mark.parametrize(
    "frame",
    [b"\xc1\x01x", b"\x81\x81\0\0\0\0x", b"\x83\x00", b"\x89\x7e\x00\x7e" + b"x" * 126],
    ids=["rsv", "mask", "opcode", "control"],
)
def test_link_ends_a_connection_that_breaks_the_protocol_and_makes_a_new_one(run: Run, frame: bytes) -> None:
    """J-323, T18, X-24."""
    codes: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accept(head, OCPP) + (frame if not codes else b""))
        header = await reader.readexactly(6)
        masked = await reader.readexactly(header[1] & 0x7F)
        plain = bytes(byte ^ header[2 + at % 4] for at, byte in enumerate(masked))
        codes.append(int.from_bytes(plain[:2], "big"))

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (_, events):
            assert [await events.next() for _ in range(3)] == [
                ("connected", None),
                ("disconnected", None),
                ("connected", None),
            ]

    run(body())
    assert codes[0] == 1002


def test_link_whose_pings_are_swallowed_makes_a_new_connection(run: Run) -> None:
    """J-303, X-21, L3."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port, ping_s=0.05) as (_, events):
            names = [(await events.next())[0] for _ in range(4)]
            assert names == ["connected", "disconnected", "connected", "disconnected"]

    run(body())


def test_link_whose_pings_are_swallowed_ends_although_it_pings_faster_than_it_closes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J-303, X-21, X-23: the end is told at the pong deadline, the socket goes with the close deadline."""
    monkeypatch.setattr(connection_module, "CLOSE_S", 0.4)
    heads: asyncio.Queue[float] = asyncio.Queue()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        heads.put_nowait(time.monotonic())
        writer.write(accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port, ping_s=0.05) as (_, events):
            assert await events.next() == ("connected", None)
            assert await events.next() == ("disconnected", None)
            ended_s = time.monotonic()
            first_s, second_s = await heads.get(), await heads.get()
            assert ended_s < second_s - 0.2, "told before the socket is dropped"
            assert second_s - first_s < 2

    run(body())


def test_link_stopped_and_started_under_a_deaf_server_dials_anew(run: Run) -> None:
    """X-21, X-23, J-303: `stop` and `restart` need no answer of the peer."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (link, events):
            assert await events.next() == ("connected", None)
            link.disconnect(1000, "", True)
            link.connect({})
            assert [(await events.next())[0] for _ in range(2)] == ["disconnected", "connected"]

    run(body())


def test_link_whose_pings_are_answered_stays_and_answers_pings_itself(run: Run) -> None:
    """J-301, J-302, J-303."""

    async def handler(websocket: ServerConnection) -> None:
        for _ in range(10):
            await (await websocket.ping())
            await asyncio.sleep(0.03)
        await websocket.send("done")
        await websocket.wait_closed()

    async def body() -> None:
        async with csms(handler) as port, linked(port, ping_s=0.02) as (_, events):
            assert [await events.next() for _ in range(2)] == [("connected", None), ("frame", (b"done", False))]

    run(body())


def test_link_to_a_server_that_does_not_read_is_aborted_and_made_anew(run: Run) -> None:
    """T21."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(accept(head, OCPP))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (link, events):
            await events.next()
            for _ in range(100):
                link.send(b"x" * 100_000)
            assert [await events.next() for _ in range(2)] == [("disconnected", None), ("connected", None)]

    run(body())


def test_link_paused_leaves_messages_to_the_network_and_loses_none(run: Run) -> None:
    """J-241, T20."""
    unsent: list[int] = []

    async def handler(websocket: ServerConnection) -> None:
        for number in range(2000):
            unsent.append(number)
            await websocket.send(b"x" * 5000 + b"%d" % number, text=True)
        await websocket.wait_closed()

    async def body() -> None:
        async with csms(handler) as port, linked(port) as (link, events):
            link.pause()
            await events.next()
            await asyncio.sleep(0.2)
            assert events.queue.empty()
            assert len(unsent) < 2000
            link.resume()
            for number in range(2000):
                assert (await events.next())[1][0][5000:] == b"%d" % number

    run(body())


def test_link_that_ends_says_goodbye_and_aborts_a_deaf_server(run: Run) -> None:
    """X-23."""
    heard: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        writer.write(accept(head, OCPP))
        heard.append(await reader.readexactly(1))
        await forever()

    async def body() -> None:
        async with raw(handler) as port, linked(port) as (link, events):
            await events.next()
            link.disconnect(1000, "bye", True)
            await link.wait_closed()
            assert await events.next() == ("disconnected", None)
            assert heard == [b"\x88"]

    run(body())


@dataclass(frozen=True)
class Authority:
    """A certificate authority in memory; what it issues lies in ``<common name>.pem``."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, directory: Path, *, names: list[str], common_name: str = "server", days: int = 1) -> ssl.SSLContext:
        """A server context with a fresh certificate; ``names`` may hold IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        general: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        builder = _builder(common_name, key, self.certificate.subject, days)
        if general:
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = directory / f"{common_name}.pem"
        path.write_bytes(certificate.public_bytes(PEM) + key.private_bytes(PEM, PKCS8, NO_PASSWORD))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
NO_PASSWORD = serialization.NoEncryption()


def _builder(
    common_name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None, days: int
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))
    )


@pytest.fixture(scope="module")
def authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder("root", key, None, 1).add_extension(x509.BasicConstraints(True, None), critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


@pytest.fixture
def ca_file(authority: Authority, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate.public_bytes(PEM))
    return path


def first_event(
    run: Run, server: ssl.SSLContext | None, ca_file: Path | None, host: str = "localhost", own: Path | None = None
) -> tuple[str, Any]:
    """What the first attempt to reach a server with this context comes to; ``own`` holds our certificate and key."""

    async def body() -> tuple[str, Any]:
        security = Security(2 if own is None else 3, None, ca_file, own, own, False)
        async with (
            csms(echo, ssl=server) as port,
            linked(port, scheme="wss", host=host, security=security) as (link, events),
        ):
            first = await events.next()
            if first[0] == "connected":
                link.send(b"[2]")
                assert await events.next() == ("frame", (b"[2]", False))
            return first

    event: tuple[str, Any] = run(body())
    return event


@pytest.mark.parametrize("secured", [False, True], ids=["ws", "wss"])
def test_link_exchanges_text_frames_in_order(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, secured: bool
) -> None:
    """J-324: many frames in one turn of the loop, large ones among them, arrive whole and as they were sent."""
    kinds: set[type] = set()

    async def handler(websocket: ServerConnection) -> None:
        async for message in websocket:
            kinds.add(type(message))
            await websocket.send(message)

    async def body() -> None:
        server = authority.issue(tmp_path, names=["127.0.0.1"]) if secured else None
        security = Security(2 if secured else 0, None, ca_file, None, None, False)
        async with (
            csms(handler, ssl=server) as port,
            linked(port, scheme="wss" if secured else "ws", security=security) as (link, events),
        ):
            await events.next()
            sent = [b'[2,"%d"]' % number + b" " * (number % 7 * 15_000) for number in range(300)]
            for frame in sent:
                link.send(frame)
            seen = [(await events.next())[1][0] for _ in sent]
            assert seen == sent
            assert kinds == {str}

    run(body())


@pytest.mark.parametrize(
    ("names", "common_name", "host"),
    [(["localhost"], "other", "localhost"), (["127.0.0.1"], "other", "127.0.0.1"), ([], "localhost", "localhost")],
)
def test_link_over_tls_reaches_a_server_that_proves_its_name(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, names: list[str], common_name: str, host: str
) -> None:
    """S-130, S-131, S-132, T14."""
    server = authority.issue(tmp_path, names=names, common_name=common_name)
    assert first_event(run, server, ca_file, host) == ("connected", None)


@pytest.mark.parametrize(
    ("names", "common_name", "days"),
    [
        (["other.example"], "localhost", 1),
        (["127.0.0.2"], "other", 1),
        (["*.localhost"], "x", 1),
        (["localhost"], "localhost", -1),
    ],
    ids=["other name", "other address", "wildcard", "expired"],
)
def test_link_over_tls_refuses_a_server_that_does_not(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, names: list[str], common_name: str, days: int
) -> None:
    """S-130, S-132, S-134, T14, X-46."""
    server = authority.issue(tmp_path, names=names, common_name=common_name, days=days)
    assert first_event(run, server, ca_file) == ("failed", "certificate")


def test_link_over_tls_refuses_a_wildcard_that_openssl_would_take(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-133, X-45, X-46: no header leaves before the certificate is accepted."""
    seen: list[str] = []

    def note(websocket: ServerConnection, request: Request) -> None:
        seen.append(request.path)

    async def body() -> None:
        server = authority.issue(tmp_path, names=["*.hub.localhost"])
        security = Security(2, None, ca_file, None, None, False)
        async with (
            csms(echo, ssl=server, process_request=note) as port,
            linked(port, scheme="wss", host="a.hub.localhost", security=security) as (_, events),
        ):
            assert await events.next() == ("failed", "certificate")
            assert "wildcard" in events.failures[0].text

    monkeypatch.setattr("ocpphub.csms.socket.getaddrinfo", _loopback)
    run(body())
    assert seen == []


def _loopback(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
    """Names below .localhost resolve nowhere in a bare container."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def test_link_over_tls_trusts_installed_roots_only(run: Run, authority: Authority, tmp_path: Path) -> None:
    """S-130, S-137."""
    assert first_event(run, authority.issue(tmp_path, names=["localhost"]), None) == ("failed", "certificate")


@contextlib.contextmanager
def old_server(context: ssl.SSLContext) -> Iterator[int]:
    """A blocking TLS server: asyncio's drops a connection without the alert that tells why."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.settimeout(1)
                with peer:
                    secured = context.wrap_socket(peer.dup(), server_side=True, do_handshake_on_connect=False)
                    with contextlib.suppress(OSError):
                        secured.do_handshake()
                    # Closing on unread bytes would reset the connection and could overtake the alert.
                    with contextlib.suppress(OSError):
                        while peer.recv(4096):
                            pass
                    secured.close()

    thread = threading.Thread(target=serve_all)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "suites", "cause"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "tls_version"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA", "tls_cipher"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384", "tls_cipher"),
    ],
)
def test_link_over_tls_refuses_old_versions_and_weak_suites(
    run: Run,
    authority: Authority,
    ca_file: Path,
    tmp_path: Path,
    version: ssl.TLSVersion,
    suites: str,
    cause: str,
) -> None:
    """S-121, S-122, S-124, S-125, T14, D-19."""
    server = authority.issue(tmp_path, names=["localhost"])
    server.minimum_version = ssl.TLSVersion.TLSv1
    server.maximum_version = version
    server.set_ciphers(suites)

    async def body(port: int) -> tuple[str, Any]:
        security = Security(2, None, ca_file, None, None, False)
        async with linked(port, scheme="wss", host="localhost", security=security) as (_, events):
            return await events.next()

    with old_server(server) as port:
        assert run(body(port)) == ("failed", cause)


def test_link_over_tls_never_talks_to_a_plain_server(run: Run, ca_file: Path) -> None:
    """S-102, T14, T15."""
    name, cause = first_event(run, None, ca_file)
    assert name == "failed"
    assert cause in ("tls", "network")


@pytest.mark.parametrize(("host", "expected"), [("localhost", "localhost"), ("127.0.0.1", None)])
def test_link_names_the_server_by_name_and_never_by_address(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, host: str, expected: str | None
) -> None:
    """S-129."""
    named: list[str | None] = []
    server = authority.issue(tmp_path, names=["localhost", "127.0.0.1"])
    server.sni_callback = lambda connection, name, context: named.append(name)
    assert first_event(run, server, ca_file, host) == ("connected", None)
    assert named == [expected]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("trusted", [True, False])
def test_link_of_profile_3_proves_itself_by_its_certificate(
    run: Run, authority: Authority, ca_file: Path, tmp_path: Path, version: ssl.TLSVersion, trusted: bool
) -> None:
    """S-135, S-125, J-148: TLS 1.3 reports a refused certificate only after its handshake."""
    server = authority.issue(tmp_path, names=["localhost"])
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = version
    authority.issue(tmp_path, names=[], common_name="SERIAL-1")
    own = tmp_path / "SERIAL-1.pem"
    if trusted:
        server.load_verify_locations(ca_file)
        assert first_event(run, server, ca_file, own=own) == ("connected", None)
        return

    async def body(port: int) -> tuple[str, Any]:
        security = Security(3, None, ca_file, own, own, False)
        async with linked(port, scheme="wss", host="localhost", security=security) as (_, events):
            return await events.next()

    with old_server(server) as port:
        assert run(body(port)) == ("failed", "client_certificate")
