"""The store of a real daemon: a commit that fails, a damaged file, sessions told and exported."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from ocpphub.store.directory import CONDITION_NAME, COPY_NAME, FILE_NAME
from tests.e2e import daemon_process
from tests.e2e.daemon_process import ROOT, DaemonProcess, RawClient

CHARGES = '[[charge_point.connector]]\nids = "1-10"\nfree_vend_id_tag = "FREE"\n'
STORE_FAILED = 75


@pytest.fixture(autouse=True)
def vending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every plug-in is a session at once, so that a test needs no CSMS."""
    monkeypatch.setattr(daemon_process, "CONFIGURATION", daemon_process.CONFIGURATION + CHARGES)


@contextmanager
def daemon(directory: Path) -> Iterator[DaemonProcess]:
    """A daemon that may also end by itself."""
    process = DaemonProcess(directory, 'charge_before_accepted = "always"')
    try:
        yield process
    finally:
        process.stop()


def call(client: RawClient, method: str, **params: Any) -> dict[str, Any]:
    """One request and its answer, past the notifications ``lease``."""
    answer = client.call(method, **params)
    while answer is not None and "method" in answer:
        answer = client.read()
    if answer is None:
        raise ConnectionResetError
    return cast(dict[str, Any], answer)


def plug(client: RawClient, connector_id: int, plugged: bool, energy_wh: int) -> Any:
    """Report a vehicle; the answer, ``None`` when the daemon has gone."""
    report = {"connector_id": connector_id, "plugged": plugged, "ev_ready": plugged, "evse_ready": True}
    try:
        return call(client, "connector.report", **report, energy_wh=energy_wh)
    except (BrokenPipeError, ConnectionResetError):
        return None


def attach(client: RawClient) -> None:
    call(client, "controller.attach", connectors="1-10")


def sessions(client: RawClient, **params: Any) -> list[int]:
    return [row["session_id"] for row in call(client, "transaction.list", **params)["result"]["transactions"]]


def end_of(process: DaemonProcess) -> int:
    return process.process.wait(timeout=20)


def fail_the_disk(process: DaemonProcess) -> None:
    """From now on no file may grow much beyond what the log of SQLite already is."""
    log = process.state / f"{FILE_NAME}-wal"
    size = max(log.stat().st_size, process.log.stat().st_size) + 200_000
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, size))


def start_sessions(client: RawClient, process: DaemonProcess, energy_wh: int) -> list[int]:
    """Sessions on one connector after the other until the daemon has gone; those that it acknowledged."""
    acknowledged = []
    for number in range(200):
        answer = plug(client, 1 + number % 10, number // 10 % 2 == 0, energy_wh)
        if answer is None:
            break
        assert "result" in answer, answer
        if answer["result"]["transaction"] is not None:
            acknowledged.append(answer["result"]["transaction"]["session_id"])
    assert end_of(process) == STORE_FAILED
    return acknowledged


def test_daemon_whose_commit_fails_ends_with_75_and_has_kept_what_it_acknowledged(tmp_path: Path) -> None:
    """F09, F10, D1, D6; reliability 4.3.7. The third time within ten minutes the next start refuses new sessions."""
    known: set[int] = set()
    for energy_wh in (1000, 1001, 1002):
        with daemon(tmp_path) as process, process.connect() as client:
            attach(client)
            assert known <= set(sessions(client))
            fail_the_disk(process)
            known.update(start_sessions(client, process, energy_wh))
    assert known

    with daemon(tmp_path) as process, process.connect() as client:
        attach(client)
        assert known <= set(sessions(client))
        before = sessions(client)
        free = next(number for number in range(1, 11) if is_free(client, number))
        answer = plug(client, free, True, 1003)
        assert answer["result"]["transaction"] is None
        assert sessions(client) == before


def is_free(client: RawClient, connector_id: int) -> bool:
    return call(client, "connector.get", connector_id=connector_id)["result"]["transaction"] is None


def test_daemon_with_a_damaged_store_runs_on_its_copy_and_says_so(tmp_path: Path) -> None:
    """Reliability 4.3.10: charge_point.get tells, until an operator has deleted the note."""
    with daemon(tmp_path) as process, process.connect() as client:
        attach(client)
        plug(client, 1, True, 1000)
        assert "store_condition" not in call(client, "charge_point.get")["result"]
        deadline_s = time.monotonic() + 20
        while not (process.state / COPY_NAME).exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        plug(client, 2, True, 1000)
        assert sessions(client) == [1, 2]
    (process.state / FILE_NAME).write_bytes(b"garbage" * 1000)

    with daemon(tmp_path) as process, process.connect() as client:
        condition = call(client, "charge_point.get")["result"]["store_condition"]
        assert condition.startswith("restored from the copy of 20")
        assert sessions(client) == [1]
        assert list(process.state.glob("hub.db.damaged-*"))
    (process.state / CONDITION_NAME).unlink()

    with daemon(tmp_path) as process, process.connect() as client:
        assert "store_condition" not in call(client, "charge_point.get")["result"]


def test_sessions_are_listed_and_exported(tmp_path: Path) -> None:
    """Reliability 4.4: page by page, as the command line and the socket have them."""
    with daemon(tmp_path) as process, process.connect() as client:
        attach(client)
        for connector_id in (1, 2, 3):
            plug(client, connector_id, True, 1000)
        plug(client, 2, False, 1010)
        answer = call(client, "transaction.list", limit=2)["result"]
        rest = call(client, "transaction.list", limit=2, cursor=answer["cursor"])["result"]
        assert [row["session_id"] for row in answer["transactions"] + rest["transactions"]] == [1, 2, 3]
        assert "cursor" not in rest
        assert sessions(client, connectors="2-3") == [2, 3]
        assert call(client, "transaction.list", since="soon")["error"]["data"]["path"] == "/params/since"
        file = tmp_path / "sessions.csv"
        exported = export(process, "--format", "csv", "--connectors", "1-2", "-o", str(file))
        assert (exported.returncode, exported.stdout, exported.stderr) == (0, "", "")
        first, second = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        assert (first["session_id"], first["stop"], first["delivered"]) == ("1", "", "false")
        assert (second["meter_start_wh"], second["meter_stop_wh"], second["reason"]) == (
            *("1000", "1010"),
            "EVDisconnected",
        )
        refused = export(process, "--format", "jsonl", "--connectors", "99")
        assert refused.returncode == 1
        assert "no such connector" in refused.stderr
    assert export(process, "--format", "csv").returncode == 69


def export(process: DaemonProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ocpphub", "sessions", "export", "--socket", str(process.socket), *arguments]
    environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
