"""Where Prometheus asks for the numbers: ``GET /metrics`` over HTTP/1.1, on a port or a Unix socket.

Owns the address and what one request may cost: its size, its time, how many at once. Must never do anything but read,
nor let a client wait for another: there is one answer per connection, which is closed behind it.

Implements: surface.md ``[metrics] listen``; performance.md P6.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ocpphub.errors import LocalError
from ocpphub.metrics import Metrics
from ocpphub.rpc.listen import ListeningPath

if TYPE_CHECKING:
    from ocpphub.api import Hub
    from ocpphub.rpc.server import Server

log = logging.getLogger("ocpphub.daemon")

PATH: Final = "/metrics"
MAX_REQUEST_BYTES: Final = 8 * 1024
DEADLINE_S: Final = 5.0
"""For a request and its answer together."""
MAX_SCRAPES: Final = 8
"""Scrapes under way; one more is answered with 503."""
MAX_CONNECTIONS: Final = 64
"""Connections; one more is closed without an answer."""
BACKLOG: Final = 16
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class MetricsServer:
    """Serves :class:`~ocpphub.metrics.Metrics` on ``host:port`` or the path of a Unix socket."""

    def __init__(self, listen: str, metrics: Metrics) -> None:
        self._listen, self._metrics = listen, metrics
        self._path: ListeningPath | None = None
        self._socket: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scrapes = 0

    def claim(self) -> None:
        """Take the address. Raises :class:`LocalError` that names ``metrics.listen`` when it cannot be had."""
        try:
            if "/" in self._listen:
                self._path = ListeningPath(Path(self._listen))
                self._socket = self._path.socket
            else:
                self._socket = _bound(self._listen)
        except LocalError as error:
            raise LocalError(error.code, error.message, path="metrics.listen", hint=error.hint) from None
        except OSError as error:
            raise LocalError(
                "invalid_state",
                f"cannot listen on {self._listen}: {error.strerror}",
                path="metrics.listen",
                hint="choose another address, or off",
            ) from None

    @property
    def address(self) -> str:
        """Where it listens, as in ``metrics.listen``; a port 0 has become another. After :meth:`claim` only."""
        if self._path is not None or self._socket is None:
            return self._listen
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Serve; the hub has started."""
        if self._socket is None:
            self.claim()
        self._metrics.start(asyncio.get_running_loop())
        self._server = await asyncio.start_server(
            self._accepted, sock=self._socket, limit=MAX_REQUEST_BYTES, backlog=BACKLOG
        )
        log.info("metrics on %s", self.address)

    async def stop(self) -> None:
        """Let go of the address, and of whoever is being answered."""
        self._metrics.close()
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._path is not None:
            self._path.close()
        elif self._socket is not None:
            self._socket.close()
        self._path = self._socket = self._server = None

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # the library runs this in a task of its own
        if len(self._tasks) >= MAX_CONNECTIONS:
            self._metrics.refused += 1
            writer.transport.abort()
            return
        self._tasks.add(task)
        writer.transport.set_write_buffer_limits(high=0)  # drain waits until the client has everything
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(await self._answer(reader))
                await writer.drain()
            writer.close()
        except (TimeoutError, OSError, EOFError, asyncio.CancelledError):
            # Too slow, gone, or the end of the process: asyncio would log a cancelled task of its own as a fault.
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """What a request is answered. Raises ``EOFError`` when the client leaves before it has asked."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response("431 Request Header Fields Too Large", f"at most {MAX_REQUEST_BYTES} bytes\n")
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response("400 Bad Request", "this is HTTP/1.1\n")
        if words[1].partition(b"?")[0] != PATH.encode():
            return _response("404 Not Found", f"only {PATH} is here\n")
        if words[0] != b"GET":
            return _response("405 Method Not Allowed", "only GET\n", "Allow: GET\r\n")
        if self._scrapes >= MAX_SCRAPES:
            self._metrics.refused += 1
            return _response("503 Service Unavailable", "too many scrapes at once\n", "Retry-After: 1\r\n")
        self._scrapes += 1
        try:
            return _response("200 OK", await self._metrics.scrape())
        finally:
            self._scrapes -= 1


def make_metrics_server(listen: str | None, hub: Hub, servers: Sequence[Server]) -> MetricsServer | None:
    """What serves the metrics of a hub and its sockets; ``None`` when they are off, or the extra is not installed."""
    if listen is None:
        return None
    if importlib.util.find_spec("prometheus_client") is None:
        log.error("no metrics on %s: install the extra, pip install 'ocpphub[metrics]'", listen)
        return None
    return MetricsServer(listen, Metrics(hub, servers))


def _bound(listen: str) -> socket.socket:
    """A listening socket on ``host:port``. Raises ``OSError``."""
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return socket.create_server((str(address[0]), int(address[1])), family=family, backlog=BACKLOG)


def _response(status: str, body: str | bytes, headers: str = "") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {_TEXT}\r\nContent-Length: {len(data)}\r\n{headers}"
    return f"{head}Connection: close\r\n\r\n".encode() + data
