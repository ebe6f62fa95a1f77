"""Fair shares of random hubs against linear programs (HiGHS), a plain walk, and the definition of a fair share.

Owns the comparison; ``ORACLE_EXAMPLES`` says how many hubs (120 without it). A case that differs is printed whole. The
engine shares in steps, and what is too little for one member's step others may get as several: with steps a thousand
times finer it is within 0.01 A of the program's shares everywhere, with steps of 0.1 A where rounding cannot be handed
on; and everywhere each of its levels is the program's, given those below.
"""

from __future__ import annotations

import os

import pytest

from tests.oracle import allocation_cases
from tests.oracle.allocation_cases import Case
from tests.oracle.fair_shares import Row, admitted, continuous, misplaced, raisable, rows

CASES = int(os.environ.get("ORACLE_EXAMPLES", "120"))
AT_ONCE = 500
FINER = 1_000
MANY = 10
"""Times as many hubs for what needs no linear program."""


def answered(case: Case) -> tuple[list[Row], dict[int, int]]:
    """Rows of a case, and the shares of those that a plain walk admits; nobody else has one."""
    table, shares = rows(case), case.shares()
    members = admitted(case, table)
    assert [index for index, share in enumerate(shares) if share and index not in members] == [], case
    return table, {member: shares[member] for member in members}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, CASES * MANY, AT_ONCE * MANY))
def test_engine_shares_are_within_every_limit_and_no_step_is_left(first: int) -> None:
    """CORE-SC-42: admitted as a plain walk says, between minimum and bound, and nobody can have a step more."""
    for number in range(first, min(first + AT_ONCE * MANY, CASES * MANY)):
        case = allocation_cases.numbered(number)
        table, shares = answered(case)
        assert all(case.minimums[member] <= share <= case.bounds[member] for member, share in shares.items()), case
        assert all(row.fits(shares) for row in table if row.room >= 0), case
        assert raisable(case, table, shares) == [], case


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, CASES, AT_ONCE))
def test_engine_in_finer_steps_comes_to_the_shares_of_the_linear_program(first: int) -> None:
    """CORE-SC-42: within 0.01 A of the only max-min solution, for overlapping limits, rotated phases and DC."""
    for number in range(first, min(first + AT_ONCE, CASES)):
        case = allocation_cases.numbered(number)
        table, members = rows(case), admitted(case, rows(case))
        fine = case.finer(FINER).shares()
        for member, share in continuous(case, table, members).items():
            assert abs(fine[member] / FINER - share) <= 0.1, (member, share, case)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, CASES, AT_ONCE))
def test_engine_in_steps_of_a_tenth_has_each_level_of_the_linear_program(first: int) -> None:
    """CORE-SC-42: the rest reaches what the program says, rounded down, given those that stay lower."""
    for number in range(first, min(first + AT_ONCE, CASES)):
        case = allocation_cases.numbered(number)
        table, shares = answered(case)
        assert misplaced(case, table, shares) == "", case


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, CASES, AT_ONCE))
def test_engine_under_nested_limits_is_within_a_step_of_the_linear_program(first: int) -> None:
    """CORE-SC-42: feeders in feeders, limits in whole steps: no rounding is handed on."""
    for number in range(first, min(first + AT_ONCE, CASES)):
        case = allocation_cases.nested(number)
        table, shares = answered(case)
        for member, share in continuous(case, table, list(shares)).items():
            assert abs(shares[member] - share) < 1 + 1e-5, (member, share, case)
