"""rpc/methods.py: the table and the checking of parameters."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.methods import METHODS, discover
from tests.rpc.test_signature import refusal

PUBLISHED = {
    "stop": [],
    "restart": [],
    "data_transfer": ["vendor_id", "message_id", "data"],
    "get_configuration_key": ["keys"],
    "set_custom_configuration_key": ["key", "value"],
    "monitor_configuration_keys": ["keys"],
    "security_event": ["type", "info"],
}
"""The interface as published: names are exact."""


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_table_has_the_published_commands_with_their_parameters(name: str) -> None:
    assert [parameter.name for parameter in METHODS[name].parameters] == PUBLISHED[name]


@pytest.mark.parametrize(
    ("method", "params", "args"),
    [
        ("stop", {}, []),
        ("data_transfer", {"vendor_id": "v"}, ["v", None, None]),
        ("data_transfer", {"data": "d", "message_id": "m", "vendor_id": "v" * 255}, ["v" * 255, "m", "d"]),
        ("get_configuration_key", {}, [()]),
        ("get_configuration_key", {"keys": []}, [[]]),
        ("set_custom_configuration_key", {"key": "k" * 50, "value": "v" * 500}, ["k" * 50, "v" * 500]),
        ("security_event", {"type": "t" * 50, "info": "i" * 255}, ["t" * 50, "i" * 255]),
        ("security_event", {"type": "ä" * 50, "info": ""}, ["ä" * 50, ""]),
        ("connector.list", {"connectors": "1-2"}, [ConnectorSet.parse("1-2")]),
        ("schedule.get", {"connector_id": 0, "duration_s": 60}, [0, 60, None, None]),
        ("schedule.get", {"connector_id": 1, "duration_s": 60, "unit": "W", "at": "x"}, [1, 60, "W", "x"]),
        ("schedule.explain", {"connector_id": 1}, [1, None, None, None]),
        ("schedule.explain", {"connector_id": 1, "at": "x", "duration_s": 9, "unit": "A"}, [1, 9, "A", "x"]),
        ("schedule.profiles", {}, [None]),
        ("schedule.profiles", {"connector_id": 0}, [ConnectorSet.parse("0")]),
        ("subscribe", {"topics": ["is_connected"]}, [["is_connected"], None, True, None]),
        (
            "subscribe",
            {"topics": ["is_connected"], "snapshot": False, "since": {"stream": "s", "seq": 3}},
            [["is_connected"], None, False, ("s", 3)],
        ),
        ("rpc.ping", {"charge_point": "CP1"}, []),
        ("rpc.use", {"charge_point": "CP1"}, ["CP1"]),
    ],
)
def test_parameters_that_are_right_become_arguments(method: str, params: dict[str, Any], args: list[Any]) -> None:
    assert METHODS[method].bind(params) == args


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("data_transfer", {}, "/params/vendor_id"),
        ("data_transfer", {"vendor_id": "v" * 256}, "/params/vendor_id"),
        ("data_transfer", {"vendor_id": "v", "message_id": "m" * 51}, "/params/message_id"),
        ("data_transfer", {"vendor_id": "v", "message_id": None}, "/params/message_id"),
        ("data_transfer", {"vendor_id": "v", "data": {"a": 1}}, "/params/data"),
        ("get_configuration_key", {"keys": "HeartbeatInterval"}, "/params/keys"),
        ("get_configuration_key", {"keys": ["a", 1]}, "/params/keys/1"),
        ("get_configuration_key", {"keys": ["a"] * 10_001}, "/params/keys"),
        ("set_custom_configuration_key", {"key": "k", "value": 5}, "/params/value"),
        ("set_custom_configuration_key", {"key": "k" * 51, "value": ""}, "/params/key"),
        ("set_custom_configuration_key", {"key": "k", "value": "v" * 501}, "/params/value"),
        ("monitor_configuration_keys", {}, "/params/keys"),
        ("monitor_configuration_keys", {"keys": ["k" * 51]}, "/params/keys/0"),
        ("security_event", {"type": "t", "info": "i" * 256}, "/params/info"),
        ("security_event", {"type": "t" * 51, "info": "i"}, "/params/type"),
        ("security_event", {"type": "t"}, "/params/info"),
        ("connector.get", {"connector_id": True}, "/params/connector_id"),
        ("connector.get", {"connector_id": 1.0}, "/params/connector_id"),
        ("schedule.get", {"connector_id": 1}, "/params/duration_s"),
        ("schedule.get", {"connector_id": 1, "duration_s": True}, "/params/duration_s"),
        ("schedule.get", {"connector_id": 1, "duration_s": "60"}, "/params/duration_s"),
        ("schedule.get", {"connector_id": 1, "duration_s": 1.5}, "/params/duration_s"),
        ("schedule.get", {"connector_id": "1", "duration_s": 60}, "/params/connector_id"),
        ("schedule.explain", {"connector_id": 1, "unit": "kW"}, "/params/unit"),
        ("schedule.explain", {"connector_id": 1, "at": 5}, "/params/at"),
        ("schedule.profiles", {"connector_id": True}, "/params/connector_id"),
        ("get_variable", {"name": "is_conected"}, "/params/name"),
        ("subscribe", {"topics": []}, "/params/topics"),
        ("subscribe", {"topics": ["nothing"]}, "/params/topics/0"),
        ("subscribe", {"topics": ["is_connected"], "snapshot": 1}, "/params/snapshot"),
        ("subscribe", {"topics": ["is_connected"], "since": {"stream": "s"}}, "/params/since/seq"),
        ("subscribe", {"topics": ["is_connected"], "since": {"stream": "s", "seq": -1}}, "/params/since/seq"),
        ("unsubscribe", {"subscription": "1"}, "/params/subscription"),
        ("rpc.use", {}, "/params/charge_point"),
    ],
)
def test_parameters_that_are_wrong_are_refused_with_their_path(method: str, params: dict[str, Any], path: str) -> None:
    """T12"""
    error = refusal(method, **params)

    assert (error.code, error.path) == ("invalid_params", path)
    assert error.hint


def test_discover_describes_every_method_and_parameter() -> None:
    document = discover()

    described = {row["name"]: [param["name"] for param in row["params"]] for row in document["methods"]}
    assert set(described) == set(METHODS)
    assert described["data_transfer"] == ["vendor_id", "message_id", "data", "charge_point"]
    assert described["rpc.use"] == ["charge_point"]
    assert all(row["x-role"] and row["result"]["schema"] for row in document["methods"])
    limits = {p["name"]: p["schema"] for row in document["methods"] for p in row["params"]}
    assert limits["info"] == {"type": "string", "maxLength": 255}
