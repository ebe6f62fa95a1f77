"""transfer.py: which URL is used, what is kept, how many at a time. libcurl is a double; real servers are in e2e."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocpphub import curl, log, transfer
from ocpphub.curl import Job
from ocpphub.known_hosts import KnownHosts
from ocpphub.scratch import Scratch
from ocpphub.transfer import Policy, Transfers, unable

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(30)]
PUBLIC = "93.184.216.34"


class Bench:
    """Transfers whose libcurl and resolver are ours."""

    def __init__(self, directory: Path) -> None:
        self.scratch = Scratch(directory / "transfers")
        self.jobs: list[Job] = []
        self.addresses = [PUBLIC]
        self.told: list[Any] = []
        self.do: Callable[[Job], dict[str, Any]] = self.succeed
        self.kept: list[bytes] = []
        self.free = 2**40

    def run(self, job: Job) -> dict[str, Any]:
        self.jobs.append(job)
        return self.do(job)

    def succeed(self, job: Job) -> dict[str, Any]:
        """As libcurl would: write a download, read an upload."""
        if job.upload:
            self.kept.append(os.read(job.descriptor, job.size))
        else:
            os.write(job.descriptor, b"firmware")
        job.progress(3, None)
        return {"ok": True, "bytes": 8}

    async def resolve(self, host: str, port: int) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (each, port)) for each in self.addresses]

    def held_up(self) -> tuple[threading.Semaphore, threading.Event]:
        """Every transfer says by the first that it runs, and ends when the second is set."""
        started, go_on = threading.Semaphore(0), threading.Event()

        def wait(job: Job) -> dict[str, Any]:
            started.release()
            go_on.wait(20)
            return {"ok": True, "bytes": 0}

        self.do = wait
        return started, go_on

    def made(self, **policy: Any) -> Transfers:
        return Transfers(
            self.scratch,
            Policy({"CP1": ("https", "ftp"), "CP2": (), **dict.fromkeys("ABCDEF", ("https",))}, **policy),
            KnownHosts(Path("/nowhere")),
            roots=lambda identity: f"roots of {identity}",
            on_progress=lambda identity, value: self.told.append((identity, value)),
            resolve=self.resolve,
            has_room=lambda more: more < self.free,
        )

    def file(self, data: bytes = b"log") -> str:
        descriptor, path = self.scratch.create()
        with open(descriptor, "wb") as file:
            file.write(data)
        return path

    def files(self) -> list[str]:
        return [str(self.scratch.directory / name) for name in os.listdir(self.scratch.directory)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setattr(curl, "run", bench.run)
    yield bench
    bench.scratch.close()


HTTPS = "https://files.example/dir/"


async def test_records_of_a_transfer_carry_its_charge_point_and_its_progress_does_not(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-222: what is of nobody is in the diagnostics of every charge point; who listens serves others too."""
    monkeypatch.setattr(caplog.handler, "formatter", log.TextFormatter())
    logger = logging.getLogger("ocpphub.test")

    def says(job: Job) -> dict[str, Any]:
        logger.warning("the SFTP server is known")
        return bench.succeed(job)

    transfers = bench.made()
    transfers._on_progress = lambda identity, value: logger.warning("listener")
    bench.do = says
    with log.charge_point("CP1"):
        await transfers.download("CP1", {"location": HTTPS})
        await asyncio.sleep(0)
    assert "[CP1] the SFTP server is known" in caplog.text
    assert "[-] listener" in caplog.text


async def test_download_is_a_private_file_until_it_is_discarded(bench: Bench) -> None:
    """T35: progress comes on the loop, with whose it is."""
    doers = bench.made(max_bytes_per_s=5_000).doers()
    result = await doers["transfer.download"]("CP1", {"location": HTTPS, "max_bytes": 100})
    assert result == {"ok": True, "bytes": 8, "path": bench.files()[0]}
    assert Path(result["path"]).read_bytes() == b"firmware"
    (job,) = bench.jobs
    assert (job.target.place, job.addresses, job.size) == ("https://files.example:443", (PUBLIC,), 100)
    assert (job.roots, job.max_bytes_per_s) == ("roots of CP1", 5_000)
    await asyncio.sleep(0)
    assert bench.told == [("CP1", {"kind": "download", "bytes": 3, "total": None})]
    assert await doers["file.discard"]("CP1", {"path": result["path"]}) == {"ok": True}
    assert await doers["file.discard"]("CP1", {"path": result["path"]}) == {"ok": True}
    assert bench.files() == []


@pytest.mark.parametrize(
    ("location", "path"),
    [(HTTPS, "/dir/l%C3%B6g%3F.gz"), ("https://files.example", "/l%C3%B6g%3F.gz"), ("https://files.example/x", "/x")],
)
async def test_upload_sends_the_file_under_its_name(bench: Bench, location: str, path: str) -> None:
    """CORE-GD-01: the name goes behind a slash; the file stays until it is discarded."""
    file = bench.file()
    result = await bench.made().doers()["transfer.upload"](
        "CP1", {"location": location, "path": file, "name": "lög?.gz"}
    )
    assert result["ok"]
    assert (bench.kept, bench.jobs[0].target.path, bench.files()) == ([b"log"], path, [file])


