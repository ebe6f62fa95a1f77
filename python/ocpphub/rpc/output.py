"""What waits to be written to one client: bounded, with the latest state only for a slow reader. Sans-I/O.

Owns the order and the bound of a client's output. While the transport takes everything it is a plain list, joined
into one write per turn; once the transport pauses, answers wait in order, a state topic keeps one value per
connector, and events of other topics beyond half the limit are dropped and announced by one ``overflow`` event.
Must never drop an answer: a client that lets answers pile up beyond the limit is cut (``overrun``).

Implements: design rpc.md (8 MiB of unread output, conflation, overflow); reliability.md T05, F27.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
"""Written at once; also the transport's high-water mark, which counts towards the limit."""
_OVERFLOW_BYTES: Final = 256


class Unread:
    """The unread output of all clients together, in bytes, and how many events were dropped for it since start."""

    __slots__ = ("bytes", "dropped")

    def __init__(self) -> None:
        self.bytes = 0
        self.dropped = 0


class Lost:
    """The events dropped since the client last kept up, as one ``overflow`` event to be."""

    __slots__ = ("encode", "first", "last")

    def __init__(self, seq: int, encode: Callable[[int, int], bytes]) -> None:
        self.first = seq
        self.last = seq
        self.encode = encode


class Output:
    """The output of one client. ``writable`` follows the transport's ``pause_writing``/``resume_writing``."""

    __slots__ = (
        "_events",
        "_limit",
        "_number",
        "_ready",
        "_unread",
        "overrun",
        "queue",
        "ready_bytes",
        "waiting_bytes",
        "writable",
    )

    def __init__(self, limit: int, unread: Unread) -> None:
        self.writable = True
        self.overrun = False
        self.ready_bytes = 0
        self.waiting_bytes = 0
        self._limit = limit
        self._unread = unread
        self._ready: list[bytes] = []
        self.queue: OrderedDict[Hashable, bytes | Lost] | None = None
        self._events = 0
        self._number = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits here; the transport may still hold something."""
        return not self._ready and not self.queue

    def answer(self, line: bytes) -> None:
        """Append an answer; sets ``overrun`` when the client has left too much unread."""
        if self.writable and not self.queue:
            self._ready.append(line)
            self.ready_bytes += len(line)
            return
        self._wait(self._next(), line)
        if self.waiting_bytes > self._limit:
            self.overrun = True

    def state(self, key: Hashable, line: bytes) -> None:
        """Append a value that replaces an unsent older one with the same key, at the end: ``seq`` must not go back."""
        if self.writable and not self.queue:
            self._ready.append(line)
            self.ready_bytes += len(line)
            return
        self._forget(("state", key))
        self._wait(("state", key), line)
        if self.waiting_bytes > self._limit:
            self.overrun = True

    def event(self, line: bytes, seq: int, subscription: Hashable, lost: Callable[[int, int], bytes]) -> None:
        """Append an event, or drop it when events fill half the limit; ``lost`` makes the overflow event's line."""
        if self.writable and not self.queue:
            self._ready.append(line)
            self.ready_bytes += len(line)
        elif self._events + len(line) <= self._limit // 2:
            self._events += len(line)
            self._wait(("event", self._next()), line)
        else:
            self._drop(seq, ("overflow", subscription), lost)

    def take(self) -> bytes:
        """The next bytes to write: all that is ready, or about :data:`CHUNK_BYTES` of what has waited."""
        ready = self._ready
        if ready:
            chunk = ready[0] if len(ready) == 1 else b"".join(ready)
            ready.clear()
            self.ready_bytes = 0
            return chunk
        queue = self.queue
        if not queue or not self.writable:
            return b""
        pieces: list[bytes] = []
        size = 0
        while queue and size < CHUNK_BYTES:
            key = next(iter(queue))
            piece = self._forget(key)
            pieces.append(piece)
            size += len(piece)
        if not queue:
            self.queue = None
        return b"".join(pieces)

    def close(self) -> None:
        """Give everything up; the connection is gone."""
        self._unread.bytes -= self.waiting_bytes
        self.waiting_bytes = 0
        self._ready.clear()
        self.queue = None

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _wait(self, key: Hashable, line: bytes | Lost) -> None:
        if self.queue is None:
            self.queue = OrderedDict()
        self.queue[key] = line
        self._count(self._weight(key, line))

    def _forget(self, key: Hashable) -> bytes:
        line = None if self.queue is None else self.queue.pop(key, None)
        if line is None:
            return b""
        self._count(-self._weight(key, line))
        if isinstance(line, Lost):
            return line.encode(line.first, line.last)
        if isinstance(key, tuple) and key[0] == "event":
            self._events -= len(line)
        return line

    def _drop(self, seq: int, key: Hashable, encode: Callable[[int, int], bytes]) -> None:
        self._unread.dropped += 1
        known = None if self.queue is None else self.queue.get(key)
        if isinstance(known, Lost):
            known.last = seq
            self._forget(key)
            self._wait(key, known)
        else:
            self._wait(key, Lost(seq, encode))

    def _weight(self, key: Hashable, line: bytes | Lost) -> int:
        if isinstance(line, Lost):
            return _OVERFLOW_BYTES
        # A state larger than the limit is allowed, one at a time: it replaces itself and weighs nothing.
        oversized = len(line) > self._limit and isinstance(key, tuple) and key[0] == "state"
        return 0 if oversized else len(line)

    def _count(self, change: int) -> None:
        self.waiting_bytes += change
        self._unread.bytes += change
