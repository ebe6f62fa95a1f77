"""What Python sees of encoding: frames that read back, refusals that name the place and never the value.

Owns the behaviour that ``_native.pyi`` promises of ``encode_call``, ``encode_result`` and ``encode_error``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ocpphub import _native
from tests.oracle import rules, schemas

ACTIONS = _native.actions()
OURS = tuple(action for action, row in ACTIONS.items() if row["sender"] != "csms")
THEIRS = tuple(action for action, row in ACTIONS.items() if row["sender"] != "charge_point")
PROFILE = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
CODES = (
    "NotImplemented", "NotSupported", "InternalError", "ProtocolError", "SecurityError", "FormationViolation",
    "PropertyConstraintViolation", "OccurenceConstraintViolation", "TypeConstraintViolation", "GenericError",
)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn, actions: tuple[str, ...], direction: str) -> tuple[str, dict[str, Any]]:
    """An action and a payload that schema and rules accept."""
    action = draw(st.sampled_from(actions))
    payload = draw(schemas.payloads(action, direction))
    assume(schemas.accepts(action, direction, payload) and not rules.refused_by((action, direction), payload, True))
    return action, payload


def without_empty_texts(value: Any) -> Any:
    """A confirmation as it is read: an optional text that is empty counts as absent (J-276)."""
    if isinstance(value, dict):
        return {name: without_empty_texts(member) for name, member in value.items() if member != ""}
    return [without_empty_texts(item) for item in value] if isinstance(value, list) else value


@PROFILE
@given(messages(OURS, "request"), st.text(max_size=36))
def test_call_any_valid_payload_reads_back_as_it_was(message: tuple[str, dict[str, Any]], unique_id: str) -> None:
    """J-204 J-209 J-232: encoded, decoded by the other side, materialised: the same id, action and payload."""
    action, payload = message
    frame = _native.encode_call(unique_id, action, payload)
    assert json.loads(frame) == [2, unique_id, action, payload]
    for strict in (False, True):
        answer = _native.decode_request(frame, strict=strict)
        assert isinstance(answer, _native.Call), answer
        assert (answer.unique_id, answer.action, answer.payload()) == (unique_id, action, payload)


@PROFILE
@given(messages(THEIRS, "confirmation"), st.text(max_size=36))
def test_result_any_valid_payload_reads_back_as_it_was(message: tuple[str, dict[str, Any]], unique_id: str) -> None:
    """J-205 J-209 J-232: the same for an answer, by the side that waits for it."""
    action, payload = message
    frame = _native.encode_result(unique_id, action, payload)
    assert json.loads(frame) == [3, unique_id, payload]
    answer = _native.decode_request(frame, {unique_id: action})
    assert isinstance(answer, _native.CallResult), answer
    assert (answer.unique_id, answer.action) == (unique_id, action)
    assert without_empty_texts(answer.payload()) == without_empty_texts(payload)


START = {"connectorId": 1, "idTag": "CANARY", "meterStart": 0, "timestamp": "2024-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("action", "payload", "pointer"),
    [
        ("Authorize", {"idTag": "CANARY" * 4}, "/idTag"),
        ("Authorize", {"idTag": "CANARY\0"}, "/idTag"),
        ("Authorize", {"idTag": ""}, "/idTag"),
        ("Authorize", {"idTag": None}, "/idTag"),
        ("Authorize", {}, "/idTag"),
        ("StartTransaction", START | {"meterStart": 1.5}, "/meterStart"),
        ("StartTransaction", START | {"meterStart": float("nan")}, "/meterStart"),
        ("StartTransaction", START | {"connectorId": 0}, "/connectorId"),
        ("StartTransaction", START | {"timestamp": "CANARY"}, "/timestamp"),
        ("StatusNotification", {"connectorId": 1, "errorCode": "CANARY", "status": "Available"}, "/errorCode"),
        ("MeterValues", {"connectorId": 1, "meterValue": []}, "/meterValue"),
        (
            "MeterValues",
            {"connectorId": 1, "meterValue": [{"timestamp": START["timestamp"], "sampledValue": [{"value": 7}]}]},
            "/meterValue/0/sampledValue/0/value",
        ),
    ],
)
def test_call_payload_that_breaks_its_pdu_is_refused_with_the_place_only(
    action: str, payload: dict[str, Any], pointer: str
) -> None:
    """J-208 J-209 J-254 J-255 J-256 X-38: nothing illegal leaves, and the refusal says where, not what."""
    with pytest.raises(ValueError) as refusal:
        _native.encode_call("e", action, payload)
    assert str(refusal.value).startswith(f"{pointer}: ")
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("payload", [{"CANARY": 1}, [], "CANARY", 7])
def test_call_payload_of_another_shape_is_refused(payload: Any) -> None:
    """J-209: no member that the PDU has not, no other JSON."""
    with pytest.raises(ValueError) as refusal:
        _native.encode_call("e", "Heartbeat", payload)
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("value", ["\ud800CANARY", 2**70, object()])
def test_call_value_that_json_cannot_hold_is_refused(value: Any) -> None:
    """J-201: no text of lone surrogates, no integer beyond 64 bits, no Python object."""
    with pytest.raises((TypeError, ValueError)) as refusal:
        _native.encode_call("e", "Authorize", {"idTag": value})
    assert "CANARY" not in str(refusal.value)


def test_action_of_the_other_side_or_of_nobody_is_refused() -> None:
    """J-252: each function encodes what a charge point sends."""
    for action in set(THEIRS) - set(OURS):
        with pytest.raises(ValueError, match=r"^action: "):
            _native.encode_call("e", action, {})
    for action in set(OURS) - set(THEIRS):
        with pytest.raises(ValueError, match=r"^action: "):
            _native.encode_result("e", action, {})
    for action in ("", "heartbeat", "Heartbeat.req", "Heartbeat\0", "CANARY"):
        with pytest.raises(ValueError) as refusal:
            _native.encode_call("e", action, {})
        assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("unique_id", ["", 'quote"back\\slash', "line\nend\0", "é電\U0001f50c", "/", "\x7f\u2028"])
def test_id_that_needs_escaping_is_the_same_for_the_other_side(unique_id: str) -> None:
    """J-232: ids are compared after unescaping."""
    frames = (
        _native.encode_call(unique_id, "Heartbeat", {}),
        _native.encode_result(unique_id, "Reset", {"status": "Accepted"}),
        _native.encode_error(unique_id, "InternalError"),
    )
    for frame in frames:
        answer = _native.decode_request(frame, {unique_id: "Reset"})
        assert not isinstance(answer, _native.Violation)
        assert answer.unique_id == unique_id
        assert json.loads(frame)[1] == unique_id


@pytest.mark.parametrize("code", CODES)
def test_error_of_every_code_has_five_elements(code: str) -> None:
    """J-206 J-251 J-260: with the spelling of 1.6."""
    assert json.loads(_native.encode_error("e", code)) == [4, "e", code, "", {}]


@pytest.mark.parametrize(
    "code", ["", "FormatViolation", "OccurrenceConstraintViolation", "RpcFrameworkError", "CANARY"]
)
def test_error_of_a_code_that_1_6_lacks_is_refused(code: str) -> None:
    """J-206: the spellings of 2.x are understood, never sent."""
    with pytest.raises(ValueError) as refusal:
        _native.encode_error("e", code)
    assert "CANARY" not in str(refusal.value)


@given(st.text(), st.text(max_size=36), st.dictionaries(st.text(max_size=9), st.integers(-9, 9), max_size=3))
@PROFILE
def test_error_any_description_is_bounded_ascii_and_reads_back(
    description: str, unique_id: str, details: dict[str, int]
) -> None:
    """J-206 J-262 N05: building a refusal cannot fail."""
    frame = _native.encode_error(unique_id, "GenericError", description * 9, details)
    kind, echoed, code, shown, given_back = json.loads(frame)
    assert (kind, echoed, code, given_back) == (4, unique_id, "GenericError", details)
    assert len(shown) == min(len(description) * 9, 255)
    assert shown.isascii()
    assert shown.isprintable()


def test_call_payload_none_is_not_sent_as_null() -> None:
    """J-207: an empty payload is sent as ``{}``."""
    with pytest.raises((TypeError, ValueError)):
        _native.encode_call("e", "Heartbeat", None)  # type: ignore[arg-type]


def test_call_id_of_37_characters_is_refused() -> None:
    """J-231: own ids have at most 36 characters, and our own reader refuses more."""
    with pytest.raises(ValueError):
        _native.encode_call("é" * 37, "Heartbeat", {})
