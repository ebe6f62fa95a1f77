"""Which key the link shows."""

from __future__ import annotations

from ocpphub.config import Security
from tests.builders import World, settings

OLD, NEW, NEWER = b"0123456789abcdef", b"fedcba9876543210", b"0011223344556677"
BASIC = settings(security=Security(1, None, None, None, None, False))


def changed(world: World, key: bytes) -> World:
    assert world.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": key.hex()}) == {"status": "Accepted"}
    return world.disconnect()


def attempts(world: World, count: int) -> list[bytes | None]:
    """The keys of so many attempts that the CSMS refuses."""
    keys = []
    for _ in range(count):
        keys.append(world.core.access().key)
        world.core.link_failed("FailedToAuthenticateAtCentralSystem", "HTTP 401", world.now)
        world.settle()
    return keys


def test_new_key_refused_three_times_gives_way_to_the_previous_once_per_cycle() -> None:
    """S-156, D-16, T29."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    assert attempts(world, 8) == [NEW, NEW, NEW, OLD, NEW, NEW, NEW, OLD]


def test_new_key_that_worked_ends_the_previous() -> None:
    """S-156: also for the next process."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW).connect().disconnect()
    assert attempts(world, 5) == [NEW] * 5
    assert OLD.hex() not in str(world.rows["configuration", "AuthorizationKey"]).replace(f'"file":"{OLD.hex()}"', "")


def test_previous_key_that_worked_keeps_both() -> None:
    """S-156: the CSMS forgot the new one; the next link tries it again first."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    attempts(world, 3)
    world.connect().disconnect()
    assert attempts(world, 4) == [NEW, NEW, NEW, OLD]


def test_process_that_dies_in_between_still_has_both_keys() -> None:
    """T29, S-154: they are one row."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    assert attempts(world.crash(authorization_key=OLD), 4) == [NEW, NEW, NEW, OLD]


def test_second_change_before_the_first_worked_keeps_the_key_that_did() -> None:
    """S-156."""
    world = World(BASIC, authorization_key=OLD).boot()
    changed(world, NEW)
    attempts(world, 3)
    changed(world.connect().advance(0), NEWER)
    assert attempts(world, 4) == [NEWER, NEWER, NEWER, OLD]


def test_no_key_at_all_stays_none() -> None:
    """S-151."""
    world = World().boot().disconnect()
    assert attempts(world, 4) == [None] * 4
