"""Inputs, outputs and the stopped state of a whole charge point."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.effects import Connect, Discard, Disconnect, Ping, Publish, Record, Reply, Send, Store
from ocpphub.core.instant import Instant
from ocpphub.errors import LocalError
from tests.builders import Csms, World, assert_nothing_sent, custom_key, hub, link, settings

STOP = Disconnect(1000, "stopped", stay_closed=True)


def test_start_wants_a_link_and_publishes_where_it_stands() -> None:
    """CORE-BOOT-01: nothing is sent before there is a link."""
    world = World().start()
    assert world.links() == [Connect()]
    assert world.published("is_connected") == [False]
    assert world.published("charge_point.status")[-1]["registration"] == "none"
    assert len(world.published("charging_schedules")) == 1
    assert Ping(30) in world.effects
    assert_nothing_sent(world)


def test_is_connected_is_published_on_every_change() -> None:
    """CORE-GEN-04: the variable of the published interface."""
    world = World().boot().disconnect().disconnect().connect()
    assert world.published("is_connected") == [False, True, False, True]
    assert world.core.is_connected


def test_state_tells_what_charge_point_get_promises() -> None:
    """T30: rpc.md; the URL without its user."""
    world = World(csms=Csms(offset_ms=5_500)).boot().advance(0)
    world.command("monitor_configuration_keys", ["CpoName"])
    assert world.core.state(world.now) == {
        "identity": "CP1",
        "registration": "Accepted",
        "is_connected": True,
        "stopped": False,
        "connectors": 3,
        "url": "ws://csms.example/ocpp",
        "queue": {"messages": 0, "bytes": 0, "oldest": None, "aside": 0},
        "clock_offset_s": 5.5,
        "security_profile": 0,
        "certificates": [],
        "monitored_keys": ["CpoName"],
    }
    assert world.published("charge_point.status")[-1]["registration"] == "Accepted"


def test_poll_effects_hands_each_effect_out_once() -> None:
    """J-278: the driver drains after every input."""
    world = World()
    world.core.start(world.now)
    assert world.core.poll_effects()
    assert world.core.poll_effects() == []


def test_frame_without_a_link_is_ignored() -> None:
    """J-278: the last bytes of a dead connection."""
    world = World().boot().disconnect().forget()
    world.receive([2, "a", "ClearCache", {}])
    assert_nothing_sent(world)


@pytest.mark.parametrize("binary", [False, True])
def test_frame_that_is_no_utf8_closes_unless_binary(binary: bool) -> None:
    """J-325, J-328."""
    world = World().boot().forget()
    world.receive(b'[2,"a","ClearCache",{"x":"\xff"}]', binary=binary)
    assert world.links() == ([] if binary else [Disconnect(1007, "invalid UTF-8")])
    assert world.answers == []


def test_strict_switch_reaches_the_frames() -> None:
    """D-07."""
    world = World(settings(link=link(strict=True))).boot().forget()
    world.receive([2, "a", "Reset", {"type": "Soft", "x": 1}])
    assert world.answers[0][2] == "FormationViolation"


def test_every_frame_that_leaves_is_legal_and_without_empty_members() -> None:
    """J-201, J-204, J-205, J-207, J-208, J-209, CORE-RPC-12, CORE-RPC-18, CORE-GEN-06: World checks every CALL."""
    world = World(csms=Csms(interval_s=5)).boot().advance(20)
    world.command("data_transfer", "v", None, None)
    world.command("security_event", "T", None)
    world.ask("TriggerMessage", {"requestedMessage": "StatusNotification"})
    world.advance(10)
    assert world.sent("Heartbeat")[0] == {}
    values = [value for call in world.calls for value in call.payload.values()]
    assert [value for value in values if value in (None, "", [])] == []


# stop and restart


def test_stop_closes_the_link_and_answers_true() -> None:
    """CORE-GEN-04: decisions.md 6."""
    world = World().boot().forget()
    request = world.command("stop")
    kinds = [effect for effect in world.effects if not isinstance(effect, Publish)]
    assert kinds == [Store("stopped", "stopped", b"true"), STOP, Reply(request, True)]
    assert not world.core.is_connected
    assert world.core.state(world.now)["stopped"]
    assert world.published("is_connected") == [False]


def test_stop_without_link_ends_reconnecting_and_answers_true() -> None:
    """J-341: no further attempt while stopped."""
    world = World().start().forget()
    assert world.result(world.command("stop")) is True
    assert world.links() == [STOP]


def test_stop_delivers_what_it_can_within_five_seconds() -> None:
    """S-212: the link closes when the last event was confirmed."""
    world = World().boot().forget()
    world.csms.latency_s = 2.0
    world.command("security_event", "One", None)
    world.command("security_event", "Two", None)
    request = world.command("stop")
    world.advance(3)
    assert request not in world.replies
    world.advance(1)
    assert world.result(request) is True
    assert [payload["type"] for payload in world.sent("SecurityEventNotification")] == ["One", "Two"]
    assert world.core.state(world.now)["queue"]["messages"] == 0


def test_stop_with_a_silent_csms_ends_after_five_seconds_and_keeps_the_rest() -> None:
    """S-212, J-349: the rest is sent after restart."""
    world = World().boot().forget()
    world.csms.silent.add("SecurityEventNotification")
    world.command("security_event", "One", None)
    request = world.command("stop")
    world.advance(4)
    assert request not in world.replies
    world.advance(1)
    assert world.result(request) is True
    assert world.core.state(world.now)["queue"]["messages"] == 1
    world.csms.silent.clear()
    world.forget().command("restart")
    world.connect().advance(0)
    assert world.actions[:2] == ["BootNotification", "SecurityEventNotification"]


def test_stop_whose_link_is_lost_meanwhile_is_answered() -> None:
    """S-212: exactly one answer."""
    world = World().boot().forget()
    world.csms.silent.add("SecurityEventNotification")
    world.command("security_event", "One", None)
    request = world.command("stop")
    world.disconnect()
    assert world.result(request) is True
    world.advance(100)


def test_stop_when_stopped_and_restart_when_running_answer_false() -> None:
    """CORE-GEN-04: decisions.md 6."""
    world = World().boot()
    assert world.result(world.command("restart")) is False
    world.command("stop")
    assert world.result(world.command("stop")) is False


def test_stop_answers_waiting_data_transfers_offline() -> None:
    """CORE-DT-04."""
    world = World().boot().forget()
    world.csms.silent.add("DataTransfer")
    requests = [world.command("data_transfer", "v", None, None) for _ in range(2)]
    stop = world.command("stop")
    world.advance(5)
    assert world.result(stop) is True
    assert [world.result(request) for request in requests] == [{"status": "Offline"}] * 2


@pytest.mark.parametrize(
    ("command", "arguments"), [("data_transfer", ("v", None, None)), ("security_event", ("T", None))]
)
def test_stopped_messages_are_refused(command: str, arguments: tuple[Any, ...]) -> None:
    """CORE-GEN-04: no OCPP message is made, stored or sent."""
    world = World().boot().forget()
    world.command("stop")
    with pytest.raises(LocalError) as caught:
        world.command(command, *arguments)
    assert (caught.value.code, caught.value.message) == ("invalid_state", "stopped")
    assert_nothing_sent(world)


def test_stopped_configuration_and_monitors_work() -> None:
    """CORE-CC-08: decisions.md 6."""
    world = World(settings(custom_keys=(custom_key("Fan", "1"),))).boot()
    world.command("stop")
    assert world.result(world.command("set_custom_configuration_key", "Fan", "2")) == "Accepted"
    assert world.result(world.command("monitor_configuration_keys", ["Fan"])) is None
    assert world.core.get_configuration_key(["Fan"])["configuration_keys"][0]["value"] == "2"


def test_stopped_nothing_is_sent_or_stored_as_time_goes_by() -> None:
    """CORE-GEN-04: no Heartbeat, no retry, no event of our own."""
    world = World(csms=Csms(interval_s=5)).boot()
    world.command("stop")
    world.forget().advance(10_000)
    world.core.store_full(world.now)
    world.settle()
    assert_nothing_sent(world)
    assert not [effect for effect in world.effects if isinstance(effect, Store | Connect)]
    assert world.published("security_event") == [{"type": "MemoryExhaustion", "info": "the store is nearly full"}]


def test_stopped_survives_a_restart_of_the_process() -> None:
    """CORE-GEN-04: decisions.md 6."""
    world = World().boot()
    world.command("stop")
    again = world.crash().start()
    assert again.links() == []
    assert again.core.state(again.now)["stopped"]
    assert not [key for key in again.rows if key[0] == "outbox"]
    assert again.result(again.command("restart")) is True
    assert again.links() == [Connect()]
    again.connect().advance(0)
    assert again.actions[0] == "BootNotification"


def test_stopped_link_that_opens_anyway_is_closed() -> None:
    """CORE-GEN-04: the race between stop and an attempt under way."""
    world = World().start()
    world.command("stop")
    world.forget().connect()
    assert world.links() == [STOP]
    assert_nothing_sent(world)


def test_restart_begins_with_boot_and_tells_everything_again() -> None:
    """CORE-BOOT-01, CORE-BOOT-11."""
    world = World().boot()
    world.command("stop")
    world.forget()
    request = world.command("restart")
    kinds = [effect for effect in world.effects if not isinstance(effect, Publish)]
    assert kinds == [Discard("stopped", "stopped"), Connect(), Reply(request, True)]
    world.disconnect().connect().advance(0)
    assert world.actions == ["BootNotification"] + ["StatusNotification"] * 4


def test_restart_while_stop_still_delivers_answers_both() -> None:
    """S-212: in the order they were asked."""
    world = World().boot().forget()
    world.csms.silent.add("SecurityEventNotification")
    world.command("security_event", "One", None)
    stop, restart = world.command("stop"), world.command("restart")
    assert [world.result(stop), world.result(restart)] == [True, True]
    assert world.links() == [STOP, Connect()]


def test_replies_leave_before_what_they_promised_is_sent() -> None:
    """S-212: a command is answered as soon as its row is durable."""
    world = World().boot().forget()
    world.command("security_event", "T", None)
    kinds = [type(effect) for effect in world.effects]
    assert kinds == [Store, Record, Reply, Send]


def test_timer_that_raises_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """CORE-HB-01: a bug in one part must not end the Heartbeats."""
    world = World(csms=Csms(interval_s=30), hub=hub(publish_interval_s=30.0)).boot().forget()

    def broken(part: str, now: Instant) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.core.schedules, "handle_timer", broken)
    while not world.actions:
        try:
            world.advance(1)
        except RuntimeError:
            assert world.core.next_deadline() is not None
    assert world.actions == ["Heartbeat"]
