"""P3: every permit of a hub changes at once, and each has a controller of its own to reach; a command beside them all.

Owns the hub, its ten thousand connections and what they are told. Must never count a permit that its controller has not
got. The time is the wall's, the work of all the clients included: it is shown and judged in RESULTS.md and never gates.
"""

from __future__ import annotations

import statistics
import time

import uvloop

from benches.lines import Clients, line
from benches.running import running_hub

ROWS = 1_000
"""Rows of one report, the most that are allowed."""
AMPERES = (10, 8)
"""What each connector has in turn: the whole charge point is given so much for each of them."""
COMMANDS = 1_000
LEVELS = {"plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 1_000}


def run(connectors: int, rounds: int) -> dict[str, float]:
    """Milliseconds from an energy manager's word to the last controller, and the longest turn of the hub's loop."""
    return uvloop.run(_run(connectors, rounds))


async def _run(connectors: int, rounds: int) -> dict[str, float]:
    waits, turns = [], []
    async with running_hub(connectors, "memory") as running:
        hub, csms, _ = running
        with Clients([running.socket] * (connectors + 1)) as clients:
            _plug_in(clients, connectors)
            await csms.quiet()  # a transaction runs on every connector, and the CSMS knows of them all
            await hub.ask("accepted")
            _take_over(clients, connectors)
            for number in range(rounds + 1):
                amperes = AMPERES[number % len(AMPERES)]
                clients.settle()
                await hub.ask("watch_turns")
                waits.append(clients.told(_limit(connectors, amperes), b'"limit_a":%d.0,' % amperes))
                turns.append(await hub.ask("longest_turn"))
                _confirm(clients, connectors)
            clients.settle()
            delays = [_delay(clients) for _ in range(COMMANDS)]
    return {
        "command_p99_s": statistics.quantiles(delays, n=100)[-1],
        "permits": float(connectors),
        "permits_s": statistics.median(waits[1:]),  # the first ones come from no limit at all
        "permits_turn_s": statistics.median(turns[1:]),
    }


def _delay(clients: Clients) -> float:
    """Seconds of a command while everybody else is connected."""
    begun = time.monotonic()
    answer = clients.call(-1, line("get_configuration_key", keys=["HeartbeatInterval"]))
    assert answer["configuration_keys"][0]["value"] == "86400", answer
    return time.monotonic() - begun


def _plug_in(clients: Clients, connectors: int) -> None:
    """One controller begins a session on every connector."""
    clients.call(-1, line("controller.attach", connectors=f"1-{connectors}"))
    for first in range(1, connectors + 1, ROWS):
        ids = range(first, min(first + ROWS, connectors + 1))
        reports = [{"connector_id": each, **LEVELS} for each in ids]
        assert clients.call(-1, line("connector.report_many", reports=reports))["errors"] == []


def _take_over(clients: Clients, connectors: int) -> None:
    """From now on each connector has a controller of its own, which hears of its permits."""
    for index in range(connectors):
        clients.call(index, line("controller.attach", connectors=index + 1, takeover=True))
        clients.call(index, line("subscribe", topics=["connector.permit"], connectors=index + 1, snapshot=False))


def _limit(connectors: int, amperes: int) -> bytes:
    return line("station.set_limit", limit_a=connectors * amperes, valid_for_s=3_600)


def _confirm(clients: Clients, connectors: int) -> None:
    """Every controller has applied what it was told."""
    states = clients.call(-1, line("connector.list"))
    assert len(states) == connectors
    for index, state in enumerate(states):
        report = line("connector.report", connector_id=index + 1, permit_seq=state["permit"]["seq"], **LEVELS)
        assert clients.call(index, report)["permit"] == state["permit"]
