"""The process: a hub, its sockets, signals and the order in which it all ends.

Owns what only a daemon does: uvloop, limits of the process, the garbage collector, signals, exit codes.
Must never end a transaction: a stop of the process is an interruption, the next start resumes (decisions.md 6).

Implements: decisions.md 3 and 6; performance.md P6; reliability.md T02, T09, F47.
"""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ocpphub import __version__, log_file, startup_check
from ocpphub.api import Hub
from ocpphub.errors import LocalError, OcpphubError
from ocpphub.metrics_server import MetricsServer, make_metrics_server
from ocpphub.reload import Reloader
from ocpphub.rpc.server import Server
from ocpphub.service import ServiceManager, Watchdog, inherited_sockets
from ocpphub.wiring import load_x509, make_x509

if TYPE_CHECKING:
    from ocpphub.config import Settings

log = logging.getLogger("ocpphub.daemon")

DONE: Final = 0
STORE_FAILED: Final = 75
BAD_CONFIGURATION: Final = 78
RESERVED_DESCRIPTORS: Final = 512
"""Descriptors kept free of clients: links, the store, hooks, logs (T09)."""
SWITCH_INTERVAL_S: Final = 0.0005
"""Lets the writer thread have the GIL in time (decisions.md 3: a commit beside a busy loop takes 3 ms so)."""
FREEZE_INTERVAL_S: Final = 3600.0
LOAD_S: Final = 60.0
"""From the start, whose work is done then, to when X.509 is loaded, so that no CSMS has the loop wait for it."""
PR_SET_DUMPABLE: Final = 4
"""Of ``prctl`` (linux/prctl.h)."""


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code of surface.md: 0, 75 the store failed, 78 the configuration."""
    import uvloop

    prepare_process(settings)
    records = log_file.LogFile()
    logging.getLogger().addHandler(records)
    for warning in (*settings.warnings, *startup_check.warnings(settings)):
        log.warning("%s", warning)
    if make_x509() is None:
        log.warning("the extra security is not installed: certificates and signed firmware answer NotSupported")
    try:
        startup_check.require_private(settings)
        return uvloop.run(run(settings))
    except OcpphubError as error:
        log.critical("cannot start: %s", error)
        return BAD_CONFIGURATION if isinstance(error, LocalError) else STORE_FAILED
    finally:
        logging.getLogger().removeHandler(records)
        records.close()


async def run(settings: Settings) -> int:
    """Start the hub and its sockets, serve until a signal or a failed commit, stop in order; the exit code.

    SIGTERM and SIGINT end it, SIGHUP reads the configuration again (``reload.py``).
    Raises :class:`OcpphubError` when it cannot start: :class:`LocalError` for what the settings name.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def store_failed(error: BaseException) -> None:
        log.critical("the store failed, ending: %s", error)
        end(STORE_FAILED)

    manager = ServiceManager(os.environ)
    hub = Hub(settings, on_fatal=store_failed)
    sockets = make_servers(hub, inherited_sockets(os.environ))
    metrics = make_metrics_server(settings.metrics.listen, hub, sockets)
    servers: list[Server | MetricsServer] = [*sockets, *([metrics] if metrics else [])]
    reloader = Reloader(hub, sockets, manager)
    watchdog = Watchdog(manager, partial(_complaint, hub))
    freezing: list[asyncio.TimerHandle] = []
    timers: list[asyncio.TimerHandle] = []
    stop = partial(end, DONE)
    handlers: dict[int, Callable[[], None]]
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reloader.request}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        # The paths come first, so that a second process is refused before it touches anything else (T02, F48).
        for server in servers:
            server.claim()
        await hub.start()
        log_file.begin(settings.hub.state_directory)
        for server in servers:
            await server.start()
        _freeze(loop, freezing)
        timers.append(loop.call_later(LOAD_S, load_x509))
        log.info("ocpphub %s is up", __version__)
        manager.ready(f"up, charge points: {len(settings.charge_points)}")
        watchdog.start()
        return await ended
    finally:
        await reloader.stop()
        manager.stopping()
        watchdog.stop()
        for handle in (*freezing, *timers):
            handle.cancel()
        for number in handlers:
            loop.remove_signal_handler(number)
        failed = ended.done() and not ended.cancelled() and ended.result() == STORE_FAILED
        await _stop(hub, servers, failed=failed)


def make_servers(hub: Hub, inherited: Mapping[Path, socket.socket] | None = None) -> list[Server]:
    """The hub's socket with all charge points, and one for each charge point that has a socket of its own.

    Those that a service manager has made already are used as they are. Raises :class:`LocalError` for one of them that
    the settings do not name.
    """
    settings, made = hub.settings, dict(inherited or {})
    served = [(settings.hub.socket, hub.charge_points)]
    for row in settings.charge_points:
        if row.socket is not None:
            served.append((row.socket, {row.identity: hub.charge_points[row.identity]}))
    servers = [
        Server(
            path,
            points,
            settings.rpc,
            version=__version__,
            is_ready=lambda: hub.is_running,
            inherited=made.pop(Path(os.path.realpath(path)), None),
        )
        for path, points in served
    ]
    if made:
        strangers = ", ".join(str(path) for path in made)
        hint = "the same path in hub.toml: socket of [hub] or of a [[charge_point]]"
        raise LocalError("invalid_params", f"the service manager made {strangers}, which is not configured", hint=hint)
    return servers


def _complaint(hub: Hub) -> str | None:
    """What keeps the watchdog from being fed; ``None`` when the hub is well."""
    return "the hub is down" if hub.driver is None else hub.driver.complaint()


def prepare_process(settings: Settings) -> None:
    """Limits of the process: nobody sees its memory (it holds keys), quick thread switches, enough descriptors (T09).

    No core dumps, and no debugger or reader of ``/proc`` but root's (T30).

    What nobody caught goes to the log, so that it is masked and one record too. Only a process that is killed while it
    hangs, as by the watchdog, says in plain lines where it stood.
    """
    faulthandler.enable()
    sys.excepthook = lambda *error: log.critical("ending: nobody caught this", exc_info=error)
    threading.excepthook = lambda args: log.critical(
        "a thread ended", exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    )
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        log.warning("other programs of this user may read the memory of this process")
    os.umask(0o077)
    wanted = settings.rpc.max_connections + len(settings.charge_points) + RESERVED_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        # Only the soft limit is ours to raise; up to the hard one it costs nothing.
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        log.warning("%d descriptors allowed, %d wanted: raise LimitNOFILE or lower max_connections", soft, wanted)


def _freeze(loop: asyncio.AbstractEventLoop, handles: list[asyncio.TimerHandle]) -> None:
    """Move what lives on out of the collector's sight, so that a full collection stays short (performance.md P6)."""
    gc.collect()
    gc.freeze()
    handles[:] = [loop.call_later(FREEZE_INTERVAL_S, _freeze, loop, handles)]


async def _stop(hub: Hub, servers: Sequence[Server | MetricsServer], *, failed: bool) -> None:
    """Clients first, then links, then the store: whoever has been answered finds the effect after the next start."""
    for error in await asyncio.gather(*(server.stop() for server in servers), return_exceptions=True):
        if isinstance(error, Exception):
            log.error("a socket did not stop in order", exc_info=error)
    try:
        await hub.stop()
    except OcpphubError as error:
        # After a failed commit nothing can be drained; the exit code has told it already.
        if not failed:
            raise
        log.error("stopped without the last commits: %s", error)
