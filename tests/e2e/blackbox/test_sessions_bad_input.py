"""Every parameter of every controller method, wrong in every way: an error with its field, and nothing changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .sessions import Driver, Json, Site, site_of

# The connectors of this module: 1 charges, 2 is plugged, 3 is idle, 4 is somebody else's.
LONG_TAG = "x" * 21
TEXT_51 = "e" * 51


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Site, Driver]]:
    with site_of(5) as site:
        driver, n, _ = site.charging(plug_id="p")
        assert n == 1
        driver.attach(2, 3)
        driver.plug(2)
        driver.idle(3)
        other = site.driver(4)
        other.plug(4)
        driver.report(1, energy_wh=1010)
        site.books.wait("StatusNotification", connectorId=4, status="Preparing")
        site.books.wait("StatusNotification", connectorId=1, status="Charging")
        yield site, driver


def everything(site: Site, driver: Driver) -> Any:
    """All that a refused request must leave as it was."""
    return (
        driver.call("connector.list"),
        driver.call("outbox.list", limit=100),
        driver.call("transaction.list"),
        driver.call("reservation.list"),
        driver.call("charge_point.get")["queue"],
        [call for call in site.books.calls if call[0] != "Heartbeat"],
    )


def refused(scene: tuple[Site, Driver], method: str, params: Json, path: str, code: int = -32602) -> None:
    """The request is refused with this code and a path that begins so; before = after."""
    site, driver = scene
    before = everything(site, driver)
    error = driver.fails(method, params)
    assert error.code == code, error.error
    assert set(error.data) >= {"code", "path", "hint"}, error.error
    assert error.data["path"].startswith(path), error.error
    assert error.error["message"]
    assert "Traceback" not in json.dumps(error.error)
    assert everything(site, driver) == before


NOT_BOOLEAN: list[Any] = [0, 1, "true", [], {}]
BAD_LEVELS: dict[str, list[Any]] = {
    "plugged": NOT_BOOLEAN,
    "ev_ready": NOT_BOOLEAN,
    "evse_ready": NOT_BOOLEAN,
    "plug_id": [1.5, True, [], {}],
    "energy_wh": ["1010", 1010.5, True, [], -1, 2**31, 1e30],
    "permit_seq": ["1", 1.5, True, -1, 10**9],
    "max_current_a": ["16", True, -1, [], -0.1],
    "timestamp": [5, "", "now", "2030-13-01T00:00:00Z", "2020-01-01", "2098-01-01T00:00:00Z", "2021-01-01T00:00:00Z"],
    "measurements": [{}, "x", 5, [5], [{}], [None]],
    "errors": [{}, "GroundFailure", [5], ["GroundFailure"], [{}], [None]],
    "surprise": [1],
    "Plugged": [True],
    "transaction_id": [1001],
}
REPORT = [(name, value) for name, values in BAD_LEVELS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), REPORT, ids=lambda v: json.dumps(v)[:30])
def test_report_with_a_bad_level_is_refused_whole(scene: tuple[Site, Driver], name: str, value: Any) -> None:
    """Issue "Bad input gets", rpc.md connector.report: the good levels beside it do not count either."""
    good = {"ev_ready": False, "energy_wh": 1011}
    refused(scene, "connector.report", {"connector_id": 1, **good, name: value}, f"/params/{name}")


@pytest.mark.parametrize(
    ("measurement", "member"),
    [
        ({"measurand": "Nope", "value": 1}, "measurand"),
        ({"measurand": 5, "value": 1}, "measurand"),
        ({"measurand": "Voltage"}, "value"),
        ({"measurand": "Voltage", "value": None}, "value"),
        ({"measurand": "Voltage", "value": True}, "value"),
        ({"measurand": "Voltage", "value": "high"}, "value"),
        ({"measurand": "Voltage", "value": ""}, "value"),
        ({"measurand": "Voltage", "value": "NaN"}, "value"),
        ({"measurand": "Voltage", "value": "Infinity"}, "value"),
        ({"measurand": "Voltage", "value": [230]}, "value"),
        ({"measurand": "Voltage", "value": 230, "unit": "A"}, "unit"),
        ({"measurand": "Voltage", "value": 230, "unit": "v"}, "unit"),
        ({"measurand": "Frequency", "value": 50, "unit": "Hertz"}, "unit"),
        ({"measurand": "Voltage", "value": 230, "phase": "L9"}, "phase"),
        ({"measurand": "Voltage", "value": 230, "phase": 1}, "phase"),
        ({"measurand": "Voltage", "value": 230, "location": "Moon"}, "location"),
        ({"measurand": "Voltage", "value": 230, "context": "Sometimes"}, "context"),
        ({"measurand": "Voltage", "value": 230, "format": "Cooked"}, "format"),
        ({"measurand": "Voltage", "value": 230, "colour": "red"}, "colour"),
    ],
    ids=lambda v: json.dumps(v)[:70],
)
def test_report_with_a_bad_measurement_names_its_member(
    scene: tuple[Site, Driver], measurement: Json, member: str
) -> None:
    """Issue "Bad input gets" (unknown measurand), messages.md SampledValue; a good one before it does not count."""
    _site, driver = scene
    good = {"measurand": "Power.Active.Import", "value": 1}
    params = {"connector_id": 1, "measurements": [good, measurement], "ev_ready": False}
    refused(scene, "connector.report", params, "/params/measurements/1")
    error = driver.fails("connector.report", params)
    assert error.data["path"] in {f"/params/measurements/1/{member}", "/params/measurements/1"}


@pytest.mark.parametrize(
    ("error", "member"),
    [
        ({"error_code": "Nope"}, "error_code"),
        ({"error_code": "NoError"}, "error_code"),
        ({"error_code": 5}, "error_code"),
        ({"error_code": "GroundFailure", "info": TEXT_51}, "info"),
        ({"error_code": "GroundFailure", "info": 5}, "info"),
        ({"error_code": "GroundFailure", "vendor_error_code": TEXT_51}, "vendor_error_code"),
        ({"error_code": "GroundFailure", "vendor_id": "v" * 256}, "vendor_id"),
        ({"error_code": "GroundFailure", "inoperative": "yes"}, "inoperative"),
        ({"error_code": "GroundFailure", "inoperative": 1}, "inoperative"),
        ({"error_code": "GroundFailure", "severity": 1}, "severity"),
    ],
    ids=lambda v: json.dumps(v)[:70],
)
def test_report_with_a_bad_error_names_its_member(scene: tuple[Site, Driver], error: Json, member: str) -> None:
    """CORE-STAT-15: -32602, nothing sent, state unchanged."""
    params = {"connector_id": 1, "errors": [{"error_code": "WeakSignal"}, error], "ev_ready": False}
    refused(scene, "connector.report", params, "/params/errors/1")
    told = scene[1].fails("connector.report", params)
    assert told.data["path"] in {f"/params/errors/1/{member}", "/params/errors/1"}


BAD_CONNECTORS: list[tuple[Any, int]] = [
    (6, -32002),
    (-1, -32002),
    (2**31, -32002),
    ("1", -32602),
    (1.5, -32602),
    (True, -32602),
    (None, -32602),
    ([1], -32602),
]
OF_A_CONNECTOR: dict[str, Json] = {
    "connector.report": {"ev_ready": False},
    "connector.get": {},
    "connector.stop_transaction": {},
    "connector.set_availability": {"available": False},
    "connector.authorize": {"id_tag": "NEW"},
}


@pytest.mark.parametrize("method", OF_A_CONNECTOR)
@pytest.mark.parametrize(("connector_id", "code"), BAD_CONNECTORS, ids=str)
def test_connector_that_is_none_is_refused(
    scene: tuple[Site, Driver], method: str, connector_id: Any, code: int
) -> None:
    """rpc.md: -32002 for an unknown connector, -32602 for a wrong type (or for what no connector id can be)."""
    site, driver = scene
    before = everything(site, driver)
    error = driver.fails(method, OF_A_CONNECTOR[method] | {"connector_id": connector_id})
    assert error.code == code or (code == -32002 and error.code == -32602 and connector_id in {-1, 2**31}), error.error
    assert error.data["path"] == "/params/connector_id"
    assert error.data["hint"]
    assert everything(site, driver) == before


@pytest.mark.parametrize("method", ["connector.report", "connector.stop_transaction"])
def test_connector_of_another_controller_is_not_touched(scene: tuple[Site, Driver], method: str) -> None:
    """T40, S3: -32011 for what is attached elsewhere and for what nobody has attached."""
    for connector_id in (4, 5):
        params = {"connector_id": connector_id} | ({"ev_ready": False} if method == "connector.report" else {})
        refused(scene, method, params, "/params/connector_id", -32011)


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("connector.report", {"ev_ready": False}, "/params"),
        ("connector.authorize", {}, "/params"),
        ("connector.authorize", {"connector_id": 2}, "/params"),
        ("connector.authorize", {"id_tag": LONG_TAG, "connector_id": 2}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": "", "connector_id": 2}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": 5, "connector_id": 2}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": None, "connector_id": 2}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": "A", "connector_id": 2, "pin": "1"}, "/params/pin"),
        ("connector.stop_transaction", {}, "/params"),
        ("connector.stop_transaction", {"connector_id": 1, "reason": "Because"}, "/params/reason"),
        ("connector.stop_transaction", {"connector_id": 1, "reason": "local"}, "/params/reason"),
        ("connector.stop_transaction", {"connector_id": 1, "reason": 5}, "/params/reason"),
        ("connector.stop_transaction", {"connector_id": 1, "id_tag": LONG_TAG}, "/params/id_tag"),
        ("connector.stop_transaction", {"connector_id": 1, "id_tag": 5}, "/params/id_tag"),
        ("connector.stop_transaction", {"connector_id": 1, "force": True}, "/params/force"),
        ("connector.set_availability", {"connector_id": 3}, "/params"),
        ("connector.set_availability", {"connector_id": 3, "available": "no"}, "/params/available"),
        ("connector.set_availability", {"connector_id": 3, "available": 0}, "/params/available"),
        ("controller.attach", {}, "/params"),
        ("controller.attach", {"connectors": []}, "/params/connectors"),
        ("controller.attach", {"connectors": "all"}, "/params/connectors"),
        ("controller.attach", {"connectors": "3-2"}, "/params/connectors"),
        ("controller.attach", {"connectors": [5, "5"]}, "/params/connectors"),
        ("controller.attach", {"connectors": 1.5}, "/params/connectors"),
        ("controller.attach", {"connectors": True}, "/params/connectors"),
        ("controller.attach", {"connectors": 5, "takeover": "yes"}, "/params/takeover"),
        ("controller.attach", {"connectors": 5, "steal": True}, "/params/steal"),
        ("controller.detach", {"connectors": "x"}, "/params/connectors"),
        ("controller.detach", {"connectors": 3, "now": True}, "/params/now"),
        ("connector.list", {"connectors": "x"}, "/params/connectors"),
        ("connector.list", {"limit": 1}, "/params/limit"),
        ("connector.get", {}, "/params"),
        ("reservation.list", {"connectors": 1}, "/params/connectors"),
        ("outbox.list", {"limit": 0}, "/params/limit"),
        ("outbox.list", {"limit": "9"}, "/params/limit"),
        ("outbox.list", {"limit": -1}, "/params/limit"),
        ("outbox.retry", {}, "/params"),
        ("outbox.retry", {"id": 1}, "/params/id"),
        ("outbox.retry", {"id": "x" * 1000}, "/params/id"),
    ],
    ids=lambda v: json.dumps(v)[:70],
)
def test_request_with_a_bad_parameter_is_refused(
    scene: tuple[Site, Driver], method: str, params: Json, path: str
) -> None:
    """rpc.md rules: unknown, missing and wrong parameters are -32602 and are named."""
    refused(scene, method, params, path)


@pytest.mark.parametrize("position", ["/params/reports/1", "/params/rows/1"])
def test_bad_row_of_many_changes_nothing_of_its_connector(scene: tuple[Site, Driver], position: str) -> None:
    """rpc.md report_many: a bad row refuses that row only, and says which field of it."""
    site, driver = scene
    before = everything(site, driver)
    if "reports" in position:
        params: Json = {"reports": [{"connector_id": 1}, {"connector_id": 2, "ev_ready": 5, "plugged": False}]}
    else:
        params = {"columns": ["connector_id", "ev_ready", "plugged"], "rows": [[1, None, None], [2, 5, False]]}
    answer = driver.call("connector.report_many", **params)
    assert answer["changed"] == []
    assert [item["index"] for item in answer["errors"]] == [1]
    assert answer["errors"][0]["error"]["code"] == -32602
    assert answer["errors"][0]["error"]["data"]["path"].startswith("/params")
    assert everything(site, driver) == before


def test_after_all_that_the_session_ends_as_ever(scene: tuple[Site, Driver]) -> None:
    """Issue "Bad input gets": a wrong report never stops a running session by itself."""
    site, driver = scene
    transaction_id = site.running(driver, 1)
    driver.call("connector.stop_transaction", connector_id=1, id_tag="TAG")
    stop = site.books.wait("StopTransaction", transactionId=transaction_id)
    assert (stop["meterStop"], stop["reason"], stop["idTag"]) == (1010, "Local", "TAG")
