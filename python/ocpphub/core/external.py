"""Limits that an energy manager sets for a time (rpc.md ``station.set_limit``; decisions.md 5).

Owns what is set, until when, and its rows. Must never decide what follows for permits: that is the allocation. Their
end is kept in UTC, so that a restart neither prolongs nor loses one.

Implements: design rpc.md ``station.set_limit``; decisions.md 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from orjson import dumps

from ocpphub.core.allotment import Allotment
from ocpphub.core.boot import Clock
from ocpphub.core.cap import Amount, External
from ocpphub.core.charging_schedules import second_text
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.electrical import thousandths
from ocpphub.core.instant import Instant
from ocpphub.core.rows import Rows, log
from ocpphub.core.timers import Timers
from ocpphub.errors import LocalError

TABLE: Final = "external_limit"
EXTERNAL: Final = "external"
MAX_A: Final = 100_000
MAX_W: Final = 1_000_000_000
MAX_VALID_S: Final = 31_622_400
_STATION: Final = "station"
_FEEDER: Final = "feeder:"


@dataclass(slots=True)
class ExternalLimits:
    """The limits that were set through one charge point: of itself, and of feeders."""

    emit: Callable[[Effect], None]
    timers: Timers
    clock: Clock
    allotment: Allotment
    on_change: Callable[[Instant], None] = lambda now: None
    """Hears that a limit has been set or is over."""
    _own: dict[int, tuple[str, External]] = field(default_factory=dict)
    """By the index of the limit: the key of its row, and what it says."""

    def restore(self, rows: Rows) -> None:
        """Take up what an earlier process was told; it acts with :meth:`start`."""
        for key, row in rows.objects(TABLE, until_ms=int):
            amount = Amount(row.get("ma"), row.get("mw"))
            index = self._index(None if key == _STATION else key.removeprefix(_FEEDER))
            if index is None or not all(type(each) is int for each in amount if each is not None):
                log.error("a damaged row of %s is left aside: %s", TABLE, key)
            else:
                self._own[index] = key, External(amount, row["until_ms"])

    def start(self, now: Instant) -> None:
        """The process starts. Effects: ``Discard`` of what is over."""
        for index in [*self._own]:
            self.handle_timer(index, now)

    def set(self, limit_a: object, limit_w: object, feeder: object, valid_for_s: object, now: Instant) -> None:
        """Cap the charge point, or a feeder, at once. Effects: ``Store``. What it raises has changed nothing."""
        if (limit_a is None) == (limit_w is None):
            raise _wrong("one limit is needed", "/params/limit_a", "limit_a or limit_w, and not both")
        if type(valid_for_s) is not int or not 1 <= valid_for_s <= MAX_VALID_S:
            raise _wrong("not a number of seconds", "/params/valid_for_s", f"1 to {MAX_VALID_S}")
        amount = Amount(_milli(limit_a, "limit_a", MAX_A, "A"), _milli(limit_w, "limit_w", MAX_W, "W"))
        if feeder is not None and type(feeder) is not str:
            raise _wrong("not a name", "/params/feeder", "the name of a feeder")
        index = self._index(feeder)
        if index is None:
            names = ", ".join(self.allotment.feeders())
            raise _wrong("no such feeder", "/params/feeder", f"one of {names}" if names else "none is configured")
        key = _STATION if feeder is None else f"{_FEEDER}{feeder}"
        external = External(amount, self.clock.utc_ms(now) + valid_for_s * 1000)
        self._own[index] = key, external
        row = {"until_ms": external.until_ms, "ma": amount.milliamperes, "mw": amount.milliwatts}
        self.emit(Store(TABLE, key, dumps(row)))
        self._act(index, external, now)

    def handle_timer(self, index: int, now: Instant) -> None:
        """The time of a limit may be over. Effects: ``Discard``."""
        key, external = self._own[index]
        if external.until_ms > self.clock.utc_ms(now):
            self._act(index, external, now)
            return
        del self._own[index]
        self.emit(Discard(TABLE, key))
        if self.allotment.allocation.caps[index].external == external:  # else another charge point has set a later one
            self.allotment.allocation.set_external(index, None, now.monotonic_s)
        self.on_change(now)

    def _act(self, index: int, external: External, now: Instant) -> None:
        left_s = (external.until_ms - self.clock.utc_ms(now)) / 1000
        self.timers.set((EXTERNAL, index), now.monotonic_s + min(left_s, 3_600.0))
        self.allotment.allocation.set_external(index, external, now.monotonic_s)
        self.on_change(now)

    def _index(self, feeder: str | None) -> int | None:
        return self.allotment.station if feeder is None else self.allotment.allocation.feeder(feeder)

    @property
    def of_station(self) -> External | None:
        """What is set for the whole charge point."""
        found = self._own.get(self.allotment.station)
        return None if found is None else found[1]


def _milli(value: Any, name: str, most: int, unit: str) -> int | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= most or (exact := thousandths(value)) is None:
        raise _wrong("not a limit", f"/params/{name}", f"0 to {most} {unit}, at most three decimals")
    return exact


def _wrong(what: str, path: str, hint: str) -> LocalError:
    return LocalError("invalid_params", what, path=path, hint=hint)


def explained(stretches: list[dict[str, Any]], external: External, unit: str, volts: float) -> list[dict[str, Any]]:
    """``schedule.explain`` of connector 0 with what an energy manager has set: source ``external`` while it lasts."""
    until = second_text(external.until_ms // 1000)
    found: list[dict[str, Any]] = []
    for stretch in stretches:
        if stretch["start"] >= until:
            found.append(stretch)
            continue
        if stretch["end"] > until:
            found += [{**stretch, "end": until}, {**stretch, "start": until}]
        else:
            found.append(stretch)
        at = next(place for place, each in enumerate(found) if each["start"] == stretch["start"])
        found[at] = _with(found[at], _in_unit(external.amount, unit, volts * found[at]["phases"]))
    return found


def _in_unit(amount: Amount, unit: str, volts: float) -> float:
    """A limit in A per phase or in W, rounded down to tenths; ``volts`` of all phases together."""
    amperes, watts = amount
    if amperes is not None:
        tenths = amperes // 100 if unit == "A" else int(amperes * volts / 100)
    else:
        tenths = int((watts or 0) / volts / 100) if unit == "A" else (watts or 0) // 100
    return tenths / 10


def _with(stretch: dict[str, Any], limit: float) -> dict[str, Any]:
    source = {"kind": "external"}
    if limit >= stretch["limit"]:
        return {**stretch, "losers": [*stretch["losers"], {"source": source, "why": "not_the_minimum"}]}
    before = {"source": stretch["winner"], "why": "not_the_minimum"}
    return {**stretch, "limit": limit, "winner": source, "losers": [*stretch["losers"], before]}
