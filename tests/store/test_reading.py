"""Rows read back: what falls with a damaged row, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocpphub.store import Write
from ocpphub.store.sqlite import SqliteStore
from tests.store.conftest import OpenStore
from tests.store.stores import commit, rows_of, tamper

ROWS = [
    *(Write(name, "transaction", f"{number:012d}", b"{}") for name in ("CP1", "CP2") for number in (7, 12)),
    *(Write("CP1", "sample", f"{batch:012d}-3-{session}-{index:04d}", b"[]")
      for batch, session in ((20, 7), (21, 12), (22, 0)) for index in (0, 1)),
    *(Write("CP1", "stop_sample", f"{session:012d}-{index:04d}", b"[]") for session in (7, 12) for index in (0, 1)),
    Write("CP2", "sample", "000000000020-3-7-0000", b"[]"),
]  # fmt: skip


@pytest.fixture
def store(directory: Path, open_store: OpenStore) -> SqliteStore:
    store = open_store()
    commit(store, ROWS)
    return store


def loaded(store: SqliteStore) -> set[tuple[str, str, str]]:
    return {(row.charge_point, row.table, row.key) for row in store.load()}


ALL = {(write.charge_point, write.table, write.key) for write in ROWS}


def test_damaged_sample_falls_alone(directory: Path, store: SqliteStore) -> None:
    """Reliability 4.3.10."""
    tamper(directory, "UPDATE sample SET value = '[1]' WHERE key = '000000000020-3-7-0001'")
    assert ALL - loaded(store) == {("CP1", "sample", "000000000020-3-7-0001")}


@pytest.mark.parametrize("change", ["value = '{ }'", "key = '000000000009'", "key = CAST(x'ff' AS TEXT)"])
def test_damaged_transaction_takes_its_samples_with_it(directory: Path, store: SqliteStore, change: str) -> None:
    """Reliability 4.3.10: a bad row is put aside with its session; others and those without a session stay."""
    where = "charge_point = 'CP1' AND key = '000000000007'"
    tamper(directory, f'UPDATE "transaction" SET {change} WHERE {where}')  # noqa: S608  # the test's own
    assert ALL - loaded(store) == {
        ("CP1", "transaction", "000000000007"),
        ("CP1", "sample", "000000000020-3-7-0000"),
        ("CP1", "sample", "000000000020-3-7-0001"),
        ("CP1", "stop_sample", "000000000007-0000"),
        ("CP1", "stop_sample", "000000000007-0001"),
    }
    assert store.quarantined == len(rows_of(directory, "quarantine")) == 5
    sample = next(row for row in rows_of(directory, "quarantine") if row[1] == "sample")
    assert (sample[0], sample[2], sample[3]) == (b"CP1", b"000000000020-3-7-0000", b"[]")


def test_quarantine_is_told_once_for_each_table(
    directory: Path, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(directory, "UPDATE sample SET crc = 0")
    loaded(store)
    assert [record.message for record in caplog.records] == [
        "6 damaged rows of CP1 in table sample put into quarantine",
        "1 damaged rows of CP2 in table sample put into quarantine",
    ]
    assert loaded(store) == {row for row in ALL if row[1] != "sample"}


def test_damaged_transactions_leave_samples_without_a_session(directory: Path, store: SqliteStore) -> None:
    """Reliability 4.3.10: not even when no transaction of the charge point is left."""
    tamper(directory, "UPDATE \"transaction\" SET crc = 0 WHERE charge_point = 'CP1'")
    assert {key for name, table, key in loaded(store) if name == "CP1"} == {
        "000000000022-3-0-0000",
        "000000000022-3-0-0001",
    }
