"""Bugs to plant: one and more per invariant, so that a checker that lets one live is itself the bug.

Owns the table only. Each row patches the core of this process for one test; the core itself knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from ocpphub.core import charging, meter, permit, sessions
from ocpphub.core.authorization import Authorization, Verdict
from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.configuration import Configuration
from ocpphub.core.controllers import Controllers
from ocpphub.core.delivery import TransactionQueue
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.outbox import Outbox
from ocpphub.core.queue_line import Line
from ocpphub.core.queue_times import UntrustedTimes
from ocpphub.core.transaction import Transaction

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, what it breaks, and how it is planted."""

    invariant: str
    what: str
    plant: Plant

    def __str__(self) -> str:
        return f"{self.invariant} {self.what}"


def _no_store(wanted: Callable[[Store], bool]) -> Plant:
    """These rows are never written."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        poll = ChargePoint.poll_effects

        def some(self: ChargePoint) -> list[Effect]:
            return [effect for effect in poll(self) if not (isinstance(effect, Store) and wanted(effect))]

        patch.setattr(ChargePoint, "poll_effects", some)

    return plant


def _table(name: str, key: str | None = None) -> Plant:
    return _no_store(lambda effect: effect.table == name and key in (None, effect.key))


def _around(owner: type, name: str, change: Callable[..., Any]) -> Plant:
    """``change(original, self, *arguments)`` takes the place of a method."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        original = getattr(owner, name)

        def method(self: Any, *arguments: Any, **more: Any) -> Any:
            return change(original, self, *arguments, **more)

        patch.setattr(owner, name, method)

    return plant


def _nothing(owner: type, name: str) -> Plant:
    return _around(owner, name, lambda original, *arguments, **more: None)


def _impatient(original: Any, self: Outbox, emit: Any, timers: Any, timeout_s: Any, boot_id: str) -> None:
    """A CALL is taken for lost after a second."""
    original(self, emit, timers, lambda: 1, boot_id)


def _newest_first(original: Any, self: Line) -> Any:
    """Now and then the newest message leaves first."""
    if len(self.entries) > 3:
        self.entries.rotate(1)
    return original(self)


def _other_bytes(original: Any, self: Transaction) -> dict[str, Any]:
    """Each transmission tells the time of its own making."""
    payload: dict[str, Any] = original(self)
    self.start_ms += 1
    return payload


def _one_attempt(original: Any, self: Configuration, name: str) -> int:
    """A start is given up after its first failure."""
    return 1 if name == "TransactionMessageAttempts" else int(original(self, name))


def _meter_start(change_wh: int) -> Plant:
    def start(original: Any, self: Any, connector_id: int, id_tag: str, at_ms: int, meter_wh: int, **more: Any) -> Any:
        return original(self, connector_id, id_tag, at_ms, max(meter_wh + change_wh, 0), **more)

    return _around(TransactionQueue, "start", start)


def _lower_samples(
    original: Any, self: Any, connector_id: int, tx: Any, layout: Any, at_ms: int, context: str, values: Iterable[str],
    **more: Any,
) -> Any:  # fmt: skip
    lower = tuple(str(max(int(value) - 50, 0)) if value.isdecimal() else value for value in values)
    return original(self, connector_id, tx, layout, at_ms, context, lower, **more)


def _start_loses_a_row(original: Any, self: ChargePoint, now: Any) -> None:
    """Recovery gives up a transaction that it has just restored."""
    original(self, now)
    for transaction in self.live_transactions()[:1]:
        self._effects.append(Discard("transaction", transaction.key))


def _more_than_allowed(original: Any, self: Any, granted: Any) -> None:
    original(self, granted._replace(limit_a=granted.limit_a + 5) if granted.energize else granted)


def _believe(original: Any, self: Any, connector_id: int, energy_wh: int, at_ms: int, now: Any, **more: Any) -> Any:
    """Whatever the meter says is taken."""
    try:
        return original(self, connector_id, energy_wh, at_ms, now, **more)
    except Exception:  # noqa: BLE001  # the planted bug
        return "same"


def _same_ids(original: Any, self: Outbox, emit: Any, timers: Any, timeout_s: Any, boot_id: str) -> None:
    original(self, emit, timers, timeout_s, "00000000000000ff")


def _foreign(original: Any, self: Any, tag: str, now: Any) -> Verdict:
    return Verdict("Accepted")


def _plain_property(owner: type, name: str, value: Callable[[Any], Any]) -> Plant:
    return lambda patch: patch.setattr(owner, name, property(value))


def _direct_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ocpphub.core.connector.way", lambda before, after: (after,))


BUGS: tuple[Bug, ...] = (
    Bug("D1", "samples are not stored", _table("sample")),
    Bug("D1", "transactions are not stored", _table("transaction")),
    Bug("D1", "security events are not stored", _table("outbox")),
    Bug("D2", "two CALLs are in flight", _around(Outbox, "__init__", _impatient)),
    Bug("D2", "the newest message leaves first", _around(Line, "take", _newest_first)),
    Bug("D3", "a retry has other bytes", _around(Transaction, "start_request", _other_bytes)),
    Bug("D4", "a start is given up too early", _around(Configuration, "integer", _one_attempt)),
    Bug("D5", "another transaction id", _plain_property(Transaction, "wire_id", lambda self: self.session_id + 50_000)),
    Bug("D6", "configuration is not stored", _table("configuration")),
    Bug("D6", "availability is not stored", _table("availability")),
    Bug("D6", "reservations are not stored", _table("reservation")),
    Bug("D6", "the stopped state is not stored", _table("stopped")),
    Bug("D7", "a start gives a row up", _around(ChargePoint, "start", _start_loses_a_row)),
    Bug("D8", "only the version of the list is stored", _no_store(
        lambda effect: effect.table == "local_list" and effect.key != "version")),
    Bug("D8", "only the entries of the list are stored", _table("local_list", "version")),
    Bug("D9", "a new key is not stored", _table("configuration", "AuthorizationKey")),
    Bug("D10", "profiles are not stored", _table("charging_profile")),
    Bug("S1", "every tag is good", _around(Authorization, "decide", _foreign)),
    Bug("S2", "a permit above its composite", _around(permit.Permit, "take", _more_than_allowed)),
    Bug("S3", "anybody may report any connector", _nothing(Controllers, "check")),
    Bug("S4", "a refusal is not heard", _nothing(charging.Charging, "_refuse")),
    Bug("E1", "samples below the register", _around(TransactionQueue, "sample", _lower_samples)),
    Bug("E2", "a session starts 1 Wh too high", _meter_start(1)),
    Bug("E3", "a session starts in the one before", _meter_start(-30)),
    Bug("E4", "checkpoints are not stored", _table("meter")),
    Bug("E5", "every register is believed", _around(meter.Meters, "accept", _believe)),
    Bug("L1", "a retry never comes", _nothing(TransactionQueue, "handle_timer")),
    Bug("L2", "nobody ends what was left alone", lambda patch: (
        _nothing(sessions.Sessions, "handle_close_timer")(patch),
        _nothing(sessions.Sessions, "handle_resume_timer")(patch))[0]),
    Bug("STATUS", "states in between are left out", _direct_way),
    Bug("IDS", "message ids begin anew with each process", _around(Outbox, "__init__", _same_ids)),
    Bug("TIME", "times before the clock was known stay", _nothing(UntrustedTimes, "_correct")),
)  # fmt: skip
"""Every invariant of reliability.md 4.5 that a life can show, and the rules of the wire."""
