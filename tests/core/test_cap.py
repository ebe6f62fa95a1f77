"""Limits that connectors share: what they are, and the sum of the claims beneath them."""

from __future__ import annotations

from ocpphub.core.cap import NOTHING, PER_UNIT, UNLIMITED, Amount, Cap, Counted, External, Load

THREE = Load(PER_UNIT, PER_UNIT, PER_UNIT, 690_000)
FIRST = Load(PER_UNIT, 0, 0, 230_000)


def claim(load: Load, tenths: int) -> Counted:
    return load.l1 * tenths, load.l2 * tenths, load.l3 * tenths, load.milliwatts * tenths


def short(cap: Cap) -> bool:
    return cap.is_short


def test_limit_is_the_lowest_of_its_sources() -> None:
    """decisions.md 5: configured, ChargePointMaxProfile, and what an energy manager has set, each kind by itself."""
    cap = Cap("feeder", Amount(100_000, None))
    assert cap.effective == Amount(100_000, None)
    cap.scheduled = Amount(80_000, 50_000_000)
    assert cap.refresh()
    cap.external = External(Amount(None, 40_000_000), 5)
    assert cap.refresh()
    assert cap.effective == Amount(80_000, 40_000_000)
    assert not cap.refresh()


def test_claims_count_on_their_phases() -> None:
    """Per phase: one of a single phase takes nothing of the others."""
    cap = Cap("feeder", Amount(32_000, None))
    cap.count(NOTHING, claim(FIRST, 320))
    assert not short(cap)
    assert not cap.takes(NOTHING, claim(FIRST, 1))
    assert cap.takes(NOTHING, claim(Load(0, PER_UNIT, PER_UNIT, 460_000), 320))
    assert not cap.takes(NOTHING, claim(THREE, 1))
    assert cap.takes(claim(FIRST, 320), claim(THREE, 320))
    assert (cap.claimed_a, cap.claimed_w) == (32.0, 7_360.0)
    cap.count(NOTHING, claim(THREE, 1))
    assert short(cap)
    cap.count(claim(THREE, 1), NOTHING)
    assert not short(cap)


def test_limit_in_watts_counts_every_phase() -> None:
    """A and W: 11,040 W are 16 A on three phases."""
    cap = Cap("feeder", Amount(None, 11_040_000))
    assert cap.takes(NOTHING, claim(THREE, 160))
    assert not cap.takes(NOTHING, claim(THREE, 161))
    cap.count(NOTHING, claim(THREE, 160))
    assert not short(cap)
    cap.configured = Amount(None, 11_039_000)
    cap.refresh()
    assert short(cap)


def test_limit_of_nothing_takes_everything() -> None:
    """A charge point without limits of its own."""
    cap = Cap("CP1", UNLIMITED, "CP1")
    assert cap.takes(NOTHING, claim(THREE, 10**6))
    cap.count(NOTHING, claim(THREE, 10**6))
    assert not short(cap)
