"""Chapter 14: TriggerMessage, whose conf comes before the message."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, Operator, ready, take

REJECTED = {"status": "Rejected"}
NOT_IMPLEMENTED = {"status": "NotImplemented"}


def trigger(hub: Hub, message: str, connector_id: int | None = None) -> dict[str, Any]:
    """The CSMS wants a message; the payload that it gets."""
    where = {} if connector_id is None else {"connectorId": connector_id}
    return hub.asks_for("TriggerMessage", requestedMessage=message, **where)


@pytest.mark.parametrize("message", ["StatusNotification", "MeterValues", "Heartbeat"])
def test_answer_comes_before_the_message(message: str) -> None:
    """CORE-TM-01, CORE-TM-02, CORE-TM-03: trap 28."""
    hub = ready(1)
    assert trigger(hub, message) == ACCEPTED
    assert hub.trace[0] == "answer"
    assert message in hub.trace[1:]


def test_message_of_a_profile_that_is_not_there_is_not_implemented() -> None:
    """CORE-TM-02: FirmwareManagement is switched off."""
    point = settings(connectors=1, configuration={"SupportedFeatureProfiles": "Core,RemoteTrigger"})
    hub = ready(point=point, schemes=("https",))
    assert trigger(hub, "FirmwareStatusNotification") == NOT_IMPLEMENTED
    assert trigger(hub, "DiagnosticsStatusNotification") == NOT_IMPLEMENTED
    assert hub.calls == []


def test_message_while_the_link_is_busy_comes_later() -> None:
    """CORE-TM-03, CORE-RPC-05: Accepted means that it will be sent."""
    hub = ready(2)
    hub.operator.silent.add("Authorize")
    hub.plug()
    hub.present()
    hub.forget()
    assert trigger(hub, "StatusNotification", 1) == ACCEPTED
    assert hub.sent("StatusNotification") == []
    hub.advance(31)
    assert hub.wire(1)[0] == "Preparing"


@pytest.mark.parametrize("connector_id", [1, 2, 0])
def test_connector_that_does_not_matter_is_ignored(connector_id: int) -> None:
    """CORE-TM-04."""
    hub = ready(2)
    assert trigger(hub, "Heartbeat", connector_id) == ACCEPTED
    assert hub.actions == ["Heartbeat"]


def test_status_without_a_connector_is_that_of_all() -> None:
    """CORE-TM-05: 0 to N."""
    hub = ready(3)
    assert trigger(hub, "StatusNotification") == ACCEPTED
    assert sorted(each["connectorId"] for each in hub.sent("StatusNotification")) == [0, 1, 2, 3]


def test_meter_values_without_a_connector_are_those_of_all_with_a_meter() -> None:
    """CORE-TM-05: connector 2 never reported a register, connector 0 has a main meter."""
    hub = Hub(operator=Operator()).boot()
    take(hub, [1, 3])
    hub.join(2)
    hub.tell(2, plugged=False, ev_ready=False, evse_ready=True)
    hub.join(0)
    hub.tell(0, energy_wh=5)
    hub.forget()
    assert trigger(hub, "MeterValues") == ACCEPTED
    assert sorted(each["connectorId"] for each in hub.sent("MeterValues")) == [0, 1, 3]


@pytest.mark.parametrize("message", ["StatusNotification", "MeterValues"])
def test_connector_zero_is_accepted(message: str) -> None:
    """CORE-TM-06."""
    hub = ready(1)
    hub.join(0)
    hub.tell(0, energy_wh=5)
    hub.forget()
    assert trigger(hub, message, 0) == ACCEPTED
    assert [call.payload["connectorId"] for call in hub.calls if call.action == message] == [0]


@pytest.mark.parametrize("message", ["StatusNotification", "MeterValues"])
def test_unknown_connector_is_rejected(message: str) -> None:
    """CORE-TM-07."""
    hub = ready(2)
    assert trigger(hub, message, 3) == REJECTED
    hub.advance(5)
    assert hub.calls == []


def test_meter_values_are_those_of_now() -> None:
    """CORE-TM-08: the last report; nothing that is queued is replayed."""
    hub = ready(1).configure(MeterValueSampleInterval=10, TransactionMessageRetryInterval=600)
    hub.operator.errors["StartTransaction"] = "InternalError"
    hub.session().advance(25)
    hub.tell(energy_wh=1_077)
    hub.forget()
    trigger(hub, "MeterValues", 1)
    message = hub.only("MeterValues")
    assert len(message["meterValue"]) == 1
    (value,) = message["meterValue"][0]["sampledValue"]
    assert (value["value"], value["context"]) == ("1077", "Trigger")


def test_meter_values_of_a_connector_without_a_meter_are_rejected() -> None:
    """CORE-TM-02: will not be sent."""
    hub = Hub().boot().forget()
    assert trigger(hub, "MeterValues", 1) == REJECTED
    assert hub.sent("MeterValues") == []


def test_boot_notification_after_acceptance_is_rejected() -> None:
    """CORE-TM-09, CORE-BOOT-15."""
    hub = ready(1)
    assert trigger(hub, "BootNotification") == REJECTED
    hub.advance(10)
    assert hub.sent("BootNotification") == []


@pytest.mark.parametrize("message", ["BootNotification", "StatusNotification", "Heartbeat", "MeterValues"])
def test_triggers_work_while_pending(message: str) -> None:
    """CORE-TM-11, CORE-BOOT-06, CORE-BOOT-08: and only what is triggered is sent."""
    hub = Hub(operator=Operator(registration="Pending", interval_s=1_000)).boot()
    take(hub, [1])
    hub.plug()
    hub.advance(30)
    assert hub.actions == ["BootNotification"]
    hub.forget()
    assert trigger(hub, message, 1) == ACCEPTED
    hub.advance(5)
    assert set(hub.actions) == {message}


@pytest.mark.parametrize("message", ["SignChargePointCertificate", "Nonsense", ""])
def test_unknown_message_is_not_implemented(message: str) -> None:
    """CORE-TM-12, AMB-25: no CALLERROR; trap 28."""
    hub = ready(1)
    assert trigger(hub, message) == NOT_IMPLEMENTED
    assert hub.calls == []
