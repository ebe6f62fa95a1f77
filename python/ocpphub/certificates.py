"""X.509 with ``cryptography``: what :mod:`ocpphub.core.x509` asks for, and the signature of a firmware.

Owns parsing, new keys and requests, path checks, CertificateHashData. Must never keep a key, a file or a clock, put a
received text or a key into an error, nor trust anything but the roots it is handed. Needs the extra ``security``.

The verifier of the library fits the web only (it wants alternative names and its own list of curves), so a path is
built here: the library checks each signature with the names, this module validity, basic constraints, path length and
key usage (RFC 5280 6.1.4). A path with a critical extension that this module does not process is refused.

Implements: S-130, S-141 to S-147, S-171, S-173, S-177, S-179, S-191, S-200, S-234.
"""

from __future__ import annotations

import binascii
import re
import warnings
from base64 import b64decode
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils
from cryptography.x509.ocsp import OCSPRequestBuilder
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from ocpphub.core.x509 import Certificate, CertificateError, HashAlgorithm, HashData, Request

MAX_CHAIN: Final = 10
"""Certificates of one chain."""
MIN_BITS: Final = 2048
MIN_EC_BITS: Final = 224
MAX_SERIAL_BITS: Final = 160
"""RFC 5280 4.1.2.2; also what fits CertificateHashData."""
MAX_NAME: Final = 64
"""Characters of a common name or organization (RFC 5280 appendix A.1)."""

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_STRONG: Final = (hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
_STRONG_3: Final = (hashes.SHA3_224, hashes.SHA3_256, hashes.SHA3_384, hashes.SHA3_512)
_HASHES: Final = {"SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512()}
_PROCESSED: Final = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.CERTIFICATE_POLICIES,
    )
)
# What the library raises for bytes that are no certificate, key or name, or of a kind it does not know.
_BAD: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


