"""CPU time of one statement, net of an empty call, peers interleaved.

Owns the clock of the benches: thread CPU time, garbage collection off, medians over rounds. Must never compare figures
of two runs. Wall time is not measured here.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import thread_time
from typing import Any

SLICE_S = 0.001
EMPTY_CALL = "callable(frame)"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is timed: Python source (a statement beside the timing loop costs no call of its own) and its names.

    It makes so many ``calls``, each of which costs the floor, and does so many ``operations``.
    """

    source: str
    names: Mapping[str, Any]
    calls: int = 1
    operations: int = 1

    def run(self) -> Any:
        """The value of the statement, for the assertion that precedes timing."""
        return eval(self.source, dict(self.names))  # noqa: S307  our own source

    def timer(self) -> timeit.Timer:
        """A timer on thread CPU time."""
        return timeit.Timer(self.source, globals=dict(self.names), timer=thread_time)


Lap = Callable[[], float]
"""One round of a peer in another process: nanoseconds of CPU time per operation, with nothing to be taken off."""


@dataclass(slots=True)
class Track:
    """The rounds of one statement: nanoseconds per call, floor not yet taken off."""

    timer: timeit.Timer
    number: int = 1
    rounds: list[float] = field(default_factory=list)

    def calibrate(self, slice_s: float) -> None:
        """Choose how often the statement runs per round so that a round lasts about a slice."""
        self.timer.timeit(1)
        while True:
            seconds = self.timer.timeit(self.number)
            if seconds >= slice_s / 4 or self.number >= 100_000:
                self.number = max(1, round(self.number * slice_s / max(seconds, 1e-7)))
                return
            self.number *= 4

    def lap(self) -> None:
        """One more round."""
        self.rounds.append(self.timer.timeit(self.number) / self.number * 1e9)


@dataclass(frozen=True, slots=True)
class Figure:
    """Net nanoseconds per call: median and the half-width of the middle half of the rounds as a share of it."""

    ns: float
    spread: float


def measure(
    statements: Mapping[str, Statement],
    rounds: int,
    slice_s: float = SLICE_S,
    slow_ns: float = 20e6,
    beside: Mapping[str, Lap] | None = None,
) -> dict[str, Figure]:
    """Net figures of all statements, one lap of each per round; statements slower than ``slow_ns`` get five rounds.

    Peers in other processes (``beside``) have their turn in every round too.
    """
    tracks = {name: Track(statement.timer()) for name, statement in statements.items()}
    floor = Track(timeit.Timer(EMPTY_CALL, globals={"frame": b""}, timer=thread_time))
    for track in (*tracks.values(), floor):
        track.calibrate(slice_s)
    others: dict[str, list[float]] = {name: [] for name in beside or {}}
    for number in range(rounds):
        floor.lap()
        for track in tracks.values():
            if number < 5 or track.rounds[0] < slow_ns:
                track.lap()
        for name, lap in (beside or {}).items():
            others[name].append(lap())
    empty = statistics.median(floor.rounds)
    return {
        name: _figure(track.rounds, empty * statements[name].calls, statements[name].operations)
        for name, track in tracks.items()
    } | {name: _figure(laps, 0.0, 1) for name, laps in others.items()}


def _figure(rounds: Sequence[float], empty: float, operations: int) -> Figure:
    middle = statistics.median(rounds)
    ordered = sorted(rounds)
    quarter = len(ordered) // 4
    width = (ordered[-1 - quarter] - ordered[quarter]) / 2
    return Figure(max(middle - empty, 0.1) / operations, width / middle)
