"""Requirement chapter 11 and white paper 2.9 and 2.10 row by row: firmware, diagnostics and logs of a whole hub."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from ocpphub.core.maintenance import Maintenance
from ocpphub.errors import LocalError
from tests.builders import Outside
from tests.core.fake_x509 import Authority, FakeX509
from tests.scenarios.rows.hub import ACCEPTED, SILENT, Hub, controller, ready

GOOD: dict[str, Any] = {
    "transfer.download": {"ok": True, "path": "/private/firmware", "bytes": 9},
    "firmware.verify": {"ok": True},
    "firmware.install": {"ok": True},
    "archive.look": {"ok": True, "name": "logs.tar.gz"},
    "archive.make": {"ok": True, "path": "/private/archive", "bytes": 9},
    "transfer.upload": {"ok": True, "bytes": 9},
    "file.discard": {"ok": True},
}
FAILED = {"ok": False, "why": "failed", "text": "no"}
MAKER = Authority("Maker")
SIGNER = MAKER.issue("firmware", "signing key")
SIGNED_ORDER = ["Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"]
ORDER = ["Downloading", "Downloaded", "Installing", "Installed"]


def site(connectors: int = 1, *, unsigned: bool = False, hook: bool = True, **scripts: Any) -> Hub:
    """A hub whose work goes well unless said otherwise; a program installs, with ``hook``."""
    hub = ready(
        connectors,
        outside=Outside({**GOOD, **{name.replace("_", "."): script for name, script in scripts.items()}}),
        schemes=("https",),
        x509=FakeX509(),
        maintenance=Maintenance(unsigned=unsigned, has_install_hook=hook),
    )
    root = {"certificateType": "ManufacturerRootCertificate", "certificate": MAKER.pem}
    assert hub.asks_for("InstallCertificate", **root) == ACCEPTED
    return hub.forget()


def signed(hub: Hub, request_id: int = 7, *, certificate: str = SIGNER, **changes: Any) -> Any:
    """SignedUpdateFirmware; the status of its answer."""
    firmware = {"location": "https://csms.example/f", "signature": "c2lnbmF0dXJl", "signingCertificate": certificate}
    firmware["retrieveDateTime"] = utc_text(hub.at())
    for name in {"retrieveDateTime", "installDateTime", "location"} & set(changes):
        firmware[name] = changes.pop(name)
    return hub.asks_for("SignedUpdateFirmware", requestId=request_id, firmware=firmware, **changes)["status"]


def update(hub: Hub, **changes: Any) -> dict[str, Any]:
    """UpdateFirmware; its answer."""
    payload = {"location": "https://csms.example/f", "retrieveDate": utc_text(hub.at()), **changes}
    return hub.asks_for("UpdateFirmware", **payload)


def told(hub: Hub, action: str = "SignedFirmwareStatusNotification") -> list[str]:
    """The statuses that were sent, in order."""
    return [sent["status"] for sent in hub.sent(action)]


def told_plain(hub: Hub) -> list[str]:
    return told(hub, "FirmwareStatusNotification")


def diagnostics(hub: Hub, location: str = "https://csms.example/d/", **changes: Any) -> dict[str, Any]:
    """GetDiagnostics; its answer."""
    return hub.asks_for("GetDiagnostics", location=location, **changes)


def get_log(hub: Hub, request_id: int = 5, log_type: str = "SecurityLog", **changes: Any) -> dict[str, Any]:
    """GetLog; its answer."""
    log = {"remoteLocation": "https://csms.example/l/", **changes.pop("log", {})}
    return hub.asks_for("GetLog", logType=log_type, requestId=request_id, log=log, **changes)


def told_log(hub: Hub) -> list[tuple[str, int | None]]:
    """The statuses of logs with the requests that they belong to."""
    return [(sent["status"], sent.get("requestId")) for sent in hub.sent("LogStatusNotification")]


def told_diagnostics(hub: Hub) -> list[str]:
    return told(hub, "DiagnosticsStatusNotification")


def events(hub: Hub) -> list[str]:
    """The types of the security events so far."""
    return [event["type"] for event in hub.published("security_event")]


# diagnostics


def test_diagnostics_are_uploaded_as_the_one_file_that_the_answer_names() -> None:
    """CORE-GD-01: the archive is removed afterwards."""
    hub = site()
    assert diagnostics(hub) == {"fileName": "logs.tar.gz"}
    hub.advance(1)
    upload = {"location": "https://csms.example/d/", "path": "/private/archive", "name": "logs.tar.gz"}
    assert hub.outside.asked("transfer.upload") == [upload]
    assert hub.outside.asked("file.discard") == [{"path": "/private/archive"}]


def test_diagnostics_without_a_record_name_no_file_and_upload_none() -> None:
    """CORE-GD-02"""
    hub = site(archive_look={"ok": False, "why": "nothing"})
    assert diagnostics(hub) == {}
    hub.advance(600)
    assert hub.outside.asked("archive.make") == hub.outside.asked("transfer.upload") == []
    assert told_diagnostics(hub) == []


@pytest.mark.parametrize(("result", "last"), [(GOOD["transfer.upload"], "Uploaded"), (FAILED, "UploadFailed")])
def test_upload_of_diagnostics_tells_that_it_began_and_how_it_ended(result: Any, last: str) -> None:
    """CORE-GD-03, CORE-GD-04: of its own accord it tries three times more, 60 s apart."""
    hub = site(transfer_upload=result)
    diagnostics(hub)
    hub.advance(1_000)
    assert told_diagnostics(hub) == ["Uploading", last]
    assert len(hub.outside.asked("transfer.upload")) == (1 if last == "Uploaded" else 4)


def test_archive_that_cannot_be_made_ends_the_upload() -> None:
    """CORE-GD-03"""
    hub = site(archive_make={"ok": False, "why": "too_large"})
    diagnostics(hub)
    hub.advance(1_000)
    assert told_diagnostics(hub) == ["Uploading", "UploadFailed"]
    assert hub.outside.asked("transfer.upload") == []


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (2, 3)])
def test_upload_is_tried_again_as_often_and_as_late_as_asked(retries: int, attempts: int) -> None:
    """CORE-GD-04: retries count the tries after the first one."""
    hub = site(transfer_upload=FAILED)
    diagnostics(hub, retries=retries, retryInterval=100)
    hub.advance(100 * retries - 1)
    assert len(hub.outside.asked("transfer.upload")) == max(attempts - 1, 1)
    hub.advance(1_000)
    assert len(hub.outside.asked("transfer.upload")) == attempts
    assert told_diagnostics(hub) == ["Uploading", "UploadFailed"]


def test_times_asked_for_choose_the_records() -> None:
    """CORE-GD-05"""
    hub = site()
    diagnostics(hub, startTime="2027-01-01T00:00:00Z", stopTime="2027-01-02T00:00:00+01:00")
    hub.advance(1)
    window = {"since_ms": 1_798_761_600_000, "until_ms": 1_798_844_400_000}
    assert hub.outside.asked("archive.look") == [{"log_type": "DiagnosticsLog", **window}]
    assert hub.outside.asked("archive.make") == [{"name": "logs.tar.gz", "log_type": "DiagnosticsLog", **window}]


def test_triggered_diagnostics_status_is_idle_unless_an_upload_runs() -> None:
    """CORE-GD-06, CORE-TM-10"""
    hub = site(transfer_upload=None)
    trigger = {"requestedMessage": "DiagnosticsStatusNotification"}
    assert hub.asks_for("TriggerMessage", **trigger) == ACCEPTED
    diagnostics(hub)
    hub.asks_for("TriggerMessage", **trigger)
    assert told_diagnostics(hub) == ["Idle", "Uploading", "Uploading"]
    assert hub.trace[:2] == ["answer", "DiagnosticsStatusNotification"]


def test_second_request_for_diagnostics_joins_the_running_upload() -> None:
    """CORE-GD-07: one file, one sequence of statuses."""
    hub = site()
    hub.outside.latency_s = 1.0
    unique_id = hub.receive_call("GetDiagnostics", location="https://csms.example/d/")
    hub.advance(1)
    assert hub.confirmation(unique_id) == {"fileName": "logs.tar.gz"}
    hub.advance(1)
    assert diagnostics(hub, "https://csms.example/other/") == {"fileName": "logs.tar.gz"}
    hub.advance(100)
    assert len(hub.outside.asked("transfer.upload")) == 1
    assert told_diagnostics(hub) == ["Uploading", "Uploaded"]


@pytest.mark.parametrize("location", ["gopher://csms.example/d", "ftp://csms.example/d", "file:///etc/passwd"])
def test_diagnostics_for_a_scheme_that_is_not_enabled_name_no_file(location: str) -> None:
    """CORE-GD-08"""
    hub = site()
    assert diagnostics(hub, location) == {}
    hub.advance(100)
    assert hub.outside.works == []
    assert diagnostics(hub, "HTTPS://csms.example/d/") == {"fileName": "logs.tar.gz"}


def test_diagnostics_have_statuses_of_their_own() -> None:
    """S-228: and both uploads may run at a time."""
    hub = site(transfer_upload=None)
    diagnostics(hub)
    get_log(hub)
    hub.advance(1)
    assert (told_diagnostics(hub), told_log(hub)) == (["Uploading"], [("Uploading", 5)])
    assert len(hub.outside.asked("transfer.upload")) == 2


# logs


def test_log_that_is_there_is_accepted_by_its_name_and_another_rejected() -> None:
    """S-221"""
    assert get_log(site()) == {"status": "Accepted", "filename": "logs.tar.gz"}
    hub = site(archive_look={"ok": False, "why": "nothing"})
    assert get_log(hub) == {"status": "Rejected"}
    hub.advance(100)
    assert told_log(hub) == []


@pytest.mark.parametrize("log_type", ["SecurityLog", "DiagnosticsLog"])
def test_log_of_the_kind_and_window_asked_for_is_uploaded_once(log_type: str) -> None:
    """S-222, S-223, S-224"""
    hub = site()
    get_log(hub, 9, log_type, log={"oldestTimestamp": "2027-01-01T00:00:00Z"})
    hub.advance(1)
    window = {"log_type": log_type, "since_ms": 1_798_761_600_000}
    assert hub.outside.asked("archive.make") == [{"name": "logs.tar.gz", **window}]
    assert [each["location"] for each in hub.outside.asked("transfer.upload")] == ["https://csms.example/l/"]
    assert told_log(hub) == [("Uploading", 9), ("Uploaded", 9)]


def test_every_status_of_a_log_names_its_request() -> None:
    """S-223, S-227: a triggered one while it runs too, and none is named when nothing runs."""
    hub = site(transfer_upload=None)
    trigger = {"requestedMessage": "LogStatusNotification"}
    assert hub.asks_for("ExtendedTriggerMessage", **trigger) == ACCEPTED
    get_log(hub, 3)
    hub.asks_for("ExtendedTriggerMessage", **trigger)
    assert told_log(hub) == [("Idle", None), ("Uploading", 3), ("Uploading", 3)]


def test_log_is_uploading_and_then_uploaded() -> None:
    """S-224"""
    hub = site()
    get_log(hub)
    assert hub.trace[:2] == ["answer", "LogStatusNotification"]
    hub.advance(1)
    assert told_log(hub) == [("Uploading", 5), ("Uploaded", 5)]


@pytest.mark.parametrize(
    ("why", "status", "attempts"),
    [
        ("permission_denied", "PermissionDenied", 4),
        ("failed", "UploadFailure", 4),
        ("too_large", "UploadFailure", 1),
        ("not_supported", "NotSupportedOperation", 1),
        ("refused", "BadMessage", 1),
        ("bad_message", "BadMessage", 1),
        (5, "UploadFailure", 4),
    ],
)
def test_upload_that_fails_says_why_as_exactly_as_it_can(why: Any, status: str, attempts: int) -> None:
    """S-225: what is refused here is not tried again."""
    hub = site(transfer_upload={"ok": False, "why": why})
    get_log(hub)
    hub.advance(1_000)
    assert told_log(hub) == [("Uploading", 5), (status, 5)]
    assert len(hub.outside.asked("transfer.upload")) == attempts


def test_new_log_takes_the_place_of_the_running_one_which_stays_silent() -> None:
    """S-226"""
    hub = site(transfer_upload=None)
    get_log(hub, 1)
    hub.advance(1)
    running = hub.outside.works[-1]
    assert running.method == "transfer.upload"
    hub.outside.scripts["transfer.upload"] = GOOD["transfer.upload"]
    assert get_log(hub, 2) == {"status": "AcceptedCanceled", "filename": "logs.tar.gz"}
    assert hub.outside.abandoned == [running.ask]
    hub.finish(running, FAILED)
    hub.advance(1_000)
    assert told_log(hub) == [("Uploading", 1), ("Uploading", 2), ("Uploaded", 2)]


def test_log_that_is_not_there_leaves_the_running_upload_alone() -> None:
    """S-221, S-226: bad input changes nothing."""
    hub = site(transfer_upload=None)
    get_log(hub, 1)
    hub.outside.scripts["archive.look"] = {"ok": False, "why": "nothing"}
    assert get_log(hub, 2) == {"status": "Rejected"}
    assert hub.outside.abandoned == []
    hub.advance(1)
    assert len(hub.outside.asked("transfer.upload")) == 1


def test_idle_log_status_names_no_request() -> None:
    """S-227: also after an upload."""
    hub = site()
    get_log(hub)
    hub.advance(1)
    hub.forget().asks_for("ExtendedTriggerMessage", requestedMessage="LogStatusNotification")
    assert hub.only("LogStatusNotification") == {"status": "Idle"}


# what controllers add


def test_controllers_add_to_diagnostics_where_no_program_does() -> None:
    """S-222, CORE-GD-01: the archive is made when all have reported, or 300 s later."""
    hub = site(2, archive_look={"ok": True, "name": "d", "directory": "/private/collect"})
    hub.join(2, who=controller(2), takeover=True)
    hub.local["diagnostics.collect"] = {"accepted": True}
    hub.forget()
    diagnostics(hub, startTime="2027-01-01T00:00:00Z")
    assert [(ask.controller, ask.params) for ask in hub.asks] == [
        (number, {"directory": "/private/collect", "start": "2027-01-01T00:00:00.000Z"}) for number in (1, 2)
    ]
    hub.call("diagnostics_report", controller(1), True, None)
    assert hub.outside.asked("archive.make") == []
    hub.advance(299)
    assert hub.outside.asked("archive.make") == []
    hub.advance(1)
    assert [each["directory"] for each in hub.outside.asked("archive.make")] == ["/private/collect"]


@pytest.mark.parametrize("answer", [{"accepted": False}, SILENT, None])
def test_archive_waits_for_nobody_who_does_not_collect(answer: Any) -> None:
    """S-222"""
    hub = site(archive_look={"ok": True, "name": "d", "directory": "/private/collect"})
    hub.local["diagnostics.collect"] = answer
    get_log(hub, log_type="DiagnosticsLog")
    hub.advance(11)
    assert told_log(hub) == [("Uploading", 5), ("Uploaded", 5)]


# unsigned firmware


def test_update_is_answered_before_the_download_ends() -> None:
    """CORE-UF-01, CORE-UF-03: then each step is told."""
    hub = site(unsigned=True)
    hub.outside.latency_s = 10.0
    assert update(hub) == {}
    assert told_plain(hub) == ["Downloading"]
    hub.advance(30)
    assert told_plain(hub) == ORDER
    assert all(set(sent) == {"status"} for sent in hub.sent("FirmwareStatusNotification"))


def test_nothing_is_retrieved_before_its_date() -> None:
    """CORE-UF-02"""
    hub = site(unsigned=True)
    update(hub, retrieveDate=utc_text(hub.at(20)))
    hub.advance(19.9)
    assert hub.outside.works == []
    assert told_plain(hub) == []
    hub.advance(0.2)
    assert told_plain(hub) == ORDER


def test_every_step_of_an_update_is_told() -> None:
    """CORE-UF-03"""
    hub = site(unsigned=True)
    update(hub)
    hub.advance(1)
    assert told_plain(hub) == ORDER
    assert [work.method for work in hub.outside.works] == ["transfer.download", "firmware.install", "file.discard"]


@pytest.mark.parametrize(
    ("failing", "statuses"),
    [
        ("transfer_download", ["Downloading", "DownloadFailed"]),
        ("firmware_install", ["Downloading", "Downloaded", "Installing", "InstallationFailed"]),
    ],
)
def test_failure_ends_the_sequence(failing: str, statuses: list[str]) -> None:
    """CORE-UF-04: downloads are tried four times, an installation once."""
    scripts: dict[str, Any] = {failing: FAILED}
    hub = site(unsigned=True, **scripts)
    update(hub)
    hub.advance(10_000)
    assert told_plain(hub) == statuses
    assert len(hub.outside.asked("transfer.download")) == (4 if failing == "transfer_download" else 1)
    assert len(hub.outside.asked("firmware.install")) == (0 if failing == "transfer_download" else 1)
    assert hub.state()["status"] == "Available"


def test_controller_gets_the_command_right_after_the_download() -> None:
    """CORE-UF-05"""
    hub = site(unsigned=True, hook=False)
    hub.local["firmware.install"] = {"accepted": True}
    update(hub)
    hub.advance(0)
    asked = [(ask.controller, ask.params) for ask in hub.asks if ask.method == "firmware.install"]
    assert asked == [(1, {"path": "/private/firmware"})]
    assert told_plain(hub) == ["Downloading", "Downloaded", "Installing"]
    hub.call("firmware_report", controller(), "Installed", None)
    assert told_plain(hub) == ORDER


def test_update_waits_for_sessions_and_lets_nothing_new_begin() -> None:
    """CORE-UF-06: idle connectors are Unavailable meanwhile, and operative again afterwards."""
    hub = site(3, unsigned=True, firmware_install=None)
    hub.session(1)
    hub.plug(3)
    hub.forget()
    update(hub)
    hub.advance(1)
    assert told_plain(hub) == ["Downloading", "Downloaded"]
    assert (hub.wire(1), hub.wire(2), hub.wire(3)) == ([], ["Unavailable"], ["Available", "Unavailable"])
    with pytest.raises(LocalError, match="Unavailable"):
        hub.swipe("OTHER", 3)
    hub.stop_here(1)
    assert hub.wire(1)[-1] == "Unavailable"
    assert told_plain(hub) == ["Downloading", "Downloaded", "Installing"]
    hub.forget().finish(hub.outside.works[-1], {"ok": True})
    hub.advance(0)
    assert told_plain(hub) == ["Installed"]
    assert (hub.state(1)["availability"], hub.wire(2)) == ("Operative", ["Available"])
    assert not [key for table, key in hub.rows if table == "availability"]


@pytest.mark.parametrize("reset", [{"accepted": True}, {"accepted": False}, SILENT], ids=["yes", "no", "silent"])
def test_new_version_boots_before_it_is_told_as_installed(reset: Any) -> None:
    """CORE-UF-07, S-240, CORE-UF-09: controllers are told, and cannot keep it from happening."""
    hub = site(unsigned=True, firmware_install={"ok": True, "version": "2.0", "reboot": True})
    hub.local["charge_point.reset"] = reset
    update(hub)
    hub.advance(15)
    assert hub.trace.count("charge_point.reset") == 1
    assert hub.recreations == 1
    assert told_plain(hub) == ORDER
    assert hub.only("BootNotification")["firmwareVersion"] == "2.0"
    relevant = [name for name in hub.trace if name in ("BootNotification", "FirmwareStatusNotification")]
    assert relevant == ["FirmwareStatusNotification"] * 3 + ["BootNotification", "FirmwareStatusNotification"]
    assert hub.asks_for("GetConfiguration")  # the new core answers


def test_triggered_firmware_status_is_idle_when_nothing_goes_on() -> None:
    """CORE-UF-08, CORE-TM-10"""
    hub = site(unsigned=True, transfer_download=None)
    trigger = {"requestedMessage": "FirmwareStatusNotification"}
    assert hub.asks_for("TriggerMessage", **trigger) == ACCEPTED
    update(hub)
    hub.asks_for("TriggerMessage", **trigger)
    hub.finish(hub.outside.works[-1], {"ok": False, "why": "not_supported"})
    hub.advance(0)
    hub.asks_for("TriggerMessage", **trigger)
    assert told_plain(hub) == ["Idle", "Downloading", "Downloading", "DownloadFailed", "Idle"]


@pytest.mark.parametrize(("version", "last"), [("9.9", "Installed"), ("1.2.3", "InstallationFailed")])
def test_process_that_ends_while_installing_finds_out_how_it_went(version: str, last: str) -> None:
    """CORE-UF-09: by the version that it comes up with; the boot is told first."""
    hub = site(unsigned=True, firmware_install=None)
    update(hub)
    hub.advance(1)
    assert told_plain(hub)[-1] == "Installing"
    again = hub.crash(point=replace(hub.settings, firmware_version=version)).boot().advance(1)
    assert told_plain(again) == [last]
    assert again.actions.index("BootNotification") < again.actions.index("FirmwareStatusNotification")
    assert not again.core._parts.connectors.is_held


def test_new_update_replaces_one_that_is_not_installed_yet_and_none_that_is() -> None:
    """CORE-UF-10"""
    hub = site(unsigned=True, transfer_download=None, firmware_install=None)
    update(hub, location="https://csms.example/1")
    assert update(hub, location="https://csms.example/2") == {}
    first, second = hub.outside.works
    assert (hub.outside.abandoned, second.params["location"]) == ([first.ask], "https://csms.example/2")
    hub.finish(second, GOOD["transfer.download"]).advance(0)
    assert hub.outside.works[-1].method == "firmware.install"
    assert update(hub, location="https://csms.example/3") == {}
    assert [each["location"][-1] for each in hub.outside.asked("transfer.download")] == ["1", "2"]
    hub.finish(hub.outside.works[-1], {"ok": True}).advance(0)
    assert told_plain(hub) == ["Downloading", *ORDER]


# signed firmware


@pytest.mark.parametrize(
    "certificate",
    [Authority("Stranger").issue("firmware", "key"), "no PEM", MAKER.issue("old", "key", not_after_ms=1)],
    ids=["stranger", "garbage", "expired"],
)
def test_certificate_that_no_manufacturer_root_signed_is_refused_and_nothing_starts(certificate: str) -> None:
    """S-231, S-232: the running update goes on."""
    hub = site(transfer_download=None)
    signed(hub, 1)
    assert signed(hub, 2, certificate=certificate) == "InvalidCertificate"
    assert events(hub) == ["InvalidFirmwareSigningCertificate"]
    assert hub.outside.abandoned == []
    assert told(hub) == ["Downloading"]


def test_firmware_without_any_manufacturer_root_is_refused() -> None:
    """S-231, S-232"""
    hub = ready(1, schemes=("https",), x509=FakeX509(), outside=Outside(dict(GOOD)))
    assert signed(hub) == "InvalidCertificate"
    assert events(hub) == ["InvalidFirmwareSigningCertificate"]


def test_every_state_of_a_signed_update_is_told_with_its_request() -> None:
    """S-233, S-234: the signature of the whole file is verified, then it is installed."""
    hub = site()
    assert signed(hub, 42) == "Accepted"
    hub.advance(1)
    assert [sent["status"] for sent in hub.sent("SignedFirmwareStatusNotification")] == SIGNED_ORDER
    assert {sent["requestId"] for sent in hub.sent("SignedFirmwareStatusNotification")} == {42}
    verify = {"path": "/private/firmware", "certificate": SIGNER, "signature": "c2lnbmF0dXJl"}
    assert hub.outside.asked("firmware.verify") == [verify]


def test_signature_is_verified_before_anybody_installs() -> None:
    """S-234: and what cannot be verified is not installed."""
    hub = site(firmware_verify={"ok": False, "why": "failed"})
    signed(hub)
    hub.advance(1)
    assert told(hub) == ["Downloading", "Downloaded", "InstallVerificationFailed"]
    assert hub.outside.asked("firmware.install") == []


def test_wrong_signature_is_the_end_and_a_security_event() -> None:
    """S-235"""
    hub = site(firmware_verify={"ok": False, "why": "invalid_signature"})
    signed(hub)
    hub.advance(1)
    assert told(hub) == ["Downloading", "Downloaded", "InvalidSignature"]
    assert events(hub) == ["InvalidFirmwareSignature"]
    assert hub.outside.asked("firmware.install") == []
    assert hub.outside.asked("file.discard") == [{"path": "/private/firmware"}]


def test_firmware_is_installed_at_its_time_and_told_to_be_scheduled() -> None:
    """S-236, S-237: without a time at once; FirmwareUpdated is pushed."""
    hub = site()
    signed(hub, installDateTime=utc_text(hub.at(100)))
    hub.advance(99)
    assert told(hub) == ["Downloading", "Downloaded", "SignatureVerified", "InstallScheduled"]
    hub.advance(2)
    assert told(hub)[4:] == ["Installing", "Installed"]
    assert hub.only("SecurityEventNotification")["type"] == "FirmwareUpdated"


def test_install_date_that_is_past_is_no_schedule() -> None:
    """S-237"""
    hub = site()
    signed(hub, installDateTime=utc_text(hub.at(-100)))
    hub.advance(1)
    assert told(hub) == SIGNED_ORDER


def test_signed_update_waits_for_transactions_and_holds_idle_connectors() -> None:
    """S-238: those that become free too, over a restart in the middle as well."""
    hub = site(2)
    hub.session(1)
    hub.forget()
    signed(hub)
    hub.advance(1)
    assert (hub.wire(1), hub.wire(2)) == ([], ["Unavailable"])
    hub.stop_here(1)
    hub.advance(1)
    assert hub.wire(1)[:1] == ["Unavailable"]
    assert told(hub) == SIGNED_ORDER
    assert hub.wire(2) == ["Unavailable", "Available"]


def test_download_that_waits_or_pauses_says_so() -> None:
    """S-239: DownloadScheduled until its date, DownloadPaused until it is tried again."""
    results = iter([FAILED, GOOD["transfer.download"]])
    hub = site(transfer_download=lambda params: next(results))
    signed(hub, retrieveDateTime=utc_text(hub.at(50)), retries=1, retryInterval=10)
    hub.advance(100)
    assert told(hub) == ["DownloadScheduled", "Downloading", "DownloadPaused", *SIGNED_ORDER]


def test_reboot_is_told_before_it_happens() -> None:
    """S-240"""
    hub = site(firmware_install={"ok": True, "version": "2.0", "reboot": True})
    signed(hub)
    hub.advance(5)
    relevant = [call for call in hub.calls if call.action in ("BootNotification", "SignedFirmwareStatusNotification")]
    told_with_boot = [call.payload.get("status", "boot") for call in relevant]
    assert told_with_boot == [*SIGNED_ORDER[:4], "InstallRebooting", "boot", "Installed"]


def test_reboot_does_not_wait_for_a_csms_that_is_not_there() -> None:
    """S-240: 60 s; afterwards all statuses are told, in order."""
    hub = site(firmware_install={"ok": True, "reboot": True})
    signed(hub)
    hub.offline().advance(61)
    assert hub.recreations == 1
    hub.advance(1)
    assert told(hub) == ["Downloading", *SIGNED_ORDER[1:4], "InstallRebooting", "Installed"]


def test_unsigned_and_signed_updates_exclude_one_another() -> None:
    """S-241: by default UpdateFirmware is NotSupported and nothing starts; with ``unsigned`` the other one is."""
    hub = site()
    unique_id = hub.receive_call("UpdateFirmware", location="https://x/", retrieveDate=utc_text(hub.at()))
    assert hub.answer_to(unique_id)[2] == "NotSupported"  # type: ignore[index]
    assert hub.outside.works == []
    hub = site(unsigned=True)
    firmware = {"location": "x", "retrieveDateTime": utc_text(0), "signingCertificate": SIGNER, "signature": "x"}
    unique_id = hub.receive_call("SignedUpdateFirmware", requestId=1, firmware=firmware)
    assert hub.answer_to(unique_id)[2] == "NotSupported"  # type: ignore[index]
    assert hub.outside.works == []


def test_new_signed_update_cancels_the_one_before_unless_it_is_being_installed() -> None:
    """S-242"""
    hub = site(transfer_download=None, firmware_install=None)
    signed(hub, 1)
    assert signed(hub, 2) == "AcceptedCanceled"
    assert hub.outside.abandoned == [hub.outside.works[0].ask]
    hub.finish(hub.outside.works[-1], GOOD["transfer.download"]).advance(1)
    assert hub.outside.works[-1].method == "firmware.install"
    assert signed(hub, 3) == "Rejected"
    hub.finish(hub.outside.works[-1], {"ok": True}).advance(1)
    found = [(sent["requestId"], sent["status"]) for sent in hub.sent("SignedFirmwareStatusNotification")]
    assert found == [(1, "Downloading"), *((2, status) for status in SIGNED_ORDER)]


@pytest.mark.parametrize(("why", "last"), [(None, {"status": "Idle"}), ("refused", {"status": "DownloadFailed"})])
def test_triggered_status_is_idle_after_installed_and_else_the_last_one(why: str | None, last: dict[str, Any]) -> None:
    """S-243: with the request, but for Idle."""
    hub = site(transfer_download=None)
    trigger = {"requestedMessage": "FirmwareStatusNotification"}
    assert hub.asks_for("ExtendedTriggerMessage", **trigger) == ACCEPTED
    assert hub.only("SignedFirmwareStatusNotification") == {"status": "Idle"}
    signed(hub, 6)
    hub.forget().asks_for("ExtendedTriggerMessage", **trigger)
    assert hub.only("SignedFirmwareStatusNotification") == {"status": "Downloading", "requestId": 6}
    hub.finish(hub.outside.works[-1], {"ok": False, "why": why} if why else GOOD["transfer.download"]).advance(1)
    hub.forget().asks_for("ExtendedTriggerMessage", **trigger)
    request = {} if last["status"] == "Idle" else {"requestId": 6}
    assert hub.only("SignedFirmwareStatusNotification") == {**last, **request}


def test_firmware_of_a_scheme_that_is_not_enabled_fails_at_once() -> None:
    """S-244: whoever transfers says so, and it is not tried again."""
    hub = site(transfer_download={"ok": False, "why": "not_supported"})
    assert signed(hub, location="http://csms.example/f") == "Accepted"
    hub.advance(1)
    assert told(hub) == ["Downloading", "DownloadFailed"]
    assert [each["location"] for each in hub.outside.asked("transfer.download")] == ["http://csms.example/f"]


def test_nothing_is_supported_where_nothing_can_be_transferred() -> None:
    """S-244: a missing extra answers NotSupported, and NotImplemented to triggers."""
    hub = ready(1, x509=FakeX509(), maintenance=Maintenance(unsigned=True))
    for action, payload in (
        ("GetDiagnostics", {"location": "https://x/"}),
        ("UpdateFirmware", {"location": "https://x/", "retrieveDate": utc_text(0)}),
        ("GetLog", {"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": "https://x/"}}),
    ):
        assert hub.answer_to(hub.receive_call(action, **payload))[2] == "NotSupported"  # type: ignore[index]
    for message in ("FirmwareStatusNotification", "DiagnosticsStatusNotification"):
        assert hub.asks_for("TriggerMessage", requestedMessage=message) == {"status": "NotImplemented"}
    assert hub.calls == []
