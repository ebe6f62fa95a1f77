"""Chapter 8: every cell of the transition table, errors, waiting notifications, and connector 0."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ocpphub.core.boot import utc_text
from ocpphub.errors import LocalError
from tests.builders import override, settings
from tests.scenarios.rows.hub import ACCEPTED, EDGES, FORBIDDEN, STATES, Hub, Operator, ready, take

FATAL = {"error_code": "GroundFailure", "inoperative": True}
WARNING = {"error_code": "HighTemperature", "inoperative": False}


def fault(hub: Hub) -> None:
    """A fault that prevents charging."""
    hub.tell(errors=[FATAL])


def inoperative(hub: Hub, connector_id: int = 1) -> str:
    """The CSMS takes a connector out of operation; the status that it gets."""
    return str(hub.asks_for("ChangeAvailability", connectorId=connector_id, type="Inoperative")["status"])


def operative(hub: Hub, connector_id: int = 1) -> str:
    """The CSMS puts a connector into operation; the status that it gets."""
    return str(hub.asks_for("ChangeAvailability", connectorId=connector_id, type="Operative")["status"])


def reserve(hub: Hub, connector_id: int = 1, tag: str = "RES", reservation_id: int = 1, hours: float = 1) -> str:
    """The CSMS reserves a connector; the status that it gets."""
    expiry = utc_text(hub.at(hours * 3_600))
    answer = hub.asks_for(
        "ReserveNow", connectorId=connector_id, expiryDate=expiry, idTag=tag, reservationId=reservation_id
    )
    return str(answer["status"])


def cancel(hub: Hub, reservation_id: int = 1) -> str:
    """The CSMS cancels a reservation; the status that it gets."""
    return str(hub.asks_for("CancelReservation", reservationId=reservation_id)["status"])


def _stopped(hub: Hub) -> None:
    hub.session()
    hub.stop_here()


REACH: dict[str, Callable[[Hub], Any]] = {
    "Available": lambda hub: None,
    "Preparing": lambda hub: hub.plug(),
    "Charging": lambda hub: hub.session(),
    "SuspendedEV": lambda hub: hub.session(ev_ready=False),
    "SuspendedEVSE": lambda hub: hub.session(evse_ready=False),
    "Finishing": _stopped,
    "Reserved": reserve,
    "Unavailable": inoperative,
    "Faulted": fault,
}


def in_state(state: str, **arguments: Any) -> Hub:
    """A hub whose connector 1 is in a state; the record is empty."""
    hub = ready(2, **arguments)
    REACH[state](hub)
    assert hub.state()["status"] == state
    assert hub.wire()[-1:] == ([] if state == "Available" else [state])
    return hub.forget()


def _free_vend(**levels: Any) -> tuple[Hub, Callable[[Hub], Any]]:
    point = settings(connectors=2, connector_overrides=(override([1], free_vend_id_tag="FREE"),))
    return in_state("Available", point=point), lambda hub: hub.plug(**levels)


def _then(*causes: Callable[[Hub], Any]) -> Callable[[Hub], Any]:
    def run(hub: Hub) -> None:
        for cause in causes:
            cause(hub)

    return run


def _free_vend_made_operative(**levels: Any) -> tuple[Hub, Callable[[Hub], Any]]:
    hub, _ = _free_vend()
    inoperative(hub)
    hub.plug(**levels)
    return hub.forget(), operative


CAUSES: dict[str, Callable[[Hub], Any]] = {
    "A2": lambda hub: hub.plug(),
    "A7": reserve,
    "A8": inoperative,
    "A9": fault,
    "B1": lambda hub: hub.unplug(),
    "B3": lambda hub: hub.swipe(),
    "B4": _then(lambda hub: hub.tell(ev_ready=False), lambda hub: hub.swipe()),
    "B5": _then(lambda hub: hub.tell(evse_ready=False), lambda hub: hub.swipe()),
    "B6": lambda hub: hub.advance(61),
    "B9": fault,
    "C1": lambda hub: hub.unplug(),
    "C4": lambda hub: hub.tell(ev_ready=False),
    "C5": lambda hub: hub.tell(evse_ready=False),
    "C6": lambda hub: hub.stop_here(),
    "C8": _then(inoperative, lambda hub: hub.unplug()),
    "C9": fault,
    "D1": lambda hub: hub.unplug(),
    "D3": lambda hub: hub.tell(ev_ready=True),
    "D5": lambda hub: hub.tell(evse_ready=False),
    "D6": lambda hub: hub.stop_here(),
    "D8": _then(inoperative, lambda hub: hub.unplug()),
    "D9": fault,
    "E1": lambda hub: hub.unplug(),
    "E3": lambda hub: hub.tell(evse_ready=True),
    "E4": lambda hub: hub.tell(evse_ready=True, ev_ready=False),
    "E6": lambda hub: hub.stop_here(),
    "E8": _then(inoperative, lambda hub: hub.unplug()),
    "E9": fault,
    "F1": lambda hub: hub.unplug(),
    "F2": lambda hub: hub.swipe("OTHER"),
    "F8": inoperative,
    "F9": fault,
    "G1": cancel,
    "G2": lambda hub: hub.swipe("RES"),
    "G8": inoperative,
    "G9": fault,
    "H1": operative,
    "H2": _then(lambda hub: hub.plug(), operative),
    "H9": fault,
    **{cell: (lambda hub: hub.tell(errors=[])) for cell in EDGES if cell[0] == "I"},
}
FREE_VEND: dict[str, Callable[[], tuple[Hub, Callable[[Hub], Any]]]] = {
    "A3": lambda: _free_vend(ev_ready=True),
    "A4": lambda: _free_vend(ev_ready=False),
    "A5": lambda: _free_vend(evse_ready=False),
    "H3": lambda: _free_vend_made_operative(ev_ready=True),
    "H4": lambda: _free_vend_made_operative(ev_ready=False),
    "H5": lambda: _free_vend_made_operative(evse_ready=False),
}
LENIENT = {"C1", "D1", "E1", "C8", "D8", "E8", *FREE_VEND}
"""Cells where the text leaves open whether a legal state is shown in between (Finishing, Preparing)."""
GOES_ON = {"F2", "I7"}
"""Cells whose cause leads further: the new transaction starts; the fault has ended the reservation (CORE-RV-10)."""


def test_causes_cover_the_table() -> None:
    """CORE-STAT-02: no cell is forgotten, and the table has the size of the standard's."""
    assert set(CAUSES) | set(FREE_VEND) == set(EDGES)
    assert len(EDGES) == 53
    assert len(EDGES) + len(FORBIDDEN) == 9 * 8


