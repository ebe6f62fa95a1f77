"""Valid defaults and virtual time for tests of the core: settings, a scripted CSMS, and the world between them.

A test names only what matters to it. No socket, no sleep, no wall clock: :meth:`World.advance` moves time from one
deadline to the next. Every frame that the charge point sends is checked as a CSMS would check it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ocpphub import _native
from ocpphub.config import (
    ChargePointSettings,
    ConnectorOverride,
    CustomKey,
    Electrical,
    HubSettings,
    LinkSettings,
    Security,
)
from ocpphub.core.boot import utc_text
from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import (
    Abandon,
    Connect,
    Discard,
    Disconnect,
    Effect,
    Publish,
    Recreate,
    Reply,
    Send,
    Store,
    Work,
)
from ocpphub.core.inbound import Handler
from ocpphub.core.instant import Instant
from ocpphub.store import Row

SMART_CHARGING_OFF = {"SupportedFeatureProfiles": "Core,RemoteTrigger"}
"""``[charge_point.configuration]`` of a hub without charging profiles."""
CONTROLLER = Controller(1, 1_000)
"""The controller of a test that needs only one."""
EPOCH_MS = 1_800_000_000_000
"""The machine's wall clock at virtual second 0: 2027-01-15T08:00:00Z."""


def electrical(**changes: Any) -> Electrical:
    """Three-phase AC, 32 A per connector."""
    return replace(Electrical(230.0, 3, "ac", 32.0, None, None, None, None, 6.0, 0.0, 900.0), **changes)


def override(ids: Sequence[int], **changes: Any) -> ConnectorOverride:
    """Overrides of nothing, for these connectors."""
    return replace(ConnectorOverride(tuple(ids), *([None] * 11)), **changes)


def custom_key(name: str, value: str = "", **changes: Any) -> CustomKey:
    """A declared custom key of type string that both sides may write."""
    return replace(CustomKey(name, value, "string", False, False, None, None), **changes)


def link(**changes: Any) -> LinkSettings:
    """The defaults of surface.md."""
    return replace(LinkSettings(30, 10.0, 30.0, 15.0, False, False), **changes)


def settings(**changes: Any) -> ChargePointSettings:
    """A charge point ``CP1`` with 3 connectors and nothing special about it."""
    defaults = ChargePointSettings(
        identity="CP1",
        csms_url="ws://user:secret@csms.example/ocpp",
        connectors=3,
        vendor="Vendor",
        model="Model",
        serial_number="SN-1",
        charge_box_serial_number=None,
        firmware_version="1.2.3",
        iccid=None,
        imsi=None,
        meter_type=None,
        meter_serial_number=None,
        socket=None,
        configuration={},
        custom_keys=(),
        electrical=electrical(),
        connector_overrides=(),
        security=Security(0, None, None, None, None, False),
        link=link(),
    )
    return replace(defaults, **changes)


def hub(**changes: Any) -> HubSettings:
    """The defaults of surface.md."""
    paths = (Path("/run/ocpphub.sock"), Path("/var/lib/ocpphub"))
    return replace(
        HubSettings(*paths, "info", "text", 30.0, 1.0, 600, None, "if_accepted_once", 60.0, 86_400.0, 120.0, 60.0),
        **changes,
    )


def charging_profile(profile_id: int = 1, purpose: str = "TxDefaultProfile", **changes: Any) -> dict[str, Any]:
    """A ChargingProfile of 16 A, always; members of its chargingSchedule may be given by their names too."""
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0}]}
    for name in ("duration", "startSchedule", "chargingRateUnit", "minChargingRate", "chargingSchedulePeriod"):
        if name in changes:
            schedule[name] = changes.pop(name)
    return {
        "chargingProfileId": profile_id,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute" if purpose == "ChargePointMaxProfile" else "Relative",
        "chargingSchedule": schedule,
        **changes,
    }


def periods(*limits: tuple[int, float]) -> list[dict[str, Any]]:
    """chargingSchedulePeriod from pairs of startPeriod and limit."""
    return [{"startPeriod": start, "limit": limit} for start, limit in limits]


@dataclass(frozen=True, slots=True)
class SentCall:
    """A CALL of the charge point as the CSMS saw it."""

    at_s: float
    unique_id: str
    action: str
    payload: dict[str, Any]


Script = Callable[[dict[str, Any]], Any]


