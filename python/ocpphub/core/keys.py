"""The configuration keys of this charge point as data: type, access, range, default (OCPP 1.6 chapter 9).

Owns which keys exist and which texts they take. Must never hold a value: that is ``configuration.py``. Optional keys
are present only when the function behind them is (OCPP 1.6 section 9: absent means not there). Also implements
errata 3.79 to 3.89, OCPP-J 1.6 section 7 and errata 3.9/3.10, security white paper chapter 7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal

from ocpphub.core.measurands import measurand_item
from ocpphub.core.vocabulary import Measurand, Phase

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, CustomKey

Kind = Literal["string", "integer", "decimal", "boolean", "list", "measurands", "rotation", "hex"]

MAX_INTEGER: Final = 2**31 - 1
MAX_VALUE: Final = 500
"""Characters of a value (OCPP 1.6 section 7.29)."""
MAX_NAME: Final = 50
FEATURE_PROFILES: Final = "Core,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging"
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
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_HEX_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){16,20}", re.ASCII)
_ROTATIONS: Final = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")
_ROTATION: Final = re.compile(rf"(0|[1-9][0-9]{{0,5}})\.({'|'.join(_ROTATIONS)})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key.

    ``read_only`` is what the CSMS is told; ``is_secret`` hides the value from every reader; ``is_derived`` keys follow
    from other settings and cannot be set in ``hub.toml``. ``minimum`` and ``maximum`` bound numbers, ``max_items``
    lists, ``choices`` are the items that a list may hold and ``needed`` those it must; ``connectors`` is the highest id
    that a phase rotation may name. A key of a feature ``profile`` exists only while that profile is supported.
    """

    name: str
    kind: Kind
    default: str | None
    read_only: bool = False
    minimum: Decimal | int | None = None
    maximum: Decimal | int | None = None
    max_items: int = MAX_VALUE
    choices: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    connectors: int = 0
    profile: str = "Core"
    is_secret: bool = False
    is_derived: bool = False
    is_custom: bool = False
    reboot: bool = False

    def normalised(self, text: str) -> str | None:
        """``text`` as the key keeps it (booleans lower case, list items without blanks), ``None`` if not legal."""
        if len(text) > MAX_VALUE:
            return None
        if self.kind == "boolean":
            lowered = text.lower()
            return lowered if lowered in ("true", "false") else None
        if self.kind in ("integer", "decimal"):
            return self._number(text)
        if self.kind == "hex":
            return text if _HEX_KEY.fullmatch(text) else None
        return text if self.kind == "string" else self._list(text)

    def allowed(self) -> str:
        """What the key accepts, for people: ``true or false``, ``an integer, 1 to 2147483647``."""
        if self.kind in ("integer", "decimal"):
            kind = "an integer" if self.kind == "integer" else "a decimal number"
            bounds = [f"at least {self.minimum}"] if self.minimum is not None else []
            bounds += [f"at most {self.maximum}"] if self.maximum is not None else []
            return ", ".join([kind, *bounds])
        if self.choices:
            needed = f", {' and '.join(self.needed)} among them" if self.needed else ""
            return f"one or more of {', '.join(self.choices)}, separated by commas{needed}"
        return {
            "boolean": "true or false",
            "hex": "32 to 40 hex digits, an even number",
            "list": f"different items, none empty, separated by commas, at most {MAX_VALUE} characters",
            "measurands": f"at most {self.max_items} different measurands of OCPP 1.6, none of an interval, "
            f'each alone or with a phase, such as "{_ENERGY},{Measurand.VOLTAGE}.{Phase.L1}"',
            "rotation": f'at most {self.max_items} items such as "1.RST", one per connector, connectors 0 to '
            f"{self.connectors}, rotations {', '.join(_ROTATIONS)}",
        }.get(self.kind, f"a text of at most {MAX_VALUE} characters")

    def _number(self, text: str) -> str | None:
        if not (_INTEGER if self.kind == "integer" else _DECIMAL).fullmatch(text):
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            return None
        if self.minimum is not None and number < self.minimum:
            return None
        if self.maximum is not None and number > self.maximum:
            return None
        return str(int(text)) if self.kind == "integer" else text

    def _list(self, text: str) -> str | None:
        items = [item.strip() for item in text.split(",")] if text.strip() else []
        # Two rotations of one connector are duplicates too (requirement chapter 16).
        names = [item.partition(".")[0] for item in items] if self.kind == "rotation" else items
        if len(items) > self.max_items or len(set(names)) != len(names):
            return None
        if self.choices and (not items or not set(self.needed) <= set(items)):
            return None
        return ",".join(items) if all(self._takes_item(item) for item in items) else None

    def _takes_item(self, item: str) -> bool:
        if self.kind == "measurands":
            return measurand_item(item) is not None  # CORE-MV-19: those of an interval are not supported
        if self.kind == "rotation":
            match = _ROTATION.fullmatch(item)
            return match is not None and int(match[1]) <= self.connectors
        return item in self.choices if self.choices else bool(item)


