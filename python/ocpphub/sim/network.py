"""A bad network between a hub and its CSMS: a TCP proxy on loopback whose faults are switched on and off.

Owns sockets and bytes in transit. Must never look into the bytes: what it does to them, a cable, a modem or a firewall
could have done.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

Direction = Literal["to_csms", "to_hub"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("to_csms", "to_hub")
_CHUNK_BYTES: Final = 16 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 seconds: closing sends RST."""


class Network:
    """Forwards every connection to ``host:port``. ``async with Network.towards(csms.url) as network:`` and let the hub
    dial ``network.url``.

    Faults: :meth:`cut`, :meth:`half_open`, :meth:`stop_reading`, ``refuses`` (new connections are reset),
    ``delay_s`` (each way), ``slice_bytes`` (TCP segments of that size). :meth:`heal` ends all of them; bytes that were
    held back arrive then, those of a connection that was cut never do.
    """

    def __init__(self, host: str, port: int, *, url: str = "") -> None:
        self.delay_s = 0.0
        self.slice_bytes = 0
        self.refuses = False
        self.connects = 0
        self.forwarded: dict[Direction, int] = dict.fromkeys(DIRECTIONS, 0)
        self._target = host, port
        self._url = url
        self._server: asyncio.Server | None = None
        self._open: dict[Direction, asyncio.Event] = {direction: asyncio.Event() for direction in DIRECTIONS}
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    def towards(cls, url: str) -> Self:
        """A network in front of the server of a ``ws://host:port`` URL."""
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"{url!r} has no host and port")
        return cls(parts.hostname, parts.port, url=url)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1; raises ``RuntimeError`` before :meth:`start`."""
        if self._server is None:
            raise RuntimeError("the network has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The URL of :meth:`towards`, with this network's address."""
        return urlunsplit(urlsplit(self._url)._replace(netloc=f"127.0.0.1:{self.port}"))

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self.heal()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_CHUNK_BYTES)

    async def stop(self) -> None:
        """Reset every connection and stop listening."""
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # Faults

    def cut(self) -> None:
        """Reset every connection, both ends; what is in transit is lost. New connections are served."""
        for writer in self._writers:
            _reset(writer)

    def half_open(self) -> None:
        """Forward nothing any more, in no direction, and close nothing: a peer that has vanished."""
        for event in self._open.values():
            event.clear()

    def stop_reading(self, direction: Direction = "to_csms") -> None:
        """Stop taking bytes of one direction, until the sender's buffers are full: a peer that hangs."""
        self._open[direction].clear()

    def heal(self) -> None:
        """End every fault; connections that are open go on."""
        self.delay_s, self.slice_bytes, self.refuses = 0.0, 0, False
        for event in self._open.values():
            event.set()

    # Bytes

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            await self._forward(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            _reset(writer)
            return
        self.connects += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=_CHUNK_BYTES)
        except OSError:
            return
        self._writers.add(far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("to_csms", reader, far_writer))
                group.create_task(self._pump("to_hub", far_reader, writer))
        except* OSError:
            _reset(writer)
            _reset(far_writer)
        finally:
            self._writers.discard(far_writer)
            far_writer.close()

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction until its end, which is passed on; a reset ends both directions."""
        while True:
            await self._open[direction].wait()
            data = await reader.read(_CHUNK_BYTES)
            # The fault may have begun while nothing was there to read.
            await self._open[direction].wait()
            if not data:
                break
            await self._write(direction, data, writer)
        if writer.can_write_eof():
            writer.write_eof()

    async def _write(self, direction: Direction, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.delay_s > 0:
            await asyncio.sleep(self.delay_s)
        size = self.slice_bytes or len(data)
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            self.forwarded[direction] += len(data[start : start + size])
            if self.slice_bytes:
                await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
