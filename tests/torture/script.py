"""A short story of two connectors on the real store, told line by line: it may be broken off at any system call.

Owns one life of a hub inside this process: the product's ``Hub`` with SQLite, a CSMS that answers inside the process,
and a clock that is moved by hand. What was acknowledged and what was sent is written to a pipe at once, as JSON lines:
a process that is killed has told everything that it had let go of.

``{"world": {...}}`` before each command, ``{"sent": frame, "given": id}``, ``{"started": {...}}``,
``{"stopped": {...}}``, ``{"due": {...}}``, ``{"security": info}``, ``{"key": value}``; of a life that takes up also
``{"found_key": value}`` and ``{"records": [...]}``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from ocpphub import config
from ocpphub.api import Hub
from ocpphub.config import ChargePointSettings
from ocpphub.core.controllers import Controller
from ocpphub.core.instant import Instant
from ocpphub.driver import Driver
from ocpphub.records import Selection
from ocpphub.store.archive import connect
from ocpphub.store.directory import FILE_NAME
from ocpphub.store.space import Space
from ocpphub.store.sqlite import SqliteStore
from tests.torture.child import EarlyStore
from tests.torture.hub_process import HEAD, Site, toml
from tests.torture.ledger import Asked, Due, Started, Stopped

INTERVAL_S: Final = 60
ME: Final = Controller(1, "torture", True)
ALL: Final = (1, 2)
WAIT_S: Final = 20.0
_SITE: Final = Site(
    "ws://127.0.0.1:1/ocpp",
    connectors=len(ALL),
    hub={"publish_interval_s": 0},
    configuration={"MeterValueSampleInterval": INTERVAL_S, "StopTxnSampledData": "Energy.Active.Import.Register"},
    more="""
