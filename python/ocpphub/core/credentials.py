"""Which Basic password the next attempt to connect shows (OCPP-J 1.6 section 6.2, security white paper A01).

Owns the choice between the key that the CSMS set last and the one before it, which stays until the new one has worked:
a CSMS that forgot its own change must not lock the charge point out (S-156, reliability.md T29). Must never hand out a
key to anybody but the link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ocpphub.core.configuration import Configuration

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings

KEY: Final = "AuthorizationKey"
REFUSALS_BEFORE_PREVIOUS: Final = 3


@dataclass(frozen=True, slots=True)
class Access:
    """As whom, where and trusting whom the next attempt to connect goes. Certificates and keys are PEM."""

    profile: int
    url: str
    """The endpoint, without the identity."""
    key: bytes | None = field(default=None, repr=False)
    """The password of HTTP Basic; only with profiles 1 and 2."""
    roots: tuple[str, ...] = ()
    """Whom to trust over TLS, besides what the settings name."""
    chain: str | None = field(default=None, repr=False)
    """With profile 3: the own certificate first, then its intermediates."""
    private_key: str | None = field(default=None, repr=False)


class Credentials:
    """The keys of one charge point and how often the CSMS refused them in a row."""

    def __init__(self, settings: ChargePointSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._refusals = 0

    @property
    def _turn_of_previous(self) -> bool:
        # Three attempts with the new key, then one with the one before, and so on.
        return self._refusals % (REFUSALS_BEFORE_PREVIOUS + 1) == REFUSALS_BEFORE_PREVIOUS

    def access(self) -> Access:
        """What the next attempt to connect goes with; a read, so that asking twice gives the same."""
        profile = self._settings.security.profile
        return Access(profile, self._settings.csms_url, self.key() if profile in (1, 2) else None)

    def key(self) -> bytes | None:
        """The key for the next attempt; a read, so that asking twice gives the same."""
        previous = self._configuration.previous(KEY)
        chosen = previous if previous is not None and self._turn_of_previous else self._configuration.text(KEY)
        return None if chosen is None else bytes.fromhex(chosen)

    def refused(self) -> None:
        """The CSMS answered an attempt with 401 or 403."""
        self._refusals += 1

    def connected(self) -> None:
        """An attempt succeeded. Effects: ``Store`` without the previous key if it was the new one that worked."""
        if not self._turn_of_previous:
            self._configuration.forget_previous(KEY)
        self._refusals = 0
