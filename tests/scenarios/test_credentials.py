"""No lock-out: whatever happens between two commits, the stored credentials open a link (D9, T15, T29, T32, F07).

A CSMS here is what it takes to connect: a profile, a key, the root behind its certificate, the client certificate. It
has made a change that it asked for, or it has forgotten it. The process dies at every commit boundary; the one that
starts from the rows must get a link in a bounded number of attempts, and keep it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import pytest

from ocpphub.config import Security
from ocpphub.core.certificates import Provisioned
from ocpphub.core.credentials import Access
from ocpphub.core.effects import Disconnect
from tests.builders import EPOCH_MS, Csms, World, settings
from tests.core.fake_x509 import DAY_MS, Authority, FakeX509, private_key

OLD_KEY, NEW_KEY, LAST_KEY = (text * 16 for text in ("0a", "1b", "2c"))
OPERATOR = Authority("Operator")
SUCCESSOR = Authority("Successor", by=OPERATOR)
OTHER = Authority("Other")
CENTRAL: Final = "CentralSystemRootCertificate"
MAX_ATTEMPTS: Final = 45
"""Within how many attempts there must be a link: every pair of choices has its turn in twenty."""
REFUSED, UNTRUSTED = "FailedToAuthenticateAtCentralSystem", "InvalidCentralSystemCertificate"


@dataclass(frozen=True, slots=True)
class Server:
    """What a CSMS wants of who connects."""

    profile: int
    key: str = OLD_KEY
    root: Authority = OPERATOR
    client: str = "file key"
    """The name of the key in the client certificate."""

    def judge(self, access: Access) -> str | None:
        """The event of a refusal, the empty text for one without an event; ``None`` lets it in."""
        if access.profile != self.profile:
            return REFUSED if access.profile < self.profile < 2 else ""
        if access.profile >= 2 and not access.url.startswith("wss:"):
            return ""
        if access.profile >= 2 and self.root.pem not in access.roots:
            return UNTRUSTED
        if access.profile in (1, 2) and access.key != bytes.fromhex(self.key):
            return REFUSED
        if access.profile == 3 and access.private_key != private_key(self.client):
            return REFUSED
        return None


class Disk(World):
    """A world that remembers what was durable after each input: one commit each."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.commits: list[dict[tuple[str, str], bytes]] = []
        super().__init__(*arguments, **named)
        self.commits.append(dict(self.rows))

    def settle(self) -> Disk:
        super().settle()
        if self.rows != self.commits[-1]:
            self.commits.append(dict(self.rows))
        return self


def begin(profile: int, *, strict: bool = False) -> Disk:
    """An accepted charge point with everything that a higher profile needs."""
    keys = {"CpoName": "CPO", "AdditionalRootCertificateCheck": str(strict).lower()}
    security = Security(profile, None, None, None, None, False)
    point = settings(csms_url="ws://csms.example/ocpp", configuration=keys, security=security)
    own = OPERATOR.issue("SN-1", "file key", "CPO")
    world = Disk(
        point,
        csms=Csms(scripts={"SignCertificate": lambda payload: {"status": "Accepted"}}),
        x509=FakeX509(),
        provisioned=Provisioned(OPERATOR.pem, own, private_key("file key")),
        authorization_key=bytes.fromhex(OLD_KEY),
    )
    world.start()
    world.core.access()
    world.connect().advance(0)
    return world


def attempts(world: World, server: Server, *, late: bool = False) -> int:
    """Connect until the server lets us in; how many attempts that took. ``late``: it judges after the upgrade."""
    for number in range(1, MAX_ATTEMPTS + 1):
        refusal = server.judge(world.core.access())
        if refusal is None:
            world.connect().advance(10)
            return number
        if late and refusal == REFUSED:
            world.connect().disconnect()
        else:
            world.core.link_failed(refusal or None, "refused", world.now)
            world.settle()
        world.advance(10)
    raise AssertionError(f"locked out of {server}: {world.core.access().profile=}")


def again(world: World, rows: dict[tuple[str, str], bytes] | None = None) -> World:
    """The process dies, and starts from these rows; from all that was durable when none are given."""
    durable = world.rows
    world.rows = durable if rows is None else rows
    fresh = world.crash(authorization_key=bytes.fromhex(OLD_KEY))
    world.rows = durable
    return fresh.start()


def key(text: str) -> Callable[[World], None]:
    return lambda world: set_key(world, text)


def profile(wanted: int) -> Callable[[World], None]:
    return lambda world: set_profile(world, wanted)


def root(authority: Authority) -> Callable[[World], None]:
    return lambda world: install(world, authority)


def set_key(world: World, text: str) -> None:
    answer = world.ask("ChangeConfiguration", {"key": "AuthorizationKey", "value": text})
    assert answer == {"status": "Accepted"}


