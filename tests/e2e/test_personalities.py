"""A day of 50 connectors at each of the five characters of CSMS: real processes, real sockets, a day in seconds."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from typing import Any, NamedTuple

import pytest

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.ledger import Ledger
from ocpphub.sim.personalities import Deduplicates, DropsAnswers, Personality, RefusesTags, Slow
from ocpphub.sim.simulate import Diary, Plan, Simulation

CONNECTORS = 50
DAY_S = 12.0
SPEED = 86_400 / DAY_S
DRAIN_S = 90.0
KEYS = {
    "MessageTimeout": 1,
    "TransactionMessageAttempts": 10,
    "TransactionMessageRetryInterval": 0,
    "MeterValueSampleInterval": 1,
    "LocalPreAuthorize": False,
}
PERSONALITIES: dict[str, Personality] = {
    "accept_all": Personality(),
    "slow": Slow(1, least_s=0.002, most_s=0.02),
    "drops_answers": DropsAnswers(1, share=0.03),
    "refuses_tags": RefusesTags(1, at_start_only=True),
    "deduplicates": Deduplicates(1, share=0.03),
}


class Day(NamedTuple):
    """What both sides say in the evening."""

    ledger: Ledger
    lost: Counter[str]
    transactions: list[dict[str, Any]]
    code: int
    energy_wh: int


async def sessions_of(client: AsyncClient) -> list[dict[str, Any]]:
    """Every session of the hub."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await client.call("transaction.list", limit=1000, **cursor)
        found += page["transactions"]
        if not page.get("cursor"):
            return found
        cursor = {"cursor": page["cursor"]}


async def live(personality: Personality) -> Day:
    """One day, until everything has been delivered."""
    async with Csms(personality=personality) as csms:
        hub = HubProcess(csms.url, connectors=CONNECTORS, configuration=KEYS)
        try:
            await asyncio.to_thread(hub.start)
            assert await asyncio.to_thread(hub.wait_until_accepted)
            diary = Diary(io.StringIO(), as_json=True)
            plan = Plan(hub.socket, range(1, CONNECTORS + 1), 5, 7, DAY_S, SPEED, "day")
            code = await Simulation(plan, diary).run()
            assert await asyncio.to_thread(hub.wait_until_delivered, DRAIN_S)
            async with AsyncClient(hub.socket) as client:
                transactions = await sessions_of(client)
            return Day(csms.ledger, csms.lost_answers, transactions, code, diary.energy_wh)
        finally:
            await asyncio.to_thread(hub.remove)


@pytest.mark.asyncio
@pytest.mark.timeout(180)
async def test_hub_ends_a_day_with_one_record_per_session_at_each_personality() -> None:
    """F23: one record each; at most one more for each lost answer where the CSMS does not de-duplicate."""
    days = dict(zip(PERSONALITIES, await asyncio.gather(*map(live, PERSONALITIES.values())), strict=True))
    for name, (ledger, lost, transactions, code, energy_wh) in days.items():
        assert code == 0, name
        assert len(transactions) > 100, name
        may_repeat = 0 if name == "deduplicates" else lost["StartTransaction"]
        assert ledger.compare(transactions, lost_answers=may_repeat) == [], name
        assert ledger.orphans == [], name
        told_wh = sum(record.energy_wh or 0 for record in ledger.records)
        assert told_wh == sum(each["meter_stop_wh"] - each["meter_start_wh"] for each in transactions), name
        assert told_wh == pytest.approx(energy_wh, rel=0.1, abs=5), name
        assert told_wh > 20, name
    assert days["drops_answers"].ledger.copies()
    assert days["drops_answers"].lost["StopTransaction"] > 0
    assert days["deduplicates"].lost["StartTransaction"] > 0
    assert days["deduplicates"].ledger.copies() == {}
    reasons = Counter(each["reason"] for each in days["refuses_tags"].transactions)
    assert reasons["DeAuthorized"] > 10
