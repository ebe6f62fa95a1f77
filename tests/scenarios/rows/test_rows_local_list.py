"""Chapter 12: the local authorization list, checked by what starts offline."""

from __future__ import annotations

from typing import Any

import pytest

from ocpphub.core.boot import utc_text
from tests.builders import settings
from tests.scenarios.rows.hub import ACCEPTED, Hub, ready, take
from tests.scenarios.rows.test_rows_authorization import entry, learn, send_list, starts


def version(hub: Hub) -> int:
    """GetLocalListVersion."""
    return int(hub.asks_for("GetLocalListVersion")["listVersion"])


def bare(id_tag: str) -> dict[str, Any]:
    """An AuthorizationData without idTagInfo."""
    return {"idTag": id_tag}


def send(hub: Hub, *entries: dict[str, Any], to: int, kind: str = "Full") -> str:
    """The CSMS sends a list; without entries the member is absent."""
    more: dict[str, Any] = {"localAuthorizationList": list(entries)} if entries else {}
    return str(hub.asks_for("SendLocalList", listVersion=to, updateType=kind, **more)["status"])


def known(hub: Hub, *id_tags: str) -> list[bool]:
    """Which of these tags may start offline; the hub is offline afterwards."""
    if hub.core.is_connected:
        hub.offline()
    found = []
    for id_tag in id_tags:
        found.append(starts(hub, id_tag))
        if found[-1]:
            hub.stop_here()
        hub.unplug()
    return found


def small(**keys: str) -> Hub:
    """A hub with configured bounds."""
    return ready(point=settings(connectors=3, configuration=keys))


def test_version_is_zero_while_the_list_is_empty() -> None:
    """CORE-LL-01: after boot, and after a Full one."""
    hub = ready()
    assert version(hub) == 0
    assert send_list(hub, entry("A"), version=17) == "Accepted"
    assert version(hub) == 17


def test_version_without_the_profile_is_no_answer() -> None:
    """CORE-LL-01, CORE-LL-11, CORE-RPC-10: an operation of a missing profile."""
    hub = small(SupportedFeatureProfiles="Core")
    for action, payload in (
        ("GetLocalListVersion", {}),
        ("SendLocalList", {"listVersion": 1, "updateType": "Full"}),
    ):
        answer = hub.answer_to(hub.receive_call(action, **payload))
        assert answer is not None
        # Chapter 12 has -1 and NotSupported, RPC-10 a CALLERROR; both say that it is not there.
        assert answer[2] in ("NotSupported", {"listVersion": -1}, {"status": "NotSupported"})


def test_list_that_is_off_answers_minus_one_and_not_supported() -> None:
    """CORE-LL-02, CORE-LL-11, AMB-06."""
    hub = ready()
    send_list(hub, entry("A"))
    hub.configure(LocalAuthListEnabled=False)
    assert version(hub) == -1
    assert send_list(hub, entry("B"), version=2) == "NotSupported"
    assert known(hub, "A") == [False]


def test_full_list_replaces_list_and_version() -> None:
    """CORE-LL-03."""
    hub = ready()
    send_list(hub, entry("A"), entry("B"), version=9)
    assert send_list(hub, entry("C"), version=3) == "Accepted", "a Full list may go back"
    assert version(hub) == 3
    assert known(hub, "A", "B", "C") == [False, False, True]


@pytest.mark.parametrize("is_absent", [True, False])
def test_empty_full_list_empties(is_absent: bool) -> None:
    """CORE-LL-03, AMB-05: version 0, and Differentials are compared with that."""
    hub = ready()
    send_list(hub, entry("A"), version=9)
    assert (send(hub, to=12) if is_absent else send_list(hub, version=12)) == "Accepted"
    assert version(hub) == 0
    assert send_list(hub, entry("B"), version=1, full=False) == "Accepted"
    assert version(hub) == 1
    assert known(hub, "A", "B") == [False, True]


