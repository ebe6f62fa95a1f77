"""One hub on virtual time: a core, its clients, and the output commit over a disk that can lose writes.

Owns time, the FIFO of outputs (decisions.md 3), crash and re-creation, and the records of what became visible when.
Must never judge anything: that is the checker. The core is driven through its public inputs, commands and reads only.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from orjson import dumps, loads

from ocpphub.config import ChargePointSettings, HubSettings
from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import Ask, Connect, Discard, Disconnect, Effect, Publish, Recreate, Reply, Send, Store
from ocpphub.core.instant import Instant
from ocpphub.errors import OcpphubError, UnavailableError
from ocpphub.store import Row
from tests.builders import EPOCH_MS
from tests.lives.csms import Csms
from tests.lives.disk import Disk
from tests.lives.pictures import local_list, picture
from tests.lives.records import (
    Attached,
    Began,
    Commanded,
    Compared,
    Disturbed,
    Failed,
    Finished,
    Life,
    Picture,
    Probed,
    Published,
    Replied,
    Restored,
)

START_S = 1_000.0
SPINS = 20_000


@dataclass(slots=True)
class Waiting:
    """One output in the FIFO."""

    commit: int
    session: int
    input: int
    effect: Effect


class Hub:
    """A hub, its disk and its clients; what is behind its link is :class:`tests.lives.world.World`'s."""

    def __init__(
        self,
        life: Life,
        rng: Random,
        settings: ChargePointSettings,
        hub: HubSettings,
        csms: Csms,
        secret: bytes | None,
        wall_error_ms: int,
    ) -> None:
        self.life, self.rng, self.settings, self.hub, self.csms = life, rng, settings, hub, csms
        self._secret = secret
        self.time_s, self.wall_error_ms = START_S, wall_error_ms
        self.disk_latency_s = (0.001, 0.03)
        self.disk = Disk(rng, lambda: rng.uniform(*self.disk_latency_s), self.at)
        self.disk.on_durable = self._release
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._inputs = self._origin = 0
        self._request = 0
        self._boots = 0
        self._csms_ids = 0
        self.controller_number = 0
        self._barrier = 0
        self._wrote = self._is_begun = self._is_closing = False
        self._crash_is_armed = False
        self._spins = 0
        # the link
        self.wanted = self.up = False
        self.session = 0
        self.is_out = False
        """Whether no connection can be made now."""
        self.mode = "normal"
        """``normal``, ``half_open`` (nothing passes, nobody is told) or ``not_reading`` (its buffers are full)."""
        self._backoff_s = 1.0
        # outputs
        self._fifo: deque[Waiting] = deque()
        self._releasing = False
        self.on_state: Callable[[int, dict[str, Any]], None] = lambda connector_id, state: None
        self.on_ask: Callable[[Ask, Callable[[Any], None]], None] = lambda ask, answer: None
        self.on_refusal: Callable[[int], None] = lambda connector_id: None
        """Called when a StartTransaction.conf that is not Accepted reached the core."""
        self.on_hub_lost: Callable[[bool], None] = lambda is_reset: None
        self._replies: dict[int, Callable[[Any, dict[str, Any] | None], None]] = {}
        self._asks: set[int] = set()
        self.core = self._core()

    # time

    @property
    def now(self) -> Instant:
        """What the shell would read from the machine's clocks."""
        return Instant(self.time_s, self.true_ms + self.wall_error_ms)

    @property
    def true_ms(self) -> int:
        """The true UTC, which is the CSMS's."""
        return EPOCH_MS + round(self.time_s * 1000)

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self._order += 1
        heapq.heappush(self._events, (self.time_s + delay_s, self._order, action))

    def run(self, seconds: float) -> None:
        """Let time pass; timers of the core and events happen in order."""
        end_s = self.time_s + seconds
        while True:
            due_s = self._events[0][0] if self._events else float("inf")
            timer_s = None if self._is_closing else self.core.next_deadline()
            if timer_s is not None and timer_s < due_s:
                if timer_s > end_s:
                    break
                self._watch_spinning(timer_s)
                self.time_s = max(self.time_s, timer_s)
                self.feed("handle_timer")
            elif due_s > end_s:
                break
            else:
                self.time_s = max(self.time_s, due_s)
                heapq.heappop(self._events)[2]()
        self.time_s = end_s

    def _watch_spinning(self, timer_s: float) -> None:
        self._spins = self._spins + 1 if timer_s <= self.time_s else 0
        if self._spins > SPINS:
            raise AssertionError(f"seed {self.life.header.seed}: the timers of the core stand still at {timer_s}")

    # inputs

    def _log(self, kind: Callable[..., Any], *data: Any, **more: Any) -> None:
        self.life.records.append(kind(self.time_s, self.true_ms, self._origin, *data, **more))

    def _next_input(self) -> None:
        """A new input begins: what is logged before it is fed carries its number too."""
        self._inputs += 1
        self._origin = self._inputs
        self._is_begun = True

    def feed(self, name: str, *arguments: Any) -> Any:
        """One input of the core and every effect of it; what it raises beside refusals is a finding."""
        if not self._is_begun:
            self._next_input()
        self._is_begun = False
        if self._is_closing:
            return None
        try:
            return getattr(self.core, name)(*arguments, self.now)
        except OcpphubError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a core raises is a violation, told with the seed
            self._log(Failed, f"{name}: {type(error).__name__}: {error}")
            return None
        finally:
            self._take()

    def _take(self) -> None:
        wrote = is_step = False
        session = self.session if self.up else -1
        for effect in self.core.poll_effects():
            if isinstance(effect, Store):
                self._barrier = self.disk.write(effect.table, effect.key, effect.value)
                is_step = is_step or (effect.table, effect.key) == ("boot", "clock")
                wrote = True
            elif isinstance(effect, Discard):
                self._barrier, wrote = self.disk.write(effect.table, effect.key, None), True
            else:
                self._is_closing = self._is_closing or isinstance(effect, Recreate)
                self._fifo.append(Waiting(self._barrier, session, self._origin, effect))
        self._wrote = wrote and not is_step  # whatever comes first brings a step of the clock to light
        if wrote and self._crash_is_armed:
            self._crash_is_armed = False
            is_first = not self.life.crashes_that_lost  # one crash of a life loses writes, come what may
            latest_s = self.disk_latency_s[0] * 0.9 if is_first else self.disk_latency_s[1] / 2
            self.at(self.rng.uniform(0.0, latest_s), self.crash)
        self.disk.begin()
        self._release()

    def command(
        self,
        controller: Controller | None,
        name: str,
        params: dict[str, Any],
        arguments: tuple[Any, ...],
        *,
        expects: str = "",
        done: Callable[[Any, dict[str, Any] | None], None] | None = None,
    ) -> int:
        """A local client calls a command; ``done(result, error)`` hears of its answer, unless the hub dies first."""
        self._request += 1
        request = self._request
        self.life.inputs += 1
        self._next_input()
        number = controller.number if controller else 0
        self._log(Commanded, request, number, name, params, expects)
        if done is not None:
            self._replies[request] = done
        try:
            result = self.feed(name, request, *arguments)
        except OcpphubError as error:
            self._answer(request, None, _error(error), is_direct=True)
            return request
        if result is not None:
            self._answer(request, result, None, is_direct=True)
        return request

    def _answer(self, request: int, result: Any, error: dict[str, Any] | None, *, is_direct: bool) -> None:
        plain = loads(dumps(result, default=str))
        self._log(Replied, request, plain, error, is_direct, self._wrote if is_direct else False)
        done = self._replies.pop(request, None)
        if done is not None:
            done(plain, error)

    def disturbed(self, request: int, what: str) -> None:
        """Write down that a command changed what it must not."""
        self._log(Disturbed, request, what)

    def attached(self, connector_id: int, controller: int) -> None:
        """Write down who drives a connector."""
        self._log(Attached, connector_id, controller)

    # outputs

    def _release(self) -> None:
        if self._releasing:
            return
        self._releasing = True
        fifo = self._fifo
        while fifo and fifo[0].commit <= self.disk.durable:
            self._carry_out(fifo.popleft())
        self._releasing = False

    def _carry_out(self, waiting: Waiting) -> None:
        effect = waiting.effect
        present, self._origin = self._origin, waiting.input
        if isinstance(effect, Send):
            if self.up and waiting.session == self.session:
                self.send(effect.frame)
        elif isinstance(effect, Reply):
            error = None if effect.error is None else _error(effect.error)
            self._answer(effect.request, effect.result, error, is_direct=False)
        elif isinstance(effect, Publish):
            value = loads(effect.value)
            if effect.topic in ("transaction", "connector.status", "connector.permit", "configuration_key"):
                self._log(Published, effect.topic, effect.connector_id, value)
            if effect.topic in ("connector.status", "connector.permit") and effect.connector_id is not None:
                self.on_state(effect.connector_id, value)
        elif isinstance(effect, Ask):
            self._ask(effect)
        elif isinstance(effect, Connect):
            self.wanted = True
            self.at(0.2, self.connect)
        elif isinstance(effect, Disconnect):
            self.wanted = self.wanted and not effect.stay_closed
            self.at(0.0, self.cut)
        elif isinstance(effect, Recreate):
            self._fifo.clear()
            self.at(0.0, self._recreate)
        self._origin = present

    def _ask(self, ask: Ask) -> None:
        core = self.core
        self._asks.add(ask.ask)

        def answer(result: Any) -> None:
            if core is self.core and ask.ask in self._asks:
                self._asks.discard(ask.ask)
                error = UnavailableError("timeout") if result is None else None
                self.feed("receive_answer", ask.ask, result, error)

        self.at(ask.timeout_s, lambda: answer(None))
        self.on_ask(ask, answer)

    # the link, as far as a hub knows it

    def connect(self) -> None:
        """The core wants a connection."""
        raise NotImplementedError

    def cut(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        """A message leaves."""
        raise NotImplementedError

    # the process

    def _core(self, rows: dict[tuple[str, str], bytes] | None = None) -> ChargePoint:
        self._boots += 1
        return ChargePoint(
            self.settings,
            self._rows(self.disk.rows if rows is None else rows),
            self.now,
            boot_id=f"{self._boots:016x}",
            hub=self.hub,
            authorization_key=self._secret,
        )

    def _rows(self, rows: dict[tuple[str, str], bytes]) -> list[Row]:
        """As a store hands them over: the archive is not loaded."""
        identity = self.settings.identity
        return [Row(identity, table, key, rows[table, key]) for table, key in sorted(rows) if table != "session"]

    def begin(self) -> None:
        """The process starts for the first time."""
        self._log(Began, "first", 0)
        self.feed("start")

    def crash(self) -> None:
        """``kill -9`` and power cut in one: everything not durable and everything not sent is gone."""
        lost = self.disk.crash(must_lose=not self.life.crashes_that_lost)
        self.life.crashes_that_lost += lost > 0
        self._end_of_core()
        self._start_again("crash", lost)

    def crash_soon(self) -> None:
        """Crash inside the next commit; when nothing is written for a while, something is."""
        self._crash_is_armed = True

        def force() -> None:
            if self._crash_is_armed:
                self.command(None, "security_event", {"type": "Forced"}, ("Forced", f"{self.time_s:.3f}"))
            if self._crash_is_armed:  # stopped: nothing is written at all
                self.crash()

        self.at(20.0, force)

    def _end_of_core(self) -> None:
        self._fifo.clear()
        self._replies.clear()
        self._asks.clear()
        self._barrier = 0
        self._is_closing = self._crash_is_armed = False
        self.up = self.wanted = False
        self.session += 1

    def _start_again(self, why: str, lost: int) -> None:
        self.core = self._core()
        self._next_input()
        self._log(Began, why, lost)
        self._check_recovery()
        self.on_hub_lost(why == "reset")
        self.feed("start")

    def _check_recovery(self) -> None:
        """A core from the rows, started in vain, and one from what it left: both must know the same."""
        first = self._core()
        found = picture(first, self.now)
        rows = dict(self.disk.rows)
        for effect in self._start_in_vain(first):
            if isinstance(effect, Store):
                rows[effect.table, effect.key] = effect.value
            elif isinstance(effect, Discard):
                rows.pop((effect.table, effect.key), None)
        started = picture(first, self.now)
        found.schedules = started.schedules
        found.list_version, found.list_entries = local_list(self._rows(self.disk.rows))
        self._log(Restored, found, started, self._picture_of(self._core(rows)))

    def _start_in_vain(self, core: ChargePoint) -> list[Effect]:
        core.start(self.now)
        return core.poll_effects()

    def _picture_of(self, core: ChargePoint) -> Picture:
        """What a restored core knows; its schedules are there once it has started."""
        found = picture(core, self.now)
        self._start_in_vain(core)
        found.schedules = picture(core, self.now).schedules
        return found

    def _recreate(self) -> None:
        core = self.core

        def when_durable() -> None:
            if core is not self.core:
                return
            if not self.disk.is_idle:
                self.at(0.01, when_durable)
                return
            self._end_of_core()
            self._start_again("reset", 0)

        self.up = False
        when_durable()

    def compare(self) -> bool:
        """With everything durable: does a core from the rows know what the running one does? False: not now."""
        self.feed("handle_timer")  # lets the core see a step of the clock
        if not self.disk.is_idle or self._fifo:
            return False
        self._log(Compared, picture(self.core, self.now), self._picture_of(self._core()))
        return True

    # reads

    def log_probe(self, connector_id: int, state: dict[str, Any], composite_a: float | None) -> None:
        """Write down a look at a connector."""
        self._log(Probed, connector_id, state, composite_a)

    def step_clock(self, by_ms: int) -> None:
        """The machine's wall clock jumps."""
        self.wall_error_ms += by_ms

    def disarm(self) -> None:
        """No crash any more."""
        self._crash_is_armed = False

    def is_quiet(self) -> bool:
        """Whether no session is left, nothing waits to be sent and everything is durable."""
        queue = self.core.state(self.now)["queue"]
        return self.disk.is_idle and not self.core.live_transactions() and queue["messages"] == 0

    def retry_aside(self) -> None:
        """An operator sends again what went aside."""
        if self.core.state(self.now)["queue"]["aside"]:
            for row in self.core.outbox(100):
                if row.get("aside", True):
                    self.command(None, "outbox_retry", {"id": row["id"]}, (row["id"],))

    def look_at_schedules(self) -> dict[str, Any]:
        """The value of ``charging_schedules`` beginning now."""
        found: dict[str, Any] = loads(self.core.charging_schedules(self.now))
        return found

    def finish(self) -> None:
        """Write down what is left at the end."""
        self._log(Finished, self.core.state(self.now)["queue"], len(self.core.live_transactions()))

    def states(self) -> dict[int, dict[str, Any]]:
        """The state of every connector, as a client reads it."""
        return {state["connector_id"]: state for state in self.core.connector_states()}

    def look(self) -> Picture:
        """What the core knows now."""
        return picture(self.core, self.now)


def _error(error: Exception) -> dict[str, Any]:
    if isinstance(error, OcpphubError):
        return {"code": error.code, "path": error.path, "message": error.message}
    return {"code": "internal", "path": "", "message": f"{type(error).__name__}: {error}"}
