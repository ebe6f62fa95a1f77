"""The energy registers of a charge point's meters, and the guard before them (design reliability.md 4.6).

Owns the last good register of each connector (0 is the main meter), what a next one may be, meter epochs, and the
checkpoint rows. Must never subtract values of two epochs, round, or take a value that only looks like a reading. What
becomes of a transaction when an epoch ends is decided by the sessions. Registers are whole Wh as the meter tells them;
only a configured rollover is unwrapped.

Implements: CORE-MV-12, CORE-MV-13, CORE-TX-18; reliability.md E1 to E5 and N26; decisions.md 4.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ocpphub.core.boot import Clock
from ocpphub.core.effects import Effect, Store
from ocpphub.core.electrical import max_powers_mw
from ocpphub.core.instant import Instant
from ocpphub.core.rows import Rows
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings

log = logging.getLogger("ocpphub.core")

TABLE: Final = "meter"
MAX_WH: Final = 2**31 - 1
"""Registers are int32 on the wire (OCPP 1.6 section 6.45)."""
SLACK_WH: Final = 100
"""What a register may rise at once, whatever the time: the grain of a checkpoint."""
CHECKPOINT_WH: Final = 100
CHECKPOINT_S: Final = 60.0
EPOCH_READINGS: Final = 3
EPOCH_S: Final = 60.0

Verdict = Literal["same", "new_epoch"]


class _Refused(NamedTuple):
    """Refused registers that agree with one another: how many, since when, and the last of them."""

    number: int
    first_s: float
    last_s: float
    last_wh: int


class _Finding(NamedTuple):
    """What is to be made of a register: a verdict and the register without rollovers, or who is refused and why."""

    verdict: Verdict | None
    wh: int
    refused: _Refused | None = None
    hint: str = ""


@dataclass(slots=True)
class _Meter:
    """One meter's last good register. ``at_s`` is when it was read, monotonic; ``at_ms`` the same in UTC.

    ``offset_wh`` is what rollovers have added; ``is_live`` is false until this process has taken a register.
    """

    wh: int
    at_s: float
    at_ms: int
    offset_wh: int = 0
    is_live: bool = True
    stored_wh: int = -1
    stored_s: float = float("-inf")
    refused: _Refused | None = None


class Meters:
    """The meters of connectors 0 to N."""

    def __init__(self, settings: ChargePointSettings, emit: Callable[[Effect], None], clock: Clock) -> None:
        self._emit, self._clock = emit, clock
        self._max_mw = max_powers_mw(settings)
        self._moduli: dict[int, int] = {}
        self._meters: list[_Meter | None] = [None] * len(self._max_mw)
        self.reconfigure(settings)

    def reconfigure(self, settings: ChargePointSettings) -> None:
        """Take the configured register ends (``meter_modulus_wh``), which may have changed."""
        self._moduli = {}
        for override in settings.connector_overrides:
            if override.meter_modulus_wh is not None:
                self._moduli.update(dict.fromkeys(override.ids, override.meter_modulus_wh))

    def restore(self, rows: Rows) -> None:
        """Take up the checkpoints of an earlier process."""
        for key, row in rows.objects(TABLE, wh=int, at=int, offset=int):
            if not key.isdecimal() or not 0 <= row["wh"] <= MAX_WH:
                log.error("a damaged row of %s is left aside: %s", TABLE, key)
            elif int(key) < len(self._meters):
                meter = _Meter(row["wh"], float("-inf"), row["at"], row["offset"], is_live=False)
                meter.stored_wh = meter.wh
                self._meters[int(key)] = meter

    # reads

    def register(self, connector_id: int) -> int | None:
        """The last good register in Wh, rollovers unwrapped; of an earlier process until this one has one."""
        meter = self._meters[connector_id]
        return None if meter is None else meter.wh

    def register_ms(self, connector_id: int) -> int | None:
        """When that was read, in UTC milliseconds."""
        meter = self._meters[connector_id]
        return None if meter is None else meter.at_ms

    # inputs

    def accept(
        self,
        connector_id: int,
        energy_wh: int,
        at_ms: int,
        now: Instant,
        *,
        resuming: bool = False,
        path: str = "/params/energy_wh",
    ) -> Verdict:
        """Take a register that was read at ``at_ms``, or refuse it.

        ``"new_epoch"``: the register is good, but must not be subtracted from what was before: three refused ones over
        at least 60 s agreed with one another, or it is the first of this process and the meter is another; a session
        that is ``resuming`` gives its meter the same three chances (decisions.md 4).

        Raises :class:`LocalError` ``invalid_params`` naming ``path`` and the bounds; nothing has changed then but the
        count of those refused. Effects: ``Store`` of a checkpoint when 60 s or 100 Wh have passed.
        """
        age_ms = self._clock.utc_ms(now) - at_ms
        read_s = now.monotonic_s - age_ms / 1000 if age_ms > 0 else now.monotonic_s
        if self.rise(connector_id, energy_wh, at_ms, read_s):
            return "same"
        meter = self._meters[connector_id]
        found = self._judge(connector_id, energy_wh, read_s, at_ms, resuming, path)
        if found.verdict is None:
            if meter is not None:
                meter.refused = found.refused
            raise _refusal(path, found.hint)
        meter = self._take(connector_id, energy_wh, found, read_s, at_ms)
        if found.verdict == "new_epoch":
            self._checkpoint(connector_id, meter)
            return found.verdict
        self._checkpoint_when_due(connector_id, meter, read_s)
        return "same"

    def rise(self, connector_id: int, energy_wh: object, at_ms: int, read_s: float) -> bool:
        """Nearly every report: take a register that has risen by no more than the slack, read at ``read_s``.

        False where it is not so plain, and :meth:`accept` has to judge; nothing has changed then. Effects as there.
        """
        meter = self._meters[connector_id]
        if (
            meter is None
            or type(energy_wh) is not int
            or not 0 <= energy_wh - meter.wh <= SLACK_WH
            or not meter.is_live
            or energy_wh > MAX_WH
            or connector_id in self._moduli
        ):
            return False
        meter.wh, meter.at_s, meter.at_ms, meter.refused = energy_wh, read_s, at_ms, None
        if energy_wh != meter.stored_wh:
            self._checkpoint_when_due(connector_id, meter, read_s)
        return True

    def _checkpoint_when_due(self, connector_id: int, meter: _Meter, read_s: float) -> None:
        risen = meter.wh - meter.stored_wh
        if risen >= CHECKPOINT_WH or (risen and read_s - meter.stored_s >= CHECKPOINT_S):
            self._checkpoint(connector_id, meter)

    def check(
        self,
        connector_id: int,
        energy_wh: int,
        at_ms: int,
        now: Instant,
        *,
        resuming: bool = False,
        path: str = "/params/energy_wh",
    ) -> Verdict:
        """What :meth:`accept` would return or raise, without any change."""
        age_ms = self._clock.utc_ms(now) - at_ms
        read_s = now.monotonic_s - max(age_ms, 0) / 1000
        found = self._judge(connector_id, energy_wh, read_s, at_ms, resuming, path)
        if found.verdict is None:
            raise _refusal(path, found.hint)
        return found.verdict

    def checkpoint(self, connector_id: int) -> None:
        """A transaction starts or ends. Effects: ``Store`` if the register is not in the store as it is."""
        meter = self._meters[connector_id]
        if meter is not None and meter.wh != meter.stored_wh:
            self._checkpoint(connector_id, meter)

    def clock_stepped(self, by_ms: int) -> None:
        """The corrected UTC moved: what was read in this process was read on the new time too."""
        for meter in self._meters:
            if meter is not None and meter.is_live:
                meter.at_ms += by_ms

    # inside

    def _judge(
        self, connector_id: int, energy_wh: int, read_s: float, at_ms: int, resuming: bool, path: str
    ) -> _Finding:
        """The guard of reliability.md 4.6. Raises for what no meter can read, which never opens an epoch."""
        modulus = self._moduli.get(connector_id)
        top = MAX_WH if modulus is None else modulus - 1
        if type(energy_wh) is not int or not 0 <= energy_wh <= top:
            raise _refusal(path, f"0 to {top}")
        meter = self._meters[connector_id]
        if meter is None:
            return _Finding("same", energy_wh)
        # Within a process by the clock that never jumps; across a restart by UTC, and 0 s when that went backwards.
        elapsed_s = read_s - meter.at_s if meter.is_live else (at_ms - meter.at_ms) / 1000
        most = min(meter.wh + self.may_rise(connector_id, elapsed_s), MAX_WH)
        wh = energy_wh + meter.offset_wh
        if modulus is not None and wh < meter.wh:
            wh += modulus
        if meter.wh <= wh <= most:
            return _Finding("same", wh)
        # N26: a meter that restarts tells 0 for a moment; that is a placeholder and not the first value of an epoch.
        if not meter.is_live and not resuming and energy_wh > 0:
            return _Finding("new_epoch", energy_wh)
        refused = self._joined(connector_id, meter.refused, energy_wh, read_s)
        if refused.number >= EPOCH_READINGS and read_s - refused.first_s >= EPOCH_S:
            return _Finding("new_epoch", energy_wh)
        return _Finding(None, meter.wh, refused, _bounds(meter, most, modulus))

    def may_rise(self, connector_id: int, elapsed_s: float) -> int:
        """The most Wh within ``elapsed_s``: Pmax x time x 1.2 + 100 Wh."""
        elapsed_ms = max(round(elapsed_s * 1000), 0)
        return self._max_mw[connector_id] * elapsed_ms * 12 // 36_000_000_000 + SLACK_WH  # mW x ms = 1e-6 Ws

    def _joined(self, connector_id: int, refused: _Refused | None, energy_wh: int, read_s: float) -> _Refused:
        """Those refused before with one more, which begins anew when it contradicts them."""
        if refused is not None:
            rise = energy_wh - refused.last_wh
            if 0 <= rise <= self.may_rise(connector_id, read_s - refused.last_s):
                return _Refused(refused.number + 1, refused.first_s, read_s, energy_wh)
        return _Refused(1, read_s, read_s, energy_wh)

    def _take(self, connector_id: int, energy_wh: int, found: _Finding, read_s: float, at_ms: int) -> _Meter:
        meter = self._meters[connector_id]
        if meter is None:
            meter = self._meters[connector_id] = _Meter(found.wh, read_s, at_ms)
        else:
            meter.wh, meter.at_s, meter.at_ms, meter.refused = found.wh, read_s, at_ms, None
            meter.offset_wh, meter.is_live = found.wh - energy_wh, True
        return meter

    def _checkpoint(self, connector_id: int, meter: _Meter) -> None:
        meter.stored_wh, meter.stored_s = meter.wh, meter.at_s
        row = b'{"wh":%d,"at":%d,"offset":%d}' % (meter.wh, meter.at_ms, meter.offset_wh)
        self._emit(Store(TABLE, str(connector_id), row))


def _bounds(meter: _Meter, most: int, modulus: int | None) -> str:
    """What would have been taken, as the meter would tell it."""
    low, high = meter.wh - meter.offset_wh, most - meter.offset_wh
    if modulus is None or high < modulus:
        return f"{low} to {high}"
    return f"{low} to {modulus - 1}, or 0 to {min(high - modulus, modulus - 1)} after a rollover"


def _refusal(path: str, hint: str) -> LocalError:
    return LocalError("invalid_params", "the register is outside what this meter can read", path=path, hint=hint)
