"""A charge point with the real X.509: from its first root to a link with a certificate of its own."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from ocpphub.certificates import Certificates
from ocpphub.config import Security
from ocpphub.core.certificates import Provisioned
from tests.builders import Csms, World, settings
from tests.pki import CLIENT, Issued, issue

CENTRAL, MANUFACTURER = "CentralSystemRootCertificate", "ManufacturerRootCertificate"
ACCEPTED, REJECTED = {"status": "Accepted"}, {"status": "Rejected"}
START = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
"""Virtual time begins a fortnight later."""
END = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
SPAN: dict[str, Any] = {"start": START, "end": END}
ROOT = issue(None, "Operator root", authority=True, **SPAN)
MIDDLE = issue(ROOT, "Operator intermediate", authority=True, path_length=0, **SPAN)


def world(profile: int = 1, provisioned: Provisioned | None = None) -> World:
    point = settings(
        security=Security(profile, None, None, None, None, False),
        configuration={"CpoName": "Operator"},
        csms_url="ws://csms.example",
    )
    csms = Csms(scripts={"SignCertificate": lambda payload: ACCEPTED})
    return World(
        point, csms=csms, x509=Certificates(), provisioned=provisioned, authorization_key=b"0123456789abcdef"
    ).boot()


def install(of: World, root: Issued, kind: str = CENTRAL) -> dict[str, Any]:
    return of.ask("InstallCertificate", {"certificateType": kind, "certificate": root.pem})


def requested(of: World) -> x509.CertificateSigningRequest:
    assert of.ask("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}) == ACCEPTED
    text = of.advance(0).sent("SignCertificate")[-1]["csr"]
    assert len(text) <= 5_500
    return x509.load_pem_x509_csr(text.encode())


def signed(csr: x509.CertificateSigningRequest, issuer: Issued, **changes: Any) -> Issued:
    """What a certificate authority makes of a request."""
    names = {each.oid: str(each.value) for each in csr.subject}
    arguments = {"organization": names[NameOID.ORGANIZATION_NAME], "extended": (CLIENT,), **SPAN, **changes}
    holder = SimpleNamespace(public_key=csr.public_key)
    return issue(issuer, arguments.pop("common_name", names[NameOID.COMMON_NAME]), key=holder, **arguments)


def test_charge_point_gets_a_root_a_certificate_and_profile_3() -> None:
    """S-164, S-165, S-171, S-173, S-177, S-179, S-196: every step by the CSMS, and it survives a restart."""
    charger = world()
    assert charger.ask("ChangeConfiguration", {"key": "SecurityProfile", "value": "3"}) == REJECTED
    assert install(charger, ROOT) == ACCEPTED
    csr = requested(charger)
    assert csr.is_signature_valid
    chain = signed(csr, MIDDLE).chain
    assert charger.ask("CertificateSigned", {"certificateChain": chain}) == ACCEPTED
    assert charger.ask("ChangeConfiguration", {"key": "SecurityProfile", "value": "3"}) == ACCEPTED
    for each in (charger, charger.crash(authorization_key=b"0123456789abcdef").start()):
        access = each.core.access()
        assert (access.profile, access.url) == (3, "wss://csms.example")
        assert "".join(access.roots).split() == ROOT.pem.split()
        assert access.chain is not None
        assert access.chain.split() == chain.split()
        assert Certificates().holds(Certificates().read(access.chain)[0], str(access.private_key))


@pytest.mark.parametrize(
    ("changes", "issuer"),
    [
        ({"common_name": "SN-2"}, ROOT),
        ({"organization": "Somebody"}, ROOT),
        ({"end": START}, ROOT),
        ({}, issue(None, "Stranger", authority=True, **SPAN)),
    ],
)
def test_certificate_that_is_not_what_was_asked_for_is_rejected(changes: dict[str, Any], issuer: Issued) -> None:
    """S-144, S-177, S-178."""
    charger = world()
    install(charger, ROOT)
    chain = signed(requested(charger), issuer, **({"start": START - datetime.timedelta(9)} | changes)).pem
    assert charger.ask("CertificateSigned", {"certificateChain": chain}) == REJECTED
    assert charger.published("security_event")[-1]["type"] == "InvalidChargePointCertificate"


def test_certificate_of_another_key_is_rejected() -> None:
    """S-177."""
    charger = world()
    install(charger, ROOT)
    first = requested(charger)
    requested(charger)
    assert charger.ask("CertificateSigned", {"certificateChain": signed(first, ROOT).pem}) == REJECTED


def test_roots_are_told_found_and_deleted_by_their_hashes() -> None:
    """S-191, S-192, S-195: also of one that another root has signed, when that one is gone."""
    charger = world()
    assert [install(charger, ROOT), install(charger, MIDDLE), install(charger, ROOT, MANUFACTURER)] == [ACCEPTED] * 3
    found = charger.ask("GetInstalledCertificateIds", {"certificateType": CENTRAL})["certificateHashData"]
    assert len({data["issuerKeyHash"] for data in found}) == 1
    for data in found:
        upper = {name: text.upper() for name, text in data.items()}
        assert charger.ask("DeleteCertificate", {"certificateHashData": upper}) == ACCEPTED
    assert charger.ask("GetInstalledCertificateIds", {"certificateType": CENTRAL}) == {"status": "NotFound"}


@pytest.mark.parametrize("kind", [CENTRAL, MANUFACTURER])
def test_certificate_that_is_no_authority_or_no_longer_one_is_rejected_as_a_root(kind: str) -> None:
    """S-141, S-145, S-196."""
    charger = world()
    ended = issue(None, "Ended", authority=True, start=START - datetime.timedelta(9), end=START)
    assert install(charger, issue(ROOT, "SN-1", **SPAN), kind) == REJECTED
    assert install(charger, ended, kind) == REJECTED


def test_files_are_taken_up_as_they_are_on_a_disk() -> None:
    """S-136, S-164: chain and key of hub.toml."""
    own = issue(MIDDLE, "SN-1", extended=(CLIENT,), **SPAN)
    charger = world(3, Provisioned(ROOT.pem, own.chain, own.key_pem))
    assert charger.core.access().private_key == own.key_pem
    assert [each["type"] for each in charger.core.state(charger.now)["certificates"]] == [
        CENTRAL,
        "ChargePointCertificate",
    ]
