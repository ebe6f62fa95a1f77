"""Values of configuration keys: read, changed, monitored, restored."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from ocpphub.config import Security
from ocpphub.core.configuration import configuration_problems
from ocpphub.core.effects import Disconnect, Ping, Publish, Send, Store
from ocpphub.errors import LocalError
from tests.builders import Csms, World, assert_nothing_sent, custom_key, settings

KEY = "0123456789abcdef0123456789abcdef"
BASIC = Security(1, None, None, None, None, False)


def change(world: World, key: str, value: str) -> str:
    status: str = world.ask("ChangeConfiguration", {"key": key, "value": value})["status"]
    return status


def value_of(world: World, key: str) -> str | None:
    rows = world.core.get_configuration_key([key])["configuration_keys"]
    found: str | None = rows[0].get("value") if rows else None
    return found


def quiet_world(**changes: Any) -> World:
    """A booted world whose HeartbeatInterval the CSMS leaves alone."""
    return World(settings(**changes), csms=Csms(interval_s=0)).boot().forget()


def test_get_configuration_without_keys_tells_all() -> None:
    """CORE-GC-01: absent and empty list mean the same."""
    world = quiet_world()
    everything = world.ask("GetConfiguration")
    assert world.ask("GetConfiguration", {"key": []}) == everything
    assert "unknownKey" not in everything
    names = [row["key"] for row in everything["configurationKey"]]
    assert len(names) == len(set(names))
    assert {"HeartbeatInterval", "NumberOfConnectors", "AuthorizationKey"} <= set(names)


def test_get_configuration_mixed_list_tells_known_and_unknown() -> None:
    """CORE-GC-02, CORE-GEN-08, CORE-CC-07."""
    answer = quiet_world().ask("GetConfiguration", {"key": ["NUMBEROFCONNECTORS", "NoSuchKey"]})
    assert answer == {
        "configurationKey": [{"key": "NumberOfConnectors", "readonly": True, "value": "3"}],
        "unknownKey": ["NoSuchKey"],
    }


def test_get_configuration_unset_key_has_no_value() -> None:
    """CORE-GC-03."""
    answer = quiet_world().ask("GetConfiguration", {"key": ["AuthorizationKey"]})
    assert answer == {"configurationKey": [{"key": "AuthorizationKey", "readonly": False}]}


def test_get_configuration_of_more_keys_than_announced_is_answered() -> None:
    """CORE-GC-04, AMB-22."""
    answer = quiet_world().ask("GetConfiguration", {"key": [f"K{i}" for i in range(101)]})
    assert len(answer["unknownKey"]) == 101


def test_get_configuration_max_keys_covers_every_key() -> None:
    """CORE-GC-04."""
    world = quiet_world(custom_keys=tuple(custom_key(f"C{i}") for i in range(150)))
    answer = world.ask("GetConfiguration")
    announced = next(row for row in answer["configurationKey"] if row["key"] == "GetConfigurationMaxKeys")
    assert int(announced["value"]) >= len(answer["configurationKey"])


def test_get_configuration_never_tells_the_authorization_key() -> None:
    """CORE-GC-05, S-151: listed, without value, neither by name nor among all, for the CSMS and over the RPC."""
    world = quiet_world()
    assert change(world, "AuthorizationKey", KEY) == "Accepted"
    by_name = world.ask("GetConfiguration", {"key": ["authorizationkey"]})
    assert by_name == {"configurationKey": [{"key": "AuthorizationKey", "readonly": False}]}
    assert KEY not in str(world.ask("GetConfiguration"))
    over_rpc = world.core.get_configuration_key(["AuthorizationKey"])
    assert over_rpc == {"configuration_keys": [{"key": "AuthorizationKey", "read_only": False}], "unknown_keys": []}
    assert KEY not in str(world.core.get_configuration_key())


def test_get_configuration_optional_keys_without_function_are_absent() -> None:
    """CORE-GEN-10."""
    absent = ["BlinkRepeat", "LightIntensity"]
    assert quiet_world().core.get_configuration_key(absent)["unknown_keys"] == absent


def test_get_configuration_key_over_rpc_keeps_names_and_order() -> None:
    """CORE-GC-02: the published interface."""
    result = quiet_world().core.get_configuration_key(["x", "resetretries", "X", "MessageTimeout"])
    assert result == {
        "configuration_keys": [
            {"key": "ResetRetries", "read_only": False, "value": "1"},
            {"key": "MessageTimeout", "read_only": False, "value": "30"},
        ],
        "unknown_keys": ["x"],
    }


def test_change_accepted_is_stored_before_it_is_answered() -> None:
    """CORE-CC-01, CORE-CC-08."""
    world = quiet_world()
    assert change(world, "resetretries", "4") == "Accepted"
    kinds = [type(effect) for effect in world.effects]
    assert kinds.index(Store) < kinds.index(Send)
    assert value_of(world.crash(), "ResetRetries") == "4"


def test_change_unknown_key_is_not_supported() -> None:
    """CORE-CC-03."""
    assert change(quiet_world(), "NoSuchKey", "1") == "NotSupported"


@pytest.mark.parametrize(
    ("key", "value"),
    [("NumberOfConnectors", "3"), ("WebSocketPingInterval", "-1"), ("HeartbeatInterval", ""), ("SecurityProfile", "4")],
)
def test_change_refused_keeps_the_old_value(key: str, value: str) -> None:
    """CORE-CC-04, CORE-CC-05, CORE-RPC-16."""
    world = quiet_world()
    before = value_of(world, key)
    assert change(world, key, value) == "Rejected"
    assert value_of(world, key) == before
    assert not [effect for effect in world.effects if isinstance(effect, Store)]


def test_change_every_read_only_key_is_rejected_and_every_other_taken() -> None:
    """CORE-CC-05: what GetConfiguration says about access is what ChangeConfiguration does."""
    world = quiet_world()
    for row in world.ask("GetConfiguration")["configurationKey"]:
        value = KEY if row["key"] == "AuthorizationKey" else row.get("value", "x")
        if row["key"] == "SecurityProfile":
            value = "1"  # S-161: not the value that it has
        assert change(world, row["key"], value) == ("Rejected" if row["readonly"] else "Accepted"), row


def test_change_key_that_needs_a_reboot_says_so() -> None:
    """CORE-CC-02."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1", type="integer", reboot=True),))
    assert change(world, "fan", "2") == "RebootRequired"
    assert value_of(world, "Fan") == "2"
    assert world.actions == []


