"""Reports, alone or as rows in columns, that say what meters read, and nothing else that is new.

Owns the short way of such a report, which nearly every one is: a connector of the caller whose levels are as before,
and a register that has risen by no more than the guard's slack. Must never decide anything: whatever is not so goes the
way of every report (``sessions.py``), and what is so has the same effect here as it would have there.

Implements: design rpc.md ``connector.report`` and ``connector.report_many``; performance.md P3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ocpphub.core.connector import Connector
from ocpphub.core.instant import Instant
from ocpphub.core.meter import Meters
from ocpphub.core.metering import Metering
from ocpphub.core.readings import Reading
from ocpphub.core.report import Columns, Parse
from ocpphub.errors import LocalError

_FLAGS: Final = ("plugged", "ev_ready", "evse_ready")
_KNOWN: Final = frozenset(("connector_id", "charge_point"))


class Caller(NamedTuple):
    """Who reports: the connectors it drives, and those it may name."""

    own: AbstractSet[int]
    may: Callable[[int], bool]


class _Places(NamedTuple):
    """Where the levels stand in a row; -1 for a column that is not there. There are all flags, or none of them."""

    plugged: int
    ev_ready: int
    evse_ready: int
    energy_wh: int
    plug_id: int
    permit_seq: int


@dataclass(frozen=True, slots=True)
class Steady:
    """What the short way needs of the charge point. ``connectors`` are the rows of 0 to N."""

    connectors: Sequence[Connector]
    meters: Meters
    metering: Metering
    confirmed: Callable[[int, int, Instant], None]
    """Hears of a permit that a controller has applied."""

    def take_one(
        self, params: Mapping[str, Any], own: AbstractSet[int], parse: Parse, now_ms: int, now: Instant
    ) -> int:
        """Take a steady report; its connector, or 0 where it goes the way of every report: nothing has changed then.

        Raises :class:`LocalError` as ``parse``. Effects: as :meth:`take`.
        """
        number = params.get("connector_id")
        if type(number) is not int or number not in own or not number:
            return 0
        connector = self.connectors[number]
        if not connector.has_reported or connector.energy_limit_wh is not None:
            return 0
        wh = seq = None
        readings: tuple[Reading, ...] = ()
        for name, value in params.items():
            if name == "energy_wh" and type(value) is int:
                wh = value
            elif name == "measurements" and "energy_wh" in params:
                readings = parse(value, "/params/measurements")
            elif name == "permit_seq" and type(value) is int and 0 <= value <= connector.permit.seq:
                seq = value
            elif (name not in _FLAGS or value is not getattr(connector, name)) and name not in _KNOWN:
                return 0
        if wh is not None:
            is_first = connector.transaction is not None and not connector.is_metered
            if is_first or not self.meters.rise(number, wh, now_ms, now.monotonic_s):
                return 0
            self.metering.take(number, readings, wh, now_ms)
        if seq is not None and seq != connector.permit_seq:
            connector.permit_seq = seq
            self.confirmed(number, seq, now)
        if connector.transaction is not None:
            self.metering.reported(number, connector.transaction, now)
        return number

    def take(self, columns: Columns, caller: Caller, now_ms: int, now: Instant) -> Iterator[int]:
        """Take the steady rows; the index of each other row, when its turn has come.

        Effects: ``Store`` of checkpoints and of samples that are due.
        """
        places = _places(columns)
        if places is None:
            yield from range(len(columns.rows))
            return
        at_plugged, at_ev, at_evse, at_wh, at_plug, at_seq = places
        own, may = caller
        has_more = at_plug >= 0 or at_seq >= 0
        width, at_id, is_measured = columns.width, columns.plain["connector_id"], bool(columns.places)
        connectors, rise = self.connectors, self.meters.rise
        take, reported = self.metering.take, self.metering.reported
        readings: tuple[Reading, ...] = ()
        for index, row in enumerate(columns.rows):
            if not (
                type(row) is list
                and len(row) == width
                and type(number := row[at_id]) is int
                and number in own
                and number
                and (connector := connectors[number]).has_reported
                and (
                    at_plugged < 0
                    or (
                        ((level := row[at_plugged]) is None or level is connector.plugged)
                        and ((level := row[at_ev]) is None or level is connector.ev_ready)
                        and ((level := row[at_evse]) is None or level is connector.evse_ready)
                    )
                )
                and connector.energy_limit_wh is None
                and (not has_more or _is_known(connector, row, at_plug, at_seq))
                and may(number)
            ):
                yield index
                continue
            if is_measured:
                try:
                    readings = columns.readings(row, "")
                except LocalError:
                    yield index  # refused there, naming the cell
                    continue
            wh = None if at_wh < 0 else row[at_wh]
            if wh is not None:
                is_first = connector.transaction is not None and not connector.is_metered
                if is_first or not rise(number, wh, now_ms, now.monotonic_s):
                    yield index
                    continue
            if at_seq >= 0 and row[at_seq] is not None and row[at_seq] != connector.permit_seq:
                connector.permit_seq = row[at_seq]
                self.confirmed(number, row[at_seq], now)
            if wh is not None or readings:
                take(number, readings, wh, now_ms)
            if connector.transaction is not None:
                reported(number, connector.transaction, now)


def _places(columns: Columns) -> _Places | None:
    """Where the levels stand, ``None`` where no row of these columns is steady."""
    plain = columns.plain
    flags = [plain.get(name, -1) for name in _FLAGS]
    if columns.has_register or flags.count(-1) not in (0, len(flags)):
        return None
    return _Places(*flags, *(plain.get(name, -1) for name in ("energy_wh", "plug_id", "permit_seq")))


def _is_known(connector: Connector, row: Sequence[Any], at_plug: int, at_seq: int) -> bool:
    """Whether a row names the vehicle that is there, and a permit that was given."""
    plug_id = None if at_plug < 0 else row[at_plug]
    seq = None if at_seq < 0 else row[at_seq]
    return (plug_id is None or (type(plug_id) is type(connector.plug_id) and plug_id == connector.plug_id)) and (
        seq is None or (type(seq) is int and 0 <= seq <= connector.permit.seq)
    )
