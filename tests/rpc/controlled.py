"""A hub whose core only writes down what controllers do, for tests of the way there and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ocpphub.config import ChargePointSettings, RpcSettings
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.effects import Ask, Reply, Store
from ocpphub.core.instant import Instant
from tests.hub_doubles import HubBench, running_hub


class Recorder:
    """In place of the core's commands of controllers: ``calls`` is what came, ``answers`` is what they return."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.calls: list[tuple[Any, ...]] = []
        self.asked: list[tuple[int, Any, Any]] = []
        self.lost: list[int] = []
        self.controllers = Controllers()
        self.rows: list[dict[str, Any]] = []

    def attach(
        self, request: int, controller: Controller, connector_ids: Any, takeover: bool, now: Instant
    ) -> dict[str, Any]:
        self.controllers.attach(controller, connector_ids, takeover=takeover)
        self.calls.append(("attach", controller, list(connector_ids), takeover))
        return {"connectors": [{"connector_id": connector_id} for connector_id in connector_ids]}

    def detach(self, request: int, controller: Controller, connector_ids: Any, now: Instant) -> None:
        self.controllers.detach(controller, connector_ids)
        self.calls.append(("detach", controller, connector_ids))
        self.core._emit(Store("stopped", "x", b"1"))
        self.core._emit(Reply(request, None))

    def report(self, request: int, controller: Controller, params: Any, now: Instant) -> dict[str, Any]:
        self.controllers.check(controller, params["connector_id"])
        self.calls.append(("report", controller, params))
        return {"connector_id": params["connector_id"]}

    def report_many(self, request: int, controller: Controller, params: Any, may: Any, now: Instant) -> dict[str, Any]:
        self.calls.append(("report_many", controller, params, [i for i in range(8) if may(i)]))
        return {"changed": [], "errors": []}

    def authorize(self, request: int, *args: Any) -> None:
        self.calls.append(("authorize", *args[:-1]))
        self.core._emit(Reply(request, {"status": "Accepted"}))

    def stop_transaction(self, request: int, *args: Any) -> dict[str, Any]:
        self.calls.append(("stop_transaction", *args[:-1]))
        return {"connector_id": args[1]}

    def set_availability(self, request: int, *args: Any) -> str:
        self.calls.append(("set_availability", *args[:-1]))
        return "Scheduled"

    def outbox_retry(self, request: int, *args: Any) -> bool:
        self.calls.append(("outbox_retry", *args[:-1]))
        return True

    def reservations(self) -> list[dict[str, Any]]:
        return self.rows

    def outbox(self, limit: int) -> list[dict[str, Any]]:
        return self.rows[:limit]

    def attached_controllers(self) -> set[int]:
        return {controller.number for controller in self.controllers.all()}

    def controller_lost(self, number: int, now: Instant) -> None:
        self.lost.append(number)
        self.controllers.lost(number)

    def receive_answer(self, ask: int, result: Any, error: Any, now: Instant) -> None:
        self.asked.append((ask, result, error))

    def ask(self, number: int, ask: int = 1, **params: Any) -> None:
        """Let the core ask a controller to unlock."""
        self.core._emit(Ask(ask, "connector.unlock", params, controller=number))


COMMANDS = (
    *("attach", "detach", "report", "report_many", "authorize", "stop_transaction", "set_availability"),
    *("outbox_retry", "reservations", "outbox", "attached_controllers", "controller_lost", "receive_answer"),
)


@asynccontextmanager
async def recorded_hub(
    *points: ChargePointSettings, rpc: RpcSettings | None = None
) -> AsyncIterator[tuple[HubBench, dict[str, Recorder]]]:
    """A running hub, and the recorder of each charge point."""
    with pytest.MonkeyPatch.context() as patch:
        async with running_hub(*points, rpc=rpc) as bench:
            recorders: dict[str, Recorder] = {}
            for identity, point in bench.hub.charge_points.items():
                recorders[identity] = Recorder(point.core)
                for name in COMMANDS:
                    patch.setattr(point.core, name, getattr(recorders[identity], name), raising=False)
            yield bench, recorders


def input_of(bench: HubBench, recorder: Recorder, number: int, ask: int = 1, **params: Any) -> None:
    """An input in which the core asks a controller."""
    driver: Any = bench.hub._driver
    driver.apply(recorder.core.identity, lambda core, now: recorder.ask(number, ask, **params))
