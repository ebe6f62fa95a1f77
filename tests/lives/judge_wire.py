"""What one look at the CSMS transcript decides: ids, one CALL in flight, the table of status edges, times.

Owns D2's first half, OCPP-J 4.1.1 and 4.1.4, and CORE-STAT-02. Must never know why something was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocpphub.core.boot import parse_utc_ms
from tests.lives.records import Began, Header, Linked, Received, Record, Replied, Sent

EDGES = {
    "Available": "Preparing Charging SuspendedEV SuspendedEVSE Reserved Unavailable Faulted",
    "Preparing": "Available Charging SuspendedEV SuspendedEVSE Finishing Faulted",
    "Charging": "Available SuspendedEV SuspendedEVSE Finishing Unavailable Faulted",
    "SuspendedEV": "Available Charging SuspendedEVSE Finishing Unavailable Faulted",
    "SuspendedEVSE": "Available Charging SuspendedEV Finishing Unavailable Faulted",
    "Finishing": "Available Preparing Unavailable Faulted",
    "Reserved": "Available Preparing Unavailable Faulted",
    "Unavailable": "Available Preparing Charging SuspendedEV SuspendedEVSE Faulted",
    "Faulted": "Available Preparing Charging SuspendedEV SuspendedEVSE Finishing Reserved Unavailable",
}
"""OCPP 1.6 section 4.9 with B6 of errata 3.20, written down here again on purpose."""
EARLIEST_MS = parse_utc_ms("2020-01-01T00:00:00Z") or 0
LATEST_MS = parse_utc_ms("2100-01-01T00:00:00Z") or 0
UNKNOWN = "unknown"
SLOWEST_DISK_S = 4.0
"""How much later than it was composed a frame may leave."""

Complain = Callable[[str, Record, str], None]


class Wire:
    """The transcript of the link, record by record."""

    def __init__(self, header: Header, complain: Complain) -> None:
        self._header, self._complain = header, complain
        self._ids: set[str] = set()
        self._open: Sent | None = None
        self._told: dict[int, set[str]] = {}
        """Connector -> what the CSMS may take it for, as the charge point sees it: one state, or two after a doubt."""
        self._before: dict[int, set[str]] = {}

    def see(self, record: Record) -> None:
        """Judge one record."""
        if isinstance(record, Sent):
            self._sent(record)
        elif isinstance(record, Received):
            if self._open is not None and record.closes is None:
                self._lose_call(record, is_certain=False)  # too broken to say whether it was an answer
            elif self._open is not None and record.unique_id == self._open.unique_id:
                self._open = None
                self._before.clear()
        elif isinstance(record, Linked):
            in_time = self._open is None or record.at_s < self._open.at_s + self._patience_s
            self._lose_call(record, is_certain=in_time)
        elif isinstance(record, Began) or (isinstance(record, Replied) and record.result is True):
            self._open = None  # a start, or an answer to stop or restart: everything is told anew
            self._told.clear()
            self._before.clear()

    @property
    def _patience_s(self) -> float:
        return self._header.message_timeout_s - SLOWEST_DISK_S

    def _lose_call(self, record: Record, *, is_certain: bool) -> None:
        """The CALL in flight was lost, or (not certain) ended by its time-out before."""
        self._open = None
        for connector_id, before in self._before.items():
            self._told[connector_id] = before if is_certain else before | self._told[connector_id]
        self._before.clear()

    def _sent(self, call: Sent) -> None:
        if call.unique_id in self._ids:
            self._complain("IDS", call, f"message id {call.unique_id} was used before")
        self._ids.add(call.unique_id)
        if self._open is not None and call.at_s < self._open.at_s + self._patience_s:
            self._complain("D2", call, f"{call.action} left while {self._open.action} was in flight")
        self._open = call
        self._before.clear()
        for path, text in _times(call.payload):
            at_ms = parse_utc_ms(text)
            if at_ms is None or not EARLIEST_MS <= at_ms < LATEST_MS:
                self._complain("TIME", call, f"{call.action}{path} is {text}")
        if call.action == "StatusNotification":
            self._status(call, call.payload["connectorId"], call.payload["status"])

    def _status(self, call: Sent, connector_id: int, status: str) -> None:
        before = self._told.get(connector_id, {UNKNOWN})
        self._before[connector_id] = before
        self._told[connector_id] = {status}
        if connector_id == 0:
            if status not in ("Available", "Unavailable", "Faulted"):
                self._complain("STATUS", call, f"connector 0 is {status}")
        elif not any(each in (UNKNOWN, status) or status in EDGES[each].split() for each in before):
            self._complain("STATUS", call, f"connector {connector_id} went from {sorted(before)} to {status}")


def _times(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every timestamp in a payload."""
    if isinstance(value, dict):
        found = [(f"{path}/timestamp", value["timestamp"])] if isinstance(value.get("timestamp"), str) else []
        for name, member in value.items():
            if isinstance(member, dict | list):
                found += _times(member, f"{path}/{name}")
        return found
    if isinstance(value, list):
        return [each for index, member in enumerate(value) for each in _times(member, f"{path}/{index}")]
    return []
