"""The table of measurands against the vocabulary of the standard."""

from __future__ import annotations

import pytest

from ocpphub.core.measurands import MEASURANDS, PHASES, UNITS, measurand_item
from ocpphub.core.vocabulary import Measurand, Phase, UnitOfMeasure


def test_measurands_are_those_of_the_standard_without_intervals() -> None:
    """CORE-MV-19: nothing is forgotten and nothing invented."""
    assert set(MEASURANDS) == {measurand.value for measurand in Measurand if not measurand.endswith(".Interval")}
    assert len(PHASES) == len(Phase)


def test_units_are_legal_and_absent_where_the_standard_has_none() -> None:
    """CORE-MV-11, CORE-RPC-19: Celsius is spelled correctly."""
    assert {measurand for measurand, units in UNITS.items() if not units} == {"Frequency", "Power.Factor", "RPM"}
    assert {unit for units in UNITS.values() for unit in units} <= {unit.value for unit in UnitOfMeasure}
    assert UNITS["SoC"] == ("Percent",)
    assert UNITS["Temperature"][0] == "Celsius"


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("Voltage", ("Voltage", None)),
        ("Voltage.L1", ("Voltage", "L1")),
        ("Current.Import.L3-L1", ("Current.Import", "L3-L1")),
        ("Power.Factor", ("Power.Factor", None)),
        ("Voltage.L9", None),
        ("voltage", None),
        ("", None),
        (".L1", None),
        ("Energy.Active.Import.Interval", None),
        ("Energy.Active.Import.Interval.L1", None),
    ],
)
def test_item_of_a_key_is_a_measurand_alone_or_with_a_phase(text: str, item: tuple[str, str | None] | None) -> None:
    """CORE-MV-06."""
    assert measurand_item(text) == item
