"""What is done to the store beside its commits: watching the disk, the rest of the check, copies, shrinking, pruning.

Owns one thread with a connection that only reads; what has to be written goes to the writer in small jobs. Must never
hold up a commit for longer than one such job, and never replace a good copy by one of a damaged file.

    every 2 s: room on the disk     every minute: pages to give back     every hour: a copy, the archive's bound

Implements: reliability.md 3.5, 4.3.8, 4.3.10, 4.4; 5.3 "Store" (files return below 1.5 x live data).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ocpphub.store import ARCHIVE, TABLES
from ocpphub.store.archive import connect
from ocpphub.store.directory import COPY_NAME
from ocpphub.store.failures import Failures
from ocpphub.store.recovery import is_damage, quick_check
from ocpphub.store.rows import is_sound, select
from ocpphub.store.schema import copy
from ocpphub.store.space import Space

logger = logging.getLogger("ocpphub.store")

WATCH_S: Final = 2.0
SHRINK_S: Final = 60.0
COPY_S: Final = 3600.0
KEPT_SESSIONS: Final = 100_000
"""Sessions that the archive keeps of each charge point (reliability.md 4.4)."""
_PRUNED_AT_ONCE: Final = 500
_FREE_SHARE: Final = 0.15
"""Share of free pages in the file from which they are given back."""
_FEWEST_PAGES: Final = 256
_PAGES_AT_ONCE: Final = 32
"""Pages given back in one job: 6 ms and a sync."""
_ROWS: Final = 500
"""Rows whose sum is checked between two breaths."""
_OPERATIONS: Final = 20_000
"""Virtual machine steps of SQLite between two breaths of a long read."""
_BREATH_S: Final = 0.002

Job = Callable[[sqlite3.Connection], None]


@dataclass
class Upkeep:
    """The upkeep of the database at ``path``; :meth:`start` begins it, :meth:`stop` ends it within a breath.

    ``write(job)`` runs a job on the writer, between commits, and waits for it; False when the writer has ended.
    ``is_checked`` says that the whole file was found sound at the start.
    """

    path: Path
    space: Space
    failures: Failures
    write: Callable[[Job], bool]
    is_checked: bool
    on_change: Callable[[bool], None] = field(default=lambda must_refuse: None)
    damage: str | None = None
    """What the checks in the background have found, if anything."""
    is_damaged: bool = False
    """Whether the structure of the file is damaged: a copy might lack rows."""
    _copied_version: int | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _told: bool = False
    _looked_s: float = float("-inf")

    def __post_init__(self) -> None:
        # A daemon thread: a process that gives up (exit 75) must not wait for a long copy.
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin; call it once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until nothing of it runs any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def must_refuse(self) -> bool:
        """Whether new sessions must be refused, as found last."""
        return self._told

    def look(self) -> None:
        """Look at the disk now, and tell a change."""
        self._looked_s = time.monotonic()
        must_refuse = self.space.look() or self.failures.is_degraded(time.time())
        if must_refuse is not self._told:
            self._told = must_refuse
            self.on_change(must_refuse)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with closing(connect(self.path)) as connection:
                    connection.set_progress_handler(self._breathe, _OPERATIONS)
                    self._work(connection)
            except sqlite3.Error as error:
                if not self._ended.is_set():
                    logger.error("the upkeep of the store begins again in a minute: %s", error)
                    self._watch(SHRINK_S)

    def _work(self, connection: sqlite3.Connection) -> None:
        if self._ended.wait(WATCH_S):  # the start of the process comes first
            return
        if not self.is_checked:
            self.check(connection)
        self.check_rows(connection)
        shrunk_s, copied_s = time.monotonic(), time.monotonic() - COPY_S + self._age_left_s()
        while not self._ended.wait(WATCH_S):
            self.look()
            now_s = time.monotonic()
            if now_s - shrunk_s >= SHRINK_S:
                shrunk_s = now_s
                self.shrink(connection)
            if now_s - copied_s >= COPY_S:
                copied_s = now_s
                self.prune(connection)
                self.copy(connection)

    def _watch(self, duration_s: float) -> None:
        """Watch the disk alone for a while."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s and not self._ended.wait(WATCH_S):
            self.look()

    def check(self, connection: sqlite3.Connection) -> None:
        """Check the whole file, which the start had no time for."""
        began_s = time.monotonic()
        try:
            verdict = quick_check(connection)
        except sqlite3.DatabaseError as error:
            if self._ended.is_set():
                return
            verdict = str(error)
        if verdict != "ok":
            self._condemn(verdict)
        else:
            logger.info("the store was checked in %.1f s: sound", time.monotonic() - began_s)

    def check_rows(self, connection: sqlite3.Connection) -> None:
        """Check the sum of every row, those too that nobody loads. Damaged ones stay where they are and are told."""
        bad = 0
        for table in TABLES:
            for number, row in enumerate(connection.execute(select(table, "true"))):
                if not is_sound(table, row):
                    bad += 1
                    logger.error("damaged row of %r in table %s", row[0], table)
                if number % _ROWS == 0 and self._breathe():
                    return
        if bad and self.damage is None:
            self.damage = f"{bad} damaged rows"

    def copy(self, connection: sqlite3.Connection) -> bool:
        """Renew the copy beside the database, if there is room and nothing is known to be wrong; whether it did."""
        if self.is_damaged:
            return False
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._copied_version:
            return False  # nothing was committed since
        (pages,), (size,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        if not self.space.fits(pages * size):
            logger.warning("no room for a copy of %d bytes: the last one stays", pages * size)
            return False
        try:
            copy(connection, self.path.with_name(COPY_NAME))
        except (OSError, sqlite3.Error) as error:
            self.path.with_name(f"{COPY_NAME}.new").unlink(missing_ok=True)
            if self._ended.is_set():
                return False
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._condemn(str(error))
            logger.error("the hourly copy failed: %s", error)
            return False
        self._copied_version = version
        logger.info("the store was copied: %d pages", pages)
        return True

    def shrink(self, connection: sqlite3.Connection) -> None:
        """Give pages that nothing uses back to the disk, in steps."""
        free, pages = _pages(connection)
        if free < max(_FEWEST_PAGES, pages * _FREE_SHARE):
            return
        while free > 0 and not self._ended.is_set() and self.write(_shrink):
            self._breathe()
            before, (free, _) = free, _pages(connection)
            if free >= before:
                return  # others free as many as we give back: later

    def prune(self, connection: sqlite3.Connection, kept: int = KEPT_SESSIONS) -> None:
        """Bound the archive: the oldest sessions beyond ``kept`` of a charge point go."""
        query = f"SELECT charge_point, count(*) FROM {ARCHIVE} GROUP BY charge_point HAVING count(*) > ?"  # noqa: S608
        for charge_point, count in connection.execute(query, (kept,)).fetchall():
            over = count - kept
            while over > 0 and not self._ended.is_set() and self.write(_pruning(charge_point, over)):
                over -= _PRUNED_AT_ONCE
                self._breathe()
            logger.info("the archive of %r was cut to %d sessions", charge_point, kept)

    def _condemn(self, verdict: str) -> None:
        self.is_damaged = True
        self.damage = f"the database is damaged, no more copies are made: {verdict}"
        logger.error("%s: %s", self.path, self.damage)

    def _breathe(self) -> bool:
        """Leave the disk to the commits for a moment; True ends a long read because all ends."""
        if time.monotonic() - self._looked_s >= WATCH_S:
            self.look()
        return self._ended.wait(_BREATH_S)

    def _age_left_s(self) -> float:
        """Seconds until the present copy is an hour old; 0 when there is none."""
        try:
            age_s = time.time() - self.path.with_name(COPY_NAME).stat().st_mtime
        except FileNotFoundError:
            return 0.0
        return min(max(COPY_S - age_s, 0.0), COPY_S)


def _pages(connection: sqlite3.Connection) -> tuple[int, int]:
    (free,), (pages,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count"))
    return int(free), int(pages)


def _shrink(connection: sqlite3.Connection) -> None:
    for _ in range(_PAGES_AT_ONCE):
        connection.execute("PRAGMA incremental_vacuum(1)")  # it has no columns, so that only its first step is run


def _pruning(charge_point: bytes, over: int) -> Job:
    """A job that deletes some of the ``over`` oldest sessions."""
    first = f"SELECT key FROM {ARCHIVE} WHERE charge_point = CAST(?1 AS TEXT) ORDER BY key LIMIT ?2"  # noqa: S608

    def job(connection: sqlite3.Connection) -> None:
        statement = f"DELETE FROM {ARCHIVE} WHERE charge_point = CAST(?1 AS TEXT) AND key IN ({first})"  # noqa: S608
        connection.execute(statement, (charge_point, min(over, _PRUNED_AT_ONCE)))

    return job
