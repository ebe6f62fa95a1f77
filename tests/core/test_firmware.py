"""Firmware updates over crashes, lost links and clocks; who installs; and what a damaged row does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import orjson
import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.controllers import Controller
from ocpphub.core.effects import Ask, Recreate
from ocpphub.core.install import REPORT_WAIT_S
from ocpphub.core.maintenance import MAX_RETRIES, MAX_RETRY_INTERVAL_S, Maintenance, Retries, moment, why_of
from ocpphub.core.update import Update
from ocpphub.core.vocabulary import FirmwareStatusEnumType as Status
from ocpphub.errors import LocalError, UnavailableError
from tests.builders import CONTROLLER, Outside, World, settings
from tests.core.dying import Died, Dying
from tests.core.fake_x509 import Authority, FakeX509

MAKER = Authority("Maker")
SIGNER = MAKER.issue("firmware", "signing key")
GOOD: dict[str, Any] = {
    "transfer.download": {"ok": True, "path": "/private/firmware", "bytes": 9},
    "firmware.verify": {"ok": True},
    "firmware.install": {"ok": True},
    "file.discard": {"ok": True},
}
SIGNED_ORDER = ["Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"]
ROW = ("request", "firmware")
OTHER = Controller(2, "somebody else")


def site(kind: type[World] = World, *, unsigned: bool = False, hook: bool = True, **scripts: Any) -> Any:
    """A booted charge point that trusts the maker, whose work goes well unless said otherwise."""
    world = kind(
        settings(connectors=1),
        outside=Outside({**GOOD, **{name.replace("_", "."): script for name, script in scripts.items()}}),
        schemes=("https",),
        x509=FakeX509(),
        maintenance=Maintenance(unsigned=unsigned, has_install_hook=hook),
    )
    world.boot()
    world.ask("InstallCertificate", {"certificateType": "ManufacturerRootCertificate", "certificate": MAKER.pem})
    return world.forget()


def request(world: World, **firmware: Any) -> dict[str, Any]:
    """SignedUpdateFirmware.req of a good firmware."""
    now = utc_text(world.now.utc_ms)
    good = {"location": "https://u:canary@x/f", "retrieveDateTime": now, "signingCertificate": SIGNER, "signature": "s"}
    return {"requestId": 7, "firmware": {**good, **firmware}}


def begin(world: World, **firmware: Any) -> Any:
    """The CSMS asks for a signed update; the status that it gets."""
    return world.ask("SignedUpdateFirmware", request(world, **firmware))["status"]


def told(*worlds: World) -> list[str]:
    """The statuses that these worlds told, one after the other."""
    actions = ("SignedFirmwareStatusNotification", "FirmwareStatusNotification")
    return [call.payload["status"] for world in worlds for call in world.calls if call.action in actions]


def once(statuses: list[str]) -> list[str]:
    """Without those that were told again at once."""
    return [each for before, each in zip([None, *statuses], statuses, strict=False) if each != before]


def row(world: World) -> dict[str, Any]:
    """What is stored of the update."""
    stored: dict[str, Any] = orjson.loads(world.rows[ROW])
    return stored


# crashes


def live(life: int, **scripts: Any) -> tuple[bool, list[str], World]:
    """An update in a process that dies after so many effects: whether it did, what was told in all, and the end."""
    world = site(Dying, **scripts)
    world.outside.latency_s = 1.0
    world.life = life
    try:
        begin(world, installDateTime=utc_text(world.now.utc_ms + 5_000))
        world.advance(100)
    except Died:
        again = world.crash()
        again.boot()
        if not any(answer[2] == {"status": "Accepted"} for answer in world.answers) and ROW not in world.rows:
            begin(again, installDateTime=utc_text(again.now.utc_ms + 5_000))
        again.advance(200)
        return True, told(world, again), again
    return False, told(world), world


@pytest.mark.parametrize(
    ("scripts", "goal"),
    [
        ({}, [*SIGNED_ORDER[:3], "InstallScheduled", *SIGNED_ORDER[3:]]),
        (
            {"firmware_install": {"ok": True, "version": "2.0", "reboot": True}},
            [*SIGNED_ORDER[:3], "InstallScheduled", "Installing", "InstallRebooting", "Installed"],
        ),
        ({"firmware_verify": {"ok": False, "why": "invalid_signature"}}, [*SIGNED_ORDER[:2], "InvalidSignature"]),
    ],
    ids=["hook", "reboot", "forged"],
)
def test_update_that_is_cut_off_anywhere_goes_on_or_says_that_it_failed(scripts: Any, goal: list[str]) -> None:
    """CORE-UF-09, S-233: at every effect of it; all statuses in order, none left out, the last one an end."""
    ends = set()
    for life in range(1_000):
        died, statuses, world = live(life, **scripts)
        found = once(statuses)
        ends.add(found[-1])
        if found[-1] == "InstallationFailed":  # the program ended with the process
            assert found[:-1] == goal[: goal.index("Installing") + 1], life
        else:
            assert found == goal, life
        assert row(world)["statuses"] == [], life
        assert row(world)["update"]["stage"] == "over", life
        assert not world.core._parts.connectors.is_held, life
        if not died:
            break
    assert not died
    assert life > 15
    assert ends <= {goal[-1], "InstallationFailed"}


def test_update_that_begins_again_fetches_and_verifies_anew_and_tells_nothing_twice() -> None:
    """S-234: the file of before the restart is removed."""
    world = site()
    begin(world, installDateTime=utc_text(world.now.utc_ms + 100_000))
    world.advance(1)
    again = world.crash().boot().advance(1)
    assert told(world) == [*SIGNED_ORDER[:3], "InstallScheduled"]
    assert told(again) == []
    assert again.outside.asked("file.discard") == [{"path": "/private/firmware"}]
    assert len(again.outside.asked("firmware.verify")) == 2
    assert told(again.advance(100)) == ["Installing", "Installed"]


@pytest.mark.parametrize(
    ("failing", "result", "last"),
    [
        ("transfer.download", {"ok": False, "why": "refused"}, "InstallationFailed"),
        ("firmware.verify", {"ok": False, "why": "invalid_signature"}, "InstallVerificationFailed"),
    ],
)
def test_update_that_was_good_before_the_restart_fails_as_one_that_was(failing: str, result: Any, last: str) -> None:
    """CORE-UF-04: Downloaded and SignatureVerified have been told."""
    world = site()
    begin(world, installDateTime=utc_text(world.now.utc_ms + 100_000))
    world.advance(1)
    world.outside.scripts[failing] = result
    assert told(world.crash().boot().advance(1)) == [last]


def test_update_that_is_over_keeps_neither_address_nor_signature() -> None:
    """T30: what is done needs no password any more; nothing of it was logged."""
    world = site()
    begin(world)
    assert b"canary" in world.rows[ROW]
    world.advance(1)
    assert b"canary" not in world.rows[ROW]
    assert row(world)["update"]["certificate"] is None
    assert told(world.crash().boot().advance(10)) == []


def test_address_with_a_password_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """T30"""
    caplog.set_level(logging.DEBUG)
    world = site(transfer_download={"ok": False, "why": "failed", "text": "canary"})
    begin(world)
    world.advance(1_000)
    assert told(world)[-1] == "DownloadFailed"
    assert "canary" not in caplog.text
    update = Update(1, "canary", 0, 0, Retries(), "canary", "canary")
    assert "canary" not in repr(update)


@pytest.mark.parametrize(
    "damaged", [b"[]", b'{"statuses":[],"update":{"stage":"ready"}}', b'{"statuses":[],"update":5}']
)
def test_damaged_row_is_left_aside(damaged: bytes) -> None:
    """reliability.md 4.1: the charge point starts, and the next update works."""
    world = site()
    world.rows[ROW] = damaged
    again: Any = world.crash().boot().advance(1)
    assert told(again) == []
    assert begin(again) == "Accepted"
    assert told(again.advance(1)) == SIGNED_ORDER


# statuses while there is no link


def test_statuses_of_an_offline_update_are_told_in_order_when_the_link_is_back() -> None:
    """S-233"""
    world = site()
    begin(world)
    world.disconnect()
    world.advance(10)
    assert row(world)["update"]["stage"] == "over"
    assert once(told(world.connect().advance(0))) == SIGNED_ORDER


# dates and clocks


def test_clock_that_is_set_moves_the_dates_with_it() -> None:
    """CORE-UF-02: dates are the CSMS's time."""
    world = site()
    begin(world, retrieveDateTime=utc_text(world.now.utc_ms + 3_600_000))
    assert told(world) == ["DownloadScheduled"]
    world.csms.offset_ms = 3_599_000
    world.ask("TriggerMessage", {"requestedMessage": "Heartbeat"})
    world.advance(0.5)
    assert told(world) == ["DownloadScheduled"]
    world.advance(1)
    assert told(world) == ["DownloadScheduled", *SIGNED_ORDER]


