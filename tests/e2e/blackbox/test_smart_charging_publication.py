"""What is published of schedules: the variable `charging_schedules` and the topic `connector.schedule`."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from .charging import Json, Station, cleared, flat, limit_of_all, now, open_station, periods_of, profile, seconds
from .conftest import Rpc

ALL = ["0", "1", "2", "3"]
# Longer than publish_min_interval_s of the shared hub: what has not come by then does not come.
SOON_S = 0.3


STATION = {"connectors": 3, "hub": "publish_interval_s = 0\npublish_min_interval_s = 0.1"}


@pytest.fixture
def hub(opened: Station) -> Station:
    cleared(opened)
    value = settled(opened)
    assert [periods_of(value[n]) for n in ALL] == [flat(96.0)] + [flat(32.0)] * 3
    return opened


def variable(opened: Station) -> Json:
    value: Json = opened.rpc.call("get_variable", name="charging_schedules")["value"]
    return value


def settled(opened: Station) -> Json:
    """The published schedules once they say what GetCompositeSchedule says."""
    end = time.monotonic() + 3
    while True:
        value = variable(opened)
        if all(periods_of(value[n]) == opened.periods(int(n)) for n in ALL):
            return value
        assert time.monotonic() < end, "not current within 3 s"
        time.sleep(0.02)


def heard(rpc: Rpc, seconds_: float) -> list[Json]:
    """All events of the next so many seconds, with the time of their arrival."""
    end = time.monotonic() + seconds_
    events = [event | {"at": time.monotonic()} for event in rpc.events]
    rpc.events.clear()
    while (left := end - time.monotonic()) > 0:
        try:
            line = rpc.line(left)
        except TimeoutError:
            break
        events.append(json.loads(line)["params"] | {"at": time.monotonic()})
    return events


# -- charging_schedules ----------------------------------------------------------------------------


def test_client_reads_every_schedule_of_one_moment(hub: Station) -> None:
    """rpc.md `charging_schedules`: the full object, one start, unit and duration, OCPP's own form."""
    hub.put(2, profile(1, (0, 10), (60, 12), kind="Relative"))
    value = settled(hub)
    assert list(value) == ALL
    for schedule in value.values():
        assert set(schedule) == {"chargingRateUnit", "duration", "startSchedule", "chargingSchedulePeriod"}
        assert (schedule["chargingRateUnit"], schedule["duration"]) == ("A", 600)
    starts = {schedule["startSchedule"] for schedule in value.values()}
    assert len(starts) == 1
    assert (start := starts.pop()).endswith("Z")
    assert seconds(start) % 1 == 0
    assert periods_of(value["2"]) == [(0, 10.0, 3), (60, 12.0, 3)]
    assert periods_of(value["0"]) == [(0, 74.0, 3), (60, 76.0, 3)]


def test_client_with_a_filter_hears_of_its_connectors_only(hub: Station) -> None:
    """rpc.md `charging_schedules`: the full object of the subscriber's filter, whoever changed."""
    wanted: list[tuple[Any, list[str]]] = [(2, ["2"]), ([1, 3], ["1", "3"]), ("2-3", ["2", "3"])]
    for connectors, names in wanted:
        settled(hub)
        with hub.hub.rpc() as rpc:
            answer = rpc.call("subscribe", topics=["charging_schedules"], connectors=connectors)
            assert list(answer["snapshot"]["charging_schedules"]) == names
            hub.put(0, profile(1, (0, 10)))
            value = rpc.event("charging_schedules", timeout=3)["value"]
            assert list(value) == names
            assert [periods_of(value[n]) for n in names] == [flat(10.0)] * len(names)
            assert hub.clear() == "Accepted"


def test_client_hears_of_changes_within_a_second_and_of_a_burst_but_once_a_second() -> None:
    """rpc.md `charging_schedules`, CORE-SC-45: at most once per publish_min_interval_s (1), after a clear too."""
    with open_station(3, hub="publish_interval_s = 0") as opened, opened.hub.rpc() as rpc:
        rpc.call("subscribe", topics=["charging_schedules"], snapshot=False)
        heard(rpc, 0.2)
        began = time.monotonic()
        for n in range(100):
            opened.put(1 + n % 3, profile(n, (0, n % 30), level=n % 5))
        took = time.monotonic() - began
        events = heard(rpc, 2.2)
        assert 1 <= len(events) <= took + 2
        gaps = [b["at"] - a["at"] for a, b in itertools.pairwise(events)]
        assert all(gap > 0.9 for gap in gaps), gaps
        assert [periods_of(events[-1]["value"][n]) for n in ALL] == [opened.periods(int(n)) for n in ALL]
        assert events[-1]["at"] - began - took < 1.5
        began = time.monotonic()
        assert opened.clear() == "Accepted"
        assert periods_of(rpc.event("charging_schedules", timeout=3)["value"]["1"]) == flat(32.0)
        assert time.monotonic() - began < 1.5


