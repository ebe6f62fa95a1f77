"""Status, availability and the notifications about them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.core.boot import utc_text
from ocpphub.core.connector import TRANSITIONS, Condition, StatusQueue
from ocpphub.core.effects import Publish, Send
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outcome, OwnCall
from ocpphub.core.vocabulary import ChargePointErrorCode, ChargePointStatus
from ocpphub.errors import LocalError
from tests import builders
from tests.builders import World

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


def availability(world: World, connector_id: int, kind: str) -> str:
    answer = world.ask("ChangeAvailability", {"connectorId": connector_id, "type": kind})
    world.advance(0)
    return str(answer["status"])


def attended_world() -> World:
    """All three connectors have a controller, so that their status follows their availability."""
    world = World().boot()
    attend(world)
    return world.forget()


def attend(world: World) -> None:
    for connector_id in (1, 2, 3):
        world.core._connectors.attend(connector_id, True, world.now, may_replace=world.core._may_replace())
    world.core.handle_timer(world.now)
    world.settle().advance(0)


def told(world: World) -> list[tuple[int, str]]:
    return [(payload["connectorId"], payload["status"]) for payload in world.sent("StatusNotification")]


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


def test_status_timestamp_is_the_event_not_the_sending() -> None:
    """CORE-STAT-14, AMB-26."""
    world = attended_world()
    world.disconnect()
    at = world.core.clock.text(world.now)
    world.core._connectors.attend(1, False, world.now, may_replace=True)
    world.advance(500).connect().advance(0)
    assert world.sent("StatusNotification") == [
        {"connectorId": 1, "errorCode": "NoError", "status": "Unavailable", "timestamp": at}
    ]


def test_status_before_the_clock_was_known_is_corrected() -> None:
    """CORE-STAT-14, CORE-BOOT-12: the CSMS is an hour ahead of the machine."""
    world = World(csms=builders.Csms(offset_ms=3_600_000)).start().advance(10).connect().advance(0)
    start = builders.EPOCH_MS + 1_000_000 + 3_600_000
    assert {payload["timestamp"] for payload in world.sent("StatusNotification")} == {utc_text(start)}


def test_availability_unknown_connector_is_rejected() -> None:
    """CORE-CA-06."""
    world = attended_world()
    assert availability(world, 4, "Inoperative") == "Rejected"
    assert told(world) == []


def test_availability_answered_first_then_told() -> None:
    """CORE-CA-03."""
    world = attended_world()
    assert availability(world, 2, "Inoperative") == "Accepted"
    assert told(world) == [(2, "Unavailable")]
    frames = [effect.frame[:2] for effect in world.effects if isinstance(effect, Send)]
    assert frames == [b"[3", b"[2"]


def test_availability_already_in_the_wanted_state_is_accepted_silently() -> None:
    """CORE-CA-01."""
    world = attended_world()
    assert [availability(world, 2, "Operative"), availability(world, 0, "Operative")] == ["Accepted", "Accepted"]
    assert told(world) == []
    assert [key for key in world.rows if key[0] == "availability"] == []


def test_availability_of_zero_tells_every_connector() -> None:
    """CORE-CA-04, AMB-14, CORE-STAT-13, CORE-GEN-04."""
    world = attended_world()
    assert availability(world, 0, "Inoperative") == "Accepted"
    assert told(world) == [(i, "Unavailable") for i in range(4)]
    world.forget()
    assert availability(world, 0, "Operative") == "Accepted"
    assert told(world) == [(i, "Available") for i in range(4)]


def test_availability_operative_while_zero_is_not_waits_for_zero() -> None:
    """CORE-CA-11."""
    world = attended_world()
    for connector_id, kind in ((0, "Inoperative"), (1, "Inoperative"), (1, "Operative")):
        assert availability(world, connector_id, kind) == "Accepted"
    assert (1, "Available") not in told(world)
    availability(world, 0, "Operative")
    assert (1, "Available") in told(world)


def test_availability_survives_a_restart() -> None:
    """CORE-CA-05, CORE-STAT-05, CORE-RES-05."""
    world = attended_world()
    availability(world, 2, "Inoperative")
    again = world.crash().boot()
    attend(again)
    assert again.core.connector_state(2)["status"] == "Unavailable"
    assert again.core.connector_state(2)["availability"] == "Inoperative"
    assert again.core.connector_state(1)["status"] == "Available"


def test_connector_without_controller_is_unavailable_and_operative() -> None:
    """CORE-STAT-06: decisions.md 4."""
    state = World().boot().core.connector_state(1)
    assert state == {
        "connector_id": 1,
        "status": "Unavailable",
        "error_code": "NoError",
        "availability": "Operative",
        "attached": False,
        "plugged": False,
        "permit": {"seq": 0, "energize": False, "limit_a": 0.0, "limit_w": 0.0, "phases": 0},
        "transaction": None,
        "reservation": None,
    }


def test_connector_status_change_is_published_whole() -> None:
    """CORE-STAT-01: topic ``connector.status``."""
    world = attended_world()
    availability(world, 2, "Inoperative")
    assert world.published("connector.status") == [world.core.connector_state(2)]
    published = [effect for effect in world.effects if isinstance(effect, Publish)]
    assert [effect.connector_id for effect in published if effect.topic == "connector.status"] == [2]


@pytest.mark.parametrize("connector_id", [0, 4, -1])
def test_connector_state_of_an_unknown_connector_is_an_error(connector_id: int) -> None:
    """CORE-GEN-03: connectors are 1 to N."""
    with pytest.raises(LocalError) as caught:
        World().core.connector_state(connector_id)
    assert caught.value.code == "unknown_connector"


def test_connector_states_are_one_per_connector() -> None:
    """CORE-GEN-03."""
    assert [state["connector_id"] for state in World().core.connector_states()] == [1, 2, 3]
