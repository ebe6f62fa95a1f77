"""Times made before the clock was known."""

from __future__ import annotations

import pytest

from ocpphub.core.boot import EARLIEST_UTC_MS, utc_text
from ocpphub.core.effects import Send, Store
from tests.queue_world import QueueWorld

YEARS_56 = 56 * 365 * 86_400_000


def at_1970(**more: object) -> QueueWorld:
    """A machine without a clock: it believes in 1970 until somebody tells it."""
    world = QueueWorld(is_trusted=False)
    world.clock.offset_ms = -world.utc_ms + 60_000
    return world


def times(world: QueueWorld) -> list[str]:
    """Every time that the CSMS was told, in order."""
    found = []
    for frame in world.frames:
        if "timestamp" in frame.payload:
            found.append(frame.payload["timestamp"])
        for name in ("meterValue", "transactionData"):
            found += [each["timestamp"] for each in frame.payload.get(name, [])]
    return found


def learn(world: QueueWorld) -> None:
    """The CSMS tells the time."""
    by_ms, world.clock.offset_ms, world.clock.is_trusted = -world.clock.offset_ms, 0, True
    world.queue.shift_untrusted(by_ms)
    world.settle()


def test_untrusted_times_are_corrected_once_when_the_clock_becomes_known() -> None:
    """N24, F34: all of a session that was made offline, and nothing twice."""
    world = at_1970()
    begin_ms = world.utc_ms
    tx = world.start()
    world.stop_sample(tx, "1", "Transaction.Begin").advance(5).sample(tx, "2").advance(5).stop(tx)
    learn(world)
    world.queue.shift_untrusted(YEARS_56)
    world.connect()
    expected = [begin_ms, begin_ms + 5_000, begin_ms + 10_000, begin_ms]
    assert times(world) == [utc_text(ms) for ms in expected]


def test_untrusted_times_are_corrected_after_a_restart_too() -> None:
    """N24: the machine's clock is as wrong as before."""
    world = at_1970()
    begin_ms = world.utc_ms
    tx = world.start()
    world.advance(5).sample(tx, "2").stop_sample(tx, "3").stop(tx)
    again = world.crash()
    again.clock.offset_ms = world.clock.offset_ms
    learn(again)
    again.connect()
    assert times(again) == [utc_text(ms) for ms in (begin_ms, *[begin_ms + 5_000] * 3)]


def test_trusted_times_never_move() -> None:
    """reliability.md 4.7."""
    world = QueueWorld()
    begin_ms = world.utc_ms
    tx = world.start()
    world.sample(tx, "1").stop_sample(tx, "2").stop(tx)
    world.queue.shift_untrusted(1_000_000)
    world.settle().connect()
    assert set(times(world)) == {utc_text(begin_ms)}


def test_untrusted_message_is_fixed_and_stored_before_its_first_transmission() -> None:
    """N17: whatever happens later, a retry tells the same time."""
    world = QueueWorld(is_trusted=False, script=lambda frame: None)
    tx = world.start()
    world.effects.clear()
    world.connect()
    assert [type(effect) for effect in world.effects] == [Store, Send]
    assert b'"trusted":true' in world.rows["transaction", tx.key]
    world.queue.shift_untrusted(500_000)
    world.settle().disconnect().connect()
    again = world.crash()
    again.queue.shift_untrusted(500_000)
    again.settle().connect()
    assert len({str(frame.payload) for frame in world.frames + again.frames}) == 1


@pytest.mark.parametrize("what", ["sample", "stop"])
def test_untrusted_rows_of_a_message_are_fixed_before_its_first_transmission(what: str) -> None:
    """N17: samples and transactionData too."""
    world = QueueWorld(is_trusted=False)
    if what == "sample":
        world.sample(None, "1")
    else:
        tx = world.start()
        world.connect().disconnect().stop_sample(tx, "1").stop(tx)
    world.script = lambda frame: None
    world.connect().disconnect()
    first = times(world)[-1]
    world.queue.shift_untrusted(500_000)
    world.settle().connect()
    assert times(world)[-1] == first
    assert all(b",0,0," not in value for (table, _), value in world.rows.items() if "sample" in table)


def test_time_before_this_software_was_made_is_never_sent() -> None:
    """N24, N32: the CSMS told a time that nobody believes, so the records have none."""
    world = at_1970()
    tx = world.start()
    world.sample(tx, "1").stop(tx)
    world.clock.offset_ms = 0
    world.connect()
    assert min(times(world)) >= utc_text(EARLIEST_UTC_MS)


def test_corrected_time_never_goes_before_what_was_trusted() -> None:
    """A session that began in time goes on in time."""
    world = QueueWorld()
    tx = world.start()
    again = world.crash(is_trusted=False)
    again.clock.offset_ms = 9_000_000
    again.advance(1).sample(again.running[0], "1").advance(1).sample(again.running[0], "2")
    learn(again)
    again.queue.shift_untrusted(0)
    again.connect()
    found = times(again)
    assert found == sorted(found)
    assert found[1] == utc_text(tx.start_ms + 1_000)
    assert found[2] == utc_text(tx.start_ms + 2_000)


def test_time_of_a_session_never_goes_back_after_a_restart() -> None:
    """reliability.md 4.7: also when the records that came before were delivered and are gone."""
    world = QueueWorld().connect()
    tx = world.start()
    world.advance(3_600).sample(tx, "1")
    last = times(world)[-1]
    again = world.crash()
    again.clock.offset_ms = -3_000_000
    again.stop(again.running[0]).connect()
    assert times(again) == [f"{last[:-2]}1Z"]


def test_time_that_was_sent_untrusted_is_a_floor_for_what_follows() -> None:
    """The clock was ahead, and is put right after the first message left."""
    world = QueueWorld(is_trusted=False).connect()
    tx = world.start()
    world.clock.is_trusted, world.clock.offset_ms = True, -5_000
    world.queue.shift_untrusted(-5_000)
    world.settle().sample(tx, "1")
    assert times(world) == sorted(times(world))
