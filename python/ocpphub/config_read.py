"""The walk over ``hub.toml``: tables, unknown names, environment overrides, and the rules that join keys.

Owns what makes a whole file consistent; collects every problem before it raises. Must never open a socket or a secret:
of a secret's file it looks at the mode only (``config_check.py`` reads it, and forgets it).

Implements surface.md "hub.toml"; OCPP-J 1.6 3.1.1; security white paper 2.4-2.6 as far as they bind the local
configuration.
"""

from __future__ import annotations

import difflib
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ocpphub import config, config_check
from ocpphub.config_table import CHILDREN, DERIVED_KEYS, STANDARD_KEYS, TABLES, Key
from ocpphub.config_values import allowed, convert, custom_value, ocpp_text

ENVIRONMENT_PREFIX: Final = "OCPPHUB_"
_TEXT_KINDS: Final = ("text", "path", "secret", "choice", "identity", "endpoint", "listen", "ranges", "scalar")
_MAX_CUSTOM_KEYS: Final = 1000


def read(raw: dict[str, Any], source: Path, environ: Mapping[str, str]) -> config.Settings:
    """Settings from a parsed file and the environment. Raises :class:`~ocpphub.config.ConfigError`."""
    reader = _Reader(source)
    reader.override(raw, environ)
    settings = reader.settings(raw)
    if reader.problems:
        raise config.ConfigError(reader.problems)
    return settings


