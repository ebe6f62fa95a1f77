"""rpc/record_methods.py: what transaction.list takes, and what a client with a range may ask for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ocpphub.api import ChargePoint
from ocpphub.errors import LocalError
from ocpphub.records import Selection
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.methods import METHODS

LIST = METHODS["transaction.list"]


class Session:
    """A client that may see some connectors of a charge point with twenty."""

    def __init__(self, allowed: str | None = None) -> None:
        self.allowed = None if allowed is None else ConnectorSet.parse(allowed)

    def connectors(self) -> ConnectorSet | None:
        return self.allowed

    def visible(self, charge_point: ChargePoint, wanted: ConnectorSet | None) -> ConnectorSet:
        known = ConnectorSet([(1, 20)]) & self.allowed
        if wanted is not None and wanted & known != wanted:
            raise LocalError("unknown_connector", "no such connector", path="/params/connectors")
        return known if wanted is None else wanted


def selection(params: dict[str, Any], allowed: str | None = None) -> Selection:
    return cast(Selection, LIST.call(Session(allowed), None, *LIST.bind(params)))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, Selection()),
        ({"since": "2026-01-01T00:00:00Z"}, Selection(since_ms=1_767_225_600_000)),
        ({"until": "2026-01-01T01:00:00.5+01:00"}, Selection(until_ms=1_767_225_600_500)),
        ({"connectors": "1-3,7"}, Selection(connectors=((1, 3), (7, 7)))),
        ({"connectors": 4, "undelivered": True}, Selection(connectors=((4, 4),), undelivered=True)),
        ({"limit": 1000}, Selection(limit=1000)),
        ({"limit": 5, "cursor": "17"}, Selection(limit=5, after=17)),
    ],
)
def test_list_selects_what_the_parameters_say(params: dict[str, Any], expected: Selection) -> None:
    assert selection(params) == expected


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"since": "yesterday"}, "/params/since"),
        ({"since": "2026-01-01T00:00:00"}, "/params/since"),
        ({"since": 5}, "/params/since"),
        ({"until": "1969-12-31T23:59:59Z"}, "/params/until"),
        ({"until": "0001-01-01T00:00:00+23:00"}, "/params/until"),
        ({"undelivered": 1}, "/params/undelivered"),
        ({"limit": 0}, "/params/limit"),
        ({"limit": 1001}, "/params/limit"),
        ({"cursor": "x"}, "/params/cursor"),
        ({"cursor": 3}, "/params/cursor"),
        ({"cursor": "-1"}, "/params/cursor"),
        ({"cursor": "9" * 40}, "/params/cursor"),
        ({"connectors": "a"}, "/params/connectors"),
        ({"conectors": "1"}, "/params/conectors"),
    ],
)
def test_list_refuses_bad_parameters_by_name(params: dict[str, Any], path: str) -> None:
    with pytest.raises(LocalError) as caught:
        LIST.bind(params)
    assert (caught.value.code, caught.value.path) == ("invalid_params", path)
    assert caught.value.hint


def test_list_shows_a_client_with_a_range_its_connectors_only() -> None:
    """T41."""
    assert selection({}, "2-5").connectors == ((2, 5),)
    assert selection({"connectors": "3"}, "2-5").connectors == ((3, 3),)
    with pytest.raises(LocalError, match="no such connector"):
        selection({"connectors": "5-6"}, "2-5")