@pytest.mark.parametrize("cell", list(EDGES))
def test_edge_of_the_table_is_shown(cell: str) -> None:
    """CORE-STAT-01, CORE-STAT-02, CORE-STAT-16, CORE-CA-07: one notification, or over a legal state in between."""
    old, new = EDGES[cell]
    if cell in FREE_VEND:
        hub, cause = FREE_VEND[cell]()
    elif old == "Faulted":
        hub, cause = in_state(new), CAUSES[cell]
        fault(hub)
        assert hub.wire() == ["Faulted"]
        hub.forget()
    else:
        hub, cause = in_state(old), CAUSES[cell]
    cause(hub)
    wire = hub.wire()
    if cell in LENIENT:
        assert wire[-1] == new
        assert len(wire) <= 2
    else:
        assert wire[0] == new
        assert len(wire) == (2 if cell in GOES_ON else 1)


TOWARDS: dict[str, Callable[[Hub], Any]] = {
    "Available": lambda hub: hub.unplug(),
    "Preparing": lambda hub: hub.plug(plug_id=99),
    "Charging": _then(lambda hub: hub.plug(evse_ready=True), lambda hub: hub.swipe("RES")),
    "SuspendedEV": _then(lambda hub: hub.plug(ev_ready=False, evse_ready=True), lambda hub: hub.swipe("RES")),
    "SuspendedEVSE": _then(lambda hub: hub.plug(evse_ready=False), lambda hub: hub.swipe("RES")),
    "Finishing": _then(lambda hub: hub.plug(), lambda hub: hub.advance(61)),
    "Reserved": reserve,
    "Unavailable": inoperative,
    "Faulted": fault,
}


