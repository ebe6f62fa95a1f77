"""What an IdTagInfo says, now and later."""

from __future__ import annotations

import pytest

from ocpphub.core.verdict import Verdict, expiry_ms, folded

END = "2027-01-15T08:00:00Z"
END_MS = 1_800_000_000_000


def test_folded_makes_tags_that_differ_in_case_equal() -> None:
    """CORE-GEN-08."""
    assert folded("aBc-1") == folded("AbC-1")
    assert folded("abc") != folded("abd")


def test_verdict_of_takes_what_is_there() -> None:
    """CORE-AUTH-08."""
    full = {"status": "Blocked", "parentIdTag": "G", "expiryDate": END}
    assert Verdict.of(full) == Verdict("Blocked", "G", END)
    assert Verdict.of({"status": "Accepted"}) == Verdict("Accepted")


@pytest.mark.parametrize(
    ("status", "at_ms", "expected"),
    [
        ("Accepted", END_MS - 1, "Accepted"),
        ("Accepted", END_MS, "Expired"),
        ("Blocked", END_MS + 1, "Blocked"),
        ("Blocked", END_MS - 1, "Blocked"),
    ],
)
def test_verdict_at_lets_an_accepted_tag_expire(status: str, at_ms: int, expected: str) -> None:
    """CORE-AUTH-12, CORE-LL-16: group and date stay."""
    assert Verdict(status, "G", END).at(at_ms) == Verdict(expected, "G", END)


def test_verdict_at_without_expiry_date_never_expires() -> None:
    """CORE-AUTH-12."""
    assert Verdict("Accepted").at(2**62).is_accepted


def test_verdict_at_with_a_date_of_no_calendar_has_expired() -> None:
    """CORE-AUTH-12: legal in RFC 3339, and nobody can say when it is."""
    assert Verdict("Accepted", None, "2027-12-31T23:59:60Z").at(0).status == "Expired"


@pytest.mark.parametrize(
    "text",
    [END, "2027-01-15t08:00:00z", "2027-01-15T09:00:00.000+01:00", "2027-01-15T08:00:00", "2027-01-15T03:00:00-05:00"],
)
def test_expiry_ms_takes_every_offset_and_case(text: str) -> None:
    """CORE-GEN-05."""
    assert expiry_ms(text) == END_MS
