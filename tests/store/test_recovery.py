"""A damaged database: its last copy is used, loudly; without one the file stays and is refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from ocpphub.errors import UnavailableError
from ocpphub.store import Write
from ocpphub.store.directory import CONDITION_NAME, COPY_NAME, FILE_NAME
from ocpphub.store.recovery import open_database, quick_check
from ocpphub.store.schema import MIGRATIONS
from tests.store.conftest import OpenStore
from tests.store.stores import MIB, commit

GARBAGE = b"garbage " * 1024


@pytest.fixture
def copied(directory: Path, open_store: OpenStore) -> Path:
    """The database of a store that has been copied with one row, ``old``, and has got another, ``new``, since."""
    store = open_store()
    commit(store, [Write("CP1", "boot", "old", b"1")])
    store.close()
    shutil.copy(directory / FILE_NAME, directory / COPY_NAME)
    store = open_store()
    commit(store, [Write("CP1", "boot", "new", b"1")])
    store.close()
    return directory / FILE_NAME


def aside(directory: Path) -> list[Path]:
    return sorted(directory.glob("hub.db.damaged-*"))


def test_store_whose_file_is_no_database_is_restored_from_its_copy(
    copied: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Reliability 4.3.10."""
    copied.write_bytes(GARBAGE)
    store = open_store()
    assert [record.levelname for record in caplog.records if "restored from the copy" in record.message] == ["CRITICAL"]
    assert [row.key for row in store.load()] == ["old"]
    assert store.condition is not None
    assert store.condition.startswith("restored from the copy of 20")
    (damaged,) = aside(copied.parent)
    assert damaged.read_bytes() == GARBAGE
    assert (copied.parent / COPY_NAME).exists()


