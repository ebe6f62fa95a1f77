"""Random histories on the native engine and on the reference: verdicts, replaced ids, purges and every schedule.

Owns the comparison; ``OCPPHUB_ORACLE_CASES`` says how many histories (20,000 without it). A history that differs is
printed as one line of JSON with only the steps that it needs, see tests/oracle/schedule_cases.py.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle import schedule_cases
from tests.oracle.schedule_runner import Native, engine, play, shrink
from tests.oracle.schedule_vectors import Json, check_vector, vectors

AT_ONCE = 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, schedule_cases.CASES, AT_ONCE))
def test_engine_random_histories_agree_with_the_reference(first: int) -> None:
    """CORE-SC-08, CORE-SC-09, CORE-SC-26, CORE-SC-35, SCA-01, SCA-05, SCA-18, SCA-19, SCA-22: no difference at all."""
    for number in range(first, min(first + AT_ONCE, schedule_cases.CASES)):
        case = schedule_cases.numbered(number)
        if any(play(case)):
            least = shrink(case)
            pytest.fail(f"history {number}: {'; '.join(play(least))}\n{json.dumps(least)}")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [63, 64, 65, 130, 257])
def test_engine_hubs_of_many_connectors_agree_with_the_reference(count: int) -> None:
    """CORE-SC-39, SCA-19: sums of very many connectors, where an engine may group them or count them in words."""
    for number in range(6):
        case = schedule_cases.numbered(number, count)
        assert list(play(case)) == [], json.dumps(case)


@pytest.mark.timeout(120)
def test_engine_stations_at_the_edge_of_exactness_agree_or_are_refused() -> None:
    """SCA-18, SCA-22: what the engine says it can compute exactly it does; the rest it refuses when it is made."""
    numbers, taken = range(schedule_cases.CASES // 10), 0
    for number in numbers:
        case = schedule_cases.stretched(number)
        try:
            engine(case["station"])
        except ValueError:
            continue
        taken += 1
        assert list(play(case)) == [], json.dumps(case)
    assert taken > len(numbers) / 2


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_engine_histories_that_hypothesis_chooses_agree_with_the_reference(random: Random) -> None:
    """CORE-SC-08, SCA-03: the same, with choices that hypothesis makes as odd as it can and shrinks."""
    case = schedule_cases.history(random)
    assert list(play(case)) == [], json.dumps(case)


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_engine_each_vector_gives_the_answer_worked_out_by_hand(vector: Json) -> None:
    """CORE-SC-01, CORE-SC-02, CORE-SC-03, CORE-SC-04, CORE-SC-05, CORE-SC-06, CORE-SC-07, CORE-SC-08, CORE-SC-09,
    CORE-SC-10, CORE-SC-11, CORE-SC-12, CORE-SC-15, CORE-SC-17, CORE-SC-18, CORE-SC-19,
    CORE-SC-20, CORE-SC-21, CORE-SC-22, CORE-SC-23, CORE-SC-24, CORE-SC-25, CORE-SC-26, CORE-SC-27, CORE-SC-28,
    CORE-SC-29, CORE-SC-30, CORE-SC-34, CORE-SC-35, CORE-SC-36, CORE-SC-37, CORE-SC-38, CORE-SC-39, CORE-SC-42,
    CORE-SC-43, SCA-01, SCA-02, SCA-03, SCA-04, SCA-05, SCA-06, SCA-07, SCA-08, SCA-09, SCA-10, SCA-11, SCA-12, SCA-13,
    SCA-14, SCA-15, SCA-16, SCA-17, SCA-18, SCA-19, SCA-20, SCA-21, SCA-22, SCA-26, SCA-27, SCA-28, SCA-29, SCA-31,
    SCA-36, SCA-37, SCA-38, SCA-39, SCA-41, SCA-42: one vector or more for each.
    """
    check_vector(Native(vector["station"]), vector)


def test_vectors_have_a_row_for_each_requirement_cited() -> None:
    """CORE-SC-08: the list of ids above is that of the file, so that the matrix cannot say more than is tested."""
    text = test_engine_each_vector_gives_the_answer_worked_out_by_hand.__doc__ or ""
    cited = set(text.split(":")[0].replace(",", " ").split())
    assert cited == {requirement for vector in vectors() for requirement in vector["requirements"]}
