"""What Python sees of ``ocpphub._native.Profiles``: its verdicts, rows, ids, life of transactions, listings.

Owns the promises of ``_native.pyi``; that every composite schedule is right is the business of tests/oracle.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocpphub._native import Installed, Profiles

Json = dict[str, Any]

NOW_S = 1_704_067_200
"""2024-01-01T00:00:00Z."""
MAX, DEFAULT, TX = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"
CONNECTOR = (230_000, 3, 32_000, None, None)
STATION = (230_000, None, None)


def engine(connectors: int = 2, **limits: Any) -> Profiles:
    """A station of 32 A connectors on 230 V and three phases."""
    allowed = {"max_stack_level": 10, "max_periods": 100, "max_installed": 100, "units": "AW", **limits}
    return Profiles([CONNECTOR] * connectors, STATION, **allowed)


def profile(charging_profile_id: int, purpose: str = DEFAULT, limit: Any = 10, **members: Any) -> Json:
    """A Relative profile of one period; ``schedule_*`` go into the chargingSchedule."""
    schedule = {name.removeprefix("schedule_"): members.pop(name) for name in list(members) if "schedule_" in name}
    built = {
        "chargingProfileId": charging_profile_id,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute" if purpose == MAX else "Relative",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
            **schedule,
        },
    }
    return built | members


def full(charging_profile_id: int, connector_id: int) -> Json:
    """A profile with every member that there is."""
    return profile(
        charging_profile_id,
        transactionId=7,
        stackLevel=connector_id,
        chargingProfileKind="Recurring",
        recurrencyKind="Weekly",
        validFrom="2024-01-01T00:00:00.25Z",
        validTo="2025-01-01T01:00:00+01:00",
        schedule_duration=3600,
        schedule_startSchedule="2023-12-31T23:59:59Z",
        schedule_chargingRateUnit="W",
        schedule_minChargingRate=8.1,
        schedule_chargingSchedulePeriod=[
            {"startPeriod": 0, "limit": 0},
            {"startPeriod": 60, "limit": 11_040.5, "numberPhases": 2},
        ],
    )


def install(profiles: Profiles, connector_id: int, charging: Json, now_s: int = NOW_S) -> Installed:
    """Installs what must be accepted."""
    answer = profiles.install(connector_id, json.dumps(charging).encode(), now_s)
    assert isinstance(answer, Installed), answer
    return answer


def refusal(profiles: Profiles, connector_id: int, charging: Json, now_s: int = NOW_S) -> str:
    """Why it is Rejected; nothing may have changed."""
    before = (len(profiles), profiles.installed())
    answer = profiles.install(connector_id, json.dumps(charging).encode(), now_s)
    assert isinstance(answer, str)
    assert (len(profiles), profiles.installed()) == before
    return answer


def periods(profiles: Profiles, connector_id: int, duration_s: int = 200, unit: str = "A") -> list[list[float]]:
    """[startPeriod, limit, numberPhases] of a composite schedule from now on."""
    schedule = json.loads(profiles.composite(connector_id, NOW_S, duration_s, unit))
    return [[row["startPeriod"], row["limit"], row["numberPhases"]] for row in schedule["chargingSchedulePeriod"]]


def test_engine_an_accepted_profile_is_returned_with_its_row_and_what_it_replaced() -> None:
    """CORE-SC-09: its id, text to store, and the ids that are gone, its own when it was installed before."""
    profiles = engine()
    first = install(profiles, 1, profile(5))
    assert (first.charging_profile_id, first.replaced) == (5, [])
    assert isinstance(first.row, bytes)
    assert json.loads(first.row) is not None
    assert install(profiles, 1, profile(6)).replaced == [5]
    assert install(profiles, 2, profile(6)).replaced == [6]
    install(profiles, 1, profile(7))
    assert sorted(install(profiles, 1, profile(6)).replaced) == [6, 7]
    assert len(profiles) == 1


@pytest.mark.parametrize(
    ("connector_id", "charging"),
    [
        (1, profile(1, stackLevel=11)),
        (1, profile(1, schedule_chargingSchedulePeriod=[{"startPeriod": n, "limit": 1} for n in range(101)])),
        (1, profile(1, schedule_chargingSchedulePeriod=[{"startPeriod": 1, "limit": 1}])),
        (1, profile(1, schedule_chargingSchedulePeriod=[{"startPeriod": n, "limit": 1} for n in (0, 5, 5)])),
        (1, profile(1, schedule_chargingSchedulePeriod=[{"startPeriod": n, "limit": 1} for n in (0, 5, 4)])),
        (1, profile(1, schedule_duration=0)),
        (1, profile(1, validTo="2024-01-01T00:00:00.9Z")),
        (1, profile(1, validFrom="2024-01-02T00:00:00Z", validTo="2024-01-02T00:00:00Z")),
        (1, profile(1, chargingProfileKind="Recurring", recurrencyKind="Daily")),
        (1, profile(1, chargingProfileKind="Recurring", schedule_startSchedule="2024-01-01T00:00:00Z")),
        (1, profile(1, MAX)),
        (0, profile(1, MAX, chargingProfileKind="Relative")),
        (0, profile(1, TX)),
        (1, profile(1, TX)),
        (2, profile(1, TX, transactionId=8)),
    ],
    ids=lambda value: None if isinstance(value, int) else "",
)
def test_engine_a_profile_that_breaks_a_rule_is_rejected_with_a_reason(connector_id: int, charging: Json) -> None:
    """CORE-SC-01, CORE-SC-04, CORE-SC-07, CORE-SC-22, SCA-08, SCA-12, SCA-26, SCA-29, SCA-41: and nothing changes."""
    profiles = engine()
    profiles.transaction_started(2, NOW_S, 7)
    install(profiles, 1, profile(1, limit=6))
    assert refusal(profiles, connector_id, charging)
    assert periods(profiles, 1) == [[0, 6, 3]]


@pytest.mark.parametrize(("units", "refused"), [("A", "W"), ("W", "A")])
def test_engine_a_unit_that_is_not_allowed_is_rejected(units: str, refused: str) -> None:
    """CORE-SC-34: the other unit is accepted."""
    profiles = engine(units=units)
    assert refusal(profiles, 1, profile(1, schedule_chargingRateUnit=refused))
    install(profiles, 1, profile(1, schedule_chargingRateUnit=units))


def test_engine_the_number_installed_is_counted_after_replacement() -> None:
    """SCA-28: at the limit another one is Rejected, a replacement is not."""
    profiles = engine(max_installed=2)
    install(profiles, 1, profile(1))
    install(profiles, 0, profile(2))
    assert refusal(profiles, 2, profile(3))
    assert install(profiles, 0, profile(3)).replaced == [2]
    assert len(profiles) == 2


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"chargingProfileId":1}',
        json.dumps(profile(1, schedule_chargingSchedulePeriod=[])).encode(),
        json.dumps(profile(1, limit=-0.1)).encode(),
        json.dumps(profile(1, stackLevel=2**31)).encode(),
        json.dumps(profile(1, validFrom="yesterday")).encode(),
        json.dumps(profile(1, chargingProfilePurpose="Foo")).encode(),
        json.dumps(profile(1, schedule_chargingRateUnit="VA")).encode(),
        json.dumps(profile(1, limit=1e15)).encode(),
    ],
)
def test_engine_a_text_that_is_no_charging_profile_is_never_installed(text: bytes) -> None:
    """CORE-SC-33, SCA-29: the frame decoder refuses it before; here it is a mistake of the caller or a Rejected."""
    profiles = engine()
    try:
        answer = profiles.install(1, text, NOW_S)
    except ValueError:
        answer = "no ChargingProfile"
    assert isinstance(answer, str)
    assert len(profiles) == 0


@pytest.mark.parametrize("connector_id", [-1, 3, 2**40])
def test_engine_a_connector_that_is_not_there_is_a_mistake_of_the_caller(connector_id: int) -> None:
    """CORE-SC-31, CORE-SC-40, SCA-25: the core answers the CSMS before it asks."""
    profiles = engine(2)
    text = json.dumps(profile(1)).encode()
    for call in (
        lambda: profiles.install(connector_id, text, NOW_S),
        lambda: profiles.composite(connector_id, NOW_S, 10, "A"),
        lambda: profiles.explain(connector_id, NOW_S, 10, "A"),
        lambda: profiles.transaction_started(connector_id, NOW_S),
    ):
        with pytest.raises((ValueError, OverflowError)):
            call()
    assert len(profiles) == 0


@pytest.mark.parametrize(
    ("connector", "station"),
    [
        ((0, 3, 32_000, None, None), STATION),
        ((230_000, 0, 32_000, None, None), STATION),
        ((230_000, 4, 32_000, None, None), STATION),
        ((230_000, 3, None, None, None), STATION),
        ((230_000, 3, 32_000, 22_000_000, None), STATION),
        ((230_000, 3, -1, None, None), STATION),
        ((230_000, 3, 2**63, None, None), STATION),
        ((230_000, 3, 32_000, None, -1), STATION),
        (CONNECTOR, (0, None, None)),
        (CONNECTOR, (230_000, -1, None)),
    ],
)
def test_engine_a_station_that_cannot_be_computed_is_refused(connector: Any, station: Any) -> None:
    """SCA-18: impossible voltages, phases and maxima are told when the station is made."""
    with pytest.raises((ValueError, OverflowError)):
        Profiles([connector], station, max_stack_level=1, max_periods=1, max_installed=1, units="A")


def test_engine_rows_restored_are_what_was_installed() -> None:
    """CORE-SC-16, SCA-32: kind, validity, moment of acceptance and all the rest come back, in any order."""
    before = engine()
    before.transaction_started(2, NOW_S - 60, 7)
    charging = [(1, full(1, 1)), (2, full(2, 2)), (0, profile(3, MAX, 25)), (2, profile(4, TX, 12, transactionId=7))]
    rows = [install(before, one, text, NOW_S + one).row for one, text in charging]
    after = engine()
    after.transaction_started(2, NOW_S - 60, 7)
    assert after.restore(rows[::-1]) == []
    assert after.installed() == before.installed()
    assert len(after) == len(before) == 4
    assert after.composite_all(NOW_S, 86_400, "W") == before.composite_all(NOW_S, 86_400, "W")


def test_engine_rows_that_cannot_be_read_are_left_out_by_index() -> None:
    """CORE-SC-16: one damaged row costs that one profile."""
    before = engine()
    good = [install(before, 1, profile(n, stackLevel=n)).row for n in range(3)]
    after = engine()
    assert after.restore([b"", good[0], b"{}", good[1], good[2][:-1], b"\xff", good[2]]) == [0, 2, 4, 5]
    assert len(after) == 3


def test_engine_a_row_of_96_periods_is_at_most_1_kib() -> None:
    """CORE-SC-16: 10,000 connectors with 10 levels each are to load in 2 s."""
    day = [{"startPeriod": 900 * n, "limit": 10 + n / 10, "numberPhases": 3} for n in range(96)]
    charging = full(1, 1) | profile(1, schedule_chargingSchedulePeriod=day)
    assert len(install(engine(), 1, charging).row) <= 1024


def test_engine_clear_returns_what_it_removed() -> None:
    """CORE-SC-35, CORE-SC-37, SCA-27: the id alone when given, else all that is given, by where it was installed."""
    profiles = engine()
    for charging_profile_id, connector_id in ((1, 0), (2, 1), (3, 2)):
        install(profiles, connector_id, profile(charging_profile_id))
    install(profiles, 0, profile(4, MAX))
    assert profiles.clear(2, connector_id=0, purpose=MAX, stack_level=9) == [2]
    assert profiles.clear(connector_id=0, purpose=DEFAULT) == [1]
    assert profiles.clear(connector_id=1) == []
    assert profiles.clear(stack_level=1) == []
    assert sorted(profiles.clear()) == [3, 4]
    assert profiles.clear() == []


def test_engine_purge_removes_what_is_over_and_says_when_the_next_is() -> None:
    """SCA-39: by validTo and by the end of an absolute schedule; a general purge leaves the rest."""
    profiles = engine()
    assert profiles.next_purge() is None
    install(profiles, 1, profile(1))
    assert profiles.next_purge() is None
    install(profiles, 1, profile(2, stackLevel=1, validTo="2024-01-01T00:01:40.5Z"))
    install(profiles, 0, profile(3, MAX, schedule_duration=50))
    assert profiles.next_purge() == NOW_S + 50
    assert profiles.purge(NOW_S + 49) == []
    assert profiles.purge(NOW_S + 50) == [3]
    assert profiles.next_purge() == NOW_S + 100
    assert profiles.purge(NOW_S + 10**9) == [2]
    assert profiles.next_purge() is None
    assert len(profiles) == 1


def test_engine_purge_drops_transaction_profiles_whose_transaction_was_not_resumed() -> None:
    """SCA-32, CORE-SC-06: what was restored for a transaction that goes on stays."""
    before = engine()
    for connector_id in (1, 2):
        before.transaction_started(connector_id, NOW_S, connector_id)
    rows = [install(before, n, profile(n, TX, 6)).row for n in (1, 2)]
    after = engine()
    after.restore(rows)
    after.transaction_started(2, NOW_S, 2)
    assert periods(after, 1) == [[0, 32, 3]]
    assert after.purge(NOW_S) == [1]
    assert periods(after, 2) == [[0, 6, 3]]


def test_engine_transaction_profiles_live_with_their_transaction() -> None:
    """CORE-SC-04, CORE-SC-06, SCA-31: from the start, by id once it is confirmed, gone with the stop."""
    profiles = engine()
    profiles.transaction_started(1, NOW_S - 30)
    assert refusal(profiles, 1, profile(1, TX, transactionId=-3))
    profiles.transaction_confirmed(1, -3)
    steps = [{"startPeriod": 0, "limit": 6}, {"startPeriod": 60, "limit": 7}]
    install(profiles, 1, profile(1, TX, transactionId=-3, schedule_chargingSchedulePeriod=steps))
    install(profiles, 0, profile(2, limit=16))
    assert periods(profiles, 1) == [[0, 6, 3], [30, 7, 3]]
    assert periods(profiles, 2) == [[0, 16, 3]]
    assert profiles.transaction_stopped(1) == [1]
    assert periods(profiles, 1) == [[0, 16, 3]]
    assert refusal(profiles, 1, profile(3, TX))


def test_engine_a_connector_has_one_transaction_at_a_time() -> None:
    """CORE-SC-06: a start where one runs is a mistake of the caller, what is installed for the running one stays."""
    profiles = engine()
    profiles.transaction_started(1, NOW_S, 7)
    install(profiles, 1, profile(1, TX, 6))
    with pytest.raises(ValueError, match="connector_id"):
        profiles.transaction_started(1, NOW_S + 10, 8)
    with pytest.raises(ValueError, match="connector_id"):
        profiles.transaction_confirmed(2, 9)
    assert periods(profiles, 1) == [[0, 6, 3]]
    assert profiles.transaction_stopped(2) == []


def test_engine_a_second_decimal_is_cut_as_the_tolerant_decoder_does() -> None:
    """CORE-SC-29: 8.15 counts as 8.1, in the schedule and in what is stored."""
    profiles = engine()
    row = install(profiles, 1, profile(1, limit=8.15)).row
    assert periods(profiles, 1) == [[0, 8.1, 3]]
    assert install(engine(), 1, profile(1, limit=8.1)).row == row


@pytest.mark.parametrize("duration_s", [0, -1, 604_801])
def test_engine_all_schedules_are_refused_beyond_a_week(duration_s: int) -> None:
    """SCA-35, SCA-36: said, never truncated silently; one schedule reaches a year."""
    profiles = engine()
    with pytest.raises((ValueError, OverflowError)):
        profiles.composite_all(NOW_S, duration_s, "A")
    with pytest.raises((ValueError, OverflowError)):
        profiles.compute(NOW_S, duration_s, "A")
    with pytest.raises((ValueError, OverflowError)):
        profiles.changes(NOW_S, duration_s, "A", 1)
    with pytest.raises((ValueError, OverflowError)):
        profiles.composite(1, NOW_S, duration_s if duration_s < 1 else 31_622_401, "A")
    assert periods(profiles, 1, 31_622_400) == [[0, 32, 3]]


def test_engine_a_composite_has_no_start_and_a_published_one_has() -> None:
    """CORE-SC-41, SCA-34: OCPP's ChargingSchedule, startSchedule only in what is published."""
    profiles = engine(1)
    install(profiles, 1, profile(1, limit=8.1))
    expected = {
        "chargingRateUnit": "A",
        "duration": 60,
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.1, "numberPhases": 3}],
    }
    assert json.loads(profiles.composite(1, NOW_S, 60, "A")) == expected
    published = expected | {"startSchedule": "2024-01-01T00:00:00Z"}
    assert json.loads(profiles.composite_all(NOW_S, 60, "A")) == {"0": published, "1": published}


