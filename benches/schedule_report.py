"""The tables of P2 in RESULTS.md and RESULTS.json.

Owns how composite schedules are written down: microseconds, and ratios to what was measured in the same run. Must never
judge: the goal lines come with the results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benches.schedule_goals import LIBOCPP_US, LIMIT_US, MIB
from benches.schedules import Results, Row

Column = tuple[str, Callable[[Row], float | None], str]
"""Heading, figure of a row, format; ``None`` is an empty cell."""


def as_json(results: Results) -> dict[str, Any]:
    """What RESULTS.json keeps of P2 beside the goal lines."""
    return {
        "every_ns": results.every,
        "one_ns": results.one,
        "changes_ns": results.changes,
        "flat_ns_per_period": results.flat,
        "other": results.other,
    }


def sections(results: Results) -> list[str]:
    """The tables, each with its heading."""
    return [
        "### All connectors and connector 0, us",
        "`compute`: inside one call from Python; `limit`: limit.rs on the same workload and window; `all_sort` is its "
        "variant without units, phases and levels, whose connector 0 does not visit every second of the window; "
        "`composite_all` computes and writes JSON, the limit's `all_full` and `json` together do the same with less "
        "text. *After the burst*: every profile set anew in no order.",
        table(results.every, "workload, window", EVERY),
        "### One connector, us",
        "A second that is not the kept window's; *each in turn* finds every connector's data outside the caches; "
        "*from the kept window* is the call and its JSON alone.",
        table(results.one, "hub, schedule, window", ONE),
        "### One change of a hub of 10,000 connectors, us",
        "That connector and connector 0 are written as JSON after each change; *current*: only computed, as the limit "
        "program's `incr` does. Where no ChargePointMaxProfile hides the sum, connector 0 has 598 periods at 600 s and "
        "6,910 at one day, and most of the time is their JSON.",
        table(results.changes, "window", [_us(name) for name in next(iter(results.changes.values()))]),
        "### Time per output period, ns",
        *(_flat(axis, row) for axis, row in results.flat.items()),
        "### Publication, explanation, shares, memory",
        _notes(results.other),
    ]


def table(rows: Mapping[str, Row], first: str, columns: list[Column]) -> str:
    """Markdown; a column without any figure is left out."""
    used = [column for column in columns if any(column[1](row) is not None for row in rows.values())]
    lines = [f"| {first} | " + " | ".join(heading for heading, _, _ in used) + " |", "|---|" + "--:|" * len(used)]
    for name, row in rows.items():
        cells = [(figure(row), form) for _, figure, form in used]
        lines.append(
            f"| {name} | " + " | ".join("" if cell is None else f"{cell:{form}}" for cell, form in cells) + " |"
        )
    return "\n".join(lines)


def _us(column: str, heading: str = "", form: str = ",.2f") -> Column:
    return heading or column, lambda row: row[column] / 1e3 if column in row else None, form


def _over(heading: str, ours: str, *theirs: str) -> Column:
    def ratio(row: Row) -> float | None:
        return row[ours] / sum(row[name] for name in theirs) if {ours, *theirs} <= row.keys() else None

    return heading, ratio, ".2f"


EVERY: list[Column] = [
    ("periods", lambda row: row.get("periods"), ",.0f"),
    _us("compute", form=",.1f"),
    _us("limit all_full", form=",.1f"),
    _over("**ratio**", "compute", "limit all_full"),
    _us("limit all_sort", form=",.1f"),
    _over("ratio", "compute", "limit all_sort"),
    _us("composite_all", form=",.1f"),
    _us("limit json", form=",.1f"),
    _over("ratio", "composite_all", "limit all_full", "limit json"),
]
ONE: list[Column] = [
    _us("composite", form=".3f"),
    _us("composite, each in turn", "each in turn", ".3f"),
    _us("from the kept window", form=".3f"),
    _us("limit one", form=".3f"),
    _over("composite / limit", "composite", "limit one"),
]


def _flat(axis: str, row: Row) -> str:
    return f"- {axis}: " + ", ".join(f"{figure:.1f} ({name})" for name, figure in row.items())


def _notes(other: Row) -> str:
    lines = [
        f"`charging_schedules` of 10,000 connectors at 600 s: {other['publication_ns'] / 1e6:.2f} ms, "
        f"{other['publication_cold_ns'] / 1e6:.2f} ms out of empty caches; dicts out of ready tuples, dumped: "
        f"{other['dicts_of_tuples_ns'] / 1e6:.1f} ms; out of parsed `composite`: "
        f"{other['dicts_of_parsed_ns'] / 1e6:.1f} ms.",
        f"`connector.schedule` over an hour of 10,000 connectors: {other['topic_share']:.1%} of the full bytes.",
        f"`explain` of one connector over a day: {other['explain_ns'] / 1e3:.1f} us, each in turn "
        f"{other['explain_turn_ns'] / 1e3:.1f} us.",
        "Shares of 10,000 connectors, three limits each: "
        + ", ".join(
            f"{other[name] / 1e6:.2f} ms ({name.partition(', ')[2]})"
            for name in other
            if name.startswith("allocate_ns")
        )
        + ".",
        f"A sweep in plain Python, 128 connectors at 600 s: {other['plain_ns'] / 1e3:.0f} us; the engine beside it "
        f"{other['plain_compute_ns'] / 1e3:.1f} us.",
        f"Resident per connector with `std`: {other['memory_bytes'] / 1024:.2f} KiB, with a kept window of 600 s "
        f"{other['memory_window_bytes'] / 1024:.2f} KiB.",
    ]
    if "load_s" in other:
        lines.append(
            f"10,000 connectors x 10 levels x 96 periods from the store: {other['load_s']:.2f} s CPU of both threads "
            f"({other['load_read_s']:.2f} s until the rows are there), {other['load_peak_bytes'] / MIB:.0f} MiB more "
            f"at the peak, {other['load_kept_bytes'] / MIB:.0f} MiB afterwards, {other['row_bytes']:.0f} bytes a row."
        )
    lines.append(
        "Published for 10,000 connectors of `std`, us (performance.md): libocpp "
        + ", ".join(f"{us:,} at {window}" for window, us in LIBOCPP_US.items())
        + "; limit "
        + ", ".join(f"{us:,} at {window}" for window, us in LIMIT_US.items())
        + "."
    )
    return "\n".join(f"- {line}" for line in lines)
