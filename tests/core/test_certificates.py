"""The certificates that a charge point keeps: files taken up once, rows, expiry, and how they are told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.config import Security
from ocpphub.core.certificates import Certificates, Provisioned
from ocpphub.errors import LocalError
from tests.builders import EPOCH_MS, World, settings
from tests.core.fake_x509 import DAY_MS, Authority, FakeX509, private_key

OPERATOR, OTHER = Authority("Operator"), Authority("Other")
CENTRAL, MANUFACTURER, OWN = "CentralSystemRootCertificate", "ManufacturerRootCertificate", "ChargePointCertificate"
FILES = Provisioned(OPERATOR.pem, OPERATOR.issue("SN-1", "file key"), private_key("file key"))


def world(provisioned: Provisioned = FILES, **arguments: Any) -> World:
    security = Security(0, None, None, None, None, False)
    return World(settings(security=security), x509=FakeX509(), provisioned=provisioned, **arguments)


def kept(of: World) -> Certificates:
    return of.core._parts.trust.certificates


def subjects(of: World, kind: str = CENTRAL) -> list[str]:
    return [each["subject"] for each in of.core.state(of.now)["certificates"] if each["type"] == kind]


def install(of: World, authority: Authority, kind: str = CENTRAL) -> None:
    answer = of.ask("InstallCertificate", {"certificateType": kind, "certificate": authority.pem})
    assert answer == {"status": "Accepted"}


def delete(of: World, authority: Authority) -> None:
    data = FakeX509().hash_data(FakeX509().read(authority.pem)[0], None, "SHA256")
    texts = {"issuerNameHash": data.issuer_name_hash, "issuerKeyHash": data.issuer_key_hash}
    hashed = {"hashAlgorithm": "SHA256", **texts, "serialNumber": data.serial}
    assert of.ask("DeleteCertificate", {"certificateHashData": hashed}) == {"status": "Accepted"}


def test_files_become_rows_and_are_there_before_the_first_start() -> None:
    """S-174: the process may die between the two; nothing is written twice."""
    first = world()
    assert kept(first).material()[2] == private_key("file key")
    assert first.rows == {}
    rows = dict(first.start().rows)
    assert {key.partition(":")[0] for table, key in rows if table == "certificate"} == {CENTRAL, OWN}
    again = first.crash()
    assert subjects(again) == ["CN=Operator"]
    assert [row for row in again.start().rows if row[0] in ("certificate", "security")] == [
        row for row in rows if row[0] in ("certificate", "security")
    ]


def test_files_that_hold_something_new_are_told_once() -> None:
    """S-157: whoever changes them on the disk leaves a trace."""
    event = {"type": "ReconfigurationOfSecurityParameters", "info": "certificates in the files of the configuration"}
    first = world().start()
    assert event in first.published("security_event")
    assert event not in first.crash().start().published("security_event")
    assert event in first.crash(provisioned=Provisioned()).start().published("security_event")


def test_root_of_a_file_that_was_deleted_stays_deleted() -> None:
    """S-192: until the file holds another one."""
    first = world().boot()
    delete(first, OPERATOR)
    assert subjects(first.crash()) == []
    assert subjects(first.crash(provisioned=Provisioned(OPERATOR.pem + OTHER.pem))) == ["CN=Operator", "CN=Other"]


def test_file_that_changes_replaces_its_own_and_nothing_else() -> None:
    """S-196: what the CSMS has installed stays, also when it had been in the file before."""
    first = world(Provisioned(OPERATOR.pem + OTHER.pem)).boot()
    install(first, Authority("Installed"))
    install(first, OTHER)
    third = Authority("Third")
    again = first.crash(provisioned=Provisioned(third.pem)).start()
    assert set(subjects(again)) == {"CN=Installed", "CN=Other", "CN=Third"}
    assert set(subjects(again.crash(provisioned=Provisioned()).start())) == {"CN=Installed", "CN=Other"}


def test_chain_that_changes_in_its_file_is_replaced() -> None:
    """S-181, S-136."""
    first = world().start()
    newer = OPERATOR.issue("SN-1", "new key", not_before_ms=EPOCH_MS)
    again = first.crash(provisioned=Provisioned(OPERATOR.pem, newer, private_key("new key"))).start()
    assert [own.private_key for own in kept(again).own] == [private_key("new key")]
    assert [own.private_key for own in kept(again.crash()).own] == [private_key("new key")]


@pytest.mark.parametrize(
    ("provisioned", "why"),
    [
        (Provisioned("nothing"), "ca_file: not PEM"),
        (Provisioned(None, "nothing", private_key("k")), "client_certificate_file: not PEM"),
        (Provisioned(None, FILES.chain, private_key("another")), "client_key_file holds the key of another"),
        (Provisioned(None, FILES.chain, "garbage"), "client_key_file: the private key cannot be read"),
        (Provisioned(None, FILES.chain), "client_key_file: the private key cannot be read"),
    ],
)
def test_files_that_cannot_be_used_are_named_without_their_content(provisioned: Provisioned, why: str) -> None:
    """S-141, S-143: at start, and not as a link that never opens."""
    with pytest.raises(LocalError, match=why) as caught:
        world(provisioned)
    assert "another\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"{", b'{"type":1}', b'{"type":"CentralSystemRootCertificate","pem":"x"}', b"{}"])
def test_row_that_is_damaged_is_left_aside(damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """reliability.md 4.1: the others count, and it stays for whoever looks into it."""
    first = world().start()
    first.rows["certificate", "CentralSystemRootCertificate:0"] = damage
    again = first.crash().start()
    assert subjects(again) == ["CN=Operator"]
    assert ("certificate", "CentralSystemRootCertificate:0") in again.rows
    assert "left aside" in caplog.text


def test_certificate_is_told_as_it_is() -> None:
    """rpc.md ``charge_point.get``: every member, and which ones the link rests on."""
    security = Security(3, None, None, None, None, False)
    first = World(settings(security=security), x509=FakeX509(), provisioned=FILES).boot()
    install(first, OPERATOR, MANUFACTURER)
    root, maker, own = first.core.state(first.now)["certificates"]
    certificate = FakeX509().read(OPERATOR.pem)[0]
    assert root == {
        "type": CENTRAL,
        "subject": "CN=Operator",
        "issuer": "CN=Operator",
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "not_before": "2026-01-15T08:00:00.000Z",
        "not_after": "2036-01-13T08:00:00.000Z",
        "in_use": True,
    }
    assert (maker["type"], maker["in_use"]) == (MANUFACTURER, False)
    assert (own["type"], own["subject"], own["in_use"]) == (OWN, "CN=SN-1", True)
    first.disconnect()
    assert [each["in_use"] for each in first.core.state(first.now)["certificates"]] == [False] * 3
    assert first.published("charge_point.status")[-1] == first.core.state(first.now)


def test_change_of_certificates_is_published() -> None:
    """rpc.md: the topic follows the state."""
    first = world().boot().forget()
    install(first, OTHER)
    assert [len(each["certificates"]) for each in first.published("charge_point.status")] == [3]
    delete(first, OTHER)
    assert [len(each["certificates"]) for each in first.published("charge_point.status")] == [3, 2]


def test_expiry_is_told_a_month_ahead_and_once_for_ever() -> None:
    """S-175: per certificate, also over restarts; nobody sends it."""
    soon = Authority("Soon", changes={"not_after_ms": EPOCH_MS + 31 * DAY_MS})
    first = world(Provisioned(soon.pem + OPERATOR.pem)).boot().advance(2).forget()
    assert first.published("security_event") == []
    first.time_s += DAY_MS / 1000
    first.advance(1)
    (event,) = first.published("security_event")
    assert event == {
        "type": "CertificateExpiring",
        "info": f"{CENTRAL} CN=Soon ends 2027-02-15T08:00:00.000Z",
    }
    assert first.sent("SecurityEventNotification") == []
    again = first.crash().boot()
    again.time_s += 40 * DAY_MS / 1000
    again.advance(1)
    assert "CertificateExpiring" not in str(again.published("security_event"))


def test_expiry_is_not_told_by_a_clock_that_nobody_has_confirmed() -> None:
    """S-175: a machine that begins decades ahead must not use up what is told once for ever."""
    soon = Authority("Soon", changes={"not_after_ms": EPOCH_MS + 100 * DAY_MS})
    ahead_ms = 3_650 * DAY_MS
    first = world(Provisioned(soon.pem), wall_jump_ms=ahead_ms).start()
    assert "CertificateExpiring" not in str(first.published("security_event"))
    first.connect().advance(2)
    assert "CertificateExpiring" not in str(first.published("security_event"))
    first.time_s += 75 * DAY_MS / 1000
    assert str(first.advance(1).published("security_event")).count("CertificateExpiring") == 1


def test_expiry_of_long_names_fits_an_event() -> None:
    """S-214."""
    named = Authority("N" * 400, changes={"not_after_ms": EPOCH_MS + DAY_MS})
    first = world(Provisioned(named.pem)).boot()
    (event,) = [each for each in first.published("security_event") if each["type"] == "CertificateExpiring"]
    assert len(event["info"]) == 255


def test_expiry_as_a_number_is_that_of_the_first_of_each_type() -> None:
    """Of own certificates that of the one that is shown: the one before may end in peace."""
    soon = Authority("Soon", changes={"not_after_ms": EPOCH_MS + 2 * DAY_MS})
    own = OPERATOR.issue("SN-1", "file key", not_after_ms=EPOCH_MS + 5 * DAY_MS)
    first = world(Provisioned(OPERATOR.pem + soon.pem, own, private_key("file key")), start_s=0.0).boot()
    day_s = DAY_MS / 1000
    assert first.core.statistics(first.now).certificate_expiry_s == {CENTRAL: 2 * day_s, OWN: 5 * day_s}
    first.time_s += 3 * day_s
    assert first.core.statistics(first.now).certificate_expiry_s[CENTRAL] == -day_s
    assert World().core.statistics(World().now).certificate_expiry_s == {}


def test_rows_are_json_that_other_tools_read() -> None:
    """0011: key, chain and marks of one certificate are one row."""
    rows = world().start().rows
    (own,) = [orjson.loads(value) for (_, key), value in rows.items() if key.startswith(OWN)]
    assert own == {
        "type": OWN,
        "chain": FILES.chain,
        "private_key": FILES.private_key,
        "file": True,
        "worked": False,
        "told": False,
    }
    mark = orjson.loads(rows["security", "provisioned"])
    assert [len(mark["roots"]), len(mark["chain"])] == [1, 1]


def test_private_key_is_in_no_repr() -> None:
    """T30, S-174."""
    first = world().start()
    assert "PRIVATE" not in repr(kept(first).own) + repr(FILES)
