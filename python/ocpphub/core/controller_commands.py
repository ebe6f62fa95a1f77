"""The commands of local controllers, as the shell calls them (design rpc.md "Controllers").

Owns how a command is answered: at once with what it returns, or with a ``Reply`` behind the writes that it made. Must
never hold a rule of a connector: these are in the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from orjson import dumps, loads

from ocpphub.core.cap import External
from ocpphub.core.connector import Connector
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import Discard, Effect, Reply, Store
from ocpphub.core.external import explained
from ocpphub.core.inbound import Inbound
from ocpphub.core.instant import Instant
from ocpphub.core.parts import Parts
from ocpphub.core.presenting import authorize_result, check_id_tag
from ocpphub.core.statistics import Statistics, statistics
from ocpphub.core.transaction import Transaction
from ocpphub.core.vendor import Vendors
from ocpphub.core.verdict import Verdict
from ocpphub.core.vocabulary import AvailabilityStatus, AvailabilityType, Reason
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, HubSettings

ALLOCATION_SLICE: Final = 500
"""Connectors of ``allocation.get`` in one turn of the loop."""
_HIDDEN: Final[dict[str, Any]] = {"limit_a": None, "claimed_a": None, "shortfall": False, "feeders": []}
_REASONS: Final = tuple(
    map(
        str,
        (
            *(Reason.LOCAL, Reason.EMERGENCY_STOP, Reason.EV_DISCONNECTED),
            *(Reason.OTHER, Reason.POWER_LOSS, Reason.REBOOT),
        ),
    )
)
"""What a controller may give as its reason; the others are told by the CSMS or found out by ocpphub."""


class ControllerCommands:
    """Commands about connectors. Each takes the request's number first and ``now`` last; ``None`` returned promises a
    ``Reply``. What they raise has changed nothing.
    """

    _effects: list[Effect]
    _replies: list[Reply]
    _parts: Parts
    _inbound: Inbound

    def statistics(self, now: Instant) -> Statistics:
        """Its numbers, for metrics; a read."""
        return statistics(self._parts, self._inbound, now)

    def reconfigure(self, settings: ChargePointSettings, hub: HubSettings, now: Instant) -> None:
        """Go on with settings that differ in nothing but what :meth:`Parts.reconfigure` takes.

        A time that runs already ends as it was begun, and a vehicle that is plugged in keeps its authorisation.
        Effects: transactions that may start now do.
        """
        self._parts.reconfigure(settings, hub)
        self._parts.sessions.settle_waiting(now)
        self._end(now)

    def _end(self, now: Instant) -> None:
        raise NotImplementedError

    def _refuse_while_stopped(self) -> None:
        if self._parts.state.is_stopped:
            raise LocalError("invalid_state", "stopped", hint="call restart first")

    def _answer(self, request: int, result: Any, now: Instant) -> Any:
        """At once, or after the commit where the command has written something (rpc.md, reliability.md 4.3.1)."""
        has_written = any(isinstance(effect, (Store, Discard)) for effect in self._effects)
        if has_written:
            self._effects.append(Reply(request, result))
        self._end(now)
        return None if has_written else result

    def attach(
        self, request: int, controller: Controller, connector_ids: Sequence[int], takeover: bool, now: Instant
    ) -> Any:
        """A controller takes connectors: ``{"connectors": [connector state]}``. Raises where another one has them."""
        self._parts.sessions.attach(controller, connector_ids, takeover, now)
        states = [self.connector_state(each) for each in connector_ids if each]
        return self._answer(request, {"connectors": states}, now)

    def detach(self, request: int, controller: Controller, connector_ids: Sequence[int] | None, now: Instant) -> Any:
        """A controller lets go of connectors, of all for ``None``. Effects: ``Reply`` null."""
        self._parts.sessions.detach(controller, connector_ids, now)
        self._effects.append(Reply(request, None))
        self._end(now)

    def controller_lost(self, number: int, now: Instant) -> None:
        """An input: the connection with this number is gone, and its connectors are unattended."""
        self._parts.sessions.controller_lost(number, now)
        self._end(now)

    def permits_changed(self, now: Instant) -> None:
        """The allocation has other permits for connectors of this charge point. Effects: ``Publish``, a slice."""
        self._parts.permits.tell(now)
        self._end(now)

    def report(self, request: int, controller: Controller, params: Mapping[str, Any], now: Instant) -> Any:
        """``connector.report``: the connector state, after the commit if the report wrote anything."""
        connector_id = self._parts.sessions.report(controller, params, now)
        if not connector_id:
            return self._answer(request, {"connector_id": 0}, now)
        state = self.connector_state(connector_id)
        # Whatever changes is published, so without an effect there is nothing to be sent either.
        return self._answer(request, state, now) if self._effects or self._parts.allotment.has_moved else state

    def report_many(
        self,
        request: int,
        controller: Controller,
        params: Mapping[str, Any],
        may: Callable[[int], bool],
        now: Instant,
    ) -> Any:
        """``connector.report_many``: ``{"changed", "errors"}``. ``may`` says which connectors the client may name."""
        return self._answer(request, self._parts.sessions.report_many(controller, params, may, now), now)

    def authorize(
        self, request: int, controller: Controller, id_tag: str, connector_id: int | None, now: Instant
    ) -> None:
        """``connector.authorize``. Effects: what the tag does, ``Reply`` when the verdict is there."""
        self._refuse_while_stopped()
        check_id_tag(id_tag)
        if connector_id is not None:
            self._parts.connectors.check(connector_id)
            self._parts.controllers.check(controller, connector_id)

        def done(verdict: Verdict, chosen: int | None, at: Instant) -> None:
            self._effects.append(Reply(request, authorize_result(verdict, chosen)))

        self._parts.presenting.present(controller, id_tag, connector_id, done, now)
        self._end(now)

    def stop_transaction(
        self,
        request: int,
        controller: Controller,
        connector_id: int,
        reason: str | None,
        id_tag: str | None,
        now: Instant,
    ) -> Any:
        """``connector.stop_transaction``: the connector state after the end of its transaction."""
        row = self._parts.connectors.row(connector_id)
        self._parts.controllers.check(controller, connector_id)
        if id_tag is not None:
            check_id_tag(id_tag)
        if reason is not None and reason not in _REASONS:
            raise LocalError("invalid_params", "unknown reason", path="/params/reason", hint=", ".join(_REASONS))
        if row.transaction is None:
            raise LocalError("invalid_state", "no transaction runs there", path="/params/connector_id")
        self._stop(row, reason or str(Reason.LOCAL), id_tag, now)
        return self._answer(request, self.connector_state(connector_id), now)

    def _stop(self, row: Connector, reason: str, id_tag: str | None, now: Instant) -> None:
        self._parts.charging.stop(row, reason, now, id_tag=id_tag)
        self._parts.charging.settle(row, now)

    def set_availability(self, request: int, connector_id: int, available: bool, now: Instant) -> Any:
        """``connector.set_availability``: an AvailabilityStatus; as ChangeAvailability, and as lasting."""
        if not self._parts.connectors.has(connector_id):
            self._parts.connectors.check(connector_id)
        wanted = AvailabilityType.OPERATIVE if available else AvailabilityType.INOPERATIVE
        status = self._parts.connectors.change_availability(connector_id, wanted)
        if status is not AvailabilityStatus.REJECTED:
            self._parts.operations.follow_availability(connector_id, now)
        return self._answer(request, str(status), now)

    def set_limit(
        self, request: int, limit_a: object, limit_w: object, feeder: object, valid_for_s: object, now: Instant
    ) -> None:
        """``station.set_limit``. Effects: ``Store``, permits that follow, ``Reply`` null."""
        self._parts.external.set(limit_a, limit_w, feeder, valid_for_s, now)
        self._effects.append(Reply(request, None))
        self._end(now)

    def outbox_retry(self, request: int, id: str, now: Instant) -> Any:
        """``outbox.retry``: send an entry that went aside, or waits for its retry, at its next turn."""
        if not (self._parts.transactions.retry(id) or self._parts.durable.retry(id, now)):
            raise LocalError("invalid_params", "no such entry", path="/params/id", hint="an id of outbox.list")
        self._effects.append(Reply(request, None))
        self._end(now)

    def register_vendor(
        self,
        request: int,
        controller: Controller,
        vendor_id: str,
        message_ids: Sequence[str] | None,
        now: Instant,
    ) -> None:
        """``data_transfer.register``: the connection handles this vendor's DataTransfer. Effects: ``Reply`` null."""
        self._parts.vendor_transfers.vendors.register(controller, vendor_id, message_ids)
        self._effects.append(Reply(request, None))
        self._end(now)

    def firmware_report(self, request: int, controller: Controller, status: str, info: str | None, now: Instant) -> Any:
        """``firmware.report``: an installation goes on, or has ended. Effects: statuses, ``Reply`` null behind them."""
        self._parts.servicing.installer.report(controller, status, info, now)
        self._effects.append(Reply(request, None))
        self._end(now)

    def diagnostics_report(self, request: int, controller: Controller, ok: bool, info: str | None, now: Instant) -> Any:
        """``diagnostics.report``: a controller's files are there, or will not be. Effects: ``Work``, ``Reply`` null."""
        self._parts.servicing.collector.report(controller, ok, info)
        self._effects.append(Reply(request, None))
        self._end(now)

    def use_vendors(self, vendors: Vendors) -> None:
        """Look into this table of vendor handlers, which outlives the core; before :meth:`start`."""
        self._parts.vendor_transfers.vendors = vendors

    def list_transactions(self, request: int, now: Instant) -> None:
        """Reply: :meth:`live_transactions` of now, when all that was written before is durable (the archive too)."""
        self._effects.append(Reply(request, self.live_transactions()))
        self._end(now)

    # reads

    def connector_state(self, connector_id: int) -> dict[str, Any]:
        """One connector's state (rpc.md "Controllers"). Raises :class:`LocalError` for an unknown one."""
        return self._parts.connectors.state(connector_id)

    def connector_states(self) -> list[dict[str, Any]]:
        """The states of connectors 1 to N."""
        return [self.connector_state(connector_id) for connector_id in range(1, self._parts.connectors.count + 1)]

    def attached_controllers(self) -> set[int]:
        """The numbers of the connections that have connectors here: these get the notification ``lease``.

        Not one that has not confirmed a decrease in time: its lease has to run out (decisions.md 5).
        """
        controllers = self._parts.controllers
        late = (controllers.of(connector_id) for connector_id in self._parts.allotment.withheld())
        return controllers.numbers() - {controller.number for controller in late if controller is not None}

    def reservations(self) -> list[dict[str, Any]]:
        """The result of ``reservation.list``."""
        return self._parts.reservations.listed()

    def outbox(self, limit: int) -> list[dict[str, Any]]:
        """The result of ``outbox.list``: what waits to be confirmed by the CSMS, in its order, at most ``limit``."""
        rows = self._parts.durable.rows(limit)
        return rows + self._parts.transactions.outbox_rows(limit - len(rows))

    def allocation(self, connector_ids: Sequence[int]) -> Iterator[bytes]:
        """The result of ``allocation.get`` with these connectors, as JSON text in parts.

        Who may not see all of them learns nothing of what they draw together.
        """
        allotment = self._parts.allotment
        head = allotment.head() if len(connector_ids) == self._parts.connectors.count else _HIDDEN
        yield dumps(head)[:-1] + b',"connectors":{'
        part: dict[str, Any] = {}
        comma = b""
        for connector_id in connector_ids:
            permit = self._parts.connectors.row(connector_id).permit.json()
            part[str(connector_id)] = allotment.connector(connector_id, permit)
            if len(part) == ALLOCATION_SLICE:
                yield comma + dumps(part)[1:-1]
                part, comma = {}, b","
        yield (comma + dumps(part)[1:-1] if part else b"") + b"}}"

    def explain(
        self, connector_id: int, duration_s: int | None, unit: str | None, at: str | None, now: Instant
    ) -> Iterator[bytes]:
        """The result of ``schedule.explain``: that of the schedules, and what an energy manager has set (rpc.md)."""
        texts = self._parts.schedules.explain(connector_id, duration_s, unit, at, now)
        external = self._parts.external.of_station
        if connector_id or external is None:
            return texts
        return self._with_external(texts, external, unit)

    def _with_external(self, texts: Iterator[bytes], external: External, unit: str | None) -> Iterator[bytes]:
        whole = bytearray()
        for text in texts:
            whole += text
            yield b""
        volts = self._parts.settings.electrical.nominal_voltage_v
        chosen = self._parts.schedules.unit if unit is None else unit
        yield dumps(explained(loads(bytes(whole)), external, chosen, volts))

    def live_transactions(self) -> list[Transaction]:
        """The transactions that are not in the archive yet, by session id."""
        return list(self._parts.transactions.live())
