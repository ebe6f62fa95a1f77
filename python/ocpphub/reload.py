"""SIGHUP: ``hub.toml`` read again, what can change taken over at once, everything else named.

Owns which keys a running hub takes, and how a reload is reported. Must never take half of a file: one that is refused
changes nothing, and of one that is sound a key that needs a restart keeps its old value everywhere until then.

Implements: issue part "Operating it"; surface.md "hub.toml".
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ocpphub import config
from ocpphub import log as logs
from ocpphub.config import ChargePointSettings, ConnectorOverride, Settings

if TYPE_CHECKING:
    from ocpphub.api import Hub
    from ocpphub.rpc.server import Server
    from ocpphub.service import ServiceManager

log = logging.getLogger("ocpphub.daemon")

LIVE_HUB: Final = (
    *("log_level", "log_format", "charge_before_accepted"),
    *("unattended_grace_s", "unattended_close_s", "resume_wait_s"),
)
"""Keys of ``[hub]`` that a running hub takes: those that are read each time they are needed."""
LIVE_CONNECTOR: Final = ("free_vend_id_tag", "meter_modulus_wh")
"""Keys of ``[[charge_point.connector]]`` that a running hub takes."""
_ROLES: Final = "rpc.role"
_TABLE_NAMES: Final = {"charge_points": "charge_point", "feeders": "feeder", "roles": "role"}
_NOT_OF_THE_FILE: Final = ("source", "warnings", "connector_overrides")


class Plan(NamedTuple):
    """What a reload comes to: the settings to go on with, the keys that change with them, and those that cannot."""

    settings: Settings
    taken: tuple[str, ...]
    pending: tuple[str, ...]


def plan(running: Settings, file: Settings) -> Plan:
    """Compare the settings that run with those of the file. Keys are named as in the file, values never shown."""
    found = list(dict.fromkeys(_differences(running, file)))
    live = {_ROLES, *(f"hub.{name}" for name in LIVE_HUB)}
    pending = tuple(key for key in found if key not in live and key.rpartition(".")[2] not in LIVE_CONNECTOR)
    known = {point.identity: point for point in file.charge_points}
    settings = replace(
        running,
        hub=replace(running.hub, **{name: getattr(file.hub, name) for name in LIVE_HUB}),
        rpc=replace(running.rpc, roles=file.rpc.roles),
        charge_points=tuple(_merged(point, known.get(point.identity, point)) for point in running.charge_points),
    )
    return Plan(settings, tuple(key for key in found if key not in pending), pending)


class Reloader:
    """Carries reloads out, one at a time; ``settings`` of the hub are those that run."""

    def __init__(self, hub: Hub, servers: Sequence[Server], manager: ServiceManager) -> None:
        self._hub = hub
        self._servers = servers
        self._manager = manager
        self._task: asyncio.Task[None] | None = None
        self._is_wanted = False

    def request(self) -> None:
        """The signal has come; during a reload it means one more behind it."""
        self._is_wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="reload")

    async def stop(self) -> None:
        """Begin no other reload, and leave the one under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._is_wanted:
            self._is_wanted = False
            self._manager.reloading()
            status = "the reload failed, see the log"
            try:
                status = await self._reload()
            except Exception:
                log.exception("the reload failed")
            finally:
                self._manager.ready(status)

    async def _reload(self) -> str:
        """Read, check, take; one line that says what became of it."""
        source = self._hub.settings.source
        try:
            # Thousands of connectors take a while to check: clients and links go on meanwhile.
            file = await asyncio.to_thread(config.load, source, dict(os.environ))
        except config.ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem)
            log.error("%s is refused, everything stays as it was", source)
            return f"reload refused: {_counted(len(error.problems), 'problem')} in {source}"
        for warning in file.warnings:
            log.warning("%s", warning)
        return self._take(plan(self._hub.settings, file))

    def _take(self, plan: Plan) -> str:
        hub, settings = self._hub, plan.settings
        logs.setup(settings.hub.log_level, settings.hub.log_format)
        hub.settings = settings
        for row in settings.charge_points:
            self._reconfigure(row)
        if _ROLES in plan.taken:
            for server in self._servers:
                server.set_roles(settings.rpc.roles)
        log.info(
            "reloaded %s: %s", settings.source, ", ".join(plan.taken) or "no key that a running hub takes has changed"
        )
        for key in plan.pending:
            log.warning("%s needs a restart", key)
        waiting = f", a restart is needed for {len(plan.pending)}" if plan.pending else ""
        return f"reloaded: {_counted(len(plan.taken), 'key')} taken{waiting}"

    def _reconfigure(self, row: ChargePointSettings) -> None:
        hub = self._hub.settings.hub
        self._hub.charge_points[row.identity].settings = row
        if self._hub.driver is not None:
            self._hub.driver.apply(row.identity, lambda core, now: core.reconfigure(row, hub, now))


def _differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """The keys in which two settings differ: ``hub.socket``, ``charge_point[HUB-1].electrical.phases``."""
    for name in (each.name for each in fields(old)):
        if name in _NOT_OF_THE_FILE or getattr(old, name) == getattr(new, name):
            continue
        before, after = getattr(old, name), getattr(new, name)
        place = f"{at}.{_TABLE_NAMES.get(name, name)}" if at else _TABLE_NAMES.get(name, name)
        if is_dataclass(before):
            yield from _differences(before, after, place)
        elif isinstance(before, Mapping):
            yield from (f"{place}.{key}" for key in {**before, **after} if before.get(key) != after.get(key))
        elif name in ("charge_points", "feeders", "custom_keys"):
            yield from _rows(before, after, place)
        else:
            yield place
    if isinstance(old, ChargePointSettings):
        yield from _connectors(old.connector_overrides, new.connector_overrides, f"{at}.connector")


def _rows(old: Iterable[Any], new: Iterable[Any], place: str) -> Iterator[str]:
    """Repeated tables, compared by their name and whatever their order."""
    before, after = ({getattr(row, "identity", None) or row.name: row for row in rows} for rows in (old, new))
    for name in {**before, **after}:
        if name in before and name in after:
            yield from _differences(before[name], after[name], f"{place}[{name}]")
        else:
            yield f"{place}[{name}]"


def _connectors(old: Iterable[ConnectorOverride], new: Iterable[ConnectorOverride], place: str) -> Iterator[str]:
    """Overrides, compared by what they come to for each connector and not by how they are grouped."""
    for name in _ATTRIBUTES:
        if _of(old, name) != _of(new, name):
            yield f"{place}.{name}"


_ATTRIBUTES: Final = tuple(each.name for each in fields(ConnectorOverride) if each.name != "ids")


def _of(overrides: Iterable[ConnectorOverride], name: str) -> dict[int, Any]:
    found = ((each, getattr(override, name)) for override in overrides for each in override.ids)
    return {each: value for each, value in found if value is not None}


def _merged(running: ChargePointSettings, file: ChargePointSettings) -> ChargePointSettings:
    """The running settings with the live attributes of the file; each connector stays in one table."""
    chosen = [_of((file if name in LIVE_CONNECTOR else running).connector_overrides, name) for name in _ATTRIBUTES]
    tables: dict[tuple[Any, ...], list[int]] = {}
    for each in sorted(set().union(*chosen)):
        if each <= running.connectors:
            tables.setdefault(tuple(values.get(each) for values in chosen), []).append(each)
    overrides = tuple(
        ConnectorOverride(tuple(ids), **dict(zip(_ATTRIBUTES, values, strict=True))) for values, ids in tables.items()
    )
    return replace(running, connector_overrides=overrides)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s'[: count != 1]}"
