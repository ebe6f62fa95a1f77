"""rpc/attachment.py: a connection as a controller: what it is asked, its lease, its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ocpphub.rpc.attachment import LEASE_INTERVAL_S
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import ClientDouble, rpc_settings, running_hub, serve, turns
from tests.rpc.controlled import input_of, recorded_hub

pytestmark = pytest.mark.asyncio
CP1, CP2 = builders.settings(), builders.settings(identity="CP2")
LEASE = {"jsonrpc": "2.0", "method": "lease", "params": {"valid_for_s": 30}}


def attach(client: ClientDouble, **params: Any) -> Any:
    """Attach, and give the answer; the first lease follows it."""
    client.call("controller.attach", **params)
    answer, lease = client.received()
    assert lease == LEASE
    return answer["result"]


async def test_attach_is_answered_with_the_connectors_and_then_the_first_lease() -> None:
    async with recorded_hub() as (bench, recorders):
        client = ClientDouble(serve(bench), pid=5)

        assert attach(client, connectors="1-2") == {"connectors": [{"connector_id": 1}, {"connector_id": 2}]}

        ((_, controller, connectors, takeover),) = recorders["CP1"].calls
        assert (connectors, takeover) == ([1, 2], False)
        assert (controller.principal, controller.is_operator) == (0, True)


async def test_attach_that_is_refused_brings_no_lease() -> None:
    async with recorded_hub() as (bench, _):
        server = serve(bench)
        attach(ClientDouble(server), connectors=1)

        error = ClientDouble(server).error("controller.attach", connectors=[1, 2])

    assert error["code"] == -32007


async def test_controllers_of_two_sockets_never_share_a_number() -> None:
    """S3: what one connection may do is told by its number alone."""
    async with recorded_hub() as (bench, recorders):
        for connector_id, server in ((1, serve(bench)), (2, serve(bench))):
            attach(ClientDouble(server), connectors=connector_id)

        numbers = [controller.number for _, controller, _, _ in recorders["CP1"].calls]
        assert len(set(numbers)) == 2


async def test_question_goes_to_the_attached_connection_and_its_answer_to_the_core() -> None:
    """rpc.md: connector.unlock."""
    async with recorded_hub() as (bench, recorders):
        server, recorder = serve(bench), recorders["CP1"]
        client, other = ClientDouble(server), ClientDouble(server)
        attach(client, connectors=1)
        attach(other, connectors=2)
        number = recorder.calls[0][1].number

        input_of(bench, recorder, number, ask=7, connector_id=1)
        input_of(bench, recorder, number, ask=8, connector_id=1)
        await turns()

        questions = client.received()
        assert questions == [
            {"jsonrpc": "2.0", "id": f"s:{n}", "method": "connector.unlock", "params": {"connector_id": 1}}
            for n in (1, 2)
        ]
        assert other.received() == []
        client.send({"jsonrpc": "2.0", "id": "s:2", "result": {"status": "Unlocked"}})
        client.send({"jsonrpc": "2.0", "id": "s:1", "error": {"code": -32000, "message": "stuck"}})
        assert recorder.asked[0] == (8, {"status": "Unlocked"}, None)
        ask, result, error = recorder.asked[1]
        assert (ask, result, "stuck" in error.message) == (7, None, True)
        assert client.received() == []


async def test_question_on_a_socket_of_several_charge_points_names_its_own() -> None:
    async with recorded_hub(CP1, CP2) as (bench, recorders):
        client = ClientDouble(serve(bench))
        attach(client, connectors=1, charge_point="CP2")

        input_of(bench, recorders["CP2"], recorders["CP2"].calls[0][1].number, connector_id=1)
        await turns()

        assert client.answer()["params"] == {"charge_point": "CP2", "connector_id": 1}


async def test_question_on_a_socket_of_its_own_has_the_published_parameters() -> None:
    async with recorded_hub(CP1, CP2) as (bench, recorders):
        client = ClientDouble(serve(bench, points={"CP2": bench.hub.charge_points["CP2"]}))
        attach(client, connectors=1)

        input_of(bench, recorders["CP2"], recorders["CP2"].calls[0][1].number, connector_id=1)
        await turns()

        assert client.answer()["params"] == {"connector_id": 1}


@pytest.mark.parametrize("end", ["lost", "cut", "half-closed"])
async def test_connection_that_ends_answers_what_it_was_asked_and_is_lost_to_its_charge_points(end: str) -> None:
    """decisions.md 4: a lost connection detaches."""
    async with recorded_hub(CP1, CP2) as (bench, recorders):
        server = serve(bench)
        client, other = ClientDouble(server), ClientDouble(server)
        for identity in ("CP1", "CP2"):
            attach(client, connectors=1, charge_point=identity)
        attach(other, connectors=2, charge_point="CP1")
        number = recorders["CP1"].calls[0][1].number
        input_of(bench, recorders["CP1"], number)

        if end == "lost":
            client.connection.connection_lost(None)
        elif end == "cut":
            client.connection.cut("test")
        else:
            client.connection.eof_received()
        await turns()

        ((ask, result, error),) = recorders["CP1"].asked
        assert (ask, result, error.code) == (1, None, "not_connected")
        assert (recorders["CP1"].lost, recorders["CP2"].lost) == ([number], [number])
        input_of(bench, recorders["CP1"], number, ask=2)
        assert recorders["CP1"].asked[1][2].code == "not_attached"


async def test_connection_that_was_no_controller_is_lost_to_nobody() -> None:
    async with recorded_hub() as (bench, recorders):
        client = ClientDouble(serve(bench))
        client.result("rpc.ping")
        client.connection.connection_lost(None)

        assert recorders["CP1"].lost == []


async def test_server_that_stops_takes_no_controller_from_its_connectors() -> None:
    """decisions.md 6: the end of the process is an interruption, the next start resumes."""
    async with recorded_hub() as (bench, recorders):
        server = serve(bench)
        client = ClientDouble(server)
        attach(client, connectors=1)

        await server.stop()

        assert client.closed
        assert recorders["CP1"].lost == []


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "s:1", "result": None},
        {"id": "s:99", "result": {}},
        {"id": 1, "result": {}},
        {"id": None, "error": {"code": 1, "message": "m"}},
        {"id": ["s:1"], "result": {}},
    ],
)
async def test_answer_that_nobody_waits_for_is_ignored_and_counted(answer: dict[str, Any]) -> None:
    async with recorded_hub() as (bench, recorders):
        client = ClientDouble(serve(bench))
        client.send({"jsonrpc": "2.0", **answer})

        assert client.received() == []
        assert client.result("server.info")["counters"]["late_answers"] == 1
        assert recorders["CP1"].asked == []


async def test_answer_after_the_deadline_changes_nothing_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recorded_hub() as (bench, recorders):
        client, recorder = ClientDouble(serve(bench)), recorders["CP1"]
        attach(client, connectors=1)
        number = recorder.calls[0][1].number
        input_of(bench, recorder, number)
        real = bench.point.now
        monkeypatch.setattr(bench.point, "now", lambda: real()._replace(monotonic_s=real().monotonic_s + 11))

        input_of(bench, recorder, number, ask=2)
        await turns()
        client.received()
        client.send({"jsonrpc": "2.0", "id": "s:1", "result": {}})

        assert recorder.asked == []  # of the new question nothing, of the old one nothing any more
        assert client.result("server.info")["counters"]["late_answers"] == 1


async def test_answer_in_a_batch_counts_as_one_and_the_batch_is_answered() -> None:
    async with recorded_hub() as (bench, recorders):
        client, recorder = ClientDouble(serve(bench)), recorders["CP1"]
        attach(client, connectors=1)
        input_of(bench, recorder, recorder.calls[0][1].number)
        await turns()
        client.received()

        client.send([{"jsonrpc": "2.0", "id": "s:1", "result": 1}, {"jsonrpc": "2.0", "id": 5, "method": "rpc.ping"}])
        await turns()

        assert recorder.asked == [(1, 1, None)]
        assert [row["id"] for row in client.answer()] == [5]


async def test_lease_is_kept_for_those_who_have_connectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """decisions.md 5: every 10 s; a connection that has detached, or never attached, gets none."""
    assert LEASE_INTERVAL_S == 10.0
    monkeypatch.setattr("ocpphub.rpc.server.LEASE_INTERVAL_S", 0.02)
    monkeypatch.setattr("ocpphub.rpc.server.LEASES_IN_TURN", 2)
    async with recorded_hub() as (bench, _):
        server = serve(bench)
        attached, detached, idle, gone = (ClientDouble(server) for _ in range(4))
        for connector_id, client in enumerate((attached, detached, gone), 1):
            attach(client, connectors=connector_id)
        detached.call("controller.detach")
        gone.connection.connection_lost(None)
        await turns()
        detached.received()

        renewal = server._renewal
        assert renewal is not None
        server._renew()
        renewal.cancel()
        await turns()

        assert attached.received() == [LEASE]
        assert detached.received() == idle.received() == gone.received() == []
        await server.stop()


async def test_lease_of_many_is_kept_in_slices_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: slices of the loop."""
    monkeypatch.setattr("ocpphub.rpc.server.LEASES_IN_TURN", 2)
    async with recorded_hub(builders.settings(connectors=7)) as (bench, _):
        server = serve(bench)
        clients = [ClientDouble(server) for _ in range(7)]
        for connector_id, client in enumerate(clients, 1):
            attach(client, connectors=connector_id)

        server._renew()
        await turns(1)
        first = sum(client.received() == [LEASE] for client in clients)
        await turns()

        assert first < 7
        assert first + sum(client.received() == [LEASE] for client in clients) == 7
        await server.stop()


