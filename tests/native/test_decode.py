"""What Python sees of a decoded frame: normalised payloads, ids, call errors, refusals, and no leaks or races.

Owns the behaviour that ``_native.pyi`` promises of ``decode`` and ``decode_request``. The rules themselves are held by
tests/vectors.rs and tests/oracle.
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest

from ocpphub import _native


def call(action: str, payload: str, unique_id: str = "c-1") -> bytes:
    """A CALL around payload text."""
    return f'[2,"{unique_id}","{action}",{payload}]'.encode()


def taken(frame: bytes, pending: Mapping[str, str] | None = None, *, strict: bool = False) -> Any:
    """The payload of a frame that is accepted."""
    answer = _native.decode(frame, pending, strict=strict)
    assert isinstance(answer, _native.Call | _native.CallResult), answer
    return answer.payload()


def refused(frame: bytes, pending: Mapping[str, str] | None = None, *, strict: bool = False) -> _native.Violation:
    """The violation of a frame that is not."""
    answer = _native.decode(frame, pending, strict=strict)
    assert isinstance(answer, _native.Violation), answer
    return answer


@pytest.mark.parametrize(
    ("action", "payload", "normalised"),
    [
        ("RemoteStartTransaction", '{"idTag":"A","connectorId":null}', {"idTag": "A"}),
        ("Reset", '{"x":[{"y":1}],"type":"Soft","customData":{"vendorId":"v"}}', {"type": "Soft"}),
        ("GetCompositeSchedule", '{"connectorId":1E0,"duration":6e1}', {"connectorId": 1, "duration": 60}),
        ("UnlockConnector", '{"connectorId":-0}', {"connectorId": 0}),
        ("RemoteStopTransaction", '{"transactionId":9007199254740993}', {"transactionId": 9007199254740993}),
        ("DataTransfer", '{"vendorId":"v","data":{"a" : [1,"é"]}}', {"vendorId": "v", "data": '{"a" : [1,"é"]}'}),
        ("DataTransfer", '{"vendorId":"v","data":5}', {"vendorId": "v", "data": "5"}),
        ("DataTransfer", '{"vendorId":"v","data":"\\u0041\\ud83d\\ude00\\n"}', {"vendorId": "v",
         "data": "A\U0001f600\n"}),
        ("GetConfiguration", '{"k\\u0065y":["a","\\u00e9"]}', {"key": ["a", "é"]}),
        ("ClearCache", "null", {}),
        ("GetConfiguration", "{}", {}),
    ],
)  # fmt: skip
def test_call_tolerated_payload_is_normalised(action: str, payload: str, normalised: dict[str, Any]) -> None:
    """J-207 J-212 X-30 X-31 X-35 D-07: nulls and unknown members are gone, integers are int, data is text."""
    found = taken(call(action, payload))
    assert found == normalised
    assert [type(value) for value in found.values()] == [type(value) for value in normalised.values()]


@pytest.mark.parametrize(
    ("written", "limit"),
    [("16", 16.0), ("16.0", 16.0), ("8.1", 8.1), ("0.3", 0.3), ("16.25", 16.2), ("1.6e1", 16.0), ("1e-400", 0.0)],
)
def test_call_decimal_is_a_float_of_exact_tenths_rounded_down(written: str, limit: float) -> None:
    """X-33: no binary fraction decides."""
    schedule = f'{{"chargingRateUnit":"A","chargingSchedulePeriod":[{{"startPeriod":0,"limit":{written}}}]}}'
    profile = (
        '{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxDefaultProfile",'
        f'"chargingProfileKind":"Relative","chargingSchedule":{schedule}}}'
    )
    found = taken(call("SetChargingProfile", f'{{"connectorId":1,"csChargingProfiles":{profile}}}'))
    period = found["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]
    assert (period["limit"], type(period["limit"])) == (limit, float)


@pytest.mark.parametrize(
    ("action", "payload", "normalised"),
    [
        ("Authorize", {"idTagInfo": {"status": "NotAtThisTime"}}, {"idTagInfo": {"status": "Invalid"}}),
        ("Authorize", {"idTagInfo": {"status": "Blocked", "parentIdTag": ""}}, {"idTagInfo": {"status": "Blocked"}}),
        ("StatusNotification", [], {}),
        ("StatusNotification", None, {}),
        ("Heartbeat", {"currentTime": "yesterday", "x": 1}, {"currentTime": "yesterday"}),
        (
            "StartTransaction",
            {"idTagInfo": {"status": "Accepted"}, "transactionId": "1714564800123"},
            {"idTagInfo": {"status": "Accepted"}, "transactionId": 1714564800123},
        ),
        (
            "BootNotification",
            {"status": "Accepted", "currentTime": "2024-01-01T00:00:00Z", "heartbeatInterval": 300.0},
            {"status": "Accepted", "currentTime": "2024-01-01T00:00:00Z", "interval": 300},
        ),
        (
            "BootNotification",
            {"status": "Accepted", "currentTime": "2024-01-01T00:00:00Z", "interval": 60, "heartbeatInterval": 300},
            {"status": "Accepted", "currentTime": "2024-01-01T00:00:00Z", "interval": 60},
        ),
    ],
)
def test_confirmation_tolerated_payload_is_normalised(action: str, payload: Any, normalised: dict[str, Any]) -> None:
    """J-212 J-213 J-276 J-307: what a CSMS writes loosely is read as what it means."""
    assert taken(json.dumps([3, "p", payload]).encode(), {"p": action}) == normalised


def test_message_member_alone_is_what_the_payload_holds() -> None:
    """J-212: ``get`` normalises as ``payload`` does, and knows no member that is not there."""
    frame = call(
        "RemoteStartTransaction", ' {"x":[1,2], "connectorId" : 2e0,"idTag":"\\u0041","chargingProfile":null} '
    )
    answer = _native.decode(frame)
    assert isinstance(answer, _native.Call)
    whole = answer.payload()
    assert {name: answer.get(name) for name in ("connectorId", "idTag", "chargingProfile", "x", "")} == {
        "connectorId": 2, "idTag": "A", "chargingProfile": None, "x": None, "": None,
    }  # fmt: skip
    assert answer.payload() == whole
    assert answer.payload() is not whole


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("b-1", "b-1"),
        ('\\u0062\\/\\"\\\\\\n', 'b/"\\\n'),
        ("é電\U0001f50c", "é電\U0001f50c"),
        ("\\ud83d\\ude00" * 36, "\U0001f600" * 36),
        ("\\u0000", "\0"),
    ],
)
def test_message_id_in_any_writing_is_its_text_and_is_echoed(written: str, meant: str) -> None:
    """J-232: compared and echoed after unescaping; 36 characters, however long they are written."""
    answer = _native.decode(call("Reset", '{"type":"Soft"}', written))
    assert isinstance(answer, _native.Call)
    assert answer.unique_id == meant
    wrong = refused(call("Reset", '{"type":"X"}', written))
    assert json.loads(_native.encode_error(str(wrong.unique_id), wrong.code))[1] == meant
    result = _native.decode(f'[3,"{written}",{{"currentTime":"x"}}]'.encode(), {meant: "Heartbeat", "other": "Reset"})
    assert isinstance(result, _native.CallResult)
    assert (result.unique_id, result.action) == (meant, "Heartbeat")


class OtherMapping(Mapping[str, str]):
    """Neither a dict nor a view of one."""

    def __getitem__(self, key: str) -> str:
        return {"p": "Heartbeat"}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(("p",))

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("pending", "action"),
    [
        ({"p": "Heartbeat"}, "Heartbeat"),
        ({"a": "Reset", "p": "Heartbeat", "z": "Authorize"}, "Heartbeat"),
        (MappingProxyType({"p": "Heartbeat"}), "Heartbeat"),
        (OtherMapping(), "Heartbeat"),
        ({"q": "Heartbeat"}, None),
        ({"a": "Reset", "b": "Heartbeat"}, None),
        ({"p": "NoSuchAction"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_answer_pending_mapping_of_any_kind_names_its_action(
    pending: Mapping[str, str] | None, action: str | None
) -> None:
    """J-274: an answer to nothing is recognised as one."""
    result = _native.decode(b'[3,"p",{"currentTime":"x"}]', pending)
    assert isinstance(result, _native.CallResult)
    assert (result.action, result.get("currentTime")) == (action, "x" if action else None)
    error = _native.decode(b'[4,"p","InternalError","",{}]', pending)
    assert isinstance(error, _native.CallError)
    assert error.action == action


@pytest.mark.parametrize(
    ("rest", "code", "description", "details"),
    [
        ("", "GenericError", "", {}),
        (',"NotSupported"', "NotSupported", "", {}),
        (',"InternalError","oops"', "InternalError", "oops", {}),
        (',"FormatViolation","\\u00e9\\ud83d\\ude00",[1,{"a":0}]', "FormationViolation", "é\U0001f600", [1, {"a": 0}]),
        (',"OccurrenceConstraintViolation","",{}', "OccurenceConstraintViolation", "", {}),
        (',"TeapotError",null,null', "GenericError", "", None),
        (',7,{"a":1},"text"', "GenericError", "", "text"),
        (f',"InternalError","{"é" * 300}",{{}}', "InternalError", "é" * 255, {}),
    ],
)  # fmt: skip
def test_call_error_of_two_to_five_elements_has_its_fields(
    rest: str, code: str, description: str, details: Any
) -> None:
    """J-206 J-275: any code, any details, a bounded description."""
    error = _native.decode(f'[4,"p"{rest}]'.encode(), {"p": "Heartbeat"})
    assert isinstance(error, _native.CallError)
    found = (error.unique_id, error.action, error.code, error.description, error.details)
    assert found == ("p", "Heartbeat", code, description, details)


ORDER = (
    (b'[2,"\xff', "utf8", ""),
    (b'[2,"o","Nope",[1,]]', "syntax", ""),
    (b'[2,"o","Reset",{"type":7,"x":' + b"[" * 40 + b"]" * 40 + b"}]", "syntax", ""),
    (b'[2,"' + b"o" * 37 + b'","Nope"]', "envelope", ""),
    (b'[2,"o","Nope"]', "envelope", ""),
    (b'[2,"o","Nope",{},{}]', "envelope", ""),
    (b'[2,"o","Reset",{"type":7},{}]', "envelope", ""),
    (b'[2,"o",7,[]]', "envelope", ""),
    (b'[2,"o","Nope",[]]', "action", ""),
    (b'[2,"o","Heartbeat",[]]', "action", ""),
    (b'[2,"o","Reset",[]]', "payload", ""),
    (b'[2,"o","ReserveNow",{"reservationId":"x","idTag":"","connectorId":-1}]', "payload", "/reservationId"),
    (b'[2,"o","ReserveNow",{"idTag":"","reservationId":"x","connectorId":-1}]', "payload", "/idTag"),
    (b'[2,"o","ReserveNow",{"idTag":"a","idTag":7}]', "payload", "/idTag"),
    (b'[2,"o","ReserveNow",{"idTag":"a"}]', "payload", "/connectorId"),
    (b'[2,"o","SendLocalList",{"localAuthorizationList":[{"idTag":"a"},{"idTagInfo":{"status":"Accepted"}}]}]',
     "payload",
     "/localAuthorizationList/1/idTag"),
)  # fmt: skip


@pytest.mark.parametrize(("frame", "stage", "pointer"), ORDER)
def test_violation_of_several_rules_is_the_first_of_the_pipeline(frame: bytes, stage: str, pointer: str) -> None:
    """J-251 J-252 J-253 J-254 J-255 J-262: text, syntax, envelope, action, then members in document order."""
    violation = refused(frame)
    assert (violation.stage, violation.pointer) == (stage, pointer)
    assert violation.description.isascii()
    assert len(violation.description) <= 255


@pytest.mark.parametrize(
    ("start", "unique_id"),
    [
        (' \r\n[2,"s",', "s"), ('[2,"s" ,', "s"), ('[2,"\\u0073\\n",', "s\n"), (f'[2,"{"é" * 36}",', "é" * 36),
        (f'[2,"{"é" * 37}",', None), ('[2,"s"', None), ('[2,"s" "', None), ('[2e0,"s",', None), ('[2.0,"s",', None),
        ('[2,7,', None), ('[2,null,', None), ('["2","s",', None), ('[5,"s",', None), ('[2,"\\ud800",', None),
        ('{"a":2,"s":', None), ("", None), ('[[2,"s",', None), ('x[2,"s",', None),
    ],
)  # fmt: skip
def test_violation_of_broken_json_is_answered_only_behind_the_prefix(start: str, unique_id: str | None) -> None:
    """J-253 J-272 D-06: whitespace, ``[``, ``2``, an id of at most 36 characters, a comma; else silence."""
    violation = refused(f'{start}"Reset",{{"type":"So'.encode())
    assert violation.unique_id == unique_id
    assert violation.verdict == ("ignore" if unique_id is None else "callerror")
    assert violation.code == "FormationViolation"


def test_violation_has_every_field_of_the_stub() -> None:
    """J-256 J-262: what an answer and a log line need."""
    violation = refused(b'[2,"v","Reset",{"type":"CANARY"}]')
    found = (violation.verdict, violation.message_type, violation.unique_id, violation.action, violation.code)
    assert found == ("callerror", 2, "v", "Reset", "PropertyConstraintViolation")
    assert "CANARY" not in violation.description + repr(violation)


@pytest.mark.parametrize(
    ("frame", "by"), [(b'[2,"d","Heartbeat",{}]', "charge point"), (b'[2,"d","ClearCache",{}]', "CSMS")]
)
def test_request_is_taken_from_the_side_that_may_send_it(frame: bytes, by: str) -> None:
    """J-252: ``decode`` reads for a charge point, ``decode_request`` for a CSMS."""
    right, wrong = (
        (_native.decode_request, _native.decode) if by == "charge point" else (_native.decode, _native.decode_request)
    )
    assert isinstance(right(frame), _native.Call)
    answer = wrong(frame)
    assert isinstance(answer, _native.Violation)
    assert (answer.stage, answer.code) == ("action", "NotSupported")


@pytest.mark.parametrize("other", ["[]", bytearray(b"[]"), memoryview(b"[]"), None])
def test_decode_anything_but_bytes_is_a_type_error(other: Any) -> None:
    """J-325: a text would have lost what its bytes were."""
    with pytest.raises(TypeError):
        _native.decode(other)


MIXED = (
    call("GetConfiguration", '{"key":["a","\\u00e9","c"]}'), call("Reset", '{"type":"Secret"}'), b"[3", b'[2,"\xff"]',
    b'[4,"p","InternalError","why",{"a":[1,2]}]', b'[3,"p",{"currentTime":"x"}]', call("ClearCache", "null"),
)  # fmt: skip


def everything(frame: bytes) -> str:
    """Every field of what a frame decodes to."""
    answer = _native.decode(frame, {"p": "Heartbeat"})
    if isinstance(answer, _native.Violation):
        return f"{answer!r} {answer.unique_id} {answer.pointer} {answer.stage}"
    if isinstance(answer, _native.CallError):
        return f"{answer.unique_id} {answer.code} {answer.description} {answer.details}"
    return f"{answer.unique_id} {answer.action} {answer.payload()} {answer.get('key')}"


def test_decode_10000_frames_keeps_nothing() -> None:
    """J-278 N33: neither a reference to a frame nor memory."""
    everything_once = [everything(frame) for frame in MIXED]
    gc.collect()
    counts = [sys.getrefcount(frame) for frame in MIXED]
    none, key = sys.getrefcount(None), sys.getrefcount("currentTime")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10_000):
            everything(MIXED[number % len(MIXED)])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [sys.getrefcount(frame) for frame in MIXED] == counts
    assert abs(sys.getrefcount(None) - none) < 100
    assert abs(sys.getrefcount("currentTime") - key) < 100
    assert after - before < 16_384
    assert [everything(frame) for frame in MIXED] == everything_once


def test_decode_from_4_threads_gives_each_its_own_answer() -> None:
    """N07: no state is shared between calls."""
    right = [everything(frame) for frame in MIXED]

    def work(offset: int) -> bool:
        order = [(offset + step) % len(MIXED) for step in range(3_000)]
        return all(everything(MIXED[place]) == right[place] for place in order)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4


BOOT = '"status":"Accepted","currentTime":"2024-01-01T00:00:00Z"'


def test_confirmation_interval_behind_its_other_name_is_taken() -> None:
    """J-213: the other name counts only when ``interval`` is missing."""
    frame = f'[3,"p",{{{BOOT},"heartbeatInterval":300,"interval":60}}]'.encode()
    assert taken(frame, {"p": "BootNotification"})["interval"] == 60


def test_call_least_integer_of_64_bits_is_taken() -> None:
    """J-256: transaction ids have 64 bits."""
    frame = call("RemoteStopTransaction", '{"transactionId":-9223372036854775808}')
    assert taken(frame) == {"transactionId": -(2**63)}


def test_call_limit_just_below_zero_is_refused() -> None:
    """J-256: negative is negative, however little."""
    schedule = '{"chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":-0.05}]}'
    profile = f'{{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxDefaultProfile",\
"chargingProfileKind":"Relative","chargingSchedule":{schedule}}}'
    violation = refused(call("SetChargingProfile", f'{{"connectorId":1,"csChargingProfiles":{profile}}}'))
    assert violation.code == "PropertyConstraintViolation"
