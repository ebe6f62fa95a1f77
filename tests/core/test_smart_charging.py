"""Charging profiles over OCPP: answers in the order of 15.3, rows, restarts, purges, transactions, local readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from ocpphub.core.charging_schedules import second_text
from ocpphub.core.effects import Discard, Effect, Publish, Send, Store
from ocpphub.core.key_table import FEATURE_PROFILES
from ocpphub.core.smart_charging import PURGE_CHECK_S, TABLE
from ocpphub.errors import LocalError
from tests.builders import (
    SMART_CHARGING_OFF,
    Csms,
    World,
    assert_nothing_sent,
    assert_refuses,
    charging_profile,
    electrical,
    hub,
    periods,
    settings,
)

SMART_CHARGING = ("SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule")
MAX = "ChargePointMaxProfile"
TX = "TxProfile"


def booted(connectors: int = 3, /, **configuration: str) -> World:
    point = settings(connectors=connectors, configuration=configuration)
    return World(point, hub=hub(publish_interval_s=0.0)).boot().advance(10).forget()


def rows(world: World) -> set[str]:
    """The ids of the stored profiles."""
    return {key for table, key in world.rows if table == TABLE}


def composite(world: World, connector_id: int = 1, duration_s: int = 600, unit: str | None = None) -> list[Any]:
    """Pairs of startPeriod and limit, as GetCompositeSchedule answers them."""
    payload: dict[str, Any] = {"connectorId": connector_id, "duration": duration_s}
    answer = world.ask("GetCompositeSchedule", payload | ({"chargingRateUnit": unit} if unit else {}))
    assert answer["status"] == "Accepted"
    return [(row["startPeriod"], row["limit"]) for row in answer["chargingSchedule"]["chargingSchedulePeriod"]]


def steps(world: World) -> list[Effect]:
    """What the driver would carry out, publications aside."""
    return [effect for effect in world.effects if not isinstance(effect, Publish)]


def read(parts: Any) -> Any:
    return orjson.loads(b"".join(parts))


# SetChargingProfile


def test_profile_is_stored_before_it_is_accepted() -> None:
    """CORE-SC-16, CORE-SC-05, D6: errata 3.37, output commit."""
    world = booted()
    assert world.install(0, 7) == "Accepted"
    store, send = steps(world)
    assert isinstance(store, Store)
    assert (store.table, store.key) == (TABLE, "7")
    assert orjson.loads(store.value)
    assert isinstance(send, Send)
    assert composite(world) == [(0, 16.0)]


@pytest.mark.parametrize(("replaced", "discarded"), [((5, 1), ["5"]), ((7, 2), []), ((5, 2), [])])
def test_profile_that_replaces_discards_the_rows_of_others(replaced: tuple[int, int], discarded: list[str]) -> None:
    """CORE-SC-09, SCA-05, CORE-SC-30: the same purpose, level and connector, or the same id, in one commit."""
    world = booted()
    profile_id, connector_id = replaced
    world.install(connector_id, profile_id)
    world.forget()
    assert world.install(1, 7) == "Accepted"
    assert [effect.key for effect in world.effects if isinstance(effect, Discard)] == discarded
    assert isinstance(steps(world)[-1], Send)
    assert rows(world) == {"7"} | ({str(profile_id)} - set(discarded))


@pytest.mark.parametrize("connector_id", [4, 2**31 - 1, -1])
def test_profile_for_an_unknown_connector_is_a_property_violation(connector_id: int) -> None:
    """CORE-SC-31, SCA-25: before anything in the profile is looked at (15.3 row 3 before 4)."""
    world = booted()
    profile = charging_profile(stackLevel=99)
    world.receive([2, "a", "SetChargingProfile", {"connectorId": connector_id, "csChargingProfiles": profile}])
    assert_refuses(world, "PropertyConstraintViolation", "a")
    assert rows(world) == set()


@pytest.mark.parametrize("payload", [{"connectorId": 1}, {"connectorId": 99, "csChargingProfiles": {}}, {}])
@pytest.mark.parametrize("action", SMART_CHARGING)
def test_action_of_a_hub_without_smart_charging_is_not_supported(action: str, payload: dict[str, Any]) -> None:
    """CORE-SC-32, SCA-40, CORE-GEN-01: whatever its payload (15.3 row 2)."""
    world = booted(**SMART_CHARGING_OFF)
    world.receive([2, "a", action, payload])
    assert_refuses(world, "NotSupported", "a")


@pytest.mark.parametrize(
    ("pointer", "changes"),
    [("PropertyConstraintViolation", {"chargingProfileKind": "Foo"}),
     ("OccurenceConstraintViolation", {"chargingSchedulePeriod": []}),
     ("TypeConstraintViolation", {"stackLevel": "high"})],
)  # fmt: skip
def test_profile_of_a_wrong_shape_is_an_error_of_the_frame(pointer: str, changes: dict[str, Any]) -> None:
    """CORE-SC-33: 15.3 row 1."""
    world = booted()
    profile = charging_profile(**changes)
    world.receive([2, "a", "SetChargingProfile", {"connectorId": 99, "csChargingProfiles": profile}])
    assert_refuses(world, pointer, "a")


REFUSED: list[tuple[int, str, dict[str, Any]]] = [
    (1, "TxDefaultProfile", {"stackLevel": 11}),
    (1, "TxDefaultProfile", {"chargingSchedulePeriod": periods(*((at, 6) for at in range(101)))}),
    (1, "TxDefaultProfile", {"chargingSchedulePeriod": periods((1, 6))}),
    (1, "TxDefaultProfile", {"chargingSchedulePeriod": periods((0, 6), (9, 7), (9, 8))}),
    (1, "TxDefaultProfile", {"duration": 0}),
    (1, "TxDefaultProfile", {"validTo": "2020-01-01T00:00:00Z"}),
    (1, "TxDefaultProfile", {"validFrom": "2030-01-01T00:00:00Z", "validTo": "2029-01-01T00:00:00Z"}),
    (1, "TxDefaultProfile", {"chargingProfileKind": "Recurring"}),
    (1, MAX, {}),
    (0, MAX, {"chargingProfileKind": "Relative"}),
    (0, TX, {}),
    (1, TX, {}),
]


@pytest.mark.parametrize(("connector_id", "purpose", "changes"), REFUSED)
def test_profile_that_breaks_a_rule_is_rejected_without_a_trace(
    connector_id: int, purpose: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """CORE-SC-01, CORE-SC-04, CORE-SC-22, SCA-08, SCA-12, SCA-26, SCA-29, SCA-41, SCA-42: 15.3 rows 4 to 6."""
    world = booted()
    world.install(1, 3)
    world.advance(10).forget()
    caplog.set_level("INFO", "ocpphub.core")
    assert world.install(connector_id, 3, purpose, **changes) == "Rejected"
    assert [type(effect) for effect in steps(world)] == [Send]
    assert "rejected: " in caplog.text
    assert composite(world) == [(0, 16.0)]
    world.advance(10)
    assert world.published("charging_schedules") == []


def test_profile_in_a_unit_that_is_not_allowed_is_rejected() -> None:
    """CORE-SC-34: errata 3.86."""
    world = booted(ChargingScheduleAllowedChargingRateUnit="Power")
    assert world.install(1) == "Rejected"
    assert world.install(1, chargingRateUnit="W") == "Accepted"


def test_profile_beyond_the_number_that_may_be_installed_is_rejected_unless_it_replaces() -> None:
    """SCA-28: counted after replacement (15.3 row 7)."""
    world = booted(MaxChargingProfilesInstalled="2")
    assert [world.install(1, 1), world.install(2, 2), world.install(3, 3)] == ["Accepted", "Accepted", "Rejected"]
    assert world.install(3, 2) == "Accepted"
    assert rows(world) == {"1", "2"}


@pytest.mark.parametrize("name", ["ChargeProfileMaxStackLevel", "ChargingScheduleMaxPeriods"])
def test_profile_is_judged_by_the_keys_of_the_file(name: str) -> None:
    """CORE-SC-13, SCA-29: the highest level, the number of periods."""
    world = booted(**{name: "2"})
    limits = periods((0, 6), (1, 7), (2, 8))
    assert world.install(1, 1, stackLevel=2, chargingSchedulePeriod=limits[:2]) == "Accepted"
    assert world.install(1, 1, stackLevel=3, chargingSchedulePeriod=limits) == "Rejected"


def test_profile_with_odd_but_legal_text_is_taken_as_the_frame_has_it() -> None:
    """CORE-SC-29, CORE-SC-25, D-07: integers with a fraction of zero, null members, unknown members, any order."""
    world = booted()
    world.receive(
        '[2,"a","SetChargingProfile",{"csChargingProfiles":{"chargingSchedule":{"chargingSchedulePeriod":'
        '[{"limit":8.10,"startPeriod":0.0,"numberPhases":null}],"chargingRateUnit":"A","x":[1]},"validTo":null,'
        '"chargingProfileKind":"Relative","recurrencyKind":"Daily","chargingProfilePurpose":"TxDefaultProfile",'
        '"stackLevel":1e0,"chargingProfileId":-5},"connectorId":1}]'
    )
    assert world.answers == [[3, "a", {"status": "Accepted"}]]
    assert rows(world) == {"-5"}
    assert composite(world) == [(0, 8.1)]


# ClearChargingProfile


CLEARED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"1", "2", "3", "4"}),
    ({"id": 2}, {"2"}),
    ({"id": 2, "connectorId": 99, "stackLevel": 7}, {"2"}),
    ({"connectorId": 0}, {"1", "4"}),
    ({"connectorId": 1}, {"2", "3"}),
    ({"stackLevel": 1}, {"3"}),
    ({"chargingProfilePurpose": MAX}, {"4"}),
    ({"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 0}, {"1", "2"}),
    ({"connectorId": 1, "stackLevel": 1, "chargingProfilePurpose": "TxDefaultProfile"}, {"3"}),
    ({"id": 9}, set()),
    ({"connectorId": 2}, set()),
    ({"connectorId": 4}, set()),
    ({"connectorId": 0, "stackLevel": 1}, set()),
    ({"chargingProfilePurpose": TX}, set()),
]


@pytest.mark.parametrize(("request_", "gone"), CLEARED)
def test_profiles_that_match_all_that_is_named_are_cleared(request_: dict[str, Any], gone: set[str]) -> None:
    """CORE-SC-35, CORE-SC-36, CORE-SC-37, SCA-25, SCA-27: a second time nothing is left."""
    world = booted()
    world.install(0, 1)
    world.install(1, 2)
    world.install(1, 3, stackLevel=1)
    world.install(0, 4, MAX)
    world.advance(10).forget()
    answer = world.ask("ClearChargingProfile", request_)
    assert answer == {"status": "Accepted" if gone else "Unknown"}
    assert {effect.key for effect in world.effects if isinstance(effect, Discard)} == gone
    assert isinstance(steps(world)[-1], Send)
    assert rows(world) == {"1", "2", "3", "4"} - gone
    assert world.ask("ClearChargingProfile", request_) == {"status": "Unknown"}
    world.advance(10)
    assert len(world.published("charging_schedules")) == (1 if gone else 0)


def test_own_profile_that_is_cleared_uncovers_the_general_one() -> None:
    """SCA-03, CORE-SC-03: both are kept, each by its connector."""
    world = booted()
    world.install(0, 1)
    world.install(1, 2, chargingSchedulePeriod=periods((0, 6)))
    assert (composite(world, 1), composite(world, 2)) == ([(0, 6.0)], [(0, 16.0)])
    world.ask("ClearChargingProfile", {"id": 2})
    assert composite(world, 1) == [(0, 16.0)]


# GetCompositeSchedule


def test_composite_begins_now_and_has_no_start_of_its_own() -> None:
    """CORE-SC-38, CORE-SC-41, SCA-34: whole seconds of the CSMS's time."""
    world = World(csms=Csms(offset_ms=3_600_700)).boot()
    answer = world.ask("GetCompositeSchedule", {"connectorId": 1, "duration": 60})
    assert answer == {
        "status": "Accepted",
        "connectorId": 1,
        "scheduleStart": "2027-01-15T09:16:40Z",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "duration": 60,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0, "numberPhases": 3}],
        },
    }


