"""Which profile, key and certificates the next attempt to connect goes with."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.config import Security
from ocpphub.core.certificates import Provisioned
from tests.builders import World, settings
from tests.core.fake_x509 import Authority, FakeX509, private_key

OPERATOR = Authority("Operator")
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
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW).connect().advance(10).disconnect()
    assert attempts(world, 5) == [NEW] * 5
    assert OLD.hex() not in str(world.rows["configuration", "AuthorizationKey"]).replace(f'"file":"{OLD.hex()}"', "")


def test_previous_key_that_worked_keeps_both() -> None:
    """S-156: the CSMS forgot the new one; the next link tries it again first."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    attempts(world, 3)
    world.core.access()
    world.connect().advance(10).disconnect()
    assert attempts(world, 4) == [NEW, NEW, NEW, OLD]


def test_link_that_closes_before_anything_was_said_is_a_refusal() -> None:
    """S-156, S-166, T29: a CSMS may take the upgrade first and judge the credentials then (1008)."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    keys = []
    for _ in range(8):
        keys.append(world.core.access().key)
        world.connect().advance(9).disconnect()
    assert keys == [NEW, NEW, NEW, OLD, NEW, NEW, NEW, OLD]
    higher = raised(2)
    for _ in range(3):
        assert higher.core.access().profile == 2
        higher.connect().disconnect()
    assert higher.core.access().profile == 1


@pytest.mark.parametrize("how", ["answer", "call", "time"])
def test_link_proves_what_it_opened_with(how: str) -> None:
    """S-156: by an answer, by a call that is answered, or because it has lasted; the previous key ends with that."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    world.core.access()
    world.connect()
    assert b"previous" in world.rows["configuration", "AuthorizationKey"]
    if how == "answer":
        world.command("data_transfer", "V", None, None)
        world.advance(0)
    elif how == "call":
        world.ask("ClearCache")
    else:
        world.advance(10)
    assert attempts(world.disconnect(), 5) == [NEW] * 5


def test_answer_that_nobody_waits_for_proves_nothing() -> None:
    """S-156, J-276: nor does a CALLERROR."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    world.csms.errors["DataTransfer"] = "SecurityError"
    world.core.access()
    world.connect().receive([3, "nobody", {}])
    world.command("data_transfer", "V", None, None)
    world.disconnect()
    assert attempts(world, 3) == [NEW, NEW, OLD]


def test_link_that_we_close_ourselves_is_no_refusal() -> None:
    """S-156: nor a proof."""
    world = changed(World(BASIC, authorization_key=OLD).boot(), NEW)
    for _ in range(3):
        world.core.access()
        world.connect()
        world.command("stop")
        world.disconnect().command("restart")
    assert attempts(world, 4) == [NEW, NEW, NEW, OLD]


def test_profile_on_trial_stays_while_its_link_proves_itself() -> None:
    """S-166, S-167: the two minutes end between the opening of the link and its proof."""
    world = raised(2)
    world.core.link_failed(None, "no connection", world.now)
    world.settle().advance(115).core.access()
    world.connect().advance(10)
    assert world.disconnect().core.access().profile == 2
    assert "SecurityProfile back" not in str(world.published("security_event"))


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


FILES = Provisioned(OPERATOR.pem, OPERATOR.issue("SN-1", "file key"), private_key("file key"))


def raised(wanted: int, *, key: bytes | None = None, **changes: Any) -> World:
    """Profile 1 that was raised on the present link, perhaps after another key; the link is gone."""
    world = World(
        settings(security=Security(1, None, None, None, None, False), **changes),
        x509=FakeX509(),
        provisioned=FILES,
        authorization_key=OLD,
    ).boot()
    if key is not None:
        world.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": key.hex()})
    answer = world.ask("ChangeConfiguration", {"key": "SecurityProfile", "value": str(wanted)})
    assert answer == {"status": "Accepted"}
    return world.disconnect()


def test_every_pair_of_profile_and_key_has_its_turn() -> None:
    """D9, S-156, S-166: within twenty attempts after the profile was given up."""
    world = raised(2, key=NEW)
    pairs = set()
    for _ in range(23):
        access = world.core.access()
        pairs.add((access.profile, access.key))
        world.core.link_failed("FailedToAuthenticateAtCentralSystem", "HTTP 401", world.now)
        world.settle()
    assert pairs == {(1, OLD), (1, NEW), (2, OLD), (2, NEW)}


def test_profile_on_trial_gets_its_time_anew_after_a_restart() -> None:
    """S-166: and is given up then, if no link opens."""
    world = raised(2).crash(authorization_key=OLD).start()
    world.core.link_failed(None, "no connection", world.now)
    assert world.settle().advance(119).core.access().profile == 2
    assert world.advance(2).core.access().profile == 1


def test_profile_does_not_fall_back_while_stopped() -> None:
    """S-166: without an attempt there is nothing to judge."""
    world = raised(2)
    world.command("stop")
    world.advance(1_000)
    world.command("restart")
    assert world.core.access().profile == 2


def test_attempt_that_began_before_the_profile_fell_back_counts_as_what_it_was() -> None:
    """S-166, S-167: a slow handshake with the higher profile that succeeds after the time is over."""
    world = raised(2)
    world.core.link_failed(None, "no connection", world.now)
    world.settle()
    assert world.core.access().profile == 2
    world.advance(121).connect().advance(10).disconnect()
    assert world.crash(authorization_key=OLD).core.access().profile == 2


def test_profile_that_falls_back_is_published_like_any_key() -> None:
    """CORE-CC-10: a monitor hears of it."""
    world = raised(2)
    world.command("monitor_configuration_keys", ["SecurityProfile"])
    world.forget()
    for _ in range(3):
        world.core.link_failed(None, "no connection", world.now)
        world.settle()
    assert world.published("configuration_key") == [{"key": "SecurityProfile", "read_only": False, "value": "1"}]
    assert world.published("security_event") == [
        {
            "type": "ReconfigurationOfSecurityParameters",
            "info": "SecurityProfile back to 1: no link opened with 2",
        }
    ]
    assert world.published("charge_point.status")[-1]["security_profile"] == 1


def test_link_over_tls_with_a_low_profile_rests_on_a_root_too() -> None:
    """S-106, S-194: wss with profile 1."""
    point = settings(csms_url="wss://csms.example", security=Security(1, None, None, None, None, False))
    world = World(point, x509=FakeX509(), provisioned=FILES, authorization_key=OLD).boot()
    in_use = {each["type"]: each["in_use"] for each in world.core.state(world.now)["certificates"]}
    assert in_use == {"CentralSystemRootCertificate": True, "ChargePointCertificate": False}


def test_roots_of_the_system_stand_for_an_installed_one() -> None:
    """S-163: where hub.toml trusts them."""
    point = settings(security=Security(1, None, None, None, None, True))
    world = World(point, x509=FakeX509(), authorization_key=OLD).boot()
    asked = {"key": "SecurityProfile", "value": "2"}
    assert world.ask("ChangeConfiguration", asked) == {"status": "Accepted"}
    assert world.core.access().roots == ()


def test_access_shows_no_secret() -> None:
    """T30."""
    access = raised(3).core.access()
    assert (access.profile, access.private_key) == (3, private_key("file key"))
    assert "PRIVATE" not in repr(access)
    assert OLD.hex() not in repr(raised(2).core.access())
