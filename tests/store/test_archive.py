"""The archive: pages by session id, filters, damaged sessions left out, no commit held up."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from ocpphub.errors import UnavailableError
from ocpphub.store import Page, Query, Store, Write
from ocpphub.store.memory import MemoryStore
from tests.store.conftest import OpenStore
from tests.store.stores import commit, read_page, session, tamper

DAY_1_MS = 1_767_225_600_000
SESSIONS = [
    session(1, "2026-01-01T00:00:00.000Z", connector_id=1),
    session(2, "2026-01-01T12:00:00.000Z", connector_id=2, delivered=False),
    session(3, "2026-01-02T00:00:00.000Z", connector_id=3),
    session(11, "2026-01-02T12:00:00.000Z", connector_id=12, delivered=False),
    Write("CP2", "session", "000000000004", b'{"start":"2026-01-01T00:00:00.000Z","connector_id":1,"delivered":true}'),
]


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, open_store: OpenStore) -> Store:
    """The store and its double, which must not differ."""
    if request.param == "memory":
        double = MemoryStore()
        double.commit(SESSIONS, lambda error: None)
        return double
    store = open_store()
    commit(store, SESSIONS)
    return store


def ids(page: Page) -> list[int]:
    return [number for number, _ in page.sessions]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("CP1"), [1, 2, 3, 11]),
        (Query("CP2"), [4]),
        (Query("CP3"), []),
        (Query("CP1", since_ms=DAY_1_MS + 43_200_000), [2, 3, 11]),
        (Query("CP1", until_ms=DAY_1_MS + 86_400_000), [1, 2]),
        (Query("CP1", since_ms=DAY_1_MS + 1, until_ms=DAY_1_MS + 86_400_001), [2, 3]),
        (Query("CP1", connectors=[(2, 3)]), [2, 3]),
        (Query("CP1", connectors=[(1, 1), (12, 12)]), [1, 11]),
        (Query("CP1", connectors=[]), []),
        (Query("CP1", undelivered=True), [2, 11]),
        (Query("CP1", undelivered=True, connectors=[(12, 20)], after=2), [11]),
    ],
)
def test_archive_gives_the_sessions_that_are_asked_for(store: Store, query: Query, expected: list[int]) -> None:
    """Reliability 4.4: the record is kept for export."""
    page = read_page(store, query)
    assert ids(page) == expected
    assert [orjson.loads(text).get("session_id", 4) for _, text in page.sessions] == expected
    assert not page.has_more


def test_archive_in_pages_gives_each_session_once(store: Store) -> None:
    """Reliability 4.4."""
    pages = [read_page(store, Query("CP1", limit=2)), read_page(store, Query("CP1", limit=2, after=2))]
    assert [ids(page) for page in pages] == [[1, 2], [3, 11]]
    assert [page.has_more for page in pages] == [True, False]


def test_archive_leaves_damaged_sessions_out_and_tells(
    directory: Path, open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """F06: whatever the flipped bit has made of the JSON."""
    store = open_store()
    commit(store, SESSIONS)
    tamper(directory, "UPDATE session SET value = replace(value, '01-01', '01-03') WHERE key LIKE '%1'")
    tamper(directory, "UPDATE session SET value = '{' WHERE key LIKE '%02'")
    tamper(directory, "UPDATE session SET value = CAST(x'ff00' AS TEXT) WHERE key LIKE '%11'")
    assert ids(read_page(store, Query("CP1", since_ms=DAY_1_MS))) == [3]
    assert caplog.text.count("is left out") == 3


def test_archive_that_cannot_be_read_tells_the_error(directory: Path, open_store: OpenStore) -> None:
    store = open_store()
    tamper(directory, "DROP TABLE session")
    with pytest.raises(UnavailableError, match="archive"):
        read_page(store, Query("CP1"))


def test_archive_is_not_loaded(store: Store) -> None:
    assert list(store.load()) == []
    assert list(store.load("CP1")) == []
