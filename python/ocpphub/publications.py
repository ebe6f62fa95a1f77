"""What a charge point has published: its stream and sequence, the latest values, and the events of the last minute.

Owns the topics that exist, the numbering of events, the ring a reconnecting client resumes from, and who listens.
Must never wait for a listener, parse a value without need, or hold more than its named bounds.

Implements: design rpc.md "Interface variables" (subscribe, snapshot, since, topics).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import takewhile
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

import orjson

from ocpphub.core.instant import Instant

log = logging.getLogger("ocpphub.rpc")

RING_EVENTS: Final = 10_000
RING_AGE_S: Final = 60.0
RING_BYTES: Final = 8 * 2**20
"""Bounds of the ring per topic; the bytes keep a flood of ``ocpp.message`` or large states from filling the memory."""
_FEW: Final = 64
_SEARCHES: Final = 200
"""Schedules found one by one before a publication is cut up; at 10,000 connectors both cost about the same then."""
_BETWEEN: Final = b']},"'
_LAST: Final = b"]}}"
MAX_WAITING_EVENTS: Final = 1000
"""Events of one ``async for`` that may wait for a slow reader; state topics keep the latest value only."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: of a state, a slow reader gets only the latest value (per connector).

    An ``on_demand`` one is published only while somebody listens, so the ring of it begins with its first listener.
    """

    name: str
    state: bool
    per_connector: bool = False
    operator_only: bool = False
    on_demand: bool = False


TOPICS: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        Topic("is_connected", state=True),
        Topic("charging_schedules", state=True),
        Topic("configuration_key", state=False),
        Topic("security_event", state=False),
        Topic("connector.status", state=True, per_connector=True),
        Topic("connector.permit", state=True, per_connector=True),
        Topic("transaction", state=False, per_connector=True),
        Topic("connector.schedule", state=True, per_connector=True, on_demand=True),
        Topic("charge_point.status", state=True),
        Topic("transfer", state=False),
        Topic("ocpp.message", state=False, operator_only=True, on_demand=True),
    )
}
VARIABLES: Final = ("is_connected", "charging_schedules", "configuration_key", "security_event")
"""The published interface's variables; each is a topic of the same name."""


class ConnectorFilter(Protocol):
    """A set of connector ids that narrows a subscription."""

    def __contains__(self, connector_id: int, /) -> bool: ...
    def __iter__(self) -> Iterator[int]: ...
    def __len__(self) -> int: ...


class Schedules:
    """A value of ``charging_schedules``, from which the schedules of some connectors are wanted, perhaps many times.

    The engine writes ``"0"`` to ``"N"`` in order, each ending in its list of periods. In such a text a few connectors
    are found by bisection; after :data:`_SEARCHES` of them it is cut into pieces, once. Any other text is parsed.
    """

    __slots__ = ("_cut", "_parsed", "_searches", "_value")

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._searches = 0
        self._cut: list[bytes] = []
        self._parsed: dict[int, bytes] | None = None
        if not (value.startswith(b'{"0":{') and value.endswith(_LAST)):
            self._parsed = {int(key): orjson.dumps(schedule) for key, schedule in orjson.loads(value).items()}

    def of(self, connectors: ConnectorFilter) -> bytes:
        """The object as JSON text with the schedules of these connectors only, as far as they exist."""
        if self._parsed is not None:
            pieces = [b'"%d":%b' % (key, schedule) for key, schedule in self._parsed.items() if key in connectors]
        elif self._cut or self._searches + len(connectors) > _SEARCHES:
            pieces = self._pieces(connectors)
        else:
            self._searches += len(connectors)
            pieces = [piece for connector_id in connectors if (piece := self._piece(connector_id))]
        return b"{%b}" % b",".join(pieces)

    def _pieces(self, connectors: ConnectorFilter) -> list[bytes]:
        if not self._cut:
            self._cut = self._value[2 : -len(_LAST)].split(_BETWEEN)
        cut = self._cut
        if len(connectors) < len(cut):
            return [b'"%b]}' % cut[key] for key in connectors if key < len(cut)]
        return [b'"%b]}' % piece for key, piece in enumerate(cut) if key in connectors]

    def _piece(self, connector_id: int) -> bytes:
        """``"7":{...}``, nothing when there is no such connector."""
        text, low, high = self._value, 1, len(self._value)
        while low < high:
            # The entry at low is the wanted one or before it; one that ends at high or later is behind it.
            middle = (low + high) // 2
            at = text.find(_BETWEEN, middle, high + len(_BETWEEN) - 1)
            begin = at + len(_BETWEEN)
            if at < 0 or int(text[begin : text.index(b'"', begin)]) > connector_id:
                high = middle
            else:
                low = begin - 1
        end = text.find(_BETWEEN, low)
        is_it = text.startswith(b'"%d":' % connector_id, low)
        return text[low : len(text) - 1 if end < 0 else end + 2] if is_it else b""


