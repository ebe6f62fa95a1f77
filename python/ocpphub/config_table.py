"""The keys of ``hub.toml`` as data: name, kind, default, range and meaning of each (surface.md).

``config.py`` reads the file by these rows, ``docs/reference/configuration.md`` and the template of ``ocpphub init`` are
printed from them, so that a key cannot exist in one place only. Holds no logic and imports nothing of ocpphub.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    ``kind`` is ``text`` (``low`` and ``high`` are lengths in characters), ``integer``, ``number``, ``seconds``,
    ``flag``, ``choice``, ``path``, ``secret`` (a path whose file only its owner may read), ``argv`` (program and
    arguments), ``hosts`` (host names), ``ranges`` (connector ids), ``members`` (feeder members), ``identity``,
    ``endpoint``, ``listen`` or ``scalar``.
    """

    name: str
    kind: str
    meaning: str
    default: Any = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


_ELECTRICAL: Final = (
    Key("nominal_voltage_v", "number", "phase to neutral voltage, for converting between A and W", 230.0, 50, 1500),
    Key("phases", "integer", "phases a connector is wired to", 3, 1, 3),
    Key("current", "choice", "kind of current at the connectors", "ac", choices=("ac", "dc")),
    Key("connector_max_a", "number", "hardware limit per phase; this or connector_max_w", None, 0.1, 100_000),
    Key("connector_max_w", "number", "hardware limit in watts; this or connector_max_a", None, 1, 100_000_000),
    Key("connector_default_a", "number", "limit without a charging profile; unset = the hardware", None, 0, 100_000),
    Key("min_current_a", "number", "smallest current per phase that a vehicle charges with", 6.0, 0, 1000),
    Key("fallback_current_a", "number", "current a controller applies on its own when ocpphub is silent", 0.0, 0, 1000),
)
_STATION: Final = (
    Key("station_max_a", "number", "limit per phase of all connectors together", None, 0.1, 10_000_000),
    Key("station_max_w", "number", "limit in watts of all connectors together", None, 1, 10_000_000_000),
    Key("turn_s", "seconds", "turn length when not everyone can charge at once", 900.0, 10, 86_400),
)
_ROTATIONS: Final = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")