@dataclass(slots=True)
class Csms:
    """The other side: answers CALLs by script. ``None`` from a script withholds the answer."""

    interval_s: int = 300
    registration: str = "Accepted"
    latency_s: float = 0.0
    offset_ms: int = 0
    """How far the CSMS's clock is ahead of the machine's."""
    scripts: dict[str, Script] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """Action -> code of the CALLERROR that answers it."""
    silent: set[str] = field(default_factory=set)
    started: list[dict[str, Any]] = field(default_factory=list)
    """The StartTransactions that were answered; the number of one is its transactionId."""

    def reaction(self, call: SentCall, utc_ms: int) -> list[Any] | None:
        """The frame that answers ``call``, or ``None``."""
        if call.action in self.silent:
            return None
        if call.action in self.errors:
            return [4, call.unique_id, self.errors[call.action], "scripted", {}]
        if call.action in self.scripts:
            payload = self.scripts[call.action](call.payload)
            return None if payload is None else [3, call.unique_id, payload]
        time = utc_text(utc_ms + self.offset_ms)
        payload = {
            "BootNotification": {"status": self.registration, "currentTime": time, "interval": self.interval_s},
            "Heartbeat": {"currentTime": time},
            "DataTransfer": {"status": "Accepted"},
            "Authorize": {"idTagInfo": {"status": "Accepted"}},
            "StartTransaction": {"transactionId": len(self.started) + 1, "idTagInfo": {"status": "Accepted"}},
        }.get(call.action, {})
        if call.action == "StartTransaction":
            self.started.append(call.payload)
        return [3, call.unique_id, payload]


