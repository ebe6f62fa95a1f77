"""The authorization cache and its rows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.core.authorization_cache import CAPACITY, TABLE, AuthorizationCache
from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.rows import Rows
from ocpphub.core.verdict import Verdict
from ocpphub.store import Row

NOW_MS = 1_800_000_000_000
ACCEPTED, BLOCKED = Verdict("Accepted"), Verdict("Blocked")


class Kept:
    """A cache and its rows as an instant disk would keep them."""

    def __init__(self, capacity: int = 3, rows: dict[str, bytes] | None = None) -> None:
        self.rows, self.writes, self.capacity = dict(rows or {}), 0, capacity
        self.cache = AuthorizationCache(self._emit, capacity)
        self.cache.restore(Rows([Row("CP1", TABLE, key, value) for key, value in self.rows.items()], "CP1"))

    def _emit(self, effect: Effect) -> None:
        assert isinstance(effect, Store | Discard)
        assert effect.table == TABLE
        self.writes += isinstance(effect, Store)
        if isinstance(effect, Store):
            self.rows[effect.key] = effect.value
        else:
            del self.rows[effect.key]

    def put(self, *tags: str, verdict: Verdict = ACCEPTED, now_ms: int = NOW_MS) -> Kept:
        for tag in tags:
            self.cache.put(tag, verdict, now_ms)
        return self

    def restarted(self) -> Kept:
        return Kept(self.capacity, self.rows)

    def known(self, *tags: str) -> list[str]:
        return [tag for tag in tags if self.cache.get(tag) is not None]


def test_cache_tells_what_it_learnt_in_any_case() -> None:
    """CORE-AUTH-11, CORE-GEN-08: valid and invalid tags alike."""
    kept = Kept().put("aB").put("X", verdict=BLOCKED)
    assert kept.cache.get("Ab") == ACCEPTED
    assert kept.cache.get("x") == BLOCKED
    assert kept.cache.get("y") is None


def test_cache_keeps_the_last_word_on_a_tag() -> None:
    """CORE-AUTH-08: from valid to invalid and back."""
    kept = Kept().put("A").put("a", verdict=BLOCKED)
    assert kept.cache.get("A") == BLOCKED
    assert len(kept.cache) == 1
    assert kept.put("A").restarted().cache.get("A") == ACCEPTED


def test_cache_survives_a_restart() -> None:
    """CORE-AUTH-14."""
    verdict = Verdict("Accepted", "Group", "2027-01-15T09:00:00Z")
    kept = Kept().put("A", verdict=verdict).put("B", verdict=BLOCKED).restarted()
    assert kept.cache.get("a") == verdict
    assert kept.cache.get("b") == BLOCKED


def test_cache_writes_once_for_what_it_hears_again() -> None:
    """CORE-AUTH-14: a tag of every day costs no write."""
    assert Kept().put("A", "A", "a").writes == 1


@pytest.mark.parametrize("restart", [False, True])
def test_cache_that_is_full_drops_invalid_tags_first(restart: bool) -> None:
    """CORE-AUTH-13, after a restart too."""
    kept = Kept(3).put("A").put("B", verdict=BLOCKED).put("C")
    kept = kept.restarted() if restart else kept
    kept.put("D")
    assert kept.known("A", "B", "C", "D") == ["A", "C", "D"]
    assert kept.put("E").known("A", "B", "C", "D", "E") == ["C", "D", "E"]
    assert sorted(kept.rows) == ["c", "d", "e"]


def test_cache_that_is_full_drops_the_oldest_invalid_tag_first() -> None:
    """CORE-AUTH-13."""
    kept = Kept(3).put("A").put("B", "C", verdict=BLOCKED).put("D")
    assert kept.known("A", "B", "C", "D") == ["A", "C", "D"]


def test_cache_that_is_full_counts_expired_tags_as_invalid() -> None:
    """CORE-AUTH-12, CORE-AUTH-13: not before their time."""
    soon = Verdict("Accepted", None, utc_text(NOW_MS + 1_000))
    kept = Kept(3).put("A").put("B", verdict=soon).put("C")
    assert kept.put("D", now_ms=NOW_MS + 999).known("A", "B", "C", "D") == ["B", "C", "D"]
    assert kept.put("E", now_ms=NOW_MS + 1_000).known("B", "C", "D", "E") == ["C", "D", "E"]


def test_cache_tag_heard_again_is_the_youngest() -> None:
    """CORE-AUTH-13."""
    assert Kept(2).put("A", "B", "A", "C").known("A", "B", "C") == ["A", "C"]


def test_cache_forgets_a_tag_with_its_row() -> None:
    """CORE-LL-15; one that is not there is no write."""
    kept = Kept().put("A", "B")
    kept.cache.forget("a")
    kept.cache.forget("unknown")
    assert kept.restarted().known("A", "B") == ["B"]


def test_cache_cleared_is_empty_for_good() -> None:
    """CORE-AUTH-22."""
    kept = Kept().put("A").put("B", verdict=BLOCKED)
    kept.cache.clear()
    assert (len(kept.cache), kept.rows) == (0, {})
    assert kept.put("C").restarted().known("A", "B", "C") == ["C"]


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"n":1}', b'{"n":"1","status":"Accepted"}'])
def test_cache_leaves_damaged_rows_aside(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """J-278: the others hold, and the tag can be learnt anew."""
    rows = {**Kept().put("A").rows, "b": value}
    kept = Kept(3, rows)
    assert kept.known("A", "B") == ["A"]
    assert "damaged" in caplog.text
    assert kept.put("B").restarted().known("A", "B") == ["A", "B"]


def test_cache_holds_ten_thousand_tags_by_default() -> None:
    """CORE-AUTH-13."""
    effects: list[Effect] = []
    cache = AuthorizationCache(effects.append)
    for number in range(CAPACITY + 1):
        cache.put(f"T{number}", ACCEPTED, NOW_MS)
    assert len(cache) == CAPACITY == 10_000
    assert cache.get("T0") is None
    assert cache.get("T1") is not None


_steps = st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["Accepted", "Blocked"]), st.integers(0, 5) | st.none())


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(_steps, max_size=60), capacity=st.integers(1, 4))
def test_cache_is_its_rows_and_drops_by_the_rule(steps: list[tuple[str, str, int | None]], capacity: int) -> None:
    """CORE-AUTH-13, CORE-AUTH-14: against a plain list, oldest first, on a clock that ticks with each step."""
    kept = Kept(capacity)
    model: list[tuple[str, Verdict]] = []
    for tick, (tag, status, ttl) in enumerate(steps):
        now_ms = NOW_MS + tick * 1_000
        verdict = Verdict(status, None, None if ttl is None else utc_text(now_ms + ttl * 1_000))
        kept.put(tag, verdict=verdict, now_ms=now_ms)
        others = [item for item in model if item[0] != tag]
        if len(others) == len(model) and len(model) == capacity:
            bad = [item for item in others if not item[1].at(now_ms).is_accepted]
            gone = {name for name in "abcdefg" if not kept.known(name)} & {item[0] for item in others}
            assert len(gone) == 1
            assert gone <= {item[0] for item in bad} if bad else gone == {others[0][0]}
            others = [item for item in others if item[0] not in gone]
        model = [*others, (tag, verdict)]
        again = kept.restarted()
        for cache in (kept.cache, again.cache):
            assert {name: cache.get(name) for name in "abcdefg" if cache.get(name)} == dict(model)
