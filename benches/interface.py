"""P3: what the interface costs its server, with the assertion that comes before the clock.

Owns the requests of controllers and programs, and the two bare servers beside them: a raw echo of the same bytes, and a
trivial handler on orjson that answers with as many bytes. Must never time a request whose answer it has not looked at.
CPU time is that of the server's process, its writer thread included; the clients are in the process of the bench.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benches import permits, traffic_goals
from benches.goals import Goal
from benches.lines import Clients, Source, line
from benches.running import running_hub
from benches.worker import Worker

CLIENTS = 50
ROWS = 1_000
"""Connectors of one ``connector.report_many``, the most that are allowed."""
SHAPES = {"50 x 1": (CLIENTS, 1), "50 x 16": (CLIENTS, 16), "1 x 32": (1, 32)}
"""Clients, and requests of each in flight."""
MEASUREMENTS = [
    {"measurand": "Power.Active.Import", "value": 11_040.5},
    {"measurand": "Current.Import", "phase": "L1", "value": 16.0},
    {"measurand": "Voltage", "phase": "L1", "value": 229.5},
    {"measurand": "SoC", "value": 51},
]
COLUMNS = ("Power.Active.Import", "Current.Import.L1", "Voltage.L1", "SoC")


@dataclass(frozen=True, slots=True)
class Extent:
    """Requests of a lap, calls of ``report_many``."""

    requests: int
    many: int
    permits: int
    """Connectors whose permits change at once."""


WHOLE = Extent(4_000, 12, 10_000)
QUICK = Extent(1_000, 4, 1_000)
PERMIT_ROUNDS = 4


@dataclass(slots=True)
class Results:
    """Microseconds of server CPU by row and server, and the goal lines."""

    requests: dict[str, dict[str, float]] = field(default_factory=dict)
    other: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, row: str, column: str, laps: Sequence[float]) -> None:
        """The laps of one cell; their median is its figure."""
        middle = statistics.median(laps)
        ordered, quarter = sorted(laps), len(laps) // 4
        self.requests.setdefault(row, {})[column] = middle
        self.spread[f"{row} {column}"] = (ordered[-1 - quarter] - ordered[quarter]) / 2 / middle


def run(rounds: int, extent: Extent = WHOLE) -> Results:
    """Measure every part of P3 in one run."""
    results = uvloop.run(_run(rounds, extent))
    results.other = permits.run(extent.permits, PERMIT_ROUNDS)
    results.goals = traffic_goals.interface_goals(results.requests, results.other)
    return results


async def _run(rounds: int, extent: Extent) -> Results:
    results = Results()
    async with running_hub(ROWS, "sqlite") as (hub, csms, directory), Worker("benches.peers_process") as peers:
        bench = _Bench(results, directory, hub, peers, rounds, extent)
        with Clients([bench.socket] * CLIENTS) as clients:
            bench.plug_in(clients)
            await csms.quiet()  # a transaction runs on every connector, and the CSMS knows of them all
            await hub.ask("accepted")
            clients.settle()
            await bench.single(clients)
        with Clients([bench.socket]) as clients:
            bench.many(clients)
    return results


class _Bench:
    """One hub and the bare servers, and what they are asked."""

    def __init__(
        self, results: Results, directory: Path, hub: Worker, peers: Worker, rounds: int, extent: Extent
    ) -> None:
        self.socket = directory / "hub.sock"
        self._results, self._directory, self._hub, self._peers = results, directory, hub, peers
        self._rounds, self._extent = rounds, extent
        self._registers = [1_000] * (ROWS + 1)

    def plug_in(self, clients: Clients) -> None:
        """Every client drives its share of the connectors, on each of which a transaction runs."""
        share = ROWS // CLIENTS
        for index in range(CLIENTS):
            own = list(range(index * share + 1, (index + 1) * share + 1))
            clients.call(index, line("controller.attach", connectors=own))
            for connector_id in own:
                levels = {"plugged": True, "ev_ready": True, "evse_ready": True}
                params = {"connector_id": connector_id, "energy_wh": self._registers[connector_id], **levels}
                assert clients.call(index, line("connector.report", **params))["transaction"] is not None

    async def single(self, clients: Clients) -> None:
        """One request, in all shapes: ``connector.report`` twice, and a command about configuration."""
        asked = {
            "report, register only": (self._register(), ["50 x 1"]),
            "report, four measurands": (self._measured(), ["50 x 1"]),
            "get_configuration_key": (_constant("get_configuration_key", keys=["HeartbeatInterval"]), [*SHAPES]),
        }
        for number, (name, (source, shapes)) in enumerate(asked.items()):
            result = clients.call(0, source(0))
            self._check(name, result)
            method = orjson.loads(source(0))["method"]
            paths = {kind: self._directory / f"{kind}{number}" for kind in ("trivial", "echo")}
            for kind, path in paths.items():
                await self._peers.ask("listen", path=str(path), kind=kind, results={method: result})
            for shape in shapes:
                self._interleaved(f"{name}, {shape}", clients, source, shape, paths)
            if method == "connector.report":
                self._refused(clients, source)

    def _check(self, name: str, result: Any) -> None:
        if name.startswith("report"):
            assert result["transaction"]["meter_start_wh"] == 1_000, result
        else:
            assert result["configuration_keys"][0]["value"] == "86400", result

    def _refused(self, clients: Clients, source: Source) -> None:
        """The registers that were timed have been taken: one below the last is refused."""
        params = orjson.loads(source(0))["params"] | {"energy_wh": 1_000}
        assert clients.ask(0, line("connector.report", **params))["error"]["data"]["path"] == "/params/energy_wh"

    def _interleaved(self, row: str, clients: Clients, source: Source, shape: str, paths: dict[str, Path]) -> None:
        number, in_flight = SHAPES[shape]
        with (
            Clients([self.socket] * number) as own,
            Clients([paths["trivial"]] * number) as trivial,
            Clients([paths["echo"]] * number) as echo,
        ):
            ours = clients if row.startswith("report") else own
            columns = {"ours": (self._hub, ours), "trivial": (self._peers, trivial), "echo": (self._peers, echo)}
            laps: dict[str, list[float]] = {column: [] for column in columns}
            # A meter must not run on while others are asked: the hub would not believe its next register.
            frozen = [source(index) for index in range(number)]
            sources: dict[str, Source] = dict.fromkeys(columns, frozen.__getitem__) | {"ours": source}
            for _ in range(self._rounds + 1):
                for column, (worker, chosen) in columns.items():
                    before = worker.cpu_s()
                    chosen.run(sources[column], self._extent.requests, in_flight)
                    laps[column].append((worker.cpu_s() - before) / self._extent.requests * 1e6)
        for column, figures in laps.items():
            self._results.add(row, column, figures[1:])  # the first one warms up

    def many(self, clients: Clients) -> None:
        """``connector.report_many`` in columns over all connectors, levels as before."""
        clients.call(0, line("controller.attach", connectors=f"1-{ROWS}", takeover=True))
        for name, columns, values in (
            ("report_many, register", (), ()),
            ("report_many, four measurands", COLUMNS, (11_040.5, 16.0, 229.5, 51)),
        ):
            first = clients.call(0, self._rows(columns, values))
            assert first["errors"] == [], first["errors"][0]
            again = clients.call(0, self._rows(columns, values))
            assert again == {"changed": [], "errors": []}, again
            laps = []
            for _ in range(self._rounds + 1):
                before = self._hub.cpu_s()
                clients.run(partial(self._many, columns, values), self._extent.many)
                laps.append((self._hub.cpu_s() - before) / self._extent.many / ROWS * 1e6)
            self._results.add(name, "ours", laps[1:])

    def _many(self, columns: Sequence[str], values: Sequence[float], index: int) -> bytes:
        return self._rows(columns, values)

    def _rows(self, columns: Sequence[str], values: Sequence[float]) -> bytes:
        rows = []
        for connector_id in range(1, ROWS + 1):
            self._registers[connector_id] += 1
            rows.append([connector_id, True, True, True, self._registers[connector_id], *values])
        names = ["connector_id", "plugged", "ev_ready", "evse_ready", "energy_wh", *columns]
        return line("connector.report_many", columns=names, rows=rows)

    def _next(self, index: int) -> tuple[int, int]:
        connector_id = index * (ROWS // CLIENTS) + 1
        self._registers[connector_id] += 1
        return connector_id, self._registers[connector_id]

    def _register(self) -> Source:
        before, after = _around("connector.report", connector_id=0, energy_wh=0)

        def source(index: int) -> bytes:
            return before % self._next(index) + after

        return source

    def _measured(self) -> Source:
        before, after = _around("connector.report", connector_id=0, energy_wh=0, measurements=MEASUREMENTS)

        def source(index: int) -> bytes:
            return before % self._next(index) + after

        return source


def _around(method: str, **params: Any) -> tuple[bytes, bytes]:
    """A request with its connector and register left open, cut behind them."""
    text = line(method, **params).replace(b'"connector_id":0,"energy_wh":0', b'"connector_id":%d,"energy_wh":%d')
    head, mark, rest = text.partition(b'"energy_wh":%d')
    return head + mark, rest


def _constant(method: str, **params: Any) -> Callable[[int], bytes]:
    text = line(method, **params)
    return lambda index: text
