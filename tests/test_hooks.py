"""Hooks: what a program gets, what of it is believed, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from ocpphub import hooks
from ocpphub.hooks import Hook, Outcome

pytestmark = pytest.mark.asyncio
HOSTILE = [
    ";rm -rf /",
    "$(touch /tmp/x)",
    "`id`",
    "-K/etc/passwd",
    "--",
    "a\nb\r\n",
    "'\"\\",
    "\x00",
    "%s{}",
    "ä\u2028",
]

NO_OBJECT = Outcome(False, {}, "the hook printed something that is no JSON object")


def python(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def hook(argv: list[str], directory: Path, timeout_s: float = 30.0) -> Hook:
    return Hook(argv, directory, timeout_s)


async def until_gone(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def until_written(path: Path) -> str:
    while not (path.exists() and path.read_text().endswith("\n")):  # noqa: ASYNC110  # a file has no event
        await asyncio.sleep(0.005)
    return path.read_text()


ECHO = """
import json, os, sys
text = sys.stdin.read()
print(json.dumps({"request": json.loads(text), "argv": sys.argv, "environ": dict(os.environ), "cwd": os.getcwd(),
    "leads": os.getsid(0) == os.getpid(), "files": sorted(map(int, os.listdir("/proc/self/fd")))}))
"""


async def test_texts_of_the_csms_arrive_verbatim_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T34: in no argument, in no variable, and no file appears."""
    monkeypatch.setenv("OCPPHUB_SECRET", "canary")
    request = {"location": HOSTILE, **{text: text for text in HOSTILE}}
    outcome = await hook([*python(ECHO), "fixed"], tmp_path).run(request)
    assert outcome.is_good
    assert outcome.answer["request"] == request
    assert outcome.answer["argv"] == ["-c", "fixed"]
    assert outcome.answer["cwd"] == str(tmp_path)
    assert outcome.answer["leads"]
    assert set(outcome.answer["environ"]) <= {"PATH", "TZ", "LANG", "LC_CTYPE"}
    assert "canary" not in json.dumps(outcome.answer)
    assert list(tmp_path.iterdir()) == []


async def test_program_gets_the_descriptors_that_are_meant_for_it_and_no_others(tmp_path: Path) -> None:
    """T36: and nothing of ours besides."""
    with (tmp_path / "file").open("wb") as ours, (tmp_path / "given").open("wb") as given:
        os.set_inheritable(ours.fileno(), True)
        outcome = await hook(python(ECHO), tmp_path).run({}, [given.fileno()])
        assert given.fileno() in outcome.answer["files"]
        assert ours.fileno() not in outcome.answer["files"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("cat >/dev/null", Outcome(True, {})),
        ("exit 0", Outcome(True, {})),
        ('echo \'{"version": "2"}\'', Outcome(True, {"version": "2"})),
        ("exit 3", Outcome(False, {}, "the hook ended with 3")),
        ("kill -9 $$", Outcome(False, {}, "the hook ended with -9")),
        ("echo nonsense", NO_OBJECT),
        ("echo '[]'", NO_OBJECT),
        ("yes '[' | head -n 30000 | tr -d '\\n'", NO_OBJECT),
        ("yes", Outcome(False, {}, "the hook printed more than 65536 bytes")),
    ],
    ids=["reads", "does not read", "answers", "fails", "dies", "garbage", "no object", "deep", "floods"],
)  # fmt: skip
async def test_outcome(tmp_path: Path, script: str, expected: Outcome) -> None:
    """F42: whatever it does, there is one outcome."""
    assert await hook(shell(script), tmp_path).run({"text": "x" * 100_000}) == expected


async def test_program_that_is_not_there_is_an_outcome(tmp_path: Path) -> None:
    """F42."""
    outcome = await hook(["/nowhere/program"], tmp_path).run({})
    assert outcome == Outcome(False, {}, "the hook cannot be started: No such file or directory")


@pytest.fixture
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "GRACE_S", 0.05)


