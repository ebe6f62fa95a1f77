"""The sessions of an embedded CSMS: records, de-duplication, and the comparison with the hub's own list."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.sim import ledger as module
from ocpphub.sim.ledger import Ledger

START = {"connectorId": 1, "idTag": "TAG1", "timestamp": "2027-01-15T08:00:00Z", "meterStart": 100}
SESSION = {
    "session_id": 1,
    "transaction_id": 1,
    "connector_id": 1,
    "id_tag": "TAG1",
    "start": "2027-01-15T08:00:00.000Z",
    "meter_start_wh": 100,
    "stop": "2027-01-15T09:00:00.000Z",
    "meter_stop_wh": 900,
    "reason": "Local",
}


def stop(**changes: Any) -> dict[str, Any]:
    return {"transactionId": 1, "meterStop": 900, "timestamp": "2027-01-15T09:00:00Z", "reason": "Local", **changes}


def finished(*, starts: int = 1, deduplicates: bool = False) -> Ledger:
    """A ledger with one session that was stopped; more ``starts`` are retries of the same one."""
    ledger = Ledger(deduplicates=deduplicates)
    for _ in range(starts):
        ledger.start("HUB-1", START, "Accepted")
    ledger.stop("HUB-1", stop(transactionId=1 if deduplicates else starts))
    return ledger


def test_ledger_keeps_a_session_from_start_to_stop() -> None:
    """CORE-TX-01, CORE-TX-10: one record, its meter values, its energy."""
    ledger = Ledger(first_id=7)
    record = ledger.start("HUB-1", {**START, "reservationId": 5}, "Accepted")
    assert (record.transaction_id, record.reservation_id, record.energy_wh) == (7, 5, None)
    assert ledger.open == [record]
    ledger.meter_values("HUB-1", {"connectorId": 1, "transactionId": 7, "meterValue": [{"n": 1}, {"n": 2}]})
    ledger.meter_values("HUB-1", {"connectorId": 1, "meterValue": [{"n": 3}]})
    ledger.stop("HUB-1", stop(transactionId=7))
    assert (ledger.open, record.energy_wh, record.meter_values) == ([], 800, [{"n": 1}, {"n": 2}])
    assert ledger.orphans == []


def test_ledger_without_deduplication_makes_a_record_of_each_start() -> None:
    """F23: what a lost answer to StartTransaction costs at such a CSMS."""
    ledger = finished(starts=2)
    assert [record.transaction_id for record in ledger.records] == [1, 2]
    assert [len(records) for records in ledger.copies().values()] == [2]
    assert ledger.compare([{**SESSION, "transaction_id": 2}], lost_answers=1) == []
    assert ledger.compare([{**SESSION, "transaction_id": 2}]) == ["1 more records than lost answers can explain"]


def test_ledger_with_deduplication_gives_the_same_id_again() -> None:
    """F23: as SteVe does it, by connector, tag, timestamp and register."""
    ledger = finished(starts=3, deduplicates=True)
    assert [(record.transaction_id, record.starts) for record in ledger.records] == [(1, 3)]
    assert ledger.copies() == {}
    other = ledger.start("HUB-1", {**START, "timestamp": "2027-01-15T08:00:01Z"}, "Accepted")
    assert other.transaction_id == 2


def test_ledger_keeps_charge_points_apart() -> None:
    """A stop of another charge point's transaction is nobody's."""
    ledger = Ledger()
    ledger.start("HUB-1", START, "Accepted")
    ledger.stop("HUB-2", stop())
    ledger.meter_values("HUB-2", {"connectorId": 1, "transactionId": 9, "meterValue": []})
    assert [action for action, _ in ledger.orphans] == ["StopTransaction", "MeterValues"]
    assert len(ledger.open) == 1


def test_ledger_agrees_with_a_hub_that_did_everything_right() -> None:
    """A running session without a stop, and one with."""
    ledger = finished()
    ledger.start("HUB-1", {**START, "connectorId": 2}, "Accepted")
    running = {**SESSION, "session_id": 2, "connector_id": 2, "transaction_id": None, "stop": None}
    assert ledger.compare([SESSION, running]) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter_start_wh": 99}, "session 1: the CSMS has no record of it"),
        ({"meter_stop_wh": 901}, "session 1: stopped at 901 Wh here and 900 Wh there"),
        ({"stop": "2027-01-15T09:00:01.000Z"}, "session 1: stopped 2027-01-15T09:00:01.000Z here"),
        ({"reason": "EVDisconnected"}, "session 1: stopped for EVDisconnected here and for Local there"),
        ({"transaction_id": 5}, "session 1: the hub says id 5, the CSMS [1]"),
        ({"stop": None}, "session 1: the CSMS has a stop for a running session"),
    ],
)
def test_ledger_names_what_contradicts_the_hub(change: dict[str, Any], problem: str) -> None:
    """Each difference in words."""
    problems = finished().compare([{**SESSION, **change}])
    assert problems[0].startswith(problem)


def test_ledger_names_sessions_that_only_one_side_has() -> None:
    """A session without its stop, one that the hub has not, and stops that differ."""
    ledger = Ledger()
    ledger.start("HUB-1", START, "Accepted")
    assert ledger.compare([SESSION]) == ["session 1: the CSMS has no stop"]
    assert ledger.compare([])[0].startswith("the hub has no session")
    ledger.stop("HUB-1", stop())
    ledger.stop("HUB-1", stop(meterStop=901))
    assert ledger.compare([SESSION]) == ["session 1: stops that differ"]


def test_ledger_forgets_the_oldest_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that nobody ends must not grow."""
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    monkeypatch.setattr(module, "MAX_METER_VALUES", 3)
    ledger = Ledger(deduplicates=True)
    for number in range(40):
        ledger.start("HUB-1", {**START, "meterStart": number}, "Accepted")
        ledger.stop("HUB-1", stop(transactionId=-1))
    ledger.meter_values("HUB-1", {"connectorId": 1, "transactionId": 40, "meterValue": [{}] * 5})
    assert len(ledger.records) <= 10
    assert len(ledger.orphans) == 10
    assert len(ledger.records[-1].meter_values) == 3
    assert ledger.start("HUB-1", {**START, "meterStart": 0}, "Accepted").transaction_id == 41
