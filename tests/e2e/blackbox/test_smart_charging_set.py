"""SetChargingProfile: what is refused, with which answer, and that nothing of it stays."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from .charging import Json, Station, cleared, far, flat, limit_of_all, now, profile, station
from .conftest import Rig

KEYS = "ChargeProfileMaxStackLevel = 3\nChargingScheduleMaxPeriods = 4\nMaxChargingProfilesInstalled = 5"
GONE = ...
GOOD = {"connectorId": 1, "csChargingProfiles": profile(7, (0, 10), (60, 12, 1), start=far())}
PROFILE = "csChargingProfiles"
SCHEDULE = f"{PROFILE}/chargingSchedule"
PERIOD = f"{SCHEDULE}/chargingSchedulePeriod"
OCCURENCE = "OccurenceConstraintViolation"
TYPE = "TypeConstraintViolation"
PROPERTY = "PropertyConstraintViolation"


STATION = {"connectors": 2, "configuration": KEYS}


@pytest.fixture
def hub(opened: Station) -> Station:
    """No profile but one, which every refused message must leave in force."""
    cleared(opened).put(1, profile(1, (0, 20), level=1))
    return opened


def broken(*changes: tuple[str, Any]) -> Json:
    """The good message with the members at these paths replaced or GONE."""
    message: Any = copy.deepcopy(GOOD)
    for path, value in changes:
        *way, last = [int(name) if name.isdigit() else name for name in path.split("/")]
        target = message
        for name in way:
            target = target[name]
        if value is GONE:
            del target[last]
        else:
            target[last] = value
    changed: Json = message
    return changed


def test_csms_sends_the_message_that_the_others_break_and_it_is_accepted(hub: Station) -> None:
    """CORE-SC-09: the message that the tests of this file break is good in itself."""
    assert hub.result("SetChargingProfile", GOOD) == {"status": "Accepted"}
    assert hub.ids() == [1, 7]


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("connectorId", GONE, OCCURENCE),
        ("connectorId", None, OCCURENCE),
        ("connectorId", "1", TYPE),
        ("connectorId", 1.5, TYPE),
        ("connectorId", True, TYPE),
        ("connectorId", 2**31, PROPERTY),
        (PROFILE, GONE, OCCURENCE),
        (PROFILE, None, OCCURENCE),
        (PROFILE, [], TYPE),
        (PROFILE, "TxProfile", TYPE),
        (f"{PROFILE}/chargingProfileId", GONE, OCCURENCE),
        (f"{PROFILE}/chargingProfileId", "7", TYPE),
        (f"{PROFILE}/chargingProfileId", 2**31, PROPERTY),
        (f"{PROFILE}/transactionId", "x", TYPE),
        (f"{PROFILE}/stackLevel", GONE, OCCURENCE),
        (f"{PROFILE}/stackLevel", 0.5, TYPE),
        (f"{PROFILE}/chargingProfilePurpose", GONE, OCCURENCE),
        (f"{PROFILE}/chargingProfilePurpose", "txdefaultprofile", PROPERTY),
        (f"{PROFILE}/chargingProfilePurpose", 5, TYPE),
        (f"{PROFILE}/chargingProfileKind", GONE, OCCURENCE),
        (f"{PROFILE}/chargingProfileKind", "Foo", PROPERTY),
        (f"{PROFILE}/recurrencyKind", "Monthly", PROPERTY),
        (f"{PROFILE}/validFrom", "yesterday", PROPERTY),
        (f"{PROFILE}/validFrom", 4070908800, TYPE),
        (f"{PROFILE}/validTo", "2040-13-01T00:00:00Z", PROPERTY),
        (SCHEDULE, GONE, OCCURENCE),
        (SCHEDULE, [], TYPE),
        (f"{SCHEDULE}/duration", 1.5, TYPE),
        (f"{SCHEDULE}/startSchedule", "2040-01-01", PROPERTY),
        (f"{SCHEDULE}/chargingRateUnit", GONE, OCCURENCE),
        (f"{SCHEDULE}/chargingRateUnit", "kW", PROPERTY),
        (f"{SCHEDULE}/minChargingRate", "6", TYPE),
        (PERIOD, GONE, OCCURENCE),
        (PERIOD, [], OCCURENCE),
        (PERIOD, {}, TYPE),
        (f"{PERIOD}/1", 5, TYPE),
        (f"{PERIOD}/1/startPeriod", GONE, OCCURENCE),
        (f"{PERIOD}/1/startPeriod", 0.5, TYPE),
        (f"{PERIOD}/1/limit", GONE, OCCURENCE),
        (f"{PERIOD}/1/limit", "16", TYPE),
        (f"{PERIOD}/1/limit", None, OCCURENCE),
        (f"{PERIOD}/1/numberPhases", 1.5, TYPE),
    ],
    ids=str,
)
def test_csms_sends_a_misshapen_profile_and_gets_the_code_of_the_fault(
    hub: Station, path: str, value: Any, code: str
) -> None:
    """CORE-SC-33, CORE-RPC-20, J-254, J-255, J-256: row 1 of the order of checks."""
    before = hub.state()
    assert hub.error("SetChargingProfile", broken((path, value))) == code
    assert hub.state() == before


@pytest.mark.parametrize("limit", ["1e400", "-1e400", "1e999999"])
def test_csms_sends_a_limit_beyond_all_numbers_and_it_is_a_bad_value(hub: Station, limit: str) -> None:
    """J-256: what no number can hold must not become infinity."""
    before = hub.state()
    frame = json.dumps([2, f"n{limit}", "SetChargingProfile", broken((f"{PERIOD}/1/limit", 12345))])
    assert hub.exchange(frame.replace("12345", limit), f"n{limit}")[2] == PROPERTY
    assert hub.state() == before


def test_csms_repeats_a_member_and_the_message_is_malformed(hub: Station) -> None:
    """J-253: a duplicate of a known member."""
    before = hub.state()
    frame = json.dumps([2, "twice", "SetChargingProfile", GOOD]).replace(
        '"stackLevel": 0', '"stackLevel": 0, "stackLevel": 1'
    )
    assert hub.exchange(frame, "twice")[2] == "FormationViolation"
    assert hub.state() == before


@pytest.mark.parametrize("connector_id", [3, 99, -1, 2**31 - 1, -(2**31)])
def test_csms_sends_a_profile_for_a_connector_that_is_not_there_and_it_is_a_bad_value(
    hub: Station, connector_id: int
) -> None:
    """CORE-SC-31, SCA-25: row 3."""
    before = hub.state()
    assert hub.error("SetChargingProfile", broken(("connectorId", connector_id))) == PROPERTY
    assert hub.state() == before


ROW_4: dict[str, list[tuple[str, Any]]] = {
    "stack level above the maximum": [(f"{PROFILE}/stackLevel", 4)],
    "stack level far above the maximum": [(f"{PROFILE}/stackLevel", 2**31 - 1)],
    "one period too many": [(PERIOD, [{"startPeriod": 10 * n, "limit": 16} for n in range(5)])],
    "first period late": [(f"{PERIOD}/0/startPeriod", 1)],
    "equal periods": [(f"{PERIOD}/1/startPeriod", 0)],
    "falling periods": [(PERIOD, [{"startPeriod": s, "limit": 16} for s in (0, 60, 59)])],
    "duration zero": [(f"{SCHEDULE}/duration", 0)],
    "over": [(f"{PROFILE}/validTo", "2020-01-01T00:00:00Z")],
    "over now": [(f"{PROFILE}/validTo", "now")],
    "over before it begins": [(f"{PROFILE}/validFrom", far(60)), (f"{PROFILE}/validTo", far(59))],
    "over as it begins": [(f"{PROFILE}/validFrom", far(60)), (f"{PROFILE}/validTo", far(60))],
    "over within the second": [(f"{PROFILE}/validFrom", far(60)), (f"{PROFILE}/validTo", "2040-01-02T00:01:00.9Z")],
    "over by its offset": [
        (f"{PROFILE}/validFrom", far(3600)),
        (f"{PROFILE}/validTo", "2040-01-02T02:30:00+02:00"),
    ],
    "recurring without start": [
        (f"{PROFILE}/chargingProfileKind", "Recurring"),
        (f"{PROFILE}/recurrencyKind", "Daily"),
        (f"{SCHEDULE}/startSchedule", GONE),
    ],
    "recurring without recurrency": [(f"{PROFILE}/chargingProfileKind", "Recurring")],
}
ROW_5: dict[str, list[tuple[str, Any]]] = {
    "limit of all on a connector": [(f"{PROFILE}/chargingProfilePurpose", "ChargePointMaxProfile")],
    "relative limit of all": [
        ("connectorId", 0),
        (f"{PROFILE}/chargingProfilePurpose", "ChargePointMaxProfile"),
        (f"{PROFILE}/chargingProfileKind", "Relative"),
    ],
}
ROW_6: dict[str, list[tuple[str, Any]]] = {
    "tx profile on 0": [("connectorId", 0), (f"{PROFILE}/chargingProfilePurpose", "TxProfile")],
    "tx profile without transaction": [(f"{PROFILE}/chargingProfilePurpose", "TxProfile")],
    "tx profile for a transaction": [
        (f"{PROFILE}/chargingProfilePurpose", "TxProfile"),
        (f"{PROFILE}/transactionId", 17),
    ],
    "tx profile for transaction 0": [
        (f"{PROFILE}/chargingProfilePurpose", "TxProfile"),
        (f"{PROFILE}/transactionId", 0),
    ],
}
REJECTED: dict[str, list[tuple[str, Any]]] = ROW_4 | ROW_5 | ROW_6


@pytest.mark.parametrize("changes", REJECTED.values(), ids=REJECTED)
def test_csms_sends_a_profile_that_breaks_a_rule_and_it_is_rejected(
    hub: Station, changes: list[tuple[str, Any]]
) -> None:
    """CORE-SC-01, CORE-SC-04, CORE-SC-07, CORE-SC-22, SCA-06, SCA-08, SCA-12, SCA-26, SCA-29, SCA-41: rows 4 to 6."""
    before = hub.state()
    message = broken(*((path, now() if value == "now" else value) for path, value in changes))
    assert hub.result("SetChargingProfile", message) == {"status": "Rejected"}
    assert hub.state() == before


@pytest.mark.parametrize("changes", REJECTED.values(), ids=REJECTED)
def test_csms_replaces_a_profile_by_a_bad_one_and_the_old_one_stays(
    hub: Station, changes: list[tuple[str, Any]]
) -> None:
    """CORE-SC-30, CORE-SC-09: a refusal replaces nothing, neither by id nor by level."""
    assert hub.result("SetChargingProfile", GOOD) == {"status": "Accepted"}
    before = hub.state()
    message = broken(*((path, now() if value == "now" else value) for path, value in changes))
    assert hub.result("SetChargingProfile", message) == {"status": "Rejected"}
    assert hub.state() == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{PROFILE}/stackLevel", -1),
        (f"{PERIOD}/1/limit", -0.1),
        (f"{PERIOD}/1/limit", -1),
        (f"{PERIOD}/0/startPeriod", -1),
        (f"{PERIOD}/1/startPeriod", -60),
        (f"{PERIOD}/1/numberPhases", 0),
        (f"{PERIOD}/1/numberPhases", 4),
        (f"{PERIOD}/1/numberPhases", -1),
        (f"{SCHEDULE}/duration", -1),
        (f"{SCHEDULE}/minChargingRate", -1),
    ],
    ids=str,
)
def test_csms_sends_a_number_out_of_its_range_and_it_is_a_bad_value(hub: Station, path: str, value: Any) -> None:
    """J-256, docs/design/0008 item 15: refused by the frame's own rules, before row 4 is asked."""
    before = hub.state()
    assert hub.error("SetChargingProfile", broken((path, value))) == PROPERTY
    assert hub.state() == before


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ((PROFILE, GONE), ("connectorId", 99), OCCURENCE),
        ((f"{PERIOD}/1/limit", "16"), ("connectorId", 99), TYPE),
        ((f"{PERIOD}/1/limit", "16"), (f"{PROFILE}/stackLevel", 4), TYPE),
        ((PERIOD, []), (f"{PROFILE}/validTo", "2020-01-01T00:00:00Z"), OCCURENCE),
        ((f"{PROFILE}/chargingProfileKind", "Foo"), (f"{PROFILE}/chargingProfilePurpose", "TxProfile"), PROPERTY),
        ((SCHEDULE, GONE), (f"{PROFILE}/chargingProfilePurpose", "ChargePointMaxProfile"), OCCURENCE),
        (("connectorId", 3), (f"{PROFILE}/stackLevel", 4), PROPERTY),
        (("connectorId", 3), (f"{SCHEDULE}/duration", 0), PROPERTY),
        (("connectorId", -1), (f"{PROFILE}/chargingProfilePurpose", "ChargePointMaxProfile"), PROPERTY),
        (("connectorId", 3), (f"{PROFILE}/chargingProfilePurpose", "TxProfile"), PROPERTY),
    ],
    ids=str,
)
def test_csms_breaks_two_rules_and_the_earlier_one_answers(
    hub: Station, first: tuple[str, Any], second: tuple[str, Any], answer: str
) -> None:
    """CORE-SC-31, CORE-SC-33, J-254, J-255: the order of checks of SetChargingProfile, rows 1 to 6."""
    before = hub.state()
    assert hub.error("SetChargingProfile", broken(first, second)) == answer
    assert hub.state() == before


