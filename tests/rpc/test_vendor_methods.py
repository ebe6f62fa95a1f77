"""rpc/vendor_methods.py: a connection handles DataTransfer of a vendor, as long as it lasts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ocpphub.config import Role
from ocpphub.rpc.methods import METHODS
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import OTHER_UID, ClientDouble, HubBench, rpc_settings, running_hub, serve, turns

pytestmark = pytest.mark.asyncio
CP1, CP2 = builders.settings(), builders.settings(identity="CP2")


def transfer(bench: HubBench, unique_id: str = "t", identity: str = "CP1", **payload: Any) -> None:
    """The CSMS sends a DataTransfer."""
    bench.links[identity].receive([2, unique_id, "DataTransfer", {"vendorId": "v", **payload}])


def conf(bench: HubBench, unique_id: str = "t", identity: str = "CP1") -> Any:
    """What the CSMS got for it, ``None`` as long as it got nothing."""
    return next((m[2] for m in bench.links[identity].sent if m[0] == 3 and m[1] == unique_id), None)


async def register(client: ClientDouble, vendor_id: str = "v", **params: Any) -> None:
    client.call("data_transfer.register", vendor_id=vendor_id, **params)
    await turns()
    assert client.answer()["result"] is None


async def asked(client: ClientDouble) -> Any:
    """The one request that the client got."""
    await turns()
    return client.answer()


async def test_transfer_is_a_request_to_the_connection_and_its_result_the_confirmation() -> None:
    """CORE-DT-03: rpc.md, "Requests from the gateway to a client"."""
    async with running_hub(CP1, csms=Csms()) as bench:
        server = serve(bench)
        client, other = ClientDouble(server), ClientDouble(server)
        await register(client)
        transfer(bench, messageId="m", data="ping")
        params = {"vendor_id": "v", "message_id": "m", "data": "ping"}
        assert await asked(client) == {
            "jsonrpc": "2.0",
            "id": "s:1",
            "method": "data_transfer.handle",
            "params": params,
        }
        assert conf(bench) is None
        client.send({"jsonrpc": "2.0", "id": "s:1", "result": {"status": "Accepted", "data": "pong"}})
        await turns()
        assert conf(bench) == {"status": "Accepted", "data": "pong"}
        assert client.received() == other.received() == []


async def test_transfer_of_another_vendor_or_message_reaches_nobody() -> None:
    """CORE-DT-01, CORE-DT-02."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        await register(client, message_ids=["a", ""])
        transfer(bench, "1", vendorId="w")
        transfer(bench, "2", messageId="b")
        await turns()
        assert (conf(bench, "1"), conf(bench, "2")) == ({"status": "UnknownVendorId"}, {"status": "UnknownMessageId"})
        assert client.received() == []
        transfer(bench, "3")
        assert (await asked(client))["params"] == {"vendor_id": "v"}


@pytest.mark.parametrize(
    "answer", [{"error": {"code": -32000, "message": "no"}}, {"result": None}, {"result": {"status": "Yes"}}]
)
async def test_transfer_that_the_client_gets_wrong_is_rejected(answer: dict[str, Any]) -> None:
    """CORE-DT-06."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        await register(client)
        transfer(bench)
        await turns()
        client.send({"jsonrpc": "2.0", "id": "s:1", **answer})
        await turns()
        assert conf(bench) == {"status": "Rejected"}


async def test_transfer_that_is_not_answered_in_time_is_rejected_and_the_late_answer_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CORE-DT-06: 10 s after the question; here the timer of the question is made to end at once."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        await register(client)
        loop, late = asyncio.get_running_loop(), asyncio.get_running_loop().call_later
        waits: list[float] = []

        def call_later(delay_s: float, callback: Any, *args: Any) -> Any:
            if delay_s == 10.0:
                waits.append(delay_s)
                return loop.call_soon(callback, *args)
            return late(delay_s, callback, *args)

        monkeypatch.setattr(loop, "call_later", call_later)
        transfer(bench)
        await turns()
        assert waits == [10.0]
        assert conf(bench) == {"status": "Rejected"}
        sent = len(bench.links["CP1"].sent)
        client.received()
        client.send({"jsonrpc": "2.0", "id": "s:1", "result": {"status": "Accepted"}})
        await turns()
        assert len(bench.links["CP1"].sent) == sent


@pytest.mark.parametrize("is_open", [True, False], ids=["while asked", "before"])
async def test_connection_that_ends_rejects_what_it_was_asked_and_leaves_its_vendors(is_open: bool) -> None:
    """CORE-DT-06, CORE-DT-01: from then on the vendor is unknown."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        await register(client)
        if is_open:
            transfer(bench, "1")
            await turns()
        client.connection.connection_lost(None)
        await turns()
        assert conf(bench, "1") == ({"status": "Rejected"} if is_open else None)
        transfer(bench, "2")
        await turns()
        assert conf(bench, "2") == {"status": "UnknownVendorId"}


