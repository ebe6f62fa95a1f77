"""The judges of lives on records made by hand: each complains about its breach, and about nothing else."""

from __future__ import annotations

from typing import Any

from orjson import dumps

from tests.lives.checker import check
from tests.lives.records import (
    Answered,
    Began,
    Called,
    Commanded,
    Finished,
    Header,
    Life,
    Linked,
    Published,
    Received,
    Record,
    Replied,
    Sent,
)

TIME_MS = 1_800_000_000_000


class Story:
    """A life told by hand; every record is one second and one input after the last."""

    def __init__(self) -> None:
        header = Header(1, 3, 3, 10.0, 0, 32.0, False, {}, {}, None, False)
        self.life = Life(header, [Began(0.0, TIME_MS, 0, "first")])
        self._calls = 0

    def add(self, kind: type[Record], *data: Any) -> Story:
        """Append a record."""
        number = len(self.life.records)
        self.life.records.append(kind(float(number), TIME_MS + 1000 * number, number, *data))
        return self

    def call(self, action: str, payload: dict[str, Any], answer: dict[str, Any] | None = None) -> Story:
        """A CALL of the charge point, and its confirmation."""
        self._calls += 1
        self.add(Sent, f"id-{self._calls}", action, payload, dumps(payload))
        return self if answer is None else self.add(Received, f"id-{self._calls}", True, True, answer)

    def transaction(self, event: str, **more: Any) -> Story:
        """A publication of session 1 on connector 1."""
        value = {"event": event, "connector_id": 1, "session_id": 1, "transaction_id": None, "id_tag": "GOOD1",
                 "start": "2027-01-15T08:00:03.000Z", "meter_start_wh": 100, "delivered": False, **more}  # fmt: skip
        return self.add(Published, "transaction", 1, value)

    def report(self, energy_wh: int) -> Story:
        """A report that was taken."""
        self.add(Commanded, len(self.life.records), 1, "report", {"connector_id": 1, "energy_wh": energy_wh})
        return self.add(Replied, len(self.life.records) - 1, {}, None, False)

    def authorized(self) -> Story:
        """Somebody presents the tag; the register is known."""
        self.add(Linked, True).report(100)
        return self.add(Commanded, 900, 1, "authorize", {"id_tag": "GOOD1", "connector_id": 1})

    def verdicts(self, messages: int = 0) -> set[str]:
        """What the checker says."""
        self.add(Finished, {"messages": messages}, 0)
        return {violation.invariant for violation in check(self.life)}


START = {"connectorId": 1, "idTag": "GOOD1", "meterStart": 100, "timestamp": "2027-01-15T08:00:03.000Z"}
STARTED = {"transactionId": 7, "idTagInfo": {"status": "Accepted"}}
STOP = {"transactionId": 7, "meterStop": 150, "timestamp": "2027-01-15T08:00:09.000Z", "reason": "Local"}
ENDED = {"transaction_id": 7, "stop": "2027-01-15T08:00:09.000Z", "meter_stop_wh": 150, "reason": "Local"}


def test_a_plain_session_is_no_violation() -> None:
    """Start, stop, both answered, nothing left: nothing to complain about."""
    story = Story().authorized().transaction("started").call("StartTransaction", START, STARTED).report(150)
    story.transaction("ended", **ENDED).call("StopTransaction", STOP, {})
    assert story.verdicts() == set()


def test_a_session_that_nobody_told_the_csms_of_is_lost() -> None:
    """D1, and L2: it never ended either."""
    assert Story().authorized().transaction("started").verdicts() == {"D1", "L2"}


def test_a_start_with_two_times_is_two_starts() -> None:
    """D3: the payload is the idempotency key."""
    other = {**START, "timestamp": "2027-01-15T08:00:04.000Z"}
    story = Story().authorized().transaction("started").call("StartTransaction", START).add(Linked, False)
    story.add(Linked, True).call("StartTransaction", other, STARTED).report(150)
    story.transaction("ended", **ENDED).call("StopTransaction", STOP, {})
    assert "D3" in story.verdicts()


