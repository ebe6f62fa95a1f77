"""P6: what the process itself costs: its start, its rest, its reads of everything.

Owns the processes that do nothing but start, and a hub of 10,000 connectors of which nobody drives one. Must never
judge the time that the machine's loader takes: an interpreter that does nothing is taken off.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

import uvloop

from benches import traffic_goals
from benches.goals import Measured
from benches.lines import Clients, line
from benches.running import running_hub
from benches.worker import MIB, ROOT

STARTS: dict[str, Sequence[str]] = {
    "bare": ("-c", "pass"),
    "import": ("-c", "import ocpphub"),
    "help": ("-m", "ocpphub", "--help"),
}
WHOLE, QUICK = 10_000, 2_000
"""Connectors."""


def run(rounds: int, connectors: int = WHOLE) -> Measured:
    """Measure every part of P6."""
    results = Measured()
    results.other = starts(rounds) | uvloop.run(_hub(connectors, rounds))
    results.goals = traffic_goals.process_goals(results.other)
    return results


def starts(rounds: int) -> dict[str, float]:
    """CPU seconds of a process that imports us, or prints the help, above one that does nothing."""
    laps: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        for name, arguments in STARTS.items():
            before = os.times()
            environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
            after = os.times()
            laps[name].append(after.children_user + after.children_system - sum(before[2:4]))
    means = {name: statistics.fmean(figures) for name, figures in laps.items()}  # the clock ticks a hundred a second
    return {f"{name}_s": means[name] - means["bare"] for name in ("import", "help")}


async def _hub(connectors: int, rounds: int) -> dict[str, float]:
    lists, turns, scrapes, pauses = [], [], [], []
    async with running_hub(connectors, "sqlite") as running:
        hub, csms, _ = running
        await csms.quiet()  # it has been told of every connector
        resident = hub.resident()
        with Clients([running.socket]) as clients:
            assert len(clients.call(0, line("connector.list"))) == connectors
            for _ in range(rounds):
                await hub.ask("watch_turns")
                before = hub.cpu_s()
                clients.call(0, line("connector.list"))
                taken = hub.cpu_s() - before
                turns.append(await hub.ask("longest_turn"))
                before = hub.cpu_s()
                clients.call(0, line("connector.list"))
                lists.append(min(taken, hub.cpu_s() - before))
        for _ in range(rounds):
            await hub.ask("watch_turns")
            scrapes.append(await hub.ask("scrape"))
            pauses.append(await hub.ask("longest_turn"))
        collections = [await hub.ask("collect") for _ in range(rounds)]
    return {
        "connectors": float(connectors),
        "idle_mib": resident / MIB,
        "list_s": statistics.median(lists),
        "list_turn_s": statistics.median(turns),
        "scrape_s": statistics.median(scrapes),
        "scrape_turn_s": statistics.median(pauses),
        "collect_s": statistics.median(collections),
    }
