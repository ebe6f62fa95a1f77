"""The publications of charging schedules: the variable ``charging_schedules`` and the topic ``connector.schedule``.

Owns when they are published and over which window. Must never build a Python object per connector for the variable,
nor publish more than :data:`SLICE` connectors in one turn of the loop.

Implements: design rpc.md "Interface variables"; CORE-SC-45 as far as schedules go; design 0008 item 12.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ocpphub._native import Profiles
from ocpphub.core.boot import Clock
from ocpphub.core.effects import Effect, Publish
from ocpphub.core.instant import Instant
from ocpphub.core.timers import Timers

if TYPE_CHECKING:
    from ocpphub.config import HubSettings

log = logging.getLogger("ocpphub.core")

SLICE: Final = 200
"""Connectors whose changed schedules are published in one turn of the loop."""
SETTLE_S: Final = 0.05
"""How long a change waits for the next one, so that a burst of them is one publication."""
PUBLISH: Final = ("schedules", "publish")
CHANGES: Final = ("schedules", "changes")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PERIODS: Final = b'"chargingSchedulePeriod"'


def second_text(second: int) -> str:
    """A whole second since 1970 as ``dateTime`` without decimals, in UTC; of the years 1 to 9999."""
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19] + "Z"


class SchedulePublication:
    """What is published of one charge point's schedules, and when."""

    __slots__ = (
        *("_changed_s", "_clock", "_duration_s", "_emit", "_first_change_s", "_interval_s", "_is_watched"),
        *("_length_s", "_min_interval_s", "_profiles", "_published_s", "_timers", "_unit"),
    )

    def __init__(
        self,
        profiles: Profiles,
        unit: str,
        hub: HubSettings | None,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
    ) -> None:
        """``unit`` is the first allowed one; ``[hub]`` may name another (surface.md)."""
        self._profiles, self._emit, self._timers, self._clock = profiles, emit, timers, clock
        self._unit = unit if hub is None or hub.schedule_unit is None else hub.schedule_unit
        self._interval_s = 30.0 if hub is None else hub.publish_interval_s
        self._min_interval_s = 1.0 if hub is None else hub.publish_min_interval_s
        self._duration_s = 600 if hub is None else hub.publish_duration_s
        self._published_s = float("-inf")
        self._first_change_s: float | None = None
        self._changed_s = float("-inf")
        self._is_watched = False
        self._length_s = self._duration_s

    @property
    def duration_s(self) -> int:
        """The published window."""
        return self._duration_s

    def text(self, now: Instant) -> bytes:
        """The value of ``charging_schedules`` beginning at the present whole second, as JSON text."""
        return self._profiles.composite_all(self._second(now), self._duration_s, self._unit)

    def texts(self, connector_ids: Iterable[int], now: Instant) -> bytes:
        """The same for these connectors alone, each computed by itself: cheaper while they are few."""
        second = self._second(now)
        head = b'"startSchedule":"%b",%b' % (second_text(second).encode(), _PERIODS)
        return b"{%b}" % b",".join(
            b'"%d":%b' % (connector_id, self._one(connector_id, second).replace(_PERIODS, head, 1))
            for connector_id in connector_ids
        )

    def _one(self, connector_id: int, second: int) -> bytes:
        return self._profiles.composite(connector_id, second, self._length_s, self._unit)

    def changed(self, now: Instant) -> None:
        """Schedules may be others than before. The publication follows soon, once for all changes of a burst.

        It waits until nothing changes for :data:`SETTLE_S`, but never longer than ``publish_min_interval_s``, and never
        comes sooner than that after the one before.
        """
        self._changed_s = now.monotonic_s
        if self._first_change_s is None:
            self._first_change_s = now.monotonic_s
            self._arm(now)

    def _arm(self, now: Instant) -> None:
        due_s = self._published_s + self._interval_s if self._interval_s > 0 else float("inf")
        if self._first_change_s is not None:
            settled_s = min(self._changed_s + SETTLE_S, self._first_change_s + self._min_interval_s)
            due_s = min(due_s, max(settled_s, self._published_s + self._min_interval_s))
        if due_s != float("inf"):
            self._timers.set(PUBLISH, max(due_s, now.monotonic_s))

    def handle_publish_timer(self, now: Instant) -> None:
        """It may be time to publish; changes since the timer was set move it on."""
        self._arm(now)
        if self._timers.deadline(PUBLISH) == now.monotonic_s:
            self.publish(now)

    def publish(self, now: Instant) -> None:
        """Effects: ``Publish`` of ``charging_schedules``, then of changed ``connector.schedule`` while watched."""
        self._published_s, self._first_change_s = now.monotonic_s, None
        self._timers.cancel(PUBLISH)
        self._arm(now)
        self._emit(Publish("charging_schedules", self.text(now)))
        self._tell_length()
        if self._is_watched:
            self.publish_changes(now)

    def _tell_length(self) -> None:
        """A limit that is reached is never silence: a window that holds too many periods is published shorter."""
        length_s = self._profiles.fitted_s or self._duration_s
        if length_s != self._length_s:
            self._length_s = length_s
            log.warning("charging_schedules covers %d s of %d s, which hold its periods", length_s, self._duration_s)

    def publish_changes(self, now: Instant) -> None:
        """Effects: ``Publish`` of the next changed ``connector.schedule``; the rest follows in later turns."""
        changes = self._profiles.changes(self._second(now), self._duration_s, self._unit, SLICE)
        for connector_id, schedule in changes:
            value = b'{"connector_id":%d,"schedule":%b}' % (connector_id, schedule)
            self._emit(Publish("connector.schedule", value, connector_id))
        if len(changes) == SLICE:
            self._timers.set(CHANGES, now.monotonic_s)

    def watch(self, is_watched: bool, now: Instant) -> None:
        """Whether somebody listens to ``connector.schedule``: a first listener has a snapshot of what is now."""
        self._is_watched = is_watched
        self._timers.cancel(CHANGES)
        self._profiles.forget_changes()
        if is_watched:
            self.publish_changes(now)  # none: it is what later ones are compared with

    def _second(self, now: Instant) -> int:
        return self._clock.utc_ms(now) // 1000
