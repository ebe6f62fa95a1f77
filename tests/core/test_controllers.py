"""Attachments: one controller per connector."""

from __future__ import annotations

import pytest

from ocpphub.core.controllers import Controller, Controllers
from ocpphub.errors import LocalError

ONE, SAME_USER, OTHER = Controller(1, 1_000), Controller(2, 1_000), Controller(3, 2_000)
OPERATOR = Controller(4, 0, is_operator=True)


def attached() -> Controllers:
    controllers = Controllers()
    assert controllers.attach(ONE, [1, 2, 2], takeover=False) == [1, 2]
    return controllers


def test_attach_again_takes_nothing_new() -> None:
    """decisions.md 4: a repeated attach changes nothing."""
    assert attached().attach(ONE, [2, 3], takeover=False) == [3]


def test_attach_of_another_is_refused_whole() -> None:
    """reliability.md 3.4: at most one controller per connector."""
    controllers = attached()
    with pytest.raises(LocalError) as caught:
        controllers.attach(SAME_USER, [5, 2], takeover=False)
    assert caught.value.code == "invalid_state"
    assert controllers.of(5) is None


def test_takeover_is_for_the_same_user_and_operators() -> None:
    """reliability.md 3.4."""
    controllers = attached()
    with pytest.raises(LocalError) as caught:
        controllers.attach(OTHER, [1], takeover=True)
    assert caught.value.code == "forbidden"
    assert controllers.attach(SAME_USER, [1], takeover=True) == [1]
    assert controllers.attach(OPERATOR, [1], takeover=True) == [1]
    assert controllers.of(1) is OPERATOR
    assert controllers.connectors_of(1) == [2]


def test_check_is_by_connection_and_not_by_user() -> None:
    """CORE-GEN-03: T04, state of a connector changes by its own controller only."""
    controllers = attached()
    controllers.check(ONE, 1)
    for stranger in (SAME_USER, OPERATOR):
        with pytest.raises(LocalError) as caught:
            controllers.check(stranger, 1)
        assert caught.value.code == "not_attached"


def test_detach_of_what_is_not_attached_changes_nothing() -> None:
    """rpc.md controller.detach."""
    controllers = attached()
    with pytest.raises(LocalError):
        controllers.detach(ONE, [1, 3])
    assert controllers.connectors_of(1) == [1, 2]
    assert controllers.detach(ONE, [2]) == [2]
    assert controllers.detach(ONE, None) == [1]


def test_lost_connection_lets_go_of_all_its_connectors() -> None:
    """decisions.md 4."""
    controllers = attached()
    controllers.attach(OTHER, [3], takeover=False)
    assert controllers.lost(1) == [1, 2]
    assert controllers.all() == {OTHER: [3]}
    assert controllers.lost(1) == []
