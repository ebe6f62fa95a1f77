"""The simulated controller against a hub that only looks like one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.sim.evse import Evse, Wiring
from ocpphub.sim.station import Station
from tests.sim.fake_hub import FakeHub

QUICK_S = 0.02


class Diary:
    """What a station told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, dict[str, Any]]] = []

    def hear(self, connector_id: int, event: str, details: dict[str, Any]) -> None:
        self.lines.append((connector_id, event, details))

    def events(self, connector_id: int) -> list[str]:
        return [
            event for number, event, _ in self.lines if number == connector_id and event not in ("status", "answer")
        ]


def station(hub: FakeHub, connectors: int | list[int] | str = "1-2", **changes: Any) -> Station:
    return Station(hub.path, connectors, **{"report_s": QUICK_S, **changes})


def is_charging(evse: Evse) -> bool:
    return evse.power_w > 0


@pytest.mark.asyncio
async def test_station_attaches_and_reports_everything_first(tmp_path: Path) -> None:
    """decisions.md 4: the first report after an attach is complete."""
    async with FakeHub(tmp_path / "s") as hub, station(hub, [1, 3]) as one:
        assert hub.attached == {1, 3}
        assert [report["connector_id"] for report in hub.reports] == [1, 3]
        assert all({"plugged", "ev_ready", "evse_ready", "energy_wh"} <= set(report) for report in hub.reports)
        assert one.is_connected


@pytest.mark.asyncio
async def test_station_session_from_plug_to_unplug(tmp_path: Path) -> None:
    """CORE-TX-01: plug, tag, charge under the permit, tag again, unplug."""
    diary = Diary()
    async with FakeHub(tmp_path / "s") as hub, station(hub, hear=diary.hear) as one:
        vehicle = await one.plug(1)
        assert await one.tag(1, "TAG1") == "Accepted"
        assert await one.until(1, is_charging)
        assert await one.until(1, lambda evse: evse.register_wh > 0, 20)
        assert hub.reports[-1]["permit_seq"] == 1
        hub.calls.clear()
        assert await one.tag(1, "TAG1") == "Accepted"
        assert hub.calls[:2] == ["connector.report", "connector.authorize"]
        assert await one.until(1, lambda evse: evse.transaction is None and evse.power_w == 0)
        assert await one.unplug(1) is vehicle
        assert diary.events(1) == ["plug", "tag", "start", "tag", "stop", "unplug"]
        assert hub.reports[-1]["plugged"] is False
        assert one.problems == []


@pytest.mark.asyncio
async def test_station_follows_permits_that_are_published(tmp_path: Path) -> None:
    """A permit changes while nothing else does; its number is in the next report."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        await one.plug(1)
        await one.tag(1, "TAG1")
        await one.until(1, is_charging)
        hub.permit(1, limit_a=0.0)
        assert await one.until(1, lambda evse: evse.power_w == 0)
        assert await one.until(1, lambda _: hub.reports[-1].get("permit_seq") == 2)


class BusyHub(FakeHub):
    """Permits change after the first report of a connector, before somebody listens."""

    def _subscribe(self, params: dict[str, Any]) -> Any:
        self.states[1]["permit"] = {**self.states[1]["permit"], "seq": 9}
        return super()._subscribe(params)


@pytest.mark.asyncio
async def test_station_obeys_a_permit_that_came_before_it_listened(tmp_path: Path) -> None:
    """decisions.md 5: permits are levels; the newest counts, whether or not its event was heard."""
    async with BusyHub(tmp_path / "s") as hub, station(hub) as one:
        assert [one.evses[number].levels()["permit_seq"] for number in (1, 2)] == [9, 0]


@pytest.mark.asyncio
async def test_station_reports_pauses_faults_and_the_button(tmp_path: Path) -> None:
    """Levels, each with the report that carries it."""
    diary = Diary()
    async with FakeHub(tmp_path / "s") as hub, station(hub, hear=diary.hear, report_s=60) as one:
        await one.plug(2)
        await one.tag(2, "TAG1")
        await one.pause(2)
        await one.pause(2, is_paused=False)
        assert [report["ev_ready"] for report in hub.reports[-2:]] == [False, True]
        await one.fault(2, "HighTemperature")
        assert hub.reports[-1]["errors"] == [{"error_code": "HighTemperature", "inoperative": True}]
        await one.repair(2)
        assert hub.reports[-1]["errors"] == []
        await one.press_stop(2)
        assert diary.events(2) == ["plug", "tag", "start", "pause", "resume", "fault", "repair", "button", "stop"]
        with pytest.raises(LocalError):
            await one.press_stop(2)
        with pytest.raises(ValueError, match="nothing is plugged in"):
            await one.pause(1)


@pytest.mark.asyncio
async def test_station_tells_what_a_refused_tag_was_answered(tmp_path: Path) -> None:
    """A status that says no is no error."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        hub.refused_tags.add("TAG9")
        assert await one.tag(1, "TAG9") == "Blocked"


