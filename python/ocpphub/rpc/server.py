"""The Unix socket server: one asyncio protocol per client, requests in, answers and events out.

Owns connections, their fairness and their limits. Must never start a Task for a request, wait for a client, or let
one client's reading or writing slow another: one read, one parse and one write per batch of what arrived.

Implements: design rpc.md; reliability.md T03 to T10, T12, T13 and 3.5.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ocpphub.api import ChargePoint
from ocpphub.config import Role, RpcSettings
from ocpphub.errors import LocalError, UnavailableError
from ocpphub.rpc.access import Access, AccessTable, Principal, read_principal
from ocpphub.rpc.attachment import LEASE_INTERVAL_S, Attachment
from ocpphub.rpc.connection import MAX_IN_TURN, Connection
from ocpphub.rpc.controller_methods import MAX_ROWS
from ocpphub.rpc.listen import BACKLOG, InheritedPath, ListeningPath
from ocpphub.rpc.output import Unread
from ocpphub.rpc.protocol import MAX_BATCH, encode_error
from ocpphub.rpc.slices import SlicedWork

log = logging.getLogger("ocpphub.rpc")

API: Final = 1
MAX_UNREAD_BYTES: Final = 128 * 2**20
"""Unread output of all clients; beyond it the client with the most is cut (reliability.md 3.5)."""
STOP_S: Final = 1.0
"""How long clients may take to read their last answers when the process stops: it ends within 5 s of SIGTERM (F47)."""
LEASES_IN_TURN: Final = 200
"""Leases renewed per turn of the loop (performance.md P3: slices of at most 5 ms)."""
_WINDOW_S: Final = 60.0
# Python 3.13 would remove the path, which is another's business where the socket is inherited.
_KEEP_PATH: Final[dict[str, Any]] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
_RATE_CLIENTS: Final = 4096


class RateLimit:
    """Counts calls of a method per client process over a sliding minute (T12)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls: dict[tuple[Any, str], deque[float]] = {}
        self.refused = 0
        """Calls beyond a limit; shown by metrics."""

    def check(self, client: Any, name: str, per_minute: int) -> None:
        """Count one call. Raises :class:`UnavailableError` ``busy`` with ``retry_after_ms`` beyond ``per_minute``."""
        now = self._clock()
        calls = self._calls.setdefault((client, name), deque())
        while calls and calls[0] <= now - _WINDOW_S:
            calls.popleft()
        if len(calls) >= per_minute:
            self.refused += 1
            wait_ms = int((calls[0] + _WINDOW_S - now) * 1000) + 1
            raise UnavailableError(
                "busy", f"more than {per_minute} {name} a minute", path="/method", hint="wait", retry_after_ms=wait_ms
            )
        calls.append(now)
        if len(self._calls) > _RATE_CLIENTS:
            self._forget(now)

    def _forget(self, now: float) -> None:
        self._calls = {key: calls for key, calls in self._calls.items() if calls[-1] > now - _WINDOW_S}


