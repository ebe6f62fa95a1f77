"""GetCompositeSchedule: its parameters, its form, and the stack of profiles behind it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .charging import (
    DAY,
    WEEK,
    Station,
    daily,
    far,
    flat,
    limit_of_all,
    now,
    profile,
    seconds,
    station,
)
from .conftest import Rig

STATION = {"connectors": 2}


# -- the message -----------------------------------------------------------------------------------


def test_csms_asks_and_the_answer_begins_with_the_present_second(hub: Station) -> None:
    """CORE-SC-38, CORE-SC-41, SCA-34, CORE-GEN-06: scheduleStart is now, whole, in UTC, and outside the schedule."""
    for connector_id in (0, 1, 2):
        earliest = int(time.time())
        answer = hub.composite(connector_id, 600)
        start = answer["scheduleStart"]
        assert start.endswith("Z")
        assert seconds(start) % 1 == 0
        assert earliest <= seconds(start) <= time.time()
        assert "startSchedule" not in answer["chargingSchedule"]
        assert answer["chargingSchedule"]["duration"] == 600


def test_csms_leaves_the_unit_open_and_gets_the_first_allowed_one(hub: Station, rig: Rig) -> None:
    """SCA-23: the first entry of ChargingScheduleAllowedChargingRateUnit, in its order."""
    assert hub.composite(1)["chargingSchedule"]["chargingRateUnit"] == "A"
    other = station(rig, configuration='ChargingScheduleAllowedChargingRateUnit = "Power,Current"')
    assert other.composite(1)["chargingSchedule"]["chargingRateUnit"] == "W"
    assert other.periods(1) == flat(22080.0)
    assert other.periods(1, unit="A") == flat(32.0)


def test_csms_asks_for_each_unit_and_gets_it(hub: Station) -> None:
    """SCA-18, CORE-SC-27: the same limit in both units; 32 A on three phases of 230 V."""
    assert hub.periods(1, unit="A") == flat(32.0)
    assert hub.periods(1, unit="W") == flat(22080.0)
    assert hub.periods(0, unit="A") == flat(64.0)
    assert hub.periods(0, unit="W") == flat(44160.0)


@pytest.mark.parametrize("duration", [0, -1, -(2**31)])
@pytest.mark.parametrize("connector_id", [0, 1])
def test_csms_asks_for_no_time_and_is_rejected(hub: Station, connector_id: int, duration: int) -> None:
    """SCA-35, N30: duration of zero or less."""
    request = {"connectorId": connector_id, "duration": duration}
    assert hub.result("GetCompositeSchedule", request) == {"status": "Rejected"}


@pytest.mark.parametrize("connector_id", [3, 99, -1, 2**31 - 1])
def test_csms_asks_for_a_connector_that_is_not_there_and_is_rejected(hub: Station, connector_id: int) -> None:
    """CORE-SC-40, SCA-25: a status, no CALLERROR."""
    request = {"connectorId": connector_id, "duration": 60}
    assert hub.result("GetCompositeSchedule", request) == {"status": "Rejected"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"duration": 60}, "OccurenceConstraintViolation"),
        ({"connectorId": 1}, "OccurenceConstraintViolation"),
        ({"connectorId": "1", "duration": 60}, "TypeConstraintViolation"),
        ({"connectorId": 1, "duration": "60"}, "TypeConstraintViolation"),
        ({"connectorId": 1, "duration": 60.5}, "TypeConstraintViolation"),
        ({"connectorId": 1, "duration": 2**31}, "PropertyConstraintViolation"),
        ({"connectorId": 1, "duration": 60, "chargingRateUnit": "kW"}, "PropertyConstraintViolation"),
        ({"connectorId": 1, "duration": 60, "chargingRateUnit": "a"}, "PropertyConstraintViolation"),
        ({"connectorId": 99, "duration": 0, "chargingRateUnit": "X"}, "PropertyConstraintViolation"),
        ({"connectorId": 1, "duration": 60, "chargingRateUnit": 1}, "TypeConstraintViolation"),
    ],
    ids=str,
)
def test_csms_asks_with_a_misshapen_message_and_gets_the_code_of_the_fault(
    hub: Station, payload: Any, code: str
) -> None:
    """CORE-RPC-20, SCA-24, J-254, J-255, J-256."""
    assert hub.error("GetCompositeSchedule", payload) == code


@pytest.mark.parametrize("connector_id", [0, 1])
@pytest.mark.parametrize("unit", ["A", "W"])
def test_csms_asks_for_very_long_and_is_told_how_much_it_gets(hub: Station, connector_id: int, unit: str) -> None:
    """SCA-35: cut at the maximum, and `duration` says so; the maximum itself and one second less are not cut."""
    longest = int(hub.link.value("MaxCompositeScheduleDuration")["value"])
    hub.put(0, daily(1, (0, 10), (3600, 12), start=far(-30 * 365 * DAY)))
    for asked in (longest - 1, longest, longest + 1, 2**31 - 1):
        schedule = hub.composite(connector_id, asked, unit)["chargingSchedule"]
        assert schedule["duration"] == min(asked, longest)
        assert schedule["chargingSchedulePeriod"][-1]["startPeriod"] < schedule["duration"]


def test_hub_is_told_the_longest_duration_and_keeps_to_it(rig: Rig) -> None:
    """SCA-35: the maximum is configured."""
    hub = station(rig, configuration="MaxCompositeScheduleDuration = 90")
    assert [hub.composite(1, asked)["chargingSchedule"]["duration"] for asked in (89, 90, 91)] == [89, 90, 90]


def test_csms_asks_for_one_second(hub: Station) -> None:
    """CORE-SC-38: the shortest window there is."""
    assert hub.periods(1, 1) == flat(32.0)
    assert hub.periods(0, 1) == flat(64.0)


def test_csms_asks_beside_everything_else_and_every_answer_is_its_own(hub: Station) -> None:
    """J-241: sixty pipelined requests are answered in the order they came."""
    hub.put(1, profile(1, (0, 10)))
    hub.put(2, profile(2, (0, 20)))
    ids = [hub.link.post("GetCompositeSchedule", {"connectorId": 1 + n % 2, "duration": 60 + n}) for n in range(60)]
    hub.ask("GetConfiguration", {"key": ["ResetRetries"]})
    answers = [f for f in hub.link.received() if f[0] == 3 and f[1] in ids]
    assert [f[1] for f in answers] == ids
    for n, (_, _, result) in enumerate(answers):
        assert (result["connectorId"], result["chargingSchedule"]["duration"]) == (1 + n % 2, 60 + n)
        assert result["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 10.0 * (1 + n % 2)


# -- what the answer is made of -------------------------------------------------------------------


def test_csms_reads_a_schedule_that_has_begun(hub: Station) -> None:
    """CORE-SC-19, CORE-SC-38: boundaries are counted from scheduleStart, the last value holds to the end."""
    zero = now(-50)
    hub.put(1, profile(1, (0, 10), (60, 20), (120, 15), start=zero))
    answer = hub.composite(1, 300)
    passed = int(seconds(answer["scheduleStart"]) - seconds(zero))
    assert 50 <= passed < 60
    schedule = answer["chargingSchedule"]["chargingSchedulePeriod"]
    assert [(p["startPeriod"], p["limit"]) for p in schedule] == [(0, 10.0), (60 - passed, 20.0), (120 - passed, 15.0)]


def test_csms_reads_periods_that_say_the_same_as_one(hub: Station) -> None:
    """SCA-22, CORE-SC-41: neighbours merge where limit and phases agree, after rounding, and only there."""
    hub.put(1, profile(1, (0, 16), (60, 16), (120, 10), (180, 10, 1), (240, 10, 1), (300, 16), kind="Relative"))
    assert hub.periods(1) == [(0, 16.0, 3), (120, 10.0, 3), (180, 10.0, 1), (300, 16.0, 3)]
    hub.put(1, profile(1, (0, 11040), (60, 11108), (120, 11109), kind="Relative", unit="W"))
    assert hub.periods(1) == [(0, 16.0, 3), (120, 16.1, 3)]
    assert hub.periods(1, unit="W") == [(0, 11040.0, 3), (60, 11108.0, 3), (120, 11109.0, 3)]


def test_csms_sets_equal_periods_of_two_profiles_and_they_are_one(hub: Station) -> None:
    """SCA-22: the boundary between two profiles is none where they say the same."""
    hub.put(1, profile(1, (0, 16)), profile(2, (0, 16), level=1, duration=100, kind="Relative"))
    assert hub.periods(1) == flat(16.0)


@pytest.mark.parametrize("limit", [0, 0.1, 0.3, 0.7, 6, 8.1, 13.8, 15.9, 31.9])
def test_csms_sets_a_decimal_limit_and_reads_it_back(hub: Station, limit: float) -> None:
    """CORE-SC-29, SCA-22, X-33: exact in its own unit; in watts it is 690 times that."""
    hub.put(1, profile(1, (0, limit)))
    assert hub.periods(1) == flat(limit)
    assert hub.periods(1, unit="W") == flat(round(limit * 10) * 69.0)


def test_csms_stacks_levels_with_gaps_and_the_highest_with_a_period_prevails(hub: Station) -> None:
    """CORE-SC-08, SCA-01, CORE-SC-19: per instant; not started, over, or nothing."""
    hub.put(1, profile(1, (0, 6)))
    hub.put(1, profile(2, (0, 10), (50, 11), (120, 12), level=1, duration=100, start=far(100)))
    hub.put(1, profile(3, (0, 20), level=2, valid_from=far(150), valid_to=far(160)))
    assert hub.at(1, 0, 300) == [
        (0, 6.0, 3),
        (100, 10.0, 3),
        (150, 20.0, 3),
        (160, 11.0, 3),
        (200, 6.0, 3),
    ]


def test_csms_stacks_own_and_general_defaults(hub: Station) -> None:
    """CORE-SC-02, CORE-SC-03, SCA-03, SCA-04: one merged stack; at one level the own one hides the general one."""
    hub.put(0, profile(1, (0, 8), level=0), profile(2, (0, 12), level=2, start=far(100), duration=100))
    hub.put(1, profile(3, (0, 10), level=1), profile(4, (0, 14), level=2, start=far(150), duration=100))
    assert hub.at(2, 0, 300) == [(0, 8.0, 3), (100, 12.0, 3), (200, 8.0, 3)]
    assert hub.at(1, 0, 300) == [(0, 10.0, 3), (150, 14.0, 3), (250, 10.0, 3)]


def test_own_default_that_is_over_hides_the_general_one_no_more(hub: Station) -> None:
    """SCA-03, SCA-39: hidden while the own one is installed and not over, its gap included; then uncovered."""
    hub.put(0, profile(1, (0, 16)))
    hub.put(1, profile(2, (0, 10), start=far(100), duration=100))
    assert hub.at(1, 0, 300) == [(0, 32.0, 3), (100, 10.0, 3), (200, 16.0, 3)]
    assert hub.at(2, 0, 300) == flat(16.0)


def test_limit_of_all_bounds_each_and_their_sum(hub: Station) -> None:
    """CORE-SC-11, CORE-SC-39, SCA-19, SCA-37: each connector shows the whole, connector 0 the bounded sum."""
    hub.put(0, limit_of_all(1, (0, 40), (60, 20), (120, 100), kind="Absolute", start=far()))
    hub.put(1, profile(2, (0, 25)))
    assert hub.at(1) == [(0, 25.0, 3), (60, 20.0, 3), (120, 25.0, 3)]
    assert hub.at(2) == [(0, 32.0, 3), (60, 20.0, 3), (120, 32.0, 3)]
    assert hub.at(0) == [(0, 40.0, 3), (60, 20.0, 3), (120, 57.0, 3)]


def test_limits_of_all_stack_and_fall_through(hub: Station) -> None:
    """CORE-SC-08, SCA-01: the highest level of ChargePointMaxProfile, not the least."""
    hub.put(0, limit_of_all(1, (0, 10)), limit_of_all(2, (0, 30), level=1, start=far(60), duration=60))
    assert hub.at(1, 0, 200) == [(0, 10.0, 3), (60, 30.0, 3), (120, 10.0, 3)]


def test_profile_above_the_hardware_shows_the_hardware(hub: Station) -> None:
    """SCA-16, CORE-SC-42: capped, never raised."""
    hub.put(1, profile(1, (0, 10**9)))
    hub.put(0, limit_of_all(2, (0, 10**9)))
    assert hub.periods(1) == flat(32.0)
    assert hub.periods(0) == flat(64.0)


def test_worked_example_without_its_transaction(rig: Rig) -> None:
    """CORE-SC-27, CORE-SC-39, SCA-19, SCA-20, SCA-21: 16 A and 3680 W on one phase make 32 A, below 40."""
    hub = station(rig)
    hub.put(0, limit_of_all(1, (0, 40)), profile(2, (0, 16)))
    hub.put(2, profile(3, (0, 3680, 1), unit="W"))
    assert hub.periods(1, 200, "A") == flat(16.0)
    assert hub.periods(2, 200, "A") == flat(16.0, phases=1)
    assert hub.periods(0, 200, "A") == flat(32.0)
    assert hub.periods(2, 200, "W") == flat(3680.0, phases=1)
    assert hub.periods(0, 200, "W") == flat(11040.0 + 3680.0)
    hub.put(0, limit_of_all(1, (0, 20)))
    assert hub.periods(0, 200, "A") == flat(20.0)


# -- kinds and times -------------------------------------------------------------------------------


def test_daily_profile_repeats_at_its_time_and_not_before_its_start(hub: Station) -> None:
    """CORE-SC-20, CORE-SC-26, SCA-09, SCA-10: 24 h exactly; what lies beyond a day is not executed."""
    hub.put(1, daily(1, (0, 10), (3600, 12), (90_000, 5), start=far(1800)))
    assert hub.at(1, 0, 2 * DAY) == [
        (0, 32.0, 3),
        (1800, 10.0, 3),
        (5400, 12.0, 3),
        (DAY + 1800, 10.0, 3),
        (DAY + 5400, 12.0, 3),
    ]


def test_daily_profile_of_yesterday_reaches_into_today(hub: Station) -> None:
    """CORE-SC-21, CORE-SC-26: 22:00 for four hours; afterwards the lower level, else none."""
    hub.put(1, daily(1, (0, 10), (3 * 3600, 12), start=far(-50 * DAY + 22 * 3600), duration=4 * 3600))
    assert hub.at(1, 0, DAY) == [(0, 10.0, 3), (3600, 12.0, 3), (7200, 32.0, 3), (22 * 3600, 10.0, 3)]
    hub.put(0, profile(2, (0, 16)))
    hub.put(1, profile(1, (0, 10), kind="Recurring", recurrency="Daily", level=1, start=far(-DAY), duration=3600))
    assert hub.at(1, 0, DAY) == [(0, 10.0, 3), (3600, 16.0, 3)]


def test_weekly_profile_repeats_on_its_weekday(hub: Station) -> None:
    """CORE-SC-26, SCA-10: every seven days at its time, across the end of the week."""
    hub.put(
        1,
        profile(1, (0, 10), (DAY, 20), kind="Recurring", recurrency="Weekly", start=far(6 * DAY), duration=2 * DAY),
    )
    assert hub.at(1, WEEK - DAY - 60, 120) == [(0, 32.0, 3), (60, 10.0, 3)]
    assert hub.at(1, 52 * WEEK, WEEK) == [(0, 20.0, 3), (DAY, 32.0, 3), (6 * DAY, 10.0, 3)]


def test_relative_profile_counts_from_the_moment_of_the_query(hub: Station) -> None:
    """SCA-11, SCA-12, SCA-07: whatever its startSchedule says; so does Absolute without one."""
    for kind, start in (("Relative", None), ("Relative", far(DAY)), ("Relative", far(-DAY)), ("Absolute", None)):
        hub.put(1, profile(1, (0, 10), (60, 20), kind=kind, start=start, duration=120))
        for offset in (-DAY, 0, 77):
            assert hub.at(1, offset, 300) == [(0, 10.0, 3), (60, 20.0, 3), (120, 32.0, 3)]
        assert hub.periods(1, 300) == [(0, 10.0, 3), (60, 20.0, 3), (120, 32.0, 3)]


def test_limit_of_all_without_start_counts_from_valid_from_or_its_acceptance(hub: Station) -> None:
    """SCA-07: a ChargePointMaxProfile has a fixed second zero."""
    hub.put(0, limit_of_all(1, (0, 10), (60, 20), valid_from=far(30)))
    assert hub.at(1, 0, 200) == [(0, 32.0, 3), (30, 10.0, 3), (90, 20.0, 3)]
    hub.put(0, limit_of_all(1, (0, 10), (10**6, 20)))
    zero = seconds(hub.installed()[0]["accepted_at"])
    answer = hub.rpc.call("schedule.get", connector_id=1, duration_s=600, at=now(10**6 - 300))
    first, second = answer["schedule"]["chargingSchedulePeriod"]
    assert seconds(answer["schedule_start"]) + second["startPeriod"] == zero + 10**6
    assert (first["limit"], second["limit"]) == (10.0, 20.0)


def test_times_with_offsets_and_fractions_count_for_what_they_are(hub: Station) -> None:
    """CORE-GEN-05, SCA-06: any offset; fractions are dropped."""
    hub.put(1, profile(1, (0, 10), start="2040-01-02T05:30:30.999999+05:30", duration=60))
    assert hub.at(1, 0, 120) == [(0, 32.0, 3), (30, 10.0, 3), (90, 32.0, 3)]
    hub.put(1, profile(1, (0, 10), valid_from="2040-01-01T23:00:10-01:00", valid_to="2040-01-02T00:00:20.5Z"))
    assert hub.at(1, 0, 120) == [(0, 32.0, 3), (10, 10.0, 3), (20, 32.0, 3)]


def test_last_period_goes_on_where_no_duration_ends_it(hub: Station) -> None:
    """SCA-13, CORE-SC-23: a year and twenty later too."""
    hub.put(1, profile(1, (0, 10), (60, 12), start=now()))
    for offset in (0, 365 * DAY, 20 * 365 * DAY):
        assert hub.at(1, offset) == flat(12.0)


def test_profile_ends_where_valid_to_says_and_not_a_second_later(hub: Station) -> None:
    """SCA-06: from validFrom on, before validTo."""
    hub.put(1, profile(1, (0, 10), valid_from=far(10), valid_to=far(11)))
    assert hub.at(1, 9, 3) == [(0, 32.0, 3), (1, 10.0, 3), (2, 32.0, 3)]
    assert hub.at(1, 10, 1) == flat(10.0)
    assert hub.at(1, 11, 1) == flat(32.0)


def test_extreme_but_legal_numbers_are_computed_exactly(hub: Station) -> None:
    """CORE-SC-19, SCA-06, N32: periods 10^9 seconds apart, the year 9999, a start in 1970, 2^31 - 1 everywhere."""
    top = 2**31 - 1
    hub.put(
        1, profile(top, (0, 1), (10**9, 2), (top, 3), start="1970-01-01T00:00:00Z", valid_to="9999-12-31T23:59:59Z")
    )
    hub.put(2, profile(-(2**31), (0, 5), start="9999-12-31T23:59:50Z", duration=top))
    edge = hub.rpc.call("schedule.get", connector_id=1, duration_s=20, unit="A", at="2038-01-19T03:14:00Z")
    assert [(p["startPeriod"], p["limit"]) for p in edge["schedule"]["chargingSchedulePeriod"]] == [(0, 2.0), (7, 3.0)]
    end = hub.rpc.call("schedule.get", connector_id=2, duration_s=9, unit="A", at="9999-12-31T23:59:45Z")
    assert [(p["startPeriod"], p["limit"]) for p in end["schedule"]["chargingSchedulePeriod"]] == [(0, 32.0), (5, 5.0)]
    assert hub.clear(id=top) == "Accepted"
    assert hub.clear(id=-(2**31)) == "Accepted"
