"""The local authorization list, its version and its rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocpphub.core import local_list
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.local_list import ROW_TAGS, SPARE_ROWS, TABLE, LocalList
from ocpphub.core.rows import Rows
from ocpphub.core.verdict import Verdict
from ocpphub.store import Row

ACCEPTED = {"status": "Accepted"}
BLOCKED = {"status": "Blocked"}


def entry(tag: str, info: dict[str, str] | None = None) -> dict[str, Any]:
    return {"idTag": tag} if info is None else {"idTag": tag, "idTagInfo": info}


class Kept:
    """A list and its rows as an instant disk would keep them."""

    def __init__(self, rows: dict[str, bytes] | None = None, capacity: int = 100_000, per_message: int = 5_000) -> None:
        self.rows, self.capacity, self.per_message = dict(rows or {}), capacity, per_message
        self.written = 0
        self.list = LocalList(self._emit)
        self.list.restore(Rows([Row("CP1", TABLE, key, value) for key, value in self.rows.items()], "CP1"))

    def _emit(self, effect: Effect) -> None:
        assert isinstance(effect, Store | Discard)
        assert effect.table == TABLE
        if isinstance(effect, Store):
            self.written += len(effect.value)
            self.rows[effect.key] = effect.value
        else:
            del self.rows[effect.key]

    def send(self, kind: str, version: int, entries: list[dict[str, Any]] | None = None) -> str:
        request: Any = {"listVersion": version, "updateType": kind}
        if entries is not None:
            request["localAuthorizationList"] = entries
        return str(self.list.receive(request, self.capacity, self.per_message))

    def full(self, version: int, **tags: dict[str, str]) -> str:
        return self.send("Full", version, [entry(tag, info) for tag, info in tags.items()])

    def differential(self, version: int, **tags: dict[str, str] | None) -> str:
        return self.send("Differential", version, [entry(tag, info) for tag, info in tags.items()])

    def restarted(self) -> Kept:
        return Kept(self.rows, self.capacity, self.per_message)

    def state(self, *tags: str) -> tuple[int, dict[str, str]]:
        """The version, and the status of each of these tags that is listed."""
        found = {tag: self.list.get(tag) for tag in tags}
        return self.list.version, {tag: verdict.status for tag, verdict in found.items() if verdict is not None}


def unchanged(kept: Kept, kind: str, version: int, entries: list[dict[str, Any]], status: str) -> None:
    """The request gets this status and neither the list nor a row is another."""
    before = (kept.list.version, len(kept.list), dict(kept.rows), kept.written)
    assert kept.send(kind, version, entries) == status
    assert (kept.list.version, len(kept.list), kept.rows, kept.written) == before
    assert kept.restarted().list.version == before[0]


def test_local_list_of_a_new_charge_point_is_empty_with_version_0() -> None:
    """CORE-LL-01."""
    assert Kept().state("A") == (0, {})


def test_local_list_full_replaces_entries_and_version() -> None:
    """CORE-LL-03: a lower version too."""
    kept = Kept()
    assert kept.full(7, A=ACCEPTED, B=BLOCKED) == "Accepted"
    assert kept.state("A", "B") == (7, {"A": "Accepted", "B": "Blocked"})
    assert kept.full(3, C=ACCEPTED) == "Accepted"
    assert kept.state("A", "B", "C") == (3, {"C": "Accepted"})


@pytest.mark.parametrize("entries", [None, []])
def test_local_list_full_without_entries_empties_it_and_its_version(entries: list[dict[str, Any]] | None) -> None:
    """CORE-LL-03, AMB-05: a Differential is compared with 0 afterwards, after a restart too."""
    kept = Kept()
    kept.full(7, A=ACCEPTED)
    assert kept.send("Full", 9, entries) == "Accepted"
    assert kept.state("A") == (0, {})
    kept = kept.restarted()
    assert kept.differential(1, B=ACCEPTED) == "Accepted"
    assert kept.state("A", "B") == (1, {"B": "Accepted"})


def test_local_list_differential_adds_changes_and_deletes() -> None:
    """CORE-LL-04: what it does not name stays."""
    kept = Kept()
    kept.full(1, A=ACCEPTED, B=ACCEPTED, C=ACCEPTED)
    assert kept.differential(2, a=BLOCKED, B=None, D=ACCEPTED, unknown=None) == "Accepted"
    assert kept.state(*"ABCD") == (2, {"A": "Blocked", "C": "Accepted", "D": "Accepted"})


@pytest.mark.parametrize("entries", [None, []])
def test_local_list_differential_without_entries_takes_the_version(entries: list[dict[str, Any]] | None) -> None:
    """CORE-LL-05: the list is as it was."""
    kept = Kept()
    kept.full(1, A=ACCEPTED)
    assert kept.send("Differential", 5, entries) == "Accepted"
    assert kept.restarted().state("A") == (5, {"A": "Accepted"})


def test_local_list_differential_that_deletes_the_last_entry_leaves_version_0() -> None:
    """CORE-LL-01: 0 is the version of an empty list."""
    kept = Kept()
    kept.full(1, A=ACCEPTED)
    assert kept.differential(2, A=None) == "Accepted"
    assert kept.restarted().state("A") == (0, {})


@pytest.mark.parametrize("version", [4, 5])
def test_local_list_differential_that_is_not_newer_is_a_version_mismatch(version: int) -> None:
    """CORE-LL-06."""
    kept = Kept()
    kept.full(5, A=ACCEPTED)
    unchanged(kept, "Differential", version, [entry("B", ACCEPTED)], "VersionMismatch")


@pytest.mark.parametrize("kind", ["Full", "Differential"])
@pytest.mark.parametrize("version", [0, -1, -2])
def test_local_list_version_that_no_list_may_have_fails(kind: str, version: int) -> None:
    """CORE-LL-07."""
    kept = Kept()
    kept.full(5, A=ACCEPTED)
    unchanged(kept, kind, version, [entry("B", ACCEPTED)], "Failed")


@pytest.mark.parametrize("kind", ["Full", "Differential"])
def test_local_list_tag_twice_in_any_case_fails(kind: str) -> None:
    """CORE-LL-08."""
    kept = Kept()
    kept.full(5, A=ACCEPTED)
    unchanged(kept, kind, 6, [entry("AB", ACCEPTED), entry("ab", ACCEPTED)], "Failed")


@pytest.mark.parametrize("kind", ["Full", "Differential"])
def test_local_list_more_entries_than_a_message_may_hold_fail(kind: str) -> None:
    """CORE-LL-09."""
    kept = Kept(per_message=2)
    entries = [entry(tag, ACCEPTED) for tag in "ABC"]
    unchanged(kept, kind, 6, entries, "Failed")
    assert kept.send(kind, 6, entries[:2]) == "Accepted"


def test_local_list_beyond_its_capacity_fails_as_a_whole() -> None:
    """CORE-LL-10: deletions and changes of the same request make room."""
    kept = Kept(capacity=2)
    kept.full(1, A=ACCEPTED)
    unchanged(kept, "Differential", 2, [entry("B", ACCEPTED), entry("C", ACCEPTED)], "Failed")
    unchanged(kept, "Full", 2, [entry(tag, ACCEPTED) for tag in "ABC"], "Failed")
    assert kept.differential(2, B=ACCEPTED, C=ACCEPTED, A=None) == "Accepted"
    assert kept.differential(3, B=BLOCKED, C=BLOCKED) == "Accepted"
    assert kept.state(*"ABC") == (3, {"B": "Blocked", "C": "Blocked"})


def test_local_list_full_with_an_entry_without_info_fails() -> None:
    """CORE-LL-12."""
    kept = Kept()
    kept.full(5, A=ACCEPTED)
    unchanged(kept, "Full", 6, [entry("B", ACCEPTED), entry("A")], "Failed")


def test_local_list_entry_keeps_group_and_expiry_date() -> None:
    """CORE-LL-16, CORE-GEN-08: also over a restart."""
    kept = Kept()
    kept.full(1, A={"status": "Accepted", "parentIdTag": "G", "expiryDate": "2027-01-15T08:00:00Z"})
    assert kept.restarted().list.get("a") == Verdict("Accepted", "G", "2027-01-15T08:00:00Z")


def damaged_rows() -> list[tuple[str, dict[str, bytes]]]:
    kept = Kept()
    kept.full(1, A=ACCEPTED)
    kept.differential(2, A=BLOCKED)
    rows = kept.rows
    assert sorted(rows) == ["0", "1", "version"]
    return [
        ("a row is missing", {key: value for key, value in rows.items() if key != "1"}),
        ("the version is missing", {key: value for key, value in rows.items() if key != "version"}),
        ("a row is no JSON", {**rows, "0": b"{"}),
        ("a row has no tags", {**rows, "1": b"{}"}),
        ("an entry is too short", {**rows, "1": b'{"tags":{"a":["Blocked",null]}}'}),
        ("an entry is no list", {**rows, "1": b'{"tags":{"a":"Blocked"}}'}),
        ("an entry is a number", {**rows, "1": b'{"tags":{"a":5}}'}),
        ("an entry is empty", {**rows, "1": b'{"tags":{"a":[]}}'}),
        ("an entry has members", {**rows, "1": b'{"tags":{"a":{"x":1,"y":2,"z":3}}}'}),
        ("a status is a list", {**rows, "1": b'{"tags":{"a":[[],null,null]}}'}),
        ("a group is no text", {**rows, "1": b'{"tags":{"a":["Accepted",1,null]}}'}),
        ("a status is no text", {**rows, "1": b'{"tags":{"a":[1,null,null]}}'}),
        ("there is a row too many", {**rows, "2": b'{"tags":{}}'}),
        ("the version is damaged", {**rows, "version": b'{"version":2,"first":0,"last":99999999999}'}),
    ]


@pytest.mark.parametrize(("what", "rows"), damaged_rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_local_list_that_is_damaged_is_empty_until_a_full(
    what: str, rows: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """CORE-LL-14, J-278: never half a list, never an old entry for a new one; a Differential would build on nothing."""
    kept = Kept(rows)
    assert "damaged" in caplog.text
    assert kept.state("A") == (0, {})
    unchanged(kept, "Differential", 3, [entry("B", ACCEPTED)], "Failed")
    assert kept.full(3, C=ACCEPTED) == "Accepted"
    kept = kept.restarted()
    assert kept.state(*"ABC") == (3, {"C": "Accepted"})
    assert kept.differential(4, D=ACCEPTED) == "Accepted"
    assert kept.restarted().state(*"CD") == (4, {"C": "Accepted", "D": "Accepted"})


def test_local_list_many_small_differentials_leave_few_rows() -> None:
    """CORE-LL-14: neither rows nor what an update writes grow without end."""
    kept = Kept()
    kept.full(1, **{f"T{number}": ACCEPTED for number in range(50)})
    for version in range(2, 1_002):
        kept.written = 0
        assert kept.differential(version, **{f"T{version % 60}": BLOCKED if version % 2 else ACCEPTED}) == "Accepted"
        assert len(kept.rows) <= SPARE_ROWS + 4
        assert kept.written < 4_000
    assert kept.restarted().list.version == 1_001


def test_local_list_differential_that_changes_nothing_writes_the_version_alone() -> None:
    """CORE-LL-05: a CSMS that repeats itself costs nothing."""
    kept = Kept()
    kept.full(1, A=ACCEPTED, B=BLOCKED)
    kept.written = 0
    assert kept.differential(2, A=ACCEPTED, B=BLOCKED, C=None) == "Accepted"
    assert kept.written < 50


def test_local_list_of_many_tags_is_written_as_it_comes() -> None:
    """CORE-LL-14: in rows of a bounded size, and never much more than the update brings."""
    kept, tags = Kept(), [f"TAG{number:017d}" for number in range(20_000)]
    for version in range(1, 5):
        kept.written = 0
        part = [entry(tag, ACCEPTED) for tag in tags[(version - 1) * 5_000 : version * 5_000]]
        assert kept.send("Full" if version == 1 else "Differential", version, part) == "Accepted"
        assert kept.written < 5_000 * 60
    assert len(kept.rows) == 20_000 / ROW_TAGS + 1
    again = kept.restarted()
    assert len(again.list) == 20_000
    assert all(again.list.get(tag) == Verdict("Accepted") for tag in tags)


_tags = st.sampled_from([f"T{number}" for number in range(12)] + ["t3", "t4"])
_infos = st.builds(
    lambda status, parent: {"status": status, **({"parentIdTag": parent} if parent else {})},
    st.sampled_from(["Accepted", "Blocked", "Expired"]),
    st.sampled_from([None, "G", "H"]),
)
_updates = st.tuples(
    st.sampled_from(["Differential"] * 4 + ["Full"]),
    st.integers(-1, 3),
    st.lists(st.tuples(_tags, _infos | st.none()), max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(updates=st.lists(st.tuples(_updates, st.booleans()), max_size=40), seed=st.integers(0, 2**32))
def test_local_list_is_always_what_an_accepted_update_made(
    updates: list[tuple[tuple[str, int, list[tuple[str, dict[str, str] | None]]], bool]], seed: int
) -> None:
    """CORE-LL-03 to CORE-LL-14: against a dictionary, with restarts, rows that are full after three tags."""
    model: dict[str, Verdict] = {}
    version = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_list, "ROW_TAGS", 3)
        patch.setattr(local_list, "SPARE_ROWS", 1 + seed % 3)
        kept = Kept(capacity=9, per_message=7)
        for (kind, step, items), crash in updates:
            wanted = version + step
            expected, after = judged(model, version, kind, wanted, items)
            assert kept.send(kind, wanted, [entry(tag, info) for tag, info in items]) == expected
            if expected == "Accepted":
                model, version = after, wanted if after else 0
            kept = kept.restarted() if crash else kept
            assert kept.list.version == version
            assert len(kept.list) == len(model)
            names = {tag.lower() for tag, _ in items} | set(model)
            assert {name: kept.list.get(name) for name in names} == {name: model.get(name) for name in names}


def judged(
    model: dict[str, Verdict], version: int, kind: str, wanted: int, items: list[tuple[str, dict[str, str] | None]]
) -> tuple[str, dict[str, Verdict]]:
    """What chapter 12 says of an update: the status, and the list that it makes."""
    if wanted <= 0 or len(items) > 7:
        return "Failed", model
    if kind == "Differential" and wanted <= version:
        return "VersionMismatch", model
    if len({tag.lower() for tag, _ in items}) < len(items):
        return "Failed", model
    if kind == "Full" and any(info is None for _, info in items):
        return "Failed", model
    after = {} if kind == "Full" else dict(model)
    for tag, info in items:
        if info is None:
            after.pop(tag.lower(), None)
        else:
            after[tag.lower()] = Verdict(info["status"], info.get("parentIdTag"))
    return ("Failed", model) if len(after) > 9 else ("Accepted", after)
