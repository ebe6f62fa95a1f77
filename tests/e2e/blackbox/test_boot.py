"""Registration: what a CSMS sees from the first frame to Accepted, Pending and Rejected."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest

from .conftest import Rig, iso, point, wait_for


def when(text: str) -> datetime.datetime:
    assert text.endswith("Z")
    return datetime.datetime.fromisoformat(text)


def test_csms_watches_a_first_boot_and_sees_boot_then_every_connector_once(rig: Rig) -> None:
    """CORE-BOOT-01, CORE-BOOT-11, CORE-GEN-03, CORE-GEN-06, CORE-STAT-13, CORE-STAT-14, CORE-RPC-18, J-209."""
    texts = (
        'serial_number = "SN1"\ncharge_box_serial_number = "CB1"\nfirmware_version = "1.2.3"\niccid = "89"\n'
        'imsi = "26"\nmeter_type = "MT"\nmeter_serial_number = "MS"'
    )
    csms, _, link = rig.pair(connectors=5, extra=texts)
    first = link.calls()[0]
    assert first[2] == "BootNotification"
    assert first[3] == {
        "chargePointVendor": "Acme",
        "chargePointModel": "Hub",
        "chargePointSerialNumber": "SN1",
        "chargeBoxSerialNumber": "CB1",
        "firmwareVersion": "1.2.3",
        "iccid": "89",
        "imsi": "26",
        "meterType": "MT",
        "meterSerialNumber": "MS",
    }
    states = [f[3] for f in link.calls("StatusNotification")]
    assert [s["connectorId"] for s in states] == [0, 1, 2, 3, 4, 5]
    for state in states:
        assert set(state) == {"connectorId", "errorCode", "status", "timestamp"}
        assert state["errorCode"] == "NoError"
        assert abs((when(state["timestamp"]) - when(iso())).total_seconds()) < 60
    assert states[0]["status"] == "Available"
    assert {s["status"] for s in states[1:]} <= {"Available", "Unavailable"}
    assert len(csms.links) == 1


def test_csms_holds_the_boot_answer_and_hears_nothing_else(rig: Rig) -> None:
    """CORE-BOOT-02, J-350, J-365: silence before the answer, queued security events and inbound CALLs included."""
    csms = rig.csms()
    csms.script["BootNotification"] = None
    hub = rig.hub(point(url=csms.url)).start()
    link = csms.link()
    boot = link.wait_call("BootNotification")[0]
    hub.call("security_event", type="TamperDetectionActivated", info="lid")
    assert hub.call("data_transfer", vendor_id="V") == {"status": "Offline"}
    early = link.post("GetConfiguration", {})
    link.post("TriggerMessage", {"requestedMessage": "Heartbeat"})
    link.socket.ping().wait(5)
    assert [f[2] for f in link.received() if f[0] == 2] == ["BootNotification"]
    link.send([3, boot[1], {"status": "Accepted", "currentTime": iso(), "interval": 9}])
    link.wait_call("StatusNotification", 3)
    link.wait_call("SecurityEventNotification", 2)
    assert link.value("HeartbeatInterval")["value"] == "9"
    assert link.answer_to(early) is None
    assert not link.calls("Heartbeat")


def test_csms_rejects_and_gets_silence_until_the_interval_is_over(rig: Rig) -> None:
    """CORE-BOOT-05, CORE-BOOT-07, J-361, J-362."""
    csms = rig.csms()
    boots: list[float] = []

    def boot(*_: Any) -> dict[str, Any]:
        boots.append(time.monotonic())
        return {"status": "Rejected" if len(boots) == 1 else "Accepted", "currentTime": iso(), "interval": 1}

    csms.script["BootNotification"] = boot
    hub = rig.hub(point(url=csms.url)).start()
    first = csms.link()
    wait_for(lambda: hub.call("charge_point.get")["registration"] == "Rejected", "Rejected")
    asked = first.post("GetConfiguration", {})
    hub.call("security_event", type="X", info="y")
    assert hub.call("data_transfer", vendor_id="V") == {"status": "Offline"}
    wait_for(lambda: len(boots) == 2, "second boot")
    assert boots[1] - boots[0] >= 0.95
    wait_for(lambda: hub.call("charge_point.get")["registration"] == "Accepted", "Accepted")
    last = csms.links[-1]
    last.wait_call("StatusNotification", 3)
    assert last.result("GetConfiguration", {"key": ["HeartbeatInterval"]})["configurationKey"]
    assert first.answer_to(asked) is None


def test_csms_keeps_it_pending_and_gets_only_what_it_asks_for(rig: Rig) -> None:
    """CORE-BOOT-06, CORE-BOOT-08, CORE-BOOT-09, CORE-BOOT-10, CORE-TM-01, CORE-TM-11, J-242, J-363, J-364."""
    csms = rig.csms(interval=3600, status="Pending")
    hub = rig.hub(point(url=csms.url)).start()
    link = csms.link()
    wait_for(lambda: hub.call("charge_point.get")["registration"] == "Pending", "Pending")
    hub.call("security_event", type="TamperDetectionActivated", info="lid")
    assert hub.call("data_transfer", vendor_id="V") == {"status": "Offline"}
    assert link.change("MeterValueSampleInterval", "77") == "Accepted"
    assert link.value("MeterValueSampleInterval")["value"] == "77"
    assert link.result("RemoteStartTransaction", {"idTag": "T"}) == {"status": "Rejected"}
    assert link.result("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Rejected"}
    assert [f[2] for f in link.calls()] == ["BootNotification"]
    assert link.result("TriggerMessage", {"requestedMessage": "Heartbeat"}) == {"status": "Accepted"}
    link.wait_call("Heartbeat")
    assert link.result("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 2}) == {
        "status": "Accepted"
    }
    assert [f[3]["connectorId"] for f in link.wait_call("StatusNotification")] == [2]
    csms.script["BootNotification"] = lambda *_: {"status": "Accepted", "currentTime": iso(), "interval": 60}
    assert link.result("TriggerMessage", {"requestedMessage": "BootNotification"}) == {"status": "Accepted"}
    link.wait_call("BootNotification", 2)
    link.wait_call("StatusNotification", 4)
    events = link.wait_call("SecurityEventNotification", 2)
    assert [f[3]["type"] for f in events] == ["StartupOfTheDevice", "TamperDetectionActivated"]
    assert events[1][3]["techInfo"] == "lid"


def test_csms_gives_an_interval_and_it_becomes_the_heartbeat(rig: Rig) -> None:
    """CORE-BOOT-03, CORE-HB-01, CORE-HB-05, J-204: heartbeats `{}` at the given interval, then at the changed one."""
    csms = rig.csms(interval=1)
    rig.hub(point(url=csms.url)).start()
    link = csms.booted()
    assert link.value("HeartbeatInterval")["value"] == "1"
    start = time.monotonic()
    beats = link.wait_call("Heartbeat", 2)
    assert time.monotonic() - start >= 1.0
    assert beats[0][3] == {}
    assert link.change("HeartbeatInterval", "86400") == "Accepted"
    assert link.value("HeartbeatInterval")["value"] == "86400"


def test_csms_with_another_clock_is_followed(rig: Rig) -> None:
    """CORE-BOOT-04, J-307, S-214: later timestamps follow its time, and the offset shows."""
    csms = rig.csms()
    csms.clock_offset = 3600.0
    hub = rig.hub(point(url=csms.url)).start()
    link = csms.booted()
    hub.call("security_event", type="Now", info="x")
    wait_for(lambda: any(f[3]["type"] == "Now" for f in link.calls("SecurityEventNotification")), "event")
    event = next(f[3] for f in link.calls("SecurityEventNotification") if f[3]["type"] == "Now")
    assert abs((when(event["timestamp"]) - when(iso(3600))).total_seconds()) < 5
    assert abs(hub.call("charge_point.get")["clock_offset_s"] - 3600) < 5
    assert "SettingSystemTime" in [f[3]["type"] for f in link.calls("SecurityEventNotification")]
    csms.clock_offset = 0.0
    link.result("TriggerMessage", {"requestedMessage": "Heartbeat"})
    wait_for(lambda: abs(hub.call("charge_point.get")["clock_offset_s"]) < 5, "Heartbeat.conf sets the clock back")


@pytest.mark.parametrize(
    ("answer", "interval"),
    [
        ({"status": "Accepted", "interval": 300.0}, "300"),
        ({"status": "Accepted", "heartbeatInterval": 400}, "400"),
        ({"status": "Accepted", "interval": 500, "extra": {"a": [1]}}, "500"),
        ({"status": "Accepted", "interval": 0}, None),
    ],
    ids=["float", "old name", "extra member", "zero"],
)
def test_csms_answers_the_boot_oddly_and_is_understood(rig: Rig, answer: dict[str, Any], interval: str | None) -> None:
    """J-212, J-213, J-276, CORE-BOOT-03."""
    csms = rig.csms()
    csms.script["BootNotification"] = lambda *_: answer | {"currentTime": iso()}
    hub = rig.hub(point(url=csms.url)).start()
    link = csms.booted()
    assert hub.call("charge_point.get")["registration"] == "Accepted"
    value = link.value("HeartbeatInterval")["value"]
    assert int(value) >= 1
    if interval:
        assert value == interval


@pytest.mark.parametrize("time_text", ["yesterday", "1970-01-01T00:00:00Z"])
def test_csms_sends_an_absurd_time_and_it_is_not_applied(rig: Rig, time_text: str) -> None:
    """J-307: implausible values are not applied; the process lives."""
    csms = rig.csms()
    csms.script["Heartbeat"] = {"currentTime": time_text}
    hub = rig.hub(point(url=csms.url)).start()
    link = csms.booted()
    assert link.result("TriggerMessage", {"requestedMessage": "Heartbeat"}) == {"status": "Accepted"}
    link.wait_call("Heartbeat")
    link.result("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1})
    link.wait_call("StatusNotification", 4)
    assert abs(hub.call("charge_point.get")["clock_offset_s"]) < 5


def test_csms_asks_for_a_boot_after_accepting_and_is_refused(rig: Rig) -> None:
    """CORE-BOOT-15, CORE-TM-09, J-366."""
    _, _, link = rig.pair()
    assert link.result("TriggerMessage", {"requestedMessage": "BootNotification"}) == {"status": "Rejected"}
    assert link.result("TriggerMessage", {"requestedMessage": "Heartbeat"}) == {"status": "Accepted"}
    link.wait_call("Heartbeat")
    assert len(link.calls("BootNotification")) == 1


def test_operator_kills_the_process_and_the_next_start_boots_again(rig: Rig) -> None:
    """CORE-BOOT-01, J-231: a restart of the process is a reboot; ids are never reused over connections."""
    csms, hub, first = rig.pair()
    hub.kill()
    first.closed.wait(10)
    hub.start()
    second = csms.booted(1)
    assert second.calls()[0][2] == "BootNotification"
    ids = [f[1] for link in csms.links for f in link.calls()]
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= 36
