"""DataTransfer of the CSMS to a program behind the socket: what the program says is what the CSMS gets."""

from __future__ import annotations

import json
from typing import Any

from .conftest import Link, Rpc, Shared, wait_for


def confirmation(link: Link, message_id: str) -> Any:
    """What the CSMS got for its CALL, whole."""
    return wait_for(lambda: link.answer_to(message_id), "answer to DataTransfer")


def answer(rpc: Rpc, result: Any) -> dict[str, Any]:
    """The program answers what it is asked next; the parameters of that."""
    request = rpc.message()
    assert request["method"] == "data_transfer.handle"
    assert request["id"].startswith("s:")
    rpc.raw(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode() + b"\n")
    params: dict[str, Any] = request["params"]
    return params


def test_csms_sends_data_to_a_program_and_gets_its_word(shared: Shared) -> None:
    """CORE-DT-03, CORE-DT-05: text of any kind and length, both ways."""
    link, text = shared.link, "Zür\u2028ich " * 50_000
    with shared.hub.rpc() as rpc:
        assert rpc.call("data_transfer.register", vendor_id="org.example") is None
        for data in ('{"ct": 42}', "", text):
            message_id = link.post("DataTransfer", {"vendorId": "ORG.example", "messageId": "Price", "data": data})
            params = answer(rpc, {"status": "Accepted", "data": data[::-1]})
            assert params == {"vendor_id": "ORG.example", "message_id": "Price", "data": data}
            assert confirmation(link, message_id) == [3, message_id, {"status": "Accepted", "data": data[::-1]}]


def test_csms_sends_data_that_no_program_understands(shared: Shared) -> None:
    """CORE-DT-01, CORE-DT-02: told at once, with nobody asked."""
    with shared.hub.rpc() as rpc:
        rpc.call("data_transfer.register", vendor_id="v", message_ids=["known"])
        assert shared.link.result("DataTransfer", {"vendorId": "w"}) == {"status": "UnknownVendorId"}
        for payload in ({"messageId": "other"}, {}):
            assert shared.link.result("DataTransfer", {"vendorId": "v"} | payload) == {"status": "UnknownMessageId"}
        assert rpc.call("rpc.ping") == "pong"


def test_csms_sends_data_to_a_program_that_errs_or_dies(shared: Shared) -> None:
    """CORE-DT-06, CORE-DT-01: Rejected, and after its end nobody knows the vendor; the next request is served."""
    link = shared.link
    with shared.hub.rpc() as rpc:
        rpc.call("data_transfer.register", vendor_id="v")
        for wrong in (None, {"status": "Offline"}, {"status": "Accepted", "data": {}}):
            message_id = link.post("DataTransfer", {"vendorId": "v"})
            answer(rpc, wrong)
            assert confirmation(link, message_id) == [3, message_id, {"status": "Rejected"}]
        message_id, behind = link.post("DataTransfer", {"vendorId": "v"}), link.post("ClearCache", {})
        assert rpc.message()["method"] == "data_transfer.handle"
        assert link.answer_to(behind) is None
    assert confirmation(link, message_id) == [3, message_id, {"status": "Rejected"}]
    assert confirmation(link, behind)[2] == {"status": "Accepted"}
    assert link.result("DataTransfer", {"vendorId": "v"}) == {"status": "UnknownVendorId"}


def test_program_that_is_started_anew_takes_over_from_its_former_self(shared: Shared) -> None:
    """CORE-DT-03: the later registration of a user counts."""
    with shared.hub.rpc() as former, shared.hub.rpc() as present:
        former.call("data_transfer.register", vendor_id="v")
        present.call("data_transfer.register", vendor_id="v")
        message_id = shared.link.post("DataTransfer", {"vendorId": "v"})
        assert answer(present, {"status": "Accepted"}) == {"vendor_id": "v"}
        assert confirmation(shared.link, message_id)[2] == {"status": "Accepted"}
        assert former.call("rpc.ping") == "pong"
