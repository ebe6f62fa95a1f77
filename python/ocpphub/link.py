"""The port to the CSMS: what the driver needs of the link of one charge point (decisions.md 3).

Owns the protocol and nothing else; ``csms.CsmsLink`` is one.
"""

from __future__ import annotations

from typing import Protocol


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
