"""Charging sessions over the wire: a CSMS that keeps the books, a local controller, and the form of every message.

Owns the words of the tests of sessions. No product code: a message is what the standard's tables say, a controller is
what rpc.md says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .conftest import DEADLINE, Csms, Hub, Link, Rig, Rpc, RpcError, open_rig, point, wait_for

Json = dict[str, Any]

ERROR_CODES = set(
    "ConnectorLockFailure EVCommunicationError GroundFailure HighTemperature InternalError LocalListConflict NoError "
    "OtherError OverCurrentFailure OverVoltage PowerMeterFailure PowerSwitchFailure ReaderFailure ResetFailure "
    "UnderVoltage WeakSignal".split()
)
REASONS = set(
    "EmergencyStop EVDisconnected HardReset Local Other PowerLoss Reboot Remote SoftReset UnlockCommand "
    "DeAuthorized".split()
)
CONTEXTS = set(
    "Interruption.Begin Interruption.End Other Sample.Clock Sample.Periodic Transaction.Begin Transaction.End "
    "Trigger".split()
)
# Chapter 8 of the requirements: what may follow a state on the wire.
EDGES = {
    "Available": "Preparing Charging SuspendedEV SuspendedEVSE Reserved Unavailable Faulted",
    "Preparing": "Available Charging SuspendedEV SuspendedEVSE Finishing Faulted",
    "Charging": "Available SuspendedEV SuspendedEVSE Finishing Unavailable Faulted",
    "SuspendedEV": "Available Charging SuspendedEVSE Finishing Unavailable Faulted",
    "SuspendedEVSE": "Available Charging SuspendedEV Finishing Unavailable Faulted",
    "Finishing": "Available Preparing Unavailable Faulted",
    "Reserved": "Available Preparing Unavailable Faulted",
    "Unavailable": "Available Preparing Charging SuspendedEV SuspendedEVSE Faulted",
    "Faulted": "Available Preparing Charging SuspendedEV SuspendedEVSE Finishing Reserved Unavailable",
}
# Required and optional members of what the charge point sends in a session, with the JSON type.
FORMS: dict[str, tuple[dict[str, type], dict[str, type]]] = {
    "Authorize": ({"idTag": str}, {}),
    "StartTransaction": (
        {"connectorId": int, "idTag": str, "meterStart": int, "timestamp": str},
        {"reservationId": int},
    ),
    "StopTransaction": (
        {"meterStop": int, "timestamp": str, "transactionId": int, "reason": str},  # CORE-TX-12: always sent
        {"idTag": str, "transactionData": list},
    ),
    "MeterValues": ({"connectorId": int, "meterValue": list}, {"transactionId": int}),
    "StatusNotification": (
        {"connectorId": int, "errorCode": str, "status": str, "timestamp": str},  # CORE-STAT-14
        {"info": str, "vendorId": str, "vendorErrorCode": str},
    ),
    "DataTransfer": ({"vendorId": str}, {"messageId": str, "data": str}),
    "Heartbeat": ({}, {}),
}
STATE: dict[str, Any] = {
    "connector_id": int,
    "status": str,
    "error_code": str,
    "availability": str,
    "attached": bool,
    "plugged": (bool, type(None)),
    "permit": dict,
    "transaction": (dict, type(None)),
    "reservation": (dict, type(None)),
}
PERMIT: dict[str, Any] = {
    "seq": int,
    "energize": bool,
    "limit_a": (int, float, type(None)),
    "limit_w": (int, float, type(None)),
    "phases": (int, type(None)),
}
RUNNING: dict[str, Any] = {
    "session_id": int,
    "transaction_id": (int, type(None)),
    "id_tag": str,
    "start": str,
    "meter_start_wh": int,
}
RESERVED: dict[str, Any] = {"reservation_id": int, "id_tag": str, "expiry_date": str}


def moment(stamp: str) -> datetime.datetime:
    """A dateTime of the wire: RFC 3339 in UTC."""
    assert stamp.endswith("Z"), stamp
    return datetime.datetime.fromisoformat(stamp)


def of_form(value: Json, required: dict[str, Any], optional: dict[str, Any] | None = None) -> Json:
    """The object, with exactly these members and JSON types."""
    known = required | (optional or {})
    assert set(required) <= set(value) <= set(known), value
    for name, item in value.items():
        wanted = known[name] if isinstance(known[name], tuple) else (known[name],)
        assert type(item) in wanted, (name, item, wanted)
    return value


def connector_state(value: Json) -> Json:
    """A connector state of rpc.md, whole and of the right types."""
    of_form(value, STATE)
    assert value["status"] in EDGES
    assert value["error_code"] in ERROR_CODES
    of_form(value["permit"], PERMIT)
    if value["transaction"] is not None:
        moment(of_form(value["transaction"], RUNNING)["start"])
    if value["reservation"] is not None:
        moment(of_form(value["reservation"], RESERVED)["expiry_date"])
    return value


def meter_values(values: list[Json]) -> None:
    """MeterValue[1..*] as the standard's classes say."""
    assert values
    for value in values:
        of_form(value, {"timestamp": str, "sampledValue": list})
        moment(value["timestamp"])
        assert value["sampledValue"]
        for sample in value["sampledValue"]:
            names = ("context", "format", "measurand", "phase", "location", "unit")
            of_form(sample, {"value": str}, dict.fromkeys(names, str))
            assert sample.get("context", "Sample.Periodic") in CONTEXTS
            float(sample["value"])


