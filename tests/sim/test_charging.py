"""The tour's charging steps: valid profiles, and a step that fails where the hub shows something else."""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, ChargingProfileStatus
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from ocpphub.sim import charging
from ocpphub.sim.charging import ChargingSteps, day_limit_a, station_limit_a
from ocpphub.sim.csms import Csms
from ocpphub.sim.narrator import Narrator
from tests.schedule_answers import START, profile, schedule, source, stretch

NOW = datetime(2030, 1, 31, 10, 30, tzinfo=UTC)
NOW_A = day_limit_a(10)
ACCEPTED = SimpleNamespace(status="Accepted")


class Station(ChargePoint):
    """A charge point that keeps the charging profiles it is sent; ``ocpp`` checks them against the schemas."""

    profiles: list[dict[str, Any]]

    @on(Action.set_charging_profile)
    def on_set(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> call_result.SetChargingProfile:
        self.profiles.append({"connector_id": connector_id, **cs_charging_profiles})
        return call_result.SetChargingProfile(ChargingProfileStatus.accepted)


@pytest.mark.asyncio
async def test_csms_sends_both_profiles_of_the_tour_as_the_schemas_want_them() -> None:
    """CORE-SC-22, CORE-SC-29, CORE-SC-01: through `ocpp`, which checks both ends; first period at 0, one decimal."""
    async with Csms() as csms:
        protocols = [Subprotocol("ocpp1.6")]
        async with connect(f"{csms.url}/HUB-1", subprotocols=protocols, proxy=None) as connection:
            station = Station("HUB-1", connection)
            station.profiles = []
            loop = asyncio.create_task(station.start())
            for sent in (charging.day_profile(NOW), charging.station_profile(NOW, 200)):
                answer = await csms.call("HUB-1", call.SetChargingProfile(0, sent))
                assert answer.status == "Accepted"
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)
    day, top = station.profiles
    periods = day["charging_schedule"]["charging_schedule_period"]
    assert [period["start_period"] for period in periods] == [hour * 3600 for hour in range(24)]
    assert all(round(period["limit"], 1) == period["limit"] for period in periods)
    assert day["charging_schedule"]["start_schedule"] == "2030-01-30T00:00:00Z"
    assert (day["recurrency_kind"], top["charging_profile_purpose"]) == ("Daily", "ChargePointMaxProfile")


@pytest.mark.parametrize("connectors", [1, 2, 5, 200, 10_000])
def test_station_limit_of_the_tour_holds_the_station_down_at_any_hour(connectors: int) -> None:
    """SCA-19: or the tour would show nothing; and no hour gives a connector just that limit."""
    limit_a = station_limit_a(connectors)
    for hour in range(24):
        assert limit_a < min(day_limit_a(hour) * connectors, charging.STATION_A)
        assert day_limit_a(hour) != limit_a


# The steps, with a CSMS and a client that answer what they are told


class Events:
    """A subscription that has published before, and publishes these values."""

    def __init__(self, before: dict[str, Any], values: list[dict[str, Any]]) -> None:
        self.snapshot = {"charging_schedules": before}
        self._values = values

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while self._values:
            yield {"value": self._values.pop(0)}

    async def close(self) -> None:
        pass


def schedules(one: float, whole: float) -> dict[str, Any]:
    return {
        number: {**schedule((0, limit), duration=600), "startSchedule": START}
        for number, limit in (("0", whole), ("1", one))
    }


