"""What stands in the car park of one life: bays with a meter and a cable, and the local controllers that drive them.

Owns the physical truth (what is plugged, what the meter reads) and how a controller tells it: in levels, now and then
twice, late, absurdly, or of a connector that is not its own. Must never look into the core beyond rpc.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ocpphub.core.boot import utc_text
from ocpphub.core.controllers import Controller
from tests.lives.csms import BAD_TAGS, GOOD_TAGS, SLY_TAGS, TAGS
from tests.lives.records import Replied
from tests.lives.world import World

POWER_W = 22_080.0
"""Three phases of 32 A at 230 V: nothing draws more."""


@dataclass(slots=True)
class Bay:
    """One connector: its cable, its vehicle and its meter. ``register_wh`` is the truth, never rounded up."""

    connector_id: int
    register_wh: float
    plugged: bool = False
    plug_id: int = 0
    ev_ready: bool = False
    evse_ready: bool = True
    errors: list[dict[str, Any]] = field(default_factory=list)
    energize: bool = False
    has_session: bool = False
    limit_w: float = 0.0
    changed_s: float = 0.0
    replaced_s: float = float("-inf")
    """When another meter came; for a minute it cannot be believed yet."""
    is_sure: bool = False
    """Whether the core accepted a register of this meter since it started, so that good ones must be accepted."""

    def learn(self, state: dict[str, Any]) -> None:
        """The connector's state as the core tells it: what the controller acts on."""
        permit = state["permit"]
        self.energize = bool(permit["energize"])
        self.limit_w = float(permit["limit_w"])
        self.has_session = state["transaction"] is not None

    def draw(self, now_s: float, rng: Random) -> None:
        """Let the meter run up to now."""
        elapsed_s, self.changed_s = now_s - self.changed_s, now_s
        if self.energize and self.plugged and self.ev_ready and self.evse_ready:
            self.register_wh += min(self.limit_w, POWER_W) * rng.uniform(0.3, 1.0) * elapsed_s / 3600
        elif rng.random() < 0.1:
            self.register_wh += min(2.0, elapsed_s * 0.5)

    def swap_cable(self) -> None:
        """A vehicle is plugged in, whatever was there before."""
        self.plugged, self.ev_ready = True, True
        self.plug_id += 1


