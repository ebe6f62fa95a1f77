"""A file that only grows, moved aside when it is full: NAME, NAME.1 before it, and so on, the oldest given up.

Owns modes, rotation and that data are added whole or not at all. Must never follow a symbolic link, nor keep a
descriptor open: whoever removes the file has it made anew by the next line.

Implements: reliability.md 3.5 (ceilings of logs), T28, T37.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from ocpphub.store.directory import sync

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class RotatedFile:
    """``files`` files of at most ``file_bytes`` each, mode 0600, in a directory 0700. One thread writes."""

    def __init__(self, path: Path, file_bytes: int, files: int) -> None:
        self.path, self._file_bytes, self._files = path, file_bytes, files

    def has_room(self, more: int) -> bool:
        """Whether so many bytes fit into the file; an empty one takes any. Raises ``OSError``."""
        size = self.size()
        return size == 0 or size + more <= self._file_bytes

    def size(self) -> int:
        """Bytes of the file that is written to; 0 when it is not there. Raises ``OSError``."""
        try:
            return os.lstat(self.path).st_size
        except FileNotFoundError:
            return 0

    def append(self, data: bytes, *, is_durable: bool) -> None:
        """Add data, on the disk when this returns if ``is_durable``. Raises ``OSError``, with nothing added."""
        with suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700)
        is_new = not os.path.lexists(self.path)
        descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
                if is_durable:
                    os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if is_new and is_durable:
            sync(self.path.parent)

    def cut(self, size: int) -> None:
        """Give up everything behind these bytes. Raises ``OSError``."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rotate(self) -> None:
        """Move the file aside; the oldest one is gone. Raises ``OSError``."""
        for number in range(self._files - 1, 0, -1):
            with suppress(FileNotFoundError):
                self.name(number - 1).replace(self.name(number))

    def name(self, number: int) -> Path:
        """The file of this age; 0 is the one that is written to."""
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def paths(self) -> list[Path]:
        """The files that are there, oldest first."""
        names = [self.name(number) for number in range(self._files - 1, -1, -1)]
        return [name for name in names if name.is_file() and not name.is_symlink()]

    @property
    def is_full(self) -> bool:
        """Whether the oldest place is taken, so that older files may have been given up."""
        return self.name(self._files - 1).exists()
