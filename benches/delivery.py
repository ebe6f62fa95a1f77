"""P4: the link and delivery, with the assertion that comes before the clock.

Owns the round trips, the way of a report from the socket to its confirmation, the drain of a long queue, and what
connections cost that do nothing. The CSMS is in the process of the bench; CPU time is that of the charge points'
process, so peers take turns and never run at once. Must never judge a rate without the round trip that was there.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benches import hub_process, traffic_goals
from benches.controllers import Controllers
from benches.csms import HEARTBEAT_S, BenchCsms
from benches.goals import Goal
from benches.worker import MIB, Worker

IDENTITIES = 50
OCPP_IDENTITIES = 20
ECHO_BYTES = 200
RTT_S = 0.02
FSYNC_S = 0.004


@dataclass(frozen=True, slots=True)
class Extent:
    """Round trips of a lap; messages that wait and seconds they drain; identities that idle and for how long."""

    trips: int
    waiting: int
    queue: int
    drain_s: float
    idle: int
    fleet: int
    fleet_s: float


WHOLE = Extent(2_000, 10_000, 100_000, 30.0, 300, 1_000, 60.0)
QUICK = Extent(300, 1_000, 1_500, 2.0, 80, 0, 0.0)


@dataclass(slots=True)
class Results:
    """Microseconds of CPU by row and peer, other figures by name, and the goal lines."""

    trips: dict[str, dict[str, float]] = field(default_factory=dict)
    other: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, row: str, laps: Mapping[str, Sequence[float]]) -> None:
        """The laps of one row in microseconds, by peer; the first of each has warmed up."""
        self.trips[row] = {}
        for column, figures in laps.items():
            kept = sorted(figures[1:])
            middle, quarter = statistics.median(kept), len(kept) // 4
            self.trips[row][column] = middle
            self.spread[f"{row} {column}"] = (kept[-1 - quarter] - kept[quarter]) / 2 / middle


def run(rounds: int, extent: Extent = WHOLE) -> Results:
    """Measure every part of P4 in one run."""
    return uvloop.run(_run(rounds, extent))


async def _run(rounds: int, extent: Extent) -> Results:
    results = Results()
    with tempfile.TemporaryDirectory() as name:
        bench = _Bench(Path(name), results, rounds, extent)
        for identities in (1, IDENTITIES):
            await bench.round_trips(identities)
        await bench.against_ocpp()
        await bench.from_the_socket()
        await bench.drain(0.0)
        await bench.drain(RTT_S)
        await bench.idle()
        if extent.fleet:
            await bench.fleet()
    results.goals = traffic_goals.delivery_goals(results.trips, results.other)
    return results


Lap = Callable[[], Awaitable[float]]


class _Bench:
    """The measurements of P4; each brings its own CSMS and its own processes."""

    def __init__(self, directory: Path, results: Results, rounds: int, extent: Extent) -> None:
        self._directory, self._results = directory, results
        self._rounds, self._extent = rounds, extent
        self._number = 0

    def _hub(self, url: str, store: str, fsync_s: float = 0.0, **shape: Any) -> tuple[Worker, Path]:
        self._number += 1
        directory = self._directory / str(self._number)
        path = hub_process.configure(directory, url, **shape)
        return Worker("benches.hub_process", str(path), store, str(fsync_s)), directory

    async def _interleaved(self, row: str, laps: Mapping[str, Lap]) -> None:
        taken: dict[str, list[float]] = {column: [] for column in laps}
        for _ in range(self._rounds + 1):
            for column, lap in laps.items():
                taken[column].append(await lap() * 1e6)
        self._results.add(row, taken)

    async def round_trips(self, identities: int) -> None:
        """DataTransfer of 200 bytes and its answer, through api, driver, core and link; and a bare echo of them."""
        number = max(self._extent.trips // identities, 10)
        async with BenchCsms() as csms, Worker("benches.peers_process") as peers:
            hub, _ = self._hub(csms.url, "memory", identities=identities)
            async with hub:
                await hub.ask("start")
                await hub.ask("accepted")
                await csms.quiet()
                before = csms.actions["DataTransfer"]
                await hub.ask("transfers", number=1)
                assert csms.actions["DataTransfer"] == before + identities
                assert abs(csms.sizes["DataTransfer"] - ECHO_BYTES) < 20, csms.sizes
                shape: dict[str, Any] = {"connections": identities, "number": number, "size": ECHO_BYTES}
                laps: dict[str, Lap] = {
                    "ours": lambda: hub.ask("transfers", number=number),
                    "websockets": lambda: peers.ask("echoes", url=csms.echo_url, **shape),
                }
                await self._interleaved(f"round trip, {identities} connections", laps)

    async def against_ocpp(self) -> None:
        """MeterValues of ten samples, and Heartbeat, from 20 charge points each; ours begins with the report."""
        trips = max(self._extent.trips // OCPP_IDENTITIES, 10)
        slow = max(trips // 5, 2)
        async with BenchCsms() as csms, Worker("benches.peers_process") as peers:
            await peers.ask("ocpp_connect", url=csms.url, identities=OCPP_IDENTITIES)
            hub, _ = self._hub(csms.url, "memory", identities=OCPP_IDENTITIES)
            async with hub:
                await hub.ask("start")
                await hub.ask("accepted")
                await hub.ask("plug_in")
                await csms.quiet()
                await hub.ask("reports", number=2)
                sent = csms.payloads["MeterValues"]
                assert len(sent["meterValue"][0]["sampledValue"]) == 10, sent
                theirs = _snake(sent)

                async def reports() -> float:
                    before = csms.actions["MeterValues"]
                    taken: float = await hub.ask("reports", number=trips)
                    assert csms.actions["MeterValues"] - before == trips * OCPP_IDENTITIES
                    return taken

                laps: dict[str, Lap] = {
                    "ours": reports,
                    "ocpp": lambda: peers.ask("ocpp_calls", action="MeterValues", payload=theirs, number=slow),
                }
                await self._interleaved("MeterValues, 20 identities", laps)
            hub, _ = self._hub(csms.url, "memory", identities=OCPP_IDENTITIES)
            async with hub:
                await hub.ask("start")
                await hub.ask("accepted")
                await csms.quiet()
                laps = {
                    "ours": lambda: hub.ask("heartbeats", number=slow, interval_s=HEARTBEAT_S),
                    "ocpp": lambda: peers.ask("ocpp_calls", action="Heartbeat", payload={}, number=slow),
                }
                await self._interleaved("Heartbeat, 20 identities", laps)

    async def from_the_socket(self) -> None:
        """A report of ten samples from its line to the confirmation of its MeterValues: ours and one written by hand.

        Then the same with the store, when many wait: all of them are reported while nobody is connected.
        """
        trips = self._extent.trips
        async with BenchCsms() as csms, Worker("benches.peers_process") as peers:
            hub, directory = self._hub(csms.url, "memory", identities=IDENTITIES)
            async with hub, Controllers(csms) as ours, Controllers(csms) as theirs:
                await hub.ask("start")
                await hub.ask("accepted")
                await ours.connect([directory / "hub.sock"] * IDENTITIES, attach=True)
                await csms.quiet()
                await hub.ask("accepted")
                state = await ours.one(0)
                hand = self._directory / "hand"
                await peers.ask("by_hand", path=str(hand), url=csms.url, identities=IDENTITIES, state=state)
                await theirs.connect([Path(f"{hand}{number}") for number in range(IDENTITIES)], attach=False)
                assert await theirs.one(0) == state

                async def lap(worker: Worker, controllers: Controllers) -> float:
                    begun = worker.cpu_s()
                    messages = await controllers.run(trips)
                    return (worker.cpu_s() - begun) / messages

                laps: dict[str, Lap] = {"ours": lambda: lap(hub, ours), "by hand": lambda: lap(peers, theirs)}
                await self._interleaved("report to confirmation, 50 identities", laps)
        await self._with_the_store()

    async def _with_the_store(self) -> None:
        """Each connector of 50 charge points has one sample waiting; CPU of reporting, keeping and delivering it."""
        connectors = self._extent.waiting // IDENTITIES
        async with BenchCsms() as csms:
            hub, directory = self._hub(csms.url, "sqlite", identities=IDENTITIES, connectors=connectors)
            async with hub, Controllers(csms) as controllers:
                await hub.ask("start")
                await hub.ask("accepted")
                await controllers.connect([directory / "hub.sock"] * IDENTITIES, attach=True, connectors=connectors)
                await csms.quiet()
                await hub.ask("accepted")
                csms.is_silent = True  # one message of each charge point is under way then
                await controllers.report_all()
                await hub.ask("drained")
                before_s, before = hub.cpu_s(), csms.actions["MeterValues"]
                await controllers.report_all()
                await hub.ask("drained")
                waiting = await hub.ask("waiting")
                assert waiting >= connectors * IDENTITIES, waiting
                csms.speak()
                while await hub.ask("waiting"):  # noqa: ASYNC110  # the hub is asked, not an event
                    await asyncio.sleep(0.2)
                delivered = csms.actions["MeterValues"] - before
                self._results.other["stored_us"] = (hub.cpu_s() - before_s) / delivered * 1e6
                self._results.other["stored_messages"] = delivered

    async def drain(self, rtt_s: float) -> None:
        """Sessions of a long outage: StartTransaction, MeterValues, StopTransaction, as fast as the link takes them."""
        sessions = self._extent.queue // 3
        name = f"drain_{rtt_s * 1000:.0f}ms"
        async with BenchCsms() as csms, Worker("benches.peers_process") as peers:
            csms.is_silent = True  # BootNotification waits for its answer: nothing else may be sent
            hub, directory = self._hub(csms.url, "sqlite", FSYNC_S, connectors=100)
            async with hub, Controllers(csms) as controllers:
                await hub.ask("start")
                await controllers.connect([directory / "hub.sock"], attach=True, connectors=100, plugged=False)
                await controllers.sessions(sessions)
                await hub.ask("drained")
                self._results.other[f"{name}_waiting"] = waiting = await hub.ask("waiting")
                assert waiting >= 0.9 * self._extent.queue, waiting
                csms.delay_s = rtt_s
                pace_s = await peers.ask("pace", url=csms.echo_url, number=50)
                csms.speak()
                while csms.actions["StopTransaction"] < 3:  # noqa: ASYNC110  # past the boot and the statuses
                    await asyncio.sleep(0.05)
                asking = asyncio.create_task(controllers.authorize_for(self._extent.drain_s))
                begun, before = time.monotonic(), csms.calls
                waits = await asking
                rate = (csms.calls - before) / (time.monotonic() - begun)
                assert csms.actions["StopTransaction"] < sessions, "the queue was empty before the clock stopped"
        waits.sort()
        self._results.other |= {
            f"{name}_rate": rate,
            f"{name}_pace_s": pace_s,
            f"{name}_authorize_s": waits[int(0.99 * (len(waits) - 1))],
            f"{name}_authorizes": len(waits),
        }

    async def idle(self) -> None:
        """Resident bytes of connections that do nothing: bare, with our link alone, and with the core behind it."""
        number = self._extent.idle
        async with BenchCsms() as csms:
            path = hub_process.configure(self._directory / "idle", csms.url, identities=number, ping_s=30)
            async with Worker("benches.peers_process") as peers:
                self._results.other["idle_bare"] = await peers.ask("hold", url=csms.url, number=number)
            async with Worker("benches.peers_process") as peers:
                figure = await peers.ask("hold_links", settings=[str(path)], number=number)
                self._results.other["idle_link"] = figure
            resident = {}
            for identities in (number // 4, number):
                hub, _ = self._hub(csms.url, "memory", identities=identities, ping_s=30)
                async with hub:
                    await hub.ask("start")
                    await hub.ask("accepted")
                    await csms.quiet()
                    resident[identities] = hub.resident()
            few, many = resident
            self._results.other["idle_identity"] = (resident[many] - resident[few]) / (many - few)

    async def fleet(self) -> None:
        """1,000 identities with ten connectors each: a session on every one, a MeterValues of each every minute."""
        identities, seconds = self._extent.fleet, self._extent.fleet_s
        async with BenchCsms() as csms:
            hub, directory = self._hub(
                csms.url, "sqlite", identities=identities, connectors=10, interval_s=60, ping_s=30
            )
            async with hub, Controllers(csms) as controllers:
                await hub.ask("start")
                await hub.ask("accepted")
                await controllers.connect([directory / "hub.sock"] * identities, attach=True, connectors=10)
                await csms.quiet(1.0)
                before, begun = csms.actions["MeterValues"], time.monotonic()
                lost, cpu_s = csms.lost, hub.cpu_s()
                await controllers.report_evenly(seconds)
                taken = time.monotonic() - begun
                assert csms.actions["MeterValues"] > before, "no session was sampled"
                self._results.other |= {
                    "fleet_cpu": (hub.cpu_s() - cpu_s) / taken,
                    "fleet_resident": hub.resident() / MIB,
                    "fleet_messages": csms.actions["MeterValues"] - before,
                    "fleet_lost": csms.lost - lost,
                }


def _snake(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A MeterValues.req as the package ``ocpp`` takes it."""
    (value,) = payload["meterValue"]
    taken = {"timestamp": value["timestamp"], "sampled_value": value["sampledValue"]}
    return {
        "connector_id": payload["connectorId"],
        "transaction_id": payload["transactionId"],
        "meter_value": [taken],
    }