def set_profile(world: World, profile: int) -> None:
    answer = world.ask("ChangeConfiguration", {"key": "SecurityProfile", "value": str(profile)})
    assert answer == {"status": "Accepted"}


def install(world: World, authority: Authority) -> None:
    answer = world.ask("InstallCertificate", {"certificateType": CENTRAL, "certificate": authority.pem})
    assert answer == {"status": "Accepted"}


def delete(world: World, authority: Authority) -> str:
    data = FakeX509().hash_data(FakeX509().read(authority.pem)[0], None, "SHA256")
    fields = {"issuerNameHash": data.issuer_name_hash, "issuerKeyHash": data.issuer_key_hash}
    hashed = {"hashAlgorithm": "SHA256", **fields, "serialNumber": data.serial}
    status: str = world.ask("DeleteCertificate", {"certificateHashData": hashed})["status"]
    return status


def certify(world: World, **changes: Any) -> str:
    """Another certificate of our own; the name of its key."""
    world.ask("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"})
    world.advance(0)
    request = orjson.loads(world.sent("SignCertificate")[-1]["csr"])
    chain = OPERATOR.issue(**{**request, "not_before_ms": EPOCH_MS - DAY_MS, **changes})
    assert world.ask("CertificateSigned", {"certificateChain": chain}) == {"status": "Accepted"}
    name: str = request["key"]
    return name


def raise_and_fail(world: World) -> None:
    """A profile that no link opens with, until it is given up."""
    set_profile(world, 2)
    world.disconnect()
    for _ in range(3):
        world.core.access()
        world.core.link_failed(None, "no connection", world.now)
        world.settle()


def delete_the_other(world: World) -> None:
    install(world, OTHER)
    world.disconnect()
    world.core.access()
    world.core.connected(world.now, FakeX509().read(OPERATOR.pem)[0].fingerprint)
    world.settle()
    assert delete(world, OTHER) == "Accepted"


CHANGES: dict[str, tuple[int, bool, list[Callable[[World], Any]], list[dict[str, Any]]]] = {
    "key": (1, False, [key(NEW_KEY)], [{}, {"key": NEW_KEY}]),
    "key over TLS": (2, False, [key(NEW_KEY)], [{}, {"key": NEW_KEY}]),
    "key twice": (1, False, [key(NEW_KEY), key(LAST_KEY)], [{}, {"key": LAST_KEY}]),
    "profile 0 to 1": (0, False, [profile(1)], [{}, {"profile": 1}]),
    "profile 0 to 3": (0, False, [profile(3)], [{}, {"profile": 3}]),
    "profile 1 to 2": (1, False, [profile(2)], [{}, {"profile": 2}]),
    "profile 2 to 3": (2, False, [profile(3)], [{}, {"profile": 3}]),
    "profile twice": (1, False, [profile(2), profile(3)], [{}, {"profile": 3}]),
    "key and profile": (
        1,
        False,
        [key(NEW_KEY), profile(2)],
        [{}, {"key": NEW_KEY}, {"profile": 2}, {"key": NEW_KEY, "profile": 2}],
    ),
    "profile given up": (1, False, [raise_and_fail], [{}, {"profile": 2}]),
    "root beside": (2, False, [root(OTHER)], [{}, {"root": OTHER}]),
    "root instead": (2, True, [root(SUCCESSOR)], [{}, {"root": SUCCESSOR}]),
    "root and key": (
        2,
        True,
        [root(SUCCESSOR), key(NEW_KEY)],
        [{}, {"root": SUCCESSOR}, {"key": NEW_KEY}, {"root": SUCCESSOR, "key": NEW_KEY}],
    ),
    "root deleted": (2, False, [delete_the_other], [{}]),
    "certificate": (3, False, [certify], [{}, {"client": "own key 1"}]),
    "certificate and root": (
        3,
        True,
        [certify, root(SUCCESSOR)],
        [{}, {"client": "own key 1"}, {"root": SUCCESSOR}, {"client": "own key 1", "root": SUCCESSOR}],
    ),
}
"""Profile before, whether roots replace one another, what the CSMS asks for, and which states it may be in after."""


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_crash_at_every_commit_of_a_change_leaves_credentials_that_work(name: str, late: bool) -> None:
    """D9, T15, T29, T32, S-156, S-165, S-166, S-182, S-199: at a CSMS that has changed, and at one that has not."""
    before, strict, changes, states = CHANGES[name]
    world = begin(before, strict=strict)
    first = len(world.commits) - 1
    for change in changes:
        change(world)
    boundaries = world.commits[first:]
    assert len(boundaries) > 1, "the change wrote nothing"
    for rows in boundaries:
        # A CSMS may have changed only once it was told that we have.
        for state in states if rows is boundaries[-1] else states[:1]:
            server = replace(Server(before), **state)
            fresh = again(world, rows)
            attempts(fresh, server, late=late)
            attempts(fresh.disconnect(), server, late=late)
            attempts(again(fresh), server, late=late)


