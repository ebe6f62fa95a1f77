"""Whether every session reached the CSMS as it was: once, in order, with its id, and with the energy of its meter.

Owns D1 to D5 and E1 to E4, L1 and L2 of reliability.md 4.5, and the times of sessions (4.7). Works on transcripts
alone; where a crash leaves open what happened, both outcomes are allowed.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

from ocpphub.core.boot import parse_utc_ms
from tests.lives.judge_wire import LATEST_MS
from tests.lives.ledger import Sample, Session, Wire, registers
from tests.lives.session_book import ASIDE, SessionBook

TRUTH_MS = 6_000
"""2 s, and the slowest disk."""
CHECKPOINT_WH, CHECKPOINT_S = 100, 60.0
LATE_S = 10.0
"""How long a due sample waits for a report."""


class Sessions(SessionBook):
    """The sessions of one life, judged."""

    def conclude(self) -> None:
        """Judge the whole life."""
        assert self._last is not None
        self._match_starts()
        self._match_stops()
        self._check_order()
        self._check_energy()
        self._check_times()
        self._check_due_samples()
        self._check_liveness()

    def _end(self, invariant: str, text: str) -> None:
        assert self._last is not None
        self._complain(invariant, self._last, text)

    def _by_connector(self) -> dict[int, list[Session]]:
        found: dict[int, list[Session]] = defaultdict(list)
        for session_id in sorted(self.sessions):
            found[self.sessions[session_id].connector_id].append(self.sessions[session_id])
        return found

    def _match_starts(self) -> None:
        by_connector = self._by_connector()
        for connector_id in sorted(set(by_connector) | set(self._starts)):
            wires = list(self._starts[connector_id])
            for session in by_connector[connector_id]:
                wanted = (session.id_tag, session.meter_start)
                match = next((w for w in wires if (w.payload["idTag"], w.payload["meterStart"]) == wanted), None)
                if match is None:
                    self._end("D1", f"session {session.session_id} on connector {connector_id} was never told")
                else:
                    wires.remove(match)
                    session.wire = match
            for wire in wires:
                self._complain("D3", wire.first, f"a StartTransaction of no session: {wire.raw!r}")

    def _match_stops(self) -> None:
        left = list(self._stops)
        open_ends: list[Session] = []
        for session in sorted(self.sessions.values(), key=lambda each: each.session_id):
            if session.meter_stop is None or session.wire is None:
                continue
            ids = self._wire_ids(session.wire)
            match = next((w for w in left if w.payload["transactionId"] in ids and _ends(w, session)), None)
            if match is None:
                open_ends.append(session)
            else:
                left.remove(match)
                session.stop_wire = match
        for session in open_ends:
            stray = next((w for w in left if _ends(w, session)), None)
            if stray is not None:
                left.remove(stray)
                session.stop_wire = stray
                self._complain("D5", stray.first, f"the stop of session {session.session_id} has another's id")
            else:
                self._end("D1", f"the end of session {session.session_id} was never told")
        for wire in left:
            self._complain("D3", wire.first, f"a StopTransaction of no session, or a second one: {wire.raw!r}")

    def _check_order(self) -> None:
        """D2: first deliveries are in the order of the commits."""
        events: list[tuple[int, int, str, Wire]] = []
        for session in self.sessions.values():
            if _went_aside(session):
                continue
            if session.wire is not None and session.start_input is not None:
                events.append((session.wire.order, session.start_input, f"start {session.session_id}", session.wire))
            if session.stop_wire is not None and session.stop_input is not None:
                events.append((session.stop_wire.order, session.stop_input, f"stop {session.session_id}",
                               session.stop_wire))  # fmt: skip
        events.sort(key=lambda each: each[0])
        latest, name = -1, ""
        for _, input_number, what, wire in events:
            if input_number < latest:
                self._complain("D2", wire.first, f"{what} came after {name}, which happened later")
            elif input_number > latest:
                latest, name = input_number, what
        for wire, samples in self._meter_values:
            self._check_overtaking(wire, samples, events)

    def _check_overtaking(self, wire: Wire, samples: list[Sample], events: list[tuple[int, int, str, Wire]]) -> None:
        if not samples or "transactionId" not in wire.payload or wire.losses >= ASIDE:
            return
        earliest = self._first_told.get((wire.payload["connectorId"], samples[0].value))
        if earliest is None:
            return
        for order, input_number, what, _ in events:
            if order > wire.order and input_number < earliest:
                self._complain("D2", wire.first, f"a MeterValues overtook {what}")
                return

    def _samples_of(self, session: Session) -> list[Sample]:
        """Its samples; where several sessions of a connector have one id, those that lie in its time."""
        if session.wire is None:
            return []
        is_unique = self._is_unique(session)
        start_ms = _ms(session.wire)
        stop_ms = _ms(session.stop_wire) if session.stop_wire is not None else LATEST_MS
        return [
            sample
            for transaction_id in self._wire_ids(session.wire)
            for sample in self._samples[session.connector_id, transaction_id]
            if session.wire.order < sample.order and (is_unique or start_ms <= sample.at_ms <= stop_ms)
        ]

    def _is_unique(self, session: Session) -> bool:
        """Whether no other session of the connector has its transaction id."""
        assert session.wire is not None
        ids = self._wire_ids(session.wire)
        others = [s for s in self.sessions.values() if s.connector_id == session.connector_id and s is not session]
        return not any(s.wire is None or self._wire_ids(s.wire) & ids for s in others)

    def _check_energy(self) -> None:
        for connector_id, sessions in self._by_connector().items():
            reports = self._reports[connector_id]
            known = {value for _, _, value, _ in reports} | {value for value, _ in self._unanswered[connector_id]}
            before: Session | None = None
            for session in sessions:
                self._check_registers(session, known)
                if before is not None and before.meter_stop is not None:
                    self._check_gap(before, session)
                before = session
                if session.reason == "PowerLoss":
                    self._check_power_loss(session)

    def _check_registers(self, session: Session, known: set[int]) -> None:
        name = f"session {session.session_id} on connector {session.connector_id}"
        if session.meter_start not in known:
            self._end("E2", f"{name} starts at {session.meter_start} Wh, which its meter never read")
        if session.meter_stop is not None and session.meter_stop not in known:
            self._end("E2", f"{name} ends at {session.meter_stop} Wh, which its meter never read")
        samples = self._samples_of(session)
        samples += registers(session.stop_wire.payload, session.stop_wire.first, 0) if session.stop_wire else []
        samples.sort(key=lambda each: (each.at_ms, each.value))
        last = session.meter_start
        for value in [each.value for each in samples] + (
            [session.meter_stop] if session.meter_stop is not None else []
        ):
            if value < last:
                self._end("E1", f"{name}: {value} Wh after {last} Wh")
                return
            last = value
        for sample in samples:
            if sample.value not in known:
                self._complain("E2", sample.sent, f"{name}: a sample of {sample.value} Wh was never read")
        if samples and session.stop_wire is not None:
            late = max(each.order for each in samples)
            if late > session.stop_wire.order and session.stop_wire.losses < ASIDE:
                self._complain("D2", session.stop_wire.first, f"{name}: samples came after its stop")

    def _check_gap(self, before: Session, after: Session) -> None:
        assert before.meter_stop is not None
        if after.meter_start < before.meter_stop and not self._is_new_epoch(before, after):
            text = f"session {after.session_id} starts at {after.meter_start} Wh, {before.session_id} ended at "
            self._end("E3", f"{text}{before.meter_stop} Wh: billed twice")

    def _is_new_epoch(self, before: Session, after: Session) -> bool:
        """Whether the accepted registers fell between the beginnings of the two."""
        reports = self._reports[before.connector_id]
        falls = [b[0] for a, b in itertools.pairwise(reports) if b[2] < a[2]]
        if before.start_input is None or after.start_input is None:
            return bool(falls)
        return any(before.start_input <= fall <= after.start_input for fall in falls)

    def _check_power_loss(self, session: Session) -> None:
        """E4: at most 100 Wh or 60 s of acknowledged reports are not billed."""
        if session.meter_stop is None or session.start_input is None or session.stop_input is None:
            return
        # A report that repeats one which a crash left without an answer was answered before anything was safe.
        open_values = self._unanswered[session.connector_id]
        mine = [r for r in self._reports[session.connector_id]
                if session.start_input <= r[0] <= session.stop_input and (r[2], r[3]) not in open_values]  # fmt: skip
        if any(b[2] < a[2] for a, b in itertools.pairwise(mine)):
            return
        billed = [r for r in mine if r[2] <= session.meter_stop]
        missing = [r for r in mine if r[2] > session.meter_stop]
        if not missing:
            return
        lost_wh = missing[-1][2] - session.meter_stop
        lost_s = missing[-1][1] - (billed[-1][1] if billed else session.start_at_s)
        if lost_wh >= CHECKPOINT_WH or lost_s > CHECKPOINT_S:
            self._end("E4", f"session {session.session_id} lost {lost_wh} Wh over {lost_s:.0f} s")

    def _check_times(self) -> None:
        for session in self.sessions.values():
            if session.wire is None:
                continue
            start_ms = _ms(session.wire)
            samples = sorted(self._samples_of(session), key=lambda each: each.order)
            periodic = [each for each in samples if each.context == "Sample.Periodic"]
            times = [start_ms] + [each.at_ms for each in periodic]
            times += [_ms(session.stop_wire)] if session.stop_wire is not None else []
            name = f"session {session.session_id} on connector {session.connector_id}"
            if any(later < earlier for earlier, later in itertools.pairwise(times)):
                self._end("TIME", f"{name}: its times go back: {times}")
            is_true = self._is_before_step(session.wire.first.at_s)
            if session.start_input is not None and is_true and abs(start_ms - session.start_true_ms) > TRUTH_MS:
                off_s = (start_ms - session.start_true_ms) / 1000
                self._complain("TIME", session.wire.first, f"{name}: its start is {off_s:.1f} s off")

    def _is_before_step(self, at_s: float) -> bool:
        return self._header.step_s is None or at_s < self._header.step_s

    def _check_due_samples(self) -> None:
        """D1: a report that makes a sample due is answered when the sample is safe."""
        interval_s = self._header.sample_interval_s
        if not interval_s:
            return
        for session in self.sessions.values():
            if session.start_input not in self._input_s or session.wire is None:
                continue
            sent = Counter(sample.value for sample in self._samples_of(session))
            last_s = session.stop_at_s if session.stop_input is not None else float("inf")
            for number, at_s, value in self._due_reports(session, interval_s, last_s):
                if session.stop_input is not None and number >= session.stop_input:
                    continue
                if (value, session.process) in self._unanswered[session.connector_id]:
                    continue  # it repeats a report that a crash left without an answer
                if not sent[value]:
                    self._end("D1", f"session {session.session_id}: the sample of {value} Wh at {at_s:.1f} s is lost")
                if self._taken[number]:
                    self._end("D6", f"session {session.session_id}: the report of {value} Wh did not wait for the disk")

    def _due_reports(self, session: Session, interval_s: int, last_s: float) -> list[tuple[int, float, int]]:
        """The acknowledged reports that came first after a due time, in the process that began the session."""
        found = []
        reports = [r for r in self._reports[session.connector_id] if r[3] == session.process]
        due_s = session.start_at_s + interval_s
        end_s = min(last_s, session.start_at_s + 3_600.0)
        while due_s < end_s:
            patience_s = min(interval_s / 2, LATE_S)
            first = next((r for r in reports if r[1] >= due_s and r[0] > (session.start_input or 0)), None)
            if first is not None and due_s + 0.05 < first[1] < min(due_s + patience_s, end_s) - 0.05:
                found.append((first[0], first[1], first[2]))
            due_s += interval_s
        return found

    def _check_liveness(self) -> None:
        if self._finished is None:
            self._end("L1", "the life did not come to an end")
            return
        queue = self._finished.queue
        if queue["messages"]:
            self._complain("L1", self._finished, f"the queue did not empty: {queue}")
        for session in self.sessions.values():
            if session.meter_stop is None:
                self._complain("L2", self._finished, f"session {session.session_id} never ended")


def _went_aside(session: Session) -> bool:
    """Whether the poison rule may have put a message of this session aside."""
    return any(wire is not None and wire.losses >= ASIDE for wire in (session.wire, session.stop_wire))


def _ends(wire: Wire, session: Session) -> bool:
    return (wire.payload["meterStop"], wire.payload.get("reason", "Local")) == (session.meter_stop, session.reason)


def _ms(wire: Wire) -> int:
    return parse_utc_ms(wire.payload["timestamp"]) or 0