def test_engine_a_schedule_of_a_thousand_periods_is_kept_whole() -> None:
    """SCA-36: every period is answered, none is cut off."""
    profiles = engine(1, max_periods=1_000)
    steps = [{"startPeriod": n, "limit": n % 7 + n % 2 / 10} for n in range(1_000)]
    install(profiles, 1, profile(1, schedule_chargingSchedulePeriod=steps))
    assert periods(profiles, 1, 2_000) == [[n, n % 7 + n % 2 / 10, 3] for n in range(1_000)]


def test_engine_changes_are_told_once_and_not_more_than_asked_for() -> None:
    """CORE-SC-45: nobody at first, then whoever has a new schedule, in portions, then nobody."""
    profiles = engine(3)
    assert profiles.changes(NOW_S, 60, "A", 3) == []
    install(profiles, 0, profile(2, limit=31))
    first = profiles.changes(NOW_S, 60, "A", 3)
    second = profiles.changes(NOW_S, 60, "A", 3)
    assert (len(first), len(second)) == (3, 1)
    assert sorted(connector_id for connector_id, _ in first + second) == [0, 1, 2, 3]
    install(profiles, 2, profile(1, limit=6))
    told = dict(profiles.changes(NOW_S + 5, 60, "A", 9))
    assert sorted(told) == [0, 2]
    assert json.loads(told[2])["startSchedule"] == "2024-01-01T00:00:05Z"
    assert json.loads(told[0])["chargingSchedulePeriod"][0]["limit"] == 68
    assert profiles.changes(NOW_S + 5, 60, "A", 9) == []
    assert profiles.changes(NOW_S + 5_000, 60, "A", 9) == []