class Event:
    """One publication; ``value`` is JSON text, ``text`` the whole event's members, made once for all who read it."""

    __slots__ = ("_head", "_parts", "_text", "connector_id", "monotonic_s", "seq", "timestamp", "topic", "value")

    def __init__(self, head: bytes, seq: int, topic: Topic, value: bytes, connector_id: int | None, now: Instant):
        self.seq = seq
        self.topic = topic
        self.value = value
        self.connector_id = connector_id
        self.monotonic_s = now.monotonic_s
        self.timestamp = rfc3339(now.utc_ms)
        self._head = head
        self._text: bytes | None = None
        self._parts: Schedules | None = None

    def text(self, connectors: ConnectorFilter | None = None) -> bytes:
        """``"stream":...,"value":...``: the members of the event, its value narrowed to the filter's connectors."""
        if connectors is not None and self.topic.name == "charging_schedules":
            return self._members(self.narrowed(connectors))
        if self._text is None:
            self._text = self._members(self.value)
        return self._text

    def narrowed(self, connectors: ConnectorFilter | None) -> bytes:
        """The value as JSON text; of ``charging_schedules`` only the connectors of the filter."""
        if connectors is None or self.topic.name != "charging_schedules":
            return self.value
        # Taken apart once: each of ten thousand controllers may have a filter of its own.
        if self._parts is None:
            self._parts = Schedules(self.value)
        return self._parts.of(connectors)

    def parsed(self) -> Any:
        """The value as Python objects."""
        return orjson.loads(self.value)

    def shrink(self) -> None:
        """Give up what was made for readers: a newer event has come, this one is only kept for those who resume."""
        self._text = self._parts = None

    def _members(self, value: bytes) -> bytes:
        return b'%b"seq":%d,"topic":"%b","timestamp":"%b","value":%b' % (
            self._head,
            self.seq,
            self.topic.name.encode(),
            self.timestamp.encode(),
            value,
        )


Listener = Callable[[Event], None]


class _Ring:
    """The last events of one topic. One for each, so that a flood of one topic loses no event of another."""

    __slots__ = ("_bytes", "events", "lost_seq")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.lost_seq = 0
        """The newest event that is gone."""
        self._bytes = 0

    def append(self, event: Event) -> None:
        self.events.append(event)
        self._bytes += len(event.value)
        self.trim(event.monotonic_s)

    def trim(self, now_s: float) -> None:
        events = self.events
        oldest_s = now_s - RING_AGE_S
        while events and (len(events) > RING_EVENTS or self._bytes > RING_BYTES or events[0].monotonic_s < oldest_s):
            lost = events.popleft()
            self._bytes -= len(lost.value)
            self.lost_seq = lost.seq


class Publications:
    """The publications of one charge point: a sink of the driver, a source of subscriptions and variables."""

    def __init__(self, identity: str, clock: Callable[[], Instant], stream: str | None = None) -> None:
        self.identity = identity
        self.stream = stream or secrets.token_hex(8)
        self.seq = 0
        self.now = clock
        self.on_interest: Callable[[str, bool], None] = lambda topic, wanted: None
        """Told when a topic gets its first listener, and when it has lost the last one."""
        self._head = b'"stream":%b,"charge_point":%b,' % (orjson.dumps(self.stream), orjson.dumps(identity))
        self._latest: dict[tuple[str, int | None], Event] = {}
        self._rings = {topic: _Ring() for topic in TOPICS}
        self._listeners: dict[tuple[str, int | None], dict[int, Listener]] = {}
        self._interest: Counter[str] = Counter()
        self._tickets = 0

    def publish(self, topic: str, value: bytes, connector_id: int | None = None) -> None:
        """Number the value, keep it as the latest of its topic (and connector) and tell the listeners.

        ``value`` is JSON text. An unknown topic raises ``KeyError``: the core and this table disagree.
        """
        kind = TOPICS[topic]
        self.seq += 1
        event = Event(self._head, self.seq, kind, value, connector_id, self.now())
        key = topic, connector_id if kind.per_connector else None
        if (former := self._latest.get(key)) is not None:
            former.shrink()
        self._latest[key] = event
        self._rings[topic].append(event)
        self._tell(self._listeners.get((topic, None)), event)
        if connector_id is not None:
            self._tell(self._listeners.get((topic, connector_id)), event)

    def latest(self, topic: str, connector_id: int | None = None) -> Event | None:
        """The newest event of a topic (of one connector where the topic has one), or ``None`` before the first."""
        return self._latest.get((topic, connector_id))

    def snapshot(self, topic: str, connectors: ConnectorFilter | None = None) -> orjson.Fragment | None:
        """The value of a topic that is not per connector, as of ``seq``; ``None`` before its first publication."""
        event = self._latest.get((topic, None))
        return None if event is None else orjson.Fragment(event.narrowed(connectors))

    def since(self, stream: str, seq: int, topics: Iterable[str]) -> list[Event] | None:
        """The events of ``topics`` that a client which has seen ``seq`` of ``stream`` has missed, oldest first.

        ``None`` when one of them is gone from the ring: then only a snapshot helps.
        """
        if stream != self.stream or seq > self.seq:
            return None
        now_s = self.now().monotonic_s
        missed: list[Event] = []
        for topic in topics:
            ring = self._rings[topic]
            ring.trim(now_s)
            if seq < ring.lost_seq:
                return None
            missed += takewhile(lambda event: event.seq > seq, reversed(ring.events))
        return sorted(missed, key=attrgetter("seq"))

    def listen(self, topic: str, listener: Listener, connectors: ConnectorFilter | None = None) -> Callable[[], None]:
        """Call ``listener`` with every event of the topic from now on; the returned function ends that.

        A filter of few connectors is indexed: one connector's event must not visit ten thousand clients.
        """
        ids: list[int | None] = [None]
        call = listener
        if connectors is not None and TOPICS[topic].per_connector:
            if len(connectors) <= _FEW:
                ids = list(connectors)
            else:
                call = _filtered(listener, connectors)
        self._tickets += 1
        ticket = self._tickets
        for connector_id in ids:
            self._listeners.setdefault((topic, connector_id), {})[ticket] = call
        self._interest[topic] += 1
        if self._interest[topic] == 1:
            if TOPICS[topic].on_demand:
                # What happened while nobody listened was not published: nobody can resume from before this moment,
                # which has a number of its own, so that this listener can.
                self.seq += 1
                self._rings[topic].lost_seq = self.seq
            self.on_interest(topic, True)
        return partial(self._stop, topic, ids, ticket)

    def _stop(self, topic: str, ids: list[int | None], ticket: int) -> None:
        was_listening = False
        for connector_id in ids:
            listeners = self._listeners.get((topic, connector_id), {})
            was_listening |= listeners.pop(ticket, None) is not None
            if not listeners:
                self._listeners.pop((topic, connector_id), None)
        if was_listening:
            self._interest[topic] -= 1
            if self._interest[topic] == 0:
                self.on_interest(topic, False)

    def _tell(self, listeners: dict[int, Listener] | None, event: Event) -> None:
        if not listeners:
            return
        for listener in tuple(listeners.values()):
            try:
                listener(event)
            except Exception:
                # One listener's bug must not keep the event from the others, nor stop the driver.
                log.exception("a listener of %s failed", event.topic.name)


