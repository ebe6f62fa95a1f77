"""The authorization cache: what the CSMS said of id tags that are not in the local list (OCPP 1.6 section 3.5.1).

Owns the cached verdicts, their rows and which of them goes when there is no room. Must never decide what a verdict
allows (``authorization.py``), and must never write a row for a verdict that it has already.

Implements: CORE-AUTH-08, 11, 13, 14 and 22; errata 3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from orjson import dumps

from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.verdict import Verdict, expiry_ms, folded

TABLE: Final = "authorization_cache"
CAPACITY: Final = 10_000
"""Id tags of one charge point."""


class AuthorizationCache:
    """Verdicts by id tag, valid and invalid ones (CORE-AUTH-11), the oldest first in each kind."""

    __slots__ = ("_capacity", "_emit", "_expiries", "_invalid", "_last", "_valid")

    def __init__(self, emit: Callable[[Effect], None], capacity: int = CAPACITY) -> None:
        self._emit, self._capacity = emit, capacity
        self._valid: dict[str, Verdict] = {}
        self._invalid: dict[str, Verdict] = {}
        self._expiries = Timers()
        """Deadlines of :attr:`_valid` in seconds of UTC; asked only when there is no room."""
        self._last = 0

    def restore(self, rows: Rows) -> None:
        """Take up the rows of an earlier process, the oldest first; damaged ones are left aside."""
        found = [(row["n"], tag, row) for tag, row in rows.objects(TABLE, n=int, status=str)]
        for number, tag, row in sorted(found, key=lambda item: item[:2]):
            self._last = max(self._last, number)
            self._insert(tag, Verdict(row["status"], _text(row.get("parent")), _text(row.get("expiry"))))

    def __len__(self) -> int:
        return len(self._valid) + len(self._invalid)

    def get(self, id_tag: str) -> Verdict | None:
        """What the CSMS said last, as it said it; ``None`` for an unknown tag."""
        tag = folded(id_tag)
        return self._valid.get(tag) or self._invalid.get(tag)

    def put(self, id_tag: str, verdict: Verdict, utc_ms: int) -> None:
        """Learn what the CSMS says at ``utc_ms``. Effects: ``Discard`` of what makes room, ``Store`` if it is news."""
        tag = folded(id_tag)
        known = self._remove(tag)
        if known is None:
            self._make_room(utc_ms)
        self._insert(tag, verdict)
        if known == verdict:
            return  # the youngest again; the rows hear of that with the next change
        self._last += 1
        row = {
            "n": self._last,
            "status": verdict.status,
            "parent": verdict.parent_id_tag,
            "expiry": verdict.expiry_date,
        }
        self._emit(Store(TABLE, tag, dumps(row)))

    def forget(self, id_tag: str) -> None:
        """Drop one tag. Effects: ``Discard`` if it was there."""
        tag = folded(id_tag)
        if self._remove(tag) is not None:
            self._emit(Discard(TABLE, tag))

    def clear(self) -> None:
        """ClearCache. Effects: ``Discard`` of every row."""
        for tag in (*self._valid, *self._invalid):
            self._emit(Discard(TABLE, tag))
        self._valid.clear()
        self._invalid.clear()
        self._expiries = Timers()

    def _insert(self, tag: str, verdict: Verdict) -> None:
        if not verdict.is_accepted:
            self._invalid[tag] = verdict
            return
        self._valid[tag] = verdict
        if verdict.expiry_date is not None:
            self._expiries.set(tag, (expiry_ms(verdict.expiry_date) or 0) / 1000)

    def _remove(self, tag: str) -> Verdict | None:
        self._expiries.cancel(tag)
        return self._valid.pop(tag, None) or self._invalid.pop(tag, None)

    def _make_room(self, utc_ms: int) -> None:
        """CORE-AUTH-13: entries that are not valid go first, then the oldest valid ones."""
        if len(self) < self._capacity:
            return
        for name in self._expiries.expired(utc_ms / 1000):
            tag = str(name)
            self._invalid[tag] = self._valid.pop(tag)
        while len(self) >= self._capacity:
            self.forget(next(iter(self._invalid or self._valid)))


def _row(number: int, verdict: Verdict) -> bytes:
    return dumps(
        {"n": number, "status": verdict.status, "parent": verdict.parent_id_tag, "expiry": verdict.expiry_date}
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
