"""What controllers report, turned into the use of connectors (decisions.md section 4).

Owns the levels of every connector: who may report them, what a report changes, what it means when a controller goes or
the process starts again. Must never wait for an edge: a repeated or late report changes nothing.

Implements: design rpc.md "Controllers"; decisions.md 4; CORE-TX-14, CORE-TX-15, AMB-18; reliability.md S3, L2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.charging import Charging
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import Connector, Connectors
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.instant import Instant
from ocpphub.core.meter import Meters
from ocpphub.core.metering import Metering
from ocpphub.core.presenting import Presenting
from ocpphub.core.report import Columns, Report, read_many, read_report, wrong
from ocpphub.core.steady import Caller, Steady
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Transaction
from ocpphub.core.vocabulary import Reason
from ocpphub.errors import LocalError, json_rpc_error

if TYPE_CHECKING:
    from ocpphub.config import HubSettings

log = logging.getLogger("ocpphub.core")

UNATTENDED: Final = "unattended"
CLOSE: Final = "unattended_close"
RESUME: Final = "resume"
MAX_AHEAD_MS: Final = 60_000
MAX_BEHIND_MS: Final = 86_400_000
"""How far a report's ``timestamp`` may lie in the future and in the past."""
_GRACE_S: Final = (60.0, 86_400.0, 120.0)
_MAIN_METER_FIELDS: Final = frozenset(("energy_wh", "readings", "errors", "at_ms", "connector_id"))

NewEpoch = Callable[[int, str, Instant], None]
"""Hears of a connector whose meter has begun anew, and what to say of it."""


