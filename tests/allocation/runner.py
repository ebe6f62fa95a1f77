"""Runs many days and says what they met: ``python -m tests.allocation.runner --seeds 1-200``.

Owns the counts that a run prints and the list of violations, each with its seed; ``--show`` prints one day.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context

from tests.allocation.day import Day
from tests.allocation.judge import Violation

CHUNK = 10
SHOWN = 60


@dataclass(slots=True)
class Report:
    """What a set of days met, and what they broke."""

    days: int = 0
    cpu_s: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    days_with: Counter[str] = field(default_factory=Counter)
    """In how many days something was met at all."""
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in another part of the run."""
        self.days += other.days
        self.cpu_s += other.cpu_s
        self.met += other.met
        self.days_with += other.days_with
        self.violations += other.violations

    def first_violations(self) -> list[Violation]:
        """The first violation of each clause in each day: the others mostly follow from it."""
        found: dict[tuple[int, str], Violation] = {}
        for violation in self.violations:
            found.setdefault((violation.seed, violation.clause), violation)
        return list(found.values())

    def lines(self) -> list[str]:
        """The report for people."""
        met = ", ".join(f"{name} {count}" for name, count in self.met.items())
        counts = Counter(violation.clause for violation in self.first_violations())
        return [
            f"{self.days} days, {self.cpu_s / max(self.days, 1):.2f} s of CPU each: {met}",
            f"days that broke a clause: {dict(sorted(counts.items()))}",
            *(str(violation) for violation in self.first_violations()[:SHOWN]),
        ]


def run_seed(seed: int, show: Callable[[str], None] | None = None) -> Report:
    """One day, lived and judged."""
    began = time.process_time()
    try:
        day = Day(seed, show)
        violations = day.run()
    except Exception as error:  # noqa: BLE001  # whatever it is, it needs its seed
        return Report(1, violations=[Violation(seed, "CRASH", 0.0, f"{type(error).__name__}: {error}")])
    met = {name: int(count) for name, count in asdict(day.summary).items() if name != "seed"}
    days_with = Counter({name: 1 for name, count in met.items() if count})
    return Report(1, time.process_time() - began, Counter(met), days_with, violations)


def run_seeds(seeds: Iterable[int]) -> Report:
    """Several days, one after the other, in this process."""
    report = Report()
    for seed in seeds:
        report.add(run_seed(seed))
    return report


def run(seeds: Sequence[int], processes: int | None = None) -> Report:
    """All days of ``seeds`` in as many processes as there are processors."""
    count = processes or os.cpu_count() or 1
    if count == 1:
        return run_seeds(seeds)
    report = Report()
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        for part in pool.map(run_seeds, chunks):
            report.add(part)
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when a clause was broken."""
    parser = argparse.ArgumentParser(description="live many days of a hub that shares its power, and judge them")
    parser.add_argument("--seeds", default="1-200", help="a seed, or first-last")
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--show", action="store_true", help="print the day of the first seed")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    if options.show:
        report = run_seed(int(first), print)
        sys.stdout.write("\n".join(map(str, report.violations)) + "\n")
    else:
        began = time.perf_counter()
        report = run(range(int(first), int(last or first) + 1), options.processes)
        seconds = time.perf_counter() - began
        sys.stdout.write("\n".join([*report.lines(), f"{seconds:.1f} s in all"]) + "\n")
    return 1 if report.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
