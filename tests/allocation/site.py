"""Sites to spend a day at: charge points, their connectors and the feeders above them, from a seed.

Owns the choice only. Every site is one that ``check-config`` would take: the fallbacks fit under each limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from ocpphub.config import ChargePointSettings, ConnectorOverride, Electrical, Feeder
from tests.builders import electrical, override, settings

ROTATIONS = ("RST", "RTS", "SRT", "STR", "TRS", "TSR", "Unknown", None)
LEAF_SIZES = (5, 8, 12, 20)
VOLTS = 230.0


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration of a hub says about power."""

    points: tuple[ChargePointSettings, ...]
    feeders: tuple[Feeder, ...]


def site(rng: Random) -> Site:
    """100 to 200 connectors of 2 to 4 charge points, some of them direct current, behind feeders within feeders."""
    total = rng.choice((100, 100, 120, 150, 200))
    count = rng.randint(2, 4)
    sizes = [total // count + (place < total % count) for place in range(count)]
    turns = [rng.choice((300.0, 600.0, 900.0))] * count
    if rng.random() < 0.25:
        turns = [rng.choice((300.0, 900.0)) for _ in range(count)]
    fallback = rng.choice((0.0, 0.0, 4.0, 6.0, 6.5))
    points = tuple(_point(rng, f"CP{place}", sizes[place], turns[place], fallback) for place in range(count))
    feeders = _feeders(rng, points)
    found = Site(points, feeders)
    while not _fits(found) and fallback:
        fallback = max(fallback - 1.5, 0.0)
        found = Site(tuple(_with_fallback(point, fallback) for point in points), feeders)
    return found


def _point(rng: Random, identity: str, connectors: int, turn_s: float, fallback: float) -> ChargePointSettings:
    phases = rng.choice((3, 3, 3, 1))
    usual = electrical(phases=phases, connector_max_a=rng.choice((16.0, 32.0, 32.0)), turn_s=turn_s)
    usual = replace(usual, fallback_current_a=fallback)
    if rng.random() < 0.4:
        amperes = round(connectors * rng.uniform(7.0, 20.0), 1)
        if rng.random() < 0.6:
            usual = replace(usual, station_max_a=amperes)
        else:
            usual = replace(usual, station_max_w=float(round(amperes * VOLTS * phases)))
    return settings(
        identity=identity, connectors=connectors, electrical=usual, connector_overrides=_overrides(rng, connectors)
    )


def _overrides(rng: Random, connectors: int) -> tuple[ConnectorOverride, ...]:
    """Rotations in groups, now and then a group of direct current or of one phase."""
    groups: dict[str | None, list[int]] = {}
    direct, single = [], []
    for first in range(1, connectors + 1, 4):
        ids = list(range(first, min(first + 4, connectors + 1)))
        kind = rng.random()
        if kind < 0.08:
            direct += ids
        elif kind < 0.2:
            single += ids
        else:
            groups.setdefault(rng.choice(ROTATIONS), []).extend(ids)
    made = [override(ids, rotation=rotation) for rotation, ids in groups.items() if rotation is not None]
    if direct:
        made.append(
            override(
                direct,
                current="dc",
                phases=1,
                nominal_voltage_v=rng.choice((400.0, 450.0, 800.0)),
                connector_max_w=rng.choice((22_000.0, 50_000.0)),
                min_current_a=rng.choice((2.0, 10.0)),
            )
        )
    for ids in (single[0::2], single[1::2]):
        if ids:
            made.append(override(ids, phases=1, rotation=rng.choice(ROTATIONS[:6])))
    return tuple(made)


def _feeders(rng: Random, points: tuple[ChargePointSettings, ...]) -> tuple[Feeder, ...]:
    """One feeder above all, areas below it, leaves below those; some connectors hang on an area, or on nothing."""
    total = sum(point.connectors for point in points)
    feeders = [Feeder("main", round(total * rng.uniform(9.0, 16.0), 1), None, None, ())]
    for place, point in enumerate(points):
        parent = "main"
        members = list(range(1, point.connectors + 1))
        if rng.random() < 0.6:
            parent = f"area{place}"
            direct = tuple(members[: rng.choice((0, 3))])
            members = members[len(direct) :]
            amperes = point.connectors * rng.uniform(8.0, 16.0)
            feeders.append(_feeder(rng, parent, amperes, "main", ((point.identity, direct),) if direct else ()))
        if rng.random() < 0.3:
            members = members[: -rng.randint(1, 6)]
        while members:
            size = rng.choice(LEAF_SIZES)
            mine, members = members[:size], members[size:]
            amperes = max(len(mine) * rng.choice((3.0, 5.0, 7.0, 9.0, 14.0, 20.0)), 13.0) + rng.random()
            feeders.append(_feeder(rng, f"leaf{len(feeders)}", amperes, parent, ((point.identity, tuple(mine)),)))
    return tuple(feeders)


def _feeder(
    rng: Random, name: str, amperes: float, parent: str, members: tuple[tuple[str, tuple[int, ...]], ...]
) -> Feeder:
    if rng.random() < 0.75:
        return Feeder(name, round(amperes, rng.choice((0, 1, 3))), None, parent, members)
    return Feeder(name, None, float(round(amperes * 3 * VOLTS)), parent, members)


def _fits(found: Site) -> bool:
    """Whether all fallbacks together are within every limit, all on the same conductor as ``check-config`` counts."""
    amperes: dict[str, float] = {}
    watts: dict[str, float] = {}
    of_points = {point.identity: point for point in found.points}
    above = {feeder.name: feeder.parent for feeder in found.feeders}

    def count(name: str | None, point: ChargePointSettings, connector_id: int) -> None:
        usual = rated(point, connector_id)
        while name is not None:
            conductors = max(1.0, usual.nominal_voltage_v / (3 * VOLTS)) if usual.current == "dc" else 1.0
            amperes[name] = amperes.get(name, 0.0) + usual.fallback_current_a * conductors
            power = usual.fallback_current_a * usual.nominal_voltage_v * usual.phases
            watts[name] = watts.get(name, 0.0) + power
            name = above.get(name)

    for feeder in found.feeders:
        for identity, ids in feeder.members:
            for connector_id in ids:
                count(feeder.name, of_points[identity], connector_id)
    limits = [(feeder.name, feeder.limit_a, feeder.limit_w) for feeder in found.feeders]
    for point in found.points:
        limits.append((point.identity, point.electrical.station_max_a, point.electrical.station_max_w))
        for connector_id in range(1, point.connectors + 1):
            count(point.identity, point, connector_id)
    return all(
        (limit_a is None or amperes.get(name, 0.0) <= limit_a) and (limit_w is None or watts.get(name, 0.0) <= limit_w)
        for name, limit_a, limit_w in limits
    )


def _with_fallback(point: ChargePointSettings, amperes: float) -> ChargePointSettings:
    return replace(point, electrical=replace(point.electrical, fallback_current_a=amperes))


def rated(point: ChargePointSettings, connector_id: int) -> Electrical:
    """The electrical settings of one connector, its overrides included."""
    usual = point.electrical
    for each in point.connector_overrides:
        if connector_id not in each.ids:
            continue
        if each.connector_max_a is not None or each.connector_max_w is not None:
            usual = replace(usual, connector_max_a=each.connector_max_a, connector_max_w=each.connector_max_w)
        for name in ("nominal_voltage_v", "phases", "current", "min_current_a", "fallback_current_a"):
            if (value := getattr(each, name)) is not None:
                usual = replace(usual, **{name: value})
    return usual


def rotation(point: ChargePointSettings, connector_id: int) -> str:
    """The conductors of the grid behind L1 to L3 of a connector; ``RST`` where nobody knows."""
    own = next((each.rotation for each in point.connector_overrides if connector_id in each.ids and each.rotation), "")
    return own if own in ROTATIONS[:6] else "RST"
