"""Twenty thousand calls of clients with every mix of roles: each is let through exactly where rpc.md "Access" says."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pytest

from ocpphub.api import ChargePoint
from ocpphub.config import Role
from tests import builders
from tests.hub_doubles import ClientDouble, rpc_settings, running_hub, serve, turns
from tests.rpc.furnished import DESCRIBED, SCHEMAS

CALLS, CLIENTS, AT_ONCE = 20_000, 50, 40
CONNECTORS = {"CP1": 3, "CP2": 5}
READ = ("get_*", "subscribe", "unsubscribe", "*.get", "*.list", "schedule.*", "server.info", "rpc.*")
POLICY: dict[str, tuple[str, ...]] = {
    "monitor": READ,
    "energy": (*READ, "station.set_limit"),
    "controller": (
        *(*READ, "controller.*", "connector.*", "data_transfer", "data_transfer.register", "security_event"),
        *("firmware.report", "diagnostics.report"),
    ),
    "operator": ("*",),
}
"""rpc.md "Access", written down by hand: role -> patterns of what it may call."""
OPERATORS_ONLY = ("connector.set_availability",)
"""What rpc.md's table of controllers marks as the operator's."""
OF_NO_CHARGE_POINT = ("server.info", "rpc.ping", "rpc.discover", "unsubscribe")
WITH_ZERO = (
    *("schedule.get", "schedule.explain", "schedule.profiles", "connector.report", "connector.set_availability"),
    *("controller.attach", "controller.detach", "subscribe"),
)
"""Where connector 0, the whole charge point, may be named: by clients without a range (T41)."""
OUTCOMES = {-32004: "forbidden", -32002: "unknown connector", -32003: "unknown charge point"}


@dataclass
class Person:
    """A client by its roles: each with its connectors, ``None`` for all; and the charge point it has chosen."""

    grants: list[tuple[str, tuple[int, ...] | None]]
    chosen: str | None = None
    expected: dict[int, tuple[str, dict[str, Any], str]] = field(default_factory=dict)
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)

    def may(self, method: str) -> list[tuple[int, ...] | None]:
        """The ranges of those roles that let the client call the method."""
        return [connectors for role, connectors in self.grants if allows(role, method)]

    def outcome(self, method: str, params: dict[str, Any]) -> str:
        """What has to become of a call."""
        ranges = self.may(method)
        if not ranges:
            return "forbidden"
        identity = params.get("charge_point", self.chosen)
        if identity is None or (method == "rpc.use" and "charge_point" not in params):
            return "allowed" if method in OF_NO_CHARGE_POINT else "which charge point"
        if identity not in CONNECTORS:
            return "unknown charge point"
        if "ocpp.message" in params.get("topics", ()) and not any(role == "operator" for role, _ in self.grants):
            return "forbidden"
        known = set(range(0 if method in WITH_ZERO and None in ranges else 1, CONNECTORS[identity] + 1))
        if None not in ranges:
            known &= {connector_id for connectors in ranges for connector_id in connectors or ()}
        return "allowed" if named(params) <= known else "unknown connector"


def allows(role: str, method: str) -> bool:
    """Whether a role has a method."""
    if role != "operator" and method in OPERATORS_ONLY:
        return False
    return any(fnmatchcase(method, pattern) for pattern in POLICY[role])


def named(params: dict[str, Any]) -> set[int]:
    """The connectors that a call names."""
    connectors = params.get("connectors", params.get("connector_id", []))
    return set(connectors) if isinstance(connectors, list) else {connectors}


def people(dice: random.Random) -> Iterator[Person]:
    """Each role with and without a range, then mixtures of two or three."""
    for role in POLICY:
        yield Person([(role, None)])
        yield Person([(role, (1, 2))])
    while True:
        ranges = (None, (1,), (2, 3), (1, 5), (4, 5))
        yield Person([(dice.choice([*POLICY]), dice.choice(ranges)) for _ in range(dice.choice((2, 3)))])


def call(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A method with parameters that are right but for charge point, connectors and topics, which may be anybody's."""
    method = dice.choice([*DESCRIBED])
    params: dict[str, Any] = {}
    for param in DESCRIBED[method]["params"]:
        name = param["name"]
        if name == "charge_point":
            choice = dice.choice(["CP1", "CP2", "CP1", "CP2", "CP9", None])
            params |= {} if choice is None else {"charge_point": choice}
        elif name in ("connector_id", "connectors") and (param["required"] or dice.random() < 0.5):
            ids = [dice.choice([0, 1, 1, 2, 2, 3, 4, 5, 6]) for _ in range(dice.choice((1, 1, 2)))]
            params[name] = ids[0] if name == "connector_id" else ids
        elif name == "topics":
            params[name] = [dice.choice(["is_connected", "connector.status", "ocpp.message"])]
        elif param["required"]:
            params[name] = SCHEMAS.example(param["schema"])
    return method, params


async def send(dice: random.Random, person: Person, client: ClientDouble, first: int) -> None:
    """Some calls in one piece; what has to become of each is decided as they go."""
    requests = []
    for number in range(first, first + AT_ONCE):
        method, params = call(dice)
        outcome = person.outcome(method, params)
        person.expected[number] = method, params, outcome
        if outcome == "allowed" and method in ("rpc.use", "controller.attach"):
            person.chosen = params.get("charge_point", person.chosen)
        requests.append({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    client.send(*requests)
    for _ in range(10 * AT_ONCE):
        await turns(1)
        person.answers |= {message["id"]: message for message in client.received() if "id" in message}
        if len(person.answers) == len(person.expected):
            return
    raise AssertionError(f"no answer to {person.expected.keys() - person.answers.keys()}")


def answered(*arguments: Any) -> None:
    """In place of the core, which is never asked: the answer comes in the next turn of the loop."""
    asyncio.get_running_loop().call_soon(arguments[-1], "done", None)


def found(answer: dict[str, Any]) -> str:
    """What has become of a call; errors that are about other things come after all that is judged here."""
    error = answer.get("error", {"code": 0})
    if error["code"] == -32602 and error["data"]["path"] == "/params/charge_point":
        return "which charge point"
    return OUTCOMES.get(error["code"], "allowed")


@pytest.mark.asyncio
async def test_calls_of_every_mix_of_roles_are_let_through_exactly_by_the_policy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T03, T13, T40, T41: role x method x charge point x connector, within the range and outside."""
    monkeypatch.setattr(ChargePoint, "command", answered)
    monkeypatch.setattr(ChargePoint, "transactions", answered)
    dice = random.Random(20261122)  # noqa: S311  # not for secrets
    clients = [person for person, _ in zip(people(dice), range(CLIENTS), strict=False)]
    roles = [Role(role, 1_000 + n, None, ids) for n, person in enumerate(clients) for role, ids in person.grants]
    points = [builders.settings(identity=name, connectors=count) for name, count in CONNECTORS.items()]
    seen: Counter[str] = Counter()
    async with running_hub(*points, rpc=rpc_settings(roles)) as bench:
        server = serve(bench)
        for n, person in enumerate(clients):
            client = ClientDouble(server, uid=1_000 + n)
            for first in range(0, CALLS // CLIENTS, AT_ONCE):
                await send(dice, person, client, first)
            for number, (method, params, outcome) in person.expected.items():
                assert found(person.answers[number]) == outcome, (person.grants, method, params, number)
                seen[outcome] += 1
            client.close()
    assert sum(seen.values()) == CALLS
    assert min(seen[each] for each in (*OUTCOMES.values(), "allowed", "which charge point")) > 200