class Server:
    """Serves some charge points on one socket path.

    ``is_ready`` tells ``server.info.ready``. A socket of its own for one charge point is a server with that one only.
    ``inherited`` is the listening socket when a service manager has made it already.
    """

    def __init__(
        self,
        path: Path,
        charge_points: Mapping[str, ChargePoint],
        settings: RpcSettings,
        *,
        version: str,
        is_ready: Callable[[], bool] = lambda: True,
        inherited: socket.socket | None = None,
    ) -> None:
        self.path = path
        self.charge_points = charge_points
        self.settings = settings
        self.unread = Unread()
        self.counters: Counter[str] = Counter()
        """What was refused, dropped or cut since start, by name."""
        self.requests = 0
        """Requests since start, those that are refused among them."""
        self.rate = RateLimit()
        self.slices = SlicedWork()
        self.is_stopping = False
        self.connections: dict[Connection, Principal] = {}
        self._version = version
        self._is_ready = is_ready
        self._access = AccessTable(settings.roles, os.geteuid())
        self._listening: ListeningPath | InheritedPath | None = None
        if inherited is not None:
            self._listening = InheritedPath(path, inherited)
        self._server: asyncio.AbstractServer | None = None
        self._deserted: asyncio.Event | None = None
        self._attachments: dict[int, Attachment] = {}
        self._renewal: asyncio.TimerHandle | None = None
        self._started_s = time.monotonic()

    def claim(self) -> None:
        """Take the path; from now on clients may connect and wait.

        Raises :class:`LocalError` when something is in the way (T02).
        """
        if self._listening is None:
            self._listening = ListeningPath(self.path)

    async def start(self) -> None:
        """Take the path, unless :meth:`claim` has, and serve."""
        self.claim()
        loop = asyncio.get_running_loop()
        assert self._listening is not None  # noqa: S101  # what claim promises
        listening = self._listening.socket
        self._server = await loop.create_unix_server(
            lambda: Connection(self, loop), sock=listening, backlog=BACKLOG, **_KEEP_PATH
        )
        log.info("serving %d charge points on %s", len(self.charge_points), self.path)

    async def stop(self) -> None:
        """Serve nobody any more: remove the socket, flush what is answered, close every connection."""
        self.is_stopping = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            self._deserted = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._deserted.wait(), STOP_S)
        for connection in tuple(self.connections):
            connection.cut("shutting down")

    def admit(self, connection: Connection, transport: asyncio.WriteTransport) -> Principal | None:
        """Take a new client in, or turn it away with one line of error."""
        refusal: Exception
        if len(self.connections) >= self.settings.max_connections:
            refusal = UnavailableError("busy", "too many connections", hint="see limits in server.info")
        else:
            try:
                principal = read_principal(transport.get_extra_info("socket"))
            except OSError as error:
                refusal = LocalError("forbidden", "credentials unknown", hint=str(error))
            else:
                self.connections[connection] = principal
                return principal
        self.counters["refused"] += 1
        log.warning("client refused: %s", refusal)
        transport.write(encode_error(None, refusal))
        transport.close()
        return None

    def forget(self, connection: Connection) -> bool:
        """A client is gone; False when it was not admitted, or is known to be gone."""
        if connection not in self.connections:
            return False
        del self.connections[connection]
        self.slices.forget(connection)
        if not self.connections and self._deserted is not None:
            self._deserted.set()
        return True

    def lease(self, attachment: Attachment) -> None:
        """Keep the lease of a controller from now on, as long as it has connectors."""
        self._attachments[attachment.controller.number] = attachment
        if self._renewal is None and not self.is_stopping:
            self._renewal = asyncio.get_running_loop().call_later(LEASE_INTERVAL_S, self._renew)

    def end_lease(self, number: int) -> None:
        """The connection of this controller is gone."""
        self._attachments.pop(number, None)

    def _renew(self) -> None:
        """One timer for all; the cores know who has connectors, which a takeover or a reset may have changed."""
        loop = asyncio.get_running_loop()
        self._renewal = loop.call_later(LEASE_INTERVAL_S, self._renew)
        attached = [number for point in self.charge_points.values() for number in point.attached()]
        self._renew_some(deque(dict.fromkeys(attached)), loop)

    def _renew_some(self, numbers: deque[int], loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(LEASES_IN_TURN, len(numbers))):
            attachment = self._attachments.get(numbers.popleft())
            if attachment is not None:
                attachment.renew()
        if numbers:
            loop.call_soon(self._renew_some, numbers, loop)

    def set_roles(self, roles: Iterable[Role]) -> None:
        """Judge by other roles from now on; who may not do the same as before is closed, and may connect again."""
        before, self._access = self._access, AccessTable(roles, os.geteuid())
        changed = [each for each, who in self.connections.items() if before.of(who) != self._access.of(who)]
        for connection in changed:
            connection.close()
        if changed:
            log.warning("%d clients closed, their roles have changed", len(changed))

    def access(self, principal: Principal) -> Access:
        """What this principal may call."""
        return self._access.of(principal)

    def bound_unread(self) -> None:
        """Cut the client with the most unread output while all together hold too much."""
        while self.unread.bytes > MAX_UNREAD_BYTES and self.connections:
            worst = max(self.connections, key=lambda connection: connection.output.waiting_bytes)
            worst.cut("it holds the most unread output")

    def info(self) -> dict[str, Any]:
        """The result of ``server.info``."""
        settings = self.settings
        return {
            "name": "ocpphub",
            "version": self._version,
            "api": API,
            "ready": self._is_ready(),
            "charge_points": list(self.charge_points),
            "limits": {
                "line_bytes": settings.max_line_bytes,
                "batch": MAX_BATCH,
                "in_flight": settings.max_in_flight,
                "in_turn": MAX_IN_TURN,
                "report_rows": MAX_ROWS,
                "connections": settings.max_connections,
                "output_bytes": settings.max_output_bytes,
                "all_output_bytes": MAX_UNREAD_BYTES,
                "security_events_per_minute": 60,
            },
            "counters": {
                name: self.counters[name]
                for name in ("denied", "notification_errors", "late_answers", "refused", "cut", "too_large")
            },
            "clients": len(self.connections),
            "uptime_s": round(time.monotonic() - self._started_s, 3),
        }