def test_csms_breaks_a_late_rule_where_the_store_is_full_and_is_answered_by_the_earlier_one(hub: Station) -> None:
    """CORE-SC-31, CORE-SC-33, SCA-28: rows 1 and 3 answer before row 7."""
    hub.put(2, *(profile(10 + level, level=level) for level in range(4)))
    assert len(hub.ids()) == 5
    assert hub.error("SetChargingProfile", broken((f"{PROFILE}/chargingProfileKind", "Foo"))) == PROPERTY
    assert hub.error("SetChargingProfile", broken((PERIOD, []))) == OCCURENCE
    assert hub.error("SetChargingProfile", broken(("connectorId", 3))) == PROPERTY
    assert hub.result("SetChargingProfile", GOOD) == {"status": "Rejected"}
    assert hub.ids() == [1, 10, 11, 12, 13]


def test_csms_fills_the_store_and_replaces_at_the_limit(hub: Station) -> None:
    """SCA-28, CORE-SC-09: counted after replacement, by id and by level; a new one is refused, a clear makes room."""
    hub.put(2, *(profile(10 + level, level=level) for level in range(4)))
    before = hub.state()
    assert hub.set(1, profile(99, level=3)) == "Rejected"
    assert hub.state() == before
    hub.put(2, profile(10, (0, 9)))
    hub.put(2, profile(98, (0, 8), level=1))
    hub.put(1, profile(12, (0, 7), level=3))
    assert hub.ids() == [1, 10, 12, 13, 98]
    assert hub.set(1, profile(99, level=2)) == "Rejected"
    assert hub.clear(id=13) == "Accepted"
    assert hub.set(1, profile(99, level=2)) == "Accepted"


