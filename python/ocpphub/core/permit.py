"""Permits: what a connector may draw now (decisions.md sections 2 and 5).

Owns the permit of one connector as it is told, and the limits that follow from schedules. Must never decide whether a
transaction may run, nor who gets how much (``allocation.py``).

Implements: design rpc.md "Connector state", permit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from orjson import loads

from ocpphub import _native
from ocpphub.core.cap import UNLIMITED, Amount
from ocpphub.core.member import Granted

LEAD_S: Final = 10
"""How much earlier a decrease is sent that is known beforehand."""
LOOK_AHEAD_S: Final = 3_600
"""How far ahead the next change of a limit is looked for; without one the limit is asked for again then."""


class Limit(NamedTuple):
    """What a connector's composite schedule allows: amperes per phase, watts, phases, and for how many seconds."""

    limit_a: float
    limit_w: float
    phases: int
    lasts_s: int

    def on(self, phases: int, watts_per_a: float) -> Limit:
        """The same limit on other phases: no more amperes on any of them and no more watts in all.

        ``watts_per_a`` is what an ampere on each of these phases is.
        """
        limit_a = self.limit_a
        if phases > self.phases:
            limit_a = min(limit_a, int(self.limit_w * 10 / watts_per_a) / 10)
        return Limit(limit_a, min(self.limit_w, round(limit_a * watts_per_a, 1)), phases, self.lasts_s)


@dataclass(slots=True)
class Permit:
    """The permit of one connector; ``seq`` counts its changes. Without ``energize`` both limits are 0."""

    seq: int = 0
    energize: bool = False
    limit_a: float = 0.0
    limit_w: float = 0.0
    phases: int = 0

    @property
    def allows_energy(self) -> bool:
        """Whether the vehicle may draw anything at all."""
        return self.energize and self.limit_a > 0 and self.limit_w > 0

    def take(self, granted: Granted) -> None:
        """This is the permit from now on."""
        self.seq, self.energize, self.limit_a, self.limit_w, self.phases = granted

    def json(self) -> dict[str, Any]:
        """As in the connector state of rpc.md."""
        return {
            "seq": self.seq,
            "energize": self.energize,
            "limit_a": self.limit_a,
            "limit_w": self.limit_w,
            "phases": self.phases,
        }


def limit_of(profiles: _native.Profiles, connector_id: int, at_s: int) -> Limit:
    """The limit of connector 1 to N at the second ``at_s`` (UTC), in both units, and until when it holds.

    A lower limit of the next :data:`LEAD_S` holds already, and so do fewer phases (decisions.md 5).
    """
    least: dict[str, float] = {}
    phases, lasts_s = 3, LOOK_AHEAD_S
    for unit in ("A", "W"):
        periods = loads(profiles.composite(connector_id, at_s, LOOK_AHEAD_S, unit))["chargingSchedulePeriod"]
        soon = [each for each in periods if each["startPeriod"] <= LEAD_S]
        least[unit] = min(float(each["limit"]) for each in soon)
        phases = min(phases, *(int(each["numberPhases"]) for each in soon))
        for each in periods[1:]:
            start_s = each["startPeriod"]
            lasts_s = min(lasts_s, start_s - LEAD_S if start_s > LEAD_S else start_s)
    return Limit(least["A"], least["W"], phases, lasts_s)


def ceiling_of(profiles: _native.Profiles, at_s: int) -> tuple[Amount, int]:
    """What ChargePointMaxProfile allows the whole charge point at the second ``at_s``, and for how many seconds.

    As :func:`limit_of`, a lower limit of the next :data:`LEAD_S` holds already.
    """
    amount, lasts_s, t = UNLIMITED, LOOK_AHEAD_S, at_s
    while t <= at_s + LEAD_S:
        amperes, watts, until_s = profiles.ceiling(t)
        amount = amount.within(Amount(_milli(amperes), _milli(watts)))
        t = max(until_s, t + 1)
        start_s = t - at_s
        lasts_s = min(lasts_s, start_s - LEAD_S if start_s > LEAD_S else start_s)
    return amount, lasts_s


def _milli(tenths: int | None) -> int | None:
    return None if tenths is None else tenths * 100
