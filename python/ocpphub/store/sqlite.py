"""Durable rows in one SQLite file with one writer thread (decisions.md 3; reliability.md 4.3).

Owns the writer thread, group commits and the reading of rows. Must never block the loop, never change the file from
another thread than the writer, never retry a commit that was not wholly undone, and never begin afresh in silence.

Beside it: ``directory`` (files), ``recovery`` (opening), ``schema``, ``rows``, ``archive``, ``upkeep``, ``space``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from ocpphub.errors import UnavailableError
from ocpphub.store import Page, Query, Row, Write
from ocpphub.store import archive as sessions
from ocpphub.store.archive import connect
from ocpphub.store.directory import FILE_NAME, claim
from ocpphub.store.failures import Failures
from ocpphub.store.reading import quarantine, read_rows
from ocpphub.store.recovery import condition, is_damage, open_database, suspect
from ocpphub.store.rows import Stored, statements
from ocpphub.store.schema import MIGRATIONS
from ocpphub.store.space import Space
from ocpphub.store.upkeep import Upkeep

logger = logging.getLogger("ocpphub.store")

Done = Callable[[BaseException | None], None]
Job = Callable[[sqlite3.Connection], None]
_LOG_PAGES: Final = 1000
"""Pages of the log from which it is carried over into the database (SQLite's default)."""
_FEWEST_LOG_PAGES: Final = 50
_PAGE_BYTES: Final = 4096


class SqliteStore:
    """A :class:`~ocpphub.store.Store` in ``directory``, which is made with mode 0700 when it is not there.

    ``quarantined`` counts the damaged rows that :meth:`load` put aside. Raises :class:`LocalError` when the directory
    or its files are open to others, in use by another process or of a newer version of ocpphub, and
    :class:`UnavailableError` when the file cannot be opened, or is damaged and has no copy.
    """

    def __init__(
        self, directory: Path, *, migrations: Sequence[Sequence[str]] = MIGRATIONS, space: Space | None = None
    ) -> None:
        self.quarantined = 0
        self._directory = directory
        self._path = directory / FILE_NAME
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._lock = claim(directory)
        opened: Future[bool] = Future()
        # A daemon thread: a process that gives up (exit 75) must not wait for it; the log of SQLite covers the rest.
        self._writer = threading.Thread(target=self._write, args=(migrations, opened), name="writer", daemon=True)
        try:
            self._space = space or Space(directory)
            self._failures = Failures(directory)
            self._space.look()  # a full disk must not keep the file from being opened
            self._writer.start()
            is_checked = opened.result()
        except BaseException as error:
            if self._writer.is_alive():
                self._writer.join()
            os.close(self._lock)
            if isinstance(error, OSError):
                raise UnavailableError("internal", f"state directory {directory}: {error.strerror}") from error
            raise
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._upkeep = Upkeep(self._path, self._space, self._failures, self._in_turn, is_checked)
        self._restored = condition(directory)
        self._upkeep.look()  # the first answer of `watch` is known before anybody can ask
        self._upkeep.start()

    @property
    def condition(self) -> str | None:
        """That the store was restored from a copy, is damaged, or has rows in quarantine; ``None``: nothing."""
        rows = f"{self.quarantined} damaged rows are in quarantine" if self.quarantined else None
        return "; ".join(filter(None, (self._restored, self._upkeep.damage, rows))) or None

    def load(self, charge_point: str | None = None) -> Iterator[Row]:
        """The sound rows in the promised order; damaged ones go to the table ``quarantine`` and are reported.

        Raises :class:`UnavailableError` when the file is damaged; the next start of the process restores its copy.
        """
        bad: list[tuple[str, Stored]] = []
        try:
            with closing(connect(self._path)) as connection:
                yield from read_rows(connection, charge_point, bad)
            if bad:
                self.quarantined += len(bad)
                self._in_turn(lambda connection: quarantine(connection, bad))
        except sqlite3.Error as error:
            if is_damage(error):
                with suppress(OSError):  # the disk refuses: then the next start finds out again
                    suspect(self._path, str(error))
            raise UnavailableError("internal", f"the store cannot be read: {error}") from error

    def commit(self, batch: Sequence[Write], done: Done) -> None:
        """Hand a batch to the writer. Call it on a running loop: ``done`` comes back there, after the sync.

        Of several writes to one row the last wins. Raises ``KeyError`` for a table that is not in ``TABLES``.
        """
        # On the loop, because it is one pass of C calls per row; the writer then takes the GIL per statement only.
        texts = statements(batch)
        loop = asyncio.get_running_loop()

        def job(connection: sqlite3.Connection) -> None:
            def change(connection: sqlite3.Connection) -> None:
                for statement, rows in texts:
                    connection.execute(statement, (rows,))

            _tell(loop, done, self._commit(connection, change))

        self._jobs.put(job)

    def archive(self, query: Query, done: Callable[[Page | None, BaseException | None], None]) -> None:
        """Read a page of the archive on a thread of its own. Call it on a running loop: ``done`` comes back there."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                page = sessions.read(self._path, query)
            except Exception as error:  # noqa: BLE001  # handed to whoever asked
                _tell(loop, done, None, UnavailableError("internal", f"the archive cannot be read: {error}"))
            else:
                _tell(loop, done, page, None)

        self._reader.submit(work)

    def watch(self, told: Callable[[bool], None]) -> None:
        """Call ``told`` on the running loop whether new sessions must be refused: now, and when that changes."""
        loop = asyncio.get_running_loop()
        self._upkeep.on_change = lambda must_refuse: _tell(loop, told, must_refuse)
        loop.call_soon(told, self._upkeep.must_refuse)

    def close(self) -> None:
        """Wait for the commits under way, then release file and directory; a second call does nothing."""
        if self._writer.is_alive():
            self._upkeep.stop()
            self._reader.shutdown(cancel_futures=True)
            self._jobs.put(None)
            self._writer.join()
            os.close(self._lock)

    def _write(self, migrations: Sequence[Sequence[str]], opened: Future[bool]) -> None:
        """The writer thread: opens the file, then runs jobs until ``None``."""
        try:
            connection, is_checked = open_database(self._path, migrations)
        except BaseException as error:  # noqa: BLE001  # handed to the thread that waits for it, whatever it is
            opened.set_exception(error)
            return
        # On a small disk the log must not be what uses the reserve up.
        pages = max(_FEWEST_LOG_PAGES, min(_LOG_PAGES, self._space.reserve_bytes // _PAGE_BYTES // 4))
        connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        opened.set_result(is_checked)
        while (job := self._jobs.get()) is not None:
            job(connection)
        connection.close()

    def _in_turn(self, change: Job) -> bool:
        """Make a change on the writer, after the commits before it, and wait; whether it is durable."""
        if not self._writer.is_alive():
            return False
        made: Future[bool] = Future()
        self._jobs.put(lambda connection: made.set_result(self._commit(connection, change) is None))
        return made.result()

    def _commit(self, connection: sqlite3.Connection, change: Job) -> BaseException | None:
        """One transaction; the error that ended this one or an earlier one."""
        # A descriptor whose sync failed once reports success later although pages are lost, so there is no retry.
        if self._failure is None:
            try:
                try:
                    _transact(connection, change)
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                        raise
                    # No room for the log: nothing was synced, and all is undone. The reserve is for this moment, and
                    # the log is as long as the commits since it was last carried over.
                    self._space.give_up()
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                    _transact(connection, change)
            except Exception as error:  # noqa: BLE001  # any failure is told to the driver, which ends the process
                logger.error("commit failed: %s", error)
                self._failure = error
                self._failures.note(time.time())
        return self._failure


def _transact(connection: sqlite3.Connection, change: Job) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        change(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def _tell(loop: asyncio.AbstractEventLoop, done: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(done, *args)
    except RuntimeError:  # the loop is closed: nobody is left to be told
        logger.debug("the store has news after the loop")
