"""The TLS context of a link: what it trusts, what it proves itself by, and who shares it."""

from __future__ import annotations

import contextlib
import gc
import os
import ssl
import weakref
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ocpphub.config import Security
from ocpphub.core.credentials import Access
from ocpphub.errors import LocalError
from ocpphub.tls import CIPHERS, RefusedCertificateError, names_host, tls_context
from tests.pki import Issued, issue, pki

URL = "wss://localhost/ocpp"
LOCKED = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    .decode()
)
OWN_NAMES = ("SERIAL-1", "SERIAL-FILE")


def security(**fields: object) -> Security:
    defaults: dict[str, object] = {
        "profile": 2,
        "authorization_key_file": None,
        "ca_file": None,
        "client_certificate_file": None,
        "client_key_file": None,
        "use_system_ca": False,
    }
    return Security(**(defaults | fields))  # type: ignore[arg-type]


def test_tls_context_verifies_and_is_no_older_than_1_2() -> None:
    """S-121, S-126, S-127, S-130, S-137, D-18: no switch turns verification off, no public roots."""
    context = tls_context(security())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.get_ca_certs() == []


def test_tls_context_offers_the_suites_of_the_white_paper_and_no_weak_ones() -> None:
    """S-123, S-124."""
    names = [cipher["name"] for cipher in tls_context(security()).get_ciphers()]
    older = [name for name in names if not name.startswith("TLS_")]
    assert older == CIPHERS.split(":")[:-1]
    assert len(names) > len(older)


def test_tls_context_is_shared_until_a_file_changes(tmp_path: Path) -> None:
    """S-139."""
    path = tmp_path / "ca.pem"
    path.write_text("")
    with pytest.raises(LocalError, match=r"ca\.pem"):
        tls_context(security(ca_file=path))
    assert tls_context(security()) is tls_context(security(profile=0))


@pytest.mark.parametrize("field", ["ca_file", "client_certificate_file"])
def test_tls_context_names_the_file_that_is_missing(tmp_path: Path, field: str) -> None:
    with pytest.raises(LocalError, match=r"gone\.pem"):
        tls_context(security(profile=3, **{field: tmp_path / "gone.pem"}))


@pytest.mark.parametrize(
    ("names", "common_name", "expected"),
    [
        (["csms.example"], "other", True),
        (["CSMS.example."], "other", True),
        (["other.example", "csms.example"], "", True),
        (["*.example"], "csms.example", False),
        (["other.example"], "csms.example", False),
        ([], "csms.example", True),
        ([], "*.example", False),
    ],
)
def test_certificate_must_name_the_host_itself(names: list[str], common_name: str, expected: bool) -> None:
    """S-131, S-132, S-133, X-45."""
    certificate = {
        "subject": ((("organizationName", "owner"),), (("commonName", common_name),)),
        "subjectAltName": tuple(("DNS", name) for name in names),
    }
    assert names_host(certificate, "csms.example") is expected


def access(profile: int = 2, **changes: Any) -> Access:
    return Access(profile, URL, **changes)


def own(issued: Issued) -> dict[str, str]:
    """The members of an access that proves itself by this."""
    return {"chain": issued.chain, "private_key": issued.key_pem}


def shake(context: ssl.SSLContext, server: ssl.SSLContext, host: str = "localhost") -> ssl.SSLObject:
    """A handshake in memory; the server's side of it."""
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    client = context.wrap_bio(pipes[0], pipes[1], server_hostname=host)
    peer = server.wrap_bio(pipes[2], pipes[3], server_side=True)
    for _ in range(4):
        for side, out, into in ((client, pipes[1], pipes[2]), (peer, pipes[3], pipes[0])):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            into.write(out.read())
    return peer


