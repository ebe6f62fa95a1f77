"""What must stay true of the native engine when its input is moved, cut, reordered or added to.

Owns relations between answers of the engine; the right answers themselves are the business of test_composite.py. The
histories are those of tests/oracle/schedule_cases.py, every 20th of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from tests.oracle import schedule_cases
from tests.oracle.reference_schedule import OutputPeriod, utc_s
from tests.oracle.schedule_runner import LONGEST_TOGETHER_S, Native, read, read_periods
from tests.oracle.schedule_vectors import Json

SHARE = 20
UNITS = ("A", "W")
MAX, DEFAULT = "ChargePointMaxProfile", "TxDefaultProfile"
ROOM = 1_000
"""So many profiles that one more is never Rejected for their number."""


class Told(Native):
    """The engine after the steps of a case, with what is asked of it last."""

    def __init__(self, case: Json, station: Json | None = None) -> None:
        super().__init__(case["station"] if station is None else station)
        self.steps = case["steps"]
        self.window = {name: case["steps"][-1][name] for name in ("start_s", "duration_s")}
        self.connectors = range(len(self.station["connectors"]) + 1)
        for step in self.steps:
            self.play(step)

    def play(self, step: Json) -> Any:
        """One step; questions are left out."""
        arguments = {name: deepcopy(value) for name, value in step.items() if name != "do"}
        return None if step["do"] == "query" else getattr(self, step["do"])(**arguments)

    def answers(self) -> dict[tuple[int, str], list[OutputPeriod]]:
        """Every schedule in both units."""
        return {(one, unit): self.composite(one, unit=unit, **self.window) for one in self.connectors for unit in UNITS}


def histories() -> Iterator[tuple[int, Json]]:
    """Every 20th history, by its number, and a hundred at least: some tests need one of a kind among them."""
    for number in range(0, max(schedule_cases.CASES, 100 * SHARE), SHARE):
        yield number, schedule_cases.numbered(number)


def at(periods: list[OutputPeriod], offset_s: int) -> OutputPeriod:
    """The period that holds at an offset; the last one goes on."""
    return [period for period in periods if period.start_period <= offset_s][-1]


def side_by_side(one: list[OutputPeriod], other: list[OutputPeriod]) -> Iterator[tuple[OutputPeriod, OutputPeriod]]:
    """Both answers wherever one of them steps."""
    for offset_s in sorted({period.start_period for period in (*one, *other)}):
        yield at(one, offset_s), at(other, offset_s)


def moved(value: Any, by_s: int) -> Any:
    """The data of a case with every instant in it moved."""
    if isinstance(value, list):
        return [moved(item, by_s) for item in value]
    if not isinstance(value, dict):
        return value
    built = {name: moved(item, by_s) for name, item in value.items()}
    for name in ("validFrom", "validTo", "startSchedule"):
        if name in built:
            built[name] = (datetime.fromisoformat(built[name]) + timedelta(seconds=by_s)).isoformat()
    for name in ("now_s", "start_s", "query_s"):
        if name in built:
            built[name] += by_s
    return built


@pytest.mark.parametrize("by_s", [-1, -86_399, -5 * 604_800, -999_999_937])
def test_engine_every_time_moved_moves_the_schedule(by_s: int) -> None:
    """CORE-SC-26, SCA-10: nothing depends on the calendar, days and weeks are counted from startSchedule."""
    for number, case in histories():
        assert Told(moved(case, by_s)).answers() == Told(case).answers(), number


def test_engine_a_window_cut_in_two_and_joined_is_the_whole() -> None:
    """CORE-SC-38, SCA-11: where a window begins changes nothing about its instants, when the query is the same."""
    for number, case in histories():
        told = Told(case)
        start_s, duration_s = told.window["start_s"], told.window["duration_s"] + 1
        cut_s = 1 + number % (duration_s - 1)
        for one in told.connectors:
            whole = told.composite(one, start_s, duration_s, "A", start_s)
            first = told.composite(one, start_s, cut_s, "A", start_s)
            second = told.composite(one, start_s + cut_s, duration_s - cut_s, "A", start_s)
            joined = [*first, *(period._replace(start_period=period.start_period + cut_s) for period in second)]
            if joined[len(first)][1:] == joined[len(first) - 1][1:]:
                del joined[len(first)]
            assert joined == whole, (number, one, cut_s)


def test_engine_answers_in_both_units_describe_the_same_limit() -> None:
    """SCA-18, SCA-22: they differ by what is rounded away, less than 0.1 of the unit, and have the same phases."""
    compared = 0
    for number, case in histories():
        told = Told(case)
        for one in told.connectors[1:]:
            volts = Fraction(told.station["connectors"][one - 1]["voltage_mv"], 1000)
            both = [told.composite(one, unit=unit, **told.window) for unit in UNITS]
            for amperes, watts in side_by_side(*both):
                assert amperes.number_phases == watts.number_phases, (number, one)
                by_watts = Fraction(watts.tenths, 10) / (volts * watts.number_phases)
                difference = by_watts - Fraction(amperes.tenths, 10)
                assert -Fraction(1, 10) / (volts * watts.number_phases) < difference < Fraction(1, 10), (number, one)
                compared += difference != 0
    assert compared > 0


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("voltage_mv", [230_000, 230_940, 120_000, 400_000])
def test_engine_a_single_source_is_answered_as_it_was_stated(unit: str, voltage_mv: int) -> None:
    """SCA-18: 0 <= W / (V x phases) - A < 0.1 when the source is in W, equal to the source when it is in A."""
    random = Random(voltage_mv)  # noqa: S311 - repeatable on purpose
    for number in range(200):
        phases = random.randint(1, 3)
        station = {
            "connectors": [{"voltage_mv": voltage_mv, "phases": phases, "max_ma": 10**8}],
            "voltage_mv": voltage_mv,
            "max_stack_level": 0,
            "max_periods": 1,
            "max_installed": 1,
            "units": "AW",
        }
        source = random.randint(0, 1_000_000)
        native = Native(station)
        assert native.install(1, default_profile(number, source / 10, unit), 0) == []
        (amperes,), (watts,) = (native.composite(1, 0, 10, answer) for answer in UNITS)
        difference = Fraction(watts.tenths, 10 * phases * voltage_mv) * 1000 - Fraction(amperes.tenths, 10)
        if unit == "A":
            assert amperes.tenths == source
        else:
            assert watts.tenths == source
            assert 0 <= difference < Fraction(1, 10)


def default_profile(charging_profile_id: int, limit: float, unit: str) -> Json:
    """A TxDefaultProfile of one period that always holds."""
    schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}]}
    return {
        "chargingProfileId": charging_profile_id,
        "stackLevel": 0,
        "chargingProfilePurpose": DEFAULT,
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }


def roomy(case: Json) -> Json:
    """The station of a case that has room for more profiles, of both units."""
    return {**case["station"], "max_installed": ROOM, "units": "AW"}


def maximum(limit: float, unit: str, **period: int) -> Json:
    """A ChargePointMaxProfile of level 0 under an id of its own, that has held since 1970."""
    return {
        "chargingProfileId": 1_000_000,
        "stackLevel": 0,
        "chargingProfilePurpose": MAX,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "startSchedule": "1970-01-01T00:00:00Z",
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit, **period}],
        },
    }


@pytest.mark.parametrize("phases", [None, 1, 2])
def test_engine_a_maximum_added_below_all_others_raises_nothing(phases: int | None) -> None:
    """CORE-SC-11, SCA-17: with the same phases no answer rises; with fewer none in W does (the same W are more A)."""
    lowered = 0
    for number, case in histories():
        told = Told(case, roomy(case))
        told.clear(purpose=MAX, stack_level=0)
        before = told.answers()
        limit, unit = [(10, "A"), (6_900, "W"), (25.5, "A"), (100_000, "W")][number // SHARE % 4]
        period = {} if phases is None else {"numberPhases": phases}
        assert told.install(0, maximum(limit, unit, **period), told.window["start_s"]) == []
        for key, after in told.answers().items():
            if phases is None or key[1] == "W":
                pairs = list(side_by_side(before[key], after))
                assert all(new.tenths <= old.tenths for old, new in pairs), (number, key)
                lowered += any(new.tenths < old.tenths for old, new in pairs)
    assert lowered > 0


@pytest.mark.parametrize(("limit", "unit"), [(10, "A"), (40.1, "A"), (6_900, "W"), (33_333.3, "W")])
def test_engine_connector_zero_is_the_sum_bounded_by_the_maximum(limit: float, unit: str) -> None:
    """CORE-SC-12, CORE-SC-39, SCA-19, SCA-22: the sum of the unrounded schedules, then the bound, then one rounding."""
    bounded = 0
    for number, case in histories():
        station = {name: value for name, value in roomy(case).items() if name not in ("max_ma", "max_mw")}
        told = Told(case, station)
        told.clear(purpose=MAX)
        schedules = [told.composite(one, unit=unit, **told.window) for one in told.connectors]
        steps = {period.start_period for periods in schedules for period in periods}
        for offset_s in steps:
            total, *parts = [at(periods, offset_s) for periods in schedules]
            assert 0 <= total.tenths - sum(part.tenths for part in parts) < len(parts), (number, offset_s)
            assert total.number_phases == max(part.number_phases for part in parts), (number, offset_s)
        told.install(0, maximum(limit, unit), told.window["start_s"])
        for free, bound in side_by_side(schedules[0], told.composite(0, unit=unit, **told.window)):
            assert bound.tenths == min(free.tenths, round(limit * 10)), number
            bounded += bound.tenths < free.tenths
    assert bounded > 0


def test_engine_connectors_in_another_order_have_the_same_schedules() -> None:
    """CORE-SC-02, SCA-19: a connector's number means nothing, and the sum does not depend on the order."""
    for number, case in histories():
        count = len(case["station"]["connectors"])
        to = {0: 0, **{one: 1 + (one + number) % count for one in range(1, count + 1)}}
        other = deepcopy(case)
        for one, row in enumerate(case["station"]["connectors"], start=1):
            other["station"]["connectors"][to[one] - 1] = row
        for step in other["steps"]:
            if "connector_id" in step:
                step["connector_id"] = to[step["connector_id"]]
            if "resumed" in step:
                step["resumed"] = [to[one] for one in step["resumed"]]
        expected = {(to[one], unit): answer for (one, unit), answer in Told(case).answers().items()}
        assert Told(other).answers() == expected, number


