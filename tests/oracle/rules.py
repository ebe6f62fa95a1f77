"""Where our verdict differs from the JSON schemas on purpose: every rule by name.

Owns the whole list. A verdict is right when it equals: the schema accepts the payload after the tolerances, and no
stricter rule refuses it. Must never hold a rule without its source. Sources: messages.md section 1 (rows 1 to 15),
requirements-j-security.md 1.6, 1.7 and section 7 (D-07).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from tests.oracle.schemas import Path, Payload, Schema, nodes, schema

I32 = range(-(2**31), 2**31)
I64 = range(-(2**63), 2**63)
WIDE = frozenset(("transactionId",))
NOT_NEGATIVE = frozenset(
    ("connectorId", "stackLevel", "duration", "startPeriod", "retries", "retryInterval")
)  # fmt: skip
ANSWERED_BY_STATUS = ("GetCompositeSchedule", "request")
"""Whose numbers below 0 are Rejected, not refused (CORE-SC-40, SCA-35)."""
ABOVE_ZERO_IN_STRICT = {
    ("RemoteStartTransaction", "request"), ("UnlockConnector", "request"), ("StartTransaction", "request"),
}  # fmt: skip
ID_TOKENS = frozenset(("idTag", "parentIdTag"))
LOOSE_TIMES = frozenset(("currentTime",))
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|[+-](\d\d):(\d\d))", re.ASCII)
_FIELD = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|[+-](\d\d)(?::?(\d\d))?|)", re.ASCII)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.ASCII | re.DOTALL)

_WITH_ID_TAG_INFO = ("Authorize", "StartTransaction", "StopTransaction")

Place = tuple[Path, Any, Schema]
Where = tuple[str, str]
"""Action and direction."""


def is_date_time(text: str, strict: bool) -> bool:
    """RFC 3339; leniently also what the field writes (X-36): no offset, a short offset, a blank for T."""
    found = (_RFC_3339 if strict else _FIELD).fullmatch(text)
    if not found:
        return False
    try:
        datetime.fromisoformat(f"{found[1].replace('0000-', '0004-', 1)}T{found[2]}")
    except ValueError:
        return False
    return int(found[4] or 0) < 24 and int(found[5] or 0) < 60


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def bad_date_time(where: Where, place: Place, strict: bool) -> bool:
    """Row 9, J-256: a date-time must be one; J-307: currentTime of a confirmation need not."""
    path, value, node = place
    loose = where[1] == "confirmation" and path[-1] in LOOSE_TIMES
    return (
        node.get("format") == "date-time" and isinstance(value, str) and not loose and not is_date_time(value, strict)
    )


def bad_uri(where: Where, place: Place, strict: bool) -> bool:
    """Row 9, J-256: an anyURI must be absolute."""
    _, value, node = place
    return node.get("format") == "uri" and isinstance(value, str) and not _URI.fullmatch(value)


def out_of_range(where: Where, place: Place, strict: bool) -> bool:
    """Row 7, J-256: integers have ranges, connectors and counts are not negative."""
    path, value, node = place
    if node.get("type") != "integer" or not _is_integer(value):
        return False
    name = path[-1]
    wide = name in WIDE or where == ("BootNotification", "confirmation")
    least = 0
    if strict and name == "connectorId" and where in ABOVE_ZERO_IN_STRICT:
        least = 1
    is_negative = name in NOT_NEGATIVE and value < least and where != ANSWERED_BY_STATUS
    return is_negative or value not in (I64 if wide else I32)


def strict_transaction_id(where: Where, place: Place, strict: bool) -> bool:
    """Vector start-txid-13-digits: strict mode holds StartTransaction.conf to 32 bits."""
    path, value, _ = place
    return (
        strict
        and where == ("StartTransaction", "confirmation")
        and path == ("transactionId",)
        and (_is_integer(value) and value not in I32)
    )


def bad_decimal(where: Where, place: Place, strict: bool) -> bool:
    """J-256: limits are not negative and fit 64 bits in tenths."""
    _, value, node = place
    number = node.get("type") == "number" and isinstance(value, int | float) and not isinstance(value, bool)
    return number and (value < 0 or value > 10**14)


def bad_phases(where: Where, place: Place, strict: bool) -> bool:
    """J-256: 1 to 3 phases."""
    path, value, _ = place
    return path[-1:] == ("numberPhases",) and _is_integer(value) and value not in (1, 2, 3)


def empty_id_token(where: Where, place: Place, strict: bool) -> bool:
    """Row 8: an id tag is not empty."""
    path, value, _ = place
    return path[-1] in ID_TOKENS and value == ""


def misspelt_unit(where: Where, place: Place, strict: bool) -> bool:
    """Row 1: Celcius and Hertz are legal nowhere in the standard."""
    path, value, _ = place
    return path[-1] == "unit" and value in ("Celcius", "Hertz")


def empty_list(where: Where, place: Place, strict: bool) -> bool:
    """Rows 2 and 4: 1..* lists that the schemas let be empty."""
    path, value, _ = place
    return path[-1] in ("chargingSchedulePeriod", "sampledValue") and value == []


def nul_character(where: Where, place: Place, strict: bool) -> bool:
    """J-256: U+0000 in text."""
    _, value, node = place
    return node.get("type") == "string" and isinstance(value, str) and "\0" in value


STRICTER: tuple[Callable[[Where, Place, bool], bool], ...] = (
    bad_date_time, bad_uri, out_of_range, strict_transaction_id, bad_decimal, bad_phases, empty_id_token, misspelt_unit,
    empty_list, nul_character,
)  # fmt: skip


def refused_by(where: Where, payload: Payload, strict: bool) -> list[str]:
    """The names of the stricter rules that the payload breaks."""
    places = [(path, value, node) for path, value, node in nodes(payload, schema(*where)) if path and node]
    return [rule.__name__ for rule in STRICTER if any(rule(where, place, strict) for place in places)]


def tolerated(where: Where, payload: Any, strict: bool) -> Any:
    """The payload as it is read: tolerances of D-07 and J-207 when lenient, those of J-276 in every confirmation."""
    if payload is None:
        return {}
    if where[1] == "confirmation" and payload == [] and not schema(*where).get("properties"):
        return {}
    if not isinstance(payload, Mapping):
        return payload
    taken = _object((where, strict), payload, schema(*where))
    if where == ("BootNotification", "confirmation") and "interval" not in taken and "heartbeatInterval" in payload:
        # J-213: another name for the same member
        taken |= _object((where, strict), {"interval": payload["heartbeatInterval"]}, schema(*where))
    return taken


def _object(mode: tuple[Where, bool], value: Mapping[str, Any], node: Schema) -> Payload:
    where, strict = mode
    known, required = node.get("properties", {}), node.get("required", ())
    if strict and where[1] == "request":
        return {name: _value(mode, name, item, known[name]) if name in known else item for name, item in value.items()}
    return {
        name: _value(mode, name, member, known[name])
        for name, member in value.items()
        if name in known and not absent(where, member, known[name], optional=name not in required)
    }


def absent(where: Where, value: Any, node: Schema, *, optional: bool) -> bool:
    """Null counts as absent; in a confirmation an empty text of an optional member too (J-276)."""
    text = node["type"] == "string" and "enum" not in node
    return value is None or (where[1] == "confirmation" and optional and text and value == "")


def _value(mode: tuple[Where, bool], name: str, value: Any, node: Schema) -> Any:
    kind, strict = node["type"], mode[1]
    if kind == "object" and isinstance(value, Mapping):
        return _object(mode, value, node)
    if kind == "array" and isinstance(value, list):
        return [_value(mode, name, item, node["items"]) for item in value]
    if kind == "integer" and isinstance(value, float) and value.is_integer() and not strict:
        return int(value)  # J-212
    if kind == "number" and isinstance(value, float) and value >= 0 and not strict:
        return float(Decimal(str(value)).quantize(Decimal("0.1"), ROUND_DOWN))
    return _text(*mode, name, value)


def _text(where: Where, strict: bool, name: str, value: Any) -> Any:
    if where[0] == "DataTransfer" and name == "data" and not strict:
        return value if isinstance(value, str) else "JSON"
    if name == "requestedMessage" and isinstance(value, str) and "\0" not in value:
        return "Heartbeat"  # 1.6: an unknown one is answered by a status
    if where == ("StartTransaction", "confirmation") and name == "transactionId" and isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d{1,18}", value, re.ASCII) else value
    if where[1] == "confirmation" and name == "status" and where[0] in _WITH_ID_TAG_INFO:
        return "Invalid" if isinstance(value, str) else value
    return value
