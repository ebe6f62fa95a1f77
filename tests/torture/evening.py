"""A few connectors driven step by step at a real hub, and what its CSMS must know of them in the end.

Owns plugging, reporting and unplugging over the socket, and the judgement over the ledger of ``ocpphub.sim.csms``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import orjson

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.csms import Csms
from tests.torture.hub_process import HubProcess
from tests.torture.kill import listed

FREE_VEND: Final = """
[[charge_point.connector]]
ids = "1-{connectors}"
free_vend_id_tag = "FREE"
"""
DELIVERED_S: Final = 15.0


class Evening:
    """The controller of all connectors of ``hub``, on one connection: ``async with Evening(hub) as evening``."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self._client = AsyncClient(hub.socket, on_request=lambda method, params: None)
        self._plugs = 0
        self._wh: dict[int, int] = defaultdict(int)

    async def __aenter__(self) -> Evening:
        """Wait until the CSMS has accepted the hub, and attach."""
        await self._client.connect()
        status = await self.hub.until(lambda status: status["registration"] == "Accepted", 10)
        assert status["registration"] == "Accepted", self.hub.log_tail()
        await self._client.call("controller.attach", connectors=f"1-{self.hub.site.connectors}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def plug(self, *connectors: int) -> None:
        """A vehicle at each of them: its transaction starts."""
        for connector_id in connectors:
            assert await self.try_to_plug(connector_id), connector_id

    async def try_to_plug(self, connector_id: int) -> bool:
        """A vehicle; whether its transaction starts."""
        self._plugs += 1
        levels = {"plugged": True, "plug_id": self._plugs, "ev_ready": True, "evse_ready": True}
        return (await self._report(connector_id, **levels))["transaction"] is not None

    async def charge(self, *connectors: int, wh: int = 1) -> None:
        """The registers rise."""
        for connector_id in connectors:
            self._wh[connector_id] += wh
            await self._report(connector_id)

    async def unplug(self, *connectors: int) -> None:
        """They leave: their transactions stop."""
        for connector_id in connectors:
            state = await self._report(connector_id, plugged=False, ev_ready=False, evse_ready=True)
            assert state["transaction"] is None, state

    async def call(self, method: str, **params: Any) -> Any:
        """Any method."""
        return await self._client.call(method, **params)

    async def is_connected(self, wanted: bool, timeout_s: float) -> float:
        """Wait until the link is up or down; how long it took. ``AssertionError`` after ``timeout_s``."""
        began_s = time.monotonic()
        status = await self.hub.until(lambda status: status["is_connected"] is wanted, timeout_s)
        assert status["is_connected"] is wanted, self.hub.log_tail()
        return time.monotonic() - began_s

    async def delivered(self, timeout_s: float = DELIVERED_S, *, aside: int = 0) -> None:
        """Wait until nothing but ``aside`` messages waits for the CSMS."""
        status = await self.hub.until(
            lambda status: status["queue"]["messages"] == status["queue"]["aside"] == aside, timeout_s
        )
        assert status["queue"]["messages"] == aside, (status["queue"], self.hub.log_tail())

    async def _report(self, connector_id: int, **levels: Any) -> Any:
        wh = self._wh[connector_id]
        return await self._client.call("connector.report", connector_id=connector_id, energy_wh=wh, **levels)


async def judged(csms: Csms, hub: HubProcess, *, lost_answers: int = 0) -> list[str]:
    """What is wrong when the day is over: one record a session, nothing left, everything in order."""
    records = await listed(hub)
    problems = csms.ledger.compare(records, lost_answers=lost_answers)
    problems += [f"orphan: {orphan}" for orphan in csms.ledger.orphans]
    problems += [f"not delivered: {record}" for record in records if not record["delivered"]]
    return problems + out_of_order(csms)


def out_of_order(csms: Csms) -> list[str]:
    """First deliveries that do not follow one another as the sessions of their connector did (reliability.md D2)."""
    of_id = {record.transaction_id: record.connector_id for record in csms.ledger.records}
    stories: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for action, payload in _firsts((item.action, item.payload) for item in csms.received):
        if action == "StartTransaction":
            stories[payload["connectorId"]].append(("start", payload["timestamp"]))
        elif action == "MeterValues" and payload.get("transactionId") in of_id:
            times = [value["timestamp"] for value in payload["meterValue"]]
            stories[of_id[payload["transactionId"]]] += [("values", at) for at in times]
        elif action == "StopTransaction" and payload["transactionId"] in of_id:
            stories[of_id[payload["transactionId"]]].append(("stop", payload["timestamp"]))
    return [
        f"connector {connector_id}: {story}"
        for connector_id, story in stories.items()
        if story != sorted(story, key=lambda told: told[1]) or not _alternates([told[0] for told in story])
    ]


def _alternates(kinds: list[str]) -> bool:
    edges = [kind for kind in kinds if kind != "values"]
    return edges == ["start", "stop"] * (len(edges) // 2) and (not kinds or kinds[0] == "start")


def _firsts(calls: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Repetitions of a message left out, those too that the poison rule has reduced."""
    seen: set[bytes] = set()
    firsts = []
    for action, payload in calls:
        text = orjson.dumps([action, {name: value for name, value in payload.items() if name != "transactionData"}])
        if text not in seen:
            seen.add(text)
            firsts.append((action, payload))
    return firsts
