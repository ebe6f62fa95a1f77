"""An electric vehicle at a connector: what its battery asks for, and what it draws under a permit.

Owns the charging curve (full power to 80 % state of charge, from there linear in it, to 0 at 100 %) and the energy
drawn, which is the integral of the power in closed form. Must never read a clock: :meth:`Vehicle.step` is told how much
time has passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TAPER_FROM: Final = 0.8
"""The state of charge from which a battery takes less and less."""
FULL_FROM: Final = 0.998
"""The state of charge from which a vehicle asks for nothing more: 1 % of its power is left."""
RAMP_S: Final = 3.0
"""A charger needs this long from full power to none; so 5 s after a permit nothing is drawn above it."""
_RAMP_STEP_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Model:
    """A kind of vehicle: battery in kWh, the most it takes in W, its phases; ``is_dc`` where it is charged with DC."""

    name: str
    battery_kwh: float
    max_w: float
    phases: int = 3
    is_dc: bool = False


MODELS: Final = (
    Model("city car", 24.0, 4_600.0, 1),
    Model("compact", 52.0, 7_400.0, 2),
    Model("saloon", 77.0, 11_000.0),
    Model("van", 90.0, 22_000.0),
)
"""What comes to a hub of AC connectors."""


def permitted_w(permit: Mapping[str, Any], model: Model, voltage_v: float = 230.0, phases: int = 3) -> float:
    """The power in W that a permit (``{energize, limit_a, limit_w, phases}``, rpc.md) leaves a vehicle.

    A current counts per phase, on the phases that connector (``phases``), permit and vehicle all have. A limit that
    is missing or null does not bound. Without ``energize`` it is 0.
    """
    if not permit.get("energize"):
        return 0.0
    limits = [model.max_w]
    if (limit_w := permit.get("limit_w")) is not None:
        limits.append(float(limit_w))
    # On DC limit_a is the current at the grid's side, which says nothing that limit_w does not say (rpc.md).
    if (limit_a := permit.get("limit_a")) is not None and not model.is_dc:
        limits.append(float(limit_a) * voltage_v * min(model.phases, phases, permit.get("phases") or phases))
    return max(0.0, min(limits))


class Vehicle:
    """One vehicle while it is plugged in.

    ``state_of_charge`` is a share from 0 to 1, ``power_w`` what it draws now, ``energy_wh`` all that it has drawn.
    ``time_lapse`` shrinks the battery, so that a day of charging fits into minutes while power and energy stay those
    of the clock on the wall.
    """

    def __init__(self, model: Model, state_of_charge: float, *, time_lapse: float = 1.0) -> None:
        if not 0 <= state_of_charge <= 1 or time_lapse <= 0:
            raise ValueError("state_of_charge is 0 to 1, time_lapse more than 0")
        self.model = model
        self.capacity_wh = model.battery_kwh * 1000 / time_lapse
        self.energy_wh = 0.0
        self.is_paused = False
        self._before_wh = state_of_charge * self.capacity_wh
        self._target_w = 0.0
        self._signalled_w = 0.0

    @property
    def state_of_charge(self) -> float:
        """From 0 to 1."""
        return min(1.0, self._stored_wh / self.capacity_wh)

    @property
    def is_full(self) -> bool:
        """Whether it asks for nothing more."""
        return self.state_of_charge >= FULL_FROM

    @property
    def is_ready(self) -> bool:
        """Whether it would take energy if it were given."""
        return not self.is_paused and not self.is_full

    @property
    def power_w(self) -> float:
        """What it draws at this moment."""
        return min(self._signalled_w, self._ceiling_w()) if self.is_ready else 0.0

    def allow(self, limit_w: float) -> None:
        """What it may draw from now on. It follows within :data:`RAMP_S`; 0 opens the contactor, at once."""
        self._target_w = max(0.0, min(limit_w, self.model.max_w))
        if self._target_w == 0 or not self.is_ready:  # who draws nothing has nothing to come down from
            self._signalled_w = min(self._signalled_w, self._target_w)

    def step(self, dt_s: float) -> float:
        """Let time pass; the energy drawn meanwhile in Wh."""
        start_wh = self.energy_wh
        while dt_s > 0 and self.is_ready:
            dt_s -= self._ramp(dt_s) if self._signalled_w != self._target_w else self._steady(dt_s)
        return self.energy_wh - start_wh

    @property
    def _stored_wh(self) -> float:
        return self._before_wh + self.energy_wh

    def _ceiling_w(self) -> float:
        left = (1.0 - self.state_of_charge) / (1.0 - TAPER_FROM)
        return self.model.max_w * max(0.0, min(1.0, left))

    def _ramp(self, dt_s: float) -> float:
        """A short part of the way to what is allowed; the time that it took."""
        slope = self.model.max_w / RAMP_S
        gap_w = self._target_w - self._signalled_w
        taken_s = min(dt_s, _RAMP_STEP_S, abs(gap_w) / slope)
        before_w = self._signalled_w
        if taken_s == abs(gap_w) / slope:
            self._signalled_w = self._target_w
        else:
            self._signalled_w += math.copysign(slope * taken_s, gap_w)
        self._draw(min((before_w + self._signalled_w) / 2, self._ceiling_w()) * taken_s / 3600)
        return taken_s

    def _steady(self, dt_s: float) -> float:
        """As long as one formula holds: constant power, then a taper that is exponential in time."""
        power_w, max_w = self._signalled_w, self.model.max_w
        if power_w == 0:
            return dt_s
        taper_wh = (1.0 - TAPER_FROM) * self.capacity_wh
        room_wh = self.capacity_wh - power_w / max_w * taper_wh - self._stored_wh
        if room_wh > 1e-9:
            taken_s = min(dt_s, room_wh / power_w * 3600)
            self._draw(power_w * taken_s / 3600)
            return taken_s
        # d(left)/dt = -max_w * left / taper_wh, until it is full.
        left_wh = self.capacity_wh - self._stored_wh
        until_full_wh = FULL_FROM * self.capacity_wh - self._stored_wh
        rate = max_w / taper_wh / 3600
        until_full_s = math.log(left_wh / (left_wh - until_full_wh)) / rate
        taken_s = min(dt_s, until_full_s)
        self._draw(until_full_wh if taken_s == until_full_s else -math.expm1(-rate * taken_s) * left_wh)
        return taken_s

    def _draw(self, energy_wh: float) -> None:
        room_wh = max(0.0, FULL_FROM * self.capacity_wh - self._stored_wh)
        # At the very end rounding must not leave it a billionth short for ever.
        self.energy_wh += room_wh + 1e-9 * self.capacity_wh if energy_wh >= room_wh * (1 - 1e-9) else energy_wh
