"""One OCPP 1.6 charge point as a state machine: inputs with ``now`` in, ordered effects out.

Owns the parts, which input reaches which of them, and the stopped state (decisions.md 6). Must never do I/O, read a
clock or wait: each input mutates at once, the effects of an input are in order, and whatever follows a ``Store`` among
them leaves only after the commit (output commit, decisions.md 3). The rules of OCPP are in the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ocpphub import _native
from ocpphub.core.boot import Boot, utc_text
from ocpphub.core.configuration import Configuration
from ocpphub.core.connector import ConnectorTable, StatusQueue
from ocpphub.core.credentials import Credentials
from ocpphub.core.data_transfer import DataTransfers
from ocpphub.core.effects import Ask, Connect, Discard, Disconnect, Effect, Ping, Publish, Reply, Store
from ocpphub.core.inbound import Answer, Handler, Inbound, Refusal
from ocpphub.core.instant import Instant
from ocpphub.core.masking import message, traced
from ocpphub.core.outbox import DurableQueue, Outbox, PromptQueue
from ocpphub.core.remote import Operations
from ocpphub.core.rows import Rows, StoredRow
from ocpphub.core.security import SecurityEvents
from ocpphub.core.smart_charging import SmartCharging
from ocpphub.core.state import ChargePointState
from ocpphub.core.timers import Timers
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, HubSettings

STOPPED_TABLE: Final = "stopped"
STOP_DELIVERY_S: Final = 5.0
"""What can be delivered within this time after ``stop`` is (decisions.md 6)."""
STORE_FULL_INTERVAL_S: Final = 3_600.0
_ACTIONS: Final = _native.actions()

AskDone = Callable[[Any, Exception | None, Instant], None]


class ChargePoint:
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
    ) -> None:
        """Restore a charge point from its rows; nothing happens before :meth:`start`.

        ``boot_id`` is unique per start of the process (16 hexadecimal digits: own message ids begin with it);
        ``handlers`` replace or add handlers of inbound actions; ``authorization_key`` is the provisioned Basic
        password. Raises :class:`LocalError` for configured keys that are not legal.
        """
        self._settings = settings
        self.identity = settings.identity
        self._effects: list[Effect] = []
        self._strict = settings.link.strict
        self._stop_request: int | None = None
        self._replies: list[Reply] = []
        self._store_full_told_s = float("-inf")
        self._asks: dict[int, AskDone] = {}
        self._ask_number = 0
        self.traces_frames = False
        """Whether frames are published on ``ocpp.message``; the shell sets it while somebody listens."""
        self._build(boot_id, hub, authorization_key)
        self._operations = Operations(
            self._boot, self._configuration, self._connectors, self._statuses, self._may_replace
        )
        built = {**self._operations.handlers(), **self.schedules.handlers()}
        profiles = self._configuration.feature_profiles
        supported = {name: handler for name, handler in built.items() if _ACTIONS[name]["profile"] in profiles}
        self._inbound = Inbound(self._effects.append, {**supported, **(handlers or {})})
        self._restore(Rows(rows, self.identity), now)

    def _build(self, boot_id: str, hub: HubSettings | None, authorization_key: bytes | None) -> None:
        settings, emit = self._settings, self._effects.append
        self._timers = Timers()
        self._configuration = configuration = Configuration(settings, emit, authorization_key)
        self._credentials = Credentials(configuration)
        self._outbox = Outbox(emit, self._timers, lambda: configuration.integer("MessageTimeout"), boot_id)
        self._boot = Boot(settings, emit, self._timers, configuration, self._outbox)
        clock = self.clock = self._boot.clock
        self._prompt = PromptQueue()
        self._durable = DurableQueue(
            emit,
            self._timers,
            self._outbox,
            utc_text,
            lambda: configuration.integer("TransactionMessageRetryInterval"),
        )
        self._state = ChargePointState(settings, emit, self._timers, self._boot, configuration, self._durable)
        self._statuses = StatusQueue(settings.connectors, utc_text, clock.utc_ms)
        self._connectors = ConnectorTable(settings.connectors, emit, self._statuses, clock.utc_ms)
        self._security = SecurityEvents(emit, self._durable, clock)
        self._transfers = DataTransfers(emit, self._prompt)
        self.schedules = SmartCharging(settings, hub, emit, self._timers, clock, configuration, self._reply)
        """Charging profiles and schedules; of the shell for reads only."""
        # Most urgent first; status notifications come last, so that thousands of them hold up nothing (chapter 18).
        self._outbox.register(self._boot, self._prompt, self._durable, self._statuses)
        self._boot.on_registration = self._registered
        self._boot.on_clock_step = self._clock_stepped
        configuration.on_change = {
            "HeartbeatInterval": self._boot.rearm_heartbeat,
            "WebSocketPingInterval": lambda now: self._send_ping_interval(),
            "AuthorizationKey": self._use_new_key,
        }

    def _restore(self, rows: Rows, now: Instant) -> None:
        self._configuration.restore(rows)
        self._boot.restore(rows)
        self._durable.restore(rows)
        self._connectors.restore(rows, self.clock.utc_ms(now))
        self.schedules.restore(rows)
        self._state.is_stopped = self._security.is_stopped = bool(rows.of(STOPPED_TABLE))

    # outputs

    def poll_effects(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        effects = self._effects.copy()
        self._effects.clear()
        return traced(effects) if self.traces_frames else effects

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timer` wants to be called, in monotonic seconds, or ``None``."""
        return self._timers.next()

    @property
    def accepting_frames(self) -> bool:
        """False while more than 64 CALLs of the CSMS wait: the link should stop reading (J-241)."""
        return self._inbound.accepting

    @property
    def is_connected(self) -> bool:
        """Whether the WebSocket is open with the agreed subprotocol."""
        return self._state.is_connected

    def authorization_key(self) -> bytes | None:
        """The Basic password for the next attempt to connect, ``None`` when there is none (OCPP-J 1.6 section 6.2)."""
        return self._credentials.key()

    # inputs of the shell

    def start(self, now: Instant) -> None:
        """The process started. Effects: rows given up, ``Store`` of StartupOfTheDevice, publications, ``Connect``."""
        self._configuration.start()
        self._boot.reset()
        self._security.internal("StartupOfTheDevice", self._settings.firmware_version or "", now)
        self._emit(Publish("is_connected", b"false"))
        self.schedules.start(now)
        self._send_ping_interval()
        if not self._state.is_stopped:
            self._emit(Connect())
        self._end(now)

    def connected(self, now: Instant) -> None:
        """The link is open. Effects: ``Publish``, then what may be sent; ``Disconnect`` while stopped."""
        if self._state.is_stopped:
            self._emit(Disconnect(1000, "stopped", stay_closed=True))
            return
        self._state.is_connected = True
        self._credentials.connected()
        self._security.new_link()
        self._emit(Publish("is_connected", b"true"))
        self._boot.connected(now)
        self._end(now)

    def disconnected(self, now: Instant) -> None:
        """The link is gone. Effects: ``Reply`` Offline of what waited for it, ``Publish``."""
        self._lose_link(now)
        self._end(now)

    def _lose_link(self, now: Instant) -> None:
        if not self._state.is_connected:
            return
        self._state.is_connected = False
        self._inbound.clear()
        self.schedules.link_lost()
        self._outbox.disconnected(now)
        self._prompt.clear(now)
        self._boot.disconnected()
        self._emit(Publish("is_connected", b"false"))

    def link_failed(self, security_event: str | None, info: str, now: Instant) -> None:
        """An attempt to connect failed; ``security_event`` names the white paper's event if it is one.

        Effects: ``Publish`` of the event, at most once an hour per cause. ``info`` holds no secret.
        """
        if security_event == "FailedToAuthenticateAtCentralSystem":
            self._credentials.refused()
        if security_event is not None:
            self._security.link_failed(security_event, info, now)
        self._end(now)

    def receive_frame(self, frame: bytes, now: Instant, binary: bool = False) -> None:
        """One message of the CSMS. Effects: ``Send`` of an answer, then what it leads to; ``Disconnect`` 1007."""
        if not self._state.is_connected:
            return
        decoded = _native.decode(frame, self._outbox.pending, strict=self._strict)
        if self.traces_frames:
            self._emit(message("received", frame, is_valid=not isinstance(decoded, _native.Violation)))
        if isinstance(decoded, _native.Call):
            if self._boot.answers_calls:
                self._inbound.receive_call(decoded, frame, now, is_pending=self._boot.is_pending)
        elif isinstance(decoded, _native.CallResult):
            self._outbox.receive_result(decoded, now)
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
        if was_ours and code == "SecurityError":
            self._boot.repeat_after_security_error()

    def _receive_violation(self, violation: _native.Violation, frame: bytes, now: Instant, binary: bool) -> None:
        self._security.refuse_frame(f"{violation.code} in {violation.stage} {violation.pointer}", now)
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
        match name:
            case "call":
                self._outbox.handle_timeout(now)
            case "boot":
                self._boot.handle_boot_timer()
            case "heartbeat":
                self._boot.handle_heartbeat_timer(now)
            case ("schedules", str(part)):
                self.schedules.handle_timer(part, now)
            case "stop":
                self._finish_stop(now)
            case "state":
                self._state.handle_timer()
            case ("retry", str(key)):
                self._durable.handle_retry(key)

    def store_full(self, now: Instant) -> None:
        """The disk is nearly full. Effects: the event MemoryExhaustion, at most once an hour."""
        if now.monotonic_s - self._store_full_told_s >= STORE_FULL_INTERVAL_S:
            self._store_full_told_s = now.monotonic_s
            self._security.internal("MemoryExhaustion", "the store is nearly full", now)
        self._end(now)

    def receive_answer(self, ask: int, result: Any, error: Exception | None, now: Instant) -> None:
        """A local client answered an ``Ask``, or did not (``error``). An answer to nothing is ignored."""
        done = self._asks.pop(ask, None)
        if done is not None:
            done(result, error, now)
        self._end(now)

    # for handlers

    def ask(self, method: str, params: dict[str, Any], done: AskDone, connector_id: int | None = None) -> None:
        """Ask a local client; ``done(result, error, now)`` hears of it once. Effects: ``Ask``."""
        self._ask_number += 1
        self._asks[self._ask_number] = done
        self._emit(Ask(self._ask_number, method, params, connector_id))

    def answer(self, unique_id: str, reaction: Answer | Refusal | Mapping[str, Any], now: Instant) -> None:
        """Answer a CALL that its handler left open. Effects: ``Send``, then the answers of the CALLs behind it."""
        self._reply(unique_id, reaction if isinstance(reaction, Answer | Refusal) else Answer(reaction), now)
        self._end(now)

    def _reply(self, unique_id: str, reaction: Answer | Refusal, now: Instant) -> None:
        self._inbound.answer(unique_id, reaction, now, is_pending=self._boot.is_pending)

    # commands

    def stop(self, request: int, now: Instant) -> None:
        """End OCPP communication until ``restart`` (decisions.md 6).

        Effects: ``Store``; what can be delivered within 5 s; ``Disconnect``; ``Reply`` true. False when stopped.
        """
        if self._state.is_stopped:
            self._emit(Reply(request, False))
            return
        self._state.is_stopped = self._security.is_stopped = True
        self._emit(Store(STOPPED_TABLE, STOPPED_TABLE, b"true"))
        self._prompt.clear(now)
        self._statuses.clear()
        self._timers.cancel("heartbeat")
        self._stop_request = request
        self._timers.set("stop", now.monotonic_s + STOP_DELIVERY_S)
        self._end(now)

    def _finish_stop(self, now: Instant) -> None:
        request, self._stop_request = self._stop_request, None
        self._timers.cancel("stop")
        self._emit(Disconnect(1000, "stopped", stay_closed=True))
        self._lose_link(now)
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
        self._state.is_stopped = self._security.is_stopped = False
        self._emit(Discard(STOPPED_TABLE, STOPPED_TABLE))
        self._boot.reset()
        self._emit(Connect())
        self._replies.append(Reply(request, True))
        self._end(now)

    def data_transfer(
        self, request: int, vendor_id: str, message_id: str | None, data: str | None, now: Instant
    ) -> None:
        """Send a DataTransfer. Effects: ``Send`` when its turn comes, ``Reply`` with the answer or ``Offline``."""
        self._refuse_while_stopped()
        is_online = self._state.is_connected and self._boot.gate == "open"
        self._transfers.command(request, vendor_id, message_id, data, is_online=is_online)
        self._end(now)

    def set_custom_configuration_key(self, request: int, key: str, value: str, now: Instant) -> None:
        """Set a declared custom key. Effects: ``Store`` when it changes, ``Reply`` with a ConfigurationStatus."""
        self._emit(Reply(request, str(self._configuration.set_custom(key, value))))

    def monitor_configuration_keys(self, request: int, keys: Sequence[str], now: Instant) -> None:
        """Publish changes of these keys from now on. Effects: ``Store`` of new monitors, ``Reply`` null."""
        self._configuration.monitor(keys)
        self._replies.append(Reply(request, None))
        self._end(now)

    def security_event(self, request: int, type: str, info: str | None, now: Instant) -> None:
        """Deliver a security event, whatever happens. Effects: ``Store``, ``Reply`` null, ``Send`` when possible."""
        self._refuse_while_stopped()
        self._security.command(type, info, now)
        self._emit(Reply(request, None))
        self._end(now)

    def _refuse_while_stopped(self) -> None:
        if self._state.is_stopped:
            raise LocalError("invalid_state", "stopped", hint="call restart first")

    # reads

    def get_configuration_key(self, keys: Sequence[str] | None = None) -> dict[str, Any]:
        """``{"configuration_keys": [{"key", "read_only", "value"?}], "unknown_keys": [...]}``; no keys means all.

        The rows are shared with later answers and must not be changed. Callers have checked that keys are texts.
        """
        return self._configuration.get(keys or ())

    def state(self, now: Instant) -> dict[str, Any]:
        """The result of ``charge_point.get`` (rpc.md)."""
        return self._state.value()

    def connector_state(self, connector_id: int) -> dict[str, Any]:
        """One connector's state (rpc.md "Controllers"). Raises :class:`LocalError` for an unknown one."""
        return self._connectors.state(connector_id)

    def connector_states(self) -> list[dict[str, Any]]:
        """The states of connectors 1 to N."""
        return [self._connectors.state(connector_id) for connector_id in range(1, self._settings.connectors + 1)]

    def charging_schedules(self, now: Instant) -> bytes:
        """The value of ``charging_schedules`` beginning now, as JSON text."""
        return self.schedules.publication.text(now)

    def watch_schedules(self, is_watched: bool, now: Instant) -> None:
        """Whether somebody listens to ``connector.schedule``; the shell says so, as with ``traces_frames``."""
        self.schedules.publication.watch(is_watched, now)

    # inside

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _end(self, now: Instant) -> None:
        """Every input ends here: the link gets its next CALL, a stop that has delivered everything ends, and whoever
        asked for a change of the state hears of it before the answer.
        """
        if self._state.is_connected:
            self._outbox.pump(self._boot.gate, now)
        if self._stop_request is not None and not self._is_delivering:
            self._finish_stop(now)
        self._state.settle(now)
        if self._replies:
            self._effects += self._replies
            self._replies.clear()

    @property
    def _is_delivering(self) -> bool:
        open_queue = self._state.is_connected and self._boot.gate == "open"
        return open_queue and (self._outbox.is_busy or self._durable.is_ready)

    def _may_replace(self) -> bool:
        return not self._state.is_connected or self._boot.gate != "open"

    def _registered(self, now: Instant) -> None:
        if self._boot.gate == "open" and not self._state.is_stopped:
            self._statuses.tell_all(self._connectors.conditions)

    def _clock_stepped(self, step_ms: int, first: bool, now: Instant) -> None:
        if first:
            self._durable.shift_untrusted(step_ms)
            self._connectors.shift_untrusted(step_ms)
        if step_ms:
            self._security.clock_stepped(step_ms, now)
        self.schedules.clock_stepped(step_ms, now)

    def _use_new_key(self, now: Instant) -> None:
        """S-154, S-157: the answer has left and the key is stored; profiles 1 and 2 reconnect with it."""
        self._security.internal("ReconfigurationOfSecurityParameters", "AuthorizationKey", now)
        if self._settings.security.profile in (1, 2):
            self._emit(Disconnect(1000, "authorization key changed"))

    def _send_ping_interval(self) -> None:
        self._emit(Ping(self._configuration.integer("WebSocketPingInterval")))
