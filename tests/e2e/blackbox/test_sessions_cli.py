"""The command line and the lists of sessions: export, transaction.list, simulated controllers."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import OCPPHUB, cli, wait_for
from .sessions import RUNNING, Json, Site, moment, of_form, site_of

ENDED = {"stop": str, "meter_stop_wh": int, "reason": str}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Three sessions: two that are over, one that runs."""
    with site_of(8) as site:
        for id_tag, energy_wh in (("=1+1", 1000), ('a,"b', 2000)):
            driver, n, transaction_id = site.charging(id_tag, energy_wh)
            driver.report(n, energy_wh=energy_wh + 25)
            driver.call("connector.stop_transaction", connector_id=n, id_tag=id_tag)
            site.books.wait("StopTransaction", transactionId=transaction_id)
        site.charging("RUNS", 3000)
        wait_for(lambda: len(listed(site, undelivered=True)) == 1, "two delivered")
        yield site


def export(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("sessions", "export", "--socket", str(site.hub.socket), *arguments)


def listed(site: Site, **params: Any) -> list[Json]:
    rows: list[Json] = site.hub.call("transaction.list", **params)["transactions"]
    return rows


def test_transactions_are_listed_with_their_members(site: Site) -> None:
    """rpc.md transaction.list: sessions that are over and the one that runs, oldest first, right types."""
    rows = listed(site)
    assert [row["id_tag"] for row in rows] == ["=1+1", 'a,"b', "RUNS"]
    for row in rows:
        of_form(row, {"connector_id": int, "delivered": bool, **RUNNING}, {**ENDED, "undelivered": list})
        moment(row["start"])
    assert [(row.get("meter_stop_wh"), row.get("reason")) for row in rows] == [
        (1025, "Local"),
        (2025, "Local"),
        (None, None),
    ]
    assert [row["delivered"] for row in rows] == [True, True, False]
    assert len({row["session_id"] for row in rows}) == 3


def test_transactions_are_filtered_and_paged(site: Site) -> None:
    """rpc.md transaction.list: since, until, connectors, undelivered, limit, cursor."""
    rows = listed(site)
    assert listed(site, connectors=2) == rows[1:2]
    assert listed(site, connectors="2-3") == rows[1:]
    assert listed(site, undelivered=True) == rows[2:]
    assert listed(site, since=rows[1]["start"]) == rows[1:]
    assert listed(site, until=rows[1]["start"]) == rows[:1]
    assert listed(site, since="2090-01-01T00:00:00Z") == []
    pages, cursor = [], None
    for _ in range(4):
        page = site.hub.call("transaction.list", limit=1, **({} if cursor is None else {"cursor": cursor}))
        pages += page["transactions"]
        cursor = page.get("cursor")
        if cursor is None:
            break
    assert pages == rows


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "1"},
        {"since": "yesterday"},
        {"until": 5},
        {"connectors": 9},
        {"connectors": "2-"},
        {"undelivered": "yes"},
        {"cursor": "nonsense"},
        {"cursor": -1},
        {"order": "up"},
    ],
    ids=str,
)
def test_list_that_cannot_be_is_an_error_with_its_field(site: Site, params: Json) -> None:
    """rpc.md: error.data = {code, path, hint}; the path names the parameter."""
    with site.hub.rpc() as rpc:
        error = rpc.fails("transaction.list", params)
    assert error.code in {-32602, -32002}
    assert set(error.data) >= {"code", "path", "hint"}
    assert error.data["path"] == f"/params/{next(iter(params))}"


