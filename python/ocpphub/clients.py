"""The connections of local programs as a core knows them: their numbers, and which of them answers a question.

Owns the numbers of controllers, which are never used twice in a process, and keeps over resets who handles which
vendor. Must never know a socket: a client is whoever can be asked.

Implements: design rpc.md "Requests from the gateway to a client".
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, Protocol

from ocpphub.core.controllers import Controller
from ocpphub.core.vendor import Vendors
from ocpphub.errors import UnavailableError

if TYPE_CHECKING:
    from ocpphub.core.effects import Ask
    from ocpphub.driver import Answer

_NUMBERS: Final = itertools.count(1)


def new_controller(principal: Hashable, *, is_operator: bool) -> Controller:
    """A controller with a number that no other of this process has; ``principal`` says whose it is."""
    return Controller(next(_NUMBERS), principal, is_operator)


class Client(Protocol):
    """A connection that can be asked."""

    def ask(self, identity: str, question: Ask, answer: Answer) -> None:
        """Put a question of a charge point to the program; ``answer`` is called at most once."""
        ...


class Clients:
    """The connections that one charge point may ask, by the number of their controller."""

    __slots__ = ("_clients", "_identity", "vendors")

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._clients: dict[int, Client] = {}
        self.vendors = Vendors()
        """Which of them handles DataTransfer of which vendor."""

    def add(self, number: int, client: Client) -> None:
        """From now on this client answers for the controller of this number."""
        self._clients[number] = client

    def discard(self, number: int) -> None:
        """The connection is gone, and handles no vendor any more; one that is not known is none's loss."""
        self.vendors.lost(number)
        self._clients.pop(number, None)

    def ask(self, question: Ask, answer: Answer) -> None:
        """Put a question to the controller that it names; the answer ``not_attached`` comes at once without it."""
        client = None if question.controller is None else self._clients.get(question.controller)
        if client is None:
            answer(None, UnavailableError("not_attached", f"nobody answers {question.method}"))
        else:
            client.ask(self._identity, question, answer)
