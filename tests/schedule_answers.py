"""Answers of ``schedule.*`` for tests of what shows them: builders with valid defaults, and a hub on a socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

START = "2030-01-31T10:30:00Z"
START_S = 1_896_085_800
HOUR = 3600


def clock(offset_s: int) -> str:
    """The time so many seconds after ``START``, on the same day or the next."""
    days, second = divmod(10 * HOUR + HOUR // 2 + offset_s, 24 * HOUR)
    date = ("2030-01-30", "2030-01-31", "2030-02-01")[days + 1]
    return f"{date}T{second // HOUR:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def profile(charging_profile_id: int = 1, *periods: tuple[int, float], **members: Any) -> dict[str, Any]:
    """An installed profile: an Absolute TxDefaultProfile of connector 0 in A from ``START`` unless said otherwise."""
    schedule = {
        name: members.pop(name)
        for name in ("duration", "start_schedule", "charging_rate_unit")
        if members.get(name) is not None
    }
    schedule.setdefault("charging_rate_unit", "A")
    if "start_schedule" not in members:
        schedule.setdefault("start_schedule", START)
    members.pop("start_schedule", None)
    listed = [{"start_period": start, "limit": limit} for start, limit in periods or ((0, 16.0),)]
    return {
        "connector_id": 0,
        "accepted_at": START,
        "charging_profile_id": charging_profile_id,
        "stack_level": 0,
        "purpose": "TxDefaultProfile",
        "kind": "Absolute",
        **members,
        "charging_schedule": {**schedule, "charging_schedule_period": listed},
    }


def source(installed: Mapping[str, Any]) -> dict[str, Any]:
    """The Source that ``schedule.explain`` gives for an installed profile."""
    names = ("charging_profile_id", "purpose", "stack_level", "connector_id")
    return {"kind": "profile", **{name: installed[name] for name in names}}


def stretch(start: int, end: int, limit: float, winner: Mapping[str, Any], *losers: tuple[Any, str]) -> dict[str, Any]:
    """One row of ``schedule.explain``, from and to so many seconds after ``START``."""
    against = [{"source": item, "why": why} for item, why in losers]
    shown = {"limit": limit, "unit": "A", "phases": 3}
    return {"start": clock(start), "end": clock(end), **shown, "winner": dict(winner), "losers": against}


def schedule(*periods: tuple[int, float], duration: int = 4 * HOUR, unit: str = "A") -> dict[str, Any]:
    """A composite ChargingSchedule as the socket gives it."""
    listed = [{"startPeriod": start, "limit": limit, "numberPhases": 3} for start, limit in periods]
    return {"chargingRateUnit": unit, "duration": duration, "chargingSchedulePeriod": listed}


def answer(connector_id: int, *periods: tuple[int, float], **members: Any) -> dict[str, Any]:
    """The result of ``schedule.get`` from ``START`` on."""
    return {"connector_id": connector_id, "schedule_start": START, "schedule": schedule(*periods, **members)}


def allotted(limit_a: float = 16.0, claim_a: float = 16.0, **members: Any) -> dict[str, Any]:
    """One connector of ``allocation.get``, on three phases of 230 V."""
    permit = {"seq": 1, "energize": True, "limit_a": limit_a, "limit_w": limit_a * 690, "phases": 3}
    return {"permit": permit, "claim_a": claim_a, "composite_a": 32.0, "reason": "shared", **members}


def allocation(*rows: dict[str, Any], **members: Any) -> dict[str, Any]:
    """The result of ``allocation.get`` with connectors from 1 on."""
    connectors = {str(number): row for number, row in enumerate(rows, 1)}
    claimed_a = sum(row["claim_a"] for row in rows)
    head = {"limit_a": 40.0, "claimed_a": claimed_a, "shortfall": False, "feeders": [], **members}
    return {**head, "connectors": connectors}


class FakeHub(threading.Thread):
    """A hub on a socket: each method's result, or what a function makes of the parameters; it keeps the calls."""

    def __init__(self, path: Path, results: Mapping[str, Any]) -> None:
        super().__init__(daemon=True)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._results = results
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self.start()

    def run(self) -> None:
        with self._socket, self._socket.accept()[0] as connection, connection.makefile("rwb") as stream:
            for line in stream:
                request = json.loads(line)
                params = request.get("params", {})
                self.calls.append((request["method"], params))
                result: Callable[..., Any] | Any = self._results[request["method"]]
                outcome = result(**params) if callable(result) else {"result": result}
                stream.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **outcome}).encode() + b"\n")
                stream.flush()
