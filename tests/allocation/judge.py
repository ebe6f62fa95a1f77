"""Judges a day while it runs: are the claims within every limit, are permits lawful, and does nothing move idly?

Owns an account of its own of permits handed out, confirmations, leases and fallbacks (``book.py``), and complains about
what breaks decisions.md 5. Must never ask the allocation for anything but what ``allocation.get`` would tell.

The clauses: ``a`` claims within the limits; ``b`` the draw within them; ``c`` permits and their numbers; ``d`` fairness
(``fairness.py``); ``e`` stability (``stability.py``); ``f`` turns (``turns.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from ocpphub.core.cap import Amount
from ocpphub.core.member import Granted, Wish
from tests.allocation.book import NOTHING, Book, Connector, Limit, Sent, Vector, exceeds
from tests.allocation.fairness import unfair
from tests.allocation.stability import Stability
from tests.allocation.turns import Turns

CONFIRM_TIMEOUT_S = 5.0
LEASE_S = 30.0
OUT_S = 0.1
"""A decrease has left so long after its cause."""
SLACK_S = 0.3
"""Two computations and a late timer, on top of the time for confirmations."""
EPSILON_S = 1e-6
MOST_VIOLATIONS = 20
"""Of each clause in a day."""

Later = Callable[[float, Callable[[float], None]], None]
Published = Callable[[str], bool]
"""Whether ``allocation.get`` tells of a shortfall of this limit."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach: of which clause, when, and what was seen."""

    seed: int
    clause: str
    at_s: float
    text: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.clause} at {self.at_s:.3f} s: {self.text}"


