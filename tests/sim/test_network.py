"""The bad network: what goes in comes out, and each fault does what it is named for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from ocpphub.sim.csms import Csms
from ocpphub.sim.network import Network

STEP_S = 5.0
QUIET_S = 0.15
"""Long enough for bytes on loopback, when none are to come."""


class Echo:
    """A server that sends back what it gets, and knows how it got it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.pieces.append(data)
                writer.write(data)
                await writer.drain()
        self.ended.set()
        writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, Network]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Network("127.0.0.1", server.sockets[0].getsockname()[1]) as network:
        yield echo, network
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def dialled(network: Network) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(STEP_S):
        return await reader.readexactly(size)


async def assert_quiet(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), QUIET_S)


@pytest.mark.asyncio
async def test_network_without_faults_is_a_cable() -> None:
    """Bytes both ways, and the end of the stream."""
    async with echoing() as (echo, network), dialled(network) as (reader, writer):
        data = bytes(range(256)) * 1000
        writer.write(data)
        assert await answer(reader, len(data)) == data
        writer.write_eof()
        await asyncio.wait_for(echo.ended.wait(), STEP_S)
        assert await asyncio.wait_for(reader.read(), STEP_S) == b""
        assert network.forwarded == {"to_csms": len(data), "to_hub": len(data)}


@pytest.mark.asyncio
async def test_network_cut_resets_both_ends_and_serves_the_next_connection() -> None:
    """CORE-RPC-15: no closing handshake, no FIN."""
    async with echoing() as (echo, network):
        async with dialled(network) as (reader, writer):
            writer.write(b"a")
            await answer(reader, 1)
            network.cut()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), STEP_S)
            await asyncio.wait_for(echo.ended.wait(), STEP_S)
        async with dialled(network) as (reader, writer):
            writer.write(b"b")
            assert await answer(reader, 1) == b"b"
        assert network.connects == 2


@pytest.mark.asyncio
async def test_network_half_open_keeps_the_sockets_and_forwards_nothing() -> None:
    """F14: both sides can write, nobody hears; healed, the bytes that were on their way arrive."""
    async with echoing() as (echo, network), dialled(network) as (reader, writer):
        writer.write(b"a")
        await answer(reader, 1)
        network.half_open()
        writer.write(b"b")
        await assert_quiet(reader)
        assert echo.pieces == [b"a"]
        assert not writer.is_closing()
        network.heal()
        assert await answer(reader, 1) == b"b"


@pytest.mark.asyncio
async def test_network_that_stops_reading_fills_the_buffers_of_the_sender() -> None:
    """F13: a write that does not end, while the other direction still works."""
    async with echoing() as (_, network), dialled(network) as (_, writer):
        network.stop_reading("to_csms")

        async def write_for_ever() -> None:
            while True:
                writer.write(bytes(1_000_000))
                await writer.drain()

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(write_for_ever(), 0.5)
        assert network.forwarded["to_csms"] == 0
        writer.transport.abort()


@pytest.mark.asyncio
async def test_network_delays_each_way() -> None:
    """A round trip takes twice the delay."""
    async with echoing() as (_, network), dialled(network) as (reader, writer):
        network.delay_s = 0.1
        before_s = asyncio.get_running_loop().time()
        writer.write(b"a")
        await answer(reader, 1)
        assert 0.19 <= asyncio.get_running_loop().time() - before_s < 2


@pytest.mark.asyncio
async def test_network_slices_what_goes_through_it() -> None:
    """A frame may arrive byte by byte."""
    async with echoing() as (echo, network), dialled(network) as (reader, writer):
        network.slice_bytes = 3
        writer.write(b"0123456789")
        assert await answer(reader, 10) == b"0123456789"
        assert len(echo.pieces) > 1


@pytest.mark.asyncio
async def test_network_that_refuses_resets_new_connections_only() -> None:
    """CORE-RPC-04: nobody there, for a while."""
    async with echoing() as (_, network), dialled(network) as (old_reader, old_writer):
        old_writer.write(b"a")
        await answer(old_reader, 1)
        network.refuses = True
        with pytest.raises(ConnectionResetError):
            async with dialled(network) as (reader, _):
                await asyncio.wait_for(reader.read(), STEP_S)
        old_writer.write(b"b")
        assert await answer(old_reader, 1) == b"b"


@pytest.mark.asyncio
async def test_network_in_front_of_nobody_closes_what_comes() -> None:
    """A server that is down."""
    async with Network("127.0.0.1", 1) as network, dialled(network) as (reader, _):
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), STEP_S) == b""


@pytest.mark.asyncio
async def test_network_towards_a_csms_carries_websockets() -> None:
    """The hub dials the network instead of the CSMS."""
    async with Csms() as csms, Network.towards(csms.url) as network:
        assert network.url == csms.url.replace(csms.url.split(":")[2].split("/")[0], str(network.port))
        network.slice_bytes = 7
        async with connect(f"{network.url}/HUB-1", subprotocols=[Subprotocol("ocpp1.6")], proxy=None) as connection:
            await connection.send('[2,"1","Heartbeat",{}]')
            assert "currentTime" in str(await asyncio.wait_for(connection.recv(), STEP_S))


def test_network_refuses_what_it_cannot_dial() -> None:
    """A URL without a port, and a port before it listens."""
    with pytest.raises(ValueError, match="host and port"):
        Network.towards("ws://example/ocpp")
    with pytest.raises(RuntimeError):
        _ = Network("127.0.0.1", 1).port
