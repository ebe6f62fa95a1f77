"""Whole lives of hubs, from seeds, on virtual time: no invariant of reliability.md 4.5 breaks in any of them.

``OCPPHUB_LIVES`` sets how many (2,000 in CI); ``python -m tests.lives.runner --seeds N --show`` prints one life.
"""

from __future__ import annotations

import os

import pytest

from tests.lives.runner import FAULTS, Summary, run

pytestmark = pytest.mark.patient

LIVES = int(os.environ.get("OCPPHUB_LIVES", "2000" if "CI" in os.environ else "200"))
FIRST = 1
KNOWN_SEEDS: tuple[int, ...] = ()
"""Seeds beyond the range that once showed a fault: they stay."""


@pytest.fixture(scope="module")
def lives() -> Summary:
    """All lives, once for the tests of this module."""
    return run([*range(FIRST, FIRST + LIVES), *KNOWN_SEEDS])


@pytest.mark.timeout(1_500)
def test_lives_break_no_invariant(lives: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    """CORE-TXQ-01 CORE-TXQ-02 CORE-TXQ-05 CORE-TXQ-06 CORE-TXQ-07 CORE-TXQ-08 CORE-TXQ-10 CORE-TXQ-14 CORE-TX-03
    CORE-TX-09 CORE-STAT-02 CORE-STAT-13 CORE-LL-14 CORE-CC-08 CORE-MV-12: over outages, crashes that lose writes,
    clock steps, wrong answers and lost ones; a failure prints its seed."""
    with capsys.disabled():
        print("\n" + "\n".join(lives.lines()))
    assert [str(violation) for violation in lives.first_violations()] == []


@pytest.mark.timeout(1_500)
def test_lives_are_hard_enough(lives: Summary) -> None:
    """Each has 200 inputs, ten minutes, an outage and a step of a clock, and a crash that loses writes but for a few
    hubs that are stopped and write nothing; every fault scenario is met by one life in twenty."""
    assert lives.lives == LIVES + len(KNOWN_SEEDS)
    assert lives.least_inputs >= 200
    assert lives.least_minutes >= 10
    assert (lives.without_outage, lives.without_step) == (0, 0)
    assert lives.without_loss <= LIVES / 500
    assert [name for name in FAULTS if lives.faults[name] < LIVES / 20] == []
