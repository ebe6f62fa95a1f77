"""A hub as a real process that may be killed at any moment and started again in the same state directory.

Owns configuration file, child process and socket path of one hub. Must never reach into the hub: everything else goes
over its socket. The child runs :mod:`tests.torture.child`, which changes the product from outside only.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocpphub.errors import OcpphubError
from ocpphub.rpc.client import AsyncClient

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
HEAD = """
[hub]
socket = "{socket}"
state_directory = "{state}"
{hub}

[[charge_point]]
identity = "{identity}"
csms_url = "{csms_url}"
connectors = {connectors}
vendor = "V"
model = "M"
[charge_point.electrical]
connector_max_a = 32
[charge_point.link]
{link}
[charge_point.configuration]
{configuration}
{more}
"""


def toml(settings: dict[str, Any]) -> str:
    """``key = value`` lines; JSON's notation of texts, numbers and flags is TOML's too."""
    return "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())


@dataclass(slots=True)
class Site:
    """What one hub is configured with; ``back_off_s`` shortens the wait after a lost link from outside."""

    csms_url: str
    connectors: int = 10
    identity: str = "CP1"
    hub: dict[str, Any] = field(default_factory=dict)
    link: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    more: str = ""
    back_off_s: float = 0.1
    early_answers: bool = False
    """Whether the store tells each commit before it makes it: the control that a checker must refuse."""


class HubProcess:
    """One hub in ``directory``; it may be started and killed as often as wanted."""

    def __init__(self, directory: Path, site: Site) -> None:
        self.directory = directory
        self.socket = directory / "s"
        self.state = directory / "state"
        self.log = directory / "log"
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None
        self.starts_s: list[float] = []
        """From the start of the process to the first answer, of each start that was waited for."""
        self.own_starts_s: list[float] = []
        """The same without what the process waited for a processor that others had."""
        self._is_wrapped = False
        self._file = directory / "hub.toml"
        self._file.write_text(
            HEAD.format(
                socket=self.socket,
                state=self.state,
                hub=toml(site.hub),
                identity=site.identity,
                csms_url=site.csms_url,
                connectors=site.connectors,
                link=toml(site.link),
                configuration=toml(site.configuration),
                more=site.more,
            )
        )

    def spawn(self, wrapper: Sequence[str] = ()) -> None:
        """Start the process, under ``wrapper`` (``strace ...``) if one is given; return at once."""
        environment = {key: value for key, value in os.environ.items() if key in PASSED_ON}
        environment |= {
            "PYTHONPATH": f"{ROOT / 'python'}:{ROOT}",
            "PYTHONWARNINGS": "ignore",
            "TORTURE_BACK_OFF_S": str(self.site.back_off_s),
            "TORTURE_EARLY_ANSWERS": "1" if self.site.early_answers else "",
        }
        self._is_wrapped = bool(wrapper)
        command = [*wrapper, sys.executable, "-m", "tests.torture.child", "run", "-c", str(self._file)]
        self._spawned_s = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)

    async def answered(self) -> float:
        """Wait for the first answer; the seconds since the process was started. ``AssertionError`` when it ended."""
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self.is_running:
            try:
                async with AsyncClient(self.socket) as client:
                    await client.call("rpc.ping")
            except OcpphubError:
                await asyncio.sleep(0.01)
                continue
            self.starts_s.append(time.monotonic() - self._spawned_s)
            self.own_starts_s.append(self.starts_s[-1] - self._waited_s())
            return self.starts_s[-1]
        raise AssertionError(f"the hub in {self.directory} did not start:\n{self.log_tail()}")

    def _waited_s(self) -> float:
        """How long the main thread was ready to run and did not (proc(5), schedstat)."""
        assert self.process is not None
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0

    async def start(self, wrapper: Sequence[str] = ()) -> float:
        """:meth:`spawn` and :meth:`answered`."""
        self.spawn(wrapper)
        return await self.answered()

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    async def kill(self) -> None:
        """``kill -9`` of the hub, behind whatever it was started under, and wait until it is gone."""
        if self.process is None:
            return
        for child in self._children():
            os.kill(child, signal.SIGKILL)
        if not self._is_wrapped:
            self.process.kill()
        await self.ended(10.0)

    def _children(self) -> list[int]:
        """The hub itself where the process is a wrapper around it, else nothing."""
        assert self.process is not None
        if not self._is_wrapped or not self.is_running:
            return []
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in text.split()]

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended(20.0)

    async def ended(self, timeout_s: float) -> int:
        """The exit code of a process that ends by itself. ``AssertionError`` when it does not, and it is killed."""
        assert self.process is not None
        try:
            return await asyncio.to_thread(self.process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the hub in {self.directory} did not end:\n{self.log_tail()}") from None

    async def until(
        self, condition: Callable[[Any], bool], timeout_s: float, method: str = "charge_point.get", **params: Any
    ) -> Any:
        """Ask ``method`` until the condition holds for its result; the last result, whether it holds or not."""
        deadline_s = time.monotonic() + timeout_s
        async with AsyncClient(self.socket) as client:
            while True:
                result = await client.call(method, **params)
                if condition(result) or time.monotonic() > deadline_s:
                    return result
                await asyncio.sleep(0.02)

    def log_tail(self) -> str:
        """The last lines that the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:]) if self.log.exists() else ""

    async def __aenter__(self) -> HubProcess:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.is_running:
            await self.kill()
