"""DATA: every method of the socket: its parameters, the level it needs and the call of the API behind it.

Owns names, types and ranges of parameters and the texts that ``rpc.discover`` shows. Must never hold a rule of OCPP:
what a value means is the core's business, here it only has a type. A method of rpc.md that is not built yet is absent.

Implements: design rpc.md "Interface commands", "Interface variables" and the reads of "Schedules, station, records".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from operator import add
from typing import Any, Final, Literal, Protocol

from ocpphub.api import ChargePoint
from ocpphub.errors import LocalError
from ocpphub.publications import TOPICS, VARIABLES
from ocpphub.rpc.connectors import ConnectorSet

Level = Literal["monitor", "controller", "energy", "operator"]
_REQUIRED: Final = object()
"""Stands for the default of a parameter that has none."""
_ALIKE: Final = 0.6
_SLICE: Final = 500
"""Connector states encoded per loop turn by ``connector.list`` (performance.md P6: slices of at most 5 ms)."""


class Kind(Protocol):
    """A type of parameter."""

    def check(self, value: Any, path: str) -> Any:
        """The value, converted where the API wants it so. Raises :class:`LocalError` ``invalid_params``."""
        ...

    def schema(self) -> dict[str, Any]:
        """The type as JSON schema, for ``rpc.discover``."""
        ...


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


def _wrong(what: str, path: str, hint: str) -> LocalError:
    return LocalError("invalid_params", what, path=path, hint=hint)


@dataclass(frozen=True, slots=True)
class Text:
    """A string of ``min`` to ``max`` characters, or one of ``choices``."""

    max: int | None = None
    min: int = 0
    choices: tuple[str, ...] = ()

    def check(self, value: Any, path: str) -> str:
        if type(value) is not str:
            raise _wrong("not a string", path, "a string")
        if self.max is None and not self.min and not self.choices:
            return value
        if self.choices and value not in self.choices:
            raise _wrong("unknown value", path, nearest(value, self.choices) or "one of " + ", ".join(self.choices))
        if len(value) < self.min or (self.max is not None and len(value) > self.max):
            raise _wrong("text too long or too short", path, f"{self.min} to {self.max or 'any number of'} characters")
        return value

    def schema(self) -> dict[str, Any]:
        shape: dict[str, Any] = {"type": "string"}
        if self.choices:
            shape["enum"] = list(self.choices)
        if self.min:
            shape["minLength"] = self.min
        if self.max is not None:
            shape["maxLength"] = self.max
        return shape


_ANY_TEXT: Final = Text()


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from ``min`` to ``max``; a boolean is none."""

    min: int
    max: int

    def check(self, value: Any, path: str) -> int:
        if type(value) is not int or not self.min <= value <= self.max:
            raise _wrong("not an integer in range", path, f"{self.min} to {self.max}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.min, "maximum": self.max}


@dataclass(frozen=True, slots=True)
class Duration:
    """Any integer: the longest window is a configuration key's, which the core names when it is not kept to."""

    def check(self, value: Any, path: str) -> int:
        if type(value) is not int:
            raise _wrong("not a number of seconds", path, "an integer of 1 or more")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": 1}


@dataclass(frozen=True, slots=True)
class ConnectorId:
    """Any integer: one that no connector has is -32002, which says more than a range would."""

    def check(self, value: Any, path: str) -> int:
        if type(value) is not int:
            raise _wrong("not a connector id", path, "an integer")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}


