"""The daemon as a child process, as an operator starts it, and raw access to its socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = """
[hub]
socket = "{socket}"
state_directory = "{state}"
{more}

[[charge_point]]
identity = "CP1"
csms_url = "{csms_url}"
connectors = {connectors}
vendor = "V"
model = "M"
[charge_point.electrical]
connector_max_a = 32
"""
NOWHERE = "ws://127.0.0.1:1/ocpp"
"""A port where nobody listens: the link is never up."""
START_S = 20.0


class DaemonProcess:
    """A running daemon."""

    def __init__(
        self, directory: Path, more: str = "", csms_url: str = NOWHERE, connectors: int = 10, tail: str = ""
    ) -> None:
        self.socket = directory / "hub.sock"
        self.state = directory / "state"
        file = directory / "hub.toml"
        words = {"socket": self.socket, "state": self.state, "more": more, "csms_url": csms_url}
        file.write_text(CONFIGURATION.format(**words, connectors=connectors) + tail)
        self.log = directory / "log"
        # An environment of its own, so that a sanitiser or coverage of the tests does not leak into it.
        environment = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")}
        environment |= {"PYTHONPATH": str(ROOT / "python"), "PYTHONWARNINGS": "ignore"}
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "ocpphub", "run", "-c", str(file)]
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        self._wait_until_served()

    def stop(self) -> int:
        """SIGTERM, then the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def rss_kib(self) -> int:
        """Resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def connect(self) -> RawClient:
        """A raw connection."""
        return RawClient(self.socket)

    def _wait_until_served(self) -> None:
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                with self.connect() as client:
                    client.call("rpc.ping")
                    return
            except OSError:
                time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")


class RawClient:
    """Bytes in, lines out."""

    def __init__(self, path: Path, timeout_s: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.settimeout(timeout_s)
            self.socket.connect(str(path))
        except BaseException:
            self.socket.close()
            raise
        self._reader = self.socket.makefile("rb")

    def send(self, *lines: bytes) -> None:
        """Send lines, newline added."""
        self.socket.sendall(b"".join(line + b"\n" for line in lines))

    def read(self) -> Any:
        """The next message; ``None`` at the end of the stream."""
        line = self._reader.readline()
        return orjson.loads(line) if line else None

    def read_all(self) -> bytes:
        """Everything until the daemon closes; a reset is an end too."""
        text = b""
        try:
            while chunk := self._reader.read1():
                text += chunk
        except ConnectionResetError:
            pass
        return text

    def call(self, method: str, **params: Any) -> Any:
        """One request and its answer."""
        self.send(orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
        return self.read()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self.socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def running_daemon(directory: Path, more: str = "", csms_url: str = NOWHERE) -> Iterator[DaemonProcess]:
    """A daemon that ends with the block; its exit code must be 0."""
    daemon = DaemonProcess(directory, more, csms_url)
    try:
        yield daemon
    finally:
        code = daemon.stop()
    assert code == 0, daemon.log.read_text()
