"""The tour's steps about permits: vehicles that share a grid connection, turns, and a controller that is killed.

Owns what happens at the feeder ``grid`` and what has to be seen of it. Must never reach into the hub: it sets limits as
an energy manager does, drives connectors as controllers do, and holds the hub's claims against what vehicles draw.

Plays design decisions.md 5, allocation, from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import ocpp.exceptions
from ocpp.v16 import call

from ocpphub.errors import OcpphubError, UnavailableError
from ocpphub.sim.charging import Tour
from ocpphub.sim.evse import Evse, Wiring
from ocpphub.sim.station import Station
from ocpphub.sim.vehicle import MODELS

FEEDER: Final = "grid"
FIRST: Final = 4
"""The connectors before it are those of the sessions that run meanwhile."""
VEHICLES: Final = 6
LEAST: Final = 3
"""Two that take turns, and one whose controller dies."""
MINIMUM_A: Final = 6
FALLBACK_A: Final = 6
TURN_S: Final = 10
"""What the tour's configuration says of these connectors and their turns."""
LEASE_S: Final = 30.0
LATE_S: Final = 2.0
STEP_S: Final = 15.0
SHORTFALL_S: Final = 6.0
"""``confirm_timeout_s``, and a round of confirmations for those who were late."""
LOOK_S: Final = 0.25
ROUNDING_A: Final = 0.05
SHARES_A: Final = (20, 14, 10)
"""What each vehicle gets of the limits, one after the other."""


@dataclass(frozen=True, slots=True)
class Look:
    """The feeder at one moment, in A per phase; the connectors are those of the tour's vehicles."""

    at_s: float
    limit_a: float
    claimed_a: float
    permits_a: dict[int, float]
    claims_a: dict[int, float]
    draws_a: dict[int, float]

    def line(self) -> str:
        """As it is told."""
        each = " ".join(_counted(permit_a, self.claims_a[at]) for at, permit_a in self.permits_a.items())
        figures = f"limit {self.limit_a:5.1f} A, claims {self.claimed_a:5.1f} A, drawn {self.drawn_a:5.1f} A"
        return f"{figures}; permits {each}"

    def is_shared_alike(self) -> bool:
        """Whether everybody has the same, and nothing else is counted for anybody."""
        shares_a = self.permits_a.values()
        return self.permits_a == self.claims_a and max(shares_a) - min(shares_a) < 0.15

    @property
    def drawn_a(self) -> float:
        """What the tour's vehicles draw."""
        return sum(self.draws_a.values())

    @property
    def is_over(self) -> bool:
        """Whether the claims are above the limit."""
        return self.claimed_a > self.limit_a + ROUNDING_A

    def is_used(self) -> bool:
        """Whether the claims are all of the limit and the vehicles draw it."""
        return not self.is_over and self.claimed_a > self.limit_a - 1 and self.drawn_a > 0.97 * self.claimed_a


def configuration(identity: str, connectors: int, limit_a: float) -> str:
    """The tables of hub.toml that these steps need, behind those of the charge point."""
    feeder = f'[[feeder]]\nname = "{FEEDER}"\nlimit_a = {limit_a}\nmembers = ["{identity}:1-{connectors}"]\n'
    if not (vehicles := _vehicles(connectors)):
        return feeder
    ids = f"{vehicles[0]}-{vehicles[-1]}"
    return f'[[charge_point.connector]]\nids = "{ids}"\nfallback_current_a = {FALLBACK_A}\n\n{feeder}'


def _vehicles(connectors: int) -> range:
    last = min(FIRST + VEHICLES - 1, connectors)
    return range(FIRST, last + 1) if last - FIRST + 1 >= LEAST else range(0)


