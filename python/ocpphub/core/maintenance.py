"""What firmware updates and uploads of logs have in common: what the shell can do, retries, and the store's table.

Owns how long one waits before trying again and which failures are worth it. Must never know what is transferred.

Implements: CORE-GD-04; OCPP 1.6 errata 3.50; surface.md ``[firmware]`` and ``[diagnostics]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ocpphub.core.boot import parse_utc_ms

TABLE: Final = "request"
"""Requests under way, by ``firmware``, ``log`` and ``diagnostics``: one row says how far each is."""
RETRIES: Final = 3
"""Tries after the first one where the CSMS does not say how many."""
RETRY_INTERVAL_S: Final = 60
MAX_RETRIES: Final = 100
MAX_RETRY_INTERVAL_S: Final = 86_400
_HOPELESS: Final = frozenset(("not_supported", "refused", "bad_message", "too_large"))
"""Why a transfer failed for a reason of our own: it would fail again."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What the settings of a hub say about firmware and diagnostics."""

    unsigned: bool = False
    """UpdateFirmware works, and SignedUpdateFirmware does not (S-241)."""
    has_install_hook: bool = False
    """A program installs firmware, else the controllers are asked."""
    has_collect_hook: bool = False
    """A program collects diagnostics, else the controllers are asked."""


@dataclass(slots=True)
class Retries:
    """How often something may be tried again, and after how long."""

    left: int = RETRIES
    interval_s: int = RETRY_INTERVAL_S

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Retries:
        """Those of a request with ``retries`` and ``retryInterval``, within what is reasonable."""
        left, interval_s = request.get("retries", RETRIES), request.get("retryInterval", RETRY_INTERVAL_S)
        return cls(min(max(left, 0), MAX_RETRIES), min(max(interval_s, 1), MAX_RETRY_INTERVAL_S))

    def take(self, why: str) -> bool:
        """Whether it is tried again after a failure; one try less is left then."""
        if why in _HOPELESS or self.left == 0:
            return False
        self.left -= 1
        return True


def why_of(result: Any, error: Exception | None) -> str | None:
    """Why a piece of work failed, ``None`` if it did not; without a result it is ``failed``."""
    if error is not None or not isinstance(result, dict):
        return "failed"
    if result.get("ok") is True:
        return None
    why = result.get("why")
    return why if isinstance(why, str) else "failed"


def moment(text: str | None) -> int | None:
    """A ``dateTime`` as milliseconds since 1970; ``None`` for none, and for one that cannot be read."""
    return None if text is None else parse_utc_ms(text.upper())
