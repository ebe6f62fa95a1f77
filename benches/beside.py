"""What is built apart and measured beside: a version-specific extension (what abi3 costs) and the reader on jiter.

Owns two builds in a temporary directory; the working tree and `.venv` stay as they are. Must never replace the
extension that is being judged.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from benches import corpus, peers, report
from benches.goals import LARGE, geomean
from benches.stopwatch import Statement, measure
from ocpphub import _native

ROOT = Path(__file__).parents[1]
READER = Path(__file__).with_name("json_reader")


def measured(rounds: int = 15) -> dict[str, Any]:
    """Both comparisons, with their notes for RESULTS.md."""
    with tempfile.TemporaryDirectory() as directory:
        abi3 = _abi3(_version_specific(Path(directory)), rounds)
        reader = _reader(Path(directory), rounds)
    notes = {"What abi3 costs": _abi3_note(abi3), "The JSON reader": _reader_note(reader)}
    return {"abi3_over_specific": abi3, "jiter_over_own": reader, "notes": notes}


def committed() -> dict[str, Any]:
    """The comparisons of the last full run: they are carried over, because a build takes a minute."""
    if not report.JSON.exists():
        return {}
    stored = orjson.loads(report.JSON.read_bytes())
    return {name: stored[name] for name in ("abi3_over_specific", "jiter_over_own", "notes") if name in stored}


def _version_specific(directory: Path) -> ModuleType:
    command = [
        "cargo",
        "build",
        "--release",
        "--quiet",
        "--lib",
        "--no-default-features",
        "--features",
        "python,pyo3/extension-module",
        "--target-dir",
        str(directory),
    ]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"PYO3_PYTHON": sys.executable})
    library = directory / "release" / "_native.so"
    (directory / "release" / "libocpphub.so").rename(library)
    spec = importlib.util.spec_from_file_location("_native", library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.SOURCE_HASH == _native.SOURCE_HASH, "the extension in use is not built from these sources: make build"
    return module


def _abi3(specific: ModuleType, rounds: int) -> dict[str, dict[str, float]]:
    """abi3 / version-specific for each frame, decode and decode + payload()."""
    ratios: dict[str, dict[str, float]] = {}
    for frame in corpus.received():
        shipped = {"decode": peers.decode(frame), "decode + payload": peers.decode_payload(frame)}
        other = {
            f"specific {name}": Statement(s.source, dict(s.names) | {"decode": specific.decode})
            for name, s in shipped.items()
        }
        assert other["specific decode + payload"].run() == frame.payload, frame.name
        figures = measure(shipped | other, rounds)
        ratios[frame.name] = {name: figures[name].ns / figures[f"specific {name}"].ns for name in shipped}
    return ratios


def _abi3_note(ratios: dict[str, dict[str, float]]) -> str:
    means = {name: geomean(row[name] for row in ratios.values()) for name in ("decode", "decode + payload")}
    return (
        f"The wheel as shipped (abi3-py311) over a build for this CPython alone, same sources, same process, geometric "
        f"means of the judged corpus: decode {means['decode']:.2f}, decode + payload() {means['decode + payload']:.2f}."
    )


def _reader(directory: Path, rounds: int) -> dict[str, float]:
    """jiter / own scanner for each frame: envelope and full validation in Rust, no Python objects."""
    frames = corpus.received()
    listed = directory / "frames.tsv"
    listed.write_bytes(
        b"".join(b"\t".join((f.kind.encode(), f.action.encode(), f.unique_id.encode(), f.data)) + b"\n" for f in frames)
    )
    program = [
        "cargo",
        "run",
        "--release",
        "--quiet",
        "--manifest-path",
        str(READER / "Cargo.toml"),
        "--target-dir",
        str(directory / "reader"),
        "--",
        str(listed),
        str(rounds),
    ]
    lines = subprocess.run(program, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    return {frame.name: row["jiter"] / row["own"] for frame, row in zip(frames, rows, strict=True)}


def _reader_note(ratios: dict[str, float]) -> str:
    sizes = {frame.name: len(frame.data) for frame in corpus.received()}
    large = {name: ratio for name, ratio in ratios.items() if sizes[name] >= LARGE}
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    means = f"{geomean(ratios.values()):.2f} of all frames, {geomean(large.values()):.2f} from {LARGE} bytes on"
    span = f"from {ratios[low]:.2f} ({low}) to {ratios[high]:.2f} ({high})"
    return (
        "The same envelope and table rules on jiter's pull parser over the own scanner, in Rust, no Python objects: "
        f"geometric mean {means}, {span}. Decisions.md 3 asks for 1.5. "
        "The reader on jiter keeps no pointers, no error codes and no salvage, and reports nothing but good or bad."
    )
