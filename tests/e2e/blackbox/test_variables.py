"""The four variables: values, publications, subscriptions and their resumption."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from .conftest import Rig, Rpc, Shared, point, wait_for

FIELDS = {"subscription", "stream", "seq", "charge_point", "topic", "timestamp", "value"}


def test_client_reads_every_variable(rpc: Rpc) -> None:
    """rpc.md `get_variable`: name, value, timestamp; null before the first publication."""
    for name in ("is_connected", "charging_schedules", "configuration_key", "security_event"):
        answer = rpc.call("get_variable", name=name)
        assert set(answer) == {"name", "value", "timestamp"}
        assert answer["name"] == name
        assert (answer["value"] is None) == (answer["timestamp"] is None)
    assert rpc.call("get_variable", name="is_connected")["value"] is True
    assert rpc.call("get_variable", name="configuration_key")["value"] is None


def test_client_reads_the_schedules_of_all_connectors(rpc: Rpc) -> None:
    """rpc.md `charging_schedules`: "0" to "N", one whole-second start, unit and duration; configured limits."""
    value = rpc.call("get_variable", name="charging_schedules")["value"]
    assert list(value) == ["0", "1", "2", "3"]
    starts = {s["startSchedule"] for s in value.values()}
    assert len(starts) == 1
    assert datetime.datetime.strptime(starts.pop(), "%Y-%m-%dT%H:%M:%SZ").year >= 2024
    for schedule in value.values():
        assert set(schedule) == {"chargingRateUnit", "duration", "startSchedule", "chargingSchedulePeriod"}
        assert (schedule["chargingRateUnit"], schedule["duration"]) == ("A", 600)
        assert schedule["chargingSchedulePeriod"][0]["startPeriod"] == 0
    assert value["1"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 32.0, "numberPhases": 3}]
    assert value["0"]["chargingSchedulePeriod"][0]["limit"] == 96.0


def test_client_gets_schedules_periodically_in_the_configured_shape(rig: Rig) -> None:
    """surface.md `publish_interval_s`, `publish_duration_s`, `schedule_unit`; only the wanted connectors."""
    hub = rig.hub(
        point(connectors=4, electrical="station_max_a = 50"),
        hub='publish_interval_s = 1\npublish_min_interval_s = 0\npublish_duration_s = 60\nschedule_unit = "W"',
    ).start()
    with hub.rpc() as rpc:
        wait_for(lambda: rpc.call("get_variable", name="charging_schedules")["value"], "first publication")
        answer = rpc.call("subscribe", topics=["charging_schedules"], connectors="2-3")
        first = answer["snapshot"]["charging_schedules"]
        assert set(first) == {"2", "3"}
        event = rpc.event("charging_schedules", timeout=5)["value"]
        assert set(event) == {"2", "3"}
        assert (event["2"]["chargingRateUnit"], event["2"]["duration"]) == ("W", 60)
        assert event["2"]["chargingSchedulePeriod"][0]["limit"] == 32 * 230 * 3
        whole = rpc.call("get_variable", name="charging_schedules")["value"]
        assert whole["0"]["chargingSchedulePeriod"][0]["limit"] == 50 * 230 * 3


def test_client_subscribes_and_sees_the_link_go_and_a_gap_nowhere(rig: Rig) -> None:
    """rpc.md Publications: the snapshot is of `seq`, `seq` counts on, `since` replays, is_connected is exact."""
    _csms, hub, _link = rig.pair()
    with hub.rpc() as rpc, hub.rpc() as late:
        answer = rpc.call("subscribe", topics=["is_connected", "security_event", "configuration_key"])
        assert answer["snapshot"]["is_connected"] is True
        before = {"stream": answer["stream"], "seq": answer["seq"]}
        assert rpc.call("stop") is True
        down = rpc.event("is_connected")
        assert set(down) == FIELDS
        assert down["value"] is False
        assert down["charge_point"] == "HUB-1"
        assert down["subscription"] == answer["subscription"]
        assert down["stream"] == answer["stream"]
        assert down["seq"] > answer["seq"]
        assert rpc.call("restart") is True
        up = rpc.event("is_connected")
        assert up["value"] is True
        assert up["seq"] > down["seq"]
        resumed = late.call("subscribe", topics=["is_connected"], since=before)
        assert not resumed.get("gap")
        assert resumed["stream"] == answer["stream"]
        replayed = [late.event("is_connected") for _ in range(2)]
        assert [(event["seq"], event["value"]) for event in replayed] == [(down["seq"], False), (up["seq"], True)]


@pytest.mark.parametrize("since", [{"stream": "another", "seq": 1}, {"stream": "", "seq": 0}], ids=str)
def test_client_resumes_a_stream_of_another_life_and_gets_a_gap(rpc: Rpc, since: Any) -> None:
    """rpc.md `since`: gap true with a snapshot."""
    answer = rpc.call("subscribe", topics=["is_connected"], since=since)
    assert answer["gap"] is True
    assert answer["snapshot"] == {"is_connected": True}


def test_client_resumes_the_future_and_gets_a_gap(rpc: Rpc) -> None:
    """rpc.md `since`: a seq that was never given out cannot be resumed."""
    now = rpc.call("subscribe", topics=["is_connected"])
    answer = rpc.call("subscribe", topics=["is_connected"], since={"stream": now["stream"], "seq": now["seq"] + 1000})
    assert answer["gap"] is True


def test_client_unsubscribes_and_hears_no_more(rpc: Rpc, shared: Shared) -> None:
    """rpc.md `unsubscribe`; another client's number and a second time are errors."""
    rpc.call("monitor_configuration_keys", keys=["ResetRetries"])
    one = rpc.call("subscribe", topics=["configuration_key"])["subscription"]
    two = rpc.call("subscribe", topics=["configuration_key"], snapshot=False)
    assert "snapshot" not in two
    assert one != two["subscription"]
    assert rpc.call("unsubscribe", subscription=one) is None
    assert rpc.fails("unsubscribe", {"subscription": one}).code == -32602
    assert shared.link.change("ResetRetries", "6") == "Accepted"
    assert rpc.event("configuration_key")["subscription"] == two["subscription"]
    with shared.hub.rpc() as other:
        assert other.fails("unsubscribe", {"subscription": two["subscription"]}).code == -32602
    rpc.call("rpc.ping")
    assert rpc.events == []


