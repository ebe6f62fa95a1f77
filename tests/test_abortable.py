"""Work on a thread, and its end when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ocpphub.abortable import Abort, in_thread

pytestmark = pytest.mark.asyncio


async def test_result_and_error_come_from_another_thread() -> None:
    assert await in_thread(lambda abort: threading.current_thread() is not threading.main_thread())

    def fail(abort: Abort) -> None:
        abort.check()
        raise ValueError("text")

    with pytest.raises(ValueError, match="text"):
        await in_thread(fail)


async def test_cancelling_ends_the_thread_before_it_returns() -> None:
    """T35: nothing writes any more to what is cleaned up then."""
    began, ended = threading.Event(), threading.Event()

    def work(abort: Abort) -> None:
        began.set()
        try:
            while True:
                abort.check()
        finally:
            ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(began.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
