"""Which connectors stand beneath which limits, and how each loads them (decisions.md 5).

Owns the way from the settings of all charge points and the feeders to members and limits, in whole numbers. Must never
change after it is made: what a limit is at a moment is known to ``cap.py``.

A connector loads L1 to L3 of its limits by its ``rotation`` (``RST`` where none is configured, which puts all
connectors of one phase on the same conductor: too careful rather than not careful enough). A DC connector loads all
three phases with its power over three times the nominal AC voltage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from ocpphub.core.cap import PER_UNIT, Amount, Cap, Load
from ocpphub.core.electrical import AC_VOLTAGE_V, thousandths

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, ConnectorOverride, Electrical, Feeder

_CONDUCTOR: Final = {"R": 0, "S": 1, "T": 2}
_USUAL: Final = "RST"


@dataclass(frozen=True, slots=True)
class Place:
    """A connector in the topology. Currents are tenths of an ampere; ``loads`` by its phases, 1 to 3."""

    identity: str
    connector_id: int
    caps: tuple[int, ...]
    loads: tuple[Load, Load, Load]
    phases: int
    most: int
    minimum: int
    fallback: int
    turn_s: float


@dataclass(frozen=True, slots=True)
class Topology:
    """All connectors and limits of a process. ``first`` tells where the connectors of a charge point begin."""

    places: tuple[Place, ...]
    caps: tuple[Cap, ...]
    first: Mapping[str, int]

    def place(self, identity: str, connector_id: int) -> int:
        """The index of connector 1 to N."""
        return self.first[identity] + connector_id - 1


def topology(points: Sequence[ChargePointSettings], feeders: Sequence[Feeder]) -> Topology:
    """The limits come in this order: that of each charge point, then the feeders as in the file."""
    caps = [Cap(point.identity, _station(point.electrical), point.identity) for point in points]
    by_name = {feeder.name: index for index, feeder in enumerate(feeders, len(caps))}
    caps += [Cap(feeder.name, _amount(feeder.limit_a, feeder.limit_w)) for feeder in feeders]
    above: dict[tuple[str, int], tuple[int, ...]] = {}
    for feeder in feeders:
        line = tuple(_line(feeder, feeders, by_name))
        above.update(((identity, number), line) for identity, ids in feeder.members for number in ids)
    places: list[Place] = []
    first: dict[str, int] = {}
    for own, point in enumerate(points):
        first[point.identity] = len(places)
        overrides = {number: override for override in point.connector_overrides for number in override.ids}
        known: dict[tuple[int, ...] | None, dict[int, Place]] = {}
        for number in range(1, point.connectors + 1):
            line = above.get((point.identity, number), ())
            override = overrides.get(number)
            kind = known.setdefault(line, {})
            shape = kind.get(id(override))
            if shape is None:
                shape = kind[id(override)] = _place(point, override, (own, *line))
            places.append(
                Place(
                    point.identity, number, shape.caps, shape.loads, shape.phases, shape.most, shape.minimum,
                    shape.fallback, shape.turn_s,
                )
            )  # fmt: skip
    for index, place in enumerate(places):
        for cap in place.caps:
            caps[cap].members.append(index)
    return Topology(tuple(places), tuple(caps), first)


def _line(feeder: Feeder, feeders: Sequence[Feeder], by_name: Mapping[str, int]) -> Iterator[int]:
    """A feeder and those above it."""
    named = {each.name: each for each in feeders}
    at: Feeder | None = feeder
    while at is not None:
        yield by_name[at.name]
        at = None if at.parent is None else named[at.parent]


def _place(point: ChargePointSettings, override: ConnectorOverride | None, caps: tuple[int, ...]) -> Place:
    usual = point.electrical

    def value(name: str) -> float:
        own = getattr(override, name, None)
        found: float = getattr(usual, name) if own is None else own
        return found

    is_dc = (usual.current if override is None or override.current is None else override.current) == "dc"
    phases, volts = int(value("phases")), Fraction(str(value("nominal_voltage_v")))
    rotation = _USUAL if override is None or override.rotation is None else override.rotation
    loads = tuple(_direct(volts, usual) if is_dc else _load(count, rotation, volts) for count in (1, 2, 3))
    assert len(loads) == 3  # noqa: S101  # told to mypy
    return Place(
        point.identity,
        0,
        caps,
        loads,
        phases,
        _most(usual, override, volts, 1 if is_dc else phases),
        round(value("min_current_a") * 10),
        int(value("fallback_current_a") * 10),
        usual.turn_s,
    )


def _most(usual: Electrical, override: ConnectorOverride | None, volts: Fraction, conductors: int) -> int:
    """The hardware's maximum in tenths of an ampere per phase, rounded up: it is only ever counted as a claim."""
    own = override is not None and (override.connector_max_a or override.connector_max_w)
    rated = override if own else usual
    assert rated is not None  # noqa: S101  # told to mypy
    if rated.connector_max_a is not None:
        return ceil(rated.connector_max_a * 10)
    return ceil(Fraction(str(rated.connector_max_w or 0)) * 10 / (volts * conductors))


def _load(phases: int, rotation: str, volts: Fraction) -> Load:
    conductors = [0, 0, 0]
    named = rotation if set(rotation) == set(_CONDUCTOR) else _USUAL
    for name in named[:phases]:
        conductors[_CONDUCTOR[name]] = PER_UNIT
    return Load(conductors[0], conductors[1], conductors[2], ceil(volts * phases * 1000))


def _direct(volts: Fraction, usual: Electrical) -> Load:
    grid = AC_VOLTAGE_V if usual.current == "dc" else usual.nominal_voltage_v
    each = ceil(volts * PER_UNIT / (3 * Fraction(str(grid))))
    return Load(each, each, each, ceil(volts * 1000))


def _station(electrical: Electrical) -> Amount:
    return _amount(electrical.station_max_a, electrical.station_max_w)


def _amount(amperes: float | None, watts: float | None) -> Amount:
    return Amount(None if amperes is None else _milli(amperes), None if watts is None else _milli(watts))


def _milli(value: float) -> int:
    exact = thousandths(value)
    return int(value * 1000) if exact is None else exact