class Certificates:
    """An :class:`ocpphub.core.x509.X509`."""

    def read(self, text: str) -> list[Certificate]:
        """The certificates of a PEM text, in its order; PEM and white space only (S-143)."""
        blocks = _BLOCK.findall(text)
        if not blocks:
            raise CertificateError("no certificate in PEM form")
        if _BLOCK.sub("", text).strip():
            raise CertificateError("something else stands beside the certificates")
        return [_read(block) for block in blocks]

    def check_root(self, root: Certificate, at_ms: int) -> None:
        """Whether it can be a trust anchor: an authority within its validity that may sign certificates (S-145)."""
        _check_time(root, at_ms, "the root")
        _check_issuer(_load(root), 0, "the root")

    def is_signed_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Whether the key of ``issuer`` made the signature of ``certificate``, and the names match."""
        return _is_signed_by(_load(certificate), _load(issuer))

    def check_chain(self, chain: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int) -> None:
        """Whether the first one leads over the others to a root. It must be fit to prove a client (S-145, S-177).

        A path may end at any installed certificate that is an authority, self-signed or not (S-179, S-200).
        """
        if not chain:
            raise CertificateError("the chain is empty")
        if len(chain) > MAX_CHAIN:
            raise CertificateError(f"a chain of more than {MAX_CHAIN} certificates")
        _check_time(chain[0], at_ms, "the certificate")
        leaf = _load(chain[0])
        _check_leaf(leaf, ExtendedKeyUsageOID.CLIENT_AUTH, "prove a client")
        _find_path(leaf, chain[1:], roots, at_ms)

    def check_firmware_signer(self, certificate: Certificate, roots: Sequence[Certificate], at_ms: int) -> None:
        """Whether a root signed it itself (S-147), it may sign (S-145) and its key is of a kind of S-234."""
        _check_time(certificate, at_ms, "the certificate")
        leaf = _load(certificate)
        if certificate.is_authority:
            raise CertificateError("an authority is no certificate for signing firmware")
        if not isinstance(leaf.public_key(), rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            raise CertificateError("firmware is signed with RSA or EC")
        _check_leaf(leaf, ExtendedKeyUsageOID.CODE_SIGNING, "sign firmware")
        _find_path(leaf, (), roots, at_ms)

    def new_request(self, common_name: str, organization: str) -> Request:
        """A new key (EC P-256) and its signing request with SHA-256 (S-142, S-144, S-171, S-173)."""
        if not all(1 <= len(text) <= MAX_NAME for text in (common_name, organization)):
            raise CertificateError(f"a common name and an organization have 1 to {MAX_NAME} characters")
        organization_name = x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)
        subject = x509.Name([organization_name, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        csr = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
        return Request(csr.public_bytes(serialization.Encoding.PEM).decode("ascii"), private.decode("ascii"))

    def holds(self, certificate: Certificate, private_key: str) -> bool:
        """Whether this private key (PEM, without a pass phrase) belongs to the certificate."""
        try:
            key = serialization.load_pem_private_key(private_key.encode(), None)
        except _BAD:
            raise CertificateError("the private key cannot be read") from None
        return bool(key.public_key() == _load(certificate).public_key())

    def hash_data(self, certificate: Certificate, issuer: Certificate | None, algorithm: HashAlgorithm) -> HashData:
        """CertificateHashData, hashed as in OCSP (RFC 6960 4.1.1).

        Without ``issuer`` the key is the certificate's own, which is the issuer's one if it is self-signed.
        """
        own = _load(certificate)
        builder = OCSPRequestBuilder().add_certificate(
            own, own if issuer is None else _load(issuer), _HASHES[algorithm]
        )
        request = builder.build()
        return HashData(algorithm, request.issuer_name_hash.hex(), request.issuer_key_hash.hex(), certificate.serial)


def verify_digest(digest: bytes, certificate: str, signature: str) -> bool:
    """Whether what has this SHA-256 was signed with the key of a certificate (S-234).

    SHA-256 with RSA-PSS or with ECDSA, nothing else; ``certificate`` is PEM, ``signature`` base64. A malformed
    certificate or signature is a wrong one.
    """
    try:
        given = b64decode("".join(signature.split()), validate=True)
        key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except (*_BAD, binascii.Error):
        return False
    hashed = utils.Prehashed(hashes.SHA256())
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(given, digest, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(given, digest, ec.ECDSA(hashed))
        else:
            return False
    except (InvalidSignature, *_BAD):
        return False
    return True


def _read(block: str) -> Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library warns of serial numbers that are refused here
            found = x509.load_pem_x509_certificate(block.encode("ascii"))
            _check_strength(found)
        constraints = _extension(found, x509.BasicConstraints)
        return Certificate(
            pem=found.public_bytes(serialization.Encoding.PEM).decode("ascii"),
            fingerprint=found.fingerprint(hashes.SHA256()).hex(),
            subject=found.subject.rfc4514_string(),
            issuer=found.issuer.rfc4514_string(),
            common_name=_name(found, NameOID.COMMON_NAME),
            organization=_name(found, NameOID.ORGANIZATION_NAME),
            serial=f"{found.serial_number:x}",
            not_before_ms=_ms(found.not_valid_before_utc),
            not_after_ms=_ms(found.not_valid_after_utc),
            is_authority=constraints is not None and constraints.ca,
            is_self_signed=_is_signed_by(found, found),
        )
    except _BAD:
        raise CertificateError("a malformed certificate") from None


def _check_strength(found: x509.Certificate) -> None:
    """S-141, S-142, S-144."""
    key, algorithm = found.public_key(), found.signature_hash_algorithm
    match key:
        case rsa.RSAPublicKey() | dsa.DSAPublicKey():
            least = MIN_BITS
        case ec.EllipticCurvePublicKey():
            least = MIN_EC_BITS
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            least = 0
        case _:
            raise CertificateError("a key of a kind that cannot sign")
    if least and key.key_size < least:  # type: ignore[union-attr]  # the two kinds without a size have no least one
        raise CertificateError(f"a key of fewer than {least} bit")
    if algorithm is not None and not isinstance(algorithm, _STRONG + _STRONG_3):
        raise CertificateError("a signature with a weak hash")
    if found.serial_number <= 0 or found.serial_number.bit_length() > MAX_SERIAL_BITS:
        raise CertificateError("no usable serial number")


def _load(certificate: Certificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.pem.encode("ascii"))


def _name(found: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    values = found.subject.get_attributes_for_oid(oid)
    return str(values[0].value) if values else ""


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _extension(found: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return found.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_BAD):
        return False
    return True


def _check_time(certificate: Certificate, at_ms: int, what: str) -> None:
    if at_ms < certificate.not_before_ms:
        raise CertificateError(f"{what} is not valid yet")
    if at_ms >= certificate.not_after_ms:  # as OpenSSL has it
        raise CertificateError(f"{what} has expired")


def _check_extensions(found: x509.Certificate, what: str) -> None:
    if any(each.critical and each.oid not in _PROCESSED for each in found.extensions):
        raise CertificateError(f"{what} has a critical extension that is not supported")


def _check_leaf(leaf: x509.Certificate, purpose: x509.ObjectIdentifier, verb: str) -> None:
    _check_extensions(leaf, "the certificate")
    usage = _extension(leaf, x509.KeyUsage)
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    wanted = {purpose, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if (usage is not None and not usage.digital_signature) or (extended is not None and not wanted & set(extended)):
        raise CertificateError(f"the certificate may not {verb}")


def _check_issuer(issuer: x509.Certificate, below: int, what: str) -> None:
    """Whether it may issue, with ``below`` intermediates that are not self-issued between it and the leaf."""
    constraints, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        raise CertificateError(f"{what} is no authority")
    if constraints.path_length is not None and constraints.path_length < below:
        raise CertificateError(f"{what} allows no chain of this length")
    if usage is not None and not usage.key_cert_sign:
        raise CertificateError(f"{what} may not sign certificates")


def _find_path(leaf: x509.Certificate, others: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int) -> None:
    """Search breadth first, by intermediates that count for the path length; each certificate is looked at once."""
    issuers = [(root, _load(root), True) for root in roots]
    issuers += [(other, _load(other), False) for other in others]
    todo, seen = deque([(leaf, 0)]), set[bytes]()
    problem = "no installed root leads to the certificate"
    while todo:
        certificate, below = todo.popleft()
        if (mark := certificate.fingerprint(hashes.SHA256())) in seen:
            continue
        seen.add(mark)
        for record, issuer, is_root in issuers:
            if certificate.issuer != issuer.subject or not _is_signed_by(certificate, issuer):
                continue
            what = "the root" if is_root else "an intermediate certificate"
            try:
                _check_time(record, at_ms, what)
                _check_extensions(issuer, what)
                _check_issuer(issuer, below, what)
            except CertificateError as error:
                problem = str(error)
                continue
            if is_root:
                return
            if issuer.issuer == issuer.subject:
                todo.appendleft((issuer, below))
            else:
                todo.append((issuer, below + 1))
    raise CertificateError(problem)
