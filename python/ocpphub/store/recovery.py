"""Opening the database: checked, migrated, and where it is damaged replaced by its last copy, loudly.

Owns the decision that a file is damaged and what happens then. Must never begin afresh in silence: without a copy a
damaged file is left in its place and refused. Every step may be cut short and is repeated by the next start (D7).

    hub.db damaged -> hub.condition says so -> hub.db becomes hub.db.damaged -> hub.db.copy becomes hub.db

Implements: reliability.md 4.3.10.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ocpphub.errors import UnavailableError
from ocpphub.store import COUNTERS, Write
from ocpphub.store.directory import (
    CONDITION_NAME,
    COPY_NAME,
    DAMAGED_NAME,
    make_private,
    replace_durably,
    require_private,
    sync,
    write_durably,
)
from ocpphub.store.rows import is_sound, select, statements, unescape
from ocpphub.store.schema import migrate

logger = logging.getLogger("ocpphub.store")

QUICK_CHECK_S: Final = 0.2
"""How long the check of the file may hold up the start (reliability.md 4.3.10)."""
SKIPPED_NUMBERS: Final = 1_000_000
"""How far counters go on behind those of a copy: more numbers than an hour may have used."""
LOG_BYTES: Final = 4 * 2**20
"""What the write-ahead log is cut back to once it has been carried over into the database."""
_SUSPECT_NAME: Final = "hub.suspect"


class DamagedError(UnavailableError):
    """The database is damaged."""

    def __init__(self, path: Path, reason: object) -> None:
        self.reason = str(reason)
        super().__init__("internal", f"{path} is damaged or no store: {reason}", hint="restore a copy")


def open_database(path: Path, migrations: Sequence[Sequence[str]]) -> tuple[sqlite3.Connection, bool]:
    """The writer's connection, and whether the time sufficed to check the whole file.

    A damaged file, and one that is gone although its copy is there, is replaced by the copy. Raises
    :class:`DamagedError` when there is none, :class:`UnavailableError` when the file cannot be opened, and
    :class:`LocalError` when it is open to others or of a newer version.
    """
    suspect = path.with_name(_SUSPECT_NAME)
    copy = path.with_name(COPY_NAME)
    try:
        if suspect.exists():
            _restore(path, suspect.read_text(encoding="utf-8"))
            suspect.unlink()
        elif copy.exists() and (not path.exists() or path.stat().st_size == 0):
            _restore(path, "the database is gone")
    except OSError as error:
        raise UnavailableError("internal", f"{path} cannot be restored: {error}") from error
    try:
        return _open(path, migrations)
    except DamagedError as error:
        if not copy.exists():
            raise
        _restore(path, error.reason)
    try:
        return _open(path, migrations)
    except DamagedError:
        # Or every start would restore it anew and fill the disk with what it moved aside.
        copy.replace(copy.with_name(f"{COPY_NAME}.damaged"))
        raise


def suspect(path: Path, reason: str) -> None:
    """The database has turned out to be damaged while it was read: the next start restores its copy."""
    write_durably(path.with_name(_SUSPECT_NAME), reason)


def condition(directory: Path) -> str | None:
    """What an operator has to know, until a start finds the file :data:`CONDITION_NAME` deleted."""
    try:
        return (directory / CONDITION_NAME).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is damaged, and not that the disk failed or is full."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def quick_check(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the structure of the file, ``ok`` for nothing; may raise ``sqlite3.Error``."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return verdict.decode(errors="replace") if isinstance(verdict, bytes) else str(verdict)


def _open(path: Path, migrations: Sequence[Sequence[str]]) -> tuple[sqlite3.Connection, bool]:
    try:
        # Made by us and not by SQLite, which would leave the mode to the umask; -wal and -shm take over its mode.
        make_private(path)
        require_private(path, "0600")
        sync(path.parent)
        connection = sqlite3.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError("internal", f"{path} cannot be opened: {error}") from error
    try:
        connection.text_factory = lambda text: text.decode(errors="replace")  # damage must not raise as a text
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # decides in a new file only
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise UnavailableError("internal", f"{path}: this file system has no write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        is_checked = _check(connection, path)
        migrate(connection, path, migrations)
        _require_tables(connection, path, migrations)
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise DamagedError(path, error) from error
        raise UnavailableError("internal", f"{path} cannot be used: {error}") from error
    except UnicodeDecodeError:
        connection.close()
        # SQLite tells of a damaged schema with its very bytes, which Python cannot make an exception of.
        raise DamagedError(path, "a text of the schema is damaged") from None
    except BaseException:
        connection.close()
        raise
    return connection, is_checked


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the whole file was checked within :data:`QUICK_CHECK_S`. Raises :class:`DamagedError`."""
    end_s = time.monotonic() + QUICK_CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > end_s, 10_000)
    try:
        verdict = quick_check(connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return False
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise DamagedError(path, verdict)
    return True


def _require_tables(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Every published statement has made its table: a flipped bit in a name makes one disappear."""
    made = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    wanted = {statement.split()[2].strip('"') for version in migrations for statement in version}
    if missing := sorted(wanted - made):
        raise DamagedError(path, f"no table {missing[0]}")


def _restore(path: Path, reason: str) -> None:
    """Move a damaged database aside and put the last copy in its place.

    Raises :class:`DamagedError` without a copy, ``OSError`` when the disk refuses.
    """
    copy = path.with_name(COPY_NAME)
    if not copy.exists():
        raise DamagedError(path, f"{reason}; there is no copy")
    made = datetime.fromtimestamp(copy.stat().st_mtime, UTC).isoformat(timespec="seconds")
    text = f"restored from the copy of {made}, what was stored since is lost: {reason}"
    logger.critical("%s: %s", path, text)
    write_durably(path.with_name(CONDITION_NAME), text)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    make_private(new)
    shutil.copyfile(copy, new)
    with suppress(sqlite3.Error):  # a damaged copy shows when it is opened
        _skip_numbers(new)
    aside = path.with_name(f"{DAMAGED_NAME}-{time.time_ns() // 1_000_000}")  # none is ever overwritten
    # The database first: with its log alone beside it, the next start comes here again.
    for suffix in ("", "-wal", "-shm"):
        damaged = path.with_name(path.name + suffix)
        if damaged.exists():
            damaged.replace(aside.with_name(aside.name + suffix))
    sync(path.parent)
    replace_durably(new, path)


def _skip_numbers(path: Path) -> None:
    """Raise the counters of a copy: numbers that were used since must not be used again."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = bytes
        rows = [row for row in connection.execute(select(COUNTERS, "true")) if is_sound(COUNTERS, row)]
        raised = [
            Write(name.decode(), COUNTERS, unescape(key), b"%d" % (int(value) + SKIPPED_NUMBERS))
            for name, key, value, _ in rows
            if value.isdigit()
        ]
        for statement, texts in statements(raised):
            connection.execute(statement, (texts,))
