"""Composite schedules second by second, with exact fractions: slow, plain and written from the requirements alone.

Owns what the right answer is: acceptance, replacement, clearing, purging and every composite schedule. Must never
import ocpphub, and nobody may write it with an eye on the Rust. Sources: requirements-core.md chapter 15 and
docs/design/0008-smart-charging-readings.md (cited as "reading n").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, NamedTuple

MAX, DEFAULT, TX = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"
RECURRENCE_S = {"Daily": 86_400, "Weekly": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Unit = Literal["A", "W"]
Json = Mapping[str, Any]


class Bound(NamedTuple):
    """A limit as somebody stated it: A for each phase, or W in total."""

    value: Fraction
    unit: str


class OutputPeriod(NamedTuple):
    """One period of an answer; ``tenths`` is the limit in steps of 0.1, rounded down (SCA-22)."""

    start_period: int
    tenths: int
    number_phases: int


class Exact(NamedTuple):
    """The unrounded limit at one instant, in the unit of the query, and the merged phases."""

    limit: Fraction
    phases: int


@dataclass(frozen=True, eq=False)
class Period:
    """A chargingSchedulePeriod; an absent numberPhases means 3 (CORE-SC-27)."""

    start_period: int
    bound: Bound
    number_phases: int


@dataclass(frozen=True, eq=False)
class Profile:
    """An installed ChargingProfile with the connector that it is installed on and the second of its acceptance."""

    connector_id: int
    accepted_s: int
    id: int
    transaction_id: int | None
    stack_level: int
    purpose: str
    kind: str
    recurrence_s: int | None
    valid_from_s: int | None
    valid_to_s: int | None
    start_schedule_s: int | None
    duration_s: int | None
    periods: tuple[Period, ...]

    @property
    def fixed_zero_s(self) -> int | None:
        """The second zero that does not depend on transaction or query, if there is one (15.1 table, reading 3)."""
        if self.kind != "Relative" and self.start_schedule_s is not None:
            return self.start_schedule_s
        if self.purpose != MAX:
            return None
        return _valid_from_s(self)  # SCA-07

    @property
    def over_s(self) -> int | None:
        """The second from which it can never be active again, if it is known (reading 2)."""
        ends = [] if self.valid_to_s is None else [self.valid_to_s]
        if self.fixed_zero_s is not None and self.recurrence_s is None and self.duration_s is not None:
            ends.append(self.fixed_zero_s + self.duration_s)
        return min(ends, default=None)

    def is_over(self, t: int) -> bool:
        """Whether it can never be active again at ``t`` or later."""
        return self.over_s is not None and t >= self.over_s

    def period_at(self, t: int, charging_start_s: int) -> Period | None:
        """15.1 step 1: its period at ``t``; ``charging_start_s`` is second zero where none is fixed."""
        if self.valid_from_s is not None and t < self.valid_from_s:
            return None
        if self.valid_to_s is not None and t >= self.valid_to_s:
            return None
        offset = t - (charging_start_s if self.fixed_zero_s is None else self.fixed_zero_s)
        if offset < 0:
            return None  # not started; no recurrence before the first occurrence (SCA-09)
        if self.recurrence_s is not None:
            offset %= self.recurrence_s
        if self.duration_s is not None and offset >= self.duration_s:
            return None
        begun = [period for period in self.periods if period.start_period <= offset]
        return begun[-1]


@dataclass
class Transaction:
    """The running transaction of a connector; its id is unknown until the CSMS has answered."""

    start_s: int
    id: int | None


@dataclass(frozen=True)
class Connector:
    """What is known of a connector: nominal voltage, wired phases, hardware maximum, default."""

    voltage_v: Fraction
    phases: int
    maximum: Bound
    default: Bound | None


def utc_s(text: str) -> int:
    """Whole seconds since 1970 of a dateTime, floored (SCA-06, reading 1)."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)


def milli(value: int | None, unit: Unit) -> list[Bound]:
    """A configured limit in mA or mW as a bound, nothing where it is absent."""
    return [] if value is None else [Bound(Fraction(value, 1000), unit)]


def convert(bound: Bound, unit: str, voltage_v: Fraction, phases: int) -> Fraction:
    """P = I x U x phases, in the direction that is needed (CORE-SC-27, SCA-18, reading 7)."""
    if bound.unit == unit:
        return bound.value
    watts_per_ampere = voltage_v * phases
    return bound.value * watts_per_ampere if unit == "W" else bound.value / watts_per_ampere


