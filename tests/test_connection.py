"""One connection on virtual time: pushes in both directions, back-pressure, pings, deadlines, limits, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import pytest_asyncio
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from ocpphub.connection import CLOSE_S, INBOX_LIMIT, MAX_FRAGMENTS, MAX_PINGS_PER_S, OUTBOX_LIMIT, Connection
from tests.virtual_loop import VirtualLoop

pytestmark = pytest.mark.asyncio


class StubTransport:
    """Takes what is written; ``stuck`` makes it pause the writer as a full socket does."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.stuck = False
        self.writer: Connection | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.stuck and self.writer is not None and not self.writer.paused:
            self.writer.pause_writing()

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def abort(self) -> None:
        self.calls.append("abort")

    def set_write_buffer_limits(self, high: int | None, low: int | None) -> None: ...

    def get_extra_info(self, name: str) -> None: ...

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.calls.append("close")


class Bench:
    """A connection that is open, with ``received`` messages and the frames it has written."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.transport = StubTransport()
        self.received: list[tuple[bytes, bool]] = []
        self.connection = Connection(
            ClientProtocol(parse_uri("ws://localhost/CP1"), state=OPEN, max_size=64), ping_interval=None
        )
        self.connection.loop = cast(asyncio.AbstractEventLoop, self.loop)
        self.connection.response = Response(101, "Switching Protocols", Headers())
        self.transport.writer = self.connection
        self.connection.connection_made(cast(asyncio.Transport, self.transport))
        self.connection.deliver = lambda frame, binary: self.received.append((frame, binary))

    def feed(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        self.connection.data_received(Frame(opcode, data, fin=fin).serialize(mask=False))

    def frames(self) -> list[tuple[Opcode, bytes]]:
        """The frames written since the last call, unmasked."""
        written = b"".join(self.transport.written)
        self.transport.written.clear()
        found = []
        while written:
            length = written[1] & 0x7F
            assert length < 126, "the tests keep frames short"
            key, masked = written[2:6], written[6 : 6 + length]
            found.append((Opcode(written[0] & 0x0F), bytes(byte ^ key[at % 4] for at, byte in enumerate(masked))))
            written = written[6 + length :]
        return found


@pytest_asyncio.fixture
async def bench() -> Bench:
    return Bench()


def close_frame(code: int, reason: str = "") -> tuple[Opcode, bytes]:
    return Opcode.CLOSE, Close(code, reason).serialize()


async def test_connection_pushes_text_frames_in_order(bench: Bench) -> None:
    for frame in (b"1", b"2", b"3"):
        bench.connection.push(frame)
    assert bench.frames() == [(Opcode.TEXT, b"1"), (Opcode.TEXT, b"2"), (Opcode.TEXT, b"3")]


async def test_connection_hands_over_messages_with_their_kind(bench: Bench) -> None:
    """J-328."""
    bench.feed(Opcode.TEXT, b"[2]")
    bench.feed(Opcode.BINARY, b"\xff")
    assert bench.received == [(b"[2]", False), (b"\xff", True)]


async def test_connection_joins_fragments_around_control_frames(bench: Bench) -> None:
    """J-324, X-26."""
    bench.feed(Opcode.BINARY, b"[", fin=False)
    bench.feed(Opcode.PING, b"p")
    bench.feed(Opcode.CONT, b"", fin=False)
    bench.feed(Opcode.CONT, b"2]")
    bench.feed(Opcode.TEXT, b"next")
    assert bench.received == [(b"[2]", True), (b"next", False)]


async def test_connection_given_too_many_fragments_closes_with_1009(bench: Bench) -> None:
    """T19."""
    bench.feed(Opcode.TEXT, b"", fin=False)
    for _ in range(MAX_FRAGMENTS):
        bench.feed(Opcode.CONT, b"", fin=False)
    assert bench.frames() == [close_frame(1009, "too many fragments")]


async def test_connection_that_delivers_nobody_yet_keeps_messages(bench: Bench) -> None:
    """What comes with the answer to the handshake is not lost."""
    deliver, bench.connection.deliver = bench.connection.deliver, None
    bench.feed(Opcode.TEXT, b"early")
    bench.connection.deliver = deliver
    bench.connection.hold(False)
    assert bench.received == [(b"early", False)]


async def test_connection_held_keeps_messages_in_order_and_stops_reading(bench: Bench) -> None:
    """J-241, T20."""
    bench.connection.hold(True)
    for number in range(INBOX_LIMIT - 1):
        bench.feed(Opcode.TEXT, b"%d" % number)
    assert bench.transport.calls == []
    bench.feed(Opcode.TEXT, b"last")
    assert bench.transport.calls == ["pause"]
    assert bench.received == []
    bench.connection.hold(False)
    assert bench.transport.calls == ["pause", "resume"]
    assert [frame for frame, _ in bench.received] == [*(b"%d" % number for number in range(INBOX_LIMIT - 1)), b"last"]


async def test_connection_held_while_it_hands_over_stops_there(bench: Bench) -> None:
    def deliver(frame: bytes, binary: bool) -> None:
        bench.received.append((frame, binary))
        bench.connection.hold(True)

    bench.connection.hold(True)
    bench.feed(Opcode.TEXT, b"1")
    bench.feed(Opcode.TEXT, b"2")
    bench.connection.deliver = deliver
    bench.connection.hold(False)
    assert bench.received == [(b"1", False)]


async def test_connection_whose_socket_is_full_queues_and_sends_on_in_order(bench: Bench) -> None:
    bench.transport.stuck = True
    for frame in (b"1", b"2", b"3"):
        bench.connection.push(frame)
    assert bench.frames() == [(Opcode.TEXT, b"1")]
    bench.transport.stuck = False
    bench.connection.resume_writing()
    assert bench.frames() == [(Opcode.TEXT, b"2"), (Opcode.TEXT, b"3")]


async def test_connection_whose_write_is_stuck_is_aborted_at_the_send_deadline(bench: Bench) -> None:
    """T21."""
    bench.transport.stuck = True
    bench.connection.send_deadline_s = 15.0
    bench.connection.push(b"1")
    bench.loop.pass_time(14.9)
    assert bench.transport.calls == []
    bench.loop.pass_time(0.2)
    assert bench.transport.calls == ["abort"]
    assert "send deadline" in bench.connection.why


async def test_connection_has_a_send_deadline_for_each_stuck_write(bench: Bench) -> None:
    """T21: a slow peer that keeps reading is not cut off."""
    bench.transport.stuck = True
    bench.connection.push(b"1")
    bench.connection.push(b"2")
    for _ in range(3):
        bench.loop.pass_time(10)
        bench.connection.resume_writing()
        bench.connection.push(b"more")
    assert bench.transport.calls == []


async def test_connection_whose_peer_does_not_read_stops_reading_and_then_ends(bench: Bench) -> None:
    bench.transport.stuck = True
    for _ in range(INBOX_LIMIT + 1):
        bench.connection.push(b"x")
    assert bench.transport.calls == ["pause"]
    for _ in range(OUTBOX_LIMIT - INBOX_LIMIT + 1):
        bench.connection.push(b"x")
    assert bench.transport.calls == ["pause", "abort"]


async def test_connection_pings_from_a_random_phase_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """J-301, J-305, D-21."""
    monkeypatch.setattr("ocpphub.connection.random.random", lambda: 0.25)
    bench.connection.set_ping_interval(40)
    bench.loop.pass_time(9.9)
    assert bench.frames() == []
    bench.loop.pass_time(0.1)
    assert [opcode for opcode, _ in bench.frames()] == [Opcode.PING]


def ping(bench: Bench) -> bytes:
    """Let the next ping leave; its payload."""
    bench.loop.pass_time(30)
    ((opcode, payload),) = bench.frames()
    assert opcode is Opcode.PING
    return payload


async def test_connection_that_gets_its_pongs_pings_on(bench: Bench) -> None:
    bench.connection.set_ping_interval(30)
    payloads = set()
    for _ in range(5):
        payload = ping(bench)
        payloads.add(payload)
        bench.feed(Opcode.PONG, payload)
    assert len(payloads) == 5
    assert bench.transport.calls == []


async def test_connection_without_a_pong_closes_and_then_aborts(bench: Bench) -> None:
    """J-303, X-21, X-23."""
    bench.connection.set_ping_interval(30)
    ping(bench)
    bench.feed(Opcode.PONG, b"none of ours")
    bench.connection._heard_s = 0.0
    bench.loop.pass_time(bench.connection.pong_timeout_s)
    assert bench.frames() == [close_frame(1011, "no pong")]
    bench.loop.pass_time(CLOSE_S)
    assert bench.transport.calls == ["abort"]
    assert bench.connection.why == "no pong"


async def test_connection_without_a_pong_ends_once_however_often_it_pings(bench: Bench) -> None:
    """J-303, X-21, X-23: with a ping interval below the close deadline the deadline still comes."""
    bench.connection.pong_timeout_s = 0.05
    bench.connection.set_ping_interval(CLOSE_S / 4)
    bench.loop.pass_time(CLOSE_S / 4)
    assert [opcode for opcode, _ in bench.frames()] == [Opcode.PING]
    bench.connection._heard_s = 0.0
    bench.loop.pass_time(0.05)
    assert bench.frames() == [close_frame(1011, "no pong")]
    assert bench.connection.ended.done()
    assert bench.transport.calls == []
    bench.loop.pass_time(CLOSE_S)
    assert bench.transport.calls == ["abort"]
    assert bench.frames() == []


async def test_connection_shut_pings_no_more_whoever_asks(bench: Bench) -> None:
    """J-303: the deadline of the first close holds, later ones change nothing."""
    bench.connection.shut(1000, "first")
    bench.connection.set_ping_interval(CLOSE_S / 10)
    bench.loop.pass_time(CLOSE_S / 2)
    bench.connection.shut(1001, "second")
    bench.loop.pass_time(CLOSE_S / 2)
    assert bench.frames() == [close_frame(1000, "first")]
    assert bench.transport.calls == ["abort"]
    assert bench.connection.why == "closed by us with 1000"


async def test_connection_waits_a_second_at_most_for_the_end_of_a_close() -> None:
    """J-303, X-23."""
    assert CLOSE_S <= 1.0


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda bench: bench.connection.shut(1007, "bad"), "closed by us with 1007"),
        (lambda bench: bench.connection.abort("stuck"), "stuck"),
        (lambda bench: bench.feed(Opcode.TEXT, b"x" * 65), "closed by us with 1009"),
        (lambda bench: bench.feed(*close_frame(1012)), "closed by the CSMS with 1012"),
        (lambda bench: bench.connection.eof_received(), "closed by the CSMS with 1006"),
        (lambda bench: bench.connection.connection_lost(None), "closed by the CSMS with 1006"),
    ],
    ids=["shut", "abort", "limit", "close of the peer", "end of the stream", "lost"],
)
async def test_connection_that_carries_nothing_more_says_so_at_once(
    bench: Bench, end: Callable[[Bench], object], why: str
) -> None:
    """J-303, X-23: whoever waits need not wait for a deaf peer, and the transport ends within the close deadline."""
    assert not bench.connection.ended.done()
    end(bench)
    assert bench.connection.ended.done()
    assert bench.connection.why == why
    bench.connection.hold(False)
    assert bench.received == []
    bench.loop.pass_time(CLOSE_S)
    assert "abort" in bench.transport.calls or bench.connection.connection_lost_waiter.done()


async def test_connection_with_other_frames_survives_two_missing_pongs(bench: Bench) -> None:
    """X-22."""
    bench.connection.set_ping_interval(30)
    for _ in range(2):
        ping(bench)
        bench.loop.pass_time(1)
        bench.feed(Opcode.TEXT, b"alive")
        bench.loop.pass_time(10)
        assert bench.frames() == []
    ping(bench)
    bench.loop.pass_time(1)
    bench.feed(Opcode.TEXT, b"alive")
    bench.loop.pass_time(10)
    assert bench.frames() == [close_frame(1011, "no pong")]


async def test_connection_whose_ping_interval_changes_obeys_at_once(bench: Bench) -> None:
    """J-301, J-305: 0 ends pings, and with them the wait for a pong."""
    bench.connection.set_ping_interval(30)
    ping(bench)
    bench.connection.set_ping_interval(0)
    bench.loop.pass_time(3600)
    assert bench.frames() == []
    assert bench.transport.calls == []
    bench.connection.set_ping_interval(30)
    ping(bench)


async def test_connection_answers_pings_with_their_payload(bench: Bench) -> None:
    """J-302: also when our own pings are off."""
    bench.feed(Opcode.PING, b"abc")
    assert bench.frames() == [(Opcode.PONG, b"abc")]


async def test_connection_flooded_with_pings_closes_with_1008(bench: Bench) -> None:
    """T19."""
    for _ in range(MAX_PINGS_PER_S):
        bench.feed(Opcode.PING, b"")
    bench.loop.now_s += 1
    bench.frames()
    for _ in range(MAX_PINGS_PER_S):
        bench.feed(Opcode.PING, b"")
    assert close_frame(1008, "too many pings") not in bench.frames()
    bench.feed(Opcode.PING, b"")
    assert bench.frames()[-1] == close_frame(1008, "too many pings")


async def test_connection_shut_says_so_once_and_hands_over_nothing_more(bench: Bench) -> None:
    """J-325."""
    bench.connection.shut(1007, "not UTF-8")
    bench.connection.push(b"late")
    bench.feed(Opcode.TEXT, b"late")
    assert bench.frames() == [close_frame(1007, "not UTF-8")]
    assert bench.received == []


async def test_connection_shut_cuts_a_long_reason_at_a_character(bench: Bench) -> None:
    bench.connection.shut(1000, "é" * 200)
    assert bench.frames() == [close_frame(1000, "é" * 60)]


async def test_connection_shut_while_held_reads_again_to_see_the_answer(bench: Bench) -> None:
    bench.connection.hold(True)
    for _ in range(INBOX_LIMIT):
        bench.feed(Opcode.TEXT, b"x")
    bench.connection.shut(1000)
    assert bench.transport.calls == ["pause", "resume"]


async def test_connection_that_the_library_fails_is_aborted_when_the_peer_stays(bench: Bench) -> None:
    """J-323, J-326."""
    bench.feed(Opcode.TEXT, b"x" * 65)
    assert bench.frames()[0][1][:2] == b"\x03\xf1"
    bench.loop.pass_time(CLOSE_S)
    assert bench.transport.calls == ["abort"]


async def test_connection_lost_leaves_no_timer(bench: Bench) -> None:
    bench.connection.set_ping_interval(30)
    ping(bench)
    bench.transport.stuck = True
    bench.connection.push(b"1")
    bench.connection.shut(1000)
    bench.connection.connection_lost(None)
    assert bench.loop.timers == []


async def test_connection_whose_transport_refuses_a_write_ends_quietly(bench: Bench) -> None:
    def refuse(data: bytes) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    cast(Any, bench.transport).write = refuse
    bench.connection.push(b"1")
    assert bench.transport.calls == ["abort"]
