"""`ocpphub sessions export`: columns, pages, files, and what the hub says when it refuses."""

from __future__ import annotations

import csv
import io
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

from ocpphub import sessions_cli

RUNNING: dict[str, Any] = {
    "session_id": 2,
    "connector_id": 7,
    "transaction_id": None,
    "id_tag": '=TAG,"2"',
    "start": "2026-01-01T00:00:00.000Z",
    "meter_start_wh": 100,
    "delivered": False,
}
ENDED = {
    **RUNNING,
    "session_id": 1,
    "transaction_id": -5,
    "id_tag": "TÄG",
    "stop": "2026-01-01T01:00:00.000Z",
    "meter_stop_wh": 5100,
    "reason": "Local",
    "delivered": True,
}


class Hub:
    """Answers with its pages, one after the other."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.calls: list[dict[str, Any]] = []

    def call(self, method: str, /, **params: Any) -> Any:
        assert method == "transaction.list"
        self.calls.append(params)
        at = int(params.get("cursor", "0"))
        more = {"cursor": str(at + 1)} if at + 1 < len(self.pages) else {}
        return {"transactions": self.pages[at], **more}


def options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    sessions_cli.add_parser(parser.add_subparsers(), [], str)
    return parser.parse_args(["sessions", "export", *arguments])


def test_export_as_csv_has_a_column_for_each_member(capsys: pytest.CaptureFixture[str]) -> None:
    """Reliability 4.4: kept for export."""
    assert sessions_cli.export(options("--format", "csv"), Hub([ENDED], [RUNNING])) == 2
    first, second = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert tuple(first) == sessions_cli.COLUMNS
    assert first == {name: str(ENDED.get(name, "")) for name in sessions_cli.COLUMNS} | {"delivered": "true"}
    assert (second["transaction_id"], second["stop"], second["delivered"]) == ("", "", "false")


def test_export_as_csv_makes_no_formula_of_an_id_tag(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever opens it in a spreadsheet must not run what is on a card."""
    sessions_cli.export(options("--format", "csv"), Hub([RUNNING]))
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["id_tag"] == '\'=TAG,"2"'


def test_export_as_jsonl_has_each_session_as_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Reliability 4.4."""
    sessions_cli.export(options("--format", "jsonl"), Hub([ENDED], [RUNNING]))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [ENDED, RUNNING]


def test_export_writes_a_page_before_it_asks_for_the_next() -> None:
    """It may be a hundred thousand sessions."""
    hub = Hub([ENDED], [RUNNING], [])
    pages = sessions_cli.pages(options("--format", "csv"), hub)
    assert [(page, len(hub.calls)) for page in pages] == [([ENDED], 1), ([RUNNING], 2), ([], 3)]


def test_export_hands_its_filters_to_the_hub() -> None:
    hub = Hub([])
    arguments = ["--since", "a", "--until", "b", "--connectors", "1-4", "--undelivered", "--charge-point", "CP2"]
    sessions_cli.export(options("--format", "csv", *arguments), hub)
    assert hub.calls == [{"since": "a", "until": "b", "connectors": "1-4", "charge_point": "CP2", "undelivered": True}]


def test_export_without_filters_names_none() -> None:
    hub = Hub([])
    sessions_cli.export(options("--format", "jsonl"), hub)
    assert hub.calls == [{}]


def test_export_to_a_file_leaves_standard_output_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sessions.csv"
    sessions_cli.export(options("--format", "csv", "-o", str(path)), Hub([ENDED]))
    assert capsys.readouterr().out == ""
    assert path.read_bytes().count(b"\n") == 2
    assert b"\r" not in path.read_bytes()


def test_export_to_a_place_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sessions_cli.export(options("--format", "csv", "-o", str(tmp_path / "no" / "file")), Hub([ENDED]))


@pytest.mark.parametrize("arguments", [[], ["--format", "xml"], ["--format", "csv", "--what"]])
def test_export_with_wrong_arguments_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        options(*arguments)
    assert caught.value.code == 2