def sent(action: str, payload: Json) -> None:
    """What every message of a session must look like."""
    of_form(payload, *FORMS[action])
    if "timestamp" in payload:
        moment(payload["timestamp"])
    if "idTag" in payload:
        assert 1 <= len(payload["idTag"]) <= 20
    if action == "StatusNotification":
        assert payload["status"] in (EDGES if payload["connectorId"] else {"Available", "Unavailable", "Faulted"})
        assert payload["errorCode"] in ERROR_CODES
        assert len(payload.get("info", "")) <= 50
    elif action == "MeterValues":
        meter_values(payload["meterValue"])
        assert "transactionId" not in payload or payload["connectorId"] > 0
    elif action == "StopTransaction":
        assert payload["reason"] in REASONS
        assert payload["meterStop"] >= 0
        if "transactionData" in payload:
            meter_values(payload["transactionData"])
    elif action == "StartTransaction":
        assert payload["connectorId"] > 0
        assert payload["meterStart"] >= 0


def legal_edges(link: Link) -> None:
    """CORE-STAT-02: only edges of the table follow each other on one connection."""
    last: dict[int, str] = {}
    for _, _, _, payload in link.calls("StatusNotification"):
        connector_id, status = payload["connectorId"], payload["status"]
        before = last.get(connector_id, status)
        if connector_id and before != status:
            assert status in EDGES[before].split(), f"{connector_id}: {before} -> {status}"
        last[connector_id] = status


def one_call_at_a_time(link: Link) -> None:
    """J-201: a CALL leaves after the one before is answered (not for links where answers are left out)."""
    waiting: str | None = None
    for way, text in list(link.frames):
        frame = json.loads(text)
        if way == ">" and frame[0] == 2:
            assert waiting is None, f"{frame} while {waiting} was unanswered"
            waiting = frame[1]
        elif way == "<" and frame[0] in (3, 4) and frame[1] == waiting:
            waiting = None


