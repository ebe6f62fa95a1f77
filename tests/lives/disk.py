"""The simulated disk: writes become durable when a commit ends, and a crash loses what was not.

Owns the group commit of decisions.md 3 on virtual time: while one commit is under way everything waits for the next.
Must never tell a core about commits; who waits for one asks :attr:`Disk.durable`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Write = tuple[str, str, bytes | None]
"""Table, key, value; ``None`` deletes."""


class Disk:
    """Rows, the commit under way, and the batch that gathers behind it."""

    def __init__(self, rng: Random, latency_s: Callable[[], float], later: Callable[[float, Callable[[], None]], None]):
        self.rows: dict[tuple[str, str], bytes] = {}
        self.durable = 0
        """The last commit that is on the disk; a write made now belongs to :attr:`gathering`."""
        self.gathering = 1
        self.on_durable: Callable[[], None] = lambda: None
        self.is_stuck = False
        self._rng, self._latency_s, self._later = rng, latency_s, later
        self._gathered: list[Write] = []
        self._under_way: list[Write] | None = None
        self._epoch = 0

    @property
    def is_idle(self) -> bool:
        """Whether everything written so far is durable."""
        return self._under_way is None and not self._gathered

    def write(self, table: str, key: str, value: bytes | None) -> int:
        """Add a write to the batch; the number of the commit that will hold it."""
        self._gathered.append((table, key, value))
        return self.gathering

    def begin(self) -> None:
        """Start a commit if there is something to write and none is under way."""
        if self._under_way is not None or not self._gathered:
            return
        self._under_way, self._gathered = self._gathered, []
        self.gathering += 1
        epoch = self._epoch
        self._later(self._latency_s(), lambda: self._end(epoch))

    def _end(self, epoch: int) -> None:
        if epoch != self._epoch or self._under_way is None:
            return
        self._apply(self._under_way)
        self._under_way = None
        self.durable += 1
        self.begin()
        self.on_durable()

    def _apply(self, batch: list[Write]) -> None:
        for table, key, value in batch:
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value

    def crash(self, *, must_lose: bool) -> int:
        """The power is gone: the commit under way is there whole or not at all; how many writes were lost."""
        under_way, gathered = self._under_way or [], self._gathered
        lost = len(gathered)
        if under_way and not must_lose and self._rng.random() < 0.5:
            self._apply(under_way)
        else:
            lost += len(under_way)
        self._under_way, self._gathered = None, []
        self._epoch += 1
        self.durable = self.gathering - 1
        return lost
