"""Judges the record of a life: which invariants of reliability.md 4.5 it broke.

Owns the order in which the judges see the records. Knows nothing of the core's internals, and must never read anything
but the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.lives.judge_memory import Memory
from tests.lives.judge_safety import Safety
from tests.lives.judge_sessions import Sessions
from tests.lives.judge_wire import Wire
from tests.lives.records import Life, Record


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken invariant: its id, when it showed, and what was seen."""

    seed: int
    invariant: str
    at_s: float
    text: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.invariant} at {self.at_s:.3f} s: {self.text}"


def check(life: Life) -> list[Violation]:
    """Every violation of a life, in the order in which it showed."""
    found: list[Violation] = []

    def complain(invariant: str, record: Record, text: str) -> None:
        found.append(Violation(life.header.seed, invariant, record.at_s, text))

    sessions = Sessions(life.header, complain)
    judges = (Wire(life.header, complain), sessions, Memory(life.header, complain), Safety(life.header, complain))
    for record in life.records:
        for judge in judges:
            judge.see(record)
    sessions.conclude()
    return found