@dataclass(slots=True)
class Outside:
    """Who does what takes its time: answers work by script, after ``latency_s``.

    A script is a result, an error, or a function of the parameters that gives one of them; ``None`` withholds it, and
    so does a method without a script.
    """

    scripts: dict[str, Any] = field(default_factory=dict)
    latency_s: float = 0.0
    works: list[Work] = field(default_factory=list)
    """All work that was begun, in order."""
    abandoned: list[int] = field(default_factory=list)
    """The numbers of work that nobody waits for any more."""

    def result(self, work: Work) -> Any:
        """What this work ends with, an error for one; ``None`` if it does not end."""
        script = self.scripts.get(work.method)
        return script(work.params) if callable(script) else script

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all work of a method, in order."""
        return [work.params for work in self.works if work.method == method]


class World:
    """A core, what a driver would do with its effects, and a CSMS, on virtual time."""

    def __init__(
        self,
        point: ChargePointSettings | None = None,
        *,
        rows: Mapping[tuple[str, str], bytes] | None = None,
        csms: Csms | None = None,
        handlers: Mapping[str, Handler] | None = None,
        hub: HubSettings | None = None,
        boot_id: str = "00000000000000aa",
        start_s: float = 1_000.0,
        authorization_key: bytes | None = None,
        wall_jump_ms: int = 0,
        outside: Outside | None = None,
        **core: Any,
    ) -> None:
        """``core`` are further arguments of the charge point; a crash and a reset hand them on."""
        self.settings = point or settings()
        self.csms = csms or Csms()
        self.outside = outside or Outside()
        self.rows = dict(rows or {})
        self.time_s, self.wall_jump_ms = start_s, wall_jump_ms
        self.effects: list[Effect] = []
        self.calls: list[SentCall] = []
        self.answers: list[list[Any]] = []
        self.replies: dict[int, Reply] = {}
        self._arrivals: list[tuple[float, int, bytes]] = []
        self._results: list[tuple[float, int, Work, Any]] = []
        self._order = self._request = self._csms_id = self._boots = 0
        self._hub, self._handlers, self._core_arguments = hub, handlers, core
        stored = [Row(self.settings.identity, table, key, value) for (table, key), value in self.rows.items()]
        self.core = ChargePoint(
            self.settings,
            stored,
            self.now,
            boot_id=boot_id,
            handlers=handlers,
            hub=hub,
            authorization_key=authorization_key,
            **core,
        )

    # time

    @property
    def now(self) -> Instant:
        """The present virtual moment."""
        return Instant(self.time_s, EPOCH_MS + round(self.time_s * 1000) + self.wall_jump_ms)

    def advance(self, seconds: float) -> World:
        """Let time pass; timers and arrivals happen at their own moment, in order."""
        end_s = self.time_s + seconds
        while (due_s := self._next_event()) is not None and due_s <= end_s:
            self._happen(due_s)
        self.time_s = end_s
        return self

    def _happen(self, due_s: float) -> None:
        """The next event comes: a frame, the end of some work, or a timer."""
        self.time_s = max(self.time_s, due_s)
        if self._arrivals and self._arrivals[0][0] <= due_s:
            self.receive(heapq.heappop(self._arrivals)[2])
        elif self._results and self._results[0][0] <= due_s:
            _, _, work, result = heapq.heappop(self._results)
            self.finish(work, result)
        else:
            self.core.handle_timer(self.now)
            self.settle()

    def _next_event(self) -> float | None:
        queues = (self._arrivals, self._results)
        deadlines = [self.core.next_deadline(), *(queue[0][0] if queue else None for queue in queues)]
        return min((at for at in deadlines if at is not None), default=None)

    # the shell

    def start(self) -> World:
        """The process starts."""
        self.core.start(self.now)
        return self.settle()

    def connect(self) -> World:
        """The link opens."""
        self.core.connected(self.now)
        return self.settle()

    def disconnect(self) -> World:
        """The link is lost, with everything that was on its way."""
        self._arrivals.clear()
        self.core.disconnected(self.now)
        return self.settle()

    def boot(self) -> World:
        """Start, connect, and let the CSMS answer everything that comes of it."""
        return self.start().connect().advance(0)

    def crash(self, **changes: Any) -> World:
        """The process dies and starts again from what was durable; the new world is not started yet."""
        arguments: dict[str, Any] = {
            "csms": self.csms,
            "boot_id": "00000000000000bb",
            "start_s": self.time_s,
            "outside": self.outside,
        }
        arguments |= {**self._core_arguments, **changes}
        return World(arguments.pop("point", self.settings), rows=self.rows, **arguments)

    def settle(self) -> World:
        """Carry out every effect, as the driver would with an instant disk."""
        for effect in self.core.poll_effects():
            self.effects.append(effect)
            if isinstance(effect, Store):
                self.rows[effect.table, effect.key] = effect.value
            elif isinstance(effect, Discard):
                self.rows.pop((effect.table, effect.key), None)
            elif isinstance(effect, Reply):
                assert effect.request not in self.replies, "a command was answered twice"
                self.replies[effect.request] = effect
            elif isinstance(effect, Send):
                self._carry(effect.frame)
            elif isinstance(effect, Work):
                self._begin(effect)
            elif isinstance(effect, Abandon):
                self.outside.abandoned.append(effect.ask)
                self._results = [each for each in self._results if each[2].ask != effect.ask]
            elif isinstance(effect, Recreate):
                return self._recreate()
        return self

    def _recreate(self) -> World:
        """A reset: another core from what is durable, and a link of its own."""
        self._arrivals.clear()
        self._results.clear()
        self._boots += 1
        again = self.crash(boot_id=f"{self._boots:016x}", hub=self._hub, handlers=self._handlers)
        self.core = again.core
        return self.start().connect()

    def _begin(self, work: Work) -> None:
        self.outside.works.append(work)
        result = self.outside.result(work)
        if result is not None:
            self._order += 1
            heapq.heappush(self._results, (self.time_s + self.outside.latency_s, self._order, work, result))

    def finish(self, work: Work, result: Any) -> World:
        """A piece of work ends now, with a result or an error."""
        error = result if isinstance(result, Exception) else None
        self.core.receive_answer(work.ask, None if error else result, error, self.now)
        return self.settle()

    def _carry(self, frame: bytes) -> None:
        parsed = orjson.loads(frame)
        if parsed[0] != 2:
            self.answers.append(parsed)
            return
        checked = _native.decode_request(frame, strict=True)
        assert isinstance(checked, _native.Call), f"the charge point sent an illegal frame: {frame!r}"
        call = SentCall(self.time_s, parsed[1], parsed[2], parsed[3])
        self.calls.append(call)
        reaction = self.csms.reaction(call, self.now.utc_ms - self.wall_jump_ms)
        if reaction is not None:
            self._order += 1
            arrival = (self.time_s + self.csms.latency_s, self._order, orjson.dumps(reaction))
            heapq.heappush(self._arrivals, arrival)

    # the CSMS and local clients

    def receive(self, frame: bytes | str | list[Any], *, binary: bool = False) -> World:
        """A message of the CSMS arrives now."""
        data = frame if isinstance(frame, bytes) else frame.encode() if isinstance(frame, str) else orjson.dumps(frame)
        self.core.receive_frame(data, self.now, binary)
        return self.settle()

    def ask(self, action: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """The CSMS makes a CALL and gets a confirmation at once; its payload."""
        self._csms_id += 1
        unique_id = f"csms-{self._csms_id}"
        self.receive([2, unique_id, action, payload or {}])
        answer = self.answers[-1]
        assert answer[:2] == [3, unique_id], f"{action} was answered with {answer}"
        result: dict[str, Any] = answer[2]
        return result

    def install(self, connector_id: int, profile_id: int = 1, purpose: str = "TxDefaultProfile", **changes: Any) -> str:
        """The CSMS sets a charging profile; the status that it gets."""
        profile = charging_profile(profile_id, purpose, **changes)
        answer = self.ask("SetChargingProfile", {"connectorId": connector_id, "csChargingProfiles": profile})
        return str(answer["status"])

    def command(self, name: str, *arguments: Any) -> int:
        """A local client calls a command; the request number whose reply may come later."""
        self._request += 1
        result = getattr(self.core, name)(self._request, *arguments, self.now)
        self.settle()
        if result is not None:  # answered at once, without waiting for the disk
            assert self._request not in self.replies, "a command was answered twice"
            self.replies[self._request] = Reply(self._request, result)
        return self._request

    def attach(self, *connectors: int, controller: Controller = CONTROLLER, takeover: bool = False) -> World:
        """A controller takes these connectors, all when none are named; what is told of it was sent."""
        wanted = connectors or tuple(range(1, self.settings.connectors + 1))
        self.command("attach", controller, wanted, takeover)
        return self.advance(0)

    def report(self, connector_id: int, controller: Controller = CONTROLLER, **fields: Any) -> dict[str, Any]:
        """A controller reports; the connector state that it gets. The first report is completed with idle levels."""
        row = self.core._parts.connectors.any_row(connector_id)
        idle = {} if row.has_reported else {"plugged": False, "ev_ready": True, "evse_ready": True}
        request = self.command("report", controller, {"connector_id": connector_id, **idle, **fields})
        self.advance(0)
        state: dict[str, Any] = self.result(request)
        return state

    def authorize(self, connector_id: int | None, id_tag: str = "TAG", controller: Controller = CONTROLLER) -> Any:
        """A driver presents a tag; the result, which the CSMS may have been asked for."""
        request = self.command("authorize", controller, id_tag, connector_id)
        self.advance(self.csms.latency_s)
        return self.result(request)

    def charge(self, connector_id: int = 1, id_tag: str = "TAG", **fields: Any) -> dict[str, Any]:
        """A vehicle is plugged in and authorised; the connector state with its transaction."""
        self.report(connector_id, **{"plugged": True, "energy_wh": 1_000, **fields})
        self.authorize(connector_id, id_tag)
        return self.core.connector_state(connector_id)

    def result(self, request: int) -> Any:
        """What a command was answered; raises the error it was answered with."""
        reply = self.replies[request]
        if reply.error is not None:
            raise reply.error
        return reply.result

    # what happened

    def sent(self, action: str) -> list[dict[str, Any]]:
        """The payloads of all CALLs of this action, in order."""
        return [call.payload for call in self.calls if call.action == action]

    @property
    def actions(self) -> list[str]:
        """The actions of all CALLs, in order."""
        return [call.action for call in self.calls]

    def published(self, topic: str) -> list[Any]:
        """The values published on a topic, in order."""
        found = [effect for effect in self.effects if isinstance(effect, Publish) and effect.topic == topic]
        return [orjson.loads(effect.value) for effect in found]

    def links(self) -> list[Connect | Disconnect]:
        """Every wish about the link, in order."""
        return [effect for effect in self.effects if isinstance(effect, Connect | Disconnect)]

    def forget(self) -> World:
        """Start a new record: calls, answers and effects so far are of no interest."""
        self.effects.clear()
        self.calls.clear()
        self.answers.clear()
        return self


def assert_sends(world: World, action: str, **members: Any) -> dict[str, Any]:
    """The last CALL of ``action`` holds these members; its payload."""
    sent = world.sent(action)
    assert sent, f"no {action} among {world.actions}"
    assert {name: sent[-1].get(name) for name in members} == members
    return sent[-1]


def assert_nothing_sent(world: World) -> None:
    """Neither a CALL nor an answer left."""
    assert world.actions == []
    assert world.answers == []


def assert_refuses(world: World, code: str, unique_id: str) -> None:
    """The last thing that left is this CALLERROR, with a description that is short and ASCII (J-262)."""
    answer = world.answers[-1]
    assert answer[:3] == [4, unique_id, code]
    assert len(answer[3]) <= 255
    assert answer[3].isascii()
    assert answer[4] == {}
