"""rpc/maintenance_methods.py: what a controller reports of firmware and diagnostics reaches the core, checked."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.rpc.maintenance_methods import STATUSES
from ocpphub.rpc.methods import METHODS
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import ClientDouble, running_hub, serve, turns

pytestmark = pytest.mark.asyncio


async def test_controller_installs_what_the_hub_asks_it_to() -> None:
    """CORE-UF-05: the request, its result, the report; who reports without being asked is told so."""
    async with running_hub(builders.settings(connectors=1), csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        client.call("controller.attach", connectors=1)
        await turns()
        client.received()
        assert client.error("firmware.report", status="Installed")["code"] == -32007
        point = bench.hub.charge_points["CP1"]
        installer, ends = point.core._parts.servicing.installer, []
        installer.on_end = lambda *end: ends.append(end[:3])
        bench.links["CP1"].driver.apply("CP1", lambda core, now: installer.begin("/file", by_hook=False, now=now))
        await turns()
        request = client.answer()
        assert (request["method"], request["params"]) == ("firmware.install", {"path": "/file"})
        client.send({"jsonrpc": "2.0", "id": request["id"], "result": {"accepted": True}})
        await turns()
        assert client.result("firmware.report", status="Installing") is None
        assert client.result("firmware.report", status="Installed", info="slot B") is None
        assert ends == [(True, None, False)]


async def test_report_of_diagnostics_that_nobody_waits_for_is_refused() -> None:
    """rpc.md, "Requests from the gateway to a client"."""
    async with running_hub(builders.settings(connectors=1), csms=Csms()) as bench:
        client = ClientDouble(serve(bench))
        error = client.error("diagnostics.report", ok=True)
        assert (error["code"], error["data"]["hint"]) == (-32007, "wait for diagnostics.collect")


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("firmware.report", {}, "/params/status"),
        ("firmware.report", {"status": "Downloading"}, "/params/status"),
        ("firmware.report", {"status": "Installed", "info": "x" * 256}, "/params/info"),
        ("diagnostics.report", {"ok": "yes"}, "/params/ok"),
        ("diagnostics.report", {"ok": True, "info": 5}, "/params/info"),
    ],
)
async def test_bad_report_is_refused_by_its_parameter(method: str, params: dict[str, Any], path: str) -> None:
    """rpc.md "Rules": the error names what is wrong."""
    async with running_hub(builders.settings(connectors=1), csms=Csms()) as bench:
        error = ClientDouble(serve(bench)).error(method, **params)
        assert (error["code"], error["data"]["path"]) == (-32602, path)


async def test_statuses_of_the_contract_are_those_of_the_core() -> None:
    """Written down on both sides, since the contract may not import the core."""
    from ocpphub.core.install import REPORTS

    assert STATUSES == REPORTS
    assert METHODS["firmware.report"].level == METHODS["diagnostics.report"].level == "controller"
