"""The latest readings of a connector, and which of them a configuration key selects (OCPP 1.6 section 3.16).

Owns the levels of one connector and their selection, and groups them by the time they were read. Must never decide when
a sample is taken (``metering.py``). A level holds until it is reported otherwise.

Implements: CORE-MV-04, CORE-MV-06, CORE-MV-07, CORE-MV-12, CORE-MV-14.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from ocpphub.core.measurands import REGISTER_MEASURAND, measurand_item
from ocpphub.core.readings import MAX_READINGS, REGISTER, Descriptor, Reading, is_register

log = logging.getLogger("ocpphub.core")

MAX_SAMPLE_CHARS: Final = 32_768
"""Characters of the values of one sample, so that each fits a message of 64 KiB whatever signed data is in it."""

Items = tuple[tuple[str, str | None], ...]
Chosen = dict[Descriptor, tuple[str, int]]
"""What is of a value -> the value and when it was read, UTC milliseconds."""


class Group(NamedTuple):
    """Values that were read at one time: one MeterValue."""

    at_ms: int
    layout: tuple[Descriptor, ...]
    values: tuple[str, ...]


@lru_cache(maxsize=256)
def items_of(*texts: str) -> Items:
    """The items of configuration keys such as ``MeterValuesSampledData``, each once, in their order."""
    names = [name for text in texts for name in text.split(",") if name]
    return tuple(item for name in dict.fromkeys(names) if (item := measurand_item(name)) is not None)


@dataclass(slots=True)
class Levels:
    """What one connector's meter last told. The import register is kept apart: it has passed the guard."""

    register_wh: int | None = None
    register_ms: int = 0
    readings: Chosen = field(default_factory=dict)
    has_signed: bool = False
    """Whether signed data is among them, which alone can make a sample too long."""
    _plans: dict[str, tuple[bool, tuple[Descriptor, ...]]] = field(default_factory=dict)
    """What the text of a key selects, with the register or without it, while the kinds of readings are the same."""

    def take(self, readings: Sequence[Reading], at_ms: int) -> None:
        """These readings are the latest from now on."""
        mine = self.readings
        before = len(mine)
        for descriptor, value, _ in readings:
            mine[descriptor] = (value, at_ms)
        if len(mine) != before:
            self._tidy(readings)

    def clear(self) -> None:
        """No reading is current any more; the register stays."""
        self.readings.clear()
        self._plans.clear()

    def _tidy(self, readings: Sequence[Reading]) -> None:
        """After a new kind: one value of each whatever its unit, the last one told, and never more than can be told."""
        mine = self.readings
        self._plans.clear()
        for descriptor, _, _ in reversed(readings):
            if descriptor in mine:
                kind = descriptor._replace(unit=None)
                for other in [other for other in mine if other != descriptor and other._replace(unit=None) == kind]:
                    del mine[other]
        while len(mine) > MAX_READINGS:
            del mine[min(mine, key=lambda other: mine[other][1])]
        self.has_signed = any(descriptor.format != "Raw" for descriptor in mine)

    def choose(self, items: Items, register_wh: int | None = None) -> Chosen:
        """The levels that ``items`` select, in their order; what was never reported is left out (CORE-MV-07).

        ``register_wh`` is the import register where another one than the latest is meant.
        """
        register_wh = self.register_wh if register_wh is None else register_wh
        chosen: Chosen = {}
        for measurand, phase in items:
            if measurand == REGISTER_MEASURAND and phase is None and register_wh is not None:
                chosen[REGISTER] = (str(register_wh), self.register_ms)
            for descriptor, level in self.readings.items():
                is_wanted = descriptor[0] == measurand and (phase is None or descriptor[1] == phase)
                if is_wanted and not (measurand == REGISTER_MEASURAND and is_register(descriptor)):
                    chosen[descriptor] = level
        return _bounded(chosen) if self.has_signed else chosen

    def groups(self, text: str, since_ms: int, due_ms: int) -> list[Group]:
        """What a key with this text selects, :func:`grouped`: nearly always one group, of the last report."""
        plan = self._plans.get(text)
        if plan is None or plan[0] is (self.register_wh is None):
            layout = _shared(tuple(self.choose(items_of(text))))
            plan = self._plans[text] = (self.register_wh is not None, layout)
        values: list[str] = []
        only_ms = None
        for descriptor in plan[1]:
            if descriptor is REGISTER:
                value, read_ms = str(self.register_wh), self.register_ms
            else:
                value, read_ms = self.readings[descriptor]
            if read_ms <= since_ms:
                read_ms = due_ms
            if read_ms != only_ms:
                if only_ms is not None:
                    break
                only_ms = read_ms
            values.append(value)
        else:
            if only_ms is None:
                return []
            if not self.has_signed:
                return [Group(only_ms, plan[1], tuple(values))]
        return grouped(self.choose(items_of(text)), since_ms, due_ms)

    def shift(self, by_ms: int) -> None:
        """The corrected UTC moved: what was read before was read on the new time too."""
        self.register_ms += by_ms
        self.readings = {what: (value, at_ms + by_ms) for what, (value, at_ms) in self.readings.items()}


@lru_cache(maxsize=1_024)
def _shared(layout: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    """One object for all connectors that sample the same."""
    return layout


def _bounded(chosen: Chosen) -> Chosen:
    left = MAX_SAMPLE_CHARS
    kept: Chosen = {}
    for descriptor, (value, at_ms) in chosen.items():
        left -= len(value)
        if left < 0:
            log.warning("a sample is too long: %s and what follows is left out", descriptor.measurand)
            break
        kept[descriptor] = (value, at_ms)
    return kept


def grouped(chosen: Chosen, since_ms: int, due_ms: int) -> list[Group]:
    """Values by the time they were read, oldest first (CORE-MV-14).

    A level that was read by ``since_ms``, that is told before, is stamped ``due_ms``: it held until then.
    """
    by_time: dict[int, tuple[list[Descriptor], list[str]]] = {}
    for descriptor, (value, read_ms) in chosen.items():
        at_ms = due_ms if read_ms <= since_ms else read_ms
        if at_ms not in by_time:
            by_time[at_ms] = ([], [])
        layout, values = by_time[at_ms]
        layout.append(descriptor)
        values.append(value)
    return [Group(at_ms, tuple(by_time[at_ms][0]), tuple(by_time[at_ms][1])) for at_ms in sorted(by_time)]


def at_once(chosen: Chosen, at_ms: int) -> Group:
    """All the values as they stood at ``at_ms``."""
    return Group(at_ms, tuple(chosen), tuple([value for value, _ in chosen.values()]))
