"""What the documentation tells people to type is typed here: its commands, its tables of hub.toml, its tutorial."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ocpphub.sim.tls import Authority
from tests.e2e.daemon_process import ROOT, DaemonProcess

PAGES: Final = ("README.md", "docs/tutorial.md", "docs/how-to.md")
ELSEWHERE: Final = {
    "ocpphub demo": "tests/e2e/test_demo.py",
    "ocpphub run": "tests/e2e/daemon_process.py",
    "ocpphub simulate": "tests/e2e/test_simulated_hub.py",
}
"""Commands that other tests run, by how they begin."""
STREAMS: Final = ("ocpphub watch",)
"""Commands that go on until somebody ends them."""
_COMMAND: Final = re.compile(r"^(?:    )?(?:\S*/)?(ocpphub [a-z].*?)(?:  +#.*)?$")
_BLOCK: Final = re.compile(r"^```toml\n(.*?)^```", re.M | re.S)
FILES: Final = ("csms-root.pem", "authorization-key")


def commands() -> Iterator[str]:
    for page in PAGES:
        for line in (ROOT / page).read_text().splitlines():
            is_code = line.startswith(("    ", "ocpphub "))
            for part in line.split(" && ") if is_code else ():
                if found := _COMMAND.match(part if part.startswith(" ") else part.strip()):
                    yield found[1]


def blocks() -> Iterator[str]:
    for page in PAGES:
        yield from _BLOCK.findall((ROOT / page).read_text())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path_factory.mktemp("docs"), connectors=60)
    yield process
    assert process.stop() == 0


def run(words: list[str], directory: Path, *, streams: bool = False) -> tuple[int | None, str]:
    """Exit code (``None`` where it was ended) and output."""
    environment = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT / "python"), "HOME": str(directory), "MPLBACKEND": "Agg"}
    environment |= {"OCPPHUB_HUB__SOCKET": str(directory / "hub.sock")}
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output, _ = process.communicate(timeout=1.0 if streams else 30.0)
    except subprocess.TimeoutExpired:
        process.terminate()
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


def test_documentation_has_commands() -> None:
    """What follows from reading it must not be nothing."""
    assert len(set(commands())) >= 15
    assert len(list(blocks())) >= 4


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_command_of_the_documentation_works(command: str, daemon: DaemonProcess, tmp_path: Path) -> None:
    """As it stands there, but for the paths of somebody's hub."""
    if any(command.startswith(begin) for begin in ELSEWHERE):
        assert (ROOT / ELSEWHERE[next(begin for begin in ELSEWHERE if command.startswith(begin))]).is_file()
        return
    directory = daemon.socket.parent
    command = command.replace("--socket ocpphub.sock", "").replace("~/hub/", "")
    if " init " in command:
        command = command.replace("hub.toml", str(tmp_path / "hub.toml"))
    streams = command.startswith(STREAMS)
    code, output = run(shlex.split(command), directory, streams=streams)
    assert code == (None if streams else 0), output
    if " -o " in command:
        name = shlex.split(command)[shlex.split(command).index("-o") + 1]
        assert (directory / name).stat().st_size > 0


@pytest.mark.parametrize("block", sorted(set(blocks())))
def test_table_of_the_documentation_is_valid(block: str, tmp_path: Path) -> None:
    """Put where it belongs in a small hub.toml, it passes check-config."""
    is_charge_point = block.startswith("[[charge_point]]")
    given = set(re.findall(r"^(\w+) *=", block, re.M)) if is_charge_point else set()
    needed = {
        "identity": '"H"',
        "csms_url": '"ws://127.0.0.1:9/ocpp"',
        "connectors": "4",
        "vendor": '"V"',
        "model": '"M"',
    }
    base = "".join(f"{key} = {value}\n" for key, value in needed.items() if key not in given)
    if is_charge_point:
        head, _, rest = block.partition("# ...\n") if "# ..." in block else block.partition("\n\n")
        text = f"{head}\n{base}{rest}\n[charge_point.electrical]\nconnector_max_a = 32\n"
    else:
        text = f"[[charge_point]]\n{base}[charge_point.electrical]\nconnector_max_a = 32\n{block}"
    for name in FILES:
        path = tmp_path / name
        path.touch(0o600)
        path.write_text("00" * 20 if "key" in name else Authority.new("docs").pem)
    (tmp_path / "hub.toml").write_text(f'[hub]\nsocket = "s"\nstate_directory = "state"\n{text}')
    code, output = run(["ocpphub", "check-config", "hub.toml"], tmp_path)
    assert code == 0, output
