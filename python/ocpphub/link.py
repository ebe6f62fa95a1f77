"""The port to the CSMS: what the driver needs of the link of one charge point (decisions.md 3).

Owns the protocol, and how long a link may take to close; ``csms.CsmsLink`` is one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

log = logging.getLogger("ocpphub.daemon")

CLOSE_S: Final = 3.0
"""How long the links may take to close: the process ends within 5 s of SIGTERM (F47)."""


class Link(Protocol):
    """What the driver needs of the link of one charge point; calls return at once and raise nothing.

    The link reports back with :meth:`Driver.connected`, :meth:`Driver.disconnected` and :meth:`Driver.receive`.
    """

    def connect(self, headers: dict[str, str]) -> None:
        """Keep a connection open from now on, with these additional HTTP headers."""

    def disconnect(self, code: int, reason: str, stay_closed: bool) -> None:
        """Close the connection; ``stay_closed`` ends reconnecting until the next :meth:`connect`."""

    def send(self, frame: bytes) -> None:
        """Send one text message, in the order of the calls."""

    def set_ping_interval(self, interval_s: int) -> None:
        """Change the interval of our pings at once; 0 ends them."""

    def pause(self) -> None:
        """Hand over no more frames until :meth:`resume`."""

    def resume(self) -> None:
        """Hand over frames again, those held back first."""

    async def wait_closed(self) -> None:
        """Wait, after a disconnect with ``stay_closed``, until nothing of the link is left."""


async def wait_closed(*links: Link) -> None:
    """Wait until these links are closed; one that takes too long is told of and left."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await asyncio.gather(*(link.wait_closed() for link in links))
    except TimeoutError:
        log.error("a link did not close within %g s", CLOSE_S)
