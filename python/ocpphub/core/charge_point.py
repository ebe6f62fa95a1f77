"""One OCPP 1.6 charge point as a state machine: inputs with ``now`` in, ordered effects out.

Owns which input reaches which part, and the stopped state (decisions.md 6). Must never do I/O, read a
clock or wait: each input mutates at once, the effects of an input are in order, and whatever follows a ``Store`` among
them leaves only after the commit (output commit, decisions.md 3). The rules of OCPP are in the parts.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ocpphub import _native
from ocpphub.core.credentials import Access
from ocpphub.core.effects import Connect, Discard, Disconnect, Effect, Ping, Publish, Reply, Store
from ocpphub.core.inbound import MAX_WAITING, Answer, Handler, Inbound, Refusal
from ocpphub.core.instant import Instant
from ocpphub.core.interface_commands import InterfaceCommands
from ocpphub.core.masking import message, traced
from ocpphub.core.metering import INTERVAL_KEYS
from ocpphub.core.parts import Parts
from ocpphub.core.rows import Rows, StoredRow
from ocpphub.core.vocabulary import Reason

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, HubSettings
    from ocpphub.core.allotment import Allotment
    from ocpphub.core.certificates import Provisioned
    from ocpphub.core.maintenance import Maintenance
    from ocpphub.core.x509 import X509

STOPPED_TABLE: Final = "stopped"
STOP_DELIVERY_S: Final = 5.0
"""What can be delivered within this time after ``stop`` is (decisions.md 6)."""
STORE_FULL_INTERVAL_S: Final = 3_600.0


class ChargePoint(InterfaceCommands):
    """The core of one charge point. Inputs mutate at once; :meth:`poll_effects` says what is to be done."""

    def __init__(
        self,
        settings: ChargePointSettings,
        rows: Iterable[StoredRow],
        now: Instant,
        *,
        boot_id: str,
        handlers: Mapping[str, Handler] | None = None,
        hub: HubSettings | None = None,
        authorization_key: bytes | None = None,
        allotment: Allotment | None = None,
        schemes: Collection[str] = (),
        x509: X509 | None = None,
        maintenance: Maintenance | None = None,
        provisioned: Provisioned | None = None,
    ) -> None:
        """Restore a charge point from its rows; nothing happens before :meth:`start`.

        ``boot_id`` is unique per start of the process (16 hexadecimal digits: own message ids begin with it);
        ``handlers`` replace or add handlers of inbound actions; ``authorization_key`` is the provisioned Basic
        password; ``allotment`` is its part of a shared allocation, which its owner runs; ``schemes`` are those of URLs
        that transfers may use, none without the extra ``transfer``; ``x509`` reads certificates, with the extra
        ``security``; ``maintenance`` is what the hub's settings say of firmware and diagnostics;
        ``provisioned`` is what the files of certificates hold. Raises :class:`LocalError` for configured keys that are
        not legal, and for such files.
        """
        self._settings = settings
        self.identity = settings.identity
        self._effects: list[Effect] = []
        self._strict = settings.link.strict
        self._stop_request: int | None = None
        self._replies: list[Reply] = []
        self._store_full_told_s = float("-inf")
        self._thinned = 0
        self.traces_frames = False
        """Whether frames are published on ``ocpp.message``; the shell sets it while somebody listens."""
        emit = self._effects.append
        self._parts = parts = Parts(
            *(settings, hub, emit, boot_id, authorization_key, self._reply, allotment),
            *(schemes, x509, maintenance, provisioned),
        )
        self._timers, self._configuration, self._boot = parts.timers, parts.configuration, parts.boot
        self.next_deadline = parts.timers.next
        """When :meth:`handle_timer` wants to be called, in monotonic seconds, or ``None``."""
        self._outbox, self._state, self._security = parts.outbox, parts.state, parts.security
        self._trust, self._firmware = parts.trust, parts.servicing.firmware
        self.clock = parts.clock
        self.schedules = parts.schedules
        """Charging profiles and schedules; of the shell for reads only."""
        self._boot.on_registration = self._registered
        self._boot.on_clock_step = self._clock_stepped
        self._configuration.on_change |= {
            "HeartbeatInterval": self._boot.rearm_heartbeat,
            "WebSocketPingInterval": lambda now: self._send_ping_interval(),
            **dict.fromkeys(INTERVAL_KEYS, parts.metering.restart_schedule),
        }
        self._inbound = Inbound(self._effects.append, {**parts.handlers(), **(handlers or {})})
        stored = Rows(rows, self.identity)
        self._running = parts.restore(stored, now)
        self._hold(bool(stored.of(STOPPED_TABLE)))

    def _hold(self, is_stopped: bool) -> None:
        """While stopped no OCPP message is made (decisions.md 6)."""
        parts = self._parts
        self._state.is_stopped = self._security.is_stopped = is_stopped
        parts.connectors.is_quiet = is_stopped

    # outputs

    def poll_effects(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        effects = self._effects.copy()
        self._effects.clear()
        return traced(effects) if self.traces_frames else effects

    @property
    def accepting_frames(self) -> bool:
        """False while more than 64 CALLs of the CSMS wait: the link should stop reading (J-241)."""
        return len(self._inbound.waiting) <= MAX_WAITING

    @property
    def is_connected(self) -> bool:
        """Whether the WebSocket is open with the agreed subprotocol."""
        return self._state.is_connected

    def access(self) -> Access:
        """As whom and where the next attempt to connect goes (OCPP-J 1.6 section 6.2, white paper A00)."""
        return self._trust.credentials.access()

    # inputs of the shell

    def start(self, now: Instant) -> None:
        """The process started. Effects: rows given up, ``Store`` of StartupOfTheDevice, publications, ``Connect``."""
        self._configuration.start()
        self._boot.reset()
        self._parts.reservations.start(now)
        self._parts.sessions.start(now)
        self._parts.end_orphans()
        self._parts.begin_permits()
        self._parts.external.start(now)
        self._parts.permits.start(now)
        self._parts.metering.restart_schedule(now)
        self._security.internal("StartupOfTheDevice", self._boot.firmware_version or "", now)
        self._emit(Publish("is_connected", b"false"))
        self._trust.start(now)
        self._parts.servicing.start(now)
        self.schedules.start(self._running, now)
        self._running = []
        self._send_ping_interval()
        if not self._state.is_stopped:
            self._emit(Connect())
        self._end(now)

    def connected(self, now: Instant, root: str | None = None) -> None:
        """The link is open; ``root`` is the fingerprint of the root that the CSMS proved itself by, where it is known.

        Effects: ``Publish``, then what may be sent; ``Disconnect`` while stopped.
        """
        if self._state.is_stopped:
            self._emit(Disconnect(1000, "stopped", stay_closed=True))
            return
        self._state.is_connected = True
        self._trust.credentials.connected(now, root)
        self._security.new_link()
        self._emit(Publish("is_connected", b"true"))
        self._boot.connected(now)
        self._trust.check(now)
        self._end(now)

    def disconnected(self, now: Instant) -> None:
        """The link is gone. Effects: ``Reply`` Offline of what waited for it, ``Publish``."""
        self._lose_link(now)
        self._end(now)

    def _lose_link(self, now: Instant) -> None:
        if not self._state.is_connected:
            return
        self._state.is_connected = False
        self._trust.credentials.disconnected(now, is_ours=self._state.is_stopped)
        self._inbound.clear()
        self.schedules.link_lost()
        self._outbox.disconnected(now)
        self._parts.prompt.clear(now)
        self._parts.metering.link_lost()
        self._boot.disconnected()
        self._emit(Publish("is_connected", b"false"))

    def link_failed(
        self, security_event: str | None, info: str, now: Instant, cause: str = "", is_outage: bool = False
    ) -> None:
        """An attempt to connect failed; ``security_event`` names the white paper's event if it is one.

        ``is_outage`` says that nobody was there who could have refused us. Effects: ``Publish`` of the event, at most
        once an hour per event and ``cause``. ``info`` holds no secret.
        """
        if security_event is not None:
            self._security.link_failed(security_event, info, now, cause)
        self._trust.credentials.failed(security_event, now, is_outage=is_outage)
        self._end(now)

    def receive_frame(self, frame: bytes, now: Instant, binary: bool = False) -> None:
        """One message of the CSMS. Effects: ``Send`` of an answer, then what it leads to; ``Disconnect`` 1007."""
        if not self._state.is_connected:
            return
        decoded = _native.decode(frame, self._outbox.pending, strict=self._strict)
        if self.traces_frames:
            self._emit(message("received", frame, is_valid=not isinstance(decoded, _native.Violation)))
        if isinstance(decoded, _native.Call):
            is_pending, is_ignored = self._boot.is_pending, not self._boot.answers_calls
            if not is_ignored:
                self._trust.credentials.proved(now)
            self._inbound.receive_call(decoded, frame, now, is_pending=is_pending, is_ignored=is_ignored)
        elif isinstance(decoded, _native.CallResult):
            if decoded.unique_id in self._outbox.pending:
                self._trust.credentials.proved(now)
            if not self._outbox.receive_result(decoded, now):
                self._watch_flood(now)
        elif isinstance(decoded, _native.CallError):
            self._receive_error(decoded.unique_id, decoded.code, decoded.description, now)
        else:
            self._receive_violation(decoded, frame, now, binary)
        self._end(now)

    def _receive_error(self, unique_id: str, code: str, description: str, now: Instant) -> None:
        was_ours = unique_id in self._outbox.pending
        self._outbox.receive_error(unique_id, code, description, now)
        self._watch_flood(now)
        if was_ours and code == "SecurityError" and self._boot.repeat_after_security_error():
            self._parts.prompt.clear(now)  # whoever waits for an answer hears now that there will be none

    def _receive_violation(self, violation: _native.Violation, frame: bytes, now: Instant, binary: bool) -> None:
        self._security.refuse_frame(f"in {violation.stage} {violation.pointer}", now, violation.code)
        if violation.verdict == "close":
            if not binary:  # J-328: a binary message that is no text is merely dropped
                self._emit(Disconnect(1007, "invalid UTF-8"))
        elif violation.verdict == "callerror":
            if self._boot.answers_calls:
                self._inbound.receive_violation(violation, frame, now, is_pending=self._boot.is_pending)
        elif violation.message_type == 3 and violation.unique_id in self._outbox.pending:
            self._outbox.receive_error(violation.unique_id, violation.code, violation.description, now)  # J-276

    def _watch_flood(self, now: Instant) -> None:
        if self._outbox.floods(now):
            self._security.refuse_frame("answers without a call", now)

    def handle_timer(self, now: Instant) -> None:
        """:meth:`next_deadline` has come. Effects: whatever was due."""
        due = self._timers.expired(now.monotonic_s)
        try:
            while due:
                self._handle_due(due.pop(0), now)
        finally:
            for name in due:  # one that raised must not take the others with it
                self._timers.set(name, now.monotonic_s)
        self._end(now)

    def _handle_due(self, name: Hashable, now: Instant) -> None:
        parts = self._parts
        match name:
            case "call":
                self._outbox.handle_timeout(now)
            case "boot":
                self._boot.handle_boot_timer()
            case "heartbeat":
                self._boot.handle_heartbeat_timer(now)
            case "stop":
                self._finish_stop(now)
            case "state":
                self._state.handle_timer()
            case "reset":
                parts.reset.handle_timer(now)
            case "allocation":
                parts.allotment.allocation.run(now.monotonic_s)
                parts.permits.tell(now)
            case ("delivery", int(entry)):
                parts.transactions.handle_timer(entry)
            case ("meter", part):
                if not self._state.is_stopped:
                    parts.metering.handle_timer(part, now)
            case (str(what), str(part)):
                parts.handle_part_timer(what, part, now)
            case (str(what), int(number)):
                parts.handle_connector_timer(what, number, now)

    def store_full(self, now: Instant) -> None:
        """The disk is nearly full: no transaction starts until :meth:`store_ok` (reliability.md 4.3).

        Effects: the event MemoryExhaustion, at most once an hour.
        """
        self._state.is_full = True
        self._tell_exhaustion("the store is nearly full", now)
        self._end(now)

    def _tell_exhaustion(self, what: str, now: Instant) -> None:
        if now.monotonic_s - self._store_full_told_s >= STORE_FULL_INTERVAL_S:
            self._store_full_told_s = now.monotonic_s
            self._security.internal("MemoryExhaustion", what, now)

    def store_ok(self, now: Instant) -> None:
        """There is room on the disk again. Effects: transactions that waited for it start."""
        self._state.is_full = False
        self._parts.sessions.settle_waiting(now)
        self._end(now)

    def receive_answer(self, ask: int, result: Any, error: Exception | None, now: Instant) -> None:
        """A local client answered an ``Ask``, or did not (``error``). An answer to nothing is ignored."""
        self._parts.questions.answered(ask, result, error, now)
        self._end(now)

    # for handlers

    def answer(self, call: _native.Call, reaction: Answer | Refusal | Mapping[str, Any], now: Instant) -> None:
        """Answer a CALL that its handler left open. Effects: ``Send``, then the answers of the CALLs behind it."""
        self._reply(call, reaction if isinstance(reaction, Answer | Refusal) else Answer(reaction), now)
        self._end(now)

    def _reply(self, call: _native.Call, reaction: Answer | Refusal, now: Instant) -> None:
        self._inbound.answer(call, reaction, now, is_pending=self._boot.is_pending)

    # commands

    def stop(self, request: int, now: Instant) -> None:
        """End OCPP communication until ``restart`` (decisions.md 6).

        Effects: ``Store``; what can be delivered within 5 s; ``Disconnect``; ``Reply`` true. False when stopped.
        """
        if self._state.is_stopped:
            self._emit(Reply(request, False))
            return
        self._emit(Store(STOPPED_TABLE, STOPPED_TABLE, b"true"))
        self._parts.presenting.stop()
        self._parts.charging.stop_all(Reason.OTHER, now)
        self._hold(is_stopped=True)
        self._parts.metering.halt()
        self._parts.prompt.clear(now)
        self._parts.statuses.clear()
        self._timers.cancel("heartbeat")
        self._stop_request = request
        self._timers.set("stop", now.monotonic_s + STOP_DELIVERY_S)
        self._end(now)

    def _finish_stop(self, now: Instant) -> None:
        request, self._stop_request = self._stop_request, None
        self._timers.cancel("stop")
        self._emit(Disconnect(1000, "stopped", stay_closed=True))
        self._lose_link(now)
        self._parts.statuses.clear()  # the one in flight came back with the link
        self._boot.reset()
        if request is not None:
            self._replies.append(Reply(request, True))

    def restart(self, request: int, now: Instant) -> None:
        """Begin again with BootNotification. Effects: ``Discard``, ``Connect``, ``Reply`` true; false when running."""
        if not self._state.is_stopped:
            self._emit(Reply(request, False))
            return
        if self._stop_request is not None:
            self._finish_stop(now)
        self._hold(is_stopped=False)
        self._emit(Discard(STOPPED_TABLE, STOPPED_TABLE))
        self._parts.sessions.restart(now)
        self._parts.metering.restart_schedule(now)
        self._boot.reset()
        self._emit(Connect())
        self._replies.append(Reply(request, True))
        self._end(now)

    # inside

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _end(self, now: Instant) -> None:
        """Every input ends here: the link gets its next CALL, a stop that has delivered everything ends, and whoever
        asked for a change of the state hears of it before the answer.
        """
        if self._parts.transactions.lost.thinned != self._thinned:
            self._thinned = self._parts.transactions.lost.thinned
            self._tell_exhaustion("the queue is at its bound: samples are given up", now)
        if self.clock.is_slipping(now) and (step_ms := self._boot.watch_machine(now)):
            self._security.clock_stepped(step_ms, now)
        reset = self._parts.reset
        if self._firmware.busy is not None:
            self._firmware.settle(now)
        if self._state.is_connected and not reset.is_leaving:
            self._outbox.pump(self._boot.gate, now)
        if (self._stop_request is not None or reset.kind is not None) and not self._is_delivering:
            if self._stop_request is not None:
                self._finish_stop(now)
            reset.delivered(now)
        self._state.settle(now)
        if (allotment := self._parts.allotment).is_alone:
            allotment.arm(self._timers, now)
        if self._replies:
            self._effects += self._replies
            self._replies.clear()

    @property
    def _is_delivering(self) -> bool:
        open_queue = self._state.is_connected and self._boot.gate == "open"
        waiting = self._parts.durable.is_ready or self._parts.transactions.is_ready
        return open_queue and (self._outbox.is_busy or waiting)

    def _registered(self, now: Instant) -> None:
        if self._boot.gate == "open" and not self._state.is_stopped:
            self._parts.connectors.tell_all()
            self._parts.sessions.settle_waiting(now)
            self._trust.check(now)
        elif self._boot.gate != "open":
            self._parts.prompt.clear(now)

    def _clock_stepped(self, step_ms: int, first: bool, now: Instant) -> None:
        if first:
            self._parts.durable.shift_untrusted(step_ms)
            self._parts.transactions.shift_untrusted(step_ms)
            self._parts.charging.starts_moved(now)
            self._parts.connectors.shift_untrusted(step_ms)
        if step_ms:
            self._parts.metering.restart_schedule(now)
            self._parts.reservations.clock_stepped(now)
            self._firmware.clock_stepped(now)
            self._trust.check(now)
            self._security.clock_stepped(step_ms, now)
        self.schedules.clock_stepped(step_ms, now)

    def _send_ping_interval(self) -> None:
        self._emit(Ping(self._configuration.integer("WebSocketPingInterval")))
