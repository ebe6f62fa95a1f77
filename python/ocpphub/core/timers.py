"""Named deadlines of one charge point in one heap.

Owns the deadlines and nothing else: it never reads a clock and never calls anybody. A name has at most one deadline;
setting it again moves it. Moved and cancelled deadlines stay in the heap as dead entries until they surface.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush

_DEAD_ENTRIES_KEPT = 64


class Timers:
    """A table of names and monotonic deadlines in seconds (style.md: timers are a table)."""

    __slots__ = ("_deadlines", "_heap", "_order")

    def __init__(self) -> None:
        self._deadlines: dict[Hashable, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = 0

    def set(self, name: Hashable, deadline_s: float) -> None:
        """Arm ``name`` for the monotonic time ``deadline_s``, replacing an earlier deadline of that name."""
        self._order += 1
        self._deadlines[name] = (deadline_s, self._order)
        heappush(self._heap, (deadline_s, self._order, name))
        if len(self._heap) > 2 * len(self._deadlines) + _DEAD_ENTRIES_KEPT:
            self._heap = [(at, order, key) for key, (at, order) in self._deadlines.items()]
            heapify(self._heap)

    def cancel(self, name: Hashable) -> None:
        """Disarm ``name``; one that is not armed is no error."""
        self._deadlines.pop(name, None)

    def deadline(self, name: Hashable) -> float | None:
        """The deadline of ``name``, or ``None`` while it is not armed."""
        armed = self._deadlines.get(name)
        return None if armed is None else armed[0]

    def next(self) -> float | None:
        """The earliest deadline of all names, or ``None``."""
        while self._heap:
            at, order, name = self._heap[0]
            if self._deadlines.get(name) == (at, order):
                return at
            heappop(self._heap)
        return None

    def expired(self, now_s: float) -> list[Hashable]:
        """Disarm and return every name whose deadline has come, earliest first, ties in the order they were set."""
        names: list[Hashable] = []
        while (at := self.next()) is not None and at <= now_s:
            name = heappop(self._heap)[2]
            del self._deadlines[name]
            names.append(name)
        return names
