"""The other side of a service manager's protocol: readiness, reloads, the watchdog, sockets that were made for us.

Owns what passes between this process and systemd, or whoever speaks like it: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and
``LISTEN_FDS``, which are taken out of the environment so that no child believes them meant for it. Must never wait for
the manager, and does nothing where there is none.

Implements: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3); design surface.md ``socket``; reliability.md N21.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Final

from ocpphub.errors import LocalError

log = logging.getLogger("ocpphub.daemon")

FIRST_DESCRIPTOR: Final = 3
_HINT: Final = "listening Unix stream sockets with a path"


class ServiceManager:
    """The service manager, told how we are; every method is one datagram that is never waited for."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", ""))
        """Seconds within which it has to be told that we are alive; ``None`` when it does not care."""

    def ready(self, status: str) -> None:
        """The start, or a reload, is done; ``status`` is one line for people."""
        self._tell("READY=1", status=status)

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1", status="stopping")

    def alive(self) -> None:
        """The watchdog is fed."""
        self._tell("WATCHDOG=1")

    def status(self, status: str) -> None:
        """One line for people, as ``systemctl status`` shows it."""
        self._tell(status=status)

    def _tell(self, *assignments: str, status: str | None = None) -> None:
        if not self._address:
            return
        if status is not None:
            assignments = (*assignments, "STATUS=" + " ".join(status.split()))
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
            speaking.setblocking(False)
            try:
                speaking.sendto("\n".join(assignments).encode(), address)
            except OSError as error:
                log.warning("the service manager was not told %s: %s", assignments[0], error.strerror)


def _watchdog_s(microseconds: str, pid: str) -> float | None:
    if pid and pid != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


class Watchdog:
    """Tells the manager at half of its interval that we are alive, as long as ``complaint()`` has nothing to say.

    That the loop turns needs no look: otherwise nothing is told. What is wrong is logged once, and shown as the status.
    """

    def __init__(self, manager: ServiceManager, complaint: Callable[[], str | None]) -> None:
        self._manager = manager
        self._complaint = complaint
        self._known: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to feed it, at once; does nothing when the manager wants none."""
        interval_s = self._manager.watchdog_s
        if interval_s is not None:
            self._feed(asyncio.get_running_loop(), interval_s / 2)

    def stop(self) -> None:
        """Feed it no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _feed(self, loop: asyncio.AbstractEventLoop, interval_s: float) -> None:
        self._timer = loop.call_later(interval_s, self._feed, loop, interval_s)
        complaint = self._complaint()
        if complaint is None:
            self._manager.alive()
            if self._known is not None:
                log.warning("the watchdog is fed again")
                self._manager.status("up again")
        elif self._known is None:
            log.error("the watchdog is not fed: %s", complaint)
            self._manager.status(f"not well: {complaint}")
        self._known = complaint


def inherited_sockets(environ: MutableMapping[str, str]) -> dict[Path, socket.socket]:
    """The listening sockets that the service manager made for us, by their path; each is its receiver's to close.

    Raises :class:`LocalError` for a descriptor that is anything else.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()):
        return {}
    if not count.isdecimal():
        raise LocalError("invalid_params", f"LISTEN_FDS is {count!r}", hint="a number")
    found: dict[Path, socket.socket] = {}
    with contextlib.ExitStack() as opened:
        for index in range(int(count)):
            descriptor = FIRST_DESCRIPTOR + index
            label = f"descriptor {descriptor} ({names[index] if index < len(names) else 'unknown'})"
            try:
                listening = opened.enter_context(socket.socket(fileno=descriptor))
                listening.set_inheritable(False)
            except OSError as error:
                text = f"{label} of the service manager is no socket: {error.strerror}"
                raise LocalError("invalid_params", text, hint=_HINT) from None
            path = _path_of(listening, label)
            if path in found:
                raise LocalError("invalid_params", f"{label} of the service manager: {path} is there twice")
            found[path] = listening
        opened.pop_all()
    return found


def _path_of(listening: socket.socket, label: str) -> Path:
    wrong = None
    name = listening.getsockname() if listening.family == socket.AF_UNIX else None
    if listening.family != socket.AF_UNIX:
        wrong = "no Unix socket"
    elif listening.type != socket.SOCK_STREAM:
        wrong = "no stream socket"
    elif not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        wrong = "not listening"
    elif not isinstance(name, str) or not name:
        wrong = "a socket without a path"
    if wrong is not None:
        raise LocalError("invalid_params", f"{label} of the service manager is {wrong}", hint=_HINT)
    return Path(os.path.realpath(str(name)))
