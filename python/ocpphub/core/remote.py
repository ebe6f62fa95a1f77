"""Operations that the CSMS starts and that do not belong to a feature of their own (OCPP 1.6 chapter 5).

Owns TriggerMessage for the messages that exist, ChangeConfiguration, GetConfiguration and ChangeAvailability. Must
never send an answer: it returns it, and names what follows, so that the answer always leaves first (section 5.17).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ocpphub import _native
from ocpphub.core.boot import Boot
from ocpphub.core.charging import Charging
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import Connectors
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant
from ocpphub.core.messages import (
    ChangeAvailabilityRequest,
    ChangeConfigurationRequest,
    GetConfigurationRequest,
    TriggerMessageRequest,
)
from ocpphub.core.status import StatusQueue
from ocpphub.core.vocabulary import (
    MessageTrigger,
    RegistrationStatus,
    TriggerMessageStatus,
)


class Operations:
    """Handlers of the core operations; each returns the answer and what is to be done after it."""

    def __init__(
        self,
        boot: Boot,
        configuration: Configuration,
        connectors: Connectors,
        statuses: StatusQueue,
        charging: Charging,
    ) -> None:
        self._boot, self._configuration = boot, configuration
        self._connectors, self._statuses, self._charging = connectors, statuses, charging
        self.trigger_meter_values: Callable[[int | None, Instant], bool] = lambda connector_id, now: False
        """Lets MeterValues of a connector, of all for ``None``, follow the answer; whether there are any."""
        self.triggers: dict[str, Callable[[Instant], None]] = {}
        """What else can be triggered, by its name: firmware and diagnostics where they are there."""

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler for every action of the profiles Core and RemoteTrigger."""
        return {
            "ChangeAvailability": self.change_availability,
            "ChangeConfiguration": self.change_configuration,
            "GetConfiguration": self.get_configuration,
            "TriggerMessage": self.trigger_message,
        }

    def change_availability(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.2: answered first, then the status follows."""
        request = cast("ChangeAvailabilityRequest", call.payload())
        connector_id = request["connectorId"]
        status = self._connectors.change_availability(connector_id, request["type"])
        if not self._connectors.has(connector_id):
            return Answer({"status": status})
        return Answer({"status": status}, lambda at: self.follow_availability(connector_id, at))

    def follow_availability(self, connector_id: int, now: Instant) -> None:
        """Let the status follow the availability, of all connectors for 0 (AMB-14)."""
        if connector_id == 0:
            self._connectors.update(self._connectors.any_row(0), now)
            if not self._connectors.is_operative(0):
                self._connectors.reservations.ended(0, now)
        for row in self._connectors if connector_id == 0 else (self._connectors.row(connector_id),):
            self._charging.settle(row, now)

    def change_configuration(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.3: stored, answered, then carried out and published."""
        request = cast("ChangeConfigurationRequest", call.payload())
        status, changed = self._configuration.change(request["key"], request["value"], now)
        if changed is None:
            return Answer({"status": status})
        name = changed
        return Answer({"status": status}, lambda at: self._configuration.apply(name, at))

    def get_configuration(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.8."""
        request = cast("GetConfigurationRequest", call.payload())
        return Answer(self._configuration.get_ocpp(request.get("key", ())))

    def trigger_message(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.17; what cannot be sent, known or not, is NotImplemented."""
        request = cast("TriggerMessageRequest", call.payload())
        wanted, connector_id = request["requestedMessage"], request.get("connectorId")
        if wanted == MessageTrigger.HEARTBEAT:
            return _accepted(lambda at: self._boot.trigger_heartbeat())
        if wanted == MessageTrigger.BOOT_NOTIFICATION:
            if self._boot.registration is RegistrationStatus.ACCEPTED:  # errata 3.35
                return Answer({"status": TriggerMessageStatus.REJECTED})
            return _accepted(lambda at: self._boot.trigger_boot())
        if wanted == MessageTrigger.STATUS_NOTIFICATION:
            return self._trigger_status(connector_id)
        if wanted == MessageTrigger.METER_VALUES:
            return self._trigger_meter_values(connector_id, now)
        if (trigger := self.triggers.get(wanted)) is not None:
            return _accepted(trigger)
        return Answer({"status": TriggerMessageStatus.NOT_IMPLEMENTED})

    def _trigger_status(self, connector_id: int | None) -> Answer:
        if connector_id is not None and not self._connectors.has(connector_id):
            return Answer({"status": TriggerMessageStatus.REJECTED})
        wanted = range(self._connectors.count + 1) if connector_id is None else (connector_id,)

        def tell(at: Instant) -> None:
            is_pending = self._boot.is_pending
            for each in wanted:
                self._connectors.tell_now(each)
                self._statuses.trigger(each, self._connectors.condition(each), is_pending=is_pending)

        return _accepted(tell)

    def _trigger_meter_values(self, connector_id: int | None, now: Instant) -> Answer:
        if connector_id is not None and not self._connectors.has(connector_id):
            return Answer({"status": TriggerMessageStatus.REJECTED})
        # What is told waits in a queue of its own, and so leaves behind the answer.
        is_told = self.trigger_meter_values(connector_id, now)
        return Answer({"status": TriggerMessageStatus.ACCEPTED if is_told else TriggerMessageStatus.REJECTED})


def _accepted(then: Callable[[Instant], None]) -> Answer:
    return Answer({"status": TriggerMessageStatus.ACCEPTED}, then)