@pytest.mark.usefixtures("_short_grace")
@pytest.mark.parametrize("is_uvloop", [False, True], ids=["asyncio", "uvloop"])
async def test_program_that_hangs_is_ended_with_its_children(tmp_path: Path, is_uvloop: bool) -> None:
    """F42: at its deadline; no zombie stays. The first signal is ignored."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 100 & echo $$ $! >{pids}; wait; sleep 100"

    async def run() -> Outcome:
        outcome = await hook(shell(script), tmp_path, timeout_s=0.5).run({})
        if pids.exists():  # on a busy machine it may be ended before it has come so far
            for pid in pids.read_text().split():
                await until_gone(int(pid))
        return outcome

    outcome = await asyncio.to_thread(uvloop.run if is_uvloop else asyncio.run, run())
    assert outcome == Outcome(False, {}, "the hook was ended after 0.5 s")


async def test_program_that_nobody_wants_any_more_is_ended_with_its_children(tmp_path: Path) -> None:
    """``work.py``: abandoning a piece of work ends it."""
    pids = tmp_path / "pids"
    task = asyncio.create_task(hook(shell(f"sleep 100 & echo $$ $! >{pids}; wait"), tmp_path).run({}))
    first, second = (int(each) for each in (await until_written(pids)).split())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_gone(second)
    assert not Path(f"/proc/{first}").exists()


@pytest.mark.parametrize("turns", range(6))
async def test_program_that_is_abandoned_while_it_starts_is_ended(tmp_path: Path, turns: int) -> None:
    """``work.py``: at whatever moment that comes."""
    task = asyncio.create_task(hook(shell("sleep 100 & echo $! >>pids; wait"), tmp_path).run({}))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if (tmp_path / "pids").exists():
        for pid in (tmp_path / "pids").read_text().split():
            await until_gone(int(pid))


@pytest.mark.usefixtures("_short_grace")
async def test_child_that_has_left_and_holds_the_output_costs_no_descriptor(tmp_path: Path) -> None:
    """F42, R1: its program is over at the deadline all the same."""
    before = len(os.listdir("/proc/self/fd"))
    pid = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ >{pid}; exec sleep 100' & cat >/dev/null"
    outcome = await hook(shell(script), tmp_path, timeout_s=0.5).run({})
    assert outcome == Outcome(False, {}, "the hook was ended after 0.5 s")
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before
    if pid.exists() and (number := pid.read_text()):
        os.kill(int(number), signal.SIGKILL)


async def test_child_that_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    """F42: a hook is over when its program is."""
    pid = tmp_path / "pid"
    outcome = await hook(shell(f"sleep 100 </dev/null >/dev/null 2>&1 & echo $! >{pid}"), tmp_path).run({})
    assert outcome.is_good
    await until_gone(int(pid.read_text()))


async def test_standard_error_is_logged_up_to_a_limit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T34, F42: a program that floods it does not fill the log, nor hang."""
    program = "import sys; sys.stderr.write('first\\n' + 'x' * 200_000 + '\\nlast')"
    with caplog.at_level(logging.INFO, "ocpphub.daemon"):
        outcome = await hook(python(program), tmp_path).run({})
    assert outcome.is_good
    assert f"hook {sys.executable}: first" in caplog.text
    assert "last" not in caplog.text
    assert len(caplog.text) < 2 * hooks.MAX_OUTPUT_BYTES


async def test_last_words_without_a_newline_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ocpphub.daemon"):
        await hook(shell("printf 'one\\n\\ntwo' >&2"), tmp_path).run({})
    assert [record.getMessage() for record in caplog.records] == ["hook /bin/sh: one", "hook /bin/sh: two"]


async def test_many_at_once_leave_no_descriptor(tmp_path: Path) -> None:
    """R1: F42 without leaks."""

    async def once(number: int) -> Any:
        return (await hook(shell("cat"), tmp_path).run({"number": number})).answer["number"]

    await once(0)
    before = len(os.listdir("/proc/self/fd"))
    assert await asyncio.gather(*(once(number) for number in range(10))) == list(range(10))
    assert len(os.listdir("/proc/self/fd")) == before
