"""DataTransfer of the CSMS: who handles it, and what becomes of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core import vendor
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import Ask, Store
from ocpphub.core.vendor import Vendors
from ocpphub.errors import LocalError, UnavailableError
from tests.builders import World

MINE = Controller(1, "user")
AGAIN = Controller(2, "user")
OTHER = Controller(3, "somebody else")
OPERATOR = Controller(4, "root", is_operator=True)


class Transfers(World):
    """A booted world that keeps what a program is asked."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.boot().forget()

    def register(self, vendor_id: str, *message_ids: str, controller: Controller = MINE) -> Transfers:
        """A program handles a vendor, with these message ids or all."""
        assert self.result(self.command("register_vendor", controller, vendor_id, message_ids or None)) is None
        return self

    def transfer(self, unique_id: str = "t", **payload: Any) -> Transfers:
        """The CSMS sends a DataTransfer."""
        self.receive([2, unique_id, "DataTransfer", payload])
        return self

    @property
    def asked(self) -> list[Ask]:
        """Every question so far."""
        return [effect for effect in self.effects if isinstance(effect, Ask)]

    def reply(self, result: Any, error: Exception | None = None, ask: int = -1) -> Any:
        """The program answers its last question; what the CSMS gets then."""
        self.core.receive_answer(self.asked[ask].ask, result, error, self.now)
        self.settle()
        return self.answers[-1]


def test_transfer_of_a_registered_vendor_is_put_to_its_program_and_answered_with_its_word() -> None:
    """CORE-DT-03: nothing is answered before, and nothing stored."""
    world = Transfers().register("com.example")
    world.transfer(vendorId="com.example", messageId="price", data='{"ct":42}')
    (question,) = world.asked
    assert (question.method, question.controller, question.timeout_s) == ("data_transfer.handle", 1, 10.0)
    assert question.params == {"vendor_id": "com.example", "message_id": "price", "data": '{"ct":42}'}
    assert world.answers == []
    assert world.reply({"status": "Accepted", "data": "done"}) == [3, "t", {"status": "Accepted", "data": "done"}]
    assert not [effect for effect in world.effects if isinstance(effect, Store)]


def test_transfer_without_message_and_data_names_neither() -> None:
    """J-208, CORE-DT-03."""
    world = Transfers().register("v").transfer(vendorId="v")
    assert world.asked[0].params == {"vendor_id": "v"}
    assert world.reply({"status": "Rejected", "data": None}) == [3, "t", {"status": "Rejected"}]


@pytest.mark.parametrize("status", ["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"])
def test_transfer_gets_every_status_that_a_program_may_give(status: str) -> None:
    """CORE-DT-03, CORE-DT-06: a further member of the answer does not matter."""
    world = Transfers().register("v").transfer(vendorId="v")
    assert world.reply({"status": status, "note": 1}) == [3, "t", {"status": status}]


def test_transfer_of_a_megabyte_goes_both_ways() -> None:
    """CORE-DT-05."""
    text = "ä" * 500_000
    world = Transfers().register("v").transfer(vendorId="v", data=text)
    assert world.asked[0].params["data"] == text
    assert world.reply({"status": "Accepted", "data": text})[2]["data"] == text


def test_transfer_of_a_vendor_without_a_program_is_an_unknown_vendor() -> None:
    """CORE-DT-01: without data, whoever else is registered."""
    world = Transfers().register("v").transfer(vendorId="w", data="x")
    assert world.answers == [[3, "t", {"status": "UnknownVendorId"}]]
    assert world.asked == []


@pytest.mark.parametrize("message", [{"messageId": "stop"}, {}, {"messageId": ""}])
def test_transfer_of_another_message_is_an_unknown_message(message: dict[str, str]) -> None:
    """CORE-DT-02: a message without an id is none of those that have one."""
    world = Transfers().register("v", "start", "pause").transfer(vendorId="v", **message)
    assert world.answers == [[3, "t", {"status": "UnknownMessageId"}]]
    assert world.asked == []


