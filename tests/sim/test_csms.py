"""The embedded CSMS against a charge point made of the package ``ocpp`` alone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, ConfigurationStatus, RegistrationStatus
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from ocpphub.sim.csms import Csms


class Station(ChargePoint):
    """The least charge point: it boots and accepts configuration."""

    @on(Action.change_configuration)
    def on_change(self, key: str, **_: Any) -> call_result.ChangeConfiguration:
        known = key == "HeartbeatInterval"
        return call_result.ChangeConfiguration(
            ConfigurationStatus.accepted if known else ConfigurationStatus.not_supported
        )


def dial(csms: Csms, identity: str, headers: dict[str, str] | None = None) -> connect:
    return connect(
        f"{csms.url}/{identity}", subprotocols=[Subprotocol("ocpp1.6")], additional_headers=headers, proxy=None
    )


@asynccontextmanager
async def station(csms: Csms, identity: str) -> AsyncIterator[tuple[Station, ClientConnection]]:
    """A connected charge point whose receive loop runs."""
    async with dial(csms, identity) as connection:
        point = Station(identity, connection)
        loop = asyncio.create_task(point.start())
        try:
            yield point, connection
        finally:
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)


@pytest.mark.asyncio
async def test_csms_charge_point_boots_is_accepted_and_remembered() -> None:
    """CORE-BOOT-01: the CSMS decodes the identity of the URL and answers with its interval."""
    async with Csms(interval_s=77) as csms, station(csms, "RDAM%20123") as (point, _):
        answer = await point.call(call.BootNotification("Model", "Vendor"))
        assert (answer.status, answer.interval) == (RegistrationStatus.accepted, 77)
        assert csms.connected == {"RDAM 123"}
        assert csms.count("BootNotification", chargePointVendor="Vendor") == 1
        assert csms.count("BootNotification", chargePointVendor="Other") == 0


@pytest.mark.asyncio
async def test_csms_calls_a_charge_point_and_gets_its_answer() -> None:
    """CORE-CC-03: an unknown key is answered NotSupported."""
    async with Csms() as csms, station(csms, "HUB-1"):
        accepted = await csms.call("HUB-1", call.ChangeConfiguration("HeartbeatInterval", "5"))
        unknown = await csms.call("HUB-1", call.ChangeConfiguration("NoSuchKey", "5"))
        assert (accepted.status, unknown.status) == ("Accepted", "NotSupported")
        with pytest.raises(KeyError):
            await csms.call("HUB-2", call.ClearCache())


@pytest.mark.asyncio
async def test_csms_cut_breaks_the_connection_and_the_next_one_counts() -> None:
    """CORE-RPC-15: a cut is no closing handshake."""
    async with Csms() as csms:
        async with station(csms, "HUB-1") as (_, connection):
            csms.cut("HUB-1")
            await asyncio.wait_for(connection.wait_closed(), 5)
            assert connection.close_code == 1006
        assert await csms.wait_until(lambda: not csms.connected, 5)
        async with station(csms, "HUB-1"):
            assert await csms.wait_until(lambda: csms.connected == {"HUB-1"}, 5)
            assert csms.connects == 2


@pytest.mark.asyncio
async def test_csms_with_passwords_refuses_a_wrong_key() -> None:
    """J-141, J-143: HTTP Basic over identity and raw key, with the first request."""
    async with Csms(passwords={"HUB-1": b"\x00\xff:x"}) as csms:
        right = {"Authorization": "Basic " + base64.b64encode(b"HUB-1:\x00\xff:x").decode()}
        async with dial(csms, "HUB-1", right):
            assert await csms.wait_until(lambda: csms.connected == {"HUB-1"}, 5)
        for identity, headers in (("HUB-1", None), ("HUB-2", right)):
            with pytest.raises(InvalidStatus, match="401"):
                await dial(csms, identity, headers)


@pytest.mark.asyncio
async def test_csms_data_transfer_knows_one_vendor() -> None:
    """CORE-DT-02: the answer to another vendor is UnknownVendorId."""
    async with Csms(vendor_id="org.test") as csms, station(csms, "HUB-1") as (point, _):
        known = await point.call(call.DataTransfer("org.test", data="abc"))
        other = await point.call(call.DataTransfer("org.other"))
        assert (known.status, known.data, other.status) == ("Accepted", "cba", "UnknownVendorId")


def test_csms_has_no_url_before_it_listens() -> None:
    """J-102: there is nothing to dial yet."""
    with pytest.raises(RuntimeError):
        _ = Csms().url
