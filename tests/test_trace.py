"""Records of the Open OCPP Trace format out of the frames that the hub publishes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocpphub.trace import MAX_OPEN, Trace


def event(direction: str, frame: Any, charge_point: str = "CP1") -> dict[str, Any]:
    text = frame if isinstance(frame, str) else json.dumps(frame)
    timestamp = "2026-11-22T00:00:00.000Z"
    return {"charge_point": charge_point, "timestamp": timestamp, "value": {"direction": direction, "frame": text}}


def test_call_is_a_record_with_its_parts_and_its_text() -> None:
    """Open OCPP Trace 1.1: raw decodes to what the record says."""
    frame = [2, "7", "StatusNotification", {"connectorId": 3, "status": "Available"}]
    record = json.loads(Trace().line(event("sent", frame)) or "")
    assert record == {
        "schemaVersion": "1.1",
        "timestamp": "2026-11-22T00:00:00.000Z",
        "ocppVersion": "1.6",
        "transport": "json",
        "chargePointId": "CP1",
        "connectorId": 3,
        "direction": "cp-to-csms",
        "messageType": "CALL",
        "messageId": "7",
        "action": "StatusNotification",
        "payload": {"connectorId": 3, "status": "Available"},
        "raw": json.dumps(frame),
    }


def test_answer_has_the_action_of_its_call_from_the_other_side() -> None:
    """Both sides may use one id: an answer belongs to the CALL of the other one, and of the same charge point."""
    trace = Trace()
    for made in (
        event("sent", [2, "1", "Heartbeat", {}]),
        event("received", [2, "1", "Reset", {"type": "Soft"}]),
        event("sent", [2, "1", "Authorize", {}], "CP2"),
    ):
        trace.record(made)
    answer = trace.record(event("sent", [3, "1", {"status": "Accepted"}]))
    assert answer is not None
    assert (answer["action"], answer["direction"], answer["payload"]) == ("Reset", "cp-to-csms", {"status": "Accepted"})
    error = trace.record(event("received", [4, "1", "GenericError", "no", {"why": 1}]))
    assert error is not None
    assert error["action"] == "Heartbeat"
    assert error["error"] == {"code": "GenericError", "description": "no", "details": {"why": 1}}
    late = trace.record(event("received", [3, "1", {}]))
    assert late is not None
    assert "action" not in late


NO_FRAMES = ("*** (refused frame of 70000 bytes)", "[2,", "{}", '[2,"1","Reset"]', '[9,"1",{}]', "[3,1,{}]")


@pytest.mark.parametrize("frame", NO_FRAMES)
def test_frame_that_is_none_is_counted_and_has_no_record(frame: str) -> None:
    """The format has no record for it, and nothing is made up."""
    trace = Trace()
    assert trace.line(event("received", frame)) is None
    assert trace.skipped == 1


def test_calls_that_nobody_answers_are_forgotten_at_a_bound() -> None:
    """A trace runs for days."""
    trace = Trace()
    for number in range(MAX_OPEN + 1):
        trace.record(event("sent", [2, str(number), "Heartbeat", {}]))
    first, last = (trace.record(event("received", [3, str(number), {}])) for number in (0, MAX_OPEN))
    assert first is not None
    assert last is not None
    assert "action" not in first
    assert last["action"] == "Heartbeat"
