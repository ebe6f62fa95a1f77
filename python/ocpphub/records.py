"""The list of sessions: the archive on disk and the transactions that are not in it yet, as one.

Owns the order, the filters and the pages of ``transaction.list``. Must never read the disk itself, nor change a record:
the core has written it as it is told.

Implements: design rpc.md ``transaction.list``; reliability.md 4.4 (the record is kept for export).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from ocpphub.errors import UnavailableError
from ocpphub.store import Page, Query, Store

MAX_SESSIONS: Final = 1_000
"""Sessions of one page."""


Answer = Callable[[Any, Exception | None], None]


class Live(Protocol):
    """A transaction of the core that is not in the archive yet."""

    @property
    def session_id(self) -> int: ...
    @property
    def connector_id(self) -> int: ...
    @property
    def start_ms(self) -> int: ...
    def record(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sessions: begun from ``since_ms`` on and before ``until_ms``, of these connectors, not all delivered.

    ``connectors`` are ranges with both ends, ``None`` for all. A page has sessions behind ``after``, at most ``limit``.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    connectors: tuple[tuple[int, int], ...] | None = None
    undelivered: bool = False
    after: int = 0
    limit: int = MAX_SESSIONS

    def query(self, charge_point: str) -> Query:
        """The part that the archive answers."""
        bounds = (self.since_ms, self.until_ms, self.connectors, self.undelivered)
        return Query(charge_point, *bounds, self.after, self.limit)

    def has(self, live: Live) -> bool:
        """Whether a transaction that is not in the archive is one of them; the CSMS lacks something of each."""
        return (
            live.session_id > self.after
            and (self.since_ms is None or live.start_ms >= self.since_ms)
            and (self.until_ms is None or live.start_ms < self.until_ms)
            and (self.connectors is None or _within(live.connector_id, self.connectors))
        )

    def read(
        self, store: Store, charge_point: str, reply: Answer, live: Iterable[Live], error: Exception | None
    ) -> None:
        """Read the archive behind the transactions that were ``live`` before, and reply with the page of both.

        ``error`` is why these are not known; ``reply`` is called once, later.
        """
        if error is not None:
            reply(None, error)
            return

        def done(archived: Page | None, failure: BaseException | None) -> None:
            if archived is None:
                reply(None, UnavailableError("internal", str(failure)))
            else:
                reply(orjson.Fragment(self.page(live, archived)), None)

        store.archive(self.query(charge_point), done)

    def page(self, live: Iterable[Live], archived: Page) -> bytes:
        """JSON text of the answer: ``{"transactions": [...], "cursor"?: text}``, by session id.

        ``live`` must be as old as the archive that was read, or older: what has moved there since is taken from there.
        """
        found = {session.session_id: session for session in live if self.has(session)}
        stored = dict(archived.sessions)
        numbers = sorted(found.keys() | stored.keys())
        if archived.has_more:  # behind its last one there are others that were not read
            last = archived.sessions[-1][0]
            numbers = [number for number in numbers if number <= last]
        shown = numbers[: self.limit]
        has_more = archived.has_more or len(numbers) > len(shown)
        texts = [stored.get(number) or orjson.dumps(found[number].record()) for number in shown]
        cursor = b',"cursor":"%d"' % shown[-1] if has_more else b""
        return b'{"transactions":[%b]%b}' % (b",".join(texts), cursor)


def _within(connector_id: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= connector_id <= last for first, last in ranges)
