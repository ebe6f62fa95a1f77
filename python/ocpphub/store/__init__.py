"""Durable rows of all charge points of a process, behind one protocol (decisions.md section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol

SESSIONS: Final = ("transaction", "sample", "stop_sample", "layout", "counter", "meter")
"""What a running session and its messages consist of."""
TABLES: Final = (
    *("configuration", "custom_key", "monitor", "boot", "outbox", "stopped", "availability", "charging_profile"),
    *("authorization_cache", "local_list", "reservation", "external_limit"),
    *("security", "certificate", "request"),
    *SESSIONS,
    "session",
)
"""Every table, in the order in which :meth:`Store.load` gives them."""
COUNTERS: Final = "counter"
"""Upper bounds of numbers that are never used twice, as JSON integers; they are raised when a copy is restored."""
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


class Query(NamedTuple):
    """Which sessions of the archive: of one charge point, with ids above ``after``, at most ``limit`` of them.

    ``since_ms`` and ``until_ms`` bound the start, the latter excluded; ``connectors`` are ranges with both ends;
    ``undelivered`` leaves out those that the CSMS has all of.
    """

    charge_point: str
    since_ms: int | None = None
    until_ms: int | None = None
    connectors: Sequence[tuple[int, int]] | None = None
    undelivered: bool = False
    after: int = 0
    limit: int = 1000


class Page(NamedTuple):
    """Sessions of the archive by id: the id and the JSON text of each; and whether more of them follow."""

    sessions: list[tuple[int, bytes]]
    has_more: bool


class Store(Protocol):
    """What the driver needs of a store. One store per process, one writer behind it."""

    def load(self, charge_point: str | None = None) -> Iterable[Row]:
        """Every durable row, or those of one charge point: by table, by charge point and key within.

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

    def archive(self, query: Query, done: Callable[[Page | None, BaseException | None], None]) -> None:
        """Read a page of the archive as it is on disk now; never blocks, and holds up no commit.

        ``done`` is called on the loop's thread with the page, or with ``None`` and the error.
        """
        ...

    def watch(self, told: Callable[[bool], None]) -> None:
        """Call ``told`` on the running loop's thread: whether new sessions must be refused.

        That is so while room on the disk is short, and after three failed commits within 10 minutes. It is told once
        soon and at each change after; before writes fail, as far as can be foreseen.
        """
        ...

    @property
    def condition(self) -> str | None:
        """What an operator has to know of the store, such as that it was restored from a copy; ``None``: nothing."""
        ...

    def close(self) -> None:
        """Finish the commits under way and release the files."""
        ...
