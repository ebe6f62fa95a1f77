"""Own CALLs: which one leaves next, the one in flight, its answer or the lack of one, and the durable queue.

Owns the single CALL that may be outstanding (OCPP-J 1.6 section 4.1.1), the ids of own CALLs (4.1.4), MessageTimeout
(errata 3.82), and the entries that must reach the CSMS (security white paper A04.FR.02; design reliability.md 4).
Must never decide *whether* the registration allows a CALL (``boot.py``) nor what an answer means (the asker's
``done``). An answer that matches nothing is dropped and counted, never kept.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal, Protocol

from orjson import dumps

from ocpphub import _native
from ocpphub.core.effects import Discard, Effect, Send, Store
from ocpphub.core.instant import Instant
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers

log = logging.getLogger("ocpphub.core")

TABLE: Final = "outbox"
MAX_ENTRIES: Final = 100_000
"""Durable entries of one charge point; a command that would go beyond is refused (reliability.md 3.5)."""
POISON_LINK_LOSSES: Final = 5
"""Links lost running while one entry is in flight, after which it goes aside (decisions.md 6)."""
ASIDE_RETRY_S: Final = 86_400.0
RETRY_LIMIT_S: Final = 3_600.0
UNKNOWN_TO_CSMS: Final = frozenset(("NotImplemented", "NotSupported"))

Gate = Literal["open", "triggered", "closed"]
"""What the registration allows: everything, only what TriggerMessage asked for, or BootNotification alone."""


@dataclass(slots=True)
class Outcome:
    """How an own CALL ended. ``confirmation`` is set for ``ok``, ``code`` and ``description`` for ``error``."""

    kind: Literal["ok", "error", "timeout", "link_lost"]
    confirmation: _native.CallResult | None = None
    code: str = ""
    description: str = ""


Done = Callable[[Outcome, Instant], None]


@dataclass(slots=True)
class OwnCall:
    """A CALL whose turn has come: ``done`` hears of its end exactly once."""

    action: str
    payload: Mapping[str, Any]
    done: Done


class Source(Protocol):
    """Something that has CALLs to make; asked in the order of registration whenever the link is free.

    ``waiting`` is one and the same container for ever, and empty when there is certainly nothing to send: most sources
    have nothing most of the time, and are not asked then.
    """

    @property
    def waiting(self) -> Sized: ...

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The CALL to send now, composed at this moment, or ``None``. A CALL handed over is no longer waiting."""
        ...


