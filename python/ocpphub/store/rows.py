"""How rows are written to and read from SQLite: one statement per table and commit, a check sum per row.

Owns the SQL of rows, the escape of keys and the check sum. Must never hand out a row whose sum is wrong.

Implements: decisions.md 3 (one statement per table with ``json_each``); reliability.md 4.3.10 (CRC32 per row).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from zlib import crc32

import orjson

from ocpphub.store import TABLES, Write

# `WHERE true` keeps the parser from reading ON as a join (SQLite, "Parsing Ambiguity" of upsert).
_UPSERT: Final = (
    'INSERT INTO "{0}" SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true '
    "ON CONFLICT (charge_point, key) DO UPDATE SET value = excluded.value, crc = excluded.crc"
)
_DELETE: Final = 'DELETE FROM "{0}" WHERE (charge_point, key) IN (SELECT value->>0, value->>1 FROM json_each(?))'

Stored = tuple[Any, Any, Any, Any]
"""A row as SQLite has it, texts as bytes: charge point, escaped key, value, check sum. Damage makes them anything."""


def statements(batch: Sequence[Write]) -> list[tuple[str, str]]:
    """At most one upsert and one delete per table, each with its rows as JSON text.

    Of several writes to one row the last wins. Raises ``KeyError`` for a table that is not in ``TABLES``.
    """
    last: dict[str, dict[tuple[str, str], bytes | None]] = {}
    for charge_point, table, key, value in batch:
        last.setdefault(table, {})[charge_point, key] = value
    found: list[tuple[str, str]] = []
    for table, changes in last.items():
        if table not in TABLES:
            raise KeyError(table)
        upserts: list[tuple[str, str, str, int]] = []
        deletes: list[tuple[str, str]] = []
        for (charge_point, plain), value in changes.items():
            key = _escape(plain)
            if value is None:
                deletes.append((charge_point, key))
            else:
                crc = crc32(value, crc32(b"%b\0" % key.encode(), _place(charge_point.encode(), table)))
                upserts.append((charge_point, key, value.decode(), crc))
        if upserts:
            found.append((_UPSERT.format(table), orjson.dumps(upserts).decode()))
        if deletes:
            found.append((_DELETE.format(table), orjson.dumps(deletes).decode()))
    return found


def select(table: str, where: str) -> str:
    """The query for the :data:`Stored` rows of a table; ``where`` is SQL and must hold no text from outside."""
    return f'SELECT charge_point, key, CAST(value AS BLOB), crc FROM "{table}" WHERE {where} ORDER BY charge_point, key'  # noqa: S608


def is_sound(table: str, row: Stored) -> bool:
    """Whether a row is what was written there."""
    charge_point, key, value, crc = row
    try:
        return bool(crc == crc32(value, crc32(key + b"\0", _place(charge_point, table))))
    except TypeError:  # a flipped bit has made another type of it
        return False


def unescape(key: bytes) -> str:
    """The key of a sound row as it was given."""
    text = key.decode()
    return text.replace("%00", "\0").replace("%25", "%") if "%" in text else text


def _escape(key: str) -> str:
    # SQLite's JSON functions end a text at NUL, which would let two keys share one row.
    return key.replace("%", "%25").replace("\0", "%00") if "\0" in key or "%" in key else key


@lru_cache(maxsize=4096)
def _place(charge_point: bytes, table: str) -> int:
    """Where the sum of a row begins: one that turns up under another key or table is damaged too."""
    return crc32(b"%b\0%b\0" % (charge_point, table.encode()))
