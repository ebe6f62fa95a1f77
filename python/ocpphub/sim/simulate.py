"""``ocpphub simulate``: controllers, vehicles and people for a hub that runs already, out of a seed.

Owns the run: who does what when, the lines that are printed, the summary and the exit code. Must never know more of the
hub than its socket tells.

Source: surface.md "Command line".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ocpphub.errors import LocalError, OcpphubError, UnavailableError
from ocpphub.sim.scenario import Visit, draw
from ocpphub.sim.station import Station

DONE: Final = 0
FAILED: Final = 1
NO_SOCKET: Final = 69
SETTLE_S: Final = 3.0
"""How long the last stops may take when the run is over."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. ``speed`` is how many seconds of the scenario pass in one second; ``duration_s`` are real ones.

    The clock of the hub is not moved: waiting times and batteries shrink, power and energy are those of the wall clock,
    for the hub compares its registers with that.
    """

    socket: Path
    connectors: Sequence[int]
    controllers: int = 1
    seed: int = 1
    duration_s: float = 60.0
    speed: float = 60.0
    scenario: str = "steady"
    charge_point: str | None = None


class Diary:
    """Prints a line per event, as text or as JSON, and counts."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.energy_wh = 0
        self._stream = stream
        self._as_json = as_json
        self._begun_s: float | None = None

    def hear(self, connector_id: int, event: str, details: dict[str, Any]) -> None:
        """Something has happened."""
        if event == "answer":
            event = "accepted" if details["status"] == "Accepted" else "refused"
        self.counts[event] += 1
        if event == "stop":
            self.energy_wh += details["energy_wh"]
        now_s = asyncio.get_running_loop().time()
        self._begun_s = now_s if self._begun_s is None else self._begun_s
        at_s = round(now_s - self._begun_s, 3)
        if self._as_json:
            self._line(json.dumps({"at_s": at_s, "connector_id": connector_id, "event": event, **details}))
        else:
            words = ", ".join(f"{name} {value}" for name, value in details.items())
            self._line(f"{at_s:9.3f} s  connector {connector_id:<5} {event:<9} {words}")

    def summary(self, problems: Sequence[OcpphubError], queue: dict[str, Any] | None) -> None:
        """What it came to."""
        names = ("plug", "tag", "refused", "start", "stop", "declined", "unanswered")
        counts = {name: self.counts[name] for name in names}
        waiting = None if queue is None else queue["messages"]
        if self._as_json:
            summary = {"event": "summary", **counts, "energy_wh": self.energy_wh, "queue": waiting}
            self._line(json.dumps({**summary, "problems": [str(problem) for problem in problems]}))
            return
        self._line(", ".join(f"{name} {count}" for name, count in counts.items()))
        self._line(f"{self.energy_wh / 1000:.3f} kWh charged; messages waiting for the CSMS: {waiting}")
        for text, count in Counter(str(problem) for problem in problems).most_common(20):
            self._line(f"problem ({count} times): {text}")

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def main(plan: Plan, stream: TextIO, *, as_json: bool) -> int:
    """Run; 0 done, 1 when the hub answered something with an error, 69 when it was not there (in the end).

    Raises :class:`OcpphubError` when the hub does not take the controllers.
    """
    return asyncio.run(Simulation(plan, Diary(stream, as_json=as_json)).run())