class Driver(Rpc):
    """A local controller: one connection that attaches, reports and answers the gateway's requests."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.requests: list[Json] = []
        self.leases: list[Json] = []
        self.answers: list[Any] = []

    def _take_line(self, timeout: float) -> None:
        line = self.line(max(0.01, timeout))
        assert line, "the hub closed the connection"
        message = json.loads(line)
        if not isinstance(message, dict) or "method" not in message:
            self.answers.append(message)
        elif message["method"] == "event":
            assert set(message) == {"jsonrpc", "method", "params"}
            self.events.append(message["params"])
        elif message["method"] == "lease":
            assert set(message) == {"jsonrpc", "method", "params"}, "a lease is a notification"
            self.leases.append(message["params"])
        else:
            assert message["jsonrpc"] == "2.0"
            assert message["id"].startswith("s:")
            assert int(message["id"][2:]) > 0
            self.requests.append(message)

    def message(self, timeout: float = DEADLINE) -> Any:
        end = time.monotonic() + timeout
        while not self.answers:
            self._take_line(end - time.monotonic())
        return self.answers.pop(0)

    def take(self, request_id: int) -> Any:
        """The answer to this request; answers to others are kept."""
        end = time.monotonic() + DEADLINE
        while True:
            for index, message in enumerate(self.answers):
                if message["id"] == request_id:
                    self.answers.insert(0, self.answers.pop(index))
                    return super().take(request_id)
            self._take_line(end - time.monotonic())

    def take_any(self, request_id: int, answers: list[Any]) -> None:
        """Append the whole answer to this request, be it a result or an error."""
        try:
            answers.append({"result": self.take(request_id)})
        except RpcError as error:
            answers.append({"error": error.error})

    def event(self, topic: str | None = None, timeout: float = DEADLINE, **value: Any) -> Json:
        """The next event of a topic whose value has these members; the others stay."""
        end = time.monotonic() + timeout
        while True:
            for index, event in enumerate(self.events):
                if topic in (None, event["topic"]) and value.items() <= (
                    event["value"].items() if isinstance(event["value"], dict) else set()
                ):
                    return self.events.pop(index)
            self._take_line(end - time.monotonic())

    def request(self, method: str, timeout: float = DEADLINE) -> Json:
        """The next request of the gateway."""
        end = time.monotonic() + timeout
        while True:
            for index, request in enumerate(self.requests):
                if request["method"] == method:
                    return self.requests.pop(index)
            self._take_line(end - time.monotonic())

    def lease(self, timeout: float = DEADLINE) -> Json:
        end = time.monotonic() + timeout
        while not self.leases:
            self._take_line(end - time.monotonic())
        return self.leases.pop(0)

    def reply(self, request: Json, result: Any) -> None:
        self.raw(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode() + b"\n")

    def quiet(self, method: str) -> bool:
        """No such request came before the answer to a ping that is sent now."""
        self.call("rpc.ping")
        return all(request["method"] != method for request in self.requests)

    def attach(self, *connectors: int, **more: Any) -> list[Json]:
        answer = self.call("controller.attach", connectors=list(connectors), **more)
        assert set(answer) == {"connectors"}
        return [connector_state(state) for state in answer["connectors"]]

    def report(self, connector_id: int, **levels: Any) -> Json:
        return connector_state(self.call("connector.report", connector_id=connector_id, **levels))

    def plug(self, connector_id: int, energy_wh: int = 1000, **more: Any) -> Json:
        """A vehicle comes that is ready, at a station that is."""
        levels = {"plugged": True, "ev_ready": True, "evse_ready": True, "energy_wh": energy_wh} | more
        return self.report(connector_id, **levels)

    def idle(self, connector_id: int, energy_wh: int = 1000, **more: Any) -> Json:
        """Nobody is there."""
        return self.report(connector_id, plugged=False, ev_ready=False, evse_ready=True, energy_wh=energy_wh, **more)

    def state(self, connector_id: int) -> Json:
        return connector_state(self.call("connector.get", connector_id=connector_id))


class Books:
    """The CSMS's side: gives transaction ids, answers tags, and keeps every message in the order it came."""

    def __init__(self, csms: Csms) -> None:
        self.csms = csms
        self.ids = itertools.count(1001)
        self.tags: dict[str, Json] = {}
        self.calls: list[tuple[str, Json]] = []
        self.faults: list[str] = []
        self.lock = threading.Lock()
        for action in FORMS:
            csms.script[action] = self.keep(csms.script.get(action, {}))
        csms.script["Authorize"] = self.keep(lambda _l, _i, _a, payload: {"idTagInfo": self.verdict(payload)})
        csms.script["StartTransaction"] = self.keep(
            lambda _l, _i, _a, payload: {"transactionId": next(self.ids), "idTagInfo": self.verdict(payload)}
        )

    def keep(self, answer: Any) -> Any:
        def kept(link: Link, message_id: str, action: str, payload: Json) -> Any:
            try:
                sent(action, payload)
            except AssertionError as fault:
                self.faults.append(f"{action} {payload}: {fault}")
            with self.lock:
                self.calls.append((action, payload))
            return answer(link, message_id, action, payload) if callable(answer) else answer

        return kept

    def verdict(self, payload: Json) -> Json:
        return self.tags.get(payload["idTag"], {"status": "Accepted"})

    @contextlib.contextmanager
    def scripted(self, action: str, answer: Any) -> Iterator[None]:
        """Another answer to this action for a while; the books go on."""
        before = self.csms.script.get(action)
        self.csms.script[action] = self.keep(answer)
        try:
            yield
        finally:
            self.csms.script[action] = before

    def of(self, action: str, **members: Any) -> list[Json]:
        with self.lock:
            return [payload for name, payload in self.calls if name == action and members.items() <= payload.items()]

    def wait(self, action: str, count: int = 1, timeout: float = DEADLINE, **members: Any) -> Json:
        """The count-th message of this action with these members."""

        def enough() -> Json | None:
            found = self.of(action, **members)
            return found[count - 1] if len(found) >= count else None

        return wait_for(enough, f"{count} x {action} {members}; got {self.calls[-12:]}", timeout)

    def statuses(self, connector_id: int) -> list[str]:
        return [payload["status"] for payload in self.of("StatusNotification", connectorId=connector_id)]


