"""archive.look and archive.make: what a CSMS gets to see of a charge point."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocpphub import archive, tarball
from ocpphub.archive import Archives
from ocpphub.hooks import Hook
from ocpphub.log_file import LogFile
from ocpphub.scratch import Scratch
from ocpphub.security_log import SecurityLog
from tests.builders import EPOCH_MS

pytestmark = pytest.mark.asyncio
TOML = """
[hub]
socket = "s"
[[charge_point]]
identity = "CP1"
csms_url = "wss://user:CANARY00@csms.example/ocpp"
[[charge_point.connector]]
free_vend_id_tag = "CANARYTAG"
[[charge_point]]
identity = "CP2"
csms_url = "wss://other.example"
[[feeder]]
name = "F"
members = ["CP1:1-3", "CP2:1-3"]
"""
DIAGNOSTICS: dict[str, Any] = {"log_type": "DiagnosticsLog"}
SECURITY: dict[str, Any] = {"log_type": "SecurityLog"}


class Bench:
    """The archives of a state directory with both logs in it."""

    def __init__(self, directory: Path, handler: LogFile) -> None:
        self.directory, self.handler = directory, handler
        (directory / "hub.toml").write_text(TOML)
        self.scratch = Scratch(directory / "transfers")
        self.security = SecurityLog(directory)
        self.make_archives()

    def make_archives(self, script: str | None = None, max_bytes: int = 2**20, timeout_s: float = 30.0) -> None:
        hook = None if script is None else Hook(["/bin/sh", "-c", script], self.directory, timeout_s)
        self.archives = Archives(
            self.scratch, self.directory, self.directory / "hub.toml", self.security, hook, max_bytes
        )

    async def made(self, params: dict[str, Any]) -> dict[str, str]:
        """The texts of an archive by name."""
        result = await self.archives.make("CP1", {"name": "any.tar.gz", **params})
        assert result["ok"], result
        data = Path(result["path"]).read_bytes()
        assert len(data) == result["bytes"]
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
            files = {entry.name: tar.extractfile(entry) for entry in tar.getmembers()}
            return {name: file.read().decode() for name, file in files.items() if file is not None}

    def left(self) -> list[str]:
        return [path.name for path in self.scratch.directory.iterdir()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    handler = LogFile()
    root, own = logging.getLogger(), logging.getLogger("ocpphub.test")
    root.addHandler(handler)
    own.setLevel(logging.INFO)
    handler.open(tmp_path)
    own.info("of the process")
    own.info("of CP1", extra={"charge_point": "CP1"})
    own.info("of CP2", extra={"charge_point": "CP2"})
    bench = Bench(tmp_path, handler)
    yield bench
    root.removeHandler(handler)
    handler.close()
    bench.security._thread.close()
    bench.scratch.close()


async def test_diagnostics_hold_records_settings_and_versions(bench: Bench) -> None:
    """S-222, CORE-GD-01, T30: of this charge point alone, without secrets."""
    files = await bench.made(DIAGNOSTICS)
    assert set(files) == {"ocpphub.log", "configuration.json", "versions.json"}
    assert [json.loads(line)["message"] for line in files["ocpphub.log"].splitlines()] == ["of the process", "of CP1"]
    settings = json.loads(files["configuration.json"])
    assert [row["identity"] for row in settings["charge_point"]] == ["CP1"]
    assert settings["feeder"][0]["members"] == ["CP1:1-3"]
    assert "ocpphub" in json.loads(files["versions.json"])["packages"]
    assert "CANARY" not in "".join(files.values())


async def test_diagnostics_hold_neither_queries_of_urls_nor_arguments_of_programs(bench: Bench) -> None:
    """T30: both are places for tokens."""
    text = TOML.replace("csms.example/ocpp", "csms.example/ocpp?token=CANARY01&x=https://h/?CANARY02")
    hook = 'firmware = { hook = ["/opt/install", "--token=CANARY03", "CANARY04"] }'
    (bench.directory / "hub.toml").write_text(hook + text)
    settings = (await bench.made(DIAGNOSTICS))["configuration.json"]
    read = json.loads(settings)
    assert read["charge_point"][0]["csms_url"] == "wss://***@csms.example/ocpp?***"
    assert read["firmware"]["hook"] == ["/opt/install"]
    assert "CANARY0" not in settings


@pytest.mark.parametrize("text", ["not [toml", "charge_point = 5", None])
async def test_settings_that_cannot_be_read_keep_no_diagnostics_back(bench: Bench, text: str | None) -> None:
    """CORE-GD-01: the file may have been changed since the start."""
    if text is None:
        (bench.directory / "hub.toml").unlink()
    else:
        (bench.directory / "hub.toml").write_text(text)
    assert "configuration.json" in await bench.made(DIAGNOSTICS)


async def test_security_log_holds_the_lines_of_the_window(bench: Bench) -> None:
    """S-222: also those that were recorded just now."""
    for at_ms, kind in ((0, "A"), (1_000, "B"), (2_000, "C")):
        bench.security.append("CP1", kind, "", EPOCH_MS + at_ms)
    bench.security.append("CP2", "OTHER", "", EPOCH_MS + 1_000)
    files = await bench.made({**SECURITY, "since_ms": EPOCH_MS + 500, "until_ms": EPOCH_MS + 2_000})
    assert set(files) == {"security.jsonl"}
    assert [json.loads(line)["type"] for line in files["security.jsonl"].splitlines()] == ["B", "C"]


@pytest.mark.parametrize("params", [DIAGNOSTICS, SECURITY], ids=["diagnostics", "security"])
async def test_look_says_whether_there_is_a_record_and_names_the_file(bench: Bench, params: dict[str, Any]) -> None:
    """S-221, CORE-GD-02."""
    bench.security.append("../CP/1", "A", "", time.time_ns() // 1_000_000)
    result = await bench.archives.look("../CP/1", params)
    assert result["ok"]
    assert result["name"].endswith(".tar.gz")
    assert "_CP_1" in result["name"] or "__CP_1" in result["name"]
    assert "/" not in result["name"]
    assert len(result["name"]) <= 255
    nothing = await bench.archives.look("../CP/1", {**params, "until_ms": 0})
    assert (nothing["ok"], nothing["why"]) == (False, "nothing")
    assert (await bench.archives.make("../CP/1", {"name": "n", **params, "until_ms": 0}))["why"] == "nothing"


async def test_files_of_controllers_are_taken_once_and_removed(bench: Bench) -> None:
    """T35: the directory is made here, and only one that was made here is read."""
    directory = Path((await bench.archives.look("CP1", DIAGNOSTICS))["directory"])
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "core.txt").write_text("collected")
    files = await bench.made({**DIAGNOSTICS, "directory": str(directory)})
    assert files["files/core.txt"] == "collected"
    assert not directory.exists()
    other = bench.directory / "other"
    other.mkdir()
    (other / "secret").write_text("CANARY")
    for strange in (other, Path("/etc"), directory):
        assert "files/secret" not in await bench.made({**DIAGNOSTICS, "directory": str(strange)})
    assert (other / "secret").exists()


async def test_directories_that_nobody_comes_back_for_are_bounded(bench: Bench) -> None:
    """R1, T35: a CSMS that asks for ever leaves a few."""
    for _ in range(20):
        await bench.archives.look("CP1", DIAGNOSTICS)
    assert len(bench.left()) == archive.MAX_DIRECTORIES


async def test_directories_are_removed_beside_the_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1: what controllers have put there may be large; when it was read, and when it is given up."""
    threads: list[threading.Thread] = []
    real = shutil.rmtree

    def remove(path: str, ignore_errors: bool) -> None:
        threads.append(threading.current_thread())
        real(path, ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", remove)
    for _ in range(archive.MAX_DIRECTORIES + 1):
        directory = (await bench.archives.look("CP1", DIAGNOSTICS))["directory"]
    await bench.made({**DIAGNOSTICS, "directory": directory})
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_program_collects_into_a_directory_that_is_gone_afterwards(bench: Bench) -> None:
    """surface.md ``[diagnostics] hook``: controllers are not asked then."""
    bench.make_archives('cat >request; dir=$(sed \'s/.*directory":"\\([^"]*\\).*/\\1/\' request); cp request $dir/it')
    assert "directory" not in await bench.archives.look("CP1", DIAGNOSTICS)
    files = await bench.made({**DIAGNOSTICS, "since_ms": 0})
    request = json.loads(files["files/it"])
    assert (request["method"], request["charge_point"]) == ("diagnostics.collect", "CP1")
    assert request["start"] == "1970-01-01T00:00:00.000Z"
    assert "stop" not in request
    assert not Path(request["directory"]).exists()
    (bench.directory / "request").unlink()
    bench.security.append("CP1", "A", "", EPOCH_MS)
    await bench.made(SECURITY)
    assert not (bench.directory / "request").exists(), "the security log is ours alone"


async def test_program_that_fails_keeps_no_diagnostics_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """F42."""
    bench.make_archives("exit 1")
    assert "ocpphub.log" in await bench.made(DIAGNOSTICS)
    assert "the diagnostics hold less" in caplog.text


async def test_archive_that_finds_no_room_leaves_nothing(bench: Bench) -> None:
    """``[diagnostics] max_bytes``; and a disk that refuses."""
    bench.make_archives(max_bytes=100)
    assert (await bench.archives.make("CP1", DIAGNOSTICS))["why"] == "too_large"
    assert bench.left() == []
    bench.scratch.directory.rmdir()
    assert (await bench.archives.make("CP1", DIAGNOSTICS))["why"] == "failed"


async def test_abandoned_archive_leaves_nothing(bench: Bench) -> None:
    """``work.py``: cancelling ends it, the program too."""
    bench.make_archives("echo >begun; sleep 100")
    task = asyncio.create_task(bench.archives.make("CP1", DIAGNOSTICS))
    while not (bench.directory / "begun").exists():  # noqa: ASYNC110  # a file has no event
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.left() == []


@pytest.mark.parametrize("moment", ["ready", "cleaning"])
async def test_archive_that_is_ready_when_it_is_abandoned_is_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """T35: its path reaches nobody."""
    loop, began = asyncio.get_running_loop(), threading.Event()
    write, remove = tarball.write, shutil.rmtree

    def cancel() -> None:
        task.cancel()
        began.set()

    def ready(*content: Any) -> bool:
        result = write(*content)
        if moment == "ready":
            loop.call_soon_threadsafe(cancel)
            began.wait(20)
        return result

    def cleaning(path: str, ignore_errors: bool) -> None:
        remove(path, ignore_errors)
        if moment == "cleaning":
            loop.call_soon_threadsafe(cancel)
            began.wait(20)

    monkeypatch.setattr(tarball, "write", ready)
    monkeypatch.setattr(shutil, "rmtree", cleaning)
    directory = (await bench.archives.look("CP1", DIAGNOSTICS))["directory"]
    task = asyncio.create_task(bench.archives.make("CP1", {**DIAGNOSTICS, "directory": directory}))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert began.is_set()
    assert bench.left() == []


async def test_process_without_logs_has_nothing(bench: Bench, tmp_path: Path) -> None:
    """A hub inside another program keeps no log file."""
    empty = tmp_path / "empty"
    empty.mkdir()
    archives = Archives(bench.scratch, empty, empty / "hub.toml", None, None, 2**20)
    for params in (DIAGNOSTICS, SECURITY):
        assert (await archives.look("CP1", params))["why"] == "nothing"
