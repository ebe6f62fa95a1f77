"""A stand-in for X.509: certificates are JSON between PEM lines, keys are names, and nothing is secret.

It keeps the rules of the port that the core rests on (who signed whom, validity, whose key) and none of cryptography.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ocpphub.core.x509 import Certificate, CertificateError, HashAlgorithm, HashData, Request
from tests.builders import EPOCH_MS

DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS
_BLOCK: Final = re.compile(r"-----BEGIN CERTIFICATE-----\n(.*)\n-----END CERTIFICATE-----\n?")
_KEY: Final = "-----BEGIN PRIVATE KEY-----\n"
_serials = itertools.count(1)


def private_key(name: str) -> str:
    """The private key of this name as a text that no log may hold."""
    return f"{_KEY}{name}\n-----END PRIVATE KEY-----\n"


def make(subject: str, issuer: str, key: str, signer: str, **changes: Any) -> str:
    """A certificate as PEM: for ten years from a year ago, unless said otherwise."""
    fields = {
        "subject": subject,
        "issuer": issuer,
        "key": key,
        "signer": signer,
        "organization": "",
        "serial": f"{next(_serials):x}",
        "not_before_ms": EPOCH_MS - YEAR_MS,
        "not_after_ms": EPOCH_MS + 9 * YEAR_MS,
        "ca": False,
        "weak": False,
        **changes,
    }
    return f"-----BEGIN CERTIFICATE-----\n{orjson.dumps(fields).decode()}\n-----END CERTIFICATE-----\n"


@dataclass(slots=True, eq=False)
class Authority:
    """Who signs; self-signed unless ``by`` another one."""

    name: str
    by: Authority | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    pem: str = ""

    def __post_init__(self) -> None:
        signer = self.by or self
        self.pem = make(self.name, signer.name, f"key of {self.name}", signer.key, **{"ca": True, **self.changes})

    @property
    def key(self) -> str:
        """The name of its key."""
        return f"key of {self.name}"

    def issue(self, common_name: str, key: str, organization: str = "", **changes: Any) -> str:
        """A certificate that it signs, as PEM."""
        return make(common_name, self.name, key, self.key, organization=organization, **changes)

    def sign(self, csr: str, **changes: Any) -> str:
        """The certificate that a request asks for."""
        asked = orjson.loads(csr)
        return self.issue(**{**asked, **changes})


class FakeX509:
    """An :class:`ocpphub.core.x509.X509`; keys are numbered in the order in which they are made."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """The names of the keys that were made."""

    def read(self, text: str) -> list[Certificate]:
        found = _BLOCK.findall(text)
        if not found or _BLOCK.sub("", text).strip():
            raise CertificateError("not PEM")
        return [_certificate(each) for each in found]

    def check_root(self, root: Certificate, at_ms: int) -> None:
        _check_time(root, at_ms)
        if not root.is_authority:
            raise CertificateError("not an authority")

    def is_signed_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        own, other = _fields(certificate), _fields(issuer)
        return bool(own["issuer"] == other["subject"] and own["signer"] == other["key"])

    def check_chain(self, chain: Sequence[Certificate], roots: Sequence[Certificate], at_ms: int) -> None:
        at, rest = chain[0], [*chain[1:]]
        _check_time(at, at_ms)
        while not any(self.is_signed_by(at, root) and _is_valid(root, at_ms) for root in roots):
            issuer = next((each for each in rest if self.is_signed_by(at, each) and each.is_authority), None)
            if issuer is None:
                raise CertificateError("no path to a root")
            rest.remove(issuer)
            at = issuer
            _check_time(at, at_ms)

    def check_firmware_signer(self, certificate: Certificate, roots: Sequence[Certificate], at_ms: int) -> None:
        self.check_chain([certificate], roots, at_ms)

    def new_request(self, common_name: str, organization: str) -> Request:
        if not 1 <= len(organization) <= 64:
            raise CertificateError("an organization has 1 to 64 characters")
        key = f"own key {len(self.requests) + 1}"
        self.requests.append(key)
        csr = orjson.dumps({"common_name": common_name, "organization": organization, "key": key}).decode()
        return Request(csr, private_key(key))

    def holds(self, certificate: Certificate, private_key: str) -> bool:
        if not private_key.startswith(_KEY):
            raise CertificateError("the private key cannot be read")
        return bool(private_key.splitlines()[1] == _fields(certificate)["key"])

    def hash_data(self, certificate: Certificate, issuer: Certificate | None, algorithm: HashAlgorithm) -> HashData:
        def hashed(text: str) -> str:
            return hashlib.new(algorithm.lower(), text.encode()).hexdigest()

        fields = _fields(certificate)
        key = fields["key"] if issuer is None else _fields(issuer)["key"]
        return HashData(algorithm, hashed(fields["issuer"]), hashed(key), certificate.serial)


def _fields(certificate: Certificate) -> dict[str, Any]:
    match = _BLOCK.match(certificate.pem)
    assert match is not None
    fields: dict[str, Any] = orjson.loads(match[1])
    return fields


def _certificate(text: str) -> Certificate:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CertificateError("not a certificate") from None
    if fields["weak"]:
        raise CertificateError("the key is too short")
    return Certificate(
        pem=f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n",
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
        subject=f"CN={fields['subject']}",
        issuer=f"CN={fields['issuer']}",
        common_name=fields["subject"],
        organization=fields["organization"],
        serial=fields["serial"],
        not_before_ms=fields["not_before_ms"],
        not_after_ms=fields["not_after_ms"],
        is_authority=fields["ca"],
        is_self_signed=fields["signer"] == fields["key"],
    )


def _is_valid(certificate: Certificate, at_ms: int) -> bool:
    return certificate.not_before_ms <= at_ms < certificate.not_after_ms


def _check_time(certificate: Certificate, at_ms: int) -> None:
    if not _is_valid(certificate, at_ms):
        raise CertificateError("not valid at this time")
