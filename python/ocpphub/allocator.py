"""Runs the allocation of a hub: at its deadlines, and after inputs that it has to follow.

Owns one timer, the telling of permits in slices of the loop, and for how long each limit was short. Must never decide a
permit (``core/allocation.py``), nor mutate a core but through the driver.

Implements: architecture.md walk 2, step 5; decisions.md 5.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from ocpphub.core.instant import Instant

RETRY_S: Final = 0.05
"""How long permits wait for a core that is just being replaced."""

if TYPE_CHECKING:
    from ocpphub.core.allocation import Allocation
    from ocpphub.driver import Driver


class Allocator:
    """The shell of one :class:`~ocpphub.core.allocation.Allocation`; use it on the thread of ``loop`` only."""

    def __init__(
        self, allocation: Allocation, driver: Driver, clock: Callable[[], Instant], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.allocation, self._driver, self._clock, self._loop = allocation, driver, clock, loop
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = inf
        self._is_telling = self._is_closed = False
        self._short: dict[int, float] = {}
        """Limits that the claims are above, and since when."""
        self._shortfalls: defaultdict[int, float] = defaultdict(float)
        """Seconds of the shortfalls that are over, by limit."""

    def follow(self) -> None:
        """After an input: permits of other charge points may have changed, and the next deadline."""
        allocation = self.allocation
        if allocation.changed and not self._is_telling:
            self._is_telling = True
            self._loop.call_soon(self._tell)
        if allocation.has_moved:
            allocation.has_moved = False
            if allocation.short != self._short.keys():
                self._account()
            self._arm(allocation.next_deadline())

    def shortfall_s(self, index: int) -> float:
        """For how long the claims have been above a limit since the hub started, in seconds."""
        since_s = self._short.get(index)
        running_s = 0.0 if since_s is None else self._clock().monotonic_s - since_s
        return self._shortfalls[index] + running_s

    def _account(self) -> None:
        """A shortfall has begun or ended."""
        now_s, short = self._clock().monotonic_s, self.allocation.short
        for index in self._short.keys() - short:
            self._shortfalls[index] += now_s - self._short.pop(index)
        for index in short - self._short.keys():
            self._short[index] = now_s

    def close(self) -> None:
        """The hub stops."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, due_s: float) -> None:
        if self._is_closed or due_s == self._due_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_s, self._timer = due_s, None
        if due_s < inf:
            self._timer = self._loop.call_later(max(0.0, due_s - self._clock().monotonic_s), self._run)

    def _run(self) -> None:
        self._due_s, self._timer = inf, None
        self.allocation.run(self._clock().monotonic_s)
        self.allocation.has_moved = True
        self.follow()

    def _tell(self) -> None:
        """A slice of permits, of one charge point; those of a core that is being replaced wait for the next one."""
        if self._is_closed:
            return
        is_told = any(self._driver.tell_permits(identity) for identity in [*self.allocation.changed])
        self._is_telling = bool(self.allocation.changed)
        if self._is_telling:
            self._loop.call_soon(self._tell) if is_told else self._loop.call_later(RETRY_S, self._tell)
        self.follow()
