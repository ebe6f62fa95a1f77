"""The other sides of a hub for tests of any style: a CSMS in a thread of its own, and a hub as a process of its own.

Owns the thread and the process. Must never need an event loop of the caller: a test may block, or run a loop of
whatever kind, and both go on.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ocpphub.errors import OcpphubError, UnavailableError
from ocpphub.rpc.client import Client
from ocpphub.sim.csms import Csms, Received
from ocpphub.sim.ledger import Ledger
from ocpphub.sim.personalities import Personality, Treatment

START_S: Final = 20.0
STOP_S: Final = 20.0

_T = TypeVar("_T")


class CsmsThread:
    """A :class:`Csms` whose methods block. ``with CsmsThread() as csms: ...``"""

    def __init__(self, personality: Personality | None = None, *, interval_s: int = 300) -> None:
        self._csms = Csms(personality=personality, interval_s=interval_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ocpphub CSMS", daemon=True)

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._thread.start()
        self._run(self._csms.start())

    def stop(self) -> None:
        """Close every connection, end the thread."""
        self._run(self._csms.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The endpoint to configure as ``csms_url``."""
        return self._csms.url

    @property
    def ledger(self) -> Ledger:
        """The sessions that it knows; read it, the thread writes."""
        return self._csms.ledger

    @property
    def received(self) -> list[Received]:
        """Every CALL so far."""
        return list(self._csms.received)

    @property
    def lost_answers(self) -> Mapping[str, int]:
        """How many CALLs of each action were processed and not answered."""
        return dict(self._csms.lost_answers)

    def count(self, action: str, **members: Any) -> int:
        """As :meth:`Csms.count`."""
        return self._csms.count(action, **members)

    def call(self, identity: str, request: Any) -> Any:
        """As :meth:`Csms.call`."""
        return self._run(self._csms.call(identity, request))

    def cut(self, identity: str) -> None:
        """As :meth:`Csms.cut`."""
        self._do(lambda: self._csms.cut(identity))

    def disturb(self, treatment: Treatment, action: str | None = None, *, times: int = 1) -> None:
        """As :meth:`Csms.disturb`."""
        self._do(lambda: self._csms.disturb(treatment, action, times=times))

    def calm(self) -> None:
        """As :meth:`Csms.calm`."""
        self._do(self._csms.calm)

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Wait until a condition on what it received holds; False after ``timeout_s``."""
        return self._run(self._csms.wait_until(condition, timeout_s))

    def _do(self, act: Callable[[], None]) -> None:
        async def acted() -> None:
            act()

        self._run(acted())

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class HubProcess:
    """``ocpphub run`` in a directory of its own, with one charge point.

    ``configuration`` are initial OCPP keys, ``electrical`` keys of ``[charge_point.electrical]`` (connectors of 32 A
    without), ``toml`` is appended to hub.toml as it is (further tables). ``client()`` gives a blocking client of its
    socket.
    """

    def __init__(
        self,
        csms_url: str,
        *,
        identity: str = "HUB-1",
        connectors: int = 4,
        configuration: Mapping[str, Any] | None = None,
        electrical: Mapping[str, Any] | None = None,
        toml: str = "",
    ) -> None:
        # A short path: a Unix socket's is limited to 107 bytes.
        base = "/tmp" if len(tempfile.gettempdir()) > 60 else None  # noqa: S108 - mkdtemp makes it private
        self.directory = Path(tempfile.mkdtemp(prefix="ocpphub-", dir=base))
        self.identity = identity
        self.socket = self.directory / "hub.sock"
        self.log = self.directory / "hub.log"
        self._file = self.directory / "hub.toml"
        tables = _tables(electrical or {"connector_max_a": 32}, configuration or {})
        self._file.write_text(_hub_toml(self.directory, csms_url, identity, connectors, tables + toml))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait for its socket. Raises :class:`UnavailableError` with the last lines of its log."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("OCPPHUB_")}
        command = [sys.executable, "-m", "ocpphub", "run", "-c", str(self._file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)  # noqa: S603
        if not self._wait(lambda: True):
            self.kill()
            raise UnavailableError("not_connected", f"the hub did not start:\n{self.last_log_lines()}")

    def wait_until_accepted(self, timeout_s: float = START_S) -> bool:
        """Wait until the CSMS has accepted the charge point; False after ``timeout_s``."""
        return self._wait(lambda: self.call("charge_point.get")["registration"] == "Accepted", timeout_s)

    def wait_until_delivered(self, timeout_s: float = START_S) -> bool:
        """Wait until nothing waits for the CSMS; False after ``timeout_s``."""
        return self._wait(lambda: self.call("charge_point.get")["queue"]["messages"] == 0, timeout_s)

    def stop(self) -> int:
        """End it in good order (SIGTERM); sessions go on with the next start. The exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """``kill -9``; what it had acknowledged is on disk. The exit code."""
        return self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End it and remove its directory."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def last_log_lines(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def client(self) -> Client:
        """A connection to its socket. Raises :class:`UnavailableError` when it does not run."""
        return Client(self.socket)

    def call(self, method: str, **params: Any) -> Any:
        """One call on a connection of its own."""
        with self.client() as client:
            return client.call(method, **params)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _wait(self, condition: Callable[[], bool], timeout_s: float = START_S) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while self._process is not None and self._process.poll() is None:
            try:
                self.call("rpc.ping")
                if condition():
                    return True
            except OcpphubError:
                pass
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.02)
        return False


def _tables(electrical: Mapping[str, Any], configuration: Mapping[str, Any]) -> str:
    # JSON's texts, numbers, booleans and arrays are TOML's.
    def rows(values: Mapping[str, Any]) -> str:
        return "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in values.items())

    return f"[charge_point.electrical]\n{rows(electrical)}[charge_point.configuration]\n{rows(configuration)}"


def _hub_toml(directory: Path, csms_url: str, identity: str, connectors: int, more: str) -> str:
    return f"""[hub]
socket = {json.dumps(str(directory / "hub.sock"))}
state_directory = {json.dumps(str(directory / "state"))}

[[charge_point]]
identity = {json.dumps(identity)}
csms_url = {json.dumps(csms_url)}
connectors = {connectors}
vendor = "ocpphub"
model = "test"
{more}
"""
