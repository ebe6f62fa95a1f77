"""GetConfiguration, ChangeConfiguration, custom keys and what survives, seen from the CSMS and from the socket."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Rig, Rpc, Shared, point, wait_for

CORE_KEYS = {
    "AuthorizeRemoteTxRequests",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "ConnectorPhaseRotation",
    "GetConfigurationMaxKeys",
    "HeartbeatInterval",
    "LocalAuthorizeOffline",
    "LocalPreAuthorize",
    "MeterValuesAlignedData",
    "MeterValuesSampledData",
    "MeterValueSampleInterval",
    "NumberOfConnectors",
    "ResetRetries",
    "StopTransactionOnInvalidId",
    "StopTxnAlignedData",
    "StopTxnSampledData",
    "SupportedFeatureProfiles",
    "TransactionMessageAttempts",
    "TransactionMessageRetryInterval",
    "UnlockConnectorOnEVSideDisconnect",
}


@pytest.mark.parametrize("payload", [{}, {"key": []}, None], ids=["absent", "empty", "null payload"])
def test_csms_asks_for_everything_and_gets_every_key(shared: Shared, payload: Any) -> None:
    """CORE-GC-01, CORE-GC-05, CORE-GC-06, CORE-RPC-12, S-151."""
    message_id = f"all-{payload}"
    shared.link.send([2, message_id, "GetConfiguration", payload])
    answer = wait_for(lambda: shared.link.answer_to(message_id), "answer")
    entries = answer[2]["configurationKey"]
    assert "unknownKey" not in answer[2] or answer[2]["unknownKey"] == []
    keys = {e["key"]: e for e in entries}
    assert len(keys) == len(entries)
    assert keys.keys() >= CORE_KEYS
    assert keys["AuthorizationKey"] == {"key": "AuthorizationKey", "readonly": False}
    assert keys["NumberOfConnectors"]["value"] == "3"
    assert all(set(e) <= {"key", "readonly", "value"} and isinstance(e["readonly"], bool) for e in entries)
    assert all(len(e.get("value", "")) <= 500 for e in entries)
    assert int(keys["GetConfigurationMaxKeys"]["value"]) >= len(entries)


def test_csms_asks_for_a_mixed_list_and_gets_canonical_names(shared: Shared) -> None:
    """CORE-GC-02, CORE-GC-03, CORE-GC-05, CORE-CC-07, CORE-GEN-08."""
    result = shared.link.result(
        "GetConfiguration", {"key": ["heartbeatINTERVAL", "NoSuch", "cponame", "authorizationkey", "colour"]}
    )
    assert [e["key"] for e in result["configurationKey"]] == [
        "HeartbeatInterval",
        "CpoName",
        "AuthorizationKey",
        "Colour",
    ]
    assert result["configurationKey"][1] == {"key": "CpoName", "readonly": False}
    assert result["unknownKey"] == ["NoSuch"]


def test_csms_asks_for_more_keys_than_announced_and_is_answered(shared: Shared) -> None:
    """CORE-GC-04: 400 requested keys are answered."""
    result = shared.link.result("GetConfiguration", {"key": [f"No{i}" for i in range(399)] + ["ResetRetries"]})
    assert [e["key"] for e in result["configurationKey"]] == ["ResetRetries"]
    assert len(result["unknownKey"]) == 399


def test_csms_with_5000_connectors_gets_values_within_the_limit(rig: Rig) -> None:
    """CORE-GC-06: no value above 500 characters."""
    csms = rig.csms()
    rig.hub(point(url=csms.url, connectors=5000)).start()
    link = csms.link()
    link.wait_call("StatusNotification")
    entries = link.result("GetConfiguration")["configurationKey"]
    assert all(len(e.get("value", "")) <= 500 for e in entries)
    assert {e["key"]: e.get("value") for e in entries}["NumberOfConnectors"] == "5000"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("HeartbeatInterval", "0", "Rejected"),
        ("HeartbeatInterval", "-5", "Rejected"),
        ("HeartbeatInterval", " 5", "Rejected"),
        ("HeartbeatInterval", "5 ", "Rejected"),
        ("HeartbeatInterval", "5.0", "Rejected"),
        ("HeartbeatInterval", "+5", "Rejected"),
        ("HeartbeatInterval", "0x10", "Rejected"),
        ("HeartbeatInterval", "1e3", "Rejected"),
        ("HeartbeatInterval", "1_000", "Rejected"),
        ("HeartbeatInterval", "\u0661\u0662", "Rejected"),
        ("HeartbeatInterval", "9" * 400, "Rejected"),
        ("HeartbeatInterval", "", "Rejected"),
        ("HeartbeatInterval", "true", "Rejected"),
        ("heartbeatinterval", "900", "Accepted"),
        ("WebSocketPingInterval", "-1", "Rejected"),
        ("WebSocketPingInterval", "0", "Accepted"),
        ("WebSocketPingInterval", "25", "Accepted"),
        ("MessageTimeout", "0", "Rejected"),
        ("MessageTimeout", "20", "Accepted"),
        ("ConnectionTimeOut", "-1", "Rejected"),
        ("ConnectionTimeOut", "0", "Accepted"),
        ("ClockAlignedDataInterval", "86401", "Rejected"),
        ("ClockAlignedDataInterval", "86400", "Accepted"),
        ("ClockAlignedDataInterval", "-1", "Rejected"),
        ("MeterValueSampleInterval", "0", "Accepted"),
        ("MeterValueSampleInterval", "-1", "Rejected"),
        ("ResetRetries", "-1", "Rejected"),
        ("ResetRetries", "3", "Accepted"),
        ("TransactionMessageAttempts", "0", "Rejected"),
        ("TransactionMessageAttempts", "5", "Accepted"),
        ("TransactionMessageRetryInterval", "-1", "Rejected"),
        ("LocalPreAuthorize", "TRUE", "Accepted"),
        ("LocalPreAuthorize", "yes", "Rejected"),
        ("LocalPreAuthorize", "1", "Rejected"),
        ("LocalPreAuthorize", "", "Rejected"),
        ("LocalPreAuthorize", " true", "Rejected"),
        ("MeterValuesSampledData", "Energy.Active.Import.Register, Voltage", "Accepted"),
        ("MeterValuesSampledData", "Voltage,Voltage", "Rejected"),
        ("MeterValuesSampledData", "Nonsense", "Rejected"),
        ("MeterValuesSampledData", "voltage,,", "Rejected"),
        ("StopTxnSampledData", "", "Accepted"),
        ("NumberOfConnectors", "5", "Rejected"),
        ("NUMBEROFCONNECTORS", "3", "Rejected"),
        ("SupportedFeatureProfiles", "Core", "Rejected"),
        ("GetConfigurationMaxKeys", "1", "Rejected"),
        ("MeterValuesSampledDataMaxLength", "1", "Rejected"),
        ("NoSuchKey", "1", "NotSupported"),
        ("Colour", "red", "Accepted"),
        ("COLOUR", "", "Accepted"),
        ("Limit", "10", "Accepted"),
        ("Limit", "11", "Rejected"),
        ("Limit", "x", "Rejected"),
        ("Serial", "S-2", "Rejected"),
        ("Mode", "b", "RebootRequired"),
        ("Flag", "FALSE", "Accepted"),
        ("Flag", "0", "Rejected"),
        ("Ratio", "2.25", "Accepted"),
        ("Ratio", "nan", "Rejected"),
        ("Ratio", "inf", "Rejected"),
        ("AuthorizationKey", "00" * 15, "Rejected"),
        ("AuthorizationKey", "00" * 21, "Rejected"),
        ("AuthorizationKey", "0" * 33, "Rejected"),
        ("AuthorizationKey", "zz" * 16, "Rejected"),
        ("ConnectorPhaseRotation", "0.RST,1.RST", "Accepted"),
        ("ConnectorPhaseRotation", "9.RST", "Rejected"),
        ("ConnectorPhaseRotation", "1.XYZ", "Rejected"),
        ("ConnectorPhaseRotation", "1.RST,1.RST", "Rejected"),
    ],
)
def test_csms_changes_a_key_and_gets_the_right_status(shared: Shared, key: str, value: str, status: str) -> None:
    """CORE-CC-01..07, CORE-CC-09, CORE-RPC-16, J-301, S-152, S-155: what is refused keeps the old value."""
    before = shared.link.result("GetConfiguration", {"key": [key]})
    assert shared.link.change(key, value) == status
    after = shared.link.result("GetConfiguration", {"key": [key]})
    if status in ("Rejected", "NotSupported"):
        assert after == before
    else:
        now = after["configurationKey"][0]["value"]
        expected = value.replace(" ", "")
        assert now == (expected.lower() if expected.lower() in ("true", "false") else expected)
        if value != before["configurationKey"][0]["value"]:
            shared.link.change(key, before["configurationKey"][0]["value"])


def test_csms_sends_more_list_items_than_announced_and_is_rejected(shared: Shared) -> None:
    """CORE-CC-06: MaxLength + 1 items."""
    limit = int(shared.link.value("MeterValuesSampledDataMaxLength")["value"])
    names = [
        "Current.Export", "Current.Import", "Current.Offered", "Energy.Active.Export.Register",
        "Energy.Active.Import.Register", "Energy.Reactive.Export.Register", "Energy.Reactive.Import.Register",
        "Energy.Active.Export.Interval", "Energy.Active.Import.Interval", "Frequency", "Power.Active.Import", "Voltage",
    ]  # fmt: skip
    assert limit < len(names)
    assert shared.link.change("MeterValuesSampledData", ",".join(names[: limit + 1])) == "Rejected"


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("ChangeConfiguration", {"key": "HeartbeatInterval"}, "OccurenceConstraintViolation"),
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": 5}, "TypeConstraintViolation"),
        ("ChangeConfiguration", {"key": "K" * 51, "value": "5"}, "TypeConstraintViolation"),
        ("ChangeConfiguration", {"key": "Colour", "value": "v" * 501}, "TypeConstraintViolation"),
        ("ChangeConfiguration", {"key": "Colour", "value": "a\u0000b"}, "PropertyConstraintViolation"),
        ("ChangeConfiguration", [], "FormationViolation"),
        ("GetConfiguration", {"key": "HeartbeatInterval"}, "TypeConstraintViolation"),
        ("GetConfiguration", {"key": [5]}, "TypeConstraintViolation"),
        ("getConfiguration", {}, "NotImplemented"),
        ("GetConfiguration.req", {}, "NotImplemented"),
        ("FooBar", {}, "NotImplemented"),
        ("", {}, "NotImplemented"),
        ("Heartbeat", {}, "NotSupported"),
        ("BootNotification", {"chargePointVendor": "a", "chargePointModel": "b"}, "NotSupported"),
        ("UpdateFirmware", {"location": "https://x/y", "retrieveDate": "2030-01-01T00:00:00Z"}, "NotSupported"),
        ("ReserveNow", {"connectorId": 1, "idTag": "t", "reservationId": 1}, "OccurenceConstraintViolation"),
        ("SendLocalList", {"listVersion": 1, "updateType": "full"}, "PropertyConstraintViolation"),
        ("ClearChargingProfile", {"chargingProfilePurpose": "TxProfil"}, "PropertyConstraintViolation"),
        (
            "GetCompositeSchedule",
            {"connectorId": 1, "duration": 60, "chargingRateUnit": "kW"},
            "PropertyConstraintViolation",
        ),
        ("GetDiagnostics", {}, "OccurenceConstraintViolation"),
        ("TriggerMessage", {"requestedMessage": 7}, "TypeConstraintViolation"),
        ("TriggerMessage", {}, "OccurenceConstraintViolation"),
    ],
)
def test_csms_sends_a_wrong_request_and_gets_the_exact_code(
    shared: Shared, action: str, payload: Any, code: str
) -> None:
    """CORE-RPC-09, CORE-RPC-10, J-251..J-256, J-262: five members, no echo, `{}` details."""
    answer = shared.link.error(action, payload)
    assert answer[2] == code
    assert answer[4] == {}
    assert "KKK" not in answer[3]
    assert "vvv" not in answer[3]


def test_controller_sets_custom_keys_and_cannot_touch_the_others(rpc: Rpc, shared: Shared) -> None:
    """rpc.md `set_custom_configuration_key`: standard, undeclared, wrong type or range is Rejected; no event."""
    rpc.call("monitor_configuration_keys", keys=["Colour", "Mode", "Serial"])
    rpc.call("subscribe", topics=["configuration_key"])
    expected = {
        ("Colour", "green"): "Accepted",
        ("colour", "teal"): "Accepted",
        ("Mode", "z"): "RebootRequired",
        ("Serial", "S-9"): "Accepted",
        ("Limit", "99"): "Rejected",
        ("Limit", "abc"): "Rejected",
        ("Limit", "7"): "Accepted",
        ("Flag", "maybe"): "Rejected",
        ("HeartbeatInterval", "5"): "Rejected",
        ("AuthorizationKey", "00" * 16): "Rejected",
        ("NoSuchKey", "1"): "Rejected",
    }
    got = {pair: rpc.call("set_custom_configuration_key", key=pair[0], value=pair[1]) for pair in expected}
    assert got == expected
    values = {
        e["key"]: e.get("value")
        for e in shared.link.result("GetConfiguration", {"key": ["Colour", "Serial", "Limit"]})["configurationKey"]
    }
    assert values == {"Colour": "teal", "Serial": "S-9", "Limit": "7"}
    assert shared.link.change("Colour", "blue") == "Accepted"
    event = rpc.event("configuration_key")
    assert event["value"] == {"key": "Colour", "read_only": False, "value": "blue"}
    rpc.call("set_custom_configuration_key", key="Limit", value="5")


def test_controller_reads_the_configuration_like_a_csms(rpc: Rpc, shared: Shared) -> None:
    """rpc.md `get_configuration_key`, CORE-GC-05, S-151: same keys and values in snake_case, no secret."""
    wire = shared.link.result("GetConfiguration")["configurationKey"]
    for local in (rpc.call("get_configuration_key"), rpc.call("get_configuration_key", keys=[])):
        assert local["unknown_keys"] == []
        assert local["configuration_keys"] == [
            {"key": e["key"], "read_only": e["readonly"]} | ({"value": e["value"]} if "value" in e else {})
            for e in wire
        ]
    mixed = rpc.call("get_configuration_key", keys=["nope", "RESETRETRIES", "AuthorizationKey"])
    assert [e["key"] for e in mixed["configuration_keys"]] == ["ResetRetries", "AuthorizationKey"]
    assert "value" not in mixed["configuration_keys"][1]
    assert mixed["unknown_keys"] == ["nope"]


def test_csms_changes_a_monitored_key_and_the_event_follows_the_answer(rig: Rig) -> None:
    """CORE-CC-10, rpc.md `configuration_key`: RebootRequired included, refused and unmonitored changes not."""
    csms, hub, link = rig.pair()
    with hub.rpc() as rpc:
        assert rpc.call("monitor_configuration_keys", keys=["resetretries", "Future"]) is None
        assert rpc.call("monitor_configuration_keys", keys=["Mode", "ResetRetries"]) is None
        listed = [k.lower() for k in rpc.call("charge_point.get")["monitored_keys"]]
        assert sorted(listed) == ["future", "mode", "resetretries"]
        rpc.call("subscribe", topics=["configuration_key", "ocpp.message"])
        assert link.change("HeartbeatInterval", "50") == "Accepted"
        assert link.change("ResetRetries", "-4") == "Rejected"
        assert link.change("ResetRetries", "4") == "Accepted"
        assert link.change("Mode", "q") == "RebootRequired"
        first, second = rpc.event("configuration_key"), rpc.event("configuration_key")
        assert first["value"] == {"key": "ResetRetries", "read_only": False, "value": "4"}
        assert second["value"] == {"key": "Mode", "read_only": False, "value": "q"}
        answer = [e for e in rpc.events if e["topic"] == "ocpp.message" and e["value"]["direction"] == "sent"]
        assert answer[2]["seq"] < first["seq"]
    assert hub.call("get_variable", name="configuration_key")["value"] == second["value"]
    hub.kill()
    hub.start()
    link = csms.booted(1)
    assert sorted(k.lower() for k in hub.call("charge_point.get")["monitored_keys"]) == [
        "future",
        "mode",
        "resetretries",
    ]
    with hub.rpc() as rpc:
        rpc.call("subscribe", topics=["configuration_key"])
        assert link.change("ResetRetries", "5") == "Accepted"
        assert rpc.event("configuration_key")["value"]["value"] == "5"


def test_operator_kills_the_hub_after_accepted_and_the_changes_stay(rig: Rig) -> None:
    """CORE-CC-08, decisions.md 3 (output commit): what was answered is on disk."""
    csms, hub, link = rig.pair()
    link.send([2, "late", "ChangeConfiguration", {"key": "ResetRetries", "value": "8"}])
    wait_for(lambda: link.answer_to("late"), "answer")
    hub.kill()
    hub.start()
    link = csms.booted(1)
    assert link.value("ResetRetries")["value"] == "8"
    assert hub.call("set_custom_configuration_key", key="Colour", value="pink") == "Accepted"
    hub.kill()
    hub.start()
    link = csms.booted(2)
    assert link.value("Colour")["value"] == "pink"
    assert link.value("ResetRetries")["value"] == "8"


def test_operator_edits_the_file_and_the_file_wins_again(rig: Rig) -> None:
    """surface.md `[charge_point.configuration]`: the CSMS's value wins until the file's value changes."""
    csms, hub, link = rig.pair(configuration="ResetRetries = 2\nStopTransactionOnEVSideDisconnect = false")
    assert link.value("ResetRetries")["value"] == "2"
    assert link.value("StopTransactionOnEVSideDisconnect")["value"] == "false"
    assert link.change("ResetRetries", "6") == "Accepted"
    assert hub.stop() == 0
    hub.start()
    link = csms.booted(1)
    assert link.value("ResetRetries")["value"] == "6"
    hub.stop()
    hub.config.write_text(hub.config.read_text().replace("ResetRetries = 2", "ResetRetries = 3"))
    hub.start()
    assert csms.booted(2).value("ResetRetries")["value"] == "3"


def test_csms_asks_which_profiles_exist_and_the_answer_is_true(shared: Shared) -> None:
    """CORE-GEN-01, CORE-RPC-11: a named profile answers its operations, and what cannot be done by a status."""
    profiles = shared.link.value("SupportedFeatureProfiles")["value"].split(",")
    others = {"FirmwareManagement", "LocalAuthListManagement", "RemoteTrigger", "Reservation", "SmartCharging"}
    assert set(profiles) == {"Core", *others}
    assert shared.link.result("GetLocalListVersion", {}) == {"listVersion": 0}
    assert shared.link.result("CancelReservation", {"reservationId": 1}) == {"status": "Rejected"}
    assert shared.link.result("ClearChargingProfile", {}) == {"status": "Unknown"}
    assert shared.link.result("GetCompositeSchedule", {"connectorId": 99, "duration": 60}) == {"status": "Rejected"}
    refusals: dict[str, Any] = {
        "RemoteStartTransaction": {"idTag": "T"},
        "RemoteStopTransaction": {"transactionId": 1},
    }
    for action, payload in refusals.items():
        assert shared.link.result(action, payload) == {"status": "Rejected"}, action
    assert shared.link.result("UnlockConnector", {"connectorId": 1})["status"] in ("NotSupported", "UnlockFailed")
    assert shared.link.result("UnlockConnector", {"connectorId": 99})["status"] == "NotSupported"
    assert shared.link.result("ClearCache", {}) == {"status": "Accepted"}
    assert shared.link.result("DataTransfer", {"vendorId": "V"}) == {"status": "UnknownVendorId"}
    assert shared.link.result("ChangeAvailability", {"connectorId": 99, "type": "Operative"}) == {"status": "Rejected"}


@pytest.mark.parametrize(
    ("payload", "status", "follow"),
    [
        ({"requestedMessage": "Heartbeat"}, "Accepted", ["Heartbeat"]),
        ({"requestedMessage": "Heartbeat", "connectorId": 2}, "Accepted", ["Heartbeat"]),
        ({"requestedMessage": "StatusNotification", "connectorId": 2}, "Accepted", [2]),
        ({"requestedMessage": "StatusNotification", "connectorId": 0}, "Accepted", [0]),
        ({"requestedMessage": "StatusNotification"}, "Accepted", [0, 1, 2, 3]),
        ({"requestedMessage": "StatusNotification", "connectorId": 4}, "Rejected", []),
        ({"requestedMessage": "FirmwareStatusNotification"}, "Accepted", ["FirmwareStatusNotification"]),
        ({"requestedMessage": "DiagnosticsStatusNotification"}, "Accepted", ["DiagnosticsStatusNotification"]),
        ({"requestedMessage": "SignChargePointCertificate"}, "NotImplemented", []),
        ({"requestedMessage": "heartbeat"}, "NotImplemented", []),
        ({"requestedMessage": ""}, "NotImplemented", []),
        ({"requestedMessage": "BootNotification"}, "Rejected", []),
    ],
)
def test_csms_triggers_a_message_and_gets_it_after_the_answer(
    shared: Shared, payload: Any, status: str, follow: list[Any]
) -> None:
    """CORE-TM-01..07, CORE-TM-09, CORE-TM-12, J-242."""
    link = shared.link
    seen = len(link.received())
    message_id = link.post("TriggerMessage", payload)
    answer = wait_for(lambda: link.answer_to(message_id), "answer")
    assert answer[0] == 3, answer
    assert answer[2] == {"status": status}

    def after() -> list[Any]:
        fresh = link.received()[seen:]
        assert fresh[0] == answer
        return [f[3].get("connectorId", f[2]) for f in fresh[1:] if f[0] == 2]

    wait_for(lambda: len(after()) >= len(follow), f"{follow}, got {after()}")
    link.result("GetConfiguration", {"key": ["ResetRetries"]})
    assert after() == follow


def test_csms_makes_a_connector_inoperative_and_it_stays_so_over_a_restart(rig: Rig) -> None:
    """CORE-CA-01, CORE-CA-03, CORE-CA-05, CORE-STAT-05, CORE-STAT-13."""
    csms, hub, link = rig.pair()
    assert link.result("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}) == {"status": "Accepted"}
    wait_for(lambda: [f for f in link.calls("StatusNotification")[3:] if f[3]["connectorId"] == 0], "status of 0")
    assert link.calls("StatusNotification")[3][3]["status"] == "Unavailable"
    assert link.result("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}) == {"status": "Accepted"}
    hub.kill()
    hub.start()
    link = csms.booted(1)
    states = {f[3]["connectorId"]: f[3]["status"] for f in link.calls("StatusNotification")}
    assert states == {0: "Unavailable", 1: "Unavailable", 2: "Unavailable"}
