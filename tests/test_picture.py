"""What a picture shows: where a profile's periods lie, which stretch it decides, how connectors are grouped."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from ocpphub import picture
from ocpphub._native import Profiles
from ocpphub.picture import Step, Steps, Window
from tests.schedule_answers import (
    HOUR,
    START,
    START_S,
    allocation,
    allotted,
    answer,
    clock,
    profile,
    schedule,
    source,
    stretch,
)

WINDOW = Window(START_S, START_S + 4 * HOUR, "A")
DAY_S = 86_400


def shown(steps: Steps) -> list[tuple[int, int, float]]:
    """Steps with seconds counted from the window's start."""
    return [(step.start - START_S, step.end - START_S, step.limit) for step in steps]


def lie(installed: dict[str, Any], anchor_s: int = START_S, window: Window = WINDOW) -> list[tuple[int, int, float]]:
    return shown(picture.profile_steps(installed, window, anchor_s))


def test_picture_profile_without_duration_holds_its_last_period_to_the_end() -> None:
    """SCA-13: an Absolute schedule without duration goes on."""
    assert lie(profile(1, (0, 8.0), (HOUR, 9.0))) == [(0, HOUR, 8.0), (HOUR, 4 * HOUR, 9.0)]


def test_picture_profile_with_duration_ends_and_what_lies_beyond_is_not_shown() -> None:
    """CORE-SC-19: duration 100, periods at 0, 50 and 120: the third is never executed."""
    assert lie(profile(1, (0, 8.0), (50, 9.0), (120, 10.0), duration=100)) == [(0, 50, 8.0), (50, 100, 9.0)]


def test_picture_daily_profile_that_began_yesterday_reaches_into_today() -> None:
    """CORE-SC-26, CORE-SC-20: 24 h after 24 h from its own second zero; nothing beyond the day."""
    installed = profile(
        1, (0, 6.0), (DAY_S - HOUR, 7.0), (DAY_S + 5, 99.0),
        start_schedule=clock(2 * HOUR - DAY_S), kind="Recurring", recurrency_kind="Daily",
    )  # fmt: skip
    assert lie(installed) == [(0, HOUR, 6.0), (HOUR, 2 * HOUR, 7.0), (2 * HOUR, 4 * HOUR, 6.0)]


def test_picture_weekly_profile_is_not_shown_daily() -> None:
    """CORE-SC-26: once in seven days."""
    week = Window(START_S, START_S + 9 * DAY_S, "A")
    installed = profile(1, kind="Recurring", recurrency_kind="Weekly", duration=HOUR)
    assert lie(installed, window=week) == [(0, HOUR, 16.0), (7 * DAY_S, 7 * DAY_S + HOUR, 16.0)]


def test_picture_recurring_profile_has_no_period_before_its_first_start() -> None:
    """SCA-09: it does not wrap backwards."""
    installed = profile(1, start_schedule=clock(HOUR), kind="Recurring", recurrency_kind="Daily", duration=60)
    assert lie(installed) == [(HOUR, HOUR + 60, 16.0)]


def test_picture_profile_is_shown_while_it_is_valid_only() -> None:
    """SCA-06, CORE-SC-24: from validFrom until before validTo, floored to seconds."""
    valid = {"valid_from": clock(60).replace("Z", ".900Z"), "valid_to": clock(120)}
    assert lie(profile(1, **valid)) == [(60, 120, 16.0)]


@pytest.mark.parametrize("kind", ["Relative", "Absolute"])
def test_picture_profile_without_second_zero_counts_from_the_transaction(kind: str) -> None:
    """SCA-11, SCA-07, SCA-12: Relative, or Absolute without startSchedule."""
    start = clock(HOUR) if kind == "Relative" else None
    installed = profile(1, (0, 8.0), (HOUR, 9.0), kind=kind, start_schedule=start)
    assert lie(installed, START_S - 600) == [(0, HOUR - 600, 8.0), (HOUR - 600, 4 * HOUR, 9.0)]


def test_picture_maximum_without_start_counts_from_validity_else_acceptance() -> None:
    """SCA-07: a ChargePointMaxProfile has a second zero of its own."""
    members: dict[str, Any] = {"purpose": "ChargePointMaxProfile", "start_schedule": None, "accepted_at": clock(-60)}
    assert lie(profile(1, (0, 8.0), (120, 9.0), **members))[0] == (0, 60, 8.0)
    members["valid_from"] = clock(-30)
    assert lie(profile(1, (0, 8.0), (120, 9.0), **members))[0] == (0, 90, 8.0)


