"""The command line: exit codes, output, and what it imports."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ocpphub import __version__, cli, config, config_text
from tests.test_config import MINIMAL

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A real process, as a shell starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), **(environ or {})}
    command = [sys.executable, "-W", "error", "-m", "ocpphub", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)


class OneAnswer(threading.Thread):
    """A socket that answers each line with the next of ``answers``; it keeps the lines it got."""

    def __init__(self, path: Path, answers: list[list[dict[str, Any]]]) -> None:
        super().__init__(daemon=True)
        self.lines: list[dict[str, Any]] = []
        self._answers = answers
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()

    def run(self) -> None:
        with self._socket, self._socket.accept()[0] as connection, connection.makefile("rwb") as stream:
            for answers in self._answers:
                self.lines.append(json.loads(stream.readline()))
                for answer in answers:
                    stream.write(json.dumps({"jsonrpc": "2.0", **answer}).encode() + b"\n")
                stream.flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_help_imports_neither_core_nor_websockets_nor_the_extension() -> None:
    """`--help` is quick because it loads next to nothing."""
    code = (
        "import sys; from ocpphub import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = 'ocpphub.core ocpphub._native ocpphub.api websockets uvloop ocpp orjson asyncio'.split()\n"
        "heavy += 'ocpphub.schedule_cli ocpphub.plot matplotlib'.split()\n"
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "check-config" in done.stdout


def test_package_import_loads_the_api_only_when_it_is_used() -> None:
    """The public names are there, the weight is not."""
    code = "import sys, ocpphub; sys.exit('ocpphub.api' in sys.modules or 'Hub' not in dir(ocpphub))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    assert subprocess.run([sys.executable, "-c", code], timeout=30, env=environment, check=False).returncode == 0


def test_version_is_the_one_of_the_distribution() -> None:
    """One version everywhere."""
    assert f'\nversion = "{__version__}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f'\nversion = "{__version__}"\n' in (ROOT / "Cargo.toml").read_text()
    assert run("--version").stdout == f"ocpphub {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["call"], ["call", "m", "noequals"], ["call", "m", "a:=nojson"], ["demo", "--connectors", "0"]],
)
def test_usage_error_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be understood is not guessed."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == cli.USAGE
    assert "usage:" in capsys.readouterr().err


def test_check_config_of_a_good_file_counts_what_it_configures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """J-107: warnings go to standard error and change no exit code."""
    file = tmp_path / "hub.toml"
    file.write_text(MINIMAL.replace("HUB-1", "x" * 49))
    assert cli.main(["check-config", str(file)]) == cli.DONE
    output = capsys.readouterr()
    assert output.out == f"{file}: valid; 1 charge point, 4 connectors\n"
    assert "warning" in output.err


def test_check_config_of_a_bad_file_lists_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 78, one line each; with --json one object."""
    file = tmp_path / "hub.toml"
    file.write_text("[hub]\nsocet = 1\n")
    assert cli.main(["check-config", str(file)]) == cli.BAD_CONFIGURATION
    assert capsys.readouterr().err.splitlines()[0] == (
        f"{file}: hub.socet: is not known; allowed: did you mean socket?"
    )
    assert cli.main(["check-config", "--json", str(file)]) == cli.BAD_CONFIGURATION
    answer = json.loads(capsys.readouterr().out)
    assert (answer["valid"], answer["problems"][0]["key"]) == (False, "hub.socet")


def test_run_of_a_bad_file_is_exit_code_78(tmp_path: Path) -> None:
    """Nothing is started with a file that is refused."""
    done = run("run", "-c", str(tmp_path / "none.toml"))
    assert done.returncode == cli.BAD_CONFIGURATION
    assert "cannot be read" in done.stderr


def test_init_writes_a_valid_file_and_replaces_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """J-102: the template is valid as it is."""
    file = tmp_path / "hub.toml"
    assert cli.main(["init", str(file)]) == cli.DONE
    assert config.load(file).charge_points[0].identity == "HUB-1"
    file.write_text("mine")
    assert cli.main(["init", str(file)]) == cli.FAILED
    assert file.read_text() == "mine"
    assert cli.main(["init", "--force", str(file)]) == cli.DONE
    assert cli.main(["init", str(tmp_path / "no" / "hub.toml")]) == cli.FAILED
    capsys.readouterr()
    assert cli.main(["init", "-"]) == cli.DONE
    assert capsys.readouterr().out == config_text.template()


