"""What Python sees of the fair shares: lists of numbers as bytes, examples worked out by hand, refusals by name.

Owns the behaviour that ``_native.pyi`` promises of ``Allocation``; that shares are fair in general is held by
tests/oracle/test_allocation.py. Source: OCPP 1.6 section 3.13.1, local limits.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from ocpphub._native import Allocation

L1, L2, L3 = (1_000_000, 0, 0), (0, 1_000_000, 0), (0, 0, 1_000_000)
ALL = (1_000_000, 1_000_000, 1_000_000)
WATTS = {L1: 230_000, L2: 230_000, L3: 230_000, ALL: 690_000}


def packed(numbers: Iterable[int]) -> bytes:
    """Numbers as the seam takes them."""
    return array("I", numbers).tobytes()


def hub(*members: tuple[tuple[int, ...], tuple[int, int, int]], amperes: Sequence[float | None]) -> Allocation:
    """Members by their limits and phases, under limits in A."""
    allocation = Allocation([(limits, loads, WATTS[loads]) for limits, loads in members], len(amperes))
    for index, limit in enumerate(amperes):
        allocation.set_limit(index, None if limit is None else round(limit * 1_000), None)
    return allocation


def shares(
    allocation: Allocation,
    bounds: Sequence[int],
    *,
    minimums: Sequence[int] | None = None,
    held: Sequence[int] | None = None,
    order: Sequence[int] | None = None,
) -> list[int]:
    """The shares in tenths; unless the test says otherwise everybody wants 6 A or more, in the order of the indexes."""
    count = len(bounds)
    answer = allocation.allocate(
        packed(bounds),
        packed([60] * count if minimums is None else minimums),
        packed([0] * count if held is None else held),
        packed(range(count) if order is None else order),
    )
    return array("I", answer).tolist()


def test_members_share_a_limit_evenly_and_the_last_steps_go_in_order() -> None:
    """CORE-SC-42: 40 A for three, on each phase."""
    allocation = hub(*[((0,), ALL)] * 3, amperes=[40])
    assert shares(allocation, [320, 320, 320]) == [134, 133, 133]
    assert shares(allocation, [320, 320, 320], order=[2, 1, 0]) == [133, 133, 134]
    assert shares(allocation, [320, 320, 320], order=[2, 0]) == [200, 0, 200]
    assert shares(allocation, [100, 320, 320]) == [100, 150, 150]


def test_member_that_joins_at_its_minimum_has_its_turn_for_the_last_step() -> None:
    """CORE-SC-42: at 10 A all three have the same, and 0.1 A is left; whoever is first in order has it."""
    allocation = hub(*[((0,), ALL)] * 3, amperes=[30.1])
    assert shares(allocation, [320] * 3, minimums=[60, 60, 100], order=[2, 0, 1]) == [100, 100, 101]
    assert shares(allocation, [320] * 3, minimums=[60, 60, 100], order=[0, 2, 1]) == [101, 100, 100]
    assert shares(allocation, [320] * 3, minimums=[60, 60, 102]) == [100, 99, 102]


def test_members_whose_minimums_do_not_fit_are_admitted_in_order() -> None:
    """CORE-SC-42: 16 A is enough for two of three, and for those two it is shared."""
    allocation = hub(*[((0,), ALL)] * 3, amperes=[16])
    assert shares(allocation, [320, 320, 320]) == [80, 80, 0]
    assert shares(allocation, [320, 320, 320], order=[2, 1, 0]) == [0, 80, 80]
    assert shares(allocation, [320, 320, 320], minimums=[60, 110, 60]) == [80, 0, 80]
    assert shares(allocation, [59, 320, 320]) == [0, 80, 80]
    assert shares(allocation, [320, 320, 320], minimums=[0, 0, 0]) == [54, 53, 53]


def test_member_under_nested_limits_gets_what_the_narrowest_leaves() -> None:
    """CORE-SC-42: a site of 50 A, a charge point of 20 A and one of 63 A."""
    allocation = hub(*[((0, 1), ALL)] * 2, *[((0, 2), ALL)] * 2, amperes=[50, 20, 63])
    assert shares(allocation, [320] * 4) == [100, 100, 150, 150]


def test_members_on_other_phases_do_not_share() -> None:
    """CORE-SC-42: rotated sockets of 16 A, and a three-phase one that every phase holds."""
    allocation = hub(((0,), L1), ((0,), L1), ((0,), L2), ((0,), ALL), amperes=[30])
    assert shares(allocation, [160, 160, 320, 320]) == [100, 100, 200, 100]
    assert shares(allocation, [320, 320, 320, 80]) == [110, 110, 220, 80]


def test_limit_in_watts_counts_each_member_by_its_power() -> None:
    """CORE-SC-42: 11.5 kW for a member of one phase and one of three is 12.5 A for each."""
    allocation = hub(((0,), L1), ((0,), ALL), amperes=[None])
    allocation.set_limit(0, None, 11_500_000)
    assert shares(allocation, [320, 320]) == [125, 125]
    allocation.set_limit(0, 12_400, 11_500_000)
    assert shares(allocation, [320, 320]) == [62, 62]


def test_member_that_changes_its_phases_loads_the_others() -> None:
    """CORE-SC-42: the load moves to the phase that is used."""
    allocation = hub(((0,), L1), ((0,), L1), amperes=[20])
    assert shares(allocation, [320, 320]) == [100, 100]
    allocation.set_member(1, L2, 230_000)
    assert shares(allocation, [320, 320]) == [200, 200]


def test_claim_of_others_is_taken_off_first_and_closes_a_limit_that_it_exceeds() -> None:
    """CORE-SC-42: what cannot be taken back now counts before any share, on each phase and in each limit."""
    allocation = hub(((0, 1), L1), ((0, 1), L1), ((0,), L2), amperes=[40, 20])
    assert shares(allocation, [320] * 3, held=[100, 0, 0], order=[1, 2]) == [0, 100, 320]
    assert shares(allocation, [320] * 3, held=[200, 0, 0], order=[1, 2]) == [0, 0, 320]
    assert shares(allocation, [320] * 3, held=[201, 0, 0], order=[1, 2]) == [0, 0, 320]
    assert shares(allocation, [320] * 3, held=[401, 0, 0], order=[1, 2]) == [0, 0, 0]


def test_limit_that_is_taken_away_holds_nobody_any_more() -> None:
    """CORE-SC-42: without a limit everybody gets the bound."""
    allocation = hub(((0,), ALL), ((), ALL), amperes=[6])
    assert shares(allocation, [320, 4_000_000_000]) == [60, 4_000_000_000]
    allocation.set_limit(0, None, None)
    assert shares(allocation, [320, 4_000_000_000]) == [320, 4_000_000_000]
    allocation.set_limit(0, 0, None)
    assert shares(allocation, [320, 320]) == [0, 320]


def test_hub_without_members_has_an_empty_answer() -> None:
    """CORE-SC-42: nothing to share is no error."""
    assert Allocation([], 3).allocate(b"", b"", b"", b"") == b""


@pytest.mark.parametrize(
    ("members", "limits"),
    [
        ([((1,), ALL, 0)], 1), ([((0,), ALL, 0)], 0), ([((0, 0), ALL, 0)], 1), ([((-1,), ALL, 0)], 1),
        ([((0,), (-1, 0, 0), 0)], 1), ([((0,), (0, 0, 1 << 32), 0)], 1), ([((0,), ALL, -1)], 1), ([], -1),
        ([], 1_000_001),
    ],
)  # fmt: skip
def test_allocation_of_what_cannot_be_is_refused(members: Any, limits: int) -> None:
    """CORE-SC-42: unknown and repeated limits, loads that are no 32-bit numbers."""
    with pytest.raises(ValueError):
        Allocation(members, limits)


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ((b"\0" * 7, b"\0" * 8, b"\0" * 8, b""), "bounds"), ((b"\0" * 4, b"\0" * 8, b"\0" * 8, b""), "bounds"),
        ((b"\0" * 8, b"\0" * 12, b"\0" * 8, b""), "minimums"), ((b"\0" * 8, b"\0" * 8, b"", b""), "held"),
        ((b"\0" * 8, b"\0" * 8, b"\0" * 8, b"\0"), "order"), ((b"\0" * 8,) * 3 + (packed([2]),), "order: 2"),
        ((b"\0" * 8,) * 3 + (packed([1, 1]),), "order: 1"),
        ((b"\0" * 8, b"\0" * 8, packed([0, 5]), packed([0, 1])), "held: 1"),
    ],
)  # fmt: skip
def test_allocate_lists_that_do_not_fit_are_refused_by_name(lists: tuple[bytes, ...], named: str) -> None:
    """CORE-SC-42: one number for each member, each member once, and none that both holds and wants."""
    allocation = hub(((0,), ALL), ((0,), ALL), amperes=[32])
    with pytest.raises(ValueError, match=f"^{named}"):
        allocation.allocate(*lists)
    assert shares(allocation, [320, 320]) == [160, 160]


def test_set_of_an_unknown_member_or_limit_is_refused() -> None:
    """CORE-SC-42: indexes begin at 0; an amount is not negative."""
    allocation = hub(((0,), ALL), amperes=[32])
    for index in (1, -1, 1 << 40):
        with pytest.raises(ValueError, match=r"^index"):
            allocation.set_member(index, ALL, 0)
        with pytest.raises(ValueError, match=r"^index"):
            allocation.set_limit(index, None, None)
    with pytest.raises(ValueError, match=r"^milliamperes"):
        allocation.set_limit(0, -1, None)
    with pytest.raises(ValueError, match=r"^milliwatts"):
        allocation.set_limit(0, None, -1)
    with pytest.raises(ValueError, match=r"^loads"):
        allocation.set_member(0, (0, -1, 0), 0)
    assert shares(allocation, [400]) == [320]
