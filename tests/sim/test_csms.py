"""The embedded CSMS against a charge point made of the package ``ocpp`` alone."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, ConfigurationStatus, RegistrationStatus
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from ocpphub.sim.csms import Csms
from ocpphub.sim.personalities import (
    CALL_ERROR,
    CUT,
    CUT_AFTER,
    LOST,
    TWICE,
    WRONG_ID,
    Deduplicates,
    RefusesTags,
    Slow,
    Treatment,
)

RAW = {"meterStart": 100, "timestamp": "2027-01-15T08:00:00Z"}


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


START = {"connector_id": 1, "id_tag": "TAG1", "meter_start": 100, "timestamp": "2027-01-15T08:00:00Z"}


async def started(point: Station, **changes: Any) -> Any:
    return await point.call(call.StartTransaction(**{**START, **changes}))


@pytest.mark.asyncio
async def test_csms_keeps_a_ledger_of_sessions() -> None:
    """CORE-TX-01, CORE-TX-03, CORE-TX-10: start, meter values and stop end in one record."""
    async with Csms() as csms, station(csms, "HUB-1") as (point, _):
        assert (await point.call(call.Authorize("TAG1"))).id_tag_info["status"] == "Accepted"
        number = (await started(point)).transaction_id
        value = {"timestamp": START["timestamp"], "sampled_value": [{"value": "150"}]}
        await point.call(call.MeterValues(1, [value], number))
        stopped = await point.call(call.StopTransaction(900, "2027-01-15T09:00:00Z", number, "Remote", "TAG1"))
        assert stopped.id_tag_info == {"status": "Accepted"}
        (record,) = csms.ledger.records
        assert (record.identity, record.connector_id, record.energy_wh) == ("HUB-1", 1, 800)
        assert record.stops[0]["reason"] == "Remote"
        assert record.meter_values == [
            {"timestamp": START["timestamp"], "sampledValue": [{"value": "150"}]},
        ]


@pytest.mark.asyncio
async def test_csms_that_refuses_tags_says_so_in_every_answer() -> None:
    """CORE-AUTH-02, CORE-TX-05: at Authorize and at StartTransaction."""
    async with Csms(personality=RefusesTags(share=1.0)) as csms, station(csms, "HUB-1") as (point, _):
        assert (await point.call(call.Authorize("TAG1"))).id_tag_info["status"] != "Accepted"
        assert (await started(point)).id_tag_info["status"] != "Accepted"
        assert csms.ledger.records[0].status != "Accepted"


@pytest.mark.asyncio
async def test_csms_that_deduplicates_gives_the_id_again_after_a_lost_answer() -> None:
    """F23: the message was processed, its answer was lost, the retry gets the same id."""
    async with Csms(personality=Deduplicates(share=0.0)) as csms, station(csms, "HUB-1") as (point, _):
        csms.disturb(LOST, "StartTransaction")
        point._response_timeout = 0.2
        with pytest.raises(TimeoutError):
            await started(point)
        assert (await started(point)).transaction_id == 1
        assert csms.ledger.records[0].starts == 2
        assert csms.lost_answers == {"StartTransaction": 1}


@pytest.mark.asyncio
async def test_csms_disturbance_waits_for_its_action_and_ends() -> None:
    """F13: one Heartbeat is lost, everything else is answered, and so is the next Heartbeat."""
    async with Csms() as csms, station(csms, "HUB-1") as (point, _):
        csms.disturb(LOST, "Heartbeat")
        await started(point)
        point._response_timeout = 0.2
        with pytest.raises(TimeoutError):
            await point.call(call.Heartbeat())
        assert (await point.call(call.Heartbeat())).current_time
        csms.disturb(LOST, times=100)
        csms.calm()
        assert (await point.call(call.Heartbeat())).current_time


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("treatment", "kinds"),
    [(Treatment(delay_s=0.2), [3]), (TWICE, [3, 3]), (WRONG_ID, [3]), (CALL_ERROR, [4])],
    ids=["late", "twice", "wrong id", "CALLERROR"],
)
async def test_csms_answers_as_badly_as_it_is_told(treatment: Treatment, kinds: list[int]) -> None:
    """CORE-RPC-13, F22: late, twice, with an id that nobody used, or with an error; then as ever."""
    async with Csms() as csms, dial(csms, "HUB-1") as connection:
        csms.disturb(treatment)
        frame = json.dumps([2, "m1", "StartTransaction", {"connectorId": 1, "idTag": "A", **RAW}])
        before_s = asyncio.get_running_loop().time()
        await connection.send(frame)
        answers = [json.loads(await asyncio.wait_for(connection.recv(), 5)) for _ in kinds]
        assert asyncio.get_running_loop().time() - before_s >= treatment.delay_s * 0.9
        assert [answer[0] for answer in answers] == kinds
        assert all((answer[1] == "m1") is (treatment is not WRONG_ID) for answer in answers)
        assert len(csms.ledger.records) == (0 if treatment is CALL_ERROR else 1)
        await connection.send('[2,"m2","Heartbeat",{}]')
        assert json.loads(await asyncio.wait_for(connection.recv(), 5))[1] == "m2"


@pytest.mark.asyncio
@pytest.mark.parametrize(("treatment", "records"), [(CUT, 0), (CUT_AFTER, 1)])
async def test_csms_drops_the_link_on_a_message(treatment: Treatment, records: int) -> None:
    """CORE-RPC-15, F14: before it has processed the message, or after."""
    async with Csms() as csms, dial(csms, "HUB-1") as connection:
        csms.disturb(treatment, "StartTransaction")
        await connection.send(json.dumps([2, "m1", "StartTransaction", {"connectorId": 1, "idTag": "A", **RAW}]))
        await asyncio.wait_for(connection.wait_closed(), 5)
        assert connection.close_code == 1006
        assert len(csms.ledger.records) == records


@pytest.mark.asyncio
async def test_csms_late_answers_die_with_their_link() -> None:
    """CORE-RPC-15: nothing is sent into the next connection."""
    async with Csms(personality=Slow(least_s=0.2, most_s=0.3)) as csms:
        async with dial(csms, "HUB-1") as connection:
            await connection.send('[2,"m1","Heartbeat",{}]')
            assert await csms.wait_until(lambda: csms.count("Heartbeat") == 1, 5)
        async with dial(csms, "HUB-1") as connection:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.recv(), 0.5)


@pytest.mark.asyncio
async def test_csms_wakes_who_waits_for_its_ledger() -> None:
    """The last message of all is enough: the record is there when the waiting ends."""
    async with Csms() as csms, station(csms, "HUB-1") as (point, _):
        waiting = asyncio.create_task(csms.wait_until(lambda: bool(csms.ledger.records), 5))
        await asyncio.sleep(0)
        await started(point)
        assert await asyncio.wait_for(waiting, 1)


@pytest.mark.asyncio
async def test_csms_becomes_another_at_the_same_port(tmp_path: Path) -> None:
    """As a CSMS does whose charge points are raised to another security profile."""
    tls = pytest.importorskip("ocpphub.sim.tls", reason="needs the extra `security`")
    authority = tls.Authority.new("operator")
    async with Csms() as csms:
        plain = csms.url
        await csms.become(authority.server_context(tmp_path), {"HUB-1": b"key"})
        assert csms.url == plain.replace("ws:", "wss:")
        with pytest.raises(InvalidStatus):
            await connect(
                f"{csms.url}/HUB-1",
                subprotocols=[Subprotocol("ocpp1.6")],
                ssl=ssl.create_default_context(cadata=authority.pem),
            )
