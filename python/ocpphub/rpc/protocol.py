"""JSON-RPC 2.0 on lines: framing, parsing, requests and answers as bytes. Sans-I/O.

Owns what a line is (``\\n`` or ``\\r\\n``, blank ones skipped, bounded while it arrives), what a valid request is, and
how an answer looks. Must never know a method, a socket, a loop or a clock; it has no arrow out but ``_native``,
``errors`` and orjson.

Implements: design rpc.md head and "Rules"; JSON-RPC 2.0 sections 4 to 6; reliability.md T06, T07, T10.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import orjson

from ocpphub._native import check_json
from ocpphub.errors import LocalError, json_rpc_error

RequestId = str | int
Request = tuple[RequestId | None, str, dict[str, Any]]
"""``(id, method, params)``; id ``None`` is a notification, since a null id is refused."""

MAX_BATCH: Final = 1000
HTTP_HELP: Final = (
    b"This is ocpphub's JSON-RPC socket, not HTTP: send one JSON text per line, for example "
    b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
)
_HTTP: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|PRI) ")
_NO_PARAMS: Final[dict[str, Any]] = {}
_MISSING: Final = object()


class Refused(Exception):
    """A request that is none, or whose parameters have the wrong shape; ``request_id`` as far as it could be read.

    ``answered`` is False only for a well-formed notification: nobody waits for its error.
    """

    def __init__(self, request_id: RequestId | None, error: LocalError, *, answered: bool = True) -> None:
        self.request_id = request_id
        self.error = error
        self.answered = answered
        super().__init__(str(error))


class LineBuffer:
    """Cuts a byte stream into lines of at most ``max_line_bytes``, judged while they arrive (T06).

    ``overrun`` turns True when a line is too long: the lines before it have been handed out, nothing after it is.
    """

    __slots__ = ("_held", "max_line_bytes", "overrun")

    def __init__(self, max_line_bytes: int) -> None:
        self.max_line_bytes = max_line_bytes
        self.overrun = False
        self._held: bytes | bytearray = b""

    def receive(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their newline."""
        if self.overrun:
            return []
        held = self._held
        lines = data.split(b"\n")
        tail = lines.pop()
        if held:
            if not lines:
                self._hold(held, tail)
                return lines
            lines[0] = bytes(held) + lines[0]
        if len(held) + len(data) > self.max_line_bytes:
            lines = self._within_limit(lines)
        self._held = b""
        if tail and not self.overrun:
            self._hold(b"", tail)
        return lines

    def end(self) -> list[bytes]:
        """The last line when the stream ends without a newline: a client that half-closes may leave it out."""
        last, self._held = bytes(self._held), b""
        return [last] if last and not self.overrun else []

    def _hold(self, held: bytes | bytearray, tail: bytes) -> None:
        if len(held) + len(tail) > self.max_line_bytes:
            self.overrun = True
            self._held = b""
        elif held:
            # One growing buffer: a client that sends single bytes must not cost an object for each.
            grown = held if isinstance(held, bytearray) else bytearray(held)
            grown += tail
            self._held = grown
        else:
            self._held = tail

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        for index, line in enumerate(lines):
            if len(line) > self.max_line_bytes:
                self.overrun = True
                return lines[:index]
        return lines


class Batch:
    """The answers of a batch, in the order of its members; it leaves when the last member is answered."""

    __slots__ = ("_answers", "_open")

    def __init__(self, size: int) -> None:
        self._open = size
        self._answers: list[bytes | None] = [None] * size

    def put(self, index: int, answer: bytes | None) -> bytes | None:
        """The answer line of a member, ``None`` for a notification; the array's line once it is complete, if any."""
        self._answers[index] = answer
        self._open -= 1
        if self._open:
            return None
        answers = [answer[:-1] for answer in self._answers if answer]
        return b"[" + b",".join(answers) + b"]\n" if answers else None


def is_blank(line: bytes) -> bool:
    """Whether a line carries nothing and is skipped."""
    return not line or line.isspace()


