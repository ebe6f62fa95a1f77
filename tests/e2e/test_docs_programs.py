"""The Python programs of the documentation, run as they stand there, together: a CSMS, a hub that dials it, clients."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.daemon_process import ROOT, DaemonProcess

PAGES: Final = ("README.md", "docs/tutorial.md", "docs/how-to.md")
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
LOOP: Final = "        while True:\n"
PATIENCE_S: Final = 20.0


def programs() -> list[str]:
    return [block for page in PAGES for block in _BLOCK.findall((ROOT / page).read_text())]


def program(mark: str) -> str:
    """The one program that holds this text."""
    (found,) = (each for each in programs() if mark in each)
    return found


class Program:
    """A program that runs, line by line."""

    def __init__(self, text: str, directory: Path) -> None:
        environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        environment |= {"PYTHONPATH": str(ROOT / "python"), "PYTHONUNBUFFERED": "1", "HOME": str(directory.parent)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", text],
            cwd=directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def line(self, words: str = "") -> str:
        """The next line that holds these words."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                line = ""
            self.seen.append(line)
            assert line, f"no {words!r} in\n{''.join(self.seen)}"
            if words in line:
                return line.strip()

    def poll(self) -> None:
        """Take the lines that are there, or wait a moment for one."""
        with contextlib.suppress(queue.Empty):
            self.seen.append(self._lines.get(timeout=0.1))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def running(text: str, directory: Path) -> Iterator[Program]:
    started = Program(text, directory)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """``~/hub`` of the tutorial."""
    path = tmp_path / "hub"
    path.mkdir()
    return path


def test_every_program_of_the_documentation_is_run_here_or_is_a_test() -> None:
    """One for a CSMS and what is put into it, four clients and hubs, and one that shows the fixtures of pytest."""
    marks = ("async with Csms(", "day_profile", "Hub.from_file", 'Client("ocpphub.sock")', "expanduser", "AsyncClient")
    assert sorted(map(program, marks)) == sorted(text for text in programs() if "pytest.mark.ocpphub" not in text)
    assert "ocpphub_hub.socket" in program("pytest.mark.ocpphub")  # tests/sim/test_fixtures.py


def test_programs_of_the_tutorial_work_together(directory: Path) -> None:
    """The CSMS of chapter 4 with the profile of chapter 6, the clients of README, tutorial and how-to."""
    text = program("async with Csms(")
    assert text.count(LOOP) == 1
    whole = text.replace(LOOP, program("day_profile") + LOOP).replace("HUB-1", "CP1")
    with running(whole, directory) as csms:
        url = csms.line()
        daemon = DaemonProcess(directory, csms_url=url)
        try:
            socket = directory / "ocpphub.sock"
            socket.symlink_to(daemon.socket)
            assert "Accepted" in csms.line("SetChargingProfile")
            assert "BootNotification" in csms.line("BootNotification")
            assert "StatusNotification" in csms.line("StatusNotification")
            with running(program('Client("ocpphub.sock")'), directory) as client:
                assert "HeartbeatInterval" in client.line()
            with running(program("expanduser"), directory) as client:
                with daemon.connect() as operator:
                    while not any("is_connected" in line for line in client.seen):
                        for command in ("stop", "restart"):  # as often as it takes: the client may not listen yet
                            operator.call(command)
                        client.poll()
                assert {line.strip() for line in client.seen} <= {"is_connected False", "is_connected True"}
            controller = program("AsyncClient").replace("/run/ocpphub/ocpphub.sock", str(socket))
            with running(controller, directory) as client:
                assert client.line().startswith("Preparing {")
                assert "Accepted" in client.line()
                assert "'energize': True" in client.line("'energize': True")
        finally:
            assert daemon.stop() == 0
        hub = program("Hub.from_file") + "\n\nimport asyncio\n\nasyncio.run(main())\n"
        with running(hub.replace("HUB-1", "CP1"), directory) as own:
            assert own.line("connected") in ("connected", "disconnected")
            assert own.line("connected") == "connected"
