"""Firmware and logs of one charge point: how their parts are made, and how inputs reach them.

Owns that wiring alone, for ``parts.py``. Must hold no rule of OCPP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ocpphub.core.collect import Collector
from ocpphub.core.diagnostics import Diagnostics, Upload
from ocpphub.core.firmware import Firmware
from ocpphub.core.inbound import Handler, Reply
from ocpphub.core.install import Installer
from ocpphub.core.instant import Instant
from ocpphub.core.maintenance import Maintenance
from ocpphub.core.notices import Notices
from ocpphub.core.rows import Rows
from ocpphub.core.vocabulary import MessageTrigger

if TYPE_CHECKING:
    from ocpphub.core.parts import Parts

_PROFILE: Final = "FirmwareManagement"


class Servicing:
    """The parts of firmware and logs; made when those of charging are there."""

    def __init__(self, parts: Parts, reply: Reply, options: Maintenance) -> None:
        emit, timers, controllers = parts.emit, parts.timers, parts.controllers

        def notices(name: str) -> Notices:
            return Notices(name, timers, parts.prompt, parts.configuration)

        told = {name: notices(name) for name in ("firmware", "log", "diagnostics")}
        self.sources = tuple(told.values())
        """The statuses that wait, for the outbox."""
        self.installer = Installer(parts.questions, timers, controllers)
        self.firmware = Firmware(
            emit,
            timers,
            parts.boot,
            parts.connectors,
            parts.charging,
            parts.security,
            told["firmware"],
            self.installer,
            options,
        )
        self.firmware.x509, self.firmware.manufacturer_roots = parts.x509, parts.trust.certificates.manufacturer_roots
        self.collector = Collector(parts.questions, timers, controllers, has_hook=options.has_collect_hook)
        logs = Upload("log", "LogStatusNotification", emit, timers, self.collector, told["log"])
        diagnostics = Upload(
            "diagnostics", "DiagnosticsStatusNotification", emit, timers, self.collector, told["diagnostics"]
        )
        self.diagnostics = Diagnostics(logs, diagnostics, self.collector, reply)
        self.diagnostics.schemes = parts.schemes
        if parts.schemes and _PROFILE in parts.configuration.feature_profiles:
            parts.operations.triggers |= {
                MessageTrigger.FIRMWARE_STATUS_NOTIFICATION: self.firmware.trigger,
                MessageTrigger.DIAGNOSTICS_STATUS_NOTIFICATION: self.diagnostics.trigger,
            }
        if parts.schemes:
            parts.trust.extended_trigger.trigger_log_status = self.diagnostics.trigger_log_status
            parts.trust.extended_trigger.trigger_firmware_status = self.firmware.trigger_firmware_status
        self.firmware.reboot = parts.reset.reboot
        self.firmware.is_resetting = lambda: parts.reset.kind is not None
        parts.reset.is_forbidden = lambda: self.firmware.forbids_reset
        self._can_transfer = bool(parts.schemes)

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler; none where nothing can be transferred."""
        return {**self.firmware.handlers(), **self.diagnostics.handlers()} if self._can_transfer else {}

    def restore(self, rows: Rows) -> None:
        """Take up the rows of an earlier process."""
        self.firmware.restore(rows)
        self.diagnostics.restore(rows)

    def start(self, now: Instant) -> None:
        """The process started. Effects: what was under way goes on."""
        self.firmware.start(now)
        self.diagnostics.start(now)