def parse(profile: Json, connector_id: int, now_s: int) -> Profile:
    """The profile as it would be installed."""
    schedule = profile["chargingSchedule"]
    recurring = profile["chargingProfileKind"] == "Recurring"  # else recurrencyKind does not count (CORE-SC-25)
    unit = schedule["chargingRateUnit"]
    instants = [profile.get("validFrom"), profile.get("validTo"), schedule.get("startSchedule")]
    valid_from_s, valid_to_s, start_schedule_s = (None if text is None else utc_s(text) for text in instants)
    return Profile(
        connector_id=connector_id,
        accepted_s=now_s,
        id=profile["chargingProfileId"],
        transaction_id=profile.get("transactionId"),
        stack_level=profile["stackLevel"],
        purpose=profile["chargingProfilePurpose"],
        kind=profile["chargingProfileKind"],
        recurrence_s=RECURRENCE_S.get(profile.get("recurrencyKind", "")) if recurring else None,
        valid_from_s=valid_from_s,
        valid_to_s=valid_to_s,
        start_schedule_s=start_schedule_s,
        duration_s=schedule.get("duration"),
        periods=tuple(
            Period(row["startPeriod"], Bound(Fraction(str(row["limit"])), unit), row.get("numberPhases", 3))
            for row in schedule["chargingSchedulePeriod"]
        ),
    )


