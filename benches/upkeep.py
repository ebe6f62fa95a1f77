"""P2: what keeps schedules current, published and explained, on a hub of 10,000 connectors.

Owns the statements of a change (one profile, one transaction), of a burst of frames, of the publication and of the
explanation. Must never time a change whose schedules it has not held against those of a window computed anew.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterator
from time import thread_time
from typing import TYPE_CHECKING, Any

import orjson

from benches import stations
from benches.limit import Limit
from benches.stations import DAY_S, WINDOWS, Station
from benches.stopwatch import Statement, measure
from ocpphub import _native
from ocpphub._native import Profiles

if TYPE_CHECKING:
    from benches.schedules import Results

SLICE_S = 0.02
SLOW_NS = 1e9
PUBLISHED_S = 600
INTERVAL_S = 30
EVICTING_BYTES = 128 << 20
"""More than any cache holds."""

Change = tuple[int, int, bytes]
"""Connector, chargingProfileId, ChargingProfile."""


def run(results: Results, station: Station, rounds: int) -> None:
    """Every figure of this module, on ``std`` with its payloads kept."""
    for window in ("600 s", "1 day"):
        changed(results, station, window, rounds)
    for window in ("600 s", "1 day"):
        changed_unbounded(results, station, window, rounds)
    results.other["burst_s"] = burst(station, max(3, rounds // 4))
    published(results, station, rounds)
    results.other["topic_share"] = topic_share(station, DAY_S // 24)
    explained(results, station, rounds)


def changes(station: Station) -> Iterator[Change]:
    """Without end: each connector, scattered, gets another TxDefaultProfile with the id of its own, then its own."""
    other = [
        (row["connectorId"], orjson.dumps(row["csChargingProfiles"]))
        for row in stations.workload("std", station.connectors, seed=2)
        if row.get("csChargingProfiles", {}).get("chargingProfilePurpose") == "TxDefaultProfile"
    ]
    own = station.default_profiles()
    assert len(own) == len(other) == station.connectors
    listed: list[Change] = []
    for profiles in (other, own):
        for number in range(len(profiles)):
            connector, payload = profiles[number * 7_919 % len(profiles)]
            listed.append((connector, orjson.loads(payload)["chargingProfileId"], payload))
    return itertools.cycle(listed)


def change_statements(station: Station, duration_s: int) -> dict[str, Statement]:
    """One change and what it makes necessary: that connector and 0, written as JSON or (``current``) only computed."""
    window = f"now, {duration_s}, 'A'"
    written = f"composite(connector, {window}); composite(0, {window})"
    profiles = station.profiles
    names: dict[str, Any] = {
        "install": profiles.install,
        "clear": profiles.clear,
        "started": profiles.transaction_started,
        "stopped": profiles.transaction_stopped,
        "composite": profiles.composite,
        "compute": profiles.compute,
        "changes": changes(station),
        # Every second connector of the workload charges; these do not.
        "idle": itertools.cycle(range(2, station.connectors + 1, 2)),
        "next": next,
        "now": station.now_s,
    }
    take = "connector, number, profile = next(changes); "
    install = "install(connector, profile, now); "
    return {
        "profile set": Statement(take + install + written, names, calls=4),
        "profile set, current": Statement(take + install + f"compute({window})", names, calls=3),
        "profile cleared or set": Statement(
            f"{take}clear(number); {written}; {install}{written}", names, calls=7, operations=2
        ),
        "transaction started or stopped": Statement(
            f"connector = next(idle); started(connector, now - 5, 7); {written}; stopped(connector); {written}",
            names,
            calls=7,
            operations=2,
        ),
    }


def changed(results: Results, station: Station, window: str, rounds: int) -> None:
    """Changes of a hub whose window is kept, beside the limit program's."""
    statements = checked_changes(station, WINDOWS[window])
    with Limit(station.path, WINDOWS[window], "incr") as limit:
        limit.lap()
        figures = measure(statements, rounds, SLICE_S, SLOW_NS, {"limit incr": limit.lap})
    assert_current(station, WINDOWS[window])
    results.add(results.changes, window, figures)


