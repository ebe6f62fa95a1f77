"""Selection and grouping of a connector's latest readings, held against a naive reading of the rules."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.core.readings import MAX_READINGS, MAX_SIGNED, REGISTER, Descriptor, Reading, parse_readings
from ocpphub.core.sampling import MAX_SAMPLE_CHARS, Levels, at_once, grouped, items_of


def levels_of(*told: tuple[int, dict[str, Any]], register: tuple[int, int] | None = None) -> Levels:
    levels = Levels()
    if register is not None:
        levels.register_wh, levels.register_ms = register
    for at_ms, members in told:
        levels.take(parse_readings([{"value": 1, **members}]), at_ms)
    return levels


def names(chosen: dict[Descriptor, tuple[str, int]]) -> list[str]:
    return [f"{what.measurand}.{what.phase}" if what.phase else what.measurand for what in chosen]


def test_items_are_those_of_all_keys_each_once() -> None:
    """CORE-TX-18: the union of both keys, in their order."""
    assert items_of("Voltage.L1,SoC", "", "SoC,Voltage") == (("Voltage", "L1"), ("SoC", None), ("Voltage", None))
    assert items_of("", "") == ()


def test_measurand_selects_every_phase_and_location_that_was_reported() -> None:
    """CORE-MV-07: with a phase only that one; what was never reported is left out."""
    levels = levels_of(
        (1, {"measurand": "Voltage", "phase": "L1"}),
        (1, {"measurand": "Voltage", "phase": "L2"}),
        (1, {"measurand": "Voltage", "phase": "L1", "location": "Inlet"}),
        (1, {"measurand": "Current.Import"}),
    )
    assert names(levels.choose(items_of("SoC,Voltage"))) == ["Voltage.L1", "Voltage.L2", "Voltage.L1"]
    chosen = levels.choose(items_of("Current.Import,Voltage.L2,Current.Import.L1"))
    assert names(chosen) == ["Current.Import", "Voltage.L2"]
    assert names(levels.choose(items_of("Voltage.L2,Voltage"))) == ["Voltage.L2", "Voltage.L1", "Voltage.L1"]


def test_register_is_the_guarded_one_beside_its_phases() -> None:
    """CORE-MV-12, CORE-MV-13: a measurement of the register never takes the place of what the guard let through."""
    register = "Energy.Active.Import.Register"
    levels = levels_of((1, {"measurand": register, "value": 9}), (1, {"measurand": register, "phase": "L1"}))
    assert names(levels.choose(items_of(register))) == [f"{register}.L1"]
    levels.register_wh, levels.register_ms = 500, 3
    assert levels.choose(items_of(register))[REGISTER] == ("500", 3)
    assert levels.choose(items_of(register), 400)[REGISTER] == ("400", 3)
    assert REGISTER not in levels.choose(items_of(f"{register}.L1"))


def test_reading_in_another_unit_takes_the_place_of_the_former() -> None:
    """CORE-MV-04: one value of each kind, the last one told."""
    levels = levels_of((1, {"measurand": "Voltage"}), (1, {"measurand": "Power.Active.Import"}))
    for at_ms, units in ((2, ["kW"]), (3, ["kW", "W"]), (4, ["W", "kW"])):
        told = [{"measurand": "Power.Active.Import", "unit": unit, "value": 7} for unit in units]
        levels.take(parse_readings(told), at_ms)
        chosen = levels.choose(items_of("Power.Active.Import,Voltage"))
        expected = [(units[-1], ("7", at_ms)), ("V", ("1", 1))]
        assert [(what.unit, level) for what, level in chosen.items()] == expected


def test_levels_beyond_the_limit_push_out_the_oldest() -> None:
    """CORE-MV-07: a controller that reports everything cannot fill the memory."""
    phases = ("L1", "L2", "L3", "N", "L1-N", "L2-N", "L3-N", "L1-L2", "L2-L3", "L3-L1")
    kinds = [
        {"measurand": measurand, "phase": phase, "location": location}
        for measurand in ("Voltage", "Current.Import", "Power.Factor")
        for phase in phases
        for location in ("Body", "Cable", "EV", "Inlet", "Outlet")
    ]
    levels = levels_of(*[(index, members) for index, members in enumerate(kinds)])
    assert len(levels.readings) == MAX_READINGS
    assert min(at_ms for _, at_ms in levels.readings.values()) == len(kinds) - MAX_READINGS


def test_sample_of_much_signed_data_is_cut_to_what_a_message_takes(caplog: pytest.LogCaptureFixture) -> None:
    """CORE-TXQ-12: and that is told."""
    levels = levels_of(*[
        (1, {"measurand": "Voltage", "phase": phase, "location": location, "format": "SignedData",
             "value": "x" * MAX_SIGNED})
        for phase in ("L1", "L2", "L3") for location in ("EV", "Inlet", "Outlet")
    ])  # fmt: skip
    with caplog.at_level(logging.WARNING, "ocpphub.core"):
        chosen = levels.choose(items_of("Voltage"))
    assert len(chosen) == MAX_SAMPLE_CHARS // MAX_SIGNED
    assert "too long" in caplog.text


def test_groups_have_the_time_they_were_read_and_held_levels_the_due_time() -> None:
    """CORE-MV-14."""
    levels = levels_of(
        (500, {"measurand": "Voltage"}),
        (1_500, {"measurand": "SoC"}),
        (1_500, {"measurand": "Temperature"}),
        (1_000, {"measurand": "Frequency"}),
        register=(7, 2_100),
    )
    items = items_of("Energy.Active.Import.Register,Voltage,SoC,Temperature,Frequency")
    groups = grouped(levels.choose(items), since_ms=1_000, due_ms=2_000)
    assert [(group.at_ms, [what.measurand for what in group.layout]) for group in groups] == [
        (1_500, ["SoC", "Temperature"]),
        (2_000, ["Voltage", "Frequency"]),
        (2_100, ["Energy.Active.Import.Register"]),
    ]


def test_levels_at_one_time_are_one_group() -> None:
    """AMB-10."""
    levels = levels_of((1, {"measurand": "Voltage", "value": 3}), (2, {"measurand": "SoC", "value": 4}))
    group = at_once(levels.choose(items_of("SoC,Voltage")), 9)
    assert (group.at_ms, [what.measurand for what in group.layout], group.values) == (9, ["SoC", "Voltage"], ("4", "3"))


def test_shift_moves_every_time() -> None:
    """Times of what was read follow a clock that was set."""
    levels = levels_of((1, {"measurand": "Voltage"}), register=(7, 2))
    levels.shift(10)
    assert [at_ms for _, at_ms in levels.choose(items_of("Energy.Active.Import.Register,Voltage")).values()] == [12, 11]


MEASURANDS = st.sampled_from(["Voltage", "Current.Import", "Energy.Active.Import.Register", "Frequency"])
PHASES = st.sampled_from([None, "L1", "L2"])
LOCATIONS = st.sampled_from(["Outlet", "Inlet"])
REPORTS = st.lists(st.tuples(st.integers(1, 20), MEASURANDS, PHASES, LOCATIONS, st.integers(0, 9)), max_size=25)
KEYS = st.lists(st.tuples(MEASURANDS, PHASES), max_size=6)


@given(REPORTS, KEYS, st.one_of(st.none(), st.tuples(st.integers(0, 99), st.integers(1, 20))), st.integers(0, 20))
def test_selection_and_groups_are_those_of_a_naive_reading(
    reports: list[tuple[int, str, str | None, str, int]],
    key: list[tuple[str, str | None]],
    register: tuple[int, int] | None,
    since_ms: int,
) -> None:
    """CORE-MV-04, CORE-MV-06, CORE-MV-07, CORE-MV-14: every selected value once, the last one told, at its time."""
    levels = levels_of(register=register)
    last: dict[tuple[str, str | None, str], tuple[str, int]] = {}
    for at_ms, measurand, phase, location, value in reports:
        told = {"measurand": measurand, "location": location, "value": value, **({"phase": phase} if phase else {})}
        levels.take(parse_readings([told]), at_ms)
        last[measurand, phase, location] = (str(value), at_ms)
    last.pop((REGISTER.measurand, None, "Outlet"), None)
    if register is not None:
        last[REGISTER.measurand, None, "Outlet"] = (str(register[0]), register[1])
    expected = set()
    for (measurand, phase, location), (value_text, at_ms) in last.items():
        if any(name == measurand and (wanted is None or wanted == phase) for name, wanted in key):
            expected.add((measurand, phase, location, value_text, 99 if at_ms <= since_ms else at_ms))
    text = ",".join(name if phase is None else f"{name}.{phase}" for name, phase in key)
    groups = grouped(levels.choose(items_of(text)), since_ms, 99)
    found = [
        (what.measurand, what.phase, what.location, value, group.at_ms)
        for group in groups
        for what, value in zip(group.layout, group.values, strict=True)
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert [group.at_ms for group in groups] == sorted({group.at_ms for group in groups})
    for _ in range(2):  # a plan is made, then used
        assert levels.groups(text, since_ms, 99) == groups
    levels.register_wh, levels.register_ms = 7, 21
    assert levels.groups(text, since_ms, 99) == grouped(levels.choose(items_of(text)), since_ms, 99)
    levels.clear()
    assert levels.groups(text, since_ms, 99) == grouped(levels.choose(items_of(text)), since_ms, 99)


def test_reading_of_a_known_kind_is_taken_without_a_search() -> None:
    """CORE-MV-07: the descriptor that was told before is the key."""
    levels = levels_of((1, {"measurand": "Voltage"}))
    (known,) = levels.readings
    levels.take((Reading(known, "2"),), 5)
    assert levels.readings == {known: ("2", 5)}
