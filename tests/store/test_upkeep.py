"""The upkeep: what it finds, copies, gives back and prunes, and whom it tells of the disk."""

from __future__ import annotations

import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ocpphub.store import Query, Write
from ocpphub.store.archive import connect
from ocpphub.store.directory import COPY_NAME, FILE_NAME
from ocpphub.store.failures import Failures
from ocpphub.store.recovery import open_database
from ocpphub.store.schema import MIGRATIONS
from ocpphub.store.space import Space
from ocpphub.store.sqlite import SqliteStore
from ocpphub.store.upkeep import COPY_S, Upkeep
from tests.store.conftest import OpenStore
from tests.store.stores import MIB, commit, read_page, rows_of, session, tamper


@pytest.fixture
def store(open_store: OpenStore) -> SqliteStore:
    return open_store()


@pytest.fixture
def upkeep(store: SqliteStore) -> Upkeep:
    """The upkeep of the store; its thread does nothing yet within a test's time."""
    return store._upkeep


@pytest.fixture
def connection(directory: Path, store: SqliteStore) -> Iterator[sqlite3.Connection]:
    """The connection of the upkeep."""
    with closing(connect(directory / FILE_NAME)) as opened:
        yield opened


def test_copy_holds_what_was_committed(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """Reliability 4.3.10: a copy that the next start can use."""
    commit(store, [Write("CP1", "outbox", "k", b"1")])
    assert upkeep.copy(connection)
    path = directory / COPY_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    opened, is_checked = open_database(path, MIGRATIONS)
    assert is_checked
    assert opened.execute("SELECT key FROM outbox").fetchall() == [("k",)]
    assert opened.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    opened.close()


def test_copy_is_renewed_only_after_a_commit(
    store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    commit(store, [Write("CP1", "outbox", "a", b"1")])
    made = [upkeep.copy(connection), upkeep.copy(connection)]
    commit(store, [Write("CP1", "outbox", "b", b"1")])
    assert [*made, upkeep.copy(connection)] == [True, False, True]


def test_copy_without_room_leaves_the_last_one(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """F10: a copy must not be what fills the disk."""
    commit(store, [Write("CP1", "outbox", "a", b"1")])
    upkeep.copy(connection)
    before = (directory / COPY_NAME).read_bytes()
    commit(store, [Write("CP1", "outbox", "b", b"1")])
    upkeep.space = Space(directory, room=lambda _: (1024 * MIB, 64 * MIB))
    assert not upkeep.copy(connection)
    assert (directory / COPY_NAME).read_bytes() == before


def test_copy_of_a_damaged_file_is_not_made(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """Reliability 4.3.10: the last good copy stays."""
    commit(store, [Write("CP1", "outbox", f"{at:04}", b'"' + b"x" * 500 + b'"') for at in range(200)])
    upkeep.copy(connection)
    before = (directory / COPY_NAME).read_bytes()
    tamper(directory, "PRAGMA wal_checkpoint(TRUNCATE)")
    path = directory / FILE_NAME
    content = bytearray(path.read_bytes())
    content[-3 * 4096 :] = bytes(3 * 4096)
    path.write_bytes(content)
    with closing(connect(path)) as fresh:
        upkeep.check(fresh)
        assert not upkeep.copy(fresh)
    assert (directory / COPY_NAME).read_bytes() == before
    assert store.condition is not None
    assert "is damaged" in store.condition


def test_copy_that_is_cut_short_leaves_the_last_one(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """F01: the process ends in the middle of it."""
    commit(store, [Write("CP1", "outbox", f"{at:06}", b'"' + b"x" * 200 + b'"') for at in range(5000)])
    upkeep.copy(connection)
    before = (directory / COPY_NAME).read_bytes()
    commit(store, [Write("CP1", "outbox", "b", b"1")])
    upkeep._ended.set()
    connection.set_progress_handler(upkeep._breathe, 1000)
    assert not upkeep.copy(connection)
    assert (directory / COPY_NAME).read_bytes() == before
    assert not (directory / f"{COPY_NAME}.new").exists()


def test_check_rows_tells_damage_that_nobody_loads(
    directory: Path,
    store: SqliteStore,
    upkeep: Upkeep,
    connection: sqlite3.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F06: in the archive, and under a charge point that does not exist."""
    commit(store, [session(1), Write("CP1", "outbox", "a", b"1"), Write("CP1", "outbox", "b", b"1")])
    tamper(directory, "UPDATE session SET crc = 0")
    tamper(directory, "UPDATE outbox SET charge_point = 'DP1' WHERE key = 'a'")
    upkeep.check_rows(connection)
    assert store.condition == "2 damaged rows"
    assert [record.message for record in caplog.records] == [
        "damaged row of b'DP1' in table outbox",
        "damaged row of b'CP1' in table session",
    ]


def test_check_rows_of_a_sound_store_tells_nothing(
    store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    commit(store, [session(1), Write("CP1", "outbox", "a", b"1")])
    upkeep.check(connection)
    upkeep.check_rows(connection)
    assert store.condition is None


def test_shrink_brings_the_files_below_one_and_a_half_times_what_is_live(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """Reliability 5.3: a queue of 20,000 samples is delivered but for a tenth."""
    batches = [
        [Write("CP1", "sample", f"{at:012}", b'"' + b"x" * 120 + b'"') for at in range(first, first + 1000)]
        for first in range(0, 20_000, 1000)
    ]
    commit(store, *batches)
    tamper(directory, "PRAGMA wal_checkpoint(TRUNCATE)")
    live = (directory / FILE_NAME).stat().st_size * 0.1
    commit(store, *[[write._replace(value=None) for write in batch] for batch in batches[:18]])
    upkeep.shrink(connection)
    commit(store, [Write("CP1", "boot", "k", b"1")])
    tamper(directory, "PRAGMA wal_checkpoint")
    commit(store, [Write("CP1", "boot", "k", b"2")])
    sizes = [(directory / f"{FILE_NAME}{suffix}").stat().st_size for suffix in ("", "-wal")]
    assert sizes[0] < 1.5 * live + 64 * 4096  # tables that are empty take a page each
    assert sizes[1] <= 4 * MIB + 4096 * 2
    assert len(rows_of(directory, "sample")) == 2000


def test_shrink_leaves_a_file_with_few_free_pages_alone(
    directory: Path, store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """It costs writes, which wear a card out."""
    batch = [Write("CP1", "sample", f"{at:012}", b'"' + b"x" * 120 + b'"') for at in range(2000)]
    commit(store, batch, [write._replace(value=None) for write in batch])
    upkeep.shrink(connection)
    assert connection.execute("PRAGMA freelist_count").fetchone()[0] > 0


def test_prune_keeps_the_newest_sessions_of_each_charge_point(
    store: SqliteStore, upkeep: Upkeep, connection: sqlite3.Connection
) -> None:
    """Reliability 4.4: the archive is bounded."""
    commit(store, [session(number) for number in range(1, 1301)])
    commit(store, [session(number)._replace(charge_point="CP2") for number in range(1, 6)])
    upkeep.prune(connection, kept=10)
    kept = [[number for number, _ in read_page(store, Query(name)).sessions] for name in ("CP1", "CP2")]
    assert kept == [list(range(1291, 1301)), [1, 2, 3, 4, 5]]


def test_look_tells_a_change_of_the_disk_once(directory: Path, upkeep: Upkeep) -> None:
    """F10; reliability 4.3.8."""
    told: list[bool] = []
    free = [1000 * MIB]
    upkeep.space = Space(directory, reserve_bytes=MIB, room=lambda _: (1024 * MIB, free[0]))
    upkeep.on_change = told.append
    for free[0] in (1000 * MIB, 10 * MIB, 9 * MIB, 1000 * MIB):
        upkeep.look()
    assert told == [True, False]


def test_look_after_three_failures_refuses_until_they_are_old(
    directory: Path, upkeep: Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09; reliability 4.3.7: degraded."""
    told: list[bool] = []
    upkeep.on_change = told.append
    now_s = time.time()
    upkeep.failures = Failures(directory)
    for _ in range(3):
        upkeep.failures.note(now_s)
    upkeep.look()
    monkeypatch.setattr(time, "time", lambda: now_s + 601)
    upkeep.look()
    assert told == [True, False]


def test_upkeep_works_on_its_own(directory: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the check, then the first copy, without anybody's asking."""
    store = open_store()
    commit(store, [Write("CP1", "boot", "k", b"1")])
    store.close()
    steps: list[str] = []
    copied = threading.Event()
    real = Upkeep.copy

    def copy(self: Upkeep, connection: sqlite3.Connection) -> bool:
        made = real(self, connection)
        steps.append("copy")
        copied.set()
        return made

    monkeypatch.setattr("ocpphub.store.recovery._check", lambda *_: False)
    monkeypatch.setattr("ocpphub.store.upkeep.WATCH_S", 0.01)
    monkeypatch.setattr(Upkeep, "check", lambda *_: steps.append("check"))
    monkeypatch.setattr(Upkeep, "copy", copy)
    store = open_store()
    assert copied.wait(10)
    store.close()
    assert steps[:2] == ["check", "copy"]
    assert (directory / COPY_NAME).exists()


def test_upkeep_does_each_of_its_works_again_and_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability 5.3, 4.4: files shrink and the archive is bounded without anybody's asking."""
    monkeypatch.setattr("ocpphub.store.upkeep.WATCH_S", 0.005)
    monkeypatch.setattr("ocpphub.store.upkeep.SHRINK_S", 0.05)
    monkeypatch.setattr("ocpphub.store.upkeep.COPY_S", 0.12)
    works: list[str] = []
    done = threading.Event()

    def note(name: str) -> None:
        works.append(name)
        if works.count("copy") == 3:
            done.set()

    for name in ("shrink", "prune", "copy"):
        monkeypatch.setattr(Upkeep, name, lambda self, connection, name=name: note(name))
    store = open_store()
    assert done.wait(20)
    store.close()
    assert works.count("prune") == 3
    assert works.index("shrink") >= 0
    assert works[works.index("copy") - 1] == "prune"


def test_upkeep_that_fails_begins_again(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F10: a full disk ends what it does, not that it is done; the disk is watched all the while."""
    monkeypatch.setattr("ocpphub.store.upkeep.WATCH_S", 0.005)
    monkeypatch.setattr("ocpphub.store.upkeep.SHRINK_S", 0.05)
    again = threading.Event()
    looks: list[float] = []

    def work(self: Upkeep, connection: sqlite3.Connection) -> None:
        if looks:
            again.set()
            self._ended.wait()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Upkeep, "_work", work)
    store = open_store()
    real = store._upkeep.look

    def look() -> None:
        looks.append(0.0)
        real()

    monkeypatch.setattr(store._upkeep, "look", look)
    assert again.wait(10)
    store.close()
    assert "begins again" in caplog.text
    assert len(looks) >= 3


def test_upkeep_waits_until_the_present_copy_is_an_hour_old(directory: Path, upkeep: Upkeep) -> None:
    assert upkeep._age_left_s() == 0
    (directory / COPY_NAME).touch()
    assert COPY_S - 60 < upkeep._age_left_s() <= COPY_S
