"""The guard before the energy registers: what is taken, what is refused, when an epoch ends, what is checkpointed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from ocpphub.config import ChargePointSettings
from ocpphub.core.boot import Clock
from ocpphub.core.effects import Effect, Store
from ocpphub.core.instant import Instant
from ocpphub.core.meter import MAX_WH, Meters
from ocpphub.core.rows import Rows
from ocpphub.errors import LocalError
from ocpphub.store import Row
from tests.builders import EPOCH_MS, electrical, override, settings

POWER_W = 22_080
"""32 A on three phases of 230 V, what the builders give a connector."""


@dataclass
class Bench:
    """Meters on virtual time, and what they want stored."""

    point: ChargePointSettings = field(default_factory=settings)
    rows: dict[str, bytes] = field(default_factory=dict)
    time_s: float = 1_000.0
    wall_ms: int = EPOCH_MS
    effects: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.meters = Meters(self.point, self._carry, self.clock)
        stored = [Row(self.point.identity, "meter", key, value) for key, value in self.rows.items()]
        self.meters.restore(Rows(stored, self.point.identity))

    def _carry(self, effect: Effect) -> None:
        assert isinstance(effect, Store)
        self.effects.append(effect)
        self.rows[effect.key] = effect.value

    @property
    def now(self) -> Instant:
        return Instant(self.time_s, self.wall_ms + round(self.time_s * 1000))

    def after(self, seconds: float) -> Bench:
        self.time_s += seconds
        return self

    def tell(self, energy_wh: Any, connector_id: int = 1, *, ago_s: float = 0.0, **changes: Any) -> str:
        """A report of the register now; the verdict, or ``"refused"``."""
        at_ms = self.now.utc_ms + self.clock.offset_ms - round(ago_s * 1000)
        checked: str | None = None
        try:
            checked = self.meters.check(connector_id, energy_wh, at_ms, self.now, **changes)
        except LocalError:
            checked = None
        try:
            verdict = self.meters.accept(connector_id, energy_wh, at_ms, self.now, **changes)
        except LocalError as error:
            assert checked is None
            self.hint = error.hint
            return "refused"
        assert checked == verdict
        return verdict

    def reborn(self, after_s: float = 0.0, wall_jump_ms: int = 0) -> Bench:
        """Another process with the rows of this one; its monotonic clock begins anew."""
        wall_ms = self.wall_ms + round((self.time_s + after_s) * 1000) - 5_000 + wall_jump_ms
        return Bench(self.point, dict(self.rows), 5.0, wall_ms)

    def register(self) -> int | None:
        return self.meters.register(1)


def test_first_register_ever_is_taken_and_stored() -> None:
    """CORE-MV-12: as it is told."""
    bench = Bench()
    assert bench.register() is None
    assert bench.meters.register_ms(1) is None
    assert bench.tell(123_456) == "same"
    assert bench.register() == 123_456
    assert bench.meters.register_ms(1) == bench.now.utc_ms
    assert orjson.loads(bench.rows["1"]) == {"wh": 123_456, "at": bench.now.utc_ms, "offset": 0}


@pytest.mark.parametrize("value", [-1, MAX_WH + 1, 12.0, "12", True, None, float("nan")])
@pytest.mark.parametrize("first", [True, False])
def test_register_that_no_meter_has_is_refused_with_the_bounds(value: Any, first: bool) -> None:
    """CORE-MV-12: negative, beyond int32, no integer."""
    bench = Bench()
    if not first:
        bench.tell(500)
    assert bench.tell(value) == "refused"
    assert bench.hint == "0 to 2147483647"
    assert bench.register() == (None if first else 500)


def test_register_may_rise_as_fast_as_the_connector_can_charge() -> None:
    """CORE-MV-12: Pmax x time x 1.2 and 100 Wh of slack; the hint names both bounds."""
    bench = Bench()
    bench.tell(1_000)
    most = 1_000 + POWER_W * 600 * 12 // 36_000 + 100
    assert bench.after(600).tell(most + 1) == "refused"
    assert bench.hint == f"1000 to {most}"
    assert bench.tell(999) == "refused"
    assert bench.register() == 1_000
    assert bench.tell(most) == "same"
    assert bench.register() == most


def test_refusal_names_the_path_that_the_caller_gave() -> None:
    """CORE-MV-12: a row of report_many has another place than a report."""
    bench = Bench()
    with pytest.raises(LocalError) as error:
        bench.meters.accept(1, -1, bench.now.utc_ms, bench.now, path="/params/rows/7/energy_wh")
    assert (error.value.code, error.value.path) == ("invalid_params", "/params/rows/7/energy_wh")


def test_bound_follows_the_limits_of_the_connector() -> None:
    """CORE-MV-12: overrides, watts and the main meter."""
    overrides = (override([2], connector_max_w=350_000.0), override([3], connector_max_a=16.0, phases=1))
    bench = Bench(settings(connector_overrides=overrides))
    rises = {}
    for connector_id in range(4):
        bench.tell(0, connector_id)
    bench.after(36)
    for connector_id in range(4):
        assert bench.tell(MAX_WH, connector_id) == "refused"
        rises[connector_id] = int(bench.hint.rpartition(" ")[2]) - 100
    watts = {1: POWER_W, 2: 350_000, 3: 3_680, 0: POWER_W + 350_000 + 3_680}
    assert rises == {key: value * 12 // 1_000 for key, value in watts.items()}


def test_elapsed_time_is_that_of_the_readings_and_no_jump_of_the_wall_clock() -> None:
    """CORE-MV-12: two readings a minute apart that arrive together; a day's jump of UTC gives nothing."""
    bench = Bench()
    bench.tell(0)
    bench.after(120)
    assert bench.tell(500, ago_s=60) == "same"
    assert bench.tell(941) == "same"
    assert bench.after(1).tell(1_300) == "refused"
    bench.wall_ms += 86_400_000
    assert bench.after(1).tell(1_300) == "refused"


