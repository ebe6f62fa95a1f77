"""Values of the configuration keys: restored, read, changed, monitored, persisted (OCPP 1.6 sections 5.3 and 5.8).

Owns every value and the rule who wins: what the CSMS (or a custom key's owner) changed stays until the value in
``hub.toml`` itself changes. Must never carry out what a key means: ``on_change`` tells the part that does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orjson import dumps

from ocpphub.core.effects import Discard, Effect, Publish, Store
from ocpphub.core.instant import Instant
from ocpphub.core.key_table import standard_keys, supported_profiles
from ocpphub.core.keys import MAX_NAME, MAX_VALUE, Key, custom_key
from ocpphub.core.messages import GetConfigurationConfirmation, KeyValue
from ocpphub.core.rows import Rows
from ocpphub.core.vocabulary import ConfigurationStatus
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, CustomKey

log = logging.getLogger("ocpphub.core")

TABLE: Final = "configuration"
CUSTOM_TABLE: Final = "custom_key"
MONITOR_TABLE: Final = "monitor"
MAX_MONITORS: Final = 10_000


@dataclass(slots=True)
class Slot:
    """A key and its present value. The two prepared answers are replaced, never changed, so they may be shared."""

    key: Key
    file_value: str | None
    value: str | None = None
    previous: str | None = None
    """Of a key that needs proof: the other value that may work, until a link has opened with one of them."""
    number: int = 0
    rpc: dict[str, Any] = field(default_factory=dict)
    ocpp: KeyValue = field(default_factory=lambda: KeyValue(key="", readonly=True))

    def set(self, value: str | None) -> None:
        """Take a normalised value and prepare both answers; a secret has no value in either (JE 3.10)."""
        self.value = value
        self.number = int(value) if value and self.key.kind == "integer" else 0
        shown = {} if value is None or self.key.is_secret else {"value": value}
        self.rpc = {"key": self.key.name, "read_only": self.key.read_only, **shown}
        self.ocpp = {"key": self.key.name, "readonly": self.key.read_only}
        if value is not None and not self.key.is_secret:
            self.ocpp["value"] = value


class Configuration:
    """All keys of one charge point, found by their lower-case name (OCPP 1.6 section 2.2)."""

    def __init__(
        self,
        settings: ChargePointSettings,
        emit: Callable[[Effect], None],
        authorization_key: bytes | None = None,
        extras: Collection[str] = (),
    ) -> None:
        """``extras`` of the package are installed: keys of the others are hidden.

        Raises :class:`LocalError` naming every configured key or value that is not legal.
        """
        problems = configuration_problems(settings)
        if problems:
            lines = [str(problem) for problem in problems]
            raise LocalError("invalid_params", "\n".join(lines), problems=lines)
        self._emit = emit
        self._index: dict[str, Slot] = {}
        self._hidden: dict[str, Slot] = {}
        """Keys of what is switched off or not installed: nobody sees them, their values hold all the same."""
        self._asked: dict[str, Slot] = {}
        """Slots by the names that our own code uses, which saves most of a look-up."""
        self.monitors: dict[str, str] = {}
        """Monitored keys, by lower-case name; they are never taken away."""
        self._stale: list[Effect] = []
        self.on_change: dict[str, Callable[[Instant], None]] = {}
        """Key name -> what to do after the CSMS changed it and got its answer."""
        self.may_change: dict[str, Callable[[str, Instant], bool]] = {}
        """Key name -> whether the CSMS may set this legal value now."""
        from_file = {name.lower(): text for name, text in settings.configuration.items()}
        from_file["securityprofile"] = str(settings.security.profile)
        if authorization_key is not None:
            from_file["authorizationkey"] = authorization_key.hex()
        self.feature_profiles = supported_profiles(from_file.get("supportedfeatureprofiles"))
        """Those that are switched on, in the order in which they were named."""
        self._extras = extras
        for key in standard_keys(settings):
            self._add(key, from_file.get(key.name.lower()))
        for declared in settings.custom_keys:
            self._add(custom_key(declared), declared.value)
        self._everything = tuple(self._index.values())

    def _add(self, key: Key, text: str | None) -> None:
        file_value = None if text is None else key.normalised(text)
        slot = Slot(key, file_value)
        slot.set(key.default if file_value is None else file_value)
        is_there = key.is_there(self.feature_profiles, self._extras)
        (self._index if is_there else self._hidden)[key.name.lower()] = slot

    def restore(self, rows: Rows) -> None:
        """Take up rows of an earlier process; values that lost to a changed file go at :meth:`start`."""
        for table in (TABLE, CUSTOM_TABLE):
            for name, row in rows.objects(table, value=str):
                self._restore_row(table, name, row)
        for name in rows.of(MONITOR_TABLE):
            self.monitors[name.lower()] = name

    def _restore_row(self, table: str, name: str, row: Mapping[str, Any]) -> None:
        slot = self._index.get(name.lower())
        if slot is None or (table == CUSTOM_TABLE) != slot.key.is_custom:
            return
        value = slot.key.normalised(row["value"])
        is_fixed = slot.key.read_only and not slot.key.is_custom  # the CSMS could change it once, and cannot now
        if value is None or is_fixed or row.get("file") != slot.file_value:
            self._stale.append(Discard(table, name))
        else:
            slot.set(value)
            previous = row.get("previous")
            slot.previous = slot.key.normalised(previous) if isinstance(previous, str) else None

    def start(self) -> None:
        """Effects: ``Discard`` of each value that lost to a changed file."""
        for effect in self._stale:
            self._emit(effect)
        self._stale.clear()
        self._warn_about_pings()

    # reads

    def integer(self, name: str) -> int:
        """The value of an integer key."""
        return self._slot(name).number

    def reader(self, name: str) -> Callable[[], int]:
        """:meth:`integer` of one key, for who asks with every message."""
        return partial(attrgetter("number"), self._slot(name))

    def text(self, name: str) -> str | None:
        """The value of a key as text, ``None`` when unset."""
        return self._slot(name).value

    def _slot(self, name: str) -> Slot:
        slot = self._asked.get(name)
        if slot is None:
            lowered = name.lower()
            slot = self._asked[name] = self._index.get(lowered) or self._hidden[lowered]
        return slot

    def get(self, keys: Sequence[str]) -> dict[str, Any]:
        """``{"configuration_keys": [...], "unknown_keys": [...]}`` (rpc.md); no keys means all."""
        if len(keys) == 1 and (slot := self._index.get(keys[0].lower())) is not None:
            return {"configuration_keys": [slot.rpc], "unknown_keys": []}
        known, unknown = self._find(keys)
        return {"configuration_keys": [slot.rpc for slot in known], "unknown_keys": unknown}

    def get_ocpp(self, keys: Sequence[str]) -> GetConfigurationConfirmation:
        """GetConfiguration.conf; empty lists are left out (J-208)."""
        known, unknown = self._find(keys)
        answer: GetConfigurationConfirmation = {}
        if known:
            answer["configurationKey"] = [slot.ocpp for slot in known]
        if unknown:
            answer["unknownKey"] = unknown
        return answer

    def _find(self, keys: Sequence[str]) -> tuple[Iterable[Slot], list[str]]:
        if not keys:
            return self._everything, []
        known: dict[str, Slot] = {}
        unknown: dict[str, str] = {}
        for name in keys:
            lowered = name.lower()
            slot = self._index.get(lowered)
            if slot is None:
                unknown.setdefault(lowered, name)
            else:
                known[lowered] = slot
        return known.values(), list(unknown.values())

    # changes

    def change(self, name: str, value: str, now: Instant) -> tuple[ConfigurationStatus, str | None]:
        """ChangeConfiguration: the status, and the canonical name if the value is another now.

        Effects: ``Store`` for a changed value. The caller answers first and calls :meth:`apply` then.
        """
        slot = self._index.get(name.lower())
        if slot is None:
            return ConfigurationStatus.NOT_SUPPORTED, None
        normalised = None if slot.key.read_only else slot.key.normalised(value)
        may_change = self.may_change.get(slot.key.name)
        if normalised is None or (may_change is not None and not may_change(normalised, now)):
            return ConfigurationStatus.REJECTED, None
        changed = self._write(slot, normalised)
        status = ConfigurationStatus.REBOOT_REQUIRED if slot.key.reboot else ConfigurationStatus.ACCEPTED
        return status, slot.key.name if changed else None

    def apply(self, name: str, now: Instant) -> None:
        """After the answer: carry out what the changed key means. Effects: ``Publish`` if monitored, then the key's."""
        self.publish(name)
        effect = self.on_change.get(name)
        if effect is not None:
            effect(now)
        if name in ("WebSocketPingInterval", "TransactionMessageAttempts", "TransactionMessageRetryInterval"):
            self._warn_about_pings()

    def set_by_csms(self, name: str, value: str) -> None:
        """A key that another message of the CSMS sets. Effects: ``Store`` and, if monitored, ``Publish``."""
        if self._write(self._index[name.lower()], value):
            self.publish(name)

    def set_custom(self, name: str, value: str) -> ConfigurationStatus:
        """``set_custom_configuration_key``: only declared custom keys, read-only ones too. Effects: ``Store``.

        Raises :class:`LocalError` for a key or value longer than the standard allows.
        """
        _check_text("key", name, MAX_NAME)
        _check_text("value", value, MAX_VALUE)
        slot = self._index.get(name.lower())
        normalised = slot.key.normalised(value) if slot is not None and slot.key.is_custom else None
        if slot is None or normalised is None:
            return ConfigurationStatus.REJECTED
        self._write(slot, normalised)
        return ConfigurationStatus.REBOOT_REQUIRED if slot.key.reboot else ConfigurationStatus.ACCEPTED

    def _write(self, slot: Slot, value: str) -> bool:
        if slot.value == value:
            return False
        if slot.key.needs_proof and slot.previous is None:
            slot.previous = slot.value
        slot.set(value)
        self._store(slot)
        return True

    def _store(self, slot: Slot) -> None:
        row = {"value": slot.value, "file": slot.file_value}
        if slot.previous is not None:
            row["previous"] = slot.previous  # in the same row, so that there is always one key that works (T29)
        self._emit(Store(CUSTOM_TABLE if slot.key.is_custom else TABLE, slot.key.name, dumps(row)))

    def previous(self, name: str) -> str | None:
        """The other value of a key that needs proof, ``None`` once a link has opened with the present one."""
        return self._index[name.lower()].previous

    def forget_previous(self, name: str) -> None:
        """The present value of a key works. Effects: ``Store`` if there was one before it."""
        slot = self._index[name.lower()]
        if slot.previous is not None:
            slot.previous = None
            self._store(slot)

    def exchange(self, name: str) -> None:
        """Present and previous value of a key change places. Effects: ``Store``, ``Publish`` if monitored."""
        slot = self._index[name.lower()]
        present, other = slot.value, slot.previous
        slot.set(other)
        slot.previous = present
        self._store(slot)
        self.publish(name)

    def _warn_about_pings(self) -> None:
        ping_s = self.integer("WebSocketPingInterval")
        patience_s = self.integer("TransactionMessageAttempts") * self.integer("TransactionMessageRetryInterval")
        if ping_s >= patience_s > 0:  # JE 3.9: a dead link should be noticed before a message is given up
            log.warning("WebSocketPingInterval %d s is not below attempts x retry interval %d s", ping_s, patience_s)

    # monitors

    @property
    def monitored_keys(self) -> list[str]:
        """The monitored names as they were given, unknown ones included."""
        return list(self.monitors.values())

    def monitor(self, keys: Sequence[str]) -> None:
        """Add monitors. Effects: ``Store`` for each new one. Raises :class:`LocalError` with nothing changed."""
        if not isinstance(keys, list | tuple):
            raise LocalError("invalid_params", "keys is not a list", path="/params/keys", hint="array of string")
        for index, name in enumerate(keys):
            _check_text(f"keys/{index}", name, MAX_NAME)
        new = {name.lower(): name for name in keys if name.lower() not in self.monitors}
        if len(self.monitors) + len(new) > MAX_MONITORS:
            raise LocalError("too_large", "too many monitored keys", path="/params/keys", hint=f"{MAX_MONITORS} in all")
        for lowered, name in new.items():
            self.monitors[lowered] = name
            self._emit(Store(MONITOR_TABLE, name, b"true"))

    def publish(self, name: str) -> None:
        """Effects: ``Publish`` on ``configuration_key`` if the key is monitored."""
        if name.lower() in self.monitors:
            self._emit(Publish("configuration_key", dumps(self._index[name.lower()].rpc)))


