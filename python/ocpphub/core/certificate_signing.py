"""SignCertificate and CertificateSigned: how a charge point gets its own certificate (white paper A02, A03).

Owns the request under way and its key, when a certificate is renewed, and when what the CSMS sends is taken. Must never
send a key anywhere, nor ask a second time because no certificate came (S-176).

A request is one row from before it leaves until its certificate is there: a CSMS may take days to sign. After a restart
nothing blocks another one (X-49), but a renewal that was accepted is not asked for again.

Implements: S-171 to S-184.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from orjson import dumps

from ocpphub import _native
from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.certificates import CENTRAL, MONTH_MS, OWN, TABLE, Certificates, Own
from ocpphub.core.configuration import Configuration
from ocpphub.core.credentials import EVENT, Credentials
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.inbound import Answer
from ocpphub.core.instant import Instant
from ocpphub.core.messages import CertificateSignedRequest
from ocpphub.core.outbox import Outcome, OwnCall, PromptQueue
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import CertificateSignedStatusEnumType, GenericStatusEnumType
from ocpphub.core.x509 import X509, Certificate, CertificateError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings

log = logging.getLogger("ocpphub.core")

TIMER: Final = ("trust", "certificates")
ROW: Final = "request"
REFUSED: Final = "InvalidChargePointCertificate"
EXPIRING: Final = "CertificateExpiring"
DAY_S: Final = 86_400.0
"""The certificates are looked at once a day at least: the clock may have been set."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A key whose certificate the CSMS is to send; ``renews`` is the fingerprint of the one that ends."""

    private_key: str = field(repr=False)
    common_name: str
    organization: str
    renews: str | None = None
    is_accepted: bool = False
    """Whether the CSMS has said that it will sign: one that never left would never come (S-175)."""

    def row(self) -> bytes:
        names = {"common_name": self.common_name, "organization": self.organization, "accepted": self.is_accepted}
        return dumps({"type": ROW, "private_key": self.private_key, "renews": self.renews, **names})