_ENERGY: Final = str(Measurand.ENERGY_ACTIVE_IMPORT_REGISTER)
_MEASURAND_ITEMS: Final = 8


def _integer(name: str, default: int, minimum: int = 0, maximum: int = MAX_INTEGER) -> Key:
    return Key(name, "integer", str(default), minimum=minimum, maximum=maximum)


def _boolean(name: str, default: bool) -> Key:
    return Key(name, "boolean", str(default).lower())


def _derived(name: str, kind: Kind, value: object) -> Key:
    return Key(name, kind, str(value), read_only=True, is_derived=True)


def _measurands(name: str, default: str) -> tuple[Key, Key]:
    return (
        Key(name, "measurands", default, max_items=_MEASURAND_ITEMS),
        _derived(f"{name}MaxLength", "integer", _MEASURAND_ITEMS),
    )


_SUPPORTED: Final = Key(
    "SupportedFeatureProfiles",
    "list",
    FEATURE_PROFILES,
    read_only=True,
    choices=tuple(FEATURE_PROFILES.split(",")),
    needed=("Core",),
)


def supported_profiles(configured: str | None) -> tuple[str, ...]:
    """The feature profiles that ``hub.toml`` leaves switched on; all that are built when it does not say."""
    text = None if configured is None else _SUPPORTED.normalised(configured)
    return tuple((text or FEATURE_PROFILES).split(","))


def _smart_charging(name: str, kind: Kind, default: object, **rest: Any) -> Key:
    return Key(name, kind, str(default), read_only=True, profile="SmartCharging", **rest)


def _smart_charging_keys(settings: ChargePointSettings) -> tuple[Key, ...]:
    """The keys of requirement chapter 16 for the profile SmartCharging: fixed for the CSMS, set in ``hub.toml``."""
    # SCA-38: amperes on the grid side mean nothing to whoever plans for a DC hub.
    units = "Power" if settings.electrical.current == "dc" else "Current,Power"
    # Three for each connector and ten for the station, which is what the chapter asks for at least.
    installed = min(3 * settings.connectors + 10, MAX_PROFILES)
    return (
        _smart_charging("ChargeProfileMaxStackLevel", "integer", 10, minimum=0, maximum=MAX_STACK_LEVEL),
        _smart_charging("ChargingScheduleAllowedChargingRateUnit", "list", units, choices=("Current", "Power")),
        _smart_charging("ChargingScheduleMaxPeriods", "integer", 100, minimum=1, maximum=MAX_PERIODS),
        _smart_charging("ConnectorSwitch3to1PhaseSupported", "boolean", "false"),
        _smart_charging("MaxChargingProfilesInstalled", "integer", installed, minimum=1, maximum=MAX_PROFILES),
        # A key of ours: how long a window GetCompositeSchedule answers is nothing that the standard tells (SCA-35).
        _smart_charging(
            "MaxCompositeScheduleDuration", "integer", MAX_COMPOSITE_S, minimum=1, maximum=COMPOSITE_LIMIT_S
        ),
    )


def _local_list_key(name: str, kind: Kind, default: str, **rest: Any) -> Key:
    return Key(name, kind, default, profile="LocalAuthListManagement", **rest)


_LOCAL_LIST_KEYS: Final = (
    _local_list_key("LocalAuthListEnabled", "boolean", "true"),
    _local_list_key("LocalAuthListMaxLength", "integer", "100000", read_only=True, minimum=1, maximum=MAX_LOCAL_LIST),
    _local_list_key(
        "SendLocalListMaxLength", "integer", str(SEND_LOCAL_LIST), read_only=True, minimum=1, maximum=MAX_LOCAL_LIST
    ),
)


