"""rpc/connectors.py: sets of connectors as clients write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.errors import LocalError
from ocpphub.rpc.connectors import ConnectorSet

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=6
)


def ids(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, [5]),
        ([3, 1, 2, 2], [1, 2, 3]),
        ("1-3,7", [1, 2, 3, 7]),
        (" 4 , 1 - 2 ", [1, 2, 4]),
        ("0", [0]),
    ],
)
def test_connectors_written_in_any_form_name_the_same_ids(value: Any, expected: list[int]) -> None:
    assert list(ConnectorSet.parse(value)) == expected


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("", "/params/connectors"),
        ("1-", "/params/connectors"),
        ("3-1", "/params/connectors"),
        ("1,,2", "/params/connectors"),
        ("1-100001", "/params/connectors"),
        ("-1", "/params/connectors"),
        ("٣", "/params/connectors"),
        ([], "/params/connectors"),
        ([1, "2"], "/params/connectors/1"),
        ([True], "/params/connectors/0"),
        (-1, "/params/connectors"),
        (1.0, "/params/connectors"),
        (True, "/params/connectors"),
        (None, "/params/connectors"),
        ({}, "/params/connectors"),
    ],
)
def test_connectors_written_wrongly_are_refused_with_the_path(value: Any, path: str) -> None:
    with pytest.raises(LocalError) as caught:
        ConnectorSet.parse(value)

    assert (caught.value.code, caught.value.path) == ("invalid_params", path)


@given(RANGES, RANGES)
def test_connectors_behave_as_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    a, b = ConnectorSet(one), ConnectorSet(other)

    assert set(a) == ids(one)
    assert len(a) == len(ids(one))
    assert {number for number in range(62) if number in a} == ids(one)
    assert set(a & b) == ids(one) & ids(other)
    assert set(a | b) == ids(one) | ids(other)
    assert (a == b) is (ids(one) == ids(other))
    assert not one or ConnectorSet.parse(str(a)) == a


def test_connectors_met_with_all_stay_the_same() -> None:
    some = ConnectorSet.parse("1-3")

    assert (some & None) is some


def test_connectors_of_a_wide_range_stay_two_numbers() -> None:
    """N29"""
    wide = ConnectorSet.parse("0-100000")

    assert len(wide) == 100_001
    assert str(wide) == "0-100000"
