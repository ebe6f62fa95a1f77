"""The pinned msgspec reference of the benches: generated from the table, and not lax.

Owns the list of rows of bad-frames where the reference and ocpphub differ; it is part of the method of the benches.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from benches import adverse, generate_reference
from benches.corpus import Frame
from benches.peers import msgspec_one_step, msgspec_two_steps
from benches.stopwatch import Statement

ROWS: tuple[dict[str, Any], ...] = tuple(
    row
    for row in map(json.loads, adverse.VECTORS.read_text("utf-8").splitlines())
    if row["cat"] not in ("state", "message-id") and not row["name"].startswith(("error-", "set-profile-when-no"))
)
LAXER = frozenset(
    {
        "action-cp-only-heartbeat",  # one table for both directions
        "payload-dup-key-same",  # the last member wins
        "payload-dup-key-conflict",
        "payload-dup-key-escaped",
        "getdiagnostics-location-relative",  # a pattern would run Python's re and slow the reference down
        "list-50k-entries",  # the limit is the station's, not the table's
    }
)
"""Rows that the reference takes although ocpphub refuses them."""
STRICTER = frozenset(
    {
        "type-exponent",
        "datatransfer-data-number",
        "int-exponent",
        "int-exponent-large",
        "ts-year-0000",
        "result-null-payload-empty-conf",
        "boot-heartbeatinterval-name",
        "authorize-status-unknown",
        "authorize-empty-parent",
    }
)
"""Rows that the reference refuses although ocpphub takes them: tolerances of the field (D-07, J-276)."""


def reference_accepts(row: dict[str, Any], style: str) -> bool:
    """The verdict of one decode style on a row."""
    pending = row.get("pending", {"id": "p1", "action": "Heartbeat"})
    data = adverse.vector_bytes(row)
    kind = "result" if "pending" in row else "call"
    frame = Frame(row["name"], "result" if kind == "result" else "call", pending["action"], pending["id"], {}, data)
    peer = {"one step": msgspec_one_step, "two steps": msgspec_two_steps}[style]
    statement: Statement = peer(frame)
    try:
        statement.run()
    except (msgspec.DecodeError, KeyError, IndexError, UnicodeDecodeError, RecursionError):
        return False
    return True


@pytest.mark.parametrize("style", ["one step", "two steps"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_reference_bad_frame_is_judged_as_by_ocpphub_but_for_the_listed_rows(row: dict[str, Any], style: str) -> None:
    """D-28: a lax reference cannot win."""
    taken = row["pending_outcome"] == "ok" if "pending" in row else row["expect"] == "accept"
    expected = (taken or row["name"] in LAXER) and row["name"] not in STRICTER
    assert reference_accepts(row, style) == expected


def test_reference_is_what_the_action_table_generates() -> None:
    """D-02: the committed file is up to date."""
    assert generate_reference.PATH.read_text("utf-8") == generate_reference.generate()
