"""Restored rows as the core reads them: one charge point's, by table and key.

Owns nothing but the shape; what a row means is known to the part whose table it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from orjson import JSONDecodeError, loads

log = logging.getLogger("ocpphub.core")


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

    def objects(self, table: str, **members: type) -> Iterator[tuple[str, dict[str, Any]]]:
        """Key and parsed value of each row of a table, by key.

        A row that is no object with these members of these types is left out with an ERROR: one damaged row must not
        keep a charge point from starting (reliability.md 4.1), and it stays in the store for whoever looks into it.
        """
        for key in sorted(self.of(table)):
            value = self.object(table, key, **members)
            if value is not None:
                yield key, value

    def object(self, table: str, key: str, **members: type) -> dict[str, Any] | None:
        """The parsed value of one row as in :meth:`objects`; ``None`` also when there is no such row."""
        text = self.of(table).get(key)
        if text is None:
            return None
        try:
            value = loads(text)
        except JSONDecodeError:
            value = None
        if isinstance(value, dict) and all(isinstance(value.get(name), kind) for name, kind in members.items()):
            return value
        log.error("a damaged row of %s is left aside: %s", table, key)
        return None
