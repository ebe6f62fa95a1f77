"""Downloads of firmware and uploads of logs: what the core has done over the network, as doers of the workshop.

Owns which URL may be used, where a download is put, how many transfers run at a time and what is told of them. Each
has a thread, which a cancelled one leaves within a second; libcurl is in ``curl.py``, the judgement of URLs in
``url_policy.py``. Must never touch a file outside the private directory, nor hand on a URL.

    method              parameters                              result
    transfer.download   location, max_bytes?                    path, bytes
    transfer.upload     location, path, name                    bytes
    file.discard        path

``why`` of a failure: ``not_supported`` (the scheme is not enabled), ``refused`` (the policy), ``bad_message`` (an
upload to a URL that is none), ``permission_denied``, ``too_large``, ``failed``.

Implements: reliability.md T33, T35; S-244; CORE-GD-08.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ocpphub import resolver, url_policy
from ocpphub.known_hosts import KnownHosts
from ocpphub.scratch import Scratch
from ocpphub.url_policy import Refusal, Target

if TYPE_CHECKING:
    from ocpphub.curl import Job

MAX_DOWNLOAD: Final = 512 * 2**20
MAX_UPLOAD: Final = 64 * 2**20
MAX_NAME: Final = 255
THREADS: Final = 4
"""Transfers at a time; others wait for their turn. Of one charge point one download and one upload at a time take part,
so that slow servers of one do not stop those of the others."""
RESOLVE_S: Final = 10.0
LEAVE_S: Final = 1.0

Result = dict[str, Any]
Progress = Callable[[str, Mapping[str, Any]], None]
"""``on_progress(identity, {"kind", "bytes", "total"})``, on the loop; ``total`` is ``None`` while it is not known."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What transfers may do, of all charge points of a process."""

    schemes: Mapping[str, Collection[str]]
    """Identity -> the schemes that are enabled."""
    allow_private: bool = False
    hosts: Collection[str] | None = None
    max_upload: int = MAX_UPLOAD
    max_bytes_per_s: int | None = None


