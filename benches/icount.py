"""``make icount``: instructions per operation under callgrind, held against icount.json.

Owns the fine gate of the pure paths. Must never be influenced by time or by neighbours: counts are
(count(3n) - count(n)) / 2n of two runs of the same program, hash seed 0. A new baseline only with ``--baseline``, in a
commit that says why. With an unknown key (CPython, rustc, architecture, orjson) the ratio to a yardstick is held:
``orjson.loads`` of the corpus for frames, the limit program for schedules. What is counted is in icount_programs.py.
"""

from __future__ import annotations

import argparse
import json
import pickle
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from benches import limit
from benches.icount_programs import LIMIT, LIMIT_BATCH, LOADS, OPERATIONS, write
from benches.stations import DAY_S

ROOT = Path(__file__).parents[1]
BASELINE = Path(__file__).with_name("icount.json")
TOLERANCE = 0.02
RATIO_TOLERANCE = 0.10
YARDSTICKS = (LOADS, LIMIT)
WORKERS = 2
# A yardstick runs none of our code: where it counts otherwise than the baseline, the machine does, by a little more.
SAME_MACHINE = 0.002
OTHER_MACHINE_TOLERANCE = 0.06
# glibc picks memcpy and its like by the processor (3 % of a count): everywhere the plain ones of x86-64.
_PLAIN_LIBC = "glibc.cpu.x86_rep_movsb_threshold=0x100000:glibc.cpu.x86_non_temporal_threshold=0x1000000" + (
    ":glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-BMI1,-BMI2,-ERMS,-FSRM,-LZCNT,-MOVBE,-POPCNT,-SSE4_1,"
    "-SSE4_2,-SSSE3,-Fast_Copy_Backward,-Fast_Rep_String,-Fast_Unaligned_Copy,-Fast_Unaligned_Load,-Slow_BSF"
)
# Random addresses change how memcpy and the allocator go about their work, by up to 5 %.
_FIXED_ADDRESSES = ("setarch", platform.machine(), "-R") if shutil.which("setarch") else ()


def main(arguments: list[str] | None = None) -> int:
    """Count, print, judge. Exit code 1 when a count or, with an unknown key, a ratio is beyond its tolerance."""
    parser = argparse.ArgumentParser(prog="python -m benches.icount", description=__doc__)
    parser.add_argument("--baseline", action="store_true", help="write icount.json for this key")
    options = parser.parse_args(arguments)
    counts = count_all()
    stored: dict[str, dict[str, int]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if options.baseline:
        stored[key()] = counts
        BASELINE.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")
    problems = judge(counts, stored)
    for name, count in counts.items():
        yardstick = OPERATIONS[name].yardstick
        sys.stdout.write(f"{name:15} {count:12,} instructions  {count / counts[yardstick]:6.3f} x {yardstick}\n")
    sys.stdout.write("".join(f"FAILED {problem}\n" for problem in problems) or f"within tolerance ({key()})\n")
    return 1 if problems else 0


def key() -> str:
    """What instruction counts depend on."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, rustc {rustc}, {platform.machine()}, orjson {version('orjson')}"


def judge(counts: dict[str, int], stored: dict[str, dict[str, int]]) -> list[str]:
    """What is beyond its tolerance. Fewer instructions than the baseline are welcome and named in the output only."""
    if not stored:
        return ["no baseline: run with --baseline"]
    if key() in stored:
        known = stored[key()]
        same = all(abs(counts[yardstick] / known.get(yardstick, 1) - 1) <= SAME_MACHINE for yardstick in YARDSTICKS)
        tolerance = TOLERANCE if same else OTHER_MACHINE_TOLERANCE
        missing = [f"{name}: no baseline, renew it with --baseline" for name in counts if name not in known]
        return missing + [
            f"{name}: {count:,} instead of {known[name]:,} ({count / known[name] - 1:+.1%})"
            for name, count in counts.items()
            if name in known and name not in YARDSTICKS and count > known[name] * (1 + tolerance)
        ]
    problems = []
    reference = stored[max(stored)]
    for name, count in counts.items():
        yardstick = OPERATIONS[name].yardstick
        if name not in reference or yardstick not in reference:
            problems.append(f"{name}: no baseline, renew it with --baseline")
            continue
        ratio, known_ratio = count / counts[yardstick], reference[name] / reference[yardstick]
        if ratio > known_ratio * (1 + RATIO_TOLERANCE):
            problems.append(f"{name}: {ratio:.3f} x {yardstick} instead of {known_ratio:.3f}")
    return problems


def count_all() -> dict[str, int]:
    """Instructions per operation."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(WORKERS) as pool:
        directory = Path(name)
        write(directory)
        jobs = {
            (name, times): pool.submit(_count, name, directory, operation.n * times)
            for name, operation in OPERATIONS.items()
            for times in (1, 3)
        }
        return {
            name: round((jobs[name, 3].result() - jobs[name, 1].result()) / (2 * operation.n))
            for name, operation in OPERATIONS.items()
        }


def _count(name: str, directory: Path, times: int) -> int:
    """Instructions of one program that does an operation so many times; of limit.rs those of one in a batch."""
    callgrind = [*_FIXED_ADDRESSES, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    is_limit = name == LIMIT
    command = callgrind + (_limit_command(times) if is_limit else _python_command(name, times))
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["GLIBC_TUNABLES"] = _PLAIN_LIBC
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=directory)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found:
        raise RuntimeError(f"{name}: {run.stderr[-2000:]}")
    return int(found[1]) // (LIMIT_BATCH if is_limit else 1)


def _limit_command(times: int) -> list[str]:
    return [str(limit.compiled()), "bench", OPERATIONS[LIMIT].data, str(DAY_S), "all_full", str(times)]


def _python_command(name: str, times: int) -> list[str]:
    operation = OPERATIONS[name]
    assert operation.program is not None
    paths = pickle.dumps([str(ROOT / "python"), sysconfig.get_path("platlib")]).hex()
    # -S and not -I, which would ignore PYTHONHASHSEED
    return [sys.executable, "-S", "-s", "-c", operation.program, name, operation.data, paths, str(times)]


if __name__ == "__main__":
    sys.exit(main())