TABLES: Final[dict[str, tuple[Key, ...]]] = {
    "hub": (
        Key("socket", "path", "Unix socket of the JSON-RPC endpoint", "/run/ocpphub/ocpphub.sock", high=107),
        Key("state_directory", "path", "where the durable state lives, mode 0700", "/var/lib/ocpphub"),
        Key(
            "log_level", "choice", "least important level logged", "info", choices=("error", "warning", "info", "debug")
        ),
        Key(
            "log_format", "choice", "one line of text, or one JSON object, per record", "text", choices=("text", "json")
        ),
        Key("publish_interval_s", "seconds", "period of charging_schedules; 0 = only on change", 30.0, 0, 86_400),
        Key("publish_min_interval_s", "seconds", "least time between two charging_schedules", 1.0, 0, 3600),
        Key("publish_duration_s", "integer", "window of charging_schedules", 600, 1, 604_800),
        Key("schedule_unit", "choice", "unit of charging_schedules; unset = first allowed unit", choices=("A", "W")),
        Key(
            "charge_before_accepted",
            "choice",
            "may transactions start before the CSMS has accepted this charge point",
            "if_accepted_once",
            choices=("if_accepted_once", "never", "always"),
        ),
        Key("unattended_grace_s", "seconds", "from losing its controller to Unavailable", 60.0, 0, 86_400),
        Key(
            "unattended_close_s", "seconds", "until a transaction without controller is ended", 86_400.0, 0, 31_536_000
        ),
        Key("resume_wait_s", "seconds", "wait for controllers after a start of the process", 120.0, 0, 86_400),
        Key("reset_wait_s", "seconds", "wait for the answers to StopTransaction before a soft reset", 60.0, 0, 3600),
    ),
    "rpc": (
        Key("max_line_bytes", "integer", "longest line a client may send", 1_048_576, 1024, 1_048_576),
        Key("max_connections", "integer", "clients at a time", 16_384, 1, 16_384),
        Key("max_output_bytes", "integer", "unread output at which a client is cut", 8_388_608, 65_536, 8_388_608),
        Key("max_in_flight", "integer", "unanswered requests per connection", 256, 1, 256),
    ),
    "rpc.role": (
        Key(
            "role",
            "choice",
            "what the peer may do",
            choices=("operator", "controller", "energy", "monitor"),
            required=True,
        ),
        Key("uid", "integer", "user id of the peer; this or gid", None, 0, 4_294_967_294),
        Key("gid", "integer", "group id of the peer, primary or supplementary; this or uid", None, 0, 4_294_967_294),
        Key("connectors", "ranges", 'connectors it may touch, such as "1-40,52"; unset = all'),
    ),
    "metrics": (Key("listen", "listen", "127.0.0.1:PORT, a socket path, or off", "off"),),
    "charge_point": (
        Key("identity", "identity", "charge point identity, appended to csms_url", required=True),
        Key("csms_url", "endpoint", "endpoint of the CSMS, ws:// or wss://", required=True),
        Key("connectors", "integer", "number of connectors", None, 1, 100_000, required=True),
        Key("vendor", "text", "chargePointVendor of BootNotification", None, 1, 20, required=True),
        Key("model", "text", "chargePointModel of BootNotification", None, 1, 20, required=True),
        Key("serial_number", "text", "chargePointSerialNumber", None, 1, 25),
        Key("charge_box_serial_number", "text", "chargeBoxSerialNumber", None, 1, 25),
        Key("firmware_version", "text", "firmwareVersion", None, 1, 50),
        Key("iccid", "text", "ICCID of the modem's SIM", None, 1, 20),
        Key("imsi", "text", "IMSI of the modem's SIM", None, 1, 20),
        Key("meter_type", "text", "meterType", None, 1, 25),
        Key("meter_serial_number", "text", "meterSerialNumber", None, 1, 25),
        Key("socket", "path", "a socket of its own for this charge point", None, high=107),
    ),
    "charge_point.custom_keys": (
        Key("value", "scalar", "initial value", required=True),
        Key(
            "type",
            "choice",
            "type of the value",
            "string",
            choices=("string", "integer", "decimal", "boolean", "list"),
        ),
        Key("read_only", "flag", "the CSMS cannot change it", False),
        Key("reboot", "flag", "a change answers RebootRequired", False),
        Key("min", "number", "least value, for integer and decimal"),
        Key("max", "number", "largest value, for integer and decimal"),
    ),
    "charge_point.electrical": _ELECTRICAL + _STATION,
    "charge_point.connector": (
        Key("ids", "ranges", 'connectors this table is for, such as "1-40,52"', required=True),
        *(Key(key.name, key.kind, key.meaning, None, key.low, key.high, key.choices) for key in _ELECTRICAL),
        Key("free_vend_id_tag", "text", "id tag used when a vehicle is plugged in, without authorisation", None, 1, 20),
        Key("rotation", "choice", "phase rotation towards the grid connection", choices=_ROTATIONS),
        Key("meter_modulus_wh", "integer", "energy register wraps to 0 here", None, 1, 2**53),
    ),
    "charge_point.security": (
        Key("profile", "integer", "security profile before the CSMS raises it", 0, 0, 3),
        Key("authorization_key_file", "secret", "AuthorizationKey in hex, for profiles 1 and 2"),
        Key("ca_file", "path", "PEM certificates that the CSMS is verified against"),
        Key("client_certificate_file", "path", "PEM chain of this charge point, for profile 3"),
        Key("client_key_file", "secret", "PEM private key of this charge point, for profile 3"),
        Key("use_system_ca", "flag", "trust the certificate authorities of the system too", False),
    ),
    "charge_point.link": (
        Key("ping_interval_s", "integer", "WebSocket ping interval; 0 = no pings", 30, 0, 86_400),
        Key("pong_timeout_s", "seconds", "a ping unanswered for this long ends the link", 10.0, 0.1, 3600),
        Key("connect_timeout_s", "seconds", "limit of one connection attempt", 30.0, 0.1, 600),
        Key("send_deadline_s", "seconds", "a write stuck for this long ends the link", 15.0, 0.1, 600),
        Key("strict", "flag", "refuse inbound messages that are merely odd", False),
        Key("boot_on_reconnect", "flag", "send BootNotification after every reconnect", False),
    ),
    "feeder": (
        Key("name", "text", "name of the feeder", None, 1, 64, required=True),
        Key("limit_a", "number", "limit per phase; this or limit_w", None, 0.1, 10_000_000),
        Key("limit_w", "number", "limit in watts; this or limit_a", None, 1, 10_000_000_000),
        Key("parent", "text", "name of the feeder above", None, 1, 64),
        Key("members", "members", 'connectors on it, such as ["HUB-1:1-40", "HUB-2:1-20"]', ()),
    ),
    "firmware": (
        Key("hook", "argv", "program and arguments that install a firmware"),
        Key("unsigned", "flag", "accept UpdateFirmware without a signature", False),
        Key("allow_private_addresses", "flag", "transfers may go to private addresses, uploads too", False),
        Key("hosts", "hosts", "the only hosts that transfers may go to, uploads too; unset = any", None),
        Key("sftp", "flag", "transfers may use SFTP, which SupportedFileTransferProtocols has no name for", False),
        Key("max_bytes_per_s", "integer", "fastest transfer, uploads too; unset = no limit", None, 1024, 2**40),
    ),
    "diagnostics": (
        Key("hook", "argv", "program and arguments that collect diagnostics"),
        Key("max_bytes", "integer", "largest upload", 67_108_864, 1024, 67_108_864),
    ),
}
"""Table path -> its keys. ``charge_point.configuration`` is free-form and holds :data:`STANDARD_KEYS` only."""

