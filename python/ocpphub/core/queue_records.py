"""The stored samples of the transaction queue: batches for MeterValues, and transactionData of StopTransaction.

Owns the rows of samples, their keys, which batch a new sample joins, and the bound of transactionData. Must never
decide when a batch leaves. A batch takes samples until it is closed; which samples it holds is in their keys, so that
after a crash the same message is composed again without a write before each transmission.

Implements: OCPP 1.6 sections 3.16 and 6.31; J-327; errata 3.89; requirements CORE-MV-08, CORE-MV-21, CORE-TXQ-12,
CORE-TX-18, CORE-TX-19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from orjson import Fragment

from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.queue_line import Batch, Line
from ocpphub.core.queue_numbers import Numbers
from ocpphub.core.queue_samples import (
    PLACES,
    Layouts,
    appended,
    dispensable,
    layouts_of,
    present,
    replaced,
    retimed,
    sample_row,
    time_of,
    without,
)
from ocpphub.core.readings import Descriptor
from ocpphub.core.rows import Rows, log
from ocpphub.core.transaction import Transaction, row_key

SAMPLES: Final = "sample"
STOP_SAMPLES: Final = "stop_sample"
MAX_MESSAGE: Final = 64 * 1024
"""Bytes of a MeterValues.req beyond which another one is begun (J-327)."""
MAX_DATA: Final = 60_000
"""Bytes of transactionData, so that StopTransaction.req stays within 64 KiB."""

MAX_INDEX: Final = 999_999
"""Of a sample within its batch or session; a key with a higher one is damaged."""

_KEY: Final = re.compile(r"[0-9]{1,18}(-[0-9]{1,18})+", re.ASCII)

Moved = Callable[[int, Transaction | None], tuple[int, bool]]
"""An untrusted time and whose it is -> the time it really was, and whether that is the last word."""


_Sample = tuple[int, bytes, tuple[int, bool]]
"""Index, text, and :func:`~ocpphub.core.queue_samples.time_of` of it."""


@dataclass(slots=True)
class Restored:
    """What :meth:`Records.restore` found: the batches by number, and what holds times that are not trusted."""

    batches: list[Batch]
    untrusted: list[Batch]
    untrusted_data: list[Transaction]


@dataclass(slots=True)
class _Open:
    """A batch that takes further samples: how many it has had, and about how many bytes they take on the wire."""

    batch: Batch
    count: int = 0
    size: int = 0


@dataclass(slots=True)
class StopData:
    """transactionData of one transaction."""

    lines: bytes = b""
    count: int = 0
    size: int = 0


class Records:
    """The samples of one charge point. ``max_values`` is StopTransactionMaxMeterValues."""

    def __init__(
        self, emit: Callable[[Effect], None], line: Line, numbers: Numbers, max_values: Callable[[], int]
    ) -> None:
        self._emit, self._line, self._numbers, self._max_values = emit, line, numbers, max_values
        self._layouts = Layouts(emit)
        self._open: dict[tuple[int, int], _Open] = {}
        self._data: dict[int, StopData] = {}
        self.bytes = 0
        """Of all rows of samples."""

    # restore

    def restore(self, rows: Rows, transactions: Mapping[int, Transaction]) -> Restored:
        """Take up the samples of an earlier process; its batches, all closed. Damaged rows are left aside, loudly."""
        self._layouts.restore(rows)
        found = Restored([], [], [])
        for (number, connector_id, session_id), group in self._grouped(rows, SAMPLES, 4, transactions, 2):
            tx = transactions.get(session_id)
            batch = Batch(number, tx, connector_id, _joined(group))
            found.batches.append(batch)
            if not self._account(tx, group):
                found.untrusted.append(batch)
        for (session_id,), group in self._grouped(rows, STOP_SAMPLES, 2, transactions, 0):
            tx = transactions[session_id]
            self._data[session_id] = StopData(
                _joined(group), len(group), sum(self._layouts.size(row) for _, row, _ in group)
            )
            if not self._account(tx, group):
                found.untrusted_data.append(tx)
        return found

    def _grouped(
        self, rows: Rows, table: str, members: int, transactions: Mapping[int, Transaction], session: int
    ) -> Iterator[tuple[tuple[int, ...], list[_Sample]]]:
        """The sound samples of a table by what their keys say: first whose they are, last the index."""
        whose: tuple[int, ...] = ()
        group: list[_Sample] = []
        damaged: list[str] = []
        texts = rows.of(table)
        for key in sorted(texts):
            row = texts[key]
            numbers = _numbers(key, members)
            dated = self._layouts.read(row)
            if (
                dated is None
                or numbers[-1] > MAX_INDEX
                or not (numbers[session] in transactions or (numbers[session] == 0 and table == SAMPLES))
            ):
                damaged.append(key)
                continue
            if numbers[:-1] != whose:
                if group:
                    yield whose, group
                whose, group = numbers[:-1], []
            group.append((numbers[-1], row, dated))
        if group:
            yield whose, group
        if damaged:  # one line: a damaged transaction may have thousands
            log.error("%d damaged rows of %s are left aside, first %s", len(damaged), table, damaged[0])

    def _account(self, tx: Transaction | None, group: list[_Sample]) -> bool:
        """Count restored samples; whether the times of all are trusted."""
        is_trusted = True
        for _, row, (at_ms, trusted) in group:
            self.bytes += len(row)
            is_trusted = is_trusted and trusted
            if tx is not None:
                tx.remember(at_ms, trusted)
        return is_trusted

    # batches

    def add(
        self,
        connector_id: int,
        tx: Transaction | None,
        layout: tuple[Descriptor, ...],
        at_ms: int,
        context: str,
        values: Sequence[str],
        trusted: bool,
    ) -> Batch:
        """Store one sample; the batch it joined, or began at the end of the line. Effects: ``Store``."""
        row = self._row(tx, layout, at_ms, context, values, trusted)
        size = self._layouts.size(row)
        whose = (connector_id, 0 if tx is None else tx.session_id)
        open_ = self._open.get(whose)
        if open_ is None or open_.size + size > MAX_MESSAGE:
            batch = Batch(self._numbers.next(), tx, connector_id, b"")
            self._line.append(batch)
            open_ = self._open[whose] = _Open(batch)
        batch = open_.batch
        self._emit(Store(SAMPLES, _batch_key(batch, open_.count), row))
        batch.lines = appended(batch.lines, row)
        open_.count += 1
        open_.size += size
        return batch

    def _row(
        self,
        tx: Transaction | None,
        layout: tuple[Descriptor, ...],
        at_ms: int,
        context: str,
        values: Sequence[str],
        trusted: bool,
    ) -> bytes:
        if tx is not None:
            at_ms = tx.recorded(at_ms, trusted)
        number = self._layouts.number(layout, self._used_layouts)
        row = sample_row(number, at_ms, PLACES[context], trusted, values)
        self.bytes += len(row)
        return row

    def _used_layouts(self) -> set[int]:
        batches = (entry.lines for entry in self._line if isinstance(entry, Batch))
        used: set[int] = set()
        for lines in (*batches, *(data.lines for data in self._data.values())):
            used |= layouts_of(lines)
        return used

    def close(self, connector_id: int, tx: Transaction | None) -> None:
        """The next sample of this connector and transaction begins another batch."""
        self._open.pop((connector_id, 0 if tx is None else tx.session_id), None)

    def close_batch(self, batch: Batch) -> None:
        """``batch`` takes no more samples: it is about to be sent, or was thinned."""
        whose = (batch.connector_id, 0 if batch.tx is None else batch.tx.session_id)
        if (open_ := self._open.get(whose)) is not None and open_.batch is batch:
            del self._open[whose]

    def remove(self, batch: Batch, gone: Iterable[int]) -> list[Effect]:
        """Take samples out of a batch. The ``Discard`` effects, which the caller emits."""
        rows = batch.lines.split(b"\n")
        gone = list(gone)
        if len(rows) == 1 and gone:
            self.bytes -= len(batch.lines)
            batch.lines = b""
        else:
            self.bytes -= sum(len(rows[index]) for index in gone)
            batch.lines = without(batch.lines, gone)
        return [Discard(SAMPLES, _batch_key(batch, index)) for index in gone]

    def meter_values(self, batch: Batch, limit: int | None) -> tuple[list[int], list[Fragment]]:
        """The first ``limit`` samples of a batch, all for ``None``: their indexes and ``meterValue``."""
        chosen = [*present(batch.lines)][:limit]
        return [index for index, _ in chosen], [Fragment(self._layouts.meter_value(row)) for _, row in chosen]

    def retime(self, batch: Batch, moved: Moved) -> bool:
        """Rewrite the untrusted times of a batch; whether all are trusted now. Effects: ``Store``."""
        batch.lines, is_final = self._retimed(
            batch.lines, lambda at_ms: moved(at_ms, batch.tx), lambda index: (SAMPLES, _batch_key(batch, index))
        )
        return is_final

    def _retimed(
        self, lines: bytes, moved: Callable[[int], tuple[int, bool]], place: Callable[[int], tuple[str, str]]
    ) -> tuple[bytes, bool]:
        changed: list[tuple[int, bytes]] = []
        is_final = True
        for index, row in present(lines):
            at_ms, trusted = time_of(row)
            if not trusted:
                at_ms, trusted = moved(at_ms)
                is_final = is_final and trusted
                changed.append((index, retimed(row, at_ms, trusted)))
                self.bytes += len(changed[-1][1]) - len(row)
                self._emit(Store(*place(index), changed[-1][1]))
        return (replaced(lines, changed) if changed else lines), is_final

    # transactionData

    def add_stop(
        self,
        tx: Transaction,
        layout: tuple[Descriptor, ...],
        at_ms: int,
        context: str,
        values: Sequence[str],
        trusted: bool,
    ) -> None:
        """Store one sample for StopTransaction, and thin what there is when it is too much. Effects: ``Store``."""
        row = self._row(tx, layout, at_ms, context, values, trusted)
        data = self._data.setdefault(tx.session_id, StopData())
        index = data.lines.count(b"\n") + 1 if data.lines else 0
        self._emit(Store(STOP_SAMPLES, _data_key(tx, index), row))
        data.lines = appended(data.lines, row)
        data.count += 1
        data.size += self._layouts.size(row)
        self.fit(tx)

    def fit(self, tx: Transaction) -> None:
        """Bring transactionData within its bounds; Begin and End stay (errata 3.89). Effects: ``Discard``."""
        data = self._data.get(tx.session_id)
        while data is not None and (data.count > self._max_values() or data.size > MAX_DATA):
            gone = dispensable(data.lines)
            if not gone:
                return
            rows = data.lines.split(b"\n")
            for index in gone:
                data.count -= 1
                data.size -= self._layouts.size(rows[index])
                self.bytes -= len(rows[index])
                self._emit(Discard(STOP_SAMPLES, _data_key(tx, index)))
            data.lines = without(data.lines, gone)

    def transaction_data(self, tx: Transaction) -> list[Fragment]:
        """``transactionData``; empty when there is none."""
        data = self._data.get(tx.session_id)
        return [] if data is None else [Fragment(self._layouts.meter_value(row)) for _, row in present(data.lines)]

    def retime_stop(self, tx: Transaction, moved: Moved) -> bool:
        """As :meth:`retime` for transactionData."""
        data = self._data.get(tx.session_id)
        if data is None:
            return True
        data.lines, is_final = self._retimed(
            data.lines, lambda at_ms: moved(at_ms, tx), lambda index: (STOP_SAMPLES, _data_key(tx, index))
        )
        return is_final

    def remove_stop(self, tx: Transaction) -> list[Effect]:
        """Give up transactionData. The ``Discard`` effects, which the caller emits."""
        data = self._data.pop(tx.session_id, None)
        if data is None:
            return []
        gone = [*present(data.lines)]
        self.bytes -= sum(len(row) for _, row in gone)
        return [Discard(STOP_SAMPLES, _data_key(tx, index)) for index, _ in gone]


def _batch_key(batch: Batch, index: int) -> str:
    session_id = 0 if batch.tx is None else batch.tx.session_id
    return f"{batch.number:012d}-{batch.connector_id}-{session_id}-{index:04d}"


def _data_key(tx: Transaction, index: int) -> str:
    return f"{row_key(tx.session_id)}-{index:06d}"


def _numbers(key: str, count: int) -> tuple[int, ...]:
    """The numbers of a key; an index that no sample has when there are others than ``count``."""
    numbers = tuple(map(int, key.split("-"))) if _KEY.fullmatch(key) else ()
    return numbers if len(numbers) == count else (MAX_INDEX + 1,) * count


def _joined(group: list[_Sample]) -> bytes:
    if len(group) == 1 and group[0][0] == 0:
        return group[0][1]  # the text that the store read, not a copy of it
    return replaced(b"", [(index, row) for index, row, _ in group])


def highest_number(rows: Rows) -> int:
    """The highest number that samples of an earlier process name."""
    return max((int(key[:12]) for key in rows.of(SAMPLES) if key[:12].isdecimal()), default=0)
