"""The tour's steps about whoever operates a hub: a client that may only look, a second charge point, metrics, a trace.

Owns a small hub of its own, in which whoever runs the tour is a monitor. Must never reach into a hub: it asks its
sockets as an operator's programs would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from ocpphub.errors import OcpphubError
from ocpphub.rpc.client import AsyncClient
from ocpphub.sim import charging, programs
from ocpphub.sim.csms import Csms

IDENTITIES: Final = ("NORTH", "SOUTH")
WAIT_S: Final = 20.0
SHOWN: Final = ("ocpphub_link_up", "ocpphub_queue_messages{", "ocpphub_rpc_denied", "ocpphub_loop_lag_seconds_count")
"""Metrics that the tour prints."""


class Tour(charging.Tour, Protocol):
    """What these steps need of the tour besides: its patience."""

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float, text: str) -> bool:
        """Ask until the condition holds; False when it did not in time."""


class OperatingSteps:
    """The steps; :meth:`close` ends the small hub, however far they came."""

    def __init__(self, tour: Tour, folder: Path, command: str) -> None:
        self.tour, self.say = tour, tour.say
        self._folder, self._command = folder, command
        self._hub: asyncio.subprocess.Process | None = None
        self._csms = Csms()
        self._client = AsyncClient(folder / "site.sock")

    async def close(self) -> None:
        """Nothing of it goes on."""
        with contextlib.suppress(OSError, OcpphubError):
            await self._client.close()
        if self._hub is not None and self._hub.returncode is None:
            self._hub.terminate()
            await self._hub.wait()
        await self._csms.stop()

    async def monitor(self) -> None:
        """A hub with two charge points, and a client whose role lets it look and no more."""
        self.say.step("Two charge points in one process, and a client that may only look")
        await self._csms.start()
        configuration = self._folder / "site.toml"
        configuration.write_text(_configuration(self._folder, self._csms.url))
        self._hub = await programs.start("run", "-c", str(configuration))
        is_up = await self.tour.until(self._is_reachable, WAIT_S, "waiting for the socket")
        is_up = is_up and await self.tour.until(self._are_connected, WAIT_S, "waiting for both links")
        self.say.check(is_up, f"{' and '.join(IDENTITIES)} are connected, each over a link of its own")
        try:
            self.say.request("stop", {"charge_point": IDENTITIES[0]})
            await self._client.call("stop", charge_point=IDENTITIES[0])
            self.say.failed("a monitor stopped a charge point")
        except OcpphubError as error:
            self.say.note(f"< {error.code}: {error}")
            self.say.check(error.code == "forbidden", "the role monitor is refused, and told which role it would need")

    async def metrics(self) -> None:
        """What a monitoring system reads."""
        self.say.step("A metrics scrape of both")
        if find_spec("prometheus_client") is None:
            self.say.note("skipped: it needs the extra `metrics`: pip install ocpphub[metrics]")
            return
        path = self._folder / "metrics.sock"
        self.say.note(f"curl --unix-socket {path} http://hub/metrics")
        lines = (await _scraped(path)).splitlines()
        for line in lines:
            if line.startswith(SHOWN):
                self.say.plain(f"   {line}")
        connected = [f'{SHOWN[0]}{{charge_point="{identity}"}} 1.0' in lines for identity in IDENTITIES]
        self.say.check(all(connected), f"{len(lines)} lines, the links of both among them")

    async def trace(self) -> None:
        """Frames as they go over the link."""
        self.say.step("A live trace of the link, in a format that other tools read")
        socket = self.tour.client.path
        self.say.note(f"{self._command} watch --trace --socket {socket}")
        reader = await programs.start("watch", "--trace", "--socket", str(socket), stdout=asyncio.subprocess.PIPE)
        assert reader.stdout is not None  # noqa: S101  # told to mypy
        try:
            async with asyncio.timeout(WAIT_S):
                records: list[dict[str, Any]] = []
                asking = asyncio.create_task(self._ask_until_seen())
                while len(records) < 2:
                    record = json.loads(await reader.stdout.readline())
                    if record["action"] == "DataTransfer":
                        records.append(record)
                        self.say.plain(f"   {json.dumps(record)[:160]} ...")
                asking.cancel()
            kinds = [record["messageType"] for record in records]
            self.say.check(kinds == ["CALL", "CALLRESULT"], "the CALL and its answer, each with the frame as it was")
        finally:
            reader.terminate()
            await reader.wait()

    async def _ask_until_seen(self) -> None:
        """The trace begins when its program has subscribed."""
        while True:
            await self.tour.client.call("data_transfer", vendor_id="org.example", message_id="trace", data="seen?")
            await asyncio.sleep(0.3)

    async def _is_reachable(self) -> bool:
        try:
            await self._client.connect()
        except OcpphubError:
            return False
        return True

    async def _are_connected(self) -> bool:
        states = [await self._client.call("charge_point.get", charge_point=each) for each in IDENTITIES]
        return all(state["is_connected"] and state["registration"] == "Accepted" for state in states)


async def _scraped(path: Path) -> str:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
    text = (await asyncio.wait_for(reader.read(), WAIT_S)).decode()
    writer.close()
    return text.partition("\r\n\r\n")[2]


def _configuration(folder: Path, url: str) -> str:
    text = f"""[hub]
socket = "{folder / "site.sock"}"
state_directory = "{folder / "site"}"

[metrics]
listen = "{folder / "metrics.sock"}"

[[rpc.role]]
role = "monitor"
uid = {os.getuid()}
"""
    for identity in IDENTITIES:
        text += f"""
[[charge_point]]
identity = "{identity}"
csms_url = "{url}"
connectors = 2
vendor = "ocpphub"
model = "demo"

[charge_point.electrical]
connector_max_a = 32
"""
    return text
