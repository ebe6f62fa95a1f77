"""The tour's steps about security: a profile that is raised from 1 to 3, firmware, and a log that is fetched.

Owns a hub of its own, its CSMS, which changes its profile with it, and a file server. Must never reach into the hub: it
does what a CSMS can do.

Shows: security white paper A01, A02, A05, L01, M05, N01.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import sys
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ocpp.v16 import call
from ocpp.v16.enums import CertificateUse, Log, MessageTrigger

from ocpphub.errors import OcpphubError
from ocpphub.rpc.client import AsyncClient
from ocpphub.sim import programs
from ocpphub.sim.csms import Csms
from ocpphub.sim.files import FileServer
from ocpphub.sim.operating import WAIT_S, Tour
from ocpphub.sim.tls import Authority, Signer

IDENTITY: Final = "VAULT"
SERIAL: Final = "SN-4711"
OPERATOR: Final = "Example Charging"
FIRMWARE: Final = bytes(range(256)) * 4_096
LINK_S: Final = 45.0
"""Back-off begins at 5 s, doubles and has a random part; two attempts fit."""
LAST: Final = ("Installed", "InvalidSignature", "InstallationFailed", "DownloadFailed")
"""Statuses that end an update."""
HOOK: Final = 'import json, sys; json.load(sys.stdin); print(json.dumps({"version": "2.0"}))'


class SecuringSteps:
    """The steps; :meth:`close` ends the hub and the servers, however far they came."""

    def __init__(self, tour: Tour, folder: Path, command: str) -> None:
        self.tour, self.say = tour, tour.say
        self._folder, self._command = folder / "vault", command
        self._folder.mkdir(mode=0o700)
        self._key = secrets.token_bytes(20)
        self._operator, self._maker = Authority.new("demo operator"), Authority.new("demo manufacturer")
        self._csms = Csms(passwords={IDENTITY: self._key})
        self._files: FileServer | None = None
        self._hub: asyncio.subprocess.Process | None = None
        self._client = AsyncClient(self._folder / "hub.sock")
        self._is_reachable = False

    async def close(self) -> None:
        """Nothing of it goes on."""
        with contextlib.suppress(OSError, OcpphubError):
            await self._client.close()
        if self._hub is not None and self._hub.returncode is None:
            self._hub.terminate()
            await self._hub.wait()
        await self._csms.stop()
        if self._files is not None:
            self._files.close()

    async def raise_to_2(self) -> None:
        """HTTP Basic in the clear, then over TLS."""
        self.say.step("Security profile 1, HTTP Basic; the CSMS installs its root and asks for profile 2, TLS")
        await self._start()
        profile = await self._connected(1)
        self.say.check(profile, "connected with a 20-byte key over ws://")
        early = await self._ask(call.ChangeConfiguration("SecurityProfile", "2"))
        self.say.check(early.status == "Rejected", "profile 2 is Rejected while there is no root to trust")
        root = call.InstallCertificate(CertificateUse.central_system_root_certificate, self._operator.pem)
        installed = await self._ask(root)
        accepted = await self._ask(call.ChangeConfiguration("SecurityProfile", "2"))
        both = (str(installed.status), str(accepted.status)) == ("Accepted", "Accepted")
        self.say.check(both, "the root is installed, the profile Accepted")
        await self._csms.become(self._operator.server_context(self._folder), {IDENTITY: self._key})
        self.say.csms("speaks TLS at the same port from now on")
        self.say.check(await self._connected(2), "connected again, over wss:// and with the key")

    async def raise_to_3(self) -> None:
        """A certificate of its own."""
        self.say.step("A certificate for the charge point, issued on the way, and profile 3: no password any more")
        await self._ask(call.ChangeConfiguration("CpoName", OPERATOR))
        await self._ask(call.ExtendedTriggerMessage(MessageTrigger.sign_charge_point_certificate))
        asked = await self._csms.wait_until(lambda: self._csms.count("SignCertificate") > 0, WAIT_S)
        if not asked:
            self.say.failed("no SignCertificate came")
            return
        csr = next(item.payload["csr"] for item in self._csms.received if item.action == "SignCertificate")
        self.say.csms(f"received SignCertificate, {len(csr)} characters; the private key stays in the hub")
        signed = await self._ask(call.CertificateSigned(self._operator.sign(csr)))
        accepted = await self._ask(call.ChangeConfiguration("SecurityProfile", "3"))
        both = (str(signed.status), str(accepted.status)) == ("Accepted", "Accepted")
        self.say.check(both, "the certificate and the profile are Accepted")
        await self._csms.become(self._operator.server_context(self._folder, wants_client=True), None)
        self.say.csms("wants a certificate of each charge point from now on")
        self.say.check(await self._connected(3), "connected again, with its own certificate")
        lower = await self._ask(call.ChangeConfiguration("SecurityProfile", "2"))
        self.say.check(lower.status == "Rejected", "back to profile 2 is Rejected")
        state = await self._client.call("charge_point.get")
        for each in state["certificates"]:
            self.say.note(f"{each['type']}: {each['subject']}, until {each['not_after']}")

    async def firmware(self) -> None:
        """Signed is installed, tampered is not."""
        self.say.step("Firmware: signed by the manufacturer it is installed, with one byte changed it is not")
        assert self._files is not None  # noqa: S101  # made with the hub
        signer = self._maker.signer("demo firmware")
        request = await self._update(1, signer)
        self.say.check(request == "InvalidCertificate", "refused while the manufacturer's root is not installed")
        await self._ask(call.InstallCertificate(CertificateUse.manufacturer_root_certificate, self._maker.pem))
        self._files.files["firmware-2.bin"] = bytes([FIRMWARE[0] ^ 1, *FIRMWARE[1:]])
        accepted = await self._update(2, signer)
        statuses = await self._statuses(2)
        self.say.note(f"tampered: {accepted}, then {' -> '.join(statuses)}")
        self.say.check(statuses[-1:] == ["InvalidSignature"], "the tampered firmware was not installed")
        self._files.files["firmware-3.bin"] = FIRMWARE
        accepted = await self._update(3, signer)
        statuses = await self._statuses(3)
        self.say.note(f"signed: {accepted}, then {' -> '.join(statuses)}")
        self.say.check(statuses[-1:] == ["Installed"], "the signed firmware was installed, each status told once")

    async def diagnostics(self) -> None:
        """What a CSMS fetches when something is wrong."""
        self.say.step("GetLog: diagnostics with secrets masked, uploaded over HTTPS")
        assert self._files is not None  # noqa: S101  # made with the hub
        log = {"remoteLocation": f"{self._files.url}logs/"}
        answer = await self._csms.call(IDENTITY, call.GetLog(log=log, log_type=Log.diagnostics_log, request_id=9))
        self.say.csms(f"GetLog was answered {answer.status}, {answer.filename}")
        done = await self._csms.wait_until(
            lambda: self._csms.count("LogStatusNotification", status="Uploaded", requestId=9) > 0, WAIT_S
        )
        content = self._files.files.get(f"logs/{answer.filename}", b"")
        names = _names(content)
        self.say.note(f"{len(content)} bytes: {', '.join(names)}")
        text = _text(content)
        is_clean = bool(names) and self._key.hex() not in text.lower() and "PRIVATE KEY" not in text
        self.say.check(done and is_clean, "uploaded, and no key is in it")

    # inside

    async def _start(self) -> None:
        await self._csms.start()
        self._files = FileServer(self._operator.server_context(self._folder))
        key_file = self._folder / "authorization-key"
        key_file.touch(0o600)
        key_file.write_text(self._key.hex())
        hook = self._folder / "install.py"
        hook.write_text(HOOK)
        configuration = self._folder / "hub.toml"
        configuration.write_text(_configuration(self._folder, self._csms.url, key_file, hook))
        self.say.note(f"{self._command} run -c {configuration}")
        self._hub = await programs.start("run", "-c", str(configuration))

    async def _connected(self, profile: int) -> bool:
        async def is_there() -> bool:
            try:
                if not self._is_reachable:
                    await self._client.connect()
                    self._is_reachable = True
                state = await self._client.call("charge_point.get")
            except OcpphubError:
                return False
            is_up = state["is_connected"] and state["registration"] == "Accepted" and IDENTITY in self._csms.connected
            return bool(is_up and state["security_profile"] == profile)

        return await self.tour.until(is_there, LINK_S, "waiting for the link")

    async def _ask(self, request: Any) -> Any:
        answer = await self._csms.call(IDENTITY, request)
        name = type(request).__name__
        subject = getattr(request, "key", None) or getattr(request, "certificate_type", None) or ""
        self.say.csms(f"{name} {subject} was answered {answer.status}".replace("  ", " "))
        return answer

    async def _update(self, request_id: int, signer: Signer) -> str:
        assert self._files is not None  # noqa: S101  # made with the hub
        firmware = {
            "location": f"{self._files.url}firmware-{request_id}.bin",
            "retrieveDateTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "signingCertificate": signer.certificate,
            "signature": signer.signature(FIRMWARE),
        }
        answer = await self._ask(call.SignedUpdateFirmware(request_id=request_id, firmware=firmware))
        return str(answer.status)

    async def _statuses(self, request_id: int) -> Sequence[str]:
        def told() -> list[str]:
            action = "SignedFirmwareStatusNotification"
            items = [item.payload for item in self._csms.received if item.action == action]
            return [item["status"] for item in items if item.get("requestId") == request_id]

        await self._csms.wait_until(lambda: bool(told()) and told()[-1] in LAST, WAIT_S)
        return told()


def _names(archive: bytes) -> list[str]:
    if not archive:
        return []
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


def _text(archive: bytes) -> str:
    if not archive:
        return ""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = [opened.extractfile(member) for member in opened.getmembers()]
        return "".join(file.read().decode(errors="replace") for file in files if file is not None)


def _configuration(folder: Path, url: str, key_file: Path, hook: Path) -> str:
    return f"""\
[hub]
socket = "{folder / "hub.sock"}"
state_directory = "{folder / "state"}"

[firmware]
hook = ["{sys.executable}", "{hook}"]
allow_private_addresses = true

[[charge_point]]
identity = "{IDENTITY}"
csms_url = "{url}"
connectors = 2
vendor = "ocpphub"
model = "demo"
serial_number = "{SERIAL}"

[charge_point.electrical]
connector_max_a = 32

[charge_point.security]
profile = 1
authorization_key_file = "{key_file}"
"""
