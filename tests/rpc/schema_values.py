"""Values made from JSON schemas of the interface: one that is right, and many that are wrong, each with its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft7Validator

LARGEST = 2**63 - 1
"""No line carries a larger integer."""
Wrong = tuple[Any, str]
"""A wrong value, and the JSON pointer to what is wrong in it."""
OF_EACH_TYPE: tuple[Any, ...] = (None, True, 7, -7, 1.5, "text", "", [], {})
MOMENT = "2027-01-15T08:00:00Z"
"""Now, for a hub whose CSMS is a double."""


class Schemas:
    """The schemas of one OpenRPC document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.components = document["components"]

    def validator(self, schema: dict[str, Any]) -> Draft7Validator:
        """What judges values; references are those of the document."""
        return Draft7Validator({"allOf": [schema], "components": self.components})

    def errors(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Why a value is not of this schema."""
        return [error.message for error in self.validator(schema).iter_errors(value)]

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema behind a reference."""
        if "$ref" in schema:
            found: dict[str, Any] = self.components["schemas"][schema["$ref"].rpartition("/")[2]]
            return found
        return schema

    def example(self, schema: dict[str, Any]) -> Any:
        """A value that is right."""
        schema = self.resolved(schema)
        for name in ("enum", "examples"):
            if name in schema:
                return schema[name][0]
        if "oneOf" in schema:
            return self.example(schema["oneOf"][0])
        kind = schema["type"][0] if isinstance(schema["type"], list) else schema["type"]
        match kind:
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "boolean":
                return True
            case "string":
                return MOMENT if schema.get("format") == "date-time" else "x" * max(1, schema.get("minLength", 1))
            case "array":
                is_filled = "minItems" in schema or "properties" in self.resolved(schema.get("items", {}))
                return [self.example(schema["items"])] if is_filled else []
            case _:
                return {name: self.example(schema["properties"][name]) for name in schema.get("required", ())}

    def wrong(self, schema: dict[str, Any]) -> Iterator[Wrong]:
        """Values of other types, beyond every bound, and with one wrong part."""
        schema = self.resolved(schema)
        judge = self.validator(schema)
        types = [value for value in OF_EACH_TYPE if not (isinstance(value, dict) and "properties" in schema)]
        yield from ((value, "") for value in types if not judge.is_valid(value))
        yield from ((value, "") for value in self._beyond(schema))
        if "items" in schema:
            yield from (([value], f"/0{path}") for value, path in self.wrong(schema["items"]))
        if "properties" in schema:
            yield from self._wrong_members(schema)

    def at_bounds(self, schema: dict[str, Any]) -> Iterator[Any]:
        """The outermost values that are right."""
        if "maxLength" in schema and "format" not in schema:
            yield "ä" * schema["maxLength"]
        yield from (schema[name] for name in ("minimum", "maximum") if name in schema)
        yield from schema.get("enum", ())

    def _beyond(self, schema: dict[str, Any]) -> Iterator[Any]:
        if "minimum" in schema:
            yield schema["minimum"] - 1
        if schema.get("maximum", LARGEST) < LARGEST:
            yield schema["maximum"] + 1
        if schema.get("minLength"):
            yield "x" * (schema["minLength"] - 1)
        if "maxLength" in schema:
            yield "x" * (schema["maxLength"] + 1)
        if "maxItems" in schema:
            yield [self.example(schema["items"])] * (schema["maxItems"] + 1)
        if schema.get("format") == "date-time":
            yield from ("yesterday", "2026-13-01T00:00:00Z", "2026-01-15", "2026-01-15T08:00:00")

    def _wrong_members(self, schema: dict[str, Any]) -> Iterator[Wrong]:
        right = self.example(schema)
        for name in schema.get("required", ()):
            yield {key: value for key, value in right.items() if key != name}, f"/{name}"
        for name, member in schema["properties"].items():
            yield from ((right | {name: value}, f"/{name}{path}") for value, path in self.wrong(member))
        yield right | {"surprise": 1}, "/surprise"