def test_transfer_finds_vendor_and_message_in_any_case_and_tells_them_as_they_came() -> None:
    """CORE-DT-02, CORE-DT-03: both are CiStrings."""
    world = Transfers().register("Com.Example", "START", "").transfer(vendorId="cOM.eXAMPLE", messageId="Start")
    assert world.asked[0].params == {"vendor_id": "cOM.eXAMPLE", "message_id": "Start"}
    world.reply({"status": "Accepted"})
    assert len(world.transfer("u", vendorId="com.example").asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        *(None, True, 1, "Accepted", [], ["Accepted"], {}),
        *({"status": None}, {"status": "accepted"}, {"status": "Offline"}, {"status": ["Accepted"]}),
        *({"status": "Accepted", "data": 1}, {"status": "Accepted", "data": {"a": 1}}),
        *({"status": "Accepted", "data": "nul\x00"}, {"status": "Accepted", "data": "\ud800"}),
    ],
)
def test_transfer_that_is_answered_wrongly_is_rejected(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """CORE-DT-06: never a CALLERROR for what a program does wrong, and the log names the vendor."""
    world = Transfers().register("v.example").transfer(vendorId="v.example", data="secret")
    assert world.reply(answer) == [3, "t", {"status": "Rejected"}]
    assert "v.example" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("code", ["timeout", "not_attached", "not_connected"])
def test_transfer_that_nobody_answers_is_rejected_and_the_next_call_is_served(code: str) -> None:
    """CORE-DT-06: a silent, lost or late program."""
    world = Transfers().register("v").transfer(vendorId="v")
    world.receive([2, "next", "ClearCache", {}])
    assert world.answers == []
    world.reply(None, UnavailableError(code, "nobody"))
    assert world.answers == [[3, "t", {"status": "Rejected"}], [3, "next", {"status": "Accepted"}]]


def test_transfer_whose_link_is_lost_is_answered_to_nobody() -> None:
    """J-238: the id belongs to a connection that is gone."""
    world = Transfers().register("v").transfer(vendorId="v")
    world.disconnect().connect().advance(1).forget()
    world.core.receive_answer(1, {"status": "Accepted"}, None, world.now)
    assert world.settle().answers == []


def test_program_stays_registered_over_a_reset_of_the_charge_point() -> None:
    """CORE-DT-03: the registration ends with the connection, which does not hear of a reset."""
    table = Vendors()
    world = Transfers()
    world.core.use_vendors(table)
    world.register("v")
    again = world.crash()
    again.core.use_vendors(table)
    again.boot().forget().receive([2, "t", "DataTransfer", {"vendorId": "v"}])
    assert [effect.controller for effect in again.effects if isinstance(effect, Ask)] == [1]


def test_program_that_is_registered_while_stopped_is_so_after_restart() -> None:
    """decisions.md 6: what is about clients works while stopped."""
    world = Transfers()
    world.command("stop")
    world.advance(10)
    world.register("v")
    world.command("restart")
    world.connect().advance(1).forget()
    assert world.transfer(vendorId="v").asked


def registered(*controllers: Controller) -> Vendors:
    vendors = Vendors()
    for controller in controllers:
        vendors.register(controller, "v", None)
    return vendors


@pytest.mark.parametrize(
    ("first", "second"), [(MINE, MINE), (MINE, AGAIN), (MINE, OPERATOR), (OTHER, OPERATOR), (OPERATOR, OPERATOR)]
)
def test_later_registration_of_the_same_user_or_an_operator_wins(first: Controller, second: Controller) -> None:
    """rpc.md data_transfer.register: with its own message ids, not with those of before."""
    vendors = registered(first)
    vendors.register(second, "V", ["a"])
    handler = vendors.of("v")
    assert handler is not None
    assert (handler.controller, handler.takes("A"), handler.takes("b")) == (second, True, False)
    vendors.lost(first.number if first is not second else 99)
    assert vendors.of("v") is handler


@pytest.mark.parametrize(("first", "second"), [(MINE, OTHER), (OPERATOR, MINE)])
def test_vendor_of_another_user_cannot_be_taken(first: Controller, second: Controller) -> None:
    """rpc.md data_transfer.register: -32007, until that connection has ended."""
    vendors = registered(first)
    with pytest.raises(LocalError) as caught:
        vendors.register(second, "v", None)
    assert (caught.value.code, caught.value.path) == ("invalid_state", "/params/vendor_id")
    handler = vendors.of("v")
    assert handler is not None
    assert handler.controller is first
    vendors.lost(first.number)
    vendors.register(second, "v", None)


def test_connection_that_is_lost_handles_nothing_any_more() -> None:
    """rpc.md data_transfer.register: all its vendors, and no other's."""
    vendors = registered(MINE)
    vendors.register(MINE, "w", ["a"])
    vendors.register(OTHER, "x", None)
    vendors.lost(MINE.number)
    assert (vendors.of("v"), vendors.of("w")) == (None, None)
    assert vendors.of("x") is not None


def test_too_many_vendors_are_told_and_known_ones_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """J-351: a limit that is told, with nothing changed."""
    monkeypatch.setattr(vendor, "MAX_VENDORS", 1)
    world = Transfers().register("v")
    with pytest.raises(LocalError) as caught:
        world.command("register_vendor", MINE, "w", None)
    assert (caught.value.code, caught.value.path) == ("too_large", "/params/vendor_id")
    world.register("V", "a").transfer(vendorId="w")
    assert world.answers[-1][2] == {"status": "UnknownVendorId"}