def test_change_ping_interval_acts_at_once() -> None:
    """J-301, J-305, CORE-RPC-16, D-21."""
    world = quiet_world()
    assert change(world, "WebSocketPingInterval", "0") == "Accepted"
    assert [effect for effect in world.effects if isinstance(effect, Ping)] == [Ping(0)]


def test_ping_interval_at_start_is_the_configured_one() -> None:
    """J-301."""
    world = World(settings(configuration={"WebSocketPingInterval": "77"})).start()
    assert Ping(77) in world.effects


def test_ping_interval_above_patience_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """CORE-RPC-17, J-304."""
    change(quiet_world(), "WebSocketPingInterval", "60")
    assert "WebSocketPingInterval" in caplog.text


def test_change_authorization_key_stores_answers_and_reconnects() -> None:
    """S-154, S-157: in this order; profile 1 connects anew with the key."""
    world = quiet_world(security=BASIC)
    assert change(world, "AuthorizationKey", KEY) == "Accepted"
    kinds = [type(effect) for effect in world.effects if isinstance(effect, Store | Send | Disconnect)]
    assert kinds == [Store, Send, Disconnect]
    assert world.links() == [Disconnect(1000, "authorization key changed", stay_closed=False)]
    assert world.core.access().key == bytes.fromhex(KEY)
    assert world.crash(point=world.settings).core.access().key == bytes.fromhex(KEY)
    assert world.published("security_event") == [
        {"type": "ReconfigurationOfSecurityParameters", "info": "AuthorizationKey"}
    ]