def test_sessions_are_exported_as_jsonl(site: Site) -> None:
    """surface.md `sessions export --format jsonl`: one JSON text per line, as transaction.list has them."""
    done = export(site, "--format", "jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == listed(site)


def test_sessions_are_exported_as_csv_that_a_spreadsheet_can_open(site: Site, tmp_path: Path) -> None:
    """surface.md `sessions export --format csv`: header, quoting, a file, filters."""
    done = export(site, "--format", "csv")
    assert done.returncode == 0
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["meter_stop_wh"] for row in rows] == ["1025", "2025", ""]
    assert rows[1]["id_tag"] == 'a,"b'
    assert rows[0]["id_tag"].lstrip("'") == "=1+1"
    target = tmp_path / "sessions.csv"
    assert export(site, "--format", "csv", "-o", str(target)).returncode == 0
    assert target.read_text() == done.stdout
    only = export(site, "--format", "csv", "--undelivered", "--connectors", "1-3").stdout
    assert [row["id_tag"] for row in csv.DictReader(io.StringIO(only))] == ["RUNS"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--format", "xml"], 2),
        ([], 2),
        (["--format", "csv", "--since", "yesterday"], 2),
        (["--format", "csv", "--connectors", "9"], 1),
        (["--format", "csv", "--charge-point", "NOPE"], 1),
        (["--format", "csv", "-o", "/nonexistent/x.csv"], 1),
    ],
    ids=str,
)
def test_export_that_cannot_be_says_why(site: Site, arguments: list[str], code: int) -> None:
    """surface.md exit codes: 1 the answer was an error, 2 usage; a sentence, no traceback."""
    done = export(site, *arguments)
    assert done.returncode == code or (code == 1 and done.returncode in {1, 73, 78}), done
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_export_without_a_hub_is_69(tmp_path: Path) -> None:
    """surface.md exit codes."""
    done = cli("sessions", "export", "--format", "csv", "--socket", str(tmp_path / "none.sock"))
    assert done.returncode == 69
    assert "Traceback" not in done.stderr


def test_simulated_controllers_charge_at_a_real_hub(site: Site) -> None:
    """surface.md `simulate --json`: events as JSON lines, and the CSMS sees sessions with their meters."""
    begin = len(site.books.calls)
    arguments = ["--connectors", "5-8", "--duration", "5", "--speed", "900", "--seed", "3", "--json"]
    done = cli("simulate", "--socket", str(site.hub.socket), *arguments, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    summary = events[-1]
    assert summary["event"] == "summary"
    assert summary["problems"] == []
    assert summary["start"] >= 1
    started = {event["session_id"] for event in events if event["event"] == "start"}
    rows = {row["session_id"]: row for row in listed(site, connectors="5-8")}
    assert started <= set(rows)
    starts = [payload for action, payload in site.books.calls[begin:] if action == "StartTransaction"]
    assert len(starts) == summary["start"]
    for event in events:
        if event["event"] == "stop":
            row = rows[event["session_id"]]
            assert row["meter_stop_wh"] - row["meter_start_wh"] == event["energy_wh"]
    wait_for(lambda: not any(s["attached"] for s in site.hub.call("connector.list", connectors="5-8")), "detached")


def test_simulation_on_unknown_connectors_is_refused(site: Site) -> None:
    """surface.md exit codes: 1 the answer was an error."""
    done = cli("simulate", "--socket", str(site.hub.socket), "--connectors", "9", "--duration", "1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_simulation_ends_on_an_interrupt_and_lets_go(site: Site) -> None:
    """A user presses Ctrl-C: it ends soon, without a traceback, and its connectors are free."""
    process = subprocess.Popen(
        [OCPPHUB, "simulate", "--socket", str(site.hub.socket), "--connectors", "5-6", "--duration", "60", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: site.hub.call("connector.get", connector_id=6)["attached"], "attached")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=8)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in errors
    assert process.returncode in {0, 130, -signal.SIGINT}
    wait_for(lambda: not site.hub.call("connector.get", connector_id=6)["attached"], "detached")


def test_watch_shows_a_session(site: Site) -> None:
    """surface.md `watch TOPIC...`: publications as JSON lines while a session begins and ends."""
    process = subprocess.Popen(
        [OCPPHUB, "watch", "connector.status", "transaction", "--json", "--socket", str(site.hub.socket)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert json.loads(process.stdout.readline()), "the state of the topics comes first"
        driver, n, _ = site.charging("WATCH")
        driver.call("connector.stop_transaction", connector_id=n)
        lines: list[str] = []
        while not lines or '"ended"' not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert all(json.loads(line) for line in lines)
    assert '"WATCH"' in lines[-1]
