"""Versions of the schema: up with a copy kept, down by that copy, never from a newer one."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.store import Write
from ocpphub.store.directory import FILE_NAME
from ocpphub.store.schema import MIGRATIONS
from tests.store.conftest import OpenStore
from tests.store.stores import commit, tamper


def test_store_of_a_newer_version_is_refused(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10."""
    open_store().close()
    tamper(directory, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(LocalError, match="schema version"):
        open_store()


def test_store_of_an_older_version_is_migrated_and_its_copy_kept(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10."""
    store = open_store()
    commit(store, [Write("CP1", "boot", "k", b"1")])
    store.close()
    migrations = (*MIGRATIONS, ("CREATE TABLE later (a)",))
    assert [row.key for row in open_store(migrations).load()] == ["k"]
    copy = directory / f"{FILE_NAME}.v{len(MIGRATIONS)}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT key FROM boot").fetchall() == [("k",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


def test_older_ocpphub_runs_on_the_copy_that_was_kept(directory: Path, open_store: OpenStore) -> None:
    """F39: the way down."""
    store = open_store()
    commit(store, [Write("CP1", "boot", "k", b"1")])
    store.close()
    newer = (*MIGRATIONS, ("CREATE TABLE later (a)",))
    open_store(newer).close()
    with pytest.raises(LocalError, match="schema version"):
        open_store()

    shutil.copy(directory / f"{FILE_NAME}.v{len(MIGRATIONS)}", directory / FILE_NAME)

    assert [row.key for row in open_store().load()] == ["k"]


def test_store_of_version_1_is_brought_up_to_date(directory: Path, open_store: OpenStore) -> None:
    """CORE-SC-16, reliability 4.3.10: the first published schema, written out here as it was."""
    tables = ("configuration", "custom_key", "monitor", "boot", "outbox", "stopped", "availability")
    columns = "charge_point TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL"
    aside = "charge_point BLOB, table_name TEXT, key BLOB, value BLOB, crc, found_utc_s INTEGER"
    create = "CREATE TABLE {} ({}, PRIMARY KEY (charge_point, key)) WITHOUT ROWID"
    first = (*(create.format(table, columns) for table in tables), f"CREATE TABLE quarantine ({aside})")
    assert MIGRATIONS[0] == first
    directory.mkdir(mode=0o700)
    path = directory / FILE_NAME
    connection = sqlite3.connect(path)  # without auto_vacuum, as version 1 made it
    for statement in first:
        connection.execute(statement)
    connection.execute("INSERT INTO boot VALUES ('CP1', 'accepted', 'true', 722424166)")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    path.chmod(0o600)

    store = open_store()

    assert [row.key for row in store.load()] == ["accepted"]
    assert commit(store, [Write("CP1", "charging_profile", "-1", b'"AQ"')]) == [None]
    assert commit(store, [Write("CP1", "transaction", "000000000001", b"{}")]) == [None]
    assert [row.table for row in store.load()] == ["boot", "charging_profile", "transaction"]
    assert (directory / f"{FILE_NAME}.v1").exists()
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    connection.close()


def test_store_whose_migration_fails_stays_at_the_old_version(open_store: OpenStore) -> None:
    """F39."""
    open_store().close()
    with pytest.raises(UnavailableError):
        open_store((*MIGRATIONS, ("CREATE TABLE later (a)", "CREATE TABLE later (a)")))
    assert list(open_store().load()) == []
