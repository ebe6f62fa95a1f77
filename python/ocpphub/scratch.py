"""The private directory for files under way: firmware that was downloaded, archives that are to be uploaded.

Owns ``<state_directory>/transfers``: its mode, the names in it, and that nothing in it outlives the process. Must never
use a name that somebody else has chosen, follow a link, or reach anything by a path: everything goes through the
descriptor of the directory.

Implements: reliability.md T28, T35.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import weakref
from pathlib import Path
from typing import Final

from ocpphub.errors import LocalError

NAME: Final = "transfers"
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """Files that nobody else may read, under names that nobody can guess."""

    def __init__(self, directory: Path) -> None:
        """Make the directory, mode 0700, and remove what an earlier process has left in it.

        Raises :class:`LocalError` when it is no directory of this user alone, ``OSError`` when it cannot be made.
        """
        self.directory = directory
        with contextlib.suppress(FileExistsError):
            directory.mkdir(0o700)
        try:
            self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _not_private(directory, error.strerror or str(error)) from None
        found = os.fstat(self._descriptor)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            os.close(self._descriptor)
            raise _not_private(directory, f"its mode is {stat.S_IMODE(found.st_mode):04o}, its owner {found.st_uid}")
        self._release = weakref.finalize(self, os.close, self._descriptor)
        for name in os.listdir(self._descriptor):
            self._remove(name)

    def create(self) -> tuple[int, str]:
        """A new empty file, mode 0600: its descriptor, for reading and writing, and its path. Raises ``OSError``."""
        name = secrets.token_hex(16)
        return os.open(name, _CREATE, 0o600, dir_fd=self._descriptor), str(self.directory / name)

    def open(self, path: str) -> int:
        """A descriptor for reading one of our files. Raises ``OSError`` for whatever is none, links among it."""
        descriptor = os.open(self._name(path), _READ, dir_fd=self._descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(path)
        return descriptor

    def discard(self, path: str) -> None:
        """Remove one of our files; one that is gone is no error. Raises ``OSError`` for a path that is none of ours."""
        self._remove(self._name(path))

    def close(self) -> None:
        """Let go of the directory; whoever forgets it need not call this."""
        self._release()

    def _name(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        if folder != str(self.directory) or name in ("", ".", "..") or "\0" in name:
            raise FileNotFoundError("not a file of the directory for transfers")
        return name

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            try:
                os.unlink(name, dir_fd=self._descriptor)
            except IsADirectoryError:
                shutil.rmtree(name, dir_fd=self._descriptor)


def _not_private(directory: Path, why: str) -> LocalError:
    return LocalError(
        "invalid_state",
        f"{directory} is no private directory: {why}",
        hint=f"a directory of this user, mode 0700: chmod 0700 {directory}",
    )
