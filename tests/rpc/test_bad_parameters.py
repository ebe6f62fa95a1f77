"""Every parameter of every method, wrong in every way its schema knows: refused by name, with nothing changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.hub_doubles import ClientDouble
from tests.rpc.furnished import DESCRIBED, SCHEMAS, Furnished, furnished_hub, right_params

PARSE_ERROR, INVALID_PARAMS, UNKNOWN_CONNECTOR, UNKNOWN_CHARGE_POINT, TOO_LARGE = -32700, -32602, -32002, -32003, -32010
NOT_EVEN_ONE: tuple[Any, ...] = ("", "x", "1-", "3-1", "1;2", "1.5", "-1", -1, 100_001, "1-100001", [])
NO_MEMBER: tuple[Any, ...] = (None, True, "1", 1.5, -1, 100_001, [1])
NO_CONNECTORS = (*((value, "") for value in NOT_EVEN_ONE), *(([1, value], "/1") for value in NO_MEMBER))
"""What is no set of connectors, and where."""
NAMED = ("id", "subscription", "feeder")
"""Parameters that name something: what is not there is refused whatever it looks like."""
Case = tuple[dict[str, Any], str, int]
"""Parameters, the path of what is wrong with them, and the code that answers it."""
pytestmark = pytest.mark.asyncio


def wrong_cases(name: str) -> Iterator[Case]:
    """One call for each way in which one parameter may be wrong."""
    for param in DESCRIBED[name]["params"]:
        right = right_params(name, param["name"])
        at = f"/params/{param['name']}"
        for value, path in SCHEMAS.wrong(param["schema"]):
            is_long = isinstance(value, list) and len(value) > 1_000 and param["name"] in ("reports", "rows")
            yield right | {param["name"]: value}, at + path, TOO_LARGE if is_long else INVALID_PARAMS
        if param["name"] == "connectors":
            yield from ((right | {"connectors": value}, at + path, INVALID_PARAMS) for value, path in NO_CONNECTORS)
        if param["required"]:
            yield {key: value for key, value in right.items() if key != param["name"]}, at, INVALID_PARAMS
    right = right_params(name)
    yield right | {"surprise": 1}, "/params/surprise", INVALID_PARAMS
    yield right | {"x" * 300: 1}, "/params/" + "x" * 50, INVALID_PARAMS
    yield right | {"charge_point": "CP9"}, "/params/charge_point", UNKNOWN_CHARGE_POINT


def foreign_cases(name: str) -> Iterator[Case]:
    """One call for each way to name a connector that a client with the range 1-2 of 3 does not have."""
    right = right_params(name)
    for param in DESCRIBED[name]["params"]:
        if param["name"] == "connector_id":
            yield from ((right | {"connector_id": each}, "/params/connector_id", 0) for each in (3, 0, -1, 99, 2**40))
        if param["name"] == "connectors":
            yield from ((right | {"connectors": each}, "/params/connectors", 0) for each in (3, [1, 3], "1-3", "0", 99))
        if param["name"] == "reports":
            reports = ({"reports": [{"connector_id": each}]} for each in (3, 0, -1, 99, 2**40))
            yield from ((params, "/params/reports/0/connector_id", 0) for params in reports)


async def refused(hub: Furnished, name: str, case: Case, client: ClientDouble | None = None) -> dict[str, Any]:
    """The error that answers a call, which must have changed nothing; a bad row's own error for one of many."""
    before = hub.changes()
    answer = await hub.ask(name, case[0], client)
    assert hub.changes() == before, (name, case)
    if name == "connector.report_many" and "result" in answer:
        assert [row["index"] for row in answer["result"]["errors"]] == [0], (name, case, answer)
        error = answer["result"]["errors"][0]["error"]
    else:
        assert "error" in answer, (name, case, answer)
        error = answer["error"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("name", sorted(DESCRIBED))
async def test_wrong_parameter_is_refused_by_its_path_and_changes_nothing(name: str) -> None:
    """T12: types, bounds, unknown and missing ones, made from what rpc.discover says of the method."""
    async with furnished_hub() as hub:
        before = await hub.state()
        for case in wrong_cases(name):
            error = await refused(hub, name, case)
            found = error["code"], error["data"]["path"]
            assert found == (case[2], case[1]), (name, case[0], error)
            assert error["data"]["hint"], (name, case[0], error)
            assert len(error["message"]) + len(error["data"]["hint"]) < 1_000

        assert await hub.state() == before


@pytest.mark.parametrize("name", sorted(DESCRIBED))
async def test_connector_outside_of_the_range_is_unknown_whether_it_exists_or_not(name: str) -> None:
    """T04, T40, T41"""
    async with furnished_hub() as hub:
        before = await hub.state()
        answers = [await refused(hub, name, case, hub.ranged) for case in foreign_cases(name)]

        assert await hub.state() == before
    assert {error["code"] for error in answers} <= {UNKNOWN_CONNECTOR}
    assert [error["data"]["path"] for error in answers] == [case[1] for case in foreign_cases(name)]
    assert {error["data"]["hint"] for error in answers} <= {"1-2", "a connector that this client may name"}


@pytest.mark.parametrize("name", sorted(DESCRIBED))
async def test_value_at_a_bound_of_the_schema_is_not_refused_for_its_type(name: str) -> None:
    """What rpc.discover calls right is right: its bounds are those of the hub."""
    async with furnished_hub() as hub:
        for param in DESCRIBED[name]["params"]:
            if param["name"] in NAMED:
                continue
            for value in SCHEMAS.at_bounds(param["schema"]):
                answer = await hub.ask(name, right_params(name, param["name"]) | {param["name"]: value})
                path = answer.get("error", {}).get("data", {}).get("path")
                assert path != f"/params/{param['name']}", (value, answer)


def spoilt(name: str) -> Iterator[bytes]:
    """The line of a call that would be right, with one fault that no reader of JSON may let pass."""
    params = orjson.dumps(right_params(name))[:-1]
    comma = b"," if len(params) > 1 else b""
    for fault in (b'"x":%b' % (b"[" * 40 + b"]" * 40), b'"x":1,"x":1', b'"x":"\xff"', rb'"x":"\ud800"', b'"x":1e999'):
        yield b'{"jsonrpc":"2.0","id":1,"method":"%b","params":%b%b%b}}\n' % (name.encode(), params, comma, fault)


@pytest.mark.parametrize("name", sorted(DESCRIBED))
async def test_call_in_a_line_that_is_no_good_json_changes_nothing(name: str) -> None:
    """T06, T07: deep, duplicate, not UTF-8, a lone surrogate, a number beyond a double; and one too long."""
    async with furnished_hub() as hub:
        before = await hub.state()
        for line in spoilt(name):
            hub.client.send(line)
            assert hub.client.answer()["error"]["code"] == PARSE_ERROR, line

        assert await hub.state() == before
        long = hub.newcomer()
        long.send({"jsonrpc": "2.0", "id": 1, "method": name, "params": right_params(name) | {"x": "y" * 2**20}})
        assert long.answer()["error"]["code"] == TOO_LARGE
        assert await hub.state() == before