def server_of(issued: Issued, *, with_chain: bool = True, clients: Issued | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.load_into(context, with_chain=with_chain)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    return context


def test_roots_in_force_take_the_place_of_the_file(tmp_path: Path) -> None:
    """S-130, S-200: what the CSMS has removed is not trusted although the file still names it."""
    file = tmp_path / "ca.pem"
    file.write_text(pki().root.pem)
    server = server_of(pki().server)
    shake(tls_context(security(ca_file=file), access()), server)
    shake(tls_context(security(ca_file=file), access(roots=(pki().other.pem, pki().root.pem))), server)
    with pytest.raises(RefusedCertificateError):
        shake(tls_context(security(ca_file=file), access(roots=(pki().other.pem,))), server)


def test_file_of_roots_may_be_gone_when_there_are_roots_in_force(tmp_path: Path) -> None:
    """S-130, D9: what is stored is enough to connect."""
    gone = security(ca_file=tmp_path / "gone.pem")
    shake(tls_context(gone, access(roots=(pki().root.pem,))), server_of(pki().server))
    with pytest.raises(LocalError, match=r"gone\.pem"):
        tls_context(gone, access())


def test_root_that_is_not_self_signed_ends_a_path() -> None:
    """S-200: also when the server sends nothing but its own certificate."""
    context = tls_context(security(), access(roots=(pki().intermediate.pem,)))
    shake(context, server_of(pki().server))
    shake(context, server_of(pki().server, with_chain=False))


def test_refused_certificate_is_named_by_its_fingerprint() -> None:
    """S-134, D-19, T14: TLS 1.2 and 1.3."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        server = server_of(pki().server)
        server.maximum_version = version
        with pytest.raises(RefusedCertificateError) as caught:
            shake(tls_context(security(), access(roots=(pki().other.pem,))), server)
        assert caught.value.fingerprint == pki().server.fingerprint
        assert "local issuer" in caught.value.verify_message


def test_profile_3_proves_itself_by_the_certificate_in_force_with_its_chain(tmp_path: Path) -> None:
    """S-101, S-135: rather than by that of the files, and with no other profile."""
    files = issue(pki().root, "SERIAL-FILE").write(tmp_path)
    settings = security(client_certificate_file=files[0], client_key_file=files[1])
    server = server_of(pki().server, clients=pki().root)
    roots = (pki().root.pem,)
    peers = [
        shake(tls_context(settings, access(3, roots=roots, **own(pki().client))), server),
        shake(tls_context(settings, access(3, roots=roots)), server),
    ]
    shown = [names_host(peer.getpeercert() or {}, name) for peer, name in zip(peers, OWN_NAMES, strict=True)]
    assert shown == [True, True]
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(tls_context(settings, access(2, roots=roots, **own(pki().client))), server)


def test_profile_3_without_a_certificate_is_refused() -> None:
    """S-101, S-135: it would be a connection without credentials."""
    with pytest.raises(LocalError, match="no certificate of our own"):
        tls_context(security(profile=3), access(3))
    tls_context(security(profile=3))  # of the settings alone, which may be about to get one


def test_contexts_are_shared_by_equal_material_and_only_by_it() -> None:
    """S-136, S-139: another key, chain or root is another context."""
    root, mine = pki().root.pem, own(pki().client)
    made = tls_context(security(), access(3, roots=(root,), **mine))
    assert tls_context(security(profile=0), access(3, roots=(root,), **mine)) is made
    renewed = issue(pki().intermediate, "SERIAL-1")
    others = [
        tls_context(security(), access(2, roots=(root,), **mine)),
        tls_context(security(), access(3, roots=(root, pki().other.pem), **mine)),
        tls_context(security(), access(3, roots=(root,), **own(renewed))),
        tls_context(security(use_system_ca=True), access(3, roots=(root,), **mine)),
    ]
    assert len({id(each) for each in (made, *others)}) == 5
    with pytest.raises(LocalError):  # a key that does not fit is not made good by who had the one that does
        tls_context(security(), access(3, roots=(root,), **mine | {"private_key": pki().server.key_pem}))


def test_context_is_gone_with_the_last_link_that_holds_it() -> None:
    """S-139, T30: no cache keeps a private key."""
    kept = "".join(issue(None, f"root {number}", authority=True).pem for number in range(2))
    context = tls_context(security(), access(3, roots=(kept,), **own(pki().client)))
    reference = weakref.ref(context)
    del context
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"roots": ("no certificate",)}, "the installed roots"),
        ({"roots": ("é",)}, "the installed roots"),
        ({"chain": "secret"}, "the certificate of our own"),
        ({"private_key": "secret"}, "the certificate of our own"),
        ({"private_key": None}, "the certificate of our own"),
        ({"private_key": LOCKED}, "the certificate of our own"),
        ({"private_key": issue(None, "x").key_pem}, "the certificate of our own"),
    ],
    ids=["roots", "roots that are no ASCII", "chain", "key", "no key", "pass phrase", "another key"],
)
def test_material_that_cannot_be_used_is_named_and_not_shown(changes: dict[str, Any], named: str) -> None:
    """T30, S-135."""
    members: dict[str, Any] = {"roots": (pki().root.pem,), **own(pki().client)} | changes
    with pytest.raises(LocalError, match=named) as caught:
        tls_context(security(), access(3, **members))
    assert "secret" not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_private_key_touches_no_file_and_its_memory_file_is_closed() -> None:
    """S-174, T31."""
    before = set(os.listdir("/proc/self/fd"))
    tls_context(security(), access(3, roots=(pki().root.pem,), **own(issue(pki().root, "SERIAL-2"))))
    assert set(os.listdir("/proc/self/fd")) == before
