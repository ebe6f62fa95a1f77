"""Who a client is and what it may do: credentials of the socket, roles, connector ranges.

Owns the mapping from a peer's uid and groups to the methods it may call. Must never believe anything inside a message:
the only evidence is what the kernel says about the socket (T03).

Implements: design rpc.md "Access"; reliability.md 3.4, T03, T13, T40.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ocpphub.errors import LocalError
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.methods import METHODS
from ocpphub.rpc.signature import Method, nearest

log = logging.getLogger("ocpphub.rpc")

LEVELS: Final[Mapping[str, frozenset[str]]] = {
    "monitor": frozenset({"monitor"}),
    "controller": frozenset({"monitor", "controller"}),
    "energy": frozenset({"monitor", "energy"}),
    "operator": frozenset({"monitor", "controller", "energy", "operator"}),
}
"""Role -> the levels of methods it may call (a method's level is the least role that has it)."""

# Linux 4.13; the socket module does not name it.
_SO_PEERGROUPS: Final = 59
_MAX_GROUP_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Principal:
    """The process at the other end when it connected; ``gids`` has the primary and the supplementary groups."""

    pid: int
    uid: int
    gids: frozenset[int]


class PeerSocket(Protocol):
    """The part of a socket that tells about its peer."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As ``socket.socket.getsockopt``."""
        ...


def read_principal(peer: PeerSocket) -> Principal:
    """Who has connected, by SO_PEERCRED and SO_PEERGROUPS. Raises ``OSError`` when the kernel does not say."""
    pid, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        packed = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUP_BYTES)
    except OSError as error:
        # More than 256 groups, or an old kernel: the primary group still counts, the others give nothing.
        log.warning("supplementary groups of uid %d unknown: %s", uid, error)
        packed = b""
    groups = struct.unpack(f"{len(packed) // 4}I", packed)
    return Principal(pid, uid, frozenset((gid, *groups)))


class RoleRow(Protocol):
    """A ``[[rpc.role]]`` of the configuration (``config.Role``)."""

    @property
    def role(self) -> str: ...
    @property
    def uid(self) -> int | None: ...
    @property
    def gid(self) -> int | None: ...
    @property
    def connectors(self) -> tuple[int, ...] | None: ...


class Access:
    """What one principal may call, compiled: ``methods`` by name, and per level the connectors it covers."""

    __slots__ = ("_ranges", "methods")

    def __init__(self, grants: Iterable[tuple[str, ConnectorSet | None]]) -> None:
        ranges: dict[str, ConnectorSet | None] = {}
        for role, connectors in grants:
            for level in LEVELS[role]:
                known = ranges.get(level, connectors)
                ranges[level] = None if known is None or connectors is None else known | connectors
        self._ranges = ranges
        self.methods: dict[str, Method] = {m.name: m for m in METHODS.values() if m.level in ranges}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self._ranges == other._ranges

    __hash__ = None  # type: ignore[assignment]  # compared, never looked up

    def connectors(self, level: str) -> ConnectorSet | None:
        """The connectors this principal may name at a level, ``None`` for all."""
        return self._ranges[level]

    def has(self, level: str) -> bool:
        """Whether the principal reaches a level at all."""
        return level in self._ranges

    def refusal(self, name: str) -> LocalError:
        """Why ``name`` is not among ``methods``: unknown, or forbidden."""
        if name in METHODS:
            return LocalError("forbidden", f"{name} needs the role {METHODS[name].level}", path="/method")
        return LocalError(
            "method_not_found", "unknown method", path="/method", hint=nearest(name, METHODS) or "see rpc.discover"
        )


class AccessTable:
    """The roles of the configuration, looked up by principal; equal principals share one :class:`Access`."""

    def __init__(self, roles: Iterable[RoleRow], owner_uid: int) -> None:
        self._roles = tuple(roles)
        self._owner_uid = owner_uid
        self._known: dict[tuple[int, frozenset[int]], Access] = {}

    def of(self, principal: Principal) -> Access:
        """The access of a principal. Without any role configured, root and our own user are operators (rpc.md)."""
        key = (principal.uid, principal.gids)
        access = self._known.get(key)
        if access is None:
            access = self._known[key] = Access(self._grants(principal))
        return access

    def _grants(self, principal: Principal) -> list[tuple[str, ConnectorSet | None]]:
        if not self._roles:
            return [("operator" if principal.uid in (0, self._owner_uid) else "controller", None)]
        return [
            (row.role, None if row.connectors is None else ConnectorSet((i, i) for i in row.connectors))
            for row in self._roles
            if principal.uid == row.uid or row.gid in principal.gids
        ]
