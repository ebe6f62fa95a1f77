"""The permits of one charge point: what its connectors ask the allocation for, and what they are told.

Owns the reading of limits (own composites, ChargePointMaxProfile) and when they are read again. Must never decide who
gets how much (``allocation.py``), nor whether a transaction may run (``charging.py``).

Implements: design decisions.md 5; rpc.md "Connector state", permit, and the topic ``connector.permit``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orjson import dumps

from ocpphub.core.connector import Connector, Connectors
from ocpphub.core.effects import Effect, Publish
from ocpphub.core.instant import Instant
from ocpphub.core.member import Wish
from ocpphub.core.permit import Limit
from ocpphub.core.timers import Timers

if TYPE_CHECKING:
    from ocpphub.core.allotment import Allotment
    from ocpphub.core.smart_charging import SmartCharging
    from ocpphub.core.transaction import Transaction

PERMIT: Final = "permit"
CEILING: Final = "ceiling"
PHASES: Final = "phases"
"""Note of a transaction that does not charge on all phases of its connector."""
SPACING_S: Final = 0.1
"""Least time between two readings of the limits that changed (T20)."""
SLICE: Final = 250
"""Limits that are looked at in one turn of the loop."""
TOLD: Final = 100
"""Permits that are told in one turn of the loop; each is written to a socket of its own (performance.md P3)."""


@dataclass(slots=True)
class Permits:
    """The permits of connectors 1 to N. ``settle`` lets a connector follow a limit that may be another."""

    emit: Callable[[Effect], None]
    timers: Timers
    connectors: Connectors
    schedules: SmartCharging
    allotment: Allotment
    settle: Callable[[Connector, Instant], None] = lambda row, now: None
    switches_phases: Callable[[], bool] = lambda: False
    """Whether ConnectorSwitch3to1PhaseSupported is true."""
    keep: Callable[[Transaction], None] = lambda transaction: None
    """Stores what a transaction notes."""
    _limits_read_s: float = float("-inf")
    _changed: set[int] = field(default_factory=set)
    """Connectors whose limits may be others, 0 for all of them."""
    _to_read: deque[Connector] = field(default_factory=deque)

    def follow(self, row: Connector, now: Instant, *, energize: bool, limit_changed: bool) -> None:
        """Something about a connector changed: ask for what it could take now. Effects: ``Publish`` of permits."""
        connector_id = row.connector_id
        if not energize:
            wish = None
            if row.wish is not None:
                row.limit = None
                self.timers.cancel((PERMIT, connector_id))
        else:
            if row.limit is None or limit_changed:
                row.limit = self._on_its_phases(row, self.schedules.limit(connector_id, now))
                self.timers.set((PERMIT, connector_id), now.monotonic_s + max(row.limit.lasts_s, SPACING_S))
            wish = _wish(row, row.limit)
        if wish != row.wish:
            row.wish = wish
            self.allotment.want(connector_id, wish, now)
            self.tell(now)
        if not row.plugged and wish is None:
            self.allotment.empty(connector_id, now)

    def _on_its_phases(self, row: Connector, limit: Limit) -> Limit:
        """CORE-SC-44: the phases of a running transaction stay, unless the hardware can switch them."""
        transaction = row.transaction
        if transaction is None or self.switches_phases():
            return limit
        place = self.allotment.place(row.connector_id)
        if not row.phases:
            row.phases = transaction.notes.get(PHASES, limit.phases)
            if row.phases < place.phases and PHASES not in transaction.notes:
                transaction.notes[PHASES] = row.phases
                self.keep(transaction)
        if row.phases == limit.phases:
            return limit
        return limit.on(row.phases, place.loads[row.phases - 1].milliwatts / 1000)

    def tell(self, now: Instant) -> None:
        """Permits that have changed, a slice of them. Effects: ``Publish``."""
        for connector_id, granted in self.allotment.take(TOLD):
            row = self.connectors.row(connector_id)
            could_draw = row.permit.allows_energy
            row.permit.take(granted)
            self.emit(Publish("connector.permit", dumps(self.connectors.state(connector_id)), connector_id))
            if row.permit.allows_energy is not could_draw:
                self.connectors.update(row, now)

    def confirmed(self, connector_id: int, seq: int, now: Instant) -> None:
        """A controller has applied a permit. Effects: ``Publish`` of those that it made room for."""
        self.allotment.confirm(connector_id, seq, now)
        self.tell(now)

    def attended(self, connector_id: int, now: Instant) -> None:
        """A controller has attached. Effects: ``Publish``."""
        self.allotment.attend(connector_id, now)
        self.tell(now)

    # limits

    def start(self, now: Instant) -> None:
        """The process starts: read what bounds the whole charge point. Effects: none."""
        self._read_ceiling(now)

    def limits_changed(self, connector_id: int, now: Instant) -> None:
        """Charging profiles of a connector, of all for 0, changed: the permits follow, a storm of changes at once."""
        self._changed.add(connector_id)
        name = (PERMIT, 0)
        if self.timers.deadline(name) is None:
            self.timers.set(name, max(now.monotonic_s, self._limits_read_s + SPACING_S))

    def _read_ceiling(self, now: Instant) -> None:
        amount, lasts_s = self.schedules.ceiling(now)
        self.timers.set((CEILING, 0), now.monotonic_s + max(lasts_s, SPACING_S))
        self.allotment.schedule(amount, now)
        self.tell(now)

    def handle_ceiling_timer(self, now: Instant) -> None:
        """The limit of the whole charge point passes a boundary. Effects: ``Publish``."""
        self._read_ceiling(now)

    def handle_timer(self, connector_id: int, now: Instant) -> None:
        """A limit passes a boundary, or (0) any of them may have changed. Effects: ``Publish``."""
        if connector_id:
            self.settle(self.connectors.row(connector_id), now)
            return
        if not self._to_read:
            self._limits_read_s = now.monotonic_s
            if 0 in self._changed:
                self._read_ceiling(now)
            rows = self.connectors if 0 in self._changed else map(self.connectors.any_row, sorted(self._changed))
            self._to_read.extend(row for row in rows if row.transaction is not None)
            self._changed.clear()
        for _ in range(min(SLICE, len(self._to_read))):
            self.settle(self._to_read.popleft(), now)
        if self._to_read:
            self.timers.set((PERMIT, 0), now.monotonic_s)
        elif self._changed:
            self.timers.set((PERMIT, 0), self._limits_read_s + SPACING_S)


def _wish(row: Connector, limit: Limit) -> Wish:
    tenths = round(limit.limit_a * 10)
    most = tenths if row.max_current_a is None else min(tenths, int(row.max_current_a * 10))
    return Wish(most, limit.limit_w, limit.phases, row.ev_ready, most == tenths)
