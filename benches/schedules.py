"""P2: what is measured on composite schedules, with the assertion that comes before the clock.

Owns the order of the run and the statements that compute: all connectors, one connector, flatness. What changes, is
published or explained is in upkeep.py, what is shared in allocation.py. Must never time a statement whose answer it has
not checked, nor let the window that the engine keeps answer for a computation: starts alternate.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benches import allocation, footprint, schedule_goals, stations, sweep, upkeep
from benches.goals import Goal
from benches.limit import Limit
from benches.stations import DAY_S, WINDOWS, Station
from benches.stopwatch import Figure, Statement, measure

Row = dict[str, float]
# As long as a round of the limit program, which does not time its first calls alone either.
SLICE_S = 0.02
SLOW_NS = 1e9
LARGEST = 10_000
"""Connectors of the goals on change, publication, memory and load."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: workloads by size, our columns and those of the limit program, and the slow rest or not."""

    std: Sequence[int]
    heavy: Sequence[int]
    ours: Sequence[str]
    limits: Sequence[str]
    is_whole: bool


SIZES = (1, 10, 128, 1_000, LARGEST)
WHOLE = Extent(SIZES, SIZES, ("compute", "composite_all"), ("all_full", "all_sort", "json"), is_whole=True)
QUICK = Extent(SIZES[1:], (1_000,), ("compute",), ("all_full",), is_whole=False)


@dataclass(slots=True)
class Results:
    """Everything P2 states: nanoseconds by row and column, bytes, shares, and the goal lines."""

    every: dict[str, Row] = field(default_factory=dict)
    one: dict[str, Row] = field(default_factory=dict)
    flat: dict[str, Row] = field(default_factory=dict)
    changes: dict[str, Row] = field(default_factory=dict)
    other: Row = field(default_factory=dict)
    spread: Row = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, table: dict[str, Row], name: str, figures: Mapping[str, Figure], **more: float) -> None:
        """A row of a table."""
        table[name] = {column: figure.ns for column, figure in figures.items()} | more
        self.spread.update({f"{name} {column}": figure.spread for column, figure in figures.items()})


def run(rounds: int, extent: Extent = WHOLE) -> Results:
    """Measure every part of P2 in one run."""
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        std = {size: stations.load(directory, "std", size, keep_payloads=size == LARGEST) for size in extent.std}
        for size, station in std.items():
            every_connector(results, station, f"std {size:,}", extent, rounds)
        for size in extent.heavy:
            heavy(results, size, directory, extent, rounds)
        flatness(results, std, directory, rounds)
        one_connector(results, std, directory, extent, rounds)
        plain_python(results, std[128], rounds)
        upkeep.run(results, std[LARGEST], rounds)
        after_changes(results, std[LARGEST], rounds)
        allocation.run(results, rounds)
        results.other |= footprint.memory(std[LARGEST].path)
    results.goals = schedule_goals.goals(results.every, results.one, results.flat, results.changes, results.other)
    return results


def heavy(results: Results, size: int, directory: Path, extent: Extent, rounds: int) -> None:
    """The workload of ten levels; the largest one is also taken up from the store."""
    station = stations.load(directory, "heavy", size)
    every_connector(results, station, f"heavy {size:,}", extent, rounds)
    if size == LARGEST:
        results.other |= footprint.load(station.rows, directory)
    station.path.unlink()


def after_changes(results: Results, station: Station, rounds: int) -> None:
    """The same once every profile has been set anew in no order, so that they lie all over the memory."""
    for window in ("600 s", "1 day"):
        statements = {"compute": compute(station, WINDOWS[window])}
        figures = beside(station, WINDOWS[window], statements, ("all_full",), rounds)
        results.add(results.every, f"std {station.connectors:,} after the burst, {window}", figures)


def compute(station: Station, duration_s: int) -> Statement:
    """All connectors and 0, computed inside one call and kept there; two windows in turn, so that neither is kept."""
    source = f"compute(start, {duration_s}, 'A'); compute(later, {duration_s}, 'A')"
    return Statement(source, _names(station), calls=2, operations=2)


def composite_all(station: Station, duration_s: int) -> Statement:
    """The same, and written as JSON."""
    source = f"composite_all(start, {duration_s}, 'A'); composite_all(later, {duration_s}, 'A')"
    return Statement(source, _names(station), calls=2, operations=2)


def _names(station: Station) -> dict[str, Any]:
    profiles = station.profiles
    return {
        "compute": profiles.compute,
        "composite": profiles.composite,
        "composite_all": profiles.composite_all,
        "start": station.now_s,
        "later": station.now_s + 1,
    }


def every_connector(results: Results, station: Station, name: str, extent: Extent, rounds: int) -> None:
    """One workload through the windows, the limit program beside it."""
    is_vast = name == f"heavy {LARGEST:,}"
    for window, duration_s in WINDOWS.items():
        if is_vast and window == "7 days":
            continue
        if duration_s == WINDOWS["600 s"] or station.connectors <= 128 or (extent.is_whole and not is_vast):
            stations.check(station, duration_s)
        known = {"compute": compute(station, duration_s)}
        text = station.profiles.composite_all(station.now_s, duration_s, "A")
        if station.profiles.fitted_s == duration_s:  # what is told of all at once is bounded
            known["composite_all"] = composite_all(station, duration_s)
        chosen = {column: known[column] for column in extent.ours if column in known}
        figures = beside(station, duration_s, chosen, extent.limits[:1] if is_vast else extent.limits, rounds)
        whole = {"periods": text.count(b'"startPeriod"'), "bytes": len(text)} if "composite_all" in known else {}
        results.add(results.every, f"{name}, {window}", figures, **whole)


