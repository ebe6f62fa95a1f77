"""Transfers with real servers: FTP, FTPS, SFTP, HTTP and HTTPS, each one that succeeds and ones that fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ocpphub.known_hosts import KnownHosts
from ocpphub.scratch import Scratch
from ocpphub.transfer import Policy, Transfers
from ocpphub.url_policy import PORTS
from tests import pki
from tests.e2e import file_servers
from tests.e2e.file_servers import HOST, PASSWORD, USER, FileServer, content

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]
LOCAL = "127.0.0.1"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """nginx."""
    with file_servers.nginx(tmp_path_factory.mktemp("nginx")) as server:
        yield server


@pytest.fixture(scope="module")
def ftps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """vsftpd, explicit TLS."""
    with file_servers.vsftpd(tmp_path_factory.mktemp("vsftpd")) as server:
        yield server


@pytest.fixture(scope="module")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """pyftpdlib."""
    with file_servers.pyftpdlib(tmp_path_factory.mktemp("pyftpdlib")) as server:
        yield server


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """sshd with sftp-server."""
    with file_servers.sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


class Bench:
    """Transfers of a charge point that may do anything, and what became of them."""

    def __init__(self, directory: Path) -> None:
        self.scratch = Scratch(directory / "transfers")
        self.known_hosts = KnownHosts(directory / "known_hosts")
        self.address = LOCAL
        self.resolved: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.was_told = asyncio.Event()
        self.roots = pki.pki().root.pem
        self.all = Transfers(
            self.scratch,
            Policy({"CP1": tuple(PORTS)}, allow_private=True),
            self.known_hosts,
            roots=lambda identity: self.roots,
            on_progress=self._tell,
            resolve=self._resolve,
        )

    async def _resolve(self, host: str, port: int) -> list[Any]:
        self.resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, port))]

    def _tell(self, identity: str, value: Mapping[str, Any]) -> None:
        self.told.append({"identity": identity, **value})
        self.was_told.set()

    async def download(self, url: str, **params: Any) -> dict[str, Any]:
        return await self.all.download("CP1", {"location": url, **params})

    async def upload(self, url: str, size: int = 300_000, name: str = "") -> dict[str, Any]:
        """Upload so many bytes under a name of its own."""
        return await self.all.upload("CP1", {"location": url, "path": self.file(size), "name": name or new_name()})

    def file(self, size: int) -> str:
        """A private file of this size."""
        descriptor, path = self.scratch.create()
        with open(descriptor, "wb") as file:
            file.write(content(size))
        return path

    def files(self) -> list[str]:
        """What is in the private directory."""
        return os.listdir(self.scratch.directory)


def new_name() -> str:
    return f"{secrets.token_hex(8)}.tar.gz"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.scratch.close()


def url(server: FileServer, scheme: str, path: str, password: str | None = PASSWORD) -> str:
    """A URL of one of the servers, with the user and password of its kind."""
    user = "ftp" if scheme == "ftps" else USER
    login = "" if password is None or scheme in ("http", "https") else f"{user}:{password}@"
    port = server.tls_port if scheme == "https" else server.port
    return f"{scheme}://{login}{HOST}:{port}{server.files if scheme == 'sftp' else ''}{path}"


KINDS = [("web", "http"), ("web", "https"), ("ftps", "ftps"), ("ftp", "ftp"), ("ssh", "sftp")]


@pytest.mark.parametrize(("name", "scheme"), KINDS)
async def test_file_comes_whole_and_goes_whole(
    bench: Bench, request: pytest.FixtureRequest, name: str, scheme: str
) -> None:
    """S-244, CORE-GD-08: the host is where the judged address is, for no such name exists; so are the data of FTP."""
    server = request.getfixturevalue(name)
    got = await bench.download(url(server, scheme, "/firmware.bin"))
    assert {**got, "path": ""} == {"ok": True, "bytes": 300_000, "path": ""}
    assert Path(got["path"]).read_bytes() == content()
    stored = new_name()
    sent = await bench.upload(url(server, scheme, "/put/"), 70_000, stored)
    assert sent == {"ok": True, "bytes": 70_000}
    assert (server.files / "put" / stored).read_bytes() == content(70_000)
    other = new_name()
    assert (await bench.upload(url(server, scheme, f"/put/{other}"), 0))["ok"]
    assert (server.files / "put" / other).read_bytes() == b""
    assert bench.resolved == [HOST] * 3


async def test_implicit_ftps_is_what_its_port_stands_for(bench: Bench, tmp_path: Path) -> None:
    """S-244: 990; every other port begins in the clear and changes to TLS before the login."""
    if os.geteuid() != 0:
        pytest.skip("only root may listen on port 990")
    bench.address = f"127.{os.getpid() % 199 + 1}.{os.getpid() // 199 % 199 + 1}.9"
    (tmp_path / "server").mkdir(0o755)
    with file_servers.vsftpd(tmp_path / "server", implicit=True, address=bench.address) as server:
        assert (await bench.download(f"ftps://ftp:{PASSWORD}@{HOST}/firmware.bin"))["ok"]
        assert (await bench.upload(f"ftps://ftp:{PASSWORD}@{HOST}/put/", name="stored"))["ok"]
        assert (server.files / "put" / "stored").read_bytes() == content()


@pytest.mark.parametrize(("name", "scheme"), [("ftps", "ftps"), ("ssh", "sftp")])
async def test_wrong_password_is_no_permission(
    bench: Bench, request: pytest.FixtureRequest, name: str, scheme: str
) -> None:
    """S-225: and nothing is left of the attempt."""
    server = request.getfixturevalue(name)
    for result in (
        await bench.download(url(server, scheme, "/firmware.bin", "canary")),
        await bench.upload(url(server, scheme, "/put/", "canary"), 0),
    ):
        assert (result["ok"], result["why"]) == (False, "permission_denied")
        assert "canary" not in result["text"]
    assert len(bench.files()) == 1


@pytest.mark.parametrize(
    ("password", "why"), [("wrong", "permission_denied"), (None, "permission_denied"), (PASSWORD, None)]
)
async def test_password_of_a_web_server_is_taken_from_the_url_alone(
    bench: Bench,
    web: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    password: str | None,
    why: str | None,
) -> None:
    """T33: neither from the user's netrc nor by way of a proxy of the environment."""
    (tmp_path / ".netrc").write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    login = "" if password is None else f"{USER}:{password}@"
    result = await bench.download(f"https://{login}{HOST}:{web.tls_port}/private/firmware.bin")
    assert result.get("why") == why