class _Reader:
    """Collects problems and warnings while it walks one file."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.base = source.absolute().parent
        self.problems: list[config.Problem] = []
        self.warnings: list[str] = []
        self.origins: dict[str, str] = {}

    def problem(self, key: str, what: str, allowed_text: str = "") -> None:
        self.problems.append(config.Problem(self.origins.get(key, str(self.source)), key, what, allowed_text))

    def settings(self, raw: dict[str, Any]) -> config.Settings:
        self.unknown(raw, "", "")
        hub = config.HubSettings(**self.table(raw.get("hub", {}), "hub", "hub"))
        rpc_raw = raw.get("rpc", {})
        roles = self.tables(rpc_raw, "role", "rpc.role", "rpc")
        rpc = config.RpcSettings(
            **self.table(rpc_raw, "rpc", "rpc"), roles=tuple(config.Role(**self.role(*role)) for role in roles)
        )
        points = self.tables(raw, "charge_point", "charge_point", "")
        if not points and "charge_point" not in raw:
            self.problem("charge_point", "no charge point is configured", "at least one [[charge_point]]")
        charge_points = tuple(self.charge_point(values, table, at) for values, table, at in points)
        self.distinct(charge_points, hub)
        feeders = self.feeders(self.tables(raw, "feeder", "feeder", ""), charge_points)
        settings = config.Settings(
            hub=hub,
            rpc=rpc,
            charge_points=charge_points,
            feeders=feeders,
            metrics=config.MetricsSettings(**self.table(raw.get("metrics", {}), "metrics", "metrics")),
            firmware=config.FirmwareSettings(**self.table(raw.get("firmware", {}), "firmware", "firmware")),
            diagnostics=config.DiagnosticsSettings(
                **self.table(raw.get("diagnostics", {}), "diagnostics", "diagnostics")
            ),
            source=self.source,
            warnings=tuple(self.warnings),
        )
        self.refusals(settings)
        return settings

    def refusals(self, settings: config.Settings) -> None:
        """What a run would refuse later, except where something is wrong with the same key already."""
        named = [problem.key for problem in self.problems]
        for key, what, allowed_text in config_check.refusals(settings):
            if not any(_within(name, key) or _within(key, name) for name in named):
                self.problem(key, what, allowed_text)

    # Tables and names

    def unknown(self, raw: Mapping[str, Any], path: str, at: str) -> None:
        """A name that the table does not have is refused with the nearest one that it has."""
        known = [key.name for key in TABLES.get(path, ())] + list(CHILDREN.get(path, {}))
        for name in raw:
            if name not in known:
                self.problem(_join(at, name), "is not known", _nearest(name, known))

    def table(self, raw: Any, path: str, at: str) -> dict[str, Any]:
        """The converted keys of one table, defaults filled in; ``None`` for what is wrong."""
        if not isinstance(raw, dict):
            self.problem(at, "is no table", f"[{path}]")
            raw = {}
        self.unknown(raw, path, at)
        values: dict[str, Any] = {}
        for key in TABLES[path]:
            if key.name in raw or not key.required:
                values[key.name] = self.value(key, raw.get(key.name, key.default), _join(at, key.name), key.name in raw)
            else:
                values[key.name] = None
                self.problem(_join(at, key.name), "is missing", allowed(key))
        return values

    def value(self, key: Key, value: Any, at: str, given: bool) -> Any:
        if value is None or (not given and key.kind == "members"):
            return value
        try:
            return convert(key, value, self.base)
        except ValueError as error:
            self.problem(at, str(error), allowed(key))
            return None

    def tables(self, raw: Any, name: str, path: str, at: str) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
        """Each of the repeated tables as (converted keys, raw table, place)."""
        found = raw.get(name, []) if isinstance(raw, dict) else []
        where = _join(at, name)
        if not isinstance(found, list):
            self.problem(where, "is not a repeated table", f"[[{path}]]")
            return []
        places = [f"{where}[{index}]" for index in range(len(found))]
        return [
            (self.table(table, path, place), table if isinstance(table, dict) else {}, place)
            for table, place in zip(found, places, strict=True)
        ]

    def one_of(self, raw: Mapping[str, Any], first: str, second: str, at: str, *, needed: bool = True) -> None:
        if first in raw and second in raw:
            self.problem(_join(at, second), f"stands beside {first}", f"one of {first} and {second}")
        elif needed and first not in raw and second not in raw:
            self.problem(_join(at, first), "is missing", f"one of {first} and {second}")

    # The environment

    def override(self, raw: dict[str, Any], environ: Mapping[str, str]) -> None:
        for name, text in sorted(environ.items()):
            if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
                self.override_one(raw, name, text)

    def override_one(self, raw: dict[str, Any], name: str, text: str) -> None:
        *sections, last = name[len(ENVIRONMENT_PREFIX) :].split("__")
        table: Any = raw
        path = at = ""
        while sections:
            section = sections.pop(0)
            kind = CHILDREN.get(path, {}).get(section.lower())
            if kind is None:
                self.problems.append(_unknown_variable(name, section.lower(), list(CHILDREN.get(path, {}))))
                return
            path, at = _join(path, section.lower()), _join(at, section.lower())
            table = table.setdefault(section.lower(), [] if kind == "tables" else {})
            if kind == "tables":
                index = int(sections.pop(0)) if sections and sections[0].isdecimal() else 0
                if not isinstance(table, list) or index >= len(table) or (index == 0 and not _has_index(name, table)):
                    count = len(table) if isinstance(table, list) else 0
                    allowed = f"0 to {count - 1}" if count else "none, the file has no such table"
                    self.problems.append(config.Problem(name, at, "does not say which table", allowed))
                    return
                table, at = table[index], f"{at}[{index}]"
            elif kind == "named" and sections:
                key_name = _spelt(sections.pop(0), table)
                table, at = table.setdefault(key_name, {}), _join(at, key_name)
            if not isinstance(table, dict):
                return  # reported where the table itself is read
        self.set_override(table, path, at, name, last, text)

    def set_override(self, table: dict[str, Any], path: str, at: str, name: str, last: str, text: str) -> None:
        if path == "charge_point.configuration":
            key_name = _spelt(last, (*table, *STANDARD_KEYS))
            table[key_name] = text
        else:
            key_name = last.lower()
            key = next((key for key in TABLES.get(path, ()) if key.name == key_name), None)
            if key is None:
                self.problems.append(_unknown_variable(name, key_name, [key.name for key in TABLES.get(path, ())]))
                return
            table[key_name] = text if key.kind in _TEXT_KINDS else _toml_value(text)
        self.origins[_join(at, key_name)] = name

    # Rules that join keys

    def role(self, values: dict[str, Any], raw: dict[str, Any], at: str) -> dict[str, Any]:
        self.one_of(raw, "uid", "gid", at)
        return values

    def charge_point(self, values: dict[str, Any], raw: dict[str, Any], at: str) -> config.ChargePointSettings:
        identity: str | None = values["identity"]
        if identity is not None and len(identity) > 48:
            self.warnings.append(f"{at}.identity has more than 48 characters; a CSMS of OCPP 2.0.1 would refuse it")
        electrical = self.electrical(raw.get("electrical", {}), f"{at}.electrical")
        security = self.security(raw.get("security", {}), values, f"{at}.security")
        return config.ChargePointSettings(
            **values,
            configuration=self.configuration(raw.get("configuration", {}), f"{at}.configuration"),
            custom_keys=self.custom_keys(raw.get("custom_keys", {}), f"{at}.custom_keys"),
            electrical=electrical,
            connector_overrides=self.overrides(raw, values["connectors"], electrical, at),
            security=security,
            link=config.LinkSettings(**self.table(raw.get("link", {}), "charge_point.link", f"{at}.link")),
        )

    def electrical(self, raw: Any, at: str) -> config.Electrical:
        electrical = config.Electrical(**self.table(raw, "charge_point.electrical", at))
        if isinstance(raw, dict):
            self.one_of(raw, "connector_max_a", "connector_max_w", at)
            self.below_maximum(raw, electrical.connector_max_a, at)
        return electrical

    def below_maximum(self, raw: Mapping[str, Any], maximum: float | None, at: str) -> None:
        for name in ("connector_default_a", "min_current_a", "fallback_current_a"):
            value = raw.get(name)
            if maximum is not None and isinstance(value, (int, float)) and value > maximum:
                self.problem(_join(at, name), f"{value} is above connector_max_a", f"at most {maximum:g}")

    def overrides(
        self, raw: dict[str, Any], connectors: int | None, electrical: config.Electrical, at: str
    ) -> tuple[config.ConnectorOverride, ...]:
        found: list[config.ConnectorOverride] = []
        taken: set[int] = set()
        for values, table, place in self.tables(raw, "connector", "charge_point.connector", at):
            ids: tuple[int, ...] = values["ids"] or ()
            self.one_of(table, "connector_max_a", "connector_max_w", place, needed=False)
            self.below_maximum(table, values["connector_max_a"] or electrical.connector_max_a, place)
            self.ids_exist(ids, connectors, f"{place}.ids")
            if twice := taken.intersection(ids):
                self.problem(f"{place}.ids", f"connector {min(twice)} is in an earlier table too", "each id once")
            taken.update(ids)
            found.append(config.ConnectorOverride(**values))
        return tuple(found)

    def ids_exist(self, ids: Iterable[int], connectors: int | None, at: str) -> None:
        highest = max(ids, default=0)
        if connectors is not None and highest > connectors:
            self.problem(at, f"connector {highest} does not exist", f"1 to {connectors}")

    def security(self, raw: Any, point: dict[str, Any], at: str) -> config.Security:
        security = config.Security(**self.table(raw, "charge_point.security", at))
        url, identity, profile = point["csms_url"] or "", point["identity"] or "", security.profile or 0
        secure = url.lower().startswith("wss:")
        if profile >= 2 and url and not secure:
            self.problem(f"{at}.profile", f"profile {profile} needs TLS", "csms_url with wss://, or profile 0 or 1")
        if profile == 1 and url and not secure:
            self.warnings.append(f"{at}.profile 1 over ws:// sends the key in clear; use it in trusted networks only")
        if profile in (1, 2) and ":" in identity:
            # RFC 2617 section 2: the user id of HTTP Basic ends at the first colon.
            self.problem(f"{at}.profile", f'identity has a ":", which HTTP Basic of profile {profile} cannot carry')
        if profile in (1, 2) and security.authorization_key_file is None:
            self.problem(f"{at}.authorization_key_file", f"is missing for profile {profile}", "a file of mode 0600")
        self.certificates(security, secure, at)
        self.files(security, at)
        return security

    def certificates(self, security: config.Security, secure: bool, at: str) -> None:
        pair = {
            "client_certificate_file": security.client_certificate_file,
            "client_key_file": security.client_key_file,
        }
        for name, path in pair.items():
            if path is None and (security.profile == 3 or any(pair.values())):
                self.problem(_join(at, name), "is missing", "certificate and key together, for profile 3")
        if secure and security.ca_file is None and not security.use_system_ca:
            self.problem(f"{at}.ca_file", "is missing for wss://", "a PEM file, or use_system_ca = true")

    def files(self, security: config.Security, at: str) -> None:
        for key in TABLES["charge_point.security"]:
            path: Path | None = getattr(security, key.name)
            if key.kind not in ("path", "secret") or path is None:
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                self.problem(_join(at, key.name), f"{path} cannot be read: {error.strerror}")
                continue
            if not stat.S_ISREG(mode):
                self.problem(_join(at, key.name), f"{path} is no regular file")
            elif key.kind == "secret" and stat.S_IMODE(mode) & 0o177:
                self.problem(_join(at, key.name), f"{path} has mode {stat.S_IMODE(mode):04o}", "0600")

    def configuration(self, raw: Any, at: str) -> dict[str, str]:
        values: dict[str, str] = {}
        if not isinstance(raw, dict):
            self.problem(at, "is no table", "[charge_point.configuration]")
            return values
        for given, value in raw.items():
            name = _spelt(given, STANDARD_KEYS)
            if name not in STANDARD_KEYS:
                self.problem(_join(at, given), "is no OCPP configuration key", _nearest(given, STANDARD_KEYS))
            elif name in DERIVED_KEYS:
                self.problem(_join(at, given), "cannot be set here", DERIVED_KEYS[name])
            elif name in values:
                self.problem(_join(at, given), "is there twice; keys compare case-insensitively")
            else:
                try:
                    values[name] = ocpp_text(value)
                except ValueError as error:
                    self.problem(
                        _join(at, given), str(error), "a text, number, boolean or list, at most 500 characters"
                    )
        return values

    def custom_keys(self, raw: Any, at: str) -> tuple[config.CustomKey, ...]:
        if not isinstance(raw, dict):
            self.problem(at, "is no table", "[charge_point.custom_keys.NAME]")
            return ()
        if len(raw) > _MAX_CUSTOM_KEYS:
            self.problem(at, f"has {len(raw)} keys", f"at most {_MAX_CUSTOM_KEYS}")
        standard = {name.lower() for name in STANDARD_KEYS}
        seen: set[str] = set()
        for name in raw:
            if not 1 <= len(name) <= 50 or not name.isprintable():
                self.problem(_join(at, name), "is no name of a configuration key", "1 to 50 printable characters")
            if name.lower() in standard:
                self.problem(_join(at, name), "is a standard key", "[charge_point.configuration] for standard keys")
            if name.lower() in seen:
                self.problem(_join(at, name), "is there twice; keys compare case-insensitively")
            seen.add(name.lower())
        return tuple(self.custom_key(name, table, _join(at, name)) for name, table in raw.items())

    def custom_key(self, name: str, raw: Any, at: str) -> config.CustomKey:
        values = self.table(raw, "charge_point.custom_keys", at)
        kind, low, high = values["type"], values["min"], values["max"]
        if kind not in ("integer", "decimal") and (low is not None or high is not None):
            self.problem(at, f"min and max do not fit type {kind}", "min and max with integer or decimal")
        elif low is not None and high is not None and low > high:
            self.problem(f"{at}.min", "is above max")
        elif values["value"] is not None and kind is not None:
            try:
                values["value"] = custom_value(kind, values["value"], low, high)
            except ValueError as error:
                self.problem(f"{at}.value", str(error), f"a value of type {kind}")
        return config.CustomKey(name=name, **values)

    def distinct(self, points: tuple[config.ChargePointSettings, ...], hub: config.HubSettings) -> None:
        identities: set[str] = set()
        sockets: set[Path] = {hub.socket}
        for index, point in enumerate(points):
            if point.identity in identities:
                self.problem(
                    f"charge_point[{index}].identity", f"{point.identity} is there twice", "each identity once"
                )
            if point.socket is not None and point.socket in sockets:
                self.problem(f"charge_point[{index}].socket", f"{point.socket} is taken", "a path of its own")
            identities.add(point.identity)
            sockets.update([point.socket] if point.socket else [])

    def feeders(
        self,
        tables: list[tuple[dict[str, Any], dict[str, Any], str]],
        points: tuple[config.ChargePointSettings, ...],
    ) -> tuple[config.Feeder, ...]:
        parents = {values["name"]: values["parent"] for values, _, _ in tables}
        connectors = {point.identity: point.connectors for point in points}
        taken: dict[tuple[str, int], str] = {}
        for index, (values, raw, at) in enumerate(tables):
            self.one_of(raw, "limit_a", "limit_w", at)
            if any(values["name"] == other["name"] for other, _, _ in tables[:index]):
                self.problem(f"{at}.name", f"{values['name']} is there twice", "each name once")
            self.parent(values, parents, at)
            for identity, ids in values["members"] or ():
                self.member(identity, ids, connectors, taken, values["name"], f"{at}.members")
        return tuple(config.Feeder(**values) for values, _, _ in tables)

    def parent(self, values: dict[str, Any], parents: dict[str, str | None], at: str) -> None:
        parent = values["parent"]
        if parent is not None and parent not in parents:
            self.problem(f"{at}.parent", f"{parent} is no feeder", _nearest(parent, list(parents)))
        seen = {values["name"]}
        while parent is not None and parent not in seen:
            seen.add(parent)
            parent = parents.get(parent)
        if parent is not None and parent == values["name"]:
            self.problem(f"{at}.parent", "leads back to this feeder", "a tree without cycles")

    def member(
        self,
        identity: str,
        ids: tuple[int, ...],
        connectors: dict[str, int],
        taken: dict[tuple[str, int], str],
        name: str,
        at: str,
    ) -> None:
        if identity not in connectors:
            self.problem(at, f"{identity} is no charge point", _nearest(identity, list(connectors)))
            return
        self.ids_exist(ids, connectors[identity], at)
        other = next((taken[identity, number] for number in ids if (identity, number) in taken), None)
        if other is not None:
            self.problem(
                at, f"{identity} has connectors on {other} too", "each connector on one feeder; nest by parent"
            )
        taken.update({(identity, number): name for number in ids})


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}.")


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean X?`` or the known names, for the end of a problem."""
    names = [text for text in known if text]
    by_fold = {text.lower(): text for text in names}
    close = difflib.get_close_matches(name.lower(), by_fold, n=1, cutoff=0.6)
    return f"did you mean {by_fold[close[0]]}?" if close else ", ".join(sorted(names)[:12])


def _spelt(name: str, known: Iterable[str]) -> str:
    """The known name that equals ``name`` but for case, else ``name``."""
    return next((text for text in known if text.lower() == name.lower()), name)


def _has_index(name: str, tables: list[Any]) -> bool:
    return len(tables) == 1 or any(part.isdecimal() for part in name.split("__"))


def _unknown_variable(name: str, part: str, known: list[str]) -> config.Problem:
    return config.Problem("environment", name, f"{part} is not known", _nearest(part, known))


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
