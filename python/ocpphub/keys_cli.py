"""``ocpphub keys``: every configuration key with its type, access, range, default and meaning.

Owns the columns, and the search by name. Must never ask a hub: the table is that of the code, and with a ``hub.toml``
that of its charge points. Never prints a secret.

Implements: surface.md "Command line"; OCPP 1.6 chapter 9.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, Settings
    from ocpphub.core.keys import Key

COLUMNS: Final = ("key", "profile", "type", "access", "range", "default", "effect", "hub.toml", "meaning")
"""Of the text; ``hub.toml`` is there only where a file is named."""
_PROVISIONED: Final = "(in its file)"


def add_parser(commands: Any, shared: list[ArgumentParser]) -> ArgumentParser:
    """Add ``keys``. The parser returned still lacks its command."""
    keys = commands.add_parser(
        "keys",
        parents=shared,
        help="show the OCPP configuration keys",
        epilog="access: R the CSMS reads it, RW it writes it too, W it only writes it",
    )
    keys.add_argument("keys", nargs="*", metavar="KEY", help="only these, in any case")
    keys.add_argument("-c", "--config", type=Path, metavar="FILE", help="a hub.toml: its values and its custom keys")
    keys.add_argument("--charge-point", metavar="IDENTITY", help="only this one of the file")
    return cast(ArgumentParser, keys)


@dataclass(frozen=True, slots=True)
class Row:
    """One key of one charge point, or of any for ``identity`` ``None``; ``value`` is what ``hub.toml`` gives."""

    identity: str | None
    key: Key
    value: str | None = None

    @property
    def default(self) -> str | None:
        """What holds unless ``hub.toml`` or the CSMS says otherwise; in words where it depends on the hub."""
        key = self.key
        return key.follows if self.identity is None and key.follows else key.default

    def json(self) -> dict[str, Any]:
        """As one JSON object; ``charge_point`` and ``value`` only with a ``hub.toml``."""
        key = self.key
        row: dict[str, Any] = {} if self.identity is None else {"charge_point": self.identity}
        row |= {"key": key.name, "profile": key.profile, "type": key.type, "access": key.access, "range": key.range()}
        row |= {"unit": key.unit or None, "default": self.default, "effect": key.effect or None}
        if self.identity is not None:
            row["value"] = self.value
        return row | {"meaning": key.meaning}

    def cells(self) -> dict[str, str]:
        """As texts for :data:`COLUMNS`."""
        row = {name: str(value or "") for name, value in self.json().items()}
        given = self.value
        return row | {
            "default": {None: "unset", "": "empty"}.get(self.default, self.default or ""),
            "effect": self.key.effect or "-",
            "hub.toml": "-" if given is None else given or "empty",
        }


def show(options: Namespace, settings: Settings | None) -> None:
    """Print the keys that the options name, of each charge point of ``settings``; one JSON text per line if asked.

    Raises :class:`LocalError`, with nothing printed, for a key or a charge point that is not there.
    """
    tables = _tables(options, settings)
    tables = [_chosen(table, options.keys) for table in tables]
    if options.json:
        rows = [row for table in tables for row in table]
        sys.stdout.writelines(json.dumps(row.json(), ensure_ascii=False) + "\n" for row in rows)
        return
    names = [name for name in COLUMNS if settings is not None or name != "hub.toml"]
    for number, table in enumerate(tables):
        if len(tables) > 1:
            sys.stdout.write(f"{'' if number == 0 else chr(10)}{table[0].identity}\n")
        sys.stdout.writelines(_lines(table, names))


def _tables(options: Namespace, settings: Settings | None) -> list[list[Row]]:
    from ocpphub.core.key_table import Basis, key_table  # the help need not wait for it

    if settings is None:
        if options.charge_point is not None:
            raise LocalError("invalid_params", "--charge-point needs -c FILE")
        return [[Row(None, key) for key in key_table(Basis())]]
    wanted = options.charge_point
    points = [point for point in settings.charge_points if wanted in (None, point.identity)]
    if not points:
        names = ", ".join(point.identity for point in settings.charge_points[:20])
        raise LocalError("unknown_charge_point", f"there is no charge point {wanted}", hint=f"one of {names}")
    return [_of(point) for point in points]


def _of(point: ChargePointSettings) -> list[Row]:
    """The keys of a charge point, without those of feature profiles that its file switches off."""
    from ocpphub.core.key_table import standard_keys, supported_profiles
    from ocpphub.core.keys import custom_key

    given = {name.lower(): text for name, text in point.configuration.items()}
    profiles = supported_profiles(given.get("supportedfeatureprofiles"))
    rows = []
    for key in standard_keys(point):
        text = given.get(key.name.lower())
        value = None if text is None else key.normalised(text)
        if key.is_secret and point.security.authorization_key_file is not None:
            value = _PROVISIONED
        if key.is_there(profiles):
            rows.append(Row(point.identity, key, value))
    return rows + [Row(point.identity, custom_key(each), each.value) for each in point.custom_keys]


def _chosen(table: list[Row], names: Sequence[str]) -> list[Row]:
    known = {row.key.name.lower(): row for row in table}
    for name in names:
        if name.lower() not in known:
            near = get_close_matches(name.lower(), known, n=1)
            hint = f"did you mean {known[near[0]].key.name}" if near else "ocpphub keys lists them"
            raise LocalError("invalid_params", f"there is no key {name}", hint=hint)
    return [known[name] for name in dict.fromkeys(name.lower() for name in names)] if names else table


def _lines(table: list[Row], names: Sequence[str]) -> Iterator[str]:
    rows = [dict(zip(names, names, strict=True)), *(row.cells() for row in table)]
    widths = [max(len(row[name]) for row in rows) for name in names]
    for row in rows:
        yield "  ".join(row[name].ljust(width) for name, width in zip(names, widths, strict=True)).rstrip() + "\n"
