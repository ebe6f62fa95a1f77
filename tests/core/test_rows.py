"""Restored rows by table."""

from __future__ import annotations

import pytest

from ocpphub.core.rows import Rows
from ocpphub.store import Row
from tests.builders import World


def test_rows_of_other_charge_points_are_left_out() -> None:
    """J-349: each identity finds its own."""
    rows = Rows([Row("A", "outbox", "1", b"a"), Row("B", "outbox", "1", b"b"), Row("A", "boot", "clock", b"{}")], "A")
    assert rows.of("outbox") == {"1": b"a"}
    assert rows.of("boot") == {"clock": b"{}"}
    assert rows.of("monitor") == {}


def test_rows_are_parsed_in_the_order_of_their_keys() -> None:
    """J-343."""
    rows = Rows([Row("A", "outbox", key, b'{"n":%s}' % key.encode()) for key in ("3", "1", "2")], "A")
    assert list(rows.objects("outbox", n=int)) == [("1", {"n": 1}), ("2", {"n": 2}), ("3", {"n": 3})]


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"n":"1"}', b"\xff"])
def test_rows_that_are_damaged_are_left_aside_with_an_error(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """J-278: one bad row does not keep the others from being used."""
    rows = Rows([Row("A", "outbox", "1", value), Row("A", "outbox", "2", b'{"n":2}')], "A")
    assert list(rows.objects("outbox", n=int)) == [("2", {"n": 2})]
    assert rows.object("outbox", "missing") is None
    assert caplog.text.count("damaged") == 1


def test_charge_point_with_damaged_rows_starts_and_keeps_its_numbers_apart() -> None:
    """J-278, J-349: no restart needs a human; a new entry never overwrites the row that was left aside."""
    rows = {
        ("outbox", "000000000007"): b"damaged",
        ("configuration", "ResetRetries"): b"damaged",
        ("boot", "clock"): b"damaged",
    }
    world = World(rows=rows).boot()
    assert world.core.state(world.now)["registration"] == "Accepted"
    assert world.core.get_configuration_key(["ResetRetries"])["configuration_keys"][0]["value"] == "1"
    world.disconnect().command("security_event", "T", None)
    assert sorted(key for table, key in world.rows if table == "outbox") == ["000000000007", "000000000009"]