@pytest.mark.parametrize(
    ("identity", "location", "download", "upload"),
    [
        ("CP1", "sftp://files.example/x", "not_supported", "not_supported"),
        ("CP1", "file:///etc/passwd", "not_supported", "not_supported"),
        ("CP2", HTTPS, "not_supported", "not_supported"),
        ("CP3", HTTPS, "not_supported", "not_supported"),
        ("CP1", "https://10.0.0.1/x", "refused", "refused"),
        ("CP1", "https://not allowed/", "refused", "bad_message"),
        ("CP1", "nonsense", "refused", "bad_message"),
    ],
)
async def test_url_that_may_not_be_used_reaches_nobody(
    bench: Bench, identity: str, location: str, download: str, upload: str
) -> None:
    """T33, CORE-GD-08, S-225."""
    transfers = bench.made()
    assert (await transfers.download(identity, {"location": location}))["why"] == download
    params = {"location": location, "path": bench.file(), "name": "n"}
    assert (await transfers.upload(identity, params))["why"] == upload
    assert bench.jobs == []


async def test_name_at_a_private_address_is_refused_unless_allowed(bench: Bench) -> None:
    """T33, S-244: uploads too."""
    bench.addresses = [PUBLIC, "127.0.0.1"]
    params = {"location": HTTPS, "path": bench.file(), "name": "n"}
    for transfers in (bench.made(), bench.made(hosts=("files.example",))):
        assert (await transfers.download("CP1", params))["why"] == "refused"
        assert (await transfers.upload("CP1", params))["why"] == "refused"
    assert bench.jobs == []
    assert (await bench.made(allow_private=True).download("CP1", params))["ok"]
    assert bench.jobs[0].addresses == (PUBLIC, "127.0.0.1")


async def test_host_that_is_not_listed_is_refused(bench: Bench) -> None:
    """T33: the host allow-list."""
    transfers = bench.made(hosts=("other.example",))
    assert (await transfers.download("CP1", {"location": HTTPS}))["why"] == "refused"


async def test_name_that_nobody_knows_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """T27: also when the resolver does not answer."""

    async def unknown(host: str, port: int) -> list[Any]:
        raise socket.gaierror(-2, "unknown")

    async def silent(host: str, port: int) -> list[Any]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    monkeypatch.setattr(transfer, "RESOLVE_S", 0.01)
    for resolve in (unknown, silent):
        monkeypatch.setattr(bench, "resolve", resolve)
        result = await bench.made().download("CP1", {"location": HTTPS})
        assert (result["why"], result["text"]) == ("failed", "https://files.example:443: the host is not known")
    assert bench.files() == []


@pytest.mark.parametrize(("asked", "size"), [({}, 2**29), ({"max_bytes": 2**40}, 2**29), ({"max_bytes": 5}, 5)])
async def test_download_has_a_limit_that_nobody_can_raise(bench: Bench, asked: dict[str, int], size: int) -> None:
    """T35: 512 MiB."""
    await bench.made().download("CP1", {"location": HTTPS, **asked})
    assert bench.jobs[0].size == size


async def test_upload_has_a_limit(bench: Bench) -> None:
    """T35: 64 MiB, or what is configured."""
    params = {"location": HTTPS, "path": bench.file(b"x" * 11), "name": "n"}
    result = await bench.made(max_upload=10).upload("CP1", params)
    assert (result["why"], result["text"]) == ("too_large", "the file has 11 bytes")
    assert bench.jobs == []
    assert (await bench.made(max_upload=11).upload("CP1", params))["ok"]
    os.truncate(params["path"], 2**26 + 1)
    assert (await bench.made(max_upload=2**30).upload("CP1", params))["why"] == "too_large"


