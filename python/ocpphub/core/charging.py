"""Transactions of connectors: started, refused, stopped, and the permits that they give (OCPP 1.6 sections 4.8, 4.10).

Owns the moment a transaction begins and ends, what the CSMS's verdict on it means, and what follows for permit, status,
profiles and cable. Must never decide whom to authorise (``presenting.py``) nor when a message leaves (``delivery.py``).

Implements: CORE-TX rows, errata 3.5, 3.17, 3.18, 3.54; design decisions.md 4 and 6; reliability.md 4.4, S1, S4.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orjson import dumps

from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import EV_SIDE, Connector, Connectors, Grant
from ocpphub.core.effects import Effect, Publish
from ocpphub.core.instant import Instant
from ocpphub.core.permits import PHASES, Permits
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Stop, Transaction
from ocpphub.core.vocabulary import AuthorizationStatus, ChargePointStatus, Reason

if TYPE_CHECKING:
    from ocpphub.core.authorization import Authorization
    from ocpphub.core.delivery import TransactionQueue
    from ocpphub.core.meter import Meters
    from ocpphub.core.metering import Metering
    from ocpphub.core.reservation import Reservations
    from ocpphub.core.smart_charging import SmartCharging

log = logging.getLogger("ocpphub.core")

USE: Final = "use"
ENERGY: Final = "energy"
SILENT_MS: Final = 60_000
"""A register that is older tells nothing of what flows now."""
_UNLOCKS: Final = frozenset((Reason.LOCAL, Reason.REMOTE, Reason.OTHER, Reason.SOFT_RESET, Reason.EMERGENCY_STOP))

Unlock = Callable[[Connector], None]


@dataclass(slots=True)
class Charging:
    """The transactions of one charge point. ``unlock`` asks a connector's controller to release its cable."""

    emit: Callable[[Effect], None]
    timers: Timers
    clock: Clock
    configuration: Configuration
    connectors: Connectors
    queue: TransactionQueue
    meters: Meters
    metering: Metering
    schedules: SmartCharging
    permits: Permits
    authorization: Authorization
    reservations: Reservations
    unlock: Unlock
    may_start: Callable[[], bool]
    offer: Callable[[Connector], None] = lambda row: None
    """Authorises a vehicle that needs no tag (``free_vend_id_tag``)."""

    # start

    def settle(self, row: Connector, now: Instant, at_ms: int | None = None, *, limit_changed: bool = False) -> None:
        """Something about a connector changed: let transaction, permit, availability and status follow.

        Effects: ``Store`` of a new transaction, ``Publish``.
        """
        if row.plugged and row.transaction is None:
            if row.grant is None and not row.is_over:
                self.offer(row)
            if row.grant is not None:
                self._try_start(row, row.grant, now, at_ms)
        self._watch_energy(row, now)
        self._permit(row, now, limit_changed)
        self.connectors.run_schedule(row)
        self.connectors.update(row, now, at_ms)
        self._watch_use(row, now)
        # CORE-RV-10. Not Unavailable for want of a controller: after a start that is no more than a moment (RV-14).
        if not self.connectors.is_operative(row.connector_id) or self.connectors.is_faulted(row.connector_id):
            self.reservations.ended(row.connector_id, now)

    def _watch_use(self, row: Connector, now: Instant) -> None:
        """CORE-TX-21: ConnectionTimeOut begins with Preparing, and ends with it but for a fault."""
        name = (USE, row.connector_id)
        status = self.connectors.status(row.connector_id)
        if status is ChargePointStatus.PREPARING:
            wait_s = self.configuration.integer("ConnectionTimeOut")
            if wait_s and self.timers.deadline(name) is None:
                self.timers.set(name, now.monotonic_s + wait_s)
        elif status is not ChargePointStatus.FAULTED:
            self.timers.cancel(name)

    def _try_start(self, row: Connector, grant: Grant, now: Instant, at_ms: int | None) -> None:
        connector_id = row.connector_id
        if not self.may_start() or self.connectors.is_faulted(connector_id) or not row.is_attended:
            return
        if not self.connectors.is_operative(connector_id):
            return
        row.grant = None
        row.is_over = row.is_refused = row.is_metered = False
        row.energy_limit_wh = row.locked_tag = row.locked_group = None
        transaction = self.queue.start(
            connector_id,
            grant.id_tag,
            self._start_time(row, now, at_ms),
            self.meters.register(connector_id) or 0,
            trusted=self.clock.is_trusted,
            parent_id_tag=grant.parent_id_tag,
            reservation_id=self.reservations.used(connector_id, grant.id_tag, grant.parent_id_tag, now),
            plug_id=row.plug_id,
        )
        row.started_s = now.monotonic_s
        self._begin(row, transaction, now)
        if grant.profile is not None:
            self.schedules.install_for_transaction(connector_id, grant.profile, now)
        self.metering.started(transaction, now)
        self.publish("started", transaction)

    def _start_time(self, row: Connector, now: Instant, at_ms: int | None) -> int:
        """When a transaction begins: not before the one before it ended, and not ahead of a clock that went back."""
        now_ms = self.clock.utc_ms(now)
        return max(now_ms if at_ms is None else at_ms, min(row.last_stop_ms, now_ms))

    def _begin(self, row: Connector, transaction: Transaction, now: Instant) -> None:
        row.transaction = transaction
        row.phases = 0
        self.schedules.transaction_started(
            row.connector_id, transaction.start_ms // 1000, transaction.transaction_id, now
        )

    def resume(self, row: Connector, transaction: Transaction) -> None:
        """At the start of the process: a transaction of an earlier one goes on (decisions.md 4)."""
        row.transaction = transaction
        row.plug_id = transaction.plug_id
        row.is_resuming = row.is_metered = True
        row.phases = transaction.notes.get(PHASES, self.permits.allotment.place(row.connector_id).phases)
        row.is_refused = bool(transaction.notes.get("refused"))
        row.energy_limit_wh = transaction.notes.get("energy_limit_wh")

    # the CSMS's verdict

    def answered(self, transaction: Transaction, info: Mapping[str, Any], repeated: bool, now: Instant) -> None:
        """StartTransaction was answered; ``repeated`` after an earlier transmission without answer.

        Effects: all that the answer changes, in one commit: cache, transaction, its end where it is refused.
        """
        self.authorization.learn(transaction.id_tag, info, now)
        if parent := info.get("parentIdTag"):
            transaction.parent_id_tag = parent
            self.queue.update(transaction)
        connector_id = transaction.connector_id
        row = self.connectors.any_row(connector_id) if self.connectors.has(connector_id) else None
        if row is None or row.transaction is not transaction:
            self.publish("updated", transaction)
            return
        if transaction.transaction_id is not None:
            self.schedules.transaction_confirmed(row.connector_id, transaction.transaction_id)
            self.connectors.announce(row)
        self.publish("updated", transaction)
        status = info["status"]
        if status == AuthorizationStatus.ACCEPTED:
            return
        if status == AuthorizationStatus.CONCURRENT_TX and repeated:
            # reliability.md 4.4: the transaction that is "concurrent" is ours, told before the answer was lost.
            log.warning("connector %d: ConcurrentTx for a repeated StartTransaction: it goes on", row.connector_id)
            return
        self._refuse(row, transaction, now)

    def _refuse(self, row: Connector, transaction: Transaction, now: Instant) -> None:
        """Errata 3.17: the CSMS does not accept the id tag of a running transaction."""
        allowed_wh = self.configuration.integer("MaxEnergyOnInvalidId")
        register = self.meters.register(row.connector_id)
        if allowed_wh > 0 and register is not None:
            row.energy_limit_wh = register + allowed_wh
            transaction.notes["energy_limit_wh"] = row.energy_limit_wh
            self.queue.update(transaction)
            self._watch_silence(row, allowed_wh, now)
            self.settle(row, now)
        else:
            self._end_energy(row, transaction, now)
            self.settle(row, now)

    def _watch_silence(self, row: Connector, allowed_wh: int, now: Instant) -> None:
        """Look again when as much may have been delivered, whatever is reported until then."""
        hour_wh = max(self.meters.may_rise(row.connector_id, 3_600) - self.meters.may_rise(row.connector_id, 0), 1)
        self.timers.set((ENERGY, row.connector_id), now.monotonic_s + max(allowed_wh * 3_600 / hour_wh, 1.0))

    def handle_energy_timer(self, connector_id: int, now: Instant) -> None:
        """MaxEnergyOnInvalidId may be delivered: without a register of the last minute it is taken for that."""
        row = self.connectors.row(connector_id)
        limit, register = row.energy_limit_wh, self.meters.register(connector_id)
        if row.transaction is None or limit is None or register is None:
            return
        read_ms = self.meters.register_ms(connector_id) or 0
        if self.clock.utc_ms(now) - read_ms > SILENT_MS:
            self.end_energy_of_lost(row, now)
            self.settle(row, now)
        elif register < limit:
            self._watch_silence(row, limit - register, now)

    def end_energy_of_lost(self, row: Connector, now: Instant) -> None:
        """Nobody reports how much of MaxEnergyOnInvalidId is left: it is taken as delivered."""
        if row.transaction is not None and row.energy_limit_wh is not None:
            row.energy_limit_wh = None
            self._end_energy(row, row.transaction, now)

    def _end_energy(self, row: Connector, transaction: Transaction, now: Instant) -> None:
        if self.configuration.text("StopTransactionOnInvalidId") == "true":
            row.locked_tag, row.locked_group = transaction.id_tag, transaction.parent_id_tag
            self.stop(row, Reason.DE_AUTHORIZED, now)
        elif not row.is_refused:
            row.is_refused = True
            transaction.notes["refused"] = True
            self.queue.update(transaction)

    def _watch_energy(self, row: Connector, now: Instant) -> None:
        transaction, limit = row.transaction, row.energy_limit_wh
        if transaction is None or limit is None or (self.meters.register(row.connector_id) or 0) < limit:
            return
        row.energy_limit_wh = None
        self._end_energy(row, transaction, now)

    def discarded(self, transaction: Transaction, now: Instant) -> None:
        """StartTransaction was given up: its followers carry -1 (errata 3.18)."""
        log.error("connector %d: StartTransaction was given up", transaction.connector_id)
        self.publish("updated", transaction)

    def delivered(self, transaction: Transaction, info: Mapping[str, Any] | None, now: Instant) -> None:
        """StopTransaction was answered (``info`` its idTagInfo, if any) or given up."""
        if info is not None and transaction.stop is not None and transaction.stop.id_tag is not None:
            self.authorization.learn(transaction.stop.id_tag, info, now)
        self.publish("updated", transaction, is_delivered=True)

    # stop

    def stop(
        self,
        row: Connector,
        reason: str,
        now: Instant,
        *,
        id_tag: str | None = None,
        at_ms: int | None = None,
        meter_wh: int | None = None,
    ) -> None:
        """End the transaction of a connector, at its last good register unless ``meter_wh`` says otherwise.

        Effects: ``Store``, ``Publish``. No transaction is no error.
        """
        transaction = row.transaction
        if transaction is None:
            return
        connector_id = row.connector_id
        stop_ms = max(self.clock.utc_ms(now) if at_ms is None else at_ms, transaction.start_ms)
        self.metering.stopped(transaction, stop_ms, now, meter_wh)
        register = self.meters.register(connector_id) if meter_wh is None else meter_wh
        end_wh = max(register or 0, transaction.meter_start_wh)
        self.queue.stop(transaction, Stop(stop_ms, end_wh, str(reason), id_tag, self.clock.is_trusted))
        row.transaction, row.last_stop_ms = None, stop_ms
        if row.is_lost:
            self.leave(row)
        row.is_resuming = row.is_refused = row.is_lost = False
        row.energy_limit_wh = None
        row.is_over = row.plugged
        self.schedules.transaction_stopped(connector_id, now)
        self.publish("ended", transaction)
        if reason in _UNLOCKS:
            self.unlock(row)

    def leave(self, row: Connector) -> None:
        """Without a controller nobody knows this connector's levels any more."""
        self.metering.forget(row.connector_id)
        row.is_attended = row.plugged = row.is_over = False
        row.plug_id, row.errors, row.grant = None, (), None
        row.locked_tag = row.locked_group = None
        self.timers.cancel((USE, row.connector_id))

    def starts_moved(self, now: Instant) -> None:
        """The time became known: running transactions may have begun at another one (reliability.md 4.7)."""
        for row in self.connectors:
            if row.transaction is not None:
                self.schedules.transaction_moved(row.connector_id, row.transaction.start_ms // 1000, now)

    def plugged_as(self, transaction: Transaction, plug_id: int | str) -> None:
        """The running transaction's vehicle is known by this plug from now on. Effects: ``Store``."""
        transaction.plug_id = plug_id
        self.queue.update(transaction)

    def stop_unplugged(self, row: Connector, now: Instant, at_ms: int, meter_wh: int | None) -> None:
        """The vehicle was unplugged and the transaction ends with it (CORE-TX-14, CORE-TX-17)."""
        transaction = row.transaction
        self.stop(row, Reason.EV_DISCONNECTED, now, at_ms=at_ms, meter_wh=meter_wh)
        self.connectors.pass_through(row, ChargePointStatus.FINISHING, EV_SIDE, now)
        if self.configuration.text("UnlockConnectorOnEVSideDisconnect") == "true":
            self.unlock(row)
        elif transaction is not None:  # CORE-TX-16: whose cable it is shows the tag
            row.locked_tag, row.locked_group = transaction.id_tag, transaction.parent_id_tag

    def stop_all(self, reason: str, now: Instant) -> None:
        """End every transaction, in one commit."""
        for row in self.connectors:
            if row.transaction is not None:
                self.stop(row, reason, now)
                self.settle(row, now)

    def find(self, transaction_id: int) -> Connector | None:
        """The connector of the running transaction with this id of the CSMS (errata 3.54: any integer is an id)."""
        for row in self.connectors:
            if row.transaction is not None and row.transaction.transaction_id == transaction_id:
                return row
        return None

    def _permit(self, row: Connector, now: Instant, limit_changed: bool) -> None:
        if row.connector_id:
            energize = (
                row.transaction is not None
                and not (row.is_resuming or row.is_refused)
                and not self.connectors.is_faulted(row.connector_id)
            )
            self.permits.follow(row, now, energize=energize, limit_changed=limit_changed)

    def limit_changed(self, row: Connector, now: Instant) -> None:
        """The limit of a connector may be another. Effects: ``Publish``."""
        self.settle(row, now, limit_changed=True)

    # readers

    def publish(self, event: str, transaction: Transaction, *, is_delivered: bool = False) -> None:
        """Effects: ``Publish`` on ``transaction`` (rpc.md)."""
        value: dict[str, Any] = {
            "event": event,
            "connector_id": transaction.connector_id,
            "session_id": transaction.session_id,
            "transaction_id": transaction.transaction_id,
            "id_tag": transaction.id_tag,
            "start": utc_text(transaction.start_ms),
            "meter_start_wh": transaction.meter_start_wh,
        }
        if (stop := transaction.stop) is not None:
            value["stop"] = utc_text(stop.at_ms)
            value["meter_stop_wh"] = stop.meter_wh
            value["reason"] = stop.reason
        value["delivered"] = is_delivered
        self.emit(Publish("transaction", dumps(value), transaction.connector_id))
