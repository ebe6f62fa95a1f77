"""Reservations: ReserveNow, CancelReservation, their end, and who may use a connector (OCPP 1.6 sections 5.1 and 5.13).

Owns the reservations, their rows and their timers. Must never hold a connector's status: it asks for it, and tells
that a reservation came or went (``reserved_changed``), always after the answer to the CSMS. A reservation of
connector 0 belongs to no connector: it keeps one of them free (CORE-RV-08).

Implements: requirement chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from orjson import dumps

from ocpphub import _native
from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.instant import Instant
from ocpphub.core.messages import CancelReservationRequest, ReserveNowRequest
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.verdict import expiry_ms, folded
from ocpphub.core.vocabulary import CancelReservationStatus, ChargePointStatus, ReservationStatus

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings

TABLE: Final = "reservation"
FEATURE: Final = "Reservation"
CHECK_S: Final = 3_600.0
"""Longest wait for an expiry: the machine's wall clock may be set while monotonic time goes on."""
_BROKEN: Final = {
    ChargePointStatus.FAULTED: ReservationStatus.FAULTED,
    ChargePointStatus.UNAVAILABLE: ReservationStatus.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Reservation:
    """``connector_id`` 0 stands for any connector; ``expiry_date`` is the text of the CSMS, ``expiry_ms`` its time."""

    reservation_id: int
    connector_id: int
    id_tag: str
    parent_id_tag: str | None
    expiry_date: str
    expiry_ms: int

    def matches(self, id_tag: str, parent_id_tag: str | None) -> bool:
        """Whether it is for this tag or its group (CORE-RV-06); tags are never compared with parents (CORE-GEN-09)."""
        if folded(self.id_tag) == folded(id_tag):
            return True
        parents = (self.parent_id_tag, parent_id_tag)
        return None not in parents and folded(parents[0] or "") == folded(parents[1] or "")

    def json(self) -> dict[str, Any]:
        """The member ``reservation`` of the connector state (rpc.md)."""
        return {"reservation_id": self.reservation_id, "id_tag": self.id_tag, "expiry_date": self.expiry_date}


class Connectors(Protocol):
    """What reservations need of the connectors."""

    @property
    def count(self) -> int:
        """The highest connector id."""
        ...

    def status(self, connector_id: int) -> ChargePointStatus:
        """What a StatusNotification would say now; 0 is the charge point."""
        ...

    def reserved_changed(self, connector_id: int, now: Instant) -> None:
        """A reservation of the connector came or went; 0 when it was one of connector 0."""
        ...


class Reservations:
    """The reservations of one charge point: at most one on a connector, several on connector 0."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
        configuration: Configuration,
        connectors: Connectors,
    ) -> None:
        self._emit, self._timers, self._clock = emit, timers, clock
        self._configuration, self._connectors = configuration, connectors
        self._count = settings.connectors
        self._by_id: dict[int, Reservation] = {}
        self._by_connector: dict[int, Reservation] = {}
        """Those of connectors 1 to N."""

    def restore(self, rows: Rows) -> None:
        """Take up the reservations of an earlier process.

        Those of connectors that are not there any more rest, and all of them while the feature is off, as nobody could
        cancel them.
        """
        if FEATURE not in self._configuration.feature_profiles:
            return
        members = {"connector_id": int, "id_tag": str, "expiry_date": str}
        for key, row in rows.objects(TABLE, **members):
            end_ms = expiry_ms(row["expiry_date"])
            if key.removeprefix("-").isdecimal() and end_ms is not None and 0 <= row["connector_id"] <= self._count:
                parent = row.get("parent_id_tag")
                parent = parent if isinstance(parent, str) else None
                self._add(Reservation(int(key), row["connector_id"], row["id_tag"], parent, row["expiry_date"], end_ms))

    def start(self, now: Instant) -> None:
        """The process starts. Effects: ``Discard`` of what expired meanwhile (CORE-RV-14), ``reserved_changed``."""
        for reservation in list(self._by_id.values()):
            self._expire_or_wait(reservation, now)

    def clock_stepped(self, now: Instant) -> None:
        """The time is another: every expiry is looked at again. Effects: as :meth:`start`."""
        self.start(now)

    def handle_timer(self, reservation_id: int, now: Instant) -> None:
        """The timer ``("reservation", id)``. Effects: ``Discard`` and ``reserved_changed`` if it is over."""
        reservation = self._by_id.get(reservation_id)
        if reservation is not None:
            self._expire_or_wait(reservation, now)

    def _expire_or_wait(self, reservation: Reservation, now: Instant) -> None:
        left_s = (reservation.expiry_ms - self._clock.utc_ms(now)) / 1000
        if left_s > 0:
            self._timers.set(("reservation", reservation.reservation_id), now.monotonic_s + min(left_s, CHECK_S))
            return
        self._remove(reservation)
        self._connectors.reserved_changed(reservation.connector_id, now)

    # who may use a connector

    def of(self, connector_id: int) -> Reservation | None:
        """The reservation of a connector above 0."""
        return self._by_connector.get(connector_id)

    def admits(self, connector_id: int, id_tag: str, parent_id_tag: str | None) -> bool:
        """Whether a tag may use a connector (CORE-RV-06, 08 and 17).

        A connector that is reserved is for the reservation's tag or group. Any other is for those who have reserved
        connector 0, and for everybody while as many connectors stay free besides as are reserved so.
        """
        reservation = self.of(connector_id)
        if reservation is not None:
            return reservation.matches(id_tag, parent_id_tag)
        anywhere = list(self._anywhere())
        if not anywhere or any(each.matches(id_tag, parent_id_tag) for each in anywhere):
            return True
        return self._has_free(len(anywhere), besides=connector_id)

    def needs_parent(self, connector_id: int) -> bool:
        """Whether the parent of a tag could matter for this connector (CORE-RV-07)."""
        reservation = self.of(connector_id)
        relevant = self._anywhere() if reservation is None else [reservation]
        return any(each.parent_id_tag is not None for each in relevant)

    def used(self, connector_id: int, id_tag: str, parent_id_tag: str | None, now: Instant) -> int | None:
        """A transaction starts on a connector: the id of the reservation that it uses up, which ends (CORE-RV-10, 12).

        Effects: ``Discard``; ``reserved_changed`` only for one of connector 0, the caller knows of its own connector.
        """
        candidates = [each for each in (self.of(connector_id), *self._anywhere()) if each is not None]
        for reservation in candidates:
            if reservation.matches(id_tag, parent_id_tag):
                self._remove(reservation)
                if reservation.connector_id == 0:
                    self._connectors.reserved_changed(0, now)
                return reservation.reservation_id
        return None

    def ended(self, connector_id: int, now: Instant) -> None:
        """A connector became Faulted or Unavailable; 0: the charge point, and with it all (CORE-RV-10, AMB-13).

        Not for a connector that merely nobody has attached yet since the process started (CORE-RV-14). Effects:
        ``Discard``; ``reserved_changed`` for others than ``connector_id``.
        """
        for reservation in list(self._by_id.values()):
            if connector_id in (0, reservation.connector_id):
                self._remove(reservation)
                if reservation.connector_id != connector_id:
                    self._connectors.reserved_changed(reservation.connector_id, now)

    def listed(self) -> list[dict[str, Any]]:
        """The result of ``reservation.list`` (rpc.md), by id."""
        return [
            {**each.json(), "connector_id": each.connector_id, "parent_id_tag": each.parent_id_tag}
            for _, each in sorted(self._by_id.items())
        ]

    def _anywhere(self) -> Iterator[Reservation]:
        # Few: never more than there are free connectors. Those without a connector are what the two tables differ in.
        if len(self._by_id) == len(self._by_connector):
            return iter(())
        return (each for each in self._by_id.values() if each.connector_id == 0)

    def _has_free(self, wanted: int, besides: int = 0, without: Reservation | None = None) -> bool:
        """Whether ``wanted`` connectors are Available and not reserved, ``besides`` and a reservation left out."""
        for connector_id in range(1, self._count + 1):
            if wanted <= 0:
                return True
            wanted -= connector_id != besides and self._is_free(connector_id, without)
        return wanted <= 0

    def _is_free(self, connector_id: int, without: Reservation | None) -> bool:
        reservation = self.of(connector_id)
        status = self._connectors.status(connector_id)
        if reservation is not None and reservation is without:
            return status in (ChargePointStatus.AVAILABLE, ChargePointStatus.RESERVED)
        return reservation is None and status is ChargePointStatus.AVAILABLE

    # the CSMS

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler for the profile Reservation."""
        return {"ReserveNow": self._reserve_now, "CancelReservation": self._cancel_reservation}

    def _reserve_now(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.13. Effects when Accepted: ``Store``; after the answer ``reserved_changed``."""
        request = cast("ReserveNowRequest", call.payload())
        earlier = self._by_id.get(request["reservationId"])
        status = self._judge(request, earlier, now)
        if status is not ReservationStatus.ACCEPTED:
            return Answer({"status": status})
        if earlier is not None:  # CORE-RV-01; its row is overwritten
            self._forget(earlier)
        reservation = Reservation(
            request["reservationId"],
            request["connectorId"],
            request["idTag"],
            request.get("parentIdTag"),
            request["expiryDate"],
            expiry_ms(request["expiryDate"]) or 0,
        )
        self._add(reservation)
        self._emit(Store(TABLE, str(reservation.reservation_id), _row(reservation)))
        self._expire_or_wait(reservation, now)
        return Answer({"status": status}, lambda at: self._tell(earlier, reservation, at))

    def _tell(self, earlier: Reservation | None, reservation: Reservation, now: Instant) -> None:
        if earlier is not None and earlier.connector_id != reservation.connector_id:
            self._connectors.reserved_changed(earlier.connector_id, now)
        self._connectors.reserved_changed(reservation.connector_id, now)

    def _judge(self, request: ReserveNowRequest, earlier: Reservation | None, now: Instant) -> ReservationStatus:
        """Rejected before Faulted before Unavailable before Occupied (CORE-RV-05)."""
        connector_id, end_ms = request["connectorId"], expiry_ms(request["expiryDate"])
        if not 0 <= connector_id <= self._count or end_ms is None or end_ms <= self._clock.utc_ms(now):
            return ReservationStatus.REJECTED
        if connector_id == 0 and self._configuration.text("ReserveConnectorZeroSupported") != "true":
            return ReservationStatus.REJECTED  # CORE-RV-09
        statuses = {self._connectors.status(0)}
        if connector_id:
            statuses.add(self._connectors.status(connector_id))
        for broken, answer in _BROKEN.items():
            if broken in statuses:
                return answer
        others = sum(each is not earlier for each in self._anywhere())
        if connector_id == 0:
            return ReservationStatus.ACCEPTED if self._has_free(others + 1, without=earlier) else self._why_none()
        # CORE-RV-17: this connector is one less for those who have reserved any.
        is_free = self._is_free(connector_id, earlier) and self._has_free(others, connector_id, earlier)
        return ReservationStatus.ACCEPTED if is_free else ReservationStatus.OCCUPIED

    def _why_none(self) -> ReservationStatus:
        """No connector is free: Faulted or Unavailable if all of them are, else Occupied (CORE-RV-17)."""
        statuses = {self._connectors.status(connector_id) for connector_id in range(1, self._count + 1)}
        if statuses <= _BROKEN.keys():
            is_faulted = ChargePointStatus.FAULTED in statuses
            return ReservationStatus.FAULTED if is_faulted else ReservationStatus.UNAVAILABLE
        return ReservationStatus.OCCUPIED

    def _cancel_reservation(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.1. Effects when Accepted: ``Discard``; after the answer ``reserved_changed``."""
        request = cast("CancelReservationRequest", call.payload())
        reservation = self._by_id.get(request["reservationId"])
        if reservation is None:
            return Answer({"status": CancelReservationStatus.REJECTED})
        self._remove(reservation)
        return Answer(
            {"status": CancelReservationStatus.ACCEPTED},
            lambda at: self._connectors.reserved_changed(reservation.connector_id, at),
        )

    # inside

    def _add(self, reservation: Reservation) -> None:
        self._by_id[reservation.reservation_id] = reservation
        if reservation.connector_id:
            self._by_connector[reservation.connector_id] = reservation

    def _forget(self, reservation: Reservation) -> None:
        del self._by_id[reservation.reservation_id]
        if reservation.connector_id:
            del self._by_connector[reservation.connector_id]
        self._timers.cancel(("reservation", reservation.reservation_id))

    def _remove(self, reservation: Reservation) -> None:
        self._forget(reservation)
        self._emit(Discard(TABLE, str(reservation.reservation_id)))


def _row(reservation: Reservation) -> bytes:
    return dumps(
        {
            "connector_id": reservation.connector_id,
            "id_tag": reservation.id_tag,
            "parent_id_tag": reservation.parent_id_tag,
            "expiry_date": reservation.expiry_date,
        }
    )
