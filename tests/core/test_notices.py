"""Statuses of a request: each once, in order, whatever happens to link and answers."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.notices import MAX_WAITING, Notices
from ocpphub.core.outbox import POISON_LINK_LOSSES
from tests.builders import World

ACTION = "LogStatusNotification"


def status(name: str, request_id: int = 1) -> dict[str, Any]:
    return {"status": name, "requestId": request_id}


class Teller(World):
    """A world that has statuses of logs to tell; ``saved`` is what each row held."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(schemes=("https",), **arguments)
        self.notices: Notices = self.core._parts.servicing.sources[1]
        self.saved: list[list[str]] = []
        self.notices.save = lambda: self.saved.append([each["payload"]["status"] for each in self.notices.json()])

    def tell(self, *names: str, request_id: int = 1) -> Teller:
        for name in names:
            self.notices.put(ACTION, status(name, request_id))
        self.core._end(self.now)
        self.settle()
        return self

    def trigger(self) -> Teller:
        self.notices.trigger(ACTION, {"status": "Idle"})
        self.core._end(self.now)
        self.settle()
        self.advance(0)
        return self

    @property
    def told(self) -> list[str]:
        return [sent["status"] for sent in self.sent(ACTION)]


def booted(**arguments: Any) -> Teller:
    world = Teller(**arguments)
    world.boot().forget()
    return world


def test_statuses_are_told_in_order_and_each_is_forgotten_before_the_next_leaves() -> None:
    """S-224: so that none comes again behind a later one."""
    world = booted()
    world.tell("Uploading", "Uploaded")
    assert (world.told, world.saved) == (["Uploading"], [])
    world.advance(0)
    assert (world.told, world.saved) == (["Uploading", "Uploaded"], [["Uploaded"], []])
    assert world.notices.is_empty


def test_statuses_wait_for_the_link_and_the_registration() -> None:
    """CORE-UF-09: a lost link repeats the one that was on its way."""
    world = booted()
    world.csms.silent.add(ACTION)
    world.tell("Uploading", "Uploaded").disconnect()
    assert [each["payload"]["status"] for each in world.notices.json()] == ["Uploading", "Uploaded"]
    world.csms.silent.clear()
    world.connect().advance(0)
    assert world.told == ["Uploading", "Uploading", "Uploaded"]


def test_status_under_which_the_link_is_lost_again_and_again_is_given_up() -> None:
    """decisions.md 6: it must not keep the link from everything else."""
    world = booted()
    world.csms.silent.add(ACTION)
    world.tell("Uploading")
    for _ in range(POISON_LINK_LOSSES):
        world.disconnect().connect()
    assert world.told == ["Uploading"] * POISON_LINK_LOSSES
    assert world.notices.is_empty


def test_status_that_is_answered_with_an_error_is_repeated_as_often_as_transaction_messages() -> None:
    """OCPP 1.6 section 3.7.1: the interval times the attempts; those behind it wait."""
    world = booted()
    world.csms.errors[ACTION] = "InternalError"
    world.tell("Uploading", "Uploaded").advance(19)
    assert world.told == ["Uploading"]
    world.advance(1)
    assert world.told == ["Uploading"] * 2
    world.advance(40)
    assert world.told == ["Uploading"] * 3 + ["Uploaded"]
    world.advance(1_000)
    assert world.notices.is_empty


def test_status_that_is_not_answered_is_repeated() -> None:
    """OCPP-J 4.1.1: MessageTimeout ends the attempt."""
    world = booted()
    world.csms.silent.add(ACTION)
    world.tell("Uploading").advance(30)
    world.csms.silent.clear()
    world.advance(20)
    assert world.told == ["Uploading"] * 2
    assert world.notices.is_empty


def test_statuses_that_wait_are_bounded_and_those_of_the_last_requests_stay() -> None:
    """CORE-UF-09, T20: a CSMS that asks again and again, and hears nothing, does not let the row grow."""
    world = booted()
    world.disconnect()
    for request_id in range(MAX_WAITING):
        world.tell("Uploading", "Uploaded", request_id=request_id)
    kept = [each["payload"] for each in world.notices.json()]
    half = MAX_WAITING // 2
    assert kept == [status(name, each) for each in range(half, 2 * half) for name in ("Uploading", "Uploaded")]
    world.connect().advance(0)
    assert world.sent(ACTION) == kept


@pytest.mark.parametrize("code", ["NotImplemented", "NotSupported"])
def test_status_that_the_csms_does_not_know_is_given_up_at_once(code: str) -> None:
    """reliability.md 4.4"""
    world = booted()
    world.csms.errors[ACTION] = code
    world.tell("Uploading").advance(1_000)
    assert world.told == ["Uploading"]
    assert world.notices.is_empty


def test_withdrawn_request_is_silent_and_others_are_not() -> None:
    """S-226: the one on its way is not repeated either."""
    world = booted()
    world.csms.silent.add(ACTION)
    world.tell("Uploading", "Uploaded").tell("Uploading", request_id=2)
    world.notices.withdraw(1)
    assert [each["payload"] for each in world.notices.json()] == [status("Uploading", 2)]
    world.csms.silent.clear()
    world.disconnect().forget()
    world.connect().advance(0)
    assert world.sent(ACTION) == [status("Uploading", 2)]


def test_trigger_tells_what_waits_instead_of_something_of_its_own() -> None:
    """CORE-TM-03, S-254: also while the registration is pending, when nothing else may leave."""
    world = Teller()
    world.csms.registration = "Pending"
    world.boot().forget()
    world.tell("Uploading", "Uploaded").advance(1)
    assert world.told == []
    world.trigger()
    assert world.told == ["Uploading", "Uploaded"]
    world.tell("BadMessage").advance(1)
    assert world.told == ["Uploading", "Uploaded"]


def test_trigger_with_nothing_waiting_tells_the_status_once() -> None:
    """S-227: and it is kept for nobody."""
    world = booted().trigger()
    assert world.told == ["Idle"]
    assert world.saved == []


def test_damaged_statuses_of_a_row_are_left_out() -> None:
    """reliability.md 4.1"""
    world = Teller()
    good = {"action": ACTION, "payload": status("Uploaded")}
    world.notices.restore([good, 5, {"action": ACTION}, {"payload": {}}, {"action": 1, "payload": {}}])
    assert world.notices.json() == [good]