def test_timestamp_of_the_future_gives_no_more_time() -> None:
    """CORE-MV-12."""
    bench = Bench()
    bench.tell(0)
    assert bench.after(1).tell(5_000, ago_s=-3_600) == "refused"


# epochs


def test_three_refused_over_a_minute_that_agree_are_a_new_epoch() -> None:
    """CORE-MV-12: the third is taken."""
    bench = Bench()
    bench.tell(50_000)
    assert [bench.after(30).tell(value) for value in (10, 20, 30)] == ["refused", "refused", "new_epoch"]
    assert bench.register() == 30
    assert orjson.loads(bench.rows["1"])["wh"] == 30
    assert bench.after(30).tell(31) == "same"


def test_many_refused_within_a_minute_are_no_epoch() -> None:
    """CORE-MV-12: a minute has to pass."""
    bench = Bench()
    bench.tell(50_000)
    assert {bench.after(1).tell(10) for _ in range(60)} == {"refused"}
    assert bench.after(1).tell(10) == "new_epoch"


def test_two_refused_are_no_epoch_however_far_apart() -> None:
    """CORE-MV-12."""
    bench = Bench()
    bench.tell(50_000)
    assert [bench.after(600).tell(10), bench.after(600).tell(10)] == ["refused", "refused"]
    assert bench.after(1).tell(10) == "new_epoch"


@pytest.mark.parametrize("values", [(10, 9, 10), (10, 5_000_000, 11, 12)])
def test_refused_that_contradict_one_another_begin_anew(values: tuple[int, ...]) -> None:
    """CORE-MV-12: falling, or rising faster than the connector can charge."""
    bench = Bench()
    bench.tell(50_000)
    assert {bench.after(31).tell(value) for value in values} == {"refused"}


def test_good_register_between_refused_ones_ends_the_doubt() -> None:
    """CORE-MV-12: the meter is the old one."""
    bench = Bench()
    bench.tell(50_000)
    told = [bench.after(31).tell(value) for value in (0, 0, 50_001, 0, 0)]
    assert told == ["refused", "refused", "same", "refused", "refused"]
    assert bench.register() == 50_001


def test_placeholder_is_refused_and_senseless_values_count_for_no_epoch() -> None:
    """CORE-MV-12: 0 and -1 while the epoch has more."""
    bench = Bench()
    bench.tell(50_000)
    assert {bench.after(31).tell(-1) for _ in range(10)} == {"refused"}
    assert bench.tell(0) == "refused"
    assert bench.register() == 50_000


# restarts


