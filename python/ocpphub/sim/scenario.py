"""What happens at a simulated hub: who comes when, with which tag and vehicle, and what goes wrong meanwhile.

Owns the drawing of a scenario out of a seed; the same seed gives the same scenario, byte for byte. Must never read a
clock or the machine's own randomness. Times are seconds of the scenario: what a run makes of them is its business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Final, Literal

from ocpphub.sim.vehicle import MODELS, Model

Start = Literal["plug_then_tag", "tag_then_plug"]
End = Literal["tag", "button", "unplug"]
Trouble = Literal["pause", "fault"]


@dataclass(frozen=True, slots=True)
class Interruption:
    """Something that comes between: the vehicle pauses, or the connector has a fault; it passes after ``lasts_s``."""

    kind: Trouble
    at_s: float
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Visit:
    """One vehicle at one connector, from its arrival until the connector is free again.

    All times are seconds of the scenario. ``end`` is how the session is meant to end: with the tag, with the stop
    button, or by pulling the cable (``StopTransactionOnEVSideDisconnect``).
    """

    connector_id: int
    arrives_s: float
    leaves_s: float
    id_tag: str
    model: Model
    state_of_charge: float
    start: Start
    between_s: float
    end: End
    interruptions: tuple[Interruption, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of scenario. ``crowd`` weighs the arrivals: it is given the share of the scenario that is over.

    ``per_day`` are visits of a connector in 24 hours, if the crowd never gets thinner; ``pause`` and ``fault`` the
    shares of visits with such an interruption, ``unplug`` of those that end by pulling the cable.
    """

    crowd: Callable[[float], float]
    per_day: float
    stay_s: tuple[float, float]
    pause: float = 0.1
    fault: float = 0.03
    unplug: float = 0.15


def _day(share: float) -> float:
    """From six in the morning: a peak at nine, a higher one at eighteen, hardly anybody in the night."""
    hour = (6 + 24 * share) % 24
    return 0.06 + 0.7 * math.exp(-(((hour - 9) / 1.8) ** 2)) + math.exp(-(((hour - 18) / 2.5) ** 2))


KINDS: Final[dict[str, Kind]] = {
    "steady": Kind(lambda _: 1.0, 24, (900, 5_400)),
    "day": Kind(_day, 16, (1_800, 14_400)),
    "rush": Kind(lambda share: 1.0 if share < 0.05 else 0.001, 400, (1_200, 3_600)),
    "trouble": Kind(lambda _: 1.0, 48, (600, 2_700), pause=0.6, fault=0.4, unplug=0.5),
}
"""What ``ocpphub simulate --scenario`` knows."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A drawn scenario; ``visits`` by arrival."""

    kind: str
    seed: int
    length_s: float
    visits: tuple[Visit, ...]

    def to_json(self) -> str:
        """The same text for the same seed, so that two runs can be compared."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def draw(kind: str, seed: int, connectors: Sequence[int], length_s: float, tags: int = 0) -> Scenario:
    """The scenario of a seed: what each of ``connectors`` sees within ``length_s`` seconds.

    ``tags`` is the number of people who come, five for each connector when 0. Raises ``KeyError`` for an unknown kind.
    """
    rules = KINDS[kind]
    people = [f"TAG{number:06}" for number in range(1, (tags or 5 * len(connectors)) + 1)]
    visits: list[Visit] = []
    for connector_id in connectors:
        # One source for each connector: another connector more or less changes nothing for the rest.
        random = Random(f"{kind}/{seed}/{connector_id}")  # noqa: S311 - scenarios are repeatable on purpose
        visits += _of_connector(rules, random, connector_id, length_s, people)
    visits.sort(key=lambda visit: (visit.arrives_s, visit.connector_id))
    return Scenario(kind, seed, float(length_s), tuple(visits))


def _of_connector(rules: Kind, random: Random, connector_id: int, length_s: float, people: list[str]) -> list[Visit]:
    visits: list[Visit] = []
    now_s = 0.0
    while True:
        # Thinning: candidates at the highest rate, kept with the weight of their time.
        now_s += random.expovariate(rules.per_day / 86_400)
        if now_s >= length_s:
            return visits
        if random.random() < rules.crowd(now_s / length_s):
            visits.append(_visit(rules, random, connector_id, now_s, people))
            now_s = visits[-1].leaves_s + random.uniform(30, 120)


def _visit(rules: Kind, random: Random, connector_id: int, arrives_s: float, people: list[str]) -> Visit:
    stay_s = random.uniform(*rules.stay_s)
    interruptions = [
        Interruption(kind, _rounded(arrives_s + stay_s * random.uniform(0.2, 0.6)), _rounded(random.uniform(60, 300)))
        for kind, share in _troubles(rules)
        if random.random() < share
    ]
    return Visit(
        connector_id,
        _rounded(arrives_s),
        _rounded(arrives_s + stay_s),
        random.choice(people),
        random.choice(MODELS),
        round(random.uniform(0.05, 0.85), 3),
        "plug_then_tag" if random.random() < 0.7 else "tag_then_plug",
        _rounded(random.uniform(5, 25)),
        "unplug" if random.random() < rules.unplug else random.choice(("tag", "tag", "button")),
        tuple(sorted(interruptions, key=lambda interruption: interruption.at_s)),
    )


def _troubles(rules: Kind) -> tuple[tuple[Trouble, float], ...]:
    return ("pause", rules.pause), ("fault", rules.fault)


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
