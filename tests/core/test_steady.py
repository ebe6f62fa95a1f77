"""The short way of reports does what the long one does: results, effects and state, over random calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocpphub.core import steady
from ocpphub.core.controllers import Controller
from ocpphub.errors import LocalError
from tests import builders
from tests.builders import World

CONNECTORS = 6
MODULUS_WH = 1_050
FLAGS = ("plugged", "ev_ready", "evse_ready")
REGISTER = "Energy.Active.Import.Register"
COLUMNS = ("connector_id", *FLAGS, "energy_wh", "plug_id", "permit_seq", "Voltage.L1", "SoC", REGISTER)
OTHER = Controller(2, 1_000)

Call = tuple[float, list[str], list[Any]]
"""Seconds that pass before it, columns, rows."""

flags = st.sampled_from([None, True, False, True, True, 1])
cells = {
    "connector_id": st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5, 6, 0, 7, -1, True, "1", None]),
    "plugged": flags,
    "ev_ready": flags,
    "evse_ready": flags,
    "energy_wh": st.one_of(
        st.none(), st.integers(1_000, 1_060), st.sampled_from([0, 999, 1_000_000, -1, True, 1_001.0])
    ),
    "plug_id": st.sampled_from([None, None, "a", "b", 1, True, ""]),
    "permit_seq": st.sampled_from([None, 0, 1, 2, 99, -1, True]),
    "Voltage.L1": st.sampled_from([None, 230, 229.5, "231", "x", True]),
    "SoC": st.sampled_from([None, 50, 51]),
    REGISTER: st.sampled_from([None, 1_001, 1_002.5, 9]),
}
"""Cells by column: mostly what a controller reports that has nothing new to say, and everything else sometimes."""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """One call of ``report_many``."""
    more = draw(st.lists(st.sampled_from(COLUMNS[4:]), unique=True))
    names = ["connector_id", *draw(st.sampled_from([(), FLAGS, FLAGS, FLAGS[:1]])), *more]
    row = st.one_of(st.tuples(*(cells[name] for name in names)).map(list), st.sampled_from([[], [1], "row", None]))
    return draw(st.sampled_from([0.0, 1.0, 61.0])), names, draw(st.lists(row, max_size=12))


def world() -> World:
    """Sessions on 1, 2 and 6; the meter of 2 wraps, the energy of 6 ends soon. 3 has not reported yet, 4 is another's,
    5 is none that the client may name.
    """
    overrides = (
        builders.override((1, 3, 4, 5, 6), free_vend_id_tag="FREE"),
        builders.override((2,), free_vend_id_tag="FREE", meter_modulus_wh=MODULUS_WH),
    )
    configuration = {"MeterValueSampleInterval": "60", "MeterValuesSampledData": "Voltage,SoC"}
    found = World(
        builders.settings(connectors=CONNECTORS, connector_overrides=overrides, configuration=configuration)
    ).boot()
    for connector_id in (0, 1, 2, 3, 5, 6):
        found.attach(connector_id)
    found.core.attach(99, OTHER, [4], False, found.now)
    found.settle()
    for connector_id in (1, 2, 5, 6):
        found.report(connector_id, plugged=True, plug_id=1, ev_ready=True, evse_ready=True, energy_wh=1_000)
    levels = dict.fromkeys(FLAGS, True)
    found.command("report", OTHER, {"connector_id": 4, **levels, "energy_wh": 1_000})
    found.command("report", builders.CONTROLLER, {"connector_id": 0, "energy_wh": 1_000})
    last = found.core._parts.connectors.any_row(6)
    last.is_refused, last.energy_limit_wh = True, 1_001
    return found


@contextmanager
def long_way() -> Iterator[None]:
    """No report is steady."""
    with (
        mock.patch.object(steady, "_places", return_value=None),
        mock.patch.object(steady.Steady, "take_one", return_value=0),
    ):
        yield


def in_columns(world: World, columns: list[str], rows: list[Any], number: int) -> Any:
    """The answer of ``report_many``."""
    params = {"columns": columns, "rows": rows}
    return world.core.report_many(number, builders.CONTROLLER, params, lambda each: each != 5, world.now)


def one_by_one(world: World, columns: list[str], rows: list[Any], number: int) -> Any:
    """The answers of ``report``, or what it refuses, of each row that has all its cells."""
    answers: list[Any] = []
    for index, row in enumerate(rows):
        if type(row) is list and len(row) == len(columns):
            params: dict[str, Any] = {}
            for name, cell in zip(columns, row, strict=True):
                if name in COLUMNS[:7]:
                    params |= {} if cell is None else {name: cell}
                else:
                    measurand, _, phase = name.partition(".L")
                    member = {"measurand": measurand, "value": cell} | ({"phase": f"L{phase}"} if phase else {})
                    params.setdefault("measurements", []).append(member)
            try:
                answers.append(world.core.report(100 * number + index, builders.CONTROLLER, params, world.now))
            except LocalError as error:
                answers.append((error.code, error.path, error.hint))
    return answers


def told(world: World, call: Call, number: int, ask: Callable[[World, list[str], list[Any], int], Any]) -> list[Any]:
    """What a call leads to: its answer, its effects, and the state that it leaves."""
    wait_s, columns, rows = call
    world.advance(wait_s)
    before = len(world.effects)
    answer = ask(world, columns, rows, number)
    world.settle()
    parts = world.core._parts
    meters = [
        None if meter is None else (meter.wh, meter.at_s, meter.at_ms, meter.offset_wh, meter.stored_wh, meter.refused)
        for meter in parts.meters._meters
    ]
    levels = [
        None if each is None else (each.register_wh, each.register_ms, each.readings) for each in parts.metering._levels
    ]
    states = [world.core.connector_state(each) for each in range(1, CONNECTORS + 1)]
    rows_now = [(row.permit_seq, row.plug_id, row.plugged, row.has_reported) for row in parts.connectors]
    return [answer, world.effects[before:], meters, levels, states, rows_now]


STEADY: Call = (0.0, ["connector_id", "energy_wh"], [[1, 1_001], [2, 1_001]])


@given(st.lists(calls(), min_size=1, max_size=4))
@example([STEADY, (61.0, [*COLUMNS[:5], "SoC"], [[1, True, True, True, 1_002, 51], [2, None, None, None, None, None]])])
@example([(0.0, ["connector_id", "energy_wh"], [[2, 1_040], [2, 1_049], [2, 1_051], [2, 5]])])
@example([(0.0, ["connector_id", "energy_wh"], [[each, 1_001] for each in (3, 4, 5, 0, 7, 6)])])
@example([(0.0, [*COLUMNS[:5]], [[0, False, False, False, 1_001], [1, True, True, True, 1_001]])])
@example([(0.0, ["connector_id", "SoC"], [[1, 50], [1, "x"], [1, None], [0, 50]])])
@example([(0.0, ["connector_id", "permit_seq"], [[1, 99], [1, 0], [1, True], [1, -1], [1, None]])])
@example([(0.0, ["connector_id", "plug_id"], [[1, True], [1, 1], [1, None], [1, "b"]])])
@example([(0.0, ["connector_id", REGISTER], [[1, 1_001], [1, 9], [1, None]])])
@example([(0.0, ["connector_id", "plugged", "SoC"], [[1, False, 5], [1, True, 5]])])
@settings(max_examples=150, deadline=None)
def test_steady_rows_have_the_effect_of_every_report(script: list[Call]) -> None:
    """rpc.md connector.report_many, CORE-MV-12, CORE-MV-15: answer, effects and state are those of the long way."""
    for ask in (in_columns, one_by_one):
        short, long = world(), world()
        for number, call in enumerate(script, start=1_000):
            by_short_way = told(short, call, number, ask)
            with long_way():
                by_long_way = told(long, call, number, ask)
            assert by_short_way == by_long_way


def test_steady_rows_go_the_short_way() -> None:
    """Levels as before and a register that rises: no report is made of such a row, else the goal of P3 is lost."""
    hub = world()
    hub.report(1, energy_wh=1_000)  # the first register of a session is looked at more closely
    with mock.patch.object(type(hub.core._parts.sessions), "_take", side_effect=AssertionError("the long way")):
        answer = hub.core.report_many(
            7,
            builders.CONTROLLER,
            {
                "columns": [*COLUMNS[:5], "plug_id", "permit_seq", "SoC"],
                "rows": [[1, True, True, True, 1_001, None, 0, 50], [2, None, True, None, None, None, None, 51]],
            },
            lambda each: True,
            hub.now,
        )
    assert answer == {"changed": [], "errors": []}
    parts = hub.core._parts
    assert parts.meters.register(1) == 1_001
    assert parts.connectors.any_row(1).permit_seq == 0
    levels = parts.metering._levels[2]
    assert levels is not None
    assert [value for value, _ in levels.readings.values()] == ["51"]


def test_steady_report_goes_the_short_way() -> None:
    """The same for ``connector.report``."""
    hub = world()
    hub.report(1, energy_wh=1_000)
    params = {"connector_id": 1, "plugged": True, "ev_ready": True, "energy_wh": 1_002, "permit_seq": 0}
    with mock.patch.object(type(hub.core._parts.sessions), "_take", side_effect=AssertionError("the long way")):
        measured = {**params, "measurements": [{"measurand": "SoC", "value": 52}]}
        assert hub.core.report(7, builders.CONTROLLER, measured, hub.now) == hub.core.connector_state(1)
    parts = hub.core._parts
    assert parts.meters.register(1) == 1_002
    levels = parts.metering._levels[1]
    assert levels is not None
    assert [value for value, _ in levels.readings.values()] == ["52"]
