"""The link of one charge point to its CSMS: it connects, waits and connects again until it is told to stay closed.

Owns the supervisor task, one per charge point, names and addresses, the opening handshake and who hears of it. Must
hold no OCPP rule, must outlive every failure, and must have closed one socket before it opens the next.

Implements OCPP-J 1.6 sections 3 and 6, errata 3.3.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import time
from asyncio.staggered import staggered_race
from collections.abc import Callable
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from ocpphub import endpoint, log, resolver, tls
from ocpphub.connection import CLOSE_S, Connection
from ocpphub.core.security_profile import needs_tls
from ocpphub.endpoint import BackOff, Failure

if TYPE_CHECKING:
    from ocpphub.config import ChargePointSettings, LinkSettings
    from ocpphub.core.credentials import Access

SUBPROTOCOL: Final = Subprotocol("ocpp1.6")
USER_AGENT: Final = "ocpphub"
MAX_MESSAGE_BYTES: Final = 1 << 20
"""Largest inbound message; a larger one closes with 1009 (J-326)."""
RESOLVE_S: Final = 10.0
"""How long a name may take to resolve (T27)."""
NEXT_ADDRESS_S: Final = 0.25
"""Head start of one address before the next is tried beside it (RFC 8305)."""

# DEBUG of the library would write the Authorization header into the log.
_library_logger = logging.getLogger("ocpphub.csms.websockets")
_library_logger.setLevel(logging.INFO)


class Receiver(Protocol):
    """To whom the link reports and who knows as whom to connect; :class:`ocpphub.driver.Driver` is one.

    ``root`` is the fingerprint of the root that the CSMS proved itself by, ``None`` without TLS.
    """

    def connected(self, identity: str, root: str | None) -> None: ...
    def disconnected(self, identity: str) -> None: ...
    def receive(self, identity: str, frame: bytes, binary: bool) -> None: ...
    def access(self, identity: str) -> Access: ...


class _Connect(connect):
    """The library's opening handshake without its redirects (J-129, T16)."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class CsmsLink:
    """A :class:`ocpphub.driver.Link` of one charge point; create and use it on the running loop.

    ``on_failure`` is told of every failed attempt. Raises :class:`LocalError` for settings that no connection can be
    made from: URL, identity, certificates.
    """

    def __init__(
        self,
        settings: ChargePointSettings,
        receiver: Receiver,
        *,
        back_off: BackOff | None = None,
        on_failure: Callable[[Failure], None] | None = None,
    ) -> None:
        self.identity: Final = settings.identity
        self._receiver = receiver
        self._settings: LinkSettings = settings.link
        self._security = settings.security
        self._url = endpoint.connection_url(settings.csms_url, settings.identity)
        self._profile = settings.security.profile
        if self._security.profile in (1, 2):
            endpoint.basic_authorization(settings.identity, b"")  # refuses an identity that it cannot carry (J-145)
        # Held, because contexts live only as long as somebody does; the files are looked at before the first attempt.
        self._tls = tls.tls_context(self._security) if urlsplit(self._url).scheme == "wss" else None
        self._warned: tuple[int, str] | None = None
        self._back_off = back_off or BackOff(random.random)
        self._on_failure = on_failure
        self._logger = log.for_charge_point("ocpphub.csms", settings.identity)
        self._ping_interval_s: float = settings.link.ping_interval_s
        self._headers: dict[str, str] = {}
        self._wanted = self._at_once = self._accepted = self._paused = self._closing = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    def connect(self, headers: dict[str, str]) -> None:
        """Keep a connection open from now on; ``headers`` go with every attempt, and a waiting one starts at once."""
        self._headers = dict(headers)
        self._at_once = True
        self._wake.set()
        self._wanted = True
        if self._task is not None and not self._task.done() and not self._task.cancelling():
            return  # also one that still closes its last connection: it goes on, and stays the only one
        self._task = asyncio.get_running_loop().create_task(self._supervise(self._task))

    def disconnect(self, code: int = 1000, reason: str = "", stay_closed: bool = False) -> None:
        """Close what is open; ``stay_closed`` ends reconnecting until the next :meth:`connect`."""
        if stay_closed:
            self._wanted = False
            self._wake.set()
        if self._connection is not None:
            self._connection.shut(code, reason)
        elif stay_closed and self._task is not None and not self._closing:
            self._task.cancel()

    def send(self, frame: bytes) -> None:
        """Send one text message, in order; dropped when there is no connection."""
        if self._connection is not None:
            if self._logger.isEnabledFor(logging.DEBUG):
                self._logger.debug("> %s", log.frame(frame))
            self._connection.push(frame)

    def set_ping_interval(self, interval_s: float) -> None:
        """Seconds between our pings, at once and for later connections; 0 ends them (J-301, J-305)."""
        self._ping_interval_s = interval_s
        if self._connection is not None:
            self._connection.set_ping_interval(interval_s)

    def pause(self) -> None:
        """Hand over no frames until :meth:`resume`, on later connections neither."""
        self._paused = True
        if self._connection is not None:
            self._connection.hold(True)

    def resume(self) -> None:
        """Hand over frames again."""
        self._paused = False
        if self._connection is not None:
            self._connection.hold(False)

    def stable(self) -> None:
        """The CSMS has accepted this charge point: if the link lasts, the next back-off begins anew (J-342)."""
        self._accepted = True

    async def wait_closed(self) -> None:
        """Wait, after :meth:`disconnect` with ``stay_closed``, until nothing of the link is left."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _supervise(self, previous: asyncio.Task[None] | None) -> None:
        """Connect, hold, wait, again: the only owner of reconnecting, which ends with ``stay_closed`` alone (X-21)."""
        if previous is not None and not previous.done():
            await asyncio.wait([previous])  # the old socket is closed before a new one opens
        while not self._ended():
            self._at_once = False
            self._wake.clear()
            retry_after_s = None
            try:
                connection = await self._open()
            except Exception as error:  # noqa: BLE001  # any failure is named, logged and tried again (J-127)
                retry_after_s = self._failed(error)
            else:
                await self._hold(connection)
            if not (self._ended() or self._at_once):
                await self._wait(self._back_off.next_s(retry_after_s))

    def _ended(self) -> bool:
        return not self._wanted

    async def _open(self) -> Connection:
        access = self._receiver.access(self.identity)  # asked for with every attempt: the CSMS may have changed it
        if (access.profile, access.url) != self._warned:
            self._warned = access.profile, access.url
            _warn_if_unprotected(access, self._logger)
        self._profile = access.profile
        self._url = endpoint.connection_url(access.url, self.identity)
        parts = urlsplit(self._url)
        if needs_tls(access.profile) and parts.scheme != "wss":
            raise endpoint.ProfileError
        context = self._tls = tls.tls_context(self._security, access) if parts.scheme == "wss" else None
        async with asyncio.timeout(self._settings.connect_timeout_s):
            opened = await _Connect(
                self._url,
                sock=await _dial(parts.hostname or "", parts.port or (443 if context else 80)),
                ssl=context,
                subprotocols=[SUBPROTOCOL],
                additional_headers=self._credentials(access.key) | self._headers,
                user_agent_header=USER_AGENT,
                compression=None,
                proxy=None,
                open_timeout=None,
                ping_interval=None,
                close_timeout=CLOSE_S,
                max_size=MAX_MESSAGE_BYTES,
                write_limit=(1, 0),  # "paused" then means: something written has not left yet
                logger=_library_logger,
                create_connection=Connection,
            )
        assert isinstance(opened, Connection)  # noqa: S101  # what create_connection promises, told to mypy
        if opened.subprotocol != SUBPROTOCOL:
            opened.shut(1002, "subprotocol required")
            await opened.wait_closed()
            raise endpoint.SubprotocolError
        return opened

    def _credentials(self, key: bytes | None) -> dict[str, str]:
        """The header of profiles 1 and 2, sent without waiting for a 401 (white paper A00.FR.202)."""
        if key is None:
            return {}
        header = endpoint.basic_authorization(self.identity, key)
        log.hide(key.hex())
        log.hide(header.removeprefix("Basic "))
        return {"Authorization": header}

    async def _hold(self, connection: Connection) -> None:
        """Serve one open connection while it lasts, then see its socket closed, which a deaf peer may put off."""
        opened_s = connection.loop.time()
        try:
            await self._serve(connection)
            self._back_off.closed(connection.loop.time() - opened_s, accepted=self._accepted)
            self._closing = True
            await connection.wait_closed()
        finally:
            self._closing = False
            connection.transport.abort()
        if self._back_off.short == 3:
            self._logger.warning("3 connections in a row ended early: is this identity in use twice?")

    async def _serve(self, connection: Connection) -> None:
        connection.send_deadline_s = self._settings.send_deadline_s
        connection.pong_timeout_s = self._settings.pong_timeout_s
        connection.set_ping_interval(self._ping_interval_s)
        self._connection = connection
        self._accepted = False
        self._logger.info("connected to %s", _shown(self._url))
        try:
            self._receiver.connected(self.identity, connection.root)
            connection.deliver = self._deliver
            connection.hold(self._paused)  # or hand over what came with the answer to the handshake
            await connection.ended
        finally:
            self._connection = None
            self._logger.info("disconnected: %s", connection.why)
            self._receiver.disconnected(self.identity)

    def _deliver(self, frame: bytes, binary: bool) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug("< %s", log.frame(frame))
        self._receiver.receive(self.identity, frame, binary)

    def _failed(self, error: Exception) -> float | None:
        named = endpoint.failure(error, profile=self._profile, now_utc_s=time.time())
        # address and status of every attempt, which the back-off keeps rare.
        self._logger.warning("no connection to %s: %s", _shown(self._url), named.text)
        if named.cause == "unexpected":
            self._logger.error("this failure is a bug", exc_info=error)
        if self._on_failure is not None:
            self._on_failure(named)
        return named.retry_after_s

    async def _wait(self, seconds: float) -> None:
        self._logger.info("next attempt in %.1f s", seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass


def _warn_if_unprotected(access: Access, logger: logging.LoggerAdapter[logging.Logger]) -> None:
    """N01: without authentication or without TLS anyone may take this identity's place."""
    parts, profile = urlsplit(access.url), access.profile
    if not endpoint.is_loopback(parts.hostname or "") and (profile == 0 or (profile == 1 and parts.scheme == "ws")):
        logger.warning("security profile %d over %s on a network: use profile 2 or 3", profile, parts.scheme)


def _shown(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()  # a query may hold a token


async def _dial(host: str, port: int) -> socket.socket:
    """A connected TCP socket: the name is resolved anew, in a thread and with a limit, and no address blocks the next.

    Raises ``OSError``, ``socket.gaierror`` among them, and ``TimeoutError``. Source: T27, RFC 8305.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_S):
        found = await resolver.resolve(host, port)
    six = [address for address in found if address[0] == socket.AF_INET6]
    four = [address for address in found if address[0] == socket.AF_INET]
    addresses = [address for address in chain(*zip_longest(six, four)) if address is not None]
    sock, _, errors = await staggered_race(
        [partial(_dial_one, loop, *address) for address in addresses], NEXT_ADDRESS_S
    )
    if sock is None:
        raise next((error for error in errors if error is not None), OSError("no address"))
    assert isinstance(sock, socket.socket)  # noqa: S101  # staggered_race has no types
    return sock


async def _dial_one(
    loop: asyncio.AbstractEventLoop, family: int, kind: int, protocol: int, _: str, address: Any
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
