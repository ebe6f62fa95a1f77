"""What ``charge_point.status`` publishes, and when."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.core.effects import Publish, Reply
from tests.builders import Csms, World

TOPIC = "charge_point.status"


def test_topic_follows_the_state_through_every_kind_of_change() -> None:
    """rpc.md: the last value is what ``charge_point.get`` returns."""
    world = World(csms=Csms(offset_ms=5_500)).start()

    def is_current() -> bool:
        return bool(world.published(TOPIC)[-1] == world.core.state(world.now))

    assert is_current()
    world.connect()
    assert is_current()
    assert world.published(TOPIC)[-1]["is_connected"] is True
    world.advance(1)
    assert is_current()
    assert world.published(TOPIC)[-1]["registration"] == "Accepted"
    assert world.published(TOPIC)[-1]["clock_offset_s"] == 5.5
    for command in ("stop", "restart"):
        world.command(command)
        assert is_current()
    world.command("monitor_configuration_keys", ["ResetRetries"])
    assert is_current()
    assert world.published(TOPIC)[-1]["monitored_keys"] == ["ResetRetries"]
    world.disconnect()
    assert is_current()


def test_heartbeat_that_moves_the_clock_is_published() -> None:
    """CORE-HB-03: the offset is part of the state."""
    world = World().boot().advance(2).forget()
    world.csms.offset_ms = 60_000
    world.advance(400)
    assert [state["clock_offset_s"] for state in world.published(TOPIC)][-1] == 60


@pytest.mark.parametrize("keys", [["ResetRetries"], []])
def test_state_that_stays_is_not_published_again(keys: list[str]) -> None:
    """A monitor that is there already, Heartbeats and answers change nothing."""
    world = World().boot().advance(2)
    world.command("monitor_configuration_keys", ["ResetRetries"])
    world.forget()
    world.command("monitor_configuration_keys", keys)
    world.command("restart")
    world.advance(1_000)
    assert world.published(TOPIC) == []


def test_client_hears_of_its_change_before_its_answer() -> None:
    """rpc.md: whoever has the answer has the event."""
    world = World().boot().advance(2).forget()
    world.command("monitor_configuration_keys", ["ResetRetries"])
    world.command("stop")
    world.command("restart")
    told: list[Any] = []
    for effect in world.effects:
        if isinstance(effect, Reply):
            told.append(effect.result)
        elif isinstance(effect, Publish) and effect.topic == TOPIC:
            state = orjson.loads(effect.value)
            told.append((state["stopped"], state["monitored_keys"]))
    keys = ["ResetRetries"]
    assert told == [(False, keys), None, (True, keys), True, (False, keys), True]


def test_queue_that_fills_is_published_within_a_second() -> None:
    """rpc.md ``queue``."""
    world = World().start().advance(2).forget()
    world.command("security_event", "X", "")
    world.command("security_event", "Y", "")
    world.advance(1)
    assert [state["queue"]["messages"] for state in world.published(TOPIC)] == [3]
    assert world.published(TOPIC)[-1] == world.core.state(world.now)


def test_queue_that_is_busy_is_published_once_a_second_and_then_rests() -> None:
    """decisions.md 3: no storm of publications; the last one tells how it ended."""
    world = World(csms=Csms(latency_s=0.3)).boot().advance(5).forget()
    for _ in range(50):
        world.command("security_event", "X", "")
        world.advance(0.1)
    world.advance(60)
    told = world.published(TOPIC)
    assert 5 <= len(told) <= 17
    assert told[-1]["queue"] == {"messages": 0, "bytes": 0, "oldest": None, "aside": 0}
    world.forget().advance(60)
    assert world.published(TOPIC) == []


def test_queue_that_is_empty_again_within_the_second_is_no_news() -> None:
    """A message that the CSMS took at once is not worth an event."""
    world = World().boot().advance(5).forget()
    world.command("security_event", "X", "")
    world.advance(10)
    assert world.published(TOPIC) == []


def test_message_that_goes_aside_and_comes_back_is_published() -> None:
    """decisions.md 6: five links lost under one message."""
    world = World(csms=Csms(silent={"SecurityEventNotification"})).start()
    for _ in range(5):
        world.connect().advance(2).disconnect()
    world.advance(1)
    assert world.published(TOPIC)[-1]["queue"]["aside"] == 1
    world.advance(86_400)
    assert world.published(TOPIC)[-1]["queue"]["aside"] == 0
