"""One transaction as it is kept: what StartTransaction and StopTransaction say, and the row of an ended session.

Owns the members of a transaction, its row in the store, the two payloads that follow from them, and the row of the
archive. Must never decide when a message leaves (``delivery.py``) nor why a transaction begins or ends (the session's
part). A payload is a function of the row: a retry and a restart send the same bytes (reliability.md 4.4).

Implements: OCPP 1.6 sections 4.8, 4.10, 6.45, 6.49; errata 3.18.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orjson import dumps

from ocpphub.core.boot import utc_text
from ocpphub.core.rows import Rows, log

TABLE: Final = "transaction"
ARCHIVE: Final = "session"
UNKNOWN_ID: Final = -1
"""``transactionId`` of a transaction whose StartTransaction was given up (errata 3.18)."""


def row_key(number: int) -> str:
    """A number as a key: keys sort as their numbers do."""
    return f"{number:012d}"


@dataclass(slots=True)
class Stop:
    """How a transaction ended; ``trusted`` is false while ``at_ms`` comes from a clock that nobody confirmed."""

    at_ms: int
    meter_wh: int
    reason: str
    id_tag: str | None
    trusted: bool


@dataclass(slots=True, eq=False)
class Transaction:
    """A transaction that is not archived yet. ``session_id`` is our own number of it and is never used twice.

    ``transaction_id`` is the CSMS's, ``None`` until it answered; ``is_discarded`` says that StartTransaction was given
    up. ``verdict`` is the status of the answer's idTagInfo. ``notes`` are JSON-ready extras of the session's part.
    """

    session_id: int
    connector_id: int
    id_tag: str
    start_ms: int
    meter_start_wh: int
    trusted: bool
    parent_id_tag: str | None = None
    reservation_id: int | None = None
    plug_id: int | str | None = None
    transaction_id: int | None = None
    is_discarded: bool = False
    verdict: str | None = None
    stop: Stop | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    stop_number: int | None = None
    """The queue's number of its StopTransaction."""
    is_start_sent: bool = False
    """Whether StartTransaction went aside after transmissions that nobody answered (decisions.md 6)."""
    undelivered: str | None = None
    """Why the CSMS does not know all of it: the message that was given up, and the last failure."""
    delivered_ms: int | None = None
    """A time that no later record may precede, known when records that are delivered leave the store."""
    last_ms: int | None = None
    """The latest trusted time of its records; follows from the rows."""
    last_untrusted_ms: int | None = None

    @property
    def is_answered(self) -> bool:
        """Whether nothing more will be learnt of StartTransaction."""
        return self.transaction_id is not None or self.is_discarded

    @property
    def wire_id(self) -> int:
        """``transactionId`` of its messages (CORE-TX-03, CORE-TX-09)."""
        return UNKNOWN_ID if self.transaction_id is None else self.transaction_id

    def recorded(self, at_ms: int, trusted: bool) -> int:
        """The time of a new record: never before the last one of its kind of clock (reliability.md 4.7)."""
        last = self.last_ms if trusted else self.last_untrusted_ms
        if last is not None and at_ms < last:
            at_ms = last + 1
        self.remember(at_ms, trusted)
        return at_ms

    def remember(self, at_ms: int, trusted: bool) -> None:
        """A record of this time is there."""
        if trusted:
            self.last_ms = at_ms if self.last_ms is None else max(at_ms, self.last_ms)
        else:
            last = self.last_untrusted_ms
            self.last_untrusted_ms = at_ms if last is None else max(at_ms, last)

    @property
    def key(self) -> str:
        """The key of its rows."""
        return row_key(self.session_id)

    def row(self) -> bytes:
        """JSON text of its row."""
        stop = self.stop
        members = {
            "connector_id": self.connector_id,
            "id_tag": self.id_tag,
            "start_ms": self.start_ms,
            "meter_start_wh": self.meter_start_wh,
            "trusted": self.trusted,
            "parent_id_tag": self.parent_id_tag,
            "reservation_id": self.reservation_id,
            "plug_id": self.plug_id,
            "transaction_id": self.transaction_id,
            "is_discarded": self.is_discarded or None,
            "verdict": self.verdict,
            "notes": self.notes or None,
            "stop": None if stop is None else [stop.at_ms, stop.meter_wh, stop.reason, stop.id_tag, stop.trusted],
            "stop_number": self.stop_number,
            "is_start_sent": self.is_start_sent or None,
            "undelivered": self.undelivered,
            "delivered_ms": self.delivered_ms,
        }
        return dumps({name: value for name, value in members.items() if value is not None})

    def start_request(self) -> dict[str, Any]:
        """StartTransaction.req (CORE-TX-01, CORE-TX-02)."""
        payload: dict[str, Any] = {
            "connectorId": self.connector_id,
            "idTag": self.id_tag,
            "meterStart": self.meter_start_wh,
            "timestamp": utc_text(self.start_ms),
        }
        if self.reservation_id is not None:
            payload["reservationId"] = self.reservation_id
        return payload

    def stop_request(self, stop: Stop, transaction_data: Sequence[Any]) -> dict[str, Any]:
        """StopTransaction.req (CORE-TX-10 to CORE-TX-12, CORE-TX-18)."""
        payload: dict[str, Any] = {
            "transactionId": self.wire_id,
            "meterStop": stop.meter_wh,
            "timestamp": utc_text(stop.at_ms),
            "reason": stop.reason,
        }
        if stop.id_tag is not None:
            payload["idTag"] = stop.id_tag
        if transaction_data:
            payload["transactionData"] = transaction_data
        return payload

    def record(self) -> dict[str, Any]:
        """What ``transaction.list`` and ``sessions export`` tell of it, live or archived (rpc.md)."""
        stop = self.stop
        ended = {} if stop is None else {
            "stop": utc_text(stop.at_ms), "meter_stop_wh": stop.meter_wh, "reason": stop.reason,
        }  # fmt: skip
        why = {} if self.undelivered is None else {"undelivered": self.undelivered}
        return {
            "session_id": self.session_id,
            "connector_id": self.connector_id,
            "transaction_id": self.transaction_id,
            "id_tag": self.id_tag,
            "start": utc_text(self.start_ms),
            "meter_start_wh": self.meter_start_wh,
            **ended,
            "delivered": False,
            **why,
        }

    def archive_row(self) -> bytes:
        """JSON text of its row in the archive: :meth:`record` of a session that nothing more will be sent of."""
        return dumps({**self.record(), "delivered": self.undelivered is None})


