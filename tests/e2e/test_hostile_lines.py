"""Ten thousand random or mutated lines: the daemon answers good requests in time, and does not grow."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import orjson

from tests.e2e.daemon_process import DaemonProcess, RawClient, running_daemon
from tests.rpc.malformed import MALFORMED

LINES, EVERY, WARM = 10_000, 500, 2_000
ANSWER_S = 0.05
GROWTH_KIB = 2048
SEEDS = [
    b'{"jsonrpc":"2.0","id":1,"method":"get_configuration_key","params":{"keys":["HeartbeatInterval"]}}',
    b'{"jsonrpc":"2.0","id":"x","method":"subscribe","params":{"topics":["is_connected"],"connectors":"1-3"}}',
    b'{"jsonrpc":"2.0","id":3,"method":"data_transfer","params":{"vendor_id":"v","data":"d"}}',
    b'{"jsonrpc":"2.0","id":4,"method":"set_custom_configuration_key","params":{"key":"k","value":"v"}}',
    b'{"jsonrpc":"2.0","id":5,"method":"connector.get","params":{"connector_id":3}}',
    b'{"jsonrpc":"2.0","method":"rpc.ping"}',
    b'[{"jsonrpc":"2.0","id":6,"method":"rpc.ping"},{"jsonrpc":"2.0","id":7,"method":"server.info"}]',
    *(line for line, _ in MALFORMED.values() if len(line) < 2_000),
]


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    3.5,
    2**53,
    "",
    "x" * 300,
    "\u0000",
    [],
    {},
    [[]],
    {"a": 1},
    ["k"] * 30,
    "HeartbeatInterval",
]


def odd(dice: random.Random, value: Any) -> Any:
    """A JSON value like ``value`` with some parts replaced, dropped or added."""
    if dice.random() < 0.15:
        return dice.choice(ODD)
    if isinstance(value, dict):
        kept = {key: odd(dice, part) for key, part in value.items() if dice.random() < 0.95}
        if dice.random() < 0.1:
            kept[dice.choice(["x", "id", "params", "charge_point"])] = dice.choice(ODD)
        return kept
    if isinstance(value, list):
        return [odd(dice, part) for part in value for _ in range(dice.choice([1, 1, 1, 0, 2]))]
    return value


def hostile(dice: random.Random) -> bytes:
    """A random line, good JSON that is no good request, or a mutated text; without a newline."""
    way = dice.random()
    if way < 0.1:
        return dice.randbytes(dice.randrange(1, 300)).replace(b"\n", b" ")
    if way < 0.6:
        return orjson.dumps(odd(dice, orjson.loads(dice.choice(SEEDS[:7]))))
    line = bytearray(dice.choice(SEEDS))
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(len(line) + 1)
        match dice.randrange(4):
            case 0:
                line[at : at + dice.randrange(1, 8)] = b""
            case 1:
                line[at:at] = dice.randbytes(dice.randrange(1, 5))
            case 2:
                line[at:at] = dice.choice(SEEDS)[: dice.randrange(1, 40)]
            case _:
                line[at : at + 1] = dice.choice([b"[", b"{", b'"', b"\\", b"0", b",", b"}", b"\xff", b"null"])
    return bytes(line).replace(b"\n", b" ")


def answered_in_time(daemon: DaemonProcess) -> None:
    """The best of three: a busy machine can delay one answer, a daemon that blocks delays all."""
    waits_s = []
    for _ in range(3):
        with daemon.connect() as client:
            started_s = time.perf_counter()
            assert client.call("rpc.ping")["result"] == "pong"
            waits_s.append(time.perf_counter() - started_s)
    assert min(waits_s) <= ANSWER_S


def send_hostile(client: RawClient, dice: random.Random, count: int) -> None:
    """Send lines and read to their end, so that no answer is left unread."""
    lines = [hostile(dice) for _ in range(count)]
    # A line like an HTTP request would end the connection, which is another test's business.
    client.send(*(b" " + line for line in lines), b'{"jsonrpc":"2.0","id":"end","method":"rpc.ping"}')
    while True:
        message = client.read()
        if isinstance(message, dict) and message.get("id") == "end":
            return


def test_daemon_under_ten_thousand_hostile_lines_answers_in_time_and_does_not_grow(tmp_path: Path) -> None:
    """T06 T07 T10"""
    dice = random.Random(20261121)  # noqa: S311  # not for secrets
    with running_daemon(tmp_path) as daemon:
        answered_in_time(daemon)
        warm_kib = 0
        for sent in range(EVERY, LINES + 1, EVERY):
            with daemon.connect() as client:
                send_hostile(client, dice, EVERY)
            answered_in_time(daemon)
            if sent == WARM:
                warm_kib = daemon.rss_kib()

        assert daemon.rss_kib() - warm_kib <= GROWTH_KIB
        assert "Traceback" not in daemon.log.read_text()
