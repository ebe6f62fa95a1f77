"""What controllers add to a diagnostics archive, where no program is configured for that.

Owns the questions to the attached controllers and how long is waited for them. Must never know what they add: an
archive takes what it finds.

Implements: design rpc.md ``diagnostics.collect`` and ``diagnostics.report``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.boot import utc_text
from ocpphub.core.controllers import Controller, Controllers
from ocpphub.core.instant import Instant
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import LogEnumType
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.core.diagnostics import Job
    from ocpphub.core.parts import Questions

log = logging.getLogger("ocpphub.core")

METHOD: Final = "diagnostics.collect"
TIMER: Final = "collect"
WAIT_S: Final = 300.0
"""How long the controllers may take together, as a program may."""


class Collector:
    """Which controllers are collecting files for which upload."""

    def __init__(self, questions: Questions, timers: Timers, controllers: Controllers, *, has_hook: bool) -> None:
        """``has_hook``: a program collects, and no controller is asked."""
        self.questions, self._timers, self._controllers, self._has_hook = questions, timers, controllers, has_hook
        self._open: dict[int, tuple[Job, Callable[[Job], None], set[int]]] = {}
        """By a number: the upload, what is done next, and the controllers that are waited for."""
        self._number = 0

    def begin(self, job: Job, then: Callable[[Job], None], now: Instant) -> None:
        """Let controllers add to the archive, then go on. Effects: ``Ask`` of each; none for a log of ours."""
        asked = self._controllers.all()
        if job.directory is None or job.log_type != LogEnumType.DIAGNOSTICS_LOG or self._has_hook or not asked:
            then(job)
            return
        self._number += 1
        number, waited = self._number, {controller.number for controller in asked}
        self._open[number] = (job, then, waited)
        self._timers.set((TIMER, number), now.monotonic_s + WAIT_S)
        window = {"start": job.since_ms, "stop": job.until_ms}
        params = {name: utc_text(at_ms) for name, at_ms in window.items() if at_ms is not None}
        for controller in asked:
            self._ask(number, controller, {"directory": job.directory, **params})

    def _ask(self, number: int, controller: Controller, params: dict[str, Any]) -> None:
        def answered(result: Any, error: Exception | None, now: Instant) -> None:
            if not (isinstance(result, dict) and result.get("accepted") is True):
                self._done(number, controller.number)

        self.questions.ask(METHOD, params, answered, controller=controller.number)

    def _done(self, number: int, controller: int) -> None:
        entry = self._open.get(number)
        if entry is None:
            return
        job, then, waited = entry
        waited.discard(controller)
        if not waited:
            self._close(number)
            then(job)

    def report(self, controller: Controller, ok: bool, info: str | None) -> None:
        """``diagnostics.report``: its files are there, or there will be none. Raises ``invalid_state`` unasked."""
        asked = [number for number, (_, _, waited) in self._open.items() if controller.number in waited]
        if not asked:
            raise LocalError("invalid_state", "nobody waits for diagnostics", hint="wait for diagnostics.collect")
        if not ok:
            log.warning("a controller could not collect diagnostics: %.255s", info or "it does not say why")
        for number in asked:
            self._done(number, controller.number)

    def handle_timer(self, number: int) -> None:
        """It has taken too long: the archive is made without the rest."""
        entry = self._open.get(number)
        if entry is not None:
            log.warning("%d controllers did not collect diagnostics in time", len(entry[2]))
            self._close(number)
            entry[1](entry[0])

    def forget(self, job: Job) -> None:
        """Nobody waits for the files of this upload any more."""
        for number in [number for number, entry in self._open.items() if entry[0] is job]:
            self._close(number)

    def _close(self, number: int) -> None:
        del self._open[number]
        self._timers.cancel((TIMER, number))
