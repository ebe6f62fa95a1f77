"""One WebSocket connection to a CSMS, on ``websockets``: pushed in both directions, with deadlines and limits.

Owns what happens on an open connection: messages in and out, our pings and the pongs they need, the send deadline, the
closing handshake. Must never reconnect, never wait, and never let one frame or a silent peer stop the others. Messages
are pushed on the loop, without a task per frame or per direction, which is most of what a round trip costs.

Implements OCPP-J 1.6 section 7 and errata 3.9, and RFC 6455 as far as the library leaves it to its user.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, Event

from ocpphub import endpoint, tls

MAX_FRAGMENTS: Final = 1024
"""More fragments of one message than this close with 1009 (T19)."""
MAX_PINGS_PER_S: Final = 100
"""More pings of the CSMS than this close with 1008 (T19)."""
INBOX_LIMIT: Final = 16
"""Messages that may be held back before the socket is no longer read."""
OUTBOX_LIMIT: Final = 1024
"""Frames that may wait behind a stuck write; one more aborts the connection."""
CLOSE_S: Final = 1.0
"""How long a connection that is being closed may take to end; then it is aborted."""
TOLERATED_PONGS: Final = 2
"""Missing pongs that a link survives as long as other frames arrive (X-22)."""

_UPGRADED: Final = Response(101, "Switching Protocols", Headers())


class Connection(ClientConnection):
    """One WebSocket connection that pushes messages to ``deliver`` and is written to without waiting.

    The methods that override asyncio's and the library's callbacks keep their contract.
    """

    # Slots, and lists that are short when used and empty at rest: a thousand idle links are a thousand of these.
    __slots__ = (
        "_fragments",
        "_fragments_binary",
        "_heard_s",
        "_held",
        "_inbox",
        "_missed",
        "_outbox",
        "_pinged_by_peer",
        "_pinged_s",
        "_pings",
        "_pong",
        "_shut",
        "_timers",
        "_unread",
        "deliver",
        "ended",
        "pong_timeout_s",
        "root",
        "send_deadline_s",
        "why",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deliver: Callable[[bytes, bool], None] | None = None
        self.send_deadline_s = 15.0
        self.pong_timeout_s = 10.0
        self.why = ""
        self.root: str | None = None
        # Done as soon as the connection carries nothing more; a deaf peer may keep the socket a little longer.
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self._held = False
        self._unread = False
        self._shut = False
        self._inbox: list[tuple[bytes, bool]] = []
        self._outbox: list[bytes] = []
        self._fragments: list[bytes] = []
        self._fragments_binary = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pings = self._pong = self._missed = 0
        self._pinged_s = self._heard_s = 0.0
        self._pinged_by_peer = (0, 0)

    # Towards the peer

    def push(self, frame: bytes) -> None:
        """Send one text message behind those that still wait; dropped once the connection is closing."""
        if not self.paused:
            self._transmit(self.protocol.send_text, frame)
        elif len(self._outbox) < OUTBOX_LIMIT:
            self._outbox.append(frame)
            self._throttle()
        else:
            self.abort("too many frames wait for a peer that does not read")

    def shut(self, code: int, reason: str = "") -> None:
        """Close with a close frame; abort when the peer does not answer it in time (X-23). Later messages are lost."""
        if self._shut:
            return  # a second close must not put off the deadline of the first
        text = reason.encode()[:120].decode(errors="ignore")
        # RFC 6455 7.1.7: after failing a connection its data is no longer processed.
        self._transmit(self.protocol.send_close if code in (1000, 1001) else self.protocol.fail, code, text)
        self._end(f"closed by us with {code}")
        self._throttle()

    def abort(self, why: str) -> None:
        """Drop the connection at once."""
        self._end(why)
        self.transport.abort()

    def set_ping_interval(self, interval_s: float) -> None:
        """Ping from now on every ``interval_s``, beginning at a random phase (J-305); 0 ends pings."""
        self._drop_timer("ping")
        self._drop_timer("pong")
        if interval_s > 0 and not self._shut:
            phase = random.random()  # noqa: S311  # spreads load, guards nothing
            self._set_timer("ping", interval_s * phase, self._ping, interval_s)

    def _transmit(self, send: Callable[..., None], *args: Any) -> None:
        if self.protocol.state is OPEN:
            try:
                send(*args)
                self.send_data()
            except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError on a transport that is closing
                self.abort(f"write failed: {type(error).__name__}")

    def pause_writing(self) -> None:
        """The socket takes no more: what has been written must leave before the send deadline (T21)."""
        super().pause_writing()
        self._set_timer("send", self.send_deadline_s, self.abort, "a write was stuck beyond the send deadline")

    def resume_writing(self) -> None:
        """Everything written has left: go on with what waits."""
        super().resume_writing()
        self._drop_timer("send")
        while self._outbox and not self.paused:
            self._transmit(self.protocol.send_text, self._outbox.pop(0))
        self._throttle()

    def _ping(self, interval_s: float) -> None:
        self._set_timer("ping", interval_s, self._ping, interval_s)
        if "pong" in self._timers or self.paused:
            return  # one unanswered ping at a time; a stuck write has its own deadline
        self._pings += 1
        self._pinged_s = self.loop.time()
        self._set_timer("pong", self.pong_timeout_s, self._pong_missing)
        self._transmit(self.protocol.send_ping, self._pings.to_bytes(4, "big"))

    def _pong_missing(self) -> None:
        self._missed += 1
        if self._missed > TOLERATED_PONGS or self._heard_s <= self._pinged_s:
            self.why = "no pong"
            self.shut(1011, "no pong")  # JE 3.9: the link may be half open

    # From the peer

    def hold(self, held: bool) -> None:
        """Keep messages back, or hand them over again, those kept back first."""
        self._held = held
        while self._inbox and not self._held and self.deliver is not None:
            self.deliver(*self._inbox.pop(0))
        self._throttle()

    def process_event(self, event: Event) -> None:
        """One frame; the library has answered pings and checked the protocol already."""
        if self.response is None or not isinstance(event, Frame):
            super().process_event(event)
            return
        self._heard_s = self.loop.time()
        opcode = event.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if event.fin:
                self._message(bytes(event.data), opcode is Opcode.BINARY)
            else:
                self._fragments, self._fragments_binary = [bytes(event.data)], opcode is Opcode.BINARY
        elif opcode is Opcode.PONG:
            self._acknowledge(bytes(event.data))
        elif opcode is Opcode.PING:
            self._count_ping()
        elif self._fragments:
            self._fragments.append(bytes(event.data))
            if event.fin:
                fragments, self._fragments = self._fragments, []
                self._message(b"".join(fragments), self._fragments_binary)
            elif len(self._fragments) > MAX_FRAGMENTS:
                self._fragments = []
                self.shut(1009, "too many fragments")

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer; when they make the library fail the connection, the peer gets a deadline to close."""
        super().data_received(data)
        if self.protocol.close_expected():
            self._end()
            self._throttle()

    def eof_received(self) -> None:
        """The peer sends nothing more; what we have written need not keep the socket open."""
        super().eof_received()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of this connection."""
        super().connection_lost(exc)
        self._end()
        for name in list(self._timers):
            self._drop_timer(name)
        self._inbox.clear()
        self._outbox.clear()

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """The opening handshake, after a look at the certificate; credentials leave only behind it."""
        secured = self.transport.get_extra_info("ssl_object")
        host = self.protocol.uri.host
        self.root = tls.trust_anchor(secured)
        if secured is not None and not endpoint.is_literal(host) and not tls.names_host(secured.getpeercert(), host):
            raise tls.refused_certificate("it names this host only by a wildcard", secured.getpeercert(True))
        try:
            await super().handshake(*args, **kwargs)
        except Exception as error:
            # TLS 1.3 reports a refused client certificate only after the handshake, as a lost connection.
            raise error from self.connection_exc or error.__cause__
        self.request, self.response = None, _UPGRADED  # headers, the credentials among them, need not stay in memory

    def _end(self, why: str = "") -> None:
        """Carry nothing more, say so, and give the socket the close deadline; only the first call counts."""
        if self._shut:
            return
        self._shut = True
        self.why = self.why or why or self._closed_by()
        self._drop_timer("ping")
        self._drop_timer("pong")
        self._set_timer("close", CLOSE_S, self.transport.abort)
        if not self.ended.done():
            self.ended.set_result(None)

    def _closed_by(self) -> str:
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        if sent is not None and received is None:
            return f"closed by us with {sent.code}"
        return f"closed by the CSMS with {1006 if received is None else received.code}"

    def _message(self, data: bytes, binary: bool) -> None:
        if self._shut:
            return
        if self._held or self._inbox or self.deliver is None:
            self._inbox.append((data, binary))
            self._throttle()
        else:
            self.deliver(data, binary)

    def _acknowledge(self, data: bytes) -> None:
        # RFC 6455 5.5.3: a pong may answer the latest of several pings; unsolicited ones mean nothing.
        number = int.from_bytes(data, "big") if len(data) == 4 else 0
        if self._pong < number <= self._pings:
            self._pong = number
            self._missed = 0
            self._drop_timer("pong")

    def _count_ping(self) -> None:
        second, count = self._pinged_by_peer
        now = int(self._heard_s)
        self._pinged_by_peer = (now, count + 1 if now == second else 1)
        if self._pinged_by_peer[1] > MAX_PINGS_PER_S:
            self.shut(1008, "too many pings")

    def _throttle(self) -> None:
        """Read the socket, or leave it to TCP to slow the peer down."""
        unread = not self._shut and (len(self._inbox) >= INBOX_LIMIT or len(self._outbox) >= INBOX_LIMIT)
        if unread is not self._unread:
            self._unread = unread
            (self.transport.pause_reading if unread else self.transport.resume_reading)()

    def _set_timer(self, name: str, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        self._drop_timer(name)
        self._timers[name] = self.loop.call_later(delay_s, self._fire, name, callback, args)

    def _fire(self, name: str, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._timers.pop(name, None)
        callback(*args)

    def _drop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
