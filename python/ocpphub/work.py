"""What a charge point has done outside: transfers, hooks, archives, checks of files; and its security log.

Owns the tasks of open work, at most :data:`MAX_OPEN` per charge point, and which function does which method. Must never
block the loop nor hold a rule of OCPP: a function gets parameters, does one thing and says how it went.

    method              parameters                                     result
    (see :data:`METHODS` of the modules that are handed to :class:`Workshop`)

Implements: decisions.md 3 ("the shell moves bytes and effects"); white paper A04.FR.04; reliability.md T33 to T37.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from ocpphub.errors import UnavailableError
from ocpphub.log import charge_point

if TYPE_CHECKING:
    from ocpphub.core.effects import Record, Work
    from ocpphub.driver import Answer

logger = logging.getLogger("ocpphub.daemon")

MAX_OPEN: Final = 8
"""Pieces of work of one charge point that may be open, those on their way out among them.

Its core has five at most: one of firmware, and a look and an upload each for GetLog and GetDiagnostics.
"""
ALWAYS_DONE: Final = "file.discard"
"""The method that is neither counted nor refused: nobody would remove the file later."""

Doer = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""``await do(identity, params)``: ``{"ok": true, ...}`` or ``{"ok": false, "why": one word, "text": a sentence}``.

Cancelling it ends it and removes what it has left behind. What it raises is a bug.
"""


class Log(Protocol):
    """The security log of a process."""

    def append(self, identity: str, kind: str, info: str, utc_ms: int) -> None:
        """Add a line; never blocks, never raises."""

    async def close(self) -> None:
        """Write what is left."""


class Workshop:
    """The :class:`ocpphub.lane.Outside` of a process; use it on the running loop."""

    def __init__(
        self, doers: Mapping[str, Doer], log: Log | None = None, on_close: Callable[[], object] = lambda: None
    ) -> None:
        """``doers`` are the functions by method; without ``log`` security events are not kept."""
        self._doers = dict(doers)
        self._log, self._on_close = log, on_close
        self._tasks: dict[asyncio.Task[None], tuple[str, int]] = {}
        """By the task: after a reset a number comes again, while what had it before is still on its way out."""

    def work(self, identity: str, work: Work, answer: Answer) -> None:
        """Begin a piece of work; ``answer(result, error)`` comes once, on the loop, unless it is abandoned."""
        doer = self._doers.get(work.method)
        if doer is None:
            answer(None, UnavailableError("internal", f"nobody does {work.method}"))
            return
        if work.method != ALWAYS_DONE and self._count(identity) >= MAX_OPEN:
            answer(None, UnavailableError("busy", "too much is under way", retry_after_ms=1_000))
            return
        task = asyncio.get_running_loop().create_task(self._do(doer, identity, work, answer), name=work.method)
        self._tasks[task] = identity, work.ask
        task.add_done_callback(self._tasks.pop)

    def _count(self, identity: str) -> int:
        return sum(each == identity and task.get_name() != ALWAYS_DONE for task, (each, _) in self._tasks.items())

    async def _do(self, doer: Doer, identity: str, work: Work, answer: Answer) -> None:
        result, failure = None, None
        with charge_point(identity):  # the answer leads to things of others too
            try:
                result = await doer(identity, work.params)
            except Exception as error:
                logger.exception("%s: %s failed", identity, work.method)
                failure = error
        answer(result, failure)

    def abandon(self, identity: str, number: int) -> None:
        """End the work of this number; nothing is answered any more."""
        for task, key in self._tasks.items():
            if key == (identity, number) and not task.cancelling():
                task.cancel()

    def record(self, identity: str, record: Record) -> None:
        """Append to the security log."""
        if self._log is not None:
            self._log.append(identity, record.kind, record.info, record.utc_ms)

    async def close(self) -> None:
        """End all work and write what is left of the log."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._log is not None:
            await self._log.close()
        self._on_close()
