"""Security events: what is sent, what is only published, how often."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Record, Reply, Send, Store
from ocpphub.core.security import CRITICAL
from ocpphub.errors import LocalError
from tests.builders import EPOCH_MS, Csms, World, assert_nothing_sent


def booted() -> World:
    return World().boot().forget()


def test_command_is_on_disk_before_it_is_answered() -> None:
    """S-212, S-215, J-349, D-25: and not critical or not makes no difference."""
    world = booted()
    request = world.command("security_event", "InvalidFirmwareSignature", "info")
    kinds = [type(effect) for effect in world.effects if isinstance(effect, Store | Reply | Send)]
    assert kinds == [Store, Reply, Send]
    assert world.result(request) is None
    assert world.sent("SecurityEventNotification") == [
        {
            "type": "InvalidFirmwareSignature",
            "techInfo": "info",
            "timestamp": world.core.clock.text(world.now),
        }
    ]


def test_command_is_not_published() -> None:
    """S-215: the variable is for internal events."""
    world = booted()
    world.command("security_event", "TamperDetectionActivated", "lid")
    assert world.published("security_event") == []


@pytest.mark.parametrize("info", [None, ""])
def test_command_without_info_sends_no_empty_member(info: str | None) -> None:
    """J-208, S-214."""
    world = booted()
    world.command("security_event", "TamperDetectionActivated", info)
    assert set(world.sent("SecurityEventNotification")[0]) == {"type", "timestamp"}


@pytest.mark.parametrize(
    ("kind", "info"),
    [("t" * 51, None), ("", None), (5, None), ("T", "i" * 256), ("T", 5), ("T\x00", None), ("T", "nul\x00")],
)
def test_command_with_illegal_text_is_an_error(kind: Any, info: Any) -> None:
    """S-214: nothing is cut, stored or sent."""
    world = booted()
    with pytest.raises(LocalError) as caught:
        world.command("security_event", kind, info)
    assert caught.value.code == "invalid_params"
    assert_nothing_sent(world)
    assert world.replies == {}
    assert not [effect for effect in world.effects if isinstance(effect, Store)]


def test_command_at_the_limits_is_sent() -> None:
    """S-214."""
    world = booted()
    world.command("security_event", "ä" * 50, "ö" * 255)
    assert len(world.sent("SecurityEventNotification")[0]["techInfo"]) == 255


def test_command_offline_keeps_the_time_of_the_event() -> None:
    """S-214: of the occurrence, not of the sending."""
    world = booted().disconnect()
    at = world.core.clock.text(world.now)
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.advance(1_000).connect().advance(0)
    assert world.sent("SecurityEventNotification")[0]["timestamp"] == at


def test_event_before_the_clock_was_known_is_corrected_once() -> None:
    """S-214, CORE-BOOT-04: the CSMS is a day ahead of the machine."""
    world = World(csms=Csms(offset_ms=86_400_000)).start()
    world.command("security_event", "TamperDetectionActivated", "lid")
    world.advance(30).connect().advance(0)
    expected = utc_text(EPOCH_MS + 1_000_000 + 86_400_000)
    sent = {payload["type"]: payload["timestamp"] for payload in world.sent("SecurityEventNotification")}
    assert sent["TamperDetectionActivated"] == sent["StartupOfTheDevice"] == expected


def test_critical_events_are_the_seven_of_the_paper() -> None:
    """S-211, D-25."""
    assert len(CRITICAL) == 7
    assert "StartupOfTheDevice" in CRITICAL
    assert "InvalidMessages" not in CRITICAL


def test_start_of_the_process_is_sent_and_published() -> None:
    """S-211, S-215, CORE-RES-08."""
    world = World().boot()
    assert world.published("security_event") == [{"type": "StartupOfTheDevice", "info": "1.2.3"}]
    assert [payload["type"] for payload in world.sent("SecurityEventNotification")] == ["StartupOfTheDevice"]


def test_clock_set_by_more_than_the_threshold_is_sent_once_an_hour() -> None:
    """S-211: SettingSystemTime is critical."""
    world = World(csms=Csms(interval_s=60)).boot().forget()
    for step_s in range(1, 11):
        world.csms.offset_ms = step_s * 10_000
        world.advance(60)
    assert [event["type"] for event in world.published("security_event")] == ["SettingSystemTime"]
    world.advance(3_600)
    world.csms.offset_ms = 0
    world.advance(60)
    assert [payload["type"] for payload in world.sent("SecurityEventNotification")] == ["SettingSystemTime"] * 2


def test_internal_text_of_300_characters_is_cut() -> None:
    """S-214: texts of internal events never fail."""
    world = booted()
    world.core._security.internal("MemoryExhaustion", "x" * 300, world.now)
    world.core.handle_timer(world.now)
    world.settle()
    assert len(world.sent("SecurityEventNotification")[0]["techInfo"]) == 255


def test_refused_frames_are_one_event_a_minute_with_a_count() -> None:
    """J-277: published, not sent."""
    world = booted()
    for _ in range(500):
        world.receive("[2,")
    world.advance(60)
    world.receive("nonsense")
    infos = [event["info"] for event in world.published("security_event")]
    assert [info.split()[0] for info in infos] == ["1", "500"]
    assert world.sent("SecurityEventNotification") == []


def test_refused_frames_on_a_new_connection_are_a_new_event() -> None:
    """J-277: the limit counts per connection."""
    world = booted()
    world.receive("x")
    world.disconnect().connect().receive("x")
    assert len(world.published("security_event")) == 2


def test_failed_attempts_are_one_event_an_hour_per_cause() -> None:
    """D-19: a CSMS that says 401 all night is one event an hour."""
    world = World().start().forget()
    for _ in range(120):
        world.core.link_failed("FailedToAuthenticateAtCentralSystem", "HTTP 401", world.now)
        world.core.link_failed(None, "connection refused", world.now)
        world.settle().advance(60)
    assert (
        world.published("security_event") == [{"type": "FailedToAuthenticateAtCentralSystem", "info": "HTTP 401"}] * 2
    )
    assert not [effect for effect in world.effects if isinstance(effect, Store)]


def test_each_cause_of_an_event_has_an_hour_of_its_own() -> None:
    """D-19, T14: another certificate is told at once, the first one again after an hour."""
    world = World().start().forget()
    for fingerprint in ("aa", "bb", "aa", "bb", "aa"):
        world.core.link_failed("InvalidCentralSystemCertificate", fingerprint, world.now, fingerprint)
        world.core.link_failed("InvalidTLSVersion", "old", world.now, "TLSV1_ALERT_PROTOCOL_VERSION")
        world.settle().advance(900)
    told = [(event["type"], event["info"]) for event in world.published("security_event")]
    certificate, other = "InvalidCentralSystemCertificate", "CentralSystemFailedToAuthenticate"
    assert told == [
        (certificate, "aa"),
        (other, "aa"),
        ("InvalidTLSVersion", "old"),
        (certificate, "bb"),
        (other, "bb"),
        (certificate, "aa"),
        (other, "aa"),
        ("InvalidTLSVersion", "old"),
    ]


def test_causes_of_more_than_an_hour_ago_are_forgotten() -> None:
    """T14: a peer that shows another certificate each time fills no memory."""
    world = World().start().forget()
    for number in range(500):
        world.core.link_failed("InvalidCentralSystemCertificate", "x", world.now, f"{number}")
        world.settle().advance(60)
    assert len(world.core._security._cause_told_s) <= 60


def test_refused_certificate_of_the_csms_is_two_events() -> None:
    """D-19: the certificate, and that the CSMS could not prove itself."""
    world = World().start().forget()
    world.core.link_failed("InvalidCentralSystemCertificate", "expired", world.now)
    world.settle()
    assert [event["type"] for event in world.published("security_event")] == [
        "InvalidCentralSystemCertificate",
        "CentralSystemFailedToAuthenticate",
    ]


def test_refused_frame_is_never_echoed() -> None:
    """J-262, D-26."""
    world = booted()
    world.receive('[2,"id","ChangeConfiguration",{"key":"AuthorizationKey","value":"5eCre7","value":"x"}]')
    assert "5eCre7" not in str(world.published("security_event")) + str(world.answers)


def test_store_full_is_memory_exhaustion_once_an_hour() -> None:
    """S-211, J-351."""
    world = booted()
    for _ in range(3):
        world.core.store_full(world.now)
    world.settle().advance(3_600)
    world.core.store_full(world.now)
    world.settle()
    assert [event["type"] for event in world.published("security_event")] == ["MemoryExhaustion"] * 2


def test_every_event_is_recorded_critical_or_not_and_whoever_makes_it() -> None:
    """S-213: also while the charge point is stopped, when none is sent."""
    world = booted()
    world.core._security.internal("InvalidMessages", "1 refused", world.now)
    world.command("security_event", "MaintenanceLogin", None)
    world.command("stop")
    world.advance(60)
    world.core.store_full(world.now)
    world.settle()
    records = [effect for effect in world.effects if isinstance(effect, Record)]
    assert [(each.kind, each.info) for each in records] == [
        ("InvalidMessages", "1 refused"),
        ("MaintenanceLogin", ""),
        ("MemoryExhaustion", "the store is nearly full"),
    ]
    assert records[0].utc_ms == world.core.clock.utc_ms(world.now) - 60_000


def test_refused_command_is_not_recorded() -> None:
    """S-213, S-214: what did not happen is in no log."""
    world = booted()
    with pytest.raises(LocalError):
        world.command("security_event", "t" * 51, None)
    assert not [effect for effect in world.effects if isinstance(effect, Record)]


def test_record_is_cut_to_what_an_event_may_hold() -> None:
    """S-214: the log holds what would be sent."""
    world = booted()
    world.core._security.internal("k" * 60, "x" * 300, world.now)
    world.settle()
    (record,) = (effect for effect in world.effects if isinstance(effect, Record))
    assert (len(record.kind), len(record.info)) == (50, 255)


def test_security_log_that_was_cleared_is_a_critical_event() -> None:
    """S-211, S-213, T37: sent, published and recorded again."""
    world = booted()
    assert world.result(world.command("security_log_cleared", "lines 1 to 7")) is None
    assert [payload["type"] for payload in world.sent("SecurityEventNotification")] == ["SecurityLogWasCleared"]
    assert world.published("security_event") == [{"type": "SecurityLogWasCleared", "info": "lines 1 to 7"}]
    assert [each.kind for each in world.effects if isinstance(each, Record)] == ["SecurityLogWasCleared"]
