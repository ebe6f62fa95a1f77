"""``hub.toml`` read into frozen settings; every problem of the file is reported at once.

Owns the shape of the configuration and the rules that join keys; ranges and defaults are rows of ``config_table.py``.
Must never guess: an unknown key, a value out of range or a secret that others may read refuses the whole file, and a
broken file never falls back to defaults (reliability.md T38).

Implements surface.md "hub.toml" and OCPP-J 1.6 3.1.1 (endpoint and identity).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocpphub.errors import LocalError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a file: where, what, and what would have been right (``allowed`` may be empty)."""

    file: str
    key: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        return f"{self.file}: {self.key}: {self.what}{allowed}" if self.key else f"{self.file}: {self.what}{allowed}"


class ConfigError(LocalError):
    """The configuration is refused; ``problems`` lists everything that is wrong with it. Exit code 78."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in problems]
        super().__init__("invalid_params", "\n".join(lines), problems=lines)


@dataclass(frozen=True, slots=True)
class HubSettings:
    """``[hub]``."""

    socket: Path
    state_directory: Path
    log_level: str
    log_format: str
    publish_interval_s: float
    publish_min_interval_s: float
    publish_duration_s: int
    schedule_unit: str | None
    charge_before_accepted: str
    unattended_grace_s: float
    unattended_close_s: float
    resume_wait_s: float
    reset_wait_s: float


@dataclass(frozen=True, slots=True)
class Role:
    """``[[rpc.role]]``: a user or a group and what it may do; ``connectors`` ``None`` means all of them."""

    role: str
    uid: int | None
    gid: int | None
    connectors: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """``[rpc]``: limits of the socket and the roles of its clients."""

    max_line_bytes: int
    max_connections: int
    max_output_bytes: int
    max_in_flight: int
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """``[metrics]``: ``host:port`` or a socket path, ``None`` when off."""

    listen: str | None


@dataclass(frozen=True, slots=True)
class CustomKey:
    """``[charge_point.custom_keys.NAME]``; ``value`` as OCPP transmits it, ``min`` and ``max`` for numbers only."""

    name: str
    value: str
    type: str
    read_only: bool
    reboot: bool
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Electrical:
    """``[charge_point.electrical]``; exactly one of ``connector_max_a`` (per phase) and ``connector_max_w`` is set."""

    nominal_voltage_v: float
    phases: int
    current: str
    connector_max_a: float | None
    connector_max_w: float | None
    connector_default_a: float | None
    station_max_a: float | None
    station_max_w: float | None
    min_current_a: float
    fallback_current_a: float
    turn_s: float


@dataclass(frozen=True, slots=True)
class ConnectorOverride:
    """``[[charge_point.connector]]``: what differs for these connectors; ``None`` means as in ``electrical``."""

    ids: tuple[int, ...]
    nominal_voltage_v: float | None
    phases: int | None
    current: str | None
    connector_max_a: float | None
    connector_max_w: float | None
    connector_default_a: float | None
    min_current_a: float | None
    fallback_current_a: float | None
    free_vend_id_tag: str | None
    rotation: str | None
    meter_modulus_wh: int | None


@dataclass(frozen=True, slots=True)
class Security:
    """``[charge_point.security]``; the files hold the secrets, the settings only their paths."""

    profile: int
    authorization_key_file: Path | None
    ca_file: Path | None
    client_certificate_file: Path | None
    client_key_file: Path | None
    use_system_ca: bool


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """``[charge_point.link]``: deadlines of the WebSocket, and two switches for odd CSMSs."""

    ping_interval_s: int
    pong_timeout_s: float
    connect_timeout_s: float
    send_deadline_s: float
    strict: bool
    boot_on_reconnect: bool


@dataclass(frozen=True, slots=True)
class ChargePointSettings:
    """``[[charge_point]]``: one identity at one CSMS."""

    identity: str
    csms_url: str
    connectors: int
    vendor: str
    model: str
    serial_number: str | None
    charge_box_serial_number: str | None
    firmware_version: str | None
    iccid: str | None
    imsi: str | None
    meter_type: str | None
    meter_serial_number: str | None
    socket: Path | None
    configuration: Mapping[str, str]
    custom_keys: tuple[CustomKey, ...]
    electrical: Electrical
    connector_overrides: tuple[ConnectorOverride, ...]
    security: Security
    link: LinkSettings


@dataclass(frozen=True, slots=True)
class Feeder:
    """``[[feeder]]``: a limit over members, ``(identity, connector ids)`` each, and over the feeders below it."""

    name: str
    limit_a: float | None
    limit_w: float | None
    parent: str | None
    members: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class FirmwareSettings:
    """``[firmware]``; ``hook`` is program and arguments, never a shell line, ``hosts`` are in lower case."""

    hook: tuple[str, ...] | None
    unsigned: bool
    allow_private_addresses: bool
    hosts: tuple[str, ...] | None = None
    sftp: bool = False
    max_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class DiagnosticsSettings:
    """``[diagnostics]``."""

    hook: tuple[str, ...] | None
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole ``hub.toml``. ``warnings`` are sentences for the log: allowed, but probably not meant."""

    hub: HubSettings
    rpc: RpcSettings
    charge_points: tuple[ChargePointSettings, ...]
    feeders: tuple[Feeder, ...]
    metrics: MetricsSettings
    firmware: FirmwareSettings
    diagnostics: DiagnosticsSettings
    source: Path
    warnings: tuple[str, ...] = field(default=())


def load(path: Path | str, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration file.

    ``environ`` may override keys: ``OCPPHUB_SECTION__KEY``, with an index behind the section where a table is repeated
    (``OCPPHUB_CHARGE_POINT__1__CSMS_URL`` is the second one; the index may be left out when there is just one).
    Relative paths are taken from the directory of the file.

    Raises :class:`ConfigError` with every :class:`Problem` of the file. Source: surface.md "hub.toml".
    """
    from ocpphub import config_read  # the reader imports the settings above

    source = Path(path)
    try:
        raw: dict[str, Any] = tomllib.loads(source.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError([Problem(str(source), "", f"cannot be read: {error.strerror or error}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(source), "", "is not UTF-8 text")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(str(source), "", f"is not TOML: {error}")]) from None
    return config_read.read(raw, source, environ or {})
