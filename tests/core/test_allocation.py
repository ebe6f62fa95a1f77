"""The permits of a hub: within every limit, decreases before the increases they pay for, counted until replaced."""

from __future__ import annotations

from typing import Any

from ocpphub.config import Feeder
from ocpphub.core.allocation import CONFIRM_TIMEOUT_S, LEASE_S, SLICE, Allocation
from ocpphub.core.cap import Amount, External
from ocpphub.core.member import Granted, Wish
from tests import builders

FULL = Wish(320, 22_080.0, 3, True)


class Bench:
    """Connectors of a charge point A (and one of B) behind a feeder of so many amperes, and their controllers."""

    def __init__(self, connectors: int = 4, amperes: float = 64.0, **electrical: Any) -> None:
        rated = builders.electrical(**electrical)
        points = [
            builders.settings(identity="A", connectors=connectors, electrical=rated),
            builders.settings(identity="B", connectors=1, electrical=rated),
        ]
        members = (("A", tuple(range(1, connectors + 1))), ("B", (1,)))
        self.allocation = Allocation(points, [Feeder("main", amperes, None, None, members)])
        self.now_s = 100.0
        self.count = connectors
        self.permits: dict[int, Granted] = {}
        self.told: list[int] = []
        self.registers: dict[int, int] = {}
        for identity in ("A", "B"):
            self.allocation.begin(identity, 1_000, self.registers.get, (), self.now_s)

    def take(self) -> None:
        for identity in ("A", "B"):
            first = self.allocation.first(identity) - 1
            for connector_id, granted in self.allocation.take(identity, 1_000):
                self.permits[first + connector_id] = granted
                self.told.append(first + connector_id)

    def want(self, index: int, wish: Wish | None = FULL) -> None:
        self.allocation.want(index, wish, self.now_s)
        self.take()

    def confirm(self, *indexes: int) -> None:
        for index in indexes:
            self.allocation.confirm(index, self.permits[index].seq, self.now_s)
        self.take()

    def wait(self, seconds: float = 0.1, *confirming: int) -> None:
        """Let time pass; these controllers confirm whatever they are told, at once."""
        end_s = self.now_s + seconds
        while (due_s := self.allocation.next_deadline()) <= end_s:
            self.now_s = max(due_s, self.now_s)
            self.allocation.run(self.now_s)
            self.take()
            self.confirm(*(each for each in confirming if each in self.permits))
        self.now_s = end_s

    def settle(self, *indexes: int) -> None:
        """These want everything, and confirm until nothing moves any more."""
        for index in indexes:
            self.want(index)
        for _ in range(6):
            self.confirm(*(each for each in self.permits if each in indexes))
            self.wait(0.2, *indexes)

    def amperes(self, *indexes: int) -> list[float]:
        return [self.permits[index].limit_a for index in indexes]

    def is_short(self) -> bool:
        return self.allocation.caps[-1].is_short

    def energizes(self, index: int) -> bool:
        return self.permits[index].energize

    def claimed(self) -> float:
        return self.allocation.caps[-1].claimed_a


def test_permit_comes_at_once_where_there_is_room() -> None:
    """decisions.md 5: nothing is shared, so each has its own composite."""
    bench = Bench()
    bench.want(0)
    bench.want(1)
    assert bench.permits[0] == Granted(1_001, True, 32.0, 22_080.0, 3)
    assert bench.claimed() == 64.0
    bench.want(0, None)
    assert bench.permits[0] == Granted(1_002, False, 0.0, 0.0, 3)
    assert bench.claimed() == 64.0  # until it is confirmed
    bench.confirm(0)
    assert bench.claimed() == 32.0


