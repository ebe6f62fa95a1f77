"""Durable rows of all charge points of a process, behind one protocol (decisions.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

TABLES = ("configuration", "custom_key", "monitor", "boot", "outbox", "stopped", "availability", "charging_profile")


class Row(NamedTuple):
    """One durable row; ``value`` is JSON text in UTF-8."""

    charge_point: str
    table: str
    key: str
    value: bytes


class Write(NamedTuple):
    """One change of a commit: ``value`` ``None`` deletes the row."""

    charge_point: str
    table: str
    key: str
    value: bytes | None


class Store(Protocol):
    """What the driver needs of a store. One store per process, one writer behind it."""

    def load(self) -> Iterable[Row]:
        """Every row, grouped by charge point and table, by key within; called once, before the first commit."""
        ...

    def commit(self, batch: Sequence[Write], done: Callable[[BaseException | None], None]) -> None:
        """Make all writes of the batch durable, atomically and in order; never blocks.

        ``done`` is called on the loop's thread with ``None`` once the batch is on disk, or with the error.
        The driver has at most one commit under way.
        """
        ...

    def close(self) -> None:
        """Finish the commit under way and release the file."""
        ...
