"""Uploads of logs and diagnostics (white paper N01, OCPP 1.6 section 5.9).

Owns the two uploads that a charge point may have under way, one for GetLog and one for GetDiagnostics, how far each is,
and the row that lets it begin again after a restart. Must never read a file, make an archive or reach a server: that is
``Work``.

Implements: S-221 to S-228; CORE-GD-01 to CORE-GD-08; design rpc.md ``diagnostics.collect`` and ``diagnostics.report``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

from orjson import dumps

from ocpphub import _native
from ocpphub.core.collect import Collector
from ocpphub.core.effects import Effect, Store
from ocpphub.core.inbound import Answer, Handler, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.maintenance import TABLE, Retries, moment, why_of
from ocpphub.core.messages import GetDiagnosticsRequest, GetLogRequest
from ocpphub.core.notices import Notices
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import DiagnosticsStatus, LogEnumType, LogStatusEnumType
from ocpphub.core.vocabulary import UploadLogStatusEnumType as LogStatus

log = logging.getLogger("ocpphub.core")

TIMER: Final = "upload"
_LOG_FAILURES: Final = {
    "permission_denied": LogStatus.PERMISSION_DENIED,
    "not_supported": LogStatus.NOT_SUPPORTED_OPERATION,
    "bad_message": LogStatus.BAD_MESSAGE,
    "refused": LogStatus.BAD_MESSAGE,
}
"""S-225: why an upload failed, as exactly as the standard can say; anything else is UploadFailure."""


@dataclass(slots=True)
class Job:
    """One upload as its row keeps it. ``request_id`` is ``None`` for GetDiagnostics; times are UTC in milliseconds."""

    request_id: int | None
    location: str = field(repr=False)
    name: str
    log_type: str
    retries: Retries
    since_ms: int | None = None
    until_ms: int | None = None
    directory: str | None = None
    """Where controllers put files for the archive."""
    path: str | None = None
    """The archive, once it is made."""

    def window(self) -> dict[str, Any]:
        """Which log is wanted, and of when, as ``archive`` takes it."""
        found = {"log_type": self.log_type, "since_ms": self.since_ms, "until_ms": self.until_ms}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Job | None:
        """That of a row, ``None`` for one that is none."""
        try:
            return cls(**{**row, "retries": Retries(**row["retries"])})
        except (KeyError, TypeError):
            log.error("a damaged upload is left aside")
            return None


class Upload:
    """The one upload of a family of messages."""

    def __init__(
        self,
        key: str,
        action: str,
        emit: Callable[[Effect], None],
        timers: Timers,
        collector: Collector,
        notices: Notices,
    ) -> None:
        """``key`` names its row and its timer, ``action`` is the CALL that tells its statuses."""
        self._key, self._action = key, action
        self._emit, self._timers, self._notices = emit, timers, notices
        self._collector, self._questions = collector, collector.questions
        self.job: Job | None = None
        self._work: int | None = None
        self._look: int | None = None
        """The last look for something to send; it may be over."""
        notices.save = self._save

    def restore(self, rows: Rows) -> None:
        """Take up the row of an earlier process."""
        row = rows.object(TABLE, self._key, statuses=list)
        if row is None:
            return
        self._notices.restore(row["statuses"])
        if isinstance(row.get("job"), dict):
            self.job = Job.of(row["job"])

    def start(self, now: Instant) -> None:
        """The process started: an upload that was under way begins again. Effects: ``Work``, ``Store``."""
        if self.job is not None:
            self._discard(self.job)
            self._make(self.job)
            self._save()

    def look(self, job: Job, found: Callable[[bool, Instant], None]) -> None:
        """Ask whether there is anything to send, and what its file will be called.

        One that is asked for already has lost its CALL with the link. Effects: ``Work``; ``Abandon`` of that one.
        """

        def done(result: Any, error: Exception | None, now: Instant) -> None:
            why = why_of(result, error)
            if why is None:
                job.name, job.directory = result["name"], result.get("directory")
            found(why is None, now)

        if self._look is not None:
            self._questions.abandon(self._look)
        self._look = self._questions.work("archive.look", job.window(), done)

    def begin(self, job: Job, now: Instant) -> None:
        """Upload this. Effects: the status Uploading, ``Store``, ``Work``; ``Ask`` of the controllers first."""
        self.job = job
        self._tell(LogStatus.UPLOADING)
        self._save()
        self._collector.begin(job, self._make, now)

    def cancel(self) -> None:
        """A newer request takes its place, and it stays silent (S-226). Effects: ``Abandon``, ``Work`` of removal."""
        job, self.job = self.job, None
        if job is None:
            return
        self._collector.forget(job)
        if self._work is not None:
            self._questions.abandon(self._work)
            self._work = None
        self._timers.cancel((TIMER, self._key))
        self._discard(job)
        if job.request_id is not None:
            self._notices.withdraw(job.request_id)

    def _make(self, job: Job) -> None:
        params = {"name": job.name, **job.window()}
        if job.directory is not None:
            params["directory"] = job.directory
        self._work = self._questions.work("archive.make", params, self._made)

    def _made(self, result: Any, error: Exception | None, now: Instant) -> None:
        job, self._work = self.job, None
        if job is None:
            return
        if why_of(result, error) is not None:
            self._end(job, "failed")
            return
        job.path = result["path"]
        self._save()
        self._send(job)

    def _send(self, job: Job) -> None:
        params = {"location": job.location, "path": job.path, "name": job.name}
        self._work = self._questions.work("transfer.upload", params, self._sent)

    def _sent(self, result: Any, error: Exception | None, now: Instant) -> None:
        job, self._work = self.job, None
        if job is None:
            return
        why = why_of(result, error)
        if why is not None and job.retries.take(why):
            self._timers.set((TIMER, self._key), now.monotonic_s + job.retries.interval_s)
            self._save()
        else:
            self._end(job, why)

    def handle_timer(self) -> None:
        """It is tried again. Effects: ``Work``."""
        if self.job is not None:
            self._send(self.job)

    def _end(self, job: Job, why: str | None) -> None:
        if why is not None:
            log.warning("the upload of %s failed: %s", job.log_type, why)
        self.job = None
        self._discard(job)
        self._tell(self._last_status(job, why), job)
        self._save()

    def _last_status(self, job: Job, why: str | None) -> str:
        if job.request_id is None:
            return DiagnosticsStatus.UPLOADED if why is None else DiagnosticsStatus.UPLOAD_FAILED
        return LogStatus.UPLOADED if why is None else _LOG_FAILURES.get(why, LogStatus.UPLOAD_FAILURE)

    def _discard(self, job: Job) -> None:
        if job.path is not None:
            self._questions.work("file.discard", {"path": job.path}, lambda result, error, now: None)
            job.path = None

    def _tell(self, status: str, job: Job | None = None) -> None:
        self._notices.put(self._action, self._payload(status, job or self.job))

    def trigger(self, now: Instant) -> None:
        """A trigger message: Uploading, or Idle without a request (CORE-GD-06, S-227)."""
        status = LogStatus.IDLE if self.job is None else LogStatus.UPLOADING
        self._notices.trigger(self._action, self._payload(status, self.job))

    def _payload(self, status: str, job: Job | None) -> dict[str, Any]:
        identified = {} if job is None or job.request_id is None else {"requestId": job.request_id}
        return {"status": str(status), **identified}

    def _save(self) -> None:
        job = None if self.job is None else asdict(self.job)
        self._emit(Store(TABLE, self._key, dumps({"job": job, "statuses": self._notices.json()})))


class Diagnostics:
    """GetLog and GetDiagnostics of one charge point."""

    def __init__(self, logs: Upload, diagnostics: Upload, collector: Collector, reply: Reply) -> None:
        self._logs, self._diagnostics, self._collector, self._reply = logs, diagnostics, collector, reply
        self.schemes: Collection[str] = ()
        """Of URLs that transfers may use, in lower case (CORE-GD-08)."""

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler."""
        return {"GetDiagnostics": self.get_diagnostics, "GetLog": self.get_log}

    def restore(self, rows: Rows) -> None:
        """Take up the rows of an earlier process."""
        self._logs.restore(rows)
        self._diagnostics.restore(rows)

    def start(self, now: Instant) -> None:
        """The process started. Effects: uploads that were under way begin again."""
        self._logs.start(now)
        self._diagnostics.start(now)

    def handle_timer(self, key: str) -> None:
        """An upload is tried again."""
        (self._logs if key == "log" else self._diagnostics).handle_timer()

    def get_diagnostics(self, call: _native.Call, now: Instant) -> Answer | None:
        """GetDiagnostics: the file's name once there is something to send, none otherwise (CORE-GD-02, CORE-GD-08)."""
        running = self._diagnostics.job
        if running is not None:
            return Answer({"fileName": running.name})  # CORE-GD-07
        request = cast("GetDiagnosticsRequest", call.payload())
        location = request["location"]
        if location.partition(":")[0].lower() not in self.schemes:
            return Answer({})
        since_ms, until_ms = moment(request.get("startTime")), moment(request.get("stopTime"))
        job = Job(None, location, "", LogEnumType.DIAGNOSTICS_LOG, Retries.of(request), since_ms, until_ms)

        def found(is_there: bool, at: Instant) -> None:
            running = self._diagnostics.job
            if running is None and is_there:
                self._diagnostics.begin(job, at)
                running = job
            self._reply(call, Answer({} if running is None else {"fileName": running.name}), at)

        self._diagnostics.look(job, found)
        return None

    def get_log(self, call: _native.Call, now: Instant) -> Answer | None:
        """GetLog: Accepted with the file's name, Rejected when there is none, AcceptedCanceled instead of another."""
        request = cast("GetLogRequest", call.payload())
        wanted = request["log"]
        since_ms, until_ms = moment(wanted.get("oldestTimestamp")), moment(wanted.get("latestTimestamp"))
        retries, log_type = Retries.of(request), request["logType"]
        job = Job(request["requestId"], wanted["remoteLocation"], "", log_type, retries, since_ms, until_ms)

        def found(is_there: bool, at: Instant) -> None:
            if not is_there:
                self._reply(call, Answer({"status": LogStatusEnumType.REJECTED}), at)
                return
            status = LogStatusEnumType.ACCEPTED
            if self._logs.job is not None:
                status = LogStatusEnumType.ACCEPTED_CANCELED
                self._logs.cancel()
            self._logs.begin(job, at)
            self._reply(call, Answer({"status": status, "filename": job.name}), at)

        self._logs.look(job, found)
        return None

    def trigger_log_status(self, now: Instant) -> bool:
        """ExtendedTriggerMessage: Uploading with its request, or Idle without one (S-227)."""
        if not self.schemes:
            return False
        self._logs.trigger(now)
        return True

    def trigger(self, now: Instant) -> None:
        """TriggerMessage: Uploading or Idle (CORE-GD-06)."""
        self._diagnostics.trigger(now)
