"""One firmware update: what was asked for, how far it is, and the order of its statuses (white paper L01).

Owns the record that its row keeps, and which status may follow which. Must never decide when a state is entered.

Implements: S-233; CORE-UF-03, CORE-UF-09.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ocpphub.core.maintenance import Retries
from ocpphub.core.vocabulary import FirmwareStatus
from ocpphub.core.vocabulary import FirmwareStatusEnumType as Status

log = logging.getLogger("ocpphub.core")

_RANK: Final[dict[Status | None, int]] = {
    None: 0,
    Status.DOWNLOAD_SCHEDULED: 1,
    Status.DOWNLOADING: 2,
    Status.DOWNLOAD_PAUSED: 2,
    Status.DOWNLOADED: 3,
    Status.SIGNATURE_VERIFIED: 4,
    Status.INSTALL_SCHEDULED: 5,
    Status.INSTALLING: 6,
    Status.INSTALL_REBOOTING: 7,
}
"""The order of the statuses that are not the last one; who begins again after a restart goes back and tells nothing."""
_LAST: Final = 8
_PLAIN: Final = frozenset(map(str, FirmwareStatus))


@dataclass(slots=True)
class Update:
    """One update as its row keeps it. ``request_id`` is ``None`` for an unsigned one; times are UTC in milliseconds."""

    request_id: int | None
    location: str = field(repr=False)
    retrieve_ms: int
    install_ms: int
    retries: Retries
    certificate: str | None = field(default=None, repr=False)
    signature: str | None = field(default=None, repr=False)
    stage: str = "scheduled"
    """``scheduled``, ``downloading``, ``verifying``, ``ready``, ``installing``, ``rebooting``, ``over``."""
    status: str | None = None
    """The last one that was told."""
    plain: str | None = None
    """The last one told that FirmwareStatusNotification knows too."""
    path: str | None = None
    before: str | None = None
    """The version that ran before the installation."""

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end."""
        return self.stage == "over"

    @classmethod
    def of(cls, row: dict[str, Any]) -> Update | None:
        """That of a row, ``None`` for one that is none."""
        try:
            return cls(**{**row, "retries": Retries(**row["retries"])})
        except (KeyError, TypeError):
            log.error("a damaged firmware update is left aside")
            return None

    def enter(self, status: Status) -> bool:
        """Whether this is to be told: not what an unsigned update has no word for, nor what was told before a restart.

        Downloading and DownloadPaused alternate; all others come once.
        """
        if self.request_id is None and status not in _PLAIN:
            return False
        before = cast("Status | None", self.status)
        if status == before or _RANK.get(status, _LAST) < _RANK.get(before, _LAST):
            return False
        self.status = str(status)
        if status in _PLAIN:
            self.plain = str(status)
        return True

    def has_entered(self, status: Status) -> bool:
        """Whether this status of before the end, or a later one, was told."""
        return _RANK.get(cast("Status | None", self.status), _LAST) >= _RANK[status]
