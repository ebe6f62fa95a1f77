"""The rig: a scripted CSMS, the real daemon as a process, and a plain JSON-RPC client. No product code."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from .charging import Station

ROOT = Path(__file__).resolve().parents[3]
OCPPHUB = str(ROOT / ".venv" / "bin" / "ocpphub")
DEADLINE = 10.0


def iso(offset: float = 0.0) -> str:
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Value = TypeVar("Value")


def wait_for(condition: Callable[[], Value | None], what: str, timeout: float = DEADLINE) -> Value:
    """The first true value of the condition."""
    end = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.005)


# -- the CSMS ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Link:
    """One connection of a charge point, as the CSMS sees it."""

    socket: ServerConnection
    path: str
    headers: dict[str, str]
    raw_headers: list[tuple[str, str]]
    frames: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (">" from CP, "<" from CSMS)
    close_code: int | None = None
    closed: threading.Event = dataclasses.field(default_factory=threading.Event)
    next_id: int = 0
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def identity(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    def received(self) -> list[list[Any]]:
        return [json.loads(text) for way, text in list(self.frames) if way == ">"]

    def calls(self, action: str | None = None) -> list[list[Any]]:
        return [f for f in self.received() if f[0] == 2 and action in (None, f[2])]

    def answer_to(self, message_id: Any) -> list[Any] | None:
        return next((f for f in self.received() if f[0] in (3, 4) and f[1] == message_id), None)

    def send_text(self, text: str | bytes) -> None:
        self.frames.append(("<", text if isinstance(text, str) else text.decode("utf-8", "replace")))
        self.socket.send(text)

    def send(self, frame: list[Any]) -> None:
        self.send_text(json.dumps(frame, ensure_ascii=False))

    def post(self, action: str, payload: Any) -> str:
        """Send a CALL and do not wait."""
        with self.lock:
            self.next_id += 1
            message_id = f"csms-{self.next_id}"
        self.send([2, message_id, action, payload])
        return message_id

    def call(self, action: str, payload: Any = None, timeout: float = DEADLINE) -> list[Any]:
        message_id = self.post(action, {} if payload is None else payload)
        return wait_for(lambda: self.answer_to(message_id), f"answer to {action} {str(payload)[:200]}", timeout)

    def result(self, action: str, payload: Any = None) -> dict[str, Any]:
        answer = self.call(action, payload)
        assert answer[0] == 3, answer
        payload_back: dict[str, Any] = answer[2]
        return payload_back

    def error(self, action: str, payload: Any = None) -> list[Any]:
        answer = self.call(action, payload)
        assert answer[0] == 4, answer
        assert len(answer) == 5
        assert len(answer[3]) < 255
        return answer

    def wait_call(self, action: str, count: int = 1, timeout: float = DEADLINE) -> list[list[Any]]:
        def enough() -> list[list[Any]] | None:
            calls = self.calls(action)
            return calls if len(calls) >= count else None

        return wait_for(enough, f"{count} x {action}; got {[f[2] for f in self.calls()]}", timeout)

    def change(self, key: str, value: str) -> str:
        return str(self.result("ChangeConfiguration", {"key": key, "value": value})["status"])

    def value(self, key: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.result("GetConfiguration", {"key": [key]})["configurationKey"][0]
        return entry


Answer = Callable[[Link, str, str, dict[str, Any]], Any]


class Csms:
    """Answers as `script[action]` says: a payload, a callable, `None` for silence, or an Exception text."""

    def __init__(self, interval: int = 86400, status: str = "Accepted") -> None:
        self.links: list[Link] = []
        self.attempts: list[float] = []
        self.refuse: Callable[[Request], Response | None] | None = None
        self.subprotocol: Subprotocol | None = Subprotocol("ocpp1.6")
        self.clock_offset = 0.0
        self.script: dict[str, Any] = {
            "BootNotification": lambda *_: {
                "status": status,
                "currentTime": iso(self.clock_offset),
                "interval": interval,
            },
            "Heartbeat": lambda *_: {"currentTime": iso(self.clock_offset)},
            "StatusNotification": {},
            "SecurityEventNotification": {},
            "DataTransfer": {"status": "Accepted"},
        }
        self.server: Server = serve(
            self._handle,
            "127.0.0.1",
            0,
            compression=None,
            select_subprotocol=lambda _c, _offers: self.subprotocol,
            process_request=self._request,
            max_size=None,
            ping_interval=None,
            close_timeout=2,
        )
        self.port = self.server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ocpp"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def _request(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.attempts.append(time.monotonic())
        return self.refuse(request) if self.refuse else None

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = list(connection.request.headers.raw_items())
        link = Link(connection, connection.request.path, {k.lower(): v for k, v in headers}, headers)
        self.links.append(link)
        try:
            for text in connection:
                link.frames.append((">", text if isinstance(text, str) else text.decode()))
                frame = json.loads(text)
                if frame[0] == 2:
                    self._answer(link, frame)
        except ConnectionClosed:
            pass
        finally:
            link.close_code = connection.close_code
            link.closed.set()

    def _answer(self, link: Link, frame: list[Any]) -> None:
        _, message_id, action, payload = frame
        answer = self.script.get(action, [4, message_id, "NotSupported", "", {}])
        if callable(answer):
            answer = answer(link, message_id, action, payload)
        if isinstance(answer, list):
            link.send(answer)
        elif answer is not None:
            link.send([3, message_id, answer])

    def link(self, number: int = 0, identity: str | None = None, timeout: float = DEADLINE) -> Link:
        """The number-th connection, of an identity."""

        def chosen() -> Link | None:
            links = [item for item in list(self.links) if identity in (None, item.identity)]
            return links[number] if len(links) > number else None

        return wait_for(chosen, f"connection {number} of {identity}", timeout)

    def booted(self, number: int = 0, identity: str | None = None, connectors: int = 2) -> Link:
        link = self.link(number, identity)
        link.wait_call("StatusNotification", connectors + 1)
        return link

    def close(self) -> None:
        self.server.shutdown()
        for link in self.links:
            with contextlib.suppress(Exception):
                link.socket.close()
        self.thread.join()
        self.server.socket.close()
        for link in self.links:
            link.closed.wait(5)


def refusal(status: int, **headers: str) -> Callable[[Request], Response]:
    def refuse(_request: Request) -> Response:
        from websockets.datastructures import Headers

        fields = Headers(
            {"Content-Length": "0", "Connection": "close"} | {k.replace("_", "-"): v for k, v in headers.items()}
        )
        return Response(status, HTTPStatus(status).phrase, fields, b"")

    return refuse


def basic(header: str) -> bytes:
    scheme, _, token = header.partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(token, validate=True)


# -- the client ----------------------------------------------------------------------------------


class RpcError(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error
        self.code = error["code"]
        self.data: Any = error.get("data")


class Rpc:
    """JSON-RPC, one line per message, with nothing but a socket."""

    def __init__(self, path: str | Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.buffer = b""
        self.events: list[dict[str, Any]] = []
        self.next_id = 0

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Rpc:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self, timeout: float = DEADLINE) -> bytes:
        """One line, or what came before the end of the stream."""
        self.socket.settimeout(timeout)
        while b"\n" not in self.buffer:
            data = self.socket.recv(1 << 20)
            if not data:
                rest, self.buffer = self.buffer, b""
                return rest
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def message(self, timeout: float = DEADLINE) -> Any:
        """The next answer; events are put aside."""
        while True:
            line = self.line(timeout)
            assert line, "the hub closed the connection"
            message = json.loads(line)
            if isinstance(message, dict) and message.get("method") == "event":
                self.events.append(message["params"])
            else:
                return message

    def event(self, topic: str | None = None, timeout: float = DEADLINE) -> dict[str, Any]:
        end = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self.events):
                if topic in (None, event["topic"]):
                    return self.events.pop(index)
            message = json.loads(self.line(max(0.01, end - time.monotonic())))
            assert message.get("method") == "event", message
            self.events.append(message["params"])

    def ask(self, text: str | bytes | dict[str, Any] | list[Any]) -> Any:
        if isinstance(text, (dict, list)):
            text = json.dumps(text)
        self.raw((text if isinstance(text, bytes) else text.encode()) + b"\n")
        return self.message()

    def post(self, method: str, params: Any = None) -> int:
        self.next_id += 1
        request = {"jsonrpc": "2.0", "id": self.next_id, "method": method}
        if params is not None:
            request["params"] = params
        self.raw(json.dumps(request).encode() + b"\n")
        return self.next_id

    def call(self, method: str, **params: Any) -> Any:
        return self.take(self.post(method, params or None))

    def take(self, request_id: int) -> Any:
        message = self.message()
        assert message["jsonrpc"] == "2.0"
        assert message["id"] == request_id, message
        if "error" in message:
            assert "result" not in message
            raise RpcError(message["error"])
        return message["result"]

    def fails(self, method: str, params: Any = None) -> RpcError:
        """The error that must come; its form is checked."""
        with pytest.raises(RpcError) as caught:
            self.take(self.post(method, params))
        assert isinstance(caught.value.error["message"], str)
        return caught.value


# -- the daemon ----------------------------------------------------------------------------------


HEAD = """
[hub]
socket = "hub.sock"
state_directory = "state"
{hub}

