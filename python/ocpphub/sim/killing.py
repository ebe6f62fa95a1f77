"""The tour's step about a hub that dies: ``kill -9`` in a running session, which goes on afterwards.

Owns what has to be seen of it: one StartTransaction and one StopTransaction, and a register that never went back. Must
never reach into the hub: it kills the process and starts it again as an operator would.

Plays OCPP 1.6 section 3.7 and the durability contract.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from ocpphub.sim import charging
from ocpphub.sim.ledger import Record
from ocpphub.sim.station import Station

SESSION_S: Final = 20.0
RESTART_S: Final = 45.0
CHARGING_W: Final = 500.0


class Tour(charging.Tour, Protocol):
    """What this step needs of the tour besides: the hub's process."""

    async def kill_hub(self) -> None:
        """``kill -9``."""

    async def launch_hub(self) -> float:
        """Start the hub again; seconds until its socket answered."""


async def kill_part(tour: Tour, identity: str) -> None:
    """A session runs, the hub is killed and comes back, the session goes on and ends with one record."""
    say, csms = tour.say, tour.csms
    say.step("kill -9 of the hub in the middle of a session; it comes back and the session goes on")
    before = len(csms.ledger.records)

    def record() -> Record | None:
        found = csms.ledger.records[before:]
        return found[0] if len(found) == 1 else None

    def has_samples(count: int) -> bool:
        found = record()
        return found is not None and len(found.meter_values) >= count

    async with Station(tour.client.path, [1], report_s=0.5) as station:
        await station.plug(1, state_of_charge=0.4)
        await station.tag(1, "TAG1")
        charging_before = await station.until(1, lambda evse: evse.power_w > CHARGING_W, SESSION_S)
        sampled = await csms.wait_until(lambda: has_samples(1), SESSION_S)
        say.check(charging_before and sampled, "a session with samples")
        before_kill = await tour.client.call("connector.get", connector_id=1)
        session_id = before_kill["transaction"]["session_id"]
        boots = csms.count("BootNotification")
        await tour.kill_hub()
        say.note("killed; the vehicle stays plugged, its controller falls back to no current and dials again")
        seconds = await tour.launch_hub()
        say.seen(f"the socket answers again after {seconds:.1f} s")
        await csms.wait_until(lambda: csms.count("BootNotification") > boots, RESTART_S)
        # Permits are numbered on over restarts: one that is newer can only be of the hub that came back.
        seq = before_kill["permit"]["seq"]
        state = await _permitted(tour, seq)
        resumed = state["permit"]["seq"] > seq and await station.until(
            1, lambda evse: evse.power_w > CHARGING_W, RESTART_S
        )
        is_same = (state["transaction"] or {}).get("session_id") == session_id
        say.check(resumed and is_same, f"session {session_id} goes on and the vehicle charges again")
        told = len(found.meter_values) if (found := record()) else 0
        await csms.wait_until(lambda: has_samples(told + 1), SESSION_S)
        await station.tag(1, "TAG1")
        await station.unplug(1)
    ended = await csms.wait_until(lambda: (found := record()) is not None and bool(found.stops), SESSION_S)
    found = record()
    starts = csms.count("StartTransaction", idTag="TAG1", meterStart=0 if found is None else found.meter_start_wh)
    say.check(ended and found is not None and len(found.stops) == 1, f"one start (sent {starts} time(s)) and one stop")


async def _permitted(tour: Tour, seq: int) -> dict[str, Any]:
    """The state of connector 1 once it has a permit newer than ``seq`` that gives energy, or when time is over."""
    state: dict[str, Any] = {}
    for _ in range(round(RESTART_S * 10)):
        state = await tour.client.call("connector.get", connector_id=1)
        if state["permit"]["energize"] and state["permit"]["seq"] > seq:
            break
        await asyncio.sleep(0.1)
    return state
