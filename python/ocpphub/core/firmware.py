"""Firmware updates, signed and unsigned: from the request to the new version (white paper L01, OCPP 1.6 section 5.19).

Owns how far the one update of a charge point is, which statuses follow, and the row that brings it over a restart: what
is not being installed yet begins again with the download and tells nothing twice; an installation that was cut off has
succeeded if the version is another now, has failed if a program of ours did it, and else waits for its controller. Must
never transfer, verify or install by itself: that is ``Work``, or a controller's.

Implements: S-231 to S-244; CORE-UF-01 to CORE-UF-10; decisions.md 6.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, cast

from orjson import dumps

from ocpphub import _native
from ocpphub.core.boot import Boot
from ocpphub.core.charging import Charging
from ocpphub.core.connector import Connector, Connectors
from ocpphub.core.effects import Effect, Store
from ocpphub.core.inbound import Answer, Handler
from ocpphub.core.install import Installer
from ocpphub.core.instant import Instant
from ocpphub.core.maintenance import TABLE, Maintenance, Retries, moment, why_of
from ocpphub.core.messages import SignedUpdateFirmwareRequest, UpdateFirmwareRequest
from ocpphub.core.notices import Notices
from ocpphub.core.rows import Rows
from ocpphub.core.security import SecurityEvents
from ocpphub.core.timers import Timers
from ocpphub.core.update import Update
from ocpphub.core.vocabulary import FirmwareStatus, UpdateFirmwareStatusEnumType
from ocpphub.core.vocabulary import FirmwareStatusEnumType as Status
from ocpphub.core.x509 import X509, Certificate, CertificateError

log = logging.getLogger("ocpphub.core")

KEY: Final = "firmware"
TIMER: Final = "firmware"
MAX_BYTES: Final = 536_870_912
REBOOT_WAIT_S: Final = 60.0
"""How long a reboot waits until its status is told."""
MAX_VERSION: Final = 50
SIGNED: Final = "SignedFirmwareStatusNotification"
UNSIGNED: Final = "FirmwareStatusNotification"
_CANNOT_BE_CANCELLED: Final = ("installing", "rebooting")


class Firmware:
    """The one firmware update of a charge point."""

    def __init__(
        self,
        emit: Callable[[Effect], None],
        timers: Timers,
        boot: Boot,
        connectors: Connectors,
        charging: Charging,
        security: SecurityEvents,
        notices: Notices,
        installer: Installer,
        options: Maintenance,
    ) -> None:
        self._emit, self._timers, self._boot, self._clock = emit, timers, boot, boot.clock
        self._connectors, self._charging, self._security = connectors, charging, security
        self._notices, self._installer, self._options = notices, installer, options
        self._questions = installer.questions
        self.x509: X509 | None = None
        self.manufacturer_roots: Callable[[], list[Certificate]] = list
        """Who may sign firmware (S-231); of ``certificates.py``."""
        self.reboot: Callable[[Instant], None] = lambda now: None
        """Begins a reset of the charge point that nobody can refuse; of ``reset.py``."""
        self.is_resetting: Callable[[], bool] = lambda: False
        """Whether a reset is under way, which would cut an installation off; of ``reset.py``."""
        self._update: Update | None = None
        self._file_version = boot.firmware_version
        self._version: dict[str, str | None] | None = None
        """What an installation has told, until the version of the settings is another one."""
        self._work: int | None = None
        self.busy: Connector | None = None
        """A connector whose transaction is waited for; every input asks."""
        notices.save = self._save
        notices.on_told = self._told
        installer.on_started = self._started
        installer.on_end = self._installed

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler: the signed or the unsigned one, never both (S-241)."""
        if self._options.unsigned:
            return {"UpdateFirmware": self.update_unsigned}
        return {} if self.x509 is None else {"SignedUpdateFirmware": self.update_signed}

    def restore(self, rows: Rows) -> None:
        """Take up the row of an earlier process."""
        row = rows.object(TABLE, KEY, statuses=list)
        if row is None:
            return
        self._notices.restore(row["statuses"])
        if isinstance(row.get("update"), dict):
            self._update = Update.of(row["update"])
        version = row.get("version")
        if isinstance(version, dict) and version.get("file") == self._file_version:
            self._version = version
            self._boot.firmware_version = version.get("version")

    def start(self, now: Instant) -> None:
        """The process started: an update that was under way goes on. Effects: ``Store``, ``Work``."""
        update = self._update
        if update is None or update.is_over:
            return
        if update.stage == "rebooting":
            self._end(Status.INSTALLED, now)
        elif update.stage == "installing":
            self._resume_installation(update, now)
        else:
            self._discard(update)
            self._begin(update, now)
        self._save()

    def _resume_installation(self, update: Update, now: Instant) -> None:
        if self._boot.firmware_version != update.before:
            self._end(Status.INSTALLED, now)
        elif self._options.has_install_hook:
            log.warning("the process ended while firmware was installed")
            self._end(Status.INSTALLATION_FAILED, now)
        else:
            self._hold(is_held=True, now=now)
            self._installer.resume(now)

    # requests

    def update_signed(self, call: _native.Call, now: Instant) -> Answer:
        """SignedUpdateFirmware (L01). Effects: ``Store``, ``Work``; ``Abandon`` of the update it replaces."""
        request = cast("SignedUpdateFirmwareRequest", call.payload())
        firmware = request["firmware"]
        if (why := self._refusal(firmware["signingCertificate"], now)) is not None:
            log.warning("a signed firmware update is refused: %s", why)
            return Answer(
                {"status": UpdateFirmwareStatusEnumType.INVALID_CERTIFICATE},
                lambda at: self._security.internal("InvalidFirmwareSigningCertificate", why, at),
            )
        is_running = self._update is not None and not self._update.is_over
        if is_running and not self._cancel(now):
            return Answer({"status": UpdateFirmwareStatusEnumType.REJECTED})
        self._take(
            Update(
                request["requestId"],
                firmware["location"],
                moment(firmware["retrieveDateTime"]) or 0,
                moment(firmware.get("installDateTime")) or 0,
                Retries.of(request),
                firmware["signingCertificate"],
                firmware["signature"],
            ),
            now,
        )
        accepted = UpdateFirmwareStatusEnumType.ACCEPTED_CANCELED if is_running else None
        return Answer({"status": accepted or UpdateFirmwareStatusEnumType.ACCEPTED})

    def _refusal(self, pem: str, now: Instant) -> str | None:
        """S-231: why this certificate may not sign firmware."""
        assert self.x509 is not None  # noqa: S101  # there is no handler without it
        roots = self.manufacturer_roots()
        if not roots:
            return "no ManufacturerRootCertificate is installed"
        try:
            self.x509.check_firmware_signer(self.x509.read(pem)[0], roots, self._clock.utc_ms(now))
        except CertificateError as error:
            return str(error)
        return None

    def update_unsigned(self, call: _native.Call, now: Instant) -> Answer:
        """UpdateFirmware (OCPP 1.6 section 5.19). Effects: ``Store``, ``Work``; ``Abandon`` of what it replaces."""
        request = cast("UpdateFirmwareRequest", call.payload())
        if self._update is not None and not self._update.is_over and not self._cancel(now):
            log.warning("UpdateFirmware is ignored: another firmware is being installed")  # CORE-UF-10
            return Answer({})
        retrieve_ms = moment(request["retrieveDate"]) or 0
        self._take(Update(None, request["location"], retrieve_ms, 0, Retries.of(request)), now)
        return Answer({})

    def _cancel(self, now: Instant) -> bool:
        """End the update under way for another one (S-242); false once it is being installed."""
        update = self._update
        if update is None or update.stage in _CANNOT_BE_CANCELLED:
            return False
        if self._work is not None:
            self._questions.abandon(self._work)
            self._work = None
        for part in ("retrieve", "retry", "install"):
            self._timers.cancel((TIMER, part))
        self._discard(update)
        if update.request_id is not None:
            self._notices.withdraw(update.request_id)
        self._hold(is_held=False, now=now)
        return True

    def _take(self, update: Update, now: Instant) -> None:
        self._update = update
        self._begin(update, now)
        self._save()

    # download and signature

    def _begin(self, update: Update, now: Instant) -> None:
        update.stage = "scheduled"
        if not self._is_due("retrieve", update.retrieve_ms, now):
            self._tell(Status.DOWNLOAD_SCHEDULED)
            return
        update.stage = "downloading"
        self._tell(Status.DOWNLOADING)
        self._work = self._questions.work(
            "transfer.download", {"location": update.location, "max_bytes": MAX_BYTES}, self._downloaded
        )

    def _is_due(self, part: str, at_ms: int, now: Instant) -> bool:
        """Whether a date has come; its timer runs if not."""
        wait_ms = at_ms - self._clock.utc_ms(now)
        if wait_ms <= 0:
            return True
        self._timers.set((TIMER, part), now.monotonic_s + wait_ms / 1000)
        return False

    def handle_timer(self, part: str, now: Instant) -> None:
        """A date has come, or a wait is over. Effects: ``Work``, ``Store``; what comes of a reboot."""
        update = self._update
        if part == "report":
            self._installer.handle_timer(now)
        elif part == "reboot":
            self.reboot(now)
        elif update is not None and part == "install":
            self._proceed(update, now)
            self._save()
        elif update is not None:
            self._begin(update, now)
            self._save()

    def clock_stepped(self, now: Instant) -> None:
        """Our time is another: a date may have come, or gone back into the future."""
        for part in ("retrieve", "install"):
            if self._timers.deadline((TIMER, part)) is not None:
                self._timers.set((TIMER, part), now.monotonic_s)

    def _downloaded(self, result: Any, error: Exception | None, now: Instant) -> None:
        update, self._work = self._update, None
        if update is None:
            return
        why = why_of(result, error)
        if why is not None:
            self._download_failed(update, why, now)
        else:
            update.path = result["path"]
            self._tell(Status.DOWNLOADED)
            if update.signature is None:
                self._proceed(update, now)
            else:
                self._verify(update)
        self._save()

    def _download_failed(self, update: Update, why: str, now: Instant) -> None:
        log.warning("the download of firmware failed: %s", why)
        if update.retries.take(why):
            self._tell(Status.DOWNLOAD_PAUSED)
            self._timers.set((TIMER, "retry"), now.monotonic_s + update.retries.interval_s)
        elif not update.has_entered(Status.DOWNLOADED):
            self._end(Status.DOWNLOAD_FAILED, now)
        else:  # it was told to be there before the restart
            self._end(Status.INSTALLATION_FAILED, now)

    def _verify(self, update: Update) -> None:
        update.stage = "verifying"
        params = {"path": update.path, "certificate": update.certificate, "signature": update.signature}
        self._work = self._questions.work("firmware.verify", params, self._verified)

    def _verified(self, result: Any, error: Exception | None, now: Instant) -> None:
        update, self._work = self._update, None
        if update is None:
            return
        why = why_of(result, error)
        if why is None:
            self._tell(Status.SIGNATURE_VERIFIED)
            self._proceed(update, now)
        else:
            was_good = update.has_entered(Status.SIGNATURE_VERIFIED)
            is_forged = why == "invalid_signature"
            if is_forged:
                self._security.internal("InvalidFirmwareSignature", f"request {update.request_id}", now)
            is_first = is_forged and not was_good
            self._end(Status.INVALID_SIGNATURE if is_first else Status.INSTALL_VERIFICATION_FAILED, now)
        self._save()

    # installation

    def _proceed(self, update: Update, now: Instant) -> None:
        """The firmware is there and good: install it when its date has come and nobody charges (S-236 to S-238).

        A reset comes first: the update begins again after it, or goes on when it has failed.
        """
        update.stage = "ready"
        if not self._is_due("install", update.install_ms, now):
            self._tell(Status.INSTALL_SCHEDULED)
            return
        if self.is_resetting():
            return
        self._hold(is_held=True, now=now)
        self.busy = next((row for row in self._connectors if row.transaction is not None), None)
        if self.busy is None:
            self._install(update, now)

    def settle(self, now: Instant) -> None:
        """The transaction of :attr:`busy` may have ended. Effects: the installation begins when the last one has."""
        is_free = self.busy is not None and self.busy.transaction is None and not self.is_resetting()
        if is_free and self._update is not None:
            self._proceed(self._update, now)
            self._save()

    def reset_failed(self, now: Instant) -> None:
        """There will be no reset after all. Effects: those of an installation that waited for it."""
        if self._update is not None and self._update.stage == "ready":
            self._proceed(self._update, now)
            self._save()

    def _hold(self, *, is_held: bool, now: Instant) -> None:
        """Let idle connectors be Unavailable, and those that become idle, or let all be what they are again."""
        self.busy = None
        if self._connectors.is_held is not is_held:
            self._connectors.is_held = is_held
            for row in self._connectors:
                self._charging.settle(row, now)

    def _install(self, update: Update, now: Instant) -> None:
        update.stage, update.before = "installing", self._boot.firmware_version
        if self._options.has_install_hook:
            self._tell(Status.INSTALLING)
        self._save()  # before anybody begins
        self._installer.begin(str(update.path), by_hook=self._options.has_install_hook, now=now)

    @property
    def forbids_reset(self) -> bool:
        """Whether a program of ours is installing, which a reset would cut off."""
        return self._options.has_install_hook and self._update is not None and self._update.stage == "installing"

    def _started(self, now: Instant) -> None:
        self._tell(Status.INSTALLING)
        self._save()

    def _installed(self, is_installed: bool, version: str | None, reboot: bool, now: Instant) -> None:
        update = self._update
        if update is None:
            return
        if version:
            version = version[:MAX_VERSION]
            self._version = {"version": version, "file": self._file_version}
            self._boot.firmware_version = version
        if not is_installed:
            self._end(Status.INSTALLATION_FAILED, now)
        elif reboot:
            update.stage = "rebooting"
            self._tell(Status.INSTALL_REBOOTING)
            self._timers.set((TIMER, "reboot"), now.monotonic_s + REBOOT_WAIT_S)
        else:
            self._tell(Status.INSTALLING)
            self._end(Status.INSTALLED, now)
        self._save()
        self._told(now)

    def _told(self, now: Instant) -> None:
        """S-240: what comes before the reboot has been told."""
        if self._update is not None and self._update.stage == "rebooting" and self._notices.is_empty:
            self._timers.set((TIMER, "reboot"), now.monotonic_s)

    # statuses

    def _end(self, status: Status, now: Instant) -> None:
        """Effects: the last status, ``Publish`` of FirmwareUpdated after it, ``Work`` that removes the file."""
        update = self._update
        if update is None:
            return
        self._tell(status)
        update.stage = "over"
        self._discard(update)
        update.location, update.certificate, update.signature = "", None, None
        self._hold(is_held=False, now=now)
        if status is Status.INSTALLED:
            self._security.internal("FirmwareUpdated", self._boot.firmware_version or "", now)

    def _discard(self, update: Update) -> None:
        if update.path is not None:
            self._questions.work("file.discard", {"path": update.path}, lambda result, error, now: None)
            update.path = None

    def _tell(self, status: Status) -> None:
        """Tell that a state was entered, unless it was told before a restart; the caller saves."""
        update = self._update
        if update is None or not update.enter(status):
            return
        log.info("firmware: %s", status)
        if update.request_id is None:
            self._notices.put(UNSIGNED, {"status": str(status)})
        else:
            self._notices.put(SIGNED, {"status": str(status), "requestId": update.request_id})

    def trigger_firmware_status(self, now: Instant) -> bool:
        """ExtendedTriggerMessage (S-243): Idle after Installed, else the last status; false without signed updates."""
        if "SignedUpdateFirmware" not in self.handlers():
            return False
        update = self._update
        if update is None or update.request_id is None or update.status in (None, Status.INSTALLED):
            self._notices.trigger(SIGNED, {"status": Status.IDLE})
        else:
            self._notices.trigger(SIGNED, {"status": update.status, "requestId": update.request_id})
        return True

    def trigger(self, now: Instant) -> None:
        """TriggerMessage (CORE-UF-08): Idle while nothing goes on."""
        update = self._update
        status = None if update is None or update.is_over else update.plain
        self._notices.trigger(UNSIGNED, {"status": status or FirmwareStatus.IDLE})

    def _save(self) -> None:
        update = None if self._update is None else asdict(self._update)
        row = {"update": update, "version": self._version, "statuses": self._notices.json()}
        self._emit(Store(TABLE, KEY, dumps(row)))