def is_http(line: bytes) -> bool:
    """Whether a line begins like an HTTP request: somebody pointed a browser or curl at the socket."""
    return _HTTP.match(line) is not None


def parse_line(line: bytes) -> Any:
    """The JSON value of a line. Raises :class:`LocalError` ``parse_error`` with the reason and the byte (T07)."""
    fault = check_json(line)
    if fault is not None:
        raise LocalError("parse_error", "not a valid JSON text", hint=fault)
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        # Our own check is the stricter one; a text that only orjson refuses is still the client's fault.
        raise LocalError("parse_error", "not a valid JSON text", hint=str(error)) from None


def read_request(value: Any) -> Request:
    """``(id, method, params)`` of one request object. Raises :class:`Refused` (-32600, or -32602 for positional)."""
    if type(value) is not dict:
        raise Refused(None, LocalError("invalid_request", "a request is a JSON object", hint="see rpc.discover"))
    request_id = value.get("id", _MISSING)
    kind = type(request_id)
    if kind is not int and kind is not str:
        if request_id is not _MISSING:
            raise Refused(None, _invalid("/id", "an id is a string or an integer; leave it out for a notification"))
        request_id = None
    if value.get("jsonrpc") != "2.0":
        raise Refused(request_id, _invalid("/jsonrpc", 'the member jsonrpc must be "2.0"'))
    method = value.get("method")
    if type(method) is not str:
        raise Refused(request_id, _invalid("/method", "the member method must be a string"))
    params = value.get("params", _NO_PARAMS)
    if type(params) is not dict:
        _refuse_params(request_id, params)
    return request_id, method, params


def is_response(value: Any) -> bool:
    """Whether a value that is no request is an answer to one of ours."""
    return type(value) is dict and value.get("jsonrpc") == "2.0" and "method" not in value and _has_answer(value)


def _has_answer(value: dict[str, Any]) -> bool:
    return "id" in value and ("result" in value) is not ("error" in value)


def read_batch(value: list[Any]) -> list[Any]:
    """The members of a batch, unread. Raises :class:`LocalError` when it is empty or too long (T10)."""
    if not value:
        raise LocalError("invalid_request", "an empty batch", hint="a batch has 1 to 1000 requests")
    if len(value) > MAX_BATCH:
        raise LocalError("too_large", "too many requests in a batch", hint=f"at most {MAX_BATCH}")
    return value


def encode_result(request_id: RequestId, result: Any) -> bytes:
    """One answer line, newline included. Raises ``TypeError`` when the result is not JSON."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}, option=orjson.OPT_APPEND_NEWLINE)


def encode_error(request_id: RequestId | None, error: BaseException) -> bytes:
    """One error line, newline included; never fails, whatever the error's data holds."""
    body = {"jsonrpc": "2.0", "id": request_id, "error": json_rpc_error(error)}
    try:
        return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        body["error"] = json_rpc_error(TypeError())
        return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def encode_question(request_id: str, method: str, params: dict[str, Any]) -> bytes:
    """One request of ours to a client, newline included. Raises ``TypeError`` when a parameter is not JSON."""
    request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    return orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE)


def encode_notification(method: str, params: dict[str, Any]) -> bytes:
    """One notification of ours, newline included. Raises ``TypeError`` when a parameter is not JSON."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params}, option=orjson.OPT_APPEND_NEWLINE)


def _invalid(path: str, hint: str) -> LocalError:
    return LocalError("invalid_request", "not a JSON-RPC 2.0 request", path=path, hint=hint)


def _refuse_params(request_id: RequestId | None, params: Any) -> NoReturn:
    if isinstance(params, list):
        error = LocalError(
            "invalid_params", "positional parameters", path="/params", hint='name them: "params": {"name": value}'
        )
        raise Refused(request_id, error, answered=request_id is not None)
    raise Refused(request_id, _invalid("/params", "params is an object, or left out"))


def answer_to_no_request(line: bytes, error: LocalError) -> bytes:
    """What is said to a line that holds no request: nothing to a blank one, plain help to HTTP, else the error."""
    if is_blank(line):
        return b""
    return HTTP_HELP if is_http(line) else encode_error(None, error)
