"""What other users could read or replace, found before a hub starts.

Owns the look at the files of the state directory, at configured secrets and at the directories of sockets. Must never
change a mode: who is to read what is the operator's decision, and a secret that was open is not safe by being closed.

Implements: reliability.md T01, T28; S-158.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ocpphub.errors import LocalError
from ocpphub.store.directory import CONDITION_NAME, FAILURES_NAME, FILE_NAME, LOCK_NAME, RESERVE_NAME

if TYPE_CHECKING:
    from ocpphub.config import Settings

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_MAX_NAMED: Final = 10
_OURS: Final = (
    *(FILE_NAME, LOCK_NAME, CONDITION_NAME, RESERVE_NAME, FAILURES_NAME),
    *("security", "log", "transfers"),
)
"""What names of the state directory begin with; an operator may keep other things there."""


def require_private(settings: Settings) -> None:
    """Refuse to start while others may open the state directory, a file of ours in it, or a configured secret.

    Raises :class:`LocalError` ``invalid_state`` that names the paths and what to do. What is not there is no mistake.
    """
    state = settings.hub.state_directory
    directory = [state.resolve()] if state.is_dir() else []  # the store says what else is wrong with it
    found = [path for path in (*directory, *_secrets(settings)) if _is_open(path)]
    with suppress(OSError):
        for path in sorted(state.iterdir()):
            found += _open(path) if path.name.startswith(_OURS) else ()
    if found:
        named = ", ".join(str(path) for path in found[:_MAX_NAMED])
        more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
        fixes = "; ".join(f"chmod {_mode(path)} {path}" for path in found[:_MAX_NAMED])
        verb = "is" if len(found) == 1 else "are"
        raise LocalError("invalid_state", f"{named}{more} {verb} open to other users", hint=fixes)


def warnings(settings: Settings) -> Iterator[str]:
    """Directories of sockets where others could put a socket of their own in the place of ours."""
    paths = [settings.hub.socket, *(row.socket for row in settings.charge_points if row.socket is not None)]
    for folder in dict.fromkeys(path.parent for path in paths):
        with suppress(OSError):
            mode = folder.stat().st_mode
            if mode & _OTHERS_WRITE:
                yield f"others may write into {folder}, where a socket is; chmod go-w {folder}, or choose another path"


def _open(path: Path) -> Iterator[Path]:
    """What others may open of a file, or of a directory and everything below it; links are not followed."""
    if _is_open(path):
        yield path
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):
            for below in sorted(path.iterdir()):
                yield from _open(below)


def _is_open(path: Path) -> bool:
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and bool(mode & _OTHERS)
    return False


def _mode(path: Path) -> str:
    return "0700" if path.is_dir() else "0600"


def _secrets(settings: Settings) -> Iterator[Path]:
    for row in settings.charge_points:
        for path in (row.security.authorization_key_file, row.security.client_key_file):
            if path is not None:
                yield path.resolve()
