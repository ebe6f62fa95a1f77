"""P2: fair shares of a hub whose connectors count for three limits each: the site, a feeder, their charge point.

Owns the hub and its situations. Must never time shares that are not within every limit, or that leave somebody a step
that is to be had.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any

from benches.stopwatch import Statement, measure
from ocpphub._native import Allocation

if TYPE_CHECKING:
    from benches.schedules import Results

CONNECTORS = 10_000
OF_A_CHARGE_POINT = 10
OF_A_FEEDER = 100
WHOLE = 1_000_000
MINIMUM = 60
SITUATIONS: Mapping[str, tuple[float, float, float]] = {
    "enough for all": (50, 50, 50),
    "the site is short": (9, 50, 50),
    "each limit is short at a level of its own": (14, 12, 11),
    "not enough for the minimums": (3, 6, 9),
}
"""A per connector that the site, a feeder and a charge point allow; feeders and charge points half to one and a half
times as much."""
SLICE_S = 0.02

Member = tuple[tuple[int, int, int], tuple[int, int, int], int]


@dataclass(frozen=True, slots=True)
class Hub:
    """Everything that an allocation is asked with; all connectors are active, in an order of their energies."""

    members: Sequence[Member]
    amperes: Sequence[int]
    """mA of each limit."""
    bounds: Sequence[int]
    order: Sequence[int]

    def allocation(self) -> Allocation:
        """The limits set."""
        allocation = Allocation(self.members, len(self.amperes))
        for index, milliamperes in enumerate(self.amperes):
            allocation.set_limit(index, milliamperes, 230 * 3 * milliamperes)
        return allocation

    def lists(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The arguments of ``allocate``."""
        none, least = [0] * len(self.members), [MINIMUM] * len(self.members)
        bounds, minimums, held, order = (array("I", row).tobytes() for row in (self.bounds, least, none, self.order))
        return bounds, minimums, held, order

    def rows(self) -> Iterator[tuple[dict[int, int], int]]:
        """Every kind of every limit: units per step by connector, and how many there are."""
        inside: list[list[int]] = [[] for _ in self.amperes]
        for connector, (limits, _, _) in enumerate(self.members):
            for limit in limits:
                inside[limit].append(connector)
        for connectors, milliamperes in zip(inside, self.amperes, strict=True):
            for phase in range(3):
                yield {one: self.members[one][1][phase] for one in connectors}, milliamperes * 10_000
            yield {one: self.members[one][2] for one in connectors}, 230 * 3 * milliamperes * 10


def hub(situation: str, connectors: int = CONNECTORS) -> Hub:
    """A hub in a situation: rotated one-phase sockets, three-phase ones, one vehicle in twenty on DC."""
    random = Random(1)
    site, feeder, charge_point = SITUATIONS[situation]
    feeders = -(-connectors // OF_A_FEEDER)
    charge_points = -(-connectors // OF_A_CHARGE_POINT)
    members: list[Member] = []
    for connector in range(connectors):
        limits = (0, 1 + connector // OF_A_FEEDER, 1 + feeders + connector // OF_A_CHARGE_POINT)
        kind = random.random()
        if kind < 0.05:
            members.append((limits, (WHOLE * 577 // 1_000,) * 3, 400_000))
        elif kind < 0.55:
            members.append((limits, (WHOLE,) * 3, 690_000))
        else:
            loads = (WHOLE, 0, 0), (0, WHOLE, 0), (0, 0, WHOLE)
            members.append((limits, loads[connector % 3], 230_000))
    amperes = [
        site * connectors,
        *(feeder * OF_A_FEEDER * random.uniform(0.5, 1.5) for _ in range(feeders)),
        *(charge_point * OF_A_CHARGE_POINT * random.uniform(0.5, 1.5) for _ in range(charge_points)),
    ]
    bounds = [random.choice((160, 160, 320, 320, random.randint(60, 320))) for _ in range(connectors)]
    order = random.sample(range(connectors), connectors)
    return Hub(members, [round(1_000 * limit) for limit in amperes], bounds, order)


def statement(hub: Hub) -> Statement:
    """One allocation, its answer checked."""
    bounds, minimums, held, order = hub.lists()
    names: dict[str, Any] = {"allocate": hub.allocation().allocate, "bounds": bounds, "minimums": minimums}
    timed = Statement("allocate(bounds, minimums, held, order)", names | {"held": held, "order": order})
    check(hub, array("I", timed.run()).tolist())
    return timed


def check(hub: Hub, shares: Sequence[int]) -> None:
    """Everybody who is admitted by a plain walk has the minimum to the bound, and no step more is to be had."""
    rows = list(hub.rows())
    of: list[list[tuple[int, int]]] = [[] for _ in shares]
    for number, (loads, _) in enumerate(rows):
        for connector, load in loads.items():
            if load:
                of[connector].append((number, load))
    left = [room for _, room in rows]
    admitted = set()
    for connector in hub.order:
        if all(load * MINIMUM <= left[number] for number, load in of[connector]):
            admitted.add(connector)
            for number, load in of[connector]:
                left[number] -= load * MINIMUM
    assert {connector for connector, share in enumerate(shares) if share} == admitted
    sums = [Sum(loads, shares) for loads, _ in rows]
    for connector in admitted:
        share = shares[connector]
        assert MINIMUM <= share <= hub.bounds[connector], connector
        assert all(sums[number].down_to(1 << 32) <= rows[number][1] for number, _ in of[connector]), connector
        has_step = (sums[number].down_to(share + 1) + load <= rows[number][1] for number, load in of[connector])
        assert share == hub.bounds[connector] or not all(has_step), connector


class Sum:
    """The load of a limit when everybody gives away what is above a share."""

    def __init__(self, loads: Mapping[int, int], shares: Sequence[int]) -> None:
        ranked = sorted(loads, key=shares.__getitem__)
        self.shares = [shares[connector] for connector in ranked]
        self.taken = [0, *accumulate(loads[connector] * shares[connector] for connector in ranked)]
        self.loads = [0, *accumulate(loads[connector] for connector in ranked)]

    def down_to(self, share: int) -> int:
        """Units."""
        place = bisect_right(self.shares, share)
        return self.taken[place] + (self.loads[-1] - self.loads[place]) * share


def run(results: Results, rounds: int) -> None:
    """Nanoseconds of each situation."""
    statements = {name: statement(hub(name)) for name in SITUATIONS}
    figures = measure(statements, rounds, SLICE_S)
    results.other |= {f"allocate_ns, {name}": figure.ns for name, figure in figures.items()}
    results.spread |= {f"allocate, {name}": figure.spread for name, figure in figures.items()}
