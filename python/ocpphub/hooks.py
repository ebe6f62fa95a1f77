"""Programs of the operator that install firmware and collect diagnostics.

Owns how they are started, fed, heard and ended: fixed arguments out of ``hub.toml``, no shell, one JSON object on
standard input, one or nothing on standard output, a session, an environment and a deadline of their own. Must never let
a text of the CSMS become an argument, a variable or a part of a command line (T34).

Implements: surface.md ``[firmware] hook``, ``[diagnostics] hook``; reliability.md T34, F42.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

logger = logging.getLogger("ocpphub.daemon")

MAX_OUTPUT_BYTES: Final = 65_536
"""Of standard output, and of what is logged of standard error."""
GRACE_S: Final = 1.0
"""From asking a program to end to ending it."""
_KEPT: Final = ("PATH", "TZ")
_PIECE_BYTES: Final = 8_192


class Outcome(NamedTuple):
    """How a program ended: well with its answer, or not, and why."""

    is_good: bool
    answer: dict[str, Any]
    text: str = ""


class Hook:
    """One configured program; ``timeout_s`` is the time that it may take, ``directory`` where it runs."""

    def __init__(self, argv: Sequence[str], directory: Path, timeout_s: float) -> None:
        self._argv, self._directory, self._timeout_s = tuple(argv), directory, timeout_s

    async def run(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Outcome:
        """Run it to its end. ``descriptors`` are open in it under their numbers; cancelling kills it and its children.

        Exit code 0 and an object or nothing on standard output are good. What it says on standard error is logged.
        """
        try:
            process = await self._start(descriptors)
        except OSError as error:
            return Outcome(False, {}, f"the hook cannot be started: {error.strerror}")
        try:
            async with asyncio.timeout(self._timeout_s):
                output = await self._talk(process, orjson.dumps(request))
        except TimeoutError:
            return Outcome(False, {}, f"the hook was ended after {self._timeout_s:g} s")
        finally:
            await _end(process)
        if len(output) > MAX_OUTPUT_BYTES:
            return Outcome(False, {}, f"the hook printed more than {MAX_OUTPUT_BYTES} bytes")
        if process.returncode != 0:
            return Outcome(False, {}, f"the hook ended with {process.returncode}")
        return _answer(output)

    async def _start(self, descriptors: Sequence[int]) -> asyncio.subprocess.Process:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._directory,
                env=_environment(),
                start_new_session=True,
                pass_fds=tuple(descriptors),
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # It may run already, and asyncio would wait for its children.
            with suppress(OSError):
                await _end(await starting)
            raise

    async def _talk(self, process: asyncio.subprocess.Process, request: bytes) -> bytes:
        """Feed it and hear it until it has ended and its output is closed."""
        assert process.stdin is not None  # noqa: S101  # all three are pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        async with asyncio.TaskGroup() as group:
            group.create_task(_feed(process.stdin, request))
            group.create_task(self._hear(process.stderr))
            output = group.create_task(_read(process.stdout, process.pid))
        await process.wait()
        return output.result()

    async def _hear(self, stream: asyncio.StreamReader) -> None:
        heard, rest = 0, b""
        while piece := await stream.read(_PIECE_BYTES):
            heard += len(piece)
            if heard <= MAX_OUTPUT_BYTES:
                *lines, rest = (rest + piece).split(b"\n")
                self._log(lines)
        self._log([rest])

    def _log(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            if line:
                logger.info("hook %s: %s", self._argv[0], line.decode(errors="replace"))


async def _feed(stream: asyncio.StreamWriter, request: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # a program need not read
        stream.write(request)
        await stream.drain()
    stream.close()


async def _read(stream: asyncio.StreamReader, group: int) -> bytes:
    """Everything, or a little more than is allowed: then whoever prints it is ended."""
    output = b""
    while piece := await stream.read(_PIECE_BYTES):
        if len(output) <= MAX_OUTPUT_BYTES:
            output += piece
        else:
            _kill(group, signal.SIGKILL)
    return output


def _answer(output: bytes) -> Outcome:
    if not output.strip():
        return Outcome(True, {})
    try:
        answer = orjson.loads(output)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        return Outcome(False, {}, "the hook printed something that is no JSON object")
    return Outcome(True, answer)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program if it runs, and whatever it has left in its session's process group."""
    if process.returncode is None:
        _kill(process.pid, signal.SIGTERM)
        await _gone(process)
    _kill(process.pid, signal.SIGKILL)
    await _gone(process)
    process._transport.close()  # type: ignore[attr-defined]  # what has left the group may still hold the pipes


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of the program and of its output, not for long."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await asyncio.gather(process.wait(), *map(_drain, streams))


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(_PIECE_BYTES):
        pass


def _kill(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {"LANG": "C.UTF-8"}
