"""One value of ``hub.toml`` at a time: from TOML (or the environment) to the type its key wants, or a reason why not.

Owns the kinds of ``config_table.Key``. Must never look at another key: rules that join keys are in ``config_read.py``.

Implements OCPP-J 1.6 3.1.1 (endpoint URL, identity) and the value rules of OCPP 1.6 section 9 for initial values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ocpphub.config_table import Key

MAX_CONNECTOR_ID: Final = 100_000
"""Largest number of connectors of one charge point (surface.md)."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,252}|[0-9A-Fa-f:]{2,39}")
_RANGE: Final = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def convert(key: Key, value: Any, base: Path) -> Any:
    """The value of ``key`` in its own type; relative paths are taken from ``base``.

    Raises ``ValueError`` whose text says what is wrong, without what is allowed (:func:`allowed` says that).
    """
    return _CONVERTERS[key.kind](key, value, base)


def allowed(key: Key) -> str:
    """What a key accepts, for people: ``1 to 100000``, ``info or debug``, ``true or false``."""
    if key.choices:
        return ", ".join(key.choices[:-1]) + f" or {key.choices[-1]}"
    if key.kind in ("integer", "number", "seconds"):
        unit = {"integer": "an integer", "number": "a number", "seconds": "seconds"}[key.kind]
        return f"{unit}, {_plain(key.low)} to {_plain(key.high)}" if key.low is not None else unit
    if key.kind == "text":
        return f"{_plain(key.low)} to {_plain(key.high)} characters, no control characters"
    return _ALLOWED.get(key.kind, "") + (f" of at most {_plain(key.high)} bytes" if key.high is not None else "")


def connector_ids(value: Any) -> tuple[int, ...]:
    """Connector ids of ``7``, ``"1-40,52"`` or a list of such, ascending. Raises ``ValueError``."""
    parts: list[Any] = value if isinstance(value, list) else [value]
    ids: set[int] = set()
    for part in parts:
        for first, last in _intervals(part):
            if not 1 <= first <= last <= MAX_CONNECTOR_ID:
                raise ValueError(
                    f"{first}-{last} is no range of connector ids" if first != last else f"{first} is none"
                )
            ids.update(range(first, last + 1))
    if not ids:
        raise ValueError("names no connector")
    return tuple(sorted(ids))


