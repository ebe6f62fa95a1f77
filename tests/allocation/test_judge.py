"""The judge of days on stories made by hand: it complains about the breach, and about nothing else."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from ocpphub.config import Feeder
from ocpphub.core.cap import Amount
from ocpphub.core.member import Granted, Wish
from tests.allocation.book import Book
from tests.allocation.judge import Judge
from tests.allocation.site import Site
from tests.builders import electrical, settings

FULL = Wish(320, 22_080.0, 3, True)


class Story:
    """Three connectors on three phases behind a feeder of so many amperes; fallback 6 A."""

    def __init__(self, amperes: float = 32.0) -> None:
        point = settings(identity="A", connectors=3, electrical=electrical(fallback_current_a=6.0))
        book = Book(Site((point,), (Feeder("main", amperes, None, None, (("A", (1, 2, 3)),)),)))
        self.book, self.now, self.is_told = book, 1_000.0, True
        self._checks: list[tuple[float, int, Callable[[float], None]]] = []
        self.judge = Judge(1, book, self._later, lambda name: self.is_told)
        for index in range(3):
            self.judge.begun(index, 0, False, self.now)

    def _later(self, at_s: float, call: Callable[[float], None]) -> None:
        heappush(self._checks, (at_s, len(self._checks), call))

    def wait(self, seconds: float) -> Story:
        """Let time pass."""
        end_s = self.now + seconds
        while self._checks and self._checks[0][0] <= end_s:
            self.now, _, call = heappop(self._checks)
            call(self.now)
        self.now = end_s
        return self

    def wish(self, *wishes: Wish | None) -> Story:
        """What the connectors ask for, from the first on."""
        for index, wish in enumerate(wishes):
            self.judge.wish(index, wish, self.now)
        return self

    def permit(self, index: int, amperes: float, *, energize: bool = True, confirm: bool = True) -> Story:
        """The next permit of a connector, and its confirmation."""
        seq = self.book.connectors[index].permit.seq + 1
        self.judge.permit(index, Granted(seq, energize, amperes, amperes * 690, 3), self.now)
        return self.confirm(index) if confirm else self

    def confirm(self, index: int) -> Story:
        """The last permit is applied."""
        self.judge.confirmed(index, self.book.connectors[index].permit.seq, self.now)
        return self

    def limit(self, amperes: float) -> Story:
        """An energy manager sets the feeder's limit."""
        self.judge.limit(self.book.limits[1], self.now, external=Amount(int(amperes * 1000), None))
        return self

    def verdicts(self) -> str:
        """The clauses that were broken."""
        return "".join(sorted({violation.clause for violation in self.judge.violations}))


def shared() -> Story:
    """Two connectors have 16 A each, the third nothing."""
    return Story().wish(FULL, FULL).permit(0, 16.0).permit(1, 16.0)


def test_fair_shares_within_the_limit_are_no_violation() -> None:
    """Nothing to complain about, then or later."""
    story = shared().wait(10.0)
    assert story.judge.inspect(story.now)
    assert story.verdicts() == ""


def test_a_raise_before_the_decrease_is_confirmed_is_seen() -> None:
    """Clause a: the claims are 38 A."""
    story = shared().wish(FULL, FULL, FULL).permit(0, 10.0, confirm=False).permit(2, 6.0)
    assert story.verdicts() == "a"


def test_a_raise_after_the_confirmation_is_not_complained_about() -> None:
    """Clause a: however late it is."""
    story = shared().wish(FULL, FULL, FULL).permit(0, 10.0, confirm=False).wait(60.0)
    assert story.confirm(0).permit(2, 6.0).verdicts() == ""


def test_a_shortfall_that_is_answered_in_time_is_no_violation() -> None:
    """Clause a: decreases within 100 ms, confirmed within 5 s."""
    story = shared().limit(20.0).wait(0.05).permit(0, 10.0, confirm=False).permit(1, 10.0, confirm=False)
    assert story.wait(4.9).confirm(0).confirm(1).wait(60.0).verdicts() == ""


def test_a_late_decrease_is_seen() -> None:
    """Clause a: later than 100 ms; and without a cause by then."""
    story = shared().limit(20.0).wait(0.2).permit(0, 10.0).permit(1, 10.0)
    assert "a" in story.verdicts()


def test_waiting_for_a_confirmation_that_does_not_come_is_seen() -> None:
    """Clause a: who has not confirmed after 5 s is to lose its energy."""
    story = shared().limit(20.0).permit(0, 10.0).permit(1, 10.0, confirm=False).wait(6.0)
    assert story.verdicts() == "a"


def test_who_gets_no_lease_counts_with_the_fallback_after_it() -> None:
    """Clause a: 30 s after the last lease its 16 A are free, but for the fallback of 6 A."""
    story = shared().limit(20.0).permit(0, 10.0).permit(1, 10.0, confirm=False).wait(5.0)
    story.permit(1, 0.0, energize=False, confirm=False)
    story.judge.withheld(1, story.now)
    story.permit(0, 0.0).wait(29.9)
    assert story.verdicts() == ""
    assert story.wait(0.1).permit(0, 14.0).verdicts() == ""
    assert story.permit(0, 14.1).verdicts() == "a"


