"""Kill at every system call with which the store touches the disk, one after the other (reliability.md F01).

Owns the enumeration and the processes of each point: a child is forked from this process, which has everything
imported, ``strace`` takes hold of it and kills it at the k-th call of one kind on one file; another child takes up what
is on the disk, and the checker judges both. ``python -m tests.torture.points [SHARE/SHARES]`` prints what came of it.

Needs ``strace`` and the right to trace (``apt-get install strace``; as root, or ``ptrace_scope`` 0 or 1).
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from ocpphub.store.directory import COPY_NAME
from tests.torture.checker import Checker
from tests.torture.ledger import Asked, Due, Ledger, Started, Stopped
from tests.torture.recorder import Sent, Transcript
from tests.torture.script import Story

CALLS: Final = ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "fallocate")
"""What the store changes or syncs files with; answers and frames leave by ``write``, which is not among them."""
_AS_WELL: Final = ("renameat", "renameat2", "unlinkat")
_CALL: Final = re.compile(r'^\d+ +(\w+)\(.*?(/[^>"]*)')
TWICE: Final = 5
"""Every so many points the recovery is killed as well."""
LIMIT_S: Final = 60.0


@dataclass(slots=True)
class Told:
    """What a life has told, line by line."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    killed: bool = False
    problem: str = ""

    def of(self, name: str) -> list[Any]:
        """The values of the lines of this name."""
        return [line[name] for line in self.lines if name in line]


def can_trace() -> str | None:
    """Why system calls cannot be traced here; ``None`` when they can."""
    if shutil.which("strace") is None:
        return "strace is not installed (apt-get install strace)"
    command = ["strace", "-qq", "-e", "trace=write", "-e", "inject=write:signal=KILL:when=1", "echo", "hello"]
    done = subprocess.run(command, capture_output=True, check=False)
    return (
        None if done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL) and not done.stdout else "no right to trace"
    )


