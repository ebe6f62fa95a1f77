"""Numbers that are never used twice, over restarts too: of sessions and of the messages of the transaction queue.

Owns the next number and the durable upper bound of those that may have been used. A block is reserved in one write, so
that a commit has no row for each number; a crash wastes what is left of a block. The bound is kept in two rows, because
one damaged row must not bring a number back (reliability.md 4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ocpphub.core.effects import Effect, Store
from ocpphub.core.rows import Rows, log

TABLE: Final = "counter"
KEYS: Final = ("number", "number-copy")
BLOCK: Final = 1_000


class Numbers:
    """Counts up from 1."""

    __slots__ = ("_emit", "_next", "_reserved")

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._next = self._reserved = 1

    def restore(self, rows: Rows, seen: int) -> None:
        """Begin behind every number that an earlier process may have used; ``seen`` is the highest in other rows."""
        bounds = [seen + 1]
        stored = rows.of(TABLE)
        is_known = any(key in stored for key in KEYS)  # others count here too
        for key in KEYS:
            text = stored.get(key)
            if text is not None and text.isdigit():
                bounds.append(int(text))
            elif is_known:
                log.error("a damaged row of %s is left aside: %s", TABLE, key)
        self._next = self._reserved = max(bounds)

    def next(self) -> int:
        """The next number. Effects: ``Store`` of another block when one is needed."""
        number = self._next
        self._next += 1
        if self._next > self._reserved:
            self._reserved = number + BLOCK
            for key in KEYS:
                self._emit(Store(TABLE, key, b"%d" % self._reserved))
        return number
