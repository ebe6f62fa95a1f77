"""reload.py: what a changed hub.toml does to a running hub. The hub has no disk and no network; the file is real."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ocpphub import config, log, reload
from ocpphub.reload import Reloader, plan
from ocpphub.rpc.server import Server
from ocpphub.service import ServiceManager
from tests import builders
from tests.builders import World
from tests.hub_doubles import OPERATOR_UID, OTHER_UID, ClientDouble, HubBench, serve

TEXT = """
[hub]
socket = "hub.sock"
state_directory = "state"
log_level = "info"

[[rpc.role]]
role = "operator"
uid = 0

[[charge_point]]
identity = "CP.1"
csms_url = "ws://127.0.0.1:1/ocpp"
connectors = 4
vendor = "V"
model = "M"
[charge_point.configuration]
HeartbeatInterval = 300
[charge_point.custom_keys.Tariff]
value = "day"
[charge_point.electrical]
connector_max_a = 32
[[charge_point.connector]]
ids = "1-2"
connector_max_a = 16
free_vend_id_tag = "FREE"

[[feeder]]
name = "Main"
limit_a = 100
members = ["CP.1:1-4"]
"""
SECOND = """
[[charge_point]]
identity = "CP2"
csms_url = "ws://127.0.0.1:1/ocpp"
connectors = 1
vendor = "V"
model = "M"
[charge_point.electrical]
connector_max_a = 32
"""
REGROUPED = """[[charge_point.connector]]
ids = "2"
connector_max_a = 16
free_vend_id_tag = "FREE"
[[charge_point.connector]]
ids = "1"
connector_max_a = 16
free_vend_id_tag = "FREE"
"""
OVERRIDE = TEXT[TEXT.index("[[charge_point.connector]]") : TEXT.index("[[feeder]]")]


class Manager(ServiceManager):
    """Writes down what it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[str] = []

    def ready(self, status: str) -> None:
        self.heard.append(status)

    def reloading(self) -> None:
        self.heard.append("reloading")


class Bench:
    """A running hub out of a file, a server before it, and its reloader."""

    def __init__(self, file: Path, hub: HubBench, server: Server) -> None:
        self.file, self.bench, self.server = file, hub, server
        self.hub = hub.hub
        self.manager = Manager()
        self.reloader = Reloader(self.hub, [server], self.manager)

    async def reload(self, *changes: tuple[str, str]) -> None:
        """Change the file, and let the signal come."""
        self.file.write_text(changed(*changes))
        self.reloader.request()
        await self.done()

    async def done(self) -> None:
        task = self.reloader._task
        assert task is not None
        await task


