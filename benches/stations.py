"""Charge points with the common workloads installed (workload.py), and the file that the limit program reads.

Owns how a workload becomes an engine. Must never keep a large one as Python objects: heavy at 10,000 connectors has ten
million periods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from benches import limit
from ocpphub._native import Profiles

DAY_S = 86_400
WINDOWS = {"600 s": 600, "1 day": DAY_S, "7 days": 7 * DAY_S}
# A copy that stays as it is, without annotations: imported by name, so that no type checker follows.
generate: Callable[..., Iterator[dict[str, Any]]] = import_module("benches.workload").generate
# What limit.rs takes for a connector without any profile: every connector has this maximum, the station has none.
MAX_MA = 48_000


@dataclass(slots=True)
class Station:
    """One charge point. ``path`` is the workload as text."""

    profiles: Profiles
    connectors: int
    now_s: int
    path: Path
    payloads: list[tuple[int, bytes]] = field(default_factory=list)
    """Connector and ChargingProfile as JSON text, where they are asked for."""
    rows: list[tuple[int, bytes]] = field(default_factory=list)
    """charging_profile_id and what the store keeps of it, in the order of the store."""

    def default_profiles(self) -> list[tuple[int, bytes]]:
        """The kept TxDefaultProfiles."""
        return [row for row in self.payloads if b'"TxDefaultProfile"' in row[1]]


def engine(connectors: int) -> Profiles:
    """A charge point without profiles, with room for any workload."""
    arguments, limits = ratings(connectors)
    return Profiles(*arguments, **limits)


def ratings(connectors: int) -> tuple[tuple[Any, Any], dict[str, Any]]:
    """The arguments of such a charge point."""
    limits = {"max_stack_level": 10, "max_periods": 2_000, "max_installed": 1_000_000, "units": "AW"}
    return ([(230_000, 3, MAX_MA, None, None)] * connectors, (230_000, None, None)), limits


def load(
    directory: Path,
    variant: str,
    connectors: int,
    *,
    years: int = 0,
    keep_payloads: bool = False,
    **shape: Any,
) -> Station:
    """The workload, written to a file and installed; ``years``: how much older its daily schedules are than 60 days.

    The profiles are taken up from their rows in the order of the store, as at the start of a process: where the bench
    has put its own objects meanwhile would otherwise decide how far apart they lie in memory.
    """
    rows = workload(variant, connectors, years, **shape)
    first = next(rows)
    now_s: int = first["meta"]["now_unix"]
    number = len(list(directory.iterdir()))
    path = directory / f"{variant}-{connectors}-{number}.jsonl"
    station = Station(engine(connectors), connectors, now_s, path)
    reader = engine(connectors)
    with station.path.open("wb") as file:
        file.write(orjson.dumps(first) + b"\n")
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
            if "connector" in row:
                for profiles in (reader, station.profiles):
                    begin(profiles, row)
                continue
            payload = orjson.dumps(row["csChargingProfiles"])
            installed = reader.install(row["connectorId"], payload, now_s)
            assert not isinstance(installed, str), installed
            station.rows.append((installed.charging_profile_id, installed.row))
            if keep_payloads:
                station.payloads.append((row["connectorId"], payload))
    station.rows.sort(key=lambda row: str(row[0]))
    assert station.profiles.restore([row for _, row in station.rows]) == []
    assert len(station.profiles) == len(station.rows)
    return station


def workload(variant: str, connectors: int, years: int = 0, **shape: Any) -> Iterator[dict[str, Any]]:
    """The rows of workload.py, with daily schedules that began so many years earlier."""
    shift = timedelta(days=years * 1461 // 4)
    for row in generate(connectors, variant, **shape):
        profile = row.get("csChargingProfiles")
        if shift and profile and profile["chargingProfileKind"] == "Recurring":
            schedule = profile["chargingSchedule"]
            start = datetime.fromisoformat(schedule["startSchedule"]) - shift
            schedule["startSchedule"] = start.isoformat().replace("+00:00", "Z")
        yield row


def begin(profiles: Profiles, row: dict[str, Any]) -> None:
    """The transaction that a row of a workload names, if any."""
    if row["tx"]:
        profiles.transaction_started(row["connector"], second(row["tx"]["start"]), row["tx"]["id"])


def periods(schedule: dict[str, Any]) -> limit.Periods:
    """Start and limit of each period of a ChargingSchedule."""
    return [(period["startPeriod"], period["limit"]) for period in schedule["chargingSchedulePeriod"]]


def check(station: Station, duration_s: int) -> None:
    """Our composites are those of the limit program, on every connector and 0, or the bench stops here."""
    theirs = limit.answers(station.path, duration_s)
    assert len(theirs) == station.connectors + 1
    station.profiles.compute(station.now_s, duration_s, "A")
    ours = {one: orjson.loads(station.profiles.composite(one, station.now_s, duration_s, "A")) for one in theirs}
    for connector_id, expected in theirs.items():
        assert periods(ours[connector_id]) == expected, f"connector {connector_id} of {station.path.name}"
    # The workload names no numberPhases, and the limit program then says none; a wired phase counts for us.
    phases = {p["numberPhases"] for schedule in ours.values() for p in schedule["chargingSchedulePeriod"]}
    assert phases == {3}, phases


def second(text: str) -> int:
    """The whole second of a ``dateTime``."""
    return int(datetime.fromisoformat(text).timestamp())


def second_text(second_s: int) -> str:
    """A whole second as ``dateTime``."""
    return datetime.fromtimestamp(second_s, UTC).isoformat().replace("+00:00", "Z")
