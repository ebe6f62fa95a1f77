"""The seven commands of the published interface, in good and in bad company."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from .conftest import Link, Rig, Rpc, Shared, cli, iso, point, wait_for

CLOCK_ERROR_S = 2.0
"""Half of the slowest BootNotification on a busy machine: as far as currentTime may put the clock off."""


def types(link: Link) -> list[str]:
    return [f[3]["type"] for f in link.calls("SecurityEventNotification")]


# -- data_transfer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ({"status": "Accepted", "data": "d\u00e9j\u00e0"}, {"status": "Accepted", "data": "d\u00e9j\u00e0"}),
        ({"status": "Rejected"}, {"status": "Rejected"}),
        ({"status": "UnknownMessageId"}, {"status": "UnknownMessageId"}),
        ({"status": "UnknownVendorId", "data": "x", "more": 1}, {"status": "UnknownVendorId", "data": "x"}),
        ({"status": "Accepted", "data": None}, {"status": "Accepted"}),
    ],
    ids=["data", "rejected", "message", "vendor", "null"],
)
def test_controller_transfers_data_and_gets_the_csms_status(rpc: Rpc, shared: Shared, answer: Any, result: Any) -> None:
    """CORE-DT-04, rpc.md `data_transfer`."""
    shared.csms.script["DataTransfer"] = answer
    assert rpc.call("data_transfer", vendor_id="V", message_id="M", data="D") == result
    assert shared.link.calls("DataTransfer")[-1][3] == {"vendorId": "V", "messageId": "M", "data": "D"}


def test_controller_transfers_without_options_and_they_stay_off_the_wire(rpc: Rpc, shared: Shared) -> None:
    """J-208: absent optional members are omitted."""
    shared.csms.script["DataTransfer"] = {"status": "Accepted"}
    rpc.call("data_transfer", vendor_id="V")
    assert shared.link.calls("DataTransfer")[-1][3] == {"vendorId": "V"}


def test_controller_transfers_odd_text_and_it_arrives_unchanged(rpc: Rpc, shared: Shared) -> None:
    """J-201, CORE-DT-05: quotes, newlines, emoji and half a megabyte."""
    shared.csms.script["DataTransfer"] = lambda _l, _i, _a, payload: {"status": "Accepted", "data": payload["data"]}
    for text in ('"\\\n\t{}[]', "\U0001f50c\u20ac", "x" * 500_000):
        assert rpc.call("data_transfer", vendor_id="V", data=text) == {"status": "Accepted", "data": text}


@pytest.mark.parametrize("code", ["InternalError", "NotSupported"])
def test_controller_transfers_and_the_csms_errs_with_its_code_in_data(rpc: Rpc, shared: Shared, code: str) -> None:
    """rpc.md -32008 `ocpp_call_error`, J-275."""
    shared.csms.script["DataTransfer"] = lambda _l, message_id, *_: [4, message_id, code, "because", {"a": 1}]
    error = rpc.fails("data_transfer", {"vendor_id": "V"})
    assert error.code == -32008
    assert error.data["code"] == "ocpp_call_error"
    assert code in json.dumps(error.data)
    assert "because" in json.dumps(error.data)


@pytest.mark.parametrize("answer", [{}, {"status": "accepted"}, {"status": 1}, {"status": "Accepted" * 20}], ids=str)
def test_csms_answers_a_transfer_with_nonsense_and_the_link_lives(rpc: Rpc, shared: Shared, answer: Any) -> None:
    """J-276: a confirmation that violates its PDU fails the call like a CALLERROR; nothing is sent back."""
    shared.csms.script["DataTransfer"] = answer
    before = len(shared.link.received())
    error = rpc.fails("data_transfer", {"vendor_id": "V"})
    assert error.code == -32008
    assert [f[0] for f in shared.link.received()[before:]] == [2]
    assert shared.link.result("GetConfiguration", {"key": ["ResetRetries"]})


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "/params/vendor_id"),
        ({"vendor_id": 5}, "/params/vendor_id"),
        ({"vendor_id": None}, "/params/vendor_id"),
        ({"vendor_id": ["V"]}, "/params/vendor_id"),
        ({"vendor_id": "V" * 256}, "/params/vendor_id"),
        ({"vendor_id": "V", "message_id": "M" * 51}, "/params/message_id"),
        ({"vendor_id": "V", "data": {"a": 1}}, "/params/data"),
        ({"vendor_id": "V", "datum": "x"}, "/params/datum"),
        (["V"], "/params"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_controller_transfers_with_wrong_parameters_and_is_told_where(
    rpc: Rpc, shared: Shared, params: Any, path: str
) -> None:
    """rpc.md rules: -32602 with code, path and hint; nothing reaches the CSMS."""
    before = len(shared.link.calls("DataTransfer"))
    error = rpc.fails("data_transfer", params)
    assert error.code == -32602
    assert set(error.data) >= {"code", "path", "hint"}
    assert error.data["path"] == path
    assert error.data["hint"]
    assert "VVVV" not in json.dumps(error.error)
    assert len(shared.link.calls("DataTransfer")) == before


def test_csms_is_silent_and_the_transfer_ends_offline(rig: Rig) -> None:
    """CORE-RPC-05, CORE-RPC-06, CORE-RPC-14, J-233, J-234, J-236, J-237: one call at a time, timeout."""
    csms, hub, link = rig.pair(configuration="MessageTimeout = 1")
    csms.script["DataTransfer"] = None
    with hub.rpc() as rpc:
        first = rpc.post("data_transfer", {"vendor_id": "A"})
        second = rpc.post("data_transfer", {"vendor_id": "B"})
        lost = link.wait_call("DataTransfer")[0]
        assert link.result("GetConfiguration", {"key": ["MessageTimeout"]})["configurationKey"][0]["value"] == "1"
        assert len(link.calls("DataTransfer")) == 1
        start = time.monotonic()
        pending = link.wait_call("DataTransfer", 2)[1]
        assert time.monotonic() - start < 5
        link.send([3, lost[1], {"status": "Rejected", "data": "late"}])
        link.send([3, lost[1], {"status": "Rejected", "data": "late twice"}])
        link.send([3, "never-sent", {"status": "Rejected"}])
        link.send([4, "never-sent", "InternalError", "", {}])
        link.send([3, pending[1], {"status": "Accepted", "data": "right"}])
        link.send([3, pending[1], {"status": "Rejected", "data": "twice"}])
        answers = {m["id"]: m["result"] for m in (rpc.message(), rpc.message())}
        assert answers == {first: {"status": "Offline"}, second: {"status": "Accepted", "data": "right"}}
        csms.script["DataTransfer"] = {"status": "Accepted"}
        assert rpc.call("data_transfer", vendor_id="C") == {"status": "Accepted"}


def test_csms_hangs_up_during_a_transfer_and_the_answer_is_offline(rig: Rig) -> None:
    """rpc.md `data_transfer`: link lost is Offline, and so is every call while there is no link."""
    csms, hub, link = rig.pair()
    csms.script["DataTransfer"] = lambda link, *_: link.socket.close()
    with hub.rpc() as rpc:
        assert rpc.call("data_transfer", vendor_id="A") == {"status": "Offline"}
        link.closed.wait(5)
        assert rpc.call("data_transfer", vendor_id="A") == {"status": "Offline"}
        assert rpc.call("get_variable", name="is_connected")["value"] is False
    assert len(link.calls("DataTransfer")) == 1


# -- security_event ------------------------------------------------------------------------------


def test_controller_reports_events_in_order_and_each_arrives_once(rpc: Rpc, shared: Shared) -> None:
    """S-211, S-215, J-341, rpc.md `security_event`: null is the answer; any type, critical or not, is sent."""
    shared.csms.script["DataTransfer"] = {"status": "Accepted"}
    names = ["TamperDetectionActivated", "InvalidMessages", "MyOwn \u00e4\u20ac", "T" * 50]
    start = len(shared.link.calls("SecurityEventNotification"))
    for name in names:
        assert rpc.call("security_event", type=name, info="i" * 255) is None
    sent = wait_for(lambda: (c := shared.link.calls("SecurityEventNotification")[start:])[3:] and c, "4 events")
    assert [f[3]["type"] for f in sent] == names
    assert all(f[3]["techInfo"] == "i" * 255 and f[3]["timestamp"].endswith("Z") for f in sent)
    rpc.call("data_transfer", vendor_id="barrier")
    assert len(shared.link.calls("SecurityEventNotification")) == start + 4


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"type": "T"}, "/params/info"),
        ({"info": "I"}, "/params/type"),
        ({"type": "T" * 51, "info": "I"}, "/params/type"),
        ({"type": "T", "info": "I" * 256}, "/params/info"),
        ({"type": 1, "info": "I"}, "/params/type"),
        ({"type": "T", "info": None}, "/params/info"),
        ({"type": "T", "info": "I", "severity": 1}, "/params/severity"),
        (["T", "I"], "/params"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_controller_reports_a_wrong_event_and_is_refused(rpc: Rpc, shared: Shared, params: Any, path: str) -> None:
    """S-214, X-29: refused by the RPC, nothing sent."""
    before = len(shared.link.calls("SecurityEventNotification"))
    error = rpc.fails("security_event", params)
    assert error.code == -32602
    assert error.data["path"] == path
    assert len(shared.link.calls("SecurityEventNotification")) == before


def test_operator_kills_the_hub_between_acknowledge_and_delivery_and_the_event_arrives_once(rig: Rig) -> None:
    """S-212, J-349, reliability 4.1: acknowledged is on disk; the timestamp is that of the occurrence."""
    csms = rig.csms()
    hub = rig.hub(point(url=csms.url)).start()
    csms.booted()
    csms.script["SecurityEventNotification"] = None
    for number in range(5):
        assert hub.call("security_event", type=f"E{number}", info="x") is None
    latest = iso(CLOCK_ERROR_S)
    hub.kill()
    time.sleep(CLOCK_ERROR_S)
    csms.script["SecurityEventNotification"] = {}
    hub.start()
    link = csms.booted(1)
    wait_for(lambda: "E4" in types(link), "events")
    assert hub.call("data_transfer", vendor_id="barrier") == {"status": "Accepted"}
    assert [t for t in types(link) if t.startswith("E")] == [f"E{n}" for n in range(5)]
    assert all(
        f[3]["timestamp"] <= latest for f in link.calls("SecurityEventNotification") if f[3]["type"].startswith("E")
    )
    wait_for(lambda: hub.call("charge_point.get")["queue"]["messages"] == 0, "empty queue")
    hub.kill()
    hub.start()
    link = csms.booted(2)
    assert hub.call("data_transfer", vendor_id="barrier") == {"status": "Accepted"}
    assert not [t for t in types(link) if t.startswith("E")]


def test_controller_floods_events_and_is_slowed_down(rig: Rig) -> None:
    """rpc.md `security_event`: more than 60 a minute from one client is -32005 with retry_after_ms."""
    _, hub, _ = rig.pair()
    with hub.rpc() as rpc, hub.rpc() as other:
        for number in range(60):
            assert rpc.call("security_event", type="Flood", info=str(number)) is None
        error = rpc.fails("security_event", {"type": "Flood", "info": "61"})
        assert error.code == -32005
        assert error.data["code"] == "busy"
        assert 0 < error.data["retry_after_ms"] <= 60_000
        assert other.call("server.info")["ready"] is True


# -- stop and restart ----------------------------------------------------------------------------


def test_operator_stops_and_restarts_and_nothing_from_between_is_sent(rig: Rig) -> None:
    """Interface `stop`, `restart`; decisions.md 6 `stop`: 1000, -32007, no messages made, Boot first afterwards."""
    csms, hub, link = rig.pair()
    with hub.rpc() as rpc:
        rpc.call("subscribe", topics=["is_connected"])
        assert rpc.call("restart") is False
        assert rpc.call("stop") is True
        assert link.closed.wait(5)
        assert link.close_code == 1000
        assert rpc.event("is_connected")["value"] is False
        assert rpc.call("stop") is False
        for method, params in (
            ("security_event", {"type": "While", "info": "stopped"}),
            ("data_transfer", {"vendor_id": "V"}),
        ):
            error = rpc.fails(method, params)
            assert error.code == -32007
            assert "stopped" in json.dumps(error.error)
        assert rpc.call("set_custom_configuration_key", key="Colour", value="grey") == "Accepted"
        assert rpc.call("monitor_configuration_keys", keys=["Colour"]) is None
        assert rpc.call("get_configuration_key", keys=["Colour"])["configuration_keys"][0]["value"] == "grey"
        state = rpc.call("charge_point.get")
        assert (state["stopped"], state["is_connected"]) == (True, False)
        assert len(csms.attempts) == 1
        assert rpc.call("restart") is True
        assert rpc.call("restart") is False
        again = csms.booted(1)
        assert again.calls()[0][2] == "BootNotification"
        assert rpc.event("is_connected")["value"] is True
        assert rpc.call("data_transfer", vendor_id="barrier") == {"status": "Accepted"}
    assert "While" not in types(again)
    assert len(csms.links) == 2


def test_operator_restarts_the_process_while_stopped_and_it_stays_stopped(rig: Rig) -> None:
    """decisions.md 6: the stopped state survives; `restart` still brings it back."""
    csms, hub, _ = rig.pair()
    assert hub.call("stop") is True
    hub.kill()
    hub.start()
    assert hub.call("charge_point.get")["stopped"] is True
    assert hub.call("get_variable", name="is_connected")["value"] is False
    assert hub.call("stop") is False
    assert len(csms.attempts) == 1
    assert hub.call("restart") is True
    hub.kill()
    hub.start()
    booted = wait_for(lambda: [link for link in csms.links[1:] if link.calls("StatusNotification")], "a boot")
    assert booted[-1].calls()[0][2] == "BootNotification"
    assert hub.call("charge_point.get")["stopped"] is False


def test_operator_stops_while_unconnected_and_no_more_attempts_are_made(rig: Rig) -> None:
    """Interface `stop`: true also without a link; two stops at once give one true."""
    hub = rig.hub(point()).start()
    with hub.rpc() as one, hub.rpc() as two:
        one.post("stop")
        two.post("stop")
        assert sorted([one.message()["result"], two.message()["result"]]) == [False, True]
        assert one.call("charge_point.get")["stopped"] is True


def test_csms_leaves_events_unanswered_and_stop_still_ends_in_time(rig: Rig) -> None:
    """decisions.md 6 `stop`: at most 5 s of delivery, the rest after `restart`."""
    csms = rig.csms()
    csms.script["SecurityEventNotification"] = lambda link, message_id, _a, payload: (
        {} if payload["type"] == "StartupOfTheDevice" else None
    )
    hub = rig.hub(point(url=csms.url)).start()
    csms.booted()
    hub.call("security_event", type="Rest", info="x")
    csms.link().wait_call("SecurityEventNotification", 2)
    start = time.monotonic()
    with hub.rpc() as rpc:
        assert rpc.call("stop") is True
    assert time.monotonic() - start < 8
    csms.script["SecurityEventNotification"] = {}
    assert hub.call("restart") is True
    wait_for(lambda: "Rest" in types(csms.link(1)), "the rest")


@pytest.mark.parametrize("params", [{"now": True}, [], [1], "x", 5, False])
def test_operator_stops_with_parameters_and_nothing_stops(rpc: Rpc, shared: Shared, params: Any) -> None:
    """rpc.md: unknown parameters and positional arrays are errors, for methods without parameters too."""
    error = rpc.fails("stop", params)
    assert error.code in (-32602, -32600)
    assert rpc.call("charge_point.get")["stopped"] is False


# -- configuration commands, wrongly called --------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("get_configuration_key", {"keys": "ResetRetries"}),
        ("get_configuration_key", {"keys": [1]}),
        ("get_configuration_key", {"keys": {"a": 1}}),
        ("get_configuration_key", {"key": ["a"]}),
        ("get_configuration_key", [["a"]]),
        ("monitor_configuration_keys", {}),
        ("monitor_configuration_keys", {"keys": "a"}),
        ("monitor_configuration_keys", {"keys": [None]}),
        ("monitor_configuration_keys", {"keys": ["K" * 51]}),
        ("set_custom_configuration_key", {"key": "Colour"}),
        ("set_custom_configuration_key", {"value": "x"}),
        ("set_custom_configuration_key", {"key": "Colour", "value": 5}),
        ("set_custom_configuration_key", {"key": "Colour", "value": "v" * 501}),
        ("set_custom_configuration_key", {"key": "K" * 51, "value": "v"}),
        ("set_custom_configuration_key", {"key": "Colour", "value": "v", "reboot": True}),
        ("get_variable", {}),
        ("get_variable", {"name": "is_online"}),
        ("get_variable", {"name": 3}),
        ("subscribe", {}),
        ("subscribe", {"topics": []}),
        ("subscribe", {"topics": ["nope"]}),
        ("subscribe", {"topics": "is_connected"}),
        ("subscribe", {"topics": ["is_connected"], "connectors": "1-"}),
        ("subscribe", {"topics": ["is_connected"], "connectors": "4-1"}),
        ("subscribe", {"topics": ["is_connected"], "snapshot": "yes"}),
        ("subscribe", {"topics": ["is_connected"], "since": 5}),
        ("subscribe", {"topics": ["is_connected"], "since": {"stream": "x"}}),
        ("unsubscribe", {}),
        ("unsubscribe", {"subscription": "1"}),
        ("rpc.ping", {"x": 1}),
        ("server.info", {"x": 1}),
        ("charge_point.get", {"x": 1}),
        ("rpc.use", {}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_client_calls_with_wrong_parameters_and_gets_invalid_params(rpc: Rpc, method: str, params: Any) -> None:
    """rpc.md rules: -32602 with code, path below /params and a hint, never an echo."""
    error = rpc.fails(method, params)
    assert error.code == -32602, error
    assert error.data["path"].startswith("/params")
    assert error.data["hint"]
    assert "KKKK" not in json.dumps(error.error)
    assert "vvvv" not in json.dumps(error.error)
    assert "result" in rpc.ask({"jsonrpc": "2.0", "id": "ok", "method": "rpc.ping"})


def test_controller_names_a_wrong_charge_point_and_is_refused(rpc: Rpc, shared: Shared) -> None:
    """rpc.md: `charge_point` on every method; -32003."""
    for method in (
        "stop",
        "restart",
        "get_configuration_key",
        "server.info",
        "rpc.ping",
        "charge_point.get",
        "rpc.use",
    ):
        error = rpc.fails(method, {"charge_point": "HUB-9"})
        assert error.code == -32003, method
        assert error.data["code"] == "unknown_charge_point"
    assert rpc.call("charge_point.get", charge_point="HUB-1")["identity"] == "HUB-1"
    assert rpc.call("charge_point.get")["stopped"] is False


def test_client_with_two_charge_points_must_say_which(rig: Rig) -> None:
    """rpc.md `charge_point`, decisions.md 3: links, configuration and stop of each are its own; monitors too."""
    one, two = rig.csms(), rig.csms()
    hub = rig.hub(point("A", one.url), point("B", two.url, connectors=1, extra='socket = "b.sock"')).start()
    first, second = one.booted(identity="A"), two.booted(identity="B", connectors=1)
    with hub.rpc() as rpc:
        for method in ("charge_point.get", "stop", "get_configuration_key"):
            error = rpc.fails(method)
            assert error.data["code"] in ("unknown_charge_point", "invalid_params")
            assert "A" in json.dumps(error.error)
            assert "B" in json.dumps(error.error)
        assert rpc.call("charge_point.get", charge_point="B")["connectors"] == 1
        rpc.call("rpc.use", charge_point="A")
        assert rpc.call("charge_point.get")["identity"] == "A"
        assert rpc.call("charge_point.get", charge_point="B")["identity"] == "B"
        assert rpc.call("set_custom_configuration_key", charge_point="B", key="Colour", value="red") == "Accepted"
        assert first.value("Colour")["value"] == "blue"
        assert second.value("Colour")["value"] == "red"
        assert rpc.call("stop", charge_point="B") is True
        assert second.closed.wait(5)
        assert rpc.call("charge_point.get")["is_connected"] is True
        assert rpc.call("data_transfer", vendor_id="V") == {"status": "Accepted"}
        assert sorted(rpc.call("server.info")["charge_points"]) == ["A", "B"]
    with Rpc(hub.directory / "b.sock") as own:
        assert own.call("charge_point.get")["identity"] == "B"
        assert own.call("restart") is True
    two.booted(1, connectors=1)


def test_csms_of_one_is_dead_and_the_other_goes_on(rig: Rig) -> None:
    """J-235: connections of one process do not block each other."""
    slow = rig.csms()
    slow.script["DataTransfer"] = None
    good = rig.csms()
    hub = rig.hub(point("A", slow.url), point("B", good.url)).start()
    slow.booted(identity="A")
    good.booted(identity="B")
    with hub.rpc() as rpc:
        waiting = rpc.post("data_transfer", {"vendor_id": "V", "charge_point": "A"})
        slow.link().wait_call("DataTransfer")
        assert rpc.call("data_transfer", vendor_id="V", charge_point="B") == {"status": "Accepted"}
        slow.link().send([3, slow.link().calls("DataTransfer")[0][1], {"status": "Accepted"}])
        assert rpc.take(waiting) == {"status": "Accepted"}


def test_operator_starts_two_daemons_on_one_state_and_the_second_refuses(rig: Rig) -> None:
    """decisions.md 3 (one file, one writer): the second ends at once with a reason; the first does not notice."""
    csms, hub, link = rig.pair()
    config = hub.directory / "other.toml"
    config.write_text(hub.config.read_text().replace('"hub.sock"', '"other.sock"'))
    second = cli("run", "-c", str(config))
    assert second.returncode in (75, 78), second
    assert second.stderr.strip()
    assert "Traceback" not in second.stderr
    same = cli("run", "-c", str(hub.config))
    assert same.returncode in (75, 78), same
    assert hub.call("charge_point.get")["is_connected"] is True
    assert link.change("ResetRetries", "2") == "Accepted"
    assert len(csms.links) == 1


def test_key_is_nowhere_to_be_read(rig: Rig) -> None:
    """J-149, S-151, S-158: AuthorizationKey in hex or raw in no answer, no log, no event."""
    key = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678"
    csms = rig.csms()
    hub = rig.hub(point(url=csms.url))
    hub.start()
    link = csms.booted()
    with hub.rpc() as rpc:
        rpc.call("monitor_configuration_keys", keys=["AuthorizationKey"])
        subscribed = rpc.call(
            "subscribe", topics=["ocpp.message", "configuration_key", "security_event", "charge_point.status"]
        )
        assert link.change("AuthorizationKey", key) == "Accepted"
        event = rpc.event("configuration_key")
        assert event["value"] == {"key": "AuthorizationKey", "read_only": False}
        texts = [
            json.dumps(x)
            for x in (subscribed, event, rpc.events, rpc.call("get_configuration_key"), rpc.call("charge_point.get"))
        ]
    texts += [hub.text(), json.dumps(link.result("GetConfiguration"))]
    for text in texts:
        assert key not in text.lower()
        assert "a1b2c3" not in text.lower()
    for file in hub.directory.rglob("*"):
        if file.is_file() and file.name not in ("hub.toml", "log"):
            assert file.stat().st_mode & 0o077 == 0, file


def test_csms_gone_does_not_stop_the_local_side(rig: Rig) -> None:
    """Interface: everything local works without ever having met a CSMS."""
    hub = rig.hub(point(url="ws://127.0.0.1:9/x")).start()
    with hub.rpc() as rpc:
        state = rpc.call("charge_point.get")
        assert (state["registration"], state["is_connected"]) == ("none", False)
        assert rpc.call("get_variable", name="is_connected")["value"] is False
        assert rpc.call("security_event", type="T", info="i") is None
        assert rpc.call("charge_point.get")["queue"]["messages"] == state["queue"]["messages"] + 1
        assert rpc.call("data_transfer", vendor_id="V") == {"status": "Offline"}
        assert len(rpc.call("get_configuration_key")["configuration_keys"]) > 20