def test_picture_reads_every_year_that_a_profile_may_name() -> None:
    """SCA-06: years 0 to 9999; year 0 is a leap year that datetime does not know."""
    assert picture.seconds("1970-01-01T01:00:00.999+01:00") == 0
    assert picture.seconds("0000-12-31T00:00:00Z") + DAY_S == picture.seconds("0001-01-01T00:00:00Z")
    assert picture.seconds("0000-02-29T00:00:00Z") + DAY_S == picture.seconds("0000-03-01T00:00:00Z")
    assert picture.seconds("9999-12-31T23:59:59.999999Z") == 253_402_300_799


def test_picture_of_a_connector_has_a_band_for_each_source_in_order_of_precedence() -> None:
    """CORE-SC-08, CORE-SC-02: defaults by level, own and general ones of one level together; units never mixed."""
    profiles = [
        profile(1, stack_level=2),
        profile(2, stack_level=3, connector_id=1),
        profile(3, stack_level=3),
        profile(4, stack_level=3, charging_rate_unit="W"),
        profile(5, purpose="TxProfile", connector_id=1, stack_level=7),
        profile(6, purpose="TxProfile", connector_id=1, stack_level=8),
        profile(7, purpose="ChargePointMaxProfile"),
    ]
    got = picture.connector_picture("T", answer(1, (0, 16.0)), [], profiles, None)
    assert [(band.name, band.unit, [line.name for line in band.lines]) for band in got.bands] == [
        ("ChargePointMaxProfile", "A", ["7 (level 0)"]),
        ("TxProfile", "A", ["5 (level 7)", "6 (level 8)"]),
        ("TxDefaultProfile, level 3", "A", ["2 (connector 1)", "3 (connector 0)"]),
        ("TxDefaultProfile, level 3", "W", ["4 (connector 0)"]),
        ("TxDefaultProfile, level 2", "A", ["1 (connector 0)"]),
    ]


def test_picture_of_a_connector_marks_who_decides_each_stretch() -> None:
    """CORE-SC-42: profiles in their own band, configured limits in the last one; neighbours of one name are one."""
    day = profile(1, (0, 16.0), (HOUR, 8.0), duration=2 * HOUR)
    rows = [
        stretch(0, HOUR, 16.0, source(day)),
        stretch(HOUR, 2 * HOUR, 8.0, source(day)),
        stretch(2 * HOUR, 4 * HOUR, 32.0, {"kind": "hardware"}),
    ]
    periods = ((0, 16.0), (HOUR, 8.0), (2 * HOUR, 32.0))
    got = picture.connector_picture("T", answer(1, *periods), rows, [day], None)
    assert shown(got.composite) == [(0, HOUR, 16.0), (HOUR, 2 * HOUR, 8.0), (2 * HOUR, 4 * HOUR, 32.0)]
    assert [(item.kind, item.name, len(item.steps)) for item in got.winners] == [
        ("TxDefaultProfile", "TxDefault 1", 2),
        ("configured", "hardware", 1),
    ]
    defaults, configured = got.bands
    assert shown(defaults.lines[0].won) == [(0, HOUR, 16.0), (HOUR, 2 * HOUR, 8.0)]
    assert (configured.kind, shown(configured.lines[0].won)) == ("configured", [(2 * HOUR, 4 * HOUR, 32.0)])


def test_picture_of_a_profile_in_another_unit_keeps_its_own_numbers() -> None:
    """SCA-18: the hub converts; the picture shows 3680 W where the composite says 16 A."""
    watts = profile(1, (0, 3680.0), charging_rate_unit="W")
    got = picture.connector_picture("T", answer(1, (0, 16.0)), [stretch(0, HOUR, 16.0, source(watts))], [watts], None)
    assert shown(got.bands[0].lines[0].won) == [(0, HOUR, 3680.0)]


def hub(rows: list[dict[str, Any]], profiles: list[dict[str, Any]], **schedules: Any) -> picture.HubPicture:
    known = {int(name.removeprefix("c")): value for name, value in schedules.items()}
    return picture.hub_picture("T", answer(0, (0, 40.0)), rows, profiles, known or {1: schedule((0, 40.0))})


