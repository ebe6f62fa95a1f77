"""Durable rows in one SQLite file with one writer thread (decisions.md 3; reliability.md 4.3 and T28).

Owns the state directory, its lock, the file, its schema version and the check sums of its rows. Must never block the
loop, never touch the file from another thread than the writer, never retry a failed commit, and never begin afresh in
silence: a directory that others can read, a file of a newer version or a damaged file is refused with a reason.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import orjson

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.store import ARCHIVE, TABLES, Row, Write

logger = logging.getLogger("ocpphub.store")

FILE_NAME: Final = "hub.db"
LOCK_NAME: Final = "hub.lock"
QUICK_CHECK_S: Final = 0.2
"""How long the check of the file may hold up the start (reliability.md 4.3.10)."""

_DISK_ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT)

Done = Callable[[BaseException | None], None]
_COLUMNS: Final = "charge_point TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL"
_CREATE: Final = f"CREATE TABLE {{}} ({_COLUMNS}, PRIMARY KEY (charge_point, key)) WITHOUT ROWID"
# Written out and not taken from TABLES: a published version never changes.
_TABLES_OF_1: Final = ("configuration", "custom_key", "monitor", "boot", "outbox", "stopped", "availability")
_TABLES_OF_3: Final = (
    *("transaction", "session", "sample", "stop_sample", "layout", "counter", "meter"),
    *("authorization_cache", "local_list", "reservation"),
)
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        *(_CREATE.format(table) for table in _TABLES_OF_1),
        "CREATE TABLE quarantine (charge_point BLOB, table_name TEXT, key BLOB, value BLOB, crc, found_utc_s INTEGER)",
    ),
    (_CREATE.format("charging_profile"),),
    tuple(_CREATE.format(f'"{table}"') for table in _TABLES_OF_3),
)
"""Statement lists; number ``n`` leads from ``user_version`` n to n + 1. Published ones are never edited."""

# `WHERE true` keeps the parser from reading ON as a join (SQLite, "Parsing Ambiguity" of upsert).
_UPSERT: Final = (
    'INSERT INTO "{0}" SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true '
    "ON CONFLICT (charge_point, key) DO UPDATE SET value = excluded.value, crc = excluded.crc"
)
_DELETE: Final = 'DELETE FROM "{0}" WHERE (charge_point, key) IN (SELECT value->>0, value->>1 FROM json_each(?))'
_LOAD: Final = 'SELECT charge_point, key, CAST(value AS BLOB), crc FROM "{0}"{1} ORDER BY charge_point, key'


class SqliteStore:
    """A :class:`~ocpphub.store.Store` in ``directory``, which is made with mode 0700 when it is not there.

    ``quarantined`` counts the damaged rows that :meth:`load` put aside. Raises :class:`LocalError` when the directory
    or its files are open to others, in use by another process or of a newer version of ocpphub, and
    :class:`UnavailableError` when the file is damaged or cannot be opened.
    """

    def __init__(self, directory: Path, *, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        self.quarantined = 0
        self._jobs: queue.SimpleQueue[Callable[[sqlite3.Connection], None] | None] = queue.SimpleQueue()
        self._failure: BaseException | None = None
        self._lock = _claim(directory)
        opened: Future[None] = Future()
        arguments = (directory / FILE_NAME, migrations, opened)
        # A daemon thread: a process that gives up (exit 75) must not wait for it; the log of SQLite covers the rest.
        self._writer = threading.Thread(target=self._write, args=arguments, name="writer", daemon=True)
        self._writer.start()
        try:
            opened.result()
        except BaseException:
            self._writer.join()
            os.close(self._lock)
            raise

    def load(self, charge_point: str | None = None) -> Iterable[Row]:
        """Every sound row but the archive, in the promised order; damaged ones go to ``quarantine`` and are reported."""
        loaded: Future[list[Row]] = Future()

        def job(connection: sqlite3.Connection) -> None:
            try:
                loaded.set_result(self._load(connection, charge_point))
            except Exception as error:  # noqa: BLE001  # handed to the thread that waits for it
                loaded.set_exception(UnavailableError("internal", f"the store cannot be read: {error}"))

        self._jobs.put(job)
        return loaded.result()

    def commit(self, batch: Sequence[Write], done: Done) -> None:
        """Hand a batch to the writer. Call it on a running loop: ``done`` comes back there, after the sync.

        Of several writes to one row the last wins. Raises ``KeyError`` for a table that is not in ``TABLES``.
        """
        # On the loop, because it is one pass of C calls per row; the writer then takes the GIL per statement only.
        statements = _statements(batch)
        loop = asyncio.get_running_loop()

        def job(connection: sqlite3.Connection) -> None:
            error = self._commit(connection, statements)
            try:
                loop.call_soon_threadsafe(done, error)
            except RuntimeError:  # the loop is closed: nobody is left to be told, and the batch is on disk
                logger.debug("a commit ended after the loop")

        self._jobs.put(job)

    def close(self) -> None:
        """Wait for the commits under way, then release file and directory; a second call does nothing."""
        if self._writer.is_alive():
            self._jobs.put(None)
            self._writer.join()
            os.close(self._lock)

    def _write(self, path: Path, migrations: Sequence[Sequence[str]], opened: Future[None]) -> None:
        """The writer thread: opens the file, then runs jobs until ``None``."""
        try:
            connection = _open(path, migrations)
        except BaseException as error:  # noqa: BLE001  # handed to the thread that waits for it, whatever it is
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (job := self._jobs.get()) is not None:
            job(connection)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, statements: list[tuple[str, str]]) -> BaseException | None:
        # A descriptor whose sync failed once reports success later although pages are lost, so there is no retry.
        if self._failure is None:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for statement, rows in statements:
                    connection.execute(statement, (rows,))
                connection.execute("COMMIT")
            except Exception as error:  # noqa: BLE001  # any failure is told to the driver, which ends the process
                logger.error("commit failed: %s", error)
                self._failure = error
                if connection.in_transaction:
                    connection.rollback()
        return self._failure

    def _load(self, connection: sqlite3.Connection, only: str | None) -> list[Row]:
        found: dict[str, list[Row]] = {}
        bad: list[tuple[str, str, str, Any, Any]] = []
        where = "" if only is None else " WHERE charge_point = ?"
        for table in TABLES:
            if table == ARCHIVE:
                continue
            found_rows = connection.execute(_LOAD.format(table, where), () if only is None else (only,))
            for charge_point, key, value, crc in found_rows:
                if crc != _crc(charge_point, table, key, value):
                    bad.append((charge_point, table, key, value, crc))
                    continue
                found.setdefault(charge_point, []).append(Row(charge_point, table, _unescape(key), value))
        if bad:
            self._quarantine(connection, bad)
        return [row for charge_point in sorted(found) for row in found[charge_point]]

    def _quarantine(self, connection: sqlite3.Connection, bad: list[tuple[str, str, str, Any, Any]]) -> None:
        now_s = int(time.time())
        connection.execute("BEGIN IMMEDIATE")
        for charge_point, table, key, value, crc in bad:
            at = (_raw(charge_point), _raw(key))
            where = "CAST(charge_point AS BLOB) = ? AND CAST(key AS BLOB) = ?"  # damaged text may be no UTF-8
            connection.execute(f'DELETE FROM "{table}" WHERE {where}', at)  # noqa: S608  # a name out of TABLES
            row = (at[0], table, at[1], value, crc, now_s)
            connection.execute("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?)", row)
            logger.error("damaged row of %r in table %s put into quarantine", charge_point, table)
        connection.execute("COMMIT")
        self.quarantined += len(bad)


def _statements(batch: Sequence[Write]) -> list[tuple[str, str]]:
    """At most one upsert and one delete per table, each with its rows as JSON text."""
    last: dict[str, dict[tuple[str, str], bytes | None]] = {}
    for charge_point, table, key, value in batch:
        last.setdefault(table, {})[charge_point, key] = value
    statements: list[tuple[str, str]] = []
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
                upserts.append((charge_point, key, value.decode(), _crc(charge_point, table, key, value)))
        if upserts:
            statements.append((_UPSERT.format(table), orjson.dumps(upserts).decode()))
        if deletes:
            statements.append((_DELETE.format(table), orjson.dumps(deletes).decode()))
    return statements


def _escape(key: str) -> str:
    # SQLite's JSON functions end a text at NUL, which would let two keys share one row.
    return key.replace("%", "%25").replace("\0", "%00") if "\0" in key or "%" in key else key


def _unescape(key: str) -> str:
    return key.replace("%00", "\0").replace("%25", "%") if "%" in key else key


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _crc(charge_point: str, table: str, key: str, value: bytes) -> int:
    # The place is part of the sum: a row that turns up under another key is damaged too.
    return zlib.crc32(value, zlib.crc32(_raw(f"{charge_point}\0{table}\0{key}\0")))


def _claim(directory: Path) -> int:
    """The lock of a private directory, as a descriptor."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        _private(directory, "0700")
        if not os.access(directory, os.W_OK | os.X_OK):  # or SQLite finds out, and takes it for damage
            raise PermissionError(errno.EACCES, "this user may not write into it", str(directory))
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        # A place that cannot be used is the configuration's mistake; a disk that fails is not.
        if error.errno in _DISK_ERRORS:
            raise UnavailableError("internal", f"state directory {directory}: {error.strerror}") from error
        raise LocalError(
            "invalid_state",
            f"state directory {directory} cannot be used: {_reason(directory, error)}",
            hint="a directory that this user may make or write to",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise LocalError(
            "invalid_state",
            f"state directory {directory} is in use by another process",
            hint="one ocpphub per state directory",
        ) from None
    return lock


def _reason(directory: Path, error: OSError) -> str:
    place = error.filename if isinstance(error.filename, str) else str(directory)
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{place} is no directory" if error.errno == errno.EEXIST else f"{place} lies below a plain file"
    return f"{place}: {error.strerror}"


def _private(path: Path, mode: str) -> None:
    """Refuse what others may open. Source: reliability.md T28, S-158."""
    if path.stat().st_mode & 0o077:
        raise LocalError("invalid_state", f"{path} is open to other users", hint=f"chmod {mode} {path}")


def _open(path: Path, migrations: Sequence[Sequence[str]]) -> sqlite3.Connection:
    try:
        # Made by us and not by SQLite, which would leave the mode to the umask; -wal and -shm take over its mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        _private(path, "0600")
        _sync_directory(path.parent)
        connection = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError("internal", f"{path} cannot be opened: {error}") from error
    try:
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA trusted_schema = OFF")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UnavailableError("internal", f"{path}: this file system has no write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")
        _quick_check(connection, path)
        _migrate(connection, path, migrations)
    except sqlite3.Error as error:
        connection.close()
        raise UnavailableError("internal", f"{path} is damaged or no store: {error}", hint="restore a copy") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quick_check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a damaged file, as far as :data:`QUICK_CHECK_S` allows."""
    end_s = time.monotonic() + QUICK_CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > end_s, 10_000)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        verdict = "ok"  # as far as time allowed; every row is checked by its sum when it is loaded
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise UnavailableError("internal", f"{path} is damaged: {verdict}", hint="restore a copy")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Bring the schema up to date, each step in one transaction; a copy of the older file stays beside it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise LocalError(
            "invalid_state",
            f"{path} has schema version {version}, this ocpphub knows {len(migrations)}",
            hint="run the newer ocpphub",
        )
    if 0 < version < len(migrations):
        copy = path.with_name(f"{path.name}.v{version}")
        copy.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)
        _sync_directory(path.parent)
    for number in range(version, len(migrations)):
        connection.execute("BEGIN EXCLUSIVE")
        for statement in migrations[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
        logger.info("store: schema version %d", number + 1)
