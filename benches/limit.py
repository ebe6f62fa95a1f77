"""The limit program: compiled once, asked for its answers, timed beside us.

Owns limit.rs as a process. It is a copy and stays as it is: a minimal sweep that checks nothing and rounds as it goes,
the physical limit that performance.md P2 measures against. Must never be timed in another run than ours.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType

import orjson

ROOT = Path(__file__).parents[1]
SOURCE = Path(__file__).with_name("limit.rs")

Periods = list[tuple[int, float]]
"""Start and limit of each period."""


@cache
def compiled() -> Path:
    """The program, built under ``target/`` by the pinned compiler when it is not there yet."""
    version = subprocess.run(["rustc", "--version"], check=True, capture_output=True, cwd=ROOT).stdout
    digest = hashlib.sha256(SOURCE.read_bytes() + version).hexdigest()[:12]
    program = ROOT / "target" / "benches" / f"limit-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole: another bench may want it at the same time.
        begun = program.with_name(f"{program.name}.{os.getpid()}")
        command = ["rustc", "-O", "--edition", "2021", "--cap-lints", "allow", str(SOURCE), "-o", str(begun)]
        subprocess.run(command, check=True, cwd=ROOT)
        begun.rename(program)
    return program


def answers(workload: Path, duration_s: int) -> dict[int, Periods]:
    """The composites of connectors 0 to N from the workload's ``now`` on, in its unit.

    The program begins a new period where the stackLevel changes and the limit does not. An answer of ours merges those
    (requirement 15.1 step 6, docs/design/0008 item 10), so they are merged here.
    """
    command = [str(compiled()), "evalfull", str(workload), str(duration_s)]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    return {row["connector"]: _merged(row["periods"]) for row in map(orjson.loads, lines)}


def _merged(listed: list[tuple[int, float, int | None]]) -> Periods:
    merged: Periods = []
    for start, limit, _ in listed:
        if not merged or merged[-1][1] != limit:
            merged.append((start, limit))
    return merged


class Limit:
    """The program at work on one window of one workload; each :meth:`lap` is one more round of at least 20 ms."""

    def __init__(self, workload: Path, duration_s: int, what: str) -> None:
        """``what``: ``all_full``, ``all_sort``, ``one``, ``incr`` or ``json``, as limit.rs calls them."""
        command = [str(compiled()), "bench", str(workload), str(duration_s), what, "1000000"]
        pipe = subprocess.PIPE
        # STEP: it waits for a line before each round, so that rounds of several programs take turns.
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0, env={"STEP": "1"}
        )

    def lap(self) -> float:
        """Nanoseconds of CPU time per operation in one round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return float(self._process.stdout.readline()) * 1e9

    def __enter__(self) -> Limit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; it ends by itself when its input does."""
        self._process.communicate()
