"""Chapter 2 of the security requirements: properties of certificates, keys, profiles, own and root certificates."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.config import ChargePointSettings, Security
from ocpphub.core.certificate_signing import renewal_ms
from ocpphub.core.certificates import Provisioned
from ocpphub.core.effects import Disconnect, Send, Store
from tests.builders import EPOCH_MS, Csms, World, assert_sends, settings
from tests.core.fake_x509 import DAY_MS, Authority, FakeX509, make, private_key

KEY = "0123456789abcdef0123456789abcdef"
ACCEPTED, REJECTED, FAILED = {"status": "Accepted"}, {"status": "Rejected"}, {"status": "Failed"}
NOT_FOUND, NOT_IMPLEMENTED = {"status": "NotFound"}, {"status": "NotImplemented"}
CENTRAL, MANUFACTURER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"
OPERATOR = Authority("Operator")
CPO = {"CpoName": "Operator Ltd"}
SIGNED = {"SignCertificate": lambda payload: ACCEPTED}
CHANGED = "ReconfigurationOfSecurityParameters"


def point(profile: int = 0, **changes: Any) -> ChargePointSettings:
    """A charge point with a serial number and an operator's name."""
    security = Security(profile, None, None, None, None, False)
    return settings(**{"security": security, "configuration": CPO, "csms_url": "ws://csms.example/ocpp", **changes})


def secured(profile: int = 0, **arguments: Any) -> World:
    """A charge point that is accepted, with X.509; its CSMS signs certificates."""
    chosen = arguments.pop("settings", None) or point(profile)
    arguments = {"csms": Csms(scripts=dict(SIGNED)), "x509": FakeX509(), "provisioned": files(profile), **arguments}
    key = bytes.fromhex(KEY) if profile in (1, 2) else None
    return World(chosen, **{"authorization_key": key, **arguments}).boot().forget()


def files(profile: int) -> Provisioned:
    """What the files hold that a profile needs."""
    if profile < 2:
        return Provisioned()
    own = OPERATOR.issue("SN-1", "file key", "Operator Ltd") if profile == 3 else None
    return Provisioned(OPERATOR.pem, own, private_key("file key") if own else None)


def change(world: World, key: str, value: str) -> dict[str, Any]:
    return world.ask("ChangeConfiguration", {"key": key, "value": value})


def install(world: World, authority: Authority, kind: str = CENTRAL) -> dict[str, Any]:
    return world.ask("InstallCertificate", {"certificateType": kind, "certificate": authority.pem})


def ids(world: World, kind: str = CENTRAL) -> list[dict[str, str]]:
    answer = world.ask("GetInstalledCertificateIds", {"certificateType": kind})
    found: list[dict[str, str]] = answer.get("certificateHashData", [])
    return found


def delete(world: World, data: dict[str, str]) -> dict[str, Any]:
    return world.ask("DeleteCertificate", {"certificateHashData": data})


def trigger(world: World, message: str = "SignChargePointCertificate", **more: Any) -> dict[str, Any]:
    answer = world.ask("ExtendedTriggerMessage", {"requestedMessage": message, **more})
    world.advance(0)
    return answer


def csr(world: World) -> str:
    """The request that was sent last."""
    text: str = assert_sends(world, "SignCertificate")["csr"]
    return text


def sign(world: World, chain: str) -> dict[str, Any]:
    return world.ask("CertificateSigned", {"certificateChain": chain})


def certify(world: World, **changes: Any) -> dict[str, Any]:
    """The CSMS asks for a request and sends the certificate."""
    assert trigger(world) == ACCEPTED
    return sign(world, OPERATOR.sign(csr(world), **changes))


def reconnect(world: World) -> World:
    """The link is gone, and the next one lasts."""
    world.disconnect()
    world.core.access()
    return world.connect().advance(10)


def fail(world: World, event: str | None = None, times: int = 1) -> World:
    """Attempts that fail."""
    for _ in range(times):
        world.core.access()
        world.core.link_failed(event, "refused", world.now)
        world.settle()
    return world


def events(world: World) -> list[str]:
    return [event["type"] for event in world.published("security_event")]


def closes(world: World) -> list[str]:
    """Why links were closed."""
    return [each.reason for each in world.links() if isinstance(each, Disconnect)]


def shown(world: World, kind: str) -> list[dict[str, Any]]:
    """The certificates of a type as ``charge_point.get`` tells them."""
    return [each for each in world.core.state(world.now)["certificates"] if each["type"] == kind]


def value(world: World, key: str) -> str:
    text: str = world.core.get_configuration_key([key])["configuration_keys"][0]["value"]
    return text


def leap(world: World, days: int) -> World:
    """So many days pass, of which only the last second is played."""
    world.time_s += days * 86_400 - 1
    return world.advance(1)


# 2.3 properties


def test_weak_key_is_rejected_as_a_root_and_as_an_own_certificate() -> None:
    """S-141: nothing changes; InvalidChargePointCertificate for the latter."""
    world = secured()
    assert install(world, Authority("Weak", changes={"weak": True})) == REJECTED
    assert ids(world) == []
    install(world, OPERATOR)
    assert certify(world, weak=True) == REJECTED
    assert shown(world, "ChargePointCertificate") == []


