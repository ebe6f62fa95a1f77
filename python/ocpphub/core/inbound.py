"""CALLs of the CSMS: in order, one at a time, each answered once (OCPP-J 1.6 sections 4.1.1 and 4.2.3).

Owns the queue of CALLs that wait while one runs, duplicates of running ids, and the table of handlers with the
refusals for actions that are not in it. Must never decide whether the registration allows an answer (``boot.py``), and
no handler's failure may leave it (J-278).
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ocpphub import _native
from ocpphub.core.effects import Effect, Send
from ocpphub.core.instant import Instant
from ocpphub.core.vocabulary import RemoteStartStopStatus

log = logging.getLogger("ocpphub.core")

MAX_WAITING: Final = 64
"""CALLs that may wait; above it the driver stops reading the link (J-241)."""
_NOT_WHILE_PENDING: Final = frozenset(("RemoteStartTransaction", "RemoteStopTransaction"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A confirmation, and what is to happen after it left (``then``)."""

    payload: Mapping[str, Any]
    then: Callable[[Instant], None] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A CALLERROR instead of a confirmation; ``code`` is one of OCPP 1.6's, spelt as there."""

    code: str
    description: str = ""


Handler = Callable[[_native.Call, Instant], Answer | Refusal | None]
"""Handles one CALL; ``None`` promises ``ChargePoint.answer`` later, until then later CALLs wait."""
Reply = Callable[[_native.Call, Answer | Refusal, Instant], None]
"""Gives the answer that was promised."""


@dataclass(slots=True)
class _Refused:
    """A frame that is answered with a CALLERROR when its turn comes."""

    unique_id: str
    refusal: Refusal


class Inbound:
    """The CALLs of one connection."""

    def __init__(self, emit: Callable[[Effect], None], handlers: Mapping[str, Handler]) -> None:
        self._emit, self._handlers = emit, handlers
        self.waiting: deque[_native.Call | _Refused] = deque()
        """CALLs behind the one that is handled; beyond :data:`MAX_WAITING` the link should not go on reading."""
        self._running: _native.Call | None = None
        self._open: dict[str, bytes] = {}
        self.received = 0
        """Valid CALLs, those that are ignored among them."""
        self.repeats = 0
        """Byte-identical repeats of an open CALL, which are ignored (D-08)."""
        self.unregistered = 0
        """CALLs that came before the registration allowed an answer, which are ignored."""
        self.refused: Counter[str] = Counter()
        """CALLERRORs that were sent, by their code."""

    def supports(self, action: str) -> bool:
        """Whether there is a handler for this action."""
        return action in self._handlers

    def receive_call(
        self, call: _native.Call, frame: bytes, now: Instant, *, is_pending: bool, is_ignored: bool = False
    ) -> None:
        """A valid CALL. Effects: ``Send`` of its answer now or after the CALLs before it; none when it is ignored."""
        self.received += 1
        if is_ignored:
            self.unregistered += 1
            return
        if self._is_repeat(call.unique_id, frame):
            return
        self._open[call.unique_id] = frame
        self.waiting.append(call)
        self._serve(now, is_pending)

    def receive_violation(self, violation: _native.Violation, frame: bytes, now: Instant, *, is_pending: bool) -> None:
        """A frame to be answered with a CALLERROR. Effects: ``Send`` of it, in the order of arrival."""
        unique_id = violation.unique_id or ""
        in_pipeline = violation.stage in ("action", "payload")
        if in_pipeline and self._is_repeat(unique_id, frame):
            return
        refusal = Refusal(violation.code, violation.description)
        if violation.stage == "payload" and violation.action is not None and not self.supports(violation.action):
            refusal = _NOT_SUPPORTED  # J 1.6 step (8) comes before the payload
        self.waiting.append(_Refused(unique_id, refusal))
        self._serve(now, is_pending)

    def _is_repeat(self, unique_id: str, frame: bytes) -> bool:
        """J-239: the id of a CALL that is not answered yet. The same bytes are ignored, others are refused at once."""
        earlier = self._open.get(unique_id)
        if earlier is None:
            return False
        if earlier == frame:
            self.repeats += 1
        else:
            self._refuse(unique_id, Refusal("GenericError", "the id of a call that is still being handled"))
        return True

    def _serve(self, now: Instant, is_pending: bool) -> None:
        while self._running is None and self.waiting:
            entry = self.waiting.popleft()
            if isinstance(entry, _Refused):
                self._refuse(entry.unique_id, entry.refusal)
                continue
            self._running = entry
            reaction = self._handle(entry, now, is_pending)
            if reaction is not None:
                self._finish(reaction, now)

    def _handle(self, call: _native.Call, now: Instant, is_pending: bool) -> Answer | Refusal | None:
        handler = self._handlers.get(call.action)
        if handler is None:
            return _NOT_SUPPORTED
        if is_pending and call.action in _NOT_WHILE_PENDING:  # OCPP 1.6 section 4.2
            return Answer({"status": RemoteStartStopStatus.REJECTED})
        try:
            return handler(call, now)
        except Exception:
            log.exception("the handler of %s failed", call.action)
            return Refusal("InternalError", "the request could not be handled")

    def answer(self, call: _native.Call, reaction: Answer | Refusal, now: Instant, *, is_pending: bool) -> None:
        """A handler answers the running CALL; late answers, after the link was lost, lead to nothing.

        The CSMS may have given the id to another CALL meanwhile: it is the very CALL that counts.
        """
        if self._running is not call:
            log.debug("an answer came after its call was gone")
            return
        self._finish(reaction, now)
        self._serve(now, is_pending)

    def _finish(self, reaction: Answer | Refusal, now: Instant) -> None:
        call, self._running = self._running, None
        if call is None:
            return
        self._open.pop(call.unique_id, None)
        if isinstance(reaction, Refusal):
            self._refuse(call.unique_id, reaction)
            return
        try:
            frame = _native.encode_result(call.unique_id, call.action, reaction.payload)
        except ValueError:
            log.exception("the answer to %s could not be encoded", call.action)
            self._refuse(call.unique_id, Refusal("InternalError", "the answer could not be encoded"))
            return
        self._emit(Send(frame))
        if reaction.then is not None:
            reaction.then(now)

    def _refuse(self, unique_id: str, refusal: Refusal) -> None:
        self.refused[refusal.code] += 1
        self._emit(Send(_native.encode_error(unique_id, refusal.code, refusal.description)))

    def clear(self) -> None:
        """The connection is gone: nobody waits for these answers any more."""
        self.waiting.clear()
        self._open.clear()
        self._running = None


_NOT_SUPPORTED: Final = Refusal("NotSupported", "the feature profile of this action is not supported")