def test_csms_counts_a_general_default_once(opened: Station) -> None:
    """SCA-28: a profile on connector 0 is one, however many connectors it touches."""
    cleared(opened).put(0, *(profile(level, level=level) for level in range(4)), limit_of_all(4))
    assert opened.set(0, limit_of_all(5, level=1)) == "Rejected"
    assert opened.ids() == [0, 1, 2, 3, 4]


def test_csms_goes_to_the_very_limits_and_is_accepted(opened: Station) -> None:
    """CORE-SC-13: highest level, most periods, one second of duration and of validity ahead, phases 1 to 3, limit 0."""
    cleared(opened).put(0, profile(1, level=3))
    opened.put(0, profile(2, (0, 0), (1, 0.1, 1), (2, 8.1, 2), (3, 10**9, 3), level=0))
    opened.put(0, profile(3, (0, 5), duration=1, level=1), profile(4, valid_from=far(), valid_to=far(1), level=2))
    opened.put(0, limit_of_all(5))
    assert opened.ids() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("rate", [6, 8.1, 0])
def test_csms_hints_at_a_minimum_rate_and_no_limit_rises(opened: Station, rate: float) -> None:
    """SCA-14, CORE-SC-43, CORE-SC-29: minChargingRate is kept as a hint."""
    message = broken((f"{SCHEDULE}/minChargingRate", rate), (f"{SCHEDULE}/startSchedule", GONE))
    message[PROFILE]["chargingSchedule"]["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": 2}]
    assert cleared(opened).result("SetChargingProfile", message) == {"status": "Accepted"}
    assert opened.periods(1) == flat(2.0)
    assert opened.installed()[0]["charging_schedule"]["min_charging_rate"] == rate


