"""rpc/access.py: who a client is, and what it may call."""

from __future__ import annotations

import pytest

from ocpphub.config import Role
from ocpphub.rpc.access import Access, AccessTable, Principal, read_principal
from ocpphub.rpc.connectors import ConnectorSet
from ocpphub.rpc.methods import METHODS
from tests.hub_doubles import PeerSocketDouble

READS = {
    "get_configuration_key",
    "get_variable",
    "subscribe",
    "unsubscribe",
    "charge_point.get",
    "connector.get",
    "connector.list",
    "schedule.get",
    "schedule.explain",
    "schedule.profiles",
    "allocation.get",
    "reservation.list",
    "outbox.list",
    "transaction.list",
    "server.info",
    "rpc.ping",
    "rpc.use",
    "rpc.discover",
}
DRIVING = {
    *("controller.attach", "controller.detach", "connector.report", "connector.report_many"),
    *("connector.authorize", "connector.stop_transaction"),
}
REPORTS = {"firmware.report", "diagnostics.report"}
POLICY = {
    "monitor": READS,
    "energy": READS | {"station.set_limit"},
    "controller": READS | DRIVING | {"data_transfer", "data_transfer.register", "security_event"} | REPORTS,
    "operator": set(METHODS),
}
"""rpc.md "Access", written down again by hand."""


def principal(uid: int = 1000, *gids: int) -> Principal:
    return Principal(pid=1, uid=uid, gids=frozenset(gids or (1000,)))


def role(name: str, **match: int | tuple[int, ...]) -> Role:
    row: dict[str, object] = {"uid": None, "gid": None, "connectors": None, **match}
    return Role(name, **row)  # type: ignore[arg-type]


def test_principal_is_what_the_kernel_says() -> None:
    """T03"""
    assert read_principal(PeerSocketDouble(12, [34, 56], 78)) == Principal(78, 12, frozenset({34, 56}))


def test_principal_with_unreadable_groups_keeps_its_primary_group() -> None:
    """T03"""
    peer = PeerSocketDouble(12, [34, 56], 78)
    peer.groups_fail = True

    assert read_principal(peer).gids == frozenset({34})


@pytest.mark.parametrize("name", sorted(POLICY))
def test_role_may_call_exactly_what_the_policy_says(name: str) -> None:
    """T13 T40"""
    access = AccessTable([role(name, uid=1000)], owner_uid=1).of(principal())

    assert set(access.methods) == POLICY[name]


@pytest.mark.parametrize(("uid", "expected"), [(0, "operator"), (7, "operator"), (1000, "controller")])
def test_client_where_no_roles_are_configured_is_judged_by_its_uid(uid: int, expected: str) -> None:
    """T13"""
    access = AccessTable([], owner_uid=7).of(principal(uid))

    assert set(access.methods) == POLICY[expected]


@pytest.mark.parametrize("uid", [0, 7, 1000])
def test_client_where_others_have_roles_may_call_nothing(uid: int) -> None:
    """T03"""
    access = AccessTable([role("operator", uid=5)], owner_uid=7).of(principal(uid))

    assert access.methods == {}
    assert access.refusal("rpc.ping").code == "forbidden"


def test_client_gets_a_role_by_a_supplementary_group() -> None:
    """T03"""
    access = AccessTable([role("operator", gid=50)], owner_uid=1).of(principal(1000, 1000, 50))

    assert set(access.methods) == POLICY["operator"]


def test_client_with_several_roles_has_each_with_its_own_connectors() -> None:
    """T40"""
    roles = [role("monitor", uid=1000), role("controller", gid=1000, connectors=(1, 2, 5))]
    access = AccessTable(roles, owner_uid=1).of(principal())

    assert access.connectors("monitor") is None
    assert access.connectors("controller") == ConnectorSet.parse("1-2,5")
    assert not access.has("operator")


def test_client_with_two_ranges_has_both() -> None:
    roles = [role("controller", uid=1000, connectors=(1,)), role("controller", gid=1000, connectors=(3,))]

    assert AccessTable(roles, owner_uid=1).of(principal()).connectors("controller") == ConnectorSet.parse([1, 3])


def test_clients_alike_share_their_access() -> None:
    table = AccessTable([], owner_uid=1)

    assert table.of(principal()) is table.of(principal())


def test_method_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    refusal = Access([("operator", None)]).refusal("get_configuration_keys")

    assert refusal.code == "method_not_found"
    assert refusal.hint == "did you mean get_configuration_key"


def test_method_that_is_forbidden_is_refused_with_the_role_it_needs() -> None:
    refusal = Access([("monitor", None)]).refusal("stop")

    assert (refusal.code, refusal.path) == ("forbidden", "/method")
    assert "operator" in refusal.message
