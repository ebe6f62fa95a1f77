"""Which measurands this charge point knows, their units, and how a configuration key names them (OCPP 1.6 7.31).

Owns the table of measurands and units. Must never hold a value. Implements requirements CORE-MV-06, CORE-MV-11 and
CORE-MV-19: the measurands of an interval are not there, because nobody here accumulates over an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ocpphub.core.vocabulary import Measurand, Phase, UnitOfMeasure

REGISTER_MEASURAND: Final = Measurand.ENERGY_ACTIVE_IMPORT_REGISTER.value
PHASES: Final = tuple(phase.value for phase in Phase)


def _units(*units: UnitOfMeasure) -> tuple[str, ...]:
    return tuple(unit.value for unit in units)


_ACTIVE_ENERGY: Final = _units(UnitOfMeasure.WH, UnitOfMeasure.K_WH)
_REACTIVE_ENERGY: Final = _units(UnitOfMeasure.VARH, UnitOfMeasure.KVARH)
_ACTIVE_POWER: Final = _units(UnitOfMeasure.W, UnitOfMeasure.K_W)
_REACTIVE_POWER: Final = _units(UnitOfMeasure.VAR, UnitOfMeasure.KVAR)
_CURRENT: Final = _units(UnitOfMeasure.A)

UNITS: Final[Mapping[str, tuple[str, ...]]] = {
    Measurand.CURRENT_EXPORT.value: _CURRENT,
    Measurand.CURRENT_IMPORT.value: _CURRENT,
    Measurand.CURRENT_OFFERED.value: _CURRENT,
    Measurand.ENERGY_ACTIVE_EXPORT_REGISTER.value: _ACTIVE_ENERGY,
    REGISTER_MEASURAND: _ACTIVE_ENERGY,
    Measurand.ENERGY_REACTIVE_EXPORT_REGISTER.value: _REACTIVE_ENERGY,
    Measurand.ENERGY_REACTIVE_IMPORT_REGISTER.value: _REACTIVE_ENERGY,
    Measurand.FREQUENCY.value: (),
    Measurand.POWER_ACTIVE_EXPORT.value: _ACTIVE_POWER,
    Measurand.POWER_ACTIVE_IMPORT.value: _ACTIVE_POWER,
    Measurand.POWER_FACTOR.value: (),
    Measurand.POWER_OFFERED.value: _ACTIVE_POWER,
    Measurand.POWER_REACTIVE_EXPORT.value: _REACTIVE_POWER,
    Measurand.POWER_REACTIVE_IMPORT.value: _REACTIVE_POWER,
    Measurand.RPM.value: (),
    Measurand.SO_C.value: _units(UnitOfMeasure.PERCENT),
    Measurand.TEMPERATURE.value: _units(UnitOfMeasure.CELSIUS, UnitOfMeasure.FAHRENHEIT, UnitOfMeasure.K),
    Measurand.VOLTAGE.value: _units(UnitOfMeasure.V),
}
"""Supported measurand -> its units, the default first; none where the standard has none."""
MEASURANDS: Final = tuple(UNITS)


def measurand_item(text: str) -> tuple[str, str | None] | None:
    """``Measurand`` or ``Measurand.Phase`` of a supported measurand (CORE-MV-06); ``None`` for anything else."""
    if text in UNITS:
        return text, None
    measurand, _, phase = text.rpartition(".")
    return (measurand, phase) if measurand in UNITS and phase in PHASES else None
