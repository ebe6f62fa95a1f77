"""One client of the socket: its lines in, its answers and events out.

Owns the order of one client's requests, how many are under way, and its subscriptions. Must never hold a rule of OCPP
or of a role (``methods.py``, ``access.py``), nor start a Task: what waits is answered by callback.

Implements: design rpc.md "Rules"; reliability.md T05, T06, T08, T10.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from ocpphub.api import ChargePoint
from ocpphub.errors import LocalError, OcpphubError
from ocpphub.rpc.access import Principal
from ocpphub.rpc.holds import WAITING, Holds
from ocpphub.rpc.output import CHUNK_BYTES, Output
from ocpphub.rpc.protocol import (
    HTTP_HELP,
    Batch,
    LineBuffer,
    Refused,
    RequestId,
    answer_to_no_request,
    encode_error,
    encode_result,
    is_response,
    parse_line,
    read_batch,
    read_request,
)
from ocpphub.rpc.session import ClientSession
from ocpphub.rpc.signature import Method

if TYPE_CHECKING:
    from ocpphub.driver import Answer
    from ocpphub.rpc.server import Server

log = logging.getLogger("ocpphub.rpc")

MAX_IN_TURN: Final = 256
"""Requests of one client served per loop turn (T08)."""
CLOSE_DEADLINE_S: Final = 5.0
"""How long a client that is being closed may take to read its last answers."""
Slot = tuple[Batch, int] | None
"""The place of an answer in a batch; ``None`` for a request on a line of its own."""


class Connection(asyncio.Protocol):
    """The protocol object of one client."""

    __slots__ = (
        *("_backlog", "_busy", "_closing", "_deadline", "_half_closed", "_holds", "_in_flight", "_lines", "_loop"),
        *("_max_in_flight", "_methods", "_paused", "_principal", "_scheduled", "_server", "_session", "_transport"),
        "output",
    )

    _session: ClientSession
    _transport: asyncio.Transport
    _principal: Principal
    _methods: dict[str, Method]

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._loop = server, loop
        self._lines = LineBuffer(server.settings.max_line_bytes)
        self.output = Output(server.settings.max_output_bytes, server.unread)
        self._backlog: deque[bytes | tuple[Any, Slot]] = deque()
        self._deadline: asyncio.TimerHandle | None = None
        self._in_flight, self._holds = 0, Holds()
        self._max_in_flight = server.settings.max_in_flight
        self._busy = self._scheduled = self._paused = self._half_closed = self._closing = False

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client and learn who it is."""
        self._transport = cast(asyncio.Transport, transport)
        principal = self._server.admit(self, self._transport)
        if principal is None:
            self._closing = True
            return
        self._principal, access = principal, self._server.access(principal)
        self._session = ClientSession(self._server, principal, access, self.output, self._wake)
        self._methods = access.methods
        self._transport.set_write_buffer_limits(high=CHUNK_BYTES)

    def data_received(self, data: bytes) -> None:
        """Serve what has arrived, then write once."""
        if self._closing:
            return
        lines = self._lines.receive(data)
        self._busy = True
        try:
            if self._backlog or len(lines) > MAX_IN_TURN:
                self._backlog.extend(lines)
                self._drain()
            else:
                self._serve(lines)
        finally:
            self._busy = False
        self._settle()

    def eof_received(self) -> bool:
        """The client has half-closed: it still gets its answers, then we close."""
        if not self._closing:
            self._half_closed = True
            self._backlog.extend(self._lines.end())
            self._turn()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; what it has under way goes on, its answers go nowhere."""
        self._forget()
        if self._deadline is not None:
            self._deadline.cancel()

    def pause_writing(self) -> None:
        """The transport is full: from now on output waits in :class:`Output`."""
        self.output.writable = False

    def resume_writing(self) -> None:
        """The client has read on."""
        self.output.writable = True
        self._settle()

    # --- called by the server

    def close(self) -> None:
        """Close after what is already answered; a client that does not read it is cut after a while."""
        if self._closing:
            return
        self._flush()
        self._closing = True
        self._transport.close()
        self._deadline = self._loop.call_later(CLOSE_DEADLINE_S, self._transport.abort)

    def cut(self, reason: str) -> None:
        """End the connection at once; nothing can be said to a client that does not read."""
        self._server.counters["cut"] += 1
        log.warning("client pid %d uid %d cut: %s", self._principal.pid, self._principal.uid, reason)
        self._forget()
        self._transport.abort()

    def _forget(self) -> None:
        if self._server.forget(self):
            self._session.end()
        self._closing = True
        self._backlog.clear()
        self.output.close()

    # --- requests

    def _turn(self) -> None:
        """Serve what waits, as far as this loop turn allows."""
        self._scheduled = False
        if self._closing:
            return
        self._busy = True
        try:
            self._drain()
        finally:
            self._busy = False
        self._settle()

    def _serve(self, lines: list[bytes]) -> None:
        """Serve the lines of one read, the usual case: none waits before them, and all fit into the turn."""
        for index, line in enumerate(lines):
            if self._in_flight >= self._max_in_flight or self._backlog or not self._has_room():
                self._backlog.extend(lines[index:])
                break
            self._line(line)
        if self._backlog:
            self._drain()

    def _drain(self) -> None:
        """Serve what waits, at most :data:`MAX_IN_TURN` requests of it."""
        backlog = self._backlog
        for _ in range(MAX_IN_TURN):
            if not backlog or self._in_flight >= self._max_in_flight or not self._has_room():
                return
            item = backlog.popleft()
            if type(item) is bytes:
                self._line(item)
            else:
                self._request(*item)

    def _has_room(self) -> bool:
        """Whether another answer may be made: a turn's answers must not pile up far beyond the limit."""
        if self.output.ready_bytes > CHUNK_BYTES:
            self._flush()
        return not (self._closing or self.output.overrun)

    def _line(self, line: bytes) -> None:
        try:
            value = parse_line(line)
            if type(value) is list:
                self._batch(read_batch(value))
            else:
                self._request(value, None)
        except LocalError as error:
            if text := answer_to_no_request(line, error):
                self.output.answer(text)
            if text is HTTP_HELP:
                self.close()

    def _batch(self, members: list[Any]) -> None:
        batch = Batch(len(members))
        self._backlog.extendleft((member, (batch, index)) for index, member in reversed([*enumerate(members)]))

    def _request(self, value: Any, slot: Slot) -> None:
        try:
            request_id, name, params = read_request(value)
        except Refused as refused:
            self._refuse(value, slot, refused)
            return
        self._server.requests += 1
        if self._holds and self._holds.keeps(name, params, (value, slot), self._session.charge_point):
            self._in_flight += 1
        else:
            self._carry_out(request_id, name, params, slot)

    def _carry_out(self, request_id: RequestId | None, name: str, params: dict[str, Any], slot: Slot) -> None:
        try:
            method = self._methods.get(name)
            if method is None:
                raise self._session.access.refusal(name)
            args = method.bind(params)
            how = method.how
            session = self._session
            if how == "read":
                charge_point = session.charge_point
                if charge_point is None or "charge_point" in params:
                    charge_point = session.chosen(params)
                if method.connector_index is not None:
                    session.check_connector(charge_point, method, args[method.connector_index])
                result = method.call(charge_point, *args)
            elif how == "controller" or how == "command" or how == "attach" or how == "records":
                charge_point = session.chosen(params)
                session.check_parameters(charge_point, method, params, args)
                result = self._command(method, charge_point, args, request_id, slot)
                if result is None:
                    return
            elif how == "slices" or how == "texts" or how == "parts":
                self._slices(method, session.chosen(params), args, request_id, slot)
                return
            else:
                result = self._about(method, params, args)
            if slot is None and request_id is not None:
                self.output.answer(encode_result(request_id, result))
            else:
                self._succeed(request_id, slot, result)
        except Exception as error:  # noqa: BLE001  # any failure is an answer; a bug is logged by _fail
            self._fail(request_id, slot, error)
        else:
            if how == "session":
                session.replay()
            elif how == "attach":
                session.attachment.renew()

    def _refuse(self, value: Any, slot: Slot, refused: Refused) -> None:
        """Something that is no request: an answer to one of ours, or an error."""
        if is_response(value):
            self._session.attachment.receive(value["id"], value.get("result"), value.get("error"))
            self._answer(slot, None)
        elif refused.answered:
            self._answer(slot, encode_error(refused.request_id, refused.error))
        else:
            self._fail(None, slot, refused.error)

    def _about(self, method: Method, params: dict[str, Any], args: list[Any]) -> Any:
        """A method about the connection or the hub."""
        if method.how == "session":
            return method.call(self._session, self._session.chosen(params), *args)
        if "charge_point" in params:
            self._session.named(params["charge_point"])
        return method.call(self._session, *args)

    def _command(
        self, method: Method, charge_point: ChargePoint, args: list[Any], request_id: RequestId | None, slot: Slot
    ) -> Any:
        """The answer of the core, or ``None`` when it comes later."""
        if method.per_minute is not None:
            # A process that connects again is the same client; one outside our pid namespace (0) is its connection.
            client = (self._principal.uid, self._principal.pid or id(self))
            self._server.rate.check(client, method.name, method.per_minute)
        reply: Answer = partial(self._replied, request_id, slot)
        if (held := self._holds.begin(method, args) if method.name in WAITING else None) is not None:
            reply = partial(self._released, held, reply)
        elif method.how == "attach":
            reply = partial(self._attached, reply)
        arguments: Any = tuple(args) if method.how == "command" else method.call(self._session, charge_point, *args)
        self._in_flight += 1
        try:
            if method.how == "records":
                result = charge_point.transactions(arguments, reply)
            else:
                result = charge_point.command(method.command, arguments, reply)
        except BaseException:
            self._in_flight -= 1
            self._release(held)
            raise
        if result is not None:
            self._in_flight -= 1
        if method.how == "attach" and not self._closing:
            self._session.attach(charge_point)
        return result

    def _release(self, connector_id: int | None) -> None:
        """What came for a connector meanwhile is next."""
        requests = self._holds.end(connector_id)
        self._in_flight -= len(requests)
        self._backlog.extendleft(reversed(requests))

    def _released(self, connector_id: int, reply: Answer, result: Any, error: Exception | None) -> None:
        self._release(connector_id)
        reply(result, error)

    def _attached(self, reply: Answer, result: Any, error: Exception | None) -> None:
        """A late answer of an attach, and the first lease behind it."""
        reply(result, error)
        if error is None and not self._closing:
            self._session.attachment.renew()

    def _replied(self, request_id: RequestId | None, slot: Slot, result: Any, error: Exception | None) -> None:
        self._in_flight -= 1
        if self._closing:
            return
        if error is None:
            self._succeed(request_id, slot, result)
        else:
            self._fail(request_id, slot, error)
        self._wake()

    def _slices(
        self, method: Method, charge_point: ChargePoint, args: list[Any], request_id: RequestId | None, slot: Slot
    ) -> None:
        is_array = method.how == "slices"
        if method.how == "parts":
            args = [self._session.visible(charge_point, None)]
        elif is_array:
            args[0] = self._session.chosen_connectors(charge_point, method, args[0])
        elif method.connector_index is not None:
            self._session.check_connector(charge_point, method, args[method.connector_index])
        work = partial(self._slice, method.call(charge_point, *args), [], request_id, slot, is_array)
        self._in_flight += 1
        self._server.slices.add(self, work, self._loop)

    def _slice(
        self, texts: Iterator[bytes], done: list[bytes], request_id: RequestId | None, slot: Slot, is_array: bool
    ) -> bool:
        try:
            if text := next(texts):
                done.append(text)
        except StopIteration:
            whole = b"[%b]" % b",".join(done) if is_array else b"".join(done)
            self._replied(request_id, slot, orjson.Fragment(whole), None)
        except Exception as error:  # noqa: BLE001  # as in _request
            self._replied(request_id, slot, None, error)
        else:
            return not self._closing
        return False

    # --- answers

    def _succeed(self, request_id: RequestId | None, slot: Slot, result: Any) -> None:
        if request_id is None:
            self._answer(slot, None)
        else:
            try:
                line = encode_result(request_id, result)
            except TypeError as error:
                self._fail(request_id, slot, error)
                return
            self._answer(slot, line)

    def _fail(self, request_id: RequestId | None, slot: Slot, error: Exception) -> None:
        if not isinstance(error, OcpphubError):
            log.error("a request failed", exc_info=error)
        elif error.code == "forbidden":
            self._server.counters["denied"] += 1
        if request_id is None:
            self._server.counters["notification_errors"] += 1
            self._answer(slot, None)
        else:
            self._answer(slot, encode_error(request_id, error))

    def _answer(self, slot: Slot, line: bytes | None) -> None:
        if slot is not None:
            line = slot[0].put(slot[1], line)
        if line is not None:
            self.output.answer(line)

    def _wake(self) -> None:
        """Output or room has come up outside of a turn: take one soon."""
        if not self._busy and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _settle(self) -> None:
        """After a turn: write, judge the limits, and decide whether to read on."""
        if self._closing:
            return
        self._flush()
        output = self.output
        if not (self._backlog or self._in_flight or self._paused or self._half_closed) and not (
            self._lines.overrun or output.overrun or not output.writable
        ):
            return  # the usual case
        self._judge()

    def _judge(self) -> None:
        if self._lines.overrun and not self._backlog:
            self._server.counters["too_large"] += 1
            error = LocalError("too_large", "line too long", hint=f"at most {self._lines.max_line_bytes} bytes")
            self.output.answer(encode_error(None, error))
            self.close()
            return
        if self.output.overrun:
            self.cut("it left too much output unread")
            return
        if not self.output.writable:
            self._server.bound_unread()
        full = self._in_flight >= self._max_in_flight
        if self._backlog and not full:
            self._wake()
        elif self._half_closed and not self._backlog and self._in_flight == 0 and self.output.empty:
            self.close()
        self._pause_reading(bool(self._backlog) or full or self._lines.overrun)

    def _pause_reading(self, pause: bool) -> None:
        if pause is self._paused or self._half_closed or self._closing:
            return
        self._paused = pause
        self._server.counters["paused"] += pause
        (self._transport.pause_reading if pause else self._transport.resume_reading)()

    def _flush(self) -> None:
        output = self.output
        if output.ready_bytes and output.writable:
            self._transport.write(output.take())
        while output.queue and output.writable:
            self._transport.write(output.take())