def changed_unbounded(results: Results, station: Station, window: str, rounds: int) -> None:
    """The same where no ChargePointMaxProfile hides the sum: connector 0 has a period wherever any connector has."""
    connector, payload = station.payloads[0]
    assert station.profiles.clear(purpose="ChargePointMaxProfile") != []
    figures = measure(checked_changes(station, WINDOWS[window]), rounds, SLICE_S, SLOW_NS)
    assert_current(station, WINDOWS[window])
    results.add(results.changes, f"{window}, no ChargePointMaxProfile", figures)
    assert not isinstance(station.profiles.install(connector, payload, station.now_s), str)


def checked_changes(station: Station, duration_s: int) -> dict[str, Statement]:
    """The statements of a change; each has been held against a window computed anew, and the window is kept."""
    statements = change_statements(station, duration_s)
    station.profiles.compute(station.now_s, duration_s, "A")
    for statement in statements.values():
        statement.timer().timeit(50)
        assert_current(station, duration_s)
    return statements


def assert_current(station: Station, duration_s: int) -> None:
    """What the kept window says after changes is what another computation of it says."""
    profiles, now_s = station.profiles, station.now_s
    kept = profiles.composite_all(now_s, duration_s, "A")
    alone = profiles.composite(0, now_s, duration_s, "A")
    profiles.compute(now_s + 1, duration_s, "A")
    assert profiles.composite_all(now_s, duration_s, "A") == kept
    assert profiles.composite(0, now_s, duration_s, "A") == alone


def burst(station: Station, passes: int) -> float:
    """CPU seconds of one SetChargingProfile for each connector, that connector and 0 current after each."""
    profiles, now_s = station.profiles, station.now_s
    source = changes(station)
    seconds = []
    for _ in range(passes):
        frames = [
            b'[2,"burst-%d","SetChargingProfile",{"connectorId":%d,"csChargingProfiles":%b}]'
            % (number, connector, text)
            for number, (connector, _, text) in enumerate(itertools.islice(source, station.connectors))
        ]
        profiles.compute(now_s, PUBLISHED_S, "A")
        seconds.append(burst_of(profiles, frames, now_s))
        assert_current(station, PUBLISHED_S)
    return statistics.median(seconds)


def burst_of(profiles: Profiles, frames: list[bytes], now_s: int) -> float:
    """CPU seconds of these SetChargingProfile frames."""
    begun = thread_time()
    for frame in frames:
        call = _native.decode(frame)
        assert isinstance(call, _native.Call)
        connector = call.get("connectorId")
        installed = profiles.install(connector, call.raw("csChargingProfiles") or b"", now_s)
        assert not isinstance(installed, str)
        profiles.composite(connector, now_s, PUBLISHED_S, "A")
        profiles.composite(0, now_s, PUBLISHED_S, "A")
    return thread_time() - begun


def published(results: Results, station: Station, rounds: int) -> None:
    """``charging_schedules`` from the engine, and as a Python layer would make it out of objects."""
    profiles, now_s = station.profiles, station.now_s
    names: dict[str, Any] = {
        "ours": profiles.composite_all,
        "tuples": from_tuples(station),
        "parsed": lambda start: from_parsed(profiles, station.connectors, start),
        "start": now_s,
        "later": now_s + 1,
    }
    ours = f"ours(start, {PUBLISHED_S}, 'A'); ours(later, {PUBLISHED_S}, 'A')"
    statements = {"composite_all": Statement(ours, names, calls=2, operations=2)} | {
        name: Statement(f"{name}(start); {name}(later)", names, calls=2, operations=2) for name in ("tuples", "parsed")
    }
    expected = orjson.loads(profiles.composite_all(now_s, PUBLISHED_S, "A"))
    for name in ("tuples", "parsed"):
        assert orjson.loads(names[name](now_s)) == expected, name
    figures = measure(statements, rounds, SLICE_S, SLOW_NS)
    results.other |= {
        "publication_ns": figures["composite_all"].ns,
        "publication_cold_ns": cold(lambda at: profiles.composite_all(now_s + at, PUBLISHED_S, "A"), rounds) * 1e9,
        "dicts_of_tuples_ns": figures["tuples"].ns,
        "dicts_of_parsed_ns": figures["parsed"].ns,
    }