class Agent:
    """A controller: one connection at a time, with its bays."""

    def __init__(self, world: World, rng: Random, bays: Sequence[Bay], *, counts_plugs: bool) -> None:
        self.world, self.rng, self.bays, self.counts_plugs = world, rng, bays, counts_plugs
        self.me: Controller | None = None
        self.others: Sequence[Agent] = ()
        self.speaks_of_time = False
        """Whether reports may carry a timestamp: only while the machine's clock is right."""
        self._is_whole: set[int] = set()
        self._is_stamped: set[int] = set()
        """Connectors with a report that carried a time in this attachment: only then is another one older."""
        self._told: dict[int, dict[str, Any]] = {}
        self.is_gone = False

    # the connection

    def connect(self, *, takeover: bool = False) -> None:
        """Open a connection and attach to the bays."""
        if self.me is not None or self.is_gone:
            return
        self.world.controller_number += 1
        self.me = me = Controller(self.world.controller_number, 1000, False)
        self._is_whole.clear()
        self._is_stamped.clear()
        ids = [bay.connector_id for bay in self.bays]

        def attached(result: Any, error: dict[str, Any] | None) -> None:
            if self.me is not me:
                return
            if error is not None:
                self.world.at(5.0, self.lose)
                return
            for bay in self.bays:
                self.world.attached(bay.connector_id, me.number)
            self.world.at(0.01, self._report_all)

        self._command("attach", {"connectors": ids}, (me, ids, takeover or self.rng.random() < 0.3), done=attached)

    def lose(self, back_after_s: float | None = 2.0) -> None:
        """The connection breaks; ``None``: for ever."""
        if self.me is None:
            return
        number, self.me = self.me.number, None
        for bay in self.bays:
            bay.energize = False
            self.world.attached(bay.connector_id, 0)
        self.world.life.inputs += 1
        self.world.feed("controller_lost", number)
        self._come_back(back_after_s)

    def hub_lost(self, back_after_s: float | None) -> None:
        """The hub died, or forgot us."""
        self.me = None
        for bay in self.bays:
            bay.energize, bay.is_sure = False, False
            bay.replaced_s = float("-inf")  # after a start of the process another epoch is believed at once
            self.world.attached(bay.connector_id, 0)
        self._come_back(back_after_s)

    def _come_back(self, after_s: float | None) -> None:
        if after_s is None:
            self.is_gone = True
        else:
            self.world.at(after_s, self.connect)

    # commands, each with a look at what it must not touch

    def _command(
        self, name: str, params: dict[str, Any], arguments: tuple[Any, ...], *, expects: str = "", done: Any = None
    ) -> None:
        world, me = self.world, self.me
        if expects != "refused" and self.rng.random() < 0.6:  # a look at every connector costs more than the command
            world.command(me, name, params, arguments, expects=expects, done=done)
            return
        mine = {bay.connector_id for bay in self.bays}
        before = world.states()
        records = len(world.life.records)
        request = world.command(me, name, params, arguments, expects=expects, done=done)
        after = world.states()
        new = world.life.records[records:]
        is_refused = any(isinstance(r, Replied) and r.request == request and r.error is not None for r in new)
        for connector_id, state in after.items():
            if (is_refused or connector_id not in mine) and state != before[connector_id]:
                world.disturbed(request, f"connector {connector_id} by {name} of {sorted(mine)}, refused {is_refused}")

    def _report_all(self) -> None:
        if self.rng.random() < 0.3:
            self._report_many()
            return
        for bay in self.bays:
            self.report(bay)

    def _report_many(self) -> None:
        """All bays in one command, as objects or as columns."""
        me = self.me
        if me is None:
            return
        for bay in self.bays:
            bay.draw(self.world.time_s, self.rng)
        rows = [{"connector_id": bay.connector_id, **self._levels(bay)} for bay in self.bays]
        params: dict[str, Any] = {"reports": rows}
        if self.rng.random() < 0.5:
            columns = [name for name in rows[0] if name != "errors"]
            params = {"columns": columns, "rows": [[row[name] for name in columns] for row in rows]}

        def done(result: Any, error: dict[str, Any] | None) -> None:
            if self.me is not me or error is not None:
                return
            wrong = {each["index"] for each in result["errors"]}
            self._is_whole |= {bay.connector_id for index, bay in enumerate(self.bays) if index not in wrong}

        self._command("report_many", params, (me, params, lambda connector_id: True), done=done)

    def change_horses(self) -> None:
        """A new connection takes the bays over; the old one finds out, and is lost later, which matters to nobody."""
        old = self.me
        if old is None:
            return
        self.me = None
        self.connect(takeover=True)
        bay = self.bays[0]
        params = {"connector_id": bay.connector_id, "plugged": not bay.plugged}
        new, self.me = self.me, old
        self._command("report", params, (old, params), expects="refused")
        self.me = new
        self.world.at(self.rng.uniform(0.5, 20.0), lambda: self._forget(old))

    def _forget(self, old: Controller) -> None:
        before = self.world.states()
        self.world.life.inputs += 1
        self.world.feed("controller_lost", old.number)
        if self.world.states() != before:
            self.world.disturbed(-1, f"connection {old.number} was lost after it had been relieved")

    def let_go(self) -> None:
        """The controller detaches from its bays, and attaches again after a while."""
        if self.me is None:
            return
        me, self.me = self.me, None
        for bay in self.bays:
            bay.energize = False
            self.world.attached(bay.connector_id, 0)
        self.world.command(me, "detach", {}, (me, None))
        self._come_back(self.rng.choice((1.0, 15.0, 45.0)))

    def report(self, bay: Bay, **more: Any) -> None:
        """Tell what is there; whole in the first report of an attachment, else what changed, now and then all."""
        if self.me is None:
            return
        bay.draw(self.world.time_s, self.rng)
        levels = self._levels(bay)
        told = self._told.get(bay.connector_id, {})
        if bay.connector_id in self._is_whole and self.rng.random() < 0.8:
            params = {name: value for name, value in levels.items() if told.get(name) != value}
            params["energy_wh"] = levels["energy_wh"]
        else:
            params = dict(levels)
        self._told[bay.connector_id] = levels
        if self.speaks_of_time and self.rng.random() < 0.15:
            params["timestamp"] = utc_text(self.world.true_ms)
        if self.rng.random() < 0.05:
            params["measurements"] = [
                {"measurand": "Power.Active.Import", "value": 7000},
                {"measurand": "Current.Import", "value": "10.1", "phase": "L1"},
            ]
        self._send_report(bay, {"connector_id": bay.connector_id, **params, **more}, self._expectation(bay))
        if self.rng.random() < 0.04:
            self._send_report(bay, {"connector_id": bay.connector_id, **params, **more}, "")

    def _expectation(self, bay: Bay) -> str:
        if self.world.time_s - bay.replaced_s < 55.0:
            return "refused"
        return "ok" if bay.is_sure else ""

    def _levels(self, bay: Bay) -> dict[str, Any]:
        levels: dict[str, Any] = {
            "plugged": bay.plugged,
            "ev_ready": bay.ev_ready,
            "evse_ready": bay.evse_ready,
            "energy_wh": int(bay.register_wh),
            "errors": list(bay.errors),
        }
        if self.counts_plugs:
            levels["plug_id"] = bay.plug_id
        return levels

    def _send_report(self, bay: Bay, params: dict[str, Any], expects: str) -> None:
        me, made_s = self.me, self.world.time_s

        def done(result: Any, error: dict[str, Any] | None) -> None:
            if self.me is not me:
                return
            if error is None:
                self._is_whole.add(bay.connector_id)
                if "timestamp" in params:
                    self._is_stamped.add(bay.connector_id)
                if expects != "refused" and made_s > bay.replaced_s:
                    bay.is_sure = True
                if isinstance(result, dict):
                    bay.learn(result)
            elif expects == "":
                bay.is_sure = False

        self._command("report", params, (me, params), expects=expects, done=done)

    def absurd(self, bay: Bay) -> None:
        """A report that has to be refused as it stands."""
        if self.me is None or not bay.is_sure or bay.connector_id not in self._is_whole:
            return
        register = int(bay.register_wh)
        wrong: dict[str, Any] = self.rng.choice(
            (
                {"energy_wh": -1},
                {"energy_wh": register + 5_000_000},
                {"energy_wh": 2**31},
                {"energy_wh": float("nan")},
                {"energy_wh": 0 if register > 10 else -1},
                {"energie_wh": 5},
                {"plugged": "yes"},
                {"errors": [{"error_code": "Smoke"}]},
                {"errors": [{"error_code": "OtherError", "info": "x" * 51}]},
                {"measurements": [{"measurand": "Happiness", "value": 1}]},
                {"timestamp": "yesterday"},
            )
        )
        self._send_report(bay, {"connector_id": bay.connector_id, **wrong}, "refused")

    def trespass(self) -> None:
        """Report of, and stop at, a connector that is another's."""
        other = self.rng.choice(self.others) if self.others else None
        if self.me is None or other is None or other is self:
            return
        connector_id = self.rng.choice(other.bays).connector_id
        if self.rng.random() < 0.7:
            params = {"connector_id": connector_id, "plugged": False, "ev_ready": False, "evse_ready": False,
                      "energy_wh": 0}  # fmt: skip
            self._command("report", params, (self.me, params), expects="refused")
        else:
            params = {"connector_id": connector_id}
            self._command("stop_transaction", params, (self.me, connector_id, "Local", None), expects="refused")

    def stale(self, bay: Bay) -> None:
        """A report from before: it changes no level."""
        if self.me is None or not self.speaks_of_time or bay.connector_id not in self._is_stamped:
            return
        before = self.world.states()[bay.connector_id]
        at = utc_text(self.world.true_ms - 3_600_000)
        params = {"connector_id": bay.connector_id, "plugged": not bay.plugged, "timestamp": at}
        self._command("report", params, (self.me, params))
        if self.world.states()[bay.connector_id] != before:
            self.world.disturbed(-1, f"connector {bay.connector_id} by a report of an hour ago")

    def authorize(self, bay: Bay | None, id_tag: str) -> None:
        """Somebody holds a tag to the reader."""
        if self.me is not None:
            connector_id = None if bay is None else bay.connector_id
            params = {"id_tag": id_tag, "connector_id": connector_id}
            self._command("authorize", params, (self.me, id_tag, connector_id))

    def stop(self, bay: Bay) -> None:
        """The stop button."""
        if self.me is not None:
            reason = self.rng.choice(("Local", "Local", "EmergencyStop", "Other"))
            params = {"connector_id": bay.connector_id, "reason": reason}
            self._command("stop_transaction", params, (self.me, bay.connector_id, reason, None))

    # a step in the life of a bay

    def step(self, bay: Bay) -> None:
        """Something happens at a bay, or just its meter is read."""
        bay.draw(self.world.time_s, self.rng)
        roll = self.rng.random()
        if roll < 0.03:
            self.absurd(bay)
        elif roll < 0.045:
            self.trespass()
        elif roll < 0.055:
            self.stale(bay)
        elif roll < 0.075:
            self._trouble(bay)
        elif bay.has_session:
            self._in_session(bay)
        elif bay.plugged:
            self._plugged(bay)
        else:
            self._idle(bay)

    def _trouble(self, bay: Bay) -> None:
        if bay.errors:
            bay.errors = []
        else:
            code = self.rng.choice(("GroundFailure", "HighTemperature", "OtherError"))
            bay.errors = [{"error_code": code, "info": "scripted", "inoperative": self.rng.random() < 0.6}]
        self.report(bay)

    def _idle(self, bay: Bay) -> None:
        roll = self.rng.random()
        if roll < 0.6:
            bay.swap_cable()
            bay.ev_ready = self.rng.random() < 0.8
            self.report(bay)
            if self.rng.random() < 0.6:
                self.world.at(self.rng.uniform(0.0, 3.0), lambda: self.authorize(bay, self._tag()))
        elif roll < 0.75:
            self.authorize(bay if self.rng.random() < 0.7 else None, self._tag())
        else:
            self.report(bay)

    def _plugged(self, bay: Bay) -> None:
        roll = self.rng.random()
        if roll < 0.6:
            self.authorize(bay, self._tag())
        elif roll < 0.75:
            bay.plugged = bay.ev_ready = False
            self.report(bay)
        else:
            bay.ev_ready = self.rng.random() < 0.8
            self.report(bay)

    def _in_session(self, bay: Bay) -> None:
        roll = self.rng.random()
        if roll < 0.60:
            self.report(bay)
        elif roll < 0.68:
            bay.ev_ready = not bay.ev_ready
            self.report(bay)
        elif roll < 0.72:
            bay.evse_ready = not bay.evse_ready
            self.report(bay)
        elif roll < 0.80:
            self.authorize(bay, self._tag())
        elif roll < 0.85:
            self.stop(bay)
        elif roll < 0.93:
            bay.plugged = bay.ev_ready = False
            self.report(bay)
        elif roll < 0.96:
            bay.swap_cable()
            self.report(bay)
        else:
            self.report(bay)
            self.report(bay)

    def replace_meter(self, bay: Bay) -> None:
        """Another meter, with a register of its own: refused until three readings over a minute agree."""
        if bay.is_sure and bay.register_wh > 1_000:
            bay.register_wh = float(self.rng.randrange(0, 500))
            bay.replaced_s, bay.is_sure = self.world.time_s, False

    def _tag(self) -> str:
        return self.rng.choice(self.rng.choice((GOOD_TAGS, GOOD_TAGS, GOOD_TAGS, SLY_TAGS, BAD_TAGS, TAGS)))