@pytest.mark.parametrize(("old", "new"), FORBIDDEN, ids=str)
@pytest.mark.parametrize("is_offline", [False, True])
def test_edge_outside_the_table_is_never_shown(old: str, new: str, is_offline: bool) -> None:
    """CORE-STAT-02, CORE-CA-09: whatever the world does, the wire goes a legal way; also over an outage."""
    hub = in_state(old)
    steps = [REACH[new], TOWARDS[new]]
    for step in steps:
        if is_offline and new not in ("Reserved", "Unavailable"):
            hub.offline()
        with suppress(LocalError, AssertionError) if step is REACH[new] else suppress(LocalError):
            step(hub)
        if not hub.core.is_connected:
            hub.online()
        shown = [old, *hub.wire()]
        assert (old, new) not in set(pairwise(shown))


def _stop_and_restart(hub: Hub, connector_id: int) -> None:
    hub.call("stop")
    hub.call("restart")
    hub.online()


STIMULI: dict[str, Callable[[Hub, int], Any]] = {
    "plug": lambda hub, each: hub.plug(each, plug_id=1),
    "another": lambda hub, each: hub.plug(each, plug_id=2),
    "unplug": lambda hub, each: hub.unplug(each),
    "ev off": lambda hub, each: hub.tell(each, ev_ready=False),
    "evse off": lambda hub, each: hub.tell(each, evse_ready=False),
    "both on": lambda hub, each: hub.tell(each, ev_ready=True, evse_ready=True),
    "swipe": lambda hub, each: hub.swipe("TAG", each),
    "other": lambda hub, each: hub.swipe("RES", each),
    "bad": lambda hub, each: hub.swipe("BAD", each),
    "stop": lambda hub, each: hub.stop_here(each),
    "fault": lambda hub, each: hub.tell(each, errors=[FATAL]),
    "warning": lambda hub, each: hub.tell(each, errors=[WARNING]),
    "no error": lambda hub, each: hub.tell(each, errors=[]),
    "ev error": lambda hub, each: hub.tell(each, errors=[{"error_code": "EVCommunicationError"}]),
    "inoperative": inoperative,
    "operative": operative,
    "all inoperative": lambda hub, each: inoperative(hub, 0),
    "all operative": lambda hub, each: operative(hub, 0),
    "reserve": lambda hub, each: reserve(hub, each, reservation_id=each),
    "reserve any": lambda hub, each: reserve(hub, 0, reservation_id=9),
    "cancel": cancel,
    "remote": lambda hub, each: hub.asks_for("RemoteStartTransaction", idTag="TAG", connectorId=each),
    "unlock": lambda hub, each: hub.receive_call("UnlockConnector", connectorId=each),
    "offline": lambda hub, each: hub.offline(),
    "online": lambda hub, each: hub.core.is_connected or hub.online(),
    "second": lambda hub, each: hub.advance(1),
    "minute": lambda hub, each: hub.advance(61),
    "lose": lambda hub, each: hub.lose(),
    "trigger": lambda hub, each: hub.asks_for(
        "TriggerMessage", requestedMessage="StatusNotification", connectorId=each
    ),
    "stop and restart": _stop_and_restart,
    "take": lambda hub, each: take(hub, (1, 2)),
}
_LINKED = {
    *("inoperative", "operative", "all inoperative", "all operative"),
    *("reserve", "reserve any", "cancel", "remote", "unlock", "trigger"),
}


@pytest.mark.parametrize("duration_s", [0, 3])
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(STIMULI)), st.sampled_from([1, 2])), max_size=30))
@examples(max_examples=120, deadline=None)
def test_any_life_shows_edges_of_the_table_only(duration_s: int, steps: list[tuple[str, int]]) -> None:
    """CORE-STAT-02, CORE-STAT-03, CORE-STAT-08, CORE-STAT-11, CORE-STAT-13: the bench checks each one as it is sent."""
    tags = {"BAD": {"status": "Blocked"}}
    hub = ready(2, operator=Operator(tags=tags)).configure(
        MinimumStatusDuration=duration_s, AllowOfflineTxForUnknownId=True
    )
    for name, connector_id in steps:
        if name in _LINKED and not hub.core.is_connected:
            continue
        with suppress(LocalError):
            STIMULI[name](hub, connector_id)
    if not hub.core.is_connected:
        hub.online()
    hub.advance(10)
    for connector_id in (1, 2):
        last = hub.last_status.get(connector_id)
        assert last in (None, hub.state(connector_id)["status"]), "the wire ends where the connector is"
        stamps = [each["timestamp"] for each in hub.notices(connector_id)]
        assert stamps == sorted(stamps)
    for notice in hub.sent("StatusNotification"):
        if notice["errorCode"] == "EVCommunicationError":
            assert notice["status"] in ("Preparing", "SuspendedEV", "SuspendedEVSE", "Finishing")


