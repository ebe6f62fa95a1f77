"""The store killed at every write, sync, rename and unlink of a short story (reliability.md F01, D7)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from tests.torture.hub_process import ROOT
from tests.torture.points import Kind, can_trace, life, point

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif((reason := can_trace()) is not None, reason=f"strace fault injection: {reason}"),
]
SHARES: Final = 2
LEAST: Final = 200


def swept() -> list[dict[str, Any]]:
    """Every point, shared out to processes that fork for each of them: pytest's own has too much open."""
    command = [sys.executable, "-m", "tests.torture.points"]
    environment = {"PYTHONPATH": f"{ROOT / 'python'}:{ROOT}", "PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore"}
    sweeps = [
        subprocess.Popen([*command, f"{share}/{SHARES}"], stdout=subprocess.PIPE, env=environment, cwd=ROOT)
        for share in range(SHARES)
    ]
    results = []
    for sweep in sweeps:
        output, _ = sweep.communicate()
        assert sweep.returncode == 0
        results.append(orjson.loads(output))
    return results


@pytest.mark.patient
@pytest.mark.timeout(1_200)
def test_store_killed_at_every_write_sync_and_rename_keeps_what_was_acknowledged() -> None:
    """F01, F05, D1 to D7; CORE-TXQ-01, CORE-TXQ-02: the copy is whole or not there, the next start needs nobody."""
    results = swept()
    problems = [problem for result in results for problem in result["problems"]]
    kills = sum(result["kills"] for result in results)
    print(f"{kills} kills")
    assert problems == [], "\n".join(problems)
    assert kills >= LEAST


def test_store_that_answers_too_early_is_found_out_at_single_writes(tmp_path: Path) -> None:
    """The control: told before it is made, the last commit is lost, and the checker sees what follows from that."""
    problems = []
    for number in range(7, 20, 3):
        place = tmp_path / str(number)
        place.mkdir()
        _, found = point(place, Kind("fdatasync", "hub.db-wal"), number, early_answers=True)
        problems += found
    assert problems != []


def test_story_that_is_taken_up_twice_ends_the_same(tmp_path: Path) -> None:
    """D7: what a second recovery finds is what the first one has left."""
    whole = life(tmp_path)
    assert whole.problem == ""
    world = whole.of("world")[-1]
    twice = [life(tmp_path, first_id=1_000, world=world) for _ in range(2)]
    records = [told.of("records") for told in (*twice, whole)]
    assert records[0] == records[1] != []
    shutil.rmtree(tmp_path)
