"""The tour's steps about charging schedules: what the CSMS sends, what follows from it, why, and a picture.

Owns the two profiles of the tour and what a schedule has to show after each. Must never reach into the hub: it sends
through the CSMS, and looks through the socket and the command line.

Plays the central system of OCPP 1.6 section 5.16.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import ocpp.exceptions
from ocpp.v16 import call
from ocpp.v16.datatypes import ChargingProfile, ChargingSchedule, ChargingSchedulePeriod
from ocpp.v16.enums import ChargingProfileKindType, ChargingProfilePurposeType, ChargingRateUnitType, RecurrencyKind

from ocpphub.errors import UnavailableError
from ocpphub.rpc.client import AsyncClient, AsyncSubscription
from ocpphub.sim.csms import Csms
from ocpphub.sim.narrator import Narrator

DAY_PROFILE: Final = 10
STATION_LIMIT: Final = 11
"""Ids of the two profiles."""
HARDWARE_A: Final = 32
STATION_A: Final = 400
"""The limits that the tour's configuration gives a connector and the station."""
STEP_S: Final = 15.0
PLOT_S: Final = 60.0
"""Matplotlib looks at the fonts of the machine when it is used for the first time."""


def day_limit_a(hour: int) -> float:
    """Amperes per phase in an hour of the day (UTC): most at three in the night, least twelve hours later."""
    return round(11 + 5 * math.cos((hour - 3) * math.pi / 12), 1)


def station_limit_a(connectors: int) -> float:
    """Less than the day profile gives all connectors together at any hour, and less than ``STATION_A``."""
    return min(250.0, 5.0 * connectors)


def day_profile(now: datetime) -> ChargingProfile:
    """A TxDefaultProfile that repeats each day, with 24 periods."""
    periods = [ChargingSchedulePeriod(hour * 3600, day_limit_a(hour)) for hour in range(24)]
    return ChargingProfile(
        DAY_PROFILE,
        0,
        ChargingProfilePurposeType.tx_default_profile,
        ChargingProfileKindType.recurring,
        ChargingSchedule(ChargingRateUnitType.amps, periods, start_schedule=_yesterday(now)),
        recurrency_kind=RecurrencyKind.daily,
    )


def station_profile(now: datetime, connectors: int) -> ChargingProfile:
    """A ChargePointMaxProfile with one limit for all connectors together."""
    periods = [ChargingSchedulePeriod(0, station_limit_a(connectors))]
    return ChargingProfile(
        STATION_LIMIT,
        0,
        ChargingProfilePurposeType.charge_point_max_profile,
        ChargingProfileKindType.absolute,
        ChargingSchedule(ChargingRateUnitType.amps, periods, start_schedule=_yesterday(now)),
    )


def expected_a(schedules: dict[str, Any], connectors: int, *, is_capped: bool) -> tuple[float, float]:
    """What connector 1 and connector 0 may draw at the start of the published window, by the two profiles."""
    hour = datetime.fromisoformat(schedules["0"]["startSchedule"]).astimezone(UTC).hour
    cap = station_limit_a(connectors) if is_capped else STATION_A
    one = min(day_limit_a(hour), cap)
    return one, min(round(one * connectors, 1), cap)


def limits_a(schedules: dict[str, Any]) -> tuple[float, float]:
    """The limits of connector 1 and of connector 0 at the start of the published window."""
    one, whole = (schedules[number]["chargingSchedulePeriod"][0]["limit"] for number in ("1", "0"))
    return one, whole


class Tour(Protocol):
    """What the steps use of the tour that they are part of."""

    say: Narrator
    csms: Csms
    client: AsyncClient
    connectors: int
    folder: Path


