"""The corpus of odd and hostile frames, and a double of the feature handlers that answers what a row expects.

Format: requirements-j-security.md section 5. The double answers at once and does nothing else: no row resets anything.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from ocpphub import _native
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant

VECTORS = Path(__file__).parent / "vectors" / "bad-frames.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]


def slow(call: _native.Call, now: Instant) -> None:
    """A handler that answers later."""


def bytes_of(row: dict[str, Any]) -> bytes:
    """The message of a row as it is on the wire."""
    text = row["frame"]
    if row.get("encoding") == "base64":
        return base64.b64decode(text)
    for token, part, count in row.get("expand", ()):
        text = text.replace(token, part * count)
    return str(text).encode()


def double(row: dict[str, Any]) -> dict[str, Handler]:
    """Every action of the CSMS answers the status of the row, or the first one its confirmation has."""

    def handler(action: str, fields: list[dict[str, Any]]) -> Handler:
        payload: dict[str, Any] = {}
        for item in fields:
            if item["required"]:
                payload[item["name"]] = _native.enums()[item["enumeration"]][0] if item["kind"] == "choice" else 5
        if "status" in row and row.get("expect") == "accept" and "status" in payload:
            payload["status"] = row["status"]
        return lambda call, now: Answer(payload)

    real = {"ChangeConfiguration", "GetConfiguration", "TriggerMessage", "DataTransfer"}
    real |= {"SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule"}
    return {
        name: handler(name, item["confirmation"])
        for name, item in _native.actions().items()
        if item["sender"] in ("csms", "both") and name not in real
    }
