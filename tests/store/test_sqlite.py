"""The SQLite store: durable, private, exclusive, versioned, and honest about damage."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.store import ARCHIVE, TABLES, Row, Write
from ocpphub.store.directory import FAILURES_NAME, FILE_NAME, RESERVE_NAME
from ocpphub.store.space import Space
from ocpphub.store.sqlite import SqliteStore
from tests.store.conftest import OpenStore
from tests.store.stores import MIB, commit, rows_of, tamper


def test_store_reopened_has_what_was_committed(directory: Path, open_store: OpenStore) -> None:
    """D6: every acknowledged effect is there in the next process."""
    store = open_store()
    tables = [table for table in TABLES if table != ARCHIVE]
    rows = [Row("CP1", table, "k", b'{"a":"\\u0000\xc3\xa9"}') for table in tables]
    rows.append(Row("CP0", "outbox", "k", b"[]"))
    assert commit(store, [Write(*row) for row in rows]) == [None]
    store.close()
    assert sorted(open_store().load()) == sorted(rows)


def test_store_keys_come_back_sorted_and_unchanged(open_store: OpenStore) -> None:
    keys = ["", "%", "%00", "a\0b", "a\0c", "z", "é", "\U0001f50c"]
    store = open_store()
    commit(store, [Write("CP1", "custom_key", key, str(at).encode()) for at, key in enumerate(keys)])
    loaded = list(store.load())
    assert {row.key: row.value for row in loaded} == {key: str(at).encode() for at, key in enumerate(keys)}
    assert [row.key for row in loaded if "%" not in row.key and "\0" not in row.key] == ["", "z", "é", "\U0001f50c"]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.dictionaries(
        st.tuples(st.text(st.characters(exclude_categories=["C"])), st.text()),
        st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1)),
        min_size=1,
    )
)
def test_store_gives_back_any_text_byte_for_byte(rows: dict[tuple[str, str], object]) -> None:
    """D6."""
    values = {at: orjson.dumps(value) for at, value in rows.items()}
    with tempfile.TemporaryDirectory() as temporary:
        store = SqliteStore(Path(temporary) / "state")
        try:
            assert commit(store, [Write(at[0], "outbox", at[1], value) for at, value in values.items()]) == [None]
            assert {(row.charge_point, row.key): row.value for row in store.load()} == values
            assert store.quarantined == 0
        finally:
            store.close()


def test_store_given_one_key_twice_in_a_batch_keeps_the_last(open_store: OpenStore) -> None:
    store = open_store()
    commit(store, [Write("CP1", "outbox", "old", b"0"), Write("CP1", "outbox", "same", b"0")])
    batch = [
        Write("CP1", "outbox", "old", b"1"),
        Write("CP1", "outbox", "old", None),
        Write("CP1", "outbox", "new", None),
        Write("CP1", "outbox", "new", b"2"),
        Write("CP1", "outbox", "same", b"1"),
        Write("CP1", "outbox", "same", b"2"),
    ]
    assert commit(store, batch) == [None]
    assert [(row.key, row.value) for row in store.load()] == [("new", b"2"), ("same", b"2")]


def test_store_tells_done_on_the_thread_of_the_loop(open_store: OpenStore) -> None:
    store = open_store()

    async def thread_of_done() -> int:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        store.commit([Write("CP1", "boot", "k", b"1")], lambda error: told.set_result(threading.get_ident()))
        return await told

    assert asyncio.run(thread_of_done()) == threading.get_ident()


def test_store_whose_commit_failed_keeps_nothing_of_it_and_refuses_later_ones(
    directory: Path, open_store: OpenStore
) -> None:
    """Reliability 4.3.7: no retry after a failed commit."""
    store = open_store()
    tamper(directory, "CREATE TRIGGER full BEFORE INSERT ON monitor BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    first, second = commit(
        store,
        [Write("CP1", "outbox", "a", b"1"), Write("CP1", "monitor", "a", b"1")],
        [Write("CP1", "outbox", "b", b"1")],
    )
    assert isinstance(first, sqlite3.IntegrityError)
    assert second is first
    assert list(store.load()) == []


def test_store_syncs_the_log_with_each_commit(open_store: OpenStore) -> None:
    """Decisions 3: WAL with synchronous FULL."""
    store = open_store()
    seen: list[tuple[object, ...]] = []
    done = threading.Event()

    def job(connection: sqlite3.Connection) -> None:
        names = ("journal_mode", "synchronous")
        seen.append(tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names))
        done.set()

    store._jobs.put(job)
    assert done.wait(5)
    assert seen == [("wal", 2)]


def test_store_makes_a_private_directory_and_file(directory: Path, open_store: OpenStore) -> None:
    """T28, S-158."""
    before = os.umask(0)
    try:
        commit(open_store(), [Write("CP1", "boot", "k", b"1")])
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


@pytest.mark.parametrize("name", [".", FILE_NAME])
def test_store_that_others_may_open_is_refused(directory: Path, open_store: OpenStore, name: str) -> None:
    """T28."""
    open_store().close()
    path = directory / name
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(LocalError, match="open to other users"):
        open_store()


def test_store_behind_a_symbolic_link_is_refused(directory: Path, tmp_path: Path, open_store: OpenStore) -> None:
    """T28."""
    directory.mkdir(mode=0o700)
    (directory / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError):
        open_store()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("state", ["a file", "below a file", "nowhere", "not writable"])
def test_store_in_a_place_that_cannot_be_used_is_the_mistake_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """T28, T38: exit code 78 and not 75, which promises that a restart may help."""
    plain = tmp_path / "plain"
    plain.touch()
    places = {"a file": plain, "below a file": plain / "state", "nowhere": Path("/proc/self/state")}
    if state == "not writable":  # root may write everywhere, so the answer of the system is replaced
        monkeypatch.setattr(os, "access", lambda *_: False)
    place = places.get(state, tmp_path / "state")
    with pytest.raises(LocalError, match="cannot be used") as caught:
        SqliteStore(place)
    assert f"state directory {place} " in caught.value.message


def test_store_on_a_full_disk_has_failed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F09: the configuration is right; exit code 75."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UnavailableError, match="No space left"):
        SqliteStore(directory)


def test_store_in_use_by_another_process_is_refused(directory: Path, open_store: OpenStore) -> None:
    open_store()
    script = (
        "import sys, pathlib\n"
        "from ocpphub.store.sqlite import SqliteStore\n"
        "try: SqliteStore(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", script, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=10)
    assert answer.stdout.startswith("LocalError")
    assert "in use" in answer.stdout


def test_store_closed_can_be_opened_again_and_closed_twice(open_store: OpenStore) -> None:
    store = open_store()
    store.close()
    store.close()
    assert list(open_store().load()) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE outbox SET value = '2' WHERE key = 'bad'",
        "UPDATE outbox SET value = CAST(x'ff' AS TEXT) WHERE key = 'bad'",
        "UPDATE outbox SET key = CAST(x'ff' AS TEXT) WHERE key = 'bad'",
        "UPDATE outbox SET key = 'other' WHERE key = 'bad'",
        "UPDATE outbox SET crc = crc + 1 WHERE key = 'bad'",
    ],
)
def test_store_with_a_damaged_row_sets_it_aside_and_keeps_the_rest(
    directory: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """Reliability 4.3.10: damage is put into quarantine and reported, once."""
    store = open_store()
    commit(store, [Write("CP1", "outbox", "bad", b"1"), Write("CP1", "outbox", "good", b"1")])
    store.close()
    tamper(directory, damage)
    store = open_store()
    assert [row.key for row in store.load()] == ["good"]
    assert store.quarantined == 1
    assert "quarantine" in caplog.text
    store.close()
    again = open_store()
    assert [row.key for row in again.load()] == ["good"]
    assert again.quarantined == 0


def test_store_whose_file_is_no_database_is_refused_and_left_alone(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10: never a silent fresh start."""
    directory.mkdir(mode=0o700)
    path = directory / FILE_NAME
    path.touch(mode=0o600)
    path.write_bytes(b"garbage " * 1024)
    with pytest.raises(UnavailableError, match="damaged"):
        open_store()
    assert path.read_bytes() == b"garbage " * 1024


