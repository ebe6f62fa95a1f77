"""``python -m tests.torture.child run -c FILE``: the product's command line, changed from outside by the environment.

``TORTURE_BACK_OFF_S``: the least wait after a lost link, which decisions.md 6 fixes at 5 s for real sites.
``TORTURE_EARLY_ANSWERS``: the store tells each commit before it makes it, and makes it together with the next one. What
was acknowledged last is lost with the process then: the control run that the checker of the torture has to refuse.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from ocpphub import cli, endpoint
from ocpphub.store import Write
from ocpphub.store.sqlite import SqliteStore


class EarlyStore(SqliteStore):
    """Answers a commit at once and holds it back until the next one."""

    _held: Sequence[Write] = ()

    def commit(self, batch: Sequence[Write], done: Callable[[BaseException | None], None]) -> None:
        """The last batch is made, this one is promised."""
        held, self._held = self._held, batch
        if held:
            super().commit(held, lambda error: None)
        asyncio.get_running_loop().call_soon(done, None)


def main() -> int:
    """Patch, then run."""
    back_off_s = os.environ.get("TORTURE_BACK_OFF_S")
    if back_off_s:
        wait_s = float(back_off_s)
        endpoint.BackOff.__init__.__kwdefaults__ = {"minimum_s": wait_s, "range_s": 0.0, "maximum_s": max(0.3, wait_s)}
    if os.environ.get("TORTURE_EARLY_ANSWERS"):
        import ocpphub.store.sqlite as sqlite

        sqlite.SqliteStore = EarlyStore  # type: ignore[misc]
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
