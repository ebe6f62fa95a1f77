"""What a core knows that must outlive it, read through its public reads.

Must never look behind them: a picture is what a client could have asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from typing import Any

from orjson import loads

from ocpphub.core.charge_point import ChargePoint
from ocpphub.core.instant import Instant
from ocpphub.core.local_list import LocalList
from ocpphub.core.rows import Rows
from ocpphub.store import Row
from tests.lives.csms import LISTED_TAGS
from tests.lives.records import Picture


def picture(core: ChargePoint, now: Instant) -> Picture:
    """Everything of :class:`Picture` but the local list."""
    state = core.state(now)
    states = core.connector_states()
    secret = core.access().key
    live = [_plain(each) for each in core.live_transactions()]
    keys = core.get_configuration_key()["configuration_keys"]
    return Picture(
        connectors={s["connector_id"]: {"availability": s["availability"]} for s in states},
        live={each["session_id"]: each for each in live},
        keys={row["key"]: row.get("value") for row in keys},
        reservations={each["reservation_id"]: each for each in core.reservations()},
        profiles=_profiles(core),
        schedules=loads(core.charging_schedules(now)),
        is_stopped=state["stopped"],
        messages=state["queue"]["messages"],
        secret=None if secret is None else secret.hex(),
        monitors=tuple(sorted(state["monitored_keys"])),
    )


def _profiles(core: ChargePoint) -> list[Any]:
    text = b"[" + b",".join(each for each in core.schedules.installed(None) if each) + b"]"
    return sorted(loads(text), key=str)


def local_list(rows: Iterable[Row]) -> tuple[int, dict[str, str]]:
    """Version and entries of the local list that these rows hold."""
    found = LocalList(lambda effect: None)
    found.restore(Rows(rows, "CP1"))
    verdicts = {tag: found.get(tag) for tag in LISTED_TAGS}
    return found.version, {tag: verdict.status for tag, verdict in verdicts.items() if verdict is not None}


def _plain(transaction: Any) -> dict[str, Any]:
    """A live transaction without what may differ between two processes."""
    found: dict[str, Any] = asdict(transaction) if is_dataclass(transaction) else dict(transaction)  # type: ignore[arg-type]
    for name in ("notes", "last_ms", "last_untrusted_ms"):
        found.pop(name, None)
    return found
