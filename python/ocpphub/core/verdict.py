"""What is known of an id tag: the IdTagInfo of the CSMS as the core keeps it (OCPP 1.6 section 7.27).

Owns its meaning over time: an Accepted tag whose expiryDate has passed is Expired. Must never decide whether a tag may
charge: that is ``authorization.py``.

Implements: CORE-GEN-08, CORE-AUTH-12, CORE-LL-16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ocpphub.core.boot import parse_utc_ms
from ocpphub.core.vocabulary import AuthorizationStatus


def folded(id_tag: str) -> str:
    """The form in which id tags are compared: CiStrings know no case (OCPP 1.6 section 2.2)."""
    return id_tag.lower()


def expiry_ms(expiry_date: str) -> int | None:
    """A ``dateTime`` as milliseconds since 1970; ``None`` for the few legal ones that no calendar here knows."""
    return parse_utc_ms(expiry_date.upper())


@dataclass(frozen=True, slots=True)
class Verdict:
    """``status`` is an AuthorizationStatus; ``expiry_date`` the text of the CSMS."""

    status: str
    parent_id_tag: str | None = None
    expiry_date: str | None = None

    @classmethod
    def of(cls, id_tag_info: Mapping[str, Any]) -> Verdict:
        """The verdict that an IdTagInfo carries."""
        return cls(id_tag_info["status"], id_tag_info.get("parentIdTag"), id_tag_info.get("expiryDate"))

    @property
    def is_accepted(self) -> bool:
        """Whether the status is Accepted."""
        return self.status == AuthorizationStatus.ACCEPTED

    def at(self, utc_ms: int) -> Verdict:
        """This verdict as it stands at a time: Accepted ends with its expiryDate, an unreadable one has passed."""
        if not self.is_accepted or self.expiry_date is None:
            return self
        end_ms = expiry_ms(self.expiry_date)
        if end_ms is not None and utc_ms < end_ms:
            return self
        return replace(self, status=str(AuthorizationStatus.EXPIRED))
