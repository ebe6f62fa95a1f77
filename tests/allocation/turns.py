"""Judges turns: when they may end, and whether in a calm everybody who waits gets one as often as its equals.

Owns who waits, and in a calm - nothing is said to the allocation but confirmations - who had how many slices. A slice
is a turn at whose end a connector has a share.

Clauses ``e`` (a turn ends after ``turn_s``) and ``f`` of ``judge.py``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from math import inf

from tests.allocation.book import Book, Connector

WINDOW_S = 0.1 + 1e-6
EPSILON_S = 1e-6
LATE_S = 1.0

Complain = Callable[[str, float, str], None]


class Turns:
    """Who waits for a turn, and in a calm how the slices are dealt."""

    def __init__(self, book: Book, complain: Complain) -> None:
        self._book, self._complain = book, complain
        self._shortest_s = min(each.turn_s for each in book.connectors)
        self._longest_s = max(each.turn_s for each in book.connectors)
        self._waiting: set[int] = set()
        self._began_s = self._nobody_s = -inf
        self.end_s = -inf
        """When a turn last ended, as far as permits show it."""
        self._calm_s: float | None = None
        self._contenders: list[Connector] = []
        self._equals: dict[int, list[int]] = {}
        self._rivals: dict[int, int] = {}
        self._missed: defaultdict[int, int] = defaultdict(int)
        self._leads: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.slices = 0
        """Slices that were dealt in calms."""

    def follow(self, each: Connector, now: float) -> None:
        """Something about a connector changed: does it wait?"""
        waiting = self._waiting
        if each.is_waiting:
            if not waiting and now > self._nobody_s + WINDOW_S:
                self._began_s = now
            waiting.add(each.index)
        elif each.index in waiting:
            waiting.discard(each.index)
            if not waiting:
                self._nobody_s = now

    def end(self, each: Connector, tenths: int, now: float) -> None:
        """A permit changes and no input did: so a turn has ended, or this is a breach."""
        if now <= self.end_s + WINDOW_S:
            return
        what = f"{each.name} from {each.tenths} to {tenths} tenths without a cause"
        began_s = max(self.end_s, self._began_s)
        if not self._waiting:
            self._complain("e", now, f"{what}: nobody waits for a turn")
        elif now < began_s + self._shortest_s - EPSILON_S:
            self._complain("e", now, f"{what}: the turn began {now - began_s:.3f} s ago")
        self._turn(now)
        self.end_s = now

    # a calm

    def calm(self, now: float) -> None:
        """From now on nothing changes but confirmations, until :meth:`disturb`."""
        self._calm_s = now
        self._missed.clear()
        self._leads.clear()
        self._contenders = [each for each in self._book.connectors if each.contends and _fits_alone(each)]
        groups: dict[Hashable, list[int]] = {}
        self._equals, self._rivals = {}, {}
        for each in self._contenders:
            wish = each.wish
            assert wish is not None
            names = tuple(limit.name for limit in each.above)
            key = (names, each.loads[wish.phases - 1], each.minimum, wish.tenths)
            group = groups.setdefault(key, [])
            group.append(each.index)
            self._equals[each.index] = group
            shared = set(each.above)
            self._rivals[each.index] = sum(1 for other in self._contenders if not shared.isdisjoint(other.above))

    def disturb(self) -> None:
        """The calm is over; what was found stays found."""
        self._calm_s = None

    @property
    def is_calm(self) -> bool:
        """Whether slices are counted."""
        return self._calm_s is not None

    def look(self, now: float) -> None:
        """In a calm, turns end as long as somebody waits who could have a share.

        At the end of one nothing may change: who got its share in the course of it keeps it through the next.
        """
        if self._calm_s is None:
            return
        since_s = max(self._calm_s, self.end_s)
        waiting = [each.name for each in self._contenders if not each.tenths]
        if waiting and now > since_s + 2 * self._longest_s + LATE_S:
            self._complain("f", now, f"no turn ends since {now - since_s:.0f} s, and {waiting} wait")

    def _turn(self, now: float) -> None:
        """A turn ends; the permits are still those of it."""
        self.look(now)
        if self._calm_s is None:
            return
        is_whole = self.end_s >= self._calm_s
        for each in self._contenders:
            index, equals = each.index, self._equals[each.index]
            if each.tenths:
                self.slices += 1
                self._missed[index] = 0
                for other in equals:
                    self._leads[index, other] = 0
                continue
            self._missed[index] += 1
            if self._missed[index] > self._rivals[index]:
                text = f"{each.name} has missed {self._missed[index]} turns with {self._rivals[index]} who contend"
                self._complain("f", now, text)
            for other in equals:
                rival = self._book.connectors[other]
                if is_whole and rival.tenths:
                    self._leads[index, other] += 1
                    if self._leads[index, other] > 1:
                        self._complain("f", now, f"{each.name} waits, {rival.name} had two turns")


def _fits_alone(each: Connector) -> bool:
    """Whether its minimum is within every limit when nobody else has anything but those who cannot be told."""
    wish = each.wish
    assert wish is not None
    own = each.load(each.minimum, wish.phases)
    for limit in each.above:
        for at in range(4):
            held = sum(other.claim[at] for other in limit.below if not other.is_told)
            if held + own[at] > limit.cap[at]:
                return False
    return True
