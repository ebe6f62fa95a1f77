"""What is going to happen in a day, from a seed: vehicles, profiles, limits, and what goes wrong.

Owns the times and the choices that need no knowledge of the day itself. The night has a calm in which nothing is
planned: turns are judged there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from tests.allocation.book import Book

HOUR = 3_600.0
START_S = 1_000.0
"""Noon, on the monotonic clock."""
DAY_S = 24 * HOUR
CALM_FROM_S = START_S + 13 * HOUR
SESSIONS = 500
TROUBLES, DEATHS, STUCK, MUTE, STORMS, EXTERNALS, SCHEDULES, IDLE, PROBES = 8, 8, 6, 4, 3, 8, 8, 40, 60


class Planned(NamedTuple):
    """Something that happens: when, which method of the day, with what."""

    at_s: float
    name: str
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Plan:
    """A day. ``resuming``: connectors that charge as the process starts."""

    rng: Random
    events: list[Planned]
    resuming: list[int]
    calm_ends_s: float

    def add(self, at_s: float, name: str, *arguments: Any) -> None:
        """Something else; not in the calm."""
        self.events.append(Planned(self.outside(at_s), name, arguments))

    def outside(self, at_s: float) -> float:
        """This moment, or one right before or after the calm."""
        from_s, to_s = CALM_FROM_S - 600.0, self.calm_ends_s
        if at_s <= from_s or at_s >= to_s:
            return at_s
        return from_s - (at_s - from_s) / 100 if at_s < (from_s + to_s) / 2 else to_s + (to_s - at_s) / 100


def plan(rng: Random, book: Book) -> Plan:
    """Everything that is known beforehand."""
    calm_s = min(12 * max(each.turn_s for each in book.connectors), 3 * HOUR)
    made = Plan(rng, [], [], CALM_FROM_S + calm_s)
    busy: list[list[tuple[float, float]]] = [[] for _ in book.connectors]
    if rng.random() < 0.33:
        _resume(made, busy)
    composite = _composites(rng)
    for _ in range(SESSIONS):
        _session(made, busy, composite)
    _limits(made, book)
    _faults(made, len(book.connectors))
    made.events.append(Planned(CALM_FROM_S - 400.0, "night", ()))
    made.events.append(Planned(CALM_FROM_S, "calm", ()))
    made.events.append(Planned(made.calm_ends_s - 1.0, "probe", ()))
    return made


def _resume(made: Plan, busy: list[list[tuple[float, float]]]) -> None:
    rng = made.rng
    for index in sorted(rng.sample(range(len(busy)), len(busy) // rng.choice((3, 6, 12)))):
        made.resuming.append(index)
        leaves_s = START_S + rng.uniform(0.5, 2.0) * HOUR
        busy[index].append((START_S, leaves_s + 120.0))
        made.add(START_S + rng.choice((rng.uniform(0.5, 28.0), rng.uniform(30.0, 110.0))), "attend", (index,))
        made.add(leaves_s, "leave", index)


def _composites(rng: Random) -> Callable[[], int]:
    """The composite of a connector in tenths: mostly all there is, now and then too little or nothing."""
    odd = rng.choice((0.02, 0.1))

    def composite() -> int:
        kind = rng.random()
        if kind < odd:
            return rng.choice((0, 30, 59, 60, 61))
        return 2_000 if kind < 0.6 else rng.randint(60, 320)

    return composite


def _arrival(rng: Random) -> tuple[float, float]:
    """When a vehicle comes and goes: a peak in the evening, some stay over night."""
    kind = rng.random()
    if kind < 0.18:
        return START_S + rng.uniform(5, 12.7) * HOUR, START_S + rng.uniform(16.2, 22) * HOUR
    stay_s = rng.choice((rng.uniform(0.2, 1.0), rng.uniform(0.5, 3.0))) * HOUR
    if kind < 0.6:
        return (start := START_S + rng.gauss(6.5, 2.0) * HOUR), start + stay_s
    return (start := START_S + rng.uniform(0.1, 22.5) * HOUR), start + stay_s


def _session(made: Plan, busy: list[list[tuple[float, float]]], composite: Callable[[], int]) -> None:
    rng = made.rng
    for _ in range(50):
        comes_s, goes_s = (made.outside(at_s) for at_s in _arrival(rng))
        index = rng.randrange(len(busy))
        is_possible = START_S < comes_s < goes_s - 120.0 < START_S + DAY_S
        if is_possible and all(goes_s + 60 < first or comes_s > last for first, last in busy[index]):
            break
    else:
        return
    busy[index].append((comes_s, goes_s + 60.0))
    add = made.add
    maximum = rng.choice((60, 100, 160, 160, 250, 320, 2_000))
    add(comes_s, "plug", index, maximum, rng.choice((1, 3, 3)), rng.random() < 0.5)
    if rng.random() < 0.03:
        add(goes_s, "leave", index)  # nobody authorised it
        return
    begins_s = comes_s + rng.uniform(0.1, 60.0)
    ready = rng.random() < 0.85
    phases = rng.choice((3, 3, 3, 1))
    add(begins_s, "authorize", index, composite(), phases, ready)
    if not ready:
        add(rng.uniform(begins_s, goes_s), "ready", index, True)
    for _ in range(rng.choice((0, 0, 1, 2))):
        off_s = rng.uniform(begins_s, goes_s)
        add(off_s, "ready", index, False)
        if rng.random() < 0.5:
            add(rng.uniform(off_s, goes_s), "ready", index, True)
    for _ in range(rng.choice((0, 0, 1, 2))):
        phases = rng.choice((phases, phases, 3, 1))
        add(rng.uniform(begins_s, goes_s), "profile", index, composite(), phases)
    if rng.random() < 0.3:
        stops_s = rng.uniform(begins_s, goes_s)
        add(stops_s, "stop", index)
        if rng.random() < 0.5:
            add(stops_s + rng.choice((0.2, 3.0, 60.0)), "authorize", index, composite(), phases, True)
    add(goes_s, "leave", index)


def _any_time(rng: Random) -> float:
    return START_S + rng.uniform(0.1, 23.5) * HOUR


def _limits(made: Plan, book: Book) -> None:
    rng, limits = made.rng, range(len(book.limits))
    points = [place for place in limits if book.limits[place].name.startswith("CP")]
    for _ in range(EXTERNALS):
        made.add(_any_time(rng), "external", rng.choice(limits), rng.uniform(0.2, 1.2), rng.uniform(20.0, 3_000.0))
    for _ in range(SCHEDULES):
        made.add(_any_time(rng), "schedule", rng.choice(points), rng.uniform(0.3, 1.2))
    for _ in range(TROUBLES):
        made.add(_any_time(rng), "trouble", rng.choice(limits))
    for _ in range(STORMS):
        made.add(_any_time(rng), "storm", rng.choice(points), rng.choice((2_000, 160, 80)))


def _faults(made: Plan, connectors: int) -> None:
    rng = made.rng
    for _ in range(DEATHS):
        first, dies_s = rng.randrange(connectors), _any_time(rng)
        group = tuple(range(first, min(first + rng.choice((1, 1, 2, 6)), connectors)))
        made.add(dies_s, "die", group)
        lasts_s = rng.choice((rng.uniform(0.5, 29.0), rng.uniform(29.0, 60.0), rng.uniform(60.0, 5_000.0)))
        made.add(dies_s + lasts_s, "attend", group)
    for name, count in (("stick", STUCK), ("mute", MUTE)):
        for _ in range(count):
            index, from_s = rng.randrange(connectors), _any_time(rng)
            made.add(from_s, name, index, True)
            made.add(from_s + rng.choice((rng.uniform(2.0, 40.0), rng.uniform(30.0, 1_500.0))), name, index, False)
    for _ in range(IDLE):
        made.add(_any_time(rng), "idle", rng.randrange(connectors))
    for _ in range(PROBES):
        made.add(_any_time(rng), "probe")


def by_time(events: Sequence[Planned]) -> list[Planned]:
    """In order; what is planned for one moment stays in the order of the plan."""
    return sorted(events, key=lambda each: each.at_s)
