"""Clients of a Unix socket that do nothing but keep requests under way.

Owns the clients' side of P3: raw sockets, one thread, epoll; as many lines in flight as asked, the next one as soon as
an answer has come. Must never parse an answer while the clock runs.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

Source = Callable[[int], bytes]
"""The next line of a client, newline included."""
_ID = b'"id":1,'
"""What every answer has once, and no notification."""


def line(method: str, **params: Any) -> bytes:
    """A request; the id is not looked at."""
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + b"\n"


class Clients:
    """So many connections to one path each, or to one path all of them."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._sockets: list[socket.socket] = []
        self._epoll = select.epoll()
        self._index: dict[int, int] = {}
        for index, path in enumerate(paths):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.connect(str(path))
            self._sockets.append(client)
            self._epoll.register(client.fileno(), select.EPOLLIN)
            self._index[client.fileno()] = index

    def __enter__(self) -> Clients:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._epoll.close()
        for client in self._sockets:
            client.close()

    def call(self, index: int, request: bytes) -> Any:
        """One request and its result; it must not be an error."""
        answer = self.ask(index, request)
        assert "result" in answer, answer
        return answer["result"]

    def ask(self, index: int, request: bytes) -> Any:
        """One request and its answer."""
        self._sockets[index].sendall(request)
        text = b""
        while not text.endswith(b"\n"):
            part = self._sockets[index].recv(1 << 20)
            assert part, "the connection was closed"
            text += part
        # Notifications (permits, leases) may come before the answer.
        answers = [answer for answer in map(orjson.loads, text.splitlines()) if "method" not in answer]
        return answers[0] if answers else self.ask(index, b"")

    def settle(self) -> None:
        """Read away notifications that nobody asked for."""
        while ready := self._epoll.poll(0.05):
            for number, _ in ready:
                self._sockets[self._index[number]].recv(1 << 20)

    def told(self, request: bytes, mark: bytes) -> float:
        """Send a request of the last client; wall seconds until every other one has been told ``mark``."""
        waiting = {client.fileno(): b"" for client in self._sockets[:-1]}
        begun = time.monotonic()
        self._sockets[-1].sendall(request)
        while waiting:
            for number, _ in self._epoll.poll():
                text = waiting.get(number, b"") + self._sockets[self._index[number]].recv(1 << 18)
                assert b'"error":' not in text, text
                if mark in text:
                    waiting.pop(number, None)
                elif number in waiting:
                    waiting[number] = text
        return time.monotonic() - begun

    def run(self, source: Source, requests: int, in_flight: int = 1) -> float:
        """Have ``requests`` answered in all, ``in_flight`` of each client under way; wall seconds it took.

        Notifications in between are not counted.
        """
        sockets, begun = self._sockets, time.monotonic()
        left = requests
        for index, client in enumerate(sockets):
            first = min(in_flight, left)
            left -= first
            if first:
                client.sendall(b"".join([source(index) for _ in range(first)]))
        answered = 0
        while answered < requests:
            for number, _ in self._epoll.poll():
                index = self._index[number]
                count = sockets[index].recv(1 << 18).count(_ID)
                answered += count
                again = min(count, left)
                left -= again
                if again == 1:
                    sockets[index].sendall(source(index))
                elif again:
                    sockets[index].sendall(b"".join([source(index) for _ in range(again)]))
        return time.monotonic() - begun
