"""Virtual time for the transaction queue alone: an outbox, a scripted CSMS, and a disk that may lose what it was told.

Owns output commit as the driver does it: what follows a write leaves only after the write is durable. Every frame is
checked as a strict CSMS would check it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ocpphub import _native
from ocpphub.core.boot import Clock
from ocpphub.core.configuration import Configuration
from ocpphub.core.delivery import TransactionQueue
from ocpphub.core.effects import Discard, Effect, Send, Store
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outbox
from ocpphub.core.readings import REGISTER, Descriptor
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.transaction import Stop, Transaction
from ocpphub.store import Row
from tests.builders import EPOCH_MS, settings

ENERGY: tuple[Descriptor, ...] = (REGISTER,)
VOLTAGES = tuple(Descriptor("Voltage", phase, "Outlet", "V", "Raw") for phase in ("L1", "L2", "L3"))


@dataclass(frozen=True, slots=True)
class Frame:
    """A CALL that reached the CSMS."""

    at_s: float
    unique_id: str
    action: str
    payload: dict[str, Any]


Script = Callable[[Frame], Any]
"""Answers a CALL: a dict confirms, a text is the code of a CALLERROR, ``None`` says nothing, ``CUT`` ends the link."""
CUT = object()


class Accepting:
    """A CSMS that takes everything; transactions get 101, 102 ..."""

    def __init__(self, first: int = 101) -> None:
        self.next_id = first

    def __call__(self, frame: Frame) -> Any:
        if frame.action == "StartTransaction":
            self.next_id += 1
            return {"transactionId": self.next_id - 1, "idTagInfo": {"status": "Accepted"}}
        return {}


class QueueWorld:
    """One process: it ends with :meth:`crash`. ``is_instant`` makes writes durable as they are emitted."""

    def __init__(
        self,
        rows: Mapping[tuple[str, str], bytes] | None = None,
        *,
        script: Script | None = None,
        keys: Mapping[str, str] | None = None,
        boot_id: str = "00000000000000aa",
        start_s: float = 1_000.0,
        is_trusted: bool = True,
        is_instant: bool = True,
        **bounds: int,
    ) -> None:
        self.rows: dict[tuple[str, str], bytes] = dict(rows or {})
        self.script: Script = script or Accepting()
        self.keys, self.is_instant, self.bounds = dict(keys or {}), is_instant, bounds
        self.time_s, self.boot_number = start_s, int(boot_id, 16)
        self.frames: list[Frame] = []
        self.effects: list[Effect] = []
        self.answered: list[tuple[Transaction, dict[str, Any], bool]] = []
        self.discarded: list[Transaction] = []
        self.stopped: list[tuple[Transaction, dict[str, Any] | None]] = []
        self.is_connected = False
        self._emitted: list[Effect] = []
        self._fifo: deque[Effect] = deque()
        self.timers, self.clock = Timers(), Clock()
        self.clock.is_trusted = is_trusted
        configuration = Configuration(settings(configuration=self.keys), self._emitted.append, None)
        self.outbox = Outbox(
            self._emitted.append, self.timers, lambda: configuration.integer("MessageTimeout"), f"{boot_id}"
        )
        self.queue = TransactionQueue(
            self._emitted.append, self.timers, self.outbox, self.clock, configuration, **bounds
        )
        self.queue.on_answered = lambda tx, info, flag, now: self.answered.append((tx, info, flag))
        self.queue.on_discarded = lambda tx, now: self.discarded.append(tx)
        self.queue.on_stopped = lambda tx, info, now: self.stopped.append((tx, info))
        self.outbox.register(self.queue)
        self.running = self.queue.restore(Rows([Row("CP1", t, k, v) for (t, k), v in self.rows.items()], "CP1"))
        assert self._emitted == [], "restore must not emit"

    @property
    def now(self) -> Instant:
        """The present virtual moment."""
        return Instant(self.time_s, self.utc_ms)

    @property
    def utc_ms(self) -> int:
        """The present virtual time of day."""
        return EPOCH_MS + round(self.time_s * 1000)

    # the process

    def settle(self) -> QueueWorld:
        """End an input: the next CALL is taken, and what may leave leaves."""
        if self.is_connected:
            self.outbox.pump("open", self.now)
        self.effects += self._emitted
        self._fifo += self._emitted
        self._emitted.clear()
        return self.commit() if self.is_instant else self._release()

    def commit(self) -> QueueWorld:
        """The disk has everything that was written so far."""
        for effect in self._fifo:
            if isinstance(effect, Store):
                self.rows[effect.table, effect.key] = effect.value
            elif isinstance(effect, Discard):
                self.rows.pop((effect.table, effect.key), None)
        sends = [effect for effect in self._fifo if not isinstance(effect, Store | Discard)]
        self._fifo.clear()
        return self._carry(sends)

    def _release(self) -> QueueWorld:
        sends = []
        while self._fifo and not isinstance(self._fifo[0], Store | Discard):
            sends.append(self._fifo.popleft())
        return self._carry(sends)

    def crash(self, **changes: Any) -> QueueWorld:
        """The process dies with what was not durable; its successor, not connected."""
        arguments: dict[str, Any] = {
            "script": self.script, "keys": self.keys, "boot_id": f"{self.boot_number + 1:016x}",
            "start_s": self.time_s, "is_instant": self.is_instant, "is_trusted": self.clock.is_trusted, **self.bounds,
        }  # fmt: skip
        return QueueWorld(self.rows, **{**arguments, **changes})

    # the link

    def _carry(self, sends: Sequence[Effect]) -> QueueWorld:
        for effect in sends:
            if isinstance(effect, Send) and self.is_connected:
                checked = _native.decode_request(effect.frame, strict=True)
                assert isinstance(checked, _native.Call), f"an illegal frame was sent: {effect.frame!r}"
                _, unique_id, action, payload = orjson.loads(effect.frame)
                frame = Frame(self.time_s, unique_id, action, payload)
                self.frames.append(frame)
                self.react(frame, self.script(frame))
        return self

    def react(self, frame: Frame, reaction: Any) -> None:
        """What the CSMS does about a CALL."""
        if reaction is CUT:
            self.disconnect()
        elif isinstance(reaction, str):
            self.receive([4, frame.unique_id, reaction, "scripted", {}])
        elif reaction is not None:
            self.receive([3, frame.unique_id, reaction])

    def receive(self, message: list[Any]) -> QueueWorld:
        """A frame of the CSMS arrives."""
        decoded = _native.decode(orjson.dumps(message), self.outbox.pending)
        if isinstance(decoded, _native.CallResult):
            self.outbox.receive_result(decoded, self.now)
        elif isinstance(decoded, _native.CallError | _native.Violation):
            unique_id = decoded.unique_id or ""
            self.outbox.receive_error(unique_id, decoded.code, decoded.description, self.now)
        return self.settle()

    def connect(self) -> QueueWorld:
        """The link is there and the registration accepted."""
        self.is_connected = True
        return self.settle()

    def disconnect(self) -> QueueWorld:
        """The link is lost."""
        if self.is_connected:
            self.is_connected = False
            self.outbox.disconnected(self.now)
        return self.settle()

    def advance(self, seconds: float) -> QueueWorld:
        """Let time pass, timers at their own moments."""
        end_s = self.time_s + seconds
        while (due_s := self.timers.next()) is not None and due_s <= end_s:
            self.time_s = max(self.time_s, due_s)
            for name in self.timers.expired(self.time_s):
                if name == "call":
                    self.outbox.handle_timeout(self.now)
                else:
                    assert isinstance(name, tuple)
                    assert name[0] == "delivery"
                    self.queue.handle_timer(name[1])
            self.settle()
        self.time_s = end_s
        return self

    # the hub

    def start(self, connector_id: int = 1, id_tag: str = "TAG", meter_wh: int = 1_000, **more: Any) -> Transaction:
        """A transaction begins now."""
        more = {"trusted": self.clock.is_trusted, **more}
        tx = self.queue.start(connector_id, id_tag, self.clock.utc_ms(self.now), meter_wh, **more)
        self.settle()
        return tx

    def sample(
        self,
        tx: Transaction | None,
        *values: str,
        connector_id: int = 1,
        layout: tuple[Descriptor, ...] = ENERGY,
        context: str = "Sample.Periodic",
    ) -> QueueWorld:
        """A sample is taken now."""
        at_ms = self.clock.utc_ms(self.now)
        connector_id = connector_id if tx is None else tx.connector_id
        self.queue.sample(connector_id, tx, layout, at_ms, context, values, trusted=self.clock.is_trusted)
        return self.settle()

    def stop_sample(self, tx: Transaction, value: str, context: str = "Sample.Periodic") -> QueueWorld:
        """A sample for transactionData is taken now."""
        at_ms = self.clock.utc_ms(self.now)
        self.queue.stop_sample(tx, ENERGY, at_ms, context, (value,), trusted=self.clock.is_trusted)
        return self.settle()

    def stop(self, tx: Transaction, meter_wh: int = 2_000, reason: str = "Local", **more: Any) -> QueueWorld:
        """A transaction ends now."""
        at_ms = self.clock.utc_ms(self.now)
        self.queue.stop(tx, Stop(at_ms, meter_wh, reason, more.get("id_tag"), self.clock.is_trusted))
        return self.settle()

    # what happened

    @property
    def actions(self) -> list[str]:
        """The actions of all CALLs, in order."""
        return [frame.action for frame in self.frames]

    def sent(self, action: str) -> list[dict[str, Any]]:
        """The payloads of all CALLs of this action."""
        return [frame.payload for frame in self.frames if frame.action == action]

    def values(self) -> list[str]:
        """Every value of every MeterValues sent, in order."""
        return [
            sampled["value"]
            for payload in self.sent("MeterValues")
            for meter_value in payload["meterValue"]
            for sampled in meter_value["sampledValue"]
        ]

    def table(self, name: str) -> dict[str, bytes]:
        """The durable rows of a table."""
        return {key: value for (table, key), value in self.rows.items() if table == name}