# when


def test_every_status_is_told_after_boot() -> None:
    """CORE-BOOT-11: N + 1 notifications with the present states."""
    hub = Hub(settings(connectors=3)).start()
    take(hub, (1, 2))
    hub.plug(2)
    hub.online()
    assert [hub.wire(each) for each in range(4)] == [["Available"], ["Available"], ["Preparing"], ["Unavailable"]]


def test_reconnect_without_change_tells_nothing() -> None:
    """AMB-27, CORE-STAT-09."""
    hub = in_state("Charging").offline().advance(60).online().advance(10)
    assert hub.sent("StatusNotification") == []


def test_change_while_offline_is_told_once_afterwards() -> None:
    """CORE-STAT-09, CORE-STAT-10, AMB-26: one notification per changed connector, with the time of the change."""
    hub = in_state("Available").configure(AllowOfflineTxForUnknownId=True).forget().offline()
    hub.plug()
    hub.advance(5)
    at_ms = hub.at()
    hub.swipe()
    hub.advance(100).online()
    assert hub.wire(1) == ["Charging"]
    assert hub.wire(2) == []
    assert hub.notices()[0]["timestamp"] == utc_text(at_ms)


def test_change_while_offline_that_went_back_is_not_told() -> None:
    """CORE-STAT-09."""
    hub = in_state("Available").offline()
    hub.plug()
    hub.unplug()
    hub.online()
    assert hub.wire() == []


def test_state_that_makes_the_edge_legal_stays_in_between() -> None:
    """CORE-STAT-02: Available to Finishing over an outage, decisions.md 6."""
    hub = in_state("Available").configure(AllowOfflineTxForUnknownId=True).forget().offline()
    _stopped(hub)
    hub.online()
    wire = ["Available", *hub.wire()]
    assert wire[-1] == "Finishing"
    assert len(wire) == 3
    assert all(edge in set(EDGES.values()) for edge in pairwise(wire))


def test_error_that_occurred_offline_is_there_afterwards() -> None:
    """CORE-STAT-10."""
    hub = in_state("Charging").offline()
    hub.tell(errors=[WARNING])
    hub.advance(10).online()
    assert [(each["status"], each["errorCode"]) for each in hub.notices()] == [("Charging", "HighTemperature")]


def test_notifications_leave_in_the_order_of_their_events() -> None:
    """CORE-STAT-11."""
    hub = ready(3, operator=Operator(latency_s=0.5)).advance(10).forget()
    for connector_id in (2, 1, 3):
        hub.plug(connector_id)
        hub.advance(0.1)
    hub.advance(10)
    notices = hub.sent("StatusNotification")
    assert [each["connectorId"] for each in notices] == [2, 1, 3]
    stamps = [each["timestamp"] for each in notices]
    assert stamps == sorted(stamps)


def test_short_state_is_not_told() -> None:
    """CORE-STAT-03: two seconds at a minimum of five."""
    hub = in_state("Charging").configure(MinimumStatusDuration=5).forget()
    hub.tell(ev_ready=False)
    hub.advance(2)
    hub.tell(ev_ready=True)
    hub.advance(60)
    assert hub.wire() == []


def test_lasting_state_is_told_when_its_time_is_over() -> None:
    """CORE-STAT-03: with the time of the change."""
    hub = in_state("Charging").configure(MinimumStatusDuration=5).forget()
    at_ms = hub.at()
    hub.tell(ev_ready=False)
    hub.advance(4.9)
    assert hub.wire() == []
    hub.advance(0.2)
    assert hub.wire() == ["SuspendedEV"]
    assert hub.notices()[0]["timestamp"] == utc_text(at_ms)


@pytest.mark.parametrize(
    ("errors", "expected"), [([FATAL], ("Faulted", "GroundFailure")), ([WARNING], ("Charging", "HighTemperature"))]
)
def test_errors_do_not_wait(errors: list[Any], expected: tuple[str, str]) -> None:
    """AMB-15, CORE-STAT-03."""
    hub = in_state("Charging").configure(MinimumStatusDuration=30).forget()
    hub.tell(errors=errors)
    assert [(each["status"], each["errorCode"]) for each in hub.notices()] == [expected]


