"""RESULTS.md and RESULTS.json.

Owns how a run is written down: machine kind, versions, spread, goal lines. Must never write a host name or a
path.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from benches import schedule_report, traffic_report
from benches.frames import Results
from benches.goals import Goal, geomean
from benches.schedules import Results as Schedules
from benches.traffic_report import Traffic
from ocpphub import _native

MARKDOWN = Path(__file__).with_name("RESULTS.md")
JSON = Path(__file__).with_name("RESULTS.json")
_PACKAGES = (
    "orjson",
    "msgspec",
    "pydantic",
    "pydantic-core",
    "jsonschema-rs",
    "pysimdjson",
    "ocpp",
    "jsonschema",
    "websockets",
    "uvloop",
)
_NETWORK = ("websockets", "uvloop")
_COLUMNS = (
    "decode",
    "decode + payload",
    "msgspec one step",
    "msgspec two steps",
    "orjson",
    "simdjson",
    "pydantic",
    "orjson + jsonschema-rs",
    "ocpp",
)


def machine() -> dict[str, str]:
    """The kind of machine, nothing that names it."""
    model = platform.machine()
    cores = 0
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model, cores = line.partition(":")[2].strip(), cores + 1
    return {
        "cpu": model,
        "cores": str(cores),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "build": _native.BUILD,
    }


def versions() -> dict[str, str]:
    """The peers of this run."""
    return {name: version(name) for name in (*_PACKAGES, *_NETWORK)}


def write(results: Results, schedules: Schedules, traffic: Traffic, extra: Mapping[str, Any]) -> None:
    """Both files. ``extra``: named figures measured apart from the frames (abi3, JSON reader)."""
    document = {
        "machine": machine(),
        "versions": versions(),
        "goals": [goal.as_json() for goal in (*results.goals, *schedules.goals, *traffic.goals)],
        "median_spread": _spread(results, schedules, traffic),
        "received_ns": results.received,
        "sent_ns": results.sent,
        "encode_ns": results.encoded,
        "meter_ns": results.meter,
        "refused_over_good": results.refused,
        "vectors_over_good": results.vectors,
        "longest_ns": results.stops,
        "schedules": schedule_report.as_json(schedules),
        "traffic": traffic_report.as_json(traffic),
        **extra,
    }
    rounded = _rounded(document)
    JSON.write_bytes(orjson.dumps(rounded, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    MARKDOWN.write_text(markdown(results, schedules, traffic, extra))


def committed() -> dict[str, float]:
    """The figure of each goal line in the committed RESULTS.json; empty before the first run."""
    if not JSON.exists():
        return {}
    return {goal["key"]: goal["figure"] for goal in orjson.loads(JSON.read_bytes())["goals"]}


def goal_table(goals: list[Goal], part: str) -> str:
    """The goal lines of ``part`` (P1 to P6), met or not, with the figure."""
    rows = [
        f"| {goal.text} | {_number(goal.bound)} | **{_number(goal.figure)}** | {'met' if goal.met else 'NOT MET'} "
        f"| {goal.detail} |"
        for goal in goals
    ]
    return "\n".join([f"| {part} goal | at most | measured | | |", "|---|--:|--:|---|---|", *rows])


def markdown(results: Results, schedules: Schedules, traffic: Traffic, extra: Mapping[str, Any]) -> str:
    """The whole of RESULTS.md."""
    kind = machine()
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    spread = _spread(results, schedules, traffic)
    parts = [
        "# Results\n\nWritten by `make bench`; method and bias are in README.md. CPU nanoseconds net of an empty call, "
        "medians of interleaved rounds; the ratios are the result, the nanoseconds belong to one hour of one machine.",
        f"{kind['cpu']}, {kind['cores']} cores, {kind['architecture']}, {kind['system']}, CPython {kind['python']}, "
        f"{kind['build']} build. {used}. Median spread (half the middle half of the rounds): {spread:.1%}.",
        "## P1 frames",
        goal_table(results.goals, "P1"),
        "### Received: the judged corpus, ns",
        _table(results.received, _COLUMNS),
        "### Sent: shown, decoded as a CSMS would, ns",
        _table(results.sent, _COLUMNS[:5]),
        "### Encoding, ns",
        _table(results.encoded, ("encode", "orjson.dumps")),
        "### Longest legal frames, ns",
        _table(results.stops, ("decode", *_COLUMNS[2:5])),
        *(f"### {title}\n\n{text}" for title, text in extra.get("notes", {}).items()),
        "## P2 composite schedules",
        goal_table(schedules.goals, "P2"),
        *schedule_report.sections(schedules),
        "## P3 JSON-RPC",
        goal_table(traffic.interface.goals, "P3"),
        *traffic_report.interface_sections(traffic.interface),
        "## P4 Link and delivery",
        goal_table(traffic.delivery.goals, "P4"),
        *traffic_report.delivery_sections(traffic.delivery),
        "## P5 Store",
        goal_table(traffic.durability.goals, "P5"),
        *traffic_report.durability_sections(traffic.durability),
        "## P6 The process",
        goal_table(traffic.process.goals, "P6"),
        *traffic_report.process_sections(traffic.process),
    ]
    return "\n\n".join(parts) + "\n"


def _spread(results: Results, schedules: Schedules, traffic: Traffic) -> float:
    return statistics.median((results.spread | schedules.spread | traffic.spread).values())


def _table(figures: Mapping[str, Mapping[str, float]], columns: tuple[str, ...]) -> str:
    lines = ["| frame | bytes | " + " | ".join(columns) + " |", "|---|--:|" + "--:|" * len(columns)]
    for name, row in figures.items():
        lines.append(f"| {name} | {row['bytes']:.0f} | " + " | ".join(f"{row[c]:,.0f}" for c in columns) + " |")
    means = " | ".join(f"{geomean(row[c] for row in figures.values()):,.0f}" for c in columns)
    return "\n".join([*lines, f"| geometric mean | | {means} |"])


def _number(value: float) -> str:
    if value >= 10:
        return f"{value:.0f}"
    return f"1/{1 / value:.0f}" if 0 < value < 0.04 else f"{value:.2f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
