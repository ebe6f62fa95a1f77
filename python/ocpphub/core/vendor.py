"""DataTransfer from the CSMS, handled by local programs (OCPP 1.6 section 5.6).

Owns which connection handles which vendor's messages, and how its answer becomes the confirmation. Must never know a
vendor: what a message means is between the CSMS and the program.

Implements: CORE-DT-01 to CORE-DT-03 and CORE-DT-06; design rpc.md ``data_transfer.register`` and
``data_transfer.handle``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

from ocpphub import _native
from ocpphub.core.controllers import Controller
from ocpphub.core.inbound import Answer, Handler, Reply
from ocpphub.core.instant import Instant
from ocpphub.core.messages import DataTransferRequest
from ocpphub.core.vocabulary import DataTransferStatus
from ocpphub.errors import LocalError

log = logging.getLogger("ocpphub.core")

MAX_VENDORS: Final = 1_000
"""Vendors with a handler at one charge point."""
REJECTED: Final = {"status": str(DataTransferStatus.REJECTED)}
_STATUSES: Final = tuple(DataTransferStatus)
_CHECK_ID: Final = "check"


@dataclass(frozen=True, slots=True)
class VendorHandler:
    """The connection that handles a vendor's messages; ``message_ids`` in lower case, ``None`` for all of them."""

    controller: Controller
    message_ids: frozenset[str] | None

    def takes(self, message_id: str | None) -> bool:
        """Whether it handles this message; one without an id is the empty text."""
        return self.message_ids is None or (message_id or "").lower() in self.message_ids


class Vendors:
    """The handlers of one charge point, by vendor in any case (both ids are CiStrings).

    A handler lasts as long as its connection does, over resets: hence the shell owns this table, and every core that
    it makes looks into it.
    """

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        self._handlers: dict[str, VendorHandler] = {}

    def of(self, vendor_id: str) -> VendorHandler | None:
        """Who handles this vendor."""
        return self._handlers.get(vendor_id.lower())

    def register(self, controller: Controller, vendor_id: str, message_ids: Iterable[str] | None) -> None:
        """This connection handles the vendor from now on, with these message ids or (``None``) all.

        It takes the place of another connection of the same user, since a program that begins anew must not wait for
        its former self; an operator's takes anybody's. Raises :class:`LocalError`: ``invalid_state`` where another
        user's connection is the handler, ``too_large`` for too many vendors.
        """
        name = vendor_id.lower()
        present = self._handlers.get(name)
        if present is None and len(self._handlers) >= MAX_VENDORS:
            hint = f"at most {MAX_VENDORS} at a charge point"
            raise LocalError("too_large", "too many vendors have a handler", path="/params/vendor_id", hint=hint)
        if present is not None and present.controller.principal != controller.principal and not controller.is_operator:
            hint = "another vendor, or again when that connection has ended"
            raise LocalError("invalid_state", "another user handles it", path="/params/vendor_id", hint=hint)
        wanted = None if message_ids is None else frozenset(each.lower() for each in message_ids)
        self._handlers[name] = VendorHandler(controller, wanted)

    def lost(self, number: int) -> None:
        """The connection with this number is gone, and handles nothing any more."""
        for name in [name for name, each in self._handlers.items() if each.controller.number == number]:
            del self._handlers[name]


class AskConnection(Protocol):
    """Asks a connection; ``done(result, error, now)`` hears of it once."""

    def __call__(
        self,
        method: str,
        params: dict[str, Any],
        done: Callable[[Any, Exception | None, Instant], None],
        *,
        controller: int,
    ) -> None: ...


class VendorTransfers:
    """The handler of the action DataTransfer."""

    def __init__(self, ask: AskConnection, reply: Reply) -> None:
        self._ask, self._reply = ask, reply
        self.vendors = Vendors()
        """Who handles what; the shell puts its own in this place."""

    def handlers(self) -> dict[str, Handler]:
        """Action -> handler."""
        return {"DataTransfer": self.handle}

    def handle(self, call: _native.Call, now: Instant) -> Answer | None:
        """OCPP 1.6 section 5.6. Effects: ``Ask``; the answer of the program is the confirmation."""
        request = cast("DataTransferRequest", call.payload())
        vendor_id, message_id = request["vendorId"], request.get("messageId")
        handler = self.vendors.of(vendor_id)
        if handler is None:
            return Answer({"status": DataTransferStatus.UNKNOWN_VENDOR_ID})
        if not handler.takes(message_id):
            return Answer({"status": DataTransferStatus.UNKNOWN_MESSAGE_ID})
        found = {"vendor_id": vendor_id, "message_id": message_id, "data": request.get("data")}
        params = {name: value for name, value in found.items() if value is not None}

        def done(result: Any, error: Exception | None, at: Instant) -> None:
            self._reply(call, Answer(_confirmation(vendor_id, result, error)), at)

        self._ask("data_transfer.handle", params, done, controller=handler.controller.number)
        return None


def _confirmation(vendor_id: str, result: Any, error: Exception | None) -> dict[str, Any]:
    """What a handler answered as DataTransfer.conf; whatever is none is Rejected (CORE-DT-06)."""
    if error is not None:
        log.warning("DataTransfer of vendor %.50s is rejected: %s", vendor_id, error)
        return REJECTED
    fields = result if isinstance(result, dict) else {}
    payload = {name: fields[name] for name in ("status", "data") if fields.get(name) is not None}
    if payload.get("status") not in _STATUSES or not _is_sendable(payload):
        log.warning("DataTransfer of vendor %.50s is rejected: its handler's answer is none", vendor_id)
        return REJECTED
    return payload


def _is_sendable(payload: dict[str, Any]) -> bool:
    try:
        _native.encode_result(_CHECK_ID, "DataTransfer", payload)
    except (ValueError, TypeError):
        return False
    return True