def steps(folder: Path, *, values: list[dict[str, Any]] | None = None, **methods: Any) -> ChargingSteps:
    """The steps of a tour of five connectors."""

    async def subscribe(*_: Any) -> Events:
        return Events(schedules(32.0, 160.0), values or [])

    async def ask(method: str, **_: Any) -> Any:
        return methods[method.replace(".", "_")]

    async def send(*_: Any) -> Any:
        answer = methods.get("answer", ACCEPTED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tour: Any = SimpleNamespace(
        say=Narrator(io.StringIO(), coloured=False),
        csms=SimpleNamespace(call=send),
        client=SimpleNamespace(call=ask, subscribe=subscribe, path=folder / "none"),
        connectors=5,
        folder=folder,
    )
    return ChargingSteps(tour, "HUB-1", "ocpphub")


FOLLOWING = [schedules(32.0, 160.0), schedules(NOW_A, NOW_A * 5), schedules(NOW_A, NOW_A * 5), schedules(NOW_A, 25.0)]


@pytest.mark.asyncio
async def test_tour_sees_charging_schedules_follow_both_profiles(tmp_path: Path) -> None:
    """CORE-SC-02, SCA-19: publications that say the old thing are waited out."""
    step = steps(tmp_path, values=list(FOLLOWING))
    await step.profiles()
    assert step.say.failures == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("values", "failures"),
    [([], 2), (FOLLOWING[:2], 1), ([schedules(32.0, 25.0)] * 2, 2), ([schedules(NOW_A, 160.0), FOLLOWING[3]], 2)],
)
async def test_tour_does_not_see_what_was_not_published(
    values: list[dict[str, Any]], failures: int, tmp_path: Path
) -> None:
    """CORE-SC-02: limits other than those of the profiles are a failure of the step."""
    step = steps(tmp_path, values=list(values))
    await step.profiles()
    assert len(step.say.failures) == failures


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [SimpleNamespace(status="Rejected"), TimeoutError()])
async def test_tour_fails_where_a_profile_is_not_accepted(answer: Any, tmp_path: Path) -> None:
    """CORE-SC-09: whatever is published."""
    step = steps(tmp_path, values=list(FOLLOWING), answer=answer)
    await step.profiles()
    assert step.say.failures == ["TxDefaultProfile accepted", "ChargePointMaxProfile accepted"]


DAY = source(profile(charging.DAY_PROFILE))
TOP = source(profile(charging.STATION_LIMIT, purpose="ChargePointMaxProfile"))
HARDWARE = {"kind": "hardware"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("stretches", "is_seen"),
    [
        (stretch(0, 60, NOW_A, DAY, (TOP, "not_the_minimum"), (HARDWARE, "not_the_minimum")), True),
        (stretch(0, 60, 25.0, TOP, (DAY, "not_the_minimum")), True),
        (stretch(0, 60, NOW_A, TOP, (DAY, "not_the_minimum")), False),
        (stretch(0, 60, NOW_A, DAY, (HARDWARE, "not_the_minimum")), False),
        (stretch(0, 60, 32.0, HARDWARE), False),
    ],
)
async def test_tour_sees_an_explanation_that_names_both_profiles(
    stretches: dict[str, Any], is_seen: bool, tmp_path: Path
) -> None:
    """CORE-SC-11: the one that decides and why the other does not."""
    step = steps(tmp_path, schedule_explain=[stretches])
    await step.explanation()
    assert (step.say.failures == []) is is_seen


@pytest.mark.asyncio
async def test_tour_without_matplotlib_skips_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J-102: a missing extra is said and is no failure."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    step = steps(tmp_path)
    await step.picture()
    assert (step.say.failures, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.asyncio
async def test_tour_shows_why_there_is_no_picture(tmp_path: Path) -> None:
    """J-102: the words of the command are the failure."""
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    step = steps(tmp_path)
    await step.picture()
    assert len(step.say.failures) == 2
    assert all("no hub answers" in words for words in step.say.failures)


def test_tour_profile_is_of_yesterday_around_midnight() -> None:
    """SCA-09: before its first start a recurring profile would not hold."""
    for moment in (NOW.replace(hour=0, minute=0), NOW.replace(hour=23, minute=59)):
        start = charging.day_profile(moment).charging_schedule.start_schedule
        assert moment - datetime.fromisoformat(start) >= timedelta(days=1)
