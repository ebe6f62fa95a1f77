"""The numbers of a hub for Prometheus: the table of them, and how they are read.

Owns the table (name, type, labels, meaning), the histograms, and a timer for the lag of the loop. Must never change a
core, label a connector, or show an id tag, a key or a payload. A scrape looks at each connector once, and gives the
loop a turn after every slice of connectors and of lines.

Implements: performance.md P6 (scrape); style.md "Logging" (a metric for every limit); decisions.md 5 (allocation).
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ocpphub import __version__

if TYPE_CHECKING:
    from ocpphub.allocator import Allocator
    from ocpphub.api import Hub
    from ocpphub.core.cap import Cap
    from ocpphub.core.statistics import Statistics
    from ocpphub.rpc.server import Server

LAG_INTERVAL_S: Final = 1.0
"""How often the lag of the loop is measured."""
SLICE: Final = 200
"""Lines that are written in one turn of the loop."""
CONNECTORS_IN_TURN: Final = 10_000
"""Connectors whose charge points are read in one turn of the loop; the last one is read whole."""
POINTS_IN_TURN: Final = 32
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_ROWS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0)

Labels = tuple[str, ...]
Sample = tuple[Labels, Any]
"""Values of the labels, and a number or a :class:`Histogram`."""


class Histogram:
    """Counts of observed values by upper bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = (*bounds, inf)
        self._counts = [0] * len(self._bounds)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound as text, and how many values were not above it."""
        names = ["+Inf" if bound == inf else str(bound) for bound in self._bounds]
        return list(zip(names, accumulate(self._counts), strict=True))


class Point(NamedTuple):
    """A charge point as it is read for a scrape."""

    identity: str
    core: Statistics
    connections: int
    received: int
    sent: int
    is_paused: bool


class Limit(NamedTuple):
    """A limit of the allocation as it is read for a scrape."""

    cap: Cap
    shortfall_s: float


class Whole(NamedTuple):
    """What there is once in a process, as it is read for a scrape."""

    metrics: Metrics
    servers: Sequence[Server]
    counters: Counter[str]
    """Of all servers together."""
    turns: int
    held: Mapping[str, int]
    waiting: int
    is_short: bool


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. ``read`` takes what its scope has (a :class:`Point`, :class:`Limit` or :class:`Whole`).

    It gives a number or a :class:`Histogram`, ``None`` for no sample; with ``label`` a mapping from its values.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    read: Callable[[Any], Any]
    label: str = ""


def _core(name: str) -> Callable[[Point], Any]:
    return attrgetter(f"core.{name}")


def _counted(name: str) -> Callable[[Whole], int]:
    return lambda whole: whole.counters[name]


def _sum(read: Callable[[Server], int]) -> Callable[[Whole], int]:
    return lambda whole: sum(map(read, whole.servers))


def _thousandth(value: int | None) -> float | None:
    return None if value is None else value / 1000


POINT: Final = (
    Metric("ocpphub_link_up", "gauge", "1 while the WebSocket to the CSMS is open.", _core("is_connected")),
    Metric(
        "ocpphub_link_connections_total", "counter", "How often the link has opened.", attrgetter("connections")
    ),
    Metric("ocpphub_link_failed_attempts_total", "counter", "Attempts to connect that failed.",
           _core("failed_attempts")),
    Metric("ocpphub_link_paused", "gauge",
           "1 while the link is not read from: too many CALLs of the CSMS wait, or too much waits for the disk.",
           attrgetter("is_paused")),
    Metric("ocpphub_stopped", "gauge", "1 while OCPP is stopped by the command stop.", _core("is_stopped")),
    Metric("ocpphub_registration", "gauge", "1 for the registration that the charge point has.",
           _core("registration"), "status"),
    Metric("ocpphub_queue_messages", "gauge", "Messages on disk that the CSMS has not confirmed.", _core("messages")),
    Metric("ocpphub_queue_bytes", "gauge", "Bytes of the rows of these messages.", _core("queue_bytes")),
    Metric("ocpphub_queue_oldest_age_seconds", "gauge", "Age of the oldest of these messages, 0 without any.",
           _core("oldest_age_s")),
    Metric("ocpphub_queue_aside_messages", "gauge", "Messages put aside because links were lost under them.",
           _core("aside")),
    Metric("ocpphub_queue_samples_lost_total", "counter",
           "Meter samples given up: thinned at the bound of the queue, or dropped because the CSMS did not take them.",
           _core("samples_lost"), "reason"),
    Metric("ocpphub_queue_messages_lost_total", "counter",
           "Messages other than samples given up after all attempts, or not known to the CSMS.",
           _core("messages_lost")),
    Metric("ocpphub_connectors", "gauge", "Connectors by status.", _core("connectors"), "status"),
    Metric("ocpphub_transactions_running", "gauge", "Connectors with a running transaction.", _core("running")),
    Metric("ocpphub_sessions_started_total", "counter", "Transactions that have begun.", _core("started")),
    Metric("ocpphub_sessions_ended_total", "counter", "Transactions that have ended.", _core("ended")),
    Metric("ocpphub_frames_received_total", "counter", "Messages of the CSMS.", attrgetter("received")),
    Metric("ocpphub_frames_sent_total", "counter", "Messages to the CSMS.", attrgetter("sent")),
    Metric("ocpphub_frames_refused_total", "counter",
           "Messages of the CSMS that broke a rule, by the error code of that rule.", _core("violations"), "code"),
    Metric("ocpphub_frames_ignored_total", "counter", "Valid messages of the CSMS that led to nothing.",
           _core("ignored"), "reason"),
    Metric("ocpphub_calls_sent_total", "counter", "CALLs to the CSMS.", _core("sent")),
    Metric("ocpphub_calls_ended_total", "counter", "CALLs to the CSMS that have ended, by how.",
           _core("outcomes"), "outcome"),
    Metric("ocpphub_calls_received_total", "counter", "Valid CALLs of the CSMS.", _core("received")),
    Metric("ocpphub_call_errors_sent_total", "counter", "CALLERRORs to the CSMS, by code.", _core("refused"), "code"),
    Metric("ocpphub_certificate_expiry_seconds", "gauge",
           "Until the first certificate of a type ends, negative when it has; absent without any.",
           _core("certificate_expiry_s"), "type"),
)  # fmt: skip
"""Label ``charge_point``. What the core counts begins anew when the charge point is reset."""
LIMIT: Final = (
    Metric("ocpphub_limit_amperes", "gauge", "The limit per phase; absent where it is none in amperes.",
           lambda limit: _thousandth(limit.cap.effective.milliamperes)),
    Metric("ocpphub_limit_watts", "gauge", "The limit in watts; absent where it is none in watts.",
           lambda limit: _thousandth(limit.cap.effective.milliwatts)),
    Metric("ocpphub_limit_claimed_amperes", "gauge", "What may be drawn beneath it, of the phase that has most.",
           attrgetter("cap.claimed_a")),
    Metric("ocpphub_limit_claimed_watts", "gauge", "What may be drawn beneath it.", attrgetter("cap.claimed_w")),
    Metric("ocpphub_limit_shortfall_seconds_total", "counter",
           "For how long more may have been drawn than the limit allows.", attrgetter("shortfall_s")),
)  # fmt: skip
"""Labels ``kind`` (``charge_point`` or ``feeder``) and ``limit``, its name."""
WHOLE: Final = (
    Metric("ocpphub_allocation_turns_total", "counter", "Turns that have ended, among those who wait for a share.",
           attrgetter("turns")),
    Metric("ocpphub_allocation_connectors_held", "gauge",
           "Connectors that cannot be told a permit, by why; they count with what they may draw.",
           attrgetter("held"), "reason"),
    Metric("ocpphub_allocation_connectors_waiting", "gauge", "Connectors that wait for their turn or for room.",
           attrgetter("waiting")),
    Metric("ocpphub_commit_seconds", "histogram", "Time from the begin of a commit until it is on disk.",
           attrgetter("metrics.commit_seconds")),
    Metric("ocpphub_commit_rows", "histogram", "Rows of a commit.", attrgetter("metrics.commit_rows")),
    Metric("ocpphub_store_short", "gauge", "1 while new sessions are refused because the disk is full or failing.",
           attrgetter("is_short")),
    Metric("ocpphub_rpc_clients", "gauge", "Clients of the sockets.", _sum(lambda server: len(server.connections))),
    Metric("ocpphub_rpc_requests_total", "counter", "Requests of clients.", _sum(attrgetter("requests"))),
    Metric("ocpphub_rpc_unread_bytes", "gauge", "Output that clients have not read.",
           _sum(attrgetter("unread.bytes"))),
    Metric("ocpphub_rpc_denied_total", "counter", "Requests refused for want of a role.", _counted("denied")),
    Metric("ocpphub_rpc_notification_errors_total", "counter", "Notifications that failed, which nobody was told.",
           _counted("notification_errors")),
    Metric("ocpphub_rpc_late_answers_total", "counter", "Answers of clients that nobody waited for.",
           _counted("late_answers")),
    Metric("ocpphub_rpc_rate_limited_total", "counter", "Requests beyond what a client may make in a minute.",
           _sum(attrgetter("rate.refused"))),
    Metric("ocpphub_rpc_connections_refused_total", "counter",
           "Clients turned away: too many, or without credentials.", _counted("refused")),
    Metric("ocpphub_rpc_clients_cut_total", "counter", "Clients cut because they left too much unread.",
           _counted("cut")),
    Metric("ocpphub_rpc_clients_paused_total", "counter",
           "How often a client was not read from because too many of its requests were under way.",
           _counted("paused")),
    Metric("ocpphub_rpc_lines_too_large_total", "counter", "Lines beyond max_line_bytes.", _counted("too_large")),
    Metric("ocpphub_rpc_events_dropped_total", "counter", "Events that slow clients were not told.",
           _sum(attrgetter("unread.dropped"))),
    Metric("ocpphub_scrapes_refused_total", "counter",
           "Scrapes turned away: too many were under way, or too many connections open.",
           attrgetter("metrics.refused")),
    Metric("ocpphub_loop_lag_seconds", "histogram", "How late the loop came to a timer of one second.",
           attrgetter("metrics.loop_lag")),
    Metric("ocpphub_build_info", "gauge", "1; the label says which version runs.", lambda _: {__version__: 1},
           "version"),
    Metric("process_start_time_seconds", "gauge", "When the process began, in seconds since 1970.",
           attrgetter("metrics.started_s")),
    Metric("process_cpu_seconds_total", "counter", "User and system time of the process.",
           lambda _: time.process_time()),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory of the process.", lambda _: _resident_bytes()),
    Metric("process_max_fds", "gauge", "File descriptors that the process may have.",
           lambda _: resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
)  # fmt: skip
"""No label of a scope: what there is once in a process."""
SCOPES: Final[tuple[tuple[Labels, tuple[Metric, ...]], ...]] = (
    (("charge_point",), POINT),
    (("kind", "limit"), LIMIT),
    ((), WHOLE),
)
"""The labels of each scope, and its metrics."""


class Metrics:
    """Reads a hub and the servers of its sockets. Use it on the hub's loop.

    ``clock`` gives monotonic seconds; the loop's own time may be as old as its turn, and counts milliseconds.
    """

    def __init__(self, hub: Hub, servers: Sequence[Server], clock: Callable[[], float] = time.monotonic) -> None:
        self._hub, self._servers, self._clock = hub, servers, clock
        self.commit_seconds, self.commit_rows = Histogram(_SECONDS), Histogram(_ROWS)
        self.loop_lag = Histogram(_SECONDS)
        self.started_s = _started_s()
        self.refused = 0
        """Scrapes that were turned away; counted by whoever serves them."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """The hub has started: observe its commits and its loop."""
        if self._hub.driver is not None:
            self._hub.driver.on_commit = self._committed
        self._due(loop)

    def close(self) -> None:
        """The hub stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._hub.driver is not None:
            self._hub.driver.on_commit = None

    def _committed(self, seconds: float, rows: int) -> None:
        self.commit_seconds.observe(seconds)
        self.commit_rows.observe(rows)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LAG_INTERVAL_S, self._tick, loop, self._clock() + LAG_INTERVAL_S)

    def _tick(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self.loop_lag.observe(max(0.0, self._clock() - due_s))
        self._due(loop)

    async def scrape(self) -> bytes:
        """All numbers in Prometheus's text format 0.0.4; of a hub that is down those of the process only."""
        points, limits, whole = await self._read()
        read: tuple[Iterable[tuple[Labels, Any]], ...] = (
            [((each.identity,), each) for each in points],
            [(_named(each.cap), each) for each in limits],
            [((), whole)],
        )
        text, lines = bytearray(), 0
        for (labels, metrics), sources in zip(SCOPES, read, strict=True):
            for metric in metrics:
                names = (*labels, metric.label) if metric.label else labels
                for part in _parts(_samples(metric, sources)):
                    text += _lines(metric, names, *part)
                    lines += len(part[0])
                    if lines >= SLICE:
                        lines = 0
                        await asyncio.sleep(0)
        return bytes(text)

    async def _read(self) -> tuple[list[Point], list[Limit], Whole]:
        points: list[Point] = []
        connectors = 0
        for identity, point in self._hub.charge_points.items():
            driver = self._hub.driver
            if driver is None:
                break
            points.append(Point(identity, point.core.statistics(point.now()), *driver.traffic(identity)))
            connectors += point.connector_count
            if connectors >= CONNECTORS_IN_TURN or not len(points) % POINTS_IN_TURN:
                connectors = 0
                await asyncio.sleep(0)
        allocator = self._hub.allocator if self._hub.driver is not None else None
        held, waiting = _permits(allocator)
        counters = sum((server.counters for server in self._servers), Counter[str]())
        caps = () if allocator is None else allocator.allocation.caps
        return (
            points,
            [Limit(cap, allocator.shortfall_s(index)) for index, cap in enumerate(caps) if allocator is not None],
            Whole(
                self,
                self._servers,
                counters,
                0 if allocator is None else allocator.allocation.rotation.turns,
                held,
                waiting,
                any(each.core.is_short for each in points),
            ),
        )


def _permits(allocator: Allocator | None) -> tuple[dict[str, int], int]:
    """How many connectors are held, by why, and how many wait."""
    held, waiting = {"unattended": 0, "unconfirmed": 0}, 0
    for member in () if allocator is None else allocator.allocation.members:
        if member.held:
            held[member.held] += 1
        elif member.share <= 0 and member.wish is not None and member.bound:
            waiting += 1
    return held, waiting


def _named(cap: Cap) -> Labels:
    return ("feeder", cap.name) if cap.identity is None else ("charge_point", cap.identity)


def _samples(metric: Metric, sources: Iterable[tuple[Labels, Any]]) -> Iterator[Sample]:
    for labels, source in sources:
        found = metric.read(source)
        if metric.label:
            yield from (((*labels, value), number) for value, number in sorted(found.items()))
        elif found is not None:
            yield labels, found


def _parts(samples: Iterator[Sample]) -> Iterator[tuple[list[Sample], bool]]:
    """At most :data:`SLICE` samples at a time, and whether they are the first ones; at least one part."""
    part: list[Sample] = []
    is_first = True
    for sample in samples:
        part.append(sample)
        if len(part) == SLICE:
            yield part, is_first
            part, is_first = [], False
    if part or is_first:
        yield part, is_first


def _lines(metric: Metric, names: Labels, samples: list[Sample], is_first: bool) -> bytes:
    # The extra `metrics`: whoever does not use it must not need it.
    from prometheus_client import core, generate_latest

    family: Any
    if metric.kind == "histogram":
        family = core.HistogramMetricFamily(metric.name, metric.about, labels=names)
        for labels, histogram in samples:
            family.add_metric(labels, histogram.buckets(), histogram.sum)
    else:
        kind = core.CounterMetricFamily if metric.kind == "counter" else core.GaugeMetricFamily
        family = kind(metric.name, metric.about, labels=names)
        for labels, number in samples:
            family.add_metric(labels, number)
    text: bytes = generate_latest(_Only(family))
    return text if is_first else text.split(b"\n", 2)[2]


class _Only:
    """A collector of one family, as the library wants it."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> Iterable[Any]:
        yield self._family


def _started_s() -> float:
    # proc(5): behind the name, which may hold anything, the 20th field is the start in ticks since boot.
    ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
