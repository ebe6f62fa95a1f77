"""Long answers in slices: whose turn it is."""

from __future__ import annotations

import asyncio

import pytest

from ocpphub.rpc.slices import Slice, SlicedWork

pytestmark = pytest.mark.asyncio


def counted(log: list[str], name: str, slices: int) -> Slice:
    """An answer of so many slices."""
    left = [slices]

    def work() -> bool:
        log.append(name)
        left[0] -= 1
        return left[0] > 0

    return work


async def test_clients_take_turns_and_each_has_one_answer_under_way() -> None:
    """T08."""
    loop, work, log = asyncio.get_running_loop(), SlicedWork(), list[str]()
    for name in ("a1", "a2"):
        work.add("a", counted(log, name, 2), loop)
    work.add("b", counted(log, "b1", 3), loop)
    for _ in range(10):
        await asyncio.sleep(0)
    assert log == ["a1", "b1", "a1", "b1", "a2", "b1", "a2"]


async def test_one_slice_in_each_turn_of_the_loop() -> None:
    """T08: whatever else is ready runs between two of them."""
    loop, work, log = asyncio.get_running_loop(), SlicedWork(), list[str]()
    for client in range(5):
        work.add(client, counted(log, "slice", 10), loop)
    for turns in range(1, 20):
        await asyncio.sleep(0)
        assert len(log) <= turns


async def test_client_that_is_gone_has_no_more_slices() -> None:
    """T08."""
    loop, work, log = asyncio.get_running_loop(), SlicedWork(), list[str]()
    work.add("a", counted(log, "a", 100), loop)
    work.add("b", counted(log, "b", 2), loop)
    await asyncio.sleep(0)
    work.forget("a")
    for _ in range(10):
        await asyncio.sleep(0)
    assert log == ["a", "b", "b"]
    work.add("a", counted(log, "again", 1), loop)
    await asyncio.sleep(0)
    assert log[-1] == "again"
