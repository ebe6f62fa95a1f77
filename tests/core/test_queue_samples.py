"""Samples as text: what goes in comes out, what is thinned is spread evenly."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocpphub.core import queue_samples
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.queue_samples import (
    CONTEXTS,
    Layouts,
    appended,
    dispensable,
    layouts_of,
    present,
    replaced,
    retimed,
    sample_row,
    time_of,
    without,
)
from ocpphub.core.readings import REGISTER, Descriptor, meter_value
from ocpphub.core.rows import Rows
from ocpphub.store import Row
from tests.queue_world import ENERGY, VOLTAGES

BEGIN, END = CONTEXTS.index("Transaction.Begin"), CONTEXTS.index("Transaction.End")


def nothing() -> set[int]:
    return set()


def lines(*contexts: int) -> bytes:
    text = b""
    for at_ms, context in enumerate(contexts):
        text = appended(text, sample_row(1, at_ms, context, True, ["1"]))
    return text


def test_contexts_keep_their_places() -> None:
    """Stored samples name them by index."""
    assert [str(context) for context in CONTEXTS] == [
        "Sample.Periodic", "Sample.Clock", "Transaction.Begin", "Transaction.End", "Interruption.Begin",
        "Interruption.End", "Other", "Trigger",
    ]  # fmt: skip


@given(st.lists(st.text(), min_size=1, max_size=5), st.integers(0, 2**45), st.booleans())
def test_sample_row_is_one_line_whatever_its_values(values: list[str], at_ms: int, trusted: bool) -> None:
    """CORE-MV-15: values are texts; a line feed in one must not part a sample."""
    row = sample_row(3, at_ms, 0, trusted, values)
    assert b"\n" not in row
    assert time_of(row) == (at_ms, trusted)
    assert orjson.loads(retimed(row, 5, True)) == [3, 5, 0, 1, *values]
    assert layouts_of(appended(row, row)) == {3}


@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30)))
def test_lines_keep_every_sample_at_its_index(indexes: set[int], gone: set[int]) -> None:
    """CORE-TXQ-12: a key says where a sample stands, also after others went."""
    rows = {index: b"[%d]" % index for index in indexes}
    text = without(replaced(b"", rows.items()), gone & indexes)
    assert dict(present(text)) == {index: row for index, row in rows.items() if index not in gone}
    assert bool(text) == bool(indexes - gone)


def test_dispensable_spares_begin_and_end_and_thins_each_context_alone() -> None:
    """CORE-TX-19: clock-aligned samples that alternate with periodic ones are not all lost."""
    assert dispensable(lines(BEGIN, 0, 1, 0, 1, 0, 1, END)) == [3, 4]
    assert dispensable(lines(BEGIN, 0, END)) == [1]
    assert dispensable(lines(BEGIN, 0, 1, END)) == [1, 2]
    assert dispensable(lines(BEGIN, END)) == []
    assert dispensable(b"") == []


@pytest.mark.parametrize(
    ("times", "gone"),
    [
        ([0, 10, 20, 30, 40], [1, 3]),
        ([0, 20, 40, 50, 60], [3]),
        ([0, 10, 11, 20], [2]),
        ([5, 5, 5], [1, 2]),
        ([0, 98, 200, 299, 401], [1, 3]),
    ],
)
def test_dispensable_takes_samples_where_they_stand_closest(times: list[int], gone: list[int]) -> None:
    """CORE-TX-19: what was thinned before is not thinned again before the rest is as thin."""
    text = b""
    for at_ms in times:
        text = appended(text, sample_row(1, at_ms, 0, True, ["1"]))
    assert dispensable(text) == gone


def test_layout_is_stored_once_and_read_back() -> None:
    """A sample names its layout by number."""
    effects: list[Effect] = []
    layouts = Layouts(effects.append)
    numbers = [layouts.number(layout, nothing) for layout in (ENERGY, VOLTAGES, ENERGY)]
    assert numbers == [1, 2, 1]
    stored = [Row("CP1", effect.table, effect.key, effect.value) for effect in effects if isinstance(effect, Store)]
    assert len(stored) == 2
    again = Layouts(effects.append)
    again.restore(Rows(stored, "CP1"))
    row = sample_row(2, 0, 0, True, ["1", "2", "3"])
    assert again.meter_value(row) == layouts.meter_value(row)
    assert again.number((REGISTER, *VOLTAGES), nothing) == 3


@pytest.mark.parametrize(
    ("row", "is_sound"),
    [
        (b'[1,5,0,1,"7"]', True),
        (b'[1,5,0,1,"7","8"]', False),
        (b"[1,5,0,1]", False),
        (b'[2,5,0,1,"7"]', False),
        (b'[1,5,8,1,"7"]', False),
        (b'[1,5,-1,1,"7"]', False),
        (b'[1,"5",0,1,"7"]', False),
        (b'[1,5,0,2,"7"]', False),
        (b"[1,5,0,1,7]", False),
        (b"{}", False),
        (b"5", False),
        (b"[1,5", False),
    ],
)
def test_layouts_read_a_sound_sample(row: bytes, is_sound: bool) -> None:
    """What cannot be composed is found at the start and not when its turn comes."""
    layouts = Layouts(lambda effect: None)
    layouts.number(ENERGY, nothing)
    assert layouts.read(row) == ((5, True) if is_sound else None)


def test_layouts_that_no_sample_uses_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that reports ever new combinations fills nothing; numbers are not used again."""
    monkeypatch.setattr(queue_samples, "MAX_LAYOUTS", 3)
    effects: list[Effect] = []
    layouts = Layouts(effects.append)
    numbers = [
        layouts.number((Descriptor("Voltage", None, "Outlet", "V", str(each)),), lambda: {2}) for each in range(7)
    ]
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    assert [int(effect.key) for effect in effects if isinstance(effect, Discard)] == [1, 3, 4, 5]


def test_layout_size_is_no_less_than_what_a_sample_takes() -> None:
    """J-327: the bound of a message is kept without composing it."""
    layouts = Layouts(lambda effect: None)
    for layout in (ENERGY, VOLTAGES):
        number = layouts.number(layout, nothing)
        for context in range(len(CONTEXTS)):
            row = sample_row(number, 1_800_000_000_000, context, True, ["123456.7"] * len(layout))
            assert len(layouts.meter_value(row)) + 1 <= layouts.size(row)


SIGNED = Descriptor("Energy.Active.Import.Register", None, "Body", "kWh", "SignedData")


@given(
    st.sampled_from([ENERGY, VOLTAGES, (SIGNED,), (REGISTER, SIGNED, *VOLTAGES)]),
    st.sampled_from(CONTEXTS),
    st.integers(-1, 2**42),
    st.data(),
)
def test_meter_value_is_what_the_readings_say(
    layout: tuple[Descriptor, ...], context: str, at_ms: int, data: st.DataObject
) -> None:
    """OCPP 1.6 section 7.33: the prepared text is that of the values, whatever signed data holds."""
    texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=9)
    numbers = st.decimals(-1_000, 1_000, places=2).map(str)
    values = [data.draw(texts if each.format == "SignedData" else numbers) for each in layout]
    layouts = Layouts(lambda effect: None)
    number = layouts.number(layout, nothing)
    row = sample_row(number, at_ms, CONTEXTS.index(context), True, values)
    for _ in range(2):  # prepared, then used
        assert orjson.loads(layouts.meter_value(row)) == meter_value(layout, at_ms, context, values)
