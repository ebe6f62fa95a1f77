"""An embedded CSMS for demo and tests: the package ``ocpp`` over ``websockets``, on loopback, on a free port.

Owns the other side of the link: it accepts charge points, answers what they send, remembers it and can call them. It is
an independent implementation of OCPP on purpose; it must never import the hub's own frames or core. What it decides
about tags and answers is its personality's (:mod:`ocpphub.sim.personalities`), what it knows of sessions its ledger's.

Plays the central system of OCPP 1.6 (chapters 4 and 5) and OCPP-J 1.6 chapter 3.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http
import json
import ssl
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import ocpp.exceptions
from ocpp.messages import Call, unpack
from ocpp.routing import on
from ocpp.v16 import ChargePoint as OcppChargePoint
from ocpp.v16 import call_result
from ocpp.v16.enums import Action, DataTransferStatus, GenericStatus, RegistrationStatus
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ocpphub.sim.ledger import Ledger
from ocpphub.sim.personalities import NORMAL, Personality, Treatment

MAX_REMEMBERED: Final = 100_000
"""Messages kept in ``received``; a demo that is left alone for months must not grow."""


@dataclass(frozen=True, slots=True)
class Received:
    """One CALL of a charge point: who, which action, its payload in camelCase."""

    identity: str
    action: str
    payload: dict[str, Any]


_TREATMENT: ContextVar[Treatment] = ContextVar("treatment", default=NORMAL)
"""What becomes of the answer that is being made; the CSMS's own CALLs are made in other contexts."""


