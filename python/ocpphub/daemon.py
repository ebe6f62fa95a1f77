"""The process: a hub, its sockets, signals and the order in which it all ends.

Owns what only a daemon does: uvloop, limits of the process, the garbage collector, SIGTERM and SIGINT, exit codes.
Must never end a transaction: a stop of the process is an interruption, the next start resumes (decisions.md 6).

Implements: decisions.md 3 and 6; performance.md P6; reliability.md T02, T09, F47.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ocpphub import __version__
from ocpphub.api import Hub
from ocpphub.errors import LocalError, OcpphubError
from ocpphub.metrics_server import MetricsServer, make_metrics_server
from ocpphub.rpc.server import Server

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


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code of surface.md: 0, 75 the store failed, 78 the configuration."""
    import uvloop

    prepare_process(settings)
    try:
        return uvloop.run(run(settings))
    except OcpphubError as error:
        log.critical("cannot start: %s", error)
        return BAD_CONFIGURATION if isinstance(error, LocalError) else STORE_FAILED


async def run(settings: Settings) -> int:
    """Start the hub and its sockets, serve until a signal or a failed commit, stop in order; the exit code.

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

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, DONE)
    hub = Hub(settings, on_fatal=store_failed)
    sockets = make_servers(hub)
    metrics = make_metrics_server(settings.metrics.listen, hub, sockets)
    servers: list[Server | MetricsServer] = [*sockets, *([metrics] if metrics else [])]
    freezing: list[asyncio.TimerHandle] = []
    try:
        # The paths come first, so that a second process is refused before it touches anything else (T02, F48).
        for server in servers:
            server.claim()
        await hub.start()
        for server in servers:
            await server.start()
        _freeze(loop, freezing)
        log.info("ocpphub %s is up", __version__)
        return await ended
    finally:
        for handle in freezing:
            handle.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        failed = ended.done() and not ended.cancelled() and ended.result() == STORE_FAILED
        await _stop(hub, servers, failed=failed)


def make_servers(hub: Hub) -> list[Server]:
    """The hub's socket with all charge points, and one for each charge point that has a socket of its own."""
    settings = hub.settings
    servers = [
        Server(
            settings.hub.socket, hub.charge_points, settings.rpc, version=__version__, is_ready=lambda: hub.is_running
        )
    ]
    for row in settings.charge_points:
        if row.socket is not None:
            only = {row.identity: hub.charge_points[row.identity]}
            servers.append(Server(row.socket, only, settings.rpc, version=__version__, is_ready=lambda: hub.is_running))
    return servers


def prepare_process(settings: Settings) -> None:
    """Limits of the process: no core dumps (they hold keys), quick thread switches, enough descriptors (T09)."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
    for server in servers:
        await server.stop()
    try:
        await hub.stop()
    except OcpphubError as error:
        # After a failed commit nothing can be drained; the exit code has told it already.
        if not failed:
            raise
        log.error("stopped without the last commits: %s", error)
