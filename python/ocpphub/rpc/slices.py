"""Long answers, a slice of work in each turn of the loop (reliability.md T08).

Owns whose turn it is: clients one after the other, and of each client one answer at a time, so that neither many long
questions of one client nor those of many hold up short ones for more than a slice. Must never know what they are about.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

Slice = Callable[[], bool]
"""Does a slice of work; whether there is more. Raises nothing."""


class SlicedWork:
    """The answers under way of all clients of a server."""

    __slots__ = ("_clients", "_is_scheduled")

    def __init__(self) -> None:
        self._clients: dict[Hashable, deque[Slice]] = {}
        self._is_scheduled = False

    def add(self, client: Hashable, slice_: Slice, loop: asyncio.AbstractEventLoop) -> None:
        """Begin an answer for a client behind those that it waits for."""
        self._clients.setdefault(client, deque()).append(slice_)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._turn, loop)

    def forget(self, client: Hashable) -> None:
        """The client is gone, and with it whatever it waited for."""
        self._clients.pop(client, None)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_scheduled = bool(self._clients)
        if not self._is_scheduled:
            return
        loop.call_soon(self._turn, loop)
        client = next(iter(self._clients))
        slices = self._clients.pop(client)
        if not slices[0]():
            slices.popleft()
        if slices:
            self._clients[client] = slices  # behind the others