def test_engine_only_what_is_installed_counts_not_how_it_came_about() -> None:
    """CORE-SC-09, CORE-SC-35, SCA-03: what survives a history gives the same, installed in another order."""
    for number, case in histories():
        told = Told({**case, "steps": case["steps"][-1:]})
        surviving: dict[int, Json] = {}
        for step in case["steps"][:-1]:
            answer = told.play(step)
            for gone in answer or []:
                surviving.pop(gone, None)
            if step["do"] == "install" and answer is not None:
                surviving[step["profile"]["chargingProfileId"]] = step
        fresh = Told({**case, "steps": case["steps"][-1:]})
        for connector_id, (start_s, transaction_id) in told.transactions.items():
            fresh.transaction_started(connector_id, start_s, transaction_id)
        order = sorted(surviving)
        Random(number).shuffle(order)  # noqa: S311 - repeatable on purpose
        assert [fresh.play(surviving[one]) for one in order] == [[]] * len(order), number
        assert fresh.answers() == told.answers(), number


def test_engine_all_schedules_at_once_are_those_one_by_one() -> None:
    """CORE-SC-39, SCA-34: one text for all connectors, with the window's start in each."""
    for number, case in histories():
        told = Told(case)
        told.window["duration_s"] = min(told.window["duration_s"], LONGEST_TOGETHER_S)
        for unit in UNITS:
            together = read(told.profiles.composite_all(told.window["start_s"], told.window["duration_s"], unit))
            assert list(together) == [str(one) for one in told.connectors], number
            for one in told.connectors:
                schedule = together[str(one)]
                assert utc_s(schedule["startSchedule"]) == told.window["start_s"]
                assert (schedule["chargingRateUnit"], schedule["duration"]) == (unit, told.window["duration_s"])
                assert read_periods(schedule) == told.composite(one, unit=unit, **told.window), (number, one)
