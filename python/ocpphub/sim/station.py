"""A simulated controller with its connectors: one connection to the hub, on which it speaks nothing but rpc.md.

Owns the connection, the passing of time, and the reports. Must never know more of the hub than its socket tells.

Plays the controller's side of design rpc.md "Controllers" and decisions.md 4 and 5 (levels, permits, lease).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from ocpphub.errors import LocalError, OcpphubError, UnavailableError
from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.evse import Evse, Wiring
from ocpphub.sim.vehicle import MODELS, Model, Vehicle

TOPICS: Final = ("connector.status", "connector.permit")
MAX_ROWS: Final = 1_000
"""Of one ``connector.report_many`` (rpc.md "Limits")."""
_REGISTER: Final = re.compile(r"(\d+) to \d+")

Hear = Callable[[int, str, dict[str, Any]], None]
"""``hear(connector_id, event, details)``: something has happened at a connector."""


def _unheard(connector_id: int, event: str, details: dict[str, Any]) -> None:
    """Nobody listens."""


class Station:
    """Controls ``connectors`` (an id, a list of ids, or a text such as ``"1-40"``) of the hub at ``path``.

    ``async with Station(path, "1-4") as station: await station.plug(1); await station.tag(1, "TAG1")``. Vehicles charge
    by themselves; every ``report_s`` seconds what has changed is reported. A lost connection is made again, and
    everything is reported then. ``time_lapse`` shrinks the batteries of vehicles (:class:`Vehicle`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        connectors: int | list[int] | str,
        *,
        charge_point: str | None = None,
        wiring: Wiring | None = None,
        report_s: float = 1.0,
        time_lapse: float = 1.0,
        hear: Hear = _unheard,
    ) -> None:
        self.evses: dict[int, Evse] = {}
        self.problems: list[OcpphubError] = []
        self.time_lapse = time_lapse
        self._connectors = connectors
        self._wiring = wiring
        self._report_s = report_s
        self._hear = hear
        self._where = {} if charge_point is None else {"charge_point": charge_point}
        self._path = path
        self._client: AsyncClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._attaching = asyncio.Lock()
        self._attachments = 0
        self._lease_ends_s: float | None = None
        self._has_lease = True
        self._unreported: set[int] = set()
        self._changed = asyncio.Event()

    # Life

    async def start(self) -> None:
        """Attach, report everything, and let time pass. Raises :class:`OcpphubError` when the hub does not want it."""
        await self._end_tasks()
        await self._connect()
        self._tasks.append(asyncio.create_task(self._run(), name="simulated station"))

    async def stop(self) -> None:
        """Let go of the connectors and close the connection; vehicles stay where they are."""
        await self._end_tasks()
        if self._client is not None:
            with contextlib.suppress(OcpphubError):
                await self._client.call("controller.detach", **self._where)
        await self._disconnect()

    async def die(self) -> None:
        """The program is gone, as by ``kill -9``: its connection breaks, nobody hears the hub or reports any more.

        Its connectors go on with the permits that they have until the lease has run out, and fall back then: the most
        that a hub has to reckon with. :meth:`start` is the program that comes back.
        """
        await self._end_tasks()
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        self._tasks.append(asyncio.create_task(self._outlive_the_lease(), name="simulated station without a program"))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _end_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_connected(self) -> bool:
        """Whether the hub hears it."""
        return self._client is not None

    # What people and vehicles do

    async def plug(self, connector_id: int, model: Model = MODELS[2], state_of_charge: float = 0.3) -> Vehicle:
        """Plug a vehicle in. Raises ``ValueError`` where one is already."""
        vehicle = Vehicle(model, state_of_charge, time_lapse=self.time_lapse)
        evse = self._now(connector_id)
        evse.plug(vehicle)
        self._hear(connector_id, "plug", {"vehicle": model.name, "state_of_charge": state_of_charge})
        await self.report(connector_id)
        return vehicle

    async def unplug(self, connector_id: int) -> Vehicle:
        """Pull the cable; the vehicle that leaves. Raises ``ValueError`` where there is none."""
        vehicle = self._now(connector_id).unplug()
        self._hear(connector_id, "unplug", {"state_of_charge": round(vehicle.state_of_charge, 3)})
        await self.report(connector_id)
        return vehicle

    async def tag(self, connector_id: int, id_tag: str) -> str:
        """Show a tag to the reader of a connector; the AuthorizationStatus that was answered.

        Raises :class:`OcpphubError` as ``connector.authorize`` does.
        """
        self._hear(connector_id, "tag", {"id_tag": id_tag})
        await self._report_register(connector_id)
        answer = await self.ask("connector.authorize", connector_id=connector_id, id_tag=id_tag)
        self._hear(connector_id, "answer", {"id_tag": id_tag, "status": answer["status"]})
        return str(answer["status"])

    async def press_stop(self, connector_id: int) -> None:
        """Press the stop button. Raises :class:`OcpphubError` as ``connector.stop_transaction`` does."""
        self._hear(connector_id, "button", {})
        await self._report_register(connector_id)
        self._take(await self.ask("connector.stop_transaction", connector_id=connector_id))

    async def pause(self, connector_id: int, *, is_paused: bool = True) -> None:
        """The vehicle wants no energy for now, or again."""
        vehicle = self._now(connector_id).vehicle
        if vehicle is None:
            raise ValueError(f"nothing is plugged in at connector {connector_id}")
        vehicle.is_paused = is_paused
        self._hear(connector_id, "pause" if is_paused else "resume", {})
        await self.report(connector_id)

    async def fault(self, connector_id: int, error_code: str = "GroundFailure", *, inoperative: bool = True) -> None:
        """An error begins."""
        self._now(connector_id).fault(error_code, inoperative=inoperative)
        self._hear(connector_id, "fault", {"error_code": error_code})
        await self.report(connector_id)

    async def repair(self, connector_id: int) -> None:
        """All errors of a connector are over."""
        self._now(connector_id).repair()
        self._hear(connector_id, "repair", {})
        await self.report(connector_id)

    async def until(self, connector_id: int, condition: Callable[[Evse], bool], timeout_s: float = 10.0) -> bool:
        """Wait until a connector is as wanted; looked at with each report and answer. False after ``timeout_s``."""
        evse = self.evses[connector_id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition(evse):
                    self._changed.clear()
                    await self._changed.wait()
        return condition(evse)

    async def ask(self, method: str, **params: Any) -> Any:
        """Any method of the hub, on the station's connection. Raises :class:`OcpphubError` as the hub answers."""
        return await self._call(method, lambda: params)

    # Reports

    async def report(self, connector_id: int) -> None:
        """Report all levels of a connector now; without a connection the next one will report them."""
        self._unreported.add(connector_id)
        with contextlib.suppress(UnavailableError):
            self._take(await self._call("connector.report", lambda: self._levels(connector_id)))
            self._unreported.discard(connector_id)

    async def _report_register(self, connector_id: int) -> None:
        """The register goes first, so that a session that ends now ends with it."""
        if self.evses[connector_id].transaction is not None:
            await self.report(connector_id)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._report_s)
            self._check_lease()
            try:
                if self._client is None:
                    await self._connect()
                await self._report_many()
            except UnavailableError as error:
                # Anything else is over soon, and the next round tells everything again.
                if error.code == "not_connected":
                    await self._disconnect()
            except OcpphubError as error:
                self._complain(error)
            self._changed.set()

    async def _report_many(self) -> None:
        """Report every connector with a vehicle, and those whose last report did not arrive."""
        wanted = [each for each, evse in self.evses.items() if evse.vehicle is not None or each in self._unreported]
        for start in range(0, len(wanted), MAX_ROWS):
            part = wanted[start : start + MAX_ROWS]
            attachment = self._attachments
            answer = await self.ask("connector.report_many", reports=[self._levels(each) for each in part])
            self._unreported.difference_update(part)
            for state in answer["changed"]:
                self._take(state)
            for row in answer["errors"]:
                await self._refused(part[row["index"]], row["error"], attachment)

    async def _refused(self, connector_id: int, error: dict[str, Any], attachment: int) -> None:
        """A row was refused. One that is not ours any more is attached again, with everything else."""
        data = error.get("data", {})
        if data.get("code") == "not_attached":
            await self._attach(attachment)
        else:
            self._complain(LocalError(data.get("code", "internal"), f"connector {connector_id}: {error['message']}"))

    def _levels(self, connector_id: int) -> dict[str, Any]:
        """A whole report of a connector, as of now."""
        evse = self._now(connector_id)
        return {**evse.levels(), "measurements": evse.measurements()}

    async def _call(self, method: str, params: Callable[[], dict[str, Any]]) -> Any:
        """A call. Where the hub has forgotten us (Reset), attach and try once more with what holds then."""
        if self._client is None:
            raise UnavailableError("not_connected", "the station has no connection to the hub")
        attachment = self._attachments
        try:
            return await self._client.call(method, **self._where, **params())
        except LocalError as error:
            if error.code != "not_attached":
                raise
        await self._attach(attachment)
        return await self._client.call(method, **self._where, **params())

    # The connection

    async def _connect(self) -> None:
        client = AsyncClient(self._path, on_request=self._serve)
        await client.connect()
        self._client = client
        self._lease_ends_s, self._has_lease = None, True
        try:
            await self._attach(self._attachments)
            await self._watch(client)
        except OcpphubError:
            await self._disconnect()
            raise

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        for connector_id in self.evses:
            self._now(connector_id).lose_the_hub()
        if client is not None:
            await client.close()

    async def _attach(self, attachment: int) -> None:
        """Attach and report everything, unless somebody did since the attachment that was found to be over."""
        async with self._attaching:
            client = self._client
            if client is None:
                raise UnavailableError("not_connected", "the station has no connection to the hub")
            if attachment != self._attachments:
                return
            # Our own old connection may still be there after the first time; somebody else's is not ours to take.
            mine = {"connectors": self._connectors, "takeover": self._attachments > 0}
            answer = await client.call("controller.attach", **mine, **self._where)
            for state in answer["connectors"]:
                evse = self.evses.setdefault(state["connector_id"], Evse(state["connector_id"], self._wiring))
                self._take(state, is_new=True)
                self._take(await self._first_report(client, evse))
            self._attachments += 1

    async def _first_report(self, client: AsyncClient, evse: Evse) -> dict[str, Any]:
        try:
            return dict(await client.call("connector.report", **evse.levels(), **self._where))
        except LocalError as error:
            known = _REGISTER.match(error.hint) if error.path == "/params/energy_wh" else None
            if known is None:
                raise
        # The hub knows this meter from an earlier run; a simulated one can take up where that ended.
        evse.set_register(int(known[1]))
        return dict(await client.call("connector.report", **evse.levels(), **self._where))

    async def _watch(self, client: AsyncClient) -> None:
        events = await client.subscribe(list(TOPICS), connectors=sorted(self.evses), **self._where)
        # What changed between a connector's first report and the subscription was published to nobody.
        for state in events.snapshot.get("connector.permit", ()):
            self._take(state)

        async def follow() -> None:
            async for event in events:
                self._take(event["value"])

        task = asyncio.create_task(follow(), name="simulated station's events")
        self._tasks.append(task)
        task.add_done_callback(lambda done: self._tasks.remove(done) if done in self._tasks else None)

    def _serve(self, method: str, params: dict[str, Any]) -> Any:
        """What the hub asks of its controllers."""
        if method == "lease":
            self._renew_lease(params["valid_for_s"])
            return None
        if method == "connector.unlock":
            evse = self.evses[params["connector_id"]]
            self._hear(evse.connector_id, "unlock", {"status": evse.unlock_status})
            return {"status": evse.unlock_status}
        if method == "charge_point.reset":
            self._hear(0, "reset", {"type": params["type"]})
            return {"accepted": True}
        raise LocalError("method_not_found", f"a simulated station does not serve {method}", path="/method")

    # Time and states

    def _now(self, connector_id: int) -> Evse:
        """A connector as it is at this moment."""
        evse = self.evses[connector_id]
        evse.pass_time(asyncio.get_running_loop().time())
        return evse

    async def _outlive_the_lease(self) -> None:
        """Nobody renews it any more."""
        if self._lease_ends_s is not None:
            await asyncio.sleep(max(0.0, self._lease_ends_s - asyncio.get_running_loop().time()))
        self._fall_back()

    def _check_lease(self) -> None:
        ends_s = self._lease_ends_s
        if self._has_lease and ends_s is not None and asyncio.get_running_loop().time() > ends_s:
            self._fall_back()

    def _fall_back(self) -> None:
        self._has_lease = False
        for connector_id in self.evses:
            self._now(connector_id).lose_the_hub()

    def _renew_lease(self, valid_for_s: float) -> None:
        self._lease_ends_s = asyncio.get_running_loop().time() + valid_for_s
        if not self._has_lease:
            self._has_lease = True
            for connector_id in self.evses:
                self._now(connector_id).find_the_hub()

    def _take(self, state: dict[str, Any], *, is_new: bool = False) -> None:
        """The hub's state of a connector: obey the permit; tell of a transaction that began or ended."""
        if state["connector_id"] not in self.evses:
            return
        evse = self._now(state["connector_id"])
        before, status = evse.transaction, evse.state.get("status")
        evse.take(state, is_new=is_new)
        self._changed.set()
        after = evse.transaction
        if before is not None and (after is None or after["session_id"] != before["session_id"]):
            energy_wh = evse.register_wh - before["meter_start_wh"]
            self._hear(evse.connector_id, "stop", {"session_id": before["session_id"], "energy_wh": energy_wh})
        if after is not None and (before is None or after["session_id"] != before["session_id"]):
            self._hear(evse.connector_id, "start", {"session_id": after["session_id"], "id_tag": after["id_tag"]})
        if state["status"] != status:
            self._hear(evse.connector_id, "status", {"status": state["status"]})

    def _complain(self, error: OcpphubError) -> None:
        self.problems.append(error)
        self._hear(0, "refused", {"error": str(error)})
