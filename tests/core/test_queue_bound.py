"""What is given up first."""

from __future__ import annotations

from ocpphub.core.queue_bound import Thinning
from ocpphub.core.queue_line import Batch, Line, StartEntry
from ocpphub.core.queue_samples import CONTEXTS, appended, sample_row, without
from ocpphub.core.transaction import Stop, Transaction


def transaction(session_id: int, *, ended: bool) -> Transaction:
    made = Transaction(session_id, 1, "TAG", 0, 0, True)
    if ended:
        made.stop, made.stop_number = Stop(1, 1, "Local", None, True), session_id + 1_000
    return made


def batch(number: int, tx: Transaction | None, samples: int, context: int = 0) -> Batch:
    lines = b""
    for at_ms in range(samples):
        lines = appended(lines, sample_row(1, at_ms, context, True, ["1"]))
    return Batch(number, tx, 1, lines)


def order(line: Line, thinning: Thinning) -> list[int]:
    """Thin until nothing is left; the numbers of the batches that lost something, each time."""
    numbers = []
    while (found := thinning.next()) is not None:
        entry, gone = found
        entry.lines = without(entry.lines, gone)
        numbers.append(entry.number)
    return numbers


def test_thinning_takes_ended_sessions_oldest_first_and_then_running_ones() -> None:
    """CORE-TXQ-11: a StartTransaction is never a choice."""
    line = Line()
    running, ended = transaction(1, ended=False), transaction(2, ended=True)
    for entry in (StartEntry(1, running), batch(3, running, 2), batch(4, ended, 4), batch(5, None, 2)):
        line.append(entry)
    assert order(line, Thinning(line, lambda batch: True)) == [4, 5, 4, 5, 4, 3, 3]


def test_thinning_leaves_begin_and_end_and_what_may_have_been_sent() -> None:
    """CORE-TX-19, CORE-TXQ-12."""
    line = Line()
    line.append(batch(1, None, 3))
    for context in ("Transaction.Begin", "Transaction.End"):
        line.append(batch(2, None, 3, [str(each) for each in CONTEXTS].index(context)))
    assert order(line, Thinning(line, lambda batch: batch.number != 1)) == []


def test_thinning_that_found_nothing_looks_again_only_when_there_may_be_something() -> None:
    """A full queue costs no search with each sample."""
    line = Line()
    asked: list[int] = []

    def refuse(batch: Batch) -> bool:
        asked.append(batch.number)
        return False

    line.append(batch(1, None, 1))
    thinning = Thinning(line, refuse)
    assert thinning.next() is None
    assert thinning.next() is None
    assert asked == [1]
    thinning.grown()
    assert thinning.next() is None
    assert asked == [1, 1]
    thinning.ended()
    assert thinning.next() is None
    assert asked == [1, 1, 1]


def test_thinning_returns_to_sessions_that_ended_meanwhile() -> None:
    """CORE-TXQ-11: in the middle of a walk over running ones."""
    line = Line()
    first, second = transaction(1, ended=False), transaction(2, ended=False)
    line.append(batch(3, first, 8))
    line.append(batch(4, second, 8))
    thinning = Thinning(line, lambda batch: True)
    found = thinning.next()
    assert found is not None
    assert found[0].number == 3
    second.stop = Stop(1, 1, "Local", None, True)
    thinning.ended()
    found = thinning.next()
    assert found is not None
    assert found[0].number == 4
