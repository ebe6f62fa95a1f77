"""Charging profiles of one charge point: set, cleared, asked for, stored, purged.

Owns the engine with the installed profiles, their rows, and the answers to the CSMS and to local readers. Must never
look into a profile: its text goes to the engine as it came, and schedules leave it as text. When schedules are
published is known to ``charging_schedules.py``, how long ones are computed to ``composite.py``.

Implements: OCPP 1.6 sections 3.13, 5.5, 5.7 and 5.16; errata 3.8, 3.24 to 3.29, 3.37, 3.39 and 3.57; requirement 15.3
rows 2, 3 and 8; SCA-23 to 25, 32, 35, 39 and 40.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from orjson import Fragment, loads

from ocpphub import _native
from ocpphub.core.boot import Clock, parse_utc_ms
from ocpphub.core.cap import Amount
from ocpphub.core.charging_schedules import SchedulePublication, second_text
from ocpphub.core.composite import composite, explanation
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.electrical import RATE_UNITS, new_profiles
from ocpphub.core.inbound import Answer, Handler, Refusal, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.messages import ClearChargingProfileRequest, GetCompositeScheduleRequest
from ocpphub.core.permit import Limit, ceiling_of, limit_of
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import (
    ChargingProfilePurposeType,
    ChargingProfileStatus,
    ClearChargingProfileStatus,
    GetCompositeScheduleStatus,
)
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, HubSettings
    from ocpphub.core.transaction import Transaction

log = logging.getLogger("ocpphub.core")

TABLE: Final = "charging_profile"
FEATURE: Final = "SmartCharging"
PURGE: Final = ("schedules", "purge")
COMPOSITE: Final = ("schedules", "composite")
PURGE_CHECK_S: Final = 3_600.0
"""Longest wait for a purge: the machine's wall clock may be set while monotonic time goes on."""
FIRST_S: Final = -62_135_596_800
END_S: Final = 253_402_300_800
"""The years 1 to 9999, beyond which no ``dateTime`` can be written."""
TURN_BYTES: Final = 262_144
TURN_CONNECTORS: Final = 5_000
"""Text and connectors after which ``schedule.profiles`` lets the loop turn."""
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REJECTED: Final = {"status": str(GetCompositeScheduleStatus.REJECTED)}

"""Answers a CALL that was left open: its id, the answer, now."""


