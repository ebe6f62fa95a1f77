"""What Python sees of a prepared MeterValues layout: frames that the other side accepts, with the same numbers.

Owns the behaviour that ``_native.pyi`` promises of ``MeterLayout``. Source: OCPP 1.6 section 6.31.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub import _native

KINDS = {
    "context": "ReadingContext", "format": "ValueFormat", "measurand": "Measurand", "phase": "Phase",
    "location": "Location", "unit": "UnitOfMeasure",
}  # fmt: skip
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SAMPLES = st.lists(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(_native.enums()[kind]) for name, kind in KINDS.items()}),
    min_size=1,
    max_size=6,
)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.integers(
    0, 4_000_000
).map(lambda thousandths: thousandths / 1000)  # fmt: skip
TIMES = st.integers(-62_167_219_200_000, 253_402_300_799_999)


def read(frame: bytes) -> dict[str, Any]:
    """The payload that a strict CSMS reads."""
    answer = _native.decode_request(frame, strict=True)
    assert isinstance(answer, _native.Call), answer
    assert answer.action == "MeterValues"
    return answer.payload()


def stamp(utc_ms: int) -> str:
    """The time as it is written."""
    return (EPOCH + timedelta(milliseconds=utc_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    SAMPLES,
    st.data(),
    st.integers(0, 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=36),
)
def test_frame_any_readings_are_read_back_by_a_strict_csms(
    samples: list[dict[str, str]], data: st.DataObject, connector_id: int, transaction_id: int | None, unique_id: str
) -> None:
    """J-201 J-209 CORE-GEN-05: ids, times, members and numbers are the ones that went in."""
    row = st.lists(NUMBERS, min_size=len(samples), max_size=len(samples)).filter(
        lambda row: any(x is not None for x in row)
    )
    times = st.integers(-62_135_596_800_000, 253_402_300_799_999)
    readings = data.draw(st.lists(st.tuples(times, row), min_size=1, max_size=3))
    frame = _native.MeterLayout(samples).encode(unique_id, connector_id, transaction_id, readings)
    payload = read(frame)
    assert json.loads(frame)[1] == unique_id
    assert (payload["connectorId"], payload.get("transactionId")) == (connector_id, transaction_id)
    assert len(payload["meterValue"]) == len(readings)
    for meter_value, (utc_ms, numbers) in zip(payload["meterValue"], readings, strict=True):
        assert meter_value["timestamp"] == stamp(utc_ms)
        kept = [(sample, number) for sample, number in zip(samples, numbers, strict=True) if number is not None]
        assert [{k: v for k, v in item.items() if k != "value"} for item in meter_value["sampledValue"]] == [
            sample for sample, _ in kept
        ]
        assert [float(item["value"]) for item in meter_value["sampledValue"]] == [float(number) for _, number in kept]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (230.1, "230.1"), (-2.5, "-2.5"), (0.001, "0.001"), (1e21, "1000000000000000000000"), (True, "1"),
        (1e-7, "0.0000001"), (0.1 + 0.2, "0.30000000000000004"), (12345678.9, "12345678.9"),
    ],
)  # fmt: skip
def test_frame_number_is_decimal_text_without_exponent(number: float, text: str) -> None:
    """X-34: sampled values are strings, and what a meter counts reads as it is written."""
    payload = read(_native.MeterLayout([{}]).encode("m", 1, None, [(0, [number])]))
    assert payload["meterValue"][0]["sampledValue"] == [{"value": text}]


def test_frame_none_and_nan_leave_their_sample_out() -> None:
    """N26: no placeholder 0 for what was not measured."""
    layout = _native.MeterLayout([{"measurand": "Voltage"}, {"measurand": "SoC"}, {"measurand": "Frequency"}])
    payload = read(layout.encode("m", 1, 7, [(0, (math.nan, 55, None))]))
    assert payload["meterValue"][0]["sampledValue"] == [{"value": "55", "measurand": "SoC"}]


@pytest.mark.parametrize(
    ("sample", "pointer"),
    [
        ({"unit": "Hertz"}, "/unit"), ({"unit": "Celcius"}, "/unit"), ({"unit": "CANARY"}, "/unit"), ({"phase": ""},
         "/phase"),
        ({"measurand": "CANARY"}, "/measurand"), ({"value": "1"}, "sample 1: "), ({"CANARY": "1"}, "sample 1: "),
    ],
)  # fmt: skip
def test_layout_sample_that_the_pdu_has_not_is_refused_by_place(sample: dict[str, str], pointer: str) -> None:
    """J-209 J-210 J-256: the second sample is named, its value is not."""
    with pytest.raises(ValueError) as refusal:
        _native.MeterLayout([{"unit": "V"}, sample])
    assert str(refusal.value).startswith("sample 1: ")
    assert pointer in str(refusal.value)
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize(
    ("connector_id", "readings"),
    [
        (1, []), (1, [(0, [])]), (1, [(0, [1, 2])]), (1, [(0, [None])]), (1, [(0, [math.nan])]), (1, [(0, [math.inf])]),
        (1, [(0, [1]), (0, [-math.inf])]), (-1, [(0, [1])]), (2**31, [(0, [1])]), (1, [(253_402_300_800_000, [1])]),
        (1, [(-62_167_219_200_001, [1])]),
    ],
)  # fmt: skip
def test_frame_of_parts_that_the_pdu_has_not_is_refused(connector_id: int, readings: list[Any]) -> None:
    """J-208 J-254 J-256: no empty list, no infinite number, no impossible time or connector."""
    with pytest.raises(ValueError):
        _native.MeterLayout([{"unit": "Wh"}]).encode("m", connector_id, None, readings)


@pytest.mark.parametrize("number", ["1", b"1", [1], object()])
def test_frame_number_of_another_type_is_a_type_error(number: Any) -> None:
    """X-34: numbers come as numbers."""
    with pytest.raises(TypeError):
        _native.MeterLayout([{}]).encode("m", 1, None, [(0, [number])])


@given(TIMES)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_frame_time_of_the_years_0_to_9999_has_one_form(utc_ms: int) -> None:
    """CORE-GEN-05 X-36: milliseconds and Z, always."""
    written = read(_native.MeterLayout([{}]).encode("m", 1, None, [(utc_ms, [1])]))["meterValue"][0]["timestamp"]
    assert len(written) == 24
    assert written[10] + written[19] + written[23] == "T.Z"
    assert int(written[20:23]) == utc_ms % 1000
