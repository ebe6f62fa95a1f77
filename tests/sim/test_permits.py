"""The tour's steps about permits: against a real hub, and against one that shares nothing."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ocpphub import config
from ocpphub.errors import UnavailableError
from ocpphub.rpc.client import AsyncClient
from ocpphub.sim import permits
from ocpphub.sim.background import HubProcess
from ocpphub.sim.csms import Csms
from ocpphub.sim.narrator import Narrator
from ocpphub.sim.permits import PermitSteps
from tests.sim.fake_hub import FakeHub

SIZE = 9


class Tour:
    """What the steps use of a tour."""

    def __init__(self, csms: Csms, client: AsyncClient, folder: Path, connectors: int = SIZE) -> None:
        self.screen = io.StringIO()
        self.say = Narrator(self.screen, coloured=False)
        self.csms = csms
        self.client = client
        self.connectors = connectors
        self.folder = folder


class SharelessHub(FakeHub):
    """It lets everybody draw 32 A, whatever the limit is, and forgets whoever is in ``gone``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SIZE)
        self.limit_a = 400.0
        self.gone: set[int] = set()

    def _station_set_limit(self, params: dict[str, Any]) -> None:
        self.limit_a = params["limit_a"]

    def _allocation_get(self, params: dict[str, Any]) -> Any:
        claims = {
            number: 32.0 if state["transaction"] is not None and number not in self.gone else 0.0
            for number, state in self.states.items()
        }
        rows = {
            str(number): {"permit": self.states[number]["permit"], "claim_a": claim_a}
            for number, claim_a in claims.items()
        }
        feeder = {"name": permits.FEEDER, "limit_a": self.limit_a, "claimed_a": sum(claims.values())}
        return {"connectors": rows, "feeders": [feeder]}


@asynccontextmanager
async def steps_at(hub: HubProcess, csms: Csms, folder: Path) -> AsyncIterator[tuple[PermitSteps, Tour]]:
    """The steps at a real hub."""
    try:
        await asyncio.to_thread(hub.start)
        assert await asyncio.to_thread(hub.wait_until_accepted)
        async with AsyncClient(hub.socket) as client:
            tour = Tour(csms, client, folder)
            steps = PermitSteps(tour, hub.identity)
            yield steps, tour
            await steps.close()
    finally:
        await asyncio.to_thread(hub.remove)


@pytest.mark.asyncio
@pytest.mark.timeout(90)
async def test_permits_part_shows_a_shrinking_limit_and_turns_at_a_real_hub(tmp_path: Path) -> None:
    """decisions.md 5, allocation: the last step, which waits for a lease, is in the demo's own test."""
    async with Csms() as csms:
        electrical = {"connector_max_a": 32, "turn_s": permits.TURN_S}
        toml = permits.configuration("HUB-1", SIZE, 400)
        hub = HubProcess(csms.url, connectors=SIZE, electrical=electrical, toml=toml)
        async with steps_at(hub, csms, tmp_path) as (steps, tour):
            for step in (steps.shrink, steps.kill, steps.turns):
                await step()
    text = tour.screen.getvalue()
    assert tour.say.failures == [], text
    assert "ok: claims and draw are within 60 A" in text
    assert "ok: without its controller the claims still are 10.0 A, 10.0 A" in text
    assert ": in one rotation everybody charged" in text
    assert any(look.is_over and look.claims_a != look.permits_a for look in steps.looks), "no shortfall was seen"


@pytest.mark.asyncio
async def test_permits_part_says_what_it_did_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that shares nothing, and forgets a controller that is killed, is found out step by step."""
    for name, value in (("STEP_S", 0.3), ("LEASE_S", 0.3), ("LATE_S", 0.1), ("SHORTFALL_S", 0.2), ("LOOK_S", 0.05)):
        monkeypatch.setattr(permits, name, value)
    monkeypatch.setattr(permits, "TURN_S", 0)
    shareless = SharelessHub(tmp_path / "s")
    async with Csms() as csms, shareless as hub, AsyncClient(hub.path) as client:
        tour = Tour(csms, client, tmp_path)
        steps = PermitSteps(tour, "HUB-1")
        died = steps._dying.die

        async def die() -> None:
            shareless.gone = {8, 9}
            await died()

        monkeypatch.setattr(steps._dying, "die", die)
        for step in steps.steps([]):
            await step()
    assert steps._watching is not None
    assert steps._watching.done()
    failures = " | ".join(tour.say.failures)
    for words in (
        "claims and draw are within 120 A",
        "without its controller the claims still are 0.0 A, 0.0 A",
        "in one rotation everybody charged",
        "counted for 0.3 s, then the fallback",
        "looks the claims were above the limit",
    ):
        assert words in failures


@pytest.mark.asyncio
async def test_permits_part_ends_with_an_error_where_nobody_answers(tmp_path: Path) -> None:
    """The tour tells it and goes on."""
    async with Csms() as csms, FakeHub(tmp_path / "s", SIZE) as hub, AsyncClient(hub.path) as client:
        steps = PermitSteps(Tour(csms, client, tmp_path), "HUB-1")
        hub.drop()
        with pytest.raises(UnavailableError):
            await steps.kill()
        await steps.close()


@pytest.mark.asyncio
async def test_permits_part_of_a_small_hub_is_skipped_and_the_rest_is_not(tmp_path: Path) -> None:
    """Sharing needs somebody to share with."""
    seen = []

    async def meanwhile() -> None:
        seen.append(True)

    async with Csms() as csms:
        tour = Tour(csms, AsyncClient(tmp_path / "s"), tmp_path, connectors=5)
        for step in PermitSteps(tour, "HUB-1").steps([meanwhile]):
            await step()
    assert seen == [True]
    assert "skipped: this needs 6 connectors" in tour.screen.getvalue()
    assert tour.say.failures == []


@pytest.mark.parametrize(("connectors", "vehicles"), [(1, ()), (5, ()), (6, (4, 5, 6)), (200, (4, 5, 6, 7, 8, 9))])
def test_permits_tables_are_a_valid_configuration_for_any_hub(
    connectors: int, vehicles: tuple[int, ...], tmp_path: Path
) -> None:
    """A feeder over all connectors, and a fallback for those whose controller dies."""
    hub = HubProcess("ws://127.0.0.1:1/x", connectors=connectors, toml=permits.configuration("HUB-1", connectors, 400))
    try:
        settings = config.load(hub.directory / "hub.toml")
    finally:
        hub.remove()
    (feeder,) = settings.feeders
    assert (feeder.name, feeder.members) == (permits.FEEDER, (("HUB-1", tuple(range(1, connectors + 1))),))
    overrides = settings.charge_points[0].connector_overrides
    assert [override.ids for override in overrides] == ([vehicles] if vehicles else [])
    assert {override.fallback_current_a for override in overrides} <= {permits.FALLBACK_A}