def test_call_passes_text_and_json_and_prints_the_result(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Key=value is a text, key:=json any value."""
    server = OneAnswer(path, [[{"id": 1, "result": {"é": [1]}}]])
    server.start()
    arguments = ["call", "get_configuration_key", "a=1=2", 'keys:=["K"]', "n:=5", "--socket", str(path), "--json"]
    assert cli.main(arguments) == cli.DONE
    assert server.lines[0]["method"] == "get_configuration_key"
    assert server.lines[0]["params"] == {"a": "1=2", "keys": ["K"], "n": 5}
    assert capsys.readouterr().out == '{"é":[1]}\n'


def test_call_that_is_answered_with_an_error_is_exit_code_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code, path and hint of the error are shown."""
    error = {
        "code": -32602,
        "message": "no",
        "data": {"code": "invalid_params", "path": "/params/key", "hint": "a key"},
    }
    OneAnswer(path, [[{"id": 1, "error": error}]]).start()
    assert cli.main(["call", "m", "--socket", str(path)]) == cli.FAILED
    assert capsys.readouterr().err == "error: invalid_params: no at /params/key (a key)\n"


@pytest.mark.parametrize("command", [["call", "rpc.ping"], ["watch", "is_connected"]])
def test_client_without_socket_is_exit_code_69(
    command: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the path."""
    assert cli.main([*command, "--socket", str(path)]) == cli.NO_SOCKET
    assert str(path) in capsys.readouterr().err


def test_client_takes_the_socket_from_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OCPPHUB_HUB__SOCKET moves both the hub's socket and the client's default."""
    monkeypatch.setenv("OCPPHUB_HUB__SOCKET", str(path))
    assert cli.parser().parse_args(["call", "rpc.ping"]).socket == path


def test_watch_prints_snapshot_and_events_until_the_hub_closes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per publication."""
    event = {"subscription": 1, "charge_point": "H", "topic": "is_connected", "timestamp": "T", "value": False}
    answers: list[dict[str, Any]] = [
        {"id": 1, "result": {"subscription": 1, "stream": "s", "seq": 1, "snapshot": {"is_connected": True}}},
        {"method": "event", "params": event},
    ]
    OneAnswer(path, [answers]).start()
    assert cli.main(["watch", "is_connected", "--socket", str(path)]) == cli.NO_SOCKET
    output = capsys.readouterr()
    assert output.out.splitlines() == ["now is_connected true", "T H is_connected false"]
    assert "closed" in output.err


def test_watch_writes_a_trace_that_other_tools_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record of the Open OCPP Trace format for each frame; what is none is counted."""
    frames = ['[2,"1","Heartbeat",{}]', "***"]
    about = {"subscription": 1, "charge_point": "H", "topic": "ocpp.message", "timestamp": "T"}
    values = [{"direction": "sent", "frame": frame} for frame in frames]
    events = [{"method": "event", "params": about | {"value": value}} for value in values]
    subscribed = {"id": 1, "result": {"subscription": 1, "stream": "s", "seq": 1, "snapshot": {}}}
    OneAnswer(path, [[subscribed, *events]]).start()
    assert cli.main(["watch", "--trace", "--socket", str(path)]) == cli.NO_SOCKET
    output = capsys.readouterr()
    (record,) = map(json.loads, output.out.splitlines())
    assert (record["schemaVersion"], record["action"], record["raw"]) == ("1.1", "Heartbeat", frames[0])
    assert "1 frames without a record" in output.err


@pytest.mark.parametrize("arguments", [[], ["is_connected", "--trace"]])
def test_watch_wants_topics_or_a_trace(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither, or both, is no command."""
    assert cli.main(["watch", *arguments]) == cli.USAGE
    assert "--trace alone" in capsys.readouterr().err


def test_output_into_a_closed_pipe_is_no_error() -> None:
    """`ocpphub init - | head -1` ends quietly."""
    command = f"'{sys.executable}' -m ocpphub init - | head -1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


class Terminal:
    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "variables", "coloured"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_only(
    is_terminal: bool, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Piped output holds no escape codes."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.is_coloured(Terminal(is_terminal)) is coloured  # type: ignore[arg-type]


def test_quick_start_runs_as_it_is_written(tmp_path: Path) -> None:
    """README "Quick start": init, check-config, run and a call, in an empty directory, without a CSMS."""

    def here(*arguments: str) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "ocpphub", *arguments]

    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    for arguments in (["init", "hub.toml"], ["check-config", "hub.toml"]):
        assert subprocess.run(here(*arguments), cwd=tmp_path, env=environment, timeout=30, check=False).returncode == 0
    with subprocess.Popen(
        here("run", "-c", "hub.toml"), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as hub:
        assert hub.stderr is not None
        try:
            seen = ""
            while " is up" not in seen:
                line = hub.stderr.readline()
                assert line, seen
                seen += line
            call = here("call", "rpc.ping", "--socket", "ocpphub.sock")
            answer = subprocess.run(
                call, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
            )
            assert (answer.returncode, answer.stdout) == (0, '"pong"\n')
        finally:
            hub.terminate()
            hub.communicate(timeout=30)
    assert hub.returncode == cli.DONE


def test_run_with_a_state_directory_that_is_a_file_is_exit_code_78(tmp_path: Path) -> None:
    """Surface.md: 78 is the configuration, 75 a store that failed."""
    (tmp_path / "state").touch()
    file = tmp_path / "hub.toml"
    file.write_text(f'[hub]\nsocket = "s"\nstate_directory = "state"\n{MINIMAL}')
    done = run("run", "-c", str(file))
    assert done.returncode == cli.BAD_CONFIGURATION
    assert "is no directory" in done.stderr


def test_run_of_values_that_ocpp_refuses_touches_no_store(tmp_path: Path) -> None:
    """T38: every problem with file and key, before anything is made."""
    file = tmp_path / "hub.toml"
    values = "[charge_point.configuration]\nHeartbeatInterval = 0\nResetRetries = -1\n"
    file.write_text(f'[hub]\nsocket = "s"\nstate_directory = "state"\n{MINIMAL}{values}')
    done = run("run", "-c", str(file))
    assert done.returncode == cli.BAD_CONFIGURATION
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        [str(file), f"charge_point[0].configuration.{name}"] for name in ("HeartbeatInterval", "ResetRetries")
    ]
    assert os.listdir(tmp_path) == ["hub.toml"]
