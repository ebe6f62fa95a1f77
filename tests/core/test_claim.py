"""Claims: the highest of what was permitted and not yet replaced by a confirmed permit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocpphub.core.cap import Load
from ocpphub.core.claim import Claim, Sent


def claimed(*sent: tuple[int, int]) -> Claim:
    """A claim after permits of these numbers and tenths, one a second."""
    claim = Claim()
    for second, (seq, tenths) in enumerate(sent):
        claim.send(Sent(seq, tenths, 3), float(second))
    return claim


def test_claim_is_the_highest_that_may_be_applied() -> None:
    """decisions.md 5: permits sent and not yet replaced by a confirmed one."""
    claim = claimed((1, 160), (2, 320), (3, 100))
    assert (claim.tenths, claim.decreased_s) == (320, 2.0)
    assert not claim.confirm(2)
    assert claim.tenths == 320
    assert claim.confirm(3)
    assert (claim.tenths, claim.decreased_s) == (100, None)


def test_claim_hears_nothing_new_from_old_numbers() -> None:
    """A late confirmation of an earlier permit takes nothing back."""
    claim = claimed((5, 320), (6, 60))
    assert claim.confirm(6)
    assert not claim.confirm(5)
    assert not claim.confirm(4)
    assert claim.tenths == 60


def test_claim_of_a_lease_that_ran_out_is_what_is_assumed() -> None:
    """decisions.md 5: its fallback, until the last permit is confirmed."""
    claim = claimed((1, 320))
    claim.may_be(Sent(-1, 400, 1))
    assert (claim.tenths, claim.phases) == (400, 3)
    claim.send(Sent(2, 0, 3), 9.0)
    assert claim.confirm(2)
    assert claim.tenths == 400  # nobody renews its lease: it may fall back yet
    claim.until_confirmed()
    assert claim.tenths == 400
    claim.confirm(2)
    assert claim.tenths == 0
    claim.assume(Sent(-1, 100, 1))
    assert (claim.tenths, claim.phases) == (100, 1)


def test_claim_counts_the_phases_of_what_may_be_drawn() -> None:
    """A permit without current has no phases."""
    claim = Claim()
    claim.send(Sent(1, 160, 1), 0.0)
    claim.send(Sent(2, 0, 3), 1.0)
    assert (claim.tenths, claim.phases) == (160, 1)
    claim.send(Sent(3, 60, 3), 2.0)
    assert (claim.tenths, claim.phases) == (160, 3)


def test_claim_loads_each_phase_with_the_highest_of_its_permits() -> None:
    """Per phase: 32 A on one phase, or 10 A on three, are never 32 A on three."""
    claim = Claim()
    claim.send(Sent(1, 100, 3), 0.0)
    claim.send(Sent(2, 320, 1), 1.0)
    loads = (Load(1, 0, 0, 2), Load(1, 1, 0, 4), Load(1, 1, 1, 6))
    assert claim.counted(loads) == (320, 100, 100, 640)
    assert claim.counted(loads, Sent(3, 200, 2)) == (320, 200, 100, 800)
    claim.confirm(2)
    assert claim.counted(loads) == (320, 0, 0, 640)


@given(st.lists(st.tuples(st.integers(0, 320), st.booleans()), min_size=1, max_size=30), st.data())
def test_claim_is_that_of_a_naive_account(script: list[tuple[int, bool]], data: st.DataObject) -> None:
    """Against a list of everything that was sent, and the highest number that was confirmed."""
    claim, sent, confirmed = Claim(), [], 0
    for seq, (tenths, confirms) in enumerate(script, 1):
        claim.send(Sent(seq, tenths, 3), float(seq))
        sent.append((seq, tenths))
        if confirms:
            number = data.draw(st.integers(1, seq))
            claim.confirm(number)
            confirmed = max(confirmed, number)
        assert claim.tenths == max(tenths for seq, tenths in sent if seq >= confirmed)
        assert (claim.decreased_s is None) == (claim.tenths <= sent[-1][1])
