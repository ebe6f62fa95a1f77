"""The Rust core: OCPP-J frames decoded, validated and encoded. This stub is its user documentation."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, final

__all__ = [
    "BUILD",
    "SOURCE_HASH",
    "Call",
    "CallError",
    "CallResult",
    "MeterLayout",
    "Violation",
    "actions",
    "check_json",
    "decode",
    "decode_request",
    "encode_call",
    "encode_error",
    "encode_result",
    "enums",
]

BUILD: Final[str]
"""``"release"`` or ``"debug"``: how this extension was compiled; ``ocpphub`` warns about a debug build."""
SOURCE_HASH: Final[str]
"""Digest of the Rust sources that this extension was built from; a stale build is noticed by ``make`` and tests."""

@final
class Call:
    """A valid ``[2, id, action, payload]`` that a CSMS may send. Fields are materialised only when asked for."""

    @property
    def unique_id(self) -> str: ...
    @property
    def action(self) -> str: ...
    def payload(self) -> dict[str, Any]:
        """The payload as a new dict, normalised: absent for null optionals and unknown members, integers as int."""
    def get(self, name: str) -> Any:
        """One top-level member, normalised as in :meth:`payload`, or ``None`` when absent."""

@final
class CallResult:
    """A valid ``[3, id, payload]`` for a pending call; ``action`` is ``None`` when no pending call has its id."""

    @property
    def unique_id(self) -> str: ...
    @property
    def action(self) -> str | None: ...
    def payload(self) -> dict[str, Any]: ...
    def get(self, name: str) -> Any: ...

@final
class CallError:
    """A ``[4, id, code, description, details]`` of two to five elements; an unknown code reads ``GenericError``."""

    @property
    def unique_id(self) -> str: ...
    @property
    def action(self) -> str | None: ...
    @property
    def code(self) -> str: ...
    @property
    def description(self) -> str:
        """At most 255 characters."""
    @property
    def details(self) -> Any: ...

@final
class Violation:
    """Why a frame was refused: the first rule it breaks, in the order of OCPP-J requirements 1.6."""

    @property
    def verdict(self) -> Literal["callerror", "ignore", "close"]:
        """What to do: answer ``encode_error(unique_id, code, description)``; nothing; or close with 1007."""
    @property
    def stage(self) -> Literal["utf8", "syntax", "envelope", "action", "payload"]: ...
    @property
    def message_type(self) -> int | None:
        """2, 3 or 4 as far as it could be read."""
    @property
    def unique_id(self) -> str | None:
        """The id to answer (type 2) or the call that failed (type 3); ``None`` when none could be read."""
    @property
    def action(self) -> str | None:
        """The known action, from stage ``payload`` (and ``action`` when only a charge point may send it) on."""
    @property
    def code(self) -> str:
        """The OCPP 1.6 error code."""
    @property
    def pointer(self) -> str:
        """JSON pointer of the first violation, relative to the payload; made of known member names and indexes."""
    @property
    def description(self) -> str:
        """ASCII, at most 255 characters, never echoing the input."""

def decode(
    frame: bytes, pending: Mapping[str, str] | None = None, *, strict: bool = False
) -> Call | CallResult | CallError | Violation:
    """Decode and fully validate one inbound frame of the CSMS (OCPP-J 4; messages.md).

    ``pending`` maps the ids of own outstanding calls to their actions. ``strict`` switches the tolerances of D-07 off.
    Raises nothing for any bytes.
    """

def decode_request(
    frame: bytes, pending: Mapping[str, str] | None = None, *, strict: bool = False
) -> Call | CallResult | CallError | Violation:
    """As :func:`decode`, for the frames a charge point sends: what a CSMS, a test or a benchmark needs."""

def encode_call(unique_id: str, action: str, payload: Mapping[str, Any]) -> bytes:
    """A CALL that a charge point may send; ``payload`` is a dict at run time (orjson knows no other mapping).

    Raises ``ValueError`` when the payload breaks its PDU (the text names the pointer) or cannot be written as JSON,
    and for an id of more than 36 characters.
    """

def encode_result(unique_id: str, action: str, payload: Mapping[str, Any]) -> bytes:
    """A CALLRESULT to a CSMS's CALL. Raises ``ValueError`` as :func:`encode_call`."""

def encode_error(unique_id: str, code: str, description: str = "", details: Mapping[str, Any] | None = None) -> bytes:
    """A CALLERROR; the description is cut to 255 ASCII characters. Raises ``ValueError`` for a code OCPP 1.6 lacks."""

def check_json(line: bytes) -> str | None:
    """``None`` when the line is one strict JSON text (depth 32, no duplicate members, valid UTF-8 and surrogates,
    numbers within 64 bits), else what is wrong and at which byte."""

@final
class MeterLayout:
    """Sampled values with everything but their numbers, prepared once; encodes MeterValues from native numbers."""

    def __new__(cls, samples: Sequence[Mapping[str, str]]) -> MeterLayout:
        """One mapping per sampled value with any of context, format, measurand, phase, location, unit."""
    def encode(
        self,
        unique_id: str,
        connector_id: int,
        transaction_id: int | None,
        readings: Sequence[tuple[int, Sequence[float | None]]],
    ) -> bytes:
        """A MeterValues CALL; a reading is (UTC milliseconds, one number per sample; ``None`` leaves it out)."""

def actions() -> dict[str, dict[str, Any]]:
    """The action table as data: per action its profile, sender and the fields of request and response."""

def enums() -> dict[str, list[str]]:
    """Every OCPP enumeration by its name in the standard."""
