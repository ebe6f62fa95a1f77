"""Profiles outlive the process: kill -9 right after an answer, in the middle of a storm, and a changed hub.toml."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from .charging import (
    Station,
    daily,
    far,
    flat,
    limit_of_all,
    now,
    profile,
    seconds,
    station,
)
from .conftest import HEAD, Rig, point, refusal, wait_for


def answers(hub: Station) -> Any:
    """All that can be asked of the profiles."""
    windows = [hub.at(n, 0, 2 * 86_400, unit) for n in range(4) for unit in ("A", "W")]
    return hub.installed(), windows, [hub.periods(n) for n in range(4)]


@pytest.mark.parametrize("kill", [True, False], ids=["kill", "term"])
def test_hub_dies_right_after_a_set_and_comes_back_with_the_same_answers(hub: Station, kill: bool) -> None:
    """CORE-SC-16, CORE-SC-23, reliability.md D10: every kind of profile, whole, with the moment of its acceptance."""
    hub.put(0, limit_of_all(1, (0, 50), (3600, 40.5), valid_to=far(100)), limit_of_all(2, (0, 90.1), level=1))
    hub.put(0, daily(3, (0, 8.1, 1), (7200, 12, 2), start=far(1800), duration=10_000, level=2, valid_from=far(10)))
    hub.put(1, profile(4, (0, 4140), unit="W", kind="Relative"), profile(-5, (0, 3), level=1, start=now(40 * 86_400)))
    hub.put(2, profile(2**31 - 1, *((60 * n, n % 32 + 0.1, n % 3 + 1) for n in range(100)), level=10, start=far()))
    before = answers(hub)
    hub.restart(kill)
    assert answers(hub) == before
    hub.restart()
    assert answers(hub) == before


def test_hub_dies_right_after_each_answer_and_nothing_answered_is_lost(rig: Rig) -> None:
    """CORE-SC-16, CORE-SC-09: set, replace by id, replace by level, clear; what went stays gone."""
    hub = station(rig)
    steps: list[tuple[Any, list[int], float]] = [
        (lambda: hub.set(1, profile(1, (0, 10))), [1], 10.0),
        (lambda: hub.set(1, profile(1, (0, 11), level=1)), [1], 11.0),
        (lambda: hub.set(1, profile(2, (0, 12), level=1)), [2], 12.0),
        (lambda: hub.set(0, profile(3, (0, 13))), [2, 3], 12.0),
        (lambda: hub.clear(id=2), [3], 13.0),
        (hub.clear, [], 32.0),
    ]
    for step, ids, limit in steps:
        assert step() == "Accepted"
        hub.restart()
        assert hub.ids() == ids
        assert hub.periods(1) == flat(limit)
    assert hub.clear() == "Unknown"


@pytest.mark.parametrize("answers", [3, 100])
def test_hub_dies_in_a_storm_and_keeps_what_it_answered(rig: Rig, answers: int) -> None:
    """CORE-SC-16, SCA-05: of a stream of sets what was answered is there; what was not is there whole or not at all."""
    hub = station(rig, connectors=3, configuration="MaxChargingProfilesInstalled = 30")
    hub.link.frames.clear()
    sender = threading.Thread(target=storm, args=(hub,))
    sender.start()
    wait_for(lambda: sum(way == ">" for way, _ in list(hub.link.frames)) >= answers, "answers", 20)
    hub.hub.kill()
    sender.join()
    hub.link.closed.wait(5)
    received = hub.link.received()
    answered = [int(f[1].removeprefix("set-")) for f in received if f[:1] == [3] and f[2] == {"status": "Accepted"}]
    assert answered == list(range(len(answered))), "in the order they were sent"
    sent = sum(way == "<" for way, _ in hub.link.frames)
    assert answers <= len(answered) < sent, "killed while it worked"
    hub.restart()
    kept = hub.installed()
    # A later profile of the same connector and level replaces: of each place the last one stands.
    reached = 1 + max(item["charging_profile_id"] for item in kept)
    assert len(answered) <= reached <= sent
    places = {(1 + n % 3, n % 10): n for n in range(reached)}
    assert sorted(item["charging_profile_id"] for item in kept) == sorted(places.values())
    for item in kept:
        first, last = item["charging_schedule"]["charging_schedule_period"]
        assert (first["limit"], last["limit"]) == (item["charging_profile_id"] / 10, 20)


def storm(hub: Station) -> None:
    """One profile after the other, without waiting, until the other side is gone."""
    with contextlib.suppress(ConnectionClosed):
        for n in itertools.count():
            item = profile(n, (0, n / 10), (60, 20), level=n % 10, start=far())
            payload = {"connectorId": 1 + n % 3, "csChargingProfiles": item}
            hub.link.send([2, f"set-{n}", "SetChargingProfile", payload])


def test_two_hundred_profiles_come_back(rig: Rig) -> None:
    """CORE-SC-16, SCA-28: 200 of 100 periods each, then a restart by kill; the count goes on where it was."""
    hub = station(rig, connectors=20, configuration="MaxChargingProfilesInstalled = 200")
    for n in range(200):
        hub.put(1 + n % 20, profile(n, *((60 * k, (n + k) % 32) for k in range(100)), level=n // 20, start=far()))
    before = hub.installed(), [hub.at(n, 0, 7200) for n in range(21)]
    began = time.monotonic()
    hub.restart()
    assert time.monotonic() - began < 5
    assert (hub.installed(), [hub.at(n, 0, 7200) for n in range(21)]) == before
    assert hub.set(1, profile(999, level=10)) == "Rejected"
    assert hub.set(1, profile(0, (0, 1))) == "Accepted"
    assert len(hub.ids()) == 200


def test_limit_of_all_keeps_its_second_zero(hub: Station) -> None:
    """SCA-07: the moment of acceptance is stored, so that a restart moves no boundary."""
    hub.put(0, limit_of_all(1, (0, 10), (10**6, 20)))
    when = now(10**6 - 100)
    before = hub.rpc.call("schedule.get", connector_id=1, duration_s=600, unit="A", at=when)
    assert len(before["schedule"]["chargingSchedulePeriod"]) == 2
    hub.restart()
    assert hub.rpc.call("schedule.get", connector_id=1, duration_s=600, unit="A", at=when) == before


def test_hub_publishes_what_it_kept_before_the_csms_says_a_word(hub: Station) -> None:
    """CORE-SC-14, CORE-SC-16, SCA-33: offline after a restart the installed profiles rule."""
    hub.put(1, profile(1, (0, 10)))
    hub.csms.refuse = refusal(503)
    try:
        hub.hub.kill()
        hub.hub.start()
        with hub.hub.rpc() as rpc:
            value = wait_for(lambda: rpc.call("get_variable", name="charging_schedules")["value"], "a publication")
            assert rpc.call("get_variable", name="is_connected")["value"] is False
            assert value["1"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.0, "numberPhases": 3}]
            assert rpc.call("schedule.get", connector_id=1, duration_s=60)["schedule"]["duration"] == 60
    finally:
        hub.csms.refuse = None
        hub.restart()
    assert hub.ids() == [1]


def test_profile_that_is_over_is_purged_and_stays_gone(hub: Station) -> None:
    """SCA-39, CORE-SC-36: by validTo and by the end of an absolute schedule; Clear by id then says Unknown."""
    hub.put(1, profile(1, (0, 10), valid_to=now(2)), profile(2, (0, 11), level=1, start=now(), duration=2))
    hub.put(2, profile(3, (0, 12), level=1, kind="Relative", duration=1))
    hub.put(0, limit_of_all(4, (0, 13), duration=2))
    assert hub.ids() == [1, 2, 3, 4]
    wait_for(lambda: hub.ids() == [3], "purged within a few seconds", 6)
    assert [hub.clear(id=n) for n in (1, 2, 4)] == ["Unknown"] * 3
    hub.restart()
    assert hub.ids() == [3]


def test_profile_that_ended_while_the_hub_was_down_is_gone(hub: Station) -> None:
    """SCA-39, SCA-32: purged once the time is known again."""
    hub.put(1, profile(1, (0, 10), valid_to=now(2)), profile(2, (0, 12), level=1))
    end = seconds(hub.installed()[0]["valid_to"])
    hub.hub.kill()
    wait_for(lambda: time.time() > end, "the end of its validity")
    hub.restart()
    wait_for(lambda: hub.ids() == [2], "purged")
    assert hub.clear(id=1) == "Unknown"


# -- a changed hub.toml ----------------------------------------------------------------------------


def rewritten(hub: Station, connectors: int, **parts: str) -> None:
    """The same state directory under another hub.toml."""
    hub.hub.config.write_text(HEAD.format(hub="", rpc="") + point(url=hub.csms.url, connectors=connectors, **parts))


def test_hub_with_fewer_connectors_starts_and_serves(rig: Rig) -> None:
    """CORE-SC-16, reliability.md 4.1: no restart needs a human, what fits the hub is in force."""
    hub = station(rig, connectors=3)
    hub.put(0, limit_of_all(1, (0, 50)))
    hub.put(1, profile(2, (0, 10)))
    hub.put(3, profile(3, (0, 12)))
    rewritten(hub, 1)
    hub.restart()
    assert hub.periods(1) == flat(10.0)
    assert hub.periods(0) == flat(10.0)
    assert hub.verdict("GetCompositeSchedule", {"connectorId": 3, "duration": 60}) == "Rejected"
    assert hub.set(1, profile(5, (0, 11))) == "Accepted"


@pytest.mark.parametrize(
    "configuration",
    [
        "ChargeProfileMaxStackLevel = 1",
        "ChargingScheduleMaxPeriods = 1",
        "MaxChargingProfilesInstalled = 1",
        'ChargingScheduleAllowedChargingRateUnit = "Power"',
    ],
)
def test_hub_with_lower_limits_keeps_what_it_has(rig: Rig, configuration: str) -> None:
    """CORE-SC-16, SCA-28: a limit is about what is installed from now on; nothing acknowledged is lost."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10), (60, 12), level=5, start=far()))
    hub.put(0, profile(2, (0, 14)))
    before = hub.installed()
    rewritten(hub, 2, configuration=configuration)
    hub.restart()
    assert hub.installed() == before
    unit = "W" if "Power" in configuration else "A"
    assert hub.at(1, 0, 120, unit) == (
        [(0, 10.0, 3), (60, 12.0, 3)] if unit == "A" else [(0, 6900.0, 3), (60, 8280.0, 3)]
    )


