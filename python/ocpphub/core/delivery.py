"""Delivery of StartTransaction, MeterValues and StopTransaction: stored, in order, repeated, never lost.

Owns the transactions that are not archived yet, and what becomes of a message that was answered, refused, not answered,
or under which links are lost. Must never decide why a transaction begins or ends, nor what is sampled. What has to be
written is emitted before anything that follows from it (output commit).

Times are milliseconds since 1970, registers Wh. Timers are named ``("delivery", number)``: the end of a wait, or of a
day aside. A message that went aside lets all others pass but those of its own transaction, which wait behind its
StartTransaction; where a message stood is not stored, so a restart tries it again at its old place.

Implements: OCPP 1.6 sections 3.7, 4.7, 4.8, 4.10; errata 3.18; OCPP-J errata 3.2; decisions.md 6; reliability.md 4.3,
4.4; requirements CORE-TXQ-01 to CORE-TXQ-14, CORE-MV-21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import ASIDE_RETRY_S, POISON_LINK_LOSSES, Gate, Outbox, Outcome, OwnCall
from ocpphub.core.queue_bound import Thinning
from ocpphub.core.queue_line import Batch, Entry, Line, StartEntry, StopEntry
from ocpphub.core.queue_numbers import Numbers
from ocpphub.core.queue_records import Records, highest_number
from ocpphub.core.queue_times import UntrustedTimes
from ocpphub.core.queue_troubles import Trouble, Troubles
from ocpphub.core.queue_view import is_message, made_ms, message_number, outbox_row
from ocpphub.core.readings import Descriptor
from ocpphub.core.rows import Rows, log
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import ARCHIVE, TABLE, Stop, Transaction, restored

TIMER: Final = "delivery"
MAX_MESSAGES: Final = 5_000_000
MAX_BYTES: Final = 1 << 30
"""Of the rows of samples (reliability.md 3.5)."""
OnAnswered = Callable[[Transaction, dict[str, Any], bool, Instant], None]
OnStopped = Callable[[Transaction, "dict[str, Any] | None", Instant], None]


@dataclass(slots=True)
class Lost:
    """Counts of what the CSMS will never be told, since start; shown by metrics."""

    thinned: int = 0
    """Samples given up because the queue was at its bound."""
    dropped: int = 0
    """Samples that the CSMS did not take."""
    messages: int = 0
    """StartTransaction and StopTransaction given up after TransactionMessageAttempts."""


class TransactionQueue:
    """The transaction-related messages of one charge point, a :class:`~ocpphub.core.outbox.Source`."""

    def __init__(
        self,
        emit: Callable[[Effect], None],
        timers: Timers,
        outbox: Outbox,
        clock: Clock,
        configuration: Configuration,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._emit, self._timers, self._outbox, self._clock = emit, timers, outbox, clock
        self._configuration = configuration
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._line, self._numbers = Line(), Numbers(emit)
        self.waiting = self._line.entries
        self._records = Records(
            emit, self._line, self._numbers, lambda: configuration.integer("StopTransactionMaxMeterValues")
        )
        self._troubles = Troubles(emit)
        self._thinning = Thinning(self._line, lambda batch: not self._troubles.has(batch))
        self._live: dict[int, Transaction] = {}
        self._in_flight: Entry | None = None
        self._times = UntrustedTimes(self._records, clock, self.update)
        self.lost = Lost()
        self.started = self.ended = 0
        """Transactions since the core was made; shown by metrics."""
        self.changes = 0
        """Counts what changes :meth:`state`."""
        self.on_answered: OnAnswered = lambda tx, id_tag_info, was_unanswered, now: None
        """StartTransaction.conf: called in its input, after ``transaction_id`` and ``verdict`` are set and stored. The
        flag says that an earlier transmission went unanswered: ConcurrentTx then means ours (CORE-AUTH-21)."""
        self.on_discarded: Callable[[Transaction, Instant], None] = lambda tx, now: None
        """StartTransaction was given up: the transaction's messages go out with transactionId -1."""
        self.on_stopped: OnStopped = lambda tx, id_tag_info, now: None
        """StopTransaction was answered, or given up (no idTagInfo)."""

    # restore

    def restore(self, rows: Rows) -> list[Transaction]:
        """Take up what an earlier process left; the transactions without a stop, oldest first. Emits nothing."""
        for tx in restored(rows):
            self._live[tx.session_id] = tx
        samples = self._records.restore(rows, self._live)
        entries: list[Entry] = [*samples.batches]
        for tx in self._live.values():
            if not tx.is_answered:
                entries.append(self._undated(StartEntry(tx.session_id, tx), tx.trusted))
            if tx.stop is not None and tx.stop_number is not None:
                entries.append(self._undated(StopEntry(tx.stop_number, tx, tx.stop), tx.stop.trusted))
        entries.sort(key=lambda entry: entry.number)
        for entry in entries:
            self._line.append(entry)
        for batch in samples.untrusted:
            self._times.add(batch)
        for tx in samples.untrusted_data:
            self._times.add_data(tx)
        self._numbers.restore(rows, max([entry.number for entry in entries] + [*self._live, highest_number(rows)]))
        self._troubles.restore(rows, entries)
        self.changes += 1
        return [tx for tx in self._live.values() if tx.stop is None]

    def _undated(self, entry: Entry, trusted: bool) -> Entry:
        if not trusted:
            self._times.add(entry)
        return entry

    # records

    def start(
        self,
        connector_id: int,
        id_tag: str,
        at_ms: int,
        meter_wh: int,
        *,
        trusted: bool,
        parent_id_tag: str | None = None,
        reservation_id: int | None = None,
        plug_id: int | str | None = None,
    ) -> Transaction:
        """Begin a transaction and queue its StartTransaction. Effects: ``Store``."""
        tx = Transaction(
            self._numbers.next(), connector_id, id_tag, at_ms, meter_wh, trusted, parent_id_tag, reservation_id, plug_id
        )
        tx.recorded(at_ms, trusted)
        self._live[tx.session_id] = tx
        self.started += 1
        self._admit(StartEntry(tx.session_id, tx), trusted)
        self.update(tx)
        return tx

    def update(self, tx: Transaction) -> None:
        """Store a transaction that was changed. Effects: ``Store``."""
        if tx.session_id in self._live:
            self._emit(Store(TABLE, tx.key, tx.row()))

    def stop(self, tx: Transaction, stop: Stop) -> None:
        """End a transaction and queue its StopTransaction; one that has ended stays as it is. Effects: ``Store``."""
        if tx.stop is not None:
            return
        stop.at_ms = tx.recorded(stop.at_ms, stop.trusted)
        tx.stop, tx.stop_number = stop, self._numbers.next()
        self._records.fit(tx)
        self._records.close(tx.connector_id, tx)
        self._admit(StopEntry(tx.stop_number, tx, stop), stop.trusted)
        self.update(tx)
        self._thinning.ended()
        self.ended += 1

    def sample(
        self,
        connector_id: int,
        tx: Transaction | None,
        layout: tuple[Descriptor, ...],
        at_ms: int,
        context: str,
        values: Sequence[str],
        *,
        trusted: bool,
    ) -> None:
        """Store one MeterValue for a MeterValues.req of this connector and transaction. Effects: ``Store``.

        A queue at its bound gives up samples first (``lost.thinned``), this one when there is nothing else.
        """
        self._make_room()
        if self.is_full:
            self.lost.thinned += 1
            return
        batch = self._records.add(connector_id, tx, layout, at_ms, context, values, trusted)
        self._thinning.grown()
        self.changes += 1
        if not trusted:
            self._times.add(batch)

    def stop_sample(
        self,
        tx: Transaction,
        layout: tuple[Descriptor, ...],
        at_ms: int,
        context: str,
        values: Sequence[str],
        *,
        trusted: bool,
    ) -> None:
        """Store one MeterValue for the transactionData of StopTransaction.req. Effects: ``Store``, ``Discard``."""
        self._make_room()
        self._records.add_stop(tx, layout, at_ms, context, values, trusted)
        self.changes += 1
        if not trusted:
            self._times.add_data(tx)

    def _admit(self, entry: Entry, trusted: bool) -> None:
        self._make_room()
        self._line.append(self._undated(entry, trusted))
        self.changes += 1

    def shift_untrusted(self, by_ms: int) -> None:
        """The clock became known: untrusted times of unsent records are corrected once. Effects: ``Store``."""
        self._times.shift(by_ms, self._live.values())
        self.changes += 1

    def _make_room(self) -> None:
        if not self.is_full:
            return
        # A hundredth more than needed: the search and the warning come once for many samples.
        messages, size = self._max_messages * 99 // 100, self._max_bytes * 99 // 100
        before = self.lost.thinned
        while (self._line.messages > messages or self._records.bytes > size) and (found := self._thinning.next()):
            batch, gone = found
            self._records.close_batch(batch)
            for effect in self._records.remove(batch, gone):
                self._emit(effect)
            self.lost.thinned += len(gone)
            if not batch.lines:
                self._line.emptied()
                self._times.forget(batch)
        if self.lost.thinned > before:
            log.warning("the queue is at its bound: %d samples were given up", self.lost.thinned - before)

    # sending

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest message, composed now; ``None`` while it waits for its retry: nothing passes it (AMB-04)."""
        if gate != "open" or (entry := self._line.take()) is None:
            return None
        self._in_flight = entry
        if isinstance(entry, Batch):
            self._records.close_batch(entry)
        self._times.freeze(entry, now)
        if isinstance(entry, StartEntry):
            return OwnCall("StartTransaction", entry.tx.start_request(), partial(self._done, entry, []))
        if isinstance(entry, StopEntry):
            data = self._records.transaction_data(entry.tx)
            return OwnCall("StopTransaction", entry.tx.stop_request(entry.stop, data), partial(self._done, entry, []))
        trouble = self._troubles.get(entry)
        sent, values = self._records.meter_values(entry, None if trouble is None else trouble.limit)
        payload: dict[str, Any] = {"connectorId": entry.connector_id, "meterValue": values}
        if entry.tx is not None:
            payload["transactionId"] = entry.tx.wire_id
        return OwnCall("MeterValues", payload, partial(self._done, entry, sent))

    def _done(self, entry: Entry, sent: list[int], outcome: Outcome, now: Instant) -> None:
        self._in_flight = None
        self.changes += 1
        if outcome.confirmation is not None:
            self._answered(entry, sent, outcome.confirmation.payload(), now)
        elif outcome.kind == "link_lost":
            self._link_lost(entry, sent, now)
        else:
            self._failed(entry, sent, outcome, now)

    def _answered(self, entry: Entry, sent: list[int], payload: dict[str, Any], now: Instant) -> None:
        trouble = self._troubles.pop(entry)
        if isinstance(entry, Batch):
            self._remove_samples(entry, sent, trouble)
        elif isinstance(entry, StartEntry):
            tx, info = entry.tx, payload["idTagInfo"]
            tx.transaction_id, tx.verdict = payload["transactionId"], info["status"]
            self._line.finished(entry)
            # One commit with everything that the answer leads to; the next CALL waits for it (reliability.md 4.3.3).
            self.update(tx)
            self.on_answered(tx, info, trouble.is_unanswered, now)
        else:
            self._line.finished(entry)
            self._archive(entry.tx)
            self.on_stopped(entry.tx, payload.get("idTagInfo"), now)

    def _remove_samples(self, batch: Batch, gone: list[int], trouble: Trouble) -> None:
        """These samples are delivered or given up; a batch that was split goes on with the others."""
        self._outbox.after_next(*self._records.remove(batch, gone))
        tx = batch.tx
        if tx is not None and tx.stop is None and tx.delivered_ms != tx.last_ms:
            # Times of one session never go back, over a restart either (reliability.md 4.7).
            tx.delivered_ms = tx.last_ms
            self._outbox.after_next(lambda: Store(TABLE, tx.key, tx.row()))
        if batch.lines:
            self._troubles.of(batch).is_split = trouble.is_split
            self._line.put_back(batch)
        else:
            self._line.finished(batch)
            self._times.forget(batch)

    def _archive(self, tx: Transaction) -> None:
        del self._live[tx.session_id]
        self._times.forget_data(tx)
        self._outbox.after_next(
            Store(ARCHIVE, tx.key, tx.archive_row()), Discard(TABLE, tx.key), *self._records.remove_stop(tx)
        )

    def _failed(self, entry: Entry, sent: list[int], outcome: Outcome, now: Instant) -> None:
        """A CALLERROR, or no answer on a live link (CORE-TXQ-05, AMB-01)."""
        trouble = self._troubles.failed(entry, is_unanswered=outcome.kind == "timeout")
        if trouble.attempts >= self._configuration.integer("TransactionMessageAttempts"):
            self._give_up(entry, sent, outcome, now)
            return
        # OCPP 1.6 section 3.7.1: wait interval x preceding transmissions.
        wait_s = self._configuration.integer("TransactionMessageRetryInterval") * trouble.attempts
        self._timers.set((TIMER, entry.number), now.monotonic_s + wait_s)
        self._line.put_back(entry, hold=True)

    def _give_up(self, entry: Entry, sent: list[int], outcome: Outcome, now: Instant) -> None:
        trouble = self._troubles.pop(entry)
        why = outcome.code or "no answer"
        if isinstance(entry, Batch):
            log.error("MeterValues of connector %d is given up: %s", entry.connector_id, why)
            self.lost.dropped += len(sent)
            self._remove_samples(entry, sent, trouble)
            return
        name = "StartTransaction" if isinstance(entry, StartEntry) else "StopTransaction"
        log.error("%s of session %d is given up: %s", name, entry.tx.session_id, why)
        self.lost.messages += 1
        entry.tx.undelivered = f"{name}: {why}" if entry.tx.undelivered is None else entry.tx.undelivered
        self._line.finished(entry)
        if isinstance(entry, StartEntry):
            entry.tx.is_discarded = True
            self.update(entry.tx)
            self.on_discarded(entry.tx, now)
        else:
            self._archive(entry.tx)
            self.on_stopped(entry.tx, None, now)

    def _link_lost(self, entry: Entry, sent: list[int], now: Instant) -> None:
        """No attempt (CORE-TXQ-06), but five links running under one entry are its fault (CORE-TXQ-14)."""
        trouble = self._troubles.of(entry)
        trouble.is_unanswered = True
        trouble.link_losses += 1
        if trouble.link_losses < (1 if trouble.was_aside else POISON_LINK_LOSSES):
            self._line.put_back(entry)
            return
        trouble.link_losses = 0
        if isinstance(entry, Batch):
            self._reduce(entry, sent, trouble)
        elif isinstance(entry, StopEntry) and (effects := self._records.remove_stop(entry.tx)):
            log.error("StopTransaction of session %d goes on without transactionData", entry.tx.session_id)
            self._times.forget_data(entry.tx)
            self.lost.dropped += len(effects)
            for effect in effects:
                self._emit(effect)
            self._line.put_back(entry)
        else:
            self._set_aside(entry, trouble, now)

    def _reduce(self, batch: Batch, sent: list[int], trouble: Trouble) -> None:
        if not trouble.is_split and len(sent) > 1:
            log.error("MeterValues of connector %d is split: links are lost under it", batch.connector_id)
            trouble.is_split, trouble.limit = True, (len(sent) + 1) // 2
            self._line.put_back(batch)
            return
        log.error("%d samples of connector %d are dropped: links are lost under them", len(sent), batch.connector_id)
        self.lost.dropped += len(sent)
        self._troubles.pop(batch)
        self._remove_samples(batch, sent, trouble)

    def _set_aside(self, entry: StartEntry | StopEntry, trouble: Trouble, now: Instant) -> None:
        log.error("a message of session %d went aside: links are lost under it", entry.tx.session_id)
        trouble.was_aside = True
        if isinstance(entry, StartEntry) and not entry.tx.is_start_sent:
            entry.tx.is_start_sent = True
            self.update(entry.tx)
        self._line.set_aside(entry)
        self._timers.set((TIMER, entry.number), now.monotonic_s + ASIDE_RETRY_S)

    def handle_timer(self, number: int) -> None:
        """The wait of message ``number`` is over, or its day aside."""
        self._line.wake(number)
        self.changes += 1

    # reads and commands

    def retry(self, id: str) -> bool:
        """Try a message of :meth:`outbox_rows` at once; false when it is not aside and not waiting for its retry."""
        number = message_number(id)
        if number is None or not self._line.wake(number):
            return False
        self._timers.cancel((TIMER, number))
        self.changes += 1
        return True

    def outbox_rows(self, limit: int) -> list[dict[str, Any]]:
        """For ``outbox.list``: id, action, connector, session, time, attempts, samples and ``state`` of each message.

        ``state`` is ``in_flight``, ``aside``, ``retry`` or ``waiting``; those in flight and aside come first.
        """
        flying = () if self._in_flight is None else (self._in_flight,)
        messages = (entry for entry in (*flying, *self._line) if is_message(entry))
        return [self._row(entry) for entry in islice(messages, limit)]

    def _row(self, entry: Entry) -> dict[str, Any]:
        trouble = self._troubles.get(entry)
        state = "in_flight" if entry is self._in_flight else self._line.state_of(entry.number)
        return outbox_row(entry, 0 if trouble is None else trouble.attempts, state)

    def live(self) -> list[Transaction]:
        """The transactions that are not archived yet, oldest first."""
        return [*self._live.values()]

    def state(self) -> tuple[int, int, int | None, int]:
        """Messages, bytes of their rows, time of the oldest in milliseconds since 1970, and how many are aside."""
        flying = () if self._in_flight is None else (self._in_flight,)
        heads = (entry for entry in (*flying, *self._line.heads()) if is_message(entry))
        oldest_ms = min(map(made_ms, heads), default=None)
        return self._line.messages, self._records.bytes + self._line.bytes, oldest_ms, self._line.aside

    @property
    def is_ready(self) -> bool:
        """Whether a message could be sent at once."""
        return self._line.is_ready

    @property
    def is_full(self) -> bool:
        """Whether the queue is at its bound and has nothing more to give up: new sessions are refused."""
        return self._line.messages >= self._max_messages or self._records.bytes >= self._max_bytes