def ocpp_text(value: Any) -> str:
    """A TOML value as OCPP writes configuration values: ``true``, ``300``, ``0.5``, ``A,B``. Raises ``ValueError``."""
    if isinstance(value, list):
        if not all(isinstance(item, (str, int)) for item in value):
            raise ValueError("a list holds texts or integers")
        return _checked_value(",".join(ocpp_text(item) for item in value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not finite")
    if isinstance(value, (int, float)):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, str):
        return _checked_value(value)
    raise ValueError(f"is {_kind_of(value)}")


def custom_value(kind: str, value: Any, low: float | None, high: float | None) -> str:
    """The initial value of a custom key of this type, as OCPP writes it. Raises ``ValueError``."""
    text = ocpp_text(value)
    if kind == "boolean" and text.lower() not in ("true", "false"):
        raise ValueError("is not true or false")
    if kind in ("integer", "decimal"):
        number = _number_in_text(kind, text)
        if (low is not None and number < Decimal(repr(low))) or (high is not None and number > Decimal(repr(high))):
            raise ValueError("is outside its own min and max")
    return text.lower() if kind == "boolean" else text


def _number_in_text(kind: str, text: str) -> Decimal:
    pattern = r"[+-]?[0-9]+" if kind == "integer" else r"[+-]?[0-9]+(\.[0-9]+)?"
    try:
        return Decimal(text if re.fullmatch(pattern, text) else "x")
    except InvalidOperation:
        raise ValueError(f"is no {kind}") from None


def _checked_value(text: str) -> str:
    if len(text) > 500:
        raise ValueError("is longer than 500 characters")
    if _CONTROL.search(text):
        raise ValueError("holds control characters")
    return text


def _intervals(part: Any) -> Iterable[tuple[int, int]]:
    if isinstance(part, int) and not isinstance(part, bool):
        yield part, part
        return
    if not isinstance(part, str):
        raise ValueError(f"is {_kind_of(part)}")
    for piece in part.split(","):
        match = _RANGE.fullmatch(piece.strip())
        if match is None:
            raise ValueError("is no range of connector ids")
        yield int(match[1]), int(match[2] or match[1])


def _plain(number: float | None) -> str:
    return "" if number is None else format(Decimal(repr(number)).normalize(), "f")


def _kind_of(value: Any) -> str:
    names = {
        str: "a text",
        bool: "true or false",
        int: "an integer",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")


def _text(key: Key, value: Any, _base: Path) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is {_kind_of(value)}, not a text")
    if _CONTROL.search(value):
        raise ValueError("holds control characters")
    if key.low is not None and len(value) < key.low:
        raise ValueError("is empty")
    if key.high is not None and len(value) > key.high:
        raise ValueError(f"has {len(value)} characters")
    return value


def _integer(key: Key, value: Any, base: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"is {_kind_of(value)}, not an integer")
    return int(_within(key, value))


def _number(key: Key, value: Any, base: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"is {_kind_of(value)}, not a number")
    return float(_within(key, value))


def _within(key: Key, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("is not finite")
    if (key.low is not None and value < key.low) or (key.high is not None and value > key.high):
        raise ValueError(f"{value} is out of range")
    return value


def _flag(key: Key, value: Any, base: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {_kind_of(value)}, not true or false")
    return value


def _choice(key: Key, value: Any, base: Path) -> str:
    if not isinstance(value, str) or value not in key.choices:
        raise ValueError(f"{value!r} is not known" if isinstance(value, str) else f"is {_kind_of(value)}")
    return value


def _path(key: Key, value: Any, base: Path) -> Path:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise ValueError("is no path")
    path = base / value
    if key.high is not None and len(str(path).encode()) > key.high:
        raise ValueError(f"{path} has {len(str(path).encode())} bytes")
    return path


def _argv(key: Key, value: Any, base: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise ValueError("is no list of program and arguments")
    if any("\0" in item for item in value):
        raise ValueError("holds control characters")
    return tuple(value)


def _hosts(key: Key, value: Any, base: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError("is no list of hosts")
    if wrong := [item for item in value if not _HOST.fullmatch(item)]:
        raise ValueError(f"{wrong[0]!r} is no host name or address")
    return tuple(item.lower() for item in value)


def _identity(key: Key, value: Any, base: Path) -> str:
    # OCPP-J 1.6 3.1.1: the identity becomes one path segment of the URL; "." and ".." would not survive as one.
    text = _text(key, value, base)
    if not text:
        raise ValueError("is empty")
    if text in (".", ".."):
        raise ValueError(f'"{text}" cannot be a path segment')
    return text


def _endpoint(key: Key, value: Any, base: Path) -> str:
    text = _text(key, value, base)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("is no URL with a valid host and port") from None
    if url.scheme.lower() not in ("ws", "wss"):
        raise ValueError("does not begin with ws:// or wss://")
    if not url.hostname or port == 0 or re.search(r"\s", text):
        raise ValueError("is no URL with a valid host and port")
    if "#" in text:
        raise ValueError("has a fragment")
    if "@" in url.netloc:
        raise ValueError("holds user and password; the key belongs in authorization_key_file")
    return text


def _listen(key: Key, value: Any, base: Path) -> str | None:
    if not isinstance(value, str) or not value:
        raise ValueError("is no address")
    if value == "off":
        return None
    if "/" in value:
        return str(base / value)
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ValueError("is no address")
    return value


def _ranges(key: Key, value: Any, base: Path) -> tuple[int, ...]:
    return connector_ids(value)


def _members(key: Key, value: Any, base: Path) -> tuple[tuple[str, tuple[int, ...]], ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and ":" in item for item in value):
        raise ValueError("is no list of members")
    split = [item.rpartition(":") for item in value]
    return tuple((identity, connector_ids(ranges)) for identity, _, ranges in split)


def _scalar(key: Key, value: Any, base: Path) -> Any:
    ocpp_text(value)
    return value


_CONVERTERS: Final[dict[str, Callable[[Key, Any, Path], Any]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "seconds": _number,
    "flag": _flag,
    "choice": _choice,
    "path": _path,
    "secret": _path,
    "argv": _argv,
    "hosts": _hosts,
    "identity": _identity,
    "endpoint": _endpoint,
    "listen": _listen,
    "ranges": _ranges,
    "members": _members,
    "scalar": _scalar,
}
_ALLOWED: Final[dict[str, str]] = {
    "flag": "true or false",
    "path": "a path",
    "secret": "a path to a file of mode 0600",
    "argv": 'a list such as ["/usr/bin/program", "argument"]',
    "hosts": 'a list such as ["firmware.example.com", "192.0.2.7"], in ASCII',
    "identity": 'a text without control characters, not "." or ".."',
    "endpoint": "ws://host[:port][/path][?query] or wss://...",
    "listen": "off, host:port or a socket path",
    "ranges": 'connector ids from 1, such as 7, "1-40,52" or [1, 2, "5-9"]',
    "members": 'a list such as ["IDENTITY:1-40"]',
    "scalar": "a text, number, boolean or list",
}
