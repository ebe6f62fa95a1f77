"""Whose turn it is."""

from __future__ import annotations

from ocpphub.core.queue_line import Batch, Entry, Line, StartEntry, StopEntry
from ocpphub.core.transaction import Stop, Transaction


def tx(session_id: int) -> Transaction:
    return Transaction(session_id, 1, "TAG", 0, 0, True)


def batch(number: int, transaction: Transaction | None = None, lines: bytes = b"x") -> Batch:
    return Batch(number, transaction, 1, lines)


def line(*entries: Entry) -> Line:
    made = Line()
    for entry in entries:
        made.append(entry)
    return made


def drained(made: Line) -> list[int]:
    numbers = []
    while (entry := made.take()) is not None:
        numbers.append(entry.number)
        made.finished(entry)
    return numbers


def test_line_gives_entries_in_their_order() -> None:
    """CORE-TXQ-01, CORE-TXQ-03."""
    made = line(batch(1), batch(2), batch(3))
    assert (made.messages, made.is_ready) == (3, True)
    assert drained(made) == [1, 2, 3]
    assert (made.messages, made.is_ready) == (0, False)


def test_line_head_that_waits_for_its_retry_holds_up_the_others() -> None:
    """AMB-04."""
    made = line(batch(1), batch(2))
    head = made.take()
    assert head is not None
    made.put_back(head, hold=True)
    assert made.take() is None
    assert not made.is_ready
    assert [made.state_of(1), made.state_of(2)] == ["retry", "waiting"]
    assert made.wake(1)
    assert drained(made) == [1, 2]


def test_line_wakes_nobody_who_does_not_wait() -> None:
    """A timer that comes late, or a wrong id."""
    made = line(batch(1))
    assert [made.wake(1), made.wake(9)] == [False, False]
    assert drained(made) == [1]


def test_line_lets_others_pass_a_start_that_went_aside_but_not_its_followers() -> None:
    """CORE-TXQ-07, CORE-TXQ-14."""
    first, second = tx(1), tx(2)
    start = StartEntry(1, first)
    stop = StopEntry(6, first, Stop(0, 0, "Local", None, True))
    made = line(start, StartEntry(2, second), batch(3, first), batch(4, second), batch(5), stop)
    assert made.take() is start
    made.set_aside(start)
    assert drained(made) == [2, 4, 5]
    assert (made.messages, made.aside, made.state_of(1)) == (3, 1, "aside")
    made.append(batch(7))
    assert made.wake(1)
    assert drained(made) == [1, 3, 6, 7]
    assert (made.messages, made.aside) == (0, 0)


def test_line_followers_wait_as_long_as_their_start_fails_again() -> None:
    """CORE-TXQ-14: a daily retry that fails changes nothing."""
    start = StartEntry(1, tx(1))
    made = line(start, batch(2, start.tx))
    for _ in range(3):
        assert made.take() is start
        made.set_aside(start)
        assert made.take() is None
        made.wake(1)
    assert drained(made) == [1, 2]


def test_line_passes_over_what_was_thinned_away() -> None:
    """CORE-TXQ-11: such a batch counts no longer."""
    gone = batch(1)
    made = line(gone, batch(2))
    gone.lines = b""
    made.emptied()
    assert made.messages == 1
    assert [entry.number for entry in made.heads()] == [2]
    assert drained(made) == [2]


def test_line_shows_those_aside_first() -> None:
    """``outbox.list``."""
    start = StartEntry(1, tx(1))
    made = line(start, batch(2, start.tx), batch(3))
    made.take()
    made.set_aside(start)
    assert made.take() is not None
    assert [entry.number for entry in made] == [1, 2]
    assert [entry.number for entry in made.heads()] == [1]
