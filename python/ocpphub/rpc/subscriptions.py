"""One subscription of one client: events of a charge point turned into lines of its output.

Owns the shape of the ``event`` notification and what a client may see of it. Must never copy a publication: the text
is made once and shared, only the subscription's number is put in front.

Implements: design rpc.md "Interface variables" (subscribe, event, overflow); reliability.md T41.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ocpphub.api import ChargePoint
from ocpphub.publications import TOPICS, Event, rfc3339
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.output import Output


class Subscription:
    """A client's interest in some topics of one charge point, limited to ``connectors`` (``None``: all)."""

    __slots__ = (
        "_charge_point",
        "_connectors",
        "_notify",
        "_output",
        "_prefix",
        "_publications",
        "_stops",
        "_topics",
        "number",
    )

    def __init__(
        self,
        number: int,
        charge_point: ChargePoint,
        topics: list[str],
        connectors: ConnectorSet | None,
        output: Output,
        notify: Callable[[], None],
    ) -> None:
        self.number = number
        self._charge_point = charge_point
        self._publications = publications = charge_point.publications
        self._topics = frozenset(topics)
        self._connectors = connectors
        self._output = output
        self._notify = notify
        self._prefix = b'{"jsonrpc":"2.0","method":"event","params":{"subscription":%d,' % number
        self._stops = [publications.listen(topic, self.receive, connectors) for topic in self._topics]

    def receive(self, event: Event) -> None:
        """Put an event into the output of the client."""
        line = b"%b%b}}\n" % (self._prefix, event.text(self._connectors))
        if event.topic.state:
            self._output.state((self.number, event.topic.name, event.connector_id), line)
        else:
            self._output.event(line, event.seq, self.number, self._overflow)
        self._notify()

    def snapshot(self) -> dict[str, Any]:
        """Topic -> its state now; topics whose values are events have none and are left out."""
        return {
            topic: self._charge_point.snapshot(topic, self._connectors)
            for topic in sorted(self._topics)
            if TOPICS[topic].state
        }

    def resume(self, stream: str, seq: int) -> list[Event] | None:
        """The events of these topics and connectors behind a position, ``None`` when some are gone."""
        missed = self._publications.since(stream, seq, self._topics)
        return None if missed is None else [event for event in missed if self._concerns(event)]

    def end(self) -> None:
        """No more events."""
        for stop in self._stops:
            stop()
        self._stops = []

    def _concerns(self, event: Event) -> bool:
        return self._connectors is None or event.connector_id is None or event.connector_id in self._connectors

    def _overflow(self, first: int, last: int) -> bytes:
        publications = self._publications
        params = {
            "subscription": self.number,
            "stream": publications.stream,
            "charge_point": publications.identity,
            "seq": last,
            "topic": "overflow",
            "timestamp": rfc3339(publications.now().utc_ms),
            "value": {"first_seq": first, "last_seq": last},
        }
        message = {"jsonrpc": "2.0", "method": "event", "params": params}
        return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)
