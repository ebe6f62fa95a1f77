"""rpc/session.py: what a client has chosen and may see."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.config import Role
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import OTHER_UID, ClientDouble, HubBench, rpc_settings, running_hub, serve, turns

pytestmark = pytest.mark.asyncio
CP1, CP2 = builders.settings(), builders.settings(identity="CP2", connectors=5)


def ranged(name: str = "monitor", connectors: tuple[int, ...] | None = (2,)) -> Any:
    return rpc_settings([Role(name, OTHER_UID, None, connectors)])


def ranged_client(bench: HubBench) -> ClientDouble:
    return ClientDouble(serve(bench), uid=OTHER_UID)


async def test_client_of_a_hub_with_one_charge_point_need_not_name_it() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        assert client.result("charge_point.get")["identity"] == "CP1"
        assert client.result("charge_point.get", charge_point="CP1")["identity"] == "CP1"


async def test_client_of_a_hub_with_two_that_names_none_gets_the_list() -> None:
    async with running_hub(CP1, CP2) as bench:
        error = ClientDouble(serve(bench)).error("charge_point.get")

    assert error["code"] == -32602
    assert error["data"]["path"] == "/params/charge_point"
    assert error["data"]["hint"] == "one of CP1, CP2"


async def test_client_that_used_a_charge_point_need_not_name_it() -> None:
    async with running_hub(CP1, CP2) as bench:
        client = ClientDouble(serve(bench))

        assert client.result("rpc.use", charge_point="CP2") is None
        assert client.result("charge_point.get")["identity"] == "CP2"
        assert client.result("charge_point.get", charge_point="CP1")["identity"] == "CP1"
        assert client.result("charge_point.get")["identity"] == "CP2"


@pytest.mark.parametrize(
    ("identity", "code"), [("CP9", -32003), ("", -32003), (1, -32602), (None, -32602), (["CP1"], -32602)]
)
@pytest.mark.parametrize("method", ["charge_point.get", "stop", "rpc.ping", "server.info", "rpc.use"])
async def test_client_that_names_no_charge_point_of_ours_is_refused_by_every_method(
    method: str, identity: Any, code: int
) -> None:
    async with running_hub(CP1, CP2) as bench:
        error = ClientDouble(serve(bench)).error(method, charge_point=identity)

    assert (error["code"], error["data"]["path"]) == (code, "/params/charge_point")
    assert error["data"]["hint"] == ("one of CP1, CP2" if code == -32003 else "a string")


async def test_client_of_a_charge_points_own_socket_knows_no_other() -> None:
    async with running_hub(CP1, CP2) as bench:
        client = ClientDouble(serve(bench, points={"CP2": bench.hub.charge_points["CP2"]}))

        assert client.result("charge_point.get")["identity"] == "CP2"
        assert client.result("server.info")["charge_points"] == ["CP2"]
        assert client.error("charge_point.get", charge_point="CP1")["code"] == -32003


@pytest.mark.parametrize("connector_id", [0, 4, -1, 2**40])
async def test_client_that_names_no_connector_of_ours_is_told_the_range(connector_id: int) -> None:
    async with running_hub() as bench:
        error = ClientDouble(serve(bench)).error("connector.get", connector_id=connector_id)

    assert error["code"] == -32002
    assert error["data"] == {"code": "unknown_connector", "path": "/params/connector_id", "hint": "1 to 3"}


async def test_client_with_a_range_cannot_tell_a_foreign_connector_from_an_unknown_one() -> None:
    """T04 T40"""
    async with running_hub(rpc=ranged()) as bench:
        client = ranged_client(bench)

        assert client.result("connector.get", connector_id=2)["connector_id"] == 2
        assert client.error("connector.get", connector_id=3) == client.error("connector.get", connector_id=99)


async def test_client_with_a_range_lists_its_connectors_only() -> None:
    """T40"""
    async with running_hub(rpc=ranged()) as bench:
        client = ranged_client(bench)

        client.call("connector.list")
        await turns()
        assert [state["connector_id"] for state in client.answer()["result"]] == [2]

        assert client.error("connector.list", connectors="2-3")["code"] == -32002
        assert client.error("subscribe", topics=["connector.status"], connectors=[3])["code"] == -32002


ASKS: list[tuple[str, dict[str, Any]]] = [
    ("schedule.get", {"duration_s": 60}),
    ("schedule.explain", {}),
    ("schedule.profiles", {}),
]


@pytest.mark.parametrize(("method", "params"), ASKS)
async def test_client_without_a_range_may_ask_for_the_whole_charge_point(method: str, params: dict[str, Any]) -> None:
    """CORE-SC-39: connector 0 of the schedule methods."""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        for connector_id in (0, 3):
            client.call(method, connector_id=connector_id, **params)
            await turns()
            assert "result" in client.answer()
        client.call(method, connector_id=4, **params)
        await turns()
        assert client.answer()["error"]["data"] == {
            "code": "unknown_connector",
            "path": "/params/connector_id",
            "hint": "0 to 3",
        }


@pytest.mark.parametrize(("method", "params"), ASKS)
async def test_client_with_a_range_may_ask_for_the_schedules_of_its_connectors_only(
    method: str, params: dict[str, Any]
) -> None:
    """T40, T41: connector 0 tells about all, so it is as foreign as the others, and as an unknown one."""
    async with running_hub(rpc=ranged()) as bench:
        client = ranged_client(bench)

        client.call(method, connector_id=2, **params)
        await turns()
        assert "result" in client.answer()
        errors = []
        for connector_id in (0, 1, 99, -1):
            client.call(method, connector_id=connector_id, **params)
            await turns()
            errors.append(client.answer()["error"])
        assert errors == [errors[0]] * 4
        assert errors[0]["code"] == -32002


async def test_client_with_a_range_sees_the_profiles_of_its_connectors_only() -> None:
    """T41: general profiles of connector 0 are not its business either."""
    async with running_hub(rpc=ranged(), csms=Csms()) as bench:
        for connector_id in range(4):
            profile = builders.charging_profile(connector_id)
            payload = {"connectorId": connector_id, "csChargingProfiles": profile}
            bench.links["CP1"].receive([2, f"p{connector_id}", "SetChargingProfile", payload])
        await turns()
        lists = []
        for client in (ranged_client(bench), ClientDouble(serve(bench, rpc=rpc_settings()))):
            client.call("schedule.profiles")
            await turns()
            lists.append([row["connector_id"] for row in client.answer()["result"]])

    assert lists == [[2], [0, 1, 2, 3]]


async def test_client_of_a_large_hub_without_profiles_gets_an_empty_list() -> None:
    """T08: nothing out of several turns of the loop."""
    async with running_hub(builders.settings(connectors=12_000)) as bench:
        client = ClientDouble(serve(bench))
        client.call("schedule.profiles")
        await turns()
        assert client.answer()["result"] == []


async def test_client_gets_schedules_profiles_and_explanations_as_rpc_md_says() -> None:
    """CORE-SC-39, CORE-SC-11."""
    async with running_hub(csms=Csms()) as bench:
        payload = {"connectorId": 1, "csChargingProfiles": builders.charging_profile(5)}
        bench.links["CP1"].receive([2, "p", "SetChargingProfile", payload])
        await turns()
        client = ClientDouble(serve(bench))

        client.call("schedule.get", connector_id=1, duration_s=60, at="2027-01-15T10:00:00+02:00", unit="W")
        await turns()
        assert client.answer()["result"] == {
            "connector_id": 1,
            "schedule_start": "2027-01-15T08:00:00Z",
            "schedule": {
                "chargingRateUnit": "W",
                "duration": 60,
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 11040.0, "numberPhases": 3}],
            },
        }
        client.call("schedule.explain", connector_id=1)
        await turns()
        (stretch,) = client.answer()["result"]
        assert stretch["winner"] == {
            "kind": "profile",
            "charging_profile_id": 5,
            "purpose": "TxDefaultProfile",
            "stack_level": 0,
            "connector_id": 1,
        }
        client.call("schedule.profiles", connector_id=1)
        await turns()
        (profile,) = client.answer()["result"]
        assert (profile["connector_id"], profile["charging_profile_id"], profile["kind"]) == (1, 5, "Relative")
        assert profile["accepted_at"].endswith("Z")
        error = client.error("schedule.explain", connector_id=1, at="tomorrow")
        assert (error["code"], error["data"]["path"]) == (-32602, "/params/at")
        client.call("schedule.get", connector_id=1, duration_s=604_801)
        await turns()
        assert client.answer()["error"]["data"]["hint"] == "1 to 604800"


async def test_subscription_to_schedules_begins_with_the_present_ones_and_follows_the_changes() -> None:
    """CORE-SC-45: rpc.md ``connector.schedule``; what nobody else has asked for is not published before."""
    async with running_hub(csms=Csms()) as bench:
        client, other = ClientDouble(serve(bench)), ClientDouble(serve(bench))
        whole = client.result("subscribe", topics=["connector.schedule"])["snapshot"]["connector.schedule"]
        part = other.result("subscribe", topics=["connector.schedule"], connectors=[0, 2])["snapshot"]
        assert list(whole) == ["0", "1", "2", "3"]
        assert whole["2"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 32.0, "numberPhases": 3}]
        assert list(part["connector.schedule"]) == ["0", "2"]

        payload = {"connectorId": 1, "csChargingProfiles": builders.charging_profile(5)}
        bench.links["CP1"].receive([2, "p", "SetChargingProfile", payload])
        await turns()
        bench.point._driver.apply("CP1", lambda core, now: core.schedules.publication.publish(now))
        await turns()

        values = [event["params"]["value"] for event in client.received()]
        assert [value["connector_id"] for value in values] == [0, 1]
        assert values[1]["schedule"]["chargingSchedulePeriod"][0]["limit"] == 16.0
        assert values[1]["schedule"]["startSchedule"].endswith("Z")
        assert [event["params"]["value"]["connector_id"] for event in other.received()] == [0]


async def test_subscription_of_a_client_with_a_range_cannot_name_the_whole_charge_point() -> None:
    """T41"""
    async with running_hub(rpc=ranged(connectors=(2, 99))) as bench:  # a range may be wider than the charge point
        client = ranged_client(bench)
        assert client.error("subscribe", topics=["connector.schedule"], connectors=[0])["code"] == -32002
        answer = client.result("subscribe", topics=["connector.schedule"])
        assert set(answer["snapshot"]["connector.schedule"]) == {"2"}


async def test_client_with_a_range_sees_only_its_part_of_variables_and_events() -> None:
    """T41"""
    async with running_hub(rpc=ranged()) as bench:
        client = ranged_client(bench)

        assert set(client.result("get_variable", name="charging_schedules")["value"]) == {"2"}
        answer = client.result("subscribe", topics=["connector.status", "charging_schedules"])
        assert [state["connector_id"] for state in answer["snapshot"]["connector.status"]] == [2]
        assert set(answer["snapshot"]["charging_schedules"]) == {"2"}

        for connector_id in (1, 2, 3):
            bench.publish("connector.status", {"connector_id": connector_id}, connector_id)
        bench.publish("charging_schedules", {"0": {}, "1": {}, "2": {}, "3": {}})
        await turns()
        values = [event["params"]["value"] for event in client.received()]
        assert values == [{"connector_id": 2}, {"2": {}}]


async def test_subscription_answers_with_stream_position_and_snapshot() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))

        first = client.result("subscribe", topics=["is_connected", "connector.status"], connectors="1-2")
        second = client.result("subscribe", topics=["is_connected"], snapshot=False)

        publications = bench.point.publications
        assert (first["subscription"], first["stream"], first["seq"]) == (1, publications.stream, publications.seq)
        assert first["snapshot"]["is_connected"] is False
        assert [row["connector_id"] for row in first["snapshot"]["connector.status"]] == [1, 2]
        assert second == {"subscription": 2, "stream": publications.stream, "seq": publications.seq}


async def test_subscription_of_frames_needs_an_operator() -> None:
    """T40"""
    async with running_hub(rpc=ranged("controller", None)) as bench:
        error = ranged_client(bench).error("subscribe", topics=["ocpp.message"])

    assert (error["code"], error["data"]["path"]) == (-32004, "/params/topics")


async def test_subscription_that_resumes_gets_what_it_has_missed_behind_its_answer() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        before = client.result("subscribe", topics=["security_event"])
        client.result("unsubscribe", subscription=before["subscription"])
        for number in (1, 2):
            bench.publish("security_event", {"type": f"e{number}"})

        client.call(
            "subscribe", topics=["security_event"], since={"stream": before["stream"], "seq": before["seq"] + 1}
        )
        answer, *events = client.received()

        assert "gap" not in answer["result"]
        assert "snapshot" not in answer["result"]
        assert [event["params"]["value"]["type"] for event in events] == ["e2"]
        assert answer["result"]["seq"] == events[0]["params"]["seq"]


async def test_subscription_to_the_charge_point_begins_with_its_present_state() -> None:
    """rpc.md: the snapshot is what ``charge_point.get`` returns, also while an event of the queue is held back."""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        waiting = client.result("charge_point.get")["queue"]["messages"]
        client.call("security_event", type="X", info="")
        state = client.result("charge_point.get")

        answer = client.result("subscribe", topics=["charge_point.status"])

    assert state["queue"]["messages"] == waiting + 1
    assert answer["snapshot"]["charge_point.status"] == state


async def test_client_that_resumes_learns_every_change_of_a_state() -> None:
    """rpc.md ``since``: only a slow reader is spared what lies between."""
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        before = client.result("subscribe", topics=["is_connected"])
        bench.publish("is_connected", True)
        bench.publish("is_connected", False)

        late = ClientDouble(serve(bench))
        late.call("subscribe", topics=["is_connected"], since={"stream": before["stream"], "seq": before["seq"]})
        answer, *events = late.received()

        assert "gap" not in answer["result"]
        assert [event["params"]["value"] for event in events] == [True, False]


@pytest.mark.parametrize("since", [{"stream": "other", "seq": 0}, {"seq": 10**6}])
async def test_subscription_that_cannot_resume_gets_a_gap_and_a_snapshot(since: dict[str, Any]) -> None:
    async with running_hub() as bench:
        position = {"stream": bench.point.publications.stream} | since

        answer = ClientDouble(serve(bench)).result("subscribe", topics=["is_connected"], since=position, snapshot=False)

    assert answer["gap"] is True
    assert answer["snapshot"] == {"is_connected": False}


async def test_subscription_that_ended_gets_no_events_and_cannot_end_again() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        number = client.result("subscribe", topics=["is_connected"])["subscription"]

        assert client.result("unsubscribe", subscription=number) is None
        bench.publish("is_connected", True)
        await turns()

        assert client.received() == []
        assert client.error("unsubscribe", subscription=number)["code"] == -32602


async def test_subscriptions_beyond_the_limit_are_refused() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        for _ in range(256):
            client.result("subscribe", topics=["is_connected"], snapshot=False)

        assert client.error("subscribe", topics=["is_connected"])["code"] == -32010


async def test_connection_that_is_lost_ends_its_subscriptions() -> None:
    async with running_hub() as bench:
        client = ClientDouble(serve(bench))
        client.result("subscribe", topics=["ocpp.message"])
        assert bench.point.core.traces_frames is True

        client.connection.connection_lost(None)
        bench.publish("ocpp.message", {})

        assert client.received() == []
        assert bench.point.core.traces_frames is False
