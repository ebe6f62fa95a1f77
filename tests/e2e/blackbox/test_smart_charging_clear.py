"""What stands and what goes: replacement of profiles, ClearChargingProfile in every combination of its fields."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from .charging import Station, far, flat, limit_of_all, profile

# (connector, id, purpose, level) of what is installed before each Clear of this file
STOCK = [
    (0, 1, "ChargePointMaxProfile", 0),
    (0, 2, "ChargePointMaxProfile", 1),
    (0, 3, "TxDefaultProfile", 0),
    (0, 4, "TxDefaultProfile", 1),
    (1, 5, "TxDefaultProfile", 0),
    (1, 6, "TxDefaultProfile", 2),
    (2, 7, "TxDefaultProfile", 0),
    (2, 0, "TxDefaultProfile", 1),
]
IDS = sorted(item[1] for item in STOCK)
VALUES = {
    "connectorId": (0, 1, 2, 3, 99),
    "chargingProfilePurpose": ("ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"),
    "stackLevel": (0, 1, 2, 3),
}


@pytest.fixture
def stocked(hub: Station) -> Station:
    """The stock, each profile with a limit of its own: 20 A plus its id."""
    for connector_id, number, purpose, level in STOCK:
        hub.put(connector_id, profile(number, (0, 20 + number), purpose=purpose, level=level))
    assert hub.ids() == IDS
    return hub


def matching(fields: dict[str, Any]) -> list[int]:
    """The ids of the stock that a Clear with these fields means."""
    if "id" in fields:
        return [number for _, number, _, _ in STOCK if number == fields["id"]]
    names = ("connectorId", "chargingProfilePurpose", "stackLevel")
    return sorted(
        number
        for connector_id, number, purpose, level in STOCK
        if all(fields.get(n, v) == v for n, v in zip(names, (connector_id, purpose, level), strict=True))
    )


COMBINATIONS: list[dict[str, Any]] = [{}]
for size in (1, 2, 3):
    for names in itertools.combinations(VALUES, size):
        COMBINATIONS += [dict(zip(names, v, strict=True)) for v in itertools.product(*(VALUES[n] for n in names))]


def test_csms_clears_by_every_combination_of_fields_and_what_matches_all_goes(hub: Station) -> None:
    """CORE-SC-35, CORE-SC-36, CORE-SC-37, SCA-25, SCA-27: a logical AND, Unknown where nothing was removed."""
    for fields in COMBINATIONS:
        for connector_id, number, purpose, level in STOCK:
            if number not in hub.ids():
                hub.put(connector_id, profile(number, purpose=purpose, level=level))
        gone = matching(fields)
        assert hub.clear(**fields) == ("Accepted" if gone else "Unknown"), fields
        assert hub.ids() == sorted(set(IDS) - set(gone)), fields
        assert hub.clear(**fields) == "Unknown", fields


@pytest.mark.parametrize("number", IDS)
def test_csms_clears_by_id_and_only_it_goes(stocked: Station, number: int) -> None:
    """CORE-SC-35, CORE-SC-36: Accepted, then Unknown; id 0 is an id like any other."""
    assert stocked.clear(id=number) == "Accepted"
    assert stocked.ids() == [n for n in IDS if n != number]
    assert stocked.clear(id=number) == "Unknown"


@pytest.mark.parametrize(
    "others",
    [
        {"connectorId": 2},
        {"connectorId": 99},
        {"chargingProfilePurpose": "ChargePointMaxProfile"},
        {"chargingProfilePurpose": "TxProfile"},
        {"stackLevel": 9},
        {"connectorId": 0, "chargingProfilePurpose": "ChargePointMaxProfile", "stackLevel": 1},
    ],
    ids=str,
)
def test_csms_clears_by_id_and_contradicting_fields_and_only_the_id_counts(
    stocked: Station, others: dict[str, Any]
) -> None:
    """CORE-SC-35, SCA-27: with an id the other fields are ignored, also where they match what the id does not."""
    assert stocked.clear(id=5, **others) == "Accepted"
    assert stocked.ids() == [n for n in IDS if n != 5]
    assert stocked.clear(id=5, **others) == "Unknown"
    assert stocked.ids() == [n for n in IDS if n != 5]


def test_csms_clears_everything_and_every_schedule_is_as_at_first(hub: Station) -> None:
    """CORE-SC-35, CORE-SC-36, SCA-27: without fields all goes; with nothing left it is Unknown."""
    before = [hub.periods(n) for n in range(4)]
    hub.put(0, limit_of_all(1, (0, 5)), profile(2, (0, 4)))
    hub.put(3, profile(3, (0, 3), level=1))
    assert [hub.periods(n) for n in range(4)] == [flat(5.0), flat(4.0), flat(4.0), flat(3.0)]
    assert hub.clear() == "Accepted"
    assert [hub.periods(n) for n in range(4)] == before
    assert hub.clear() == "Unknown"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"id": "1"}, "TypeConstraintViolation"),
        ({"id": 1.5}, "TypeConstraintViolation"),
        ({"connectorId": "0"}, "TypeConstraintViolation"),
        ({"stackLevel": True}, "TypeConstraintViolation"),
        ({"chargingProfilePurpose": 1}, "TypeConstraintViolation"),
        ({"chargingProfilePurpose": "TxProfil"}, "PropertyConstraintViolation"),
        ({"chargingProfilePurpose": ""}, "PropertyConstraintViolation"),
        ({"stackLevel": -1}, "PropertyConstraintViolation"),
        ({"id": 2**31}, "PropertyConstraintViolation"),
        ([], "FormationViolation"),
        ("all", "FormationViolation"),
    ],
    ids=str,
)
def test_csms_clears_with_a_misshapen_message_and_nothing_goes(stocked: Station, payload: Any, code: str) -> None:
    """CORE-RPC-20, J-253, J-255, J-256: a bad message never means "clear all"."""
    assert stocked.error("ClearChargingProfile", payload) == code
    assert stocked.ids() == IDS


def test_csms_clears_a_connector_below_zero_and_nothing_goes(stocked: Station) -> None:
    """SCA-25, J-256: the lists name Unknown for an unknown connector and a CALLERROR for a negative number."""
    verdict = stocked.verdict("ClearChargingProfile", {"connectorId": -1})
    assert verdict in {"Unknown", "PropertyConstraintViolation"}
    assert stocked.ids() == IDS


def test_csms_clears_with_nulls_and_they_count_as_absent(stocked: Station) -> None:
    """X-30, D-07, CORE-SC-35: null for an optional member is no value, so connector 2 is all that is meant."""
    fields = {"id": None, "connectorId": 2, "chargingProfilePurpose": None, "stackLevel": None}
    assert stocked.clear(**fields) == "Accepted"
    assert stocked.ids() == [1, 2, 3, 4, 5, 6]


def test_csms_clears_the_own_default_and_the_general_one_is_uncovered(hub: Station) -> None:
    """CORE-SC-03, CORE-SC-37, SCA-03: each is owned by its connector; both orders of arrival are one."""
    own, general = profile(1, (0, 10)), profile(2, (0, 16))
    for order in ([(0, general), (1, own)], [(1, own), (0, general)]):
        for connector_id, item in order:
            hub.put(connector_id, item)
        assert [hub.periods(n) for n in (1, 2)] == [flat(10.0), flat(16.0)]
        assert hub.clear(connectorId=1) == "Accepted"
        assert [hub.periods(n) for n in (1, 2)] == [flat(16.0), flat(16.0)]
        hub.put(1, own)
        assert hub.clear(connectorId=0) == "Accepted"
        assert [hub.periods(n) for n in (1, 2)] == [flat(10.0), flat(32.0)]
        assert hub.clear() == "Accepted"


# -- replacement ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [(0, 1), (1, 0), (1, 2), (1, 1)])
def test_csms_sends_an_id_again_and_it_replaces_wherever_it_was(hub: Station, where: tuple[int, int]) -> None:
    """CORE-SC-09, SCA-05: the same id anywhere, another level and connector too."""
    hub.put(where[0], profile(1, (0, 10)))
    hub.put(where[1], profile(1, (0, 12), level=3))
    assert [(p["connector_id"], p["stack_level"]) for p in hub.installed()] == [(where[1], 3)]
    touched = range(1, 4) if where[1] == 0 else [where[1]]
    assert [hub.periods(n) for n in range(1, 4)] == [flat(12.0) if n in touched else flat(32.0) for n in range(1, 4)]


def test_csms_sends_the_same_level_again_and_the_old_id_is_gone(hub: Station) -> None:
    """CORE-SC-09, SCA-05: (connector, purpose, stackLevel); other purpose, level or connector stand beside it."""
    hub.put(1, profile(1, (0, 10)), profile(2, (0, 11)))
    assert hub.ids() == [2]
    assert hub.clear(id=1) == "Unknown"
    hub.put(0, limit_of_all(3), profile(4))
    hub.put(2, profile(5))
    hub.put(1, profile(6, level=1))
    assert hub.ids() == [2, 3, 4, 5, 6]
    hub.put(0, limit_of_all(7))
    assert hub.ids() == [2, 4, 5, 6, 7]


def test_csms_replaces_two_at_once_by_id_and_by_level(hub: Station) -> None:
    """CORE-SC-09, SCA-05: the one with its id and the one in its place both go."""
    hub.put(1, profile(1))
    hub.put(2, profile(2, level=1))
    hub.put(2, profile(1, (0, 9), level=1))
    assert hub.ids() == [1]
    assert [hub.periods(n) for n in (1, 2)] == [flat(32.0), flat(9.0)]


def test_csms_replaces_by_a_profile_that_is_not_valid_yet_and_the_old_one_is_gone_at_once(hub: Station) -> None:
    """CORE-SC-10: default behaviour until validFrom, then the new one."""
    hub.put(1, profile(1, (0, 10)), profile(2, (0, 12), level=1))
    hub.put(1, profile(2, (0, 14), level=1, valid_from=far()))
    assert hub.periods(1) == flat(10.0)
    assert hub.at(1, -60, 120) == [(0, 10.0, 3), (60, 14.0, 3)]


def test_csms_changes_the_purpose_under_an_id_and_the_old_one_is_gone(hub: Station) -> None:
    """CORE-SC-09: an id is one profile, whatever its purpose was."""
    hub.put(0, profile(1, (0, 10)))
    hub.put(0, limit_of_all(1, (0, 20)))
    assert [p["purpose"] for p in hub.installed()] == ["ChargePointMaxProfile"]
    assert hub.periods(1) == flat(20.0)
    assert hub.periods(0) == flat(20.0)
