"""One composite schedule over a window of any length, computed in slices that a loop can afford.

Owns how much of a window is computed at a time and how the slices are joined into one ChargingSchedule. Must never
take a schedule apart into Python objects: its text is shifted and joined as it comes from the engine.

Implements: OCPP 1.6 section 5.7; SCA-35 and SCA-36 (nothing is cut off in silence).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ocpphub._native import Profiles

TURN_S: Final = 500 * 86_400
"""Connectors times seconds that are computed at once: 500 connectors over a day, with 96 periods each 2 to 10 ms."""
DAY_S: Final = 86_400
RESTARTS: Final = 3
"""How often a schedule that changed while it was computed is begun again, before it is finished as it is."""
_PERIODS: Final = b'"chargingSchedulePeriod":['
_START: Final = len(b'"startPeriod":')
_STRETCH: Final = b'{"start":"'
_FROM: Final = slice(0, 20)
_UNTIL: Final = slice(29, 49)
"""Where the two instants of a stretch are, behind :data:`_STRETCH`."""
EXPLANATION_BYTES: Final = 4 * 2**20
"""More than anybody reads; a client's output is limited too."""


def composite(
    profiles: Profiles,
    version: Callable[[], int],
    connector_id: int,
    connectors: int,
    start_s: int,
    duration_s: int,
    unit: str,
) -> Iterator[bytes]:
    """The ChargingSchedule of a connector, or of all ``connectors`` for 0, as JSON text: the last thing it yields.

    Before that it yields an empty text after each slice of work, where the window is too long for one: take the next
    one in a later turn of the loop. ``version`` tells whether profiles have changed meanwhile; then it begins again, at
    most :data:`RESTARTS` times. Raises ``ValueError`` for a window that leaves the years 0 to 9999.
    """
    weight = max(1, connectors) if connector_id == 0 else 1
    if weight * duration_s <= TURN_S:
        yield profiles.composite(connector_id, start_s, duration_s, unit)
        return
    step_s = max(1, min(DAY_S, TURN_S // weight))
    for attempt in range(RESTARTS + 1):
        began = version()
        joined = Joined()
        for offset_s in range(0, duration_s, step_s):
            length_s = min(step_s, duration_s - offset_s)
            # Without a transaction Relative profiles count from the query (SCA-11): from the start of the whole window.
            joined.add(profiles.composite(connector_id, start_s + offset_s, length_s, unit, start_s), offset_s)
            if version() != began and attempt < RESTARTS:
                break
            yield b""
        else:
            yield joined.text(unit, duration_s)
            return


def explanation(
    profiles: Profiles, connector_id: int, connectors: int, start_s: int, duration_s: int, unit: str
) -> Iterator[bytes]:
    """The result of ``schedule.explain`` as JSON text in parts; take the next one in a later turn of the loop.

    Stretches that a slice of work has cut in two are joined again. Raises ``ValueError`` when it gets too long.
    """
    weight = max(1, connectors) if connector_id == 0 else 1
    step_s = max(1, min(duration_s, TURN_S // weight))
    size, before = 0, b"["
    start = end = rest = b""
    for offset_s in range(0, duration_s, step_s):
        length_s = min(step_s, duration_s - offset_s)
        text = profiles.explain(connector_id, start_s + offset_s, length_s, unit, start_s)
        parts = []
        for stretch in text[1 + len(_STRETCH) : -1].split(b"," + _STRETCH):
            if rest and stretch[_UNTIL.stop :] != rest:
                parts.append(b'%b%b%b","end":"%b%b' % (before, _STRETCH, start, end, rest))
                before, rest = b",", b""
            start = start if rest else stretch[_FROM]
            end, rest = stretch[_UNTIL], stretch[_UNTIL.stop :]
        size += sum(map(len, parts))
        if size > EXPLANATION_BYTES:
            raise ValueError("duration_s: more than can be explained at once")
        yield b"".join(parts)
    yield b'%b%b%b","end":"%b%b]' % (before, _STRETCH, start, end, rest)


class Joined:
    """ChargingSchedules of windows that follow one another, as one; equal neighbours are merged (15.1 step 6)."""

    __slots__ = ("_last", "_parts")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._last = b""

    def add(self, schedule: bytes, offset_s: int) -> None:
        """Append the schedule of the window that begins ``offset_s`` after the first one."""
        periods = schedule.partition(_PERIODS)[2].removesuffix(b"]}")[1:-1].split(b"},{")
        split = [period.partition(b",") for period in periods]
        if split[0][2] == self._last:
            del split[0]
        if split:
            self._last = split[-1][2]
            shifted = [b'{"startPeriod":%d,%b}' % (int(start[_START:]) + offset_s, rest) for start, _, rest in split]
            self._parts.append(b",".join(shifted))

    def text(self, unit: str, duration_s: int) -> bytes:
        """The joined ChargingSchedule as JSON text."""
        head = b'{"chargingRateUnit":"%b","duration":%d,' % (unit.encode(), duration_s)
        return b"%b%b%b]}" % (head, _PERIODS, b",".join(self._parts))
