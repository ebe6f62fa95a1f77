"""DATA: the configuration keys that a charge point has, and what each of them is for.

Owns which keys exist, their defaults and their ranges, and one line about each for people: ``ocpphub keys`` and the
reference page show this table. Must never hold a value. Optional keys are present only when the function behind them is
(OCPP 1.6 section 9: absent means not there), so those of a missing extra of the package are absent.

Implements: OCPP 1.6 chapter 9; errata 3.79 to 3.89; OCPP-J 1.6 section 7, errata 3.3, 3.9 and 3.10; security white
paper chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ocpphub.core.keys import CORE, ENERGY, MAX_INTEGER, MAX_VALUE, SECURITY, Key, Kind

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings

FEATURE_PROFILES: Final = "Core,FirmwareManagement,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"
"""What is built; SupportedFeatureProfiles tells this, or what ``hub.toml`` leaves of it (OCPP 1.6 section 3.3)."""
MAX_COMPOSITE_S: Final = 604_800
"""Longest window of a composite schedule unless configured otherwise: a week (SCA-35)."""
COMPOSITE_LIMIT_S: Final = 31_536_000
MAX_PERIODS: Final = 1_000
MAX_STACK_LEVEL: Final = 100
MAX_LOCAL_LIST: Final = 1_000_000
SEND_LOCAL_LIST: Final = 5_000
"""Entries of one SendLocalList unless configured otherwise: at 209 bytes each they fill the 1 MiB of a frame."""
MAX_PROFILES: Final = 1_000_000
MEASURANDS: Final = 8
"""Items that each of the four lists of measurands takes."""
BACK_OFF_MINIMUM_S: Final = 5
BACK_OFF_RANGE_S: Final = 10
BACK_OFF_DOUBLINGS: Final = 6
"""How the link waits between attempts (J-341), as ``endpoint.BackOff`` does it; told to the CSMS, set by nobody."""
MAX_CHAIN: Final = 10_000
"""Characters of a CertificateSigned.req (white paper 5.1)."""
MAX_ROOTS: Final = 100
MAX_ROOTS_LIMIT: Final = 1_000
_KEYS: Final = 100
"""GetConfigurationMaxKeys without custom keys: more than there are, and longer requests are answered too."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What the table follows from in the settings of a charge point; the defaults describe it without any."""

    connectors: int = 1
    custom_keys: int = 0
    rotations: tuple[str, ...] = ()
    """Known phase rotations such as ``1.RST``."""
    is_dc: bool = False
    ping_interval_s: int = 30
    security_profile: int = 0

    @classmethod
    def of(cls, settings: ChargePointSettings) -> Basis:
        """That of one charge point."""
        overrides = settings.connector_overrides
        return cls(
            settings.connectors,
            len(settings.custom_keys),
            tuple(f"{each}.{over.rotation}" for over in overrides if over.rotation for each in over.ids),
            settings.electrical.current == "dc",
            settings.link.ping_interval_s,
            settings.security.profile,
        )


def standard_keys(settings: ChargePointSettings) -> tuple[Key, ...]:
    """The standard keys of a charge point, in the order in which GetConfiguration lists them."""
    return key_table(Basis.of(settings))


def key_table(basis: Basis) -> tuple[Key, ...]:
    """Every key but the custom ones: those of Core by name, then those of the other profiles."""
    core = sorted((*_CORE_KEYS, *_core_keys(basis)), key=lambda key: key.name.lower())
    return (*core, *_OTHER_KEYS, _TRANSFER_PROTOCOLS, *_smart_charging_keys(basis), *_security_keys(basis))


def supported_profiles(configured: str | None) -> tuple[str, ...]:
    """The feature profiles that ``hub.toml`` leaves switched on; all that are built when it does not say."""
    text = None if configured is None else _SUPPORTED.normalised(configured)
    return tuple((text or FEATURE_PROFILES).split(","))


