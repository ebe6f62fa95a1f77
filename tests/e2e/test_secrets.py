"""Canaries: keys, certificates and id tags go through a real hub at DEBUG, and are found nowhere but in their files."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import sqlite3
import sys
import tarfile
from contextlib import closing, suppress
from pathlib import Path

import pytest
from ocpp.v16 import call

from ocpphub.archive import Archives
from ocpphub.errors import UnavailableError
from ocpphub.rpc.client import AsyncClient
from ocpphub.scratch import Scratch
from ocpphub.security_log import SecurityLog
from ocpphub.sim.csms import Csms
from tests.test_config import MINIMAL

ROOT = Path(__file__).resolve().parents[2]
KEY, NEXT_KEY, REFUSED_KEY = "c0ffee" * 6 + "c0fe", "fadedcab" * 4, "deadbeefbadc0de"
ID_TAG = "CANARYTAG0123456789"
PEM_BODY = "Q0FOQVJZQ0FOQVJZQ0FOQVJZ"
PEM = f"-----BEGIN CERTIFICATE-----\n{PEM_BODY}\n-----END CERTIFICATE-----\n"


async def reachable(client: AsyncClient) -> None:
    while True:
        try:
            await client.connect()
        except UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


async def provoke(csms: Csms, client: AsyncClient) -> list[str]:
    """Push each canary through every path there is; the answers and events of the socket as text."""
    events = await client.subscribe(["ocpp.message", "configuration_key", "security_event", "charge_point.status"])
    await client.call("monitor_configuration_keys", keys=["AuthorizationKey"])
    refused = await csms.call("HUB-1", call.ChangeConfiguration("AuthorizationKey", REFUSED_KEY))
    assert refused.status == "Rejected"
    await csms.call("HUB-1", call.RemoteStartTransaction(ID_TAG, 1))
    await csms.call("HUB-1", call.InstallCertificate("CentralSystemRootCertificate", PEM))
    await csms.call("HUB-1", call.ChangeConfiguration("CpoName", "Operator"))
    triggered = await csms.call("HUB-1", call.ExtendedTriggerMessage("SignChargePointCertificate"))
    assert triggered.status == "Accepted"
    assert await csms.wait_until(lambda: csms.count("SignCertificate") == 1, 20)
    connects = csms.connects
    changed = await csms.call("HUB-1", call.ChangeConfiguration("authorizationkey", NEXT_KEY))
    assert changed.status == "Accepted"
    csms.passwords["HUB-1"] = bytes.fromhex(NEXT_KEY)
    assert await csms.wait_until(lambda: csms.connects > connects, 30), "no connection with the new key"
    answers = [await client.call(method) for method in ("get_configuration_key", "charge_point.get", "server.info")]
    seen = [json.dumps(answer) for answer in answers]
    while True:
        try:
            seen.append(json.dumps(await asyncio.wait_for(anext(events), 0.5)))
        except TimeoutError:
            return seen


async def archived(directory: Path) -> list[str]:
    """Everything in the archives that a CSMS may ask for."""
    scratch = Scratch(directory / "state" / "transfers")
    security = SecurityLog(directory / "state")
    archives = Archives(scratch, directory / "state", directory / "hub.toml", security, None, 2**26)
    texts = []
    for log_type in ("DiagnosticsLog", "SecurityLog"):
        made = await archives.make("HUB-1", {"name": "any", "log_type": log_type})
        assert made["ok"], made
        with tarfile.open(fileobj=io.BytesIO(Path(made["path"]).read_bytes()), mode="r:gz") as tar:
            texts += [file.read().decode() for file in map(tar.extractfile, tar.getmembers()) if file is not None]
    scratch.close()
    return texts


def stored_keys(state: Path) -> list[str]:
    """The lines of the private keys in the store, where they belong."""
    with closing(sqlite3.connect(state / "hub.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        text = "".join(str(row) for name in tables for row in connection.execute(f'SELECT * FROM "{name}"'))  # noqa: S608
    keys = re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text)
    assert keys, "a key was made for the certificate"
    return [line for key in keys for line in re.findall(r"[A-Za-z0-9+/=]{40,}", key)]


@pytest.mark.timeout(60)
@pytest.mark.asyncio
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_hub_at_debug_shows_no_key_and_no_tag_anywhere(tmp_path: Path, log_format: str) -> None:
    """T30, T31, J-149, S-157: neither log, archives, socket, command line nor environment hold one, in no notation."""
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY.upper())
    async with Csms(passwords={"HUB-1": bytes.fromhex(KEY)}) as csms:
        text = MINIMAL.replace("ws://127.0.0.1:9000/ocpp", csms.url).replace("model", 'serial_number = "SN"\nmodel')
        (tmp_path / "hub.toml").write_text(
            f'[hub]\nsocket = "s"\nstate_directory = "state"\nlog_level = "debug"\nlog_format = "{log_format}"\n{text}'
            '[charge_point.security]\nprofile = 1\nauthorization_key_file = "key"\n'
        )
        with (tmp_path / "log").open("wb") as log:
            hub = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ocpphub", "run", "-c", str(tmp_path / "hub.toml")),
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
            )
        client = AsyncClient(tmp_path / "s")
        try:
            async with asyncio.timeout(40):
                await reachable(client)
                assert await csms.wait_until(lambda: csms.count("StatusNotification") == 5, 20)
                seen = await provoke(csms, client)
                seen += [Path(f"/proc/{hub.pid}/cmdline").read_text()]
                with suppress(PermissionError):  # root alone may look
                    seen += [Path(f"/proc/{hub.pid}/environ").read_text()]
        finally:
            await client.close()
            hub.send_signal(signal.SIGTERM)
            assert await hub.wait() == 0
        (signing,) = (item for item in csms.received if item.action == "SignCertificate")
    request = signing.payload["csr"].splitlines()[1:-1]
    on_socket = len(seen)
    seen.append((tmp_path / "log").read_text())
    assert "ChangeConfiguration" in seen[-1], "frames are in the log at DEBUG"
    assert "ocpp.message" in "".join(seen)
    if log_format == "json":
        # Each record is one object; what a reader decodes is searched too, where no escape hides anything.
        seen.append("\n".join(json.loads(line)["message"] for line in seen[-1].splitlines()))
    seen += await archived(tmp_path)
    assert "ReconfigurationOfSecurityParameters" in seen[-1], "the change of the key is in the security log"
    assert sum("ChangeConfiguration" in text for text in seen[on_socket:]) >= 2, "frames are in the archive"
    secrets = [notation for key in (KEY, NEXT_KEY) for notation in notations(key)] + [REFUSED_KEY, ID_TAG]
    assert found(secrets + stored_keys(tmp_path / "state"), seen) == []
    # What is public is no secret on the socket, which shows frames; a log has no use for it.
    assert found([PEM_BODY, *filter(None, request)], seen[on_socket:]) == []


def found(secrets: list[str], texts: list[str]) -> list[str]:
    shown = "\n".join(texts).lower()
    return [secret for secret in secrets if secret.lower() in shown]


def notations(key: str) -> list[str]:
    """A key in hex and as the raw bytes' text and repr; Base64 is that of the Authorization header."""
    import base64

    raw = bytes.fromhex(key)
    return [key, repr(raw)[2:-1], base64.b64encode(b"HUB-1:" + raw).decode(), base64.b64encode(raw).decode()[:24]]
