"""``ocpphub sessions export``: the sessions of a hub as CSV or as one JSON text per line.

Owns the columns, and the way through the pages; a page is written before the next one is asked for. Must never hold
more than one page, and never know how the hub keeps sessions.

Implements: surface.md "Command line"; reliability.md 4.4 (kept for export).
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

COLUMNS: Final = (
    *("session_id", "connector_id", "transaction_id", "id_tag", "start", "meter_start_wh"),
    *("stop", "meter_stop_wh", "reason", "delivered", "undelivered"),
)
"""Of CSV; a JSON text has the members of rpc.md as they came."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_FILTERS: Final = ("since", "until", "connectors", "charge_point")


class Caller(Protocol):
    """What is needed of a client."""

    def call(self, method: str, /, **params: Any) -> Any: ...


def add_parser(commands: Any, shared: list[ArgumentParser], moment: Callable[[str], str]) -> ArgumentParser:
    """Add ``sessions export``; ``moment`` checks a time. The parser returned still lacks its command."""
    sessions = commands.add_parser("sessions", help="charging sessions: export")
    actions = sessions.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = actions.add_parser("export", parents=shared, help="write them as CSV or as one JSON text per line")
    export.add_argument("--format", choices=("csv", "jsonl"), required=True, help="csv, or one JSON text per line")
    export.add_argument("--since", type=moment, metavar="TIME", help="begun then or later: 2030-01-31T06:00:00Z")
    export.add_argument("--until", type=moment, metavar="TIME", help="begun before")
    export.add_argument("--connectors", metavar="RANGE", help='only of these, such as "1-40"')
    export.add_argument("--undelivered", action="store_true", help="only those that the CSMS lacks something of")
    export.add_argument("--charge-point", metavar="IDENTITY", help="where the hub has several")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="a file (standard output)")
    export.set_defaults(json=False)
    return cast(ArgumentParser, export)


def export(options: Namespace, client: Caller) -> int:
    """Write the sessions that the options name to ``options.output``, or to standard output; how many.

    Raises ``OSError`` for an output that cannot be written, and what the hub answers.
    """
    path: Path | None = options.output
    if path is None:
        return _write(options, client, sys.stdout)
    with path.open("w", encoding="utf-8", newline="") as file:
        return _write(options, client, file)


def pages(options: Namespace, client: Caller) -> Iterator[list[dict[str, Any]]]:
    """The sessions, page by page."""
    params = {name: value for name in _FILTERS if (value := getattr(options, name)) is not None}
    if options.undelivered:
        params["undelivered"] = True
    while True:
        answer = client.call("transaction.list", **params)
        yield answer["transactions"]
        if (cursor := answer.get("cursor")) is None:
            return
        params["cursor"] = cursor


def _write(options: Namespace, client: Caller, file: IO[str]) -> int:
    write = _csv(file) if options.format == "csv" else _jsonl(file)
    count = 0
    for page in pages(options, client):
        write(page)
        count += len(page)
    return count


def _csv(file: IO[str]) -> Callable[[list[dict[str, Any]]], None]:
    import csv  # other commands need not wait for it

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(page: list[dict[str, Any]]) -> None:
        writer.writerows([_cell(session.get(name)) for name in COLUMNS] for session in page)

    return write


def _jsonl(file: IO[str]) -> Callable[[list[dict[str, Any]]], None]:
    def write(page: list[dict[str, Any]]) -> None:
        file.writelines(json.dumps(session, ensure_ascii=False, separators=(",", ":")) + "\n" for session in page)

    return write


def _cell(value: Any) -> Any:
    """A value as a cell: truth in lower case, and no text that a spreadsheet would take for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"  # an id tag comes from whoever holds a card to the reader
    return value
