"""The world of one life: a hub, and between it and its CSMS a link that breaks in every way.

Owns the connection: outages, half-open links, a CSMS that does not read, and the frames on their way. Must never judge
anything: that is the checker.
"""

from __future__ import annotations

from typing import Any

from orjson import dumps, loads

from ocpphub import _native
from tests.lives.csms import Reaction
from tests.lives.hub import Hub
from tests.lives.records import Answered, Called, Failed, Linked, Received, Sent

SEND_DEADLINE_S = 15.0
PONG_S = 40.0
"""Ping interval and time-out of the default link: how long a half-open connection stays unnoticed."""


class World(Hub):
    """A hub and its link to the CSMS."""

    def connect(self) -> None:
        """Open a connection, now or as soon as there is a way."""
        if self.up or not self.wanted:
            return
        if self.is_out:
            self._backoff_s = min(self._backoff_s * 2, 20.0)
            self.at(self._backoff_s * self.rng.uniform(0.5, 1.0), self.connect)
            return
        self._backoff_s = 1.0
        self.up = True
        self.session += 1
        self.mode = "normal"
        self.life.inputs += 1
        self._next_input()
        self._log(Linked, True)
        self.feed("connected")

    def cut(self) -> None:
        """The connection is gone, with everything that was on its way."""
        if not self.up:
            return
        self.up = False
        self.mode = "normal"
        self.life.inputs += 1
        self._next_input()
        self._log(Linked, False)
        self.feed("disconnected")
        self.at(self.rng.uniform(0.5, 4.0), self.connect)

    def outage(self, duration_s: float) -> None:
        """No connection for a while."""
        self.life.outages += 1
        self.is_out = True
        self.cut()
        self.at(duration_s, self._heal)

    def _heal(self) -> None:
        self.is_out = False

    def freeze(self, mode: str) -> None:
        """From now on this connection is ``half_open`` or its other end is ``not_reading``."""
        if not self.up or self.mode != "normal":
            return
        self.mode = mode
        if mode == "half_open":
            self.life.faults.add("F14")
            self._cut_later(PONG_S)

    def _cut_later(self, delay_s: float) -> None:
        session = self.session
        self.at(delay_s, lambda: self.cut() if session == self.session else None)

    def send(self, frame: bytes) -> None:
        """A message leaves: an answer, or a CALL that the CSMS reacts to."""
        kind, rest = frame[1:2], frame.split(b",", 3)
        if kind != b"2":
            parsed = loads(frame)
            self._log(Answered, parsed[1], parsed[2] if parsed[0] == 3 else None)
            return
        parsed = loads(frame)
        unique_id, action, payload, raw = parsed[1], parsed[2], parsed[3], rest[3][:-1]
        self._log(Sent, unique_id, action, payload, raw)
        if not isinstance(_native.decode_request(frame, strict=True), _native.Call):
            self._log(Failed, f"an illegal frame was sent: {frame!r}")
        if self.mode == "not_reading":
            self.life.faults.add("F13")
            self._cut_later(SEND_DEADLINE_S)
            return
        if self.mode == "half_open":
            return
        outcome = self.csms.react(unique_id, action, payload, raw, self.true_ms)
        self._note(outcome.fault, action)
        for reaction in outcome.reactions:
            self._arrive_later(reaction, payload.get("connectorId", 0) if action == "StartTransaction" else 0)
        if outcome.cuts:
            self._cut_later(0.01)

    def _note(self, fault: str, action: str) -> None:
        if fault in ("late", "twice", "wrong_id", "error", "malformed"):
            self.life.faults.add("F22")
        elif fault in ("silent", "cut_after") and action in ("StartTransaction", "StopTransaction"):
            self.life.faults.add("F23")

    def _arrive_later(self, reaction: Reaction, started: int) -> None:
        session = self.session

        def arrive() -> None:
            if self.up and session == self.session and self.mode == "normal":
                self._next_input()
                self._log(Received, reaction.unique_id, reaction.is_valid, reaction.closes, reaction.payload)
                self.feed("receive_frame", reaction.frame)
                if started and reaction.is_valid and reaction.payload["idTagInfo"]["status"] != "Accepted":
                    self.on_refusal(started)

        self.at(reaction.delay_s, arrive)

    def call(self, action: str, payload: dict[str, Any]) -> str | None:
        """The CSMS makes a CALL; its id, or ``None`` when it has no connection."""
        if not self.up or self.mode != "normal":
            return None
        self._csms_ids += 1
        unique_id = f"csms-{self._csms_ids}"
        self.life.inputs += 1
        self._next_input()
        self._log(Called, unique_id, action, payload)
        self.feed("receive_frame", dumps([2, unique_id, action, payload]))
        return unique_id