class _Session(OcppChargePoint):
    """One connected charge point, as ``ocpp`` sees it; the answers are those of the personality."""

    def __init__(self, csms: Csms, identity: str, connection: ServerConnection) -> None:
        super().__init__(identity, connection, response_timeout=10)
        self._csms = csms
        self._payload: dict[str, Any] = {}
        self._late: set[asyncio.Task[None]] = set()

    async def route_message(self, raw_msg: str) -> None:
        """Remember a CALL before ``ocpp`` answers it, and let its answer be treated as was asked for."""
        message = None
        with contextlib.suppress(ocpp.exceptions.OCPPError):
            message = unpack(raw_msg)
        if not isinstance(message, Call):
            await super().route_message(raw_msg)
            return
        self._payload = dict(message.payload)
        item = Received(self.id, message.action, self._payload)
        self._csms.remember(item)
        treatment = self._csms.treatment(item)
        _TREATMENT.set(treatment)
        if treatment.processed:
            await super().route_message(raw_msg)
            # Who waits may wait for what the ledger has made of it.
            self._csms.news()
        elif treatment.answer == "call_error":
            await self._send(json.dumps([4, message.unique_id, "InternalError", "the CSMS says no", {}]))
        elif treatment.answer == "cut":
            self.cut()

    async def _send(self, message: str) -> None:
        treatment = _TREATMENT.get()
        if treatment.delay_s > 0:
            task = asyncio.create_task(self._send_treated(message, treatment))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        else:
            await self._send_treated(message, treatment)

    async def _send_treated(self, message: str, treatment: Treatment) -> None:
        await asyncio.sleep(treatment.delay_s)
        if treatment.answer == "cut":
            self.cut()
        elif treatment.answer == "wrong_id":
            kind, unique_id, *rest = json.loads(message)
            await super()._send(json.dumps([kind, f"{unique_id}-not"[-36:], *rest]))
        elif treatment.answer != "never":
            # A link that has gone meanwhile is what a late answer is about.
            with contextlib.suppress(ConnectionClosed):
                for _ in range(2 if treatment.answer == "twice" else 1):
                    await super()._send(message)

    def cut(self) -> None:
        """Break the TCP connection."""
        self._connection.transport.abort()

    async def end(self) -> None:
        """Forget the answers that are still to be sent."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    @on(Action.boot_notification)
    def on_boot_notification(self, **_: Any) -> call_result.BootNotification:
        return call_result.BootNotification(_now(), self._csms.interval_s, self._csms.registration)

    @on(Action.heartbeat)
    def on_heartbeat(self, **_: Any) -> call_result.Heartbeat:
        return call_result.Heartbeat(_now())

    @on(Action.status_notification)
    def on_status_notification(self, **_: Any) -> call_result.StatusNotification:
        return call_result.StatusNotification()

    @on(Action.authorize)
    def on_authorize(self, id_tag: str, **_: Any) -> call_result.Authorize:
        return call_result.Authorize(self._csms.id_tag_info("Authorize", id_tag))

    @on(Action.start_transaction)
    def on_start_transaction(self, **_: Any) -> call_result.StartTransaction:
        info = self._csms.id_tag_info("StartTransaction", self._payload["idTag"])
        record = self._csms.ledger.start(self.id, self._payload, info["status"])
        return call_result.StartTransaction(record.transaction_id, info)

    @on(Action.stop_transaction)
    def on_stop_transaction(self, id_tag: str | None = None, **_: Any) -> call_result.StopTransaction:
        self._csms.ledger.stop(self.id, self._payload)
        return call_result.StopTransaction(id_tag and self._csms.id_tag_info("StopTransaction", id_tag))

    @on(Action.meter_values)
    def on_meter_values(self, **_: Any) -> call_result.MeterValues:
        self._csms.ledger.meter_values(self.id, self._payload)
        return call_result.MeterValues()

    @on(Action.diagnostics_status_notification)
    def on_diagnostics_status_notification(self, **_: Any) -> call_result.DiagnosticsStatusNotification:
        return call_result.DiagnosticsStatusNotification()

    @on(Action.firmware_status_notification)
    def on_firmware_status_notification(self, **_: Any) -> call_result.FirmwareStatusNotification:
        return call_result.FirmwareStatusNotification()

    @on(Action.security_event_notification)
    def on_security_event_notification(self, **_: Any) -> call_result.SecurityEventNotification:
        return call_result.SecurityEventNotification()

    @on(Action.sign_certificate)
    def on_sign_certificate(self, **_: Any) -> call_result.SignCertificate:
        return call_result.SignCertificate(GenericStatus.accepted)

    @on(Action.log_status_notification)
    def on_log_status_notification(self, **_: Any) -> call_result.LogStatusNotification:
        return call_result.LogStatusNotification()

    @on(Action.signed_firmware_status_notification)
    def on_signed_firmware_status_notification(self, **_: Any) -> call_result.SignedFirmwareStatusNotification:
        return call_result.SignedFirmwareStatusNotification()

    @on(Action.data_transfer)
    def on_data_transfer(self, vendor_id: str, data: str | None = None, **_: Any) -> call_result.DataTransfer:
        if vendor_id != self._csms.vendor_id:
            return call_result.DataTransfer(DataTransferStatus.unknown_vendor_id)
        return call_result.DataTransfer(DataTransferStatus.accepted, None if data is None else data[::-1])


class Csms:
    """A CSMS that is easy to watch and to disturb.

    ``received`` holds every CALL in order. ``registration`` and ``interval_s`` are what BootNotification is answered
    with; DataTransfer is accepted for ``vendor_id``, with the data reversed. ``passwords`` (identity -> bytes) turns
    HTTP Basic on and may be changed at any time, ``tls`` makes it ``wss``. ``personality`` decides about tags and
    answers, ``ledger`` has the sessions, ``lost_answers`` counts by action what was processed but not answered.
    """

    def __init__(
        self,
        *,
        interval_s: int = 300,
        vendor_id: str = "org.example",
        tls: ssl.SSLContext | None = None,
        passwords: dict[str, bytes] | None = None,
        personality: Personality | None = None,
    ) -> None:
        self.interval_s = interval_s
        self.vendor_id = vendor_id
        self.registration = RegistrationStatus.accepted
        self.received: list[Received] = []
        self.connects = 0
        self.personality = personality or Personality()
        self.ledger = Ledger(deduplicates=self.personality.deduplicates)
        self.lost_answers: Counter[str] = Counter()
        self._disturbances: deque[tuple[Treatment, str | None]] = deque()
        self._tls = tls
        self.passwords = passwords or {}
        self._needs_password = passwords is not None
        self._server: Server | None = None
        self._sessions: dict[str, _Session] = {}
        self._connections: dict[str, ServerConnection] = {}
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """The endpoint to configure as ``csms_url``; raises ``RuntimeError`` before :meth:`start`."""
        if self._server is None:
            raise RuntimeError("the CSMS has not been started")
        port = self._server.sockets[0].getsockname()[1]
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{port}/ocpp"

    @property
    def connected(self) -> frozenset[str]:
        """The identities that are connected now."""
        return frozenset(self._connections)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        await self._listen(0)

    async def become(self, tls: ssl.SSLContext | None, passwords: dict[str, bytes] | None) -> None:
        """Go on at the same port with another security profile; every connection is closed."""
        assert self._server is not None  # noqa: S101  # told to mypy
        port = self._server.sockets[0].getsockname()[1]
        await self.stop()
        self._tls, self.passwords, self._needs_password = tls, passwords or {}, passwords is not None
        await self._listen(port)

    async def _listen(self, port: int) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            port,
            subprotocols=[Subprotocol("ocpp1.6")],
            process_request=self._authenticate,
            compression=None,
            ssl=self._tls,
        )

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def call(self, identity: str, request: Any) -> Any:
        """Send an ``ocpp.v16.call`` request to a charge point and return its ``call_result``.

        Raises ``KeyError`` when it is not connected, ``TimeoutError`` after 10 s, ``ocpp.exceptions.OCPPError`` for a
        CALLERROR.
        """
        return await self._sessions[identity].call(request, suppress=False)

    def cut(self, identity: str) -> None:
        """Break the TCP connection of a charge point without a closing handshake."""
        self._sessions[identity].cut()

    def disturb(self, treatment: Treatment, action: str | None = None, *, times: int = 1) -> None:
        """Treat the next ``times`` CALLs of ``action`` (of any, when ``None``) so, whatever the personality wants."""
        self._disturbances.extend([(treatment, action)] * times)

    def calm(self) -> None:
        """Forget the disturbances that have not come yet."""
        self._disturbances.clear()

    def treatment(self, item: Received) -> Treatment:
        """What becomes of a CALL that has just come."""
        chosen = None
        for index, (treatment, action) in enumerate(self._disturbances):
            if action in (None, item.action):
                chosen = treatment
                del self._disturbances[index]
                break
        if chosen is None:
            chosen = self.personality.treat(item.action, item.payload)
        if chosen.processed and chosen.answer in ("never", "wrong_id", "cut"):
            self.lost_answers[item.action] += 1
        return chosen

    def id_tag_info(self, action: str, id_tag: str) -> dict[str, Any]:
        """The idTagInfo that the personality has for a tag."""
        return {"status": self.personality.verdict(action, id_tag)}

    def count(self, action: str, **members: Any) -> int:
        """How many CALLs of this action with these payload members have come so far."""
        return sum(1 for item in self.received if _matches(item, action, members))

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until the condition holds; it is looked at whenever something arrives. False after ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    def remember(self, item: Received) -> None:
        """Keep a received CALL."""
        if len(self.received) >= MAX_REMEMBERED:
            del self.received[: MAX_REMEMBERED // 2]
        self.received.append(item)
        self.news()

    def news(self) -> None:
        """Wake who waits."""
        self._changed.set()

    async def _serve(self, connection: ServerConnection) -> None:
        identity = _identity(connection.request.path if connection.request else "")
        session = self._sessions[identity] = _Session(self, identity, connection)
        self._connections[identity] = connection
        self.connects += 1
        self._changed.set()
        try:
            await session.start()
        except ConnectionClosed:
            pass
        finally:
            await session.end()
            # A reconnect may have taken the place already: the newest connection of an identity counts.
            if self._connections.get(identity) is connection:
                del self._connections[identity], self._sessions[identity]
            self._changed.set()

    async def _authenticate(self, connection: ServerConnection, request: Request) -> Response | None:
        if not self._needs_password:
            return None
        identity = _identity(request.path)
        expected = base64.b64encode(identity.encode() + b":" + self.passwords.get(identity, b"")).decode()
        if identity in self.passwords and request.headers.get("Authorization") == f"Basic {expected}":
            return None
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "wrong identity or key\n")


def _identity(path: str) -> str:
    return unquote(urlsplit(path).path.rpartition("/")[2])


def _matches(item: Received, action: str, members: Mapping[str, Any]) -> bool:
    return item.action == action and all(item.payload.get(name) == value for name, value in members.items())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
