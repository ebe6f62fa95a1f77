"""Reads tests/vectors/composite-schedules.jsonl, cases whose answers were worked out by hand, and plays them.

Owns the format of that file, which a Rust test reads too: a case as in tests/oracle/schedule_cases.py, where a step and
a query hold what is expected (``expect``, ``replaced``) beside their arguments. Must never import ocpphub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from tests.oracle.reference_schedule import OutputPeriod

Json = dict[str, Any]

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "composite-schedules.jsonl"


class Player(Protocol):
    """Reference or engine: one method for each ``do`` of a step besides."""

    def composite(
        self, connector_id: int, start_s: int, duration_s: int, unit: str, query_s: int | None = None
    ) -> list[OutputPeriod]:
        """The periods of a composite schedule."""


def vectors() -> list[Json]:
    """The cases of the file."""
    return [json.loads(line) for line in VECTORS.read_text("utf-8").splitlines()]


def plain(periods: list[OutputPeriod]) -> list[list[Any]]:
    """Periods as the vectors write them: [startPeriod, limit as decimal text, numberPhases]."""
    return [[start, f"{tenths // 10}.{tenths % 10}", phases] for start, tenths, phases in periods]


def check_vector(player: Player, vector: Json) -> None:
    """Plays a vector and holds every answer against the one that was worked out by hand."""
    for step in vector["steps"]:
        arguments = {name: value for name, value in step.items() if name not in ("do", "expect", "replaced")}
        answer = getattr(player, step["do"])(**arguments)
        if step["do"] == "install":
            verdict = "Rejected" if answer is None else "Accepted"
            assert (verdict, answer) == (step["expect"], step.get("replaced")), step
        else:
            assert answer == step.get("expect"), step
    for query in vector["queries"]:
        arguments = {name: value for name, value in query.items() if name != "expect"}
        assert plain(player.composite(**arguments)) == query["expect"], arguments
