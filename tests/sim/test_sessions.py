"""The tour's steps about sessions: against a real hub, and against one that does nothing of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ocpphub.rpc.client import AsyncClient
from ocpphub.sim import sessions
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.narrator import Narrator
from tests.sim.fake_hub import FakeHub


class Tour:
    """What the steps use of a tour."""

    def __init__(self, csms: Csms, client: AsyncClient, connectors: int, folder: Path) -> None:
        self.screen = io.StringIO()
        self.say = Narrator(self.screen, coloured=False)
        self.csms = csms
        self.client = client
        self.connectors = connectors
        self.folder = folder


@asynccontextmanager
async def toured(connectors: int, folder: Path) -> AsyncIterator[Tour]:
    """A tour with a real hub."""
    async with Csms() as csms:
        hub = HubProcess(csms.url, connectors=connectors)
        try:
            await asyncio.to_thread(hub.start)
            await asyncio.to_thread(hub.wait_until_accepted)
            async with AsyncClient(hub.socket) as client:
                yield Tour(csms, client, connectors, folder)
        finally:
            await asyncio.to_thread(hub.remove)


async def tour_of(connectors: int, folder: Path) -> None:
    async with toured(connectors, folder) as tour:
        await sessions.sessions_part(tour, "HUB-1")
        text = tour.screen.getvalue()
        assert tour.say.failures == [], text
        assert tour.say.steps == 3
        assert "ok: ended for the reason Remote" in text
        assert "in the order of their events" in text
        assert "CSMS: received StopTransaction" in text
        assert tour.csms.ledger.open == []
        states = await tour.client.call("connector.list")
        assert {state["status"] for state in states} <= {"Available", "Unavailable"}


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_sessions_part_shows_everything_at_a_real_hub(tmp_path: Path) -> None:
    """CORE-TX-01, CORE-TX-10, CORE-RPC-15: sessions, a remote start, a cut link; the demo has more connectors."""
    await tour_of(1, tmp_path)


@pytest.mark.asyncio
async def test_sessions_part_says_what_it_did_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that tells its CSMS nothing is found out, step by step."""
    monkeypatch.setattr(sessions, "STEP_S", 0.1)
    monkeypatch.setattr(sessions, "RECONNECT_S", 0.1)
    monkeypatch.setattr(sessions, "SAMPLE_S", 0)
    async with Csms() as csms, FakeHub(tmp_path / "s") as hub, AsyncClient(hub.path) as client:
        tour = Tour(csms, client, 3, tmp_path)
        steps = sessions.SessionSteps(tour, "HUB-1")
        monkeypatch.setattr(steps, "_ask", _nothing)
        monkeypatch.setattr(csms, "cut", lambda _: None)
        await steps.sessions()
        assert "StartTransaction and samples of each connector" in tour.say.failures
        assert any("one record at the CSMS" in text for text in tour.say.failures)
        await sessions.sessions_part(tour, "HUB-1")
        assert len(tour.say.failures) >= 4


async def _nothing(*_: object) -> None:
    """The CSMS asks for nothing."""
