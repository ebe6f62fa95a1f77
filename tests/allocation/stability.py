"""Judges whether anything moves without a cause: a changed input, the end of a turn, room for a raise that waits.

Owns when those last happened. A decision follows its cause within 100 ms; a raise may follow, however late, when a
confirmation or a lease makes room for it. What nobody changed changes nothing, though it was said again.

Clause ``e`` of ``judge.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from tests.allocation.book import Book, Connector
from tests.allocation.turns import Turns

CONFIRM_TIMEOUT_S = 5.0
WINDOW_S = 0.1 + 1e-6
RAISED_S = 60.0
"""A share may have waited so long for confirmations: it counts from when it was decided, in the rotation of turns."""
EPSILON_S = 1e-6

Complain = Callable[[str, float, str], None]


class Stability:
    """Told of causes, and of every permit before it counts."""

    def __init__(self, book: Book, turns: Turns, complain: Complain) -> None:
        self._book, self._turns, self._complain = book, turns, complain
        self.input_s = self.room_s = -inf
        self._inputs = 0

    def input(self, now: float, each: Connector | None = None) -> None:
        """Something changed, of this connector or of a limit."""
        self.input_s = now
        self._inputs += 1
        self._turns.disturb()
        if each is not None:
            each.input_s = now

    def room(self, now: float) -> None:
        """A claim may have fallen."""
        self.room_s = now

    def is_quiet(self, now: float) -> bool:
        """Whether whatever follows of the last cause has happened."""
        return now > max(self.input_s, self.room_s, self._turns.end_s) + 2 * WINDOW_S

    def is_overdue(self, each: Connector, now: float) -> bool:
        """Whether a decrease was not confirmed in time while a limit above is exceeded."""
        is_late = each.fell_s is not None and now >= each.fell_s + CONFIRM_TIMEOUT_S - EPSILON_S
        return is_late and any(limit.is_short for limit in each.above)

    def permit(self, each: Connector, energize: bool, tenths: int, is_raise: bool, now: float) -> None:
        """A permit is handed out; ``each`` is as it was before."""
        if not energize and self.is_overdue(each, now):
            self.input(now, each)
            for limit in each.above:
                limit.held_s = now
        elif now > self.input_s + WINDOW_S and not (is_raise and now <= self.room_s + WINDOW_S):
            self._without_input(each, tenths, now)
        if (tenths > 0) is not (each.tenths > 0):
            self._switch(each, tenths > 0, now)

    def _without_input(self, each: Connector, tenths: int, now: float) -> None:
        """A turn has ended; or one that was told to stop long ago is given no lease any more, and no permit says so."""
        found = [
            other
            for other in self._book.connectors
            if other.is_told and not other.permit.energize and self.is_overdue(other, now)
        ]
        for other in found:
            self.input(now, other)
            for limit in other.above:
                limit.held_s = now
        if not found:
            self._turns.end(each, tenths, now)

    def _switch(self, each: Connector, is_on: bool, now: float) -> None:
        if is_on:
            is_idle = self._inputs == each.off_inputs and self._turns.end_s <= each.off_s
            if is_idle and each.input_s < each.off_s - WINDOW_S and now < each.off_s + each.turn_s - EPSILON_S:
                self._complain("e", now, f"{each.name} is on again {now - each.off_s:.3f} s after it was switched off")
            began_s = self._turns.end_s
            each.on_s = began_s if now < began_s + RAISED_S else now
            return
        recent = now - WINDOW_S
        is_excused = each.input_s >= recent or any(max(limit.fell_s, limit.held_s) >= recent for limit in each.above)
        is_resting = each.wish is not None and not each.wish.is_ready  # it has what nobody else wants, while that lasts
        if not is_excused and not is_resting and now < each.on_s + each.turn_s - RAISED_S:
            text = f"{each.name} is off {now - each.on_s:.3f} s after it was switched on, its turn_s is {each.turn_s}"
            self._complain("e", now, text)
        each.off_s, each.off_inputs = now, self._inputs
