"""Whole frames, mutated: our reader against the slow one of reference_reader.py, the schemas and the named rules.

Owns the comparison and the changes that make odd frames of good and bad ones. Every difference is listed in
:data:`DIFFERENCES`. Must never compare the order of faults inside a payload: vectors and tests/native do.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ocpphub import _native
from tests.bad_frames import ROWS, bytes_of
from tests.oracle import rules, schemas
from tests.oracle.reference_reader import Members, Number, Reading, read

SENDERS = {action: str(row["sender"]) for action, row in _native.actions().items()}
PENDING = {
    "p1": "BootNotification",
    "p2": "StartTransaction",
    "p3": "Authorize",
    "p4": "DataTransfer",
    "p5": "Heartbeat",
}
ROW_FRAMES = [frame for row in ROWS if len(frame := bytes_of(row)) <= 2_000]
PIECES = (
    "[", "]", "{", "}", ",", ":", '"', "\\", " ", "\n", "\0", "é", "\ufeff", "\\u0041", "\\ud83d", "null", "true",
    "2", "3",
    "4", "-0", "1.0", "6e1", "1.5", "16.25", "1e400", "1e-400", "2147483648", "9223372036854775807", "01", '""',
    "[]", "{}",
    '"p1"', '"Accepted"', '"Reset"', '"idTag"', '"status":1,', '"x":{"a":1,"a":2},', '"2024-02-30T00:00:00Z"',
    '"\\u0000"',
    "[" * 31, "]" * 31, '"a b:c"', '"accepted"', '"12"',
)  # fmt: skip
TOKEN = re.compile(rb'"[^"]*"|-?[0-9][0-9.eE+-]*|[a-z]+|[\[\]{},:]')

DIFFERENCES: dict[str, Callable[[bytes], object]] = {
    "rules.py takes transaction ids of up to 18 digits in quotes": lambda frame: re.search(rb'"-?\d{19,}"', frame),
}
"""What is not compared, and why."""
BEYOND = Decimal("1e20")
"""Above every range."""


def plain(value: Any, strict: bool) -> Any:
    """A value of the reference reader as the schemas take it; numbers keep sign, size and fineness, not every digit."""
    if isinstance(value, Members):
        return {name: plain(member, strict) for name, member in value.pairs}
    if isinstance(value, list):
        return [plain(item, strict) for item in value]
    if isinstance(value, Number):
        return _number(value, strict)
    # A leap second is a time (RFC 3339), which datetime does not know.
    return re.sub(r"(\d\d:\d\d):60", r"\1:59", value) if isinstance(value, str) else value


def _number(value: Number, strict: bool) -> int | float:
    try:
        exact = Decimal(value.text)
    except InvalidOperation:
        exact = BEYOND.copy_sign(Decimal(value.text[:1] + "1" if value.text[0] == "-" else "1"))
    if exact.adjusted() >= BEYOND.adjusted():
        exact = BEYOND.copy_sign(exact)
    if exact == exact.to_integral_value():
        return int(exact) if value.is_plain or not strict else float(exact)
    tenths = exact.quantize(Decimal("0.1"), ROUND_DOWN)
    return float(exact if exact == tenths else tenths + Decimal("0.05").copy_sign(exact))


def repeats_known(payload: Any, node: schemas.Schema) -> bool:
    """Whether a member that the PDU has occurs twice in one object (J-253)."""
    if isinstance(payload, list):
        return any(repeats_known(item, node.get("items", {})) for item in payload)
    if not isinstance(payload, Members):
        return False
    known = node.get("properties", {})
    names = [name for name, _ in payload.pairs if name in known]
    return len(set(names)) < len(names) or any(
        repeats_known(member, known[name]) for name, member in payload.pairs if name in known
    )


def blank_in_uri(where: rules.Where, payload: Any) -> bool:
    """RFC 3986 has no blanks and no control characters; rules.py does not look for them."""
    return any(
        node.get("format") == "uri" and isinstance(value, str) and re.search(r"[\s\x00-\x1f\x7f]", value)
        for _, value, node in schemas.nodes(payload, schemas.schema(*where))
        if node
    )


def takes(action: str, direction: str, payload: Any, strict: bool) -> bool:
    """Whether schema and rules take a payload."""
    where = (action, direction)
    if isinstance(payload, Members) and repeats_known(payload, schemas.schema(*where)):
        return False
    taken = rules.tolerated(where, plain(payload, strict), strict)
    if not isinstance(taken, dict) or not schemas.accepts(*where, taken):
        return False
    return not rules.refused_by(where, taken, strict) and not blank_in_uri(where, taken)


def expected(frame: bytes, *, strict: bool) -> tuple[str, str | None, str | None, str | None]:
    """Verdict, code where the envelope decides it, id where it matters, and the action of an accepted frame."""
    reading: Reading = read(frame, SENDERS, PENDING, strict=strict)
    answered = reading.verdict == "callerror" or reading.verdict == "accept" or reading.message_type == 3
    unique_id = reading.unique_id if answered else None
    if reading.verdict == "accept" and reading.action is not None:
        direction = "request" if reading.message_type == 2 else "confirmation"
        if not takes(reading.action, direction, reading.payload, strict):
            return ("callerror" if reading.message_type == 2 else "ignore"), None, unique_id, None
    return reading.verdict, reading.code if reading.verdict == "callerror" else None, unique_id, reading.action


def found(frame: bytes, *, strict: bool) -> tuple[str, str | None, str | None, str | None]:
    """The same of our reader."""
    answer = _native.decode(frame, PENDING, strict=strict)
    if not isinstance(answer, _native.Violation):
        return "accept", None, answer.unique_id, None if isinstance(answer, _native.CallError) else answer.action
    code = answer.code if answer.verdict == "callerror" and answer.stage != "payload" else None
    if answer.stage == "payload" and answer.description == "the payload must be an object":
        code = answer.code
    return answer.verdict, code, answer.unique_id if answer.message_type in (2, 3) else None, None


def whole(node: schemas.Schema, *, optional: bool) -> Any:
    """A valid value of a schema, with or without what is optional."""
    if node["type"] == "object":
        required = node.get("required", ())
        members = node.get("properties", {}).items()
        return {name: whole(member, optional=optional) for name, member in members if optional or name in required}
    if node["type"] == "array":
        return [whole(node["items"], optional=optional)]
    if node["type"] == "string":
        texts = {"date-time": schemas.DATE_TIMES[0], "uri": schemas.URIS[0]}
        return node["enum"][0] if "enum" in node else texts.get(node.get("format", ""), "A1")
    return {"integer": 1, "number": 16.5, "boolean": True}[node["type"]]


def good_frames() -> list[bytes]:
    """A CALL of every action, a CALLRESULT of every pending one, a CALLERROR."""
    envelopes = [[2, "g-1", action, action, "request"] for action in SENDERS]
    envelopes += [[3, unique_id, action, "confirmation"] for unique_id, action in PENDING.items()]
    frames = [b'[4,"p1","InternalError","why",{"a":1}]']
    for *head, action, direction in envelopes:
        for optional in (False, True):
            payload = whole(schemas.schema(str(action), str(direction)), optional=optional)
            frames.append(json.dumps([*head, payload], ensure_ascii=False).encode())
    return frames


SEEDS = [*ROW_FRAMES, *good_frames()]
Change = tuple[str, int, int, str]
CHANGES = st.tuples(
    st.sampled_from(("swap", "swap", "drop", "repeat", "insert", "cut", "byte", "graft")),
    st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from(PIECES),
)  # fmt: skip


def changed(frame: bytes, change: Change) -> bytes:
    """One change, most of them at the bounds of a token so that the frame stays nearly good."""
    kind, first, second, piece = change
    tokens = list(TOKEN.finditer(frame))
    if not tokens or kind in ("cut", "byte"):
        at = first % (len(frame) + 1)
        return frame[:at] if kind == "cut" else frame[:at] + bytes([second % 256]) + frame[at + 1 :]
    start, end = tokens[first % len(tokens)].span()
    if kind == "graft":
        other = SEEDS[second % len(SEEDS)]
        return frame[:start] + other[len(other) // 3 : 2 * len(other) // 3] + frame[end:]
    inside = {"swap": piece.encode(), "drop": b"", "repeat": frame[start:end] * (1 + second % 3)}
    return frame[:start] + inside.get(kind, piece.encode() + frame[start:end]) + frame[end:]


@pytest.mark.timeout(600)  # `make oracle N=100000` is allowed its time
@settings(
    max_examples=int(os.environ.get("ORACLE_EXAMPLES", "5000")),
    deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
)  # fmt: skip
@given(st.sampled_from(SEEDS), st.lists(CHANGES, max_size=3), st.booleans())
def test_csms_frame_mutated_verdict_code_and_id_of_the_reference(
    seed: bytes, changes: list[Change], strict: bool
) -> None:
    """J-251 J-252 J-253 J-261 J-271 J-272 J-273 J-274 J-275 J-276 J-325 D-03 D-06: the reference's verdict."""
    frame = seed
    for change in changes:
        frame = changed(frame, change)[:3_000]
    assume(not any(differs(frame) for differs in DIFFERENCES.values()))
    assert found(frame, strict=strict) == expected(frame, strict=strict)


@pytest.mark.parametrize("strict", [False, True])
def test_csms_frame_seed_verdict_code_and_id_of_the_reference(strict: bool) -> None:
    """J-204 J-205 J-206 J-253 D-07: every seed, unchanged; the good ones of a CSMS are accepted."""
    for frame in SEEDS:
        if not any(differs(frame) for differs in DIFFERENCES.values()):
            assert (frame, found(frame, strict=strict)) == (frame, expected(frame, strict=strict))
    good = [expected(frame, strict=strict)[0] for frame in good_frames()]
    assert good.count("accept") > len(good) // 2