def test_newcomer_waits_for_the_decrease_that_pays_for_it() -> None:
    """decisions.md 5: decreases before the increases they pay for; the claims are within the limit at every moment."""
    bench = Bench()
    bench.settle(0, 1)
    bench.want(2)
    assert bench.permits[2].limit_a == 0.0
    bench.wait(0.1)
    assert bench.amperes(0, 1, 2) == [21.4, 21.3, 0.0]
    assert bench.claimed() == 64.0
    bench.confirm(0)
    bench.wait(0.1)
    assert bench.amperes(2) == [0.0]  # 10.6 A are not enough for its share
    bench.confirm(1)
    bench.wait(0.1)
    assert bench.amperes(0, 1, 2) == [21.4, 21.3, 21.3]
    assert bench.claimed() <= 64.0


def test_shares_follow_across_charge_points() -> None:
    """decisions.md 5: one instance per process over all charge points."""
    bench = Bench()
    bench.settle(0, 4)
    bench.settle(0, 4, 1)
    assert sorted(bench.amperes(0, 1, 4)) == [21.3, 21.3, 21.4]
    bench.want(4, None)
    bench.confirm(4)
    bench.wait(0.2, 0, 1)
    assert bench.amperes(0, 1) == [32.0, 32.0]


def test_limit_that_falls_lowers_all_at_once_and_raises_nobody() -> None:
    """decisions.md 5: in a shortfall every decrease is sent within 100 ms."""
    bench = Bench(amperes=128.0)
    bench.settle(0, 1, 2)
    bench.want(3, Wish(320, 22_080.0, 3, True))
    bench.settle(0, 1, 2, 3)
    bench.allocation.set_external(bench.allocation.feeder("main") or 0, External(Amount(40_000, None), 0), bench.now_s)
    assert bench.is_short()
    bench.wait(0.1)
    assert bench.amperes(0, 1, 2, 3) == [10.0] * 4
    bench.confirm(0, 1, 2, 3)
    assert not bench.is_short()
    bench.allocation.set_external(2, None, bench.now_s)
    bench.wait(0.3, 0, 1, 2, 3)
    assert bench.amperes(0, 1, 2, 3) == [32.0] * 4


def test_controller_that_never_confirms_is_cut_and_counts_until_its_lease_ends() -> None:
    """decisions.md 5: energize false after confirm_timeout_s; the others make room for what it may still draw."""
    bench = Bench(amperes=64.0)
    bench.settle(0, 1)
    bench.allocation.set_external(2, External(Amount(40_000, None), 0), bench.now_s)
    bench.wait(0.1, 1)
    bench.wait(CONFIRM_TIMEOUT_S - 0.2, 1)
    assert bench.energizes(0)
    bench.wait(0.3, 1)
    assert not bench.energizes(0)
    assert bench.amperes(1) == [8.0]  # 32 A may still be drawn
    assert bench.claimed() == 40.0
    assert list(bench.allocation.withheld("A")) == [1]
    bench.wait(LEASE_S, 1)
    assert bench.amperes(1) == [32.0]
    assert bench.claimed() == 32.0
    bench.confirm(0)
    bench.wait(0.3, 0, 1)
    assert bench.energizes(0)
    assert sum(bench.amperes(0, 1)) == 40.0
    assert list(bench.allocation.withheld("A")) == []


def test_lost_controller_counts_until_its_lease_ends_then_its_fallback() -> None:
    """decisions.md 5: the fallback, once the lease has certainly run out; what it had counts again when it is back."""
    bench = Bench(amperes=64.0, fallback_current_a=8.0)
    bench.settle(0, 1, 2)
    bench.allocation.lose(0, bench.now_s)
    bench.wait(LEASE_S - 1, 1, 2)
    assert bench.claimed() == 64.0
    bench.wait(2.0, 1, 2)
    assert bench.amperes(1, 2) == [28.0, 28.0]
    bench.allocation.attend(0, bench.now_s)
    bench.take()
    assert bench.amperes(0) == [8.0]  # no room for what it had, but for its fallback, which is counted
    bench.confirm(0)
    bench.wait(0.5, 0, 1, 2)
    assert sorted(bench.amperes(0, 1, 2)) == [21.3, 21.3, 21.4]


