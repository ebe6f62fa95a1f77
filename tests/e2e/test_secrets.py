"""Canaries: keys and id tags go through a real hub at DEBUG, and are found nowhere but in their files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from ocpp.v16 import call

from ocpphub.errors import UnavailableError
from ocpphub.rpc.client import AsyncClient
from ocpphub.sim.csms import Csms
from tests.test_config import MINIMAL

ROOT = Path(__file__).resolve().parents[2]
KEY, NEXT_KEY, REFUSED_KEY = "c0ffee" * 6 + "c0fe", "fadedcab" * 4, "deadbeefbadc0de"
ID_TAG = "CANARYTAG0123456789"


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


@pytest.mark.timeout(60)
@pytest.mark.asyncio
@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_hub_at_debug_shows_no_key_and_no_tag_anywhere(tmp_path: Path, log_format: str) -> None:
    """T30, J-149, S-157: log, socket, command line and environment hold none of the canaries, in no notation."""
    key_file = tmp_path / "key"
    key_file.touch(0o600)
    key_file.write_text(KEY.upper())
    async with Csms(passwords={"HUB-1": bytes.fromhex(KEY)}) as csms:
        text = MINIMAL.replace("ws://127.0.0.1:9000/ocpp", csms.url)
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
                seen += [Path(f"/proc/{hub.pid}/{name}").read_text() for name in ("cmdline", "environ")]
        finally:
            await client.close()
            hub.send_signal(signal.SIGTERM)
            assert await hub.wait() == 0
    seen.append((tmp_path / "log").read_text())
    if log_format == "json":
        # Each record is one object; what a reader decodes is searched too, where no escape hides anything.
        seen.append("\n".join(json.loads(line)["message"] for line in seen[-1].splitlines()))
    assert "ChangeConfiguration" in seen[-1], "frames are in the log at DEBUG"
    assert "ocpp.message" in "".join(seen)
    shown = "\n".join(seen).lower()
    secrets = [notation for key in (KEY, NEXT_KEY) for notation in notations(key)] + [REFUSED_KEY, ID_TAG]
    assert [secret for secret in secrets if secret.lower() in shown] == []


def notations(key: str) -> list[str]:
    """A key in hex and as the raw bytes' text and repr; Base64 is that of the Authorization header."""
    import base64

    raw = bytes.fromhex(key)
    return [key, repr(raw)[2:-1], base64.b64encode(b"HUB-1:" + raw).decode(), base64.b64encode(raw).decode()[:24]]