def beside(
    station: Station, duration_s: int, statements: Mapping[str, Statement], limits: Sequence[str], rounds: int
) -> dict[str, Figure]:
    """Figures of statements and of the limit program on the same workload and window, in turn."""
    with ExitStack() as stack:
        laps = {what: stack.enter_context(Limit(station.path, duration_s, what)).lap for what in limits}
        for lap in laps.values():  # the first one waits until the program has read the workload
            lap()
        return measure(statements, rounds, SLICE_S, SLOW_NS, {f"limit {what}": lap for what, lap in laps.items()})


def one_connector(results: Results, std: Mapping[int, Station], directory: Path, extent: Extent, rounds: int) -> None:
    """GetCompositeSchedule without its frame: the smallest and the largest hub, schedules of 60 days and 20 years."""
    for size, years in itertools.product((min(std), LARGEST), (0, 20)):
        station = stations.load(directory, "std", size, years=years) if years else std[size]
        for window in ("600 s", "1 day"):
            name = f"{size:,} connectors, {'20 years' if years else '60 days'} old, {window}"
            statements = one_statements(station, WINDOWS[window])
            limits = ("one",) if extent.is_whole else ()
            results.add(results.one, name, beside(station, WINDOWS[window], statements, limits, rounds))


def one_statements(station: Station, duration_s: int) -> dict[str, Statement]:
    """``composite`` of one connector again and again, of each in turn, and out of the kept window (JSON alone)."""
    names = _names(station) | {"ids": itertools.cycle(_scattered(station.connectors)), "next": next}
    # The kept window begins at `start`; another second is computed for the one connector alone.
    station.profiles.compute(station.now_s, duration_s, "A")
    alone = Statement(f"composite(1, later, {duration_s}, 'A')", names)
    turn = Statement(f"composite(next(ids), later, {duration_s}, 'A')", names, calls=2)
    kept = Statement(f"composite(1, start, {duration_s}, 'A')", names)
    every = orjson.loads(station.profiles.composite_all(station.now_s + 1, duration_s, "A"))
    station.profiles.compute(station.now_s, duration_s, "A")
    assert stations.periods(orjson.loads(alone.run())) == stations.periods(every["1"])
    return {"composite": alone, "composite, each in turn": turn, "from the kept window": kept}


def _scattered(connectors: int) -> list[int]:
    """Every connector once, neighbours far apart."""
    return [1 + number * 7_919 % connectors for number in range(connectors)]


def flatness(results: Results, std: Mapping[int, Station], directory: Path, rounds: int) -> None:
    """Nanoseconds per output period along each axis, the stations of an axis in turn."""
    # Nobody charges and the station has one period: what is left is the axis itself.
    calm: dict[str, Any] = {"tx_fraction": 0, "cpmax_periods": 1}
    axes: dict[str, tuple[int, dict[str, Station]]] = {
        "connectors, 600 s": (WINDOWS["600 s"], {f"{size:,}": station for size, station in std.items()}),
        "connectors, 1 day": (DAY_S, {f"{size:,}": station for size, station in std.items()}),
        "periods, 1 day": (
            DAY_S,
            {
                f"{count:,}": stations.load(directory, "std", 128, txdefault_periods=count, **calm)
                for count in (1, 6, 24, 96, 288, 1_440)
            },
        ),
        "levels, 1 day": (
            DAY_S,
            {str(count): stations.load(directory, "heavy", 128, levels=count, **calm) for count in (1, 2, 5, 10)},
        ),
    }
    for axis, (duration_s, chosen) in axes.items():
        figures = measure({name: compute(one, duration_s) for name, one in chosen.items()}, rounds, SLICE_S, SLOW_NS)
        results.spread.update({f"{axis} {name}": figure.spread for name, figure in figures.items()})
        results.flat[axis] = {name: figures[name].ns / _periods(one, duration_s) for name, one in chosen.items()}


def _periods(station: Station, duration_s: int) -> int:
    return station.profiles.composite_all(station.now_s, duration_s, "A").count(b'"startPeriod"')


def plain_python(results: Results, station: Station, rounds: int) -> None:
    """The sweep that one would write in Python, of 128 connectors through 600 s."""
    plain = sweep.PlainStation(stations.workload("std", station.connectors))
    duration_s = WINDOWS["600 s"]
    ours = orjson.loads(station.profiles.composite_all(station.now_s, duration_s, "A"))
    theirs = plain.composites(station.now_s, duration_s)
    for connector_id, segments in enumerate(theirs):
        expected = [(start, tenths / 10) for start, tenths in segments]
        assert stations.periods(ours[str(connector_id)]) == expected, connector_id
    source = Statement("composites(start, duration)", {"composites": plain.composites, "start": station.now_s})
    source = Statement(source.source, dict(source.names) | {"duration": duration_s})
    figures = measure({"compute": compute(station, duration_s), "plain": source}, rounds, SLICE_S, SLOW_NS)
    results.other |= {"plain_ns": figures["plain"].ns, "plain_compute_ns": figures["compute"].ns}