{rpc}
"""

POINT = """
[[charge_point]]
identity = "{identity}"
csms_url = "{url}"
connectors = {connectors}
vendor = "Acme"
model = "Hub"
{extra}

[charge_point.electrical]
connector_max_a = 32
{electrical}

[charge_point.configuration]
{configuration}

[charge_point.custom_keys.Colour]
value = "blue"

[charge_point.custom_keys.Limit]
value = 5
type = "integer"
min = 1
max = 10

[charge_point.custom_keys.Serial]
value = "S-1"
read_only = true

[charge_point.custom_keys.Mode]
value = "a"
reboot = true

[charge_point.custom_keys.Flag]
value = true
type = "boolean"

[charge_point.custom_keys.Ratio]
value = 1.5
type = "decimal"

[charge_point.link]
{link}

[charge_point.security]
{security}
"""


def point(identity: str = "HUB-1", url: str = "ws://127.0.0.1:9/ocpp", connectors: int = 2, **parts: str) -> str:
    fields = dict.fromkeys(("extra", "electrical", "configuration", "link", "security"), "") | parts
    return POINT.format(identity=identity, url=url, connectors=connectors, **fields)


class Hub:
    """The daemon as a process, in a directory that outlives it."""

    def __init__(self, directory: Path, *points: str, hub: str = "", rpc: str = "") -> None:
        self.directory = directory
        self.config = directory / "hub.toml"
        self.socket = directory / "hub.sock"
        self.log = directory / "log"
        self.config.write_text(HEAD.format(hub=hub, rpc=rpc) + "\n".join(points))
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [OCPPHUB, "run", "-c", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=os.environ | self.environment,
            )
        return self.process

    def start(self) -> Hub:
        process = self.spawn()

        def up() -> bool:
            assert process.poll() is None, f"the daemon ended with {process.returncode}:\n{self.text()}"
            try:
                self.rpc().close()
            except OSError:
                return False
            return True

        wait_for(up, "socket")
        return self

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def rpc(self) -> Rpc:
        return Rpc(self.socket)

    def call(self, method: str, **params: Any) -> Any:
        with self.rpc() as rpc:
            return rpc.call(method, **params)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()

    def connected(self) -> None:
        wait_for(lambda: self.call("get_variable", name="is_connected")["value"], "is_connected")

    def cli(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return cli(*arguments, **options)


def cli(*arguments: str, timeout: float = DEADLINE, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OCPPHUB, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=options.pop("stdin", subprocess.DEVNULL),
        env={k: v for k, v in os.environ.items() if not k.startswith("OCPPHUB_")} | options.pop("env", {}),
        check=False,
        **options,
    )


class Rig:
    """Makes hubs and CSMSs and takes them down."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hubs: list[Hub] = []
        self.clients: list[Rpc] = []
        self.csmses: list[Csms] = []

    def csms(self, **options: Any) -> Csms:
        self.csmses.append(Csms(**options))
        return self.csmses[-1]

    def hub(self, *points: str, **options: str) -> Hub:
        directory = self.root / f"h{len(self.hubs)}"
        directory.mkdir()
        self.hubs.append(Hub(directory, *points, **options))
        return self.hubs[-1]

    def client(self, hub: Hub) -> Rpc:
        """A client of this hub's socket that is closed with the rig."""
        self.clients.append(hub.rpc())
        return self.clients[-1]

    def pair(self, connectors: int = 2, **parts: str) -> tuple[Csms, Hub, Link]:
        csms = self.csms()
        hub = self.hub(point(url=csms.url, connectors=connectors, **parts)).start()
        return csms, hub, csms.booted(connectors=connectors)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        for hub in self.hubs:
            hub.stop()
        for csms in self.csmses:
            csms.close()


