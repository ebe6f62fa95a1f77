"""The configured limits of a charge point in the whole thousandths that the schedule engine computes with.

Owns the way from the decimal numbers of ``[charge_point.electrical]`` and its overrides to mV, mA and mW, and what
makes a number unfit for it. Must never round: a limit that cannot be taken as it stands is refused (decisions.md 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ocpphub._native import Profiles
from ocpphub.core.configuration import ConfigurationProblem
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, ConnectorOverride, Electrical

AC_VOLTAGE_V: Final = 230.0
"""Of the grid behind charge points whose own nominal voltage is a DC one."""
Ratings = tuple[int, int, int | None, int | None, int | None]
"""Nominal voltage in mV, wired phases, maximum in mA per phase or in mW, default in mA per phase."""
RATE_UNITS: Final[Mapping[str, str]] = {"Current": "A", "Power": "W"}
"""Item of ChargingScheduleAllowedChargingRateUnit -> chargingRateUnit (errata 3.86)."""
_EXACT: Final = (
    *("nominal_voltage_v", "connector_max_a", "connector_max_w", "connector_default_a"),
    *("station_max_a", "station_max_w"),
)
_DECIMALS: Final = "a number with at most three decimals, such as 230.125"


def thousandths(value: float) -> int | None:
    """The decimal number as it is written, times 1000; ``None`` when it has more than three decimals."""
    scaled = Decimal(repr(value)).scaleb(3)
    return int(scaled) if scaled == scaled.to_integral_value() else None


def new_profiles(
    settings: ChargePointSettings, *, max_stack_level: int, max_periods: int, max_installed: int, units: str
) -> Profiles:
    """An engine without profiles for these connectors; ``units`` is ``"A"``, ``"W"`` or both letters.

    Raises :class:`LocalError` for limits that :func:`electrical_problems` names.
    """
    problems = list(_inexact(settings))
    if not problems:
        try:
            return Profiles(
                _connectors(settings),
                _station(settings.electrical),
                max_stack_level=max_stack_level,
                max_periods=max_periods,
                max_installed=max_installed,
                units="".join(sorted(units)),
            )
        except ValueError as error:
            problems = [ConfigurationProblem("electrical", str(error), "limits that can be added up exactly")]
    lines = [str(problem) for problem in problems]
    raise LocalError("invalid_params", "\n".join(lines), problems=lines)


def electrical_problems(settings: ChargePointSettings) -> list[ConfigurationProblem]:
    """Every electrical value of ``hub.toml`` with which no schedule can be computed exactly.

    Values may be ``None`` where the reader of the file has refused them: nothing is said about those.
    """
    problems = list(_inexact(settings))
    if problems or not _is_complete(settings):
        return problems
    try:
        Profiles(
            _connectors(settings),
            _station(settings.electrical),
            max_stack_level=0,
            max_periods=1,
            max_installed=1,
            units="AW",
        )
    except ValueError as error:
        problems.append(ConfigurationProblem("electrical", str(error), "limits that can be added up exactly"))
    return problems


def max_powers_mw(settings: ChargePointSettings) -> list[int]:
    """The most that a meter can see, in mW: of the whole charge point first, then of connectors 1 to N."""
    powers = []
    for voltage_mv, phases, max_ma, max_mw, _ in _connectors(settings):
        powers.append(max_mw if max_mw is not None else voltage_mv * phases * (max_ma or 0) // 1000)
    return [sum(powers), *powers]


def _inexact(settings: ChargePointSettings) -> Iterator[ConfigurationProblem]:
    tables: list[tuple[str, Electrical | ConnectorOverride]] = [("electrical", settings.electrical)]
    tables += [(f"connector[{index}]", override) for index, override in enumerate(settings.connector_overrides)]
    for place, table in tables:
        for name in _EXACT:
            value = getattr(table, name, None)
            if value is not None and thousandths(value) is None:
                yield ConfigurationProblem(f"{place}.{name}", f"{value!r} has more than three decimals", _DECIMALS)


def _is_complete(settings: ChargePointSettings) -> bool:
    electrical = settings.electrical
    maxima = (electrical.connector_max_a, electrical.connector_max_w)
    needed: tuple[float | None, ...] = (settings.connectors, electrical.nominal_voltage_v, electrical.phases)
    if None in needed or maxima.count(None) != 1:
        return False
    return all(_is_alone(override) for override in settings.connector_overrides)


def _is_alone(override: ConnectorOverride) -> bool:
    ids: tuple[int, ...] | None = override.ids
    return ids is not None and None in (override.connector_max_a, override.connector_max_w)


def _connectors(settings: ChargePointSettings) -> list[Ratings]:
    """The ratings of connectors 1 to N."""
    rows = [_ratings(settings.electrical, None)] * settings.connectors
    for override in settings.connector_overrides:
        own = _ratings(settings.electrical, override)
        for connector_id in override.ids:
            if connector_id <= len(rows):
                rows[connector_id - 1] = own
    return rows


def _ratings(electrical: Electrical, override: ConnectorOverride | None) -> Ratings:
    def own(name: str) -> float | None:
        value: float | None = None if override is None else getattr(override, name)
        return value

    def chosen(name: str) -> float | None:
        value = own(name)
        return getattr(electrical, name) if value is None else value

    # A maximum of the override takes the place of the usual one in either unit.
    has_own = own("connector_max_a") is not None or own("connector_max_w") is not None
    maximum = own if has_own else chosen
    return (
        _milli(chosen("nominal_voltage_v")) or 0,
        int(chosen("phases") or 0),
        _milli(maximum("connector_max_a")),
        _milli(maximum("connector_max_w")),
        _milli(chosen("connector_default_a")),
    )


def _station(electrical: Electrical) -> tuple[int, int | None, int | None]:
    limits = _milli(electrical.station_max_a), _milli(electrical.station_max_w)
    return _milli(electrical.nominal_voltage_v) or 0, *limits


def _milli(value: float | None) -> int | None:
    return None if value is None else thousandths(value)