def test_controller_that_is_back_within_its_lease_keeps_its_permit() -> None:
    """decisions.md 4 and 5: a short interruption changes nothing."""
    bench = Bench()
    bench.settle(0, 1)
    bench.told.clear()
    bench.allocation.lose(0, bench.now_s)
    bench.wait(5.0, 1)
    bench.allocation.attend(0, bench.now_s)
    bench.take()
    bench.wait(5.0, 1)
    assert bench.told == []


def test_share_is_nothing_or_the_minimum_and_turns_go_round() -> None:
    """decisions.md 5: when the minimums do not fit, turns; each of three gets two thirds of the time."""
    bench = Bench(connectors=3, amperes=13.0, turn_s=60.0)
    bench.settle(0, 1, 2)
    seen = []
    for _ in range(6):
        seen.append([amperes > 0 for amperes in bench.amperes(0, 1, 2)])
        assert all(amperes == 0 or amperes >= 6.0 for amperes in bench.amperes(0, 1, 2))
        assert sum(seen[-1]) == 2
        bench.wait(60.0, 0, 1, 2)
    assert [sum(turn[index] for turn in seen) for index in range(3)] == [4, 4, 4]
    bench.want(0, None)
    bench.confirm(0)
    bench.wait(0.3, 1, 2)
    assert bench.amperes(1, 2) == [6.5, 6.5]
    assert bench.allocation.rotation.ends_s is None


def test_vehicle_that_takes_nothing_makes_room() -> None:
    """decisions.md 5: max-min over those whose EV is ready; the others get what is left."""
    bench = Bench(amperes=40.0)
    bench.want(0, FULL._replace(is_ready=False))
    assert bench.amperes(0) == [32.0]
    bench.settle(1)
    bench.confirm(0)
    bench.wait(0.3, 0, 1)
    assert bench.amperes(0, 1) == [8.0, 32.0]
    bench.want(0, FULL)
    bench.wait(0.5, 0, 1)
    assert bench.amperes(0, 1) == [20.0, 20.0]


def test_unplugged_vehicle_draws_nothing() -> None:
    """A controller that never confirms does not hold the room of a vehicle that has left."""
    bench = Bench(amperes=40.0)
    bench.want(0)
    bench.want(0, None)
    assert bench.claimed() == 32.0
    bench.allocation.empty(0, bench.now_s)
    assert bench.claimed() == 0.0


def test_resumed_connector_counts_with_all_that_it_could_have_been_told() -> None:
    """Nobody knows what an earlier process permitted: the hardware's maximum, until the lease has run out."""
    bench = Bench(amperes=40.0)
    bench.allocation.begin("A", 2_000, bench.registers.get, [1], bench.now_s)
    bench.want(1)
    bench.wait(1.0, 1)
    assert bench.amperes(1) == [8.0]
    bench.wait(LEASE_S, 1)
    assert bench.amperes(1) == [32.0]
    assert bench.permits[1].seq > 2_000


def test_phases_that_grow_wait_for_room_too() -> None:
    """Per phase: a permit of three phases takes more than one of a single phase."""
    bench = Bench(connectors=2, amperes=40.0)
    bench.want(0, Wish(320, 7_360.0, 1, True))
    bench.want(1, Wish(80, 5_520.0, 3, True))
    bench.confirm(0, 1)
    assert bench.amperes(0, 1) == [32.0, 8.0]
    bench.want(1, Wish(320, 22_080.0, 3, True))
    bench.wait(0.5, 0, 1)
    assert bench.amperes(0, 1) == [20.0, 20.0]
    assert bench.claimed() <= 40.0


def test_unchanged_hub_is_left_alone() -> None:
    """decisions.md 5: no permit changes unless an input changed or a turn ended."""
    bench = Bench()
    bench.settle(0, 1, 2)
    bench.told.clear()
    bench.want(1)
    bench.wait(3_600.0, 0, 1, 2)
    assert bench.told == []


