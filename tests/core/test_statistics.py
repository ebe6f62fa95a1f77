"""The numbers of one charge point follow its inputs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ocpphub.core.statistics import Statistics
from tests.builders import Csms, World, hub, settings


def numbers(world: World) -> Statistics:
    return world.core.statistics(world.now)


def test_statistics_of_a_charge_point_that_has_just_started() -> None:
    """Nothing is left out: what there is none of is 0."""
    found = numbers(World().start())
    assert not found.is_connected
    assert found.registration == {"none": 1, "Accepted": 0, "Pending": 0, "Rejected": 0}
    assert found.connectors["Unavailable"] == 3
    assert sum(found.connectors.values()) == 3
    assert (found.sent, found.received, found.running) == (0, 0, 0)
    assert set(found.outcomes.values()) == {0}


def test_statistics_follow_a_session() -> None:
    """Connectors by status, running transactions, sessions that began and ended."""
    world = World().boot().attach()
    world.charge(1)
    found = numbers(world)
    assert (found.is_connected, found.registration["Accepted"]) == (True, 1)
    assert (found.connectors["Charging"], found.connectors["Available"]) == (1, 2)
    assert (found.running, found.started, found.ended) == (1, 1, 0)
    world.report(1, plugged=False)
    found = numbers(world)
    assert (found.running, found.started, found.ended) == (0, 1, 1)
    assert found.sent == found.outcomes["ok"] == len(world.calls)


def test_statistics_of_a_queue_know_its_length_and_its_age() -> None:
    """Both durable queues count as one, and the oldest of both tells the age."""
    offline = settings(configuration={"AllowOfflineTxForUnknownId": "true"})
    world = World(offline, hub=hub(charge_before_accepted="always")).start().attach()
    first = numbers(world)
    world.advance(40)
    world.charge(1)
    world.advance(20)
    found = numbers(world)
    assert first.messages == 1  # StartupOfTheDevice
    assert found.messages > 1
    assert found.queue_bytes > first.queue_bytes > 0
    assert found.oldest_age_s == 60.0
    world.connect().advance(0)
    assert (numbers(world).messages, numbers(world).oldest_age_s) == (0, 0.0)


def test_statistics_tell_how_own_calls_have_ended() -> None:
    """CORE-RPC-03: confirmed, refused, without an answer, or cut off with the link."""
    world = World().boot()
    before = numbers(world).outcomes
    world.csms.errors["DataTransfer"] = "GenericError"
    world.command("data_transfer", "v", None, None)
    world.advance(0)
    world.csms.errors.clear()
    world.csms.silent.add("DataTransfer")
    world.command("data_transfer", "v", None, None)
    world.advance(31)
    world.command("data_transfer", "v", None, None)
    world.disconnect()
    after = numbers(world).outcomes
    assert {kind: after[kind] - before[kind] for kind in after} == {"ok": 0, "error": 1, "timeout": 1, "link_lost": 1}


def test_statistics_count_refused_and_ignored_frames_by_why() -> None:
    """J-239, J-277: no frame is dropped in silence."""
    world = World().start().connect()
    world.receive([2, "early", "ClearCache", {}])
    world.advance(0)
    world.ask("GetConfiguration")
    world.receive([2, "a", "Nonsense", {}])
    world.receive([2, "b", "Reset", {"type": 7}])
    world.receive(b"no JSON")
    world.receive([3, "unknown", {}])
    found = numbers(world)
    assert found.received == 2
    assert found.refused == {"NotImplemented": 1, "TypeConstraintViolation": 1}
    assert sum(found.violations.values()) == 3
    assert found.ignored == {"answer_without_call": 1, "call_before_registration": 1, "repeated_call": 0}


def test_statistics_count_messages_that_are_given_up() -> None:
    """CORE-TXQ-05 and D-25: what the CSMS will never be told is a number."""
    world = World(csms=Csms(errors={"SecurityEventNotification": "NotImplemented"})).boot().attach()
    assert numbers(world).messages_lost == 1
    world.csms.errors["StartTransaction"] = "InternalError"
    world.charge(1)
    world.advance(1_000)
    assert numbers(world).messages_lost == 2


def test_statistics_tell_that_room_on_the_disk_is_short() -> None:
    """F10: new sessions are refused, and the numbers say so."""
    world = World().boot()
    world.core.store_full(world.now)
    assert numbers(world).is_short
    world.core.store_ok(world.now)
    assert not numbers(world).is_short


def test_statistics_look_at_each_connector_once() -> None:
    """performance.md P6: a scrape stays cheap at 10,000 connectors."""

    class Counted(list[Any]):
        reads = 0

        def __getitem__(self, index: Any) -> Any:
            Counted.reads += len(self) if isinstance(index, slice) else 1
            return super().__getitem__(index)

        def __iter__(self) -> Any:
            Counted.reads += len(self)
            return super().__iter__()

    world = World(settings(connectors=100)).boot()
    connectors = world.core._parts.connectors
    connectors._present = Counted(connectors._present)
    connectors._rows = Counted(connectors._rows)
    found = numbers(world)
    assert sum(found.connectors.values()) == 100
    assert Counted.reads <= 2 * 101


def test_statistics_hold_no_id_tag_and_change_nothing() -> None:
    """A scrape is readable by whoever reaches the port."""
    world = World().boot().attach()
    world.charge(1, "CANARY-TAG")
    rows = dict(world.rows)
    text = repr(asdict(numbers(world)))
    assert "CANARY" not in text
    assert (world.rows, world.core.poll_effects()) == (rows, [])


def test_statistics_count_every_attempt_to_connect_that_failed() -> None:
    """J-342: those that failed for a reason of security among them; a link that opens takes none back."""
    world = World().start()
    for event in (None, "InvalidTLSVersion", None):
        world.core.link_failed(event, "x", world.now)
    assert numbers(world).failed_attempts == 3
    assert numbers(world.boot()).failed_attempts == 3