def rotation_capacity(connectors: int) -> int:
    """How many items of ConnectorPhaseRotation surely fit a value (requirement chapter 18)."""
    longest = len(f"{connectors}.NotApplicable,")
    return min(connectors + 1, (MAX_VALUE + 1) // longest)


def _integer(name: str, default: int, unit: str, meaning: str, minimum: int = 0, maximum: int = MAX_INTEGER) -> Key:
    return Key(name, "integer", str(default), minimum=minimum, maximum=maximum, unit=unit, meaning=meaning)


def _boolean(name: str, default: bool, meaning: str) -> Key:
    return Key(name, "boolean", str(default).lower(), meaning=meaning)


def _derived(name: str, kind: Kind, value: object, meaning: str, **rest: Any) -> Key:
    return Key(name, kind, str(value), read_only=True, is_derived=True, meaning=meaning, **rest)


def _fixed(name: str, value: int, unit: str, meaning: str) -> Key:
    """A number that is told and never set."""
    return _derived(name, "integer", value, meaning, unit=unit, minimum=value, maximum=value)


def _measurands(name: str, default: str, meaning: str) -> tuple[Key, Key]:
    return (
        Key(name, "measurands", default, max_items=MEASURANDS, meaning=meaning),
        _fixed(f"{name}MaxLength", MEASURANDS, "items", f"how many items {name} takes"),
    )


_SUPPORTED: Final = Key(
    "SupportedFeatureProfiles",
    "list",
    FEATURE_PROFILES,
    read_only=True,
    choices=tuple(FEATURE_PROFILES.split(",")),
    needed=(CORE,),
    meaning="feature profiles that are switched on, of those of the default",
    follows="all",
)
_CORE_KEYS: Final = (
    _boolean("AllowOfflineTxForUnknownId", False, "offline, a tag that nobody here knows may charge"),
    _boolean("AuthorizationCacheEnabled", True, "remember what the CSMS said about tags"),
    _boolean("AuthorizeRemoteTxRequests", False, "ask about the tag of a remote start as if it had been presented"),
    _integer("ClockAlignedDataInterval", 0, "s", "time between samples at even times of the day; 0: none", 0, 86_400),
    _integer("ConnectionTimeOut", 60, "s", "how long a tag or a plug waits for the other; 0: for ever"),
    _integer("HeartbeatInterval", 86_400, "s", "silence after which a Heartbeat is sent; set by each boot", 1),
    _boolean("LocalAuthorizeOffline", True, "offline, tags of the local list or the cache may charge"),
    _boolean("LocalPreAuthorize", False, "start by local list or cache before the CSMS has answered"),
    _integer("MaxEnergyOnInvalidId", 0, "Wh", "energy still given to a tag that is refused after the start"),
    _integer("MessageTimeout", 30, "s", "how long an answer of the CSMS may take", 1),
    *_measurands("MeterValuesAlignedData", ENERGY, "what is measured at even times of the day"),
    *_measurands("MeterValuesSampledData", ENERGY, "what is measured regularly during a transaction"),
    _integer("MeterValueSampleInterval", 300, "s", "time between samples of a transaction; 0: none"),
    _integer("MinimumStatusDuration", 0, "s", "how long a status must last before it is told"),
    _integer("ResetRetries", 1, "times", "how often a reset that failed is tried again"),
    # Errata 3.89: MeterValues in the transactionData of one StopTransaction; Begin and End are among them.
    Key(
        "StopTransactionMaxMeterValues",
        "integer",
        "100",
        read_only=True,
        minimum=2,
        maximum=MAX_INTEGER,
        unit="values",
        meaning="most meter values of one StopTransaction; more are thinned out evenly",
    ),
    _boolean("StopTransactionOnEVSideDisconnect", True, "unplugging at the vehicle ends the transaction"),
    _boolean("StopTransactionOnInvalidId", True, "a tag refused after the start ends the transaction"),
    *_measurands("StopTxnAlignedData", "", "what StopTransaction repeats of even times of the day"),
    *_measurands("StopTxnSampledData", "", "what StopTransaction repeats of regular samples"),
    _SUPPORTED,
    _integer("TransactionMessageAttempts", 3, "times", "how often a transaction message is sent at most", 1),
    # Times the attempts this stays above the ping interval of 30 s (errata 3.9).
    _integer("TransactionMessageRetryInterval", 20, "s", "wait before sending again, times the attempts so far"),
    _boolean("UnlockConnectorOnEVSideDisconnect", True, "unplugging at the vehicle releases the cable here too"),
    _fixed("RetryBackOffRandomRange", BACK_OFF_RANGE_S, "s", "random part of each wait between attempts to connect"),
    _fixed("RetryBackOffRepeatTimes", BACK_OFF_DOUBLINGS, "times", "how often that wait doubles"),
    _fixed("RetryBackOffWaitMinimum", BACK_OFF_MINIMUM_S, "s", "first wait between attempts to connect"),
)


def _core_keys(basis: Basis) -> tuple[Key, ...]:
    """Those of Core that are not the same for every charge point."""
    capacity = rotation_capacity(basis.connectors)
    return (
        Key(
            "ConnectorPhaseRotation",
            "rotation",
            ",".join(basis.rotations[:capacity]) or "0.Unknown",
            max_items=capacity,
            connectors=basis.connectors,
            meaning="which phase of the grid is which of a connector, such as 1.RST",
            follows="0.Unknown, or as known",
        ),
        _derived(
            "ConnectorPhaseRotationMaxLength",
            "integer",
            capacity,
            "how many items ConnectorPhaseRotation takes",
            unit="items",
            minimum=1,
            follows="as many as fit",
        ),
        _derived(
            "GetConfigurationMaxKeys",
            "integer",
            _KEYS + basis.custom_keys,
            "keys of one GetConfiguration; more are answered too",
            unit="keys",
            minimum=_KEYS,
            follows=f"{_KEYS} + custom keys",
        ),
        _derived(
            "NumberOfConnectors",
            "integer",
            basis.connectors,
            "the connectors, without 0",
            minimum=1,
            follows="connectors",
        ),
        Key(
            "WebSocketPingInterval",
            "integer",
            str(basis.ping_interval_s),
            minimum=0,
            maximum=MAX_INTEGER,
            unit="s",
            meaning="time between pings of the link; 0: none",
            follows="link.ping_interval_s: 30",
        ),
    )


def _local_list_key(name: str, kind: Kind, default: str, meaning: str, **rest: Any) -> Key:
    return Key(name, kind, default, profile="LocalAuthListManagement", meaning=meaning, **rest)


_LIST_RANGE: Final[dict[str, Any]] = {"read_only": True, "minimum": 1, "maximum": MAX_LOCAL_LIST, "unit": "tags"}
_OTHER_KEYS: Final = (
    _local_list_key("LocalAuthListEnabled", "boolean", "true", "use the local list"),
    _local_list_key("LocalAuthListMaxLength", "integer", "100000", "most tags of the local list", **_LIST_RANGE),
    _local_list_key(
        "SendLocalListMaxLength", "integer", str(SEND_LOCAL_LIST), "most tags of one SendLocalList", **_LIST_RANGE
    ),
    Key(
        "ReserveConnectorZeroSupported",
        "boolean",
        "true",
        read_only=True,
        profile="Reservation",
        meaning="a reservation may be for any connector",
    ),
)

_TRANSFER_PROTOCOLS: Final = Key(
    "SupportedFileTransferProtocols",
    "list",
    "HTTPS",
    read_only=True,
    choices=("FTP", "FTPS", "HTTP", "HTTPS"),
    profile="FirmwareManagement",
    extra="transfer",
    meaning="how firmware and logs may be transferred; SFTP has no name here",
)


def _smart_charging(name: str, kind: Kind, default: object, meaning: str, **rest: Any) -> Key:
    return Key(name, kind, str(default), read_only=True, profile="SmartCharging", meaning=meaning, **rest)


def _smart_charging_keys(basis: Basis) -> tuple[Key, ...]:
    """The keys of requirement chapter 16 for the profile SmartCharging: fixed for the CSMS, set in ``hub.toml``."""
    # Three for each connector and ten for the station, which is what the chapter asks for at least.
    installed = min(3 * basis.connectors + 10, MAX_PROFILES)
    return (
        _smart_charging(
            "ChargeProfileMaxStackLevel", "integer", 10, "highest stack level", minimum=0, maximum=MAX_STACK_LEVEL
        ),
        _smart_charging(
            "ChargingScheduleAllowedChargingRateUnit",
            "list",
            # SCA-38: amperes on the grid side mean nothing to whoever plans for a DC hub.
            "Power" if basis.is_dc else "Current,Power",
            "units of limits: Current is A, Power is W",
            choices=("Current", "Power"),
            follows="Current,Power; DC: Power",
        ),
        _smart_charging(
            "ChargingScheduleMaxPeriods", "integer", 100, "most periods of a schedule", minimum=1, maximum=MAX_PERIODS
        ),
        _smart_charging(
            "ConnectorSwitch3to1PhaseSupported", "boolean", "false", "phases may be switched during a transaction"
        ),
        _smart_charging(
            "MaxChargingProfilesInstalled",
            "integer",
            installed,
            "most charging profiles at a time",
            minimum=1,
            maximum=MAX_PROFILES,
            follows="10 + 3 for each connector",
        ),
        # A key of ours: how long a window GetCompositeSchedule answers is nothing that the standard tells (SCA-35).
        _smart_charging(
            "MaxCompositeScheduleDuration",
            "integer",
            MAX_COMPOSITE_S,
            "longest composite schedule",
            minimum=1,
            maximum=COMPOSITE_LIMIT_S,
            unit="s",
        ),
    )


def _certificate_key(name: str, kind: Kind, default: object, meaning: str, **rest: Any) -> Key:
    text = None if default is None else str(default)
    return Key(name, kind, text, profile=SECURITY, extra="security", meaning=meaning, **rest)


def _security_keys(basis: Basis) -> tuple[Key, ...]:
    """Chapter 7 of the security white paper."""
    return (
        _certificate_key(
            "AdditionalRootCertificateCheck",
            "boolean",
            "false",
            "the old root of the CSMS must have signed the new one, and stays until that has worked",
            read_only=True,
        ),
        Key(
            "AuthorizationKey",
            "hex",
            None,
            is_secret=True,
            is_derived=True,
            needs_proof=True,
            profile=SECURITY,
            meaning="password of HTTP Basic; with profile 1 or 2 the link is opened anew with it",
            follows="in authorization_key_file",
        ),
        _certificate_key(
            "CertificateSignedMaxChainSize",
            "integer",
            MAX_CHAIN,
            "longest chain of CertificateSigned",
            read_only=True,
            minimum=1,
            maximum=MAX_CHAIN,
            unit="characters",
        ),
        _certificate_key(
            "CertificateStoreMaxLength",
            "integer",
            MAX_ROOTS,
            "root certificates that InstallCertificate can fill the store with",
            read_only=True,
            minimum=1,
            maximum=MAX_ROOTS_LIMIT,
            unit="certificates",
        ),
        _certificate_key("CpoName", "string", None, "the operator's name, for certificates"),
        Key(
            "SecurityProfile",
            "integer",
            str(basis.security_profile),
            is_derived=True,
            needs_proof=True,
            # A00.FR.005: the CSMS only ever raises it, so what the file says is the least.
            minimum=basis.security_profile,
            maximum=3,
            profile=SECURITY,
            meaning="how the link is secured; a higher one is tried at once and given up if no link opens",
            follows="security.profile: 0",
        ),
    )
