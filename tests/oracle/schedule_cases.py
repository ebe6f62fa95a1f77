"""Random histories of a charge point with smart charging, as plain data: a station, steps, and what is asked of it.

Owns the choice of nasty values: ties, gaps, edges, ends of days and weeks, extreme numbers. Must never compute a
schedule.

A case is ``{"station", "steps"}``: the station as its configuration says it (in mV, mA, mW), then what happens. ``do``
of a step names the operation, its other members are the arguments: install, clear, purge, restart, transaction_started,
transaction_confirmed, transaction_stopped, and query, which asks for composite schedules.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

Json = dict[str, Any]

CASES = int(os.environ.get("OCPPHUB_ORACLE_CASES", "20000"))
"""How many histories a run compares; history number n is always the same."""

PURPOSES = ("ChargePointMaxProfile", "TxDefaultProfile", "TxDefaultProfile", "TxProfile")
KINDS = ("Absolute", "Absolute", "Recurring", "Recurring", "Relative", "Relative")
DAY_S, WEEK_S, LONGEST_S = 86_400, 604_800, 2_147_483_647

CLOCKS = (
    1_700_000_000,  # any Tuesday
    1_704_067_200 - 30,  # half a minute before a Monday, which begins a month and a year too
    1_709_164_800 - 40,  # before a 29th of February
    951_782_400,
    4_102_444_740,
    90_000,  # the second day of 1970
    253_399_622_400,  # the last month of year 9999
)
LIMITS_A = (0, 60, 63, 100, 160, 161, 160, 250, 320, 321, 1_000)
LIMITS_W = (0, 36_800, 110_400, 110_401, 36_799, 13_800, 69_000, 73_333, 500_000)
HUGE = (10_000_000_000, 1_000_000_000_000_000, 9_999_999_999)
"""Limits in tenths."""
EDGE_TENTHS = (0, 1, 999_999, 1_000_000_007, 999_999_999_999, 1_000_000_000_000_000, 999_999_999_999_999)
EDGE_MAXIMA: dict[str, tuple[int, ...]] = {
    "max_ma": (100_000_000, 99_999_999, 1, 0, 32_000),
    "max_mw": (100_000_000_000, 99_999_999_999, 1, 0, 22_000_001),
}
EDGE_VOLTAGES_MV = (
    (230_941, 229_997),
    (230_941, 229_997, 400_001),
    (1_499_999, 1_000),
    (230_000, 230_940, 120_000, 400_000, 277_000),
)
"""Maxima and voltages whose sums and comparisons need as many bits as a station may ask for, and some stations more."""
VOLTAGES_MV = (230_000, 230_000, 230_940, 120_000, 400_000, 277_000)


class Draw:
    """Choices of one history around the clock ``now_s``; the same random numbers give the same history."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.chance = random.random
        self.now_s = random.choice(CLOCKS)
        self.edges = sorted(self.near() for _ in range(4))
        self.next_id = 1

    def near(self) -> int:
        """An instant around the clock, as a rule inside the windows that are asked for."""
        return self.now_s + self.random.randint(-120, 200)

    def edge(self) -> int:
        """An instant that others may have chosen too, so that boundaries coincide."""
        return self.random.choice(self.edges) if self.chance() < 0.4 else self.near()

    def one_in(self, n: int) -> bool:
        """True in one case of ``n``."""
        return self.random.randrange(n) == 0

    def text(self, t: int) -> str:
        """The instant as RFC 3339 text, with a fraction or an offset now and then."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=max(t, -62_135_500_000))
        plain = moment.strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
        if self.one_in(5):
            return plain + self.random.choice((".5Z", ".999Z", ".000001+00:00"))
        if self.one_in(8) and moment.year < 9999:
            return (moment + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + "+02:00"
        return plain + "Z"


def station(draw: Draw, count: int) -> Json:
    """Connectors with their limits, and what the configuration keys allow."""
    choice, one_in = draw.random.choice, draw.one_in
    connectors: list[Json] = []
    voltages = VOLTAGES_MV if count <= 9 else VOLTAGES_MV[:3]  # the engine refuses sums of too many denominators
    for _ in range(count):
        if len(connectors) >= 5 and not one_in(4):
            connectors.append(connectors[draw.random.randrange(5)])  # a hub has few kinds of connectors
            continue
        row: Json = {"voltage_mv": choice(voltages), "phases": choice((1, 2, 3, 3))}
        if one_in(3):
            row["max_mw"] = choice((22_000_000, 11_040_000, 3_680_000, 7_333_333, 50_000_001))
        else:
            row["max_ma"] = choice((32_000, 16_000, 63_000, 15_999, 32_123, 500_000))
        if one_in(3):
            row["default_ma"] = choice((0, 6_000, 10_050, 16_000, 100_000))
        connectors.append(row)
    built: Json = {"connectors": connectors, "voltage_mv": choice(voltages)}
    if one_in(3):
        built["max_ma"] = choice((25_000, 40_001, 100_000))
    elif one_in(3):
        built["max_mw"] = choice((10_000_000, 33_333_333, 100_000_000))
    built["max_stack_level"] = LONGEST_S if one_in(6) else 3
    built["max_periods"] = choice((3, 5, 8))
    built["max_installed"] = choice((3, 6, 20, 20, 20))
    built["units"] = choice(("A", "W", "AW", "AW", "AW", "AW"))
    return built


def periods(draw: Draw, unit: str, scale_s: int) -> list[Json]:
    """One to four periods as a rule rising from 0; ``scale_s`` is how far apart."""
    starts = [0]
    for _ in range(draw.random.choice((0, 1, 1, 2, 3))):
        step = draw.random.choice((1, 10, 30, 60, 100, scale_s))
        starts.append(min(starts[-1] + step, LONGEST_S))
    if draw.one_in(40):
        draw.random.shuffle(starts)
    if draw.one_in(60):
        starts[0] = 1
    rows = []
    for start in starts:
        tenths = draw.random.choice(HUGE if draw.one_in(15) else LIMITS_A if unit == "A" else LIMITS_W)
        row: Json = {"startPeriod": start, "limit": tenths // 10 if tenths % 10 == 0 else tenths / 10}
        if draw.one_in(2):
            row["numberPhases"] = draw.random.choice((1, 2, 3))
        rows.append(row)
    return rows


def schedule(draw: Draw, kind: str, units: str) -> Json:
    """A chargingSchedule whose edges lie around the clock, as a rule in one of the allowed ``units``."""
    choice, one_in = draw.random.choice, draw.one_in
    unit = choice("AW" if one_in(30) else units)
    built: Json = {"chargingRateUnit": unit}
    if kind == "Recurring":
        if not one_in(25):
            back = choice((0, 0, 1, 3)) * choice((DAY_S, WEEK_S))
            built["startSchedule"] = draw.text(max(draw.edge() - back, 0))
        built["chargingSchedulePeriod"] = periods(draw, unit, choice((DAY_S - 60, DAY_S, WEEK_S - 50, 200)))
    else:
        if kind == "Absolute" and not one_in(4):
            built["startSchedule"] = draw.text(draw.edge() - choice((0, 0, 100)))
        elif kind == "Relative" and one_in(6):
            built["startSchedule"] = draw.text(draw.edge())
        built["chargingSchedulePeriod"] = periods(draw, unit, choice((200, 300, 1_000_000_000)))
    if one_in(2):
        built["duration"] = choice((1, 50, 100, 100, 200, 3_600, DAY_S, DAY_S + 50, WEEK_S - 10, LONGEST_S))
    if one_in(50):
        built["duration"] = 0
    if one_in(10):
        built["minChargingRate"] = 8.1
    return built


def profile(draw: Draw, allowed: Json) -> Json:
    """A charging profile, acceptable by a station that allows so much more often than not."""
    choice, one_in = draw.random.choice, draw.one_in
    kind = choice(KINDS)
    built: Json = {
        "chargingProfileId": draw.random.randint(-2, 6) if one_in(4) else draw.random.randint(7, 60),
        "stackLevel": choice((0, 0, 1, 1, 2, 3, allowed["max_stack_level"])),
        "chargingProfilePurpose": choice(PURPOSES),
        "chargingProfileKind": kind,
        "chargingSchedule": schedule(draw, kind, allowed["units"]),
    }
    if one_in(40):
        built["stackLevel"] = choice((4, LONGEST_S))
    if (kind == "Recurring" and not one_in(25)) or one_in(10):
        built["recurrencyKind"] = choice(("Daily", "Weekly"))
    if one_in(4):
        built["validFrom"] = draw.text(draw.edge())
    if one_in(4):
        built["validTo"] = "9999-12-31T23:59:59Z" if one_in(5) else draw.text(draw.edge() + choice((100, 200, 400)))
    return built


def query(draw: Draw, connectors: int) -> Json:
    """Ask for every connector, or one, over a short window or, now and then, days."""
    choice, one_in = draw.random.choice, draw.one_in
    duration_s = choice((1, 40, 100, 150, 200, 300))
    if one_in(12):
        duration_s = choice((DAY_S, DAY_S + 77, WEEK_S, 2 * WEEK_S, 29 * DAY_S))
    asked: Json = {"do": "query", "start_s": draw.now_s + choice((0, 0, 0, -60, 30)), "duration_s": duration_s}
    if one_in(3):
        asked["query_s"] = asked["start_s"] + draw.random.randint(-60, 60)
    if one_in(3):
        asked["connector_id"] = draw.random.randint(0, connectors)
    if one_in(2):
        asked["compute"] = True
    return asked


class History:
    """Steps that make sense after one another: it knows which transactions run."""

    def __init__(self, draw: Draw, count: int) -> None:
        self.draw = draw
        self.station = station(draw, count)
        self.connectors = len(self.station["connectors"])
        self.transactions: dict[int, int | None] = {}
        self.next_transaction = 1

    def step(self) -> Json:
        """The next step."""
        draw = self.draw
        if draw.one_in(4):
            draw.now_s += draw.random.choice((1, 20, 60, 60, 100))
        roll = draw.random.randrange(100)
        if roll < 72 or len(self.transactions) == self.connectors > roll % 7:
            return self._install()
        if roll < 84:
            return self._transaction()
        if roll < 89:
            return self._clear()
        if roll < 91:
            return {"do": "purge", "now_s": draw.now_s + draw.random.choice((0, 100, 300))}
        if roll < 93:
            return self._restart()
        return query(draw, self.connectors)

    def _install(self) -> Json:
        draw = self.draw
        connector_id = draw.random.randint(0, self.connectors)
        charging = profile(draw, self.station)
        purpose = charging["chargingProfilePurpose"]
        if purpose == "ChargePointMaxProfile" and not draw.one_in(15):
            connector_id = 0
        elif purpose == "TxProfile" and self.transactions and not draw.one_in(8):
            connector_id = draw.random.choice(sorted(self.transactions))
        if purpose == "TxProfile" and draw.one_in(2):
            running = self.transactions.get(connector_id)
            charging["transactionId"] = 99 if running is None or draw.one_in(8) else running
        return {"do": "install", "connector_id": connector_id, "profile": charging, "now_s": draw.now_s}

    def start(self) -> Json:
        """A transaction begins on a connector that has none."""
        idle = [number for number in range(1, self.connectors + 1) if number not in self.transactions]
        connector_id = self.draw.random.choice(idle)
        started: Json = {"do": "transaction_started", "connector_id": connector_id, "start_s": self.draw.edge()}
        self.transactions[connector_id] = None
        if self.draw.one_in(2):
            started["transaction_id"] = self._new_transaction(connector_id)
        return started

    def _transaction(self) -> Json:
        draw = self.draw
        connector_id = draw.random.randint(1, self.connectors)
        if connector_id not in self.transactions:
            return self.start()
        if self.transactions[connector_id] is None and draw.one_in(2):
            transaction_id = self._new_transaction(connector_id)
            return {"do": "transaction_confirmed", "connector_id": connector_id, "transaction_id": transaction_id}
        del self.transactions[connector_id]
        return {"do": "transaction_stopped", "connector_id": connector_id}

    def _new_transaction(self, connector_id: int) -> int:
        self.next_transaction += 1
        self.transactions[connector_id] = self.next_transaction
        return self.next_transaction

    def _clear(self) -> Json:
        random = self.draw.random
        by: Json = {"do": "clear"}
        if random.random() < 0.3:
            by["charging_profile_id"] = random.randint(-2, 60) if random.random() < 0.5 else random.randint(1, 6)
        if random.random() < 0.8:
            by["connector_id"] = random.randint(0, self.connectors)
        if random.random() < 0.5:
            by["purpose"] = random.choice(PURPOSES)
        if random.random() < 0.5:
            by["stack_level"] = random.randint(0, 3)
        return by

    def _restart(self) -> Json:
        """Every row is restored into a new process; some transactions are resumed (SCA-32)."""
        resumed = [connector_id for connector_id in sorted(self.transactions) if not self.draw.one_in(4)]
        self.transactions = {connector_id: self.transactions[connector_id] for connector_id in resumed}
        return {"do": "restart", "resumed": resumed, "now_s": self.draw.now_s}


def history(random: Random, count: int | None = None) -> Json:
    """One station with its history, of so many connectors; the last of its queries asks for everything."""
    draw = Draw(random)
    told = History(draw, random.choice((1, 1, 2, 2, 3, 5)) if count is None else count)
    steps = [told.start() for _ in range(random.randint(0, told.connectors))]
    steps += [told.step() for _ in range(random.randint(4, 24))]
    last = query(draw, told.connectors)
    last.pop("connector_id", None)
    return {"station": told.station, "steps": [*steps, last]}


def stretched(number: int) -> Json:
    """History ``number`` with voltages that share no factor and with the least and greatest limits there may be."""
    random = Random(number)  # noqa: S311 - repeatable on purpose
    case = history(random, random.choice((None, 2, 3, 9)))
    voltages = random.choice(EDGE_VOLTAGES_MV)
    for row in (case["station"], *case["station"]["connectors"]):
        row["voltage_mv"] = random.choice(voltages)
        name = next((name for name in EDGE_MAXIMA if name in row), "")
        if name and random.random() < 0.7:
            row[name] = random.choice(EDGE_MAXIMA[name])
    for step in case["steps"]:
        if step["do"] == "install" and random.random() < 0.6:
            for period in step["profile"]["chargingSchedule"]["chargingSchedulePeriod"]:
                period["limit"] = random.choice(EDGE_TENTHS) / 10
    return case


def numbered(number: int, count: int | None = None) -> Json:
    """History ``number``, the same in every run."""
    return history(Random(number), count)  # noqa: S311 - repeatable on purpose