async def test_connection_that_registers_later_is_the_one_that_is_asked() -> None:
    """A program that begins anew while its former self still hangs; whose end takes nothing from it."""
    async with running_hub(CP1, csms=Csms()) as bench:
        server = serve(bench)
        former, present = ClientDouble(server), ClientDouble(server)
        await register(former)
        await register(present)
        former.connection.connection_lost(None)
        transfer(bench)
        assert (await asked(present))["method"] == "data_transfer.handle"


async def test_vendor_of_another_user_is_refused() -> None:
    """-32007 for a controller of another user, who takes over when the first is gone."""
    roles = rpc_settings([Role("controller", uid, None, (1,)) for uid in (OTHER_UID, OTHER_UID + 1)])
    async with running_hub(CP1, rpc=roles, csms=Csms()) as bench:
        server = serve(bench)
        first, second = (ClientDouble(server, uid=uid) for uid in (OTHER_UID, OTHER_UID + 1))
        await register(first)
        error = second.error("data_transfer.register", vendor_id="V")
        assert (error["code"], error["data"]["path"]) == (-32007, "/params/vendor_id")
        first.connection.connection_lost(None)
        await register(second)


async def test_registration_is_of_one_charge_point_and_chooses_none() -> None:
    """rpc.md: an attach chooses the charge point of the connection, a registration does not."""
    async with running_hub(CP1, CP2, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        error = client.error("data_transfer.register", vendor_id="v")
        assert error["data"]["path"] == "/params/charge_point"
        await register(client, charge_point="CP2")
        assert client.error("connector.get", connector_id=1)["data"]["path"] == "/params/charge_point"
        transfer(bench)
        transfer(bench, identity="CP2")
        assert (await asked(client))["params"] == {"charge_point": "CP2", "vendor_id": "v"}
        assert (conf(bench), conf(bench, identity="CP2")) == ({"status": "UnknownVendorId"}, None)


async def test_registration_outlives_a_reset_of_the_charge_point() -> None:
    """It ends with the connection, and a connection without connectors hears of no reset."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        await register(client)
        old = bench.point.core
        bench.links["CP1"].receive([2, "r", "Reset", {"type": "Hard"}])
        async with asyncio.timeout(5):
            while bench.point.core is old:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await turns(60)
        transfer(bench)
        assert (await asked(client))["method"] == "data_transfer.handle"


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "/params/vendor_id"),
        ({"vendor_id": ""}, "/params/vendor_id"),
        ({"vendor_id": "v" * 256}, "/params/vendor_id"),
        ({"vendor_id": 1}, "/params/vendor_id"),
        ({"vendor_id": "v", "message_ids": "m"}, "/params/message_ids"),
        ({"vendor_id": "v", "message_ids": ["a", 1]}, "/params/message_ids/1"),
        ({"vendor_id": "v", "message_ids": ["m" * 51]}, "/params/message_ids/0"),
        ({"vendor_id": "v", "message_ids": ["m"] * 1001}, "/params/message_ids"),
        ({"vendor_id": "v", "message_id": "m"}, "/params/message_id"),
    ],
)
async def test_registration_with_a_wrong_parameter_changes_nothing(params: dict[str, Any], path: str) -> None:
    """Design rpc.md: a path and a hint."""
    async with running_hub(CP1, csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        error = client.error("data_transfer.register", **params)
        assert (error["code"], error["data"]["path"]) == (-32602, path)
        assert error["data"]["hint"]
        transfer(bench)
        await turns()
        assert conf(bench) == {"status": "UnknownVendorId"}


async def test_registration_needs_the_role_of_a_controller() -> None:
    """Design rpc.md Access."""
    assert METHODS["data_transfer.register"].level == "controller"
    roles = rpc_settings([Role("monitor", OTHER_UID, None, None), Role("energy", OTHER_UID + 1, None, None)])
    async with running_hub(CP1, rpc=roles) as bench:
        server = serve(bench)
        for uid in (OTHER_UID, OTHER_UID + 1):
            error = ClientDouble(server, uid=uid).error("data_transfer.register", vendor_id="v")
            assert error["code"] == -32004
