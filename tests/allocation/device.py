"""A connector with its vehicle and its controller: what is plugged in, which permit is applied, what is drawn.

Owns the physical side of one connector. A controller applies the newest permit that it has got, each after a delay of
its own, and the fallback once its lease has run out and it had energy; a vehicle draws at most what is applied, and its
own maximum. What was permitted to one vehicle is void when it is unplugged: the contactor is open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ocpphub.core.member import Granted, Wish
from tests.allocation.book import NO_PERMIT, Connector, Sent

DEAF = Sent(0, 0, 1, False)

Drew = Callable[[int, int, int, float], None]


@dataclass(slots=True, eq=False)
class Device:
    """One connector. Currents are tenths of an ampere per phase; ``drew`` hears of every change of the draw."""

    index: int
    identity: str
    connector_id: int
    config: Connector
    drew: Drew
    is_metered: bool = True

    # the vehicle
    is_plugged: bool = False
    is_drawing: bool = False
    vehicle_tenths: int = 320
    vehicle_phases: int = 3
    tells_maximum: bool = False

    # what the core knows
    is_authorized: bool = False
    is_ready: bool = False
    composite: int = 320
    phases: int = 3

    # the controller
    applied: Sent = DEAF
    latest: Granted = NO_PERMIT
    owed: Sent | None = None
    """The permit that applies again when the lease is renewed."""
    life: int = 0
    """Counts controllers: what was sent to an earlier one never arrives."""
    is_dead: bool = False
    is_stuck: bool = False
    is_mute: bool = False
    is_withheld: bool = False
    is_lapsed: bool = False

    # the meter
    tenths: int = 0
    conductors: int = 1
    _wh: float = 0.0
    _since_s: float = 0.0

    def wish(self) -> Wish | None:
        """What the core asks for this connector."""
        if not self.is_authorized:
            return None
        config = self.config
        own = min(self.composite, config.most)
        tenths = min(own, self.vehicle_tenths) if self.tells_maximum else own
        phases = min(self.phases, config.phases)
        watts = own * config.loads[phases - 1][3] // 1000 / 10
        return Wish(tenths, watts, phases, self.is_ready, tenths == own)

    def apply(self, granted: Granted, now: float) -> bool:
        """A permit reaches the hardware; whether it is newer than what is applied."""
        if granted.seq <= self.applied.seq or self.is_stuck or (self.is_dead and self.is_lapsed):
            return False
        sent = Sent(granted.seq, round(granted.limit_a * 10), granted.phases, granted.energize)
        if self.is_lapsed:
            self.owed = sent
            sent = sent._replace(tenths=min(sent.tenths, self.config.fallback))
        self.applied = sent
        self.draw(now)
        return True

    def lapse(self, now: float) -> None:
        """The lease has run out."""
        self.is_lapsed = True
        if self.applied.energize:
            self.owed = self.applied
            self.applied = self.applied._replace(tenths=self.config.fallback)
            self.draw(now)

    def renew(self, now: float) -> None:
        """The lease is alive again."""
        self.is_lapsed = False
        if self.owed is not None:
            self.applied, self.owed = self.owed, None
            self.draw(now)

    def revive(self) -> None:
        """Another controller takes over, with what the hardware does now."""
        self.life += 1
        self.is_dead = self.is_lapsed = self.is_withheld = False
        self.owed = None
        self.applied = self.applied._replace(seq=-1)

    def unplug(self, now: float) -> None:
        """The vehicle leaves."""
        self.is_plugged = self.is_drawing = False
        self.applied = Sent(self.latest.seq, 0, 1, False)
        self.owed = None
        self.draw(now)

    def draw(self, now: float) -> None:
        """What is drawn may be another current."""
        applied = self.applied
        tenths, phases = 0, 1
        if self.is_drawing and applied.tenths:
            tenths = min(applied.tenths, self.vehicle_tenths)
            phases = min(applied.phases, self.vehicle_phases, self.config.phases)
        if tenths != self.tenths or phases != self.conductors:
            self._wh = self._energy(now)
            self._since_s, self.tenths, self.conductors = now, tenths, phases
            self.drew(self.index, tenths, phases, now)

    def register(self, now: float) -> int | None:
        """What its meter reads in Wh, ``None`` without one."""
        return int(self._energy(now)) if self.is_metered else None

    def _energy(self, now: float) -> float:
        power_w = self.tenths * self.config.loads[self.conductors - 1][3] / 10_000
        return self._wh + power_w * (now - self._since_s) / 3600