async def test_path_that_is_none_of_ours_is_neither_sent_nor_removed(bench: Bench, tmp_path: Path) -> None:
    """T35: other places, and links in our own."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    link = bench.scratch.directory / "link"
    link.symlink_to(secret)
    for path in (str(secret), f"{bench.scratch.directory}/../secret", str(link), f"{link}\0"):
        result = await bench.made().upload("CP1", {"location": HTTPS, "path": path, "name": "n"})
        assert result["why"] == "failed"
    for path in (str(secret), f"{bench.scratch.directory}/../secret"):
        assert (await bench.made().discard("CP1", {"path": path}))["why"] == "failed"
    assert bench.jobs == []
    assert secret.exists()


async def test_large_files_are_removed_beside_the_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """T35: the blocks of 512 MiB take their time; both a discarded file and a failed download."""
    threads: list[threading.Thread] = []
    real = bench.scratch.discard

    def discard(path: str) -> None:
        threads.append(threading.current_thread())
        real(path)

    monkeypatch.setattr(bench.scratch, "discard", discard)
    assert (await bench.made().discard("CP1", {"path": bench.file()}))["ok"]
    bench.do = lambda job: {"ok": False, "why": "failed", "text": "t"}
    await bench.made().download("CP1", {"location": HTTPS})
    assert bench.files() == []
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_failed_download_leaves_nothing_whatever_the_reason(bench: Bench) -> None:
    """T35: a result as well as a bug."""
    bench.do = lambda job: {"ok": False, "why": "failed", "text": "t"}
    assert await bench.made().download("CP1", {"location": HTTPS}) == {"ok": False, "why": "failed", "text": "t"}
    assert bench.files() == []

    def broken(job: Job) -> dict[str, Any]:
        raise ZeroDivisionError

    bench.do = broken
    with pytest.raises(ZeroDivisionError):
        await bench.made().download("CP1", {"location": HTTPS})
    assert bench.files() == []


async def test_download_does_not_begin_while_room_is_short(bench: Bench) -> None:
    """T35: the disk is that of the store; an upload needs none, and a download looks on."""
    bench.free = 0
    transfers = bench.made()
    result = await transfers.download("CP1", {"location": HTTPS})
    assert result == {"ok": False, "why": "failed", "text": "there is no room for a download on the disk"}
    assert (await transfers.upload("CP1", {"location": HTTPS, "path": bench.file(), "name": "n"}))["ok"]
    bench.free = 9
    assert (await transfers.download("CP1", {"location": HTTPS}))["ok"]
    assert [bench.jobs[-1].has_room(more) for more in (8, 9)] == [True, False]


async def test_download_without_a_place_for_it_is_a_failure(bench: Bench) -> None:
    """T35."""
    bench.scratch.directory.rmdir()
    assert (await bench.made().download("CP1", {"location": HTTPS}))["why"] == "failed"
    assert bench.jobs == []


async def test_four_transfers_run_at_a_time_and_the_others_wait(bench: Bench) -> None:
    """T33: a hub has sixteen threads in all."""
    started, go_on = bench.held_up()
    transfers = bench.made()
    tasks = [asyncio.create_task(transfers.download(identity, {"location": HTTPS})) for identity in "ABCDEF"]
    for _ in range(4):
        assert await asyncio.to_thread(started.acquire, timeout=10)
    await asyncio.sleep(0.05)
    assert (len(bench.jobs), len(bench.files())) == (4, 4)
    tasks[5].cancel()
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, dict) for result in results] == [True] * 5 + [False]
    assert len(bench.jobs) == 5


async def test_charge_point_has_one_download_and_one_upload_at_a_time(bench: Bench) -> None:
    """T33: slow servers of one leave places for those of the others; whoever came first is next."""
    started, go_on = bench.held_up()
    transfers = bench.made()
    upload = {"location": HTTPS, "path": bench.file(), "name": "n"}
    tasks = [
        asyncio.create_task(each)
        for _ in range(4)
        for each in (transfers.download("A", {"location": HTTPS}), transfers.upload("A", upload))
    ]
    for _ in range(2):
        assert await asyncio.to_thread(started.acquire, timeout=10)
    other = asyncio.create_task(transfers.download("B", {"location": HTTPS}))
    assert await asyncio.to_thread(started.acquire, timeout=10)
    assert sorted((job.roots, job.upload) for job in bench.jobs) == [
        ("roots of A", False),
        ("roots of A", True),
        ("roots of B", False),
    ]
    go_on.set()
    assert all(result["ok"] for result in await asyncio.gather(other, *tasks))
    assert len(bench.jobs) == 9


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_cancelled_download_is_stopped_and_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_stuck: bool
) -> None:
    """T35: even where its thread does not notice in time; nobody writes into a file of somebody else then."""
    monkeypatch.setattr(transfer, "LEAVE_S", 0.01)
    began, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def wait(job: Job) -> dict[str, Any]:
        began.set()
        while not (go_on.is_set() or (job.stopped and not is_stuck)):
            go_on.wait(0.001)
        os.write(job.descriptor, b"late")
        over.set()
        return {"ok": True, "bytes": 4}

    bench.do = wait
    task = asyncio.create_task(bench.made().download("CP1", {"location": HTTPS}))
    assert await asyncio.to_thread(began.wait, 10)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert (task.cancelled(), bench.jobs[0].stopped, bench.files()) == (True, True, [])
    go_on.set()
    assert await asyncio.to_thread(over.wait, 10)


async def test_enabled_schemes_that_libcurl_cannot_do_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-244: web servers it always can; for them it need not be loaded."""
    monkeypatch.setattr(curl, "PROTOCOLS", frozenset(("https", "http", "ftp")))
    assert unable([("https", "sftp"), ("ftps", "ftp")]) == ["ftps", "sftp"]
    assert unable([("https", "http"), ()]) == []
