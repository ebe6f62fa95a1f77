"""rpc/protocol.py: lines, requests and answers without a socket."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.errors import LocalError
from ocpphub.rpc.protocol import (
    Batch,
    LineBuffer,
    Refused,
    encode_error,
    encode_notification,
    encode_question,
    encode_result,
    is_blank,
    is_http,
    is_response,
    parse_line,
    read_batch,
    read_request,
)
from tests.rpc.malformed import MALFORMED, PARSE


def test_line_buffer_given_whole_lines_cuts_them() -> None:
    assert LineBuffer(100).receive(b'{"a":1}\n[]\r\n\n') == [b'{"a":1}', b"[]\r", b""]


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_line_buffer_given_any_pieces_cuts_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    buffer = LineBuffer(1000)

    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    received = [line for piece in pieces for line in buffer.receive(piece)]

    assert received == lines
    assert buffer.end() == []


def test_line_buffer_at_end_gives_the_line_without_newline() -> None:
    buffer = LineBuffer(100)
    assert buffer.receive(b"abc") == []

    assert buffer.end() == [b"abc"]


@pytest.mark.parametrize("step", [1, 3, 100])
def test_line_buffer_given_a_line_of_exactly_the_limit_takes_it(step: int) -> None:
    """T06"""
    buffer = LineBuffer(50)
    stream = b"x" * 50 + b"\n"

    lines = [line for at in range(0, len(stream), step) for line in buffer.receive(stream[at : at + step])]

    assert lines == [b"x" * 50]
    assert not buffer.overrun


@pytest.mark.parametrize("step", [1, 3, 100])
def test_line_buffer_given_a_longer_line_overruns_before_its_end(step: int) -> None:
    """T06"""
    buffer = LineBuffer(50)
    stream = b"x" * 51

    lines = [line for at in range(0, len(stream), step) for line in buffer.receive(stream[at : at + step])]

    assert lines == []
    assert buffer.overrun


def test_line_buffer_on_overrun_hands_out_the_lines_before_and_nothing_after() -> None:
    """T06"""
    buffer = LineBuffer(10)

    assert buffer.receive(b"first\n" + b"x" * 11 + b"\nlater\n") == [b"first"]
    assert buffer.receive(b"more\n") == []
    assert buffer.end() == []


@pytest.mark.parametrize("line", [b"", b"\r", b" ", b"\t\r"])
def test_line_without_content_is_blank(line: bytes) -> None:
    assert is_blank(line)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r", b"POST /rpc HTTP/1.1", b"OPTIONS * HTTP/1.1", b"PRI * HTTP/2.0"])
def test_line_with_a_verb_is_http(line: bytes) -> None:
    assert is_http(line)


def test_line_with_json_is_not_http() -> None:
    assert not is_http(b'{"method":"GET /"}')


@pytest.mark.parametrize("name", [name for name, (_, code) in MALFORMED.items() if code == PARSE])
def test_parse_of_a_line_that_is_no_strict_json_says_why(name: str) -> None:
    """T07"""
    with pytest.raises(LocalError) as caught:
        parse_line(MALFORMED[name][0])

    assert caught.value.code == "parse_error"
    assert caught.value.hint


def test_request_with_everything_is_read() -> None:
    value = {"jsonrpc": "2.0", "id": "a", "method": "m", "params": {"x": 1}}

    assert read_request(value) == ("a", "m", {"x": 1})


def test_request_without_id_is_a_notification() -> None:
    assert read_request({"jsonrpc": "2.0", "method": "m"}) == (None, "m", {})


def test_request_with_unknown_members_is_read() -> None:
    assert read_request({"jsonrpc": "2.0", "id": 0, "method": "m", "trace": 1}) == (0, "m", {})


def test_request_with_a_readable_id_gets_it_back_in_the_refusal() -> None:
    with pytest.raises(Refused) as caught:
        read_request({"jsonrpc": "2.0", "id": 7, "method": 1})

    assert caught.value.request_id == 7
    assert caught.value.error.path == "/method"


@pytest.mark.parametrize(("request_id", "answered"), [(1, True), (None, False)])
def test_positional_parameters_are_refused_with_a_hint(request_id: int | None, answered: bool) -> None:
    value = {"jsonrpc": "2.0", "method": "m", "params": [1]} | ({"id": request_id} if request_id else {})

    with pytest.raises(Refused) as caught:
        read_request(value)

    assert caught.value.error.code == "invalid_params"
    assert "name them" in caught.value.error.hint
    assert caught.value.answered is answered


def test_batch_of_1000_is_taken() -> None:
    """T10"""
    assert len(read_batch([1] * 1000)) == 1000


def test_result_is_one_line() -> None:
    assert encode_result("a", {"x": "ü\n"}) == '{"jsonrpc":"2.0","id":"a","result":{"x":"ü\\n"}}\n'.encode()


def test_error_whose_data_is_no_json_is_still_an_answer() -> None:
    answer = orjson.loads(encode_error(3, LocalError("busy", data=object())))

    assert (answer["id"], answer["error"]["code"]) == (3, -32000)


def test_batch_is_one_line_with_all_answers_in_the_order_of_its_members() -> None:
    batch = Batch(3)

    assert batch.put(2, encode_error(None, LocalError("busy"))) is None
    assert batch.put(1, None) is None
    line = batch.put(0, encode_result(1, True))

    assert line is not None
    assert line.count(b"\n") == 1
    assert [answer["id"] for answer in orjson.loads(line)] == [1, None]


def test_batch_of_notifications_has_no_line() -> None:
    assert Batch(1).put(0, None) is None


@pytest.mark.parametrize(
    ("value", "is_answer"),
    [
        ({"jsonrpc": "2.0", "id": "s:1", "result": None}, True),
        ({"jsonrpc": "2.0", "id": "s:1", "error": {"code": 1, "message": "m"}}, True),
        ({"jsonrpc": "2.0", "id": None, "error": {}}, True),
        ({"jsonrpc": "2.0", "id": "s:1", "result": 1, "error": {}}, False),
        ({"jsonrpc": "2.0", "id": "s:1"}, False),
        ({"jsonrpc": "2.0", "result": 1}, False),
        ({"id": "s:1", "result": 1}, False),
        ({"jsonrpc": "2.0", "id": "s:1", "method": 5, "result": 1}, False),
        ([], False),
    ],
)
def test_response_is_told_from_a_request_that_is_none(value: object, is_answer: bool) -> None:
    assert is_response(value) is is_answer


def test_question_and_notification_are_one_line_each() -> None:
    assert encode_question("s:1", "connector.unlock", {"connector_id": 3}) == (
        b'{"jsonrpc":"2.0","id":"s:1","method":"connector.unlock","params":{"connector_id":3}}\n'
    )
    assert encode_notification("lease", {"valid_for_s": 30}) == (
        b'{"jsonrpc":"2.0","method":"lease","params":{"valid_for_s":30}}\n'
    )
