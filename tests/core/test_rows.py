"""Restored rows by table."""

from __future__ import annotations

from ocpphub.core.rows import Rows
from ocpphub.store import Row


def test_rows_of_other_charge_points_are_left_out() -> None:
    """J-349: each identity finds its own."""
    rows = Rows([Row("A", "outbox", "1", b"a"), Row("B", "outbox", "1", b"b"), Row("A", "boot", "clock", b"{}")], "A")
    assert rows.of("outbox") == {"1": b"a"}
    assert rows.of("boot") == {"clock": b"{}"}
    assert rows.of("monitor") == {}
