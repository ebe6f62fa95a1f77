"""Which texts a configuration key takes."""

from __future__ import annotations

import pytest

from ocpphub.config import CustomKey
from ocpphub.core.key_table import standard_keys
from ocpphub.core.keys import Key, custom_key
from tests import builders

KEYS = {key.name: key for key in standard_keys(builders.settings())}


@pytest.mark.parametrize("text", ["true", "TRUE", "True"])
def test_boolean_in_any_case_is_kept_in_lower_case(text: str) -> None:
    """CORE-CC-09."""
    assert KEYS["LocalPreAuthorize"].normalised(text) == "true"


@pytest.mark.parametrize("text", ["yes", "1", "", " true", "0"])
def test_boolean_other_text_is_refused(text: str) -> None:
    """CORE-CC-04, CORE-CC-09."""
    assert KEYS["LocalPreAuthorize"].normalised(text) is None


@pytest.mark.parametrize(
    "text", ["", "abc", " 5", "5 ", "1.0", "1e3", "0x10", "+5", "-1", "0", "99999999999999999999", "2147483648", "５"]
)
def test_integer_bad_format_or_range_is_refused(text: str) -> None:
    """CORE-CC-04, CORE-CC-09, AMB-17."""
    assert KEYS["HeartbeatInterval"].normalised(text) is None


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("HeartbeatInterval", 1, 2**31 - 1),
        ("WebSocketPingInterval", 0, 2**31 - 1),
        ("ClockAlignedDataInterval", 0, 86_400),
        ("TransactionMessageAttempts", 1, 2**31 - 1),
        ("MessageTimeout", 1, 2**31 - 1),
        ("ConnectionTimeOut", 0, 2**31 - 1),
    ],
)
def test_integer_range_ends_where_the_key_says(name: str, lowest: int, highest: int) -> None:
    """CORE-RPC-16, J-301, CORE-CC-04."""
    key = KEYS[name]
    assert key.normalised(str(lowest)) == str(lowest)
    assert key.normalised(str(highest)) == str(highest)
    assert key.normalised(str(lowest - 1)) is None
    assert key.normalised(str(highest + 1)) is None


def test_integer_leading_zeros_are_dropped() -> None:
    """CORE-CC-09."""
    assert KEYS["ResetRetries"].normalised("007") == "7"


def test_measurands_blanks_are_removed_and_phases_taken() -> None:
    """CORE-CC-04."""
    key = KEYS["MeterValuesSampledData"]
    assert key.normalised(" Voltage.L1 , Power.Active.Import") == "Voltage.L1,Power.Active.Import"
    assert key.normalised("") == ""


@pytest.mark.parametrize(
    "text",
    ["Voltage,Voltage", "Voltage,Magic", "voltage", "Voltage,", "Voltage.L9", "Voltage,Energy.Active.Import.Interval"],
)
def test_measurands_one_bad_item_refuses_the_list(text: str) -> None:
    """CORE-CC-04, CORE-MV-05, CORE-MV-06, CORE-MV-19: never applied in part."""
    assert KEYS["MeterValuesSampledData"].normalised(text) is None


def test_measurands_one_more_than_max_length_is_refused() -> None:
    """CORE-CC-06."""
    limit = int(KEYS["MeterValuesSampledDataMaxLength"].default or 0)
    items = [f"Voltage.L{i}" for i in (1, 2, 3)] + [f"Current.Import.L{i}" for i in (1, 2, 3)]
    items += ["Power.Active.Import", "SoC", "Temperature"]
    assert KEYS["MeterValuesSampledData"].normalised(",".join(items[:limit])) is not None
    assert KEYS["MeterValuesSampledData"].normalised(",".join(items[: limit + 1])) is None


@pytest.mark.parametrize("text", ["0.RST,1.RTS,3.Unknown", "", "2.NotApplicable"])
def test_rotation_of_known_connectors_is_taken(text: str) -> None:
    """CORE-CC-01."""
    assert KEYS["ConnectorPhaseRotation"].normalised(text) == text


@pytest.mark.parametrize("text", ["4.RST", "1.RSR", "RST", "01.RST", "-1.RST"])
def test_rotation_of_unknown_connector_or_order_is_refused(text: str) -> None:
    """CORE-CC-04."""
    assert KEYS["ConnectorPhaseRotation"].normalised(text) is None


@pytest.mark.parametrize("text", ["1.RST,1.RTS", "0.RST,2.STR,0.Unknown", "1.RST,1.RST"])
def test_rotation_of_one_connector_twice_is_refused(text: str) -> None:
    """CORE-CC-04: chapter 16, duplicates."""
    assert KEYS["ConnectorPhaseRotation"].normalised(text) is None


