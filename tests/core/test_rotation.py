"""Turns: who is admitted first when there is not enough for all."""

from __future__ import annotations

from ocpphub.core.rotation import Rotation

TURN_S = 900.0


def played(vehicles: int, slots: int, turns: int) -> list[list[int]]:
    """Who had a share in each turn when only so many have room and each takes 1,000 Wh a turn."""
    registers = dict.fromkeys(range(vehicles), 0)
    rotation = Rotation(registers.get)
    seen: list[list[int]] = []
    since: dict[int, float] = {}
    now_s = 0.0
    for _ in range(turns):
        served = rotation.order(range(vehicles), since, TURN_S, now_s)[:slots]
        rotation.given(served, now_s)
        since = {place: since.get(place, now_s) for place in served}
        seen.append(sorted(served))
        for place in served:
            registers[place] += 1_000
        now_s += TURN_S
    return seen


def test_each_vehicle_gets_a_slice_in_one_rotation() -> None:
    """Issue 5: over one rotation each waiting EV gets at least one, and equal ones differ by at most one."""
    for vehicles, slots in ((3, 1), (5, 2), (7, 3), (4, 2), (4, 3)):
        seen = played(vehicles, slots, 4 * vehicles)
        rounds = -(-vehicles // slots)
        for first in range(len(seen) - rounds):
            assert {each for turn in seen[first : first + rounds] for each in turn} == set(range(vehicles))
        counts = [sum(place in turn for turn in seen) for place in range(vehicles)]
        assert max(counts) - min(counts) <= 1


def test_nobody_loses_a_share_before_the_turn_ends() -> None:
    """decisions.md 5: no connector switched more often than once per turn_s; who comes new waits."""
    rotation = Rotation(lambda place: 0)
    assert rotation.order([3, 4, 5], {4: 0.0}, TURN_S, 0.0) == [4, 3, 5]
    rotation.given([4], 0.0)
    assert rotation.order([1, 4, 5], {4: 0.0}, TURN_S, 10.0) == [4, 5, 1]
    rotation.given([4], 10.0)
    assert rotation.ends_s == TURN_S
    assert rotation.order([1, 4, 5], {4: 0.0}, TURN_S, TURN_S)[:2] == [1, 5]
    rotation.given([1], TURN_S)
    assert rotation.turns == 1
    assert rotation.order([1, 4, 5], {1: TURN_S}, TURN_S, TURN_S + 1)[0] == 1


def test_who_got_a_share_in_between_keeps_it_for_a_whole_turn() -> None:
    """A small one that fits where a larger one did not is not pushed out by it, nor by the end of the turn."""
    rotation = Rotation(lambda place: 0)
    rotation.order([1, 2, 3], {}, TURN_S, 0.0)
    rotation.given([1], 0.0)
    rotation.order([1, 2, 3], {1: 0.0}, TURN_S, 5.0)
    rotation.given([1, 3], 5.0)
    sharing = {1: 0.0, 3: 5.0}
    assert rotation.order([1, 2, 3], sharing, TURN_S, 6.0) == [1, 3, 2]
    assert rotation.order([1, 2, 3], sharing, TURN_S, TURN_S) == [3, 2, 1]


def test_least_energy_of_the_last_turn_goes_first() -> None:
    """decisions.md 5: those with the least energy in the last turn_s."""
    registers = {1: 0, 2: 0, 3: 0}
    rotation = Rotation(registers.get)
    rotation.order([1, 2, 3], {}, TURN_S, 0.0)
    rotation.given([1, 2], 0.0)
    registers[1], registers[2] = 500, 200
    assert rotation.order([1, 2, 3], {1: 0.0, 2: 0.0}, TURN_S, TURN_S) == [3, 2, 1]


def test_order_is_forgotten_when_there_is_enough() -> None:
    """decisions.md 5: turns only while the minimums do not fit."""
    rotation = Rotation(lambda place: None)
    rotation.order([1, 2], {}, TURN_S, 0.0)
    rotation.end()
    assert rotation.ends_s is None
    assert rotation.order([1, 2, 3], {3: 7.0}, TURN_S, 9.0) == [3, 1, 2]


def test_share_that_was_kept_counts_from_its_last_turn() -> None:
    """A day of 1,000 found it: who kept a share through a turn went before one whose only share was long over."""
    rotation = Rotation(lambda place: 0)
    rotation.order([1, 2], {}, TURN_S, 0.0)
    rotation.given([1], 0.0)
    rotation.order([1, 2], {1: 0.0}, TURN_S, 10.0)
    rotation.given([1, 2], 10.0)  # there is room for both, until 2 grows
    rotation.order([1, 2], {1: 0.0, 2: 10.0}, TURN_S, 20.0)
    rotation.given([2], 20.0)
    assert rotation.order([1, 2], {2: 10.0}, TURN_S, TURN_S)[0] == 2
    rotation.given([2], TURN_S)
    assert rotation.order([1, 2, 3], {2: 10.0}, TURN_S, 2 * TURN_S) == [3, 1, 2]
    rotation.given([3], 2 * TURN_S)
    assert rotation.order([1, 2, 3], {3: 2 * TURN_S}, TURN_S, 3 * TURN_S)[0] == 1
