"""InstallCertificate, DeleteCertificate, GetInstalledCertificateIds: the CSMS keeps the roots (white paper M03 to M05).

Owns when a root is taken, replaced and given up. Must never delete the root that the present link rests on, nor the
last one of a profile that needs it, and never touch a certificate of the charge point itself (S-193).

Implements: S-141 to S-143, S-191 to S-197.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from ocpphub import _native
from ocpphub.core.certificates import CENTRAL, Certificates, Root
from ocpphub.core.configuration import Configuration
from ocpphub.core.credentials import EVENT, Credentials
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant
from ocpphub.core.messages import (
    DeleteCertificateRequest,
    GetInstalledCertificateIdsRequest,
    InstallCertificateRequest,
)
from ocpphub.core.vocabulary import (
    CertificateStatusEnumType,
    DeleteCertificateStatusEnumType,
    GetInstalledCertificateStatusEnumType,
)
from ocpphub.core.x509 import X509, Certificate, CertificateError, HashAlgorithm

log = logging.getLogger("ocpphub.core")


class RootCertificates:
    """Handlers of the three actions."""

    def __init__(
        self,
        x509: X509,
        certificates: Certificates,
        credentials: Credentials,
        configuration: Configuration,
        utc_ms: Callable[[Instant], int],
        is_full: Callable[[], bool],
    ) -> None:
        self._x509, self._certificates, self._credentials = x509, certificates, credentials
        self._configuration, self._utc_ms, self._is_full = configuration, utc_ms, is_full

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler."""
        return {
            "InstallCertificate": self.install,
            "DeleteCertificate": self.delete,
            "GetInstalledCertificateIds": self.installed_ids,
        }

    # InstallCertificate

    def install(self, call: _native.Call, now: Instant) -> Answer:
        """White paper M05. Effects: ``Store``, the answer, the event; one that is there already is Accepted again."""
        request = cast("InstallCertificateRequest", call.payload())
        kind = request["certificateType"]
        try:
            certificate = self._checked(request["certificate"], self._utc_ms(now))
        except CertificateError as error:
            log.warning("InstallCertificate is rejected: %s", error)
            return Answer({"status": CertificateStatusEnumType.REJECTED})
        installed = self._certificates.installed()
        for root in installed:
            if (root.type, root.certificate.fingerprint) == (kind, certificate.fingerprint):
                self._certificates.adopt(root)
                return Answer({"status": CertificateStatusEnumType.ACCEPTED})
        if len(installed) >= self._configuration.integer("CertificateStoreMaxLength"):
            log.warning("InstallCertificate is rejected: there are %d certificates", len(installed))
            return Answer({"status": CertificateStatusEnumType.REJECTED})
        replaced = [each for each in installed if each.type == kind == CENTRAL and self._only_one]
        if replaced and not any(self._x509.is_signed_by(certificate, each.certificate) for each in replaced):
            log.warning("InstallCertificate is rejected: the present root has not signed it")
            return Answer({"status": CertificateStatusEnumType.REJECTED})
        if self._is_full():
            return Answer({"status": CertificateStatusEnumType.FAILED})
        self._certificates.put_root(kind, certificate, [each for each in replaced if not each.is_fallback])
        return Answer({"status": CertificateStatusEnumType.ACCEPTED}, self._told(f"{kind} installed"))

    @property
    def _only_one(self) -> bool:
        """S-197: there is one root of the CSMS, and it must have signed the next."""
        return self._configuration.text("AdditionalRootCertificateCheck") == "true"

    def _checked(self, text: str, at_ms: int) -> Certificate:
        found = self._x509.read(text)
        if len(found) != 1:
            raise CertificateError("more than one certificate")
        self._x509.check_root(found[0], at_ms)
        return found[0]

    # DeleteCertificate

    def delete(self, call: _native.Call, now: Instant) -> Answer:
        """White paper M04; a root of both types goes from both, or from none. Effects: ``Discard``, then the event."""
        data = cast("DeleteCertificateRequest", call.payload())["certificateHashData"]
        algorithm = cast("HashAlgorithm", data["hashAlgorithm"])
        wanted = _comparable(data)
        found = [
            root for root in self._certificates.installed() if _comparable(self._hashed(root, algorithm)) == wanted
        ]
        if not found:
            return Answer({"status": DeleteCertificateStatusEnumType.NOT_FOUND})
        needed = [root for root in found if root.type == CENTRAL]
        if any(self._credentials.needs_root(root.certificate.fingerprint) for root in needed):
            log.warning("DeleteCertificate fails: the certificate is in use")
            return Answer({"status": DeleteCertificateStatusEnumType.FAILED})
        for root in found:
            self._certificates.remove_root(root)
        return Answer({"status": DeleteCertificateStatusEnumType.ACCEPTED}, self._told(f"{found[0].type} deleted"))

    # GetInstalledCertificateIds

    def installed_ids(self, call: _native.Call, now: Instant) -> Answer:
        """White paper M03: hashed with SHA-256."""
        kind = cast("GetInstalledCertificateIdsRequest", call.payload())["certificateType"]
        found = [self._hashed(root, "SHA256") for root in self._certificates.installed() if root.type == kind]
        if not found:
            return Answer({"status": GetInstalledCertificateStatusEnumType.NOT_FOUND})
        return Answer({"status": GetInstalledCertificateStatusEnumType.ACCEPTED, "certificateHashData": found})

    def _hashed(self, root: Root, algorithm: HashAlgorithm) -> dict[str, str]:
        data = self._x509.hash_data(root.certificate, root.issuer, algorithm)
        return {
            "hashAlgorithm": data.algorithm,
            "issuerNameHash": data.issuer_name_hash,
            "issuerKeyHash": data.issuer_key_hash,
            "serialNumber": data.serial,
        }

    def _told(self, what: str) -> Callable[[Instant], None]:
        return lambda now: self._credentials.event(EVENT, what, now)


def _comparable(data: Mapping[str, str]) -> tuple[Any, ...]:
    """S-195: hex in either case, serial numbers with or without leading zeros."""
    serial = data["serialNumber"].lower().lstrip("0")
    return data["hashAlgorithm"], data["issuerNameHash"].lower(), data["issuerKeyHash"].lower(), serial
