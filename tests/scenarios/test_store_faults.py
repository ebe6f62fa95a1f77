"""What a disk can do to the store: torn logs, flipped bits, failed syncs, no room (reliability.md F06, F09, F10)."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ocpphub.errors import OcpphubError
from ocpphub.store import ARCHIVE, TABLES, Query, Row, Write
from ocpphub.store.archive import connect, read
from ocpphub.store.directory import COPY_NAME, FILE_NAME
from ocpphub.store.rows import is_sound, select
from ocpphub.store.space import Space
from ocpphub.store.sqlite import SqliteStore
from tests.store.stores import MIB, commit, read_page, session

FLIPS = int(os.environ.get("STORE_FLIPS", "1000"))
SEED = int(os.environ.get("STORE_SEED", "20260101"))

WRITER = """
import asyncio, pathlib, sys
from ocpphub.store import Write
from ocpphub.store.sqlite import SqliteStore

async def run():
    loop = asyncio.get_running_loop()
    store = SqliteStore(pathlib.Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        told = loop.create_future()
        text = b'"%06d%b"' % (number, b"x" * int(sys.argv[3]))
        store.commit([Write("CP1", "transaction", f"{number:012d}", text), Write("CP1", "meter", "1", text)],
                     told.set_result)
        error = await told
        print("failed" if error else number, flush=True)

asyncio.run(run())
"""


def run_writer(directory: Path, commits: int, size: int, *wrapper: str) -> list[str]:
    """Commit in another process until it is through; what it was told, ``failed`` or the number of a commit."""
    command = [*wrapper, sys.executable, "-c", WRITER, str(directory), str(commits), str(size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout or "UnavailableError" in done.stderr, done.stderr
    return done.stdout.split() or ["failed"]  # it may fail when it is opened


def committed(directory: Path) -> tuple[list[int], list[int]]:
    """The numbers of the transactions that the next process finds, and that of the register."""
    store = SqliteStore(directory)
    try:
        rows = list(store.load("CP1"))
    finally:
        store.close()
    numbers = {row.table: [] for row in rows}  # type: dict[str, list[int]]
    for row in rows:
        numbers[row.table].append(int(json.loads(row.value)[:6]))
    return numbers.get("transaction", []), numbers.get("meter", [])


def assert_nothing_acknowledged_is_lost(directory: Path, told: list[str]) -> None:
    """D1, D6: all that was acknowledged, in whole commits; at most the one under way on top of it."""
    acknowledged = [int(word) for word in told if word != "failed"]
    transactions, register = committed(directory)
    assert transactions[: len(acknowledged)] == acknowledged
    assert len(transactions) <= len(acknowledged) + 1
    assert register == transactions[-1:]


# F06


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: what is tested there is not the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def test_log_cut_at_any_byte_gives_the_state_after_some_commit(fast: Path) -> None:
    """F06: the log is cut at every byte of its last 4 KiB; never a mix of two commits."""
    path = fast / "hub.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE a (n); CREATE TABLE b (n)")
    writer.execute("INSERT INTO a VALUES (0)")
    writer.execute("INSERT INTO b VALUES (0)")
    for number in range(1, 6):
        writer.execute("BEGIN")
        writer.execute("UPDATE a SET n = ?", (number,))
        writer.execute("UPDATE b SET n = ?", (number,))
        writer.execute("COMMIT")
    log = Path(f"{path}-wal").read_bytes()
    database = path.read_bytes()
    writer.close()
    found = set()
    cut = fast / "cut"
    cut.mkdir()
    target = cut / "hub.db"
    for end in range(len(log) - 4096, len(log) + 1):
        for leftover in cut.iterdir():
            leftover.unlink()
        target.write_bytes(database)
        Path(f"{target}-wal").write_bytes(log[:end])
        with closing(connect(target)) as connection:
            ((a,),) = connection.execute("SELECT n FROM a").fetchall()
            ((b,),) = connection.execute("SELECT n FROM b").fetchall()
        assert a == b, end
        found.add(a)
    assert found == {4, 5}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with rows in every table, some still in the log, and no copy."""
    directory = tmp_path_factory.mktemp("original") / "state"
    store = SqliteStore(directory, space=roomy(directory))
    loaded = [table for table in TABLES if table != ARCHIVE]
    value = b'"' + b"v" * 80 + b'"'
    commit(store, [Write("CP1", table, f"{at:012d}", value) for table in loaded for at in range(30)])
    commit(store, [session(number) for number in range(1, 31)])
    store.close()
    store = SqliteStore(directory, space=roomy(directory))
    commit(store, [Write("CP1", "sample", f"{at:012d}", value) for at in range(30, 60)])
    kept = directory.with_name("kept")
    shutil.copytree(directory, kept)
    store.close()
    return kept


def roomy(directory: Path) -> Space:
    """Room in plenty: where the reserve is not what is tested."""
    return Space(directory.parent, reserve_bytes=1, room=lambda _: (2**40, 2**39))


def rows_of(directory: Path) -> set[Row]:
    """Every sound row of a store, as loading gives them."""
    store = SqliteStore(directory, space=roomy(directory))
    try:
        return set(store.load())
    finally:
        store.close()


def test_flipped_bits_never_load_a_wrong_row(original: Path, fast: Path) -> None:
    """F06: a bit anywhere in database and log: what loads was written, or the store is refused with a reason."""
    wanted = rows_of(shutil.copytree(original, fast / "whole"))
    chance = random.Random(SEED)  # noqa: S311
    contents = {name: (original / name).read_bytes() for name in (FILE_NAME, f"{FILE_NAME}-wal")}
    refused = lost = 0
    for flip in range(FLIPS):
        name = chance.choice(list(contents))
        at, bit = chance.randrange(len(contents[name])), chance.randrange(8)
        directory = fast / "flipped"
        directory.mkdir(mode=0o700)
        for other, content in contents.items():
            flipped = bytearray(content)
            if other == name:
                flipped[at] ^= 1 << bit
            (directory / other).touch(mode=0o600)
            (directory / other).write_bytes(flipped)
        try:
            found = rows_of(directory)
            assert found <= wanted, (SEED, flip, name, at, bit)
            lost += found != wanted
        except OcpphubError:
            refused += 1
        shutil.rmtree(directory)
    assert refused + lost > FLIPS // 100, SEED  # most bits lie in free space; these were noticed
    assert refused < FLIPS // 2, SEED


def test_flipped_bits_with_a_copy_keep_no_charge_point_from_starting(original: Path, fast: Path) -> None:
    """F06; reliability 4.1: after at most two starts the store is there, from the copy at worst."""
    chance = random.Random(SEED + 1)  # noqa: S311
    size = (original / FILE_NAME).stat().st_size
    for _ in range(max(FLIPS // 10, 1)):
        directory = fast / "flipped"
        shutil.copytree(original, directory)
        shutil.copy(original / FILE_NAME, directory / COPY_NAME)
        content = bytearray((original / FILE_NAME).read_bytes())
        for _ in range(4):
            content[chance.randrange(100, size)] ^= 1 << chance.randrange(8)
        (directory / FILE_NAME).write_bytes(content)
        with suppress(OcpphubError):
            rows_of(directory)
        assert rows_of(directory)
        shutil.rmtree(directory)


def test_flipped_bits_in_the_archive_never_list_a_wrong_session(original: Path, fast: Path) -> None:
    """F06."""
    store = SqliteStore(shutil.copytree(original, fast / "whole"))
    wanted = set(read_page(store, Query("CP1")).sessions)
    store.close()
    content = (original / FILE_NAME).read_bytes()
    at = content.index(b"session_id")
    path = fast / FILE_NAME
    chance = random.Random(SEED)  # noqa: S311
    for _ in range(FLIPS // 4):
        flipped = bytearray(content)
        flipped[at - 2000 + chance.randrange(6000)] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with suppress(sqlite3.Error):
            assert set(read(path, Query("CP1", since_ms=1)).sessions) <= wanted


def test_sum_of_a_row_finds_every_flipped_bit(original: Path) -> None:
    """F06: CRC32 finds each single flip; that is why a row has one."""
    with closing(connect(original / FILE_NAME)) as connection:
        (row,) = connection.execute(select("boot", "key = '000000000003'")).fetchall()
    charge_point, key, value, crc = row
    assert is_sound("boot", row)
    for column, text in enumerate((charge_point, key, value)):
        for bit in range(len(text) * 8):
            flipped = bytearray(text)
            flipped[bit // 8] ^= 1 << bit % 8
            other = [charge_point, key, value, crc]
            other[column] = bytes(flipped)
            assert not is_sound("boot", tuple(other))


# F09


@pytest.fixture
def strace() -> str:
    """strace, where it may be used."""
    path = shutil.which("strace")
    if path is None or subprocess.run([path, "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("F09 needs strace")
    return path


@pytest.mark.parametrize("when", ["3", "9", "12+"])
def test_failed_sync_ends_acknowledging_and_recovers(tmp_path: Path, strace: str, when: str) -> None:
    """F09; reliability 4.3.7: a sync that fails once is never believed again; what was acknowledged is there."""
    inject = f"fdatasync,fsync:error=EIO:when={when}"
    wrapper = [strace, "-f", "-o", os.devnull, "-P", str(tmp_path / "state" / f"{FILE_NAME}-wal")]
    told = run_writer(tmp_path / "state", 20, 100, *wrapper, "-e", f"inject={inject}")
    assert "failed" in told
    assert set(told[told.index("failed") :]) == {"failed"}
    assert_nothing_acknowledged_is_lost(tmp_path / "state", told)


def test_writes_that_fail_at_any_moment_lose_nothing_acknowledged(tmp_path: Path, strace: str) -> None:
    """F09, F10: ENOSPC at the k-th write, with nothing to give up."""
    for number in (2, 7, 11):
        directory = tmp_path / f"state{number}"
        wrapper = [strace, "-f", "-o", os.devnull, "-P", str(directory / f"{FILE_NAME}-wal")]
        inject = f"inject=pwrite64,write:error=ENOSPC:when={number}+"
        told = run_writer(directory, 20, 5000, *wrapper, "-e", inject)
        assert told[-1] == "failed"
        assert_nothing_acknowledged_is_lost(directory, told)


# F10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("F10 needs the right to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_gives_the_reserve_up_and_loses_nothing(small_disk: Path) -> None:
    """F10: a disk of 16 MiB that somebody else fills."""
    directory = small_disk / "state"
    store = SqliteStore(directory)
    commit(store, [Write("CP1", "boot", "k", b"1")])
    assert store._space.has_reserve
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    errors = commit(store, *([Write("CP1", "sample", f"{at:012d}", b'"' + b"x" * 900 + b'"')] for at in range(200)))
    assert errors == [None] * 200
    looks = [(store._space.look(), store._space.has_reserve)]
    filler.unlink()
    looks.append((store._space.look(), store._space.has_reserve))
    assert looks == [(True, False), (False, True)]
    store.close()
    assert len(rows_of(directory)) == 201


def test_disk_that_stays_full_ends_in_a_failed_commit_and_a_sound_store(small_disk: Path) -> None:
    """F10: when the reserve is used up too."""
    directory = small_disk / "state"
    told = run_writer(directory, 400, 100_000)
    assert told[-1] == "failed"
    transactions, _ = committed(shutil.copytree(directory, small_disk.with_name("copy")))
    acknowledged = [int(word) for word in told if word != "failed"]
    assert transactions[: len(acknowledged)] == acknowledged
    assert len(acknowledged) * 100_000 > 8 * MIB


def test_file_that_may_not_grow_fails_a_commit_and_loses_nothing(tmp_path: Path) -> None:
    """F10 without the right to mount: RLIMIT_FSIZE."""
    told = run_writer(tmp_path / "state", 200, 5000, "prlimit", "--fsize=1048576")
    assert told[-1] == "failed"
    assert_nothing_acknowledged_is_lost(tmp_path / "state", told)
