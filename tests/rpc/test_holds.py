"""Requests of one connection behind one that waits."""

from __future__ import annotations

from ocpphub.rpc.holds import Holds
from ocpphub.rpc.methods import METHODS

AUTHORIZE = METHODS["connector.authorize"]


def test_holds_keep_the_later_requests_of_a_connector_in_order() -> None:
    """rpc.md: a waiting member holds up only later ones of its connector."""
    holds = Holds()
    assert not holds
    assert holds.begin(AUTHORIZE, ["TAG", 3]) == 3
    assert holds.keeps("connector.get", {"connector_id": 3}, "first")
    assert not holds.keeps("connector.get", {"connector_id": 4}, "other")
    assert not holds.keeps("connector.get", {}, "none")
    assert not holds.keeps("connector.get", {"connector_id": "3"}, "text")
    assert holds.keeps("connector.get", {"connector_id": 3, "id_tag": "T"}, "second")
    assert not holds.keeps("connector.report", {"connector_id": 3}, "report")
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
