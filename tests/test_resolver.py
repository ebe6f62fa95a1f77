"""resolver.py: names looked up beside the loop. The lookups are doubles; a child shows the end of a process."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ocpphub import resolver

CHILD = """
import asyncio, socket, threading
from ocpphub import resolver
asked = threading.Event()
def silent(*args, **kwargs):
    asked.set()
    threading.Event().wait()
socket.getaddrinfo = silent
async def main():
    lookup = asyncio.create_task(resolver.resolve("csms.example", 443))
    await asyncio.to_thread(asked.wait)
    lookup.cancel()
asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_lookup_gives_the_addresses_for_tcp() -> None:
    """T27"""
    found = await resolver.resolve("127.0.0.1", 443)

    assert [(kind, address) for _, kind, _, _, address in found] == [(socket.SOCK_STREAM, ("127.0.0.1", 443))]


@pytest.mark.asyncio
async def test_lookup_raises_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """T27"""

    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(socket.gaierror, match="not known"):
        await resolver.resolve("csms.example", 443)


@pytest.mark.asyncio
async def test_lookups_are_bounded_and_one_that_was_given_up_in_the_queue_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T27"""
    asked: list[str] = []
    answered = threading.Event()

    def slow(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        answered.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    lookups = [asyncio.create_task(resolver.resolve(f"csms{i}", 443)) for i in range(resolver.THREADS + 2)]
    async with asyncio.timeout(10):
        while len(asked) < resolver.THREADS:  # noqa: ASYNC110  # the threads have no loop to set an event on
            await asyncio.sleep(0)
    lookups[-2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await lookups[-2]
    assert len(asked) == resolver.THREADS
    answered.set()

    assert await asyncio.gather(*lookups[: resolver.THREADS], lookups[-1]) == [[]] * (resolver.THREADS + 1)
    assert "csms4" not in asked
    assert asked[-1] == "csms5"


def test_process_ends_while_a_lookup_has_no_answer() -> None:
    """F47"""
    path = str(Path(__file__).resolve().parents[1] / "python")

    subprocess.run([sys.executable, "-c", CHILD], check=True, env=os.environ | {"PYTHONPATH": path}, timeout=10)
