"""The file as a whole: defaults, every problem at once, the environment, secrets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ocpphub import config
from ocpphub.config_table import TABLES

MINIMAL = """
[[charge_point]]
identity = "HUB-1"
csms_url = "ws://127.0.0.1:9000/ocpp"
connectors = 4
vendor = "Vendor"
model = "Model"
[charge_point.electrical]
connector_max_a = 32
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "hub.toml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Each problem of a refused file as ``key: what; allowed: ...``."""
    with pytest.raises(config.ConfigError) as caught:
        config.load(write(folder, text), environ)
    return [str(problem).removeprefix(f"{folder / 'hub.toml'}: ") for problem in caught.value.problems]


def test_file_minimal_gets_the_documented_defaults(tmp_path: Path) -> None:
    """CORE-BOOT-12: surface.md's defaults hold for whatever the file leaves out."""
    settings = config.load(write(tmp_path, MINIMAL))
    assert settings.hub.socket == Path("/run/ocpphub/ocpphub.sock")
    assert settings.hub.charge_before_accepted == "if_accepted_once"
    assert (settings.hub.publish_interval_s, settings.hub.publish_duration_s) == (30, 600)
    assert (settings.hub.unattended_grace_s, settings.hub.unattended_close_s) == (60, 86_400)
    assert settings.rpc == config.RpcSettings(1_048_576, 16_384, 8_388_608, 256, ())
    assert settings.metrics.listen is None
    (point,) = settings.charge_points
    assert point.link == config.LinkSettings(30, 10, 30, 15, False, False)
    assert point.security.profile == 0
    assert (point.electrical.nominal_voltage_v, point.electrical.phases, point.electrical.min_current_a) == (230, 3, 6)
    assert settings.warnings == ()


def test_settings_have_one_field_for_each_key_of_the_table() -> None:
    """A key exists in the table, in the settings and nowhere else."""
    shapes = {
        "hub": config.HubSettings,
        "rpc": config.RpcSettings,
        "rpc.role": config.Role,
        "metrics": config.MetricsSettings,
        "charge_point": config.ChargePointSettings,
        "charge_point.custom_keys": config.CustomKey,
        "charge_point.electrical": config.Electrical,
        "charge_point.connector": config.ConnectorOverride,
        "charge_point.security": config.Security,
        "charge_point.link": config.LinkSettings,
        "feeder": config.Feeder,
        "firmware": config.FirmwareSettings,
        "diagnostics": config.DiagnosticsSettings,
    }
    nested = {"roles", "configuration", "custom_keys", "electrical", "connector_overrides", "security", "link"}
    for path, shape in shapes.items():
        fields = {item.name for item in dataclasses.fields(shape)} - nested
        names = {key.name for key in TABLES[path]} | ({"name"} if path == "charge_point.custom_keys" else set())
        assert fields == names, path
    assert shapes.keys() == TABLES.keys()


def test_file_with_many_mistakes_reports_each_with_what_is_allowed(tmp_path: Path) -> None:
    """T38: one run shows every problem, and a broken file never starts with defaults."""
    text = MINIMAL.replace("connectors = 4", "connectors = 0").replace('vendor = "Vendor"\n', "")
    found = problems(tmp_path, '[hub]\nlog_levle = "info"\nlog_format = "xml"\n' + text + "[feder]\n")
    assert found == [
        "feder: is not known; allowed: did you mean feeder?",
        "hub.log_levle: is not known; allowed: did you mean log_level?",
        "hub.log_format: 'xml' is not known; allowed: text or json",
        "charge_point[0].connectors: 0 is out of range; allowed: an integer, 1 to 100000",
        "charge_point[0].vendor: is missing; allowed: 1 to 20 characters, no control characters",
    ]


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"[hub", "is not TOML"), (b"\xff", "is not UTF-8"), (None, "cannot be read")],
)
def test_file_that_is_no_toml_is_refused_by_name(tmp_path: Path, content: bytes | None, what: str) -> None:
    """T38: a file that cannot be parsed names itself."""
    path = tmp_path / "hub.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(config.ConfigError, match=what) as caught:
        config.load(path)
    assert str(path) in str(caught.value)