def test_a_raise_in_a_shortfall_is_seen() -> None:
    """Clause a: beneath the limit nobody gets more before the claims are within it again."""
    story = shared().limit(20.0).permit(0, 6.0, confirm=False).permit(1, 10.0, confirm=False).permit(0, 7.0)
    assert story.verdicts() == "a"


def test_a_controller_that_is_gone_counts_with_what_it_had() -> None:
    """Clause a: its 16 A are not free before its lease has run out."""
    story = shared()
    story.judge.lost(0, story.now)
    assert "a" in story.wait(29.0).permit(1, 17.0).verdicts()


def test_a_draw_above_the_limit_without_a_shortfall_is_seen() -> None:
    """Clause b: it is told that all is well."""
    story = shared()
    for index in range(2):
        story.judge.drew(index, 160, 3, story.now)
    story.limit(20.0)
    story.judge.drew(0, 110, 3, story.now)
    assert story.verdicts() == ""
    story.is_told = False
    story.judge.drew(0, 109, 3, story.now)
    assert story.verdicts() == "b"


def test_a_permit_without_a_wish_is_seen() -> None:
    """Clause c."""
    assert Story().permit(0, 6.0).verdicts() == "c"


def test_a_permit_above_the_own_composite_is_seen() -> None:
    """Clause c: by a tenth."""
    assert Story().wish(Wish(100, 6_900.0, 3, True)).permit(0, 10.1).verdicts() == "c"


def test_a_permit_that_stays_above_a_wish_that_fell_is_seen() -> None:
    """Clause c: what is handed out with the input is all there is."""
    story = shared().wish(Wish(100, 6_900.0, 3, True))
    story.judge.told(0, story.now)
    assert story.verdicts() == "c"


def test_an_old_number_is_seen() -> None:
    """Clause c."""
    story = shared()
    story.judge.permit(0, Granted(1, True, 10.0, 6_900.0, 3), story.now)
    assert "c" in story.verdicts()


def test_an_unfair_share_is_seen() -> None:
    """Clause d: 12 A beside 20 A."""
    story = Story().wish(FULL, FULL).permit(0, 12.0).permit(1, 20.0).wait(10.0)
    story.judge.inspect(story.now)
    assert story.verdicts() == "d"


def test_a_share_below_the_minimum_is_seen() -> None:
    """Clause d."""
    assert Story().wish(FULL).permit(0, 5.9).verdicts() == "d"


def test_somebody_who_waits_beside_a_large_share_is_seen() -> None:
    """Clause d: the minimum of the third fits."""
    story = shared().wish(FULL, FULL, FULL).wait(10.0)
    story.judge.inspect(story.now)
    assert story.verdicts() == "d"


def test_a_change_without_a_cause_is_seen() -> None:
    """Clause e."""
    assert shared().wait(10.0).permit(0, 15.9).verdicts() == "e"


def waiting() -> Story:
    """Room for one: the first has it, the others wait."""
    return Story(10.0).wish(FULL, FULL, FULL).permit(0, 10.0)


def test_a_turn_after_its_time_is_no_violation() -> None:
    """Clauses e and f: 900 s each."""
    story = waiting().wait(10.0)
    story.judge.turns.calm(story.now)
    for index in range(9):
        story.wait(900.0).permit(index % 3, 0.0).permit((index + 1) % 3, 10.0)
    story.judge.turns.look(story.now)
    assert story.verdicts() == ""
    assert story.judge.turns.slices == 9


def test_a_turn_that_is_too_short_is_seen() -> None:
    """Clause e."""
    assert waiting().wait(870.0).permit(0, 0.0).permit(1, 10.0).verdicts() == "e"


def test_a_newcomer_who_throws_out_another_is_seen() -> None:
    """Clause e: its own input did not change, and no limit fell."""
    story = Story(10.0).wish(None, FULL).permit(1, 10.0).wait(10.0).wish(FULL, FULL)
    assert story.permit(1, 0.0).permit(0, 10.0).verdicts() == "e"


def test_somebody_who_is_passed_over_is_seen() -> None:
    """Clause f: the first two take turns, the third waits."""
    story = waiting().wait(10.0)
    story.judge.turns.calm(story.now)
    for index in range(5):
        story.wait(900.0).permit(index % 2, 0.0).permit((index + 1) % 2, 10.0)
    assert story.verdicts() == "f"


def test_a_turn_that_does_not_end_is_seen() -> None:
    """Clause f."""
    story = waiting().wait(10.0)
    story.judge.turns.calm(story.now)
    story.wait(1_900.0).judge.turns.look(story.now)
    assert story.verdicts() == "f"
