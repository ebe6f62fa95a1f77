"""rpc/connection.py: one client's requests, answers and limits, on a transport in memory."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest

from ocpphub.rpc.connection import MAX_IN_TURN, Connection
from ocpphub.store.memory import MemoryStore
from tests.builders import Csms
from tests.hub_doubles import OTHER_UID, ClientDouble, rpc_settings, running_hub, serve, turns
from tests.rpc.malformed import LARGE, MALFORMED, PARSE

pytestmark = pytest.mark.asyncio
PING = {"jsonrpc": "2.0", "id": 1, "method": "rpc.ping"}
EVENT = {"jsonrpc": "2.0", "id": 2, "method": "security_event", "params": {"type": "t", "info": "i"}}


def ping(number: Any) -> dict[str, Any]:
    return PING | {"id": number}


async def test_request_is_answered_with_its_id_in_one_write() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send(ping("a"), b"\r\n", ping(7))

        assert len(client.writes) == 1
        assert client.received() == [
            {"jsonrpc": "2.0", "id": "a", "result": "pong"},
            {"jsonrpc": "2.0", "id": 7, "result": "pong"},
        ]


@pytest.mark.parametrize("name", sorted(MALFORMED))
async def test_malformed_request_gets_its_error_and_the_connection_lives(name: str) -> None:
    """T07"""
    line, code = MALFORMED[name]
    async with running_hub() as bench:
        server = serve(bench)
        client, other = ClientDouble(server), ClientDouble(server)

        client.send(line + b"\n")

        answer = client.answer()
        assert answer["error"]["code"] == code
        assert set(answer["error"]["data"]) >= {"code", "path", "hint"}
        if code in (PARSE, LARGE):
            assert answer["id"] is None
        assert client.result("rpc.ping") == "pong"
        assert other.result("rpc.ping") == "pong"


async def test_notification_is_executed_never_answered_and_its_errors_are_counted() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send(
            {"jsonrpc": "2.0", "method": "monitor_configuration_keys", "params": {"keys": ["HeartbeatInterval"]}},
            {"jsonrpc": "2.0", "method": "no.method"},
            {"jsonrpc": "2.0", "method": "rpc.ping", "params": [1]},
            {"jsonrpc": "2.0", "method": "rpc.ping"},
        )
        await turns()

        assert client.received() == []
        assert client.result("charge_point.get")["monitored_keys"] == ["HeartbeatInterval"]
        assert client.result("server.info")["counters"]["notification_errors"] == 2


async def test_batch_is_answered_with_one_array_in_its_order() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send([ping(1), {"jsonrpc": "2.0", "method": "rpc.ping"}, 5, EVENT, ping("last")])
        await turns()

        answer = client.answer()
        assert [(row["id"], row.get("result", "error")) for row in answer] == [
            (1, "pong"),
            (None, "error"),
            (2, None),
            ("last", "pong"),
        ]


async def test_batch_of_notifications_is_not_answered() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send([{"jsonrpc": "2.0", "method": "rpc.ping"}] * 3)
        await turns()

        assert client.received() == []


async def test_batch_within_a_batch_is_no_request() -> None:
    """T10"""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send([[ping(1)]])

        assert [row["error"]["code"] for row in client.answer()] == [-32600]


async def test_batch_of_a_thousand_is_served_over_several_turns_and_complete() -> None:
    """T08 T10"""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send([ping(number) for number in range(1000)])

        assert client.writes == []
        assert client.reading_paused
        await turns()
        assert [row["id"] for row in client.answer()] == list(range(1000))
        assert not client.reading_paused


async def test_client_that_sends_too_much_at_once_is_served_its_share_per_turn() -> None:
    """T08"""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send(*[ping(number) for number in range(600)])
        first = len(client.received())
        paused = client.reading_paused
        await turns()

        assert (first, paused) == (MAX_IN_TURN, True)
        assert len(client.received()) == 600 - MAX_IN_TURN
        assert not client.reading_paused


async def test_client_with_too_much_in_flight_is_not_read_until_answers_leave() -> None:
    """T08"""
    store = MemoryStore(auto_sync=False)
    async with running_hub(store=store, rpc=rpc_settings(max_in_flight=2)) as bench:
        client = ClientDouble(serve(bench))
        key = {"jsonrpc": "2.0", "method": "monitor_configuration_keys"}

        client.send(*[key | {"id": number, "params": {"keys": [f"k{number}"]}} for number in range(5)])
        was_paused = client.reading_paused
        assert client.received() == []
        for _ in range(10):
            await turns()
            while store.unsynced:
                store.sync()

        assert [row["id"] for row in client.received()] == [0, 1, 2, 3, 4]
        assert (was_paused, client.reading_paused) == (True, False)
        store.auto_sync = True


async def test_answer_of_a_write_waits_for_its_commit_and_a_read_does_not() -> None:
    store = MemoryStore(auto_sync=False)
    async with running_hub(store=store) as bench:
        client = ClientDouble(serve(bench))
        while store.unsynced:
            store.sync()
            await turns()

        client.send(EVENT, ping(3))
        await turns()
        assert [row["id"] for row in client.received()] == [3]

        store.sync()
        await turns()
        assert [row["id"] for row in client.received()] == [2]
        store.auto_sync = True


async def test_client_that_half_closes_gets_its_answers_then_the_end() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send(EVENT)
        client.connection.data_received(orjson.dumps(PING))
        keeps_open = client.connection.eof_received()
        assert keeps_open
        assert not client.closed
        await turns()

        assert {row["id"] for row in client.received()} == {1, 2}
        assert client.closed


async def test_http_client_gets_one_line_of_help_and_the_end() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        client.send(b"GET /status HTTP/1.1\r\nHost: hub\r\n\r\n")
        await turns()

        (line,) = b"".join(client.writes).splitlines()
        assert b"JSON-RPC" in line
        assert client.closed


async def test_line_beyond_the_limit_gets_too_large_and_the_end() -> None:
    """T06"""
    async with running_hub(rpc=rpc_settings(max_line_bytes=1000)) as bench:
        client = ClientDouble(serve(bench))

        client.send(ping(1), b"x" * 1001)

        first, error = client.received()
        assert first["result"] == "pong"
        assert (error["id"], error["error"]["code"]) == (None, -32010)
        assert error["error"]["data"]["hint"] == "at most 1000 bytes"
        assert client.closed


async def test_client_that_reads_no_answers_is_cut_and_others_are_not() -> None:
    """T05"""
    async with running_hub(rpc=rpc_settings(max_output_bytes=50_000)) as bench:
        server = serve(bench)
        client, other = ClientDouble(server), ClientDouble(server)
        client.stop_reading()

        for number in range(400):
            client.send({"jsonrpc": "2.0", "id": number, "method": "rpc.discover"})

        assert client.aborted
        assert other.result("server.info")["counters"]["cut"] == 1
        assert server.unread.bytes == 0


async def test_client_that_reads_no_events_keeps_states_and_learns_its_losses() -> None:
    """T05"""
    async with running_hub(rpc=rpc_settings(max_output_bytes=20_000)) as bench:
        client = ClientDouble(serve(bench))
        client.result("subscribe", topics=["security_event", "is_connected"], snapshot=False)
        client.stop_reading()
        for number in range(2000):
            bench.publish("security_event", {"type": "x" * 50})
            bench.publish("is_connected", number % 2 == 0)
            await turns(1)
        client.writes.clear()

        client.read_on()

        events = [message["params"] for message in client.received()]
        assert not client.aborted
        assert sum(event["topic"] == "is_connected" for event in events) == 1
        assert events[-1]["topic"] in ("overflow", "is_connected")
        (overflow,) = [event for event in events if event["topic"] == "overflow"]
        assert overflow["value"]["last_seq"] >= overflow["value"]["first_seq"]
        sequence = [event["seq"] for event in events]
        assert sequence == sorted(sequence)


async def test_bug_behind_a_method_is_an_internal_error_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        def broken(now: object) -> object:
            raise ValueError("AuthorizationKey 00112233")

        monkeypatch.setattr(type(bench.point.core), "state", lambda self, now: broken(now))
        error = client.error("charge_point.get")

        assert error["code"] == -32000
        assert "00112233" not in str(error)
        assert client.result("rpc.ping") == "pong"


async def test_security_events_beyond_sixty_a_minute_are_refused_with_a_wait() -> None:
    """T12"""
    async with running_hub() as bench:
        server = serve(bench)
        client, same, other = ClientDouble(server), ClientDouble(server), ClientDouble(server, pid=78)

        for number in range(60):
            client.send(EVENT | {"id": number})
        await turns()
        assert all(row["result"] is None for row in client.received())

        for refused in (client, same):
            error = refused.error("security_event", type="t", info="i")
            assert error["code"] == -32005
            assert 0 < error["data"]["retry_after_ms"] <= 60_001
        other.send(EVENT)
        await turns()
        assert other.answer()["result"] is None


async def test_client_without_the_role_is_refused_and_counted() -> None:
    """T03 T13"""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench), uid=OTHER_UID)

        for method in ("stop", "restart", "set_custom_configuration_key", "monitor_configuration_keys"):
            assert client.error(method, uid=0, role="operator")["code"] == -32004

        assert client.result("server.info")["counters"]["denied"] == 4
        assert bench.point.core.state(bench.point.now())["stopped"] is False


async def test_seven_commands_answer_as_published() -> None:
    async with running_hub(csms=Csms()) as bench:
        client = ClientDouble(serve(bench))

        async def call(method: str, **params: Any) -> Any:
            client.call(method, **params)
            await turns()
            messages = client.received()
            return next(message for message in messages if message.get("id") == 1)["result"]

        key = {"key": "HeartbeatInterval", "read_only": False, "value": "300"}
        assert await call("data_transfer", vendor_id="v", message_id="m", data="d") == {"status": "Accepted"}
        assert await call("get_configuration_key", keys=["heartbeatinterval", "Nothing"]) == {
            "configuration_keys": [key],
            "unknown_keys": ["Nothing"],
        }
        assert await call("set_custom_configuration_key", key="HeartbeatInterval", value="1") == "Rejected"
        assert await call("monitor_configuration_keys", keys=["HeartbeatInterval"]) is None
        assert await call("security_event", type="t", info="i") is None
        assert await call("stop") is True
        assert await call("stop") is False
        assert await call("restart") is True
        assert await call("restart") is False


async def test_data_transfer_that_the_csms_refuses_is_an_ocpp_call_error() -> None:
    async with running_hub(csms=Csms(errors={"DataTransfer": "SecurityError"})) as bench:
        client = ClientDouble(serve(bench))

        client.call("data_transfer", vendor_id="v")
        await turns()

        error = client.answer()["error"]
        assert error["code"] == -32008
        assert "SecurityError" in str(error["data"])


async def test_list_of_all_connectors_comes_in_slices_and_is_complete() -> None:
    from tests import builders

    async with running_hub(builders.settings(connectors=1200)) as bench:
        client = ClientDouble(serve(bench))

        client.call("connector.list")
        assert client.writes == []
        await turns()

        assert [state["connector_id"] for state in client.answer()["result"]] == list(range(1, 1201))


async def test_client_that_left_is_not_written_to() -> None:
    store = MemoryStore(auto_sync=False)
    async with running_hub(store=store) as bench:
        server = serve(bench)
        client = ClientDouble(server)
        client.send(EVENT)
        client.connection.connection_lost(None)

        while store.unsynced:
            store.sync()
            await turns()

        assert client.writes == []
        assert server.info()["clients"] == 0
        store.auto_sync = True


async def test_client_that_left_is_freed_at_once_without_the_collector() -> None:
    """T09"""
    gc.collect()
    async with running_hub() as bench:
        server = serve(bench)
        client = ClientDouble(server)
        client.result("subscribe", topics=["connector.status"], connectors=[1])
        client.connection.eof_received()
        await turns()
        gc.disable()
        try:
            del client.connection, client  # the double's own cycle
            await turns()
            left = [each for each in gc.get_objects() if isinstance(each, Connection)]
        finally:
            gc.enable()

    assert left == []
