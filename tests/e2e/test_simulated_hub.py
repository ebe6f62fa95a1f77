"""A simulated hub through Resets and `kill -9`: people go on charging, and both sides agree in the end."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter

import pytest
from ocpp.v16 import call

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.simulate import Diary, Plan, Simulation

CONNECTORS = 20
KEYS = {"MessageTimeout": 2, "TransactionMessageRetryInterval": 1, "MeterValueSampleInterval": 1}
DRAIN_S = 60.0


async def disturbed(csms: Csms, hub: HubProcess) -> None:
    """A soft Reset, a hard one, and the end of the process."""
    for kind in ("Soft", "Hard"):
        await asyncio.sleep(3)
        answer = await csms.call(hub.identity, call.Reset(kind))
        assert answer.status == "Accepted"
        boots = csms.count("BootNotification")
        assert await csms.wait_until(lambda before=boots: csms.count("BootNotification") > before, 30)  # type: ignore[misc]
    await asyncio.sleep(3)
    await asyncio.to_thread(hub.kill)
    await asyncio.to_thread(hub.start)


@pytest.mark.asyncio
@pytest.mark.timeout(150)
async def test_simulated_hub_survives_resets_and_kill_with_one_record_per_session() -> None:
    """CORE-TX-01, CORE-TX-12, F23: controllers attach again by themselves; sessions end as each asks for."""
    async with Csms() as csms:
        hub = HubProcess(csms.url, connectors=CONNECTORS, configuration=KEYS)
        stream = io.StringIO()
        try:
            await asyncio.to_thread(hub.start)
            assert await asyncio.to_thread(hub.wait_until_accepted)
            plan = Plan(hub.socket, range(1, CONNECTORS + 1), 3, 5, 600.0, 600.0, "trouble")
            simulation = Simulation(plan, Diary(stream, as_json=True))
            running = asyncio.create_task(simulation.run())
            await disturbed(csms, hub)
            await asyncio.sleep(3)
            simulation.stop()
            code = await running
            assert await asyncio.to_thread(hub.wait_until_delivered, DRAIN_S)
            async with AsyncClient(hub.socket) as client:
                transactions = (await client.call("transaction.list", limit=1000))["transactions"]
        finally:
            await asyncio.to_thread(hub.remove)
    summary = json.loads(stream.getvalue().splitlines()[-1])
    reasons = Counter(each["reason"] for each in transactions)
    assert code == 0, summary["problems"]
    assert csms.ledger.compare(transactions, lost_answers=1) == []
    assert csms.ledger.orphans == []
    assert len(transactions) > 30
    assert reasons["SoftReset"] > 0
    assert reasons["HardReset"] > 0
    assert reasons["PowerLoss"] == 0
