"""A world that dies before one of its effects, and goes on from what was durable then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ocpphub.core.effects import Effect
from tests.builders import World


class Died(Exception):
    """The process has ended."""


class Dying(World):
    """A world that carries out ``life`` effects after it was told to, and none behind them."""

    life: int | None = None

    def settle(self) -> Dying:
        """Carry out every effect, unless the last one has come."""
        core: Any = self.core
        if "poll_effects" not in vars(core):
            poll = core.poll_effects
            core.poll_effects = lambda: self._live(poll())
        super().settle()
        return self

    def _live(self, effects: Iterable[Effect]) -> Iterator[Effect]:
        for effect in effects:
            if self.life is not None:
                self.life -= 1
                if self.life < 0:
                    raise Died
            yield effect