@dataclass(slots=True)
class Counters:
    """What came and went since the core was made; shown by metrics."""

    unexpected_answers: int = 0
    sent: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Own CALLs by the kind of their :class:`Outcome`."""


class Outbox:
    """The one CALL in flight of a connection and the sources it is taken from, most urgent first."""

    def __init__(self, emit: Callable[[Effect], None], timers: Timers, timeout_s: Callable[[], int], boot_id: str):
        self._emit, self._timers, self._timeout_s = emit, timers, timeout_s
        self._boot_id, self._number = boot_id, 0
        self._sources: list[tuple[Sized, Callable[[Gate, Instant], OwnCall | None]]] = []
        self._in_flight: OwnCall | None = None
        self._after_next: list[Effect | Callable[[], Effect]] = []
        self._dropped_at: deque[float] = deque(maxlen=101)
        self.pending: dict[str, str] = {}
        """Id -> action of the CALL in flight, as ``_native.decode`` wants it; at most one item."""
        self.counters = Counters()
        self.last_sent_s = float("-inf")
        """When an own CALL was last sent (OCPP 1.6 section 4.6: that may stand for a Heartbeat)."""

    def register(self, *sources: Source) -> None:
        """Add sources behind those already there."""
        self._sources += [(source.waiting, source.next_call) for source in sources]

    @property
    def is_busy(self) -> bool:
        """Whether an own CALL waits for its answer."""
        return self._in_flight is not None

    def pump(self, gate: Gate, now: Instant) -> None:
        """Send the next CALL if none is in flight. Effects: ``Send``, then what a finished entry left to discard."""
        while self._in_flight is None:
            for waiting, next_call in self._sources:
                if waiting and (call := next_call(gate, now)) is not None:
                    self._send(call, now)
                    break
            else:
                break
        # The Discard of the entry before goes behind the Send: one of them may be on its way to the disk while the
        # next CALL travels (decisions.md 6); the Send after it waits for that commit.
        if self._after_next:
            self.flush()

    def flush(self) -> None:
        """Emit what was held back for the next CALL: there will be none on this link."""
        for effect in self._after_next:
            self._emit(effect() if callable(effect) else effect)
        self._after_next.clear()

    def after_next(self, *effects: Effect | Callable[[], Effect]) -> None:
        """Emit what a finished entry leaves behind once the next CALL is on its way (decisions.md 6).

        A function gives an effect as late as that: the row of something that may change until then.
        """
        self._after_next += effects

    def _send(self, call: OwnCall, now: Instant) -> None:
        self._number += 1
        unique_id = f"{self._boot_id}-{self._number}"  # OCPP-J 1.6 section 4.1.4: never used twice, over restarts too
        try:
            frame = _native.encode_call(unique_id, call.action, call.payload)
        except ValueError:
            # Our own bug; it must not stop the calls behind it.
            log.exception("%s could not be encoded", call.action)
            call.done(Outcome("error", code="InternalError"), now)
            return
        self._in_flight = call
        self.pending[unique_id] = call.action
        self.last_sent_s = now.monotonic_s
        self.counters.sent += 1
        self._timers.set("call", now.monotonic_s + self._timeout_s())
        self._emit(Send(frame))

    def receive_result(self, result: _native.CallResult, now: Instant) -> bool:
        """A valid confirmation: ends the CALL that carries its id; any other is dropped (OCPP-J 4.1.4), and False."""
        if result.unique_id in self.pending:
            self._finish(Outcome("ok", result), now)
            return True
        self._drop(now)
        return False

    def receive_error(self, unique_id: str, code: str, description: str, now: Instant) -> None:
        """A CALLERROR, or a confirmation that breaks its PDU, for ``unique_id``."""
        if unique_id in self.pending:
            log.warning("%s was answered with %s", self.pending[unique_id], code)
            self._finish(Outcome("error", code=code, description=description), now)
        else:
            self._drop(now)

    def handle_timeout(self, now: Instant) -> None:
        """MessageTimeout is over: the CALL is closed, a late answer will be dropped (OCPP-J 4.1.1)."""
        if self._in_flight is not None:
            log.warning("%s was not answered within MessageTimeout", self._in_flight.action)
            self._finish(Outcome("timeout"), now)

    def disconnected(self, now: Instant) -> None:
        """The link is gone and with it the hope for an answer."""
        self._finish(Outcome("link_lost"), now)
        self.flush()

    def _finish(self, outcome: Outcome, now: Instant) -> None:
        call, self._in_flight = self._in_flight, None
        self.pending.clear()
        self._timers.cancel("call")
        if call is not None:
            self.counters.ended[outcome.kind] += 1
            call.done(outcome, now)

    def _drop(self, now: Instant) -> None:
        self.counters.unexpected_answers += 1
        self._dropped_at.append(now.monotonic_s)
        log.debug("an answer without a call was dropped")

    def floods(self, now: Instant) -> bool:
        """Whether more than 100 answers without a call came within the last minute (reliability.md T22)."""
        return len(self._dropped_at) > 100 and now.monotonic_s - self._dropped_at[0] < 60.0


@dataclass(slots=True)
class Entry:
    """One durable CALL. ``utc_ms`` is when it happened; ``trusted`` is false until the clock is known."""

    key: str
    action: str
    payload: dict[str, Any]
    utc_ms: int
    trusted: bool
    attempts: int = 0
    link_losses: int = 0
    size: int = 0

    def row(self) -> bytes:
        """The entry as the JSON text of its row."""
        return dumps(
            {"action": self.action, "payload": self.payload, "utc_ms": self.utc_ms, "trusted": self.trusted,
             "attempts": self.attempts}
        )  # fmt: skip


@dataclass(slots=True)
class DurableQueue:
    """Entries that are delivered, whatever happens to link and process, each on its own in the order they were made.

    ``stamp`` turns milliseconds into the text of the wire; ``retry_interval_s`` is TransactionMessageRetryInterval.
    """

    emit: Callable[[Effect], None]
    timers: Timers
    outbox: Outbox
    stamp: Callable[[int], str]
    retry_interval_s: Callable[[], int]
    _entries: dict[str, Entry] = field(default_factory=dict)
    waiting: deque[Entry] = field(default_factory=deque)
    """Those whose turn it is: see :class:`Source`."""
    _aside: set[str] = field(default_factory=set)
    _bytes: int = 0
    _last: int = 0
    changes: int = 0
    """Counts what changes :meth:`state`, so that nobody has to compare it after every message."""
    dropped: int = 0
    """Entries given up because the CSMS does not know their action; shown by metrics."""

    def restore(self, rows: Rows) -> None:
        """Take up the rows that an earlier process left, oldest first; none of them is in flight."""
        stored = rows.objects(TABLE, action=str, payload=dict, utc_ms=int, attempts=int)
        for key, data in stored:
            is_trusted = data.get("trusted") is not False
            entry = Entry(key, data["action"], data["payload"], data["utc_ms"], is_trusted, data["attempts"])
            self._admit(entry, len(entry.row()))
        # Also behind rows that were left aside: their keys are taken.
        self._last = max((int(key) for key in rows.of(TABLE) if key.isdecimal()), default=0)

    def put(self, action: str, payload: dict[str, Any], utc_ms: int, trusted: bool) -> None:
        """Make a CALL durable and queue it; ``timestamp`` joins the payload at its turn. Effects: ``Store``."""
        self._last += 1
        entry = Entry(f"{self._last:012d}", action, payload, utc_ms, trusted)
        value = entry.row()
        self._admit(entry, len(value))
        self.emit(Store(TABLE, entry.key, value))

    def _admit(self, entry: Entry, size: int) -> None:
        entry.size = size
        self._bytes += size
        self.changes += 1
        self._entries[entry.key] = entry
        self.waiting.append(entry)

    def shift_untrusted(self, by_ms: int) -> None:
        """The clock became known: times made before are corrected once (reliability.md 4.7). Effects: ``Store``."""
        for entry in self._entries.values():
            if not entry.trusted:
                entry.trusted = True
                if by_ms:
                    entry.utc_ms += by_ms
                    self.changes += 1
                    self.emit(Store(TABLE, entry.key, entry.row()))

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest entry that is not waiting for its retry."""
        if gate != "open" or not self.waiting:
            return None
        entry = self.waiting.popleft()
        payload = {**entry.payload, "timestamp": self.stamp(entry.utc_ms)}
        return OwnCall(entry.action, payload, lambda outcome, at: self._done(entry, outcome, at))

    def _done(self, entry: Entry, outcome: Outcome, now: Instant) -> None:
        if outcome.kind == "link_lost":
            self._requeue_after_lost_link(entry, now)
        elif outcome.kind == "ok":
            self._remove(entry)
        elif outcome.code in UNKNOWN_TO_CSMS:
            log.warning("the CSMS does not know %s: one message is dropped", entry.action)
            self.dropped += 1
            self._remove(entry)
        else:
            entry.attempts += 1
            entry.link_losses = 0
            self.emit(Store(TABLE, entry.key, entry.row()))
            # OCPP 1.6 section 3.7.1: wait interval x preceding attempts; never given up, hence the upper bound.
            wait_s = min(max(self.retry_interval_s(), 1) * entry.attempts, RETRY_LIMIT_S)
            self.timers.set(("retry", entry.key), now.monotonic_s + wait_s)

    def _requeue_after_lost_link(self, entry: Entry, now: Instant) -> None:
        entry.link_losses += 1
        if entry.link_losses < POISON_LINK_LOSSES:
            self.waiting.appendleft(entry)
            return
        log.error("%s went aside: the link was lost %d times under it", entry.action, entry.link_losses)
        entry.link_losses = 0
        self._aside.add(entry.key)
        self.changes += 1
        self.timers.set(("retry", entry.key), now.monotonic_s + ASIDE_RETRY_S)

    def _remove(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self._bytes -= entry.size
        self.changes += 1
        self.outbox.after_next(Discard(TABLE, entry.key))

    def handle_retry(self, key: str) -> None:
        """The wait of entry ``key`` is over."""
        self._aside.discard(key)
        self.changes += 1
        if key in self._entries:
            self.waiting.append(self._entries[key])

    def retry(self, key: str, now: Instant) -> bool:
        """Try an entry that waits for its retry or went aside; false when no entry of this key waits so."""
        is_waiting = self.timers.deadline(("retry", key)) is not None
        if is_waiting:
            self.timers.set(("retry", key), now.monotonic_s)
        return is_waiting

    def rows(self, limit: int) -> list[dict[str, Any]]:
        """The oldest entries for ``outbox.list``: id, action, time, attempts and ``state``."""
        return [
            {
                "id": entry.key,
                "action": entry.action,
                "at": self.stamp(entry.utc_ms),
                "attempts": entry.attempts,
                "state": self._state_of(entry),
            }
            for entry in islice(self._entries.values(), limit)
        ]

    def _state_of(self, entry: Entry) -> str:
        if entry.key in self._aside:
            return "aside"
        return "waiting" if self.timers.deadline(("retry", entry.key)) is None else "retry"

    @property
    def is_ready(self) -> bool:
        """Whether an entry could be sent at once."""
        return bool(self.waiting)

    @property
    def is_full(self) -> bool:
        """Whether :data:`MAX_ENTRIES` are waiting."""
        return len(self._entries) >= MAX_ENTRIES

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest entry was made, milliseconds since 1970."""
        oldest = next(iter(self._entries.values()), None)
        return None if oldest is None else oldest.utc_ms

    def state(self) -> dict[str, Any]:
        """``{"messages", "bytes", "oldest", "aside"}`` of ``charge_point.get`` (rpc.md)."""
        oldest_ms = self.oldest_ms
        return {
            "messages": len(self._entries),
            "bytes": self._bytes,
            "oldest": None if oldest_ms is None else self.stamp(oldest_ms),
            "aside": len(self._aside),
        }


@dataclass(slots=True)
class PromptQueue:
    """CALLs that somebody waits for, in the order they were asked: DataTransfer, triggered Heartbeat and so on."""

    waiting: deque[tuple[OwnCall, bool]] = field(default_factory=deque)

    def put(self, call: OwnCall, *, triggered: bool = False) -> None:
        """Queue a CALL; ``triggered`` ones are allowed while the registration is Pending (OCPP 1.6 section 4.2)."""
        self.waiting.append((call, triggered))

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The oldest CALL that the gate lets through."""
        if gate == "closed" or not self.waiting:
            return None
        if gate == "open":
            return self.waiting.popleft()[0]
        for index, (call, triggered) in enumerate(self.waiting):
            if triggered:
                del self.waiting[index]
                return call
        return None

    def clear(self, now: Instant) -> None:
        """End all waiting CALLs as if the link were lost: nobody keeps them for later."""
        waiting = [*self.waiting]
        self.waiting.clear()
        for call, _ in waiting:
            call.done(Outcome("link_lost"), now)

    def __len__(self) -> int:
        return len(self.waiting)
