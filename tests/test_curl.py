"""curl.py: what libcurl may do and what its results mean, with servers that no distribution ships (T33)."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pycurl
import pytest

from ocpphub import curl
from ocpphub.curl import Job
from ocpphub.url_policy import Target

LOCAL = "127.0.0.1"
Script = Callable[[socket.socket], None]


class Server:
    """Answers connections one after the other as a script says."""

    def __init__(self, script: Script, count: int = 1, address: str = LOCAL) -> None:
        self.connections = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, args=(script, count), daemon=True)
        self._thread.start()

    def _serve(self, script: Script, count: int) -> None:
        for _ in range(count):
            try:
                connection = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError):
                script(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Transfer with a server of ours over HTTP."""

    def transfer(server: Server, upload: bytes | None = None, size: int = 1_000, **fields: Any) -> dict[str, Any]:
        file = tmp_path / "file"
        file.write_bytes(upload or b"")
        descriptor = os.open(file, os.O_RDWR)
        target = fields.pop("target", Target("http", LOCAL, server.port, "/x"))
        addresses = fields.pop("addresses", (LOCAL,))
        size = size if upload is None else len(upload)
        try:
            return curl.run(
                Job(target, addresses, fields.pop("descriptor", descriptor), upload is not None, size, **fields)
            )
        finally:
            os.close(descriptor)

    return transfer


