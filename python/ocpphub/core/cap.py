"""Limits that several connectors share: feeders, and what bounds a whole charge point (decisions.md 5).

Owns the numbers of each limit - configured, scheduled, set by an energy manager - and the sum of the claims beneath it.
Must never choose who gets what: that is the allocation. Sums are exact integers: a current counts tenths of an ampere
times millionths of load, a power tenths of an ampere times milliwatts per ampere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

PER_UNIT: Final = 1_000_000
"""The load of a conductor that carries the whole current of a connector."""


class Amount(NamedTuple):
    """A limit: milliamperes per phase and milliwatts, ``None`` where there is none of that kind."""

    milliamperes: int | None = None
    milliwatts: int | None = None

    def within(self, other: Amount) -> Amount:
        """The lower of two limits, each kind by itself."""
        return Amount(_least(self.milliamperes, other.milliamperes), _least(self.milliwatts, other.milliwatts))


UNLIMITED: Final = Amount()


class External(NamedTuple):
    """What an energy manager has set, and until when (UTC milliseconds)."""

    amount: Amount
    until_ms: int


class Load(NamedTuple):
    """What a connector puts on its limits for each ampere of its share: millionths on L1 to L3, and milliwatts."""

    l1: int
    l2: int
    l3: int
    milliwatts: int


Counted = tuple[int, int, int, int]
"""What a claim is on L1 to L3, in tenths of an ampere times millionths, and in tenths times milliwatts per ampere."""
NOTHING: Final[Counted] = (0, 0, 0, 0)


@dataclass(slots=True)
class Cap:
    """One limit and the claims beneath it. ``identity`` is set for the limit of a whole charge point."""

    name: str
    configured: Amount
    identity: str | None = None
    scheduled: Amount = UNLIMITED
    external: External | None = None
    effective: Amount = UNLIMITED
    is_tight: bool = False
    """Whether a connector beneath it has less than it could take."""
    members: list[int] = field(default_factory=list)
    _used: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> bool:
        """Add up what the limit is now; whether it is another one."""
        amount = self.configured.within(self.scheduled)
        if self.external is not None:
            amount = amount.within(self.external.amount)
        is_new = amount != self.effective
        self.effective = amount
        return is_new

    def count(self, old: Counted, new: Counted) -> None:
        """A claim beneath it has become another."""
        used = self._used
        for place in range(4):
            used[place] += new[place] - old[place]

    def takes(self, old: Counted, new: Counted) -> bool:
        """Whether the claims are within the limit when one of them becomes another."""
        return all(room is None or room + old[at] >= new[at] for at, room in enumerate(self._room()))

    @property
    def is_short(self) -> bool:
        """Whether the claims are above the limit."""
        return any(room is not None and room < 0 for room in self._room())

    def _room(self) -> tuple[int | None, ...]:
        amperes, watts = self.effective
        used = self._used
        if amperes is None:
            free: tuple[int | None, ...] = (None, None, None)
        else:
            most = amperes * (PER_UNIT // 100)  # mA x 1e6 millionths, in tenths of an ampere
            free = (most - used[0], most - used[1], most - used[2])
        return (*free, None if watts is None else watts * 10 - used[3])

    @property
    def claimed_a(self) -> float:
        """The claims beneath it in amperes, of the phase that has most."""
        return max(self._used[:3]) / PER_UNIT / 10

    @property
    def claimed_w(self) -> float:
        """The claims beneath it in watts."""
        return self._used[3] / 10_000


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
