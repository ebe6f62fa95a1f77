"""What only a run would refuse is refused with the file: OCPP values, key files, fallbacks; warnings about paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocpphub import config, config_check
from tests.test_config import MINIMAL, problems, write

KEY_FILE = '[charge_point.security]\nprofile = 1\nauthorization_key_file = "key"\n'


def electrical(lines: str, connectors: int = 4) -> str:
    text = MINIMAL.replace("connectors = 4", f"connectors = {connectors}")
    return text.replace("connector_max_a = 32", f"connector_max_a = 32\n{lines}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("HeartbeatInterval = 0", ["HeartbeatInterval: ", "an integer, at least 1"]),
        ("ResetRetries = -1", ["at least 0", "at most 2147483647"]),
        ('LocalPreAuthorize = "maybe"', ['"maybe"', "true or false"]),
        ('MeterValuesSampledData = "Nope"', ["at most 8", "Energy.Active.Import.Register"]),
        ('ConnectorPhaseRotation = "5.RST"', ["0 to 4", "RST"]),
        (
            'SupportedFeatureProfiles = "Core,PublicKey"',
            ["Core, FirmwareManagement, LocalAuthListManagement, RemoteTrigger", "Core among them"],
        ),
        ('SupportedFeatureProfiles = "SmartCharging"', ["Core among them"]),
        ('ChargingScheduleAllowedChargingRateUnit = "A"', ["one or more of Current, Power"]),
        ('ChargingScheduleAllowedChargingRateUnit = ""', ["one or more of Current, Power"]),
        ("ChargingScheduleMaxPeriods = 1001", ["at least 1, at most 1000"]),
        ("ChargeProfileMaxStackLevel = -1", ["at least 0"]),
        ("MaxChargingProfilesInstalled = 0", ["at least 1"]),
        ("MaxCompositeScheduleDuration = 31536001", ["at least 1, at most 31536000"]),
        ("GetConfigurationMaxKeys = 1", ["cannot be set"]),
        ("BlinkRepeat = 3", ["no such key", "LocalAuthorizeOffline"]),
        ('CpoName = ["a", 1.5]', ["a list holds texts or integers"]),
    ],
)
def test_ocpp_value_that_a_charge_point_refuses_is_a_problem_of_the_file(
    tmp_path: Path, line: str, words: list[str]
) -> None:
    """CORE-CC-04, T38: key path and allowed values, once each."""
    (found,) = problems(tmp_path, f"{MINIMAL}[charge_point.configuration]\n{line}\n")
    assert found.startswith(f"charge_point[0].configuration.{line.partition(' ')[0]}: ")
    assert [word for word in words if word not in found] == []


def test_problems_of_both_kinds_come_together(tmp_path: Path) -> None:
    """T38: what the reader could not read hides nothing, and nothing is told twice."""
    text = MINIMAL.replace("connectors = 4", "connectors = 0") + (
        "[charge_point.configuration]\nHeartbeatInterval = 0\nConnectorPhaseRotation = '9.RST'\n"
        "[charge_point.custom_keys.A]\nvalue = 5\ntype = 'integer'\nmax = 4\n"
        "[charge_point.custom_keys.B]\nvalue = '+5'\ntype = 'integer'\n"
        "[charge_point.custom_keys.C]\ntype = 'integer'\n[charge_point.custom_keys.ResetRetries]\nvalue = 'x'\n"
        "[[charge_point.connector]]\nids = 'x'\nrotation = 'RST'\n"
    )
    found = [line.partition(": ")[0].removeprefix("charge_point[0].") for line in problems(tmp_path, text)]
    assert sorted(found) == sorted(
        ["connectors", "configuration.HeartbeatInterval", "custom_keys.A.value", "custom_keys.B.value",
         "custom_keys.C.value", "custom_keys.ResetRetries", "connector[0].ids"]
    )  # fmt: skip


def test_problem_of_a_value_from_the_environment_names_the_variable(tmp_path: Path) -> None:
    """T38: a bad override is found where it was made."""
    variable = "OCPPHUB_CHARGE_POINT__CONFIGURATION__HEARTBEATINTERVAL"
    (found,) = problems(tmp_path, MINIMAL, {variable: "0"})
    assert found.startswith(f"{variable}: charge_point[0].configuration.HeartbeatInterval: ")


@pytest.mark.parametrize("text", [b"", b"ab" * 15, b"ab" * 21, b"zz" * 16, b"\xff\xfe"])
def test_key_file_without_a_key_is_refused_without_being_shown(tmp_path: Path, text: bytes) -> None:
    """J-144, S-152, S-153, J-149."""
    key = tmp_path / "key"
    key.touch(0o600)
    key.write_bytes(text)
    assert problems(tmp_path, MINIMAL + KEY_FILE) == [
        f"charge_point[0].security.authorization_key_file: {key} holds no AuthorizationKey; "
        "allowed: 32 to 40 hex digits, an even number"
    ]


def test_key_file_open_to_others_is_one_problem(tmp_path: Path) -> None:
    """S-158."""
    (tmp_path / "key").write_text("x")
    (tmp_path / "key").chmod(0o644)
    (found,) = problems(tmp_path, MINIMAL + KEY_FILE)
    assert "0600" in found


@pytest.mark.parametrize(
    ("lines", "key", "drawn"),
    [
        ("fallback_current_a = 8\nstation_max_a = 31.9", "station_max_a", "4 connectors add up to 32 A"),
        ("fallback_current_a = 8\nstation_max_w = 22079", "station_max_w", "22080 W"),
        ("fallback_current_a = 8\nphases = 1\nstation_max_w = 7359", "station_max_w", "7360 W"),
        (
            'fallback_current_a = 8\ncurrent = "dc"\nnominal_voltage_v = 400\nstation_max_w = 1',
            "station_max_w",
            "12800",
        ),
    ],
)
def test_fallbacks_above_the_limit_of_the_station_are_refused(tmp_path: Path, lines: str, key: str, drawn: str) -> None:
    """Decisions.md 5: when every controller falls back at once, the station's limit still holds."""
    (found,) = problems(tmp_path, electrical(lines))
    assert found.startswith(f"charge_point[0].electrical.{key}: ")
    assert drawn in found


