"""Security events: which are published, which are sent, and how often refused frames are told (white paper A04, 8).

Owns the list of critical events and the rate limit of InvalidMessages. Must never drop an event that it took: a sent
one is a durable entry of the outbox before anybody hears that it was accepted, and each one, critical or not, is a
``Record`` for the security log (A04.FR.04, N01.FR.05).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from orjson import dumps

from ocpphub import _native
from ocpphub.core.boot import Clock
from ocpphub.core.effects import Effect, Publish, Record
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import DurableQueue
from ocpphub.errors import LocalError, UnavailableError

log = logging.getLogger("ocpphub.core")

CRITICAL: Final = frozenset(
    (
        "FirmwareUpdated",
        "SettingSystemTime",
        "StartupOfTheDevice",
        "ResetOrReboot",
        "SecurityLogWasCleared",
        "MemoryExhaustion",
        "TamperDetectionActivated",
    )
)
"""The events that are pushed to the CSMS (security white paper chapter 8; D-25)."""
MAX_TYPE: Final = 50
MAX_INFO: Final = 255
INVALID_MESSAGES_INTERVAL_S: Final = 60.0
SYSTEM_TIME_INTERVAL_S: Final = 3_600.0
CAUSE_INTERVAL_S: Final = 3_600.0
_CHECK_ID: Final = "check"


class SecurityEvents:
    """Security events of one charge point, from inside and from the command ``security_event``."""

    def __init__(self, emit: Callable[[Effect], None], queue: DurableQueue, clock: Clock) -> None:
        self._emit, self._queue, self._clock = emit, queue, clock
        self.is_stopped = False
        """While stopped events are published but none is stored (decisions.md 6)."""
        self.refused: Counter[str] = Counter()
        """Frames of the CSMS that broke a rule, by the code of what they broke; shown by metrics."""
        self._refused_frames = 0
        self._invalid_told_s = float("-inf")
        self._time_told_s = float("-inf")
        self._cause_told_s: dict[tuple[str, str], float] = {}

    def command(self, kind: str, info: str | None, now: Instant) -> None:
        """The command: always sent, delivered after reconnect and restart. Effects: ``Store``, ``Record``.

        ``kind`` 1 to 50 and ``info`` up to 255 characters. Raises :class:`LocalError` for others,
        :class:`UnavailableError` when too many events wait.
        """
        payload = _payload(kind, info)
        probe = {**payload, "timestamp": self._clock.text(now)}
        try:
            _native.encode_call(_CHECK_ID, "SecurityEventNotification", probe)
        except ValueError as error:
            raise LocalError("invalid_params", "not a legal security event", hint=str(error)) from None
        if self._queue.is_full:
            raise UnavailableError("busy", "too many security events wait", retry_after_ms=60_000)
        self._put(payload, now)
        self._record(kind, info or "", now)

    def internal(self, kind: str, info: str, now: Instant) -> None:
        """An event of our own.

        Effects: ``Record`` and ``Publish`` on ``security_event``; before them ``Store`` for a critical one.
        """
        log.info("security event %s", kind)
        if kind in CRITICAL and not self.is_stopped:
            # Our own are few and rate-limited: they go beyond the limit that commands are held to (reliability.md 3.5).
            self._put(_internal_payload(kind, info), now)
        self._record(kind, info, now)
        value = {"type": kind, "info": info} if info else {"type": kind}
        self._emit(Publish("security_event", dumps(value)))

    def _record(self, kind: str, info: str, now: Instant) -> None:
        self._emit(Record(kind[:MAX_TYPE], info[:MAX_INFO], self._clock.utc_ms(now)))

    def _put(self, payload: dict[str, Any], now: Instant) -> None:
        self._queue.put("SecurityEventNotification", payload, self._clock.utc_ms(now), self._clock.is_trusted)

    def refuse_frame(self, why: str, now: Instant, code: str = "") -> None:
        """A frame of the CSMS was refused: one InvalidMessages a minute, with the number since the last (J-277).

        ``code`` says which rule it broke; empty for a valid answer that nobody waits for.
        """
        self._refused_frames += 1
        if code:
            self.refused[code] += 1
            why = f"{code} {why}"
        if now.monotonic_s - self._invalid_told_s >= INVALID_MESSAGES_INTERVAL_S:
            count, self._refused_frames = self._refused_frames, 0
            self._invalid_told_s = now.monotonic_s
            log.warning("%d refused frames, the last one: %s", count, why)
            self.internal("InvalidMessages", f"{count} refused, the last one: {why}"[:MAX_INFO], now)

    def new_link(self) -> None:
        """The rate limit of InvalidMessages counts per connection."""
        self._invalid_told_s, self._refused_frames = float("-inf"), 0

    def link_failed(self, event: str, info: str, now: Instant, cause: str = "") -> None:
        """An attempt to connect failed for a reason of security: the same one at most once an hour (D-19, T14).

        The event and ``cause`` together say which one: the fingerprint of the certificate that was refused, an alert.
        """
        told = {key: at_s for key, at_s in self._cause_told_s.items() if now.monotonic_s - at_s < CAUSE_INTERVAL_S}
        self._cause_told_s = told  # a peer may show a new certificate with every attempt: nothing older is kept
        if (event, cause) in told:
            return
        told[event, cause] = now.monotonic_s
        self.internal(event, info[:MAX_INFO], now)
        if event == "InvalidCentralSystemCertificate":
            self.internal("CentralSystemFailedToAuthenticate", info[:MAX_INFO], now)

    def clock_stepped(self, step_ms: int, now: Instant) -> None:
        """Our time moved; at most one SettingSystemTime an hour (reliability.md 4.7)."""
        if now.monotonic_s - self._time_told_s >= SYSTEM_TIME_INTERVAL_S:
            self._time_told_s = now.monotonic_s
            self.internal("SettingSystemTime", f"moved by {step_ms / 1000:.3f} s", now)


def _payload(kind: object, info: object) -> dict[str, Any]:
    if not isinstance(kind, str) or not 1 <= len(kind) <= MAX_TYPE:
        raise LocalError("invalid_params", "bad type", path="/params/type", hint=f"1 to {MAX_TYPE} characters")
    if info is not None and (not isinstance(info, str) or len(info) > MAX_INFO):
        raise LocalError("invalid_params", "bad info", path="/params/info", hint=f"at most {MAX_INFO} characters")
    return {"type": kind, "techInfo": info} if info else {"type": kind}


def _internal_payload(kind: str, info: str) -> dict[str, Any]:
    """S-214: texts made inside are cut and never fail."""
    return _payload(kind[:MAX_TYPE], info[:MAX_INFO])
