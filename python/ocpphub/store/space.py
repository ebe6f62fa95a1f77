"""The room on the disk: when it is short, and the reserve that is given up then.

Owns the reserve file and the two thresholds. Must never give the reserve up before it has said that room is short:
new sessions are refused first, so that the reserve is there for stop records and checkpoints of running ones.

    free < low: short, new sessions are refused -> free < low / 4, or a write fails: the reserve is given up
    free >= 2 low (and the reserve, where it has to be made again): no longer short

Implements: reliability.md 3.5 (disk reserve), 4.3.8, F10.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ocpphub.store.directory import RESERVE_NAME

logger = logging.getLogger("ocpphub.store")

RESERVE_BYTES: Final = 64 * 2**20
LOW_BYTES: Final = 32 * 2**20
"""Free bytes below which room is short: more than the log and the copies of a few seconds."""
_RESERVE_SHARE: Final = 8
_LOW_SHARE: Final = 16
"""On a small disk the reserve is an eighth of it, and a sixteenth is short."""


def room(directory: Path) -> tuple[int, int]:
    """Bytes of the file system of ``directory``: all of them, and those that are free for us. Raises ``OSError``."""
    found = os.statvfs(directory)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


class Space:
    """Room and reserve of one state directory; any thread may use it. ``room`` replaces :func:`room` in tests."""

    def __init__(
        self,
        directory: Path,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        low_bytes: int = LOW_BYTES,
        room: Callable[[Path], tuple[int, int]] = room,
    ) -> None:
        self._directory = directory
        self._path = directory / RESERVE_NAME
        self._room = room
        self._lock = threading.Lock()
        total, _ = room(directory)
        self.reserve_bytes = min(reserve_bytes, total // _RESERVE_SHARE)
        self.low_bytes = min(low_bytes, total // _LOW_SHARE)
        self.is_short = False
        """What :meth:`look` found last."""

    @property
    def has_reserve(self) -> bool:
        """Whether the reserve file stands."""
        return self._path.exists()

    def look(self) -> bool:
        """Whether room is short now. Gives the reserve up when it is needed, makes it when there is room for it."""
        with self._lock:
            try:
                _, free = self._room(self._directory)
            except OSError as error:
                logger.warning("%s: its free space is not known: %s", self._directory, error)
                return self.is_short
            wanted = 2 * self.low_bytes + (0 if self.has_reserve else self.reserve_bytes)
            if free < self.low_bytes:
                self._change(True, free)
                if free < self.low_bytes // 4:
                    self._give_up()
            elif free >= wanted:
                if not self.has_reserve:
                    self._make()
                self._change(False, free)
            return self.is_short

    def fits(self, size: int) -> bool:
        """Whether ``size`` more bytes would leave room that is not short."""
        try:
            return self._room(self._directory)[1] >= size + 2 * self.low_bytes
        except OSError:
            return False

    def give_up(self) -> bool:
        """A write has found no room: give the reserve up; whether there was one."""
        with self._lock:
            self._change(True, 0)
            return self._give_up()

    def _change(self, is_short: bool, free: int) -> None:
        if is_short is not self.is_short:
            self.is_short = is_short
            if is_short:
                logger.error("%s: only %d bytes are free: no new sessions", self._directory, free)
            else:
                logger.warning("%s: there is room again", self._directory)

    def _give_up(self) -> bool:
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            logger.error("%s cannot be given up: %s", self._path, error)
            return False
        logger.error("%s is given up", self._path)
        return True

    def _make(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(self.reserve_bytes, 1))
            finally:
                os.close(descriptor)
        except OSError as error:
            logger.warning("%s cannot be made: %s", self._path, error)
            self._path.unlink(missing_ok=True)
