"""DATA: the methods that list what was recorded: parameters, result, and what they ask the API for.

Owns names, kinds and texts, as ``methods.py`` does. Must never show a client with a connector range a session of
another connector (T41).

Implements: design rpc.md ``transaction.list``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from ocpphub.api import ChargePoint
from ocpphub.errors import LocalError
from ocpphub.records import MAX_SESSIONS, Selection
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.signature import Boolean, Connectors, Integer, Method, Parameter

_LAST_CURSOR: Final = 2**53


class Session(Protocol):
    """What a connection offers to these methods."""

    def connectors(self) -> ConnectorSet | None: ...
    def visible(self, charge_point: ChargePoint, wanted: ConnectorSet | None) -> ConnectorSet: ...


@dataclass(frozen=True, slots=True)
class Moment:
    """A time with an offset (RFC 3339), as milliseconds since 1970."""

    def check(self, value: Any, path: str) -> int:
        """Raises :class:`LocalError` for anything but a time between 1970 and 9999."""
        try:
            moment = datetime.fromisoformat(value)
            known = moment.tzinfo is not None and "T" in value.upper()
            utc_ms = round(moment.timestamp() * 1000) if known else -1
        except (TypeError, ValueError, OverflowError):
            utc_ms = -1
        if utc_ms < 0:
            hint = 'a time with an offset, such as "2027-01-15T08:00:00Z"'
            raise LocalError("invalid_params", "not a time", path=path, hint=hint)
        return utc_ms

    def schema(self) -> dict[str, Any]:
        """As JSON schema."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the text that its answer gave."""

    def check(self, value: Any, path: str) -> int:
        """Raises :class:`LocalError` for a text that no answer gave."""
        if not isinstance(value, str) or not value.isdecimal() or not value.isascii() or len(value) > 16:
            raise LocalError("invalid_params", "not a cursor", path=path, hint="the cursor of an answer, as it came")
        return min(int(value), _LAST_CURSOR)

    def schema(self) -> dict[str, Any]:
        """As JSON schema."""
        return {"type": "string", "pattern": "^[0-9]{1,16}$", "examples": ["0"]}


def _transaction_list(
    session: Session,
    charge_point: ChargePoint,
    since_ms: int | None,
    until_ms: int | None,
    connectors: ConnectorSet | None,
    undelivered: bool,
    limit: int,
    after: int,
) -> Selection:
    allowed = session.connectors()
    # A client that may see all sees those too of connectors that the charge point has no more.
    shown = None if connectors is None and allowed is None else session.visible(charge_point, connectors)
    ranges = None if shown is None else tuple(shown.ranges())
    return Selection(since_ms, until_ms, ranges, undelivered, after, limit)


_SESSION: Final = {
    "type": "object",
    "properties": {
        "session_id": {"type": "integer", "description": "the charge point's own number, never used twice"},
        "connector_id": {"type": "integer"},
        "transaction_id": {"type": ["integer", "null"], "description": "the CSMS's; null until it answered"},
        "id_tag": {"type": "string"},
        "start": {"type": "string", "format": "date-time"},
        "meter_start_wh": {"type": "integer"},
        "stop": {"type": "string", "format": "date-time"},
        "meter_stop_wh": {"type": "integer"},
        "reason": {"type": "string", "description": "the Reason of StopTransaction.req"},
        "delivered": {"type": "boolean", "description": "whether the CSMS has confirmed all of it"},
        "undelivered": {"type": "string", "description": "what was given up, and why"},
    },
    "required": ["session_id", "connector_id", "transaction_id", "id_tag", "start", "meter_start_wh", "delivered"],
}

RECORD_ROWS: Final = (
    Method(
        "transaction.list",
        "monitor",
        "records",
        "Sessions by session id, those in the archive and those that are not there yet",
        {
            "type": "object",
            "properties": {
                "transactions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}},
                "cursor": {"type": "string", "description": "for the next page; absent at the end"},
            },
            "required": ["transactions"],
        },
        (
            Parameter("since", Moment(), "begun then or later", required=False),
            Parameter("until", Moment(), "begun before", required=False),
            Parameter("connectors", Connectors(), "only of these; absent = all", required=False),
            Parameter("undelivered", Boolean(), "only those not delivered whole", required=False, default=False),
            Parameter(
                "limit",
                Integer(1, MAX_SESSIONS),
                f"at most so many, 1 to {MAX_SESSIONS}",
                required=False,
                default=MAX_SESSIONS,
            ),
            Parameter("cursor", Cursor(), "the cursor of the page before", required=False, default=0),
        ),
        _transaction_list,
    ),
)
RECORD_SCHEMAS: Final[dict[str, Any]] = {"Session": _SESSION}
