"""Which configuration keys there are: each with its type, access, default and range, as chapter 16 has them."""

from __future__ import annotations

import inspect
import itertools

import pytest

from ocpphub import endpoint
from ocpphub.core.key_table import (
    FEATURE_PROFILES,
    Basis,
    key_table,
    rotation_capacity,
    standard_keys,
    supported_profiles,
)
from ocpphub.core.keys import MAX_INTEGER
from tests import builders
from tests.builders import World

KEYS = {key.name: key for key in standard_keys(builders.settings())}
ENERGY = "Energy.Active.Import.Register"
ANY = f"0 {MAX_INTEGER}"
POSITIVE = f"1 {MAX_INTEGER}"
CHAPTER_16 = f"""
AllowOfflineTxForUnknownId              Core                    boolean RW false
AuthorizationCacheEnabled               Core                    boolean RW true
AuthorizeRemoteTxRequests               Core                    boolean RW false
ClockAlignedDataInterval                Core                    integer RW 0 0 86400
ConnectionTimeOut                       Core                    integer RW 60 {ANY}
ConnectorPhaseRotation                  Core                    list    RW 0.Unknown
ConnectorPhaseRotationMaxLength         Core                    integer R  4
GetConfigurationMaxKeys                 Core                    integer R  100
HeartbeatInterval                       Core                    integer RW 86400 {POSITIVE}
LocalAuthorizeOffline                   Core                    boolean RW true
LocalPreAuthorize                       Core                    boolean RW false
MaxEnergyOnInvalidId                    Core                    integer RW 0 {ANY}
MessageTimeout                          Core                    integer RW 30 {POSITIVE}
MeterValuesAlignedData                  Core                    list    RW {ENERGY}
MeterValuesAlignedDataMaxLength         Core                    integer R  8
MeterValueSampleInterval                Core                    integer RW 300 {ANY}
MeterValuesSampledData                  Core                    list    RW {ENERGY}
MeterValuesSampledDataMaxLength         Core                    integer R  8
MinimumStatusDuration                   Core                    integer RW 0 {ANY}
NumberOfConnectors                      Core                    integer R  3
ResetRetries                            Core                    integer RW 1 {ANY}
RetryBackOffRandomRange                 Core                    integer R  10
RetryBackOffRepeatTimes                 Core                    integer R  6
RetryBackOffWaitMinimum                 Core                    integer R  5
StopTransactionMaxMeterValues           Core                    integer R  100 2 {MAX_INTEGER}
StopTransactionOnEVSideDisconnect       Core                    boolean RW true
StopTransactionOnInvalidId              Core                    boolean RW true
StopTxnAlignedData                      Core                    list    RW -
StopTxnAlignedDataMaxLength             Core                    integer R  8
StopTxnSampledData                      Core                    list    RW -
StopTxnSampledDataMaxLength             Core                    integer R  8
SupportedFeatureProfiles                Core                    list    R  {FEATURE_PROFILES}
TransactionMessageAttempts              Core                    integer RW 3 {POSITIVE}
TransactionMessageRetryInterval         Core                    integer RW 20 {ANY}
UnlockConnectorOnEVSideDisconnect       Core                    boolean RW true
WebSocketPingInterval                   Core                    integer RW 30 {ANY}
LocalAuthListEnabled                    LocalAuthListManagement boolean RW true
LocalAuthListMaxLength                  LocalAuthListManagement integer R  100000 1 1000000
SendLocalListMaxLength                  LocalAuthListManagement integer R  5000 1 1000000
ReserveConnectorZeroSupported           Reservation             boolean R  true
SupportedFileTransferProtocols          FirmwareManagement      list    R  HTTPS
ChargeProfileMaxStackLevel              SmartCharging           integer R  10 0 100
ChargingScheduleAllowedChargingRateUnit SmartCharging           list    R  Current,Power
ChargingScheduleMaxPeriods              SmartCharging           integer R  100 1 1000
ConnectorSwitch3to1PhaseSupported       SmartCharging           boolean R  false
MaxChargingProfilesInstalled            SmartCharging           integer R  19 1 1000000
MaxCompositeScheduleDuration            SmartCharging           integer R  604800 1 31536000
AdditionalRootCertificateCheck          Security                boolean R  false
AuthorizationKey                        Security                string  W  -
CertificateSignedMaxChainSize           Security                integer R  10000 1 10000
CertificateStoreMaxLength               Security                integer R  100 1 1000
CpoName                                 Security                string  RW -
SecurityProfile                         Security                integer RW 0 0 3
"""


@pytest.mark.parametrize("row", CHAPTER_16.strip().splitlines(), ids=lambda row: row.split()[0])
def test_key_has_the_profile_type_access_default_and_range_of_the_chapter(row: str) -> None:
    """CORE-CC-04, CORE-CC-05, CORE-TX-19, J-301, J-341."""
    name, profile, kind, access, default, *bounds = row.split()
    key = KEYS[name]
    assert (key.profile, key.type, key.access, key.default or "-") == (profile, kind, access, default)
    if bounds:
        low, high = map(int, bounds)
        assert [key.normalised(str(low)), key.normalised(str(high))] == bounds
        assert key.normalised(str(low - 1)) is key.normalised(str(high + 1)) is None


def test_table_has_the_keys_of_what_is_built_and_no_other() -> None:
    """CORE-GEN-10: nothing of lamps; and in this order."""
    assert list(KEYS) == [row.split()[0] for row in CHAPTER_16.strip().splitlines()]