def test_store_that_is_restored_uses_no_number_again(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.4: the own number of a session, also of those that are lost with the damaged file."""
    store = open_store()
    counters = {
        ("CP1", "number"): b"2000",
        ("CP1", "number-copy"): b"2000",
        ("CP2", "number"): b"7",
        ("CP2", "x"): b"{}",
    }
    commit(store, [Write(name, "counter", key, value) for (name, key), value in counters.items()])
    store.close()
    shutil.copy(directory / FILE_NAME, directory / COPY_NAME)
    (directory / FILE_NAME).write_bytes(GARBAGE)
    store = open_store()
    assert {(row.charge_point, row.key): row.value for row in store.load()} == {
        ("CP1", "number"): b"1002000",
        ("CP1", "number-copy"): b"1002000",
        ("CP2", "number"): b"1000007",
        ("CP2", "x"): b"{}",
    }
    assert {path.name for path in directory.iterdir() if ".new" in path.name} == set()


def test_condition_stays_until_an_operator_deletes_it(copied: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10: charge_point.get says so, after the next start too."""
    copied.write_bytes(GARBAGE)
    open_store().close()
    store = open_store()
    assert store.condition is not None
    store.close()
    (copied.parent / CONDITION_NAME).unlink()
    store = open_store()
    assert store.condition is None
    assert [row.key for row in store.load()] == ["old"]


@pytest.mark.parametrize("left", ["nothing", "an empty file", "only the log"])
def test_store_whose_file_is_gone_never_begins_afresh(copied: Path, open_store: OpenStore, left: str) -> None:
    """Reliability 4.3.10, D7: also the state that a restoring leaves which was cut short."""
    copied.unlink()
    if left == "an empty file":
        copied.touch(mode=0o600)
    elif left == "only the log":
        copied.with_name(f"{FILE_NAME}-wal").write_bytes(GARBAGE)
    store = open_store()
    assert [row.key for row in store.load()] == ["old"]
    assert store.condition is not None
    assert [path.name[-4:] for path in aside(copied.parent) if path.name.endswith("-wal")] == ["-wal"] * (
        left == "only the log"
    )
    assert not copied.with_name(f"{FILE_NAME}.new").exists()


def test_restoring_leaves_no_log_of_the_damaged_file_behind(copied: Path, open_store: OpenStore) -> None:
    """D7: SQLite would carry it into the copy."""
    connection = sqlite3.connect(copied)
    connection.execute("INSERT INTO boot VALUES ('CP1', 'log', '1', 0)")
    connection.commit()
    for suffix in ("-wal", "-shm"):
        shutil.copy(f"{copied}{suffix}", f"{copied}{suffix}.kept")
    connection.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{copied}{suffix}.kept").replace(f"{copied}{suffix}")
    content = bytearray(copied.read_bytes())
    content[:100] = bytes(100)
    copied.write_bytes(content)
    store = open_store()
    assert [row.key for row in store.load()] == ["old"]
    assert store.quarantined == 0


def test_store_that_was_restored_is_not_restored_again(copied: Path, open_store: OpenStore) -> None:
    """D7."""
    copied.write_bytes(GARBAGE)
    store = open_store()
    commit(store, [Write("CP1", "boot", "later", b"1")])
    store.close()
    assert [row.key for row in open_store().load()] == ["later", "old"]
    assert len(aside(copied.parent)) == 1


def test_store_without_a_copy_is_refused_and_left_alone(directory: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10: never a silent fresh start."""
    directory.mkdir(mode=0o700)
    path = directory / FILE_NAME
    path.touch(mode=0o600)
    path.write_bytes(GARBAGE)
    with pytest.raises(UnavailableError, match="damaged"):
        open_store()
    assert path.read_bytes() == GARBAGE
    assert aside(directory) == []


def test_store_whose_copy_is_damaged_too_is_refused_and_fills_no_disk(copied: Path, open_store: OpenStore) -> None:
    """Reliability 4.3.10: starts that fail one behind the other move the file aside once."""
    copied.write_bytes(GARBAGE)
    (copied.parent / COPY_NAME).write_bytes(GARBAGE)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="damaged"):
            open_store()
    assert len(aside(copied.parent)) == 1


def test_store_that_lacks_a_table_is_damaged(copied: Path, open_store: OpenStore) -> None:
    """F06: a flipped bit in a name."""
    connection = sqlite3.connect(copied)
    connection.execute("ALTER TABLE outbox RENAME TO outbpx")
    connection.close()
    store = open_store()
    assert store.condition is not None
    assert "no table outbox" in store.condition


def test_damage_that_loading_finds_is_restored_by_the_next_start(
    copied: Path, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F06: the check at the start may run out of time before it comes to the damage."""
    monkeypatch.setattr("ocpphub.store.recovery._check", lambda *_: False)
    store = open_store()
    commit(store, [Write("CP1", "sample", f"{at:012}", b'"' + b"x" * 500 + b'"') for at in range(200)])
    store.close()
    content = bytearray(copied.read_bytes())
    store = open_store()
    for page in range(len(content) // 4096 - 12, len(content) // 4096):
        content[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    copied.write_bytes(content)
    with pytest.raises(UnavailableError, match="cannot be read"):
        list(store.load("CP1"))
    store.close()

    store = open_store()

    assert [row.key for row in store.load()] == ["old"]
    assert store.condition is not None


def test_open_database_says_whether_it_had_the_time_to_check(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability 4.3.10: 200 ms at the start, the rest in the background."""
    directory.mkdir(mode=0o700)
    path = directory / FILE_NAME
    connection, is_checked = open_database(path, MIGRATIONS)
    assert is_checked
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO boot VALUES (?, ?, '', 0)", [("CP1", str(at)) for at in range(20_000)])
    connection.execute("COMMIT")
    connection.close()
    monkeypatch.setattr("ocpphub.store.recovery.QUICK_CHECK_S", 0.0)
    connection, is_checked = open_database(path, MIGRATIONS)
    assert not is_checked
    assert quick_check(connection) == "ok"
    connection.close()


def test_log_is_cut_back_once_it_is_carried_over(directory: Path, open_store: OpenStore) -> None:
    """Reliability 5.3: one large commit must not keep its space for ever."""
    store = open_store()
    big = [Write("CP1", "sample", f"{at:06}", b'"' + b"x" * 1000 + b'"') for at in range(10_000)]
    commit(store, big)
    log = directory / f"{FILE_NAME}-wal"
    largest = log.stat().st_size
    commit(store, [Write("CP1", "boot", "a", b"1")], [Write("CP1", "boot", "a", b"2")])
    assert largest > 8 * MIB
    assert log.stat().st_size <= 4 * MIB
