"""The schema of the database: its published versions and the way from one to the next.

Owns the statements that make the tables. Must never edit a published version, and never lose the file of an older
one: its copy stays beside it, which is also the way down: stop, put ``hub.db.v<n>`` in the place of ``hub.db``, run
the older ocpphub; what was written since is lost with it.

Implements: reliability.md 4.3.10, F39.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ocpphub.errors import LocalError
from ocpphub.store.directory import replace_durably

logger = logging.getLogger("ocpphub.store")

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
    (_CREATE.format("external_limit"),),
    tuple(_CREATE.format(table) for table in ("security", "certificate", "request")),
)
"""Statement lists; number ``n`` leads from ``user_version`` n to n + 1. Published ones are never edited."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Sequence[str]]) -> None:
    """Bring the schema up to date, each step in one transaction; a synced copy of the older file stays beside it.

    Raises :class:`LocalError` ``invalid_state`` for a file of a newer version, and ``sqlite3.Error``.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise LocalError(
            "invalid_state",
            f"{path} has schema version {version}, this ocpphub knows {len(migrations)}",
            hint="run the newer ocpphub",
        )
    if 0 < version < len(migrations):
        copy(connection, path.with_name(f"{path.name}.v{version}"))
    _give_back_space(connection)
    for number in range(version, len(migrations)):
        connection.execute("BEGIN EXCLUSIVE")
        for statement in migrations[number]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")
        logger.info("store: schema version %d", number + 1)


def copy(connection: sqlite3.Connection, path: Path) -> None:
    """A whole and synced copy of the database at ``path``, mode 0600; a crash leaves the copy before it, or none."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(new),))
    new.chmod(0o600)
    replace_durably(new, path)


def _give_back_space(connection: sqlite3.Connection) -> None:
    """Let the file shrink again in small steps (``upkeep``); a file made without that is written anew, once."""
    if connection.execute("PRAGMA auto_vacuum").fetchone() != (2,):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
