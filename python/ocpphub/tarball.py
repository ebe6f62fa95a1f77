"""A tar.gz of records, texts and files, never larger than it may be.

Owns the names and attributes in it, which files go in, and that the oldest records are left out when there is no room.
Must never follow a link, take anything but a regular file, keep a name that could lead out of where somebody unpacks
it, or hold more than a piece in memory.

Implements: CORE-GD-01; reliability.md T35 (names, links, quota).
"""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Final, cast

from ocpphub.abortable import Abort

MAX_FILES: Final = 1_000
_MAX_NAME: Final = 100
_FEWEST_BYTES: Final = 256
_LEVEL: Final = 6
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]|^[.-]+")
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class _FullError(Exception):
    """There is no room for more."""


@dataclass(frozen=True, slots=True)
class Content:
    """What goes in: ``size`` bytes of lines, oldest first, under ``name``; texts by name; the files of a directory."""

    name: str
    records: IO[bytes]
    size: int
    texts: Mapping[str, bytes]
    directory: str | None


def write(content: Content, file: IO[bytes], limit: int, abort: Abort) -> bool:
    """Write the archive to an empty file; false when not even a part of the records finds room.

    Raises ``OSError``, and :class:`~ocpphub.abortable.Aborted`.
    """
    if _fits(content, content.size, file, limit, abort):
        return True
    if not _fits(content, 0, file, limit, abort):
        return False
    kept = content.size // 2
    while kept >= _FEWEST_BYTES:
        if _fits(content, kept, file, limit, abort):
            return True
        kept //= 2
    return False


def safe_name(text: str) -> str:
    """A name of letters, digits, dots, dashes and underscores that begins with neither dot nor dash."""
    return _UNSAFE.sub("_", text)[:_MAX_NAME] or "_"


class _Limited(io.RawIOBase):
    """Counts what is written, and refuses what is too much."""

    def __init__(self, file: IO[bytes], limit: int, abort: Abort) -> None:
        self._file, self._left, self._abort = file, limit, abort

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._abort.check()
        self._left -= len(data)
        if self._left < 0:
            raise _FullError
        return self._file.write(data)


class _Padded:
    """A file that ends in zeros where it has become shorter since its size was taken, as a log in use may."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size).ljust(size, b"\0")


def _fits(content: Content, kept: int, file: IO[bytes], limit: int, abort: Abort) -> bool:
    """Write it with the last ``kept`` bytes of the records, whole lines of them; whether there was room."""
    file.seek(0)
    file.truncate()
    limited = cast("IO[bytes]", _Limited(file, limit, abort))
    try:
        with tarfile.open(mode="w:gz", fileobj=limited, compresslevel=_LEVEL) as tar:
            records = content.records
            records.seek(content.size - kept)
            if kept < content.size:
                records.readline()
            _add(tar, content.name, content.size - records.tell(), time.time(), records)
            for name, text in content.texts.items():
                _add(tar, name, len(text), time.time(), io.BytesIO(text))
            if content.directory is not None and os.path.isdir(content.directory):
                _add_files(tar, content.directory)
    except _FullError:
        return False
    file.flush()
    return True


def _add(tar: tarfile.TarFile, name: str, size: int, at_s: float, file: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, int(at_s), 0o600
    tar.addfile(entry, file)


def _add_files(tar: tarfile.TarFile, directory: str) -> None:
    names: set[str] = set()
    for name, descriptor in _files(directory):
        with open(descriptor, "rb") as file:
            if len(names) == MAX_FILES:
                return
            found = os.fstat(descriptor)
            unique = name
            while unique in names:
                unique = f"{len(names)}_{name}"
            names.add(unique)
            _add(tar, f"files/{unique}", found.st_size, found.st_mtime, cast("IO[bytes]", _Padded(file)))


def _files(directory: str) -> Iterator[tuple[str, int]]:
    """Name and descriptor of each regular file, those of directories below among them."""
    for folder, _, names, at in os.fwalk(directory, follow_symlinks=False):
        for name in sorted(names):
            with suppress(OSError):  # a link, or gone meanwhile
                descriptor = os.open(name, _OPEN, dir_fd=at)
                found = os.fstat(descriptor)
                # A second name of a file may be that of one elsewhere.
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                    below = os.path.relpath(os.path.join(folder, name), directory)
                    yield "_".join(map(safe_name, below.split(os.sep))), descriptor
                else:
                    os.close(descriptor)