def test_client_watches_the_charge_point_and_connectors(rpc: Rpc) -> None:
    """rpc.md topics `connector.status`, `charge_point.status`: the snapshot is what the getters return."""
    answer = rpc.call("subscribe", topics=["connector.status", "charge_point.status"], connectors=[2])
    assert set(answer["snapshot"]["charge_point.status"]) == set(rpc.call("charge_point.get"))
    states = answer["snapshot"]["connector.status"]
    state = rpc.call("connector.get", connector_id=2)
    assert state in (states if isinstance(states, list) else states.values())
    assert len(states) == 1
    assert rpc.fails("connector.get", {"connector_id": 4}).code == -32002


def test_internal_events_are_published_and_command_events_are_not_mistaken(rig: Rig) -> None:
    """S-215, interface `security_event`: internal events are published with type."""
    csms = rig.csms()
    csms.clock_offset = 7200
    hub = rig.hub(point(url=csms.url)).start()
    csms.booted()
    wait_for(
        lambda: (hub.call("get_variable", name="security_event")["value"] or {}).get("type") == "SettingSystemTime",
        "event",
    )


def test_client_sees_every_frame_with_secrets_masked(rpc: Rpc, shared: Shared) -> None:
    """rpc.md `ocpp.message`: direction and frame; both directions in order."""
    rpc.call("subscribe", topics=["ocpp.message"])
    message = shared.link.call("GetConfiguration", {"key": ["ResetRetries"]})[1]
    got = [rpc.event("ocpp.message")["value"] for _ in range(2)]
    assert [g["direction"] for g in got] == ["received", "sent"]
    assert all(message in g["frame"] for g in got)