@pytest.mark.parametrize("kind", ["Absolute", "Relative"])
def test_csms_names_a_recurrency_that_does_not_count_and_it_is_ignored(opened: Station, kind: str) -> None:
    """CORE-SC-25: recurrencyKind counts with kind Recurring only."""
    cleared(opened).put(1, profile(1, (0, 11), (60, 12), kind=kind, recurrency="Daily"))
    assert opened.at(1, 0, 2 * 86400) == [(0, 11.0, 3), (60, 12.0, 3)]


def test_csms_writes_numbers_in_odd_ways_and_they_count_for_what_they_are(opened: Station) -> None:
    """CORE-SC-29, J-256: 1.61E1 is 16.1 and 1e-400 is next to nothing, neither through binary floating point."""
    cleared(opened)
    frame = json.dumps([2, "odd", "SetChargingProfile", {"connectorId": 1, PROFILE: profile(1, (0, 111), (1e1, 222))}])
    answer = opened.exchange(frame.replace("111", "1.61E1").replace("222", "1e-400").replace("10.0", "1e1"), "odd")
    assert answer[2] == {"status": "Accepted"}
    assert opened.periods(1) == [(0, 16.1, 3), (10, 0.0, 3)]


def test_csms_writes_integers_as_decimals_and_nulls_for_nothing(opened: Station) -> None:
    """X-30, D-07: 1.0 is 1, and null for an optional member is none."""
    changes: list[tuple[str, Any]] = [
        ("connectorId", 1.0),
        (f"{PROFILE}/stackLevel", 2.0),
        (f"{SCHEDULE}/startSchedule", None),
        (f"{SCHEDULE}/duration", None),
        (f"{SCHEDULE}/minChargingRate", None),
        (f"{PERIOD}/1/numberPhases", None),
    ]
    changes += [(f"{PROFILE}/{name}", None) for name in ("transactionId", "recurrencyKind", "validFrom", "validTo")]
    assert cleared(opened).result("SetChargingProfile", broken(*changes)) == {"status": "Accepted"}
    assert opened.installed()[0]["stack_level"] == 2
    assert opened.periods(1) == [(0, 10.0, 3), (60, 12.0, 3)]


