"""Smart charging while the rest of the charge point lives its life: registration, clock, stop, links, neighbours."""

from __future__ import annotations

import time

from .charging import Station, far, flat, limit_of_all, profile, seconds, station
from .conftest import Rig, iso, point, wait_for


def test_csms_keeps_it_pending_and_may_set_profiles_already(rig: Rig) -> None:
    """CORE-BOOT-09: a pending charge point answers the CSMS, and what it accepts counts from then on."""
    csms = rig.csms(interval=3600, status="Pending")
    hub = rig.hub(point(url=csms.url)).start()
    wait_for(lambda: hub.call("charge_point.get")["registration"] == "Pending", "Pending")
    pending = Station(rig, csms, hub, csms.link(), rig.client(hub))
    pending.put(1, profile(1, (0, 10)))
    assert pending.periods(1) == flat(10.0)
    accepted = {"status": "Accepted", "currentTime": iso(), "interval": 86_400}
    csms.script["BootNotification"] = accepted
    pending.restart()
    assert pending.ids() == [1]


def test_csms_with_another_clock_decides_what_now_is(rig: Rig) -> None:
    """CORE-BOOT-04, CORE-HB-03, CORE-SC-38, reliability 4.7: scheduleStart and absolute schedules follow its clock."""
    csms = rig.csms()
    csms.clock_offset = 7200.0
    process = rig.hub(point(url=csms.url)).start()
    hub = Station(rig, csms, process, csms.booted(), rig.client(process))
    ahead = seconds(hub.composite(1)["scheduleStart"]) - time.time()
    assert 7195 < ahead < 7205
    zero = time.time() + 7200 - 100
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(zero))
    hub.put(1, profile(1, (0, 10), (600, 20), start=start))
    assert [limit for _, limit, _ in hub.periods(1)] == [10.0, 20.0]
    over = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert hub.set(1, profile(2, valid_to=over)) == "Rejected"
    assert 7195 < seconds(hub.installed()[0]["accepted_at"]) - time.time() < 7205
    hub.rpc.call("subscribe", topics=["charging_schedules"], snapshot=False)
    csms.clock_offset = 0.0
    hub.link.change("HeartbeatInterval", "1")
    hub.link.wait_call("Heartbeat")

    def followed() -> bool:
        value = hub.rpc.event("charging_schedules", timeout=3)["value"]
        return abs(seconds(value["1"]["startSchedule"]) - time.time()) < 5

    wait_for(followed, "a publication by the clock that is right", 4)
    # The schedule begins in 7100 s by the clock that is right now.
    assert hub.periods(1) == flat(32.0)


def test_link_is_cut_and_the_installed_profiles_rule(rig: Rig) -> None:
    """CORE-SC-14, SCA-33: offline as online; the CSMS finds everything as it was."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10)))
    before = [hub.at(n) for n in range(3)]
    hub.link.socket.close()
    wait_for(lambda: not hub.rpc.call("get_variable", name="is_connected")["value"], "offline")
    assert [hub.at(n) for n in range(3)] == before
    assert hub.rpc.call("schedule.get", connector_id=1, duration_s=60)["schedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 10.0, "numberPhases": 3}
    ]


def test_operator_stops_and_restarts_and_the_profiles_are_there(rig: Rig) -> None:
    """decisions.md 6 `stop`: no OCPP while stopped; schedules can be asked for, and are the same after `restart`."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10)))
    assert hub.rpc.call("stop") is True
    assert hub.at(1) == flat(10.0)
    assert hub.ids() == [1]
    links = len(hub.csms.links)
    assert hub.rpc.call("restart") is True
    hub.link = hub.csms.link(links)
    hub.link.wait_call("BootNotification")
    assert hub.periods(1) == flat(10.0)
    assert hub.clear(id=1) == "Accepted"


def test_two_charge_points_in_one_hub_know_nothing_of_each_other(rig: Rig) -> None:
    """decisions.md 3 (many charge points): profiles, limits, schedules, events and the store are per identity."""
    csms = rig.csms()
    small = "MaxChargingProfilesInstalled = 1"
    process = rig.hub(point("A-1", url=csms.url), point("B-2", url=csms.url, connectors=3, configuration=small)).start()
    rpc = rig.client(process)
    a, b = (Station(rig, csms, process, csms.booted(0, name), rpc) for name in ("A-1", "B-2"))
    rpc.call("subscribe", topics=["connector.schedule"], charge_point="B-2", snapshot=False)
    a.put(1, profile(1, (0, 10)), profile(2, (0, 11), level=1))
    a.put(0, limit_of_all(3, (0, 15)))
    assert [b.periods(n) for n in range(4)] == [flat(96.0)] + [flat(32.0)] * 3
    b.put(3, profile(1, (0, 7)))
    assert b.set(1, profile(9)) == "Rejected"
    event = rpc.event("connector.schedule", timeout=3)
    assert (event["charge_point"], event["value"]["connector_id"] in {0, 3}) == ("B-2", True)
    assert a.clear(id=3) == "Accepted"
    process.kill()
    process.start()
    with process.rpc() as again:
        kept = {name: again.call("schedule.profiles", charge_point=name) for name in ("A-1", "B-2")}
        assert {name: sorted(p["charging_profile_id"] for p in items) for name, items in kept.items()} == {
            "A-1": [1, 2],
            "B-2": [1],
        }
        error = again.fails("schedule.get", {"connector_id": 1, "duration_s": 60, "at": far()})
        assert error.code in {-32602, -32003}
        assert {"A-1", "B-2"} <= set(str(error.data).replace(",", " ").replace("'", " ").split())
        answer = again.call("schedule.get", connector_id=3, duration_s=60, charge_point="B-2")
        assert answer["schedule"]["chargingSchedulePeriod"][0]["limit"] == 7.0
        assert again.fails("schedule.get", {"connector_id": 3, "duration_s": 60, "charge_point": "A-1"}).code == -32002
