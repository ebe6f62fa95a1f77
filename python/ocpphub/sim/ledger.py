"""What an embedded CSMS knows of charging sessions: who started, who stopped, what was metered.

Owns the records and the handing out of transaction ids. Must never know how an answer travels: a record is made when a
message has been processed, whatever becomes of the answer. Payloads are those of OCPP 1.6 in camelCase.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

MAX_RECORDS: Final = 100_000
MAX_METER_VALUES: Final = 10_000
"""Of all sessions, and of one session; a demo that is left alone for months must not grow."""

Key = tuple[str, int, str, str, int]
"""What makes a StartTransaction the same one: charge point, connector, id tag, timestamp, meterStart."""


@dataclass(slots=True)
class Record:
    """One transaction as this CSMS has it.

    ``starts`` counts the StartTransactions that it was made of (more than 1 with de-duplication), ``stops`` are all
    StopTransactions that named it, ``meter_values`` the ``meterValue`` elements of its MeterValues.req in order.
    """

    identity: str
    transaction_id: int
    connector_id: int
    id_tag: str
    start: str
    meter_start_wh: int
    status: str
    reservation_id: int | None = None
    starts: int = 1
    stops: list[dict[str, Any]] = field(default_factory=list)
    meter_values: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """By which retries of one StartTransaction are known."""
        return (self.identity, self.connector_id, self.id_tag.casefold(), self.start, self.meter_start_wh)

    @property
    def energy_wh(self) -> int | None:
        """What was charged; ``None`` until it has been stopped."""
        return self.stops[0]["meterStop"] - self.meter_start_wh if self.stops else None


class Ledger:
    """Every session of a CSMS, in the order of their starts.

    With ``deduplicates`` a StartTransaction that is the same as one before gets the same transaction id, as SteVe
    does it; without, each makes a record of its own. ``orphans`` are messages with an id that was never handed out.
    """

    def __init__(self, *, deduplicates: bool = False, first_id: int = 1) -> None:
        self.deduplicates = deduplicates
        self.records: list[Record] = []
        self.orphans: list[tuple[str, dict[str, Any]]] = []
        self._by_id: dict[int, Record] = {}
        self._by_key: dict[Key, Record] = {}
        self._next_id = first_id

    def start(self, identity: str, payload: Mapping[str, Any], status: str) -> Record:
        """Process a StartTransaction.req whose idTagInfo will be ``status``."""
        record = Record(
            identity,
            self._next_id,
            payload["connectorId"],
            payload["idTag"],
            payload["timestamp"],
            payload["meterStart"],
            status,
            payload.get("reservationId"),
        )
        if self.deduplicates and (known := self._by_key.get(record.key)) is not None:
            known.starts += 1
            return known
        self._next_id += 1
        self.records.append(record)
        self._by_id[record.transaction_id] = record
        self._by_key[record.key] = record
        self._forget_the_oldest()
        return record

    def stop(self, identity: str, payload: Mapping[str, Any]) -> None:
        """Process a StopTransaction.req."""
        if (record := self._of(identity, payload)) is not None:
            record.stops.append(dict(payload))
        else:
            self._orphan("StopTransaction", payload)

    def meter_values(self, identity: str, payload: Mapping[str, Any]) -> None:
        """Process a MeterValues.req; those outside transactions are not kept."""
        if "transactionId" not in payload:
            return
        if (record := self._of(identity, payload)) is not None:
            record.meter_values += payload["meterValue"][: MAX_METER_VALUES - len(record.meter_values)]
        else:
            self._orphan("MeterValues", payload)

    @property
    def open(self) -> list[Record]:
        """Sessions without a StopTransaction."""
        return [record for record in self.records if not record.stops]

    def copies(self) -> dict[Key, list[Record]]:
        """The records of each session that has more than one, because an answer to its start was lost."""
        groups: dict[Key, list[Record]] = defaultdict(list)
        for record in self.records:
            groups[record.key].append(record)
        return {key: records for key, records in groups.items() if len(records) > 1}

    def compare(self, transactions: Iterable[Mapping[str, Any]], *, lost_answers: int = 0) -> list[str]:
        """What contradicts the hub's own list (``transaction.list`` of one charge point); empty when all agrees.

        Each session of the hub has one record and each record a session, with the same start, stop and registers;
        ``lost_answers`` is how many copies in all are excused. Copies of a session are judged together: the CSMS
        learns of the end through one of them.
        """
        groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
        for record in self.records:
            groups[_identity_of(record.connector_id, record.id_tag, record.start, record.meter_start_wh)].append(record)
        problems: list[str] = []
        for transaction in transactions:
            key = _identity_of(*(transaction[name] for name in ("connector_id", "id_tag", "start", "meter_start_wh")))
            records = groups.pop(key, [])
            problems += [f"session {transaction['session_id']}: {problem}" for problem in _judge(transaction, records)]
            lost_answers -= max(0, len(records) - 1)
        problems += [f"the hub has no session {records[0].key}" for records in groups.values()]
        if lost_answers < 0:
            problems.append(f"{-lost_answers} more records than lost answers can explain")
        return problems

    def _of(self, identity: str, payload: Mapping[str, Any]) -> Record | None:
        record = self._by_id.get(payload["transactionId"])
        return record if record is not None and record.identity == identity else None

    def _orphan(self, action: str, payload: Mapping[str, Any]) -> None:
        if len(self.orphans) < MAX_RECORDS:
            self.orphans.append((action, dict(payload)))

    def _forget_the_oldest(self) -> None:
        if len(self.records) <= MAX_RECORDS:
            return
        for record in self.records[: MAX_RECORDS // 2]:
            del self._by_id[record.transaction_id]
            if self._by_key.get(record.key) is record:
                del self._by_key[record.key]
        del self.records[: MAX_RECORDS // 2]


def _identity_of(connector_id: int, id_tag: str, start: str, meter_start_wh: int) -> tuple[Any, ...]:
    return connector_id, id_tag.casefold(), _moment(start), meter_start_wh


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _judge(transaction: Mapping[str, Any], records: list[Record]) -> list[str]:
    if not records:
        return ["the CSMS has no record of it"]
    problems: list[str] = []
    ids = {record.transaction_id for record in records}
    if transaction.get("transaction_id") not in {*ids, None}:
        problems.append(f"the hub says id {transaction['transaction_id']}, the CSMS {sorted(ids)}")
    stops = [stop for record in records for stop in record.stops]
    if transaction.get("stop") is None:
        return [*problems, "the CSMS has a stop for a running session"] if stops else problems
    if not stops:
        return [*problems, "the CSMS has no stop"]
    if any(stop != stops[0] for stop in stops):
        problems.append("stops that differ")
    if stops[0]["meterStop"] != transaction["meter_stop_wh"]:
        problems.append(f"stopped at {transaction['meter_stop_wh']} Wh here and {stops[0]['meterStop']} Wh there")
    if _moment(stops[0]["timestamp"]) != _moment(transaction["stop"]):
        problems.append(f"stopped {transaction['stop']} here and {stops[0]['timestamp']} there")
    if stops[0].get("reason", "Local") != transaction["reason"]:
        problems.append(f"stopped for {transaction['reason']} here and for {stops[0].get('reason')} there")
    return problems
