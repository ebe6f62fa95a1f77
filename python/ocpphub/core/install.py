"""Who installs a firmware: the configured program, or else the first attached controller that agrees.

Owns the questions to them and how long a controller may take. Must never know a status of the standard: ``firmware.py``
does.

Implements: design rpc.md ``firmware.install`` and ``firmware.report``; CORE-UF-05; surface.md ``[firmware] hook``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.instant import Instant
from ocpphub.core.maintenance import why_of
from ocpphub.core.timers import Timers
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.core.parts import Questions

log = logging.getLogger("ocpphub.core")

METHOD: Final = "firmware.install"
REPORT_WAIT_S: Final = 1_800.0
"""How long a controller may be silent about an installation that it has accepted."""
INSTALLING: Final = "Installing"
REPORTS: Final = (INSTALLING, "Installed", "InstallationFailed")
_TIMER: Final = ("firmware", "report")


class Installer:
    """One installation at a time; its owner begins it and hears of its end once."""

    def __init__(self, questions: Questions, timers: Timers, controllers: Controllers) -> None:
        self.questions, self._timers, self._controllers = questions, timers, controllers
        self.on_started: Callable[[Instant], None] = lambda now: None
        """A controller has accepted."""
        self.on_end: Callable[[bool, str | None, bool, Instant], None] = lambda good, version, reboot, now: None
        """Whether it is installed, the new version if it was told, and whether the charge point has to reboot."""
        self._path = ""
        self._waits = False
        self._asked: list[Controller] = []
        self._chosen: Controller | None = None
        """Who was asked last, and has accepted if a report is waited for; ``None`` after a restart."""

    def begin(self, path: str, *, by_hook: bool, now: Instant) -> None:
        """Install this file. Effects: ``Work``, or ``Ask`` of one controller after the other."""
        if by_hook:
            self.questions.work(METHOD, {"path": path}, self._hook_done)
            return
        self._path = path
        self._asked = list(self._controllers.all())
        self._ask_next(now)

    def _hook_done(self, result: Any, error: Exception | None, now: Instant) -> None:
        why = why_of(result, error)
        if why is not None:
            log.warning("the installation of firmware failed: %s", why)
            self.on_end(False, None, False, now)
            return
        version = result.get("version")
        self.on_end(True, version if isinstance(version, str) else None, result.get("reboot") is True, now)

    def _ask_next(self, now: Instant) -> None:
        if not self._asked:
            log.warning("no controller installs the firmware")
            self._chosen = None
            self.on_end(False, None, False, now)
            return
        self._chosen = controller = self._asked.pop(0)

        def answered(result: Any, error: Exception | None, at: Instant) -> None:
            if self._chosen is not controller:
                return  # it has reported the end already
            if isinstance(result, dict) and result.get("accepted") is True:
                self._wait(at)
            elif not self._waits:
                self._ask_next(at)

        self.questions.ask(METHOD, {"path": self._path}, answered, controller=controller.number)

    def _wait(self, now: Instant) -> None:
        self._timers.set(_TIMER, now.monotonic_s + REPORT_WAIT_S)
        if not self._waits:
            self._waits = True
            self.on_started(now)

    def resume(self, now: Instant) -> None:
        """After a restart: some controller may be installing still, and will report."""
        self._waits = True
        self._timers.set(_TIMER, now.monotonic_s + REPORT_WAIT_S)

    def report(self, controller: Controller, status: str, info: str | None, now: Instant) -> None:
        """``firmware.report``: the controller that was asked says how far it is.

        Raises :class:`LocalError`: ``invalid_params`` for another status, ``invalid_state`` when nothing is installed
        by a controller, ``forbidden`` for another user's.
        """
        if status not in REPORTS:
            raise LocalError("invalid_params", "unknown status", path="/params/status", hint=", ".join(REPORTS))
        chosen = self._chosen
        if chosen is None and not self._waits:
            raise LocalError("invalid_state", "no controller was asked to install", hint="wait for firmware.install")
        if chosen is not None and chosen.principal != controller.principal and not controller.is_operator:
            raise LocalError("forbidden", "another user's program installs", hint="wait for firmware.install")
        log.info("a controller reports %s", status)
        if info:
            log.info("about the firmware: %.255s", info)
        self._wait(now)
        if status != INSTALLING:
            self._end(status == "Installed", now)

    def handle_timer(self, now: Instant) -> None:
        """The controller has been silent for too long."""
        if self._waits:
            log.warning("nobody has reported the end of the installation")
            self._end(False, now)

    def _end(self, is_installed: bool, now: Instant) -> None:
        self._timers.cancel(_TIMER)
        self._waits, self._chosen = False, None
        self._asked.clear()
        self.on_end(is_installed, None, False, now)