def says(*parts: bytes) -> Script:
    """Read a request, whose body is at most ``log``, and say this."""

    def script(connection: socket.socket) -> None:
        heard = connection.recv(65_536)
        while b"\r\n\r\n" not in heard or (heard.startswith(b"PUT") and not heard.endswith(b"log")):
            more = connection.recv(65_536)
            if not more:
                return
            heard += more
        for part in parts:
            connection.sendall(part)
        # What is closed with something unread is reset, and the last words with it.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass

    return script


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def test_connection_that_is_cut_in_the_middle_is_a_failure(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """CORE-UF-04: half a file is none."""
    result = run(serve(says(HEAD % 500, b"x" * 499)))
    assert (result["why"], "ended before the file did" in result["text"]) == ("failed", True)
    assert run(serve(says(b"")))["why"] == "failed"


def test_file_of_unknown_size_has_a_limit_too(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """T35: a server that says nothing of the size, or does not stop."""
    assert run(serve(says(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_000))) == {"ok": True, "bytes": 1_000}
    assert run(serve(says(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_001)))["why"] == "too_large"


def test_answer_to_an_upload_has_a_limit(serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]) -> None:
    """T33: a server cannot keep us reading."""
    assert run(serve(says(HEAD % 65_536, b"x" * 65_536)), b"log") == {"ok": True, "bytes": 3}
    assert run(serve(says(HEAD % 65_537, b"x" * 65_537)), b"log")["why"] == "failed"


def test_download_without_a_file_is_a_failure(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """CORE-UF-04: 204 is no firmware; to an upload it is an answer like any other."""
    nothing = says(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert run(serve(nothing))["text"].endswith("the answer is 204")
    assert run(serve(nothing), b"log")["ok"]


def test_nothing_but_the_judged_addresses_is_connected_to(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """T33: whatever the URL, libcurl or a server of FTP says."""
    server = serve(says(HEAD % 1, b"x"))
    assert run(server, addresses=("127.0.0.2",))["why"] == "failed"
    name = Target("http", "files.example", server.port, "/x")
    assert run(server, target=name, addresses=("127.0.0.2",))["why"] == "failed"
    assert server.connections == 0
    assert run(server, target=name)["ok"]


@pytest.mark.parametrize("host", ["::1", "files.example"])
def test_address_may_be_one_of_ipv6(run: Callable[..., dict[str, Any]], host: str) -> None:
    """T33: as a literal, and as what a name is pinned to."""
    try:
        server = Server(says(HEAD % 1, b"x"), address="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    assert run(server, target=Target("http", host, server.port, "/x"), addresses=("::1",))["ok"]
    server.close()


@pytest.mark.parametrize(
    ("family", "address", "is_opened"),
    [
        (socket.AF_INET, "192.0.2.1", True),
        (socket.AF_INET, "192.0.2.2", False),
        (socket.AF_INET6, "::ffff:8.8.8.8", True),
        (socket.AF_INET6, "2001:db8::1", False),
        (socket.AF_UNIX, "192.0.2.1", False),
    ],
)
def test_socket_is_made_for_judged_addresses_only(family: int, address: str, is_opened: bool) -> None:
    """T33: an address is compared as what it is, not as it is written."""
    job = Job(Target("http", "h", 80, "/"), ("192.0.2.1", "::ffff:808:808"), -1, False, 0)
    opened = job.open_socket(0, (family, socket.SOCK_STREAM, 0, (address, 80)))
    assert (opened != pycurl.SOCKET_BAD) == is_opened
    if is_opened:
        opened.close()


def test_request_shows_password_to_the_server_alone(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """T30, T33."""
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    server = serve(script)
    target = Target("http", LOCAL, server.port, "/canary?canary", "user", "canary")
    result = run(server, target=target)
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /canary?canary HTTP/1.1"
    assert sorted(line.partition(":")[0] for line in lines[1:] if line) == [
        "Accept",
        "Authorization",
        "Host",
        "User-Agent",
    ]
    assert result["why"] == "permission_denied"
    assert "canary" not in f"{result}{target!r}{''.join(capfd.readouterr())}"


def test_user_and_password_may_be_of_any_alphabet(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """T33: as UTF-8, whatever the URL spells them in."""
    heard: list[bytes] = []

    def script(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(HEAD % 1 + b"x")

    server = serve(script)
    assert run(server, target=Target("http", LOCAL, server.port, "/", "jürgen", "ключ"))["ok"]
    assert base64.b64encode("jürgen:ключ".encode()) in heard[0]


def test_full_disk_ends_a_download_with_its_reason(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    """CORE-UF-04."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        result = run(serve(says(HEAD % 1, b"x")), descriptor=descriptor)
    finally:
        os.close(descriptor)
    assert (result["why"], "cannot be written" in result["text"]) == ("failed", True)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("is_known", [True, False])
def test_download_ends_before_the_disk_is_full(
    serve: Callable[[Script], Server],
    run: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_known: bool,
) -> None:
    """T35: before anything comes where its size is known to be too much, else by what comes."""
    monkeypatch.setattr(curl, "LOOK_BYTES", 100)
    monkeypatch.setattr(curl, "LOW_SPEED_S", 10)
    file = tmp_path / "file"

    def has_room(more: int) -> bool:
        return file.stat().st_size + more <= 400

    def script(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(HEAD % 500 if is_known else b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500)
        connection.recv(1)

    result = run(serve(script), has_room=has_room)
    assert (result["why"], "no room" in result["text"]) == ("failed", True)
    assert file.stat().st_size <= 400
    assert run(serve(says(HEAD % 400, b"x" * 400)), has_room=has_room)["ok"]


def test_file_that_cannot_be_read_ends_an_upload_with_its_reason(
    serve: Callable[[Script], Server],
    run: Callable[..., dict[str, Any]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """S-225."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        result = run(serve(says(b"")), b"log", descriptor=descriptor)
    finally:
        os.close(descriptor)
    assert (result["why"], "cannot be read" in result["text"]) == ("failed", True)
    assert capfd.readouterr().err == ""


def test_stopped_transfer_ends_whatever_it_waits_for(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """T33: a server that is silent; one that was stopped before it began connects to nobody."""
    asked, go_on = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(65_536)
        asked.set()
        go_on.wait(10)

    server = serve(script)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    job = Job(Target("http", LOCAL, server.port, "/"), (LOCAL,), descriptor, False, 1)
    results: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: results.append(curl.run(job)))
    thread.start()
    assert asked.wait(10)
    job.stop()
    thread.join(10)
    assert results == [{"ok": False, "why": "failed", "text": f"http://{LOCAL}:{server.port}: ended"}]
    assert not curl.run(job)["ok"]
    assert server.connections == 1
    go_on.set()
    os.close(descriptor)


def test_silent_server_is_given_up(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T33: too few bytes a second for a while, which is shorter here."""
    monkeypatch.setattr(curl, "LOW_SPEED_S", 1)
    go_on = threading.Event()

    def silent(connection: socket.socket) -> None:
        go_on.wait(20)

    result = run(serve(silent))
    go_on.set()
    assert (result["why"], "too slow" in result["text"]) == ("failed", True)


def test_server_that_trickles_is_given_up(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """T33: 30 bytes a second would keep a place for a day; the while is shorter here."""
    monkeypatch.setattr(curl, "LOW_SPEED_S", 1)
    go_on = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(HEAD % 1_000)
        for _ in range(300):
            connection.sendall(b"xxx")
            if go_on.wait(0.1):
                return

    result = run(serve(trickle))
    go_on.set()
    assert (result["why"], "too slow" in result["text"]) == ("failed", True)


def test_speed_has_a_limit_where_one_is_configured(
    serve: Callable[[Script], Server], run: Callable[..., dict[str, Any]]
) -> None:
    """Two transfers of the same bytes: one takes the time that its limit asks for."""
    began = time.monotonic()
    assert run(serve(says(HEAD % 60_000, b"x" * 60_000)), size=60_000, max_bytes_per_s=50_000)["ok"]
    assert time.monotonic() - began > 0.5


def test_progress_is_told_at_most_once_a_second_and_only_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that nobody knows is told as none."""
    now_s = 100.0
    monkeypatch.setattr(curl, "monotonic", lambda: now_s)
    told: list[tuple[int, int | None]] = []
    job = Job(Target("http", "h", 80, "/"), (), -1, False, 9, progress=lambda done, total: told.append((done, total)))
    for now_s, done, total in (  # noqa: B007  # the clock reads it
        (100.0, 0, 0), (100.1, 1, 0), (101.0, 2, 9), (101.2, 3, 9), (102.3, 3, 9), (103.0, 3, 9), (103.1, 4, 9),
    ):  # fmt: skip
        assert job.follow(total, done, 0, 0) == 0
    assert told == [(1, None), (3, 9), (4, 9)]
    job.stop()
    assert job.follow(9, 5, 0, 0) != 0


def test_upload_begins_anew_where_libcurl_wants_it(tmp_path: Path) -> None:
    """A server that asks for the password first."""
    (tmp_path / "file").write_bytes(b"abcdef")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    job = Job(Target("http", "h", 80, "/"), (), descriptor, True, 4)
    assert [job.read(3), job.read(3), job.read(3)] == [b"abc", b"d", b""]
    assert job.seek(0, os.SEEK_SET) == pycurl.SEEKFUNC_OK
    assert job.read(9) == b"abcd"
    os.close(descriptor)


def test_libcurl_has_what_can_be_enabled() -> None:
    """S-244: the wheel is built with all of it; another libcurl may have less."""
    assert {"https", "http"} <= curl.PROTOCOLS <= {"https", "http", "ftp", "ftps", "sftp"}
