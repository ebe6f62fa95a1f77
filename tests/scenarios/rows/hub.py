"""A whole charge point with its controllers and its CSMS, on virtual time: the bench of the row tests.

Owns what the tests of ``rows/`` have in common: controllers that report and answer, a CSMS that knows id tags and gives
out transaction ids, resets that begin anew in the same place, and two checks that hold in every test: only edges of the
table of the standard appear on the wire (CORE-STAT-02), and connector 0 has three states (CORE-STAT-13).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ocpphub.config import ChargePointSettings, HubSettings
from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import Ask, Connect, Reply
from ocpphub.errors import UnavailableError
from ocpphub.store import ARCHIVE, Row
from tests.builders import EPOCH_MS, Csms, SentCall, World, settings
from tests.builders import hub as hub_settings

SILENT: Final = object()
"""What a local client that never answers is scripted with."""
IDLE: Final[dict[str, Any]] = {"plugged": False, "ev_ready": False, "evse_ready": True}
ACCEPTED: Final = {"status": "Accepted"}

STATES: Final = "Available Preparing Charging SuspendedEV SuspendedEVSE Finishing Reserved Unavailable Faulted".split()
_TABLE: Final = """
    -  A2 A3 A4 A5 .  A7 A8 A9
    B1 -  B3 B4 B5 B6 .  .  B9
    C1 .  -  C4 C5 C6 .  C8 C9
    D1 .  D3 -  D5 D6 .  D8 D9
    E1 .  E3 E4 -  E6 .  E8 E9
    F1 F2 .  .  .  -  .  F8 F9
    G1 G2 .  .  .  .  -  G8 G9
    H1 H2 H3 H4 H5 .  .  -  H9
    I1 I2 I3 I4 I5 I6 I7 I8 -
