"""Frames that are refused, and the longest ones that are legal.

Owns for every good frame its refused siblings of the same size, the rows of tests/vectors/bad-frames.jsonl with a good
frame of their size, and legal frames that fill the message limit. Source: OCPP-J requirements 1.6, 1.7; D-24, D-28.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from benches.corpus import Frame, frame, meter_value, received

VECTORS = Path(__file__).parents[1] / "tests" / "vectors" / "bad-frames.jsonl"
MESSAGE_LIMIT = 1 << 20


def siblings(good: Frame) -> dict[str, bytes]:
    """Refused frames of the size of a good one (a few bytes more at most), the fault as late as it can be."""
    data = good.data
    broken = {"cut": data[:-1]}
    quote = data.rindex(b'"')
    if data.rindex(b"{") < quote and good.payload:
        broken["utf8"] = data[:quote] + b"\xff" + data[quote + 1 :]
        first = next(iter(good.payload))
        broken["duplicate"] = data[:-2] + b',"' + first.encode() + b'":0}]'
    return broken


def vector_rows() -> Iterator[tuple[str, bytes, dict[str, str] | None]]:
    """Name, bytes and pending map of every row that is refused whatever the state of the station."""
    for line in VECTORS.read_text("utf-8").splitlines():
        row = json.loads(line)
        refused = row["expect"].startswith("callerror") or row["expect"] in ("ignore", "close")
        if refused and "state" not in row and "fixture" not in row and "precondition" not in row:
            pending = row.get("pending")
            yield row["name"], vector_bytes(row), {pending["id"]: pending["action"]} if pending else None


def vector_bytes(row: dict[str, Any]) -> bytes:
    """The bytes of a row: base64 decoded, tokens expanded."""
    if row.get("encoding") == "base64":
        return base64.b64decode(row["frame"])
    text: str = row["frame"]
    for token, piece, count in row.get("expand", ()):
        text = text.replace(token, piece * count)
    return text.encode("utf-8")


def good_near(size: int) -> list[Frame]:
    """Good frames of about this size: up to five of the corpus within a fifth, else one that is made to measure."""
    near = sorted(received(), key=lambda frame: abs(len(frame.data) - size))[:5]
    return [frame for frame in near if abs(len(frame.data) - size) <= size / 5] or [good_of_size(size)]


def good_of_size(size: int) -> Frame:
    """A good frame of at least ``size`` bytes, little above it: GetConfiguration up to 20 kB, SendLocalList beyond."""
    if size > 20_000:
        row = {"idTag": "04A2B7C91E6F80", "idTagInfo": {"status": "Accepted"}}
        rows = [row] * (size // (len(orjson.dumps(row)) + 1))
        return frame("call", "SendLocalList", {"listVersion": 9, "localAuthorizationList": rows, "updateType": "Full"})
    short = frame("call", "GetConfiguration", {})
    names = ("HeartbeatInterval", "ConnectionTimeOut", "StopTransactionOnEVSideDisconnect", "MinimumStatusDuration")
    keys: list[str] = []
    length = len(short.data) + len('"key":[]')
    while length < size:
        key = names[len(keys) % 4]
        keys.append(key)
        length += len(key) + 3
    return frame("call", "GetConfiguration", {"key": keys}) if keys else short


def longest() -> dict[str, Frame]:
    """Legal frames that fill the limit of 1 MiB, one for each way a frame can grow."""
    profile = next(f for f in received() if f.name == "SetChargingProfile.req[1000]").payload
    entries = next(f for f in received() if f.name == "SendLocalList.req[1000]").payload
    schedule = profile["csChargingProfiles"]["chargingSchedule"]
    periods = _repeat(schedule["chargingSchedulePeriod"])
    grown = profile["csChargingProfiles"] | {"chargingSchedule": schedule | {"chargingSchedulePeriod": periods}}
    data = {"vendorId": "com.example.hub"}
    unknown = {"type": "Soft"}
    reset = frame("call", "Reset", unknown)
    spaced = replace(reset, data=reset.data.replace(b",{", b"," + b" " * (MESSAGE_LIMIT - 256) + b"{"))
    return {
        "periods": frame("call", "SetChargingProfile", profile | {"csChargingProfiles": grown}),
        "list entries": frame(
            "call", "SendLocalList", entries | {"localAuthorizationList": _repeat(entries["localAuthorizationList"])}
        ),
        "plain text": frame("call", "DataTransfer", data | {"data": "x" * (MESSAGE_LIMIT - 256)}),
        "escapes": frame("call", "DataTransfer", data | {"data": '\n"\\' * ((MESSAGE_LIMIT - 256) // 6)}),
        "CJK text": frame("call", "DataTransfer", data | {"data": "\u96fb" * ((MESSAGE_LIMIT - 256) // 3)}),
        "unknown objects": frame("call", "Reset", unknown | {"x": _repeat([meter_value(3)])}),
        "unknown numbers": frame("call", "Reset", unknown | {"x": _repeat([1.5, 2e10, -3])}),
        "unknown members": frame("call", "Reset", unknown | {f"m{number}": number for number in range(58_000)}),
        "whitespace": spaced,
        "nested": frame("call", "Reset", unknown | {"x": _repeat([json.loads("[" * 20 + "]" * 20)])}),
    }


def _repeat(items: list[Any]) -> list[Any]:
    size = len(orjson.dumps(items)) - 1
    return items * ((MESSAGE_LIMIT - 1_024) // size)
