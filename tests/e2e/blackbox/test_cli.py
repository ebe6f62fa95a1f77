"""The command line as a person or a script types it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import HEAD, OCPPHUB, Shared, cli, point

GOOD = HEAD.format(hub="", rpc="") + point()
ESCAPE = "\x1b"


def test_user_asks_for_the_version_and_help() -> None:
    """surface.md: `--version`, exit 0; each subcommand has help; a wrong one is usage, exit 2."""
    version = cli("--version")
    assert version.returncode == 0
    assert version.stdout.startswith("ocpphub ")
    for command in ("run", "check-config", "init", "call", "watch", "demo"):
        assert cli(command, "--help").returncode == 0
    assert cli().returncode == 2
    assert cli("fly").returncode == 2
    assert cli("run").returncode == 2
    assert cli("call").returncode == 2
    assert cli("watch").returncode == 2
    assert cli("demo", "--duration", "-1").returncode == 2
    assert cli("demo", "--connectors", "0").returncode == 2
    assert cli("demo", "--connectors", "x").returncode == 2


def test_user_starts_with_init_and_checks_it(tmp_path: Path) -> None:
    """README quick start: init, check-config; init never overwrites (exit 1), `-` prints, --force replaces."""
    path = tmp_path / "hub.toml"
    assert cli("init", str(path)).returncode == 0
    checked = cli("check-config", str(path))
    assert checked.returncode == 0
    assert "valid" in checked.stdout
    path.write_text("mine = 1")
    assert cli("init", str(path)).returncode == 1
    assert path.read_text() == "mine = 1"
    assert cli("init", str(path), "--force").returncode == 0
    assert cli("init", "-").stdout == path.read_text()
    assert cli("init", str(tmp_path / "no" / "dir" / "hub.toml")).returncode != 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("connectors = 2", "conectors = 2", ["conectors", "connectors"]),
        ("connectors = 2", "connectors = 0", ["connectors", "1 to 100000"]),
        ("connectors = 2", "connectors = 100001", ["connectors", "100000"]),
        ("connectors = 2", 'connectors = "2"', ["connectors", "integer"]),
        ("connectors = 2", "connectors = 2.0", ["connectors", "integer"]),
        ("connectors = 2", "connectors = true", ["connectors", "integer"]),
        ("connectors = 2", "connectors = nan", ["connectors"]),
        ("connectors = 2", "", ["connectors"]),
        ('identity = "HUB-1"', "", ["identity"]),
        ('identity = "HUB-1"', 'identity = ""', ["identity"]),
        ('identity = "HUB-1"', 'identity = ".."', ["identity"]),
        ('identity = "HUB-1"', 'identity = "a\\u0007"', ["identity"]),
        ("ws://127.0.0.1:9/ocpp", "http://127.0.0.1/ocpp", ["csms_url", "ws://"]),
        ("ws://127.0.0.1:9/ocpp", "ws://h/ocpp#part", ["csms_url"]),
        ("ws://127.0.0.1:9/ocpp", "ws://", ["csms_url"]),
        ("ws://127.0.0.1:9/ocpp", "ws://h:99999/", ["csms_url"]),
        ("ws://127.0.0.1:9/ocpp", "ws://u:p@h/", ["csms_url"]),
        ('vendor = "Acme"', 'vendor = "123456789012345678901"', ["vendor", "20"]),
        ('model = "Hub"', "", ["model"]),
        ("connector_max_a = 32", "", ["connector_max_a"]),
        ("connector_max_a = 32", "connector_max_a = -1", ["connector_max_a"]),
        ("connector_max_a = 32", "connector_max_a = inf", ["connector_max_a"]),
        ("connector_max_a = 32", 'connector_max_a = 32\ncurrent = "AC"', ["current", "ac"]),
        ("connector_max_a = 32", "connector_max_a = 32\nphases = 4", ["phases"]),
        (
            "[charge_point.configuration]",
            "[charge_point.configuration]\nHartbeatInterval = 5",
            ["HartbeatInterval", "HeartbeatInterval"],
        ),
        (
            "[charge_point.configuration]",
            "[charge_point.configuration]\nNumberOfConnectors = 5",
            ["NumberOfConnectors", "connectors"],
        ),
        (
            "[charge_point.configuration]",
            '[charge_point.configuration]\nAuthorizationKey = "00"',
            ["AuthorizationKey", "authorization_key_file"],
        ),
        (
            "[charge_point.configuration]",
            "[charge_point.configuration]\nHeartbeatInterval = 5\nheartbeatinterval = 6",
            ["eartbeat"],
        ),
        ("[charge_point.custom_keys.Colour]", "[charge_point.custom_keys.HeartbeatInterval]", ["HeartbeatInterval"]),
        ("[charge_point.custom_keys.Colour]", "[charge_point.custom_keys.mode]", ["Mode"]),
        ("[charge_point.custom_keys.Colour]", '[charge_point.custom_keys."' + "K" * 51 + '"]', ["50"]),
        ('type = "integer"', 'type = "int"', ["type", "integer"]),
        ("value = 5", "value = 50", ["Limit"]),
        ("value = 5", 'value = "five"', ["Limit"]),
        ("[charge_point.link]", "[charge_point.link]\nping_interval_s = -1", ["ping_interval_s"]),
        ("[charge_point.link]", "[charge_point.lnk]", ["lnk", "link"]),
        ("[charge_point.security]", "[charge_point.security]\nprofile = 4", ["profile"]),
        ("[charge_point.security]", "[charge_point.security]\nprofile = 1", ["authorization_key_file"]),
        ("[charge_point.security]", "[charge_point.security]\nprofile = 3", ["profile"]),
        ('socket = "hub.sock"', 'socket = "' + "s" * 108 + '"', ["socket", "107"]),
        ("[hub]", "[hubb]", ["hubb", "hub"]),
        ("[hub]", '[hub]\nlog_level = "loud"', ["log_level", "debug"]),
        ("[hub]", "[hub]\npublish_interval_s = -1", ["publish_interval_s"]),
        ("[hub]", '[[rpc.role]]\nrole = "king"\nuid = 0\n[hub]', ["role", "operator"]),
        ("[hub]", '[[rpc.role]]\nrole = "monitor"\n[hub]', ["uid", "gid"]),
        ("[hub]", '[[feeder]]\nname = "F"\nlimit_a = 10\nmembers = ["NOPE:1-2"]\n[hub]', ["members"]),
        ("[hub]", '[[feeder]]\nname = "F"\nlimit_a = 10\nparent = "G"\n[hub]', ["parent"]),
        ("[charge_point.electrical]", '[[charge_point.connector]]\nids = "3"\n[charge_point.electrical]', ["ids"]),
        ("[charge_point.electrical]", '[[charge_point.connector]]\nids = "2-1"\n[charge_point.electrical]', ["ids"]),
        ("[hub]", "[hub", ["line"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_user_makes_a_mistake_and_check_config_names_it(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    """issue "Bad input gets", surface.md: exit 78; file, key, allowed values and nearest name; no traceback."""
    assert old in GOOD
    path = tmp_path / "hub.toml"
    path.write_text(GOOD.replace(old, new, 1))
    done = cli("check-config", str(path))
    assert done.returncode == 78, done
    text = done.stdout + done.stderr
    assert "hub.toml" in text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


def test_user_makes_many_mistakes_and_reads_them_all_at_once(tmp_path: Path) -> None:
    """configuration.md: one run reports every problem; `run` refuses the same file with 78; --json is JSON."""
    path = tmp_path / "hub.toml"
    path.write_text(
        GOOD.replace("connectors = 2", "connectors = 0").replace(
            "[charge_point.link]", "[charge_point.link]\nstrikt = 1"
        )
        + point("HUB-1")
    )
    done = cli("check-config", str(path))
    assert done.returncode == 78
    text = done.stdout + done.stderr
    for word in ("connectors", "strikt", "strict", "HUB-1"):
        assert word in text
    assert cli("run", "-c", str(path)).returncode == 78
    as_json = cli("check-config", str(path), "--json")
    assert as_json.returncode == 78
    for line in (as_json.stdout or as_json.stderr).splitlines():
        json.loads(line)


@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe\x00", b"a" * 100_000, b"[hub]\n", b"charge_point = 5\n", b"[charge_point]\n"]
)
def test_user_names_a_file_that_is_no_configuration(tmp_path: Path, content: bytes | None) -> None:
    """Exit codes of surface.md: 78, in words."""
    path = tmp_path / "hub.toml"
    if content is not None:
        path.write_bytes(content)
    for arguments in (("check-config", str(path)), ("run", "-c", str(path))):
        done = cli(*arguments)
        assert done.returncode == 78, done
        assert "hub.toml" in done.stderr + done.stdout
        assert "Traceback" not in done.stderr


def test_user_overrides_a_key_in_the_environment(tmp_path: Path) -> None:
    """surface.md: `OCPPHUB_SECTION__KEY` overrides a key; a wrong one is an error that names it."""
    path = tmp_path / "hub.toml"
    path.write_text(GOOD)
    assert cli("check-config", str(path), env={"OCPPHUB_HUB__LOG_LEVEL": "debug"}).returncode == 0
    bad = cli("check-config", str(path), env={"OCPPHUB_HUB__LOG_LEVEL": "loud"})
    assert bad.returncode == 78
    assert "LOG_LEVEL" in (bad.stdout + bad.stderr).upper()
    typo = cli("check-config", str(path), env={"OCPPHUB_HUB__LOG_LEVL": "debug"})
    assert typo.returncode == 78
    assert "log_level" in (typo.stdout + typo.stderr).lower()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_user_leaves_the_key_readable_and_is_refused(tmp_path: Path, mode: int) -> None:
    """surface.md security: files 0600; S-158. A ":" in the identity is refused too (J-145)."""
    key = tmp_path / "key"
    key.write_text("00" * 16)
    key.chmod(mode)
    path = tmp_path / "hub.toml"
    secure = GOOD.replace(
        "[charge_point.security]", '[charge_point.security]\nprofile = 1\nauthorization_key_file = "key"'
    )
    path.write_text(secure)
    done = cli("check-config", str(path))
    assert done.returncode == 78
    assert "0600" in done.stdout + done.stderr
    key.chmod(0o600)
    assert cli("check-config", str(path)).returncode == 0
    path.write_text(secure.replace('"HUB-1"', '"HUB:1"'))
    assert cli("check-config", str(path)).returncode == 78


@pytest.mark.parametrize("text", ["00" * 15, "00" * 21, "zz" * 16, ""])
def test_user_starts_with_a_bad_key_and_is_refused(tmp_path: Path, text: str) -> None:
    """J-144, S-152, J-149: 32 to 40 hex digits; 78, and the key is not echoed."""
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_text(text)
    path = tmp_path / "hub.toml"
    path.write_text(
        GOOD.replace("[charge_point.security]", '[charge_point.security]\nprofile = 1\nauthorization_key_file = "key"')
    )
    done = cli("run", "-c", str(path))
    assert done.returncode == 78
    assert "AuthorizationKey" in done.stderr
    assert not text or text not in done.stdout + done.stderr


def test_user_calls_with_texts_and_json(shared: Shared) -> None:
    """surface.md `call METHOD key=value key:=json`: exit 0 with the result, 1 with an error; piped output is plain."""
    there = ("--socket", str(shared.hub.socket))
    done = cli("call", "get_configuration_key", 'keys:=["ResetRetries"]', *there, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "configuration_keys": [{"key": "ResetRetries", "read_only": False, "value": "1"}],
        "unknown_keys": [],
    }
    assert len(done.stdout.splitlines()) == 1
    plain = cli("call", "charge_point.get", *there)
    assert plain.returncode == 0
    assert ESCAPE not in plain.stdout + plain.stderr
    assert "HUB-1" in plain.stdout
    assert cli("call", "set_custom_configuration_key", "key=Colour", "value=a=b:=c", *there).returncode == 0
    assert shared.link.value("Colour")["value"] == "a=b:=c"
    assert cli("call", "set_custom_configuration_key", "key=Colour", "value=5", *there).returncode == 0
    assert shared.link.value("Colour")["value"] == "5"
    wrong = cli("call", "set_custom_configuration_key", "key=Colour", "value:=5", *there)
    assert wrong.returncode == 1
    assert "value" in wrong.stderr + wrong.stdout
    assert cli("call", "no.such", *there).returncode == 1
    assert cli("call", "rpc.ping", "novalue", *there).returncode == 2
    assert cli("call", "rpc.ping", "x:={", *there).returncode == 2
    assert cli("call", "rpc.ping", "=x", *there).returncode == 2
    error = cli("call", "rpc.ping", "x=1", *there, "--json")
    assert error.returncode == 1
    assert "-32602" in json.dumps(json.loads(error.stdout or error.stderr))
    environment = cli("call", "rpc.ping", env={"OCPPHUB_HUB__SOCKET": str(shared.hub.socket)})
    assert environment.returncode == 0


def test_user_calls_where_nobody_listens(tmp_path: Path) -> None:
    """surface.md exit codes: 69 no socket, in words."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file", tmp_path, "x" * 200):
        for command in (("call", "rpc.ping"), ("watch", "is_connected")):
            done = cli(*command, "--socket", str(path))
            assert done.returncode == 69, done
            assert done.stderr.strip()
            assert "Traceback" not in done.stderr


