"""The judge of days sees: each planted bug is found within a few days, as a breach of the clause that it breaks."""

from __future__ import annotations

from functools import cache

import pytest

from tests.allocation.planted import BUGS, Bug
from tests.allocation.runner import run_seed

LIMIT = 20


@cache
def broken(seed: int) -> frozenset[str]:
    """The clauses that a day breaks without a planted bug: it proves nothing of those."""
    return clauses(seed)


def clauses(seed: int) -> frozenset[str]:
    """The clauses that a day breaks."""
    return frozenset(violation.clause for violation in run_seed(seed).violations)


def test_there_is_a_bug_for_every_clause() -> None:
    """Claims, draw, permits, fairness, stability, turns: none is judged by nothing."""
    assert {bug.clause for bug in BUGS} == set("abcdef")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_planted_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 20 days, and as a breach of its own clause."""
    for seed in range(1, LIMIT + 1):
        with monkeypatch.context() as patch:
            bug.plant(patch)
            is_caught = bug.clause in clauses(seed)
        if is_caught and bug.clause not in broken(seed):
            return
    pytest.fail(f"{bug} lived through {LIMIT} days")
