"""The signature of a method of the socket: kinds of parameters, what they are checked for, how a request is bound.

Owns the errors of parameters: each names its path and what is allowed. Must never know a method; those are data
(methods.py).

Implements: design rpc.md "Rules" (named parameters only, unknown ones are errors that name the parameter).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import add
from typing import Any, Final, Literal, Protocol

from ocpphub.errors import LocalError
from ocpphub.rpc.connectors import ConnectorSet

Level = Literal["monitor", "controller", "energy", "operator"]
How = Literal[
    "command", "controller", "attach", "records", "read", "slices", "texts", "parts", "session", "hub", "use"
]  # fmt: skip
_REQUIRED: Final = object()
"""Stands for the default of a parameter that has none."""
_ALIKE: Final = 0.6
_POSITION: Final = 'an object of "stream" and "seq"'


class Kind(Protocol):
    """A type of parameter."""

    def check(self, value: Any, path: str) -> Any:
        """The value, converted where the API wants it so. Raises :class:`LocalError` ``invalid_params``."""
        ...

    def schema(self) -> dict[str, Any]:
        """The type as JSON schema, for ``rpc.discover``."""
        ...


def _wrong(what: str, path: str, hint: str) -> LocalError:
    return LocalError("invalid_params", what, path=path, hint=hint)


@dataclass(frozen=True, slots=True)
class Text:
    """A string of ``min`` to ``max`` characters, or one of ``choices``; ``format`` only describes it."""

    max: int | None = None
    min: int = 0
    choices: tuple[str, ...] = ()
    format: str = ""

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
        if self.format:
            shape["format"] = self.format
        return shape


ANY_TEXT: Final = Text()


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
        if self.item is ANY_TEXT:
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
        if type(value) is not dict:
            raise _wrong("not a position", path, _POSITION)
        for name in (*value, "stream", "seq"):
            if name not in ("stream", "seq") or name not in value:
                raise _wrong("not a position", f"{path}/{name[:50]}", _POSITION)
        stream = Text(max=64).check(value["stream"], f"{path}/stream")
        return stream, Integer(0, 2**63 - 1).check(value["seq"], f"{path}/seq")

    def schema(self) -> dict[str, Any]:
        members = {"stream": {"type": "string"}, "seq": {"type": "integer", "minimum": 0}}
        return {"type": "object", "properties": members, "required": ["stream", "seq"]}


@dataclass(frozen=True, slots=True)
class CheckedByCore:
    """A value that the core checks, as it knows what is allowed; here it only has a description.

    Only null is refused here: for the core it is a parameter that was left out.
    """

    shape: dict[str, Any]

    def check(self, value: Any, path: str) -> Any:
        if value is None:
            raise _wrong("null", path, "a value, or leave the parameter out")
        return value

    def schema(self) -> dict[str, Any]:
        return self.shape


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

    ``command``: the core's command of that name, answered by callback, at once or after its commit;
    ``controller``: the same, with ``call(session, charge_point, *args)`` as its arguments; ``attach``: the same, and
    the connection is a controller of the charge point from then on; ``records``: its argument goes to
    ``ChargePoint.transactions``;
    ``read``: ``call(charge_point, *args)`` is the result; ``slices``: it is an iterator of JSON texts of array items,
    one per loop turn, and its first argument a set of connectors, everything the client may see where it is left out;
    ``texts``: it is an iterator of JSON texts that make up the result together, one per loop turn; ``parts``: the same,
    and its only argument is the set of connectors that the client may see; ``session``:
    ``call(session, charge_point, *args)`` is the result; ``hub``: the same without a charge point, and ``use`` is
    ``hub`` with ``charge_point`` as a parameter of its own.
    """

    name: str
    level: Level
    how: How
    about: str
    result: dict[str, Any]
    parameters: tuple[Parameter, ...] = ()
    call: Callable[..., Any] = field(default=lambda: None)
    command: str = ""
    """The core's command where it has another name than the method."""
    is_raw: bool = False
    """Whether the parameters go to the core as they came, which checks them; :meth:`bind` only hands them on."""
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
        object.__setattr__(self, "command", self.command or self.name)

    def bind(self, params: dict[str, Any]) -> list[Any]:
        """The arguments in the order of ``parameters``.

        Raises :class:`LocalError` ``invalid_params`` for a missing, mistyped or unknown parameter, which it names.
        """
        if self.is_raw:
            return [params]
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