async def test_lease_of_a_client_that_does_not_read_is_not_renewed() -> None:
    """decisions.md 5: its permits must run out when the hub believes so."""
    async with recorded_hub(rpc=rpc_settings()) as (bench, _):
        server = serve(bench)
        client = ClientDouble(server)
        attach(client, connectors=1)
        client.stop_reading()
        for _ in range(40):
            client.call("rpc.discover")
        assert not client.connection.output.writable

        before = client.connection.output.waiting_bytes
        server._renew()
        await turns()

        assert client.connection.output.waiting_bytes == before
        await server.stop()


async def heard(client: ClientDouble, method: str) -> Any:
    """Let things happen, and give the one request of this method that the client got."""
    await turns(60)
    (question,) = [message for message in client.received() if message.get("method") == method]
    return question


async def test_session_runs_from_plug_to_unlock_and_a_reset_makes_the_controller_attach_again() -> None:
    """CORE-RES-03: the way of a controller through a real core: report, authorize, unlock, reset."""
    async with running_hub(csms=Csms()) as bench:
        client, link = ClientDouble(serve(bench)), bench.links["CP1"]
        attach(client, connectors="1-2")
        first = {"connector_id": 1, "plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": 1000}

        async def call(method: str, **params: Any) -> Any:
            client.call(method, **params)
            await turns(60)
            return client.answer()["result"]

        assert (await call("connector.report", **first))["status"] == "Preparing"
        assert await call("connector.authorize", id_tag="TAG") == {"status": "Accepted", "connector_id": 1}
        state = await call("connector.get", connector_id=1)
        assert (state["status"], state["permit"]["energize"], state["transaction"]["id_tag"]) == (
            "Charging",
            True,
            "TAG",
        )
        assert await call("connector.report", connector_id=1, permit_seq=state["permit"]["seq"]) == state

        link.receive([2, "u", "UnlockConnector", {"connectorId": 1}])
        question = await heard(client, "connector.unlock")
        assert question["params"] == {"connector_id": 1}
        client.send({"jsonrpc": "2.0", "id": question["id"], "result": {"status": "Unlocked"}})
        await turns(60)
        assert [3, "u", {"status": "Unlocked"}] in link.sent
        client.received()

        old = bench.point.core
        link.receive([2, "r", "Reset", {"type": "Soft"}])
        question = await heard(client, "charge_point.reset")
        assert question["params"] == {"type": "Soft", "connectors": [1, 2]}
        client.send({"jsonrpc": "2.0", "id": question["id"], "result": {"accepted": True}})
        async with asyncio.timeout(5):
            while bench.point.core is old:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await turns(60)

        assert [3, "r", {"status": "Accepted"}] in link.sent
        assert [message[2] for message in link.sent].count("BootNotification") == 2
        client.received()
        assert client.error("connector.report", **first)["code"] == -32011
        assert len(attach(client, connectors="1-2")["connectors"]) == 2