"""
EDGES: Final[dict[str, tuple[str, str]]] = {
    cell: (STATES[row], STATES[column])
    for row, line in enumerate(_TABLE.split("\n")[1:-1])
    for column, cell in enumerate(line.split())
    if cell not in ("-", ".")
}
"""The allowed transitions of section 4.9 with E3.20, by the name of their cell."""
FORBIDDEN: Final = [
    (old, new) for old in STATES for new in STATES if old != new and (old, new) not in set(EDGES.values())
]


@dataclass(slots=True)
class Operator(Csms):
    """A CSMS that knows id tags: ``tags`` for Authorize, ``starts`` where StartTransaction is answered otherwise."""

    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    starts: dict[str, dict[str, Any]] = field(default_factory=dict)
    transaction_ids: list[int] = field(default_factory=list)
    """Ids to be given out first, in order; then 101, 102 ..."""
    given: int = 100

    def reaction(self, call: SentCall, utc_ms: int) -> list[Any] | None:
        """The frame that answers ``call``, or ``None``."""
        plain = call.action not in self.silent and call.action not in self.errors and call.action not in self.scripts
        if plain and call.action in ("Authorize", "StartTransaction"):
            tag = call.payload["idTag"]
            info = self.tags.get(tag, ACCEPTED)
            if call.action == "Authorize":
                return [3, call.unique_id, {"idTagInfo": info}]
            answer = {"idTagInfo": self.starts.get(tag, info), "transactionId": self.next_id()}
            return [3, call.unique_id, answer]
        return Csms.reaction(self, call, utc_ms)

    def next_id(self) -> int:
        """The id of the next transaction."""
        if self.transaction_ids:
            return self.transaction_ids.pop(0)
        self.given += 1
        return self.given


def controller(number: int = 1, principal: int = 1000, *, is_operator: bool = False) -> Controller:
    """A connection of a local program."""
    return Controller(number, principal, is_operator)


class Hub(World):
    """A charge point, its controllers and its CSMS."""

    def __init__(
        self,
        point: ChargePointSettings | None = None,
        *,
        operator: Operator | None = None,
        hub: HubSettings | None = None,
        boot_id: str = "00000000000000aa",
        **rest: Any,
    ) -> None:
        self.operator = operator or Operator()
        self.hub = hub or hub_settings()
        self.asks: list[Ask] = []
        self.local: dict[str, Any] = {
            "connector.unlock": {"status": "Unlocked"},
            "charge_point.reset": {"accepted": True},
        }
        """Method -> what local clients answer: a value, :data:`SILENT`, or a function of the parameters."""
        self.alive: set[int] = {1}
        """Numbers of the connections that are there to be asked."""
        self.trace: list[str] = []
        """What left, in order: actions of CALLs, ``answer`` for answers, methods that local clients were asked."""
        self.recreations = 0
        self._is_over = False
        self.last_status: dict[int, str] = {}
        self.boots = int(boot_id, 16)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        super().__init__(point, csms=self.operator, hub=self.hub, boot_id=boot_id, **rest)

    # time

    def advance(self, seconds: float) -> Hub:
        """Let time pass; timers, answers of the CSMS and of local clients happen at their own moment, in order."""
        end_s = self.time_s + seconds
        for _ in range(200_000):
            later_s = self._later[0][0] if self._later else float("inf")
            due_s = self._next_event()
            if later_s <= min(end_s, float("inf") if due_s is None else due_s):
                self.time_s = max(self.time_s, later_s)
                heapq.heappop(self._later)[2]()
            elif due_s is not None and due_s <= end_s:
                self._happen(due_s)
            else:
                self.time_s = end_s
                return self
        raise AssertionError("time stands still: a timer comes again and again")

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self._order += 1
        heapq.heappush(self._later, (self.time_s + seconds, self._order, action))

    # effects

    def settle(self) -> Hub:
        """Carry out effects; local clients are asked, and a charge point that wants to begin anew does."""
        seen = len(self.effects)
        super().settle()
        news = self.effects[seen:]
        for effect in news:
            if isinstance(effect, Ask):
                self._ask(effect)
        if self._is_over:
            self._is_over = False
            self._begin_anew()
        return self

    def _ask(self, ask: Ask) -> None:
        self.asks.append(ask)
        self.trace.append(ask.method)
        core = self.core
        answer = self.local.get(ask.method, SILENT)
        if callable(answer):
            answer = answer(ask.params)
        error: Exception | None = None
        delay_s = 0.0
        if ask.controller not in self.alive:
            answer, error = None, UnavailableError("not_attached")
        elif answer is SILENT:
            answer, error, delay_s = None, UnavailableError("timeout"), ask.timeout_s

        def arrive() -> None:
            if self.core is core:
                core.receive_answer(ask.ask, answer, error, self.now)
                self.settle()

        self.after(delay_s, arrive)

    def _recreate(self) -> Hub:
        self._is_over = True
        return self

    def _begin_anew(self) -> None:
        self.recreations += 1
        self._arrivals.clear()
        self._results.clear()
        self.last_status.clear()
        stored = [Row(self.settings.identity, table, key, value) for (table, key), value in loaded(self.rows).items()]
        self.boots += 1
        boot_id = f"{self.boots:016x}"
        core = self._core_arguments
        self.core = ChargePoint(self.settings, stored, self.now, boot_id=boot_id, hub=self.hub, **core)
        self.core.start(self.now)
        seen = len(self.effects)
        self.settle()
        if any(isinstance(effect, Connect) for effect in self.effects[seen:]):
            self.connect()

    def _carry(self, frame: bytes) -> None:
        seen = len(self.calls)
        parsed = orjson.loads(frame)
        self.trace.append(parsed[2] if parsed[0] == 2 else "answer")
        super()._carry(frame)
        for call in self.calls[seen:]:
            if call.action == "BootNotification":
                self.last_status.clear()
            if call.action == "StatusNotification":
                self._check_edge(call.payload)

    def _check_edge(self, payload: dict[str, Any]) -> None:
        connector_id, status = payload["connectorId"], payload["status"]
        if connector_id == 0:
            assert status in ("Available", "Unavailable", "Faulted"), f"CORE-STAT-13: connector 0 is {status}"
            return
        last = self.last_status.get(connector_id, status)
        assert last == status or (last, status) in set(EDGES.values()), (
            f"CORE-STAT-02: connector {connector_id} went from {last} to {status}"
        )
        self.last_status[connector_id] = status

    def crash(self, **changes: Any) -> Hub:
        """The process dies and starts again from what was durable; the new one is not started yet."""
        arguments: dict[str, Any] = {
            "operator": self.operator,
            "hub": self.hub,
            "start_s": self.time_s,
            "outside": self.outside,
        }
        arguments |= self._core_arguments | changes
        arguments.setdefault("boot_id", f"{self.boots + 1:016x}")
        return Hub(arguments.pop("point", self.settings), rows=loaded(self.rows), **arguments)

    def boot(self) -> Hub:
        """Start, connect, and let the CSMS answer everything that comes of it."""
        super().boot()
        return self

    def start(self) -> Hub:
        """The process starts."""
        super().start()
        return self

    def offline(self) -> Hub:
        """The link is lost."""
        self.disconnect()
        return self.advance(0)

    def online(self) -> Hub:
        """The link opens again, and the CSMS answers what comes of it."""
        self.connect()
        return self.advance(0)

    # local clients

    def begin(self, name: str, *arguments: Any) -> int:
        """A local client calls a command; its number, for :meth:`answer_of`. Raises what it is refused with."""
        self._request += 1
        request = self._request
        try:
            result = getattr(self.core, name)(request, *arguments, self.now)
        finally:
            self.settle()
        if result is not None:
            assert request not in self.replies, "a command was answered twice"
            self.replies[request] = Reply(request, result)
        self.advance(0)
        return request

    def is_answered(self, request: int) -> bool:
        """Whether a command has been answered."""
        return request in self.replies

    def call(self, name: str, *arguments: Any) -> Any:
        """A local client calls a command that is answered at once; the result, or the error raised."""
        return self.result(self.begin(name, *arguments))

    def join(self, *connector_ids: int, who: Controller | None = None, takeover: bool = False) -> list[Any]:
        """A controller takes connectors; their states."""
        who = who or controller()
        self.alive.add(who.number)
        states: list[Any] = self.call("attach", who, connector_ids, takeover)["connectors"]
        return states

    def lose(self, number: int = 1) -> Hub:
        """A controller's connection is gone."""
        self.alive.discard(number)
        self.core.controller_lost(number, self.now)
        self.settle()
        return self.advance(0)

    def tell(self, connector_id: int = 1, *, who: Controller | None = None, **levels: Any) -> dict[str, Any]:
        """A controller reports; the connector state."""
        state: dict[str, Any] = self.call("report", who or controller(), {"connector_id": connector_id, **levels})
        return state

    def plug(self, connector_id: int = 1, **levels: Any) -> dict[str, Any]:
        """A vehicle that wants energy is plugged in."""
        return self.tell(connector_id, **{"plugged": True, "ev_ready": True, **levels})

    def unplug(self, connector_id: int = 1, **levels: Any) -> dict[str, Any]:
        """The cable is pulled."""
        return self.tell(connector_id, **{"plugged": False, "ev_ready": False, **levels})

    def swipe(self, id_tag: str = "TAG", connector_id: int | None = 1, *, who: Controller | None = None) -> Any:
        """An id tag is presented, and everybody answers at once; the result."""
        return self.call("authorize", who or controller(), id_tag, connector_id)

    def present(self, id_tag: str = "TAG", connector_id: int | None = 1) -> int:
        """An id tag is presented; the number of the command, whose answer may come later."""
        return self.begin("authorize", controller(), id_tag, connector_id)

    def stop_here(self, connector_id: int = 1, reason: str | None = None, id_tag: str | None = None) -> dict[str, Any]:
        """A controller ends the transaction of a connector; the connector state."""
        state: dict[str, Any] = self.call("stop_transaction", controller(), connector_id, reason, id_tag)
        return state

    def session(self, connector_id: int = 1, id_tag: str = "TAG", **levels: Any) -> Hub:
        """Plug, tag, and a transaction runs; the record is as before."""
        self.plug(connector_id, **levels)
        result = self.swipe(id_tag, connector_id)
        assert result["status"] == "Accepted"
        assert self.state(connector_id)["transaction"] is not None
        return self

    def state(self, connector_id: int = 1) -> dict[str, Any]:
        """``connector.get``."""
        return self.core.connector_state(connector_id)

    def unlocks(self, connector_id: int = 1) -> int:
        """How often the controller of a connector was asked to unlock."""
        wanted = {"connector_id": connector_id}
        return sum(ask.method == "connector.unlock" and ask.params == wanted for ask in self.asks)

    # the CSMS

    def asks_for(self, action: str, **payload: Any) -> dict[str, Any]:
        """The CSMS makes a CALL; the payload of its confirmation. What follows has been sent and answered."""
        unique_id = self.receive_call(action, **payload)
        return self.confirmation(unique_id)

    def receive_call(self, action: str, **payload: Any) -> str:
        """The CSMS makes a CALL; its id, for :meth:`confirmation`."""
        self._csms_id += 1
        unique_id = f"csms-{self._csms_id}"
        self.receive([2, unique_id, action, payload])
        self.advance(0)
        return unique_id

    def confirmation(self, unique_id: str) -> dict[str, Any]:
        """What a CALL of the CSMS was confirmed with."""
        answer = self.answer_to(unique_id)
        assert answer is not None, "not answered yet"
        assert answer[0] == 3, f"answered with {answer}"
        result: dict[str, Any] = answer[2]
        return result

    def answer_to(self, unique_id: str) -> list[Any] | None:
        """The frame that answered a CALL of the CSMS, if any."""
        return next((answer for answer in self.answers if answer[1] == unique_id), None)

    def configure(self, **keys: Any) -> Hub:
        """The CSMS changes configuration keys, all accepted; underscores stand for nothing else."""
        for name, value in keys.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            assert self.asks_for("ChangeConfiguration", key=name, value=text) == ACCEPTED, name
        return self

    # what happened

    def forget(self) -> Hub:
        """Start a new record: calls, answers, effects and questions so far are of no interest."""
        super().forget()
        self.asks.clear()
        self.trace.clear()
        return self

    def wire(self, connector_id: int = 1) -> list[str]:
        """The statuses of a connector that were sent, in order."""
        return [sent["status"] for sent in self.sent("StatusNotification") if sent["connectorId"] == connector_id]

    def notices(self, connector_id: int = 1) -> list[dict[str, Any]]:
        """The StatusNotifications of a connector, in order."""
        return [sent for sent in self.sent("StatusNotification") if sent["connectorId"] == connector_id]

    def only(self, action: str) -> dict[str, Any]:
        """The payload of the one CALL of this action."""
        sent = self.sent(action)
        assert len(sent) == 1, f"{len(sent)} {action} among {self.actions}"
        return sent[0]

    def at(self, offset_s: float = 0.0) -> int:
        """UTC of this moment in milliseconds, plus an offset."""
        return EPOCH_MS + round((self.time_s + offset_s) * 1000)


def loaded(rows: Mapping[tuple[str, str], bytes]) -> dict[tuple[str, str], bytes]:
    """The rows that a start of the process gets: all but the archive."""
    return {name: value for name, value in rows.items() if name[0] != ARCHIVE}


def ready(connectors: int = 3, **arguments: Any) -> Hub:
    """A hub that is accepted, with all connectors attached to controller 1, plugged nowhere, registers at 1,000 Wh."""
    point = arguments.pop("point", None) or settings(connectors=connectors)
    hub = Hub(point, **arguments).boot()
    return take(hub, range(1, point.connectors + 1)).forget()


def take(hub: Hub, connector_ids: Iterable[int], **levels: Any) -> Hub:
    """Controller 1 attaches and makes its first report of each connector."""
    ids = list(connector_ids)
    hub.join(*ids)
    for connector_id in ids:
        hub.tell(connector_id, **{**IDLE, "energy_wh": 1_000, **levels})
    return hub
