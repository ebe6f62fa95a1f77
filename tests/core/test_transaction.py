"""What a transaction says on the wire, in its row and in the archive."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.core.rows import Rows
from ocpphub.core.transaction import TABLE, Stop, Transaction, restored
from ocpphub.store import Row

TEXT = st.text(max_size=20)
NUMBER = st.integers(0, 2**31 - 1)
STOPS = st.builds(Stop, NUMBER, NUMBER, TEXT, st.none() | TEXT, st.booleans())
TRANSACTIONS = st.builds(
    Transaction,
    session_id=st.integers(1, 10**12 - 1),
    connector_id=st.integers(1, 10_000),
    id_tag=TEXT,
    start_ms=NUMBER,
    meter_start_wh=NUMBER,
    trusted=st.booleans(),
    parent_id_tag=st.none() | TEXT,
    reservation_id=st.none() | NUMBER,
    plug_id=st.none() | TEXT | NUMBER,
    transaction_id=st.none() | st.integers(-(2**31), 2**31 - 1),
    is_discarded=st.booleans(),
    verdict=st.none() | TEXT,
    notes=st.dictionaries(TEXT, NUMBER | TEXT, max_size=3),
    undelivered=st.none() | TEXT,
)


def transaction(**changes: Any) -> Transaction:
    """A plain one."""
    return Transaction(**{"session_id": 7, "connector_id": 1, "id_tag": "TAG", "start_ms": 1_000, "meter_start_wh": 5,
                          "trusted": True, **changes})  # fmt: skip


def read_back(rows: dict[str, bytes]) -> list[Transaction]:
    return list(restored(Rows([Row("CP1", TABLE, key, value) for key, value in rows.items()], "CP1")))


@given(TRANSACTIONS, st.none() | STOPS)
def test_transaction_row_is_read_back_as_it_was(tx: Transaction, stop: Stop | None) -> None:
    """CORE-TXQ-10: payloads are the same bytes after a restart."""
    tx.stop, tx.stop_number = stop, None if stop is None else 12
    (again,) = read_back({tx.key: tx.row()})
    assert again.row() == tx.row()
    assert again.start_request() == tx.start_request()
    assert (again.session_id, again.notes, again.stop) == (tx.session_id, tx.notes, tx.stop)


def test_transaction_rows_are_read_oldest_first() -> None:
    """Keys sort as session ids do."""
    rows = {tx.key: tx.row() for tx in (transaction(session_id=number) for number in (100, 9, 20))}
    assert [tx.session_id for tx in read_back(rows)] == [9, 20, 100]


@pytest.mark.parametrize(
    "damage",
    [
        {"stop": 1, "stop_number": 2},
        {"stop": [1, 2, "Local"], "stop_number": 2},
        {"stop": ["x", 2, "Local", None, True], "stop_number": 2},
        {"stop_number": 2},
        {"unknown": 1},
        {"id_tag": None},
        {"notes": []},
        {"transaction_id": "7"},
        {"stop": [1, 2, "Local", 5, True], "stop_number": 2},
    ],
)
def test_transaction_damaged_row_is_left_aside(damage: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """And said so; the others are read."""
    rows = {transaction().key: orjson.dumps(orjson.loads(transaction().row()) | damage)}
    rows[transaction(session_id=8).key] = transaction(session_id=8).row()
    assert [tx.session_id for tx in read_back(rows)] == [8]
    assert "damaged row of transaction" in caplog.text


def test_transaction_id_on_the_wire_is_the_given_one_or_minus_one() -> None:
    """CORE-TX-03, CORE-TX-04, CORE-TX-09."""
    assert transaction(transaction_id=0).wire_id == 0
    assert transaction(is_discarded=True).wire_id == -1
    assert [transaction(transaction_id=0).is_answered, transaction(is_discarded=True).is_answered] == [True, True]
    assert transaction().is_answered is False


def test_transaction_stop_without_data_or_tag_leaves_them_out() -> None:
    """CORE-TX-11, CORE-TX-18."""
    payload = transaction(transaction_id=3).stop_request(Stop(2_000, 9, "HardReset", None, True), [])
    assert payload == {
        "transactionId": 3, "meterStop": 9, "timestamp": "1970-01-01T00:00:02.000Z", "reason": "HardReset",
    }  # fmt: skip


def test_transaction_records_never_go_back_in_time() -> None:
    """A clock that steps back leaves the order within a session; what it says untrusted is judged apart."""
    tx = transaction()
    times = [
        tx.recorded(at, trusted) for at, trusted in ((500, True), (400, True), (401, True), (50, False), (40, False))
    ]
    assert times == [500, 501, 502, 50, 51]


def test_transaction_record_of_a_running_one_has_no_stop() -> None:
    """``transaction.list`` shows running sessions too."""
    record = transaction().record()
    assert record == {
        "session_id": 7, "connector_id": 1, "transaction_id": None, "id_tag": "TAG",
        "start": "1970-01-01T00:00:01.000Z", "meter_start_wh": 5, "delivered": False,
    }  # fmt: skip


def test_transaction_archive_says_what_was_not_delivered() -> None:
    """CORE-TX-09: skipping delivery is allowed, losing the record is not."""
    assert orjson.loads(transaction().archive_row())["delivered"] is True
    row = orjson.loads(transaction(undelivered="StartTransaction: no answer").archive_row())
    assert (row["delivered"], row["undelivered"]) == (False, "StartTransaction: no answer")
