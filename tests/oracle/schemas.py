"""The JSON schemas of the `ocpp` package as an oracle: load, generate valid payloads, mutate them.

Owns nothing of our own rules: valid payloads are drawn from the schema, never from the action table. Must never import
ocpphub. Source: ocpp/v16/schemas (core: OCA 2019:12, security: OCA 2020:3).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft4Validator

Schema = dict[str, Any]
Payload = dict[str, Any]
Path = tuple[str | int, ...]

DATE_TIMES = (
    "2026-11-21T07:47:00Z",
    "2026-11-21T07:47:00.123Z",
    "2024-02-29T23:59:59+01:00",
    "1999-12-31T00:00:00-00:00",
)
URIS = ("ftp://u:p@h.example/up", "https://h.example/f?x=1", "file:///tmp/x")
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3.0, 1.5, 0.1, 8.1, 16.25, -0.1, 2**31 - 1, 2**31, 2**53 + 1, -(2**31), "", "12", "x",
    "a\u0000b",
    "\U0001f600" * 20, "\U0001f600" * 21, "é" * 51, "k" * 256, "v" * 501, "P" * 5501, [], {}, [1], ["x"], [[]],
    [{}], {"x": 1}, "2026-13-01T00:00:00Z", "2026-11-21 07:47:00", "2026-11-21T07:47:00", "2026-11-21T07:47:00+0100",
    "2026-11-21", "yesterday", "2026-02-29T00:00:00Z", "uploads/x", "http://", "accepted", "Hertz", "Celcius",
    "Celsius",
    "Accepted", "TxProfile",
)  # fmt: skip


@cache
def schema(action: str, direction: str) -> Schema:
    """The schema with its references resolved."""
    name = action if direction == "request" else f"{action}Response"
    text = (files("ocpp") / "v16" / "schemas" / f"{name}.json").read_text("utf-8-sig")
    loaded: Schema = json.loads(text, parse_float=Decimal)
    resolved: Schema = _resolve(loaded, loaded.get("definitions", {}))
    return resolved


def _resolve(node: Any, definitions: Schema) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _resolve(definitions[node["$ref"].rpartition("/")[2]], definitions)
        kept = {key: value for key, value in node.items() if key not in ("definitions", "$id", "$schema")}
        return {key: _resolve(value, definitions) for key, value in kept.items()}
    return [_resolve(item, definitions) for item in node] if isinstance(node, list) else node


@cache
def _validator(action: str, direction: str) -> Draft4Validator:
    return Draft4Validator(schema(action, direction))


def accepts(action: str, direction: str, payload: Any) -> bool:
    """Whether the schema accepts; numbers are read as decimals, else multipleOf 0.1 would refuse 8.1."""
    exact = json.loads(json.dumps(payload), parse_float=Decimal)
    return bool(_validator(action, direction).is_valid(exact))


@cache
def payloads(action: str, direction: str) -> st.SearchStrategy[Payload]:
    """Payloads that the schema accepts."""
    return _values(schema(action, direction))


def _values(node: Schema) -> st.SearchStrategy[Any]:
    kind = node["type"]
    if kind == "object":
        members = {name: _values(member) for name, member in node.get("properties", {}).items()}
        required = set(node.get("required", ()))
        return st.fixed_dictionaries(
            {name: members[name] for name in members if name in required},
            optional={name: member for name, member in members.items() if name not in required},
        )
    if kind == "array":
        return st.lists(_values(node["items"]), min_size=node.get("minItems", 0), max_size=3)
    if kind == "string":
        return _texts(node)
    if kind == "integer":
        return st.integers(0, 100) | st.sampled_from((2**31 - 1, -1, -(2**31)))
    if kind == "number":
        return st.integers(0, 4_000).map(lambda tenths: tenths / 10) | st.integers(0, 63)
    return st.booleans()


def _texts(node: Schema) -> st.SearchStrategy[str]:
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node.get("format") == "date-time":
        return st.sampled_from(DATE_TIMES)
    if node.get("format") == "uri":
        return st.sampled_from(URIS)
    longest = node.get("maxLength", 600)
    full = st.sampled_from(("x", "é", "電", "\U0001f50c")).map(lambda character: character * longest)
    short = st.text(st.characters(exclude_categories=["Cs"]), max_size=min(longest, 12))
    return short | full


def nodes(value: Any, node: Schema | None, path: Path = ()) -> Iterator[tuple[Path, Any, Schema | None]]:
    """Every value of a payload with its place and its schema; the schema of an unknown member is None."""
    yield path, value, node
    if isinstance(value, dict):
        known = (node or {}).get("properties", {})
        for name, member in value.items():
            yield from nodes(member, known.get(name), (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from nodes(item, (node or {}).get("items"), (*path, index))


def _odd() -> st.SearchStrategy[Any]:
    return st.sampled_from(ODD_VALUES).map(copy.deepcopy)


@st.composite
def mutated(draw: st.DrawFn, action: str, direction: str) -> Payload:
    """A valid payload with up to two changes at drawn places."""
    payload = copy.deepcopy(draw(payloads(action, direction)))
    for _ in range(draw(st.integers(1, 2))):
        places = [path for path, _, _ in nodes(payload, schema(action, direction)) if path]
        change = draw(st.sampled_from(("replace", "delete", "add", "text")))
        if change == "add" or not places:
            payload[draw(st.sampled_from(("customData", "interval", "Status", "x")))] = draw(_odd())
            continue
        *parents, last = draw(st.sampled_from(places))
        parent: Any = payload
        for step in parents:
            parent = parent[step]
        if change == "delete":
            del parent[last]
        elif change == "text" and isinstance(parent[last], str):
            parent[last] = draw(st.sampled_from((parent[last] + "x", parent[last][:-1], parent[last].swapcase())))
        else:
            parent[last] = draw(_odd())
    return payload