def changed(*changes: tuple[str, str]) -> str:
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A reload sets the log up anew; the next test has its own."""
    root, own = logging.getLogger(), logging.getLogger("ocpphub")
    before = list(root.handlers), root.level, own.level
    yield
    root.handlers, root.level = before[0], before[1]
    own.setLevel(before[2])
    logging.captureWarnings(False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "hub.toml").write_text(TEXT)
    return tmp_path / "hub.toml"


@pytest_asyncio.fixture
async def bench(file: Path) -> AsyncIterator[Bench]:
    hub = HubBench(config.load(file), None, None)
    async with hub.hub:
        yield Bench(file, hub, serve(hub))


def planned(file: Path, *changes: tuple[str, str]) -> reload.Plan:
    running = config.load(file)
    file.write_text(changed(*changes))
    return plan(running, config.load(file))


# What a change of the file comes to


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('log_level = "info"', 'log_level = "debug"', "hub.log_level"),
        ('log_level = "info"', 'log_format = "json"', "hub.log_format"),
        ('log_level = "info"', 'charge_before_accepted = "always"', "hub.charge_before_accepted"),
        ('log_level = "info"', "unattended_grace_s = 5", "hub.unattended_grace_s"),
        ('log_level = "info"', "unattended_close_s = 5", "hub.unattended_close_s"),
        ('log_level = "info"', "resume_wait_s = 5", "hub.resume_wait_s"),
        ('role = "operator"', 'role = "monitor"', "rpc.role"),
        ('tag = "FREE"', 'tag = "OTHER"', "charge_point[CP.1].connector.free_vend_id_tag"),
        ('ids = "1-2"', 'ids = "1-2"\nmeter_modulus_wh = 1000', "charge_point[CP.1].connector.meter_modulus_wh"),
    ],
)
def test_key_that_a_running_hub_takes_is_in_the_settings_that_go_on(file: Path, old: str, new: str, key: str) -> None:
    running = config.load(file)
    found = planned(file, (old, new))

    assert (found.taken, found.pending) == ((key,), ())
    assert plan(found.settings, config.load(file)).taken == (), "it is taken"
    assert found.settings != running


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"hub.sock"', '"other.sock"', "hub.socket"),
        ('log_level = "info"', "publish_interval_s = 5", "hub.publish_interval_s"),
        ("[[rpc.role]]", "[rpc]\nmax_in_flight = 9\n[[rpc.role]]", "rpc.max_in_flight"),
        ("[[rpc.role]]", '[metrics]\nlisten = "127.0.0.1:1"\n[[rpc.role]]', "metrics.listen"),
        ("connectors = 4", "connectors = 5", "charge_point[CP.1].connectors"),
        ("= 300", "= 400", "charge_point[CP.1].configuration.HeartbeatInterval"),
        ("= 300", "= 300\nMinimumStatusDuration = 1", "charge_point[CP.1].configuration.MinimumStatusDuration"),
        ('"day"', '"night"', "charge_point[CP.1].custom_keys[Tariff].value"),
        ("custom_keys.Tariff", "custom_keys.Other", "charge_point[CP.1].custom_keys[Tariff]"),
        ("connector_max_a = 32", "connector_max_a = 31", "charge_point[CP.1].electrical.connector_max_a"),
        ("connector_max_a = 16", "connector_max_a = 15", "charge_point[CP.1].connector.connector_max_a"),
        ("limit_a = 100", "limit_a = 90", "feeder[Main].limit_a"),
        ('"Main"', '"Other"', "feeder[Main]"),
        ("\n[[feeder]]", f"{SECOND}[[feeder]]", "charge_point[CP2]"),
        ("CP.1:1-4", "CP.1:1-3", "feeder[Main].members"),
        ("[charge_point.electrical]", "[charge_point.link]\nstrict=true\n[charge_point.electrical]",
         "charge_point[CP.1].link.strict"),
    ],
)  # fmt: skip
def test_key_that_needs_a_restart_is_named_and_keeps_its_value(file: Path, old: str, new: str, key: str) -> None:
    running = config.load(file)

    found = planned(file, (old, new))

    assert key in found.pending
    assert found.taken == ()
    assert plan(running, found.settings).pending == (), "nothing of it is in the settings that go on"


def test_charge_point_that_the_file_has_no_more_goes_on(file: Path) -> None:
    file.write_text(TEXT + SECOND)
    running = config.load(file)
    file.write_text(TEXT)

    found = plan(running, config.load(file))

    assert found.pending == ("charge_point[CP2]",)
    assert found.settings == running


def test_keys_that_a_running_hub_takes_are_the_documented_ones() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "how-to.md").read_text()
    rows = text.partition("## Change the configuration of a running hub")[2].partition("\n## ")[0].splitlines()
    named = {name for row in rows if row.startswith("| `") for name in re.findall(r"(\w+)`", row.split("|")[1])}

    assert named == {*reload.LIVE_HUB, *reload.LIVE_CONNECTOR}


def test_file_that_says_the_same_in_other_words_is_no_change(file: Path) -> None:
    found = planned(file, (OVERRIDE, REGROUPED), ("connector_max_a = 32", "connector_max_a = 32.0  # amperes"))

    assert (found.taken, found.pending) == ((), ())


def test_attributes_of_connectors_are_taken_one_by_one(file: Path) -> None:
    """The new tag with the old current; each connector is still in one table only."""
    new = '[[charge_point.connector]]\nids = "2-3"\nconnector_max_a = 10\nfree_vend_id_tag = "NEW"\n'

    found = planned(file, (OVERRIDE, new))

    assert found.taken == ("charge_point[CP.1].connector.free_vend_id_tag",)
    assert found.pending == ("charge_point[CP.1].connector.connector_max_a",)
    tables = found.settings.charge_points[0].connector_overrides
    assert {table.ids: (table.connector_max_a, table.free_vend_id_tag) for table in tables} == {
        (1,): (16, None),
        (2,): (16, "NEW"),
        (3,): (None, "NEW"),
    }


# The signal


@pytest.mark.asyncio
async def test_reload_closes_who_may_not_do_the_same_any_more(bench: Bench) -> None:
    """T40"""
    operator, other = (ClientDouble(bench.server, uid=uid) for uid in (OPERATOR_UID, OTHER_UID))

    await bench.reload(('role = "operator"', 'role = "monitor"'))

    assert (operator.closed, other.closed) == (True, False)
    assert bench.manager.heard == ["reloading", "reloaded: 1 key taken"]


@pytest.mark.asyncio
async def test_reload_reaches_the_core_and_the_one_after_a_reset(bench: Bench) -> None:
    await bench.reload(('tag = "FREE"', 'tag = "OTHER"'), ("connector_max_a = 16", "connector_max_a = 15"))

    point: Any = bench.bench.point
    assert point.core._parts.presenting.free_vend == {1: "OTHER", 2: "OTHER"}
    assert bench.manager.heard[-1] == "reloaded: 1 key taken, a restart is needed for 1"
    (table,) = point.settings.connector_overrides
    assert (table.free_vend_id_tag, table.connector_max_a) == ("OTHER", 16)
    assert bench.hub.settings.charge_points == (point.settings,)


@pytest.mark.asyncio
async def test_reload_sets_the_log_and_says_what_needs_a_restart(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    await bench.reload(('log_level = "info"', 'log_level = "warning"\nlog_format = "json"'), ("= 300", "= 400"))

    assert logging.getLogger("ocpphub").level == logging.WARNING
    (record,) = capsys.readouterr().err.splitlines()
    assert '"level": "warning"' in record
    assert "charge_point[CP.1].configuration.HeartbeatInterval needs a restart" in record


@pytest.mark.asyncio
async def test_reload_of_a_bad_file_reports_every_mistake_and_changes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """T38"""
    before = bench.hub.settings
    client = ClientDouble(bench.server)

    await bench.reload(
        ('role = "operator"', 'role = "king"'), ("= 300", "= -1"), ('log_level = "info"', 'log_level = "debug"')
    )

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [sum(word in error for error in errors) for word in ("role", "HeartbeatInterval", "stays as it was")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert bench.hub.settings is before
    assert not client.closed
    assert bench.manager.heard == ["reloading", f"reload refused: 2 problems in {bench.file}"]


@pytest.mark.asyncio
async def test_reload_of_a_file_that_is_gone_changes_nothing(bench: Bench) -> None:
    """T38"""
    before = bench.hub.settings
    bench.file.unlink()

    bench.reloader.request()
    await bench.done()

    assert bench.hub.settings is before
    assert bench.manager.heard == ["reloading", f"reload refused: 1 problem in {bench.file}"]


@pytest.mark.asyncio
async def test_signal_during_a_reload_means_one_more_behind_it(bench: Bench) -> None:
    bench.reloader.request()
    await asyncio.sleep(0)
    assert bench.manager.heard == ["reloading"]
    bench.reloader.request()
    bench.reloader.request()

    await bench.done()

    assert bench.manager.heard == ["reloading", "reloaded: 0 keys taken"] * 2


@pytest.mark.asyncio
async def test_reload_that_fails_is_over_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise systemd would wait for its end for ever."""

    def broken(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(log, "setup", broken)

    await bench.reload(('log_level = "info"', 'log_level = "debug"'))

    assert bench.manager.heard == ["reloading", "the reload failed, see the log"]
    assert "a bug" in caplog.text
    await bench.reloader.stop()


# What the core makes of it


def free_vend(tag: str | None, **changes: Any) -> config.ChargePointSettings:
    return builders.settings(
        connectors=2, connector_overrides=(builders.override([1], free_vend_id_tag=tag, **changes),)
    )


def id_tag(world: World) -> str | None:
    transaction = world.core.connector_state(1)["transaction"]
    return None if transaction is None else str(transaction["id_tag"])


def test_core_with_another_tag_gives_it_to_the_next_vehicle_and_leaves_the_one_that_charges() -> None:
    hub = builders.hub()
    world = World(free_vend("FREE"), hub=hub).boot().attach()
    world.report(1, plugged=True, energy_wh=1_000)
    assert id_tag(world) == "FREE"

    world.core.reconfigure(free_vend("OTHER"), hub, world.now)
    assert id_tag(world.settle()) == "FREE"

    world.report(1, plugged=False)
    world.report(1, plugged=True)
    assert id_tag(world) == "OTHER"


def test_core_that_may_charge_before_it_is_accepted_begins_with_the_vehicle_that_waits() -> None:
    world = World(free_vend("FREE"), hub=builders.hub(charge_before_accepted="never")).start().attach()
    world.report(1, plugged=True, energy_wh=1_000)
    assert id_tag(world) is None

    world.core.reconfigure(world.settings, builders.hub(charge_before_accepted="always"), world.now)

    assert id_tag(world.settle()) == "FREE"


def test_core_with_another_register_end_counts_on_across_it() -> None:
    hub = builders.hub()
    world = World(free_vend("FREE"), hub=hub).boot().attach()
    world.report(1, plugged=True, energy_wh=9_990)

    world.core.reconfigure(free_vend("FREE", meter_modulus_wh=10_000), hub, world.now)
    world.settle().advance(10)
    world.report(1, energy_wh=2)

    assert world.core._parts.meters.register(1) == 10_002


def test_core_with_other_waiting_times_uses_them_from_the_next_loss_on() -> None:
    world = World(free_vend(None), hub=builders.hub(unattended_grace_s=60)).boot().attach(1)
    world.report(1)
    assert world.core.connector_state(1)["status"] == "Available"

    world.core.reconfigure(world.settings, builders.hub(unattended_grace_s=5), world.now)
    world.core.controller_lost(builders.CONTROLLER.number, world.now)
    world.settle().advance(6)

    assert world.core.connector_state(1)["status"] == "Unavailable"
