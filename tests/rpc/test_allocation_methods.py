"""rpc/allocation_methods.py: who may ask and cap, and what they learn."""

from __future__ import annotations

import pytest

from ocpphub.config import Role
from ocpphub.rpc.methods import METHODS
from tests import builders
from tests.hub_doubles import OTHER_UID, ClientDouble, rpc_settings, running_hub, serve, turns

CP1 = builders.settings(connectors=3)


@pytest.mark.asyncio
async def test_allocation_tells_limits_claims_and_permits() -> None:
    """rpc.md allocation.get"""
    async with running_hub(CP1) as bench:
        client = ClientDouble(serve(bench))
        client.call("allocation.get")
        await turns()
        (answer,) = client.received()

    found = answer["result"]
    assert {name: found[name] for name in ("limit_a", "claimed_a", "shortfall", "feeders")} == {
        "limit_a": None,
        "claimed_a": 0.0,
        "shortfall": False,
        "feeders": [],
    }
    assert set(found["connectors"]) == {"1", "2", "3"}
    assert found["connectors"]["1"]["reason"] == "idle"
    assert found["connectors"]["1"]["permit"]["energize"] is False


@pytest.mark.asyncio
async def test_limit_that_is_set_is_told_until_it_ends() -> None:
    """rpc.md station.set_limit"""
    async with running_hub(CP1) as bench:
        client = ClientDouble(serve(bench))
        client.call("station.set_limit", limit_w=5_000.5, valid_for_s=60)
        await turns()
        assert client.received()[-1]["result"] is None
        client.call("allocation.get")
        await turns()
        assert client.received()[-1]["result"]["limit_w"] == 5_000.5


@pytest.mark.asyncio
async def test_client_with_a_range_learns_nothing_of_the_others() -> None:
    """T40, T41: neither their permits nor what all draw together."""
    ranged = rpc_settings([Role("controller", OTHER_UID, None, (2,))])
    async with running_hub(CP1, rpc=ranged) as bench:
        client = ClientDouble(serve(bench), uid=OTHER_UID)
        client.call("allocation.get")
        await turns()
        found = client.received()[-1]["result"]

    assert set(found["connectors"]) == {"2"}
    assert (found["limit_a"], found["claimed_a"], found["feeders"]) == (None, None, [])


@pytest.mark.asyncio
async def test_only_an_energy_manager_may_cap() -> None:
    """rpc.md Access: the role energy is monitor and station.set_limit."""
    roles = rpc_settings([Role("energy", OTHER_UID, None, None), Role("monitor", OTHER_UID + 1, None, None)])
    async with running_hub(CP1, rpc=roles) as bench:
        energy, monitor = (ClientDouble(serve(bench), uid=uid) for uid in (OTHER_UID, OTHER_UID + 1))
        assert monitor.error("station.set_limit", limit_a=1, valid_for_s=1)["code"] == -32004
        error = energy.error("station.set_limit", limit_a=-1, valid_for_s=1)
        assert (error["code"], error["data"]["path"]) == (-32602, "/params/limit_a")
        assert (
            energy.error("station.set_limit", limit_a=1, valid_for_s=1, feeder="no")["data"]["path"] == "/params/feeder"
        )
        assert energy.error("connector.authorize", id_tag="T")["code"] == -32004


def test_methods_name_their_levels() -> None:
    """Design rpc.md: monitor reads, energy caps."""
    assert (METHODS["allocation.get"].level, METHODS["station.set_limit"].level) == ("monitor", "energy")