@pytest.mark.parametrize(
    ("allowed", "unit", "answered"),
    [("Current,Power", None, "A"), ("Power,Current", None, "W"), ("Power", None, "W"), ("Power", "W", "W"),
     ("Current,Power", "W", "W"), ("Power", "A", None), ("Current", "W", None)],
)  # fmt: skip
def test_composite_is_in_the_wanted_unit_if_it_is_allowed(allowed: str, unit: str | None, answered: str | None) -> None:
    """SCA-23, SCA-24: absent is the first allowed one; one that is not allowed is Rejected."""
    world = booted(ChargingScheduleAllowedChargingRateUnit=allowed)
    payload = {"connectorId": 1, "duration": 60} | ({"chargingRateUnit": unit} if unit else {})
    answer = world.ask("GetCompositeSchedule", payload)
    assert answer["status"] == ("Accepted" if answered else "Rejected")
    assert answer.get("chargingSchedule", {}).get("chargingRateUnit") == answered


@pytest.mark.parametrize(("connector_id", "duration_s"), [(4, 60), (-1, 60), (1, 0), (1, -5)])
def test_composite_that_cannot_be_given_is_rejected(connector_id: int, duration_s: int) -> None:
    """CORE-SC-40, SCA-25, SCA-35."""
    payload = {"connectorId": connector_id, "duration": duration_s}
    assert booted().ask("GetCompositeSchedule", payload) == {"status": "Rejected"}


