"""rpc/controller_methods.py: what reaches the core of a controller's calls, and who may make them."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.config import Role
from ocpphub.core.report import MAX_ROWS as CORE_MAX_ROWS
from ocpphub.core.vocabulary import AuthorizationStatus, ChargePointStatus, Reason
from ocpphub.rpc.controller_methods import CONTROLLER_SCHEMAS, MAX_ROWS
from ocpphub.rpc.methods import METHODS, discover
from tests import builders
from tests.hub_doubles import OTHER_UID, ClientDouble, rpc_settings, serve, turns
from tests.rpc.controlled import recorded_hub
from tests.rpc.test_signature import refusal

CP1, CP2 = builders.settings(connectors=5), builders.settings(identity="CP2", connectors=5)
RANGED = rpc_settings([Role("controller", OTHER_UID, None, (2, 3))])
OWNED: list[tuple[str, dict[str, Any]]] = [
    ("controller.attach", {"connectors": 4}),
    ("controller.detach", {"connectors": [2, 4]}),
    ("connector.report", {"connector_id": 4}),
    ("connector.authorize", {"id_tag": "T", "connector_id": 4}),
    ("connector.stop_transaction", {"connector_id": 4}),
]


@pytest.mark.asyncio
async def test_report_reaches_the_core_as_it_was_sent() -> None:
    async with recorded_hub(CP1) as (bench, recorders):
        client = ClientDouble(serve(bench))
        client.call("controller.attach", connectors=3)
        client.received()
        params = {"connector_id": 3, "energy_wh": 5, "anything": [1]}

        assert client.result("connector.report", **params) == {"connector_id": 3}

        name, controller, seen = recorders["CP1"].calls[-1]
        assert (name, seen) == ("report", params)
        assert controller is recorders["CP1"].calls[0][1]


@pytest.mark.asyncio
async def test_report_of_a_connector_that_is_not_attached_is_refused() -> None:
    async with recorded_hub(CP1) as (bench, _):
        error = ClientDouble(serve(bench)).error("connector.report", connector_id=3)

    assert (error["code"], error["data"]["code"]) == (-32011, "not_attached")


@pytest.mark.asyncio
@pytest.mark.parametrize("connector_id", [6, -1, 2**40])
async def test_report_of_no_connector_of_ours_never_reaches_the_core(connector_id: int) -> None:
    async with recorded_hub(CP1) as (bench, recorders):
        error = ClientDouble(serve(bench)).error("connector.report", connector_id=connector_id)

    assert (error["code"], error["data"]["hint"]) == (-32002, "0 to 5")
    assert recorders["CP1"].calls == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("method", "params"), OWNED)
async def test_controller_cannot_tell_a_foreign_connector_from_an_unknown_one(
    method: str, params: dict[str, Any]
) -> None:
    """T04, T40"""
    async with recorded_hub(CP1, rpc=RANGED) as (bench, recorders):
        client = ClientDouble(serve(bench), uid=OTHER_UID)
        name = next(name for name in params if name.startswith("connector"))
        unknown = [2, 99] if isinstance(params[name], list) else 99

        foreign = client.error(method, **params)

        assert foreign["code"] == -32002
        assert foreign == client.error(method, **{**params, name: unknown})
        assert recorders["CP1"].calls == []


@pytest.mark.asyncio
async def test_many_reports_come_with_the_connectors_that_the_client_may_name() -> None:
    """T40"""
    async with recorded_hub(CP1, rpc=RANGED) as (bench, recorders):
        client = ClientDouble(serve(bench), uid=OTHER_UID)
        params = {"columns": ["connector_id"], "rows": [[2], [4]]}

        assert client.result("connector.report_many", **params) == {"changed": [], "errors": []}
        assert ClientDouble(serve(bench, rpc=rpc_settings())).result("connector.report_many", reports=[]) is not None

        (_, _, seen, mine), (_, _, _, all_of_them) = recorders["CP1"].calls
        assert (seen, mine, all_of_them) == (params, [2, 3], [0, 1, 2, 3, 4, 5])


@pytest.mark.asyncio
async def test_commands_of_a_controller_reach_the_core_with_their_defaults() -> None:
    async with recorded_hub(CP1) as (bench, recorders):
        client, calls = ClientDouble(serve(bench)), recorders["CP1"].calls
        client.call("controller.attach", connectors=[3, 1], takeover=True)
        client.received()
        own = calls[0][1]

        assert client.result("connector.authorize", id_tag="TAG") == {"status": "Accepted"}
        assert client.result("connector.authorize", id_tag="TAG", connector_id=1) == {"status": "Accepted"}
        assert client.result("connector.stop_transaction", connector_id=1) == {"connector_id": 1}
        client.result("connector.stop_transaction", connector_id=1, reason="EmergencyStop", id_tag="TAG")
        assert client.result("connector.set_availability", connector_id=0, available=False) == "Scheduled"
        assert client.result("outbox.retry", id="q1") is True
        client.call("controller.detach", connectors="1")
        client.call("controller.detach")
        await turns()
        assert [row["result"] for row in client.received()] == [None, None]

        assert calls == [
            ("attach", own, [1, 3], True),
            ("authorize", own, "TAG", None),
            ("authorize", own, "TAG", 1),
            ("stop_transaction", own, 1, "Local", None),
            ("stop_transaction", own, 1, "EmergencyStop", "TAG"),
            ("set_availability", 0, False),
            ("outbox_retry", "q1"),
            ("detach", own, [1]),
            ("detach", own, None),
        ]


@pytest.mark.asyncio
async def test_attach_chooses_the_charge_point_of_the_connection_as_use_does() -> None:
    async with recorded_hub(CP1, CP2) as (bench, recorders):
        client = ClientDouble(serve(bench))
        assert client.error("connector.report", connector_id=1)["data"]["path"] == "/params/charge_point"

        client.send(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "controller.attach",
                "params": {"connectors": 1, "charge_point": "CP2"},
            },
            {"jsonrpc": "2.0", "id": 2, "method": "connector.report", "params": {"connector_id": 1}},
        )

        assert [row.get("id") for row in client.received()] == [1, None, 2]
        assert [name for name, *_ in recorders["CP2"].calls] == ["attach", "report"]


@pytest.mark.asyncio
async def test_attach_that_is_refused_chooses_nothing() -> None:
    async with recorded_hub(CP1, CP2) as (bench, _):
        client = ClientDouble(serve(bench))
        assert client.error("controller.attach", connectors=99, charge_point="CP2")["code"] == -32002

        assert client.error("connector.get", connector_id=1)["data"]["path"] == "/params/charge_point"


@pytest.mark.asyncio
async def test_lists_show_a_client_with_a_range_its_connectors_only() -> None:
    """T41"""
    async with recorded_hub(CP1, rpc=RANGED) as (bench, recorders):
        rows = [{"connector_id": connector_id} for connector_id in (0, 2, 4)] + [{"action": "BootNotification"}]
        recorders["CP1"].rows = rows
        ranged, whole = ClientDouble(serve(bench), uid=OTHER_UID), ClientDouble(serve(bench, rpc=rpc_settings()))

        for method, params in (("reservation.list", {}), ("outbox.list", {"limit": 9})):
            assert ranged.result(method, **params) == [{"connector_id": 2}]
            assert whole.result(method, **params) == rows


@pytest.mark.asyncio
async def test_client_below_the_role_drives_nothing() -> None:
    """T40"""
    roles = [Role("monitor", OTHER_UID, None, None), Role("controller", 7, None, None)]
    async with recorded_hub(CP1, rpc=rpc_settings(roles)) as (bench, recorders):
        server = serve(bench)
        monitor, controller = ClientDouble(server, uid=OTHER_UID), ClientDouble(server, uid=7)

        for method, params in OWNED:
            assert monitor.error(method, **params)["code"] == -32004
        for method in ("connector.set_availability", "outbox.retry"):
            assert controller.error(method)["code"] == -32004
        assert recorders["CP1"].calls == []
        assert monitor.result("reservation.list") == []


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("controller.attach", {}, "/params/connectors"),
        ("controller.attach", {"connectors": "all"}, "/params/connectors"),
        ("controller.attach", {"connectors": []}, "/params/connectors"),
        ("controller.attach", {"connectors": [1, "2"]}, "/params/connectors/1"),
        ("controller.attach", {"connectors": 1, "takeover": "yes"}, "/params/takeover"),
        ("controller.detach", {"connectors": None}, "/params/connectors"),
        ("connector.authorize", {}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": ""}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": "x" * 21}, "/params/id_tag"),
        ("connector.authorize", {"id_tag": "T", "connector_id": "1"}, "/params/connector_id"),
        ("connector.stop_transaction", {"connector_id": 1, "reason": "Bored"}, "/params/reason"),
        ("connector.stop_transaction", {"connector_id": 1, "id_tag": "x" * 21}, "/params/id_tag"),
        ("connector.stop_transaction", {"reason": "Local"}, "/params/connector_id"),
        ("connector.set_availability", {"connector_id": 1, "available": 1}, "/params/available"),
        ("outbox.list", {}, "/params/limit"),
        ("outbox.list", {"limit": 1001}, "/params/limit"),
        ("reservation.list", {"x": 1}, "/params/x"),
    ],
)
def test_parameters_of_controllers_that_are_wrong_are_refused_with_their_path(
    method: str, params: dict[str, Any], path: str
) -> None:
    error = refusal(method, **params)

    assert (error.code, error.path) == ("invalid_params", path)
    assert error.hint


def test_vocabulary_of_the_schemas_is_the_standards() -> None:
    state = CONTROLLER_SCHEMAS["ConnectorState"]
    assert set(state["properties"]["status"]["enum"]) == {str(status) for status in ChargePointStatus}
    assert set(METHODS["connector.authorize"].result["properties"]["status"]["enum"]) == {
        str(status) for status in AuthorizationStatus
    }
    reason = next(p for p in METHODS["connector.stop_transaction"].parameters if p.name == "reason")
    assert set(reason.kind.schema()["enum"]) < {str(reason) for reason in Reason}
    assert MAX_ROWS == CORE_MAX_ROWS


def test_discover_describes_every_field_of_a_report_and_refers_to_schemas_that_are_there() -> None:
    document = discover()
    methods = {row["name"]: row for row in document["methods"]}
    report = {param["name"]: param for param in methods["connector.report"]["params"]}

    assert list(report)[:4] == ["connector_id", "plugged", "plug_id", "ev_ready"]
    assert report["connector_id"]["required"] is True
    assert report["errors"]["schema"]["items"] == {"$ref": "#/components/schemas/ActiveError"}
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [each for member in value.values() for each in references(member)]
    return [each for member in value for each in references(member)] if isinstance(value, list) else []
