"""Requests of one connection behind one that waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ocpphub.rpc.holds import Holds
from ocpphub.rpc.methods import METHODS

AUTHORIZE = METHODS["connector.authorize"]
CP1: Any = SimpleNamespace(identity="CP1")


def test_holds_keep_the_later_requests_of_a_connector_in_order() -> None:
    """rpc.md: a waiting member holds up only later ones of its connector."""
    holds = Holds()
    assert not holds
    assert holds.begin(AUTHORIZE, ["TAG", 3]) == 3
    assert holds.keeps("connector.get", {"connector_id": 3}, "first", CP1)
    assert not holds.keeps("connector.get", {"connector_id": 4}, "other", CP1)
    assert not holds.keeps("connector.get", {}, "none", CP1)
    assert not holds.keeps("connector.get", {"connector_id": "3"}, "text", CP1)
    assert holds.keeps("connector.get", {"connector_id": 3, "id_tag": "T"}, "second", CP1)
    assert not holds.keeps("connector.report", {"connector_id": 3}, "report", CP1)
    assert holds.end(3) == ["first", "second"]
    assert not holds
    assert holds.end(3) == []


def test_holds_of_what_waits_for_nobody_are_none() -> None:
    """Only what asks the CSMS is waited for, and only where it names a connector."""
    holds = Holds()
    assert holds.begin(METHODS["connector.stop_transaction"], [3, None, None]) is None
    assert holds.begin(AUTHORIZE, ["TAG", None]) is None
    assert holds.end(None) == []
    assert not holds


def test_request_that_is_held_stays_about_the_charge_point_chosen_when_it_came() -> None:
    """rpc.md: a later ``rpc.use`` of the connection overtakes it."""
    holds = Holds()
    holds.begin(AUTHORIZE, ["TAG", 3])
    mine: dict[str, Any] = {"connector_id": 3}
    other: dict[str, Any] = {"connector_id": 3, "charge_point": "CP2"}

    assert holds.keeps("connector.get", mine, "mine", CP1)
    assert holds.keeps("connector.get", other, "other", CP1)
    assert not holds.keeps("connector.get", {"connector_id": 3}, "nobody's", None)

    assert (mine["charge_point"], other["charge_point"]) == ("CP1", "CP2")
    assert holds.end(3) == ["mine", "other"]