@pytest.mark.parametrize(
    ("digits", "legal"), [(30, False), (31, False), (32, True), (33, False), (40, True), (42, False)]
)
def test_authorization_key_takes_32_to_40_hexadecimal_digits(digits: int, legal: bool) -> None:
    """S-152, S-153, D-15."""
    assert (KEYS["AuthorizationKey"].normalised("aB" * (digits // 2) + "c" * (digits % 2)) is not None) is legal


def test_authorization_key_that_is_no_hex_is_refused() -> None:
    """S-153."""
    assert KEYS["AuthorizationKey"].normalised("g" * 40) is None


def test_value_of_501_characters_is_refused_for_every_key() -> None:
    """CORE-CC-04, CORE-GC-06."""
    assert KEYS["CpoName"].normalised("n" * 500) == "n" * 500
    assert [key.name for key in KEYS.values() if key.normalised("1" * 501) is not None] == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "SupportedFeatureProfiles",
            ["Core", "SmartCharging, Core"],
            ["", "SmartCharging", "Core,Core", "Core,PublicKey"],
        ),
        (
            "ChargingScheduleAllowedChargingRateUnit",
            ["Power", "Power,Current"],
            ["", "A", "Current,Current", "current"],
        ),
        ("ChargeProfileMaxStackLevel", ["0", "100"], ["-1", "101"]),
        ("ChargingScheduleMaxPeriods", ["1", "1000"], ["0", "1001"]),
        ("MaxChargingProfilesInstalled", ["1", "1000000"], ["0", "1000001"]),
        ("MaxCompositeScheduleDuration", ["1", "31536000"], ["0", "31536001"]),
    ],
)
def test_key_of_smart_charging_takes_what_can_be_done(name: str, good: list[str], bad: list[str]) -> None:
    """CORE-SC-13, CORE-SC-34, CORE-CC-04: fixed for the CSMS, bounded for the file."""
    key = KEYS[name]
    assert key.read_only
    assert not key.is_derived
    assert [text for text in good if key.normalised(text) is None] == []
    assert [text for text in bad if key.normalised(text) is not None] == []
    assert key.allowed()


@pytest.mark.parametrize(
    ("name", "default", "read_only", "good", "bad"),
    [
        ("AllowOfflineTxForUnknownId", "false", False, ["true"], ["1"]),
        ("AuthorizationCacheEnabled", "true", False, ["false"], [""]),
        ("LocalAuthListEnabled", "true", False, ["false"], ["off"]),
        ("LocalAuthListMaxLength", "100000", True, ["1", "1000000"], ["0", "1000001"]),
        ("SendLocalListMaxLength", "5000", True, ["1", "1000000"], ["0", "1000001"]),
        ("ReserveConnectorZeroSupported", "true", True, ["false"], ["0"]),
        ("MaxEnergyOnInvalidId", "0", False, ["0", "2147483647"], ["-1"]),
        ("MinimumStatusDuration", "0", False, ["0", "2147483647"], ["-1"]),
    ],
)
def test_key_of_authorization_has_its_access_default_and_range(
    name: str, default: str, read_only: bool, good: list[str], bad: list[str]
) -> None:
    """CORE-AUTH-19, CORE-AUTH-23, CORE-LL-02, CORE-LL-09, CORE-LL-10, CORE-RV-09, CORE-TX-08: settable in the file."""
    key = KEYS[name]
    assert (key.default, key.read_only, key.is_derived) == (default, read_only, False)
    assert [text for text in good if key.normalised(text) is None] == []
    assert [text for text in bad if key.normalised(text) is not None] == []


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        (builders.custom_key("I", "1", type="integer", min=1, max=5), "5", "6"),
        (builders.custom_key("D", "0.5", type="decimal", min=0.5, max=1.5), "1.50", "1.51"),
        (builders.custom_key("B", "true", type="boolean"), "false", "maybe"),
        (builders.custom_key("L", "a,b", type="list"), "x", "x,,y"),
        (builders.custom_key("S", "", type="string"), "anything, at all", "s" * 501),
    ],
)
def test_custom_key_takes_what_its_type_and_range_allow(declared: CustomKey, good: str, bad: str) -> None:
    """CORE-CC-04."""
    key = custom_key(declared)
    assert key.normalised(good) == good
    assert key.normalised(bad) is None


def test_decimal_that_is_no_plain_number_is_refused() -> None:
    """CORE-CC-09."""
    key = Key("D", "decimal", None)
    assert [key.normalised(text) for text in ("NaN", "Infinity", "1e3", "1.", ".5", "")] == [None] * 6
