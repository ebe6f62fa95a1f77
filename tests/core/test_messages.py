"""The TypedDicts of payloads against the action table."""

from __future__ import annotations

import inspect
from typing import Any, NotRequired, get_origin, get_type_hints

import pytest

from ocpphub import _native
from ocpphub.core import messages

CLASSES = [
    (name, kind)
    for name, kind in inspect.getmembers(messages, inspect.isclass)
    if kind.__module__ == messages.__name__ and name.endswith(("Request", "Confirmation"))
]
_TYPES = {"integer": int, "boolean": bool}


def fields_of(name: str) -> list[dict[str, Any]]:
    part = "request" if name.endswith("Request") else "confirmation"
    fields: list[dict[str, Any]] = _native.actions()[name.removesuffix("Request").removesuffix("Confirmation")][part]
    return fields


@pytest.mark.parametrize(("name", "kind"), CLASSES)
def test_messages_class_has_the_members_of_the_table(name: str, kind: Any) -> None:
    """CORE-RPC-18: names, and which of them are required."""
    # Annotations are text here, so the class itself does not know what is NotRequired.
    hints = get_type_hints(kind, include_extras=True)
    required = {member: get_origin(hint) is not NotRequired for member, hint in hints.items()}
    assert required == {item["name"]: item["required"] for item in fields_of(name)}


@pytest.mark.parametrize(("name", "kind"), CLASSES)
def test_messages_class_has_the_types_of_the_table(name: str, kind: Any) -> None:
    """CORE-RPC-18."""
    hints = get_type_hints(kind)
    for item in fields_of(name):
        hint = hints[item["name"]]
        if item["kind"] == "list":
            assert hint.__origin__ is list
        elif item["kind"] == "object":
            assert hint.__origin__ is dict
        else:
            assert hint is _TYPES.get(item["kind"], str)
