"""From settings to connectors, limits and loads."""

from __future__ import annotations

import pytest

from ocpphub.config import Feeder
from ocpphub.core.cap import PER_UNIT, Amount, Load
from ocpphub.core.topology import topology
from tests import builders


def feeder(
    name: str, *members: tuple[str, tuple[int, ...]], parent: str | None = None, amperes: float = 100.0
) -> Feeder:
    return Feeder(name, amperes, None, parent, members)


def test_connectors_stand_beneath_their_feeder_and_those_above_it() -> None:
    """decisions.md 5: nested to any depth; connector 0 of each charge point is one more."""
    points = [builders.settings(identity="A", connectors=2), builders.settings(identity="B", connectors=2)]
    feeders = [
        feeder("inner", ("A", (2,)), ("B", (1,)), parent="middle"),
        feeder("middle", parent="main"),
        feeder("main", ("B", (2,)), amperes=250.5),
    ]
    made = topology(points, feeders)
    assert [cap.name for cap in made.caps] == ["A", "B", "inner", "middle", "main"]
    assert [cap.identity for cap in made.caps] == ["A", "B", None, None, None]
    assert [place.caps for place in made.places] == [(0,), (0, 2, 3, 4), (1, 2, 3, 4), (1, 4)]
    assert [(place.identity, place.connector_id) for place in made.places] == [("A", 1), ("A", 2), ("B", 1), ("B", 2)]
    assert made.place("B", 2) == 3
    assert made.caps[4].members == [1, 2, 3]
    assert made.caps[4].configured == Amount(250_500, None)


@pytest.mark.parametrize(
    ("rotation", "phases", "load"),
    [
        (None, 1, (1, 0, 0)),
        ("RST", 2, (1, 1, 0)),
        ("STR", 1, (0, 1, 0)),
        ("TRS", 2, (1, 0, 1)),
        ("TSR", 3, (1, 1, 1)),
        ("Unknown", 1, (1, 0, 0)),
    ],
)
def test_rotation_says_which_phases_a_connector_loads(
    rotation: str | None, phases: int, load: tuple[int, int, int]
) -> None:
    """decisions.md 5: A per phase with connector rotation."""
    point = builders.settings(connectors=1, connector_overrides=(builders.override((1,), rotation=rotation),))
    (place,) = topology([point], []).places
    assert place.loads[phases - 1] == Load(load[0] * PER_UNIT, load[1] * PER_UNIT, load[2] * PER_UNIT, 230_000 * phases)


def test_direct_current_loads_all_phases_with_its_power() -> None:
    """AC and DC mixed: 690 V DC are one ampere of three phases of 230 V for each ampere."""
    over = builders.override((2,), current="dc", nominal_voltage_v=690.0, phases=1)
    point = builders.settings(connectors=2, connector_overrides=(over,))
    _, place = topology([point], []).places
    assert place.loads[0] == Load(PER_UNIT, PER_UNIT, PER_UNIT, 690_000)


def test_bounds_of_a_connector_are_whole_tenths() -> None:
    """A claim is never counted lower than it is, nor a minimum."""
    electrical = builders.electrical(connector_max_a=None, connector_max_w=11_000.0, min_current_a=6.0, turn_s=60.0)
    over = builders.override((2,), connector_max_a=16.0, fallback_current_a=8.0)
    first, second = topology(
        [builders.settings(connectors=2, electrical=electrical, connector_overrides=(over,))], []
    ).places
    assert (first.most, first.minimum, first.fallback, first.turn_s) == (160, 60, 0, 60.0)
    assert (second.most, second.fallback) == (160, 80)
