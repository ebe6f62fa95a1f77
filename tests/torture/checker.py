"""Holds what was acknowledged against what the CSMS heard and what the hub lists: nothing lost, nothing said twice.

Owns the judgement, as texts; empty means that every invariant holds. Must never look into the hub. It is to be asked
when the hub has nothing left to send.

Invariants: reliability.md 4.5 D1 to D6, E1, E3; J-231 (message ids).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from tests.torture.ledger import Asked, Ledger, Started
from tests.torture.recorder import BILLING, Sent, Transcript

CLOCK_MS: Final = 2_000
"""How far a time may move between an acknowledgement and its first transmission: the clock was not known before."""
SAMPLE_MS: Final = 20
MOST: Final = 20
"""Problems of one kind that are told."""


@dataclass(slots=True)
class Session:
    """One session as the CSMS heard of it: transmissions in the order of their arrival."""

    record: Mapping[str, Any]
    starts: list[Sent] = field(default_factory=list)
    values: list[Sent] = field(default_factory=list)
    stops: list[Sent] = field(default_factory=list)

    @property
    def ids(self) -> set[int]:
        """Every transactionId that the CSMS gave it."""
        return {call.given for call in self.starts if call.given is not None}

    @property
    def calls(self) -> list[Sent]:
        """All of them."""
        return [*self.starts, *self.values, *self.stops]


class Checker:
    """One hub's ledger, transcript and list of sessions."""

    def __init__(self, ledger: Ledger, transcript: Transcript, records: Iterable[Mapping[str, Any]]) -> None:
        self.ledger, self.transcript = ledger, transcript
        self.sessions = {record["session_id"]: Session(record) for record in records}
        self._places: dict[int, int] = {id(call): place for place, call in enumerate(transcript.calls)}
        self._of_tag = {session.record["id_tag"]: session for session in self.sessions.values()}
        self._of_id: dict[int, Session] = {}
        self._orphans: list[str] = []
        self._gather()

    def problems(self) -> list[str]:
        """Everything that is wrong, each kind cut at :data:`MOST`."""
        checks = (
            self.ledger.problems, self._orphans, self.transcript.overlaps, self.transcript.strange,
            self._message_ids(), self._starts(), self._stops(), self._samples(), self._security_events(),
            self._bytes(), self._ids(), self._order_of_a_session(), self._order_of_connectors(),
            self._order_of_commits(), self._registers(), self._repeats(),
        )  # fmt: skip
        return [problem for found in checks for problem in list(found)[:MOST]]

    def _gather(self) -> None:
        by_start = {_start_key(session.record): session for session in self.sessions.values()}
        if len(by_start) < len(self.sessions):
            self._orphans.append("two sessions of the list have the same start")
        for call in self.transcript.of(*BILLING):
            payload = call.payload
            if call.action == "StartTransaction":
                key = (payload["connectorId"], payload["idTag"], payload["timestamp"], payload["meterStart"])
                session = by_start.get(key)
                if session is not None:
                    session.starts.append(call)
                    if call.given is not None:
                        self._of_id[call.given] = session
            else:
                session = self._of_id.get(payload.get("transactionId", 0))
                if session is not None:
                    (session.stops if call.action == "StopTransaction" else session.values).append(call)
            if session is None:
                self._orphans.append(f"no session of the list has sent {call.text.decode()[:300]}")

    # D1, D6: nothing acknowledged is lost

    def _starts(self) -> Iterator[str]:
        for started in self.ledger.started:
            session = self._session_of(started)
            if session is None or not session.starts:
                yield f"the start of session {started.session_id or started.id_tag} is lost"
                continue
            if started.session_id is None:
                continue
            record = session.record
            told = (started.connector_id, started.id_tag, started.meter_start_wh)
            if told != (record["connector_id"], record["id_tag"], record["meter_start_wh"]):
                yield f"session {started.session_id} was acknowledged as {told} and is {dict(record)}"
            if started.start is not None and abs(_ms(started.start) - _ms(record["start"])) > CLOCK_MS:
                yield f"session {started.session_id} was acknowledged from {started.start}, and is {record['start']}"

    def _stops(self) -> Iterator[str]:
        for stopped in self.ledger.stopped:
            session = self.sessions.get(stopped.session_id)
            if session is None or not session.stops:
                yield f"the stop of session {stopped.session_id} is lost"
                continue
            payload = session.stops[0].payload
            if not stopped.low_wh <= payload["meterStop"] <= stopped.high_wh:
                bounds = f"{stopped.low_wh} to {stopped.high_wh}"
                yield f"session {stopped.session_id} ends at {payload['meterStop']} Wh, acknowledged was {bounds}"
            if stopped.reason not in (None, payload.get("reason", "Local")):
                yield f"session {stopped.session_id} ends for {payload.get('reason')}, not for {stopped.reason}"
        for number, session in self.sessions.items():
            if not session.stops or session.record.get("stop") is None:
                yield f"session {number} has no end"

    def _samples(self) -> Iterator[str]:
        for due in self.ledger.due:
            session = self.sessions.get(due.session_id)
            times = [] if session is None else [at_ms for call in session.values for at_ms, _ in _values(call)]
            if not any(due.asked.sent_ms - SAMPLE_MS <= at_ms <= due.asked.acked_ms + SAMPLE_MS for at_ms in times):
                yield f"the sample of session {due.session_id} with {due.wh} Wh, {due.asked}, is lost"

    def _security_events(self) -> Iterator[str]:
        heard = {call.payload.get("techInfo") for call in self.transcript.of("SecurityEventNotification")}
        for info in self.ledger.security_events:
            if info not in heard:
                yield f"the security event {info} is lost"

    # D3: the payload is the idempotency key

    def _bytes(self) -> Iterator[str]:
        for number, session in self.sessions.items():
            if len({call.bytes_of_payload for call in session.starts}) > 1:
                yield f"session {number} was started with different bytes"
            # The transactionId is the only member that may differ, and `_ids` holds it.
            if len({_without_id(call) for call in session.stops}) > 1:
                yield f"session {number} was stopped with different bytes: {[call.text for call in session.stops]}"

    def _message_ids(self) -> Iterator[str]:
        """J-231: no message id is ever used twice."""
        seen: set[str] = set()
        for call in self.transcript.calls:
            if call.unique_id in seen:
                yield f"the message id {call.unique_id} was used twice"
            seen.add(call.unique_id)

    def _repeats(self) -> Iterator[str]:
        """What went out is repeated with the same bytes: no sample is told in two different MeterValues."""
        for number, session in self.sessions.items():
            told: dict[tuple[float, str], bytes] = {}
            for call in session.values:
                for sample in _values(call):
                    if told.setdefault(sample, call.bytes_of_payload) != call.bytes_of_payload:
                        yield f"session {number}: the sample {sample} is in two different MeterValues"

    # D4, D5

    def _ids(self) -> Iterator[str]:
        for number, session in self.sessions.items():
            used = {call.payload["transactionId"] for call in (*session.values, *session.stops)}
            if len(used) > 1 or not used <= session.ids:
                yield f"session {number} has the ids {sorted(session.ids)} and used {sorted(used)}"
            if used and session.record["transaction_id"] not in used:
                yield f"session {number} is listed with {session.record['transaction_id']} and used {sorted(used)}"

    # D2: order

    def _order_of_a_session(self) -> Iterator[str]:
        for number, session in self.sessions.items():
            if not session.stops or not session.starts:
                continue
            begin, end = self._place(session.starts), self._place(session.stops)
            others = [self._places[id(call)] for call in session.values]
            if not begin < min([*others, end]) or any(place > end for place in self._first_values(session)):
                yield f"session {number}: its messages are out of order"
            times = [at_ms for call in _firsts(session.values) for at_ms, _ in _values(call)]
            if times != sorted(times):
                yield f"session {number}: its samples are out of order"

    def _order_of_connectors(self) -> Iterator[str]:
        by_connector: dict[int, list[Session]] = defaultdict(list)
        for number in sorted(self.sessions):
            by_connector[self.sessions[number].record["connector_id"]].append(self.sessions[number])
        for connector_id, sessions in by_connector.items():
            for before, after in pairwise(sessions):
                if before.stops and after.starts and self._place(before.stops) > self._place(after.starts):
                    yield f"connector {connector_id}: a transaction was started before the stop of the last one"

    def _order_of_commits(self) -> Iterator[str]:
        """What was acknowledged before another command was sent is told to the CSMS before that one's effect."""
        told: list[tuple[int, Asked, bool, str]] = []
        for started in self.ledger.started:
            session = self._session_of(started)
            if session is not None and session.starts:
                what = f"the start of {session.record['session_id']}"
                told.append((self._place(session.starts), started.asked, started.is_cause, what))
        for stopped in self.ledger.stopped:
            session = self.sessions.get(stopped.session_id)
            if session is not None and session.stops:
                what = f"the stop of {stopped.session_id}"
                told.append((self._place(session.stops), stopped.asked, stopped.reason is not None, what))
        told.sort(key=lambda item: item[0])
        latest_ms, latest = 0.0, ""
        for _, asked, is_cause, what in told:
            if asked.acked_ms < latest_ms:
                yield f"{what} was acknowledged before {latest} was asked for, and told after it"
            if is_cause and asked.sent_ms > latest_ms:
                latest_ms, latest = asked.sent_ms, what

    # E1, E3

    def _registers(self) -> Iterator[str]:
        last: dict[int, int] = defaultdict(int)
        for number in sorted(self.sessions):
            session = self.sessions[number]
            if not session.starts or not session.stops:
                continue
            stop = session.stops[0].payload
            between = [int(value) for call in _firsts(session.values) for _, value in _values(call)]
            row = [session.record["meter_start_wh"], *between, stop["meterStop"]]
            if row != sorted(row):
                yield f"session {number}: its registers fall: {row}, ended for {stop.get('reason')}"
            connector_id = session.record["connector_id"]
            if row[0] < last[connector_id]:
                yield f"connector {connector_id}: session {number} begins below the end of the last one"
            last[connector_id] = row[-1]

    def _session_of(self, started: Started) -> Session | None:
        if started.session_id is None:
            return self._of_tag.get(started.id_tag)
        return self.sessions.get(started.session_id)

    def _place(self, calls: list[Sent]) -> int:
        return self._places[id(calls[0])]

    def _first_values(self, session: Session) -> list[int]:
        return [self._places[id(call)] for call in _firsts(session.values)]


def _firsts(calls: list[Sent]) -> list[Sent]:
    """The first transmission of each message."""
    firsts: dict[bytes, Sent] = {}
    for call in calls:
        firsts.setdefault(call.bytes_of_payload, call)
    return list(firsts.values())


def _values(call: Sent) -> Iterator[tuple[float, str]]:
    for value in call.payload["meterValue"]:
        for sampled in value["sampledValue"]:
            yield _ms(value["timestamp"]), sampled["value"]


def _without_id(call: Sent) -> bytes:
    return call.bytes_of_payload.replace(b'"transactionId":%d' % call.payload["transactionId"], b'"transactionId":0')


def _start_key(record: Mapping[str, Any]) -> tuple[int, str, str, int]:
    return record["connector_id"], record["id_tag"], record["start"], record["meter_start_wh"]


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1000