def test_new_request_takes_the_place_of_one_that_waits_for_its_date() -> None:
    """S-242"""
    world = site()
    begin(world, retrieveDateTime=utc_text(world.now.utc_ms + 60_000))
    assert begin(world, location="https://x/second") == "AcceptedCanceled"
    world.advance(1_000)
    assert [each["location"] for each in world.outside.asked("transfer.download")] == ["https://x/second"]


# who installs


def asked(world: World) -> list[tuple[int | None, str]]:
    """Which controllers were asked to install."""
    return [(each.controller, each.params["path"]) for each in world.effects if isinstance(each, Ask)]


def answer(world: World, result: Any, error: Exception | None = None) -> None:
    """The controller that was asked last answers."""
    ask = [each for each in world.effects if isinstance(each, Ask)][-1]
    world.core.receive_answer(ask.ask, result, error, world.now)
    world.settle()
    world.advance(0)


def installing() -> Any:
    """An update that controller 1 has accepted to install."""
    world = site(hook=False)
    world.attach()
    begin(world)
    world.advance(1)
    answer(world, {"accepted": True})
    assert told(world) == SIGNED_ORDER[:4]
    return world


@pytest.mark.parametrize(("status", "last"), [("Installed", "Installed"), ("InstallationFailed", "InstallationFailed")])
def test_controller_that_accepts_reports_how_it_went(status: str, last: str) -> None:
    """CORE-UF-05, CORE-UF-04"""
    world = installing()
    assert world.result(world.command("firmware_report", CONTROLLER, "Installing", "half way")) is None
    world.command("firmware_report", CONTROLLER, status, None)
    assert told(world.advance(0)) == [*SIGNED_ORDER[:4], last]


