"""What a hub is made of: the store of its directory, and the rows of each charge point."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocpphub import curl, wiring
from ocpphub.api import Hub
from ocpphub.errors import LocalError
from ocpphub.scratch import Scratch
from ocpphub.security_log import verify
from ocpphub.store import Row, space
from ocpphub.store.memory import MemoryStore
from ocpphub.store.sqlite import SqliteStore
from tests import builders
from tests.hub_doubles import ScriptedLink, hub_settings

ROWS = [Row("A", "boot", "k", b"1"), Row("B", "boot", "k", b"2"), Row("gone", "boot", "k", b"3")]


def test_load_rows_gives_each_charge_point_its_own() -> None:
    found = wiring.load_rows(MemoryStore(ROWS), ["A", "B", "new"])
    assert {name: list(rows) for name, rows in found.items()} == {"A": ROWS[:1], "B": ROWS[1:2], "new": []}


def test_load_rows_of_a_single_charge_point_come_as_they_are_read() -> None:
    """P5: a hundred thousand rows are not kept twice."""
    read: list[str] = []

    class Reading(MemoryStore):
        def load(self, charge_point: str | None = None):  # type: ignore[no-untyped-def]
            for row in super().load(charge_point):
                read.append(row.key)
                yield row

    found = wiring.load_rows(Reading(ROWS), ["A"])
    assert read == []
    next(iter(found["A"]))
    assert read == ["k"]


def test_open_store_keeps_it_where_the_settings_say(tmp_path: Path) -> None:
    settings = hub_settings()
    object.__setattr__(settings.hub, "state_directory", tmp_path / "state")
    store = wiring.open_store(settings)
    assert isinstance(store, SqliteStore)
    store.close()
    assert (tmp_path / "state" / "hub.db").exists()


def served(directory: Path) -> Hub:
    """A hub with a directory of its own, and a link that never connects."""
    return Hub(hub_settings(directory=directory), link=ScriptedLink)


def lines(hub: Hub) -> list[str]:
    """The types in the security log."""
    path = hub.settings.hub.state_directory / "security" / "CP1.jsonl"
    return [json.loads(line)["type"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.asyncio
async def test_events_of_a_hub_are_in_its_security_log_when_it_has_stopped(tmp_path: Path) -> None:
    """S-213, A04.FR.04, R1: its own and those that clients report; no descriptor is left open."""
    before = len(os.listdir("/proc/self/fd"))
    async with served(tmp_path) as hub:
        await hub.charge_points["CP1"].security_event("MaintenanceLogin", "tech 7")
    assert lines(hub) == ["StartupOfTheDevice", "MaintenanceLogin"]
    assert verify(tmp_path / "state" / "security" / "CP1.jsonl") is None
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.asyncio
async def test_security_log_that_was_cleared_becomes_an_event(tmp_path: Path) -> None:
    """S-211, T37: published, and recorded in turn."""
    async with served(tmp_path):
        pass
    (tmp_path / "state" / "security" / "CP1.jsonl").unlink()
    told = asyncio.Event()
    async with served(tmp_path) as hub:
        point = hub.charge_points["CP1"]
        point.publications.listen(
            "security_event",
            lambda event: told.set() if event.parsed()["type"] == "SecurityLogWasCleared" else None,
        )
        async with asyncio.timeout(20):
            await told.wait()
    assert lines(hub) == ["lines gone", "StartupOfTheDevice", "SecurityLogWasCleared"]


@pytest.mark.asyncio
async def test_hub_with_a_store_of_its_own_makes_no_files(tmp_path: Path) -> None:
    """A program that brings a store has no state directory."""
    async with Hub(hub_settings(directory=tmp_path), store=MemoryStore(), link=ScriptedLink) as hub:
        await hub.charge_points["CP1"].security_event("X", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("configuration", "sftp", "schemes"),
    [
        ({}, False, {"https"}),
        ({}, True, {"https", "sftp"}),
        ({"supportedFileTransferProtocols": "FTP, HTTP"}, False, {"ftp", "http"}),
        ({"SupportedFileTransferProtocols": ""}, True, {"sftp"}),
    ],
)
def test_schemes_of_transfers_are_those_of_the_key_and_sftp_by_its_switch(
    monkeypatch: pytest.MonkeyPatch, configuration: dict[str, str], sftp: bool, schemes: set[str]
) -> None:
    """S-244, CORE-GD-08: none at all without the extra."""
    whole = hub_settings()
    whole = replace(whole, firmware=replace(whole.firmware, sftp=sftp))
    point = builders.settings(configuration=configuration)
    assert wiring.enabled_schemes(whole, point) == schemes
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    assert wiring.enabled_schemes(whole, point) == set()


@pytest.mark.asyncio
async def test_what_transfers_cannot_do_is_named_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """S-244: a protocol that libcurl was built without; the extra itself, by one warning."""
    monkeypatch.setattr(curl, "PROTOCOLS", frozenset(("https", "http")))
    settings = hub_settings(builders.settings(configuration={"SupportedFileTransferProtocols": "HTTPS,FTP"}))
    hub, scratch = Hub(settings, link=ScriptedLink), Scratch(tmp_path / "transfers")
    made = wiring.make_transfers(settings, hub.charge_points, scratch)
    assert set(made) == {"transfer.download", "transfer.upload", "file.discard"}
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    assert wiring.make_transfers(settings, hub.charge_points, scratch) == {}
    assert [record.getMessage().partition(":")[0] for record in caplog.records if record.levelname == "WARNING"] == [
        "transfers by ftp are enabled, but the libcurl that is installed cannot do them",
        "no firmware, diagnostics or logs",
    ]


@pytest.mark.asyncio
async def test_transfer_of_a_hub_knows_its_roots_and_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-244: servers may have certificates by the roots of the CSMS; progress is on the socket."""
    jobs: list[curl.Job] = []

    def run(job: curl.Job) -> dict[str, Any]:
        jobs.append(job)
        job.progress(5, 10)
        return {"ok": True, "bytes": os.write(job.descriptor, b"firmware")}

    monkeypatch.setattr(curl, "run", run)
    settings = hub_settings(directory=tmp_path)
    settings = replace(settings, firmware=replace(settings.firmware, max_bytes_per_s=4_096))
    async with Hub(settings, link=ScriptedLink) as hub:
        point = hub.charge_points["CP1"]
        monkeypatch.setattr(
            point.core, "access", lambda: replace(type(point.core).access(point.core), roots=("A", "B"))
        )
        doers = wiring.make_transfers(settings, hub.charge_points, Scratch(tmp_path / "transfers"))
        result = await doers["transfer.download"]("CP1", {"location": "https://93.184.216.34/x"})
        await asyncio.sleep(0)
        event = point.publications.latest("transfer")
    assert (result["ok"], jobs[0].roots, jobs[0].max_bytes_per_s) == (True, "A\nB", 4_096)
    assert event is not None
    assert event.parsed() == {"kind": "download", "bytes": 5, "total": 10}


