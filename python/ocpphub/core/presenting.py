"""Id tags presented at a connector, by a driver or by the CSMS (OCPP 1.6 sections 4.1, 4.10, 5.11).

Owns what a tag does where it is presented: begin a use, end one, release a cable; which connector a tag without one is
for; and how long an authorisation waits for its vehicle. Must never decide whether a tag is good: that is
``authorization.py``.

Implements: CORE-AUTH-01 to 07, CORE-TX-06, CORE-TX-21, CORE-RS rows, CORE-RV-06, CORE-RV-07; rpc.md
``connector.authorize``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ocpphub.core.authorization import Authorization, Verdict
from ocpphub.core.charging import USE, Charging
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import Connector, Connectors, Grant
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.instant import Instant
from ocpphub.core.reservation import Reservations
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import AuthorizationStatus, ChargePointStatus, Reason
from ocpphub.errors import LocalError

FLOATING: Final = "floating"
MAX_ID_TAG: Final = 20
_S = ChargePointStatus
_ACCEPTED: Final = str(AuthorizationStatus.ACCEPTED)
_NOT_NOW: Final = "no transaction may start now (see charge_before_accepted, the disk, and a reset under way)"
_INVALID: Final = Verdict(str(AuthorizationStatus.INVALID))

Done = Callable[[Verdict, int | None, Instant], None]
"""Hears of the verdict on a tag, of the connector that it acted on (if any), and when."""


@dataclass(slots=True)
class Presenting:
    """Tags at the connectors of one charge point."""

    timers: Timers
    configuration: Configuration
    connectors: Connectors
    controllers: Controllers
    charging: Charging
    authorization: Authorization
    reservations: Reservations
    unlock: Callable[[Connector], None]
    free_vend: Mapping[int, str] = field(default_factory=dict)
    """Connector -> the id tag of vehicles that need none (``free_vend_id_tag``)."""
    _floating: dict[int, Grant] = field(default_factory=dict)
    """Connection -> an authorisation for whichever of its connectors is plugged next."""

    # rpc.md connector.authorize

    def present(self, controller: Controller, id_tag: str, connector_id: int | None, done: Done, now: Instant) -> None:
        """A driver presents a tag. ``done`` is called once, maybe after the CSMS was asked.

        Raises :class:`LocalError` for a tag that is none, and where no connector can take it.
        """
        check_id_tag(id_tag)
        if connector_id is not None:
            self._at(self.connectors.row(connector_id), id_tag, done, now)
            return
        own = [self.connectors.row(each) for each in self.controllers.connectors_of(controller.number) if each]
        running = [row for row in own if row.transaction is not None]
        for row in running:
            if self._is_of(row, id_tag, self.authorization.parent_of(id_tag, now)):
                self._at(row, id_tag, done, now)
                return
        waiting = self._waiting(own)
        if len(waiting) > 1:
            raise LocalError(
                "invalid_state",
                "several connectors wait for a tag",
                path="/params/connector_id",
                hint="one of " + ", ".join(str(row.connector_id) for row in waiting),
                connectors=[row.connector_id for row in waiting],
            )
        if waiting:
            self._at(waiting[0], id_tag, done, now)
            return
        free = any(row.transaction is None and self._unusable(row) is None for row in own)
        if not free and not running:
            why = "no connector of this connection can be used" if self.charging.may_start() else _NOT_NOW
            raise LocalError(
                "invalid_state", why, path="/params/connector_id", hint="one that is Available or Preparing"
            )
        self.authorization.ask(
            id_tag,
            lambda verdict, at: self._without_connector(controller, id_tag, verdict, running, free, done, at),
            now,
        )

    def _waiting(self, rows: list[Connector]) -> list[Connector]:
        """Those where a vehicle waits for a tag, the ones with a new vehicle before those whose use is over."""
        plugged = [row for row in rows if row.plugged and row.transaction is None and row.grant is None]
        usable = [row for row in plugged if self._unusable(row) is None]
        new = [row for row in usable if not row.is_over]
        # Somebody else's vehicle that has ended its use is nobody's first thought while a connector is free.
        is_one_free = any(not row.plugged and self._unusable(row) is None for row in rows)
        return new if new or is_one_free else usable

    def _without_connector(
        self,
        controller: Controller,
        id_tag: str,
        verdict: Verdict,
        running: list[Connector],
        free: bool,
        done: Done,
        now: Instant,
    ) -> None:
        if verdict.status == _ACCEPTED:
            for row in running:
                if row.transaction is not None and self._is_of(row, id_tag, verdict.parent_id_tag):
                    self._end(row, id_tag, now)
                    done(verdict, row.connector_id, now)
                    return
            if not free or not self.controllers.connectors_of(controller.number):
                done(_INVALID, None, now)
                return
            grant = Grant(id_tag, verdict.parent_id_tag)
            own = [self.connectors.row(each) for each in self.controllers.connectors_of(controller.number) if each]
            for row in own:
                if row not in running and self._has(row, id_tag):  # the tag was read twice, and the first one acted
                    done(verdict, row.connector_id, now)
                    return
            # A vehicle may have come while the CSMS was asked.
            if len(waiting := self._waiting(own)) == 1 and self._take(waiting[0], grant):
                self.charging.settle(waiting[0], now)
                done(verdict, waiting[0].connector_id, now)
                return
            self._floating[controller.number] = grant
            if self._time_out_s:
                self.timers.set((FLOATING, controller.number), now.monotonic_s + self._time_out_s)
        done(verdict, None, now)

    def _has(self, row: Connector, id_tag: str) -> bool:
        """Whether a connector is used, or about to be, on this very tag."""
        used = row.transaction or row.grant
        return used is not None and used.id_tag.lower() == id_tag.lower()

    def _is_of(self, row: Connector, id_tag: str, parent_id_tag: str | None) -> bool:
        transaction = row.transaction
        if transaction is None:
            return False
        if transaction.id_tag.lower() == id_tag.lower():
            return True
        own = transaction.parent_id_tag
        return own is not None and parent_id_tag is not None and own.lower() == parent_id_tag.lower()

    def _at(self, row: Connector, id_tag: str, done: Done, now: Instant) -> None:
        """A tag at a connector that is known."""
        connector_id = row.connector_id
        if row.transaction is not None:
            self._at_running(row, id_tag, done, now)
            return
        if self._unlocks(row, id_tag, self.authorization.parent_of(id_tag, now)):
            done(Verdict(_ACCEPTED), connector_id, now)
            return
        if (why := self._unusable(row)) is not None:
            hint = "a connector that is Available, Preparing, Finishing or Reserved for the tag"
            raise LocalError("invalid_state", why, path="/params/connector_id", hint=hint)
        if row.grant is not None:
            self._at_granted(row, row.grant, id_tag, done, now)
            return
        self._authorize(row, id_tag, done, now)

    def _at_running(self, row: Connector, id_tag: str, done: Done, now: Instant) -> None:
        if self._is_of(row, id_tag, self.authorization.parent_of(id_tag, now)):
            # CORE-AUTH-05: the tag that began it needs no Authorize.req to end it.
            self._end(row, id_tag, now)
            done(Verdict(_ACCEPTED), row.connector_id, now)
            return
        transaction = row.transaction

        def judged(verdict: Verdict, at: Instant) -> None:
            if verdict.status != _ACCEPTED:
                done(verdict, row.connector_id, at)
            elif row.transaction is transaction and self._is_of(row, id_tag, verdict.parent_id_tag):
                self._end(row, id_tag, at)
                done(verdict, row.connector_id, at)
            else:
                done(_INVALID, row.connector_id, at)  # CORE-AUTH-06: a good tag, but of another group

        self.authorization.ask(id_tag, judged, now)

    def _at_granted(self, row: Connector, grant: Grant, id_tag: str, done: Done, now: Instant) -> None:
        if grant.id_tag.lower() != id_tag.lower():
            raise LocalError(
                "invalid_state",
                "the connector is authorised already",
                path="/params/connector_id",
                hint="the tag that was presented before cancels",
            )
        if not row.plugged:  # B1: the second swipe ends the use before it began
            row.grant = None
            self.charging.settle(row, now)
        done(Verdict(_ACCEPTED), row.connector_id, now)

    def _unlocks(self, row: Connector, id_tag: str, parent_id_tag: str | None) -> bool:
        """Release a cable that waits for this tag or its group (CORE-TX-06, CORE-TX-16), if it does."""
        tag, group = row.locked_tag, row.locked_group
        is_own = tag is not None and tag.lower() == id_tag.lower()
        is_of_group = group is not None and parent_id_tag is not None and group.lower() == parent_id_tag.lower()
        if is_own or is_of_group:
            row.locked_tag = row.locked_group = None
            self.unlock(row)
        return is_own or is_of_group

    def _unusable(self, row: Connector) -> str | None:
        status = self.connectors.status(row.connector_id)
        if status in (_S.UNAVAILABLE, _S.FAULTED) or self.connectors.is_faulted(row.connector_id):
            shown = _S.UNAVAILABLE if status is _S.UNAVAILABLE else _S.FAULTED  # connector 0 may be what is
            return f"connector {row.connector_id} is {shown}"
        if not self.connectors.is_operative(row.connector_id) and row.transaction is None:
            return f"connector {row.connector_id} is {_S.UNAVAILABLE}"
        if not self.charging.may_start():
            return _NOT_NOW
        return None

    def _authorize(self, row: Connector, id_tag: str, done: Done, now: Instant) -> None:
        parent = self.authorization.parent_of(id_tag, now)
        connector_id = row.connector_id
        is_admitted = self.reservations.admits(connector_id, id_tag, parent)
        if not is_admitted and (parent is not None or not self.reservations.needs_parent(connector_id)):
            done(_INVALID, connector_id, now)  # CORE-RV-06: reserved for somebody else
            return

        def judged(verdict: Verdict, at: Instant) -> None:
            row.is_authorising = False
            if verdict.status == _ACCEPTED and not self._unlocks(row, id_tag, verdict.parent_id_tag):
                if not self.reservations.admits(connector_id, id_tag, verdict.parent_id_tag):
                    done(_INVALID, connector_id, at)
                    return
                if row.transaction is not None or row.grant is not None or self._unusable(row) is not None:
                    # The world has changed while the CSMS was asked: by this very tag, which was read twice, or not.
                    done(verdict if self._has(row, id_tag) else _INVALID, connector_id, at)
                    return
                self.grant(row, Grant(id_tag, verdict.parent_id_tag), at)
            done(verdict, connector_id, at)

        row.is_authorising = True
        self.authorization.ask(id_tag, judged, now)

    def grant(self, row: Connector, grant: Grant, now: Instant) -> None:
        """A connector is authorised: its transaction starts now or with the vehicle. Effects: as ``settle``."""
        row.grant = grant
        self.charging.settle(row, now)

    def _end(self, row: Connector, id_tag: str, now: Instant) -> None:
        self.charging.stop(row, Reason.LOCAL, now, id_tag=id_tag)
        self.charging.settle(row, now)

    # RemoteStartTransaction

    def refuses_remote(self, row: Connector, id_tag: str, now: Instant) -> bool:
        """CORE-RS-06, CORE-RS-13: whether a RemoteStartTransaction for this connector is Rejected."""
        if self._is_busy(row) or self.connectors.status(row.connector_id) is _S.FINISHING:  # AMB-12
            return True
        return self._is_kept_from(row, id_tag, now)

    def _is_busy(self, row: Connector) -> bool:
        in_use = row.transaction is not None or row.grant is not None or row.is_authorising
        return in_use or self._unusable(row) is not None

    def _is_kept_from(self, row: Connector, id_tag: str, now: Instant) -> bool:
        """Whether a reservation of somebody else is in the way, as far as can be told without asking the CSMS."""
        parent = self.authorization.parent_of(id_tag, now)
        if self.reservations.admits(row.connector_id, id_tag, parent):
            return False
        return parent is not None or not self.reservations.needs_parent(row.connector_id)

    def choose_remote(self, id_tag: str, now: Instant) -> Connector | None:
        """CORE-RS-05: plugged and Preparing first, then reserved for the tag, then the lowest that is Available."""
        refused: set[ChargePointStatus] = set()
        for status in (_S.PREPARING, _S.RESERVED, _S.AVAILABLE):
            for row in self.connectors:
                if self.connectors.status(row.connector_id) is not status or self._is_busy(row):
                    continue
                # Those that nobody has reserved are all alike to somebody who has not reserved either.
                is_reserved = self.reservations.of(row.connector_id) is not None
                if not is_reserved and status in refused:
                    continue
                if not self._is_kept_from(row, id_tag, now):
                    return row
                if not is_reserved:
                    refused.add(status)
        return None

    def remote(self, row: Connector, id_tag: str, profile: bytes | None, now: Instant) -> None:
        """RemoteStartTransaction was accepted: authorise if that is wanted, and start (CORE-RS-02, CORE-RS-03)."""
        parent = self.authorization.parent_of(id_tag, now)
        # CORE-RV-07: where only the parent can tell whether the reservation is for this tag, the CSMS is asked anyway.
        is_admitted = self.reservations.admits(row.connector_id, id_tag, parent)
        if is_admitted and self.configuration.text("AuthorizeRemoteTxRequests") != "true":
            self.grant(row, Grant(id_tag, parent, profile, is_remote=True), now)
            return

        def judged(verdict: Verdict, at: Instant) -> None:
            row.is_authorising = False
            admitted = self.reservations.admits(row.connector_id, id_tag, verdict.parent_id_tag)
            free = row.transaction is None and row.grant is None and self._unusable(row) is None
            if verdict.status == _ACCEPTED and admitted and free:
                self.grant(row, Grant(id_tag, verdict.parent_id_tag, profile, is_remote=True), at)

        row.is_authorising = True
        self.authorization.ask(id_tag, judged, now)

    # plugs and time

    def plugged(self, row: Connector, controller: Controller) -> None:
        """A vehicle was plugged in: an authorisation that waited for it is its own, else the driver has to come."""
        self.offer(row)
        if self.connectors.is_faulted(row.connector_id) or not self.connectors.is_operative(row.connector_id):
            return  # nobody would wait there: the tag is for the next one
        if self._take(row, self._floating.get(controller.number)):
            self._forget_floating(controller.number)

    def offer(self, row: Connector) -> None:
        """Let a vehicle charge without a question, where that is configured (``free_vend_id_tag``)."""
        free = self.free_vend.get(row.connector_id)
        self._take(row, None if free is None else Grant(free))

    def _take(self, row: Connector, grant: Grant | None) -> bool:
        if row.grant is not None or grant is None:
            return False
        if not self.reservations.admits(row.connector_id, grant.id_tag, grant.parent_id_tag):
            return False
        row.grant = grant
        return True

    def end_use(self, row: Connector) -> None:
        """The use of a connector is over before a transaction."""
        row.grant = None
        self.timers.cancel((USE, row.connector_id))

    def handle_use_timer(self, connector_id: int, now: Instant) -> None:
        """ConnectionTimeOut: back to Available (B1), or Finishing while the cable is still plugged (B6)."""
        row = self.connectors.row(connector_id)
        row.grant = None
        if row.transaction is None:
            row.is_over = row.plugged
            self.charging.settle(row, now)

    def handle_floating_timer(self, number: int) -> None:
        """No vehicle came for a tag that was presented without a connector."""
        self._floating.pop(number, None)

    def stop(self) -> None:
        """OCPP is stopped: nobody is authorised any more."""
        for row in self.connectors:
            self.end_use(row)
        for number in list(self._floating):
            self._forget_floating(number)

    def controller_lost(self, number: int) -> None:
        """A connection is gone, and with it whoever stood before its connectors."""
        self._forget_floating(number)

    def _forget_floating(self, number: int) -> None:
        self._floating.pop(number, None)
        self.timers.cancel((FLOATING, number))

    @property
    def _time_out_s(self) -> int:
        return self.configuration.integer("ConnectionTimeOut")


def check_id_tag(id_tag: Any) -> None:
    """Raise :class:`LocalError` unless this is an idToken (OCPP 1.6 section 7.28: CiString20)."""
    if type(id_tag) is not str or not 1 <= len(id_tag) <= MAX_ID_TAG:
        raise LocalError("invalid_params", "not an id tag", path="/params/id_tag", hint="1 to 20 characters")


def authorize_result(verdict: Verdict, connector_id: int | None) -> dict[str, Any]:
    """The result of ``connector.authorize`` (rpc.md)."""
    result: dict[str, Any] = {"status": verdict.status}
    if connector_id is not None:
        result["connector_id"] = connector_id
    if verdict.parent_id_tag is not None:
        result["parent_id_tag"] = verdict.parent_id_tag
    if verdict.expiry_date is not None:
        result["expiry_date"] = verdict.expiry_date
    return result
