"""DataTransfer started by a local client (OCPP 1.6 section 4.3).

Owns the command ``data_transfer`` and its Offline rule (rpc.md). Must never keep a transfer for later: who asks gets
an answer about now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ocpphub import _native
from ocpphub.core.effects import Effect, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.outbox import Outcome, OwnCall, PromptQueue
from ocpphub.errors import LocalError, PeerError, UnavailableError

OFFLINE: Final = {"status": "Offline"}
MAX_WAITING: Final = 1_000
_CHECK_ID: Final = "check"


class DataTransfers:
    """DataTransfer.req on behalf of local clients."""

    def __init__(self, emit: Callable[[Effect], None], queue: PromptQueue) -> None:
        self._emit, self._queue = emit, queue

    def command(
        self, request: int, vendor_id: str, message_id: str | None, data: str | None, *, is_online: bool
    ) -> None:
        """Send one; the ``Reply`` carries ``{"status", "data"?}``, at once ``Offline`` when not online.

        ``vendor_id`` up to 255, ``message_id`` up to 50 characters, ``data`` any text. Raises :class:`LocalError`
        for others and :class:`UnavailableError` when too many wait. A CALLERROR is a ``PeerError`` in the ``Reply``.
        """
        payload = _payload(vendor_id, message_id, data)
        if not is_online:
            self._emit(Reply(request, dict(OFFLINE)))
            return
        if len(self._queue) >= MAX_WAITING:
            raise UnavailableError("busy", "too many data transfers wait", retry_after_ms=1_000)
        self._queue.put(OwnCall("DataTransfer", payload, lambda outcome, now: self._done(request, outcome, now)))

    def _done(self, request: int, outcome: Outcome, now: Instant) -> None:
        if outcome.confirmation is not None:
            self._emit(Reply(request, outcome.confirmation.payload()))
        elif outcome.kind == "error":
            error = PeerError(
                "ocpp_call_error",
                "the CSMS answered DataTransfer with a CALLERROR",
                ocpp_code=outcome.code,
                ocpp_description=outcome.description,
            )
            self._emit(Reply(request, error=error))
        else:
            self._emit(Reply(request, dict(OFFLINE)))


def _payload(vendor_id: object, message_id: object, data: object) -> dict[str, Any]:
    payload = {"vendorId": vendor_id, "messageId": message_id, "data": data}
    # J-208: nothing to say is said by leaving the member out; the published interface passes empty texts.
    payload = {name: value for name, value in payload.items() if value not in (None, "")}
    try:
        _native.encode_call(_CHECK_ID, "DataTransfer", payload)
    except (ValueError, TypeError) as error:
        raise LocalError("invalid_params", "not a legal data transfer", path="/params", hint=str(error)) from None
    return payload