def life(
    directory: Path,
    *strace: str,
    first_id: int = 1,
    world: dict[str, Any] | None = None,
    early_answers: bool = False,
) -> Told:
    """One life in a forked child, under ``strace`` with these arguments if any; until it ends or is killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        story = Story(directory, writer, first_id=first_id, world=world, early_answers=early_answers)
        _be_child(story, writer, is_whole=world is None, is_traced=bool(strace))
    os.close(writer)
    tracer = None
    try:
        if strace:
            os.waitpid(child, os.WUNTRACED)
            tracer = _hold(child, strace)
        return _listen(child, reader)
    finally:
        os.close(reader)
        if tracer is not None:
            tracer.wait(timeout=10)


def _be_child(story: Story, pipe: int, *, is_whole: bool, is_traced: bool) -> None:
    code = 1
    try:
        if is_traced:
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.01)  # the tracer's first stop comes just after the hold
        asyncio.run(story.tell_whole() if is_whole else story.take_up())
        code = 0
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is told, and this process must not go on
        os.write(pipe, orjson.dumps({"failed": f"{type(error).__name__}: {error}"}) + b"\n")
    finally:
        os._exit(code)


def _hold(child: int, strace: tuple[str, ...]) -> subprocess.Popen[bytes]:
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-p", str(child), *strace], stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 10
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        if time.monotonic() > deadline_s:
            raise AssertionError("strace did not take hold")
        time.sleep(0.002)
    time.sleep(0.01)
    os.kill(child, signal.SIGCONT)
    return tracer


def _listen(child: int, reader: int) -> Told:
    told, text = Told(), b""
    deadline_s = time.monotonic() + LIMIT_S
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            told.problem = "it hangs"
            os.kill(child, signal.SIGKILL)
            break
        chunk = os.read(reader, 65_536)
        if not chunk:
            break
        text += chunk
    _, status = os.waitpid(child, 0)
    told.killed = os.WIFSIGNALED(status)
    told.lines = [orjson.loads(line) for line in text.split(b"\n") if line]
    told.problem = told.problem or "".join(told.of("failed"))
    return told


class Kind(NamedTuple):
    """A system call on a file of the state directory; all of a kind are made by one thread, as strace counts them."""

    call: str
    file: str


def count(directory: Path) -> Counter[Kind]:
    """How often a whole life makes each kind of call."""
    trace = directory / "trace"
    told = life(directory, "-y", "-e", f"trace={','.join((*CALLS, *_AS_WELL))}", "-o", str(trace))
    assert not told.killed, told.problem
    assert not told.problem, told.problem
    state = directory / "state"
    found: Counter[Kind] = Counter()
    for line in trace.read_text().splitlines():
        match = _CALL.match(line)
        if match is not None and Path(match[2]).is_relative_to(state):
            found[Kind(match[1], str(Path(match[2]).relative_to(state)))] += 1
    return found


def point(directory: Path, kind: Kind, number: int, *, early_answers: bool = False) -> tuple[bool, list[str]]:
    """One point: whether the kill came, and what is wrong afterwards."""
    inject = f"inject={kind.call}:signal=KILL:when={number}"
    at = ("-P", str(directory / "state" / kind.file), "-e", f"trace={kind.call}", "-e", inject)
    lives = [life(directory, *at, early_answers=early_answers)]
    problems = _copy_problems(directory / "state" / COPY_NAME)
    if number % TWICE == 0:
        # F05: the recovery is killed too, at some call of its own.
        inject = f"inject={kind.call}:signal=KILL:when={number // TWICE}"
        again = ("-P", str(directory / "state" / kind.file), "-e", f"trace={kind.call}", "-e", inject)
        lives.append(life(directory, *again, first_id=1_000, world=_world(lives)))
    lives.append(life(directory, first_id=2_000, world=_world(lives)))
    problems += [told.problem for told in lives if told.problem]
    if lives[-1].killed or not lives[-1].of("records"):
        return lives[0].killed, [*problems, "it did not start again"]
    return lives[0].killed, problems + judge(*lives)


def _world(lives: list[Told]) -> dict[str, Any]:
    """What was plugged where when the last of these lives ended."""
    worlds = [world for told in lives for world in told.of("world")]
    return worlds[-1] if worlds else {"levels": {}, "ahead_s": 0.0}


def _copy_problems(copy: Path) -> list[str]:
    """The copy beside the database is there whole, or not at all."""
    if not copy.exists():
        return []
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check").fetchone()
    return [] if verdict == "ok" else [f"the copy is damaged: {verdict}"]


def judge(*lives: Told) -> list[str]:
    """What the checker says of lives in one state directory."""
    ledger, transcript, records = Ledger(), Transcript(), list[dict[str, Any]]()
    for number, told in enumerate(lives):
        ledger.started += [Started(**_asked(line)) for line in told.of("started")]
        ledger.stopped += [Stopped(**_asked(line)) for line in told.of("stopped")]
        ledger.due += [Due(**_asked(line)) for line in told.of("due")]
        ledger.security_events += told.of("security")
        for line in told.lines:
            if "sent" in line:
                _, unique_id, action, _ = orjson.loads(line["sent"])
                transcript.calls.append(Sent(number, unique_id, action, line["sent"].encode(), 0.0, line["given"]))
        records = (told.of("records") or [records])[-1]
    problems = Checker(ledger, transcript, records).problems()
    found = lives[-1].of("found_key")
    if (kept := [value for told in lives for value in told.of("key")]) and found != kept[-1:]:
        problems.append(f"the custom key is {found}, acknowledged was {kept[-1]}")
    return problems


def _asked(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "asked": Asked(**line["asked"])}


def sweep(share: int, shares: int) -> dict[str, Any]:
    """Every point of this share: ``{"kills", "problems"}``.

    Each kind of call goes on until a life has fewer of them: group commits fall a little otherwise each time.
    """
    kills, problems = 0, list[str]()
    with tempfile.TemporaryDirectory(prefix="points-") as place:
        home = Path(place)
        for kind in sorted(count(home)):
            number, killed = share + 1, True
            while killed:
                directory = home / f"{kind.call}-{number}"
                directory.mkdir()
                killed, found = point(directory, kind, number)
                kills += killed
                problems += [f"killed at {kind.call} {number} of {kind.file}: {problem}" for problem in found]
                shutil.rmtree(directory)
                number += shares
    return {"kills": kills, "problems": problems}


if __name__ == "__main__":
    wanted = (sys.argv[1] if len(sys.argv) > 1 else "0/1").split("/")
    print(orjson.dumps(sweep(int(wanted[0]), int(wanted[1])), option=orjson.OPT_INDENT_2).decode())