class Judge:
    """Told of every input before the allocation is, of every permit as it is taken, and of every change of a draw."""

    def __init__(self, seed: int, book: Book, later: Later, published: Published) -> None:
        self.seed, self.book = seed, book
        self.violations: list[Violation] = []
        self._counts: Counter[str] = Counter()
        self._later, self._published = later, published
        self.show: Callable[[str], None] | None = None
        self.turns = Turns(book, self.complain)
        self.stability = Stability(book, self.turns, self.complain)
        self.pending: set[int] = set()
        """Connectors whose last permit is not confirmed."""
        self.lapsing: set[int] = set()
        """Connectors that cannot be told, and whose lease has not run out."""
        self.shortfalls = 0

    def complain(self, clause: str, now: float, text: str) -> None:
        """Note a breach, the first of each clause at least."""
        self._counts[clause] += 1
        if self._counts[clause] > MOST_VIOLATIONS:
            return
        self.violations.append(Violation(self.seed, clause, now, text))
        if self.show is not None:
            self.show(str(self.violations[-1]))

    # inputs

    def begun(self, index: int, seq: int, is_running: bool, now: float) -> None:
        """The process starts; who charges may draw whatever its hardware does, and has nobody to be told by."""
        each = self.book.connectors[index]
        each.permit = Granted(seq, False, 0.0, 0.0, 1)
        each.sent = [Sent(-1, each.most, each.phases, True) if is_running else Sent(seq, 0, 1, False)]
        self.stability.input(now, each)
        if not is_running:
            return
        each.is_dead = True
        each.claim = each.may_draw()
        for limit in each.above:
            limit.used = [used + more for used, more in zip(limit.used, each.claim, strict=True)]
            limit.is_short = limit.exceeded(limit.used)
        self._hold(each, now)

    def wish(self, index: int, wish: Wish | None, now: float) -> None:
        """What a connector could take."""
        each = self.book.connectors[index]
        if each.wish != wish:
            each.wish = wish
            self.stability.input(now, each)
            self.turns.follow(each, now)

    def limit(
        self, limit: Limit, now: float, *, scheduled: Amount | None = None, external: Amount | None = None
    ) -> None:
        """A limit is another one; no external one is ``Amount()``."""
        before = list(limit.cap)
        limit.scheduled = limit.scheduled if scheduled is None else scheduled
        limit.external = limit.external if external is None else external
        limit.refresh()
        if limit.cap == before:
            return
        self.stability.input(now)
        if any(new < old for new, old in zip(limit.cap, before, strict=True)):
            limit.fell_s = now
            if limit.exceeded(limit.used):
                self._cause(limit, now)
        limit.is_short = limit.exceeded(limit.used)

    def confirmed(self, index: int, seq: int, now: float) -> None:
        """A controller says that it has applied a permit."""
        each = self.book.connectors[index]
        last = max((at for at, sent in enumerate(each.sent) if sent.seq <= seq), default=0)
        fallback = each.sent[0] if each.is_withheld and each.sent[0].seq < 0 else None
        del each.sent[:last]
        if fallback is not None and any(sent.energize for sent in each.sent):
            each.sent.insert(0, fallback)  # without a lease it falls back from this one as well
        before = each.claim
        self._count(each, now)
        if each.claim == each.load(each.sent[-1].tenths, each.sent[-1].phases):
            each.fell_s = None
        if each.is_withheld and each.claim != before:
            self.stability.input(now, each)  # what the others share is another amount
        elif last:
            self.stability.room(now)
        if len(each.sent) == 1:
            self.pending.discard(index)

    def emptied(self, index: int, now: float) -> None:
        """The vehicle is gone: nothing that was permitted so far is drawn any more."""
        each = self.book.connectors[index]
        if each.permit.energize:
            self.complain("c", now, f"{each.name} has no vehicle and no wish, its permit is {each.permit}")
        each.sent = [Sent(each.permit.seq, 0, each.permit.phases, False)]
        self._count(each, now)
        each.fell_s = None
        self.pending.discard(index)
        self.stability.input(now, each)

    def lost(self, index: int, now: float) -> None:
        """A controller is gone: it may draw what it was permitted until its lease has run out."""
        each = self.book.connectors[index]
        self.pending.discard(index)
        if not each.is_withheld:  # else it has had no lease for a while
            self._hold(each, now)
        each.is_dead, each.is_withheld = True, False
        self.stability.input(now, each)
        self._later(now + LEASE_S, self.stability.input)
        self.turns.follow(each, now)

    def attending(self, index: int, now: float) -> None:
        """A controller is coming; it has not been handed anything yet."""
        self.stability.input(now, self.book.connectors[index])

    def attended(self, index: int, now: float) -> None:
        """A controller has come, and is handed the last permit."""
        each = self.book.connectors[index]
        each.is_dead, each.lapse_s = False, inf
        self.lapsing.discard(index)
        if each.sent[-1].seq != each.permit.seq:
            permit = each.permit
            each.sent.append(Sent(permit.seq, each.tenths, permit.phases, permit.energize))
        if len(each.sent) > 1:
            self.pending.add(index)
        self._count(each, now)
        if each.claim != each.load(each.sent[-1].tenths, each.sent[-1].phases):
            each.fell_s = now
        for limit in each.above:
            if limit.is_short:
                self._cause(limit, now)  # it can be told again, and has to confirm first
        self.stability.input(now, each)
        self.turns.follow(each, now)

    def withheld(self, index: int, now: float) -> None:
        """A controller is given no lease any more."""
        each = self.book.connectors[index]
        if each.is_withheld or each.is_dead:
            return
        if each.permit.energize:
            self.complain("a", now, f"{each.name} is given no lease, its permit is {each.permit}")
        if each.fell_s is None or now < each.fell_s + CONFIRM_TIMEOUT_S - EPSILON_S:
            self.complain("a", now, f"{each.name} is given no lease, decrease not confirmed since {each.fell_s}")
        elif not any(limit.is_short for limit in each.above):
            self.complain("a", now, f"{each.name} is given no lease without a shortfall")
        each.is_withheld = True
        self.pending.discard(index)
        self._hold(each, now)
        self.stability.input(now, each)
        self.turns.follow(each, now)

    def leased(self, index: int, now: float) -> None:
        """A controller is given leases again."""
        each = self.book.connectors[index]
        if len(each.sent) > 1:
            self.complain("a", now, f"{each.name} is given leases again, permits {each.sent} may be applied")
        each.is_withheld, each.lapse_s = False, inf
        self.lapsing.discard(index)
        self.stability.input(now, each)
        self.turns.follow(each, now)

    # permits

    def permit(self, index: int, granted: Granted, now: float) -> None:
        """A permit is handed out."""
        each = self.book.connectors[index]
        tenths = round(granted.limit_a * 10)
        asked = each.load(tenths, granted.phases) if tenths else NOTHING
        self._check_permit(each, granted, tenths, now)
        is_raise = exceeds(asked, each.asked)
        if is_raise:
            for limit in each.above:
                if limit.is_short:
                    text = f"{each.name} from {each.tenths} to {tenths} tenths beneath a short {limit.text(limit.used)}"
                    self.complain("a", now, text)
        # before anything is changed: a turn is counted as it stood until now
        self.stability.permit(each, granted.energize, tenths, is_raise, now)
        each.permit, each.tenths, each.asked = granted, tenths, asked
        self.turns.follow(each, now)
        if each.is_dead:
            return
        each.sent.append(Sent(granted.seq, tenths, granted.phases, granted.energize))
        if not each.is_withheld:
            self.pending.add(index)
        self._count(each, now)
        if each.fell_s is None and exceeds(each.claim, asked):
            each.fell_s = now

    def _check_permit(self, each: Connector, granted: Granted, tenths: int, now: float) -> None:
        wish = each.wish
        if granted.seq <= each.permit.seq:
            self.complain("c", now, f"{each.name} permit {granted.seq} after {each.permit.seq}")
        if granted.energize:
            if wish is None:
                self.complain("c", now, f"{each.name} is given energy without a wish: {granted}")
            elif tenths > wish.tenths or granted.limit_w > wish.watts + 1e-6 or granted.phases > wish.phases:
                self.complain("c", now, f"{each.name} is given more than its own {wish}: {granted}")
            if each.is_withheld:
                self.complain("c", now, f"{each.name} has no lease and is given {granted}")
        elif tenths or granted.limit_w:
            self.complain("c", now, f"{each.name} is given a limit without energy: {granted}")
        elif wish is not None and each.is_told and not self.stability.is_overdue(each, now):
            self.complain("c", now, f"{each.name} is refused energy: {granted}, its own is {wish}")
        if abs(tenths - granted.limit_a * 10) > 1e-6:
            self.complain("c", now, f"{each.name} is given no whole tenths: {granted}")
        if 0 < tenths < each.minimum:
            self.complain("d", now, f"{each.name} is given less than its minimum of {each.minimum}: {granted}")

    def told(self, index: int, now: float) -> None:
        """All permits that came of an input of this connector are handed out: what stands is within its wish."""
        each = self.book.connectors[index]
        wish, permit = each.wish, each.permit
        if not permit.energize:
            return
        if wish is None:
            self.complain("c", now, f"{each.name} has no wish, its permit is {permit}")
        elif each.is_told and (each.tenths > wish.tenths or permit.limit_w > wish.watts + 1e-6):
            self.complain("c", now, f"{each.name} asks for {wish}, its permit is {permit}")

    # draw

    def drew(self, index: int, tenths: int, phases: int, now: float) -> None:
        """A vehicle draws another current than before."""
        each = self.book.connectors[index]
        new, old = each.load(tenths, phases) if tenths else NOTHING, each.drawn
        if new == old:
            return
        each.drawn = new
        if exceeds(new, each.claim):
            text = f"{each.name} draws {tenths} on {phases} phases, permits {each.sent}"
            raise AssertionError(f"seed {self.seed} at {now}: the day breaks its own rules, {text}")
        one, two, three, power = new[0] - old[0], new[1] - old[1], new[2] - old[2], new[3] - old[3]
        for limit in each.above:
            drawn = limit.drawn
            drawn[0] += one
            drawn[1] += two
            drawn[2] += three
            drawn[3] += power
            if limit.exceeded(drawn):
                self._overdrawn(limit, now)

    def _overdrawn(self, limit: Limit, now: float) -> None:
        if not limit.is_short or not self._published(limit.name):
            self.complain("b", now, f"drawn, and no shortfall is told: {limit.text(limit.drawn)}")

    # now and then

    def inspect(self, now: float) -> bool:
        """Where all is quiet - everything confirmed, every lease alive or over - shares are fair. Whether it was."""
        self.turns.look(now)
        if self.pending or self.lapsing or not self.stability.is_quiet(now):
            return False
        if any(each.is_withheld for each in self.book.connectors):
            return False
        for text in unfair(self.book):
            self.complain("d", now, text)
        return True

    # the account

    def _count(self, each: Connector, now: float, *, is_excused: bool = False) -> None:
        """A claim may be another: the sums of its limits follow, and do not rise above one without an excuse."""
        new, old = each.may_draw(), each.claim
        if new == old:
            return
        each.claim = new
        one, two, three, power = more = (new[0] - old[0], new[1] - old[1], new[2] - old[2], new[3] - old[3])
        for limit in each.above:
            used = limit.used
            used[0] += one
            used[1] += two
            used[2] += three
            used[3] += power
            if not limit.exceeded(used):
                limit.is_short = False
            elif is_excused:
                limit.is_short = True
            elif not limit.is_short or max(more) > 0:
                limit.is_short = True
                if any(used[at] > limit.cap[at] and more[at] > 0 for at in range(4)):
                    text = f"{each.name} brought the claims above the limit, {limit.text(used)}"
                    self.complain("a", now, text)

    def _hold(self, each: Connector, now: float) -> None:
        """It may fall back any time from now on, and has certainly done so when its lease has run out.

        A fallback above the last permit comes without notice, as the fall of a limit does.
        """
        on = [sent.phases for sent in each.sent if sent.energize]
        if on:
            each.sent.insert(0, Sent(-1, each.fallback, max(on), True))
            self._count(each, now, is_excused=True)
        each.lapse_s = ends_s = now + LEASE_S
        self.lapsing.add(each.index)
        for limit in each.above:
            limit.held_s = now
            if limit.is_short:
                self._cause(limit, now)

        def lapse(at_s: float) -> None:
            if each.lapse_s == ends_s:
                self._lapse(each, at_s)

        self._later(ends_s, lapse)

    def _lapse(self, each: Connector, now: float) -> None:
        """The lease has certainly run out."""
        on = [sent.phases for sent in each.sent if sent.energize]
        last = Sent(-1, each.fallback, max(on), True) if on else Sent(-1, 0, 1, False)
        each.sent = [last, each.sent[-1]] if each.is_withheld else [last]
        self._count(each, now)
        each.lapse_s = inf
        self.lapsing.discard(each.index)
        for limit in each.above:
            limit.held_s = now
        self.stability.input(now, each)

    # shortfalls

    def _cause(self, limit: Limit, now: float) -> None:
        """The claims may be above the limit for a while from now on."""
        limit.cause_s = now
        self.shortfalls += 1

        def out(at_s: float) -> None:
            if limit.cause_s == now and limit.is_short:
                self._compare(limit, _asked(limit), "permits ask for more", at_s)

        def over(at_s: float) -> None:
            if limit.cause_s == now and limit.is_short:
                self._compare(limit, _claimed(limit), "claims are still above", at_s)

        self._later(now + OUT_S + EPSILON_S, out)
        self._later(now + CONFIRM_TIMEOUT_S + SLACK_S, over)

    def _compare(self, limit: Limit, sums: list[int], what: str, now: float) -> None:
        """Those that can be told have no more than what the others leave of the limit."""
        held = _held(limit)
        if any(sums[at] > max(limit.cap[at] - held[at], 0) for at in range(4)):
            text = f"{now - limit.cause_s:.1f} s after the limit fell, {limit.text(sums)}; held {limit.text(held)}"
            self.complain("a", now, f"{what} {text}")


def _sum(loads: list[Vector]) -> list[int]:
    return [sum(load[at] for load in loads) for at in range(4)]


def _held(limit: Limit) -> list[int]:
    """What those claim beneath a limit that cannot be told."""
    return _sum([each.claim for each in limit.below if not each.is_told])


def _claimed(limit: Limit) -> list[int]:
    """What those claim that can."""
    return _sum([each.claim for each in limit.below if each.is_told])


def _asked(limit: Limit) -> list[int]:
    """What the last permits say of those that can be told."""
    return _sum([each.asked for each in limit.below if each.is_told])
