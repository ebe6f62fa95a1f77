"""``make bench-quick``: the gate of CI, in three minutes. ``python -m benches.quick [--benchmark-json FILE]``.

Owns two steps: every pytest-benchmark bench with its assertion and at least five rounds; then the goal ratios of P1 to
P6 in few rounds, failing when one is more than its tolerance (25 %; 100 % where sockets and the scheduler are in it)
beyond its goal or, where it is steady, beyond the committed RESULTS.json, twice. A goal whose miss is committed is held
to the committed figure.
Must never gate on wall time or on nanoseconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benches import delivery, durability, frames, interface, process, report, schedules
from benches.goals import Goal

ROUNDS = (7, 21)
PARTS: dict[str, Callable[[int], list[Goal]]] = {
    "P1": lambda rounds: frames.run(rounds).goals,
    "P2": lambda rounds: schedules.run(rounds, schedules.QUICK).goals,
    "P3": lambda rounds: interface.run(rounds, interface.QUICK).goals,
    "P4": lambda rounds: delivery.run(rounds, delivery.QUICK).goals,
    "P5": lambda rounds: durability.run(rounds, durability.QUICK).goals,
    "P6": lambda rounds: process.run(rounds, process.QUICK).goals,
}
"""What is measured, and again if it fails."""


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when a bench fails its assertion or a ratio is beyond its limit twice."""
    parser = argparse.ArgumentParser(prog="python -m benches.quick", description=__doc__)
    parser.add_argument("--benchmark-json", type=Path, default=Path(".benchmarks/quick.json"))
    options = parser.parse_args(arguments)
    return run_benches(options.benchmark_json) or max([gate(part) for part in PARTS])


def run_benches(output: Path) -> int:
    """Every bench once through pytest-benchmark; its exit code."""
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "benches",
        "-o",
        "python_functions=bench_*",
        "-p",
        "no:cacheprovider",
        "--benchmark-only",
        "--benchmark-min-rounds=5",
        "--benchmark-max-time=0.02",
        "--benchmark-warmup=off",
        "--benchmark-columns=median,iqr,rounds",
        f"--benchmark-json={output}",
    ]
    return subprocess.run(command, check=False, cwd=Path(__file__).parents[1]).returncode


def gate(part: str) -> int:
    """Measure the ratios; what fails is measured once more with more rounds, because neighbours make noise."""
    limits = report.committed()
    for rounds in ROUNDS:
        goals = PARTS[part](rounds)
        failed = [goal for goal in goals if beyond(goal, limits)]
        if not failed:
            break
    sys.stdout.write(report.goal_table(goals, part) + "\n")
    for goal in failed:
        sys.stdout.write(f"FAILED {goal.key}: {goal.figure:.3f}, limit {limit(goal, limits):.3f} ({goal.detail})\n")
    return 1 if failed else 0


def limit(goal: Goal, committed: dict[str, float]) -> float:
    """What a ratio may reach: its tolerance above its goal, or, when steady, above what is committed if that is less.

    Above what is committed, too, where the goal was missed there: a miss is told in RESULTS.md, not in every run of CI.
    """
    before = committed.get(goal.key, goal.bound)
    return goal.tolerance * (before if goal.steady or before > goal.bound else goal.bound)


def beyond(goal: Goal, committed: dict[str, float]) -> bool:
    """Whether this line fails the run. One that no full run has measured yet is shown and not judged."""
    return goal.gated and goal.key in committed and goal.figure > limit(goal, committed)


if __name__ == "__main__":
    sys.exit(main())
