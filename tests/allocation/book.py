"""The judge's own account: which connectors stand beneath which limits, what each limit is, and what each may draw.

Owns numbers only, made from the configuration, never from the allocation. Currents are tenths of an ampere per phase; a
load has four components, L1 to L3 in millionths of a conductor and milliwatts, each per ampere of the connector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, inf
from typing import NamedTuple

from ocpphub.core.cap import Amount
from ocpphub.core.member import Granted, Wish
from tests.allocation.site import VOLTS, Site, rated, rotation

Vector = tuple[int, int, int, int]

NOTHING: Vector = (0, 0, 0, 0)
NO_PERMIT = Granted(0, False, 0.0, 0.0, 1)
UNLIMITED = 1 << 62
PER_MILLIAMPERE, PER_MILLIWATT = 10_000, 10
KINDS = ("L1", "L2", "L3", "W")


class Sent(NamedTuple):
    """A permit that a controller may have applied."""

    seq: int
    tenths: int
    phases: int
    energize: bool


@dataclass(slots=True, eq=False)
class Limit:
    """One limit: its amounts, and the sums of what is claimed and drawn beneath it."""

    name: str
    configured: Amount
    below: list[Connector] = field(default_factory=list)
    scheduled: Amount = field(default_factory=Amount)
    external: Amount = field(default_factory=Amount)
    cap: list[int] = field(default_factory=lambda: [UNLIMITED] * 4)
    used: list[int] = field(default_factory=lambda: [0] * 4)
    drawn: list[int] = field(default_factory=lambda: [0] * 4)
    is_short: bool = False
    cause_s: float = -inf
    """When something last happened that makes the claims above the limit excusable for a while."""
    fell_s: float = -inf
    held_s: float = -inf
    """When a controller beneath it last ceased to be one that can be told."""

    def refresh(self) -> None:
        """Add up what the limit is now."""
        amounts = (self.configured, self.scheduled, self.external)
        amperes = min((each.milliamperes for each in amounts if each.milliamperes is not None), default=None)
        watts = min((each.milliwatts for each in amounts if each.milliwatts is not None), default=None)
        each = UNLIMITED if amperes is None else amperes * PER_MILLIAMPERE
        self.cap = [each, each, each, UNLIMITED if watts is None else watts * PER_MILLIWATT]

    def exceeded(self, sums: list[int]) -> bool:
        """Whether these sums are above the limit."""
        cap = self.cap
        return sums[0] > cap[0] or sums[1] > cap[1] or sums[2] > cap[2] or sums[3] > cap[3]

    def text(self, sums: list[int]) -> str:
        """The sums against the limit, for people."""
        units = (1e7, 1e7, 1e7, 1e4)
        parts = [
            f"{kind} {sums[at] / units[at]:.2f} of {self.cap[at] / units[at]:.2f}"
            for at, kind in enumerate(KINDS)
            if self.cap[at] < UNLIMITED
        ]
        return f"{self.name}: {', '.join(parts)}"


@dataclass(slots=True, eq=False)
class Connector:
    """One connector: what is configured, what it asked for, what it was told, and what it may therefore draw."""

    index: int
    name: str
    loads: tuple[Vector, Vector, Vector]
    phases: int
    minimum: int
    most: int
    fallback: int
    turn_s: float
    above: tuple[Limit, ...] = ()
    wish: Wish | None = None
    permit: Granted = NO_PERMIT
    tenths: int = 0
    """Of the last permit that was handed out, 0 without energy."""
    asked: Vector = NOTHING
    """What the last permit puts on the limits."""
    sent: list[Sent] = field(default_factory=lambda: [Sent(0, 0, 1, False)])
    claim: Vector = NOTHING
    drawn: Vector = NOTHING
    fell_s: float | None = None
    """When the oldest decrease was sent that is not confirmed."""
    is_dead: bool = False
    is_withheld: bool = False
    lapse_s: float = inf
    """When its lease has certainly run out."""
    input_s: float = -inf
    on_s: float = -inf
    off_s: float = -inf
    off_inputs: int = 0
    """How many inputs there had been when it was last switched off."""

    @property
    def is_told(self) -> bool:
        """Whether a permit reaches it and is awaited."""
        return not self.is_dead and not self.is_withheld

    @property
    def is_waiting(self) -> bool:
        """A vehicle could take a share, and has none."""
        return not self.tenths and self.contends

    @property
    def contends(self) -> bool:
        """A vehicle is ready that may have at least the minimum."""
        wish = self.wish
        return wish is not None and wish.is_ready and wish.tenths >= self.minimum and self.is_told

    def load(self, tenths: int, phases: int) -> Vector:
        """What so much of a current puts on its limits."""
        one, two, three, power = self.loads[phases - 1]
        return one * tenths, two * tenths, three * tenths, power * tenths

    def may_draw(self) -> Vector:
        """The most that any of its permits says which no confirmation has replaced."""
        sent = self.sent
        if len(sent) == 1:
            return self.load(sent[0].tenths, sent[0].phases) if sent[0].tenths else NOTHING
        one = two = three = power = 0
        for _, tenths, phases, _ in sent:
            if tenths:
                load = self.loads[phases - 1]
                one, two = max(one, load[0] * tenths), max(two, load[1] * tenths)
                three, power = max(three, load[2] * tenths), max(power, load[3] * tenths)
        return one, two, three, power


def exceeds(new: Vector, old: Vector) -> bool:
    """Whether a load is above another one in any component."""
    return new[0] > old[0] or new[1] > old[1] or new[2] > old[2] or new[3] > old[3]


class Book:
    """All connectors by their index, and all limits: those of the charge points first, then the feeders."""

    def __init__(self, site: Site) -> None:
        self.limits = [
            Limit(point.identity, _amount(point.electrical.station_max_a, point.electrical.station_max_w))
            for point in site.points
        ]
        self.limits += [Limit(feeder.name, _amount(feeder.limit_a, feeder.limit_w)) for feeder in site.feeders]
        named = {limit.name: limit for limit in self.limits}
        parents = {feeder.name: feeder.parent for feeder in site.feeders}
        of_feeder = {
            (identity, connector_id): feeder.name
            for feeder in site.feeders
            for identity, ids in feeder.members
            for connector_id in ids
        }
        self.connectors: list[Connector] = []
        for point in site.points:
            for connector_id in range(1, point.connectors + 1):
                above = [named[point.identity]]
                name = of_feeder.get((point.identity, connector_id))
                while name is not None:
                    above.append(named[name])
                    name = parents[name]
                self._add(site, point.identity, connector_id, tuple(above))
        for limit in self.limits:
            limit.refresh()

    def _add(self, site: Site, identity: str, connector_id: int, above: tuple[Limit, ...]) -> None:
        point = next(each for each in site.points if each.identity == identity)
        usual = rated(point, connector_id)
        volts = Fraction(str(usual.nominal_voltage_v))
        loads = tuple(
            _direct(volts) if usual.current == "dc" else _alternating(count, rotation(point, connector_id), volts)
            for count in (1, 2, 3)
        )
        conductors = 1 if usual.current == "dc" else usual.phases
        most = usual.connector_max_a or (usual.connector_max_w or 0.0) / (usual.nominal_voltage_v * conductors)
        connector = Connector(
            len(self.connectors), f"{identity}:{connector_id}", (loads[0], loads[1], loads[2]), usual.phases,
            round(usual.min_current_a * 10), int(most * 10), int(usual.fallback_current_a * 10), usual.turn_s, above,
        )  # fmt: skip
        self.connectors.append(connector)
        for limit in above:
            limit.below.append(connector)


def _amount(amperes: float | None, watts: float | None) -> Amount:
    return Amount(
        None if amperes is None else int(Fraction(str(amperes)) * 1000),
        None if watts is None else int(Fraction(str(watts)) * 1000),
    )


def _alternating(phases: int, conductors: str, volts: Fraction) -> Vector:
    one, two, three = (1_000_000 if name in conductors[:phases] else 0 for name in "RST")
    return one, two, three, ceil(volts * phases * 1000)


def _direct(volts: Fraction) -> Vector:
    """Its power over three times the voltage of the grid, on all three conductors."""
    each = ceil(volts * 1_000_000 / (3 * Fraction(str(VOLTS))))
    return each, each, each, ceil(volts * 1000)
