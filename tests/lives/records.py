"""What is written down about one life: the RPC transcript, the CSMS transcript, and what a restart found on the disk.

Owns the shapes only. The checker knows nothing but these records, so none of them may hold an object of the core.
``at_s`` is virtual monotonic time, ``true_ms`` the true UTC at that moment, whatever the machine's clock says;
``input`` numbers the input of the core that brought the thing about, and grows with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Record:
    """When something became visible, and which input of the core brought it about."""

    at_s: float
    true_ms: int
    input: int


@dataclass(slots=True)
class Began(Record):
    """A core began: ``why`` is ``first``, ``crash`` or ``reset``; ``lost`` counts the writes that the disk lost."""

    why: str
    lost: int = 0


@dataclass(slots=True)
class Linked(Record):
    """The link opened, or the core was told that it is gone."""

    is_up: bool


@dataclass(slots=True)
class Sent(Record):
    """A CALL of the charge point left; ``raw`` is the payload as the bytes that were sent."""

    unique_id: str
    action: str
    payload: dict[str, Any]
    raw: bytes


@dataclass(slots=True)
class Received(Record):
    """An answer of the CSMS reached the core. ``is_valid``: it is a confirmation that keeps to its schema;
    ``closes``: a CALL with this id is over by it (``None`` where the frame is too broken to say)."""

    unique_id: str
    is_valid: bool
    closes: bool | None
    payload: dict[str, Any]


@dataclass(slots=True)
class Called(Record):
    """A CALL of the CSMS reached the core."""

    unique_id: str
    action: str
    payload: dict[str, Any]


@dataclass(slots=True)
class Answered(Record):
    """The charge point's answer to a CALL of the CSMS left; ``payload`` is ``None`` for a CALLERROR."""

    unique_id: str
    payload: dict[str, Any] | None


@dataclass(slots=True)
class Commanded(Record):
    """A local client called a command. ``expects`` is what the life knows about its arguments: ``ok``, ``refused`` or
    nothing; ``controller`` is the number of its connection (0: an operator)."""

    request: int
    controller: int
    name: str
    params: dict[str, Any]
    expects: str = ""


@dataclass(slots=True)
class Replied(Record):
    """A command was answered. ``is_direct``: at once, without waiting for the disk; ``wrote``: its input wrote rows."""

    request: int
    result: Any
    error: dict[str, Any] | None
    is_direct: bool
    wrote: bool = False


@dataclass(slots=True)
class Disturbed(Record):
    """A command changed connectors that are not its caller's, or a refused one changed anything."""

    request: int
    what: str


@dataclass(slots=True)
class Published(Record):
    """A publication left."""

    topic: str
    connector_id: int | None
    value: Any


@dataclass(slots=True)
class Attached(Record):
    """Which connection drives a connector from now on; 0 is nobody."""

    connector_id: int
    controller: int


@dataclass(slots=True)
class Picture:
    """What a core knows that must outlive it, read through its own reads."""

    connectors: dict[int, dict[str, Any]]
    live: dict[int, dict[str, Any]]
    keys: dict[str, str | None]
    reservations: dict[int, dict[str, Any]]
    schedules: Any
    profiles: Any
    is_stopped: bool
    messages: int
    secret: str | None
    monitors: tuple[str, ...] = ()
    list_version: int | None = None
    list_entries: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Restored(Record):
    """What a core knew that was built from the durable rows, what it knew once it had started, and what a core knew
    that was built from the rows that this start left behind."""

    found: Picture
    started: Picture
    again: Picture


@dataclass(slots=True)
class Compared(Record):
    """With everything durable: what the running core knows, and what a core built from the rows at that moment does."""

    running: Picture
    restored: Picture


@dataclass(slots=True)
class Probed(Record):
    """A look at a connector: its state, and the highest limit of its composite within the last second."""

    connector_id: int
    state: dict[str, Any]
    composite_a: float | None


@dataclass(slots=True)
class Finished(Record):
    """The life is over: everything was healed and had time. ``queue`` as in ``charge_point.get``."""

    queue: dict[str, Any]
    live: int


@dataclass(slots=True)
class Failed(Record):
    """The core raised something that is no refusal."""

    text: str


@dataclass(slots=True)
class Header:
    """What the checker needs to know about a life beforehand."""

    seed: int
    connectors: int
    attempts: int
    message_timeout_s: float
    sample_interval_s: int
    connector_max_a: float
    allows_unknown_offline: bool
    free_vend: dict[int, str]
    keys: dict[str, str]
    secret: str | None
    remote_needs_no_authorization: bool
    step_s: float | None = None
    """When the machine's clock jumped; before, it was wrong by a constant at most."""


@dataclass(slots=True)
class Life:
    """One life: what it was, what happened, and which fault scenarios it really met."""

    header: Header
    records: list[Record]
    faults: set[str] = field(default_factory=set)
    inputs: int = 0
    duration_s: float = 0.0
    outages: int = 0
    crashes_that_lost: int = 0
    clock_steps: int = 0
