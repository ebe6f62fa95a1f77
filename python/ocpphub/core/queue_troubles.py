"""What went wrong with messages so far: attempts, lost links, whether one may have been sent without an answer.

Owns these counts and the one row that keeps attempts over a restart. Must never decide what follows from them
(``delivery.py``).

Implements: OCPP 1.6 section 3.7.1; decisions.md 6 (attempts, poison rule, what counts as possibly sent).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from orjson import JSONDecodeError, dumps, loads

from ocpphub.core.effects import Effect, Store
from ocpphub.core.queue_line import Entry, StartEntry
from ocpphub.core.queue_numbers import TABLE
from ocpphub.core.rows import Rows, log

ATTEMPTS: Final = "attempts"
"""Key of the row ``[number, attempts]``: one is enough, because only the head of the line is ever tried."""
POSSIBLY_SENT: Final = 2
"""Entries that an earlier process may have sent: one in flight, one whose end was not durable (decisions.md 6)."""


@dataclass(slots=True)
class Trouble:
    """Of one message. ``limit`` is how many samples of a split MeterValues go at once, ``None`` for all."""

    attempts: int = 0
    link_losses: int = 0
    is_unanswered: bool = False
    was_aside: bool = False
    is_split: bool = False
    limit: int | None = None


class Troubles:
    """The messages of one charge point that were sent, or may have been, and are not done."""

    __slots__ = ("_emit", "_known")

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._known: dict[int, Trouble] = {}

    def restore(self, rows: Rows, entries: Iterable[Entry]) -> None:
        """Take up what is known of the messages of an earlier process, which are given in their order."""
        possible = POSSIBLY_SENT
        for entry in entries:
            went_aside = isinstance(entry, StartEntry) and entry.tx.is_start_sent
            if went_aside or possible > 0:
                self.of(entry).is_unanswered = True
                possible -= not went_aside
        text = rows.of(TABLE).get(ATTEMPTS)
        if text is not None:
            try:
                number, attempts = map(int, loads(text))
            except (JSONDecodeError, TypeError, ValueError):
                log.error("a damaged row of %s is left aside: %s", TABLE, ATTEMPTS)
                return
            # One row for whichever it was: what is no more in the line is asked for by nobody.
            if attempts > 0:
                self._known.setdefault(number, Trouble()).attempts = attempts

    def of(self, entry: Entry) -> Trouble:
        """What went wrong with a message, to be added to."""
        return self._known.setdefault(entry.number, Trouble())

    def get(self, entry: Entry) -> Trouble | None:
        """What went wrong with a message, ``None`` when it was never sent."""
        return self._known.get(entry.number)

    def pop(self, entry: Entry) -> Trouble:
        """The same, and nothing is known of it afterwards."""
        return self._known.pop(entry.number, None) or Trouble()

    def has(self, entry: Entry) -> bool:
        """Whether a message may have been sent: it must not change."""
        return entry.number in self._known

    def failed(self, entry: Entry, *, is_unanswered: bool) -> Trouble:
        """The CSMS refused a message or did not answer it. Effects: ``Store`` of the attempts."""
        trouble = self.of(entry)
        trouble.attempts += 1
        trouble.link_losses = 0
        trouble.is_unanswered = trouble.is_unanswered or is_unanswered
        self._emit(Store(TABLE, ATTEMPTS, dumps([entry.number, trouble.attempts])))
        return trouble
