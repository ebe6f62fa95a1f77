"""What a hub is made of: the store of its directory, and the rows of each charge point."""

from __future__ import annotations

from pathlib import Path

from ocpphub import wiring
from ocpphub.store import Row
from ocpphub.store.memory import MemoryStore
from ocpphub.store.sqlite import SqliteStore
from tests.hub_doubles import hub_settings

ROWS = [Row("A", "boot", "k", b"1"), Row("B", "boot", "k", b"2"), Row("gone", "boot", "k", b"3")]


def test_load_rows_gives_each_charge_point_its_own() -> None:
    found = wiring.load_rows(MemoryStore(ROWS), ["A", "B", "new"])
    assert {name: list(rows) for name, rows in found.items()} == {"A": ROWS[:1], "B": ROWS[1:2], "new": []}


def test_load_rows_of_a_single_charge_point_come_as_they_are_read() -> None:
    """P5: a hundred thousand rows are not kept twice."""
    read: list[str] = []

    class Reading(MemoryStore):
        def load(self, charge_point: str | None = None):  # type: ignore[no-untyped-def]
            for row in super().load(charge_point):
                read.append(row.key)
                yield row

    found = wiring.load_rows(Reading(ROWS), ["A"])
    assert read == []
    next(iter(found["A"]))
    assert read == ["k"]


def test_open_store_keeps_it_where_the_settings_say(tmp_path: Path) -> None:
    settings = hub_settings()
    object.__setattr__(settings.hub, "state_directory", tmp_path / "state")
    store = wiring.open_store(settings)
    assert isinstance(store, SqliteStore)
    store.close()
    assert (tmp_path / "state" / "hub.db").exists()