@pytest.mark.parametrize(("limit", "tenths"), [(16.05, 16.0), (16.09, 16.0), (0.09, 0.0), (15.999, 15.9)])
def test_csms_sends_more_decimals_than_there_are_and_the_limit_is_no_higher(
    opened: Station, limit: float, tenths: float
) -> None:
    """CORE-SC-29, D-03, SCA-22: a limit has one decimal; what is beyond is dropped, never rounded up."""
    cleared(opened).put(1, profile(1, (0, limit)))
    assert opened.periods(1) == flat(tenths)


def test_csms_adds_an_unknown_member_and_it_is_passed_over(opened: Station) -> None:
    """D-03: unknown members are skipped unless `strict` is on."""
    message = broken((f"{PROFILE}/vendor", {"a": [1]}), (f"{SCHEDULE}/x", 1), (f"{PERIOD}/0/y", None))
    assert cleared(opened).result("SetChargingProfile", message) == {"status": "Accepted"}
    assert opened.ids() == [7]


# -- hubs of another make --------------------------------------------------------------------------


def test_hub_without_smart_charging_answers_not_supported_to_all_three(rig: Rig) -> None:
    """CORE-SC-32, SCA-40, J-252, CORE-GEN-01: row 2, before rows 3 to 7; the feature is not listed either."""
    hub = station(rig, configuration='SupportedFeatureProfiles = "Core,RemoteTrigger"')
    assert hub.link.value("SupportedFeatureProfiles")["value"] == "Core,RemoteTrigger"
    refused: list[list[tuple[str, Any]]] = [[], [("connectorId", 99)], *REJECTED.values()]
    for changes in refused:
        message = broken(*((path, now() if value == "now" else value) for path, value in changes))
        assert hub.error("SetChargingProfile", message) == "NotSupported"
    assert hub.error("SetChargingProfile", {"connectorId": 1}) == "NotSupported"
    for payload in ({}, {"id": 1}, {"connectorId": 99}):
        assert hub.error("ClearChargingProfile", payload) == "NotSupported"
    for connector_id in (0, 1, 99):
        assert hub.error("GetCompositeSchedule", {"connectorId": connector_id, "duration": 60}) == "NotSupported"
    assert hub.installed() == []
    assert hub.link.result("GetConfiguration", {"key": ["ResetRetries"]})


@pytest.mark.parametrize(("allowed", "good", "bad"), [("Power", "W", "A"), ("Current", "A", "W")])
def test_hub_of_one_unit_rejects_the_other(rig: Rig, allowed: str, good: str, bad: str) -> None:
    """CORE-SC-34, SCA-23, SCA-24: in profiles and in queries; the default of a query is the allowed one."""
    hub = station(rig, configuration=f'ChargingScheduleAllowedChargingRateUnit = "{allowed}"')
    assert hub.set(1, profile(1, (0, 6900), unit=bad)) == "Rejected"
    assert hub.set(0, limit_of_all(1, (0, 6900), unit=bad)) == "Rejected"
    assert hub.installed() == []
    assert hub.set(1, profile(1, (0, 20), unit=good)) == "Accepted"
    assert hub.result("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": bad}) == {
        "status": "Rejected"
    }
    assert hub.composite(1)["chargingSchedule"]["chargingRateUnit"] == good
    assert hub.periods(1, unit=good) == flat(20.0)


def test_strict_hub_refuses_an_unknown_member(rig: Rig) -> None:
    """D-03, J-253: `strict` refuses what is merely odd."""
    hub = station(rig, link="strict = true")
    assert hub.error("SetChargingProfile", broken((f"{PROFILE}/vendor", 1))) == "FormationViolation"
    assert hub.installed() == []
