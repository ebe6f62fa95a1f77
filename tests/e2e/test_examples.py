"""The controllers under examples/: built as docs/how-to.md says, run against a real daemon, held to what arrives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemon_process import ROOT, DaemonProcess

EXAMPLES = ROOT / "examples"
HOW_TO = ROOT / "docs" / "how-to.md"
FREE_VEND = """
[charge_point.configuration]
AllowOfflineTxForUnknownId = true
[[charge_point.connector]]
ids = "1-10"
free_vend_id_tag = "FREE"
"""
BUILT: dict[str, str] = {
    "controller.c": "cc -o controller-c examples/controller.c",
    "controller.go": "go build -o controller-go examples/controller.go",
}
"""Examples to compile, and how; the commands stand in the documentation."""
RUN: dict[str, str] = {
    "controller.sh": "examples/controller.sh",
    "controller.c": "./controller-c",
    "controller.go": "./controller-go",
    "controller.py": "python examples/controller.py",
    "controller_async.py": "python examples/controller_async.py",
}
"""Example -> what is run, socket and connector appended; in the documentation too."""
NEEDS = {"controller.sh": ("socat", "jq"), "controller.c": ("cc",), "controller.go": ("go",)}
WAIT_S = 10.0
pytestmark = pytest.mark.timeout(180)  # Go's library is compiled when its cache is empty
SHARE_A = 10.0


class Controller:
    """One example at work, with what it has printed."""

    def __init__(self, name: str, connector_id: int, daemon: DaemonProcess, directory: Path) -> None:
        self.name = name
        self.connector_id = connector_id
        self.output = directory / f"{name}.out"
        words = [*RUN[name].split(), str(daemon.socket), str(connector_id)]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable if words[0] == "python" else words[0], *words[1:]],
                cwd=directory,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[str]:
        """What it has printed."""
        return self.output.read_text().splitlines()

    def has_applied(self, limit_a: float) -> bool:
        """Whether its newest permit, and the limit that it set, are of so many amperes."""
        words = [line.split() for line in self.lines()]
        permits = [float(word[2]) for word in words if word[0] == "permit"]
        limits = [float(word[1]) for word in words if word[0] == "limit"]
        return permits[-1:] == [limit_a] and limits[-1:] == [limit_a]


def environment() -> dict[str, str]:
    """That of a user, whose cache keeps Go from compiling its library each time; Go builds without the network."""
    go = {"GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "GOCACHE") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT / "python"), **go}


def until(condition: Callable[[], bool], what: Callable[[], Any]) -> None:
    """Wait for what other processes do. Fails with ``what`` after :data:`WAIT_S`."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user stands: the examples, and what is built of them."""
    path = tmp_path_factory.mktemp("examples")
    (path / "examples").symlink_to(EXAMPLES)
    return path


@pytest.fixture(scope="module")
def usable(directory: Path) -> list[str]:
    """The examples whose tools are here, built without a warning."""
    names = [name for name in RUN if all(shutil.which(tool) for tool in NEEDS.get(name, ()))]
    for name in names:
        if name in BUILT:
            strict = ["-Wall", "-Wextra", "-Werror"] if name.endswith(".c") else []
            command = [*BUILT[name].split(), *strict]
            subprocess.run(command, cwd=directory, env=environment(), check=True)
    return names


@pytest.fixture(scope="module")
def daemon(directory: Path) -> Iterator[DaemonProcess]:
    """A hub without a CSMS that charges at once who plugs in."""
    process = DaemonProcess(directory, 'charge_before_accepted = "always"', tail=FREE_VEND)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def controllers(directory: Path, usable: list[str], daemon: DaemonProcess) -> Iterator[list[Controller]]:
    """Each example on a connector of its own."""
    running = [Controller(name, number, daemon, directory) for number, name in enumerate(usable, 1)]
    yield running
    for controller in running:
        if controller.process.poll() is None:
            controller.process.kill()
        controller.process.wait()


def test_controllers_charge_obey_and_confirm_and_let_go_when_the_hub_ends(
    daemon: DaemonProcess, controllers: list[Controller]
) -> None:
    """decisions.md 5: a claim falls only when the newest permit is confirmed; CORE-SC-01 the limits hold."""
    with daemon.connect() as operator:

        def drawn(limit_a: float) -> bool:
            claims = operator.call("allocation.get")["result"]["connectors"]
            return all(
                each.has_applied(limit_a) and claims[str(each.connector_id)]["claim_a"] == limit_a
                for each in controllers
            )

        def story() -> Any:
            return [(each.name, each.lines()) for each in controllers], operator.call("allocation.get")

        until(lambda: drawn(32.0), story)
        for each in controllers:
            state = operator.call("connector.get", connector_id=each.connector_id)["result"]
            assert (state["status"], state["attached"], state["plugged"]) == ("Charging", True, True)
            assert (state["transaction"]["id_tag"], state["transaction"]["meter_start_wh"]) == ("FREE", 1001)

        limit_a = SHARE_A * len(controllers)
        assert operator.call("station.set_limit", limit_a=limit_a, valid_for_s=600)["result"] is None
        until(lambda: drawn(SHARE_A), story)

    daemon.stop()
    for each in controllers:
        assert each.process.wait(timeout=WAIT_S) == 0, each.lines()
        assert each.lines()[-1] == "limit 0"


def test_tools_of_every_example_are_here_in_ci(usable: list[str]) -> None:
    """On a developer's machine one may be missing."""
    if os.environ.get("CI"):
        assert set(usable) == set(RUN)


def test_documentation_builds_and_runs_the_examples_with_the_same_commands() -> None:
    text = HOW_TO.read_text()

    for command in (*BUILT.values(), *RUN.values()):
        assert f"    {command}" in text, command
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == set(RUN)
