"""Servers good and bad in every way of the threat T14: only the good ones are talked to, the bad ones are told of once.

Servers and link are real ones on loopback; what the link says goes through a real core.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509

from ocpphub.core.credentials import Access
from tests.e2e.tls_servers import ATTEMPTS, Receiver, Server, attempt, link_of, server, server_of
from tests.pki import CLIENT, DAY, NOW, Issued, issue, pki, rsa_key

pytestmark = pytest.mark.timeout(20)

KEY = bytes(range(20))
CERTIFICATE = ["InvalidCentralSystemCertificate", "CentralSystemFailedToAuthenticate"]
VERSION, SUITE = ["InvalidTLSVersion"], ["InvalidTLSCipherSuite"]
REFUSED_US = ["FailedToAuthenticateAtCentralSystem"]


@functools.cache
def by_sha1() -> Issued:
    """A certificate for ``localhost`` that the operator's root signed with SHA-1, which the library refuses to make."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in (("ca", pki().root.pem), ("ca.key", pki().root.key_pem), ("key", pki().server.key_pem)):
            (folder / file).write_text(text)
        made = subprocess.run(
            [
                *("openssl", "req", "-x509", "-sha1", "-days", "1", "-subj", "/CN=localhost"),
                *("-CA", folder / "ca", "-CAkey", folder / "ca.key", "-key", folder / "key"),
                *("-addext", "subjectAltName=DNS:localhost"),
            ],
            check=True,
            capture_output=True,
        )
    return Issued(x509.load_pem_x509_certificate(made.stdout), pki().server.key)


@dataclass(frozen=True)
class Case:
    """A server, how the link comes to it, and what follows: nothing but a connection, or these events."""

    make: Callable[[], ssl.SSLContext | None]
    events: list[str] | None = None
    """``None`` for a good server."""
    cause: str = ""
    profile: int = 2
    roots: Callable[[], list[Issued]] = lambda: [pki().root]
    host: str = "localhost"
    scheme: str = "wss"
    own: Callable[[], Issued] = lambda: pki().client
    suite: str = ""
    refused: Callable[[], Issued] | None = None
    """Whose fingerprint tells the cause."""


def bad(issued: Callable[[], Issued], options: dict[str, Any] | None = None, **changes: Any) -> Case:
    """A server whose certificate is refused."""
    once = functools.cache(issued)
    return Case(lambda: server_of(once(), **options or {}), CERTIFICATE, "certificate", refused=once, **changes)


def old(version: ssl.TLSVersion) -> Case:
    """A server that has nothing newer."""
    return Case(lambda: server_of(server(), versions=(version, version)), VERSION, "tls_version")


def suite(name: str, key: Callable[[], Any] = lambda: None) -> Case:
    """A good server with this suite alone."""
    return Case(lambda: server_of(server(key=key()), suites=name), suite=name)


def weak(name: str, key: Callable[[], Any] = lambda: None) -> Case:
    """A server with a suite alone that is not offered."""
    return Case(lambda: server_of(server(key=key()), suites=name), SUITE, "tls_cipher")


def mutual(**changes: Any) -> Case:
    """A server that wants a certificate of the operator's."""
    return Case(lambda: server_of(pki().server, clients=pki().root), **changes)


@functools.cache
def expired_root() -> Issued:
    return issue(None, "Old root", authority=True, start=NOW - 3 * DAY, end=NOW - DAY)


@functools.cache
def namesake() -> Issued:
    return issue(None, "Operator root", authority=True)


