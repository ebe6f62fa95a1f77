"""The goal lines of P2 as functions of the measured figures.

Owns the bounds, and the published figures that a ratio refers to. Must never measure. Ratios of one run and resident
bytes may gate; microseconds and seconds are judged in RESULTS.md and never gate. Ratios at many connectors swing with
what is left of the caches, so they are not held to the committed figure: instruction counts are (icount.py).
Source: performance.md P2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benches.goals import Goal, worst

Rows = Mapping[str, Mapping[str, float]]

ALLOWED = 2.0
"""Times the limit program that all connectors and 0 may cost."""
EVEN = 1.3 / 0.7
"""Largest over smallest of figures that are all within 30 % of one in the middle."""
LIBOCPP_US = {"600 s": 197_600, "1 day": 746_000}
LIMIT_US = {"600 s": 276, "1 day": 7_757}
"""Published for 10,000 connectors of ``std``: with our ratio to the limit program the machine's speed cancels."""
LIBOCPP_SHARE = {"600 s": 1 / 250, "1 day": 1 / 35}
PLAIN_SHARE = 7 / 250
"""A plain sweep was found 5 to 7 times faster than libocpp, of which the engine may need 1/250."""
MIB = 1 << 20


def goals(every: Rows, one: Rows, flat: Rows, changes: Rows, other: Mapping[str, float]) -> list[Goal]:
    """Every line that the figures allow; a run that leaves parts out has fewer."""
    return [
        *every_goals(every),
        *one_goals(one),
        *flat_goals(flat),
        *change_goals(changes, other),
        *publication_goals(other),
        *allocation_goals(other),
        *footprint_goals(other),
    ]


def every_goals(every: Rows) -> Iterator[Goal]:
    """All connectors and 0 against the limit program and, through it, against libocpp."""
    ratios = {name: row["compute"] / row["limit all_full"] for name, row in every.items()}
    judged = {"std": ("128", "1,000", "10,000"), "heavy": ("1,000",)}
    for variant, sizes in judged.items():
        chosen = {name: ratios[name] for size in sizes for name in ratios if name.startswith(f"{variant} {size},")}
        text = f"{variant}, N = {' and '.join(sizes)}, three windows: all connectors + 0 / limit, worst"
        yield worst(f"schedules_{variant}", text, chosen, ALLOWED, steady=False)
    yield Goal(
        "schedules_small",
        "std, N = 10, 600 s: all connectors + 0, us",
        every["std 10, 600 s"]["compute"] / 1e3,
        5.0,
        gated=False,
    )
    scattered = {name: ratio for name, ratio in ratios.items() if "after the burst" in name}
    text = "std, N = 10,000 after the burst (profiles all over the memory): all connectors + 0 / limit, worst"
    yield worst("schedules_scattered", text, scattered, ALLOWED, gated=False)
    for window, bound in LIBOCPP_SHARE.items():
        share = ratios[f"std 10,000, {window}"] * LIMIT_US[window] / LIBOCPP_US[window]
        key = f"schedules_libocpp_{window.replace(' ', '_')}"
        text = f"std, N = 10,000, {window}: share of libocpp's time, through the limit"
        yield Goal(key, text, share, bound, steady=False)


def one_goals(one: Rows) -> Iterator[Goal]:
    """One connector, its JSON included, whatever N and however old the schedule."""
    for window, bound in {"600 s": 0.5, "1 day": 6.0}.items():
        figures = {
            f"{name} ({column})": row[column] / 1e3
            for name, row in one.items()
            if name.endswith(window)
            for column in ("composite", "composite, each in turn")
        }
        key = f"schedules_one_{window.replace(' ', '_')}"
        yield worst(key, f"one connector, {window}, JSON included: us, worst", figures, bound, gated=False)


def flat_goals(flat: Rows) -> Iterator[Goal]:
    """Time per output period along each axis: even in both directions, and never dearer where there is more."""
    for axis in ("connectors", "periods", "levels"):
        rows = {name: row for name, row in flat.items() if name.startswith(axis)}
        evenness = {name: max(row.values()) / min(row.values()) for name, row in rows.items()}
        text = f"time per output period, {axis}: dearest / cheapest (+-30 %)"
        yield worst(f"schedules_even_{axis}", text, evenness, EVEN, gated=False)
        growth = {name: growing(list(row.values())) for name, row in rows.items()}
        text = f"time per output period, {axis}: dearest / any with fewer (nothing quadratic)"
        yield worst(f"schedules_growth_{axis}", text, growth, EVEN, steady=False)