@pytest.mark.parametrize("profile", [0, 3])
def test_change_authorization_key_without_basic_authentication_is_only_stored(profile: int) -> None:
    """S-154."""
    world = quiet_world(security=Security(profile, None, None, None, None, False))
    assert change(world, "AuthorizationKey", KEY) == "Accepted"
    assert world.links() == []


def test_change_authorization_key_rejected_keeps_the_old_one() -> None:
    """S-155, S-152."""
    world = World(settings(security=BASIC), authorization_key=bytes.fromhex(KEY)).boot()
    assert change(world, "AuthorizationKey", "a" * 33) == "Rejected"
    assert world.core.access().key == bytes.fromhex(KEY)
    assert world.links()[1:] == []


def test_authorization_key_of_the_csms_loses_to_a_new_provisioned_one() -> None:
    """S-151: the same rule as for every key of the file."""
    world = World(settings(security=BASIC), authorization_key=b"0123456789abcdef").boot()
    change(world, "AuthorizationKey", KEY)
    assert world.crash(authorization_key=b"0123456789abcdef").core.access().key == bytes.fromhex(KEY)
    assert world.crash(authorization_key=b"fedcba9876543210").core.access().key == b"fedcba9876543210"


def test_change_monitored_key_is_published_after_the_answer() -> None:
    """CORE-CC-10."""
    world = quiet_world()
    world.command("monitor_configuration_keys", ["meterVALUESampleinterval"])
    world.forget()
    change(world, "MeterValueSampleInterval", "60")
    kinds = [type(effect) for effect in world.effects]
    assert kinds == [Store, Send, Publish]
    assert world.published("configuration_key") == [
        {"key": "MeterValueSampleInterval", "read_only": False, "value": "60"}
    ]


def test_change_monitored_key_that_needs_a_reboot_is_published_too() -> None:
    """CORE-CC-10, CORE-CC-02."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1", reboot=True),))
    world.command("monitor_configuration_keys", ["Fan"])
    change(world, "Fan", "2")
    assert world.published("configuration_key") == [{"key": "Fan", "read_only": False, "value": "2"}]


def test_change_to_the_same_value_or_refused_publishes_nothing() -> None:
    """CORE-CC-10: nothing has changed."""
    world = quiet_world()
    world.command("monitor_configuration_keys", ["ResetRetries"])
    change(world, "ResetRetries", "1")
    change(world, "ResetRetries", "-1")
    assert world.published("configuration_key") == []


def test_change_monitored_authorization_key_is_published_without_value() -> None:
    """CORE-GC-05, S-151, CORE-CC-10."""
    world = quiet_world()
    world.command("monitor_configuration_keys", ["AuthorizationKey"])
    change(world, "AuthorizationKey", KEY)
    assert world.published("configuration_key") == [{"key": "AuthorizationKey", "read_only": False}]


def test_monitors_add_up_survive_and_keep_unknown_keys() -> None:
    """CORE-CC-10: the list shows in charge_point.get."""
    world = quiet_world()
    world.command("monitor_configuration_keys", ["A", "NoSuchKey"])
    request = world.command("monitor_configuration_keys", ["a", "B"])
    assert world.result(request) is None
    again = world.crash()
    assert sorted(again.core.state(again.now)["monitored_keys"]) == ["A", "B", "NoSuchKey"]


@pytest.mark.parametrize("keys", ["A", [1], ["k" * 51], [str(i) for i in range(10_001)]])
def test_monitor_with_bad_argument_changes_nothing(keys: Any) -> None:
    """CORE-CC-10: limits are told, not silently applied."""
    world = quiet_world()
    with pytest.raises(LocalError):
        world.command("monitor_configuration_keys", keys)
    assert world.core.state(world.now)["monitored_keys"] == []


def test_set_custom_key_is_stored_answered_and_not_published() -> None:
    """CORE-CC-08: the command of the published interface."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1", type="integer", max=9, read_only=True),))
    world.command("monitor_configuration_keys", ["Fan"])
    assert world.result(world.command("set_custom_configuration_key", "FAN", "5")) == "Accepted"
    assert world.published("configuration_key") == []
    assert value_of(world.crash(), "Fan") == "5"
    assert change(world, "Fan", "6") == "Rejected"


