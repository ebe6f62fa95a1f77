"""What the driver keeps of one charge point, and what it needs of the world besides the link.

Owns the fields and what they begin with, and a protocol. Must never do anything: the driver does.

Implements: decisions.md 3 (output commit).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ocpphub import log

if TYPE_CHECKING:
    from ocpphub.core.charge_point import ChargePoint
    from ocpphub.core.effects import Effect, Record, Work
    from ocpphub.driver import Answer
    from ocpphub.link import Link


class Outside(Protocol):
    """Who does what takes its time and keeps the security log; calls return at once and raise nothing."""

    def work(self, identity: str, work: Work, answer: Answer) -> None:
        """Begin a piece of work; ``answer`` is called once when it is over, on the loop's thread."""

    def abandon(self, identity: str, number: int) -> None:
        """End the work of this number; what it has left behind is removed."""

    def record(self, identity: str, record: Record) -> None:
        """Append to the security log of this charge point."""


class Lane:
    """One charge point: core, link, what waits to leave, and its timer. The driver alone changes it."""

    __slots__ = (
        *("asks", "barrier", "context", "core", "due_s", "fifo", "link", "paused", "received", "releasing", "replies"),
        *("retired", "sent", "session", "timer", "up"),
    )

    def __init__(self, core: ChargePoint, link: Link) -> None:
        self.core = core
        self.link = link
        self.context = log.context(core.identity)  # what the core logs carries its charge point
        self.fifo: deque[tuple[int, int, Effect]] = deque()  # (commit that must be durable, connection, effect)
        self.barrier = 0
        self.session = 0  # counts connections, so that a frame never leaves on a later one
        self.received = self.sent = 0  # frames
        self.up = False
        self.paused = False
        self.releasing = False
        self.retired = False  # the core waits for its successor: no input reaches it
        self.replies: dict[int, Answer] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.due_s = float("inf")
        self.asks: dict[int, asyncio.TimerHandle | None] = {}  # without a deadline: work