@pytest.mark.parametrize("result", [{"accepted": False}, None, {"accepted": "yes"}])
def test_controller_that_refuses_leaves_it_to_the_next_one(result: Any) -> None:
    """CORE-UF-05: in the order of their connectors."""
    world = site(hook=False)
    world.core._parts.controllers.attach(CONTROLLER, [1], takeover=False)
    world.core._parts.controllers._of[2] = OTHER
    begin(world)
    world.advance(1)
    answer(world, result, UnavailableError("timeout") if result is None else None)
    assert asked(world) == [(1, "/private/firmware"), (2, "/private/firmware")]
    answer(world, {"accepted": False})
    assert told(world) == [*SIGNED_ORDER[:3], "InstallationFailed"]


def test_firmware_that_nobody_can_install_has_failed() -> None:
    """CORE-UF-04: neither a program nor a controller."""
    world = site(hook=False)
    begin(world)
    assert told(world.advance(1)) == [*SIGNED_ORDER[:3], "InstallationFailed"]


def test_controller_that_is_silent_for_half_an_hour_has_failed() -> None:
    """CORE-UF-04: a report keeps it alive."""
    world = installing()
    world.advance(REPORT_WAIT_S - 1).command("firmware_report", CONTROLLER, "Installing", None)
    assert told(world.advance(REPORT_WAIT_S - 1)) == SIGNED_ORDER[:4]
    assert told(world.advance(1)) == [*SIGNED_ORDER[:4], "InstallationFailed"]


