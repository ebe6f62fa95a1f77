"""``make icount``: instructions per operation under callgrind, held against icount.json.

Owns the fine gate of the pure paths. Must never be influenced by time or by neighbours: counts are
(count(3n) - count(n)) / 2n of two runs of the same program, hash seed 0. A new baseline only with ``--baseline``, in a
commit that says why. With an unknown key (CPython, rustc, architecture, orjson) the ratio to the yardstick is held.
"""

from __future__ import annotations

import argparse
import json
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

ROOT = Path(__file__).parents[1]
BASELINE = Path(__file__).with_name("icount.json")
TOLERANCE = 0.02
RATIO_TOLERANCE = 0.10
YARDSTICK = "orjson.loads"
WORKERS = 2
# Random addresses change how memcpy and the allocator go about their work, by up to 5 %.
_FIXED_ADDRESSES = ("setarch", platform.machine(), "-R") if shutil.which("setarch") else ()

# The program under callgrind: no argument parser, no pathlib, nothing but what is counted. Frames come from a pickle,
# because building the corpus would cost more instructions than the operations.
_PROGRAM = """
import gc, pickle, sys
sys.path[:0] = pickle.loads(bytes.fromhex(sys.argv[3]))
import orjson
from ocpphub import _native
with open(sys.argv[2], "rb") as file:
    received, sent = pickle.load(file)
decode, call, result, check = _native.decode, _native.encode_call, _native.encode_result, _native.check_json
def run_decode():
    for frame, pending in short: decode(frame, pending)
def run_decode_long():
    for frame, pending in long: decode(frame, pending)
def run_payload():
    for frame, pending in short: decode(frame, pending).payload()
def run_encode():
    for encode, unique_id, action, payload in sent_by: encode(unique_id, action, payload)
def run_check():
    for frame, pending in short: check(frame)
def run_loads():
    for frame, pending in short: orjson.loads(frame)
short = [row for row in received if len(row[0]) < 5000]
long = [row for row in received if len(row[0]) >= 5000]
sent_by = [(call if kind == "call" else result, *rest) for kind, *rest in sent]
work = {"decode": run_decode, "decode long": run_decode_long, "payload()": run_payload, "encode": run_encode,
        "check_json": run_check, "orjson.loads": run_loads}[sys.argv[1]]
gc.collect(); gc.disable()
for _ in range(int(sys.argv[4])): work()
"""
OPERATIONS = {"decode": 30, "decode long": 3, "payload()": 30, "encode": 30, "check_json": 30, YARDSTICK: 30}
"""Operation and its n; one operation is one pass over the corpus."""


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
        sys.stdout.write(f"{name:14} {count:12,} instructions  {count / counts[YARDSTICK]:6.3f} x {YARDSTICK}\n")
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
        missing = [f"{name}: no baseline" for name in counts if name not in known]
        return missing + [
            f"{name}: {count:,} instead of {known[name]:,} ({count / known[name] - 1:+.1%})"
            for name, count in counts.items()
            if name in known and name != YARDSTICK and count > known[name] * (1 + TOLERANCE)
        ]
    problems = []
    reference = stored[max(stored)]
    for name, count in counts.items():
        ratio, known_ratio = count / counts[YARDSTICK], reference.get(name, 0) / reference[YARDSTICK]
        if ratio > known_ratio * (1 + RATIO_TOLERANCE):
            problems.append(f"{name}: {ratio:.3f} x {YARDSTICK} instead of {known_ratio:.3f}")
    return problems


def count_all() -> dict[str, int]:
    """Instructions per operation."""
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(WORKERS) as pool:
        frames = Path(directory, "frames.pickle")
        frames.write_bytes(_pickled())
        jobs = {
            (name, times): pool.submit(_count, name, frames, n * times)
            for name, n in OPERATIONS.items()
            for times in (1, 3)
        }
        return {
            name: round((jobs[name, 3].result() - jobs[name, 1].result()) / (2 * n)) for name, n in OPERATIONS.items()
        }


def _pickled() -> bytes:
    import pickle

    from benches import corpus

    received = [(frame.data, frame.pending) for frame in corpus.received()]
    sent = [(frame.kind, frame.unique_id, frame.action, frame.payload) for frame in corpus.sent()]
    return pickle.dumps((received, sent))


def _count(name: str, frames: Path, times: int) -> int:
    import pickle

    paths = pickle.dumps([str(ROOT / "python"), sysconfig.get_path("platlib")]).hex()
    command = [
        *_FIXED_ADDRESSES,
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        "-S",  # not -I, which would ignore PYTHONHASHSEED
        "-s",
        "-c",
        _PROGRAM,
        name,
        frames.name,
        paths,
        str(times),
    ]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=frames.parent)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not found:
        raise RuntimeError(f"{name}: {run.stderr[-2000:]}")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
