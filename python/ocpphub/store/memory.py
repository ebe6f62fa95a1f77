"""A store in memory for tests: it can hold commits back, fail them, and lose what was not synced.

Owns no file and no thread; must never be used by the daemon. Implements the durability contract of reliability.md
section 4 as far as a crash can show it: what :meth:`MemoryStore.crash` keeps is what a disk would have kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from ocpphub.store import ARCHIVE, TABLES, Page, Query, Row, Write

Done = Callable[[BaseException | None], None]


class MemoryStore:
    """A :class:`~ocpphub.store.Store` whose disk is a dict.

    With ``auto_sync`` (the default) a commit is durable at once and ``done`` is called inside ``commit``; without it
    the test decides, commit by commit, with :meth:`sync` and :meth:`fail`. ``commits`` holds every batch, in order.
    """

    def __init__(self, rows: Iterable[Row] = (), *, auto_sync: bool = True) -> None:
        self.auto_sync = auto_sync
        self.commits: list[tuple[Write, ...]] = []
        self._durable: dict[tuple[str, str, str], bytes] = {(row[0], row[1], row[2]): row[3] for row in rows}
        self.condition: str | None = None
        self.is_short = False
        self._told: Callable[[bool], None] | None = None
        self._waiting: deque[tuple[tuple[Write, ...], Done]] = deque()

    @property
    def unsynced(self) -> int:
        """How many commits are under way."""
        return len(self._waiting)

    def load(self, charge_point: str | None = None) -> Iterable[Row]:
        """Every durable row but the archive, in the order that :class:`~ocpphub.store.Store` promises."""
        wanted = [at for at in self._durable if at[1] != ARCHIVE and charge_point in (None, at[0])]
        return [Row(*at, self._durable[at]) for at in sorted(wanted, key=_order)]

    def commit(self, batch: Sequence[Write], done: Done) -> None:
        """Take a batch; it is durable when :meth:`sync` says so. Raises ``ValueError`` for a table nobody declared."""
        unknown = {write.table for write in batch}.difference(TABLES)
        if unknown:
            raise ValueError(f"unknown tables {sorted(unknown)}")
        self.commits.append(tuple(batch))
        self._waiting.append((tuple(batch), done))
        if self.auto_sync:
            self.sync()

    def sync(self) -> None:
        """Make the oldest commit under way durable and report it; ``IndexError`` when there is none."""
        batch, done = self._waiting.popleft()
        for charge_point, table, key, value in batch:
            if value is None:
                self._durable.pop((charge_point, table, key), None)
            else:
                self._durable[charge_point, table, key] = value
        done(None)

    def fail(self, error: BaseException) -> None:
        """Let the oldest commit under way fail with ``error``: nothing of it is kept."""
        _, done = self._waiting.popleft()
        done(error)

    def crash(self) -> MemoryStore:
        """The store as the next process finds it: commits that were not synced are gone, and no ``done`` is called."""
        self._waiting.clear()
        rows = [Row(*at, value) for at, value in self._durable.items()]
        return MemoryStore(rows, auto_sync=self.auto_sync)

    def archive(self, query: Query, done: Callable[[Page | None, BaseException | None], None]) -> None:
        """Answer at once, inside the call, from what is durable."""
        found: list[tuple[int, bytes]] = []
        for (charge_point, table, key), value in sorted(self._durable.items()):
            is_listed = table == ARCHIVE and charge_point == query.charge_point and int(key) > query.after
            if is_listed and _matches(query, orjson.loads(value)):
                found.append((int(key), value))
        done(Page(found[: query.limit], len(found) > query.limit), None)

    def watch(self, told: Callable[[bool], None]) -> None:
        """``told`` is kept for :meth:`be_short`, and hears of the present state at once."""
        self._told = told
        told(self.is_short)

    def be_short(self, is_short: bool) -> None:
        """Room on the disk becomes short, or there is room again."""
        self.is_short = is_short
        if self._told is not None:
            self._told(is_short)

    def close(self) -> None:
        """Finish the commits under way."""
        while self._waiting:
            self.sync()


def _matches(query: Query, session: dict[str, Any]) -> bool:
    start_ms = datetime.fromisoformat(session["start"]).timestamp() * 1000
    return (
        (query.since_ms is None or start_ms >= query.since_ms)
        and (query.until_ms is None or start_ms < query.until_ms)
        and (query.connectors is None or any(a <= session["connector_id"] <= b for a, b in query.connectors))
        and not (query.undelivered and session["delivered"])
    )


def _order(at: tuple[str, str, str]) -> tuple[int, str, str]:
    return TABLES.index(at[1]), at[0], at[2]
