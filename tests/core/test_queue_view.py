"""Ids and times of what waits."""

from __future__ import annotations

import pytest

from ocpphub.core.queue_line import Batch, StartEntry, StopEntry
from ocpphub.core.queue_view import is_message, made_ms, message_number, outbox_row
from ocpphub.core.transaction import Stop, Transaction


@pytest.mark.parametrize(
    ("id", "number"),
    [
        ("tx-7", 7),
        ("tx-", None),
        ("7", None),
        ("tx--7", None),
        ("tx-7a", None),
        ("000000000007", None),
        ("tx-" + "9" * 19, None),
    ],
)
def test_message_number_is_that_of_an_id(id: str, number: int | None) -> None:
    """``outbox.retry`` takes what ``outbox.list`` told."""
    assert message_number(id) == number


def test_made_ms_is_the_time_of_the_event() -> None:
    """CORE-TXQ-01: of a batch the first sample that is left."""
    tx = Transaction(1, 2, "TAG", 1_000, 0, True)
    batch = Batch(3, tx, 2, b'\n[1,5000,0,1,"x"]\n[1,6000,0,1,"x"]')
    stop = StopEntry(4, tx, Stop(9_000, 1, "Local", None, True))
    assert [made_ms(StartEntry(1, tx)), made_ms(batch), made_ms(stop)] == [1_000, 5_000, 9_000]
    assert outbox_row(batch, 2, "retry") == {
        "id": "tx-3", "at": "1970-01-01T00:00:05.000Z", "action": "MeterValues", "connector_id": 2, "samples": 2,
        "session_id": 1, "attempts": 2, "state": "retry",
    }  # fmt: skip
    assert [is_message(batch), is_message(Batch(5, None, 1, b""))] == [True, False]
