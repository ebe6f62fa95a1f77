"""How the transaction queue looks from outside: a row of ``outbox.list``, and when a message came to be.

Owns the shape of the row. Must never change anything it tells of. Source: design rpc.md ``outbox.list``.
"""

from __future__ import annotations

from typing import Any, Final

from ocpphub.core.boot import utc_text
from ocpphub.core.queue_line import Batch, Entry, StartEntry
from ocpphub.core.queue_samples import present, time_of

ID_PREFIX: Final = "tx-"
"""Ids of the transaction queue begin so; all others belong to ``DurableQueue``."""


def message_number(id: str) -> int | None:
    """The number of the message with this id; ``None`` when it cannot be one of this queue."""
    text = id.removeprefix(ID_PREFIX)
    return int(text) if text != id and text.isdecimal() and len(text) <= 18 else None


def is_message(entry: Entry) -> bool:
    """False for a batch that was thinned away and waits to leave the line."""
    return not isinstance(entry, Batch) or bool(entry.lines)


def made_ms(entry: Entry) -> int:
    """When a message came to be: the event it tells of, or its first sample; milliseconds since 1970."""
    if isinstance(entry, Batch):
        return time_of(next(row for _, row in present(entry.lines)))[0]
    return entry.tx.start_ms if isinstance(entry, StartEntry) else entry.stop.at_ms


def outbox_row(entry: Entry, attempts: int, state: str) -> dict[str, Any]:
    """One message; ``session_id`` is absent for samples outside a transaction, ``samples`` for all but MeterValues."""
    row: dict[str, Any] = {"id": f"{ID_PREFIX}{entry.number}", "at": utc_text(made_ms(entry))}
    if isinstance(entry, Batch):
        row |= {
            "action": "MeterValues",
            "connector_id": entry.connector_id,
            "samples": sum(1 for _ in present(entry.lines)),
        }
    else:
        action = "StartTransaction" if isinstance(entry, StartEntry) else "StopTransaction"
        row |= {"action": action, "connector_id": entry.tx.connector_id}
    if entry.tx is not None:
        row["session_id"] = entry.tx.session_id
    return {**row, "attempts": attempts, "state": state}
