"""The reference of composite schedules against answers worked out by hand, and against itself.

Owns that the second opinion deserves the name. Must never import ocpphub: an engine
that is broken breaks nothing here.
"""

from __future__ import annotations

import pytest

from tests.oracle import schedule_cases
from tests.oracle.reference_schedule import Station, utc_s
from tests.oracle.schedule_cases import Json
from tests.oracle.schedule_vectors import check_vector, vectors

FEW = 300


def replayed(case: Json) -> Station:
    """The reference after the steps of a case, questions left out."""
    station = Station.of(case["station"])
    for step in case["steps"]:
        arguments = {name: value for name, value in step.items() if name != "do"}
        if step["do"] != "query":
            getattr(station, step["do"])(**arguments)
    return station


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_reference_each_vector_gives_the_answer_worked_out_by_hand(vector: Json) -> None:
    """CORE-SC-08, CORE-SC-11, SCA-01, SCA-17, SCA-18, SCA-22: the reference says what a reader of the text says."""
    check_vector(Station.of(vector["station"]), vector)


def test_reference_asked_only_where_something_may_change_misses_nothing() -> None:
    """CORE-SC-08: for random histories the instants of change give the answer of every single second."""
    steps = 0
    for number in range(FEW):
        case = schedule_cases.numbered(number)
        station, window = replayed(case), case["steps"][-1]
        connectors = range(len(station.connectors) + 1)
        for connector_id in connectors:
            asked = (connector_id, window["start_s"], min(window["duration_s"], 600), "A", window.get("query_s"))
            every_second = station.composite(*asked)
            assert station.composite(*asked, every_second=False) == every_second, (number, asked)
            steps += len(every_second) - 1
    assert steps > FEW  # else the histories say nothing


def test_reference_purge_cannot_be_seen_in_later_schedules() -> None:
    """SCA-39, SCA-03: what can never be active again has no effect any more, also on what it hid."""
    purged = 0
    for number in range(FEW):
        case = schedule_cases.numbered(number)
        station = replayed(case)
        now_s = case["steps"][-1]["start_s"] + 150
        connectors = range(len(station.connectors) + 1)
        before = [station.composite(one, now_s, 300, "A", every_second=False) for one in connectors]
        purged += len(station.purge(now_s))
        assert [station.composite(one, now_s, 300, "A", every_second=False) for one in connectors] == before, number
    assert purged > FEW / 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.999Z", 1),
        ("1969-12-31T23:59:59.5Z", -1),
        ("2024-01-01T02:00:00+02:00", 1_704_067_200),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_reference_an_instant_is_floored_to_a_whole_second(text: str, expected: int) -> None:
    """SCA-06: fractions are cut towards the past, before 1970 too."""
    assert utc_s(text) == expected
