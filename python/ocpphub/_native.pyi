"""The Rust core: OCPP-J frames, charging profiles, composite schedules, fair shares.

This stub is its user documentation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, final

__all__ = [
    "BUILD",
    "SOURCE_HASH",
    "Allocation",
    "Call",
    "CallError",
    "CallResult",
    "Installed",
    "MeterLayout",
    "Profiles",
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
    def raw(self, name: str) -> bytes | None:
        """The JSON text of one top-level member as it stands in the frame, or ``None`` when absent or null."""

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

@final
class Allocation:
    """Max-min fair shares of a current per phase, in steps of 0.1 A, under any number of limits that overlap or not.

    No share can be raised by 0.1 A without lowering one that is not larger than it would be then, or one at its
    minimum. Exact integers; the same input has the same answer.
    """

    def __new__(cls, members: Sequence[tuple[tuple[int, ...], tuple[int, int, int], int]], limits: int) -> Allocation:
        """A member is (the indexes of the limits it counts for, how it loads L1, L2 and L3 in millionths: uA of the
        limit per mA of its share, its power in mW per A of its share); ``limits``: how many limits there are, at most
        1,000,000. Loads and power are 0 to 4,294,967,295. No limit is set at first.

        Raises ``ValueError`` when a member names a limit that there is not, or one twice.
        """
    def set_member(self, index: int, loads: tuple[int, int, int], milliwatts_per_ampere: int) -> None:
        """How a member loads its limits from now on, as its phases have changed. Raises ``ValueError``."""
    def set_limit(self, index: int, milliamperes: int | None, milliwatts: int | None) -> None:
        """What a limit allows from now on, on each phase and in all; ``None``: no limit of that kind.

        Raises ``ValueError`` for an unknown limit or a negative amount.
        """
    def allocate(self, bounds: bytes, minimums: bytes, held: bytes, order: bytes) -> bytes:
        """The share of each member in tenths of an ampere per phase; all lists are native-endian unsigned 32-bit
        numbers, as ``array("I").tobytes()`` gives them.

        ``bounds``, ``minimums``, ``held``: tenths of an ampere per phase, one number per member. ``order``: the indexes
        of the members that want a share, first to last; every other member gets 0. ``held``: what a member counts that
        is not in ``order``. Where what is held exceeds a limit, on any phase, no member of that limit gets anything.

        A share is 0 or at least its minimum and at most its bound; a bound below the minimum gives 0. When the minimums
        do not fit together, members are admitted in order, each whose minimum still fits under all its limits. The last
        single steps go in order too.

        Raises ``ValueError`` when a list does not hold one number for each member, when ``order`` names a member twice
        or one that there is not, and when a member of ``order`` holds something.
        """

@final
class Installed:
    """A profile was installed."""
    @property
    def charging_profile_id(self) -> int: ...
    @property
    def row(self) -> bytes:
        """What to store under this id: JSON text (a versioned, compact string), for :meth:`Profiles.restore`."""
    @property
    def replaced(self) -> list[int]:
        """Ids of the profiles that it replaced, its own id included when that was installed before."""
    @property
    def moved_from(self) -> int | None:
        """The other connector that a profile of this id was taken from: its schedules change too, for 0 all of them."""

@final
class Profiles:
    """The installed charging profiles of one charge point and every composite schedule (OCPP 1.6 section 3.13).

    Opaque to Python; exact rationals until one final rounding down to 0.1. Times are whole seconds since 1970 UTC
    (callers floor), within the years 1 to 9999. Connector ids beyond the station raise ``ValueError``, but match
    nothing in :meth:`clear`: check before.
    """

    def __new__(
        cls,
        connectors: Sequence[tuple[int, int, int | None, int | None, int | None]],
        station: tuple[int, int | None, int | None],
        *,
        max_stack_level: int,
        max_periods: int,
        max_installed: int,
        units: str,
    ) -> Profiles:
        """``connectors`` 1 to N: (nominal voltage in mV, wired phases, maximum in mA per phase, maximum in mW, default
        in mA per phase), exactly one of the maxima given; ``station``: (nominal voltage in mV, maximum in mA, in mW);
        ``units``: ``"A"``, ``"W"`` or ``"AW"``, the allowed charging rate units.

        Raises ``ValueError`` for values that cannot be computed exactly in 64 bits (names them).
        """
    def install(self, connector_id: int, profile: bytes, now_s: int) -> Installed | str:
        """Install ``profile``, the JSON text of a ChargingProfile, or say why it is Rejected (15.3 rows 4 to 7).

        Nothing changes when it is refused. Raises ``ValueError`` when the text is no valid ChargingProfile (15.3 row 1,
        which the frame decoder has checked before for the CSMS's).
        """
    def clear(
        self,
        charging_profile_id: int | None = None,
        connector_id: int | None = None,
        purpose: str | None = None,
        stack_level: int | None = None,
    ) -> list[int]:
        """Remove what matches (CORE-SC-35: the id alone when given, else all that are given) and return the ids."""
    def restore(self, rows: Sequence[bytes]) -> list[int]:
        """Take up stored rows; the indexes of those that cannot be read, which are left out.

        Those of connectors beyond the station rest: they limit nothing, and :meth:`clear` finds them."""
    @property
    def resting(self) -> int:
        """How many restored profiles are of no connector here."""
    def purge(self, now_s: int) -> list[int]:
        """Remove profiles that can never be active again, and TxProfiles without transaction; their ids (SCA-39)."""
    def next_purge(self) -> int | None:
        """The second from which :meth:`purge` would find one that is over."""
    def transaction_started(self, connector_id: int, start_s: int, transaction_id: int | None = None) -> None:
        """A transaction runs from ``start_s`` on. Raises ``ValueError`` where one runs already."""
    def transaction_moved(self, connector_id: int, start_s: int) -> None:
        """The time became known: the running transaction began then. Raises ``ValueError`` where none runs."""
    def transaction_confirmed(self, connector_id: int, transaction_id: int) -> None:
        """The CSMS has given the running transaction its id."""
    def transaction_stopped(self, connector_id: int) -> list[int]:
        """No transaction runs there any more; the ids of its TxProfiles, which are removed (CORE-SC-06)."""
    def ceiling(self, at_s: int) -> tuple[int | None, int | None, int]:
        """What the leading ChargePointMaxProfile allows at ``at_s``: tenths of an ampere per phase, tenths of a watt,
        and the second from which it may be another."""
    def composite(
        self, connector_id: int, start_s: int, duration_s: int, unit: str, query_s: int | None = None
    ) -> bytes:
        """ChargingSchedule of connector 0 to N as JSON text: ``{"chargingRateUnit", "duration",
        "chargingSchedulePeriod": [{"startPeriod", "limit", "numberPhases"}]}``, no startSchedule (CORE-SC-41).
        At most 31,622,400 s."""
    def composite_all(self, start_s: int, duration_s: int, unit: str) -> bytes:
        """The value of ``charging_schedules`` as JSON text: ``{"0": {...}, ..., "N": {...}}``, with startSchedule.
        At most 604,800 s, as for :meth:`compute` and :meth:`changes`. Shorter than asked for, and ``duration`` says
        so, where all connectors would have more than 400,000 periods (or twice their number, if that is more)."""
    @property
    def fitted_s(self) -> int | None:
        """The duration that :meth:`composite_all` or :meth:`changes` has taken last."""
    def compute(self, start_s: int, duration_s: int, unit: str) -> int:
        """What :meth:`composite_all` computes, kept for later calls with this window; how many periods 0 has."""
    def changes(self, start_s: int, duration_s: int, unit: str, limit: int) -> list[tuple[int, bytes]]:
        """At most ``limit`` connectors (0 too) whose schedule is not what this method last said of them (0008 item 12),
        each with its ChargingSchedule as JSON text with startSchedule; ``limit`` of them means: call again."""
    def forget_changes(self) -> None:
        """From now on :meth:`changes` compares with the schedules of its next call, which returns none."""
    def explain(self, connector_id: int, start_s: int, duration_s: int, unit: str, query_s: int | None = None) -> bytes:
        """The result of ``schedule.explain`` as JSON text (rpc.md). Raises ``ValueError`` where that is too long."""
    def installed(self, connector_id: int | None = None) -> bytes:
        """The result of ``schedule.profiles`` as JSON text: [{"connector_id", "accepted_at", "charging_profile_id",
        "transaction_id"?, "stack_level", "purpose", "kind", "recurrency_kind"?, "valid_from"?, "valid_to"?,
        "charging_schedule": {"duration"?, "start_schedule"?, "charging_rate_unit", "min_charging_rate"?,
        "charging_schedule_period": [{"start_period", "limit", "number_phases"?}]}}], by id; a ``connector_id`` means
        those installed on it."""
    def __len__(self) -> int:
        """How many are installed."""

def actions() -> dict[str, dict[str, Any]]:
    """The action table as data: per action its profile, sender and the fields of request and response."""

def enums() -> dict[str, list[str]]:
    """Every OCPP enumeration by its name in the standard."""
