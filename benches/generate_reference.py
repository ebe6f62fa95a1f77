"""Writes reference_msgspec.py from the action table: ``python -m benches.generate_reference``.

Owns the translation of one table row into a msgspec annotation. Must never leave out a rule that msgspec can state
(length, enumeration, cardinality, range, date-time): a lax reference would make us look slow or fast for no reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benches.table import Field, Message, enums, messages

PATH = Path(__file__).with_name("reference_msgspec.py")
_PLAIN = {
    "text": "str",
    "any_text": "str",
    "open_choice": "str",
    "loose_timestamp": "str",
    "uri": "str",
    "integer": "int",
    "decimal": "float",
    "boolean": "bool",
    "timestamp": "datetime",
}
_HEADER = '''"""Typed msgspec structs of every OCPP 1.6 payload: the pinned reference of the frame benches.

Generated from the action table by benches/generate_reference.py; do not edit. Must never be laxer than msgspec allows.
Source: OCPP 1.6 edition 2 chapters 6 and 7, security white paper edition 2.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
'''


def generate() -> str:
    """The text of reference_msgspec.py for the current table."""
    parts = [_HEADER]
    table = messages()
    used = {field.enum for message in table for field in _all_fields(message.fields) if field.kind == "choice"}
    for name, values in sorted(enums().items()):
        if name in used:
            parts.append(_literal(name, values))
    written: dict[str, tuple[Field, ...]] = {}
    for message in table:
        parts.extend(_classes(_struct_name(message), message.fields, written))
    for direction in ("request", "confirmation"):
        rows = "".join(f'    "{m.action}": {_struct_name(m)},\n' for m in table if m.direction == direction)
        parts.append(f"\n\n{direction.upper()}: dict[str, type[Struct]] = {{\n{rows}}}\n")
    return "".join(parts)


def _struct_name(message: Message) -> str:
    return message.action + message.direction.title()


def _all_fields(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        yield field
        yield from _all_fields(field.fields)


def _literal(name: str, values: list[str]) -> str:
    rows = "".join(f'    "{value}",\n' for value in values)
    return f"\n{name} = Literal[\n{rows}]\n"


def _classes(name: str, fields: tuple[Field, ...], written: dict[str, tuple[Field, ...]]) -> Iterator[str]:
    """The class and, before it, the classes it is made of; each once."""
    for field in fields:
        if field.fields:
            yield from _classes(field.class_name, field.fields, written)
    if name in written:
        if written[name] != fields:
            raise ValueError(f"two classes called {name}")
        return
    written[name] = fields
    ordered = sorted(fields, key=lambda field: not field.required)
    body = "".join(f"    {field.name}: {_annotation(field)}\n" for field in ordered) or "    pass\n"
    yield f"\n\nclass {name}(Struct, gc=False):\n{body}"


def _annotation(field: Field) -> str:
    text = _item(field)
    if field.many:
        text = _limited(f"list[{text}]", min_length=field.min_items or None, max_length=field.max_items)
    return text if field.required else f"{text} | None = None"


def _item(field: Field) -> str:
    if field.fields:
        return field.class_name
    if field.enum and field.kind == "choice":
        return field.enum
    return _limited(
        _PLAIN[field.kind],
        min_length=field.min_length,
        max_length=field.max_length,
        ge=field.minimum,
        le=field.maximum,
    )


def _limited(plain: str, **limits: int | None) -> str:
    stated = ", ".join(f"{name}={value}" for name, value in limits.items() if value is not None)
    return f"Annotated[{plain}, Meta({stated})]" if stated else plain


if __name__ == "__main__":
    PATH.write_text(generate())
    sys.stdout.write(f"wrote {PATH.name}\n")