def test_request_has_the_names_of_operator_and_serial_number() -> None:
    """S-142, S-144, S-173: what signs it is the port's; CN is the serial number, O is CpoName."""
    world = secured()
    trigger(world)
    asked = orjson.loads(csr(world))
    assert (asked["common_name"], asked["organization"]) == ("SN-1", "Operator Ltd")


def test_request_prefers_the_serial_number_of_the_charge_box() -> None:
    """S-144."""
    world = secured(settings=point(charge_box_serial_number="BOX-9"))
    trigger(world)
    assert orjson.loads(csr(world))["common_name"] == "BOX-9"


@pytest.mark.parametrize(
    "text", ["30820122300d06092a864886f70d0101", "not pem", "", OPERATOR.pem + "x", OPERATOR.pem * 2]
)
def test_certificate_that_is_not_one_in_pem_is_rejected(text: str) -> None:
    """S-143, S-196: DER in hex, garbage, nothing, something beside it, two of them."""
    world = secured()
    assert world.ask("InstallCertificate", {"certificateType": CENTRAL, "certificate": text}) == REJECTED
    assert ids(world) == []
    assert events(world) == []


@pytest.mark.parametrize("changes", [{"organization": "Somebody"}, {"common_name": "SN-2"}, {"organization": ""}])
def test_certificate_with_other_names_than_requested_is_rejected(changes: dict[str, str]) -> None:
    """S-144, S-177."""
    world = secured(2)
    assert certify(world, **changes) == REJECTED


def test_certificate_that_may_not_be_used_so_is_rejected() -> None:
    """S-145: key usage is the port's judgement; an end certificate is no root."""
    world = secured()
    text = OPERATOR.issue("SN-1", "any key")
    assert world.ask("InstallCertificate", {"certificateType": CENTRAL, "certificate": text}) == REJECTED


def test_hierarchies_of_operator_and_manufacturer_are_apart() -> None:
    """S-146: a root of one type says nothing about the other."""
    world = secured()
    assert install(world, OPERATOR, MANUFACTURER) == ACCEPTED
    assert (ids(world), len(ids(world, MANUFACTURER))) == ([], 1)
    assert trigger(world) == ACCEPTED
    assert sign(world, OPERATOR.sign(csr(world))) == REJECTED
    assert world.core.access().roots == ()
    assert [each.common_name for each in world.core._parts.trust.certificates.manufacturer_roots()] == ["Operator"]


# 2.4 AuthorizationKey


