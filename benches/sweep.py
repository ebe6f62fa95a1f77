"""A composite sweep in plain Python: what the engine is judged against beside the limit program.

Owns an honest sweep of the kind one would write without Rust: periods in sorted lists found by bisection, tenths as
integers, one pass over the instants at which something changes, connector 0 from sorted differences. Amperes only, no
validity, no rounding. Must never import the engine.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

NEVER = 1 << 62
DAY_S = 86_400
DEFAULT_TENTHS = 480

Segments = list[tuple[int, int]]
"""From this second of the window on, so many tenths of an ampere."""


class Plan(NamedTuple):
    """One profile: second zero, length of an occurrence, whether it comes daily, its periods."""

    zero_s: int
    duration_s: int
    is_daily: bool
    starts: list[int]
    tenths: list[int]


class PlainStation:
    """The profiles of a workload, sorted as a sweep needs them."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        """``rows`` as workload.py generates them; profiles of one connector come by rising stackLevel."""
        self._charging: dict[int, int] = {}
        self._transaction: list[list[Plan]] = [[]]
        self._default: list[list[Plan]] = [[]]
        self._station: list[Plan] = []
        for row in rows:
            if "connector" in row:
                self._transaction.append([])
                self._default.append([])
                if row["tx"]:
                    self._charging[row["connector"]] = _second(row["tx"]["start"])
            elif "connectorId" in row:
                self._add(row["connectorId"], row["csChargingProfiles"])

    def _add(self, connector: int, profile: dict[str, Any]) -> None:
        schedule = profile["chargingSchedule"]
        listed = schedule["chargingSchedulePeriod"]
        is_daily = profile["chargingProfileKind"] == "Recurring"
        start = schedule.get("startSchedule")
        plan = Plan(
            self._charging[connector] if start is None else _second(start),
            min(schedule.get("duration", NEVER), DAY_S if is_daily else NEVER),
            is_daily,
            [period["startPeriod"] for period in listed],
            [round(period["limit"] * 10) for period in listed],
        )
        match profile["chargingProfilePurpose"]:
            case "ChargePointMaxProfile":
                plans = self._station
            case "TxProfile":
                plans = self._transaction[connector]
            case _:
                plans = self._default[connector]
        plans.insert(0, plan)

    def composites(self, start_s: int, duration_s: int) -> list[Segments]:
        """The schedules of connectors 0 to N through a window."""
        end_s = start_s + duration_s
        station = _station_segments(self._station, start_s, end_s)
        own = [
            _segments(transaction, default, start_s, end_s)
            for transaction, default in zip(self._transaction[1:], self._default[1:], strict=True)
        ]
        differences: dict[int, int] = {}
        for segments in own:
            last = 0
            for at, tenths in segments:
                differences[at] = differences.get(at, 0) + tenths - last
                last = tenths
        total = 0
        summed: Segments = []
        for at in sorted(differences):
            total += differences[at]
            summed.append((at, total))
        return [_bounded(segments, station) for segments in (summed, *own)]


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _leading(plans: list[Plan], t: int) -> tuple[int | None, int]:
    """The limit of the highest level that has a period at ``t``, and until when that holds."""
    until = NEVER
    for plan in plans:
        offset = t - plan.zero_s
        if offset < 0:
            until = min(until, plan.zero_s)
            continue
        if plan.is_daily:
            offset %= DAY_S
        zero = t - offset
        if offset >= plan.duration_s:
            if plan.is_daily:
                until = min(until, zero + DAY_S)
            continue
        place = bisect_right(plan.starts, offset)
        ends = plan.starts[place] if place < len(plan.starts) else plan.duration_s
        return plan.tenths[place - 1], min(until, zero + min(ends, plan.duration_s))
    return None, until


def _segments(transaction: list[Plan], default: list[Plan], start_s: int, end_s: int) -> Segments:
    segments: Segments = []
    t, last = start_s, -1
    while t < end_s:
        tenths, until = _leading(transaction, t) if transaction else (None, NEVER)
        if tenths is None:
            tenths, other = _leading(default, t)
            until = min(until, other)
            if tenths is None:
                tenths = DEFAULT_TENTHS
        if tenths != last:
            segments.append((t - start_s, tenths))
            last = tenths
        t = until
    return segments


def _station_segments(plans: list[Plan], start_s: int, end_s: int) -> Segments:
    segments: Segments = []
    t = start_s
    while t < end_s:
        tenths, until = _leading(plans, t)
        segments.append((t - start_s, NEVER if tenths is None else tenths))
        t = until
    return segments


def _bounded(segments: Segments, station: Segments) -> Segments:
    """The least of both at each instant, neighbours merged."""
    if len(segments) == 1 and len(station) == 1:
        return [(0, min(segments[0][1], station[0][1]))]
    merged: Segments = []
    i = j = 0
    while True:
        tenths = min(segments[i][1], station[j][1])
        if not merged or merged[-1][1] != tenths:
            merged.append((max(segments[i][0], station[j][0]), tenths))
        one = segments[i + 1][0] if i + 1 < len(segments) else NEVER
        other = station[j + 1][0] if j + 1 < len(station) else NEVER
        if one == other == NEVER:
            return merged
        i += one <= other
        j += other <= one
