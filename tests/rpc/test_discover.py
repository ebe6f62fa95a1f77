"""``rpc.discover``: an OpenRPC document by OpenRPC's own rules, and true: every method in it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from tests.rpc.furnished import DESCRIBED, DOCUMENT, SCHEMAS, furnished_hub, right_params

META = orjson.loads((Path(__file__).parent / "openrpc-meta-schema.json").read_bytes())
JSON_SCHEMA = "https://meta.json-schema.tools"
"""What OpenRPC calls a schema: draft 7, and the name of its member ``$ref`` there."""


def judge() -> Draft7Validator:
    reference = {"JSONSchemaObject": {"properties": {"$ref": {"type": "string"}}}}
    definitions = {"definitions": {**Draft7Validator.META_SCHEMA["definitions"], **reference}}
    draft_7 = Resource.from_contents({**Draft7Validator.META_SCHEMA, **definitions, "$id": JSON_SCHEMA})
    registry: Registry[Any] = Registry().with_resources([(JSON_SCHEMA, draft_7), (f"{JSON_SCHEMA}/", draft_7)])
    return Draft7Validator(META, registry=registry)


def test_document_is_valid_by_the_meta_schema_of_openrpc() -> None:
    """rpc.md rpc.discover"""
    assert [f"{error.json_path}: {error.message}" for error in judge().iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("openrpc",), "9.9"),
        (("methods", 0, "name"), 5),
        (("methods", 0, "result"), {"name": "result"}),
        (("methods", 2, "params", 0, "schema"), {"type": "strange"}),
        (("methods", 0, "paramStructure"), "by-magic"),
        (("components", "schemas", "ConnectorState"), {"required": "all"}),
    ],
)
def test_meta_schema_finds_what_is_wrong_in_a_document(path: tuple[Any, ...], value: Any) -> None:
    document = orjson.loads(orjson.dumps(DOCUMENT))
    at = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value

    assert not judge().is_valid(document)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", sorted(DESCRIBED))
async def test_method_called_by_its_own_schemas_answers_by_them(name: str) -> None:
    """rpc.md rpc.discover: with every parameter that goes with the others, made from its schema."""
    async with furnished_hub() as hub:
        params = right_params(name)
        described = {param["name"]: param["schema"] for param in DESCRIBED[name]["params"]}
        assert {each: SCHEMAS.errors(described[each], value) for each, value in params.items()} == {
            each: [] for each in params
        }

        answer = await hub.ask(name, params)

    assert "result" in answer, answer
    assert SCHEMAS.errors(DESCRIBED[name]["result"]["schema"], answer["result"]) == []


@pytest.mark.asyncio
async def test_report_of_the_whole_charge_point_is_answered_by_its_schema_too() -> None:
    """CORE-STAT-15: errors of connector 0."""
    async with furnished_hub() as hub:
        await hub.ask("controller.attach", {"connectors": 0})
        answer = await hub.ask("connector.report", {"connector_id": 0, "errors": []})

    assert answer["result"] == {"connector_id": 0}
    assert SCHEMAS.errors(DESCRIBED["connector.report"]["result"]["schema"], answer["result"]) == []


@pytest.mark.asyncio
async def test_client_that_asks_gets_the_whole_document() -> None:
    async with furnished_hub() as hub:
        answer = await hub.ask("rpc.discover", {})

    assert answer["result"] == orjson.loads(orjson.dumps(DOCUMENT))


@pytest.mark.parametrize("name", sorted(DESCRIBED))
def test_result_is_described_so_that_something_else_would_be_refused(name: str) -> None:
    """A result schema that takes anything says nothing."""
    result = DESCRIBED[name]["result"]["schema"]

    assert SCHEMAS.errors(result, {"surprise": 1})
    assert SCHEMAS.errors(result, 1.5)