_MEMBERS: Final[dict[str, type]] = {
    "connector_id": int, "id_tag": str, "start_ms": int, "meter_start_wh": int, "trusted": bool,
}  # fmt: skip
_OPTIONAL: Final[dict[str, type | tuple[type, ...]]] = {
    "parent_id_tag": str, "reservation_id": int, "plug_id": (int, str), "transaction_id": int, "is_discarded": bool,
    "verdict": str, "notes": dict, "stop": list, "stop_number": int, "is_start_sent": bool, "undelivered": str,
    "delivered_ms": int,
}  # fmt: skip


def restored(rows: Rows) -> Iterator[Transaction]:
    """The transactions of an earlier process, oldest first; a damaged row is left aside with an ERROR."""
    for key, data in rows.objects(TABLE, **_MEMBERS):
        try:
            if not all(isinstance(data[name], kind) for name, kind in _OPTIONAL.items() if name in data):
                raise TypeError("a member of another type")
            stop = data.pop("stop", None)
            tx = Transaction(session_id=int(key), **data)
            if stop is not None:
                tx.stop = _stop(stop)
            tx.remember(tx.start_ms, tx.trusted)
            if tx.delivered_ms is not None:
                tx.remember(tx.delivered_ms, True)
            if (tx.stop is None) != (tx.stop_number is None):
                raise ValueError("half a stop")
        except (TypeError, ValueError):
            log.error("a damaged row of %s is left aside: %s", TABLE, key)
            continue
        yield tx


def _stop(members: list[Any]) -> Stop:
    at_ms, meter_wh, reason, id_tag, trusted = members
    kinds = isinstance(at_ms, int), isinstance(meter_wh, int), isinstance(reason, str), isinstance(id_tag, str | None)
    if not all(kinds):
        raise TypeError("a damaged stop")
    return Stop(at_ms, meter_wh, reason, id_tag, bool(trusted))
