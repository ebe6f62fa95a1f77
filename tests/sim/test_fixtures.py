"""The pytest plugin as a stranger uses it: in a run of pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest on one file, with nothing of our own configuration; the entry point may be installed or not."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n")
    (folder / "test_theirs.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ocpphub.sim.fixtures", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False)


def test_fixtures_carry_a_session_from_plug_to_bill(tmp_path: Path) -> None:
    """CORE-TX-01, CORE-TX-10: hub, CSMS and station of a test that asyncio.run starts; no plugin for asyncio."""
    done = run(
        tmp_path,
        """
import asyncio
import pytest

pytestmark = pytest.mark.ocpphub(connectors=2, identity="THEIRS")


@pytest.mark.ocpphub(configuration={"MeterValueSampleInterval": 1}, personality="deduplicates", seed=4)
def test_session(ocpphub_hub, ocpphub_csms, ocpphub_station):
    async def session():
        async with ocpphub_station("1-2", report_s=0.2) as station:
            await station.plug(1)
            assert await station.tag(1, "TAG1") == "Accepted"
            assert await station.until(1, lambda evse: evse.register_wh > 0, 20)
            await station.tag(1, "TAG1")
            assert await station.until(1, lambda evse: evse.transaction is None)
            await station.unplug(1)

    ocpphub_csms.calm()
    asyncio.run(session())
    assert ocpphub_csms.wait_until(lambda: ocpphub_csms.ledger.records and not ocpphub_csms.ledger.open)
    (record,) = ocpphub_csms.ledger.records
    assert (record.identity, record.id_tag, record.connector_id) == ("THEIRS", "TAG1", 1)
    assert ocpphub_csms.ledger.deduplicates
    assert ocpphub_hub.wait_until_delivered()
""",
    )
    assert done.returncode == 0, done.stdout


def test_fixtures_attach_a_controller_of_their_own(tmp_path: Path) -> None:
    """An AsyncClient that drives connectors by itself, and answers the hub."""
    done = run(
        tmp_path,
        """
import asyncio
from ocpp.v16 import call


def test_controller(ocpphub_hub, ocpphub_csms, ocpphub_controller):
    async def drive():
        asked = []

        def serve(method, params):
            asked.append(method)
            return {"status": "Unlocked"}

        async with ocpphub_controller(3, on_request=serve) as client:
            state = await client.call(
                "connector.report", connector_id=3, plugged=True, ev_ready=True, evse_ready=True, energy_wh=5
            )
            assert state["status"] == "Preparing"
            answer = await asyncio.to_thread(ocpphub_csms.call, ocpphub_hub.identity, call.UnlockConnector(3))
            assert answer.status == "Unlocked"
            assert "connector.unlock" in asked

    asyncio.run(drive())
""",
    )
    assert done.returncode == 0, done.stdout


def test_fixtures_do_what_the_how_to_says(tmp_path: Path) -> None:
    """The example of docs/how-to.md, with a controller put in."""
    text = (ROOT / "docs" / "how-to.md").read_text()
    example = (
        text.partition("## Test your controller against ocpphub")[2].partition("```python\n")[2].partition("```")[0]
    )
    controller = """

async def my_controller_charges_once(path):
    from ocpphub.sim.station import Station

    async with Station(path, 1, report_s=0.1) as station:
        await station.plug(1)
        await station.tag(1, "TAG1")
        assert await station.until(1, lambda evse: evse.register_wh > 2, 20)
        await station.tag(1, "TAG1")
        await station.unplug(1)
"""
    done = run(tmp_path, example + controller)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_fixtures_refuse_an_unknown_argument_of_the_marker(tmp_path: Path) -> None:
    """A typing error must not be a default."""
    done = run(
        tmp_path,
        """
import pytest

@pytest.mark.ocpphub(conectors=2)
def test_nothing(ocpphub_csms):
    pass
""",
    )
    assert done.returncode != 0
    assert "conectors" in done.stdout + done.stderr


def test_fixtures_cost_nothing_where_they_are_not_used() -> None:
    """Loading the plugin imports nothing of ocpphub but its errors, no asyncio, no ``ocpp``."""
    program = """
import sys, pytest
before = set(sys.modules)
import ocpphub.sim.fixtures
print(sorted(name for name in set(sys.modules) - before if not name.startswith("_")))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "['ocpphub', 'ocpphub.errors', 'ocpphub.sim', 'ocpphub.sim.fixtures']"


def test_fixtures_are_found_by_pytest_when_installed() -> None:
    """The entry point of the distribution, under a name that ``-p no:ocpphub`` turns off."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"ocpphub": "ocpphub.sim.fixtures"}


@pytest.mark.parametrize("name", ["ocpphub_csms", "ocpphub_hub", "ocpphub_controller", "ocpphub_station"])
def test_fixtures_are_listed_with_their_help(tmp_path: Path, name: str) -> None:
    """``pytest --fixtures`` is where people look."""
    listed = run(tmp_path, "", "--fixtures")
    line = next(index for index, text in enumerate(listed.stdout.splitlines()) if text.startswith(name))
    assert listed.stdout.splitlines()[line + 1].strip()
