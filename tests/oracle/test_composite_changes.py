"""A follower who knows only what ``Profiles.changes`` said knows every schedule, and is told nothing twice.

Owns that relation (docs/design/0008-smart-charging-readings.md item 12) for random histories; what the schedules are is
the business of test_composite.py.
"""

from __future__ import annotations

from copy import copy
from random import Random

import pytest

from tests.oracle import schedule_cases
from tests.oracle.reference_schedule import DEFAULT, OutputPeriod, Station, utc_s
from tests.oracle.schedule_runner import Native, read, read_periods
from tests.oracle.schedule_vectors import Json

SHARE = 20
DURATION_S = 300


class Follower:
    """Keeps what was last said of each connector, and what time it was then; begins with all schedules of ``now_s``."""

    def __init__(self, native: Native, now_s: int) -> None:
        self.native = native
        assert native.profiles.changes(now_s, DURATION_S, "A", 1) == []
        present = read(native.profiles.composite_all(now_s, DURATION_S, "A"))
        self.said = {int(connector_id): (now_s, read_periods(schedule)) for connector_id, schedule in present.items()}

    def listen(self, now_s: int, limit: int) -> list[int]:
        """Who was told news, until there is no more."""
        told: list[int] = []
        while True:
            news = self.native.profiles.changes(now_s, DURATION_S, "A", limit)
            assert len(news) <= limit
            for connector_id, text in news:
                schedule = read(text)
                assert (utc_s(schedule["startSchedule"]), schedule["duration"]) == (now_s, DURATION_S)
                assert schedule["chargingRateUnit"] == "A"
                self.said[connector_id] = (now_s, read_periods(schedule))
                told.append(connector_id)
            if len(news) < limit:
                return told

    def implies(self, connector_id: int, now_s: int, present: list[OutputPeriod]) -> bool:
        """Whether what was said says this of the window that begins now; the last period goes on."""
        said_s, periods = self.said[connector_id]
        passed_s = now_s - said_s
        later = [period._replace(start_period=max(period.start_period - passed_s, 0)) for period in periods]
        offsets = {period.start_period for period in (*later, *present) if period.start_period < DURATION_S}
        return all(
            [p for p in later if p.start_period <= offset][-1][1:]
            == [p for p in present if p.start_period <= offset][-1][1:]
            for offset in offsets
        )

    def same_as_such(self, connector_id: int, present: list[OutputPeriod]) -> bool:
        """Whether the schedule, counted from its window's start, is the one that was said."""
        return self.said[connector_id][1] == present


def floats(station: Station, connector_id: int) -> bool:
    """Whether something without second zero of its own is installed for an idle connector (SCA-11)."""
    numbers = [connector_id] if connector_id else range(1, len(station.connectors) + 1)
    idle = [number for number in numbers if number not in station.transactions]
    return any(
        profile.purpose == DEFAULT and profile.fixed_zero_s is None and profile.connector_id in (0, number)
        for profile in station.profiles
        for number in idle
    )


def follow(number: int, count: int | None = None) -> int:
    """Plays a history and listens after each step; how often somebody was told news."""
    case = schedule_cases.numbered(number, count)
    random = Random(number)  # noqa: S311 - repeatable on purpose
    native, reference = Native(case["station"]), Station.of(case["station"])
    now_s = case["steps"][-1]["start_s"] - 200
    follower, heard = Follower(native, now_s), 0
    for step in case["steps"]:
        now_s += random.choice((0, 0, 1, 20, 60, 299, 301))
        play_both(native, reference, step)
        if step["do"] == "restart":
            follower = Follower(native, now_s)
        told = listen_once(follower, reference, now_s, random.choice((1, 2, 100)))
        assert len(told) == len(set(told)), (number, step, told)
        assert follower.listen(now_s, 1) == [], (number, step)
        heard += len(told)
    return heard


def play_both(native: Native, reference: Station, step: Json) -> None:
    """One step on both; questions are left out."""
    arguments = {name: value for name, value in step.items() if name != "do"}
    if step["do"] != "query":
        getattr(native, step["do"])(**arguments)
        getattr(reference, step["do"])(**arguments)


def listen_once(follower: Follower, reference: Station, now_s: int, limit: int) -> list[int]:
    """Who was told news: nobody who could have known, and everybody who could not."""
    before = copy(follower)
    before.said = dict(follower.said)
    told = follower.listen(now_s, limit)
    for one in range(len(reference.connectors) + 1):
        present = follower.native.composite(one, now_s, DURATION_S, "A")
        floating = floats(reference, one)
        known = before.implies(one, now_s, present)
        same = floating and before.same_as_such(one, present)
        if one in told:
            assert follower.said[one] == (now_s, present), one
            assert not any((known, same)), (one, present, before.said[one])
        else:
            assert known or same, (one, now_s, present, before.said[one])
    return told


@pytest.mark.timeout(300)
def test_engine_a_follower_of_the_changes_knows_every_schedule() -> None:
    """CORE-SC-45: after each step everybody whose schedule is not what was said of it is told, and nobody else."""
    numbers = range(0, schedule_cases.CASES, SHARE)
    assert sum(follow(number) for number in numbers) > len(numbers)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [64, 130])
def test_engine_a_follower_of_a_big_hub_knows_every_schedule(count: int) -> None:
    """CORE-SC-45: the same where news come in many portions."""
    assert sum(follow(number, count) for number in range(6)) > count


def test_follower_the_last_period_goes_on() -> None:
    """CORE-SC-45: what is implied is what was said, cut at now and continued by its last period."""
    follower = Follower.__new__(Follower)
    follower.said = {1: (1_000, [OutputPeriod(0, 100, 3), OutputPeriod(50, 120, 3)])}
    assert follower.implies(1, 1_020, [OutputPeriod(0, 100, 3), OutputPeriod(30, 120, 3)])
    assert follower.implies(1, 1_900, [OutputPeriod(0, 120, 3)])
    assert not follower.implies(1, 1_050, [OutputPeriod(0, 120, 3), OutputPeriod(299, 130, 3)])
    assert not follower.implies(1, 1_049, [OutputPeriod(0, 120, 3)])
