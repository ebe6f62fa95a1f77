"""A virtual day of one :class:`Allocation`: 500 vehicles, controllers that are late or die, limits that fall.

Owns what happens, and what the core would tell of a connector. Everything comes from one seed; the judge hears of each
input before the allocation does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

from ocpphub.core.cap import Amount, External
from ocpphub.core.member import Granted
from tests.allocation.book import PER_MILLIAMPERE, Limit, Sent
from tests.allocation.device import Device
from tests.allocation.judge import Violation
from tests.allocation.plan import DAY_S, START_S, by_time, plan
from tests.allocation.shell import Shell
from tests.allocation.site import site


class Day(Shell):
    """One day, from its seed. :meth:`run` lives it."""

    def __init__(self, seed: int, show: Callable[[str], None] | None = None) -> None:
        rng = Random(seed)  # noqa: S311  # a day comes from its seed
        super().__init__(seed, rng, site(rng), START_S, show)
        self.plan = plan(rng, self.book)
        self._externals = [0] * len(self.caps)

    def run(self) -> list[Violation]:
        """Everything that is planned, and what comes of it; what the judge found."""
        self._begin()
        for each in by_time(self.plan.events):
            self.at(each.at_s, getattr(self, each.name), *each.arguments)
        self.live(START_S + DAY_S)
        summary = self.summary
        summary.slices, summary.shortfalls = self.judge.turns.slices, self.judge.shortfalls
        summary.turns = self.allocation.rotation.turns
        return self.judge.violations

    def _input(self, at_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Something that changes an input: never in the calm."""
        self.at(max(self.plan.outside(at_s), self.now), call, *arguments)

    # what the core tells

    def _begin(self) -> None:
        resuming = set(self.plan.resuming)
        for index in sorted(resuming):
            device = self.devices[index]
            device.is_dead = device.is_plugged = device.is_drawing = device.is_authorized = device.is_ready = True
            device.composite, device.phases = 2_000, 3
            device.vehicle_tenths = device.config.most
        for point in self.site.points:
            first, seq = self.first[point.identity] - 1, self.rng.randint(0, 10_000)
            running = [index - first for index in sorted(resuming) if 0 < index - first <= point.connectors]
            for index in range(first + 1, first + 1 + point.connectors):
                self.devices[index].latest = Granted(seq, False, 0.0, 0.0, 1)
                self.judge.begun(index, seq, index in resuming, self.now)
            register = partial(self._register, first)
            self.allocation.begin(point.identity, seq, register, running, self.now)
            for connector_id in running:
                device = self.devices[first + connector_id]
                device.applied = Sent(seq, device.config.most, device.config.phases, True)
                device.draw(self.now)
                self.lapse_later(device)
        self.allocation.has_moved = True
        self.tell()
        for index in sorted(resuming):
            if self.rng.random() < 0.5:
                self._input(self.now + self.rng.uniform(0.0, 60.0), self._want, self.devices[index])

    def _register(self, first: int, connector_id: int) -> int | None:
        return self.devices[first + connector_id].register(self.now)

    def _want(self, device: Device) -> None:
        wish = device.wish()
        self.say(f"{device.config.name} wants {wish}")
        self.judge.wish(device.index, wish, self.now)
        self.allocation.want(device.index, wish, self.now)
        self.tell()
        self.judge.told(device.index, self.now)
        if not device.is_plugged and wish is None and not device.is_dead:
            self.judge.emptied(device.index, self.now)
            self.allocation.empty(device.index, self.now)
            if device.is_withheld:
                self.lease(device.identity)
            self.tell()

    def plug(self, index: int, tenths: int, phases: int, tells: bool) -> None:
        """A vehicle comes."""
        device = self.devices[index]
        if device.is_dead:
            return
        self.summary.sessions += 1
        device.is_plugged, device.is_drawing = True, False
        device.vehicle_tenths, device.vehicle_phases, device.tells_maximum = tenths, phases, tells

    def authorize(self, index: int, composite: int, phases: int, ready: bool) -> None:
        """A transaction begins."""
        device = self.devices[index]
        if device.is_plugged and not device.is_dead:
            device.is_authorized = True
            device.composite, device.phases, device.is_ready, device.is_drawing = composite, phases, ready, ready
            device.draw(self.now)
            self._want(device)

    def ready(self, index: int, ready: bool) -> None:
        """A vehicle begins or ceases to draw, and soon after its controller says so."""
        device = self.devices[index]
        if device.is_plugged and device.is_authorized:
            device.is_drawing = ready
            device.draw(self.now)
            self._input(self.now + self.rng.uniform(0.0, 2.0), self._report, device, ready)

    def _report(self, device: Device, ready: bool) -> None:
        if not device.is_dead and device.is_authorized and device.is_ready != ready:
            device.is_ready = ready
            self._want(device)

    def profile(self, index: int, composite: int, phases: int) -> None:
        """Another charging profile, of a connector whose controller may be gone as well."""
        device = self.devices[index]
        if device.is_authorized:
            device.composite, device.phases = composite, phases
            self._want(device)

    def storm(self, place: int, composite: int) -> None:
        """Another default profile for a whole charge point."""
        for each in self.book.limits[place].below:
            self.profile(each.index, composite, self.devices[each.index].phases)

    def stop(self, index: int) -> None:
        """The transaction ends, the vehicle stays."""
        device = self.devices[index]
        if device.is_authorized:
            device.is_authorized = device.is_ready = False
            self._want(device)

    def leave(self, index: int) -> None:
        """The vehicle goes; a controller that is gone tells nobody."""
        device = self.devices[index]
        if device.is_plugged:
            device.unplug(self.now)
            if not device.is_dead:
                device.is_authorized = device.is_ready = False
                self._want(device)

    # faults

    def die(self, indexes: Iterable[int]) -> None:
        """The connection of a controller is lost; what was on its way may still be applied."""
        for index in indexes:
            device = self.devices[index]
            if device.is_dead:
                continue
            was_withheld = device.is_withheld
            device.is_dead, device.is_withheld = True, False
            self.say(f"{device.config.name} loses its controller")
            self.judge.lost(index, self.now)
            self.allocation.lose(index, self.now)
            self.tell()
            if not was_withheld:
                self.lapse_later(device)

    def attend(self, indexes: Iterable[int]) -> None:
        """A controller comes, is told the permits, and reports."""
        for index in indexes:
            device = self.devices[index]
            if not device.is_dead:
                continue
            self.say(f"{device.config.name} has a controller again")
            device.revive()
            device.is_dead = True  # until it has been handed the last permit
            self.judge.attending(index, self.now)
            self.allocation.attend(index, self.now)
            self.tell()
            device.is_dead = False
            self.judge.attended(index, self.now)
            self.deliver(device)
            self._input(self.now + self.rng.uniform(0.05, 1.0), self._first_report, device)

    def _first_report(self, device: Device) -> None:
        if device.is_dead:
            return
        if not device.is_plugged:
            device.is_authorized = False
        device.is_ready = device.is_authorized and device.is_drawing
        self._want(device)

    def stick(self, index: int, stuck: bool) -> None:
        """A controller applies nothing for a while."""
        device = self.devices[index]
        if device.is_stuck is stuck:
            return
        device.is_stuck = stuck
        if not stuck and device.latest.seq > device.applied.seq:
            self.apply(device, device.life, device.latest)
        elif not stuck:
            self.confirm(device, device.life, device.applied.seq)

    def mute(self, index: int, mute: bool) -> None:
        """A controller applies permits and says nothing of it for a while."""
        device = self.devices[index]
        if device.is_mute is mute:
            return
        device.is_mute = mute
        if not mute:
            self.confirm(device, device.life, device.applied.seq)

    def trouble(self, place: int) -> None:
        """Controllers fail beneath a limit, and then it falls."""
        rng = self.rng
        active = [each.index for each in self.book.limits[place].below if each.tenths]
        for index in rng.sample(active, min(len(active), rng.randint(0, 4))):
            at_s = self.now + rng.uniform(0.0, 20.0)
            lasts_s = rng.choice((rng.uniform(1.0, 10.0), rng.uniform(10.0, 120.0)))
            kind = rng.random()
            if kind < 0.4:
                self._input(at_s, self.die, (index,))
                self._input(at_s + lasts_s, self.attend, (index,))
            else:
                change = self.stick if kind < 0.8 else self.mute
                self._input(at_s, change, index, True)
                self._input(at_s + lasts_s, change, index, False)
        for _ in range(rng.choice((1, 1, 2))):
            at_s = self.now + rng.uniform(0.0, 30.0)
            self._input(at_s, self.external, place, rng.uniform(0.1, 0.9), rng.uniform(15.0, 900.0))

    def idle(self, index: int) -> None:
        """What is said again changes nothing."""
        device = self.devices[index]
        if not device.is_dead:
            self.allocation.attend(index, self.now)
            self.tell()
            self._want(device)
            self.confirm(device, device.life, self.book.connectors[index].sent[0].seq)
        for place, limit in enumerate(self.book.limits[:3]):
            if limit.external == Amount():
                self.allocation.set_external(self.caps[place], None, self.now)
            if limit.name.startswith("CP"):
                self.allocation.schedule(limit.name, limit.scheduled, self.now)
        self.tell()

    # limits

    def _amount(self, limit: Limit, share: float) -> Amount:
        """A part of what is claimed beneath a limit, or of what was configured where that is little."""
        currents = max(limit.used[:3]) // PER_MILLIAMPERE, max(limit.used[3] // 10, 0)
        if self.rng.random() < 0.7:
            configured = limit.configured.milliamperes or len(limit.below) * 10_000
            return Amount(int(share * max(currents[0], configured // 4)), None)
        return Amount(None, int(share * max(currents[1], len(limit.below) * 1_500_000)))

    def external(self, place: int, share: float, lasts_s: float) -> None:
        """An energy manager sets a limit for a time."""
        limit = self.book.limits[place]
        amount = self._amount(limit, share)
        self._externals[place] += 1
        self._set_external(place, amount)
        self._input(self.now + lasts_s, self._expire, place, self._externals[place])

    def _set_external(self, place: int, amount: Amount | None) -> None:
        limit = self.book.limits[place]
        self.say(f"{limit.name} external {amount}, {limit.text(limit.used)}")
        self.judge.limit(limit, self.now, external=amount or Amount())
        external = None if amount is None else External(amount, round(self.now * 1000))
        self.allocation.set_external(self.caps[place], external, self.now)
        self.tell()

    def _expire(self, place: int, number: int) -> None:
        if self._externals[place] == number:
            self._set_external(place, None)

    def schedule(self, place: int, share: float) -> None:
        """ChargePointMaxProfile falls, rises, or is gone."""
        limit = self.book.limits[place]
        amount = Amount() if share > 1.0 else self._amount(limit, share)
        self.say(f"{limit.name} schedule {amount}")
        self.judge.limit(limit, self.now, scheduled=amount)
        self.allocation.schedule(limit.name, amount, self.now)
        self.tell()

    # the night

    def night(self) -> None:
        """Faults are mended, and some limits are so low that not everybody gets the minimum."""
        for device in self.devices:
            self.stick(device.index, False)
            self.mute(device.index, False)
        for place, limit in enumerate(self.book.limits):
            self._externals[place] += 1
            wanting = sum(1 for each in limit.below if each.wish is not None)
            is_low = wanting > 2 and self.rng.random() < 0.5
            amount = None
            if is_low:
                amount = Amount(round(self.rng.uniform(0.2, 0.8) * wanting * 6_000), None)
                ends_s = self.plan.calm_ends_s + self.rng.uniform(5.0, 600.0)
                self.at(ends_s, self._expire, place, self._externals[place])
            if is_low or limit.external != Amount():
                self._set_external(place, amount)

    def calm(self) -> None:
        """Judge turns from now on, or from when everything is confirmed."""
        if self.now > self.plan.calm_ends_s:
            return
        if self.judge.inspect(self.now):
            self.judge.turns.calm(self.now)
        else:
            self.at(self.now + 7.0, self.calm)

    def probe(self) -> None:
        """Let the judge look at the whole."""
        self.summary.inspections += self.judge.inspect(self.now)