class ChargingSteps:
    """The three steps; ``command`` is how the program is called, as a person would type it."""

    def __init__(self, tour: Tour, identity: str, command: str) -> None:
        self.tour = tour
        self.say = tour.say
        self.identity = identity
        self.command = command

    async def profiles(self) -> None:
        """A day profile and a station limit arrive; ``charging_schedules`` follows each."""
        self.say.step("The CSMS sends a day profile and a station limit; charging_schedules follows")
        events = await self.tour.client.subscribe(["charging_schedules"])
        self._show("before", events.snapshot["charging_schedules"])
        now = datetime.now(UTC)
        await self._send(day_profile(now), "24 periods, repeated each day, for every connector")
        followed = await self._follows(events, is_capped=False)
        self.say.check(followed, "every connector follows the day profile")
        limit_a = station_limit_a(self.tour.connectors)
        await self._send(station_profile(now, self.tour.connectors), f"{limit_a:g} A for all connectors together")
        followed = await self._follows(events, is_capped=True)
        self.say.check(followed, f"connector 0 is held down to {limit_a:g} A")
        await events.close()

    async def explanation(self) -> None:
        """Why connector 1 may draw what it may."""
        self.say.step("schedule.explain: why connector 1 may draw this and no more")
        question = {"connector_id": 1, "duration_s": 60}
        self.say.request("schedule.explain", question)
        stretches = await self.tour.client.call("schedule.explain", **question)
        first = stretches[0]
        winner = first["winner"]
        self.say.answer({"limit": first["limit"], "unit": first["unit"], "winner": winner})
        for loser in first["losers"]:
            self.say.answer(loser)
        wanted = STATION_LIMIT if first["limit"] == station_limit_a(self.tour.connectors) else DAY_PROFILE
        others = {loser["source"].get("charging_profile_id", loser["source"]["kind"]) for loser in first["losers"]}
        self.say.check(
            winner.get("charging_profile_id") == wanted and {DAY_PROFILE, STATION_LIMIT} - {wanted} <= others,
            f"decided by profile {wanted}, and a reason for each of the {len(others)} others",
        )

    async def picture(self) -> None:
        """Two pictures, by the command line as a person would draw them."""
        self.say.step("ocpphub schedule plot: a picture of connector 1, and one of the whole hub")
        if importlib.util.find_spec("matplotlib") is None:
            self.say.note("skipped: matplotlib is not installed (pip install 'ocpphub[plot]')")
            return
        # Not in the tour's own folder: the pictures are there to be looked at when it is over.
        folder = Path(tempfile.mkdtemp(prefix="ocpphub-pictures-"))
        files = [folder / "connector-1.svg", folder / "hub.svg"]
        drawn = await asyncio.gather(self._draw(files[0], "1"), self._draw(files[1]))
        for file, words in zip(files, drawn, strict=True):
            is_picture = file.is_file() and file.read_bytes().rstrip().endswith(b"</svg>")
            self.say.check(is_picture, f"{file} ({file.stat().st_size} bytes)" if is_picture else words)
        self.say.note("they stay when the tour is over; any browser shows them")

    # Parts of steps

    async def _send(self, profile: ChargingProfile, about: str) -> None:
        purpose = profile.charging_profile_purpose
        try:
            answer = await self.tour.csms.call(self.identity, call.SetChargingProfile(0, profile))
            status = answer.status
        except (ocpp.exceptions.OCPPError, TimeoutError) as error:
            status = f"{type(error).__name__}: {error}"
        self.say.csms(f"SetChargingProfile {purpose} ({about}) was answered {status}")
        self.say.check(status == "Accepted", f"{purpose} accepted")

    async def _follows(self, events: AsyncSubscription, *, is_capped: bool) -> bool:
        """Whether a publication comes that says what the profiles say."""
        try:
            async with asyncio.timeout(STEP_S):
                async for event in events:
                    schedules = event["value"]
                    if limits_a(schedules) == expected_a(schedules, self.tour.connectors, is_capped=is_capped):
                        self._show("event", schedules)
                        return True
        except TimeoutError:
            pass
        return False

    def _show(self, when: str, schedules: dict[str, Any]) -> None:
        one, whole = limits_a(schedules)
        self.say.note(f"{when} charging_schedules: connector 1 up to {one:g} A, connector 0 up to {whole:g} A")

    async def _draw(self, file: Path, *connector: str) -> str:
        """What the command says."""
        socket = os.fspath(self.tour.client.path)
        self.say.note(f"{self.command} schedule plot {''.join(f'{word} ' for word in connector)}-o {file} ...")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ocpphub", "schedule", "plot", *connector, "-o", str(file), "--socket", socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PLOT_S):
                output, _ = await process.communicate()
        except TimeoutError:
            raise UnavailableError("timeout", "the picture was not drawn in time") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output.decode(errors="replace").strip()


def _yesterday(now: datetime) -> str:
    """Midnight (UTC) of the day before: it has begun, whatever the clocks of both sides differ by."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    return day.isoformat().replace("+00:00", "Z")