def test_report_may_come_before_the_answer() -> None:
    """CORE-UF-05: a late answer changes nothing any more."""
    world = site(hook=False)
    world.attach()
    begin(world)
    world.advance(1).command("firmware_report", CONTROLLER, "Installed", None)
    world.advance(0)
    answer(world, {"accepted": False})
    assert told(world) == SIGNED_ORDER


def test_report_of_somebody_else_or_of_nothing_is_refused() -> None:
    """reliability.md 3.4"""
    world = site(hook=False)
    with pytest.raises(LocalError, match="no controller was asked"):
        world.command("firmware_report", CONTROLLER, "Installed", None)
    world = installing()
    with pytest.raises(LocalError, match="another user"):
        world.command("firmware_report", OTHER, "Installed", None)
    with pytest.raises(LocalError, match="unknown status"):
        world.command("firmware_report", CONTROLLER, "Downloaded", None)
    assert told(world.advance(0)) == SIGNED_ORDER[:4]
    world.command("firmware_report", replace(OTHER, is_operator=True), "Installed", None)
    assert told(world.advance(0)) == SIGNED_ORDER


def test_controller_installs_on_over_a_restart_and_reports_then() -> None:
    """CORE-UF-09: the connectors stay Unavailable until it has."""
    world = installing()
    again = world.crash().boot().advance(10)
    assert told(again) == []
    assert again.core._parts.connectors.is_held
    again.command("firmware_report", OTHER, "Installed", None)
    assert told(again.advance(0)) == ["Installed"]
    silent = world.crash().boot().advance(REPORT_WAIT_S)
    assert told(silent) == ["InstallationFailed"]


# programs


def test_program_that_does_not_end_well_has_failed() -> None:
    """CORE-UF-04: also when nobody does this work, or its result is none."""
    for result in ({"ok": False, "why": "refused"}, UnavailableError("internal"), ["?"]):
        world = site(firmware_install=result)
        begin(world)
        assert told(world.advance(1))[-1] == "InstallationFailed"


def test_reset_is_rejected_while_a_program_installs() -> None:
    """CORE-RES-01: it would be cut off."""
    world = site(firmware_install=None)
    assert world.ask("Reset", {"type": "Soft"}) == {"status": "Accepted"}
    world.advance(1)
    begin(world)
    world.advance(1)
    assert world.ask("Reset", {"type": "Hard"}) == {"status": "Rejected"}
    assert sum(isinstance(effect, Recreate) for effect in world.effects) == 1


def waiting_for_reset(why: str, kind: str) -> Any:
    """A reset waits for its controller while an installation could begin: the last transaction ended, or so."""
    world = site(firmware_install=None)
    world.attach()
    if why == "transaction":
        world.charge()
    world.outside.latency_s = 2.0 if why == "download" else 0.0
    begin(world, installDateTime=utc_text(world.now.utc_ms + (5_000 if why == "date" else 0)))
    world.advance(1)
    assert world.ask("Reset", {"type": kind}) == {"status": "Accepted"}
    world.outside.latency_s = 0.0
    world.advance(20)
    assert [each.method for each in world.effects if isinstance(each, Ask)][-1] == "charge_point.reset"
    assert world.outside.asked("firmware.install") == []
    return world


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
@pytest.mark.parametrize("why", ["transaction", "date", "download"])
def test_installation_does_not_begin_during_a_reset_but_after_it(why: str, kind: str) -> None:
    """S-236 to S-238, CORE-UF-06: the reset would cut it off; nothing is told twice."""
    world = waiting_for_reset(why, kind)
    answer(world, {"accepted": True})
    assert sum(isinstance(effect, Recreate) for effect in world.effects) == 1
    world.advance(10)
    assert len(world.outside.asked("firmware.install")) == 1
    assert [each for each in once(told(world)) if each != "InstallScheduled"] == SIGNED_ORDER[:4]


