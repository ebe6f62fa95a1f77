"""The WebSocket link: URL, handshake, authentication, liveness, framing, retries."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from websockets.typing import Subprotocol

from .conftest import Csms, Hub, RawCsms, Rig, basic, open_rig, point, refusal, wait_for

KEY = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"


def key_file(hub: Hub, key: str = KEY) -> None:
    path = hub.directory / "key"
    path.touch(0o600)
    path.write_text(key + "\n")


def test_csms_logs_the_request_of_every_identity(rig: Rig) -> None:
    """J-101..J-106, J-121, J-122, J-130, J-322, J-148, CORE-RPC-01, CORE-RPC-02."""
    csms = rig.csms()
    base = f"ws://127.0.0.1:{csms.port}"
    wanted = {
        "RDAM 123": (f"{base}/ocpp", "/ocpp/RDAM%20123"),
        "A|B": (f"{base}/ocpp/", "/ocpp/A%7CB"),
        "a/b": (base, "/a%2Fb"),
        "q?x": (f"{base}/ocpp?t=1", "/ocpp/q%3Fx?t=1"),
        "h#x%20": (f"{base}/", "/h%23x%2520"),
        "caf\u00e9": (f"{base}/x/y", "/x/y/caf%C3%A9"),
        "DE*ABC*E1": (f"{base}/ocpp", "/ocpp/DE*ABC*E1"),
        "a:b@c!$&'()+,;=": (f"{base}/ocpp", "/ocpp/a:b@c!$&'()+,;="),
    }
    hub = rig.hub(*[point(identity, url, connectors=1) for identity, (url, _) in wanted.items()])
    hub.environment = {
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "all_proxy": "socks5h://127.0.0.1:9",
    }
    hub.start()
    wait_for(lambda: len(csms.links) == len(wanted), "all connections")
    assert sorted(link.path for link in csms.links) == sorted(path for _, path in wanted.values())
    for link in csms.links:
        assert [v for k, v in link.raw_headers if k.lower() == "sec-websocket-protocol"] == ["ocpp1.6"]
        assert link.headers["sec-websocket-version"] == "13"
        assert "sec-websocket-extensions" not in link.headers
        assert "authorization" not in link.headers


def test_csms_of_profile_1_reads_the_raw_key(rig: Rig) -> None:
    """J-141, J-142, J-143, J-146: the example of OCPP-J 6.2.2, byte by byte."""
    csms = rig.csms()
    hub = rig.hub(point("AL1000", csms.url, security='profile = 1\nauthorization_key_file = "key"'))
    key_file(hub)
    hub.start()
    link = csms.link()
    assert link.headers["authorization"] == "Basic QUwxMDAwOgABAgMEBQYH////////////////"


def tried_twice(server: Csms) -> bool:
    return len(server.attempts) >= 2


def test_csms_servers_refuse_in_every_way_and_all_are_tried_again(rig: Rig) -> None:
    """CORE-RPC-03, CORE-RPC-04, J-123, J-124, J-126..J-129, J-131, J-341, CORE-RPC-15, CORE-STAT-09, S-152, S-154.

    One wait for all: refusals are retried after 5 s or more, a redirect is not followed, no subprotocol means no frame,
    and after a lost link neither Boot nor unchanged states are sent again, but the event raised meanwhile, once.
    A new AuthorizationKey is used at the next connection and after a kill -9.
    """
    away = rig.csms()
    cases = {
        "E401": refusal(401, WWW_Authenticate="Basic"),
        "E403": refusal(403),
        "E404": refusal(404),
        "E500": refusal(500),
        "E301": refusal(301, Location=f"{away.url}/E301"),
    }
    servers = {name: rig.csms() for name in cases}
    for name, server in servers.items():
        server.refuse = cases[name]
    servers["NONE"], servers["OTHER"], servers["DROP"] = rig.csms(), rig.csms(), rig.csms()
    servers["NONE"].subprotocol = None
    servers["OTHER"].subprotocol = Subprotocol("ocpp1.5")
    keyed = rig.csms()
    hub = rig.hub(
        *[point(name, server.url, connectors=1) for name, server in servers.items()],
        point("CP 1", keyed.url, security='profile = 1\nauthorization_key_file = "key"'),
    )
    key_file(hub)
    hub.start()
    fresh = "aB" * 16
    link = keyed.booted()
    assert basic(link.headers["authorization"]) == b"CP 1:" + bytes.fromhex(KEY)
    assert link.change("AuthorizationKey", fresh) == "Accepted"
    assert link.closed.wait(10)
    drop = servers["DROP"].booted(connectors=1)
    drop.socket.close()
    with hub.rpc() as rpc:
        wait_for(lambda: not rpc.call("get_variable", name="is_connected", charge_point="DROP")["value"], "link down")
        rpc.call("security_event", charge_point="DROP", type="Meanwhile", info="x")
        for name, server in servers.items():
            wait_for(partial(tried_twice, server), f"second attempt of {name}", 20)
            assert server.attempts[1] - server.attempts[0] >= 4.9, name
            if name != "DROP":
                state = rpc.call("charge_point.get", charge_point=name)
                assert (state["is_connected"], state["registration"]) == (False, "none"), name
        assert (
            rpc.call("get_variable", name="security_event", charge_point="E401")["value"]["type"]
            == "FailedToAuthenticateAtCentralSystem"
        )
        assert (
            rpc.call("get_variable", name="security_event", charge_point="E404")["value"]["type"]
            == "StartupOfTheDevice"
        )
        back = servers["DROP"].link(1)
        back.wait_call("SecurityEventNotification")
        assert rpc.call("data_transfer", charge_point="DROP", vendor_id="barrier") == {"status": "Accepted"}
    assert [f[2] for f in back.calls()] == ["SecurityEventNotification", "DataTransfer"]
    assert back.calls()[0][3]["type"] == "Meanwhile"
    again = keyed.link(1, timeout=20)
    assert basic(again.headers["authorization"]) == b"CP 1:" + bytes.fromhex(fresh)
    again.result("GetConfiguration", {"key": ["ResetRetries"]})
    hub.kill()
    hub.start()
    assert basic(keyed.booted(2).headers["authorization"]) == b"CP 1:" + bytes.fromhex(fresh)
    assert not away.attempts
    assert all(not link.frames for link in servers["NONE"].links + servers["OTHER"].links)


def test_csms_pings_cuts_and_pieces_its_frames(rig: Rig, raw: RawCsms) -> None:
    """J-302, J-324, J-328, X-26: same pong, any fragmentation with control frames between, binary JSON."""
    hub = rig.hub(point(url=raw.url, connectors=1)).start()
    raw.boot()
    raw.send(b"echo\x00\xff", opcode=9)
    assert raw.until(lambda opcode, _d: opcode == 10)[1] == b"echo\x00\xff"
    text = json.dumps(
        [2, "piece", "GetConfiguration", {"key": ["ResetRetries", "\u00e9"]}], ensure_ascii=False
    ).encode()
    for index, byte in enumerate(text):
        raw.send(bytes([byte]), opcode=1 if index == 0 else 0, first=0x80 if index == len(text) - 1 else 0)
        if index == 20:
            raw.send(b"mid", opcode=9)
    assert raw.until(lambda opcode, _d: opcode == 10)[1] == b"mid"
    assert raw.reply("piece")[2]["unknownKey"] == ["\u00e9"]
    raw.send(b'[2,"bin","GetConfiguration",{"key":["ResetRetries"]}]', opcode=2)
    assert raw.reply("bin")[0] == 3
    raw.send(b"\x00\x01\x02\xff", opcode=2)
    raw.send(b'[2,"after","GetConfiguration",{"key":["ResetRetries"]}]')
    assert raw.reply("after")[0] == 3
    assert hub.call("get_variable", name="is_connected")["value"] is True


def test_csms_sends_a_message_of_the_limit_and_it_is_read(rig: Rig, raw: RawCsms) -> None:
    """J-326: 1 MiB is accepted, one byte more is closed with 1009."""
    rig.hub(point(url=raw.url, connectors=1)).start()
    raw.boot()
    head, tail = b'[2,"big","DataTransfer",{"vendorId":"V","data":"', b'"}]'
    raw.send(head + b"x" * ((1 << 20) - len(head) - len(tail)) + tail)
    assert raw.reply("big")[2] == {"status": "UnknownVendorId"}
    raw.send(head + b"x" * ((1 << 20) + 1 - len(head) - len(tail)) + tail)
    assert raw.close_code() == 1009


@pytest.mark.parametrize(
    ("first", "opcode", "data", "code"),
    [
        (0x80, 1, b'[2,"u","Heartbeat",{"a":"\xff\xfe"}]', 1007),
        (0xC0, 1, b"[]", 1002),
        (0x80, 3, b"x", 1002),
        (0x80, 9, b"x" * 126, 1002),
        (0x80, 0, b"x", 1002),
    ],
    ids=["utf8", "rsv", "opcode", "long ping", "lone continuation"],
)
def test_csms_breaks_the_websocket_rules_and_is_closed(
    rig: Rig, raw: RawCsms, first: int, opcode: int, data: bytes, code: int
) -> None:
    """J-323, J-325, CORE-RPC-13: the right close code; the process lives and reports the lost link."""
    hub = rig.hub(point(url=raw.url, connectors=1)).start()
    raw.boot()
    raw.send(data, opcode=opcode, first=first)
    assert raw.close_code() == code
    raw.drop()
    wait_for(lambda: not hub.call("get_variable", name="is_connected")["value"], "is_connected false")


def test_csms_sets_the_ping_interval_and_leaves_pings_unanswered(rig: Rig, raw: RawCsms) -> None:
    """J-301, J-303, J-305, CORE-RPC-16: pings at the interval, the key acts at once; a missing pong closes."""
    rig.hub(point(url=raw.url, connectors=1, link="ping_interval_s = 0\npong_timeout_s = 0.5")).start()
    raw.boot()
    raw.send(b'[2,"key","ChangeConfiguration",{"key":"WebSocketPingInterval","value":"1"}]')
    assert raw.reply("key")[2] == {"status": "Accepted"}
    _, payload = raw.until(lambda opcode, _d: opcode == 9, 6)
    start = time.monotonic()
    raw.send(payload, opcode=10)
    raw.until(lambda opcode, _d: opcode == 9, 6)
    assert time.monotonic() - start >= 0.5
    assert raw.close_code() in (1001, 1006, 1011)


def test_csms_accepts_tcp_and_says_nothing_and_is_given_up(rig: Rig, raw: RawCsms) -> None:
    """surface.md `connect_timeout_s`: a handshake that never comes ends the attempt."""
    hub = rig.hub(point(url=raw.url, connectors=1, link="connect_timeout_s = 0.3")).start()
    raw.accept()
    with pytest.raises((EOFError, ConnectionError)):
        raw.take(1, 5)
    assert hub.call("charge_point.get")["is_connected"] is False


def test_csms_stops_reading_and_the_stuck_write_ends_the_link(rig: Rig, raw: RawCsms) -> None:
    """surface.md `send_deadline_s`, decisions.md 3: a stuck write is aborted, and its caller learns it."""
    raw.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hub = rig.hub(point(url=raw.url, connectors=1, link="send_deadline_s = 0.5\nping_interval_s = 0")).start()
    raw.boot()
    assert raw.connection is not None
    raw.connection.settimeout(0.1)

    def gone() -> bool:
        assert raw.connection is not None
        try:
            for _ in range(200):
                raw.connection.sendall(b"\x81\x1f" + b'[2,"g","GetConfiguration",null]')
        except (TimeoutError, ConnectionError):
            pass
        return not hub.call("get_variable", name="is_connected")["value"]

    wait_for(gone, "link aborted")
    assert hub.call("data_transfer", vendor_id="V") == {"status": "Offline"}


def test_csms_pipelines_100_calls_and_gets_100_answers_in_order(rig: Rig) -> None:
    """J-241, D-09, J-239: in order; an identical CALL in flight is ignored or answered, never twice differently."""
    _, _, link = rig.pair()
    for number in range(100):
        link.send([2, f"n{number}", "GetConfiguration", {"key": ["ResetRetries"]}])
    wait_for(lambda: link.answer_to("n99"), "last answer")
    assert [f[1] for f in link.received() if f[0] == 3] == [f"n{number}" for number in range(100)]


@pytest.mark.parametrize(
    "text",
    [
        *('[9,"x",{}]', '[5,"x"]', "{}", "[]", "null", "1", '"x"', "nonsense", "[2]", "[3]", '[3,"nobody",{}]'),
        *('[4,"nobody","InternalError","",{}]', '[4,"nobody"]', "[" * 5000, '[2,null,"Heartbeat",{}]'),
        *('[true,"a","Heartbeat",{}]', '["2","a","Heartbeat",{}]'),
    ],
)
def test_csms_sends_what_is_not_a_call_and_nothing_comes_back(shared_link: RawCsms, text: str) -> None:
    """CORE-RPC-08, J-261, J-271, J-274, J-278: ignored; the link goes on."""
    shared_link.send(text.encode())
    shared_link.send(b'[2,"good","GetConfiguration",{"key":["ResetRetries"]}]')
    _, data = shared_link.until(lambda opcode, _d: opcode in (1, 8))
    assert json.loads(data)[:2] == [3, "good"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[2,"s1","GetConfiguration",{"key":', "FormationViolation"),
        ('[2,"s2","GetConfiguration"]', "FormationViolation"),
        ('[2,"s3","GetConfiguration",{},{}]', "FormationViolation"),
        ('[2,"s4",5,{}]', "FormationViolation"),
        ('[2,"s5","GetConfiguration",[]]', "FormationViolation"),
        ('[2,"s6","ChangeConfiguration",{"key":"a","key":"b","value":"c"}]', "FormationViolation"),
        ('[2,"s7","' + "A" * 100_000 + '",{}]', "NotImplemented"),
        ('[2,"\\u00e9\\"s8","FooBar",{}]', "NotImplemented"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_csms_sends_a_broken_call_and_gets_a_short_error(shared_link: RawCsms, text: str, code: str) -> None:
    """J-253, J-262, J-272, J-232: FormationViolation where the id is readable; below 512 bytes."""
    shared_link.send(text.encode())
    _, data = shared_link.until(lambda opcode, _d: opcode == 1)
    answer = json.loads(data)
    assert answer[0] == 4
    assert answer[1] == json.loads('"' + text.split('"')[1] + '"') if "\\" not in text else '\u00e9"s8'
    assert answer[2] == code
    assert answer[4] == {}
    assert len(data) < 512


@pytest.fixture(scope="module")
def shared_link() -> Iterator[RawCsms]:
    with open_rig() as opened, RawCsms() as server:
        opened.hub(point(url=server.url, connectors=1)).start()
        server.boot()
        yield server


# -- TLS ---------------------------------------------------------------------------------------------


def make(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a certificate for 127.0.0.1 and localhost, one for another host."""
    directory = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    make(directory, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=CA")
    for name, alternative in (("good", "IP:127.0.0.1,DNS:localhost"), ("other", "DNS:example.org")):
        make(directory, "req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (directory / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        make(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-out", f"{name}.pem", "-days", "1", "-extfile", f"{name}.ext")  # fmt: skip
    return directory


def tls_server(
    directory: Path, name: str, listener: socket.socket, names: list[str | None], done: threading.Event
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    context.sni_callback = lambda _s, host, _c: names.append(host)
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            with context.wrap_socket(connection, server_side=True) as secure:
                names.append(secure.version())
                names.append(secure.recv(4096).split(b"\r\n")[0].decode())
    except OSError:
        names.append("refused")
    finally:
        done.set()


@pytest.mark.parametrize(
    ("name", "host", "ca", "outcome"),
    [
        ("good", "localhost", "ca.pem", "accepted"),
        ("good", "127.0.0.1", "ca.pem", "accepted"),
        ("other", "localhost", "ca.pem", "refused"),
        ("good", "localhost", "other.pem", "refused"),
    ],
)
def test_csms_shows_a_certificate_and_only_the_right_one_is_trusted(
    rig: Rig, certificates: Path, name: str, host: str, ca: str, outcome: str
) -> None:
    """Issue 3 (`wss://`, host check, CA file, SNI, TLS >= 1.2), S-129, S-130: nothing of HTTP leaves before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        seen: list[str | None] = []
        done = threading.Event()
        thread = threading.Thread(target=tls_server, args=(certificates, name, listener, seen, done))
        thread.start()
        url = f"wss://{host}:{listener.getsockname()[1]}/ocpp"
        hub = rig.hub(point(url=url, connectors=1, security=f'ca_file = "{certificates / ca}"')).start()
        assert done.wait(10)
        thread.join()
        if outcome == "accepted":
            assert seen[0] == ("localhost" if host == "localhost" else None)
            assert seen[1:] == ["TLSv1.3", "GET /ocpp/HUB-1 HTTP/1.1"]
        else:
            assert seen[-1] in ("refused", "")
            wait_for(
                lambda: (
                    hub.call("get_variable", name="security_event")["value"]["type"]
                    in ("InvalidCentralSystemCertificate", "CentralSystemFailedToAuthenticate")
                ),
                "security event",
            )
