"""Credentials and certificates of one charge point: how their parts are made, and how inputs reach them.

Owns that wiring alone, for ``parts.py``, and who hears of a moment: a start, a link, a clock that was set. Must hold no
rule of OCPP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocpphub import _native
from ocpphub.core.certificate_signing import CertificateSigning
from ocpphub.core.certificates import Certificates, Provisioned
from ocpphub.core.credentials import EVENT, Credentials
from ocpphub.core.extended_trigger import ExtendedTrigger
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant
from ocpphub.core.root_certificates import RootCertificates
from ocpphub.core.rows import Rows
from ocpphub.core.security import MAX_INFO
from ocpphub.core.x509 import X509

if TYPE_CHECKING:
    from ocpphub.core.parts import Parts


class Trust:
    """The parts of security; made before whoever asks for the profile in force."""

    def __init__(self, parts: Parts, x509: X509 | None, provisioned: Provisioned | None) -> None:
        emit, timers, configuration = parts.emit, parts.timers, parts.configuration
        self._parts = parts
        self.certificates = Certificates(emit, x509, provisioned)
        self.credentials = Credentials(parts.settings, emit, timers, configuration, self.certificates, parts.clock)
        self.credentials.event = self._event
        self.extended_trigger = ExtendedTrigger(self._trigger_plain)
        self.signing: CertificateSigning | None = None
        self.root_certificates: RootCertificates | None = None
        if x509 is not None:
            self.signing = CertificateSigning(
                *(parts.settings, emit, timers, parts.clock, x509),
                *(self.certificates, self.credentials, configuration, parts.prompt, lambda: parts.is_online),
            )
            self.extended_trigger.sign = self.signing.trigger
            self.root_certificates = RootCertificates(
                *(x509, self.certificates, self.credentials, configuration),
                *(parts.clock.utc_ms, lambda: parts.state.is_full),
            )

    def _event(self, kind: str, info: str, now: Instant) -> None:
        self._parts.security.internal(kind, info[:MAX_INFO], now)

    def _trigger_plain(self, call: _native.Call, now: Instant) -> Answer:
        return self._parts.operations.trigger_message(call, now)

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler; those of certificates only with X.509."""
        built: dict[str, Handler] = {"ExtendedTriggerMessage": self.extended_trigger.handle}
        if self.signing is not None and self.root_certificates is not None:
            built |= {"CertificateSigned": self.signing.signed, **self.root_certificates.handlers()}
        return built

    def restore(self, rows: Rows, now: Instant) -> None:
        """Take up the rows of an earlier process. Raises :class:`LocalError` for files that cannot be used."""
        self.certificates.restore(rows, self._parts.clock.utc_ms(now))
        if self.signing is not None:
            self.signing.restore(rows)

    def start(self, now: Instant) -> None:
        """The process started. Effects: what the files changed and its event, then what is due."""
        if self.certificates.start():
            self._event(EVENT, "certificates in the files of the configuration", now)
        self.credentials.start(now)
        self.check(now)

    def check(self, now: Instant) -> None:
        """A link, an acceptance, a clock: certificates may begin, end or have to be renewed."""
        if self.signing is not None:
            self.signing.check(now)

    def handle_timer(self, part: str, now: Instant) -> None:
        """A timer ``("trust", part)`` is due."""
        if part == "profile":
            self.credentials.handle_timer(now)
        elif part == "proof":
            self.credentials.proved(now)
        else:
            self.check(now)

    def described(self) -> list[dict[str, Any]]:
        """The member ``certificates`` of ``charge_point.get``."""
        return self.certificates.described(self.credentials.in_use)