@pytest.mark.parametrize(
    ("key", "value", "status"),
    [
        ("HeartbeatInterval", "5", "Rejected"),
        ("Nobody", "5", "Rejected"),
        ("Fan", "10", "Rejected"),
        ("Fan", "x", "Rejected"),
        ("Boot", "5", "RebootRequired"),
    ],
)
def test_set_custom_key_answers_the_status(key: str, value: str, status: str) -> None:
    """CORE-CC-02, CORE-CC-04: standard keys cannot be set from here."""
    declared = (custom_key("Fan", "1", type="integer", max=9), custom_key("Boot", "1", reboot=True))
    world = quiet_world(custom_keys=declared)
    assert world.result(world.command("set_custom_configuration_key", key, value)) == status


@pytest.mark.parametrize(("key", "value"), [("k" * 51, "v"), ("Fan", "v" * 501), (5, "v"), ("Fan", None)])
def test_set_custom_key_with_too_long_text_is_an_error(key: Any, value: Any) -> None:
    """CORE-CC-04: nothing is answered, nothing changed."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1"),))
    with pytest.raises(LocalError):
        world.command("set_custom_configuration_key", key, value)
    assert_nothing_sent(world)
    assert world.replies == {}


def test_value_of_the_csms_wins_until_the_file_changes() -> None:
    """CORE-CC-08: surface.md, [charge_point.configuration]."""
    world = quiet_world(configuration={"ResetRetries": "2"})
    assert value_of(world, "ResetRetries") == "2"
    change(world, "ResetRetries", "5")
    assert value_of(world.crash(), "ResetRetries") == "5"
    changed = world.crash(point=settings(configuration={"ResetRetries": "3"}))
    assert value_of(changed, "ResetRetries") == "3"
    changed.start()
    back = changed.crash(point=settings(configuration={"ResetRetries": "2"}))
    assert value_of(back, "ResetRetries") == "2"


def test_value_of_the_csms_that_became_illegal_is_given_up() -> None:
    """CORE-CC-04: a hub that lost connectors forgets rotations of those."""
    world = quiet_world()
    change(world, "ConnectorPhaseRotation", "3.RST")
    smaller = world.crash(point=settings(connectors=2)).start()
    assert value_of(smaller, "ConnectorPhaseRotation") == "0.Unknown"
    assert ("configuration", "ConnectorPhaseRotation") not in smaller.rows


def test_value_of_a_key_that_is_not_declared_any_more_is_ignored() -> None:
    """CORE-CC-08."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1"),))
    change(world, "Fan", "2")
    assert value_of(world.crash(point=settings()), "Fan") is None


def test_configured_values_that_are_not_legal_are_all_named() -> None:
    """CORE-CC-04: configuration errors name key and nearest name."""
    point = settings(
        configuration={"HeartbeatIntervall": "5", "ResetRetries": "x", "NumberOfConnectors": "9"},
        custom_keys=(custom_key("MessageTimeout"), custom_key("Fan", "9", type="integer", max=5)),
    )
    problems = configuration_problems(point)
    assert len(problems) == 5
    assert str(problems[0]).endswith("allowed: nearest is HeartbeatInterval")
    assert problems[1] == (
        "configuration.ResetRetries",
        '"x" is not legal',
        "an integer, at least 0, at most 2147483647",
    )
    assert (problems[3].key, problems[4].key) == ("custom_keys.MessageTimeout", "custom_keys.Fan.value")
    assert problems[4].allowed == "an integer, at most 5"
    with pytest.raises(LocalError) as caught:
        World(point)
    assert caught.value.data["problems"] == [str(problem) for problem in problems]


