"""What the picture of a charging schedule shows: lines, bands and layers, out of the answers of the socket.

Owns the way from ``schedule.get``, ``schedule.explain`` and ``schedule.profiles`` to step lines over one window. Must
never decide a limit or a winner, which the hub does, and never draw, which ``plot.py`` does. The one rule of OCPP in
here is where the periods of a profile lie, since the socket tells profiles as they were installed.

Implements: OCPP 1.6 sections 3.13.4 and 5.16.4 as far as a drawing needs them; docs/design/0008 items 2 to 4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

MAX_LAYERS: Final = 12
"""Layers of a whole hub that are told apart; what is left is summed into one more."""
RECURRENCE_S: Final = {"Daily": 86_400, "Weekly": 604_800}


class Step(NamedTuple):
    """A limit from ``start`` until before ``end``, in seconds of UTC since 1970."""

    start: int
    end: int
    limit: float


Steps = list[Step]
"""In order, without overlap; what is missing between two is a gap."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown: from ``start_s`` until before ``end_s``, limits in ``unit`` (A or W)."""

    start_s: int
    end_s: int
    unit: str

    def clip(self, start: int, end: int, limit: float) -> Iterator[Step]:
        """The part of a step inside the window, if there is one."""
        start, end = max(start, self.start_s), min(end, self.end_s)
        if start < end:
            yield Step(start, end, limit)


@dataclass(frozen=True, slots=True)
class Line:
    """One source in its own unit; ``key`` is its profile's id or its kind, ``won`` are the steps that decide."""

    key: str
    name: str
    steps: Steps
    won: Steps


@dataclass(frozen=True, slots=True)
class Band:
    """Sources of one kind, one below the other bands: ``kind`` is a purpose or ``configured``."""

    name: str
    kind: str
    unit: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Winner:
    """Who decides a stretch of the composite: its ``kind`` as of a band, and a short name."""

    kind: str
    name: str
    steps: Steps


class Mark(NamedTuple):
    """One value at one moment: ``key`` names it in the drawing, ``name`` in its legend."""

    key: str
    name: str
    at_s: int
    value: float


@dataclass(frozen=True, slots=True)
class ConnectorPicture:
    """The composite schedule of one connector above the bands of its sources, the highest precedence first."""

    title: str
    window: Window
    composite: Steps
    winners: list[Winner]
    bands: list[Band]
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """Connectors that are shown as one: their limits added up."""

    name: str
    steps: Steps


@dataclass(frozen=True, slots=True)
class HubPicture:
    """Connector 0's composite schedule and its bound over the stacked composite schedules of the connectors."""

    title: str
    window: Window
    composite: Steps
    bound: Steps
    layers: list[Layer] = field(default_factory=list)
    marks: Sequence[Mark] = ()


def seconds(moment: str) -> int:
    """The whole second since 1970 of an RFC 3339 text."""
    if moment.startswith("0000"):
        # Year 0 is legal and unknown to datetime; five times 400 years later the calendar is the same, weekdays too.
        return seconds(f"2000{moment[4:]}") - 5 * 146_097 * 86_400
    return int(datetime.fromisoformat(moment).replace(microsecond=0).timestamp())


def window_of(answer: Mapping[str, Any]) -> Window:
    """The window that an answer of ``schedule.get`` covers."""
    start_s = seconds(answer["schedule_start"])
    schedule = answer["schedule"]
    return Window(start_s, start_s + schedule["duration"], schedule["chargingRateUnit"])


def composite(schedule: Mapping[str, Any], window: Window) -> Steps:
    """The steps of a ChargingSchedule of ``schedule.get``."""
    periods = schedule["chargingSchedulePeriod"]
    ends = [period["startPeriod"] for period in periods[1:]] + [window.end_s - window.start_s]
    return [
        Step(window.start_s + period["startPeriod"], window.start_s + end, period["limit"])
        for period, end in zip(periods, ends, strict=True)
    ]