def test_store_with_a_torn_page_is_refused(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10."""
    store = open_store()
    commit(store, [Write("CP1", "outbox", f"{at:04}", b'"' + b"x" * 500 + b'"') for at in range(200)])
    store.close()
    path = directory / FILE_NAME
    content = bytearray(path.read_bytes())
    content[-3 * 4096 :] = bytes(3 * 4096)
    path.write_bytes(content)
    with pytest.raises(UnavailableError, match="damaged"):
        open_store()


def test_store_closing_finishes_commits_whose_loop_is_gone(directory: Path, open_store: OpenStore) -> None:
    store = open_store()
    held = threading.Event()
    store._jobs.put(lambda connection: held.wait(5) and None)  # type: ignore[arg-type]

    async def leave() -> None:
        store.commit([Write("CP1", "boot", "k", b"1")], lambda error: None)

    asyncio.run(leave())
    held.set()
    store.close()
    assert [row.key for row in open_store().load()] == ["k"]


class Full:
    """A connection of the writer on which a statement finds no room, as often as it is told."""

    def __init__(self, connection: sqlite3.Connection, times: int) -> None:
        self._connection = connection
        self._times = times

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement.startswith("INSERT") and self._times:
            self._times -= 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def commit_when_full(store: SqliteStore, times: int) -> BaseException | None:
    """A commit on a disk that refuses ``times``."""
    told: list[BaseException | None] = []
    done = threading.Event()

    def job(connection: sqlite3.Connection) -> None:
        full = cast(sqlite3.Connection, Full(connection, times))
        told.append(store._commit(full, insert))
        done.set()

    def insert(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO outbox VALUES ('CP1', 'k', '1', 0)")

    store._jobs.put(job)
    assert done.wait(5)
    return told[0]


def test_store_that_finds_no_room_gives_the_reserve_up_and_goes_on(directory: Path, open_store: OpenStore) -> None:
    """F10; reliability 4.3.8: the disk may fill faster than it is watched."""
    store = open_store(space=small_space(directory))
    assert (directory / RESERVE_NAME).exists()
    assert commit_when_full(store, 1) is None
    assert not (directory / RESERVE_NAME).exists()
    assert len(rows_of(directory, "outbox")) == 1


def test_store_that_finds_no_room_twice_has_failed(directory: Path, open_store: OpenStore) -> None:
    """F10; reliability 4.3.7: it is noted for the next start."""
    store = open_store(space=small_space(directory))
    error = commit_when_full(store, 2)
    assert isinstance(error, sqlite3.OperationalError)
    assert commit(store, [Write("CP1", "outbox", "other", b"1")]) == [error]
    assert rows_of(directory, "outbox") == []
    assert len((directory / FAILURES_NAME).read_text().split()) == 1


def test_store_tells_of_the_disk_on_the_thread_of_the_loop(directory: Path, open_store: OpenStore) -> None:
    """F10: what the watch says at once, and what changes later."""
    directory.mkdir(mode=0o700)
    free = [1000 * MIB]
    store = open_store(space=Space(directory, reserve_bytes=MIB, room=lambda _: (1024 * MIB, free[0])))
    told: list[tuple[bool, int]] = []

    async def run() -> None:
        store.watch(lambda is_short: told.append((is_short, threading.get_ident())))
        await asyncio.sleep(0)
        free[0] = 10 * MIB
        store._upkeep.look()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert told == [(False, threading.get_ident()), (True, threading.get_ident())]


def test_store_after_three_failed_commits_starts_degraded(directory: Path, open_store: OpenStore) -> None:
    """F09; reliability 4.3.7: new sessions are refused from the first moment."""
    for _ in range(3):
        store = open_store(space=small_space(directory))
        commit_when_full(store, 2)
        store.close()
    store = open_store()
    told: list[bool] = []

    async def run() -> None:
        store.watch(told.append)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert told == [True]


def test_store_opens_on_a_full_disk_by_giving_the_reserve_up(directory: Path, open_store: OpenStore) -> None:
    """F10: a process that ended because of it must come up again."""
    open_store(space=small_space(directory)).close()
    assert (directory / RESERVE_NAME).exists()
    store = open_store(space=Space(directory, reserve_bytes=MIB, room=lambda _: (1024 * MIB, 0)))
    assert not (directory / RESERVE_NAME).exists()
    assert list(store.load()) == []


def test_store_without_anything_wrong_has_no_condition(directory: Path, open_store: OpenStore) -> None:
    store = open_store()
    commit(store, [Write("CP1", "outbox", "a", b"1")])
    assert store.condition is None
    store.close()
    tamper(directory, "UPDATE outbox SET crc = 0")
    store = open_store()
    assert list(store.load("CP1")) == []
    assert store.condition == "1 damaged rows are in quarantine"


def test_store_loads_one_charge_point_and_all_in_the_promised_order(open_store: OpenStore) -> None:
    store = open_store()
    names = [("CP2", "boot"), ("CP1", "sample"), ("CP1", "boot"), ("CP1é", "boot")]
    commit(store, [Write(name, table, key, b"1") for name, table in names for key in ("b", "a")])
    everything = [(row.charge_point, row.table, row.key) for row in store.load()]
    order = [("CP1", "boot"), ("CP1é", "boot"), ("CP2", "boot"), ("CP1", "sample")]
    assert everything == [(name, table, key) for name, table in order for key in ("a", "b")]
    assert [(row.charge_point, row.table, row.key) for row in store.load("CP1")] == [*everything[:2], *everything[6:]]
    assert list(store.load("CP3")) == []


def small_space(directory: Path) -> Space:
    """Room in plenty, and a reserve that is made at once."""
    directory.mkdir(mode=0o700, exist_ok=True)
    return Space(directory, reserve_bytes=MIB, room=lambda _: (1024 * MIB, 1024 * MIB))


def test_store_with_a_damaged_key_loses_no_row_behind_it(directory: Path, open_store: OpenStore) -> None:
    """F06: rows are stored by their keys, and a search would end at one that stands in the wrong place."""
    store = open_store()
    commit(store, [Write("CP1", "meter", f"{at:04}", b"1") for at in range(40)])
    store.close()
    path = directory / FILE_NAME
    content = path.read_bytes()
    assert content.count(b"CP10020") == 1
    path.write_bytes(content.replace(b"CP10020", b"CP30020"))
    store = open_store()
    assert [row.key for row in store.load("CP1")] == [f"{at:04}" for at in range(40) if at != 20]
    assert store.quarantined == 0  # it is no row of this charge point any more
    assert len(list(store.load())) == 39
    assert store.quarantined == 1
    assert commit(store, [Write("CP1", "meter", f"{at:04}", None) for at in range(40)]) == [None]
    assert list(store.load()) == []
