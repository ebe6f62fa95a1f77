"""The allocation as one charge point sees it: what it tells of its connectors, and the permits that it is told.

Owns nothing but the identity. Must never let a core reach another one's connectors: the changes of each are taken by
itself, whoever caused them.

Implements: design decisions.md 5; rpc.md ``allocation.get``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final, NamedTuple

from ocpphub.core.allocation import Allocation
from ocpphub.core.cap import Amount, Cap
from ocpphub.core.instant import Instant
from ocpphub.core.member import Granted, Wish
from ocpphub.core.timers import Timers
from ocpphub.core.topology import Place

TIMER: Final = "allocation"


class Change(NamedTuple):
    """A permit of a connector that is to be told."""

    connector_id: int
    granted: Granted


class Allotment:
    """The connectors 1 to N of one charge point. ``is_alone``: nobody shares the allocation, nobody else runs it."""

    __slots__ = ("_first", "_identity", "allocation", "is_alone")

    def __init__(self, allocation: Allocation, identity: str, *, is_alone: bool = False) -> None:
        self.allocation = allocation
        self.is_alone = is_alone
        self._identity = identity
        self._first = allocation.first(identity) - 1

    def begin(self, seq: int, register: Callable[[int], int | None], resuming: Iterable[int], now: Instant) -> None:
        """The core starts; ``seq`` is below every number that its permits will have."""
        self.allocation.begin(self._identity, seq, register, resuming, now.monotonic_s)

    def want(self, connector_id: int, wish: Wish | None, now: Instant) -> None:
        """What a connector could take, ``None`` for no energy."""
        self.allocation.want(self._first + connector_id, wish, now.monotonic_s)

    def confirm(self, connector_id: int, seq: int, now: Instant) -> None:
        """Its controller has applied permit ``seq``."""
        self.allocation.confirm(self._first + connector_id, seq, now.monotonic_s)

    def empty(self, connector_id: int, now: Instant) -> None:
        """No vehicle is plugged in."""
        self.allocation.empty(self._first + connector_id, now.monotonic_s)

    def attend(self, connector_id: int, now: Instant) -> None:
        """A controller has attached."""
        self.allocation.attend(self._first + connector_id, now.monotonic_s)

    def lose(self, connector_id: int, now: Instant) -> None:
        """Its controller is gone."""
        self.allocation.lose(self._first + connector_id, now.monotonic_s)

    def schedule(self, amount: Amount, now: Instant) -> None:
        """What ChargePointMaxProfile allows the whole charge point."""
        self.allocation.schedule(self._identity, amount, now.monotonic_s)

    def withheld(self) -> list[int]:
        """Connectors whose controller gets no lease any more until it has confirmed."""
        return self.allocation.withheld(self._identity)

    def take(self, most: int) -> list[Change]:
        """At most so many permits that have changed, decreases first; the rest stays for the next call."""
        return [Change(*each) for each in self.allocation.take(self._identity, most)]

    def place(self, connector_id: int) -> Place:
        """What a connector is: its wired phases, and what each ampere of it is."""
        return self.allocation.members[self._first + connector_id].place

    @property
    def has_moved(self) -> bool:
        """Whether :meth:`arm` would do anything."""
        return self.is_alone and self.allocation.has_moved

    def arm(self, timers: Timers, now: Instant) -> None:
        """Where nobody else runs the allocation, its next deadline is the timer :data:`TIMER`. Every input ends so."""
        allocation = self.allocation
        if allocation.changed:
            timers.set(TIMER, now.monotonic_s)
        elif allocation.has_moved:
            allocation.has_moved = False
            due_s = allocation.next_deadline()
            if due_s < inf:
                timers.set(TIMER, due_s)
            else:
                timers.cancel(TIMER)

    @property
    def station(self) -> int:
        """The index of the limit of the whole charge point."""
        return self.allocation.station(self._identity)

    def feeders(self) -> list[str]:
        """The names of all feeders."""
        return [cap.name for cap in self.allocation.caps if cap.identity is None]

    def head(self) -> dict[str, Any]:
        """``allocation.get`` without its connectors: the limit of the charge point, and every feeder."""
        caps = self.allocation.caps
        own = caps[self.station]
        feeders = [{"name": cap.name, **_told(cap)} for cap in caps if cap.identity is None]
        return {**_told(own), "shortfall": own.is_short, "feeders": feeders}

    def connector(self, connector_id: int, permit: dict[str, Any]) -> dict[str, Any]:
        """One of ``connectors`` of ``allocation.get``."""
        member = self.allocation.members[self._first + connector_id]
        return {
            "permit": permit,
            "claim_a": member.claim.tenths / 10,
            "composite_a": None if member.wish is None else member.wish.tenths / 10,
            "reason": member.reason,
        }


def _told(cap: Cap) -> dict[str, Any]:
    amperes, watts = cap.effective
    told: dict[str, Any] = {"limit_a": None if amperes is None else amperes / 1000, "claimed_a": cap.claimed_a}
    if watts is not None:
        told |= {"limit_w": watts / 1000, "claimed_w": cap.claimed_w}
    return told
