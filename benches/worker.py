"""A process beside the bench that does what it is told: started here, asked line by line, its CPU time read.

Owns the pipe between a bench and its peers in other processes, and the clock of another process. Must never ask two
workers to work at once where their figures are compared: the caller waits for each answer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

ROOT = Path(__file__).parents[1]
MIB = 2**20
_LIMIT = 16 * MIB

Handler = Callable[..., Awaitable[Any]]


class Worker:
    """``python -m MODULE ARGUMENTS`` on the other end of a pipe."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Worker:
        pipe = asyncio.subprocess.PIPE
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'python'}"}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, env=environment, limit=_LIMIT
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._running()
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "use it as a context"
        return self._process

    async def ask(self, command: str, **arguments: Any) -> Any:
        """What the worker answers; it says why on its own stderr when it fails."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps([command, arguments]) + b"\n")
        line = await process.stdout.readline()
        assert line, f"{self._command[2:]} ended at {command}"
        return orjson.loads(line)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._running().pid

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        return process_cpu_s(self.pid)

    def resident(self) -> int:
        """Bytes of it in memory."""
        return resident_of(self.pid)


def process_cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process, to the nanosecond (``clock_getcpuclockid``)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_of(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def serve(commands: dict[str, Handler]) -> None:
    """The worker's side: answer each line of stdin on stdout until stdin ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    while line := await reader.readline():
        command, arguments = orjson.loads(line)
        answer = await commands[command](**arguments)
        os.write(1, orjson.dumps(answer) + b"\n")