class Transfers:
    """The transfers of a process. Use it on the running loop."""

    def __init__(
        self,
        scratch: Scratch,
        policy: Policy,
        known_hosts: KnownHosts,
        *,
        roots: Callable[[str], str] = lambda identity: "",
        on_progress: Progress = lambda identity, value: None,
        resolve: Callable[[str, int], Awaitable[list[Any]]] = resolver.resolve,
        has_room: Callable[[int], bool] = lambda more: True,
    ) -> None:
        """``roots`` of an identity are certificates in PEM that its servers may have, besides those of the system.

        ``has_room(more)`` says, in any thread, whether the disk of the private directory has room for more bytes.
        """
        self._scratch = scratch
        self._policy = policy
        self._known_hosts = known_hosts
        self._roots = roots
        self._on_progress = on_progress
        self._resolve = resolve
        self._has_room = has_room
        self._places = asyncio.Semaphore(THREADS)
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}

    def doers(self) -> dict[str, Callable[[str, Mapping[str, Any]], Awaitable[Result]]]:
        """The methods for :class:`ocpphub.work.Workshop`."""
        return {
            "transfer.download": self.download,
            "transfer.upload": self.upload,
            "file.discard": self.discard,
        }

    async def download(self, identity: str, params: Mapping[str, Any]) -> Result:
        """Fetch a file into the private directory; whoever gets its path discards it."""
        found = await self._target(identity, params["location"])
        if isinstance(found, Refusal):
            return _refused("refused" if found.why == "bad_message" else found.why, found.text)
        limit = min(params.get("max_bytes", MAX_DOWNLOAD), MAX_DOWNLOAD)
        async with self._turn(identity, "download"), self._places:
            if not self._has_room(0):
                return _refused("failed", "there is no room for a download on the disk")
            try:
                descriptor, path = self._scratch.create()
            except OSError as error:
                return _refused("failed", f"no file for the download: {error.strerror}")
            result: Result = {}
            try:
                result = await self._run(identity, found, descriptor, limit, upload=False)
            finally:
                os.close(descriptor)
                if not result.get("ok"):
                    await asyncio.to_thread(self._scratch.discard, path)
        return {**result, "path": path} if result["ok"] else result

    async def upload(self, identity: str, params: Mapping[str, Any]) -> Result:
        """Store one of the private files at a server, under ``name`` where the location ends in a slash."""
        found = await self._target(identity, params["location"], params["name"])
        if isinstance(found, Refusal):
            return _refused(found.why, found.text)
        async with self._turn(identity, "upload"), self._places:
            try:
                descriptor = self._scratch.open(params["path"])
            except OSError as error:
                return _refused("failed", f"no file to upload: {error.strerror or 'not one of ours'}")
            try:
                size = os.fstat(descriptor).st_size
                if size > min(self._policy.max_upload, MAX_UPLOAD):
                    return _refused("too_large", f"the file has {size} bytes")
                return await self._run(identity, found, descriptor, size, upload=True)
            finally:
                os.close(descriptor)

    async def discard(self, identity: str, params: Mapping[str, Any]) -> Result:
        """Remove one of the private files; one that is gone is no error."""
        try:
            await asyncio.to_thread(self._scratch.discard, params["path"])
        except OSError as error:
            return _refused("failed", error.strerror or "not one of ours")
        return {"ok": True}

    def _turn(self, identity: str, kind: str) -> asyncio.Lock:
        """Held by the one transfer of this kind and charge point that has a place or waits for one."""
        return self._turns.setdefault((identity, kind), asyncio.Lock())

    async def _target(self, identity: str, location: str, name: str = "") -> tuple[Target, tuple[str, ...]] | Refusal:
        """What a URL means and where its host is, if all of that may be."""
        policy = self._policy
        schemes = policy.schemes.get(identity, ())
        target = url_policy.check(location, schemes, hosts=policy.hosts, allow_private=policy.allow_private)
        if isinstance(target, Refusal):
            return target
        if name:
            if len(name) > MAX_NAME or name in (".", "..") or "/" in name or not name.isprintable():
                return Refusal("failed", "the file has a name that no server should get")
            target = target.with_file(quote(name, safe=""))
        if target.is_address:
            return target, (target.host,)
        try:
            found = await asyncio.wait_for(self._resolve(target.host, target.port), RESOLVE_S)
        except (OSError, TimeoutError):
            return Refusal("failed", f"{target.place}: the host is not known")
        addresses = tuple(dict.fromkeys(place[0] for family, *_, place in found if family in _FAMILIES))
        return url_policy.judge_addresses(target, addresses, policy.allow_private) or (target, addresses)

    async def _run(
        self, identity: str, found: tuple[Target, tuple[str, ...]], descriptor: int, size: int, *, upload: bool
    ) -> Result:
        """Transfer in a thread; once cancelled, or when it is over, nobody uses the descriptor any more."""
        loop = asyncio.get_running_loop()
        kind = "upload" if upload else "download"

        def progress(done: int, total: int | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                value = {"kind": kind, "bytes": done, "total": total}
                loop.call_soon_threadsafe(self._on_progress, identity, value, context=Context())

        # libcurl takes 9 MB, which a hub without transfers need not have, and time, which the loop has not.
        await asyncio.to_thread(import_module, "ocpphub.curl")
        from ocpphub.curl import Job

        target, addresses = found
        job = Job(
            target,
            addresses,
            os.dup(descriptor),
            upload,
            size,
            self._roots(identity),
            self._known_hosts,
            self._policy.max_bytes_per_s,
            progress,
            self._has_room,
        )
        future: Future[Result] = Future()
        inside = copy_context()  # what the thread logs carries the charge point
        threading.Thread(target=inside.run, args=(_work, job, future), name=kind, daemon=True).start()
        over = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(over)
        except asyncio.CancelledError:
            job.stop()
            await asyncio.wait([over], timeout=LEAVE_S)
            raise


_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)


def unable(schemes: Iterable[Collection[str]]) -> list[str]:
    """Which of the enabled schemes the libcurl that is installed does not know; HTTP it always does."""
    wanted = frozenset[str]().union(*schemes) - {"https", "http"}
    if not wanted:
        return []
    from ocpphub.curl import PROTOCOLS

    return sorted(wanted - PROTOCOLS)


def _work(job: Job, future: Future[Result]) -> None:
    from ocpphub.curl import run

    try:
        result = run(job)
    except BaseException as error:  # noqa: BLE001  # handed to whoever asked
        future.set_exception(error)
    else:
        future.set_result(result)
    finally:
        os.close(job.descriptor)


def _refused(why: str, text: str) -> Result:
    return {"ok": False, "why": why, "text": text}
