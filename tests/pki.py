"""A small public key infrastructure for tests: issuing anything, good or bad, and one that is made once per process.

Keys are EC P-256, which cost nothing, unless a test is about another kind. Certificates live for a day around now.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
CLIENT, SERVER, CODE = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CODE_SIGNING,
)
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
NOW_MS = round(NOW.timestamp() * 1000)
"""When the tests were begun; certificates are valid a day before and after."""


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, and what leads from it towards the root, which it leaves out."""

    certificate: x509.Certificate
    key: Any = field(repr=False)
    above: tuple[Issued, ...] = ()

    @property
    def pem(self) -> str:
        """The certificate alone."""
        return self.certificate.public_bytes(PEM).decode()

    @property
    def chain(self) -> str:
        """The certificate and its intermediates."""
        return self.pem + "".join(each.pem for each in self.above)

    @property
    def key_pem(self) -> str:
        """The private key, without a pass phrase."""
        kind, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return str(self.key.private_bytes(PEM, kind, no_password).decode())

    @property
    def fingerprint(self) -> str:
        """SHA-256 over DER in lower-case hex."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def load_into(self, context: ssl.SSLContext, *, with_chain: bool = True) -> None:
        """Let a context prove itself by this certificate."""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write((self.chain if with_chain else self.pem) + self.key_pem)
            file.flush()
            context.load_cert_chain(file.name)

    def write(self, directory: Path, name: str = "own") -> tuple[Path, Path]:
        """The files of a chain and of its key."""
        chain, key = directory / f"{name}.pem", directory / f"{name}.key"
        chain.write_text(self.chain)
        key.touch(0o600)
        key.write_text(self.key_pem)
        return chain, key


def issue(
    issuer: Issued | None,
    common_name: str,
    *,
    names: Sequence[str] = (),
    organization: str = "Operator",
    key: Any = None,
    authority: bool = False,
    path_length: int | None = None,
    start: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + DAY,
    usage: Sequence[str] | None = None,
    extended: Sequence[x509.ObjectIdentifier] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    algorithm: Any = hashes.SHA256(),  # noqa: B008  # has no state
    serial: int | None = None,
) -> Issued:
    """A certificate by ``issuer``, by itself without one. ``names`` are its alternative names, IP addresses among them.

    ``usage`` are the true fields of KeyUsage; an authority has what it needs unless they are given.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
        usage = ("key_cert_sign", "crl_sign") if usage is None else usage
    if usage is not None:
        builder = builder.add_extension(key_usage(*usage), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(extended)), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer.key if issuer else key).public_key())
    builder = builder.add_extension(of_issuer, critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    certificate = builder.sign((issuer.key if issuer else key), algorithm)
    above = () if issuer is None or issuer.certificate.issuer == issuer.certificate.subject else (issuer, *issuer.above)
    return Issued(certificate, key, above)


def key_usage(*names: str) -> x509.KeyUsage:
    """KeyUsage with these fields."""
    fields = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: name in names for name in fields})


def _general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key, always the same one of its size."""
    return rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class Pki:
    """Two operators that know nothing of each other, a manufacturer, and what they have issued."""

    root: Issued
    """The operator's, under which everything good is."""
    intermediate: Issued
    other: Issued
    """Another operator's root, of another name."""
    manufacturer: Issued
    server: Issued
    """``localhost``, by the intermediate authority."""
    client: Issued
    """The charge point ``SERIAL-1``, by the intermediate authority."""


@functools.cache
def pki() -> Pki:
    """The infrastructure of this process."""
    root = issue(None, "Operator root", authority=True)
    intermediate = issue(root, "Operator intermediate", authority=True, path_length=0)
    return Pki(
        root,
        intermediate,
        issue(None, "Other root", authority=True),
        issue(None, "Manufacturer root", organization="Manufacturer", authority=True),
        issue(intermediate, "localhost", names=("localhost",), extended=(SERVER,), usage=("digital_signature",)),
        issue(intermediate, "SERIAL-1", extended=(CLIENT,), usage=("digital_signature",)),
    )
