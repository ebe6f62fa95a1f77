"""`ocpphub keys`: the table of configuration keys, with and without a hub.toml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocpphub import cli, keys_cli
from ocpphub.core.key_table import Basis, key_table
from tests.test_config import MINIMAL

ROOT = Path(__file__).resolve().parents[1]
FILE = f"""{MINIMAL}
[charge_point.configuration]
HeartbeatInterval = 300
LocalPreAuthorize = "TRUE"
StopTxnSampledData = ""
SupportedFeatureProfiles = "Core, SmartCharging"

[charge_point.custom_keys.Fan]
value = 3
type = "integer"
min = 1
max = 5
reboot = true

[charge_point.custom_keys.Serial]
value = "S-1"
read_only = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hub.toml"
    path.write_text(FILE)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when all is well."""
    assert cli.main(["keys", *arguments]) == cli.DONE
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Key -> what ``--json`` says of it."""
    return {row["key"]: row for row in map(json.loads, run(capsys, "--json", *arguments).splitlines())}


def test_keys_without_a_file_shows_the_whole_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Surface.md: every key in a line, each column below its name."""
    head, *lines = run(capsys).splitlines()
    assert [line.split()[0] for line in lines] == [key.name for key in key_table(Basis())]
    names = [name for name in keys_cli.COLUMNS if name != "hub.toml"]
    assert head.split() == names
    starts = [head.index(name) for name in names]
    heartbeat = next(line for line in lines if line.startswith("HeartbeatInterval"))
    cells = [heartbeat[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]
    assert cells[:-1] == ["HeartbeatInterval", "Core", "integer", "RW", "1 or more s", "86400", "at once"]


def test_keys_in_json_are_one_text_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """No charge point and no value without a file; what depends on the hub is told in words."""
    found = rows(capsys, "messagetimeout", "NumberOfConnectors", "AuthorizationKey", "CpoName")
    assert list(found) == ["MessageTimeout", "NumberOfConnectors", "AuthorizationKey", "CpoName"]
    assert found["MessageTimeout"] == {
        "key": "MessageTimeout",
        "profile": "Core",
        "type": "integer",
        "access": "RW",
        "range": "1 or more s",
        "unit": "s",
        "default": "30",
        "effect": "at once",
        "meaning": found["MessageTimeout"]["meaning"],
    }
    assert (found["NumberOfConnectors"]["default"], found["NumberOfConnectors"]["effect"]) == ("connectors", None)
    assert found["AuthorizationKey"]["access"] == "W"
    assert found["CpoName"]["default"] is None


def test_keys_of_a_file_have_its_values_and_its_custom_keys(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The value as the charge point keeps it, beside the default of this hub."""
    found = rows(capsys, "-c", str(file))
    assert {row["charge_point"] for row in found.values()} == {"HUB-1"}
    assert (found["HeartbeatInterval"]["default"], found["HeartbeatInterval"]["value"]) == ("86400", "300")
    assert found["LocalPreAuthorize"]["value"] == "true"
    assert found["StopTxnSampledData"]["value"] == ""
    assert found["ResetRetries"]["value"] is None
    assert found["NumberOfConnectors"]["default"] == "4"
    fan = {name: found["Fan"][name] for name in ("profile", "type", "access", "range", "effect", "value")}
    assert fan == {
        "profile": "Custom",
        "type": "integer",
        "access": "RW",
        "range": "1 to 5",
        "effect": "after a reboot",
        "value": "3",
    }
    assert (found["Serial"]["access"], found["Serial"]["value"]) == ("R", "S-1")


def test_keys_of_a_feature_that_the_file_switches_off_are_absent(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CORE-GEN-10: as GetConfiguration would list them."""
    found = rows(capsys, "-c", str(file))
    assert {row["profile"] for row in found.values()} == {"Core", "SmartCharging", "Security", "Custom"}


def test_keys_as_text_with_a_file_tell_what_is_given(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value, an empty one, and none."""
    head, *lines = run(capsys, "-c", str(file), "HeartbeatInterval", "StopTxnSampledData", "CpoName").splitlines()
    at, end = head.index("hub.toml"), head.index("meaning")
    assert [line[at:end].strip() for line in lines] == ["300", "empty", "-"]


def test_keys_never_show_the_authorization_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S-151, CORE-GC-05: only that it is there."""
    secret = "0123456789abcdef0123456789abcdef"
    (tmp_path / "key").write_text(secret)
    (tmp_path / "key").chmod(0o600)
    file = tmp_path / "hub.toml"
    secure = MINIMAL.replace("ws://", "wss://")
    file.write_text(
        f'{secure}\n[charge_point.security]\nprofile = 2\nauthorization_key_file = "key"\nuse_system_ca = true\n'
    )
    cli.main(["keys", "-c", str(file)])
    text = capsys.readouterr().out + json.dumps(rows(capsys, "-c", str(file), "AuthorizationKey", "SecurityProfile"))
    assert secret not in text
    assert '"value": "(in its file)"' in text
    assert '"default": "2"' in text


def test_keys_of_several_charge_points_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One table for each, or only that of one."""
    file = tmp_path / "hub.toml"
    file.write_text(MINIMAL + MINIMAL.replace("HUB-1", "HUB-2").replace("connectors = 4", "connectors = 9"))
    text = run(capsys, "-c", str(file), "NumberOfConnectors")
    assert [line.split()[0] for line in text.splitlines() if line] == [
        *("HUB-1", "key", "NumberOfConnectors"),
        *("HUB-2", "key", "NumberOfConnectors"),
    ]
    found = rows(capsys, "-c", str(file), "--charge-point", "HUB-2", "NumberOfConnectors")
    assert found["NumberOfConnectors"]["default"] == "9"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["HeartbeatIntervall"], "did you mean HeartbeatInterval"),
        (["ResetRetries", "zzzz"], "there is no key zzzz"),
        (["--charge-point", "HUB-1"], "--charge-point needs -c FILE"),
        (["-c", "FILE", "--charge-point", "HUB-7"], "HUB-1"),
        (["-c", "FILE", "LocalAuthListEnabled"], "there is no key LocalAuthListEnabled"),
    ],
)
def test_keys_that_are_not_there_are_an_error_and_nothing_is_printed(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Exit code 1, with the nearest name."""
    assert cli.main(["keys", *(str(file) if each == "FILE" else each for each in arguments)]) == cli.FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def test_keys_of_a_file_with_mistakes_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 78, as `check-config`."""
    file = tmp_path / "hub.toml"
    file.write_text(f"{MINIMAL}\n[charge_point.configuration]\nHeartbeatInterval = 0\n")
    assert cli.main(["keys", "-c", str(file)]) == cli.BAD_CONFIGURATION
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "HeartbeatInterval" in captured.err


def test_keys_load_neither_websockets_nor_a_loop(file: Path) -> None:
    """Offline: no library of a connection, no event loop, no database."""
    code = (
        f"import sys; from ocpphub import cli; cli.main(['keys', '-c', {str(file)!r}])\n"
        "heavy = 'websockets asyncio uvloop sqlite3 ocpphub.api ocpphub.rpc.client'.split()\n"
        "sys.exit(' '.join(name for name in heavy if name in sys.modules) or None)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Fan" in done.stdout