def test_composite_of_a_unit_that_does_not_exist_is_an_error_of_the_frame() -> None:
    """SCA-24, CORE-SC-33: errata 3.24."""
    world = booted()
    world.receive([2, "a", "GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "kW"}])
    assert_refuses(world, "PropertyConstraintViolation", "a")


@pytest.mark.parametrize(("configured", "duration_s"), [(None, 604_800), ("3600", 3600), ("31536000", 31_536_000)])
def test_composite_longer_than_the_maximum_is_cut_and_says_so(configured: str | None, duration_s: int) -> None:
    """SCA-35: the maximum is a key that the CSMS can read."""
    world = booted(**({"MaxCompositeScheduleDuration": configured} if configured else {}))
    (row,) = world.ask("GetConfiguration", {"key": ["maxcompositescheduleduration"]})["configurationKey"]
    assert row == {"key": "MaxCompositeScheduleDuration", "readonly": True, "value": str(duration_s)}
    answer = world.ask("GetCompositeSchedule", {"connectorId": 1, "duration": 2**31 - 1})
    assert answer["chargingSchedule"]["duration"] == duration_s


def test_composite_of_zero_is_the_bounded_sum() -> None:
    """CORE-SC-39, CORE-SC-12, CORE-SC-42: 15.5 without a transaction."""
    point = settings(connectors=2, electrical=electrical())
    world = World(point).boot()
    world.install(0, 1, MAX, chargingSchedulePeriod=periods((0, 40)))
    world.install(0, 2)
    one_phase = [{"startPeriod": 0, "limit": 3680.0, "numberPhases": 1}]
    world.install(2, 3, chargingRateUnit="W", chargingSchedulePeriod=one_phase)
    assert (composite(world, 0), composite(world, 1), composite(world, 2)) == ([(0, 32.0)], [(0, 16.0)], [(0, 16.0)])


def big(**configuration: str) -> World:
    """Connectors with a day profile on every second one, and other limits meanwhile."""
    world = booted(10_000, **configuration)
    limits = periods(*((hour * 3600, 6 + hour % 3) for hour in range(24)))
    for connector_id in range(1, 11):
        world.install(connector_id, connector_id, startSchedule="2027-01-01T00:00:00Z", chargingSchedulePeriod=limits,
                      chargingProfileKind="Recurring", recurrencyKind="Daily")  # fmt: skip
    return world.advance(10).forget()


def test_composite_of_a_long_window_is_answered_over_turns_of_the_loop() -> None:
    """SCA-36, SCA-35: the same schedule as if it were computed at once, and nothing waits for it but later CALLs."""
    world = big()
    expected = read(world.core.schedules.get(0, 2 * 86_400, None, None, world.now))["schedule"]
    world.receive([2, "long", "GetCompositeSchedule", {"connectorId": 0, "duration": 2 * 86_400}])
    world.receive([2, "behind", "GetCompositeSchedule", {"connectorId": 1, "duration": 60}])
    assert world.answers == []
    turns = 0
    while not world.answers:
        turns += 1
        world.core.handle_timer(world.now)
        world.settle()
    assert [answer[1] for answer in world.answers] == ["long", "behind"]
    assert world.answers[0][2]["chargingSchedule"] == expected
    assert len(expected["chargingSchedulePeriod"]) > 40
    assert 30 < turns < 60


def test_composite_whose_link_is_lost_meanwhile_is_answered_to_nobody() -> None:
    """J-278: and the next link begins afresh, also with the same id."""
    world = big()
    ask = [2, "a", "GetCompositeSchedule", {"connectorId": 0, "duration": 604_800}]
    world.receive(ask)
    world.disconnect().forget().connect().advance(60)
    assert [answer for answer in world.answers if answer[1] == "a"] == []
    world.receive(ask).advance(0)
    assert [answer[2]["status"] for answer in world.answers] == ["Accepted"]


def test_composite_whose_link_is_lost_is_not_computed_any_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """T08: work for nobody."""
    world = big()
    slices: list[bytes] = []

    def endless(*arguments: Any) -> Any:
        while True:
            slices.append(b"")
            yield b""

    monkeypatch.setattr("ocpphub.core.smart_charging.composite", endless)
    world.receive([2, "a", "GetCompositeSchedule", {"connectorId": 0, "duration": 604_800}])
    world.core.handle_timer(world.now)
    world.settle().disconnect().advance(10)
    assert len(slices) == 2


def test_composite_of_profiles_that_change_meanwhile_is_one_state_of_them() -> None:
    """CORE-SC-38: a purge or a transaction may come between two slices."""
    world = big()
    limits = periods((0, 6), (90_000, 20))
    world.install(20, 20, chargingSchedulePeriod=limits)
    world.receive([2, "a", "GetCompositeSchedule", {"connectorId": 0, "duration": 2 * 86_400}])
    for _ in range(4):
        world.core.handle_timer(world.now)
    world.core.schedules.transaction_started(20, now_s(world) - 89_000, None, world.now)
    expected = read(world.core.schedules.get(0, 2 * 86_400, None, None, world.now))["schedule"]
    world.settle().advance(0)
    assert [answer[2]["chargingSchedule"] for answer in world.answers if answer[1] == "a"] == [expected]


def test_composite_that_fails_halfway_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """J-278: a bug of ours must not hold up the CALLs behind it."""
    world = big()

    def failing(*arguments: Any) -> Any:
        yield b""
        raise RuntimeError("a bug")

    monkeypatch.setattr("ocpphub.core.smart_charging.composite", failing)
    world.receive([2, "a", "GetCompositeSchedule", {"connectorId": 0, "duration": 604_800}])
    world.receive([2, "b", "ClearCache", {}]).advance(0)
    assert [(answer[0], answer[1]) for answer in world.answers] == [(4, "a"), (3, "b")]
    assert world.answers[0][2] == "InternalError"


# restarts


def test_profiles_survive_the_end_of_the_process() -> None:
    """CORE-SC-16, D6, D10: the same schedules from the stored rows alone."""
    world = booted()
    world.install(0, 1, MAX, chargingSchedulePeriod=periods((0, 30), (300, 60)))
    world.install(1, 2, chargingSchedulePeriod=periods((0, 8.1)))
    world.install(2, -3, stackLevel=3, validTo="2027-02-01T00:00:00Z")
    before = [composite(world, connector_id) for connector_id in range(4)]
    again = world.crash(hub=hub()).boot()
    assert [composite(again, connector_id) for connector_id in range(4)] == before
    assert len(again.core.schedules) == 3
    assert again.ask("ClearChargingProfile", {"id": -3}) == {"status": "Accepted"}
    assert again.published("charging_schedules")[0]["1"]["chargingSchedulePeriod"][0]["limit"] == 8.1


def test_profiles_that_were_rejected_or_cleared_do_not_come_back() -> None:
    """CORE-SC-06, CORE-SC-36, D6."""
    world = booted()
    world.install(1, 1)
    world.install(1, 2, TX)
    world.ask("ClearChargingProfile", {"id": 1})
    assert len(world.crash().boot().core.schedules) == 0


@pytest.mark.parametrize("damage", [b'"AQ"', b"{}", b"null", b'"!!"', b"", b'"/////w=="', b"\xff"])
def test_profile_row_that_is_damaged_is_left_aside_and_harms_no_other(
    damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """CORE-SC-16, F10: loud, never fatal, and kept for whoever looks into it."""
    world = booted()
    world.install(1, 1)
    world.install(2, 2)
    world.rows[TABLE, "1"] = damage
    again = world.crash().boot()
    assert [composite(again, connector_id) for connector_id in (1, 2)] == [[(0, 32.0)], [(0, 16.0)]]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"a damaged row of {TABLE} is left aside: 1"
    ]
    assert rows(again) == {"1", "2"}
    assert again.install(1, 1) == "Accepted"


def test_profile_of_a_connector_that_is_gone_rests(caplog: pytest.LogCaptureFixture) -> None:
    """CORE-GEN-03: a hub that was made smaller."""
    world = booted()
    world.install(3, 1)
    again = world.crash(point=settings(connectors=2)).boot()
    assert len(again.core.schedules) == 0
    assert "1 stored charging profiles rest" in caplog.text
    assert composite(again.crash(point=settings()).boot(), 3) == [(0, 16.0)]


@pytest.mark.parametrize(
    ("wanted", "status", "left"),
    [({}, "Accepted", set()), ({"id": 1}, "Accepted", {"2"}), ({"id": 7}, "Unknown", {"1", "2"}),
     ({"connectorId": 3}, "Unknown", {"1", "2"}), ({"stackLevel": 1}, "Accepted", {"2"}),
     ({"chargingProfilePurpose": "TxDefaultProfile"}, "Accepted", set())],
)  # fmt: skip
def test_profile_that_rests_goes_when_it_is_cleared(wanted: dict[str, int], status: str, left: set[str]) -> None:
    """CORE-SC-35, CORE-SC-36: what the CSMS was told is gone must not come back when the hub grows again."""
    world = booted()
    world.install(3, 1, stackLevel=1)
    world.install(1, 2)
    again = world.crash(point=settings(connectors=2)).boot()
    assert again.ask("ClearChargingProfile", wanted) == {"status": status}
    assert rows(again) == left
    assert again.ask("ClearChargingProfile", wanted) == {"status": "Unknown"}


@pytest.mark.parametrize(("wanted", "left"), [({}, set()), ({"id": 1}, {"2"}), ({"stackLevel": 0}, {"1"})])
def test_profile_row_that_is_damaged_goes_with_its_id_and_with_everything(
    wanted: dict[str, int], left: set[str]
) -> None:
    """CORE-SC-35: nobody knows its purpose or level any more."""
    world = booted()
    world.install(1, 1)
    world.install(2, 2)
    world.rows[TABLE, "1"] = b"{}"
    again = world.crash().boot()
    assert again.ask("ClearChargingProfile", wanted) == {"status": "Accepted"}
    assert rows(again) == left


def test_profiles_of_a_transaction_are_dropped_at_the_next_start() -> None:
    """SCA-32: no transaction is resumed; its profiles would wait for the next one."""
    world = booted()
    world.core.schedules.transaction_started(1, now_s(world), 5, world.now)
    assert world.install(1, 1, TX, transactionId=5) == "Accepted"
    world.install(1, 2)
    again = world.crash()
    assert rows(again) == {"1", "2"}
    again.boot()
    assert rows(again) == {"2"}
    assert len(again.core.schedules) == 1


def test_profiles_rest_while_smart_charging_is_off(caplog: pytest.LogCaptureFixture) -> None:
    """CORE-SC-32: what nobody can clear limits nothing; it is there again with the feature."""
    world = booted()
    world.install(1, 1)
    off = world.crash(point=settings(configuration=SMART_CHARGING_OFF)).boot()
    assert orjson.loads(off.core.charging_schedules(off.now))["1"]["chargingSchedulePeriod"][0]["limit"] == 32.0
    assert "1 stored charging profiles rest" in caplog.text
    assert composite(off.crash(point=settings()).boot()) == [(0, 16.0)]


# purges


def now_s(world: World) -> int:
    return world.core.clock.utc_ms(world.now) // 1000


def until(world: World, seconds: int) -> dict[str, Any]:
    """validTo so many seconds from now."""
    return {"validTo": second_text(now_s(world) + seconds)}


def test_profile_that_is_over_is_purged_with_its_row() -> None:
    """SCA-39, CORE-SC-24: at its second, each at its own."""
    world = booted()
    world.install(1, 1, **until(world, 100))
    world.install(2, 2, **until(world, 5_000))
    world.install(0, 3, MAX, startSchedule="2027-01-15T08:00:00Z", duration=2_000)
    world.advance(99)
    assert rows(world) == {"1", "2", "3"}
    world.advance(1)
    assert rows(world) == {"2", "3"}
    assert world.ask("ClearChargingProfile", {"id": 1}) == {"status": "Unknown"}
    world.advance(900)
    assert rows(world) == {"2"}
    world.forget().advance(PURGE_CHECK_S + 1_000)
    assert rows(world) == set()
    assert [type(effect) for effect in steps(world) if isinstance(effect, Store | Discard)] == [Discard]


def test_purge_is_invisible_in_the_schedules() -> None:
    """SCA-39: what it removes has no effect any more."""
    world = booted()
    world.install(1, 1, stackLevel=1, **until(world, 100))
    world.install(1, 2, chargingSchedulePeriod=periods((0, 10)))
    assert composite(world, 1, 300) == [(0, 16.0), (100, 10.0)]
    world.advance(100)
    assert composite(world, 1, 300) == [(0, 10.0)]


def test_purge_waits_until_the_csms_has_told_the_time() -> None:
    """SCA-39: 0008 item 11; a clock that is wrong at start must not remove anything."""
    world = booted()
    world.install(1, 1, **until(world, 100))
    late = world.crash(start_s=world.time_s + 500)
    late.csms.silent.add("BootNotification")
    late.boot().advance(10_000)
    assert rows(late) == {"1"}
    late.csms.silent.clear()
    late.disconnect().connect().advance(0)
    assert rows(late) == set()


def test_purge_follows_a_clock_that_steps() -> None:
    """SCA-39: reliability 4.7, absolute times are judged anew."""
    world = World(csms=Csms(interval_s=60)).boot()
    world.install(1, 1, **until(world, 7_000))
    world.csms.offset_ms = 7_200_000
    world.advance(60)
    assert rows(world) == set()
    world = World(csms=Csms(interval_s=60)).boot()
    world.install(1, 1, **until(world, 100))
    world.csms.offset_ms = -7_200_000
    world.advance(5_000)
    assert rows(world) == {"1"}


def test_purge_is_not_fooled_by_who_sets_the_machines_clock() -> None:
    """SCA-39: only the CSMS's time counts."""
    world = booted()
    world.install(1, 1, **until(world, 500_000))
    world.csms.silent.add("Heartbeat")
    world.wall_jump_ms = 1_000_000_000
    assert rows(world.advance(PURGE_CHECK_S + 1)) != set()
    assert rows(world.advance(500_000)) == set()


# transactions


def test_transaction_takes_profiles_until_it_ends() -> None:
    """CORE-SC-04, CORE-SC-05, CORE-SC-06, CORE-SC-07, SCA-31, SCA-42: the next one is unaffected."""
    world = booted()
    schedules = world.core.schedules
    world.install(1, 9)
    schedules.transaction_started(1, now_s(world) - 60, None, world.now)
    assert world.install(1, 1, TX, transactionId=5) == "Rejected"
    assert world.install(1, 1, TX, chargingSchedulePeriod=periods((0, 25), (100, 10)), duration=200) == "Accepted"
    schedules.transaction_confirmed(1, 5)
    assert world.install(1, 2, TX, transactionId=6, stackLevel=1) == "Rejected"
    assert world.install(1, 2, TX, transactionId=5, stackLevel=1, duration=70) == "Accepted"
    assert composite(world) == [(0, 16.0), (10, 25.0), (40, 10.0), (140, 16.0)]
    world.forget()
    schedules.transaction_stopped(1, world.now)
    world.settle()
    assert sorted(effect.key for effect in world.effects if isinstance(effect, Discard)) == ["1", "2"]
    assert rows(world) == {"9"}
    assert world.install(1, 1, TX) == "Rejected"
    schedules.transaction_started(1, now_s(world), 6, world.now)
    assert composite(world) == [(0, 16.0)]


def test_transaction_offline_keeps_its_profiles() -> None:
    """CORE-SC-14, SCA-33, CORE-SC-15: a lost link changes no schedule; a cleared default lets the transaction go on."""
    world = booted()
    world.core.schedules.transaction_started(1, now_s(world), 5, world.now)
    world.install(1, 1, TX, chargingSchedulePeriod=periods((0, 25)))
    world.disconnect().advance(1_000)
    parts = world.core.schedules.get(1, 60, None, None, world.now)
    assert read(parts)["schedule"]["chargingSchedulePeriod"][0]["limit"] == 25.0


# local readers


def test_reader_gets_the_schedule_that_the_csms_would_get() -> None:
    """CORE-SC-39: rpc.md ``schedule.get``."""
    world = booted()
    world.install(1, chargingSchedulePeriod=periods((0, 10), (60, 20)))
    answer = world.ask("GetCompositeSchedule", {"connectorId": 1, "duration": 600})
    found = read(world.core.schedules.get(1, 600, None, None, world.now))
    assert found == {
        "connector_id": 1,
        "schedule_start": answer["scheduleStart"],
        "schedule": answer["chargingSchedule"],
    }


@pytest.mark.parametrize(
    ("at", "start"),
    [("2027-01-15T08:00:00Z", "2027-01-15T08:00:00Z"), ("2027-01-15T08:00:00.999Z", "2027-01-15T08:00:00Z"),
     ("2027-01-15t10:30:00.5+02:30", "2027-01-15T08:00:00Z"), ("1969-12-31 23:59:59.5z", "1969-12-31T23:59:59Z"),
     ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"), ("9999-12-31T23:59:00Z", "9999-12-31T23:59:00Z")],
)  # fmt: skip
def test_reader_may_ask_for_any_time(at: str, start: str) -> None:
    """SCA-06, CORE-GEN-05: any offset, floored to a whole second."""
    world = booted()
    assert read(world.core.schedules.get(0, 60, "W", at, world.now))["schedule_start"] == start
    assert read(world.core.schedules.explain(1, 60, "W", at, world.now))[0]["start"] == start


@pytest.mark.parametrize(
    "at",
    ["", "now", "2027-01-15", "2027-01-15T08:00:00", "2027-01-15T08:00Z", "20270115T080000Z", "2027-W01-1T08:00:00Z",
     "2027-02-30T08:00:00Z", "2027-01-15T08:00:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
     "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "٢027-01-15T08:00:00Z"],
)  # fmt: skip
def test_reader_who_names_no_moment_is_told(at: str) -> None:
    """T38: what is wrong, and what would be right."""
    world = booted()
    for ask in (world.core.schedules.get, world.core.schedules.explain):
        with pytest.raises(LocalError) as caught:
            ask(1, 60, None, at, world.now)
        assert (caught.value.code, caught.value.path) == ("invalid_params", "/params/at")


@pytest.mark.parametrize(
    ("arguments", "code", "path"),
    [((4, 60, None), "unknown_connector", "connector_id"), ((-1, 60, None), "unknown_connector", "connector_id"),
     ((1, 0, None), "invalid_params", "duration_s"), ((1, 604_801, None), "invalid_params", "duration_s"),
     ((1, 60, "kW"), "invalid_params", "unit")],
)  # fmt: skip
def test_reader_who_asks_for_what_cannot_be_is_told(arguments: tuple[Any, ...], code: str, path: str) -> None:
    """SCA-35: at once, before anything is computed."""
    world = booted()
    connector_id, duration_s, unit = arguments
    for ask in (world.core.schedules.get, world.core.schedules.explain):
        with pytest.raises(LocalError) as caught:
            ask(connector_id, duration_s, unit, None, world.now)
        assert (caught.value.code, caught.value.path) == (code, f"/params/{path}")


def test_reader_is_told_which_source_limits_and_why_others_do_not() -> None:
    """CORE-SC-11: rpc.md ``schedule.explain``; over the published window when no other is named."""
    world = booted()
    world.install(0, 1, MAX, chargingSchedulePeriod=periods((0, 40)))
    world.install(1, 2)
    (stretch,) = read(world.core.schedules.explain(1, None, None, None, world.now))
    assert (stretch["start"], stretch["end"]) == ("2027-01-15T08:16:50Z", "2027-01-15T08:26:50Z")
    assert stretch["winner"]["charging_profile_id"] == 2
    assert {loser["why"] for loser in stretch["losers"]} == {"not_the_minimum"}


def test_explanation_in_slices_is_that_of_the_whole_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """T08, SCA-11: nobody holds up the loop for long; Relative profiles count from the begin of the question."""
    world = booted(4)
    world.install(0, 1, chargingSchedulePeriod=periods((0, 16), (3_600, 10), (50_000, 6)))
    world.install(2, 2, stackLevel=1, chargingSchedulePeriod=periods((0, 8), (7_200, 20)), duration=9_000)
    world.install(0, 3, MAX, chargingSchedulePeriod=periods((0, 40), (20_000, 20)))
    whole = [read(world.core.schedules.explain(i, 86_400, "A", None, world.now)) for i in range(3)]
    monkeypatch.setattr("ocpphub.core.composite.TURN_S", 4_000)
    for connector_id, expected in enumerate(whole):
        texts = list(world.core.schedules.explain(connector_id, 86_400, "A", None, world.now))
        assert len(texts) == 1 + -(-86_400 // (1_000 if connector_id == 0 else 4_000))
        assert orjson.loads(b"".join(texts)) == expected
        assert len(expected) >= 3


def test_explanation_of_too_many_stretches_is_refused() -> None:
    """T08: what nobody could read is not computed either."""
    world = booted(2, ChargingScheduleMaxPeriods="1000")
    often = periods(*((i, 6 + i % 2) for i in range(1_000)))
    for level in range(10):
        world.install(1, level, stackLevel=level, startSchedule="2027-01-01T00:00:00Z", chargingSchedulePeriod=often,
                      chargingProfileKind="Recurring", recurrencyKind="Daily")  # fmt: skip
    with pytest.raises(LocalError, match="less than 604800 s") as caught:
        read(world.core.schedules.explain(1, 604_800, None, None, world.now))
    assert (caught.value.code, caught.value.path) == ("too_large", "/params/duration_s")
    assert read(world.core.schedules.explain(1, 60, None, None, world.now))


def test_reader_gets_the_installed_profiles_by_connector() -> None:
    """CORE-SC-09: rpc.md ``schedule.profiles``, with owner and time of acceptance."""
    world = booted()
    world.install(2, 1)
    world.install(0, 2, MAX)
    listed: Callable[[Any], Any] = lambda ids: read([b"[", *world.core.schedules.installed(ids), b"]"])  # noqa: E731
    assert [(row["connector_id"], row["charging_profile_id"]) for row in listed(None)] == [(0, 2), (2, 1)]
    assert [row["charging_profile_id"] for row in listed([1, 2])] == [1]
    assert listed([1]) == []
    assert listed([2])[0]["accepted_at"] == "2027-01-15T08:16:50Z"
    with pytest.raises(LocalError):
        listed([4])


def test_reader_of_many_profiles_lets_the_loop_turn() -> None:
    """T08: by text and by connectors."""
    world = booted(12_000)
    limits = periods(*((at, 6 + at % 2) for at in range(100)))
    for connector_id in range(1, 201):
        world.install(connector_id, connector_id, chargingSchedulePeriod=limits)
    texts = list(world.core.schedules.installed(None))
    assert len(texts) > 4
    assert max(map(len, texts)) < 300_000
    assert len(orjson.loads(b"[%b]" % b",".join(filter(None, texts)))) == 200


# the keys


def test_keys_of_smart_charging_can_be_read_and_not_changed() -> None:
    """CORE-SC-13, CORE-GEN-01: requirement chapter 16."""
    world = World(settings(connectors=100)).boot()
    expected = {
        "ChargeProfileMaxStackLevel": "10",
        "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
        "ChargingScheduleMaxPeriods": "100",
        "ConnectorSwitch3to1PhaseSupported": "false",
        "MaxChargingProfilesInstalled": "310",
        "MaxCompositeScheduleDuration": "604800",
        "SupportedFeatureProfiles": FEATURE_PROFILES,
    }
    found = world.ask("GetConfiguration", {"key": list(expected)})["configurationKey"]
    assert {row["key"]: row["value"] for row in found} == expected
    assert all(row["readonly"] for row in found)
    for key in expected:
        assert world.ask("ChangeConfiguration", {"key": key, "value": "1"}) == {"status": "Rejected"}


def test_keys_of_smart_charging_are_absent_when_it_is_off() -> None:
    """CORE-GEN-10, CORE-SC-13, CORE-SC-32."""
    world = booted(**SMART_CHARGING_OFF)
    names = ["ChargeProfileMaxStackLevel", "MaxCompositeScheduleDuration", "SupportedFeatureProfiles"]
    answer = world.ask("GetConfiguration", {"key": names})
    assert answer["unknownKey"] == names[:2]
    assert answer["configurationKey"][0]["value"] == "Core,RemoteTrigger"
    assert world.ask("ChangeConfiguration", {"key": names[0], "value": "1"}) == {"status": "NotSupported"}
    assert read(world.core.schedules.get(1, 60, None, None, world.now))["schedule"]["chargingRateUnit"] == "A"


def test_remote_trigger_that_is_switched_off_is_not_supported() -> None:
    """CORE-GEN-01: the profiles that are named are those that answer."""
    world = booted(SupportedFeatureProfiles="Core")
    world.receive([2, "a", "TriggerMessage", {"requestedMessage": "Heartbeat"}])
    assert_refuses(world, "NotSupported", "a")


def test_limits_that_cannot_be_exact_keep_the_core_from_starting() -> None:
    """SCA-22, T38."""
    with pytest.raises(LocalError, match=r"electrical\.connector_max_a"):
        World(settings(electrical=electrical(connector_max_a=32.00001)))


def test_stopped_hub_goes_on_publishing_but_sends_nothing() -> None:
    """CORE-SC-14: profiles hold while OCPP is stopped."""
    world = booted()
    world.install(1, 1, **until(world, 100))
    world.command("stop")
    world.advance(5).forget().advance(200)
    assert rows(world) == set()
    assert len(world.published("charging_schedules")) == 1
    assert_nothing_sent(world)
