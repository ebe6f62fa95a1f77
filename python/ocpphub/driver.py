"""The driver: the only place that mutates a core, and the keeper of output commit (decisions.md 3).

Owns one FIFO of outputs per charge point, the group commit, the timers, request numbers, open questions and work. Must
hold no OCPP rule, and must let nothing leave that follows a write before that write is durable.

    one mutation -> drain every effect -> FIFO | Store, Discard -> commit n+1, which gathers while commit n is under way
                                               | anything else  -> leaves when the last write before it is durable

A command is answered by a Reply effect in its place in the FIFO, or at once with what the core's method returns.

Implements reliability.md 4.3 items 1 and 7, and the back-pressure of J-241.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.effects import (
    Abandon,
    Ask,
    Connect,
    Discard,
    Disconnect,
    Effect,
    Ping,
    Publish,
    Record,
    Recreate,
    Reply,
    Send,
    Store,
    Work,
)
from ocpphub.core.instant import Instant
from ocpphub.errors import LocalError, UnavailableError
from ocpphub.lane import Lane, Outside
from ocpphub.link import Link as Link
from ocpphub.store import Write

if TYPE_CHECKING:
    from ocpphub import store
    from ocpphub.core.charge_point import ChargePoint
    from ocpphub.core.credentials import Access

logger = logging.getLogger("ocpphub.core")

Answer = Callable[[Any, Exception | None], None]
"""Called once with a result, or with ``None`` and an error."""

FIFO_LIMIT: Final = 256
"""Outputs of one charge point that may wait for the disk before its link stops being read."""
STUCK_S: Final = 30.0
"""How long a commit may be under way before the disk counts as stuck."""
TIMER_RETRY_S: Final = 1.0
"""Wait after a timer that raised, so that a bug cannot spin the loop."""


class Driver:
    """Carries inputs into the cores and their effects out. Use it on the thread of ``loop`` only.

    ``on_publish(identity, effect)`` takes publications; ``on_ask(identity, effect, answer)`` puts a question to a local
    client and calls ``answer`` at most once (later ones are ignored); ``outside`` does what takes its time;
    ``on_recreate(identity)`` has to close the link, make a new core from the store and hand it over with
    :meth:`replace`; ``on_fatal(error)`` hears that a commit failed: nothing leaves any more, the process has to end.
    """

    def __init__(
        self,
        store: store.Store,
        clock: Callable[[], Instant],
        *,
        on_publish: Callable[[str, Publish], None],
        on_ask: Callable[[str, Ask, Answer], None],
        outside: Outside,
        on_recreate: Callable[[str], None],
        on_fatal: Callable[[BaseException], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_publish = on_publish
        self._on_ask = on_ask
        self._outside = outside
        self._on_recreate = on_recreate
        self._on_fatal = on_fatal
        self._loop = loop
        self._lanes: dict[str, Lane] = {}
        self._blocked: dict[Lane, None] = {}  # lanes whose head waits for a commit, in order
        self._requests = 0
        self._gathered: list[Write] = []
        self._gathering = 1  # the number of the commit that a write made now belongs to
        self._durable = 0
        self._committing = self._scheduled = self._is_short = False
        self._commit_began_s = 0.0
        self._failure: BaseException | None = None
        self._idle: list[asyncio.Future[None]] = []
        self.on_input: Callable[[], None] = lambda: None
        """Called after every input: what cores share may have moved (``allocator.py``)."""
        self.on_commit: Callable[[float, int], None] | None = None
        """Called with the seconds and the rows of every commit that is durable (``metrics.py``)."""

    def add(self, core: ChargePoint, link: Link) -> None:
        """Take over a core and its link; its inputs are now this driver's business alone."""
        self._lanes[core.identity] = Lane(core, link)

    def start(self, identity: str | None = None) -> None:
        """Start the core of ``identity``, or all of them; what a core raises is raised."""
        for name in list(self._lanes) if identity is None else [identity]:
            self.apply(name, lambda core, now: core.start(now))
            if self._is_short:
                self.apply(name, lambda core, now: core.store_full(now))

    def core(self, identity: str) -> ChargePoint:
        """The core, for reads only. Raises :class:`LocalError` ``unknown_charge_point``."""
        return self._lane(identity).core

    def traffic(self, identity: str) -> tuple[int, int, int, bool]:
        """How often a link has opened, the frames it brought, those it was given, and whether it is not read from."""
        lane = self._lane(identity)
        return lane.session, lane.received, lane.sent, lane.paused

    def replace(self, core: ChargePoint) -> None:
        """Go on with a new core where the last one asked for it; its link is closed. :meth:`start` it next."""
        lane = self._lane(core.identity)
        lane.core = core
        lane.retired = lane.up = False

    def apply(self, identity: str, mutate: Callable[[ChargePoint, Instant], None]) -> None:
        """One mutation, then every effect of it. What ``mutate`` raises is raised, after its effects were taken.

        Does nothing while the core waits for its successor (``Recreate``).
        """
        lane = self._lane(identity)
        if self._failure is not None:
            raise UnavailableError("internal", "the store failed")
        if lane.retired:
            return
        now = self._clock()
        try:
            lane.context.run(mutate, lane.core, now)
        finally:
            self._settle(lane, now)

    def command(self, identity: str, name: str, args: tuple[Any, ...], reply: Answer) -> Any:
        """Run the core's command ``name``: ``name(request, *args, now)``.

        What it returns is the answer, and is returned. When that is ``None``, ``reply`` is called with the ``Reply``
        of its request when that leaves the FIFO, maybe before this returns. Raises at once, and never calls ``reply``:
        :class:`LocalError` when the core refuses, :class:`UnavailableError` while it is reset.
        """
        lane = self._lane(identity)
        if self._failure is not None:
            raise UnavailableError("internal", "the store failed")
        if lane.retired:
            raise _reset()
        self._requests = request = self._requests + 1
        run: Callable[..., Any] = getattr(lane.core, name)
        now = self._clock()
        try:
            result = lane.context.run(run, request, *args, now)
        except BaseException:
            self._settle(lane, now)
            raise
        if result is None:
            lane.replies[request] = reply
        self._settle(lane, now)
        return result

    def tell_permits(self, identity: str) -> bool:
        """The allocation has other permits for this charge point; False while there is no core to take them."""
        lane = self._lanes.get(identity)
        if lane is None or lane.retired:
            return False
        self._input(identity, lambda core, now: core.permits_changed(now))
        return True

    def receive(self, identity: str, frame: bytes, binary: bool) -> None:
        """A message of the CSMS. Raises nothing: a frame never ends the link's receiving (J-278)."""
        lane = self._lanes.get(identity)
        if lane is None or lane.retired or self._failure is not None:
            return
        now = self._clock()
        lane.received += 1
        try:
            lane.context.run(lane.core.receive_frame, frame, now, binary)
        except Exception:
            logger.exception("%s: a frame raised in the core", identity)
        self._settle(lane, now)

    def connected(self, identity: str, root: str | None = None) -> None:
        """The link of this charge point is open; with TLS ``root`` is the fingerprint of the root that it rests on."""
        lane = self._lanes.get(identity)
        if lane is None:
            return
        lane.session += 1
        lane.up = True
        self._input(identity, lambda core, now: core.connected(now, root))

    def disconnected(self, identity: str) -> None:
        """The link of this charge point is closed; frames that still wait for it are dropped."""
        lane = self._lanes.get(identity)
        if lane is None:
            return
        lane.up = False
        self._input(identity, lambda core, now: core.disconnected(now))

    def controller_lost(self, identity: str, number: int) -> None:
        """The connection of a controller is gone."""
        self._input(identity, lambda core, now: core.controller_lost(number, now))

    def access(self, identity: str) -> Access:
        """As whom and where the next attempt of its link goes; a read."""
        return self._lane(identity).core.access()

    def store_short(self, is_short: bool) -> None:
        """Whether room on the disk is short: every core is told, before writes fail (decisions.md 3)."""
        self._is_short = is_short
        for identity in list(self._lanes):
            self._input(identity, lambda core, now: (core.store_full if is_short else core.store_ok)(now))

    def complaint(self) -> str | None:
        """Why nothing can leave: a commit failed or is stuck; ``None`` when all is well. Asked by the watchdog."""
        if self._failure is not None:
            return "a commit failed"
        under_way_s = self._clock().monotonic_s - self._commit_began_s
        if self._committing and under_way_s > STUCK_S:
            return f"a commit has been under way for {under_way_s:.0f} s"
        return None

    async def drained(self) -> None:
        """Wait until every write made so far is durable. Raises :class:`UnavailableError` when a commit failed."""
        while self._failure is None and (self._gathered or self._committing):
            self._idle.append(self._loop.create_future())
            await self._idle[-1]
        if self._failure is not None:
            raise UnavailableError("internal", "the store failed") from self._failure

    def close(self) -> None:
        """Let go of every core; later inputs are ignored. Call it after :meth:`drained`, before the store closes."""
        for lane in self._lanes.values():
            for handle in (lane.timer, *lane.asks.values()):
                if handle is not None:
                    handle.cancel()
        self._lanes.clear()
        self._blocked.clear()

    def _lane(self, identity: str) -> Lane:
        lane = self._lanes.get(identity)
        if lane is None:
            raise LocalError("unknown_charge_point", f"there is no charge point {identity!r}")
        return lane

    def _input(self, identity: str, mutate: Callable[[ChargePoint, Instant], None]) -> None:
        """An input that nobody waits for: what it raises is a bug, loud in the log, and other inputs go on."""
        if identity not in self._lanes:
            return
        try:
            self.apply(identity, mutate)
        except Exception:
            if self._failure is None:
                logger.exception("%s: an input raised in the core", identity)

    def _settle(self, lane: Lane, now: Instant) -> None:
        """Take every effect of the mutation, let leave what may, and set the timer."""
        core, fifo = lane.core, lane.fifo
        if effects := core.poll_effects():
            session = lane.session if lane.up else -1
            for effect in effects:
                if isinstance(effect, Store | Discard):
                    self._gather(lane, effect)
                elif isinstance(effect, Recreate):
                    lane.retired = True
                else:
                    fifo.append((lane.barrier, session, effect))
            if lane.retired:
                self._retire(lane)
                return
            self._release(lane)
        elif fifo or lane.paused is core.accepting_frames:
            self._release(lane)
        due_s = core.next_deadline()
        if due_s is not None and due_s < lane.due_s:
            self._arm(lane, due_s, due_s - now.monotonic_s)
        self.on_input()

    def _retire(self, lane: Lane) -> None:
        """The last input of this core: its timer ends, and behind everything that waits to leave it is replaced."""
        if lane.timer is not None:
            lane.timer.cancel()
        lane.timer, lane.due_s = None, float("inf")
        lane.fifo.append((lane.barrier, -1, Recreate()))
        self._release(lane)

    def _recreate(self, lane: Lane) -> None:
        for number, timer in lane.asks.items():
            if timer is None:
                self._outside.abandon(lane.core.identity, number)
            else:
                timer.cancel()
        lane.asks.clear()
        self._on_recreate(lane.core.identity)
        replies, lane.replies = lane.replies, {}
        for reply in replies.values():
            try:
                reply(None, _reset())
            except Exception:
                logger.exception("%s: a reset could not be told", lane.core.identity)

    def _gather(self, lane: Lane, effect: Store | Discard) -> None:
        value = effect.value if isinstance(effect, Store) else None
        self._gathered.append(Write(lane.core.identity, effect.table, effect.key, value))
        lane.barrier = self._gathering
        if not (self._committing or self._scheduled):
            # From the loop, so that all inputs of one turn share the commit.
            self._scheduled = True
            self._loop.call_soon(self._begin_commit)

    def _begin_commit(self) -> None:
        batch, self._gathered = self._gathered, []
        number = self._gathering
        self._gathering += 1
        self._scheduled, self._committing = False, True
        self._commit_began_s = self._clock().monotonic_s
        try:
            self._store.commit(batch, partial(self._committed, number, len(batch)))
        except Exception as error:  # noqa: BLE001  # any failure ends the process, in an orderly way
            self._committed(number, len(batch), error)

    def _committed(self, number: int, rows: int, error: BaseException | None) -> None:
        self._committing = False
        if error is not None:
            self._failure = error
            logger.error("a commit failed, nothing leaves any more: %s", error)
            self._on_fatal(error)
        else:
            self._durable = number
            if self.on_commit is not None:
                self.on_commit(self._clock().monotonic_s - self._commit_began_s, rows)
            if self._gathered:
                self._begin_commit()
            blocked, self._blocked = self._blocked, {}
            for lane in blocked:
                self._release(lane)
        idle, self._idle = self._idle, []
        for waiter in idle:
            if not waiter.done():
                waiter.set_result(None)

    def _release(self, lane: Lane) -> None:
        """Let leave, in order, what no commit holds back."""
        if lane.releasing or self._failure is not None:
            return  # an effect that causes another input: the loop below takes its effects too
        lane.releasing = True
        fifo = lane.fifo
        while fifo and fifo[0][0] <= self._durable and self._failure is None:
            _, session, effect = fifo.popleft()
            try:
                self._carry_out(lane, session, effect)
            except Exception:
                logger.exception("%s: %s could not be carried out", lane.core.identity, type(effect).__name__)
        lane.releasing = False
        if fifo:
            self._blocked[lane] = None
        paused = len(fifo) > FIFO_LIMIT or not lane.core.accepting_frames
        if paused is not lane.paused:
            lane.paused = paused
            (lane.link.pause if paused else lane.link.resume)()

    def _carry_out(self, lane: Lane, session: int, effect: Effect) -> None:
        match effect:
            case Send(frame):
                if lane.up and session == lane.session:
                    lane.sent += 1
                    lane.link.send(frame)
            case Publish():
                self._on_publish(lane.core.identity, effect)
            case Reply(request, result, error):
                reply = lane.replies.pop(request, None)
                if reply is not None:
                    reply(result, error)
            case Ask() | Work():
                self._ask(lane, effect)
            case Abandon(number):
                lane.asks.pop(number, None)
                self._outside.abandon(lane.core.identity, number)
            case Record():
                self._outside.record(lane.core.identity, effect)
            case Connect(headers):
                lane.link.connect(headers)
            case Disconnect(code, reason, stay_closed):
                lane.link.disconnect(code, reason, stay_closed)
            case Ping(interval_s):
                lane.link.set_ping_interval(interval_s)
            case Recreate():
                self._recreate(lane)

    def _ask(self, lane: Lane, ask: Ask | Work) -> None:
        answer = partial(self._answered, lane, lane.core, ask.ask)
        lane.asks[ask.ask] = None
        try:
            if isinstance(ask, Work):
                self._outside.work(lane.core.identity, ask, answer)
                return
            late = UnavailableError("timeout", f"no answer to {ask.method} within {ask.timeout_s:g} s")
            lane.asks[ask.ask] = self._loop.call_later(ask.timeout_s, answer, None, late)
            self._on_ask(lane.core.identity, ask, answer)
        except Exception as error:
            logger.exception("%s: %s could not be asked", lane.core.identity, ask.method)
            answer(None, error)

    def _answered(self, lane: Lane, asker: ChargePoint, ask: int, result: Any, error: Exception | None) -> None:
        if lane.core is not asker:
            return  # it was reset meanwhile, and another question of the new core may have the same number
        if ask in lane.asks:
            if (timer := lane.asks.pop(ask)) is not None:
                timer.cancel()
            self._input(lane.core.identity, lambda core, now: core.receive_answer(ask, result, error, now))

    def _arm(self, lane: Lane, due_s: float, delay_s: float) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
        lane.due_s = due_s
        lane.timer = self._loop.call_later(max(0.0, delay_s), self._timer, lane)

    def _timer(self, lane: Lane) -> None:
        # A deadline that moved away leaves the timer as it is: most are set and cancelled with every message.
        lane.timer, lane.due_s = None, float("inf")
        if self._failure is not None or lane.retired:
            return
        now = self._clock()
        due_s = lane.core.next_deadline()
        if due_s is None:
            return
        if due_s > now.monotonic_s:
            self._arm(lane, due_s, due_s - now.monotonic_s)
            return
        try:
            lane.context.run(lane.core.handle_timer, now)
        except Exception:
            logger.exception("%s: a timer raised in the core", lane.core.identity)
            self._arm(lane, due_s, TIMER_RETRY_S)  # keeps _settle from arming it at once
        self._settle(lane, now)


def _reset() -> UnavailableError:
    return UnavailableError("busy", "the charge point is being reset", hint="again in a moment", retry_after_ms=1_000)