def cold(call: Callable[[int], object], rounds: int) -> float:
    """Median CPU seconds of a call whose data have left the caches, as they have every 30 s; it gets the round."""
    other = bytearray(EVICTING_BYTES)
    seconds = []
    for number in range(rounds):
        bytes(other)
        begun = thread_time()
        call(number)
        seconds.append(thread_time() - begun)
    return statistics.median(seconds)


def from_tuples(station: Station) -> Callable[[int], bytes]:
    """Computed by the engine, then dicts out of tuples that cost nothing, then orjson: better than anybody could do."""
    profiles, now_s = station.profiles, station.now_s
    start_schedule = orjson.loads(profiles.composite_all(now_s, PUBLISHED_S, "A"))["0"]["startSchedule"]
    ready = [
        (
            str(connector_id),
            [
                (period["startPeriod"], round(period["limit"] * 10), period["numberPhases"])
                for period in orjson.loads(profiles.composite(connector_id, now_s, PUBLISHED_S, "A"))[
                    "chargingSchedulePeriod"
                ]
            ],
        )
        for connector_id in range(station.connectors + 1)
    ]

    def through_dicts(start_s: int) -> bytes:
        profiles.compute(start_s, PUBLISHED_S, "A")
        value = {
            connector_id: {
                "chargingRateUnit": "A",
                "duration": PUBLISHED_S,
                "startSchedule": start_schedule,
                "chargingSchedulePeriod": [
                    {"startPeriod": start, "limit": tenths / 10, "numberPhases": phases}
                    for start, tenths, phases in periods
                ],
            }
            for connector_id, periods in ready
        }
        return orjson.dumps(value)

    return through_dicts


def from_parsed(profiles: Profiles, connectors: int, start_s: int) -> bytes:
    """What a Python layer does that has ``composite`` alone: parse each, put them together, dump."""
    profiles.compute(start_s, PUBLISHED_S, "A")
    start = stations.second_text(start_s)
    value = {
        str(connector_id): orjson.loads(profiles.composite(connector_id, start_s, PUBLISHED_S, "A"))
        | {"startSchedule": start}
        for connector_id in range(connectors + 1)
    }
    return orjson.dumps(value)


def topic_share(station: Station, span_s: int) -> float:
    """Bytes of ``connector.schedule`` over those of ``charging_schedules``, every 30 s of a virtual time span."""
    profiles = station.profiles
    profiles.forget_changes()
    assert profiles.changes(station.now_s, PUBLISHED_S, "A", station.connectors + 1) == []
    full = changed_bytes = 0
    for now_s in range(station.now_s + INTERVAL_S, station.now_s + span_s + 1, INTERVAL_S):
        full += len(profiles.composite_all(now_s, PUBLISHED_S, "A"))
        for connector_id, schedule in profiles.changes(now_s, PUBLISHED_S, "A", station.connectors + 2):
            changed_bytes += len(b'{"connector_id":%d,"schedule":%b}' % (connector_id, schedule))
    assert changed_bytes > 0
    return changed_bytes / full


def explained(results: Results, station: Station, rounds: int) -> None:
    """``explain`` of one connector over a day, again and again, and of each in turn."""
    profiles, now_s = station.profiles, station.now_s
    names = {"explain": profiles.explain, "now": now_s, "next": next}
    names["ids"] = itertools.cycle(1 + n * 7_919 % station.connectors for n in range(station.connectors))
    statements = {
        "alone": Statement(f"explain(1, now, {DAY_S}, 'A')", names),
        "turn": Statement(f"explain(next(ids), now, {DAY_S}, 'A')", names, calls=2),
    }
    said = [stretch["limit"] for stretch in orjson.loads(statements["alone"].run())]
    due = [limit for _, limit in stations.periods(orjson.loads(profiles.composite(1, now_s, DAY_S, "A")))]
    assert [limit for limit, _ in itertools.groupby(said)] == due
    figures = measure(statements, rounds, SLICE_S, SLOW_NS)
    results.other |= {"explain_ns": figures["alone"].ns, "explain_turn_ns": figures["turn"].ns}
