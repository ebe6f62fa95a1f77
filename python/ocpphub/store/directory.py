"""The state directory: private, locked by one process, and its files written so that a crash leaves old or new.

Owns the names of the files beside the database and what may lie in a directory that others cannot open. Must never
follow a symbolic link, and never leave a file half written under its own name.

Implements: reliability.md T28, 4.3.9, N31; S-158.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from ocpphub.errors import LocalError, UnavailableError

FILE_NAME: Final = "hub.db"
LOCK_NAME: Final = "hub.lock"
COPY_NAME: Final = "hub.db.copy"
"""The last hourly copy of the database."""
DAMAGED_NAME: Final = "hub.db.damaged"
"""Where a database that cannot be used is moved, with the time behind it."""
CONDITION_NAME: Final = "hub.condition"
"""What an operator has to know of the store, as text; whoever has read it deletes the file."""
RESERVE_NAME: Final = "hub.reserve"
FAILURES_NAME: Final = "hub.failures"

_DISK_ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT)


def claim(directory: Path) -> int:
    """The lock of a private directory, as a descriptor; the directory is made with mode 0700 when it is not there.

    Raises :class:`LocalError` ``invalid_state`` for a place that cannot be used, is open to others or is in use, and
    :class:`UnavailableError` for a disk that fails.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        require_private(directory, "0700")
        if not os.access(directory, os.W_OK | os.X_OK):  # or SQLite finds out, and takes it for damage
            raise PermissionError(errno.EACCES, "this user may not write into it", str(directory))
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        # A place that cannot be used is the configuration's mistake; a disk that fails is not.
        if error.errno in _DISK_ERRORS:
            raise UnavailableError("internal", f"state directory {directory}: {error.strerror}") from error
        raise LocalError(
            "invalid_state",
            f"state directory {directory} cannot be used: {_reason(directory, error)}",
            hint="a directory that this user may make or write to",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise LocalError(
            "invalid_state",
            f"state directory {directory} is in use by another process",
            hint="one ocpphub per state directory",
        ) from None
    return lock


def require_private(path: Path, mode: str) -> None:
    """Refuse what others may open; ``mode`` is what to set. Raises :class:`LocalError`. Source: T28, S-158."""
    if path.stat().st_mode & 0o077:
        raise LocalError("invalid_state", f"{path} is open to other users", hint=f"chmod {mode} {path}")


def make_private(path: Path) -> None:
    """Make an empty file with mode 0600 where there is none, whatever the umask. Raises ``OSError``."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def sync(path: Path) -> None:
    """Bring a file or the entries of a directory to the disk. Raises ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_durably(new: Path, path: Path) -> None:
    """Put the finished file ``new`` in the place of ``path``: a crash leaves the one or the other."""
    sync(new)
    new.replace(path)
    sync(path.parent)


def write_durably(path: Path, text: str) -> None:
    """Write a small private text file so that a crash leaves the old text or the new one. Raises ``OSError``."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    make_private(new)
    new.write_text(text, encoding="utf-8")
    replace_durably(new, path)


def _reason(directory: Path, error: OSError) -> str:
    place = error.filename if isinstance(error.filename, str) else str(directory)
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{place} is no directory" if error.errno == errno.EEXIST else f"{place} lies below a plain file"
    return f"{place}: {error.strerror}"
