"""Which controller drives which connector (decisions.md section 4, reliability.md 3.4).

Owns the attachments: at most one controller per connector, and who may take one over. Must never decide what losing a
controller means for a connector: that is ``sessions.py``.

Implements: design rpc.md ``controller.attach`` and ``controller.detach``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Set
from dataclasses import dataclass

from ocpphub.errors import LocalError


@dataclass(frozen=True, slots=True)
class Controller:
    """One connection of a local program: ``number`` is never used again, ``principal`` is whose it is."""

    number: int
    principal: Hashable
    is_operator: bool = False


class Controllers:
    """Connector -> the controller that is attached to it."""

    __slots__ = ("_by_number", "_of")

    def __init__(self) -> None:
        self._of: dict[int, Controller] = {}
        self._by_number: dict[int, set[int]] = {}
        """The same the other way round: thousands of connections may be lost at once."""

    def of(self, connector_id: int) -> Controller | None:
        """Who is attached to a connector."""
        return self._of.get(connector_id)

    def attach(self, controller: Controller, connector_ids: Iterable[int], *, takeover: bool) -> list[int]:
        """Attach to all of these connectors or to none; those that were not the caller's before.

        Raises :class:`LocalError`: ``invalid_state`` where another controller is attached, ``forbidden`` for a takeover
        from somebody else's.
        """
        wanted = list(dict.fromkeys(connector_ids))
        for connector_id in wanted:
            present = self._of.get(connector_id)
            if present is None or present.number == controller.number:
                continue
            if not takeover:
                raise LocalError(
                    "invalid_state",
                    f"connector {connector_id} has a controller",
                    path="/params/connectors",
                    hint="takeover = true takes it over from another connection of the same user",
                )
            if present.principal != controller.principal and not controller.is_operator:
                raise LocalError(
                    "forbidden", f"connector {connector_id} is another user's", path="/params/takeover", hint="false"
                )
        taken = [each for each in wanted if self._of.get(each) != controller]
        for connector_id in taken:
            self._let_go(connector_id)
            self._of[connector_id] = controller
            self._by_number.setdefault(controller.number, set()).add(connector_id)
        return taken

    def _let_go(self, connector_id: int) -> None:
        present = self._of.pop(connector_id, None)
        if present is not None:
            own = self._by_number[present.number]
            own.discard(connector_id)
            if not own:
                del self._by_number[present.number]

    def check(self, controller: Controller, connector_id: int, path: str = "/params") -> None:
        """Raise :class:`LocalError` ``not_attached`` unless the connector is this controller's."""
        present = self._of.get(connector_id)
        if present is None or present.number != controller.number:
            raise LocalError(
                "not_attached",
                f"connector {connector_id} is not attached to this connection",
                path=f"{path}/connector_id",
                hint="call controller.attach first",
            )

    def detach(self, controller: Controller, connector_ids: Iterable[int] | None) -> list[int]:
        """Let go of these connectors, of all when ``None``; those that were attached. Raises as :meth:`check`."""
        if connector_ids is None:
            return self.lost(controller.number)
        wanted = list(dict.fromkeys(connector_ids))
        for connector_id in wanted:
            self.check(controller, connector_id)
        for connector_id in wanted:
            self._let_go(connector_id)
        return wanted

    def lost(self, number: int) -> list[int]:
        """The connection is gone; the connectors that were its."""
        gone = self.connectors_of(number)
        for connector_id in gone:
            self._let_go(connector_id)
        return gone

    def own(self, number: int) -> Set[int]:
        """The connectors of a connection, as they are at any moment of this input."""
        return self._by_number.get(number, frozenset())

    def connectors_of(self, number: int) -> list[int]:
        """The connectors of a connection, in ascending order."""
        return sorted(self._by_number.get(number, ()))

    def numbers(self) -> set[int]:
        """The connections that have connectors."""
        return {controller.number for controller in self._of.values()}

    def all(self) -> dict[Controller, list[int]]:
        """Every controller with its connectors in ascending order."""
        found: dict[Controller, list[int]] = {}
        for connector_id in sorted(self._of):
            found.setdefault(self._of[connector_id], []).append(connector_id)
        return found
