"""What is remembered of messages that were sent."""

from __future__ import annotations

import pytest

from ocpphub.core.effects import Effect, Store
from ocpphub.core.queue_line import Batch, Entry, StartEntry
from ocpphub.core.queue_troubles import ATTEMPTS, Troubles
from ocpphub.core.rows import Rows
from ocpphub.core.transaction import Transaction
from ocpphub.store import Row


def start(number: int, *, is_start_sent: bool = False) -> Entry:
    return StartEntry(number, Transaction(number, 1, "TAG", 0, 0, True, is_start_sent=is_start_sent))


def restored(text: bytes | None, entries: list[Entry]) -> Troubles:
    made = Troubles(lambda effect: None)
    made.restore(Rows([] if text is None else [Row("CP1", "counter", ATTEMPTS, text)], "CP1"), entries)
    return made


def test_troubles_after_a_restart_hold_the_first_two_and_those_that_went_aside() -> None:
    """decisions.md 6: no flag is written before a Send."""
    entries = [start(1, is_start_sent=True), start(2), Batch(3, None, 1, b"x"), start(4), start(5, is_start_sent=True)]
    made = restored(None, entries)
    assert [made.of(entry).is_unanswered for entry in entries] == [True, True, True, False, True]


def test_troubles_keep_attempts_over_a_restart() -> None:
    """CORE-TXQ-05: one row, of the message that was tried last."""
    effects: list[Effect] = []
    made = Troubles(effects.append)
    entries = [start(1), start(2)]
    for is_unanswered in (True, False):
        made.failed(entries[0], is_unanswered=is_unanswered)
    assert made.of(entries[0]).is_unanswered
    last = effects[-1]
    assert isinstance(last, Store)
    again = restored(last.value, entries)
    assert [again.of(entry).attempts for entry in entries] == [2, 0]
    assert restored(last.value, entries[1:]).of(entries[1]).attempts == 0


@pytest.mark.parametrize("text", [b"", b"[1]", b"{}", b"null", b'["a",1]', b"[1,2,3]"])
def test_troubles_leave_a_damaged_row_aside(text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It costs a few more transmissions."""
    assert restored(text, [start(1)]).of(start(1)).attempts == 0
    assert "damaged row of counter" in caplog.text


def test_troubles_forget_what_is_done() -> None:
    """And know what was never sent."""
    made = Troubles(lambda effect: None)
    assert not made.has(start(1))
    made.of(start(1)).link_losses = 3
    assert made.has(start(1))
    assert made.pop(start(1)).link_losses == 3
    assert made.get(start(1)) is None
