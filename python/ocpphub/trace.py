"""Frames as records of the Open OCPP Trace format 1.1, one JSON object a line, for other tools to read.

Owns the shape of a record, and which CALL an answer belongs to. Must never show more than the topic ``ocpp.message``
does: secrets and id tags are masked there.

Implements: github.com/open-ocpp-trace/specification, version 1.1, records of OCPP-J 1.6 frames.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

SCHEMA_VERSION: Final = "1.1"
TOPIC: Final = "ocpp.message"
MAX_OPEN: Final = 1_000
"""CALLs that wait for their answer; of more the oldest are forgotten, whose answers get no action."""
_DIRECTION: Final = {"sent": "cp-to-csms", "received": "csms-to-cp"}
_KIND: Final = {2: "CALL", 3: "CALLRESULT", 4: "CALLERROR"}


class Trace:
    """A trace as it comes: feed it the events of :data:`TOPIC` in their order."""

    def __init__(self) -> None:
        self.skipped = 0
        """Frames that are none of OCPP-J, or were cut: the format has no record for them."""
        self._open: OrderedDict[tuple[str, str, str], str] = OrderedDict()

    def record(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of one event of the topic (rpc.md), ``None`` for a frame that has none."""
        value = event["value"]
        frame = _frame(value["frame"])
        if frame is None:
            self.skipped += 1
            return None
        sender, identity = value["direction"], event["charge_point"]
        record = {
            "schemaVersion": SCHEMA_VERSION,
            "timestamp": event["timestamp"],
            "ocppVersion": "1.6",
            "transport": "json",
            "chargePointId": identity,
            "direction": _DIRECTION[sender],
            "messageType": _KIND[frame[0]],
            "messageId": frame[1],
        }
        if frame[0] == 2:
            self._open[identity, sender, frame[1]] = frame[2]
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            connector_id = frame[3].get("connectorId") if isinstance(frame[3], dict) else None
            if type(connector_id) is int and connector_id >= 0:
                record["connectorId"] = connector_id
            record |= {"action": frame[2], "payload": frame[3]}
        else:
            asker = "received" if sender == "sent" else "sent"
            if (action := self._open.pop((identity, asker, frame[1]), None)) is not None:
                record["action"] = action
            if frame[0] == 3:
                record["payload"] = frame[2]
            else:
                names = ("code", "description", "details")
                record["error"] = dict(zip(names, frame[2:5], strict=False))
        record["raw"] = value["frame"]
        return record

    def line(self, event: Mapping[str, Any]) -> str | None:
        """:meth:`record` as one line of JSON."""
        record = self.record(event)
        return None if record is None else json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _frame(text: str) -> list[Any] | None:
    """A frame of OCPP-J, ``None`` where a text is none."""
    try:
        frame = json.loads(text)
    except ValueError:
        return None
    if not isinstance(frame, list) or len(frame) < 3 or type(frame[0]) is not int or frame[0] not in _KIND:
        return None
    is_whole = len(frame) >= 4 and isinstance(frame[2], str) if frame[0] == 2 else True
    return frame if isinstance(frame[1], str) and is_whole else None
