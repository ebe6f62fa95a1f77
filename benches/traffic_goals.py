"""The goal lines of P3 to P6 as functions of the measured figures.

Owns the bounds. Must never measure. A ratio to a peer of the same run is gated; microseconds, bytes and rates are shown
and judged in RESULTS.md and never gate. Source: performance.md P3 to P6.
"""

from __future__ import annotations

from collections.abc import Mapping

from benches.goals import Goal

Row = Mapping[str, float]
TRIVIAL_US = 6.5
"""What the trivial handler costs at 50 x 1 where the goals of P3 were set; makes its microseconds a ratio."""
SHAKY = 2.0
"""Tolerance of ratios with sockets and the scheduler in them: one and the same code has moved by as much in an hour."""


def interface_goals(rows: Mapping[str, Row], other: Row) -> list[Goal]:
    """P3: ``rows`` are microseconds of server CPU by server, ``other`` is about the permits."""
    lines = []
    for key, name, bound_us in (
        ("report_register", "report, register only", 12.0),
        ("report_measured", "report, four measurands", 18.0),
    ):
        row = rows[f"{name}, 50 x 1"]
        detail = f"trivial handler {row['trivial']:.1f} us, echo {row['echo']:.1f} us"
        lines.append(Goal(key, f"connector.{name}, 50 x 1: us of server CPU", row["ours"], bound_us, detail, False))
        text = f"the same / a trivial handler ({bound_us:.0f} us where that takes {TRIVIAL_US} us)"
        ratio = row["ours"] / row["trivial"]
        lines.append(Goal(f"{key}_trivial", text, ratio, bound_us / TRIVIAL_US, steady=False, tolerance=SHAKY))
    trivial = rows["report, register only, 50 x 1"]["trivial"]
    for key, name, bound_us in (
        ("report_many", "report_many, register", 1.0),
        ("report_many_measured", "report_many, four measurands", 5.0),
    ):
        ours = rows[name]["ours"]
        text = f"connector.{name} in columns: us per connector"
        lines.append(Goal(key, text, ours, bound_us, gated=False))
        text = "the same / a trivial request at 50 x 1"
        lines.append(Goal(f"{key}_trivial", text, ours / trivial, bound_us / TRIVIAL_US, steady=False, tolerance=SHAKY))
    for shape, bound in (("50 x 1", 1.6), ("50 x 16", 3.0), ("1 x 32", 2.5)):
        row = rows[f"get_configuration_key, {shape}"]
        text = f"get_configuration_key of one key / a trivial handler, {shape}"
        key = f"command_{shape.replace(' ', '')}"
        lines.append(
            Goal(key, text, row["ours"] / row["trivial"], bound, f"{row['ours']:.1f} us", steady=False, tolerance=SHAKY)
        )
    text = f"a change of all {other['permits']:,.0f} permits until each controller has its own: ms"
    lines.append(Goal("permits_ms", text, other["permits_s"] * 1_000, 300.0, gated=False))
    text = "the same: the longest turn of the loop, ms of CPU, collections of garbage included"
    lines.append(Goal("permits_turn_ms", text, other["permits_turn_s"] * 1_000, 5.0, gated=False))
    text = f"a command while {other['permits']:,.0f} clients are connected: ms, p99"
    lines.append(Goal("command_p99_ms", text, other["command_p99_s"] * 1_000, 20.0, gated=False))
    return lines


def delivery_goals(trips: Mapping[str, Row], other: Row) -> list[Goal]:
    """P4: ``trips`` are microseconds of the charge points' CPU by peer."""
    lines = []
    for key, name, peer, bound in (
        ("link_1", "round trip, 1 connections", "websockets", 1.25),
        ("link_50", "round trip, 50 connections", "websockets", 1.5),
        ("meter_values_ocpp", "MeterValues, 20 identities", "ocpp", 1 / 25),
        ("heartbeat_ocpp", "Heartbeat, 20 identities", "ocpp", 1 / 4),
        ("report_by_hand", "report to confirmation, 50 identities", "by hand", 1.25),
    ):
        row = trips[name]
        detail = f"{row['ours']:.1f} us and {row[peer]:.1f} us"
        lines.append(
            Goal(key, f"{name}: CPU / {peer}", row["ours"] / row[peer], bound, detail, steady=False, tolerance=SHAKY)
        )
    hand_us = trips["report to confirmation, 50 identities"]["by hand"]
    text = f"the same with the store, {other['stored_messages']:,.0f} waiting: CPU per message / by hand, no store"
    detail = f"{other['stored_us']:.1f} us"
    lines.append(Goal("report_stored", text, other["stored_us"] / hand_us, 2.0, detail, steady=False, tolerance=SHAKY))
    return lines + drain_goals(other) + idle_goals(other)


