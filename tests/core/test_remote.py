"""TriggerMessage and the order of answers and what follows them."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.effects import Send
from tests.builders import Csms, World, settings


def trigger(world: World, message: str, connector_id: int | None = None) -> str:
    payload: dict[str, Any] = {"requestedMessage": message}
    if connector_id is not None:
        payload["connectorId"] = connector_id
    return str(world.ask("TriggerMessage", payload)["status"])


def booted() -> World:
    return World(csms=Csms(interval_s=86_400)).boot().forget()


@pytest.mark.parametrize("message", ["Heartbeat", "StatusNotification"])
def test_trigger_is_answered_before_its_message(message: str) -> None:
    """CORE-TM-01, J-242, CORE-TM-02, CORE-TM-03."""
    world = booted()
    assert trigger(world, message) == "Accepted"
    frames = [effect.frame for effect in world.effects if isinstance(effect, Send)]
    assert frames[0].startswith(b"[3,")
    assert message.encode() in frames[1]


def test_trigger_heartbeat_ignores_the_connector() -> None:
    """CORE-TM-04."""
    world = booted()
    assert trigger(world, "Heartbeat", 99) == "Accepted"
    assert world.actions == ["Heartbeat"]


def test_trigger_status_of_all_tells_zero_to_n() -> None:
    """CORE-TM-05."""
    world = booted()
    assert trigger(world, "StatusNotification") == "Accepted"
    world.advance(0)
    assert [payload["connectorId"] for payload in world.sent("StatusNotification")] == [0, 1, 2, 3]


@pytest.mark.parametrize("connector_id", [0, 2])
def test_trigger_status_of_one_connector_tells_that_one(connector_id: int) -> None:
    """CORE-TM-06."""
    world = booted()
    assert trigger(world, "StatusNotification", connector_id) == "Accepted"
    world.advance(0)
    assert [payload["connectorId"] for payload in world.sent("StatusNotification")] == [connector_id]


def test_trigger_status_of_an_unknown_connector_is_rejected() -> None:
    """CORE-TM-07."""
    world = booted()
    assert trigger(world, "StatusNotification", 4) == "Rejected"
    assert world.advance(0).actions == []


def test_trigger_boot_after_accepted_is_rejected() -> None:
    """CORE-TM-09, CORE-BOOT-15, J-366."""
    world = booted()
    assert trigger(world, "BootNotification") == "Rejected"
    assert world.actions == []


@pytest.mark.parametrize(
    "message",
    ["FirmwareStatusNotification", "DiagnosticsStatusNotification", "SignChargePointCertificate", "Foo"],
)
def test_trigger_of_what_does_not_exist_is_not_implemented(message: str) -> None:
    """CORE-TM-02, CORE-TM-12, AMB-25: a status, never a CALLERROR."""
    world = booted()
    assert trigger(world, message) == "NotImplemented"
    assert world.advance(0).actions == []


def test_trigger_status_that_waits_anyway_is_sent_once() -> None:
    """CORE-TM-03: an equal message sent meanwhile counts."""
    world = World(settings(connectors=50), csms=Csms(latency_s=1.0)).boot().advance(5)
    assert trigger(world, "StatusNotification", 40) == "Accepted"
    world.advance(100)
    assert [p["connectorId"] for p in world.sent("StatusNotification")].count(40) == 1


def test_trigger_heartbeat_in_pending_is_sent() -> None:
    """CORE-TM-11, J-363."""
    world = World(csms=Csms(registration="Pending", interval_s=1000)).boot().forget()
    assert trigger(world, "Heartbeat") == "Accepted"
    assert world.actions == ["Heartbeat"]


def test_trigger_all_statuses_in_pending_sends_each_once_and_again_after_accepted() -> None:
    """CORE-TM-05, CORE-TM-11, CORE-BOOT-11."""
    world = World(csms=Csms(registration="Pending", interval_s=100)).boot().forget()
    assert trigger(world, "StatusNotification") == "Accepted"
    world.advance(1)
    assert world.actions == ["StatusNotification"] * 4
    world.csms.registration = "Accepted"
    world.forget().advance(100)
    assert world.actions.count("StatusNotification") == 4
