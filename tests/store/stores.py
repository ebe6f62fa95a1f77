"""What the tests of the store share: commits, pages of the archive, sessions, damage."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import orjson

from ocpphub.store import ARCHIVE, Page, Query, Store, Write
from ocpphub.store.archive import session_key
from ocpphub.store.directory import FILE_NAME
from ocpphub.store.sqlite import SqliteStore

MIB = 2**20


def commit(store: SqliteStore, *batches: list[Write]) -> list[BaseException | None]:
    """Commit the batches one behind the other; what each ``done`` was told."""

    async def run() -> list[BaseException | None]:
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[BaseException | None]] = []
        for batch in batches:
            told.append(loop.create_future())
            store.commit(batch, told[-1].set_result)
        return await asyncio.gather(*told)

    return asyncio.run(run())


def read_page(store: Store, query: Query) -> Page:
    """A page of the archive."""

    async def run() -> Page:
        answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()

        def done(page: Page | None, error: BaseException | None) -> None:
            if page is None:
                assert error is not None
                answer.set_exception(error)
            else:
                answer.set_result(page)

        store.archive(query, done)
        return await answer

    return asyncio.run(run())


def tamper(directory: Path, statement: str, *parameters: object) -> None:
    """Change the database behind the store's back."""
    connection = sqlite3.connect(directory / FILE_NAME)
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def session(number: int, start: str = "2026-01-01T00:00:00.000Z", **members: Any) -> Write:
    """A session of the archive of CP1."""
    record = {"session_id": number, "connector_id": 1, "start": start, "delivered": True, **members}
    return Write("CP1", ARCHIVE, session_key(number), orjson.dumps(record))


def rows_of(directory: Path, table: str) -> list[tuple[object, ...]]:
    """The rows of a table as they are on disk."""
    connection = sqlite3.connect(directory / FILE_NAME)
    try:
        return connection.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608  # the test's own
    finally:
        connection.close()
