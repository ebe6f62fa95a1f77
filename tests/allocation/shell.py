"""What stands between an :class:`Allocation` and its controllers: deadlines, permits, confirmations, leases.

Owns virtual time. It does what the shell of a hub does - permits are taken after every input, ``run`` is called at the
deadline, leases are not renewed for who is named - and lets messages be late, overtake each other, or be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any

from ocpphub.core.allocation import Allocation
from ocpphub.core.member import Granted
from tests.allocation.book import Book, Limit
from tests.allocation.device import Device
from tests.allocation.judge import LEASE_S, Judge
from tests.allocation.site import Site

LEASE_EVERY_S = 10.0
MOST_RUNS = 50
"""How often the allocation may want to run at one moment."""
SLICE = 20


@dataclass(slots=True)
class Summary:
    """What a day met."""

    seed: int
    connectors: int = 0
    sessions: int = 0
    permits: int = 0
    confirmations: int = 0
    runs: int = 0
    turns: int = 0
    slices: int = 0
    shortfalls: int = 0
    withheld: int = 0
    lapses: int = 0
    inspections: int = 0


class Shell:
    """An allocation, the devices that it gives permits to, and the judge of both."""

    def __init__(self, seed: int, rng: Random, site: Site, start_s: float, show: Callable[[str], None] | None) -> None:
        self.rng, self.site, self.now, self.show = rng, site, start_s, show
        self.summary = Summary(seed)
        self.book = Book(site)
        self.allocation = Allocation(site.points, site.feeders)
        self.caps = [self._cap(limit) for limit in self.book.limits]
        self.judge = Judge(seed, self.book, lambda at_s, call: self.at(at_s, self._call, call), self._is_told_short)
        self.judge.show = show
        self.first = {point.identity: self.allocation.first(point.identity) for point in site.points}
        self.devices = [self._device(index) for index in range(len(self.book.connectors))]
        self.summary.connectors = len(self.devices)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._withheld: dict[str, list[int]] = {point.identity: [] for point in site.points}
        self._due_s = inf

    def _cap(self, limit: Limit) -> int:
        if limit.name in {point.identity for point in self.site.points}:
            return self.allocation.station(limit.name)
        found = self.allocation.feeder(limit.name)
        assert found is not None
        return found

    def _device(self, index: int) -> Device:
        connector = self.book.connectors[index]
        identity, _, number = connector.name.partition(":")
        assert self.first[identity] + int(number) - 1 == index
        return Device(index, identity, int(number), connector, self.judge.drew, self.rng.random() < 0.9)

    def _is_told_short(self, name: str) -> bool:
        place = next(place for place, limit in enumerate(self.book.limits) if limit.name == name)
        return self.allocation.caps[self.caps[place]].is_short

    def say(self, text: str) -> None:
        """A line of the record, where somebody reads it."""
        if self.show is not None:
            self.show(f"{self.now:.3f} {text}")

    # time

    def at(self, at_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Something happens then; of what happens at the same moment the first named is the first."""
        self._order += 1
        heappush(self._heap, (at_s, self._order, call, arguments))

    def _call(self, call: Callable[[float], None]) -> None:
        call(self.now)

    def live(self, until_s: float) -> None:
        """Let time pass. What happens at the moment of a deadline happens before it."""
        heap, rng = self._heap, self.rng
        runs = 0
        while True:
            at_s = heap[0][0] if heap else inf
            if self._due_s < at_s:
                late_s = rng.uniform(0.0, 0.004) if rng.random() < 0.2 else 0.0
                due_s = min(max(self._due_s + late_s, self.now), at_s)
                runs = runs + 1 if due_s == self.now else 0
                if runs > MOST_RUNS:
                    self.judge.complain("e", self.now, "the allocation wants to run again and again")
                    return
                self.now = due_s
                self._run()
            elif at_s > until_s:
                return
            else:
                self.now, _, call, arguments = heappop(heap)
                call(*arguments)

    def _run(self) -> None:
        self.summary.runs += 1
        self.allocation.run(self.now)
        self.allocation.has_moved = True
        self.tell()
        for point in self.site.points:
            self.lease(point.identity)

    # permits

    def tell(self) -> None:
        """After every input: permits that have changed are handed out, and the next deadline is known."""
        allocation = self.allocation
        while allocation.changed:
            for identity in [*allocation.changed]:
                first = self.first[identity] - 1
                for connector_id, granted in allocation.take(identity, SLICE):
                    self._hand_out(self.devices[first + connector_id], granted)
        if allocation.has_moved:
            allocation.has_moved = False
            self._due_s = allocation.next_deadline()

    def _hand_out(self, device: Device, granted: Granted) -> None:
        self.summary.permits += 1
        if self.show is not None:
            self.say(f"{device.config.name} permit {granted}")
        self.judge.permit(device.index, granted, self.now)
        device.latest = granted
        self.deliver(device)

    def deliver(self, device: Device) -> None:
        """The newest permit leaves for a controller, if there is one."""
        if not device.is_dead and not device.is_stuck:
            rng = self.rng
            kind = rng.random()
            delay_s = kind if kind < 0.85 else rng.uniform(1.0, 4.5) if kind < 0.97 else rng.uniform(4.5, 9.0)
            self.at(self.now + delay_s, self.apply, device, device.life, device.latest)

    def apply(self, device: Device, life: int, granted: Granted) -> None:
        """A permit reaches the hardware, unless another controller has taken over; soon it is confirmed."""
        if device.life != life or not device.apply(granted, self.now) or device.is_dead or device.is_mute:
            return
        rng = self.rng
        kind = rng.random()
        if kind < 0.6:
            self.confirm(device, life, granted.seq)
            return
        # late ones overtake each other; one that was lost is made good by the next report
        delay_s = rng.uniform(0.0, 1.0) if kind < 0.93 else rng.uniform(1.0, 9.0) if kind < 0.98 else 30.0
        self.at(self.now + delay_s, self.confirm, device, life, granted.seq)

    def confirm(self, device: Device, life: int, seq: int) -> None:
        """A confirmation arrives, unless the connection is gone."""
        if device.is_dead or device.life != life:
            return
        self.summary.confirmations += 1
        if self.show is not None:
            self.say(f"{device.config.name} confirms {seq}")
        self.judge.confirmed(device.index, seq, self.now)
        self.allocation.confirm(device.index, seq, self.now)
        if device.is_withheld:
            self.lease(device.identity)
        self.tell()

    # leases

    def lease(self, identity: str) -> None:
        """Who gets leases of a charge point: the shell asks before it sends them."""
        withheld = self.allocation.withheld(identity)
        before = self._withheld[identity]
        if withheld == before:
            return
        self._withheld[identity] = withheld
        first = self.first[identity] - 1
        for connector_id in sorted({*withheld} ^ {*before}):
            device = self.devices[first + connector_id]
            device.is_withheld = connector_id in withheld
            if device.is_dead:
                continue
            if device.is_withheld:
                self.summary.withheld += 1
                self.judge.withheld(device.index, self.now)
                self.lapse_later(device)
            else:
                self.judge.leased(device.index, self.now)
                self.at(self.now + self.rng.uniform(0.0, LEASE_EVERY_S), self._renew, device, device.life)

    def lapse_later(self, device: Device) -> None:
        """No lease is sent any more; the last one was sent up to ten seconds ago."""
        age_s = 0.0 if self.rng.random() < 0.3 else self.rng.uniform(0.0, LEASE_EVERY_S)
        self.at(self.now + LEASE_S - age_s - 0.001, self._lapse, device, device.life, device.latest.seq)

    def _lapse(self, device: Device, life: int, seq: int) -> None:
        if device.life == life and (device.is_dead or (device.is_withheld and seq == device.latest.seq)):
            self.summary.lapses += 1
            device.lapse(self.now)

    def _renew(self, device: Device, life: int) -> None:
        if device.life == life and device.is_lapsed and not device.is_withheld and not device.is_dead:
            device.renew(self.now)
