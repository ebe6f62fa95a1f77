"""The characters of an embedded CSMS: the same seed behaves the same, and each has the fault that it is named for."""

from __future__ import annotations

import pytest

from ocpphub.core.vocabulary import AuthorizationStatus
from ocpphub.sim.personalities import BILLING, LOST, NORMAL, PERSONALITIES, Personality, RefusesTags, Treatment

TAGS = [f"TAG{number}" for number in range(1000)]


def treatments(personality: Personality, action: str = "StartTransaction", calls: int = 1000) -> list[Treatment]:
    return [personality.treat(action, {}) for _ in range(calls)]


@pytest.mark.parametrize("name", PERSONALITIES)
def test_personality_of_the_same_seed_behaves_the_same(name: str) -> None:
    """Runs can be repeated."""
    one, two, other = (PERSONALITIES[name](seed) for seed in (7, 7, 8))
    assert treatments(one) == treatments(two)
    assert [one.verdict("Authorize", tag) for tag in TAGS] == [two.verdict("Authorize", tag) for tag in TAGS]
    if name not in ("accept_all", "refuses_tags"):
        assert treatments(one) != treatments(other)


def test_personality_accept_all_accepts_and_answers() -> None:
    """The friendliest one."""
    friendly = PERSONALITIES["accept_all"](1)
    assert {friendly.verdict(action, "X") for action in ("Authorize", "StartTransaction")} == {"Accepted"}
    assert set(treatments(friendly)) == {NORMAL}
    assert not friendly.deduplicates


def test_personality_slow_answers_everything_late_but_in_time() -> None:
    """CORE-RPC-14: below MessageTimeout."""
    delays_s = [treatment.delay_s for treatment in treatments(PERSONALITIES["slow"](1), "Heartbeat")]
    assert 0.2 <= min(delays_s) < 0.3 < 0.9 < max(delays_s) <= 1.0


@pytest.mark.parametrize(("name", "deduplicates"), [("drops_answers", False), ("deduplicates", True)])
def test_personality_loses_a_tenth_of_the_answers_that_are_about_money(name: str, deduplicates: bool) -> None:
    """F23: the message is processed, its answer is not sent; other answers come."""
    personality = PERSONALITIES[name](1)
    for action in BILLING:
        assert 60 < treatments(personality, action).count(LOST) < 140
    assert set(treatments(personality, "Heartbeat")) == {NORMAL}
    assert personality.deduplicates is deduplicates


def test_personality_refuses_some_tags_always_and_with_words_of_the_standard() -> None:
    """CORE-AUTH-21: ConcurrentTx is for StartTransaction."""
    personality = PERSONALITIES["refuses_tags"](1)
    at_start = {tag: personality.verdict("StartTransaction", tag) for tag in TAGS}
    refused = {tag for tag, status in at_start.items() if status != "Accepted"}
    assert 200 < len(refused) < 400
    assert {at_start[tag] for tag in refused} == set(RefusesTags.STATUSES)
    assert set(at_start.values()) == {status.value for status in AuthorizationStatus}
    before = {tag: personality.verdict("Authorize", tag) for tag in TAGS}
    assert {tag for tag, status in before.items() if status != "Accepted"} == refused
    assert "ConcurrentTx" not in before.values()
    assert personality.verdict("Authorize", "tag1") == personality.verdict("Authorize", "TAG1")


def test_personality_refuses_at_the_start_only_what_authorize_had_accepted() -> None:
    """CORE-TX-05: a CSMS that judges late."""
    personality = RefusesTags(1, at_start_only=True)
    assert {personality.verdict("Authorize", tag) for tag in TAGS} == {"Accepted"}
    assert {personality.verdict("StartTransaction", tag) for tag in TAGS} > {"Accepted", "Blocked"}
