"""From no security to profile 3 with a real core, real certificates and a real TLS server at each step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509

from ocpphub.certificates import Certificates
from ocpphub.config import Security
from tests import builders
from tests.builders import EPOCH_MS, Csms, World
from tests.e2e.tls_servers import Receiver, Server, attempt, server, server_of
from tests.pki import CLIENT, DAY, NOW, NOW_MS, Issued, issue, pki

pytestmark = pytest.mark.timeout(20)

KEY = "0123456789abcdef0123456789abcdef"
CENTRAL = "CentralSystemRootCertificate"
ACCEPTED, REJECTED, FAILED = ({"status": status} for status in ("Accepted", "Rejected", "Failed"))


def booted() -> World:
    """A charge point that knows the time and has a key, and nothing else."""
    point = builders.settings(
        csms_url="ws://localhost/ocpp",
        configuration={"CpoName": "Operator"},
        security=Security(0, None, None, None, None, False),
    )
    csms = Csms(offset_ms=NOW_MS - EPOCH_MS, scripts={"SignCertificate": lambda payload: ACCEPTED})
    world = World(point, csms=csms, x509=Certificates(), authorization_key=bytes.fromhex(KEY))
    return world.boot().forget()


def link(world: World, peer: Server) -> Receiver:
    """The attempt that follows a disconnect, over real TLS; the core hears how it went."""
    world.disconnect()
    access = world.core.access()
    seen = attempt(replace(access, url=access.url.replace("localhost", f"localhost:{peer.port}")))
    if seen.is_connected:
        world.core.connected(world.now, seen.root)
    else:
        failure = seen.failures[0]
        world.core.link_failed(failure.security_event, failure.text, world.now, failure.cause_key)
    world.settle()
    return seen


def install(world: World, root: Issued) -> dict[str, Any]:
    return world.ask("InstallCertificate", {"certificateType": CENTRAL, "certificate": root.pem})


def installed(world: World) -> dict[str, dict[str, str]]:
    """CertificateHashData by serial number."""
    answer = world.ask("GetInstalledCertificateIds", {"certificateType": CENTRAL})
    return {data["serialNumber"]: data for data in answer["certificateHashData"]}


def change(world: World, key: str, value: str) -> dict[str, Any]:
    answer = world.ask("ChangeConfiguration", {"key": key, "value": value})
    world.advance(0)
    return answer


def request(world: World) -> x509.CertificateSigningRequest:
    """What the charge point wants to have signed."""
    asked = world.ask("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"})
    assert asked == ACCEPTED
    world.advance(0)
    return x509.load_pem_x509_csr(world.sent("SignCertificate")[-1]["csr"].encode())


class _Requested:
    """A key of which only the public half is known, as an operator has it."""

    def __init__(self, csr: x509.CertificateSigningRequest) -> None:
        self.public_key = csr.public_key


def signed(csr: x509.CertificateSigningRequest) -> Issued:
    """What the operator's intermediate authority makes of a request."""
    (name,) = csr.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    end, usage = NOW + 300 * DAY, ("digital_signature",)
    return issue(pki().intermediate, str(name.value), key=_Requested(csr), end=end, usage=usage, extended=(CLIENT,))


def test_charge_point_gets_from_no_security_to_profile_3() -> None:
    """S-163, S-164, S-165, S-168, S-171, S-173, S-177, S-179, S-180, S-191, S-192, S-194."""
    world = booted()
    assert change(world, "SecurityProfile", "2") == REJECTED
    assert install(world, pki().root) == ACCEPTED
    assert install(world, pki().other) == ACCEPTED
    assert change(world, "SecurityProfile", "2") == ACCEPTED
    with Server(server_of(pki().server, clients=None)) as peer:
        assert link(world, peer).is_connected
        assert "Authorization: Basic" in peer.heads[0]
    ids = installed(world)
    used, unused = (f"{each.certificate.serial_number:x}" for each in (pki().root, pki().other))
    assert world.ask("DeleteCertificate", {"certificateHashData": ids[used]}) == FAILED
    assert world.ask("DeleteCertificate", {"certificateHashData": ids[unused]}) == ACCEPTED

    assert change(world, "SecurityProfile", "3") == REJECTED
    chain = signed(request(world)).chain
    assert world.ask("CertificateSigned", {"certificateChain": chain}) == ACCEPTED
    assert change(world, "SecurityProfile", "3") == ACCEPTED
    with Server(server_of(pki().server, clients=pki().root)) as peer:
        assert link(world, peer).is_connected
        assert "Authorization" not in peer.heads[0]
        assert "SN-1" in str(peer.subjects)
    with Server(server_of(server(issuer=pki().other))) as impostor:
        assert not link(world, impostor).is_connected
        assert impostor.heads == []


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda csr: issue(pki().intermediate, "SN-1", extended=(CLIENT,)), "for a key"),
        (lambda csr: issue(pki().other, "SN-1", key=_Requested(csr)), "no installed root"),
        (lambda csr: issue(pki().root, "SN-2", key=_Requested(csr)), "common name"),
        (lambda csr: issue(pki().root, "SN-1", key=_Requested(csr), start=NOW - 2 * DAY, end=NOW - DAY), "expired"),
    ],
    ids=["another key", "another operator", "another name", "expired"],
)
def test_certificate_that_does_not_fit_is_refused_and_the_link_stays_as_it_was(make: Any, why: str) -> None:
    """S-177, S-178, S-183."""
    world = booted()
    install(world, pki().root)
    csr = request(world)
    assert world.ask("CertificateSigned", {"certificateChain": make(csr).chain}) == REJECTED
    world.advance(0)
    (event,) = [each for each in world.published("security_event") if each["type"] == "InvalidChargePointCertificate"]
    assert why in event["info"]
    assert change(world, "SecurityProfile", "3") == REJECTED
    assert world.ask("CertificateSigned", {"certificateChain": signed(csr).chain}) == ACCEPTED
