"""What the core wants done, in order: records that the driver carries out (decisions.md section 3).

Nobody writes to one; they are not frozen because a frozen record takes three times as long to make.

An input yields an ordered list of effects. Whatever follows a :class:`Store` or :class:`Discard` in a charge point's
FIFO leaves only after the commit that holds the write is durable (output commit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Store:
    """Insert or replace one row of this charge point. ``table`` is one of ``store.TABLES``; ``value`` is JSON text."""

    table: str
    key: str
    value: bytes


@dataclass(slots=True)
class Discard:
    """Delete one row of this charge point; a row that does not exist is no error."""

    table: str
    key: str


@dataclass(slots=True)
class Send:
    """Send one text message on the CSMS link. Dropped by the driver when the link it was meant for is gone."""

    frame: bytes


@dataclass(slots=True)
class Reply:
    """Answer the command with this ``request`` number: a JSON-ready result, or an ``OcpphubError``.

    Needed only by an answer that has to wait for a commit, or for somebody: a command whose method returns a value
    other than ``None`` has answered with it.
    """

    request: int
    result: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class Publish:
    """Publish JSON text on a topic (rpc.md). ``connector_id`` narrows topics that carry one connector's state."""

    topic: str
    value: bytes
    connector_id: int | None = None


@dataclass(slots=True)
class Ask:
    """Ask a local client (rpc.md, ids ``s:N``); the answer returns as ``ChargePoint.receive_answer(ask, ...)``.

    ``controller`` is the number of the connection to be asked (``Controller.number``). With none, or one that is gone,
    the answer is an ``UnavailableError`` ``not_attached``; without an answer in time it is ``timeout``.
    """

    ask: int
    method: str
    params: dict[str, Any]
    connector_id: int | None = None
    timeout_s: float = 10.0
    controller: int | None = None


@dataclass(slots=True)
class Work:
    """Have something done in the world that takes its time: a transfer, a hook, an archive, the check of a file.

    ``method`` and ``params`` are those of ``work.py``. The result returns once as ``ChargePoint.receive_answer(ask,
    ...)``, numbered like an ``Ask`` but without a deadline; it is a dict with ``ok``, and with ``why`` where that is
    false. A reset of the charge point abandons it.
    """

    ask: int
    method: str
    params: dict[str, Any]


@dataclass(slots=True)
class Abandon:
    """End the ``Work`` of this number; whatever it still answers is ignored."""

    ask: int


@dataclass(slots=True)
class Record:
    """Append a security event to the security log (white paper A04.FR.04). ``info`` holds no secret."""

    kind: str
    info: str
    utc_ms: int


@dataclass(slots=True)
class Connect:
    """Keep a link to the CSMS open from now on (the link owns back-off and reconnecting)."""

    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Disconnect:
    """Close the link. ``stay_closed`` ends reconnecting until the next :class:`Connect`."""

    code: int = 1000
    reason: str = ""
    stay_closed: bool = False


@dataclass(slots=True)
class Recreate:
    """Close the link and begin anew with a core made from the stored rows (Reset, decisions.md 6).

    It takes effect behind all effects of its input: these are durable and sent first, and no later input reaches the
    core. Whoever still waits for a ``Reply`` of this core gets an ``UnavailableError`` ``busy``.
    """


@dataclass(slots=True)
class Ping:
    """The client's WebSocket ping interval changed; 0 ends pings (OCPP-J 1.6 section 7)."""

    interval_s: int


Effect = (
    Store | Discard | Send | Reply | Publish | Ask | Work | Abandon | Record | Connect | Disconnect | Recreate | Ping
)