@pytest.mark.parametrize(
    "lines",
    [
        "fallback_current_a = 0.1\nstation_max_a = 0.3",
        "fallback_current_a = 6\nstation_max_w = 12420",
        "station_max_a = 1",
    ],
)
def test_fallbacks_that_just_fit_are_taken(tmp_path: Path, lines: str) -> None:
    """Decisions.md 5: sums are exact, three times 0.1 is 0.3."""
    assert config.load(write(tmp_path, electrical(lines, connectors=3))).charge_points


@pytest.mark.parametrize(
    ("lines", "key"),
    [("nominal_voltage_v = 230.9401", "nominal_voltage_v"), ("station_max_a = 100.0001", "station_max_a"),
     ("connector_default_a = 0.0005", "connector_default_a"), ("station_max_w = 1e3\nphases = 1", None)],
)  # fmt: skip
def test_limit_that_schedules_cannot_be_exact_with_is_refused(tmp_path: Path, lines: str, key: str | None) -> None:
    """SCA-22, T38: the key and what is allowed."""
    text = electrical(lines)
    if key is None:
        assert config.load(write(tmp_path, text)).charge_points
        return
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"charge_point[0].electrical.{key}: ")
    assert "at most three decimals" in found


def test_limits_that_do_not_add_up_exactly_are_refused_with_the_file(tmp_path: Path) -> None:
    """SCA-22, T38: what the engine would refuse when the hub starts."""
    tables = [
        f"[[charge_point.connector]]\nids = {number}\nnominal_voltage_v = {200 + number}.{number:03}\n"
        for number in range(1, 101)
    ]
    (found,) = problems(tmp_path, electrical("", connectors=100) + "".join(tables))
    assert found.startswith("charge_point[0].electrical: nominal_voltage_v: too many different voltages")
    (found,) = problems(tmp_path, electrical("", connectors=4) + tables[1].replace("202.002", "202.0021"))
    assert found.startswith("charge_point[0].connector[0].nominal_voltage_v: ")


