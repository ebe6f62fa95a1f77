"""What a configuration key is: type, access, range, and which texts it takes (OCPP 1.6 chapter 9).

Owns the one judgement of a value, for the CSMS, ``hub.toml`` and local clients alike, and how a key is described to
people. Must never hold a value (``configuration.py``), nor say which keys there are (``key_table.py``).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, Literal

from ocpphub.core.measurands import measurand_item
from ocpphub.core.vocabulary import Measurand, Phase

if TYPE_CHECKING:
    from ocpphub.config import CustomKey

Kind = Literal["string", "integer", "decimal", "boolean", "list", "measurands", "rotation", "hex"]

MAX_INTEGER: Final = 2**31 - 1
MAX_VALUE: Final = 500
"""Characters of a value (OCPP 1.6 section 7.29)."""
MAX_NAME: Final = 50
CORE: Final = "Core"
"""The feature profile that is always there."""
SECURITY: Final = "Security"
"""Keys of the security extension, which is no feature profile: they are always there too."""
CUSTOM: Final = "Custom"
EXTRAS: Final = ("security", "transfer")
"""The extras of the package that keys depend on."""
_INTEGER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_HEX_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){16,20}", re.ASCII)
ENERGY: Final = str(Measurand.ENERGY_ACTIVE_IMPORT_REGISTER)
"""The one measurand that the standard gives as a default."""
_ROTATIONS: Final = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")
_ROTATION: Final = re.compile(rf"(0|[1-9][0-9]{{0,5}})\.({'|'.join(_ROTATIONS)})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key.

    ``read_only`` is what the CSMS is told; ``is_secret`` hides the value from every reader; ``is_derived`` keys follow
    from other settings and cannot be set in ``hub.toml``. ``minimum`` and ``maximum`` bound numbers, ``max_items``
    lists, ``choices`` are the items that a list may hold and ``needed`` those it must; ``connectors`` is the highest id
    that a phase rotation may name. A key of a feature ``profile`` exists only while that profile is supported, one that
    needs an ``extra`` of the package only where that is installed. Of one that ``needs_proof`` the value before stays
    beside the present one until a link has opened with that.
    ``unit``, ``meaning`` and ``follows`` are for people: ``follows`` says what the default follows from where it is not
    the same for every charge point.
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
    profile: str = CORE
    extra: str = ""
    is_secret: bool = False
    is_derived: bool = False
    is_custom: bool = False
    reboot: bool = False
    needs_proof: bool = False
    unit: str = ""
    meaning: str = ""
    follows: str = ""

    def is_there(self, profiles: Collection[str], extras: Collection[str] = EXTRAS) -> bool:
        """Whether the key exists while these feature profiles are switched on and these extras are installed."""
        if self.extra and self.extra not in extras:
            return False
        return self.is_custom or self.profile == SECURITY or self.profile in profiles

    @property
    def type(self) -> str:
        """The type as OCPP and ``hub.toml`` name it."""
        if self.kind in ("measurands", "rotation"):
            return "list"
        return "string" if self.kind == "hex" else self.kind

    @property
    def access(self) -> str:
        """What the CSMS may do: ``R`` read, ``RW`` read and write, ``W`` write only."""
        if self.is_secret:
            return "W"
        return "R" if self.read_only else "RW"

    @property
    def effect(self) -> str:
        """When a change counts; empty for a key that nobody changes while the hub runs."""
        if self.reboot:
            return "after a reboot"
        return "at once" if not self.read_only or self.is_custom else ""

    def range(self) -> str:
        """The legal values in a few words, with their unit: ``1 to 86400 s``, ``at most 8 measurands``."""
        if self.kind in ("integer", "decimal"):
            return f"{self._bounds()} {self.unit}".strip()
        if self.choices:
            return f"{', '.join(self.needed)} and others" if self.needed else f"of {', '.join(self.choices)}"
        return {
            "boolean": "true, false",
            "hex": "32 to 40 hex digits",
            "measurands": f"at most {self.max_items} measurands",
            "rotation": "items such as 1.RST",
        }.get(self.kind, f"at most {MAX_VALUE} characters")

    def _bounds(self) -> str:
        low, high = self.minimum, None if self.maximum == MAX_INTEGER else self.maximum
        if low is None or high is None:
            return f"{low} or more" if low is not None else f"{high} or less" if high is not None else "any"
        return str(low) if low == high else f"{low} to {high}"

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
            f'each alone or with a phase, such as "{ENERGY},{Measurand.VOLTAGE}.{Phase.L1}"',
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


def custom_key(declared: CustomKey) -> Key:
    """A key that ``hub.toml`` declares."""
    return Key(
        declared.name,
        _custom_kind(declared.type),
        declared.value,
        read_only=declared.read_only,
        minimum=_bound(declared.min),
        maximum=_bound(declared.max),
        is_custom=True,
        reboot=declared.reboot,
        profile=CUSTOM,
        meaning="declared in hub.toml",
    )


def _bound(value: float | None) -> Decimal | int | None:
    """A bound as ``hub.toml`` has written it, a whole number without its fraction."""
    if value is None:
        return None
    return int(value) if value == int(value) else Decimal(str(value))


def _custom_kind(name: str) -> Kind:
    kinds: dict[str, Kind] = {"integer": "integer", "decimal": "decimal", "boolean": "boolean", "list": "list"}
    return kinds.get(name, "string")
