"""The same work done by others: each peer as one statement over a frame.

Owns how a competitor is used: always in its fastest documented way, decoders and validators built beforehand.
Must never handicap a peer with a Python call that its user could avoid. Source: OCPP-J 1.6 section 4 for the envelope.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import orjson
import pydantic
import simdjson
from ocpp.charge_point import camel_to_snake_case
from ocpp.messages import _validate_payload, unpack

from benches import reference_msgspec
from benches.corpus import Frame
from benches.stopwatch import Statement
from benches.table import Field, enums, messages
from ocpphub import _native

UniqueId = Annotated[str, msgspec.Meta(max_length=36)]


class CallArray(msgspec.Struct, array_like=True, tag=2, gc=False, forbid_unknown_fields=True):
    """The CALL envelope, payload unread."""

    unique_id: UniqueId
    action: str
    payload: msgspec.Raw


class ResultArray(msgspec.Struct, array_like=True, tag=3, gc=False):
    """The CALLRESULT envelope, payload unread."""

    unique_id: UniqueId
    payload: msgspec.Raw


_ENVELOPE = msgspec.json.Decoder(CallArray | ResultArray)
_PAYLOAD = {
    "call": {action: msgspec.json.Decoder(struct) for action, struct in reference_msgspec.REQUEST.items()},
    "result": {action: msgspec.json.Decoder(struct) for action, struct in reference_msgspec.CONFIRMATION.items()},
}


def _whole_call(action: str) -> msgspec.json.Decoder[Any]:
    fields = [("unique_id", UniqueId), ("action", Literal[action]), ("payload", reference_msgspec.REQUEST[action])]
    struct = msgspec.defstruct(action, fields, array_like=True, tag=2, gc=False, forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct)


def _whole_result(action: str) -> msgspec.json.Decoder[Any]:
    fields = [("unique_id", UniqueId), ("payload", reference_msgspec.CONFIRMATION[action])]
    return msgspec.json.Decoder(msgspec.defstruct(action, fields, array_like=True, tag=3, gc=False))


_WHOLE = {
    "call": {action: _whole_call(action) for action in reference_msgspec.REQUEST},
    "result": {action: _whole_result(action) for action in reference_msgspec.CONFIRMATION},
}


def decode(frame: Frame, *, outbound: bool = False) -> Statement:
    """Ours: decode and full validation, fields read on demand."""
    return _ours("decode(frame, pending)", frame, outbound)


def decode_payload(frame: Frame, *, outbound: bool = False) -> Statement:
    """Ours with every field materialised."""
    return _ours("decode(frame, pending).payload()", frame, outbound)


def _ours(source: str, frame: Frame, outbound: bool) -> Statement:
    function = _native.decode_request if outbound else _native.decode
    return Statement(source, {"decode": function, "frame": frame.data, "pending": frame.pending})


def msgspec_two_steps(frame: Frame) -> Statement:
    """Envelope with a raw payload, then the payload by its action."""
    names = {
        "envelope": _ENVELOPE.decode,
        "payload": {k: d.decode for k, d in _PAYLOAD[frame.kind].items()},
        "frame": frame.data,
        "pending": frame.pending,
    }
    key = "e.action" if frame.kind == "call" else "pending[e.unique_id]"
    return Statement(f"payload[(e := envelope(frame)) and {key}](e.payload)", names)


def msgspec_one_step(frame: Frame) -> Statement:
    """The action (or the id) peeked from the first bytes, then one typed decode of the whole array."""
    names = {
        "whole": {k.encode(): d.decode for k, d in _WHOLE[frame.kind].items()},
        "frame": frame.data,
        "pending": {i.encode(): a.encode() for i, a in frame.pending.items()},
    }
    key = "part[3]" if frame.kind == "call" else "pending[part[1]]"
    return Statement(f"whole[(part := frame[:120].split(b'\"', 4)) and {key}](frame)", names)


def orjson_loads(frame: Frame) -> Statement:
    """Parsing only."""
    return Statement("loads(frame)", {"loads": orjson.loads, "frame": frame.data})


def simdjson_parse(frame: Frame) -> Statement:
    """Bare parse into simdjson's own tape, nothing materialised."""
    return Statement("parse(frame)", {"parse": simdjson.Parser().parse, "frame": frame.data})


def ocpp_package(frame: Frame) -> Statement:
    """What mobilityhouse `ocpp` does with a received frame before the handler, without its hop to a thread."""
    names: dict[str, Any] = {
        "unpack": unpack,
        "validate": _validate_payload,
        "rename": camel_to_snake_case,
        "frame": frame.data,
        "action": frame.action,
    }
    if frame.kind == "call":
        return Statement("validate(m := unpack(frame), '1.6') or rename(m.payload)", names)
    source = "setattr(m := unpack(frame), 'action', action) or validate(m, '1.6') or rename(m.payload)"
    return Statement(source, names)


def orjson_jsonschema_rs(frame: Frame) -> Statement:
    """orjson, then the compiled JSON schema of the `ocpp` package."""
    position = 3 if frame.kind == "call" else 2
    names = {"loads": orjson.loads, "valid": _schema(frame.kind, frame.action).is_valid, "frame": frame.data}
    return Statement(f"valid(loads(frame)[{position}])", names)


@cache
def _schema(kind: str, action: str) -> Any:
    name = action if kind == "call" else f"{action}Response"
    schema = json.loads((files("ocpp") / "v16" / "schemas" / f"{name}.json").read_text("utf-8-sig"))
    return jsonschema_rs.validator_for(schema)


def pydantic_v2(frame: Frame) -> Statement:
    """One TypeAdapter over the whole array, models with the same rules."""
    adapter = _adapter(frame.kind, frame.action)
    return Statement("validate(frame)", {"validate": adapter.validate_json, "frame": frame.data})


@cache
def _adapter(kind: str, action: str) -> pydantic.TypeAdapter[Any]:
    direction = "request" if kind == "call" else "confirmation"
    message = next(m for m in messages() if (m.action, m.direction) == (action, direction))
    model = _model(message.action + direction, message.fields)
    unique_id = Annotated[str, pydantic.Field(max_length=36)]
    if kind == "call":
        return pydantic.TypeAdapter(tuple[Literal[2], unique_id, Literal[action], model])  # type: ignore[valid-type]
    return pydantic.TypeAdapter(tuple[Literal[3], unique_id, model])  # type: ignore[valid-type]


def _model(name: str, fields: tuple[Field, ...]) -> type[pydantic.BaseModel]:
    members: dict[str, Any] = {}
    for field in fields:
        annotation = _pydantic_type(field)
        members[field.name] = (annotation, ...) if field.required else (annotation | None, None)
    return pydantic.create_model(name, **members)


def _pydantic_type(field: Field) -> Any:
    plain: dict[str, Any] = {"integer": int, "decimal": float, "boolean": bool, "timestamp": pydantic.AwareDatetime}
    if field.fields:
        item: Any = _model(field.class_name, field.fields)
    elif field.enum and field.kind == "choice":
        item = Literal[tuple(enums()[field.enum])]
    else:
        limits: dict[str, Any] = {
            "min_length": field.min_length,
            "max_length": field.max_length,
            "ge": field.minimum,
            "le": field.maximum,
        }
        item = Annotated[
            plain.get(field.kind, str), pydantic.Field(**{k: v for k, v in limits.items() if v is not None})
        ]
    return list[item] if field.many else item
