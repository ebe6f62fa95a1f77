"""Our own command line as a process beside the tour.

Owns its environment and its session. Must never wait for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import IO, Final

NOTHING: Final = asyncio.subprocess.DEVNULL
LINE_BYTES: Final = 2**20


async def start(
    *arguments: str, stdout: int | IO[bytes] = NOTHING, stderr: int | IO[bytes] = NOTHING
) -> asyncio.subprocess.Process:
    """``ocpphub ARGUMENTS`` without what the shell overrides of hub.toml, and deaf to Ctrl-C in the terminal.

    A session of its own: Ctrl-C ends the tour, which then ends its programs in good order.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OCPPHUB_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ocpphub", *arguments),
        stdin=NOTHING,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        limit=LINE_BYTES,
        start_new_session=True,
    )