def test_a_start_that_was_answered_is_not_sent_again() -> None:
    """D3 within one process."""
    story = Story().authorized().transaction("started").call("StartTransaction", START, STARTED)
    story.call("StartTransaction", START, STARTED).report(150)
    story.transaction("ended", **ENDED).call("StopTransaction", STOP, {})
    assert story.verdicts() == {"D3"}


def test_a_stop_with_an_invented_id_is_seen() -> None:
    """D4 and D5: nobody gave 8."""
    story = Story().authorized().transaction("started").call("StartTransaction", START, STARTED).report(150)
    story.transaction("ended", **ENDED).call("StopTransaction", {**STOP, "transactionId": 8}, {})
    assert story.verdicts() == {"D5"}


def test_energy_that_no_meter_read_is_seen() -> None:
    """E2: the end of a session is a register that was reported."""
    story = Story().authorized().transaction("started").call("StartTransaction", START, STARTED)
    story.transaction("ended", **ENDED).call("StopTransaction", STOP, {})
    assert story.verdicts() == {"E2"}


def test_a_tag_that_was_presented_nowhere_does_not_charge() -> None:
    """S1."""
    story = Story().add(Linked, True).report(100).transaction("started").call("StartTransaction", START, STARTED)
    story.report(150).transaction("ended", **ENDED).call("StopTransaction", STOP, {})
    assert story.verdicts() == {"S1"}


def test_two_calls_in_flight_are_seen() -> None:
    """D2: the first was neither answered nor given its time."""
    story = Story().add(Linked, True).call("Heartbeat", {}).call("Heartbeat", {}, {})
    assert story.verdicts() == {"D2"}


def test_an_illegal_edge_is_seen() -> None:
    """CORE-STAT-02: Finishing to Charging."""
    status = {"connectorId": 1, "errorCode": "NoError", "timestamp": "2027-01-15T08:00:03.000Z"}
    story = Story().add(Linked, True).call("StatusNotification", {**status, "status": "Finishing"}, {})
    assert story.call("StatusNotification", {**status, "status": "Charging"}, {}).verdicts() == {"STATUS"}


def test_a_notification_lost_with_the_link_is_no_state_of_the_csms() -> None:
    """CORE-STAT-02: what was never answered may be left out later."""
    status = {"connectorId": 1, "errorCode": "NoError", "timestamp": "2027-01-15T08:00:03.000Z"}
    story = Story().add(Linked, True).call("StatusNotification", {**status, "status": "Preparing"}, {})
    story.call("StatusNotification", {**status, "status": "Finishing"}).add(Linked, False).add(Linked, True)
    assert story.call("StatusNotification", {**status, "status": "Charging"}, {}).verdicts() == set()


def test_an_acknowledged_security_event_has_to_arrive() -> None:
    """D1 for the command security_event."""
    story = Story().add(Commanded, 1, 0, "security_event", {"type": "T", "info": "door open"})
    assert story.add(Replied, 1, None, None, False).verdicts() == {"D1"}


def test_a_queue_that_does_not_empty_is_seen() -> None:
    """L1."""
    assert Story().verdicts(messages=1) == {"L1"}


def test_an_answer_before_the_disk_is_seen() -> None:
    """D6: what a command wrote was not durable when it was answered."""
    story = Story().add(Commanded, 1, 0, "set_availability", {"connector_id": 1, "available": True})
    assert story.add(Replied, 1, "Accepted", None, True, True).verdicts() == {"D6"}


def test_a_refused_change_is_no_promise() -> None:
    """D6 counts what was accepted."""
    story = Story().add(Called, "c1", "ChangeConfiguration", {"key": "SiteNote", "value": "x"})
    assert story.add(Answered, "c1", {"status": "Rejected"}).verdicts() == set()
