"""Stores in a directory of the test, closed when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ocpphub.store.schema import MIGRATIONS
from ocpphub.store.space import Space
from ocpphub.store.sqlite import SqliteStore

OpenStore = Callable[..., SqliteStore]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the state directory is going to be."""
    return tmp_path / "state"


@pytest.fixture
def open_store(directory: Path) -> Iterator[OpenStore]:
    """Opens the store of ``directory``."""
    opened: list[SqliteStore] = []

    def open_one(migrations: Sequence[Sequence[str]] = MIGRATIONS, space: Space | None = None) -> SqliteStore:
        opened.append(SqliteStore(directory, migrations=migrations, space=space))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
