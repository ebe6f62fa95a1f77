"""The parts of one charge point and how they hear of one another.

Owns the wiring: which part is made of which, in which order the outbox asks them for CALLs, and which part a change of
a key, of the clock or of the registration reaches. Must hold no rule of OCPP and no state of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from ocpphub import _native
from ocpphub.core.allocation import Allocation
from ocpphub.core.allotment import Allotment
from ocpphub.core.authorization import Authorization
from ocpphub.core.boot import Boot, utc_text
from ocpphub.core.certificates import Provisioned
from ocpphub.core.charging import Charging
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import Connector, Connectors
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.data_transfer import DataTransfers
from ocpphub.core.delivery import TransactionQueue
from ocpphub.core.effects import Abandon, Ask, Effect, Store, Work
from ocpphub.core.external import ExternalLimits
from ocpphub.core.inbound import Handler, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.keys import EXTRAS, SECURITY
from ocpphub.core.maintenance import Maintenance
from ocpphub.core.meter import Meters
from ocpphub.core.metering import Metering
from ocpphub.core.outbox import DurableQueue, Outbox, PromptQueue
from ocpphub.core.permits import Permits
from ocpphub.core.presenting import Presenting
from ocpphub.core.remote import Operations
from ocpphub.core.remote_start import RemoteTransactions
from ocpphub.core.reservation import Reservations
from ocpphub.core.reset import DELIVERY_S, Reset
from ocpphub.core.rows import Rows
from ocpphub.core.security import SecurityEvents
from ocpphub.core.servicing import Servicing
from ocpphub.core.sessions import Sessions
from ocpphub.core.smart_charging import SmartCharging
from ocpphub.core.state import ChargePointState
from ocpphub.core.status import StatusQueue, StatusTurns
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Stop, Transaction
from ocpphub.core.trust import Trust
from ocpphub.core.vendor import VendorTransfers
from ocpphub.core.vocabulary import ChargePointErrorCode, Reason
from ocpphub.core.x509 import X509

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, HubSettings

log = logging.getLogger("ocpphub.core")

COUNTERS: Final = "counter"
PERMITS: Final = "permit"
PERMITS_PER_START: Final = 1_000_000
"""Changes of one permit that fit between two starts."""
AskDone = Callable[[Any, Exception | None, Instant], None]
_ACTIONS: Final = _native.actions()


class Questions:
    """What local clients were asked, and the shell was given to do, and what has not been answered."""

    __slots__ = ("_emit", "_number", "_open")

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._number = 0
        self._open: dict[int, AskDone] = {}

    def ask(
        self,
        method: str,
        params: dict[str, Any],
        done: AskDone,
        *,
        connector_id: int | None = None,
        controller: int | None = None,
    ) -> None:
        """Ask a local client; ``done(result, error, now)`` hears of it once. Effects: ``Ask``."""
        self._number += 1
        self._open[self._number] = done
        self._emit(Ask(self._number, method, params, connector_id, controller=controller))

    def work(self, method: str, params: dict[str, Any], done: AskDone) -> int:
        """Have something done outside; ``done(result, error, now)`` hears of it once, unless it is abandoned.

        The number is what :meth:`abandon` takes. Effects: ``Work``.
        """
        self._number += 1
        self._open[self._number] = done
        self._emit(Work(self._number, method, params))
        return self._number

    def abandon(self, number: int) -> None:
        """Nobody waits for this work any more; one that is over is no error. Effects: ``Abandon``."""
        if self._open.pop(number, None) is not None:
            self._emit(Abandon(number))

    def answered(self, ask: int, result: Any, error: Exception | None, now: Instant) -> None:
        """An answer, or (``error``) none; one to nothing is ignored."""
        done = self._open.pop(ask, None)
        if done is not None:
            done(result, error, now)


class Parts:
    """Every part of one charge point. Raises :class:`LocalError` for configured keys that are not legal."""

    def __init__(
        self,
        settings: ChargePointSettings,
        hub: HubSettings | None,
        emit: Callable[[Effect], None],
        boot_id: str,
        authorization_key: bytes | None,
        reply: Reply,
        allotment: Allotment | None = None,
        schemes: Collection[str] = (),
        x509: X509 | None = None,
        maintenance: Maintenance | None = None,
        provisioned: Provisioned | None = None,
    ) -> None:
        self.x509 = x509
        """Certificates; ``None`` without the extra ``security``."""
        self.schemes = schemes
        """URL schemes, in lower case, that transfers may use; none without the extra ``transfer``."""
        self.allotment = allotment or Allotment(Allocation([settings]), settings.identity, is_alone=True)
        self.settings, self._hub, self._reply = settings, hub, reply
        self.emit = emit
        self.timers = timers = Timers()
        self.questions = Questions(emit)
        extras = [name for name, there in zip(EXTRAS, (x509 is not None, bool(schemes)), strict=True) if there]
        self.configuration = configuration = Configuration(settings, emit, authorization_key, extras)
        self.outbox = Outbox(emit, timers, configuration.reader("MessageTimeout"), boot_id)
        self.boot = Boot(settings, emit, timers, configuration, self.outbox)
        self.clock = self.boot.clock
        self.prompt = PromptQueue()
        self.trust = Trust(self, x509, provisioned)
        self.durable = DurableQueue(
            emit, timers, self.outbox, utc_text, lambda: configuration.integer("TransactionMessageRetryInterval")
        )
        self.transactions = TransactionQueue(emit, timers, self.outbox, self.clock, configuration)
        self.state = ChargePointState(
            *(settings, emit, timers, self.boot, configuration, self.durable, self.transactions, self.trust)
        )
        self.security = SecurityEvents(emit, self.durable, self.clock)
        self.transfers = DataTransfers(emit, self.prompt)
        self.vendor_transfers = VendorTransfers(self.questions.ask, reply)
        self.schedules = SmartCharging(settings, hub, emit, timers, self.clock, configuration, reply)
        self._build_connectors()
        self._build_sessions()
        self.servicing = Servicing(self, reply, maintenance or Maintenance())
        # Most urgent first; status notifications come late, so that thousands of them hold up nothing (chapter 18).
        turns = StatusTurns(self.statuses, lambda: self.outbox.counters.sent)
        self.outbox.register(self.boot, self.prompt, self.metering.urgent, self.durable)
        self.outbox.register(*self.servicing.sources, turns)
        self.outbox.register(self.transactions, self.statuses, self.metering.patient)

    def _build_connectors(self) -> None:
        count, emit, timers, clock = self.settings.connectors, self.emit, self.timers, self.clock
        self.statuses = StatusQueue(count, utc_text, clock.utc_ms)
        self.connectors = Connectors(
            count,
            emit,
            timers,
            self.statuses,
            clock.utc_ms,
            may_replace=lambda: not self.is_online,
            min_duration_s=lambda: self.configuration.integer("MinimumStatusDuration"),
        )
        self.reservations = Reservations(self.settings, emit, timers, clock, self.configuration, self.connectors)
        self.connectors.reservations = self.reservations
        self.controllers = Controllers()

    def _build_sessions(self) -> None:
        settings, emit, timers, clock = self.settings, self.emit, self.timers, self.clock
        self.authorization = Authorization(emit, self.prompt, clock, self.configuration, lambda: self.is_online)
        self.authorization.on_conflict = lambda now: self.connectors.tell_once(
            ChargePointErrorCode.LOCAL_LIST_CONFLICT, now
        )
        self.meters = Meters(settings, emit, clock)
        self.metering = Metering(settings, emit, timers, clock, self.configuration, self.transactions, self.meters)
        self.permits = Permits(emit, timers, self.connectors, self.schedules, self.allotment)
        self.permits.keep = self.transactions.update
        self.permits.switches_phases = lambda: self.configuration.text("ConnectorSwitch3to1PhaseSupported") == "true"
        self.external = ExternalLimits(emit, timers, clock, self.allotment, self.permits.tell)
        self.charging = Charging(
            emit,
            timers,
            clock,
            self.configuration,
            self.connectors,
            self.transactions,
            self.meters,
            self.metering,
            self.schedules,
            self.permits,
            self.authorization,
            self.reservations,
            self.unlock,
            self.may_start,
        )
        self.permits.settle = self.charging.limit_changed
        self.presenting = Presenting(
            timers,
            self.configuration,
            self.connectors,
            self.controllers,
            self.charging,
            self.authorization,
            self.reservations,
            self.unlock,
            _free_vend(settings),
        )
        self.charging.offer = self.presenting.offer
        self.connectors.on_free = self.charging.settle
        self.sessions = Sessions(
            timers,
            clock,
            self.configuration,
            self.connectors,
            self.controllers,
            self.meters,
            self.metering,
            self.charging,
            self.presenting,
            lambda connector_id, text, now: self.security.internal("MeterBeganAnew", text, now),
            self._hub,
        )  # fmt: skip
        self._build_operations()

    def _build_operations(self) -> None:
        self.reset = Reset(
            self.emit,
            self.timers,
            self.configuration,
            self.charging,
            self.controllers,
            self.security,
            self._ask_connection,
            DELIVERY_S if self._hub is None else self._hub.reset_wait_s,
            self._reset_failed,
        )
        self.remote = RemoteTransactions(
            self.connectors, self.charging, self.presenting, self.schedules, self.ask_controller, self._reply
        )
        self.operations = Operations(self.boot, self.configuration, self.connectors, self.statuses, self.charging)
        self.operations.trigger_meter_values = self.metering.trigger
        self.transactions.on_answered = self.charging.answered
        self.transactions.on_discarded = self.charging.discarded
        self.transactions.on_stopped = self.charging.delivered
        self.schedules.on_change = self.permits.limits_changed

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler, of the feature profiles that are switched on."""
        built = {
            **self.operations.handlers(),
            **self.schedules.handlers(),
            **self.authorization.handlers(),
            **self.reservations.handlers(),
            **self.remote.handlers(),
            **self.vendor_transfers.handlers(),
            **self.servicing.handlers(),
            **self.trust.handlers(),
            "Reset": self.reset.handle,
        }
        profiles = (*self.configuration.feature_profiles, SECURITY)
        supported = {name: handler for name, handler in built.items() if _ACTIONS[name]["profile"] in profiles}
        # CORE-LL-01, CORE-LL-11: these two have an answer of their own for a list that is not supported.
        lists = self.authorization.handlers()
        return {**supported, **{name: lists[name] for name in ("SendLocalList", "GetLocalListVersion")}}

    def restore(self, rows: Rows, now: Instant) -> list[Transaction]:
        """Take up the rows of an earlier process; the transactions that were running."""
        self.configuration.restore(rows)
        self.boot.restore(rows)
        self.trust.restore(rows, now)
        self.durable.restore(rows)
        running = self.transactions.restore(rows)
        self.authorization.restore(rows)
        self.meters.restore(rows)
        self.reservations.restore(rows)
        present = [each for each in running if 1 <= each.connector_id <= self.settings.connectors]
        self._orphans = [
            (each, rows.object("meter", str(each.connector_id), wh=int, at=int))
            for each in running
            if each not in present
        ]
        self.sessions.restore(present)
        number = rows.of(COUNTERS).get(PERMITS, b"0")
        self._starts = int(number) if number.isdigit() else 0
        for row in self.connectors:
            row.permit.seq = self._starts * PERMITS_PER_START
        resuming = [each.connector_id for each in present]
        self.allotment.begin(self._starts * PERMITS_PER_START, self.meters.register, resuming, now)
        self.connectors.restore(rows, self.clock.utc_ms(now))
        self.schedules.restore(rows)
        self.external.restore(rows)
        self.servicing.restore(rows)
        return present

    def handle_part_timer(self, what: str, part: str, now: Instant) -> None:
        """A timer ``(what, part)`` is due; of ``retry`` the part is an entry's key."""
        match what:
            case "trust":
                self.trust.handle_timer(part, now)
            case "schedules":
                self.schedules.handle_timer(part, now)
            case "retry":
                self.durable.handle_retry(part)
            case "firmware":
                self.servicing.firmware.handle_timer(part, now)
            case "upload":
                self.servicing.diagnostics.handle_timer(part)

    def handle_connector_timer(self, what: str, number: int, now: Instant) -> None:
        """A timer ``(what, connector id)`` is due; of ``floating`` the number is a connection's, of ``collect`` its."""
        match what:
            case "status":
                self.connectors.handle_timer(number)
            case "permit":
                self.permits.handle_timer(number, now)
            case "ceiling":
                self.permits.handle_ceiling_timer(now)
            case "external":
                self.external.handle_timer(number, now)
            case "energy":
                self.charging.handle_energy_timer(number, now)
            case "use":
                self.presenting.handle_use_timer(number, now)
            case "floating":
                self.presenting.handle_floating_timer(number)
            case "unattended":
                self.sessions.handle_unattended_timer(number, now)
            case "unattended_close":
                self.sessions.handle_close_timer(number, now)
            case "resume":
                self.sessions.handle_resume_timer(number, now)
            case "reservation":
                self.reservations.handle_timer(number, now)
            case "collect":
                self.servicing.collector.handle_timer(number)

    def begin_permits(self) -> None:
        """Numbers of permits rise over restarts, so that a confirmation is never of another one. Effects: ``Store``."""
        self.emit(Store(COUNTERS, PERMITS, b"%d" % (self._starts + 1)))

    def end_orphans(self) -> None:
        """A hub was made smaller: nobody can report of the connectors that are gone (L2). Effects: ``Store``."""
        for transaction, meter in self._orphans:
            log.warning("connector %d is no longer there: its transaction ends", transaction.connector_id)
            at_ms, wh = (meter["at"], meter["wh"]) if meter else (transaction.start_ms, transaction.meter_start_wh)
            end_wh = max(wh, transaction.meter_start_wh)
            stop = Stop(max(at_ms, transaction.start_ms), end_wh, str(Reason.POWER_LOSS), None, transaction.trusted)
            self.transactions.stop(transaction, stop)
        self._orphans = []

    def reconfigure(self, settings: ChargePointSettings, hub: HubSettings | None) -> None:
        """Take other settings; they may differ in ``reload.LIVE_HUB`` and ``reload.LIVE_CONNECTOR`` alone."""
        self.settings, self._hub = settings, hub
        self.presenting.free_vend = _free_vend(settings)
        self.meters.reconfigure(settings)
        self.sessions.hub = hub

    # what parts ask of one another

    @property
    def is_online(self) -> bool:
        """Whether a CALL would leave now: connected, accepted and not stopped."""
        return self.state.is_connected and self.boot.gate == "open" and not self.state.is_stopped

    def may_start(self) -> bool:
        """Whether a transaction may begin (``charge_before_accepted``, disk, stop, reset)."""
        if self.state.is_stopped or self.state.is_full or self.reset.kind is not None or self.transactions.is_full:
            return False
        rule = "if_accepted_once" if self._hub is None else self._hub.charge_before_accepted
        if rule == "always" or self.boot.is_accepted:
            return True
        return rule == "if_accepted_once" and self.boot.was_accepted_once

    def _reset_failed(self, now: Instant) -> None:
        self.connectors.tell_once(ChargePointErrorCode.RESET_FAILURE, now)
        self.servicing.firmware.reset_failed(now)
        self.sessions.settle_waiting(now)

    def unlock(self, row: Connector) -> None:
        """Release the cable of a connector. Effects: ``Ask``."""
        self.remote.release(row)

    def ask_controller(self, row: Connector, method: str, done: AskDone) -> bool:
        """Ask the controller of a connector; false when there is none. Effects: ``Ask``."""
        controller = self.controllers.of(row.connector_id)
        if controller is None:
            return False
        params = {"connector_id": row.connector_id}
        self.questions.ask(method, params, done, connector_id=row.connector_id, controller=controller.number)
        return True

    def _ask_connection(self, controller: Controller, method: str, params: dict[str, Any], done: AskDone) -> None:
        self.questions.ask(method, params, done, controller=controller.number)


def _free_vend(settings: ChargePointSettings) -> dict[int, str]:
    overrides = settings.connector_overrides
    return {each: over.free_vend_id_tag for over in overrides if over.free_vend_id_tag for each in over.ids}