def test_rows_are_json_text() -> None:
    """CORE-CC-08: what is stored can be read by any tool."""
    world = quiet_world(custom_keys=(custom_key("Fan", "1"),))
    change(world, "Fan", "Größe")
    assert orjson.loads(world.rows["custom_key", "Fan"]) == {"value": "Größe", "file": "1"}


@pytest.mark.parametrize(
    ("declared", "good", "kept", "bad"),
    [
        ({"type": "integer", "value": "1", "min": -5, "max": 5}, "-05", "-5", ["6", "-6", "1.0", "", "true"]),
        ({"type": "decimal", "value": "0.5", "min": 0.1, "max": 1}, "0.25", "0.25", ["0.09", "1.01", "nan", "1e0", ""]),
        ({"type": "boolean", "value": "true"}, "FALSE", "false", ["0", "no", ""]),
        ({"type": "list", "value": "a"}, "b , c", "b,c", ["b,,c", "b,b", ","]),
        ({"type": "string", "value": "a"}, " as it is ", " as it is ", []),
    ],
)
@pytest.mark.parametrize("reboot", [False, True])
def test_change_custom_key_of_every_type(
    declared: dict[str, Any], good: str, kept: str, bad: list[str], reboot: bool
) -> None:
    """CORE-CC-01, CORE-CC-02, CORE-CC-04, CORE-CC-08: what is refused changes nothing, what is taken stays."""
    world = quiet_world(custom_keys=(custom_key("Own", **declared, reboot=reboot),))
    before = dict(world.rows)
    assert [change(world, "OWN", text) for text in bad] == ["Rejected"] * len(bad)
    assert (value_of(world, "Own"), world.rows) == (declared["value"], before)
    assert change(world, "own", good) == ("RebootRequired" if reboot else "Accepted")
    assert value_of(world.crash(), "Own") == kept


@pytest.mark.parametrize("key", ["MeterValuesSampledData", "MeterValuesAlignedData", "StopTxnSampledData"])
def test_change_measurands_takes_phases_and_is_refused_as_a_whole(key: str) -> None:
    """CORE-CC-04, CORE-MV-05, CORE-MV-06: as the CSMS sees it."""
    world = quiet_world()
    assert change(world, key, "Voltage.L1-N, Current.Import.L3,Power.Active.Import") == "Accepted"
    for wrong in ("Voltage.L4", "Voltage.", "Voltage.L1,Voltage.L1", "SoC,Magic"):
        assert change(world, key, wrong) == "Rejected"
    assert value_of(world, key) == "Voltage.L1-N,Current.Import.L3,Power.Active.Import"


def test_change_message_timeout_counts_for_the_next_call() -> None:
    """CORE-CC-01: at once, without a reboot."""
    world = quiet_world()
    assert change(world, "MessageTimeout", "7") == "Accepted"
    world.csms.silent.add("DataTransfer")
    request = world.command("data_transfer", "vendor", None, None)
    assert request not in world.advance(6.9).replies
    assert world.advance(0.2).result(request) == {"status": "Offline"}


def test_value_of_a_key_that_became_read_only_is_given_up() -> None:
    """CORE-CC-05: what the CSMS may not change any more must not rest on what it changed once."""
    world = quiet_world()
    world.rows["configuration", "StopTransactionMaxMeterValues"] = b'{"value":"7","file":null}'
    again = world.crash().start()
    assert value_of(again, "StopTransactionMaxMeterValues") == "100"
    assert ("configuration", "StopTransactionMaxMeterValues") not in again.rows
