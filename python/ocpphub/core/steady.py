"""Rows of ``connector.report_many`` in columns that say what meters read, and nothing else that is new.

Owns the short way of such a row, which nearly every row is: a connector of the caller whose levels are as before, and a
register that has risen by no more than the guard's slack. Must never decide anything: whatever is not so goes the way
of every report (``sessions.py``), and what is so has the same effect here as it would have there.

Implements: design rpc.md ``connector.report_many``; performance.md P3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ocpphub.core.connector import Connector
from ocpphub.core.instant import Instant
from ocpphub.core.meter import SLACK_WH, Meters
from ocpphub.core.metering import Metering
from ocpphub.core.readings import Reading
from ocpphub.core.report import Columns
from ocpphub.errors import LocalError

_FLAGS: Final = ("plugged", "ev_ready", "evse_ready")

_NEVER: Final = 2**40
"""In the place of a register that is not known, or 0: what comes next is no small rise of it."""


class Caller(NamedTuple):
    """Who reports: the connectors it drives, those it may name, and what hears of a row that is refused."""

    own: AbstractSet[int]
    may: Callable[[int], bool]
    refuse: Callable[[int, LocalError], None]


class _Places(NamedTuple):
    """Where the levels stand in a row; -1 for a column that is not there. There are all flags, or none of them."""

    plugged: int
    ev_ready: int
    evse_ready: int
    energy_wh: int
    plug_id: int
    permit_seq: int


@dataclass(frozen=True, slots=True)
class SteadyRows:
    """What the short way needs of the charge point. ``connectors`` are the rows of 0 to N."""

    connectors: Sequence[Connector]
    meters: Meters
    metering: Metering

    def take(self, columns: Columns, caller: Caller, now_ms: int, now: Instant) -> Iterator[int]:
        """Take the steady rows; the index of each other row, when its turn has come.

        Effects: ``Store`` of checkpoints and of samples that are due.
        """
        places = _places(columns)
        if places is None:
            yield from range(len(columns.rows))
            return
        at_plugged, at_ev, at_evse, at_wh, at_plug, at_seq = places
        own, may, refuse = caller
        has_more = at_plug >= 0 or at_seq >= 0
        width, at_id, is_measured = columns.width, columns.plain["connector_id"], bool(columns.places)
        connectors, register, accept = self.connectors, self.meters.register, self.meters.accept
        take, reported = self.metering.take, self.metering.reported
        wh: Any = None
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
                and (
                    at_wh < 0
                    or (wh := row[at_wh]) is None
                    or (type(wh) is int and 0 <= wh - (register(number) or _NEVER) <= SLACK_WH)
                )
                and connector.energy_limit_wh is None
                and not connector.is_resuming
                and (not has_more or _is_known(connector, row, at_plug, at_seq))
                and may(number)
            ):
                yield index
                continue
            try:
                if is_measured:
                    readings = columns.readings(row, columns.path(index))
                if wh is not None:
                    accept(number, wh, now_ms, now)
            except LocalError as error:
                refuse(index, _of_row(error, columns.path(index)))
                continue
            if at_seq >= 0 and row[at_seq] is not None:
                connector.permit_seq = row[at_seq]
            if wh is not None or readings:
                take(number, readings, wh, now_ms)
            if connector.transaction is not None:
                reported(number, connector.transaction, now)


def _of_row(error: LocalError, path: str) -> LocalError:
    """What the guard says, with the place of the register in its row."""
    if error.path.startswith(path):
        return error
    return LocalError(error.code, error.message, path=f"{path}/energy_wh", hint=error.hint)


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