def growing(figures: list[float]) -> float:
    """The most that a figure exceeds one before it."""
    return max(later / earlier for place, later in enumerate(figures) for earlier in figures[: place + 1])


def change_goals(changes: Rows, other: Mapping[str, float]) -> Iterator[Goal]:
    """Changes of a hub of 10,000 connectors; that connector and 0 are written as JSON each time."""
    for window, bound in {"600 s": 10.0, "1 day": 100.0}.items():
        row = changes[window]
        figures = {name: ns / 1e3 for name, ns in row.items() if not name.startswith("limit")}
        key = f"schedules_change_{window.replace(' ', '_')}"
        text = f"one change, that connector and 0 current, N = 10,000, {window}: us, worst kind"
        yield worst(key, text, figures, bound, gated=False)
        row = changes[f"{window}, no ChargePointMaxProfile"]
        text = f"one profile set, the same without ChargePointMaxProfile, computed but not written, {window}: us"
        detail = f"written as JSON {row['profile set'] / 1e3:.0f} us"
        yield Goal(f"{key}_unbounded", text, row["profile set, current"] / 1e3, bound, detail, gated=False)
    yield Goal(
        "schedules_burst",
        "10,000 SetChargingProfile decoded, installed, current after each: s CPU",
        other["burst_s"],
        0.5,
        gated=False,
    )


def publication_goals(other: Mapping[str, float]) -> Iterator[Goal]:
    """What is published and explained."""
    ours, tuples, parsed = other["publication_ns"], other["dicts_of_tuples_ns"], other["dicts_of_parsed_ns"]
    text = "charging_schedules, N = 10,000, 600 s: ms of loop time"
    yield Goal("schedules_publication", text, ours / 1e6, 2.0, gated=False)
    text = f"{text}, out of empty caches"
    yield Goal("schedules_publication_cold", text, other["publication_cold_ns"] / 1e6, 2.0, gated=False)
    yield Goal(
        "schedules_dicts",
        "charging_schedules / the same through Python dicts + orjson",
        ours / min(tuples, parsed),
        0.25,
        f"dicts out of ready tuples {tuples / 1e6:.1f} ms, out of composite() {parsed / 1e6:.1f} ms",
        steady=False,
    )
    text = "connector.schedule, per cent of the bytes of charging_schedules, every 30 s"
    yield Goal("schedules_topic", text, other["topic_share"] * 100, 5.0)
    explained = max(other["explain_ns"], other["explain_turn_ns"]) / 1e3
    yield Goal("schedules_explain", "explain of one connector over a day: us", explained, 100.0, gated=False)
    plain = other["plain_compute_ns"] / other["plain_ns"]
    text = "std, N = 128, 600 s: all connectors + 0 / a sweep in plain Python"
    yield Goal("schedules_plain", text, plain, PLAIN_SHARE, f"plain Python {other['plain_ns'] / 1e3:,.0f} us")


def allocation_goals(other: Mapping[str, float]) -> Iterator[Goal]:
    """Shares of everybody, the call from Python included."""
    figures = {name.partition(", ")[2]: ns / 1e6 for name, ns in other.items() if name.startswith("allocate_ns, ")}
    text = "allocation for 10,000 active connectors, three limits each: ms, worst situation"
    yield worst("schedules_allocation", text, figures, 1.0, gated=False)


def footprint_goals(other: Mapping[str, float]) -> Iterator[Goal]:
    """Memory, and the load of a full store where it was measured."""
    kept = f"{other['memory_window_bytes'] / 1024:.2f} KiB with a window of 600 s kept"
    yield Goal(
        "schedules_memory",
        "std, N = 10,000: resident KiB per connector",
        other["memory_bytes"] / 1024,
        2.0,
        kept,
        steady=False,
    )
    if "load_s" in other:
        text = "10,000 x 10 profiles x 96 periods from the store"
        rows = f"{other['load_profiles']:,.0f} rows of {other['row_bytes']:.0f} B"
        of_these = f"{rows}; {other['load_read_s']:.2f} s until they are there"
        yield Goal("schedules_load", f"{text}: s CPU", other["load_s"], 2.0, of_these, gated=False)
        after = f"{other['load_kept_bytes'] / MIB:.0f} MiB afterwards"
        peak = other["load_peak_bytes"] / MIB
        yield Goal("schedules_load_memory", f"{text}: MiB at the peak", peak, 200.0, after, steady=False)