def test_engine_a_boundary_is_told_when_it_comes_into_the_window_not_when_it_passes() -> None:
    """CORE-SC-45: who was told of it needs no second message."""
    profiles = engine(1)
    profiles.forget_changes()
    assert profiles.changes(NOW_S, 60, "A", 9) == []
    late = profile(1, MAX, 6, schedule_startSchedule="2024-01-01T00:01:40Z")
    install(profiles, 0, late)
    heard = [now_s for now_s in range(NOW_S, NOW_S + 300) if profiles.changes(now_s, 60, "A", 9)]
    assert heard == [NOW_S + 41]


def test_engine_what_was_said_is_forgotten_on_demand() -> None:
    """CORE-SC-45: the next call says nothing and is what later ones are compared with."""
    profiles = engine(1)
    assert profiles.changes(NOW_S, 60, "A", 9) == []
    install(profiles, 1, profile(1, limit=6))
    profiles.forget_changes()
    assert profiles.changes(NOW_S, 60, "A", 9) == []
    profiles.clear()
    assert sorted(dict(profiles.changes(NOW_S, 60, "A", 9))) == [0, 1]


def test_engine_installed_lists_every_member_by_id() -> None:
    """CORE-SC-13: as the method schedule.profiles shows them, all or those of one connector."""
    profiles = engine()
    install(profiles, 2, profile(9, stackLevel=3), NOW_S + 1)
    install(profiles, 1, full(-4, 1))
    rows = json.loads(profiles.installed())
    assert [row["charging_profile_id"] for row in rows] == [-4, 9]
    assert rows[1] == {
        "connector_id": 2,
        "accepted_at": "2024-01-01T00:00:01Z",
        "charging_profile_id": 9,
        "stack_level": 3,
        "purpose": DEFAULT,
        "kind": "Relative",
        "charging_schedule": {
            "charging_rate_unit": "A",
            "charging_schedule_period": [{"start_period": 0, "limit": 10}],
        },
    }
    assert rows[0]["recurrency_kind"] == "Weekly"
    assert (rows[0]["valid_from"], rows[0]["valid_to"]) == ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
    assert rows[0]["charging_schedule"] == {
        "duration": 3600,
        "start_schedule": "2023-12-31T23:59:59Z",
        "charging_rate_unit": "W",
        "min_charging_rate": 8.1,
        "charging_schedule_period": [
            {"start_period": 0, "limit": 0},
            {"start_period": 60, "limit": 11_040.5, "number_phases": 2},
        ],
    }
    assert json.loads(profiles.installed(2)) == rows[1:]
    assert json.loads(profiles.installed(0)) == []


def test_transaction_that_began_at_another_time_moves_its_relative_profiles() -> None:
    """SCA-07, D10: the time became known while it ran."""
    station = engine()
    station.transaction_started(1, NOW_S, 5)
    charging = profile(1, "TxProfile", chargingProfileKind="Relative")
    charging["chargingSchedule"] = {
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}, {"startPeriod": 600, "limit": 10.0}],
    }
    install(station, 1, charging)
    before = station.composite(1, NOW_S + 60, 60, "A")
    station.transaction_moved(1, NOW_S + 3_600)
    assert station.composite(1, NOW_S + 3_660, 60, "A") == before
    assert station.composite(1, NOW_S + 4_260, 60, "A") != before
    with pytest.raises(ValueError, match="one with a transaction"):
        station.transaction_moved(2, NOW_S)
