"""All limits of a hub together with the claims beneath them: what still fits, and where there is too much already.

Owns which limits are short. Must never choose who gets what: that is the allocation.

Implements: design decisions.md 5, allocation.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ocpphub.core.cap import Cap
from ocpphub.core.claim import Sent
from ocpphub.core.member import Member, Wish


class Limits:
    """The limits of a process, by their index in ``caps``."""

    __slots__ = ("caps", "short")

    def __init__(self, caps: Sequence[Cap]) -> None:
        self.caps = caps
        self.short: set[int] = set()
        """Limits that the claims are above."""

    def recount(self, member: Member) -> bool:
        """A claim has changed, and so have the sums of its limits; whether another limit is short now."""
        new = member.claim.counted(member.place.loads)
        old = member.counted
        if new == old:
            return False
        member.counted = new
        has_moved = False
        caps, short = self.caps, self.short
        for index in member.place.caps:
            cap = caps[index]
            cap.count(old, new)
            if cap.is_short is not (index in short):
                has_moved = self.watch(index)
        return has_moved

    def watch(self, index: int) -> bool:
        """A limit, or what is claimed of it, has changed; whether it is short now and was not, or the other way."""
        is_short = self.caps[index].is_short
        if is_short is (index in self.short):
            return False
        (self.short.add if is_short else self.short.remove)(index)
        return True

    def fits(self, member: Member, tenths: int, phases: int) -> bool:
        """Whether the claims are within every limit when this connector may draw so much."""
        old, new = member.counted, member.claim.counted(member.place.loads, Sent(member.seq + 1, tenths, phases))
        return all(self.caps[index].takes(old, new) for index in member.place.caps)

    def is_beneath_short(self, member: Member) -> bool:
        """Whether one of its limits is short."""
        return not self.short.isdisjoint(member.place.caps)

    def is_beneath_tight(self, member: Member) -> bool:
        """Whether one of its limits leaves somebody with less than they could take."""
        return any(self.caps[index].is_tight for index in member.place.caps)

    def watts(self, member: Member, wish: Wish, share: int, phases: int) -> float:
        """A permit in watts: the composite's own where the share is all of it, and no limit is in watts."""
        if not share:
            return 0.0
        if share >= wish.tenths and wish.is_whole and not self._counts_watts(member):
            return wish.watts
        return min(wish.watts, share * member.place.loads[phases - 1].milliwatts // 1000 / 10)

    def _counts_watts(self, member: Member) -> bool:
        return any(self.caps[index].effective.milliwatts is not None for index in member.place.caps)

    def mark_tight(self, shares: array[int], bounds: array[int]) -> None:
        """Find the limits beneath which somebody has less than their bound."""
        is_enough = shares == bounds
        for cap in self.caps:
            cap.is_tight = not is_enough and any(shares[index] < bounds[index] for index in cap.members)