def connector_picture(
    title: str,
    answer: Mapping[str, Any],
    stretches: Iterable[Mapping[str, Any]],
    profiles: Iterable[Mapping[str, Any]],
    transaction_start_s: int | None,
    marks: Sequence[Mark] = (),
) -> ConnectorPicture:
    """One connector.

    ``answer`` is the result of ``schedule.get``, ``stretches`` that of ``schedule.explain`` over the same window,
    ``profiles`` those of ``schedule.profiles`` on the connector and on connector 0; ``transaction_start_s`` the start
    of its transaction, from which Relative profiles count; ``marks`` are those of :func:`connector_marks`.
    """
    window = window_of(answer)
    won: dict[Any, Steps] = defaultdict(list)
    winners: list[Winner] = []
    for stretch in stretches:
        source = stretch["winner"]
        steps = list(window.clip(seconds(stretch["start"]), seconds(stretch["end"]), stretch["limit"]))
        won[_key(source)].extend(steps)
        name = short_name(source)
        if winners and winners[-1].name == name:
            winners[-1].steps.extend(steps)
        else:
            winners.append(Winner(source.get("purpose", "configured"), name, steps))
    bands = _bands(profiles, window, won, transaction_start_s)
    configured = [Line(kind, kind, steps, steps) for kind, steps in won.items() if isinstance(kind, str)]
    if configured:
        bands.append(Band("configured limits, where they decide", "configured", window.unit, configured))
    return ConnectorPicture(title, window, composite(answer["schedule"], window), winners, bands, marks)


def _key(source: Mapping[str, Any]) -> int | str:
    return int(source["charging_profile_id"]) if source["kind"] == "profile" else str(source["kind"])


def short_name(source: Mapping[str, Any]) -> str:
    """A Source of ``schedule.explain`` in two words."""
    if source["kind"] != "profile":
        return str(source["kind"])
    return f"{source['purpose'].removesuffix('Profile')} {source['charging_profile_id']}"


def hub_picture(
    title: str,
    answer: Mapping[str, Any],
    stretches: Iterable[Mapping[str, Any]],
    profiles: Iterable[Mapping[str, Any]],
    schedules: Mapping[int, Mapping[str, Any]],
    marks: Sequence[Mark] = (),
) -> HubPicture:
    """A whole charge point: as for a connector, of connector 0, and the ChargingSchedule of every connector by id."""
    window = window_of(answer)
    whole = composite(answer["schedule"], window)
    return HubPicture(title, window, whole, _bound(stretches, profiles, window), _layers(schedules, window), marks)


def connector_marks(row: Mapping[str, Any], window: Window, now_s: int) -> list[Mark]:
    """The present permit and claim of a connector, ``row`` of ``allocation.get``, where now is in the window.

    A claim is told in amperes, and without the voltage it is nothing else.
    """
    permit = row["permit"]["limit_a" if window.unit == "A" else "limit_w"]
    claim = row["claim_a"] if window.unit == "A" else None
    return _marks(window, now_s, ("permit", "permit now", permit), ("claim", "claim now", claim))


def hub_marks(allocation: Mapping[str, Any], window: Window, now_s: int) -> list[Mark]:
    """The permits of all connectors, added up as their composites are, and the claims that count for the hub's limit.

    ``allocation`` is the result of ``allocation.get``. Claims in amperes are those of the phase that has most.
    """
    limit, claimed = ("limit_a", "claimed_a") if window.unit == "A" else ("limit_w", "claimed_w")
    permits = sum(round(row["permit"][limit] * 10) for row in allocation["connectors"].values()) / 10
    return _marks(
        window, now_s, ("permit", "all permits now", permits), ("claim", "claims now", allocation.get(claimed))
    )


def _marks(window: Window, now_s: int, *values: tuple[str, str, float | None]) -> list[Mark]:
    if not window.start_s <= now_s < window.end_s:
        return []
    return [
        Mark(key, f"{name}: {value:.1f} {window.unit}", now_s, value)
        for key, name, value in values
        if value is not None
    ]


