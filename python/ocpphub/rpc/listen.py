"""A Unix socket put into place safely: lock file, stale socket, private name, mode, rename.

Owns the path of the socket from before it exists until it is removed. Must never touch what is not ours: a link, a
plain file, another user's or a living socket at the path is refused and left as it is.

Implements: reliability.md T01, T02, F48; design rpc.md "Access" (mode 0660, created under umask).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import stat
from pathlib import Path
from typing import Final

from ocpphub.errors import LocalError

BACKLOG: Final = 4096
_MAX_PATH_BYTES: Final = 107
_STICKY_AND_OPEN: Final = stat.S_ISVTX | stat.S_IWOTH


class ListeningPath:
    """A bound, listening socket at ``path``; ``close`` removes it, the lock file beside it stays.

    Raises :class:`LocalError` ``invalid_state`` when the path cannot be taken, saying what is in the way.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            _clear(path)
            self.socket = _bind(path)
        except BaseException:
            os.close(self._lock)
            raise
        self._inode = os.lstat(path).st_ino

    def close(self) -> None:
        """Remove the socket if it is still ours, and let another process have the path."""
        try:
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        finally:
            self.socket.close()
            os.close(self._lock)


class InheritedPath:
    """A listening socket that a service manager has made and keeps: ``close`` lets go of it, the path stays."""

    def __init__(self, path: Path, listening: socket.socket) -> None:
        self.path = path
        self.socket = listening
        listening.setblocking(False)

    def close(self) -> None:
        """Let go of our share of it; clients that connect now wait for the next start."""
        self.socket.close()


def _refused(path: Path, what: str, hint: str) -> LocalError:
    return LocalError("invalid_state", f"{path}: {what}", hint=hint)


def _lock(path: Path) -> int:
    try:
        mode = os.stat(path.parent).st_mode
    except OSError as error:
        raise _refused(path, f"no usable directory: {error.strerror}", "make it, mode 0750") from None
    if mode & _STICKY_AND_OPEN == stat.S_IWOTH:
        raise _refused(path, "everybody may replace files in its directory", "chmod o-w the directory")
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _refused(path, f"cannot open {name}: {error.strerror}", "remove what is there") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise _refused(path, "another process serves this socket", "stop it, or choose another path") from None
    return lock


def _clear(path: Path) -> None:
    """Unlink a socket that its process has left behind; only a refused connection proves that it has."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise _refused(path, "something that is no socket is in the way", "move it away")
    if found.st_uid != os.geteuid():
        raise _refused(path, "the socket of another user is in the way", "move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        outcome = probe.connect_ex(os.fspath(path))
    if outcome != errno.ECONNREFUSED:
        raise _refused(path, "another process listens on it", "stop it, or choose another path")
    os.unlink(path)


def _bind(path: Path) -> socket.socket:
    private = path.parent / f".{secrets.token_hex(4)}"
    if max(len(os.fsencode(path)), len(os.fsencode(private))) > _MAX_PATH_BYTES:
        raise _refused(path, "the path is too long", f"at most {_MAX_PATH_BYTES} bytes")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Nobody but us may connect before mode and name are right: bind gives 0600, chmod and rename come after.
        before = os.umask(0o177)
        try:
            listening.bind(os.fspath(private))
        finally:
            os.umask(before)
        listening.listen(BACKLOG)
        os.chmod(private, 0o660)
        os.rename(private, path)
    except BaseException:
        listening.close()
        private.unlink(missing_ok=True)
        raise
    listening.setblocking(False)
    return listening
