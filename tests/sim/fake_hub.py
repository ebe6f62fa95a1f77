"""A hub that only looks like one: the methods that controllers use, over a real socket, with as little behind them.

A transaction starts when a connector is plugged and authorized, and gets a permit of 32 A; the test changes the rest.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from ocpphub.errors import LocalError, json_rpc_error


class FakeHub:
    """One charge point of ``size`` connectors at ``path``; ``reports`` are all that have come, row by row."""

    def __init__(self, path: Path, size: int = 4) -> None:
        self.path = path
        self.reports: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.answers: list[Any] = []
        self.attached: set[int] = set()
        self.refused_tags: set[str] = set()
        self.least_wh = 0
        self.is_broken = False
        self.states = {number: self._idle(number) for number in range(1, size + 1)}
        self._tags: dict[int, str] = {}
        self._sessions = 0
        self._asked = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> FakeHub:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    # What a test does to it

    def drop(self) -> None:
        """Every connection is lost."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self.attached.clear()

    def forget(self) -> None:
        """As after a Reset: connections stay, attachments do not, and permits are counted anew."""
        self.attached.clear()
        for state in self.states.values():
            state["permit"] = {**state["permit"], "seq": 0}

    def notify(self, method: str, **params: Any) -> None:
        """A notification to every connection."""
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, **params: Any) -> None:
        """A request to every connection; what comes back is in ``answers``."""
        self._asked += 1
        self._write({"jsonrpc": "2.0", "id": f"s:{self._asked}", "method": method, "params": params})

    def permit(self, connector_id: int, **changes: Any) -> None:
        """Another permit, published."""
        state = self.states[connector_id]
        state["permit"] = {**state["permit"], "seq": state["permit"]["seq"] + 1, **changes}
        event = {"subscription": 1, "stream": "s", "seq": 1, "topic": "connector.permit", "value": state}
        self.notify("event", **event)

    def end(self, connector_id: int) -> None:
        """The transaction ends, published."""
        state = self.states[connector_id]
        state["transaction"], state["status"] = None, "Finishing"
        self.permit(connector_id, energize=False, limit_a=0.0)

    # Its side of the socket

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while line := await reader.readline():
            message = json.loads(line)
            if "method" not in message:
                self.answers.append(message.get("result", message.get("error")))
                continue
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
            self.calls.append(message["method"])
            try:
                answer["result"] = getattr(self, "_" + message["method"].replace(".", "_"))(message.get("params", {}))
            except LocalError as error:
                answer["error"] = json_rpc_error(error)
            writer.write(json.dumps(answer).encode() + b"\n")

    def _write(self, message: dict[str, Any]) -> None:
        for writer in self._writers:
            writer.write(json.dumps(message).encode() + b"\n")

    def _controller_attach(self, params: dict[str, Any]) -> Any:
        wanted = params["connectors"]
        first, _, last = str(wanted).partition("-")
        ids = wanted if isinstance(wanted, list) else list(range(int(first), int(last or first) + 1))
        self.attached.update(ids)
        return {"connectors": [self.states[number] for number in ids]}

    def _controller_detach(self, params: dict[str, Any]) -> Any:
        self.attached.clear()

    def _subscribe(self, params: dict[str, Any]) -> Any:
        states = [self.states[number] for number in params["connectors"]]
        return {"subscription": 1, "snapshot": dict.fromkeys(params["topics"], states)}

    def _connector_report(self, params: dict[str, Any]) -> Any:
        number = params["connector_id"]
        if number not in self.attached:
            raise LocalError("not_attached", "not yours", path="/params/connector_id")
        if params["energy_wh"] < self.least_wh:
            hint = f"{self.least_wh} to 2147483647"
            raise LocalError("invalid_params", "no such register", path="/params/energy_wh", hint=hint)
        if params.get("permit_seq", 0) > self.states[number]["permit"]["seq"]:
            raise LocalError("invalid_params", "a permit that was never given", path="/params/permit_seq")
        self.reports.append(params)
        state = self.states[number]
        state["plugged"] = params["plugged"]
        if not params["plugged"]:
            self._tags.pop(number, None)
            self.states[number] = {**self._idle(number), "permit": {**state["permit"], "energize": False}}
        return self._settled(number, params["energy_wh"])

    def _connector_report_many(self, params: dict[str, Any]) -> Any:
        errors = []
        for index, report in enumerate(params["reports"]):
            try:
                self._connector_report(report)
            except LocalError as error:
                errors.append({"index": index, "error": json_rpc_error(error)})
        return {"changed": [], "errors": errors}

    def _connector_authorize(self, params: dict[str, Any]) -> Any:
        if self.is_broken:
            raise LocalError("invalid_params", "no such tag", path="/params/id_tag")
        if params["id_tag"] in self.refused_tags:
            return {"status": "Blocked"}
        if self.states[params["connector_id"]]["transaction"] is not None:
            self.end(params["connector_id"])
        else:
            self._tags[params["connector_id"]] = params["id_tag"]
            self.notify("event", subscription=1, value=self._settled(params["connector_id"], 0))
        return {"status": "Accepted"}

    def _connector_stop_transaction(self, params: dict[str, Any]) -> Any:
        if self.states[params["connector_id"]]["transaction"] is None:
            raise LocalError("invalid_state", "no transaction runs")
        self.end(params["connector_id"])
        return self.states[params["connector_id"]]

    def _charge_point_get(self, params: dict[str, Any]) -> Any:
        return {"queue": {"messages": 3}}

    def _settled(self, number: int, energy_wh: int) -> dict[str, Any]:
        state = self.states[number]
        if state["plugged"] and number in self._tags and state["status"] != "Charging":
            self._sessions += 1
            tag = self._tags.pop(number)
            state["transaction"] = {"session_id": self._sessions, "id_tag": tag, "meter_start_wh": energy_wh}
            state["status"] = "Charging"
            state["permit"] = {**state["permit"], "seq": state["permit"]["seq"] + 1, "energize": True, "limit_a": 32.0}
        return state

    def _idle(self, number: int) -> dict[str, Any]:
        permit = {"seq": 0, "energize": False, "limit_a": 0.0, "limit_w": 1e6, "phases": 3}
        return {
            "connector_id": number,
            "status": "Available",
            "plugged": False,
            "permit": permit,
            "transaction": None,
        }
