"""The sections of P3 to P6 in RESULTS.md and RESULTS.json.

Owns their tables. Must never judge: that is traffic_goals.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benches import delivery, interface
from benches.goals import Goal, Measured


@dataclass(frozen=True, slots=True)
class Traffic:
    """One run of everything that goes through a whole hub."""

    interface: interface.Results
    delivery: delivery.Results
    durability: Measured
    process: Measured

    @property
    def goals(self) -> list[Goal]:
        """The lines of P3 to P6."""
        return [*self.interface.goals, *self.delivery.goals, *self.durability.goals, *self.process.goals]

    @property
    def spread(self) -> dict[str, float]:
        """The spread of every figure that has one."""
        return self.interface.spread | self.delivery.spread | self.durability.spread


def as_json(traffic: Traffic) -> dict[str, Any]:
    """Every figure of the run."""
    return {
        "requests_us": traffic.interface.requests,
        "interface": traffic.interface.other,
        "trips_us": traffic.delivery.trips,
        "delivery": traffic.delivery.other,
        "durability": traffic.durability.other,
        "process": traffic.process.other,
    }


def interface_sections(results: interface.Results) -> list[str]:
    """Server CPU by request and server."""
    return [
        "### Server CPU, us per request (report_many: per connector)",
        _table(results.requests),
        "### Permits",
        _list(results.other),
    ]


def delivery_sections(results: delivery.Results) -> list[str]:
    """CPU of the charge points' process by trip and peer, and the other figures."""
    return [
        "### Charge points' CPU, us per round trip",
        _table(results.trips),
        "### Queues, connections, the fleet",
        _list(results.other),
    ]


def durability_sections(results: Measured) -> list[str]:
    """The figures behind the goals."""
    return ["### Commits, bytes, the start", _list(results.other)]


def process_sections(results: Measured) -> list[str]:
    """The figures behind the goals."""
    return [_list(results.other)]


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for name, row in rows.items():
        cells = " | ".join(f"{row[column]:,.1f}" if column in row else "" for column in columns)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def _list(figures: Mapping[str, float]) -> str:
    rows = [f"| {name.replace('_', ' ')} | {figure:,.4g} |" for name, figure in figures.items()]
    return "\n".join(["| | |", "|---|--:|", *rows])