[charge_point.custom_keys.Counter]
value = "0"
type = "integer"
[[charge_point.connector]]
ids = "1"
free_vend_id_tag = "FREE"
""",
)


class InnerCsms:
    """A link that is up at once, and behind it a CSMS that answers everything in the next turn of the loop."""

    def __init__(self, driver: Driver, story: Story) -> None:
        self._driver, self._story = driver, story
        self._loop = asyncio.get_running_loop()

    def connect(self, headers: dict[str, str]) -> None:
        self._loop.call_soon(self._driver.connected, "CP1")

    def disconnect(self, code: int, reason: str, stay_closed: bool) -> None:
        self._driver.disconnected("CP1")

    def send(self, frame: bytes) -> None:
        kind, unique_id, *rest = orjson.loads(frame)
        if kind != 2:
            return
        given = self._story.next_id if rest[0] == "StartTransaction" else None
        self._story.tell(sent=frame.decode(), given=given)
        payload: dict[str, Any] = {}
        if rest[0] == "BootNotification":
            payload = {"status": "Accepted", "interval": 300, "currentTime": self._story.now_text()}
        elif rest[0] == "Authorize":
            payload = {"idTagInfo": {"status": "Accepted"}}
        elif given is not None:
            self._story.next_id += 1
            payload = {"transactionId": given, "idTagInfo": {"status": "Accepted"}}
        answer = orjson.dumps([3, unique_id, payload])
        self._loop.call_soon(self._driver.receive, "CP1", answer, False)

    def set_ping_interval(self, interval_s: int) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    async def wait_closed(self) -> None: ...


class Story:
    """One life: told from its beginning with :meth:`tell_whole`, or taken up after a kill with :meth:`take_up`."""

    def __init__(
        self,
        directory: Path,
        pipe: int,
        *,
        first_id: int = 1,
        world: dict[str, Any] | None = None,
        early_answers: bool = False,
    ) -> None:
        self.next_id = first_id
        self._store_class = EarlyStore if early_answers else SqliteStore
        self._directory, self._pipe = directory, pipe
        self._world: dict[int, dict[str, Any]] = {each: _free(each) for each in ALL}
        self._ahead_s = 0.0
        if world is not None:
            self._world |= {int(each): levels for each, levels in world["levels"].items()}
            self._ahead_s = world["ahead_s"]
        self._sessions: dict[int, int | None] = dict.fromkeys(ALL)
        self._store: SqliteStore

    # What is told

    def tell(self, **line: Any) -> None:
        """One line, in the pipe before anything follows."""
        os.write(self._pipe, orjson.dumps(line) + b"\n")

    def now_text(self) -> str:
        """The time of the CSMS."""
        moment = time.gmtime(time.time() + self._ahead_s)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)

    def _instant(self) -> Instant:
        return Instant(time.monotonic() + self._ahead_s, round((time.time() + self._ahead_s) * 1000))

    # The two lives

    async def tell_whole(self) -> None:
        """The reference script: two starts, samples, another vehicle, a stop, an event, a key, and the end."""
        async with self._hub() as hub:
            await self._begin(hub)
            await self._report(hub, 1, plugged=True, plug_id=1, ev_ready=True)
            await self._report(hub, 2, plugged=True, plug_id=2, ev_ready=True)
            await self._tag(hub, 2, "T1")
            self._ahead_s += INTERVAL_S + 1
            await self._report(hub, 1, energy_wh=150)
            await self._report(hub, 2, energy_wh=40)
            await self._delivered(hub)
            await self._report(hub, 1, plugged=True, plug_id=3)
            await self._command(hub, "set_custom_configuration_key", "Counter", "7")
            self.tell(key="7")
            await self._stop(hub, 2)
            await asyncio.to_thread(self._copy)
            await self._command(hub, "security_event", "Torture", "1")
            self.tell(security="1")
            await self._report(hub, 1, plugged=False, ev_ready=False, energy_wh=190)
            await self._delivered(hub)

    async def take_up(self) -> None:
        """After a kill: report the world as it is, let everybody leave, deliver, and list the sessions."""
        async with self._hub() as hub:
            await self._begin(hub)
            for connector_id in ALL:
                await self._report(hub, connector_id, plugged=False, ev_ready=False)
            await self._delivered(hub)
            point = hub.charge_points["CP1"]
            keys = await point.get_configuration_key(["Counter"])
            self.tell(found_key=keys["configuration_keys"][0]["value"])
            listed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            point.transactions(Selection(), lambda result, error: listed.set_result((result, error)))
            page, error = await listed
            assert error is None, error
            self.tell(records=orjson.loads(orjson.dumps(page))["transactions"])

    def _hub(self) -> Hub:
        file = self._directory / "hub.toml"
        if not file.exists():
            state = self._directory / "state"
            words = {"socket": self._directory / "s", "state": state, "hub": toml(_SITE.hub), "identity": "CP1"}
            tables = {"link": "", "configuration": toml(_SITE.configuration), "more": _SITE.more}
            file.write_text(HEAD.format(**words, **tables, csms_url=_SITE.csms_url, connectors=_SITE.connectors))
        settings = config.load(file, {})
        directory = settings.hub.state_directory
        directory.mkdir(mode=0o700, exist_ok=True)

        def link(settings: ChargePointSettings, driver: Driver) -> InnerCsms:
            return InnerCsms(driver, self)

        self._store = self._store_class(directory, space=Space(directory, reserve_bytes=65_536))
        return Hub(settings, store=self._store, link=link, clock=self._instant)

    def _copy(self) -> None:
        """The hourly copy, now."""
        with closing(connect(self._directory / "state" / FILE_NAME)) as connection:
            assert self._store._upkeep.copy(connection)

    # Commands

    async def _command(self, hub: Hub, name: str, *args: Any) -> Any:
        self.tell(
            world={"levels": {str(each): levels for each, levels in self._world.items()}, "ahead_s": self._ahead_s}
        )
        async with asyncio.timeout(WAIT_S):
            return await hub.charge_points["CP1"]._run(name, *args)

    async def _begin(self, hub: Hub) -> None:
        await self._until(hub, lambda state: state["registration"] == "Accepted")
        await self._command(hub, "attach", ME, ALL, True)
        for connector_id in ALL:
            await self._report(hub, connector_id)

    async def _report(self, hub: Hub, connector_id: int, **levels: Any) -> None:
        outlet = self._world[connector_id]
        reason = None if "plugged" not in levels else "EVDisconnected"
        if "energy_wh" in levels:
            outlet["energy_wh"] = levels.pop("energy_wh")
        outlet.update(levels)
        if not outlet["plugged"]:
            outlet.pop("plug_id", None)
        sent_ms = self._instant().utc_ms
        state = await self._command(hub, "report", ME, {"connector_id": connector_id, **outlet})
        asked = Asked(sent_ms, self._instant().utc_ms)
        before = self._sessions[connector_id]
        self._follow(connector_id, state, asked, reason)
        if not levels and before is not None and self._ahead_s:
            self.tell(due=asdict(Due(asked, before, outlet["energy_wh"])))

    async def _tag(self, hub: Hub, connector_id: int, id_tag: str) -> None:
        sent_ms = self._instant().utc_ms
        answer = await self._command(hub, "authorize", ME, id_tag, connector_id)
        assert answer["status"] == "Accepted", answer
        self.tell(started=asdict(Started(Asked(sent_ms, self._instant().utc_ms), connector_id, id_tag, True)))
        await self._report(hub, connector_id)

    async def _stop(self, hub: Hub, connector_id: int) -> None:
        sent_ms = self._instant().utc_ms
        state = await self._command(hub, "stop_transaction", ME, connector_id, None, None)
        self._follow(connector_id, state, Asked(sent_ms, self._instant().utc_ms), "Local")

    def _follow(self, connector_id: int, state: dict[str, Any], asked: Asked, reason: str | None) -> None:
        transaction = state["transaction"]
        session_id = None if transaction is None else transaction["session_id"]
        before, self._sessions[connector_id] = self._sessions[connector_id], session_id
        if session_id == before:
            return
        if before is not None:
            wh = self._world[connector_id]["energy_wh"]
            self.tell(stopped=asdict(Stopped(asked, before, 0, wh, reason)))
        if transaction is not None:
            words = (transaction["id_tag"], reason is not None, session_id, transaction["start"])
            self.tell(started=asdict(Started(asked, connector_id, *words, transaction["meter_start_wh"])))

    async def _delivered(self, hub: Hub) -> None:
        await self._until(hub, lambda state: state["queue"]["messages"] == 0)

    async def _until(self, hub: Hub, condition: Callable[[dict[str, Any]], bool]) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not condition(state := hub.charge_points["CP1"].core.state(self._instant())):
            if time.monotonic() > deadline_s:
                raise TimeoutError(str(state))
            await asyncio.sleep(0.001)


def _free(connector_id: int) -> dict[str, Any]:
    return {"plugged": False, "ev_ready": False, "evse_ready": True, "energy_wh": 0}
