"""The configuration keys of smart charging, from the CSMS, from the socket and from hub.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from .charging import Station, cleared, far, flat, profile, station
from .conftest import HEAD, Rig, cli, point

DEFAULTS = {
    "ChargeProfileMaxStackLevel": "10",
    "ChargingScheduleAllowedChargingRateUnit": "Current,Power",
    "ChargingScheduleMaxPeriods": "100",
    "ConnectorSwitch3to1PhaseSupported": "false",
}
KEYS = [*DEFAULTS, "MaxChargingProfilesInstalled", "MaxCompositeScheduleDuration"]
OTHER = {
    "ChargeProfileMaxStackLevel": "4",
    "ChargingScheduleAllowedChargingRateUnit": "Power",
    "ChargingScheduleMaxPeriods": "24",
    "ConnectorSwitch3to1PhaseSupported": "true",
    "MaxChargingProfilesInstalled": "1000",
    "MaxCompositeScheduleDuration": "86400",
}


def test_csms_reads_the_keys_and_their_defaults(opened: Station) -> None:
    """CORE-SC-13: all of them, read-only, with the defaults of a hub; room for three profiles a connector and ten."""
    entries = {e["key"]: e for e in opened.result("GetConfiguration", {"key": KEYS})["configurationKey"]}
    assert list(entries) == KEYS
    assert all(entry["readonly"] is True for entry in entries.values())
    assert {key: entries[key]["value"] for key in DEFAULTS} == DEFAULTS
    assert int(entries["MaxChargingProfilesInstalled"]["value"]) >= 3 * 3 + 10
    assert int(entries["MaxCompositeScheduleDuration"]["value"]) >= 86_400


def test_csms_reads_that_smart_charging_is_supported(opened: Station) -> None:
    """CORE-GEN-01: SupportedFeatureProfiles lists SmartCharging."""
    assert "SmartCharging" in opened.link.value("SupportedFeatureProfiles")["value"].split(",")


@pytest.mark.parametrize("key", KEYS)
def test_csms_changes_a_key_that_it_may_only_read_and_is_rejected(opened: Station, key: str) -> None:
    """CORE-SC-13, CORE-CC-04, CORE-CC-05: Rejected, with a good value, a bad one and its own; nothing changes."""
    before = opened.link.value(key)
    for value in (OTHER[key], before["value"], "", "nonsense"):
        assert opened.link.change(key, value) == "Rejected"
    assert opened.link.change(key.upper(), OTHER[key]) == "Rejected"
    assert opened.link.value(key) == before


def test_client_reads_the_keys_and_cannot_set_them(opened: Station) -> None:
    """rpc.md `get_configuration_key`, `set_custom_configuration_key`: a standard key is Rejected."""
    entries = opened.rpc.call("get_configuration_key", keys=KEYS)["configuration_keys"]
    assert [(e["key"], e["read_only"]) for e in entries] == [(key, True) for key in KEYS]
    for key in KEYS:
        answer = opened.rpc.call("set_custom_configuration_key", key=key, value=OTHER[key])
        assert answer == "Rejected"


def test_user_sets_every_key_in_hub_toml_and_it_counts(rig: Rig) -> None:
    """surface.md `[charge_point.configuration]` (read-only ones too), CORE-SC-13: read back, and obeyed."""
    lines = [
        "ChargeProfileMaxStackLevel = 4",
        'ChargingScheduleAllowedChargingRateUnit = "Power"',
        "ChargingScheduleMaxPeriods = 24",
        "ConnectorSwitch3to1PhaseSupported = true",
        "MaxChargingProfilesInstalled = 1000",
        "MaxCompositeScheduleDuration = 86400",
    ]
    hub = station(rig, configuration="\n".join(lines))
    assert {key: hub.link.value(key)["value"] for key in OTHER} == OTHER
    full = [(60 * n, 6900, 3) for n in range(24)]
    assert hub.set(1, profile(1, *full, unit="W", level=4)) == "Accepted"
    assert hub.set(1, profile(2, *full, (9999, 1), unit="W")) == "Rejected"
    assert hub.set(1, profile(2, unit="W", level=5)) == "Rejected"
    assert hub.set(1, profile(2, unit="A")) == "Rejected"


@pytest.mark.parametrize("count", [99, 100])
def test_csms_sends_as_many_periods_as_the_key_says(opened: Station, count: int) -> None:
    """CORE-SC-13, SCA-36: up to ChargingScheduleMaxPeriods; the answer is never cut to it."""
    cleared(opened)
    opened.put(1, profile(1, *((60 * n, 10 + n % 2) for n in range(count)), start=far()))
    opened.put(2, profile(2, *((60 * n + 30 * min(n, 1), 10 + n % 2) for n in range(count)), start=far()))
    assert len(opened.at(1, 0, 86_400)) == count
    assert len(opened.at(0, 0, 86_400)) == 2 * count - 1
    assert opened.set(1, profile(3, *((n, 10) for n in range(101)))) == "Rejected"


def test_user_allows_a_thousand_periods(rig: Rig) -> None:
    """Issue "Bad input gets": 1,000 periods are computed exactly."""
    hub = station(rig, configuration="ChargingScheduleMaxPeriods = 1000\nMaxCompositeScheduleDuration = 31536000")
    hub.put(1, profile(1, *((100 * n, n % 32 + 0.1 * (n % 10)) for n in range(1000)), start=far()))
    periods = hub.at(1, 0, 200_000)
    assert len(periods) == 1000
    assert all(
        (start, limit) == (100 * n, min(round(n % 32 + 0.1 * (n % 10), 1), 32.0))
        for n, (start, limit, _) in enumerate(periods)
    )
    assert hub.set(1, profile(2, *((n, 10) for n in range(1001)))) == "Rejected"


def test_levels_go_from_0_to_the_maximum(opened: Station) -> None:
    """CORE-SC-13, CORE-SC-08: ChargeProfileMaxStackLevel itself is a level."""
    cleared(opened)
    for level in range(11):
        opened.put(1, profile(level, (0, 5 + level), level=level))
        assert opened.periods(1) == flat(5.0 + level)
    assert opened.set(1, profile(11, level=11)) == "Rejected"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ChargeProfileMaxStackLevel = -1", ["ChargeProfileMaxStackLevel", "-1"]),
        ('ChargeProfileMaxStackLevel = "high"', ["ChargeProfileMaxStackLevel"]),
        ("ChargingScheduleMaxPeriods = 0", ["ChargingScheduleMaxPeriods", "at least 1"]),
        ("ChargingScheduleMaxPeriods = 1001", ["ChargingScheduleMaxPeriods", "1000"]),
        ("ChargingScheduleMaxPeriods = 10.5", ["ChargingScheduleMaxPeriods"]),
        ("MaxChargingProfilesInstalled = 0", ["MaxChargingProfilesInstalled"]),
        ("MaxCompositeScheduleDuration = 0", ["MaxCompositeScheduleDuration", "31536000"]),
        ("MaxCompositeScheduleDuration = 31536001", ["MaxCompositeScheduleDuration", "31536000"]),
        ('ChargingScheduleAllowedChargingRateUnit = ""', ["ChargingScheduleAllowedChargingRateUnit", "Current"]),
        ('ChargingScheduleAllowedChargingRateUnit = "A"', ["ChargingScheduleAllowedChargingRateUnit", "Power"]),
        (
            'ChargingScheduleAllowedChargingRateUnit = "Power,Power"',
            ["ChargingScheduleAllowedChargingRateUnit"],
        ),
        ('ConnectorSwitch3to1PhaseSupported = "maybe"', ["ConnectorSwitch3to1PhaseSupported"]),
        ("ChargeProfileMaxStackLevels = 5", ["ChargeProfileMaxStackLevels", "ChargeProfileMaxStackLevel"]),
        ('SupportedFeatureProfiles = "SmartCharging"', ["SupportedFeatureProfiles", "Core"]),
        ('SupportedFeatureProfiles = "Core,Smart"', ["SupportedFeatureProfiles", "SmartCharging"]),
    ],
    ids=str,
)
def test_user_sets_a_key_wrongly_and_is_told_which(tmp_path: Path, line: str, words: list[str]) -> None:
    """surface.md exit code 78, README (every problem of the file): the key, and what is allowed."""
    refused(tmp_path, point(configuration=line), words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nominal_voltage_v = 230.9401", ["nominal_voltage_v", "230.9401"]),
        ("nominal_voltage_v = 0", ["nominal_voltage_v", "50 to 1500"]),
        ("phases = 4", ["phases", "1 to 3"]),
        ("station_max_a = 60.1234", ["station_max_a", "decimals"]),
        ("station_max_w = 1e308", ["station_max_w"]),
        ("connector_default_a = -1", ["connector_default_a"]),
        ("connector_default_a = nan", ["connector_default_a"]),
        ("connector_max_w = 11000", ["connector_max_w", "connector_max_a"]),
        ('current = "dual"', ["current"]),
    ],
    ids=str,
)
def test_user_sets_an_electrical_limit_wrongly_and_is_told_which(tmp_path: Path, line: str, words: list[str]) -> None:
    """surface.md `[charge_point.electrical]`: the key, and what is allowed; of the overrides too."""
    refused(tmp_path, point(electrical=line), words)
    if line.startswith(("nominal", "phases", "connector_default", "current")):
        refused(tmp_path, point(security=f"[[charge_point.connector]]\nids = 1\n{line}"), words)


def test_user_mixes_voltages_that_cannot_be_summed_exactly_and_is_told_so(tmp_path: Path) -> None:
    """docs/design/0008 item 14: refused before it runs, and the key is named."""
    overrides = "".join(
        f"[[charge_point.connector]]\nids = [{n}]\nnominal_voltage_v = {volts}\n"
        for n, volts in enumerate((229.993, 230.941, 277.123, 479.909, 110.021), 1)
    )
    refused(tmp_path, point(connectors=20_000, security=overrides), ["nominal_voltage_v"])


@pytest.mark.parametrize("line", ['schedule_unit = "kW"', "publish_duration_s = 0", "publish_interval_s = -1"])
def test_user_sets_the_publication_wrongly_and_is_told_which(tmp_path: Path, line: str) -> None:
    """surface.md `[hub]`: publish_* and schedule_unit."""
    refused(tmp_path, point(), [line.split()[0]], hub=line)


def refused(directory: Path, charge_point: str, words: list[str], hub: str = "") -> None:
    path = directory / "hub.toml"
    path.write_text(HEAD.format(hub=hub, rpc="") + charge_point)
    done = cli("check-config", str(path))
    assert done.returncode == 78, done
    for word in words:
        assert word in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
