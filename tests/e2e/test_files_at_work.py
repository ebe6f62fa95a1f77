"""Firmware and logs through a whole hub: a server, a signature, a hook, an archive; the link alone is a double."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ocpphub import config
from ocpphub.api import Hub
from ocpphub.driver import Driver
from tests.builders import EPOCH_MS, Csms
from tests.hub_doubles import ScriptedLink
from tests.pki import CODE, NOW_MS, issue

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]
FIRMWARE = bytes(range(256)) * 2_000
TOML = """
[hub]
socket = "s"
state_directory = "state"
[[charge_point]]
identity = "CP1"
csms_url = "ws://127.0.0.1:1/ocpp"
connectors = 2
vendor = "V"
model = "M"
[charge_point.electrical]
connector_max_a = 32
[charge_point.configuration]
SupportedFileTransferProtocols = "HTTP,HTTPS"
[firmware]
allow_private_addresses = true
hook = ["/bin/sh", "-c", "cat >request; cat $(grep -o '/proc/self/fd/[0-9]*' request) >installed"]
"""


class FileServer:
    """A server on loopback; ``files`` are what it gives out and what was put there, by name."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, files[self.path])

            def do_PUT(self) -> None:
                files[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(201, b"")

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Rig:
    """A running hub, its CSMS and the server."""

    hub: Hub
    files: FileServer
    links: list[ScriptedLink] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.hub.settings.hub.state_directory

    async def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The CSMS asks; the answer, which may take a moment."""
        link = self.links[-1]
        link.receive([2, f"csms-{action}-{len(link.sent)}", action, payload])
        number = len(link.sent)
        await self.until(lambda: any(message[0] in (3, 4) for message in link.sent[number:]))
        (answer,) = (message for message in link.sent[number:] if message[0] in (3, 4))
        assert answer[0] == 3, answer
        result: dict[str, Any] = answer[2]
        return result

    def told(self, action: str) -> list[str]:
        """The statuses of a kind, in order."""
        return [item[3]["status"] for link in self.links for item in link.sent if item[0] == 2 and item[2] == action]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110  # files and threads have no event
                await asyncio.sleep(0.005)


@pytest.fixture
def files() -> Iterator[FileServer]:
    server = FileServer()
    yield server
    server.stop()


@asynccontextmanager
async def rig(directory: Path, files: FileServer) -> AsyncIterator[Rig]:
    (directory / "hub.toml").write_text(TOML)
    links: list[ScriptedLink] = []

    def link(point: config.ChargePointSettings, driver: Driver) -> ScriptedLink:
        links.append(ScriptedLink(point, driver, Csms(offset_ms=NOW_MS - EPOCH_MS)))
        return links[-1]

    hub = Hub(config.load(directory / "hub.toml"), link=link)
    async with hub:
        found = Rig(hub, files, links)
        await found.until(lambda: hub.charge_points["CP1"].core.state(hub.charge_points["CP1"].now())["is_connected"])
        yield found


async def test_signed_firmware_is_installed_and_a_tampered_one_is_not(tmp_path: Path, files: FileServer) -> None:
    """S-231 to S-236, T36: from the URL to the hook; the refusal is a security event."""
    root = issue(None, "Manufacturer", authority=True)
    signer = issue(root, "Signer", usage=("digital_signature",), extended=(CODE,))
    signature = b64encode(signer.key.sign(FIRMWARE, ec.ECDSA(hashes.SHA256()))).decode()
    files.files |= {"/good": FIRMWARE, "/bad": FIRMWARE[:-1] + b"!"}
    async with rig(tmp_path, files) as found:
        installed = await found.ask(
            "InstallCertificate", {"certificateType": "ManufacturerRootCertificate", "certificate": root.pem}
        )
        assert installed == {"status": "Accepted"}
        for number, (name, last) in enumerate((("bad", "InvalidSignature"), ("good", "Installed"))):
            firmware = {
                "location": f"{files.url}/{name}",
                "retrieveDateTime": "2020-01-01T00:00:00Z",
                "signingCertificate": signer.pem,
                "signature": signature,
            }
            answer = await found.ask("SignedUpdateFirmware", {"requestId": number, "firmware": firmware})
            assert answer == {"status": "Accepted"}
            await found.until(lambda last=last: last in found.told("SignedFirmwareStatusNotification"))
            assert (found.state / "installed").exists() is (name == "good")
        assert found.told("SignedFirmwareStatusNotification") == [
            *("Downloading", "Downloaded", "InvalidSignature"),
            *("Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"),
        ]
        assert (found.state / "installed").read_bytes() == FIRMWARE
        await found.until(lambda: list((found.state / "transfers").iterdir()) == [])
    kinds = [json.loads(line)["type"] for line in (found.state / "security" / "CP1.jsonl").read_text().splitlines()]
    assert "InvalidFirmwareSignature" in kinds
    assert "FirmwareUpdated" in kinds


async def test_logs_are_uploaded_and_what_was_uploaded_can_be_read(tmp_path: Path, files: FileServer) -> None:
    """S-221 to S-224, CORE-GD-01, CORE-GD-03: both families, each with one file."""
    async with rig(tmp_path, files) as found:
        log = {"remoteLocation": f"{files.url}/logs/"}
        answer = await found.ask("GetLog", {"logType": "SecurityLog", "requestId": 7, "log": log})
        assert answer["status"] == "Accepted"
        await found.until(lambda: "Uploaded" in found.told("LogStatusNotification"))
        assert found.told("LogStatusNotification") == ["Uploading", "Uploaded"]
        with tarfile.open(fileobj=io.BytesIO(files.files[f"/logs/{answer['filename']}"]), mode="r:gz") as tar:
            text = (tar.extractfile("security.jsonl") or io.BytesIO()).read().decode()
        assert json.loads(text.splitlines()[0])["type"] == "StartupOfTheDevice"
        nothing = {**log, "latestTimestamp": "2001-01-01T00:00:00Z"}
        answer = await found.ask("GetLog", {"logType": "SecurityLog", "requestId": 8, "log": nothing})
        assert answer == {"status": "Rejected"}
        answer = await found.ask(
            "GetDiagnostics", {"location": f"{files.url}/logs/", "stopTime": "2001-01-01T00:00:00Z"}
        )
        assert answer == {}
        await found.until(lambda: list((found.state / "transfers").iterdir()) == [])
    assert len(files.files) == 1
