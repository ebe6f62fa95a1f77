"""Fair shares: what the arithmetic in Rust is asked, in whole tenths of an ampere (decisions.md 5).

Owns the lists that it computes with, kept current connector by connector. Must never decide when shares are computed,
nor what becomes of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ocpphub import _native
from ocpphub.core.cap import Cap, Load
from ocpphub.core.member import Member


class Shares:
    """The shares of all connectors of a process."""

    __slots__ = ("_minimums", "_native", "bounds", "held")

    def __init__(self, members: Sequence[Member], caps: Sequence[Cap]) -> None:
        self.bounds, self.held = zeros(len(members)), zeros(len(members))
        self._minimums = array("I", [member.place.minimum for member in members]).tobytes()
        self._native = _native.Allocation(
            [(each.place.caps, *_split(each.place.loads[each.phases - 1])) for each in members], len(caps)
        )
        for index, cap in enumerate(caps):
            self.set_limit(index, cap)

    def set_limit(self, index: int, cap: Cap) -> None:
        """A limit has become another."""
        self._native.set_limit(index, cap.effective.milliamperes, cap.effective.milliwatts)

    def follow(self, index: int, member: Member) -> int:
        """What is computed with follows a connector; its bound, 0 where it gets no share."""
        bound = 0 if member.held else member.bound
        self.bounds[index] = bound
        self.held[index] = member.claim.tenths if member.held else 0
        phases = member.claim.phases if member.held or member.wish is None else member.wish.phases
        if phases != member.computed_phases:
            member.computed_phases = phases
            self._native.set_member(index, *_split(member.place.loads[phases - 1]))
        return bound

    def of(self, order: Sequence[int]) -> array[int]:
        """The shares of these connectors, admitted in this order; 0 for all others."""
        return self._of(order, self.held)

    def add_rest(self, shares: array[int], order: Sequence[int], rest: Sequence[int]) -> None:
        """Give to others what ``order`` has left."""
        taken = array("I", self.held)
        for index in order:
            taken[index] = shares[index]
        found = self._of(rest, taken)
        for index in rest:
            shares[index] = found[index]

    def _of(self, order: Sequence[int], held: array[int]) -> array[int]:
        bounds, places = self.bounds.tobytes(), array("I", order).tobytes()
        return array("I", self._native.allocate(bounds, self._minimums, held.tobytes(), places))


def zeros(count: int) -> array[int]:
    """A number for each connector."""
    return array("I", bytes(4 * count))


def _split(load: Load) -> tuple[tuple[int, int, int], int]:
    return (load.l1, load.l2, load.l3), load.milliwatts