@pytest.mark.parametrize(
    ("name", "scheme", "why"),
    [("web", "https", "failed"), ("ftps", "ftps", "permission_denied"), ("ftp", "ftp", "permission_denied"),
     ("ssh", "sftp", "failed")],
)  # fmt: skip
async def test_missing_directory_is_not_made(
    bench: Bench, request: pytest.FixtureRequest, name: str, scheme: str, why: str
) -> None:
    """S-225: FTP has one answer, 550, for what is not there and what is not allowed."""
    server = request.getfixturevalue(name)
    assert (await bench.upload(url(server, scheme, "/nowhere/"), 10))["why"] == why
    assert (await bench.download(url(server, scheme, "/nowhere/x")))["why"] == why
    assert not (server.files / "nowhere").exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [(401, "permission_denied"), (403, "permission_denied"), (404, "failed"), (413, "too_large"), (500, "failed"),
     (503, "failed")],
)  # fmt: skip
async def test_answer_of_a_web_server_has_its_reason(bench: Bench, web: FileServer, code: int, why: str) -> None:
    """S-225: for both ways; the page that comes with it is nothing to keep."""
    place = url(web, "https", f"/answer/{code}")
    for result in (await bench.download(place), await bench.upload(place, 200_000)):
        assert (result["why"], result["text"]) == (why, f"https://{HOST}:{web.tls_port}: the answer is {code}")
    assert len(bench.files()) == 1


@pytest.mark.parametrize("code", [301, 302, 307])
async def test_redirect_is_not_followed(bench: Bench, web: FileServer, code: int) -> None:
    """T33: where it leads is asked for nothing."""
    log = web.files.parent / "access.log"
    before = log.read_text().count("/firmware.bin")
    place = url(web, "http", f"/moved/{code}")
    for result in (await bench.download(place), await bench.upload(place, 10)):
        assert (result["why"], "redirect" in result["text"]) == ("failed", True)
    assert log.read_text().count("/firmware.bin") == before


async def test_upload_that_the_server_finds_too_large_is_told_so(bench: Bench, web: FileServer) -> None:
    """S-225."""
    result = await bench.upload(url(web, "https", "/put/"), 1_200_000)
    assert result["why"] == "too_large"


@pytest.mark.parametrize(("name", "scheme"), KINDS)
async def test_download_has_a_limit(bench: Bench, request: pytest.FixtureRequest, name: str, scheme: str) -> None:
    """T35: quotas; what had come is removed."""
    result = await bench.download(url(request.getfixturevalue(name), scheme, "/firmware.bin"), max_bytes=299_999)
    assert result["why"] == "too_large"
    assert bench.files() == []


async def test_cancelled_transfer_ends_at_once_and_leaves_nothing(bench: Bench, web: FileServer) -> None:
    """T33, T35: a slow server, which would take fifteen seconds; how far it is has been told by then."""
    task = asyncio.create_task(bench.download(url(web, "https", "/slow/firmware.bin")))
    await bench.was_told.wait()
    assert len(bench.files()) == 1
    task.cancel()
    async with asyncio.timeout(5):
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert bench.files() == []
    first = bench.told[0]
    assert (first["identity"], first["kind"], first["total"]) == ("CP1", "download", 300_000)
    assert 0 < first["bytes"] < 300_000