def test_register_after_a_restart_is_compared_with_the_checkpoint() -> None:
    """CORE-MV-12: what was charged while ocpphub was down belongs to the same epoch."""
    bench = Bench()
    bench.tell(50_000)
    later = bench.reborn(after_s=3_600)
    assert later.register() == 50_000
    assert later.meters.register_ms(1) == bench.now.utc_ms
    assert later.tell(50_000 + POWER_W * 12 // 10 + 100) == "same"


def test_first_register_of_another_meter_is_a_new_epoch_at_once() -> None:
    """CORE-MV-12: without a session nobody has to wait for three."""
    bench = Bench()
    bench.tell(50_000)
    assert bench.reborn(3_600).tell(10) == "new_epoch"
    assert bench.reborn(3_600).tell(500_000) == "new_epoch"


def test_resumed_session_gives_its_meter_three_chances() -> None:
    """AMB-18: the rule of a running one."""
    bench = Bench()
    bench.tell(50_000)
    later = bench.reborn(3_600)
    told = [later.after(30).tell(value, resuming=True) for value in (10, 11, 12)]
    assert told == ["refused", "refused", "new_epoch"]


def test_after_its_first_good_register_a_process_judges_as_before() -> None:
    """CORE-MV-12: the first one decided about the meter; from then on three are needed."""
    bench = Bench()
    bench.tell(50_000)
    later = bench.reborn(60)
    assert [later.tell(50_200), later.tell(10), later.after(1).tell(50_201)] == ["same", "refused", "same"]


def test_placeholder_after_a_restart_is_refused() -> None:
    """CORE-MV-12: a meter that starts with the charge point tells 0 for a moment."""
    bench = Bench()
    bench.tell(50_000)
    later = bench.reborn(60)
    assert later.tell(0) == "refused"
    assert later.after(1).tell(50_050) == "same"


@pytest.mark.parametrize(("risen", "verdict"), [(100, "same"), (101, "refused")])
def test_utc_that_went_backwards_over_a_restart_gives_no_time(risen: int, verdict: str) -> None:
    """CORE-MV-12: 100 Wh are taken all the same."""
    bench = Bench()
    bench.tell(50_000)
    assert bench.reborn(60, wall_jump_ms=-86_400_000).tell(50_000 + risen, resuming=True) == verdict


def test_damaged_checkpoints_are_left_aside() -> None:
    """One damaged row keeps nothing from starting; so do those of connectors that are no longer there."""
    rows = {"1": b"{", "2": b'{"wh":-5,"at":1,"offset":0}', "x": b'{"wh":5,"at":1,"offset":0}',
            "3": b'{"wh":7,"at":1,"offset":0}', "4": b'{"wh":7,"at":1,"offset":0}'}  # fmt: skip
    bench = Bench(rows=rows)
    assert [bench.meters.register(i) for i in range(4)] == [None, None, None, 7]


# rollover


def test_configured_rollover_is_unwrapped_and_survives_a_restart() -> None:
    """CORE-MV-12: what is sent goes on rising."""
    bench = Bench(settings(connector_overrides=(override([1], meter_modulus_wh=1_000_000),)))
    bench.tell(999_950)
    assert bench.tell(20) == "same"
    assert bench.register() == 1_000_020
    bench.meters.checkpoint(1)
    later = bench.reborn(1)
    assert later.tell(60) == "same"
    assert later.register() == 1_000_060
    assert later.tell(1_000_000) == "refused"
    assert later.hint == "0 to 999999"


def test_rollovers_add_up() -> None:
    """CORE-MV-12: a meter of three digits, round and round; what it cannot show is refused."""
    bench = Bench(settings(connector_overrides=(override([1], meter_modulus_wh=1_000),)))
    for told, unwrapped in ((950, 950), (20, 1_020), (500, 1_500), (990, 1_990), (10, 2_010), (10, 2_010)):
        assert bench.after(60).tell(told) == "same"
        assert bench.register() == unwrapped
    bench.after(60).tell(350)
    bench.after(60).tell(700)
    bench.after(60).tell(980)
    assert bench.tell(1_001) == "refused"
    assert bench.hint == "0 to 999"


def test_bounds_near_a_rollover_name_both_ranges() -> None:
    """CORE-MV-12: the hint is in the meter's own numbers."""
    bench = Bench(settings(connector_overrides=(override([1], meter_modulus_wh=1_000_000),)))
    bench.tell(999_950)
    assert bench.tell(51) == "refused"
    assert bench.hint == "999950 to 999999, or 0 to 50 after a rollover"


def test_rollover_of_a_meter_without_a_modulus_is_refused() -> None:
    """CORE-MV-12: as any drop."""
    bench = Bench()
    bench.tell(999_950)
    assert bench.tell(20) == "refused"


# checkpoints


def test_checkpoint_is_due_after_100_wh_or_a_minute_with_a_rise() -> None:
    """CORE-TXQ-10: never more is lost than that; what has not changed is not written again."""
    bench = Bench()
    bench.tell(1_000)
    bench.effects.clear()
    written = []
    for wait_s, value in ((1, 1_099), (1, 1_100), (59.9, 1_101), (0.1, 1_101), (60, 1_101), (600, 1_101)):
        bench.after(wait_s).tell(value)
        written.append(len(bench.effects))
    assert written == [0, 1, 1, 2, 2, 2]


def test_checkpoint_on_demand_writes_what_is_not_there_yet() -> None:
    """CORE-TXQ-10: a transaction starts or ends."""
    bench = Bench()
    bench.tell(1_000)
    bench.tell(1_010)
    bench.effects.clear()
    for _ in range(2):
        bench.meters.checkpoint(1)
        bench.meters.checkpoint(2)
    assert [orjson.loads(effect.value)["wh"] for effect in bench.effects if isinstance(effect, Store)] == [1_010]


def test_time_of_the_register_follows_a_clock_that_was_set() -> None:
    """Of this process; what an earlier one stored stays."""
    bench = Bench(rows={"2": b'{"wh":7,"at":1,"offset":0}'})
    bench.tell(5)
    before_ms = bench.meters.register_ms(1) or 0
    bench.meters.clock_stepped(7_000)
    assert [bench.meters.register_ms(1), bench.meters.register_ms(2)] == [before_ms + 7_000, 1]


# properties


@dataclass
class Reference:
    """The rules read aloud, over everything that was ever told, in fractions."""

    good: list[tuple[Fraction, int]] = field(default_factory=list)
    doubtful: list[tuple[Fraction, int]] = field(default_factory=list)

    def fits(self, before: tuple[Fraction, int], at_s: Fraction, wh: int) -> bool:
        most = Fraction(POWER_W) * (at_s - before[0]) / 3600 * Fraction(12, 10) + 100
        return 0 <= wh - before[1] <= most

    def tell(self, at_s: Fraction, wh: int) -> str:
        if not 0 <= wh <= MAX_WH:
            return "refused"
        if not self.good or self.fits(self.good[-1], at_s, wh):
            self.good.append((at_s, wh))
            self.doubtful = []
            return "same"
        if self.doubtful and not self.fits(self.doubtful[-1], at_s, wh):
            self.doubtful = []
        self.doubtful.append((at_s, wh))
        if len(self.doubtful) >= 3 and at_s - self.doubtful[0][0] >= 60:
            self.good, self.doubtful = [(at_s, wh)], []
            return "new_epoch"
        return "refused"


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 100, 1_000, 15_000, 30_000, 61_000, 600_000]),
        st.one_of(
            st.integers(0, 400).map(lambda rise: ("rise", rise)),
            st.sampled_from([-1, 0, 5, 50, 100_000, MAX_WH, MAX_WH + 1]).map(lambda value: ("jump", value)),
            st.just(("again", 0)),
        ),
    ),
    max_size=40,
)


