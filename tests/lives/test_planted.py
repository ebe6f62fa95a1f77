"""The checker of lives sees: each planted bug is found within a few lives, under its own invariant."""

from __future__ import annotations

import pytest

from tests.lives.planted import BUGS, Bug
from tests.lives.runner import run_seeds

LIMIT = 300
APPLICABLE = {
    *("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10"),
    *("S1", "S2", "S3", "S4", "E1", "E2", "E3", "E4", "E5", "L1", "L2"),
}


def test_there_is_a_bug_for_every_invariant() -> None:
    """D1 to D10, S1 to S4, E1 to E5, L1 and L2: none is checked by nothing."""
    assert {bug.invariant for bug in BUGS} >= APPLICABLE


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_planted_bug_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 300 lives, and as a breach of the invariant that it breaks."""
    bug.plant(monkeypatch)
    for seed in range(1, LIMIT + 1):
        if any(violation.invariant == bug.invariant for violation in run_seeds([seed]).violations):
            return
    pytest.fail(f"{bug} lived through {LIMIT} lives")