@pytest.mark.parametrize("why", ["transaction", "date", "download"])
def test_installation_goes_on_when_the_reset_has_failed(why: str) -> None:
    """CORE-RES-06: at once, before anybody can charge."""
    world = waiting_for_reset(why, "Soft")
    for _ in range(100):
        if world.core._parts.reset.kind is None:
            break
        answer(world, {"accepted": False})
    assert len(world.outside.asked("firmware.install")) == 1
    assert world.core._parts.connectors.is_held
    world.finish(world.outside.works[-1], {"ok": True})
    assert told(world.advance(1))[-1] == "Installed"


def test_version_that_was_installed_is_told_until_the_file_names_another() -> None:
    """CORE-UF-07: a version beyond 50 characters is cut."""
    world = site(firmware_install={"ok": True, "version": "2" * 60})
    begin(world)
    world.advance(1)
    boot = world.crash().boot()
    assert boot.sent("BootNotification")[0]["firmwareVersion"] == "2" * 50
    other = world.crash(point=replace(world.settings, firmware_version="3.0")).boot()
    assert other.sent("BootNotification")[0]["firmwareVersion"] == "3.0"


# pieces


def test_status_of_an_update_never_goes_back() -> None:
    """S-233: but for Downloading and DownloadPaused, which alternate."""
    update = Update(1, "", 0, 0, Retries())
    order = [Status.DOWNLOADING, Status.DOWNLOAD_PAUSED, Status.DOWNLOADING, Status.DOWNLOADED, Status.INSTALLING]
    assert [update.enter(each) for each in order] == [True] * 5
    assert not any(update.enter(each) for each in order)
    assert update.enter(Status.INSTALLED)
    assert not update.enter(Status.INSTALL_REBOOTING)


def test_unsigned_update_has_no_word_for_some_states() -> None:
    """CORE-UF-03"""
    update = Update(None, "", 0, 0, Retries())
    assert not update.enter(Status.SIGNATURE_VERIFIED)
    assert not update.enter(Status.DOWNLOAD_PAUSED)
    assert update.status is None
    assert update.enter(Status.DOWNLOADING)


def test_retries_of_a_request_stay_within_reason() -> None:
    """CORE-GD-04: neither below zero, nor without a pause, nor for ever."""
    assert Retries.of({}) == Retries(3, 60)
    assert Retries.of({"retries": -1, "retryInterval": 0}) == Retries(0, 1)
    assert Retries.of({"retries": 10**9, "retryInterval": 10**9}) == Retries(MAX_RETRIES, MAX_RETRY_INTERVAL_S)


def test_failures_of_our_own_are_not_tried_again() -> None:
    """S-225"""
    retries = Retries(1)
    assert not any(retries.take(why) for why in ("not_supported", "refused", "bad_message", "too_large"))
    assert [retries.take("failed"), retries.take("failed")] == [True, False]


@pytest.mark.parametrize(
    ("result", "error", "why"),
    [
        ({"ok": True}, None, None),
        ({"ok": "yes"}, None, "failed"),
        ({"ok": False, "why": "refused"}, None, "refused"),
        (None, None, "failed"),
        ({"ok": True}, UnavailableError("internal"), "failed"),
    ],
)
def test_work_failed_unless_it_says_that_it_did_not(result: Any, error: Exception | None, why: str | None) -> None:
    """S-225"""
    assert why_of(result, error) == why


def test_moment_is_utc_in_milliseconds() -> None:
    """CORE-GD-05: what cannot be read is none."""
    assert moment("1970-01-01t00:00:01z") == 1_000
    assert moment(None) is moment("soon") is None


def test_plain_trigger_tells_a_signed_update_in_the_words_that_it_has() -> None:
    """CORE-TM-10: SignatureVerified is Downloaded, and what is over is Idle."""
    world = site(firmware_install=None)
    begin(world, installDateTime=utc_text(world.now.utc_ms + 10_000))
    world.advance(1).ask("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
    assert world.advance(0).sent("FirmwareStatusNotification") == [{"status": "Downloaded"}]
    world.advance(10)
    world.finish(world.outside.works[-1], {"ok": True}).ask(
        "TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"}
    )
    assert world.advance(0).sent("FirmwareStatusNotification")[1:] == [{"status": "Idle"}]