def process_goals(other: Row) -> list[Goal]:
    """P6."""
    number = f"{other['connectors']:,.0f} connectors"
    rows = (
        ("import_ms", "import ocpphub: ms of CPU, without the interpreter's own", other["import_s"] * 1e3, 130.0),
        ("help_ms", "ocpphub --help: ms of CPU, without the interpreter's own", other["help_s"] * 1e3, 80.0),
        ("idle_mib", f"{number} idle: MiB", other["idle_mib"], 120.0),
        ("collect_ms", f"{number}: a full collection after the freeze, ms of CPU", other["collect_s"] * 1e3, 5.0),
        ("list_ms", f"connector.list of {number}: ms of CPU", other["list_s"] * 1e3, 25.0),
        ("list_turn_ms", "the same: its longest turn of the loop, ms of CPU", other["list_turn_s"] * 1e3, 5.0),
        ("scrape_ms", f"a metrics scrape at {number}: ms of CPU", other["scrape_s"] * 1e3, 5.0),
    )
    return [Goal(key, text, figure, bound, gated=False) for key, text, figure, bound in rows]


def drain_goals(other: Row) -> list[Goal]:
    """The drain of a long queue. Without a round trip worth the name the disk is the limit: 1 / max(RTT, fsync)."""
    lines = []
    for name, fsync_s in (("drain_0ms", 0.004), ("drain_20ms", 0.0)):
        pace_s, rate = other[f"{name}_pace_s"], other[f"{name}_rate"]
        least_s = max(pace_s, fsync_s)
        limit = f"1 / max(RTT, fsync), fsync 4 ms, RTT {pace_s * 1000:.1f} ms"
        text = f"{other[f'{name}_waiting']:,.0f} waiting: {limit}, / the rate of the queue"
        lines.append(
            Goal(name, text, 1 / least_s / rate, 1 / 0.95, f"{rate:,.0f} messages/s", steady=False, tolerance=SHAKY)
        )
        waited_s, bound_s = other[f"{name}_authorize_s"], 2 * pace_s + 0.05
        text = f"Authorize meanwhile, RTT {pace_s * 1000:.1f} ms: p99 / (2 RTT + 50 ms)"
        detail = f"{waited_s * 1000:.0f} ms of {other[f'{name}_authorizes']:,.0f}"
        lines.append(Goal(f"{name}_authorize", text, waited_s / bound_s, 1.0, detail, gated=False))
    return lines


def idle_goals(other: Row) -> list[Goal]:
    """Connections that do nothing, and the fleet where it was measured."""
    bare = other["idle_bare"]
    lines = []
    for key, name in (("idle_link", "our link alone"), ("idle_identity", "our link with its core")):
        detail = f"{other[key] / 1024:.1f} KiB and {bare / 1024:.1f} KiB"
        text = f"idle without TLS, {name}: memory / a bare websockets connection"
        lines.append(
            Goal(key, text, other[key] / bare, 1.4, detail, gated=key == "idle_link", steady=False, tolerance=SHAKY)
        )
    if "fleet_cpu" in other:
        detail = f"{other['fleet_messages']:,.0f} MeterValues in 60 s of the 10 minutes"
        text = "1,000 identities, 10 sessions and 10 MeterValues a minute each"
        lines += [
            Goal("fleet_memory", f"{text}: MiB", other["fleet_resident"], 250.0, detail, gated=False),
            Goal("fleet_cpu", f"{text}: share of a core", other["fleet_cpu"], 0.15, gated=False),
            Goal("fleet_lost", f"{text}: connections lost (missed pings)", other["fleet_lost"], 0.0, gated=False),
        ]
    return lines


def durability_goals(other: Row) -> list[Goal]:
    """P5: the store and the start."""
    fsyncs, share = other["fsyncs_per_report"], other["sample_bytes"] / other["frame_bytes"]
    held = f"{other['reports_per_s']:,.0f} reports/s"
    busy = f"p99 {other['commit_p99_s'] * 1000:.1f} ms; on an idle loop {other['commit_calm_s'] * 1000:.1f} ms"
    size = f"{other['sample_bytes']:.0f} B of {other['frame_bytes']:.0f} B"
    waiting = f"{other['start_full_messages']:,.0f} messages waiting"
    first = f"{other['start_full_cpu_s']:.2f} s CPU; without them {other['start_empty_s']:.2f} s"
    more = other["start_full_mib"] - other["start_empty_mib"]
    return [
        Goal(
            "fsyncs",
            "loop saturated, 10,000 reports/s that write: commits per report",
            fsyncs,
            0.03,
            held,
            steady=False,
        ),
        Goal("lone_event", "a lone event: commits", other["lone_commits"], 1.0),
        Goal(
            "commit_busy",
            "commit of 100 rows beside a saturated loop, without the fsync: ms, median",
            other["commit_s"] * 1000,
            5.0,
            busy,
            gated=False,
        ),
        _at_least("events_4ms", "acknowledged events a second, fsync 4 ms", other, 10_000),
        _at_least("events_20ms", "acknowledged events a second, fsync 20 ms", other, 2_000),
        Goal("sample_bytes", "a queued MeterValues of 10 samples: pages / its frame", share, 0.2, size, steady=False),
        Goal(
            "start",
            f"start to the first answer, std profiles, {waiting}: s",
            other["start_full_s"],
            1.0,
            first,
            gated=False,
        ),
        Goal("start_memory", f"memory of {waiting}: MiB", more, 32.0, gated=False),
    ]


def _at_least(key: str, text: str, other: Row, bound: float) -> Goal:
    """A rate as what is wanted over what was reached, so that 1 is the bound."""
    rate = other[key]
    return Goal(key, f"{text}: {bound:,.0f} / the rate", bound / rate, 1.0, f"{rate:,.0f}/s", gated=False)
