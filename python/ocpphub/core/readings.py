"""What a meter tells: the readings of a report and the MeterValue of the wire (OCPP 1.6 sections 7.33 and 7.43).

Owns which members of a measurement are legal together, the text of a value, and how values become a MeterValue. Must
never keep a reading: that is ``sampling.py``. A bad reading refuses the whole list, naming the member and what is
allowed. Implements requirements CORE-MV-10, CORE-MV-11, CORE-MV-15, AMB-19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, NamedTuple, cast

from ocpphub.core.boot import utc_text
from ocpphub.core.measurands import MEASURANDS, PHASES, REGISTER_MEASURAND, UNITS, measurand_item
from ocpphub.core.vocabulary import Location, ReadingContext, UnitOfMeasure, ValueFormat
from ocpphub.errors import LocalError


class Descriptor(NamedTuple):
    """What a value is of. ``phase`` ``None`` is the total, ``unit`` ``None`` where the standard has none (MV-11)."""

    measurand: str
    phase: str | None
    location: str
    unit: str | None
    format: str


class Reading(NamedTuple):
    """One value as it goes on the wire. ``context`` is what the controller said of it, ``None`` for nothing."""

    descriptor: Descriptor
    value: str
    context: str | None = None


MAX_READINGS: Final = 128
"""Readings of one report, and different ones that are kept of a connector."""
MAX_SIGNED: Final = 4_096
"""Characters of a value of format SignedData, which the standard leaves open; 64 KiB is the longest message."""
MAX_SIZE: Final = 10**15
"""A number of this size or more is no reading of a meter."""
REGISTER: Final = Descriptor(REGISTER_MEASURAND, None, Location.OUTLET.value, UnitOfMeasure.WH.value, "Raw")
"""What ``energy_wh`` of a report is."""

_LOCATIONS: Final = tuple(location.value for location in Location)
_FORMATS: Final = tuple(form.value for form in ValueFormat)
_CONTEXTS: Final = tuple(context.value for context in ReadingContext)
_SIGNED: Final = ValueFormat.SIGNED_DATA.value
_MEMBERS: Final = frozenset(("measurand", "value", "unit", "phase", "location", "context", "format"))
_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_SIGNED_TEXT: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_SIGNED}}}", re.ASCII)
_NUMBER_HINT: Final = "a number below 1e15 in size, or its decimal text without an exponent"

_Meaning = tuple[Descriptor, str | None, int]
"""What members mean: descriptor, context, and how many members say that, the value among them."""
_known: dict[tuple[Any, ...] | str, _Meaning] = {}
"""Members as they were given, or the measurand where nothing else was -> what they mean.

Legal combinations only, so there is an end to them.
"""
_of_phase: dict[tuple[str, str], _Meaning] = {}
"""The same for measurand and phase, where nothing else was given."""
_reading: Final = cast("Callable[[tuple[Descriptor, str, str | None]], Reading]", partial(tuple.__new__, Reading))
"""A Reading without the cost of arguments: thousands a second are made."""


def parse_readings(measurements: object, path: str = "/params/measurements") -> tuple[Reading, ...]:
    """The ``measurements`` of a report (rpc.md), checked.

    Raises :class:`LocalError` ``invalid_params`` for the first bad one, with its place below ``path``.
    """
    if not isinstance(measurements, list | tuple):
        raise _error("measurements is not a list", path, "an array of objects with measurand and value")
    if len(measurements) > MAX_READINGS:
        raise LocalError("too_large", "too many measurements", path=path, hint=f"at most {MAX_READINGS}")
    readings = []
    for index, item in enumerate(measurements):
        try:
            size = len(item)
            if size == 2:
                descriptor, context, _ = _known[item["measurand"]]
            elif size == 3 and "phase" in item:
                descriptor, context, _ = _of_phase[item["measurand"], item["phase"]]
            else:
                get = item.get
                members = (get("measurand"), get("unit"), get("phase"), get("location"), get("format"), get("context"))
                descriptor, context, wanted = _known[members]
                if size != wanted:
                    raise KeyError
            value = item["value"]
        except (AttributeError, KeyError, TypeError):
            descriptor, context, _ = _understood(item, f"{path}/{index}")
            value = item.get("value")
        text: str | None
        if type(value) is float and -MAX_SIZE < value < MAX_SIZE and descriptor[4] == "Raw":
            text = repr(value)
            if "e" in text:
                text = _tiny(value)
        elif (text := _text(value, descriptor[4])) is None:
            raise _value_error(descriptor[4], f"{path}/{index}/value")
        readings.append(_reading((descriptor, text, context)))
    return tuple(readings)


def value_text(value: object, form: str = "Raw", path: str = "/params/measurements/0/value") -> str:
    """A value as it goes on the wire: decimal text, never an exponent; SignedData as it came.

    Raises :class:`LocalError` naming ``path``.
    """
    text = _text(value, form)
    if text is None:
        raise _value_error(form, path)
    return text


def _text(value: object, form: str) -> str | None:
    if form == _SIGNED:
        return value if isinstance(value, str) and _SIGNED_TEXT.fullmatch(value) else None
    if type(value) is float:
        if not -MAX_SIZE < value < MAX_SIZE:  # so it is for NaN
            return None
        text = repr(value)
        return text if "e" not in text else _tiny(value)
    if type(value) is int:
        return str(value) if -MAX_SIZE < value < MAX_SIZE else None
    return value if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def _value_error(form: str, path: str) -> LocalError:
    if form == _SIGNED:
        return _error("not signed data", path, f"1 to {MAX_SIGNED} printable ASCII characters")
    return _error("not a reading", path, _NUMBER_HINT)


def _tiny(value: float) -> str:
    """Below 0.0001 a float prints with an exponent; what is left after nine decimals is noise."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def row_readings(descriptors: Sequence[Descriptor], cells: Sequence[object], path: str) -> tuple[Reading, ...]:
    """The readings of one row of columns; a cell that is ``None`` was not reported.

    Raises :class:`LocalError` naming ``path`` and the measurand.
    """
    readings = []
    for descriptor, cell in zip(descriptors, cells, strict=True):
        if cell is not None:
            text = str(cell) if type(cell) is int and -MAX_SIZE < cell < MAX_SIZE else _text(cell, "Raw")
            if text is None:
                raise _value_error("Raw", f"{path}/{descriptor.measurand}")
            readings.append(_reading((descriptor, text, None)))
    return tuple(readings)


