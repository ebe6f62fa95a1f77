"""The arguments of ``ocpphub simulate``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocpphub import cli
from ocpphub.sim import command
from ocpphub.sim.scenario import KINDS
from ocpphub.sim.simulate import Plan

REQUIRED = ["simulate", "--connectors", "1-3,7", "--socket", "/tmp/s"]


def parsed(*arguments: str) -> Plan:
    return command.plan(cli.parser().parse_args([*REQUIRED, *arguments]))


def test_command_knows_every_kind_of_scenario() -> None:
    """What can be drawn can be asked for."""
    assert set(command.SCENARIOS) == set(KINDS)


def test_command_has_defaults_for_all_but_the_connectors() -> None:
    """A minute, at sixty times the speed."""
    assert parsed() == Plan(Path("/tmp/s"), [1, 2, 3, 7])


def test_command_takes_each_argument() -> None:
    """All of them, as they were given."""
    plan = parsed(
        *("--controllers", "2", "--seed", "9", "--duration", "30", "--speed", "10"),
        *("--scenario", "day", "--charge-point", "CP1"),
    )
    assert plan == Plan(Path("/tmp/s"), [1, 2, 3, 7], 2, 9, 30, 10, "day", "CP1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connectors", "0"], "no connector from 1"),
        (["--connectors", "x"], "an id, a list of ids"),
        (["--controllers", "0"], "no whole number from 1 to 1000"),
        (["--seed", "-1"], "no whole number from 0"),
        (["--speed", "0"], "no whole number from 1 to 100000"),
        (["--duration", "1.5"], "no whole number"),
        (["--scenario", "carnival"], "invalid choice"),
    ],
)
def test_command_refuses_what_it_cannot_do(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is allowed."""
    with pytest.raises(SystemExit) as ended:
        cli.parser().parse_args([*REQUIRED, *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_command_without_a_hub_ends_with_69(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As every command that needs a socket."""
    assert cli.main(["simulate", "--connectors", "1", "--socket", str(tmp_path / "nobody")]) == 69
    assert "is `ocpphub run` up" in capsys.readouterr().err


def test_command_line_starts_without_the_simulator() -> None:
    """Building the parser imports neither asyncio nor the package ``ocpp``."""
    program = (
        "import sys; from ocpphub import cli; cli.parser(); print({'asyncio', 'ocpp', 'websockets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