class Simulation:
    """One run of a plan."""

    def __init__(self, plan: Plan, diary: Diary) -> None:
        self.plan = plan
        self.diary = diary
        self.stations = [self._station(part) for part in _parts(plan.connectors, plan.controllers)]
        self.problems: list[OcpphubError] = []
        self._of = {each: station for station, part in self.stations for each in part}
        self._stopping = asyncio.Event()
        self._begun_s = 0.0

    def stop(self) -> None:
        """End the run before its time."""
        self._stopping.set()

    async def run(self) -> int:
        """Attach, let everything happen, clear the connectors; the exit code."""
        async with contextlib.AsyncExitStack() as stack:
            for station, _ in self.stations:
                await stack.enter_async_context(station)
            with self._signals():
                await self._play()
            await self._clear()
            queue = await self._queue()
            problems = [*self.problems, *(problem for station, _ in self.stations for problem in station.problems)]
            self.diary.summary(problems, queue)
            if queue is None:
                return NO_SOCKET
            return FAILED if problems else DONE

    # The run

    async def _play(self) -> None:
        scenario = draw(
            self.plan.scenario, self.plan.seed, self.plan.connectors, self.plan.duration_s * self.plan.speed
        )
        visits: dict[int, list[Visit]] = defaultdict(list)
        for visit in scenario.visits:
            visits[visit.connector_id].append(visit)
        self._begun_s = asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(self._visits(each)) for each in visits.values()]
        try:
            async with asyncio.timeout(self.plan.duration_s):
                await self._stopping.wait()
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _visits(self, visits: list[Visit]) -> None:
        for visit in visits:
            await self._at(visit.arrives_s)
            await self._visit(self._of[visit.connector_id], visit)

    async def _visit(self, station: Station, visit: Visit) -> None:
        connector_id = visit.connector_id
        acts: list[Callable[[], Awaitable[Any]]] = [
            lambda: station.plug(connector_id, visit.model, visit.state_of_charge),
            lambda: station.tag(connector_id, visit.id_tag),
        ]
        is_welcome = True
        for act in acts if visit.start == "plug_then_tag" else reversed(acts):
            answer = await self._try(connector_id, act)
            is_welcome = is_welcome and (act is acts[0] or answer == "Accepted")
            if not is_welcome:
                break
            await self._at(visit.arrives_s + visit.between_s)
        if is_welcome:
            await self._stay(station, visit)
            await self._end(station, visit)
            await self._at(visit.leaves_s + visit.between_s)
        await self._leave(station, connector_id)

    async def _stay(self, station: Station, visit: Visit) -> None:
        """Until it leaves, with what comes between."""
        acts: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        for trouble in visit.interruptions:
            if trouble.kind == "pause":
                acts.append((trouble.at_s, lambda: station.pause(visit.connector_id)))
                acts.append(
                    (trouble.at_s + trouble.lasts_s, lambda: station.pause(visit.connector_id, is_paused=False))
                )
            else:
                acts.append((trouble.at_s, lambda: station.fault(visit.connector_id)))
                acts.append((trouble.at_s + trouble.lasts_s, lambda: station.repair(visit.connector_id)))
        for at_s, act in sorted(acts, key=lambda item: item[0]):
            if at_s < visit.leaves_s:
                await self._at(at_s)
                await self._try(visit.connector_id, act)
        await self._at(visit.leaves_s)

    async def _end(self, station: Station, visit: Visit) -> None:
        if station.evses[visit.connector_id].transaction is None or visit.end == "unplug":
            return
        if visit.end == "tag":
            await self._try(visit.connector_id, lambda: station.tag(visit.connector_id, visit.id_tag))
        else:
            await self._try(visit.connector_id, lambda: station.press_stop(visit.connector_id))

    async def _leave(self, station: Station, connector_id: int) -> None:
        """The vehicle goes, and the connector is in order for the next one."""
        if station.evses[connector_id].vehicle is not None:
            await self._try(connector_id, lambda: station.unplug(connector_id))
        if station.evses[connector_id].errors:
            await self._try(connector_id, lambda: station.repair(connector_id))

    async def _try(self, connector_id: int, act: Callable[[], Awaitable[Any]]) -> Any:
        """Do it. What the hub cannot do now is told and the people go on; what it calls wrong is a problem."""
        try:
            return await act()
        except UnavailableError as error:
            self.diary.hear(connector_id, "unanswered", {"error": str(error)})
        except OcpphubError as error:
            if isinstance(error, LocalError) and error.code == "invalid_state":
                self.diary.hear(connector_id, "declined", {"error": str(error)})
            else:
                self.problems.append(error)
        return None

    async def _clear(self) -> None:
        """Everybody leaves, and the hub gets a moment to say what became of it."""
        await asyncio.gather(*(self._leave(station, each) for station, part in self.stations for each in part))
        waits = (
            station.until(each, lambda evse: evse.transaction is None, SETTLE_S)
            for station, part in self.stations
            for each in part
        )
        await asyncio.gather(*waits)

    async def _queue(self) -> dict[str, Any] | None:
        """The queue to the CSMS, ``None`` when the hub does not answer."""
        try:
            status = await self.stations[0][0].ask("charge_point.get")
        except OcpphubError:
            return None
        queue: dict[str, Any] = status["queue"]
        return queue

    async def _at(self, scenario_s: float) -> None:
        due_s = self._begun_s + scenario_s / self.plan.speed
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))

    def _station(self, connectors: Sequence[int]) -> tuple[Station, Sequence[int]]:
        station = Station(
            self.plan.socket,
            list(connectors),
            charge_point=self.plan.charge_point,
            time_lapse=self.plan.speed,
            hear=self.diary.hear,
        )
        return station, connectors

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


def _parts(connectors: Sequence[int], controllers: int) -> list[Sequence[int]]:
    """The connectors in as many neighbouring parts as there are controllers, none of them empty."""
    size, rest = divmod(len(connectors), min(controllers, len(connectors)))
    parts: list[Sequence[int]] = []
    start = 0
    while start < len(connectors):
        end = start + size + (len(parts) < rest)
        parts.append(connectors[start:end])
        start = end
    return parts
