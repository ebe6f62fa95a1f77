"""Bugs to plant: one and more per clause, so that a judge that lets one live is itself the bug.

Owns the table only. Each row patches the allocation of this process for one test; it knows nothing of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ocpphub import _native
from ocpphub.config import ChargePointSettings
from ocpphub.core import topology
from ocpphub.core.allocation import Allocation
from ocpphub.core.cap import Cap, Load
from ocpphub.core.claim import Claim
from ocpphub.core.member import Granted, Wish
from ocpphub.core.rotation import Rotation

Plant = Callable[[pytest.MonkeyPatch], None]

MODULE = "ocpphub.core.allocation"


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, the clause that it breaks, and how it is planted."""

    clause: str
    what: str
    plant: Plant

    def __str__(self) -> str:
        return f"{self.clause} {self.what}"


def _around(owner: type, name: str, change: Callable[..., Any]) -> Plant:
    """``change(original, self, *arguments)`` takes the place of a method."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)

        def method(self: Any, *arguments: Any, **more: Any) -> Any:
            return change(original, self, *arguments, **more)

        patch.setattr(owner, name, method)

    return plant


def _nothing(owner: type, name: str) -> Plant:
    return _around(owner, name, lambda original, *arguments, **more: None)


def _constant(name: str, value: float) -> Plant:
    return lambda patch: patch.setattr(f"{MODULE}.{name}", value)


def _electrical(**changes: Any) -> Plant:
    """The allocation reads other settings than those of the site."""

    def init(original: Any, self: Allocation, points: Sequence[ChargePointSettings], feeders: Any) -> None:
        others = [replace(point, electrical=replace(point.electrical, **changes)) for point in points]
        original(self, others, feeders)

    return _around(Allocation, "__init__", init)


def _function(name: str, change: Callable[..., Any]) -> Plant:
    """``change(original, *arguments)`` takes the place of a function of the topology."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(topology, name)
        patch.setattr(topology, name, lambda *arguments: change(original, *arguments))

    return plant


def _no_lease_is_withheld(original: Any, self: Allocation, identity: str) -> list[int]:
    return []


def _more_than_its_own(original: Any, self: Allocation, index: int, wish: Wish | None, now_s: float) -> None:
    original(self, index, None if wish is None else wish._replace(tenths=wish.tenths + 1), now_s)


def _no_end(original: Any, self: Allocation, index: int, wish: Wish | None, now_s: float) -> None:
    """The end of a transaction is not heard now and then."""
    if wish is not None or index % 3:
        original(self, index, wish, now_s)


