"""Work of a thread that ends soon after whoever waits for it has given up.

Owns how the two hear of each other. Must never leave a thread behind that still uses what its caller then cleans up.

Implements: decisions.md 3 (the loop does no I/O); ``work.py`` (cancelling a piece of work ends it).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Aborted(Exception):
    """Nobody wants the result any more."""


class Abort:
    """Handed to the work, which calls :meth:`check` every so often."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Have the work end."""
        self._event.set()

    def check(self) -> None:
        """Raises :class:`Aborted` once nobody waits any more."""
        if self._event.is_set():
            raise Aborted


async def in_thread(work: Callable[[Abort], T]) -> T:
    """The result of ``work(abort)`` on another thread; when this is cancelled, it ends once the thread has ended."""
    abort = Abort()
    future = asyncio.get_running_loop().run_in_executor(None, work, abort)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        abort.set()
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # taken, so that nobody misses it
        raise
