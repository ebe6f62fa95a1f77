"""clients.py: numbers of controllers, and who answers a question."""

from __future__ import annotations

from typing import Any

from ocpphub.clients import Clients, new_controller
from ocpphub.core.effects import Ask


class Program:
    """A local program that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, identity: str, question: Ask, answer: Any) -> None:
        answer((self.name, identity, question.params), None)


def asked(clients: Clients, number: int | None) -> Any:
    answers: list[Any] = []
    clients.ask(
        Ask(1, "connector.unlock", {"connector_id": 2}, controller=number), lambda *answer: answers.append(answer)
    )
    (answer,) = answers
    return answer


def test_controller_has_a_number_that_no_other_has() -> None:
    first, second = new_controller(1000, is_operator=False), new_controller(1000, is_operator=True)

    assert first.number != second.number
    assert (first.principal, first.is_operator, second.is_operator) == (1000, False, True)


def test_question_goes_to_the_client_of_its_controller() -> None:
    clients = Clients("CP1")
    clients.add(7, Program("a"))
    clients.add(8, Program("b"))

    assert asked(clients, 8) == (("b", "CP1", {"connector_id": 2}), None)


def test_question_to_nobody_is_answered_at_once() -> None:
    clients = Clients("CP1")
    clients.add(7, Program("a"))
    clients.discard(7)
    clients.discard(7)

    for number in (7, None):
        result, error = asked(clients, number)
        assert (result, error.code) == (None, "not_attached")
