"""A whole life of a hub from a seed: its day, its faults, its end, and what was written down about it.

Owns the course of events; :func:`live` gives the record of a life that :mod:`tests.lives.checker` then judges.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Ask
from tests.builders import EPOCH_MS, charging_profile, periods
from tests.lives.csms import CALM, GOOD_TAGS, LISTED_TAGS, TAGS, Csms
from tests.lives.hub import START_S
from tests.lives.plan import MESSAGE_TIMEOUT_S, TEMPERS, Plan, plan
from tests.lives.records import Life
from tests.lives.site import Agent, Bay
from tests.lives.world import World

INPUTS = 280
"""About how many steps of the bays a life has; the minimum of a life is 200 inputs in all."""
LEAST_INPUTS = 205
END_LIMIT_S = 6_000.0
CHANGES: dict[str, tuple[str, ...]] = {
    "HeartbeatInterval": ("300", "900"),
    "LocalPreAuthorize": ("true", "false"),
    "WebSocketPingInterval": ("30", "60"),
    "UnlockConnectorOnEVSideDisconnect": ("true", "false"),
    "SiteNote": ("x", "y", "z"),
    "Louder": ("1", "2", "3"),
    "NoSuchKey": ("1",),
    "ConnectionTimeOut": ("40", "80", "soon"),
}


def live(seed: int) -> Life:
    """Live the life of this seed to its end."""
    return Living(seed).whole()


class Living:
    """One life while it goes on."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)  # noqa: S311  # dice of a simulation
        self.plan: Plan = plan(seed, rng)
        self.life = Life(self.plan.header, [])
        self.csms = Csms(
            rng,
            TEMPERS[self.plan.temper],
            deduplicates=self.plan.deduplicates,
            odd_ids=self.plan.odd_ids,
            timeout_s=MESSAGE_TIMEOUT_S,
        )
        secret = bytes.fromhex(self.plan.header.secret) if self.plan.header.secret else None
        wall_error_ms = -EPOCH_MS if self.plan.starts_in_1970 else 0
        self.world = world = World(self.life, rng, self.plan.settings, self.plan.hub, self.csms, secret, wall_error_ms)
        if self.plan.is_disk_slow:
            world.disk_latency_s = (0.1, 1.5)
        count = self.plan.header.connectors
        self.bays = [Bay(each, float(rng.randrange(0, 50_000)), changed_s=START_S) for each in range(1, count + 1)]
        self.agents = self._agents()
        self.is_over = False
        self._list_version = 0
        self._profile = 0
        self._secrets = 0
        self._reservations: list[int] = []
        world.on_state = self._learn
        world.on_ask = self._answer_ask
        world.on_hub_lost = self._hub_lost
        world.on_refusal = lambda connector_id: world.at(1.0, lambda: self._look(connector_id))

    def _agents(self) -> list[Agent]:
        number = min(self.plan.agents, len(self.bays))
        agents = [
            Agent(self.world, self.rng, self.bays[first::number], counts_plugs=self.plan.counts_plugs)
            for first in range(number)
        ]
        for agent in agents:
            agent.others = agents
            agent.speaks_of_time = not self.plan.starts_in_1970
        return agents

    def _agent_of(self, bay: Bay) -> Agent:
        return next(agent for agent in self.agents if bay in agent.bays)

    # the course of a life

    def whole(self) -> Life:
        """From the first start to the last message."""
        world, rng = self.world, self.rng
        if rng.random() < 0.25:
            self.csms.reluctance = [rng.choice(("Pending", "Rejected")) for _ in range(rng.choice((1, 2, 4)))]
        if rng.random() < (0.8 if self.plan.starts_in_1970 else 0.3):
            world.is_out = True
            self.life.outages += 1
            world.at(rng.uniform(5.0, 200.0), self._first_link)
        world.begin()
        for agent in self.agents:
            world.at(rng.uniform(0.0, 5.0), agent.connect)
        interval_s = self.plan.duration_s * len(self.bays) / INPUTS
        for bay in self.bays:
            self._every(interval_s, rng.uniform(0.0, interval_s), partial(self._agent_of(bay).step, bay))
        self._every(self.plan.duration_s / 40, 3.0, self._csms_calls)
        self._every(self.plan.duration_s / 8, 20.0, lambda: self._look(rng.choice(self.bays).connector_id))
        self._every(self.plan.duration_s / 6, 40.0, self._compare)
        self._schedule_faults()
        world.run(self.plan.duration_s)
        while self.life.inputs < LEAST_INPUTS:
            world.run(20.0)
        self._end()
        self.life.duration_s = world.time_s - START_S
        return self.life

    def _every(self, interval_s: float, first_s: float, action: Callable[[], object]) -> None:
        def again() -> None:
            if not self.is_over:
                action()
                self.world.at(interval_s * self.rng.uniform(0.6, 1.4), again)

        self.world.at(first_s, again)

    def _schedule_faults(self) -> None:
        world, rng, whole_s = self.world, self.rng, self.plan.duration_s

        def at(low: float, high: float, action: Callable[[], object]) -> None:
            world.at(rng.uniform(low, high) * whole_s, lambda: None if self.is_over else _nothing(action()))

        at(0.1, 0.8, lambda: world.outage(rng.uniform(5.0, 90.0)))
        at(0.1, 0.9, world.crash_soon)
        at(0.75, 0.95, self._step_clock)
        for chance, action in (
            (0.4, world.crash_soon),
            (0.3, world.crash_soon),
            (0.3, lambda: world.outage(rng.uniform(5.0, 150.0))),
            (0.35, lambda: world.freeze("half_open")),
            (0.35, lambda: world.freeze("not_reading")),
            (0.10, lambda: self.csms.poison(rng.choice(("StopTransaction", "MeterValues", "StartTransaction")), 5)),
            (0.15, self._stop),
            (0.6, lambda: rng.choice(self.agents).lose(rng.choice((0.5, 10.0, 100.0, 260.0)))),
            (0.6, lambda: rng.choice(self.agents).lose(rng.choice((0.5, 10.0, 100.0)))),
            (0.4, lambda: rng.choice(self.agents).change_horses()),
            (0.2, lambda: rng.choice(self.agents).let_go()),
            (0.3, self._replace_meter),
            (0.1, lambda: world.feed("store_full")),
            (0.5, self._raise_event),
            (0.5, self._raise_event),
            (0.3, self._set_custom),
            (0.3, self._set_availability),
        ):
            if rng.random() < chance:
                at(0.05, 0.9, action)

    def _step_clock(self) -> None:
        self.life.clock_steps += 1
        self.life.header.step_s = self.world.time_s
        if self.plan.csms_steps:
            self.csms.clock_error_ms = self.plan.step_ms
            self.world.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
        else:
            self.world.step_clock(self.plan.step_ms)
        for agent in self.agents:
            agent.speaks_of_time = False

    def _replace_meter(self) -> None:
        bay = self.rng.choice(self.bays)
        self._agent_of(bay).replace_meter(bay)

    def _first_link(self) -> None:
        if self.plan.starts_in_1970 and self.world.core.live_transactions():
            self.life.faults.add("F34")
        self._heal()

    def _heal(self) -> None:
        self.world.is_out = False

    def _end(self) -> None:
        """Everything is healed; sessions end in one way or the other; what is queued gets its time."""
        world = self.world
        self.is_over = True
        self.csms.odds = CALM
        self.csms.reluctance.clear()
        self.csms.poison("", 0)
        world.disarm()
        world.disk_latency_s = (0.001, 0.01)
        if world.mode != "normal":
            world.cut()
        world.run(30.0)
        self._heal()
        world.command(None, "restart", {}, ())
        world.run(30.0)
        self._leave()
        until_s = world.time_s + END_LIMIT_S
        while world.time_s < until_s and not world.is_quiet():
            world.run(60.0)
            world.retry_aside()
        world.run(20.0)
        for _ in range(120):  # values of a full hour may just have come
            if world.is_quiet():
                break
            world.run(1.0)
        world.finish()

    def _leave(self) -> None:
        if self.plan.ends_by == "vanish":
            for agent in self.agents:
                agent.is_gone = True
                agent.lose(None)
            return
        for agent in self.agents:
            agent.connect()
        self.world.run(5.0)
        for bay in self.bays:
            bay.plugged = bay.ev_ready = False
            bay.errors = []
            self._agent_of(bay).report(bay)
        # StopTransactionOnEVSideDisconnect = false keeps them running, and a controller may still be away.
        for _ in range(3):
            self.world.run(20.0)
            states = self.world.states()
            for bay in self.bays:
                if states[bay.connector_id]["transaction"] is not None:
                    self._agent_of(bay).connect()
                    self._agent_of(bay).stop(bay)

    # what others do

    def _learn(self, connector_id: int, state: dict[str, Any]) -> None:
        if "permit" in state:
            bay = self.bays[connector_id - 1]
            if self._agent_of(bay).me is not None:
                bay.draw(self.world.time_s, self.rng)
                bay.learn(state)

    def _hub_lost(self, is_reset: bool) -> None:
        for agent in self.agents:
            agent.hub_lost(self.rng.choice((0.2, 2.0, 10.0, 50.0, 90.0)))

    def _answer_ask(self, ask: Ask, answer: Callable[[Any], None]) -> None:
        result: dict[str, Any] = {"status": "Unlocked"} if ask.method == "connector.unlock" else {"accepted": True}
        if self.rng.random() < 0.2:
            result = {"status": "UnlockFailed"} if ask.method == "connector.unlock" else {"accepted": False}
        if self.rng.random() < 0.8:
            self.world.at(self.rng.uniform(0.01, 3.0), lambda: answer(result))

    def _look(self, connector_id: int) -> None:
        """A permit is judged a second later, against what the composite said meanwhile."""
        world = self.world
        before = self._limit(connector_id, 2)

        def then() -> None:
            limits = before + self._limit(connector_id, 1)
            world.log_probe(connector_id, world.states()[connector_id], max(limits))

        world.at(1.0, then)
        world.log_probe(connector_id, world.states()[connector_id], None)

    def _limit(self, connector_id: int, seconds: int) -> list[float]:
        schedule = self.world.look_at_schedules()[str(connector_id)]["chargingSchedulePeriod"]
        return [period["limit"] for period in schedule if period["startPeriod"] < seconds]

    def _compare(self) -> None:
        self.world.compare()

    def _stop(self) -> None:
        self.world.command(None, "stop", {}, ())
        self.world.at(self.rng.uniform(8.0, 60.0), lambda: _nothing(self.world.command(None, "restart", {}, ())))

    def _raise_event(self) -> None:
        info = f"event at {self.world.time_s:.3f}"
        self.world.command(None, "security_event", {"type": "SiteEvent", "info": info}, ("SiteEvent", info))

    def _set_custom(self) -> None:
        key, value = "SiteNote", f"v{self.rng.randrange(1000)}"
        self.world.command(None, "set_custom_configuration_key", {"key": key, "value": value}, (key, value))
        self.world.command(None, "monitor_configuration_keys", {"keys": [key, value]}, ([key, value],))

    def _set_availability(self) -> None:
        connector_id, available = self.rng.choice(self.bays).connector_id, self.rng.random() < 0.5
        params = {"connector_id": connector_id, "available": available}
        self.world.command(None, "set_availability", params, (connector_id, available))

    # CALLs of the CSMS

    def _csms_calls(self) -> None:
        rng = self.rng
        any_connector = rng.choice(self.bays).connector_id
        makers: tuple[Callable[[int], tuple[str, dict[str, Any]]], ...] = (
            self._remote_start,
            self._remote_start,
            self._remote_stop,
            self._remote_stop,
            self._availability,
            self._reserve,
            self._cancel,
            self._profile_call,
            self._profile_call,
            self._clear_profile,
            self._change_key,
            self._change_key,
            self._trigger,
            self._local_list,
            self._small_call,
        )
        action, payload = rng.choice(makers)(any_connector)
        self.world.call(action, payload)
        if action == "RemoteStopTransaction":
            for connector_id in {c for c, _ in self.csms.running.values()}:
                self.world.at(1.0, partial(self._look, connector_id))

    def _remote_start(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        payload: dict[str, Any] = {"idTag": self.rng.choice(TAGS)}
        if self.rng.random() < 0.8:
            payload["connectorId"] = connector_id
        if self.rng.random() < 0.2:
            self._profile += 1
            profile = charging_profile(self._profile, "TxProfile", chargingSchedulePeriod=periods((0, 10.0)))
            payload["chargingProfile"] = profile
        return "RemoteStartTransaction", payload

    def _remote_stop(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        ids = [*self.csms.running, -1, 4711]
        return "RemoteStopTransaction", {"transactionId": self.rng.choice(ids)}

    def _availability(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        target = self.rng.choice((connector_id, connector_id, connector_id, 0))
        kind = self.rng.choice(("Operative", "Operative", "Inoperative"))
        return "ChangeAvailability", {"connectorId": target, "type": kind}

    def _reserve(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        number = self.rng.randrange(1, 6)
        expiry = utc_text(self.world.true_ms + self.rng.choice((60_000, 600_000)))
        payload = {"connectorId": self.rng.choice((connector_id, connector_id, 0)), "expiryDate": expiry,
                   "idTag": self.rng.choice(GOOD_TAGS), "reservationId": number}  # fmt: skip
        return "ReserveNow", payload

    def _cancel(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        return "CancelReservation", {"reservationId": self.rng.randrange(1, 6)}

    def _profile_call(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        self._profile += 1
        purpose = self.rng.choice(("TxDefaultProfile", "TxDefaultProfile", "ChargePointMaxProfile"))
        target = 0 if purpose == "ChargePointMaxProfile" else self.rng.choice((connector_id, 0))
        steps = periods((0, self.rng.choice((6.0, 10.0, 20.0))), (120, 32.0), (240, self.rng.choice((0.0, 8.0))))
        start = utc_text((self.world.true_ms - 60_000) // 1000 * 1000)
        profile = charging_profile(
            self.rng.randrange(1, 8),
            purpose,
            stackLevel=self.rng.randrange(0, 3),
            chargingProfileKind="Absolute",
            startSchedule=start,
            chargingSchedulePeriod=steps,
        )
        return "SetChargingProfile", {"connectorId": target, "csChargingProfiles": profile}

    def _clear_profile(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        return "ClearChargingProfile", {"id": self.rng.randrange(1, 8)}

    def _change_key(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        if self.plan.header.secret and self.rng.random() < 0.3:
            self._secrets += 1
            return "ChangeConfiguration", {"key": "AuthorizationKey", "value": f"{self._secrets:032x}"}
        key = self.rng.choice(tuple(CHANGES))
        return "ChangeConfiguration", {"key": key, "value": self.rng.choice(CHANGES[key])}

    def _trigger(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        wanted = self.rng.choice(("StatusNotification", "MeterValues", "Heartbeat", "BootNotification"))
        payload: dict[str, Any] = {"requestedMessage": wanted}
        if self.rng.random() < 0.7:
            payload["connectorId"] = connector_id
        return "TriggerMessage", payload

    def _local_list(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        if self.rng.random() < 0.3:
            return "GetLocalListVersion", {}
        self._list_version += self.rng.choice((1, 1, 1, 0))
        kind = self.rng.choice(("Full", "Differential"))
        entries: list[dict[str, Any]] = []
        for tag in self.rng.sample(LISTED_TAGS, 3):
            is_entry = kind == "Full" or self.rng.random() < 0.7
            status = self.rng.choice(("Accepted", "Blocked"))
            entries.append({"idTag": tag, "idTagInfo": {"status": status}} if is_entry else {"idTag": tag})
        payload = {"listVersion": max(self._list_version, 1), "updateType": kind, "localAuthorizationList": entries}
        return "SendLocalList", payload

    def _small_call(self, connector_id: int) -> tuple[str, dict[str, Any]]:
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("GetConfiguration", {}),
            ("ClearCache", {}),
            ("UnlockConnector", {"connectorId": connector_id}),
            ("UnlockConnector", {"connectorId": connector_id}),
            ("GetCompositeSchedule", {"connectorId": connector_id, "duration": 600}),
            ("Reset", {"type": self.rng.choice(("Soft", "Hard"))}),
            ("DataTransfer", {"vendorId": "nobody"}),
        )
        return self.rng.choice(calls)


def _nothing(result: object) -> None:
    """Let a lambda be an event."""
