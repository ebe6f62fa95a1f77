"""The numbers for Prometheus: every row of the table is there, well named, and follows what happens."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import parser

from ocpphub import metrics
from ocpphub.clients import new_controller
from ocpphub.config import Feeder, Role, Security
from ocpphub.metrics import SCOPES, Histogram, Metric, Metrics
from ocpphub.rpc.server import Server
from ocpphub.store.memory import MemoryStore
from tests import builders
from tests.builders import Csms
from tests.hub_doubles import (
    OPERATOR_UID,
    OTHER_UID,
    ClientDouble,
    HubBench,
    hub_settings,
    rpc_settings,
    running_hub,
    serve,
    turns,
)
from tests.pki import pki
from tests.virtual_loop import VirtualLoop

ROWS = [(labels, metric) for labels, rows in SCOPES for metric in rows]
CONTROLLER = new_controller(1_000, is_operator=True)
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum")}


async def scraped(bench: HubBench, *servers: Server) -> dict[str, Any]:
    """Family name -> family, as Prometheus reads it."""
    text = (await Metrics(bench.hub, servers).scrape()).decode()
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    """The value of one sample."""
    (found,) = [
        sample.value
        for sample in families[name.removesuffix("_total")].samples
        if sample.name == name and sample.labels == labels
    ]
    return float(found)


def hub_behind(amperes: float, connectors: int = 2) -> HubBench:
    """A hub of one charge point behind a feeder; vehicles charge as soon as they are plugged in."""
    ids = tuple(range(1, connectors + 1))
    overrides = (builders.override(ids, free_vend_id_tag="CANARY-TAG"),)
    point = builders.settings(connectors=connectors, connector_overrides=overrides)
    settings = hub_settings(point)
    feeder = Feeder("main", amperes, None, None, (("CP1", ids),))
    hub = replace(settings.hub, charge_before_accepted="always")
    return HubBench(replace(settings, hub=hub, feeders=(feeder,)), Csms(), None)


def command(bench: HubBench, name: str, *arguments: Any) -> None:
    bench.point.command(name, arguments, lambda result, error: None)


async def charge(bench: HubBench, connectors: Sequence[int]) -> None:
    """Vehicles are plugged in, and their controllers confirm what they are told."""
    command(bench, "attach", CONTROLLER, list(connectors), True)
    for connector_id in connectors:
        levels = dict.fromkeys(("plugged", "ev_ready", "evse_ready"), True)
        command(bench, "report", CONTROLLER, {"connector_id": connector_id, "energy_wh": 0, **levels})
    await turns()
    for connector_id in connectors:
        seq = bench.point.core.connector_state(connector_id)["permit"]["seq"]
        command(bench, "report", CONTROLLER, {"connector_id": connector_id, "permit_seq": seq})
    await turns()


# names


@pytest.mark.parametrize(("labels", "metric"), ROWS, ids=lambda each: each.name if isinstance(each, Metric) else "")
def test_metric_is_named_as_prometheus_wants_it(labels: tuple[str, ...], metric: Metric) -> None:
    """The rules of promtool: base units, a suffix for counters only, no type in the name, a help text."""
    assert re.fullmatch(r"(ocpphub|process)_[a-z]+(_[a-z]+)*", metric.name)
    assert (metric.kind == "counter") is metric.name.endswith("_total")
    assert metric.about.endswith(".")
    assert metric.about.isascii()
    words = set(metric.name.split("_"))
    assert words.isdisjoint(("counter", "gauge", "histogram", "count", "sum", "bucket", "info")) or words >= {"build"}
    assert words.isdisjoint(("ms", "milliseconds", "minutes", "hours", "kilobytes", "kb", "mb", "percent", "kw", "wh"))
    names = [*labels, metric.label] if metric.label else [*labels]
    assert all(re.fullmatch(r"[a-z_]+", name) and name not in ("le", "job", "instance") for name in names)
    assert len(set(names)) == len(names)


def test_metrics_have_different_names() -> None:
    """One row per name."""
    names = [metric.name for _, metric in ROWS]
    assert len(set(names)) == len(names)
    assert not any(label.startswith("connector") for labels, metric in ROWS for label in (*labels, metric.label))


@pytest.mark.asyncio
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_metrics_pass_promtool() -> None:
    """`promtool check metrics` has nothing to say."""
    async with running_hub(csms=Csms()) as bench:
        text = await Metrics(bench.hub, [serve(bench)]).scrape()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# the whole


@pytest.mark.asyncio
async def test_scrape_has_every_row_of_the_table_with_its_type_and_labels(tmp_path: Path) -> None:
    """What is missing cannot be watched."""
    feeder = Feeder("main", 40.0, 9_000.0, None, (("CP1", (1,)),))
    roots = tmp_path / "roots.pem"
    roots.write_text(pki().root.pem)
    point = builders.settings(security=Security(0, None, roots, None, None, False))
    bench = HubBench(replace(hub_settings(point), feeders=(feeder,)), Csms(), None)
    async with bench.hub:
        await turns()
        bench.links["CP1"].receive([2, "a", "Nonsense", {}])
        await turns()
        families = await scraped(bench, serve(bench))
    assert list(families) == [metric.name.removesuffix("_total") for _, metric in ROWS]
    for labels, metric in ROWS:
        family = families[metric.name.removesuffix("_total")]
        names = {*labels, metric.label} - {""}
        assert (family.type, family.documentation) == (metric.kind, metric.about)
        assert family.samples, metric.name
        assert {sample.name for sample in family.samples} == {
            metric.name + suffix for suffix in SUFFIXES.get(metric.kind, ("",))
        }
        assert {*names} == {name for sample in family.samples for name in sample.labels} - {"le"}


@pytest.mark.asyncio
async def test_scrape_of_a_hub_that_is_down_has_the_process_only() -> None:
    """Before its start and after its end nothing raises."""
    async with running_hub(csms=Csms()) as bench:
        pass
    families = await scraped(bench)
    assert value(families, "process_resident_memory_bytes") > 1_000_000
    assert families["ocpphub_link_up"].samples == []
    assert families["ocpphub_limit_claimed_amperes"].samples == []


@pytest.mark.asyncio
async def test_scrape_gives_the_loop_a_turn_after_every_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """performance.md P6: a scrape of a thousand charge points holds up nobody, and says the same."""
    points = [builders.settings(identity=f"CP{number}", connectors=1) for number in range(20)]
    async with running_hub(*points, csms=Csms()) as bench:
        whole = await scraped(bench)
        monkeypatch.setattr(metrics, "SLICE", 7)
        monkeypatch.setattr(metrics, "POINTS_IN_TURN", 3)
        passed = 0

        def turn() -> None:
            nonlocal passed
            passed += 1
            loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        loop.call_soon(turn)
        sliced = await scraped(bench)
    lines = sum(len(family.samples) for family in sliced.values())
    assert passed >= lines // 21  # a histogram is one sample here, and many lines there
    for name, family in sliced.items():
        if not name.startswith("process_"):
            assert family.samples == whole[name].samples


@pytest.mark.asyncio
async def test_scrape_of_ten_thousand_connectors_looks_at_each_once_and_labels_none() -> None:
    """performance.md P6; how often rows are read is held by tests/core/test_statistics.py."""
    async with running_hub(builders.settings(connectors=10_000), csms=Csms()) as bench:
        assert bench.hub.allocator is not None
        allocation = bench.hub.allocator.allocation

        class Counted(list[Any]):
            passes = 0

            def __iter__(self) -> Any:
                Counted.passes += 1
                return super().__iter__()

        allocation.members = Counted(allocation.members)
        text = await Metrics(bench.hub, [serve(bench)]).scrape()
    assert Counted.passes == 1
    assert text.count(b"\n") < 300
    assert b'ocpphub_connectors{charge_point="CP1",status="Unavailable"} 10000.0\n' in text


@pytest.mark.asyncio
async def test_scrape_shows_no_id_tag_no_key_and_no_url() -> None:
    """Whoever reaches the port may read it: the canaries of settings, sessions and frames stay inside."""
    bench = hub_behind(40.0)
    async with bench.hub:
        await turns()
        await charge(bench, [1])
        key = {"key": "AuthorizationKey", "value": "CANARY-KEY-0123456789"}
        bench.links["CP1"].receive([2, "CANARY-ID", "ChangeConfiguration", key])
        bench.links["CP1"].receive([2, "CANARY-ID", "CANARY-ACTION", key])
        await turns()
        text = await Metrics(bench.hub, [serve(bench)]).scrape()
    assert b"ocpphub_transactions_running" in text
    assert b"CANARY" not in text
    assert b"csms.example" not in text


# what the numbers follow


@pytest.mark.asyncio
async def test_metrics_follow_link_and_frames() -> None:
    """Connected, registered, disconnected, connected again."""
    async with running_hub(csms=Csms()) as bench:
        before = await scraped(bench)
        bench.links["CP1"].receive([2, "a", "GetConfiguration", {}])
        await turns()
        bench.hub.driver.disconnected("CP1")  # type: ignore[union-attr]
        down = await scraped(bench)
        bench.hub.driver.connected("CP1")  # type: ignore[union-attr]
        after = await scraped(bench)
    cp = {"charge_point": "CP1"}
    assert [value(each, "ocpphub_link_up", **cp) for each in (before, down, after)] == [1, 0, 1]
    assert [value(each, "ocpphub_link_connections_total", **cp) for each in (before, after)] == [1, 2]
    assert value(before, "ocpphub_registration", **cp, status="Accepted") == 1
    assert value(down, "ocpphub_calls_received_total", **cp) == 1
    received = [value(each, "ocpphub_frames_received_total", **cp) for each in (before, down)]
    sent = [value(each, "ocpphub_frames_sent_total", **cp) for each in (before, down)]
    assert received[1] - received[0] == sent[1] - sent[0] == 1


@pytest.mark.asyncio
async def test_metrics_follow_the_queue() -> None:
    """What waits for a CSMS that is not there."""
    async with running_hub() as bench:
        before = await scraped(bench)
        await bench.point.security_event("Canary", "x")
        after = await scraped(bench)
    cp = {"charge_point": "CP1"}
    assert value(after, "ocpphub_queue_messages", **cp) == value(before, "ocpphub_queue_messages", **cp) + 1
    assert value(after, "ocpphub_queue_bytes", **cp) > value(before, "ocpphub_queue_bytes", **cp) > 0
    assert value(after, "ocpphub_queue_oldest_age_seconds", **cp) >= 0


@pytest.mark.asyncio
async def test_metrics_follow_claims_and_those_who_wait() -> None:
    """decisions.md 5: what may be drawn beneath each limit, who waits for a turn, and whose controller is gone."""
    bench = hub_behind(10.0)
    feeder = {"kind": "feeder", "limit": "main"}
    async with bench.hub:
        await turns()
        empty = await scraped(bench)
        await charge(bench, [1, 2])
        async with asyncio.timeout(5):
            while value(shared := await scraped(bench), "ocpphub_allocation_connectors_waiting") != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # shares are computed twenty times a second
        bench.point.controller_lost(CONTROLLER.number)
        await turns()
        held = await scraped(bench)
    assert value(empty, "ocpphub_limit_amperes", **feeder) == 10.0
    assert value(empty, "ocpphub_limit_claimed_amperes", **feeder) == 0.0
    assert 0 < value(shared, "ocpphub_limit_claimed_amperes", **feeder) <= 10.0
    assert value(shared, "ocpphub_limit_claimed_amperes", kind="charge_point", limit="CP1") > 0
    assert value(shared, "ocpphub_limit_claimed_watts", **feeder) > 0
    assert value(held, "ocpphub_allocation_connectors_held", reason="unattended") > 0
    assert empty["ocpphub_limit_watts"].samples == []


@pytest.mark.asyncio
async def test_metrics_follow_the_clients_of_all_sockets() -> None:
    """Requests, refusals and late answers of every socket together."""
    rpc = rpc_settings([Role("monitor", OTHER_UID, None, None), Role("operator", OPERATOR_UID, None, None)])
    async with running_hub(rpc=rpc) as bench:
        one, other = serve(bench), serve(bench, rpc=rpc_settings(max_connections=1))
        client, guest = ClientDouble(one), ClientDouble(one, uid=OTHER_UID)
        ClientDouble(other)
        ClientDouble(other)
        client.call("rpc.ping")
        client.send([{"jsonrpc": "2.0", "id": number, "method": "rpc.ping"} for number in range(3)])
        assert guest.error("restart")["data"]["code"] == "forbidden"
        client.send({"jsonrpc": "2.0", "id": "s:9", "result": None})
        client.send({"jsonrpc": "2.0", "method": "nonsense"})
        for _ in range(61):
            client.call("security_event", type="t", info="i")
        await turns()
        found = await scraped(bench, one, other)
    assert value(found, "ocpphub_rpc_clients") == 3
    assert value(found, "ocpphub_rpc_requests_total") == 1 + 3 + 1 + 1 + 61
    assert value(found, "ocpphub_rpc_denied_total") == 1
    assert value(found, "ocpphub_rpc_late_answers_total") == 1
    assert value(found, "ocpphub_rpc_notification_errors_total") == 1
    assert value(found, "ocpphub_rpc_connections_refused_total") == 1
    assert value(found, "ocpphub_rpc_rate_limited_total") == 1


@pytest.mark.asyncio
async def test_metrics_follow_a_client_that_does_not_read() -> None:
    """T05: what it has left unread, and the events that it was not told."""
    async with running_hub(rpc=rpc_settings(max_output_bytes=2_000)) as bench:
        server = serve(bench)
        client = ClientDouble(server)
        client.result("subscribe", topics=["security_event"])
        client.stop_reading()
        client.connection.pause_writing()
        for _ in range(30):
            bench.publish("security_event", {"type": "t", "info": "x" * 100})
        slow = await scraped(bench, server)
        client.read_on()
        after = await scraped(bench, server)
    assert value(slow, "ocpphub_rpc_unread_bytes") > 500
    assert value(slow, "ocpphub_rpc_events_dropped_total") > 10
    assert value(after, "ocpphub_rpc_unread_bytes") == 0


@pytest.mark.asyncio
async def test_metrics_follow_a_client_with_too_much_under_way() -> None:
    """T08: it is not read from until its requests are answered, and that is counted once."""
    store = MemoryStore()
    async with running_hub(rpc=rpc_settings(max_in_flight=1), store=store) as bench:
        server = serve(bench)
        client = ClientDouble(server)
        store.auto_sync = False
        for number in range(3):
            client.call("security_event", number, type="t", info="i")
        await turns()
        found = await scraped(bench, server)
        store.auto_sync = True
        store.sync()
        await turns()
        assert len(client.received()) == 3
    assert value(found, "ocpphub_rpc_clients_paused_total") == 1


@pytest.mark.asyncio
async def test_metrics_observe_commits_while_they_are_on() -> None:
    """How long the disk takes, and how much goes into one commit."""
    async with running_hub() as bench:
        numbers = Metrics(bench.hub, [])
        numbers.start(asyncio.get_running_loop())
        await bench.point.security_event("t", "i")
        await turns()
        assert numbers.commit_seconds.buckets()[-1] == ("+Inf", 1)
        assert numbers.commit_rows.sum == 1
        numbers.close()
        await bench.point.security_event("t", "i")
        await turns()
        assert numbers.commit_rows.sum == 1


@pytest.mark.asyncio
async def test_metrics_measure_how_late_the_loop_is() -> None:
    """A timer of one second, and none left at the end."""
    loop = VirtualLoop()
    async with running_hub() as bench:
        numbers = Metrics(bench.hub, [], loop.time)
        numbers.start(cast(asyncio.AbstractEventLoop, loop))
        loop.pass_time(1.0)
        assert numbers.loop_lag.sum == 0.0
        loop.pass_time(1.4)
        assert round(numbers.loop_lag.sum, 6) == 0.4
        assert dict(numbers.loop_lag.buckets())["0.25"] == 1
        numbers.close()
    assert loop.timers == []


def test_histogram_counts_a_value_in_every_bucket_that_holds_it() -> None:
    """A bound belongs to its own bucket."""
    histogram = Histogram((1.0, 5.0))
    for number in (0.5, 1.0, 3.0, 9.0):
        histogram.observe(number)
    assert histogram.buckets() == [("1.0", 2), ("5.0", 3), ("+Inf", 4)]
    assert histogram.sum == 13.5
