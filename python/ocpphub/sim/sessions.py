"""The tour's steps about charging sessions: people and vehicles at the connectors, and what the CSMS learns of them.

Owns what happens and what has to be seen of it. Must never reach into the hub: it drives connectors as a controller
does (:mod:`ocpphub.sim.station`) and looks at what the CSMS received.

Plays the central system of OCPP 1.6 sections 4.8, 4.10 and 5.11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import ocpp.exceptions
from ocpp.v16 import call

from ocpphub.errors import OcpphubError, UnavailableError
from ocpphub.sim.charging import Tour
from ocpphub.sim.csms import Received
from ocpphub.sim.ledger import Record
from ocpphub.sim.personalities import BILLING
from ocpphub.sim.station import Station

SAMPLE_S: Final = 2
CHARGING_W: Final = 500.0
STEP_S: Final = 20.0
RECONNECT_S: Final = 45.0
"""Back-off begins at 5 s, doubles and has a random part; two attempts fit."""
LAST: Final = 3
"""These steps use connectors 1 to 3; whatever goes on at others meanwhile is not theirs."""
ENDS: Final = ("Local", "Local", "EVDisconnected")
"""How the three people leave: the tag again, the stop button, the cable."""


async def sessions_part(tour: Tour, identity: str) -> None:
    """All steps of this part: sessions, a remote start, a link cut in a session. Nothing is plugged after it."""
    steps = SessionSteps(tour, identity)
    for step in (steps.sessions, steps.remote_start, steps.cut_link):
        try:
            await step()
        except (OcpphubError, ocpp.exceptions.OCPPError, TimeoutError) as error:
            tour.say.failed(f"{type(error).__name__}: {error}")


class SessionSteps:
    """The three steps; each leaves its connectors empty."""

    def __init__(self, tour: Tour, identity: str) -> None:
        self.tour = tour
        self.say = tour.say
        self.identity = identity
        self._seen = 0

    async def sessions(self) -> None:
        """Plug, tag, start, samples, stop, unplug on several connectors at once."""
        connectors = range(1, min(LAST, self.tour.connectors) + 1)
        self.say.step(f"Charging on {len(connectors)} connectors: plug, tag, start, samples, stop, unplug")
        await self._sample_often()
        before = self._begin()
        async with self._station(connectors) as station:
            await asyncio.gather(*(self._arrive(station, each) for each in connectors))
            sampled = await self._until(lambda: self._all(before, len(connectors), lambda each: _samples(each) >= 2))
            self._tell()
            self.say.check(sampled, "StartTransaction and samples of each connector")
            await asyncio.gather(*(self._depart(station, each) for each in connectors))
            stopped = await self._until(lambda: self._all(before, len(connectors), lambda each: bool(each.stops)))
            self._tell()
            records = self._records(before)
            reasons = [record.stops[0].get("reason") if record.stops else None for record in records]
            energy_wh = sum(record.energy_wh or 0 for record in records)
            self.say.check(
                stopped and sorted(map(str, reasons)) == sorted(ENDS[: len(connectors)]) and energy_wh > 0,
                f"each session has one record at the CSMS ({reasons}), {energy_wh} Wh in all",
            )

    async def remote_start(self) -> None:
        """The CSMS starts a session, and ends it."""
        self.say.step("A remote start: the CSMS wants a session, the vehicle comes, the CSMS ends it")
        before = self._begin()
        async with self._station([1]) as station:
            await self._ask(call.RemoteStartTransaction("REMOTE", 1))
            await station.plug(1, state_of_charge=0.5)
            started = await self._until(lambda: self._all(before, 1, lambda each: each.id_tag == "REMOTE"))
            self._tell()
            self.say.check(started, "StartTransaction with the tag of the remote start")
            if started:
                await station.until(1, lambda evse: evse.power_w > CHARGING_W, STEP_S)
                await self._until_numbered(1)
                await self._ask(call.RemoteStopTransaction(self._records(before)[0].transaction_id))
            ended = await self._until(lambda: self._all(before, 1, lambda each: bool(each.stops)))
            self._tell()
            self.say.check(ended and _reason(self._records(before)[0]) == "Remote", "ended for the reason Remote")
            await station.unplug(1)

    async def cut_link(self) -> None:
        """The link breaks in a running session; what happens meanwhile is delivered afterwards, in order."""
        self.say.step("The link is cut in the middle of a session; everything is delivered afterwards, in order")
        before = self._begin()
        last = min(2, self.tour.connectors)
        async with self._station(range(1, last + 1)) as station:
            await self._arrive(station, 1)
            await self._until(lambda: self._all(before, 1, lambda each: _samples(each) >= 1))
            self._tell()
            connects = self.tour.csms.connects
            self.tour.csms.cut(self.identity)
            self.say.csms("cut the TCP connection")
            await asyncio.sleep(SAMPLE_S + 1)
            await self._meanwhile(station, last)
            self.say.note("the hub dials again after 5 s at the earliest")
            await self.tour.csms.wait_until(lambda: self.tour.csms.connects > connects, RECONNECT_S)
            delivered = await self._until(lambda: self._all(before, 2, lambda each: bool(each.stops)))
            await self._until_drained()
            late = self._tell()
            moments = [_moment(item) for item in late]
            self.say.check(delivered, "both sessions have their start and their stop")
            self.say.check(
                len(late) >= 4 and moments == sorted(moments),
                f"{len(late)} messages after the reconnect, in the order of their events",
            )

    # Parts of steps

    async def _meanwhile(self, station: Station, last: int) -> None:
        """Without a link the known tag stops its session and starts another one, on the next connector."""
        await self._depart(station, 1)
        await self._arrive(station, last, "TAG1")
        self.say.note(f"without a link: session on connector 1 stopped, another one on connector {last} begun")
        await asyncio.sleep(SAMPLE_S + 1)
        await station.press_stop(last)
        await station.unplug(last)

    async def _arrive(self, station: Station, connector_id: int, id_tag: str = "") -> None:
        id_tag = id_tag or f"TAG{connector_id}"
        await station.plug(connector_id, state_of_charge=0.2 + 0.1 * connector_id)
        status = await station.tag(connector_id, id_tag)
        charging = await station.until(connector_id, lambda evse: evse.power_w > CHARGING_W, STEP_S)
        evse = station.evses[connector_id]
        self.say.note(f"connector {connector_id}: plugged, {id_tag} {status}, charging with {evse.power_w:.0f} W")
        self.say.check(charging, f"connector {connector_id} charges")

    async def _depart(self, station: Station, connector_id: int) -> None:
        if connector_id == 1:
            await station.tag(connector_id, "TAG1")
        elif connector_id == 2:
            await station.press_stop(connector_id)
        await station.unplug(connector_id)

    async def _sample_often(self) -> None:
        await self._ask(call.ChangeConfiguration("MeterValueSampleInterval", str(SAMPLE_S)))

    async def _ask(self, request: Any) -> None:
        if self.identity not in self.tour.csms.connected:
            raise UnavailableError("not_connected", "the hub is not connected to the CSMS")
        answer = await self.tour.csms.call(self.identity, request)
        self.say.csms(f"{request} was answered {answer.status}")

    async def _until(self, condition: Callable[[], bool]) -> bool:
        return await self.tour.csms.wait_until(condition, STEP_S)

    async def _until_drained(self) -> None:
        """Wait until nothing waits for the CSMS. Raises ``TimeoutError``."""
        async with asyncio.timeout(STEP_S):
            while True:
                status = await self.tour.client.call("charge_point.get")
                if status["queue"]["messages"] == 0:
                    return
                await asyncio.sleep(0.1)

    async def _until_numbered(self, connector_id: int) -> None:
        """Wait until the hub knows the transaction id of the CSMS. Raises ``TimeoutError``."""
        async with asyncio.timeout(STEP_S):
            while True:
                state = await self.tour.client.call("connector.get", connector_id=connector_id)
                if (state["transaction"] or {}).get("transaction_id") is not None:
                    return
                await asyncio.sleep(0.1)

    def _station(self, connectors: Any) -> Station:
        return Station(self.tour.client.path, list(connectors), report_s=0.5)

    def _begin(self) -> int:
        """What was before is not told; how many records there are."""
        self._seen = len(self.tour.csms.received)
        return len(self.tour.csms.ledger.records)

    def _records(self, before: int) -> list[Record]:
        return self.tour.csms.ledger.records[before:]

    def _all(self, before: int, count: int, condition: Callable[[Record], bool]) -> bool:
        records = self._records(before)
        return len(records) == count and all(map(condition, records))

    def _tell(self) -> list[Received]:
        """Print the transaction-related messages that have come since the last time, and return them."""
        news = self.tour.csms.received[self._seen :]
        came = [item for item in news if item.action in BILLING and item.payload.get("connectorId", LAST) <= LAST]
        self._seen = len(self.tour.csms.received)
        for item in came:
            self.say.csms(f"received {item.action} {_short(item)}")
        return came


def _samples(record: Record) -> int:
    return len(record.meter_values)


def _reason(record: Record) -> str:
    return str(record.stops[0].get("reason")) if record.stops else ""


def _moment(item: Received) -> str:
    """When what a message tells began to be true."""
    if item.action == "MeterValues":
        return str(item.payload["meterValue"][0]["timestamp"])
    return str(item.payload["timestamp"])


def _short(item: Received) -> str:
    if item.action != "MeterValues":
        return str({name: value for name, value in item.payload.items() if name != "transactionData"})
    values = item.payload["meterValue"]
    which = {name: value for name, value in item.payload.items() if name != "meterValue"}
    return f"{which}: {len(values)} samples from {values[0]['timestamp']}"
