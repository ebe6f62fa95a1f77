"""All limits of a hub: which are short, what fits, and where somebody has less than they could take."""

from __future__ import annotations

from array import array

from ocpphub.core.cap import Amount, Cap
from ocpphub.core.claim import Sent
from ocpphub.core.limits import Limits
from ocpphub.core.member import Member, Wish
from ocpphub.core.topology import topology
from tests import builders


def station(amperes: float) -> tuple[Limits, list[Member]]:
    """Two connectors behind ``station_max_a``."""
    point = builders.settings(connectors=2, electrical=builders.electrical(station_max_a=amperes))
    found = topology([point], [])
    return Limits(found.caps), [Member(place, phases=3) for place in found.places]


def test_limit_is_short_while_the_claims_are_above_it() -> None:
    """decisions.md 5: a shortfall, until the claims are within the limit again; each change of it is told once."""
    limits, (one, two) = station(40.0)
    one.claim.send(Sent(1, 300, 3), 0.0)
    assert not limits.recount(one)
    two.claim.send(Sent(1, 110, 3), 0.0)
    assert limits.recount(two)
    assert not limits.recount(two)
    assert limits.is_beneath_short(one)
    two.claim.send(Sent(2, 50, 3), 1.0)
    assert not limits.recount(two)  # not confirmed
    two.claim.confirm(2)
    assert limits.recount(two)
    assert not limits.is_beneath_short(one)


def test_claim_fits_where_all_of_it_has_room() -> None:
    """A permit that is raised counts with the higher of both until it is confirmed."""
    limits, (one, two) = station(40.0)
    one.claim.send(Sent(1, 300, 3), 0.0)
    limits.recount(one)
    assert limits.fits(two, 100, 3)
    assert not limits.fits(two, 101, 3)
    assert limits.fits(one, 400, 3)
    assert limits.fits(one, 10, 3)


def test_limit_that_falls_is_short_at_once() -> None:
    """The claims have not moved."""
    limits, (one, _) = station(40.0)
    one.claim.send(Sent(1, 300, 3), 0.0)
    limits.recount(one)
    cap: Cap = limits.caps[0]
    cap.scheduled = Amount(29_900, None)
    cap.refresh()
    assert limits.watch(0)
    assert limits.short == {0}
    wish = Wish(100, 7_000.0, 3, True)
    assert limits.watts(one, wish, 100, 3) == 7_000.0
    cap.scheduled = Amount(None, 20_000_000)
    cap.refresh()
    assert limits.watts(one, wish, 100, 3) == 6_900.0  # what it counts as, not a watt more
    assert limits.watts(one, wish, 0, 3) == 0.0


def test_limit_is_tight_where_somebody_has_less_than_their_bound() -> None:
    """Only there are shares computed again for each wish."""
    limits, (one, _) = station(40.0)
    limits.mark_tight(array("I", [200, 200]), array("I", [320, 200]))
    assert limits.is_beneath_tight(one)
    limits.mark_tight(array("I", [320, 80]), array("I", [320, 80]))
    assert not limits.is_beneath_tight(one)
