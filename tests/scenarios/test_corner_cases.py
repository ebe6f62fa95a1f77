"""What an independent review of the sessions found wrong once, one test each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ocpphub.core.controllers import Controller
from ocpphub.core.reservation import Reservations
from ocpphub.errors import LocalError
from tests import builders
from tests.builders import World


def test_plug_id_alone_is_a_new_vehicle_that_is_plugged() -> None:
    """CORE-TX-14: absent means as before, and before it was plugged."""
    world = World().boot().attach()
    world.charge(plug_id=1)
    state = world.report(1, plug_id=2)
    assert (state["plugged"], state["status"], state["transaction"]) == (True, "Preparing", None)


def test_new_vehicle_with_another_meter_ends_the_session_after_three_registers() -> None:
    """E5: a refused register counts, whatever else its report says."""
    world = World().boot().attach()
    world.charge(plug_id=1)
    refused = 0
    for _ in range(4):
        world.advance(31)
        try:
            world.report(1, plug_id=2, energy_wh=90_000_000)
        except LocalError:
            refused += 1
    assert refused == 2
    assert world.core.connector_state(1)["transaction"] is None
    assert [(stop["meterStop"], stop["reason"]) for stop in world.sent("StopTransaction")] == [
        (1_000, "EVDisconnected")
    ]


def test_first_register_that_no_meter_can_show_changes_nothing() -> None:
    """CORE-MV-12: the session goes on, the report is refused."""
    world = World().boot().attach()
    world.report(1, plugged=True)
    world.authorize(1)
    with pytest.raises(LocalError):
        world.report(1, energy_wh=2**31)
    assert world.core.connector_state(1)["transaction"] is not None
    assert world.sent("StopTransaction") == []


def test_plug_id_told_after_the_start_is_known_after_a_crash() -> None:
    """AMB-18: another one then is another vehicle, the same one is not."""
    world = World().boot().attach()
    world.charge()
    world.report(1, plug_id=7)
    same = world.crash().boot().attach()
    assert same.report(1, plugged=True, plug_id=7)["transaction"] is not None
    other = world.crash(boot_id="00000000000000cc").boot().attach()
    assert other.report(1, plugged=True, plug_id=8)["transaction"] is None


def test_vehicle_that_comes_while_the_csms_is_asked_charges() -> None:
    """CORE-AUTH-02: a tag without connector is for the vehicle that was plugged before the answer."""
    world = World().boot().attach()
    world.report(1)
    world.csms.latency_s = 5.0
    request = world.command("authorize", builders.CONTROLLER, "TAG", None)
    world.report(1, plugged=True)
    world.advance(5)
    assert world.result(request) == {"status": "Accepted", "connector_id": 1}
    assert world.core.connector_state(1)["transaction"]["id_tag"] == "TAG"


def test_tag_without_connector_waits_for_ever_without_a_time_out() -> None:
    """CORE-TX-21: ConnectionTimeOut 0 is none."""
    world = World(builders.settings(configuration={"ConnectionTimeOut": "0"})).boot().attach()
    world.report(1)
    assert world.authorize(None)["status"] == "Accepted"
    assert world.advance(600).report(1, plugged=True)["transaction"] is not None


def test_notifications_of_days_without_a_link_take_no_memory() -> None:
    """CORE-STAT-09, R1."""
    world = World().boot().attach().disconnect()
    for index in range(2_000):
        world.report(1, plugged=bool(index % 2))
    assert len(world.core._parts.statuses._order) < 200


def test_free_vehicle_charges_again_after_stop_and_restart() -> None:
    """decisions.md 6: plugged connectors begin a new use. CORE-TX-01."""
    point = builders.settings(connector_overrides=(builders.override([1], free_vend_id_tag="FREE"),))
    world = World(point).boot().attach()
    assert world.report(1, plugged=True)["transaction"] is not None
    world.command("stop")
    world.advance(6).command("restart")
    world.connect().advance(1)
    assert world.core.connector_state(1)["transaction"]["id_tag"] == "FREE"


def test_tag_of_before_a_stop_starts_nothing_after_it() -> None:
    """S1: an authorisation ends with OCPP."""
    world = World().boot().attach()
    world.report(1)
    world.authorize(None)
    world.command("stop")
    world.advance(6).command("restart")
    world.connect().advance(1)
    assert world.report(1, plugged=True)["transaction"] is None


def test_permit_numbers_rise_over_restarts() -> None:
    """decisions.md 5: a controller that repeats its last confirmation is in step, one of the future is refused."""
    world = World().boot().attach()
    seq = world.charge()["permit"]["seq"]
    again = world.crash().boot().attach()
    assert again.report(1, plugged=True, permit_seq=seq)["permit"]["seq"] > seq
    with pytest.raises(LocalError, match="never given"):
        again.report(1, permit_seq=again.core.connector_state(1)["permit"]["seq"] + 1)


def test_errors_of_an_earlier_attachment_are_not_those_of_the_next() -> None:
    """CORE-STAT-16: absent is as in the last report of this attachment."""
    world = World().boot().attach()
    world.report(1, errors=[{"error_code": "GroundFailure", "inoperative": True}])
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle()
    other = Controller(2, 1_000)
    world.attach(1, controller=other)
    assert world.report(1, controller=other)["status"] == "Available"


def test_connector_whose_session_ended_without_a_controller_tells_no_values() -> None:
    """CORE-MV-03: its old register is no reading of now."""
    point = builders.settings(configuration={"ClockAlignedDataInterval": "60"})
    world = World(point).boot().attach()
    world.charge()
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(90)
    transaction_id = world.core.connector_state(1)["transaction"]["transaction_id"]
    assert world.ask("RemoteStopTransaction", {"transactionId": transaction_id})["status"] == "Accepted"
    assert world.advance(1).core.connector_state(1)["status"] == "Unavailable"
    assert world.forget().advance(600).sent("MeterValues") == []


def test_first_register_of_another_vehicle_is_not_billed_to_the_one_before() -> None:
    """E2: a silent meter speaks with the next plug."""
    world = World().boot().attach()
    world.report(1, plugged=True, plug_id=1)
    world.authorize(1)
    world.report(1, plug_id=2, energy_wh=5_000_000)
    assert [stop["meterStop"] for stop in world.sent("StopTransaction")] == [0]


def test_answer_for_a_controller_that_is_gone_authorises_nobody() -> None:
    """R1: nothing is kept for a connection that will not come back."""
    world = World().boot().attach()
    world.report(1)
    world.csms.latency_s = 5.0
    world.command("authorize", builders.CONTROLLER, "TAG", None)
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(5)
    assert world.core._parts.presenting._floating == {}


def test_remote_start_among_ten_thousand_vehicles_and_a_reservation_takes_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CORE-RS-05, CORE-RV-08: no work that grows with the square of the connectors."""
    world = World(builders.settings(connectors=10_000)).boot().attach()
    expiry = {"connectorId": 0, "expiryDate": "2027-01-16T08:00:00Z", "idTag": "OWNER", "reservationId": 1}
    assert world.ask("ReserveNow", expiry)["status"] == "Accepted"
    for connector_id in range(1, 10_001):
        world.report(connector_id, plugged=True)
    calls = 0
    admits = Reservations.admits

    def counted(*arguments: Any) -> bool:
        nonlocal calls
        calls += 1
        return admits(*arguments)

    monkeypatch.setattr(Reservations, "admits", counted)
    assert world.ask("RemoteStartTransaction", {"idTag": "OTHER"})["status"] == "Rejected"
    assert calls <= 3


