"""TLS servers on loopback in threads, and the real link that tries to get in: what tests of TLS are made of.

A server is blocking and in a thread, because one of asyncio drops a connection without the alert that tells why. The
loop is that of the daemon, and the waits of the link are milliseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

import uvloop
from websockets.utils import accept_key

from ocpphub.config import LinkSettings, Security
from ocpphub.core.credentials import Access
from ocpphub.csms import CsmsLink
from ocpphub.endpoint import BackOff, Failure
from tests import builders
from tests.builders import World
from tests.pki import SERVER, Issued, issue, pki

LINK = LinkSettings(0, 0.1, 5.0, 0.3, False, False)
ATTEMPTS = 3


class Server:
    """A CSMS that gets as far as the answer to the upgrade; ``context`` ``None`` speaks no TLS."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.heads: list[str] = []
        """What arrived in clear, inside TLS or without: credentials leave only to who has proved itself."""
        self.suites: list[str] = []
        self.subjects: list[object] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                with peer, contextlib.suppress(OSError):
                    peer.settimeout(5)
                    self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        if self.context is None:
            # A plain server finds the first bytes of TLS to be no request.
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        secured = self.context.wrap_socket(peer.dup(), server_side=True, do_handshake_on_connect=False)
        with secured:
            try:
                secured.do_handshake()
            except OSError:
                # Closing on unread bytes would reset the connection and could overtake the alert.
                while peer.recv(4096):
                    pass
                raise
            self._accept(secured)

    def _accept(self, secured: ssl.SSLSocket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := secured.recv(4096)):
                return
            head += more
        self.heads.append(head.decode())
        self.suites.append((secured.cipher() or ("", "", 0))[0])
        self.subjects.append((secured.getpeercert() or {}).get("subject"))
        key = next(line.split(": ")[1] for line in self.heads[-1].split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {accept_key(key)}", "Sec-WebSocket-Protocol: ocpp1.6", "", ""]
        secured.sendall("\r\n".join(lines).encode())
        secured.recv(4096)  # the goodbye of the link


class Receiver:
    """What a hub is to its link; the attempts are over after a connection or :data:`ATTEMPTS` failures."""

    def __init__(self, access: Access) -> None:
        self.now = access
        self.is_connected = False
        self.root: str | None = None
        self.failures: list[Failure] = []
        self.over = asyncio.Event()

    def access(self, identity: str) -> Access:
        return self.now

    def connected(self, identity: str, root: str | None) -> None:
        self.is_connected = True
        self.root = root
        self.over.set()

    def disconnected(self, identity: str) -> None:
        pass

    def receive(self, identity: str, frame: bytes, binary: bool) -> None:
        pass

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)
        if len(self.failures) >= ATTEMPTS:
            self.over.set()

    def events(self) -> list[str]:
        """The events that a core makes of the failures, within a second."""
        world = World().start().forget()
        for failure in self.failures:
            world.core.link_failed(failure.security_event, failure.text, world.now, failure.cause_key)
        world.settle()
        return [event["type"] for event in world.published("security_event")]


def link_of(receiver: Receiver) -> CsmsLink:
    """A link with waits of milliseconds."""
    security = Security(0, None, None, None, None, False)
    settings = builders.settings(csms_url=receiver.now.url, link=LINK, security=security)
    back_off = BackOff(lambda: 0.0, minimum_s=0.005, range_s=0.0, maximum_s=0.005)
    return CsmsLink(settings, receiver, back_off=back_off, on_failure=receiver.failed)


def attempt(access: Access) -> Receiver:
    """Let a link try until it is connected or has failed often enough. Loop and TLS are those of the daemon."""

    async def body() -> Receiver:
        receiver = Receiver(access)
        made = link_of(receiver)
        made.connect({})
        async with asyncio.timeout(10):
            await receiver.over.wait()
        made.disconnect(1001, "", True)
        await made.wait_closed()
        return receiver

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(body())


def server_of(
    issued: Issued,
    *,
    suites: str = "",
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
    with_chain: bool = True,
    clients: Issued | None = None,
) -> ssl.SSLContext:
    """A server's context; as lax as OpenSSL can be where it is not told otherwise."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(f"{suites or 'ALL'}:@SECLEVEL=0")
    if suites:
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose suites cannot be chosen in TLS 1.3
    if versions:
        context.minimum_version, context.maximum_version = versions
    issued.load_into(context, with_chain=with_chain)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem)
    return context


def server(common_name: str = "localhost", **changes: Any) -> Issued:
    """A certificate by the operator's root for ``localhost`` unless something else is said."""
    given: dict[str, Any] = {"names": ("localhost",), "extended": (SERVER,), "issuer": pki().root, **changes}
    return issue(given.pop("issuer"), common_name, **given)
