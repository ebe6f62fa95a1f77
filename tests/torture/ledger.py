"""What the controllers of the torture know for certain: the commands that the hub has acknowledged.

Owns the records, no judgement. A record is made when the answer is there, never before. Times are milliseconds since
1970 on the clock of the machine, which hub, CSMS and controllers share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


def now_ms() -> float:
    """This moment."""
    return time.time_ns() / 1e6


@dataclass(slots=True)
class Asked:
    """A command: when it was sent, and when its answer was there."""

    sent_ms: float
    acked_ms: float


@dataclass(slots=True)
class Started:
    """A transaction that an answer showed for the first time, or (``session_id`` ``None``) that a tag has started.

    ``is_cause``: it was this command that has started it, so that it did not begin before ``asked``.
    """

    asked: Asked
    connector_id: int
    id_tag: str
    is_cause: bool
    session_id: int | None = None
    start: str | None = None
    meter_start_wh: int | None = None


@dataclass(slots=True)
class Stopped:
    """A transaction that an answer showed to be over; the register at its end lies within ``low_wh`` to ``high_wh``."""

    asked: Asked
    session_id: int
    low_wh: int
    high_wh: int
    reason: str | None
    """``None`` when it is not known which command has ended it, nor when."""


@dataclass(slots=True)
class Due:
    """A report that made a sample of a running transaction due: it has a time stamp from ``asked``, or is lost."""

    asked: Asked
    session_id: int
    wh: int


@dataclass(slots=True)
class Ledger:
    """Everything acknowledged at one hub, in the order of the answers; ``problems`` are answers that contradict it."""

    started: list[Started] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    due: list[Due] = field(default_factory=list)
    security_events: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        """How many durable effects were acknowledged."""
        return len(self.started) + len(self.stopped) + len(self.due) + len(self.security_events)
