"""The list of sessions: the archive and what is not in it yet, as one list in pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.records import Selection
from ocpphub.store import Page, Row
from ocpphub.store.archive import session_key
from ocpphub.store.memory import MemoryStore

START_MS = 1_767_225_600_000


@dataclass
class Running:
    """A transaction of the core."""

    session_id: int
    connector_id: int = 1
    start_ms: int = START_MS

    def record(self) -> dict[str, Any]:
        return {"session_id": self.session_id, "delivered": False}


def archived(*numbers: int, has_more: bool = False) -> Page:
    return Page([(number, orjson.dumps({"session_id": number, "delivered": True})) for number in numbers], has_more)


def listed(selection: Selection, live: list[int], page: Page) -> tuple[list[int], str | None]:
    """The session ids of an answer, negative where they came from the core, and its cursor."""
    answer = orjson.loads(selection.page([Running(number) for number in live], page))
    ids = [row["session_id"] * (1 if row["delivered"] else -1) for row in answer["transactions"]]
    return ids, answer.get("cursor")


def test_page_is_one_order_by_session_id() -> None:
    assert listed(Selection(), [2, 5], archived(1, 3, 4)) == ([1, -2, 3, 4, -5], None)


def test_page_takes_what_has_moved_to_the_archive_from_there() -> None:
    """The archive is read later than the core."""
    assert listed(Selection(), [1, 2], archived(1)) == ([1, -2], None)


def test_page_ends_where_the_archive_was_read_to() -> None:
    """What the archive has between 3 and 9 is not known yet."""
    assert listed(Selection(limit=2), [9], archived(1, 3, has_more=True)) == ([1, 3], "3")
    assert listed(Selection(limit=2), [2], archived(1, 3, has_more=True)) == ([1, -2], "2")


def test_page_that_is_full_of_running_ones_goes_on_behind_its_last() -> None:
    assert listed(Selection(limit=2), [1, 2, 3], archived(4)) == ([-1, -2], "2")
    assert listed(Selection(limit=2, after=2), [1, 2, 3], archived(4)) == ([-3, 4], None)


def test_page_of_nothing_has_no_cursor() -> None:
    assert listed(Selection(), [], archived()) == ([], None)


def test_selection_filters_running_ones_as_the_archive_does() -> None:
    selection = Selection(since_ms=START_MS, until_ms=START_MS + 10, connectors=((2, 3), (7, 7)), after=4)
    running = [
        Running(5, 2),
        Running(6, 4),
        Running(7, 7, START_MS + 9),
        Running(8, 7, START_MS + 10),
        Running(9, 7, START_MS - 1),
        Running(4, 2),
    ]
    assert [session.session_id for session in running if selection.has(session)] == [5, 7]


def test_read_asks_the_archive_of_the_charge_point() -> None:
    rows = [
        Row("CP1", "session", session_key(1), b'{"session_id":1,"start":"2026-01-01T00:00:00.000Z","delivered":true}'),
        Row("CP2", "session", session_key(2), b'{"session_id":2,"start":"2026-01-01T00:00:00.000Z","delivered":true}'),
    ]
    told: list[Any] = []
    Selection().read(MemoryStore(rows), "CP1", lambda result, error: told.append((result, error)), [Running(7)], None)
    ((result, error),) = told
    assert error is None
    assert [row["session_id"] for row in orjson.loads(orjson.dumps(result))["transactions"]] == [1, 7]


@pytest.mark.parametrize("where", ["core", "archive"])
def test_read_that_fails_replies_with_the_error(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(store, "archive", lambda query, done: done(None, OSError("gone")))
    told: list[Any] = []
    failure = LocalError("invalid_state", "reset") if where == "core" else None
    Selection().read(store, "CP1", lambda result, error: told.append((result, error)), [], failure)
    ((result, error),) = told
    assert result is None
    assert error is failure if where == "core" else isinstance(error, UnavailableError)
