"""rpc/subscriptions.py: events on their way to one client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from ocpphub.api import ChargePoint
from ocpphub.core.instant import Instant
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.output import Output, Unread
from ocpphub.rpc.subscriptions import Subscription
from tests import builders

NOW = Instant(5.0, 1_800_000_000_123)


class Reader:
    """One client's output with one subscription."""

    def __init__(self, topics: list[str], connectors: Any = None) -> None:
        self.point = ChargePoint(builders.settings(), lambda: NOW)
        self.output = Output(2000, Unread())
        self.woken = 0
        chosen = None if connectors is None else ConnectorSet.parse(connectors)
        self.subscription = Subscription(4, self.point, topics, chosen, self.output, self.wake)

    def wake(self) -> None:
        self.woken += 1

    def publish(self, topic: str, value: Any, connector_id: int | None = None) -> None:
        self.point.publications.publish(topic, orjson.dumps(value), connector_id)

    def read(self) -> Iterator[dict[str, Any]]:
        self.output.writable = True
        text = b""
        while chunk := self.output.take():
            text += chunk
        for line in text.splitlines():
            yield orjson.loads(line)["params"]


def test_event_reaches_the_client_with_all_its_members() -> None:
    reader = Reader(["security_event"])

    reader.publish("security_event", {"type": "x"})

    assert list(reader.read()) == [
        {
            "subscription": 4,
            "stream": reader.point.publications.stream,
            "seq": 2,
            "charge_point": "CP1",
            "topic": "security_event",
            "timestamp": "2027-01-15T08:00:00.123Z",
            "value": {"type": "x"},
        }
    ]
    assert reader.woken == 1


def test_event_of_another_topic_does_not_reach_the_client() -> None:
    reader = Reader(["security_event"])

    reader.publish("is_connected", True)

    assert list(reader.read()) == []


@pytest.mark.parametrize("connectors", ["2", "1-2,4-99"])
def test_event_of_another_connector_does_not_reach_the_client(connectors: str) -> None:
    """T41"""
    reader = Reader(["connector.status"], connectors)

    for connector_id in (1, 2, 3):
        reader.publish("connector.status", {"connector_id": connector_id}, connector_id)

    allowed = ConnectorSet.parse(connectors)
    seen = [event["value"]["connector_id"] for event in reader.read()]
    assert seen == [connector_id for connector_id in (1, 2, 3) if connector_id in allowed]


def test_schedules_reach_the_client_for_its_connectors_only() -> None:
    """T41"""
    reader = Reader(["charging_schedules"], "0,2")

    reader.publish("charging_schedules", {"0": {"a": 0}, "1": {"a": 1}, "2": {"a": 2}})

    (event,) = reader.read()
    assert event["value"] == {"0": {"a": 0}, "2": {"a": 2}}


def test_slow_client_gets_the_latest_state_of_each_connector() -> None:
    """T05"""
    reader = Reader(["connector.status"])
    reader.output.writable = False

    for status in ("a", "b"):
        for connector_id in (1, 2):
            reader.publish("connector.status", {"id": connector_id, "status": status}, connector_id)

    assert [event["value"] for event in reader.read()] == [{"id": 1, "status": "b"}, {"id": 2, "status": "b"}]


def test_slow_client_learns_which_events_it_has_lost() -> None:
    """T05"""
    reader = Reader(["security_event"])
    reader.output.writable = False
    for _ in range(10):
        reader.publish("security_event", {"type": "x" * 50})

    events = list(reader.read())

    first = events[-2]["seq"] + 1
    assert events[-1]["topic"] == "overflow"
    assert events[-1]["value"] == {"first_seq": first, "last_seq": 11}
    assert (events[-1]["subscription"], events[-1]["seq"], events[-1]["charge_point"]) == (4, 11, "CP1")


def test_snapshot_has_the_topics_that_are_states() -> None:
    reader = Reader(["is_connected", "security_event", "charging_schedules"])
    reader.publish("is_connected", True)

    snapshot = orjson.loads(orjson.dumps(reader.subscription.snapshot()))

    assert snapshot == {"is_connected": True, "charging_schedules": None}


def test_resume_gives_only_what_the_subscription_is_about() -> None:
    """T41"""
    reader = Reader(["connector.status", "security_event"], "1")
    stream, seq = reader.point.publications.stream, reader.point.publications.seq
    reader.publish("is_connected", True)
    reader.publish("connector.status", {}, 1)
    reader.publish("connector.status", {}, 2)
    reader.publish("security_event", {"type": "x"})

    missed = reader.subscription.resume(stream, seq)

    assert missed is not None
    assert [(event.topic.name, event.connector_id) for event in missed] == [
        ("connector.status", 1),
        ("security_event", None),
    ]


def test_subscription_that_has_ended_is_silent() -> None:
    reader = Reader(["is_connected"])

    reader.subscription.end()
    reader.publish("is_connected", True)

    assert list(reader.read()) == []
