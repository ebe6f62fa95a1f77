"""Names of CSMSs looked up in threads that nobody has to wait for.

Owns a few threads and the queue before them. Must never hold up the end of the process: a lookup without an answer
takes as long as the system likes, and the threads of ``concurrent.futures`` would be waited for at exit (F47).

Implements: reliability.md T27.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final

THREADS: Final = 4
"""Lookups at a time; others wait for their turn."""

_jobs: SimpleQueue[tuple[Future[list[Any]], str, int]] = SimpleQueue()
_threads: list[threading.Thread] = []


async def resolve(host: str, port: int) -> list[Any]:
    """The addresses of a host for TCP, as ``socket.getaddrinfo`` gives them.

    Raises ``OSError``, ``socket.gaierror`` among them. Whoever is cancelled leaves at once; a lookup that has not begun
    is dropped then.
    """
    if len(_threads) < THREADS:
        _threads.append(threading.Thread(target=_work, name="resolver", daemon=True))
        _threads[-1].start()
    future: Future[list[Any]] = Future()
    _jobs.put((future, host, port))
    return await asyncio.wrap_future(future)


def _work() -> None:
    while True:
        future, host, port = _jobs.get()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except BaseException as error:  # noqa: BLE001  # handed to whoever asked
                future.set_exception(error)