def test_picture_of_a_hub_shows_the_bound_where_it_decides_and_the_maximum_elsewhere() -> None:
    """SCA-19: the station's limit where it decides; else the leading ChargePointMaxProfile, the higher level first."""
    low = profile(1, (0, 90.0), purpose="ChargePointMaxProfile")
    high = profile(2, (0, 80.0), purpose="ChargePointMaxProfile", stack_level=1, duration=2 * HOUR)
    rows = [
        stretch(0, HOUR, 40.0, {"kind": "connectors"}),
        stretch(HOUR, HOUR + 60, 40.0, {"kind": "station"}),
        stretch(HOUR + 60, 4 * HOUR, 40.0, source(profile(9))),
    ]
    got = hub(rows, [high, low])
    expected = [(0, HOUR, 80.0), (HOUR, HOUR + 60, 40.0), (HOUR + 60, 2 * HOUR, 80.0), (2 * HOUR, 4 * HOUR, 90.0)]
    assert shown(got.bound) == expected


def test_picture_of_a_hub_leaves_a_bound_in_another_unit_out_where_it_does_not_decide() -> None:
    """SCA-21: what it is in the other unit only the hub knows."""
    watts = profile(1, (0, 11_040.0), purpose="ChargePointMaxProfile", charging_rate_unit="W")
    assert shown(hub([stretch(0, 60, 16.0, source(watts))], [watts]).bound) == [(0, 60, 16.0)]


def test_picture_of_a_hub_shows_connectors_with_one_schedule_as_one_layer() -> None:
    """CORE-SC-39: the sum, largest layer first, in exact tenths."""
    alike = schedule((0, 0.1), (HOUR, 0.2))
    got = hub([], [], c1=alike, c2=alike, c3=alike, c5=alike, c4=schedule((0, 32.0)))
    assert [layer.name for layer in got.layers] == ["connector 4", "connectors 1-3,5 (4 alike)"]
    assert shown(got.layers[1].steps) == [(0, HOUR, 0.4), (HOUR, 4 * HOUR, 0.8)]


def test_picture_of_a_hub_sums_the_smallest_when_there_are_many() -> None:
    """CORE-SC-39: nothing is lost: the layers add up to all connectors."""
    schedules = {f"c{number}": schedule((0, float(number))) for number in range(1, 41)}
    layers = hub([], [], **schedules).layers
    assert len(layers) == picture.MAX_LAYERS + 1
    assert layers[0].name == "connector 40"
    assert layers[-1].name == "28 others, summed"
    assert sum(layer.steps[0].limit for layer in layers) == sum(range(1, 41))


def test_picture_of_a_hub_sums_no_single_connector() -> None:
    """CORE-SC-39: a layer of one other is that connector."""
    schedules = {f"c{number}": schedule((0, float(number))) for number in range(1, picture.MAX_LAYERS + 2)}
    assert [layer.name for layer in hub([], [], **schedules).layers][-1] == "connector 1"


def test_picture_sum_of_lines_with_other_edges_is_exact() -> None:
    """SCA-22: tenths are added as integers; equal neighbours are one step."""
    first = [Step(0, 10, 0.1), Step(10, 20, 0.2)]
    second = [Step(0, 5, 0.2), Step(5, 20, 0.2)]
    assert picture.added([(first, 1), (second, 3)]) == [Step(0, 10, 0.7), Step(10, 20, 0.8)]


# Against the engine: the picture may not say of any instant what schedule.explain denies


