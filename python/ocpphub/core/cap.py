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


_BOUNDLESS: Final = 1 << 60
"""More than all claims can come to."""
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
    _most: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> bool:
        """Add up what the limit is now; whether it is another one."""
        amount = self.configured.within(self.scheduled)
        if self.external is not None:
            amount = amount.within(self.external.amount)
        is_new = amount != self.effective
        self.effective = amount
        amperes, watts = amount
        # mA x 1e6 millionths, in tenths of an ampere; mW, in tenths
        phase = _BOUNDLESS if amperes is None else amperes * (PER_UNIT // 100)
        self._most = [phase, phase, phase, _BOUNDLESS if watts is None else watts * 10]
        return is_new

    def count(self, old: Counted, new: Counted) -> None:
        """A claim beneath it has become another."""
        used = self._used
        used[0] += new[0] - old[0]
        used[1] += new[1] - old[1]
        used[2] += new[2] - old[2]
        used[3] += new[3] - old[3]

    def takes(self, old: Counted, new: Counted) -> bool:
        """Whether the claims are within the limit when one of them becomes another."""
        used, most = self._used, self._most
        return (
            used[0] - old[0] + new[0] <= most[0]
            and used[1] - old[1] + new[1] <= most[1]
            and used[2] - old[2] + new[2] <= most[2]
            and used[3] - old[3] + new[3] <= most[3]
        )

    @property
    def is_short(self) -> bool:
        """Whether the claims are above the limit."""
        used, most = self._used, self._most
        return used[0] > most[0] or used[1] > most[1] or used[2] > most[2] or used[3] > most[3]

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
