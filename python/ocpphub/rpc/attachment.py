"""One connection as a controller: its number, what the hub asks it, and its lease.

Owns the ids ``s:N`` of one connection and the questions that wait for an answer. Must never know what a question or a
connector is about, nor hold a deadline's timer: the driver gives a question up, here it is only forgotten.

Implements: design rpc.md "Requests from the gateway to a client"; decisions.md 5 (lease).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ocpphub.api import ChargePoint
from ocpphub.errors import PeerError, UnavailableError
from ocpphub.rpc.output import Output
from ocpphub.rpc.protocol import encode_notification, encode_question

if TYPE_CHECKING:
    from ocpphub.core.controllers import Controller
    from ocpphub.core.effects import Ask
    from ocpphub.driver import Answer

LEASE_INTERVAL_S: Final = 10.0
LEASE_S: Final = 30
"""For how long the permits of a connection hold after each notification ``lease``."""
LEASE: Final = encode_notification("lease", {"valid_for_s": LEASE_S})


class Attachment:
    """What ties one connection to the charge points whose connectors it drives.

    ``late`` is called for every answer that nobody waits for.
    """

    __slots__ = ("_late", "_names_charge_point", "_number", "_output", "_points", "_waiting", "_wake", "controller")

    def __init__(
        self,
        controller: Controller,
        output: Output,
        wake: Callable[[], None],
        late: Callable[[], None],
        *,
        names_charge_point: bool,
    ) -> None:
        self.controller = controller
        self._output = output
        self._wake = wake
        self._late = late
        self._names_charge_point = names_charge_point
        self._points: dict[str, ChargePoint] = {}
        self._number = 0
        self._waiting: dict[str, tuple[float, Answer]] = {}

    def add(self, charge_point: ChargePoint) -> None:
        """This charge point may ask the connection from now on, and hears of its end."""
        self._points[charge_point.identity] = charge_point
        charge_point.clients.add(self.controller.number, self)

    def ask(self, identity: str, question: Ask, answer: Answer) -> None:
        """Put a question of a charge point to the client; ``answer`` is called at most once.

        ``charge_point`` is among its parameters where the socket serves several, as it has to be in requests there.
        """
        now_s = self._points[identity].now().monotonic_s
        # In the order of their deadlines, as every question has the same time; only the first ones can be late.
        while self._waiting and (first := next(iter(self._waiting.items())))[1][0] <= now_s:
            del self._waiting[first[0]]
        self._number += 1
        request_id = f"s:{self._number}"
        self._waiting[request_id] = (now_s + question.timeout_s, answer)
        params = question.params
        if self._names_charge_point:
            params = {"charge_point": identity, **params}
        self._output.answer(encode_question(request_id, question.method, params))
        self._wake()

    def receive(self, request_id: Any, result: Any, error: Any) -> None:
        """The client has answered; ``error`` is the JSON-RPC error object, or ``None``."""
        found = self._waiting.pop(request_id, None) if isinstance(request_id, str) else None
        if found is None:
            self._late()
        elif error is None:
            found[1](result, None)
        else:
            said = error.get("message") if isinstance(error, dict) else None
            found[1](None, PeerError("internal", f"the client answered with an error: {str(said)[:200]}"))

    def renew(self) -> None:
        """Send the notification ``lease``, unless the client does not read: its permits have to run out then."""
        if self._output.writable and not self._output.queue:
            self._output.answer(LEASE)
            self._wake()

    def end(self, *, tell: bool) -> None:
        """The connection is gone. Whoever waits hears of it; with ``tell`` the charge points lose their controller."""
        self._wake = self._late = _nothing
        waiting, self._waiting = self._waiting, {}
        points, self._points = self._points, {}
        for charge_point in points.values():
            charge_point.clients.discard(self.controller.number)
        for _, answer in waiting.values():
            answer(None, UnavailableError("not_connected", "the client has gone"))
        if tell:
            for charge_point in points.values():
                charge_point.controller_lost(self.controller.number)


def _nothing() -> None:
    """The connection that would care is gone."""
