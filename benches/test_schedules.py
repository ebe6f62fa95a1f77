"""pytest-benchmark benches of composite schedules, named by work: assert the answer, then time it.

Owns what ``make bench-quick`` runs in CI of P2. Must never gate on time: the ratios are judged by benches.quick.
Source: OCPP 1.6 section 3.13.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from benches import allocation, schedules, stations, sweep, upkeep
from benches.stations import DAY_S, WINDOWS, Station
from benches.stopwatch import Statement
from benches.test_frames import timed
from ocpphub import _native

SIZE = 1_000


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """``std`` on 1,000 connectors."""
    return stations.load(tmp_path_factory.mktemp("std"), "std", SIZE, keep_payloads=True)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("workload", ["std 128", "heavy 10"])
def bench_compute_all_connectors(benchmark: Any, tmp_path: Path, workload: str, window: str) -> None:
    """All connectors and connector 0, two windows in turn; each answer is the limit program's."""
    variant, size = workload.split()
    loaded = stations.load(tmp_path, variant, int(size))
    stations.check(loaded, WINDOWS[window])
    timed(benchmark, schedules.compute(loaded, WINDOWS[window]))


@pytest.mark.parametrize("window", ["600 s", "1 day"])
def bench_write_schedules_of_all_connectors(benchmark: Any, station: Station, window: str) -> None:
    """``charging_schedules`` of 1,000 connectors."""
    stations.check(station, WINDOWS[window])
    timed(benchmark, schedules.composite_all(station, WINDOWS[window]))


@pytest.mark.parametrize("window", ["600 s", "1 day"])
@pytest.mark.parametrize("column", ["composite", "composite, each in turn", "from the kept window"])
def bench_compute_one_connector(benchmark: Any, station: Station, window: str, column: str) -> None:
    """What GetCompositeSchedule asks of the engine."""
    timed(benchmark, schedules.one_statements(station, WINDOWS[window])[column])


@pytest.mark.parametrize("window", ["600 s", "1 day"])
@pytest.mark.parametrize("kind", ["profile set", "profile cleared or set", "transaction started or stopped"])
def bench_keep_schedules_current(benchmark: Any, station: Station, kind: str, window: str) -> None:
    """One change, then that connector and connector 0; the kept window says what a new one would."""
    statement = upkeep.change_statements(station, WINDOWS[window])[kind]
    station.profiles.compute(station.now_s, WINDOWS[window], "A")
    statement.timer().timeit(20)
    upkeep.assert_current(station, WINDOWS[window])
    timed(benchmark, statement)


@pytest.mark.parametrize("periods", [24, 96])
def bench_install_profile(benchmark: Any, tmp_path: Path, periods: int) -> None:
    """A ChargingProfile of so many periods: read, judged, written as a row, put in the place of the one before."""
    loaded = stations.load(tmp_path, "std", 10, keep_payloads=True, txdefault_periods=periods)
    connector, payload = loaded.default_profiles()[0]
    names = {"install": loaded.profiles.install, "connector": connector, "profile": payload, "now": loaded.now_s}
    statement = Statement("install(connector, profile, now)", names)
    installed = statement.run()
    assert isinstance(installed, _native.Installed)
    assert installed.replaced == [installed.charging_profile_id]
    timed(benchmark, statement)


def bench_take_up_stored_profile(benchmark: Any, tmp_path: Path) -> None:
    """A row of 96 periods, in the place of its own profile."""
    loaded = stations.load(tmp_path, "heavy", 1)
    rows = [row for _, row in loaded.rows]
    before = loaded.profiles.installed()
    statement = Statement("restore(rows)", {"restore": loaded.profiles.restore, "rows": rows[:1]})
    assert statement.run() == []
    assert loaded.profiles.installed() == before
    timed(benchmark, statement)


def bench_take_up_burst_of_100_profiles(benchmark: Any, station: Station) -> None:
    """SetChargingProfile frames decoded and installed, that connector and connector 0 current after each."""
    frames = [
        b'[2,"b","SetChargingProfile",{"connectorId":%d,"csChargingProfiles":%b}]' % row
        for row in station.default_profiles()[:100]
    ]
    upkeep.burst_of(station.profiles, frames, station.now_s)
    upkeep.assert_current(station, upkeep.PUBLISHED_S)
    names = {"burst": upkeep.burst_of, "profiles": station.profiles, "frames": frames, "now": station.now_s}
    timed(benchmark, Statement("burst(profiles, frames, now)", names))


def bench_write_schedules_through_dicts(benchmark: Any, station: Station) -> None:
    """The same publication through Python objects."""
    through_dicts = upkeep.from_tuples(station)
    expected = orjson.loads(station.profiles.composite_all(station.now_s, upkeep.PUBLISHED_S, "A"))
    assert orjson.loads(through_dicts(station.now_s)) == expected
    timed(benchmark, Statement("through_dicts(start)", {"through_dicts": through_dicts, "start": station.now_s}))


def bench_explain_one_connector(benchmark: Any, station: Station) -> None:
    """Why each limit of a day is what it is."""
    statement = Statement(f"explain(1, now, {DAY_S}, 'A')", {"explain": station.profiles.explain, "now": station.now_s})
    assert {stretch["winner"]["kind"] for stretch in orjson.loads(statement.run())} == {"profile"}
    timed(benchmark, statement)


@pytest.mark.parametrize("situation", allocation.SITUATIONS)
def bench_allocate_to_all_connectors(benchmark: Any, situation: str) -> None:
    """Shares of 1,000 active connectors, three limits each."""
    timed(benchmark, allocation.statement(allocation.hub(situation, SIZE)))


def bench_compute_all_connectors_in_plain_python(benchmark: Any) -> None:
    """The sweep without Rust, 128 connectors."""
    plain = sweep.PlainStation(stations.workload("std", 128))
    now_s = next(stations.workload("std", 128))["meta"]["now_unix"]
    statement = Statement("composites(now, 600)", {"composites": plain.composites, "now": now_s})
    assert len(statement.run()) == 129
    timed(benchmark, statement)