def _check_text(name: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        raise LocalError("invalid_params", f"{name} is not a string", path=f"/params/{name}", hint="string")
    if len(value) > limit:
        raise LocalError(
            "invalid_params", f"{name} is too long", path=f"/params/{name}", hint=f"at most {limit} characters"
        )


class ConfigurationProblem(NamedTuple):
    """A key or value of ``hub.toml`` that a charge point refuses; ``key`` is its path below ``charge_point``."""

    key: str
    what: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}; allowed: {self.allowed}"


def configuration_problems(settings: ChargePointSettings) -> list[ConfigurationProblem]:
    """Every key or value of ``hub.toml`` that a charge point would refuse, and what it would take."""
    known = {key.name.lower(): key for key in standard_keys(settings)}
    found = [
        _standard_problem(f"configuration.{name}", name, text, known) for name, text in settings.configuration.items()
    ]
    found += [_custom_problem(declared, known) for declared in settings.custom_keys]
    return [problem for problem in found if problem is not None]


def _standard_problem(at: str, name: str, text: str, known: Mapping[str, Key]) -> ConfigurationProblem | None:
    key = known.get(name.lower())
    if key is None:
        near = get_close_matches(name.lower(), known, n=1)
        names = ", ".join(key.name for key in known.values() if not key.is_derived)
        return ConfigurationProblem(
            at, "this charge point has no such key", f"nearest is {known[near[0]].name}" if near else names
        )
    if key.is_derived:
        return ConfigurationProblem(at, "cannot be set", "nothing; it follows from other settings or what is built")
    if key.normalised(text) is None:
        return ConfigurationProblem(at, f"{dumps(text).decode()} is not legal", key.allowed())
    return None


def _custom_problem(declared: CustomKey, known: Mapping[str, Key]) -> ConfigurationProblem | None:
    at = f"custom_keys.{declared.name}"
    if declared.name.lower() in known:
        return ConfigurationProblem(at, "is a standard key", "any other name")
    if len(declared.name) > MAX_NAME:
        return ConfigurationProblem(at, "the name is too long", f"at most {MAX_NAME} characters")
    key = custom_key(declared)
    if key.normalised(declared.value) is None:
        return ConfigurationProblem(f"{at}.value", f"is not legal for type {declared.type}", key.allowed())
    return None