@dataclasses.dataclass
class Site:
    """A hub, its CSMS with books, and controllers."""

    rig: Rig
    csms: Csms
    books: Books
    hub: Hub
    next_connector: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))
    drivers: list[Driver] = dataclasses.field(default_factory=list)

    @property
    def link(self) -> Link:
        return self.csms.links[-1]

    def driver(self, *connectors: int) -> Driver:
        driver = Driver(self.hub.socket)
        self.rig.clients.append(driver)
        self.drivers.append(driver)
        if connectors:
            driver.attach(*connectors)
        return driver

    def fresh(self, energy_wh: int = 1000) -> tuple[Driver, int]:
        """A controller with a connector that no test has used; nobody is there."""
        connector_id = next(self.next_connector)
        driver = self.driver(connector_id)
        driver.idle(connector_id, energy_wh)
        self.books.wait("StatusNotification", connectorId=connector_id, status="Available")
        return driver, connector_id

    def charging(self, id_tag: str = "TAG", energy_wh: int = 1000, **more: Any) -> tuple[Driver, int, int]:
        """A controller, its connector and the id of a transaction that runs there."""
        driver, connector_id = self.fresh(energy_wh)
        driver.plug(connector_id, energy_wh, **more)
        assert driver.call("connector.authorize", id_tag=id_tag, connector_id=connector_id)["status"] == "Accepted"
        return driver, connector_id, self.running(driver, connector_id)

    def running(self, driver: Driver, connector_id: int) -> int:
        """The transactionId of the transaction on a connector, once it has one."""

        def answered() -> list[int] | None:
            transaction = driver.state(connector_id)["transaction"]
            known = transaction is not None and transaction["transaction_id"] is not None
            return [transaction["transaction_id"]] if known else None

        found = wait_for(answered, f"a transactionId on {connector_id}")[0]
        # A read tells what is so, this one what is on the disk: from now on the id survives whatever happens.
        driver.call("transaction.list", limit=1)
        return found

    def cut(self) -> None:
        """The CSMS closes the link; done when the hub has seen it."""
        self.link.socket.close()
        wait_for(lambda: not self.hub.call("get_variable", name="is_connected")["value"], "offline")

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Nobody answers at the CSMS's door until the end of the block."""
        from .conftest import refusal

        self.csms.refuse = refusal(503, Retry_After="0")
        self.cut()
        try:
            yield
        finally:
            self.csms.refuse = None

    def back(self, links: int) -> Link:
        """The link after so many."""
        return self.csms.link(links, timeout=20)

    def check(self) -> None:
        """What holds of every message that was sent."""
        assert self.books.faults == []
        for link in self.csms.links:
            legal_edges(link)
        assert "Traceback" not in self.hub.text(), self.hub.text()[-3000:]

    def new_process(self, kill: bool = False, connectors: int = 0) -> Link:
        """End the process and start it on the same directory; the link that follows."""
        links = len(self.csms.links)
        if kill:
            self.hub.kill()
        else:
            assert self.hub.stop() == 0
        self.hub.start()
        link = self.csms.link(links)
        link.wait_call("StatusNotification", connectors + 1)
        return link


FAST = {
    "configuration": "MeterValueSampleInterval = 0\nTransactionMessageRetryInterval = 1\nMinimumStatusDuration = 0",
}


def open_site(rig: Rig, connectors: int = 2, hub: str = "", rpc: str = "", **parts: str) -> Site:
    """A site in a rig: the hub runs and is accepted."""
    csms = rig.csms()
    books = Books(csms)
    parts = FAST | parts
    process = rig.hub(point(url=csms.url, connectors=connectors, **parts), hub=hub, rpc=rpc).start()
    try:
        csms.booted(connectors=connectors)
    except AssertionError as error:
        raise AssertionError(f"{error}; upgrades at {csms.attempts}; its log:\n{process.text()}") from error
    return Site(rig, csms, books, process)


@contextlib.contextmanager
def site_of(connectors: int, **parts: str) -> Iterator[Site]:
    """A site with a rig of its own, whose messages are looked at when the block ends."""
    with open_rig() as rig:
        site = open_site(rig, connectors, **parts)
        yield site
        site.check()