def test_what_a_minimum_leaves_out_keeps_to_the_table() -> None:
    """CORE-STAT-03, CORE-STAT-02: Available, a whole session within the minimum, Finishing at the end."""
    hub = in_state("Available").configure(MinimumStatusDuration=5).forget()
    _stopped(hub)
    hub.advance(60)
    assert hub.wire()[-1] == "Finishing"


# what


@pytest.mark.parametrize("first", ["ev_ready", "evse_ready"])
def test_suspended_by_both_sides_is_suspended_evse(first: str) -> None:
    """CORE-STAT-04: in either order; released by the EVSE it is SuspendedEV (E4)."""
    second = "evse_ready" if first == "ev_ready" else "ev_ready"
    hub = in_state("Charging")
    for name in (first, second):
        levels: dict[str, Any] = {name: False}
        hub.tell(**levels)
    assert hub.wire()[-1] == "SuspendedEVSE"
    assert hub.wire() == (["SuspendedEV", "SuspendedEVSE"] if first == "ev_ready" else ["SuspendedEVSE"])
    hub.tell(evse_ready=True)
    assert hub.wire()[-1] == "SuspendedEV"


def test_both_pauses_in_one_report_are_suspended_evse() -> None:
    """CORE-STAT-04."""
    hub = in_state("Charging")
    hub.tell(ev_ready=False, evse_ready=False)
    assert hub.wire() == ["SuspendedEVSE"]


def test_limit_of_zero_is_suspended_evse() -> None:
    """CORE-STAT-04, CORE-STAT-12: B5, C5 by a charging profile; lifted, E3."""
    hub = in_state("Charging")
    assert hub.install(1, 5, "TxProfile", chargingSchedulePeriod=[{"startPeriod": 0, "limit": 0.0}]) == "Accepted"
    hub.advance(2)
    assert hub.wire() == ["SuspendedEVSE"]
    assert not hub.state()["permit"]["limit_a"]
    assert hub.asks_for("ClearChargingProfile", id=5) == ACCEPTED
    hub.advance(2)
    assert hub.wire() == ["SuspendedEVSE", "Charging"]


def test_power_alone_changes_no_status() -> None:
    """CORE-STAT-12: a closed contactor and 0 W is still Charging; controllers report states."""
    hub = in_state("Charging")
    hub.tell(measurements=[{"measurand": "Power.Active.Import", "value": 0}])
    hub.advance(600)
    assert hub.wire() == []


@pytest.mark.parametrize("how", ["restart", "Soft", "Hard"])
@pytest.mark.parametrize("connector_id", [0, 1])
def test_unavailable_persists(how: str, connector_id: int) -> None:
    """CORE-STAT-05, CORE-CA-05, CORE-RES-05."""
    hub = ready(2)
    inoperative(hub, connector_id)
    hub.forget()
    if how == "restart":
        hub = hub.crash().boot()
    else:
        hub.asks_for("Reset", type=how)
        hub.advance(10)
        assert hub.recreations == 1
    hub.join(1, 2)
    for each in (1, 2):
        hub.tell(each, plugged=False, ev_ready=False, evse_ready=True)
    assert hub.wire(connector_id)[-1] == "Unavailable"
    assert hub.wire(1)[-1] == "Unavailable"
    assert (hub.wire(2)[-1] == "Unavailable") == (connector_id == 0)


def test_warning_leaves_the_status() -> None:
    """CORE-STAT-07."""
    hub = in_state("Charging")
    hub.tell(errors=[{**WARNING, "info": "hot", "vendor_id": "V", "vendor_error_code": "E7"}])
    notice = hub.notices()[-1]
    assert (notice["status"], notice["errorCode"]) == ("Charging", "HighTemperature")
    assert (notice["info"], notice["vendorId"], notice["vendorErrorCode"]) == ("hot", "V", "E7")
    hub.tell(errors=[])
    assert hub.notices()[-1]["errorCode"] == "NoError"
    assert hub.state()["transaction"] is not None