class CertificateSigning:
    """The own certificate of one charge point as it comes and goes."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
        x509: X509,
        certificates: Certificates,
        credentials: Credentials,
        configuration: Configuration,
        prompt: PromptQueue,
        is_online: Callable[[], bool],
    ) -> None:
        self._emit, self._timers, self._clock, self._x509 = emit, timers, clock, x509
        self._certificates, self._credentials, self._configuration = certificates, credentials, configuration
        self._prompt, self._is_online = prompt, is_online
        self._common_name = settings.charge_box_serial_number or settings.serial_number
        self._request: _Request | None = None
        self._is_waiting = False
        """Whether a SignCertificate has not been answered yet."""
        self._renewed: str | None = None
        """The certificate that a renewal was asked for since this process started."""

    def restore(self, rows: Rows) -> None:
        """Take up a request whose certificate has not come yet."""
        names = {"private_key": str, "common_name": str, "organization": str}
        row = rows.object(TABLE, ROW, **names) if ROW in rows.of(TABLE) else None
        if row is not None:
            texts = {name: row[name] for name in names}
            self._request = _Request(**texts, renews=row.get("renews"), is_accepted=row.get("accepted") is True)

    # SignCertificate

    def trigger(self, now: Instant) -> bool:
        """ExtendedTriggerMessage(SignChargePointCertificate): whether a SignCertificate follows the answer.

        Effects: ``Store`` of the new key. False without CpoName or serial number, and while one waits for its answer.
        """
        return self._sign(None, triggered=True)

    def _sign(self, renews: str | None, *, triggered: bool) -> bool:
        organization = self._configuration.text("CpoName")
        if self._is_waiting or not organization or not self._common_name:
            return False
        try:
            made = self._x509.new_request(self._common_name, organization)
        except CertificateError as error:
            log.warning("no certificate can be asked for: %s", error)
            return False
        self._request = _Request(made.private_key, self._common_name, organization, renews)
        self._is_waiting = True
        self._emit(Store(TABLE, ROW, self._request.row()))
        self._prompt.put(OwnCall("SignCertificate", {"csr": made.csr}, self._answered), triggered=triggered)
        return True

    def _answered(self, outcome: Outcome, now: Instant) -> None:
        """S-183, S-184: without Accepted there will be no certificate. Effects: ``Store``, ``Discard`` of the key."""
        self._is_waiting = False
        accepted = GenericStatusEnumType.ACCEPTED
        if outcome.confirmation is not None and outcome.confirmation.payload()["status"] == accepted:
            if self._request is not None:  # its certificate may have come before this answer
                self._request = replace(self._request, is_accepted=True)
                self._emit(Store(TABLE, ROW, self._request.row()))
            return
        how = "Rejected" if outcome.kind == "ok" else outcome.code or outcome.kind
        log.warning("the CSMS does not sign a certificate: %s", how)
        self._renewed = None  # without its key no certificate can come: a renewal is tried again in a day
        self._drop()

    def _drop(self) -> None:
        self._request = None
        self._emit(Discard(TABLE, ROW))

    # CertificateSigned

    def signed(self, call: _native.Call, now: Instant) -> Answer:
        """White paper A02.FR.06 to .09. Effects: ``Store`` and ``Discard``, the answer, the event, ``Disconnect``."""
        text = cast("CertificateSignedRequest", call.payload())["certificateChain"]
        at_ms = self._clock.utc_ms(now)
        try:
            request, chain = self._checked(text, at_ms)
        except CertificateError as error:
            why = str(error)
            log.warning("CertificateSigned is rejected: %s", why)
            rejected = {"status": CertificateSignedStatusEnumType.REJECTED}
            return Answer(rejected, lambda at: self._credentials.event(REFUSED, why, at))
        is_shown = self._certificates.put_own(Own(chain, request.private_key), at_ms)
        self._drop()

        def use(at: Instant) -> None:
            self._credentials.event(EVENT, OWN, at)
            if is_shown:
                self._credentials.use_new_certificate(at)
            self.check(at)

        return Answer({"status": CertificateSignedStatusEnumType.ACCEPTED}, use)

    def _checked(self, text: str, at_ms: int) -> tuple[_Request, Sequence[Certificate]]:
        request = self._request
        if len(text) > self._configuration.integer("CertificateSignedMaxChainSize"):
            raise CertificateError("the chain is longer than CertificateSignedMaxChainSize")
        chain = self._x509.read(text)
        if request is None or not self._x509.holds(chain[0], request.private_key):
            raise CertificateError("the certificate is for a key that no request was made with")
        names = (chain[0].common_name, chain[0].organization)
        if names != (request.common_name, request.organization):
            raise CertificateError("common name or organization differ from those of the request")
        if chain[0].not_after_ms <= at_ms:
            raise CertificateError("the certificate has expired")
        # A02.FR.08: it may begin later, and must be good then.
        begin_ms = max(at_ms, chain[0].not_before_ms)
        self._x509.check_chain(chain, self._certificates.roots(CENTRAL), begin_ms)
        return request, chain

    # time

    def check(self, now: Instant) -> None:
        """Look at every certificate: what begins, ends or has to be renewed. Effects: as each of them has."""
        at_ms = self._clock.utc_ms(now)
        if self._certificates.arrange(at_ms):
            self._credentials.use_new_certificate(now)
        if self._clock.is_trusted:  # what is told or given up is so for ever
            for kind, certificate in self._certificates.expiring(at_ms):
                text = f"{kind} {certificate.subject} ends {utc_text(certificate.not_after_ms)}"
                self._credentials.event(EXPIRING, text, now)
            self._certificates.prune(at_ms)
        self._renew(at_ms)
        self._arm(at_ms, now)

    def _renew(self, at_ms: int) -> None:
        """S-175: in time before the one that is shown ends, and once for each."""
        if not self._certificates.own or not self._is_online():
            return
        shown = self._certificates.own[0].certificate
        request = self._request
        asked = (self._renewed, request.renews if request is not None and request.is_accepted else None)
        is_due = renewal_ms(shown) <= at_ms and shown.fingerprint not in asked
        if is_due and self._sign(shown.fingerprint, triggered=False):
            self._renewed = shown.fingerprint

    def _arm(self, at_ms: int, now: Instant) -> None:
        moments = [*self._certificates.moments(at_ms)]
        moments += [renewal_ms(own.certificate) for own in self._certificates.own[:1]]
        later = [each for each in moments if each > at_ms]
        if moments:
            wait_s = (min(later) - at_ms) / 1000 if later else DAY_S
            self._timers.set(TIMER, now.monotonic_s + min(max(wait_s, 1.0), DAY_S))


def renewal_ms(certificate: Certificate) -> int:
    """When a certificate is to be renewed: a month before its end.

    DIFFERENCE: one of less than three months when two thirds of its time are over, or each would be renewed at once.
    """
    lifetime_ms = certificate.not_after_ms - certificate.not_before_ms
    return certificate.not_after_ms - min(MONTH_MS, lifetime_ms // 3)