def test_vehicle_that_was_authorised_before_a_fault_of_the_station_charges_after_it() -> None:
    """CORE-STAT-16: whatever kept it from starting, it starts when that is over."""
    world = World().boot().attach(0, 1)
    world.report(1)
    world.authorize(1)
    world.command("report", builders.CONTROLLER, {"connector_id": 0, "errors": [
        {"error_code": "GroundFailure", "inoperative": True}]})  # fmt: skip
    assert world.report(1, plugged=True)["transaction"] is None
    world.command("report", builders.CONTROLLER, {"connector_id": 0, "errors": []})
    assert world.core.connector_state(1)["transaction"] is not None


def test_faults_of_the_station_end_with_the_controller_that_told_them() -> None:
    """decisions.md 4: nobody knows the levels of a connector without controller, 0 included."""
    world = World().boot().attach(0)
    world.command("report", builders.CONTROLLER, {"connector_id": 0, "errors": [
        {"error_code": "GroundFailure", "inoperative": True}]})  # fmt: skip
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(61)
    assert [p["status"] for p in world.sent("StatusNotification") if p["connectorId"] == 0][-2:] == [
        "Faulted",
        "Available",
    ]


def test_tag_without_connector_leaves_a_finished_vehicle_alone_while_one_is_free() -> None:
    """CORE-AUTH-02: the next driver does not pay for the one who has not driven off."""
    world = World().boot().attach(1, 2)
    world.charge(1, "FIRST")
    world.report(2)
    world.authorize(1, "FIRST")
    assert world.authorize(None, "SECOND") == {"status": "Accepted"}
    assert world.report(2, plugged=True)["transaction"]["id_tag"] == "SECOND"


def test_subscribers_hear_of_everything_in_a_connector_state() -> None:
    """rpc.md connector.status: attached, plugged and the transaction's id too, and no event says what the last did."""
    world = World().boot()
    world.attach(1).charge(1)
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle()
    told = world.published("connector.status")
    assert [state["attached"] for state in told][-2:] == [True, False]
    assert told[-2]["transaction"]["transaction_id"] == 1
    assert all(a != b for a, b in pairwise(told))


