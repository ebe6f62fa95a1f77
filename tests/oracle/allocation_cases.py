"""Random hubs with limits that share a current: feeders in feeders, limits across them, rotated phases, DC, claims.

Owns the choice of the numbers. Must never compute a share. Case number n is always the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from ocpphub._native import Allocation

Loads = tuple[int, int, int]
Member = tuple[tuple[int, ...], Loads, int]

WHOLE = 1_000_000
ROTATIONS = ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2), (0, 1, 2), (0, 1, 2))
# What a DC vehicle's current makes of the three phases: (load of each, mW per A), of 50 V to 900 V behind a rectifier.
DIRECT = ((1_385_000, 900_000), (616_000, 400_000), (77_000, 50_000), (577_350, 375_000))
MINIMUMS = (0, 60, 60, 60, 100)
BOUNDS = (0, 59, 60, 61, 100, 160, 160, 320, 320, 321, 800)


@dataclass(frozen=True, slots=True)
class Case:
    """One question; currents in tenths of an ampere per phase."""

    members: tuple[Member, ...]
    limits: tuple[tuple[int | None, int | None], ...]
    """mA per phase and mW."""
    bounds: tuple[int, ...]
    minimums: tuple[int, ...]
    held: tuple[int, ...]
    order: tuple[int, ...]

    def shares(self) -> list[int]:
        """The answer of the engine."""
        allocation = Allocation(self.members, len(self.limits))
        for index, (milliamperes, milliwatts) in enumerate(self.limits):
            allocation.set_limit(index, milliamperes, milliwatts)
        lists = (self.bounds, self.minimums, self.held, self.order)
        return array("I", allocation.allocate(*map(_packed, lists))).tolist()

    def finer(self, times: int) -> Case:
        """The same hub where a step is so many times smaller."""

        def scaled(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(value * times for value in values)

        return replace(
            self,
            limits=tuple((_times(current, times), _times(power, times)) for current, power in self.limits),
            bounds=scaled(self.bounds),
            minimums=scaled(self.minimums),
            held=scaled(self.held),
        )


def _packed(numbers: Iterable[int]) -> bytes:
    return array("I", numbers).tobytes()


def _times(amount: int | None, times: int) -> int | None:
    return None if amount is None else amount * times


def numbered(number: int) -> Case:
    """A hub of 1 to 40 members under limits of every kind."""
    random = Random(number)  # noqa: S311 - repeatable on purpose
    count = random.choice((1, 2, 3, 5, 8, 13, 21, 30, 40))
    paths = _paths(random, count)
    limits = 1 + max((limit for path in paths for limit in path), default=-1)
    for _ in range(random.choice((0, 0, 1, 2))):  # across the feeders
        for member in range(count):
            if random.random() < 0.4:
                paths[member] = (*paths[member], limits)
        limits += 1
    members = tuple((tuple(random.sample(path, len(path))), *_loads(random)) for path in paths)
    caps = tuple(_caps(random, [member for member in members if index in member[0]]) for index in range(limits))
    return _wishes(random, members, caps)


def nested(number: int) -> Case:
    """Feeders in feeders alone, three phases everywhere, limits in whole steps: no rounding is handed on."""
    random = Random(number)  # noqa: S311 - repeatable on purpose
    count = random.choice((2, 5, 13, 30))
    paths = _paths(random, count)
    limits = 1 + max((limit for path in paths for limit in path), default=-1)
    members = tuple((path, (WHOLE, WHOLE, WHOLE), 690_000) for path in paths)
    sizes = [sum(index in path for path in paths) for index in range(limits)]
    caps = tuple((100 * random.randint(40 * size, 300 * size), None) for size in sizes)
    return _wishes(random, members, caps)


def _paths(random: Random, count: int) -> list[tuple[int, ...]]:
    """The feeders of each member, from its own one up."""
    feeders = random.choice((0, 1, 2, 4, 7))
    parents = [random.choice((*range(index), None)) for index in range(feeders)]
    paths = []
    for _ in range(count):
        at, path = (random.randrange(feeders) if feeders and random.random() < 0.9 else None), []
        while at is not None:
            path.append(at)
            at = parents[at]
        paths.append(tuple(path))
    return paths


def _loads(random: Random) -> tuple[Loads, int]:
    """How a member loads its limits."""
    if random.random() < 0.25:
        load, power = random.choice(DIRECT)
        return (load, load, load), power
    phases = random.choice(ROTATIONS)
    return (WHOLE * (0 in phases), WHOLE * (1 in phases), WHOLE * (2 in phases)), 230_000 * len(phases)


def _caps(random: Random, members: list[Member]) -> tuple[int | None, int | None]:
    """Limits from nothing to more than all of these members could use."""
    share_a = random.choice((0.5, 4, 6, 8, 12, 16, 25, 40))
    load = max((sum(loads[phase] for _, loads, _ in members) for phase in range(3)), default=0)
    power = sum(power for _, _, power in members)
    current = int(load * share_a / 1_000) + random.choice((0, 0, 1, 50))
    watts = int(power * share_a * random.choice((0.5, 1, 2)))
    return random.choice(((current, None), (current, None), (None, watts), (current, watts), (None, None)))


def _wishes(random: Random, members: tuple[Member, ...], limits: tuple[tuple[int | None, int | None], ...]) -> Case:
    """What members want; some hold something, some want nothing."""
    count = len(members)
    chosen = [index for index in range(count) if random.random() < 0.9]
    claims = random.random() < 0.3
    held = tuple(random.choice((1, 60, 160)) if claims and index not in chosen else 0 for index in range(count))
    return Case(
        members,
        limits,
        bounds=tuple(random.choice(BOUNDS) for _ in range(count)),
        minimums=tuple(random.choice(MINIMUMS) for _ in range(count)),
        held=held,
        order=tuple(random.sample(chosen, len(chosen))),
    )