def test_hub_whose_smart_charging_was_off_for_a_while_has_its_profiles_again(rig: Rig) -> None:
    """CORE-SC-16, CORE-SC-32: the feature is off, not the memory."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10)))
    rewritten(hub, 2, configuration='SupportedFeatureProfiles = "Core"')
    hub.restart()
    assert hub.error("ClearChargingProfile", {}) == "NotSupported"
    rewritten(hub, 2)
    hub.restart()
    assert hub.ids() == [1]
    assert hub.periods(1) == flat(10.0)


def test_state_file_survives_a_torn_profile_row(rig: Rig) -> None:
    """CORE-SC-16: a row that cannot be read is left aside with an ERROR; the others are in force."""
    hub = station(rig)
    hub.put(1, profile(1, (0, 10)))
    hub.put(2, profile(2, (0, 12)))
    hub.hub.kill()
    damage(hub)
    hub.restart()
    assert hub.ids() == [2]
    assert [hub.periods(n) for n in (1, 2)] == [flat(32.0), flat(12.0)]
    assert "ERROR" in hub.hub.text()


def damage(hub: Station) -> None:
    """Cut the stored row of profile 1 short, as a bad sector would."""
    with contextlib.closing(sqlite3.connect(hub.hub.directory / "state" / "hub.db")) as store, store:
        assert store.execute("UPDATE charging_profile SET value = substr(value, 1, 9) WHERE key = '1'").rowcount == 1
