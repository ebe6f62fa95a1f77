"""A throw-away public key infrastructure for the demo over TLS, ``ocpphub demo --secure``, and for tests.

Owns certificates that live for a day and are trusted by nobody but the hub they are made for: of an operator (CSMS and
charge points) and of a manufacturer (firmware), which are kept apart (white paper 2.6.2). Needs the extra ``security``.
Must never be used for anything that is not on loopback.
"""

from __future__ import annotations

import base64
import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority; what it issues is good for a day."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, common_name: str) -> Self:
        """One that nobody trusts yet."""
        key, name = _new_key(), _name(common_name)
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(key_cert_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(name, key, certificate)

    @property
    def pem(self) -> str:
        """Its certificate."""
        return _pem(self.certificate)

    def server_context(self, folder: Path, *, wants_client: bool = False) -> ssl.SSLContext:
        """TLS for a server on 127.0.0.1; ``wants_client`` refuses whoever shows no certificate of this authority."""
        key = _new_key()
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        certificate = self._issue(_name(HOST), key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, address)
        context = _context(folder, certificate, key)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.pem)
        return context

    def sign(self, csr: str) -> str:
        """The certificate that a charge point asks for (SignCertificate.req), PEM."""
        request = x509.load_pem_x509_csr(csr.encode())
        return _pem(self._issue(request.subject, request.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH))

    def signer(self, common_name: str) -> Signer:
        """Somebody who signs firmware."""
        key = _new_key()
        return Signer(_pem(self._issue(_name(common_name), key.public_key(), ExtendedKeyUsageOID.CODE_SIGNING)), key)

    def _issue(
        self, subject: x509.Name, key: Any, usage: x509.ObjectIdentifier, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = (
            _builder(subject, self.name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_key_usage(key_cert_sign=False), critical=True)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs firmware: the certificate as SignedUpdateFirmware.req carries it, and the key."""

    certificate: str
    key: ec.EllipticCurvePrivateKey

    def signature(self, firmware: bytes) -> str:
        """ECDSA over SHA-256 of the whole file, in base64."""
        return base64.b64encode(self.key.sign(firmware, ec.ECDSA(hashes.SHA256()))).decode()


def issue(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A CA certificate file in ``folder`` for the hub, and the server context of a CSMS on 127.0.0.1."""
    authority = Authority.new("ocpphub demo CA")
    authority_file = folder / "ca.pem"
    authority_file.write_text(authority.pem)
    return authority_file, authority.server_context(folder)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    others: dict[str, Any] = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=key_cert_sign, crl_sign=key_cert_sign, decipher_only=False, **others
    )


def _context(folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    chain, private = folder / "server.pem", folder / "server.key"
    chain.write_text(_pem(certificate))
    private.unlink(missing_ok=True)
    private.touch(0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, private)
    return context