@pytest.mark.parametrize("state", ["Preparing", "SuspendedEV", "SuspendedEVSE", "Finishing"])
def test_ev_communication_error_where_it_may_be(state: str) -> None:
    """CORE-STAT-08."""
    hub = in_state(state)
    hub.tell(errors=[{"error_code": "EVCommunicationError"}])
    assert [(each["status"], each["errorCode"]) for each in hub.notices()] == [(state, "EVCommunicationError")]


def test_ev_communication_error_while_charging_goes_over_suspended_evse() -> None:
    """CORE-STAT-08: section 7.6."""
    hub = in_state("Charging")
    hub.tell(errors=[{"error_code": "EVCommunicationError"}])
    notices = hub.notices()
    assert notices[0]["status"] == "SuspendedEVSE"
    assert notices[-1]["errorCode"] == "EVCommunicationError"
    hub.tell(errors=[])
    assert (hub.notices()[-1]["status"], hub.notices()[-1]["errorCode"]) == ("Charging", "NoError")


@pytest.mark.parametrize("state", STATES)
def test_connector_zero_does_not_follow_the_connectors(state: str) -> None:
    """CORE-STAT-13: no link to the connectors' states."""
    hub = in_state("Available")
    REACH[state](hub)
    hub.advance(10)
    assert hub.wire(0) == []


def test_errors_of_the_station_make_connector_zero_faulted() -> None:
    """CORE-STAT-13: a main controller reports of connector 0, if that is allowed at all."""
    hub = in_state("Available")
    hub.join(0)
    hub.tell(0, errors=[FATAL])
    assert hub.wire(0) == ["Faulted"]
    hub.tell(0, errors=[])
    assert hub.wire(0) == ["Faulted", "Available"]
    assert hub.wire(1) == []


def test_time_stamp_is_that_of_the_event() -> None:
    """CORE-STAT-14: as the controller says, and it is always there."""
    hub = ready(2).advance(60).forget()
    hub.plug(timestamp=utc_text(hub.at(-3)))
    assert hub.notices()[0]["timestamp"] == utc_text(hub.at(-3))
    hub.advance(5)
    hub.plug(2)
    assert hub.notices(2)[0]["timestamp"] == utc_text(hub.at())


@pytest.mark.parametrize(("name", "limit"), [("info", 50), ("vendor_error_code", 50), ("vendor_id", 255)])
def test_long_text_of_an_error_is_refused(name: str, limit: int) -> None:
    """CORE-STAT-15: nothing is sent, the state is unchanged; the longest legal one passes."""
    hub = in_state("Charging")
    before = hub.state()
    with pytest.raises(LocalError) as caught:
        hub.tell(errors=[{**FATAL, name: "x" * (limit + 1)}])
    assert (caught.value.code, caught.value.path) == ("invalid_params", f"/params/errors/0/{name}")
    assert hub.state() == before
    assert hub.calls == []
    hub.tell(errors=[{**WARNING, name: "x" * limit}])
    wire_name = {"info": "info", "vendor_error_code": "vendorErrorCode", "vendor_id": "vendorId"}[name]
    assert hub.notices()[-1][wire_name] == "x" * limit


@pytest.mark.parametrize("code", ["NoError", "Unknown", "", None, 5])
def test_unknown_error_code_is_refused(code: Any) -> None:
    """CORE-STAT-07."""
    hub = in_state("Charging")
    with pytest.raises(LocalError) as caught:
        hub.tell(errors=[{"error_code": code}])
    assert caught.value.path == "/params/errors/0/error_code"
    assert "GroundFailure" in caught.value.hint
    assert hub.calls == []


def test_world_that_changed_under_a_fault_is_shown_over_legal_edges() -> None:
    """CORE-STAT-16: fault in Charging, cable pulled, fault cleared."""
    hub = in_state("Charging")
    fault(hub)
    hub.unplug()
    hub.tell(errors=[])
    wire = hub.wire()
    assert wire[0] == "Faulted"
    assert wire[-1] == "Available"
    assert all(edge in set(EDGES.values()) for edge in pairwise(["Charging", *wire]))
    assert len(hub.sent("StopTransaction")) == 1


def test_faulted_connector_gives_no_energy() -> None:
    """CORE-STAT-16: and the energy comes back with the state."""
    hub = in_state("Charging")
    fault(hub)
    assert not hub.state()["permit"]["energize"]
    hub.tell(errors=[])
    assert hub.state()["permit"]["energize"]
    assert hub.sent("StopTransaction") == []


