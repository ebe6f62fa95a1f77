"""Numbers that nobody had before."""

from __future__ import annotations

import pytest

from ocpphub.core.effects import Effect, Store
from ocpphub.core.queue_numbers import BLOCK, KEYS, TABLE, Numbers
from ocpphub.core.rows import Rows
from ocpphub.store import Row


def numbers(stored: dict[str, bytes], seen: int = 0) -> tuple[Numbers, dict[str, bytes]]:
    """Restored from ``stored``, which follows what is emitted."""

    def keep(effect: Effect) -> None:
        assert isinstance(effect, Store)
        stored[effect.key] = effect.value

    made = Numbers(keep)
    made.restore(Rows([Row("CP1", TABLE, key, value) for key, value in stored.items()], "CP1"), seen)
    return made, stored


def test_numbers_are_never_used_twice_over_restarts() -> None:
    """However many were taken since the last write."""
    stored: dict[str, bytes] = {}
    seen: list[int] = []
    for count in (1, 3, BLOCK, 2 * BLOCK + 1, 0, 5):
        made, stored = numbers(stored)
        seen += [made.next() for _ in range(count)]
    assert seen == sorted(set(seen))


def test_numbers_are_reserved_in_blocks() -> None:
    """One write for many, and before the first of them is used."""
    writes: list[Effect] = []
    made = Numbers(writes.append)
    for number in range(1, BLOCK + 1):
        assert made.next() == number
        assert len(writes) == len(KEYS)
    made.next()
    assert len(writes) == 2 * len(KEYS)


@pytest.mark.parametrize("damage", [None, b"x", b"", b"-5", b"[]"])
@pytest.mark.parametrize("key", KEYS)
def test_numbers_survive_one_damaged_row(key: str, damage: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """Its copy knows."""
    made, stored = numbers({})
    last = [made.next() for _ in range(BLOCK + 1)][-1]
    if damage is None:
        del stored[key]
    else:
        stored[key] = damage
    assert numbers(stored)[0].next() > last
    assert "damaged row of counter" in caplog.text


def test_numbers_miss_no_row_beside_the_counters_of_others(caplog: pytest.LogCaptureFixture) -> None:
    """A charge point that has permits and no session yet has lost nothing."""
    assert numbers({"permit": b"1"})[0].next() == 1
    assert caplog.text == ""


def test_numbers_begin_behind_everything_that_was_seen() -> None:
    """Rows of sessions and samples know too."""
    assert numbers({}, seen=41)[0].next() == 42
