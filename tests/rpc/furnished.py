"""A hub in which every method has something to work on, and what its state is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ocpphub.config import Role
from ocpphub.core.diagnostics import Job
from ocpphub.core.instant import Instant
from ocpphub.core.maintenance import Retries
from ocpphub.rpc.methods import discover
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import OTHER_UID, ClientDouble, HubBench, rpc_settings, running_hub, serve, turns
from tests.rpc.schema_values import Schemas

POINT = builders.settings(custom_keys=(builders.custom_key("Tariff", "day"),))
"""Three connectors and a custom key."""
DOCUMENT = discover()
DESCRIBED: dict[str, dict[str, Any]] = {row["name"]: row for row in DOCUMENT["methods"]}
SCHEMAS = Schemas(DOCUMENT)
EXISTING: dict[str, Any] = {
    "charge_point": "CP1",
    "key": "Tariff",
    "id": "tx-1",
    "subscription": 1,
    "connector_id": 1,
    "connectors": 1,
}
"""What a furnished hub has, by the parameter that names it."""
COLUMNS: dict[str, Any] = {"columns": ["connector_id"], "rows": [[1]]}
APART: dict[str, dict[str, dict[str, Any]]] = {
    "station.set_limit": {"limit_w": {"limit_w": 1, "valid_for_s": 1}, "feeder": {"limit_a": 1, "valid_for_s": 1}},
    "connector.report_many": {"columns": COLUMNS, "rows": COLUMNS},
}
"""Parameters that do not go with all others, or name what no furnished hub has: what they go with."""
RANGED_UID = OTHER_UID + 1
"""Who may name connectors 1 and 2 only."""
FILLED = ("reservation.list", "outbox.list", "schedule.profiles", "connector.list")
READS = (
    *("charge_point.get", "connector.list", "schedule.profiles", "reservation.list", "outbox.list"),
    *("transaction.list", "allocation.get", "get_configuration_key"),
)


class Furnished:
    """The hub, a client that drives its connectors, and one that may name two of them."""

    def __init__(self, bench: HubBench) -> None:
        self._server = server = serve(bench)
        self.bench = bench
        self.client = ClientDouble(server, uid=OTHER_UID)
        self.ranged = ClientDouble(server, uid=RANGED_UID)
        self._number = 100

    def newcomer(self) -> ClientDouble:
        """Another operator, who has no connectors."""
        return ClientDouble(self._server, uid=OTHER_UID)

    async def ask(self, method: str, params: dict[str, Any], client: ClientDouble | None = None) -> dict[str, Any]:
        """The answer to a call, whenever it comes."""
        client = client or self.client
        self._number += 1
        client.received()
        client.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        for _ in range(200):
            for message in client.received():
                if message.get("id") == self._number:
                    assert isinstance(message, dict)
                    return message
            await turns(1)
        raise AssertionError(f"{method} was not answered")

    async def state(self) -> list[Any]:
        """Everything that is stored, shown and published."""
        rows = [*self.bench.store.load(), len(self.bench.store.commits)]
        shown = [(await self.ask(name, right_params(name)))["result"] for name in READS]
        return [rows, shown, self.changes()]

    def changes(self) -> tuple[int, int]:
        """What moves whenever anything is stored or published."""
        return len(self.bench.store.commits), self.bench.point.publications.seq


def right_params(name: str, about: str = "") -> dict[str, Any]:
    """Parameters of a method that are right, made from its schemas: all that go together, or with the one named."""
    apart = APART.get(name, {})
    if about in apart:
        return apart[about]
    return {
        param["name"]: EXISTING.get(param["name"], SCHEMAS.example(param["schema"]))
        for param in DESCRIBED[name]["params"]
        if param["name"] not in apart
    }


@asynccontextmanager
async def furnished_hub() -> AsyncIterator[Furnished]:
    """A transaction runs on connector 1, its start waits for a retry, 3 is reserved, the client has a subscription.

    Somebody is installing firmware, and the client has been asked for diagnostics.
    """
    csms = Csms(errors={"StartTransaction": "InternalError"})
    rpc = rpc_settings([Role("operator", OTHER_UID, None, None), Role("operator", RANGED_UID, None, (1, 2))])
    async with running_hub(POINT, rpc=rpc, csms=csms) as bench:
        hub = Furnished(bench)
        await _furnish(hub)
        yield hub


async def _furnish(hub: Furnished) -> None:
    levels = {"plugged": True, "ev_ready": True, "evse_ready": True}
    for method, params in (
        ("subscribe", {"topics": ["connector.status"]}),
        ("controller.attach", {"connectors": "1-3"}),
        ("connector.report", {"connector_id": 1, **levels}),
        ("connector.report", {"connector_id": 2, **levels, "plugged": False}),
        ("connector.report", {"connector_id": 3, **levels, "plugged": False}),
        ("connector.authorize", {"connector_id": 1, "id_tag": "TAG"}),
    ):
        answer = await hub.ask(method, params)
        assert "result" in answer, answer
    link = hub.bench.links["CP1"]
    expiry = {"expiryDate": "2099-01-01T00:00:00Z"}
    link.receive([2, "a", "ReserveNow", {"connectorId": 3, "idTag": "TAG2", "reservationId": 7, **expiry}])
    profile = builders.charging_profile()
    link.receive([2, "b", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}])
    link.driver.apply("CP1", _ask_controllers)
    await turns(100)
    for name in FILLED:
        assert (await hub.ask(name, right_params(name)))["result"], name


def _ask_controllers(core: Any, now: Instant) -> None:
    servicing = core._parts.servicing
    servicing.installer.resume(now)
    job = Job(None, "https://csms.example/", "diagnostics", "DiagnosticsLog", Retries(), directory="/nowhere")
    servicing.collector.begin(job, lambda job: None, now)
