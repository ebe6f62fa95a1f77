"""rpc/client.py: both clients against a real server on a socket of its own, and against odd servers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.rpc.client import AsyncClient, Client
from ocpphub.rpc.server import Server
from tests.hub_doubles import HubBench, rpc_settings, running_hub

pytestmark = pytest.mark.asyncio
Odd = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def socket_hub(path: Path, max_connections: int = 100) -> AsyncIterator[HubBench]:
    async with running_hub(rpc=rpc_settings(max_connections=max_connections)) as bench:
        server = Server(path, bench.hub.charge_points, bench.hub.settings.rpc, version="0")
        await server.start()
        try:
            yield bench
        finally:
            await server.stop()


@asynccontextmanager
async def odd_server(path: Path, serve: Odd) -> AsyncIterator[None]:
    async with await asyncio.start_unix_server(serve, path):
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.sock"


async def test_client_calls_and_gets_results_and_errors(path: Path) -> None:
    def talk() -> None:
        with Client(path) as client:
            assert client.call("rpc.ping") == "pong"
            assert client.call("get_configuration_key", keys=["Nothing"])["unknown_keys"] == ["Nothing"]
            with pytest.raises(LocalError) as caught:
                client.call("connector.get", connector_id=99)
            assert (caught.value.code, caught.value.hint) == ("unknown_connector", "1 to 3")

    async with socket_hub(path):
        await asyncio.to_thread(talk)


async def test_client_keeps_events_that_arrive_during_a_call(path: Path) -> None:
    async with socket_hub(path) as bench:
        loop = asyncio.get_running_loop()

        def talk() -> list[Any]:
            with Client(path) as client:
                events = client.subscribe("security_event")
                loop.call_soon_threadsafe(bench.publish, "security_event", {"type": "a"})
                loop.call_soon_threadsafe(bench.publish, "security_event", {"type": "b"})
                client.call("rpc.ping")
                got = [next(events)["value"]["type"], next(events)["value"]["type"]]
                events.close()
                return got

        assert await asyncio.to_thread(talk) == ["a", "b"]


async def test_client_that_resumes_gets_events_that_follow_the_answer_at_once(path: Path) -> None:
    async with socket_hub(path) as bench:
        since = {"stream": bench.point.publications.stream, "seq": bench.point.publications.seq}
        bench.publish("security_event", {"type": "missed"})

        def talk() -> Any:
            with Client(path) as client:
                return next(client.subscribe(["security_event"], since=since))["value"]

        assert await asyncio.to_thread(talk) == {"type": "missed"}


@pytest.mark.parametrize("state", ["absent", "refused", "too long"])
async def test_client_without_a_hub_raises_unavailable_with_the_path(path: Path, state: str) -> None:
    """Surface.md "Python": whatever goes wrong is an OcpphubError."""
    if state == "refused":
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
    elif state == "too long":
        path = path / ("x" * 120)
    with pytest.raises(UnavailableError) as caught:
        Client(path)
    with pytest.raises(UnavailableError) as caught_async:
        await AsyncClient(path).connect()
    for error in (caught.value, caught_async.value):
        assert error.code == "not_connected"
        assert str(path) in error.message


async def test_client_of_a_silent_server_times_out(path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    def talk() -> None:
        with Client(path, timeout_s=0.01) as client, pytest.raises(UnavailableError) as caught:
            client.call("rpc.ping")
        assert caught.value.code == "timeout"

    async with odd_server(path, silent):
        await asyncio.to_thread(talk)
        async with AsyncClient(path, timeout_s=0.01) as client:
            with pytest.raises(UnavailableError) as caught:
                await client.call("rpc.ping")
            assert caught.value.code == "timeout"


async def test_client_whose_server_closes_is_told(path: Path) -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    def talk() -> None:
        with Client(path) as client, pytest.raises(UnavailableError) as caught:
            client.call("rpc.ping")
        assert caught.value.code == "not_connected"

    async with odd_server(path, closing):
        await asyncio.to_thread(talk)
        async with AsyncClient(path) as client:
            with pytest.raises(UnavailableError) as caught:
                await client.call("rpc.ping")
            assert caught.value.code == "not_connected"


async def test_client_that_is_turned_away_learns_why(path: Path) -> None:
    """T09"""

    def talk() -> None:
        with Client(path) as client, pytest.raises(UnavailableError, match="too many connections"):
            client.receive(5.0)

    async with socket_hub(path, max_connections=0):
        await asyncio.to_thread(talk)


async def test_async_client_calls_concurrently(path: Path) -> None:
    async with socket_hub(path), AsyncClient(path) as client:
        results = await asyncio.gather(*(client.call("connector.get", connector_id=i) for i in (3, 1, 2)))

        assert [state["connector_id"] for state in results] == [3, 1, 2]
        with pytest.raises(LocalError):
            await client.call("rpc.pong")


async def test_async_client_iterates_over_events_until_the_hub_stops(path: Path) -> None:
    seen: list[Any] = []
    async with socket_hub(path) as bench:
        client = AsyncClient(path)
        await client.connect()
        events = await client.subscribe("is_connected")
        assert events.snapshot == {"is_connected": False}
        bench.publish("is_connected", True)
        seen.append((await anext(events))["value"])

    async for event in events:
        seen.append(event["value"])
    await client.close()

    assert seen == [True]


async def test_async_client_that_unsubscribes_ends_its_iteration(path: Path) -> None:
    async with socket_hub(path), AsyncClient(path) as client:
        events = await client.subscribe(["is_connected"], snapshot=False)
        await events.close()

        assert [event async for event in events] == []


async def test_async_client_that_is_not_connected_says_so(path: Path) -> None:
    with pytest.raises(UnavailableError):
        await AsyncClient(path).call("rpc.ping")


UNLOCK = {"jsonrpc": "2.0", "id": "s:1", "method": "connector.unlock", "params": {"connector_id": 3}}
LEASE = {"jsonrpc": "2.0", "method": "lease", "params": {"valid_for_s": 30}}


def asking(*requests: dict[str, Any], heard: list[Any]) -> Odd:
    """A hub that puts requests to its client before it answers a ping, and hears the answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        for request in requests:
            writer.write(json.dumps(request).encode() + b"\n")
        while len(heard) < sum("id" in request for request in requests):
            heard.append(json.loads(await reader.readline()))
        writer.write(b'{"jsonrpc":"2.0","id":1,"result":"pong"}\n')
        await reader.read()
        writer.close()

    return serve


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "coroutine"])
async def test_client_answers_what_the_hub_asks_and_hears_notifications(path: Path, kind: str) -> None:
    heard: list[Any] = []
    asked: list[Any] = []

    def answer(method: str, params: dict[str, Any]) -> Any:
        asked.append((method, params))
        return {"status": "Unlocked"}

    async def answer_later(method: str, params: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return answer(method, params)

    def talk() -> Any:
        with Client(path, on_request=answer) as client:
            return client.call("rpc.ping")

    async with odd_server(path, asking(LEASE, UNLOCK, heard=heard)):
        if kind == "blocking":
            assert await asyncio.to_thread(talk) == "pong"
        else:
            async with AsyncClient(path, on_request=answer if kind == "asyncio" else answer_later) as client:
                assert await client.call("rpc.ping") == "pong"

    assert asked == [("lease", {"valid_for_s": 30}), ("connector.unlock", {"connector_id": 3})]
    assert heard == [{"jsonrpc": "2.0", "id": "s:1", "result": {"status": "Unlocked"}}]


def refuse(method: str, params: dict[str, Any]) -> Any:
    raise LocalError("invalid_state", "the lock is stuck", hint="look at it")


async def refuse_later(method: str, params: dict[str, Any]) -> Any:
    return refuse(method, params)


REACTIONS: list[tuple[Any, int]] = [
    (None, -32601),
    (refuse, -32007),
    (refuse_later, -32007),
    (lambda method, params: 1 / 0, -32000),
    (lambda method, params: object(), -32000),
]


@pytest.mark.parametrize(("handler", "code"), REACTIONS, ids=["none", "refuses", "refuses later", "bug", "no JSON"])
async def test_client_whose_handler_fails_answers_with_an_error_and_lives(path: Path, handler: Any, code: int) -> None:
    heard: list[Any] = []
    kwargs: dict[str, Any] = {} if handler is None else {"on_request": handler}
    async with odd_server(path, asking(UNLOCK, heard=heard)), AsyncClient(path, **kwargs) as client:
        assert await client.call("rpc.ping") == "pong"

    assert (heard[0]["id"], heard[0]["error"]["code"]) == ("s:1", code)

    if handler is not refuse_later:

        def talk() -> Any:
            with Client(path, **kwargs) as client:
                return client.call("rpc.ping")

        heard.clear()
        path.unlink(missing_ok=True)
        async with odd_server(path, asking(UNLOCK, heard=heard)):
            assert await asyncio.to_thread(talk) == "pong"
        assert heard[0]["error"]["code"] == code


async def test_async_client_that_closes_ends_the_handlers_under_way(path: Path) -> None:
    ended = asyncio.Event()

    async def never(method: str, params: dict[str, Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(json.dumps(UNLOCK).encode() + b'\n{"jsonrpc":"2.0","id":1,"result":"pong"}\n')
        await reader.read()
        writer.close()

    async with odd_server(path, asks):
        async with AsyncClient(path, on_request=never) as client:
            await client.call("rpc.ping")
        async with asyncio.timeout(5):
            await ended.wait()
