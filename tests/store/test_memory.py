"""The memory store: what a crash keeps, in which order rows come back, and when ``done`` is told."""

from __future__ import annotations

import pytest

from ocpphub.store import Page, Query, Row, Write
from ocpphub.store.memory import MemoryStore


def write(key: str, value: bytes | None = b"1", *, charge_point: str = "CP1", table: str = "outbox") -> Write:
    return Write(charge_point, table, key, value)


def test_store_commits_and_loads_in_the_promised_order() -> None:
    store = MemoryStore()
    batch = [
        write("b", charge_point="CP2"),
        write("b", table="boot"),
        write("a", table="boot"),
        write("z", table="configuration"),
    ]
    store.commit(batch, lambda error: None)
    assert [(row.charge_point, row.table, row.key) for row in store.load()] == [
        ("CP1", "configuration", "z"),
        ("CP1", "boot", "a"),
        ("CP1", "boot", "b"),
        ("CP2", "outbox", "b"),
    ]


def test_store_deletes_and_replaces_within_one_batch_in_order() -> None:
    store = MemoryStore([Row("CP1", "outbox", "gone", b"0")])
    store.commit([write("a", b"1"), write("a", b"2"), write("gone", None), write("never", None)], lambda error: None)
    assert list(store.load()) == [Row("CP1", "outbox", "a", b"2")]


def test_store_that_crashes_loses_what_was_not_synced() -> None:
    """D6, reliability 4.1: unacknowledged work is completely absent."""
    told: list[BaseException | None] = []
    store = MemoryStore(auto_sync=False)
    store.commit([write("a")], told.append)
    store.commit([write("b")], told.append)
    store.sync()
    after = store.crash()
    assert told == [None]
    assert [row.key for row in after.load()] == ["a"]
    assert store.unsynced == 0


def test_store_that_fails_a_commit_tells_the_error_and_keeps_nothing() -> None:
    told: list[BaseException | None] = []
    store = MemoryStore(auto_sync=False)
    store.commit([write("a")], told.append)
    error = OSError("disk gone")
    store.fail(error)
    assert told == [error]
    assert list(store.load()) == []


def test_store_that_closes_finishes_what_is_under_way() -> None:
    store = MemoryStore(auto_sync=False)
    store.commit([write("a")], lambda error: None)
    store.close()
    assert [row.key for row in store.load()] == ["a"]


def test_store_given_an_undeclared_table_refuses_the_batch() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        MemoryStore().commit([write("a", table="nowhere")], lambda error: None)


def test_store_tells_whoever_watches_when_room_is_short() -> None:
    """F10."""
    told: list[bool] = []
    store = MemoryStore()
    store.watch(told.append)
    store.be_short(True)
    store.be_short(False)
    assert told == [False, True, False]


def test_store_that_crashes_keeps_the_archive() -> None:
    store = MemoryStore()
    store.commit([write("000000000001", b'{"start":"2026-01-01T00:00:00.000Z"}', table="session")], lambda error: None)
    pages: list[Page | None] = []
    store.crash().archive(Query("CP1"), lambda page, error: pages.append(page))
    assert [page.sessions[0][0] for page in pages if page is not None] == [1]


def test_store_loads_one_charge_point() -> None:
    store = MemoryStore([Row("CP1", "boot", "a", b"1"), Row("CP2", "boot", "a", b"1")])
    assert [row.charge_point for row in store.load("CP2")] == ["CP2"]