def _old_numbers(original: Any, self: Allocation, identity: str, most: int) -> list[tuple[int, Granted]]:
    taken = original(self, identity, most)
    return [(connector_id, granted._replace(seq=granted.seq // 2)) for connector_id, granted in taken]


class _Arithmetic:
    """The arithmetic in Rust, with ``change(allocate, bounds, minimums, held, order)`` around it."""

    def __init__(self, kept: Any, change: Callable[..., bytes]) -> None:
        self._kept, self._change = kept, change
        self.set_member, self.set_limit = kept.set_member, kept.set_limit

    def allocate(self, *lists: bytes) -> bytes:
        return self._change(self._kept.allocate, *lists)


def _arithmetic(change: Callable[..., bytes]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        original = _native.Allocation
        patch.setattr(_native, "Allocation", lambda *arguments: _Arithmetic(original(*arguments), change))

    return plant


def _no_minimum(allocate: Any, bounds: bytes, minimums: bytes, held: bytes, order: bytes) -> bytes:
    found: bytes = allocate(bounds, bytes(len(minimums)), held, order)
    return found


def _one_gets_less(allocate: Any, bounds: bytes, minimums: bytes, held: bytes, order: bytes) -> bytes:
    """An ampere of the first is given to nobody."""
    shares, first = array("I", allocate(bounds, minimums, held, order)), array("I", order)[:1]
    for index in first:
        if shares[index] >= 70:
            shares[index] -= 10
    return shares.tobytes()


def _wandering_steps(allocate: Any, bounds: bytes, minimums: bytes, held: bytes, order: bytes) -> bytes:
    """The last tenths go to somebody else each time."""
    _wandering_steps.places = -_wandering_steps.places  # type: ignore[attr-defined]
    places = array("I", order)[:: _wandering_steps.places]  # type: ignore[attr-defined]
    found: bytes = allocate(bounds, minimums, held, places.tobytes())
    return found


_wandering_steps.places = 1  # type: ignore[attr-defined]


def _by_place(original: Any, self: Rotation, wanting: Sequence[int], *arguments: Any) -> None:
    """Who goes first does not depend on who went before."""
    original(self, wanting, *arguments)
    self._order = sorted(wanting)


def _backwards(original: Any, self: Rotation, *arguments: Any) -> None:
    """Who had most goes first."""
    original(self, *arguments)
    self._order.reverse()


def _mirrored(original: Any, phases: int, rotation: str, volts: Any) -> Load:
    return original(phases, rotation[::-1], volts)  # type: ignore[no-any-return]


def _light_direct_current(original: Any, *arguments: Any) -> Load:
    load = original(*arguments)
    return Load(load.l1 // 2, load.l2 // 2, load.l3 // 2, load.milliwatts)


BUGS: tuple[Bug, ...] = (
    Bug("a", "raises wait for nothing", _around(Cap, "takes", lambda original, self, old, new: True)),
    Bug("a", "a short limit keeps nobody from a raise", _around(
        Cap, "takes", lambda original, self, old, new: self.is_short or original(self, old, new))),
    Bug("a", "decreases leave late", _constant("SPACING_S", 1.0)),
    Bug("a", "who does not confirm is waited for", _constant("CONFIRM_TIMEOUT_S", 60.0)),
    Bug("a", "leases are taken to be shorter than they are", _constant("LEASE_S", 8.0)),
    Bug("a", "any confirmation is one of the last permit", _around(
        Claim, "confirm", lambda original, self, seq: original(self, 1 << 40))),
    Bug("a", "who does not confirm gets leases", _around(Allocation, "withheld", _no_lease_is_withheld)),
    Bug("a", "fallbacks are forgotten", _electrical(fallback_current_a=0.0)),
    Bug("a", "a controller that is gone draws nothing", _nothing(Allocation, "lose")),
    Bug("a", "a limit that falls is noticed late", _nothing(Allocation, "schedule")),
    Bug("b", "rotations are read backwards", _function("_load", _mirrored)),
    Bug("b", "direct current loads half of it", _function("_direct", _light_direct_current)),
    Bug("b", "a controller that came back draws nothing", _nothing(Allocation, "attend")),
    Bug("c", "a tenth more than its own", _around(Allocation, "want", _more_than_its_own)),
    Bug("c", "an end is not heard", _around(Allocation, "want", _no_end)),
    Bug("c", "numbers come again", _around(Allocation, "take", _old_numbers)),
    Bug("d", "shares below the minimum", _arithmetic(_no_minimum)),
    Bug("d", "somebody gets less than could be", _arithmetic(_one_gets_less)),
    Bug("d", "raises that wait are never sent", _nothing(Allocation, "_make_room")),
    Bug("e", "turns are too short", _electrical(turn_s=100.0)),
    Bug("e", "the last steps wander", _arithmetic(_wandering_steps)),
    Bug("f", "the same go first in each turn", _around(Rotation, "_turn", _by_place)),
    Bug("f", "who had most goes first", _around(Rotation, "_turn", _backwards)),
    Bug("f", "turns do not end", _electrical(turn_s=86_400.0)),
)  # fmt: skip
"""Every clause of the judge, and the ways in which an allocation might break it."""
