"""DATA: the method by which a connection handles what the CSMS sends to a vendor's program.

Owns its name, its kinds and the text that ``rpc.discover`` shows, as ``methods.py`` does. Must never know who handles
what: the core does.

Implements: design rpc.md "Requests from the gateway to a client", ``data_transfer.register``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ocpphub.api import ChargePoint
from ocpphub.rpc.signature import ListOf, Method, Parameter, Text

if TYPE_CHECKING:
    from ocpphub.core.controllers import Controller

MAX_MESSAGE_IDS: Final = 1_000
"""Message ids of one registration."""


class Session(Protocol):
    """What a connection offers to the methods of vendors."""

    @property
    def controller(self) -> Controller: ...
    def answer_for(self, charge_point: ChargePoint) -> None: ...


def _register(session: Session, charge_point: ChargePoint, vendor_id: str, message_ids: list[str] | None) -> Any:
    session.answer_for(charge_point)
    return session.controller, vendor_id, message_ids


VENDOR_ROWS: Final = (
    Method(
        "data_transfer.register",
        "controller",
        "controller",
        "Handle DataTransfer of a vendor from the CSMS on this connection until it ends: each comes as a request"
        " data_transfer.handle, whose result is the confirmation. A later registration of a vendor replaces the earlier"
        " one of the same user; another user's is -32007, but for an operator",
        {"type": "null"},
        (
            Parameter("vendor_id", Text(max=255, min=1), "1 to 255 characters, in any case"),
            Parameter(
                "message_ids",
                ListOf(Text(max=50), max=MAX_MESSAGE_IDS),
                'in any case, others are UnknownMessageId; "" is a message without an id; absent = all of them',
                required=False,
            ),
        ),
        _register,
        command="register_vendor",
    ),
)
