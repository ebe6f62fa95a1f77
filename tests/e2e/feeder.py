"""Two charge points with 50 simulated connectors each behind one feeder, and somebody who watches claims and draw.

Owns hub, CSMS, controllers and vehicles, and the samples taken of them. Must never ask the hub what its vehicles draw:
that is what its claims are held against.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.evse import Evse, Wiring
from ocpphub.sim.station import Station
from ocpphub.sim.vehicle import Model

WEST: Final = "WEST"
EAST: Final = "EAST"
FEEDER: Final = "grid"
CONNECTORS: Final = 50
CAR: Final = Model("car on three phases", 90.0, 22_080.0)
"""It takes 32 A per phase, as much as a connector gives."""
REPORT_S: Final = 0.4
SAMPLE_S: Final = 0.2
CONFIRM_S: Final = 5.0
"""``confirm_timeout_s`` of decisions.md 5."""
ROUND_S: Final = 1.0
"""A permit without energy opens the contactor at once, and the next report says so."""
ROUNDING_A: Final = 0.01

CONTROLLERS: Final = {"west": (WEST, range(1, 51)), "east-1": (EAST, range(1, 26)), "east-2": (EAST, range(26, 51))}

Spot = tuple[str, int]
"""A connector of the site: charge point and connector id."""


@dataclass(frozen=True, slots=True)
class Level:
    """What is below one limit, in A per phase; ``limit_a`` is infinite where there is none."""

    limit_a: float
    claimed_a: float
    drawn_a: float

    @property
    def is_over(self) -> bool:
        """Whether the claims are above the limit."""
        return self.claimed_a > self.limit_a + ROUNDING_A


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at everything; ``drawn_a`` is what each vehicle drew before and after it, the lower one."""

    at_s: float
    levels: Mapping[str, Level]
    connectors: Mapping[Spot, Mapping[str, Any]]
    drawn_a: Mapping[Spot, float]

    def line(self) -> str:
        """As it is printed."""
        parts = (
            f"{name} limit {level.limit_a:6.1f} claims {level.claimed_a:6.1f} draw {level.drawn_a:6.1f}"
            for name, level in self.levels.items()
        )
        return f"{self.at_s:6.2f} s | {' | '.join(parts)}"


def _settings(csms_url: str, limit_a: float, fallback_a: float, turn_s: int) -> tuple[dict[str, Any], str]:
    """The electrical keys of the first charge point, and the tables behind it: the second one, and the feeder."""
    electrical = {"connector_max_a": 32, "fallback_current_a": fallback_a, "turn_s": turn_s}
    rows = "\n".join(f"{name} = {value}" for name, value in electrical.items())
    return (
        electrical,
        f"""
[[charge_point]]
identity = "{EAST}"
csms_url = "{csms_url}"
connectors = {CONNECTORS}
vendor = "ocpphub"
model = "test"
[charge_point.electrical]
{rows}

[[feeder]]
name = "{FEEDER}"
limit_a = {limit_a}
members = ["{WEST}:1-{CONNECTORS}", "{EAST}:1-{CONNECTORS}"]
""",
    )


