"""A real hub behind a bad network or a bad CSMS: afterwards everything is delivered, in order, as often as it may be.

Timers are short by configuration; the wait after a lost link, which no configuration shortens, from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from ocpphub.sim.csms import Csms
from ocpphub.sim.network import DIRECTIONS, Direction, Network
from ocpphub.sim.personalities import CALL_ERROR, CUT, NORMAL, TWICE, WRONG_ID, Personality, Treatment
from tests.torture.checker import Checker
from tests.torture.evening import FREE_VEND, Evening, judged
from tests.torture.hub_process import HubProcess, Site
from tests.torture.kill import listed
from tests.torture.ledger import Ledger
from tests.torture.recorder import Recorder, Sent

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio]
CONNECTORS: Final = 3
ALL: Final = (1, 2, 3)
PING_S, PONG_S, SEND_S, TIMEOUT_S = 1, 0.5, 1.0, 1
ATTEMPTS = 5
STUCK: Final = "stuck beyond the send deadline"
SLACK_S: Final = 1.0
"""What a busy machine may add to a deadline."""


class Cutting(Network):
    """Cuts every connection when a chunk of one direction is on its way, behind its first bytes."""

    cuts: tuple[Direction, int] | None = None

    async def _write(self, direction: Direction, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.cuts is not None and self.cuts[0] == direction and len(data) > self.cuts[1]:
            writer.write(data[: self.cuts[1]])
            await writer.drain()
            self.cuts = None
            self.cut()
            return
        await super()._write(direction, data, writer)


class Narrow(Network):
    """Holds hardly anything itself, so that whoever is not read feels it soon."""

    async def start(self) -> None:
        await super().start()
        assert self._server is not None
        self._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


@contextlib.asynccontextmanager
async def evening(directory: Path, url: str, link: dict[str, Any] | None = None, **keys: Any) -> AsyncIterator[Evening]:
    """A hub with three connectors that need no tag; short timers."""
    configuration = {
        "MessageTimeout": TIMEOUT_S,
        "TransactionMessageAttempts": ATTEMPTS,
        "TransactionMessageRetryInterval": 0,
        "MeterValueSampleInterval": 1,
        "StopTxnSampledData": "Energy.Active.Import.Register",
    }
    site = Site(
        url,
        CONNECTORS,
        hub={"publish_interval_s": 0},
        link={"ping_interval_s": PING_S, "pong_timeout_s": PONG_S, "send_deadline_s": SEND_S, "connect_timeout_s": 1.0}
        | (link or {}),
        configuration=configuration | keys,
        more=FREE_VEND.format(connectors=CONNECTORS),
    )
    hub = HubProcess(directory, site)
    try:
        async with hub, Evening(hub) as driven:
            yield driven
            assert await hub.stop() == 0, hub.log_tail()
    finally:
        await hub.kill()


async def charge_for(driven: Evening, seconds: float, *connectors: int) -> None:
    """The registers rise for a while, so that samples are due."""
    for _ in range(round(seconds / 0.25)):
        await driven.charge(*connectors)
        await asyncio.sleep(0.25)


@pytest.mark.parametrize("direction", DIRECTIONS)
async def test_link_cut_within_frames_delivers_everything_in_order(tmp_path: Path, direction: Direction) -> None:
    """CORE-TXQ-06, CORE-TXQ-03: a lost link is no attempt, and half a frame is none."""
    cuts = (1, 7, 40)
    async with Csms() as csms, Cutting.towards(csms.url) as network, evening(tmp_path, network.url) as driven:
        for number, size in enumerate(cuts, 1):
            await driven.delivered()
            network.cuts = (direction, size)
            await driven.plug(*ALL)
            await csms.wait_until(partial(_has_connected, csms, number), 5)
            await driven.charge(*ALL)
            await driven.unplug(*ALL)
        await driven.delivered()
        assert network.connects > len(cuts)
        lost = len(cuts) if direction == "to_hub" else 0
        assert await judged(csms, driven.hub, lost_answers=lost) == []
        assert len(await listed(driven.hub)) == len(cuts) * len(ALL)


def _has_connected(csms: Csms, times: int) -> bool:
    return csms.connects > times


async def test_half_open_link_is_found_out_and_replaced(tmp_path: Path) -> None:
    """F14, L3, CORE-TXQ-13: within ping interval, pong time-out and a second, before the attempts of the start are used
    up; sessions go on meanwhile; then back, and all told."""
    async with Csms() as csms, Network.towards(csms.url) as network, evening(tmp_path, network.url) as driven:
        await driven.plug(1)
        await driven.delivered()
        network.half_open()
        await driven.plug(2)
        assert await driven.is_connected(False, 10) <= PING_S + PONG_S + 1 + SLACK_S
        assert driven.hub.log.read_text().count("not answered within MessageTimeout") < ATTEMPTS
        await charge_for(driven, 1.5, 1, 2)
        await driven.unplug(1)
        network.heal()
        assert await driven.is_connected(True, 10) <= 2 + SLACK_S
        await driven.unplug(2)
        await driven.delivered()
        assert await judged(csms, driven.hub, lost_answers=1) == []


async def test_csms_that_stops_reading_is_left_at_the_send_deadline(tmp_path: Path) -> None:
    """F13, T21: buffers full of answers and no ping to tell: the write that is stuck ends the link, nothing is lost."""
    async with (
        Csms() as csms,
        Narrow.towards(csms.url) as network,
        evening(tmp_path, network.url, {"ping_interval_s": 0}) as driven,
    ):
        await driven.plug(1)
        await driven.delivered()
        network.stop_reading("to_csms")
        questions = asyncio.create_task(_ask(csms))
        await driven.plug(2)
        await driven.is_connected(False, 20)
        questions.cancel()
        await asyncio.gather(questions, return_exceptions=True)
        assert STUCK in driven.hub.log.read_text()
        network.heal()
        await driven.is_connected(True, 10)
        await driven.unplug(1, 2)
        await driven.delivered()
        assert await judged(csms, driven.hub, lost_answers=1) == []


async def _ask(csms: Csms) -> None:
    """Questions with long answers, without waiting for any, until the buffers between hub and CSMS are full of them.

    No faster than the hub lets frames wait: too many of them would end the link before the deadline does.
    """
    connection = csms._connections["CP1"]
    for number in range(20_000):
        await connection.send(orjson.dumps([2, f"question-{number}", "GetConfiguration", {}]).decode())
        if number % 20 == 0:
            await asyncio.sleep(0.04)


@pytest.mark.parametrize(
    ("treatment", "lost_answers"),
    [(Treatment(delay_s=TIMEOUT_S + 0.5), 3), (TWICE, 0), (WRONG_ID, 3)],
    ids=["late", "twice", "wrong_id"],
)
async def test_strange_answers_cost_time_and_nothing_else(
    tmp_path: Path, treatment: Treatment, lost_answers: int
) -> None:
    """F22, CORE-TXQ-05: Start, samples and Stop are each answered so once; a time-out is an attempt."""
    async with Csms() as csms, evening(tmp_path, csms.url) as driven:
        await driven.delivered()
        for action in ("StartTransaction", "MeterValues", "StopTransaction"):
            csms.disturb(treatment, action)
        await driven.plug(1)
        await charge_for(driven, 1.25, 1)
        await driven.unplug(1)
        await driven.plug(2)
        await driven.unplug(2)
        await driven.delivered()
        assert await judged(csms, driven.hub, lost_answers=lost_answers) == []
        assert csms.connects == 1


async def test_csms_that_refuses_everything_for_a_while_gets_everything_later(tmp_path: Path) -> None:
    """F22, CORE-TXQ-05: a CALLERROR is an attempt, nothing passes the entry that waits, and the session goes on."""
    async with Csms() as csms, evening(tmp_path, csms.url, TransactionMessageRetryInterval=1) as driven:
        await driven.delivered()
        csms.disturb(CALL_ERROR, times=1_000)
        await driven.plug(1, 2)
        await charge_for(driven, 1.5, 1, 2)
        await driven.unplug(1)
        assert csms.ledger.records == []
        csms.calm()
        await driven.unplug(2)
        await driven.delivered()
        assert await judged(csms, driven.hub) == []


async def test_csms_that_refuses_everything_for_good_loses_sessions_and_not_the_hub(tmp_path: Path) -> None:
    """CORE-TXQ-08, errata 3.18: after TransactionMessageAttempts a message is given up; the record of it is kept."""
    async with Csms() as csms, evening(tmp_path, csms.url, TransactionMessageAttempts=2) as driven:
        await driven.delivered()
        csms.disturb(CALL_ERROR, times=1_000)
        await driven.plug(1)
        await charge_for(driven, 1.25, 1)
        await driven.unplug(1)
        await driven.delivered()
        csms.calm()
        refused = [item.payload["transactionId"] for item in csms.received if item.action == "StopTransaction"]
        assert refused == [-1, -1]
        await driven.plug(2)
        await driven.unplug(2)
        await driven.delivered()
        first, second = await listed(driven.hub)
        assert first["delivered"] is False
        assert first["undelivered"].startswith("StartTransaction")
        assert second["delivered"] is True
        assert csms.ledger.compare([second]) == []


class Poisoned(Personality):
    """Breaks the link whenever a certain message comes."""

    def __init__(self, is_poison: Callable[[str, dict[str, Any]], bool]) -> None:
        self.is_poison = is_poison

    def treat(self, action: str, payload: dict[str, Any]) -> Treatment:
        return CUT if self.is_poison(action, payload) else NORMAL


async def test_poisonous_transaction_data_is_left_out(tmp_path: Path) -> None:
    """CORE-TXQ-14: after five links lost under it StopTransaction goes without transactionData, and is taken."""
    poison = Poisoned(lambda action, payload: action == "StopTransaction" and "transactionData" in payload)
    async with Csms(personality=poison) as csms, evening(tmp_path, csms.url) as driven:
        await driven.plug(1)
        await driven.unplug(1)
        await driven.delivered()
        assert csms.count("StopTransaction") == 5 + 1
        assert await judged(csms, driven.hub) == []


async def test_poisonous_stop_goes_aside_and_is_delivered_on_command(tmp_path: Path) -> None:
    """CORE-TXQ-14: the others go on behind it, the hub says so, and ``outbox.retry`` brings it once it is wanted."""
    of: list[int] = []
    poison = Poisoned(
        lambda action, payload: action == "StopTransaction" and payload["transactionId"] in of,
    )
    async with Csms(personality=poison) as csms, evening(tmp_path, csms.url) as driven:
        await driven.plug(1, 2)
        await driven.delivered()
        of.append(next(record.transaction_id for record in csms.ledger.records if record.connector_id == 1))
        await driven.unplug(1, 2)
        await driven.plug(3)
        await driven.unplug(3)
        await driven.delivered(20, aside=1)
        assert [record.connector_id for record in csms.ledger.open] == [1]
        (entry,) = await driven.call("outbox.list", limit=10)
        assert entry["state"] == "aside"
        of.clear()
        await driven.call("outbox.retry", id=entry["id"])
        await driven.delivered()
        records = await listed(driven.hub)
        assert csms.ledger.compare(records) == []
        assert all(record["delivered"] for record in records)


class Strange(Recorder):
    """Answers the first transmission of each StartTransaction as it likes, and the next one as it should."""

    answers: tuple[dict[str, Any], ...] = (
        {},
        {"transactionId": "seven", "idTagInfo": {"status": "Accepted"}},
        {"transactionId": 7},
    )

    def _frame(self, call: Sent) -> str:
        if call.action == "StartTransaction":
            earlier = [each for each in self.transcript.of(call.action) if each.payload == call.payload]
            starts = {each.bytes_of_payload for each in self.transcript.of(call.action)}
            if len(earlier) == 1:
                return orjson.dumps([3, call.unique_id, self.answers[(len(starts) - 1) % len(self.answers)]]).decode()
        return super()._frame(call)


async def test_unusable_answer_to_a_start_is_no_answer(tmp_path: Path) -> None:
    """F22, D3, D5: the start is sent again with the same bytes, and its id is that of the answer that can be used."""
    async with Strange(1) as recorder, evening(tmp_path, recorder.url, TransactionMessageRetryInterval=0) as driven:
        for _ in Strange.answers:
            await driven.plug(1)
            await driven.charge(1)
            await driven.unplug(1)
        await driven.delivered()
        records = await listed(driven.hub)
        assert Checker(Ledger(), recorder.transcript, records).problems() == []
        assert len(list(recorder.transcript.of("StartTransaction"))) == 2 * len(Strange.answers)
        assert all(record["delivered"] for record in records)


class Chosen(Recorder):
    """Gives the ids that it is told to give."""

    ids: tuple[int, ...] = (0, -1, -(2**31), 2**31 - 1, 2**40)

    def _frame(self, call: Sent) -> str:
        if call.action != "StartTransaction":
            return super()._frame(call)
        call.given = self.ids[len(list(self.transcript.of(call.action))) - 1]
        payload = {"transactionId": call.given, "idTagInfo": {"status": "Accepted"}}
        return orjson.dumps([3, call.unique_id, payload]).decode()


async def test_any_integer_is_a_transaction_id(tmp_path: Path) -> None:
    """Errata 3.54, CORE-TX-03: 0, -1, the ends of int32 and what lies beyond come back as they were given."""
    async with Chosen(1) as recorder, evening(tmp_path, recorder.url) as driven:
        for _ in Chosen.ids:
            await driven.plug(1)
            await driven.unplug(1)
        await driven.delivered()
        assert Checker(Ledger(), recorder.transcript, await listed(driven.hub)).problems() == []
        used = [call.payload["transactionId"] for call in recorder.transcript.of("StopTransaction")]
        assert used == list(Chosen.ids)
