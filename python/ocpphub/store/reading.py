"""Reading all rows back: the sound ones in order, the damaged ones and what hangs on them into quarantine.

Owns which rows fall with a damaged one: the samples of a transaction fall with its row. Must never lose a sound row
because of a damaged one beside it.

Implements: reliability.md 4.3.10.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from ocpphub.store import ARCHIVE, TABLES, Row
from ocpphub.store.rows import Stored, is_sound, select, unescape

logger = logging.getLogger("ocpphub.store")

TRANSACTIONS: Final = "transaction"
SAMPLES: Final = ("sample", "stop_sample")
"""Tables whose keys have the session's number before their last hyphen; 0 stands for no session."""
_LOADED: Final = tuple(table for table in TABLES if table != ARCHIVE)

Bad = list[tuple[str, Stored]]
"""Table and row of what goes into quarantine."""


def read_rows(connection: sqlite3.Connection, only: str | None, bad: Bad) -> Iterator[Row]:
    """The sound rows of all charge points or of one, in the order of the store's promise; the others join ``bad``.

    Raises ``sqlite3.Error``.
    """
    # With the plus no index is used: a search would end early at a damaged key, and lose sound rows behind it.
    where, arguments = ("true", ()) if only is None else ("+charge_point = ?", (only,))
    sessions: set[tuple[bytes, int]] = set()
    for table in _LOADED:
        may_be_orphans = table in SAMPLES and any(name == TRANSACTIONS for name, _ in bad)
        last, identity = b"", ""
        for row in connection.execute(select(table, where), arguments):
            if not is_sound(table, row) or (may_be_orphans and _is_orphan(row, sessions)):
                bad.append((table, row))
                continue
            if table == TRANSACTIONS:
                sessions.add((row[0], _number(row[1])))
            if row[0] != last:
                last, identity = row[0], row[0].decode()
            yield Row(identity, table, unescape(row[1]), row[2])


def quarantine(connection: sqlite3.Connection, bad: Bad) -> None:
    """Move rows into the table ``quarantine``, within a transaction. Raises ``sqlite3.Error``."""
    now_s = int(time.time())
    where = "CAST(charge_point AS BLOB) = ? AND CAST(key AS BLOB) = ?"
    counts: Counter[tuple[str, str]] = Counter()
    for table, (charge_point, key, value, crc) in bad:
        at = (_bytes(charge_point), _bytes(key))
        connection.execute(f'DELETE FROM "{table}" WHERE {where}', at)  # noqa: S608  # a name out of TABLES
        row = (at[0], table, at[1], value, crc, now_s)
        connection.execute("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", row)
        counts[at[0].decode(errors="replace"), table] += 1
    for (name, table), count in counts.items():
        logger.error("%d damaged rows of %s in table %s put into quarantine", count, name, table)


def _is_orphan(sample: Stored, sessions: set[tuple[bytes, int]]) -> bool:
    charge_point, key, *_ = sample
    session = _number(key.split(b"-")[-2]) if b"-" in key else 0
    return session != 0 and (charge_point, session) not in sessions


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0


def _bytes(value: Any) -> bytes:
    """A column as bytes, of whatever type a flipped bit has made it."""
    return value if isinstance(value, bytes) else str(value).encode()
