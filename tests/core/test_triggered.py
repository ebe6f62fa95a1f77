"""The source of triggered MeterValues."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Gate, Outcome
from ocpphub.core.triggered import TriggeredMeterValues

NOW = Instant(1.0, 1)


def source(*ids: int) -> TriggeredMeterValues:
    """A source for connectors 1 to 9; 5 has nothing to tell."""
    values: dict[int, dict[str, Any] | None] = {each: {"connectorId": each} for each in range(10)}
    values[5] = None
    triggered = TriggeredMeterValues(values.__getitem__)
    triggered.put(ids)
    return triggered


def told(triggered: TriggeredMeterValues, gate: Gate = "open") -> list[int]:
    calls = []
    while (call := triggered.next_call(gate, NOW)) is not None:
        assert call.action == "MeterValues"
        call.done(Outcome("timeout"), NOW)
        calls.append(call.payload["connectorId"])
    return calls


def test_asked_twice_while_it_waits_a_connector_is_told_once() -> None:
    """CORE-TM-03: and not again whatever the CSMS answers."""
    triggered = source(3, 1)
    triggered.put((3,))
    assert len(triggered) == 2
    assert told(triggered) == [1, 3]
    assert told(triggered) == []


def test_connector_without_values_is_passed_over() -> None:
    """CORE-TM-05: those with a meter."""
    assert told(source(9, 5, 1)) == [1, 9]


@pytest.mark.parametrize(("gate", "calls"), [("open", [2]), ("triggered", [2]), ("closed", [])])
def test_triggered_values_leave_while_pending_but_not_while_rejected(gate: Gate, calls: list[int]) -> None:
    """CORE-TM-11."""
    assert told(source(2), gate) == calls


def test_lost_link_forgets_who_asked() -> None:
    """CORE-TM-08: nothing queued is replayed."""
    triggered = source(2, 3)
    triggered.clear()
    assert told(triggered) == []
