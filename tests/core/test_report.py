"""The fields of a report: what is taken, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.readings import parse_readings
from ocpphub.core.report import Fault, Report, read_many, read_report
from ocpphub.errors import LocalError

FULL: dict[str, Any] = {
    "connector_id": 7,
    "plugged": True,
    "plug_id": "A-1",
    "ev_ready": True,
    "evse_ready": False,
    "energy_wh": 1_234,
    "permit_seq": 3,
    "max_current_a": 16,
    "measurements": [{"measurand": "Voltage", "phase": "L1-N", "value": 230.1}],
    "errors": [{"error_code": "GroundFailure", "info": "30 mA", "inoperative": True}],
    "timestamp": "2027-01-15T09:00:00+01:00",
}


def refused(params: dict[str, Any]) -> LocalError:
    with pytest.raises(LocalError) as caught:
        read_report(params, parse_readings)
    assert caught.value.code == "invalid_params"
    return caught.value


def test_report_takes_every_field() -> None:
    """CORE-STAT-15: texts up to their limits."""
    report = read_report(FULL, parse_readings)
    assert (report.connector_id, report.plugged, report.plug_id, report.ev_ready) == (7, True, "A-1", True)
    assert (report.evse_ready, report.energy_wh, report.permit_seq, report.max_current_a) == (False, 1_234, 3, 16.0)
    assert report.errors == (Fault("GroundFailure", "30 mA", inoperative=True),)
    assert report.at_ms == 1_800_000_000_000
    assert report.readings is not None
    assert [reading.value for reading in report.readings] == ["230.1"]


def test_report_without_fields_means_as_before() -> None:
    """decisions.md 4: an absent field is none that says nothing."""
    assert read_report({"connector_id": 1}, parse_readings) == Report(1)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("connector_id", "1", "/params/connector_id"),
        ("connector_id", True, "/params/connector_id"),
        ("plugged", 1, "/params/plugged"),
        ("plugged", None, "/params/plugged"),
        ("plug_id", "", "/params/plug_id"),
        ("plug_id", "x" * 256, "/params/plug_id"),
        ("plug_id", 1.5, "/params/plug_id"),
        ("ev_ready", "true", "/params/ev_ready"),
        ("energy_wh", 1.0, "/params/energy_wh"),
        ("energy_wh", True, "/params/energy_wh"),
        ("energy_wh", "5", "/params/energy_wh"),
        ("permit_seq", -1, "/params/permit_seq"),
        ("max_current_a", -0.1, "/params/max_current_a"),
        ("max_current_a", float("nan"), "/params/max_current_a"),
        ("max_current_a", True, "/params/max_current_a"),
        ("errors", {}, "/params/errors"),
        ("errors", ["GroundFailure"], "/params/errors/0"),
        ("errors", [{"error_code": "GroundFault"}], "/params/errors/0/error_code"),
        ("errors", [{"error_code": "NoError"}], "/params/errors/0/error_code"),
        ("errors", [{"error_code": "OtherError", "info": "x" * 51}], "/params/errors/0/info"),
        ("errors", [{"error_code": "OtherError", "vendor_id": "x" * 256}], "/params/errors/0/vendor_id"),
        ("errors", [{"error_code": "OtherError", "vendor_error_code": 5}], "/params/errors/0/vendor_error_code"),
        ("errors", [{"error_code": "OtherError", "fatal": True}], "/params/errors/0/fatal"),
        ("errors", [{"error_code": "OtherError", "inoperative": "no"}], "/params/errors/0/inoperative"),
        ("timestamp", "2027-01-15 09:00", "/params/timestamp"),
        ("timestamp", "2027-01-15T09:00:00", "/params/timestamp"),
        ("timestamp", 1_800_000_000, "/params/timestamp"),
        ("measurements", [{"measurand": "Volts", "value": 1}], "/params/measurements/0/measurand"),
    ],
)
def test_report_refuses_a_bad_field_by_its_path(field: str, value: Any, path: str) -> None:
    """CORE-STAT-15, CORE-MV-15: and says what is allowed."""
    error = refused({**FULL, field: value})
    assert error.path == path
    assert error.hint


def test_report_names_the_field_that_was_probably_meant() -> None:
    """CORE-RPC-18: an unknown name is an error and not ignored."""
    error = refused({"connector_id": 1, "enrgy_wh": 5})
    assert (error.path, error.hint) == ("/params/enrgy_wh", "did you mean energy_wh")


def rows(params: dict[str, Any]) -> list[Report | LocalError]:
    table = read_many(params)
    found: list[Report | LocalError] = []
    for index in range(len(table.rows)):
        try:
            found.append(table.read(index, parse_readings))
        except LocalError as error:
            found.append(error)
    return found


def test_columns_give_the_same_as_objects() -> None:
    """rpc.md connector.report_many: null is not reported. CORE-MV-06 names the columns of measurands."""
    columns = ["connector_id", "plugged", "energy_wh", "Voltage.L1", "Power.Active.Import"]
    by_columns = rows({"columns": columns, "rows": [[1, True, 5, 230, None], [2, None, None, None, None]]})
    voltage = {"measurand": "Voltage", "phase": "L1", "value": 230}
    by_objects = rows(
        {
            "reports": [
                {"connector_id": 1, "plugged": True, "energy_wh": 5, "measurements": [voltage]},
                {"connector_id": 2},
            ]
        }
    )
    assert by_columns == by_objects


def test_bad_row_is_refused_by_itself() -> None:
    """rpc.md: a bad row refuses that row only."""
    found = rows({"columns": ["connector_id", "energy_wh"], "rows": [[1, 5], [2, "x"], [3], [4, 6]]})
    assert [isinstance(row, LocalError) for row in found] == [False, True, True, False]
    assert [row.path for row in found if isinstance(row, LocalError)] == ["/params/rows/1/energy_wh", "/params/rows/2"]


@pytest.mark.parametrize(
    ("params", "path", "code"),
    [
        ({}, "/params", "invalid_params"),
        ({"columns": ["connector_id"]}, "/params", "invalid_params"),
        ({"reports": [], "rows": []}, "/params", "invalid_params"),
        ({"reports": {}}, "/params/reports", "invalid_params"),
        ({"reports": [{}] * 1_001}, "/params/reports", "too_large"),
        ({"columns": ["plugged"], "rows": []}, "/params/columns", "invalid_params"),
        ({"columns": ["connector_id", "connector_id"], "rows": []}, "/params/columns", "invalid_params"),
        ({"columns": ["connector_id", "Volts"], "rows": []}, "/params/columns/1", "invalid_params"),
        ({"columns": "connector_id", "rows": []}, "/params/columns", "invalid_params"),
        ({"reports": [], "connectors": 1}, "/params/connectors", "invalid_params"),
    ],
)
def test_form_that_is_wrong_refuses_everything(params: dict[str, Any], path: str, code: str) -> None:
    """rpc.md connector.report_many."""
    with pytest.raises(LocalError) as caught:
        rows(params)
    assert (caught.value.path, caught.value.code) == (path, code)


@pytest.mark.parametrize(
    ("members", "energy_wh"),
    [({"value": "12.3456", "unit": "kWh"}, 12_346), ({"value": 7, "phase": "L1"}, None), ({"value": 7}, 7)],
)
def test_register_among_the_measurements_is_energy_wh_by_another_name(
    members: dict[str, Any], energy_wh: int | None
) -> None:
    """CORE-MV-10, AMB-19: so that it passes the meter guard; energy_wh itself has precedence."""
    item = {"measurand": "Energy.Active.Import.Register", **members}
    assert read_report({"connector_id": 1, "measurements": [item]}, parse_readings).energy_wh == energy_wh
    for params in ({"measurements": [item], "energy_wh": 5}, {"energy_wh": 5, "measurements": [item]}):
        assert read_report({"connector_id": 1, **params}, parse_readings).energy_wh == 5


def test_register_in_a_column_is_energy_wh_by_another_name() -> None:
    """CORE-MV-10: null is not reported."""
    columns = ["connector_id", "Energy.Active.Import.Register", "Voltage"]
    found = rows({"columns": columns, "rows": [[1, 7, 230], [2, None, 231]]})
    assert [row.energy_wh for row in found if isinstance(row, Report)] == [7, None]