@pytest.mark.asyncio
async def test_x509_that_is_there_or_cannot_be_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-191: without the extra there is nothing to load."""
    loaded: list[str] = []
    monkeypatch.setattr(wiring, "import_module", loaded.append)
    monkeypatch.setitem(sys.modules, "ocpphub.certificates", sys)
    wiring.load_x509()
    monkeypatch.delitem(sys.modules, "ocpphub.certificates")
    monkeypatch.setattr(wiring, "find_spec", lambda name: None)
    wiring.load_x509()
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    assert loaded == []


@pytest.mark.asyncio
async def test_download_leaves_the_room_that_the_store_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T35: below it no session could start."""
    free = 2**30
    monkeypatch.setattr(space.Space, "fits", lambda self, size: free >= size + 2**26)
    jobs: list[curl.Job] = []

    def run(job: curl.Job) -> dict[str, Any]:
        jobs.append(job)
        return {"ok": True, "bytes": 0}

    monkeypatch.setattr(curl, "run", run)
    hub = Hub(hub_settings(), link=ScriptedLink)
    monkeypatch.setattr(wiring, "enabled_schemes", lambda whole, settings: {"https"})
    monkeypatch.setattr(hub.charge_points["CP1"], "core", SimpleNamespace(access=lambda: SimpleNamespace(roots=())))
    doers = wiring.make_transfers(hub.settings, hub.charge_points, Scratch(tmp_path / "transfers"))
    params = {"location": "https://93.184.216.34/x"}
    assert (await doers["transfer.download"]("CP1", params))["ok"]
    assert [jobs[0].has_room(size) for size in (2**29, 2**30)] == [True, False]
    free = 2**25
    assert (await doers["transfer.download"]("CP1", params))["why"] == "failed"


@pytest.mark.asyncio
async def test_hub_whose_directory_of_transfers_is_open_lets_go_of_its_store(tmp_path: Path) -> None:
    """T28, T35: another start works once the mode is right."""
    async with served(tmp_path):
        pass
    transfers = tmp_path / "state" / "transfers"
    transfers.chmod(0o755)
    with pytest.raises(LocalError, match="private"):
        await served(tmp_path).start()
    transfers.chmod(0o700)
    async with served(tmp_path) as hub:
        assert hub.is_running
