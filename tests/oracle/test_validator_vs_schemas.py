"""The validator's verdict against the JSON schemas of the `ocpp` package, for valid and mutated payloads.

Owns the comparison; every intended difference is a named rule in tests/oracle/rules.py. Must never skip a payload.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benches.table import messages
from ocpphub import _native
from tests.oracle import rules, schemas

FROM_CSMS = tuple(
    (action, direction)
    for action, row in _native.actions().items()
    for direction in ("request", "confirmation")
    if row["sender"] != ("charge_point" if direction == "request" else "csms")
)
FROM_CHARGE_POINT = tuple(
    (action, direction)
    for action, row in _native.actions().items()
    for direction in ("request", "confirmation")
    if row["sender"] != ("csms" if direction == "request" else "charge_point")
)
PROFILE = settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def frame(where: rules.Where, payload: Any) -> bytes:
    """The payload in its envelope."""
    action, direction = where
    envelope = [2, "o-1", action, payload] if direction == "request" else [3, "o-1", payload]
    return json.dumps(envelope, ensure_ascii=False).encode("utf-8", "surrogatepass")


def accepted(where: rules.Where, payload: Any, strict: bool) -> bool:
    """Our verdict on what a CSMS sends."""
    answer = _native.decode(frame(where, payload), {"o-1": where[0]}, strict=strict)
    return not isinstance(answer, _native.Violation)


def accepted_from_charge_point(where: rules.Where, payload: Any) -> bool:
    """Our verdict on what a charge point sends."""
    answer = _native.decode_request(frame(where, payload), {"o-1": where[0]})
    return not isinstance(answer, _native.Violation)


def encodable(where: rules.Where, payload: Any) -> bool:
    """Our verdict on what the charge point itself is about to send."""
    encode = _native.encode_call if where[1] == "request" else _native.encode_result
    try:
        encode("o-1", where[0], payload)
    except ValueError:
        return False
    return True


def expected(where: rules.Where, payload: Any, *, strict: bool, tolerant: bool = True) -> tuple[bool, str]:
    """The verdict that schema and named rules give, and why. ``tolerant`` is off for what we are about to send."""
    taken = rules.tolerated(where, payload, strict) if tolerant else payload
    by_schema = schemas.accepts(*where, taken)
    broken = rules.refused_by(where, taken, strict) if isinstance(taken, dict) else []
    return by_schema and not broken, f"schema {'accepts' if by_schema else 'refuses'}, rules {broken}"


@st.composite
def cases(draw: st.DrawFn, wheres: tuple[rules.Where, ...]) -> tuple[rules.Where, Any]:
    """A message and a payload: valid one time in four."""
    where = draw(st.sampled_from(wheres))
    payload = draw(schemas.payloads(*where) if draw(st.integers(0, 3)) == 0 else schemas.mutated(*where))
    return where, payload


@PROFILE
@given(cases(FROM_CSMS))
def test_csms_frame_any_payload_verdict_of_schema_and_named_rules(case: tuple[rules.Where, Any]) -> None:
    """J-251 J-254 J-255 J-256 J-276 D-07: lenient mode, both requests and confirmations of a CSMS."""
    verdict, why = expected(*case, strict=False)
    assert accepted(*case, strict=False) == verdict, why


@PROFILE
@given(cases(FROM_CSMS))
def test_csms_frame_any_payload_strict_verdict_of_schema_and_stricter_rules(case: tuple[rules.Where, Any]) -> None:
    """J-209 D-07: strict mode knows no tolerance."""
    verdict, why = expected(*case, strict=True)
    assert accepted(*case, strict=True) == verdict, why


@PROFILE
@given(cases(FROM_CHARGE_POINT))
def test_charge_point_frame_any_payload_verdict_of_schema_and_named_rules(case: tuple[rules.Where, Any]) -> None:
    """J-254 J-255 J-256: the other direction, as a CSMS reads it."""
    verdict, why = expected(*case, strict=False)
    assert accepted_from_charge_point(*case) == verdict, why


@PROFILE
@given(cases(FROM_CHARGE_POINT))
def test_charge_point_payload_any_is_encoded_only_when_schema_and_rules_accept(case: tuple[rules.Where, Any]) -> None:
    """J-208 J-209: nothing leaves that the schemas refuse."""
    verdict, why = expected(*case, strict=True, tolerant=False)
    assert encodable(*case) == verdict, why


@pytest.mark.parametrize(("action", "direction"), sorted({*FROM_CSMS, *FROM_CHARGE_POINT}))
def test_table_every_message_has_the_members_of_its_schema(action: str, direction: str) -> None:
    """J-209: the action table names no member that the schema lacks, and lacks none."""
    row = next(message for message in messages() if (message.action, message.direction) == (action, direction))
    assert {field.name for field in row.fields} == set(schemas.schema(action, direction).get("properties", {}))