def test_user_watches_and_stops_with_ctrl_c(shared: Shared) -> None:
    """surface.md `watch TOPIC...`: state first, then each publication; a pipe gets lines at once; Ctrl-C is exit 0."""
    shared.hub.call("monitor_configuration_keys", keys=["ResetRetries"])
    command = [OCPPHUB, "watch", "is_connected", "configuration_key", "--json", "--socket", str(shared.hub.socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "is_connected" in json.dumps(json.loads(first))
        shared.link.change("ResetRetries", "3")
        while True:
            line = json.loads(process.stdout.readline())
            if "ResetRetries" in json.dumps(line):
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert cli("watch", "nonsense", "--socket", str(shared.hub.socket)).returncode == 1
    shared.link.change("ResetRetries", "1")


def on_terminal(arguments: list[str], env: dict[str, str]) -> str:
    main, side = pty.openpty()
    with subprocess.Popen([OCPPHUB, *arguments], stdin=side, stdout=side, stderr=side, env=os.environ | env) as process:
        os.close(side)
        text = b""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if select.select([main], [], [], 0.05)[0]:
                try:
                    data = os.read(main, 65536)
                except OSError:
                    break
                if not data:
                    break
                text += data
            elif process.poll() is not None:
                break
        os.close(main)
    return text.decode()


def test_user_with_no_color_gets_no_colour_on_a_terminal(shared: Shared) -> None:
    """surface.md: no colour when piped or with NO_COLOR."""
    arguments = ["call", "charge_point.get", "--socket", str(shared.hub.socket)]
    text = on_terminal(arguments, {"NO_COLOR": "1", "TERM": "xterm-256color"})
    assert "HUB-1" in text
    assert ESCAPE not in text


def test_user_pipes_into_head_and_sees_no_traceback(shared: Shared) -> None:
    """A closed pipe is no error report."""
    command = f"{OCPPHUB} call get_configuration_key --socket {shared.hub.socket} | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=10, check=False)
    assert len(done.stdout) == 1
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_operator_sends_sigterm_and_the_hub_leaves_nothing_behind(tmp_path: Path) -> None:
    """command-line.md `run`: exit 0 on SIGTERM and SIGINT, the socket is gone; a stale socket does not stop a start."""
    path = tmp_path / "hub.toml"
    path.write_text(GOOD)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(
            [OCPPHUB, "run", "-c", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            seen = ""
            while "is up" not in seen:
                line = process.stdout.readline()
                assert line, seen
                seen += line
            process.send_signal(number)
            code = process.wait(10)
            assert "Traceback" not in seen + process.stdout.read()
        if number != signal.SIGKILL:
            assert code == 0
            assert not (tmp_path / "hub.sock").exists()