def drawn_from(random: Random, number: int) -> dict[str, Any]:
    """A ChargingProfile as a CSMS sends it, in A, with edges inside a window of four hours."""
    kind = random.choice(["Absolute", "Recurring", "Relative"])
    member: dict[str, Any] = {"chargingProfileKind": kind}
    if kind == "Recurring":
        member["recurrencyKind"] = random.choice(["Daily", "Weekly"])
    chosen: dict[str, Any] = {"chargingRateUnit": "A"}
    if kind == "Recurring" or random.random() < 0.5:
        chosen["startSchedule"] = clock(random.randrange(-20, 12) * HOUR // 4)
    if random.random() < 0.5:
        chosen["duration"] = random.randrange(1, 12) * HOUR // 4
    for name, edges in (("validFrom", (-8, 8)), ("validTo", (4, 20))):
        if random.random() < 0.3:
            member[name] = clock(random.randrange(*edges) * HOUR // 4)
    starts = [0, *sorted(random.sample(range(600, 90_000, 300), random.randrange(4)))]
    chosen["chargingSchedulePeriod"] = [
        {"startPeriod": start, "limit": random.randrange(60, 320) / 10} for start in starts
    ]
    purpose = random.choice(["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"])
    named = {"chargingProfileId": number, "chargingProfilePurpose": purpose, "stackLevel": random.randrange(3)}
    return {**named, **member, "chargingSchedule": chosen}


@pytest.mark.parametrize("seed", [*range(40), 358, 477, 1454, 1541])
def test_picture_has_a_period_where_the_engine_has_one_and_its_limit_where_it_decides(seed: int) -> None:
    """CORE-SC-08, SCA-01: winners and those who lost to another limit have a line, gaps and the expired have none."""
    random = Random(seed)  # noqa: S311
    limits = {"max_stack_level": 10, "max_periods": 100, "max_installed": 20}
    engine = Profiles([(230_000, 3, 32_000, None, None)], (230_000, None, None), units="AW", **limits)
    began_s = START_S - random.randrange(7200) if seed % 2 else None
    if began_s is not None:
        engine.transaction_started(1, began_s)
    for number in range(1, 13):
        sent = drawn_from(random, number)
        connector_id = 0 if sent["chargingProfilePurpose"] == "ChargePointMaxProfile" else random.randrange(2)
        engine.install(connector_id, json.dumps(sent).encode(), START_S - 60)
    rows = json.loads(engine.explain(1, START_S, 4 * HOUR, "A"))
    chosen = json.loads(engine.composite(1, START_S, 4 * HOUR, "A"))
    profiles = json.loads(engine.installed())
    whole = {"connector_id": 1, "schedule_start": START, "schedule": chosen}
    shown_picture = picture.connector_picture("T", whole, rows, profiles, began_s)
    lines = {line.key: line for band in shown_picture.bands for line in band.lines}
    assert rows
    for row in rows:
        part = Step(picture.seconds(row["start"]), picture.seconds(row["end"]), row["limit"])
        assert {step.limit for step in picture.cut(shown_picture.composite, part)} == {row["limit"]}
        if row["winner"]["kind"] == "profile":
            won = list(picture.cut(lines[str(row["winner"]["charging_profile_id"])].won, part))
            assert {step.limit for step in won} == {row["limit"]}
            assert sum(step.end - step.start for step in won) == part.end - part.start
        for loser in (item for item in row["losers"] if item["source"]["kind"] == "profile"):
            line = lines[str(loser["source"]["charging_profile_id"])]
            covered = sum(step.end - step.start for step in picture.cut(line.steps, part))
            if loser["why"] in ("gap", "not_valid_yet", "expired"):
                assert covered == 0
            elif loser["why"] != "hidden_by_own_default":
                assert covered == part.end - part.start


@pytest.mark.parametrize(
    ("now_s", "seen"),
    [(START_S - 1, False), (START_S, True), (START_S + 4 * HOUR - 1, True), (START_S + 4 * HOUR, False)],
)
def test_picture_marks_now_where_the_window_holds_it(now_s: int, seen: bool) -> None:
    """decisions.md 5: permit and claim are those of now, and of no other time."""
    marks = picture.connector_marks(allotted(6.0, 10.0), WINDOW, now_s)
    wanted = [("permit", "permit now: 6.0 A", now_s, 6.0), ("claim", "claim now: 10.0 A", now_s, 10.0)]
    assert marks == (wanted if seen else [])
    assert bool(picture.hub_marks(allocation(allotted()), WINDOW, now_s)) is seen


def test_picture_marks_in_watts_show_no_claim_in_amperes() -> None:
    """docs/design/0008 item 3: without the voltage nothing can be converted; the hub's own limit in W has a sum."""
    watts = Window(START_S, START_S + HOUR, "W")
    assert [mark.name for mark in picture.connector_marks(allotted(10.0, 10.0), watts, START_S)] == [
        "permit now: 6900.0 W"
    ]
    shared = allocation(allotted(10.0), allotted(6.0), limit_w=9_000.0, claimed_w=15_180.0)
    assert [mark.name for mark in picture.hub_marks(shared, watts, START_S)] == [
        "all permits now: 11040.0 W",
        "claims now: 15180.0 W",
    ]


def test_picture_marks_of_a_hub_whose_claims_are_hidden_are_the_permits() -> None:
    """rpc.md Access: who may not see all connectors learns nothing of what they draw together."""
    hidden = allocation(allotted(6.1), allotted(6.2), limit_a=None, claimed_a=None)
    assert [mark.name for mark in picture.hub_marks(hidden, WINDOW, START_S)] == ["all permits now: 12.3 A"]
