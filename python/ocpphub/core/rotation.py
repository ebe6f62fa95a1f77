"""Turns: who goes first when there is not enough for all minimums (decisions.md 5).

Owns the order in which connectors are admitted and when a turn ends. Must never know a current or a limit. Nobody who
has a share loses it to one that waits before the turn ends, and no turn is shorter than ``turn_s``.

The least energy of the last turn goes first; of equals the one whose last share is longest ago, then the connector's
place. (Ties by connector alone would starve the last of three groups: after its turn the first has 0 again.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

SLACK_S: Final = 0.001
LATE_S: Final = 60.0
"""A share counts from when it was decided; from its permit where that had to wait longer than this for room."""
Register = Callable[[int], int | None]
"""The last good register of a connector in Wh, ``None`` without a meter."""


@dataclass(slots=True)
class Rotation:
    """The order of the connectors that want a share, by their places."""

    register: Register
    ends_s: float | None = None
    """When the turn ends, monotonic; ``None`` while there is enough for all."""
    turns: int = 0
    """How many have ended since start."""
    _order: list[int] = field(default_factory=list)
    _served: dict[int, int] = field(default_factory=dict)
    """Place -> a number that rises with each share that is given, or kept, at the begin of a turn or in it."""
    _given: int = 0
    _since: dict[int, float] = field(default_factory=dict)
    """Those that have a share, and since which computation."""
    _begun_wh: dict[int, int] = field(default_factory=dict)
    """Registers as the turn began."""

    def order(
        self,
        wanting: Sequence[int],
        sharing: Mapping[int, float],
        turn_s: float,
        now_s: float,
        grown: Collection[int] = (),
    ) -> list[int]:
        """Who is admitted first, of those ``wanting`` by their places; ``sharing``: who has a share, and since when.

        While a turn runs the order stays; who comes new waits at the end, and who has ``grown`` - takes more phases, or
        has become ready - goes behind those that share already.
        """
        if self.ends_s is not None and now_s >= self.ends_s:
            keeping = {place for place, since_s in self._since.items() if now_s - since_s < turn_s - SLACK_S}
            keeping |= {place for place, told_s in sharing.items() if self._came_late(place, told_s, turn_s, now_s)}
            self._turn(wanting, keeping)
            self.ends_s = now_s + turn_s
        else:
            if self.ends_s is None:
                self._order = [*sorted(sharing), *(place for place in wanting if place not in sharing)]
                self._since = dict(sharing)
                self._begin(wanting)
                self.ends_s = now_s + turn_s
            ranks = {place: 1 if place in grown else 0 for place in (*self._since, *sharing)}
            self._order.sort(key=lambda place: ranks.get(place, 2))
        wanted = set(wanting)
        known = [place for place in self._order if place in wanted]
        self._order = known + sorted(wanted.difference(known))
        return self._order

    def _came_late(self, place: int, told_s: float, turn_s: float, now_s: float) -> bool:
        """Whether a share was decided long before there was room for it: then it counts from its permit."""
        return told_s > self._since.get(place, told_s) + LATE_S and now_s - told_s < turn_s - SLACK_S

    def _turn(self, wanting: Sequence[int], keeping: set[int]) -> None:
        """Another turn: who has had a share for less than a whole one keeps it."""
        self.turns += 1
        had = set(self._since)
        self._since = {place: since_s for place, since_s in self._since.items() if place in keeping}
        energy: dict[int, int] = {}
        for place in wanting:
            register = self.register(place)
            energy[place] = 0 if register is None else max(register - self._begun_wh.get(place, register), 0)
        self._order = sorted(
            wanting,
            key=lambda place: (place not in keeping, place in had, energy[place], self._served.get(place, -1), place),
        )
        for place in keeping:
            self._served.pop(place, None)
        self._begin(wanting)

    def _begin(self, places: Sequence[int]) -> None:
        self._begun_wh = {place: wh for place in places if (wh := self.register(place)) is not None}

    def given(self, with_share: Iterable[int], now_s: float) -> None:
        """Shares were given in this order: who has one keeps it through the turn."""
        served = {place: self._since.get(place, now_s) for place in with_share}
        for place in served:
            if place not in self._since or place not in self._served:
                self._given += 1
                self._served[place] = self._given
        self._since = served
        self._order = [*served, *(place for place in self._order if place not in served)]

    def end(self) -> None:
        """There is enough for all."""
        self.ends_s = None
        for kept in (self._served, self._since, self._begun_wh):
            kept.clear()
