"""The command ``data_transfer``."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core import data_transfer
from ocpphub.errors import LocalError, PeerError, UnavailableError
from tests.builders import Csms, World, assert_nothing_sent


def booted(**csms: Any) -> World:
    world = World().boot().forget()
    world.csms = Csms(**csms)
    return world


def test_data_transfer_answer_is_handed_to_the_caller() -> None:
    """CORE-DT-04."""
    answer = {"status": "UnknownMessageId", "data": "why"}
    world = booted(scripts={"DataTransfer": lambda _: answer})
    request = world.command("data_transfer", "vendor", "message", "text")
    world.advance(0)
    assert world.sent("DataTransfer") == [{"vendorId": "vendor", "messageId": "message", "data": "text"}]
    assert world.result(request) == answer


def test_data_transfer_of_a_megabyte_is_sent() -> None:
    """CORE-DT-05."""
    world = booted()
    request = world.command("data_transfer", "vendor", None, "ä" * 500_000)
    world.advance(0)
    assert world.result(request) == {"status": "Accepted"}


def test_data_transfer_empty_texts_are_left_out() -> None:
    """J-208: the published interface passes all three as strings."""
    world = booted()
    world.command("data_transfer", "vendor", "", "")
    assert world.sent("DataTransfer") == [{"vendorId": "vendor"}]


def test_data_transfer_not_connected_is_offline_at_once() -> None:
    """CORE-DT-04: rpc.md."""
    world = World().start()
    assert world.result(world.command("data_transfer", "v", None, None)) == {"status": "Offline"}


@pytest.mark.parametrize("registration", ["Pending", "Rejected"])
def test_data_transfer_not_accepted_is_offline_and_not_kept(registration: str) -> None:
    """CORE-DT-04, CORE-BOOT-08."""
    world = World(csms=Csms(registration=registration, interval_s=50)).boot().forget()
    assert world.result(world.command("data_transfer", "v", None, None)) == {"status": "Offline"}
    world.csms.registration = "Accepted"
    world.advance(100)
    assert "DataTransfer" not in world.actions


def test_data_transfer_link_lost_is_offline_for_all_that_wait() -> None:
    """CORE-DT-04: in flight and waiting alike, each answered once."""
    world = booted(silent={"DataTransfer"})
    requests = [world.command("data_transfer", "v", None, None) for _ in range(3)]
    world.disconnect().connect().advance(100)
    assert [world.result(request) for request in requests] == [{"status": "Offline"}] * 3
    assert world.actions.count("DataTransfer") == 1


def test_data_transfer_call_error_is_an_error_with_its_code() -> None:
    """CORE-DT-04, J-275."""
    world = booted(errors={"DataTransfer": "InternalError"})
    request = world.command("data_transfer", "v", None, None)
    world.advance(0)
    with pytest.raises(PeerError) as caught:
        world.result(request)
    assert caught.value.code == "ocpp_call_error"
    assert caught.value.data == {"ocpp_code": "InternalError", "ocpp_description": "scripted"}


@pytest.mark.parametrize(
    ("vendor_id", "message_id", "data"),
    [
        ("v" * 256, None, None),
        (None, None, None),
        ("", None, None),
        (5, None, None),
        ("v", "m" * 51, None),
        ("v", None, {"a": 1}),
        ("v", None, "nul\x00"),
        ("v", None, "\ud800"),
    ],
)
def test_data_transfer_with_illegal_argument_is_an_error(vendor_id: Any, message_id: Any, data: Any) -> None:
    """CORE-RPC-18: nothing is sent and nothing answered later."""
    world = booted()
    with pytest.raises(LocalError) as caught:
        world.command("data_transfer", vendor_id, message_id, data)
    assert caught.value.code == "invalid_params"
    assert_nothing_sent(world)
    assert world.replies == {}


def test_data_transfer_too_many_waiting_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """J-351: a limit that is told."""
    monkeypatch.setattr(data_transfer, "MAX_WAITING", 2)
    world = booted(silent={"DataTransfer"})
    for _ in range(3):
        world.command("data_transfer", "v", None, None)
    with pytest.raises(UnavailableError) as caught:
        world.command("data_transfer", "v", None, None)
    assert caught.value.code == "busy"