@dataclass(slots=True)
class Site:
    """A running site; ``falls`` are the moments at which somebody lowered a limit, by its name."""

    csms: Csms
    client: AsyncClient
    stations: dict[str, Station]
    samples: list[Sample] = field(default_factory=list)
    falls: dict[str, list[float]] = field(default_factory=dict)
    _begun_s: float = 0.0
    _sampled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now_s(self) -> float:
        """Seconds since the site is there."""
        return asyncio.get_running_loop().time() - self._begun_s

    def evse(self, spot: Spot) -> Evse:
        """A connector as it really is."""
        name = next(name for name, (identity, ids) in CONTROLLERS.items() if spot[0] == identity and spot[1] in ids)
        return self.stations[name].evses[spot[1]]

    def step(self, text: str) -> None:
        """Say what happens now."""
        print(f"{self.now_s:6.2f} s : {text}")

    def falls_now(self, *names: str) -> None:
        """These limits are being lowered."""
        for name in names:
            self.falls.setdefault(name, []).append(self.now_s)

    async def plug_all(self) -> None:
        """A vehicle and a session on every connector."""

        async def one(station: Station, connector_id: int) -> None:
            await station.plug(connector_id, CAR)
            assert await station.tag(connector_id, f"TAG{connector_id}") == "Accepted"

        await asyncio.gather(*(one(self.stations[name], each) for name, each in _places()))

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.samples.append(await self._sample())
            print(self.samples[-1].line())
            self._sampled.set()
            await asyncio.sleep(SAMPLE_S)

    async def until(self, condition: Callable[[Sample], bool], timeout_s: float) -> Sample:
        """The next sample for which the condition holds; ``AssertionError`` when time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._sampled.clear()
                    await self._sampled.wait()
                    if condition(self.samples[-1]):
                        return self.samples[-1]
        except TimeoutError:
            last = self.samples[-1]
            odd = {
                f"{spot} draws {last.drawn_a[spot]:.1f} A": row
                for spot, row in last.connectors.items()
                if self._is_odd(last, spot)
            }
            raise AssertionError(f"not seen within {timeout_s:g} s: {last.line()}; {odd}") from None

    @staticmethod
    def _is_odd(sample: Sample, spot: Spot) -> bool:
        """Whether permit, claim and draw of a connector are not the same."""
        values = sample.connectors[spot]["permit"]["limit_a"], sample.connectors[spot]["claim_a"], sample.drawn_a[spot]
        return bool(max(values) - min(values) > ROUNDING_A)

    def since(self, start_s: float, end_s: float = float("inf")) -> list[Sample]:
        """The samples of a time."""
        return [sample for sample in self.samples if start_s <= sample.at_s <= end_s]

    async def _sample(self) -> Sample:
        # What is sent is answered by the hub in one turn of its loop, or in two that follow one another.
        before = self._draw()
        answers = dict(zip((WEST, EAST), await asyncio.gather(self._ask(WEST), self._ask(EAST)), strict=True))
        drawn = {spot: min(amperes, before[spot]) for spot, amperes in self._draw().items()}
        connectors = {
            (identity, int(each)): row
            for identity, answer in answers.items()
            for each, row in answer["connectors"].items()
        }
        (feeder,) = answers[EAST]["feeders"]
        levels = {FEEDER: _level(feeder, drawn.values())}
        for identity, answer in answers.items():
            levels[identity] = _level(answer, (drawn[spot] for spot in drawn if spot[0] == identity))
        return Sample(self.now_s, levels, connectors, drawn)

    async def _ask(self, identity: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self.client.call("allocation.get", charge_point=identity)
        return answer

    def _draw(self) -> dict[Spot, float]:
        now_s = asyncio.get_running_loop().time()
        drawn = {}
        for name, connector_id in _places():
            evse = self.stations[name].evses[connector_id]
            evse.pass_time(now_s)
            drawn[CONTROLLERS[name][0], connector_id] = evse.current_a
        return drawn


def _places() -> Iterator[tuple[str, int]]:
    for name, (_, connectors) in CONTROLLERS.items():
        for connector_id in connectors:
            yield name, connector_id


def spots(name: str) -> list[Spot]:
    """The connectors of a controller."""
    identity, connectors = CONTROLLERS[name]
    return [(identity, connector_id) for connector_id in connectors]


def _level(row: Mapping[str, Any], drawn: Iterable[float]) -> Level:
    limit_a = row["limit_a"]
    return Level(float("inf") if limit_a is None else limit_a, row["claimed_a"], sum(drawn))


@asynccontextmanager
async def running_site(limit_a: float, *, fallback_a: float = 0.0, turn_s: int = 900) -> AsyncIterator[Site]:
    """A site whose controllers have attached; it is watched until the block ends."""
    async with Csms() as csms, contextlib.AsyncExitStack() as stack:
        electrical, toml = _settings(csms.url, limit_a, fallback_a, turn_s)
        hub = HubProcess(csms.url, identity=WEST, connectors=CONNECTORS, electrical=electrical, toml=toml)
        stack.push_async_callback(asyncio.to_thread, hub.remove)
        await asyncio.to_thread(hub.start)
        assert await csms.wait_until(lambda: csms.connected == {WEST, EAST}, 20), hub.last_log_lines()
        assert await csms.wait_until(lambda: csms.count("StatusNotification") >= 2 * (CONNECTORS + 1), 20)
        client = await stack.enter_async_context(AsyncClient(hub.socket))
        wiring = Wiring(fallback_current_a=fallback_a)
        stations = {
            name: Station(hub.socket, [*connectors], charge_point=identity, wiring=wiring, report_s=REPORT_S)
            for name, (identity, connectors) in CONTROLLERS.items()
        }
        for station in stations.values():
            await stack.enter_async_context(station)
        site = Site(csms, client, stations, _begun_s=asyncio.get_running_loop().time())
        watching = asyncio.create_task(site.watch())
        try:
            yield site
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def judge(site: Site) -> None:
    """What holds at every sample (decisions.md 5); ``AssertionError`` with the line of the first that breaks it."""
    previous: Sample | None = None
    for sample in site.samples:
        for name, level in sample.levels.items():
            falls = site.falls.get(name, [])
            since_s = min((sample.at_s - fell_s for fell_s in falls if fell_s <= sample.at_s), default=float("inf"))
            if level.is_over:
                assert since_s <= CONFIRM_S + ROUND_S, f"claims of {name} above its limit: {sample.line()}"
                if previous is not None and previous.levels[name].is_over:
                    was_a = previous.levels[name].claimed_a
                    assert level.claimed_a <= was_a + ROUNDING_A, f"raised in a shortfall: {sample.line()}"
            else:
                assert level.drawn_a <= level.limit_a + ROUNDING_A, f"{name} draws too much: {sample.line()}"
        for spot, row in sample.connectors.items():
            assert sample.drawn_a[spot] <= row["claim_a"] + ROUNDING_A, f"{spot} draws more than {row}: {sample.line()}"
        previous = sample