@dataclass(frozen=True, slots=True)
class OneConnector:
    """A connector id as the set of that connector; 0 is the whole charge point."""

    def check(self, value: Any, path: str) -> ConnectorSet:
        if type(value) is not int:
            raise _wrong("not a connector id", path, "an integer")
        return ConnectorSet([(value, value)])

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    def check(self, value: Any, path: str) -> bool:
        if type(value) is not bool:
            raise _wrong("not a boolean", path, "true or false")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of ``min`` to ``max`` values of one kind."""

    item: Kind
    max: int
    min: int = 0

    def check(self, value: Any, path: str) -> list[Any]:
        if type(value) is not list or not self.min <= len(value) <= self.max:
            raise _wrong("not an array of the right length", path, f"{self.min} to {self.max} items")
        check = self.item.check
        if self.item is _ANY_TEXT:
            for item in value:
                if type(item) is not str:
                    break
            else:
                return value
        try:
            return [check(item, path) for item in value]
        except LocalError:
            # Once more, for the index: a path for each item would cost the good requests more than the check itself.
            return [check(item, f"{path}/{index}") for index, item in enumerate(value)]

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema(), "minItems": self.min, "maxItems": self.max}


@dataclass(frozen=True, slots=True)
class Connectors:
    """An id, a list of ids, or a range text."""

    def check(self, value: Any, path: str) -> ConnectorSet:
        return ConnectorSet.parse(value, path)

    def schema(self) -> dict[str, Any]:
        return {
            "oneOf": [
                {"type": "integer"},
                {"type": "array", "items": {"type": "integer"}},
                {"type": "string", "examples": ["1-400,512"]},
            ]
        }


@dataclass(frozen=True, slots=True)
class Position:
    """``{"stream", "seq"}``: the last event a client has seen."""

    def check(self, value: Any, path: str) -> tuple[str, int]:
        if type(value) is not dict or value.keys() != {"stream", "seq"}:
            raise _wrong("not a position", path, 'an object of "stream" and "seq"')
        stream = Text(max=64).check(value["stream"], f"{path}/stream")
        return stream, Integer(0, 2**63 - 1).check(value["seq"], f"{path}/seq")

    def schema(self) -> dict[str, Any]:
        members = {"stream": {"type": "string"}, "seq": {"type": "integer", "minimum": 0}}
        return {"type": "object", "properties": members, "required": ["stream", "seq"]}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named parameter; a ``default`` is what the API gets when it is left out."""

    name: str
    kind: Kind
    about: str = ""
    required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class Method:
    """One method. ``how`` says what ``call`` is and how its answer comes:

    ``command``: ``command`` names the core's command, answered by callback after its commit;
    ``read``: ``call(charge_point, *args)`` is the result; ``slices``: it is an iterator of JSON texts of array items,
    one per loop turn, and its first argument a set of connectors, everything the client may see where it is left out;
    ``texts``: it is an iterator of JSON texts that make up the result together, one per loop turn; ``session``:
    ``call(session, charge_point, *args)`` is the result; ``hub``: the same without a charge point, and ``use`` is
    ``hub`` with ``charge_point`` as a parameter of its own.
    """

    name: str
    level: Level
    how: Literal["command", "read", "slices", "texts", "session", "hub", "use"]
    about: str
    result: dict[str, Any]
    parameters: tuple[Parameter, ...] = ()
    call: Callable[..., Any] = field(default=lambda: None)
    connector_index: int | None = None
    """Which argument is a connector id that the client's range and the charge point must have."""
    takes_zero: bool = False
    """Whether connector 0, the whole charge point, may be named, by clients whose range is not limited (T41)."""
    per_minute: int | None = None
    """At most so many calls a minute from one client (T12)."""
    plan: tuple[tuple[str, Callable[[Any, str], Any], str, Any], ...] = field(init=False)
    """``parameters`` as :meth:`bind` reads them: name, check, path, default."""

    def __post_init__(self) -> None:
        rows = tuple(
            (p.name, p.kind.check, f"/params/{p.name}", _REQUIRED if p.required else p.default) for p in self.parameters
        )
        object.__setattr__(self, "plan", rows)

    def bind(self, params: dict[str, Any]) -> list[Any]:
        """The arguments in the order of ``parameters``.

        Raises :class:`LocalError` ``invalid_params`` for a missing, mistyped or unknown parameter, which it names.
        """
        args: list[Any] = []
        known = 0
        for name, check, path, default in self.plan:
            value = params.get(name, default)
            if value is not default:
                known += 1
                args.append(check(value, path))
            elif default is _REQUIRED:
                about = next(parameter.about for parameter in self.parameters if parameter.name == name)
                raise _wrong(f"missing parameter {name}", path, about)
            else:
                known += name in params  # the very object that is the default: true, false or null
                args.append(check(value, path) if name in params else value)
        if known != len(params):
            self._name_unknown(params)
        return args

    def _name_unknown(self, params: dict[str, Any]) -> None:
        names = [parameter.name for parameter in self.parameters]
        unknown = next((name for name in params if name not in names and name != "charge_point"), None)
        if unknown is None:
            return  # `charge_point`, which every method takes
        hint = nearest(unknown, [*names, "charge_point"]) or ("one of " + ", ".join(names) if names else "none")
        shown = unknown[:50]
        raise _wrong(f"unknown parameter {shown}", f"/params/{shown}", hint)


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean NAME`` for a known word that resembles it, else an empty text; long words are not compared.

    Pairs of letters in common, because a flood of wrong names must not cost more than good requests (T08): a tenth of
    the standard library's comparison.
    """
    if not 1 < len(word) <= 50:
        return ""
    pairs = frozenset(map(add, word, word[1:]))
    likeness, name = max((2 * len(pairs & own) / (len(pairs) + len(own)), name) for name, own in map(_pairs, known))
    return f"did you mean {name}" if likeness > _ALIKE else ""


@lru_cache(maxsize=1024)
def _pairs(name: str) -> tuple[str, frozenset[str]]:
    return name, frozenset(map(add, name, name[1:]))


def _get_configuration_key(charge_point: ChargePoint, keys: list[str]) -> Any:
    return charge_point.core.get_configuration_key(keys)


def _get_variable(session: Session, charge_point: ChargePoint, name: str) -> dict[str, Any]:
    event = charge_point.publications.latest(name)
    value = charge_point.publications.snapshot(name, session.connectors())
    return {"name": name, "value": value, "timestamp": None if event is None else event.timestamp}


def _charge_point_get(charge_point: ChargePoint) -> Any:
    return charge_point.core.state(charge_point.now())


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
    return charge_point.core.schedules.explain(connector_id, duration_s, unit, at, charge_point.now())


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
_OBJECT: Final = {"type": "object"}
_KEY: Final = Parameter("key", Text(max=50, min=1), "a declared custom key, at most 50 characters")
_CONNECTOR_ID: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors")
_SCHEDULE_OF: Final = Parameter("connector_id", ConnectorId(), "1 to the number of connectors, 0 for all together")
_SECONDS: Final = Duration()
_UNIT_AT: Final = (
    Parameter("unit", Text(choices=("A", "W")), "absent = the first allowed unit", required=False),
    Parameter("at", Text(max=40), 'begin, RFC 3339 such as "2027-01-15T08:00:00Z"; absent = now', required=False),
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
        (Parameter("keys", ListOf(_ANY_TEXT, max=10_000), "empty or absent = all", required=False, default=()),),
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
        _OBJECT,
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
    Method("charge_point.get", "monitor", "read", "State of the charge point", _OBJECT, (), _charge_point_get),
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
        {"type": "array", "items": {"type": "object"}},
        (Parameter("connector_id", OneConnector(), "absent = of all the client may see", required=False),),
        _schedule_profiles,
        connector_index=0,
        takes_zero=True,
    ),
    Method("server.info", "monitor", "hub", "Version, limits, counters and charge points", _OBJECT, (), _server_info),
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
    Method("rpc.discover", "monitor", "hub", "This interface as an OpenRPC document", _OBJECT, (), _rpc_discover),
)

METHODS: Final[dict[str, Method]] = {row.name: row for row in _ROWS}

_SOURCE: Final = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["profile", "hardware", "station", "default", "external", "connectors"]},
        "charging_profile_id": {"type": "integer"},
        "purpose": {"type": "string"},
        "stack_level": {"type": "integer"},
        "connector_id": {"type": "integer"},
    },
    "required": ["kind"],
}
_SCHEMAS: Final[dict[str, Any]] = {
    "ChargingSchedule": {
        "type": "object",
        "properties": {
            "chargingRateUnit": {"enum": ["A", "W"]},
            "duration": {"type": "integer"},
            "chargingSchedulePeriod": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "startPeriod": {"type": "integer"},
                        "limit": {"type": "number"},
                        "numberPhases": {"type": "integer"},
                    },
                    "required": ["startPeriod", "limit", "numberPhases"],
                },
            },
        },
        "required": ["chargingRateUnit", "duration", "chargingSchedulePeriod"],
    },
    "Explanation": {
        "type": "object",
        "properties": {
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "limit": {"type": "number"},
            "unit": {"enum": ["A", "W"]},
            "phases": {"type": "integer"},
            "winner": _SOURCE,
            "losers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "source": _SOURCE,
                        "why": {
                            "enum": [
                                *("lower_stack_level", "gap", "not_valid_yet", "expired"),
                                *("hidden_by_own_default", "overruled_by_tx_profile", "not_the_minimum"),
                            ]
                        },
                    },
                    "required": ["source", "why"],
                },
            },
        },
        "required": ["start", "end", "limit", "unit", "phases", "winner", "losers"],
    },
    "KeyValue": {
        "type": "object",
        "properties": {"key": {"type": "string"}, "read_only": {"type": "boolean"}, "value": {"type": "string"}},
        "required": ["key", "read_only"],
    },
    "ConnectorState": {
        "type": "object",
        "properties": {"connector_id": {"type": "integer"}, "status": {"type": "string"}},
        "required": ["connector_id", "status"],
    },
}


def discover() -> dict[str, Any]:
    """The OpenRPC 1.3 document of this table; ``info.version`` is the version of the contract, not of the package."""
    return {
        "openrpc": "1.3.2",
        "info": {"title": "ocpphub", "version": "1"},
        "methods": [_describe(method) for method in METHODS.values()],
        "components": {"schemas": _SCHEMAS},
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
