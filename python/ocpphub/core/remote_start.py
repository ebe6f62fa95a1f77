"""Transactions and cables that the CSMS acts on (OCPP 1.6 sections 5.11, 5.12, 5.18).

Owns RemoteStartTransaction, RemoteStopTransaction and UnlockConnector. Must never start or stop anything before the
answer has been given, but for UnlockConnector, whose answer tells the outcome (requirement chapter 10).

Implements: CORE-RS, CORE-RSP and CORE-UL rows; SCA-30.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from ocpphub import _native
from ocpphub.core.charging import Charging
from ocpphub.core.connector import Connector, Connectors
from ocpphub.core.inbound import Answer, Handler, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.messages import (
    RemoteStartTransactionRequest,
    RemoteStopTransactionRequest,
    UnlockConnectorRequest,
)
from ocpphub.core.presenting import Presenting
from ocpphub.core.smart_charging import SmartCharging
from ocpphub.core.vocabulary import Reason, RemoteStartStopStatus, UnlockStatus

UNLOCK: Final = "connector.unlock"
_ACCEPTED: Final = {"status": str(RemoteStartStopStatus.ACCEPTED)}
_REJECTED: Final = {"status": str(RemoteStartStopStatus.REJECTED)}

Answered = Callable[[Any, Exception | None, Instant], None]
AskController = Callable[[Connector, str, Answered], bool]
"""Ask the controller of a connector with a method; false when there is none."""


@dataclass(slots=True)
class RemoteTransactions:
    """Handlers of the CSMS's wishes about transactions. ``reply`` answers a CALL that was left open."""

    connectors: Connectors
    charging: Charging
    presenting: Presenting
    schedules: SmartCharging
    ask: AskController
    reply: Reply

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler."""
        return {
            "RemoteStartTransaction": self.remote_start,
            "RemoteStopTransaction": self.remote_stop,
            "UnlockConnector": self.unlock_connector,
        }

    def remote_start(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.11: accepted means attempted; authorisation and start follow the answer."""
        request = cast("RemoteStartTransactionRequest", call.payload())
        id_tag, connector_id = request["idTag"], request.get("connectorId")
        if not id_tag:
            return Answer(_REJECTED)
        row = self._chosen(connector_id, id_tag, now)
        profile = call.raw("chargingProfile")
        if row is None or (profile is not None and self.schedules.refuses_for_transaction(profile, now) is not None):
            return Answer(_REJECTED)
        # CORE-RS-13: from here on a second one is refused, the answer may wait for the disk.
        return Answer(_ACCEPTED, lambda at: self.presenting.remote(row, id_tag, profile, at))

    def _chosen(self, connector_id: int | None, id_tag: str, now: Instant) -> Connector | None:
        if connector_id is None:
            return self.presenting.choose_remote(id_tag, now)
        if not 1 <= connector_id <= self.connectors.count:  # CORE-RS-04
            return None
        row = self.connectors.row(connector_id)
        return None if self.presenting.refuses_remote(row, id_tag, now) else row

    def remote_stop(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.12: accepted only for a transaction that runs under this id (CORE-RSP-03)."""
        request = cast("RemoteStopTransactionRequest", call.payload())
        row = self.charging.find(request["transactionId"])
        if row is None:
            return Answer(_REJECTED)
        transaction = row.transaction

        def stop(at: Instant) -> None:
            if row.transaction is transaction:
                self.charging.stop(row, Reason.REMOTE, at)
                self.charging.settle(row, at)

        return Answer(_ACCEPTED, stop)

    def unlock_connector(self, call: _native.Call, now: Instant) -> Answer | None:
        """OCPP 1.6 section 5.18: the transaction first, then the lock, then the answer (CORE-UL-03)."""
        request = cast("UnlockConnectorRequest", call.payload())
        connector_id = request["connectorId"]
        if not 1 <= connector_id <= self.connectors.count:
            return Answer({"status": UnlockStatus.NOT_SUPPORTED})
        row = self.connectors.row(connector_id)
        if row.transaction is not None:
            self.charging.stop(row, Reason.UNLOCK_COMMAND, now)
            self.charging.settle(row, now)

        def answered(result: Any, error: Exception | None, at: Instant) -> None:
            self.reply(call, Answer({"status": _unlock_status(result)}), at)

        if not self.ask(row, UNLOCK, answered):
            return Answer({"status": UnlockStatus.UNLOCK_FAILED})
        return None

    def release(self, row: Connector) -> None:
        """A use is over: the cable may go (CORE-TX-13, CORE-TX-16); nobody waits for the outcome."""
        self.ask(row, UNLOCK, lambda result, error, now: None)


def _unlock_status(result: Any) -> str:
    """What a controller answered; anything that is no UnlockStatus is a failure (CORE-UL-05)."""
    status = result.get("status") if isinstance(result, dict) else None
    return status if status in tuple(UnlockStatus) else str(UnlockStatus.UNLOCK_FAILED)
