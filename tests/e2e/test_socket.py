"""The socket of a real daemon, with the tools that a person has: nc, socat, and plain sockets."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.daemon_process import DaemonProcess, RawClient, running_daemon
from tests.rpc.malformed import LARGE, MALFORMED, PARSE

# A stranger has to reach the directories of the test, which those of parallel runs are too private for.
pytestmark = pytest.mark.alone

PING = b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping"}'
PONG = {"jsonrpc": "2.0", "id": 1, "result": "pong"}
KEYS = b'{"jsonrpc":"2.0","id":2,"method":"get_configuration_key","params":{"keys":["NumberOfConnectors"]}}'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with running_daemon(tmp_path_factory.mktemp("daemon")) as process:
        yield process


@pytest.fixture
def client(daemon: DaemonProcess) -> Iterator[RawClient]:
    with daemon.connect() as connected:
        yield connected


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None and not os.environ.get("CI"):
        pytest.skip(f"{name} is not installed")
    assert found is not None, f"{name} is not installed (apt-get install netcat-openbsd socat)"
    return found


def piped(command: list[str], text: bytes) -> list[Any]:
    done = subprocess.run(command, input=text, capture_output=True, timeout=10, check=True)
    return [orjson.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_person_with_nc_gets_the_answers(daemon: DaemonProcess, end: bytes) -> None:
    answers = piped([tool("nc"), "-N", "-U", str(daemon.socket)], PING + b"\n\n" + KEYS + end)

    assert answers[0] == PONG
    assert answers[1]["result"]["configuration_keys"] == [
        {"key": "NumberOfConnectors", "read_only": True, "value": "10"}
    ]


def test_person_with_socat_gets_the_answers(daemon: DaemonProcess) -> None:
    assert piped([tool("socat"), "-", f"UNIX-CONNECT:{daemon.socket}"], PING + b"\r\n") == [PONG]


def test_client_that_half_closes_gets_the_answer_of_a_durable_command(client: RawClient) -> None:
    client.send(b'{"jsonrpc":"2.0","id":5,"method":"monitor_configuration_keys","params":{"keys":["a"]}}')
    client.socket.shutdown(1)

    assert client.read() == {"jsonrpc": "2.0", "id": 5, "result": None}
    assert client.read() is None


def test_http_client_gets_one_line_and_the_end(client: RawClient) -> None:
    client.send(b"GET / HTTP/1.1", b"Host: x", b"")

    assert client.read_all().count(b"\n") == 1


def test_socket_is_for_owner_and_group_only(daemon: DaemonProcess) -> None:
    """T01"""
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_stranger_never_connects_while_daemons_come_and_go(tmp_path: Path) -> None:
    """T01"""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    script = (
        "import os,socket,sys,time\n"
        "os.setgid(65534); os.setgroups([]); os.setuid(65534)\n"
        "bad = seen = 0\n"
        "print('up', flush=True)\n"
        "end = time.monotonic() + 30\n"
        "while not os.path.exists(sys.argv[2]) and time.monotonic() < end:\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    try:\n"
        "        s.connect(sys.argv[1]); bad += 1\n"
        "    except PermissionError: seen += 1\n"
        "    except OSError: pass\n"
        "    s.close()\n"
        "print(bad, seen)\n"
    )
    done = tmp_path / "done"
    command = [shutil.which("python3") or "python3", "-c", script, str(tmp_path / "hub.sock"), str(done)]
    stranger = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert stranger.stdout is not None
    assert stranger.stdout.readline() == "up\n"
    for _ in range(3):
        with running_daemon(tmp_path):
            pass
    done.touch()

    connected, refused = stranger.communicate(timeout=20)[0].split()
    assert connected == "0"
    assert int(refused) > 0


def test_line_of_one_mebibyte_is_answered(client: RawClient) -> None:
    """T06"""
    client.send(PING + b" " * (2**20 - len(PING)))

    assert client.read() == PONG


def test_line_beyond_one_mebibyte_is_refused_and_the_connection_ends(client: RawClient) -> None:
    """T06"""
    client.send(PING)
    assert client.read() == PONG
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(b" " * (2**20 + 1))

    assert client.read()["error"]["code"] == LARGE
    assert client.read_all() == b""


def test_line_without_end_costs_no_memory(daemon: DaemonProcess) -> None:
    """T06"""
    with daemon.connect() as warm:
        warm.send(PING + b" " * (2**20 - len(PING)))
        assert warm.read() == PONG
    before = daemon.rss_kib()
    piece = b"[" * 65_536
    sent = 0
    with daemon.connect() as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 2**30:
            sent += client.socket.send(piece)

    assert sent < 4 * 2**20
    assert daemon.rss_kib() - before <= 2048


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_malformed_request_is_answered_and_all_connections_live(
    daemon: DaemonProcess, client: RawClient, name: str
) -> None:
    """T07"""
    line, code = MALFORMED[name]
    with daemon.connect() as other:
        client.send(line, PING)

        assert client.read()["error"]["code"] == code
        assert client.read() == PONG
        assert other.call("rpc.ping") == PONG


def test_table_of_malformed_requests_is_as_long_as_promised() -> None:
    """T07"""
    assert len(MALFORMED) >= 60
    assert sum(code == PARSE for _, code in MALFORMED.values()) >= 40


def test_batch_is_answered_as_an_array_and_notifications_are_silent(client: RawClient) -> None:
    """T10"""
    notification = b'{"jsonrpc":"2.0","method":"rpc.ping"}'

    client.send(b"[" + notification + b"]", notification, b"[" + PING + b"," + notification + b"," + KEYS + b"]")

    assert [row["id"] for row in client.read()] == [1, 2]


def test_ten_thousand_requests_in_one_piece_are_all_answered_in_order(client: RawClient) -> None:
    """T08"""
    requests = [b'{"jsonrpc":"2.0","id":%d,"method":"rpc.ping"}' % number for number in range(10_000)]

    client.send(*requests)

    assert [client.read()["id"] for _ in requests] == list(range(10_000))


def test_client_that_floods_does_not_keep_another_waiting(daemon: DaemonProcess, client: RawClient) -> None:
    """T08"""
    flood = b"".join(KEYS + b"\n" for _ in range(20_000))
    with daemon.connect() as other:
        client.socket.setblocking(False)
        sent = client.socket.send(flood)
        started_s = time.perf_counter()
        assert other.call("rpc.ping") == PONG
        waited_s = time.perf_counter() - started_s

    assert sent > 0
    assert waited_s < 0.1


def test_client_that_reads_nothing_is_cut_and_another_is_served(daemon: DaemonProcess, client: RawClient) -> None:
    """T05"""
    discover = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 100
    sent = 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 2**26:
            sent += client.socket.send(discover)
    assert sent < 2**26

    with daemon.connect() as other:
        assert other.call("server.info")["result"]["counters"]["cut"] >= 1


def test_subscriber_sees_a_commands_events_and_resumes_after_a_break(daemon: DaemonProcess) -> None:
    with daemon.connect() as first:
        answer = first.call("subscribe", topics=["charge_point.status"])["result"]
        assert answer["snapshot"]["charge_point.status"]["stopped"] is False
    with daemon.connect() as operator:
        assert operator.call("stop")["result"] is True
        assert operator.call("restart")["result"] is True

    with daemon.connect() as second:
        since = {"stream": answer["stream"], "seq": answer["seq"]}
        resumed = second.call("subscribe", topics=["charge_point.status"], since=since)["result"]
        events = [second.read()["params"]]
        while events[-1]["seq"] < resumed["seq"]:
            events.append(second.read()["params"])
        gap = second.call("subscribe", topics=["is_connected"], since={"stream": "x", "seq": 0})["result"]

    assert "gap" not in resumed
    assert {event["topic"] for event in events} == {"charge_point.status"}
    # Before them there may be the state at start, which waits for the first commit.
    assert [event["value"]["stopped"] for event in events[-2:]] == [True, False]
    assert answer["seq"] < events[0]["seq"]
    assert (gap["gap"], gap["snapshot"]) == (True, {"is_connected": False})


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_roles_come_from_the_kernel_and_nothing_in_a_message_changes_them(tmp_path: Path) -> None:
    """T03 T13 T40"""
    roles = '[[rpc.role]]\nrole = "monitor"\nuid = 65534\n[[rpc.role]]\nrole = "operator"\nuid = 0\n'
    with running_daemon(tmp_path, roles) as daemon:
        for parent in (tmp_path, *tmp_path.parents[:2]):
            parent.chmod(0o755)
        daemon.socket.chmod(0o666)
        script = (
            "import os,socket,sys\n"
            "os.setgid(65534); os.setgroups([]); os.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "s.sendall(sys.stdin.buffer.read()); s.shutdown(1)\n"
            "sys.stdout.write(s.makefile().read())\n"
        )
        requests = [
            {"jsonrpc": "2.0", "id": 1, "method": "stop", "params": {"uid": 0}},
            {"jsonrpc": "2.0", "id": 2, "method": "stop", "uid": 0, "role": "operator"},
            {"jsonrpc": "2.0", "id": 3, "method": "security_event", "params": {"type": "t", "info": "i"}},
            {"jsonrpc": "2.0", "id": 4, "method": "charge_point.get"},
        ]
        text = b"".join(orjson.dumps(request) + b"\n" for request in requests)
        command = [shutil.which("python3") or "python3", "-c", script, str(daemon.socket)]
        answers = {row["id"]: row for row in piped(command, text)}

        assert [answers[number]["error"]["code"] for number in (1, 2, 3)] == [-32004] * 3
        assert answers[4]["result"]["stopped"] is False
        with daemon.connect() as operator:
            assert operator.call("server.info")["result"]["counters"]["denied"] == 3
            assert operator.call("stop")["result"] is True


def test_clients_that_come_and_go_leave_nothing_behind(daemon: DaemonProcess) -> None:
    """T09"""
    descriptors = Path(f"/proc/{daemon.process.pid}/fd")

    def come_and_go(count: int) -> None:
        for _ in range(count):
            with daemon.connect() as visitor:
                visitor.call("subscribe", topics=["connector.status"], connectors=[1])
        with daemon.connect() as last:
            assert last.call("server.info")["result"]["clients"] == 1

    come_and_go(500)
    memory_kib, files = daemon.rss_kib(), len(list(descriptors.iterdir()))
    come_and_go(3000)

    assert daemon.rss_kib() - memory_kib <= 1024
    assert abs(len(list(descriptors.iterdir())) - files) <= 2
