"""Runs many lives, on all processors, and says what they met: ``python -m tests.lives.runner --seeds 1-2000``.

Owns the counts that a run prints and the list of violations, each with its seed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.lives.checker import Violation, check
from tests.lives.living import live

FAULTS = ("F13", "F14", "F22", "F23", "F34")
CHUNK = 20
SHOWN = 60


@dataclass(slots=True)
class Summary:
    """What a set of lives met, and what they broke."""

    lives: int = 0
    inputs: int = 0
    least_inputs: int = 10**9
    least_minutes: float = float("inf")
    without_outage: int = 0
    without_loss: int = 0
    without_step: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def add(self, other: Summary) -> None:
        """Take in another part of the run."""
        self.lives += other.lives
        self.inputs += other.inputs
        self.least_inputs = min(self.least_inputs, other.least_inputs)
        self.least_minutes = min(self.least_minutes, other.least_minutes)
        self.without_outage += other.without_outage
        self.without_loss += other.without_loss
        self.without_step += other.without_step
        self.faults += other.faults
        self.violations += other.violations
        self.sent += other.sent

    def first_violations(self) -> list[Violation]:
        """The first violation of each invariant in each life: the others mostly follow from it."""
        found: dict[tuple[int, str], Violation] = {}
        for violation in self.violations:
            found.setdefault((violation.seed, violation.invariant), violation)
        return list(found.values())

    def lines(self) -> list[str]:
        """The summary for people."""
        met = ", ".join(f"{name} {self.faults[name]}" for name in FAULTS)
        return [
            f"{self.lives} lives, {self.inputs} inputs (at least {self.least_inputs} and "
            f"{self.least_minutes:.1f} virtual minutes each); lives that met {met}",
            *(str(violation) for violation in self.first_violations()[:SHOWN]),
        ]


def run_seed(seed: int) -> Summary:
    """One life, lived and judged."""
    try:
        life = live(seed)
    except Exception as error:  # noqa: BLE001  # whatever it is, it needs its seed
        return Summary(1, violations=[Violation(seed, "CRASH", 0.0, f"{type(error).__name__}: {error}")])
    summary = Summary(1, life.inputs, life.inputs, life.duration_s / 60)
    summary.without_outage = int(not life.outages)
    summary.without_loss = int(not life.crashes_that_lost)
    summary.without_step = int(not life.clock_steps)
    summary.faults.update(life.faults)
    summary.violations = check(life)
    summary.sent.update(getattr(record, "action", "") for record in life.records if type(record).__name__ == "Sent")
    return summary


def run_seeds(seeds: Iterable[int]) -> Summary:
    """Several lives, one after the other, in this process."""
    logging.getLogger("ocpphub").setLevel(logging.CRITICAL + 1)
    summary = Summary()
    for seed in seeds:
        summary.add(run_seed(seed))
    return summary


def run(seeds: Sequence[int], processes: int | None = None) -> Summary:
    """All lives of ``seeds`` in as many processes as there are processors."""
    count = processes or os.cpu_count() or 1
    chunks = [seeds[first : first + CHUNK] for first in range(0, len(seeds), CHUNK)]
    summary = Summary()
    if count == 1:
        summary.add(run_seeds(seeds))
        return summary
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        for part in pool.map(run_seeds, chunks):
            summary.add(part)
    return summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when an invariant was broken."""
    parser = argparse.ArgumentParser(description="live many lives of a hub and judge them")
    parser.add_argument("--seeds", default="1-200", help="a seed, or first-last")
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("--show", action="store_true", help="print the record of the first seed")
    options = parser.parse_args(arguments)
    if options.show:
        life = live(int(options.seeds.partition("-")[0]))
        sys.stdout.write("\n".join([str(life.header), *map(str, life.records), *map(str, check(life))]) + "\n")
        return 0
    first, _, last = options.seeds.partition("-")
    began = time.perf_counter()
    summary = run(range(int(first), int(last or first) + 1), options.processes)
    seconds = time.perf_counter() - began
    lines = [*summary.lines(), f"{seconds:.1f} s, {1000 * seconds / summary.lives:.0f} ms a life"]
    sys.stdout.write("\n".join(lines) + "\n")
    counts = Counter(violation.invariant for violation in summary.violations)
    sys.stdout.write(f"{dict(counts)} {dict(summary.sent)}\n")
    return 1 if summary.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
