"""Rows as SQLite has them: one statement per table, and a sum that knows the place of its row."""

from __future__ import annotations

import sqlite3

import pytest

from ocpphub.store import Write
from ocpphub.store.rows import Stored, is_sound, select, statements, unescape


def stored(batch: list[Write], table: str = "outbox") -> list[Stored]:
    """What a table holds after a batch."""
    connection = sqlite3.connect(":memory:")
    connection.text_factory = bytes
    for name in {write.table for write in batch}:
        connection.execute(f'CREATE TABLE "{name}" (charge_point, key, value, crc, PRIMARY KEY (charge_point, key))')
    for statement, rows in statements(batch):
        connection.execute(statement, (rows,))
    found = connection.execute(select(table, "true")).fetchall()
    connection.close()
    return found


def test_statements_are_at_most_two_per_table() -> None:
    """Decisions 3: the writer takes the GIL per statement and not per row."""
    batch = [Write("CP1", table, str(at), b"1") for at in range(50) for table in ("outbox", "boot")]
    batch += [Write("CP1", "outbox", str(at), None) for at in range(50, 60)]
    assert sorted(statement.split()[0] for statement, _ in statements(batch)) == ["DELETE", "INSERT", "INSERT"]


def test_statements_of_a_table_nobody_declared_raise() -> None:
    with pytest.raises(KeyError):
        statements([Write("CP1", "nowhere", "k", b"1")])


@pytest.mark.parametrize("key", ["plain", "", "%", "%00", "a\0b", "%25", "é"])
def test_row_comes_back_under_its_key(key: str) -> None:
    (row,) = stored([Write("CP1", "outbox", key, b'"x"')])
    assert is_sound("outbox", row)
    assert unescape(row[1]) == key


def test_row_changed_in_any_column_is_not_sound() -> None:
    """Reliability 4.3.10: the place is part of the sum."""
    (row,) = stored([Write("CP1", "outbox", "key", b'"x"')])
    charge_point, key, value, crc = row
    assert is_sound("outbox", row)
    changed = [
        (b"CP2", key, value, crc),
        (charge_point, b"kez", value, crc),
        (charge_point, key, b'"y"', crc),
        (charge_point, key, value, crc ^ 1),
        (charge_point, key, value, None),
        (charge_point, 7, value, crc),
        (None, key, value, crc),
        (charge_point, key, None, crc),
    ]
    assert [is_sound("outbox", other) for other in changed] == [False] * len(changed)
    assert not is_sound("boot", row)
