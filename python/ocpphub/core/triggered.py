"""TriggerMessage(MeterValues): the newest values, as soon as the link is free (OCPP 1.6 section 5.17).

Owns which connectors have been asked for. They are no transaction-related messages: nothing of them is stored, ordered
or repeated, and what waits is composed from current data when its turn comes. Asked again while it waits, a connector
is told once. Implements: CORE-TM-03, CORE-TM-05, CORE-TM-08, CORE-TM-11, CORE-MV-17, CORE-MV-21.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Gate, Outcome, OwnCall

Compose = Callable[[int], dict[str, Any] | None]


class TriggeredMeterValues:
    """A source of the outbox. ``compose`` gives the MeterValues.req of a connector, ``None`` without any value."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        self.waiting: dict[int, None] = {}
        """Connectors: see :class:`~ocpphub.core.outbox.Source`."""

    def put(self, connector_ids: Iterable[int]) -> None:
        """Tell the values of these connectors; the last named goes first."""
        self.waiting.update(dict.fromkeys(connector_ids))

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """The MeterValues of a connector that was asked for, while Pending too (CORE-TM-11)."""
        while self.waiting and gate != "closed":
            payload = self._compose(self.waiting.popitem()[0])
            if payload is not None:
                return OwnCall("MeterValues", payload, _told)
        return None

    def clear(self) -> None:
        """The link is gone, and with it whoever asked."""
        self.waiting.clear()

    def __len__(self) -> int:
        return len(self.waiting)


def _told(outcome: Outcome, now: Instant) -> None:
    """Whatever the CSMS answers: a triggered message is not repeated."""
