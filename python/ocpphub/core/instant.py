"""The only notion of *now* that the core has (style.md: time is an argument)."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """One moment, read once by the shell and handed in with every input.

    ``monotonic_s`` orders deadlines and never jumps; ``utc_ms`` is the machine's wall clock in milliseconds since
    1970-01-01T00:00:00Z, *before* the correction that the CSMS's ``currentTime`` gives (``core.boot.Clock`` adds it).
    """

    monotonic_s: float
    utc_ms: int
