"""Registration at the CSMS, Heartbeat and the clock.

Owns the registration state and with it the gate for own and inbound CALLs (OCPP 1.6 section 4.2), the Heartbeat
(4.6), and the offset between the machine's clock and the CSMS's. Must never send anything itself: its CALLs are
taken by the outbox, and it never sets the machine's clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from orjson import dumps

from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Effect, Store
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Gate, Outbox, Outcome, OwnCall
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import RegistrationStatus

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings
    from ocpphub.core.messages import BootNotificationConfirmation

log = logging.getLogger("ocpphub.core")

TABLE: Final = "boot"
BOOT: Final = "BootNotification"
HEARTBEAT: Final = "Heartbeat"
CLOCK_THRESHOLD_MS: Final = 2_000
"""A difference up to this is jitter of the link: it neither moves the clock nor is it an event (2.8)."""
EARLIEST_UTC_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z, before this software was built: an earlier ``currentTime`` is not believed (J-307)."""
LATEST_UTC_MS: Final = 7_258_118_400_000
"""2200-01-01T00:00:00Z: a later one is not believed either; nothing here would still run, and dates end with 9999."""
RETRY_FIRST_S: Final = 10.0
RETRY_LIMIT_S: Final = 300.0
OWN_INTERVAL_S: Final = 60
"""Wait after a Pending or Rejected that names no interval (OCPP 1.6 section 4.2: a value that does not flood)."""
DAY_S: Final = 86_400
_MAX_INTEGER: Final = 2**31 - 1
_GATES: Final[dict[RegistrationStatus, Gate]] = {
    RegistrationStatus.ACCEPTED: "open",
    RegistrationStatus.PENDING: "triggered",
    RegistrationStatus.REJECTED: "closed",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(utc_ms: int) -> str:
    """Milliseconds since 1970 as the ``dateTime`` we send: UTC, three decimals, ``Z`` (OCPP 1.6 section 3.14)."""
    second, millisecond = divmod(utc_ms, 1000)
    return f"{_second_text(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=1_024)
def _second_text(second: int) -> str:
    """Most texts made in one moment are of few different seconds."""
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_utc_ms(text: str) -> int | None:
    """A ``dateTime`` as milliseconds since 1970, ``None`` for anything else; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


class Clock:
    """The CSMS's time: the machine's wall clock as it was at first, plus an offset learnt from ``currentTime``."""

    __slots__ = ("_wall_ms", "is_trusted", "offset_ms")

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms
        """How far the CSMS's time is ahead of the machine's."""
        self._wall_ms: int | None = None
        """The machine's wall clock at monotonic second 0."""
        self.is_trusted = False
        """Whether the CSMS has told the time since this process started."""

    def utc_ms(self, now: Instant) -> int:
        """Corrected milliseconds since 1970. They follow the monotonic clock: who sets the machine's moves nothing."""
        wall_ms = self._wall_ms
        if wall_ms is None:
            wall_ms = self._wall_ms = now.utc_ms - round(now.monotonic_s * 1000)
        return wall_ms + round(now.monotonic_s * 1000) + self.offset_ms

    def is_slipping(self, now: Instant) -> bool:
        """Whether :meth:`observe` has anything to look at; every input asks."""
        slip_ms = now.utc_ms - now.monotonic_s * 1000 - (self._wall_ms or 0)
        return not -CLOCK_THRESHOLD_MS < slip_ms < CLOCK_THRESHOLD_MS

    def observe(self, now: Instant) -> int:
        """By how many milliseconds somebody has set the machine's clock, 0 for less than a slip of 2 s.

        Our time goes on as before (reliability.md 4.7), unless it came from a machine that did not know it yet and was
        told now: then it is the machine's, and trusted.
        """
        if self._wall_ms is None:
            self.utc_ms(now)
            return 0
        step_ms = now.utc_ms - self._wall_ms - round(now.monotonic_s * 1000)
        if -CLOCK_THRESHOLD_MS <= step_ms <= CLOCK_THRESHOLD_MS:
            return 0
        is_told = not self.is_trusted and self.utc_ms(now) < EARLIEST_UTC_MS <= now.utc_ms < LATEST_UTC_MS
        if is_told:
            step_ms = now.utc_ms - self.utc_ms(now)
            self.is_trusted, self.offset_ms, self._wall_ms = True, 0, None
        else:
            self._wall_ms += step_ms
            self.offset_ms -= step_ms
        return step_ms

    def text(self, now: Instant) -> str:
        """The corrected time as it is sent."""
        return utc_text(self.utc_ms(now))

    def learn(self, current_time: str, round_trip_ms: int, now: Instant) -> int:
        """Follow the CSMS's ``currentTime``; the change of our time in milliseconds, 0 when it stays.

        It was told at some moment of the round trip that has just ended; half of it is the best guess. An unreadable
        or implausible time is logged and not applied (J-307); within the threshold the time is confirmed and stays,
        so that the jitter of the link moves nothing.
        """
        told_ms = parse_utc_ms(current_time)
        if told_ms is None or not EARLIEST_UTC_MS <= told_ms < LATEST_UTC_MS:
            log.warning("the CSMS told an implausible currentTime; the clock stays")
            return 0
        self.is_trusted = True
        step_ms = told_ms + round_trip_ms // 2 - self.utc_ms(now)
        if abs(step_ms) <= CLOCK_THRESHOLD_MS + round_trip_ms // 2:
            return 0
        self.offset_ms += step_ms
        return step_ms


class Boot:
    """BootNotification until Accepted, then Heartbeat (OCPP 1.6 sections 4.2 and 4.6)."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        timers: Timers,
        configuration: Configuration,
        outbox: Outbox,
    ) -> None:
        self._settings, self._emit, self._timers = settings, emit, timers
        self._configuration, self._outbox = configuration, outbox
        self.clock = Clock()
        self.registration: RegistrationStatus | None = None
        """``None`` from (re)boot to the first answer."""
        self.gate: Gate = "closed"
        """What may be sent now (OCPP 1.6 section 4.2); follows the registration, kept because every input asks."""
        self.was_accepted_once = False
        self.firmware_version = settings.firmware_version
        """What BootNotification tells: that of the settings, or what an installation has told since."""
        self.on_registration: Callable[[Instant], None] = lambda now: None
        """Called after each answer to a BootNotification."""
        self.on_clock_step: Callable[[int, bool, Instant], None] = lambda step_ms, first, now: None
        """Called with the step in milliseconds, 0 when the time was merely confirmed, and whether it is the first."""
        self.waiting: set[str] = set()
        """Which of BootNotification and Heartbeat are to be sent: see :class:`~ocpphub.core.outbox.Source`."""
        self._boot_triggered = False
        self._heartbeat_triggered = False
        self._failures = 0
        self._rebooted_on_this_link = False
        self._time_told_s = float("-inf")
        self._is_connected = False

    def restore(self, rows: Rows) -> None:
        """Take up what an earlier process knew."""
        self.was_accepted_once = "accepted" in rows.of(TABLE)
        known = rows.object(TABLE, "clock", offset_ms=int)
        if known is not None:
            self.clock.offset_ms = known["offset_ms"]

    def _register(self, registration: RegistrationStatus | None) -> None:
        self.registration = registration
        self.gate = "closed" if registration is None else _GATES[registration]

    @property
    def answers_calls(self) -> bool:
        """Whether CALLs of the CSMS are answered: neither unbooted nor Rejected (J-362, J-365)."""
        return self.gate != "closed"

    @property
    def is_pending(self) -> bool:
        """Whether the CSMS said Pending: it may configure us, but transactions have to wait (OCPP 1.6 section 4.2)."""
        return self.gate == "triggered"

    @property
    def is_accepted(self) -> bool:
        """Whether the CSMS has accepted this charge point since its last boot."""
        return self.registration is RegistrationStatus.ACCEPTED

    def reset(self) -> None:
        """As after a power-up: the next connection begins with BootNotification."""
        self._register(None)
        self._failures = 0
        self.waiting.clear()
        self.waiting.add(BOOT)
        self._heartbeat_triggered = False
        self._timers.cancel("boot")
        self._timers.cancel("heartbeat")

    def connected(self, now: Instant) -> None:
        """The link is there. OCPP-J 5.4: an accepted registration stays, unless ``boot_on_reconnect``."""
        self._is_connected, self._rebooted_on_this_link = True, False
        if self.registration is RegistrationStatus.ACCEPTED and not self._settings.link.boot_on_reconnect:
            self._arm_heartbeat(now)
        elif self.registration in (RegistrationStatus.PENDING, RegistrationStatus.REJECTED):
            if self._timers.deadline("boot") is None:
                self.waiting.add(BOOT)
            else:
                self.waiting.discard(BOOT)
        else:
            # Waits after silence or errors were for the old link; the link has a back-off of its own.
            self._register(None)
            self.waiting.add(BOOT)
            self._timers.cancel("boot")

    def disconnected(self) -> None:
        """Without a link there is nobody to send a Heartbeat to; the wait for the next Boot goes on."""
        self._is_connected = False
        self.waiting.discard(HEARTBEAT)
        self._heartbeat_triggered = False
        self._timers.cancel("heartbeat")

    def trigger_boot(self) -> None:
        """TriggerMessage(BootNotification): do not wait for the interval (OCPP 1.6 section 4.2)."""
        self.waiting.add(BOOT)
        self._timers.cancel("boot")

    def trigger_heartbeat(self) -> None:
        """TriggerMessage(Heartbeat): send one now, in Pending too."""
        self.waiting.add(HEARTBEAT)
        self._heartbeat_triggered = True

    def handle_boot_timer(self) -> None:
        """The wait between two BootNotifications is over."""
        self.waiting.add(BOOT)

    def repeat_after_security_error(self) -> bool:
        """The CSMS says SecurityError: it may have forgotten us, so boot again, once per link (JE 3.8)."""
        if self.registration is not RegistrationStatus.ACCEPTED or self._rebooted_on_this_link:
            return False
        self.reset()
        self._rebooted_on_this_link = True
        return True

    # BootNotification

    def next_call(self, gate: Gate, now: Instant) -> OwnCall | None:
        """BootNotification when it is due, else the Heartbeat."""
        if BOOT in self.waiting:
            self.waiting.discard(BOOT)
            return OwnCall(BOOT, boot_payload(self._settings, self.firmware_version), self._boot_done)
        if HEARTBEAT in self.waiting and (gate == "open" or (gate == "triggered" and self._heartbeat_triggered)):
            self.waiting.discard(HEARTBEAT)
            self._heartbeat_triggered = False
            return OwnCall(HEARTBEAT, {}, self._heartbeat_done)
        return None

    def _boot_done(self, outcome: Outcome, now: Instant) -> None:
        if outcome.kind == "link_lost":
            self.waiting.add(BOOT)
        elif outcome.confirmation is None:
            self._retry_boot(now)
        else:
            answer = cast("BootNotificationConfirmation", outcome.confirmation.payload())
            self._receive_registration(answer, now)

    def _retry_boot(self, now: Instant) -> None:
        wait_s = min(RETRY_FIRST_S * 2.0 ** min(self._failures, 10), RETRY_LIMIT_S)
        self._failures += 1
        self._timers.set("boot", now.monotonic_s + wait_s)

    def _receive_registration(self, answer: BootNotificationConfirmation, now: Instant) -> None:
        self._failures = 0
        self._register(RegistrationStatus(answer["status"]))
        interval_s = answer["interval"]
        log.info("BootNotification: %s, interval %d s", answer["status"], interval_s)
        self._learn(answer["currentTime"], now)
        if self.registration is RegistrationStatus.ACCEPTED:
            self._accept(interval_s, now)
        else:
            # 0 names no interval; a negative one is nonsense; a day bounds what a slip of the CSMS can cost.
            wait_s = min(interval_s, DAY_S) if interval_s > 0 else OWN_INTERVAL_S
            self._timers.set("boot", now.monotonic_s + wait_s)
        self.on_registration(now)

    def _accept(self, interval_s: int, now: Instant) -> None:
        if not self.was_accepted_once:
            self.was_accepted_once = True
            self._emit(Store(TABLE, "accepted", b"true"))
        if interval_s > 0:  # AMB-17: an interval of 0 leaves the key as it is
            self._configuration.set_by_csms("HeartbeatInterval", str(min(interval_s, _MAX_INTEGER)))
        self._arm_heartbeat(now)

    # Heartbeat and clock

    def _arm_heartbeat(self, now: Instant) -> None:
        # OCPP 1.6 section 4.6: another CALL within the interval stands for it, but once a day the time is asked for.
        interval_s = self._configuration.integer("HeartbeatInterval")
        due_s = min(self._outbox.last_sent_s + interval_s, self._time_told_s + DAY_S)
        self._timers.set("heartbeat", max(due_s, now.monotonic_s))

    def watch_machine(self, now: Instant) -> int:
        """The machine's clock may have been set: the step in milliseconds. Effects: ``Store`` of the new offset."""
        was_trusted = self.clock.is_trusted
        step_ms = self.clock.observe(now)
        if step_ms:
            self._emit(Store(TABLE, "clock", dumps({"offset_ms": self.clock.offset_ms})))
            if self.clock.is_trusted and not was_trusted:
                self.on_clock_step(step_ms, True, now)
        return step_ms

    def rearm_heartbeat(self, now: Instant) -> None:
        """HeartbeatInterval changed; it acts at once (CORE-HB-05)."""
        if self._is_connected and self.registration is RegistrationStatus.ACCEPTED:
            self._arm_heartbeat(now)

    def handle_heartbeat_timer(self, now: Instant) -> None:
        """A Heartbeat may be due; traffic since it was armed moves it on."""
        self._arm_heartbeat(now)
        if self._timers.deadline("heartbeat") == now.monotonic_s:
            self._timers.cancel("heartbeat")
            self.waiting.add(HEARTBEAT)

    def _heartbeat_done(self, outcome: Outcome, now: Instant) -> None:
        if outcome.confirmation is not None:
            self._learn(outcome.confirmation.payload()["currentTime"], now)
        if outcome.kind != "link_lost":
            self._time_told_s = max(self._time_told_s, now.monotonic_s - DAY_S + OWN_INTERVAL_S)
            self.rearm_heartbeat(now)

    def _learn(self, current_time: str, now: Instant) -> None:
        self._time_told_s = now.monotonic_s
        was_trusted = self.clock.is_trusted
        round_trip_ms = round((now.monotonic_s - self._outbox.last_sent_s) * 1000)
        step_ms = self.clock.learn(current_time, round_trip_ms, now)
        if step_ms:
            self._emit(Store(TABLE, "clock", dumps({"offset_ms": self.clock.offset_ms})))
        if step_ms or self.clock.is_trusted != was_trusted:
            self.on_clock_step(step_ms, not was_trusted, now)


def boot_payload(settings: ChargePointSettings, firmware_version: str | None) -> dict[str, Any]:
    """BootNotification.req of a charge point; optional texts that are not known are left out."""
    payload = {
        "chargePointVendor": settings.vendor,
        "chargePointModel": settings.model,
        "chargePointSerialNumber": settings.serial_number,
        "chargeBoxSerialNumber": settings.charge_box_serial_number,
        "firmwareVersion": firmware_version,
        "iccid": settings.iccid,
        "imsi": settings.imsi,
        "meterType": settings.meter_type,
        "meterSerialNumber": settings.meter_serial_number,
    }
    return {name: text for name, text in payload.items() if text}
