"""Readings of a report: what is understood, what is refused and how it is told, and the MeterValue they become."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub import _native
from ocpphub.core.measurands import MEASURANDS, UNITS
from ocpphub.core.readings import (
    MAX_READINGS,
    MAX_SIGNED,
    REGISTER,
    Descriptor,
    Reading,
    column,
    is_register,
    meter_value,
    parse_readings,
    register_of,
    row_readings,
    value_text,
)
from ocpphub.core.vocabulary import Phase
from ocpphub.errors import LocalError


def one(**members: Any) -> Reading:
    (reading,) = parse_readings([members])
    return reading


def refusal(measurements: Any, path: str = "/params/measurements") -> LocalError:
    with pytest.raises(LocalError) as error:
        parse_readings(measurements, path)
    return error.value


def test_defaults_are_those_of_the_standard_and_the_unit_of_the_measurand() -> None:
    """CORE-MV-10, CORE-MV-11: twice, because the second is read from what was learnt."""
    for _ in range(2):
        assert one(measurand="Voltage", value=230) == (Descriptor("Voltage", None, "Outlet", "V", "Raw"), "230", None)
        assert one(measurand="Frequency", value="50.01").descriptor.unit is None
        assert one(measurand="SoC", value=80).descriptor.unit == "Percent"
        register = one(measurand="Energy.Active.Import.Register", value=5).descriptor
        assert register == REGISTER == Descriptor("Energy.Active.Import.Register", None, "Outlet", "Wh", "Raw")


def test_every_member_is_kept() -> None:
    """CORE-MV-07, CORE-MV-18, CORE-MV-20: phases are named by who reads the meter."""
    told = one(measurand="Power.Active.Import", value="-1.5", unit="kW", phase="L2-N", location="Inlet",
               format="Raw", context="Interruption.Begin")  # fmt: skip
    assert told.descriptor == Descriptor("Power.Active.Import", "L2-N", "Inlet", "kW", "Raw")
    assert (told.value, told.context) == ("-1.5", "Interruption.Begin")


@pytest.mark.parametrize("measurand", MEASURANDS)
def test_units_of_a_measurand_are_taken_and_others_refused(measurand: str) -> None:
    """CORE-MV-11."""
    for unit in {unit for units in UNITS.values() for unit in units} | {"Celcius", "Hertz"}:
        if unit in UNITS[measurand]:
            assert one(measurand=measurand, value=1, unit=unit).descriptor.unit == unit
        else:
            assert refusal([{"measurand": measurand, "value": 1, "unit": unit}]).path == "/params/measurements/0/unit"


@pytest.mark.parametrize(
    ("members", "member", "hint"),
    [
        ({"measurand": "Volltage"}, "measurand", "nearest is Voltage"),
        ({"measurand": "Energy.Active.Import.Interval"}, "measurand", "Register"),
        ({"measurand": "Zzz"}, "measurand", ", ".join(MEASURANDS)),
        ({"measurand": ["Voltage"]}, "measurand", "Voltage"),
        ({"measurand": None}, "measurand", "Voltage"),
        ({}, "measurand", "Voltage"),
        ({"measurand": "Voltage", "phase": "L4"}, "phase", "L1"),
        ({"measurand": "Voltage", "phase": {}}, "phase", "L1, L2"),
        ({"measurand": "Frequency", "unit": "Hertz"}, "unit", "no unit"),
        ({"measurand": "Temperature", "unit": "Celcius"}, "unit", "nearest is Celsius"),
        ({"measurand": "Voltage", "location": "Roof"}, "location", "Outlet"),
        ({"measurand": "Voltage", "format": "raw"}, "format", "nearest is Raw"),
        ({"measurand": "Voltage", "context": "Sample"}, "context", "Sample.Clock"),
        ({"measurand": "Voltage", "Unit": "V"}, "Unit", "unit"),
        ({"measurand": "Voltage", "values": 1}, "values", "nearest is value"),
    ],
)
def test_wrong_member_is_named_with_what_is_allowed(members: dict[str, Any], member: str, hint: str) -> None:
    """CORE-MV-10: the place and the remedy; good ones before it do not help."""
    error = refusal([{"measurand": "Voltage", "value": 1}, {"value": 1, **members}], "/params/reports/4/measurements")
    assert (error.code, error.path) == ("invalid_params", f"/params/reports/4/measurements/1/{member}")
    assert hint in error.hint


@pytest.mark.parametrize("item", [5, "Voltage", "vv", None, ["Voltage", 1], True, [], {"x"}])
def test_measurement_that_is_no_object_is_refused(item: Any) -> None:
    """CORE-MV-10."""
    assert refusal([item]).path == "/params/measurements/0"


@pytest.mark.parametrize("measurements", [{}, "x", 5, None])
def test_measurements_that_are_no_list_are_refused(measurements: Any) -> None:
    """CORE-MV-10."""
    assert refusal(measurements).path == "/params/measurements"


def test_more_readings_than_are_kept_are_refused() -> None:
    """CORE-MV-10: a limit that can be read."""
    item = {"measurand": "Voltage", "value": 1}
    assert len(parse_readings([item] * MAX_READINGS)) == MAX_READINGS
    assert (refusal([item] * (MAX_READINGS + 1)).code) == "too_large"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-5, "-5"),
        (10**15 - 1, "999999999999999"),
        (230.5, "230.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.0, "-0.0"),
        (5.5e-17, "0"),
        (-5.5e-17, "0"),
        (1.25e-05, "0.0000125"),
        (999999999999999.0, "999999999999999.0"),
        ("230.10", "230.10"),
        ("-3", "-3"),
    ],
)
def test_value_is_decimal_text(value: Any, text: str) -> None:
    """CORE-MV-15: a string, never with an exponent."""
    assert one(measurand="Voltage", value=value).value == text


@pytest.mark.parametrize(
    "value",
    [None, True, [], {}, "", "abc", "1e3", "1,5", "+1", " 1", "1 ", ".5", "5.", "NaN", "١", "0x10", "1" * 16,
     10**15, -(10**15), 1e15, float("nan"), float("inf"), float("-inf")],
)  # fmt: skip
def test_value_that_is_no_number_is_refused(value: Any) -> None:
    """CORE-MV-15."""
    error = refusal([{"measurand": "Voltage", "value": value}])
    assert (error.code, error.path) == ("invalid_params", "/params/measurements/0/value")
    assert "decimal" in error.hint


def test_signed_data_is_text_as_it_came() -> None:
    """CORE-MV-15: only as a string, and with an end."""
    signed = {"measurand": "Energy.Active.Import.Register", "format": "SignedData"}
    assert one(**signed, value='OCMF|{"FV":"1.0"}').value == 'OCMF|{"FV":"1.0"}'
    for value in (12, "", "x" * (MAX_SIGNED + 1), "line\nbreak", "Wärme"):
        assert refusal([{**signed, "value": value}]).path == "/params/measurements/0/value"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e14, max_value=1e14))
def test_number_is_told_without_exponent_and_without_loss_that_matters(value: float) -> None:
    """CORE-MV-15."""
    text = value_text(value)
    assert "e" not in text
    assert abs(float(text) - value) <= 5e-10


def test_column_is_a_measurand_in_its_default_unit() -> None:
    """CORE-MV-06: the names of report_many."""
    assert column("Voltage.L1", "/params/columns/2") == Descriptor("Voltage", "L1", "Outlet", "V", "Raw")
    assert column("Power.Factor", "/x").unit is None
    with pytest.raises(LocalError) as error:
        column("Voltage.L9", "/params/columns/2")
    assert (error.value.path, error.value.hint) == ("/params/columns/2", "nearest is Voltage")


def test_row_of_columns_is_read_without_what_was_not_reported() -> None:
    """CORE-MV-10: a bad cell is named by its measurand."""
    columns = [column(name, "/x") for name in ("Voltage.L1", "SoC", "Frequency")]
    readings = row_readings(columns, [230.5, None, "50"], "/params/rows/3")
    assert readings == (Reading(columns[0], "230.5"), Reading(columns[2], "50"))
    with pytest.raises(LocalError) as error:
        row_readings(columns, [1, "full", 2], "/params/rows/3")
    assert error.value.path == "/params/rows/3/SoC"


@pytest.mark.parametrize(
    ("members", "wh"),
    [
        ({"value": 1234}, 1234),
        ({"value": "1234.5"}, 1235),
        ({"value": "1234.49"}, 1234),
        ({"value": "1.2345", "unit": "kWh"}, 1235),
        ({"value": 1.0005, "unit": "kWh"}, 1001),
        ({"value": 5, "phase": "L1"}, None),
        ({"value": 5, "location": "Inlet"}, None),
        ({"value": "5", "format": "SignedData"}, None),
        ({"value": 5, "measurand": "Voltage"}, None),
    ],
)
def test_register_among_the_readings_is_told_in_whole_wh(members: dict[str, Any], wh: int | None) -> None:
    """AMB-19: half up, in decimal arithmetic."""
    readings = (one(**{"measurand": "Energy.Active.Import.Register", **members}),)
    assert register_of(readings) == wh
    assert is_register(readings[0].descriptor) == (wh is not None)


def test_meter_value_tells_what_differs_from_the_defaults_and_always_the_unit() -> None:
    """CORE-MV-10, CORE-MV-11, CORE-MV-15, CORE-MV-18."""
    layout = (REGISTER, Descriptor("Frequency", None, "Outlet", None, "Raw"),
              Descriptor("Temperature", "N", "Body", "Celsius", "SignedData"))  # fmt: skip
    assert meter_value(layout, 1_800_000_000_123, "Trigger", ("1", "50.0", "aa")) == {
        "timestamp": "2027-01-15T08:00:00.123Z",
        "sampledValue": [
            {"value": "1", "context": "Trigger", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
            {"value": "50.0", "context": "Trigger", "measurand": "Frequency"},
            {"value": "aa", "context": "Trigger", "measurand": "Temperature", "phase": "N", "location": "Body",
             "format": "SignedData", "unit": "Celsius"},
        ],
    }  # fmt: skip


def test_every_reading_that_is_understood_is_legal_on_the_wire() -> None:
    """CORE-MV-04: each measurand, unit and phase against the validator."""
    readings = parse_readings(
        [
            {"measurand": measurand, "value": 1, "phase": phase.value, **({"unit": unit} if unit else {})}
            for measurand in MEASURANDS
            for unit in UNITS[measurand] or ("",)
            for phase in (Phase.L1, Phase.L2_N)
        ]
    )
    layout, values = [each.descriptor for each in readings], [each.value for each in readings]
    payload = {"connectorId": 1, "meterValue": [meter_value(layout, 0, "Sample.Periodic", values)]}
    checked = _native.decode_request(orjson.dumps([2, "1", "MeterValues", payload]), strict=True)
    assert isinstance(checked, _native.Call)
