"""errors.py: the tree, the texts and the JSON-RPC table."""

from __future__ import annotations

import pytest

from ocpphub.errors import (
    JSON_RPC_NUMBERS,
    LocalError,
    OcpphubError,
    PeerError,
    UnavailableError,
    from_json_rpc,
    json_rpc_error,
    json_rpc_number,
)


def test_error_with_path_and_hint_reads_as_one_sentence() -> None:
    error = LocalError("unknown_connector", "no such connector", path="/params/connector_id", hint="1 to 400")

    assert str(error) == "no such connector at /params/connector_id (1 to 400)"


def test_error_without_message_names_its_code() -> None:
    assert str(UnavailableError("not_connected")) == "not connected"


@pytest.mark.parametrize("kind", [LocalError, PeerError, UnavailableError])
def test_every_kind_is_caught_as_ocpphub_error(kind: type[OcpphubError]) -> None:
    with pytest.raises(OcpphubError):
        raise kind("internal")


def test_json_rpc_error_of_ours_carries_code_path_hint_and_extra_data() -> None:
    error = UnavailableError("busy", "too many", path="/method", hint="wait", retry_after_ms=250)

    assert json_rpc_error(error) == {
        "code": -32005,
        "message": "too many",
        "data": {"code": "busy", "path": "/method", "hint": "wait", "retry_after_ms": 250},
    }


def test_json_rpc_error_of_a_bug_hides_its_text() -> None:
    answer = json_rpc_error(ValueError("AuthorizationKey is 0001020304"))

    assert answer["code"] == -32000
    assert "0001020304" not in str(answer)


def test_json_rpc_number_of_an_unknown_code_is_internal() -> None:
    assert json_rpc_number("no_such_code") == -32000


@pytest.mark.parametrize("code", sorted(JSON_RPC_NUMBERS))
def test_client_reading_an_error_object_gets_the_same_error(code: str) -> None:
    sent = LocalError(code, "text", path="/a", hint="b", retry_after_ms=1)

    got = from_json_rpc(json_rpc_error(sent))

    assert (got.code, got.message, got.path, got.hint, got.data) == (code, "text", "/a", "b", {"retry_after_ms": 1})


def test_client_reading_an_error_without_data_finds_the_code_by_number() -> None:
    got = from_json_rpc({"code": -32001, "message": "x"})

    assert isinstance(got, UnavailableError)
    assert got.code == "not_connected"


def test_call_error_of_the_csms_is_the_peers_fault() -> None:
    assert isinstance(from_json_rpc({"code": -32008, "message": "x"}), PeerError)
