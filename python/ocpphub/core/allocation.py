"""The permits of a hub: who may draw how much, so that the claims stay within every limit (decisions.md 5).

Owns the claims, shares and leases of all connectors of a process, and the numbers of permits. Must never touch a core:
each takes its own changes (``allotment.py``). Fair shares are computed in Rust; here is when they are, and what of them
may be sent: a decrease at once, an increase only when the claims leave room for it.

A connector that cannot be told anything - its controller is gone, or has not confirmed a decrease in time - is held: it
counts with its claim until its lease has run out, and with its fallback from then on.

Implements: design decisions.md 5, allocation; reliability.md S2.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Final

from ocpphub.core.cap import Amount, External
from ocpphub.core.claim import Sent
from ocpphub.core.limits import Limits
from ocpphub.core.member import Granted, Held, Member, Wish
from ocpphub.core.rotation import Register, Rotation
from ocpphub.core.shares import Shares, zeros
from ocpphub.core.topology import topology

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, Feeder

CONFIRM_TIMEOUT_S: Final = 5.0
LEASE_S: Final = 30.0
"""A lease that was renewed just before its connection was lost holds for so long."""
SPACING_S: Final = 0.05
"""Least time between two computations of all shares."""
SLICE: Final = 200
"""Shares that become permits in one call of :meth:`Allocation.run`."""


class Allocation:
    """One per process, over all charge points. Times are monotonic seconds, currents tenths of an ampere per phase."""

    def __init__(self, points: Sequence[ChargePointSettings], feeders: Sequence[Feeder] = ()) -> None:
        self._topology = topology(points, feeders)
        self.members = [Member(place, phases=place.phases) for place in self._topology.places]
        self.caps = self._topology.caps
        self._limits = Limits(self.caps)
        self.short = self._limits.short
        """Indexes of the limits that the claims are above; for reads only."""
        self._counts = {point.identity: point.connectors for point in points}
        self._station = {cap.identity: place for place, cap in enumerate(self.caps) if cap.identity is not None}
        self._shares = Shares(self.members, self.caps)
        self._last = zeros(len(self.members))
        """The shares that were computed last."""
        self._changes: dict[str, dict[int, Granted]] = {point.identity: {} for point in points}
        self.changed: dict[str, None] = {}
        """Charge points whose cores have permits to take."""
        self._registers: dict[str, Register] = {}
        self.rotation = Rotation(self._register)
        self._wanting, self._ready = set[int](), set[int]()
        """Connectors that get a share; those of them whose vehicle is ready."""
        self._touched, self._grown = set[int](), set[int]()
        """Connectors whose wish has changed since the last computation; that take more phases, or have become ready."""
        self._decided: dict[int, int] = {}
        """Shares that were computed and are not permits yet."""
        self._raises: dict[int, int] = {}
        """Shares that wait for room, and (a slice at a time) those of them that are to be looked at again."""
        self._retried: deque[int] = deque()
        self._unconfirmed: dict[int, None] = {}
        """Connectors with a decrease that is not confirmed, the longest wait first."""
        self._leases: dict[int, None] = {}
        """Held connectors whose lease has not run out, the first to end first."""
        self._late: set[int] = set()
        """Connectors that are held because they have not confirmed."""
        self._due_s, self._computed_s = inf, -inf
        self._raise_due_s, self._raised_s = inf, -inf
        self.has_moved = False
        """Whether :meth:`next_deadline` may be another since somebody set this to False."""

    # what belongs to a charge point

    def first(self, identity: str) -> int:
        """The index of a charge point's connector 1; the others follow."""
        return self._topology.first[identity]

    def take(self, identity: str, most: int) -> list[tuple[int, Granted]]:
        """At most so many permits of a charge point that have changed, in the order in which they were found."""
        changes = self._changes[identity]
        taken = [(each, changes.pop(each)) for each in list(islice(changes, most))]
        if not changes:
            self.changed.pop(identity, None)
        return taken

    def station(self, identity: str) -> int:
        """The index of the limit of a whole charge point."""
        return self._station[identity]

    def feeder(self, name: str) -> int | None:
        """The index of a feeder, ``None`` for an unknown one."""
        return next((at for at, cap in enumerate(self.caps) if cap.identity is None and cap.name == name), None)

    def begin(self, identity: str, seq: int, register: Register, resuming: Iterable[int], now_s: float) -> None:
        """A core starts, with permits numbered from ``seq`` on; who resumes may still draw as an earlier one said."""
        self._registers[identity] = register
        running = set(resuming)
        first = self.first(identity)
        for connector_id, index in enumerate(range(first, first + self._counts[identity]), 1):
            member = self.members[index]
            member.seq = max(member.seq, seq)
            member.wish = None
            self._grant(index, None, now_s)
            if connector_id in running:
                last = Sent(member.seq, 0, member.phases)
                member.claim.assume(Sent(-1, member.place.most, member.place.phases), last)
                self._hold(index, "unattended", now_s)
            self._follow(index)
            self._recount(index)
        self._changes[identity].clear()
        self.changed.pop(identity, None)

    # what cores tell of a connector

    def want(self, index: int, wish: Wish | None, now_s: float) -> None:
        """What a connector could take has changed; ``None``: no energy. It is told at once where nothing is shared."""
        member = self.members[index]
        if member.asks(wish):
            self._grown.add(index)
        self._follow(index)
        self._touched.add(index)
        # A raise that waits has the room already, though it is not counted yet.
        is_shared = bool(member.held or self._raises or self._decided) or self._limits.is_beneath_tight(member)
        bound = member.bound
        if wish is None:
            self._grant(index, None, now_s)
        elif member.held:
            if member.share >= 0:
                self._lower(index, bound, now_s)  # nobody can be told of more
        elif not self._grows(member, bound) or (not is_shared and self._limits.fits(member, bound, wish.phases)):
            self._grant(index, bound, now_s)
        else:
            self._lower(index, bound, now_s)
            is_shared = True
        if is_shared:
            self._dirty(now_s)

    def confirm(self, index: int, seq: int, now_s: float) -> None:
        """The controller says which permit it has applied."""
        member = self.members[index]
        if member.held == "unconfirmed" and seq >= member.seq:
            self._release(index, now_s)
        if member.claim.confirm(seq):
            self._recount(index)
            (self._dirty if member.held else self._make_room)(now_s)
        if member.claim.decreased_s is None:
            self._unconfirmed.pop(index, None)

    def empty(self, index: int, now_s: float) -> None:
        """No vehicle is there: whatever was permitted, nothing is drawn."""
        member = self.members[index]
        if member.share < 0 and member.claim.tenths:
            member.claim.assume(Sent(member.seq, 0, member.phases))
            self._recount(index)
            self._make_room(now_s)
            if member.held == "unconfirmed":
                self._release(index, now_s)

    def attend(self, index: int, now_s: float) -> None:
        """A controller has come: it can be told again."""
        member = self.members[index]
        if member.held != "unattended":
            return
        self._release(index, now_s)
        if member.claim.decreased_s is not None or member.claim.tenths > max(member.share, 0):
            member.claim.decreased_s = now_s  # nobody could confirm it before
            self._unconfirmed.pop(index, None)
            self._unconfirmed[index] = None

    def lose(self, index: int, now_s: float) -> None:
        """The controller is gone: it draws what it was permitted until its lease has run out."""
        member = self.members[index]
        if member.held != "unattended" and (member.claim.tenths or member.wish is not None):
            self._unconfirmed.pop(index, None)
            self._leases.pop(index, None)
            self._hold(index, "unattended", now_s)
            self._dirty(now_s)

    # what is told of limits

    def schedule(self, identity: str, amount: Amount, now_s: float) -> None:
        """What ChargePointMaxProfile allows a whole charge point from now on."""
        index = self._station[identity]
        if self.caps[index].scheduled != amount:
            self.caps[index].scheduled = amount
            self._set_cap(index)
            self._dirty(now_s)

    def set_external(self, index: int, external: External | None, now_s: float) -> None:
        """An energy manager sets a limit, or its time is over."""
        self.caps[index].external = external
        self._set_cap(index)
        self._dirty(now_s)

    # time

    def next_deadline(self) -> float:
        """When :meth:`run` wants to be called, infinity when nothing is due."""
        turn_s = inf if self.rotation.ends_s is None else self.rotation.ends_s
        if self._decided or self._retried:
            return self._computed_s
        due = [self._due_s, self._raise_due_s, turn_s]
        if (lease := next(iter(self._leases), None)) is not None:
            due.append(self.members[lease].lease_ends_s)
        if self._limits.short:
            waiting = (self.members[index] for index in self._unconfirmed)
            if (wait := next(filter(self._limits.is_beneath_short, waiting), None)) is not None:
                due.append((wait.claim.decreased_s or 0.0) + CONFIRM_TIMEOUT_S)
        return min(due)

    def run(self, now_s: float) -> None:
        """Whatever is due: leases that have run out, decreases that nobody confirmed, turns, new shares, a slice."""
        while (lease := next(iter(self._leases), None)) is not None and self.members[lease].lease_ends_s <= now_s:
            self._lease_over(lease, now_s)
        if self._limits.short:
            self._judge_unconfirmed(now_s)
        turn_ends_s = self.rotation.ends_s
        if self._due_s <= now_s or (turn_ends_s is not None and turn_ends_s <= now_s):
            self._compute(now_s)
        elif self._decided:
            self._decide(now_s)
        elif self._retried or self._raise_due_s <= now_s:
            self._raise(now_s)

    def _dirty(self, now_s: float) -> None:
        self._due_s = min(self._due_s, max(now_s, self._computed_s + SPACING_S))
        self.has_moved = True

    def _make_room(self, now_s: float) -> None:
        """A claim has fallen: there may be room for shares that wait for it."""
        if self._raises:
            self._raise_due_s = min(self._raise_due_s, max(now_s, self._raised_s + SPACING_S))
            self.has_moved = True

    def _lease_over(self, index: int, now_s: float) -> None:
        """Its lease has certainly run out: it applies its fallback."""
        member = self.members[index]
        del self._leases[index]
        member.lease_ends_s = inf
        member.claim.assume(self._fallback(member))
        self._recount(index)
        self._follow(index)
        self._dirty(now_s)

    def _judge_unconfirmed(self, now_s: float) -> None:
        """Decreases that are not confirmed in time, while a limit above is exceeded: no energy for them any more."""
        for index in [*self._unconfirmed]:
            member = self.members[index]
            since = member.claim.decreased_s
            if since is None:
                del self._unconfirmed[index]
            elif now_s < since + CONFIRM_TIMEOUT_S:
                return
            elif not member.held and self._limits.is_beneath_short(member):
                self._grant(index, None, now_s)
                del self._unconfirmed[index]
                self._hold(index, "unconfirmed", now_s)
                self._dirty(now_s)

    def withheld(self, identity: str) -> list[int]:
        """Connectors of a charge point whose controller gets no lease any more until it has confirmed."""
        places = (self.members[index].place for index in sorted(self._late))
        return [place.connector_id for place in places if place.identity == identity]

    def _hold(self, index: int, why: Held, now_s: float) -> None:
        member = self.members[index]
        member.held = why
        member.claim.may_be(self._fallback(member))
        self._recount(index)
        (self._late.add if why == "unconfirmed" else self._late.discard)(index)
        member.lease_ends_s = now_s + LEASE_S
        self._leases[index] = None
        self.has_moved = True
        self._follow(index)

    def _fallback(self, member: Member) -> Sent:
        """What a controller without a lease applies where it was permitted anything, on the phases that it knew."""
        is_permitted = member.share >= 0 or member.claim.tenths > 0
        phases = member.place.phases if member.share < 0 else member.phases
        phases = member.claim.phases if member.claim.tenths else phases
        return Sent(-1, member.place.fallback if is_permitted else 0, phases)

    def _release(self, index: int, now_s: float) -> None:
        member = self.members[index]
        was_over = member.lease_ends_s == inf
        member.held = ""
        member.claim.until_confirmed()
        member.lease_ends_s = inf
        self._late.discard(index)
        self._leases.pop(index, None)
        self._follow(index)
        self._touched.add(index)
        if was_over:  # what its permit says counts again, or is less
            if member.share <= 0 or self._limits.fits(member, member.share, member.phases):
                member.claim.send(Sent(member.seq, max(member.share, 0), member.phases), now_s)
            else:
                counted = min(member.share, member.claim.tenths)  # the fallback has its room already
                self._grant(index, counted if counted >= member.place.minimum else 0, now_s)
        self._recount(index)
        self._dirty(now_s)

    def _follow(self, index: int) -> None:
        """What is computed with follows a member."""
        member = self.members[index]
        if self._shares.follow(index, member):
            self._wanting.add(index)
        else:
            self._wanting.discard(index)
            self._drop(index)
        is_ready = index in self._wanting and member.wish is not None and member.wish.is_ready
        (self._ready.add if is_ready else self._ready.discard)(index)

    def _drop(self, index: int) -> None:
        """What was computed for a connector is not wanted any more."""
        self._decided.pop(index, None)
        self._raises.pop(index, None)

    # shares

    def _compute(self, now_s: float) -> None:
        self._due_s, self._computed_s = inf, now_s
        self.has_moved = True
        ready = sorted(self._ready)
        shares = self._shares.of(ready)
        if all(shares[index] for index in ready):
            self.rotation.end()
        else:
            shares = self._in_turns(ready, now_s)
        if len(ready) < len(self._wanting):
            # Vehicles that take nothing now get what nobody else wants: they may begin at any time.
            self._shares.add_rest(shares, ready, sorted(self._wanting.difference(ready)))
        self._grown.clear()
        self._limits.mark_tight(shares, self._shares.bounds)
        touched, wanting = self._touched | self._raises.keys(), self._wanting
        changed = {
            index: new
            for index, (old, new) in enumerate(zip(self._last, shares, strict=True))
            if (old != new or index in touched) and index in wanting
        }
        # What has waited longest goes first, whatever comes in between.
        self._decided = {index: shares[index] for index in self._decided} | changed
        self._last = shares
        for done in (self._touched, self._raises, self._retried):
            done.clear()
        if len(self._decided) <= SLICE:
            self._decide(now_s)

    def _in_turns(self, ready: list[int], now_s: float) -> array[int]:
        """Not all minimums fit: who has a share keeps it through its turn."""
        sharing = {index: self.members[index].since_s for index in ready if self.members[index].share > 0}
        turn_s = max(self.members[index].place.turn_s for index in ready)
        order = self.rotation.order(ready, sharing, turn_s, now_s, self._grown)
        shares = self._shares.of(order)
        self.rotation.given([index for index in order if shares[index]], now_s)
        return shares

    def _decide(self, now_s: float) -> None:
        """Decreases go out, a slice of them; increases wait for room until all have."""
        for index in list(islice(self._decided, SLICE)):
            share = self._decided.pop(index)
            if self._grows(self.members[index], share):
                self._lower(index, share, now_s)
                self._raises[index] = share
            else:
                self._grant(index, share, now_s)
        self.has_moved = True
        if not self._decided:
            self._raise(now_s)

    def _raise(self, now_s: float) -> None:
        """Send what the claims leave room for, the smallest shares first, a slice of them."""
        waiting, members = self._raises, self.members
        if not self._retried:
            self._raise_due_s, self._raised_s = inf, now_s
            self._retried.extend(sorted(waiting, key=lambda each: (members[each].share, each)))
        for _ in range(min(SLICE, len(self._retried))):
            index = self._retried.popleft()
            member, share = members[index], waiting.get(index)
            if share is not None and member.wish is not None and self._limits.fits(member, share, member.wish.phases):
                self._grant(index, share, now_s)
        self.has_moved = True

    def _grows(self, member: Member, tenths: int) -> bool:
        """Whether a share would be more than the permit says."""
        has_more_phases = member.wish is not None and tenths > 0 and member.wish.phases > member.phases
        return tenths > max(member.share, 0) or has_more_phases

    def _lower(self, index: int, tenths: int, now_s: float) -> None:
        """What may be sent at once of a share that grows: nothing more than there is."""
        self._grant(index, min(max(self.members[index].share, 0), tenths), now_s, keeps_phases=True)

    def _grant(self, index: int, share: int | None, now_s: float, *, keeps_phases: bool = False) -> None:
        """A permit that says ``share`` tenths, ``None`` for no energy; nothing when it is the one that is there."""
        member = self.members[index]
        wish = member.wish
        self._drop(index)
        if share is None or wish is None:
            tenths, watts, phases = -1, 0.0, member.phases
        else:
            tenths, phases = share, min(wish.phases, member.phases) if keeps_phases else wish.phases
            watts = self._limits.watts(member, wish, share, phases)
        if (tenths, watts, phases) == (member.share, member.watts, member.phases):
            return
        member.seq += 1
        if tenths > 0 >= member.share:
            member.since_s = now_s
        member.share, member.watts, member.phases = tenths, watts, phases
        if not member.held or member.lease_ends_s < inf:
            # Else it applies its fallback, and hears of this when it is back.
            member.claim.send(Sent(member.seq, max(tenths, 0), phases), now_s)
        if member.claim.decreased_s is not None and not member.held:
            self._unconfirmed.setdefault(index)
        self._recount(index)
        identity = member.place.identity
        self._changes[identity][member.place.connector_id] = Granted(
            member.seq, tenths >= 0, max(tenths, 0) / 10, watts, phases
        )
        self.changed[identity] = None

    def _recount(self, index: int) -> None:
        """A claim has changed: so have the sums of its limits."""
        member = self.members[index]
        if member.held:
            self._follow(index)
        if member.claim.decreased_s is None:
            self._unconfirmed.pop(index, None)
        if self._limits.recount(member):
            self.has_moved = True

    def _set_cap(self, index: int) -> None:
        cap = self.caps[index]
        cap.refresh()
        self._shares.set_limit(index, cap)
        if self._limits.watch(index):
            self.has_moved = True

    def _register(self, index: int) -> int | None:
        place = self.members[index].place
        register = self._registers.get(place.identity)
        return None if register is None else register(place.connector_id)