@pytest.mark.parametrize("name", CHANGES)
def test_crash_after_every_failed_attempt_leaves_credentials_that_work(name: str) -> None:
    """D9, S-166: also while a profile is on trial, given up, or tried again."""
    before, strict, changes, states = CHANGES[name]
    world = begin(before, strict=strict)
    for change in changes:
        change(world)
    world.disconnect()
    for state in states:
        server = replace(Server(before), **state)
        fresh = again(world, world.rows)
        for _ in range(12):
            refusal = server.judge(fresh.core.access())
            fresh.core.link_failed(refusal or None, "cut", fresh.now)
            fresh.settle().advance(20)
            attempts(again(fresh), server)


@pytest.mark.parametrize("seed", range(30))
def test_any_order_of_changes_refusals_and_crashes_leaves_a_working_set(seed: int) -> None:
    """D9: a CSMS that adopts some of the changes it asked for, and forgets others."""
    chance = random.Random(seed)  # noqa: S311
    server = Server(chance.choice((0, 1, 2)))
    world: World = begin(server.profile, strict=chance.random() < 0.5)
    for _ in range(25):
        wanted = ask(world, server, chance)
        # What nobody looks at with this profile cannot be forgotten either.
        is_seen = wanted.profile != server.profile or server.judge(access_of(wanted)) is not None
        if chance.random() < 0.3:
            world = again(world)
        elif world.core.is_connected:
            world.disconnect()
        server = chance.choice((server, wanted)) if is_seen else wanted
        attempts(world, server)


def access_of(server: Server) -> Access:
    """What this CSMS would let in."""
    key = bytes.fromhex(server.key)
    return Access(server.profile, "wss://h", key, (server.root.pem,), "chain", private_key(server.client))


def ask(world: World, server: Server, chance: random.Random) -> Server:
    """The CSMS asks for something; the state that it would like to be in."""
    match chance.randrange(6):
        case 0:
            text = f"{chance.randrange(256):02x}" * 16
            set_key(world, text)
            return replace(server, key=text)
        case 1:
            return ask_profile(world, server, chance.randrange(5))
        case 2:
            new = Authority(f"Root {chance.random()}", by=chance.choice((server.root, None)))
            asked = {"certificateType": CENTRAL, "certificate": new.pem}
            status = world.ask("InstallCertificate", asked)["status"]
            return replace(server, root=new) if status == "Accepted" else server
        case 3:
            answer = world.ask("GetInstalledCertificateIds", {"certificateType": CENTRAL})
            if listed := answer.get("certificateHashData"):
                world.ask("DeleteCertificate", {"certificateHashData": chance.choice(listed)})
            return server
        case 4:
            return ask_certificate(world, server, chance.randrange(90))
        case _:
            world.ask("InstallCertificate", {"certificateType": CENTRAL, "certificate": "not pem"})
            world.ask("CertificateSigned", {"certificateChain": "not pem"})
            return server


def ask_profile(world: World, server: Server, target: int) -> Server:
    """A CSMS does not ask for TLS while its own root is not there."""
    roots = [each.pem for each in world.core._parts.trust.certificates.roots(CENTRAL)]
    if target >= 2 and server.root.pem not in roots:
        return server
    status = world.ask("ChangeConfiguration", {"key": "SecurityProfile", "value": str(target)})["status"]
    assert (status == "Accepted") is (server.profile < target <= 3)
    return replace(server, profile=target) if status == "Accepted" else server


def ask_certificate(world: World, server: Server, age_days: int) -> Server:
    """A certificate for a new key, which may begin before the present one: it is shown only if that is the older."""
    world.ask("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"})
    world.advance(0)
    request = orjson.loads(world.sent("SignCertificate")[-1]["csr"])
    chain = server.root.issue(**request, not_before_ms=EPOCH_MS - age_days * DAY_MS)
    status = world.ask("CertificateSigned", {"certificateChain": chain})["status"]
    shown = world.core._parts.trust.certificates.own[0].private_key
    is_shown = status == "Accepted" and shown == private_key(request["key"])
    return replace(server, client=request["key"]) if is_shown else server


def test_link_that_is_open_is_closed_by_every_change_that_needs_another() -> None:
    """S-154, S-165, S-180: and by no other."""
    world = begin(2)
    install(world, OTHER)
    assert not [each for each in world.links() if isinstance(each, Disconnect)]
    set_key(world, NEW_KEY)
    certify(world)
    set_profile(world, 3)
    reasons = [each.reason for each in world.links() if isinstance(each, Disconnect)]
    assert reasons == ["authorization key changed", "security profile changed"]