def test_refused_message_is_not_published(hub: Station) -> None:
    """CORE-SC-45: only what was accepted is a change."""
    with hub.hub.rpc() as rpc:
        rpc.call("subscribe", topics=["charging_schedules", "connector.schedule"], snapshot=False)
        assert hub.set(1, profile(1, (0, 10), level=99)) == "Rejected"
        assert hub.clear() == "Unknown"
        hub.composite(1)
        assert heard(rpc, SOON_S) == []


def test_hub_publishes_at_its_interval_in_the_configured_shape() -> None:
    """surface.md `publish_interval_s`, `publish_duration_s`, `schedule_unit`: each window has its own start."""
    shape = 'publish_interval_s = 1\npublish_duration_s = 90\nschedule_unit = "W"'
    with open_station(1, hub=shape) as opened:
        opened.put(1, profile(1, (0, 10), (30, 16), start=now()))
        opened.rpc.call("subscribe", topics=["charging_schedules"], snapshot=False)
        values = [opened.rpc.event("charging_schedules", timeout=3)["value"]["1"] for _ in range(2)]
        assert {(v["chargingRateUnit"], v["duration"]) for v in values} == {("W", 90)}
        boundaries = {seconds(v["startSchedule"]) + v["chargingSchedulePeriod"][1]["startPeriod"] for v in values}
        assert len(boundaries) == 1
        assert len({v["startSchedule"] for v in values}) >= 2


# -- connector.schedule ----------------------------------------------------------------------------


def test_client_hears_of_the_connectors_that_changed_and_of_0(hub: Station) -> None:
    """rpc.md `connector.schedule`: connector_id and schedule; the others are silent."""
    with hub.hub.rpc() as rpc:
        snapshot = rpc.call("subscribe", topics=["connector.schedule"])["snapshot"]["connector.schedule"]
        assert json.loads(json.dumps(snapshot)).keys() == set(ALL)
        hub.put(2, profile(1, (0, 10), (60, 12), start=now(300)), profile(2, (0, 20)))
        values = [event["value"] for event in heard(rpc, SOON_S)]
    assert all(set(value) == {"connector_id", "schedule"} for value in values)
    last = {value["connector_id"]: value["schedule"] for value in values}
    assert set(last) == {0, 2}
    for connector_id, schedule in last.items():
        assert set(schedule) == {"chargingRateUnit", "duration", "startSchedule", "chargingSchedulePeriod"}
        assert periods_of(schedule)[0] == {0: (0, 84.0, 3), 2: (0, 20.0, 3)}[connector_id]


def test_profile_that_changes_no_limit_is_no_change_of_a_connector(hub: Station) -> None:
    """rpc.md `connector.schedule`: a limit above the hardware, a lower level, a profile for next year."""
    hub.put(1, profile(1, (0, 10), level=1))
    settled(hub)
    with hub.hub.rpc() as rpc:
        rpc.call("subscribe", topics=["connector.schedule"], snapshot=False)
        hub.put(2, profile(2, (0, 100)))
        hub.put(1, profile(3, (0, 5)), profile(4, (0, 5), level=2, start=now(366 * 86_400)))
        hub.put(0, limit_of_all(5, (0, 1000)))
        assert heard(rpc, SOON_S) == []
        hub.put(0, limit_of_all(5, (0, 80)))
        assert {event["value"]["connector_id"] for event in heard(rpc, SOON_S)} == set()
        hub.put(0, limit_of_all(5, (0, 60)))
        assert {event["value"]["connector_id"] for event in heard(rpc, SOON_S)} == {0}


def test_client_hears_of_a_change_back(hub: Station) -> None:
    """rpc.md `connector.schedule`: a clear is a change as a set is; the same profile again is none."""
    with hub.hub.rpc() as rpc:
        rpc.call("subscribe", topics=["connector.schedule"], connectors=[1], snapshot=False)
        seen = []
        for step in ("set", "same", "clear"):
            if step == "clear":
                hub.clear()
            else:
                hub.put(1, profile(1, (0, 10)))
            seen.append([periods_of(event["value"]["schedule"]) for event in heard(rpc, SOON_S)])
        assert seen == [[flat(10.0)], [], [flat(32.0)]]