@pytest.mark.parametrize(("digits", "status"), [(30, REJECTED), (32, ACCEPTED), (40, ACCEPTED), (42, REJECTED)])
def test_key_has_32_to_40_digits(digits: int, status: dict[str, str]) -> None:
    """S-152, S-155: and nothing else changes one."""
    world = secured(1)
    assert change(world, "AuthorizationKey", "aB" * (digits // 2)) == status
    assert world.core.access().key == bytes.fromhex("aB" * (digits // 2) if status == ACCEPTED else KEY)


def test_key_that_is_changed_is_told_without_it() -> None:
    """S-151, S-157."""
    world = secured(1)
    change(world, "AuthorizationKey", "cd" * 20)
    assert world.published("security_event") == [{"type": CHANGED, "info": "AuthorizationKey"}]
    assert "cdcd" not in str([each for each in world.effects if not isinstance(each, Store)])


def test_key_that_no_link_was_opened_with_keeps_the_one_before() -> None:
    """S-156: with profile 0 it is only stored, and has proved nothing when profile 1 begins."""
    world = secured(1)
    change(world, "AuthorizationKey", "cd" * 20)
    world.disconnect()
    fail(world, "FailedToAuthenticateAtCentralSystem", 3)
    assert world.core.access().key == bytes.fromhex(KEY)


# 2.5 SecurityProfile


@pytest.mark.parametrize(("profile", "wanted"), [(1, "1"), (1, "0"), (2, "1"), (3, "2"), (0, "0"), (0, "4"), (0, "-1")])
def test_profile_that_is_not_higher_is_rejected(profile: int, wanted: str) -> None:
    """S-161, S-104: nothing changes."""
    world = secured(profile)
    assert change(world, "SecurityProfile", wanted) == REJECTED
    assert (value(world, "SecurityProfile"), world.links(), events(world)) == (str(profile), [], [])
    assert world.core.access().profile == profile


@pytest.mark.parametrize("wanted", ["1", "2"])
def test_profile_with_a_password_needs_one(wanted: str) -> None:
    """S-162: and an identity that HTTP Basic can carry."""
    world = secured(provisioned=files(2))
    assert change(world, "SecurityProfile", wanted) == REJECTED
    change(world, "AuthorizationKey", KEY)
    assert change(world, "SecurityProfile", wanted) == ACCEPTED
    colon = secured(settings=point(identity="CP:1"), provisioned=files(2), authorization_key=bytes.fromhex(KEY))
    assert change(colon, "SecurityProfile", wanted) == REJECTED


@pytest.mark.parametrize("wanted", ["2", "3"])
def test_profile_with_tls_needs_a_root_that_is_valid(wanted: str) -> None:
    """S-163."""
    world = secured(1, provisioned=Provisioned(None, OPERATOR.issue("SN-1", "k"), private_key("k")))
    assert change(world, "SecurityProfile", wanted) == REJECTED
    late = Authority("Late", changes={"not_after_ms": EPOCH_MS + 3_600_000})
    install(world, late)
    world.advance(7_200)
    assert change(world, "SecurityProfile", wanted) == REJECTED
    install(world, OPERATOR)
    assert change(world, "SecurityProfile", wanted) == ACCEPTED


def test_profile_3_needs_an_own_certificate_that_is_valid() -> None:
    """S-164: not one that begins tomorrow."""
    world = secured(2)
    assert change(world, "SecurityProfile", "3") == REJECTED
    assert certify(world, not_before_ms=EPOCH_MS + 2 * DAY_MS) == ACCEPTED
    assert change(world, "SecurityProfile", "3") == REJECTED
    assert certify(world) == ACCEPTED
    assert change(world, "SecurityProfile", "3") == ACCEPTED


@pytest.mark.parametrize(("profile", "wanted"), [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])
def test_profile_is_stored_answered_told_and_then_used(profile: int, wanted: int) -> None:
    """S-165, S-168, S-157: in this order; the link closes and opens with the new profile, over TLS from 2 on."""
    world = secured(profile, provisioned=files(3), authorization_key=bytes.fromhex(KEY))
    assert change(world, "SecurityProfile", str(wanted)) == ACCEPTED
    kinds = [type(each) for each in world.effects if isinstance(each, Store | Send | Disconnect)]
    assert kinds == [Store, Send, Disconnect]
    assert events(world) == [CHANGED]
    access = world.core.access()
    assert access.profile == wanted
    assert access.url == ("wss" if wanted >= 2 else "ws") + "://csms.example/ocpp"
    assert (access.key is not None, access.chain is not None) == (wanted < 3, wanted == 3)
    assert bool(access.private_key) is (wanted == 3)
    state = reconnect(world).core.state(world.now)
    assert (state["security_profile"], state["url"]) == (wanted, access.url)


def test_profile_that_cannot_connect_falls_back_after_three_attempts() -> None:
    """S-166: the value is restored, stored and told; the old profile works again."""
    world = secured(1, provisioned=files(2))
    change(world, "SecurityProfile", "2")
    fail(world.disconnect().forget(), None, 2)
    assert (world.core.access().profile, events(world)) == (2, [])
    fail(world)
    assert (world.core.access().profile, value(world, "SecurityProfile"), events(world)) == (1, "1", [CHANGED])
    assert world.crash().core.access().profile == 1
    assert reconnect(world).crash().core.state(world.now)["security_profile"] == 1


def test_profile_that_cannot_connect_falls_back_after_two_minutes() -> None:
    """S-166: one attempt that hangs is enough; without any there is nothing to judge."""
    world = secured(1, provisioned=files(2))
    change(world, "SecurityProfile", "2")
    world.disconnect().advance(119)
    assert world.advance(300).core.access().profile == 2
    fail(world).advance(121)
    assert world.core.access().profile == 1


def test_profile_that_was_given_up_has_its_turn_until_the_old_one_works() -> None:
    """S-166, D9: a CSMS that has changed for good while its server was down still gets its charge point back."""
    world = secured(1, provisioned=files(2))
    change(world, "SecurityProfile", "2")
    fail(world.disconnect(), None, 3)
    profiles = []
    for _ in range(10):
        profiles.append(world.core.access().profile)
        fail(world)
    assert profiles == [1, 1, 1, 1, 2, 1, 1, 1, 1, 2]
    fail(world, None, 4)
    assert reconnect(world).core.state(world.now)["security_profile"] == 2
    assert reconnect(world).crash().core.access().profile == 2


def test_profile_that_has_worked_once_stays() -> None:
    """S-167: no failure and no restart lowers it again; only the file does."""
    world = secured(1, provisioned=files(2))
    change(world, "SecurityProfile", "2")
    reconnect(world).disconnect()
    assert fail(world, None, 10).advance(1_000).core.access().profile == 2
    assert fail(world.crash().start(), None, 10).core.access().profile == 2
    assert world.crash(point=point(0)).core.access().profile == 0


def test_profile_that_is_stored_lower_than_the_file_says_is_not_used() -> None:
    """S-167."""
    world = secured(2)
    world.rows["configuration", "SecurityProfile"] = b'{"value":"1","file":"2","previous":"0"}'
    assert world.crash().core.access().profile == 2


@pytest.mark.parametrize(
    ("url", "wanted"), [("ws://h:80/a", "wss://h/a"), ("ws://h:8080/a", "wss://h:8080/a"), ("wss://h/a", "wss://h/a")]
)
def test_profile_switches_the_scheme_and_keeps_a_port_of_its_own(url: str, wanted: str) -> None:
    """S-168."""
    world = secured(settings=point(csms_url=url), provisioned=files(2), authorization_key=bytes.fromhex(KEY))
    change(world, "SecurityProfile", "2")
    assert world.core.access().url == wanted


# 2.6 own certificate


def test_trigger_is_answered_and_a_request_with_a_new_key_follows() -> None:
    """S-171."""
    world = secured(3)
    assert trigger(world) == ACCEPTED
    kinds = [type(each) for each in world.effects if isinstance(each, Store | Send)]
    assert kinds == [Store, Send, Send, Store]
    first = csr(world)
    assert trigger(world) == ACCEPTED
    keys = {orjson.loads(each)["key"] for each in (first, csr(world))}
    assert len(keys | {"file key"}) == 3


@pytest.mark.parametrize(
    "changes",
    [{"configuration": {}}, {"configuration": {"CpoName": ""}}, {"serial_number": None},
     {"configuration": {"CpoName": "x" * 65}}],
)  # fmt: skip
def test_trigger_without_the_names_of_a_request_is_rejected(changes: dict[str, Any]) -> None:
    """S-172, S-144: no operator, no serial number, or one that no certificate can hold."""
    world = secured(settings=point(**changes))
    assert trigger(world) == REJECTED
    assert world.calls == []
    assert ("certificate", "request") not in world.rows


def test_private_key_is_nowhere_but_in_the_store_and_on_the_link() -> None:
    """S-174, T31: neither sent, published, recorded nor shown."""
    world = secured(3)
    certify(world)
    change(world, "CpoName", "Other")
    world.ask("GetConfiguration")
    others = [each for each in world.effects if not isinstance(each, Store)]
    everything = str(others) + str(world.answers) + str(world.core.state(world.now)) + repr(world.core.access())
    assert "PRIVATE KEY" not in everything
    assert "PRIVATE KEY" in str(world.core.access().private_key)


def test_certificate_is_renewed_a_month_before_its_end() -> None:
    """S-175: once, and with the expiry told."""
    world = secured(2)
    certify(world, not_after_ms=EPOCH_MS + 200 * DAY_MS)
    leap(world.forget(), 169)
    assert world.sent("SignCertificate") == []
    leap(world, 2)
    assert len(world.sent("SignCertificate")) == 1
    assert "CertificateExpiring" in events(world)
    assert len(leap(world, 20).sent("SignCertificate")) == 1


def test_certificate_that_is_due_while_offline_is_renewed_after_the_next_connect() -> None:
    """S-175: also when the request was lost with the link."""
    world = secured(2)
    certify(world, not_after_ms=EPOCH_MS + 100 * DAY_MS)
    leap(world.disconnect().forget(), 80)
    assert world.sent("SignCertificate") == []
    world.csms.latency_s = 5.0
    world.connect().advance(2).disconnect()
    count = len(world.sent("SignCertificate"))
    assert len(world.connect().advance(20).sent("SignCertificate")) == count + 1


@pytest.mark.parametrize("how", ["Rejected", "error", "silent"])
def test_renewal_that_comes_to_nothing_is_asked_for_again_on_another_day(how: str) -> None:
    """S-175, S-183, S-184: a certificate that ends would lock a charge point of profile 3 out."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS, not_after_ms=EPOCH_MS + 100 * DAY_MS)
    if how == "Rejected":
        world.csms.scripts["SignCertificate"] = lambda payload: REJECTED
    elif how == "error":
        world.csms.errors["SignCertificate"] = "InternalError"
    else:
        world.csms.silent.add("SignCertificate")
    leap(world.forget(), 71)
    assert len(world.advance(3_600).sent("SignCertificate")) == 1
    assert len(leap(world, 1).sent("SignCertificate")) == 2


def test_renewal_that_was_never_answered_is_asked_for_after_a_restart() -> None:
    """S-175, X-49: once; one that was accepted is not asked for again, the CSMS may take days (S-176)."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS, not_after_ms=EPOCH_MS + 100 * DAY_MS)
    world.csms.silent.add("SignCertificate")
    leap(reconnect(world).forget(), 71)
    assert len(world.sent("SignCertificate")) == 1
    world.csms.silent.clear()
    world = world.crash().boot()
    assert len(world.sent("SignCertificate")) == 1
    assert world.crash().boot().sent("SignCertificate") == []
    assert sign(world, OPERATOR.sign(csr(world))) == ACCEPTED


def test_certificate_of_a_day_is_not_renewed_at_once() -> None:
    """S-175: a short one when two thirds of its time are over; each new one would be due otherwise."""
    world = secured(2)
    certify(world, not_before_ms=EPOCH_MS, not_after_ms=EPOCH_MS + DAY_MS)
    (certificate,) = [own.certificate for own in world.core._parts.trust.certificates.own]
    assert renewal_ms(certificate) == EPOCH_MS + DAY_MS - DAY_MS // 3
    assert len(world.sent("SignCertificate")) == 1
    assert len(world.advance(57_000).sent("SignCertificate")) == 2


@pytest.mark.parametrize("answer", [ACCEPTED, None])
def test_request_is_not_repeated_when_no_certificate_comes(answer: dict[str, str] | None) -> None:
    """S-176: a silent CSMS gets one SignCertificate."""
    world = secured(2)
    world.csms.scripts["SignCertificate"] = lambda payload: answer
    trigger(world)
    assert len(leap(world, 40).sent("SignCertificate")) == 1


def test_trigger_while_a_request_waits_for_its_answer_is_rejected() -> None:
    """X-49, S-176: until an answer, an error, a lost link or a restart."""
    world = secured(2)
    world.csms.silent.add("SignCertificate")
    assert trigger(world) == ACCEPTED
    assert trigger(world) == REJECTED
    assert trigger(world.crash().boot()) == ACCEPTED
    reconnect(world)
    assert trigger(world) == ACCEPTED
    world.advance(31)
    assert trigger(world) == ACCEPTED


def test_certificate_for_the_request_is_accepted_stored_and_told() -> None:
    """S-177, S-157: in the commit of the answer."""
    world = secured(2)
    trigger(world)
    world.forget()
    assert sign(world, OPERATOR.sign(csr_of(world))) == ACCEPTED
    kinds = [type(each) for each in world.effects if isinstance(each, Store | Send | Disconnect)]
    assert kinds == [Store, Send]
    assert events(world) == [CHANGED]
    assert len(shown(world.crash(), "ChargePointCertificate")) == 1
    assert ("certificate", "request") not in world.rows


def csr_of(world: World) -> str:
    """The request of the key that waits."""
    row = orjson.loads(world.rows["certificate", "request"])
    fields = {name: row[name] for name in ("common_name", "organization")}
    return orjson.dumps({**fields, "key": row["private_key"].splitlines()[1]}).decode()


def test_request_outlives_a_restart() -> None:
    """S-177, T32: a CSMS may take days to sign."""
    world = secured(2)
    trigger(world)
    text = csr(world)
    again = world.crash().boot()
    assert sign(again, OPERATOR.sign(text)) == ACCEPTED


@pytest.mark.parametrize("what", ["expired", "other key", "other root", "garbage", "too long", "nobody asked"])
def test_certificate_that_is_wrong_is_rejected_and_told(what: str) -> None:
    """S-177, S-178: discarded, InvalidChargePointCertificate, the one in use stays."""
    limits = {**CPO, "CertificateSignedMaxChainSize": "4096"}
    world = secured(3, settings=point(3, configuration=limits))
    before, link = world.core.access().chain, world.links()
    if what != "nobody asked":
        trigger(world)
    request = csr_of(world) if what != "nobody asked" else orjson.dumps(
        {"common_name": "SN-1", "organization": "Operator Ltd", "key": "file key"}).decode()  # fmt: skip
    chain = {
        "expired": OPERATOR.sign(request, not_after_ms=EPOCH_MS),
        "other key": OPERATOR.sign(request, key="file key"),
        "other root": Authority("Stranger").sign(request),
        "garbage": "not pem",
        "too long": OPERATOR.sign(request) + "\n" * 4_000,
        "nobody asked": OPERATOR.sign(request),
    }[what]
    assert sign(world, chain) == REJECTED
    assert events(world) == ["InvalidChargePointCertificate"]
    assert (world.core.access().chain, world.links()) == (before, link)


def test_request_stays_open_after_a_wrong_certificate() -> None:
    """S-178: the CSMS may send the right one."""
    world = secured(2)
    trigger(world)
    assert sign(world, "not pem") == REJECTED
    assert sign(world, OPERATOR.sign(csr(world))) == ACCEPTED


def test_chain_over_an_intermediate_needs_no_root() -> None:
    """S-179."""
    world = secured(2)
    middle = Authority("Middle", by=OPERATOR)
    trigger(world)
    assert sign(world, middle.sign(csr(world))) == REJECTED
    assert sign(world, middle.sign(csr(world)) + middle.pem) == ACCEPTED


def test_certificate_is_used_at_once_with_profile_3_alone() -> None:
    """S-180: the link opens anew with it."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS)
    assert closes(world) == ["certificate changed"]
    assert '"own key 1"' in str(world.core.access().chain)
    assert "own key 1" in str(world.core.access().private_key)
    other = secured(2)
    certify(other)
    assert closes(other) == []
    assert other.core.access().chain is None


def test_certificate_that_begins_later_is_used_then() -> None:
    """S-180, S-181."""
    world = secured(3)
    assert certify(world, not_before_ms=EPOCH_MS + 5 * DAY_MS) == ACCEPTED
    leap(world, 3)
    assert (closes(world), "file key" in str(world.core.access().private_key)) == ([], True)
    leap(world, 3)
    assert (closes(world), "own key 1" in str(world.core.access().private_key)) == (["certificate changed"], True)


def test_newest_valid_certificate_is_shown() -> None:
    """S-181: by the begin of its validity, not by when it came."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS - DAY_MS)
    certify(world, not_before_ms=EPOCH_MS - 2 * DAY_MS)
    assert "own key 1" in str(world.core.access().private_key)
    world.disconnect()
    assert "own key 1" in str(world.crash().core.access().private_key)


def test_certificate_before_is_kept_a_month_and_shown_when_the_new_one_is_refused() -> None:
    """S-182, T32: once per cycle, until the new one has worked."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS)
    world.disconnect()
    keys = []
    for _ in range(5):
        keys.append("file key" in str(world.core.access().private_key))
        fail(world, "FailedToAuthenticateAtCentralSystem")
    assert keys == [False, False, False, True, False]
    leap(reconnect(world), 29)
    assert len(shown(world, "ChargePointCertificate")) == 2
    leap(world, 2)
    assert [each["in_use"] for each in shown(world, "ChargePointCertificate")] == [True]
    assert len(shown(world.crash(), "ChargePointCertificate")) == 1


def test_certificate_before_is_shown_when_the_new_one_is_refused_without_a_word() -> None:
    """S-182, D9, T32: by a status of its own or a broken handshake; an outage says nothing about a certificate."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS)
    world.disconnect()
    keys = []
    for number in range(16):
        keys.append("file key" in str(world.core.access().private_key))
        world.core.link_failed(None, "HTTP status 400", world.now, is_outage=number % 2 == 1)
        world.settle()
    assert keys == [False] * 5 + [True] * 2 + [False] * 6 + [True] * 2 + [False]


def test_root_and_certificate_that_change_at_once_are_tried_in_every_pair() -> None:
    """S-182, S-199, D9: also where the CSMS never says that it refuses a certificate."""
    world = secured(3, settings=point(3, configuration=STRICT))
    certify(world, not_before_ms=EPOCH_MS)
    install(world, Authority("Successor", by=OPERATOR))
    world.disconnect()
    pairs = set()
    for _ in range(8):
        access = world.core.access()
        pairs.add((access.roots == (OPERATOR.pem,), "file key" in str(access.private_key)))
        fail(world, None if access.roots == (OPERATOR.pem,) else "InvalidCentralSystemCertificate")
    assert pairs == {(False, False), (True, False), (True, True)}


def test_certificates_that_none_needs_any_more_are_given_up() -> None:
    """S-180, S-182, D9, T35: of any number the one shown, the one that has worked and one that begins later stay."""
    world = secured(3)
    for day in range(20):
        certify(world, not_before_ms=EPOCH_MS - (20 - day) * DAY_MS)
        certify(world, not_before_ms=EPOCH_MS + (50 - day) * DAY_MS)
    names = [own.private_key.splitlines()[1] for own in world.core._parts.trust.certificates.own]
    assert names == ["own key 39", "file key", "own key 40"]
    assert len([key for table, key in world.rows if table == "certificate" and key.startswith("ChargePoint")]) == 3
    keys = []
    for _ in range(4):
        keys.append(str(world.disconnect().core.access().private_key).splitlines()[1])
        fail(world, "FailedToAuthenticateAtCentralSystem")
    assert keys == ["own key 39"] * 3 + ["file key"]


def test_certificate_before_stays_while_the_new_one_has_never_worked() -> None:
    """S-182, D9: longer than a month."""
    world = secured(3)
    certify(world, not_before_ms=EPOCH_MS)
    leap(world.disconnect(), 60)
    assert len(shown(world, "ChargePointCertificate")) == 2


@pytest.mark.parametrize("how", ["Rejected", "error", "silent", "link"])
def test_request_that_is_not_accepted_drops_its_key(how: str) -> None:
    """S-183, S-184."""
    world = secured(2)
    if how == "Rejected":
        world.csms.scripts["SignCertificate"] = lambda payload: REJECTED
    elif how == "error":
        world.csms.errors["SignCertificate"] = "InternalError"
    else:
        world.csms.silent.add("SignCertificate")
    assert trigger(world) == ACCEPTED
    world.advance(31) if how != "link" else reconnect(world)
    assert ("certificate", "request") not in world.rows
    assert sign(world, OPERATOR.sign(csr(world))) == REJECTED


# 2.7 roots


def test_installed_certificates_are_told_by_their_hashes() -> None:
    """S-191, S-196: SHA-256, of one type at a time; stored before the answer, and told."""
    world = secured()
    assert world.ask("GetInstalledCertificateIds", {"certificateType": CENTRAL}) == NOT_FOUND
    world.forget()
    assert install(world, OPERATOR) == ACCEPTED
    assert [type(each) for each in world.effects if isinstance(each, Store | Send)] == [Store, Send]
    assert events(world) == [CHANGED]
    (data,) = ids(world)
    assert data["hashAlgorithm"] == "SHA256"
    assert {len(data[name]) for name in ("issuerNameHash", "issuerKeyHash")} == {64}
    assert ids(world.crash().boot()) == [data]
    assert ids(world, MANUFACTURER) == []


def test_hashes_of_a_root_that_another_root_signed_are_of_its_issuer() -> None:
    """S-191."""
    world = secured()
    install(world, OPERATOR)
    install(world, Authority("Second", by=OPERATOR))
    first, second = ids(world)
    assert first["issuerKeyHash"] == second["issuerKeyHash"]
    assert first["serialNumber"] != second["serialNumber"]


def test_certificate_is_deleted_once() -> None:
    """S-192."""
    world = secured()
    install(world, OPERATOR)
    (data,) = ids(world)
    world.forget()
    assert delete(world, data) == ACCEPTED
    assert events(world) == [CHANGED]
    assert delete(world, data) == NOT_FOUND
    assert ids(world.crash().boot()) == []


def test_own_certificate_cannot_be_deleted() -> None:
    """S-193."""
    world = secured(3)
    own = world.core._parts.trust.certificates.own[0].certificate
    data = FakeX509().hash_data(own, FakeX509().read(OPERATOR.pem)[0], "SHA256")
    text = {"issuerNameHash": data.issuer_name_hash, "issuerKeyHash": data.issuer_key_hash, "serialNumber": data.serial}
    assert delete(world, {"hashAlgorithm": "SHA256", **text}) == NOT_FOUND
    assert world.core.access().chain is not None


def test_root_of_the_present_link_is_not_deleted() -> None:
    """S-194: nor, where it is not known which one it was, any that could have been."""
    world = secured(2)
    install(world, Authority("Second"))
    reconnect(world)
    assert [delete(world, data) for data in ids(world)] == [FAILED, FAILED]
    world.disconnect()
    first, _ = shown(world, CENTRAL)
    world.core.connected(world.now, first["fingerprint"])
    world.settle()
    assert [each["in_use"] for each in shown(world, CENTRAL)] == [True, False]
    assert [delete(world, data) for data in ids(world)] == [FAILED, ACCEPTED]


def test_last_root_that_the_stored_profile_needs_is_not_deleted() -> None:
    """S-194, D9: between the answer to a higher profile and the end of the link."""
    world = secured(1)
    install(world, OPERATOR)
    (data,) = ids(world)
    change(world, "SecurityProfile", "2")
    assert delete(world, data) == FAILED


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
def test_certificate_is_found_by_any_algorithm_case_and_zeros(algorithm: Any) -> None:
    """S-195."""
    world = secured()
    install(world, OPERATOR)
    data = FakeX509().hash_data(FakeX509().read(OPERATOR.pem)[0], None, algorithm)
    texts = {"issuerNameHash": data.issuer_name_hash.upper(), "issuerKeyHash": data.issuer_key_hash.upper()}
    wrong = {**texts, "serialNumber": f"{data.serial}0"}
    assert delete(world, {"hashAlgorithm": algorithm, **wrong}) == NOT_FOUND
    assert delete(world, {"hashAlgorithm": algorithm, **texts, "serialNumber": f"00{data.serial.upper()}"}) == ACCEPTED


def test_store_that_is_full_rejects_another_root() -> None:
    """S-196: both types count; one that is there already is Accepted again."""
    world = secured(settings=point(configuration={"CertificateStoreMaxLength": "2"}))
    assert install(world, OPERATOR) == ACCEPTED
    assert install(world, OPERATOR, MANUFACTURER) == ACCEPTED
    assert install(world, Authority("Third")) == REJECTED
    assert install(world, OPERATOR) == ACCEPTED
    assert len(ids(world)) == 1


def test_disk_that_is_full_fails_the_installation() -> None:
    """S-196: any other error."""
    world = secured()
    world.core.store_full(world.now)
    assert install(world, OPERATOR) == FAILED
    assert ids(world) == []


STRICT = {**CPO, "AdditionalRootCertificateCheck": "true"}


def replaced() -> tuple[World, Authority]:
    """Profile 2 whose root was replaced by one that it signed; no link has opened since."""
    world = secured(2, settings=point(2, configuration=STRICT))
    successor = Authority("Successor", by=OPERATOR)
    assert install(world, Authority("Stranger")) == REJECTED
    assert install(world, successor) == ACCEPTED
    return world.disconnect(), successor


def test_root_is_replaced_only_by_one_that_it_signed() -> None:
    """S-197: the old one stays as a fallback; manufacturers are another matter."""
    world, successor = replaced()
    assert world.core.access().roots == (successor.pem,)
    assert len(shown(world, CENTRAL)) == 2
    assert world.crash().core.access().roots == (successor.pem,)
    assert install(world.connect().advance(0), Authority("Maker"), MANUFACTURER) == ACCEPTED


def test_first_success_with_the_new_root_removes_the_old_one() -> None:
    """S-198."""
    world, _ = replaced()
    reconnect(world)
    assert [each["subject"] for each in shown(world.crash(), CENTRAL)] == ["CN=Successor"]
    assert CHANGED in events(world)


def test_server_that_the_new_root_does_not_prove_is_tried_with_the_old_one() -> None:
    """S-199: by turns, and the old one that works removes nothing."""
    world, successor = replaced()
    tried = []
    for _ in range(4):
        tried.append(world.core.access().roots)
        fail(world, "InvalidCentralSystemCertificate")
    assert tried == [(successor.pem,), (OPERATOR.pem,)] * 2
    fail(world, "InvalidCentralSystemCertificate")
    assert len(shown(reconnect(world), CENTRAL)) == 2
    assert [each["in_use"] for each in shown(world, CENTRAL)] == [True, False]


def test_root_that_never_worked_gives_way_and_the_fallback_stays() -> None:
    """S-197, D9: the one that is proved is never given up for one that is not."""
    world, _ = replaced()
    fail(world, "InvalidCentralSystemCertificate")
    reconnect(world)
    another = Authority("Another", by=OPERATOR)
    assert install(world, another) == ACCEPTED
    assert [each["subject"] for each in shown(world, CENTRAL)] == ["CN=Operator", "CN=Another"]


def test_fallback_is_the_root_again_when_the_new_one_is_deleted() -> None:
    """S-192, S-197, S-200: no link rests on the new one, which is no root by itself."""
    world, _ = replaced()
    fail(world, "InvalidCentralSystemCertificate")
    reconnect(world)
    assert delete(world, ids(world)[1]) == ACCEPTED
    assert reconnect(world).core.access().roots == (OPERATOR.pem,)
    assert len(shown(world.crash(), CENTRAL)) == 1


@pytest.mark.parametrize("strict", ["true", "false"])
def test_check_of_roots_is_told_and_read_only(strict: str) -> None:
    """S-201."""
    world = secured(settings=point(configuration={"AdditionalRootCertificateCheck": strict}))
    answer = world.ask("GetConfiguration", {"key": ["AdditionalRootCertificateCheck"]})
    row = {"key": "AdditionalRootCertificateCheck", "readonly": True, "value": strict}
    assert answer == {"configurationKey": [row]}
    assert change(world, "AdditionalRootCertificateCheck", "true") == REJECTED


# 2.11 ExtendedTriggerMessage


@pytest.mark.parametrize("message", ["Heartbeat", "StatusNotification", "SignChargePointCertificate"])
def test_message_that_is_wanted_follows_the_answer(message: str) -> None:
    """S-251."""
    world = secured()
    assert trigger(world, message) == ACCEPTED
    frames = [each.frame for each in world.effects if isinstance(each, Send)]
    assert [orjson.loads(frame)[0] for frame in frames[:2]] == [3, 2]
    wanted = "SignCertificate" if message == "SignChargePointCertificate" else message
    assert set(world.actions) == {wanted}


def test_message_that_cannot_follow_is_rejected() -> None:
    """S-251: meter values without a meter, and BootNotification when accepted (errata 3.35)."""
    world = secured()
    assert [trigger(world, each) for each in ("MeterValues", "BootNotification")] == [REJECTED] * 2
    assert world.calls == []


def test_status_of_firmware_and_logs_is_told_by_the_parts_that_know() -> None:
    """S-251: NotImplemented where nothing can be transferred."""
    world = secured()
    names = ("LogStatusNotification", "FirmwareStatusNotification")
    assert [trigger(world, each) for each in names] == [NOT_IMPLEMENTED] * 2
    told = secured(schemes=("https",))
    assert [trigger(told, each) for each in names] == [ACCEPTED] * 2
    assert told.actions == ["LogStatusNotification", "SignedFirmwareStatusNotification"]
    assert [call.payload for call in told.calls] == [{"status": "Idle"}] * 2


@pytest.mark.parametrize("message", ["Foo", "DiagnosticsStatusNotification", ""])
def test_message_that_is_unknown_is_not_implemented(message: str) -> None:
    """S-252: a status and no CALLERROR."""
    world = secured()
    assert trigger(world, message) == NOT_IMPLEMENTED
    assert world.calls == []


def test_connector_may_be_named_and_0_is_the_charge_point() -> None:
    """S-253."""
    world = secured()
    assert trigger(world, "StatusNotification", connectorId=0) == ACCEPTED
    assert [each["connectorId"] for each in world.sent("StatusNotification")] == [0]
    assert trigger(world, "StatusNotification", connectorId=4) == REJECTED
    assert trigger(world, "Heartbeat", connectorId=4) == ACCEPTED


@pytest.mark.parametrize("message", ["SignChargePointCertificate", "StatusNotification", "BootNotification"])
def test_message_that_is_wanted_goes_out_while_pending(message: str) -> None:
    """S-254."""
    world = secured(csms=Csms(registration="Pending", interval_s=3_600, scripts=dict(SIGNED)))
    assert trigger(world, message) == ACCEPTED
    wanted = "SignCertificate" if message == "SignChargePointCertificate" else message
    assert set(world.advance(5).actions) == {wanted}


def test_actions_of_certificates_without_x509_are_not_supported() -> None:
    """S-201, J-252: and the keys are not there; the trigger says NotImplemented."""
    world = secured(x509=None)
    for number, (action, payload) in enumerate({
        "InstallCertificate": {"certificateType": CENTRAL, "certificate": OPERATOR.pem},
        "DeleteCertificate": {"certificateHashData": {"hashAlgorithm": "SHA256", "issuerNameHash": "a",
                                                      "issuerKeyHash": "b", "serialNumber": "1"}},
        "GetInstalledCertificateIds": {"certificateType": CENTRAL},
        "CertificateSigned": {"certificateChain": OPERATOR.pem},
    }.items()):  # fmt: skip
        world.receive([2, f"x{number}", action, payload])
        assert world.answers[-1][2] == "NotSupported"
    assert trigger(world) == NOT_IMPLEMENTED
    keys = ["CpoName", "AdditionalRootCertificateCheck", "CertificateStoreMaxLength", "CertificateSignedMaxChainSize"]
    assert world.ask("GetConfiguration", {"key": keys}) == {"unknownKey": keys}


def test_files_alone_are_enough_for_every_profile_without_x509() -> None:
    """S-163, S-164, S-168: as they are, judged by TLS alone."""
    chosen = files(3)
    world = secured(1, x509=None, provisioned=chosen)
    assert change(world, "SecurityProfile", "3") == ACCEPTED
    access = world.core.access()
    assert (access.roots, access.chain, access.private_key) == ((chosen.roots,), chosen.chain, chosen.private_key)


def test_make_is_deterministic_apart_from_the_serial_number() -> None:
    """The stand-in itself: the same text is the same certificate."""
    one, two = make("a", "b", "k", "s", serial="1"), make("a", "b", "k", "s", serial="1")
    assert FakeX509().read(one) == FakeX509().read(two)
