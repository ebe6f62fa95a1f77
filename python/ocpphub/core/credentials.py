"""As whom and how the next attempt to connect goes (OCPP-J 1.6 section 6.2, security white paper A00, A01, A05).

Owns the profile that is in force, and the choice between what was set last and what was there before it: profile, key,
root of the CSMS and own certificate each stay beside their successor until a link has proved that: one over which the
CSMS has answered or asked something, or that has lasted, since some take the upgrade and judge afterwards. A CSMS that
forgot its own change, or never made it, must not lock the charge point out (D9, reliability.md T15, T29, T32). Must
never hand out a key to anybody but the link.

Two choices that alternate at the same time have periods without a common divisor, so every pair of them has its turn.

Implements: S-105, S-151 to S-157, S-161 to S-168, S-180, S-182, S-194, S-198, S-199.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ocpphub.core.certificates import CENTRAL, Certificates
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Disconnect, Effect
from ocpphub.core.instant import Instant
from ocpphub.core.security_profile import needs_tls, url_for
from ocpphub.core.timers import Timers

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings
    from ocpphub.core.boot import Clock

KEY: Final = "AuthorizationKey"
PROFILE: Final = "SecurityProfile"
EVENT: Final = "ReconfigurationOfSecurityParameters"
TIMER: Final = ("trust", "profile")
PROOF_TIMER: Final = ("trust", "proof")
PROOF_S: Final = 10.0
"""How long a link has to last when the CSMS says nothing."""
REFUSALS_BEFORE_PREVIOUS: Final = 3
"""Attempts with the present key or certificate before one with the previous."""
FAILURES_BEFORE_PREVIOUS: Final = 4
"""Attempts with the profile fallen back to before one with the higher."""
TRIALS: Final = 3
TRIAL_S: Final = 120.0
"""How many attempts, and how long, a profile has to prove itself (S-166)."""


@dataclass(frozen=True, slots=True)
class Access:
    """As whom, where and trusting whom the next attempt to connect goes. Certificates and keys are PEM."""

    profile: int
    url: str
    """The endpoint, without the identity."""
    key: bytes | None = field(default=None, repr=False)
    """The password of HTTP Basic; only with profiles 1 and 2."""
    roots: tuple[str, ...] = ()
    """Whom to trust over TLS, in place of ``ca_file``; without any that file decides."""
    chain: str | None = field(default=None, repr=False)
    """With profile 3: the own certificate first, then its intermediates; without it the files of the settings."""
    private_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What an attempt goes with, and the fingerprints of its certificates."""

    access: Access
    roots: tuple[str, ...]
    is_fallback: bool
    """Whether these are the roots that have been replaced."""
    own: str | None


