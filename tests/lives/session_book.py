"""The sessions of one life as they unfold: who was told what, what was sent, what was answered, record by record.

Owns D1 at each restart, D3 to D5 as far as one frame shows them, and the book that :mod:`tests.lives.judge_sessions`
closes at the end. Where a crash or a late answer leaves open what happened, both outcomes are kept.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.lives.judge_wire import SLOWEST_DISK_S, Complain
from tests.lives.ledger import Sample, Session, Wire, identity, registers
from tests.lives.records import (
    Began,
    Called,
    Commanded,
    Finished,
    Header,
    Linked,
    Published,
    Received,
    Record,
    Replied,
    Restored,
    Sent,
)

ASIDE = 3
"""Lost links under a message after which it may be aside: the rule says five, but not all of them are seen, because a
frame that waits for the disk is dropped with its link."""
STOP_DELIVERY_S = 5.0
"""What can be delivered so long after ``stop`` is; then the link closes."""


class SessionBook:
    """The sessions of one life."""

    def __init__(self, header: Header, complain: Complain) -> None:
        self._header, self._complain = header, complain
        self.sessions: dict[int, Session] = {}
        self._wires: dict[object, Wire] = {}
        self._starts: dict[int, list[Wire]] = defaultdict(list)
        self._stops: list[Wire] = []
        self._samples: dict[tuple[int, int | None], list[Sample]] = defaultdict(list)
        self._meter_values: list[tuple[Wire, list[Sample]]] = []
        self._open: tuple[Sent, Wire] | None = None
        self._order = 0
        self._process = 0
        self._input_s: dict[int, float] = {}
        self._reports: dict[int, list[tuple[int, float, int, int]]] = defaultdict(list)
        """Connector -> accepted registers: input, time, value, process."""
        self._asked: dict[int, Commanded] = {}
        self._asked_many: dict[int, tuple[Commanded, list[tuple[int, int]]]] = {}
        self._taken: dict[int, bool] = {}
        self._stop_s = float("-inf")
        self._finished: Finished | None = None
        self._last: Record | None = None
        self._first_told: dict[tuple[int, int], int] = {}
        """Connector and register -> the input that told it first."""
        self._unanswered: dict[int, set[tuple[int, int]]] = defaultdict(set)
        """Connector -> register and process of reports that may have been taken or not: a crash left them without an
        answer."""

        self._handlers: dict[type[Record], Callable[[Any], None]] = {
            Sent: self._sent,
            Received: self._received,
            Linked: self._linked,
            Published: self._published,
            Commanded: self._commanded,
            Replied: self._replied,
            Began: self._began,
            Restored: self._restored,
            Finished: self._finish,
        }

    def see(self, record: Record) -> None:
        """Take one record."""
        self._last = record
        is_dated = isinstance(record, Commanded) and "timestamp" in record.params
        if isinstance(record, Commanded | Called | Received | Linked) and not is_dated:
            # A report may say when it was made: what it starts or ends is then older than itself.
            self._input_s.setdefault(record.input, record.at_s)
        handler = self._handlers.get(type(record))
        if handler is not None:
            handler(record)

    def _linked(self, record: Linked) -> None:
        if not record.is_up:
            self._lose_call(record)
        self._open = None

    def _commanded(self, record: Commanded) -> None:
        if record.name == "report":
            self._asked[record.request] = record
            told = (record.params["connector_id"], record.params.get("energy_wh", -1))
            self._first_told.setdefault(told, record.input)
        elif record.name == "report_many":
            self._many(record)
        elif record.name == "stop":
            self._stop_s = record.at_s

    def _many(self, record: Commanded) -> None:
        """Rows that are taken or refused, each by itself."""
        params = record.params
        rows = params.get("reports") or [dict(zip(params["columns"], row, strict=True)) for row in params["rows"]]
        told = [(row["connector_id"], row["energy_wh"]) for row in rows]
        self._asked_many[record.request] = (record, told)
        for each in told:
            self._first_told.setdefault(each, record.input)

    def _began(self, record: Began) -> None:
        self._lose_call(record)
        for asked in self._asked.values():
            told = (asked.params.get("energy_wh", -1), self._process)
            self._unanswered[asked.params["connector_id"]].add(told)
        for _, rows in self._asked_many.values():
            for connector_id, value in rows:
                self._unanswered[connector_id].add((value, self._process))
        self._asked_many.clear()
        self._process += 1
        self._asked.clear()

    def _finish(self, record: Finished) -> None:
        self._finished = record

    def _lose_call(self, record: Record) -> None:
        """The link or the process is gone, and with it the CALL in flight."""
        if self._open is not None:
            call, wire = self._open
            wire.losses += 1
            if record.at_s >= call.at_s + self._header.message_timeout_s - SLOWEST_DISK_S:
                wire.failures += 1  # it may have timed out before
        self._open = None

    def _sent(self, call: Sent) -> None:
        if self._open is not None:  # nobody answered it, and the link is still there
            self._open[1].failures += 1
        self._open = None
        if call.action not in ("StartTransaction", "StopTransaction", "MeterValues"):
            return
        samples = registers(call.payload, call, self._order)
        if any(sample.context == "Trigger" for sample in samples):
            self._check_id(call)
            return  # TriggerMessage: neither queued nor repeated
        key = identity(call.action, call.payload, call.raw)
        if self._is_split(call):
            return
        wire = self._wires.get(key)
        if wire is None:
            self._order += 1
            wire = self._wires[key] = Wire(call.raw, call.action, call.payload, call, self._order)
            self._first_sent(call, wire, samples)
        elif wire.answered_in == self._process:
            self._complain("D3", call, f"{call.action} was sent again after it had been answered: {call.raw!r}")
        wire.transmissions += 1
        wire.variants.add(call.raw)
        if len(wire.variants) > 1 and wire.losses < ASIDE:
            self._complain("D3", call, f"{call.action} was sent with other bytes")
        self._open = (call, wire)

    def _is_split(self, call: Sent) -> bool:
        """Whether this is a part of a MeterValues that the poison rule has split."""
        if call.action != "MeterValues":
            return False
        same = (call.payload["connectorId"], call.payload.get("transactionId"))
        return any(
            wire.losses >= ASIDE and wire.raw != call.raw and all(item in wire.payload["meterValue"] for item in items)
            for wire, _ in self._meter_values
            if (wire.payload["connectorId"], wire.payload.get("transactionId")) == same
            for items in (call.payload["meterValue"],)
        )

    def _first_sent(self, call: Sent, wire: Wire, samples: list[Sample]) -> None:
        if call.action == "StartTransaction":
            self._starts[call.payload["connectorId"]].append(wire)
            return
        self._check_id(call)
        if call.action == "StopTransaction":
            self._stops.append(wire)
        else:
            self._meter_values.append((wire, samples))
            key = (call.payload["connectorId"], call.payload.get("transactionId"))
            for sample in samples:
                sample.order = wire.order
                self._samples[key].append(sample)

    def _check_id(self, call: Sent) -> None:
        wanted = call.payload.get("transactionId")
        if wanted is None:
            return
        connector_id = call.payload.get("connectorId")
        starts = [w for c, ws in self._starts.items() if connector_id in (None, c) for w in ws]
        if any(wanted in wire.ids for wire in starts):
            return
        if any(wanted in self._wire_ids(wire) for wire in starts if wire.failures >= self._header.attempts):
            return
        running = [s for s in self.sessions.values() if connector_id in (None, s.connector_id)]
        waiting = len([s for s in running if s.start_input is not None]) > len([w for w in starts if w.answers])
        if waiting:
            self._complain("D4", call, f"{call.action} with transactionId {wanted} before its start was answered")
        self._complain("D5", call, f"{call.action} carries transactionId {wanted}, which nobody gave it")

    def _wire_ids(self, start: Wire) -> set[int]:
        """The ids that messages of this session may carry: -1 too, if an answer was lost in a crash and the start was
        given up afterwards."""
        given_up = start.failures >= self._header.attempts and start.answered_in != self._process
        return start.ids | {-1} if given_up or not start.answers else start.ids

    def _received(self, answer: Received) -> None:
        if self._open is None or self._open[0].unique_id != answer.unique_id or answer.closes is False:
            return
        call, wire = self._open
        if answer.at_s > call.at_s + self._header.message_timeout_s:
            return
        if not answer.is_valid:
            wire.failures += 1
            if answer.closes:  # otherwise the CALL may still be open: what comes next decides
                self._open = None
            return
        self._open = None
        if not STOP_DELIVERY_S <= answer.at_s - self._stop_s <= STOP_DELIVERY_S + SLOWEST_DISK_S:
            wire.answered_in = self._process  # otherwise `stop` may have closed the link before it came
        if wire.action == "StartTransaction":
            wire.answers.append((answer.payload["transactionId"], answer.payload["idTagInfo"]["status"]))
        else:
            wire.answers.append((0, ""))

    def _published(self, record: Published) -> None:
        if record.topic != "transaction":
            return
        value = record.value
        session = self._session(value["session_id"], value["connector_id"], value["id_tag"], value["meter_start_wh"])
        if value["event"] == "started":
            session.is_told = True
            session.start_input = record.input
            session.start_at_s = self._input_s.get(record.input, record.at_s)
            session.start_true_ms, session.process = record.true_ms, self._process
        if value.get("reason") is not None:
            if session.meter_stop is not None and (session.meter_stop, session.reason) != (
                value["meter_stop_wh"], value["reason"],
            ):  # fmt: skip
                self._complain("D3", record, f"session {session.session_id} ended twice")
            session.meter_stop, session.reason = value["meter_stop_wh"], value["reason"]
            if value["event"] == "ended":
                session.is_stop_told = True
                session.stop_input = record.input
                session.stop_at_s = self._input_s.get(record.input, record.at_s)

    def _session(self, session_id: int, connector_id: int, id_tag: str, meter_start: int) -> Session:
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id, connector_id, id_tag, meter_start)
        elif (session.connector_id, session.id_tag, session.meter_start) != (connector_id, id_tag, meter_start):
            assert self._last is not None
            self._complain("D6", self._last, f"session {session_id} is another one now")
        return session

    def _replied(self, record: Replied) -> None:
        asked_many = self._asked_many.pop(record.request, None)
        if asked_many is not None and record.error is None:
            wrong = {each["index"] for each in record.result["errors"]}
            for index, row in enumerate(asked_many[1]):
                if index not in wrong:
                    self._take(asked_many[0], *row, record.is_direct)
        asked = self._asked.pop(record.request, None)
        if asked is None:
            return
        value, connector_id = asked.params.get("energy_wh"), asked.params["connector_id"]
        if record.error is None and isinstance(value, int):
            self._take(asked, connector_id, value, record.is_direct)

    def _take(self, asked: Commanded, connector_id: int, value: int, is_direct: bool) -> None:
        """A register was accepted."""
        at_s = self._input_s.get(asked.input, asked.at_s)
        insort(self._reports[connector_id], (asked.input, at_s, value, self._process))
        self._taken[asked.input] = is_direct

    def _restored(self, record: Restored) -> None:
        for each in record.found.live.values():
            session = self._session(each["session_id"], each["connector_id"], each["id_tag"], each["meter_start_wh"])
            stop = each["stop"]
            if stop is not None:
                session.meter_stop, session.reason = stop["meter_wh"], stop["reason"]
        for session in self.sessions.values():
            self._check_kept(record, session)

    def _check_kept(self, record: Restored, session: Session) -> None:
        """D1: what was acknowledged is in the store, or the CSMS has it."""
        if not (session.is_told or session.is_stop_told):
            return
        found = record.found.live.get(session.session_id)
        if found is None:
            if not self._may_be_archived(session):
                self._complain("D1", record, f"session {session.session_id} is gone")
        elif session.is_stop_told and found["stop"] is None:
            self._complain("D1", record, f"the end of session {session.session_id} is gone")

    def _may_be_archived(self, session: Session) -> bool:
        """Whether its StopTransaction was answered or given up."""
        if session.meter_stop is None:
            return False
        return any(
            wire.payload["meterStop"] == session.meter_stop
            and (wire.answers or wire.failures >= self._header.attempts or wire is (self._open or (0, 0))[1])
            for wire in self._stops
        )
