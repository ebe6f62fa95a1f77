"""api.py: the hub, its charge points and their variables."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ocpphub.api import ChargePoint, Hub, Variable, system_instant
from ocpphub.config import Security
from ocpphub.core.effects import Ask, Recreate, Store
from ocpphub.endpoint import Failure
from ocpphub.errors import LocalError, PeerError, UnavailableError
from ocpphub.publications import MAX_WAITING_EVENTS
from ocpphub.records import Selection
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.store import Row
from ocpphub.store.memory import MemoryStore
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import HubBench, ScriptedLink, hub_settings, running_hub, turns

pytestmark = pytest.mark.asyncio


async def test_hub_runs_its_charge_points_in_the_order_of_the_file() -> None:
    async with running_hub(builders.settings(identity="B"), builders.settings(identity="A")) as bench:
        assert list(bench.hub.charge_points) == ["B", "A"]
        assert isinstance(bench.hub.charge_points["A"], ChargePoint)
        with pytest.raises(TypeError):
            bench.hub.charge_points["C"] = bench.point  # type: ignore[index]


async def test_hub_from_a_file_that_is_wrong_says_what(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text("[hub]\nsocet = 'x'\n")

    with pytest.raises(LocalError, match="socket"):
        Hub.from_file(tmp_path / "hub.toml")


async def test_hub_that_runs_cannot_start_twice() -> None:
    async with running_hub() as bench:
        with pytest.raises(LocalError, match="already"):
            await bench.hub.start()


async def test_hub_that_was_stopped_can_start_again() -> None:
    bench = HubBench(hub_settings(), Csms(), None)
    for _ in range(2):
        async with bench.hub:
            await turns()
            assert bench.point.is_connected.value is True
            assert await bench.point.data_transfer("v") == {"status": "Accepted"}
        assert bench.links["CP1"].closed


async def test_hub_whose_settings_the_core_refuses_leaves_nothing_behind() -> None:
    point = builders.settings(configuration={"HeartbeatInterval": "often"})
    bench = HubBench(hub_settings(point), None, MemoryStore())

    with pytest.raises(LocalError):
        await bench.hub.start()

    assert not bench.hub.is_running


async def test_hub_restores_each_charge_point_from_its_own_rows() -> None:
    store = MemoryStore([Row("B", "stopped", "stopped", b"true")])
    async with running_hub(builders.settings(identity="A"), builders.settings(identity="B"), store=store) as bench:
        states = {name: point.core.state(point.now()) for name, point in bench.hub.charge_points.items()}

    assert (states["A"]["stopped"], states["B"]["stopped"]) == (False, True)


async def test_hub_whose_commit_fails_tells_once_and_refuses_commands() -> None:
    store = MemoryStore(auto_sync=False)
    bench = HubBench(hub_settings(), None, store)
    await bench.hub.start()
    await turns()
    store.fail(OSError("no space"))

    with pytest.raises(UnavailableError):
        await bench.point.stop()
    assert [str(error) for error in bench.fatal] == ["no space"]
    with pytest.raises(UnavailableError):
        await bench.hub.stop()


async def test_hub_that_stops_before_its_first_commit_leaves_no_link_open() -> None:
    """F47"""
    store = MemoryStore(auto_sync=False)
    bench = HubBench(hub_settings(), None, store)
    await bench.hub.start()
    stopping = asyncio.ensure_future(bench.hub.stop())
    await turns()

    store.auto_sync = True
    while store.unsynced:
        store.sync()
        await turns()
    await stopping

    assert bench.links["CP1"].orders == ["connect", "disconnect"]


async def test_hub_whose_link_does_not_close_stops_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ocpphub.link.CLOSE_S", 0.01)
    bench = HubBench(hub_settings(), None, None)
    await bench.hub.start()

    async def stuck() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.links["CP1"], "wait_closed", stuck)
    await bench.hub.stop()

    assert "did not close" in caplog.text


async def test_hub_that_stops_commits_what_is_under_way() -> None:
    """F47"""
    store = MemoryStore(auto_sync=False)
    bench = HubBench(hub_settings(), None, store)
    await bench.hub.start()
    event = asyncio.ensure_future(bench.point.security_event("t", "i"))
    await turns()
    stopping = asyncio.ensure_future(bench.hub.stop())
    await turns()
    assert not stopping.done()

    store.auto_sync = True
    while store.unsynced:
        store.sync()
        await turns()
    await stopping

    assert event.done()
    assert any(write.table == "outbox" for batch in store.commits for write in batch)


async def test_commands_answer_as_published() -> None:
    async with running_hub(csms=Csms()) as bench:
        point = bench.point

        assert await point.data_transfer("v", data="x") == {"status": "Accepted"}
        keys = await point.get_configuration_key(["HeartbeatInterval", "Nothing"])
        assert keys["unknown_keys"] == ["Nothing"]
        assert len((await point.get_configuration_key())["configuration_keys"]) > 10
        assert await point.set_custom_configuration_key("HeartbeatInterval", "5") == "Rejected"
        await point.monitor_configuration_keys(("HeartbeatInterval",))
        await point.security_event("t", "i")
        assert await point.stop() is True
        with pytest.raises(LocalError, match="stopped"):
            await point.data_transfer("v")
        assert await point.restart() is True


async def test_command_that_the_csms_refuses_is_the_peers_error() -> None:
    async with running_hub(csms=Csms(errors={"DataTransfer": "InternalError"})) as bench:
        with pytest.raises(PeerError):
            await bench.point.data_transfer("v")


async def test_command_whose_caller_was_cancelled_goes_on() -> None:
    """X-13"""
    async with running_hub(csms=Csms(silent={"DataTransfer"})) as bench:
        first = asyncio.ensure_future(bench.point.data_transfer("first"))
        second = asyncio.ensure_future(bench.point.data_transfer("second"))
        await turns()
        first.cancel()
        link = bench.links["CP1"]
        for vendor in ("first", "second"):
            call = next(m for m in link.sent if m[2] == "DataTransfer" and m[3]["vendorId"] == vendor)
            link.receive([3, call[1], {"status": "Accepted", "data": vendor}])
            await turns()

        assert await second == {"status": "Accepted", "data": "second"}


async def test_command_that_waits_while_the_hub_stops_is_told() -> None:
    store = MemoryStore(auto_sync=False)
    bench = HubBench(hub_settings(), None, store)
    await bench.hub.start()
    waiting = asyncio.ensure_future(bench.point.security_event("t", "i"))
    await turns()
    store.fail(OSError("no space"))
    with pytest.raises(UnavailableError):
        await bench.hub.stop()

    with pytest.raises(UnavailableError, match="stopped"):
        await asyncio.wait_for(waiting, 1)


async def test_data_transfer_that_waits_while_the_hub_stops_is_offline() -> None:
    async with running_hub(csms=Csms(silent={"DataTransfer"})) as bench:
        waiting = asyncio.ensure_future(bench.point.data_transfer("v"))
        await turns()

    assert await asyncio.wait_for(waiting, 1) == {"status": "Offline"}


async def test_command_of_a_hub_that_is_down_is_refused() -> None:
    bench = HubBench(hub_settings(), None, None)

    with pytest.raises(LocalError, match="not running"):
        await bench.point.stop()
    with pytest.raises(LocalError, match="not running"):
        await bench.point.get_configuration_key()


async def test_keys_given_as_one_string_are_refused() -> None:
    async with running_hub() as bench:
        with pytest.raises(LocalError):
            await bench.point.get_configuration_key("HeartbeatInterval")


@pytest.mark.parametrize("keys", [[1], [None], [b"HeartbeatInterval"]])
async def test_keys_that_are_no_texts_are_refused(keys: Any) -> None:
    """J-278: the caller is told, nothing else happens."""
    async with running_hub() as bench:
        with pytest.raises(LocalError, match="list of strings"):
            await bench.point.get_configuration_key(keys)
        with pytest.raises(LocalError, match="list of strings"):
            await bench.point.monitor_configuration_keys(keys)


async def test_variable_before_the_first_connection_is_false_and_follows_the_link() -> None:
    bench = HubBench(hub_settings(), Csms(), None)
    before = bench.point.is_connected.value
    async with bench.hub:
        await turns()
        assert (before, bench.point.is_connected.value) == (False, True)
        assert bench.point.is_connected.timestamp.endswith("Z")


async def test_variables_have_their_published_values() -> None:
    async with running_hub(csms=Csms()) as bench:
        point = bench.point
        assert set(point.charging_schedules.value) == {"0", "1", "2", "3"}
        assert point.configuration_key.value is None
        assert point.configuration_key.timestamp is None

        await point.monitor_configuration_keys(["HeartbeatInterval"])
        change = {"key": "HeartbeatInterval", "value": "77"}
        bench.links["CP1"].receive([2, "c1", "ChangeConfiguration", change])
        await turns()

        assert point.configuration_key.value == {"key": "HeartbeatInterval", "read_only": False, "value": "77"}


async def test_variable_calls_back_until_unsubscribed() -> None:
    async with running_hub() as bench:
        seen: list[bool] = []
        unsubscribe = bench.point.is_connected.subscribe(seen.append)
        bench.publish("is_connected", True)
        unsubscribe()
        bench.publish("is_connected", False)

    assert seen == [True]


async def test_variable_of_a_state_gives_a_slow_reader_the_latest_value() -> None:
    async with running_hub() as bench:
        values = aiter(bench.point.is_connected)
        bench.publish("is_connected", True)
        bench.publish("is_connected", False)

        assert await anext(values) is False


async def test_variable_of_events_gives_every_value_in_order() -> None:
    async with running_hub() as bench:
        values = aiter(bench.point.security_events)
        for number in range(3):
            bench.publish("security_event", {"type": str(number)})

        assert [(await anext(values))["type"] for _ in range(3)] == ["0", "1", "2"]


async def test_variable_of_events_drops_the_oldest_of_a_reader_that_never_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_hub() as bench:
        values = aiter(bench.point.security_events)
        for number in range(MAX_WAITING_EVENTS + 1):
            bench.publish("security_event", {"type": str(number)})

        assert (await anext(values))["type"] == "1"
        assert "too slow" in caplog.text


async def test_variable_iteration_waits_and_ends_with_the_hub() -> None:
    seen: list[bool] = []

    async def read(variable: Variable[bool]) -> None:
        async for value in variable:
            seen.append(value)

    async with running_hub() as bench:
        reading = asyncio.ensure_future(read(bench.point.is_connected))
        await turns()
        bench.publish("is_connected", True)
        await turns()

    await reading
    assert seen == [True]


async def test_variable_iteration_that_was_left_leaves_no_listener() -> None:
    async with running_hub() as bench:
        told: list[Any] = []
        bench.point.publications.on_interest = lambda topic, wanted: told.append(wanted)
        bench.publish("security_event", {})

        async def read_one() -> None:
            bench.publish("security_event", {"type": "x"})
            values = aiter(bench.point.security_events)
            bench.publish("security_event", {"type": "y"})
            assert (await anext(values))["type"] == "y"

        await read_one()
        gc.collect()

        assert told == [True, False]


async def test_frames_are_traced_only_while_somebody_listens() -> None:
    async with running_hub(csms=Csms()) as bench:
        seen: list[Any] = []
        stop = bench.point.publications.listen("ocpp.message", lambda event: seen.append(event.parsed()))
        await bench.point.data_transfer("v")
        stop()
        before = len(seen)
        await bench.point.data_transfer("v")

        assert [row["direction"] for row in seen] == ["sent", "received"]
        assert "DataTransfer" in seen[0]["frame"]
        assert len(seen) == before


async def test_frames_are_traced_for_one_who_listened_before_the_start() -> None:
    bench = HubBench(hub_settings(), Csms(), None)
    seen: list[Any] = []
    bench.point.publications.listen("ocpp.message", lambda event: seen.append(event.parsed()))
    async with bench.hub:
        await turns()

    assert "BootNotification" in seen[0]["frame"]


async def test_schedules_and_profiles_are_read_as_published() -> None:
    """CORE-SC-39, CORE-SC-11: the socket's methods as Python has them."""
    async with running_hub(csms=Csms()) as bench:
        payload = {"connectorId": 1, "csChargingProfiles": builders.charging_profile(5)}
        bench.links["CP1"].receive([2, "p", "SetChargingProfile", payload])
        await turns()

        found = await bench.point.schedule_get(1, 60, unit="W", at="2027-01-15T08:00:00Z")
        (stretch,) = await bench.point.schedule_explain(1)
        profiles = await bench.point.schedule_profiles()

        assert found["schedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 11040.0, "numberPhases": 3}]
        assert stretch["winner"]["charging_profile_id"] == 5
        assert [profile["charging_profile_id"] for profile in profiles] == [5]
        assert await bench.point.schedule_profiles(2) == []
        with pytest.raises(LocalError):
            await bench.point.schedule_profiles(4)
        with pytest.raises(LocalError):
            await bench.point.schedule_get(1, 0)

    with pytest.raises(LocalError, match="not running"):
        await bench.point.schedule_get(1, 60)


async def test_schedules_of_connectors_are_published_only_while_somebody_listens() -> None:
    """CORE-SC-45: on demand, also for one who listened before the start."""
    bench = HubBench(hub_settings(), Csms(), None)
    stop = bench.point.publications.listen("connector.schedule", lambda event: None)
    async with bench.hub:
        await turns()
        publication = bench.point.core.schedules.publication
        before = publication._is_watched
        stop()
        after = publication._is_watched

    assert (before, after) == (True, False)


@pytest.mark.parametrize("connectors", [None, "0,2", "1-900"])
async def test_snapshot_of_schedules_is_the_present_value_of_the_variable(connectors: str | None) -> None:
    """CORE-SC-39: however many connectors are asked for."""
    async with running_hub(builders.settings(connectors=800)) as bench:
        chosen = None if connectors is None else ConnectorSet.parse(connectors)
        found = orjson.loads(orjson.dumps(bench.point.snapshot("connector.schedule", chosen)))
        everything = orjson.loads(bench.point.core.charging_schedules(bench.point.now()))

    assert list(found) == [key for key in everything if chosen is None or int(key) in chosen]
    assert [row["chargingSchedulePeriod"] for row in found.values()] == [
        everything[key]["chargingSchedulePeriod"] for key in found
    ]


async def test_snapshot_of_connectors_shows_what_was_published_or_restored() -> None:
    async with running_hub() as bench:
        bench.publish("connector.status", {"connector_id": 2, "status": "Charging"}, 2)

        states = orjson.loads(orjson.dumps(bench.point.snapshot("connector.status", None)))

    assert [state["status"] for state in states] == ["Unavailable", "Charging", "Unavailable"]


async def test_snapshot_of_the_charge_point_is_its_state_and_of_a_stopped_hub_the_last_one_published() -> None:
    """rpc.md ``charge_point.status``."""
    async with running_hub() as bench:
        assert bench.point.snapshot("charge_point.status", None) == bench.point.core.state(bench.point.now())

    state = orjson.loads(orjson.dumps(bench.point.snapshot("charge_point.status", None)))

    assert state["identity"] == "CP1"


async def test_clock_of_the_shell_reads_both_times() -> None:
    first, second = system_instant(), system_instant()

    assert second.monotonic_s >= first.monotonic_s
    assert first.utc_ms > 1_700_000_000_000


class WebSocketDouble(ScriptedLink):
    """In place of ``csms.CsmsLink``."""

    made: WebSocketDouble

    def __init__(self, settings: Any, driver: Any, *, on_failure: Any) -> None:
        super().__init__(settings, driver, Csms())
        self.on_failure = on_failure
        self.stable_calls = 0
        WebSocketDouble.made = self

    def stable(self) -> None:
        self.stable_calls += 1


async def test_link_of_the_hub_learns_when_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """J-342"""
    monkeypatch.setattr("ocpphub.csms.CsmsLink", WebSocketDouble)
    hub = Hub(hub_settings(), store=MemoryStore())
    async with hub:
        before = WebSocketDouble.made.stable_calls
        await turns()

        assert (before, WebSocketDouble.made.stable_calls > 0) == (0, True)


async def test_link_of_the_hub_that_fails_for_security_becomes_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-19"""
    monkeypatch.setattr("ocpphub.csms.CsmsLink", WebSocketDouble)
    hub = Hub(hub_settings(), store=MemoryStore())
    async with hub:
        seen: list[str] = []
        hub.charge_points["CP1"].security_events.subscribe(lambda event: seen.append(event["type"]))
        WebSocketDouble.made.on_failure(Failure("tls", "certificate expired", "InvalidCentralSystemCertificate"))
        await turns()

    assert "InvalidCentralSystemCertificate" in seen


async def test_link_of_the_hub_that_fails_says_whether_it_was_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-182: what could be a refusal of our certificate is one for the core."""
    monkeypatch.setattr("ocpphub.csms.CsmsLink", WebSocketDouble)
    hub = Hub(hub_settings(), store=MemoryStore())
    async with hub:
        heard: list[bool] = []
        monkeypatch.setattr(hub.charge_points["CP1"].core, "link_failed", lambda *given: heard.append(given[-1]))
        WebSocketDouble.made.on_failure(Failure("status", "HTTP status 400"))
        WebSocketDouble.made.on_failure(Failure("network", "no route", is_outage=True))

    assert heard == [False, True]


async def eventually(is_done: Callable[[], bool]) -> None:
    """Wait for what a thread has a part in, which no event of the loop tells."""
    async with asyncio.timeout(5):
        while not is_done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def emit(bench: HubBench, *effects: Any, identity: str = "CP1") -> None:
    """As if the core of a charge point had emitted these in one input."""
    driver: Any = bench.hub._driver
    driver.apply(identity, lambda core, now: [core._emit(effect) for effect in effects])


async def test_charge_point_that_is_reset_goes_on_from_its_stored_rows_with_a_new_core() -> None:
    """decisions.md 6, J-231: everything durable is kept, and no message id is used again."""
    points = builders.settings(), builders.settings(identity="CP2")
    async with running_hub(*points, csms=Csms()) as bench:
        point, other = bench.hub.charge_points.values()
        await point.monitor_configuration_keys(["HeartbeatInterval"])
        old, untouched, stream = point.core, other.core, point.publications.stream
        link = bench.links["CP1"]
        connected: list[bool] = []
        point.is_connected.subscribe(connected.append)

        emit(bench, Store("monitor", "LightIntensity", b'"LightIntensity"'), Recreate())
        await eventually(lambda: point.core is not old)
        await turns()

        assert point.core.state(point.now())["monitored_keys"] == ["HeartbeatInterval", "LightIntensity"]
        assert (link.orders, link.closed) == (["connect", "disconnect", "connect"], True)
        assert [frame[2] for frame in link.sent].count("BootNotification") == 2
        calls = [frame[1] for frame in link.sent if frame[0] == 2]
        assert len(set(calls)) == len(calls)
        assert point.publications.stream == stream
        assert connected == [False, False, True] or connected == [False, True]
        assert await point.data_transfer("v") == {"status": "Accepted"}
        assert (other.core, bench.links["CP2"].orders) == (untouched, ["connect"])


async def test_charge_point_that_is_reset_answers_those_who_wait_and_listens_on() -> None:
    async with running_hub(csms=Csms()) as bench:
        point = bench.point
        old = point.core
        point.publications.listen("ocpp.message", lambda event: None)
        reply: list[Any] = []
        # A command of the core that never answers by itself.
        old.wait_for_ever = lambda request, now: None
        point.command("wait_for_ever", (), lambda result, error: reply.append(error))

        emit(bench, Recreate())
        with pytest.raises(UnavailableError) as caught:
            await point.security_event("t", "i")
        await eventually(lambda: point.core is not old)

        assert [error.code for error in reply] == ["busy"]
        assert caught.value.code == "busy"
        assert point.core.traces_frames is True


async def test_charge_point_whose_rows_cannot_be_read_for_a_reset_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_hub() as bench:

        def broken(charge_point: str | None = None) -> Any:
            raise UnavailableError("internal", "the store cannot be read")

        monkeypatch.setattr(bench.store, "load", broken)
        emit(bench, Recreate())
        await eventually(lambda: bool(bench.fatal))

    assert "cannot be read" in str(bench.fatal[0])


async def test_charge_point_that_is_reset_needs_its_files_no_more(tmp_path: Path) -> None:
    """S-158, S-174: they may have been replaced or opened to others meanwhile; the next start says so."""
    path = tmp_path / "key"
    path.write_text("0123456789abcdef" * 2)
    path.chmod(0o600)
    security = Security(1, path, None, None, None, use_system_ca=False)
    async with running_hub(builders.settings(security=security), csms=Csms()) as bench:
        old = bench.point.core
        key = old.access().key
        path.chmod(0o644)
        emit(bench, Recreate())
        await eventually(lambda: bench.point.core is not old or bool(bench.fatal))
        assert bench.fatal == []
        assert bench.point.core.access().key == key
    with pytest.raises(LocalError, match="open to other users"):
        await bench.hub.start()


async def test_hub_that_stops_ends_a_reset_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """F47"""
    async with running_hub(csms=Csms()) as bench:
        closing = asyncio.Event()

        async def slow() -> None:
            closing.set()
            await asyncio.sleep(0 if bench.links["CP1"].orders.count("disconnect") > 1 else 3600)

        monkeypatch.setattr(bench.links["CP1"], "wait_closed", slow)
        emit(bench, Recreate())
        await closing.wait()

    assert bench.links["CP1"].orders == ["connect", "disconnect", "disconnect"]
    assert bench.fatal == []


class ClientScript:
    """A local program that answers what it is asked at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(self, identity: str, question: Ask, answer: Any) -> None:
        self.asked.append((identity, question.method, question.params))
        answer({"status": "Unlocked"}, None)


async def test_question_goes_to_the_connection_that_it_names_and_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_hub() as bench:
        heard: list[Any] = []
        monkeypatch.setattr(
            bench.point.core, "receive_answer", lambda ask, result, error, now: heard.append((ask, result, error))
        )
        named, other = ClientScript(), ClientScript()
        bench.point.clients.add(7, named)
        bench.point.clients.add(8, other)

        emit(bench, Ask(1, "connector.unlock", {"connector_id": 2}, 2, controller=7))
        assert (named.asked, other.asked) == ([("CP1", "connector.unlock", {"connector_id": 2})], [])
        assert heard == [(1, {"status": "Unlocked"}, None)]

        for nobody in (9, None):
            emit(bench, Ask(2, "connector.unlock", {}, 2, controller=nobody))
            assert (heard[-1][0], heard[-1][1], heard[-1][2].code) == (2, None, "not_attached")


async def test_command_that_returns_a_value_is_answered_at_once() -> None:
    async with running_hub() as bench:
        bench.point.core.report = lambda request, value, now: value
        replies: list[Any] = []

        answer = bench.point.command("report", ({"status": "Available"},), lambda *answer: replies.append(answer))

        assert (answer, replies) == ({"status": "Available"}, [])
        assert await bench.point._run("report", True) is True


async def list_sessions(bench: HubBench, selection: Selection, store: MemoryStore | None = None) -> Any:
    """A page of the sessions, or the error."""
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(result: Any, error: Exception | None) -> None:
        answer.set_result(error or orjson.loads(orjson.dumps(result)))

    assert bench.point.transactions(selection, reply) is None
    if store is not None:
        await turns()
        assert not answer.done()
        store.sync()
    return await answer


async def test_sessions_are_those_of_the_archive_of_this_charge_point() -> None:
    """Reliability 4.4: kept for export."""
    text = b'{"session_id":%d,"connector_id":1,"start":"2026-01-01T00:00:00.000Z","delivered":true}'
    rows = [Row(name, "session", f"{number:012d}", text % number) for name, number in (("CP1", 4), ("CP2", 5))]
    async with running_hub(store=MemoryStore(rows)) as bench:
        page = await list_sessions(bench, Selection())
        assert [row["session_id"] for row in page["transactions"]] == [4]


async def test_sessions_are_read_behind_what_was_written_before() -> None:
    """A session that has just moved to the archive is in it when it is read."""
    store = MemoryStore()
    async with running_hub(store=store) as bench:
        store.auto_sync = False
        text = b'{"session_id":9,"connector_id":1,"start":"2026-01-01T00:00:00.000Z","delivered":true}'
        emit(bench, Store("session", "000000000009", text))
        page = await list_sessions(bench, Selection(), store)
        assert [row["session_id"] for row in page["transactions"]] == [9]
        store.auto_sync = True


async def test_sessions_of_a_hub_that_is_down_are_refused() -> None:
    bench = HubBench(hub_settings(), None, None)
    with pytest.raises(LocalError, match="not running"):
        bench.point.transactions(Selection(), lambda result, error: None)


async def test_hub_tells_its_cores_of_the_room_on_the_disk() -> None:
    """F10: the store says it, every charge point hears it."""
    store = MemoryStore()
    store.be_short(True)
    points = (builders.settings(identity="A"), builders.settings(identity="B"))
    async with running_hub(*points, store=store) as bench:
        told: list[tuple[str, str]] = []
        for name, point in bench.hub.charge_points.items():
            for what in ("store_full", "store_ok"):
                setattr(point.core, what, lambda now, name=name, what=what: told.append((name, what)))
        store.be_short(False)
        store.be_short(True)
        assert told == [("A", "store_ok"), ("B", "store_ok"), ("A", "store_full"), ("B", "store_full")]


async def test_condition_of_the_store_is_told_while_the_hub_runs() -> None:
    """Reliability 4.3.10: never a silent fresh start."""
    store = MemoryStore()
    store.condition = "restored from the copy"
    async with running_hub(store=store) as bench:
        assert bench.point.store_condition == "restored from the copy"
    assert bench.point.store_condition is None
