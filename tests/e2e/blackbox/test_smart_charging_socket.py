"""`schedule.get`, `schedule.explain` and `schedule.profiles`, and who may call them."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import pytest

from .charging import (
    DAY,
    Json,
    Station,
    daily,
    far,
    flat,
    limit_of_all,
    now,
    periods_of,
    profile,
    seconds,
    station,
)
from .conftest import Rig

REASONS = {
    "lower_stack_level",
    "gap",
    "not_valid_yet",
    "expired",
    "hidden_by_own_default",
    "overruled_by_tx_profile",
    "not_the_minimum",
}
METHODS = ("schedule.get", "schedule.explain", "schedule.profiles")


# -- schedule.get ----------------------------------------------------------------------------------


def test_client_reads_a_schedule_of_now(hub: Station) -> None:
    """rpc.md `schedule.get`: connector_id, schedule_start, and a ChargingSchedule without startSchedule."""
    hub.put(2, profile(1, (0, 10), (60, 12), kind="Relative"))
    for connector_id, periods in ((0, [(0, 74.0, 3), (60, 76.0, 3)]), (2, [(0, 10.0, 3), (60, 12.0, 3)])):
        earliest = int(time.time())
        answer = hub.rpc.call("schedule.get", connector_id=connector_id, duration_s=300)
        assert set(answer) == {"connector_id", "schedule_start", "schedule"}
        assert answer["connector_id"] == connector_id
        assert earliest <= seconds(answer["schedule_start"]) <= time.time()
        assert set(answer["schedule"]) == {"chargingRateUnit", "duration", "chargingSchedulePeriod"}
        assert (answer["schedule"]["chargingRateUnit"], answer["schedule"]["duration"]) == ("A", 300)
        assert periods_of(answer["schedule"]) == periods
        assert periods_of(answer["schedule"]) == hub.periods(connector_id, 300)


@pytest.mark.parametrize(
    "at", ["2040-01-02T00:00:00Z", "2040-01-02T00:00:00.999Z", "2040-01-02T05:30:00+05:30", "2040-01-01T16:00:00-08:00"]
)
def test_client_names_a_moment_in_any_offset(hub: Station, at: str) -> None:
    """rpc.md `at`, CORE-GEN-05, SCA-06: the same window, floored to its second, answered in UTC."""
    hub.put(1, profile(1, (0, 10), start=far(30)))
    answer = hub.rpc.call("schedule.get", connector_id=1, duration_s=60, at=at)
    assert answer["schedule_start"] == "2040-01-02T00:00:00Z"
    assert periods_of(answer["schedule"]) == [(0, 32.0, 3), (30, 10.0, 3)]


def test_client_splits_a_window_and_the_parts_are_the_whole(hub: Station) -> None:
    """CORE-SC-08, CORE-SC-26: two windows side by side say what one says, in both units, for 0 too."""
    hub.put(0, daily(1, (0, 6), (30_000, 11), start=far(-DAY + 40_000), duration=70_000), limit_of_all(2, (0, 70)))
    hub.put(1, profile(3, (0, 4140), (5000, 9999, 2), unit="W", level=1, start=far(20_000), duration=90_000))
    for connector_id in (0, 1, 2):
        for unit in ("A", "W"):
            whole = values(hub.at(connector_id, 0, 2 * DAY, unit), 2 * DAY)
            for cut in (1, 20_000, 40_001, DAY, 2 * DAY - 1):
                first = values(hub.at(connector_id, 0, cut, unit), cut)
                second = values(hub.at(connector_id, cut, 2 * DAY - cut, unit), 2 * DAY - cut)
                assert first + second == whole


def values(periods: list[tuple[int, float, int]], duration: int) -> list[tuple[float, int]]:
    """What holds in each second."""
    ends = [start for start, _, _ in periods[1:]] + [duration]
    return [
        (limit, phases) for (start, limit, phases), end in zip(periods, ends, strict=True) for _ in range(end - start)
    ]


@pytest.mark.parametrize(
    ("params", "code", "path"),
    [
        ({"duration_s": 60}, -32602, "/params/connector_id"),
        ({"connector_id": 1}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": 0}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": -60}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": 60.5}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": "60"}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": True}, -32602, "/params/duration_s"),
        ({"connector_id": 1, "duration_s": 10**15}, -32602, "/params/duration_s"),
        ({"connector_id": "1", "duration_s": 60}, -32602, "/params/connector_id"),
        ({"connector_id": None, "duration_s": 60}, -32602, "/params/connector_id"),
        ({"connector_id": [1], "duration_s": 60}, -32602, "/params/connector_id"),
        ({"connector_id": 4, "duration_s": 60}, -32002, "/params/connector_id"),
        ({"connector_id": -1, "duration_s": 60}, -32002, "/params/connector_id"),
        ({"connector_id": 2**62, "duration_s": 60}, -32002, "/params/connector_id"),
        ({"connector_id": 1, "duration_s": 60, "unit": "kW"}, -32602, "/params/unit"),
        ({"connector_id": 1, "duration_s": 60, "unit": "a"}, -32602, "/params/unit"),
        ({"connector_id": 1, "duration_s": 60, "unit": 1}, -32602, "/params/unit"),
        ({"connector_id": 1, "duration_s": 60, "at": "tomorrow"}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "at": "2040-01-01"}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "at": "2040-01-01T00:00:00"}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "at": "2040-02-30T00:00:00Z"}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "at": 2_208_988_800}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "at": "9999-12-31T23:59:59Z"}, -32602, "/params/at"),
        ({"connector_id": 1, "duration_s": 60, "when": "now"}, -32602, "/params/when"),
        ([1, 60], -32602, "/params"),
    ],
    ids=str,
)
def test_client_asks_wrongly_and_is_told_where(hub: Station, params: Any, code: int, path: str) -> None:
    """rpc.md rules: -32602 or -32002 with code, path and hint; explain takes the same parameters."""
    methods = ["schedule.get"]
    if isinstance(params, dict) and (len(params) > 2 or path == "/params/connector_id"):
        methods.append("schedule.explain")
    for method in methods:
        error = hub.rpc.fails(method, params)
        assert (error.code, error.data["path"]) == (code, path), method
        assert set(error.data) >= {"code", "path", "hint"}
        assert error.data["hint"]
        assert error.data["code"] == {-32602: "invalid_params", -32002: "unknown_connector"}[code]


def test_client_asks_for_a_wrong_duration_and_the_hint_is_true(hub: Station) -> None:
    """rpc.md `hint`: the bounds that it names are those that hold."""
    longest = int(hub.link.value("MaxCompositeScheduleDuration")["value"])
    for duration_s in (0, longest + 1):
        error = hub.rpc.fails("schedule.get", {"connector_id": 1, "duration_s": duration_s})
        assert error.data["hint"] == f"1 to {longest}"
    assert hub.rpc.call("schedule.get", connector_id=1, duration_s=longest)["schedule"]["duration"] == longest


def test_client_leaves_the_unit_open_and_gets_the_first_allowed_one(rig: Rig) -> None:
    """rpc.md `unit`, SCA-23: W where only Power is allowed."""
    hub = station(rig, configuration='ChargingScheduleAllowedChargingRateUnit = "Power"')
    assert hub.rpc.call("schedule.get", connector_id=1, duration_s=60)["schedule"]["chargingRateUnit"] == "W"
    assert hub.rpc.call("schedule.explain", connector_id=1)[0]["unit"] == "W"


# -- schedule.explain ------------------------------------------------------------------------------


def explained(hub: Station, connector_id: int, offset_s: int = 0, duration: int = 600, unit: str = "A") -> list[Json]:
    """The stretches of an explanation, after a look at their form and at `schedule.get` beside them."""
    stretches: list[Json] = hub.rpc.call(
        "schedule.explain", connector_id=connector_id, at=far(offset_s), duration_s=duration, unit=unit
    )
    assert (stretches[0]["start"], stretches[-1]["end"]) == (far(offset_s), far(offset_s + duration))
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(stretches))
    said = []
    profiles = [p["charging_profile_id"] for p in hub.installed() if p["connector_id"] in (0, connector_id)]
    for stretch in stretches:
        assert set(stretch) == {"start", "end", "limit", "unit", "phases", "winner", "losers"}
        assert stretch["unit"] == unit
        assert {loser["why"] for loser in stretch["losers"]} <= REASONS
        sources = [stretch["winner"], *(loser["source"] for loser in stretch["losers"])]
        named = [source["charging_profile_id"] for source in sources if source["kind"] == "profile"]
        if connector_id:
            assert sorted(named) == sorted(profiles), "the winner or one reason for every profile"
        length = int(seconds(stretch["end"]) - seconds(stretch["start"]))
        assert length > 0
        said += [(stretch["limit"], stretch["phases"])] * length
    assert said == values(hub.at(connector_id, offset_s, duration, unit), duration)
    return stretches


def why(stretch: Json, charging_profile_id: int) -> str:
    """The reason why this profile does not decide, or `winner`."""
    if stretch["winner"].get("charging_profile_id") == charging_profile_id:
        return "winner"
    reasons = [
        loser["why"] for loser in stretch["losers"] if loser["source"].get("charging_profile_id") == charging_profile_id
    ]
    assert len(reasons) == 1
    return str(reasons[0])


def test_client_is_told_why_each_profile_decides_or_does_not(hub: Station) -> None:
    """rpc.md `schedule.explain`, CORE-SC-08, SCA-01, SCA-03: every reason there is without a transaction."""
    hub.put(0, limit_of_all(1, (0, 30)), profile(2, (0, 14)), profile(3, (0, 15), level=1))
    hub.put(1, profile(4, (0, 12)))
    hub.put(1, profile(5, (0, 10), level=2, valid_from=far(100), valid_to=far(200)))
    hub.put(1, daily(6, (0, 8), start=far(300 - 7 * DAY), duration=100, level=3))
    hub.put(2, profile(7, (0, 1), level=9))
    stretches = explained(hub, 1)
    assert [(s["start"], s["limit"]) for s in stretches] == [
        (far(0), 15.0),
        (far(100), 10.0),
        (far(200), 15.0),
        (far(300), 8.0),
        (far(400), 15.0),
    ]
    table = [[why(stretch, n) for n in (1, 2, 3, 4, 5, 6)] for stretch in stretches]
    hidden, lower, least = "hidden_by_own_default", "lower_stack_level", "not_the_minimum"
    assert table == [
        [least, hidden, "winner", lower, "not_valid_yet", "gap"],
        [least, hidden, lower, lower, "winner", "gap"],
        [least, hidden, "winner", lower, "expired", "gap"],
        [least, hidden, lower, lower, "expired", "winner"],
        [least, hidden, "winner", lower, "expired", "gap"],
    ]
    winner = stretches[1]["winner"]
    assert winner == {
        "kind": "profile",
        "charging_profile_id": 5,
        "purpose": "TxDefaultProfile",
        "stack_level": 2,
        "connector_id": 1,
    }
    assert stretches[0]["winner"]["connector_id"] == 0


def test_client_is_told_of_limits_that_are_no_profiles(rig: Rig) -> None:
    """rpc.md Source, docs/design/0008 item 13: hardware, default, station, connectors; a ChargePointMaxProfile."""
    hub = station(rig, electrical="station_max_a = 40\nconnector_default_a = 20")
    assert [s["winner"] for s in explained(hub, 1)] == [{"kind": "default"}]
    losers = [loser["source"] for loser in explained(hub, 1)[0]["losers"]]
    assert {"kind": "hardware"} in losers
    assert {"kind": "station"} in losers
    hub.put(1, profile(1, (0, 100)))
    assert [s["winner"] for s in explained(hub, 1)] == [{"kind": "hardware"}]
    assert why(explained(hub, 1)[0], 1) == "not_the_minimum"
    hub.put(0, profile(2, (0, 100), level=1))
    assert [s["winner"]["kind"] for s in explained(hub, 0)] == ["station"]
    hub.put(0, profile(2, (0, 9), level=1))
    hub.put(1, profile(1, (0, 9), level=1))
    assert [s["winner"]["kind"] for s in explained(hub, 0)] == ["connectors"]
    hub.put(0, limit_of_all(3, (0, 8)))
    assert [s["winner"]["charging_profile_id"] for s in explained(hub, 1)] == [3]
    assert [s["winner"]["charging_profile_id"] for s in explained(hub, 0)] == [3]


def test_client_is_told_of_a_station_smaller_than_its_connectors(rig: Rig) -> None:
    """rpc.md Source `station`, SCA-16."""
    hub = station(rig, electrical="station_max_a = 20")
    for connector_id in (0, 1, 2):
        assert [s["winner"] for s in explained(hub, connector_id)] == [{"kind": "station"}]


def test_client_is_told_in_watts_and_of_phases(hub: Station) -> None:
    """rpc.md `schedule.explain`, SCA-17, SCA-18: limit, unit and phases are those of the schedule."""
    hub.put(1, profile(1, (0, 4600, 2), (60, 4600, 1), unit="W", start=far()))
    assert [(s["limit"], s["phases"]) for s in explained(hub, 1)] == [(10.0, 2), (20.0, 1)]
    assert [(s["limit"], s["phases"]) for s in explained(hub, 1, unit="W")] == [(4600.0, 2), (4600.0, 1)]


def test_client_asks_for_no_window_and_is_told_of_now(hub: Station) -> None:
    """rpc.md `schedule.explain`: at, duration_s and unit are optional."""
    hub.put(1, profile(1, (0, 10)))
    earliest = int(time.time())
    stretch = hub.rpc.call("schedule.explain", connector_id=1)[0]
    assert earliest <= seconds(stretch["start"]) <= time.time()
    assert (stretch["limit"], stretch["unit"], stretch["winner"]["charging_profile_id"]) == (10.0, "A", 1)


# -- schedule.profiles -----------------------------------------------------------------------------


def test_client_lists_profiles_as_they_were_sent(hub: Station) -> None:
    """rpc.md `schedule.profiles`, CORE-SC-25, CORE-SC-29: owner, acceptance time and every member."""
    sent = daily(
        7,
        (0, 8.1, 1),
        (60, 12, 2),
        (90, 0),
        start="2039-01-01T01:00:00.5+01:00",
        duration=3600,
        level=4,
        valid_from=far(-60),
        valid_to=far(60),
    )
    sent["chargingSchedule"]["minChargingRate"] = 6.5
    earliest = int(time.time())
    hub.put(3, sent)
    hub.put(0, limit_of_all(-2, (0, 99.9), unit="W"))
    limit, item = hub.installed()
    assert earliest <= seconds(item.pop("accepted_at")) <= time.time()
    assert item == {
        "connector_id": 3,
        "charging_profile_id": 7,
        "stack_level": 4,
        "purpose": "TxDefaultProfile",
        "kind": "Recurring",
        "recurrency_kind": "Daily",
        "valid_from": far(-60),
        "valid_to": far(60),
        "charging_schedule": {
            "duration": 3600,
            "start_schedule": "2039-01-01T00:00:00Z",
            "charging_rate_unit": "A",
            "min_charging_rate": 6.5,
            "charging_schedule_period": [
                {"start_period": 0, "limit": 8.1, "number_phases": 1},
                {"start_period": 60, "limit": 12.0, "number_phases": 2},
                {"start_period": 90, "limit": 0.0},
            ],
        },
    }
    assert (limit["connector_id"], limit["purpose"], limit["charging_profile_id"]) == (0, "ChargePointMaxProfile", -2)
    assert set(limit) == {
        *("connector_id", "accepted_at", "charging_profile_id", "stack_level", "purpose", "kind", "charging_schedule")
    }


def test_client_lists_the_profiles_of_one_connector(hub: Station) -> None:
    """rpc.md `schedule.profiles {connector_id?}`: those that it owns; 0 is an owner like any other."""
    hub.put(0, limit_of_all(1), profile(2))
    hub.put(2, profile(3), profile(4, level=1))
    assert [hub.ids(connector_id=n) for n in range(4)] == [[1, 2], [], [3, 4], []]
    for connector_id, code in ((4, -32002), (-1, -32002), ("2", -32602)):
        error = hub.rpc.fails("schedule.profiles", {"connector_id": connector_id})
        assert (error.code, error.data["path"]) == (code, "/params/connector_id")


# -- roles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["monitor", "controller", "energy", "operator"])
def test_every_role_may_look_at_schedules(rig: Rig, role: str) -> None:
    """rpc.md Access: `schedule.*` from monitor on."""
    hub = station(rig, rpc=f'[[rpc.role]]\nrole = "{role}"\nuid = {os.getuid()}')
    assert hub.rpc.call("schedule.get", connector_id=0, duration_s=60)["connector_id"] == 0
    assert hub.rpc.call("schedule.explain", connector_id=1)
    assert hub.rpc.call("schedule.profiles") == []
    hub.rpc.call("subscribe", topics=["connector.schedule", "charging_schedules"])


def test_client_with_a_range_sees_its_connectors_only(rig: Rig) -> None:
    """rpc.md Access: a foreign and an unknown connector are both -32002, in calls, filters and variables."""
    hub = station(rig, 3, rpc=f'[[rpc.role]]\nrole = "controller"\nuid = {os.getuid()}\nconnectors = "2-3"')
    hub.put(1, profile(1, (0, 10)))
    hub.put(2, profile(2, (0, 12)))
    foreign, unknown = (
        [hub.rpc.fails(method, {"connector_id": n, **more}).error for method, more in calls()] for n in (1, 99)
    )
    assert foreign == unknown
    assert {error["code"] for error in foreign} == {-32002}
    for method, more in calls():
        assert hub.rpc.call(method, connector_id=2, **more)
    assert hub.ids() == [2]
    assert set(hub.rpc.call("get_variable", name="charging_schedules")["value"]) == {"2", "3"}
    topics = ["connector.schedule", "charging_schedules"]
    assert hub.rpc.fails("subscribe", {"topics": topics, "connectors": [1, 2]}).code == -32002
    snapshot = hub.rpc.call("subscribe", topics=topics)["snapshot"]
    assert [set(snapshot[topic]) for topic in topics] == [{"2", "3"}] * 2
    hub.put(0, profile(3, (0, 8), start=now()))
    hub.put(2, profile(2, (0, 9), start=now()))
    event = hub.rpc.event("charging_schedules", timeout=3)["value"]
    assert set(event) == {"2", "3"}
    assert {e["value"]["connector_id"] for e in hub.rpc.events if e["topic"] == "connector.schedule"} <= {2, 3}
    assert hub.periods(3) == flat(8.0)


def calls() -> list[tuple[str, Json]]:
    return [(method, {"duration_s": 60} if method == "schedule.get" else {}) for method in METHODS]
