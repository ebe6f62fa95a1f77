"""What one connector may still be drawing, as far as we know (decisions.md 5).

Owns the permits that were sent to a controller and not yet replaced by a confirmed one. Must never know a limit:
whether a claim fits is decided by ``allocation.py``. Currents are tenths of an ampere per phase, as everywhere in the
allocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ocpphub.core.cap import Counted, Load


class Sent(NamedTuple):
    """A permit as it counts: its number, tenths of an ampere per phase (0 without energy), and phases."""

    seq: int
    tenths: int
    phases: int


@dataclass(slots=True)
class Claim:
    """The claim of one connector: the highest of its permits that may be applied, or what it falls back to."""

    tenths: int = 0
    phases: int = 1
    decreased_s: float | None = None
    """When the oldest decrease was sent that is not confirmed, monotonic; ``None`` when every one is."""
    _sent: list[Sent] = field(default_factory=list)

    def send(self, sent: Sent, now_s: float) -> None:
        """A permit goes out; until it is confirmed, those before it may be applied as well."""
        if sent.tenths < self.tenths and self.decreased_s is None:
            self.decreased_s = now_s
        self._sent.append(sent)
        self._count()

    def confirm(self, seq: int) -> bool:
        """The controller has applied permit ``seq``: no earlier one counts any more. Whether the claim is another."""
        before = self.tenths, self.phases
        last = next((place for place in range(len(self._sent) - 1, -1, -1) if self._sent[place].seq <= seq), None)
        if last is None:
            return False
        del self._sent[:last]
        self._count()
        return (self.tenths, self.phases) != before

    def assume(self, *sent: Sent) -> None:
        """Nothing else is known: a lease has run out, or the process has just started."""
        self._sent = [*sent]
        self._count()

    def may_be(self, sent: Sent) -> None:
        """This may be applied too, whatever permits said: a fallback."""
        self._sent.insert(0, sent)
        self._count()

    def counted(self, loads: Sequence[Load], more: Sent | None = None) -> Counted:
        """What it puts on its limits at most, with one more permit: on each phase what the highest of them does."""
        sent = self._sent if more is None else [*self._sent, more]
        if len(sent) == 1:
            ((_, tenths, phases),) = sent
            load = loads[phases - 1]
            return load.l1 * tenths, load.l2 * tenths, load.l3 * tenths, load.milliwatts * tenths
        found = [(loads[each.phases - 1], each.tenths) for each in sent]
        return (
            max((load.l1 * tenths for load, tenths in found), default=0),
            max((load.l2 * tenths for load, tenths in found), default=0),
            max((load.l3 * tenths for load, tenths in found), default=0),
            max((load.milliwatts * tenths for load, tenths in found), default=0),
        )

    def _count(self) -> None:
        self.tenths = max(sent.tenths for sent in self._sent)
        self.phases = max((sent.phases for sent in self._sent if sent.tenths), default=self._sent[-1].phases)
        if self.tenths <= self._sent[-1].tenths:
            self.decreased_s = None
