"""Times of queued records that nobody has confirmed yet.

Owns which records have such a time, and correcting them once: by the offset found when the clock becomes known, or by
nothing at the first transmission, after which a message never changes. Must never touch a trusted time.

Implements: reliability.md 4.4 and 4.7; N24, N32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ocpphub.core.boot import EARLIEST_UTC_MS, Clock
from ocpphub.core.instant import Instant
from ocpphub.core.queue_line import Batch, Entry, StartEntry, StopEntry
from ocpphub.core.queue_records import Moved, Records
from ocpphub.core.transaction import Transaction

_NO_FLOOR: Final = 0


class UntrustedTimes:
    """The records of one charge point whose time may still be corrected. ``update`` stores a transaction again.

    Those of an earlier process belong here too: the machine's clock was as wrong then as it is now.
    """

    __slots__ = ("_clock", "_data", "_entries", "_records", "_update")

    def __init__(self, records: Records, clock: Clock, update: Callable[[Transaction], None]) -> None:
        self._records, self._clock, self._update = records, clock, update
        self._entries: dict[int, Entry] = {}
        self._data: dict[int, Transaction] = {}

    def add(self, entry: Entry) -> None:
        """The time of this message, or of a sample in it, is not trusted."""
        self._entries[entry.number] = entry

    def add_data(self, tx: Transaction) -> None:
        """The time of a sample of transactionData is not trusted."""
        self._data[tx.session_id] = tx

    def forget(self, entry: Entry) -> None:
        """The message is no more."""
        self._entries.pop(entry.number, None)

    def forget_data(self, tx: Transaction) -> None:
        """The transaction is no more, or its transactionData."""
        self._data.pop(tx.session_id, None)

    def shift(self, by_ms: int, transactions: Iterable[Transaction]) -> None:
        """The clock became known: it was ``by_ms`` behind. Effects: ``Store`` of what moves."""

        def moved(at_ms: int, tx: Transaction | None) -> tuple[int, bool]:
            floor_ms = _NO_FLOOR if tx is None or tx.last_ms is None else tx.last_ms
            at_ms = max(at_ms + by_ms, floor_ms)
            return at_ms, at_ms >= EARLIEST_UTC_MS

        for entry in [*self._entries.values()]:
            self._correct(entry, moved)
        for tx in [*self._data.values()]:
            self._correct_data(tx, moved)
        for tx in transactions:
            if tx.last_untrusted_ms is not None:
                last_ms, tx.last_untrusted_ms = tx.last_untrusted_ms, None
                tx.remember(*moved(last_ms, tx))

    def freeze(self, entry: Entry, now: Instant) -> None:
        """The message is about to be sent for the first time. Effects: ``Store`` of what was not trusted."""
        if not (self._entries or self._data):
            return
        now_ms = self._clock.utc_ms(now)

        def moved(at_ms: int, tx: Transaction | None) -> tuple[int, bool]:
            # A time before this software was made is certainly wrong, and no CSMS is to see it (N32).
            at_ms = at_ms if at_ms >= EARLIEST_UTC_MS else max(at_ms, now_ms)
            if tx is not None:
                tx.remember(at_ms, True)
            return at_ms, True

        if entry.number in self._entries:
            self._correct(entry, moved)
        if isinstance(entry, StopEntry) and entry.tx.session_id in self._data:
            self._correct_data(entry.tx, moved)

    def _correct(self, entry: Entry, moved: Moved) -> None:
        if isinstance(entry, Batch):
            is_final = self._records.retime(entry, moved)
        else:
            tx = entry.tx
            if isinstance(entry, StartEntry):
                tx.start_ms, is_final = moved(tx.start_ms, None)
                tx.trusted = is_final
                if is_final:
                    tx.remember(tx.start_ms, True)
            else:
                entry.stop.at_ms, is_final = moved(entry.stop.at_ms, tx)
                entry.stop.trusted = is_final
            self._update(tx)
        if is_final:
            self._entries.pop(entry.number, None)

    def _correct_data(self, tx: Transaction, moved: Moved) -> None:
        if self._records.retime_stop(tx, moved):
            self._data.pop(tx.session_id, None)
