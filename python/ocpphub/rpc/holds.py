"""Requests that wait behind another one of their connector (design rpc.md "Rules": effects in the order sent).

Owns which connectors of one connection have a request that waits for the CSMS, and what came for them since. Must never
answer anything. Reports are never held up: what a connector does must not wait for what the CSMS says of a tag.
"""

from __future__ import annotations

from typing import Any, Final

from ocpphub.api import ChargePoint
from ocpphub.rpc.signature import Method

WAITING: Final = frozenset(("connector.authorize",))
"""Methods that may wait for somebody else's answer and act on their connector then."""
NEVER_HELD: Final = frozenset(("connector.report",))


class Holds:
    """The held requests of one connection, by connector."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, list[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def keeps(self, name: str, params: dict[str, Any], request: Any, chosen: ChargePoint | None) -> bool:
        """Hold a request up if it names a connector that has one waiting.

        One that names no charge point is about the ``chosen`` one, whatever the connection chooses while it waits:
        its ``params``, which are part of it, say so from now on.
        """
        connector_id = params.get("connector_id")
        if name in NEVER_HELD or type(connector_id) is not int or connector_id not in self._held:
            return False
        if "charge_point" not in params:
            if chosen is None:
                return False  # it will be refused
            params["charge_point"] = chosen.identity
        self._held[connector_id].append(request)
        return True

    def begin(self, method: Method, args: list[Any]) -> int | None:
        """A request is carried out: the connector that has to wait for it, if any."""
        if method.name not in WAITING:
            return None
        connector_id = args[method.connector_index or 0]
        if type(connector_id) is not int:
            return None
        self._held[connector_id] = []
        return connector_id

    def end(self, connector_id: int | None) -> list[Any]:
        """The request is answered; what waited behind it, in order."""
        return [] if connector_id is None else self._held.pop(connector_id, [])