def test_relative_profile_counts_from_the_start_that_the_first_clock_corrected() -> None:
    """D10, S2: a session that began in 1970 of a hub without a battery has its profiles from its own start."""
    hub = builders.hub(charge_before_accepted="always")
    point = builders.settings(configuration={"AllowOfflineTxForUnknownId": "true"})
    world = World(point, hub=hub, wall_jump_ms=-builders.EPOCH_MS).start().attach()
    world.csms.offset_ms = builders.EPOCH_MS
    world.charge()
    world.advance(60).connect().advance(1)
    world.install(1, 1, "TxProfile", chargingSchedulePeriod=builders.periods((0, 10.0), (600, 16.0)), transactionId=1)
    world.advance(1)
    assert world.core.connector_state(1)["permit"]["limit_a"] == 10.0


def test_session_after_the_clock_went_back_does_not_begin_in_the_future() -> None:
    """reliability.md 4.7: times of one session never go back, the next one has the clock of its own time."""
    world = World(csms=builders.Csms(interval_s=60)).boot().attach()
    world.charge()
    world.authorize(1)
    world.report(1, plugged=False)
    world.csms.offset_ms = -3_600_000
    world.advance(120)
    state = world.charge()
    assert state["transaction"]["start"] == world.core.clock.text(world.now)


def test_remote_start_finds_the_plugged_connector_that_is_reserved_for_its_tag() -> None:
    """CORE-RS-05: others that are refused before it do not hide it."""
    world = World().boot().attach()
    world.report(2)
    reservation = {"expiryDate": "2027-01-16T08:00:00Z", "idTag": "OWNER"}
    assert world.ask("ReserveNow", {**reservation, "connectorId": 2, "reservationId": 1})["status"] == "Accepted"
    assert world.ask("ReserveNow", {**reservation, "connectorId": 0, "reservationId": 2, "idTag": "ELSE"})[
        "status"
    ] == ("Accepted")
    for connector_id in (1, 2, 3):
        world.report(connector_id, plugged=True)
    assert world.ask("RemoteStartTransaction", {"idTag": "OWNER"})["status"] == "Accepted"
    assert world.advance(1).core.connector_state(2)["transaction"]["id_tag"] == "OWNER"


def test_queue_that_holds_a_start_has_bytes() -> None:
    """rpc.md charge_point.get: queue."""
    world = World().boot().attach().disconnect()
    world.core._parts.configuration._slot("AllowOfflineTxForUnknownId").set("true")
    world.charge()
    assert world.core.state(world.now)["queue"]["bytes"] > 0
    world.connect().advance(1)
    assert world.core.state(world.now)["queue"]["bytes"] == 0


def test_first_register_of_a_session_may_rise_as_since_its_start_only() -> None:
    """E2, CORE-MV-12: an old register must not let hours of another's energy into a session."""
    world = World().boot().attach()
    world.report(1, plugged=False, energy_wh=1_000)
    world.advance(36_000)
    world.report(1, plugged=True)
    world.authorize(1)
    world.advance(60)
    world.report(1, energy_wh=50_000)
    assert [(stop["meterStop"], stop["reason"]) for stop in world.sent("StopTransaction")] == [(1_000, "Other")]


def test_fault_of_a_session_without_controller_stays_a_fault() -> None:
    """CORE-STAT-17."""
    world = World().boot().attach()
    world.charge()
    world.report(1, errors=[{"error_code": "GroundFailure", "inoperative": True}])
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(100)
    assert world.core.connector_state(1)["status"] == "Faulted"


def test_authorize_is_answered_when_the_registration_is_lost() -> None:
    """rpc.md connector.authorize: at most MessageTimeout."""
    world = World().boot().attach()
    world.report(1, plugged=True)
    world.csms.silent.add("Authorize")
    world.command("authorize", builders.CONTROLLER, "ONE", 1)
    request = world.command("authorize", builders.CONTROLLER, "TWO", 1)
    world.csms.registration = "Rejected"
    call = next(call for call in world.calls if call.action == "Authorize")
    world.receive([4, call.unique_id, "SecurityError", "", {}]).advance(1)
    assert world.result(request)["status"] == "Invalid"


def test_energy_of_a_refused_session_ends_with_its_controller() -> None:
    """CORE-TX-08, S4: nobody tells how much of it is left."""
    point = builders.settings(configuration={"MaxEnergyOnInvalidId": "500", "StopTransactionOnInvalidId": "false"})
    world = World(point).boot().attach()
    refused = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
    world.csms.scripts["StartTransaction"] = lambda payload: refused
    assert world.charge()["permit"]["energize"] is True
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(100)
    assert world.core.connector_state(1)["permit"]["energize"] is False


