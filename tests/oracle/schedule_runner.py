"""Plays a case on the native engine and on the reference, and says where they differ.

Owns the translation between the data of a case, ``ocpphub._native.Profiles`` and the reference. Must never repair a
difference: what cannot be compared is not asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from ocpphub._native import Installed, Profiles
from tests.oracle.reference_schedule import OutputPeriod, Station
from tests.oracle.schedule_vectors import plain

Json = dict[str, Any]

SECONDS_S = 40
"""Windows up to here are evaluated second by second, longer ones where something could change."""
LONGEST_TOGETHER_S = 604_800
"""Up to here the engine answers for all connectors at once."""


def engine(station: Json) -> Profiles:
    """The native engine of a case's station."""
    return Profiles(
        [
            (row["voltage_mv"], row["phases"], row.get("max_ma"), row.get("max_mw"), row.get("default_ma"))
            for row in station["connectors"]
        ],
        (station["voltage_mv"], station.get("max_ma"), station.get("max_mw")),
        max_stack_level=station["max_stack_level"],
        max_periods=station["max_periods"],
        max_installed=station["max_installed"],
        units=station["units"],
    )


def read_periods(schedule: Json) -> list[OutputPeriod]:
    """The periods of a ChargingSchedule that was read with decimal numbers; a limit has at most one decimal."""
    periods = []
    for row in schedule["chargingSchedulePeriod"]:
        assert set(row) == {"startPeriod", "limit", "numberPhases"}, row
        tenths = Decimal(row["limit"]) * 10
        assert tenths == int(tenths), row
        periods.append(OutputPeriod(row["startPeriod"], int(tenths), row["numberPhases"]))
    return periods


def read(text: bytes) -> Any:
    """JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


class Native:
    """The native engine behind the steps of a case; its rows survive a restart."""

    def __init__(self, station: Json) -> None:
        self.station = station
        self.profiles = engine(station)
        self.rows: dict[int, bytes] = {}
        self.transactions: dict[int, tuple[int, int | None]] = {}

    def install(self, connector_id: int, profile: Json, now_s: int) -> list[int] | None:
        """The replaced ids, or ``None`` when it was Rejected."""
        answer = self.profiles.install(connector_id, json.dumps(profile).encode(), now_s)
        if not isinstance(answer, Installed):
            return None
        assert answer.charging_profile_id == profile["chargingProfileId"]
        self._forget(answer.replaced)
        self.rows[answer.charging_profile_id] = answer.row
        return sorted(answer.replaced)

    def clear(self, **fields: Any) -> list[int]:
        """The ids of what was cleared."""
        return self._forget(self.profiles.clear(**fields))

    def purge(self, now_s: int) -> list[int]:
        """The ids of what was purged."""
        return self._forget(self.profiles.purge(now_s))

    def transaction_started(self, connector_id: int, start_s: int, transaction_id: int | None = None) -> None:
        """As the engine's."""
        self.transactions[connector_id] = (start_s, transaction_id)
        self.profiles.transaction_started(connector_id, start_s, transaction_id)

    def transaction_confirmed(self, connector_id: int, transaction_id: int) -> None:
        """As the engine's."""
        self.transactions[connector_id] = (self.transactions[connector_id][0], transaction_id)
        self.profiles.transaction_confirmed(connector_id, transaction_id)

    def transaction_stopped(self, connector_id: int) -> list[int]:
        """The ids of its TxProfiles."""
        del self.transactions[connector_id]
        return self._forget(self.profiles.transaction_stopped(connector_id))

    def restart(self, resumed: list[int], now_s: int) -> list[int]:
        """A new process: the rows come back in the order of their ids, some transactions go on, the rest is purged."""
        self.profiles = engine(self.station)
        assert self.profiles.restore([self.rows[row] for row in sorted(self.rows)]) == []
        self.transactions = {connector_id: self.transactions[connector_id] for connector_id in resumed}
        for connector_id, (start_s, transaction_id) in self.transactions.items():
            self.profiles.transaction_started(connector_id, start_s, transaction_id)
        return self.purge(now_s)

    def composite(
        self, connector_id: int, start_s: int, duration_s: int, unit: str, query_s: int | None = None
    ) -> list[OutputPeriod]:
        """The periods of one composite schedule."""
        schedule = read(self.profiles.composite(connector_id, start_s, duration_s, unit, query_s))
        assert set(schedule) == {"chargingRateUnit", "duration", "chargingSchedulePeriod"}, schedule
        assert (schedule["chargingRateUnit"], schedule["duration"]) == (unit, duration_s)
        return read_periods(schedule)

    def _forget(self, ids: list[int]) -> list[int]:
        for charging_profile_id in ids:
            del self.rows[charging_profile_id]
        return sorted(ids)


def play(case: Json) -> Iterator[str]:
    """Every difference between engine and reference in one case, as a sentence."""
    native, reference = Native(case["station"]), Station.of(case["station"])
    for number, step in enumerate(case["steps"]):
        do, arguments = step["do"], {name: value for name, value in step.items() if name != "do"}
        if do == "query":
            yield from (f"step {number}: {text}" for text in _queries(native, reference, **arguments))
            continue
        found = getattr(native, do)(**arguments)
        expected = getattr(reference, do)(**arguments)
        if found != expected:
            yield f"step {number} {do}: engine {found}, reference {expected}"
            return  # what follows would only be its consequence
        if (len(native.profiles), native.profiles.next_purge()) != (len(reference.profiles), reference.next_purge()):
            yield (
                f"step {number} {do}: engine has {len(native.profiles)} until {native.profiles.next_purge()},"
                f" reference {len(reference.profiles)} until {reference.next_purge()}"
            )


def _queries(
    native: Native,
    reference: Station,
    start_s: int,
    duration_s: int,
    query_s: int | None = None,
    connector_id: int | None = None,
    compute: bool = False,
) -> Iterator[str]:
    everyone = range(len(reference.connectors) + 1)
    for unit in ("A", "W"):
        together = {}
        if duration_s <= LONGEST_TOGETHER_S:
            computed = native.profiles.compute(start_s, duration_s, unit) if compute else None
            together = read(native.profiles.composite_all(start_s, duration_s, unit))
            if computed not in (None, len(together["0"]["chargingSchedulePeriod"])):
                yield f"compute{(start_s, duration_s, unit)}: {computed} periods, then {together['0']}"
        for one in everyone if connector_id is None else [connector_id]:
            window = (one, start_s, duration_s, unit)
            every_second = duration_s <= SECONDS_S
            expected = reference.composite(*window, query_s, every_second=every_second)
            found = native.composite(*window, query_s)
            if found != expected:
                yield f"composite{(*window, query_s)}: engine {plain(found)}, reference {plain(expected)}"
            if together and query_s in (None, start_s) and read_periods(together[str(one)]) != expected:
                yield f"composite_all{window}: engine {together[str(one)]}, reference {plain(expected)}"


def shrink(case: Json) -> Json:
    """The case without every step that it does not need in order to differ."""
    number = len(case["steps"])
    while number:
        number -= 1
        shorter = {**case, "steps": case["steps"][:number] + case["steps"][number + 1 :]}
        if differs(shorter):
            case = shorter
            number = len(case["steps"])
    return case


def differs(case: Json) -> bool:
    """Whether the case can be played and shows a difference."""
    try:
        return next(play(case), None) is not None
    except (KeyError, ValueError, AssertionError):
        return False
