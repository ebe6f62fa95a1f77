"""A CSMS with faults, for lives on virtual time: it answers, late, twice, wrongly, or not at all.

Owns the ledger of sessions as a CSMS would keep it, the verdicts of id tags, and which fault meets which CALL. It must
never know anything of the hub but the frames that reach it. Personalities: with and without de-duplication, with
ordinary and with odd transaction ids (0, -1, negative, 2^31-1, repeated).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from orjson import dumps

from ocpphub.core.boot import utc_text

ACCEPTED, BLOCKED, EXPIRED, INVALID, CONCURRENT = "Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"
GOOD_TAGS = ("GOOD1", "GOOD2", "GOOD3", "GOOD4", "FAMILY1a", "FAMILY1b")
BAD_TAGS = ("BLOCKED1", "EXPIRED1", "INVALID1")
SLY_TAGS = ("SLY1", "SLY2")
"""Accepted by Authorize, refused by StartTransaction: what a de-authorisation comes from."""
LISTED_TAGS = ("LIST1", "LIST2", "LIST3", "LIST4", "LIST5")
"""What the local list holds: nobody presents them."""
TAGS = GOOD_TAGS + BAD_TAGS + SLY_TAGS
TRANSACTIONAL = frozenset(("StartTransaction", "StopTransaction", "MeterValues"))


def verdict(id_tag: str, *, at_start: bool) -> dict[str, Any]:
    """The idTagInfo of a tag, by its name."""
    tag = id_tag.upper()
    if tag.startswith("FAMILY"):
        return {"status": ACCEPTED, "parentIdTag": tag[:7]}
    if tag.startswith("SLY"):
        return {"status": INVALID if at_start else ACCEPTED}
    for prefix, status in (("BLOCKED", BLOCKED), ("EXPIRED", EXPIRED), ("INVALID", INVALID)):
        if tag.startswith(prefix):
            return {"status": status}
    return {"status": ACCEPTED}


@dataclass(slots=True)
class Odds:
    """How often what goes wrong; the rest is answered properly."""

    silent: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    wrong_id: float = 0.0
    error: float = 0.0
    malformed: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0


CALM = Odds()


@dataclass(slots=True)
class Reaction:
    """One frame of the CSMS: when it arrives, and what it is worth."""

    delay_s: float
    frame: bytes
    unique_id: str
    is_valid: bool
    closes: bool | None
    payload: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """What a CALL brings: frames, and whether the link is cut."""

    reactions: list[Reaction]
    cuts: bool = False
    fault: str = ""


class Csms:
    """The other side of one life."""

    def __init__(self, rng: Random, odds: Odds, *, deduplicates: bool, odd_ids: bool, timeout_s: float) -> None:
        self._rng, self.odds = rng, odds
        self.deduplicates, self._odd_ids, self._timeout_s = deduplicates, odd_ids, timeout_s
        self.reluctance: list[str] = []
        """Answers to the next BootNotifications, before Accepted."""
        self.interval_s = 600
        self.clock_error_ms = 0
        """How far this CSMS's clock is ahead of the truth."""
        self.running: dict[int, tuple[int, str]] = {}
        """Transaction id -> connector and tag of sessions that this CSMS believes to be running."""
        self._known: dict[bytes, int] = {}
        self._next_id = rng.randrange(1, 10_000)
        self._poison: tuple[str, int] | None = None

    def poison(self, action: str, times: int) -> None:
        """Cut the link at each of the next ``times`` CALLs of this action, without an answer."""
        self._poison = (action, times) if times else None

    def react(self, unique_id: str, action: str, payload: dict[str, Any], raw: bytes, true_ms: int) -> Outcome:
        """What this CALL is answered."""
        if self._poison is not None and action == self._poison[0]:
            left = self._poison[1] - 1
            self._poison = (action, left) if left else None
            return Outcome([], cuts=True, fault="poison")
        fault = self._fault(action)
        if fault == "cut_before":
            return Outcome([], cuts=True, fault=fault)
        confirmation = self._confirm(action, payload, raw, true_ms)
        if fault in ("silent", "cut_after"):
            return Outcome([], cuts=fault == "cut_after", fault=fault)
        delay_s = self._rng.choice((0.001, 0.02, 0.05, 0.3))
        right = Reaction(delay_s, dumps([3, unique_id, confirmation]), unique_id, True, True, confirmation)
        return Outcome(self._spoilt(fault, right, action), fault=fault)

    def _fault(self, action: str) -> str:
        roll, odds = self._rng.random(), self.odds
        if odds is CALM:
            return ""
        for name in ("silent", "late", "twice", "wrong_id", "error", "malformed", "cut_before", "cut_after"):
            chance: float = getattr(odds, name)
            if roll < chance:
                return name
            roll -= chance
        return ""

    def _spoilt(self, fault: str, right: Reaction, action: str) -> list[Reaction]:
        unique_id, delay_s = right.unique_id, right.delay_s
        if fault == "late":
            right.delay_s = self._timeout_s + self._rng.uniform(0.5, 8.0)
            return [right]
        if fault == "twice":
            again = Reaction(
                delay_s + self._rng.choice((0.0, 0.5, 5.0)), right.frame, unique_id, True, True, right.payload
            )
            return [right, again]
        if fault == "wrong_id":
            wrong_id = self._rng.choice((unique_id + "x", unique_id[:-1] + "0", "", "stranger"))
            if wrong_id != unique_id:
                frame = dumps([3, wrong_id, right.payload])
                wrong = Reaction(delay_s, frame, wrong_id, True, True, right.payload)
                right.delay_s += 0.01
                return [wrong, right] if self._rng.random() < 0.5 else [wrong]
            return [right]
        if fault == "error":
            code = self._rng.choice(("InternalError", "GenericError", "NotImplemented", "OccurenceConstraintViolation"))
            return [Reaction(delay_s, dumps([4, unique_id, code, "scripted", {}]), unique_id, False, True)]
        if fault == "malformed":
            return [self._malformed(right, action)]
        return [right]

    def _malformed(self, right: Reaction, action: str) -> Reaction:
        unique_id = right.unique_id
        if action == "StartTransaction":
            info = {"status": ACCEPTED}
            # Without `strict` the decoder makes the best of a slip (second member); the others are no confirmation.
            payload, understood = self._rng.choice(
                (
                    ({"transactionId": 7}, None),
                    ({"idTagInfo": info}, None),
                    ({"transactionId": "7", "idTagInfo": info}, {"transactionId": 7, "idTagInfo": info}),
                    ({"transactionId": "seven", "idTagInfo": info}, None),
                    ({"transactionId": 2**40, "idTagInfo": info}, {"transactionId": 2**40, "idTagInfo": info}),
                    (
                        {"transactionId": 7, "idTagInfo": {"status": "Perhaps"}},
                        {"transactionId": 7, "idTagInfo": {"status": INVALID}},
                    ),
                )
            )
            frame = dumps([3, unique_id, payload])
            return Reaction(right.delay_s, frame, unique_id, understood is not None, True, understood or {})
        if action in ("BootNotification", "Heartbeat"):
            return Reaction(right.delay_s, dumps([3, unique_id, {"currentTime": 5}]), unique_id, False, True)
        frame = self._rng.choice(
            (b"[3]", b"{}", b"[3,", b'[3,"' + unique_id.encode() + b'"', b"[9,1,2,3]", b"\xff\xfe")
        )
        return Reaction(right.delay_s, frame, unique_id, False, None)

    def accepting(self, true_ms: int) -> dict[str, Any]:
        """A BootNotification.conf that accepts."""
        time = utc_text(true_ms + self.clock_error_ms)
        return {"status": ACCEPTED, "currentTime": time, "interval": self.interval_s}

    def _confirm(self, action: str, payload: dict[str, Any], raw: bytes, true_ms: int) -> dict[str, Any]:
        if action == "BootNotification":
            answer = self.accepting(true_ms)
            return {**answer, "status": self.reluctance.pop(0), "interval": 15} if self.reluctance else answer
        if action == "Heartbeat":
            return {"currentTime": utc_text(true_ms + self.clock_error_ms)}
        if action == "Authorize":
            return {"idTagInfo": verdict(payload["idTag"], at_start=False)}
        if action == "StartTransaction":
            return self._start(payload, raw)
        if action == "StopTransaction":
            self.running.pop(payload["transactionId"], None)
            tag = payload.get("idTag")
            return {"idTagInfo": verdict(tag, at_start=False)} if tag and self._rng.random() < 0.5 else {}
        return {"status": ACCEPTED} if action == "DataTransfer" else {}

    def _start(self, payload: dict[str, Any], raw: bytes) -> dict[str, Any]:
        info = verdict(payload["idTag"], at_start=True)
        known = self._known.get(raw)
        if known is not None and self.deduplicates:
            return {"transactionId": known, "idTagInfo": info}
        if known is not None and info["status"] == ACCEPTED and self._rng.random() < 0.5:
            info = {**info, "status": CONCURRENT}
        self._next_id += 1
        transaction_id = self._next_id
        if self._odd_ids:
            transaction_id = self._rng.choice((0, -1, -5, 2**31 - 1, -(2**31), 7, 7, transaction_id))
        self._known[raw] = transaction_id
        if info["status"] in (ACCEPTED, CONCURRENT):
            self.running[transaction_id] = (payload["connectorId"], payload["idTag"])
        return {"transactionId": transaction_id, "idTagInfo": info}
