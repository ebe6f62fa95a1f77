"""A slow reader of whole frames, written from the documents: strict JSON, then the envelope, in the order of J 1.6.

Owns what a frame is before its payload is judged: text, depth, type number, id, arity, action, direction, payload kind.
Must never import ocpphub. What the payload holds is decided by the schemas and tests/oracle/rules.py.
Sources: requirements-j-security.md 1.4, 1.6, 1.7, section 5 (prefix rule) and section 7 (D-03, D-06, D-07); RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

MOST_CONTAINERS = 32
MOST_ID_CHARACTERS = 36
MOST_ECHOED_CHARACTERS = 255
_SPACE = " \t\n\r"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_STRING = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]'
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*\""
)
_PREFIX = re.compile(rf"[{_SPACE}]*\[[{_SPACE}]*([23])[{_SPACE}]*,[{_SPACE}]*({_STRING.pattern})[{_SPACE}]*,")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\u[dD][89abAB].{2}\\u.{4}|\\u.{4}|\\.")


class Number(NamedTuple):
    """A number as it is written."""

    text: str

    @property
    def is_plain(self) -> bool:
        """Whether it is written as an integer."""
        return not set(self.text) & set(".eE")


class Members(NamedTuple):
    """An object with every member it was given, twice where it was given twice."""

    pairs: list[tuple[str, Any]]


class NotStrictJsonError(ValueError):
    """The text is not one strict JSON text of bounded depth."""


def unescape(quoted: str) -> str:
    """The text of a string literal."""

    def one(match: re.Match[str]) -> str:
        escape = match[0]
        if escape[1] != "u":
            return _ESCAPES.get(escape[1], escape[1])
        if len(escape) == 6:
            return chr(int(escape[2:], 16))
        high, low = int(escape[2:6], 16), int(escape[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    return _ESCAPE.sub(one, quoted[1:-1])


class _Parser:
    """Recursive descent; the depth limit bounds the recursion."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def whole(self) -> Any:
        value = self.value(0)
        self.space()
        if self.at != len(self.text):
            raise NotStrictJsonError
        return value

    def space(self) -> None:
        while self.text[self.at : self.at + 1] in tuple(_SPACE):
            self.at += 1

    def take(self, token: str) -> bool:
        self.space()
        found = self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return found[0] if found else None

    def value(self, depth: int) -> Any:
        self.space()
        if self.take("["):
            return self.items(depth + 1)
        if self.take("{"):
            return self.members(depth + 1)
        if (quoted := self.match(_STRING)) is not None:
            return unescape(quoted)
        if (number := self.match(_NUMBER)) is not None:
            return Number(number)
        for literal, value in (("true", True), ("false", False), ("null", None)):
            if self.take(literal):
                return value
        raise NotStrictJsonError

    def items(self, depth: int) -> list[Any]:
        self.deep(depth)
        found: list[Any] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value(depth))
            if self.take("]"):
                return found
            self.need(",")

    def members(self, depth: int) -> Members:
        self.deep(depth)
        found = Members([])
        if self.take("}"):
            return found
        while True:
            self.space()
            if (quoted := self.match(_STRING)) is None:
                raise NotStrictJsonError
            self.need(":")
            found.pairs.append((unescape(quoted), self.value(depth)))
            if self.take("}"):
                return found
            self.need(",")

    def need(self, token: str) -> None:
        if not self.take(token):
            raise NotStrictJsonError

    def deep(self, depth: int) -> None:
        if depth > MOST_CONTAINERS:
            raise NotStrictJsonError


Verdict = Literal["accept", "callerror", "ignore", "close"]


@dataclass(frozen=True)
class Reading:
    """What a frame is. With ``action`` set nothing but the payload is left to judge."""

    verdict: Verdict
    stage: Literal["utf8", "syntax", "envelope", "action", "payload", ""]
    message_type: int | None = None
    unique_id: str | None = None
    code: str | None = None
    action: str | None = None
    payload: Any = None


def read(frame: bytes, senders: Mapping[str, str], pending: Mapping[str, str], *, strict: bool) -> Reading:
    """Read what a CSMS sent. ``senders`` tells per action who may send it; ``pending`` is as in ``_native.decode``."""
    try:
        text = frame.decode("utf-8")
    except UnicodeDecodeError:
        return Reading("close", "utf8")  # J-325
    try:
        value = _Parser(text).whole()
    except NotStrictJsonError:
        return _broken(text)
    if not isinstance(value, list) or len(value) < 2:
        return Reading("ignore", "envelope")
    message_type, unique_id = _type(value[0], strict), value[1]
    if message_type is None:
        return Reading("ignore", "envelope")  # J-271
    if isinstance(unique_id, Number):
        unique_id = unique_id.text  # J-253: echoed
    if not isinstance(unique_id, str) or len(unique_id) > MOST_ECHOED_CHARACTERS:
        return Reading("ignore", "envelope")
    if not isinstance(value[1], str) or len(unique_id) > MOST_ID_CHARACTERS:
        return _refused("envelope", message_type, unique_id)
    if message_type == 2:
        return _call(value, unique_id, senders)
    return _answer(value, message_type, unique_id, pending, strict)


def _broken(text: str) -> Reading:
    """The prefix rule of J-272 and J-273."""
    found = _PREFIX.match(text)
    if not found or len(unescape(found[2])) > MOST_ID_CHARACTERS:
        return Reading("ignore", "syntax")
    return _refused("syntax", int(found[1]), unescape(found[2]))


def _refused(
    stage: Literal["syntax", "envelope", "action"],
    message_type: int,
    unique_id: str,
    code: str = "FormationViolation",
) -> Reading:
    # J-261: only a CALL is answered.
    return Reading("callerror" if message_type == 2 else "ignore", stage, message_type, unique_id, code)


def _type(value: Any, strict: bool) -> int | None:
    if not isinstance(value, Number) or (strict and not value.is_plain):
        return None
    try:
        number = Decimal(value.text)
    except InvalidOperation:  # an exponent beyond all bounds
        return None
    return next((known for known in (2, 3, 4) if number == known), None)


def _call(value: list[Any], unique_id: str, senders: Mapping[str, str]) -> Reading:
    if len(value) != 4 or not isinstance(value[2], str):
        return _refused("envelope", 2, unique_id)
    action, payload = value[2], value[3]
    if action not in senders:
        return _refused("action", 2, unique_id, "NotImplemented")
    if senders[action] == "charge_point":
        return _refused("action", 2, unique_id, "NotSupported")
    if payload is not None and not isinstance(payload, Members):
        return Reading("callerror", "payload", 2, unique_id, "FormationViolation")
    return Reading("accept", "", 2, unique_id, None, action, payload)


def _answer(value: list[Any], message_type: int, unique_id: str, pending: Mapping[str, str], strict: bool) -> Reading:
    most = 5 if message_type == 4 or not strict else 3
    least = 2 if message_type == 4 else 3
    if not (least <= len(value) and (len(value) <= most or (message_type == 3 and not strict))):
        return _refused("envelope", message_type, unique_id)
    if message_type == 4:
        return Reading("accept", "", 4, unique_id)  # J-275
    return Reading("accept", "", 3, unique_id, None, pending.get(unique_id), value[2])
