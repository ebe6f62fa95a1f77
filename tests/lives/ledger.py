"""Sessions as the transcripts tell them: what local clients were told, and what the CSMS was sent.

Owns the bookkeeping that :mod:`tests.lives.judge_sessions` judges. Must never decide whether something is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ocpphub.core.boot import parse_utc_ms
from tests.lives.records import Sent

REGISTER = "Energy.Active.Import.Register"


@dataclass(slots=True)
class Session:
    """One session, known from publications, answers, and what a restart found."""

    session_id: int
    connector_id: int
    id_tag: str
    meter_start: int
    start_input: int | None = None
    start_at_s: float = 0.0
    start_true_ms: int = 0
    process: int = 0
    meter_stop: int | None = None
    reason: str = ""
    stop_input: int | None = None
    stop_at_s: float = 0.0
    is_told: bool = False
    """Whether its start was acknowledged."""
    is_stop_told: bool = False
    wire: Wire | None = None
    stop_wire: Wire | None = None


@dataclass(slots=True)
class Wire:
    """One transaction-related payload: its transmissions, and how they ended."""

    raw: bytes
    action: str
    payload: dict[str, Any]
    first: Sent
    order: int
    transmissions: int = 0
    failures: int = 0
    losses: int = 0
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Transaction id and status of each valid confirmation (0 and an empty text for other actions)."""
    answered_in: int | None = None
    """The process that received the last valid confirmation."""
    variants: set[bytes] = field(default_factory=set)

    @property
    def ids(self) -> set[int]:
        """The transaction ids that the CSMS gave for this payload."""
        return {transaction_id for transaction_id, _ in self.answers}


@dataclass(slots=True)
class Sample:
    """One register reading on the wire."""

    at_ms: int
    value: int
    context: str
    order: int
    sent: Sent


def registers(payload: dict[str, Any], sent: Sent, order: int) -> list[Sample]:
    """The total import registers among the values of a MeterValues.req, or of a transactionData."""
    found = []
    for item in payload.get("meterValue", payload.get("transactionData", ())):
        for value in item["sampledValue"]:
            is_register = value.get("measurand", REGISTER) == REGISTER and "phase" not in value
            if is_register and value.get("location", "Outlet") == "Outlet":
                at_ms = parse_utc_ms(item["timestamp"]) or 0
                number = int(float(value["value"]) * (1000 if value.get("unit") == "kWh" else 1))
                found.append(Sample(at_ms, number, value.get("context", "Sample.Periodic"), order, sent))
    return found


def identity(action: str, payload: dict[str, Any], raw: bytes) -> object:
    """What makes two transmissions the same message: its bytes; of StopTransaction all but transactionData."""
    if action != "StopTransaction":
        return raw
    return tuple(sorted((name, value) for name, value in payload.items() if name != "transactionData"))
