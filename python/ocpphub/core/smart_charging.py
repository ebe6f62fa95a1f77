"""The variable ``charging_schedules`` from the configured limits, until charging profiles exist.

Owns the limits of ``[charge_point.electrical]`` as one-period schedules, exact rationals until one final rounding down
to 0.1 (decisions.md 5). Must never build a Python object per connector at publication: the text is prepared once.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.effects import Effect, Publish
from ocpphub.core.instant import Instant
from ocpphub.core.timers import Timers

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, ConnectorOverride, Electrical, HubSettings

_START: Final = b"\x00"
"""Where ``startSchedule`` goes; JSON text never holds this byte."""


def _amperes_and_phases(electrical: Electrical, override: ConnectorOverride | None) -> tuple[Fraction, Fraction, int]:
    """One connector's limit in A per phase and in W, and its phases."""

    def chosen(name: str) -> float | None:
        own = None if override is None else getattr(override, name)
        value: float | None = getattr(electrical, name) if own is None else own
        return value

    phases = int(chosen("phases") or 3)
    per_ampere = Fraction(str(chosen("nominal_voltage_v"))) * phases
    own_w = None if override is None else override.connector_max_w
    own_a = None if override is None else override.connector_max_a
    limit_a, limit_w = (own_a, own_w) if (own_a, own_w) != (None, None) else (
        electrical.connector_max_a, electrical.connector_max_w)  # fmt: skip
    if limit_a is not None:
        amperes = Fraction(str(limit_a))
        return amperes, amperes * per_ampere, phases
    watts = Fraction(str(limit_w or 0))
    return watts / per_ampere, watts, phases


def _rounded_down(limit: Fraction) -> str:
    tenths = limit.numerator * 10 // limit.denominator
    return f"{tenths // 10}.{tenths % 10}"


class ChargingSchedules:
    """The configured limits of connectors 0 to N, published at start and on a fixed interval."""

    def __init__(
        self,
        settings: ChargePointSettings,
        hub: HubSettings | None,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
    ) -> None:
        self._emit, self._timers, self._clock = emit, timers, clock
        self._interval_s = 30.0 if hub is None else hub.publish_interval_s
        duration_s = 600 if hub is None else hub.publish_duration_s
        # The first allowed unit: A on AC, W on DC, where amperes mean nothing to the grid side (chapter 16).
        self._unit = (hub.schedule_unit if hub is not None else None) or (
            "W" if settings.electrical.current == "dc" else "A"
        )
        self._template = self._prepared(settings, duration_s)

    def _prepared(self, settings: ChargePointSettings, duration_s: int) -> bytes:
        electrical = settings.electrical
        overrides = {i: override for override in settings.connector_overrides for i in override.ids}
        limits = [_amperes_and_phases(electrical, overrides.get(i)) for i in range(1, settings.connectors + 1)]
        whole = self._station_limit(electrical, limits)
        rows = [(whole, electrical.phases), *((self._in_unit(limit), limit[2]) for limit in limits)]
        parts = (self._schedule(i, limit, phases, duration_s) for i, (limit, phases) in enumerate(rows))
        return b"{" + b",".join(parts) + b"}"

    def _in_unit(self, limit: tuple[Fraction, Fraction, int]) -> Fraction:
        return limit[0] if self._unit == "A" else limit[1]

    def _station_limit(self, electrical: Electrical, limits: list[tuple[Fraction, Fraction, int]]) -> Fraction:
        """Connector 0: the sum of the connectors' unrounded limits, bounded by the station's own (decisions.md 5)."""
        total = sum((self._in_unit(limit) for limit in limits), Fraction(0))
        per_ampere = Fraction(str(electrical.nominal_voltage_v)) * electrical.phases
        bounds = [total]
        if electrical.station_max_a is not None:
            amperes = Fraction(str(electrical.station_max_a))
            bounds.append(amperes if self._unit == "A" else amperes * per_ampere)
        if electrical.station_max_w is not None:
            watts = Fraction(str(electrical.station_max_w))
            bounds.append(watts if self._unit == "W" else watts / per_ampere)
        return min(bounds)

    def _schedule(self, connector_id: int, limit: Fraction, phases: int, duration_s: int) -> bytes:
        return (
            f'"{connector_id}":{{"chargingRateUnit":"{self._unit}","duration":{duration_s},"startSchedule":"\x00",'
            f'"chargingSchedulePeriod":[{{"startPeriod":0,"limit":{_rounded_down(limit)},"numberPhases":{phases}}}]}}'
        ).encode()

    def text(self, now: Instant) -> bytes:
        """The full object as JSON text, beginning at the present whole second (rpc.md "Interface variables")."""
        second = self._clock.utc_ms(now) // 1000 * 1000
        return self._template.replace(_START, (utc_text(second)[:-5] + "Z").encode())

    def publish(self, now: Instant) -> None:
        """Effects: ``Publish`` of the full object; the next one follows after ``publish_interval_s``."""
        self._emit(Publish("charging_schedules", self.text(now)))
        if self._interval_s > 0:
            self._timers.set("schedules", now.monotonic_s + self._interval_s)