def test_fallbacks_of_overrides_count_as_they_are(tmp_path: Path) -> None:
    """Decisions.md 5: 2 x 6 and 2 x 10 A; an override may have other phases, too."""
    override = '[[charge_point.connector]]\nids = "3-4"\nfallback_current_a = 10\nphases = 1\n'
    (found,) = problems(tmp_path, electrical("fallback_current_a = 6\nstation_max_a = 31") + override)
    assert "32 A" in found
    (found,) = problems(tmp_path, electrical("fallback_current_a = 6\nstation_max_w = 12879") + override)
    assert "12880 W" in found


def test_feeder_bears_the_fallbacks_of_its_members_and_of_the_feeders_below(tmp_path: Path) -> None:
    """Decisions.md 5: nested to any depth; a connector that is on no feeder does not count."""
    feeders = """
[[feeder]]
name = "site"
limit_a = {site}
[[feeder]]
name = "row"
limit_w = {row}
parent = "site"
members = ["HUB-1:1-2"]
[[feeder]]
name = "end"
limit_a = 6
parent = "row"
members = ["HUB-1:3"]
"""
    text = electrical("fallback_current_a = 6") + feeders
    assert config.load(write(tmp_path, text.format(site=18, row=12420))).feeders
    found = problems(tmp_path, text.format(site=17, row=12419))
    assert [line.partition(": ")[0] for line in found] == ["feeder[0].limit_a", "feeder[1].limit_w"]
    assert "3 connectors add up to 18 A" in found[0]


def test_feeders_in_a_ring_are_refused_and_end(tmp_path: Path) -> None:
    """T38: what is wrong elsewhere is no endless loop here."""
    ring = '[[feeder]]\nname = "a"\nlimit_a = 1\nparent = "b"\n[[feeder]]\nname = "b"\nlimit_a = 1\nparent = "a"\n'
    assert all("leads back" in line for line in problems(tmp_path, MINIMAL + ring))


def warned(folder: Path, hub: str, text: str = MINIMAL) -> list[str]:
    return list(config_check.warnings(config.load(write(folder, f"[hub]\n{hub}\n{text}"))))


def test_paths_that_can_be_made_are_not_warned_about(tmp_path: Path) -> None:
    """T38: nothing is made by a check."""
    assert warned(tmp_path, 'socket = "hub.sock"\nstate_directory = "new/state"') == []
    assert os.listdir(tmp_path) == ["hub.toml"]


def test_paths_that_stop_a_run_are_warned_about(tmp_path: Path) -> None:
    """T38: the directory of a socket is never made by the hub, the state directory is, but not below a file."""
    (tmp_path / "plain").touch()
    text = MINIMAL.replace("connectors = 4", 'connectors = 4\nsocket = "none/of.sock"')
    first, second, third = warned(tmp_path, 'socket = "no/hub.sock"\nstate_directory = "plain/state"', text)
    assert first.startswith(f"hub.socket: the directory {tmp_path / 'no'} does not exist")
    assert second.startswith("charge_point[0].socket: ")
    assert third == f"hub.state_directory: {tmp_path / 'plain'} is no directory"


def test_paths_that_this_user_may_not_write_are_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T38: root may write everywhere, so the answer of the system is replaced."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    first, second = warned(tmp_path, 'socket = "hub.sock"\nstate_directory = "state"')
    assert first == f"hub.socket: this user may not write into {tmp_path}"
    assert second == f"hub.state_directory: this user may not make {tmp_path / 'state'}: {tmp_path} is not writable"


def test_csms_url_of_the_template_is_warned_about(tmp_path: Path) -> None:
    """J-102: the example leads nowhere."""
    (found,) = warned(
        tmp_path,
        'socket = "hub.sock"\nstate_directory = "state"',
        MINIMAL.replace("127.0.0.1:9000", "edit-me.invalid"),
    )
    assert found.startswith("charge_point[0].csms_url is still the example")


def test_certificate_file_that_a_start_would_refuse_is_a_problem_of_the_file(tmp_path: Path) -> None:
    """T38, S-141: check-config and run say the same."""
    (tmp_path / "ca.pem").write_text("not a certificate")
    text = f'{MINIMAL}[charge_point.security]\nca_file = "ca.pem"\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("charge_point[0].security: ")
    assert "holds nothing of this kind" in found