class Credentials:
    """The profile and keys of one charge point, and how its attempts to connect have ended."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        configuration: Configuration,
        certificates: Certificates,
        clock: Clock,
    ) -> None:
        self._settings, self._emit, self._timers = settings, emit, timers
        self._configuration, self._certificates, self._clock = configuration, certificates, clock
        self.event: Callable[[str, str, Instant], None] = lambda kind, info, now: None
        """Hears of every change as a security event: type and text."""
        self._failures = self._refusals = self._distrusts = 0
        """Attempts in a row that failed: at all, refused by the CSMS, or because its certificate was not trusted.

        Who refuses a certificate does not always say so: while the one that is shown has never worked, every failure
        of profile 3 is a refusal but an outage and distrust, which would put the two choices in step.
        """
        self.failed_attempts = 0
        """All that failed since the core was made; shown by metrics."""
        self._offered: _Attempt | None = None
        """What the attempt under way goes with: time may change the choice meanwhile."""
        self._opened: _Attempt | None = None
        """What the present link has opened with, until that is proved."""
        self._in_use: frozenset[str] = frozenset()
        configuration.may_change[PROFILE] = self._may_raise
        configuration.on_change |= {KEY: self._use_new_key, PROFILE: self._use_new_profile}

    # reads

    @property
    def profile(self) -> int:
        """The security profile in force; one that was just raised counts while it proves itself."""
        return self._configuration.integer(PROFILE)

    @property
    def _other_profile(self) -> int | None:
        """Until a link has opened: the profile before the raised one, or the raised one that was given up."""
        text = self._configuration.previous(PROFILE)
        return None if text is None else int(text)

    @property
    def _is_on_trial(self) -> bool:
        return self._other_profile is not None and self._other_profile < self.profile

    @property
    def _turn_of_previous(self) -> bool:
        # Three attempts with the new key, then one with the one before, and so on.
        return self._refusals % (REFUSALS_BEFORE_PREVIOUS + 1) == REFUSALS_BEFORE_PREVIOUS

    @property
    def in_use(self) -> frozenset[str]:
        """Fingerprints of the certificates that the present link rests on; none without TLS."""
        return self._in_use

    def access(self) -> Access:
        """What the next attempt to connect goes with: the attempt that ends next is the one that asked last."""
        self._offered = self._attempt()
        return self._offered.access

    def _attempt(self) -> _Attempt:
        profile, other = self.profile, self._other_profile
        cycle = FAILURES_BEFORE_PREVIOUS + 1
        if other is not None and other > profile and self._failures % cycle == FAILURES_BEFORE_PREVIOUS:
            profile = other
        is_fallback = self._certificates.has_fallback and self._distrusts % 2 == 1
        names, roots = self._certificates.trusted(fallback=is_fallback)
        own, chain, private_key = None, None, None
        if profile == 3:
            own, chain, private_key = self._certificates.material(previous=self._turn_of_previous)
        key = self.key() if profile in (1, 2) else None
        url = url_for(self._settings.csms_url, profile)
        return _Attempt(Access(profile, url, key, tuple(roots), chain, private_key), tuple(names), is_fallback, own)

    def key(self) -> bytes | None:
        """The key for the next attempt; a read, so that asking twice gives the same."""
        previous = self._configuration.previous(KEY)
        chosen = previous if previous is not None and self._turn_of_previous else self._configuration.text(KEY)
        return None if chosen is None else bytes.fromhex(chosen)

    def needs_root(self, fingerprint: str) -> bool:
        """Whether a root of the CSMS must stay: the present link rests on it, or the stored profile does (S-194)."""
        highest = max(self.profile, self._other_profile or 0)
        is_last = [each.fingerprint for each in self._certificates.roots(CENTRAL)] == [fingerprint]
        return fingerprint in self._in_use or (is_last and needs_tls(highest))

    # the CSMS

    def _may_raise(self, value: str, now: Instant) -> bool:
        """S-161 to S-164: only upwards, and only to what the stored credentials are enough for."""
        wanted, at_ms = int(value), self._clock.utc_ms(now)
        if wanted <= self.profile:
            return False
        if wanted in (1, 2) and (self._configuration.text(KEY) is None or ":" in self._settings.identity):
            return False
        # DIFFERENCE: where hub.toml trusts the authorities of the system, these stand for an installed root.
        if needs_tls(wanted) and not (self._settings.security.use_system_ca or self._certificates.has_root(at_ms)):
            return False
        return wanted != 3 or self._certificates.has_own(at_ms)

    def _use_new_profile(self, now: Instant) -> None:
        """S-165: the answer has left and the profile is stored. Effects: ``Publish`` of the event, ``Disconnect``."""
        self._tell(f"{PROFILE} {self.profile}", now)
        self._failures = 0
        self._timers.set(TIMER, now.monotonic_s + TRIAL_S)
        self._emit(Disconnect(1000, "security profile changed"))

    def _use_new_key(self, now: Instant) -> None:
        """S-154, S-157: the answer has left and the key is stored; profiles 1 and 2 reconnect with it."""
        self.event(EVENT, KEY, now)
        if self.profile in (1, 2):
            self._emit(Disconnect(1000, "authorization key changed"))

    def use_new_certificate(self, now: Instant) -> None:
        """Another own certificate is to be shown (S-180). Effects: ``Disconnect`` with profile 3."""
        self._refusals = 0
        if self.profile == 3:
            self._opened = None  # we end this link ourselves
            self._emit(Disconnect(1000, "certificate changed"))

    def _tell(self, what: str, now: Instant) -> None:
        """The profile in force is another."""
        self._certificates.revision += 1
        self.event(EVENT, what, now)

    # the link

    def start(self, now: Instant) -> None:
        """The process starts: a profile that has not proved itself yet gets its time anew."""
        if self._is_on_trial:
            self._timers.set(TIMER, now.monotonic_s + TRIAL_S)

    def failed(self, security_event: str | None, now: Instant, *, is_outage: bool = False) -> None:
        """An attempt failed, perhaps with an event of the white paper. Effects: those of a profile given up (S-166)."""
        attempt, self._offered = self._offered, None
        self.failed_attempts += 1
        is_distrust = security_event == "InvalidCentralSystemCertificate"
        is_doubtful = attempt is not None and attempt.own is not None and not self._certificates.own[0].has_worked
        is_refusal = security_event == "FailedToAuthenticateAtCentralSystem"
        self._distrusts += is_distrust
        self._count(now, is_refusal=is_refusal or (is_doubtful and not is_outage and not is_distrust))

    def _count(self, now: Instant, *, is_refusal: bool) -> None:
        self._failures += 1
        self._refusals += is_refusal
        if self._is_on_trial and self._failures >= TRIALS:
            self._fall_back(now)

    def handle_timer(self, now: Instant) -> None:
        """The time of a profile on trial is over; without a failure, and with a link, it gets another."""
        if self._is_on_trial and self._failures and self._opened is None:
            self._fall_back(now)
        elif self._is_on_trial:
            self._timers.set(TIMER, now.monotonic_s + TRIAL_S)

    def _fall_back(self, now: Instant) -> None:
        """S-166: the previous profile again, in the same row as the one that failed, which has its turns (D9)."""
        failed = self.profile
        self._configuration.exchange(PROFILE)
        self._timers.cancel(TIMER)
        self._failures = 0
        self._tell(f"{PROFILE} back to {self.profile}: no link opened with {failed}", now)

    def connected(self, now: Instant, root: str | None = None) -> None:
        """A link has opened; ``root`` is the fingerprint of the root that the CSMS proved itself by, if known."""
        self._opened, self._offered = self._offered or self._attempt(), None
        self._timers.set(PROOF_TIMER, now.monotonic_s + PROOF_S)
        self._in_use = frozenset()
        if self._opened.access.url.startswith("wss:"):
            self._in_use = frozenset(self._opened.roots if root is None else (root,))
        if self._opened.own is not None:
            self._in_use |= {self._opened.own}

    def proved(self, now: Instant) -> None:
        """The CSMS has taken what the link opened with: it has answered or asked something, or the link has lasted.

        Effects: ``Store`` and ``Discard`` of what this makes superfluous (S-156, S-167, S-198).
        """
        attempt, self._opened = self._opened, None
        if attempt is None:
            return
        self._timers.cancel(PROOF_TIMER)
        access, configuration = attempt.access, self._configuration
        if access.profile == self._other_profile:
            configuration.exchange(PROFILE)
            self._tell(f"{PROFILE} {self.profile}", now)
        configuration.forget_previous(PROFILE)
        self._timers.cancel(TIMER)
        if access.key is not None and access.key.hex() == (configuration.text(KEY) or "").lower():
            configuration.forget_previous(KEY)
        is_proof = access.url.startswith("wss:") and not attempt.is_fallback
        if is_proof and self._certificates.drop_fallbacks():
            self.event(EVENT, f"{CENTRAL}: the new one has worked", now)
        if attempt.own is not None:
            self._certificates.worked(attempt.own)
        self._failures = self._refusals = self._distrusts = 0

    def disconnected(self, now: Instant, *, is_ours: bool) -> None:
        """The link is gone; one that proved nothing was a refusal, unless ``is_ours`` says that we have closed it."""
        self._in_use = frozenset()
        self._timers.cancel(PROOF_TIMER)
        attempt, self._opened = self._opened, None
        if attempt is not None and not is_ours:
            self._count(now, is_refusal=True)
