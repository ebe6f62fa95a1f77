"""Thousands of connectors, floods of the CSMS, and clocks that jump, on virtual time."""

from __future__ import annotations

from tests.builders import CONTROLLER, Csms, World, settings


def test_status_flood_of_thousands_is_overtaken_by_whoever_waits() -> None:
    """CORE-BOOT-11, CORE-BOOT-14, J-344, J-367: 5,001 notifications at 50 ms take 250 s, nobody waits for them."""
    world = World(settings(connectors=5_000), csms=Csms(latency_s=0.05)).boot().advance(100)
    assert 1_900 < world.actions.count("StatusNotification") < 2_000
    asked_s = world.time_s
    transfer = world.command("data_transfer", "v", None, None)
    world.command("security_event", "TamperDetectionActivated", None)
    world.advance(1)
    assert world.result(transfer) == {"status": "Accepted"}
    urgent = [call.at_s - asked_s for call in world.calls if call.at_s >= asked_s and "Status" not in call.action]
    assert len(urgent) == 2
    assert max(urgent) < 0.2
    world.advance(200)
    told = [payload["connectorId"] for payload in world.sent("StatusNotification")]
    assert told == list(range(5_001))


def test_status_flood_cut_by_an_outage_goes_on_where_it_stopped() -> None:
    """CORE-STAT-09, CORE-RPC-15, AMB-27: nothing is told twice but what was in flight."""
    world = World(settings(connectors=1_000), csms=Csms(latency_s=0.1)).boot().advance(50)
    world.disconnect().advance(600).connect().advance(100)
    told = [payload["connectorId"] for payload in world.sent("StatusNotification")]
    assert sorted(set(told)) == list(range(1_001))
    assert len(told) == 1_002
    assert world.actions.count("BootNotification") == 1


def test_trigger_of_all_statuses_during_the_flood_adds_no_second_flood() -> None:
    """CORE-TM-03, CORE-TM-05."""
    world = World(settings(connectors=1_000), csms=Csms(latency_s=0.1)).boot().advance(10)
    world.ask("TriggerMessage", {"requestedMessage": "StatusNotification"})
    world.advance(300)
    assert 1_001 <= world.actions.count("StatusNotification") <= 1_101


def test_csms_that_pipelines_hundred_calls_during_the_flood_is_answered_at_once() -> None:
    """J-234, J-241, CORE-RPC-06."""
    world = World(settings(connectors=1_000), csms=Csms(latency_s=0.1)).boot().advance(10)
    for index in range(100):
        world.receive([2, f"p{index}", "ChangeConfiguration", {"key": "ResetRetries", "value": str(index)}])
    assert [(answer[1], answer[2]) for answer in world.answers] == [
        (f"p{index}", {"status": "Accepted"}) for index in range(100)
    ]
    assert world.core.get_configuration_key(["ResetRetries"])["configuration_keys"][0]["value"] == "99"


def test_wall_clock_jump_moves_no_timer_and_is_corrected_by_the_csms() -> None:
    """CORE-HB-03, J-307, S-211: timers are monotonic; the time that is sent follows the CSMS."""
    world = World(csms=Csms(interval_s=60)).boot().forget().advance(30)
    world.wall_jump_ms = 86_400_000
    world.advance(300)
    beats = [call.at_s for call in world.calls if call.action == "Heartbeat"]
    assert beats == [1060.0, 1120.0, 1180.0, 1240.0, 1300.0]
    assert world.core.clock.utc_ms(world.now) == world.now.utc_ms - 86_400_000
    assert [payload["type"] for payload in world.sent("SecurityEventNotification")] == ["SettingSystemTime"]


def test_availability_of_thousands_changed_twice_tells_each_edge_in_order() -> None:
    """CORE-CA-04, CORE-STAT-02: what is over before its turn is not told."""
    world = World(settings(connectors=2_000)).boot()
    for connector_id in range(1, 2_001):
        world.attach(connector_id)
    world.core.handle_timer(world.now)
    world.settle().advance(0).forget()
    world.csms.latency_s = 0.01
    for kind in ("Inoperative", "Operative", "Inoperative"):
        world.ask("ChangeAvailability", {"connectorId": 0, "type": kind})
    world.advance(100)
    last = {payload["connectorId"]: payload["status"] for payload in world.sent("StatusNotification")}
    assert set(last.values()) == {"Unavailable"}
    assert len(last) == 2_001
    assert world.actions.count("StatusNotification") <= 2_001 + 2


def test_burst_of_ten_thousand_is_done_in_its_round_trips_and_lets_everybody_in() -> None:
    """CORE-BOOT-14, J-367: 10,001 round trips for a quiet CSMS; a tag or a session waits for one of them."""
    rtt_s = 0.02
    world = World(settings(connectors=10_000), csms=Csms(latency_s=rtt_s)).boot().attach(1).advance(20)
    world.report(1, plugged=True, energy_wh=1_000)
    asked = len(world.calls)
    world.command("authorize", CONTROLLER, "TAG", 1)
    world.advance(2)
    actions = [call.action for call in world.calls[asked:]]
    assert "Authorize" in actions[:2]
    begun = actions.index("Authorize")
    assert "StartTransaction" in actions[begun : begun + 3]
    quiet = World(settings(connectors=10_000), csms=Csms(latency_s=rtt_s)).boot()
    first_s = quiet.calls[-1].at_s
    quiet.advance(10_001 * rtt_s * 1.1)
    told = [call for call in quiet.calls if call.action == "StatusNotification"]
    assert len(told) == 10_001
    assert told[-1].at_s - first_s <= 10_001 * rtt_s * 1.1