def test_bound_below_the_minimum_is_no_current() -> None:
    """decisions.md 5: a share is 0 or at least the minimum."""
    bench = Bench()
    bench.want(0, Wish(59, 4_071.0, 3, True))
    assert bench.permits[0] == Granted(1_001, True, 0.0, 0.0, 3)


def test_watts_of_a_share_are_those_of_its_amperes() -> None:
    """rpc.md: limit_a and limit_w say the same; under a limit in watts neither is more than what is counted."""
    bench = Bench(amperes=20.0)
    bench.want(0, Wish(159, 11_000.0, 3, True))
    assert bench.permits[0].limit_w == 11_000.0
    bench.want(0, Wish(100, 11_000.0, 3, True, is_whole=False))
    assert bench.permits[0].limit_w == 6_900.0


def test_permit_of_a_lost_controller_follows_its_composite_down() -> None:
    """S2: a permit is never above the connector's own composite, whether anybody hears of it or not."""
    bench = Bench()
    bench.settle(0)
    bench.allocation.lose(0, bench.now_s)
    bench.want(0, Wish(100, 6_900.0, 3, True))
    assert bench.amperes(0) == [10.0]
    assert bench.claimed() == 32.0
    bench.allocation.attend(0, bench.now_s)
    bench.confirm(0)
    assert bench.claimed() == 10.0


def test_limit_of_many_that_falls_becomes_permits_in_slices() -> None:
    """performance.md P3: the loop goes on in between; all decreases are out before an increase."""
    count = 2 * SLICE + 50
    bench = Bench(connectors=count, amperes=32.0 * count)
    bench.settle(*range(count))
    limit = bench.allocation.feeder("main")
    assert limit is not None
    bench.told.clear()
    bench.allocation.set_external(limit, External(Amount(8_000 * count, None), 10**15), bench.now_s)
    steps = []
    while bench.allocation.next_deadline() <= bench.now_s + 0.05:
        bench.now_s = max(bench.now_s, bench.allocation.next_deadline())
        bench.allocation.run(bench.now_s)
        bench.take()
        steps.append(len(bench.told))
    assert steps == [0, SLICE, 2 * SLICE, count]
    assert set(bench.amperes(*range(count))) == {8.0}


def test_wish_that_comes_between_two_slices_is_heard() -> None:
    """What was computed for a connector that wants something else by now is not told to it."""
    count = 2 * SLICE
    bench = Bench(connectors=count, amperes=32.0 * count)
    bench.settle(*range(count))
    limit = bench.allocation.feeder("main")
    assert limit is not None
    bench.allocation.set_external(limit, External(Amount(8_000 * count, None), 10**15), bench.now_s)
    bench.allocation.run(bench.now_s)
    bench.allocation.run(bench.now_s)
    bench.want(count - 1, None)
    bench.want(count - 2, Wish(70, 4_830.0, 3, True))
    bench.wait(1.0, *range(count))
    assert not bench.energizes(count - 1)
    assert bench.amperes(0, count - 2) == [8.1, 7.0]  # 399 share what 400 had


def test_decrease_of_a_lost_controller_waits_anew_when_it_is_back() -> None:
    """A day of 400 found it: nobody could confirm in between, so the five seconds begin with the attach."""
    bench = Bench(connectors=2, amperes=64.0)
    bench.settle(0, 1)
    bench.want(0, Wish(320, 7_360.0, 1, True))
    bench.allocation.lose(0, bench.now_s)
    bench.wait(4.0, 1)
    bench.allocation.attend(0, bench.now_s)
    limit = bench.allocation.feeder("main")
    assert limit is not None
    bench.allocation.set_external(limit, External(Amount(40_000, None), 10**15), bench.now_s)
    bench.wait(CONFIRM_TIMEOUT_S - 0.5, 1)
    assert bench.energizes(0)
    bench.wait(1.0, 1)
    assert not bench.energizes(0)