class PermitSteps:
    """The steps; :meth:`kill` leaves vehicles and a lease behind, which :meth:`after` waits for and clears up."""

    def __init__(self, tour: Tour, identity: str) -> None:
        self.tour = tour
        self.say = tour.say
        self.identity = identity
        self.vehicles = _vehicles(tour.connectors)
        self.looks: list[Look] = []
        self._living, self._dying = (
            Station(tour.client.path, [*part], wiring=Wiring(fallback_current_a=FALLBACK_A), report_s=0.25)
            for part in self._parts()
        )
        self._falls_s: list[float] = []
        self._killed_s = 0.0
        self._before = ""
        self._watching: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()

    def _parts(self) -> tuple[Sequence[int], Sequence[int]]:
        """The connectors of the controller that lives, and of the one that dies."""
        third = len(self.vehicles) // 3
        return self.vehicles[: len(self.vehicles) - third], self.vehicles[len(self.vehicles) - third :]

    def steps(self, meanwhile: Sequence[Callable[[], Awaitable[None]]]) -> Sequence[Callable[[], Awaitable[None]]]:
        """These steps, with others to be seen while the lease of the killed controller runs out."""
        if not self.vehicles:
            return self.skipped, *meanwhile
        return self.shrink, self.kill, self.turns, *meanwhile, self.after

    async def skipped(self) -> None:
        """There are too few connectors."""
        self.say.step("Permits: vehicles that share a grid connection")
        self.say.note(f"skipped: this needs {FIRST + LEAST - 1} connectors")

    async def close(self) -> None:
        """Nothing of it goes on."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for station in (self._living, self._dying):
            with contextlib.suppress(OcpphubError):
                await station.stop()

    async def shrink(self) -> None:
        """The grid limit shrinks, and the permits with it."""
        count = len(self.vehicles)
        self.say.step(f"Permits: {count} vehicles share the feeder {FEEDER}; an energy manager lowers its limit")
        await self._clear_profiles()
        self._watching = asyncio.create_task(self._watch(), name="the feeder's watch")
        await self._arrive()
        charging = await self._until(lambda look: look.drawn_a > count * SHARES_A[0])
        self.say.check(charging, f"{count} vehicles charge, nothing holds them down")
        self.say.note("(in brackets: the claim, what is counted for it until its controller says that it has followed)")
        for share_a in SHARES_A:
            fell_s = await self._limit(count * share_a)
            followed = await self._until(Look.is_used)
            took_s = self._last.at_s - fell_s
            self.say.check(followed, f"claims and draw are within {count * share_a} A, {took_s:.1f} s after it was set")

    async def kill(self) -> None:
        """A controller is killed; what it may draw stays counted."""
        dead = self._parts()[1]
        self.say.step(f"kill -9 of the controller of {_names(dead)}: it draws on, and nobody can tell it anything")
        self._before = self._claims(self._last)
        self.say.note(f"claims before: {self._before}")
        await self._dying.die()
        self._killed_s = self._now_s()
        await self._until(lambda look: look.at_s > self._killed_s + 1, is_told=False)
        during = self._claims(self._last)
        self.say.check(during == self._before, f"without its controller the claims still are {during}")
        self.say.note(f"they count until its lease has run out, {LEASE_S:g} s after it was last seen; meanwhile:")

    async def turns(self) -> None:
        """There is too little for all: one after the other."""
        living = self._parts()[0]
        fits = (len(living) + 1) // 2
        self.say.step(f"Turns: {len(living)} vehicles, and room for the minimum of {fits} of them")
        counted_a = sum(self._last.claims_a[each] for each in self._parts()[1])
        self.say.note(f"{counted_a:g} A of the limit are counted for the dead controller; a turn takes {TURN_S} s")
        await self._limit(counted_a + fits * MINIMUM_A)
        begun = await self._until(lambda look: not look.is_over and len(self._served(look)) == fits)
        first = self._served(self._last)
        self.say.note(f"{_names(first)} charge, the others wait")
        swapped = begun and await self._until(
            lambda look: not look.is_over and {*living} <= {*first, *self._served(look)}, TURN_S
        )
        self.say.check(swapped, f"then {_names(self._served(self._last))}: in one rotation everybody charged")
        # Enough for everybody here, and for those who come on the connectors before them.
        await self._limit(SHARES_A[-1] * (len(self.vehicles) + FIRST - 1))

    async def after(self) -> None:
        """The lease has run out; the controller comes back, everybody leaves."""
        dead = self._parts()[1]
        self.say.step(f"The lease of the killed controller runs out: {_names(dead)} count with their fallback")
        fallen = await self._until(lambda look: all(look.claims_a[each] == FALLBACK_A for each in dead), LEASE_S)
        after = self._claims(self._last)
        counted = [look for look in self.looks if look.at_s > self._killed_s and self._claims(look) == self._before]
        for_s = counted[-1].at_s - self._killed_s if counted else 0.0
        self.say.note(f"claims before: {self._before}; for {for_s:.1f} s without it the same; after: {after}")
        self.say.check(
            fallen and abs(for_s - LEASE_S) < LATE_S, f"the claims were counted for {LEASE_S:g} s, then the fallback"
        )
        await self._dying.start()
        back = await self._until(Look.is_shared_alike)
        self.say.check(back, f"it is back, and its permits count again: {self._claims(self._last)}")
        await self._leave()
        self._judge()
        await self.close()

    # Parts of steps

    def _judge(self) -> None:
        """Over all looks: the claims, and what was drawn."""
        longest_s = 0.0
        for look in self.looks:
            if look.is_over:
                fell_s = max((each for each in self._falls_s if each <= look.at_s), default=0.0)
                longest_s = max(longest_s, look.at_s - fell_s)
        drew_more = [look for look in self.looks if not look.is_over and look.drawn_a > look.limit_a + ROUNDING_A]
        self.say.check(
            longest_s <= SHORTFALL_S and not drew_more,
            f"in {len(self.looks)} looks the claims were above the limit for {longest_s:.1f} s at most, just after it "
            "fell; at no other time the vehicles drew more than it",
        )

    async def _limit(self, limit_a: float) -> float:
        """Set the limit of the feeder; when that was."""
        at_s = self._now_s()
        if self.looks and limit_a < self.looks[-1].limit_a:
            self._falls_s.append(at_s)
        params = {"feeder": FEEDER, "limit_a": limit_a, "valid_for_s": 600}
        self.say.request("station.set_limit", params)
        await self.tour.client.call("station.set_limit", **params)
        return at_s

    async def _clear_profiles(self) -> None:
        with contextlib.suppress(KeyError, TimeoutError, ocpp.exceptions.OCPPError):
            answer = await self.tour.csms.call(self.identity, call.ClearChargingProfile())
            self.say.csms(f"ClearChargingProfile (all) was answered {answer.status}: a vehicle may take what it can")

    async def _arrive(self) -> None:
        async def one(station: Station, connector_id: int) -> None:
            await station.plug(connector_id, MODELS[3])
            await station.tag(connector_id, f"VAN{connector_id}")

        for station in (self._living, self._dying):
            await station.start()
        await asyncio.gather(*(one(*each) for each in self._places()))

    async def _leave(self) -> None:
        await asyncio.gather(*(station.unplug(connector_id) for station, connector_id in self._places()))
        waits = (station.until(each, lambda evse: evse.transaction is None, STEP_S) for station, each in self._places())
        await asyncio.gather(*waits)
        await self.tour.client.call("station.set_limit", feeder=FEEDER, limit_a=self.looks[0].limit_a, valid_for_s=1)

    def _places(self) -> list[tuple[Station, int]]:
        return [
            (station, each)
            for station, part in zip((self._living, self._dying), self._parts(), strict=True)
            for each in part
        ]

    def _claims(self, look: Look) -> str:
        return ", ".join(f"{look.claims_a[each]:.1f} A" for each in self._parts()[1])

    def _served(self, look: Look) -> list[int]:
        """Who charges with what it may."""
        return [each for each in self._parts()[0] if look.draws_a[each] > 0.9 * look.permits_a[each] > 0]

    # Looking

    @property
    def _last(self) -> Look:
        if not self.looks:
            raise UnavailableError("not_connected", "the hub was not seen to share anything")
        return self.looks[-1]

    async def _until(self, condition: Callable[[Look], bool], longer_s: float = 0.0, *, is_told: bool = True) -> bool:
        """Look until the condition holds; what has changed is told. False after ``STEP_S``, or ``longer_s`` more."""
        told = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STEP_S + longer_s):
                while True:
                    self._looked.clear()
                    await self._looked.wait()
                    look = self.looks[-1]
                    if is_told and (line := look.line()) != told:
                        self.say.note(line)
                        told = line
                    if condition(look):
                        return True
        return False

    async def _watch(self) -> None:
        # A large hub has more to tell.
        pause_s = max(LOOK_S, self.tour.connectors / 4_000)
        while True:
            try:
                self.looks.append(await self._look())
            except OcpphubError:
                return  # whoever waits for a look does not see it
            self._looked.set()
            await asyncio.sleep(pause_s)

    async def _look(self) -> Look:
        before = self._draws_a()
        answer: dict[str, Any] = await self.tour.client.call("allocation.get")
        # A permit may change between the hub's word and ours: the lower one counts.
        draws_a = {each: min(drawn_a, before[each]) for each, drawn_a in self._draws_a().items()}
        feeder = next(each for each in answer["feeders"] if each["name"] == FEEDER)
        rows = {each: answer["connectors"][str(each)] for each in self.vehicles}
        return Look(
            self._now_s(),
            feeder["limit_a"],
            feeder["claimed_a"],
            {each: row["permit"]["limit_a"] for each, row in rows.items()},
            {each: row["claim_a"] for each, row in rows.items()},
            draws_a,
        )

    def _draws_a(self) -> dict[int, float]:
        return {each: _current_a(station.evses.get(each), self._now_s()) for station, each in self._places()}

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def _counted(permit_a: float, claim_a: float) -> str:
    return f"{permit_a:.1f}" if permit_a == claim_a else f"{permit_a:.1f} ({claim_a:.1f})"


def _current_a(evse: Evse | None, now_s: float) -> float:
    if evse is None:
        return 0.0
    evse.pass_time(now_s)
    return evse.current_a


def _names(connectors: Sequence[int]) -> str:
    return f"connector{'s' if len(connectors) > 1 else ''} {', '.join(map(str, connectors))}"
