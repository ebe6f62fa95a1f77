"""DATA: the methods of controllers, and those about reservations and the queue, with the schemas of what they carry.

Owns names, kinds and the texts that ``rpc.discover`` shows, as ``methods.py`` does. Must never check a report: its
fields are only described here, the core checks them.

Implements: design rpc.md "Controllers", and ``reservation.list``, ``outbox.list``, ``outbox.retry``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ocpphub.api import ChargePoint
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.signature import Boolean, CheckedByCore, ConnectorId, Connectors, Integer, Method, Parameter, Text

if TYPE_CHECKING:
    from ocpphub.core.controllers import Controller

MAX_ROWS: Final = 1_000
"""Rows of one ``connector.report_many``."""


class Session(Protocol):
    """What a connection offers to the methods of controllers."""

    @property
    def controller(self) -> Controller: ...
    def drivable(self, charge_point: ChargePoint, wanted: ConnectorSet) -> ConnectorSet: ...
    def may_drive(self, charge_point: ChargePoint) -> Callable[[int], bool]: ...
    def connectors(self) -> ConnectorSet | None: ...


def _attach(
    session: Session, charge_point: ChargePoint, connectors: ConnectorSet, takeover: bool
) -> tuple[Controller, list[int], bool]:
    return session.controller, list(session.drivable(charge_point, connectors)), takeover


def _detach(
    session: Session, charge_point: ChargePoint, connectors: ConnectorSet | None
) -> tuple[Controller, list[int] | None]:
    return session.controller, None if connectors is None else list(session.drivable(charge_point, connectors))


def _as_controller(session: Session, charge_point: ChargePoint, *args: Any) -> tuple[Any, ...]:
    return session.controller, *args


def _report_many(
    session: Session, charge_point: ChargePoint, params: dict[str, Any]
) -> tuple[Controller, dict[str, Any], Callable[[int], bool]]:
    return session.controller, params, session.may_drive(charge_point)


def _reservation_list(session: Session, charge_point: ChargePoint) -> list[Any]:
    return _visible(session, charge_point.core.reservations())


def _outbox_list(session: Session, charge_point: ChargePoint, limit: int) -> list[Any]:
    return _visible(session, charge_point.core.outbox(limit))


def _visible(session: Session, rows: list[Any]) -> list[Any]:
    """Rows of connectors that the client may see; those of the whole charge point are for clients without a range."""
    allowed = session.connectors()
    return rows if allowed is None else [row for row in rows if row.get("connector_id", 0) in allowed]


_STATE: Final = {"$ref": "#/components/schemas/ConnectorState"}
_STATES: Final = {"type": "array", "items": _STATE}
_NO_STATE: Final = {
    "type": "object",
    "properties": {"connector_id": {"const": 0}},
    "required": ["connector_id"],
    "additionalProperties": False,
}
"""The answer to a report of the whole charge point, which is no connector with a state."""
_REPORTED: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors, 0 for errors of them all")
_CONNECTOR_ID: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors")
_ID_TAG: Final = Text(max=20, min=1)


def _field(name: str, about: str, **shape: Any) -> Parameter:
    """A field of a report: described here, checked by the core."""
    return Parameter(name, CheckedByCore(shape), about, required=False)


REPORT_FIELDS: Final = (
    _field("plugged", "whether a vehicle is plugged in", type="boolean"),
    _field("plug_id", "changes with each plug-in: an integer, or 1 to 255 characters", type=["integer", "string"]),
    _field("ev_ready", "whether the vehicle would take energy", type="boolean"),
    _field("evse_ready", "whether the connector would give energy", type="boolean"),
    _field("energy_wh", "import register, whole Wh", type="integer", minimum=0),
    _field("permit_seq", "seq of the permit that is applied", type="integer", minimum=0),
    _field("max_current_a", "what the vehicle and its cable take, A per phase", type="number", minimum=0),
    _field("measurements", "what else is measured", type="array", items={"$ref": "#/components/schemas/Measurement"}),
    _field(
        "errors",
        "all active errors; [] when there is none",
        type="array",
        maxItems=100,
        items={"$ref": "#/components/schemas/ActiveError"},
    ),
    _field("timestamp", "when it was so, RFC 3339 with an offset; absent = now", type="string", format="date-time"),
)
"""The fields of ``connector.report`` beside ``connector_id``; absent = as in the last report of this attachment."""

_AUTHORIZATION: Final = {
    "type": "object",
    "properties": {
        "status": {"enum": ["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"]},
        "connector_id": {"type": "integer"},
        "parent_id_tag": {"type": "string"},
        "expiry_date": {"type": "string", "format": "date-time"},
    },
    "required": ["status"],
}
_MANY: Final = {
    "type": "object",
    "properties": {
        "changed": _STATES,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"index": {"type": "integer"}, "error": {"$ref": "#/components/schemas/Error"}},
                "required": ["index", "error"],
            },
        },
    },
    "required": ["changed", "errors"],
}
CONTROLLER_ROWS: Final = (
    Method(
        "controller.attach",
        "controller",
        "attach",
        "Drive connectors on this connection, until it detaches or is lost; each has one controller",
        {"type": "object", "properties": {"connectors": _STATES}, "required": ["connectors"]},
        (
            Parameter("connectors", Connectors(), 'an id, a list, or a range such as "1-400,512"'),
            Parameter("takeover", Boolean(), "take them from another connection", required=False, default=False),
        ),
        _attach,
        command="attach",
    ),
    Method(
        "controller.detach",
        "controller",
        "controller",
        "Let go of connectors",
        {"type": "null"},
        (Parameter("connectors", Connectors(), "absent = all of this connection", required=False),),
        _detach,
        command="detach",
    ),
    Method(
        "connector.report",
        "controller",
        "controller",
        "Report levels of a connector; what is left out is as in the last report of this attachment",
        {"oneOf": [_STATE, _NO_STATE]},
        (_REPORTED, *REPORT_FIELDS),
        _as_controller,
        command="report",
        is_raw=True,
        connector_index=0,
        takes_zero=True,
    ),
    Method(
        "connector.report_many",
        "controller",
        "controller",
        "Report of many connectors at once, as objects or in columns; a bad row refuses that row only",
        _MANY,
        (
            _field(
                "reports",
                f"parameters of connector.report each, at most {MAX_ROWS}",
                type="array",
                maxItems=MAX_ROWS,
                items={"$ref": "#/components/schemas/Report"},
            ),
            _field(
                "columns",
                "connector_id, and any of plugged, plug_id, ev_ready, evse_ready, energy_wh, permit_seq,"
                " Measurand[.Phase] in its default unit",
                type="array",
                items={"type": "string"},
            ),
            _field(
                "rows",
                "arrays as long as columns; null = not reported",
                type="array",
                maxItems=MAX_ROWS,
                items={"type": "array"},
            ),
        ),
        _report_many,
        command="report_many",
        is_raw=True,
    ),
    Method(
        "connector.authorize",
        "controller",
        "controller",
        "Present an id tag; without a connector at the one it can only be for, else at the next one plugged",
        _AUTHORIZATION,
        (
            Parameter("id_tag", _ID_TAG, "1 to 20 characters"),
            Parameter("connector_id", ConnectorId(), "absent = among those of this connection", required=False),
        ),
        _as_controller,
        command="authorize",
        connector_index=1,
    ),
    Method(
        "connector.stop_transaction",
        "controller",
        "controller",
        "End the transaction of a connector",
        _STATE,
        (
            _CONNECTOR_ID,
            Parameter(
                "reason",
                Text(choices=("Local", "EmergencyStop", "EVDisconnected", "Other", "PowerLoss", "Reboot")),
                "why, as StopTransaction.req has it",
                required=False,
                default="Local",
            ),
            Parameter("id_tag", _ID_TAG, "whose wish it was, 1 to 20 characters", required=False),
        ),
        _as_controller,
        command="stop_transaction",
        connector_index=0,
    ),
    Method(
        "connector.set_availability",
        "operator",
        "command",
        "Make a connector operative or inoperative, as ChangeAvailability does; 0 is the whole charge point",
        {"enum": ["Accepted", "Rejected", "Scheduled"]},
        (
            Parameter("connector_id", ConnectorId(), "1 to the number of connectors, 0 for all together"),
            Parameter("available", Boolean(), "true = operative"),
        ),
        command="set_availability",
        connector_index=0,
        takes_zero=True,
    ),
    Method(
        "reservation.list",
        "monitor",
        "session",
        "The reservations",
        {"type": "array", "items": {"$ref": "#/components/schemas/Reservation"}},
        (),
        _reservation_list,
    ),
    Method(
        "outbox.list",
        "monitor",
        "session",
        "What waits to be delivered to the CSMS, in its order",
        {"type": "array", "items": {"$ref": "#/components/schemas/OutboxEntry"}},
        (Parameter("limit", Integer(1, 1_000), "at most so many, 1 to 1000"),),
        _outbox_list,
    ),
    Method(
        "outbox.retry",
        "operator",
        "command",
        "Try an entry again that was put aside",
        {"type": "null"},
        (Parameter("id", Text(max=100, min=1), "an id of outbox.list"),),
        command="outbox_retry",
    ),
)

_NULLABLE_TEXT: Final = {"type": ["string", "null"]}
CONTROLLER_SCHEMAS: Final[dict[str, Any]] = {
    "ConnectorState": {
        "type": "object",
        "properties": {
            "connector_id": {"type": "integer"},
            "status": {
                "enum": [
                    *("Available", "Preparing", "Charging", "SuspendedEVSE", "SuspendedEV"),
                    *("Finishing", "Reserved", "Unavailable", "Faulted"),
                ]
            },
            "error_code": {"type": "string", "description": "a ChargePointErrorCode; NoError when there is none"},
            "availability": {"enum": ["Operative", "Inoperative"]},
            "attached": {"type": "boolean"},
            "plugged": {"type": ["boolean", "null"]},
            "permit": {
                "type": "object",
                "properties": {
                    "seq": {"type": "integer"},
                    "energize": {"type": "boolean"},
                    "limit_a": {"type": "number"},
                    "limit_w": {"type": "number"},
                    "phases": {"type": "integer"},
                },
                "required": ["seq", "energize", "limit_a", "limit_w", "phases"],
            },
            "transaction": {
                "type": ["object", "null"],
                "properties": {
                    "session_id": {"type": "integer"},
                    "transaction_id": {"type": ["integer", "null"]},
                    "id_tag": {"type": "string"},
                    "start": {"type": "string", "format": "date-time"},
                    "meter_start_wh": {"type": "integer"},
                },
                "required": ["session_id", "transaction_id", "id_tag", "start", "meter_start_wh"],
            },
            "reservation": {
                "type": ["object", "null"],
                "properties": {
                    "reservation_id": {"type": "integer"},
                    "id_tag": {"type": "string"},
                    "expiry_date": {"type": "string", "format": "date-time"},
                },
                "required": ["reservation_id", "id_tag", "expiry_date"],
            },
        },
        "required": [
            *("connector_id", "status", "error_code", "availability", "attached", "plugged"),
            *("permit", "transaction", "reservation"),
        ],
    },
    "Measurement": {
        "type": "object",
        "properties": {
            "measurand": {"type": "string", "examples": ["Power.Active.Import"]},
            "value": {"type": ["number", "string"]},
            "unit": {"type": "string"},
            "phase": {"type": "string"},
            "location": {"type": "string"},
            "context": {"type": "string"},
            "format": {"type": "string"},
        },
        "required": ["measurand", "value"],
    },
    "ActiveError": {
        "type": "object",
        "properties": {
            "error_code": {
                "type": "string",
                "description": "a ChargePointErrorCode but NoError",
                "examples": ["OtherError"],
            },
            "info": {"type": "string", "maxLength": 50},
            "vendor_id": {"type": "string", "maxLength": 255},
            "vendor_error_code": {"type": "string", "maxLength": 50},
            "inoperative": {"type": "boolean", "description": "whether it keeps the connector from charging"},
        },
        "required": ["error_code"],
    },
    "Report": {
        "type": "object",
        "properties": {
            "connector_id": {"type": "integer"},
            **{field.name: {**field.kind.schema(), "description": field.about} for field in REPORT_FIELDS},
        },
        "required": ["connector_id"],
    },
    "Error": {
        "type": "object",
        "properties": {
            "code": {"type": "integer"},
            "message": {"type": "string"},
            "data": {
                "type": "object",
                "properties": {"code": {"type": "string"}, "path": {"type": "string"}, "hint": {"type": "string"}},
                "required": ["code", "path", "hint"],
            },
        },
        "required": ["code", "message", "data"],
    },
    "OutboxEntry": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "for outbox.retry"},
            "action": {"type": "string"},
            "at": {"type": "string", "format": "date-time"},
            "attempts": {"type": "integer", "minimum": 0},
            "state": {"enum": ["in_flight", "aside", "retry", "waiting"]},
            "connector_id": {"type": "integer"},
            "session_id": {"type": "integer"},
            "samples": {"type": "integer", "minimum": 1},
        },
        "required": ["id", "action", "at", "attempts", "state"],
    },
    "Reservation": {
        "type": "object",
        "properties": {
            "reservation_id": {"type": "integer"},
            "connector_id": {"type": "integer"},
            "id_tag": {"type": "string"},
            "parent_id_tag": _NULLABLE_TEXT,
            "expiry_date": {"type": "string", "format": "date-time"},
        },
        "required": ["reservation_id", "connector_id", "id_tag", "expiry_date"],
    },
}
"""Schemas of this table, for ``components`` of the OpenRPC document."""
