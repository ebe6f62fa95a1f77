"""Uploads over crashes and lost links, and what controllers add to them."""

from __future__ import annotations

import logging
from typing import Any

import orjson
import pytest

from ocpphub.core.collect import WAIT_S
from ocpphub.core.controllers import Controller
from ocpphub.core.diagnostics import Job
from ocpphub.core.effects import Ask
from ocpphub.core.maintenance import Maintenance, Retries
from ocpphub.errors import LocalError, UnavailableError
from tests.builders import CONTROLLER, Outside, World, settings
from tests.core.dying import Died, Dying

GOOD: dict[str, Any] = {
    "archive.look": {"ok": True, "name": "logs.tar.gz"},
    "archive.make": {"ok": True, "path": "/private/archive", "bytes": 9},
    "transfer.upload": {"ok": True, "bytes": 9},
    "file.discard": {"ok": True},
}
WITH_DIRECTORY = {"ok": True, "name": "logs.tar.gz", "directory": "/private/collect"}
TELLS = {"log": "LogStatusNotification", "diagnostics": "DiagnosticsStatusNotification"}
LOG = {"logType": "DiagnosticsLog", "requestId": 5, "log": {"remoteLocation": "https://u:canary@x/"}}
DIAGNOSTICS = {"location": "https://u:canary@x/"}
OTHER = Controller(2, "somebody else")


def site(kind: type[World] = World, *, hook: bool = False, **scripts: Any) -> Any:
    """A booted charge point whose work goes well unless said otherwise."""
    world = kind(
        settings(connectors=2),
        outside=Outside({**GOOD, **{name.replace("_", "."): script for name, script in scripts.items()}}),
        schemes=("https",),
        maintenance=Maintenance(has_collect_hook=hook),
    )
    world.boot()
    return world.forget()


def begin(world: World, family: str = "log", request_id: int = 5) -> World:
    """The CSMS asks for an upload; the answer comes when it is known what there is."""
    if family == "log":
        return world.receive([2, "csms", "GetLog", {**LOG, "requestId": request_id}])
    return world.receive([2, "csms", "GetDiagnostics", DIAGNOSTICS])


def told(family: str, *worlds: World) -> list[str]:
    """The statuses that these worlds told, one after the other."""
    return [sent["status"] for world in worlds for sent in world.sent(TELLS[family])]


def once(statuses: list[str]) -> list[str]:
    """Without those that were told again at once."""
    return [each for before, each in zip([None, *statuses], statuses, strict=False) if each != before]


def row(world: World, family: str = "log") -> Any:
    """What is stored of an upload."""
    return orjson.loads(world.rows["request", family])


# crashes


def live(family: str, life: int) -> tuple[bool, list[str], World]:
    """An upload in a process that dies after so many effects: whether it did, what was told in all, and the end."""
    attempts = iter([{"ok": False, "why": "failed"}])
    world = site(Dying, transfer_upload=lambda params: next(attempts, GOOD["transfer.upload"]))
    world.outside.latency_s = 1.0
    world.life = life
    try:
        begin(world, family).advance(200)
    except Died:
        again = world.crash()
        again.boot()
        if ("request", family) not in world.rows:  # nothing was promised, so that the CSMS asks again
            begin(again, family)
        again.advance(200)
        return True, told(family, world, again), again
    return False, told(family, world), world


@pytest.mark.parametrize("family", TELLS)
def test_upload_that_is_cut_off_anywhere_begins_again_and_ends(family: str) -> None:
    """S-224, CORE-GD-03: at every effect of it; the statuses in order, none left out."""
    for life in range(1_000):
        died, statuses, world = live(family, life)
        assert once(statuses) == ["Uploading", "Uploaded"], life
        assert row(world, family) == {"job": None, "statuses": []}, life
        if not died:
            break
    assert not died
    assert life > 10


def test_archive_of_before_the_restart_is_removed_and_made_anew() -> None:
    """S-222: the request is as it was, with the tries that are left."""
    world = site(transfer_upload={"ok": False, "why": "failed"})
    begin(world).advance(61)
    assert len(world.outside.asked("transfer.upload")) == 2
    again = world.crash().boot().advance(1_000)
    assert again.outside.asked("file.discard")[0] == {"path": "/private/archive"}
    assert len(again.outside.asked("archive.make")) == 2
    assert len(again.outside.asked("transfer.upload")) == 2 + 2
    assert [sent["status"] for sent in again.sent("LogStatusNotification")] == ["UploadFailure"]


def test_upload_that_is_over_keeps_no_address(caplog: pytest.LogCaptureFixture) -> None:
    """T30: nor is it logged."""
    caplog.set_level(logging.DEBUG)
    world = site(transfer_upload={"ok": False, "why": "permission_denied", "text": "canary"})
    begin(world).advance(0)
    assert b"canary" in world.rows["request", "log"]
    world.advance(1_000)
    assert b"canary" not in world.rows["request", "log"]
    assert "canary" not in caplog.text
    assert "canary" not in repr(Job(1, "canary", "n", "SecurityLog", Retries()))


@pytest.mark.parametrize("damaged", [b"[]", b'{"statuses":[],"job":{"name":"x"}}', b'{"statuses":[],"job":5}'])
def test_damaged_row_is_left_aside(damaged: bytes) -> None:
    """reliability.md 4.1: the charge point starts, and the next upload works."""
    world = site()
    world.rows["request", "log"] = damaged
    again = world.crash().boot()
    begin(again).advance(1)
    assert told("log", again) == ["Uploading", "Uploaded"]


# the answer


