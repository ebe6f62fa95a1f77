"""What one client has chosen and may see: its charge point, its connectors, its subscriptions.

Owns the state behind ``rpc.use``, ``subscribe``, ``unsubscribe`` and ``controller.attach``, and every answer to "may
this client name that".
Must never tell a client with a connector range anything about other connectors, not even whether they exist.

Implements: design rpc.md "Rules" (charge_point, connector range) and "Interface variables"; reliability.md 3.4,
T40, T41.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ocpphub.api import ChargePoint
from ocpphub.clients import new_controller
from ocpphub.errors import LocalError
from ocpphub.publications import TOPICS, Event
from ocpphub.rpc.access import Access, Principal
from ocpphub.rpc.attachment import Attachment
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.output import Output
from ocpphub.rpc.signature import Level, Method
from ocpphub.rpc.subscriptions import Subscription

if TYPE_CHECKING:
    from ocpphub.core.controllers import Controller
    from ocpphub.rpc.server import Server

MAX_SUBSCRIPTIONS: Final = 256
"""Subscriptions of one connection."""
_LISTED: Final = 20


class ClientSession:
    """The session of one connection; implements ``methods.Session``."""

    __slots__ = (
        *("_attachment", "_may", "_numbers", "_output", "_principal", "_replay", "_server", "_subscriptions", "_wake"),
        *("access", "charge_point"),
    )

    def __init__(
        self, server: Server, principal: Principal, access: Access, output: Output, wake: Callable[[], None]
    ) -> None:
        self.access = access
        self._principal = principal
        self._attachment: Attachment | None = None
        self._may: dict[str, Callable[[int], bool]] = {}
        self._server = server
        self._output = output
        self._wake = wake
        self._subscriptions: dict[int, Subscription] = {}
        self._numbers = 0
        self._replay: list[tuple[Subscription, list[Event]]] = []
        only = server.charge_points if len(server.charge_points) == 1 else {}
        self.charge_point: ChargePoint | None = next(iter(only.values()), None)

    def end(self) -> None:
        """The connection is gone: end every subscription, and let go of every connector."""
        if self._attachment is not None:
            # A stop of the process is an interruption: nothing becomes of a connector because we close.
            self._server.end_lease(self._attachment.controller.number)
            self._attachment.end(tell=not self._server.is_stopping)
        for subscription in self._subscriptions.values():
            subscription.end()
        self._subscriptions.clear()
        # It is a method of the connection, which holds this session: without the cycle, both go at once.
        self._wake = _nobody

    def chosen(self, params: dict[str, Any]) -> ChargePoint:
        """The charge point a request is about: the one it names, or the connection's. Raises :class:`LocalError`."""
        if "charge_point" in params:
            return self.named(params["charge_point"])
        if self.charge_point is None:
            raise LocalError("invalid_params", "which charge point?", path="/params/charge_point", hint=self._list())
        return self.charge_point

    def named(self, identity: Any) -> ChargePoint:
        """The charge point of an identity. Raises :class:`LocalError`: ``unknown_charge_point`` lists them."""
        if not isinstance(identity, str):
            raise LocalError("invalid_params", "not a string", path="/params/charge_point", hint="a string")
        charge_point = self._server.charge_points.get(identity)
        if charge_point is None:
            raise LocalError(
                "unknown_charge_point", "no such charge point", path="/params/charge_point", hint=self._list()
            )
        return charge_point

    def _list(self) -> str:
        names = list(self._server.charge_points)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return "one of " + ", ".join(names[:_LISTED]) + more

    @property
    def attachment(self) -> Attachment:
        """This connection as a controller."""
        if self._attachment is None:
            server = self._server
            controller = new_controller(self._principal.uid, is_operator=self.access.has("operator"))
            self._attachment = Attachment(
                controller,
                self._output,
                self._wake,
                lambda: server.counters.update(("late_answers",)),
                names_charge_point=len(server.charge_points) > 1,
            )
        return self._attachment

    @property
    def controller(self) -> Controller:
        """Who this connection is for the core."""
        return self.attachment.controller

    def attach(self, charge_point: ChargePoint) -> None:
        """The connection drives connectors of this charge point, which requests that name none are about from now."""
        self.charge_point = charge_point
        self.attachment.add(charge_point)
        self._server.lease(self.attachment)

    def answer_for(self, charge_point: ChargePoint) -> None:
        """The charge point may ask the connection from now on; which one requests are about stays as it is."""
        self.attachment.add(charge_point)

    def check_connector(self, charge_point: ChargePoint, method: Method, connector_id: int) -> None:
        """Raises :class:`LocalError` ``unknown_connector`` unless the client may name this connector."""
        allowed = self.access.connectors(method.level)
        # Connector 0 tells about all connectors, so it is in no range: whoever has one cannot name it (T41).
        first = 0 if method.takes_zero else 1
        exists = first <= connector_id <= charge_point.connector_count
        if not exists or (allowed is not None and connector_id not in allowed):
            # The same answer for foreign and unknown: a client with a range learns nothing about the others.
            hint = f"{first} to {charge_point.connector_count}" if allowed is None else str(allowed)
            raise LocalError("unknown_connector", "no such connector", path="/params/connector_id", hint=hint)

    def check_parameters(
        self, charge_point: ChargePoint, method: Method, params: dict[str, Any], args: list[Any]
    ) -> None:
        """As :meth:`check_connector`, for a command that may leave the connector out."""
        if method.connector_index is not None:
            connector_id = params.get("connector_id") if method.is_raw else args[method.connector_index]
            if type(connector_id) is int:  # else the core says what it has to be
                self.check_connector(charge_point, method, connector_id)

    def visible(
        self,
        charge_point: ChargePoint,
        wanted: ConnectorSet | None,
        *,
        with_zero: bool = False,
        level: Level = "monitor",
    ) -> ConnectorSet:
        """The connectors a request is about: those it names, else all that the client may name at this level.

        ``with_zero`` counts connector 0 in, which is in no range: only clients that may see all connectors get it.
        """
        allowed = self.access.connectors(level)
        known = ConnectorSet([(0 if with_zero else 1, charge_point.connector_count)]) & allowed
        if wanted is None:
            return known
        if wanted & known != wanted:
            raise LocalError("unknown_connector", "no such connector", path="/params/connectors", hint=str(known))
        return wanted

    def chosen_connectors(self, charge_point: ChargePoint, method: Method, wanted: ConnectorSet | None) -> ConnectorSet:
        """The connectors that a method in slices goes through. Raises :class:`LocalError` ``unknown_connector``."""
        if wanted is not None and method.connector_index is not None:
            for connector_id in wanted:
                self.check_connector(charge_point, method, connector_id)
        return self.visible(charge_point, wanted, with_zero=method.takes_zero)

    def drivable(self, charge_point: ChargePoint, wanted: ConnectorSet) -> ConnectorSet:
        """The connectors that a controller names. Raises :class:`LocalError` ``unknown_connector``."""
        return self.visible(charge_point, wanted, with_zero=True, level="controller")

    def may_drive(self, charge_point: ChargePoint) -> Callable[[int], bool]:
        """Whether a controller on this connection may name a connector, as a function of its integer id."""
        may = self._may.get(charge_point.identity)
        if may is None:
            may = self.visible(charge_point, None, with_zero=True, level="controller").membership()
            self._may[charge_point.identity] = may
        return may

    def connectors(self) -> ConnectorSet | None:
        """The connectors that this client may see, ``None`` for all."""
        return self.access.connectors("monitor")

    def subscribe(
        self,
        charge_point: ChargePoint,
        topics: list[str],
        connectors: ConnectorSet | None,
        snapshot: bool,
        since: tuple[str, int] | None,
    ) -> dict[str, Any]:
        """Begin a subscription; the answer's ``seq`` and ``snapshot`` belong together."""
        if any(TOPICS[topic].operator_only for topic in topics) and not self.access.has("operator"):
            raise LocalError("forbidden", "a topic needs the role operator", path="/params/topics")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise LocalError("too_large", "too many subscriptions", hint=f"at most {MAX_SUBSCRIPTIONS} per connection")
        visible = self.connectors()
        if connectors is not None:
            visible = self.visible(charge_point, connectors, with_zero=True)
        self._numbers += 1
        publications = charge_point.publications
        subscription = Subscription(self._numbers, charge_point, topics, visible, self._output, self._wake)
        self._subscriptions[subscription.number] = subscription
        result: dict[str, Any] = {
            "subscription": subscription.number,
            "stream": publications.stream,
            "seq": publications.seq,
        }
        missed = subscription.resume(*since) if since is not None else None
        if missed is not None:
            self._replay.append((subscription, missed))
        elif since is not None:
            result["gap"] = True
        if (since is None and snapshot) or "gap" in result:
            result["snapshot"] = subscription.snapshot()
        return result

    def unsubscribe(self, subscription: int) -> None:
        """End a subscription of this connection."""
        known = self._subscriptions.pop(subscription, None)
        if known is None:
            raise LocalError(
                "invalid_params",
                "no such subscription",
                path="/params/subscription",
                hint="as subscribe has answered it",
            )
        known.end()

    def use(self, identity: str) -> None:
        """Choose the charge point of requests that name none."""
        self.charge_point = self.named(identity)

    def info(self) -> dict[str, Any]:
        """The server's facts."""
        return self._server.info()

    def replay(self) -> None:
        """Send what subscriptions resumed since the last call have missed; it follows their answers."""
        if not self._replay:
            return
        replay, self._replay = self._replay, []
        for subscription, events in replay:
            for event in events:
                subscription.receive(event)


def _nobody() -> None:
    """Nobody is left to be woken."""
