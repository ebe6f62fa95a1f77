"""Controllers of many charge points on one loop, driven by what the CSMS confirms.

Owns the clients of P4: what they report, and when they report again. They are in the process of the bench, whose CPU
time nobody judges. Must never have two requests of one client under way that somebody waits for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import orjson

from benches import hub_process
from benches.csms import BenchCsms
from benches.lines import line


class Controllers:
    """One client of the hub per identity, driven by what the CSMS confirms. Everything runs on the bench's loop."""

    def __init__(self, csms: BenchCsms) -> None:
        self._csms = csms
        self._clients: list[_Client] = []
        self._registers: list[int] = []
        self._connectors = 1

    async def __aenter__(self) -> Controllers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.transport.close()

    async def connect(self, paths: Sequence[Path], *, attach: bool, connectors: int = 1, plugged: bool = True) -> None:
        """A client for each path; with ``attach`` they drive the connectors of CP0, CP1 ..., vehicles plugged in."""
        loop = asyncio.get_running_loop()
        self._connectors = connectors
        for number, path in enumerate(paths):
            _, client = await loop.create_unix_connection(_Client, str(path))
            self._clients.append(client)
            self._registers.append(1_000)
            if attach:
                target = {"charge_point": f"CP{number}"}
                await client.call(line("controller.attach", connectors=f"1-{connectors}", **target))
                await self._report_many(number, plugged=plugged, is_sampled=False)

    async def one(self, number: int) -> Any:
        """The answer of one report."""
        return await self._clients[number].call(self._line(number))

    def _line(self, number: int) -> bytes:
        self._registers[number] += 1
        return line("connector.report", **hub_process.report(1, self._registers[number]))

    async def run(self, messages: int) -> int:
        """Report, and report anew whenever a MeterValues has been confirmed; how many were."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = messages
        under_way = len(self._clients)

        def told(identity: str, action: str) -> None:
            nonlocal left, under_way
            if action != "MeterValues":
                return
            left -= 1
            if left >= len(self._clients):
                number = int(identity[2:])
                self._clients[number].transport.write(self._line(number))
            else:
                under_way -= 1
                if not under_way and not ended.done():
                    ended.set_result(None)

        before = self._csms.actions["MeterValues"]
        self._csms.told = told
        for number, client in enumerate(self._clients):
            client.transport.write(self._line(number))
        await ended
        self._csms.told = None
        await asyncio.sleep(0.01)  # the last confirmations are on their way
        return self._csms.actions["MeterValues"] - before

    async def report_all(self) -> None:
        """Every connector of every charge point, ten samples each."""
        for number in range(len(self._clients)):
            await self._report_many(number)

    async def _report_many(self, number: int, *, plugged: bool | None = None, is_sampled: bool = True) -> None:
        self._registers[number] += 1
        client, energy_wh = self._clients[number], self._registers[number]
        reports = [
            hub_process.report(connector_id, energy_wh, plugged=plugged, is_sampled=is_sampled)
            for connector_id in range(1, self._connectors + 1)
        ]
        for begin in range(0, len(reports), 500):
            answer = await client.call(line("connector.report_many", reports=reports[begin : begin + 500]))
            assert answer["errors"] == [], answer["errors"][0]

    async def report_evenly(self, seconds: float) -> None:
        """Every connector once a minute, the charge points spread over it."""
        begun, done = time.monotonic(), 0
        step_s = 60.0 / len(self._clients)
        while (past_s := time.monotonic() - begun) < seconds:
            while done * step_s <= past_s:
                await self._report_many(done % len(self._clients), is_sampled=False)
                done += 1
            await asyncio.sleep(step_s / 2)

    async def sessions(self, number: int) -> None:
        """So many sessions on the connectors of CP0, each plugged in, sampled once and unplugged."""
        done = 0
        while done < number:
            for plugged in (True, None, False):
                await self._report_many(0, plugged=plugged, is_sampled=plugged is None)
            done += self._connectors

    async def authorize_for(self, seconds: float) -> list[float]:
        """Ask for a tag that nobody knows, again and again; seconds until each verdict."""
        begun = time.monotonic()
        waits: list[float] = []
        while time.monotonic() - begun < seconds:
            asked_s = time.monotonic()
            request = line("connector.authorize", id_tag=f"NEW{len(waits)}", connector_id=1)
            answer = await self._clients[0].call(request)
            assert answer["status"] == "Invalid", answer
            waits.append(time.monotonic() - asked_s)
            await asyncio.sleep(0.01)
        return waits


class _Client(asyncio.Protocol):
    """A connection to the socket: one request at a time is waited for, everything else is read away."""

    def __init__(self) -> None:
        self._text = b""
        self._waiting: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            return
        *lines, self._text = (self._text + data).split(b"\n")
        for answer in map(orjson.loads, lines):
            if answer.get("id") == 1 and "method" not in answer and self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                waiting.set_result(answer)

    async def call(self, request: bytes) -> Any:
        """A request and its result."""
        self._waiting, self._text = asyncio.get_running_loop().create_future(), b""
        self.transport.write(request)
        answer = await self._waiting
        assert "result" in answer, answer
        return answer["result"]
