"""A firmware file on its way from the download to the program that installs it: checked, and then that very file.

Owns which content was checked, and the descriptor over which it is handed on. Must never install a file whose content
is not the one that was checked (T36); what was checked is not remembered over a restart, so check again then.

    firmware.verify   path, certificate (PEM), signature (base64)   -> ok; why: invalid_signature
    firmware.install  path, version?                                -> ok, version?, reboot?; why: refused, failed

The program gets ``{"method": "firmware.install", "charge_point", "path", "sha256", "version"?}`` and answers with
``{"version"?, "reboot"?}`` or nothing, or refuses with ``{"accepted": false}``. ``path`` stands for an open descriptor
of the file (``/proc/self/fd/N``), which whoever it starts has to inherit.

Implements: security white paper L01.FR.04, .12 (S-234); reliability.md T34, T36; surface.md ``[firmware] hook``.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ocpphub.abortable import Abort, in_thread

if TYPE_CHECKING:
    from ocpphub.hooks import Hook
    from ocpphub.work import Doer

INSTALL_S: Final = 1_800.0
"""How long a program may take to install."""
MAX_VERSION: Final = 50
_PIECE_BYTES: Final = 1_048_576
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class FirmwareCheck:
    """The two doers of a process. ``verify(digest, certificate, signature)`` judges a SHA-256 (``certificates.py``)."""

    def __init__(self, verify: Callable[[bytes, str, str], bool] | None, hook: Hook | None, *, unsigned: bool) -> None:
        """Without ``verify`` nothing can be checked, without ``hook`` not installed; ``unsigned`` asks for no check."""
        self._verify, self._hook, self._unsigned = verify, hook, unsigned
        self._checked: dict[str, tuple[str, bytes]] = {}

    def doers(self) -> dict[str, Doer]:
        """Those that there are the means for."""
        found: dict[str, Doer] = {}
        if self._verify is not None:
            found["firmware.verify"] = self.verify
        if self._hook is not None:
            found["firmware.install"] = self.install
        return found

    async def verify(self, identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Whether the signature is that of the file; its content is remembered as the one to install."""
        verify = self._verify
        assert verify is not None  # noqa: S101  # else it is no doer
        self._checked.pop(identity, None)
        path: str = params["path"]
        try:
            with _opened(path) as descriptor:
                digest = await in_thread(lambda abort: _digest(descriptor, abort))
        except OSError as error:
            return _refusal("invalid_signature", f"the firmware cannot be read: {error.strerror or error}")
        if not await asyncio.to_thread(verify, digest, params["certificate"], params["signature"]):
            return _refusal("invalid_signature", "the firmware was not signed with this certificate")
        self._checked[identity] = path, digest
        return {"ok": True}

    async def install(self, identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Have the program install the file that was checked."""
        assert self._hook is not None  # noqa: S101  # else it is no doer
        path: str = params["path"]
        checked = self._checked.pop(identity, None)
        if not self._unsigned and (checked is None or checked[0] != path):
            return _refusal("refused", "the firmware was not checked")
        try:
            with _opened(path) as descriptor:
                digest = await in_thread(lambda abort: _digest(descriptor, abort))
                if not self._unsigned and (checked is None or checked[1] != digest):
                    return _refusal("refused", "the firmware is not the one that was checked")
                request = {
                    "method": "firmware.install",
                    "charge_point": identity,
                    "path": f"/proc/self/fd/{descriptor}",
                    "sha256": digest.hex(),
                }
                if "version" in params:
                    request["version"] = params["version"]
                outcome = await self._hook.run(request, [descriptor])
        except OSError as error:
            return _refusal("failed", f"the firmware cannot be read: {error.strerror or error}")
        if not outcome.is_good:
            return _refusal("failed", outcome.text)
        return _result(outcome.answer)


def _result(answer: Mapping[str, Any]) -> dict[str, Any]:
    if answer.get("accepted") is False:
        return _refusal("refused", "the hook does not install it")
    result: dict[str, Any] = {"ok": True, "reboot": answer.get("reboot") is True}
    version = answer.get("version")
    if isinstance(version, str) and 1 <= len(version) <= MAX_VERSION:
        result["version"] = version
    return result


def _refusal(why: str, text: str) -> dict[str, Any]:
    return {"ok": False, "why": why, "text": text}


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A descriptor of a regular file. Raises ``OSError`` for anything else, a link too."""
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(descriptor: int, abort: Abort) -> bytes:
    """SHA-256 of the whole file."""
    digest, offset = hashlib.sha256(), 0
    while piece := os.pread(descriptor, _PIECE_BYTES, offset):
        abort.check()
        digest.update(piece)
        offset += len(piece)
    return digest.digest()
