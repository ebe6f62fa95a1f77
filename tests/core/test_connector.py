"""Connectors: status from levels, faults, availability."""

from __future__ import annotations

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Publish, Send
from ocpphub.errors import LocalError
from tests import builders
from tests.builders import World


def availability(world: World, connector_id: int, kind: str) -> str:
    answer = world.ask("ChangeAvailability", {"connectorId": connector_id, "type": kind})
    world.advance(0)
    return str(answer["status"])


def attended_world() -> World:
    """All three connectors have a controller, so that their status follows their availability."""
    return World().boot().attach().forget()


def told(world: World) -> list[tuple[int, str]]:
    return [(payload["connectorId"], payload["status"]) for payload in world.sent("StatusNotification")]


def test_status_timestamp_is_the_event_not_the_sending() -> None:
    """CORE-STAT-14, AMB-26."""
    world = attended_world()
    world.disconnect()
    at = world.core.clock.text(world.now)
    world.report(1, errors=[{"error_code": "HighTemperature"}])
    world.advance(500).connect().advance(0)
    assert world.sent("StatusNotification") == [
        {"connectorId": 1, "errorCode": "HighTemperature", "status": "Available", "timestamp": at}
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
    again.attach()
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


def test_triggered_status_that_waits_for_its_duration_keeps_to_the_table() -> None:
    """CORE-STAT-02, CORE-STAT-03, CORE-TM-03: asked for, a state is told with those that lead to it, and once."""
    world = World(builders.settings(configuration={"MinimumStatusDuration": "30"})).boot().attach().advance(60)
    world.forget().report(1, plugged=True)
    world.advance(40)
    world.report(1, plugged=False)
    world.report(2, plugged=True)
    world.ask("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1})
    world.advance(40)
    assert told(world) == [(1, "Preparing"), (1, "Available"), (2, "Preparing")]
