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
    _fallback: Sent | None = None
    _even: int = 1
    """The phases of all that say a current, 0 where they differ."""

    def send(self, sent: Sent, now_s: float) -> None:
        """A permit goes out; until it is confirmed, those before it may be applied as well."""
        if self.decreased_s is None and any(_is_less(sent, each) for each in self._sent):
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
        self._sent, self._fallback = [*sent], None
        self._count()

    def may_be(self, fallback: Sent) -> None:
        """This may be applied too, whatever is confirmed: the lease is not renewed."""
        self._fallback = fallback
        self._count()

    def until_confirmed(self) -> None:
        """The lease is renewed: the next confirmation says that the fallback is no longer applied."""
        if self._fallback is not None:
            self._sent.insert(0, self._fallback)
            self._fallback = None
        self._count()

    def counted(self, loads: Sequence[Load], more: Sent | None = None) -> Counted:
        """What it puts on its limits at most, with one more permit: on each phase what the highest of them does."""
        if self._even and (more is None or not self.tenths or more.phases == self._even):
            phases = self._even if more is None or self.tenths else more.phases
            tenths = self.tenths if more is None or more.tenths < self.tenths else more.tenths
            l1, l2, l3, milliwatts = loads[phases - 1]
            return l1 * tenths, l2 * tenths, l3 * tenths, milliwatts * tenths
        sent = [each for each in (*self._sent, self._fallback, more) if each is not None]
        found = [(loads[each.phases - 1], each.tenths) for each in sent]
        return (
            max((load.l1 * tenths for load, tenths in found), default=0),
            max((load.l2 * tenths for load, tenths in found), default=0),
            max((load.l3 * tenths for load, tenths in found), default=0),
            max((load.milliwatts * tenths for load, tenths in found), default=0),
        )

    def _count(self) -> None:
        sent = self._sent if self._fallback is None else [self._fallback, *self._sent]
        most = most_phases = 0
        is_even = True
        for _, tenths, phases in sent:
            if tenths:
                most = max(most, tenths)
                is_even = is_even and most_phases in (0, phases)
                most_phases = max(most_phases, phases)
        self.tenths = most
        self.phases = most_phases or (sent[-1].phases if sent else 1)
        self._even = self.phases if is_even else 0
        if self.decreased_s is not None and not any(_is_less(self._sent[-1], each) for each in self._sent):
            self.decreased_s = None


def _is_less(new: Sent, old: Sent) -> bool:
    return new.tenths < old.tenths or (new.phases < old.phases and old.tenths > 0)
