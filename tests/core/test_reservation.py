"""ReserveNow, CancelReservation, their end, and who may use a connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ocpphub import _native
from ocpphub.core.boot import Clock, utc_text
from ocpphub.core.configuration import Configuration
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.inbound import Answer
from ocpphub.core.instant import Instant
from ocpphub.core.reservation import CHECK_S, TABLE, Reservations
from ocpphub.core.rows import Rows
from ocpphub.core.timers import Timers
from ocpphub.core.vocabulary import ChargePointStatus
from ocpphub.store import Row
from tests import builders

S = ChargePointStatus
BUSY = [S.PREPARING, S.CHARGING, S.SUSPENDED_EV, S.SUSPENDED_EVSE, S.FINISHING]


class Lot:
    """Connectors with reservations: a status that a test sets, and Reserved as it follows from what was told."""

    def __init__(
        self,
        connectors: int = 2,
        rows: Mapping[str, bytes] | None = None,
        clock: Clock | None = None,
        now: Instant | None = None,
        **keys: str,
    ) -> None:
        self.count, self.keys = connectors, keys
        self.rows = dict(rows or {})
        self.clock, self.now = clock or Clock(), now or Instant(1_000.0, builders.EPOCH_MS)
        self.base = [S.AVAILABLE] * (connectors + 1)
        self.told: list[int] = []
        self.shown: set[int] = set()
        self.timers = Timers()
        settings = builders.settings(connectors=connectors, configuration=keys)
        configuration = Configuration(settings, lambda effect: None)
        self.reservations = Reservations(settings, self._emit, self.timers, self.clock, configuration, self)
        self.reservations.restore(Rows([Row("CP1", TABLE, key, value) for key, value in self.rows.items()], "CP1"))
        self.shown = {each for each in range(1, connectors + 1) if self.reservations.of(each) is not None}

    def _emit(self, effect: Effect) -> None:
        assert isinstance(effect, Store | Discard)
        assert effect.table == TABLE
        if isinstance(effect, Store):
            self.rows[effect.key] = effect.value
        else:
            del self.rows[effect.key]

    # what reservations ask of connectors

    def status(self, connector_id: int) -> ChargePointStatus:
        base = self.base[connector_id]
        return S.RESERVED if connector_id in self.shown and base is S.AVAILABLE else base

    def reserved_changed(self, connector_id: int, now: Instant) -> None:
        self.told.append(connector_id)
        self.shown = {each for each in range(1, self.count + 1) if self.reservations.of(each) is not None}

    # what a test does

    def be(self, status: ChargePointStatus, *connectors: int) -> Lot:
        for connector_id in connectors:
            self.base[connector_id] = status
        return self

    def call(self, action: str, payload: dict[str, Any]) -> str:
        """The CSMS calls: nothing is told of before the answer is there, and everything after it."""
        call = _native.decode(orjson.dumps([2, "1", action, payload]))
        assert isinstance(call, _native.Call)
        told = len(self.told)
        answer = self.reservations.handlers()[action](call, self.now)
        assert isinstance(answer, Answer)
        assert len(self.told) == told
        status = orjson.loads(_native.encode_result("1", action, answer.payload))[2]["status"]
        if answer.then is not None:
            answer.then(self.now)
        return str(status)

    def reserve(
        self, reservation_id: int, connector_id: int, tag: str = "A", parent: str | None = None, for_s: float = 600.0
    ) -> str:
        expiry = utc_text(self.clock.utc_ms(self.now) + round(for_s * 1000))
        request = {"connectorId": connector_id, "expiryDate": expiry, "idTag": tag, "reservationId": reservation_id}
        return self.call("ReserveNow", request if parent is None else {**request, "parentIdTag": parent})

    def cancel(self, reservation_id: int) -> str:
        return self.call("CancelReservation", {"reservationId": reservation_id})

    def advance(self, seconds: float) -> Lot:
        end_s = self.now.monotonic_s + seconds
        while (due_s := self.timers.next()) is not None and due_s <= end_s:
            self._at(due_s)
            for name in self.timers.expired(due_s):
                assert isinstance(name, tuple)
                assert name[0] == "reservation"
                self.reservations.handle_timer(name[1], self.now)
        self._at(end_s)
        return self

    def _at(self, monotonic_s: float) -> None:
        passed_ms = round((monotonic_s - self.now.monotonic_s) * 1000)
        self.now = Instant(monotonic_s, self.now.utc_ms + passed_ms)

    def restarted(self, **changes: Any) -> Lot:
        arguments = {"connectors": self.count, "rows": self.rows, "clock": self.clock, "now": self.now, **self.keys}
        lot = Lot(**{**arguments, **changes})
        lot.reservations.start(lot.now)
        return lot

    def admits(self, tag: str, parent: str | None = None) -> list[int]:
        """The connectors that a tag may use."""
        return [each for each in range(1, self.count + 1) if self.reservations.admits(each, tag, parent)]

    def ids(self) -> list[int]:
        return [each["reservation_id"] for each in self.reservations.listed()]


# ReserveNow


def test_reserve_now_makes_the_connector_reserved_after_the_answer() -> None:
    """CORE-RV-02."""
    lot = Lot()
    assert lot.reserve(1, 2) == "Accepted"
    assert lot.status(2) is S.RESERVED
    assert lot.told == [2]
    reservation = lot.reservations.of(2)
    assert reservation is not None
    assert reservation.json() == {"reservation_id": 1, "id_tag": "A", "expiry_date": "2027-01-15T08:10:00.000Z"}
    assert lot.reservations.of(1) is None


def test_reserve_now_with_a_known_id_replaces_the_reservation() -> None:
    """CORE-RV-01: another connector, tag, expiry; the first one becomes Available."""
    lot = Lot()
    lot.reserve(1, 1, "A", for_s=10)
    assert lot.reserve(1, 2, "B", for_s=100) == "Accepted"
    assert [lot.status(1), lot.status(2)] == [S.AVAILABLE, S.RESERVED]
    assert lot.told[1:] == [1, 2]
    assert lot.ids() == [1]
    assert lot.advance(50).ids() == [1]
    assert lot.restarted().admits("B") == [1, 2]


def test_reserve_now_with_a_known_id_for_the_same_connector_replaces_it() -> None:
    """CORE-RV-01: the connector is Reserved by itself, which is no obstacle."""
    lot = Lot()
    lot.reserve(1, 1, "A")
    assert lot.reserve(1, 1, "B") == "Accepted"
    assert lot.admits("B") == [1, 2]


def test_reserve_now_that_cannot_replace_leaves_the_first_one() -> None:
    """CORE-RV-01, CORE-RV-03."""
    lot = Lot().be(S.CHARGING, 2)
    lot.reserve(1, 1, "A")
    assert lot.reserve(1, 2, "B") == "Occupied"
    assert lot.admits("A") == [1, 2]
    assert lot.restarted().ids() == [1]


@pytest.mark.parametrize("status", BUSY)
def test_reserve_now_for_a_connector_in_use_is_occupied(status: ChargePointStatus) -> None:
    """CORE-RV-03."""
    lot = Lot().be(status, 1)
    assert lot.reserve(1, 1) == "Occupied"
    assert (lot.ids(), lot.rows, lot.told) == ([], {}, [])


@pytest.mark.parametrize("tag", ["A", "B"])
def test_reserve_now_for_a_reserved_connector_is_occupied(tag: str) -> None:
    """CORE-RV-03: also for the same tag."""
    lot = Lot()
    lot.reserve(1, 1, "A")
    assert lot.reserve(2, 1, tag) == "Occupied"


@pytest.mark.parametrize(("status", "answer"), [(S.FAULTED, "Faulted"), (S.UNAVAILABLE, "Unavailable")])
@pytest.mark.parametrize("broken", [0, 1])
def test_reserve_now_for_a_connector_out_of_order_says_so(status: ChargePointStatus, answer: str, broken: int) -> None:
    """CORE-RV-04: the connector or the whole charge point."""
    assert Lot().be(status, broken).reserve(1, 1) == answer


@pytest.mark.parametrize(("connector_id", "for_s"), [(3, 600.0), (1, -86_400.0), (1, 0.0), (0, -1.0)])
def test_reserve_now_for_nothing_or_for_the_past_is_rejected(connector_id: int, for_s: float) -> None:
    """CORE-RV-05: whatever else applies."""
    lot = Lot().be(S.FAULTED, 0, 1, 2)
    assert lot.reserve(1, connector_id, for_s=for_s) == "Rejected"


def test_reserve_now_precedence_is_faulted_unavailable_occupied() -> None:
    """CORE-RV-05: a connector that is reserved and Faulted, and a charge point that is Unavailable."""
    lot = Lot()
    lot.reserve(1, 1)
    assert lot.be(S.FAULTED, 1).reserve(2, 1) == "Faulted"
    assert lot.be(S.UNAVAILABLE, 0).reserve(2, 1) == "Faulted"
    assert lot.be(S.AVAILABLE, 1).reserve(2, 1) == "Unavailable"
    assert lot.be(S.AVAILABLE, 0).reserve(2, 1) == "Occupied"


# connector 0


def test_reserve_now_for_connector_0_reserves_no_connector() -> None:
    """CORE-RV-08: with one of two busy, the other is for the tag alone."""
    lot = Lot()
    assert lot.reserve(1, 0, "A") == "Accepted"
    assert [lot.status(each) for each in range(3)] == [S.AVAILABLE] * 3
    assert lot.admits("B") == [1, 2]
    lot.be(S.CHARGING, 1)
    assert not lot.reservations.admits(2, "B", None)
    assert lot.reservations.admits(2, "a", None)


def test_reserve_now_for_connector_0_unsupported_is_rejected() -> None:
    """CORE-RV-09."""
    assert Lot(ReserveConnectorZeroSupported="false").reserve(1, 0) == "Rejected"


def test_reserve_now_for_connector_0_counts_what_is_left() -> None:
    """CORE-RV-17: two connectors, two reservations; others are refused everywhere, a third one is Occupied."""
    lot = Lot()
    assert [lot.reserve(1, 0, "A"), lot.reserve(2, 0, "B"), lot.reserve(3, 0, "C")] == [*["Accepted"] * 2, "Occupied"]
    assert lot.admits("C") == []
    assert lot.admits("B") == [1, 2]
    assert lot.reserve(3, 1, "C") == "Occupied"
    assert lot.cancel(2) == "Accepted"
    assert lot.reserve(3, 1, "C") == "Accepted"
    assert lot.admits("D") == []


def test_reserve_now_for_connector_0_replaces_its_own() -> None:
    """CORE-RV-01, CORE-RV-17: what is replaced does not count, on connector 0 and on any other."""
    lot = Lot(connectors=1)
    assert [lot.reserve(1, each) for each in (0, 0, 1, 1, 0)] == ["Accepted"] * 5
    assert lot.ids() == [1]
    assert lot.status(1) is S.AVAILABLE


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        (S.FAULTED, S.FAULTED, "Faulted"),
        (S.UNAVAILABLE, S.UNAVAILABLE, "Unavailable"),
        (S.UNAVAILABLE, S.FAULTED, "Faulted"),
        (S.CHARGING, S.FAULTED, "Occupied"),
        (S.FINISHING, S.PREPARING, "Occupied"),
        (S.FAULTED, S.AVAILABLE, "Accepted"),
    ],
)
def test_reserve_now_for_connector_0_without_a_free_connector_says_why(
    first: ChargePointStatus, second: ChargePointStatus, answer: str
) -> None:
    """CORE-RV-17."""
    assert Lot().be(first, 1).be(second, 2).reserve(1, 0) == answer


@pytest.mark.parametrize(("status", "answer"), [(S.FAULTED, "Faulted"), (S.UNAVAILABLE, "Unavailable")])
def test_reserve_now_for_connector_0_of_a_charge_point_out_of_order_says_so(
    status: ChargePointStatus, answer: str
) -> None:
    """CORE-RV-04."""
    assert Lot().be(status, 0).reserve(1, 0) == answer


# who may use it


def test_admits_on_a_reserved_connector_its_tag_and_group_only() -> None:
    """CORE-RV-06, CORE-GEN-08, CORE-GEN-09: never a tag that reads like the parent."""
    lot = Lot(connectors=1)
    lot.reserve(1, 1, "Tag", "Group")
    cases = [("tAG", None), ("x", "gROUP"), ("x", None), ("x", "y"), ("Group", None), ("x", "Tag")]
    assert [lot.reservations.admits(1, *case) for case in cases] == [True, True, False, False, False, False]


def test_admits_without_a_parent_nobody_but_the_tag() -> None:
    """CORE-RV-06: two tags without a group are no group."""
    lot = Lot(connectors=1)
    lot.reserve(1, 1, "A")
    assert lot.admits("B") == []


def test_admits_the_group_of_a_reservation_of_connector_0() -> None:
    """CORE-RV-07, CORE-RV-08."""
    lot = Lot(connectors=1)
    lot.reserve(1, 0, "A", "G")
    assert lot.admits("B", "G") == [1]
    assert lot.admits("B", "H") == []


def test_admits_everybody_where_nothing_is_reserved() -> None:
    """CORE-RV-06: a reservation of connector 2 is nothing to connector 1."""
    lot = Lot()
    lot.reserve(1, 2, "A")
    assert lot.admits("B") == [1]
    assert lot.admits("A") == [1, 2]


@pytest.mark.parametrize(
    ("connector_id", "parent", "needed"),
    [(1, "G", [True, False]), (1, None, [False, False]), (0, "G", [True, True]), (0, None, [False, False])],
)
def test_needs_parent_where_a_reservation_names_one(connector_id: int, parent: str | None, needed: list[bool]) -> None:
    """CORE-RV-07."""
    lot = Lot()
    lot.reserve(1, connector_id, "A", parent)
    assert [lot.reservations.needs_parent(1), lot.reservations.needs_parent(2)] == needed


# its end


@pytest.mark.parametrize(("tag", "parent"), [("a", None), ("B", "g")])
def test_used_ends_the_reservation_of_the_connector(tag: str, parent: str | None) -> None:
    """CORE-RV-10, CORE-RV-12, CORE-RS-12: by tag and by group; the next transaction has none."""
    lot = Lot()
    lot.reserve(7, 1, "A", "G")
    assert lot.reservations.used(2, tag, parent, lot.now) is None
    assert lot.reservations.used(1, tag, parent, lot.now) == 7
    assert lot.reservations.used(1, tag, parent, lot.now) is None
    assert lot.restarted().ids() == []
    assert lot.cancel(7) == "Rejected"


def test_used_ends_one_reservation_of_connector_0_on_any_connector() -> None:
    """CORE-RV-10, CORE-RV-17: the oldest one; that of the connector itself goes first."""
    lot = Lot(connectors=3)
    lot.reserve(5, 0, "A")
    lot.reserve(6, 0, "A")
    lot.reserve(7, 2, "A")
    assert lot.reservations.used(3, "B", None, lot.now) is None
    assert [lot.reservations.used(2, "A", None, lot.now) for _ in range(4)] == [7, 5, 6, None]
    assert lot.told[3:] == [0, 0]


def test_reservation_ends_at_its_expiry_date() -> None:
    """CORE-RV-10, CORE-RV-11: with its status; not a moment before."""
    lot = Lot()
    lot.reserve(1, 1, for_s=90)
    assert lot.advance(89.9).status(1) is S.RESERVED
    assert lot.advance(0.1).status(1) is S.AVAILABLE
    assert lot.told == [1, 1]
    assert lot.rows == {}
    assert lot.cancel(1) == "Rejected"


def test_reservation_of_connector_0_ends_at_its_expiry_date() -> None:
    """CORE-RV-10."""
    lot = Lot(connectors=1)
    lot.reserve(1, 0, for_s=2 * CHECK_S + 5)
    assert lot.advance(2 * CHECK_S).admits("B") == []
    assert lot.advance(5).admits("B") == [1]
    assert lot.told == [0, 0]


def test_reservation_follows_a_clock_that_is_set() -> None:
    """CORE-RV-11: at once when the CSMS tells the time, within the hour when the machine is set."""
    lot = Lot()
    lot.reserve(1, 1, for_s=7_200)
    lot.reserve(2, 2, for_s=10_000)
    lot.clock.offset_ms += 7_200_000
    lot.reservations.clock_stepped(lot.now)
    assert lot.ids() == [2]
    lot.now = Instant(lot.now.monotonic_s, lot.now.utc_ms + 3_000_000)
    assert lot.advance(CHECK_S).ids() == []


@pytest.mark.parametrize(("ended", "left"), [(1, [2, 3]), (2, [1, 3]), (0, [])])
def test_reservation_ends_with_a_connector_out_of_order(ended: int, left: list[int]) -> None:
    """CORE-RV-10, AMB-13: 0 is the whole charge point; a reservation of connector 0 outlives any other connector."""
    lot = Lot(connectors=4)
    lot.reserve(1, 1)
    lot.reserve(2, 2)
    lot.reserve(3, 0)
    lot.be(S.FAULTED, ended).reservations.ended(ended, lot.now)
    assert lot.ids() == left
    assert lot.restarted().ids() == left
    assert lot.told[3:] == ([1, 2] if ended == 0 else [])


def test_cancel_reservation_frees_the_connector_after_the_answer() -> None:
    """CORE-RV-13."""
    lot = Lot()
    lot.reserve(1, 1)
    assert lot.cancel(2) == "Rejected"
    assert lot.cancel(1) == "Accepted"
    assert lot.status(1) is S.AVAILABLE
    assert lot.told == [1, 1]
    assert lot.cancel(1) == "Rejected"
    assert lot.rows == {}
    assert lot.timers.next() is None


# restart


def test_reservations_survive_a_restart_until_they_expire() -> None:
    """CORE-RV-14."""
    lot = Lot(connectors=3)
    lot.reserve(-1, 1, "A", "G", for_s=100)
    lot.reserve(2, 0, "B", for_s=200)
    lot = lot.restarted()
    assert lot.ids() == [-1, 2]
    assert lot.status(1) is S.RESERVED
    assert lot.reservations.admits(1, "x", "g")
    assert lot.advance(100).ids() == [2]
    assert lot.advance(100).ids() == []


def test_reservation_that_expired_meanwhile_vanishes_at_boot() -> None:
    """CORE-RV-14."""
    lot = Lot()
    lot.reserve(1, 1, for_s=100)
    lot.clock = Clock()  # monotonic time begins anew with the machine
    again = lot.restarted(now=Instant(5.0, lot.now.utc_ms + 100_000))
    assert (again.ids(), again.rows, again.told) == ([], {}, [1])
    assert again.status(1) is S.AVAILABLE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("1", b"{"),
        ("1", b'{"connector_id":1,"id_tag":"A"}'),
        ("x", b'{"connector_id":1,"id_tag":"A","expiry_date":"2030-01-01T00:00:00Z"}'),
        ("1", b'{"connector_id":3,"id_tag":"A","expiry_date":"2030-01-01T00:00:00Z"}'),
        ("1", b'{"connector_id":1,"id_tag":"A","expiry_date":"soon"}'),
    ],
)
def test_reservation_row_that_cannot_be_used_is_left_aside(key: str, value: bytes) -> None:
    """J-278: a connector that is not there any more, or damage; the charge point starts."""
    lot = Lot(rows={key: value}).restarted()
    assert lot.ids() == []
    assert lot.rows == {key: value}
    assert lot.reserve(1, 1) == "Accepted"


def test_reservations_rest_while_the_feature_is_off() -> None:
    """CORE-RV-06, CORE-GEN-01: nobody could cancel them; they are back with the feature."""
    lot = Lot()
    lot.reserve(1, 1, "A")
    off = lot.restarted(SupportedFeatureProfiles="Core")
    assert off.admits("B") == [1, 2]
    assert off.ids() == []
    assert off.restarted(SupportedFeatureProfiles="Core,Reservation").ids() == [1]


def test_listed_tells_every_reservation_by_id() -> None:
    """CORE-RV-02: reservation.list of the socket."""
    lot = Lot(connectors=3)
    lot.reserve(9, 0, "B", "G")
    lot.reserve(4, 2, "A")
    expiry = "2027-01-15T08:10:00.000Z"
    assert lot.reservations.listed() == [
        {"reservation_id": 4, "id_tag": "A", "expiry_date": expiry, "connector_id": 2, "parent_id_tag": None},
        {"reservation_id": 9, "id_tag": "B", "expiry_date": expiry, "connector_id": 0, "parent_id_tag": "G"},
    ]


_reserve = st.tuples(st.just("reserve"), st.integers(1, 5), st.integers(0, 3), st.sampled_from("ABC"))
_use = st.tuples(st.just("use"), st.integers(1, 3), st.just(0), st.sampled_from("ABCD"))
_other = st.tuples(st.sampled_from(["free", "cancel", "restart", "expire"]), st.integers(1, 5), st.just(0), st.just(""))


@hypothesis_settings(max_examples=300, deadline=None)
@given(steps=st.lists(st.one_of(_reserve, _use, _other), max_size=40))
def test_reserved_tags_always_find_a_connector(steps: list[tuple[str, int, int, str]]) -> None:
    """CORE-RV-06, CORE-RV-08, CORE-RV-17: whoever uses connectors as admitted, and whatever is reserved meanwhile."""
    lot = Lot(connectors=3)
    for what, number, connector_id, tag in steps:
        if what == "reserve":
            lot.reserve(number, connector_id, tag, for_s=600)
        elif what == "use" and lot.base[number] is S.AVAILABLE and lot.reservations.admits(number, tag, None):
            lot.reservations.used(number, tag, None, lot.now)
            lot.be(S.CHARGING, number)
            lot.reserved_changed(number, lot.now)
        elif what == "free" and number <= 3:
            lot.be(S.AVAILABLE, number)
        elif what == "cancel":
            lot.cancel(number)
        elif what == "expire":
            lot.advance(200)
        elif what == "restart":
            base, lot = lot.base, lot.restarted()
            lot.base = base
        listed = lot.reservations.listed()
        own = [each["connector_id"] for each in listed if each["connector_id"]]
        free = [each for each in range(1, 4) if lot.base[each] is S.AVAILABLE and each not in own]
        assert len(set(own)) == len(own)
        assert all(lot.base[each] is S.AVAILABLE for each in own)
        assert len(free) >= len(listed) - len(own)
