"""What GetLog and GetDiagnostics upload: one tar.gz of a log, and of what else tells how a charge point is.

Owns which records, texts and files go in, and the directories where files are collected. Must never put in a secret, or
the records and settings of another charge point.

    archive.look  log_type, since_ms?, until_ms?                     name, directory?; why: nothing
    archive.make  name, log_type, since_ms?, until_ms?, directory?   path, bytes; why: nothing, failed, too_large

``directory`` is one that ``archive.look`` has made for files of controllers; it is gone after ``archive.make``. The
program of ``[diagnostics] hook`` gets ``{"method": "diagnostics.collect", "charge_point", "directory", "start"?,
"stop"?}`` instead, and puts its files there. What is collected is not masked: that is up to whoever collects it.

Implements: S-221, S-222; CORE-GD-01, CORE-GD-02, CORE-GD-05; reliability.md T30, T34, T35.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import os
import platform
import re
import secrets
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ocpphub import log_file, tarball
from ocpphub.abortable import Abort, in_thread
from ocpphub.log import MASK, mask, mask_tag, utc_text

if TYPE_CHECKING:
    from ocpphub.hooks import Hook
    from ocpphub.scratch import Scratch
    from ocpphub.security_log import SecurityLog
    from ocpphub.work import Doer

logger = logging.getLogger("ocpphub.daemon")

SECURITY: Final = "SecurityLog"
COLLECT_S: Final = 300.0
"""How long a program may collect."""
MAX_DIRECTORIES: Final = 4
"""Of one charge point that wait for files of controllers; the oldest is given up."""

_QUERY: Final = re.compile(r"(://[^\s?]*+)\?\S*+")
"""Of a URL: it may hold a token."""


class Archives:
    """The two doers of a process."""

    def __init__(
        self,
        scratch: Scratch,
        state_directory: Path,
        source: Path,
        security: SecurityLog | None,
        hook: Hook | None,
        max_bytes: int,
    ) -> None:
        """``source`` is ``hub.toml``. A process that keeps no log file (``log_file.py``) has no diagnostics."""
        self._scratch, self._state, self._source = scratch, state_directory, source
        self._security, self._hook, self._max_bytes = security, hook, max_bytes
        self._directories: dict[str, list[str]] = {}

    def doers(self) -> dict[str, Doer]:
        """The methods for :class:`ocpphub.work.Workshop`."""
        return {"archive.look": self.look, "archive.make": self.make}

    async def look(self, identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Whether there is a record in the window, and what an archive of it is called."""
        if not await in_thread(lambda abort: any(True for _ in self._records(identity, params, abort))):
            return _refusal("nothing", "there is no record in this window")
        is_security = params["log_type"] == SECURITY
        moment = utc_text(time.time_ns() // 1_000_000)
        about = "security-log" if is_security else "diagnostics"
        name = f"{about}-{tarball.safe_name(identity)}-{tarball.safe_name(moment)}.tar.gz"
        result: dict[str, Any] = {"ok": True, "name": name}
        if not is_security and self._hook is None:
            with suppress(OSError):
                result["directory"] = await self._new_directory(identity)
        return result

    async def make(self, identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Make the archive; whoever gets its path discards it."""
        made: list[str] = []
        try:
            return await self._made(identity, params, made)
        except asyncio.CancelledError:  # perhaps the archive was just ready
            for path in made:
                await asyncio.to_thread(self._scratch.discard, path)
            raise

    async def _made(self, identity: str, params: Mapping[str, Any], made: list[str]) -> dict[str, Any]:
        """The result; ``made`` gets the path of the archive as soon as there is one."""
        directory = self._take(identity, params.get("directory"))
        try:
            if params["log_type"] != SECURITY and self._hook is not None:
                directory = await self._new_directory(identity)
                await self._collect(self._hook, identity, directory, params)
            return await in_thread(lambda abort: self._make(identity, params, directory, abort, made))
        except OSError as error:
            return _refusal("failed", f"the archive cannot be made: {error.strerror or error}")
        finally:
            if directory is not None:
                self._take(identity, directory)
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _collect(self, hook: Hook, identity: str, directory: str, params: Mapping[str, Any]) -> None:
        window = {"start": params.get("since_ms"), "stop": params.get("until_ms")}
        times = {name: utc_text(at) for name, at in window.items() if at is not None}
        request = {"method": "diagnostics.collect", "charge_point": identity, "directory": directory, **times}
        outcome = await hook.run(request)
        if not outcome.is_good:
            logger.warning("%s: the diagnostics hold less: %s", identity, outcome.text)

    async def _new_directory(self, identity: str) -> str:
        path = str(self._scratch.directory / secrets.token_hex(16))
        os.mkdir(path, 0o700)
        mine = self._directories.setdefault(identity, [])
        mine.append(path)
        while len(mine) > MAX_DIRECTORIES:
            await asyncio.to_thread(shutil.rmtree, mine.pop(0), ignore_errors=True)
        return path

    def _take(self, identity: str, directory: str | None) -> str | None:
        """The directory if it is one that was made for this charge point, and is not taken yet."""
        mine = self._directories.get(identity, [])
        if directory is None or directory not in mine:
            return None
        mine.remove(directory)
        return directory

    def _records(self, identity: str, params: Mapping[str, Any], abort: Abort) -> Iterator[bytes]:
        since_ms, until_ms = params.get("since_ms"), params.get("until_ms")
        found: Iterator[bytes] = iter(())
        if params["log_type"] != SECURITY:
            log_file.flush()
            found = log_file.records(self._state, identity, since_ms, until_ms)
        elif self._security is not None:
            self._security.flush()
            found = self._security.lines(identity, since_ms, until_ms)
        for line in found:
            abort.check()
            yield line

    def _make(
        self, identity: str, params: Mapping[str, Any], directory: str | None, abort: Abort, paths: list[str]
    ) -> dict[str, Any]:
        is_security = params["log_type"] == SECURITY
        texts = {} if is_security else {"versions.json": _versions(), "configuration.json": self._settings(identity)}
        with tempfile.TemporaryFile(dir=self._scratch.directory) as records:
            for line in self._records(identity, params, abort):
                records.write(line)
            if not (size := records.tell()):
                return _refusal("nothing", "there is no record in this window")
            name = "security.jsonl" if is_security else "ocpphub.log"
            content = tarball.Content(name, records, size, texts, directory)
            descriptor, path = self._scratch.create()
            paths.append(path)
            made = 0
            try:
                with open(descriptor, "wb") as file:
                    if tarball.write(content, file, self._max_bytes, abort):
                        made = file.tell()
            finally:
                if not made:
                    self._scratch.discard(path)
        if not made:
            return _refusal("too_large", f"the archive would be larger than {self._max_bytes} bytes")
        return {"ok": True, "path": path, "bytes": made}

    def _settings(self, identity: str) -> bytes:
        """``hub.toml`` as JSON, without secrets and without what is about other charge points."""
        try:
            read = tomllib.loads(self._source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            read = {"error": str(error)}
        points = read.get("charge_point", [])
        if isinstance(points, list):
            read["charge_point"] = [row for row in points if isinstance(row, dict) and row.get("identity") == identity]
        return mask(json.dumps(_shown(read, identity), indent=2, default=str)).encode()


def _shown(value: Any, identity: str, key: str = "") -> Any:
    """A value of ``hub.toml`` as an archive shows it."""
    if isinstance(value, dict):
        return {name: _shown(inner, identity, name) for name, inner in value.items()}
    if key == "hook" and isinstance(value, list):
        return value[:1]  # what the program is told may be a secret
    if isinstance(value, list):
        mine = [each for each in value if key != "members" or str(each).startswith(f"{identity}:")]
        return [_shown(each, identity) for each in mine]
    if key.endswith("id_tag") and isinstance(value, str):
        return mask_tag(value)
    return _QUERY.sub(rf"\1?{MASK}", value) if isinstance(value, str) else value


def _versions() -> bytes:
    installed = {str(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()}
    about = {"python": platform.python_version(), "system": platform.platform(), "packages": installed}
    return json.dumps(about, indent=2, sort_keys=True).encode()


def _refusal(why: str, text: str) -> dict[str, Any]:
    return {"ok": False, "why": why, "text": text}