async def test_certificate_for_another_host_or_by_an_unknown_authority_is_refused(
    bench: Bench, web: FileServer, ftps: FileServer
) -> None:
    """S-244, T33: no byte of a login or a file goes to such a server."""
    for place in (url(web, "https", "/firmware.bin"), url(ftps, "ftps", "/firmware.bin")):
        result = await bench.download(place.replace(HOST, "other.example"))
        assert (result["why"], "certificate" in result["text"]) == ("failed", True)
    bench.roots = pki.pki().other.pem
    for place in (url(web, "https", "/put/"), url(ftps, "ftps", "/put/")):
        result = await bench.upload(place, 10)
        assert (result["why"], "certificate" in result["text"]) == ("failed", True)


async def test_ftps_with_a_server_without_tls_shows_no_password(bench: Bench, ftp: FileServer) -> None:
    """T33: TLS is required before the login."""
    log = ftp.files.parent / "output"
    logins = log.read_text().count("USER")
    result = await bench.download(url(ftp, "ftps", "/firmware.bin"))
    assert (result["why"], "TLS" in result["text"]) == ("failed", True)
    assert log.read_text().count("USER") == logins


async def test_sftp_server_with_another_key_than_before_is_refused(bench: Bench, tmp_path: Path) -> None:
    """T33: the first key is remembered; an administrator can take it away."""
    directory = tmp_path / "sshd"
    directory.mkdir()
    with file_servers.sshd(directory) as server:
        place = url(server, "sftp", "/firmware.bin")
        assert (await bench.download(place))["ok"]
        assert (await bench.download(place))["ok"]
    known = bench.known_hosts.path
    remembered = known.read_text()
    assert remembered.startswith(f"[{HOST}]:{server.port} ssh-ed25519 ")
    assert remembered.count("\n") == 1
    with file_servers.sshd(directory, server.port):
        result = await bench.download(place)
        assert (result["why"], "host key" in result["text"]) == ("failed", True)
        assert known.read_text() == remembered
        known.write_text("")
        assert (await bench.download(place))["ok"]


async def test_name_that_changes_its_address_is_used_where_it_was_judged(bench: Bench, web: FileServer) -> None:
    """T33: rebinding; it is resolved once, and libcurl resolves nothing."""
    answers = [LOCAL, "127.0.0.66", "127.0.0.66"]

    async def resolve(host: str, port: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    bench.all._resolve = resolve
    for name in (HOST, "localhost"):
        answers[:] = [LOCAL, "127.0.0.66"]
        result = await bench.download(url(web, "http", "/firmware.bin").replace(HOST, name))
        assert (result["ok"], answers) == (True, ["127.0.0.66"])
    answers[:] = ["127.0.0.66"]
    assert not (await bench.download(url(web, "http", "/firmware.bin").replace(HOST, "localhost")))["ok"]


@pytest.mark.parametrize(
    "name", ["../planted", "/etc/planted", "put/../../planted", "..", ".", "a\0b", "a\nb", "x" * 256]
)
async def test_name_with_a_path_in_it_reaches_no_server(bench: Bench, ssh: FileServer, name: str) -> None:
    """T35."""
    before = sorted(path.name for path in ssh.files.rglob("*"))
    assert (await bench.upload(url(ssh, "sftp", "/put/"), 10, name))["why"] == "failed"
    assert sorted(path.name for path in ssh.files.rglob("*")) == before
    assert bench.resolved == []


async def test_name_is_no_url(bench: Bench, web: FileServer) -> None:
    """T35: whatever is in it stands for itself."""
    name = f"{secrets.token_hex(4)} ?#%2F&;ä.gz"
    assert (await bench.upload(url(web, "https", "/put/"), 10, name))["ok"]
    assert (web.files / "put" / name).exists()


async def test_no_password_and_no_path_gets_into_the_log(
    bench: Bench, web: FileServer, ftps: FileServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """T30: at the lowest level, whether it works or not."""
    caplog.set_level(logging.DEBUG)
    results = [
        await bench.download(url(ftps, "ftps", "/canary-path", "canary-password")),
        await bench.download(f"https://canary-user:canary-password@{HOST}:{web.tls_port}/canary-path?canary-query"),
        await bench.download(f"https://canary-user:canary-password@{HOST}:{web.tls_port}/firmware.bin?canary-query"),
    ]
    assert [result["ok"] for result in results] == [False, False, True]
    assert "canary" not in f"{caplog.text}{results}{''.join(capfd.readouterr())}"