def test_error_carries_every_problem_as_data(tmp_path: Path) -> None:
    """T38: the error is a LocalError with invalid_params and the lines in its data."""
    with pytest.raises(config.ConfigError) as caught:
        config.load(write(tmp_path, "[hub]\nx = 1\n"))
    assert caught.value.code == "invalid_params"
    assert len(caught.value.data["problems"]) == len(caught.value.problems) == 2


def test_environment_overrides_tables_and_repeated_tables(tmp_path: Path) -> None:
    """OCPPHUB_SECTION__KEY wins over the file, with its type."""
    second = MINIMAL.replace("HUB-1", "HUB-2")
    environ = {
        "OCPPHUB_HUB__CHARGE_BEFORE_ACCEPTED": "never",
        "OCPPHUB_RPC__MAX_IN_FLIGHT": "7",
        "OCPPHUB_CHARGE_POINT__1__CSMS_URL": "ws://other/x",
        "OCPPHUB_CHARGE_POINT__0__CONFIGURATION__HEARTBEATINTERVAL": "77",
        "OCPPHUB_CHARGE_POINT__1__LINK__STRICT": "true",
        "OCPPHUB_SOCKET": "not a key: no double underscore",
        "PATH": "/bin",
    }
    settings = config.load(write(tmp_path, MINIMAL + second), environ)
    assert settings.hub.charge_before_accepted == "never"
    assert settings.rpc.max_in_flight == 7
    assert settings.charge_points[0].configuration == {"HeartbeatInterval": "77"}
    assert settings.charge_points[1].csms_url == "ws://other/x"
    assert settings.charge_points[1].link.strict


def test_environment_may_leave_out_the_index_of_a_lone_table(tmp_path: Path) -> None:
    """The endpoint of the only charge point can come from the environment."""
    settings = config.load(write(tmp_path, MINIMAL), {"OCPPHUB_CHARGE_POINT__CSMS_URL": "ws://other/x"})
    assert settings.charge_points[0].csms_url == "ws://other/x"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "OCPPHUB_HUB__LOGLEVEL",
            "info",
            "environment: OCPPHUB_HUB__LOGLEVEL: loglevel is not known; allowed: did you",
        ),
        ("OCPPHUB_HUP__LOG_LEVEL", "info", "environment: OCPPHUB_HUP__LOG_LEVEL: hup is not known; allowed: did you"),
        (
            "OCPPHUB_HUB__LOG_LEVEL",
            "loud",
            "OCPPHUB_HUB__LOG_LEVEL: hub.log_level: 'loud' is not known; allowed: error",
        ),
        ("OCPPHUB_RPC__MAX_IN_FLIGHT", "many", "OCPPHUB_RPC__MAX_IN_FLIGHT: rpc.max_in_flight: is a text, not an int"),
        (
            "OCPPHUB_CHARGE_POINT__5__MODEL",
            "M",
            "OCPPHUB_CHARGE_POINT__5__MODEL: charge_point: does not say which table",
        ),
    ],
)
def test_environment_mistake_is_reported_under_the_variable(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    """T38: a bad override is found where it was made."""
    (found,) = problems(tmp_path, MINIMAL, {name: text})
    assert found.startswith(expected)


def test_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """S-158: a key file has mode 0600; T28: wider modes refuse the start."""
    secret = tmp_path / "key"
    secret.write_text("00" * 16)
    text = MINIMAL + '[charge_point.security]\nprofile = 1\nauthorization_key_file = "key"\n'
    secret.chmod(0o640)
    assert problems(tmp_path, text) == [
        f"charge_point[0].security.authorization_key_file: {secret} has mode 0640; allowed: 0600"
    ]
    secret.chmod(0o600)
    settings = config.load(write(tmp_path, text))
    assert settings.charge_points[0].security.authorization_key_file == secret
    assert "trusted networks" in settings.warnings[0]


def test_secret_that_is_missing_or_no_file_is_named(tmp_path: Path) -> None:
    """T38: a path that leads nowhere, or to a directory, is a problem of the file."""
    (tmp_path / "folder").mkdir(mode=0o700)
    text = MINIMAL + '[charge_point.security]\nca_file = "none.pem"\nauthorization_key_file = "folder"\n'
    found = problems(tmp_path, text)
    assert [line.partition(": ")[0].rpartition(".")[2] for line in found] == ["authorization_key_file", "ca_file"]
    assert "no regular file" in found[0]
    assert "cannot be read" in found[1]
