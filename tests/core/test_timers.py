"""Deadlines by name."""

from __future__ import annotations

from ocpphub.core.timers import Timers


def test_timers_several_names_expire_earliest_first() -> None:
    timers = Timers()
    timers.set("b", 2.0)
    timers.set("a", 1.0)
    timers.set("c", 3.0)
    assert timers.next() == 1.0
    assert timers.expired(2.0) == ["a", "b"]
    assert timers.expired(2.0) == []
    assert timers.next() == 3.0


def test_timers_equal_deadlines_expire_in_the_order_they_were_set() -> None:
    timers = Timers()
    for name in ("x", ("retry", "1"), "a"):
        timers.set(name, 5.0)
    assert timers.expired(5.0) == ["x", ("retry", "1"), "a"]


def test_timers_name_set_again_moves_its_deadline() -> None:
    timers = Timers()
    timers.set("a", 1.0)
    timers.set("a", 9.0)
    assert timers.expired(5.0) == []
    assert timers.deadline("a") == timers.next() == 9.0


def test_timers_cancelled_name_never_expires() -> None:
    timers = Timers()
    timers.set("a", 1.0)
    timers.cancel("a")
    timers.cancel("never armed")
    assert timers.next() is None
    assert timers.expired(9.0) == []


def test_timers_name_moved_ten_thousand_times_keeps_the_heap_small() -> None:
    timers = Timers()
    for deadline in range(10_000):
        timers.set("call", float(deadline))
    assert len(timers._heap) < 200
    assert timers.expired(10_000.0) == ["call"]