def test_key_of_transfers_is_there_only_where_they_are_possible() -> None:
    """S-244, CORE-GD-08: it needs its profile and the extra; it lists what can be enabled, SFTP is not among that."""
    key = KEYS["SupportedFileTransferProtocols"]
    profiles = ("Core", "FirmwareManagement")
    assert key.is_there(profiles, ("transfer",))
    assert not key.is_there(profiles, ("security",))
    assert not key.is_there(("Core",), ("transfer",))
    assert key.normalised("FTP, FTPS,HTTP,HTTPS") == "FTP,FTPS,HTTP,HTTPS"
    assert key.normalised("HTTPS,SFTP") is None


def test_standard_keys_never_need_a_reboot() -> None:
    """CORE-CC-01, J-305: what the CSMS may change counts at once."""
    assert {key.effect for key in KEYS.values() if key.access != "R"} == {"at once"}
    assert {key.effect for key in KEYS.values() if key.access == "R"} == {""}


def test_key_is_described_in_a_line_of_its_own() -> None:
    """Whoever reads the table learns what each key is for, and no two say the same."""
    meanings = [key.meaning for key in KEYS.values()]
    assert len(set(meanings)) == len(meanings)
    assert [text for text in meanings if not 5 <= len(text) <= 120 or "\n" in text or "|" in text] == []
    assert [key.name for key in KEYS.values() if not key.range()] == []


def test_table_without_settings_says_what_a_default_follows_from() -> None:
    """A default that is another on another hub is told in words."""
    many = Basis(9, 2, ("1.RST",), True, 7, 3)
    differing = {a.name for a, b in zip(key_table(Basis()), key_table(many), strict=True) if a.default != b.default}
    assert [key.name for key in KEYS.values() if key.name in differing and not key.follows] == []


def test_back_off_that_is_told_is_the_one_that_the_link_keeps() -> None:
    """J-341: first wait, random part, and as many doublings as fit below the longest wait."""
    real = {name: each.default for name, each in inspect.signature(endpoint.BackOff).parameters.items()}
    told = {name: int(KEYS[f"RetryBackOff{name}"].default or 0) for name in ("WaitMinimum", "RandomRange")}
    assert told == {"WaitMinimum": real["minimum_s"], "RandomRange": real["range_s"]}
    back_off = endpoint.BackOff(lambda: 0.0)
    waits = [back_off.next_s() for _ in range(12)]
    doublings = sum(after > before for before, after in itertools.pairwise(waits))
    assert KEYS["RetryBackOffRepeatTimes"].default == str(doublings)


def test_back_off_is_read_by_the_csms_and_changed_by_nobody() -> None:
    """J-341."""
    world = World().boot()
    answer = world.ask("GetConfiguration", {"key": ["RetryBackOffWaitMinimum"]})
    assert answer["configurationKey"] == [{"key": "RetryBackOffWaitMinimum", "readonly": True, "value": "5"}]
    change = {"key": "RetryBackOffWaitMinimum", "value": "9"}
    assert world.ask("ChangeConfiguration", change) == {"status": "Rejected"}


def test_rotation_of_thousands_of_connectors_fits_a_value() -> None:
    """CORE-GC-06: at most 500 characters whatever is configured."""
    point = builders.settings(connectors=5000, connector_overrides=(builders.override(range(1, 5001), rotation="RST"),))
    key = next(key for key in standard_keys(point) if key.name == "ConnectorPhaseRotation")
    assert key.default is not None
    assert len(key.default) <= 500
    assert key.default.startswith("1.RST,2.RST")
    longest = ",".join(f"{i}.NotApplicable" for i in range(5000 - rotation_capacity(5000), 5000))
    assert len(longest) <= 500


def test_every_default_is_legal_for_its_own_key() -> None:
    """CORE-CC-05: the table agrees with itself."""
    assert [k.name for k in KEYS.values() if k.default is not None and k.normalised(k.default) != k.default] == []


@pytest.mark.parametrize(
    ("current", "connectors", "units", "installed"),
    [("ac", 1, "Current,Power", "13"), ("dc", 10_000, "Power", "30010"), ("ac", 400_000, "Current,Power", "1000000")],
)
def test_keys_of_smart_charging_follow_the_hub(current: str, connectors: int, units: str, installed: str) -> None:
    """CORE-SC-13, SCA-38: units of a DC hub, three profiles for each connector and ten for the whole."""
    point = builders.settings(connectors=connectors, electrical=builders.electrical(current=current))
    keys = {key.name: key.default for key in standard_keys(point)}
    assert keys["ChargingScheduleAllowedChargingRateUnit"] == units
    assert keys["MaxChargingProfilesInstalled"] == installed


BUILT = ("Core", "FirmwareManagement", "LocalAuthListManagement", "RemoteTrigger", "Reservation", "SmartCharging")


@pytest.mark.parametrize(
    ("configured", "profiles"),
    [(None, BUILT), ("SmartCharging , Core", ("SmartCharging", "Core")), ("nonsense", BUILT)],
)
def test_supported_profiles_are_those_that_the_file_leaves(configured: str | None, profiles: tuple[str, ...]) -> None:
    """CORE-GEN-01: what is illegal is reported elsewhere."""
    assert supported_profiles(configured) == profiles


def test_supported_profiles_name_what_is_built() -> None:
    """CORE-GEN-01."""
    assert (
        KEYS["SupportedFeatureProfiles"].default
        == FEATURE_PROFILES
        == "Core,FirmwareManagement,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"
    )
    assert KEYS["SupportedFeatureProfiles"].read_only


def test_retry_and_ping_defaults_notice_a_dead_link_first() -> None:
    """CORE-RPC-17, J-304."""
    value = {name: int(KEYS[name].default or 0) for name in ("WebSocketPingInterval", "TransactionMessageAttempts",
                                                            "TransactionMessageRetryInterval")}  # fmt: skip
    assert value["WebSocketPingInterval"] < (
        value["TransactionMessageAttempts"] * value["TransactionMessageRetryInterval"]
    )
