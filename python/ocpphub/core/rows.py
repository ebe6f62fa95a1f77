"""Restored rows as the core reads them: one charge point's, by table and key.

Owns nothing but the shape; what a row means is known to the part whose table it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class StoredRow(Protocol):
    """What the core needs of a restored row; ``store.Row`` has it."""

    @property
    def charge_point(self) -> str: ...
    @property
    def table(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes: ...


class Rows:
    """The rows of one charge point."""

    __slots__ = ("_tables",)

    def __init__(self, rows: Iterable[StoredRow], charge_point: str) -> None:
        self._tables: dict[str, dict[str, bytes]] = {}
        for row in rows:
            if row.charge_point == charge_point:
                self._tables.setdefault(row.table, {})[row.key] = row.value

    def of(self, table: str) -> dict[str, bytes]:
        """The values of a table by their keys; empty when there are none."""
        return self._tables.get(table, {})
