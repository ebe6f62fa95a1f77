"""A controller of one connector, asyncio:  python controller_async.py SOCKET CONNECTOR."""

import asyncio
import sys
from typing import Any

from ocpphub import AsyncClient, UnavailableError


class Connector:
    """Replace ``set_limit`` and ``meter_wh`` by your hardware. ``set_limit`` ends when no more than that is drawn."""

    energy_wh = 1000
    applied = -1
    lease: asyncio.Timeout

    def __init__(self, path: str, number: int) -> None:
        self.hub = AsyncClient(path, on_request=self.hear)
        self.number = number

    async def set_limit(self, amperes: float) -> None:
        print(f"limit {amperes:g}", flush=True)

    def meter_wh(self) -> int:
        self.energy_wh += 1
        return self.energy_wh

    def hear(self, method: str, params: dict[str, Any]) -> object:
        """What the hub asks or tells; permits hold while leases come."""
        if method == "lease":
            self.lease.reschedule(asyncio.get_running_loop().time() + params["valid_for_s"])
            return None
        return {"status": "NotSupported"} if method == "connector.unlock" else {"accepted": True}

    async def report(self, **levels: object) -> dict[str, Any]:
        levels |= {"connector_id": self.number, "energy_wh": self.meter_wh()}
        state: dict[str, Any] = await self.hub.call("connector.report", **levels)
        return state

    async def apply(self, state: dict[str, Any]) -> None:
        """Obey the permit of a connector state, unless a newer one is applied, then confirm it."""
        permit = state["permit"]
        if permit["seq"] <= self.applied:
            return
        limit = permit["limit_a"] if permit["energize"] else 0
        self.applied = permit["seq"]
        print(f"permit {self.applied} {limit:g}", flush=True)
        await self.set_limit(limit)
        await self.report(permit_seq=self.applied)

    async def tell_the_meter(self) -> None:
        while True:
            await asyncio.sleep(10)
            await self.report()

    async def run(self) -> None:
        meter = None
        try:
            async with asyncio.timeout(30) as self.lease, self.hub as hub:
                await hub.call("controller.attach", connectors=self.number)
                permits = await hub.subscribe("connector.permit", connectors=self.number)
                await self.apply(await self.report(plugged=True, ev_ready=True, evse_ready=True))
                meter = asyncio.create_task(self.tell_the_meter())
                async for event in permits:
                    await self.apply(event["value"])
        except (TimeoutError, UnavailableError) as error:
            print(str(error) or "no lease in time", file=sys.stderr)
        finally:
            if meter is not None:
                meter.cancel()
            await self.set_limit(0)


if __name__ == "__main__":
    asyncio.run(Connector(sys.argv[1], int(sys.argv[2])).run())
