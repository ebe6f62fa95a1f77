"""The order in which transaction-related messages leave: one line per charge point.

Owns the entries, who is next, who waits for a retry and holds up the others, who went aside, and who waits behind a
StartTransaction that did. Must never look at a link, a clock or a row: ``delivery.py`` says what becomes of an entry.

Implements: OCPP 1.6 section 3.7; decisions.md 6; AMB-04.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from ocpphub.core.transaction import Stop, Transaction


@dataclass(slots=True, eq=False)
class StartEntry:
    """The StartTransaction of ``tx``. ``number`` is its place in the order; numbers are never used twice."""

    number: int
    tx: Transaction
    size: int = field(init=False)
    """Bytes of its row when it was queued."""

    def __post_init__(self) -> None:
        self.size = len(self.tx.row())


@dataclass(slots=True, eq=False)
class StopEntry:
    """The StopTransaction of ``tx``, which says ``stop``."""

    number: int
    tx: Transaction
    stop: Stop
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.tx.row())


@dataclass(slots=True, eq=False)
class Batch:
    """One MeterValues of a connector and transaction. ``lines`` are its samples (``queue_samples.py``)."""

    number: int
    tx: Transaction | None
    connector_id: int
    lines: bytes


Entry = StartEntry | StopEntry | Batch
"""One message to come."""


class Line:
    """The entries of one charge point in the order of their numbers, but for those that went aside."""

    __slots__ = ("_aside", "_holding", "_parked", "bytes", "entries", "messages")

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        """Those that are in the line, first the next: see :class:`~ocpphub.core.outbox.Source`."""
        self._holding: set[int] = set()
        self._aside: dict[int, Entry] = {}
        self._parked: dict[int, deque[Entry]] = {}
        self.messages = 0
        self.bytes = 0
        """Of the rows behind StartTransactions and StopTransactions that wait."""
        """Entries that are neither delivered nor given up, the one in flight and those aside included."""

    def append(self, entry: Entry) -> None:
        """Add a new entry at the end."""
        self.entries.append(entry)
        self.messages += 1
        if not isinstance(entry, Batch):
            self.bytes += entry.size

    def take(self) -> Entry | None:
        """The entry whose turn it is, taken out of the line; ``None`` when there is none or it waits for its retry.

        Messages of a transaction whose StartTransaction went aside wait behind it, outside the line (CORE-TXQ-07).
        """
        entries = self.entries
        while entries and entries[0].number not in self._holding:
            entry = entries.popleft()
            if isinstance(entry, Batch) and not entry.lines:
                continue  # thinned away
            followers = None if entry.tx is None else self._parked.get(entry.tx.session_id)
            if followers is None or isinstance(entry, StartEntry):
                return entry
            followers.append(entry)
        return None

    @property
    def is_ready(self) -> bool:
        """Whether :meth:`take` could give an entry now."""
        return bool(self.entries) and self.entries[0].number not in self._holding

    def put_back(self, entry: Entry, *, hold: bool = False) -> None:
        """Return the entry that was taken to the head; ``hold`` keeps it there until :meth:`wake`."""
        self.entries.appendleft(entry)
        if hold:
            self._holding.add(entry.number)

    def wake(self, number: int) -> bool:
        """The wait of entry ``number`` is over, or it returns from aside; false when it did neither wait."""
        if number in self._holding:
            self._holding.discard(number)
            return True
        entry = self._aside.pop(number, None)
        if entry is not None:
            self.put_back(entry)
        return entry is not None

    def set_aside(self, entry: Entry) -> None:
        """Let the others pass an entry that was taken; what follows in its transaction waits for it."""
        self._aside[entry.number] = entry
        if isinstance(entry, StartEntry):
            self._parked.setdefault(entry.tx.session_id, deque())

    def finished(self, entry: Entry) -> None:
        """An entry that was taken is delivered or given up; what waited behind it goes on, before all others."""
        self.messages -= 1
        if not isinstance(entry, Batch):
            self.bytes -= entry.size
        if isinstance(entry, StartEntry):
            followers = self._parked.pop(entry.tx.session_id, ())
            self.entries.extendleft(reversed(followers))

    def emptied(self) -> None:
        """A batch in the line lost its last sample; it leaves the line when its turn comes."""
        self.messages -= 1

    @property
    def aside(self) -> int:
        """How many entries went aside."""
        return len(self._aside)

    def state_of(self, number: int) -> str:
        """``aside``, ``retry`` at the head, or ``waiting``."""
        return "aside" if number in self._aside else "retry" if number in self._holding else "waiting"

    def __iter__(self) -> Iterator[Entry]:
        """Every entry but the one that is taken: those aside, those behind them, then the line."""
        yield from self._aside.values()
        for followers in self._parked.values():
            yield from followers
        yield from self.entries

    def heads(self) -> Iterator[Entry]:
        """Those among which the oldest is: the ones aside, and the first of the line that has anything to say."""
        yield from self._aside.values()
        yield from islice((entry for entry in self.entries if not isinstance(entry, Batch) or entry.lines), 1)