class Variable(Generic[T]):
    """A published variable: its last value, and every later one for those who ask.

    ``async for value in variable`` yields the values published from then on, until the hub stops; a slow reader of a
    state sees the latest value only, of events it may leave :data:`MAX_WAITING_EVENTS` waiting.
    """

    def __init__(self, name: str, publications: Publications) -> None:
        self.name = name
        self._publications = publications
        self._parsed: tuple[Event, T] | None = None
        self._readers: weakref.WeakSet[_Values[T]] = weakref.WeakSet()

    @property
    def value(self) -> T | None:
        """The last published value, ``None`` before the first."""
        event = self._publications.latest(self.name)
        return None if event is None else self._value(event)

    @property
    def timestamp(self) -> str | None:
        """When it was published (RFC 3339, UTC), ``None`` before the first."""
        event = self._publications.latest(self.name)
        return None if event is None else event.timestamp

    def subscribe(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call ``callback`` on the loop's thread with every value published from now on, until ``unsubscribe()``."""
        return self._publications.listen(self.name, lambda event: callback(self._value(event)))

    def __aiter__(self) -> AsyncIterator[T]:
        reader = _Values(self.name, self._publications, self._value)
        self._readers.add(reader)
        return reader

    def end(self) -> None:
        """End every ``async for``; the hub has stopped."""
        for reader in tuple(self._readers):
            reader.end()

    def _value(self, event: Event) -> T:
        if self._parsed is None or self._parsed[0] is not event:
            self._parsed = (event, event.parsed())
        return self._parsed[1]


class _Values(AsyncIterator[T]):
    """One ``async for`` over a variable."""

    def __init__(self, name: str, publications: Publications, value: Callable[[Event], T]) -> None:
        limit = 1 if TOPICS[name].state else MAX_WAITING_EVENTS
        waiting: deque[Event] = deque(maxlen=limit)
        self._waiting = waiting
        self._news = news = asyncio.Event()
        self._value = value
        self._ended = False

        # The listener must not hold the iterator: a loop that was left by `break` ends with its iterator.
        def receive(event: Event) -> None:
            if len(waiting) == limit > 1:
                log.warning("a reader of %s is too slow: an event is lost", name)
            waiting.append(event)
            news.set()

        weakref.finalize(self, publications.listen(name, receive))

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._value(self._waiting.popleft())


@lru_cache(maxsize=16)
def rfc3339(utc_ms: int) -> str:
    """UTC milliseconds since 1970 as RFC 3339 text with milliseconds."""
    return datetime.fromtimestamp(utc_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _filtered(listener: Listener, connectors: ConnectorFilter) -> Listener:
    def call(event: Event) -> None:
        if event.connector_id is None or event.connector_id in connectors:
            listener(event)

    return call
