"""Clients of the socket, blocking and asyncio, on the standard library alone.

Owns the client's side of the line protocol: numbering, matching answers, handing out events, answering what the hub
asks. Must never import the rest of ocpphub but its errors, so that a controller program starts fast and needs nothing
else.

Implements: surface.md "Python" (Client, AsyncClient); design rpc.md (its "Requests from the gateway to a client" too).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from ocpphub.errors import LocalError, OcpphubError, UnavailableError, from_json_rpc, json_rpc_error

log = logging.getLogger("ocpphub.rpc")

TIMEOUT_S: Final = 60.0
"""Default wait for an answer: a data_transfer may take the CSMS's MessageTimeout."""
_READ_BYTES: Final = 256 * 1024
_LINE_BYTES: Final = 256 * 2**20
"""An answer of a large hub is one long line (schedules of all connectors over a day)."""

Event = dict[str, Any]
"""The ``params`` of an event: subscription, stream, seq, charge_point, topic, timestamp and value (rpc.md)."""
OnRequest = Callable[[str, dict[str, Any]], Any]
"""``on_request(method, params)`` gives the result of a request of the hub such as ``connector.unlock``, or raises.

What it raises becomes the error of the answer. It hears notifications (``lease``) too, whose result goes nowhere.
"""


def _request(number: int, method: str, params: dict[str, Any]) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params:
        message["params"] = params
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _answer(request_id: Any, result: Any, error: Exception | None) -> bytes:
    """The answer to a request of the hub, nothing for a notification; a bug of the handler is told to the log."""
    if error is None:
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}, separators=(",", ":"))
        except (TypeError, ValueError) as unfit:
            return _answer(request_id, None, unfit)
    else:
        if not isinstance(error, OcpphubError):
            log.error("a request of the hub failed", exc_info=error)
        body = json.dumps({"jsonrpc": "2.0", "id": request_id, "error": json_rpc_error(error)}, default=str)
    return b"" if request_id is None else body.encode() + b"\n"


def _unserved(method: str, params: dict[str, Any]) -> Any:
    raise LocalError("method_not_found", f"this client does not serve {method}", path="/method")


