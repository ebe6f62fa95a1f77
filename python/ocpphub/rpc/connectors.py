"""A set of connector ids as a client or a role writes it: an id, a list, or a range text such as ``"1-400,512"``.

Owns the syntax and membership. Must never grow with the numbers written in it: a range stays two numbers (incident
N29 of reliability.md).

Implements: design rpc.md (``connectors`` of subscribe, connector.list, roles).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ocpphub.errors import LocalError

MAX_CONNECTOR_ID: Final = 100_000
_RANGE: Final = re.compile(r"\s*([0-9]{1,6})\s*(?:-\s*([0-9]{1,6})\s*)?", re.ASCII)
_HINT: Final = 'an id, a list of ids, or a range text such as "1-400,512"'


class ConnectorSet:
    """An immutable set of connector ids, kept as sorted ranges that do not touch."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        firsts: list[int] = []
        lasts: list[int] = []
        for first, last in sorted(ranges):
            if lasts and first <= lasts[-1] + 1:
                lasts[-1] = max(lasts[-1], last)
            else:
                firsts.append(first)
                lasts.append(last)
        self._firsts = firsts
        self._lasts = lasts

    @classmethod
    def parse(cls, value: Any, path: str = "/params/connectors") -> ConnectorSet:
        """The set a JSON value names. Raises :class:`LocalError` ``invalid_params`` with the path of the bad part."""
        if type(value) is int:
            return cls([_checked(value, value, path)])
        if isinstance(value, str):
            return cls([_parse_range(part, path) for part in value.split(",")])
        if isinstance(value, list):
            if not value:
                raise LocalError("invalid_params", "no connector", path=path, hint=_HINT)
            return cls([_parse_member(member, f"{path}/{index}") for index, member in enumerate(value)])
        raise LocalError("invalid_params", "not a set of connectors", path=path, hint=_HINT)

    def __contains__(self, connector_id: int) -> bool:
        index = bisect_right(self._firsts, connector_id) - 1
        return index >= 0 and connector_id <= self._lasts[index]

    def membership(self) -> Callable[[int], bool]:
        """The quickest test whether an integer is in the set."""
        if len(self._firsts) == 1:
            return range(self._firsts[0], self._lasts[0] + 1).__contains__
        return self.__contains__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConnectorSet):
            return NotImplemented
        return self._firsts == other._firsts and self._lasts == other._lasts

    def __hash__(self) -> int:
        return hash((tuple(self._firsts), tuple(self._lasts)))

    def __str__(self) -> str:
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in self.ranges())

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges())

    def __and__(self, other: ConnectorSet | None) -> ConnectorSet:
        """What both name; ``None`` stands for all connectors."""
        if other is None:
            return self
        return ConnectorSet(
            (max(a, c), min(b, d)) for a, b in self.ranges() for c, d in other.ranges() if max(a, c) <= min(b, d)
        )

    def __or__(self, other: ConnectorSet) -> ConnectorSet:
        return ConnectorSet((*self.ranges(), *other.ranges()))

    def ranges(self) -> Iterator[tuple[int, int]]:
        """First and last of each run of ids, in order."""
        return zip(self._firsts, self._lasts, strict=True)


def _parse_member(member: Any, path: str) -> tuple[int, int]:
    if type(member) is not int:
        raise LocalError("invalid_params", "not a connector id", path=path, hint="an integer")
    return _checked(member, member, path)


def _parse_range(part: str, path: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(part)
    if match is None:
        raise LocalError("invalid_params", "not a set of connectors", path=path, hint=_HINT)
    first = int(match[1])
    return _checked(first, int(match[2] or first), path)


def _checked(first: int, last: int, path: str) -> tuple[int, int]:
    if not 0 <= first <= last <= MAX_CONNECTOR_ID:
        raise LocalError(
            "invalid_params", "connector out of range", path=path, hint=f"0 to {MAX_CONNECTOR_ID}, lowest first"
        )
    return first, last