CHILDREN: Final[dict[str, dict[str, str]]] = {
    "": {
        "hub": "table",
        "rpc": "table",
        "metrics": "table",
        "charge_point": "tables",
        "feeder": "tables",
        "firmware": "table",
        "diagnostics": "table",
    },
    "rpc": {"role": "tables"},
    "charge_point": {
        "configuration": "free",
        "custom_keys": "named",
        "electrical": "table",
        "connector": "tables",
        "security": "table",
        "link": "table",
    },
}
"""Table path -> its sub-tables: one ``table``, repeated ``tables``, ``named`` tables, or ``free`` key = value pairs."""

DERIVED_KEYS: Final[dict[str, str]] = {
    "NumberOfConnectors": "it is derived from charge_point.connectors",
    "AuthorizationKey": "it belongs in the file named by charge_point.security.authorization_key_file",
    "SecurityProfile": "it is charge_point.security.profile",
}
"""Standard keys that have their own place in the file, with the reason they are refused elsewhere."""

STANDARD_KEYS: Final[tuple[str, ...]] = tuple(
    """
    AllowOfflineTxForUnknownId AuthorizationCacheEnabled AuthorizeRemoteTxRequests BlinkRepeat ClockAlignedDataInterval
    ConnectionTimeOut ConnectorPhaseRotation ConnectorPhaseRotationMaxLength GetConfigurationMaxKeys HeartbeatInterval
    LightIntensity LocalAuthorizeOffline LocalPreAuthorize MaxEnergyOnInvalidId MessageTimeout MeterValuesAlignedData
    MeterValuesAlignedDataMaxLength MeterValuesSampledData MeterValuesSampledDataMaxLength MeterValueSampleInterval
    MinimumStatusDuration NumberOfConnectors ResetRetries StopTransactionMaxMeterValues
    StopTransactionOnEVSideDisconnect StopTransactionOnInvalidId StopTxnAlignedData StopTxnAlignedDataMaxLength
    StopTxnSampledData StopTxnSampledDataMaxLength SupportedFeatureProfiles SupportedFeatureProfilesMaxLength
    TransactionMessageAttempts TransactionMessageRetryInterval UnlockConnectorOnEVSideDisconnect WebSocketPingInterval
    AuthorizationKey LocalAuthListEnabled LocalAuthListMaxLength SendLocalListMaxLength ReserveConnectorZeroSupported
    ChargeProfileMaxStackLevel ChargingScheduleAllowedChargingRateUnit ChargingScheduleMaxPeriods
    ConnectorSwitch3to1PhaseSupported MaxChargingProfilesInstalled SupportedFileTransferProtocols
    AdditionalRootCertificateCheck CertificateSignedMaxChainSize CertificateStoreMaxLength CpoName SecurityProfile
    MaxCompositeScheduleDuration RetryBackOffRandomRange RetryBackOffRepeatTimes RetryBackOffWaitMinimum
    """.split()
)
"""Every configuration key that OCPP 1.6 and its security extension name (requirements-core.md 16), and our own ones."""
