"""What is given up when the queue is at its bound: samples, never a StartTransaction or StopTransaction.

Owns the choice of the next batch that loses samples. Must never touch a row or a batch that may have been sent:
``delivery.py`` says which those are and carries the choice out.

Implements: reliability.md 3.5; requirement CORE-TXQ-11; J-351.
"""

from __future__ import annotations

from collections.abc import Callable

from ocpphub.core.queue_line import Batch, Entry, Line
from ocpphub.core.queue_samples import dispensable


class Thinning:
    """Walks through the line again and again: through ended sessions, oldest first, and when those have nothing left
    through running ones.

    A walk that found nothing at all is not repeated before there may be something: a full queue costs no search with
    each sample.
    """

    __slots__ = ("_found", "_is_exhausted", "_line", "_may_change", "_running", "_walk")

    def __init__(self, line: Line, may_change: Callable[[Batch], bool]) -> None:
        self._line, self._may_change = line, may_change
        self._walk: list[Entry] = []
        self._found = True
        self._running = self._is_exhausted = False

    def ended(self) -> None:
        """A session ended: its samples go before those of running sessions."""
        self._walk.clear()
        self._running, self._found, self._is_exhausted = False, True, False

    def grown(self) -> None:
        """A sample was added: there is something to thin."""
        self._is_exhausted = False

    def next(self) -> tuple[Batch, list[int]] | None:
        """A batch and the indexes of the samples that it is to lose; ``None`` when nothing can be given up."""
        while not self._is_exhausted:
            while self._walk:
                entry = self._walk.pop()
                if isinstance(entry, Batch) and self._is_wanted(entry) and (victims := dispensable(entry.lines)):
                    self._found = True
                    return entry, victims
            self._begin_walk()
        return None

    def _begin_walk(self) -> None:
        if not self._found:
            self._is_exhausted = self._running
            self._running = not self._running
        # After the last walk that found nothing the next one begins with ended sessions again.
        self._found = self._is_exhausted
        if not self._is_exhausted:
            self._walk = [*self._line]
            self._walk.reverse()

    def _is_wanted(self, batch: Batch) -> bool:
        is_running = batch.tx is not None and batch.tx.stop is None
        return is_running == self._running and self._may_change(batch)
