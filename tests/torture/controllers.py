"""Two hundred connectors under load: they plug, charge, stop and unplug, and note what the hub acknowledges.

Owns the world (what is plugged where, what each meter reads), the choice of what happens next out of a seed, and the
notes in the :class:`~tests.torture.ledger.Ledger`. The world outlives the hub: after a kill it is reported as it is; a
command without an answer is neither noted nor repeated.

Odd connectors have free vending, so that a plug starts a transaction; at even ones a tag that is used once does.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final

from ocpphub.errors import LocalError, UnavailableError
from ocpphub.rpc.client import AsyncClient
from tests.torture.ledger import Asked, Due, Ledger, Started, Stopped, now_ms

FREE: Final = "FREE"
INTERVAL_S: Final = 1
"""MeterValueSampleInterval."""
WH_PER_S: Final = 3.0
"""Below what the meter guard believes, at any number of reports."""
ALL_REPORT_S: Final = 0.35
BORDER_MS: Final = 20.0
"""How well times of hub and controllers agree."""


@dataclass(slots=True)
class Outlet:
    """One connector of the world, and what is known of its transaction."""

    connector_id: int
    plug_id: int = 0
    plugged_s: float | None = None
    base_wh: int = 0
    session_id: int | None = None
    start_ms: float = 0.0
    is_stopped: bool = False
    """Whether somebody has ended the transaction of this plug-in: it may get a new one when the hub starts again."""
    busy: bool = False
    acked_wh: int | None = None
    """The last register that this process of the hub has acknowledged."""
    known_ms: float | None = None
    """Since when this process of the hub knows of the transaction."""
    reported_ms: float = 0.0
    """When the last report was sent."""

    @property
    def is_free(self) -> bool:
        """Whether a plug is enough."""
        return self.connector_id % 2 == 1

    def register(self) -> int:
        """The meter."""
        return self.base_wh + (0 if self.plugged_s is None else int((time.monotonic() - self.plugged_s) * WH_PER_S))

    def plug(self, plug_id: int) -> None:
        """Another vehicle; whatever was plugged before is gone."""
        self.unplug()
        self.plug_id, self.plugged_s = plug_id, time.monotonic()

    def unplug(self) -> None:
        """The cable is out."""
        self.base_wh, self.plugged_s = self.register(), None
        self.is_stopped = False

    def levels(self) -> dict[str, Any]:
        """The whole report."""
        plugged = self.plugged_s is not None
        report = {"plugged": plugged, "ev_ready": plugged, "evse_ready": True, "energy_wh": self.register()}
        return {"connector_id": self.connector_id, **report, **({"plug_id": self.plug_id} if plugged else {})}


class Controllers:
    """Everything that happens at one hub; :meth:`live` is one life of its process."""

    def __init__(self, path: Path, connectors: int, seed: int, *, workers: int = 8, pause_s: float = 0.05) -> None:
        self.ledger = Ledger()
        self.outlets = [Outlet(number) for number in range(1, connectors + 1)]
        self._path = path
        self._random = Random(seed)  # noqa: S311  # repeatable on purpose
        self._workers, self._pause_s = workers, pause_s
        self._plugs = self._tags = self._lives = 0
        self._counter: int | None = None
        self._counter_asked = 0
        self._client: AsyncClient | None = None

    async def live(self, ready: asyncio.Event | None = None) -> None:
        """Attach, report the world, and go on until the hub is gone. Raises for answers that are errors."""
        for outlet in self.outlets:
            outlet.known_ms, outlet.acked_wh, outlet.busy = None, None, False
        self._lives += 1
        with contextlib.suppress(UnavailableError):
            async with AsyncClient(self._path, on_request=lambda method, params: None) as client:
                self._client = client
                await self.begin()
                if ready is not None:
                    ready.set()
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(self._workers):
                            group.create_task(self._work())
                        group.create_task(self._report_all())
                        group.create_task(self._note_other_things())
                except* UnavailableError:
                    pass

    async def begin(self) -> None:
        """Take the connectors and tell their levels."""
        await self._call("controller.attach", connectors=f"1-{len(self.outlets)}", takeover=True)
        reports = [outlet.levels() for outlet in self.outlets]
        sent_ms = now_ms()
        answer = await self._call("connector.report_many", reports=reports)
        asked = Asked(sent_ms, now_ms())
        if answer["errors"]:
            self.ledger.problems.append(f"levels after a restart are refused: {answer['errors'][:3]}")
        # What nobody has changed since the process began has come from the disk, so it was durable before.
        states = await self._call("connector.list")
        for outlet, report, state in zip(self.outlets, reports, states, strict=True):
            outlet.acked_wh, outlet.reported_ms = report["energy_wh"], sent_ms
            self._follow(outlet, state, asked, low_wh=0, high_wh=report["energy_wh"], reason=None)
            if outlet.session_id is not None:
                outlet.known_ms = asked.acked_ms

    async def settle(self) -> None:
        """Unplug everything, one after the other: what is left then has to be told to the CSMS."""
        async with AsyncClient(self._path, on_request=lambda method, params: None) as client:
            self._client = client
            for outlet in self.outlets:
                outlet.known_ms, outlet.acked_wh, outlet.busy = None, None, False
            await self.begin()
            for outlet in self.outlets:
                if outlet.plugged_s is not None:
                    await self._unplug(outlet)

    # What happens

    async def _work(self) -> None:
        while True:
            outlet = self._random.choice(self.outlets)
            if not outlet.busy:
                outlet.busy = True
                try:
                    await self._happen(outlet)
                except LocalError as error:
                    self.ledger.problems.append(f"connector {outlet.connector_id}: {error}")
                outlet.busy = False
            await asyncio.sleep(self._random.random() * 2 * self._pause_s)

    async def _happen(self, outlet: Outlet) -> None:
        if outlet.plugged_s is None:
            await self._plug(outlet)
        elif outlet.session_id is None:
            # Free vending has begun and ended it, or the tag of the vehicle has not been shown.
            await (self._unplug(outlet) if outlet.is_free or outlet.is_stopped else self._tag(outlet))
        else:
            chance = self._random.random()
            if chance < 0.5:
                await self._report(outlet)
            elif chance < 0.75:
                await self._unplug(outlet)
            elif chance < 0.9:
                await self._plug(outlet)  # another vehicle: the transaction before it is over
            else:
                await self._stop(outlet)

    async def _plug(self, outlet: Outlet) -> None:
        low_wh = outlet.acked_wh or 0
        self._plugs += 1
        outlet.plug(self._plugs)
        state, asked, wh = await self._send(outlet)
        self._follow(outlet, state, asked, low_wh=low_wh, high_wh=wh, reason="EVDisconnected")
        if outlet.is_free and state["transaction"] is None:
            self.ledger.problems.append(f"connector {outlet.connector_id}: a plug did not start a transaction")
        if not outlet.is_free:
            await self._tag(outlet)

    async def _tag(self, outlet: Outlet) -> None:
        self._tags += 1
        id_tag = f"T{self._tags}"
        sent_ms = now_ms()
        answer = await self._call("connector.authorize", connector_id=outlet.connector_id, id_tag=id_tag)
        asked = Asked(sent_ms, now_ms())
        if answer["status"] == "Accepted":
            self.ledger.started.append(Started(asked, outlet.connector_id, id_tag, True))
        else:
            self.ledger.problems.append(f"{id_tag} was answered {answer}")
        await self._report(outlet)

    async def _unplug(self, outlet: Outlet) -> None:
        outlet.unplug()
        low_wh = outlet.acked_wh or 0
        state, asked, wh = await self._send(outlet)
        self._follow(outlet, state, asked, low_wh=low_wh, high_wh=wh, reason="EVDisconnected")
        if state["transaction"] is not None:
            self.ledger.problems.append(f"connector {outlet.connector_id}: unplugged, and its transaction goes on")

    async def _stop(self, outlet: Outlet) -> None:
        low_wh = outlet.acked_wh or 0
        sent_ms = now_ms()
        outlet.is_stopped = True
        state = await self._call("connector.stop_transaction", connector_id=outlet.connector_id)
        asked = Asked(sent_ms, now_ms())
        self._follow(outlet, state, asked, low_wh=low_wh, high_wh=outlet.register(), reason="Local")

    async def _report(self, outlet: Outlet) -> None:
        before_ms = outlet.reported_ms
        state, asked, wh = await self._send(outlet)
        self._follow(outlet, state, asked, low_wh=0, high_wh=wh, reason=None)
        self._note_due(outlet, asked, before_ms, wh)

    async def _report_all(self) -> None:
        while True:
            await asyncio.sleep(ALL_REPORT_S)
            told = [outlet for outlet in self.outlets if outlet.session_id is not None and not outlet.busy]
            for outlet in told:
                outlet.busy = True
            before_ms = [outlet.reported_ms for outlet in told]
            sent_ms = now_ms()
            rows = [[outlet.connector_id, outlet.register()] for outlet in told]
            for outlet in told:
                outlet.reported_ms = sent_ms
            answer = await self._call("connector.report_many", columns=["connector_id", "energy_wh"], rows=rows)
            asked = Asked(sent_ms, now_ms())
            if answer["errors"]:
                self.ledger.problems.append(f"registers are refused: {answer['errors'][:3]}")
            for outlet, reported_ms, row in zip(told, before_ms, rows, strict=True):
                outlet.acked_wh, outlet.busy = row[1], False
                self._note_due(outlet, asked, reported_ms, row[1])

    async def _note_other_things(self) -> None:
        """A security event, and a custom key that has to have the value that was acknowledged last."""
        keys = await self._call("get_configuration_key", keys=["Counter"])
        value = int(keys["configuration_keys"][0]["value"])
        if self._counter is not None and value not in range(self._counter, self._counter_asked + 1):
            self.ledger.problems.append(f"the custom key is {value}, acknowledged was {self._counter}")
        while True:
            info = f"{self._lives}/{self._counter_asked}"
            await self._call("security_event", type="Torture", info=info)
            self.ledger.security_events.append(info)
            self._counter_asked += 1
            await self._call("set_custom_configuration_key", key="Counter", value=str(self._counter_asked))
            self._counter = self._counter_asked
            await asyncio.sleep(1.1)

    # Notes

    async def _call(self, method: str, **params: Any) -> Any:
        assert self._client is not None
        return await self._client.call(method, **params)

    async def _send(self, outlet: Outlet) -> tuple[dict[str, Any], Asked, int]:
        levels = outlet.levels()
        outlet.reported_ms = sent_ms = now_ms()
        state = await self._call("connector.report", **levels)
        outlet.acked_wh = levels["energy_wh"]
        return state, Asked(sent_ms, now_ms()), levels["energy_wh"]

    def _follow(
        self, outlet: Outlet, state: dict[str, Any], asked: Asked, *, low_wh: int, high_wh: int, reason: str | None
    ) -> None:
        """Note what an answer says of the transaction that it has begun or ended."""
        transaction = state["transaction"]
        session_id = None if transaction is None else transaction["session_id"]
        if session_id == outlet.session_id:
            return
        if outlet.session_id is not None:
            self.ledger.stopped.append(Stopped(asked, outlet.session_id, low_wh, high_wh, reason))
        outlet.session_id = session_id
        outlet.known_ms = None
        if transaction is not None:
            words = (transaction["id_tag"], reason is not None, session_id, transaction["start"])
            self.ledger.started.append(Started(asked, outlet.connector_id, *words, transaction["meter_start_wh"]))
            outlet.start_ms = datetime.fromisoformat(transaction["start"]).timestamp() * 1000
            outlet.known_ms = asked.acked_ms

    def _note_due(self, outlet: Outlet, asked: Asked, before_ms: float, wh: int) -> None:
        """Whether it was this report that made a sample due, and no report or timer (half an interval later) before."""
        if outlet.session_id is None or outlet.known_ms is None:
            return
        interval_ms = INTERVAL_S * 1000
        due_ms = outlet.start_ms + (asked.sent_ms - BORDER_MS - outlet.start_ms) // interval_ms * interval_ms
        is_first = max(before_ms, outlet.known_ms) + BORDER_MS < due_ms
        if is_first and due_ms > outlet.start_ms and asked.acked_ms + BORDER_MS < due_ms + interval_ms / 2:
            self.ledger.due.append(Due(asked, outlet.session_id, wh))
