"""The port to X.509: what the core needs of certificates (security white paper 2.6 and chapter 7).

Owns the protocol, the record of a certificate and the reasons why one is refused. ``ocpphub.certificates`` implements
it with ``cryptography``; without that extra there is none, and the actions of certificates are not supported. All of it
is a function of its arguments but for new keys, so that the core stays deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

HashAlgorithm = Literal["SHA256", "SHA384", "SHA512"]


class CertificateError(Exception):
    """A certificate or chain is refused; the text says why, names no secret and fits a security event."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Times are milliseconds since 1970; ``fingerprint`` is SHA-256 over DER in lower-case hex."""

    pem: str = field(repr=False)
    fingerprint: str
    subject: str
    """RFC 4514 text, for people."""
    issuer: str
    common_name: str
    organization: str
    serial: str
    """Hex as in CertificateHashData: lower case, without leading zeros."""
    not_before_ms: int
    not_after_ms: int
    is_authority: bool
    is_self_signed: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A certificate signing request and its new private key, both PEM."""

    csr: str
    private_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HashData:
    """CertificateHashData: hashes in lower-case hex."""

    algorithm: HashAlgorithm
    issuer_name_hash: str
    issuer_key_hash: str
    serial: str


class X509(Protocol):
    """What the core has done with certificates. Every function raises :class:`CertificateError` with the reason."""

    def read(self, text: str) -> list[Certificate]:
        """The certificates of a PEM text, at least one and in its order; nothing but white space may stand between.

        Refused: other text (DER in hex, garbage), keys below RSA/DSA 2048 or EC 224 bit, signatures with MD5 or SHA-1,
        a missing serial number (S-141 to S-144).
        """

    def check_root(self, root: Certificate, at_ms: int) -> None:
        """Whether it can be a trust anchor: an authority within its validity; it need not be self-signed."""

    def is_signed_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether the key of ``issuer`` made the signature of ``certificate``, and the names match."""

    def check_chain(self, chain: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int) -> None:
        """Whether the first one leads over the others, in any order, to one of the roots, all valid at ``at_ms``.

        The chain need not contain the root (S-179). Path length, basic constraints and key usage are respected.
        """

    def check_firmware_signer(self, certificate: Certificate, roots: Sequence[Certificate], at_ms: int) -> None:
        """Whether a root signed it itself, without anything between (S-147), and it may sign (S-145)."""

    def new_request(self, common_name: str, organization: str) -> Request:
        """A new key (EC P-256) and its signing request with SHA-256 (S-142, S-171, S-173)."""

    def holds(self, certificate: Certificate, private_key: str) -> bool:
        """Whether this private key (PEM) belongs to the certificate."""

    def hash_data(self, certificate: Certificate, issuer: Certificate | None, algorithm: HashAlgorithm) -> HashData:
        """CertificateHashData (S-191); ``issuer`` ``None`` means self-signed, or the issuer's key is not known."""
