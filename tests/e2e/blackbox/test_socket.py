"""The socket as such: framing, ids, batches, limits, hostile lines, nc and socat."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
import subprocess
import time
from typing import Any

import pytest

from .conftest import Rig, Rpc, Shared, point, wait_for

PING = b'{"jsonrpc":"2.0","id":"p","method":"rpc.ping"}'


def alive(rpc: Rpc) -> None:
    answer = rpc.ask(PING)
    assert answer["id"] == "p"
    assert "result" in answer


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", -32700),
        (b"nonsense", -32700),
        (b"\xff\xfe", -32700),
        (b'"\\ud800"', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","id":2}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","params":{"charge_point":"a","charge_point":"b"}}', -32700),
        (b"[" * 40 + b"]" * 40, -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","params":{"x":1e999}}', -32700),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"rpc.ping"}', -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b'"x"', -32600),
        (b"null", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"rpc.ping"}', -32600),
        (b'{"id":1,"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":2.0,"id":1,"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"rpc.ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"Stop"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"__class__"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"' + b"m" * 5000 + b'"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","params":[1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping","params":{"q":1}}', -32602),
    ],
    ids=lambda value: str(value)[:60],
)
def test_client_sends_a_bad_line_and_the_connection_lives(rpc: Rpc, line: bytes, code: int) -> None:
    """rpc.md rules, X-27: the standard code, structured data, no echo, and the next request works."""
    answer = rpc.ask(line)
    assert answer["jsonrpc"] == "2.0"
    assert answer["error"]["code"] == code, answer
    assert set(answer["error"]["data"]) >= {"code", "path", "hint"}
    assert "mmmmm" not in json.dumps(answer)
    alive(rpc)


@pytest.mark.parametrize("request_id", [1, 0, -5, 2**53, "", "x" * 200, '\u00e4\n"'], ids=lambda v: repr(v)[:20])
def test_client_chooses_an_id_and_gets_it_back(rpc: Rpc, request_id: Any) -> None:
    """rpc.md: ids are strings or integers."""
    assert rpc.ask({"jsonrpc": "2.0", "id": request_id, "method": "rpc.ping"})["id"] == request_id


def test_client_uses_crlf_blank_lines_and_pieces(rpc: Rpc) -> None:
    """rpc.md framing."""
    rpc.raw(b"\r\n\n  \n" + PING + b"\r\n\n")
    assert rpc.message()["id"] == "p"
    for byte in PING + b"\n":
        rpc.raw(bytes([byte]))
    assert rpc.message()["id"] == "p"
    rpc.raw((PING + b"\n") * 200)
    assert [rpc.message()["id"] for _ in range(200)] == ["p"] * 200


def test_client_half_closes_and_still_gets_answers(shared: Shared) -> None:
    """rpc.md: a client that half-closes after its request still gets its answers, the slow ones too."""
    shared.csms.script["DataTransfer"] = None
    with shared.hub.rpc() as rpc:
        rpc.post("data_transfer", {"vendor_id": "V"})
        rpc.post("rpc.ping")
        rpc.socket.shutdown(socket.SHUT_WR)
        call = wait_for(lambda: shared.link.calls("DataTransfer"), "call")[-1]
        shared.link.send([3, call[1], {"status": "Accepted"}])
        assert {rpc.message()["id"], rpc.message()["id"]} == {1, 2}
        assert rpc.line() == b""
    shared.csms.script["DataTransfer"] = {"status": "Accepted"}


def test_client_leaves_out_the_newline_at_the_end_and_nothing_breaks(shared: Shared) -> None:
    """rpc.md framing: an unfinished line at the end of the stream does no harm."""
    with shared.hub.rpc() as rpc:
        rpc.raw(PING[:20])
        rpc.socket.shutdown(socket.SHUT_WR)
        rpc.line()
    with shared.hub.rpc() as rpc:
        alive(rpc)


@pytest.mark.parametrize("verb", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /rpc HTTP/1.1\r\n\r\n"])
def test_browser_speaks_http_and_gets_one_line_of_help(shared: Shared, verb: bytes) -> None:
    """rpc.md: an HTTP verb is answered with one line of plain help and closed."""
    with shared.hub.rpc() as rpc:
        rpc.raw(verb)
        help_line = rpc.line()
        assert help_line
        assert not help_line.startswith(b"{")
        assert rpc.line() == b""


def test_client_sends_a_line_beyond_the_limit_and_is_told(shared: Shared) -> None:
    """rpc.md Limits, -32010 too_large; other clients go on."""
    with shared.hub.rpc() as rpc:
        limit = rpc.call("server.info")["limits"]["line_bytes"]
        assert limit == 1 << 20
        fits = b'{"jsonrpc":"2.0","id":"p","method":"rpc.ping","params":{"x":"'
        rpc.raw(fits + b"x" * (limit - len(fits) - 4) + b'"}}\n')
        assert rpc.message()["error"]["code"] == -32602
        with contextlib.suppress(BrokenPipeError):
            rpc.raw(b"y" * (limit + 100) + b"\n")
        answer = json.loads(rpc.line())
        assert answer["error"]["code"] == -32010
        assert answer["error"]["data"]["code"] == "too_large"
    with shared.hub.rpc() as rpc:
        alive(rpc)


def test_client_sends_a_batch_and_gets_one_array(rpc: Rpc, shared: Shared) -> None:
    """rpc.md Batches: effects in order, notifications unanswered, bad members answered singly."""
    answer = rpc.ask(
        [
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "set_custom_configuration_key",
                "params": {"key": "Colour", "value": "one"},
            },
            {"jsonrpc": "2.0", "method": "set_custom_configuration_key", "params": {"key": "Colour", "value": "two"}},
            {"jsonrpc": "2.0", "id": 2, "method": "get_configuration_key", "params": {"keys": ["Colour"]}},
            5,
            {"jsonrpc": "2.0", "id": "x", "method": "nope"},
        ]
    )
    assert isinstance(answer, list)
    by_id = {str(m["id"]): m for m in answer}
    assert set(by_id) == {"1", "2", "None", "x"}
    assert by_id["1"]["result"] == "Accepted"
    assert by_id["2"]["result"]["configuration_keys"][0]["value"] == "two"
    assert by_id["None"]["error"]["code"] == -32600
    assert by_id["x"]["error"]["code"] == -32601
    assert shared.link.value("Colour")["value"] == "two"


def test_client_sends_only_notifications_and_hears_nothing(rpc: Rpc) -> None:
    """rpc.md: a notification is executed, never answered; its errors are counted in server.info."""
    before = rpc.call("server.info")["counters"]["notification_errors"]
    rpc.raw(b'{"jsonrpc":"2.0","method":"nope"}\n[{"jsonrpc":"2.0","method":"rpc.ping","params":[1]}]\n')
    rpc.raw(b'{"jsonrpc":"2.0","method":"set_custom_configuration_key","params":{"key":"Colour","value":"quiet"}}\n')
    assert rpc.call("get_configuration_key", keys=["Colour"])["configuration_keys"][0]["value"] == "quiet"
    assert rpc.call("server.info")["counters"]["notification_errors"] == before + 2


def test_client_sends_a_batch_beyond_the_limit_and_is_refused(rpc: Rpc) -> None:
    """rpc.md Limits: batch of 1,000."""
    one = {"jsonrpc": "2.0", "id": 1, "method": "rpc.ping"}
    assert len(rpc.ask([one] * 1000)) == 1000
    answer = rpc.ask([one] * 1001)
    assert answer["error"]["code"] in (-32010, -32600)
    alive(rpc)


def test_clients_see_a_socket_that_is_not_world_accessible(shared: Shared) -> None:
    """rpc.md Access: mode 0660; state directory 0700."""
    mode = stat.S_IMODE(os.stat(shared.hub.socket).st_mode)
    assert mode == 0o660
    assert stat.S_IMODE(os.stat(shared.hub.directory / "state").st_mode) == 0o700


def test_monitor_may_look_but_not_touch(rig: Rig) -> None:
    """rpc.md Access: roles by uid; -32004 forbidden."""
    hub = rig.hub(point(), rpc=f'[[rpc.role]]\nrole = "monitor"\nuid = {os.getuid()}').start()
    with hub.rpc() as rpc:
        for method in ("charge_point.get", "get_configuration_key", "server.info", "rpc.ping"):
            rpc.call(method)
        rpc.call("subscribe", topics=["is_connected"])
        forbidden: dict[str, dict[str, Any]] = {
            "stop": {},
            "restart": {},
            "data_transfer": {"vendor_id": "V"},
            "security_event": {"type": "T", "info": "I"},
            "set_custom_configuration_key": {"key": "Colour", "value": "x"},
            "monitor_configuration_keys": {"keys": ["a"]},
            "subscribe": {"topics": ["ocpp.message"]},
        }
        for method, params in forbidden.items():
            assert rpc.fails(method, params).code == -32004, method


@pytest.mark.parametrize("role", ["controller", "energy"])
def test_role_reaches_exactly_its_methods(rig: Rig, role: str) -> None:
    """rpc.md Access: controller adds data_transfer and security_event; energy is monitor plus station.set_limit."""
    hub = rig.hub(point(), rpc=f'[[rpc.role]]\nrole = "{role}"\nuid = {os.getuid()}').start()
    with hub.rpc() as rpc:
        calls = {"data_transfer": {"vendor_id": "V"}, "security_event": {"type": "T", "info": "I"}}
        for method, params in calls.items():
            if role == "controller":
                rpc.call(method, **params)
            else:
                assert rpc.fails(method, params).code == -32004
        for method in ("stop", "restart"):
            assert rpc.fails(method).code == -32004


def test_shell_user_talks_through_nc_and_socat(shared: Shared) -> None:
    """rpc.md: `nc -U` and `socat` work without a library."""
    for command in (
        ["nc", "-N", "-U", str(shared.hub.socket)],
        ["socat", "-t", "5", "-", f"UNIX-CONNECT:{shared.hub.socket}"],
    ):
        done = subprocess.run(command, input=PING + b"\n", capture_output=True, timeout=10, check=True)
        assert json.loads(done.stdout)["id"] == "p"


def test_client_that_does_not_read_is_cut_and_harms_nobody(rig: Rig) -> None:
    """rpc.md Limits: unread output; no slow client slows another or the link."""
    csms = rig.csms()
    hub = rig.hub(point(url=csms.url), rpc="[rpc]\nmax_output_bytes = 65536").start()
    link = csms.booted()
    with hub.rpc() as greedy, hub.rpc() as good:
        greedy.call("subscribe", topics=["ocpp.message"])
        ask = b'{"jsonrpc":"2.0","id":1,"method":"get_configuration_key"}\n'
        greedy.socket.settimeout(0.2)
        end = time.monotonic() + 8
        cut = False
        while not cut and time.monotonic() < end:
            try:
                greedy.socket.sendall(ask * 50)
            except TimeoutError:
                link.result("GetConfiguration")
                cut = good.call("server.info")["counters"]["cut"] > 0
            except OSError:
                cut = True
        assert cut
        start = time.monotonic()
        alive(good)
        assert time.monotonic() - start < 1
        assert link.result("GetConfiguration", {"key": ["ResetRetries"]})


def test_hostile_client_mutates_lines_and_good_requests_go_on(shared: Shared) -> None:
    """issue "Bad input gets", X-27: 1,500 mutated lines; a good request between is answered."""
    rng = random.Random(16)  # noqa: S311 - a repeatable stream
    seeds = [
        PING,
        b'{"jsonrpc":"2.0","id":2,"method":"get_configuration_key","params":{"keys":["ResetRetries"]}}',
        b'{"jsonrpc":"2.0","id":3,"method":"subscribe","params":{"topics":["is_connected"],"connectors":"1-3"}}',
        b'[{"jsonrpc":"2.0","id":4,"method":"server.info"}]',
    ]
    with shared.hub.rpc() as rpc, shared.hub.rpc() as good:
        for number in range(1500):
            line = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(1, 6)):
                line[rng.randrange(len(line))] = rng.randrange(256)
            rpc.raw(bytes(line).replace(b"\n", b" ") + b"\n")
            if number % 250 == 0:
                alive(good)
        rpc.raw(b'{"jsonrpc":"2.0","id":"end","method":"rpc.ping"}\n')
        while True:
            message = rpc.message()
            if isinstance(message, dict) and message.get("id") == "end":
                break
        alive(good)
    assert shared.hub.process is not None
    assert shared.hub.process.poll() is None
    assert "Traceback" not in shared.hub.text()


def test_client_asks_what_there_is_and_every_method_answers(rpc: Rpc) -> None:
    """rpc.md `rpc.discover`: the seven commands and the rest of this version are listed, and each is known."""
    document = rpc.call("rpc.discover")
    names = {m["name"] for m in document["methods"]}
    assert names >= {
        "stop", "restart", "data_transfer", "get_configuration_key", "set_custom_configuration_key",
        "monitor_configuration_keys", "security_event", "get_variable", "subscribe", "unsubscribe",
        "charge_point.get", "server.info", "rpc.ping", "rpc.use",
    }  # fmt: skip
    for name in sorted(names):
        assert rpc.fails(name, {"no_such_parameter": 1}).code == -32602, name
