"""Registration, Heartbeat and the clock, on virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ocpphub.core.boot import Clock, parse_utc_ms, utc_text
from ocpphub.core.instant import Instant
from tests.builders import EPOCH_MS, Csms, World, assert_nothing_sent, assert_sends, link, settings


def test_boot_process_started_sends_boot_notification_first() -> None:
    """CORE-BOOT-01, J-361."""
    world = World(settings(iccid="8931", meter_type="EM")).boot()
    assert world.actions[0] == "BootNotification"
    payload = world.sent("BootNotification")[0]
    assert payload == {
        "chargePointVendor": "Vendor",
        "chargePointModel": "Model",
        "chargePointSerialNumber": "SN-1",
        "firmwareVersion": "1.2.3",
        "iccid": "8931",
        "meterType": "EM",
    }


def test_boot_answer_slow_sends_nothing_else_before_it() -> None:
    """CORE-BOOT-02, J-350: queued messages wait too."""
    world = World(csms=Csms(latency_s=10.0)).start()
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.connect().advance(9.9)
    assert world.actions == ["BootNotification"]
    world.csms.latency_s = 0.0
    world.advance(1.0)
    assert world.actions.count("SecurityEventNotification") == 2


def test_boot_accepted_takes_interval_as_heartbeat_interval() -> None:
    """CORE-BOOT-03, AMB-16."""
    world = World(csms=Csms(interval_s=7)).boot().forget().advance(21)
    assert [call.at_s for call in world.calls if call.action == "Heartbeat"] == [1007.0, 1014.0, 1021.0]
    keys = world.core.get_configuration_key(["HeartbeatInterval"])["configuration_keys"]
    assert keys == [{"key": "HeartbeatInterval", "read_only": False, "value": "7"}]


@pytest.mark.parametrize("interval_s", [0, -5])
def test_boot_accepted_without_interval_keeps_the_key(interval_s: int) -> None:
    """AMB-17."""
    world = World(settings(configuration={"HeartbeatInterval": "55"}), csms=Csms(interval_s=interval_s)).boot()
    assert world.core.get_configuration_key(["HeartbeatInterval"])["configuration_keys"][0]["value"] == "55"


def test_boot_accepted_with_huge_interval_keeps_running() -> None:
    """CORE-HB-04: there is still one Heartbeat a day."""
    world = World(csms=Csms(interval_s=99_999_999_999)).boot().forget().advance(2 * 86_400)
    assert world.actions == ["Heartbeat", "Heartbeat"]


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_boot_not_accepted_waits_the_interval_before_the_next(status: str) -> None:
    """CORE-BOOT-05, J-361, J-362, J-363, D-23."""
    world = World(csms=Csms(registration=status, interval_s=40)).boot()
    world.advance(39.9)
    assert world.actions == ["BootNotification"]
    world.advance(0.1)
    assert world.actions == ["BootNotification", "BootNotification"]


def test_boot_pending_without_interval_waits_its_own() -> None:
    """CORE-BOOT-05: 0 does not lead to a flood."""
    world = World(csms=Csms(registration="Pending", interval_s=0)).boot().advance(600)
    assert 2 <= len(world.calls) <= 11


def test_boot_pending_for_a_month_is_asked_again_within_a_day() -> None:
    """CORE-BOOT-05: a slip of the CSMS does not cost a month."""
    world = World(csms=Csms(registration="Pending", interval_s=30 * 86_400)).boot().advance(86_400)
    assert len(world.calls) == 2


def test_boot_rejected_answers_nothing_and_sends_nothing() -> None:
    """CORE-BOOT-07, J-362."""
    world = World(csms=Csms(registration="Rejected", interval_s=1000)).boot().forget()
    world.receive([2, "a", "GetConfiguration", {}])
    world.receive([2, "b", "Reset"])
    world.receive('[2,"c","Nonsense",{}]')
    world.advance(900)
    assert_nothing_sent(world)


def test_boot_before_first_answer_answers_nothing() -> None:
    """J-365, D-23."""
    world = World(csms=Csms(silent={"BootNotification"})).boot().forget()
    world.receive([2, "a", "GetConfiguration", {}])
    assert_nothing_sent(world)


def test_boot_pending_sends_only_what_is_triggered() -> None:
    """CORE-BOOT-08, CORE-BOOT-09, J-363, CORE-TM-11."""
    world = World(csms=Csms(registration="Pending", interval_s=1000)).boot().forget().advance(30)
    assert_nothing_sent(world)
    assert world.ask("GetConfiguration", {"key": ["NumberOfConnectors"]})["configurationKey"][0]["value"] == "3"
    assert world.ask("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 2})
    world.advance(0)
    assert world.sent("StatusNotification")[0]["connectorId"] == 2
    assert world.actions == ["StatusNotification"]


def test_boot_pending_and_triggered_boots_at_once() -> None:
    """CORE-BOOT-06, CORE-TM-11."""
    world = World(csms=Csms(registration="Pending", interval_s=1000)).boot().forget()
    assert world.ask("TriggerMessage", {"requestedMessage": "BootNotification"}) == {"status": "Accepted"}
    assert world.actions == ["BootNotification"]


def test_boot_pending_rejects_remote_start_and_stop() -> None:
    """CORE-BOOT-10, J-364."""
    world = World(csms=Csms(registration="Pending")).boot()
    assert world.ask("RemoteStartTransaction", {"idTag": "A"}) == {"status": "Rejected"}
    assert world.ask("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Rejected"}


def test_boot_accepted_tells_the_status_of_zero_and_every_connector() -> None:
    """CORE-BOOT-11, J-367, CORE-GEN-03."""
    world = World().boot()
    told = [(payload["connectorId"], payload["status"]) for payload in world.sent("StatusNotification")]
    assert told == [(0, "Available"), (1, "Unavailable"), (2, "Unavailable"), (3, "Unavailable")]


def test_boot_unanswered_is_retried_with_growing_waits() -> None:
    """CORE-BOOT-13, J-365."""
    world = World(csms=Csms(silent={"BootNotification"})).boot().advance(1500)
    times = [call.at_s for call in world.calls]
    waits = [later - earlier - 30 for earlier, later in pairwise(times)]
    assert waits[:6] == [10, 20, 40, 80, 160, 300]


def test_boot_answered_with_call_error_is_retried() -> None:
    """CORE-BOOT-13, J-365, CORE-HB-01."""
    world = World(csms=Csms(errors={"BootNotification": "InternalError"})).boot().advance(10)
    assert world.actions == ["BootNotification", "BootNotification"]
    world.csms.errors.clear()
    world.advance(20)
    assert world.core.state(world.now)["registration"] == "Accepted"


def test_boot_confirmation_that_breaks_its_pdu_is_retried() -> None:
    """J-276: an unknown registration status fails the call."""
    world = World(csms=Csms(registration="OK")).boot().advance(10)
    assert world.actions == ["BootNotification", "BootNotification"]
    assert world.core.state(world.now)["registration"] == "none"


def test_boot_link_lost_and_back_after_accepted_boots_not_again() -> None:
    """CORE-RPC-15, D-22, AMB-27."""
    world = World().boot().forget().disconnect().advance(60).connect().advance(1)
    assert world.actions == []


def test_boot_on_reconnect_boots_again_when_configured() -> None:
    """D-22: for servers that want it."""
    world = World(settings(link=link(boot_on_reconnect=True))).boot().forget().disconnect().connect().advance(1)
    assert world.actions[0] == "BootNotification"
    assert len(world.sent("StatusNotification")) == 4


def test_boot_link_lost_before_the_answer_boots_on_the_next_link() -> None:
    """CORE-BOOT-01."""
    world = World(csms=Csms(silent={"BootNotification"})).boot().disconnect().advance(5)
    world.csms.silent.clear()
    world.connect().advance(0)
    assert world.core.state(world.now)["registration"] == "Accepted"


def test_boot_unanswered_on_the_old_link_is_asked_at_once_on_the_new() -> None:
    """CORE-BOOT-13: the back-off after silence is per link."""
    world = World(csms=Csms(silent={"BootNotification"})).boot().advance(700).forget().disconnect()
    world.csms.silent.clear()
    world.connect().advance(0)
    assert world.core.state(world.now)["registration"] == "Accepted"


def test_boot_rejected_and_reconnected_still_waits_the_interval() -> None:
    """J-362: a new link is no way around the wait."""
    world = World(csms=Csms(registration="Rejected", interval_s=100)).boot().disconnect().connect().advance(99)
    assert world.actions == ["BootNotification"]
    world.advance(1)
    assert world.actions == ["BootNotification", "BootNotification"]


def test_boot_security_error_of_the_csms_leads_to_one_new_boot_per_link() -> None:
    """JE 3.8: the CSMS says that it does not know us yet."""
    world = World().boot().forget()
    world.csms.errors["DataTransfer"] = "SecurityError"
    for _ in range(3):
        world.command("data_transfer", "v", None, None)
        world.advance(1)
    assert world.actions.count("BootNotification") == 1


def test_boot_accepted_is_remembered_once() -> None:
    """CORE-BOOT-12: later parts may rely on it after a restart."""
    world = World().boot()
    assert world.rows["boot", "accepted"] == b"true"
    again = world.crash().boot()
    assert not [effect for effect in again.effects if getattr(effect, "key", "") == "accepted"]


def test_heartbeat_silence_sends_one_per_interval() -> None:
    """CORE-HB-01."""
    world = World(csms=Csms(interval_s=5)).boot().forget().advance(10)
    assert world.actions == ["Heartbeat", "Heartbeat"]


def test_heartbeat_traffic_within_the_interval_stands_for_it() -> None:
    """CORE-HB-02, J-306."""
    world = World(csms=Csms(interval_s=100)).boot().forget()
    for _ in range(4):
        world.advance(60)
        world.command("data_transfer", "v", None, None)
    world.advance(0)
    assert "Heartbeat" not in world.actions
    world.advance(100)
    assert world.actions[-1] == "Heartbeat"


def test_heartbeat_traffic_all_day_still_asks_the_time_once() -> None:
    """CORE-HB-04, J-306."""
    world = World(csms=Csms(interval_s=86_400)).boot().forget()
    for _ in range(48):
        world.advance(3_600)
        world.command("data_transfer", "v", None, None)
    world.advance(0)
    assert world.actions.count("Heartbeat") == 2


def test_heartbeat_interval_changed_acts_at_once() -> None:
    """CORE-HB-05, CORE-CC-01."""
    world = World(csms=Csms(interval_s=3600)).boot()
    assert world.ask("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "10"}) == {"status": "Accepted"}
    world.forget().advance(10)
    assert world.actions == ["Heartbeat"]


def test_heartbeat_offline_is_not_queued() -> None:
    """CORE-HB-01: after an outage one is enough."""
    world = World(csms=Csms(interval_s=10)).boot().forget().disconnect().advance(100).connect().advance(0)
    assert world.actions == ["Heartbeat"]


def test_heartbeat_unanswered_does_not_stop_the_next() -> None:
    """J-278: neither a timeout nor an error ends the rhythm."""
    world = World(csms=Csms(interval_s=60, silent={"Heartbeat"})).boot().forget().advance(300)
    assert 4 <= world.actions.count("Heartbeat") <= 6


def test_heartbeat_unanswered_after_a_day_does_not_flood() -> None:
    """CORE-HB-04: the daily question is repeated gently."""
    world = World(csms=Csms(interval_s=86_400, errors={"Heartbeat": "InternalError"})).boot().forget().advance(87_000)
    assert 2 <= world.actions.count("Heartbeat") <= 12


def test_clock_csms_an_hour_ahead_is_followed() -> None:
    """CORE-BOOT-04, J-307, CORE-GEN-06."""
    world = World(csms=Csms(offset_ms=3_600_000)).boot()
    told = parse_utc_ms(world.sent("StatusNotification")[0]["timestamp"])
    assert told == world.now.utc_ms + 3_600_000
    assert world.core.state(world.now)["clock_offset_s"] == 3600.0
    assert all(payload["timestamp"].endswith("Z") for payload in world.sent("StatusNotification"))


def test_clock_heartbeat_moves_it() -> None:
    """CORE-HB-03, J-307."""
    world = World(csms=Csms(interval_s=60)).boot()
    world.csms.offset_ms = -90_000
    world.advance(60)
    assert world.core.clock.offset_ms == -90_000
    assert world.rows["boot", "clock"] == b'{"offset_ms":-90000}'


def test_clock_small_difference_moves_nothing() -> None:
    """J-307: the jitter of the link is no news."""
    world = World(csms=Csms(interval_s=60, offset_ms=1_900)).boot().advance(300)
    assert world.core.clock.offset_ms == 0
    assert ("boot", "clock") not in world.rows


@pytest.mark.parametrize(
    "told",
    [
        *("yesterday", "1970-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "", "2026-13-01T00:00:00Z"),
        *("2200-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_clock_implausible_time_is_not_applied(told: str) -> None:
    """J-307."""
    world = World(csms=Csms(scripts={"Heartbeat": lambda _: {"currentTime": told}}, interval_s=60)).boot().advance(60)
    assert world.actions[-1] == "Heartbeat"
    assert world.core.clock.offset_ms == 0


def test_clock_slow_answer_is_no_clock_jump() -> None:
    """J-307: what a round trip of 20 s leaves open moves nothing and is no event."""
    world = World(csms=Csms(latency_s=20.0)).boot().advance(60)
    assert world.core.clock.offset_ms == 0
    assert "SettingSystemTime" not in str(world.sent("SecurityEventNotification"))


def test_clock_offset_survives_a_restart() -> None:
    """CORE-BOOT-04: times made before the next boot are right already."""
    world = World(csms=Csms(offset_ms=3_600_000)).boot()
    assert world.crash().core.clock.offset_ms == 3_600_000


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("2027-01-15T08:00:00Z", EPOCH_MS),
        ("2027-01-15T09:00:00.123+01:00", EPOCH_MS + 123),
        ("2027-01-15T08:00:00.1234567Z", EPOCH_MS + 123),
        ("2027-01-15T08:00:00", EPOCH_MS),
        ("no time", None),
    ],
)
def test_clock_reads_any_offset_and_fraction(text: str, utc_ms: int | None) -> None:
    """CORE-GEN-05."""
    assert parse_utc_ms(text) == utc_ms


def test_clock_writes_utc_with_milliseconds() -> None:
    """CORE-GEN-06."""
    assert utc_text(EPOCH_MS + 7) == "2027-01-15T08:00:00.007Z"
    assert parse_utc_ms(utc_text(EPOCH_MS + 999)) == EPOCH_MS + 999


def test_clock_untrusted_until_told() -> None:
    """J-307: an implausible time is no reason for trust."""
    clock = Clock()
    assert clock.learn("1999-01-01T00:00:00Z", 0, Instant(0.0, EPOCH_MS)) == 0
    assert not clock.is_trusted
    assert clock.learn(utc_text(EPOCH_MS + 5_000), 0, Instant(0.0, EPOCH_MS)) == 5_000
    assert clock.is_trusted


def test_boot_heartbeat_interval_is_published_when_monitored() -> None:
    """CORE-CC-10: BootNotification.conf changes the key as well."""
    world = World(csms=Csms(interval_s=42)).start()
    world.command("monitor_configuration_keys", ["heartbeatinterval"])
    world.connect().advance(0)
    assert world.published("configuration_key") == [{"key": "HeartbeatInterval", "read_only": False, "value": "42"}]


def test_boot_registration_is_published() -> None:
    """CORE-BOOT-01: ``charge_point.status`` follows the registration."""
    world = World().boot()
    assert [state["registration"] for state in world.published("charge_point.status")][-1] == "Accepted"
    assert_sends(world, "BootNotification", chargePointModel="Model")


# the machine's clock


def test_clock_goes_on_when_the_machines_is_set() -> None:
    """CORE-HB-03, J-307: our time follows the monotonic clock and the CSMS, the offset makes up for the rest."""
    world = World().boot()
    before = world.core.clock.utc_ms(world.now)
    world.wall_jump_ms = -3_600_000
    world.advance(10)
    world.command("monitor_configuration_keys", [])
    assert world.core.clock.utc_ms(world.now) == before + 10_000
    assert world.core.clock.offset_ms == 3_600_000
    assert world.rows["boot", "clock"] == b'{"offset_ms":3600000}'
    assert [event["type"] for event in world.published("security_event")][-1] == "SettingSystemTime"


def test_clock_of_a_machine_that_learns_the_time_is_followed() -> None:
    """N24: a hub without a battery starts in 1970 and is told the time by NTP before it ever reached its CSMS."""
    world = World(wall_jump_ms=-EPOCH_MS)
    world.start().advance(5)
    assert world.core.clock.utc_ms(world.now) < EPOCH_MS
    world.wall_jump_ms = 0
    world.advance(5).command("monitor_configuration_keys", [])
    assert world.core.clock.is_trusted
    assert world.core.clock.utc_ms(world.now) == world.now.utc_ms


def test_clock_slips_of_the_machine_are_no_steps() -> None:
    """J-307: up to 2 s."""
    world = World().boot()
    world.wall_jump_ms = 1_900
    world.advance(5).command("monitor_configuration_keys", [])
    assert world.core.clock.offset_ms == 0