V10, V11, V12, V13 = (ssl.TLSVersion[name] for name in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"))
CASES: dict[str, Case] = {
    # names
    "good": Case(lambda: server_of(server())),
    "common name alone": Case(lambda: server_of(server(names=()))),
    "alternative name right, common name wrong": Case(lambda: server_of(server("other.example"))),
    "common name right, alternative name wrong": bad(lambda: server(names=("other.example",))),
    "wrong host": bad(lambda: server("other.example", names=("other.example", "*.example"))),
    "address": Case(lambda: server_of(server("x", names=("127.0.0.1",))), host="127.0.0.1"),
    "another address": bad(lambda: server("127.0.0.1", names=("127.0.0.2",)), host="127.0.0.1"),
    "wildcard": bad(lambda: server("x", names=("*.hub.localhost",)), host="a.hub.localhost"),
    "wildcard in the common name": bad(lambda: server("*.hub.localhost", names=()), host="a.hub.localhost"),
    # validity
    "expired": bad(lambda: server(start=NOW - 3 * DAY, end=NOW - 2 * DAY)),
    "not yet valid": bad(lambda: server(start=NOW + DAY / 2)),
    "by an expired root": bad(
        lambda: server(issuer=expired_root()), roots=lambda: [expired_root()]
    ),
    # trust
    "wrong authority": bad(lambda: server(issuer=pki().other)),
    "namesake of the authority": bad(lambda: server(issuer=namesake())),
    "self-signed": bad(lambda: server(issuer=None)),
    "no root installed": bad(server, roots=list),
    "manufacturer": bad(lambda: server(issuer=pki().manufacturer)),
    "intermediate present": Case(lambda: server_of(pki().server)),
    "intermediate missing": bad(lambda: pki().server, {"with_chain": False}),
    "intermediate installed as a root": Case(
        lambda: server_of(pki().server, with_chain=False), roots=lambda: [pki().intermediate]
    ),
    "of several roots": Case(lambda: server_of(server()), roots=lambda: [pki().other, pki().root]),
    "issued by no authority": bad(lambda: server(issuer=server("middle"))),
    "for clients only": bad(lambda: server(extended=(CLIENT,))),
    # strength
    "RSA-1024": bad(lambda: server(key=rsa_key(1024))),
    "SHA-1": bad(by_sha1),
    # versions
    "TLS 1.0": old(V10),
    "TLS 1.1": old(V11),
    "TLS 1.2 only": Case(lambda: server_of(server(), versions=(V12, V12))),
    "TLS 1.3 only": Case(lambda: server_of(server(), versions=(V13, V13))),
    "TLS 1.1 to 1.3": Case(lambda: server_of(server(), versions=(V11, V13)), suite="TLS_AES_256_GCM_SHA384"),
    # suites
    "ECDHE-ECDSA-AES128-GCM-SHA256": suite("ECDHE-ECDSA-AES128-GCM-SHA256"),
    "ECDHE-ECDSA-AES256-GCM-SHA384": suite("ECDHE-ECDSA-AES256-GCM-SHA384"),
    "AES128-GCM-SHA256": suite("AES128-GCM-SHA256", rsa_key),
    "AES256-GCM-SHA384": suite("AES256-GCM-SHA384", rsa_key),
    "ECDHE-RSA-AES128-GCM-SHA256": suite("ECDHE-RSA-AES128-GCM-SHA256", rsa_key),
    "AES128-SHA": weak("AES128-SHA", rsa_key),
    "AES256-SHA256": weak("AES256-SHA256", rsa_key),
    "ECDHE-ECDSA-AES128-SHA": weak("ECDHE-ECDSA-AES128-SHA"),
    "no encryption": weak("NULL-SHA256", rsa_key),
    "no encryption but forward secrecy": weak("ECDHE-ECDSA-NULL-SHA"),
    "no authentication": weak("AECDH-AES256-SHA"),
    # profiles
    "profile 1 over TLS": Case(lambda: server_of(server()), profile=1),
    "profile 1 over TLS to a wrong authority": bad(lambda: server(issuer=pki().other), profile=1),
    "profile 3": mutual(profile=3),
    "profile 3 to an expired server": bad(
        lambda: server(start=NOW - 3 * DAY, end=NOW - 2 * DAY), {"clients": pki().root}, profile=3
    ),
    "client certificate wanted of profile 2": mutual(events=REFUSED_US, cause="client_certificate"),
    "client certificate by another operator": mutual(
        events=REFUSED_US, cause="client_certificate", profile=3, own=lambda: issue(pki().other, "SERIAL-1")
    ),
    "client certificate expired": mutual(
        events=REFUSED_US, cause="client_certificate", profile=3,
        own=lambda: issue(pki().root, "SERIAL-1", start=NOW - 3 * DAY, end=NOW - 2 * DAY),
    ),
    "plain server for profile 2": Case(lambda: None, [], "tls"),
    "plain server for profile 3": Case(lambda: None, [], "tls", profile=3),
    "plain URL with profile 2": Case(lambda: None, [], "profile", scheme="ws"),
    "plain URL with profile 3": Case(lambda: None, [], "profile", scheme="ws", profile=3),
}  # fmt: skip


def access_of(case: Case, port: int) -> Access:
    roots = tuple(each.pem for each in case.roots())
    url = f"{case.scheme}://{case.host}:{port}/ocpp"
    if case.profile == 3:
        own = case.own()
        return Access(3, url, None, roots, own.chain, own.key_pem)
    return Access(case.profile, url, KEY, roots)


@pytest.fixture(autouse=True)
def _names_below_localhost_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not in a bare container."""

    def loopback(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("ocpphub.csms.socket.getaddrinfo", loopback)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("name", CASES)
def test_only_good_servers_are_talked_to_and_bad_ones_are_told_of_once(name: str) -> None:
    """S-101, S-102, S-106, S-121, S-122, S-123, S-124, S-125, S-130, S-131, S-132, S-133, S-134, S-135, S-137, S-138,
    S-194, S-200, T14, F17, D-19."""
    case = CASES[name]
    with Server(case.make()) as peer:
        seen = attempt(access_of(case, peer.port))
    if case.events is None:
        assert seen.is_connected, seen.failures
        assert seen.failures == []
        assert seen.root == case.roots()[-1].fingerprint
        assert [head.startswith("GET /ocpp/CP1 ") for head in peer.heads] == [True]
        assert ["Authorization: Basic" in head for head in peer.heads] == [case.profile in (1, 2)]
        assert peer.suites == [case.suite or peer.suites[0]]
        assert [subject is not None for subject in peer.subjects] == [case.profile == 3]
        return
    assert not seen.is_connected
    assert {failure.cause for failure in seen.failures} == {case.cause}
    assert len(seen.failures) == ATTEMPTS
    assert seen.events() == case.events
    assert peer.heads == []  # no credentials for a server that has not proved itself
    if case.refused is not None:
        assert {failure.cause_key for failure in seen.failures} == {case.refused().fingerprint}


def test_matrix_is_of_the_size_that_was_promised() -> None:
    """F17: at least 20 servers, of which the good ones are not the rule."""
    assert len(CASES) >= 40
    assert sum(case.events is None for case in CASES.values()) < len(CASES) / 2


def test_root_that_is_removed_is_trusted_no_more() -> None:
    """S-130, S-192, T14: what was good until then is refused, and told."""
    with Server(server_of(server())) as peer:
        access = access_of(CASES["good"], peer.port)
        assert attempt(access).is_connected
        seen = attempt(dataclasses.replace(access, roots=(pki().other.pem,)))
    assert not seen.is_connected
    assert seen.events() == CERTIFICATE


def test_each_refused_certificate_is_an_event_of_its_own() -> None:
    """D-19, T14: another certificate behind the same address is another cause, the first one again is none."""
    first, second = (server(issuer=pki().other) for _ in range(2))
    shown = Receiver(Access(2, "wss://localhost/ocpp"))
    for issued in (first, second, first):
        with Server(server_of(issued)) as peer:
            shown.failures += attempt(access_of(CASES["good"], peer.port)).failures
    assert len(shown.failures) == 3 * ATTEMPTS
    assert shown.events() == CERTIFICATE * 2


def test_server_that_was_repaired_is_talked_to_without_a_restart() -> None:
    """S-134: the same link goes on trying with what is in force at each attempt."""
    with Server(server_of(server(issuer=pki().other))) as peer:
        access = access_of(CASES["good"], peer.port)

        async def body() -> Receiver:
            receiver = Receiver(access)
            made = link_of(receiver)
            made.connect({})
            async with asyncio.timeout(10):
                await receiver.over.wait()
                receiver.over.clear()
                receiver.now = dataclasses.replace(access, roots=(pki().other.pem,))
                await receiver.over.wait()
                while not receiver.is_connected:
                    receiver.over.clear()
                    await receiver.over.wait()
            made.disconnect(1001, "", True)
            await made.wait_closed()
            return receiver

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(body()).events() == CERTIFICATE