def test_differential_adds_changes_and_deletes() -> None:
    """CORE-LL-04: also what is not there."""
    hub = ready()
    send_list(hub, entry("A"), entry("B", "Blocked"), entry("C"))
    changes = [entry("D"), entry("B"), bare("A"), bare("NOBODY"), entry("C", "Blocked")]
    assert send_list(hub, *changes, version=2, full=False) == "Accepted"
    assert version(hub) == 2
    assert known(hub, "A", "B", "C", "D") == [False, True, False, True]


@pytest.mark.parametrize("is_absent", [True, False])
def test_differential_without_entries_moves_the_version_only(is_absent: bool) -> None:
    """CORE-LL-05: trap 26."""
    hub = ready()
    send_list(hub, entry("A"))
    sent = send(hub, to=5, kind="Differential") if is_absent else send_list(hub, version=5, full=False)
    assert sent == "Accepted"
    assert version(hub) == 5
    assert known(hub, "A") == [True]


@pytest.mark.parametrize("older", [5, 4, 1])
def test_differential_that_is_not_newer_is_a_mismatch(older: int) -> None:
    """CORE-LL-06: nothing is changed."""
    hub = ready()
    send_list(hub, entry("A"), version=5)
    assert send_list(hub, entry("B"), bare("A"), version=older, full=False) == "VersionMismatch"
    assert version(hub) == 5
    assert known(hub, "A", "B") == [True, False]


@pytest.mark.parametrize("bad", [0, -1])
@pytest.mark.parametrize("full", [True, False])
def test_version_that_must_not_be_sent_fails(bad: int, full: bool) -> None:
    """CORE-LL-07: trap 26; a frame with a negative one may be refused as such."""
    hub = ready()
    send_list(hub, entry("A"), version=5)
    kind = "Full" if full else "Differential"
    unique_id = hub.receive_call("SendLocalList", listVersion=bad, localAuthorizationList=[entry("B")], updateType=kind)
    answer = hub.answer_to(unique_id)
    assert answer is not None
    assert answer[2] in ({"status": "Failed"}, "PropertyConstraintViolation")
    assert version(hub) == 5
    assert known(hub, "A", "B") == [True, False]


@pytest.mark.parametrize("full", [True, False])
def test_duplicate_tags_fail(full: bool) -> None:
    """CORE-LL-08: case-insensitively, nothing is changed."""
    hub = ready()
    send_list(hub, entry("OLD"), version=5)
    assert send_list(hub, entry("AB"), entry("ab"), version=6, full=full) == "Failed"
    assert version(hub) == 5
    assert known(hub, "OLD", "AB") == [True, False]


@pytest.mark.parametrize("full", [True, False])
def test_more_entries_than_a_message_may_have_fail(full: bool) -> None:
    """CORE-LL-09: max and max + 1."""
    hub = small(SendLocalListMaxLength="3")
    entries = [entry(f"T{number}") for number in range(4)]
    assert send_list(hub, *entries, version=1, full=full) == "Failed"
    assert version(hub) == 0
    assert send_list(hub, *entries[:3], version=1, full=full) == "Accepted"
    assert known(hub, "T0", "T3") == [True, False]


def test_list_that_would_outgrow_its_capacity_fails_whole() -> None:
    """CORE-LL-10: no entry of it is effective; deletions of the same message count."""
    hub = small(LocalAuthListMaxLength="3")
    send_list(hub, entry("A"), entry("B"))
    assert send_list(hub, entry("C"), entry("D"), version=2, full=False) == "Failed"
    assert version(hub) == 1
    assert send_list(hub, entry("C"), entry("D"), bare("A"), version=2, full=False) == "Accepted"
    assert send_list(hub, *[entry(f"T{number}") for number in range(4)], version=3) == "Failed"
    assert known(hub, "A", "B", "C", "D", "T0") == [False, True, True, True, False]