def profile_steps(profile: Mapping[str, Any], window: Window, anchor_s: int) -> Steps:
    """Where in the window the periods of an installed profile lie, in the profile's own unit.

    ``anchor_s``: what a schedule without a second zero of its own counts from, the start of a transaction or of the
    window.
    """
    schedule = profile["charging_schedule"]
    valid = Window(
        max(window.start_s, seconds(profile["valid_from"]) if "valid_from" in profile else window.start_s),
        min(window.end_s, seconds(profile["valid_to"]) if "valid_to" in profile else window.end_s),
        schedule["charging_rate_unit"],
    )
    periods = schedule["charging_schedule_period"]
    steps: Steps = []
    for zero, length in _runs(profile, window, anchor_s):
        # §5.16.4: what lies at or beyond the duration is not executed
        ends = [min(zero + period["start_period"], zero + length) for period in periods[1:]] + [zero + length]
        for period, end in zip(periods, ends, strict=True):
            steps.extend(valid.clip(zero + period["start_period"], end, period["limit"]))
    return steps


def _runs(profile: Mapping[str, Any], window: Window, anchor_s: int) -> Iterator[tuple[int, int]]:
    """(second zero, length) of every run of a profile's schedule that touches the window."""
    schedule = profile["charging_schedule"]
    zero = _second_zero(profile, anchor_s)
    endless = max(0, window.end_s - zero)
    if profile["kind"] != "Recurring":
        yield zero, schedule.get("duration", endless)
        return
    every = RECURRENCE_S[profile["recurrency_kind"]]
    for number in range(max(0, (window.start_s - zero) // every), max(0, -((zero - window.end_s) // every))):
        yield zero + number * every, min(schedule.get("duration", every), every)


def _second_zero(profile: Mapping[str, Any], anchor_s: int) -> int:
    schedule = profile["charging_schedule"]
    if profile["kind"] != "Relative" and "start_schedule" in schedule:
        return seconds(schedule["start_schedule"])
    if profile["purpose"] == "ChargePointMaxProfile":
        return seconds(profile.get("valid_from", profile["accepted_at"]))
    return anchor_s


def _bands(
    profiles: Iterable[Mapping[str, Any]], window: Window, won: Mapping[Any, Steps], transaction_start_s: int | None
) -> list[Band]:
    """One band for all ChargePointMaxProfiles, one for all TxProfiles, one for each level of TxDefaultProfiles.

    Units are never mixed in a band: the socket does not tell the voltage, and without it nothing can be converted.
    """
    anchor_s = window.start_s if transaction_start_s is None else transaction_start_s
    bands: dict[tuple[int, int, str], Band] = {}
    purposes = ("ChargePointMaxProfile", "TxProfile", "TxDefaultProfile")
    for profile in profiles:
        purpose, level = profile["purpose"], profile["stack_level"]
        is_default = purpose == "TxDefaultProfile"
        unit = profile["charging_schedule"]["charging_rate_unit"]
        name = f"{purpose}, level {level}" if is_default else purpose
        order = (purposes.index(purpose), -level if is_default else 0, unit)
        band = bands.setdefault(order, Band(name, purpose, unit, []))
        steps = profile_steps(profile, window, anchor_s)
        key = profile["charging_profile_id"]
        wins = [part for stretch in won.get(key, ()) for part in cut(steps, stretch)]
        where = f"connector {profile['connector_id']}" if is_default else f"level {level}"
        band.lines.append(Line(str(key), f"{key} ({where})", steps, wins))
    return [bands[order] for order in sorted(bands)]


def cut(steps: Steps, part: Step) -> Iterator[Step]:
    """The steps inside the time of ``part``."""
    inside = Window(part.start, part.end, "")
    for index in range(max(0, bisect_right(steps, part.start, key=lambda step: step.start) - 1), len(steps)):
        if steps[index].start >= part.end:
            return
        yield from inside.clip(*steps[index])


def _bound(stretches: Iterable[Mapping[str, Any]], profiles: Iterable[Mapping[str, Any]], window: Window) -> Steps:
    """What holds connector 0 down: exact where it decides, else the leading ChargePointMaxProfile in the same unit."""
    line: Steps = []
    leading = [
        profile
        for profile in profiles
        if profile["purpose"] == "ChargePointMaxProfile"
        and profile["charging_schedule"]["charging_rate_unit"] == window.unit
    ]
    for profile in sorted(leading, key=lambda profile: profile["stack_level"]):
        line = _lay_over(line, profile_steps(profile, window, window.start_s))
    deciding = [
        step
        for stretch in stretches
        if is_bound(stretch["winner"])
        for step in window.clip(seconds(stretch["start"]), seconds(stretch["end"]), stretch["limit"])
    ]
    return _lay_over(line, deciding)


def is_bound(source: Mapping[str, Any]) -> bool:
    """Whether a Source holds connector 0 down as a whole, rather than one of its connectors."""
    return source["kind"] in ("station", "external") or source.get("purpose") == "ChargePointMaxProfile"


def _lay_over(below: Steps, above: Steps) -> Steps:
    """``above``, and ``below`` in its gaps."""
    line: Steps = []
    edge = below[0].start if below else 0
    for step in above:
        line.extend(cut(below, Step(edge, step.start, 0.0)))
        line.append(step)
        edge = step.end
    if below:
        line.extend(cut(below, Step(edge, below[-1].end, 0.0)))
    return line


def _layers(schedules: Mapping[int, Mapping[str, Any]], window: Window) -> list[Layer]:
    """Connectors with the same schedule are one layer; of more than ``MAX_LAYERS`` the smallest are summed.

    Small means little over the whole window (limit times time). The largest is at the bottom of the stack.
    """
    same: dict[tuple[Step, ...], list[int]] = defaultdict(list)
    for connector_id, schedule in schedules.items():
        same[tuple(composite(schedule, window))].append(connector_id)
    groups = sorted(same.items(), key=lambda item: (-_area(item[0]) * len(item[1]), item[1]))
    shown, rest = groups[:MAX_LAYERS], groups[MAX_LAYERS:]
    if len(rest) == 1:
        shown, rest = groups, []
    layers = [Layer(_name_of(ids), added([(steps, len(ids))])) for steps, ids in shown]
    if rest:
        count = sum(len(ids) for _, ids in rest)
        layers.append(Layer(f"{count} others, summed", added([(steps, len(ids)) for steps, ids in rest])))
    return layers


def _area(steps: Iterable[Step]) -> float:
    return sum((step.end - step.start) * step.limit for step in steps)


def _name_of(connectors: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for connector_id in sorted(connectors):
        if ranges and ranges[-1][1] == connector_id - 1:
            ranges[-1][1] = connector_id
        else:
            ranges.append([connector_id, connector_id])
    texts = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges]
    listed = ",".join(texts[:4]) + (",..." if len(texts) > 4 else "")
    return f"connector {listed}" if len(connectors) == 1 else f"connectors {listed} ({len(connectors)} alike)"


def added(parts: Iterable[tuple[Sequence[Step], int]]) -> Steps:
    """The sum of lines without gaps, each taken so many times; in tenths, since a limit has one decimal."""
    change: Counter[int] = Counter()
    for steps, times in parts:
        for step in steps:
            tenths = round(step.limit * 10) * times
            change[step.start] += tenths
            change[step.end] -= tenths
    line: Steps = []
    level = 0
    edges = sorted(change)
    for start, end in pairwise(edges):
        level += change[start]
        if line and round(line[-1].limit * 10) == level:
            line[-1] = line[-1]._replace(end=end)
        else:
            line.append(Step(start, end, level / 10))
    return line
