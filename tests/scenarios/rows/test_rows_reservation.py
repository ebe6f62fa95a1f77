"""Chapter 13: reservations of one connector, of any connector, and what ends them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, Operator, ready, take
from tests.scenarios.rows.test_rows_status import FATAL, cancel, fault, in_state, inoperative, reserve

GROUP = {**ACCEPTED, "parentIdTag": "G"}


def reserve_group(hub: Hub, connector_id: int = 1, tag: str = "RES", parent: str = "G", reservation_id: int = 1) -> str:
    """ReserveNow with a parentIdTag; the status."""
    return str(
        hub.asks_for(
            "ReserveNow",
            connectorId=connector_id,
            expiryDate=utc_text(hub.at(3_600)),
            idTag=tag,
            parentIdTag=parent,
            reservationId=reservation_id,
        )["status"]
    )


def may(hub: Hub, tag: str, connector_id: int = 1) -> bool:
    """Whether a tag starts on a connector, plugged for it."""
    hub.plug(connector_id)
    with suppress(LocalError):
        hub.swipe(tag, connector_id)
    return hub.state(connector_id)["transaction"] is not None


def test_same_id_replaces_the_reservation() -> None:
    """CORE-RV-01: other connector, tag and expiry."""
    hub = in_state("Reserved")
    assert reserve(hub, 2, "OTHER") == "Accepted"
    assert hub.wire(1) == ["Available"]
    assert hub.wire(2) == ["Reserved"]
    assert [(each["reservation_id"], each["id_tag"]) for each in hub.core.reservations()] == [(1, "OTHER")]
    assert may(hub, "ANY", 1)


def test_same_id_on_the_same_connector_changes_the_tag() -> None:
    """CORE-RV-01."""
    hub = in_state("Reserved")
    assert reserve(hub, 1, "OTHER") == "Accepted"
    assert may(hub, "RES", 1) is False
    assert may(hub, "OTHER", 1)


def test_reservation_makes_the_connector_reserved() -> None:
    """CORE-RV-02, A7: the answer first; connector.get and reservation.list show it."""
    hub = ready(2)
    assert reserve(hub) == "Accepted"
    assert hub.trace == ["answer", "StatusNotification"]
    assert hub.wire() == ["Reserved"]
    shown = hub.state()["reservation"]
    assert (shown["reservation_id"], shown["id_tag"]) == (1, "RES")
    assert hub.state(2)["reservation"] is None


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("Preparing", "Occupied"),
        ("Charging", "Occupied"),
        ("SuspendedEV", "Occupied"),
        ("SuspendedEVSE", "Occupied"),
        ("Finishing", "Occupied"),
        ("Reserved", "Occupied"),
        ("Unavailable", "Unavailable"),
        ("Faulted", "Faulted"),
    ],
)
def test_reservation_depends_on_the_state(state: str, status: str) -> None:
    """CORE-RV-03, CORE-RV-04: also for the same tag; trap 27."""
    hub = in_state(state)
    assert reserve(hub, 1, "RES", 2) == status
    assert hub.wire() == []
    assert all(each["reservation_id"] == 1 for each in hub.core.reservations())


def test_reservation_without_the_profile_is_rejected() -> None:
    """CORE-RV-04, CORE-RPC-10: or refused as an operation that is not there."""
    hub = ready(point=settings(connectors=1, configuration={"SupportedFeatureProfiles": "Core"}))
    unique_id = hub.receive_call(
        "ReserveNow", connectorId=1, expiryDate=utc_text(hub.at(60)), idTag="A", reservationId=1
    )
    answer = hub.answer_to(unique_id)
    assert answer is not None
    assert answer[2] in ("NotSupported", {"status": "Rejected"})


def test_faulted_comes_before_occupied() -> None:
    """CORE-RV-05: a faulted connector with a vehicle, and with a reservation before."""
    for state in ("Preparing", "Reserved"):
        hub = in_state(state)
        fault(hub)
        assert reserve(hub, 1, "NEW", 2) == "Faulted"


def test_reservation_of_an_unknown_connector_is_rejected() -> None:
    """CORE-RV-05."""
    assert reserve(ready(2), 3) == "Rejected"


def test_reservation_that_has_expired_is_rejected() -> None:
    """CORE-RV-05: yesterday, and on a faulted connector too."""
    hub = ready(2)
    assert reserve(hub, 1, hours=-24) == "Rejected"
    fault(hub)
    assert reserve(hub, 1, hours=-24) == "Rejected"
    assert reserve(hub, 2, hours=1) == "Accepted"


def test_reserved_connector_refuses_other_tags() -> None:
    """CORE-RV-06."""
    hub = in_state("Reserved")
    assert may(hub, "OTHER") is False
    assert hub.sent("StartTransaction") == []


def test_reserved_connector_takes_its_tag() -> None:
    """CORE-RV-06, CORE-RV-12, CORE-TX-02, CORE-GEN-08."""
    hub = in_state("Reserved")
    assert may(hub, "res")
    assert hub.only("StartTransaction")["reservationId"] == 1
    assert hub.wire()[0] == "Preparing"


def test_plug_alone_does_not_use_a_reservation() -> None:
    """CORE-RV-06: G2 is the reserved identity; the plugged connector is still held for it."""
    hub = in_state("Reserved")
    hub.plug()
    assert hub.sent("StartTransaction") == []
    assert len(hub.core.reservations()) == 1


def test_parent_is_asked_for_where_nobody_knows_it() -> None:
    """CORE-RV-07, CORE-RV-12: Authorize, then a matching parent starts, with the reservationId (DEC)."""
    hub = ready(2, operator=Operator(tags={"MEMBER": GROUP, "STRANGER": {**ACCEPTED, "parentIdTag": "H"}}))
    hub.configure(LocalPreAuthorize=True)
    assert reserve_group(hub) == "Accepted"
    hub.forget()
    assert may(hub, "STRANGER") is False
    assert may(hub, "MEMBER")
    assert {"idTag": "MEMBER"} in hub.sent("Authorize")
    assert hub.only("StartTransaction")["reservationId"] == 1


def test_parent_that_the_list_knows_is_not_asked_for() -> None:
    """CORE-RV-07."""
    hub = ready(2).configure(LocalPreAuthorize=True)
    entries = [{"idTag": "MEMBER", "idTagInfo": GROUP}]
    hub.asks_for("SendLocalList", listVersion=1, localAuthorizationList=entries, updateType="Full")
    reserve_group(hub)
    assert may(hub, "MEMBER")
    assert hub.sent("Authorize") == []


def test_tag_that_equals_the_parent_is_no_match() -> None:
    """CORE-RV-06, CORE-GEN-09."""
    hub = ready(2)
    reserve_group(hub)
    assert may(hub, "G") is False


def test_reservation_without_a_parent_matches_no_group() -> None:
    """CORE-RV-06: the tags have one parent, the reservation names none."""
    hub = ready(2, operator=Operator(tags={"RES": GROUP, "MEMBER": GROUP}))
    reserve(hub)
    assert may(hub, "MEMBER") is False


def test_reservation_of_any_connector_marks_none() -> None:
    """CORE-RV-08: trap 27; the last free one is kept for the tag."""
    hub = ready(2)
    assert reserve(hub, 0) == "Accepted"
    assert hub.sent("StatusNotification") == []
    assert may(hub, "ANY", 1), "one is left"
    assert may(hub, "OTHER", 2) is False, "that would be the last one"
    hub.unplug(2)
    assert may(hub, "RES", 2)
    assert hub.sent("StartTransaction")[-1]["reservationId"] == 1
    assert hub.core.reservations() == []


def test_reservation_of_any_connector_ends_with_a_transaction_anywhere() -> None:
    """CORE-RV-10 (1), CORE-RV-12."""
    hub = ready(3)
    reserve(hub, 0)
    assert may(hub, "RES", 3)
    assert cancel(hub) == "Rejected"


def test_reservation_of_any_connector_may_be_switched_off() -> None:
    """CORE-RV-09."""
    hub = ready(point=settings(connectors=2, configuration={"ReserveConnectorZeroSupported": "false"}))
    assert reserve(hub, 0) == "Rejected"
    assert reserve(hub, 1) == "Accepted"


@pytest.mark.parametrize("cause", ["transaction", "expiry", "faulted", "unavailable", "station unavailable"])
def test_reservation_ends(cause: str) -> None:
    """CORE-RV-10, CORE-CA-10: afterwards CancelReservation is Rejected, and other tags may start."""
    hub = in_state("Reserved")
    if cause == "transaction":
        assert may(hub, "RES")
    elif cause == "expiry":
        hub.advance(3_601)
    elif cause == "faulted":
        hub.tell(errors=[FATAL])
        hub.tell(errors=[])
    elif cause == "unavailable":
        inoperative(hub)
    else:
        inoperative(hub, 0)
    assert cancel(hub) == "Rejected"
    assert hub.core.reservations() == []
    assert hub.state()["reservation"] is None


def test_other_connectors_fault_ends_no_reservation() -> None:
    """CORE-RV-10."""
    hub = in_state("Reserved")
    hub.tell(2, errors=[FATAL])
    assert len(hub.core.reservations()) == 1


def test_expired_reservation_frees_the_connector() -> None:
    """CORE-RV-11: at expiryDate."""
    hub = in_state("Reserved")
    hub.advance(3_598)
    assert hub.wire() == []
    hub.advance(3)
    assert hub.wire() == ["Available"]
    assert may(hub, "ANY")
    assert "reservationId" not in hub.only("StartTransaction")


def test_cancelled_reservation_frees_the_connector() -> None:
    """CORE-RV-13, G1: the answer first; a second time it is unknown."""
    hub = in_state("Reserved")
    assert cancel(hub) == "Accepted"
    assert hub.trace == ["answer", "StatusNotification"]
    assert hub.wire() == ["Available"]
    assert cancel(hub) == "Rejected"
    assert cancel(hub, 99) == "Rejected"


def test_reservation_survives_the_process() -> None:
    """CORE-RV-14: before its expiryDate."""
    hub = in_state("Reserved")
    again = hub.crash().boot()
    take(again, (1, 2))
    assert again.wire(1)[-1] == "Reserved"
    assert may(again, "OTHER") is False
    again.unplug()
    assert may(again, "RES")


def test_reservation_that_expired_meanwhile_vanishes_at_boot() -> None:
    """CORE-RV-14."""
    hub = in_state("Reserved")
    hub.time_s += 3_700
    again = hub.crash().boot()
    take(again, (1, 2))
    assert again.wire(1)[-1] == "Available"
    assert cancel(again) == "Rejected"


def test_tag_is_authorized_as_for_any_start() -> None:
    """CORE-RV-15, CORE-RV-16: a reservation is no authorization."""
    hub = ready(2, operator=Operator(tags={"RES": {"status": "Blocked"}}))
    reserve(hub)
    assert may(hub, "RES") is False
    assert len(hub.sent("Authorize")) == 1


def test_as_many_connectors_stay_free_as_are_reserved() -> None:
    """CORE-RV-17: two connectors, two reservations; the third is Occupied, others are refused everywhere."""
    hub = ready(2)
    assert reserve(hub, 0, "ONE", 1) == "Accepted"
    assert reserve(hub, 0, "TWO", 2) == "Accepted"
    assert reserve(hub, 0, "THREE", 3) == "Occupied"
    assert may(hub, "ANY", 1) is False
    hub.unplug(1)
    assert may(hub, "ANY", 2) is False
    hub.unplug(2)
    assert may(hub, "TWO", 1)
    assert may(hub, "ANY", 2) is False
    hub.unplug(2)
    assert may(hub, "ONE", 2)


@pytest.mark.parametrize("state", ["Faulted", "Unavailable", "Charging"])
def test_reservation_of_any_connector_where_none_is_free(state: str) -> None:
    """CORE-RV-17: Occupied, Faulted or Unavailable when all are so."""
    hub = ready(2)
    for connector_id in (1, 2):
        if state == "Faulted":
            hub.tell(connector_id, errors=[FATAL])
        elif state == "Unavailable":
            inoperative(hub, connector_id)
        else:
            hub.session(connector_id, f"T{connector_id}")
    assert reserve(hub, 0) == ("Occupied" if state == "Charging" else state)


def test_reservation_counts_free_connectors_only() -> None:
    """CORE-RV-17: a connector that is reserved itself, or out of operation, is none."""
    hub = ready(3)
    reserve(hub, 1, "ONE", 1)
    inoperative(hub, 2)
    assert reserve(hub, 0, "ANY", 2) == "Accepted"
    assert reserve(hub, 0, "MORE", 3) == "Occupied"
    assert may(hub, "STRANGER", 3) is False


def test_remote_start_counts_as_a_use_too() -> None:
    """CORE-RV-08, CORE-RS-06: it must not take the last one."""
    hub = ready(1)
    reserve(hub, 0)
    request: dict[str, Any] = {"idTag": "OTHER", "connectorId": 1}
    assert hub.asks_for("RemoteStartTransaction", **request) == {"status": "Rejected"}
    assert hub.asks_for("RemoteStartTransaction", idTag="RES", connectorId=1) == ACCEPTED
    hub.plug()
    assert hub.only("StartTransaction")["reservationId"] == 1


def test_tag_that_uses_no_reservation_in_the_end_leaves_it() -> None:
    """CORE-RV-10, CORE-TX-21: ConnectionTimeOut leads back to the former state, Reserved, over legal edges."""
    hub = in_state("Reserved")
    hub.swipe("RES")
    hub.advance(61)
    assert hub.wire()[0] == "Preparing"
    assert hub.wire()[-1] == "Reserved"
    assert len(hub.core.reservations()) == 1


def test_vehicle_of_a_stranger_leaves_the_reservation() -> None:
    """CORE-RV-06: whether its plug shows Preparing is left open (G2 names the reserved identity); it ends Reserved."""
    hub = in_state("Reserved")
    hub.plug()
    hub.advance(30)
    hub.unplug()
    hub.advance(1)
    assert hub.last_status[1] == "Reserved"
    assert may(hub, "RES")


def test_reservation_of_any_connector_ends_with_the_station_only() -> None:
    """CORE-RV-10 (3): the charge point Unavailable or Faulted; one connector of several is not the charge point."""
    for ends in ("inoperative", "fault"):
        hub = ready(2)
        reserve(hub, 0)
        inoperative(hub, 1)
        assert len(hub.core.reservations()) == 1
        if ends == "inoperative":
            inoperative(hub, 0)
        else:
            hub.join(0)
            hub.tell(0, errors=[FATAL])
        assert hub.core.reservations() == []
        assert cancel(hub) == "Rejected"
