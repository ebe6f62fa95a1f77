"""A thousand clients of one daemon, a hundred of which stop reading: these are cut, the others notice nothing."""

from __future__ import annotations

import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from ocpphub.rpc.output import CHUNK_BYTES
from tests.e2e.daemon_process import DaemonProcess, RawClient

READERS, STOPPED, CALLS, AT_ONCE = 900, 100, 9_000, 20
OUTPUT_BYTES = 256 * 1024
FLOOD = 400
"""Requests of a client that does not read; their answers are far more than it may leave unread."""
SLACK_KIB = 16 * 1024
"""What a thousand connections and a busy allocator take beside unread output."""
KEYS = b'{"jsonrpc":"2.0","id":1,"method":"get_configuration_key"}\n'


class Reader:
    """A client that reads what it is answered; ``answers`` counts those that came in order."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.socket.setblocking(False)
        self.asked = self.answers = 0
        self.sent_s = 0.0
        self._held = b""

    def ask(self, connector_id: int) -> None:
        """Send one request."""
        self.asked += 1
        params = {"connector_id": connector_id}
        request = {"jsonrpc": "2.0", "id": self.asked, "method": "connector.get", "params": params}
        self.sent_s = time.perf_counter()
        self.socket.sendall(orjson.dumps(request) + b"\n")

    def read(self) -> float | None:
        """Seconds the answer took, ``None`` while it is not whole."""
        self._held += self.socket.recv(65_536)
        if not self._held.endswith(b"\n"):
            return None
        answer: Any = orjson.loads(self._held)
        assert answer["id"] == self.asked, "an answer is missing, or another one's"
        assert answer["result"]["status"] == "Unavailable"
        self.answers += 1
        self._held = b""
        return time.perf_counter() - self.sent_s


@contextmanager
def clients(path: Path, count: int) -> Iterator[list[Reader]]:
    """So many connections."""
    made: list[Reader] = []
    try:
        made.extend(Reader(path) for _ in range(count))
        yield made
    finally:
        for client in made:
            client.socket.close()


def converse(readers: list[Reader], meanwhile: Callable[[int], None]) -> list[float]:
    """Let readers take turns, :data:`AT_ONCE` at a time; seconds of each call. ``meanwhile`` hears of each answer."""
    waits_s: list[float] = []
    line = deque(readers)
    with selectors.DefaultSelector() as selector:

        def next_one() -> None:
            reader = line.popleft()
            line.append(reader)
            selector.register(reader.socket, selectors.EVENT_READ, reader)
            reader.ask(1 + len(waits_s) % 10)

        for _ in range(AT_ONCE):
            next_one()
        while len(waits_s) < CALLS:
            ready = selector.select(timeout=10)
            assert ready, f"no answer after {len(waits_s)} calls"
            for key, _ in ready:
                took_s = key.data.read()
                if took_s is not None:
                    selector.unregister(key.fileobj)
                    waits_s.append(took_s)
                    meanwhile(len(waits_s))
                    if len(waits_s) <= CALLS - AT_ONCE:
                        next_one()
    return waits_s


def p99_ms(waits_s: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(waits_s, n=100)[98] * 1000


def until_cut(operator: RawClient) -> dict[str, Any]:
    """``server.info`` once every stopped client is gone, or after ten seconds."""
    deadline_s = time.monotonic() + 10
    while True:
        info: dict[str, Any] = operator.call("server.info")["result"]
        if info["counters"]["cut"] == STOPPED or time.monotonic() > deadline_s:
            return info
        time.sleep(0.02)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path, tail=f"[rpc]\nmax_output_bytes = {OUTPUT_BYTES}\n")
    yield process
    process.stop()


def test_clients_that_stop_reading_are_cut_at_their_limit_and_the_others_get_every_answer(
    daemon: DaemonProcess,
) -> None:
    """T05, T08: 100 of 1,000 leave their answers unread; ``pytest -s`` shows what the others have waited."""
    with (
        clients(daemon.socket, READERS) as readers,
        clients(daemon.socket, STOPPED) as stopped,
        daemon.connect() as operator,
    ):
        alone_s = converse(readers, lambda _: None)
        before_kib = most_kib = daemon.rss_kib()
        idle = deque(stopped)

        def stop_another(answers: int) -> None:
            nonlocal most_kib
            if idle and answers % (CALLS // STOPPED // 2) == 0:
                idle.popleft().socket.sendall(KEYS * FLOOD)
                most_kib = max(most_kib, daemon.rss_kib())

        beside_s = converse(readers, stop_another)

        assert not idle
        info = until_cut(operator)
        assert (info["counters"]["cut"], info["clients"]) == (STOPPED, READERS + 1)
        most_kib = max(most_kib, daemon.rss_kib())
        assert most_kib - before_kib <= STOPPED * (OUTPUT_BYTES + CHUNK_BYTES) // 1024 + SLACK_KIB
        assert [reader.answers for reader in readers] == [2 * CALLS // READERS] * READERS
    assert daemon.log.read_text().count("it left too much output unread") == STOPPED
    print(f"p99 of the others: {p99_ms(alone_s):.1f} ms alone, {p99_ms(beside_s):.1f} ms beside the stopped")
