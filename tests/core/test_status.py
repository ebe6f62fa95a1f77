"""Conditions, the table of transitions, and the queue of StatusNotifications."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outcome, OwnCall
from ocpphub.core.status import TRANSITIONS, Condition, StatusQueue, StatusTurns, way
from ocpphub.core.vocabulary import ChargePointErrorCode, ChargePointStatus
from tests import builders

S = ChargePointStatus
NOW = Instant(0.0, builders.EPOCH_MS)
_CODES = {
    "A": S.AVAILABLE, "B": S.PREPARING, "C": S.CHARGING, "D": S.SUSPENDED_EV, "E": S.SUSPENDED_EVSE,
    "F": S.FINISHING, "G": S.RESERVED, "H": S.UNAVAILABLE, "I": S.FAULTED,
}  # fmt: skip
_FORBIDDEN = "A6 B7 B8 C2 C7 D2 D7 E2 E7 F3 F4 F5 F7 G3 G4 G5 G6 G7 H6 H7 H8"


def condition(status: ChargePointStatus, since_ms: int = builders.EPOCH_MS) -> Condition:
    return Condition(status, ChargePointErrorCode.NO_ERROR, since_ms)


def queue() -> StatusQueue:
    return StatusQueue(3, str, lambda now: now.utc_ms)


def take(statuses: StatusQueue) -> OwnCall | None:
    return statuses.next_call("open", NOW)


def drain(statuses: StatusQueue) -> list[tuple[int, str]]:
    told = []
    while (call := take(statuses)) is not None:
        told.append((call.payload["connectorId"], str(call.payload["status"])))
    return told


def test_transitions_are_those_of_the_table() -> None:
    """CORE-STAT-02: 72 edges of the standard less the ones it leaves out; B6 is allowed."""
    numbers = dict(enumerate(_CODES.values(), start=1))
    forbidden = {(_CODES[cell[0]], numbers[int(cell[1])]) for cell in _FORBIDDEN.split()}
    expected = {(a, b) for a in S for b in S if a is not b} - forbidden
    assert {(a, b) for a, targets in TRANSITIONS.items() for b in targets} == expected


def test_queue_online_tells_every_change() -> None:
    """CORE-STAT-01, CORE-STAT-11: in the order of the events."""
    statuses = queue()
    statuses.add(2, condition(S.PREPARING), may_replace=False)
    statuses.add(1, condition(S.PREPARING), may_replace=False)
    statuses.add(2, condition(S.CHARGING), may_replace=False)
    assert drain(statuses) == [(2, "Preparing"), (1, "Preparing"), (2, "Charging")]


def test_queue_online_replaces_only_when_more_than_one_waits() -> None:
    """CORE-STAT-01: the newest of three takes the place of the second."""
    statuses = queue()
    for status in (S.PREPARING, S.CHARGING, S.SUSPENDED_EV):
        statuses.add(1, condition(status), may_replace=False)
    assert [status for _, status in drain(statuses)] == ["Preparing", "SuspendedEV"]


def test_queue_offline_keeps_the_newest() -> None:
    """CORE-STAT-09, CORE-STAT-10: no replay of what is over."""
    statuses = queue()
    statuses.add(1, condition(S.AVAILABLE), may_replace=False)
    drain(statuses)
    for status in (S.PREPARING, S.CHARGING):
        statuses.add(1, condition(status), may_replace=True)
    assert drain(statuses) == [(1, "Charging")]


def test_queue_offline_and_back_to_what_was_told_says_nothing() -> None:
    """CORE-STAT-09: only if it changed meanwhile."""
    statuses = queue()
    statuses.add(1, condition(S.AVAILABLE), may_replace=False)
    drain(statuses)
    for status in (S.PREPARING, S.AVAILABLE):
        statuses.add(1, condition(status), may_replace=True)
    assert drain(statuses) == []


def test_queue_offline_error_code_alone_is_told() -> None:
    """CORE-STAT-07, CORE-STAT-09: the same status with another error is a change."""
    statuses = queue()
    statuses.add(1, condition(S.AVAILABLE), may_replace=False)
    drain(statuses)
    statuses.add(1, Condition(S.AVAILABLE, ChargePointErrorCode.OTHER_ERROR, 0), may_replace=True)
    assert drain(statuses) == [(1, "Available")]


def test_queue_offline_keeps_the_state_that_makes_the_edge_legal() -> None:
    """CORE-STAT-02: Preparing to Unavailable goes by way of Available."""
    statuses = queue()
    statuses.add(1, condition(S.PREPARING), may_replace=False)
    drain(statuses)
    for status in (S.AVAILABLE, S.UNAVAILABLE):
        statuses.add(1, condition(status), may_replace=True)
    assert [status for _, status in drain(statuses)] == ["Available", "Unavailable"]


def test_queue_answer_lost_with_the_link_is_told_again() -> None:
    """CORE-STAT-09: nobody knows whether it arrived."""
    statuses = queue()
    statuses.add(1, condition(S.PREPARING), may_replace=False)
    call = take(statuses)
    assert call is not None
    call.done(Outcome("link_lost"), NOW)
    statuses.add(1, condition(S.CHARGING), may_replace=True)
    assert drain(statuses) == [(1, "Charging")]


@pytest.mark.parametrize("kind", ["error", "timeout"])
def test_queue_refused_or_unanswered_is_not_repeated(kind: str) -> None:
    """AMB-21."""
    statuses = queue()
    statuses.add(1, condition(S.PREPARING), may_replace=False)
    call = take(statuses)
    assert call is not None
    call.done(Outcome("error" if kind == "error" else "timeout"), NOW)
    assert drain(statuses) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["event", "send", "send", "lose"]), st.integers(0, 8), st.booleans()), max_size=60
    )
)
@settings(max_examples=300, deadline=None)
def test_queue_any_history_keeps_to_the_table_and_ends_with_the_truth(
    steps: list[tuple[str, int, bool]],
) -> None:
    """CORE-STAT-02, CORE-STAT-11: whatever waits, is replaced or lost, the wire shows legal edges only."""
    statuses, present, wire = queue(), S.AVAILABLE, [S.AVAILABLE]
    statuses.add(1, condition(present), may_replace=False)
    drain(statuses)
    for kind, choice, offline in steps:
        if kind == "event":
            legal = sorted(TRANSITIONS[present])
            present = legal[choice % len(legal)]
            statuses.add(1, condition(present), may_replace=offline)
        elif (call := take(statuses)) is not None:
            if kind == "lose":
                call.done(Outcome("link_lost"), NOW)
            else:
                wire.append(S(call.payload["status"]))
    wire += [S(status) for _, status in drain(statuses)]
    assert all(b in TRANSITIONS[a] or a is b for a, b in pairwise(wire))
    assert wire[-1] is present


def test_queue_of_a_thousand_events_stays_small() -> None:
    """CORE-STAT-01: replacing bounds what waits for one connector."""
    statuses = queue()
    for index in range(1_000):
        statuses.add(1, condition(S.CHARGING if index % 2 else S.SUSPENDED_EV), may_replace=False)
    assert len(statuses) <= 3


@pytest.mark.parametrize("before", list(S))
@pytest.mark.parametrize("after", list(S))
def test_way_leads_along_allowed_edges(before: ChargePointStatus, after: ChargePointStatus) -> None:
    """CORE-STAT-02: every state is reached from every other, with one state in between at most."""
    steps = way(before, after)
    assert steps[-1] is after
    assert len(steps) <= 2
    assert all(b in TRANSITIONS[a] for a, b in pairwise((before, *steps)) if a is not b)


def test_way_into_a_transaction_goes_through_preparing() -> None:
    """CORE-STAT-02: F2 and G2 before B3."""
    assert way(S.FINISHING, S.CHARGING) == (S.PREPARING, S.CHARGING)
    assert way(S.RESERVED, S.SUSPENDED_EV) == (S.PREPARING, S.SUSPENDED_EV)


def test_notification_carries_the_texts_of_an_error() -> None:
    """CORE-STAT-07, CORE-STAT-15."""
    statuses = queue()
    told = Condition(S.FAULTED, ChargePointErrorCode.GROUND_FAILURE, builders.EPOCH_MS, "30 mA", "com.example", "E7")
    statuses.add(1, told, may_replace=False)
    call = take(statuses)
    assert call is not None
    assert {name: call.payload[name] for name in ("errorCode", "info", "vendorId", "vendorErrorCode")} == {
        "errorCode": "GroundFailure",
        "info": "30 mA",
        "vendorId": "com.example",
        "vendorErrorCode": "E7",
    }


def test_turns_let_one_call_in_eight_be_a_notification() -> None:
    """CORE-TXQ-04: a long queue of transaction messages does not silence the connectors."""
    statuses, sent = queue(), 0
    turns = StatusTurns(statuses, lambda: sent)
    for connector_id in (1, 2, 3):
        statuses.add(connector_id, condition(S.PREPARING), may_replace=False)
    told = []
    for _ in range(20):
        told.append(turns.next_call("open", NOW) is not None)
        sent += 1
    assert [index for index, is_told in enumerate(told) if is_told] == [8, 16]
    assert drain(statuses) == [(3, "Preparing")]
