"""A hub in a process of its own beside a CSMS that answers at once: what most benches of a whole hub begin with.

Owns their directory and the order in which they start and end. Must never ask the hub anything that is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from benches import hub_process
from benches.csms import BenchCsms
from benches.worker import Worker


class Running(NamedTuple):
    """The hub's process, its CSMS, and the directory of its socket."""

    hub: Worker
    csms: BenchCsms
    directory: Path

    @property
    def socket(self) -> Path:
        """Of the hub."""
        return self.directory / "hub.sock"


@asynccontextmanager
async def running_hub(connectors: int, store: str) -> AsyncIterator[Running]:
    """One charge point that the CSMS has accepted; ``store`` is ``memory`` or ``sqlite``."""
    with tempfile.TemporaryDirectory() as name:
        async with BenchCsms() as csms:
            path = hub_process.configure(Path(name), csms.url, connectors=connectors)
            async with Worker("benches.hub_process", str(path), store, "0") as hub:
                await hub.ask("start")
                await hub.ask("accepted")
                yield Running(hub, csms, Path(name))
