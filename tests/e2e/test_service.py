"""The daemon under a service manager, and its end while everybody else is stuck; both are child processes."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.daemon_process import CONFIGURATION, NOWHERE, ROOT, DaemonProcess, RawClient

LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "ocpphub", "run", "-c", sys.argv[2]])
"""
LONG = "x" * 49
"""An identity that is worth a warning."""
FREE = '[[charge_point.connector]]\nids = "1"\nfree_vend_id_tag = "FREE"\n'


class Supervisor:
    """What systemd is to a daemon: a listening socket, and a place to be told."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "hub.sock"
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(self.path))
        self.listening.listen()
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(directory / "notify"))
        self.notified.settimeout(20)
        self.file = directory / "hub.toml"
        words = {"socket": self.path, "state": directory / "state", "csms_url": NOWHERE, "connectors": 2}
        text = CONFIGURATION.format(**words, more='log_format = "json"')
        self.file.write_text(text.replace("CP1", LONG))
        self.log = directory / "log"
        environment = {"PYTHONPATH": str(ROOT / "python"), "PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
        environment |= {"NOTIFY_SOCKET": str(directory / "notify"), "WATCHDOG_USEC": "200000"}
        environment |= {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "ocpphub.socket"}
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", LAUNCHER, str(self.listening.fileno()), str(self.file)]
            fds = (self.listening.fileno(),)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, pass_fds=fds)

    def hears(self, word: str) -> str:
        """The next datagram with this assignment."""
        while word not in (heard := self.notified.recv(4096).decode()).split("\n"):
            continue
        return heard

    def records(self) -> list[dict[str, str]]:
        """The log."""
        return [orjson.loads(line) for line in self.log.read_bytes().splitlines()]

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()
        self.listening.close()
        self.notified.close()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    made.close()


def test_daemon_under_a_service_manager_from_its_start_to_its_end(supervisor: Supervisor) -> None:
    """F48 T38: a client connects before the daemon is up; ready, alive, reload, stopping; the socket outlives it."""
    early = RawClient(supervisor.path)
    assert "STATUS=up, charge points: 1" in supervisor.hears("READY=1")
    supervisor.hears("WATCHDOG=1")
    assert early.call("rpc.ping")["result"] == "pong"

    text = supervisor.file.read_text()
    supervisor.file.write_text(text + "nonsense = true\n")
    supervisor.process.send_signal(signal.SIGHUP)
    supervisor.hears("RELOADING=1")
    assert "STATUS=reload refused: 1 problem" in supervisor.hears("READY=1")
    supervisor.file.write_text(text + FREE + f'[[rpc.role]]\nrole = "monitor"\nuid = {os.getuid()}\n')
    supervisor.process.send_signal(signal.SIGHUP)
    supervisor.hears("RELOADING=1")
    assert "STATUS=reloaded: 2 keys taken" in supervisor.hears("READY=1")
    assert early.read() is None, "it was an operator, and is a monitor now"
    early.close()
    with RawClient(supervisor.path) as again:
        assert again.call("restart")["error"]["code"] == -32004
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.hears("STOPPING=1")
        assert supervisor.process.wait(5) == 0

    waiting = RawClient(supervisor.path)  # for the next start
    waiting.close()
    # Every record is one JSON object, what is said before the start and about a bad file among them.
    said = {(record["level"], word) for record in supervisor.records() for word in record["message"].split()}
    assert {("warning", "charge_point[0].identity"), ("error", "is"), ("info", "rpc.role")} <= {
        (level, word.rstrip(",:")) for level, word in said
    }


@contextmanager
def stuck_csms() -> Iterator[str]:
    """A CSMS that agrees to the WebSocket and then neither reads nor says a word, not even to a close frame."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def serve() -> None:
            peer, _ = listening.accept()
            held.append(peer)
            head = b""
            while b"\r\n\r\n" not in head:
                head += peer.recv(4096)
            key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            digest = hashlib.sha1(key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/ocpp"
        thread.join()
        for peer in held:
            peer.close()


def stuck_client(daemon: DaemonProcess) -> RawClient:
    """A client that has asked for more than its socket holds, and reads nothing."""
    client = daemon.connect()
    client.send(*[orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"})] * 20)
    return client


def answer(client: RawClient, method: str, **params: object) -> Any:
    """A result; the leases that come between are not it."""
    message = client.call(method, **params)
    while "id" not in message:
        message = client.read()
    return message["result"]


def test_sigterm_ends_the_daemon_within_five_seconds_though_csms_and_client_are_stuck(tmp_path: Path) -> None:
    """F47: and the transaction that runs is there again after the next start."""
    more = 'charge_before_accepted = "always"'
    with stuck_csms() as url:
        daemon = DaemonProcess(tmp_path, more, url)
        file = tmp_path / "hub.toml"
        try:
            with daemon.connect() as controller:
                while not answer(controller, "get_variable", name="is_connected")["value"]:
                    time.sleep(0.01)
                file.write_text(file.read_text() + FREE)
                daemon.process.send_signal(signal.SIGHUP)
                answer(controller, "controller.attach", connectors=1)
                session = None
                while session is None:  # until the reload has given the connector its tag
                    levels = {"connector_id": 1, "ev_ready": True, "evse_ready": True}
                    answer(controller, "connector.report", plugged=False, **levels)
                    state = answer(controller, "connector.report", plugged=True, energy_wh=1000, **levels)
                    session = state["transaction"]
                stuck = stuck_client(daemon)
                answer(controller, "rpc.ping")  # it has been served as far as it lets itself be
                begin_s = time.monotonic()

                code = daemon.stop()

                assert time.monotonic() - begin_s < 5
                assert code == 0, daemon.log.read_text()
                stuck.close()
        finally:
            daemon.process.kill()
            daemon.process.wait()
    daemon = DaemonProcess(tmp_path, more)
    try:
        with daemon.connect() as client:
            state = client.call("connector.get", connector_id=1)["result"]
        assert state["transaction"]["session_id"] == session["session_id"]
    finally:
        assert daemon.stop() == 0