@given(STEPS)
@given_settings(max_examples=300, deadline=None)
def test_guard_decides_as_the_reference_does(steps: list[tuple[int, tuple[str, int]]]) -> None:
    """CORE-MV-12: whatever is told, in any order; reliability.md E5."""
    bench, reference = Bench(), Reference()
    told = 0
    for wait_ms, (kind, number) in steps:
        bench.after(wait_ms / 1000)
        told = number if kind == "jump" else told + number
        expected = reference.tell(Fraction(round(bench.time_s * 1000), 1000), told)
        assert bench.tell(told) == expected
        assert bench.register() == (reference.good[-1][1] if reference.good else None)


@given(STEPS, st.lists(st.integers(0, 39), max_size=3))
@given_settings(max_examples=200, deadline=None)
def test_no_watt_hour_is_billed_twice_over_faults_and_restarts(
    steps: list[tuple[int, tuple[str, int]]], restarts: list[int]
) -> None:
    """CORE-MV-12: within an epoch the register never falls (reliability.md E1 to E3), and a restart loses at most what
    a checkpoint may (E4).
    """
    bench = Bench()
    told = 0
    for index, (wait_ms, (kind, number)) in enumerate(steps):
        if index in restarts:
            known = bench.register()
            bench = bench.reborn(wait_ms / 1000)
            kept = bench.register()
            assert (kept is None) == (known is None)
            assert 0 <= (known or 0) - (kept or 0) < 100
        bench.after(wait_ms / 1000)
        told = number if kind == "jump" else told + number
        before = bench.register()
        if bench.tell(told) == "same" and before is not None:
            assert (bench.register() or 0) >= before


def test_station_without_power_takes_only_the_slack() -> None:
    """CORE-MV-12: a connector of 0 A moves no energy."""
    bench = Bench(settings(electrical=electrical(connector_max_a=0.0)))
    bench.tell(0)
    assert bench.after(3_600).tell(101) == "refused"
    assert bench.tell(100) == "same"