def test_change_of_an_entry_fits_a_full_list() -> None:
    """CORE-LL-10."""
    hub = small(LocalAuthListMaxLength="2")
    send_list(hub, entry("A"), entry("B"))
    assert send_list(hub, entry("a", "Blocked"), version=2, full=False) == "Accepted"
    assert known(hub, "A", "B") == [False, True]


def test_full_list_with_a_bare_tag_fails() -> None:
    """CORE-LL-12."""
    hub = ready()
    send_list(hub, entry("A"), version=5)
    assert send_list(hub, entry("B"), bare("C"), version=6) == "Failed"
    assert version(hub) == 5
    assert known(hub, "A", "B") == [True, False]


def test_nothing_but_send_local_list_changes_the_list() -> None:
    """CORE-LL-13: neither Authorize.conf nor StartTransaction.conf."""
    hub = ready()
    send_list(hub, entry("A", "Blocked"), entry("B"))
    hub.operator.tags["A"] = dict(ACCEPTED)
    hub.operator.starts["B"] = {"status": "Blocked"}
    assert starts(hub, "A", 1)
    hub.plug(2)
    hub.swipe("B", 2)
    for connector_id in (1, 2):
        if hub.state(connector_id)["transaction"]:
            hub.stop_here(connector_id)
        hub.unplug(connector_id)
    hub.swipe("B", 2)  # releases a cable that a refused start may have kept
    hub.advance(120)
    assert version(hub) == 1
    hub.offline()
    assert known(hub, "A", "B") == [False, True]


def test_list_survives_the_process_with_its_version() -> None:
    """CORE-LL-14: killed right after Accepted."""
    hub = ready()
    send_list(hub, entry("A"), version=5)
    send_list(hub, entry("B"), bare("A"), version=6, full=False)
    again = take(hub.crash().boot(), (1, 2, 3))
    assert version(again) == 6
    assert known(again, "A", "B") == [False, True]


def test_tag_that_enters_the_list_leaves_the_cache() -> None:
    """CORE-LL-15."""
    hub = ready()
    learn(hub, "TAG")
    send_list(hub, entry("TAG"))
    send_list(hub, bare("TAG"), version=2, full=False)
    assert known(hub, "TAG") == [False]


@pytest.mark.parametrize("status", ["Blocked", "Accepted"])
def test_expiry_of_an_entry_is_honoured(status: str) -> None:
    """CORE-LL-16: trap 8."""
    hub = ready()
    soon, later = utc_text(hub.at(5)), utc_text(hub.at(500))
    send_list(hub, entry("A", status, expiryDate=soon), entry("B", expiryDate=later))
    hub.advance(6)
    assert known(hub, "A", "B") == [False, True]


def test_dates_with_any_offset_are_understood() -> None:
    """CORE-GEN-05, CORE-LL-16: fractions and offsets."""
    hub = ready()
    past = "2027-01-15T09:16:39.123+01:00"  # the hub's clock stands at 08:16:40Z
    ahead = "2027-01-15T09:17:39.123+01:00"
    send_list(hub, entry("A", expiryDate=past), entry("B", expiryDate=ahead))
    assert known(hub, "A", "B") == [False, True]


def test_list_longer_than_a_message_is_built_up() -> None:
    """CORE-LL-04, CORE-LL-09: by Full and Differentials of what the key allows, kept over a restart."""
    hub = ready()
    (key,) = hub.core.get_configuration_key(["SendLocalListMaxLength"])["configuration_keys"]
    step = int(key["value"])
    total = 20_000
    for number, begin in enumerate(range(0, total, step)):
        entries = [entry(f"T{each}") for each in range(begin, min(begin + step, total))]
        assert send_list(hub, *entries, version=number + 1, full=number == 0) == "Accepted"
    again = take(hub.crash().boot(), (1, 2, 3))
    assert known(again, "T0", f"T{total - 1}", f"T{total}") == [True, True, False]
