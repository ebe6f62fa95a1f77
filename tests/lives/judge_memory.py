"""Whether what was acknowledged is still there after a restart, and a restart changes nothing by itself.

Owns D1 for security events and D6 to D10. What was asked for but not acknowledged before a crash may be there or not;
what was acknowledged must be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, fields
from typing import Any

from tests.lives.judge_wire import Complain
from tests.lives.records import (
    Answered,
    Began,
    Called,
    Commanded,
    Compared,
    Finished,
    Header,
    Picture,
    Record,
    Replied,
    Restored,
    Sent,
)

Cell = tuple[str, ...]
NOT_COUNTED = ("HeartbeatInterval",)
"""Keys that BootNotification.conf writes too."""


class Memory:
    """What local clients and the CSMS were promised."""

    def __init__(self, header: Header, complain: Complain) -> None:
        self._header, self._complain = header, complain
        self._promised: dict[Cell, Any] = {}
        self._asked: dict[Cell, list[Any]] = defaultdict(list)
        self._vague: set[Cell] = set()
        """Cells whose change was scheduled: it comes when a transaction ends."""
        self._open: dict[str, list[tuple[Cell, Any]]] = {}
        self._events: dict[str, bool] = {}
        self._event_requests: dict[int, str] = {}
        if header.secret is not None:
            self._promised["secret",] = header.secret
        self._lists: list[tuple[int, dict[str, str]]] = [(0, {})]
        """Possible local lists: of a SendLocalList without an answer nobody knows whether it was applied."""
        self._list_calls: dict[str, tuple[dict[str, Any], list[tuple[int, dict[str, str]]]]] = {}
        """The SendLocalLists without an answer, each with the lists that were possible before it."""

    def see(self, record: Record) -> None:
        """Take one record."""
        if isinstance(record, Called):
            self._called(record)
        elif isinstance(record, Answered):
            status = record.payload.get("status", "") if record.payload else ""
            self._settle(record.unique_id, status in ("Accepted", "RebootRequired"), status == "Scheduled")
            self._list_answered(record.unique_id, status == "Accepted")
        elif isinstance(record, Commanded):
            self._commanded(record)
        elif isinstance(record, Replied):
            self._replied(record)
        elif isinstance(record, Sent):
            if record.action == "SecurityEventNotification":
                info = record.payload.get("techInfo", "")
                if info in self._events:
                    self._events[info] = True
        elif isinstance(record, Restored):
            self._restored(record)
        elif isinstance(record, Compared):
            self._compared(record)
        elif isinstance(record, Finished):
            for info, sent in self._events.items():
                if not sent:
                    self._complain("D1", record, f"the security event {info!r} was acknowledged and never sent")
        elif isinstance(record, Began):
            self._open.clear()
            self._event_requests.clear()

    # promises

    def _ask(self, unique_id: str, *wishes: tuple[Cell, Any]) -> None:
        self._open[unique_id] = list(wishes)
        for cell, value in wishes:
            self._asked[cell].append(value)

    def _settle(self, unique_id: str, is_accepted: bool, is_vague: bool = False) -> None:
        for cell, value in self._open.pop(unique_id, ()):
            if is_accepted:
                self._promised[cell] = value
                self._vague.discard(cell)
                self._asked[cell].clear()
            elif is_vague:
                self._promised.pop(cell, None)
                self._vague.add(cell)
            elif value in self._asked[cell]:
                self._asked[cell].remove(value)

    def _called(self, call: Called) -> None:
        if call.action == "ChangeConfiguration":
            key, value = call.payload["key"], call.payload["value"]
            self._ask(call.unique_id, (("secret",) if key == "AuthorizationKey" else ("key", key), value))
        elif call.action == "ChangeAvailability":
            target, kind = call.payload["connectorId"], call.payload["type"]
            self._ask(call.unique_id, *self._availability(target, kind))
        elif call.action == "SendLocalList":
            self._list_calls[call.unique_id] = (call.payload, list(self._lists))
            self._lists += [_updated(each, call.payload) for each in self._lists]

    def _availability(self, target: int, kind: str) -> list[tuple[Cell, Any]]:
        """Connector 0 stands for all; what one connector alone is, is then no longer told by its state."""
        targets = range(self._header.connectors + 1) if target == 0 else (target,)
        return [(("availability", str(each)), kind) for each in targets]

    def _commanded(self, record: Commanded) -> None:
        name, unique_id = record.name, f"request {record.request}"
        if name == "set_custom_configuration_key":
            self._ask(unique_id, (("key", record.params["key"]), record.params["value"]))
        elif name == "set_availability":
            kind = "Operative" if record.params["available"] else "Inoperative"
            self._ask(unique_id, *self._availability(record.params["connector_id"], kind))
        elif name == "monitor_configuration_keys":
            self._ask(unique_id, *[(("monitor", key.lower()), True) for key in record.params["keys"]])
        elif name in ("stop", "restart"):
            self._ask(unique_id, (("stopped",), name == "stop"))
        elif name == "security_event" and "info" in record.params:
            self._event_requests[record.request] = record.params["info"]

    def _replied(self, record: Replied) -> None:
        info = self._event_requests.pop(record.request, None)
        if info is not None and record.error is None:
            self._events.setdefault(info, False)
        is_good = record.error is None and record.result in ("Accepted", "RebootRequired", True, None)
        self._settle(f"request {record.request}", is_good, record.result == "Scheduled")
        if record.wrote and record.is_direct and record.error is None:
            self._complain("D6", record, "a command was answered before what it wrote was durable")

    def _list_answered(self, unique_id: str, is_accepted: bool) -> None:
        if unique_id in self._list_calls:
            payload, before = self._list_calls.pop(unique_id)
            self._lists = [_updated(each, payload) for each in before] if is_accepted else before

    # what is there

    def _restored(self, record: Restored) -> None:
        found = record.found
        for cell, promised in self._promised.items():
            possible = [promised, *self._asked[cell]]
            actual = self._actual(cell, found)
            if actual is not _UNKNOWN and not any(_same(actual, each) for each in possible):
                invariant = "D9" if cell == ("secret",) else "D6"
                self._complain(invariant, record, f"{cell} is {actual!r}, promised was {possible}")
        for cell in set(self._promised) | set(self._asked):
            if cell[0] == "availability" and self._asked[cell]:
                self._vague.add(cell)  # the answer that a crash swallowed may have been "Scheduled"
            self._asked[cell].clear()
            actual = self._actual(cell, found)
            if actual is _UNKNOWN or cell in self._vague:
                self._promised.pop(cell, None)
                self._vague.add(cell)
            else:
                self._promised[cell] = actual
        for name in _differences(record.started, record.again):
            self._complain("D7", record, f"{name} after a second recovery: {_what(record.started, record.again, name)}")
        self._check_list(record)

    def _actual(self, cell: Cell, found: Picture) -> Any:
        kind = cell[0]
        if kind == "key":
            return _UNKNOWN if cell[1] in NOT_COUNTED else found.keys.get(cell[1], _UNKNOWN)
        if kind == "availability":
            if cell[1] == "0" or ("availability", "0") in self._vague:
                return _UNKNOWN
            if self._promised.get(("availability", "0"), "Operative") != "Operative":
                return _UNKNOWN
            return _UNKNOWN if self._asked["availability", "0"] else found.connectors[int(cell[1])]["availability"]
        if kind == "monitor":
            return cell[1] in {key.lower() for key in found.monitors}
        return {"secret": found.secret, "stopped": found.is_stopped}[kind]

    def _check_list(self, record: Restored) -> None:
        if record.found.list_version is None:
            return
        actual = (record.found.list_version, record.found.list_entries)
        if actual not in self._lists:
            self._complain("D8", record, f"the local list is {actual}, possible were {self._lists}")
        self._lists = [actual]
        self._list_calls.clear()

    def _compared(self, record: Compared) -> None:
        for name in _differences(record.running, record.restored):
            invariant = {"schedules": "D10", "profiles": "D10", "secret": "D9"}.get(name, "D6")
            text = _what(record.running, record.restored, name)
            self._complain(invariant, record, f"{name} is not what a restart would find: {text}")


_UNKNOWN = object()


def _same(actual: Any, promised: Any) -> bool:
    if isinstance(actual, str) and isinstance(promised, str):
        return actual.lower() == promised.lower()
    return bool(actual == promised)


def _updated(before: tuple[int, dict[str, str]], payload: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """The local list after an accepted SendLocalList (OCPP 1.6 section 5.15)."""
    entries = {} if payload["updateType"] == "Full" else dict(before[1])
    for item in payload.get("localAuthorizationList", ()):
        info = item.get("idTagInfo")
        if info is None:
            entries.pop(item["idTag"], None)
        else:
            entries[item["idTag"]] = info["status"]
    return (payload["listVersion"] if entries else 0), entries


def _differences(one: Picture, other: Picture) -> list[str]:
    return [each.name for each in fields(Picture) if getattr(one, each.name) != getattr(other, each.name)]


def _what(one: Picture, other: Picture, name: str) -> str:
    """The difference in a few words."""
    first, second = asdict(one)[name], asdict(other)[name]
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [key for key in {**first, **second} if first.get(key) != second.get(key)]
        return "; ".join(f"{key}: {first.get(key)} / {second.get(key)}" for key in keys[:2])[:600]
    return f"{first} / {second}"[:600]