def _subscribe_params(topics: str | Sequence[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"topics": [topics] if isinstance(topics, str) else list(topics), **params}


def _result(message: dict[str, Any]) -> Any:
    if "error" in message:
        raise from_json_rpc(message["error"])
    return message.get("result")


def _gone(reason: str = "the hub closed the connection") -> UnavailableError:
    return UnavailableError("not_connected", reason)


def _nobody(path: str | os.PathLike[str], error: OSError) -> UnavailableError:
    reason = f"no hub answers at {os.fspath(path)}: {error.strerror or error}"
    return UnavailableError("not_connected", reason, hint="is `ocpphub run` up, is the path right?")


class Subscription(Iterator[Event]):
    """What ``Client.subscribe`` gives: the ``answer`` of the hub (with ``snapshot``), then events by iteration."""

    def __init__(self, client: Client, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.snapshot: dict[str, Any] = answer.get("snapshot", {})
        self._client = client
        self._waiting: deque[Event] = deque()

    def __next__(self) -> Event:
        event = self.next_event(None)
        if event is None:
            raise StopIteration
        return event

    def next_event(self, timeout_s: float | None) -> Event | None:
        """The next event, ``None`` when the hub has closed. Raises :class:`UnavailableError` ``timeout``."""
        while not self._waiting:
            if not self._client.receive(timeout_s):
                return None
        return self._waiting.popleft()

    def put(self, event: Event) -> None:
        """An event of this subscription has arrived."""
        self._waiting.append(event)

    def close(self) -> None:
        """End the subscription; events already received are still handed out."""
        self._client.unsubscribe(self.answer["subscription"])


class Client:
    """A blocking client. One thread at a time; events that arrive during a call wait in their subscription.

    ``call`` raises what the hub answers: :class:`LocalError`, :class:`PeerError` or :class:`UnavailableError`.
    The constructor raises :class:`UnavailableError` ``not_connected`` with the path when nobody serves it.
    ``on_request`` answers the hub's requests; it is called inside whatever reads: a call, an iteration, ``receive``.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout_s: float = TIMEOUT_S, on_request: OnRequest = _unserved
    ) -> None:
        self.timeout_s = timeout_s
        self.on_request = on_request
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(os.fspath(path))
        except OSError as error:
            self._socket.close()
            raise _nobody(path, error) from error
        except BaseException:
            self._socket.close()
            raise
        self._number = 0
        self._held = bytearray()
        self._lines: deque[bytes] = deque()
        self._answers: dict[int, dict[str, Any]] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._early: deque[Event] = deque(maxlen=10_000)

    def call(self, method: str, /, **params: Any) -> Any:
        """Call a method with named parameters and return its result."""
        self._number += 1
        number = self._number
        self._send(_request(number, method, params))
        while number not in self._answers:
            if not self.receive(self.timeout_s):
                raise _gone()
        return _result(self._answers.pop(number))

    def subscribe(self, topics: str | Sequence[str], **params: Any) -> Subscription:
        """Subscribe to topics (``connectors``, ``snapshot``, ``since``, ``charge_point``) and iterate over events."""
        answer = self.call("subscribe", **_subscribe_params(topics, params))
        subscription = Subscription(self, answer)
        self._subscriptions[answer["subscription"]] = subscription
        early, self._early = list(self._early), deque(maxlen=10_000)
        for event in early:
            self._hand_out(event)
        return subscription

    def unsubscribe(self, subscription: int) -> None:
        """End a subscription by its number."""
        self.call("unsubscribe", subscription=subscription)
        self._subscriptions.pop(subscription, None)

    def receive(self, timeout_s: float | None) -> bool:
        """Read one message and put it where it belongs; False when the hub has closed the connection."""
        while not self._lines:
            try:
                self._socket.settimeout(timeout_s)
                data = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                raise UnavailableError("timeout", "no answer in time") from None
            except ConnectionError:
                return False
            if not data:
                return False
            self._held += data
            if b"\n" in data:
                *lines, rest = self._held.split(b"\n")
                self._lines.extend(bytes(line) for line in lines)
                self._held = rest
        self._take(json.loads(self._lines.popleft()))
        return True

    def close(self) -> None:
        """Close the connection; the hub ends its subscriptions."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, line: bytes) -> None:
        try:
            self._socket.settimeout(self.timeout_s)
            self._socket.sendall(line)
        except TimeoutError:
            raise UnavailableError("timeout", "the hub does not read") from None
        except OSError as error:
            raise _gone(str(error)) from error

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "event":
            self._hand_out(message["params"])
        elif "method" in message:
            self._serve(message)
        elif isinstance(message.get("id"), int):
            self._answers[message["id"]] = message
        elif "error" in message:
            # An error without an id is about the connection: too many of them, or a line the hub could not read.
            raise from_json_rpc(message["error"])

    def _serve(self, request: dict[str, Any]) -> None:
        result, failure = None, None
        try:
            result = self.on_request(request["method"], request.get("params", {}))
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is the answer
            failure = error
        if line := _answer(request.get("id"), result, failure):
            self._send(line)

    def _hand_out(self, event: Event) -> None:
        subscription = self._subscriptions.get(event["subscription"])
        if subscription is None:
            self._early.append(event)
        else:
            subscription.put(event)


class AsyncSubscription(AsyncIterator[Event]):
    """What ``AsyncClient.subscribe`` gives: the ``answer`` (with ``snapshot``), then events by ``async for``."""

    def __init__(self, client: AsyncClient, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.snapshot: dict[str, Any] = answer.get("snapshot", {})
        self._client = client
        self._waiting: deque[Event] = deque()
        self._news = asyncio.Event()
        self._ended = False

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def put(self, event: Event) -> None:
        """An event of this subscription has arrived."""
        self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        """No more events will come."""
        self._ended = True
        self._news.set()

    async def close(self) -> None:
        """End the subscription; events already received are still handed out."""
        await self._client.unsubscribe(self.answer["subscription"])


class AsyncClient:
    """An asyncio client: ``async with AsyncClient(path) as client``. Calls may run concurrently.

    ``on_request`` answers the hub's requests; it may be a coroutine function, which may call the hub itself.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout_s: float = TIMEOUT_S, on_request: OnRequest = _unserved
    ) -> None:
        self.path = os.fspath(path)
        self.timeout_s = timeout_s
        self.on_request = on_request
        self._serving: set[asyncio.Task[None]] = set()
        self._number = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: dict[int, AsyncSubscription] = {}
        self._early: deque[Event] = deque(maxlen=10_000)
        self._refusal: UnavailableError | None = None

    async def connect(self) -> None:
        """Open the connection. Raises :class:`UnavailableError` ``not_connected`` when nobody serves the path."""
        try:
            reader, self._writer = await asyncio.open_unix_connection(self.path, limit=_LINE_BYTES)
        except OSError as error:
            raise _nobody(self.path, error) from error
        self._reading = asyncio.create_task(self._read(reader), name="ocpphub client")

    async def call(self, method: str, /, **params: Any) -> Any:
        """Call a method with named parameters and return its result; errors as :class:`Client`."""
        if self._writer is None or self._reading is None or self._reading.done():
            raise self._refusal or _gone("not connected")
        self._number += 1
        number = self._number
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[number] = future
        try:
            self._writer.write(_request(number, method, params))
            async with asyncio.timeout(self.timeout_s):
                await self._writer.drain()
                return _result(await future)
        except TimeoutError:
            raise UnavailableError("timeout", "no answer in time") from None
        except ConnectionError as error:
            raise _gone(str(error)) from error
        finally:
            self._calls.pop(number, None)

    async def subscribe(self, topics: str | Sequence[str], **params: Any) -> AsyncSubscription:
        """Subscribe to topics (``connectors``, ``snapshot``, ``since``, ``charge_point``); iterate over the events."""
        answer = await self.call("subscribe", **_subscribe_params(topics, params))
        subscription = AsyncSubscription(self, answer)
        self._subscriptions[answer["subscription"]] = subscription
        early, self._early = list(self._early), deque(maxlen=10_000)
        for event in early:
            self._hand_out(event)
        return subscription

    async def unsubscribe(self, subscription: int) -> None:
        """End a subscription by its number."""
        await self.call("unsubscribe", subscription=subscription)
        known = self._subscriptions.pop(subscription, None)
        if known is not None:
            known.end()

    async def close(self) -> None:
        """Close the connection; waiting calls raise :class:`UnavailableError`."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            await self._reading
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):  # the hub was faster
                await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except ConnectionError:
            pass  # the end is the same as a clean one: every waiting call hears of it
        finally:
            for task in self._serving:
                task.cancel()
            for future in self._calls.values():
                if not future.done():
                    future.set_exception(self._refusal or _gone())
            for subscription in self._subscriptions.values():
                subscription.end()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "event":
            self._hand_out(message["params"])
            return
        if "method" in message:
            self._serve(message)
            return
        number = message.get("id")
        future = self._calls.get(number) if isinstance(number, int) else None
        if future is not None and not future.done():
            future.set_result(message)
        elif number is None and "error" in message:
            self._refusal = UnavailableError("not_connected", str(message["error"].get("message", "refused")))

    def _serve(self, request: dict[str, Any]) -> None:
        request_id = request.get("id")
        try:
            result = self.on_request(request["method"], request.get("params", {}))
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is the answer
            self._reply(request_id, None, error)
            return
        if not inspect.isawaitable(result):
            self._reply(request_id, result, None)
            return
        task = asyncio.create_task(self._serve_later(request_id, result), name=f"ocpphub {request['method']}")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve_later(self, request_id: Any, result: Awaitable[Any]) -> None:
        try:
            self._reply(request_id, await result, None)
        except Exception as error:  # noqa: BLE001  # as above
            self._reply(request_id, None, error)

    def _reply(self, request_id: Any, result: Any, error: Exception | None) -> None:
        line = _answer(request_id, result, error)
        if line and self._writer is not None:
            self._writer.write(line)

    def _hand_out(self, event: Event) -> None:
        subscription = self._subscriptions.get(event["subscription"])
        if subscription is None:
            self._early.append(event)
        else:
            subscription.put(event)
