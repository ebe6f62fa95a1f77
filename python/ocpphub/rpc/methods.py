"""DATA: every method of the socket: its parameters, the level it needs and the call of the API behind it.

Owns names, kinds and ranges of parameters and the texts that ``rpc.discover`` shows. Must never hold a rule of OCPP:
what a value means is the core's business, here it only has a type.

Implements: design rpc.md "Interface commands", "Interface variables" and the reads of "Schedules, station, records".
The methods of controllers are in ``controller_methods.py``, those of records, permits, vendors and of firmware and
diagnostics in modules of theirs; what several results are made of is in ``schemas.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

from ocpphub.api import ChargePoint
from ocpphub.publications import TOPICS, VARIABLES
from ocpphub.rpc.allocation_methods import ALLOCATION_ROWS
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.controller_methods import CONTROLLER_ROWS
from ocpphub.rpc.maintenance_methods import MAINTENANCE_ROWS
from ocpphub.rpc.record_methods import RECORD_ROWS
from ocpphub.rpc.schemas import SCHEMAS
from ocpphub.rpc.signature import (
    ANY_TEXT,
    Boolean,
    ConnectorId,
    Connectors,
    Duration,
    Integer,
    ListOf,
    Method,
    OneConnector,
    Parameter,
    Position,
    Text,
)
from ocpphub.rpc.vendor_methods import VENDOR_ROWS

_SLICE: Final = 500
"""Connector states encoded per loop turn by ``connector.list`` (performance.md P6: slices of at most 5 ms)."""


class Session(Protocol):
    """What a connection offers to the methods that are about the connection itself."""

    def connectors(self) -> ConnectorSet | None: ...
    def subscribe(
        self,
        charge_point: ChargePoint,
        topics: list[str],
        connectors: ConnectorSet | None,
        snapshot: bool,
        since: tuple[str, int] | None,
    ) -> dict[str, Any]: ...
    def unsubscribe(self, subscription: int) -> None: ...
    def use(self, identity: str) -> None: ...
    def info(self) -> dict[str, Any]: ...


def _get_configuration_key(charge_point: ChargePoint, keys: list[str]) -> Any:
    return charge_point.core.get_configuration_key(keys)


def _get_variable(session: Session, charge_point: ChargePoint, name: str) -> dict[str, Any]:
    event = charge_point.publications.latest(name)
    value = charge_point.publications.snapshot(name, session.connectors())
    return {"name": name, "value": value, "timestamp": None if event is None else event.timestamp}


def _charge_point_get(charge_point: ChargePoint) -> Any:
    state = charge_point.core.state(charge_point.now())
    condition = charge_point.store_condition
    return state if condition is None else {**state, "store_condition": condition}


def _connector_get(charge_point: ChargePoint, connector_id: int) -> Any:
    return charge_point.core.connector_state(connector_id)


def _connector_list(charge_point: ChargePoint, connectors: ConnectorSet) -> Iterator[bytes]:
    return charge_point.connector_texts(connectors, _SLICE)


def _schedule_get(
    charge_point: ChargePoint, connector_id: int, duration_s: int, unit: str | None, at: str | None
) -> Iterator[bytes]:
    return charge_point.core.schedules.get(connector_id, duration_s, unit, at, charge_point.now())


def _schedule_explain(
    charge_point: ChargePoint, connector_id: int, duration_s: int | None, unit: str | None, at: str | None
) -> Iterator[bytes]:
    return charge_point.core.explain(connector_id, duration_s, unit, at, charge_point.now())


def _schedule_profiles(charge_point: ChargePoint, connectors: ConnectorSet) -> Iterator[bytes]:
    return charge_point.core.schedules.installed(connectors)


def _subscribe(session: Session, charge_point: ChargePoint, *args: Any) -> dict[str, Any]:
    return session.subscribe(charge_point, *args)


def _unsubscribe(session: Session, subscription: int) -> None:
    session.unsubscribe(subscription)


def _server_info(session: Session) -> dict[str, Any]:
    return session.info()


def _rpc_ping(session: Session) -> str:
    return "pong"


def _rpc_use(session: Session, identity: str) -> None:
    session.use(identity)


def _rpc_discover(session: Session) -> dict[str, Any]:
    return discover()


_BOOLEAN: Final = {"type": "boolean"}
_NULL: Final = {"type": "null"}
_KEY: Final = Parameter("key", Text(max=50, min=1), "a declared custom key, at most 50 characters")
_CONNECTOR_ID: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors")
_SCHEDULE_OF: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors, 0 for all together")
_SECONDS: Final = Duration()
_UNIT_AT: Final = (
    Parameter("unit", Text(choices=("A", "W")), "absent = the first allowed unit", required=False),
    Parameter(
        "at",
        Text(max=40, format="date-time"),
        'begin, RFC 3339 such as "2027-01-15T08:00:00Z"; absent = now',
        required=False,
    ),
)
_ROWS: Final = (
    Method("stop", "operator", "command", "End all transactions and close the link until restart", _BOOLEAN),
    Method("restart", "operator", "command", "Open the link again after stop", _BOOLEAN),
    Method(
        "data_transfer",
        "controller",
        "command",
        "Send vendor-specific data to the CSMS",
        {
            "type": "object",
            "properties": {
                "status": {"enum": ["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId", "Offline"]},
                "data": {"type": "string"},
            },
            "required": ["status"],
        },
        (
            Parameter("vendor_id", Text(max=255), "at most 255 characters"),
            Parameter("message_id", Text(max=50), "at most 50 characters", required=False),
            Parameter("data", Text(), "free text", required=False),
        ),
    ),
    Method(
        "get_configuration_key",
        "monitor",
        "read",
        "Values of OCPP configuration keys; without keys all of them",
        {
            "type": "object",
            "properties": {
                "configuration_keys": {"type": "array", "items": {"$ref": "#/components/schemas/KeyValue"}},
                "unknown_keys": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["configuration_keys", "unknown_keys"],
        },
        (Parameter("keys", ListOf(ANY_TEXT, max=10_000), "empty or absent = all", required=False, default=()),),
        _get_configuration_key,
    ),
    Method(
        "set_custom_configuration_key",
        "operator",
        "command",
        "Set a declared custom configuration key",
        {"enum": ["Accepted", "Rejected", "RebootRequired", "NotSupported"]},
        (_KEY, Parameter("value", Text(max=500), "at most 500 characters")),
    ),
    Method(
        "monitor_configuration_keys",
        "operator",
        "command",
        "Publish configuration_key whenever the CSMS changes one of these keys",
        _NULL,
        (Parameter("keys", ListOf(Text(max=50, min=1), max=10_000), "keys of at most 50 characters"),),
    ),
    Method(
        "security_event",
        "controller",
        "command",
        "Report a security event to the CSMS, with guaranteed delivery",
        _NULL,
        (
            Parameter("type", Text(max=50, min=1), "at most 50 characters"),
            Parameter("info", Text(max=255), "at most 255 characters"),
        ),
        per_minute=60,
    ),
    Method(
        "get_variable",
        "monitor",
        "session",
        "The last published value of an interface variable",
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "value": {}, "timestamp": {"type": ["string", "null"]}},
            "required": ["name", "value", "timestamp"],
        },
        (Parameter("name", Text(choices=VARIABLES), "one of " + ", ".join(VARIABLES)),),
        _get_variable,
    ),
    Method(
        "subscribe",
        "monitor",
        "session",
        "Receive event notifications of topics, after a snapshot of their state",
        {
            "type": "object",
            "properties": {
                "subscription": {"type": "integer"},
                "stream": {"type": "string"},
                "seq": {"type": "integer"},
                "snapshot": {"type": "object", "description": "topic -> its state, for topics that have one"},
                "gap": {"const": True, "description": "events behind since are gone"},
            },
            "required": ["subscription", "stream", "seq"],
        },
        (
            Parameter("topics", ListOf(Text(choices=tuple(TOPICS)), max=100, min=1), "one of " + ", ".join(TOPICS)),
            Parameter("connectors", Connectors(), "only these connectors", required=False),
            Parameter("snapshot", Boolean(), "state of the topics in the answer", required=False, default=True),
            Parameter("since", Position(), "resume behind this event", required=False),
        ),
        _subscribe,
    ),
    Method(
        "unsubscribe",
        "monitor",
        "hub",
        "End a subscription of this connection",
        _NULL,
        (Parameter("subscription", Integer(1, 2**63 - 1), "as subscribe has answered it"),),
        _unsubscribe,
    ),
    Method(
        "charge_point.get",
        "monitor",
        "read",
        "State of the charge point",
        {"$ref": "#/components/schemas/ChargePointState"},
        (),
        _charge_point_get,
    ),
    Method(
        "connector.get",
        "monitor",
        "read",
        "State of a connector",
        {"$ref": "#/components/schemas/ConnectorState"},
        (_CONNECTOR_ID,),
        _connector_get,
        connector_index=0,
    ),
    Method(
        "connector.list",
        "monitor",
        "slices",
        "States of connectors",
        {"type": "array", "items": {"$ref": "#/components/schemas/ConnectorState"}},
        (Parameter("connectors", Connectors(), "only these; absent = all the client may see", required=False),),
        _connector_list,
    ),
    Method(
        "schedule.get",
        "monitor",
        "texts",
        "The composite schedule of a connector, as GetCompositeSchedule would answer it",
        {
            "type": "object",
            "properties": {
                "connector_id": {"type": "integer"},
                "schedule_start": {"type": "string", "format": "date-time"},
                "schedule": {"$ref": "#/components/schemas/ChargingSchedule"},
            },
            "required": ["connector_id", "schedule_start", "schedule"],
        },
        (_SCHEDULE_OF, Parameter("duration_s", _SECONDS, "seconds, 1 to MaxCompositeScheduleDuration"), *_UNIT_AT),
        _schedule_get,
        connector_index=0,
        takes_zero=True,
    ),
    Method(
        "schedule.explain",
        "monitor",
        "texts",
        "Which source limits a connector when, and why every other one does not",
        {"type": "array", "items": {"$ref": "#/components/schemas/Explanation"}},
        (
            _SCHEDULE_OF,
            Parameter("duration_s", _SECONDS, "seconds; absent = as charging_schedules", required=False),
            *_UNIT_AT,
        ),
        _schedule_explain,
        connector_index=0,
        takes_zero=True,
    ),
    Method(
        "schedule.profiles",
        "monitor",
        "slices",
        "The installed charging profiles with the connector they were installed on, by connector",
        {"type": "array", "items": {"$ref": "#/components/schemas/InstalledProfile"}},
        (Parameter("connector_id", OneConnector(), "absent = of all the client may see", required=False),),
        _schedule_profiles,
        connector_index=0,
        takes_zero=True,
    ),
    Method(
        "server.info",
        "monitor",
        "hub",
        "Version, limits, counters and charge points",
        {"$ref": "#/components/schemas/ServerInfo"},
        (),
        _server_info,
    ),
    Method("rpc.ping", "monitor", "hub", "Answers pong", {"const": "pong"}, (), _rpc_ping),
    Method(
        "rpc.use",
        "monitor",
        "use",
        "Choose the charge point of this connection",
        _NULL,
        (Parameter("charge_point", Text(), "an identity of server.info"),),
        _rpc_use,
    ),
    Method(
        "rpc.discover",
        "monitor",
        "hub",
        "This interface as an OpenRPC document",
        {"type": "object", "required": ["openrpc", "info", "methods", "components"]},
        (),
        _rpc_discover,
    ),
)

METHODS: Final[dict[str, Method]] = {
    row.name: row for row in (*_ROWS, *VENDOR_ROWS, *MAINTENANCE_ROWS, *CONTROLLER_ROWS, *ALLOCATION_ROWS, *RECORD_ROWS)
}


def discover() -> dict[str, Any]:
    """The OpenRPC 1.3 document of this table; ``info.version`` is the version of the contract, not of the package."""
    return {
        "openrpc": "1.3.2",
        "info": {"title": "ocpphub", "version": "1"},
        "methods": [_describe(method) for method in METHODS.values()],
        "components": {"schemas": SCHEMAS},
    }


def _describe(method: Method) -> dict[str, Any]:
    params = [
        {"name": p.name, "required": p.required, "schema": p.kind.schema(), "description": p.about}
        for p in method.parameters
    ]
    if method.how != "use":
        schema = {"type": "string"}
        params.append({"name": "charge_point", "required": False, "schema": schema, "description": "an identity"})
    return {
        "name": method.name,
        "summary": method.about,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": method.result},
        "x-role": method.level,
    }
