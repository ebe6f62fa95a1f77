"""A thread that writes what others hand it, in batches: nobody waits for a disk.

Owns the thread, the bound of what may wait, and the order. Must never block whoever puts something in, nor raise there.

Implements: decisions.md 3 (the loop does no I/O); reliability.md 4.2 (loss bound of the security log), R1.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

logger = logging.getLogger("ocpphub.daemon")

T = TypeVar("T")
GATHER_S: Final = 0.25
"""How long more is gathered once something is there; with the write it stays far below the loss bound of 1 s."""
MAX_WAITING: Final = 10_000
END_S: Final = 5.0
"""How long a disk that hangs may hold up whoever waits for it."""


class BatchThread(Generic[T]):
    """``write(items, lost)`` is called on the thread, in order; ``lost`` counts what found no place before them."""

    def __init__(self, name: str, write: Callable[[list[T], int], None]) -> None:
        """It begins with :meth:`start`; what is put before waits."""
        self._name, self._write = name, write
        self._queue: queue.SimpleQueue[T | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost, self._lock = 0, threading.Lock()
        self._is_ended = self._has_failed = False

    def start(self) -> None:
        """Begin to write; a second call does nothing."""
        if self._thread is None:
            # A daemon thread: a process that gives up (exit 75) must not wait for a disk that hangs.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def put(self, item: T) -> None:
        """Have it written soon; beyond :data:`MAX_WAITING` it is lost, and counted."""
        if self._is_ended:
            return
        if self._queue.qsize() >= MAX_WAITING:
            with self._lock:
                self._lost += 1
        else:
            self._queue.put(item)

    def flush(self) -> None:
        """Wait until everything put before has been written, :data:`END_S` at most; not on the loop."""
        if self._thread is not None and self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait(END_S)

    def close(self) -> None:
        """Write what is left and end, waiting :data:`END_S` at most; a second call does nothing."""
        if not self._is_ended:
            self._is_ended = True
            self._queue.put(threading.Event())
            if self._thread is not None:
                self._thread.join(END_S)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            items, told = self._gather()
            with self._lock:
                lost, self._lost = self._lost, 0
            try:
                if items or lost:
                    self._write(items, lost)
            except Exception:
                if not self._has_failed:  # once: the record itself may come back to this thread
                    self._has_failed = True
                    logger.exception("the thread %s could not write", self._name)
            is_over = told is not None and self._is_ended and self._queue.empty()
            if told is not None:
                told.set()

    def _gather(self) -> tuple[list[T], threading.Event | None]:
        """What has come, and who waits for it."""
        first = self._queue.get()
        if isinstance(first, threading.Event):
            return [], first
        items: list[T] = [first]
        end_s = time.monotonic() + GATHER_S
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                item = self._queue.get(timeout=left_s)
            except queue.Empty:
                break
            if isinstance(item, threading.Event):
                return items, item
            items.append(item)
        return items, None
