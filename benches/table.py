"""The action table in the shape that the benches and oracles use.

Owns one reading of ``_native.actions()``. Must never state a rule of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ocpphub import _native

_UNBOUNDED = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Field:
    """One member; with ``many`` the kind and the limits are those of an item. ``kind`` as in ``_native.actions()``."""

    name: str
    kind: str
    required: bool
    many: bool = False
    min_items: int = 0
    max_items: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    enum: str | None = None
    class_name: str = ""
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """Request or confirmation of an action."""

    action: str
    direction: Literal["request", "confirmation"]
    fields: tuple[Field, ...]


def enums() -> dict[str, list[str]]:
    """Every enumeration by name."""
    return _native.enums()


@cache
def messages() -> tuple[Message, ...]:
    """Every message, in the order of the table."""
    directions: tuple[Literal["request"], Literal["confirmation"]] = ("request", "confirmation")
    return tuple(
        Message(action, direction, _fields(row[direction]))
        for action, row in _native.actions().items()
        for direction in directions
    )


def _fields(rows: list[dict[str, Any]]) -> tuple[Field, ...]:
    return tuple(_field(row) for row in rows)


def _field(row: dict[str, Any]) -> Field:
    many = row["kind"] == "list"
    item = row["item"] if many else row
    bounds = (item.get("min"), item.get("max"))
    minimum, maximum = (None, None) if bounds == _UNBOUNDED else bounds
    return Field(
        name=row["name"],
        kind=item["kind"],
        required=row["required"],
        many=many,
        min_items=row.get("min_items", 0),
        max_items=row.get("max_items"),
        min_length=item.get("min_length") or None,
        max_length=item.get("max_length"),
        minimum=0 if item["kind"] == "decimal" else minimum,
        maximum=maximum,
        enum=item.get("enumeration"),
        class_name=item.get("class", ""),
        fields=_fields(item.get("fields", [])),
    )