def standard_keys(settings: ChargePointSettings) -> tuple[Key, ...]:
    """The standard keys of a charge point, in the order in which GetConfiguration lists them."""
    rotations = rotation_capacity(settings.connectors)
    key_count = 100 + len(settings.custom_keys)
    return (
        _boolean("AllowOfflineTxForUnknownId", False),
        _boolean("AuthorizationCacheEnabled", True),
        _boolean("AuthorizeRemoteTxRequests", False),
        _integer("ClockAlignedDataInterval", 0, maximum=86_400),
        _integer("ConnectionTimeOut", 60),
        Key("ConnectorPhaseRotation", "rotation", _rotation_default(settings, rotations), max_items=rotations,
            connectors=settings.connectors),
        _derived("ConnectorPhaseRotationMaxLength", "integer", rotations),
        _derived("GetConfigurationMaxKeys", "integer", key_count),
        _integer("HeartbeatInterval", 86_400, minimum=1),
        _boolean("LocalAuthorizeOffline", True),
        _boolean("LocalPreAuthorize", False),
        _integer("MaxEnergyOnInvalidId", 0),
        _integer("MessageTimeout", 30, minimum=1),
        *_measurands("MeterValuesAlignedData", _ENERGY),
        *_measurands("MeterValuesSampledData", _ENERGY),
        _integer("MeterValueSampleInterval", 300),
        _integer("MinimumStatusDuration", 0),
        _derived("NumberOfConnectors", "integer", settings.connectors),
        _integer("ResetRetries", 1),
        # Optional (errata 3.89): MeterValues in the transactionData of one StopTransaction, Begin and End among them.
        _integer("StopTransactionMaxMeterValues", 250, minimum=2),
        _boolean("StopTransactionOnEVSideDisconnect", True),
        _boolean("StopTransactionOnInvalidId", True),
        *_measurands("StopTxnAlignedData", ""),
        *_measurands("StopTxnSampledData", ""),
        _SUPPORTED,
        _integer("TransactionMessageAttempts", 3, minimum=1),
        # Times the attempts this stays above the ping interval of 30 s (JE 3.9).
        _integer("TransactionMessageRetryInterval", 20),
        _boolean("UnlockConnectorOnEVSideDisconnect", True),
        _integer("WebSocketPingInterval", settings.link.ping_interval_s),
        *_LOCAL_LIST_KEYS,
        Key("ReserveConnectorZeroSupported", "boolean", "true", read_only=True, profile="Reservation"),
        *_smart_charging_keys(settings),
        Key("AuthorizationKey", "hex", None, is_secret=True, is_derived=True),
        Key("CpoName", "string", None),
        # DIFFERENCE: the white paper makes this RW; until a profile can be changed in operation it is read-only, so
        # that GetConfiguration says what ChangeConfiguration will answer.
        _derived("SecurityProfile", "integer", settings.security.profile),
    )  # fmt: skip


def custom_key(declared: CustomKey) -> Key:
    """A key that ``hub.toml`` declares."""
    return Key(
        declared.name,
        _custom_kind(declared.type),
        declared.value,
        read_only=declared.read_only,
        minimum=None if declared.min is None else Decimal(str(declared.min)),
        maximum=None if declared.max is None else Decimal(str(declared.max)),
        is_custom=True,
        reboot=declared.reboot,
    )


def _custom_kind(name: str) -> Kind:
    kinds: dict[str, Kind] = {"integer": "integer", "decimal": "decimal", "boolean": "boolean", "list": "list"}
    return kinds.get(name, "string")


def rotation_capacity(connectors: int) -> int:
    """How many items of ConnectorPhaseRotation surely fit a value (requirement chapter 18)."""
    longest = len(f"{connectors}.NotApplicable,")
    return min(connectors + 1, (MAX_VALUE + 1) // longest)


def _rotation_default(settings: ChargePointSettings, capacity: int) -> str:
    known = [f"{i}.{over.rotation}" for over in settings.connector_overrides if over.rotation for i in over.ids]
    return ",".join(known[:capacity]) or "0.Unknown"