@pytest.mark.asyncio
async def test_station_connects_again_and_reports_everything(tmp_path: Path) -> None:
    """The hub was gone: no energy meanwhile, then the same plug, and what happened meanwhile."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        await one.plug(1)
        await one.plug(2)
        await one.tag(1, "TAG1")
        await one.until(1, is_charging)
        plug_id = hub.reports[-1]["plug_id"]
        hub.drop()
        assert await one.until(1, lambda _: not one.is_connected)
        assert one.evses[1].power_w == 0
        hub.reports.clear()
        await one.unplug(2)
        assert await one.until(1, lambda _: {report["connector_id"] for report in hub.reports} == {1, 2})
        assert await one.until(1, is_charging)
        first = {report["connector_id"]: report for report in reversed(hub.reports)}
        assert first[2]["plugged"] is False
        assert first[1]["plugged"] is True
        assert len({report["plug_id"] for report in hub.reports if report["plugged"]} | {plug_id}) == 2


@pytest.mark.asyncio
async def test_station_that_the_hub_has_forgotten_attaches_again(tmp_path: Path) -> None:
    """A Reset: the connection stays, the attachment does not; one attach is enough for many reports."""
    async with FakeHub(tmp_path / "s") as hub, station(hub, report_s=60) as one:
        await one.plug(1)
        await one.tag(1, "TAG1")
        assert await one.until(1, lambda evse: evse.levels()["permit_seq"] == 1)
        hub.forget()
        await asyncio.gather(one.pause(1), one.plug(2))
        assert hub.attached == {1, 2}
        assert one.evses[1].levels()["permit_seq"] == 0
        assert hub.calls.count("controller.attach") == 2
    async with FakeHub(tmp_path / "t") as hub, station(hub) as one:
        await asyncio.gather(one.plug(1), one.plug(2))
        hub.forget()
        assert await one.until(1, lambda _: hub.attached == {1, 2})
        assert hub.calls.count("controller.attach") == 2
        assert one.problems == []


@pytest.mark.asyncio
async def test_station_answers_what_the_hub_asks(tmp_path: Path) -> None:
    """``connector.unlock`` and ``charge_point.reset``; anything else is refused by name."""
    diary = Diary()
    async with FakeHub(tmp_path / "s") as hub, station(hub, hear=diary.hear) as one:
        one.evses[2].unlock_status = "UnlockFailed"
        hub.ask("connector.unlock", connector_id=1)
        hub.ask("connector.unlock", connector_id=2)
        hub.ask("charge_point.reset", type="Soft", connectors=[1, 2])
        hub.ask("firmware.install", path="/x")
        assert await one.until(1, lambda _: len(hub.answers) == 4)
        assert hub.answers[:3] == [{"status": "Unlocked"}, {"status": "UnlockFailed"}, {"accepted": True}]
        assert hub.answers[3]["data"]["code"] == "method_not_found"
        assert diary.events(1) == ["unlock"]


@pytest.mark.asyncio
async def test_station_without_a_lease_stops_the_power(tmp_path: Path) -> None:
    """decisions.md 5: nothing was heard for longer than the lease; the next one brings the permit back."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        await one.plug(1)
        await one.tag(1, "TAG1")
        hub.notify("lease", valid_for_s=30)
        assert await one.until(1, is_charging)
        hub.notify("lease", valid_for_s=0.05)
        assert await one.until(1, lambda evse: evse.power_w == 0)
        hub.notify("lease", valid_for_s=30)
        assert await one.until(1, is_charging)


@pytest.mark.asyncio
async def test_station_that_is_killed_draws_on_until_its_lease_ends_and_comes_back(tmp_path: Path) -> None:
    """decisions.md 5: nobody tells its connectors anything; they have the last permit, then the fallback."""
    async with FakeHub(tmp_path / "s") as hub, station(hub, wiring=Wiring(fallback_current_a=6.0)) as one:
        await one.plug(1)
        await one.tag(1, "TAG1")
        hub.notify("lease", valid_for_s=0.3)
        assert await one.until(1, is_charging)
        evse = one.evses[1]
        await one.die()
        reports = len(hub.reports)
        hub.drop()
        assert not one.is_connected
        assert evse.power_w > 0
        await asyncio.gather(*one._tasks)
        evse.pass_time(asyncio.get_running_loop().time() + 10)
        assert evse.power_w == 6 * 690
        assert len(hub.reports) == reports
        await one.start()
        assert await one.until(1, lambda evse: evse.power_w > 6 * 690)
        assert {report["plug_id"] for report in hub.reports if report["plugged"]} == {evse.levels()["plug_id"]}


@pytest.mark.asyncio
async def test_station_that_is_killed_without_a_lease_falls_back_at_once(tmp_path: Path) -> None:
    """What was never given cannot last."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        await one.plug(1)
        await one.tag(1, "TAG1")
        assert await one.until(1, is_charging)
        await one.die()
        await asyncio.gather(*one._tasks)
        assert one.evses[1].power_w == 0


@pytest.mark.asyncio
async def test_station_takes_up_the_register_that_the_hub_knows(tmp_path: Path) -> None:
    """A second run of the simulator on the same hub: its meters do not begin at 0."""
    async with FakeHub(tmp_path / "s") as hub:
        hub.least_wh = 12_345
        async with station(hub) as one:
            assert one.evses[1].register_wh == 12_345


@pytest.mark.asyncio
async def test_station_notes_a_report_that_was_refused(tmp_path: Path) -> None:
    """The simulator's own mistakes are not hidden."""
    async with FakeHub(tmp_path / "s") as hub, station(hub) as one:
        await one.plug(1)
        hub.least_wh = 10**6
        assert await one.until(1, lambda _: bool(one.problems))
        assert "connector 1: no such register" in str(one.problems[0])


@pytest.mark.asyncio
async def test_station_without_a_hub_does_not_start(tmp_path: Path) -> None:
    """Exit code 69 of the command line."""
    with pytest.raises(UnavailableError):
        await Station(tmp_path / "nobody", 1).start()
