"""One connector as the allocation sees it: what it could take, what it was given, what it may be drawing.

Owns the records that ``allocation.py`` works on. Must never decide anything.

Implements: design decisions.md 5; rpc.md "Connector state", permit, and ``allocation.get``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal, NamedTuple

from ocpphub.core.cap import NOTHING, Counted
from ocpphub.core.claim import Claim
from ocpphub.core.topology import Place

Held = Literal["", "unattended", "unconfirmed"]
Reason = Literal["full", "shared", "waiting", "below_minimum", "idle", "unattended", "unconfirmed"]
"""Why a connector has what it has: ``full`` is all that it could take; ``waiting`` is for its turn or for room."""


class Wish(NamedTuple):
    """What a connector could take: its own composite, at most what its vehicle takes. Tenths of an ampere; watts."""

    tenths: int
    watts: float
    phases: int
    is_ready: bool
    is_whole: bool = True
    """Whether ``tenths`` is all that the composite allows; else it is what the vehicle takes of it."""


class Granted(NamedTuple):
    """A permit to be told: as in rpc.md, amperes per phase and watts."""

    seq: int
    energize: bool
    limit_a: float
    limit_w: float
    phases: int


@dataclass(slots=True)
class Member:
    """One connector of the allocation. ``share`` is what its permit says in tenths, -1 without energy."""

    place: Place
    seq: int = 0
    wish: Wish | None = None
    share: int = -1
    watts: float = 0.0
    phases: int = 1
    claim: Claim = field(default_factory=Claim)
    counted: Counted = NOTHING
    held: Held = ""
    lease_ends_s: float = inf
    """When the lease of a held one has run out; infinity once it has, and where it is not held."""
    since_s: float = 0.0
    """When its permit last began to say more than 0."""
    computed_phases: int = 0
    """With how many phases its share is computed."""

    def asks(self, wish: Wish | None) -> bool:
        """Its wish from now on; whether that takes more phases than the one before, or a vehicle has become ready."""
        before, self.wish = self.wish, wish
        if wish is None or before is None:
            return False
        return wish.phases > before.phases or wish.is_ready > before.is_ready

    @property
    def bound(self) -> int:
        """The most that it could get, 0 below its minimum."""
        wish = self.wish
        return wish.tenths if wish is not None and wish.tenths >= self.place.minimum else 0

    @property
    def reason(self) -> Reason:
        """Why it has what it has."""
        wish = self.wish
        if self.held:
            return self.held
        if wish is None:
            return "idle"
        if wish.tenths < self.place.minimum:
            return "below_minimum"
        if self.share <= 0:
            return "waiting"
        return "full" if self.share >= wish.tenths else "shared"