def test_answer_waits_for_the_archive_to_be_looked_at_and_later_calls_for_it() -> None:
    """S-221, CORE-RPC-05: one CALL at a time."""
    world = site()
    world.outside.latency_s = 2.0
    begin(world).receive([2, "next", "GetConfiguration", {"key": ["HeartbeatInterval"]}])
    assert world.answers == []
    world.advance(2)
    assert [answer[1] for answer in world.answers] == ["csms", "next"]
    assert world.answers[0][2] == {"status": "Accepted", "filename": "logs.tar.gz"}


def test_link_that_is_lost_before_the_answer_leaves_an_upload_that_ends() -> None:
    """S-226: the CSMS asks again, which takes its place; nothing is stuck."""
    world = site()
    world.outside.latency_s = 2.0
    begin(world, request_id=1).disconnect().advance(3)
    world.connect()
    begin(world, request_id=2).advance(100)
    assert world.answers[-1][2]["status"] == "AcceptedCanceled"
    assert once(told("log", world)) == ["Uploading", "Uploaded"]
    assert {sent["requestId"] for sent in world.sent("LogStatusNotification")} >= {2}


@pytest.mark.parametrize("family", TELLS)
def test_newer_request_takes_the_place_of_one_that_is_still_looked_for(family: str) -> None:
    """S-226, T20: a CSMS that asks on one link after the other has one look going on, and one upload comes of it."""
    world = site(archive_look=None)
    for request_id in range(9):
        begin(world, family, request_id).disconnect().connect()
    begin(world, family, 9)
    looks = [work for work in world.outside.works if work.method == "archive.look"]
    assert world.outside.abandoned == [look.ask for look in looks[:-1]]
    for look in looks:
        world.finish(look, GOOD["archive.look"])
    world.advance(1)
    assert len(world.outside.asked("archive.make")) == 1
    assert once(told(family, world)) == ["Uploading", "Uploaded"]
    assert world.sent(TELLS[family])[-1].get("requestId") == (9 if family == "log" else None)


def test_looks_for_a_log_and_for_diagnostics_do_not_disturb_one_another() -> None:
    """S-228: they are two families, and the answer to each comes."""
    world = site(archive_look=None)
    begin(world).disconnect().connect()
    begin(world, "diagnostics")
    assert world.outside.abandoned == []


def test_work_that_nobody_can_do_is_nothing_to_send() -> None:
    """S-221, CORE-GD-02"""
    world = site(archive_look=UnavailableError("internal"))
    begin(world).advance(0)
    assert world.answers[-1][2] == {"status": "Rejected"}
    begin(world, "diagnostics").advance(0)
    assert world.answers[-1][2] == {}


# what controllers add


def collecting(**scripts: Any) -> Any:
    """An upload for which both controllers were asked."""
    world = site(archive_look=WITH_DIRECTORY, **scripts)
    world.attach(1)
    world.attach(2, controller=OTHER)
    begin(world.forget()).advance(0)
    assert [ask.controller for ask in asks(world)] == [1, 2]
    return world


def asks(world: World) -> list[Ask]:
    """The questions to controllers, in order."""
    return [effect for effect in world.effects if isinstance(effect, Ask)]


def answer(world: World, index: int, result: Any) -> None:
    """A controller answers."""
    world.core.receive_answer(asks(world)[index].ask, result, None, world.now)
    world.settle()
    world.advance(0)


def test_archive_is_made_when_every_controller_has_said_that_it_is_done() -> None:
    """S-222: one has files, the other refuses."""
    world = collecting()
    answer(world, 0, {"accepted": True})
    answer(world, 1, {"accepted": False})
    assert world.outside.asked("archive.make") == []
    assert world.result(world.command("diagnostics_report", CONTROLLER, False, "no room")) is None
    world.advance(1)
    assert [each["directory"] for each in world.outside.asked("archive.make")] == ["/private/collect"]
    assert told("log", world) == ["Uploading", "Uploaded"]
    answer(world, 0, {"accepted": True})
    world.advance(WAIT_S + 1)
    assert len(world.outside.asked("archive.make")) == 1


def test_cancelled_upload_does_not_go_on_when_its_controllers_are_done() -> None:
    """S-226"""
    world = collecting()
    begin(world, request_id=6).advance(0)
    assert world.answers[-1][2]["status"] == "AcceptedCanceled"
    world.command("diagnostics_report", CONTROLLER, True, None)
    world.command("diagnostics_report", OTHER, True, None)
    world.advance(WAIT_S + 1)
    assert len(world.outside.asked("archive.make")) == 1
    assert [sent["requestId"] for sent in world.sent("LogStatusNotification")] == [5, 6, 6]


def test_report_that_nobody_asked_for_is_refused() -> None:
    """reliability.md 3.4: nor a second one."""
    world = collecting()
    world.command("diagnostics_report", CONTROLLER, True, None)
    for who in (CONTROLLER, Controller(3, "stranger")):
        with pytest.raises(LocalError, match="nobody waits"):
            world.command("diagnostics_report", who, True, None)


@pytest.mark.parametrize("why", ["hook", "security log", "no directory"])
def test_controllers_are_not_asked_where_they_have_nothing_to_add(why: str) -> None:
    """S-222: a program collects, or the log is ours."""
    look = GOOD["archive.look"] if why == "no directory" else WITH_DIRECTORY
    world = site(hook=why == "hook", archive_look=look)
    world.attach()
    world.forget()
    log_type = "SecurityLog" if why == "security log" else "DiagnosticsLog"
    world.receive([2, "csms", "GetLog", {**LOG, "logType": log_type}]).advance(1)
    assert asks(world) == []
    assert told("log", world) == ["Uploading", "Uploaded"]