def column(name: str, path: str) -> Descriptor:
    """The descriptor of a column ``Measurand[.Phase]`` in its default unit (``connector.report_many``).

    Raises :class:`LocalError` naming ``path``.
    """
    item = measurand_item(name)
    if item is None:
        raise _error(f"unknown column {name[:50]}", path, _nearest(name[:50], MEASURANDS))
    members = {"measurand": item[0]} if item[1] is None else {"measurand": item[0], "phase": item[1]}
    return _understood(members, path)[0]


def register_of(readings: Iterable[Reading]) -> int | None:
    """The import register among ``readings`` in Wh, half up (AMB-19): for who sends it as a measurement; else ``None``.

    It has to pass the meter guard like ``energy_wh``.
    """
    found = None
    for descriptor, value, _ in readings:
        if descriptor[0] == REGISTER_MEASURAND and is_register(descriptor):
            wh = Decimal(value) * (1000 if descriptor.unit == "kWh" else 1)
            found = int(wh.quantize(Decimal(1), ROUND_HALF_UP))
    return found


def is_register(descriptor: Descriptor) -> bool:
    """Whether this is what ``energy_wh`` is, in whatever unit."""
    return descriptor in (REGISTER, _REGISTER_KWH)


_REGISTER_KWH: Final = REGISTER._replace(unit=UnitOfMeasure.K_WH.value)


def meter_value(layout: Sequence[Descriptor], at_ms: int, context: str, values: Sequence[str]) -> dict[str, Any]:
    """A MeterValue (OCPP 1.6 section 7.33). Location and format are told only where they are not the default.

    The unit is always told: without one a value would be Wh whatever its measurand (chapter 19).
    """
    sampled = []
    for (measurand, phase, location, unit, form), value in zip(layout, values, strict=True):
        row = {"value": value, "context": context, "measurand": measurand}
        if form != "Raw":
            row["format"] = form
        if phase is not None:
            row["phase"] = phase
        if location != "Outlet":
            row["location"] = location
        if unit is not None:
            row["unit"] = unit
        sampled.append(row)
    return {"timestamp": utc_text(at_ms), "sampledValue": sampled}


def _understood(item: object, path: str) -> _Meaning:
    """The meaning of one measurement; kept for the next that says the same."""
    if not isinstance(item, Mapping):
        raise _error("not an object", path, "an object with measurand and value")
    for name in item:
        if name not in _MEMBERS:
            name = str(name)[:50]
            raise _error(f"unknown member {name}", f"{path}/{name}", _nearest(name, sorted(_MEMBERS)))
    measurand = _one_of(item, "measurand", MEASURANDS, path)
    if measurand is None:
        raise _error("measurand is missing", f"{path}/measurand", _nearest("", MEASURANDS))
    units = UNITS[measurand]
    unit = _one_of(item, "unit", units, path) or (units[0] if units else None)
    phase = _one_of(item, "phase", PHASES, path)
    location = _one_of(item, "location", _LOCATIONS, path) or _LOCATIONS[_LOCATIONS.index("Outlet")]
    form = _one_of(item, "format", _FORMATS, path) or _FORMATS[0]
    context = _one_of(item, "context", _CONTEXTS, path)
    get = item.get
    members = (get("measurand"), get("unit"), get("phase"), get("location"), get("format"), get("context"))
    size = 1 + sum(member is not None for member in members)
    meaning = _known[members] = (Descriptor(measurand, phase, location, unit, form), context, size)
    if size == 2:
        _known[measurand] = meaning
    elif size == 3 and phase is not None:
        _of_phase[measurand, phase] = meaning
    return meaning


def _one_of(item: Mapping[str, Any], name: str, allowed: Sequence[str], path: str) -> str | None:
    """The member ``name`` as one of our own texts, ``None`` when it is absent."""
    if name not in item:
        return None
    value = item[name]
    if isinstance(value, str) and value in allowed:
        return allowed[allowed.index(value)]
    raise _error(f"{name} is not allowed", f"{path}/{name}", _nearest(value, allowed))


def _nearest(value: object, allowed: Sequence[str]) -> str:
    if not allowed:
        return "none: the measurand has no unit"
    near = get_close_matches(value[:50], allowed, n=1) if isinstance(value, str) else []
    return f"nearest is {near[0]}" if near else ", ".join(allowed)


def _error(message: str, path: str, hint: str) -> LocalError:
    return LocalError("invalid_params", message, path=path, hint=hint)
