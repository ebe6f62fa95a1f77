"""The Python API: a hub of charge points, their commands and variables as the interface publishes them.

Owns the wiring of store, driver, links and cores for one process, and the shape in which programs see a charge point.
Must hold no rule of OCPP: a command goes to the core, a variable is what the core has published.

Implements: surface.md "Python"; design rpc.md "Interface commands" and "Interface variables".
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

import orjson

from ocpphub import wiring
from ocpphub.clients import Clients
from ocpphub.core.effects import Publish
from ocpphub.core.instant import Instant
from ocpphub.driver import Answer, Driver
from ocpphub.errors import LocalError, UnavailableError
from ocpphub.interface import ConfigurationKeys, DataTransferResult, KeyValue, SecurityEvent, names_of
from ocpphub.link import Link, wait_closed
from ocpphub.publications import TOPICS, ConnectorFilter, Publications, Schedules
from ocpphub.publications import Variable as Variable

if TYPE_CHECKING:
    from ocpphub.allocator import Allocator
    from ocpphub.config import ChargePointSettings, Settings
    from ocpphub.core.charge_point import ChargePoint as Core
    from ocpphub.records import Selection
    from ocpphub.store import Row, Store
    from ocpphub.work import Workshop

log = logging.getLogger("ocpphub.daemon")

_ON_DEMAND: Final[Mapping[str, Callable[[Core, bool, Instant], None]]] = {
    "ocpp.message": lambda core, wanted, now: setattr(core, "traces_frames", wanted),
    "connector.schedule": lambda core, wanted, now: core.watch_schedules(wanted, now),
}
"""Topics that cost too much to be published to nobody, and how a core is told of a listener."""
_STATES: Final = ("connector.status", "connector.permit")
"""Topics whose value is a connector state."""
_FEW: Final = 500
"""Connectors up to which schedules are computed one by one: a controller must not cost those of the whole hub."""


def system_instant() -> Instant:
    """Now, as the shell reads it: the only place of the API that looks at a clock."""
    return Instant(time.monotonic(), time.time_ns() // 1_000_000)


class ChargePoint:
    """One charge point: the seven commands and the four variables of the interface.

    Commands raise :class:`LocalError` for bad arguments or an impossible request, :class:`PeerError` when the CSMS
    answers with an error. An OCPP status such as ``Rejected`` is a result. Use it on the hub's loop.
    """

    def __init__(self, settings: ChargePointSettings, clock: Callable[[], Instant]) -> None:
        self.identity = settings.identity
        self.settings = settings
        self.connector_count = settings.connectors
        self.files = wiring.Files()
        """Read when the hub starts: a reset must not fail over what became of them meanwhile."""
        self.now = clock
        self.publications = Publications(settings.identity, clock)
        self.is_connected: Variable[bool] = Variable("is_connected", self.publications)
        self.charging_schedules: Variable[dict[str, Any]] = Variable("charging_schedules", self.publications)
        self.configuration_key: Variable[KeyValue] = Variable("configuration_key", self.publications)
        self.security_events: Variable[SecurityEvent] = Variable("security_event", self.publications)
        self._driver: Driver | None = None
        self._store: Store | None = None
        self.core: Core = _DOWN
        """The state machine, for reads only; while the hub is down every read raises ``LocalError``."""
        self.clients = Clients(settings.identity)
        self._waiting: set[asyncio.Future[Any]] = set()
        self._wanted: set[str] = set()
        self.publications.on_interest = self._want
        # False before the first connection (rpc.md), hence published before anybody can ask.
        self.publications.publish("is_connected", b"false")

    async def stop(self) -> bool:
        """End all transactions, close the link and stop OCPP until :meth:`restart`; False when stopped already."""
        return bool(await self._run("stop"))

    async def restart(self) -> bool:
        """Open the link again after :meth:`stop`; False when it was not stopped."""
        return bool(await self._run("restart"))

    async def data_transfer(
        self, vendor_id: str, message_id: str | None = None, data: str | None = None
    ) -> DataTransferResult:
        """Send vendor-specific data to the CSMS; status ``Offline`` when it could not be asked (OCPP 1.6 4.3)."""
        result: DataTransferResult = await self._run("data_transfer", vendor_id, message_id, data)
        return result

    async def get_configuration_key(self, keys: Iterable[str] = ()) -> ConfigurationKeys:
        """Values of configuration keys; of all when ``keys`` is empty (OCPP 1.6 5.8)."""
        return cast(ConfigurationKeys, self.core.get_configuration_key(names_of(keys)))

    async def set_custom_configuration_key(self, key: str, value: str) -> str:
        """Set a declared custom key: ``Accepted``, ``Rejected``, ``RebootRequired`` or ``NotSupported``."""
        return str(await self._run("set_custom_configuration_key", key, value))

    async def monitor_configuration_keys(self, keys: Iterable[str]) -> None:
        """Publish ``configuration_key`` whenever the CSMS changes one of these keys; monitors add up."""
        await self._run("monitor_configuration_keys", names_of(keys))

    async def security_event(self, type: str, info: str) -> None:
        """Report a security event to the CSMS; returns when it is on disk, delivery is guaranteed from then on."""
        await self._run("security_event", type, info)

    async def schedule_get(
        self, connector_id: int, duration_s: int, unit: str | None = None, at: str | None = None
    ) -> dict[str, Any]:
        """The composite schedule of a connector, of the whole charge point for 0 (rpc.md ``schedule.get``)."""
        return dict(await _whole(self.core.schedules.get(connector_id, duration_s, unit, at, self.now())))

    async def schedule_explain(
        self, connector_id: int, at: str | None = None, duration_s: int | None = None, unit: str | None = None
    ) -> list[dict[str, Any]]:
        """Which source limits a connector when, and why the others do not (rpc.md ``schedule.explain``)."""
        return list(await _whole(self.core.schedules.explain(connector_id, duration_s, unit, at, self.now())))

    async def schedule_profiles(self, connector_id: int | None = None) -> list[dict[str, Any]]:
        """The installed charging profiles, of one connector or of all (rpc.md ``schedule.profiles``)."""
        found: list[dict[str, Any]] = []
        for text in self.core.schedules.installed(None if connector_id is None else [connector_id]):
            found += orjson.loads(b"[%b]" % text)
            await asyncio.sleep(0)
        return found

    def command(self, name: str, args: tuple[Any, ...], reply: Answer) -> Any:
        """Run a command of the core and return its answer; when that has to wait, ``None``.

        ``reply(result, error)`` is called once then, mostly after a commit. Raises at once, without calling ``reply``,
        what the core refuses.
        """
        if self._driver is None:
            raise _not_running()
        return self._driver.command(self.identity, name, args, reply)

    def transactions(self, selection: Selection, reply: Answer) -> Any:
        """Read a page of the sessions: as :meth:`command`, with its JSON text as the answer (rpc.md)."""
        if self._store is None:
            raise _not_running()
        return self.command("list_transactions", (), partial(selection.read, self._store, self.identity, reply))

    @property
    def store_condition(self) -> str | None:
        """What an operator has to know of the store, such as that it was restored from a copy; ``None``: nothing."""
        return None if self._store is None else self._store.condition

    def controller_lost(self, number: int) -> None:
        """The connection of a controller is gone: it is asked no more, and its connectors are unattended."""
        self.clients.discard(number)
        if self._driver is not None:
            self._driver.controller_lost(self.identity, number)

    def attached(self) -> set[int]:
        """The numbers of the controllers that have connectors of this charge point; none while the hub is down."""
        return set() if self._driver is None else self.core.attached_controllers()

    def connector_texts(self, connectors: Iterable[int], size: int) -> Iterator[bytes]:
        """The states of connectors as JSON, ``size`` of them at a time, with commas between but no brackets."""
        part: list[Any] = []
        for connector_id in connectors:
            part.append(self.core.connector_state(connector_id))
            if len(part) == size:
                yield orjson.dumps(part)[1:-1]
                part = []
        if part:
            yield orjson.dumps(part)[1:-1]

    def snapshot(self, topic: str, connectors: ConnectorFilter | None) -> Any:
        """The state of a topic as of ``publications.seq``, JSON-ready; per connector it is an array.

        A connector that has published nothing since start is in the state that the core was restored with. Of
        ``connector.schedule`` it is the present schedules by connector, as ``charging_schedules`` has them.
        """
        if topic == "charge_point.status" and self._driver is not None:
            # Not what was published last: a change of the queue waits a while before it is.
            return self.core.state(self.now())
        if topic == "connector.schedule":
            return orjson.Fragment(self._schedules(connectors))
        if not TOPICS[topic].per_connector:
            return self.publications.snapshot(topic, connectors)
        states: list[Any] = []
        for connector_id in range(1, self.connector_count + 1):
            if connectors is None or connector_id in connectors:
                # Both topics carry the connector state whole: the younger of their events is how it stands.
                events = [self.publications.latest(each, connector_id) for each in _STATES]
                event = max((each for each in events if each), key=attrgetter("seq"), default=None)
                states.append(orjson.Fragment(event.value) if event else self.core.connector_state(connector_id))
        return states

    def publish_anew(self) -> None:
        """After a reset: whoever was told of a connector hears how it stands with the new core."""
        for connector_id in range(1, self.connector_count + 1):
            for topic in _STATES:
                if self.publications.latest(topic, connector_id) is not None:
                    state = orjson.dumps(self.core.connector_state(connector_id))
                    self.publications.publish(topic, state, connector_id)

    def _schedules(self, connectors: ConnectorFilter | None) -> bytes:
        publication = self.core.schedules.publication
        if connectors is not None and len(connectors) <= _FEW:
            return publication.texts([i for i in connectors if i <= self.connector_count], self.now())
        everything = publication.text(self.now())
        return everything if connectors is None else Schedules(everything).of(connectors)

    def attach(self, driver: Driver | None, store: Store | None = None) -> None:
        """The hub has started this charge point, or (``None``) stopped it."""
        self._driver, self._store = driver, store
        self.core = _DOWN if driver is None else driver.core(self.identity)
        if driver is None:
            states: tuple[Variable[Any], ...] = (self.is_connected, self.charging_schedules)
            for variable in (*states, self.configuration_key, self.security_events):
                variable.end()
            for future in tuple(self._waiting):
                if not future.done():
                    future.set_exception(UnavailableError("not_connected", "the hub has stopped"))
        for topic in sorted(self._wanted):
            self._want(topic, True)

    def _want(self, topic: str, wanted: bool) -> None:
        """Tell the core whether somebody listens to a topic that it publishes on demand."""
        if topic in _ON_DEMAND:
            (self._wanted.add if wanted else self._wanted.discard)(topic)
            if self._driver is not None:
                self._driver.apply(self.identity, lambda core, now: _ON_DEMAND[topic](core, wanted, now))

    async def _run(self, name: str, *args: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def reply(result: Any, error: Exception | None) -> None:
            # A caller that was cancelled has left; its command goes on, only the answer is dropped.
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        answer = self.command(name, args, reply)
        if answer is not None:
            return answer
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)


class Hub:
    """One process's charge points with their store and links. ``async with hub`` starts and stops it."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        link: Callable[[ChargePointSettings, Driver], Link] | None = None,
        clock: Callable[[], Instant] = system_instant,
        on_fatal: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``store`` and ``link`` replace SQLite and the WebSocket (tests); ``on_fatal`` hears of a failed commit."""
        self.settings = settings
        self._given_store = store
        self._store: Store | None = None
        self._link = link or self._websocket
        self._clock = clock
        self._on_fatal = on_fatal or partial(log.critical, "the store failed; stop the hub: %s")
        self._driver: Driver | None = None
        self._workshop: Workshop | None = None
        self._links: dict[str, Link] = {}
        self._resets: set[asyncio.Task[None]] = set()
        self._stops: list[Callable[[], None]] = []
        self.allocator: Allocator | None = None
        """What runs the allocation; ``None`` before the first start."""
        self._points = {row.identity: ChargePoint(row, clock) for row in settings.charge_points}

    @classmethod
    def from_file(cls, path: Path | str) -> Hub:
        """A hub of a ``hub.toml``. Raises ``ConfigError`` that lists everything wrong with it."""
        from ocpphub import config

        return cls(config.load(path, os.environ))

    @property
    def charge_points(self) -> Mapping[str, ChargePoint]:
        """Identity -> charge point, in the order of the file."""
        return MappingProxyType(self._points)

    @property
    def is_running(self) -> bool:
        """Whether :meth:`start` has finished and :meth:`stop` has not begun."""
        return self._driver is not None

    @property
    def driver(self) -> Driver | None:
        """What carries inputs into the cores; ``None`` while the hub is down."""
        return self._driver

    async def start(self) -> None:
        """Load the store, build cores and links, and let them run. Raises what the store or a core refuses."""
        if self._driver is not None:
            raise LocalError("invalid_state", "the hub is running already")
        store = self._given_store or wiring.open_store(self.settings)
        try:
            workshop = wiring.make_workshop(self.settings, self._points, keeps_files=self._given_store is None)
            driver = Driver(
                store,
                self._clock,
                on_publish=self._publish,
                on_ask=lambda identity, question, answer: self._points[identity].clients.ask(question, answer),
                outside=workshop,
                on_recreate=self._recreate,
                on_fatal=self._on_fatal,
                loop=asyncio.get_running_loop(),
            )
            self.allocator = wiring.make_allocator(self.settings, driver, self._clock)
            self._stops.append(self.allocator.close)
            rows = wiring.load_rows(store, self._points)
            for identity, point in self._points.items():
                point.files = wiring.read_files(point.settings)
                core = self._core(point, rows[identity])
                self._links[identity] = self._link(point.settings, driver)
                driver.add(core, self._links[identity])
        except BaseException:
            store.close()
            raise
        self._store, self._driver, self._workshop = store, driver, workshop
        for point in self._points.values():
            point.attach(driver, store)
        driver.start()
        store.watch(driver.store_short)

    async def stop(self) -> None:
        """Close the links and the store; no transaction ends, all state is committed (decisions.md 6)."""
        driver, self._driver = self._driver, None
        if driver is None or self._store is None:
            return
        try:
            await self._end_resets()
            # An order to connect may still wait for the disk: it must not come after the order to close.
            try:
                await driver.drained()
            finally:
                await self._close_links()
            await driver.drained()
            if self._workshop is not None:
                await self._workshop.close()
        finally:
            for point in self._points.values():
                point.attach(None)
            driver.close()
            self._store.close()
            self._store = None
            self._links = {}
            for stop in self._stops:
                stop()
            self._stops = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _close_links(self) -> None:
        for link in self._links.values():
            link.disconnect(1001, "", True)
        await wait_closed(*self._links.values())

    def _recreate(self, identity: str) -> None:
        reset = asyncio.get_running_loop().create_task(self._reset(identity), name=f"reset {identity}")
        self._resets.add(reset)
        reset.add_done_callback(self._resets.discard)

    async def _reset(self, identity: str) -> None:
        """Close the link of a charge point and go on with a core out of its stored rows (decisions.md 6)."""
        driver, store, point = self._driver, self._store, self._points[identity]
        if driver is None or store is None:
            return
        try:
            log.info("%s: reset", identity)
            link = self._links[identity]
            link.disconnect(1000, "reset", True)
            await wait_closed(link)
            # The core reads what it needs when it is made; other charge points go on while the rows are read.
            rows = await asyncio.to_thread(lambda: list(store.load(identity)))
            driver.replace(self._core(point, rows))
            point.attach(driver, store)
            driver.start(identity)
            point.publish_anew()
        except Exception as error:  # noqa: BLE001  # without a core nothing of this charge point works any more
            self._on_fatal(error)

    async def _end_resets(self) -> None:
        for reset in self._resets:
            reset.cancel()
        await asyncio.gather(*self._resets, return_exceptions=True)

    def _core(self, point: ChargePoint, rows: Iterable[Row]) -> Core:
        assert self.allocator is not None  # noqa: S101  # cores are made while the hub runs
        return wiring.make_core(point, self.settings, self.allocator.allocation, rows, self._clock())

    def _websocket(self, settings: ChargePointSettings, driver: Driver) -> Link:
        link, stop = wiring.make_link(settings, driver, self._points[settings.identity].publications)
        self._stops.append(stop)
        return link

    def _publish(self, identity: str, effect: Publish) -> None:
        self._points[identity].publications.publish(effect.topic, effect.value, effect.connector_id)


def _not_running() -> LocalError:
    return LocalError("invalid_state", "the hub is not running", hint="use it inside `async with hub`")


class _Down:
    """Stands for the core of a hub that does not run."""

    def __getattr__(self, name: str) -> Any:
        raise _not_running()


_DOWN: Final = cast("Core", _Down())


async def _whole(texts: Iterator[bytes]) -> Any:
    """What texts are together, a turn of the loop for each."""
    whole = bytearray()
    for text in texts:
        whole += text
        await asyncio.sleep(0)
    return orjson.loads(whole)