def test_client_with_a_filter_hears_nothing_of_others(hub: Station) -> None:
    """rpc.md `connector.schedule`, `connectors`: neither another connector nor 0; the snapshot neither."""
    hub.put(3, profile(9, (0, 7)))
    settled(hub)
    with hub.hub.rpc() as rpc:
        answer = rpc.call("subscribe", topics=["connector.schedule"], connectors="2-3")
        snapshot = answer["snapshot"]["connector.schedule"]
        assert set(snapshot) == {"2", "3"}
        assert periods_of(snapshot["3"]) == flat(7.0)
        hub.put(1, profile(1, (0, 10)))
        assert heard(rpc, SOON_S) == []
        hub.put(3, profile(9, (0, 8)))
        assert [event["value"]["connector_id"] for event in heard(rpc, SOON_S)] == [3]


def test_two_clients_hear_each_what_is_new_to_it(hub: Station) -> None:
    """rpc.md `connector.schedule`: one that comes later gets its snapshot, the first one misses nothing by that."""
    with hub.hub.rpc() as one, hub.hub.rpc() as two:
        one.call("subscribe", topics=["connector.schedule"], connectors=[1])
        hub.put(1, profile(1, (0, 10)))
        snapshot = two.call("subscribe", topics=["connector.schedule"], connectors=[1])["snapshot"]
        heard_by_two = [periods_of(snapshot["connector.schedule"]["1"])]
        assert periods_of(one.event("connector.schedule", timeout=3)["value"]["schedule"]) == flat(10.0)
        heard_by_two += [periods_of(event["value"]["schedule"]) for event in heard(two, SOON_S)]
        assert heard_by_two[-1] == flat(10.0)
        hub.put(1, profile(1, (0, 11)))
        for client in (one, two):
            assert periods_of(client.event("connector.schedule", timeout=3)["value"]["schedule"]) == flat(11.0)


def test_client_that_left_and_came_back_is_up_to_date(hub: Station) -> None:
    """rpc.md `connector.schedule`: what changed while nobody listened is in the next snapshot, and is not news."""
    with hub.hub.rpc() as rpc:
        rpc.call("subscribe", topics=["connector.schedule"])
    hub.put(1, profile(1, (0, 10)))
    settled(hub)
    with hub.hub.rpc() as rpc:
        snapshot = rpc.call("subscribe", topics=["connector.schedule"])["snapshot"]["connector.schedule"]
        assert periods_of(snapshot["1"]) == flat(10.0)
        assert heard(rpc, SOON_S) == []
        hub.clear()
        assert {event["value"]["connector_id"] for event in heard(rpc, SOON_S)} == {0, 1}


def test_client_resumes_and_hears_what_it_missed() -> None:
    """rpc.md `since`: replays the events of the last 60 s as long as somebody has listened, from the first one on."""
    with open_station(2, hub="publish_interval_s = 0\npublish_min_interval_s = 0.1") as opened:
        answer = opened.rpc.call("subscribe", topics=["connector.schedule"], connectors=[1], snapshot=False)
        seq = answer["seq"]
        for limit in (10, 11):
            opened.put(1, profile(1, (0, limit)))
            live = opened.rpc.event("connector.schedule", timeout=3)
            since = {"stream": answer["stream"], "seq": seq}
            with opened.hub.rpc() as late:
                resumed = late.call("subscribe", topics=["connector.schedule"], connectors=[1], since=since)
                assert not resumed.get("gap")
                replayed = late.event("connector.schedule", timeout=3)
            assert (replayed["seq"], replayed["value"]) == (live["seq"], live["value"])
            assert periods_of(replayed["value"]["schedule"]) == flat(float(limit))
            seq = live["seq"]


def test_boundary_that_comes_into_the_window_is_news_and_one_that_passes_is_none() -> None:
    """rpc.md `connector.schedule`: with a window of 1 s a boundary 3 s ahead is heard of once, before it passes."""
    with open_station(1, hub="publish_interval_s = 1\npublish_duration_s = 1") as opened:
        opened.rpc.call("subscribe", topics=["connector.schedule"], connectors=[1], snapshot=False)
        boundary = int(time.time()) + 3
        opened.put(1, profile(1, (0, 10), start=now(boundary - time.time() + 0.5)))
        events = heard(opened.rpc, boundary - time.time() + 1.3)
        zero = seconds(opened.installed()[0]["charging_schedule"]["start_schedule"])
    assert len(events) == 1, events
    schedule = events[0]["value"]["schedule"]
    assert [limit for _, limit, _ in periods_of(schedule)][-1] == 10.0
    assert zero - 1 <= seconds(schedule["startSchedule"]) <= zero
