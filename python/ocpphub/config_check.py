"""What a hub would refuse only when it runs, found while the file is checked: OCPP values, key files, fallbacks, paths.

Owns the rules that need more than the file's own tables, so that ``check-config`` and ``run`` say the same. Must never
change anything on disk, and never let a key into a text. Values may be missing where the reader has refused them.

Implements decisions.md 5 (fallbacks within every limit, limits that schedules are exact with) and reliability.md T38.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from ocpphub.core.configuration import configuration_problems
from ocpphub.core.electrical import AC_VOLTAGE_V, electrical_problems
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, ConnectorOverride, Electrical, Feeder, Settings

_MOST_CONNECTORS: Final = 100_000


class Refusal(NamedTuple):
    """The path of a key, what is wrong with it, and what would be right."""

    key: str
    what: str
    allowed: str


def refusals(settings: Settings) -> Iterator[Refusal]:
    """Everything that a run of these settings would refuse, in the order of the file."""
    for index, point in enumerate(settings.charge_points):
        at = f"charge_point[{index}]"
        for problem in (*configuration_problems(_readable(point)), *electrical_problems(point)):
            yield Refusal(f"{at}.{problem.key}", problem.what, problem.allowed)
        yield from _key_file(point, f"{at}.security.authorization_key_file")
        yield from _certificate_files(point, f"{at}.security")
    yield from _fallbacks(settings)


def warnings(settings: Settings) -> Iterator[str]:
    """What may keep a run from starting on this machine as this user, or was left as ``init`` wrote it."""
    sockets = {"hub.socket": settings.hub.socket}
    for index, point in enumerate(settings.charge_points):
        if (urlsplit(point.csms_url).hostname or "").endswith(".invalid"):
            yield f"charge_point[{index}].csms_url is still the example; put the URL of your CSMS there"
        if point.socket is not None:
            sockets[f"charge_point[{index}].socket"] = point.socket
    for key, path in sockets.items():
        folder = path.parent
        if not folder.is_dir():
            yield f"{key}: the directory {folder} does not exist; make it, mode 0750, or choose another path"
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield f"{key}: this user may not write into {folder}"
    state = settings.hub.state_directory
    found = _existing(state)
    if not found.is_dir():
        yield f"hub.state_directory: {found} is no directory"
    elif not os.access(found, os.W_OK | os.X_OK):
        what = f"write into {state}" if found == state else f"make {state}: {found} is not writable"
        yield f"hub.state_directory: this user may not {what}"


def _existing(path: Path) -> Path:
    """The path, or the nearest thing above it that exists."""
    return next((place for place in (path, *path.parents) if place.exists()), path)


def _readable(point: ChargePointSettings) -> ChargePointSettings:
    """The charge point without what the reader could not read, so that the rest is judged all the same."""
    return replace(
        point,
        connectors=point.connectors or _MOST_CONNECTORS,
        custom_keys=tuple(key for key in point.custom_keys if _is_text(key.value)),
        connector_overrides=(),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _key_file(point: ChargePointSettings, at: str) -> Iterator[Refusal]:
    path = point.security.authorization_key_file
    if path is None:
        return
    from ocpphub.endpoint import read_authorization_key  # it brings websockets, which most checks need not load

    try:
        read_authorization_key(path)
    except LocalError as error:
        yield Refusal(at, error.message, error.hint)


def _certificate_files(point: ChargePointSettings, at: str) -> Iterator[Refusal]:
    from ocpphub.provisioning import check

    try:
        check(point.security)
    except LocalError as error:
        yield Refusal(at, error.message, error.hint)


# Fallbacks


class _Fallback(NamedTuple):
    """The current of one silent connector, per phase, and its power."""

    current_a: Fraction
    power_w: Fraction


def _fallbacks(settings: Settings) -> Iterator[Refusal]:
    points = {point.identity: _connectors(point) for point in settings.charge_points}
    for index, point in enumerate(settings.charge_points):
        at = f"charge_point[{index}].electrical"
        limits = {"station_max_a": point.electrical.station_max_a, "station_max_w": point.electrical.station_max_w}
        yield from _exceeded(at, limits, _Sum(points[point.identity].values()))
    for index, feeder in enumerate(settings.feeders):
        members = [
            points[identity][number]
            for below in _below(feeder, settings.feeders)
            for identity, ids in below.members or ()
            for number in ids
            if number in points.get(identity, {})
        ]
        limits = {"limit_a": feeder.limit_a, "limit_w": feeder.limit_w}
        yield from _exceeded(f"feeder[{index}]", limits, _Sum(members))


def _below(feeder: Feeder, feeders: Iterable[Feeder]) -> list[Feeder]:
    """A feeder and all those under it."""
    found = [feeder]
    for above in found:
        found += [other for other in feeders if other.parent and other.parent == above.name and other not in found]
    return found


class _Sum:
    """What connectors draw together, exactly: tenths of an ampere must not add up to a little more than a limit."""

    def __init__(self, fallbacks: Iterable[_Fallback]) -> None:
        counted = Counter(fallbacks)  # equal ones first: a hub of 100,000 connectors has a handful of kinds
        self.connectors = counted.total()
        self.current_a = sum((each.current_a * count for each, count in counted.items()), Fraction())
        self.power_w = sum((each.power_w * count for each, count in counted.items()), Fraction())


def _exceeded(at: str, limits: dict[str, float | None], total: _Sum) -> Iterator[Refusal]:
    for name, limit in limits.items():
        drawn, unit = (total.current_a, "A") if name.endswith("_a") else (total.power_w, "W")
        if limit is not None and drawn > _exact(limit):
            what = f"the fallback_current_a of its {total.connectors} connectors add up to {float(drawn):.10g} {unit}"
            yield Refusal(f"{at}.{name}", what, f"fallbacks of at most {limit:.10g} {unit} in all, or a higher limit")


def _connectors(point: ChargePointSettings) -> dict[int, _Fallback]:
    usual = _fallback(point.electrical, None)
    found = dict.fromkeys(range(1, (point.connectors or 0) + 1), usual)
    for override in point.connector_overrides:
        own = _fallback(point.electrical, override)
        found.update((number, own) for number in override.ids or () if number in found)
    return found


def _fallback(electrical: Electrical, override: ConnectorOverride | None) -> _Fallback:
    def value(name: str) -> float | str | None:
        own = getattr(override, name, None)
        found: float | str | None = getattr(electrical, name) if own is None else own
        return found

    current_a, volts = _exact(value("fallback_current_a")), _exact(value("nominal_voltage_v"))
    if value("current") != "dc":
        return _Fallback(current_a, current_a * volts * _exact(value("phases")))
    # A DC connector draws its power from the three phases in front of it, as its permits are counted.
    grid = _exact(AC_VOLTAGE_V if electrical.current == "dc" else electrical.nominal_voltage_v)
    return _Fallback(current_a * volts / (3 * grid) if grid else current_a, current_a * volts)


def _exact(value: float | str | None) -> Fraction:
    """The decimal number that stands in the file; nothing for one that was refused."""
    return Fraction(str(value or 0))
