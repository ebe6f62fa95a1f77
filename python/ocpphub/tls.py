"""TLS towards the CSMS: the context of a link, which server is refused, and what names a refusal.

Owns versions, suites, verification and the sharing of contexts. Must never turn a check off, ask for a pass phrase,
write a key to a disk, nor keep one longer than a link that uses it.

Implements the security white paper A00.FR.3xx and 4xx as a client: S-121 to S-139, S-200; T14.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import Security
    from ocpphub.core.credentials import Access

# Security white paper A00.FR.318: forward secrecy first; the TLS 1.3 suites are added by OpenSSL itself.
CIPHERS: Final = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "@SECLEVEL=2",  # refuses RSA below 2048 bit and SHA-1 signatures (S-130, S-141)
    )
)


class RefusedCertificateError(ssl.SSLCertVerificationError):
    """The certificate of the CSMS is refused; ``fingerprint`` is SHA-256 over its DER form in lower-case hex."""

    fingerprint: str = ""


class _Handshake(ssl.SSLObject):
    """One TLS connection that can say which certificate it has refused."""

    def do_handshake(self) -> None:
        """As the base class does, but with the certificate in what is raised when it is refused."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            # The chains are named only in Python 3.13, but they are there in 3.11 too.
            chain = self._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
            raise refused_certificate(error.verify_message, _der(chain[0]) if chain else None) from error

    def trust_anchor(self) -> str | None:
        """The fingerprint of the root that the certificate of the CSMS led to."""
        chain = self._sslobj.get_verified_chain()  # type: ignore[attr-defined]
        return hashlib.sha256(_der(chain[-1])).hexdigest() if chain else None


def _der(certificate: Any) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.public_bytes())


def trust_anchor(secured: ssl.SSLObject | None) -> str | None:
    """The fingerprint of the root that an open connection rests on; ``None`` without TLS."""
    return secured.trust_anchor() if isinstance(secured, _Handshake) else None


def refused_certificate(why: str, der: bytes | None) -> RefusedCertificateError:
    """What is raised for a certificate in its DER form, with a reason in words of ours or of OpenSSL."""
    error = RefusedCertificateError(why)
    error.verify_message = why
    error.fingerprint = "" if der is None else hashlib.sha256(der).hexdigest()
    return error


_contexts: WeakValueDictionary[Hashable, ssl.SSLContext] = WeakValueDictionary()
"""By digests and stamps of what they were made from: a context lives as long as a link that holds it."""


def tls_context(security: Security, access: Access | None = None) -> ssl.SSLContext:
    """The context for ``wss``: TLS 1.2 or newer, verified path and host, own roots only (white paper A00.FR.3xx, 4xx).

    Roots and own certificate are those of ``access``; where it has none, and without it, those in the files of the
    settings. Contexts are shared between charge points with the same, and made anew when one changes (S-139). Any of
    the roots may end a path, self-signed or not (S-200). Raises :class:`LocalError` naming what cannot be used, and for
    an ``access`` with profile 3 without a certificate of our own.
    """
    roots, chain, key = ((), None, None) if access is None else (access.roots, access.chain, access.private_key)
    ca_file = None if roots else security.ca_file
    certificate_file = key_file = None
    if (security.profile if access is None else access.profile) != 3:
        chain = key = None
    elif chain is None:
        certificate_file, key_file = security.client_certificate_file, security.client_key_file
        if certificate_file is None and access is not None:
            raise LocalError("invalid_params", "there is no certificate of our own for profile 3")
    files = tuple(_stamp(path) for path in (ca_file, certificate_file, key_file))
    mark = _digest(roots), _digest(text for text in (chain, key) if text is not None), files, security.use_system_ca
    context = _contexts.get(mark)
    if context is None:
        context = _untrusting()
        _load_roots(context, roots, ca_file, use_system_ca=security.use_system_ca)
        if chain is not None:
            _load_own(context, chain, key or "")
        elif certificate_file is not None:
            _load_own_files(context, certificate_file, key_file, str(certificate_file))
        _contexts[mark] = context
    return context


_Stamp = tuple[Path, int, int] | None


def _stamp(path: Path | None) -> _Stamp:
    if path is None:
        return None
    try:
        state = path.stat()
    except OSError as error:
        raise LocalError("invalid_params", f"{path}: {error.strerror}") from None
    return path, state.st_mtime_ns, state.st_size


def _digest(texts: Iterable[str]) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.digest()


def _untrusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # with CERT_REQUIRED and check_hostname
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.sslobject_class = _Handshake
    return context


def _load_roots(context: ssl.SSLContext, roots: Sequence[str], ca_file: Path | None, *, use_system_ca: bool) -> None:
    try:
        if roots:
            context.load_verify_locations(cadata="\n".join(roots))
        elif ca_file is not None:
            context.load_verify_locations(ca_file)
        if use_system_ca:
            context.load_default_certs()
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(ca_file or "the installed roots", error) from None


def _load_own(context: ssl.SSLContext, chain: str, key: str) -> None:
    """OpenSSL takes a certificate of our own from a file only: an anonymous one in memory, for as long as it reads."""
    descriptor = os.memfd_create("certificate")
    with open(descriptor, "wb", buffering=0) as file:
        file.write(f"{chain}\n{key}".encode())
        _load_own_files(context, Path(f"/proc/self/fd/{descriptor}"), None, "the certificate of our own")


def _load_own_files(context: ssl.SSLContext, chain: Path, key: Path | None, shown: str) -> None:
    try:
        # A key with a pass phrase must fail, and not ask on the terminal of a daemon.
        context.load_cert_chain(chain, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise _unusable(shown, error) from None


def _unusable(what: object, error: Exception) -> LocalError:
    return LocalError("invalid_params", f"{what} cannot be used: {type(error).__name__}")


def names_host(certificate: Mapping[str, Any], host: str) -> bool:
    """Whether a verified certificate names the host itself and not by a wildcard (S-133; Python has no switch for it).

    As in RFC 2818, a common name counts only where there is no dNSName.
    """
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    if not names:
        pairs = [pair for relative in certificate.get("subject", ()) for pair in relative]
        names = [value for kind, value in pairs if kind == "commonName"]
    return host.lower().rstrip(".") in (name.lower().rstrip(".") for name in names)
