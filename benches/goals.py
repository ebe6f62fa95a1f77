"""The goal lines of P1 as functions of the measured figures.

Owns the bounds and which frames they judge. Must never measure. A goal is a ratio within one run; the one absolute line
is shown and judged in RESULTS.md but never gates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

LARGE = 150
PACKAGE = 200
KILO = 1_000

Figures = Mapping[str, Mapping[str, float]]
"""Net nanoseconds by frame and peer; each row also has ``bytes``."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: ``figure <= bound`` is met. ``gated`` goals are ratios and may fail CI.

    A ``steady`` one is held to the committed figure too; others swing with what neighbours leave of the caches.
    """

    key: str
    text: str
    figure: float
    bound: float
    detail: str = ""
    gated: bool = True
    steady: bool = True
    tolerance: float = 1.25
    """How far beyond its bound, or what is committed, a figure of a few rounds may be before CI fails."""

    @property
    def met(self) -> bool:
        """Whether the figure is within the bound."""
        return self.figure <= self.bound

    def as_json(self) -> dict[str, Any]:
        """The line as stored in RESULTS.json."""
        return asdict(self) | {"met": self.met}


def geomean(values: Iterable[float]) -> float:
    """The geometric mean of positive figures."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def msgspec_ns(row: Mapping[str, float]) -> float:
    """The better of msgspec's two styles."""
    return min(row["msgspec one step"], row["msgspec two steps"])


def decode_goals(frames: Figures) -> list[Goal]:
    """Decoding and materialising of the judged corpus."""
    large = {name: row for name, row in frames.items() if row["bytes"] >= LARGE}
    small = {name: row["decode"] for name, row in frames.items() if row["bytes"] < LARGE}
    kilo = {name: row["decode"] / row["simdjson"] for name, row in frames.items() if row["bytes"] >= KILO}
    against = {name: row["decode"] / msgspec_ns(row) for name, row in large.items()}
    parse = {name: row["decode"] / row["orjson"] for name, row in large.items()}
    whole = {name: row["decode + payload"] / row["orjson"] for name, row in frames.items()}
    package = {name: row["decode"] / row["ocpp"] for name, row in frames.items() if row["bytes"] >= PACKAGE}
    return [
        Goal("decode_msgspec", "frames >= 150 B: decode / msgspec, geometric mean", geomean(against.values()), 0.36),
        worst("decode_msgspec_worst", "frames >= 150 B: decode / msgspec, worst frame", against, 0.50),
        worst("decode_orjson_worst", "frames >= 150 B: decode / orjson.loads, worst frame", parse, 1.0),
        worst("decode_small", "frames < 150 B: nanoseconds, worst frame", small, 200.0, gated=False),
        worst(
            "decode_simdjson", "frames >= 1 kB: decode / pysimdjson bare parse, worst frame", kilo, 1.5, steady=False
        ),
        Goal("payload_orjson", "decode + payload() / orjson.loads, geometric mean", geomean(whole.values()), 1.1),
        worst("payload_orjson_worst", "decode + payload() / orjson.loads, worst frame", whole, 1.4),
        Goal(
            "decode_ocpp",
            "frames >= 200 B: decode / `ocpp`, geometric mean",
            geomean(package.values()),
            1 / 300,
            _span(package),
        ),
    ]


def refusal_goals(pairs: Mapping[str, float], rows: Mapping[str, float]) -> list[Goal]:
    """``pairs`` and ``rows``: refused / good of the same size, for siblings and for the rows of bad-frames.

    The geometric mean is gated. A single pair compares more than the refusal (the sibling has a member more than the
    good frame, a row is held against frames of another action): the worst is held to the same bound and marked, but
    not gated.
    """
    return [
        Goal("refused_sibling", "refused frame / its good sibling, geometric mean", geomean(pairs.values()), 1.05),
        worst("refused_sibling_worst", "refused frame / its good sibling, worst pair", pairs, 1.05, gated=False),
        Goal(
            "refused_vector",
            "row of bad-frames / good frames of its size (median), geometric mean",
            geomean(rows.values()),
            1.05,
        ),
        worst(
            "refused_vector_worst", "row of bad-frames / good frames of its size, worst row", rows, 1.05, gated=False
        ),
    ]


def stop_goal(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Goal:
    """Longest legal frames at the message limit: nanoseconds of decode, and of msgspec's better style."""
    longest, slowest = max(ours, key=ours.__getitem__), max(theirs, key=theirs.__getitem__)
    detail = f"{longest} {ours[longest] / 1e6:.2f} ms; msgspec {slowest} {theirs[slowest] / 1e6:.2f} ms"
    return Goal(
        "longest_stop", "longest stop for a legal frame / msgspec's", ours[longest] / theirs[slowest], 0.45, detail
    )


def encode_goals(frames: Figures, meter: Mapping[str, float]) -> list[Goal]:
    """Encoding of what a charge point sends; ``meter``: MeterLayout and orjson.dumps of the ready dict."""
    ratio = {name: row["encode"] / row["orjson.dumps"] for name, row in frames.items()}
    return [
        Goal(
            "encode_orjson",
            "encode_call, encode_result / orjson.dumps, geometric mean",
            geomean(ratio.values()),
            2.0,
            _span(ratio),
        ),
        Goal(
            "meter_layout",
            "MeterLayout.encode of 10 samples / orjson.dumps of a ready dict",
            meter["MeterLayout.encode"] / meter["orjson.dumps"],
            0.5,
            f"{meter['MeterLayout.encode']:.0f} ns and {meter['orjson.dumps']:.0f} ns",
        ),
    ]


@dataclass(slots=True)
class Measured:
    """What a part has measured, by name, and its goal lines."""

    other: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)


def worst(
    key: str, text: str, ratios: Mapping[str, float], bound: float, *, gated: bool = True, steady: bool = True
) -> Goal:
    """The line of the largest of several figures, which it names."""
    name = max(ratios, key=ratios.__getitem__)
    over = sum(ratio > bound for ratio in ratios.values())
    return Goal(key, text, ratios[name], bound, f"{name}; {over} of {len(ratios)} beyond the bound", gated, steady)


def _span(ratios: Mapping[str, float]) -> str:
    low, high = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    return f"from {_short(ratios[low])} ({low}) to {_short(ratios[high])} ({high})"


def _short(ratio: float) -> str:
    return f"1/{1 / ratio:.0f}" if ratio < 0.1 else f"{ratio:.2f}"
