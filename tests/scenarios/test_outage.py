"""Links, processes and answers that are lost, on virtual time."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import Csms, World


def events(*worlds: World) -> list[str]:
    sent = [payload["type"] for world in worlds for payload in world.sent("SecurityEventNotification")]
    return [kind for kind in sent if kind not in ("StartupOfTheDevice", "SettingSystemTime")]


def test_csms_that_takes_a_minute_to_accept_gets_everything_afterwards() -> None:
    """CORE-BOOT-02, CORE-BOOT-13, J-350: answers come too late twice, then in time."""
    world = World(csms=Csms(latency_s=45.0)).start().connect()
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.advance(80)
    assert set(world.actions) == {"BootNotification"}
    world.csms.latency_s = 20.0
    world.advance(400)
    assert world.core.state(world.now)["registration"] == "Accepted"
    assert events(world) == ["TamperDetectionActivated"]


def test_security_event_during_an_outage_is_delivered_once_after_reconnect() -> None:
    """S-212, J-349."""
    world = World().boot().disconnect().advance(3_600)
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.advance(3_600).connect().advance(100)
    assert events(world) == ["TamperDetectionActivated"]


def test_security_event_during_an_outage_survives_the_process_and_is_delivered_once() -> None:
    """S-212, J-349."""
    world = World().boot().disconnect()
    world.command("security_event", "TamperDetectionActivated", "lid")
    again = world.crash().boot().advance(1_000)
    third = again.crash(boot_id="00000000000000cc").boot().advance(1_000)
    assert events(world, again, third) == ["TamperDetectionActivated"]


def test_security_event_whose_answer_was_lost_is_sent_again_with_the_same_content() -> None:
    """S-212, AMB-02, J-231: at least once, with a fresh id."""
    world = World().boot().forget()
    world.csms.silent.add("SecurityEventNotification")
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.disconnect().advance(60)
    world.csms.silent.clear()
    world.connect().advance(0)
    first, second = (call for call in world.calls if call.action == "SecurityEventNotification")
    assert first.payload == second.payload
    assert first.unique_id != second.unique_id


def test_configuration_accepted_just_before_the_crash_is_there_afterwards() -> None:
    """CORE-CC-08."""
    world = World(csms=Csms(interval_s=0)).boot()
    assert world.ask("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "33"}) == {"status": "Accepted"}
    again = world.crash().boot().forget().advance(66)
    assert again.actions == ["Heartbeat", "Heartbeat"]


@given(
    st.lists(st.sampled_from(["event", "drop", "connect", "wait", "crash", "mute", "unmute"]), max_size=40),
    st.integers(0, 2),
)
@settings(max_examples=150, deadline=None)
def test_security_events_in_any_weather_arrive_at_least_once_under_fresh_ids(steps: list[str], latency_s: int) -> None:
    """S-212, J-343, J-349, CORE-RPC-05, CORE-RPC-07: links, answers and processes lost in any order."""
    world = World(csms=Csms(latency_s=float(latency_s), interval_s=86_400), boot_id="0").boot()
    seen, raised, ids = [], 0, []
    for number, step in enumerate([*steps, "unmute", "drop", "connect"]):
        if step == "event":
            raised += 1
            world.command("security_event", f"E{raised}", None)
        elif step == "drop":
            world.disconnect()
        elif step == "connect" and not world.core.is_connected:
            world.connect()
        elif step == "wait":
            world.advance(40)
        elif step == "crash":
            seen += events(world)
            ids += [call.unique_id for call in world.calls]
            world = world.crash(boot_id=f"{number + 1}").boot()
        elif step == "mute":
            world.csms.silent.add("SecurityEventNotification")
        elif step == "unmute":
            world.csms.silent.clear()
    world.advance(90_000)
    seen += events(world)
    ids += [call.unique_id for call in world.calls]
    assert world.core.state(world.now)["queue"]["messages"] == 0
    assert set(seen) == {f"E{i + 1}" for i in range(raised)}
    assert len(ids) == len(set(ids))


def test_thousand_security_events_offline_arrive_once_each() -> None:
    """S-212, J-343: in the order they were raised."""
    world = World().boot().disconnect().forget()
    for index in range(1_000):
        world.command("security_event", f"E{index}", None)
    world.connect().advance(0)
    assert events(world) == [f"E{index}" for index in range(1_000)]
    assert Counter(world.actions) == {"SecurityEventNotification": 1_000}
    assert world.core.state(world.now)["queue"]["messages"] == 0
