"""Permits: what a connector may draw now (decisions.md sections 2 and 5).

Owns the permit of one connector and how it follows from the connector's own composite schedule. Must never decide
whether a transaction may run. Sharing among connectors is not here: each permit carries its own composite limit.

Implements: design rpc.md "Connector state", permit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from orjson import loads

from ocpphub import _native

LOOK_AHEAD_S: Final = 3_600
"""How far ahead the next change of a limit is looked for; without one the limit is asked for again then."""


class Limit(NamedTuple):
    """What a connector's composite schedule allows: amperes per phase, watts, phases, and for how many seconds."""

    limit_a: float
    limit_w: float
    phases: int
    lasts_s: int


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

    def change(self, limit: Limit | None) -> bool:
        """Take a limit, or end the energy with ``None``; whether that is another permit than before."""
        if limit is None:
            wanted = (False, 0.0, 0.0, self.phases)
        else:
            wanted = (True, limit.limit_a, limit.limit_w, limit.phases)
        if wanted == (self.energize, self.limit_a, self.limit_w, self.phases):
            return False
        self.energize, self.limit_a, self.limit_w, self.phases = wanted
        self.seq += 1
        return True

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
    """The limit of connector 1 to N at the second ``at_s`` (UTC), in both units, and until when it holds."""
    found: dict[str, dict[str, Any]] = {}
    lasts_s = LOOK_AHEAD_S
    for unit in ("A", "W"):
        periods = loads(profiles.composite(connector_id, at_s, LOOK_AHEAD_S, unit))["chargingSchedulePeriod"]
        found[unit] = periods[0]
        if len(periods) > 1:
            lasts_s = min(lasts_s, periods[1]["startPeriod"])
    amperes = found["A"]
    return Limit(float(amperes["limit"]), float(found["W"]["limit"]), int(amperes["numberPhases"]), lasts_s)