@dataclass(slots=True)
class Sessions:
    """The reports of all controllers of one charge point."""

    timers: Timers
    clock: Clock
    configuration: Configuration
    connectors: Connectors
    controllers: Controllers
    meters: Meters
    metering: Metering
    charging: Charging
    presenting: Presenting
    on_new_epoch: NewEpoch
    hub: HubSettings | None = None
    _resuming: set[int] = field(default_factory=set)
    _steady: Steady = field(init=False)

    def __post_init__(self) -> None:
        rows = [self.connectors.any_row(connector_id) for connector_id in range(self.connectors.count + 1)]
        self._steady = Steady(rows, self.meters, self.metering, self.charging.permits.confirmed)

    # start of the process

    def restore(self, running: Iterable[Transaction]) -> None:
        """Transactions of an earlier process wait for their controllers."""
        for transaction in running:
            row = self.connectors.row(transaction.connector_id)
            self.charging.resume(row, transaction)
            self._resuming.add(row.connector_id)

    def start(self, now: Instant) -> None:
        """The process starts. Effects: none; transactions that nobody claims end after ``resume_wait_s``."""
        for connector_id in sorted(self._resuming):
            self.timers.set((RESUME, connector_id), now.monotonic_s + self._times[2])

    def restart(self, now: Instant) -> None:
        """After ``stop`` and ``restart``: plugged connectors begin a new use (decisions.md 6)."""
        for row in self.connectors:
            row.is_over = False
            self.charging.settle(row, now)

    def handle_resume_timer(self, connector_id: int, now: Instant) -> None:
        """AMB-18: no controller came for a transaction: it ended with the power, at its last register."""
        row = self.connectors.row(connector_id)
        if not row.is_resuming:
            return
        self._resuming.discard(connector_id)
        at_ms = self.meters.register_ms(connector_id)
        log.warning("connector %d: nobody came back for its transaction, which ends with PowerLoss", connector_id)
        self.charging.stop(row, Reason.POWER_LOSS, now, at_ms=at_ms)
        self.charging.settle(row, now)

    # controllers

    def attach(self, controller: Controller, connector_ids: Sequence[int], takeover: bool, now: Instant) -> None:
        """A controller takes connectors over (0 is the main meter). Effects: ``Publish`` of what becomes Available."""
        for connector_id in connector_ids:
            if not self.connectors.has(connector_id):
                self.connectors.check(connector_id)
        for connector_id in self.controllers.attach(controller, connector_ids, takeover=takeover):
            row = self.connectors.any_row(connector_id)
            row.has_controller = row.is_attended = True
            row.has_reported = False
            row.stamp_ms = None
            self.timers.cancel((UNATTENDED, connector_id))
            self.timers.cancel((CLOSE, connector_id))
            if connector_id:
                row.is_lost, row.permit_seq = False, None
                self.charging.permits.attended(connector_id, now)
                self.charging.settle(row, now)
                self.connectors.announce(row)

    def detach(self, controller: Controller, connector_ids: Sequence[int] | None, now: Instant) -> None:
        """A controller lets go of connectors, of all its own when ``None``."""
        self._abandon(self.controllers.detach(controller, connector_ids), now)
        if not self.controllers.connectors_of(controller.number):
            self.presenting.controller_lost(controller.number)

    def controller_lost(self, number: int, now: Instant) -> None:
        """A connection is gone: its connectors are unattended (decisions.md 4)."""
        self.presenting.controller_lost(number)
        self._abandon(self.controllers.lost(number), now)

    def _abandon(self, connector_ids: list[int], now: Instant) -> None:
        grace_s, close_s, _ = self._times
        for connector_id in connector_ids:
            row = self.connectors.any_row(connector_id)
            row.has_controller = row.has_reported = False
            self.timers.set((UNATTENDED, connector_id), now.monotonic_s + grace_s)
            if connector_id:
                self.charging.permits.allotment.lose(connector_id, now)
                self.connectors.announce(row)
                # Also where no transaction runs: one may still start within the grace, on an answer that comes late.
                self.timers.set((CLOSE, connector_id), now.monotonic_s + close_s)

    def handle_unattended_timer(self, connector_id: int, now: Instant) -> None:
        """``unattended_grace_s`` without a controller: Unavailable, or a warning while a transaction runs."""
        row = self.connectors.any_row(connector_id)
        if row.has_controller:
            return
        if connector_id == 0:
            row.errors = ()
            self.metering.forget(0)
            self.connectors.update(row, now)
            self._follow_station(now)
            return
        if row.transaction is not None:
            row.is_lost = True
            self.charging.end_energy_of_lost(row, now)
        else:
            self.charging.leave(row)
            self.charging.reservations.ended(connector_id, now)
        self.charging.settle(row, now)

    def handle_close_timer(self, connector_id: int, now: Instant) -> None:
        """``unattended_close_s`` without a controller: the transaction ends at its last register (L2)."""
        row = self.connectors.row(connector_id)
        if row.has_controller or row.transaction is None:
            return
        log.warning("connector %d: its controller stayed away, the transaction ends", connector_id)
        self.charging.stop(row, Reason.OTHER, now, at_ms=self.meters.register_ms(connector_id))
        self.charging.leave(row)
        self.charging.settle(row, now)

    # reports

    def report(self, controller: Controller, params: Mapping[str, Any], now: Instant) -> int:
        """Take one report (rpc.md ``connector.report``); its connector. Raises :class:`LocalError`, nothing changed."""
        own, parse = self.controllers.own(controller.number), self.metering.parse
        if connector_id := self._steady.take_one(params, own, parse, self.clock.utc_ms(now), now):
            return connector_id
        report = read_report(params, parse)
        self._take(controller, report, "/params", now)
        return report.connector_id

    def report_many(
        self, controller: Controller, params: Mapping[str, Any], may: Callable[[int], bool], now: Instant
    ) -> dict[str, Any]:
        """Take many reports; ``{"changed": [connector state], "errors": [{"index", "error"}]}``.

        Raises :class:`LocalError` when the form is wrong; a bad row is refused by itself.
        """
        table = read_many(params)
        changed: dict[int, None] = {}
        errors: list[dict[str, Any]] = []
        indexes: Iterable[int] = range(len(table.rows))
        if isinstance(table, Columns):
            caller = Caller(self.controllers.own(controller.number), may)
            indexes = self._steady.take(table, caller, self.clock.utc_ms(now), now)
        for index in indexes:
            path = table.path(index)
            try:
                report = table.read(index, self.metering.parse)
                if not may(report.connector_id):
                    hint = "a connector that this client may name"
                    raise LocalError("unknown_connector", "no such connector", path=f"{path}/connector_id", hint=hint)
                before = self._state(report.connector_id)
                self._take(controller, report, path, now)
                if self._state(report.connector_id) is not before:
                    changed[report.connector_id] = None
            except LocalError as error:
                errors.append({"index": index, "error": json_rpc_error(error)})
        return {"changed": [self.connectors.state(each) for each in changed], "errors": errors}

    def _state(self, connector_id: int) -> object:
        """Another object whenever the connector state has become another."""
        return self.connectors.state(connector_id) if 1 <= connector_id <= self.connectors.count else None

    def _take(self, controller: Controller, report: Report, path: str, now: Instant) -> None:
        connector_id = report.connector_id
        if not self.connectors.has(connector_id):
            hint = f"1 to {self.connectors.count}"
            raise LocalError("unknown_connector", "no such connector", path=f"{path}/connector_id", hint=hint)
        self.controllers.check(controller, connector_id, path)
        row = self.connectors.any_row(connector_id)
        now_ms = self.clock.utc_ms(now)
        at_ms = now_ms if report.at_ms is None else self._time_of(report.at_ms, now_ms, path)
        if report.at_ms is not None and row.stamp_ms is not None and report.at_ms < row.stamp_ms:
            self._take_late(row, report, path)
            return
        if connector_id == 0:
            self._take_main(row, report, at_ms, path, now)
            return
        if not row.has_reported:
            self._check_first(report, path)
        if report.permit_seq is not None:
            self._check_permit(row, report.permit_seq, path)
        is_first = not row.has_reported
        is_new_plug = self._is_new_plug(row, report)
        if report.energy_wh is not None:
            self._take_register(row, report.energy_wh, is_new_plug, now, at_ms, path)
        elif is_new_plug:
            self._unplug(row, now, at_ms, is_certain=True)
        if is_new_plug:
            report.plugged = True
        if is_first and report.errors is None:
            report.errors = ()  # what is absent is as in the last report of this attachment, and there was none
        has_other_maximum = report.max_current_a not in (None, row.max_current_a)
        self._note(row, report, now)
        if report.readings is not None or report.energy_wh is not None:
            self.metering.take(connector_id, report.readings or (), report.energy_wh, at_ms)
        self.metering.reported(connector_id, row.transaction, now)
        if is_first or row.energy_limit_wh is not None or has_other_maximum or _changes(row, report):
            self._take_levels(row, controller, report, now, at_ms)

    def _note(self, row: Connector, report: Report, now: Instant) -> None:
        """What a report says beside the levels that decide anything yet."""
        row.has_reported = True
        if report.permit_seq is not None and report.permit_seq != row.permit_seq:
            row.permit_seq = report.permit_seq
            self.charging.permits.confirmed(row.connector_id, report.permit_seq, now)
        if report.max_current_a is not None:
            row.max_current_a = report.max_current_a
        if report.at_ms is not None:
            row.stamp_ms = report.at_ms

    def _take_register(
        self, row: Connector, energy_wh: int, is_new_plug: bool, now: Instant, at_ms: int, path: str
    ) -> None:
        connector_id, path = row.connector_id, f"{path}/energy_wh"
        before_wh = self.meters.register(connector_id)
        epoch = self.meters.accept(connector_id, energy_wh, at_ms, now, resuming=row.is_resuming, path=path)
        if is_new_plug:
            # The old transaction ends with the register that was last before, whatever this one says.
            start_wh = 0 if row.transaction is None else row.transaction.meter_start_wh
            end_wh = start_wh if before_wh is None else before_wh
            self._unplug(row, now, at_ms, is_certain=True, meter_wh=end_wh)
        elif row.transaction is not None and not row.is_metered:
            self._take_first_register(row, row.transaction, before_wh, energy_wh, now, at_ms)
        if epoch == "new_epoch":
            # decisions.md 4: the session ends at the last good register, the next one starts in the new epoch.
            self.charging.stop(row, Reason.OTHER, now, meter_wh=before_wh)
            text = f"connector {connector_id}: the meter begins anew at {energy_wh} Wh after {before_wh}"
            self.on_new_epoch(connector_id, text, now)
            self.charging.settle(row, now, at_ms)

    def _take_first_register(
        self,
        row: Connector,
        transaction: Transaction,
        before_wh: int | None,
        energy_wh: int,
        now: Instant,
        at_ms: int,
    ) -> None:
        """The first register of a transaction: what was counted before it began is not the driver's (E2, E5)."""
        row.is_metered = True
        rise_wh = energy_wh - transaction.meter_start_wh
        most_wh = 0 if before_wh is None else self.meters.may_rise(row.connector_id, now.monotonic_s - row.started_s)
        if rise_wh > most_wh:
            self.charging.stop(row, Reason.OTHER, now, meter_wh=transaction.meter_start_wh)
            text = f"connector {row.connector_id}: the first register, {energy_wh} Wh, is none of this session's"
            self.on_new_epoch(row.connector_id, text, now)
            self.charging.settle(row, now, at_ms)

    def _time_of(self, at_ms: int, now_ms: int, path: str) -> int:
        if not self.clock.is_trusted:
            # Before the time is known our own clock counts: all times made on it are corrected by one step later.
            return now_ms
        if not now_ms - MAX_BEHIND_MS <= at_ms <= now_ms + MAX_AHEAD_MS:
            hint = f"{utc_text(now_ms - MAX_BEHIND_MS)} to {utc_text(now_ms + MAX_AHEAD_MS)}"
            raise wrong("a time stamp in the future or long past", f"{path}/timestamp", hint)
        return min(at_ms, now_ms)

    def _take_late(self, row: Connector, report: Report, path: str) -> None:
        """A report that another one has overtaken: its levels are history (decisions.md 4)."""
        if row.connector_id and report.permit_seq is not None:
            self._check_permit(row, report.permit_seq, path)

    def _take_main(self, row: Connector, report: Report, at_ms: int, path: str, now: Instant) -> None:
        """Connector 0: the main meter and the errors of the whole charge point."""
        for name in ("plugged", "plug_id", "ev_ready", "evse_ready", "permit_seq", "max_current_a"):
            if getattr(report, name) is not None:
                raise wrong("connector 0 has no such level", f"{path}/{name}", "energy_wh, measurements, errors")
        at, energy_wh = f"{path}/energy_wh", report.energy_wh
        if energy_wh is not None and self.meters.accept(0, energy_wh, at_ms, now, path=at) == "new_epoch":
            self.on_new_epoch(0, f"main meter begins anew at {energy_wh} Wh", now)
        is_first = not row.has_reported
        row.stamp_ms, row.has_reported = report.at_ms or row.stamp_ms, True
        self.metering.take(0, report.readings or (), report.energy_wh, at_ms)
        errors = () if is_first and report.errors is None else report.errors
        if errors is not None and errors != row.errors:
            row.errors = errors
            self.connectors.update(row, now, at_ms)
            if self.connectors.is_faulted(0):
                self.charging.reservations.ended(0, now)
            self._follow_station(now)
        self.metering.reported(0, None, now)

    def _follow_station(self, now: Instant) -> None:
        """The errors of the whole charge point have changed."""
        for each in self.connectors:
            if each.transaction is not None or each.grant is not None:
                self.charging.settle(each, now)

    def settle_waiting(self, now: Instant) -> None:
        """Transactions may start again: those that are authorised and waited for it do."""
        for each in self.connectors:
            if each.grant is not None:
                self.charging.settle(each, now)

    def _check_first(self, report: Report, path: str) -> None:
        for name in ("plugged", "ev_ready", "evse_ready"):
            if getattr(report, name) is None:
                raise wrong(
                    f"the first report after an attach lacks {name}",
                    f"{path}/{name}",
                    "plugged, ev_ready, evse_ready and, with a meter, energy_wh",
                )

    def _check_permit(self, row: Connector, permit_seq: int, path: str) -> None:
        if permit_seq > row.permit.seq:
            raise wrong("a permit that was never given", f"{path}/permit_seq", f"0 to {row.permit.seq}")

    def _is_new_plug(self, row: Connector, report: Report) -> bool:
        if report.plug_id is None or report.plugged is False:
            return False
        return row.plugged_or_resuming and row.plug_id is not None and report.plug_id != row.plug_id

    def _take_levels(self, row: Connector, controller: Controller, report: Report, now: Instant, at_ms: int) -> None:
        for name in ("ev_ready", "evse_ready", "errors"):
            value = getattr(report, name)
            if value is not None:
                setattr(row, name, value)
        was_plugged = row.plugged or row.is_resuming
        plugged = row.plugged if report.plugged is None else report.plugged
        if report.plug_id is not None and report.plug_id != row.plug_id:
            row.plug_id = report.plug_id
            if row.transaction is not None:
                self.charging.plugged_as(row.transaction, report.plug_id)
        if plugged and row.is_resuming:
            self._resume(row, now)
        elif plugged and not was_plugged:
            self._plug(row, controller, now)
        elif not plugged and was_plugged:
            self._unplug(row, now, at_ms)
        self.charging.settle(row, now, at_ms)

    def _resume(self, row: Connector, now: Instant) -> None:
        row.plugged, row.is_resuming = True, False
        self._resuming.discard(row.connector_id)
        self.timers.cancel((RESUME, row.connector_id))
        if row.transaction is not None:
            log.info("connector %d: its transaction goes on", row.connector_id)
            self.metering.resumed(row.transaction, now)

    def _plug(self, row: Connector, controller: Controller, now: Instant) -> None:
        row.plugged, row.is_over = True, False
        if row.transaction is not None:
            return  # CORE-TX-15: the vehicle came back
        self.presenting.plugged(row, controller)

    def _unplug(
        self, row: Connector, now: Instant, at_ms: int, *, is_certain: bool = False, meter_wh: int | None = None
    ) -> None:
        """The cable was pulled. ``is_certain``: another vehicle is there now, so that no transaction can go on.

        ``meter_wh`` is the register at which one ends, the last good one when it is ``None``.
        """
        was_resuming, row.is_resuming = row.is_resuming, False
        self._resuming.discard(row.connector_id)
        self.timers.cancel((RESUME, row.connector_id))
        row.plugged = row.is_over = False
        row.plug_id = row.locked_tag = row.locked_group = None
        if row.transaction is None:
            self.presenting.end_use(row)
        elif is_certain or self.configuration.text("StopTransactionOnEVSideDisconnect") == "true":
            self.charging.stop_unplugged(row, now, at_ms, meter_wh)
        elif was_resuming:
            self.metering.resumed(row.transaction, now)
        self.charging.settle(row, now, at_ms)

    @property
    def _times(self) -> tuple[float, float, float]:
        if self.hub is None:
            return _GRACE_S
        return self.hub.unattended_grace_s, self.hub.unattended_close_s, self.hub.resume_wait_s


def _changes(row: Connector, report: Report) -> bool:
    """Whether a report says anything of the levels that is not so already."""
    return not (
        (report.plugged is None or report.plugged is row.plugged)
        and (report.ev_ready is None or report.ev_ready is row.ev_ready)
        and (report.evse_ready is None or report.evse_ready is row.evse_ready)
        and (report.plug_id is None or report.plug_id == row.plug_id)
        and (report.errors is None or report.errors == row.errors)
    )
