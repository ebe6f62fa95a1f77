"""Reading the archive of sessions: in pages, on a thread and a connection of its own.

Owns the query behind ``transaction.list``. Must never write, never hold up a commit, and never hand out a damaged row.

Implements: rpc.md ``transaction.list``; reliability.md 4.4 (the record is kept for export).
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from ocpphub.store import ARCHIVE, Page, Query
from ocpphub.store.rows import is_sound, select

logger = logging.getLogger("ocpphub.store")

# A damaged value may be no JSON, on which the functions of SQLite raise: it is let through, its check sum tells.
_WHERE: Final = """charge_point = ?1 AND key > ?2 AND (NOT json_valid(value) OR (
    (?3 IS NULL OR value->>'start' >= ?3) AND (?4 IS NULL OR value->>'start' < ?4)
    AND (?5 IS NULL OR EXISTS (
        SELECT 1 FROM json_each(?5) AS range
        WHERE outer_value->>'connector_id' BETWEEN range.value->>0 AND range.value->>1))
    AND (NOT ?6 OR NOT value->>'delivered')))"""


def connect(path: Path) -> sqlite3.Connection:
    """A connection of the calling thread that cannot write; texts are bytes. Raises ``sqlite3.Error``."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.text_factory = bytes  # damaged text may be no UTF-8
    return connection


def read(path: Path, query: Query) -> Page:
    """One page of the archive. Raises ``sqlite3.Error``."""
    ranges = None if query.connectors is None else orjson.dumps(query.connectors).decode()
    limits = (_text(query.since_ms), _text(query.until_ms), ranges, query.undelivered)
    arguments = (query.charge_point, session_key(query.after), *limits)
    sessions: list[tuple[int, bytes]] = []
    with closing(connect(path)) as connection:
        for row in connection.execute(_SELECT, arguments):
            if not is_sound(ARCHIVE, row):
                logger.error("a damaged session of %r in the archive is left out", query.charge_point)
            elif len(sessions) == query.limit:
                return Page(sessions, has_more=True)
            else:
                sessions.append((int(row[1]), row[2]))
    return Page(sessions, has_more=False)


def session_key(number: int) -> str:
    """The key of a session's row: keys sort as the numbers do."""
    return f"{number:012d}"


def _text(utc_ms: int | None) -> str | None:
    """Milliseconds since 1970 as the rows have them, whose texts sort as their times do."""
    if utc_ms is None:
        return None
    return datetime.fromtimestamp(utc_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_SELECT: Final = select(ARCHIVE, _WHERE.replace("outer_value", f"{ARCHIVE}.value"))
