"""Work outside the core: begun, answered once, abandoned, ended with the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from ocpphub.core.effects import Record, Work
from ocpphub.errors import UnavailableError
from ocpphub.log import TextFormatter
from ocpphub.work import MAX_OPEN, Workshop

pytestmark = pytest.mark.asyncio


class Answers:
    """What was answered, and when something was."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, Exception | None]] = []
        self.came = asyncio.Event()

    def __call__(self, result: Any, error: Exception | None) -> None:
        self.all.append((result, error))
        self.came.set()


class Log:
    """A security log in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.is_closed = False

    def append(self, identity: str, kind: str, info: str, utc_ms: int) -> None:
        self.lines.append((identity, kind))

    async def close(self) -> None:
        self.is_closed = True


async def echo(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"ok": True, "from": identity, **params}


async def for_ever(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        params["ended"].append(identity)
    return {}


async def test_work_is_done_with_its_parameters_and_answered_once() -> None:
    workshop, answers = Workshop({"echo": echo}), Answers()
    workshop.work("CP1", Work(1, "echo", {"a": 1}), answers)
    assert answers.all == []
    await answers.came.wait()
    assert answers.all == [({"ok": True, "from": "CP1", "a": 1}, None)]
    await workshop.close()
    assert len(answers.all) == 1


async def test_work_that_nobody_does_is_answered_at_once() -> None:
    answers = Answers()
    Workshop({}).work("CP1", Work(1, "echo", {}), answers)
    ((result, error),) = answers.all
    assert result is None
    assert isinstance(error, UnavailableError)
    assert "echo" in str(error)


async def test_work_that_raises_is_answered_with_the_error(caplog: pytest.LogCaptureFixture) -> None:
    async def raises(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        raise RuntimeError("bug")

    workshop, answers = Workshop({"raises": raises}), Answers()
    workshop.work("CP1", Work(1, "raises", {}), answers)
    await answers.came.wait()
    ((result, error),) = answers.all
    assert result is None
    assert isinstance(error, RuntimeError)
    assert "CP1: raises failed" in caplog.text


async def test_records_of_work_carry_their_charge_point_and_those_of_its_answer_do_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-222: what is of nobody is in the diagnostics of every charge point; an answer leads to things of others too."""
    monkeypatch.setattr(caplog.handler, "formatter", TextFormatter())
    logger, answered = logging.getLogger("ocpphub.test"), asyncio.Event()

    async def says(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.create_task(hears())
        raise RuntimeError("bug")

    async def hears() -> None:
        logger.warning("hook: hello")

    def answer(result: Any, error: Exception | None) -> None:
        logger.warning("answered")
        answered.set()

    workshop = Workshop({"says": says})
    workshop.work("CP1", Work(1, "says", {}), answer)
    await answered.wait()
    assert "ocpphub.test [CP1] hook: hello" in caplog.text
    assert "ocpphub.daemon [CP1] CP1: says failed" in caplog.text
    assert "ocpphub.test [-] answered" in caplog.text
    await workshop.close()


async def test_abandoned_work_ends_and_answers_nothing() -> None:
    ended: list[str] = []
    workshop, answers = Workshop({"for_ever": for_ever}), Answers()
    for identity in ("CP1", "CP2"):
        workshop.work(identity, Work(1, "for_ever", {"ended": ended}), answers)
    await asyncio.sleep(0)
    workshop.abandon("CP1", 1)
    workshop.abandon("CP1", 7)
    await asyncio.sleep(0)
    assert ended == ["CP1"]
    await workshop.close()
    assert ended == ["CP1", "CP2"]
    assert answers.all == []


async def test_work_after_a_reset_is_not_forgotten_when_that_of_before_has_ended() -> None:
    """T20: a new core counts from 1 again, while the work of the old one is still on its way out."""
    left: list[str] = []

    async def slow_to_leave(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await params["may_leave"].wait()
            left.append(params["name"])
        return {}

    workshop, may_leave = Workshop({"slow_to_leave": slow_to_leave}), asyncio.Event()
    old, new = ({"may_leave": may_leave, "name": name} for name in ("old", "new"))
    workshop.work("CP1", Work(1, "slow_to_leave", old), Answers())
    await asyncio.sleep(0)
    workshop.abandon("CP1", 1)
    workshop.work("CP1", Work(1, "slow_to_leave", new), Answers())
    await asyncio.sleep(0)
    may_leave.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert left == ["old"]
    workshop.abandon("CP1", 1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert left == ["old", "new"]
    await workshop.close()


async def test_work_on_its_way_out_is_not_cut_off_by_the_end_of_its_successor() -> None:
    """T20: what it leaves behind is removed."""
    left: list[int] = []

    async def slow_to_leave(identity: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            left.append(params["number"])
        return {}

    workshop = Workshop({"slow_to_leave": slow_to_leave})
    for number in range(3):
        workshop.work("CP1", Work(1, "slow_to_leave", {"number": number}), Answers())
        await asyncio.sleep(0)
        workshop.abandon("CP1", 1)
    for _ in range(30):
        await asyncio.sleep(0)
    assert left == [0, 1, 2]
    await workshop.close()


async def test_work_of_one_charge_point_is_bounded_and_leaves_room_for_the_others() -> None:
    """T20: a core that asks for too much is told so."""
    ended: list[str] = []
    workshop, answers = Workshop({"for_ever": for_ever}), Answers()
    for number in range(MAX_OPEN + 1):
        workshop.work("CP1", Work(number, "for_ever", {"ended": ended}), answers)
    ((_, error),) = answers.all
    assert isinstance(error, UnavailableError)
    assert error.code == "busy"
    workshop.work("CP2", Work(1, "for_ever", {"ended": ended}), answers)
    assert len(answers.all) == 1
    await workshop.close()


async def test_file_is_removed_however_much_is_under_way() -> None:
    """T35: nobody would try again; nor does removing keep anything else from being done."""
    ended: list[str] = []
    doers = {"for_ever": for_ever, "file.discard": for_ever}
    workshop, answers = Workshop(doers), Answers()
    for number in range(MAX_OPEN):
        workshop.work("CP1", Work(number, "file.discard", {"ended": ended}), answers)
    for number in range(MAX_OPEN):
        workshop.work("CP1", Work(MAX_OPEN + number, "for_ever", {"ended": ended}), answers)
    workshop.work("CP1", Work(2 * MAX_OPEN, "file.discard", {"ended": ended}), answers)
    assert answers.all == []
    await asyncio.sleep(0)
    await workshop.close()
    assert len(ended) == 2 * MAX_OPEN + 1


async def test_security_events_go_to_the_log_which_is_closed_last() -> None:
    """White paper A04.FR.04."""
    log = Log()
    workshop = Workshop({}, log)
    workshop.record("CP1", Record("StartupOfTheDevice", "", 0))
    assert log.lines == [("CP1", "StartupOfTheDevice")]
    await workshop.close()
    assert log.is_closed