@dataclass
class Station:
    """One charge point: its connectors, its limits, what is installed (highest level first), which transactions run."""

    connectors: Sequence[Connector]
    voltage_v: Fraction
    limits: Sequence[Bound]
    max_stack_level: int
    max_periods: int
    max_installed: int
    units: str
    profiles: list[Profile] = field(default_factory=list)
    transactions: dict[int, Transaction] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Json) -> Station:
        """The station that a case describes (tests/oracle/schedule_cases.py)."""
        connectors = [
            Connector(
                voltage_v=Fraction(row["voltage_mv"], 1000),
                phases=row["phases"],
                maximum=(milli(row.get("max_ma"), "A") + milli(row.get("max_mw"), "W"))[0],
                default=next(iter(milli(row.get("default_ma"), "A")), None),
            )
            for row in data["connectors"]
        ]
        return cls(
            connectors=connectors,
            voltage_v=Fraction(data["voltage_mv"], 1000),
            limits=milli(data.get("max_ma"), "A") + milli(data.get("max_mw"), "W"),
            max_stack_level=data["max_stack_level"],
            max_periods=data["max_periods"],
            max_installed=data["max_installed"],
            units=data["units"],
        )

    def install(self, connector_id: int, profile: Json, now_s: int) -> list[int] | None:
        """The ids that it replaced (its own too), or ``None``: Rejected, nothing changed (15.3 rows 4 to 7)."""
        new = parse(profile, connector_id, now_s)
        if self._is_malformed(new, profile, now_s) or self._is_misplaced(new):
            return None
        kept = [old for old in self.profiles if not _replaces(new, old)]
        if len(kept) + 1 > self.max_installed:
            return None
        replaced = sorted(old.id for old in self.profiles if old not in kept)
        self.profiles = sorted([*kept, new], key=lambda p: (p.stack_level, p.connector_id), reverse=True)
        return replaced

    def _is_malformed(self, new: Profile, profile: Json, now_s: int) -> bool:
        """15.3 row 4."""
        starts = [period.start_period for period in new.periods]
        return (
            not 0 <= new.stack_level <= self.max_stack_level
            or len(starts) > self.max_periods
            or profile["chargingSchedule"]["chargingRateUnit"] not in self.units
            or starts[0] != 0
            or any(later <= earlier for earlier, later in pairwise(starts))
            or (new.duration_s is not None and new.duration_s <= 0)
            or (new.valid_to_s is not None and new.valid_to_s <= max(_valid_from_s(new), now_s))
            or (new.kind == "Recurring" and (new.start_schedule_s is None or new.recurrence_s is None))
        )

    def _is_misplaced(self, new: Profile) -> bool:
        """15.3 rows 5 and 6."""
        if new.purpose == MAX:
            return new.connector_id > 0 or new.kind == "Relative"
        if new.purpose == TX:
            running = self.transactions.get(new.connector_id)
            return running is None or (new.transaction_id is not None and new.transaction_id != running.id)
        return False

    def clear(
        self,
        charging_profile_id: int | None = None,
        connector_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> list[int]:
        """What ClearChargingProfile removes: the id alone when given, else all that is given (CORE-SC-35, SCA-27)."""

        def matches(profile: Profile) -> bool:
            if charging_profile_id is not None:
                return profile.id == charging_profile_id
            return (
                connector_id in (None, profile.connector_id)
                and purpose in (None, profile.purpose)
                and stack_level in (None, profile.stack_level)
            )

        return self._remove([profile for profile in self.profiles if matches(profile)])

    def purge(self, now_s: int) -> list[int]:
        """What can never be active again, TxProfiles without transaction among them (SCA-39, SCA-32)."""
        return self._remove(
            [
                profile
                for profile in self.profiles
                if profile.is_over(now_s) or (profile.purpose == TX and profile.connector_id not in self.transactions)
            ]
        )

    def next_purge(self) -> int | None:
        """The first second at which a profile is over."""
        return min((profile.over_s for profile in self.profiles if profile.over_s is not None), default=None)

    def transaction_started(self, connector_id: int, start_s: int, transaction_id: int | None = None) -> None:
        """A transaction begins at ``start_s``, the timestamp of its StartTransaction.req (SCA-11)."""
        self.transactions[connector_id] = Transaction(start_s, transaction_id)

    def transaction_confirmed(self, connector_id: int, transaction_id: int) -> None:
        """The CSMS has said its id."""
        self.transactions[connector_id].id = transaction_id

    def transaction_stopped(self, connector_id: int) -> list[int]:
        """The transaction is over, and its TxProfiles with it (CORE-SC-06)."""
        del self.transactions[connector_id]
        ended = [profile for profile in self.profiles if (profile.purpose, profile.connector_id) == (TX, connector_id)]
        return self._remove(ended)

    def restart(self, resumed: Sequence[int], now_s: int) -> list[int]:
        """The process starts again, the transactions of ``resumed`` go on; the ids of what is dropped (SCA-32)."""
        self.transactions = {connector_id: self.transactions[connector_id] for connector_id in resumed}
        return self.purge(now_s)

    def _remove(self, gone: Sequence[Profile]) -> list[int]:
        self.profiles = [profile for profile in self.profiles if profile not in gone]
        return sorted(profile.id for profile in gone)

    def composite(
        self,
        connector_id: int,
        start_s: int,
        duration_s: int,
        unit: str,
        query_s: int | None = None,
        *,
        every_second: bool = True,
    ) -> list[OutputPeriod]:
        """The composite schedule of ``[start_s, start_s + duration_s)``, startPeriods counted from ``start_s``.

        Every second is evaluated by itself; with ``every_second=False`` only the instants at which anything could
        change, and those one second before and after them.
        """
        query_s = start_s if query_s is None else query_s
        end_s = start_s + duration_s
        instants: Iterable[int] = range(start_s, end_s)
        if not every_second:
            instants = sorted(self._changes(start_s, end_s, query_s))
        known: dict[object, Exact] = {}
        answer: list[OutputPeriod] = []
        last: Exact | None = None
        for t in instants:
            exact = self._exact(connector_id, t, unit, query_s, known)
            if exact is last:
                continue  # the same sources as a second before
            last = exact
            tenths = exact.limit * 10 // 1  # SCA-22: down, once
            if not answer or (answer[-1].tenths, answer[-1].number_phases) != (tenths, exact.phases):
                answer.append(OutputPeriod(t - start_s, tenths, exact.phases))
        return answer

    def _exact(self, connector_id: int, t: int, unit: str, query_s: int, known: dict[object, Exact]) -> Exact:
        """The unrounded limit at ``t``; ``known`` saves the arithmetic of sources that were met before."""
        ceiling = self.leading([p for p in self.profiles if p.purpose == MAX], t, query_s)
        numbers = [connector_id] if connector_id else range(1, len(self.connectors) + 1)
        sources = [(number, self.transaction_part(number, t, query_s), ceiling) for number in numbers]
        everything = (connector_id, *sources)
        if everything not in known:
            parts = [self._of_connector(*source, unit) for source in sources]
            known[everything] = parts[0] if connector_id else self._of_station(parts, ceiling, unit)
        return known[everything]

    def transaction_part(self, connector_id: int, t: int, query_s: int) -> Period | None:
        """15.1 step 3: TxProfile while a transaction runs, else TxDefaultProfile (SCA-02)."""
        running = self.transactions.get(connector_id)
        charging_start_s = query_s if running is None else running.start_s  # SCA-11
        if running is not None:
            of_transaction = [p for p in self.profiles if (p.purpose, p.connector_id) == (TX, connector_id)]
            found = self.leading(of_transaction, t, charging_start_s)
            if found is not None:
                return found
        defaults = [p for p in self.profiles if p.purpose == DEFAULT and p.connector_id in (0, connector_id)]
        hidden = {p.stack_level for p in defaults if p.connector_id and not p.is_over(t)}  # SCA-03, reading 2
        seen = [p for p in defaults if p.connector_id or p.stack_level not in hidden]
        return self.leading(seen, t, charging_start_s)

    @staticmethod
    def leading(profiles: Sequence[Profile], t: int, charging_start_s: int) -> Period | None:
        """The period of the highest stackLevel that has one at ``t`` (15.1 step 2, SCA-01); the highest come first."""
        for profile in profiles:
            period = profile.period_at(t, charging_start_s)
            if period is not None:
                return period
        return None

    def _of_connector(self, number: int, part: Period | None, ceiling: Period | None, unit: str) -> Exact:
        """15.1 step 4, readings 6 to 8."""
        connector = self.connectors[number - 1]
        periods = [period for period in (part, ceiling) if period is not None]
        phases = min([connector.phases, *(period.number_phases for period in periods)])  # SCA-17
        bounds = [connector.maximum, *self.limits, *(period.bound for period in periods)]
        if part is None and connector.default is not None:
            bounds.append(connector.default)  # SCA-15
        return Exact(min(convert(bound, unit, connector.voltage_v, phases) for bound in bounds), phases)

    def _of_station(self, parts: Sequence[Exact], ceiling: Period | None, unit: str) -> Exact:
        """15.1 step 5, reading 9."""
        phases = max(part.phases for part in parts)  # SCA-21
        bounds = [*self.limits, *([] if ceiling is None else [ceiling.bound])]
        total = sum((part.limit for part in parts), Fraction(0))
        return Exact(min([total, *(convert(bound, unit, self.voltage_v, phases) for bound in bounds)]), phases)

    def _changes(self, start_s: int, end_s: int, query_s: int) -> set[int]:
        """Every instant of the window at which a period could begin or end, its neighbours, and the window's start."""
        charging_starts = {query_s, *(running.start_s for running in self.transactions.values())}
        near = {start_s}
        for profile in self.profiles:
            for t in profile_edges(profile, charging_starts, start_s, end_s):
                near.update((t - 1, t, t + 1))
        return {t for t in near if start_s <= t < end_s}


def _valid_from_s(profile: Profile) -> int:
    """CORE-SC-23: valid from receipt where nothing else is said."""
    return profile.accepted_s if profile.valid_from_s is None else profile.valid_from_s


def _replaces(new: Profile, old: Profile) -> bool:
    """SCA-05: the id anywhere, or connector, purpose and level."""
    key = (new.connector_id, new.purpose, new.stack_level)
    return new.id == old.id or key == (old.connector_id, old.purpose, old.stack_level)


def profile_edges(profile: Profile, charging_starts: Iterable[int], start_s: int, end_s: int) -> Iterator[int]:
    """Every second around the window at which a profile could begin, step or end."""
    yield from (t for t in (profile.valid_from_s, profile.valid_to_s) if t is not None)
    zeros = list(charging_starts) if profile.fixed_zero_s is None else [profile.fixed_zero_s]
    if profile.recurrence_s is not None:
        length = profile.recurrence_s
        first = (start_s - zeros[0]) // length - 1
        zeros = [zeros[0] + k * length for k in range(first, (end_s - zeros[0]) // length + 2)]
    for zero in zeros:
        yield zero
        yield from (zero + period.start_period for period in profile.periods)
        if profile.duration_s is not None:
            yield zero + profile.duration_s