def test_tag_without_connector_is_forgotten_with_the_last_connector() -> None:
    """S1: whoever detaches has left."""
    world = World().boot().attach()
    world.report(1)
    world.authorize(None)
    world.command("detach", builders.CONTROLLER, None)
    world.attach()
    assert world.report(1, plugged=True)["transaction"] is None


def test_clock_that_goes_back_in_a_session_of_steady_rows_ends_nothing() -> None:
    """E1, E2: the first register of a session is the first one, whichever way it came."""
    world = World(csms=builders.Csms(interval_s=60)).boot().attach()
    world.charge(energy_wh=1_000)
    for step in range(1, 61):
        world.advance(60)
        row = [1, True, True, True, 1_000 + step * 300]
        world.command("report_many", builders.CONTROLLER, {
            "columns": ["connector_id", "plugged", "ev_ready", "evse_ready", "energy_wh"], "rows": [row]},
            lambda each: True)  # fmt: skip
    world.csms.offset_ms = -3_600_000
    world.advance(120)
    assert world.report(1, energy_wh=19_100)["transaction"] is not None


def test_small_first_register_of_a_silent_meter_is_not_billed() -> None:
    """E2: a meterStart that nobody read is no reading."""
    world = World().boot().attach()
    world.report(1, plugged=True)
    world.authorize(1)
    world.advance(600)
    world.report(1, energy_wh=4_000)
    assert [stop["meterStop"] for stop in world.sent("StopTransaction")] == [0]


def test_tag_that_is_read_twice_is_accepted_twice_and_acts_once() -> None:
    """CORE-AUTH-02: readers do that."""
    world = World().boot().attach()
    world.report(1, plugged=True)
    world.csms.latency_s = 2.0
    first = world.command("authorize", builders.CONTROLLER, "TAG", 1)
    second = world.command("authorize", builders.CONTROLLER, "TAG", 1)
    world.advance(5)
    assert [world.result(each)["status"] for each in (first, second)] == ["Accepted", "Accepted"]
    assert len(world.sent("StartTransaction")) == 1
    assert world.core._parts.presenting._floating == {}


def test_free_vehicle_at_a_reserved_connector_charges_when_the_reservation_is_over() -> None:
    """CORE-RV-13: what kept it from charging is gone."""
    point = builders.settings(connector_overrides=(builders.override([1], free_vend_id_tag="FREE"),))
    world = World(point).boot().attach()
    world.report(1)
    expiry = {"connectorId": 1, "expiryDate": "2027-01-16T08:00:00Z", "idTag": "OWNER", "reservationId": 1}
    assert world.ask("ReserveNow", expiry)["status"] == "Accepted"
    assert world.report(1, plugged=True)["transaction"] is None
    assert world.ask("CancelReservation", {"reservationId": 1})["status"] == "Accepted"
    assert world.advance(1).core.connector_state(1)["transaction"]["id_tag"] == "FREE"


def test_silent_controller_gets_no_energy_beyond_what_a_refused_tag_may_have() -> None:
    """CORE-TX-08, S4."""
    point = builders.settings(configuration={"MaxEnergyOnInvalidId": "500", "StopTransactionOnInvalidId": "false"})
    world = World(point).boot().attach()
    refused = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
    world.csms.scripts["StartTransaction"] = lambda payload: refused
    assert world.charge()["permit"]["energize"] is True
    assert world.advance(300).core.connector_state(1)["permit"]["energize"] is False


def test_tag_without_connector_is_not_for_a_connector_with_a_fault() -> None:
    """CORE-TX-21: it would charge whoever stands there when the fault is over, long after the driver has gone."""
    world = World().boot().attach()
    world.report(1, errors=[{"error_code": "OtherError", "inoperative": True}])
    world.authorize(None, "TAG")
    world.report(1, plugged=True)
    assert world.report(1, errors=[])["transaction"] is None
    assert world.report(2, plugged=True)["transaction"]["id_tag"] == "TAG"


def test_profile_that_takes_the_id_of_one_elsewhere_moves_the_permits_there() -> None:
    """SCA-05, S2: what it replaced limited every connector until now."""
    world = World().boot().attach()
    world.charge()
    start = {"startSchedule": "2027-01-15T00:00:00Z"}
    periods = [{"startPeriod": 0, "limit": 10.0}]
    assert world.install(0, 1, "ChargePointMaxProfile", chargingSchedulePeriod=periods, **start) == "Accepted"
    assert world.advance(1).core.connector_state(1)["permit"]["limit_a"] == 10.0
    assert world.install(2, 1) == "Accepted"
    assert world.advance(1).core.connector_state(1)["permit"]["limit_a"] == 32.0
