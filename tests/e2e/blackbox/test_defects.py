"""Defects that an independent tester found once; each test names the requirement that was broken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import HEAD, RawCsms, Rig, Rpc, Shared, cli, point, wait_for


@pytest.mark.parametrize("way", ["log", "topic"])
def test_csms_sends_a_long_frame_to_a_hub_that_is_watched_and_is_answered_in_time(rig: Rig, way: str) -> None:
    """J-279, CORE-DT-05, decisions.md 3: linear in size; 100 KB must not stop the process for seconds."""
    csms = rig.csms()
    hub = rig.hub(point(url=csms.url), hub='log_level = "debug"' if way == "log" else "").start()
    link = csms.booted()
    with hub.rpc() as rpc:
        if way == "topic":
            rpc.call("subscribe", topics=["ocpp.message"])
        start = time.monotonic()
        assert link.result("DataTransfer", {"vendorId": "V", "data": "x" * 40_000}) == {"status": "UnknownVendorId"}
        assert rpc.call("rpc.ping") is not False
        assert time.monotonic() - start < 0.5


def test_controller_names_a_charge_point_of_a_wrong_type_and_is_told_so(rpc: Rpc, shared: Shared) -> None:
    """rpc.md rules: a wrong type is -32602."""
    assert rpc.fails("stop", {"charge_point": 5}).code == -32602


def test_csms_errs_with_a_code_of_its_own_and_it_counts_as_generic_error(rpc: Rpc, shared: Shared) -> None:
    """J-275: any code text is accepted; what OCPP-J does not know counts as GenericError."""
    shared.csms.script["DataTransfer"] = lambda _l, message_id, *_: [4, message_id, "SomethingElse", "because", {}]
    assert rpc.fails("data_transfer", {"vendor_id": "V"}).data["ocpp_code"] == "GenericError"


def test_csms_rotates_one_connector_twice_and_is_rejected(shared: Shared) -> None:
    """requirements-core 16, lists: duplicates are Rejected."""
    assert shared.link.change("ConnectorPhaseRotation", "1.RST,1.RTS") == "Rejected"


def test_client_resumes_and_learns_every_change_of_the_link(rig: Rig) -> None:
    """rpc.md `is_connected` (published on every change), `since` (resumes from a ring of the last 10,000 events)."""
    _csms, hub, _link = rig.pair()
    with hub.rpc() as rpc, hub.rpc() as late:
        answer = rpc.call("subscribe", topics=["is_connected"])
        rpc.call("stop")
        down = rpc.event("is_connected")
        rpc.call("restart")
        up = rpc.event("is_connected")
        since = {"stream": answer["stream"], "seq": answer["seq"]}
        assert not late.call("subscribe", topics=["is_connected"], since=since).get("gap")
        late.call("rpc.ping")
        assert [e["seq"] for e in late.events] == [down["seq"], up["seq"]]


def test_client_subscribes_to_the_charge_point_and_gets_its_present_state(rig: Rig) -> None:
    """rpc.md `charge_point.status` (what charge_point.get returns), snapshot atomic with seq."""
    _csms, hub, _link = rig.pair()
    with hub.rpc() as rpc:
        rpc.call("monitor_configuration_keys", keys=["ResetRetries"])
        snapshot = rpc.call("subscribe", topics=["charge_point.status"])["snapshot"]["charge_point.status"]
        assert snapshot["monitored_keys"] == rpc.call("charge_point.get")["monitored_keys"] == ["ResetRetries"]


def test_csms_dies_silently_and_the_link_ends_at_the_pong_timeout(rig: Rig, raw: RawCsms) -> None:
    """J-303, surface.md `pong_timeout_s`, configuration.md."""
    hub = rig.hub(point(url=raw.url, connectors=1, link="ping_interval_s = 1\npong_timeout_s = 0.5")).start()
    raw.boot()
    wait_for(lambda: not hub.call("get_variable", name="is_connected")["value"], "link given up", 5)


@pytest.mark.parametrize(
    "parts",
    [
        {"configuration": "HeartbeatInterval = 0"},
        {"configuration": 'MeterValuesSampledData = "Nope"'},
        {"configuration": 'LocalPreAuthorize = "maybe"'},
        {"configuration": 'SupportedFeatureProfiles = "Core,PublicKey"'},
        {"security": 'profile = 1\nauthorization_key_file = "key"'},
        {"electrical": "fallback_current_a = 20\nstation_max_a = 30"},
    ],
    ids=str,
)
def test_user_checks_what_run_refuses_and_is_told_before(tmp_path: Path, parts: dict[str, Any]) -> None:
    """Issue "Bad input gets", README (every mistake at once), decisions.md 5 (fallbacks above a limit)."""
    (tmp_path / "key").touch(0o600)
    path = tmp_path / "hub.toml"
    path.write_text(HEAD.format(hub="", rpc="") + point(**parts))
    done = cli("check-config", str(path))
    assert done.returncode == 78, done
    assert "hub.toml" in done.stdout + done.stderr
