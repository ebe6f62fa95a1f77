"""rpc/server.py: admission, limits over all clients, server.info."""

from __future__ import annotations

import orjson
import pytest

from ocpphub.config import Role
from ocpphub.errors import UnavailableError
from ocpphub.rpc import server as server_module
from ocpphub.rpc.server import RateLimit
from tests import builders
from tests.hub_doubles import ClientDouble, rpc_settings, running_hub, serve, turns


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_rate_limit_lets_calls_through_again_after_the_named_wait() -> None:
    """T12"""
    clock = Clock()
    rate = RateLimit(clock)
    for _ in range(3):
        rate.check("client", "m", 3)
        clock.now_s += 10
    with pytest.raises(UnavailableError) as caught:
        rate.check("client", "m", 3)
    assert caught.value.code == "busy"

    clock.now_s += caught.value.data["retry_after_ms"] / 1000

    rate.check("client", "m", 3)


def test_rate_limit_counts_clients_and_methods_apart() -> None:
    """T12"""
    rate = RateLimit(Clock())
    rate.check("a", "m", 1)

    rate.check("b", "m", 1)
    rate.check("a", "n", 1)
    with pytest.raises(UnavailableError):
        rate.check("a", "m", 1)


def test_rate_limit_forgets_clients_that_are_gone() -> None:
    clock = Clock()
    rate = RateLimit(clock)
    for number in range(server_module._RATE_CLIENTS):
        rate.check(number, "m", 1)
    clock.now_s += 61

    rate.check("new", "m", 1)

    assert len(rate._calls) == 1


@pytest.mark.asyncio
async def test_server_beyond_its_connections_refuses_with_a_line_and_closes() -> None:
    """T09"""
    async with running_hub(rpc=rpc_settings(max_connections=1)) as bench:
        server = serve(bench)
        first, second = ClientDouble(server), ClientDouble(server)

        assert second.answer()["error"]["code"] == -32005
        assert second.closed
        second.connection.data_received(b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping"}\n')
        assert second.received() == []
        assert first.result("server.info")["counters"]["refused"] == 1

        first.connection.connection_lost(None)
        assert ClientDouble(server).result("rpc.ping") == "pong"


@pytest.mark.asyncio
async def test_server_refuses_a_client_whose_credentials_are_unknown() -> None:
    """T03"""
    async with running_hub() as bench:
        server = serve(bench)

        class NoCredentials(ClientDouble):
            def get_extra_info(self, name: str) -> object:
                raise OSError("no credentials")

        client = NoCredentials(server)

        assert client.answer()["error"]["code"] == -32004
        assert client.closed


@pytest.mark.asyncio
async def test_server_with_other_roles_closes_who_may_not_do_the_same_and_nobody_else() -> None:
    """T40"""
    before = (Role("monitor", 1, None, None), Role("controller", 2, None, (1, 2)), Role("operator", 3, None, None))
    after = (Role("monitor", 1, None, None), Role("controller", 2, None, (1,)))
    async with running_hub(rpc=rpc_settings(before)) as bench:
        server = serve(bench)
        monitor, controller, operator = (ClientDouble(server, uid=uid) for uid in (1, 2, 3))

        server.set_roles(after)
        await turns()

        assert (monitor.closed, controller.closed, operator.closed) == (False, True, True)
        assert monitor.result("rpc.ping") == "pong"
        again = ClientDouble(server, uid=3)
        again.send({"jsonrpc": "2.0", "id": 1, "method": "restart"})
        assert again.answer()["error"]["code"] == -32004
        assert len(server.connections) == 2


@pytest.mark.asyncio
async def test_server_info_tells_version_limits_and_charge_points() -> None:
    async with running_hub(builders.settings(), builders.settings(identity="CP2")) as bench:
        info = ClientDouble(serve(bench, is_ready=lambda: False)).result("server.info")

    assert (info["name"], info["api"], info["ready"], info["clients"]) == ("ocpphub", 1, False, 1)
    assert info["charge_points"] == ["CP1", "CP2"]
    assert info["limits"]["line_bytes"] == 2**20
    assert info["limits"]["batch"] == 1000
    assert info["limits"]["in_flight"] == 256
    assert info["limits"]["connections"] == 16_384
    assert info["limits"]["output_bytes"] == 8 * 2**20
    assert info["uptime_s"] >= 0


@pytest.mark.asyncio
async def test_server_with_too_much_unread_cuts_the_client_with_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """T05"""
    async with running_hub() as bench:
        server = serve(bench)
        limit = 40 * len(orjson.dumps(ClientDouble(server).result("rpc.discover")))
        monkeypatch.setattr(server_module, "MAX_UNREAD_BYTES", limit)
        greedy, modest = ClientDouble(server), ClientDouble(server)
        for client, count in ((modest, 10), (greedy, 60)):
            client.stop_reading()
            for number in range(count):
                client.send({"jsonrpc": "2.0", "id": number, "method": "rpc.discover"})
        await turns()

        assert greedy.aborted
        assert not modest.aborted
        assert 0 < server.unread.bytes <= limit