@contextlib.contextmanager
def open_rig() -> Iterator[Rig]:
    root = Path(tempfile.mkdtemp(prefix="bb"))
    rig = Rig(root)
    try:
        yield rig
    finally:
        try:
            rig.close()
        finally:
            shutil.rmtree(root)


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A rig of the test's own."""
    with open_rig() as opened:
        yield opened


@dataclasses.dataclass
class Shared:
    rig: Rig
    csms: Csms
    hub: Hub
    link: Link


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """One hub of three connectors, accepted, for all tests of a file that leave it as they found it."""
    with open_rig() as opened:
        csms, hub, link = opened.pair(connectors=3)
        yield Shared(opened, csms, hub, link)


@pytest.fixture
def rpc(shared: Shared) -> Iterator[Rpc]:
    with shared.hub.rpc() as client:
        yield client


# -- a server that speaks bytes --------------------------------------------------------------------


class RawCsms:
    """A WebSocket server of forty lines: takes the handshake, then the test sends and reads raw frames."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE)
        self.port = self.listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ocpp"
        self.connection: socket.socket | None = None
        self.buffer = b""

    def __enter__(self) -> RawCsms:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        self.listener.close()

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def take(self, size: int, timeout: float = DEADLINE) -> bytes:
        assert self.connection is not None
        self.connection.settimeout(timeout)
        while len(self.buffer) < size:
            data = self.connection.recv(1 << 16)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def accept(self) -> bytes:
        """The head of the next request."""
        self.connection, _ = self.listener.accept()
        self.buffer = b""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.take(1)
        return head

    def handshake(self, protocol: str = "Sec-WebSocket-Protocol: ocpp1.6\r\n") -> bytes:
        head = self.accept()
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        key = {k.lower(): v for k, v in fields.items()}["sec-websocket-key"]
        token = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode(), usedforsecurity=False).digest()
        self.put(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {base64.b64encode(token).decode()}\r\n{protocol}\r\n".encode()
        )
        return head

    def put(self, data: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(data)

    def send(self, data: bytes, opcode: int = 1, first: int = 0x80) -> None:
        size = len(data)
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
        self.put(bytes([first | opcode]) + length + data)

    def frame(self, timeout: float = DEADLINE) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame."""
        one, two = self.take(2, timeout)
        assert one & 0x70 == 0, "reserved bits"
        assert two & 0x80, "a client masks"
        size = two & 0x7F
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        mask = self.take(4)
        data = self.take(size)
        return one & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(data))

    def until(self, wanted: Callable[[int, bytes], bool], timeout: float = DEADLINE) -> tuple[int, bytes]:
        """The next frame that is wanted; own CALLs of the charge point are answered on the way."""
        end = time.monotonic() + timeout
        while True:
            opcode, data = self.frame(max(0.01, end - time.monotonic()))
            if wanted(opcode, data):
                return opcode, data
            if opcode == 1:
                frame = json.loads(data)
                if frame[0] == 2:
                    self.answer(frame)

    def answer(self, frame: list[Any]) -> None:
        results = {
            "BootNotification": {"status": "Accepted", "currentTime": iso(), "interval": 86400},
            "Heartbeat": {"currentTime": iso()},
        }
        self.send(json.dumps([3, frame[1], results.get(frame[2], {})]).encode())

    def boot(self, connectors: int = 1) -> None:
        self.handshake()
        for _ in range(connectors + 1):
            self.answer(json.loads(self.until(lambda _o, data: b'"StatusNotification"' in data)[1]))

    def close_code(self) -> int:
        _, data = self.until(lambda opcode, _d: opcode == 8)
        return int.from_bytes(data[:2], "big")

    def reply(self, message_id: str, timeout: float = DEADLINE) -> list[Any]:
        def mine(opcode: int, data: bytes) -> bool:
            return opcode == 1 and json.loads(data)[:2] in ([3, message_id], [4, message_id])

        answer: list[Any] = json.loads(self.until(mine, timeout)[1])
        return answer


@pytest.fixture
def raw() -> Iterator[RawCsms]:
    with RawCsms() as server:
        yield server


# -- smart charging ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest) -> Iterator[Station]:
    """One station for a module, with what its ``STATION`` says of it; of three connectors without."""
    from .charging import open_station  # charging.py stands on this file

    with open_station(**getattr(request.module, "STATION", {"connectors": 3})) as station:
        yield station


@pytest.fixture
def hub(opened: Station) -> Station:
    """The module's station as it was when it started."""
    from .charging import cleared

    return cleared(opened)