def test_several_errors_are_told_newest_first() -> None:
    """CORE-STAT-17: Faulted while a fatal one is active; the last one gone is NoError."""
    hub = in_state("Charging")
    hub.tell(errors=[WARNING])
    hub.tell(errors=[WARNING, FATAL])
    assert (hub.notices()[-1]["status"], hub.notices()[-1]["errorCode"]) == ("Faulted", "GroundFailure")
    hub.tell(errors=[WARNING])
    assert (hub.notices()[-1]["status"], hub.notices()[-1]["errorCode"]) == ("Charging", "HighTemperature")
    hub.tell(errors=[])
    assert (hub.notices()[-1]["status"], hub.notices()[-1]["errorCode"]) == ("Charging", "NoError")


def test_fault_stays_until_the_last_fatal_error_is_gone() -> None:
    """CORE-STAT-17."""
    other = {"error_code": "OverVoltage", "inoperative": True}
    hub = in_state("Charging")
    hub.tell(errors=[FATAL])
    hub.tell(errors=[FATAL, other])
    assert hub.notices()[-1]["errorCode"] == "OverVoltage"
    hub.tell(errors=[FATAL])
    assert (hub.notices()[-1]["status"], hub.notices()[-1]["errorCode"]) == ("Faulted", "GroundFailure")


def test_repeated_errors_are_told_once() -> None:
    """CORE-STAT-01: levels."""
    hub = in_state("Charging")
    for _ in range(5):
        hub.tell(errors=[WARNING])
    assert len(hub.notices()) == 1


def test_tag_on_a_faulted_connector_is_an_error() -> None:
    """CORE-STAT-16: nothing starts."""
    hub = in_state("Preparing")
    fault(hub)
    with pytest.raises(LocalError):
        hub.swipe()
    assert hub.sent("StartTransaction") == []


def test_wire_follows_under_latency() -> None:
    """CORE-STAT-01: where more than one waits the newest is kept, and the last one always arrives."""
    hub = ready(1, operator=Operator(latency_s=2.0)).advance(30).forget()
    hub.plug()
    hub.present()
    hub.advance(6)
    for _ in range(5):
        hub.tell(ev_ready=False)
        hub.tell(ev_ready=True)
    hub.tell(ev_ready=False)
    hub.advance(60)
    assert hub.wire()[0] == "Preparing"
    assert hub.wire()[-1] == "SuspendedEV"


def test_trigger_in_a_short_state_shows_legal_edges_only() -> None:
    """CORE-STAT-02, CORE-STAT-03, CORE-TM-03: a whole session within the minimum, then the CSMS asks."""
    hub = in_state("Available").configure(MinimumStatusDuration=5).forget()
    _stopped(hub)
    hub.asks_for("TriggerMessage", requestedMessage="StatusNotification", connectorId=1)
    hub.advance(60)
    wire = ["Available", *hub.wire()]
    assert wire[-1] == "Finishing"
    assert all(old == new or (old, new) in set(EDGES.values()) for old, new in pairwise(wire))


def test_stop_in_the_middle_of_a_notification_shows_legal_edges_only() -> None:
    """CORE-STAT-02, CORE-STAT-09: what was under way when the link closed is not told out of turn afterwards."""
    hub = in_state("Available").configure(AllowOfflineTxForUnknownId=True).forget()
    hub.operator.silent.add("StatusNotification")
    hub.plug()
    hub.begin("stop")
    hub.advance(6)
    hub.unplug()
    hub.operator.silent.clear()
    hub.forget().call("restart")
    hub.online()
    assert hub.wire() == ["Available"]


@pytest.mark.parametrize("state", ["Available", "Reserved", "Unavailable", "Faulted"])
def test_ev_communication_error_where_it_must_not_be(state: str) -> None:
    """CORE-STAT-08: the status stays what it is, and that code is not told with it."""
    hub = in_state(state)
    extra = [FATAL] if state == "Faulted" else []
    hub.tell(errors=[*extra, {"error_code": "EVCommunicationError"}])
    hub.advance(5)
    assert hub.state()["status"] == state
    assert "EVCommunicationError" not in [each["errorCode"] for each in hub.notices()]
