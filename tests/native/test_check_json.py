"""What Python sees of the check of a socket line: ``None`` or what is wrong, and where.

Owns the behaviour that ``_native.pyi`` promises of ``check_json``; the same verdicts on any bytes are fuzzed in Rust.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub import _native

GOOD = (
    b"0", b"-0", b'""', b"null", b" [] \r\n", b'{"a":{"a":1},"b":{"a":1}}', b"-9223372036854775808",
    b"9223372036854775807",
    b"[1.5e300,-1E-400]", '"\\ud83d\\ude00é"'.encode(), b"[" * 32 + b"]" * 32, b'{"":0}',
)  # fmt: skip
BAD = {
    "not valid JSON": (
        b"", b" ", b"{", b"[1,]", b"[,1]", b'{"a":1,}', b"{a:1}", b"{'a':1}", b"[1] x", b"01", b"1.", b".5", b"+1",
        b"1e", b"NaN",
        b"Infinity", b"nul", b"True", b'"\\x41"', b'"\\u12"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"a\nb"',
        b'"\x00"', b'"open',
        b"\xef\xbb\xbf[]", b"[/*c*/]", b"[1}", b'{"a"}', b'{"a":}', b"\x00",
    ),
    "not valid UTF-8": (b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b"\x80"),
    "nested more than 32 containers deep": (b"[" * 33, b'{"a":' * 33, b"[" * 100_000),
    "a member occurs twice in one object": (b'{"a":1,"a":1}', b'{"a":1,"b":2,"\\u0061":3}', b'[{"x":{"y":1,"y":2}}]'),
    "a number does not fit 64 bits": (b"9223372036854775808", b"-9223372036854775809", b"1e400", b"-1e400",
    b"9" * 5_000),
}  # fmt: skip


@pytest.mark.parametrize("line", GOOD)
def test_line_of_strict_json_is_good(line: bytes) -> None:
    """T07: legal texts at every limit."""
    assert _native.check_json(line) is None


@pytest.mark.parametrize(("wrong", "line"), [(wrong, line) for wrong, lines in BAD.items() for line in lines])
def test_line_that_is_not_gets_what_and_where_and_no_echo(wrong: str, line: bytes) -> None:
    """T07: one rule each, with the byte at which it shows."""
    found = re.fullmatch(r"([ -~]+) \(at byte (\d+)\)", _native.check_json(line) or "")
    assert found
    assert found[1] == wrong
    assert int(found[2]) <= len(line)


@pytest.mark.parametrize("other", ["[]", bytearray(b"[]"), None])
def test_line_that_is_not_bytes_is_a_type_error(other: Any) -> None:
    """T07: the socket hands over bytes."""
    with pytest.raises(TypeError):
        _native.check_json(other)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=40),
    max_leaves=50,
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_line_that_python_writes_is_good_and_orjson_reads_it(value: Any, escaped: bool, indent: int | None) -> None:
    """T07: what passes the check is what the server then reads."""
    line = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    assert _native.check_json(line) is None
    assert orjson.loads(line) == value


@settings(max_examples=400, deadline=None, derandomize=True)
@given(VALUES, st.data())
def test_line_cut_short_is_no_longer_good(value: Any, data: st.DataObject) -> None:
    """T07: no prefix of an object or array is one."""
    line = json.dumps([value]).encode()
    assert _native.check_json(line[: data.draw(st.integers(0, len(line) - 1))]) is not None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*"abcdefghij", "é", "\n"]), max_size=30))
def test_line_member_twice_is_found_among_few_and_many(names: list[str]) -> None:
    """T07 X-32: the last one does not silently win."""
    line = "{" + ",".join(f"{json.dumps(name)}:0" for name in names) + "}"
    assert (_native.check_json(line.encode()) is None) == (len(set(names)) == len(names))


def test_line_of_many_members_finds_the_one_that_repeats() -> None:
    """T07: among a thousand, at any place."""
    for place in (0, 1, 500, 998):
        names = [f"m{number}" for number in range(1_000)]
        names[999] = names[place]
        line = "{" + ",".join(f'"{name}":0' for name in names) + "}"
        assert "twice" in (_native.check_json(line.encode()) or "")