class SmartCharging:
    """The charging profiles of one charge point and the schedules that follow from them."""

    def __init__(
        self,
        settings: ChargePointSettings,
        hub: HubSettings | None,
        emit: Callable[[Effect], None],
        timers: Timers,
        clock: Clock,
        configuration: Configuration,
        reply: Reply,
    ) -> None:
        """Raises :class:`LocalError` for configured limits that cannot be computed with exactly."""
        self._emit, self._timers, self._clock = emit, timers, clock
        self._configuration, self._reply = configuration, reply
        self._connectors = settings.connectors
        allowed = configuration.text("ChargingScheduleAllowedChargingRateUnit") or ""
        self._units = tuple(RATE_UNITS[name] for name in allowed.split(","))
        """Allowed units, the first one for those who name none (SCA-23)."""
        self._profiles = self._engine(settings)
        self.publication = SchedulePublication(self._profiles, self._units[0], hub, emit, timers, clock)
        self._settings = settings
        self._version = 0
        self.on_change: Callable[[int, Instant], None] = lambda connector_id, now: None
        """Hears that the limits of a connector, of all for 0, may be others now."""
        self._aside: set[str] = set()
        """Keys of stored rows that cannot be used: they stay until the CSMS clears what it believes to be there."""
        self._open: tuple[_native.Call, dict[str, Any], Iterator[bytes]] | None = None
        """A GetCompositeSchedule that is computed in slices: its id, its answer so far, and the work that is left."""

    def _engine(self, settings: ChargePointSettings) -> _native.Profiles:
        return new_profiles(
            settings,
            max_stack_level=self._configuration.integer("ChargeProfileMaxStackLevel"),
            max_periods=self._configuration.integer("ChargingScheduleMaxPeriods"),
            max_installed=self._configuration.integer("MaxChargingProfilesInstalled"),
            units="".join(self._units),
        )

    def restore(self, rows: Rows) -> None:
        """Take up the profiles of an earlier process (errata 3.37). A row that cannot be read is left aside, loudly."""
        stored = rows.of(TABLE)
        if FEATURE not in self._configuration.feature_profiles:
            # Nobody could clear them: they must not limit anything, and wait in the store until the feature is back.
            if stored:
                log.warning("%d stored charging profiles rest: %s is switched off", len(stored), FEATURE)
            return
        keys = list(stored)
        for index in self._profiles.restore(list(stored.values())):
            self._aside.add(keys[index])
            log.error("a damaged row of %s is left aside: %s", TABLE, keys[index])
        if resting := self._profiles.resting:
            log.warning("%d stored charging profiles rest: their connectors are not there", resting)

    def start(self, running: Iterable[Transaction], now: Instant) -> None:
        """The process starts, with these transactions of an earlier one running.

        Effects: ``Discard`` of the TxProfiles of others (SCA-32), ``Publish`` of the first schedules.
        """
        for transaction in running:
            start_s = transaction.start_ms // 1000
            self._profiles.transaction_started(transaction.connector_id, start_s, transaction.transaction_id)
        self._discard(self._profiles.purge(FIRST_S))
        self.publication.publish(now)
        self._arm_purge(now)

    def __len__(self) -> int:
        """How many profiles are installed."""
        return len(self._profiles)

    # the CSMS

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler for the profile SmartCharging."""
        return {
            "SetChargingProfile": self.set_charging_profile,
            "ClearChargingProfile": self.clear_charging_profile,
            "GetCompositeSchedule": self.get_composite_schedule,
        }

    def set_charging_profile(self, call: _native.Call, now: Instant) -> Answer | Refusal:
        """OCPP 1.6 section 5.16. Effects: ``Discard`` of what it replaces, ``Store``; the answer comes after them."""
        connector_id: int = call.get("connectorId")
        if not 0 <= connector_id <= self._connectors:
            return Refusal("PropertyConstraintViolation", f"connectorId: 0 to {self._connectors}")  # errata 3.39
        is_installed = self._install(connector_id, call.raw("csChargingProfiles") or b"", now)
        return Answer({"status": ChargingProfileStatus.ACCEPTED if is_installed else ChargingProfileStatus.REJECTED})

    def _install(self, connector_id: int, profile: bytes, now: Instant) -> bool:
        installed = self._profiles.install(connector_id, profile, self._second(now))
        if isinstance(installed, str):
            log.info("a charging profile for connector %d is rejected: %s", connector_id, installed)
            return False
        profile_id = installed.charging_profile_id
        self._discard(replaced for replaced in installed.replaced if replaced != profile_id)
        self._emit(Store(TABLE, str(profile_id), installed.row))
        self._aside.discard(str(profile_id))
        self._changed(now, connector_id)
        if installed.moved_from is not None:
            self.on_change(installed.moved_from, now)
        return True

    def clear_charging_profile(self, call: _native.Call, now: Instant) -> Answer:
        """OCPP 1.6 section 5.5. Effects: ``Discard`` of what matched; the answer comes after them."""
        request = cast("ClearChargingProfileRequest", call.payload())
        profile_id, connector_id = request.get("id"), request.get("connectorId")
        aside = self._aside & {str(profile_id)} if profile_id is not None else set()
        if profile_id is not None:  # errata 3.26: with an id nothing else counts
            cleared = self._profiles.clear(profile_id)
        elif not request:
            aside, cleared = self._aside, self._profiles.clear()
        elif connector_id is not None and not 0 <= connector_id <= self._connectors:
            cleared = []  # SCA-25
        else:
            purpose, level = request.get("chargingProfilePurpose"), request.get("stackLevel")
            cleared = self._profiles.clear(connector_id=connector_id, purpose=purpose, stack_level=level)
        if not cleared and not aside:
            return Answer({"status": ClearChargingProfileStatus.UNKNOWN})
        self._discard([*cleared, *sorted(aside)])
        self._aside = self._aside - aside
        self._changed(now)
        return Answer({"status": ClearChargingProfileStatus.ACCEPTED})

    def get_composite_schedule(self, call: _native.Call, now: Instant) -> Answer | None:
        """OCPP 1.6 section 5.7: from now on; one that is too long to be computed at once is answered later."""
        request = cast("GetCompositeScheduleRequest", call.payload())
        connector_id, unit = request["connectorId"], request.get("chargingRateUnit", self._units[0])
        # SCA-35: a longer window is cut, and the answer's duration says so.
        duration_s = min(request["duration"], self.max_duration_s)
        if not 0 <= connector_id <= self._connectors or duration_s <= 0 or unit not in self._units:
            return Answer(_REJECTED)
        start_s = self._second(now)
        answer = {
            "status": GetCompositeScheduleStatus.ACCEPTED,
            "connectorId": connector_id,
            "scheduleStart": second_text(start_s),
        }
        work = self._composite(connector_id, start_s, duration_s, unit)
        if schedule := next(work):
            return Answer({**answer, "chargingSchedule": Fragment(schedule)})
        self._open = call, answer, work
        self._timers.set(COMPOSITE, now.monotonic_s)
        return None

    def _continue_composite(self, now: Instant) -> None:
        if self._open is None:
            return
        call, answer, work = self._open
        reaction: Answer | Refusal
        try:
            schedule = next(work)
            reaction = Answer({**answer, "chargingSchedule": Fragment(schedule)})
        except Exception:
            # As for a handler that answers at once (J-278): an open CALL would hold up all later ones.
            log.exception("a composite schedule failed")
            reaction = Refusal("InternalError", "the schedule could not be computed")
        else:
            if not schedule:
                self._timers.set(COMPOSITE, now.monotonic_s)
                return
        self._open = None
        self._reply(call, reaction, now)

    def link_lost(self) -> None:
        """Nobody waits for an open answer any more."""
        self._open = None
        self._timers.cancel(COMPOSITE)

    # transactions

    def transaction_started(self, connector_id: int, start_s: int, transaction_id: int | None, now: Instant) -> None:
        """A transaction runs since ``start_s`` (UTC); its id may come later. Relative profiles count from there."""
        self._profiles.transaction_started(connector_id, start_s, transaction_id)
        self._changed(now, connector_id)

    def refuses_for_transaction(self, profile: bytes, now: Instant) -> str | None:
        """Why a ChargingProfile of RemoteStartTransaction is refused, ``None`` for a good one (CORE-RS-09, RS-11)."""
        if FEATURE not in self._configuration.feature_profiles:
            return None  # CORE-RS-10: then it is ignored
        trial = self._engine(replace(self._settings, connectors=1, connector_overrides=()))
        trial.transaction_started(1, self._second(now))
        installed = trial.install(1, profile, self._second(now))
        if isinstance(installed, str):
            return installed
        described = loads(trial.installed(1))[0]
        if described["purpose"] != ChargingProfilePurposeType.TX_PROFILE or "transaction_id" in described:
            return "only a TxProfile without transactionId"
        return None

    def install_for_transaction(self, connector_id: int, profile: bytes, now: Instant) -> None:
        """Install the profile that a RemoteStartTransaction brought (SCA-30). Effects: ``Discard``, ``Store``."""
        if FEATURE in self._configuration.feature_profiles:
            self._install(connector_id, profile, now)

    def limit(self, connector_id: int, now: Instant) -> Limit:
        """What the composite schedule of connector 1 to N allows now."""
        return limit_of(self._profiles, connector_id, self._second(now))

    def ceiling(self, now: Instant) -> tuple[Amount, int]:
        """What ChargePointMaxProfile allows the whole charge point now, and for how many seconds."""
        return ceiling_of(self._profiles, self._second(now))

    def transaction_moved(self, connector_id: int, start_s: int, now: Instant) -> None:
        """The time became known: the running transaction began then, and Relative profiles count from there."""
        self._profiles.transaction_moved(connector_id, start_s)
        self._changed(now, connector_id)

    def transaction_confirmed(self, connector_id: int, transaction_id: int) -> None:
        """The CSMS has given the running transaction its id, which TxProfiles may name from now on (SCA-31)."""
        self._profiles.transaction_confirmed(connector_id, transaction_id)

    def transaction_stopped(self, connector_id: int, now: Instant) -> None:
        """The transaction is over and its TxProfiles with it (CORE-SC-06). Effects: ``Discard`` of those."""
        self._discard(self._profiles.transaction_stopped(connector_id))
        self._changed(now, connector_id)

    # time

    def handle_timer(self, part: str, now: Instant) -> None:
        """A timer of this part is due. Effects: ``Publish``, ``Discard`` or ``Send``, whatever was due."""
        match part:
            case "publish":
                self.publication.handle_publish_timer(now)
            case "changes":
                self.publication.publish_changes(now)
            case "purge":
                self._purge(now)
            case "composite":
                self._continue_composite(now)

    def clock_stepped(self, step_ms: int, now: Instant) -> None:
        """The CSMS has told the time: schedules move by the step, and from now on profiles may be over."""
        if step_ms:
            self._changed(now)
        else:
            self._arm_purge(now)

    def _purge(self, now: Instant) -> None:
        """SCA-39. Effects: ``Discard`` of what can never be active again."""
        over = self._profiles.purge(self._second(now))
        if over:
            log.info("%d charging profiles are over", len(over))
            self._discard(over)
            self._changed(now)
        else:
            self._arm_purge(now)

    def _arm_purge(self, now: Instant) -> None:
        second = self._profiles.next_purge()
        if second is None or not self._clock.is_trusted:  # 0008 item 11: a wrong clock must not remove anything
            self._timers.cancel(PURGE)
            return
        wait_s = (second * 1000 - self._clock.utc_ms(now)) / 1000
        self._timers.set(PURGE, now.monotonic_s + min(max(wait_s, 0.0), PURGE_CHECK_S))

    # local readers

    @property
    def unit(self) -> str:
        """The unit of those who name none."""
        return self._units[0]

    @property
    def max_duration_s(self) -> int:
        """The longest window of a composite schedule."""
        return self._configuration.integer("MaxCompositeScheduleDuration")

    def get(
        self, connector_id: int, duration_s: int, unit: str | None, at: str | None, now: Instant
    ) -> Iterator[bytes]:
        """The result of ``schedule.get`` (rpc.md) as JSON text in parts, the loop may turn after each.

        ``at`` is RFC 3339 text, now when absent; ``unit`` the first allowed one when absent. Raises :class:`LocalError`
        at once for what cannot be answered.
        """
        start_s, unit = self._asked(connector_id, duration_s, unit, at, self.max_duration_s, now)
        return self._texts(connector_id, start_s, duration_s, unit)

    def _texts(self, connector_id: int, start_s: int, duration_s: int, unit: str) -> Iterator[bytes]:
        yield b'{"connector_id":%d,"schedule_start":"%b","schedule":' % (connector_id, second_text(start_s).encode())
        yield from self._composite(connector_id, start_s, duration_s, unit)
        yield b"}"

    def explain(
        self, connector_id: int, duration_s: int | None, unit: str | None, at: str | None, now: Instant
    ) -> Iterator[bytes]:
        """The result of ``schedule.explain`` (rpc.md) as JSON text in parts, the loop may turn after each.

        Without ``duration_s`` over the published window. Raises :class:`LocalError`, for what cannot be answered at
        once, for too much to be told (``too_large``) when it has become that.
        """
        limit_s = self.max_duration_s
        duration_s = min(self.publication.duration_s, limit_s) if duration_s is None else duration_s
        start_s, unit = self._asked(connector_id, duration_s, unit, at, limit_s, now)
        return self._explained(connector_id, start_s, duration_s, unit)

    def _explained(self, connector_id: int, start_s: int, duration_s: int, unit: str) -> Iterator[bytes]:
        try:
            yield from explanation(self._profiles, connector_id, self._connectors, start_s, duration_s, unit)
        except ValueError:
            hint = f"less than {duration_s} s: too many stretches"
            raise LocalError("too_large", path="/params/duration_s", hint=hint) from None

    def installed(self, connector_ids: Iterable[int] | None) -> Iterator[bytes]:
        """The result of ``schedule.profiles`` (rpc.md) for these connectors or all: array items, by connector.

        The loop may turn after each text; a text may be empty. Raises :class:`LocalError` for an unknown connector.
        """
        part: list[bytes] = []
        size = 0
        chosen = range(self._connectors + 1) if connector_ids is None else connector_ids
        for count, connector_id in enumerate(chosen, 1):
            self._check(connector_id)
            items = self._profiles.installed(connector_id)[1:-1]
            if items:
                part.append(items)
                size += len(items)
            if size > TURN_BYTES or count % TURN_CONNECTORS == 0:
                yield b",".join(part)
                part, size = [], 0
        yield b",".join(part)

    def _asked(
        self, connector_id: int, duration_s: int, unit: str | None, at: str | None, limit_s: int, now: Instant
    ) -> tuple[int, str]:
        """Start and unit of a question. Raises :class:`LocalError` naming the parameter that is wrong."""
        self._check(connector_id)
        if not 1 <= duration_s <= limit_s:
            raise _wrong("not a duration in range", "duration_s", f"1 to {limit_s}")
        if unit is not None and unit not in RATE_UNITS.values():
            raise _wrong("unknown unit", "unit", "A or W")
        start_s = self._second(now) if at is None else _second_of(at)
        if not FIRST_S <= start_s <= END_S - duration_s:
            raise _wrong("a window outside the calendar", "at", "the years 1 to 9999")
        return start_s, unit or self._units[0]

    def _check(self, connector_id: int) -> None:
        if not 0 <= connector_id <= self._connectors:
            raise LocalError("unknown_connector", path="/params/connector_id", hint=f"0 to {self._connectors}")

    # inside

    def _composite(self, connector_id: int, start_s: int, duration_s: int, unit: str) -> Iterator[bytes]:
        return composite(
            self._profiles, lambda: self._version, connector_id, self._connectors, start_s, duration_s, unit
        )

    def _changed(self, now: Instant, connector_id: int = 0) -> None:
        self._version += 1
        self.publication.changed(now)
        self._arm_purge(now)
        self.on_change(connector_id, now)

    def _discard(self, profile_ids: Iterable[int | str]) -> None:
        for profile_id in profile_ids:
            self._emit(Discard(TABLE, str(profile_id)))

    def _second(self, now: Instant) -> int:
        return self._clock.utc_ms(now) // 1000  # SCA-06


def _second_of(text: str) -> int:
    utc_ms = parse_utc_ms(text.upper()) if _MOMENT.fullmatch(text) else None
    if utc_ms is None:
        raise _wrong("no moment", "at", 'RFC 3339, such as "2027-01-15T08:00:00Z"')
    return utc_ms // 1000


def _wrong(what: str, name: str, hint: str) -> LocalError:
    return LocalError("invalid_params", what, path=f"/params/{name}", hint=hint)
