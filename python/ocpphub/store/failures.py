"""The times of the last failed commits, kept over restarts beside the database.

Owns a file of a fixed size that is written in place, so that a full disk does not keep it from being written. Must
never raise: it is written when the disk has failed already.

Implements: reliability.md 4.3.7 (three failures in 10 minutes: degraded at the next start).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from ocpphub.store.directory import FAILURES_NAME

logger = logging.getLogger("ocpphub.store")

LIMIT: Final = 3
WINDOW_S: Final = 600
_WIDTH: Final = 16


class Failures:
    """The last :data:`LIMIT` failures of the store in ``directory``. Times are seconds since 1970."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FAILURES_NAME
        self._times: list[int] = []
        try:
            if self._path.exists():
                self._times = [int(word) for word in self._path.read_bytes().split()[-LIMIT:]]
            else:
                self._write()  # its block is there before the disk is full
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be read: %s", self._path, error)

    def note(self, at_s: float) -> None:
        """A commit has failed. The disk that failed may refuse this too; then only the log tells."""
        self._times = [*self._times, int(at_s)][-LIMIT:]
        try:
            self._write()
        except OSError as error:
            logger.error("%s cannot be written: %s", self._path, error)

    def is_degraded(self, at_s: float) -> bool:
        """Whether so many commits failed within the last 10 minutes that new sessions must be refused."""
        # A clock that steps must not hide them: what lies as far ahead counts too.
        return sum(abs(at_s - time_s) < WINDOW_S for time_s in self._times) >= LIMIT

    def _write(self) -> None:
        text = b"".join(b"%d\n" % time_s for time_s in self._times)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(descriptor, text.ljust(LIMIT * _WIDTH), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
