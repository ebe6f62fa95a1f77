"""Durable rows of all charge points of a process, behind one protocol (decisions.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

SESSIONS: Final = ("transaction", "sample", "stop_sample", "layout", "counter", "meter")
"""What a running session and its messages consist of."""
TABLES: Final = (
    *("configuration", "custom_key", "monitor", "boot", "outbox", "stopped", "availability", "charging_profile"),
    *("authorization_cache", "local_list", "reservation"),
    *SESSIONS,
    "session",
)
"""Every table, in the order in which :meth:`Store.load` gives them."""
ARCHIVE: Final = "session"
"""The archive: sessions that are over and delivered or given up, keyed by the session id in 12 digits; never loaded."""


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

    def load(self, charge_point: str | None = None) -> Iterable[Row]:
        """Every durable row, or those of one charge point: by charge point and table, by key within.

        The archive is left out. Rows come as they are read, so go through them once and at once; call it again for
        another reading. It blocks: before the first commit, or when one charge point is built anew.
        """
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
