"""A loop on virtual time for tests of the shell: nothing runs until the test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast


class VirtualLoop:
    """Virtual time: what was called soon or later runs when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.soon: deque[Callable[[], object]] = deque()
        self.timers: list[asyncio.TimerHandle] = []

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self.soon.append(lambda: callback(*args))

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        loop = cast(asyncio.AbstractEventLoop, self)
        self.timers.append(asyncio.TimerHandle(self.now_s + delay_s, callback, args, loop))
        return self.timers[-1]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if handle in self.timers:
            self.timers.remove(handle)

    def get_debug(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def time(self) -> float:
        return self.now_s

    def turn(self) -> None:
        """One turn of the loop."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for handle in sorted(self.timers, key=lambda handle: handle.when()):
            if handle.when() <= self.now_s and handle in self.timers:
                self.timers.remove(handle)
                cast(Any, handle)._run()
