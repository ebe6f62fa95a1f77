"""Smart charging over the wire: builders of profiles, a station under test, and what every schedule must look like.

Owns the words of the tests of smart charging. No product code: a profile is what a CSMS would type, a schedule is what
came over the WebSocket or the socket.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .conftest import DEADLINE, Csms, Hub, Link, Rig, Rpc, open_rig, point

Json = dict[str, Any]
Periods = list[tuple[int, float, int]]

DAY = 86_400
WEEK = 7 * DAY
# A moment far ahead, where nothing depends on when the test runs: Monday 2040-01-02, midnight.
FAR = datetime.datetime(2040, 1, 2, tzinfo=datetime.UTC)


def far(offset_s: float = 0) -> str:
    """The moment this many seconds after FAR, as RFC 3339 text."""
    return text(FAR + datetime.timedelta(seconds=offset_s))


def text(moment: datetime.datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def seconds(moment: str) -> float:
    return datetime.datetime.fromisoformat(moment).timestamp()


def now(offset_s: float = 0) -> str:
    """The present second and as many more, as RFC 3339 text."""
    return text(datetime.datetime.fromtimestamp(int(time.time() + offset_s), datetime.UTC))


def profile(
    charging_profile_id: int,
    *periods: tuple[Any, ...],
    purpose: str = "TxDefaultProfile",
    level: int = 0,
    kind: str = "Absolute",
    unit: str = "A",
    duration: int | None = None,
    start: str | None = None,
    recurrency: str | None = None,
    valid_from: str | None = None,
    valid_to: str | None = None,
    transaction: int | None = None,
) -> Json:
    """A ChargingProfile; a period is (startPeriod, limit) or (startPeriod, limit, numberPhases)."""
    names = ("startPeriod", "limit", "numberPhases")
    schedule = {
        "duration": duration,
        "startSchedule": start,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [dict(zip(names, period, strict=False)) for period in periods or ((0, 16),)],
    }
    members = {
        "chargingProfileId": charging_profile_id,
        "transactionId": transaction,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": kind,
        "recurrencyKind": recurrency,
        "validFrom": valid_from,
        "validTo": valid_to,
        "chargingSchedule": present(schedule),
    }
    return present(members)


def limit_of_all(charging_profile_id: int, *periods: tuple[Any, ...], **more: Any) -> Json:
    """A ChargePointMaxProfile."""
    return profile(charging_profile_id, *periods, purpose="ChargePointMaxProfile", **more)


def daily(charging_profile_id: int, *periods: tuple[Any, ...], start: str, **more: Any) -> Json:
    return profile(charging_profile_id, *periods, kind="Recurring", recurrency="Daily", start=start, **more)


def present(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def flat(limit: float, phases: int = 3) -> Periods:
    return [(0, limit, phases)]


def periods_of(schedule: Json) -> Periods:
    """The periods of a ChargingSchedule that came from the hub, after a look at its form."""
    assert schedule["chargingRateUnit"] in {"A", "W"}
    assert isinstance(schedule["duration"], int)
    periods = [(p["startPeriod"], p["limit"], p["numberPhases"]) for p in schedule["chargingSchedulePeriod"]]
    assert all(set(p) == {"startPeriod", "limit", "numberPhases"} for p in schedule["chargingSchedulePeriod"])
    assert periods, "1..*"
    starts = [start for start, _, _ in periods]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert starts[-1] < schedule["duration"]
    assert all(a[1:] != b[1:] for a, b in itertools.pairwise(periods)), "neighbours that say the same"
    assert all(limit >= 0 and Decimal(repr(limit)) % Decimal("0.1") == 0 for _, limit, _ in periods), "one decimal"
    assert all(phases in {1, 2, 3} for _, _, phases in periods)
    return periods


@dataclasses.dataclass
class Station:
    """A hub under test with its CSMS and a client of its socket."""

    rig: Rig
    csms: Csms
    hub: Hub
    link: Link
    rpc: Rpc

    @property
    def connectors(self) -> int:
        return int(self.link.value("NumberOfConnectors")["value"])

    # -- as the CSMS -----------------------------------------------------------------------------

    def exchange(self, frame: str, message_id: str) -> list[Any]:
        """Send one text and take the answer to its id; looks only at what came after it."""
        seen = len(self.link.frames)
        self.link.send_text(frame)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            for index in range(seen, len(self.link.frames)):
                way, answer = self.link.frames[index]
                if way == ">" and f'"{message_id}"' in answer[:60]:
                    parsed: list[Any] = json.loads(answer)
                    if parsed[0] in (3, 4) and parsed[1] == message_id:
                        return parsed
            time.sleep(0.0003)
        raise AssertionError(f"no answer to {frame[:300]}")

    def ask(self, action: str, payload: Any) -> list[Any]:
        """The whole answer to a CALL."""
        self.link.next_id += 1
        message_id = f"csms-{self.link.next_id}"
        return self.exchange(json.dumps([2, message_id, action, payload]), message_id)

    def result(self, action: str, payload: Any) -> Json:
        answer = self.ask(action, payload)
        assert answer[0] == 3, answer
        result: Json = answer[2]
        return result

    def error(self, action: str, payload: Any) -> str:
        """The code of the CALLERROR that must come."""
        answer = self.ask(action, payload)
        assert answer[0] == 4, answer
        assert len(answer) == 5
        assert isinstance(answer[4], dict)
        return str(answer[2])

    def verdict(self, action: str, payload: Any) -> str:
        """The code of a CALLERROR, or the status."""
        answer = self.ask(action, payload)
        return str(answer[2] if answer[0] == 4 else answer[2]["status"])

    def set(self, connector_id: int, charging_profile: Json) -> str:
        result = self.result(
            "SetChargingProfile", {"connectorId": connector_id, "csChargingProfiles": charging_profile}
        )
        assert set(result) == {"status"}
        return str(result["status"])

    def put(self, connector_id: int, *profiles: Json) -> None:
        """Profiles that must be accepted."""
        for item in profiles:
            assert self.set(connector_id, item) == "Accepted", item

    def clear(self, **fields: Any) -> str:
        result = self.result("ClearChargingProfile", fields)
        assert set(result) == {"status"}
        return str(result["status"])

    def composite(self, connector_id: int, duration: int = 600, unit: str | None = None) -> Json:
        """An Accepted GetCompositeSchedule.conf, after a look at its form."""
        request = present({"connectorId": connector_id, "duration": duration, "chargingRateUnit": unit})
        result = self.result("GetCompositeSchedule", request)
        assert set(result) == {"status", "connectorId", "scheduleStart", "chargingSchedule"}, result
        assert (result["status"], result["connectorId"]) == ("Accepted", connector_id)
        assert set(result["chargingSchedule"]) == {"chargingRateUnit", "duration", "chargingSchedulePeriod"}
        assert unit in (None, result["chargingSchedule"]["chargingRateUnit"])
        periods_of(result["chargingSchedule"])
        return result

    def periods(self, connector_id: int, duration: int = 600, unit: str | None = None) -> Periods:
        """The periods that GetCompositeSchedule answers."""
        return periods_of(self.composite(connector_id, duration, unit)["chargingSchedule"])

    # -- as a client of the socket ---------------------------------------------------------------

    def at(self, connector_id: int, offset_s: float = 0, duration: int = 600, unit: str = "A") -> Periods:
        """The periods of `schedule.get` from FAR + offset."""
        answer = self.rpc.call(
            "schedule.get", connector_id=connector_id, duration_s=duration, unit=unit, at=far(offset_s)
        )
        return periods_of(answer["schedule"])

    def installed(self, **params: Any) -> list[Json]:
        profiles: list[Json] = self.rpc.call("schedule.profiles", **params)
        return profiles

    def ids(self, **params: Any) -> list[int]:
        return sorted(item["charging_profile_id"] for item in self.installed(**params))

    def state(self) -> Any:
        """All that a refused message must leave as it was, of connectors 0 to 2."""
        return self.installed(), [self.at(n, -DAY, 3 * DAY) for n in range(3)], [self.periods(n) for n in range(3)]

    # -- life ------------------------------------------------------------------------------------

    def restart(self, kill: bool = True) -> None:
        """End the process and start it again on the same directory."""
        if kill:
            self.hub.kill()
        else:
            assert self.hub.stop() == 0
        links = len(self.csms.links)
        self.hub.start()
        self.rpc = self.rig.client(self.hub)
        self.link = self.csms.link(links)
        self.link.wait_call("StatusNotification")


def station(rig: Rig, connectors: int = 2, hub: str = "", rpc: str = "", **parts: str) -> Station:
    """A hub in a rig, accepted; the parts are those of `point`, `connector_max_w` replaces the 32 A."""
    csms = rig.csms()
    maximum = parts.pop("maximum", "connector_max_a = 32")
    configuration = point(url=csms.url, connectors=connectors, **parts).replace("connector_max_a = 32", maximum)
    process = rig.hub(configuration, hub=hub, rpc=rpc).start()
    return Station(rig, csms, process, csms.booted(connectors=min(connectors, 3)), rig.client(process))


@contextlib.contextmanager
def open_station(connectors: int = 2, **parts: str) -> Iterator[Station]:
    """A station with a rig of its own."""
    with open_rig() as rig:
        yield station(rig, connectors, **parts)


def cleared(opened: Station) -> Station:
    """The station as it was when it started."""
    opened.clear()
    opened.link.frames.clear()
    assert opened.installed() == []
    return opened
