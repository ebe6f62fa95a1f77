"""DATA: the methods about permits, and the schemas of what they carry.

Owns names, kinds and the texts that ``rpc.discover`` shows, as ``methods.py`` does. Must never check a limit: the core
does.

Implements: design rpc.md ``allocation.get`` and ``station.set_limit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ocpphub.api import ChargePoint
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.signature import CheckedByCore, Method, Parameter, Text


def _allocation_get(charge_point: ChargePoint, connectors: ConnectorSet) -> Iterator[bytes]:
    return charge_point.core.allocation(list(connectors))


_NUMBER: Final = {"type": "number", "minimum": 0}
_NULLABLE: Final = {"type": ["number", "null"], "minimum": 0}
_LIMIT: Final = {
    "limit_a": _NULLABLE,
    "claimed_a": _NULLABLE,
    "limit_w": _NUMBER,
    "claimed_w": _NUMBER,
}
ALLOCATION_SCHEMAS: Final[dict[str, Any]] = {
    "Allotted": {
        "type": "object",
        "properties": {
            "permit": {"type": "object"},
            "claim_a": _NUMBER,
            "composite_a": _NULLABLE,
            "reason": {"enum": ["full", "shared", "waiting", "below_minimum", "idle", "unattended", "unconfirmed"]},
        },
        "required": ["permit", "claim_a", "composite_a", "reason"],
    },
    "FeederState": {
        "type": "object",
        "properties": {"name": {"type": "string"}, **_LIMIT},
        "required": ["name", "limit_a", "claimed_a"],
    },
}
ALLOCATION_ROWS: Final = (
    Method(
        "allocation.get",
        "monitor",
        "parts",
        "Who may draw how much and why: limits, claims (what may still be drawn) and permits",
        {
            "type": "object",
            "properties": {
                **_LIMIT,
                "shortfall": {"type": "boolean"},
                "connectors": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Allotted"}},
                "feeders": {"type": "array", "items": {"$ref": "#/components/schemas/FeederState"}},
            },
            "required": ["limit_a", "claimed_a", "shortfall", "connectors", "feeders"],
        },
        (),
        _allocation_get,
    ),
    Method(
        "station.set_limit",
        "energy",
        "command",
        "Cap the charge point, or a feeder, at once and for a time; it survives a restart",
        {"type": "null"},
        (
            Parameter("limit_a", CheckedByCore(_NUMBER), "amperes per phase, or limit_w", required=False),
            Parameter("limit_w", CheckedByCore(_NUMBER), "watts, or limit_a", required=False),
            Parameter("feeder", Text(max=255, min=1), "absent = the whole charge point", required=False),
            Parameter("valid_for_s", CheckedByCore({"type": "integer", "minimum": 1}), "seconds, then it is over"),
        ),
        command="set_limit",
    ),
)
